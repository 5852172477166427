/* Packed forms of parameters: who reads them, and that they serve until they are filled again. */
#include "engine_support.h"

#include <math.h>

enum { IN = 70, OUT = 37, MOST_ROWS = 9 };

/* y = x W' + b, z = tanh(y) V', and W once more: u = x W' */
typedef struct fixture {
    watch w;
    pnng_program *plain, *packs; /* the same; but for that */
    size_t element;
    int32_t dtype;
    array x, params[3], packed[3], out[3], grad_out[3], grad_in; /* W, b, V; y, z, u */
} fixture;

static void set(const fixture *f, const array *a, size_t k, double value) {
    if (f->dtype == PNNG_F32)
        ((float *)(void *)a->data)[k] = (float)value;
    else
        ((double *)(void *)a->data)[k] = value;
}

static double get(const fixture *f, const array *a, size_t k) {
    return f->dtype == PNNG_F32 ? (double)((float *)(void *)a->data)[k]
                                : ((double *)(void *)a->data)[k];
}

static void draw(const fixture *f, const array *a) {
    for (size_t k = 0; k < a->bytes / f->element; k++)
        set(f, a, k, random_in(-1, 1));
}

static pnng_program *build(fixture *f, bool packs) {
    pnng_program *program;
    CHECK(pnng_program_new(&f->w.allocator, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value weight = add_param(program, shape_of(2, OUT, IN), 1);
    const pnng_value bias = add_param(program, shape_of(1, OUT), 1);
    const pnng_value second = add_param(program, shape_of(2, IN, OUT), 1);
    const pnng_value y = add_op(program, "linear", x, weight, bias, -1);
    const pnng_value z = add_op(program, "linear", add_op(program, "tanh", y, -1), second, -1);
    const pnng_value u = add_op(program, "linear", x, weight, -1);
    const pnng_value outputs[] = {y, z, u}, none[] = {x, y, u + 1, -1};
    for (int k = 0; k < 3; k++)
        CHECK(pnng_program_output(program, outputs[k]) == PNNG_OK);
    for (int k = 0; k < 4; k++)
        CHECK(pnng_program_pack(program, none[k]) == PNNG_ERROR_ARGUMENT &&
              strstr(pnng_program_error(program), "is not a parameter"));
    if (packs)
        CHECK(pnng_program_pack(program, weight) == 0 && pnng_program_pack(program, bias) == 0 &&
              pnng_program_pack(program, second) == 0);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    CHECK(pnng_program_pack(program, weight) == PNNG_ERROR_ARGUMENT);
    return program;
}

static void open_fixture(fixture *f, int32_t dtype) {
    memset(f, 0, sizeof *f);
    watch_begin(&f->w);
    f->dtype = dtype;
    f->element = dtype == PNNG_F32 ? 4 : 8;
    f->plain = build(f, false);
    f->packs = build(f, true);
    const size_t sizes[] = {OUT * IN, OUT, IN * OUT}, cols[] = {OUT, IN, OUT};
    f->x = array_new((size_t)MOST_ROWS * IN, f->element, 1);
    f->grad_in = array_new((size_t)MOST_ROWS * IN, f->element, 3);
    draw(f, &f->x);
    for (size_t k = 0; k < 3; k++) {
        f->params[k] = array_new(sizes[k], f->element, k);
        f->out[k] = array_new(MOST_ROWS * cols[k], f->element, k);
        f->grad_out[k] = array_new(MOST_ROWS * cols[k], f->element, k);
        draw(f, &f->params[k]);
        draw(f, &f->grad_out[k]);
    }
}

static void close_fixture(fixture *f) {
    pnng_program_free(f->plain);
    pnng_program_free(f->packs);
    array *const arrays[] = {&f->x, &f->grad_in};
    for (size_t k = 0; k < 2; k++)
        array_free(arrays[k]);
    for (size_t k = 0; k < 3; k++) {
        CHECK(array_intact(&f->params[k]) && array_intact(&f->out[k]));
        if (f->packed[k].block)
            CHECK(array_intact(&f->packed[k]));
        array_free(&f->params[k]);
        array_free(&f->packed[k]);
        array_free(&f->out[k]);
        array_free(&f->grad_out[k]);
    }
    CHECK(f->w.live == 0 && f->w.overruns == 0);
}

static pnng_plan *plan_of(fixture *f, pnng_program *program, int rows, int32_t flags) {
    const pnng_shape shape = shape_of(2, rows, IN);
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, f->dtype, &shape, 1, flags, &plan) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, f->x.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, 0, f->grad_in.data) == PNNG_OK);
    for (size_t k = 0; k < 3; k++) {
        CHECK(bind_to(plan, PNNG_SLOT_PARAM, k, f->params[k].data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, k, f->out[k].data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, k, f->grad_out[k].data) == PNNG_OK);
    }
    return plan;
}

/* Fill the packed forms, which are made the first time, and bind them. */
static void pack(fixture *f, pnng_plan *plan) {
    for (size_t k = 0; k < 3; k++) {
        const size_t bytes = pnng_plan_packed_size(plan, k);
        if (!bytes)
            continue;
        if (!f->packed[k].block)
            f->packed[k] = array_new(bytes / f->element, f->element, k);
        CHECK(f->packed[k].bytes == bytes);
        CHECK(pnng_plan_pack(plan, k, f->params[k].data, f->packed[k].data) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_PACKED, k, f->packed[k].data) == PNNG_OK);
    }
}

static void run(fixture *f, pnng_plan *plan, array results[3]) {
    for (size_t k = 0; k < 3; k++)
        array_fill(&f->out[k], 0xff);
    spoil_arena(plan);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    for (size_t k = 0; k < 3; k++) {
        results[k] = array_new(f->out[k].bytes / f->element, f->element, 0);
        array_copy(&results[k], &f->out[k]);
    }
}

static void drop(array results[3]) {
    for (size_t k = 0; k < 3; k++)
        array_free(&results[k]);
}

static bool all_same(const array x[3], const array y[3]) {
    return array_same(&x[0], &y[0]) && array_same(&x[1], &y[1]) && array_same(&x[2], &y[2]);
}

/* Whether results are those of a plan that reads parameters as they lie. */
static bool as_unpacked(fixture *f, const array results[3], int rows) {
    pnng_plan *const plain = plan_of(f, f->plain, rows, 0);
    array expected[3];
    run(f, plain, expected);
    const double bound = f->dtype == PNNG_F32 ? 1e-4 : 1e-12;
    const size_t cols[] = {OUT, IN, OUT};
    bool near = true;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < (size_t)rows * cols[k]; i++)
            near &= fabs(get(f, &results[k], i) - get(f, &expected[k], i)) <= bound;
    drop(expected);
    pnng_plan_free(plain);
    return near;
}

static void test_results(int32_t dtype, int rows) {
    fixture f;
    open_fixture(&f, dtype);
    pnng_plan *const plan = plan_of(&f, f.packs, rows, 0);
    pack(&f, plan);
    array first[3], again[3], later[3];
    run(&f, plan, first);
    CHECK(as_unpacked(&f, first, rows));
    run(&f, plan, again);
    CHECK(all_same(first, again));
    drop(again);

    /* Elsewhere: what was packed serves, whatever the weights are now. */
    array moved = array_new((size_t)OUT * IN, f.element, 5);
    array_fill(&moved, 0xff);
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 0, moved.data) == PNNG_OK);
    run(&f, plan, again);
    CHECK(all_same(first, again));
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 0, f.params[0].data) == PNNG_OK);
    array_free(&moved);

    /* Changed, and packed again. A bias is read as it lies. */
    for (size_t k = 0; k < 3; k++)
        draw(&f, &f.params[k]);
    pack(&f, plan);
    run(&f, plan, later);
    CHECK(as_unpacked(&f, later, rows));
    CHECK(!array_same(&first[0], &later[0]) && !array_same(&first[2], &later[2]));

    /* A plan for other rows reads the same. */
    pnng_plan *const other = plan_of(&f, f.packs, rows - 1, 0);
    for (size_t k = 0; k < 3; k += 2)
        if (pnng_plan_packed_size(other, k))
            CHECK(pnng_plan_packed_size(other, k) == f.packed[k].bytes &&
                  bind_to(other, PNNG_SLOT_PACKED, k, f.packed[k].data) == PNNG_OK);
    drop(again);
    run(&f, other, again);
    CHECK(as_unpacked(&f, again, rows - 1));
    drop(again);
    drop(first);
    drop(later);
    pnng_plan_free(other);
    pnng_plan_free(plan);
    close_fixture(&f);
}

/* A backward reads the parameters themselves. */
static void test_backward(int32_t dtype) {
    fixture f;
    open_fixture(&f, dtype);
    array results[2];
    for (int k = 0; k < 2; k++) {
        pnng_plan *const plan = plan_of(&f, k ? f.packs : f.plain, MOST_ROWS, PNNG_PLAN_BACKWARD);
        pack(&f, plan);
        CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
        if (k)
            array_fill(&f.packed[0], 0xff);
        CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS) == PNNG_OK);
        results[k] = array_new(f.grad_in.bytes / f.element, f.element, 0);
        array_copy(&results[k], &f.grad_in);
        pnng_plan_free(plan);
    }
    bool near = true;
    for (size_t k = 0; k < f.grad_in.bytes / f.element; k++)
        near &= fabs(get(&f, &results[0], k) - get(&f, &results[1], k)) <= 1e-3;
    CHECK(near);
    array_free(&results[0]);
    array_free(&results[1]);
    close_fixture(&f);
}

static void test_errors(int32_t dtype) {
    fixture f;
    open_fixture(&f, dtype);
    pnng_plan *const plan = plan_of(&f, f.packs, 4, 0);
    const size_t bytes = pnng_plan_packed_size(plan, 0);
    CHECK(bytes >= (size_t)OUT * IN * f.element);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_ERROR_UNBOUND);
    CHECK(strstr(pnng_plan_error(plan), "packed form of parameter 0 is not bound"));
    array room = array_new(bytes / f.element + 1, f.element, 0);
    CHECK(bind_to(plan, PNNG_SLOT_PACKED, 0, room.data + 1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_pack(plan, 0, f.params[0].data, room.data + 1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_pack(plan, 0, f.params[0].data + 1, room.data) == PNNG_ERROR_ARGUMENT);
    const size_t unread[] = {1, 3, SIZE_MAX}; /* a bias; none such */
    for (size_t k = 0; k < 3; k++)
        CHECK(pnng_plan_packed_size(plan, unread[k]) == 0 &&
              pnng_plan_pack(plan, unread[k], f.params[1].data, room.data) == PNNG_ERROR_ARGUMENT);
    pnng_plan *const plain = plan_of(&f, f.plain, 4, 0), *const one_row =
                                                             plan_of(&f, f.packs, 1, 0);
    CHECK(pnng_plan_packed_size(plain, 0) == 0 && pnng_plan_packed_size(one_row, 0) == 0);
    CHECK(pnng_plan_forward(plain, 0) == PNNG_OK && pnng_plan_forward(one_row, 0) == PNNG_OK);
    pnng_plan *none;
    const pnng_shape shape = shape_of(2, 4, IN + 1);
    CHECK(pnng_plan_new(f.packs, dtype, &shape, 1, 0, &none) == PNNG_ERROR_SHAPE);
    CHECK(pnng_plan_packed_size(none, 0) == 0);
    array_free(&room);
    pnng_plan_free(none);
    pnng_plan_free(one_row);
    pnng_plan_free(plain);
    pnng_plan_free(plan);
    close_fixture(&f);
}

/* Only a parameter itself is read packed: not a part of one, nor what is computed. */
static void test_others(void) {
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 1);
    const pnng_value whole = add_param(program, shape_of(2, 2 * OUT, IN), 1);
    const pnng_value square = add_param(program, shape_of(2, IN, IN), 1);
    const pnng_value part = add_op_ints(program, "narrow", whole, 3, 0, OUT, OUT);
    const pnng_value turned = add_op_ints(program, "transpose", square, 2, 0, 1);
    const pnng_value made = add_op(program, "tanh", whole, -1);
    const pnng_value weights[] = {part, turned, made, x};
    for (size_t k = 0; k < 4; k++)
        CHECK(pnng_program_output(program, add_op(program, "linear", x, weights[k], -1)) == 0);
    CHECK(pnng_program_pack(program, whole) == 0 && pnng_program_pack(program, square) == 0);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    pnng_plan *plan;
    const pnng_shape shape = shape_of(2, 4, IN);
    CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, 0, &plan) == PNNG_OK);
    CHECK(pnng_plan_packed_size(plan, 0) == 0 && pnng_plan_packed_size(plan, 1) == 0);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

int main(void) {
    for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
        for (int rows = 4; rows <= MOST_ROWS; rows++) {
            snprintf(test_where, sizeof test_where, "%d rows, type %d", rows, dtype);
            test_results(dtype, rows);
        }
        snprintf(test_where, sizeof test_where, "type %d", dtype);
        test_backward(dtype);
        test_errors(dtype);
    }
    snprintf(test_where, sizeof test_where, "weights that are no parameters");
    test_others();
    return test_result();
}
