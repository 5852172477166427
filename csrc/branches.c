/* Steps that several threads do at the same time, each a whole one: products of which none needs
 * another, as the gradients of a Linear, that are too small to be cut. */
#include "split.h"
#include "threads.h"

enum { MOST = 8, OPERANDS = PNNG_PRODUCT_OPERANDS + PNNG_FINISH_OPERANDS };

/* ---- which ---------------------------------------------------------------------------------- */

/* Nanoseconds that it takes beside the work, most of them for what is in another core's caches: to
 * do steps at the same time, of which each core gets all operands, and to cut one. */
enum { BRANCHING = 10000, CUTTING = 4000 };

static bool is_column_sum(const pnng_plan *plan, const pnng_step *step) {
    return step->run == pnng_run_kernel && step->split == PNNG_SPLIT_NONE &&
           step->kernel == plan->kernels->op[PNNG_OP_REDUCE_SUM].forward;
}

/* A step that cannot fail, and whose operands are known. */
static bool may_branch(const pnng_plan *plan, const pnng_step *step) {
    return step->run == pnng_run_gemm || is_column_sum(plan, step);
}

static bool is_only_read(const pnng_plan *plan, const pnng_step *step, size_t operand) {
    return step->run == pnng_run_gemm ? !pnng_step_writes(plan, step, operand) : operand == 1;
}

/* Whether one step writes to an array that the other one has, as far as storages tell. */
static bool meet(const pnng_plan *plan, const pnng_step *x, const pnng_step *y) {
    const pnng_operand *const of_x = plan->operands + x->first_operand;
    const pnng_operand *const of_y = plan->operands + y->first_operand;
    for (size_t k = 0; k < x->n_operands; k++)
        for (size_t l = 0; l < y->n_operands; l++)
            if (of_x[k].base != PNNG_BASE_NONE && of_x[k].base == of_y[l].base &&
                !(is_only_read(plan, x, k) && is_only_read(plan, y, l)))
                return true;
    return false;
}

/* Of one thread, about. */
static uint64_t time_of(const pnng_plan *plan, const pnng_step *step) {
    uint64_t nanoseconds = step->run == pnng_run_gemm ? plan->methods[step->j].nanoseconds
                                                      : step->cols * plan->element / 64;
    for (size_t l = 0; l < step->n_outer; l++)
        nanoseconds *= (uint64_t)plan->outer[step->first_outer + l];
    return nanoseconds;
}

static size_t parts_of(const pnng_plan *plan, const pnng_step *step) {
    return step->run == pnng_run_gemm ? plan->methods[step->j].parts : 1;
}

/* Whether steps are done sooner at the same time than one after the other, each cut into its
 * parts; by a tenth at least, since times are guesses. */
static bool is_sooner(const pnng_plan *plan, const pnng_step *steps, size_t count) {
    uint64_t longest = 0, sum = 0, cut = 0;
    for (size_t k = 0; k < count; k++) {
        const uint64_t time = time_of(plan, &steps[k]);
        const size_t parts = parts_of(plan, &steps[k]);
        longest = time > longest ? time : longest;
        sum += time;
        cut += parts > 1 ? time / parts + CUTTING : time;
    }
    if (!pnng_threads_may_help(sum))
        return false;
    const size_t threads = pnng_threads_limit() < count ? pnng_threads_limit() : count;
    const uint64_t shared = sum / threads > longest ? sum / threads : longest;
    return threads > 1 && ((shared + BRANCHING) * 11 < cut * 10 || pnng_threads_always);
}

static size_t count_branches(const pnng_plan *plan, const pnng_step *steps, size_t most) {
    size_t count = 0;
    for (; count < most && may_branch(plan, &steps[count]); count++)
        for (size_t k = 0; k < count; k++)
            if (meet(plan, &steps[k], &steps[count]))
                return count;
    return count;
}

void pnng_find_branches(pnng_plan *plan) {
    pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count;) {
            pnng_step *const first = &runs[run]->step[s];
            const size_t left = runs[run]->count - s;
            const size_t count = count_branches(plan, first, left < MOST ? left : MOST);
            const bool branch = count > 1 && is_sooner(plan, first, count);
            first->branches = branch ? (uint8_t)count : 0;
            s += branch ? count : 1;
        }
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct job {
    pnng_plan *plan;
    const pnng_step *step[MOST]; /* those that this run wants */
} job;

static void run_branch(void *context, size_t k) {
    const job *const j = context;
    void *room[OPERANDS];
    pnng_run_step(j->plan, j->step[k], room);
}

bool pnng_run_branches(pnng_plan *plan, const pnng_step *first, uint32_t mask) {
    job j = {.plan = plan};
    size_t count = 0;
    uint64_t nanoseconds = 0;
    for (const pnng_step *step = first; step < first + first->branches; step++)
        if (step->mask & mask) {
            j.step[count++] = step;
            nanoseconds += time_of(plan, step);
        }
    const size_t threads = count > 1 ? pnng_threads_wanted(nanoseconds) : 1;
    if (threads == 1)
        return false;
    pnng_parallel(threads, count, run_branch, &j);
    return true;
}
