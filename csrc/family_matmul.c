/* matmul: products of matrices, or of batches of them */
#include "plan.h"

static pnng_status matmul_infer(const pnng_inference *inference) {
    const pnng_shape *const a = inference->in[0];
    const pnng_shape *const b = inference->in[1];
    const int64_t n = a->ndim;
    char first[PNNG_SHAPE_TEXT], second[PNNG_SHAPE_TEXT];
    pnng_shape_text(a, first);
    pnng_shape_text(b, second);
    if (b->ndim != n || (n != 2 && n != 3))
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects two matrices, or two batches of matrices, got shapes %s and %s",
                         first, second);
    if (n == 3 && a->dim[0] != b->dim[0])
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects batches of as many matrices, got shapes %s and %s", first,
                         second);
    const bool ta = inference->ints[0], tb = inference->ints[1];
    const int64_t rows = a->dim[n - (ta ? 1 : 2)], cols = b->dim[n - (tb ? 2 : 1)];
    if (a->dim[n - (ta ? 2 : 1)] != b->dim[n - (tb ? 1 : 2)])
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "cannot multiply matrices of shapes %s%s and %s%s", first,
                         ta ? " (transposed)" : "", second, tb ? " (transposed)" : "");
    inference->out[0] = *a;
    inference->out[0].dim[n - 2] = rows;
    inference->out[0].dim[n - 1] = cols;
    return PNNG_OK;
}

/* A batch of matrices, anywhere in memory. */
typedef struct matrices {
    pnng_ref ref;
    size_t count, rows, cols;
    ptrdiff_t row, col, batch; /* strides */
} matrices;

static matrices look_at(pnng_ref ref, const pnng_shape *shape) {
    const int64_t n = shape->ndim;
    matrices m = {.ref = ref,
                  .count = n == 3 ? (size_t)shape->dim[0] : 1,
                  .rows = (size_t)shape->dim[n - 2],
                  .cols = (size_t)shape->dim[n - 1],
                  .row = (ptrdiff_t)ref.view.stride[n - 2],
                  .col = (ptrdiff_t)ref.view.stride[n - 1],
                  .batch = n == 3 ? (ptrdiff_t)ref.view.stride[0] : 0};
    /* Where there is only one, the stride to the next is of no matter. */
    if (m.cols == 1)
        m.col = 1;
    else if (m.rows == 1)
        m.row = 1;
    return m;
}

static bool is_dense(const matrices *m) { return m->row == 1 || m->col == 1; }

static matrices turned(matrices m, bool turns) {
    if (!turns)
        return m;
    matrices t = m;
    t.rows = m.cols;
    t.cols = m.rows;
    t.row = m.col;
    t.col = m.row;
    return t;
}

/* An array as matrices of which either rows or columns are contiguous: itself, or a copy. */
static matrices read_matrices(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape) {
    const matrices m = look_at(ref, shape);
    return is_dense(&m) ? m : look_at(pnng_as_contiguous(planner, ref, shape), shape);
}

void pnng_emit_products(pnng_planner *planner, pnng_gemm_form form, pnng_gemm_sizes sizes,
                        const pnng_ref operands[4], const ptrdiff_t row_strides[3],
                        const pnng_target *target, size_t count, const ptrdiff_t *by) {
    if (!count || !sizes.rows || !sizes.cols)
        return;
    const pnng_gemm_table *const table = &pnng_planner_kernels(planner)->gemm;
    pnng_product product = {.form = form,
                            .sizes = sizes,
                            .element = pnng_planner_element(planner),
                            .lda = row_strides[0],
                            .ldb = row_strides[1],
                            .ldc = row_strides[2],
                            .has_bias = operands[3].view.storage >= 0};
    pnng_method method = pnng_gemm_choose(table, &product);
    pnng_ref b = operands[1];
    if (count == 1 && pnng_gemm_keeping_pays(table, &product)) {
        pnng_ref packed = pnng_packed_form(planner, b, sizes.cols, sizes.depth);
        /* Those that pack are made in the same way then: no bit changes. */
        if (packed.view.storage < 0 && method.pack_b && !method.swapped)
            packed = pnng_packed_once(planner, b, &product);
        if (packed.view.storage >= 0) {
            product.b_is_packed = true;
            method = pnng_gemm_choose(table, &product);
            b = packed;
        }
    }
    const pnng_step prototype = {.run = pnng_run_gemm,
                                 .rows = sizes.rows,
                                 .cols = sizes.cols,
                                 .n = sizes.depth,
                                 .a = 1,
                                 .j = (int64_t)pnng_keep_method(planner, &method),
                                 .mask = target ? target->mask : 0,
                                 .scaled = target && target->scaled};
    const pnng_ref refs[] = {operands[0], b, operands[2], operands[3],
                             pnng_work_space(planner, pnng_gemm_work_size(&method))};
    const ptrdiff_t strides[] = {row_strides[0], row_strides[1], row_strides[2], 0, 0};
    const uint8_t accumulate = target && target->accumulate;
    if (count == 1) {
        pnng_emit(planner, &prototype, refs, strides, 5, &accumulate, 1);
        return;
    }
    const ptrdiff_t turns[] = {by[0], by[1], by[2], 0, 0};
    pnng_emit_repeated(planner, &prototype, refs, strides, 5, &accumulate, 1, count, turns);
}

/* c = or += a b. Columns of c, or else its rows, are contiguous. */
static void emit_products(pnng_planner *planner, matrices a, matrices b, matrices c,
                          const pnng_target *target) {
    /* c' = b' a', also where c is a column: products with a row need no packing. */
    if (c.col != 1 || (c.cols == 1 && c.row == 1)) {
        const matrices swapped = turned(a, true);
        a = turned(b, true);
        b = swapped;
        c = turned(c, true);
    }
    /* A column times a row is thin as a' b. */
    const bool ta = a.col != 1 || (a.cols == 1 && a.row == 1), tb = b.col != 1;
    const pnng_gemm_form form =
        ta ? (tb ? PNNG_GEMM_TT : PNNG_GEMM_TN) : (tb ? PNNG_GEMM_NT : PNNG_GEMM_NN);
    const pnng_ref nothing = {.view = {.storage = -1}, .mask = PNNG_ALWAYS};
    const pnng_ref operands[] = {a.ref, b.ref, c.ref, nothing};
    const ptrdiff_t strides[] = {ta ? a.col : a.row, tb ? b.col : b.row, c.row};
    const ptrdiff_t by[] = {a.batch, b.batch, c.batch};
    pnng_emit_products(planner, form, (pnng_gemm_sizes){c.rows, c.cols, a.cols}, operands, strides,
                       target, c.count, by);
}

/* An input of the op, as it is multiplied. */
static matrices factor(pnng_planner *planner, const pnng_op_node *op, size_t k) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value value = pnng_op_inputs(program, op)[k];
    const matrices m =
        read_matrices(planner, pnng_read(planner, value), pnng_value_shape(planner, value));
    return turned(m, pnng_op_ints(program, op)[k]);
}

static void matmul_forward(pnng_planner *planner, const pnng_op_node *op) {
    const matrices a = factor(planner, op, 0), b = factor(planner, op, 1);
    const pnng_ref y = pnng_define(planner, op->first_out);
    emit_products(planner, a, b, look_at(y, pnng_value_shape(planner, op->first_out)), NULL);
}

/* The gradient of an operand, or of its transpose. */
static void emit_gradient(pnng_planner *planner, matrices a, matrices b, pnng_value operand,
                          bool turns) {
    const pnng_shape *const shape = pnng_value_shape(planner, operand);
    const pnng_target target = pnng_scaled_target(planner, operand);
    pnng_target written = target;
    matrices c = look_at((pnng_ref){target.view, target.mask, false}, shape);
    if (!is_dense(&c)) {
        written.view = pnng_temporary(planner, shape).view;
        written.accumulate = false;
        c = look_at((pnng_ref){written.view, written.mask, false}, shape);
    }
    emit_products(planner, a, b, turned(c, turns), &written);
    pnng_finish_target(planner, target, written, shape);
}

/* da = g b', db = a' g */
/* Each gradient needs the other factor only. */
static void matmul_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    const int64_t *const turns = pnng_op_ints(program, op);
    const matrices g = read_matrices(planner, pnng_grad(planner, op->first_out),
                                     pnng_value_shape(planner, op->first_out));
    if (pnng_wants_grad(planner, in[0]))
        emit_gradient(planner, g, turned(factor(planner, op, 1), true), in[0], turns[0]);
    if (pnng_wants_grad(planner, in[1]))
        emit_gradient(planner, turned(factor(planner, op, 0), true), g, in[1], turns[1]);
}

/* Elements of y, each a sum as long as rows of A are. */
static uint64_t matmul_multiply_adds(const pnng_op_node *op, const pnng_shape *const *in,
                                     const pnng_shape *out) {
    (void)op;
    const size_t cols = (size_t)out->dim[out->ndim - 1], count = pnng_count(out);
    return count ? pnng_times(pnng_count(in[0]), cols) : 0;
}

const pnng_family pnng_family_matmul = {.name = "matmul",
                                        .infer = matmul_infer,
                                        .forward = matmul_forward,
                                        .backward = matmul_backward,
                                        .multiply_adds = matmul_multiply_adds};
