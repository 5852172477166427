/* What is done channel by channel: normalising, scaling, bending; and rows normalised by their own
 * numbers. For channels an array is seen as n x channels x inner; channels are its dim 1. */
#include <inttypes.h>

#include "plan.h"

static pnng_status check_channels(const pnng_inference *inference, size_t first) {
    const pnng_shape *const x = inference->in[0];
    char text[PNNG_SHAPE_TEXT], other[PNNG_SHAPE_TEXT];
    if (x->ndim < 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects (samples, channels, ...), got %s", pnng_shape_text(x, text));
    for (size_t k = first; k < inference->op->n_in; k++)
        if (inference->in[k]->ndim != 1 || inference->in[k]->dim[0] != x->dim[1])
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "has numbers of shape %s for the channels of an input of shape %s",
                             pnng_shape_text(inference->in[k], other), pnng_shape_text(x, text));
    inference->out[0] = *x;
    return PNNG_OK;
}

/* A step's sizes: rows are channels where these are more than numbers, else cols are. */
static pnng_step step_of(const pnng_planner *planner, const pnng_op_node *op,
                         pnng_direction direction, const pnng_shape *shape) {
    pnng_step prototype = pnng_prototype(planner, op, direction);
    const size_t channels = (size_t)shape->dim[1];
    prototype.n = (size_t)shape->dim[0];
    prototype.inner = 1;
    for (int64_t d = 2; d < shape->ndim; d++)
        prototype.inner *= (size_t)shape->dim[d];
    const bool single = prototype.inner == 1;
    prototype.rows = single ? 1 : channels;
    prototype.cols = single ? channels : prototype.n * prototype.inner;
    return prototype;
}

/* Samples of a value or a gradient: each contiguous, `stride` apart; or all as one. */
static pnng_ref samples(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape, bool is_one,
                        ptrdiff_t *stride) {
    return pnng_as_rows(planner, ref, shape, !is_one, stride);
}

/* What a shape is seen as, where all of it may be one channel. */
static pnng_shape as_channels(const pnng_shape *shape, bool is_one) {
    return is_one ? (pnng_shape){.ndim = 3, .dim = {1, 1, (int64_t)pnng_count(shape)}} : *shape;
}

static const pnng_ref none = {.view = {.storage = -1}, .mask = PNNG_ALWAYS};

static pnng_ref read_channels(pnng_planner *planner, pnng_value value) {
    return pnng_as_contiguous(planner, pnng_read(planner, value), pnng_value_shape(planner, value));
}

static pnng_ref per_channel(pnng_planner *planner, const pnng_shape *shape) {
    const pnng_shape channels = {.ndim = 1, .dim = {shape->dim[1]}};
    return pnng_temporary(planner, &channels);
}

/* Backward: dx, and where they are wanted the gradients of two inputs by channel. */
static void emit_backward(pnng_planner *planner, const pnng_op_node *op, const pnng_ref kept[3],
                          const pnng_value of[2], bool is_one) {
    enum { DX, D_SCALE, D_SHIFT, G, X, KEPT, OPERANDS = KEPT + 3 };
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_shape seen = as_channels(shape, is_one);
    pnng_step prototype = step_of(planner, op, PNNG_BACKWARD, &seen);
    ptrdiff_t strides[OPERANDS] = {0};
    pnng_ref refs[OPERANDS] = {none, none, none};
    refs[G] = samples(planner, pnng_grad(planner, op->first_out), shape, is_one, &strides[G]);
    refs[X] = samples(planner, pnng_read(planner, x), shape, is_one, &strides[X]);
    for (size_t k = 0; k < 3; k++)
        refs[KEPT + k] = kept[k];
    for (size_t k = 0; k < 2; k++)
        if (of[k] >= 0 && pnng_wants_grad(planner, of[k]))
            refs[D_SCALE + k] = per_channel(planner, &seen);
    const pnng_target target = pnng_grad_target(planner, x);
    pnng_target written = target;
    if (target.view.storage >= 0)
        written = pnng_target_as_rows(planner, target, shape, !is_one, &strides[DX]);
    refs[DX] = (pnng_ref){written.view, written.mask, false};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, OPERANDS, &accumulate, 1);
    if (target.view.storage >= 0)
        pnng_finish_target(planner, target, written, shape);
    for (size_t k = 0; k < 2; k++)
        if (refs[D_SCALE + k].view.storage >= 0)
            pnng_pass_grad(planner, of[k], refs[D_SCALE + k], 1);
}

/* ---- by the batch's own mean and variance ---------------------------------------------------- */

static pnng_status batch_norm_infer(const pnng_inference *inference) {
    if (inference->op->n_in == 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "takes a weight and a bias, or neither");
    const pnng_status status = check_channels(inference, 1);
    for (size_t k = 1; k < 4 && !status; k++)
        inference->out[k] = (pnng_shape){.ndim = 1, .dim = {inference->in[0]->dim[1]}};
    return status;
}

static void batch_norm_forward(pnng_planner *planner, const pnng_op_node *op) {
    enum { Y, MEAN, INVERSE, VARIANCE, X, WEIGHT, BIAS, OPERANDS };
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const pnng_step prototype = step_of(planner, op, PNNG_FORWARD, shape);
    ptrdiff_t strides[OPERANDS] = {0};
    pnng_ref refs[OPERANDS];
    refs[X] = samples(planner, pnng_read(planner, in[0]), shape, false, &strides[X]);
    refs[WEIGHT] = op->n_in > 1 ? read_channels(planner, in[1]) : none;
    refs[BIAS] = op->n_in > 1 ? read_channels(planner, in[2]) : none;
    for (size_t k = 0; k < 4; k++)
        refs[k] = pnng_define(planner, op->first_out + (pnng_value)k);
    samples(planner, refs[Y], shape, false, &strides[Y]);
    pnng_emit(planner, &prototype, refs, strides, OPERANDS, NULL, 0);
}

static void batch_norm_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const bool affine = op->n_in > 1;
    const pnng_ref kept[] = {pnng_read(planner, op->first_out + 1),
                             pnng_read(planner, op->first_out + 2),
                             affine ? read_channels(planner, in[1]) : none};
    const pnng_value of[] = {affine ? in[1] : -1, affine ? in[2] : -1};
    emit_backward(planner, op, kept, of, false);
}

const pnng_family pnng_family_batch_norm = {.name = "batch_norm",
                                            .infer = batch_norm_infer,
                                            .forward = batch_norm_forward,
                                            .backward = batch_norm_backward,
                                            .no_grad_outputs = 14};

/* ---- rows by their own ---------------------------------------------------------------------- */

static pnng_status layer_norm_infer(const pnng_inference *inference) {
    const pnng_shape *const x = inference->in[0];
    char text[PNNG_SHAPE_TEXT], other[PNNG_SHAPE_TEXT];
    if (inference->op->n_in == 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "takes a weight and a bias, or neither");
    if (!x->ndim)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects (..., features), got a number");
    for (size_t k = 1; k < inference->op->n_in; k++)
        if (inference->in[k]->ndim != 1 || inference->in[k]->dim[0] != x->dim[x->ndim - 1])
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "has numbers of shape %s for the features of an input of shape %s",
                             pnng_shape_text(inference->in[k], other), pnng_shape_text(x, text));
    inference->out[0] = inference->out[1] = *x;
    inference->out[1].dim[x->ndim - 1] = 1;
    inference->out[2] = inference->out[1];
    return PNNG_OK;
}

static pnng_step layer_step(const pnng_planner *planner, const pnng_op_node *op,
                            pnng_direction direction, const pnng_shape *shape) {
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.n = 1;
    prototype.inner = prototype.cols = (size_t)shape->dim[shape->ndim - 1];
    prototype.rows = 1;
    for (int64_t d = 0; d < shape->ndim - 1; d++)
        prototype.rows *= (size_t)shape->dim[d];
    return prototype;
}

static void layer_norm_forward(pnng_planner *planner, const pnng_op_node *op) {
    enum { Y, MEAN, INVERSE, X, WEIGHT, BIAS, OPERANDS };
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_step prototype =
        layer_step(planner, op, PNNG_FORWARD, pnng_value_shape(planner, in[0]));
    pnng_ref refs[OPERANDS] = {none, none, none, none, none, none};
    for (uint32_t k = 0; k < op->n_in; k++)
        refs[X + k] = read_channels(planner, in[k]);
    for (size_t k = 0; k < 3; k++)
        refs[k] = pnng_define(planner, op->first_out + (pnng_value)k);
    pnng_emit(planner, &prototype, refs, NULL, OPERANDS, NULL, 0);
}

/* Two steps, because what is made of rows and what is made down columns can be cut in two ways. */
static void layer_norm_backward(pnng_planner *planner, const pnng_op_node *op) {
    enum { DX, D_SCALE, D_SHIFT, G, X, MEAN, INVERSE, WEIGHT, OPERANDS };
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const pnng_step prototype = layer_step(planner, op, PNNG_BACKWARD, shape);
    ptrdiff_t strides[OPERANDS] = {0};
    pnng_ref refs[OPERANDS] = {none, none, none};
    refs[G] = pnng_as_contiguous(planner, pnng_grad(planner, op->first_out), shape);
    refs[X] = read_channels(planner, in[0]);
    refs[MEAN] = pnng_read(planner, op->first_out + 1);
    refs[INVERSE] = pnng_read(planner, op->first_out + 2);
    refs[WEIGHT] = op->n_in > 1 ? read_channels(planner, in[1]) : none;
    strides[G] = strides[X] = (ptrdiff_t)prototype.cols;
    for (uint32_t k = 1; k < op->n_in; k++)
        if (pnng_wants_grad(planner, in[k]))
            refs[k] = pnng_temporary(planner, pnng_value_shape(planner, in[k]));
    if (refs[D_SCALE].view.storage >= 0 || refs[D_SHIFT].view.storage >= 0)
        pnng_emit(planner, &prototype, refs, strides, OPERANDS, NULL, 0);
    for (uint32_t k = 1; k < op->n_in; k++)
        if (refs[k].view.storage >= 0)
            pnng_pass_grad(planner, in[k], refs[k], 1);
    const pnng_target target = pnng_grad_target(planner, in[0]);
    if (target.view.storage < 0)
        return;
    ptrdiff_t whole;
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
    refs[DX] = (pnng_ref){written.view, written.mask, false};
    refs[D_SCALE] = refs[D_SHIFT] = none;
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, OPERANDS, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

const pnng_family pnng_family_layer_norm = {.name = "layer_norm",
                                            .infer = layer_norm_infer,
                                            .forward = layer_norm_forward,
                                            .backward = layer_norm_backward,
                                            .no_grad_outputs = 6};

/* ---- by numbers that are given --------------------------------------------------------------- */

static pnng_status channel_affine_infer(const pnng_inference *inference) {
    return check_channels(inference, 1);
}

static void channel_affine_forward(pnng_planner *planner, const pnng_op_node *op) {
    enum { Y, X, MEAN, SCALE, SHIFT, OPERANDS };
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const pnng_step prototype = step_of(planner, op, PNNG_FORWARD, shape);
    ptrdiff_t strides[OPERANDS] = {0};
    pnng_ref refs[OPERANDS];
    refs[X] = samples(planner, pnng_read(planner, in[0]), shape, false, &strides[X]);
    refs[MEAN] = read_channels(planner, in[1]);
    refs[SCALE] = read_channels(planner, in[2]);
    refs[SHIFT] = op->n_in > 3 ? read_channels(planner, in[3]) : none;
    refs[Y] = pnng_define(planner, op->first_out);
    samples(planner, refs[Y], shape, false, &strides[Y]);
    pnng_emit(planner, &prototype, refs, strides, OPERANDS, NULL, 0);
}

static void channel_affine_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_ref kept[] = {read_channels(planner, in[1]), read_channels(planner, in[2]), none};
    const pnng_value of[] = {in[2], op->n_in > 3 ? in[3] : -1};
    emit_backward(planner, op, kept, of, false);
}

const pnng_family pnng_family_channel_affine = {.name = "channel_affine",
                                                .infer = channel_affine_infer,
                                                .forward = channel_affine_forward,
                                                .backward = channel_affine_backward,
                                                .no_grad_inputs = 2};

/* ---- by a slope for each -------------------------------------------------------------------- */

static pnng_status channel_prelu_infer(const pnng_inference *inference) {
    const pnng_shape *const slopes = inference->in[1];
    inference->out[0] = *inference->in[0];
    return slopes->ndim == 1 && slopes->dim[0] == 1 ? PNNG_OK : check_channels(inference, 1);
}

static bool has_one_slope(const pnng_planner *planner, pnng_value slopes) {
    return pnng_value_shape(planner, slopes)->dim[0] == 1;
}

static void channel_prelu_forward(pnng_planner *planner, const pnng_op_node *op) {
    enum { Y, X, SLOPE, OPERANDS };
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const bool is_one = has_one_slope(planner, in[1]);
    const pnng_shape seen = as_channels(shape, is_one);
    const pnng_step prototype = step_of(planner, op, PNNG_FORWARD, &seen);
    ptrdiff_t strides[OPERANDS] = {0};
    pnng_ref refs[OPERANDS];
    refs[X] = samples(planner, pnng_read(planner, in[0]), shape, is_one, &strides[X]);
    refs[SLOPE] = read_channels(planner, in[1]);
    refs[Y] = pnng_define(planner, op->first_out);
    samples(planner, refs[Y], shape, is_one, &strides[Y]);
    pnng_emit(planner, &prototype, refs, strides, OPERANDS, NULL, 0);
}

static void channel_prelu_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_ref kept[] = {read_channels(planner, in[1]), none, none};
    const pnng_value of[] = {in[1], -1};
    emit_backward(planner, op, kept, of, has_one_slope(planner, in[1]));
}

const pnng_family pnng_family_channel_prelu = {.name = "channel_prelu",
                                               .infer = channel_prelu_infer,
                                               .forward = channel_prelu_forward,
                                               .backward = channel_prelu_backward};
