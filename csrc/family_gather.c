/* gather: rows of a table, by index; one_hot: rows of zeros with a one in the place of an index */
#include <inttypes.h>

#include "plan.h"

/* The shape of the indices with one dim more. */
static pnng_status rows_of_indices(const pnng_inference *inference, const pnng_shape *index,
                                   int64_t size) {
    if (index->ndim == PNNG_MAX_DIMS) {
        char text[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects indices of fewer than %d dims, got shape %s", PNNG_MAX_DIMS,
                         pnng_shape_text(index, text));
    }
    pnng_shape *const out = &inference->out[0];
    *out = *index;
    out->dim[out->ndim++] = size;
    return PNNG_OK;
}

static pnng_status gather_infer(const pnng_inference *inference) {
    const pnng_shape *const table = inference->in[0];
    char text[PNNG_SHAPE_TEXT];
    if (table->ndim != 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a table of shape (rows, size), got %s",
                         pnng_shape_text(table, text));
    return rows_of_indices(inference, inference->in[1], table->dim[1]);
}

static pnng_step gather_prototype(const pnng_planner *planner, const pnng_op_node *op,
                                  pnng_direction direction) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    const pnng_shape *const table = pnng_value_shape(planner, in[0]);
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.rows = pnng_count(pnng_value_shape(planner, in[1]));
    prototype.n = (size_t)table->dim[0];
    prototype.cols = (size_t)table->dim[1];
    prototype.a = 1;
    prototype.i = pnng_op_ints(program, op)[0];
    return prototype;
}

static void gather_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_step prototype = gather_prototype(planner, op, PNNG_FORWARD);
    ptrdiff_t strides[3] = {(ptrdiff_t)prototype.cols, 0, 0};
    const pnng_ref table = pnng_as_rows(planner, pnng_read(planner, in[0]),
                                        pnng_value_shape(planner, in[0]), 1, &strides[1]);
    const pnng_ref index =
        pnng_as_contiguous(planner, pnng_read(planner, in[1]), pnng_value_shape(planner, in[1]));
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), table, index};
    pnng_emit(planner, &prototype, refs, strides, 3, NULL, 0);
}

static void gather_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const pnng_shape *const y = pnng_value_shape(planner, op->first_out);
    pnng_step prototype = gather_prototype(planner, op, PNNG_BACKWARD);
    ptrdiff_t strides[3] = {0};
    const pnng_ref g = pnng_as_rows(planner, pnng_grad(planner, op->first_out), y,
                                    (size_t)y->ndim - 1, &strides[1]);
    const pnng_ref index =
        pnng_as_contiguous(planner, pnng_read(planner, in[1]), pnng_value_shape(planner, in[1]));
    const pnng_target target = pnng_scaled_target(planner, in[0]);
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 1, &strides[0]);
    prototype.mask = written.mask;
    prototype.scaled = written.scaled;
    const pnng_ref refs[] = {{written.view, written.mask, false}, g, index};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, 3, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

const pnng_family pnng_family_gather = {.name = "gather",
                                        .infer = gather_infer,
                                        .forward = gather_forward,
                                        .backward = gather_backward,
                                        .index_inputs = 2,
                                        .no_grad_inputs = 2};

/* ---- one_hot -------------------------------------------------------------------------------- */

static pnng_status one_hot_infer(const pnng_inference *inference) {
    if (inference->ints[0] < 1)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "cannot show an index in %" PRId64 " places", inference->ints[0]);
    return rows_of_indices(inference, inference->in[0], inference->ints[0]);
}

static void one_hot_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value index = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, index);
    pnng_step prototype = pnng_prototype(planner, op, PNNG_FORWARD);
    prototype.rows = pnng_count(shape);
    prototype.cols = prototype.n = (size_t)pnng_op_ints(program, op)[0];
    const ptrdiff_t strides[2] = {(ptrdiff_t)prototype.cols, 0};
    const pnng_ref from = pnng_as_contiguous(planner, pnng_read(planner, index), shape);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), from};
    pnng_emit(planner, &prototype, refs, strides, 2, NULL, 0);
}

const pnng_family pnng_family_one_hot = {.name = "one_hot",
                                         .infer = one_hot_infer,
                                         .forward = one_hot_forward,
                                         .index_inputs = 1,
                                         .no_grad_inputs = 1};
