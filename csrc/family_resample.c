/* Arrays of another size from elements of the old ones: padding, cropping, repeating, and linear
 * interpolation, along up to three dims. The dims before count planes. */
#include <inttypes.h>
#include <string.h>

#include "plan.h"

/* ints of pick: dims, kept, mode, and for each dim two numbers; of interpolate the same but for the
 * mode. `kept` dims come after those, as they are. */
enum { PER_DIM = 2, MOST_DIMS = PNNG_POOLED_DIMS };
enum { PAD, REFLECT, REPLICATE, REPEAT, PICKS };

/* What an op does along one dim: out = in + a + b, or out = a in + b. */
typedef struct along {
    int64_t in, out, mode, a, b;
} along;

static bool is_pick(const pnng_op_node *op) { return op->code == PNNG_OP_PICK; }

static along look_along(const pnng_op_node *op, const int64_t *ints, int64_t d, int64_t in) {
    const int64_t *const of = ints + (is_pick(op) ? 3 : 2) + PER_DIM * d;
    along seen = {.in = in, .mode = is_pick(op) ? ints[2] : REPEAT, .a = of[0], .b = of[1]};
    seen.out = seen.mode == REPEAT ? in * seen.a + seen.b : in + seen.a + seen.b;
    return seen;
}

/* Which element of x output o is; -1: none. */
static int64_t source_of(const along *s, int64_t o) {
    if (s->mode == REPEAT)
        return o / s->a;
    int64_t i = o - s->a;
    if (s->mode == REFLECT) {
        i = i < 0 ? -i : i;
        return i < s->in ? i : 2 * (s->in - 1) - i;
    }
    if (s->mode == REPLICATE)
        return i < 0 ? 0 : i < s->in ? i : s->in - 1;
    return i < s->in && i >= 0 ? i : -1;
}

static bool fits_along(const along *s) {
    if (s->out < 1 || s->in < 1)
        return false;
    return s->mode != REFLECT || (s->a < s->in && s->b < s->in);
}

static pnng_status resample_infer(const pnng_inference *inference) {
    const pnng_op_node *const op = inference->op;
    const int64_t *const ints = inference->ints;
    const pnng_shape *const in = inference->in[0];
    const uint32_t head = is_pick(op) ? 3 : 2;
    bool fits = op->n_ints >= head && ints[0] >= 1 && ints[0] <= MOST_DIMS && ints[1] >= 0 &&
                ints[0] + (ints[1] > 0) <= MOST_DIMS && op->n_ints == head + PER_DIM * ints[0] &&
                (!is_pick(op) || (ints[2] >= 0 && ints[2] < PICKS));
    for (int64_t k = head; fits && k < (int64_t)op->n_ints; k++)
        fits = ints[k] >= -INT32_MAX && ints[k] <= INT32_MAX;
    if (!fits)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE, "has numbers that make no sense");
    const int64_t first = in->ndim - ints[0] - ints[1];
    char text[PNNG_SHAPE_TEXT];
    inference->out[0] = *in;
    for (int64_t d = 0; d < ints[0]; d++) {
        const along seen = look_along(op, ints, d, first < 0 ? 0 : in->dim[first + d]);
        const bool repeats = seen.mode == REPEAT && is_pick(op);
        if (first < 0 || !fits_along(&seen) || (repeats && (seen.a < 1 || seen.b)))
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "cannot make anything of an input as small as %s",
                             pnng_shape_text(in, text));
        inference->out[0].dim[first + d] = seen.out;
    }
    return PNNG_OK;
}

/* Linear interpolation between the first and the last element, which stay. Places are floats, as
 * Torch7 has them. */
static void interpolate_along(const along *s, int64_t *first, int64_t *count, double *weight) {
    const float ratio = s->out > 1 ? (float)(s->in - 1) / (float)(s->out - 1) : 0;
    for (int64_t o = 0; o < s->out; o++) {
        const float at = ratio * (float)o;
        first[o] = (int64_t)at < s->in ? (int64_t)at : s->in - 1;
        count[o] = first[o] + 1 < s->in ? 2 : 1;
        weight[o] = (double)(at - (float)first[o]);
    }
}

/* Neighbours in the last dim that come from neighbours. */
static void find_run(pnng_windows *w) {
    const int64_t *const from = w->first[2];
    const size_t out = w->out[2];
    size_t start = 0;
    while (start < out && from[start] < 0)
        start++;
    for (size_t at = start; at < out; at++) {
        if (at > start && from[at] != from[at - 1] + 1)
            start = at;
        if (from[at] >= 0 && at + 1 - start > w->whole_to - w->whole_from) {
            w->whole_from = start;
            w->whole_to = at + 1;
        }
    }
}

static const pnng_windows *make_windows(pnng_planner *planner, const pnng_op_node *op,
                                        const pnng_shape *in) {
    const int64_t *const ints = pnng_op_ints(pnng_planner_program(planner), op);
    const int64_t n = ints[0], kept = ints[1];
    along seen[MOST_DIMS];
    size_t outs = 0;
    for (int64_t d = 0; d < MOST_DIMS; d++) {
        const int64_t own = d - (MOST_DIMS - n - (kept > 0));
        seen[d] = (along){.in = 1, .out = 1, .mode = PAD};
        if (own >= 0 && own < n)
            seen[d] = look_along(op, ints, own, in->dim[in->ndim - n - kept + own]);
        for (int64_t k = in->ndim - kept; own == n && k < in->ndim; k++)
            seen[d].in = seen[d].out *= in->dim[k];
        outs += (size_t)seen[d].out;
    }
    const size_t n_weights = is_pick(op) ? 0 : outs;
    pnng_windows *const w =
        pnng_keep(planner, sizeof *w + 2 * outs * sizeof(int64_t) + n_weights * sizeof(double));
    if (!w)
        return NULL;
    memset(w, 0, sizeof *w);
    int64_t *next = w->ints;
    double *weights = (double *)(void *)(w->ints + 2 * outs);
    for (size_t d = 0; d < MOST_DIMS; d++) {
        const size_t out = (size_t)seen[d].out;
        w->in[d] = (size_t)seen[d].in;
        w->out[d] = out;
        w->first[d] = next;
        w->count[d] = next + out;
        w->weight[d] = weights;
        if (is_pick(op)) {
            for (size_t o = 0; o < out; o++)
                next[o] = source_of(&seen[d], (int64_t)o);
        } else {
            interpolate_along(&seen[d], next, next + out, weights);
            weights += out;
        }
        next += 2 * out;
    }
    find_run(w);
    return w;
}

static size_t first_dim(const pnng_planner *planner, const pnng_op_node *op,
                        const pnng_shape *shape) {
    const int64_t *const ints = pnng_op_ints(pnng_planner_program(planner), op);
    return (size_t)(shape->ndim - ints[0] - ints[1]);
}

static pnng_step step_of(pnng_planner *planner, const pnng_op_node *op, pnng_direction direction) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const in = pnng_value_shape(planner, x);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.windows = make_windows(planner, op, in);
    prototype.rows = 1;
    for (size_t d = 0; d < first_dim(planner, op, in); d++)
        prototype.rows *= (size_t)in->dim[d];
    const size_t most = pnng_count(in) > pnng_count(out) ? pnng_count(in) : pnng_count(out);
    prototype.cols = prototype.rows ? most / prototype.rows : 0;
    return prototype;
}

static void resample_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const in = pnng_value_shape(planner, x);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    const size_t first = first_dim(planner, op, in);
    const pnng_step prototype = step_of(planner, op, PNNG_FORWARD);
    ptrdiff_t strides[2];
    const pnng_ref from = pnng_as_rows(planner, pnng_read(planner, x), in, first, &strides[1]);
    const pnng_ref to =
        pnng_as_rows(planner, pnng_define(planner, op->first_out), out, first, &strides[0]);
    const pnng_ref refs[] = {to, from};
    pnng_emit(planner, &prototype, refs, strides, 2, NULL, 0);
}

static void resample_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const in = pnng_value_shape(planner, x);
    const pnng_shape *const out = pnng_value_shape(planner, op->first_out);
    const size_t first = first_dim(planner, op, in);
    pnng_step prototype = step_of(planner, op, PNNG_BACKWARD);
    ptrdiff_t strides[2];
    const pnng_ref g =
        pnng_as_rows(planner, pnng_grad(planner, op->first_out), out, first, &strides[1]);
    const pnng_target target = pnng_grad_target(planner, x);
    const pnng_target written = pnng_target_as_rows(planner, target, in, first, &strides[0]);
    prototype.mask = target.mask;
    const pnng_ref refs[] = {{written.view, written.mask, false}, g};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, 2, &accumulate, 1);
    pnng_finish_target(planner, target, written, in);
}

const pnng_family pnng_family_resample = {.name = "resample",
                                          .infer = resample_infer,
                                          .forward = resample_forward,
                                          .backward = resample_backward};
