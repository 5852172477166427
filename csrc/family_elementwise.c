/* Elementwise families: unary, sum, nary, noise, turn, draw. Inputs of one op have one shape. */
#include <inttypes.h>
#include <string.h>

#include "plan.h"

/* Inputs of a table op must agree. */
static pnng_status infer_table(const pnng_inference *inference) {
    for (size_t k = 1; k < inference->op->n_in; k++) {
        if (pnng_same_shape(inference->in[0], inference->in[k]))
            continue;
        char first[PNNG_SHAPE_TEXT], other[PNNG_SHAPE_TEXT];
        return pnng_fail(inference->message, PNNG_ERROR_SHAPE,
                         "expects arrays of one shape: entry 0 is %s, entry %zu is %s",
                         pnng_shape_text(inference->in[0], first), k,
                         pnng_shape_text(inference->in[k], other));
    }
    return pnng_infer_same(inference);
}

/* ---- unary ---------------------------------------------------------------------------------- */

/* A value whose rows kernels can walk: one that was transposed is copied, by tiles, in less time
 * than to go through it element by element. */
static pnng_ref read_rows(pnng_planner *planner, pnng_value value) {
    return pnng_with_dense_rows(planner, pnng_read(planner, value),
                                pnng_value_shape(planner, value));
}

static void unary_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    pnng_step prototype = pnng_prototype(planner, op, PNNG_FORWARD);
    prototype.may_finish = 1;
    prototype.in_place = true;
    const pnng_ref from = read_rows(planner, x);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out), from};
    pnng_emit_elementwise(planner, &prototype, pnng_value_shape(planner, x), refs, 2, NULL, 0);
}

/* dx = f'(kept) g */
static void unary_backward(pnng_planner *planner, const pnng_op_node *op, pnng_value kept) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_target target = pnng_grad_target(planner, x);
    const pnng_target written = pnng_target_with_dense_rows(planner, target, shape);
    const uint8_t accumulate = written.accumulate;
    pnng_step prototype = pnng_prototype(planner, op, PNNG_BACKWARD);
    prototype.mask = target.mask;
    prototype.may_finish = 1;
    prototype.in_place = !accumulate;
    const pnng_ref g = pnng_with_dense_rows(planner, pnng_grad(planner, op->first_out), shape);
    const pnng_ref refs[] = {{written.view, written.mask, false}, g, read_rows(planner, kept)};
    pnng_emit_elementwise(planner, &prototype, shape, refs, 3, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

static void unary_x_backward(pnng_planner *planner, const pnng_op_node *op) {
    unary_backward(planner, op, *pnng_op_inputs(pnng_planner_program(planner), op));
}

static void unary_y_backward(pnng_planner *planner, const pnng_op_node *op) {
    unary_backward(planner, op, op->first_out);
}

const pnng_family pnng_family_unary_x = {.name = "unary_x",
                                         .infer = pnng_infer_same,
                                         .forward = unary_forward,
                                         .backward = unary_x_backward};

const pnng_family pnng_family_unary_y = {.name = "unary_y",
                                         .infer = pnng_infer_same,
                                         .forward = unary_forward,
                                         .backward = unary_y_backward};

/* ---- tables --------------------------------------------------------------------------------- */

static void table_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    pnng_step prototype = pnng_prototype(planner, op, PNNG_FORWARD);
    prototype.n = op->n_in;
    prototype.may_finish = op->n_in == 2 ? 2 : 0;
    prototype.in_place = pnng_family_of(op->code) == &pnng_family_sum;
    pnng_ref *const refs = pnng_refs(planner, op->n_in + 1);
    if (!refs)
        return;
    for (size_t k = 0; k < op->n_in; k++)
        refs[k + 1] = read_rows(planner, in[k]);
    refs[0] = pnng_define(planner, op->first_out);
    pnng_emit_elementwise(planner, &prototype, pnng_value_shape(planner, in[0]), refs, op->n_in + 1,
                          NULL, 0);
}

/* One step writes the gradients of all entries of a table. Sums pass theirs on, +g to every entry
 * of add, -g to all but the first of sub, and copy only where the gradient cannot be g itself. */
static void table_backward(pnng_planner *planner, const pnng_op_node *op, bool is_sum) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, in[0]);
    const size_t n = op->n_in;
    const size_t n_read = is_sum ? 1 : 2 + n;
    pnng_ref *const refs = pnng_refs(planner, n_read + 2 * n);
    uint8_t *const accumulate = pnng_flags(planner, 2 * n);
    if (!refs || !accumulate)
        return;
    const pnng_ref g = pnng_grad(planner, op->first_out);
    /* What the step writes; and after these, where that belongs. */
    pnng_ref *const written = refs + n_read, *const belongs = written + n;
    bool writes = false;
    for (size_t k = 0; k < n; k++) {
        pnng_target target = {.view = {.storage = -1}};
        const bool passes = op->code == PNNG_OP_ADD || (op->code == PNNG_OP_SUB && k == 0);
        if (!passes || !pnng_alias_grad(planner, in[k], g))
            target = pnng_grad_target(planner, in[k]);
        const pnng_target rows = pnng_target_with_dense_rows(planner, target, shape);
        belongs[k] = (pnng_ref){target.view, target.mask, false};
        written[k] = (pnng_ref){rows.view, rows.mask, false};
        accumulate[k] = rows.accumulate;
        accumulate[n + k] = target.accumulate;
        writes |= target.view.storage >= 0;
    }
    if (!writes)
        return;
    pnng_step prototype = pnng_prototype(planner, op, PNNG_BACKWARD);
    prototype.n = n;
    refs[0] = pnng_with_dense_rows(planner, g, shape);
    prototype.work = !is_sum;
    prototype.writes = (uint32_t)n_read;
    if (!is_sum)
        refs[1] = pnng_work_space(planner, n > PNNG_TABLE_SOME ? 4 * n * PNNG_MAX_VECTOR_BYTES : 0);
    for (size_t k = 0; k < n && !is_sum; k++)
        refs[2 + k] = read_rows(planner, in[k]);
    pnng_emit_elementwise(planner, &prototype, shape, refs, n_read + n, accumulate, n);
    for (size_t k = 0; k < n; k++)
        pnng_finish_target(
            planner, (pnng_target){belongs[k].view, belongs[k].mask, accumulate[n + k], false},
            (pnng_target){.view = written[k].view}, shape);
}

static void sum_backward(pnng_planner *planner, const pnng_op_node *op) {
    table_backward(planner, op, true);
}

static void nary_backward(pnng_planner *planner, const pnng_op_node *op) {
    table_backward(planner, op, false);
}

const pnng_family pnng_family_sum = {
    .name = "sum", .infer = infer_table, .forward = table_forward, .backward = sum_backward};

const pnng_family pnng_family_nary = {
    .name = "nary", .infer = infer_table, .forward = table_forward, .backward = nary_backward};

/* ---- noise ---------------------------------------------------------------------------------- */

static pnng_status noise_infer(const pnng_inference *inference) {
    inference->out[0] = inference->out[1] = *inference->in[0];
    return PNNG_OK;
}

static void noise_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    pnng_step prototype = pnng_prototype(planner, op, PNNG_FORWARD);
    prototype.rows = 1;
    prototype.cols = pnng_count(shape);
    const pnng_ref input = pnng_as_contiguous(planner, pnng_read(planner, x), shape);
    const pnng_ref refs[] = {pnng_define(planner, op->first_out),
                             pnng_define(planner, op->first_out + 1), input};
    pnng_emit(planner, &prototype, refs, NULL, 3, NULL, 0);
}

/* dx = g m: nothing is kept, m is drawn again. */
static void noise_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_shape *const shape = pnng_value_shape(planner, x);
    const pnng_ref g = pnng_as_contiguous(planner, pnng_grad(planner, op->first_out), shape);
    const pnng_target target = pnng_grad_target(planner, x);
    ptrdiff_t whole;
    const pnng_target written = pnng_target_as_rows(planner, target, shape, 0, &whole);
    pnng_step prototype = pnng_prototype(planner, op, PNNG_BACKWARD);
    prototype.rows = 1;
    prototype.cols = pnng_count(shape);
    prototype.mask = target.mask;
    const pnng_ref refs[] = {{written.view, written.mask, false}, g};
    const uint8_t accumulate = written.accumulate;
    pnng_emit(planner, &prototype, refs, NULL, 2, &accumulate, 1);
    pnng_finish_target(planner, target, written, shape);
}

const pnng_family pnng_family_noise = {.name = "noise",
                                       .infer = noise_infer,
                                       .forward = noise_forward,
                                       .backward = noise_backward,
                                       .no_grad_outputs = 2,
                                       .draws = true};

/* ---- turn ----------------------------------------------------------------------------------- */

/* A copy and no alias: the gradients of x and y are not the same. */
static void turn_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const pnng_ref from = pnng_read(planner, x);
    pnng_emit_copy(planner, pnng_value_shape(planner, x), pnng_define(planner, op->first_out),
                   from);
}

static void turn_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_value x = *pnng_op_inputs(pnng_planner_program(planner), op);
    const double factor = pnng_prototype(planner, op, PNNG_BACKWARD).a;
    pnng_pass_grad(planner, x, pnng_grad(planner, op->first_out), factor);
}

const pnng_family pnng_family_turn = {
    .name = "turn", .infer = pnng_infer_same, .forward = turn_forward, .backward = turn_backward};

/* ---- draw ----------------------------------------------------------------------------------- */

/* Of the input only the shape is looked at. */
static void draw_forward(pnng_planner *planner, const pnng_op_node *op) {
    pnng_step prototype = pnng_prototype(planner, op, PNNG_FORWARD);
    prototype.rows = 1;
    prototype.cols = pnng_count(pnng_value_shape(planner, op->first_out));
    const pnng_ref refs[] = {pnng_define(planner, op->first_out)};
    pnng_emit(planner, &prototype, refs, NULL, 1, NULL, 0);
}

const pnng_family pnng_family_draw = {.name = "draw",
                                      .infer = pnng_infer_same,
                                      .forward = draw_forward,
                                      .no_grad_inputs = 1,
                                      .draws = true};
