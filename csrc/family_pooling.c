/* Pooling: windows over the last dims of an array. The dims before count its planes, which are
 * pooled each by itself. */
#include <inttypes.h>
#include <string.h>

#include "plan.h"

/* ints: dims, rounding, divisor, and for each dim window, stride, padding, dilation. */
enum { FIRST_DIM = 3, PER_DIM = 4, MAX_POOLED = PNNG_POOLED_DIMS };
enum { ROUND_DOWN, ROUND_UP, ADAPTIVE };         /* ADAPTIVE: `window` is the size of the output */
enum { BY_ONE, BY_WHOLE_WINDOW, BY_WHAT_IS_IN }; /* what a sum is divided by */

/* Windows along one dim. */
typedef struct along {
    int64_t in, out, rounding, divisor, window, stride, padding, dilation;
} along;

static along look_along(const int64_t *ints, int64_t d, int64_t in) {
    const int64_t *const of = ints + FIRST_DIM + PER_DIM * d;
    along seen = {.in = in,
                  .rounding = ints[1],
                  .divisor = ints[2],
                  .window = of[0],
                  .stride = of[1],
                  .padding = of[2],
                  .dilation = of[3]};
    if (seen.rounding == ADAPTIVE) {
        seen.out = in ? seen.window : 0;
        return seen;
    }
    /* Rounded up, a single window may reach over the end, by less than a stride. */
    const int64_t room = in + 2 * seen.padding - seen.dilation * (seen.window - 1) - 1 +
                         (seen.rounding == ROUND_UP ? seen.stride - 1 : 0);
    if (room < 0)
        return seen;
    seen.out = room / seen.stride + 1;
    /* The last one begins in the array, or in the padding before it. */
    if ((seen.out - 1) * seen.stride >= in + seen.padding)
        seen.out--;
    return seen;
}

/* The part of a window that is in the array. */
typedef struct part {
    int64_t first, count, share;
} part;

static int64_t divide_up(int64_t x, int64_t by) { return (x + by - 1) / by; }

static part part_of(const along *a, int64_t o) {
    part p;
    if (a->rounding == ADAPTIVE) {
        p.first = o * a->in / a->out;
        p.count = p.share = divide_up((o + 1) * a->in, a->out) - p.first;
        return p;
    }
    const int64_t start = o * a->stride - a->padding;
    const int64_t before = start < 0 ? divide_up(-start, a->dilation) : 0;
    const int64_t after = divide_up(a->in - start, a->dilation);
    const int64_t padded = divide_up(a->in + a->padding - start, a->dilation);
    p.first = start + before * a->dilation;
    p.count = (after < a->window ? after : a->window) - before;
    p.share = a->divisor == BY_WHOLE_WINDOW ? (padded < a->window ? padded : a->window) : p.count;
    return p;
}

static pnng_status refuse(const pnng_inference *inference, const char *what) {
    const int64_t n = inference->ints[0];
    char windows[PNNG_SHAPE_TEXT], text[PNNG_SHAPE_TEXT];
    pnng_shape shape = {.ndim = n};
    for (int64_t d = 0; d < n; d++)
        shape.dim[d] = inference->ints[FIRST_DIM + PER_DIM * d];
    return pnng_fail(inference->message, PNNG_ERROR_SHAPE, "has windows of %s, %s of shape %s",
                     pnng_shape_text(&shape, windows), what,
                     pnng_shape_text(inference->in[0], text));
}

static pnng_status check_ints(const pnng_inference *inference) {
    const int64_t *const ints = inference->ints;
    const uint32_t n_ints = inference->op->n_ints;
    bool fits = n_ints > FIRST_DIM && ints[0] >= 1 && ints[0] <= MAX_POOLED &&
                n_ints == FIRST_DIM + PER_DIM * ints[0] && ints[1] >= 0 && ints[1] <= ADAPTIVE &&
                ints[2] >= 0 && ints[2] <= BY_WHAT_IS_IN;
    for (int64_t d = 0; fits && d < ints[0]; d++) {
        const int64_t *const of = ints + FIRST_DIM + PER_DIM * d;
        for (size_t k = 0; k < PER_DIM; k++)
            fits = fits && of[k] >= (k == 2 ? 0 : 1) && of[k] <= INT32_MAX;
        fits = fits && of[2] <= of[0] / 2;
    }
    if (!fits)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "needs windows, strides and dilations of at least 1, and padding of at "
                         "most half a window");
    return PNNG_OK;
}

/* Sizes of what comes of pooling an array of shape `in`. */
static pnng_status infer_pooled(const pnng_inference *inference, const pnng_shape *in,
                                pnng_shape *out) {
    pnng_status status = check_ints(inference);
    if (status)
        return status;
    const int64_t n = inference->ints[0];
    if (in->ndim < n)
        return refuse(inference, "too many dims for an array");
    *out = *in;
    for (int64_t d = 0; d < n; d++) {
        const along a = look_along(inference->ints, d, in->dim[in->ndim - n + d]);
        if (a.out < 1)
            return refuse(inference, "too large for an array");
        for (int64_t o = 0; o < a.out; o++)
            if (part_of(&a, o).count < 1)
                return refuse(inference, "some of which hold nothing but padding, for an array");
        out->dim[in->ndim - n + d] = a.out;
    }
    return PNNG_OK;
}

/* The place of each element of a window from its first one on. */
static void fill_places(pnng_windows *w, int64_t *place, size_t codes) {
    for (size_t code = 0; code < codes; code++) {
        const size_t i2 = code % w->size[2], i1 = code / w->size[2] % w->size[1],
                     i0 = code / w->size[2] / w->size[1];
        place[code] = (int64_t)((i0 * w->dilation[0] * w->in[1] + i1 * w->dilation[1]) * w->in[2] +
                                i2 * w->dilation[2]);
    }
    w->place = place;
    w->codes = codes;
}

/* What kernels are told of the windows of an op over an array of shape `in`; NULL when memory ran
 * out. */
static const pnng_windows *make_windows(pnng_planner *planner, const pnng_op_node *op,
                                        const pnng_shape *in) {
    const int64_t *const ints = pnng_op_ints(pnng_planner_program(planner), op);
    const int64_t n = ints[0];
    along seen[MAX_POOLED];
    size_t outs = 0, codes = 1, sizes[MAX_POOLED];
    for (int64_t d = 0; d < MAX_POOLED; d++) {
        const int64_t own = d - (MAX_POOLED - n);
        static const int64_t single[FIRST_DIM + PER_DIM] = {1, 0, 0, 1, 1, 0, 1};
        seen[d] =
            own < 0 ? look_along(single, 0, 1) : look_along(ints, own, in->dim[in->ndim - n + own]);
        sizes[d] = 1;
        for (int64_t o = 0; o < seen[d].out; o++) {
            const size_t count = (size_t)part_of(&seen[d], o).count;
            sizes[d] = count > sizes[d] ? count : sizes[d];
        }
        outs += (size_t)seen[d].out;
        codes *= sizes[d];
    }
    const size_t n_int = 3 * outs + codes;
    pnng_windows *const w = pnng_keep(planner, sizeof *w + n_int * sizeof(int64_t));
    if (!w)
        return NULL;
    int64_t *next = w->ints;
    memset(w, 0, sizeof *w);
    for (size_t d = 0; d < MAX_POOLED; d++) {
        const size_t out = (size_t)seen[d].out;
        w->in[d] = (size_t)seen[d].in;
        w->out[d] = out;
        w->size[d] = sizes[d];
        w->dilation[d] = (size_t)seen[d].dilation;
        int64_t *const first = next, *const count = next + out, *const share = next + 2 * out;
        for (size_t o = 0; o < out; o++) {
            const part p = part_of(&seen[d], (int64_t)o);
            first[o] = p.first;
            count[o] = p.count;
            share[o] = ints[2] == BY_ONE ? 1 : p.share;
        }
        w->first[d] = first;
        w->count[d] = count;
        w->share[d] = share;
        next += 3 * out;
    }
    fill_places(w, next, codes);
    /* Neighbours in the last dim that are whole and evenly apart are done by vectors. */
    const size_t out = w->out[2];
    if (out == 1)
        return w;
    /* The first ones may begin late, in place of padding. */
    const size_t step = (size_t)(w->first[2][out - 1] - w->first[2][out - 2]);
    if (step != 1 && (step != 2 || w->size[2] < 2 || w->dilation[2] != 1))
        return w;
    size_t from = 0, to;
    while (from < out && (size_t)w->count[2][from] < w->size[2])
        from++;
    for (to = from; to < out && (size_t)w->count[2][to] == w->size[2]; to++)
        if (to > from && (size_t)(w->first[2][to] - w->first[2][to - 1]) != step)
            break;
    w->step = step;
    w->whole_from = from;
    w->whole_to = to;
    return w;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The first of the dims that are pooled. */
static size_t first_pooled(const pnng_planner *planner, const pnng_op_node *op,
                           const pnng_shape *shape) {
    return (size_t)(shape->ndim - pnng_op_ints(pnng_planner_program(planner), op)[0]);
}

static pnng_ref planes(pnng_planner *planner, const pnng_op_node *op, pnng_ref ref,
                       const pnng_shape *shape, ptrdiff_t *stride) {
    return pnng_as_rows(planner, ref, shape, first_pooled(planner, op, shape), stride);
}

/* A step over the planes of `many`, the array with windows. */
static pnng_step step_of(pnng_planner *planner, const pnng_op_node *op, pnng_direction direction,
                         const pnng_shape *many) {
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.windows = make_windows(planner, op, many);
    prototype.rows = prototype.cols = 1;
    for (size_t d = 0; d < (size_t)many->ndim; d++)
        *(d < first_pooled(planner, op, many) ? &prototype.rows : &prototype.cols) *=
            (size_t)many->dim[d];
    return prototype;
}

/* dx from g, and the places of the greatest where there are such */
static void emit_pool_backward(pnng_planner *planner, const pnng_op_node *op, pnng_step prototype,
                               pnng_value which) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_shape *const y = pnng_value_shape(planner, op->first_out);
    ptrdiff_t strides[3];
    pnng_ref refs[3];
    refs[1] = planes(planner, op, pnng_grad(planner, op->first_out), y, &strides[1]);
    if (which >= 0)
        refs[2] = planes(planner, op, pnng_read(planner, which), pnng_value_shape(planner, which),
                         &strides[2]);
    const pnng_target target = pnng_grad_target(planner, x);
    const pnng_target written =
        pnng_target_as_rows(planner, target, shape, first_pooled(planner, op, shape), &strides[0]);
    prototype.mask = target.mask;
    refs[0] = (pnng_ref){written.view, written.mask, false};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, strides, which >= 0 ? 3 : 2, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

/* y, and the places of the greatest where it gives them, from x */
static void emit_pool(pnng_planner *planner, const pnng_op_node *op, pnng_step prototype) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    ptrdiff_t strides[3];
    pnng_ref refs[3];
    refs[op->n_out] = planes(planner, op, pnng_read(planner, x), shape, &strides[op->n_out]);
    for (size_t k = 0; k < op->n_out; k++) {
        const pnng_value y = op->first_out + (pnng_value)k;
        refs[k] =
            planes(planner, op, pnng_define(planner, y), pnng_value_shape(planner, y), &strides[k]);
    }
    pnng_emit(planner, &prototype, refs, strides, op->n_out + 1, NULL, 0);
}

static void pool_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    emit_pool(planner, op, step_of(planner, op, PNNG_FORWARD, pnng_value_shape(planner, x)));
}

/* ---- maxima ---------------------------------------------------------------------------------- */

static pnng_status max_pool_infer(const pnng_inference *inference) {
    const pnng_status status = infer_pooled(inference, inference->in[0], &inference->out[0]);
    inference->out[1] = inference->out[0];
    return status;
}

static void max_pool_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    emit_pool_backward(planner, op,
                       step_of(planner, op, PNNG_BACKWARD, pnng_value_shape(planner, x)),
                       op->first_out + 1);
}

const pnng_family pnng_family_max_pool = {.name = "max_pool",
                                          .infer = max_pool_infer,
                                          .forward = pool_forward,
                                          .backward = max_pool_backward,
                                          .no_grad_outputs = 2};

/* ---- and back: x, places, and an array of the size that was pooled --------------------------- */

static pnng_status max_unpool_infer(const pnng_inference *inference) {
    pnng_shape pooled;
    const pnng_status status = infer_pooled(inference, inference->in[2], &pooled);
    if (status)
        return status;
    char text[PNNG_SHAPE_TEXT], wanted[PNNG_SHAPE_TEXT];
    for (size_t k = 0; k < 2; k++)
        if (!pnng_same_shape(inference->in[k], &pooled))
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "expects what its pooling gave, of shape %s, got %s",
                             pnng_shape_text(&pooled, wanted),
                             pnng_shape_text(inference->in[k], text));
    inference->out[0] = *inference->in[2];
    return PNNG_OK;
}

static void max_unpool_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, op->first_out);
    const pnng_step prototype = step_of(planner, op, PNNG_FORWARD, shape);
    ptrdiff_t strides[3];
    pnng_ref refs[3];
    for (size_t k = 0; k < 2; k++)
        refs[k + 1] = planes(planner, op, pnng_read(planner, in[k]),
                             pnng_value_shape(planner, in[k]), &strides[k + 1]);
    refs[0] = planes(planner, op, pnng_define(planner, op->first_out), shape, &strides[0]);
    pnng_emit(planner, &prototype, refs, strides, 3, NULL, 0);
}

static void max_unpool_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    emit_pool_backward(
        planner, op, step_of(planner, op, PNNG_BACKWARD, pnng_value_shape(planner, op->first_out)),
        in[1]);
}

const pnng_family pnng_family_max_unpool = {.name = "max_unpool",
                                            .infer = max_unpool_infer,
                                            .forward = max_unpool_forward,
                                            .backward = max_unpool_backward,
                                            .no_grad_inputs = 6};

/* ---- averages -------------------------------------------------------------------------------- */

static pnng_status average_pool_infer(const pnng_inference *inference) {
    return infer_pooled(inference, inference->in[0], &inference->out[0]);
}

static void average_pool_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    emit_pool_backward(planner, op,
                       step_of(planner, op, PNNG_BACKWARD, pnng_value_shape(planner, x)), -1);
}

const pnng_family pnng_family_average_pool = {.name = "average_pool",
                                              .infer = average_pool_infer,
                                              .forward = pool_forward,
                                              .backward = average_pool_backward};

/* ---- windows at random places ---------------------------------------------------------------- */

/* ints: dims, seed (0: the run's), and for each dim window and size of the output. Each plane draws
 * where its windows begin: from the first element to the last, in steps that are the same but for
 * rounding. */
static pnng_status fractional_pool_infer(const pnng_inference *inference) {
    const int64_t *const ints = inference->ints;
    const pnng_shape *const in = inference->in[0];
    const uint32_t n_ints = inference->op->n_ints;
    const bool fits = n_ints > 2 && ints[0] >= 1 && ints[0] <= MAX_POOLED &&
                      n_ints == 2 + 2 * ints[0] && in->ndim >= ints[0];
    inference->out[0] = *in;
    for (int64_t d = 0; fits && d < ints[0]; d++) {
        const int64_t window = ints[2 + 2 * d], out = ints[3 + 2 * d];
        int64_t *const size = &inference->out[0].dim[in->ndim - ints[0] + d];
        if (window < 1 || out < 1 || out > *size - window + 1) {
            char text[PNNG_SHAPE_TEXT];
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "cannot put %" PRId64 " different windows of %" PRId64
                             " along dim %" PRId64 " of an input of shape %s",
                             out, window, in->ndim - ints[0] + d, pnng_shape_text(in, text));
        }
        *size = out;
    }
    if (!fits)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE, "has too many dims, or too few");
    inference->out[1] = inference->out[0];
    return PNNG_OK;
}

static pnng_step fractional_step(pnng_planner *planner, const pnng_op_node *op,
                                 pnng_direction direction) {
    const pnng_program *const program = pnng_planner_program(planner);
    const int64_t *const ints = pnng_op_ints(program, op);
    const pnng_shape *const shape = pnng_value_shape(planner, *pnng_op_inputs(program, op));
    pnng_step prototype = pnng_prototype(planner, op, direction);
    prototype.j = ints[1];
    prototype.rows = prototype.cols = 1;
    size_t codes = 1;
    for (int64_t d = 0; d < shape->ndim; d++)
        *(d < shape->ndim - ints[0] ? &prototype.rows : &prototype.cols) *= (size_t)shape->dim[d];
    for (int64_t d = 0; d < ints[0]; d++)
        codes *= (size_t)ints[2 + 2 * d];
    pnng_windows *const w = pnng_keep(planner, sizeof *w + codes * sizeof(int64_t));
    prototype.windows = w;
    if (!w)
        return prototype;
    memset(w, 0, sizeof *w);
    for (int64_t d = 0; d < MAX_POOLED; d++) {
        const int64_t own = d - (MAX_POOLED - ints[0]);
        w->size[d] = own < 0 ? 1 : (size_t)ints[2 + 2 * own];
        w->out[d] = own < 0 ? 1 : (size_t)ints[3 + 2 * own];
        w->in[d] = own < 0 ? 1 : (size_t)shape->dim[shape->ndim - ints[0] + own];
        w->dilation[d] = 1;
    }
    fill_places(w, w->ints, codes);
    return prototype;
}

static void fractional_pool_forward(pnng_planner *planner, const pnng_op_node *op) {
    emit_pool(planner, op, fractional_step(planner, op, PNNG_FORWARD));
}

static void fractional_pool_backward(pnng_planner *planner, const pnng_op_node *op) {
    emit_pool_backward(planner, op, fractional_step(planner, op, PNNG_BACKWARD), op->first_out + 1);
}

const pnng_family pnng_family_fractional_pool = {.name = "fractional_pool",
                                                 .infer = fractional_pool_infer,
                                                 .forward = fractional_pool_forward,
                                                 .draws = true,
                                                 .backward = fractional_pool_backward,
                                                 .no_grad_outputs = 2};
