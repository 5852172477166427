/* Families that move no numbers: alias (identity, reshape, narrow, select, transpose), detach and
 * join. */
#include <inttypes.h>

#include "plan.h"

/* ---- sizes ---------------------------------------------------------------------------------- */

/* Sizes of a reshape: -2 keeps the input's size at that place, one -1 is inferred. */
static pnng_status infer_reshape(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const size_t ndim = inference->op->n_ints;
    const size_t count = pnng_count(in);
    char text[PNNG_SHAPE_TEXT];
    pnng_shape out = {.ndim = (int64_t)ndim};
    if (ndim > PNNG_MAX_DIMS)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE, "at most %d dims, got %zu",
                         PNNG_MAX_DIMS, ndim);
    size_t known = 1;
    int64_t inferred = -1;
    for (size_t d = 0; d < ndim; d++) {
        int64_t size = inference->ints[d];
        if (size == -2 && (int64_t)d < in->ndim)
            size = in->dim[d];
        if (size == -1 && inferred < 0)
            inferred = (int64_t)d;
        else if (size < 0 || (size > 0 && known > (size_t)PTRDIFF_MAX / (size_t)size))
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "size %" PRId64 " of dim %zu cannot be had from shape %s", size, d,
                             pnng_shape_text(in, text));
        else
            known *= (size_t)size;
        out.dim[d] = size;
    }
    if (inferred >= 0) {
        out.dim[inferred] = known ? (int64_t)(count / known) : 0;
        known *= (size_t)out.dim[inferred];
    }
    if (known != count) {
        char wanted[PNNG_SHAPE_TEXT];
        for (size_t d = 0; d < ndim; d++)
            if ((int64_t)d == inferred)
                out.dim[d] = -1;
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "cannot reshape %s, %zu elements, to %s", pnng_shape_text(in, text), count,
                         pnng_shape_text(&out, wanted));
    }
    inference->out[0] = out;
    return PNNG_OK;
}

/* The range that narrow or select takes, with negatives counted from the end. */
typedef struct range {
    int64_t dim, offset, length;
} range;

static range narrow_range(const int64_t *ints, const pnng_shape *in) {
    range r = {ints[0], ints[1], ints[2]};
    if (r.dim < 0)
        r.dim += in->ndim;
    const int64_t size = in->dim[r.dim];
    if (r.offset < 0)
        r.offset += size;
    if (r.length < 0)
        r.length += size - r.offset + 1;
    return r;
}

/* Whether a range's numbers are near enough to a size that sums of them cannot overflow. */
static bool is_near(int64_t number, int64_t size) { return number >= -size - 1 && number <= size; }

static pnng_status infer_narrow(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const int64_t dim = pnng_resolve_dim(inference, inference->ints[0], in->ndim);
    if (dim < 0)
        return PNNG_ERROR_SHAPE;
    const int64_t size = in->dim[dim];
    const bool near = is_near(inference->ints[1], size) && is_near(inference->ints[2], size);
    const range r = near ? narrow_range(inference->ints, in) : (range){dim, -1, -1};
    /* A length of zero is left to an empty dim: elsewhere it is a slip. */
    if (r.offset < 0 || r.length < 0 || r.offset > size || r.length > size - r.offset ||
        (r.length == 0 && size > 0)) {
        char text[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "takes %" PRId64 " elements from offset %" PRId64 " along dim %" PRId64
                         ", which is not inside of its input of shape %s",
                         inference->ints[2], inference->ints[1], r.dim, pnng_shape_text(in, text));
    }
    inference->out[0] = *in;
    inference->out[0].dim[r.dim] = r.length;
    return PNNG_OK;
}

static range select_range(const int64_t *ints, const pnng_shape *in) {
    range r = {ints[0], ints[1], 1};
    if (r.dim < 0)
        r.dim += in->ndim;
    if (r.offset < 0)
        r.offset += in->dim[r.dim];
    return r;
}

static pnng_status infer_select(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    if (pnng_resolve_dim(inference, inference->ints[0], in->ndim) < 0)
        return PNNG_ERROR_SHAPE;
    const range r = select_range(inference->ints, in);
    if (r.offset < 0 || r.offset >= in->dim[r.dim]) {
        char text[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "has no index %" PRId64 " along dim %" PRId64 " of its input of shape %s",
                         inference->ints[1], r.dim, pnng_shape_text(in, text));
    }
    pnng_shape *const out = &inference->out[0];
    *out = *in;
    out->ndim--;
    for (int64_t d = r.dim; d < out->ndim; d++)
        out->dim[d] = in->dim[d + 1];
    return PNNG_OK;
}

static pnng_status infer_transpose(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const int64_t first = pnng_resolve_dim(inference, inference->ints[0], in->ndim);
    const int64_t second =
        first < 0 ? -1 : pnng_resolve_dim(inference, inference->ints[1], in->ndim);
    if (second < 0)
        return PNNG_ERROR_SHAPE;
    pnng_shape *const out = &inference->out[0];
    *out = *in;
    out->dim[first] = in->dim[second];
    out->dim[second] = in->dim[first];
    return PNNG_OK;
}

static pnng_status alias_infer(const pnng_inference *inference) {
    switch (inference->op->code) {
    case PNNG_OP_RESHAPE:
        return infer_reshape(inference);
    case PNNG_OP_NARROW:
        return infer_narrow(inference);
    case PNNG_OP_SELECT:
        return infer_select(inference);
    case PNNG_OP_TRANSPOSE:
        return infer_transpose(inference);
    default:
        return pnng_infer_same(inference);
    }
}

/* ---- views ---------------------------------------------------------------------------------- */

/* Strides of a reshaped array, where memory allows it: dims of both shapes are matched in groups
 * of equal size, and the old dims of a group must be evenly spaced. */
static bool reshape_view(const pnng_shape *in, const pnng_view *from, const pnng_shape *out,
                         pnng_view *to) {
    *to = *from;
    if (pnng_count(in) == 0) {
        *to = pnng_contiguous_view(from->storage, out);
        to->offset = from->offset;
        return true;
    }
    int64_t i = in->ndim, o = out->ndim;
    while (o > 0) {
        o--;
        if (out->dim[o] == 1) {
            to->stride[o] = 1;
            continue;
        }
        /* Collect old dims, innermost first, until they hold the new dim. */
        while (i > 0 && in->dim[i - 1] == 1)
            i--;
        i--;
        const int64_t stride = from->stride[i];
        int64_t old = in->dim[i], fresh = out->dim[o];
        to->stride[o] = stride;
        while (old != fresh) {
            if (old < fresh) {
                int64_t next = i - 1;
                while (next >= 0 && in->dim[next] == 1)
                    next--;
                if (next < 0 || from->stride[next] != stride * old)
                    return false;
                old *= in->dim[next];
                i = next;
            } else {
                int64_t next = o - 1;
                while (next >= 0 && out->dim[next] == 1) {
                    to->stride[next] = 1;
                    next--;
                }
                if (next < 0)
                    return false;
                to->stride[next] = stride * fresh;
                fresh *= out->dim[next];
                o = next;
            }
        }
    }
    return true;
}

static bool make_view(const pnng_program *program, const pnng_op_node *op, const pnng_shape *in,
                      const pnng_view *from, const pnng_shape *out, pnng_view *to) {
    const int64_t *const ints = pnng_op_ints(program, op);
    *to = *from;
    if (op->code == PNNG_OP_RESHAPE)
        return reshape_view(in, from, out, to);
    if (op->code == PNNG_OP_NARROW) {
        const range r = narrow_range(ints, in);
        to->offset += r.offset * from->stride[r.dim];
    }
    if (op->code == PNNG_OP_SELECT) {
        const range r = select_range(ints, in);
        to->offset += r.offset * from->stride[r.dim];
        for (int64_t d = r.dim; d < out->ndim; d++)
            to->stride[d] = from->stride[d + 1];
    }
    if (op->code == PNNG_OP_TRANSPOSE) {
        const int64_t first = ints[0] < 0 ? ints[0] + in->ndim : ints[0];
        const int64_t second = ints[1] < 0 ? ints[1] + in->ndim : ints[1];
        to->stride[first] = from->stride[second];
        to->stride[second] = from->stride[first];
    }
    return true;
}

static void alias_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value x = *pnng_op_inputs(program, op);
    const pnng_shape *const in = pnng_value_shape(planner, x);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    const pnng_ref from = pnng_read(planner, x);
    pnng_view view;
    if (make_view(program, op, in, &from.view, out, &view)) {
        pnng_define_view(planner, op->first_out, x, &view);
        return;
    }
    /* A reshape of an array with holes: copied, seen in the old shape. */
    pnng_ref to = pnng_define(planner, op->first_out);
    to.view = pnng_contiguous_view(to.view.storage, in);
    pnng_emit_copy(planner, in, to, from);
}

/* Only for reshapes that were copied; the gradient of a view is a view. */
static void alias_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    pnng_ref g = pnng_as_contiguous(planner, pnng_grad(planner, op->first_out), out);
    const int64_t offset = g.view.offset;
    g.view = pnng_contiguous_view(g.view.storage, pnng_value_shape(planner, x));
    g.view.offset = offset;
    pnng_pass_grad(planner, x, g, 1);
}

const pnng_family pnng_family_alias = {.name = "alias",
                                       .infer = alias_infer,
                                       .forward = alias_forward,
                                       .backward = alias_backward,
                                       .any_kind = true,
                                       .keeps_kind = true};

/* The same, where no gradient goes: targets of losses that are made of other ops. */
const pnng_family pnng_family_detach = {.name = "detach",
                                        .infer = pnng_infer_same,
                                        .forward = alias_forward,
                                        .no_grad_inputs = 1,
                                        .any_kind = true,
                                        .keeps_kind = true};

/* ---- join ----------------------------------------------------------------------------------- */

static pnng_status join_infer(const pnng_inference *inference) {
    const pnng_shape *const first = inference->in[0];
    const int64_t dim = pnng_resolve_dim(inference, inference->ints[0], first->ndim);
    if (dim < 0)
        return PNNG_ERROR_SHAPE;
    pnng_shape out = *first;
    for (size_t k = 1; k < inference->op->n_in; k++) {
        pnng_shape other = *inference->in[k];
        const int64_t size = dim < other.ndim ? other.dim[dim] : 0;
        if (dim < other.ndim)
            other.dim[dim] = first->dim[dim];
        if (!pnng_same_shape(first, &other)) {
            char text[PNNG_SHAPE_TEXT], bad[PNNG_SHAPE_TEXT];
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "expects arrays that differ along dim %" PRId64
                             " only: entry 0 is %s, entry %zu is %s",
                             dim, pnng_shape_text(first, text), k,
                             pnng_shape_text(inference->in[k], bad));
        }
        if (size > INT64_MAX - out.dim[dim])
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "an array this large cannot be addressed");
        out.dim[dim] += size;
    }
    inference->out[0] = out;
    return PNNG_OK;
}

/* Call `visit` with the part of the joined array that belongs to each input. */
typedef void join_visit(pnng_planner *planner, pnng_value input, pnng_ref part);

static void each_joined(pnng_planner *planner, const pnng_op_node *op, pnng_ref whole,
                        join_visit *visit) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    int64_t dim = pnng_op_ints(program, op)[0];
    if (dim < 0)
        dim += pnng_value_shape(planner, in[0])->ndim;
    for (size_t k = 0; k < op->n_in; k++) {
        visit(planner, in[k], whole);
        whole.view.offset += pnng_value_shape(planner, in[k])->dim[dim] * whole.view.stride[dim];
    }
}

static void join_copy(pnng_planner *planner, pnng_value input, pnng_ref part) {
    pnng_emit_copy(planner, pnng_value_shape(planner, input), part, pnng_read(planner, input));
}

static void join_pass(pnng_planner *planner, pnng_value input, pnng_ref part) {
    pnng_pass_grad(planner, input, part, 1);
}

static void join_forward(pnng_planner *planner, const pnng_op_node *op) {
    each_joined(planner, op, pnng_define(planner, op->first_out), join_copy);
}

static void join_backward(pnng_planner *planner, const pnng_op_node *op) {
    each_joined(planner, op, pnng_grad(planner, op->first_out), join_pass);
}

const pnng_family pnng_family_join = {
    .name = "join", .infer = join_infer, .forward = join_forward, .backward = join_backward};
