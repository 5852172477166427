/* Building: what every wrong call says, and that it changes nothing. */
#include "engine_support.h"

static bool says(const char *message, const char *part) {
    if (strstr(message, part))
        return true;
    printf("  \"%s\" does not say \"%s\"\n", message, part);
    return false;
}

/* A call on `program` that fails so, with a message that has `part` in it. */
#define FAILS(call, status, part)                                                                  \
    do {                                                                                           \
        CHECK((call) == (status));                                                                 \
        CHECK(says(pnng_program_error(program), part));                                            \
    } while (0)

static int32_t code(const char *name) { return pnng_op_find(name); }

/* ---- the library ---- */

static void test_library(void) {
    snprintf(test_where, sizeof test_where, "the library");
    CHECK(pnng_version() && *pnng_version());
    static const char *const names[] = {
        "PNNG_OK",           "PNNG_ERROR_MEMORY", "PNNG_ERROR_ARGUMENT", "PNNG_ERROR_SHAPE",
        "PNNG_ERROR_TYPE",   "PNNG_ERROR_VALUE",  "PNNG_ERROR_UNBOUND",  "PNNG_ERROR_BUSY",
        "PNNG_ERROR_ORDER",  "PNNG_ERROR_ISA",    "PNNG_ERROR_HOST",     "PNNG_ERROR_THREADS",
        "PNNG_ERROR_FORMAT", "PNNG_ERROR_FILE"};
    for (int k = 0; k < 14; k++)
        CHECK(strcmp(pnng_status_name(-k), names[k]) == 0);
    CHECK(strncmp(pnng_status_name(1), "PNNG", 4) != 0);
    CHECK(strncmp(pnng_status_name(-14), "PNNG", 4) != 0);
    CHECK(strncmp(pnng_status_name(INT32_MIN), "PNNG", 4) != 0);
    CHECK(strncmp(pnng_status_name(INT32_MAX), "PNNG", 4) != 0);

    size_t count = 0;
    const pnng_op_info *const table = pnng_op_table(&count);
    CHECK(count > 0 && table == pnng_op_table(NULL));
    for (size_t k = 0; k < count; k++) {
        CHECK(pnng_op_find(table[k].name) == (int32_t)k);
        CHECK(*table[k].family && *table[k].formula);
        CHECK(table[k].min_inputs >= 0 && table[k].n_nums >= 0 && table[k].n_nums <= 2);
        CHECK(table[k].max_inputs == -1 || table[k].max_inputs >= table[k].min_inputs);
        CHECK(table[k].n_outputs == -1 || table[k].n_outputs > 0);
    }
    CHECK(pnng_op_find("") == -1 && pnng_op_find("tan") == -1 && pnng_op_find("tanhh") == -1 &&
          pnng_op_find("TANH") == -1);

    const pnng_cpu *const cpu = pnng_cpu_info();
    CHECK(cpu->isa && cpu->available && strstr(cpu->available, "scalar"));
    CHECK(cpu->l1d_bytes >= 4 << 10 && cpu->l1d_bytes <= 1 << 20);
    CHECK(cpu->l2_bytes > cpu->l1d_bytes && cpu->l3_bytes >= cpu->l2_bytes);
    pnng_program_free(NULL);
    pnng_plan_free(NULL);
    pnng_shapes_free(NULL);
}

/* ---- building ---- */

/* A program of one of each, still open. */
typedef struct sample {
    pnng_program *program;
    pnng_value x, t, w, y;
} sample;

static sample begin_sample(const pnng_allocator *allocator) {
    sample s;
    CHECK(pnng_program_new(allocator, &s.program) == PNNG_OK);
    s.x = add_input(s.program, PNNG_REAL, 1);
    s.t = add_input(s.program, PNNG_INDEX, 1);
    s.w = add_param(s.program, shape_of(2, 5, 3), 1);
    s.y = add_op(s.program, "linear", s.x, s.w, -1);
    CHECK(s.x == 0 && s.t == 1 && s.w == 2 && s.y == 3);
    return s;
}

static pnng_status op_with(pnng_program *program, const char *name, const pnng_value *in,
                           size_t n_in, size_t n_ints, size_t n_nums, size_t n_out) {
    static const int64_t ints[8];
    static const double nums[4];
    pnng_value out[4] = {-7, -7, -7, -7};
    const pnng_status status =
        pnng_program_op(program, code(name), in, n_in, ints, n_ints, nums, n_nums, out, n_out);
    if (status)
        CHECK(out[0] == -7 && out[1] == -7);
    return status;
}

static void test_wrong_ops(void) {
    snprintf(test_where, sizeof test_where, "wrong ops");
    const sample s = begin_sample(NULL);
    pnng_program *const program = s.program;
    const pnng_value x = s.x, t = s.t, two[] = {s.x, s.x}, mixed[] = {s.x, s.t},
                     three[] = {s.x, s.w, s.t}, four[] = {s.x, s.w, s.x, s.x};
    pnng_value out = -7;
    FAILS(pnng_program_op(program, -1, &x, 1, NULL, 0, NULL, 0, &out, 1), PNNG_ERROR_ARGUMENT,
          "no such op: -1");
    FAILS(pnng_program_op(program, 100000, &x, 1, NULL, 0, NULL, 0, &out, 1), PNNG_ERROR_ARGUMENT,
          "no such op: 100000");
    CHECK(out == -7);

    FAILS(op_with(program, "tanh", NULL, 0, 0, 0, 1), PNNG_ERROR_ARGUMENT, "tanh takes 1 input");
    FAILS(op_with(program, "tanh", two, 2, 0, 0, 1), PNNG_ERROR_ARGUMENT, "got 2");
    FAILS(op_with(program, "add", NULL, 0, 0, 0, 1), PNNG_ERROR_ARGUMENT,
          "add takes at least 1 input");
    FAILS(op_with(program, "join", NULL, 0, 1, 0, 1), PNNG_ERROR_ARGUMENT, "at least 1");
    FAILS(op_with(program, "linear", &x, 1, 0, 0, 1), PNNG_ERROR_ARGUMENT, "linear takes");
    FAILS(op_with(program, "linear", four, 4, 0, 0, 1), PNNG_ERROR_ARGUMENT, "got 4");
    CHECK(!strstr(pnng_program_error(program), "at least")); /* 4 are at least 2 */
    FAILS(op_with(program, "nll", four, 4, 2, 0, 2), PNNG_ERROR_ARGUMENT, "3");

    FAILS(op_with(program, "tanh", &x, 1, 1, 0, 1), PNNG_ERROR_ARGUMENT, "takes 0 integers, got 1");
    FAILS(op_with(program, "softmax", &x, 1, 0, 0, 1), PNNG_ERROR_ARGUMENT, "1 integer");
    FAILS(op_with(program, "host", &x, 1, 1, 0, 1), PNNG_ERROR_ARGUMENT, "takes 3 integers, got 1");
    FAILS(op_with(program, "tanh", &x, 1, 0, 1, 1), PNNG_ERROR_ARGUMENT, "takes 0 reals, got 1");
    FAILS(op_with(program, "mul_constant", &x, 1, 0, 0, 1), PNNG_ERROR_ARGUMENT, "1 real");
    FAILS(op_with(program, "dropout", &x, 1, 0, 3, 2), PNNG_ERROR_ARGUMENT, "takes 2 reals, got 3");
    FAILS(op_with(program, "tanh", &x, 1, 0, 0, 0), PNNG_ERROR_ARGUMENT, "output");
    FAILS(op_with(program, "tanh", &x, 1, 0, 0, 2), PNNG_ERROR_ARGUMENT, "has 1 outputs, not 2");
    FAILS(op_with(program, "dropout", &x, 1, 0, 2, 1), PNNG_ERROR_ARGUMENT, "output");
    FAILS(op_with(program, "host", &x, 1, 3, 0, 1), PNNG_ERROR_ARGUMENT, "has 0 outputs, not 1");
    const int64_t host_ints[][3] = {{0, -1}, {0, INT64_MIN}, {0, INT64_MAX}, {0, 2}};
    for (size_t k = 0; k < 4; k++)
        FAILS(pnng_program_op(program, code("host"), &x, 1, host_ints[k], 3, NULL, 0, &out, 1),
              PNNG_ERROR_ARGUMENT, "outputs");

    static const pnng_value strange[] = {-1, 4, 1000000, INT32_MIN, INT32_MAX};
    for (size_t k = 0; k < 5; k++) {
        FAILS(op_with(program, "tanh", &strange[k], 1, 0, 0, 1), PNNG_ERROR_ARGUMENT,
              "not of this program");
        FAILS(op_with(program, "host", &strange[k], 1, 3, 0, 0), PNNG_ERROR_ARGUMENT,
              "not of this program");
        FAILS(pnng_program_output(program, strange[k]), PNNG_ERROR_ARGUMENT, "not of this program");
    }

    FAILS(op_with(program, "tanh", &t, 1, 0, 0, 1), PNNG_ERROR_TYPE, "must be reals, got indices");
    FAILS(op_with(program, "add", mixed, 2, 0, 0, 1), PNNG_ERROR_TYPE, "input 1 of add");
    FAILS(op_with(program, "join", mixed, 2, 1, 0, 1), PNNG_ERROR_TYPE, "input 1 of join");
    FAILS(op_with(program, "mse", mixed, 2, 1, 0, 1), PNNG_ERROR_TYPE, "input 1 of mse");
    FAILS(op_with(program, "nll", two, 2, 2, 0, 2), PNNG_ERROR_TYPE, "must be indices, got reals");
    FAILS(op_with(program, "linear", three, 3, 0, 0, 1), PNNG_ERROR_TYPE, "input 2 of linear");
    FAILS(op_with(program, "to_index", &t, 1, 0, 0, 1), PNNG_ERROR_TYPE, "to_index");

    /* Nothing came of all that, and what is right still works. */
    CHECK(pnng_program_n_ops(program) == 1);
    CHECK(!pnng_program_draws(program));
    const pnng_value same = add_op(program, "identity", t, -1),
                     whole = add_op(program, "to_index", x, -1);
    CHECK(same == 4 && whole == 5);
    CHECK(!*pnng_program_error(program));
    const pnng_value losses[] = {x, same}, more[] = {x, whole};
    CHECK(op_with(program, "nll", losses, 2, 2, 0, 2) == PNNG_OK);
    CHECK(op_with(program, "nll", more, 2, 2, 0, 2) == PNNG_OK);
    CHECK(op_with(program, "tanh", &whole, 1, 0, 0, 1) == PNNG_ERROR_TYPE);
    CHECK(pnng_program_n_ops(program) == 5);
    CHECK(op_with(program, "host", NULL, 0, 3, 0, 0) == PNNG_OK);
    pnng_program_free(program);
}

static void test_wrong_leaves(void) {
    snprintf(test_where, sizeof test_where, "wrong inputs and parameters");
    const sample s = begin_sample(NULL);
    pnng_program *const program = s.program;
    pnng_value out = -7;
    FAILS(pnng_program_input(program, 2, 0, &out), PNNG_ERROR_ARGUMENT, "kind");
    FAILS(pnng_program_input(program, -1, 0, &out), PNNG_ERROR_ARGUMENT, "kind");
    pnng_shape shape = shape_of(2, 3, -1);
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "negative");
    shape.ndim = 9;
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "0 to 8 dims, got 9");
    shape.ndim = -1;
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "got -1");
    shape = (pnng_shape){2, {INT64_MAX, INT64_MAX}};
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "large");
    shape = (pnng_shape){1, {INT64_MAX / 8 + 1}};
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "large");
    shape = (pnng_shape){8, {1 << 8, 1 << 8, 1 << 8, 1 << 8, 1 << 8, 1 << 8, 1 << 8, 1 << 8}};
    FAILS(pnng_program_param(program, &shape, 1, &out), PNNG_ERROR_SHAPE, "large");
    CHECK(out == -7);
    /* The next value has the next number: nothing was left behind. */
    CHECK(add_input(program, PNNG_REAL, 0) == 4);
    shape = (pnng_shape){1, {INT64_MAX / 8}};
    CHECK(pnng_program_param(program, &shape, 1, &out) == PNNG_OK && out == 5);
    shape = (pnng_shape){3, {1000, 0, 1000}};
    CHECK(pnng_program_param(program, &shape, 1, &out) == PNNG_OK && out == 6);
    pnng_program_free(program);
}

static void test_sealed(void) {
    snprintf(test_where, sizeof test_where, "a sealed program");
    const sample s = begin_sample(NULL);
    pnng_program *const program = s.program;
    const pnng_shape shape = shape_of(1, 3), inputs[] = {shape_of(2, 2, 3), shape_of(1, 2)};
    pnng_plan *plan = NULL;
    CHECK(pnng_plan_new(program, PNNG_F32, inputs, 2, 0, &plan) == PNNG_ERROR_ARGUMENT);
    CHECK(plan && says(pnng_plan_error(plan), "not sealed"));
    CHECK(pnng_plan_error_op(plan) == -1);
    pnng_plan_free(plan);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    pnng_value out = -7;
    const pnng_host host = {0};
    FAILS(pnng_program_seal(program), PNNG_ERROR_ARGUMENT, "sealed");
    FAILS(pnng_program_input(program, PNNG_REAL, 0, &out), PNNG_ERROR_ARGUMENT, "sealed");
    FAILS(pnng_program_param(program, &shape, 0, &out), PNNG_ERROR_ARGUMENT, "sealed");
    FAILS(pnng_program_output(program, s.x), PNNG_ERROR_ARGUMENT, "sealed");
    FAILS(pnng_program_host(program, &host), PNNG_ERROR_ARGUMENT, "sealed");
    FAILS(op_with(program, "tanh", &s.x, 1, 0, 0, 1), PNNG_ERROR_ARGUMENT, "sealed");
    CHECK(out == -7 && pnng_program_n_ops(program) == 1);
    pnng_program_free(program);
}

/* ---- sizes ---- */

/* What an op of these ints says of an input of this shape; with what it should say or, if NULL, the
 * shape that it should give. */
typedef struct shape_case {
    const char *op;
    int n_ints;
    int64_t ints[9];
    pnng_shape in;
    const char *message;
    pnng_shape out;
} shape_case;

static void run_shape_case(const shape_case *c) {
    snprintf(test_where, sizeof test_where, "sizes of %s", c->op);
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1), y = add_op(program, "identity", x, -1);
    const size_t n_nums = (size_t)pnng_op_table(NULL)[code(c->op)].n_nums;
    const double nums[2] = {1, 1};
    pnng_value out = -1;
    CHECK(pnng_program_op(program, code(c->op), &y, 1, c->ints, (size_t)c->n_ints, nums, n_nums,
                          &out, 1) == PNNG_OK);
    CHECK(pnng_program_output(program, out) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    pnng_shapes *shapes;
    pnng_shape shape;
    CHECK(pnng_shapes_new(program, &c->in, 1, &shapes) == PNNG_OK);
    CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_OK && shapes_equal(&shape, &c->in));
    const pnng_status status = pnng_shapes_of(shapes, out, &shape);
    pnng_plan *plan;
    const pnng_status planned = pnng_plan_new(program, PNNG_F64, &c->in, 1, 1, &plan);
    if (c->message) {
        CHECK(status == PNNG_ERROR_SHAPE && planned == PNNG_ERROR_SHAPE);
        CHECK(says(pnng_shapes_error(shapes), c->message));
        CHECK(says(pnng_plan_error(plan), c->message));
        CHECK(pnng_shapes_error_op(shapes) == 1 && pnng_plan_error_op(plan) == 1);
        CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_OK);
        CHECK(pnng_shapes_error_op(shapes) == -1);
    } else {
        CHECK(status == PNNG_OK && shapes_equal(&shape, &c->out));
        CHECK(planned == PNNG_OK || planned == PNNG_ERROR_MEMORY);
    }
    pnng_plan_free(plan);
    pnng_shapes_free(shapes);
    pnng_program_free(program);
}

static void test_shape_cases(void) {
    const int64_t big = INT64_MAX;
    const shape_case cases[] = {
        {"softmax", 1, {2}, {2, {3, 4}}, "no dim 2", {0}},
        {"softmax", 1, {-3}, {2, {3, 4}}, "(3, 4)", {0}},
        {"softmax", 1, {0}, {0}, "no dim 0", {0}},
        {"softmax", 1, {INT64_MIN}, {2, {3, 4}}, "no dim", {0}},
        {"softmax", 1, {big}, {2, {3, 4}}, "no dim", {0}},
        {"softmax", 1, {-2}, {2, {3, 4}}, NULL, {2, {3, 4}}},
        {"reduce_sum", 2, {1, 0}, {1, {3}}, "no dim 1", {0}},
        {"reduce_sum", 2, {-1, 0}, {1, {3}}, NULL, {0, {0}}},
        {"reduce_sum", 2, {0, 1}, {2, {0, 4}}, NULL, {2, {1, 4}}},
        {"reduce_sum", 2, {0, 0}, {2, {0, 4}}, NULL, {1, {4}}},
        {"join", 1, {3}, {2, {3, 4}}, "no dim 3", {0}},
        {"select", 2, {0, 3}, {2, {3, 4}}, "no index 3", {0}},
        {"select", 2, {0, -4}, {2, {3, 4}}, "no index -4", {0}},
        {"select", 2, {0, INT64_MIN}, {2, {3, 4}}, "no index", {0}},
        {"select", 2, {0, big}, {2, {3, 4}}, "no index", {0}},
        {"select", 2, {2, 0}, {2, {3, 4}}, "no dim 2", {0}},
        {"select", 2, {0, 0}, {1, {0}}, "no index 0", {0}},
        {"select", 2, {-2, -1}, {2, {3, 4}}, NULL, {1, {4}}},
        {"narrow", 3, {0, 0, 4}, {2, {3, 4}}, "(3, 4)", {0}},
        {"narrow", 3, {0, 3, 1}, {2, {3, 4}}, "offset 3", {0}},
        {"narrow", 3, {0, 0, 0}, {2, {3, 4}}, "(3, 4)", {0}},
        {"narrow", 3, {0, -4, 1}, {2, {3, 4}}, "offset -4", {0}},
        {"narrow", 3, {1, 0, -5}, {2, {3, 4}}, "(3, 4)", {0}},
        {"narrow", 3, {0, big, big}, {2, {3, 4}}, "offset", {0}},
        {"narrow", 3, {0, 1, big}, {2, {3, 4}}, "(3, 4)", {0}},
        {"narrow", 3, {0, big, INT64_MIN}, {2, {3, 4}}, "offset", {0}},
        {"narrow", 3, {0, INT64_MIN, -1}, {2, {3, 4}}, "offset", {0}},
        {"narrow", 3, {0, INT64_MIN, INT64_MIN}, {2, {3, 4}}, "offset", {0}},
        {"narrow", 3, {0, 0, INT64_MIN}, {2, {3, 4}}, "(3, 4)", {0}},
        {"narrow", 3, {9, 0, 1}, {2, {3, 4}}, "no dim 9", {0}},
        {"narrow", 3, {-1, -3, -1}, {2, {3, 4}}, NULL, {2, {3, 3}}},
        {"narrow", 3, {-1, 1, -2}, {2, {3, 4}}, NULL, {2, {3, 2}}},
        {"narrow", 3, {0, 0, 0}, {2, {0, 4}}, NULL, {2, {0, 4}}},
        {"reshape", 2, {5, 3}, {2, {3, 4}}, "(5, 3)", {0}},
        {"reshape", 2, {5, -1}, {2, {3, 4}}, "12 elements", {0}},
        {"reshape", 2, {-1, -1}, {2, {3, 4}}, "-1", {0}},
        {"reshape", 1, {-3}, {2, {3, 4}}, "-3", {0}},
        {"reshape", 3, {12, 1, -2}, {2, {3, 4}}, "-2", {0}},
        {"reshape", 2, {big, big}, {2, {3, 4}}, "cannot be had", {0}},
        {"reshape", 2, {big, -1}, {2, {3, 4}}, "reshape", {0}},
        {"reshape", 2, {0, -1}, {2, {3, 4}}, "reshape", {0}},
        {"reshape", 9, {12, 1, 1, 1, 1, 1, 1, 1, 1}, {2, {3, 4}}, "at most 8", {0}},
        {"reshape", 0, {0}, {2, {3, 4}}, "reshape", {0}},
        {"reshape", 0, {0}, {2, {1, 1}}, NULL, {0, {0}}},
        {"reshape", 8, {1, 2, 1, 2, 1, 3, 1, -1}, {2, {3, 4}}, NULL, {8, {1, 2, 1, 2, 1, 3, 1, 1}}},
        {"reshape", 3, {-2, 2, -1}, {2, {3, 4}}, NULL, {3, {3, 2, 2}}},
        {"reshape", 2, {7, -1}, {2, {0, 4}}, NULL, {2, {7, 0}}},
        {"reshape", 2, {0, -1}, {2, {0, 4}}, NULL, {2, {0, 0}}},
        {"transpose", 2, {0, -1}, {3, {2, 3, 4}}, NULL, {3, {4, 3, 2}}},
        {"transpose", 2, {1, 1}, {2, {2, 3}}, NULL, {2, {2, 3}}},
        {"transpose", 2, {0, 2}, {2, {2, 3}}, "no dim 2", {0}},
        {"transpose", 2, {-3, 0}, {2, {2, 3}}, "no dim -3", {0}},
        {"transpose", 2, {0, 0}, {0, {0}}, "no dim 0", {0}},
        {"replicate", 2, {0, 5}, {0, {0}}, NULL, {1, {5}}},
        {"replicate", 2, {2, 5}, {2, {2, 3}}, NULL, {3, {2, 3, 5}}},
        {"replicate", 2, {-3, 0}, {2, {2, 3}}, NULL, {3, {0, 2, 3}}},
        {"replicate", 2, {3, 5}, {2, {2, 3}}, "insert a dim at 3", {0}},
        {"replicate", 2, {-4, 5}, {2, {2, 3}}, "insert a dim at -4", {0}},
        {"replicate", 2, {0, -1}, {2, {2, 3}}, "-1 times", {0}},
        {"replicate", 2, {0, 2}, {8, {1, 1, 1, 1, 1, 1, 1, 1}}, "insert a dim", {0}},
        {"replicate", 2, {0, INT64_MAX}, {1, {2}}, "large", {0}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        run_shape_case(&cases[k]);
}

/* Empty arrays with sizes whose product no integer holds: they may be refused, but nothing may
 * overflow on the way (a sanitizer sees that). */
static void test_huge_empty_arrays(void) {
    const int64_t big = INT64_MAX;
    const shape_case cases[] = {
        {"tanh", 0, {0}, {3, {0, big, big}}, NULL, {3, {0, big, big}}},
        {"softmax", 1, {1}, {3, {0, big, big}}, NULL, {3, {0, big, big}}},
        {"softmax", 1, {0}, {3, {big, big, 0}}, NULL, {3, {big, big, 0}}},
        {"reduce_sum", 2, {2, 0}, {3, {big, 0, big}}, NULL, {2, {big, 0}}},
        {"reduce_sum", 2, {1, 0}, {3, {big, 0, big}}, "large", {0}},
        {"narrow", 3, {1, big - 1, 1}, {3, {0, big, big}}, NULL, {3, {0, 1, big}}},
        {"narrow", 3, {2, 1, -1}, {3, {0, big, big}}, NULL, {3, {0, big, big - 1}}},
        {"select", 2, {1, big - 1}, {3, {0, big, big}}, NULL, {2, {0, big}}},
        {"select", 2, {0, big - 1}, {3, {big, big, 0}}, NULL, {2, {big, 0}}},
        {"reshape", 3, {big, big, 0}, {3, {0, big, big}}, "cannot be had", {0}},
        {"reshape", 3, {0, big, big}, {3, {0, big, big}}, NULL, {3, {0, big, big}}},
        {"join", 1, {1}, {3, {0, big, big}}, NULL, {3, {0, big, big}}},
        {"transpose", 2, {0, 2}, {3, {0, big, big}}, NULL, {3, {big, big, 0}}},
        {"replicate", 2, {1, big}, {2, {0, big}}, NULL, {3, {0, big, big}}},
        {"replicate", 2, {0, 0}, {1, {big}}, NULL, {2, {0, big}}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const shape_case *const c = &cases[k];
        snprintf(test_where, sizeof test_where, "a huge empty array, %s", c->op);
        pnng_program *program;
        CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
        const pnng_value x = add_input(program, PNNG_REAL, 1);
        const double num = 1;
        pnng_value out = -1;
        CHECK(pnng_program_op(program, code(c->op), &x, 1, c->ints, (size_t)c->n_ints, &num,
                              (size_t)pnng_op_table(NULL)[code(c->op)].n_nums, &out, 1) == PNNG_OK);
        CHECK(pnng_program_output(program, out) == PNNG_OK);
        CHECK(pnng_program_seal(program) == PNNG_OK);
        pnng_plan *plan;
        pnng_shape shape;
        const pnng_status status = pnng_plan_new(program, PNNG_F64, &c->in, 1, 1, &plan);
        CHECK(status == PNNG_ERROR_SHAPE || (status == PNNG_OK && !c->message));
        if (status == PNNG_OK)
            CHECK(pnng_plan_shape(plan, out, &shape) == PNNG_OK && shapes_equal(&shape, &c->out));
        pnng_plan_free(plan);
        pnng_program_free(program);
    }
}

/* Ops of several inputs: shapes of up to three inputs, and what is said of them. */
typedef struct inputs_case {
    const char *op;
    int n_in;
    pnng_shape in[3];
    const char *message;
} inputs_case;

static void test_input_cases(void) {
    const int64_t half = INT64_MAX / 16 + 1;
    const inputs_case cases[] = {
        {"add", 2, {{1, {3}}, {1, {4}}}, "entry 0 is (3,), entry 1 is (4,)"},
        {"mul", 3, {{1, {3}}, {1, {3}}, {2, {3, 1}}}, "entry 2 is (3, 1)"},
        {"max", 2, {{1, {1}}, {0, {0}}}, "one shape"},
        {"join", 2, {{2, {3, 4}}, {2, {4, 4}}}, NULL},
        {"join", 2, {{2, {3, 4}}, {2, {3, 5}}}, "entry 1 is (3, 5)"},
        {"join", 2, {{2, {3, 4}}, {1, {3}}}, "entry 1"},
        {"join", 2, {{2, {3, 4}}, {0, {0}}}, "entry 1"},
        {"join", 2, {{1, {half}}, {1, {half}}}, "large"},
        {"mse", 2, {{2, {3, 4}}, {2, {4, 3}}}, "(3, 4), got (4, 3)"},
        {"linear", 2, {{2, {2, 3}}, {1, {3}}}, "weight of 2 dims"},
        {"linear", 2, {{3, {2, 2, 3}}, {2, {5, 3}}}, "1 dim (features) or 2"},
        {"linear", 2, {{0, {0}}, {2, {5, 3}}}, "1 dim (features) or 2"},
        {"linear", 2, {{2, {2, 4}}, {2, {5, 3}}}, "expects 3 features, got 4"},
        {"linear", 3, {{2, {2, 3}}, {2, {5, 3}}, {1, {4}}}, "bias of 5"},
        {"linear", 3, {{2, {2, 3}}, {2, {5, 3}}, {2, {5, 1}}}, "bias of 5"},
        {"matmul", 2, {{2, {2, 3}}, {2, {2, 3}}}, "of shapes (2, 3) and (2, 3)"},
        {"matmul", 2, {{3, {1, 2, 3}}, {2, {3, 2}}}, "(1, 2, 3) and (3, 2)"},
        {"matmul", 2, {{3, {2, 2, 3}}, {3, {1, 3, 2}}}, "as many matrices"},
        {"matmul", 2, {{1, {3}}, {1, {3}}}, "two matrices"},
        {"matmul", 2, {{2, {half, 0}}, {2, {0, half}}}, "large"},
        {"matmul", 2, {{2, {0, 3}}, {2, {3, 0}}}, NULL},
        {"expand", 2, {{2, {1, 3}}, {2, {4, 3}}}, NULL},
        {"expand", 2, {{2, {2, 3}}, {2, {4, 3}}}, "repeat shape (2, 3) to get (4, 3)"},
        {"expand", 2, {{1, {3}}, {2, {4, 3}}}, "repeat shape (3,)"},
        {"bce", 2, {{2, {3, 4}}, {2, {4, 3}}}, "a target of its input's shape (3, 4), got (4, 3)"},
        {"bce", 3, {{1, {3}}, {1, {3}}, {1, {4}}}, "weights of its input's shape (3,), got (4,)"},
        {"linear", 2, {{2, {half, 0}}, {2, {half, 0}}}, "large"},
        {"linear", 2, {{2, {half, 1}}, {2, {half, 1}}}, "large"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const inputs_case *const c = &cases[k];
        snprintf(test_where, sizeof test_where, "sizes of %s, case %zu", c->op, k);
        pnng_program *program;
        CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
        pnng_value in[3], out;
        for (int j = 0; j < c->n_in; j++)
            in[j] = add_input(program, PNNG_REAL, 1);
        const int64_t ints[] = {0, 0};
        CHECK(pnng_program_op(program, code(c->op), in, (size_t)c->n_in, ints,
                              (size_t)pnng_op_table(NULL)[code(c->op)].n_ints, NULL, 0, &out,
                              1) == 0);
        CHECK(pnng_program_seal(program) == PNNG_OK);
        pnng_plan *plan;
        const pnng_status status =
            pnng_plan_new(program, PNNG_F32, c->in, (size_t)c->n_in, 1, &plan);
        CHECK(status == (c->message ? PNNG_ERROR_SHAPE : PNNG_OK));
        if (c->message) {
            CHECK(says(pnng_plan_error(plan), c->message));
            CHECK(pnng_plan_error_op(plan) == 0);
        }
        pnng_plan_free(plan);
        pnng_program_free(program);
    }
}

/* Losses of classes: log-probabilities, targets and, at times, weights. */
static void test_nll_cases(void) {
    const inputs_case cases[] = {
        {"nll", 2, {{3, {2, 3, 4}}, {1, {2}}}, "(2, 3, 4)"},
        {"nll", 2, {{0, {0}}, {1, {1}}}, "()"},
        {"nll", 2, {{2, {2, 3}}, {1, {3}}}, "expects 2 targets"},
        {"nll", 2, {{1, {3}}, {1, {3}}}, "expects 1 target"},
        {"nll", 2, {{2, {2, 3}}, {3, {2, 1, 1}}}, NULL},
        {"nll", 3, {{2, {2, 3}}, {1, {2}}, {1, {2}}}, "2 classes"},
        {"nll", 3, {{2, {2, 3}}, {2, {1, 2}}, {1, {3}}}, NULL},
        {"nll", 2, {{1, {3}}, {0, {0}}}, NULL},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const inputs_case *const c = &cases[k];
        snprintf(test_where, sizeof test_where, "sizes of nll, case %zu", k);
        pnng_program *program;
        CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
        pnng_value in[3], out[2];
        for (int j = 0; j < c->n_in; j++)
            in[j] = add_input(program, j == 1 ? PNNG_INDEX : PNNG_REAL, 1);
        const int64_t ints[] = {1, -100};
        CHECK(pnng_program_op(program, code("nll"), in, (size_t)c->n_in, ints, 2, NULL, 0, out,
                              2) == PNNG_OK);
        CHECK(pnng_program_seal(program) == PNNG_OK);
        pnng_plan *plan;
        const pnng_status status =
            pnng_plan_new(program, PNNG_F32, c->in, (size_t)c->n_in, 1, &plan);
        CHECK(status == (c->message ? PNNG_ERROR_SHAPE : PNNG_OK));
        if (c->message)
            CHECK(says(pnng_plan_error(plan), c->message));
        pnng_plan_free(plan);
        pnng_program_free(program);
    }
}

static void test_shapes(void) {
    snprintf(test_where, sizeof test_where, "sizes, step by step");
    pnng_program *program;
    pnng_shapes *shapes;
    pnng_shape shape, inputs[] = {shape_of(2, 4, 3), shape_of(1, 4)};
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value t = add_input(program, PNNG_INDEX, 0);

    CHECK(pnng_shapes_new(program, inputs, 1, &shapes) == PNNG_ERROR_ARGUMENT);
    CHECK(shapes && says(pnng_shapes_error(shapes), "2 inputs, got shapes of 1"));
    CHECK(pnng_shapes_of(shapes, x, &shape) == PNNG_ERROR_ARGUMENT);
    pnng_shapes_free(shapes);
    inputs[1].dim[0] = -4;
    CHECK(pnng_shapes_new(program, inputs, 2, &shapes) == PNNG_ERROR_SHAPE);
    CHECK(shapes && says(pnng_shapes_error(shapes), "negative"));
    CHECK(pnng_shapes_of(shapes, x, &shape) != PNNG_OK);
    pnng_shapes_free(shapes);
    inputs[1].dim[0] = 4;

    CHECK(pnng_shapes_new(program, inputs, 2, &shapes) == PNNG_OK);
    CHECK(pnng_shapes_of(shapes, t, &shape) == PNNG_OK && shapes_equal(&shape, &inputs[1]));
    const pnng_shape weight = shape_of(2, 5, 3);
    const pnng_value w = add_param(program, weight, 1);
    CHECK(pnng_shapes_of(shapes, w, &shape) == PNNG_OK && shapes_equal(&shape, &weight));
    pnng_value y = add_op(program, "linear", x, w, -1);
    const pnng_shape wanted = shape_of(2, 4, 5);
    CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_OK && shapes_equal(&shape, &wanted));
    const pnng_value bad = add_op_ints(program, "select", y, 2, 1, 5);
    const pnng_value good = add_op(program, "tanh", y, -1);
    CHECK(pnng_shapes_of(shapes, bad, &shape) == PNNG_ERROR_SHAPE);
    CHECK(pnng_shapes_error_op(shapes) == 1 && says(pnng_shapes_error(shapes), "no index 5"));
    CHECK(shapes_equal(&shape, &wanted)); /* it was not touched */
    CHECK(pnng_shapes_of(shapes, good, &shape) == PNNG_ERROR_SHAPE);
    CHECK(pnng_shapes_error_op(shapes) == 1);
    /* A wrong argument is not about that op. */
    CHECK(pnng_shapes_of(shapes, 100, &shape) == PNNG_ERROR_ARGUMENT);
    CHECK(says(pnng_shapes_error(shapes), "value 100"));
    CHECK(pnng_shapes_error_op(shapes) == -1);
    CHECK(pnng_shapes_of(shapes, -1, &shape) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_OK && shapes_equal(&shape, &wanted));
    CHECK(!*pnng_shapes_error(shapes) && pnng_shapes_error_op(shapes) == -1);
    add_input(program, PNNG_REAL, 0);
    CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_ERROR_ARGUMENT);
    CHECK(says(pnng_shapes_error(shapes), "more inputs"));
    pnng_program_free(program); /* kept by the sizes */
    CHECK(pnng_shapes_of(shapes, y, &shape) == PNNG_ERROR_ARGUMENT);
    pnng_shapes_free(shapes);
}

/* Many ops at a time, so that arrays grow while sizes are known already. */
static void test_shapes_growing(void) {
    snprintf(test_where, sizeof test_where, "sizes of a program that grows");
    pnng_program *program;
    pnng_shapes *shapes;
    const pnng_shape input = shape_of(1, 64);
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    pnng_value v = add_input(program, PNNG_REAL, 1);
    CHECK(pnng_shapes_new(program, &input, 1, &shapes) == PNNG_OK);
    for (int k = 0; k < 60; k++) {
        v = add_op_ints(program, "narrow", v, 3, 0, 1, -1);
        pnng_shape shape = {.ndim = 5};
        if (k % 7 == 3)
            CHECK(pnng_shapes_of(shapes, v, &shape) == PNNG_OK && shape.ndim == 1 &&
                  shape.dim[0] == 63 - k);
    }
    pnng_shapes_free(shapes);
    pnng_program_free(program);
}

/* ---- plans ---- */

#define PLAN_FAILS(call, status, part)                                                             \
    do {                                                                                           \
        CHECK((call) == (status));                                                                 \
        CHECK(says(pnng_plan_error(plan), part));                                                  \
    } while (0)

static void test_plan_arguments(void) {
    snprintf(test_where, sizeof test_where, "arguments of plans");
    watch w;
    watch_begin(&w);
    const sample s = begin_sample(&w.allocator);
    CHECK(pnng_program_output(s.program, s.y) == PNNG_OK);
    CHECK(pnng_program_seal(s.program) == PNNG_OK);
    const pnng_shape inputs[] = {shape_of(2, 2, 3), shape_of(1, 2)};
    static const struct {
        int32_t dtype;
        size_t n_inputs;
        int32_t flags;
        const char *message;
    } cases[] = {{2, 2, 0, "number type: 2"},         {-1, 2, 0, "number type: -1"},
                 {PNNG_F32, 2, 8, "flags: 8"},        {PNNG_F32, 2, -1, "flags"},
                 {PNNG_F32, 1, 0, "got shapes of 1"}, {PNNG_F64, 0, 1, "got shapes of 0"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        pnng_plan *plan = NULL;
        PLAN_FAILS(pnng_plan_new(s.program, cases[k].dtype, inputs, cases[k].n_inputs,
                                 cases[k].flags, &plan),
                   PNNG_ERROR_ARGUMENT, cases[k].message);
        /* A plan that came to nothing does nothing. */
        CHECK(pnng_plan_forward(plan, 0) != PNNG_OK);
        CHECK(pnng_plan_backward(plan, 1, 3) != PNNG_OK);
        CHECK(pnng_plan_bind(plan, 0, &w) == PNNG_ERROR_ARGUMENT);
        CHECK(pnng_plan_arena_size(plan) == 0);
        CHECK(pnng_plan_n_forward(plan) == 0 && pnng_plan_n_backward(plan) == 0);
        pnng_plan_free(plan);
    }
    const pnng_shape wrong[] = {shape_of(2, 2, 4), shape_of(1, 2)};
    pnng_plan *plan;
    PLAN_FAILS(pnng_plan_new(s.program, PNNG_F32, wrong, 2, 0, &plan), PNNG_ERROR_SHAPE,
               "expects 3 features, got 4");
    CHECK(pnng_plan_error_op(plan) == 0);
    CHECK(pnng_plan_forward(plan, 0) != PNNG_OK);
    pnng_plan_free(plan);
    pnng_shape bad[] = {shape_of(2, 2, 3), shape_of(1, 2)};
    bad[1].ndim = 100;
    PLAN_FAILS(pnng_plan_new(s.program, PNNG_F32, bad, 2, 0, &plan), PNNG_ERROR_SHAPE, "got 100");
    pnng_plan_free(plan);
    pnng_program_free(s.program);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* The shape of a value of a plan that failed is not known. */
static void test_shape_of_failed_plan(void) {
    snprintf(test_where, sizeof test_where, "the shape of a value of a failed plan");
    const sample s = begin_sample(NULL);
    const pnng_shape inputs[] = {shape_of(2, 2, 4), shape_of(1, 2)};
    CHECK(pnng_program_seal(s.program) == PNNG_OK);
    pnng_plan *plan;
    pnng_shape shape;
    CHECK(pnng_plan_new(s.program, 7, inputs, 2, 0, &plan) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_shape(plan, s.y, &shape) == PNNG_ERROR_ARGUMENT);
    pnng_plan_free(plan);
    CHECK(pnng_plan_new(s.program, PNNG_F32, inputs, 2, 0, &plan) == PNNG_ERROR_SHAPE);
    CHECK(pnng_plan_shape(plan, s.y, &shape) == PNNG_ERROR_ARGUMENT);
    pnng_plan_free(plan);
    pnng_program_free(s.program);
}

static void test_binding(void) {
    snprintf(test_where, sizeof test_where, "binding");
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1), t = add_input(program, PNNG_INDEX, 0);
    const pnng_value w = add_param(program, shape_of(2, 3, 2), 1);
    const pnng_value b = add_param(program, shape_of(1, 3), 0);
    const pnng_value y = add_op(program, "linear", x, w, b, -1);
    const int64_t ints[] = {1, -100};
    const pnng_value in[] = {y, t};
    pnng_value loss[2];
    CHECK(pnng_program_op(program, code("nll"), in, 2, ints, 2, NULL, 0, loss, 2) == PNNG_OK);
    CHECK(pnng_program_output(program, loss[0]) == PNNG_OK);
    CHECK(pnng_program_output(program, t) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape inputs[] = {shape_of(2, 4, 2), shape_of(1, 4)};
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, PNNG_F32, inputs, 2, 1, &plan) == PNNG_OK);
    CHECK(pnng_plan_slot(plan, PNNG_SLOT_INPUT, 0) == 0);
    CHECK(pnng_plan_slot(plan, PNNG_SLOT_GRAD_INPUT, 1) == 11);
    CHECK(pnng_plan_n_forward(plan) > 0 && pnng_plan_n_backward(plan) > 0);

    float x_data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w_data[6] = {1, 2, 3, 4, 5, 6}, b_data[3] = {0};
    float y_data, g_data = 1, dw[6], dx[8];
    int64_t t_data[4] = {0, 1, 2, 0}, t_out[4];
    PLAN_FAILS(pnng_plan_bind(plan, 14, x_data), PNNG_ERROR_ARGUMENT, "no such slot: 14");
    PLAN_FAILS(pnng_plan_bind(plan, SIZE_MAX, x_data), PNNG_ERROR_ARGUMENT, "no such slot");
    PLAN_FAILS(bind_to(plan, PNNG_SLOT_INPUT, 0, (char *)x_data + 2), PNNG_ERROR_ARGUMENT,
               "input 0 is not aligned");
    PLAN_FAILS(bind_to(plan, PNNG_SLOT_INPUT, 1, (char *)t_data + 4), PNNG_ERROR_ARGUMENT,
               "input 1 is not aligned");
    PLAN_FAILS(bind_to(plan, PNNG_SLOT_OUTPUT, 1, (char *)t_out + 4), PNNG_ERROR_ARGUMENT,
               "output 1 is not aligned");
    PLAN_FAILS(bind_to(plan, PNNG_SLOT_GRAD_PARAM, 0, (char *)dw + 1), PNNG_ERROR_ARGUMENT,
               "gradient of parameter 0");

    /* One after the other; a run says which is missing. */
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "input 0");
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "input 1");
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 1, t_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "output 0");
    CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, &y_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "output 1");
    CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 1, t_out) == PNNG_OK);
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "parameter 0");
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 0, w_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "parameter 1");
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 1, b_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_backward(plan, 1, 3), PNNG_ERROR_ORDER, "before forward");
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(!*pnng_plan_error(plan) && memcmp(t_out, t_data, sizeof t_out) == 0);

    PLAN_FAILS(pnng_plan_backward(plan, 1, 4), PNNG_ERROR_ARGUMENT, "4");
    PLAN_FAILS(pnng_plan_backward(plan, 1, -1), PNNG_ERROR_ARGUMENT, "-1");
    CHECK(pnng_plan_backward(plan, 1, 0) == PNNG_OK); /* nothing asked for, nothing needed */
    PLAN_FAILS(pnng_plan_backward(plan, 1, 1), PNNG_ERROR_UNBOUND, "gradient of output 0");
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, 0, &g_data) == PNNG_OK);
    PLAN_FAILS(pnng_plan_backward(plan, 1, 1), PNNG_ERROR_UNBOUND, "gradient of input 0");
    PLAN_FAILS(pnng_plan_backward(plan, 1, 2), PNNG_ERROR_UNBOUND, "gradient of parameter 0");
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_PARAM, 0, dw) == PNNG_OK);
    memset(dw, 0, sizeof dw);
    CHECK(pnng_plan_backward(plan, 1, 2) == PNNG_OK); /* that of a buffer is not wanted */
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, 0, dx) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_OK);

    /* Slots that were written to by hand are checked at the run. */
    void **const slots = pnng_plan_slots(plan);
    slots[0] = (char *)x_data + 1;
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_ARGUMENT, "input 0 is not aligned");
    slots[0] = NULL;
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_UNBOUND, "input 0");
    slots[0] = x_data;
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);

    /* A class that there is not; then all is as before. */
    t_data[2] = 3;
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_VALUE, "target 3 of row 2");
    CHECK(pnng_plan_error_op(plan) == (int64_t)pnng_program_n_ops(program) - 1);
    PLAN_FAILS(pnng_plan_bind(plan, 14, x_data), PNNG_ERROR_ARGUMENT, "no such slot: 14");
    CHECK(pnng_plan_error_op(plan) == -1); /* this is not about the op */
    PLAN_FAILS(pnng_plan_backward(plan, 1, 3), PNNG_ERROR_ORDER, "before forward");
    t_data[2] = -1;
    PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_VALUE, "target -1 of row 2");
    t_data[2] = -100;
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_OK);

    pnng_shape shape;
    CHECK(pnng_plan_shape(plan, -1, &shape) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_shape(plan, 100, &shape) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_shape(plan, y, &shape) == PNNG_OK && shape.ndim == 2 && shape.dim[1] == 3);
    pnng_program_free(program); /* the plan keeps it */
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    pnng_plan_free(plan);
}

static void test_values(void) {
    snprintf(test_where, sizeof test_where, "numbers that are no indices");
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 0);
    const pnng_value y = add_op(program, "identity", x, -1);
    CHECK(pnng_program_output(program, add_op(program, "to_index", y, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, 3);
    for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
        pnng_plan *plan;
        CHECK(pnng_plan_new(program, dtype, &shape, 1, 0, &plan) == PNNG_OK);
        double x_data[3];
        int64_t t_data[3];
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x_data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, t_data) == PNNG_OK);
        const double bad[] = {0.5, NAN, INFINITY, -INFINITY, 1e30};
        for (size_t k = 0; k <= 5; k++) {
            for (int j = 0; j < 3; j++)
                real_set(x_data, dtype == PNNG_F64, j, j == 1 && k < 5 ? bad[k] : j - 1);
            if (k == 5)
                CHECK(pnng_plan_forward(plan, 0) == PNNG_OK && t_data[0] == -1 && t_data[2] == 1);
            else
                PLAN_FAILS(pnng_plan_forward(plan, 0), PNNG_ERROR_VALUE, "element 1");
        }
        pnng_plan_free(plan);
    }
    pnng_program_free(program);

    /* No class at all: the message must make sense. */
    snprintf(test_where, sizeof test_where, "targets where there are no classes");
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value in[] = {add_input(program, PNNG_REAL, 0), add_input(program, PNNG_INDEX, 0)};
    const int64_t ints[] = {1, -100};
    pnng_value out[2];
    CHECK(pnng_program_op(program, code("nll"), in, 2, ints, 2, NULL, 0, out, 2) == PNNG_OK);
    CHECK(pnng_program_output(program, out[0]) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape inputs[] = {shape_of(2, 2, 0), shape_of(1, 2)};
    pnng_plan *plan;
    const pnng_status status = pnng_plan_new(program, PNNG_F64, inputs, 2, 0, &plan);
    if (status == PNNG_OK) {
        int64_t t_data[2] = {0, 0};
        double x_data[1] = {0}, y_data;
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x_data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, 1, t_data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, &y_data) == PNNG_OK);
        CHECK(pnng_plan_forward(plan, 0) == PNNG_ERROR_VALUE);
        CHECK(!strstr(pnng_plan_error(plan), "1844674407370955161"));
    } else {
        CHECK(status == PNNG_ERROR_SHAPE);
    }
    pnng_plan_free(plan);
    pnng_program_free(program);
}

/* Programs with next to nothing in them. */
static void test_small(void) {
    snprintf(test_where, sizeof test_where, "an empty program");
    for (int outputs = 0; outputs < 2; outputs++) {
        pnng_program *program;
        pnng_plan *plan;
        CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
        const pnng_shape one = shape_of(0);
        double p = 3, y = 0, g = 2, dp = 1;
        if (outputs)
            CHECK(pnng_program_output(program, add_param(program, one, 1)) == PNNG_OK);
        CHECK(pnng_program_seal(program) == PNNG_OK);
        CHECK(pnng_plan_new(program, PNNG_F64, NULL, 0, 1, &plan) == PNNG_OK);
        if (outputs) {
            CHECK(bind_to(plan, PNNG_SLOT_PARAM, 0, &p) == PNNG_OK);
            CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, &y) == PNNG_OK);
            CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, 0, &g) == PNNG_OK);
            CHECK(bind_to(plan, PNNG_SLOT_GRAD_PARAM, 0, &dp) == PNNG_OK);
        }
        CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
        CHECK(pnng_plan_backward(plan, 2, 3) == PNNG_OK);
        CHECK(y == 3 * outputs && dp == 1 + 4 * outputs);
        pnng_plan_free(plan);
        pnng_program_free(program);
    }
    snprintf(test_where, sizeof test_where, "a host that is missing");
    pnng_program *program;
    pnng_plan *plan;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    CHECK(op_with(program, "host", NULL, 0, 3, 0, 0) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    CHECK(pnng_plan_new(program, PNNG_F64, NULL, 0, 1, &plan) == PNNG_ERROR_HOST);
    CHECK(says(pnng_plan_error(plan), "host") && pnng_plan_error_op(plan) == 0);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what came before */
    test_library();
    test_wrong_ops();
    test_wrong_leaves();
    test_sealed();
    test_shape_cases();
    test_huge_empty_arrays();
    test_input_cases();
    test_nll_cases();
    test_shapes();
    test_shapes_growing();
    test_plan_arguments();
    test_binding();
    test_values();
    test_small();
    test_shape_of_failed_plan();
    return test_result();
}
