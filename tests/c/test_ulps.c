/* How exact the transcendental kernels are: each function of each instruction set against libm in
 * double (for float) and long double (for double), over the whole range: subnormal numbers, zeros,
 * infinities and NaN, results that underflow gradually and that overflow.
 *
 *   test_ulps                 points of every exponent and around all places where formulas change
 *   test_ulps --all N [NAME]  every float there is, and many more doubles, on N threads; of those
 *                             functions whose names begin so
 *
 * Prints the largest error, in units of the last place of the exact result, and where it is; fails
 * where it is above the function's bound. libm's own errors are below 0.001 ulp of the type tested.
 * An infinity counts as the power of two that follows the greatest finite number. */
#include "test_support.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- what the functions are ---- */

/* The references, for float in double and for double in long double. The attributes below have so
 * few digits that products with them are exact. */
#define REFERENCES(T, real, L)                                                                     \
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
        const T z = a * x;                                                                         \
        return (real)z > 20 ? x : (fmax##L(z, 0) + log1p##L(exp##L(-fabs##L(z)))) / a;             \
    }                                                                                              \
    static T softplus_bwd##L(T y, T a) { return (real)(a * y) > 20 ? 1 : -expm1##L(-a * y); }      \
    static T elu_fwd##L(T x, T a) { return x > 0 ? x : a * expm1##L(x); }                          \
    static T power_fwd##L(T x, T a) { return pow##L(x, a); }                                       \
    static T power_bwd##L(T x, T a) { /* x^(a - 1) overflows by itself */                          \
        const T power = pow##L(x, a - 1);                                                          \
        return isinf((real)power) ? a * (real)power : a * power;                                   \
    }

REFERENCES(double, float, )
REFERENCES(long double, double, l)

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
    FORWARD(SOFTPLUS, softplus, 1.03125, 2.5, 2.5), /* the division adds to it */
    FORWARD(LOGSIGMOID, logsigmoid, 0, 2, 2),
    FORWARD(ELU, elu, 1, 2, 2),
    FORWARD(ELU, elu, 1.375, 2, 2),
    FORWARD(ELU, elu, 1.96875, 2.25, 2.25), /* a product just below a power of 2 */
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
    BACKWARD(POWER, power, ANY, 0x1.99999ap-4, 2, 2), /* less 1, it has too many digits */
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* ---- errors ---- */

/* The last place of a result y, of float and of double. */
static double ulp_of_float(double y) {
    union {
        double value;
        uint64_t bits;
    } u = {.value = y};
    const uint64_t least = 1023 - 126, exponent = u.bits >> 52 & 0x7ff;
    u.bits = ((exponent < least ? least : exponent) - 23) << 52;
    return u.value;
}

static long double ulp_of_double(long double y) {
    int exponent;
    frexpl(y, &exponent);
    return ldexpl(1, (y == 0 || exponent < DBL_MIN_EXP ? DBL_MIN_EXP : exponent) - DBL_MANT_DIG);
}

static long double ulp_of(bool f64, long double y) {
    return f64 ? ulp_of_double(y) : (long double)ulp_of_float((double)y);
}

/* An exact result and 1 / ulp of it; 0 for those that are compared by hand: NaN, the smallest and
 * the greatest. */
typedef struct result {
    long double value;
    double per_ulp;
} result;

static result result_of(bool f64, long double y) {
    const double size = fabs((double)y);
    const bool ordinary = size >= (f64 ? 0x1p-900 : FLT_MIN) && size <= (f64 ? 0x1p1000 : FLT_MAX);
    const double ulp = !ordinary ? 0 : f64 ? (double)ulp_of_double(y) : ulp_of_float((double)y);
    return (result){y, ordinary ? 1 / ulp : 0};
}

static double error_by_hand(bool f64, double x, long double y) {
    const long double most = f64 ? (long double)DBL_MAX : FLT_MAX;
    const long double end = f64 ? 0x1p1023L * 2 : 0x1p128L;
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y) ? 0 : INFINITY;
    if (!signbit(x) != !signbit(y))
        return INFINITY;
    const long double got = fminl(fabsl((long double)x), end), exact = fminl(fabsl(y), end);
    return got == exact ? 0 : (double)(fabsl(got - exact) / ulp_of(f64, fminl(exact, most)));
}

static double error_of(bool f64, double x, const result *y) {
    const double error =
        f64 ? (double)(fabsl(x - y->value) * y->per_ulp) : fabs(x - (double)y->value) * y->per_ulp;
    return y->per_ulp > 0 && error < 1024 ? error : error_by_hand(f64, x, y->value);
}

/* ---- points ---- */

enum { CHUNK = 1 << 14 };

typedef struct points {
    const function *f;
    bool f64, all;
    uint64_t chunks;
    _Atomic uint64_t next; /* the first chunk that no thread has taken */
    pthread_mutex_t lock;  /* of what is below */
    double worst[ISA_CASES], where[ISA_CASES];
} points;

static uint64_t mix(uint64_t z) { /* splitmix64 */
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
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
        return f64 ? double_of(s) : (double)float_of((uint32_t)s);
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

static double point(const points *p, uint64_t k) {
    const double x = p->all && !p->f64 ? (double)float_of((uint32_t)k) : sample(p->f64, p->f->a, k);
    return p->f->domain == ANY ? x : p->f->domain == POSITIVE ? fabs(x) : -fabs(x);
}

static void run(const points *p, const pnng_isa *isa, void *y, void *x, void *ones) {
    void *forward[] = {y, x}, *backward[] = {y, ones, x};
    const ptrdiff_t stride[] = {CHUNK, CHUNK, CHUNK};
    const uint8_t accumulate[] = {0};
    const pnng_call call = {.ptr = p->f->backward ? backward : forward,
                            .stride = stride,
                            .rows = 1,
                            .cols = CHUNK,
                            .a = p->f->a,
                            .accumulate = accumulate};
    const pnng_op_kernels *const op = &(p->f64 ? &isa->f64 : &isa->f32)->op[p->f->op];
    (p->f->backward ? op->backward : op->forward)(&call);
}

static void *work(void *of) {
    points *const p = of;
    const size_t bytes = p->f64 ? 8 : 4;
    result *const exact = malloc(CHUNK * sizeof *exact);
    char *const x = malloc(3 * CHUNK * bytes), *const y = x + CHUNK * bytes;
    char *const ones = y + CHUNK * bytes;
    double worst[ISA_CASES] = {0}, where[ISA_CASES] = {0};
    for (int i = 0; i < CHUNK; i++)
        real_set(ones, p->f64, i, 1);
    for (uint64_t c; (c = atomic_fetch_add(&p->next, 1)) < p->chunks;) {
        for (int i = 0; i < CHUNK; i++) {
            real_set(x, p->f64, i, point(p, c * CHUNK + (uint64_t)i));
            const double xi = real_get(x, p->f64, i);
            const long double yi =
                p->f64 ? p->f->of_double(xi, p->f->a) : p->f->of_float(xi, p->f->a);
            exact[i] = result_of(p->f64, yi);
        }
        const pnng_isa *isa;
        for (int k = 0; k < ISA_CASES; k++) {
            if (!isa_at(k, &isa))
                continue;
            run(p, isa, y, x, ones);
            for (int i = 0; i < CHUNK; i++) {
                const double error = error_of(p->f64, real_get(y, p->f64, i), &exact[i]);
                if (error > worst[k]) {
                    worst[k] = error;
                    where[k] = real_get(x, p->f64, i);
                }
            }
        }
        if (p->all && c % 4096 == 0) {
            fprintf(stderr, "\r%3d %%", (int)(100 * c / p->chunks));
            fflush(stderr);
        }
    }
    free(exact);
    free(x);
    pthread_mutex_lock(&p->lock);
    for (int k = 0; k < ISA_CASES; k++) {
        if (worst[k] > p->worst[k]) {
            p->worst[k] = worst[k];
            p->where[k] = where[k];
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void test_function(const function *f, bool f64, bool all, int threads) {
    points p = {.f = f, .f64 = f64, .all = all, .lock = PTHREAD_MUTEX_INITIALIZER};
    /* The long double of some machines is done in software, and slow. */
    const uint64_t few = LDBL_MANT_DIG > 64 ? 1 : 4;
    p.chunks = !all ? few : f64 ? 4096 : (UINT64_C(1) << 32) / CHUNK;
    pthread_t others[64];
    for (int t = 1; t < threads; t++)
        pthread_create(&others[t], NULL, work, &p);
    work(&p);
    for (int t = 1; t < threads; t++)
        pthread_join(others[t], NULL);
    char title[64];
    snprintf(title, sizeof title, f->a == 0 ? "%s" : "%s, a = %g", f->name, f->a);
    printf(all ? "\r%-26s %s" : "%-26s %s", title, f64 ? "double" : "float ");
    const pnng_isa *isa;
    for (int k = 0; k < ISA_CASES; k++)
        if (isa_at(k, &isa))
            printf("  %s %.3f (%a)", isa->name, p.worst[k], p.where[k]);
    printf("\n");
    snprintf(test_where, sizeof test_where, "%s of %s", title, f64 ? "double" : "float");
    for (int k = 0; k < ISA_CASES; k++)
        CHECK(p.worst[k] <= f->bound[f64]);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const bool all = argc > 1 && !strcmp(argv[1], "--all");
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    const char *const only = argc > 3 ? argv[3] : "";
    for (int k = 0; k < FUNCTIONS; k++)
        for (int f64 = 0; f64 < 2 && !strncmp(functions[k].name, only, strlen(only)); f64++)
            test_function(&functions[k], f64, all, threads < 1 ? 1 : threads > 64 ? 64 : threads);
    return test_result();
}
