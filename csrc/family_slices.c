/* Families that work along one dim: slices (softmax and its like), reduce and extreme. */
#include <inttypes.h>

#include "plan.h"

/* A shape seen from one of its dims: outer x n x inner. */
typedef struct along {
    size_t dim, outer, n, inner;
} along;

static along look_along(const pnng_shape *shape, int64_t dim) {
    along seen = {(size_t)(dim < 0 ? dim + shape->ndim : dim), 1, 1, 1};
    for (size_t d = 0; d < (size_t)shape->ndim; d++)
        *(d < seen.dim    ? &seen.outer
          : d == seen.dim ? &seen.n
                          : &seen.inner) *= (size_t)shape->dim[d];
    return seen;
}

static pnng_step step_along(const pnng_planner *planner, const pnng_op_node *op,
                            pnng_direction direction, along seen) {
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.rows = seen.outer;
    prototype.n = seen.n;
    prototype.inner = seen.inner;
    prototype.cols = seen.n * seen.inner;
    return prototype;
}

/* ---- slices --------------------------------------------------------------------------------- */

static pnng_status slices_infer(const pnng_inference *inference) {
    if (pnng_resolve_dim(inference, inference->ints[0], inference->in[0]->ndim) < 0)
        return PNNG_ERROR_SHAPE;
    return pnng_infer_same(inference);
}

static void slices_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const along seen = look_along(shape, pnng_op_ints(program, op)[0]);
    const pnng_step prototype = step_along(planner, op, PNNG_FORWARD, seen);
    ptrdiff_t strides[2] = {(ptrdiff_t)prototype.cols, 0};
    const pnng_ref input =
        pnng_as_rows(planner, pnng_read(planner, x), shape, seen.dim, &strides[1]);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), input};
    pnng_emit(planner, &prototype, refs, strides, 2, NULL, 0);
}

static void slices_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const along seen = look_along(shape, pnng_op_ints(program, op)[0]);
    ptrdiff_t strides[3];
    const pnng_ref g =
        pnng_as_rows(planner, pnng_grad(planner, op->first_out), shape, seen.dim, &strides[1]);
    const pnng_ref y =
        pnng_as_rows(planner, pnng_read(planner, op->first_out), shape, seen.dim, &strides[2]);
    const pnng_target target = pnng_grad_target(planner, x);
    const pnng_target written = pnng_target_as_rows(planner, target, shape, seen.dim, &strides[0]);
    pnng_step prototype = step_along(planner, op, PNNG_BACKWARD, seen);
    prototype.mask = target.mask;
    const pnng_ref refs[] = {{written.view, written.mask, false}, g, y};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, 3, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

const pnng_family pnng_family_slices = {.name = "slices",
                                        .infer = slices_infer,
                                        .forward = slices_forward,
                                        .backward = slices_backward};

/* ---- reduce --------------------------------------------------------------------------------- */

static pnng_status reduced_shape(const pnng_inference *inference, int64_t dim) {
    const pnng_shape *const in = inference->in[0];
    if (dim < 0)
        return PNNG_ERROR_SHAPE;
    pnng_shape *const out = &inference->out[0];
    *out = *in;
    out->dim[dim] = 1;
    if (!inference->ints[1]) {
        for (int64_t d = dim; d + 1 < in->ndim; d++)
            out->dim[d] = in->dim[d + 1];
        out->ndim--;
    }
    return PNNG_OK;
}

static pnng_status reduce_infer(const pnng_inference *inference) {
    return reduced_shape(inference,
                         pnng_resolve_dim(inference, inference->ints[0], inference->in[0]->ndim));
}

/* Kernels of reduce want contiguous arrays. */
static void reduce_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const along seen = look_along(shape, pnng_op_ints(program, op)[0]);
    const pnng_step prototype = step_along(planner, op, PNNG_FORWARD, seen);
    const pnng_ref input = pnng_as_contiguous(planner, pnng_read(planner, x), shape);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), input};
    const uint8_t accumulate = 0;
    pnng_emit(planner, &prototype, refs, NULL, 2, &accumulate, 1);
}

/* dx = or += what a kernel makes of the gradient and, where there are any, of the places that
 * forward kept. */
static void spread_gradient(pnng_planner *planner, const pnng_op_node *op, const pnng_ref *places) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const along seen = look_along(shape, pnng_op_ints(program, op)[0]);
    const pnng_ref g = pnng_as_contiguous(planner, pnng_grad(planner, op->first_out),
                                          pnng_value_shape(planner, op->first_out));
    const pnng_target target = pnng_grad_target(planner, x);
    ptrdiff_t whole;
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
    pnng_step prototype = step_along(planner, op, PNNG_BACKWARD, seen);
    prototype.mask = target.mask;
    pnng_ref refs[3] = {{written.view, written.mask, false}, g};
    if (places)
        refs[2] = *places;
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, NULL, places ? 3 : 2, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

static void reduce_backward(pnng_planner *planner, const pnng_op_node *op) {
    spread_gradient(planner, op, NULL);
}

const pnng_family pnng_family_reduce = {.name = "reduce",
                                        .infer = reduce_infer,
                                        .forward = reduce_forward,
                                        .backward = reduce_backward};

/* ---- extreme -------------------------------------------------------------------------------- */

/* Places are kept as reals, which a float is exactly up to here. */
enum { LONGEST = 1 << 24 };

static pnng_status extreme_infer(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const int64_t dim = pnng_resolve_dim(inference, inference->ints[0], in->ndim);
    if (dim >= 0 && (in->dim[dim] == 0 || in->dim[dim] > LONGEST)) {
        char text[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects from 1 to %d numbers along dim %" PRId64 ", got shape %s",
                         LONGEST, dim, pnng_shape_text(in, text));
    }
    const pnng_status status = reduced_shape(inference, dim);
    if (!status)
        inference->out[1] = inference->out[0];
    return status;
}

static void extreme_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const along seen = look_along(shape, pnng_op_ints(program, op)[0]);
    const pnng_step prototype = step_along(planner, op, PNNG_FORWARD, seen);
    const pnng_ref input = pnng_as_contiguous(planner, pnng_read(planner, x), shape);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out),
                             pnng_define(planner, op->first_out + 1), input};
    pnng_emit(planner, &prototype, refs, NULL, 3, NULL, 0);
}

static void extreme_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_ref places = pnng_read(planner, op->first_out + 1);
    spread_gradient(planner, op, &places);
}

const pnng_family pnng_family_extreme = {.name = "extreme",
                                         .infer = extreme_infer,
                                         .forward = extreme_forward,
                                         .backward = extreme_backward,
                                         .no_grad_outputs = 2};
