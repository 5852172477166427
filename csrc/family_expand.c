/* expand: an array repeated along new dims, or along dims of size 1. Its gradient is a sum. */
#include <inttypes.h>

#include "plan.h"

static pnng_status infer_replicate(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const int64_t size = inference->ints[1];
    const int64_t place =
        inference->ints[0] < 0 ? inference->ints[0] + in->ndim + 1 : inference->ints[0];
    char text[PNNG_SHAPE_TEXT];
    if (place < 0 || place > in->ndim || in->ndim == PNNG_MAX_DIMS)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "cannot insert a dim at %" PRId64 " into its input of shape %s",
                         inference->ints[0], pnng_shape_text(in, text));
    if (size < 0)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "cannot repeat its input %" PRId64 " times", size);
    pnng_shape *const out = &inference->out[0];
    out->ndim = in->ndim + 1;
    for (int64_t d = 0; d < out->ndim; d++)
        out->dim[d] = d == place ? size : in->dim[d - (d > place)];
    return PNNG_OK;
}

static pnng_status infer_expand(const pnng_inference *inference) {
    const pnng_shape *const in = inference->in[0];
    const pnng_shape *const like = inference->in[1];
    bool fits = in->ndim == like->ndim;
    for (int64_t d = 0; d < in->ndim && fits; d++)
        fits = in->dim[d] == 1 || in->dim[d] == like->dim[d];
    if (!fits) {
        char text[PNNG_SHAPE_TEXT], wanted[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE, "cannot repeat shape %s to get %s",
                         pnng_shape_text(in, text), pnng_shape_text(like, wanted));
    }
    inference->out[0] = *like;
    return PNNG_OK;
}

static pnng_status expand_infer(const pnng_inference *inference) {
    return inference->op->code == PNNG_OP_REPLICATE ? infer_replicate(inference)
                                                    : infer_expand(inference);
}

/* The input with as many dims as the output: `shape`, and where they lie. Only those of size 1
 * differ from the output's; along them the stride is 0. */
typedef struct source {
    pnng_value value;
    pnng_shape shape;
    pnng_view view;
} source;

static source look_at_source(const pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    source seen = {.value = *pnng_op_inputs(program, op)};
    const pnng_shape *const in = pnng_value_shape(planner, seen.value);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    const pnng_view from = pnng_read(planner, seen.value).view;
    int64_t place = out->ndim; /* of the new dim; none */
    if (op->code == PNNG_OP_REPLICATE) {
        place = pnng_op_ints(program, op)[0];
        place += place < 0 ? out->ndim : 0;
    }
    seen.shape.ndim = out->ndim;
    seen.view = from;
    for (int64_t d = 0; d < out->ndim; d++) {
        const int64_t old = d - (d > place);
        seen.shape.dim[d] = d == place ? 1 : in->dim[old];
        seen.view.stride[d] = seen.shape.dim[d] == 1 ? 0 : from.stride[old];
    }
    return seen;
}

/* Dims first ... last - 1 along which the input is repeated. */
typedef struct repeated {
    size_t rows, n, inner; /* elements before, in and after them, when those after are done */
} repeated;

/* The runs of repeated dims, outermost first; returns how many. */
static size_t find_runs(const pnng_shape *from, const pnng_shape *to,
                        repeated runs[PNNG_MAX_DIMS]) {
    size_t count = 0, rows = 1;
    for (int64_t d = 0; d < to->ndim; d++) {
        if (from->dim[d] == to->dim[d]) {
            rows *= (size_t)to->dim[d];
            continue;
        }
        repeated run = {.rows = rows, .n = 1, .inner = 1};
        for (; d < to->ndim && from->dim[d] == 1; d++)
            run.n *= (size_t)to->dim[d];
        for (int64_t inside = d--; inside < to->ndim; inside++)
            run.inner *= (size_t)to->dim[inside];
        runs[count++] = run;
    }
    return count;
}

static pnng_step step_of(pnng_kernel *kernel, repeated run) {
    return (pnng_step){.kernel = kernel,
                       .rows = run.rows,
                       .n = run.n,
                       .inner = run.inner,
                       .cols = run.n * run.inner,
                       .a = 1};
}

static pnng_ref elements(pnng_planner *planner, size_t count) {
    const pnng_shape shape = {.ndim = 1, .dim = {(int64_t)count}};
    return pnng_temporary(planner, &shape);
}

/* Innermost dims first, so that what is repeated is small for as long as it can be. */
static void expand_forward(pnng_planner *planner, const pnng_op_node *op) {
    const source from = look_at_source(planner, op);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    repeated runs[PNNG_MAX_DIMS];
    size_t count = find_runs(&from.shape, out, runs);
    if (count == 0) {
        pnng_define_view(planner, op->first_out, from.value, &from.view);
        return;
    }
    if (!pnng_count(out)) {
        pnng_define(planner, op->first_out);
        return;
    }
    const pnng_ref whole = pnng_read(planner, from.value);
    if (whole.is_index) {
        const pnng_ref strided = {from.view, PNNG_ALWAYS, true};
        pnng_emit_copy(planner, out, pnng_define(planner, op->first_out), strided);
        return;
    }
    pnng_ref x = pnng_as_contiguous(planner, whole, pnng_value_shape(planner, from.value));
    const uint8_t store = 0;
    while (count-- > 0) {
        const pnng_step prototype =
            step_of(pnng_planner_kernels(planner)->op[PNNG_OP_REDUCE_SUM].backward, runs[count]);
        const pnng_ref y = count == 0 ? pnng_define(planner, op->first_out)
                                      : elements(planner, prototype.rows * prototype.cols);
        const pnng_ref refs[] = {y, x};
        pnng_emit(planner, &prototype, refs, NULL, 2, &store, 1);
        x = y;
    }
}

/* Sums along the same dims, outermost first. */
static void expand_backward(pnng_planner *planner, const pnng_op_node *op) {
    const source from = look_at_source(planner, op);
    const pnng_shape *const in = pnng_value_shape(planner, from.value);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    repeated runs[PNNG_MAX_DIMS];
    const size_t count = find_runs(&from.shape, out, runs);
    pnng_ref g = pnng_as_contiguous(planner, pnng_grad(planner, op->first_out), out);
    const pnng_target target = pnng_scaled_target(planner, from.value);
    ptrdiff_t whole;
    const pnng_target written = pnng_target_as_rows(planner, target, in, 0, &whole);
    for (size_t k = 0; k < count; k++) {
        const bool last = k + 1 == count;
        pnng_step prototype =
            step_of(pnng_planner_kernels(planner)->op[PNNG_OP_REDUCE_SUM].forward, runs[k]);
        pnng_ref sum = {written.view, written.mask, false};
        if (last) {
            prototype.mask = written.mask;
            prototype.scaled = written.scaled;
        } else {
            sum = elements(planner, prototype.rows * prototype.inner);
        }
        const pnng_ref refs[] = {sum, g};
        const uint8_t accumulate = last && written.accumulate;
        pnng_emit(planner, &prototype, refs, NULL, 2, &accumulate, 1);
        g = sum;
    }
    pnng_finish_target(planner, target, written, in);
}

const pnng_family pnng_family_expand = {.name = "expand",
                                        .infer = expand_infer,
                                        .forward = expand_forward,
                                        .backward = expand_backward,
                                        .no_grad_inputs = 2,
                                        .any_kind = true,
                                        .keeps_kind = true};
