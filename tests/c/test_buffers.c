/* Buffers that a forward changes: when, and when not. */
#include "engine_support.h"

enum { COUNT = 5 };

/* y = s + x. Forward leaves t in s and y in t. */
typedef struct fixture {
    pnng_program *program;
    pnng_plan *plan;
    double x[COUNT], s[COUNT], t[COUNT], y[COUNT];
    int64_t indices[COUNT];
} fixture;

static void open_fixture(fixture *f) {
    memset(f, 0, sizeof *f);
    CHECK(pnng_program_new(NULL, &f->program) == PNNG_OK);
    pnng_program *const program = f->program;
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value s = add_param(program, shape_of(1, COUNT), 0);
    const pnng_value t = add_param(program, shape_of(1, COUNT), 0);
    const pnng_value y = add_op(program, "add", s, x, -1);
    CHECK(pnng_program_output(program, y) == PNNG_OK);
    const pnng_value index = add_op(program, "to_index", x, -1);
    CHECK(pnng_program_output(program, index) == PNNG_OK); /* fails where x is not whole */
    CHECK(pnng_program_update(program, s, x) == PNNG_OK);
    CHECK(pnng_program_update(program, s, t) == PNNG_OK); /* the last value counts */
    CHECK(pnng_program_update(program, t, y) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, COUNT);
    CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, PNNG_PLAN_BACKWARD, &f->plan) == PNNG_OK);
    CHECK(bind_to(f->plan, PNNG_SLOT_INPUT, 0, f->x) == PNNG_OK);
    CHECK(bind_to(f->plan, PNNG_SLOT_PARAM, 0, f->s) == PNNG_OK);
    CHECK(bind_to(f->plan, PNNG_SLOT_PARAM, 1, f->t) == PNNG_OK);
    CHECK(bind_to(f->plan, PNNG_SLOT_OUTPUT, 0, f->y) == PNNG_OK);
    CHECK(bind_to(f->plan, PNNG_SLOT_OUTPUT, 1, f->indices) == PNNG_OK);
    for (int k = 0; k < COUNT; k++) {
        f->x[k] = k;
        f->s[k] = 10 + k;
        f->t[k] = 100 + k;
    }
}

static void close_fixture(fixture *f) {
    pnng_plan_free(f->plan);
    pnng_program_free(f->program);
}

static void check(const fixture *f, const double y[COUNT], double s, double t) {
    for (int k = 0; k < COUNT; k++) {
        CHECK(!y || f->y[k] == y[k]);
        CHECK(f->s[k] == s + k && f->t[k] == t + (t == 100 ? k : 2 * k));
    }
}

static void test_runs(void) {
    fixture f;
    open_fixture(&f);
    const double first[COUNT] = {10, 12, 14, 16, 18};
    spoil_arena(f.plan);
    CHECK(pnng_plan_replay(f.plan, 0) == PNNG_OK); /* changes nothing */
    check(&f, first, 10, 100);
    CHECK(pnng_plan_forward(f.plan, 0) == PNNG_OK); /* each from what was there before */
    check(&f, first, 100, 10);
    close_fixture(&f);
}

static void test_failure(void) {
    fixture f;
    open_fixture(&f);
    f.x[COUNT - 1] = 0.5;
    CHECK(pnng_plan_forward(f.plan, 0) == PNNG_ERROR_VALUE);
    check(&f, NULL, 10, 100);
    close_fixture(&f);
}

static void test_errors(void) {
    pnng_program *program;
    pnng_plan *plan;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value index = add_input(program, PNNG_INDEX, 0);
    const pnng_value buffer = add_param(program, shape_of(1, COUNT), 0);
    const pnng_value weight = add_param(program, shape_of(1, COUNT), 1);
    const pnng_value none[] = {x, weight, 99, -1};
    for (size_t k = 0; k < 4; k++)
        CHECK(pnng_program_update(program, none[k], x) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_program_update(program, buffer, 99) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_program_update(program, buffer, -1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_program_update(program, buffer, index) == PNNG_ERROR_TYPE);
    CHECK(pnng_program_update(program, buffer, x) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    CHECK(pnng_program_update(program, buffer, x) == PNNG_ERROR_ARGUMENT);
    const pnng_shape shapes[] = {shape_of(1, COUNT + 1), shape_of(1, 1)};
    CHECK(pnng_plan_new(program, PNNG_F32, shapes, 2, 0, &plan) == PNNG_ERROR_SHAPE);
    CHECK(strstr(pnng_plan_error(plan), "a buffer of shape (5,) cannot become (6,)"));
    CHECK(pnng_plan_replay(plan, 0) == PNNG_ERROR_ARGUMENT);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

int main(void) {
    test_runs();
    test_failure();
    test_errors();
    return test_result();
}
