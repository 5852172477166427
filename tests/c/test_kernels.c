/* Every kernel of every instruction set, for float and double, against plain references: all short
 * lengths, strided rows, in place, storing and adding, in guarded memory (test_support.h).
 *
 * How exact transcendental functions are, test_ulps.c says. */
#include "kernel_support.h"

#include "../../csrc/kernels/shared.inc"

/* ---- tolerances ---- */

/* How far a result may be from its reference. `exact`: not at all. `ulp2`, `ulp4`: so many units in
 * the last place. `sum`: as a sum of n terms of absolute sum s may err. */
typedef enum tolerance { EXACT, ULP2, ULP4, SUM } tolerance;

static bool within(tolerance class, bool f64, double x, long double y, double n, double s) {
    switch (class) {
    case EXACT:
        return same_number(x, as_real(f64, (double)y));
    case ULP2:
        return ulps(f64, x, y) <= 2;
    case ULP4:
        return ulps(f64, x, y) <= 4;
    default:
        return sum_is_near(f64, x, y, n, s);
    }
}

/* ---- what is tested, and how it is called ---- */

enum { MAX_OPERANDS = 48 };

typedef struct call {
    pnng_call c;
    void *ptr[MAX_OPERANDS];
    ptrdiff_t stride[MAX_OPERANDS];
    uint8_t accumulate[MAX_OPERANDS];
    int64_t bad[2];
} call;

static call *call_new(call *k, size_t rows, size_t cols) {
    *k = (call){.c = {.rows = rows, .cols = cols, .n = 1, .inner = 1, .a = 1}};
    k->c.ptr = k->ptr;
    k->c.stride = k->stride;
    k->c.accumulate = k->accumulate;
    k->c.bad = k->bad;
    return k;
}

static void give(call *k, size_t index, const operand *o) {
    k->ptr[index] = o->data;
    k->stride[index] = o->stride;
}

/* Shapes that every rows x cols kernel is called with. */
typedef struct shape {
    size_t rows, cols;
    ptrdiff_t stride;
} shape;

static size_t shapes(shape *list) {
    size_t n = 0;
    for (size_t k = 1; k <= 2 * lanes + 1; k++) {
        list[n++] = (shape){1, k, (ptrdiff_t)k};
        list[n++] = (shape){3, k, (ptrdiff_t)k + 3};
        list[n++] = (shape){2, k, (ptrdiff_t)k};
    }
    const shape more[] = {{1, 130, 130}, {1, 519, 519}, {7, 67, 67}, {5, 67, 71},
                          {37, 1, 9},    {37, 1, 1},    {0, 3, 3},   {3, 0, 5}};
    for (size_t k = 0; k < sizeof more / sizeof more[0]; k++)
        list[n++] = more[k];
    return n;
}
enum { MAX_SHAPES = 3 * 33 + 8 };

/* ---- elementwise ---- */

static double rnd(double x) { return as_real(f64, x); }

/* The second real attribute of all elementwise ops here. */
static const double attribute_b = 0.875;

static long double ref_tanh(double x, double a) { return tanhl(x); }
static long double ref_sigmoid(double x, double a) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-(long double)x));
}
static long double ref_relu(double x, double a) { return x <= 0 ? 0 : x; }
static long double ref_exp(double x, double a) { return expl(x); }
static long double ref_log(double x, double a) { return logl(x); }
static long double ref_abs(double x, double a) { return fabs(x); }
static long double ref_square(double x, double a) { return rnd(x * x); }
static long double ref_sqrt(double x, double a) { return rnd(sqrt(x)); }
static long double ref_root(double x, double a) { return rnd(sqrt(x)); }
static long double ref_power(double x, double a) { return powl(x, a); }
static long double ref_softsign(double x, double a) { return rnd(x / rnd(1 + fabs(x))); }
static long double ref_logsigmoid(double x, double a) {
    return fminl(x, 0) - log1pl(expl(-fabsl(x)));
}
static long double ref_softplus(double x, double a) {
    const long double z = (long double)x * a;
    return z > 20 ? x : (fmaxl(z, 0) + log1pl(expl(-fabsl(z)))) / a;
}
static long double ref_elu(double x, double a) { return x > 0 ? x : a * expm1l(x); }
static long double ref_leakyrelu(double x, double a) { return x > 0 ? x : rnd(x * a); }
static long double ref_threshold(double x, double a) { return x > a ? x : attribute_b; }
static long double ref_hardtanh(double x, double a) {
    return x < a ? a : x > attribute_b ? attribute_b : x;
}
static long double ref_hardshrink(double x, double a) { return fabs(x) <= a ? 0 : x; }
static long double ref_softshrink(double x, double a) {
    return x > a ? rnd(x - a) : x < -a ? rnd(x + a) : 0;
}
static long double ref_mul_constant(double x, double a) { return rnd(x * a); }
static long double ref_add_constant(double x, double a) { return rnd(x + a); }

static double back_tanh(double y, double g, double a) { return rnd(g * rnd(1 - rnd(y * y))); }
static double back_sigmoid(double y, double g, double a) { return rnd(rnd(g * rnd(1 - y)) * y); }
static double back_relu(double y, double g, double a) { return y > 0 ? g : 0; }
static double back_exp(double y, double g, double a) { return rnd(g * y); }
static double back_log(double x, double g, double a) { return rnd(g / x); }
static double back_abs(double x, double g, double a) { return x >= 0 ? g : -g; }
static double back_square(double x, double g, double a) { return rnd(2 * g * x); }
static double back_sqrt(double y, double g, double a) { return y == 0 ? 0 : rnd(g / 2 / y); }
static double back_root(double y, double g, double a) { return rnd(g / 2 / rnd(y + a)); }
static double back_power(double x, double g, double a) { return rnd(g * a * pow(x, a - 1)); }
static double back_softsign(double x, double g, double a) {
    const double d = rnd(1 + fabs(x));
    return rnd(g / rnd(d * d));
}
static double back_logsigmoid(double y, double g, double a) { return rnd(-g * expm1(y)); }
static double back_softplus(double y, double g, double a) {
    return a * y > 20 ? g : rnd(-g * expm1(-a * y));
}
static double back_elu(double y, double g, double a) { return y > 0 ? g : rnd(g * rnd(y + a)); }
static double back_leakyrelu(double x, double g, double a) { return x > 0 ? g : rnd(g * a); }
static double back_threshold(double x, double g, double a) { return x > a ? g : 0; }
static double back_hardtanh(double y, double g, double a) {
    return y <= a || y >= attribute_b ? 0 : g;
}
static double back_hardshrink(double x, double g, double a) { return fabs(x) <= a ? 0 : g; }
static double back_softshrink(double x, double g, double a) { return fabs(x) <= a ? 0 : g; }
static double back_mul_constant(double x, double g, double a) { return rnd(g * a); }
static double back_add_constant(double x, double g, double a) { return g; }

typedef struct unary_case {
    pnng_op op;
    const char *name;
    long double (*forward)(double x, double a);
    double (*backward)(double s, double g, double a);
    tolerance class, backward_class;
    double low, high, a;
} unary_case;

#define UNARY_CASE(CODE, name, ...) {PNNG_OP_##CODE, #name, ref_##name, back_##name, __VA_ARGS__}

static const unary_case unary_cases[] = {
    UNARY_CASE(TANH, tanh, ULP2, EXACT, -4, 4, 0),
    UNARY_CASE(SIGMOID, sigmoid, ULP2, EXACT, -9, 9, 0),
    UNARY_CASE(RELU, relu, EXACT, EXACT, -1, 1, 0),
    UNARY_CASE(EXP, exp, ULP2, EXACT, -9, 9, 0),
    UNARY_CASE(LOG, log, ULP2, EXACT, 1e-3, 9, 0),
    UNARY_CASE(ABS, abs, EXACT, EXACT, -4, 4, 0),
    UNARY_CASE(SQUARE, square, EXACT, EXACT, -4, 4, 0),
    UNARY_CASE(SQRT, sqrt, EXACT, EXACT, 0, 4, 0),
    UNARY_CASE(ROOT, root, EXACT, EXACT, 0, 4, 0.25),
    UNARY_CASE(POWER, power, ULP2, SUM, 0.1, 4, 2.5),
    UNARY_CASE(SOFTSIGN, softsign, EXACT, EXACT, -4, 4, 0),
    UNARY_CASE(LOGSIGMOID, logsigmoid, ULP2, SUM, -9, 9, 0),
    UNARY_CASE(SOFTPLUS, softplus, ULP2, SUM, -9, 9, 2),
    UNARY_CASE(ELU, elu, ULP2, EXACT, -4, 4, 0.5),
    UNARY_CASE(LEAKYRELU, leakyrelu, EXACT, EXACT, -4, 4, 0.3),
    UNARY_CASE(THRESHOLD, threshold, EXACT, EXACT, -1, 1, 0.2),
    UNARY_CASE(HARDTANH, hardtanh, EXACT, EXACT, -2, 2, -0.7),
    UNARY_CASE(HARDSHRINK, hardshrink, EXACT, EXACT, -1, 1, 0.4),
    UNARY_CASE(SOFTSHRINK, softshrink, EXACT, EXACT, -1, 1, 0.4),
    UNARY_CASE(MUL_CONSTANT, mul_constant, EXACT, EXACT, -4, 4, 1.7),
    UNARY_CASE(ADD_CONSTANT, add_constant, EXACT, EXACT, -4, 4, -0.3),
};
enum { UNARY_CASES = sizeof unary_cases / sizeof unary_cases[0] };

/* An op without a row above: the scalar kernel on one element is its reference. That shows that
 * each lane, tail and row of it is treated alike; what the function is, the Python tests know. */
static pnng_op unlisted;

static double scalar_of_one(bool forward, double s, double g, double a) {
    double in[2][1], out[1];
    real_set(in[0], f64, 0, forward ? s : g);
    real_set(in[1], f64, 0, s);
    call k;
    call_new(&k, 1, 1)->c.a = a;
    k.c.b = attribute_b;
    k.ptr[0] = out;
    k.ptr[1] = in[0];
    k.ptr[2] = in[1];
    const pnng_op_kernels *const op =
        &(f64 ? &pnng_isa_scalar->f64 : &pnng_isa_scalar->f32)->op[unlisted];
    (forward ? op->forward : op->backward)(&k.c);
    return real_get(out, f64, 0);
}

static long double ref_unlisted(double x, double a) { return scalar_of_one(true, x, 0, a); }
static double back_unlisted(double s, double g, double a) { return scalar_of_one(false, s, g, a); }

static const char *const op_names[] = {
#define PNNG_OP(CODE, name, ...) #name,
#include "../../csrc/ops.def"
#undef PNNG_OP
};

static bool is_unary(pnng_op op) {
    static const char *const families[] = {
#define PNNG_OP(CODE, name, family, ...) #family,
#include "../../csrc/ops.def"
#undef PNNG_OP
    };
    return strncmp(families[op], "unary", 5) == 0;
}

static bool is_listed(pnng_op op) {
    for (int c = 0; c < UNARY_CASES; c++)
        if (unary_cases[c].op == op)
            return true;
    return false;
}

static void check_unary_forward(const unary_case *u, shape s, placement where, bool in_place,
                                bool stream) {
    const operand x = make(0, where, s.rows, s.cols, s.stride);
    const operand y = in_place ? x : make(1, where, s.rows, s.cols, s.stride);
    operand_fill(&x, u->low, u->high);
    double *const before = operand_copy(&x);
    call k;
    call_new(&k, s.rows, s.cols)->c.a = u->a;
    k.c.b = attribute_b;
    k.c.stream = stream;
    give(&k, 0, &y);
    give(&k, 1, &x);
    CHECK(kernels->op[u->op].forward(&k.c) == PNNG_OK);
    bool ok = true;
    for (size_t r = 0; r < s.rows; r++)
        for (size_t i = 0; i < s.cols; i++)
            ok &= within(u->class, f64, get_at(&y, r, i),
                         u->forward(before[r * s.cols + i], rnd(u->a)), 1, 1);
    CHECK(ok);
    CHECK(operand_intact(&y) && (in_place || operand_unchanged(&x, before)));
    free(before);
}

static void check_unary_backward(const unary_case *u, shape s, placement where, bool in_place,
                                 bool add, bool stream) {
    const operand g = make(0, where, s.rows, s.cols, s.stride);
    const operand y = make(1, where, s.rows, s.cols, s.stride);
    const operand dx = in_place ? g : make(2, where, s.rows, s.cols, s.stride);
    operand_fill(&dx, -1, 1);
    operand_fill(&g, -1, 1);
    operand_fill(&y, u->low, u->high);
    double *const of_g = operand_copy(&g), *const of_y = operand_copy(&y);
    double *const before = operand_copy(&dx);
    call k;
    call_new(&k, s.rows, s.cols)->c.a = u->a;
    k.c.b = attribute_b;
    k.c.stream = stream;
    give(&k, 0, &dx);
    give(&k, 1, &g);
    give(&k, 2, &y);
    k.accumulate[0] = add;
    CHECK(kernels->op[u->op].backward(&k.c) == PNNG_OK);
    bool ok = true;
    for (size_t r = 0; r < s.rows; r++)
        for (size_t i = 0; i < s.cols; i++) {
            const size_t at = r * s.cols + i;
            const double d = u->backward(of_y[at], of_g[at], rnd(u->a));
            ok &= within(u->backward_class, f64, get_at(&dx, r, i), add ? rnd(before[at] + d) : d,
                         1, fabs(before[at]) + fabs(d));
        }
    CHECK(ok);
    CHECK(operand_intact(&dx) && operand_unchanged(&y, of_y));
    CHECK(in_place || operand_unchanged(&g, of_g));
    k.ptr[0] = NULL;
    CHECK(kernels->op[u->op].backward(&k.c) == PNNG_OK);
    free(of_g);
    free(of_y);
    free(before);
}

static void test_unary_case(const unary_case *u) {
    shape list[MAX_SHAPES];
    const size_t n = shapes(list);
    for (size_t s = 0; s < n; s++) {
        snprintf(test_where, sizeof test_where, "%s %s %s %zu x %zu", isa->name,
                 f64 ? "f64" : "f32", u->name, list[s].rows, list[s].cols);
        for (int where = 0; where < PLACEMENTS; where++) {
            for (int flags = 0; flags < 4; flags++) {
                const bool flag = flags & 1, stream = flags & 2;
                check_unary_forward(u, list[s], (placement)where, flag, stream);
                check_unary_backward(u, list[s], (placement)where, flag, false, stream);
                if (flag)
                    check_unary_backward(u, list[s], (placement)where, false, true, stream);
            }
        }
    }
}

static void test_unary(void) {
    for (int c = 0; c < UNARY_CASES; c++)
        test_unary_case(&unary_cases[c]);
    for (int op = 0; op < PNNG_OP_COUNT; op++) {
        unlisted = (pnng_op)op;
        if (is_unary(unlisted) && !is_listed(unlisted))
            test_unary_case(&(unary_case){.op = unlisted,
                                          .name = op_names[op],
                                          .forward = ref_unlisted,
                                          .backward = back_unlisted,
                                          .class = SUM,
                                          .backward_class = SUM,
                                          .low = 0.1,
                                          .high = 0.9,
                                          .a = 0.7});
    }
}

/* The result of a unary op for one number. */
static double unary_with(pnng_op op, double x, double a) {
    double in[8], out[8];
    real_set(in, f64, 0, x);
    call k;
    call_new(&k, 1, 1)->c.a = a;
    k.ptr[0] = out;
    k.ptr[1] = in;
    kernels->op[op].forward(&k.c);
    return real_get(out, f64, 0);
}

static double unary_of(pnng_op op, double x) { return unary_with(op, x, 1); }

static void test_special_values(void) {
    snprintf(test_where, sizeof test_where, "%s %s special values", isa->name, f64 ? "f64" : "f32");
    const double tiny = f64 ? 0x1p-1074 : 0x1p-149, max = f64 ? DBL_MAX : (double)FLT_MAX;
    const struct {
        pnng_op op;
        double x, y;
    } values[] = {
        {PNNG_OP_TANH, 0.0, 0.0},
        {PNNG_OP_TANH, -0.0, -0.0},
        {PNNG_OP_TANH, INFINITY, 1},
        {PNNG_OP_TANH, -INFINITY, -1},
        {PNNG_OP_TANH, NAN, NAN},
        {PNNG_OP_TANH, tiny, tiny},
        {PNNG_OP_TANH, -max, -1},
        {PNNG_OP_SIGMOID, 0.0, 0.5},
        {PNNG_OP_SIGMOID, -0.0, 0.5},
        {PNNG_OP_SIGMOID, INFINITY, 1},
        {PNNG_OP_SIGMOID, -INFINITY, 0.0},
        {PNNG_OP_SIGMOID, NAN, NAN},
        {PNNG_OP_SIGMOID, max, 1},
        {PNNG_OP_SIGMOID, -max, 0.0},
        {PNNG_OP_RELU, NAN, NAN},
        {PNNG_OP_RELU, -0.0, 0.0},
        {PNNG_OP_RELU, -INFINITY, 0.0},
        {PNNG_OP_RELU, INFINITY, INFINITY},
        {PNNG_OP_EXP, 0.0, 1},
        {PNNG_OP_EXP, -0.0, 1},
        {PNNG_OP_EXP, INFINITY, INFINITY},
        {PNNG_OP_EXP, -INFINITY, 0.0},
        {PNNG_OP_EXP, NAN, NAN},
        {PNNG_OP_EXP, max, INFINITY},
        {PNNG_OP_EXP, -max, 0.0},
        {PNNG_OP_EXP, tiny, 1},
        {PNNG_OP_LOG, 0.0, -INFINITY},
        {PNNG_OP_LOG, -0.0, -INFINITY},
        {PNNG_OP_LOG, 1, 0.0},
        {PNNG_OP_LOG, -1, NAN},
        {PNNG_OP_LOG, INFINITY, INFINITY},
        {PNNG_OP_LOG, -INFINITY, NAN},
        {PNNG_OP_LOG, NAN, NAN},
        {PNNG_OP_LOG, -tiny, NAN},
        {PNNG_OP_ABS, -0.0, 0.0},
        {PNNG_OP_ABS, NAN, NAN},
        {PNNG_OP_SQUARE, NAN, NAN},
        {PNNG_OP_SQRT, -0.0, -0.0},
        {PNNG_OP_SQRT, -1, NAN},
        {PNNG_OP_SQRT, NAN, NAN},
        {PNNG_OP_SOFTSIGN, -max, -1},
        {PNNG_OP_SOFTSIGN, NAN, NAN},
        {PNNG_OP_LOGSIGMOID, -INFINITY, -INFINITY},
        {PNNG_OP_LOGSIGMOID, INFINITY, -0.0},
        {PNNG_OP_LOGSIGMOID, -max, -max},
        {PNNG_OP_LOGSIGMOID, NAN, NAN},
        {PNNG_OP_SOFTPLUS, -INFINITY, 0.0},
        {PNNG_OP_SOFTPLUS, INFINITY, INFINITY},
        {PNNG_OP_SOFTPLUS, max, max},
        {PNNG_OP_SOFTPLUS, NAN, NAN},
        {PNNG_OP_ELU, -INFINITY, -1},
        {PNNG_OP_ELU, -tiny, -tiny},
        {PNNG_OP_ELU, INFINITY, INFINITY},
        {PNNG_OP_ELU, NAN, NAN},
        {PNNG_OP_LEAKYRELU, NAN, NAN},
        {PNNG_OP_THRESHOLD, NAN, NAN},
        {PNNG_OP_HARDTANH, NAN, NAN},
        {PNNG_OP_HARDSHRINK, NAN, NAN},
        {PNNG_OP_HARDSHRINK, -0.0, 0.0},
        {PNNG_OP_HARDSHRINK, -INFINITY, -INFINITY},
        {PNNG_OP_SOFTSHRINK, NAN, NAN},
        {PNNG_OP_SOFTSHRINK, -max, -max},
        {PNNG_OP_SOFTSHRINK, INFINITY, INFINITY},
    };
    for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
        const double y = unary_of(values[k].op, values[k].x);
        if (!CHECK(same_number(y, values[k].y)))
            printf("    op %d of %g is %g, not %g\n", values[k].op, values[k].x, y, values[k].y);
    }
    CHECK(ulps(f64, unary_of(PNNG_OP_LOG, tiny), logl(tiny)) <= 2);
    CHECK(ulps(f64, unary_of(PNNG_OP_LOG, max), logl(max)) <= 2);
}

static void check_power(double x, double p) {
    const double y = unary_with(PNNG_OP_POWER, x, p);
    const long double expected = powl(rnd(x), rnd(p));
    const bool same_sign = isnan(y) || !signbit(y) == !signbit((double)expected);
    if (!CHECK(ulps(f64, y, expected) <= 2 && same_sign))
        printf("    %a to the power of %a is %a, not %La\n", x, p, y, expected);
}

/* All edges that C's pow knows, and any powers whose results are numbers. */
static void test_power(void) {
    snprintf(test_where, sizeof test_where, "%s %s power", isa->name, f64 ? "f64" : "f32");
    const double tiny = f64 ? 0x1p-1074 : 0x1p-149, max = f64 ? DBL_MAX : (double)FLT_MAX;
    const double least = f64 ? DBL_MIN : (double)FLT_MIN, eps = f64 ? DBL_EPSILON : FLT_EPSILON;
    const double sizes[] = {0,   tiny, least, 0.5, 1 - eps, 1,       1 + eps,
                            1.5, 2,    3,     1e4, max,     INFINITY};
    const double powers[] = {0,   tiny, eps,  0.5,     1 / 3.0, 1,   1.5, 2,       3,
                             4.5, 1e3,  1001, 1 / eps, 1e15,    max, max, INFINITY};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < 2 * sizeof powers / sizeof *powers; j++)
            check_power(i % 2 ? -sizes[i / 2] : sizes[i / 2],
                        j % 2 ? -powers[j / 2] : powers[j / 2]);
    for (size_t j = 1; j < sizeof powers / sizeof *powers; j++)
        CHECK(isnan(unary_with(PNNG_OP_POWER, NAN, powers[j])));
    for (int k = 0; k < 20000; k++) {
        const double range = ldexp(1, k % 32), p = random_in(-range, range);
        const double most = (f64 ? 1020 : 126) / fabs(p); /* of the exponent of x */
        check_power(exp2(random_in(-most, most)), p);
    }
}

/* ---- tables ---- */

typedef double step_fn(double so_far, double x);
static double step_add(double so_far, double x) { return rnd(so_far + x); }
static double step_sub(double so_far, double x) { return rnd(so_far - x); }
static double step_mul(double so_far, double x) { return rnd(so_far * x); }
static double step_div(double so_far, double x) { return rnd(so_far / x); }
static double step_max(double so_far, double x) { return x > so_far ? x : so_far; }
static double step_min(double so_far, double x) { return x < so_far ? x : so_far; }
static double step_prelu(double x, double slope) { return x > 0 ? x : rnd(x * slope); }

/* The gradients of one element of a table. */
typedef void back_fn(size_t n, double g, const double *x, double *d);

static void back_product(size_t n, double g, const double *x, double *d) {
    double after[MAX_OPERANDS];
    for (size_t i = n; i-- > 1;)
        after[i] = i + 1 == n ? x[i] : rnd(x[i] * after[i + 1]);
    double before = g;
    for (size_t i = 0; i < n; i++) {
        d[i] = i + 1 < n ? rnd(before * after[i + 1]) : before;
        before = rnd(before * x[i]);
    }
}
static void back_quotient(size_t n, double g, const double *x, double *d) {
    d[0] = g;
    for (size_t i = 1; i < n; i++)
        d[0] = rnd(d[0] / x[i]);
    for (size_t i = 1; i < n; i++)
        d[i] = -rnd(rnd(d[0] / x[i]) * x[0]);
}
static void back_sum(size_t n, double g, const double *x, double *d) {
    for (size_t i = 0; i < n; i++)
        d[i] = g;
}
static void back_difference(size_t n, double g, const double *x, double *d) {
    for (size_t i = 0; i < n; i++)
        d[i] = i == 0 ? g : -g;
}
static void back_best(size_t n, double g, const double *x, double *d, step_fn *step) {
    size_t winner = 0;
    for (size_t i = 1; i < n; i++)
        if (step(x[winner], x[i]) != x[winner] && !isnan(x[winner]))
            winner = i;
    for (size_t i = 0; i < n; i++)
        d[i] = i == winner ? g : 0;
}
static void back_greatest(size_t n, double g, const double *x, double *d) {
    back_best(n, g, x, d, step_max);
}
static void back_least(size_t n, double g, const double *x, double *d) {
    back_best(n, g, x, d, step_min);
}

static void back_prelu(size_t n, double g, const double *x, double *d) {
    d[0] = x[0] > 0 ? g : rnd(g * x[1]);
    d[1] = x[0] > 0 ? 0 : rnd(g * x[0]);
}

static const struct table_case {
    pnng_op op;
    const char *name;
    step_fn *step;
    back_fn *back;
    size_t inputs; /* 0: any number */
} table_cases[] = {
    {PNNG_OP_ADD, "add", step_add, back_sum, 0},
    {PNNG_OP_SUB, "sub", step_sub, back_difference, 0},
    {PNNG_OP_MUL, "mul", step_mul, back_product, 0},
    {PNNG_OP_DIV, "div", step_div, back_quotient, 0},
    {PNNG_OP_MAX, "max", step_max, back_greatest, 0},
    {PNNG_OP_MIN, "min", step_min, back_least, 0},
    {PNNG_OP_PRELU, "prelu", step_prelu, back_prelu, 2},
};
enum { TABLE_CASES = sizeof table_cases / sizeof table_cases[0] };

/* Small whole numbers now and then, so that equals and zeros happen, and rarely NaN. */
static void fill_table(const operand *o, bool zeros) {
    for (size_t r = 0; r < o->rows; r++)
        for (size_t k = 0; k < o->cols; k++) {
            const uint64_t dice = random_bits() % 16;
            const double whole = (double)(random_bits() % 3) - (zeros ? 1 : 4);
            set_at(o, r, k, dice == 0 ? NAN : dice < 6 ? whole : random_in(0.5, 2));
        }
}

static void check_fold(const struct table_case *t, shape s, placement where, size_t n,
                       size_t in_place, bool stream) {
    operand x[MAX_OPERANDS];
    double *before[MAX_OPERANDS];
    call k;
    call_new(&k, s.rows, s.cols)->c.n = n;
    k.c.stream = stream;
    for (size_t i = 0; i < n; i++) {
        x[i] = make(i, where, s.rows, s.cols, s.stride);
        fill_table(&x[i], true);
        before[i] = operand_copy(&x[i]);
        give(&k, 1 + i, &x[i]);
    }
    const operand y = in_place < n ? x[in_place] : make(n, where, s.rows, s.cols, s.stride);
    give(&k, 0, &y);
    CHECK(kernels->op[t->op].forward(&k.c) == PNNG_OK);
    bool ok = true;
    for (size_t at = 0; at < s.rows * s.cols; at++) {
        double expected = before[0][at];
        for (size_t i = 1; i < n; i++)
            expected = t->step(expected, before[i][at]);
        ok &= same_number(get_at(&y, at / s.cols, at % s.cols), expected);
    }
    CHECK(ok && operand_intact(&y));
    for (size_t i = 0; i < n; i++) {
        CHECK(i == in_place || operand_unchanged(&x[i], before[i]));
        free(before[i]);
    }
}

/* Gradient i goes to d[to[i]]; to[i] = n stands for "not wanted". */
static void check_table_back(const struct table_case *t, shape s, placement where, size_t n,
                             const size_t *to, const uint8_t *add, bool stream) {
    operand x[MAX_OPERANDS], d[MAX_OPERANDS];
    double *of_x[MAX_OPERANDS], *of_d[MAX_OPERANDS];
    call k;
    call_new(&k, s.rows, s.cols)->c.n = n;
    k.c.stream = stream;
    const operand g = make(2 * n, where, s.rows, s.cols, s.stride);
    operand_fill(&g, -2, 2);
    const operand w = make(2 * n + 1, where, 1, 4 * n * PNNG_MAX_VECTOR_BYTES / bytes, 0);
    const bool is_sum = t->op == PNNG_OP_ADD || t->op == PNNG_OP_SUB;
    const size_t first_d = is_sum ? 1 : 2 + n;
    give(&k, 0, &g);
    if (n > PNNG_TABLE_SOME)
        give(&k, 1, &w);
    for (size_t i = 0; i < n; i++) {
        x[i] = make(i, where, s.rows, s.cols, s.stride);
        fill_table(&x[i], t->op != PNNG_OP_DIV);
        of_x[i] = operand_copy(&x[i]);
        if (!is_sum)
            give(&k, 2 + i, &x[i]);
        d[i] = make(n + i, where, s.rows, s.cols, s.stride);
        operand_fill(&d[i], -1, 1);
        of_d[i] = operand_copy(&d[i]);
    }
    for (size_t i = 0; i < n; i++) {
        k.accumulate[i] = add[i];
        if (to[i] < n)
            give(&k, first_d + i, &d[to[i]]);
        else
            k.ptr[first_d + i] = NULL;
    }
    CHECK(kernels->op[t->op].backward(&k.c) == PNNG_OK);
    for (size_t at = 0; at < s.rows * s.cols; at++) {
        double values[MAX_OPERANDS], grads[MAX_OPERANDS];
        for (size_t i = 0; i < n; i++)
            values[i] = of_x[i][at];
        t->back(n, get_at(&g, at / s.cols, at % s.cols), values, grads);
        for (size_t i = 0; i < n; i++)
            if (to[i] < n)
                of_d[to[i]][at] = add[i] ? rnd(of_d[to[i]][at] + grads[i]) : grads[i];
    }
    CHECK(operand_intact(&g) && operand_intact(&w));
    for (size_t i = 0; i < n; i++) {
        CHECK(operand_unchanged(&x[i], of_x[i]));
        CHECK(operand_unchanged(&d[i], of_d[i]));
        free(of_x[i]);
        free(of_d[i]);
    }
}

static void test_long_tables(void) {
    const size_t apart[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    const uint8_t store[18] = {0}, some[18] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    const shape list[] = {{1, 9 * lanes + 1, 0}, {3, lanes, 2 * (ptrdiff_t)lanes}};
    for (int c = 0; c < TABLE_CASES; c++)
        for (int s = 0; s < 2; s++)
            for (size_t n = 6; n <= PNNG_TABLE_SOME + 2 && !table_cases[c].inputs; n++)
                for (int stream = 0; stream < 2; stream++) {
                    const struct table_case *const t = &table_cases[c];
                    snprintf(test_where, sizeof test_where, "%s %s %s of %zu", isa->name,
                             f64 ? "f64" : "f32", t->name, n);
                    check_fold(t, list[s], AT_END, n, n, stream);
                    check_table_back(t, list[s], AT_END, n, apart, store, stream);
                    check_table_back(t, list[s], MISALIGNED, n, apart, some, stream);
                }
}

static void test_tables(void) {
    shape list[MAX_SHAPES];
    const size_t n_shapes = shapes(list);
    for (int c = 0; c < TABLE_CASES; c++) {
        const struct table_case *const t = &table_cases[c];
        for (size_t s = 0; s < n_shapes; s++) {
            snprintf(test_where, sizeof test_where, "%s %s %s %zu x %zu", isa->name,
                     f64 ? "f64" : "f32", t->name, list[s].rows, list[s].cols);
            for (size_t n = 1; n <= 5; n++) {
                if (t->inputs && n != t->inputs)
                    continue;
                const placement where = (placement)((s + n) % PLACEMENTS);
                const size_t apart[] = {0, 1, 2, 3, 4}, twice[] = {0, n, 0, n - 1, n - 1};
                const uint8_t store[] = {0, 0, 0, 0, 0}, both[] = {0, 1, 1, 0, 1};
                for (int stream = 0; stream < 2; stream++) {
                    check_fold(t, list[s], where, n, n, stream);
                    check_fold(t, list[s], where, n, (s + n) % n, stream);
                    check_table_back(t, list[s], where, n, apart, store, stream);
                    check_table_back(t, list[s], where, n, apart, both, stream);
                    check_table_back(t, list[s], where, n, twice, both, stream);
                }
            }
        }
    }
}

/* ---- every distance from an aligned address ---- */

/* An operand of one row, `by` elements past an aligned address. */
static operand make_shifted(size_t slot, size_t n, size_t by) {
    operand o = make(slot, ALIGNED, 1, n, 0);
    o.data += by * bytes;
    return o;
}

static double first_of(double x, double y) { return x; }
static double back_shifted(double g, double x) { return back_leakyrelu(x, g, 1); }

/* All kernels that step to an aligned address, with n elements of y `by` elements past one. */
static void check_misaligned(size_t n, size_t by, size_t by_x, bool stream) {
    operand o[5]; /* y, x_1, x_2, and for gradients d_1, d_2 */
    for (size_t i = 0; i < 5; i++) {
        o[i] = make_shifted(i, n, i == 0 || i == 3 ? by : i == 4 ? by_x : by_x + i);
        operand_fill(&o[i], -1, 1);
    }
    call k;
    call_new(&k, 1, n)->c.n = 2;
    k.c.stream = stream;
    for (size_t i = 0; i < 3; i++)
        give(&k, i, &o[i]);
    const struct {
        pnng_kernel *kernel;
        double (*expected)(double x, double y);
    } cases[] = {{kernels->op[PNNG_OP_ADD].forward, step_add},
                 {kernels->op[PNNG_OP_MUL].forward, step_mul},
                 {kernels->op[PNNG_OP_LEAKYRELU].backward, back_shifted},
                 {kernels->common.scale, first_of},
                 {kernels->op[PNNG_OP_MUL_CONSTANT].forward, first_of}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CHECK(cases[c].kernel(&k.c) == PNNG_OK);
        bool ok = operand_intact(&o[0]);
        for (size_t i = 0; i < n; i++)
            ok &= same_number(get_at(&o[0], 0, i),
                              cases[c].expected(get_at(&o[1], 0, i), get_at(&o[2], 0, i)));
        CHECK(ok);
    }
    const size_t order[] = {1, 0, 2, 0, 3, 4}; /* g, w, x_1, x_2, d_1, d_2 */
    for (size_t i = 0; i < 6; i++)
        give(&k, i, &o[order[i]]);
    give(&k, 3, &o[0]);
    k.ptr[1] = NULL;
    CHECK(kernels->op[PNNG_OP_MUL].backward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&o[3]) && operand_intact(&o[4]);
    for (size_t i = 0; i < n; i++) {
        ok &= get_at(&o[3], 0, i) == step_mul(get_at(&o[1], 0, i), get_at(&o[0], 0, i));
        ok &= get_at(&o[4], 0, i) == step_mul(get_at(&o[1], 0, i), get_at(&o[2], 0, i));
    }
    CHECK(ok);
    give(&k, 0, &o[0]);
    k.c.a = 0.3;
    CHECK(kernels->common.fill(&k.c) == PNNG_OK);
    ok = operand_intact(&o[0]);
    for (size_t i = 0; i < n; i++)
        ok &= get_at(&o[0], 0, i) == rnd(0.3);
    CHECK(ok);
}

static void test_misaligned(void) {
    const size_t line = 64 / bytes;
    for (int stream = 0; stream < 2; stream++)
        for (size_t by = 0; by <= line; by++) {
            for (size_t n = 0; n <= 3 * lanes + 1; n++) {
                snprintf(test_where, sizeof test_where, "%s %s %zu elements, %zu past a line",
                         isa->name, f64 ? "f64" : "f32", n, by);
                check_misaligned(n, by, n % 3, stream);
            }
            check_misaligned(40 * lanes + by, by, by, stream);
        }
}

/* ---- slices ---- */

static void check_slices(pnng_op op, size_t rows, size_t n, size_t inner, ptrdiff_t gap,
                         placement where, double size, bool add) {
    const bool is_log = op == PNNG_OP_LOGSOFTMAX;
    const ptrdiff_t stride = (ptrdiff_t)(n * inner) + gap;
    const operand x = make(0, where, rows, n * inner, stride);
    const operand y = make(1, where, rows, n * inner, stride);
    const operand g = make(2, where, rows, n * inner, stride);
    const operand dx = make(3, where, rows, n * inner, stride);
    operand_fill(&x, -size, size);
    operand_fill(&g, -1, 1);
    operand_fill(&dx, -1, 1);
    double *const of_x = operand_copy(&x), *const of_dx = operand_copy(&dx);
    call k;
    call_new(&k, rows, n * inner);
    k.c.n = n;
    k.c.inner = inner;
    give(&k, 0, &y);
    give(&k, 1, &x);
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&y) && operand_unchanged(&x, of_x));
    give(&k, 0, &dx);
    give(&k, 1, &g);
    give(&k, 2, &y);
    k.accumulate[0] = add;
    CHECK(kernels->op[op].backward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&dx) && operand_intact(&y) && operand_intact(&g));
    bool ok = true, ok_back = true;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < inner; j++) {
            long double top = -INFINITY, sum = 0, dot = 0, size_of_dot = 0;
            for (size_t i = 0; i < n; i++)
                top = fmaxl(top, get_at(&x, r, i * inner + j));
            for (size_t i = 0; i < n; i++) {
                const double gi = get_at(&g, r, i * inner + j), yi = get_at(&y, r, i * inner + j);
                sum += expl(get_at(&x, r, i * inner + j) - top);
                dot += is_log ? gi : (long double)gi * yi;
                size_of_dot += fabsl(is_log ? gi : (long double)gi * yi);
            }
            for (size_t i = 0; i < n; i++) {
                const size_t at = i * inner + j;
                const long double t = get_at(&x, r, at) - top;
                const double gi = get_at(&g, r, at), yi = get_at(&y, r, at);
                const double old = add ? of_dx[r * n * inner + at] : 0;
                const long double e = is_log ? t - logl(sum) : expl(t) / sum;
                const double scale = is_log ? fabs((double)t) + fabs((double)logl(sum)) + 1
                                            : (double)(e * (1 + fabsl(t)));
                ok &= within(SUM, f64, yi, e, (double)n, scale);
                const long double d = is_log ? gi - expl(yi) * dot : yi * (gi - dot);
                const long double weight = is_log ? expl(yi) * (1 + fabs(yi)) : yi;
                ok_back &=
                    within(SUM, f64, get_at(&dx, r, at), old + d, (double)n,
                           (double)(weight * (size_of_dot + fabs(gi)) + fabs(gi)) + fabs(old));
            }
        }
    CHECK(ok);
    CHECK(ok_back);
    free(of_x);
    free(of_dx);
}

static void run_slices(pnng_op op, void *y, const void *x, size_t rows, size_t n, size_t inner) {
    call k;
    call_new(&k, rows, n * inner);
    k.c.n = n;
    k.c.inner = inner;
    k.ptr[0] = y;
    k.ptr[1] = (void *)x;
    k.stride[0] = k.stride[1] = (ptrdiff_t)(n * inner);
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
}

/* A row gives the same bits alone as among others: threads may cut them anywhere. */
static void check_rows_alone(pnng_op op, size_t rows, size_t n) {
    const operand x = make(0, ALIGNED, rows, n, (ptrdiff_t)n);
    const operand y = make(1, ALIGNED, rows, n, (ptrdiff_t)n);
    const operand alone = make(2, ALIGNED, rows, n, (ptrdiff_t)n);
    operand_fill(&x, -30, 30);
    for (size_t r = 0; r < rows; r += 3) /* two zeros: either may be the maximum */
        for (size_t i = 0; i < n; i++)
            set_at(&x, r, i, i % 2 ? 0.0 : -0.0);
    run_slices(op, y.data, x.data, rows, n, 1);
    for (size_t r = 0; r < rows; r++)
        run_slices(op, alone.data + r * n * bytes, x.data + r * n * bytes, 1, n, 1);
    CHECK(memcmp(y.data, alone.data, rows * n * bytes) == 0);
}

/* Numbers that are none, and one at the end that is not as the others. */
static void check_special_slices(pnng_op op, size_t rows, size_t n, size_t inner) {
    const double none = -INFINITY;
    const struct {
        double others, last, share_of_others, share_of_last; /* of the sum, NaN: of nothing */
    } cases[] = {
        {0, none, 1 / (double)(n - 1), 0},
        {none, 5, 0, 1},
        {none, none, NAN, NAN},
        {0, INFINITY, NAN, NAN},
        {0, NAN, NAN, NAN},
        {none, NAN, NAN, NAN},
        {1e30, none, 1 / (double)(n - 1), 0},
        {-1e30, 0, 0, 1},
    };
    const size_t size = rows * n * inner;
    void *const x = malloc(size * bytes), *const y = malloc(size * bytes);
    for (size_t v = 0; v < sizeof cases / sizeof cases[0]; v++) {
        for (size_t i = 0; i < size; i++)
            real_set(x, f64, (ptrdiff_t)i,
                     i / inner % n == n - 1 ? cases[v].last : cases[v].others);
        run_slices(op, y, x, rows, n, inner);
        bool ok = true;
        for (size_t i = 0; i < size; i++) {
            const double share =
                i / inner % n == n - 1 ? cases[v].share_of_last : cases[v].share_of_others;
            const double yi = real_get(y, f64, (ptrdiff_t)i);
            if (isnan(share))
                ok &= isnan(yi);
            else if (op == PNNG_OP_SOFTMAX)
                ok &= within(ULP4, f64, yi, share, 0, 0);
            else if (share == 0)
                ok &= yi <= -1e29;
            else
                ok &= within(ULP4, f64, yi, logl(share), 0, 0);
        }
        CHECK(ok);
    }
    free(x);
    free(y);
}

/* Ways that slices are walked: short rows and longer ones, V_LANES at once or what is left; rows of
 * more than one chunk; few columns, strips of columns. */
static void test_ways_of_slices(pnng_op op) {
    const size_t strip = 4096 / bytes;
    const struct {
        size_t rows, n, inner;
    } ways[] = {
        {2 * lanes + 1, 2, 1},
        {2 * lanes + 1, lanes < 2 ? 2 : lanes, 1},
        {2 * lanes + 1, 2 * lanes, 1},
        {lanes + 2, 150, 1},
        {2, 1000, 1},
        {1, 300 * lanes + 3, 1},
        {2, 150, 3},
        {2, 64, lanes},
        {2, 65, lanes},
        {2, 131, 2 * lanes + 1},
        {1, 5, 2 * strip + lanes + 1},
        {2, 6, strip},
    };
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        const size_t rows = ways[w].rows, n = ways[w].n, inner = ways[w].inner;
        const placement where = (placement)(w % PLACEMENTS);
        snprintf(test_where, sizeof test_where, "%s %s %s %zu x %zu x %zu", isa->name,
                 f64 ? "f64" : "f32", op == PNNG_OP_SOFTMAX ? "softmax" : "logsoftmax", rows, n,
                 inner);
        check_slices(op, rows, n, inner, 0, where, 3, false);
        check_slices(op, rows, n, inner, 5, (placement)((w + 1) % PLACEMENTS), 80, true);
        check_special_slices(op, rows, n, inner);
        if (inner == 1)
            check_rows_alone(op, rows, n);
    }
}

static void test_slices(void) {
    const pnng_op ops[] = {PNNG_OP_SOFTMAX, PNNG_OP_LOGSOFTMAX};
    const size_t inners[] = {1, 2, 3, lanes, lanes + 1, 2 * lanes + 1, 0};
    for (int o = 0; o < 2; o++) {
        for (size_t i = 0; i < sizeof inners / sizeof inners[0]; i++)
            for (size_t n = 0; n <= 2 * lanes + 1; n++) {
                snprintf(test_where, sizeof test_where, "%s %s %s n %zu inner %zu", isa->name,
                         f64 ? "f64" : "f32", o ? "logsoftmax" : "softmax", n, inners[i]);
                const placement where = (placement)((n + i) % PLACEMENTS);
                const size_t rows = inners[i] == 1 ? lanes : 2; /* as many as are done at once */
                check_slices(ops[o], rows + 1, n, inners[i], 0, where, 3, false);
                check_slices(ops[o], rows, n, inners[i], 5, where, 80, true);
                if (n && inners[i] == 1)
                    check_rows_alone(ops[o], 2 * lanes + 1, n);
            }
        test_ways_of_slices(ops[o]);
    }
}

/* ---- reduce ---- */

static void check_reduce(size_t rows, size_t n, size_t inner, placement where, bool add) {
    const double a = rnd(0.7);
    const operand x = make(0, where, rows, n * inner, (ptrdiff_t)(n * inner));
    const operand y = make(1, where, rows, inner, (ptrdiff_t)inner);
    operand_fill(&x, -1, 1);
    operand_fill(&y, -1, 1);
    double *of_x = operand_copy(&x), *const of_y = operand_copy(&y);
    call k;
    call_new(&k, rows, n * inner);
    k.c.n = n;
    k.c.inner = inner;
    k.c.a = a;
    k.accumulate[0] = add;
    give(&k, 0, &y);
    give(&k, 1, &x);
    CHECK(kernels->op[PNNG_OP_REDUCE_SUM].forward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&y) && operand_unchanged(&x, of_x));
    bool ok = true;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < inner; j++) {
            const double old = add ? of_y[r * inner + j] : 0;
            long double sum = 0, size = 0;
            for (size_t i = 0; i < n; i++) {
                sum += of_x[r * n * inner + i * inner + j];
                size += fabs(of_x[r * n * inner + i * inner + j]);
            }
            ok &= within(SUM, f64, get_at(&y, r, j), old + a * sum, (double)n,
                         (double)size + fabs(old));
        }
    CHECK(ok);
    /* Backward: x takes the part of dx, y that of g. */
    give(&k, 0, &x);
    give(&k, 1, &y);
    CHECK(kernels->op[PNNG_OP_REDUCE_SUM].backward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&x) && operand_intact(&y));
    ok = true;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n * inner; i++) {
            const double d = rnd(a * get_at(&y, r, i % inner)), old = of_x[r * n * inner + i];
            ok &= same_number(get_at(&x, r, i), add ? rnd(old + d) : d);
        }
    CHECK(ok);
    free(of_x);
    free(of_y);
}

static void test_reduce(void) {
    const size_t inners[] = {1, 2, 3, lanes, lanes + 1, 4 * lanes, 5 * lanes + 1, 0};
    for (size_t i = 0; i < sizeof inners / sizeof inners[0]; i++)
        for (size_t n = 0; n <= 2 * lanes + 1; n++) {
            snprintf(test_where, sizeof test_where, "%s %s reduce_sum n %zu inner %zu", isa->name,
                     f64 ? "f64" : "f32", n, inners[i]);
            check_reduce(3, n, inners[i], (placement)((n + i) % PLACEMENTS), n % 2);
            check_reduce(1, n, inners[i], (placement)((n + i + 1) % PLACEMENTS), n % 3 == 0);
        }
    check_reduce(2, 1037, 1, AT_END, false);
    check_reduce(2, 61, 37, AT_END, true);
    /* Trees: more than a block of a row, all levels of columns, folded and not, strips. */
    check_reduce(2, 300 * lanes + 3, 1, AT_START, true);
    check_reduce(1, 2500, 7, MISALIGNED, true);
    check_reduce(2, 263, 130, AT_END, false);
    check_reduce(1, 13, 3001, AT_END, true);
}

/* Sums of very many numbers, chosen to be hard: all alike, so that all roundings go one way; a
 * large one before many small ones; large ones that cancel; all sizes. */
enum { HARD = 4, MANY_F32 = 10000000, MANY_F64 = 1000000 };

static double hard_number(int kind, size_t k) {
    switch (kind) {
    case 0:
        return 0.1;
    case 1:
        return k ? 1 + 0x1p-20 : 0x1p24;
    case 2:
        return (k % 2 ? -1 : 1) * (1e6 + (double)(k / 2 % 1000));
    default:
        return ldexp(1 + (double)(k * 2654435761u % 4096) / 4096, (int)(k % 61) - 30);
    }
}

/* A sum in two doubles, whose own rounding is far below that of what is tested. */
typedef struct exact_sum {
    double high, low, size;
} exact_sum;

static void exact_add(exact_sum *s, double x) {
    const double sum = s->high + x, part = sum - s->high;
    s->low += (s->high - (sum - part)) + (x - part);
    s->high = sum;
    s->size += fabs(x);
}

/* `units` of eps / 2 times the sum of absolute terms: the bounds of docs/design/reductions.md. */
static void check_sum(double y, const exact_sum *s, double factor, double units) {
    const double unit = (f64 ? DBL_EPSILON : (double)FLT_EPSILON) / 2;
    const double error = fabs((y / factor - s->high) - s->low) / s->size / unit;
    if (!CHECK(error <= units))
        printf("    %.3g units of at most %.3g\n", error, units);
}

static void check_hard_sums(int kind) {
    static double x[MANY_F32], t[MANY_F32]; /* or floats */
    static int64_t class[MANY_F32 / 10];
    const size_t n = f64 ? MANY_F64 : MANY_F32, inner = 3;
    exact_sum sum = {0}, squares = {0}, tenth = {0}, column[3] = {{0}};
    for (size_t k = 0; k < n; k++) {
        const double xk = rnd(hard_number(kind, k));
        real_set(x, f64, (ptrdiff_t)k, xk);
        real_set(t, f64, (ptrdiff_t)k, -xk);
        exact_add(&sum, xk);
        exact_add(&squares, xk * xk);
        if (k < n - n % inner)
            exact_add(&column[k % inner], xk);
        if (k % 10 == 0)
            exact_add(&tenth, xk);
    }
    const double of_tree = f64 ? log2((double)n) : 0;
    double y[3], total[1];
    call k;
    call_new(&k, 1, n)->c.n = n;
    void *const of_sum[] = {y, x};
    memcpy(k.ptr, of_sum, sizeof of_sum);
    CHECK(kernels->op[PNNG_OP_REDUCE_SUM].forward(&k.c) == PNNG_OK);
    check_sum(real_get(y, f64, 0), &sum, 1, 24 + of_tree);
    k.c.n = n / inner;
    k.c.inner = inner;
    CHECK(kernels->op[PNNG_OP_REDUCE_SUM].forward(&k.c) == PNNG_OK);
    for (size_t j = 0; j < inner; j++)
        check_sum(real_get(y, f64, (ptrdiff_t)j), &column[j], 1, 12 + 8 / 3.0 * log2((double)n));

    call_new(&k, 1, n);
    void *const of_mse[] = {y, x, t}; /* (x - t)^2 with t = -x is 4 x^2 */
    memcpy(k.ptr, of_mse, sizeof of_mse);
    CHECK(kernels->op[PNNG_OP_MSE].forward(&k.c) == PNNG_OK);
    check_sum(real_get(y, f64, 0), &squares, 4, 30 + of_tree);

    call_new(&k, n / 10, 1)->c.j = -1; /* rows of one class, and nine elements between them */
    k.stride[2] = 10;
    void *const of_nll[] = {y, total, x, class, NULL};
    memcpy(k.ptr, of_nll, sizeof of_nll);
    CHECK(kernels->op[PNNG_OP_NLL].forward(&k.c) == PNNG_OK);
    check_sum(real_get(y, f64, 0), &tenth, -1, f64 ? 64 + of_tree : 2);
}

static void test_hard_sums(void) {
    for (int kind = 0; kind < HARD; kind++) {
        snprintf(test_where, sizeof test_where, "%s %s hard sums %d", isa->name,
                 f64 ? "f64" : "f32", kind);
        check_hard_sums(kind);
    }
}

/* ---- noise ---- */

/* Number k of a row, from the definition. */
static bool dropped(uint64_t seed, uint64_t k, double p) {
    uint32_t numbers[4];
    noise_words(seed, 3, k / 32 * 8 + k % 16 / 2, numbers);
    return (double)numbers[k % 32 / 16 * 2 + k % 2] * 0x1p-32 < p;
}

static void check_noise(size_t n, placement where, double p, bool add) {
    const double kept = rnd(1.25);
    const operand x = make(0, where, 1, n, (ptrdiff_t)n), y = make(1, where, 1, n, (ptrdiff_t)n);
    const operand m = make(2, where, 1, n, (ptrdiff_t)n), d = make(3, where, 1, n, (ptrdiff_t)n);
    operand_fill(&x, -1, 1);
    operand_fill(&d, -1, 1);
    double *const of_x = operand_copy(&x), *const of_d = operand_copy(&d);
    call k;
    call_new(&k, 1, n);
    k.c.a = p;
    k.c.b = kept;
    k.c.seed = 77 + n;
    k.c.noise = 3;
    k.c.i = (int64_t)(5 * n);
    give(&k, 2, &x);
    CHECK(kernels->op[PNNG_OP_DROPOUT].forward(&k.c) == PNNG_OK); /* nothing is wanted */
    give(&k, 0, &y);
    give(&k, 1, &m);
    CHECK(kernels->op[PNNG_OP_DROPOUT].forward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&y) && operand_intact(&m) && operand_unchanged(&x, of_x));
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const double mask = dropped(77 + n, 5 * n + i, p) ? 0 : kept;
        ok &= get_at(&m, 0, i) == mask && get_at(&y, 0, i) == rnd(of_x[i] * mask);
    }
    CHECK(ok);
    give(&k, 0, &d);
    give(&k, 1, &x);
    k.accumulate[0] = add;
    CHECK(kernels->op[PNNG_OP_DROPOUT].backward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&d) && operand_unchanged(&x, of_x));
    ok = true;
    for (size_t i = 0; i < n; i++) {
        const double grad = rnd(of_x[i] * get_at(&m, 0, i));
        ok &= get_at(&d, 0, i) == (add ? rnd(of_d[i] + grad) : grad);
    }
    CHECK(ok);
    free(of_x);
    free(of_d);
}

/* The vectors that Random123 publishes: kat_vectors, philox4x32 10. */
static void test_philox(void) {
    const struct {
        uint32_t counter[4], key[2], numbers[4];
    } known[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
         {UINT32_MAX, UINT32_MAX},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        uint32_t x[4];
        memcpy(x, known[k].counter, sizeof x);
        philox(x, known[k].key[0], known[k].key[1]);
        CHECK(!memcmp(x, known[k].numbers, sizeof x));
    }
}

/* Numbers are those of any other instruction set, and of two halves of the row. */
static void check_draw(pnng_op op, size_t n, placement where) {
    const operand y = make(0, where, 1, n, (ptrdiff_t)n), z = make(1, where, 1, n, (ptrdiff_t)n);
    const size_t half = n / 2;
    call k;
    call_new(&k, 1, n);
    k.c.a = -0.7;
    k.c.b = 2.5;
    k.c.seed = UINT64_C(0x123456789abcdef0) + n;
    k.c.noise = 2;
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK); /* nothing is wanted */
    give(&k, 0, &z);
    const pnng_kernels *const scalar = f64 ? &pnng_isa_scalar->f64 : &pnng_isa_scalar->f32;
    CHECK(scalar->op[op].forward(&k.c) == PNNG_OK);
    give(&k, 0, &y);
    k.c.cols = half;
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
    k.ptr[0] = (char *)k.ptr[0] + half * bytes;
    k.c.cols = n - half;
    k.c.i = (int64_t)half;
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&y));
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const double got = get_at(&y, 0, i), other = get_at(&z, 0, i);
        ok &= op == PNNG_OP_UNIFORM ? got == other && got >= -0.7001 && got <= 2.5001
                                    : within(SUM, f64, got, other, 8, 4);
    }
    CHECK(ok);
}

/* Of very many numbers: moments, and how often one is past some bounds. */
static void check_distribution(void) {
    enum { MANY = 1 << 20 };
    const operand y = make(0, AT_START, 1, MANY, MANY);
    call k;
    call_new(&k, 1, MANY);
    k.c.a = 0;
    k.c.b = 1;
    k.c.seed = 5;
    give(&k, 0, &y);
    CHECK(kernels->op[PNNG_OP_NORMAL].forward(&k.c) == PNNG_OK);
    const double bounds[] = {0.1, 0.5, 1, 2, 3, 4};
    double sum = 0, squares = 0, fourth = 0, past[6] = {0};
    for (size_t i = 0; i < MANY; i++) {
        const double x = get_at(&y, 0, i);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        for (int j = 0; j < 6; j++)
            past[j] += fabs(x) > bounds[j];
    }
    /* Five standard deviations of each of these. */
    CHECK(fabs(sum) < 5 * sqrt(MANY) && fabs(squares - MANY) < 5 * sqrt(2.0 * MANY));
    CHECK(fabs(fourth - 3.0 * MANY) < 5 * sqrt(96.0 * MANY));
    for (int j = 0; j < 6; j++) {
        const double p = erfc(bounds[j] / sqrt(2));
        CHECK(fabs(past[j] - p * MANY) < 5 * sqrt(p * (1 - p) * MANY));
    }
}

static void test_draw(void) {
    for (size_t n = 0; n <= 4 * lanes + 1; n++) {
        snprintf(test_where, sizeof test_where, "%s %s draw %zu", isa->name, f64 ? "f64" : "f32",
                 n);
        check_draw(PNNG_OP_UNIFORM, n, (placement)(n % PLACEMENTS));
        check_draw(PNNG_OP_NORMAL, n, (placement)((n + 1) % PLACEMENTS));
    }
    check_draw(PNNG_OP_NORMAL, 5000, AT_END);
    check_distribution();
}

/* ---- extreme ---- */

static void check_extreme(pnng_op op, size_t rows, size_t n, size_t inner, placement where,
                          bool add) {
    const double sign = op == PNNG_OP_REDUCE_MAX ? 1 : -1;
    const size_t cols = n * inner;
    const operand x = make(0, where, rows, cols, (ptrdiff_t)cols);
    const operand y = make(1, where, rows, inner, (ptrdiff_t)inner);
    const operand p = make(2, where, rows, inner, (ptrdiff_t)inner);
    const operand d = make(3, where, rows, cols, (ptrdiff_t)cols);
    fill_table(&x, true); /* equals, zeros and NaN */
    operand_fill(&d, -1, 1);
    double *const of_x = operand_copy(&x), *const of_d = operand_copy(&d);
    call k;
    call_new(&k, rows, cols);
    k.c.n = n;
    k.c.inner = inner;
    give(&k, 2, &x);
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK); /* nothing is wanted */
    give(&k, 1, &p);
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
    k.ptr[1] = NULL;
    give(&k, 0, &y);
    CHECK(kernels->op[op].forward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&y) && operand_intact(&p) && operand_unchanged(&x, of_x));
    /* Backward: the gradient is what came out. */
    give(&k, 0, &d);
    give(&k, 1, &y);
    give(&k, 2, &p);
    k.accumulate[0] = add;
    CHECK(kernels->op[op].backward(&k.c) == PNNG_OK);
    CHECK(operand_intact(&d));
    bool ok = true;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < inner; j++) {
            const double *const column = of_x + r * cols + j;
            size_t best = 0;
            for (size_t i = 1; i < n && !isnan(column[best * inner]); i++) {
                const double next = column[i * inner];
                if (isnan(next) || sign * next > sign * column[best * inner])
                    best = i;
            }
            ok &= same_number(get_at(&y, r, j), column[best * inner]);
            ok &= get_at(&p, r, j) == (double)best;
            for (size_t i = 0; i < n; i++) {
                const size_t at = i * inner + j;
                const double old = add ? of_d[r * cols + at] : 0;
                ok &= same_number(get_at(&d, r, at), i == best ? rnd(old + get_at(&y, r, j)) : old);
            }
        }
    CHECK(ok);
    free(of_x);
    free(of_d);
}

static void test_extreme(void) {
    const size_t inners[] = {1, 2, lanes, lanes + 1, 4 * lanes, 9 * lanes + 2, 0};
    for (size_t i = 0; i < sizeof inners / sizeof inners[0]; i++)
        for (size_t n = 1; n <= (inners[i] == 1 ? 9 * lanes + 2 : 6); n++)
            for (int least = 0; least < 2; least++) {
                const pnng_op op = least ? PNNG_OP_REDUCE_MIN : PNNG_OP_REDUCE_MAX;
                snprintf(test_where, sizeof test_where, "%s %s %s n %zu inner %zu", isa->name,
                         f64 ? "f64" : "f32", op_names[op], n, inners[i]);
                check_extreme(op, 3, n, inners[i], (placement)((n + i) % PLACEMENTS), n % 2);
            }
    check_extreme(PNNG_OP_REDUCE_MAX, 2, 1037, 1, AT_END, false);
}

static void test_noise(void) {
    test_philox();
    for (size_t n = 0; n <= 2 * lanes + 1; n++) {
        snprintf(test_where, sizeof test_where, "%s %s dropout %zu", isa->name, f64 ? "f64" : "f32",
                 n);
        check_noise(n, (placement)(n % PLACEMENTS), 0.4, n % 2);
    }
    snprintf(test_where, sizeof test_where, "%s %s dropout 1000", isa->name, f64 ? "f64" : "f32");
    check_noise(1000, AT_END, 0, false);
    check_noise(1000, AT_END, 1, false);
    check_noise(1000, AT_END, 0.5, true);
}

/* ---- losses ---- */

/* mse, or smooth_l1: of d^2, or of half of it where |d| < 1, else of |d| - 1/2. */
static void check_differences(size_t n, placement where, bool add, bool smooth) {
    const pnng_op_kernels *const op = &kernels->op[smooth ? PNNG_OP_SMOOTH_L1 : PNNG_OP_MSE];
    const double a = 0.3;
    const operand x = make(0, where, 1, n, (ptrdiff_t)n), t = make(1, where, 1, n, (ptrdiff_t)n);
    const operand y = make(2, where, 1, 1, 1), d = make(3, where, 1, n, (ptrdiff_t)n);
    operand_fill(&x, -1, 1);
    operand_fill(&t, -1, 1);
    operand_fill(&d, -1, 1);
    double *const of_d = operand_copy(&d);
    call k;
    call_new(&k, 1, n)->c.a = a;
    give(&k, 0, &y);
    give(&k, 1, &x);
    give(&k, 2, &t);
    CHECK(op->forward(&k.c) == PNNG_OK);
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const long double e = (long double)get_at(&x, 0, i) - get_at(&t, 0, i);
        const long double size = fabsl(e);
        sum += !smooth ? e * e : size < 1 ? e * e / 2 : size - 0.5L;
    }
    CHECK(within(SUM, f64, get_at(&y, 0, 0), a * sum, (double)n, (double)sum));
    CHECK(operand_intact(&y));
    set_at(&y, 0, 0, 1.5);
    give(&k, 0, &d);
    give(&k, 1, &y);
    give(&k, 2, &x);
    give(&k, 3, &t);
    k.accumulate[0] = add;
    CHECK(op->backward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&d);
    for (size_t i = 0; i < n; i++) {
        const double e = rnd(get_at(&x, 0, i) - get_at(&t, 0, i));
        const double slope = smooth ? fmax(-1, fmin(1, e)) : e;
        const double grad = rnd(rnd((smooth ? 1 : 2) * a * 1.5) * slope);
        ok &= same_number(get_at(&d, 0, i), add ? rnd(of_d[i] + grad) : grad);
    }
    CHECK(ok);
    free(of_d);
}

static void check_bce(size_t n, placement where, bool weighted, bool add) {
    const double a = 0.3, g = 1.5;
    const operand x = make(0, where, 1, n, (ptrdiff_t)n), t = make(1, where, 1, n, (ptrdiff_t)n);
    const operand w = make(2, where, 1, n, (ptrdiff_t)n), y = make(3, where, 1, 1, 1);
    const operand d = make(4, where, 1, n, (ptrdiff_t)n);
    operand_fill(&x, 0.05, 0.95);
    operand_fill(&t, 0, 1);
    operand_fill(&w, 0.5, 2);
    operand_fill(&d, -1, 1);
    double *const of_d = operand_copy(&d);
    call k;
    call_new(&k, 1, n)->c.a = a;
    give(&k, 0, &y);
    give(&k, 1, &x);
    give(&k, 2, &t);
    if (weighted)
        give(&k, 3, &w);
    CHECK(kernels->op[PNNG_OP_BCE].forward(&k.c) == PNNG_OK);
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const long double xi = get_at(&x, 0, i), ti = get_at(&t, 0, i);
        sum -= (weighted ? get_at(&w, 0, i) : 1) *
               (ti * logl(xi + 1e-12L) + (1 - ti) * logl(1 - xi + 1e-12L));
    }
    CHECK(within(SUM, f64, get_at(&y, 0, 0), a * sum, (double)n, (double)sum));
    CHECK(operand_intact(&y));
    set_at(&y, 0, 0, g);
    give(&k, 0, &d);
    give(&k, 1, &y);
    give(&k, 2, &x);
    give(&k, 3, &t);
    k.ptr[4] = NULL;
    if (weighted)
        give(&k, 4, &w);
    k.accumulate[0] = add;
    CHECK(kernels->op[PNNG_OP_BCE].backward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&d);
    for (size_t i = 0; i < n; i++) {
        const long double xi = get_at(&x, 0, i), ti = get_at(&t, 0, i);
        const long double grad = a * g * (weighted ? get_at(&w, 0, i) : 1) * (xi - ti) /
                                 ((xi + 1e-12L) * (1 - xi + 1e-12L));
        const double old = add ? of_d[i] : 0;
        ok &= within(SUM, f64, get_at(&d, 0, i), old + grad, 1, fabs(old) + (double)fabsl(grad));
    }
    CHECK(ok);
    free(of_d);
}

static void check_nll(size_t rows, size_t cols, bool weighted, bool average, bool add,
                      placement where) {
    const ptrdiff_t stride = (ptrdiff_t)cols + 2;
    const operand x = make(0, where, rows, cols, stride), d = make(1, where, rows, cols, stride);
    const operand t = operand_new(2, where, 8, 1, rows, 0);
    const operand w = make(3, where, 1, cols, 0), y = make(4, where, 1, 1, 0);
    const operand total = make(5, where, 1, 1, 0), g = make(6, where, 1, 1, 0);
    int64_t *const class = (int64_t *)t.data;
    operand_fill(&x, -3, 0);
    operand_fill(&d, -1, 1);
    operand_fill(&w, 0.5, 2);
    set_at(&g, 0, 0, 1.5);
    double *const of_d = operand_copy(&d);
    long double sum = 0, weights = 0, size = 0;
    for (size_t r = 0; r < rows; r++) {
        class[r] = random_bits() % 4 == 0 ? -7 : (int64_t)(random_bits() % cols);
        if (class[r] == -7)
            continue;
        const double weight = weighted ? get_at(&w, 0, (size_t)class[r]) : 1;
        sum -= weight * (long double)get_at(&x, r, (size_t)class[r]);
        size += fabs(weight * get_at(&x, r, (size_t)class[r]));
        weights += weight;
    }
    call k;
    call_new(&k, rows, cols);
    k.c.i = average;
    k.c.j = -7;
    give(&k, 0, &y);
    give(&k, 1, &total);
    give(&k, 2, &x);
    give(&k, 3, &t);
    if (weighted)
        give(&k, 4, &w);
    CHECK(kernels->op[PNNG_OP_NLL].forward(&k.c) == PNNG_OK);
    const long double by = average && weights > 0 ? weights : 1;
    CHECK(within(SUM, f64, get_at(&y, 0, 0), sum / by, (double)rows, (double)(size / by)));
    CHECK(within(SUM, f64, get_at(&total, 0, 0), weights, (double)rows, (double)weights));
    CHECK(operand_intact(&y) && operand_intact(&total));

    give(&k, 0, &d);
    give(&k, 1, &g);
    give(&k, 2, &total);
    give(&k, 3, &t);
    k.ptr[4] = NULL;
    if (weighted)
        give(&k, 4, &w);
    k.accumulate[0] = add;
    CHECK(kernels->op[PNNG_OP_NLL].backward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&d);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++) {
            const double old = add ? of_d[r * cols + i] : 0;
            const double weight = weighted ? get_at(&w, 0, i) : 1;
            const long double grad = class[r] == (int64_t)i ? -1.5 * weight / by : 0;
            ok &= within(SUM, f64, get_at(&d, r, i), old + grad, (double)rows,
                         fabs(old) + (double)fabsl(grad));
        }
    CHECK(ok);

    /* Classes that are none. */
    if (rows > 1) {
        class[rows - 2] = 0;
        class[rows - 1] = random_bits() % 2 ? (int64_t)cols : -1;
        CHECK(kernels->op[PNNG_OP_NLL].backward(&k.c) == PNNG_ERROR_VALUE);
        CHECK(k.bad[0] == (int64_t)rows - 1 && k.bad[1] == class[rows - 1]);
        k.bad[0] = -1;
        give(&k, 0, &y);
        give(&k, 1, &total);
        give(&k, 2, &x);
        CHECK(kernels->op[PNNG_OP_NLL].forward(&k.c) == PNNG_ERROR_VALUE);
        CHECK(k.bad[0] == (int64_t)rows - 1 && k.bad[1] == class[rows - 1]);
    }
    free(of_d);
}

static void test_nll_of_nothing(void) {
    double x[2], y[2], total[2], d[2];
    const int64_t class[1] = {5};
    for (int i = 0; i < 2; i++) {
        real_set(x, f64, i, -1);
        real_set(y, f64, i, 9);
        real_set(d, f64, i, 9);
    }
    call k;
    call_new(&k, 1, 2);
    k.c.i = 1;
    k.c.j = 5;
    k.stride[2] = 2;
    void *const operands[] = {y, total, x, (void *)class, NULL};
    memcpy(k.ptr, operands, sizeof operands);
    CHECK(kernels->op[PNNG_OP_NLL].forward(&k.c) == PNNG_OK);
    CHECK(real_get(y, f64, 0) == 0 && real_get(total, f64, 0) == 0);
    void *const backward[] = {d, x, total, (void *)class, NULL};
    memcpy(k.ptr, backward, sizeof backward);
    CHECK(kernels->op[PNNG_OP_NLL].backward(&k.c) == PNNG_OK);
    CHECK(real_get(d, f64, 0) == 0 && real_get(d, f64, 1) == 0);
}

/* Rows by index, of which some come twice; gradients to all of them but one. */
static void check_gather(size_t rows, size_t cols, bool add, placement where) {
    const size_t n = 5;
    const ptrdiff_t stride = (ptrdiff_t)cols + (where == AT_END ? 0 : 2);
    const operand y = make(0, where, rows, cols, stride), w = make(1, where, n, cols, stride);
    const operand t = operand_new(2, where, 8, 1, rows, 0);
    const operand g = make(3, where, rows, cols, stride), d = make(4, where, n, cols, stride);
    int64_t *const index = (int64_t *)t.data;
    for (size_t r = 0; r < rows; r++)
        index[r] = (int64_t)(random_bits() % n);
    operand_fill(&w, -1, 1);
    operand_fill(&g, -1, 1);
    operand_fill(&d, -1, 1);
    double *const of_d = operand_copy(&d);
    call k;
    call_new(&k, rows, cols)->c.n = n;
    k.c.a = 0.5;
    k.c.i = 2;
    give(&k, 0, &y);
    give(&k, 1, &w);
    give(&k, 2, &t);
    CHECK(kernels->op[PNNG_OP_GATHER].forward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&y);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++)
            ok &= get_at(&y, r, i) == get_at(&w, (size_t)index[r], i);
    CHECK(ok);

    give(&k, 0, &d);
    give(&k, 1, &g);
    k.accumulate[0] = add;
    CHECK(kernels->op[PNNG_OP_GATHER].backward(&k.c) == PNNG_OK);
    ok = operand_intact(&d);
    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < cols; i++) {
            double expected = add ? of_d[row * cols + i] : 0;
            for (size_t r = 0; r < rows; r++)
                if (index[r] == (int64_t)row && row != 2)
                    expected = rnd(expected + rnd(0.5 * get_at(&g, r, i)));
            ok &= same_number(get_at(&d, row, i), expected);
        }
    CHECK(ok);

    /* Indices that are none: nothing is written. */
    if (rows > 1) {
        index[rows - 1] = random_bits() % 2 ? (int64_t)n : -1;
        double *const before = operand_copy(&d);
        CHECK(kernels->op[PNNG_OP_GATHER].backward(&k.c) == PNNG_ERROR_VALUE);
        CHECK(k.bad[0] == (int64_t)rows - 1 && k.bad[1] == index[rows - 1]);
        k.bad[0] = -1;
        give(&k, 1, &w);
        CHECK(kernels->op[PNNG_OP_GATHER].forward(&k.c) == PNNG_ERROR_VALUE);
        CHECK(k.bad[0] == (int64_t)rows - 1 && k.bad[1] == index[rows - 1]);
        ok = true;
        for (size_t row = 0; row < n; row++)
            for (size_t i = 0; i < cols; i++)
                ok &= get_at(&d, row, i) == before[row * cols + i];
        CHECK(ok);
        free(before);
    }
    free(of_d);
}

static void check_one_hot(size_t rows, size_t cols, placement where) {
    const operand y = make(0, where, rows, cols, (ptrdiff_t)cols + (where == AT_END ? 0 : 2));
    const operand t = operand_new(1, where, 8, 1, rows, 0);
    int64_t *const index = (int64_t *)t.data;
    for (size_t r = 0; r < rows; r++)
        index[r] = (int64_t)(random_bits() % cols);
    operand_fill(&y, -1, 1);
    call k;
    call_new(&k, rows, cols)->c.n = cols;
    give(&k, 1, &t);
    CHECK(kernels->op[PNNG_OP_ONE_HOT].forward(&k.c) == PNNG_OK); /* nothing is wanted */
    give(&k, 0, &y);
    CHECK(kernels->op[PNNG_OP_ONE_HOT].forward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&y);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++)
            ok &= get_at(&y, r, i) == (index[r] == (int64_t)i ? 1 : 0);
    CHECK(ok);
    if (!rows)
        return;
    double *const before = operand_copy(&y);
    index[rows - 1] = rows % 2 ? (int64_t)cols : -1;
    CHECK(kernels->op[PNNG_OP_ONE_HOT].forward(&k.c) == PNNG_ERROR_VALUE);
    CHECK(k.bad[0] == (int64_t)rows - 1 && k.bad[1] == index[rows - 1]);
    CHECK(operand_unchanged(&y, before));
    free(before);
}

static void test_gather(void) {
    for (size_t cols = 1; cols <= 2 * lanes + 1; cols++)
        for (size_t rows = 0; rows < 4; rows++) {
            snprintf(test_where, sizeof test_where, "%s %s one_hot %zu x %zu", isa->name,
                     f64 ? "f64" : "f32", rows, cols);
            check_one_hot(rows, cols, (placement)((rows + cols) % PLACEMENTS));
        }
    for (size_t cols = 1; cols <= 2 * lanes + 1; cols++)
        for (size_t rows = 0; rows < 9; rows += 4)
            for (int add = 0; add < 2; add++) {
                snprintf(test_where, sizeof test_where, "%s %s gather %zu x %zu, add %d", isa->name,
                         f64 ? "f64" : "f32", rows, cols, add);
                check_gather(rows, cols, add, (placement)((rows + cols) % PLACEMENTS));
            }
}

static void check_to_index(size_t n, placement where) {
    const operand x = make(0, where, 1, n, 0), y = operand_new(1, where, 8, 1, n, 0);
    const double whole[] = {0, -0.0, 3, -17, 1e6, -0x1p63, 0x1p60};
    const double wrong[] = {0.5, NAN, INFINITY, -INFINITY, 0x1p63, 1e30, -1e30};
    for (size_t i = 0; i < n; i++)
        set_at(&x, 0, i, whole[i % 7]);
    call k;
    call_new(&k, 1, n);
    give(&k, 0, &y);
    give(&k, 1, &x);
    CHECK(kernels->op[PNNG_OP_TO_INDEX].forward(&k.c) == PNNG_OK);
    bool ok = operand_intact(&y);
    for (size_t i = 0; i < n; i++)
        ok &= ((int64_t *)y.data)[i] == (int64_t)whole[i % 7];
    CHECK(ok);
    for (int i = 0; i < 7 && n; i++) {
        set_at(&x, 0, n - 1, wrong[i]);
        k.bad[0] = k.bad[1] = -1;
        CHECK(kernels->op[PNNG_OP_TO_INDEX].forward(&k.c) == PNNG_ERROR_VALUE);
        CHECK(k.bad[0] == (int64_t)n - 1 && k.bad[1] == 0);
    }
}

static void test_losses(void) {
    for (size_t n = 0; n <= 4 * lanes + 3; n++) {
        const placement where = (placement)(n % PLACEMENTS);
        snprintf(test_where, sizeof test_where, "%s %s losses %zu", isa->name, f64 ? "f64" : "f32",
                 n);
        check_differences(n, where, n % 2, false);
        check_differences(n, where, n % 2, true);
        check_bce(n, where, n % 3 == 0, n % 2);
        check_to_index(n, where);
        for (int flags = 0; flags < 8; flags++)
            check_nll(n, 1 + n % 5, flags & 1, flags & 2, flags & 4, where);
    }
    for (int smooth = 0; smooth < 2; smooth++) {
        check_differences(1000, AT_END, false, smooth);
        check_differences(100 * lanes + 1, AT_START, false, smooth);
    }
    check_bce(100 * lanes + 1, AT_START, true, false);
    check_nll(150, 5, true, true, false, AT_END);
    test_nll_of_nothing();
}

/* ---- fill, scale, bias ---- */

static void check_common(shape s, placement where) {
    const operand x = make(0, where, s.rows, s.cols, s.stride);
    const operand y = make(1, where, s.rows, s.cols, s.stride + 2);
    const operand b = make(2, where, 1, s.cols, 0);
    operand_fill(&x, -1, 1);
    operand_fill(&b, -1, 1);
    call k;
    call_new(&k, s.rows, s.cols);
    const double factors[] = {1, -0.7, 1, -0.7};
    for (int f = 0; f < 4; f++)
        for (int add = 0; add < 2; add++) {
            k.c.stream = f >= 2;
            operand_fill(&y, -1, 1);
            double *const before = operand_copy(&y);
            k.c.a = factors[f];
            k.accumulate[0] = (uint8_t)add;
            give(&k, 0, &y);
            give(&k, 1, &x);
            CHECK(kernels->common.scale(&k.c) == PNNG_OK);
            bool ok = operand_intact(&y);
            for (size_t at = 0; at < s.rows * s.cols; at++) {
                const double d = rnd(rnd(factors[f]) * get_at(&x, at / s.cols, at % s.cols));
                ok &= same_number(get_at(&y, at / s.cols, at % s.cols),
                                  add ? rnd(before[at] + d) : d);
            }
            CHECK(ok);
            free(before);
        }
    k.c.a = 0.3;
    CHECK(kernels->common.fill(&k.c) == PNNG_OK);
    bool ok = operand_intact(&y);
    for (size_t at = 0; at < s.rows * s.cols; at++)
        ok &= get_at(&y, at / s.cols, at % s.cols) == rnd(0.3);
    CHECK(ok);
    give(&k, 1, &b);
    CHECK(kernels->common.bias(&k.c) == PNNG_OK);
    ok = operand_intact(&y);
    for (size_t at = 0; at < s.rows * s.cols; at++)
        ok &= get_at(&y, at / s.cols, at % s.cols) == get_at(&b, 0, at % s.cols);
    CHECK(ok);
}

static void test_common(void) {
    shape list[MAX_SHAPES];
    const size_t n = shapes(list);
    for (size_t s = 0; s < n; s++) {
        snprintf(test_where, sizeof test_where, "%s %s common %zu x %zu", isa->name,
                 f64 ? "f64" : "f32", list[s].rows, list[s].cols);
        for (int where = 0; where < PLACEMENTS; where++)
            check_common(list[s], (placement)where);
    }
    /* A copy keeps the bits of a signalling NaN. */
    const uint64_t bits[2] = {f64 ? 0x7ff0000000000123u : 0x7f8001237f800123u, 0};
    uint64_t copy[2] = {0, 0};
    call k;
    call_new(&k, 1, f64 ? 1 : 2);
    k.ptr[0] = copy;
    k.ptr[1] = (void *)bits;
    CHECK(kernels->common.scale(&k.c) == PNNG_OK && copy[0] == bits[0]);
}

/* ---- transpose ---- */

static void check_transpose(size_t rows, size_t cols, ptrdiff_t gap, placement where) {
    const operand x = make(0, where, cols, rows, (ptrdiff_t)rows + gap);
    const operand y = make(1, where, rows, cols, (ptrdiff_t)cols + 2 * gap);
    operand_fill(&x, -1, 1);
    double *const of_x = operand_copy(&x);
    call k;
    call_new(&k, rows, cols);
    give(&k, 0, &y);
    give(&k, 1, &x);
    for (int flags = 0; flags < 4; flags++) {
        k.c.a = flags & 1 ? -0.7 : 1;
        k.accumulate[0] = flags & 2;
        operand_fill(&y, -1, 1);
        double *const before = operand_copy(&y);
        CHECK(kernels->common.transpose(&k.c) == PNNG_OK);
        bool ok = operand_intact(&y) && operand_unchanged(&x, of_x);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) {
                const double ax = rnd(rnd(k.c.a) * of_x[c * rows + r]);
                ok &=
                    same_number(get_at(&y, r, c), flags & 2 ? rnd(before[r * cols + c] + ax) : ax);
            }
        CHECK(ok);
        free(before);
    }
    free(of_x);
}

/* All small sizes, and some that take several blocks. */
static void test_transpose(void) {
    const size_t few = 2 * lanes + 2, line = 64 / bytes;
    for (size_t rows = 0; rows <= few; rows++)
        for (size_t cols = 0; cols <= few; cols++) {
            snprintf(test_where, sizeof test_where, "%s %s transpose %zu x %zu", isa->name,
                     f64 ? "f64" : "f32", rows, cols);
            check_transpose(rows, cols, (ptrdiff_t)(rows % 3), (placement)((rows + cols) % 4));
        }
    for (int where = 0; where < PLACEMENTS; where++) {
        snprintf(test_where, sizeof test_where, "%s %s transpose", isa->name, f64 ? "f64" : "f32");
        check_transpose(9 * line + 3, 5 * line + 2, 1, (placement)where);
        check_transpose(2, 5 * line + 2, 0, (placement)where);
        check_transpose(8 * line, 1, 0, (placement)where);
    }
    const uint64_t bits[2] = {f64 ? 0x7ff0000000000123u : 0x7f8001237f800123u, 0};
    uint64_t copy[2] = {0, 0};
    call k;
    call_new(&k, f64 ? 1 : 2, 1);
    k.stride[0] = 1;
    k.ptr[0] = copy;
    k.ptr[1] = (void *)bits;
    CHECK(kernels->common.transpose(&k.c) == PNNG_OK && copy[0] == bits[0]);
}

/* ---- steps of optimisers ---- */

enum { OPTIM_ARRAYS = 6 }; /* x, g, s, t, rates, decays */

/* Their formulas, each operation rounded once: kernels give the same bits. */
static double moved(double keep, double s, double add, double d) {
    return rnd(rnd(keep * s) + rnd(add * d));
}
static double stepped(const pnng_update *u, double x, double d, double t) {
    return rnd(x - rnd(rnd(rnd(u->rate) * d) / rnd(rnd(sqrt(t)) + rnd(u->epsilon))));
}
static void sgd_of_one(const pnng_update *u, double *e, double d) {
    const double keep = rnd(u->keep);
    if (u->s) {
        e[2] = moved(keep, e[2], rnd(u->add), d);
        d = u->nesterov ? rnd(d + rnd(keep * e[2])) : e[2];
    }
    if (u->rates)
        d = rnd(e[4] * d);
    e[0] = rnd(e[0] - rnd(rnd(u->rate) * d));
}
static void adam_of_one(const pnng_update *u, double *e, double d) {
    e[2] = moved(rnd(u->keep), e[2], rnd(u->add), d);
    e[3] = moved(rnd(u->keep_2), e[3], rnd(u->add_2), rnd(d * d));
    e[0] = stepped(u, e[0], e[2], e[3]);
}
static void rmsprop_of_one(const pnng_update *u, double *e, double d) {
    e[3] = moved(rnd(u->keep_2), e[3], rnd(u->add_2), rnd(d * d));
    e[0] = stepped(u, e[0], d, e[3]);
}
static void adagrad_of_one(const pnng_update *u, double *e, double d) {
    e[3] = rnd(e[3] + rnd(d * d));
    e[0] = stepped(u, e[0], d, e[3]);
}
static void adamax_of_one(const pnng_update *u, double *e, double d) {
    e[2] = moved(rnd(u->keep), e[2], rnd(u->add), d);
    e[3] = fmax(rnd(rnd(u->keep_2) * e[3]), rnd(fabs(d) + rnd(u->epsilon)));
    e[0] = rnd(e[0] - rnd(rnd(rnd(u->rate) * e[2]) / e[3]));
}
static void adadelta_of_one(const pnng_update *u, double *e, double d) {
    const double keep = rnd(u->keep_2), add = rnd(u->add_2), epsilon = rnd(u->epsilon);
    e[3] = moved(keep, e[3], add, rnd(d * d));
    const double ratio = rnd(rnd(sqrt(rnd(e[2] + epsilon))) / rnd(sqrt(rnd(e[3] + epsilon))));
    const double step = rnd(ratio * d);
    e[2] = moved(keep, e[2], add, rnd(step * step));
    e[0] = rnd(e[0] - step);
}
static double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static void rprop_of_one(const pnng_update *u, double *e, double d) {
    const double turn = sign_of(d) * sign_of(e[2]);
    const double t = rnd(e[3] * rnd(turn > 0 ? u->grow : turn < 0 ? u->shrink : 1));
    e[3] = fmin(fmax(t, rnd(u->least)), rnd(u->most));
    e[2] = turn < 0 ? 0 : e[1];
    e[0] = rnd(e[0] - sign_of(e[2]) * e[3]);
}
static void asgd_of_one(const pnng_update *u, double *e, double d) {
    e[0] = rnd(rnd(rnd(u->keep) * e[0]) - rnd(rnd(u->rate) * e[1]));
    e[2] = u->add == 1 ? e[0] : rnd(e[2] + rnd(rnd(u->add) * rnd(e[0] - e[2])));
}
static void nag_of_one(const pnng_update *u, double *e, double d) {
    const double by = u->rates ? rnd(e[4] * d) : d;
    e[2] = rnd(rnd(rnd(u->keep) * e[2]) - rnd(rnd(u->rate) * by));
    e[0] = rnd(e[3] + e[2]);
}

static void check_optim(pnng_optim_step *step,
                        void (*of_one)(const pnng_update *, double *, double), size_t n,
                        placement where, pnng_update u) {
    operand array[OPTIM_ARRAYS];
    double *before[OPTIM_ARRAYS];
    for (size_t k = 0; k < OPTIM_ARRAYS; k++) {
        array[k] = make(k, where, 1, n, 0);
        operand_fill(&array[k], k == 3 || (k == 2 && step == kernels->optim.adadelta) ? 0 : -1, 1);
        before[k] = operand_copy(&array[k]);
    }
    u.n = n;
    u.x = array[0].data;
    u.g = array[1].data;
    u.s = u.s ? array[2].data : NULL; /* what is wanted is not NULL */
    u.t = array[3].data;
    u.rates = u.rates ? array[4].data : NULL;
    u.decays = u.decays ? array[5].data : NULL;
    step(&u);
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        double e[OPTIM_ARRAYS];
        for (size_t k = 0; k < OPTIM_ARRAYS; k++)
            e[k] = before[k][i];
        const double decay = u.decays ? e[5] : rnd(u.decay);
        of_one(&u, e, decay != 0 ? rnd(e[1] + rnd(decay * e[0])) : e[1]);
        for (size_t k = 0; k < OPTIM_ARRAYS; k++)
            ok &= same_number(get_at(&array[k], 0, i), e[k]);
    }
    CHECK(ok);
    for (size_t k = 0; k < OPTIM_ARRAYS; k++) {
        CHECK(operand_intact(&array[k]));
        free(before[k]);
    }
}

static void check_dot(size_t n, placement where) {
    const operand x = make(0, where, 1, n, 0), y = make(1, where, 1, n, 0);
    operand_fill(&x, -1, 1);
    operand_fill(&y, -1, 1);
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += get_at(&x, 0, i) * get_at(&y, 0, i);
        size += fabs(get_at(&x, 0, i) * get_at(&y, 0, i));
    }
    const double got = kernels->optim.dot(n, x.data, y.data);
    CHECK(fabs(got - sum) <= size * (f64 ? 1e-14 : 1e-5));
    CHECK(operand_intact(&x) && operand_intact(&y));
}

static void test_optim(void) {
    static char wanted;
    const pnng_optim *const o = &kernels->optim;
    const pnng_update u = {.s = &wanted,
                           .rate = 0.1,
                           .keep = 0.9,
                           .add = 0.2,
                           .keep_2 = 0.95,
                           .add_2 = 0.05,
                           .epsilon = 1e-3,
                           .grow = 1.2,
                           .shrink = 0.5,
                           .least = 0.1,
                           .most = 0.7};
    pnng_update decayed = u, nesterov = u, no_momentum = u, by_element = u, copying = u;
    decayed.decay = 0.3;
    nesterov.nesterov = 1;
    no_momentum.s = NULL;
    by_element.rates = by_element.decays = &wanted;
    copying.add = 1;
    for (size_t n = 0; n <= 2 * lanes + 2; n++) {
        const size_t size = n < 2 * lanes + 2 ? n : 5003;
        snprintf(test_where, sizeof test_where, "%s %s optim %zu", isa->name, f64 ? "f64" : "f32",
                 size);
        for (int where = 0; where < PLACEMENTS; where++) {
            check_optim(o->sgd, sgd_of_one, size, (placement)where, u);
            check_optim(o->sgd, sgd_of_one, size, (placement)where, decayed);
            check_optim(o->sgd, sgd_of_one, size, (placement)where, nesterov);
            check_optim(o->sgd, sgd_of_one, size, (placement)where, no_momentum);
            check_optim(o->sgd, sgd_of_one, size, (placement)where, by_element);
            check_optim(o->adam, adam_of_one, size, (placement)where, u);
            check_optim(o->adam, adam_of_one, size, (placement)where, decayed);
            check_optim(o->rmsprop, rmsprop_of_one, size, (placement)where, u);
            check_optim(o->rmsprop, rmsprop_of_one, size, (placement)where, decayed);
            check_optim(o->adagrad, adagrad_of_one, size, (placement)where, u);
            check_optim(o->adagrad, adagrad_of_one, size, (placement)where, decayed);
            check_optim(o->adamax, adamax_of_one, size, (placement)where, u);
            check_optim(o->adamax, adamax_of_one, size, (placement)where, decayed);
            check_optim(o->adadelta, adadelta_of_one, size, (placement)where, u);
            check_optim(o->adadelta, adadelta_of_one, size, (placement)where, decayed);
            check_optim(o->rprop, rprop_of_one, size, (placement)where, u);
            check_optim(o->asgd, asgd_of_one, size, (placement)where, u);
            check_optim(o->asgd, asgd_of_one, size, (placement)where, copying);
            check_optim(o->nag, nag_of_one, size, (placement)where, decayed);
            check_optim(o->nag, nag_of_one, size, (placement)where, by_element);
            check_dot(size, (placement)where);
        }
    }
    /* Without decay, an infinite x with a finite gradient stays what it is. */
    double x[1], g[1], t[1];
    real_set(x, f64, 0, INFINITY);
    real_set(g, f64, 0, 1);
    real_set(t, f64, 0, 1);
    o->adagrad(&(pnng_update){.n = 1, .x = x, .g = g, .t = t, .rate = 1});
    CHECK(isinf(real_get(x, f64, 0)));
}

/* ---- the table itself ---- */

static void test_table(void) {
    snprintf(test_where, sizeof test_where, "%s %s table", isa->name, f64 ? "f64" : "f32");
    bool tested[PNNG_OP_COUNT] = {false};
    for (int op = 0; op < PNNG_OP_COUNT; op++)
        tested[op] = is_unary((pnng_op)op);
    for (int c = 0; c < TABLE_CASES; c++)
        tested[table_cases[c].op] = true;
    const pnng_op others[] = {
        PNNG_OP_SOFTMAX, PNNG_OP_LOGSOFTMAX, PNNG_OP_REDUCE_SUM, PNNG_OP_DROPOUT,   PNNG_OP_MSE,
        PNNG_OP_NLL,     PNNG_OP_TO_INDEX,   PNNG_OP_GATHER,     PNNG_OP_BCE,       PNNG_OP_UNIFORM,
        PNNG_OP_NORMAL,  PNNG_OP_REDUCE_MAX, PNNG_OP_ONE_HOT,    PNNG_OP_REDUCE_MIN};
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++)
        tested[others[k]] = true;
    const pnng_op in_plans[] = {/* test_windows.c, test_threads.c */
                                PNNG_OP_BATCH_NORM, PNNG_OP_CHANNEL_AFFINE, PNNG_OP_MAX_POOL,
                                PNNG_OP_LAYER_NORM, PNNG_OP_CHANNEL_PRELU,  PNNG_OP_SMOOTH_L1,
                                PNNG_OP_MAX_UNPOOL, PNNG_OP_AVERAGE_POOL,   PNNG_OP_FRACTIONAL_POOL,
                                PNNG_OP_PICK,       PNNG_OP_INTERPOLATE};
    for (size_t k = 0; k < sizeof in_plans / sizeof in_plans[0]; k++)
        tested[in_plans[k]] = true;
    for (int op = 0; op < PNNG_OP_COUNT; op++) /* no kernel without a test, nor the reverse */
        CHECK(tested[op] == (kernels->op[op].forward != NULL));
}

static void test_all(void) {
    test_table();
    test_unary();
    test_special_values();
    test_power();
    test_tables();
    test_long_tables();
    test_misaligned();
    test_slices();
    test_reduce();
    test_hard_sums();
    test_noise();
    test_draw();
    test_extreme();
    test_losses();
    test_gather();
    test_common();
    test_transpose();
    test_optim();
}

int main(void) {
    int ran = 0;
    for (int n = 0; n < KERNEL_CASES; n++)
        if (turn_to_kernels(n)) {
            test_all();
            ran++;
        }
    snprintf(test_where, sizeof test_where, "instruction sets");
    CHECK(ran > 0);
    return test_result();
}
