/* Pooling, padding, interpolation and normalisation on every instruction set: nothing outside of
 * arrays is read or written, and what involves no sums is the same bit for bit. */
#include "engine_support.h"

#include "../../csrc/cpu.h"

enum { NOTHING, FORWARD, ALL };

typedef struct windows_case {
    const char *op;
    int64_t ndim, dim[4];
    size_t n_ints;
    int64_t ints[16];
    int same; /* bits on every instruction set: of nothing, of what forward gives, of all */
} windows_case;

static const windows_case cases[] = {
    {"max_pool", 3, {3, 4, 37}, 11, {2, 0, 0, 2, 2, 0, 1, 2, 2, 0, 1}, ALL},
    {"max_pool", 3, {2, 5, 64}, 11, {2, 0, 0, 3, 2, 1, 1, 3, 2, 1, 1}, ALL},
    {"max_pool", 3, {2, 5, 19}, 11, {2, 1, 0, 3, 1, 1, 1, 3, 1, 1, 1}, ALL},
    {"max_pool", 3, {2, 3, 40}, 11, {2, 1, 0, 2, 3, 0, 1, 4, 1, 0, 3}, ALL},
    {"max_pool", 3, {1, 3, 9}, 11, {2, 2, 0, 2, 1, 0, 1, 4, 1, 0, 1}, ALL},
    {"average_pool", 3, {3, 4, 37}, 11, {2, 0, 1, 2, 2, 0, 1, 2, 2, 0, 1}, ALL},
    {"average_pool", 3, {2, 5, 63}, 11, {2, 1, 2, 3, 2, 1, 1, 3, 2, 1, 1}, ALL},
    {"average_pool", 3, {2, 5, 19}, 11, {2, 0, 1, 3, 1, 1, 1, 3, 1, 1, 1}, FORWARD},
    {"average_pool", 2, {2, 50}, 7, {1, 0, 0, 5, 1, 2, 2}, FORWARD},
    {"average_pool", 4, {2, 3, 4, 9}, 15, {3, 0, 1, 2, 1, 0, 1, 2, 2, 0, 1, 9, 9, 0, 1}, NOTHING},
    {"fractional_pool", 3, {5, 6, 21}, 6, {2, 0, 2, 4, 3, 11}, ALL},
    {"pick", 3, {2, 3, 21}, 7, {2, 0, 0, 1, 2, -3, 2}, ALL},
    {"pick", 3, {2, 3, 21}, 7, {2, 0, 1, 2, 1, 3, -2}, ALL},
    {"pick", 3, {2, 3, 21}, 7, {2, 0, 2, 2, -1, 3, 40}, ALL},
    {"pick", 3, {2, 3, 21}, 7, {2, 0, 3, 2, 0, 3, 0}, ALL},
    {"pick", 4, {2, 3, 4, 5}, 5, {1, 2, 0, 1, 1}, ALL},
    {"interpolate", 3, {2, 3, 11}, 6, {2, 0, 2, -1, 3, 0}, ALL},
    {"interpolate", 4, {2, 2, 3, 5}, 8, {3, 0, 2, 0, 0, 1, 0, 9}, ALL},
    {"batch_norm", 2, {70, 21}, 0, {0}, NOTHING},
    {"batch_norm", 4, {3, 2, 5, 7}, 0, {0}, NOTHING},
    {"layer_norm", 2, {70, 21}, 0, {0}, NOTHING},
    {"average_pool", 4, {3, 7, 7, 7}, 11, {2, 0, 0, 7, 1, 0, 1, 7, 1, 0, 1}, NOTHING},
};

enum { MOST_OUTPUTS = 4 };

typedef struct results {
    array y[MOST_OUTPUTS], dx;
} results;

static void fill(const array *a, int32_t dtype, unsigned seed) {
    const size_t count = a->bytes / (dtype == PNNG_F32 ? 4 : 8);
    for (size_t k = 0; k < count; k++) {
        seed = seed * 1664525u + 1013904223u;
        const double value = (double)(seed >> 8) / 16777216 - 0.5;
        if (dtype == PNNG_F32)
            ((float *)(void *)a->data)[k] = (float)value;
        else
            ((double *)(void *)a->data)[k] = value;
    }
}

/* Let a plan's steps run on another instruction set. */
static void change_isa(pnng_plan *plan, const pnng_isa *to, int32_t dtype, pnng_op op) {
    const pnng_kernels *const own = plan->kernels, *const other =
                                                       dtype == PNNG_F32 ? &to->f32 : &to->f64;
    pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count; s++) {
            pnng_step *const step = &runs[run]->step[s];
            if (step->kernel == own->op[op].forward)
                step->kernel = other->op[op].forward;
            else if (step->kernel == own->op[op].backward)
                step->kernel = other->op[op].backward;
        }
}

static void run(const windows_case *c, const pnng_isa *isa, int32_t dtype, results *r) {
    const size_t element = dtype == PNNG_F32 ? 4 : 8;
    pnng_program *program;
    pnng_plan *plan;
    pnng_value outputs[MOST_OUTPUTS];
    const int32_t op = pnng_op_find(c->op);
    const size_t n_out = (size_t)pnng_op_table(NULL)[op].n_outputs;
    const double nums[] = {0.75};
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    CHECK(pnng_program_op(program, op, &x, 1, c->ints, c->n_ints, nums,
                          (size_t)pnng_op_table(NULL)[op].n_nums, outputs, n_out) == PNNG_OK);
    for (size_t k = 0; k < n_out; k++)
        CHECK(pnng_program_output(program, outputs[k]) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    pnng_shape shape = {.ndim = c->ndim};
    for (int64_t d = 0; d < c->ndim; d++)
        shape.dim[d] = c->dim[d];
    if (!CHECK(pnng_plan_new(program, dtype, &shape, 1, PNNG_PLAN_BACKWARD, &plan) == PNNG_OK))
        exit(1);
    change_isa(plan, isa, dtype, (pnng_op)op);
    array in = array_new(count_of(&shape), element, 1), g[MOST_OUTPUTS];
    fill(&in, dtype, 1);
    r->dx = array_new(count_of(&shape), element, 3);
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, in.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, 0, r->dx.data) == PNNG_OK);
    for (size_t k = 0; k < n_out; k++) {
        pnng_shape out;
        CHECK(pnng_plan_shape(plan, outputs[k], &out) == PNNG_OK);
        r->y[k] = array_new(count_of(&out), element, 5 + k);
        g[k] = array_new(count_of(&out), element, 2 + k);
        fill(&g[k], dtype, 7);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, k, r->y[k].data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, k, g[k].data) == PNNG_OK);
    }
    spoil_arena(plan);
    CHECK(pnng_plan_forward(plan, 11) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS) == PNNG_OK);
    CHECK(array_intact(&in) && array_intact(&r->dx));
    array_free(&in);
    for (size_t k = 0; k < n_out; k++) {
        CHECK(array_intact(&r->y[k]) && array_intact(&g[k]));
        array_free(&g[k]);
    }
    pnng_plan_free(plan);
    pnng_program_free(program);
}

static void free_results(results *r) {
    for (size_t k = 0; k < MOST_OUTPUTS; k++)
        array_free(&r->y[k]);
    array_free(&r->dx);
}

static void test_case(const windows_case *c, int32_t dtype) {
    const pnng_isa *const all[] = {pnng_isa_sse2, pnng_isa_avx2, pnng_isa_avx512, pnng_isa_neon};
    results expected = {0};
    run(c, pnng_isa_scalar, dtype, &expected);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (!all[k] || !strstr(pnng_cpu_info()->available, all[k]->name))
            continue;
        snprintf(test_where, sizeof test_where, "%s %s of %zu, type %d", all[k]->name, c->op,
                 (size_t)(c - cases), dtype);
        results got = {0};
        run(c, all[k], dtype, &got);
        for (size_t o = 0; o < MOST_OUTPUTS && c->same >= FORWARD; o++)
            CHECK(!got.y[o].block || array_same(&got.y[o], &expected.y[o]));
        CHECK(c->same < ALL || array_same(&got.dx, &expected.dx));
        free_results(&got);
    }
    free_results(&expected);
}

int main(void) {
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++)
            test_case(&cases[k], dtype);
    return test_result();
}
