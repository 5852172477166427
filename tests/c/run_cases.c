/* Runs the cases of a file that tests/cases_file.py wrote, which says how it is laid out: ops,
 * numbers for them, and what should come of it. It is for machines without Python.
 *
 *     run_cases FILE
 *
 * Only the public header is used. PYNNGRAPH_ISA chooses the instruction set. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pynngraph.h"

enum { MOST = 8, MOST_NUMBERS = 64 };
enum { REALS, INDICES, NONE };

/* Of the file, or made for a run: reals are of the case's type then. */
typedef struct array {
    int64_t kind;
    pnng_shape shape;
    size_t count;
    const char *elements; /* in the file: 8 bytes each */
    void *data;
} array;

typedef struct bound {
    int64_t measure; /* 0: relative to each element, 1: to the largest of the array */
    double error;
} bound;

typedef struct test_case {
    char name[128], op[64];
    int64_t dtype, n_in, n_ints, n_nums, n_out, seed;
    int64_t ints[MOST_NUMBERS];
    double nums[MOST];
    bound forward, backward;
    array in[MOST], out[MOST], grad_out[MOST], grad_in[MOST];
} test_case;

static const char *at, *end; /* what is left of the file */

static void fail(const char *what) {
    fprintf(stderr, "run_cases: %s\n", what);
    exit(2);
}

static const char *take(size_t bytes) {
    if (bytes > (size_t)(end - at))
        fail("the file ends too early");
    const char *const taken = at;
    at += bytes;
    return taken;
}

static int64_t take_int(void) {
    int64_t number;
    memcpy(&number, take(sizeof number), sizeof number);
    return number;
}

static double take_real(void) {
    double number;
    memcpy(&number, take(sizeof number), sizeof number);
    return number;
}

static int64_t take_count(int64_t most) {
    const int64_t count = take_int();
    if (count < 0 || count > most)
        fail("a number of things is out of range");
    return count;
}

static void take_text(char *text, size_t room) {
    const size_t length = (size_t)take_count((int64_t)room - 1);
    memcpy(text, take((length + 7) / 8 * 8), length);
    text[length] = 0;
}

static bound take_bound(void) {
    bound taken;
    taken.measure = take_int();
    taken.error = take_real();
    return taken;
}

static array take_array(void) {
    array a = {.kind = take_count(NONE)};
    if (a.kind == NONE)
        return a;
    a.shape.ndim = take_count(PNNG_MAX_DIMS);
    a.count = 1;
    for (int64_t d = 0; d < a.shape.ndim; d++)
        a.count *= (size_t)(a.shape.dim[d] = take_count(1 << 20));
    a.elements = take(a.count * 8);
    return a;
}

static void take_case(test_case *c) {
    take_text(c->name, sizeof c->name);
    take_text(c->op, sizeof c->op);
    c->dtype = take_count(1) ? PNNG_F64 : PNNG_F32;
    c->n_in = take_count(MOST);
    c->n_ints = take_count(MOST_NUMBERS);
    c->n_nums = take_count(MOST);
    c->n_out = take_count(MOST);
    for (int64_t k = 0; k < c->n_ints; k++)
        c->ints[k] = take_int();
    for (int64_t k = 0; k < c->n_nums; k++)
        c->nums[k] = take_real();
    c->seed = take_int();
    c->forward = take_bound();
    c->backward = take_bound();
    array *const groups[] = {c->in, c->out, c->grad_out, c->grad_in};
    for (int group = 0; group < 4; group++)
        for (int64_t k = 0; k < (group % 3 ? c->n_out : c->n_in); k++)
            groups[group][k] = take_array();
}

/* ---- runs --------------------------------------------------------------------------------- */

static size_t size_of(const test_case *c, const array *a) {
    return a->kind == INDICES || c->dtype == PNNG_F64 ? 8 : 4;
}

/* Memory for an array, with its elements. */
static void *filled(const test_case *c, array *a) {
    a->data = malloc(a->count * size_of(c, a) + 1);
    if (a->data == NULL)
        fail("out of memory");
    if (size_of(c, a) == 8) {
        memcpy(a->data, a->elements, a->count * 8);
        return a->data;
    }
    for (size_t k = 0; k < a->count; k++) {
        double number;
        memcpy(&number, a->elements + 8 * k, 8);
        ((float *)a->data)[k] = (float)number;
    }
    return a->data;
}

/* Memory for what a run gives, full of NaN. */
static void *empty(const test_case *c, array *a) {
    a->data = malloc(a->count * size_of(c, a) + 1);
    if (a->data == NULL)
        fail("out of memory");
    memset(a->data, 0xff, a->count * size_of(c, a));
    return a->data;
}

static double element(const test_case *c, const array *a, size_t k) {
    return c->dtype == PNNG_F64 ? ((const double *)a->data)[k] : ((const float *)a->data)[k];
}

static int is_close(const test_case *c, const array *a, bound allowed, const char *what,
                    int64_t place) {
    double unit = 0, largest = 0;
    size_t worst = 0;
    for (size_t k = 0; k < a->count; k++) {
        double wanted;
        memcpy(&wanted, a->elements + 8 * k, 8);
        if (isfinite(wanted) && fabs(wanted) > unit)
            unit = fabs(wanted);
    }
    for (size_t k = 0; k < a->count; k++) {
        double wanted;
        memcpy(&wanted, a->elements + 8 * k, 8);
        const double got = element(c, a, k);
        if (got == wanted || (isnan(got) && isnan(wanted)))
            continue;
        const double error = fabs(got - wanted) / (allowed.measure ? unit : fabs(wanted));
        if (isnan(error) || error > largest) {
            largest = isnan(error) ? HUGE_VAL : error;
            worst = k;
        }
    }
    if (largest <= allowed.error)
        return 1;
    printf("%s, %s: %s %" PRId64 ", element %zu is %.17g, relative error %.3g, allowed %.3g\n",
           c->name, c->dtype == PNNG_F64 ? "float64" : "float32", what, place, worst,
           element(c, a, worst), largest, allowed.error);
    return 0;
}

static pnng_status build(const test_case *c, pnng_program *program) {
    pnng_value in[MOST], out[MOST];
    pnng_status status = PNNG_OK;
    for (int64_t k = 0; status == PNNG_OK && k < c->n_in; k++)
        status = pnng_program_input(program, c->in[k].kind == INDICES ? PNNG_INDEX : PNNG_REAL, 1,
                                    &in[k]);
    if (status == PNNG_OK)
        status =
            pnng_program_op(program, pnng_op_find(c->op), in, (size_t)c->n_in, c->ints,
                            (size_t)c->n_ints, c->nums, (size_t)c->n_nums, out, (size_t)c->n_out);
    for (int64_t k = 0; status == PNNG_OK && k < c->n_out; k++)
        status = pnng_program_output(program, out[k]);
    return status == PNNG_OK ? pnng_program_seal(program) : status;
}

static pnng_status run(test_case *c, pnng_plan *plan) {
    void **const slots = pnng_plan_slots(plan);
    for (int64_t k = 0; k < c->n_in; k++) {
        slots[pnng_plan_slot(plan, PNNG_SLOT_INPUT, (size_t)k)] = filled(c, &c->in[k]);
        if (c->grad_in[k].kind != NONE)
            slots[pnng_plan_slot(plan, PNNG_SLOT_GRAD_INPUT, (size_t)k)] = empty(c, &c->grad_in[k]);
    }
    for (int64_t k = 0; k < c->n_out; k++) {
        slots[pnng_plan_slot(plan, PNNG_SLOT_OUTPUT, (size_t)k)] = empty(c, &c->out[k]);
        slots[pnng_plan_slot(plan, PNNG_SLOT_GRAD_OUTPUT, (size_t)k)] = filled(c, &c->grad_out[k]);
    }
    const pnng_status status = pnng_plan_forward(plan, (uint64_t)c->seed);
    return status == PNNG_OK ? pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS) : status;
}

/* Whether what an op gives is what it should give. */
static int passes(test_case *c) {
    pnng_program *program = NULL;
    pnng_plan *plan = NULL;
    pnng_shape shapes[MOST];
    for (int64_t k = 0; k < c->n_in; k++)
        shapes[k] = c->in[k].shape;
    pnng_status status = pnng_program_new(NULL, &program);
    if (status == PNNG_OK)
        status = build(c, program);
    if (status == PNNG_OK)
        status = pnng_plan_new(program, (int32_t)c->dtype, shapes, (size_t)c->n_in,
                               PNNG_PLAN_BACKWARD, &plan);
    if (status == PNNG_OK)
        status = run(c, plan);
    int good = status == PNNG_OK;
    if (!good)
        printf("%s: %s %s%s\n", c->name, pnng_status_name(status),
               program ? pnng_program_error(program) : "", plan ? pnng_plan_error(plan) : "");
    for (int64_t k = 0; good && k < c->n_out; k++)
        good = is_close(c, &c->out[k], c->forward, "output", k);
    for (int64_t k = 0; good && k < c->n_in; k++)
        good =
            c->grad_in[k].kind == NONE || is_close(c, &c->grad_in[k], c->backward, "gradient", k);
    array *const groups[] = {c->in, c->out, c->grad_out, c->grad_in};
    for (int group = 0; group < 4; group++)
        for (int64_t k = 0; k < (group % 3 ? c->n_out : c->n_in); k++)
            free(groups[group][k].data);
    pnng_plan_free(plan);
    pnng_program_free(program);
    return good;
}

static char *read_all(const char *path, size_t *size) {
    FILE *const file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) || ftell(file) < 0)
        fail("the file cannot be read");
    *size = (size_t)ftell(file);
    rewind(file);
    char *const all = malloc(*size + 1);
    if (all == NULL || fread(all, 1, *size, file) != *size)
        fail("the file cannot be read");
    fclose(file);
    return all;
}

int main(int argc, char **argv) {
    if (argc != 2)
        fail("usage: run_cases FILE");
    size_t size;
    char *const all = read_all(argv[1], &size);
    at = all;
    end = all + size;
    if (memcmp(take(8), "PNNGCASE", 8) != 0)
        fail("the file holds no cases");
    const int64_t count = take_count(1 << 20);
    int64_t failed = 0;
    for (int64_t k = 0; k < count; k++) {
        test_case c = {0};
        take_case(&c);
        failed += !passes(&c);
    }
    if (at != end)
        fail("something follows the last case");
    free(all);
    printf("%" PRId64 " cases on %s, %" PRId64 " failed\n", count, pnng_cpu_info()->isa, failed);
    return failed != 0 || count == 0;
}
