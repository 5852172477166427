/* What a plan tells of itself: what each step does, moves and takes, what was fused and why not,
 * what the arena is for. Nothing here is needed for a run. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "plan.h"

/* ---- while planning -------------------------------------------------------------------------- */

static uint64_t turns_of(const pnng_plan *plan, const pnng_step *step) {
    uint64_t turns = 1;
    for (size_t loop = 0; loop < step->n_outer; loop++)
        turns = pnng_times(turns, (uint64_t)plan->outer[step->first_outer + loop]);
    return turns;
}

static uint64_t elements_of_convolution(const pnng_convolution *c, size_t operand) {
    const uint64_t planes = (uint64_t)c->batch * c->groups;
    switch (operand) {
    case PNNG_CONVOLUTION_X:
        return planes * c->ins * c->x[0] * c->x[1] * c->x[2];
    case PNNG_CONVOLUTION_Y:
        return planes * c->outs * c->y[0] * c->y[1] * c->y[2];
    case PNNG_CONVOLUTION_WEIGHT:
        return (uint64_t)c->groups * c->outs * c->ins * c->kernel[0] * c->kernel[1] * c->kernel[2];
    case PNNG_CONVOLUTION_BIAS:
        return (uint64_t)c->groups * (c->kind == PNNG_CONVOLVE_X ? c->ins : c->outs);
    default:
        return 0;
    }
}

/* Elements of an operand that one turn of a step goes through, if the operand has so many. */
static uint64_t elements_of(const pnng_plan *plan, const pnng_step *step, size_t operand) {
    if (step->run == pnng_run_convolution)
        return elements_of_convolution(&plan->convolutions[step->j].asked, operand);
    if (step->run != pnng_run_gemm)
        return pnng_times(step->rows, step->cols);
    const pnng_method *const method = &plan->methods[step->j];
    const pnng_gemm_sizes sizes = method->product.sizes;
    switch (operand) {
    case PNNG_PRODUCT_A:
        return pnng_times(method->swapped ? sizes.cols : sizes.rows, sizes.depth);
    case PNNG_PRODUCT_B:
        return pnng_times(method->swapped ? sizes.rows : sizes.cols, sizes.depth);
    case PNNG_PRODUCT_WORK:
        return 0;
    default:
        return pnng_times(sizes.rows, sizes.cols);
    }
}

/* Each array once, however many members read or write it. */
static uint64_t bytes_of_chain(const pnng_plan *plan, const pnng_step *step) {
    const pnng_chain *const chain = &plan->chains[step->j];
    uint64_t arrays = 0;
    for (size_t m = 0; m < chain->n_members; m++)
        for (uint32_t left = plan->members[chain->first_member + m].firsts; left; left &= left - 1)
            arrays++;
    return pnng_times(pnng_times(arrays, chain->rows * chain->cols), plan->element);
}

static uint64_t bytes_of(const pnng_plan *plan, const pnng_storage *storages,
                         const pnng_step *step) {
    if (step->run == pnng_run_chain)
        return bytes_of_chain(plan, step);
    const uint64_t turns = turns_of(plan, step);
    uint64_t sum = 0;
    for (size_t k = 0; k < step->n_operands; k++) {
        const uint32_t base = plan->operands[step->first_operand + k].base;
        if (base == PNNG_BASE_NONE || (k && k == step->work))
            continue;
        const pnng_storage *const storage = &storages[base - 1];
        const size_t element =
            storage->slot < 0 ? plan->element : plan->slots[storage->slot].low_bits + 1u;
        const uint64_t bytes = pnng_times(pnng_times(elements_of(plan, step, k), turns), element);
        sum += bytes < storage->bytes ? bytes : storage->bytes;
    }
    return sum;
}

/* Whether a storage is work space of a step. */
static bool is_work(const pnng_plan *plan, const pnng_step *step, size_t operand) {
    if (step->run == pnng_run_convolution)
        return operand == PNNG_CONVOLUTION_WORK;
    return step->run == pnng_run_gemm ? operand == PNNG_PRODUCT_WORK
                                      : operand && operand == step->work;
}

void pnng_note_costs(pnng_plan *plan, const pnng_storage *storages, size_t n_storages) {
    pnng_memory_info *const memory = &plan->memory;
    pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count; s++) {
            pnng_step *const step = &runs[run]->step[s];
            step->bytes = bytes_of(plan, storages, step);
            for (size_t k = 0; k < step->n_operands; k++) {
                const uint32_t base = plan->operands[step->first_operand + k].base;
                if (base != PNNG_BASE_NONE && is_work(plan, step, k))
                    memory->work += storages[base - 1].bytes;
            }
        }
    memory->arena = plan->arena_size;
    for (size_t s = 0; s < n_storages; s++) {
        const pnng_storage *const storage = &storages[s];
        if (storage->slot >= 0 || !storage->used)
            continue;
        *(storage->forward && storage->backward ? &memory->kept
          : storage->forward                    ? &memory->forward
                                                : &memory->backward) += storage->bytes;
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

/* As snprintf: what does not fit is counted all the same. */
typedef struct text {
    char *at;
    size_t size, used;
} text;

__attribute__((format(printf, 2, 3))) static void say(text *t, const char *format, ...) {
    const size_t used = t->used < t->size ? t->used : t->size;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(t->size ? t->at + used : NULL, t->size - used, format, arguments);
    va_end(arguments);
    if (length > 0)
        t->used += (size_t)length;
}

static void say_bytes(text *t, uint64_t bytes) {
    if (bytes < 10000)
        say(t, "%" PRIu64 " B", bytes);
    else if (bytes < 10000000)
        say(t, "%.1f KB", (double)bytes / 1e3);
    else
        say(t, "%.1f MB", (double)bytes / 1e6);
}

static const char *op_name(const pnng_plan *plan, int32_t op) {
    return op < 0 ? "copy" : pnng_op_table(NULL)[plan->program->ops[op].code].name;
}

static const char *const unfused[] = {
    [PNNG_UNFUSED_NO_PRODUCT] = "what it reads is not made by a product",
    [PNNG_UNFUSED_OTHER_PART] = "it reads another part, or another order, than the product makes",
    [PNNG_UNFUSED_OTHER_RUNS] = "other backward runs need it than need the product",
    [PNNG_UNFUSED_BETWEEN] = "a step between the product and it needs its memory",
    [PNNG_UNFUSED_TAKEN] = "the product is of a batch, or ends with another function",
};

static const char *note_of(const pnng_step *step) {
    return step->unfused ? unfused[step->unfused] : NULL;
}

static void say_product(text *t, const pnng_method *method, bool accumulates) {
    static const char *const forms[] = {"A B'", "A B", "A' B", "A' B'"};
    static const char *const ways[] = {"tiles", "dot products", "dot products, turned",
                                       "whole rows"};
    const pnng_gemm_sizes sizes = method->product.sizes;
    say(t, "C %s %s, %zu x %zu, depth %zu: %s", accumulates ? "+=" : "=",
        forms[method->product.form], sizes.rows, sizes.cols, sizes.depth, ways[method->way]);
    if (method->pack_a || method->pack_b)
        say(t, ", %s packed", !method->pack_b ? "A" : !method->pack_a ? "B" : "A and B");
    if (method->product.b_is_packed)
        say(t, ", weights packed before");
    if (method->parts > 1)
        say(t, ", %zu parts for threads", method->parts);
}

static void say_convolution(text *t, const pnng_convolution_method *method, bool accumulates) {
    static const char *const made[] = {"y", "x", "weight"};
    const pnng_convolution *const c = &method->asked;
    say(t, "%s %s, %zu x %zu planes", made[c->kind], accumulates ? "+=" : "=", c->groups * c->outs,
        c->ins);
    say(t, " of %zu x %zu x %zu, windows of %zu x %zu x %zu: %s", c->y[0], c->y[1], c->y[2],
        c->kernel[0], c->kernel[1], c->kernel[2],
        method->way == PNNG_CONVOLVE_PLANES ? "plane by plane" : "tiles");
    if (method->turned)
        say(t, ", turned");
    if (method->together > 1)
        say(t, ", %zu samples together", method->together);
    if (method->parts > 1)
        say(t, ", %zu parts for threads", method->parts);
}

static void say_kernel(text *t, const pnng_plan *plan, const pnng_step *step) {
    say(t, "%zu x %zu", step->rows, step->cols);
    if (step->n > 1)
        say(t, ", n %zu", step->n);
    const uint64_t turns = turns_of(plan, step);
    if (turns != 1)
        say(t, ", %" PRIu64 " times", turns);
    if (step->run == pnng_run_chain) {
        const pnng_chain *const chain = &plan->chains[step->j];
        say(t, ", %zu steps in pieces of %zu x %zu", chain->n_members, chain->high, chain->wide);
    }
    if (step->stream)
        say(t, ", stored past the caches");
    if (step->split)
        say(t, ", may be split over threads");
}

static void say_step(text *t, const pnng_plan *plan, const pnng_step *step) {
    size_t n_ops;
    const int32_t *const ops = pnng_step_ops(plan, step, &n_ops);
    say(t, "%s", op_name(plan, step->op));
    for (size_t k = 1; k < n_ops; k++)
        say(t, ", then %s", op_name(plan, ops[k]));
    say(t, ": ");
    if (step->run == pnng_run_convolution)
        say_convolution(t, &plan->convolutions[step->j], plan->flag_pool[step->first_flag]);
    else if (step->run == pnng_run_gemm)
        say_product(t, &plan->methods[step->j], plan->flag_pool[step->first_flag]);
    else if (step->run == pnng_run_pack)
        say(t, "%zu x %zu, weights packed for several products", step->rows, step->cols);
    else
        say_kernel(t, plan, step);
    if (step->branches)
        say(t, ", at the same time as the next %u", step->branches - 1u);
}

/* ---- what is asked --------------------------------------------------------------------------- */

static uint64_t multiply_adds_of(const pnng_plan *plan, const pnng_step *step) {
    if (step->run == pnng_run_convolution)
        return pnng_convolution_multiply_adds(&plan->convolutions[step->j].asked);
    if (step->run != pnng_run_gemm)
        return 0;
    const pnng_gemm_sizes sizes = plan->methods[step->j].product.sizes;
    return pnng_times(pnng_times(pnng_times(sizes.rows, sizes.cols), sizes.depth),
                      turns_of(plan, step));
}

void pnng_step_costs(const pnng_plan *plan, const pnng_step *step, pnng_step_info *out) {
    out->bytes = step->bytes;
    out->multiply_adds = multiply_adds_of(plan, step);
    const uint64_t nanoseconds =
        step->run == pnng_run_gemm ? plan->methods[step->j].nanoseconds * turns_of(plan, step)
        : step->run == pnng_run_convolution ? plan->convolutions[step->j].nanoseconds
                                            : step->nanoseconds;
    out->predicted = (double)nanoseconds * 1e-9;
    out->unfused = note_of(step);
}

static const pnng_step *step_at(const pnng_plan *plan, int32_t direction, size_t index) {
    const pnng_steps *const steps = direction == PNNG_FORWARD    ? &plan->forward
                                    : direction == PNNG_BACKWARD ? &plan->backward
                                                                 : NULL;
    return plan->made && steps && index < steps->count ? &steps->step[index] : NULL;
}

pnng_status pnng_plan_step_text(const pnng_plan *plan, int32_t direction, size_t index,
                                char *buffer, size_t size, size_t *needed) {
    const pnng_step *const step = step_at(plan, direction, index);
    if (!step || (size && !buffer))
        return PNNG_ERROR_ARGUMENT;
    text t = {buffer, size, 0};
    say_step(&t, plan, step);
    *needed = t.used + 1;
    return PNNG_OK;
}

pnng_status pnng_plan_memory(const pnng_plan *plan, pnng_memory_info *out) {
    if (!plan->made)
        return PNNG_ERROR_ARGUMENT;
    *out = plan->memory;
    return PNNG_OK;
}

static void describe_run(text *t, const pnng_plan *plan, int32_t direction) {
    const pnng_steps *const steps = direction == PNNG_FORWARD ? &plan->forward : &plan->backward;
    const pnng_step_sum *const sums =
        plan->sums ? plan->sums + (direction == PNNG_FORWARD ? 0 : plan->forward.count) : NULL;
    say(t, "%s: %zu steps\n", direction == PNNG_FORWARD ? "forward" : "backward", steps->count);
    for (size_t s = 0; s < steps->count; s++) {
        const pnng_step *const step = &steps->step[s];
        pnng_step_info info = {0};
        pnng_step_costs(plan, step, &info);
        say(t, "%4zu  ", s);
        say_step(t, plan, step);
        say(t, "; ");
        say_bytes(t, info.bytes);
        if (info.multiply_adds)
            say(t, ", %" PRIu64 " multiply-adds", info.multiply_adds);
        if (info.predicted > 0)
            say(t, ", about %.1f us", info.predicted * 1e6);
        if (sums && sums[s].runs)
            say(t, ", measured %.2f us", (double)sums[s].nanoseconds / (double)sums[s].runs / 1e3);
        if (info.unfused)
            say(t, "; not fused: %s", info.unfused);
        say(t, "\n");
    }
}

pnng_status pnng_plan_describe(const pnng_plan *plan, char *buffer, size_t size, size_t *needed) {
    if (!plan->made || (size && !buffer))
        return PNNG_ERROR_ARGUMENT;
    text t = {buffer, size, 0};
    say(&t, "%s, %s\n", plan->dtype == PNNG_F32 ? "float32" : "float64", pnng_cpu_info()->isa);
    describe_run(&t, plan, PNNG_FORWARD);
    if (plan->flags & PNNG_PLAN_BACKWARD)
        describe_run(&t, plan, PNNG_BACKWARD);
    const struct {
        const char *what;
        size_t bytes;
    } parts[] = {{"arena: ", plan->memory.arena},
                 {"; kept for the backward ", plan->memory.kept},
                 {", within the forward ", plan->memory.forward},
                 {", within the backward ", plan->memory.backward},
                 {"; of these, work space of steps ", plan->memory.work}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        say(&t, "%s", parts[k].what);
        say_bytes(&t, parts[k].bytes);
    }
    say(&t, "\n");
    *needed = t.used + 1;
    return PNNG_OK;
}
