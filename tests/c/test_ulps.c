/* How exact the transcendental kernels are: each function of each instruction set against libm in
 * double (for float) and long double (for double), over the whole range: subnormal numbers, zeros,
 * infinities and NaN, results that underflow gradually and that overflow.
 *
 *   test_ulps                             points of every exponent and around all places where
 *                                         formulas change
 *   test_ulps --all N [NAME [ISAS [TYPES]]]   every float there is, and many more doubles, on N
 *                                         threads; of functions whose names, as printed, begin so
 *                                         ("" is all), on these instruction sets, in these types
 *
 * Prints the largest error, in units of the last place of the exact result, and where it is; fails
 * where it is above the function's bound. libm's own errors are below 0.001 ulp of the type tested.
 * An infinity counts as the power of two that follows the greatest finite number. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* Clang makes vectors at -O2 */
#endif
#include "test_support.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- what the functions are ---- */

/* The references, for float in double and for double in long double. Where SoftPlus is x, is for
 * float of no account: 0.04 ulp. */
#define REFERENCES(T, real, decided, L)                                                            \
    static T tanh_fwd##L(T x, T a) { return tanh##L(x); }                                          \
    static T sigmoid_fwd##L(T x, T a) {                                                            \
        return x < 0 ? exp##L(x) / (1 + exp##L(x)) : 1 / (1 + exp##L(-x));                         \
    }                                                                                              \
    static T exp_fwd##L(T x, T a) { return exp##L(x); }                                            \
    static T log_fwd##L(T x, T a) { return log##L(x); }                                            \
    static T sqrt_fwd##L(T x, T a) { return sqrt##L(x); }                                          \
    static T softsign_fwd##L(T x, T a) { return isinf(x) ? NAN : x / (1 + fabs##L(x)); }           \
    static T logsigmoid_fwd##L(T x, T a) {                                                         \
        return -(fmax##L(-x, 0) + log1p##L(exp##L(-fabs##L(x))));                                  \
    }                                                                                              \
    static T logsigmoid_bwd##L(T y, T a) { return -expm1##L(y); }                                  \
    static T softplus_fwd##L(T x, T a) {                                                           \
        const T z = a * x, lacks = fma##L(a, x, -z); /* what digits z has not */                   \
        const T low = fabs##L(lacks) < 1 ? copysign##L(1, z) * lacks : 0;                          \
        const T exp_z = exp##L(-fabs##L(z)) * (1 - low);                                           \
        return (decided)z > 20 ? x : (fmax##L(z, 0) + log1p##L(exp_z)) / a;                        \
    }                                                                                              \
    static T softplus_bwd##L(T y, T a) { return (decided)(a * y) > 20 ? 1 : -expm1##L(-a * y); }   \
    static T elu_fwd##L(T x, T a) { return x > 0 ? x : a * expm1##L(x); }                          \
    static T power_fwd##L(T x, T a) { return pow##L(x, a); }                                       \
    static T power_bwd##L(T x, T a) { /* x^(a - 1) overflows by itself */                          \
        const T power = pow##L(x, a - 1);                                                          \
        return isinf((real)power) ? a * (real)power : a * power;                                   \
    }

REFERENCES(double, float, double, )
REFERENCES(long double, double, double, l)

/* What x is taken from: a backward kernel's y has one sign. */
typedef enum domain { ANY, POSITIVE, NEGATIVE } domain;

typedef struct function {
    const char *name;
    pnng_op op;
    bool backward;
    domain domain;
    double a;
    double bound[2]; /* of float, of double */
    double (*of_float)(double x, double a);
    long double (*of_double)(long double x, long double a);
} function;

#define FORWARD(CODE, name, a, ...)                                                                \
    {#name, PNNG_OP_##CODE, false, ANY, a, {__VA_ARGS__}, name##_fwd, name##_fwdl}
#define BACKWARD(CODE, name, domain, a, ...)                                                       \
    {#name " backward", PNNG_OP_##CODE, true, domain, a, {__VA_ARGS__}, name##_bwd, name##_bwdl}

static const function functions[] = {
    FORWARD(EXP, exp, 0, 2, 2),
    FORWARD(LOG, log, 0, 2, 2),
    FORWARD(TANH, tanh, 0, 2, 2),
    FORWARD(SIGMOID, sigmoid, 0, 2, 2),
    FORWARD(SOFTPLUS, softplus, 1, 2, 2),
    FORWARD(LOGSIGMOID, logsigmoid, 0, 2, 2),
    FORWARD(ELU, elu, 1, 2, 2),
    FORWARD(SQRT, sqrt, 0, 0.5, 0.5),
    FORWARD(SOFTSIGN, softsign, 0, 2, 2),
    FORWARD(POWER, power, 2.5, 2, 2),
    FORWARD(POWER, power, 3, 2, 2),
    FORWARD(POWER, power, -0.5, 2, 2),
    FORWARD(POWER, power, 0.0625, 2, 2),
    FORWARD(POWER, power, -17, 2, 2),
    FORWARD(POWER, power, 2001.5, 2, 2),
    FORWARD(POWER, power, -1e6, 2, 2),
    BACKWARD(SOFTPLUS, softplus, POSITIVE, 1, 2, 2),
    BACKWARD(SOFTPLUS, softplus, POSITIVE, 1.375, 2, 2),
    BACKWARD(LOGSIGMOID, logsigmoid, NEGATIVE, 0, 2, 2),
    BACKWARD(POWER, power, ANY, 2.5, 2, 2),
    BACKWARD(POWER, power, ANY, 0.1, 2, 2), /* less 1, it has too many digits */
    FORWARD(SOFTPLUS, softplus, 0.3, 2, 2),
    FORWARD(SOFTPLUS, softplus, 1.03125, 2, 2), /* results just below a power of 2 */
    FORWARD(SOFTPLUS, softplus, 1.7, 2, 2),
    FORWARD(SOFTPLUS, softplus, 1e-3, 2, 2),
    FORWARD(SOFTPLUS, softplus, 100, 2, 2),
    FORWARD(ELU, elu, 0.3, 2, 2),
    FORWARD(ELU, elu, 1.7, 2, 2),
    FORWARD(ELU, elu, 1.96875, 2, 2), /* the same */
    FORWARD(ELU, elu, 1e-3, 2, 2),
    FORWARD(ELU, elu, 100, 2, 2),
    BACKWARD(SOFTPLUS, softplus, POSITIVE, 0.3, 2, 2),
    BACKWARD(SOFTPLUS, softplus, POSITIVE, 1.7, 2, 2),
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

enum { CHUNK = 1 << 12 }; /* of what is measured at a time */

/* ---- errors ---- */

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static double double_of(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The last place of a result y. */
static long double ulp_of(bool f64, long double y) {
    const int least = f64 ? DBL_MIN_EXP : FLT_MIN_EXP, digits = f64 ? DBL_MANT_DIG : FLT_MANT_DIG;
    int exponent;
    frexpl(y, &exponent);
    return ldexpl(1, (y == 0 || exponent < least ? least : exponent) - digits);
}

/* The error of x, where y is exact. */
static double error_of(bool f64, double x, long double y) {
    const long double most = f64 ? (long double)DBL_MAX : FLT_MAX;
    const long double end = f64 ? 0x1p1023L * 2 : 0x1p128L;
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y) ? 0 : INFINITY;
    if (!signbit(x) != !signbit(y))
        return INFINITY;
    const long double got = fminl(fabsl((long double)x), end), exact = fminl(fabsl(y), end);
    return got == exact ? 0 : (double)(fabsl(got - exact) / ulp_of(f64, fminl(exact, most)));
}

/* The same for a chunk of floats: the greatest error of x, where y is exact, and whether a sign
 * or a NaN is wrong. On bits, which are ordered as numbers without signs are, so that compilers
 * make vectors of it. */
#define EXPONENT(e) ((INT64_C(1023) + (e)) << 52) /* the bits of 2^e */

static inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

static inline __attribute__((always_inline)) double errors_of(const float *x, const double *y,
                                                              bool *wrong) {
    int64_t worst = 0, differ = 0; /* the sign of which counts */
    for (int i = 0; i < CHUNK; i++) {
        const int64_t got = bits_of(x[i]), exact = bits_of(y[i]);
        const int64_t size = got & INT64_MAX, exact_size = exact & INT64_MAX;
        const int64_t nan = EXPONENT(1024) - size, exact_nan = EXPONENT(1024) - exact_size;
        differ |= (nan ^ exact_nan) | ((got ^ exact) & ~nan);
        const int64_t a = lesser(size, EXPONENT(128)), b = lesser(exact_size, EXPONENT(128));
        const int64_t place = greater(lesser(b, EXPONENT(127)), EXPONENT(-126)) & EXPONENT(1024);
        const double per_ulp = double_of(EXPONENT(23) - place + EXPONENT(0));
        const double error = (double_of(a) - double_of(b)) * per_ulp;
        worst = greater(worst, bits_of(error) & INT64_MAX);
    }
    *wrong = differ < 0;
    return double_of(worst);
}

static double errors_in_any(const float *x, const double *y, bool *wrong) {
    return errors_of(x, y, wrong);
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) static double errors_in_avx2(const float *x, const double *y,
                                                             bool *wrong) {
    return errors_of(x, y, wrong);
}
__attribute__((target("avx512f,avx512dq"))) static double
errors_in_avx512(const float *x, const double *y, bool *wrong) {
    return errors_of(x, y, wrong);
}
#else
#define errors_in_avx2 errors_in_any
#define errors_in_avx512 errors_in_any
#endif

/* ---- points ---- */

typedef struct points {
    const function *f;
    bool f64, all;
    const char *only; /* instruction sets; "" is all */
    uint64_t chunks;
    _Atomic uint64_t next; /* the first chunk that no thread has taken */
    pthread_mutex_t lock;  /* of what is below */
    double worst[ISA_CASES], where[ISA_CASES];
    long wrong;
} points;

static uint64_t mix(uint64_t z) { /* splitmix64 */
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Point k of a sample: a third has any bits, so that all exponents come alike; a third lies where
 * results change from 0 to their limits, and near to 1; a third next to where a formula or an
 * exponent changes, which are quarters of ln 2, whole numbers, 0.75 and 1 times powers of 2. The
 * factors of `size` are odd, or its last digits would be 0. */
static double sample(bool f64, double a, uint64_t k) {
    static const double special[] = {0, 1, INFINITY, NAN, FLT_MIN, FLT_MAX, DBL_MIN, DBL_MAX};
    const uint64_t r = mix(k), s = mix(r);
    const double scale = a == 0 ? 1 : a, size = (double)(s >> 11) * 0x1p-53;
    const double sign = r & 16 ? -1 : 1, reach = f64 ? 750 : 110;
    const int whole = (int)(s >> 40) % (f64 ? 4400 : 640);
    double place;
    switch ((r >> 8) % 9) {
    case 0:
    case 1:
    case 2:
        return f64 ? double_of((int64_t)s) : (double)float_of((uint32_t)s);
    case 3:
        return sign * reach * size / scale;
    case 4:
        return sign * 20 * size / scale;
    case 5:
        return s & 1 ? sign * 5 * size : 1 + sign * ldexp(size, -(whole % (f64 ? 54 : 25)));
    case 6:
        place = whole * 0.25 * 0.69314718055994530942;
        break;
    case 7:
        place = ldexp(s & 1 ? 0.75 : 1, whole / 2 - (f64 ? 1075 : 150));
        break;
    default:
        place = s & 1 ? special[whole % 8] : s & 2 ? whole : 20;
        break;
    }
    place = s & 4 ? place / scale : place; /* and some steps from there */
    for (int step = (int)(r >> 32) % 4; step > 0; step--)
        place = f64 ? nextafter(place, r & 32 ? INFINITY : 0)
                    : (double)nextafterf((float)place, r & 32 ? INFINITY : 0);
    return sign * place;
}

/* a as the type has it. */
static double attribute(const points *p) { return p->f64 ? p->f->a : (double)(float)p->f->a; }

/* The arguments of chunk c: of all floats, or of a sample. Neighbours of the worst so far are often
 * worse, so all floats come in an order in which they are far apart. */
static void arguments(const points *p, void *x, uint64_t c) {
    const uint32_t first = (uint32_t)(c * 0x9e3779b1u % p->chunks * CHUNK);
    uint32_t bits[CHUNK];
    for (uint32_t i = 0; i < CHUNK; i++)
        bits[i] = first + i;
    if (p->all && !p->f64)
        memcpy(x, bits, sizeof bits);
    else
        for (int i = 0; i < CHUNK; i++)
            real_set(x, p->f64, i, sample(p->f64, attribute(p), c * CHUNK + (uint64_t)i));
    for (int i = 0; i < CHUNK && p->f->domain != ANY; i++) {
        const double size = fabs(real_get(x, p->f64, i));
        real_set(x, p->f64, i, p->f->domain == POSITIVE ? size : -size);
    }
}

/* Instruction set number k, if it is there and asked for. */
static const pnng_isa *isa_of(const points *p, int k) {
    const pnng_isa *isa;
    return isa_at(k, &isa) && (!*p->only || strstr(p->only, isa->name)) ? isa : NULL;
}

static void run(const points *p, const pnng_isa *isa, bool f64, void *y, void *x, void *ones) {
    void *forward[] = {y, x}, *backward[] = {y, ones, x};
    const ptrdiff_t stride[] = {CHUNK, CHUNK, CHUNK};
    const uint8_t accumulate[] = {0};
    const pnng_call call = {.ptr = p->f->backward ? backward : forward,
                            .stride = stride,
                            .rows = 1,
                            .cols = CHUNK,
                            .a = attribute(p),
                            .accumulate = accumulate};
    const pnng_op_kernels *const op = &(f64 ? &isa->f64 : &isa->f32)->op[p->f->op];
    (p->f->backward ? op->backward : op->forward)(&call);
}

/* What a thread works on: a chunk of arguments, their results by two instruction sets, gradients of
 * 1, exact results; and the same in double, for all floats. */
typedef struct buffers {
    char x[CHUNK * 8], y[2][CHUNK * 8], ones[CHUNK * 8];
    long double exact[CHUNK];
    double wide_x[CHUNK], wide_ones[CHUNK], wide[CHUNK];
    double worst[ISA_CASES], where[ISA_CASES];
    long wrong; /* of those in double */
} buffers;

static long double exact_of(const points *p, double x) {
    return p->f64 ? p->f->of_double(x, attribute(p)) : p->f->of_float(x, attribute(p));
}

static void exact_by_libm(const points *p, buffers *b) {
    for (int i = 0; i < CHUNK; i++)
        b->exact[i] = exact_of(p, real_get(b->x, p->f64, i));
}

static void compare(const points *p, buffers *b, const char *y, int k) {
    for (int i = 0; i < CHUNK; i++) {
        const double error = error_of(p->f64, real_get(y, p->f64, i), b->exact[i]);
        if (error > b->worst[k]) {
            b->worst[k] = error;
            b->where[k] = real_get(b->x, p->f64, i);
        }
    }
}

/* For all floats libm takes too long. The kernels' own results in double are exact as far as
 * floats go, which libm says of 1 in 256 here. */
static void exact_by_kernel(const points *p, buffers *b, uint64_t c) {
    const pnng_isa *best = NULL, *isa;
    for (int k = 0; k < ISA_CASES; k++)
        best = isa_at(k, &isa) ? isa : best;
    for (int i = 0; i < CHUNK; i++)
        b->wide_x[i] = ((const float *)b->x)[i];
    run(p, best, true, b->wide, b->wide_x, b->wide_ones);
    if (p->f->op == PNNG_OP_POWER && p->f->backward) /* x^(a - 1) overflows by itself */
        for (int i = 0; i < CHUNK; i++)
            if (fabs(b->wide[i]) > FLT_MAX * fabs(attribute(p)))
                b->wide[i] = copysign(INFINITY, b->wide[i]);
    for (int i = (int)(mix(c) % 256); i < CHUNK; i += 256)
        b->wrong += !(error_of(false, b->wide[i], exact_of(p, b->wide_x[i])) < 1e-6);
}

/* What might be the greatest error so far is measured with libm again. */
static void compare_floats(const points *p, buffers *b, const char *y, int k) {
    bool wrong;
    const float *const got = (const float *)y;
    const double most = cpu_has_avx512() ? errors_in_avx512(got, b->wide, &wrong)
                        : cpu_has_avx2() ? errors_in_avx2(got, b->wide, &wrong)
                                         : errors_in_any(got, b->wide, &wrong);
    if (wrong || most > b->worst[k]) {
        exact_by_libm(p, b);
        compare(p, b, y, k);
    }
}

/* One chunk on every instruction set. Two that have the same results have the same errors. */
static void work_on(const points *p, buffers *b, uint64_t c) {
    const bool all_floats = p->all && !p->f64;
    arguments(p, b->x, c);
    if (all_floats)
        exact_by_kernel(p, b, c);
    else
        exact_by_libm(p, b);
    double worst_before = 0;
    for (int k = 0, last = -1; k < ISA_CASES; k++) {
        const pnng_isa *const isa = isa_of(p, k);
        if (!isa)
            continue;
        char *const y = b->y[k % 2], *const last_y = b->y[(k + 1) % 2];
        run(p, isa, p->f64, y, b->x, b->ones);
        const double worst = b->worst[k];
        if (last == k - 1 && last >= 0 && worst == worst_before &&
            !memcmp(y, last_y, CHUNK * (p->f64 ? 8 : 4))) {
            b->worst[k] = b->worst[last];
            b->where[k] = b->where[last];
        } else if (all_floats) {
            compare_floats(p, b, y, k);
        } else {
            compare(p, b, y, k);
        }
        worst_before = worst;
        last = k;
    }
}

static void *work(void *of) {
    points *const p = of;
    buffers *const b = calloc(1, sizeof *b);
    for (int i = 0; i < CHUNK; i++) {
        real_set(b->ones, p->f64, i, 1);
        b->wide_ones[i] = 1;
    }
    for (uint64_t c; (c = atomic_fetch_add(&p->next, 1)) < p->chunks;) {
        work_on(p, b, c);
        if (p->all && c % (1 << 14) == 0) {
            fprintf(stderr, "\r%3d %%", (int)(100 * c / p->chunks));
            fflush(stderr);
        }
    }
    pthread_mutex_lock(&p->lock);
    p->wrong += b->wrong;
    for (int k = 0; k < ISA_CASES; k++) {
        if (b->worst[k] > p->worst[k]) {
            p->worst[k] = b->worst[k];
            p->where[k] = b->where[k];
        }
    }
    pthread_mutex_unlock(&p->lock);
    free(b);
    return NULL;
}

/* What is asked for. */
typedef struct request {
    bool all;
    int threads;
    const char *names, *isas, *types;
} request;

static void test_function(const function *f, bool f64, const request *r) {
    char title[64];
    snprintf(title, sizeof title, f->a == 0 ? "%s" : "%s, a = %g", f->name, f->a);
    if (strncmp(title, r->names, strlen(r->names)) || !strstr(r->types, f64 ? "double" : "float"))
        return;
    const bool all = r->all;
    points p = {.f = f, .f64 = f64, .all = all, .only = r->isas, .lock = PTHREAD_MUTEX_INITIALIZER};
    /* The long double of some machines is done in software, and slow. */
    const uint64_t few = (LDBL_MANT_DIG > 64 ? 1 << 14 : 1 << 16) / CHUNK;
    const uint64_t floats = UINT64_C(1) << (f->domain == ANY ? 32 : 31); /* of one sign or two */
    p.chunks = !all ? few : (f64 ? UINT64_C(1) << 26 : floats) / CHUNK;
    pthread_t others[64];
    for (int t = 1; t < r->threads; t++)
        pthread_create(&others[t], NULL, work, &p);
    work(&p);
    for (int t = 1; t < r->threads; t++)
        pthread_join(others[t], NULL);
    printf(all ? "\r%-26s %s" : "%-26s %s", title, f64 ? "double" : "float ");
    for (int k = 0; k < ISA_CASES; k++)
        if (isa_of(&p, k))
            printf("  %s %.3f (%a)", isa_of(&p, k)->name, p.worst[k], p.where[k]);
    printf("\n");
    snprintf(test_where, sizeof test_where, "%s of %s", title, f64 ? "double" : "float");
    for (int k = 0; k < ISA_CASES; k++)
        CHECK(p.worst[k] <= f->bound[f64]);
    CHECK(p.wrong == 0);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    const request r = {
        .all = argc > 1 && !strcmp(argv[1], "--all"),
        .threads = threads < 1    ? 1
                   : threads > 64 ? 64
                                  : threads,
        .names = argc > 3 ? argv[3] : "",
        .isas = argc > 4 ? argv[4] : "",
        .types = argc > 5 ? argv[5] : "float,double",
    };
    for (int k = 0; k < FUNCTIONS; k++)
        for (int f64 = 0; f64 < 2; f64++)
            test_function(&functions[k], f64, &r);
    return test_result();
}
