/* convolution, full_convolution: windows over planes of one to three dims; frames: windows over
 * rows of features */
#include <inttypes.h>

#include "plan.h"

static const pnng_ref nothing = {.view = {.storage = -1}, .mask = PNNG_ALWAYS};

/* Places in an op's ints. */
enum { STRIDES = 0, PADDINGS = 3, DILATIONS = 6, GROUPS = 9, EXTRAS = 10 };

/* ---- sizes ----------------------------------------------------------------------------------- */

static pnng_status check_ints(const pnng_inference *inference, bool is_full) {
    enum { MOST = INT32_MAX }; /* products of two of them are still numbers */
    const int64_t *const ints = inference->ints;
    const size_t count = is_full ? EXTRAS + PNNG_SPACE : EXTRAS;
    for (size_t k = 0; k < count; k++) {
        const bool may_be_0 = (k >= PADDINGS && k < DILATIONS) || k >= EXTRAS;
        if (ints[k] < !may_be_0 || ints[k] > MOST)
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "expects strides, dilations and groups of at least 1, paddings of at "
                             "least 0, got %" PRId64,
                             ints[k]);
    }
    return PNNG_OK;
}

static pnng_status check_weight(const pnng_inference *inference, int64_t space) {
    const pnng_shape *const weight = inference->in[1];
    char text[PNNG_SHAPE_TEXT];
    bool is_empty = weight->ndim < 3;
    for (int64_t d = 0; d < weight->ndim; d++)
        is_empty |= weight->dim[d] < 1 || (d >= 2 && weight->dim[d] > INT32_MAX);
    if (space < 1 || space > PNNG_SPACE || is_empty || weight->dim[0] % inference->ints[GROUPS])
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a weight (planes, planes, 1 to 3 sizes) in %" PRId64
                         " groups, got shape %s",
                         inference->ints[GROUPS], pnng_shape_text(weight, text));
    return PNNG_OK;
}

/* One size of y from that of x, or the other way round: what the ints make of it; 0 where there is
 * none. `d` counts from the end. */
static int64_t size_after(const pnng_inference *inference, int64_t size, int64_t d, bool is_full) {
    const int64_t *const ints = inference->ints;
    const pnng_shape *const weight = inference->in[1];
    const int64_t at = PNNG_SPACE - 1 - d, kernel = weight->dim[weight->ndim - 1 - d];
    const int64_t reach = (kernel - 1) * ints[DILATIONS + at], stride = ints[STRIDES + at];
    if (size > INT32_MAX || reach > INT32_MAX)
        return 0;
    if (is_full)
        return size < 1
                   ? 0
                   : (size - 1) * stride - 2 * ints[PADDINGS + at] + reach + 1 + ints[EXTRAS + at];
    const int64_t beyond = size + 2 * ints[PADDINGS + at] - reach - 1;
    return size < 1 || beyond < 0 ? 0 : beyond / stride + 1;
}

/* What is padded is in memory only a box of a few planes at a time, but may be all of them. */
static pnng_status check_padded(const pnng_inference *inference, const pnng_shape *big) {
    const uint64_t most = UINT64_C(1) << 45;
    const pnng_shape *const weight = inference->in[1];
    uint64_t count = (uint64_t)weight->dim[1] * (uint64_t)inference->ints[GROUPS];
    for (int64_t d = 0; d < weight->ndim - 2; d++) {
        const int64_t padding = inference->ints[PADDINGS + PNNG_SPACE - 1 - d];
        count = pnng_times(count, (uint64_t)(big->dim[big->ndim - 1 - d] + 2 * padding));
    }
    return count <= most ? PNNG_OK
                         : pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                                     "has padding so large that its planes cannot be addressed");
}

static pnng_status infer_any(const pnng_inference *inference, bool is_full) {
    const pnng_shape *const x = inference->in[0];
    const pnng_shape *const weight = inference->in[1];
    const int64_t space = weight->ndim - 2, groups = inference->ints[GROUPS];
    char text[PNNG_SHAPE_TEXT];
    pnng_status status = check_ints(inference, is_full);
    if (!status)
        status = check_weight(inference, space);
    if (status)
        return status;
    if (x->ndim != space + 1 && x->ndim != space + 2)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects an input of %" PRId64 " dims (planes and sizes), or one more for "
                         "a batch, got shape %s",
                         space + 1, pnng_shape_text(x, text));
    const int64_t planes = x->dim[x->ndim - 1 - space];
    const int64_t ins = is_full ? weight->dim[0] : weight->dim[1] * groups;
    const int64_t outs = is_full ? weight->dim[1] * groups : weight->dim[0];
    if (planes != ins)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects %" PRId64 " planes, got %" PRId64 ": its input has shape %s", ins,
                         planes, pnng_shape_text(x, text));
    if (inference->op->n_in == 3 &&
        (inference->in[2]->ndim != 1 || inference->in[2]->dim[0] != outs))
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a bias of %" PRId64 " elements, got shape %s", outs,
                         pnng_shape_text(inference->in[2], text));
    inference->out[0] = *x;
    inference->out[0].dim[x->ndim - 1 - space] = outs;
    for (int64_t d = 0; d < space; d++) {
        const int64_t size = size_after(inference, x->dim[x->ndim - 1 - d], d, is_full);
        if (size < 1)
            return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                             "has no output for an input of shape %s: it is too small for the "
                             "kernel",
                             pnng_shape_text(x, text));
        inference->out[0].dim[x->ndim - 1 - d] = size;
    }
    return check_padded(inference, is_full ? &inference->out[0] : x);
}

static pnng_status convolution_infer(const pnng_inference *inference) {
    return infer_any(inference, false);
}

static pnng_status full_convolution_infer(const pnng_inference *inference) {
    return infer_any(inference, true);
}

/* Each element of the side without windows is multiplied with a window's worth of the weight. */
static uint64_t window_multiply_adds(const pnng_shape *weight, const pnng_shape *side) {
    uint64_t window = (uint64_t)weight->dim[1];
    for (int64_t d = 2; d < weight->ndim; d++)
        window = pnng_times(window, (uint64_t)weight->dim[d]);
    return pnng_times(pnng_count(side), window);
}

static uint64_t convolution_multiply_adds(const pnng_op_node *op, const pnng_shape *const *in,
                                          const pnng_shape *out) {
    (void)op;
    return window_multiply_adds(in[1], &out[0]);
}

static uint64_t full_convolution_multiply_adds(const pnng_op_node *op, const pnng_shape *const *in,
                                               const pnng_shape *out) {
    (void)op;
    (void)out;
    return window_multiply_adds(in[1], in[0]);
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* y = or += the sums of x (rows, n, inner) over n, `count` times. */
static void emit_sums(pnng_planner *planner, pnng_target y, pnng_ref x, size_t rows, size_t n,
                      size_t inner, size_t count, const ptrdiff_t by[2]) {
    const pnng_step prototype = {.kernel =
                                     pnng_planner_kernels(planner)->op[PNNG_OP_REDUCE_SUM].forward,
                                 .rows = rows,
                                 .n = n,
                                 .inner = inner,
                                 .cols = n * inner,
                                 .a = 1,
                                 .mask = y.mask,
                                 .scaled = y.scaled};
    const pnng_ref refs[] = {{y.view, y.mask, false}, x};
    const ptrdiff_t strides[] = {(ptrdiff_t)inner, (ptrdiff_t)(n * inner)};
    const uint8_t accumulate = y.accumulate;
    if (count == 1)
        pnng_emit(planner, &prototype, refs, strides, 2, &accumulate, 1);
    else
        pnng_emit_repeated(planner, &prototype, refs, strides, 2, &accumulate, 1, count, by);
}

/* db = sums of g (batch, planes, places), `sample` elements from one sample to the next */
static void emit_bias_gradient(pnng_planner *planner, pnng_value bias, pnng_ref g, size_t batch,
                               size_t planes, size_t places, ptrdiff_t sample) {
    const pnng_shape *const shape = pnng_value_shape(planner, bias);
    const pnng_target target = pnng_scaled_target(planner, bias);
    ptrdiff_t whole;
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
    const ptrdiff_t by[] = {(ptrdiff_t)planes, sample};
    if (batch == 1) {
        emit_sums(planner, written, g, planes, places, 1, 1, by);
    } else {
        const pnng_shape of_samples = {2, {(int64_t)batch, (int64_t)planes}};
        const pnng_ref sums = pnng_temporary(planner, &of_samples);
        emit_sums(planner, (pnng_target){.view = sums.view, .mask = written.mask}, g, planes,
                  places, 1, batch, by);
        emit_sums(planner, written, sums, 1, batch, planes, 1, by);
    }
    pnng_finish_target(planner, target, written, shape);
}

/* Zeros where products are to be added. */
static pnng_target emit_zeros(pnng_planner *planner, pnng_target target, const pnng_shape *shape) {
    if (target.accumulate)
        return target;
    const pnng_step prototype = {.kernel = pnng_planner_kernels(planner)->common.fill,
                                 .mask = target.mask};
    const pnng_ref ref = {target.view, target.mask, false};
    pnng_emit_elementwise(planner, &prototype, shape, &ref, 1, NULL, 0);
    target.accumulate = true;
    return target;
}

/* ---- convolutions of planes ------------------------------------------------------------------ */

/* What both directions need to know of one op. `big` is the side that windows slide over, `small`
 * has an element for each of them: a full convolution's input is its small side. */
typedef struct windowed {
    pnng_value input, weight, bias, output; /* bias: -1 for none */
    bool is_full, has_batch;
    pnng_convolution c; /* but for the strides of samples */
} windowed;

static void space_of(const pnng_shape *shape, int64_t space, size_t sizes[PNNG_SPACE]) {
    for (int64_t d = 0; d < PNNG_SPACE; d++)
        sizes[PNNG_SPACE - 1 - d] = d < space ? (size_t)shape->dim[shape->ndim - 1 - d] : 1;
}

static windowed describe(const pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    const int64_t *const ints = pnng_op_ints(program, op);
    windowed w = {.input = in[0],
                  .weight = in[1],
                  .bias = op->n_in == 3 ? in[2] : -1,
                  .output = op->first_out,
                  .is_full = op->code == PNNG_OP_FULL_CONVOLUTION};
    const pnng_shape *const input = pnng_value_shape(planner, w.input);
    const pnng_shape *const output = pnng_value_shape(planner, w.output);
    const pnng_shape *const weight = pnng_value_shape(planner, w.weight);
    const int64_t space = weight->ndim - 2;
    pnng_convolution *const c = &w.c;
    w.has_batch = input->ndim == space + 2;
    c->element = pnng_planner_element(planner);
    c->batch = w.has_batch ? (size_t)input->dim[0] : 1;
    c->groups = (size_t)ints[GROUPS];
    c->ins = (size_t)weight->dim[1];
    c->outs = (size_t)weight->dim[0] / c->groups;
    space_of(w.is_full ? output : input, space, c->x);
    space_of(w.is_full ? input : output, space, c->y);
    space_of(weight, space, c->kernel);
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        c->stride[d] = (size_t)ints[STRIDES + d];
        c->padding[d] = (ptrdiff_t)ints[PADDINGS + d];
        c->dilation[d] = (size_t)ints[DILATIONS + d];
    }
    return w;
}

/* Where samples are: each contiguous, anywhere. */
static pnng_ref read_samples(pnng_planner *planner, const windowed *w, pnng_ref ref,
                             const pnng_shape *shape, ptrdiff_t *sample) {
    return pnng_as_rows(planner, ref, shape, w->has_batch, sample);
}

static pnng_ref read_weight(pnng_planner *planner, const windowed *w) {
    return pnng_as_contiguous(planner, pnng_read(planner, w->weight),
                              pnng_value_shape(planner, w->weight));
}

/* Make the side that is output forward, and the gradient of the input, of the other one. */
static void emit_side(pnng_planner *planner, const windowed *w, bool makes_big, pnng_ref from,
                      ptrdiff_t from_sample, pnng_ref to, ptrdiff_t to_sample, pnng_ref bias,
                      const pnng_target *target) {
    pnng_convolution c = w->c;
    c.kind = makes_big ? PNNG_CONVOLVE_X : PNNG_CONVOLVE_Y;
    c.x_sample = makes_big ? to_sample : from_sample;
    c.y_sample = makes_big ? from_sample : to_sample;
    const pnng_ref operands[] = {makes_big ? to : from, makes_big ? from : to,
                                 read_weight(planner, w), bias};
    pnng_emit_convolution(planner, &c, operands, target);
}

static void windows_forward(pnng_planner *planner, const pnng_op_node *op) {
    const windowed w = describe(planner, op);
    const pnng_shape *const input = pnng_value_shape(planner, w.input);
    const pnng_shape *const output = pnng_value_shape(planner, w.output);
    ptrdiff_t from_sample;
    const pnng_ref from =
        read_samples(planner, &w, pnng_read(planner, w.input), input, &from_sample);
    const pnng_ref bias = w.bias < 0 ? nothing
                                     : pnng_as_contiguous(planner, pnng_read(planner, w.bias),
                                                          pnng_value_shape(planner, w.bias));
    const pnng_ref to = pnng_define(planner, w.output);
    const ptrdiff_t to_sample = w.c.batch ? (ptrdiff_t)(pnng_count(output) / w.c.batch) : 0;
    emit_side(planner, &w, w.is_full, from, from_sample, to, to_sample, bias, NULL);
}

static void emit_weight_gradient(pnng_planner *planner, const windowed *w, pnng_ref g,
                                 ptrdiff_t g_sample) {
    const pnng_shape *const shape = pnng_value_shape(planner, w->weight);
    const pnng_target target = pnng_scaled_target(planner, w->weight);
    ptrdiff_t sample, whole;
    const pnng_ref input = read_samples(planner, w, pnng_read(planner, w->input),
                                        pnng_value_shape(planner, w->input), &sample);
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
    pnng_convolution c = w->c;
    c.kind = PNNG_CONVOLVE_WEIGHT;
    c.x_sample = w->is_full ? g_sample : sample;
    c.y_sample = w->is_full ? sample : g_sample;
    const pnng_ref operands[] = {w->is_full ? g : input,
                                 w->is_full ? input : g,
                                 {written.view, written.mask, false},
                                 nothing};
    pnng_emit_convolution(planner, &c, operands, &written);
    pnng_finish_target(planner, target, written, shape);
}

static void windows_backward(pnng_planner *planner, const pnng_op_node *op) {
    const windowed w = describe(planner, op);
    const pnng_shape *const output = pnng_value_shape(planner, w.output);
    ptrdiff_t g_sample, sample;
    const pnng_ref g = read_samples(planner, &w, pnng_grad(planner, w.output), output, &g_sample);
    if (pnng_wants_grad(planner, w.input)) {
        const pnng_shape *const input = pnng_value_shape(planner, w.input);
        const pnng_target target = pnng_grad_target(planner, w.input);
        const pnng_target written =
            pnng_target_as_rows(planner, target, input, w.has_batch, &sample);
        emit_side(planner, &w, !w.is_full, g, g_sample,
                  (pnng_ref){written.view, written.mask, false}, sample, nothing, &written);
        pnng_finish_target(planner, target, written, input);
    }
    if (pnng_wants_grad(planner, w.weight))
        emit_weight_gradient(planner, &w, g, g_sample);
    if (w.bias >= 0 && pnng_wants_grad(planner, w.bias)) {
        const size_t planes = (size_t)output->dim[w.has_batch];
        const size_t places =
            w.is_full ? w.c.x[0] * w.c.x[1] * w.c.x[2] : w.c.y[0] * w.c.y[1] * w.c.y[2];
        emit_bias_gradient(planner, w.bias, g, w.c.batch, planes, places, g_sample);
    }
}

const pnng_family pnng_family_convolution = {.name = "convolution",
                                             .infer = convolution_infer,
                                             .forward = windows_forward,
                                             .backward = windows_backward,
                                             .multiply_adds = convolution_multiply_adds};

const pnng_family pnng_family_full_convolution = {.name = "full_convolution",
                                                  .infer = full_convolution_infer,
                                                  .forward = windows_forward,
                                                  .backward = windows_backward,
                                                  .multiply_adds = full_convolution_multiply_adds};

/* ---- frames ---------------------------------------------------------------------------------- */

/* Windows of frames are rows that lie over each other: what products need no copy for. */
static pnng_status frames_infer(const pnng_inference *inference) {
    const pnng_shape *const x = inference->in[0];
    const pnng_shape *const weight = inference->in[1];
    const int64_t window = inference->ints[0], step = inference->ints[1];
    char text[PNNG_SHAPE_TEXT];
    if (window < 1 || step < 1 || weight->ndim != 2 || weight->dim[0] < 1 || weight->dim[1] < 1 ||
        weight->dim[1] % window)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects windows of at least 1, and a weight (features, window "
                         "features), got %" PRId64 ", %" PRId64 " and shape %s",
                         window, step, pnng_shape_text(weight, text));
    const int64_t features = weight->dim[1] / window, frame = x->ndim - 2;
    if ((x->ndim != 2 && x->ndim != 3) || x->dim[x->ndim - 1] != features)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects an input of 2 dims (frames, %" PRId64
                         ") or 3 (batch, frames, %" PRId64 "), got shape %s",
                         features, features, pnng_shape_text(x, text));
    if (x->dim[frame] < window)
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "has windows of %" PRId64 " frames, got %" PRId64
                         ": its input has shape %s",
                         window, x->dim[frame], pnng_shape_text(x, text));
    if (inference->op->n_in == 3 &&
        (inference->in[2]->ndim != 1 || inference->in[2]->dim[0] != weight->dim[0]))
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects a bias of %" PRId64 " elements, got shape %s", weight->dim[0],
                         pnng_shape_text(inference->in[2], text));
    inference->out[0] = *x;
    inference->out[0].dim[frame] = (x->dim[frame] - window) / step + 1;
    inference->out[0].dim[frame + 1] = weight->dim[0];
    return PNNG_OK;
}

static uint64_t frames_multiply_adds(const pnng_op_node *op, const pnng_shape *const *in,
                                     const pnng_shape *out) {
    (void)op;
    return pnng_times(pnng_count(&out[0]), (uint64_t)in[1]->dim[1]);
}

typedef struct frames {
    pnng_value x, weight, bias, y; /* bias: -1 for none */
    size_t batch, rows, in, out;   /* rows of y; features of x, of y */
    size_t window, step;
    ptrdiff_t x_sample, y_sample;
} frames;

static frames describe_frames(const pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    const int64_t *const ints = pnng_op_ints(program, op);
    frames f = {.x = in[0],
                .weight = in[1],
                .bias = op->n_in == 3 ? in[2] : -1,
                .y = op->first_out,
                .window = (size_t)ints[0],
                .step = (size_t)ints[1]};
    const pnng_shape *const x = pnng_value_shape(planner, f.x);
    const pnng_shape *const y = pnng_value_shape(planner, f.y);
    f.batch = x->ndim == 3 ? (size_t)x->dim[0] : 1;
    f.in = (size_t)x->dim[x->ndim - 1];
    f.rows = (size_t)y->dim[y->ndim - 2];
    f.out = (size_t)y->dim[y->ndim - 1];
    f.x_sample = (ptrdiff_t)x->dim[x->ndim - 2] * (ptrdiff_t)f.in;
    f.y_sample = (ptrdiff_t)(f.rows * f.out);
    return f;
}

static pnng_ref read_all(pnng_planner *planner, pnng_value value) {
    return pnng_as_contiguous(planner, pnng_read(planner, value), pnng_value_shape(planner, value));
}

static void frames_forward(pnng_planner *planner, const pnng_op_node *op) {
    const frames f = describe_frames(planner, op);
    const pnng_ref x = read_all(planner, f.x), weight = read_all(planner, f.weight);
    const pnng_ref bias = f.bias < 0 ? nothing : read_all(planner, f.bias);
    const pnng_ref operands[] = {x, weight, pnng_define(planner, f.y), bias};
    const ptrdiff_t strides[] = {(ptrdiff_t)(f.step * f.in), (ptrdiff_t)(f.window * f.in),
                                 (ptrdiff_t)f.out};
    const ptrdiff_t by[] = {f.x_sample, 0, f.y_sample};
    pnng_emit_products(planner, PNNG_GEMM_NT, (pnng_gemm_sizes){f.rows, f.out, f.window * f.in},
                       operands, strides, NULL, f.batch, by);
}

/* As many frames of a window at once as the next one has none of. */
static void emit_frames_gradient(pnng_planner *planner, const frames *f, pnng_ref g) {
    const pnng_shape *const shape = pnng_value_shape(planner, f->x);
    const pnng_target target = pnng_grad_target(planner, f->x);
    ptrdiff_t whole;
    const pnng_target written =
        emit_zeros(planner, pnng_target_as_rows(planner, target, shape, 0, &whole), shape);
    const pnng_ref weight = read_all(planner, f->weight);
    const ptrdiff_t strides[] = {(ptrdiff_t)f->out, (ptrdiff_t)(f->window * f->in),
                                 (ptrdiff_t)(f->step * f->in)};
    const ptrdiff_t by[] = {f->y_sample, 0, f->x_sample};
    for (size_t at = 0; at < f->window; at += f->step) {
        const size_t count = f->window - at < f->step ? f->window - at : f->step;
        pnng_ref operands[] = {g, weight, {written.view, written.mask, false}, nothing};
        operands[1].view.offset += (int64_t)(at * f->in);
        operands[2].view.offset += (int64_t)(at * f->in);
        pnng_emit_products(planner, PNNG_GEMM_NN, (pnng_gemm_sizes){f->rows, count * f->in, f->out},
                           operands, strides, &written, f->batch, by);
    }
    pnng_finish_target(planner, target, written, shape);
}

static void emit_frames_weight(pnng_planner *planner, const frames *f, pnng_ref g) {
    const pnng_shape *const shape = pnng_value_shape(planner, f->weight);
    const pnng_target target = pnng_scaled_target(planner, f->weight);
    ptrdiff_t whole;
    const pnng_target written =
        emit_zeros(planner, pnng_target_as_rows(planner, target, shape, 0, &whole), shape);
    const pnng_ref operands[] = {
        g, read_all(planner, f->x), {written.view, written.mask, false}, nothing};
    const ptrdiff_t strides[] = {(ptrdiff_t)f->out, (ptrdiff_t)(f->step * f->in),
                                 (ptrdiff_t)(f->window * f->in)};
    const ptrdiff_t by[] = {f->y_sample, f->x_sample, 0};
    pnng_emit_products(planner, PNNG_GEMM_TN, (pnng_gemm_sizes){f->out, f->window * f->in, f->rows},
                       operands, strides, &written, f->batch, by);
    pnng_finish_target(planner, target, written, shape);
}

static void frames_backward(pnng_planner *planner, const pnng_op_node *op) {
    const frames f = describe_frames(planner, op);
    const pnng_ref g =
        pnng_as_contiguous(planner, pnng_grad(planner, f.y), pnng_value_shape(planner, f.y));
    if (pnng_wants_grad(planner, f.x))
        emit_frames_gradient(planner, &f, g);
    if (pnng_wants_grad(planner, f.weight))
        emit_frames_weight(planner, &f, g);
    if (f.bias >= 0 && pnng_wants_grad(planner, f.bias)) {
        const pnng_shape *const shape = pnng_value_shape(planner, f.bias);
        const pnng_target target = pnng_scaled_target(planner, f.bias);
        ptrdiff_t whole;
        const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
        emit_sums(planner, written, g, 1, f.batch * f.rows, f.out, 1, NULL);
        pnng_finish_target(planner, target, written, shape);
    }
}

const pnng_family pnng_family_frames = {.name = "frames",
                                        .infer = frames_infer,
                                        .forward = frames_forward,
                                        .backward = frames_backward,
                                        .multiply_adds = frames_multiply_adds};
