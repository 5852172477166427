/* host: steps that the embedding program does. */
#include "plan.h"

static pnng_status host_infer(const pnng_inference *inference) {
    const pnng_op_node *const op = inference->op;
    const pnng_host *const host = &inference->program->host;
    if (!host->infer || !host->forward)
        return pnng_fail(inference->message, PNNG_ERROR_HOST, "the program has no host");
    const pnng_allocator *const allocator = &inference->program->allocator;
    pnng_shape *const in = pnng_allocate(allocator, op->n_in, sizeof *in);
    if (!in)
        return pnng_fail(inference->message, PNNG_ERROR_MEMORY, "out of memory");
    for (size_t k = 0; k < op->n_in; k++)
        in[k] = *inference->in[k];
    const pnng_status status =
        host->infer(host->user, inference->ints[0], in, op->n_in, inference->out, op->n_out);
    pnng_release(allocator, in);
    return status ? pnng_fail(inference->message, PNNG_ERROR_HOST, "its host gave no sizes")
                  : PNNG_OK;
}

/* Room for the operands of a step, of which the op's inputs, contiguous, come first; or NULL. */
static pnng_ref *refs_with_inputs(pnng_planner *planner, const pnng_op_node *op, size_t n_refs) {
    const pnng_value *const in = pnng_op_inputs(pnng_planner_program(planner), op);
    pnng_ref *const refs = pnng_refs(planner, n_refs);
    for (size_t k = 0; refs && k < op->n_in; k++)
        refs[k] = pnng_as_contiguous(planner, pnng_read(planner, in[k]),
                                     pnng_value_shape(planner, in[k]));
    return refs;
}

/* forward: inputs, then outputs */
static void host_forward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const size_t n_refs = op->n_in + op->n_out;
    pnng_ref *const refs = refs_with_inputs(planner, op, n_refs);
    if (!refs)
        return;
    for (size_t k = 0; k < op->n_out; k++)
        refs[op->n_in + k] = pnng_define(planner, op->first_out + (pnng_value)k);
    const pnng_step prototype = {
        .run = pnng_run_host, .n = op->n_in, .cols = op->n_out, .i = pnng_op_ints(program, op)[0]};
    pnng_emit(planner, &prototype, refs, NULL, n_refs, NULL, 0);
}

/* backward: inputs, gradients of outputs, gradients of inputs. The host stores its gradients; where
 * others add to them too, they are stored apart and added. */
static void host_backward(pnng_planner *planner, const pnng_op_node *op) {
    const pnng_program *const program = pnng_planner_program(planner);
    const pnng_value *const in = pnng_op_inputs(program, op);
    const size_t n_refs = 2 * op->n_in + op->n_out;
    pnng_ref *const refs = refs_with_inputs(planner, op, n_refs);
    if (!refs)
        return;
    for (size_t k = 0; k < op->n_out; k++) {
        const pnng_value y = op->first_out + (pnng_value)k;
        refs[op->n_in + k] = pnng_grad(planner, y);
        if (pnng_wants_grad(planner, y))
            refs[op->n_in + k] =
                pnng_as_contiguous(planner, refs[op->n_in + k], pnng_value_shape(planner, y));
    }
    pnng_ref *const grads = refs + op->n_in + op->n_out;
    for (size_t k = 0; k < op->n_in; k++) {
        grads[k] = (pnng_ref){.view = {.storage = -1}, .mask = PNNG_ALWAYS};
        if (pnng_wants_grad(planner, in[k]))
            grads[k] = pnng_temporary(planner, pnng_value_shape(planner, in[k]));
    }
    const pnng_step prototype = {.run = pnng_run_host_backward,
                                 .n = op->n_in,
                                 .cols = op->n_out,
                                 .i = pnng_op_ints(program, op)[0]};
    pnng_emit(planner, &prototype, refs, NULL, n_refs, NULL, 0);
    for (size_t k = 0; k < op->n_in; k++)
        if (pnng_wants_grad(planner, in[k]))
            pnng_pass_grad(planner, in[k], grads[k], 1);
}

const pnng_family pnng_family_host = {.name = "host",
                                      .infer = host_infer,
                                      .forward = host_forward,
                                      .backward = host_backward,
                                      .any_kind = true,
                                      .may_own_params = true};

static pnng_status host_status(pnng_plan *plan, const pnng_step *step, pnng_status status) {
    if (!status)
        return PNNG_OK;
    pnng_fail(&plan->message, PNNG_ERROR_HOST, "its host failed");
    plan->message.op = step->op;
    return PNNG_ERROR_HOST;
}

pnng_status pnng_run_host(pnng_plan *plan, const pnng_step *step, void **ptr) {
    const pnng_host *const host = &plan->program->host;
    return host_status(plan, step,
                       host->forward(host->user, step->i, (const void *const *)ptr, step->n,
                                     ptr + step->n, step->cols));
}

pnng_status pnng_run_host_backward(pnng_plan *plan, const pnng_step *step, void **ptr) {
    const pnng_host *const host = &plan->program->host;
    if (!host->backward)
        return host_status(plan, step, PNNG_ERROR_HOST);
    const void *const *const in = (const void *const *)ptr;
    return host_status(plan, step,
                       host->backward(host->user, step->i, in, step->n, in + step->n, step->cols,
                                      ptr + step->n + step->cols, plan->scale,
                                      (int32_t)plan->mask));
}
