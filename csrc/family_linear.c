/* linear: y = x W' + b */
#include <inttypes.h>

#include "plan.h"

static pnng_status linear_infer(const pnng_inference *inference) {
    const pnng_shape *const x = inference->in[0];
    const pnng_shape *const weight = inference->in[1];
    char text[PNNG_SHAPE_TEXT];
    if (weight->ndim != 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a weight of 2 dims, got shape %s", pnng_shape_text(weight, text));
    if (x->ndim != 1 && x->ndim != 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects an input of 1 dim (features) or 2 (rows, features), got shape %s",
                         pnng_shape_text(x, text));
    if (x->dim[x->ndim - 1] != weight->dim[1])
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects %" PRId64 " features, got %" PRId64 ": its input has shape %s",
                         weight->dim[1], x->dim[x->ndim - 1], pnng_shape_text(x, text));
    if (inference->op->n_in == 3 &&
        (inference->in[2]->ndim != 1 || inference->in[2]->dim[0] != weight->dim[0]))
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a bias of %" PRId64 " elements, got shape %s", weight->dim[0],
                         pnng_shape_text(inference->in[2], text));
    inference->out[0] = *x;
    inference->out[0].dim[x->ndim - 1] = weight->dim[0];
    return PNNG_OK;
}

/* rows * out * in */
static uint64_t linear_multiply_adds(const pnng_op_node *op, const pnng_shape *const *in,
                                     const pnng_shape *out) {
    (void)op;
    return pnng_times(pnng_count(&out[0]), (uint64_t)in[1]->dim[1]);
}

/* What both directions need to know of one op. */
typedef struct linear {
    pnng_value x, weight, bias, y; /* bias: -1 for none */
    const pnng_shape *x_shape, *weight_shape, *y_shape;
    size_t rows, in, out;
} linear;

static linear describe(const pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    linear l = {
        .x = in[0], .weight = in[1], .bias = op->n_in == 3 ? in[2] : -1, .y = op->first_out};
    l.x_shape = pnng_value_shape(planner, l.x);
    l.weight_shape = pnng_value_shape(planner, l.weight);
    l.y_shape = pnng_value_shape(planner, l.y);
    l.rows = l.x_shape->ndim == 2 ? (size_t)l.x_shape->dim[0] : 1;
    l.in = (size_t)l.weight_shape->dim[1];
    l.out = (size_t)l.weight_shape->dim[0];
    return l;
}

/* A matrix operand and its row stride. */
typedef struct matrix {
    pnng_ref ref;
    ptrdiff_t stride;
} matrix;

static matrix read_matrix(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape) {
    matrix m;
    m.ref = pnng_as_rows(planner, ref, shape, (size_t)shape->ndim - 1, &m.stride);
    return m;
}

/* c = or += op(a) op(b) [+ bias] */
static void emit_gemm(pnng_planner *planner, pnng_gemm_form form, pnng_gemm_sizes sizes, matrix a,
                      matrix b, matrix c, pnng_ref bias, const pnng_target *target) {
    const pnng_ref refs[] = {a.ref, b.ref, c.ref, bias};
    const ptrdiff_t strides[] = {a.stride, b.stride, c.stride};
    pnng_emit_products(planner, form, sizes, refs, strides, target, 1, NULL);
}

static const pnng_ref nothing = {.view = {.storage = -1}, .mask = PNNG_ALWAYS};

static void linear_forward(pnng_planner *planner, const pnng_op_node *op) {
    const linear l = describe(planner, op);
    const matrix x = read_matrix(planner, pnng_read(planner, l.x), l.x_shape);
    const matrix weight = read_matrix(planner, pnng_read(planner, l.weight), l.weight_shape);
    const pnng_ref bias = l.bias < 0 ? nothing
                                     : pnng_as_contiguous(planner, pnng_read(planner, l.bias),
                                                          pnng_value_shape(planner, l.bias));
    const matrix y = {pnng_define(planner, l.y), (ptrdiff_t)l.out};
    emit_gemm(planner, PNNG_GEMM_NT, (pnng_gemm_sizes){l.rows, l.out, l.in}, x, weight, y, bias,
              NULL);
}

/* A product into a gradient, by way of a temporary if the gradient's layout asks for it. */
static void emit_gemm_gradient(pnng_planner *planner, pnng_gemm_form form, pnng_gemm_sizes sizes,
                               matrix a, matrix b, pnng_target target, const pnng_shape *shape) {
    matrix c;
    const pnng_target written =
        pnng_target_as_rows(planner, target, shape, (size_t)shape->ndim - 1, &c.stride);
    c.ref = (pnng_ref){written.view, written.mask, false};
    emit_gemm(planner, form, sizes, a, b, c, nothing, &written);
    pnng_finish_target(planner, target, written, shape);
}

/* db = sum of g's rows */
static void emit_bias_gradient(pnng_planner *planner, const linear *l, pnng_ref g) {
    const pnng_shape *const shape = pnng_value_shape(planner, l->bias);
    const pnng_target target = pnng_scaled_target(planner, l->bias);
    ptrdiff_t strides[2] = {0, (ptrdiff_t)(l->rows * l->out)};
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &strides[0]);
    const pnng_step prototype = {.kernel =
                                     pnng_planner_kernels(planner)->op[PNNG_OP_REDUCE_SUM].forward,
                                 .rows = 1,
                                 .n = l->rows,
                                 .inner = l->out,
                                 .cols = l->rows * l->out,
                                 .a = 1,
                                 .mask = written.mask,
                                 .scaled = written.scaled};
    const pnng_ref refs[] = {{written.view, written.mask, false},
                             pnng_as_contiguous(planner, g, l->y_shape)};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, 2, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

/* dx = g W, dW = g' x */
static void linear_backward(pnng_planner *planner, const pnng_op_node *op) {
    const linear l = describe(planner, op);
    const matrix g = read_matrix(planner, pnng_grad(planner, l.y), l.y_shape);
    if (pnng_wants_grad(planner, l.x)) {
        const matrix weight = read_matrix(planner, pnng_read(planner, l.weight), l.weight_shape);
        emit_gemm_gradient(planner, PNNG_GEMM_NN, (pnng_gemm_sizes){l.rows, l.in, l.out}, g, weight,
                           pnng_grad_target(planner, l.x), l.x_shape);
    }
    if (pnng_wants_grad(planner, l.weight)) {
        const matrix x = read_matrix(planner, pnng_read(planner, l.x), l.x_shape);
        emit_gemm_gradient(planner, PNNG_GEMM_TN, (pnng_gemm_sizes){l.out, l.in, l.rows}, g, x,
                           pnng_scaled_target(planner, l.weight), l.weight_shape);
    }
    if (l.bias >= 0 && pnng_wants_grad(planner, l.bias))
        emit_bias_gradient(planner, &l, g.ref);
}

const pnng_family pnng_family_linear = {.name = "linear",
                                        .infer = linear_infer,
                                        .forward = linear_forward,
                                        .backward = linear_backward,
                                        .multiply_adds = linear_multiply_adds};
