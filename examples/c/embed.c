/* The library without Python: a graph is built, run, differentiated and checked, from C alone.
 *
 *     y = (x W1' + b1) + (x' W2' + b2)        x, x' 3x3;  W1, W2 5x3;  b1, b2 5;  y 3x5
 *
 * `make lib` builds the library, then:
 *     cc -std=c11 -Icsrc/include examples/c/embed.c build/release/libpynngraph.a -lm -lpthread
 *
 * Exit status: 0 when all gradients agree with central differences, else 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "pynngraph.h"

enum { ROWS = 3, FEATURES = 3, OUTPUTS = 5, MAX_SIZE = 15 };

/* An array that the graph reads, and the gradient that a backward run leaves beside it. */
typedef struct array {
    const char *name;
    int32_t group; /* of the plan's slots, and the place in it */
    size_t index;
    size_t rows, cols;
    double data[MAX_SIZE];
    double grad[MAX_SIZE]; /* runs add to gradients of parameters: these start at 0 */
} array;

static array arrays[] = {
    {"x", PNNG_SLOT_INPUT, 0, ROWS, FEATURES, {0}, {0}},
    {"x'", PNNG_SLOT_INPUT, 1, ROWS, FEATURES, {0}, {0}},
    {"W1", PNNG_SLOT_PARAM, 0, OUTPUTS, FEATURES, {0}, {0}},
    {"b1", PNNG_SLOT_PARAM, 1, 1, OUTPUTS, {0}, {0}},
    {"W2", PNNG_SLOT_PARAM, 2, OUTPUTS, FEATURES, {0}, {0}},
    {"b2", PNNG_SLOT_PARAM, 3, 1, OUTPUTS, {0}, {0}},
};
enum { N_ARRAYS = sizeof arrays / sizeof arrays[0] };

/* Stop at a failed call. The object that the call was made on says what was wrong. */
static void check(pnng_status status, const char *message) {
    if (status != PNNG_OK) {
        fprintf(stderr, "%s: %s\n", pnng_status_name(status), message);
        exit(EXIT_FAILURE);
    }
}

/* Uniform numbers in [-1, 1): the same ones in every run. */
static void fill(double *data, size_t size) {
    static uint64_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[i] = (double)(state >> 11) * 0x1p-52 - 1;
    }
}

static void print_matrix(const char *name, const double *data, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) {
        printf("%-7s", r == 0 ? name : "");
        for (size_t c = 0; c < cols; c++)
            printf(" %9.5f", data[r * cols + c]);
        printf("\n");
    }
}

/* x W' + b, with W and b new parameters of the program. */
static pnng_value add_linear(pnng_program *program, pnng_value x) {
    const pnng_shape weight = {2, {OUTPUTS, FEATURES}}, bias = {1, {OUTPUTS}};
    pnng_value in[3] = {x, 0, 0}, y = 0;
    check(pnng_program_param(program, &weight, 1, &in[1]), pnng_program_error(program));
    check(pnng_program_param(program, &bias, 1, &in[2]), pnng_program_error(program));
    check(pnng_program_op(program, pnng_op_find("linear"), in, 3, NULL, 0, NULL, 0, &y, 1),
          pnng_program_error(program));
    return y;
}

/* The graph: ops and values, without the sizes of its inputs. */
static pnng_program *build(void) {
    pnng_program *program = NULL;
    check(pnng_program_new(NULL, &program), "a program");

    pnng_value x[2], terms[2], y = 0;
    for (size_t i = 0; i < 2; i++)
        check(pnng_program_input(program, PNNG_REAL, 1, &x[i]), pnng_program_error(program));
    for (size_t i = 0; i < 2; i++)
        terms[i] = add_linear(program, x[i]);
    check(pnng_program_op(program, pnng_op_find("add"), terms, 2, NULL, 0, NULL, 0, &y, 1),
          pnng_program_error(program));
    check(pnng_program_output(program, y), pnng_program_error(program));
    check(pnng_program_seal(program), pnng_program_error(program));
    return program;
}

static void bind(pnng_plan *plan, int32_t group, size_t index, void *data) {
    check(pnng_plan_bind(plan, pnng_plan_slot(plan, group, index), data), pnng_plan_error(plan));
}

/* The number whose gradients a backward run gives: the sum of y, each element weighted. */
static double loss(pnng_plan *plan, const double *y, const double *weights) {
    check(pnng_plan_forward(plan, 0), pnng_plan_error(plan));
    double sum = 0;
    for (size_t i = 0; i < ROWS * OUTPUTS; i++)
        sum += y[i] * weights[i];
    return sum;
}

/* The largest difference of `a`'s gradient from (loss(a + h) - loss(a - h)) / 2h. */
static double gradient_error(array *a, pnng_plan *plan, const double *y, const double *weights) {
    const double h = 1e-4;
    double worst = 0;
    for (size_t i = 0; i < a->rows * a->cols; i++) {
        const double kept = a->data[i];
        a->data[i] = kept + h;
        const double above = loss(plan, y, weights);
        a->data[i] = kept - h;
        const double below = loss(plan, y, weights);
        a->data[i] = kept;
        worst = fmax(worst, fabs((above - below) / (2 * h) - a->grad[i]));
    }
    return worst;
}

/* A mistake is a status and a message, and everything goes on working. */
static int show_mistake(pnng_program *program) {
    const pnng_shape wrong[] = {{2, {ROWS, FEATURES}}, {2, {ROWS, FEATURES + 1}}};
    pnng_plan *plan = NULL;
    const pnng_status status = pnng_plan_new(program, PNNG_F64, wrong, 2, 0, &plan);
    printf("\na second input of %dx%d:\n  %s: %s\n", ROWS, FEATURES + 1, pnng_status_name(status),
           plan ? pnng_plan_error(plan) : "no memory");
    pnng_plan_free(plan);
    return status == PNNG_ERROR_SHAPE;
}

int main(void) {
    printf("pynngraph %s on %s\n\n", pnng_version(), pnng_cpu_info()->isa);
    pnng_program *program = build();

    /* A plan: the program with sizes, a number type and all the memory that its runs need. */
    const pnng_shape shapes[] = {{2, {ROWS, FEATURES}}, {2, {ROWS, FEATURES}}};
    pnng_plan *plan = NULL;
    const pnng_status planned =
        pnng_plan_new(program, PNNG_F64, shapes, 2, PNNG_PLAN_BACKWARD, &plan);
    check(planned, plan ? pnng_plan_error(plan) : "no memory for a plan");

    double y[ROWS * OUTPUTS], grad_y[ROWS * OUTPUTS];
    for (size_t i = 0; i < N_ARRAYS; i++) {
        array *a = &arrays[i];
        fill(a->data, a->rows * a->cols);
        bind(plan, a->group, a->index, a->data);
        bind(plan, a->group == PNNG_SLOT_INPUT ? PNNG_SLOT_GRAD_INPUT : PNNG_SLOT_GRAD_PARAM,
             a->index, a->grad);
    }
    fill(grad_y, ROWS * OUTPUTS);
    bind(plan, PNNG_SLOT_OUTPUT, 0, y);
    bind(plan, PNNG_SLOT_GRAD_OUTPUT, 0, grad_y);

    check(pnng_plan_forward(plan, 0), pnng_plan_error(plan));
    check(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS), pnng_plan_error(plan));
    print_matrix("y", y, ROWS, OUTPUTS);
    print_matrix("dL/dx", arrays[0].grad, ROWS, FEATURES);
    print_matrix("dL/dx'", arrays[1].grad, ROWS, FEATURES);

    printf("\ngradients beside central differences, largest difference:\n");
    int right = 1;
    for (size_t i = 0; i < N_ARRAYS; i++) {
        const double error = gradient_error(&arrays[i], plan, y, grad_y);
        right &= error < 1e-9; /* false for NaN too */
        printf("  %-3s %.1e  %s\n", arrays[i].name, error, error < 1e-9 ? "ok" : "WRONG");
    }
    right &= show_mistake(program);

    pnng_plan_free(plan);
    pnng_program_free(program);
    printf("\n%s\n", right ? "All gradients are right." : "FAILED");
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
