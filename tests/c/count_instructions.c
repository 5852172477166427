/* A few fixed kernels, each run once in a function of its own, for tools/count_instructions.py to
 * count their instructions under callgrind. Prints the name of each, in the order of the runs.
 *
 * Only the public header is used: what is counted is a run as embedders have it. PYNNGRAPH_ISA
 * chooses the instruction set. */
#include <stdio.h>
#include <stdlib.h>

#include "pynngraph.h"

enum { MAX_INPUTS = 4, X_GRAD = 1, W_GRAD = 2 };

typedef struct kernel {
    const char *name, *op;
    size_t n_in;
    pnng_shape in[MAX_INPUTS];
    size_t n_ints;
    int64_t ints[2];
    size_t n_nums;
    double nums[1];
    int grads; /* bits of the inputs whose gradients are wanted: then the backward is counted */
} kernel;

/* clang-format off */
#define VECTOR(n) {1, {n}}
#define MATRIX(rows, cols) {2, {rows, cols}}
#define LINEAR(rows, depth, cols) \
    .op = "linear", .n_in = 2, .in = {MATRIX(rows, depth), MATRIX(cols, depth)}
/* clang-format on */

static const kernel kernels[] = {
    {"gemm nt 64x64x64", LINEAR(64, 64, 64)},
    {"gemm nn 64x64x64", LINEAR(64, 64, 64), .grads = X_GRAD},
    {"gemm tn 64x64x64", LINEAR(64, 64, 64), .grads = W_GRAD},
    {"gemm nt 67x61x71", LINEAR(67, 61, 71)},
    {"gemm nt 1x256x256", LINEAR(1, 256, 256)},
    {"gemm nn 1x256x256", LINEAR(1, 256, 256), .grads = X_GRAD},
    {"gemm nt 4x256x256", LINEAR(4, 256, 256)},
    {"add of 2, 4096", .op = "add", .n_in = 2, .in = {VECTOR(4096), VECTOR(4096)}},
    {"mul of 4, 4096", .op = "mul", .n_in = 4,
     .in = {VECTOR(4096), VECTOR(4096), VECTOR(4096), VECTOR(4096)}},
    {"mul of 4, 4096, backward", .op = "mul", .n_in = 4,
     .in = {VECTOR(4096), VECTOR(4096), VECTOR(4096), VECTOR(4096)}, .grads = 15},
    {"relu 4096", .op = "relu", .n_in = 1, .in = {VECTOR(4096)}},
    {"tanh 4096", .op = "tanh", .n_in = 1, .in = {VECTOR(4096)}},
    {"tanh 4096, backward", .op = "tanh", .n_in = 1, .in = {VECTOR(4096)}, .grads = X_GRAD},
    {"sigmoid 4096", .op = "sigmoid", .n_in = 1, .in = {VECTOR(4096)}},
    {"exp 4096", .op = "exp", .n_in = 1, .in = {VECTOR(4096)}},
    {"log 4096", .op = "log", .n_in = 1, .in = {VECTOR(4096)}},
    {"softmax 64x65", .op = "softmax", .n_in = 1, .in = {MATRIX(64, 65)}, .n_ints = 1, .ints = {1}},
    {"logsoftmax 64x65", .op = "logsoftmax", .n_in = 1, .in = {MATRIX(64, 65)}, .n_ints = 1,
     .ints = {1}},
    {"sum of rows 64x512", .op = "reduce_sum", .n_in = 1, .in = {MATRIX(64, 512)}, .n_ints = 2,
     .ints = {1, 0}, .n_nums = 1, .nums = {1}},
    {"sum of columns 64x512", .op = "reduce_sum", .n_in = 1, .in = {MATRIX(64, 512)}, .n_ints = 2,
     .ints = {0, 0}, .n_nums = 1, .nums = {1}},
    {"transpose 64x64", .op = "transpose", .n_in = 1, .in = {MATRIX(64, 64)}, .n_ints = 2,
     .ints = {0, 1}},
};

static void check(pnng_status status, const char *what) {
    if (status == PNNG_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, pnng_status_name(status));
    exit(1);
}

/* An array of numbers in (0, 1], the same each time; never freed. */
static void *array(const pnng_shape *shape, int32_t dtype) {
    size_t count = 1;
    for (int64_t k = 0; k < shape->ndim; k++)
        count *= (size_t)shape->dim[k];
    void *const data = aligned_alloc(64, (count * 8 + 63) / 64 * 64);
    if (!data)
        exit(1);
    uint32_t state = 1;
    for (size_t k = 0; k < count; k++) {
        state = state * 1664525u + 1013904223u;
        const double x = (double)((state >> 8) + 1) / (1 << 24);
        if (dtype == PNNG_F32)
            ((float *)data)[k] = (float)x;
        else
            ((double *)data)[k] = x;
    }
    return data;
}

static void bind(pnng_plan *plan, int32_t group, size_t index, const pnng_shape *shape,
                 int32_t dtype) {
    check(pnng_plan_bind(plan, pnng_plan_slot(plan, group, index), array(shape, dtype)), "bind");
}

static pnng_status forward(void *plan) { return pnng_plan_forward(plan, 0); }

static pnng_status backward(void *plan) { return pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS); }

/* All that is counted is in here. */
__attribute__((noinline)) pnng_status counted(pnng_status (*function)(void *), void *argument) {
    return function(argument);
}

static void run(const kernel *k, int32_t dtype) {
    pnng_program *program;
    pnng_plan *plan;
    pnng_value in[MAX_INPUTS], y;
    pnng_shape y_shape;
    check(pnng_program_new(NULL, &program), k->name);
    for (size_t i = 0; i < k->n_in; i++)
        check(pnng_program_input(program, PNNG_REAL, k->grads >> i & 1, &in[i]), k->name);
    check(pnng_program_op(program, pnng_op_find(k->op), in, k->n_in, k->ints, k->n_ints, k->nums,
                          k->n_nums, &y, 1),
          k->name);
    check(pnng_program_output(program, y), k->name);
    check(pnng_program_seal(program), k->name);
    check(pnng_plan_new(program, dtype, k->in, k->n_in, k->grads ? PNNG_PLAN_BACKWARD : 0, &plan),
          k->name);
    check(pnng_plan_shape(plan, y, &y_shape), k->name);
    bind(plan, PNNG_SLOT_OUTPUT, 0, &y_shape, dtype);
    for (size_t i = 0; i < k->n_in; i++)
        bind(plan, PNNG_SLOT_INPUT, i, &k->in[i], dtype);
    if (k->grads) {
        bind(plan, PNNG_SLOT_GRAD_OUTPUT, 0, &y_shape, dtype);
        for (size_t i = 0; i < k->n_in; i++)
            bind(plan, PNNG_SLOT_GRAD_INPUT, i, &k->in[i], dtype);
    }
    /* The first runs may do what later ones need not. */
    check(pnng_plan_forward(plan, 0), k->name);
    if (k->grads)
        check(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS), k->name);
    printf("%s %s\n", dtype == PNNG_F32 ? "float32" : "float64", k->name);
    check(counted(k->grads ? backward : forward, plan), k->name);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

typedef struct step {
    int32_t dtype;
    void *x, *gradient, *m, *v;
} step;

static pnng_status adam(void *argument) {
    const step *const s = argument;
    return pnng_optim_adam(s->dtype, 4096, s->x, s->gradient, s->m, s->v, 1e-3, 0.9, 0.999, 1e-8, 0,
                           1);
}

static void run_adam(int32_t dtype) {
    const pnng_shape shape = VECTOR(4096);
    step s = {dtype, array(&shape, dtype), array(&shape, dtype), array(&shape, dtype),
              array(&shape, dtype)};
    printf("%s adam 4096\n", dtype == PNNG_F32 ? "float32" : "float64");
    check(counted(adam, &s), "adam");
}

int main(void) {
    for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
        for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
            run(&kernels[k], dtype);
        run_adam(dtype);
    }
    return 0;
}
