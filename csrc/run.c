/* A run: a loop over steps, timed where that is asked for. */
#include <inttypes.h>
#include <string.h>

#include "gemm.h"
#include "plan.h"
#include "split.h"
#include "threads.h"

/* Say what a kernel found wrong with the numbers that it was given. */
static pnng_status bad_value(pnng_plan *plan, const pnng_step *step, const int64_t bad[2]) {
    if (plan->program->ops[step->op].code == PNNG_OP_NLL)
        pnng_fail(&plan->message, PNNG_ERROR_VALUE,
                  "target %" PRId64 " of row %" PRId64 " is not a class: they count from 0 to "
                  "%zu",
                  bad[1], bad[0], step->cols - 1);
    else if (plan->program->ops[step->op].code == PNNG_OP_GATHER && !step->n)
        pnng_fail(&plan->message, PNNG_ERROR_VALUE, "the table that it looks up in has no rows");
    else if (plan->program->ops[step->op].code == PNNG_OP_GATHER)
        pnng_fail(&plan->message, PNNG_ERROR_VALUE,
                  "index %" PRId64 ", element %" PRId64 " of its input, is not of the table: they "
                  "count from 0 to %" PRId64,
                  bad[1], bad[0], (int64_t)step->n - 1);
    else if (plan->program->ops[step->op].code == PNNG_OP_ONE_HOT)
        pnng_fail(&plan->message, PNNG_ERROR_VALUE,
                  "index %" PRId64 ", element %" PRId64 " of its input, has no place: they count "
                  "from 0 to %zu",
                  bad[1], bad[0], step->n - 1);
    else
        pnng_fail(&plan->message, PNNG_ERROR_VALUE,
                  "element %" PRId64 " is not a whole number, where an index is wanted", bad[0]);
    plan->message.op = step->op;
    return PNNG_ERROR_VALUE;
}

pnng_status pnng_run_kernel(pnng_plan *plan, const pnng_step *step, void **ptr) {
    int64_t bad[2] = {0, 0};
    const pnng_call call = {
        .ptr = ptr,
        .stride = plan->strides + step->first_operand,
        .rows = step->rows,
        .cols = step->cols,
        .n = step->n,
        .inner = step->inner,
        .a = step->scaled ? step->a * plan->scale : step->a,
        .b = step->b,
        .i = step->i,
        .j = step->j,
        .windows = step->windows,
        .seed = plan->seed,
        .noise = step->noise,
        .stream = step->stream,
        .accumulate = plan->flag_pool + step->first_flag,
        .bad = bad,
    };
    const pnng_status status = step->split > PNNG_SPLIT_TURNS
                                   ? pnng_run_split_kernel(plan, step, &call)
                                   : step->kernel(&call);
    return status ? bad_value(plan, step, bad) : PNNG_OK;
}

/* The finish of a step that has `own` operands before it; or NULL. */
static const pnng_finish *finish_of(const pnng_plan *plan, const pnng_step *step, void **ptr,
                                    size_t own, pnng_finish *finish) {
    if (!step->finish)
        return NULL;
    const pnng_step *const last = &plan->finishes[step->finish - 1];
    *finish = (pnng_finish){
        .kernel = last->kernel,
        .n_operands = last->n_operands,
        .ptr = ptr + own,
        .stride = plan->strides + step->first_operand + own,
        .a = last->a,
        .b = last->b,
        .accumulate = plan->flag_pool + last->first_flag,
        .n = last->n,
    };
    return finish;
}

/* j: the method; accumulate as for kernels. */
pnng_status pnng_run_gemm(pnng_plan *plan, const pnng_step *step, void **ptr) {
    pnng_finish finish;
    pnng_gemm(&plan->kernels->gemm, &plan->methods[step->j], ptr[PNNG_PRODUCT_A],
              ptr[PNNG_PRODUCT_B], ptr[PNNG_PRODUCT_C],
              step->scaled ? step->a * plan->scale : step->a, ptr[PNNG_PRODUCT_BIAS],
              plan->flag_pool[step->first_flag], ptr[PNNG_PRODUCT_WORK],
              finish_of(plan, step, ptr, PNNG_PRODUCT_OPERANDS, &finish));
    return PNNG_OK;
}

/* j: the method; accumulate as for kernels. */
pnng_status pnng_run_convolution(pnng_plan *plan, const pnng_step *step, void **ptr) {
    pnng_finish finish;
    const pnng_convolution_arrays arrays = {.x = ptr[PNNG_CONVOLUTION_X],
                                            .y = ptr[PNNG_CONVOLUTION_Y],
                                            .weight = ptr[PNNG_CONVOLUTION_WEIGHT],
                                            .bias = ptr[PNNG_CONVOLUTION_BIAS]};
    pnng_convolve(plan->kernels, &plan->convolutions[step->j], &arrays,
                  step->scaled ? step->a * plan->scale : step->a, plan->flag_pool[step->first_flag],
                  ptr[PNNG_CONVOLUTION_WORK],
                  finish_of(plan, step, ptr, PNNG_CONVOLUTION_OPERANDS, &finish));
    return PNNG_OK;
}

/* j: the method of one of the products; operands: the packed form, the weight. */
pnng_status pnng_run_pack(pnng_plan *plan, const pnng_step *step, void **ptr) {
    pnng_gemm_pack_b(&plan->kernels->gemm, &plan->methods[step->j].product, ptr[1], ptr[0]);
    return PNNG_OK;
}

pnng_status pnng_run_turns(pnng_plan *plan, const pnng_step *step, void **ptr, int64_t turns) {
    const int64_t *const extent = plan->outer + step->first_outer;
    const int64_t *const stride = extent + step->n_outer;
    int64_t turn[PNNG_MAX_DIMS] = {0};
    for (;;) {
        const pnng_status status = step->run(plan, step, ptr);
        if (status)
            return status;
        size_t loop = step->n_outer;
        while (loop-- > 0) {
            const int64_t *const by = stride + loop * step->n_operands;
            const bool wraps = ++turn[loop] == (loop == 0 ? turns : extent[loop]);
            for (size_t k = 0; k < step->n_operands; k++)
                if (ptr[k])
                    ptr[k] = (char *)ptr[k] + (wraps ? by[k] - by[k] * extent[loop] : by[k]);
            if (!wraps)
                break;
            turn[loop] = 0;
            if (loop == 0)
                return PNNG_OK;
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------------- */

static const pnng_steps *steps_of(const pnng_plan *plan, pnng_direction direction) {
    return direction == PNNG_FORWARD ? &plan->forward : &plan->backward;
}

/* Where measuring keeps the times of the steps of a run. */
static pnng_step_sum *sums_of(const pnng_plan *plan, pnng_direction direction) {
    return plan->sums + (direction == PNNG_FORWARD ? 0 : plan->forward.count);
}

/* Where the operands of all steps are in such a run. */
static void find_addresses(pnng_plan *plan, const pnng_steps *steps, uint32_t mask) {
    for (const pnng_step *step = steps->step, *end = step + steps->count; step < end; step++) {
        const pnng_operand *const operand = plan->operands + step->first_operand;
        void **const address = plan->addresses + step->first_operand;
        for (size_t k = 0; k < step->n_operands; k++)
            address[k] = operand[k].base && operand[k].mask & mask
                             ? (char *)plan->bases[operand[k].base] + operand[k].offset
                             : NULL;
    }
}

/* They are found again only where something was bound elsewhere since, or another run is asked
 * for: most runs are like the last one. */
static void update_addresses(pnng_plan *plan, pnng_direction direction, uint32_t mask) {
    const size_t bytes = (PNNG_BASE_SLOTS + plan->slot_start[PNNG_SLOT_GROUPS]) * sizeof(void *);
    if (memcmp(plan->bound, plan->bases, bytes) != 0) {
        memcpy(plan->bound, plan->bases, bytes);
        plan->found[PNNG_FORWARD] = plan->found[PNNG_BACKWARD] = 0;
    }
    if (plan->found[direction] == mask)
        return;
    find_addresses(plan, steps_of(plan, direction), mask);
    plan->found[direction] = mask;
}

static inline pnng_status run_step(pnng_plan *plan, const pnng_step *step, void **room) {
    void **ptr = plan->addresses + step->first_operand;
    if (!step->n_outer)
        return step->run(plan, step, ptr);
    /* Loops advance them. */
    memcpy(room, ptr, step->n_operands * sizeof *ptr);
    ptr = room;
    return step->split == PNNG_SPLIT_TURNS
               ? pnng_run_split_turns(plan, step, ptr)
               : pnng_run_turns(plan, step, ptr, plan->outer[step->first_outer]);
}

pnng_status pnng_run_step(pnng_plan *plan, const pnng_step *step, void **room) {
    return run_step(plan, step, room);
}

/* As run_steps, one after the other, and keep the time of each. One step ends where the next one
 * begins. */
static pnng_status run_measured(pnng_plan *plan, const pnng_steps *steps, uint32_t mask,
                                pnng_step_sum *sums) {
    uint64_t start = pnng_clock();
    for (size_t s = 0; s < steps->count; s++) {
        if (!(steps->step[s].mask & mask))
            continue;
        const pnng_status status = run_step(plan, &steps->step[s], plan->scratch);
        const uint64_t end = pnng_clock();
        sums[s].nanoseconds += end > start ? end - start : 0;
        sums[s].runs++;
        start = end;
        if (status)
            return status;
    }
    return PNNG_OK;
}

static pnng_status run_steps(pnng_plan *plan, const pnng_steps *steps, uint32_t mask) {
    for (const pnng_step *step = steps->step, *end = step + steps->count; step < end; step++) {
        if (step->branches && pnng_run_branches(plan, step, mask)) {
            step += step->branches - 1;
            continue;
        }
        if (!(step->mask & mask))
            continue;
        const pnng_status status = run_step(plan, step, plan->scratch);
        if (status)
            return status;
    }
    return PNNG_OK;
}

static pnng_status run_direction(pnng_plan *plan, pnng_direction direction, uint32_t mask) {
    const pnng_steps *const steps = steps_of(plan, direction);
    update_addresses(plan, direction, mask);
    if (plan->may_split)
        pnng_threads_enter(steps->shared);
    const pnng_status status = plan->measures
                                   ? run_measured(plan, steps, mask, sums_of(plan, direction))
                                   : run_steps(plan, steps, mask);
    if (plan->may_split)
        pnng_threads_leave();
    return status;
}

/* ---- checks before a run -------------------------------------------------------------------- */

static const char *const group_names[] = {
    "input",
    "output",
    "parameter",
    "gradient of parameter",
    "gradient of output",
    "gradient of input",
    "packed form of parameter",
};

/* A slot in words: its group, and its place there. */
static const char *group_of(const pnng_plan *plan, size_t slot, size_t *index) {
    size_t group = 0;
    while (slot >= plan->slot_start[group + 1])
        group++;
    *index = slot - plan->slot_start[group];
    return group_names[group];
}

static pnng_status fail_unbound(pnng_plan *plan, size_t slot) {
    size_t index;
    const char *const group = group_of(plan, slot, &index);
    return pnng_fail(&plan->message, PNNG_ERROR_UNBOUND, "%s %zu is not bound", group, index);
}

static pnng_status fail_misaligned(pnng_plan *plan, size_t slot) {
    size_t index;
    const char *const group = group_of(plan, slot, &index);
    return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "%s %zu is not aligned to its elements",
                     group, index);
}

static pnng_status check_slots(pnng_plan *plan, uint32_t use) {
    if (!plan->bases[PNNG_BASE_ARENA])
        return pnng_fail(&plan->message, PNNG_ERROR_UNBOUND, "the plan was given no arena");
    const pnng_slot *const slots = plan->slots;
    void *const *const data = plan->bases + PNNG_BASE_SLOTS;
    const size_t count = plan->slot_start[PNNG_SLOT_GROUPS];
    uintptr_t wrong = 0;
    for (size_t slot = 0; slot < count; slot++)
        if (slots[slot].use & use)
            wrong |= (data[slot] == NULL) | ((uintptr_t)data[slot] & slots[slot].low_bits);
    if (!wrong)
        return PNNG_OK;
    size_t slot = 0;
    while (!(slots[slot].use & use) ||
           (data[slot] && !((uintptr_t)data[slot] & slots[slot].low_bits)))
        slot++;
    return data[slot] ? fail_misaligned(plan, slot) : fail_unbound(plan, slot);
}

static pnng_status check_made(pnng_plan *plan) {
    return plan->made
               ? PNNG_OK
               : pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "the plan could not be made");
}

/* Take the plan for a run. The message of a busy plan belongs to the run under way. */
static bool begin(pnng_plan *plan) {
    if (atomic_flag_test_and_set(&plan->busy))
        return false;
    plan->message.text[0] = '\0';
    plan->message.op = -1;
    return true;
}

static pnng_status run_forward(pnng_plan *plan, uint64_t seed, uint32_t mask) {
    if (!begin(plan))
        return PNNG_ERROR_BUSY;
    pnng_status status = check_made(plan);
    if (!status)
        status = check_slots(plan, PNNG_USE_FORWARD);
    if (!status) {
        plan->seed = seed;
        plan->scale = 1;
        plan->mask = PNNG_ALWAYS;
        status = run_direction(plan, PNNG_FORWARD, mask);
        plan->ran_forward = status == PNNG_OK;
    }
    atomic_flag_clear(&plan->busy);
    return status;
}

pnng_status pnng_plan_forward(pnng_plan *plan, uint64_t seed) {
    return run_forward(plan, seed, PNNG_ALWAYS);
}

pnng_status pnng_plan_replay(pnng_plan *plan, uint64_t seed) {
    return run_forward(plan, seed, PNNG_ALWAYS & ~PNNG_UPDATES);
}

static pnng_status check_order(pnng_plan *plan, int32_t mask) {
    if (!(plan->flags & PNNG_PLAN_BACKWARD))
        return pnng_fail(&plan->message, PNNG_ERROR_ORDER, "the plan was made without a backward");
    if (!plan->ran_forward)
        return pnng_fail(&plan->message, PNNG_ERROR_ORDER, "backward was called before forward");
    if (mask & ~(PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS))
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "unknown gradients asked for: %d",
                         mask);
    return PNNG_OK;
}

pnng_status pnng_plan_backward(pnng_plan *plan, double scale, int32_t mask) {
    if (!begin(plan))
        return PNNG_ERROR_BUSY;
    pnng_status status = check_made(plan);
    if (!status)
        status = check_order(plan, mask);
    if (!status)
        status = check_slots(plan, (uint32_t)mask);
    if (!status) {
        plan->scale = scale;
        plan->mask = (uint32_t)mask;
        status = run_direction(plan, PNNG_BACKWARD, (uint32_t)mask);
    }
    atomic_flag_clear(&plan->busy);
    return status;
}

pnng_status pnng_plan_bind(pnng_plan *plan, size_t slot, void *data) {
    const pnng_status status = check_made(plan);
    if (status)
        return status;
    if (slot >= plan->slot_start[PNNG_SLOT_GROUPS])
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "no such slot: %zu", slot);
    if ((uintptr_t)data & plan->slots[slot].low_bits)
        return fail_misaligned(plan, slot);
    plan->bases[PNNG_BASE_SLOTS + slot] = data;
    return PNNG_OK;
}

static pnng_status set_arena(pnng_plan *plan, void *memory, size_t bytes) {
    if (!(plan->flags & PNNG_PLAN_NO_ARENA))
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "the plan has an arena of its own");
    if (bytes < plan->arena_size)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT,
                         "an arena of %zu bytes is too small: it takes %zu", bytes,
                         plan->arena_size);
    if (!memory || (uintptr_t)memory % PNNG_ARENA_ALIGNMENT)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT,
                         "an arena is aligned to %d bytes, and not NULL", PNNG_ARENA_ALIGNMENT);
    plan->bases[PNNG_BASE_ARENA] = memory;
    plan->ran_forward = false;
    return PNNG_OK;
}

pnng_status pnng_plan_set_arena(pnng_plan *plan, void *memory, size_t bytes) {
    if (!begin(plan))
        return PNNG_ERROR_BUSY;
    pnng_status status = check_made(plan);
    if (!status)
        status = set_arena(plan, memory, bytes);
    atomic_flag_clear(&plan->busy);
    return status;
}

/* ---- what a run costs ----------------------------------------------------------------------- */

static pnng_status switch_measuring(pnng_plan *plan, bool on) {
    if (on) {
        const size_t count = plan->forward.count + plan->backward.count;
        if (!plan->sums)
            plan->sums = pnng_allocate(&plan->program->allocator, count, sizeof *plan->sums);
        if (!plan->sums)
            return pnng_fail(&plan->message, PNNG_ERROR_MEMORY, "out of memory");
        memset(plan->sums, 0, count * sizeof *plan->sums);
    }
    plan->measures = on;
    return PNNG_OK;
}

pnng_status pnng_plan_measure(pnng_plan *plan, int32_t on) {
    if (!begin(plan))
        return PNNG_ERROR_BUSY;
    pnng_status status = check_made(plan);
    if (!status)
        status = switch_measuring(plan, on != 0);
    atomic_flag_clear(&plan->busy);
    return status;
}

static pnng_status look_at_step(pnng_plan *plan, int32_t direction, size_t index,
                                pnng_step_info *out) {
    if (direction != PNNG_FORWARD && direction != PNNG_BACKWARD)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "no such run: %d", direction);
    const pnng_steps *const steps = steps_of(plan, direction);
    if (index >= steps->count)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "no such step: %zu", index);
    const pnng_step *const step = &steps->step[index];
    size_t n_ops;
    *out = (pnng_step_info){.ops = pnng_step_ops(plan, step, &n_ops)};
    out->n_ops = n_ops;
    pnng_step_costs(plan, step, out);
    if (plan->sums) {
        const pnng_step_sum *const sum = sums_of(plan, direction) + index;
        out->seconds = (double)sum->nanoseconds * 1e-9;
        out->runs = sum->runs;
    }
    return PNNG_OK;
}

pnng_status pnng_plan_step(pnng_plan *plan, int32_t direction, size_t index, pnng_step_info *out) {
    if (!begin(plan))
        return PNNG_ERROR_BUSY;
    pnng_status status = check_made(plan);
    if (!status)
        status = look_at_step(plan, direction, index, out);
    atomic_flag_clear(&plan->busy);
    return status;
}
