/* What a plan tells of itself, as numbers and as text in buffers of every size. */
#include "engine_support.h"

static pnng_plan *make_plan(int32_t flags) {
    pnng_program *program;
    pnng_plan *plan;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value weight = add_param(program, shape_of(2, 5, 3), 1);
    const pnng_value bias = add_param(program, shape_of(1, 5), 1);
    const pnng_value y =
        add_op(program, "tanh", add_op(program, "linear", x, weight, bias, -1), -1);
    CHECK(pnng_program_output(program, add_op(program, "add", y, y, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape input = shape_of(2, 7, 3);
    CHECK(pnng_plan_new(program, PNNG_F32, &input, 1, flags, &plan) == PNNG_OK);
    pnng_program_free(program);
    return plan;
}

/* Text is cut at the end of the buffer, ends with a zero, and needs what it says. */
static void test_buffers(const pnng_plan *plan) {
    size_t needed = 0;
    CHECK(pnng_plan_describe(plan, NULL, 0, &needed) == PNNG_OK);
    char *const whole = malloc(needed), *const part = malloc(needed + 1);
    size_t again = 0;
    CHECK(pnng_plan_describe(plan, whole, needed, &again) == PNNG_OK);
    CHECK(again == needed && strlen(whole) + 1 == needed);
    CHECK(strstr(whole, "linear, then tanh: C = A B', 7 x 5, depth 3") != NULL);
    CHECK(strstr(whole, "105 multiply-adds") != NULL);
    for (size_t size = 1; size < needed; size++) {
        memset(part, 'x', needed + 1);
        CHECK(pnng_plan_describe(plan, part, size, &again) == PNNG_OK && again == needed);
        CHECK(strlen(part) == size - 1 && strncmp(part, whole, size - 1) == 0);
        CHECK(part[size] == 'x');
    }
    CHECK(pnng_plan_step_text(plan, PNNG_FORWARD, 0, part, needed, &again) == PNNG_OK);
    CHECK(strlen(part) + 1 == again && strstr(whole, part) != NULL);
    free(whole);
    free(part);
}

static void test_numbers(pnng_plan *plan) {
    pnng_step_info info;
    CHECK(pnng_plan_step(plan, PNNG_FORWARD, 0, &info) == PNNG_OK);
    CHECK(info.n_ops == 2 && info.multiply_adds == 7 * 5 * 3 && info.unfused == NULL);
    pnng_memory_info memory;
    CHECK(pnng_plan_memory(plan, &memory) == PNNG_OK);
    CHECK(memory.arena == pnng_plan_arena_size(plan));
    CHECK(memory.kept == 7 * 5 * sizeof(float)); /* y, for the derivative */
}

static void test_errors(pnng_plan *plan) {
    size_t needed = 0;
    char buffer[8];
    const size_t steps = pnng_plan_n_forward(plan);
    CHECK(pnng_plan_step_text(plan, PNNG_FORWARD, steps, buffer, sizeof buffer, &needed) ==
          PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_step_text(plan, 2, 0, buffer, sizeof buffer, &needed) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_step_text(plan, PNNG_FORWARD, 0, NULL, 1, &needed) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_describe(plan, NULL, 1, &needed) == PNNG_ERROR_ARGUMENT);
}

int main(void) {
    pnng_plan *const plan = make_plan(PNNG_PLAN_BACKWARD);
    test_buffers(plan);
    test_numbers(plan);
    test_errors(plan);
    pnng_plan_free(plan);
    return test_result();
}
