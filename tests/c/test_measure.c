/* What a run costs: times of steps, the ops that steps are for, multiply-adds. */
#include "engine_support.h"

enum { ROWS = 64, IN = 48, OUT = 32 };

/* tanh(x) W' + b, of x (ROWS, IN). */
typedef struct layer {
    pnng_plan *plan;
    double x[ROWS * IN], dx[ROWS * IN], y[ROWS * OUT], dy[ROWS * OUT];
    double weight[OUT * IN], dweight[OUT * IN], bias[OUT], dbias[OUT];
} layer;

static pnng_program *layer_program(const pnng_allocator *allocator) {
    pnng_program *program;
    CHECK(pnng_program_new(allocator, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value weight = add_param(program, shape_of(2, OUT, IN), 1);
    const pnng_value bias = add_param(program, shape_of(1, OUT), 1);
    const pnng_value h = add_op(program, "tanh", x, -1);
    const pnng_value y = add_op(program, "linear", h, weight, bias, -1);
    CHECK(pnng_program_output(program, y) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    return program;
}

static pnng_status plan_layer(layer *l, pnng_program *program, int32_t flags) {
    *l = (layer){0};
    const pnng_shape shape = shape_of(2, ROWS, IN);
    const pnng_status status = pnng_plan_new(program, PNNG_F64, &shape, 1, flags, &l->plan);
    if (status)
        return status;
    void *const arrays[] = {l->x, l->y, l->weight, l->bias, l->dweight, l->dbias, l->dy, l->dx};
    for (size_t slot = 0; slot < 8; slot++)
        CHECK(pnng_plan_bind(l->plan, slot, arrays[slot]) == PNNG_OK);
    return status;
}

static pnng_step_info step_of(pnng_plan *plan, int32_t direction, size_t index) {
    pnng_step_info info = {0};
    CHECK(pnng_plan_step(plan, direction, index, &info) == PNNG_OK);
    CHECK(info.ops && info.n_ops <= 2 && info.seconds >= 0);
    return info;
}

static size_t count_steps(const pnng_plan *plan, int32_t direction) {
    return direction == PNNG_FORWARD ? pnng_plan_n_forward(plan) : pnng_plan_n_backward(plan);
}

/* Seconds and runs of all steps of a run. */
static pnng_step_info total(pnng_plan *plan, int32_t direction) {
    pnng_step_info sum = {0};
    for (size_t k = 0; k < count_steps(plan, direction); k++) {
        const pnng_step_info info = step_of(plan, direction, k);
        sum.seconds += info.seconds;
        sum.runs += info.runs;
    }
    return sum;
}

static bool is_zero(pnng_step_info info) { return info.seconds == 0 && info.runs == 0; }

static bool same_sums(pnng_step_info x, pnng_step_info y) {
    return x.seconds == y.seconds && x.runs == y.runs;
}

/* ---- switching ------------------------------------------------------------------------------ */

static void test_switching(void) {
    snprintf(test_where, sizeof test_where, "switching");
    static layer l;
    pnng_program *const program = layer_program(NULL);
    CHECK(plan_layer(&l, program, PNNG_PLAN_BACKWARD) == PNNG_OK);
    pnng_program_free(program);
    const size_t n_forward = pnng_plan_n_forward(l.plan), n_backward = pnng_plan_n_backward(l.plan);

    /* Off from the start. */
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK && pnng_plan_backward(l.plan, 1, 3) == PNNG_OK);
    CHECK(is_zero(total(l.plan, PNNG_FORWARD)) && is_zero(total(l.plan, PNNG_BACKWARD)));

    CHECK(pnng_plan_measure(l.plan, 1) == PNNG_OK);
    CHECK(is_zero(total(l.plan, PNNG_FORWARD)) && is_zero(total(l.plan, PNNG_BACKWARD)));
    const uint64_t start = pnng_clock();
    for (int round = 0; round < 5; round++)
        CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK);
    const double wall = (double)(pnng_clock() - start) * 1e-9;
    pnng_step_info forward = total(l.plan, PNNG_FORWARD);
    CHECK(forward.runs == 5 * n_forward && forward.seconds > 0 && forward.seconds <= wall);
    for (size_t k = 0; k < n_forward; k++)
        CHECK(step_of(l.plan, PNNG_FORWARD, k).runs == 5);
    CHECK(is_zero(total(l.plan, PNNG_BACKWARD)));
    CHECK(pnng_plan_backward(l.plan, 1, 3) == PNNG_OK);
    pnng_step_info backward = total(l.plan, PNNG_BACKWARD);
    CHECK(backward.runs == n_backward && backward.seconds > 0);

    /* Off: the sums stay as they are. */
    CHECK(pnng_plan_measure(l.plan, 0) == PNNG_OK);
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK && pnng_plan_backward(l.plan, 1, 3) == PNNG_OK);
    CHECK(same_sums(forward, total(l.plan, PNNG_FORWARD)));
    CHECK(same_sums(backward, total(l.plan, PNNG_BACKWARD)));

    /* On again, once and twice: from zero. */
    for (int32_t on = 1; on < 3; on++) {
        CHECK(pnng_plan_measure(l.plan, on) == PNNG_OK);
        CHECK(is_zero(total(l.plan, PNNG_FORWARD)) && is_zero(total(l.plan, PNNG_BACKWARD)));
        CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK);
        CHECK(total(l.plan, PNNG_FORWARD).runs == n_forward);
    }
    pnng_plan_free(l.plan);
}

/* Runs give the same numbers, measured or not. */
static void test_results(void) {
    snprintf(test_where, sizeof test_where, "results");
    static layer l[2];
    pnng_program *const program = layer_program(NULL);
    for (int k = 0; k < 2; k++) {
        test_seed = 7;
        CHECK(plan_layer(&l[k], program, PNNG_PLAN_BACKWARD) == PNNG_OK);
        CHECK(pnng_plan_measure(l[k].plan, k) == PNNG_OK);
        for (size_t i = 0; i < ROWS * IN; i++)
            l[k].x[i] = random_in(-1, 1);
        for (size_t i = 0; i < OUT * IN; i++)
            l[k].weight[i] = random_in(-1, 1);
        for (size_t i = 0; i < ROWS * OUT; i++)
            l[k].dy[i] = random_in(-1, 1);
        CHECK(pnng_plan_forward(l[k].plan, 0) == PNNG_OK);
        CHECK(pnng_plan_backward(l[k].plan, 0.5, 3) == PNNG_OK);
        pnng_plan_free(l[k].plan);
    }
    pnng_program_free(program);
    CHECK(memcmp(l[0].y, l[1].y, sizeof l[0].y) == 0);
    CHECK(memcmp(l[0].dx, l[1].dx, sizeof l[0].dx) == 0);
    CHECK(memcmp(l[0].dweight, l[1].dweight, sizeof l[0].dweight) == 0);
    CHECK(memcmp(l[0].dbias, l[1].dbias, sizeof l[0].dbias) == 0);
}

/* A backward runs the steps that its mask asks for: those of W, of b, and, in one, of h = tanh x
 * and of x. */
static void test_masks(void) {
    snprintf(test_where, sizeof test_where, "masks");
    static layer l;
    pnng_program *const program = layer_program(NULL);
    CHECK(plan_layer(&l, program, PNNG_PLAN_BACKWARD) == PNNG_OK);
    pnng_program_free(program);
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK);
    const size_t n = pnng_plan_n_backward(l.plan);
    CHECK(n == 3);
    static const uint64_t of_inputs[] = {0, 1, 0, 1}, of_params[] = {0, 0, 2, 2};
    for (int32_t mask = 0; mask < 4; mask++) {
        CHECK(pnng_plan_measure(l.plan, 1) == PNNG_OK);
        CHECK(pnng_plan_backward(l.plan, 1, mask) == PNNG_OK);
        CHECK(total(l.plan, PNNG_BACKWARD).runs == of_inputs[mask] + of_params[mask]);
        for (size_t k = 0; k < n; k++) {
            const pnng_step_info info = step_of(l.plan, PNNG_BACKWARD, k);
            CHECK(info.ops[0] == 1 && (info.n_ops == 1 || info.ops[1] == 0));
            if (info.n_ops == 2) /* with tanh's: it is for the input only */
                CHECK(info.runs == (mask & PNNG_GRAD_INPUTS ? 1 : 0));
            if (info.runs == 0)
                CHECK(info.seconds == 0);
        }
    }
    pnng_plan_free(l.plan);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void test_arguments(void) {
    snprintf(test_where, sizeof test_where, "arguments");
    static layer l;
    pnng_program *program = layer_program(NULL);
    pnng_step_info info = {.runs = 99};
    uint64_t work = 99;
    for (int32_t flags = 0; flags < 2; flags++) {
        CHECK(plan_layer(&l, program, flags) == PNNG_OK);
        for (int32_t direction = -1; direction < 3; direction++) {
            const bool exists = direction == PNNG_FORWARD || direction == PNNG_BACKWARD;
            const size_t first = exists ? count_steps(l.plan, direction) : 0;
            for (size_t k = 0; k < 3; k++) {
                const size_t index = k == 2 ? SIZE_MAX : first + k;
                CHECK(pnng_plan_step(l.plan, direction, index, &info) == PNNG_ERROR_ARGUMENT);
                CHECK(*pnng_plan_error(l.plan));
            }
        }
        CHECK((pnng_plan_n_backward(l.plan) == 0) == (flags == 0));
        static const int64_t no_ops[] = {-1, 2, INT64_MAX, INT64_MIN};
        for (int k = 0; k < 4; k++)
            CHECK(pnng_plan_multiply_adds(l.plan, no_ops[k], &work) == PNNG_ERROR_ARGUMENT);
        pnng_plan_free(l.plan);
    }

    /* A plan that could not be made. */
    const pnng_shape bad = shape_of(2, ROWS, IN + 1);
    CHECK(pnng_plan_new(program, PNNG_F64, &bad, 1, 1, &l.plan) == PNNG_ERROR_SHAPE);
    for (int32_t on = 0; on < 2; on++)
        CHECK(pnng_plan_measure(l.plan, on) == PNNG_ERROR_ARGUMENT && *pnng_plan_error(l.plan));
    CHECK(pnng_plan_step(l.plan, PNNG_FORWARD, 0, &info) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_multiply_adds(l.plan, 0, &work) == PNNG_ERROR_ARGUMENT);
    CHECK(info.runs == 99 && work == 99);
    pnng_plan_free(l.plan);
    pnng_program_free(program);

    /* A plan without any step. */
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK && pnng_program_seal(program) == PNNG_OK);
    CHECK(pnng_plan_new(program, PNNG_F64, NULL, 0, 1, &l.plan) == PNNG_OK);
    CHECK(pnng_plan_measure(l.plan, 1) == PNNG_OK && pnng_plan_forward(l.plan, 0) == PNNG_OK);
    CHECK(pnng_plan_step(l.plan, PNNG_FORWARD, 0, &info) == PNNG_ERROR_ARGUMENT);
    pnng_plan_free(l.plan);
    pnng_program_free(program);
}

/* No memory for the sums: nothing changes, and it may be tried again. */
static void test_memory(void) {
    snprintf(test_where, sizeof test_where, "memory");
    static layer l;
    watch w;
    watch_begin(&w);
    pnng_program *const program = layer_program(&w.allocator);
    CHECK(plan_layer(&l, program, PNNG_PLAN_BACKWARD) == PNNG_OK);
    pnng_program_free(program);
    const long calls = w.calls;
    CHECK(pnng_plan_measure(l.plan, 0) == PNNG_OK);
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK);
    CHECK(w.calls == calls);
    w.fail_at = calls + 1;
    CHECK(pnng_plan_measure(l.plan, 1) == PNNG_ERROR_MEMORY);
    CHECK(w.failed && *pnng_plan_error(l.plan));
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK);
    CHECK(is_zero(total(l.plan, PNNG_FORWARD)));
    CHECK(pnng_plan_measure(l.plan, 1) == PNNG_OK);
    CHECK(w.calls == calls + 2);
    CHECK(pnng_plan_forward(l.plan, 0) == PNNG_OK && pnng_plan_backward(l.plan, 1, 3) == PNNG_OK);
    CHECK(total(l.plan, PNNG_FORWARD).runs == pnng_plan_n_forward(l.plan));
    /* Once it is there it serves for good. */
    w.fail_at = w.calls + 1;
    CHECK(pnng_plan_measure(l.plan, 0) == PNNG_OK && pnng_plan_measure(l.plan, 1) == PNNG_OK);
    CHECK(is_zero(total(l.plan, PNNG_FORWARD)));
    pnng_plan_free(l.plan);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* A host that asks for what a run under way has not got yet, and fails when told to. */
typedef struct asking_host {
    pnng_plan *plan;
    bool fails;
} asking_host;

static pnng_status asking_infer(void *user, int64_t id, const pnng_shape *in, size_t n_in,
                                pnng_shape *out, size_t n_out) {
    out[0] = in[0];
    return PNNG_OK;
}

static pnng_status asking_forward(void *user, int64_t id, const void *const *in, size_t n_in,
                                  void *const *out, size_t n_out) {
    const asking_host *const host = user;
    pnng_step_info info;
    CHECK(pnng_plan_measure(host->plan, 0) == PNNG_ERROR_BUSY);
    CHECK(pnng_plan_measure(host->plan, 1) == PNNG_ERROR_BUSY);
    CHECK(pnng_plan_step(host->plan, PNNG_FORWARD, 0, &info) == PNNG_ERROR_BUSY);
    memcpy(out[0], in[0], 4 * sizeof(double));
    return host->fails ? PNNG_ERROR_HOST : PNNG_OK;
}

static void test_from_inside(void) {
    snprintf(test_where, sizeof test_where, "from inside of a run");
    asking_host host = {0};
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_host calls = {asking_infer, asking_forward, NULL, &host};
    CHECK(pnng_program_host(program, &calls) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value h = add_op_ints(program, "host", x, 3, 0, 1, 0);
    CHECK(pnng_program_output(program, add_op(program, "tanh", h, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, 4);
    CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, 0, &host.plan) == PNNG_OK);
    double in[4] = {1, 2, 3, 4}, out[4];
    CHECK(bind_to(host.plan, PNNG_SLOT_INPUT, 0, in) == PNNG_OK);
    CHECK(bind_to(host.plan, PNNG_SLOT_OUTPUT, 0, out) == PNNG_OK);
    CHECK(pnng_plan_measure(host.plan, 1) == PNNG_OK);
    CHECK(pnng_plan_forward(host.plan, 0) == PNNG_OK);
    /* The step that failed has run, the one after it has not. */
    host.fails = true;
    CHECK(pnng_plan_forward(host.plan, 0) == PNNG_ERROR_HOST);
    CHECK(step_of(host.plan, PNNG_FORWARD, 0).runs == 2);
    CHECK(step_of(host.plan, PNNG_FORWARD, 1).runs == 1);
    pnng_plan_free(host.plan);
    pnng_program_free(program);
}

/* ---- the ops that steps are for ------------------------------------------------------------- */

/* The op of each step of a run, -1 for none; ended by -2. */
static bool ops_are(pnng_plan *plan, int32_t direction, const int32_t *expected) {
    bool right = true;
    size_t k = 0;
    for (; expected[k] != -2 && k < count_steps(plan, direction); k++) {
        const pnng_step_info info = step_of(plan, direction, k);
        right = right && (info.n_ops ? info.ops[0] : -1) == expected[k];
    }
    if (right && expected[k] == -2 && k == count_steps(plan, direction))
        return true;
    for (k = 0; k < count_steps(plan, direction); k++) {
        const pnng_step_info info = step_of(plan, direction, k);
        printf("  step %zu: op %d\n", k, info.n_ops ? info.ops[0] : -1);
    }
    return false;
}

#define OPS(...) ((const int32_t[]){__VA_ARGS__, -2})

static pnng_program *begin_program(pnng_value *x) {
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    *x = add_input(program, PNNG_REAL, 1);
    return program;
}

/* Plan for inputs of (4, 6) each, and see the ops of the steps. */
static void check_ops(pnng_program *program, const char *what, const int32_t *forward,
                      const int32_t *backward) {
    snprintf(test_where, sizeof test_where, "ops of steps: %s", what);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shapes[] = {shape_of(2, 4, 6), shape_of(2, 4, 6)};
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, PNNG_F32, shapes, program->n_inputs, 1, &plan) == PNNG_OK);
    CHECK(ops_are(plan, PNNG_FORWARD, forward));
    CHECK(ops_are(plan, PNNG_BACKWARD, backward));
    pnng_plan_free(plan);
    pnng_program_free(program);
}

static void test_ops_of_steps(void) {
    pnng_value x;
    pnng_program *program = begin_program(&x);
    pnng_value y = add_op(program, "tanh", x, -1);
    pnng_value z = add_op(program, "exp", y, -1);
    CHECK(pnng_program_output(program, y) == 0 && pnng_program_output(program, z) == 0);
    /* Copies of outputs that are read again; y gets a gradient from outside and one from exp. */
    check_ops(program, "outputs", OPS(0, 1, 0, 1), OPS(0, 1, 0));

    program = begin_program(&x);
    y = add_op(program, "tanh", x, -1);
    z = add_op_ints(program, "narrow", y, 3, 1, 0, 2);
    CHECK(pnng_program_output(program, z) == PNNG_OK);
    /* The output is a part: it is copied, and zeros are around its gradient. */
    check_ops(program, "a part", OPS(0, 1), OPS(1, 1, 0));

    program = begin_program(&x);
    z = add_op_ints(program, "narrow", x, 3, 1, 1, 2);
    z = add_op_ints(program, "softmax", z, 1, 0);
    CHECK(pnng_program_output(program, z) == PNNG_OK);
    /* Both directions work on copies that lie one after another. */
    check_ops(program, "copies for a kernel", OPS(1, 1, 1), OPS(1, 1, 1));

    program = begin_program(&x);
    const pnng_value p = add_param(program, shape_of(2, 4, 6), 1);
    y = add_op(program, "add", x, p, -1);
    z = add_op(program, "mul", y, p, -1);
    CHECK(pnng_program_output(program, z) == PNNG_OK);
    /* The parameter's gradient is complete when the sum has given its part. */
    check_ops(program, "a parameter used twice", OPS(0, 1), OPS(1, 0, 0));

    program = begin_program(&x);
    const pnng_value q = add_param(program, shape_of(2, 4, 6), 1);
    y = add_op(program, "tanh", x, -1);
    CHECK(pnng_program_output(program, add_op(program, "add", q, y, -1)) == PNNG_OK);
    check_ops(program, "a parameter that is added", OPS(0, 1), OPS(0, 1));

    program = begin_program(&x);
    const pnng_value unused = add_input(program, PNNG_REAL, 1);
    CHECK(pnng_program_output(program, x) == PNNG_OK);
    CHECK(pnng_program_output(program, add_op(program, "to_index", unused, -1)) == PNNG_OK);
    /* For no op: an input as an output, there and back, and zeros. */
    check_ops(program, "none", OPS(0, -1), OPS(-1, -1));
}

/* ---- multiply-adds -------------------------------------------------------------------------- */

static uint64_t multiply_adds(const pnng_plan *plan, int64_t op) {
    uint64_t count = 99;
    CHECK(pnng_plan_multiply_adds(plan, op, &count) == PNNG_OK);
    return count;
}

static void test_multiply_adds(void) {
    snprintf(test_where, sizeof test_where, "multiply-adds");
    static layer l;
    pnng_program *const program = layer_program(NULL);
    CHECK(plan_layer(&l, program, 0) == PNNG_OK);
    CHECK(multiply_adds(l.plan, 0) == 0);
    CHECK(multiply_adds(l.plan, 1) == ROWS * IN * OUT);
    pnng_plan_free(l.plan);
    const pnng_shape one_row = shape_of(1, IN), no_rows = shape_of(2, 0, IN);
    CHECK(pnng_plan_new(program, PNNG_F32, &one_row, 1, 0, &l.plan) == PNNG_OK);
    CHECK(multiply_adds(l.plan, 1) == IN * OUT);
    pnng_plan_free(l.plan);
    CHECK(pnng_plan_new(program, PNNG_F32, &no_rows, 1, 0, &l.plan) == PNNG_OK);
    CHECK(multiply_adds(l.plan, 1) == 0);
    pnng_plan_free(l.plan);
    pnng_program_free(program);
}

/* Three arrays of 2^56 elements each, whose product does 2^84 multiply-adds. */
static void test_saturation(void) {
    snprintf(test_where, sizeof test_where, "more multiply-adds than can be counted");
    CHECK(pnng_times(0, UINT64_MAX) == 0 && pnng_times(UINT64_MAX, 0) == 0);
    CHECK(pnng_times(UINT64_MAX, 1) == UINT64_MAX && pnng_times(1, UINT64_MAX) == UINT64_MAX);
    CHECK(pnng_times(UINT32_MAX, UINT32_MAX) == UINT64_C(0xfffffffe00000001));
    CHECK(pnng_times(UINT64_C(1) << 32, UINT64_C(1) << 32) == UINT64_MAX);
    CHECK(pnng_times(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    if (sizeof(size_t) < 8)
        return;
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_shape square = {2, {1 << 28, 1 << 28}};
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value weight = add_param(program, square, 1);
    CHECK(pnng_program_output(program, add_op(program, "linear", x, weight, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, PNNG_F32, &square, 1, 0, &plan) == PNNG_OK);
    CHECK(multiply_adds(plan, 0) == UINT64_MAX);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

int main(void) {
    test_switching();
    test_results();
    test_masks();
    test_arguments();
    test_memory();
    test_from_inside();
    test_ops_of_steps();
    test_multiply_adds();
    test_saturation();
    return test_result();
}
