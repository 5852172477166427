/* Losses: numbers of one element from an input and a target, which gets no gradient. */
#include <inttypes.h>

#include "plan.h"

static const pnng_shape one_element = {.ndim = 1, .dim = {1}};

/* The backward of a loss writes a contiguous gradient of x. */
static void emit_loss_backward(pnng_planner *planner, pnng_step prototype, pnng_value x,
                               pnng_ref *refs, ptrdiff_t *strides, size_t n_refs, size_t split) {
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_target target = pnng_grad_target(planner, x);
    const pnng_target written = pnng_target_as_rows(planner, target, shape, split, &strides[0]);
    prototype.mask = target.mask;
    refs[0] = (pnng_ref){written.view, written.mask, false};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, n_refs, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

/* ---- sums over elements: mean squared error, binary cross-entropy --------------------------- */

static pnng_status loss_infer(const pnng_inference *inference) {
    for (uint32_t k = 1; k < inference->op->n_in; k++) {
        if (pnng_same_shape(inference->in[0], inference->in[k]))
            continue;
        char input[PNNG_SHAPE_TEXT], other[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects %s of its input's shape %s, got %s",
                         k == 1 ? "a target" : "weights", pnng_shape_text(inference->in[0], input),
                         pnng_shape_text(inference->in[k], other));
    }
    inference->out[0] = one_element;
    return PNNG_OK;
}

static pnng_step loss_prototype(const pnng_planner *planner, const pnng_op_node *op,
                                pnng_kernel *kernel) {
    const pnng_program *const program = pnng_planner_program(planner);
    const size_t count = pnng_count(pnng_value_shape(planner, *pnng_op_inputs(program, op)));
    const bool average = pnng_op_ints(program, op)[0] && count;
    return (pnng_step){
        .kernel = kernel, .rows = 1, .cols = count, .a = average ? 1 / (double)count : 1};
}

/* Inputs from x on, contiguous. */
static void loss_operands(pnng_planner *planner, const pnng_op_node *op, pnng_ref *refs) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    for (uint32_t k = 0; k < op->n_in; k++)
        refs[k] = pnng_as_contiguous(planner, pnng_read(planner, in[k]),
                                     pnng_value_shape(planner, in[k]));
    if (op->n_in == 2)
        refs[2] = (pnng_ref){.view = {.storage = -1}, .mask = PNNG_ALWAYS};
}

static void loss_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_step prototype =
        loss_prototype(planner, op, pnng_planner_kernels(planner)->op[op->code].forward);
    pnng_ref refs[4];
    loss_operands(planner, op, refs + 1);
    refs[0] = pnng_define(planner, op->first_out);
    pnng_emit(planner, &prototype, refs, NULL, 4, NULL, 0);
}

static void loss_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_step prototype =
        loss_prototype(planner, op, pnng_planner_kernels(planner)->op[op->code].backward);
    pnng_ref refs[5];
    ptrdiff_t strides[5] = {0};
    refs[1] = pnng_grad(planner, op->first_out);
    loss_operands(planner, op, refs + 2);
    emit_loss_backward(planner, prototype, x, refs, strides, 5, 0);
}

const pnng_family pnng_family_loss = {.name = "loss",
                                      .infer = loss_infer,
                                      .forward = loss_forward,
                                      .backward = loss_backward,
                                      .no_grad_inputs = 2 | 4};

/* ---- negative log-likelihood ---------------------------------------------------------------- */

static pnng_status nll_infer(const pnng_inference *inference) {
    const pnng_shape *const x = inference->in[0];
    const pnng_shape *const target = inference->in[1];
    char text[PNNG_SHAPE_TEXT], other[PNNG_SHAPE_TEXT];
    if (x->ndim != 1 && x->ndim != 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects log-probabilities of shape (classes,) or (rows, classes), got %s",
                         pnng_shape_text(x, text));
    const int64_t rows = x->ndim == 2 ? x->dim[0] : 1;
    const int64_t classes = x->dim[x->ndim - 1];
    if (classes == 0)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects at least one class, got shape %s", pnng_shape_text(x, text));
    if ((int64_t)pnng_count(target) != rows)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects %" PRId64 " targets for an input of shape %s, got shape %s", rows,
                         pnng_shape_text(x, text), pnng_shape_text(target, other));
    if (inference->op->n_in == 3 && (int64_t)pnng_count(inference->in[2]) != classes)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects log-probabilities of %zu classes, one for each weight, got "
                         "shape %s",
                         pnng_count(inference->in[2]), pnng_shape_text(x, text));
    inference->out[0] = inference->out[1] = one_element;
    return PNNG_OK;
}

static pnng_step nll_prototype(const pnng_planner *planner, const pnng_op_node *op,
                               pnng_kernel *kernel) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_shape *const shape = pnng_value_shape(planner, *pnng_op_inputs(program, op));
    const int64_t *const ints = pnng_op_ints(program, op);
    return (pnng_step){.kernel = kernel,
                       .rows = shape->ndim == 2 ? (size_t)shape->dim[0] : 1,
                       .cols = (size_t)shape->dim[shape->ndim - 1],
                       .i = ints[0],
                       .j = ints[1]};
}

/* Targets and weights of an op, for both directions. */
static void nll_operands(pnng_planner *planner, const pnng_op_node *op, pnng_ref *target,
                         pnng_ref *weights) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    *target =
        pnng_as_contiguous(planner, pnng_read(planner, in[1]), pnng_value_shape(planner, in[1]));
    *weights = (pnng_ref){.view = {.storage = -1}, .mask = PNNG_ALWAYS};
    if (op->n_in == 3)
        *weights = pnng_as_contiguous(planner, pnng_read(planner, in[2]),
                                      pnng_value_shape(planner, in[2]));
}

static void nll_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_step prototype =
        nll_prototype(planner, op, pnng_planner_kernels(planner)->op[op->code].forward);
    pnng_ref refs[5];
    ptrdiff_t strides[5] = {0};
    refs[2] =
        pnng_as_rows(planner, pnng_read(planner, x), shape, (size_t)shape->ndim - 1, &strides[2]);
    nll_operands(planner, op, &refs[3], &refs[4]);
    refs[0] = pnng_define(planner, op->first_out);
    refs[1] = pnng_define(planner, op->first_out + 1);
    pnng_emit(planner, &prototype, refs, strides, 5, NULL, 0);
}

static void nll_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_step prototype =
        nll_prototype(planner, op, pnng_planner_kernels(planner)->op[op->code].backward);
    pnng_ref refs[5];
    ptrdiff_t strides[5] = {0};
    refs[1] = pnng_grad(planner, op->first_out);
    refs[2] = pnng_read(planner, op->first_out + 1);
    nll_operands(planner, op, &refs[3], &refs[4]);
    emit_loss_backward(planner, prototype, x, refs, strides, 5,
                       (size_t)pnng_value_shape(planner, x)->ndim - 1);
}

const pnng_family pnng_family_nll = {.name = "nll",
                                     .infer = nll_infer,
                                     .forward = nll_forward,
                                     .backward = nll_backward,
                                     .index_inputs = 2,
                                     .no_grad_inputs = 2 | 4,
                                     .no_grad_outputs = 2};

/* ---- reals as indices ----------------------------------------------------------------------- */

static void to_index_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_step prototype = {.kernel = pnng_planner_kernels(planner)->op[op->code].forward,
                                 .rows = 1,
                                 .cols = pnng_count(shape)};
    const pnng_ref input = pnng_as_contiguous(planner, pnng_read(planner, x), shape);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), input};
    pnng_emit(planner, &prototype, refs, NULL, 2, NULL, 0);
}

const pnng_family pnng_family_to_index = {.name = "to_index",
                                          .infer = pnng_infer_same,
                                          .forward = to_index_forward,
                                          .no_grad_inputs = 1,
                                          .index_output = true};
