/* Steps that several threads do: which ranges of one can be done alone, when that pays, doing it.
 *
 * Every element of a result is made by the same instructions in the same order, whoever makes it:
 * sums are never cut, and where vectors lie along what is cut, it is cut at cache lines. */
#include "split.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "cpu.h"
#include "threads.h"

enum {
    LINE = 64,
    /* Parts for each thread, so that one that comes late leaves some to the others. */
    PARTS = 4,
    WORK_BYTES = 4 * PNNG_SPLIT_OPERANDS / 2 * PNNG_MAX_VECTOR_BYTES,
};

/* ---- how long a step takes ------------------------------------------------------------------- */

/* Cycles for a vector of a kernel's result, where its arithmetic and not memory is what takes time.
 * Rather too few: who thinks a step longer than it is makes it slower by splitting it. */
static unsigned forward_cycles(pnng_op op) {
    switch (op) {
    case PNNG_OP_DIV:
    case PNNG_OP_SQRT:
    case PNNG_OP_ROOT:
    case PNNG_OP_SOFTSIGN:
    case PNNG_OP_MAX_POOL:
    case PNNG_OP_AVERAGE_POOL:
    case PNNG_OP_FRACTIONAL_POOL:
        return 8;
    case PNNG_OP_TANH:
    case PNNG_OP_SIGMOID:
    case PNNG_OP_EXP:
    case PNNG_OP_LOG:
    case PNNG_OP_LOGSIGMOID:
    case PNNG_OP_SOFTPLUS:
    case PNNG_OP_ELU:
    case PNNG_OP_SOFTMAX:
    case PNNG_OP_LOGSOFTMAX:
    case PNNG_OP_DROPOUT:
    case PNNG_OP_UNIFORM:
        return 12;
    case PNNG_OP_NORMAL:
    case PNNG_OP_POWER:
        return 40;
    default:
        return 0;
    }
}

static unsigned backward_cycles(pnng_op op) {
    switch (op) {
    case PNNG_OP_LOG:
    case PNNG_OP_SQRT:
    case PNNG_OP_ROOT:
    case PNNG_OP_SOFTSIGN:
    case PNNG_OP_DIV:
    case PNNG_OP_BCE:
    case PNNG_OP_MAX_POOL:
    case PNNG_OP_AVERAGE_POOL:
        return 8;
    case PNNG_OP_LOGSIGMOID:
    case PNNG_OP_SOFTPLUS:
    case PNNG_OP_LOGSOFTMAX:
    case PNNG_OP_DROPOUT:
        return 12;
    case PNNG_OP_POWER:
        return 40;
    default:
        return 0;
    }
}

/* Nanoseconds of one thread, at 3 GHz, for so many bytes of a result that is made of `arrays` of
 * its size. Memory counts as if it were the core's nearest: the other core may have to fetch from
 * this one's caches what this one has there, and that pays only where it does not fit. */
static uint64_t estimate(unsigned cycles, size_t bytes, size_t arrays) {
    enum { BYTES_PER_NANOSECOND = 128 };
    const uint64_t moving = (uint64_t)bytes * arrays / BYTES_PER_NANOSECOND;
    const uint64_t counting = (uint64_t)bytes / pnng_chosen_isa()->vector_bytes * cycles / 3;
    return moving > counting ? moving : counting;
}

/* ---- what can be cut ------------------------------------------------------------------------- */

/* What kernels.h says of the operands of a family, as bytes from one unit to the next. */
typedef struct cut {
    const pnng_plan *plan;
    pnng_step *step;
    ptrdiff_t *by;
    size_t element;
    size_t times; /* how often as many elements are gone through as the rows and cols have */
} cut;

static void cut_rows(const cut *s, size_t operand) {
    s->by[operand] = s->plan->strides[s->step->first_operand + operand] * (ptrdiff_t)s->element;
}

/* All operands are rows x cols. Turns of outer loops where there are enough of them, else rows,
 * else stretches of the rows. */
static void cut_elementwise(const cut *s) {
    pnng_step *const step = s->step;
    const int64_t *const outer = s->plan->outer + step->first_outer;
    if (step->n_outer && outer[0] >= PARTS) {
        step->split = PNNG_SPLIT_TURNS;
        for (size_t k = 0; k < step->n_operands; k++)
            s->by[k] = (ptrdiff_t)outer[step->n_outer + k];
    } else if (step->rows >= 4 * PARTS) {
        step->split = PNNG_SPLIT_ROWS;
        for (size_t k = 0; k < step->n_operands; k++)
            cut_rows(s, k);
    } else {
        step->split = PNNG_SPLIT_COLS;
        for (size_t k = 0; k < step->n_operands; k++)
            s->by[k] = (ptrdiff_t)s->element;
    }
}

/* Rows of y, which are columns of x. */
static void cut_transpose(const cut *s) {
    s->step->split = PNNG_SPLIT_ROWS;
    cut_rows(s, 0);
    s->by[1] = (ptrdiff_t)s->element;
}

/* Slices of x and rows of y; a slice of a spread gradient can be cut, that of a sum cannot. */
static void cut_reduce(const cut *s, bool spreads) {
    pnng_step *const step = s->step;
    const ptrdiff_t slice = (ptrdiff_t)(step->cols * s->element),
                    row = (ptrdiff_t)(step->inner * s->element);
    s->by[0] = spreads ? slice : row;
    s->by[1] = spreads ? row : slice;
    if (step->rows > 1) {
        step->split = PNNG_SPLIT_ROWS;
    } else if (spreads) {
        step->split = PNNG_SPLIT_N;
        s->by[0] = row;
        s->by[1] = 0;
    }
}

/* Slices of x, operand number `sliced`, and rows of the others. */
static void cut_extreme(const cut *s, size_t sliced) {
    if (s->step->rows == 1)
        return;
    s->step->split = PNNG_SPLIT_ROWS;
    for (size_t k = 0; k < 3; k++)
        s->by[k] = (ptrdiff_t)((k == sliced ? s->step->cols : s->step->inner) * s->element);
}

/* Channels: rows, or cols where they are single numbers. Operands of the bits `samples` are arrays
 * of samples, all others have a number a channel. */
static void cut_channels(cut *s, unsigned samples) {
    pnng_step *const step = s->step;
    const bool single = step->inner == 1;
    step->split = single ? PNNG_SPLIT_COLS : PNNG_SPLIT_ROWS;
    if (single)
        s->times = step->n;
    for (size_t k = 0; k < step->n_operands; k++)
        s->by[k] = (ptrdiff_t)(s->element * (samples >> k & 1 ? step->inner : 1));
}

/* Rows that are normalised: dx is cut along these, gradients of the weight and the bias, operands 1
 * and 2, between columns of g, x and w. */
static void cut_layer(const cut *s) {
    enum { LAYER_OPERANDS = 8 };
    static const bool columns[LAYER_OPERANDS] = {
        [1] = true, [2] = true, [3] = true, [4] = true, [7] = true};
    pnng_step *const step = s->step;
    const ptrdiff_t e = (ptrdiff_t)s->element, row = (ptrdiff_t)step->cols * e;
    if (s->plan->operands[step->first_operand].base == PNNG_BASE_NONE) {
        step->split = PNNG_SPLIT_COLS;
        for (size_t k = 0; k < LAYER_OPERANDS; k++)
            s->by[k] = columns[k] ? e : 0;
        return;
    }
    step->split = PNNG_SPLIT_ROWS;
    s->by[0] = s->by[3] = s->by[4] = row;
    s->by[5] = s->by[6] = e;
}

static void cut_planes(const cut *s) {
    s->step->split = PNNG_SPLIT_ROWS;
    for (size_t k = 0; k < s->step->n_operands; k++)
        cut_rows(s, k);
}

static void cut_forward(cut *s, pnng_op op, const pnng_family *family) {
    pnng_step *const step = s->step;
    if (family == &pnng_family_unary_x || family == &pnng_family_unary_y ||
        family == &pnng_family_sum || family == &pnng_family_nary) {
        cut_elementwise(s);
    } else if (family == &pnng_family_slices) {
        step->split = PNNG_SPLIT_ROWS;
        cut_rows(s, 0);
        cut_rows(s, 1);
    } else if (family == &pnng_family_noise) {
        step->split = PNNG_SPLIT_COLS;
        s->by[0] = s->by[1] = s->by[2] = (ptrdiff_t)s->element;
    } else if (family == &pnng_family_draw) {
        step->split = PNNG_SPLIT_COLS;
        s->by[0] = (ptrdiff_t)s->element;
    } else if (family == &pnng_family_extreme) {
        cut_extreme(s, 2);
    } else if (op == PNNG_OP_GATHER || op == PNNG_OP_ONE_HOT) {
        step->split = PNNG_SPLIT_ROWS;
        cut_rows(s, 0);
        s->by[op == PNNG_OP_GATHER ? 2 : 1] = sizeof(int64_t);
    } else if (step->windows) {
        cut_planes(s);
    } else if (op == PNNG_OP_BATCH_NORM) {
        cut_channels(s, 1 << 0 | 1 << 4);
    } else if (op == PNNG_OP_CHANNEL_AFFINE || op == PNNG_OP_CHANNEL_PRELU) {
        cut_channels(s, 1 << 0 | 1 << 1);
    } else if (op == PNNG_OP_LAYER_NORM) {
        cut_channels(s, 1 << 0 | 1 << 3);
        s->by[4] = s->by[5] = 0;
    }
}

/* Whether two operands are the same elements in the same order. */
static bool same_place(const cut *s, size_t k, size_t l) {
    const pnng_step *const step = s->step;
    const pnng_operand *const operand = s->plan->operands + step->first_operand;
    const ptrdiff_t *const stride = s->plan->strides + step->first_operand;
    const int64_t *const outer = s->plan->outer + step->first_outer + step->n_outer;
    bool same = operand[k].offset == operand[l].offset && stride[k] == stride[l];
    for (size_t loop = 0; loop < step->n_outer; loop++)
        same = same && outer[loop * step->n_operands + k] == outer[loop * step->n_operands + l];
    return same;
}

/* Gradients of a table that may lie over each other, as those of x and of its transpose do: then
 * they are added to by one thread, element after element. */
static bool gradients_overlap(const cut *s, size_t first) {
    const pnng_step *const step = s->step;
    const size_t n = step->n;
    const pnng_operand *const d = s->plan->operands + step->first_operand + first;
    const uint8_t *const adds = s->plan->flag_pool + step->first_flag;
    for (size_t k = 1; k < n; k++)
        for (size_t l = 0; l < k; l++)
            if (d[k].base && d[k].base == d[l].base && adds[k] && adds[l] &&
                !same_place(s, first + k, first + l))
                return true;
    return false;
}

static void cut_backward(cut *s, pnng_op op, const pnng_family *family) {
    pnng_step *const step = s->step;
    if (family == &pnng_family_unary_x || family == &pnng_family_unary_y) {
        cut_elementwise(s);
    } else if (family == &pnng_family_noise) {
        step->split = PNNG_SPLIT_COLS;
        s->by[0] = s->by[1] = (ptrdiff_t)s->element;
    } else if (family == &pnng_family_sum || family == &pnng_family_nary) {
        /* g and the gradients; or g, work space, the inputs and their gradients */
        if (!gradients_overlap(s, family == &pnng_family_sum ? 1 : 2 + step->n))
            cut_elementwise(s);
    } else if (family == &pnng_family_slices) {
        step->split = PNNG_SPLIT_ROWS;
        for (size_t k = 0; k < 3; k++)
            cut_rows(s, k);
    } else if (family == &pnng_family_extreme) {
        cut_extreme(s, 0);
    } else if (family == &pnng_family_loss) {
        step->split = PNNG_SPLIT_COLS;
        s->by[0] = s->by[2] = s->by[3] = s->by[4] = (ptrdiff_t)s->element;
    } else if (op == PNNG_OP_NLL) {
        step->split = PNNG_SPLIT_ROWS;
        cut_rows(s, 0);
        s->by[3] = sizeof(int64_t);
    } else if (op == PNNG_OP_GATHER) {
        step->split = PNNG_SPLIT_COLS;
        s->by[0] = s->by[1] = (ptrdiff_t)s->element;
    } else if (step->windows) {
        cut_planes(s);
    } else if (op == PNNG_OP_BATCH_NORM || op == PNNG_OP_CHANNEL_AFFINE ||
               op == PNNG_OP_CHANNEL_PRELU) {
        cut_channels(s, 1 << 0 | 1 << 3 | 1 << 4);
    } else if (op == PNNG_OP_LAYER_NORM) {
        cut_layer(s);
    }
}

/* By kernels, not by ops: an op has steps of other ones' kernels too. */
static unsigned cut_step(cut *s, pnng_op op) {
    const pnng_kernels *const kernels = s->plan->kernels;
    pnng_kernel *const kernel = s->step->kernel;
    if (kernel == kernels->common.scale || kernel == kernels->common.fill ||
        kernel == pnng_chosen_isa()->f64.common.scale) {
        cut_elementwise(s);
    } else if (kernel == kernels->common.transpose ||
               kernel == pnng_chosen_isa()->f64.common.transpose) {
        cut_transpose(s);
    } else if (kernel == kernels->op[PNNG_OP_REDUCE_SUM].forward) {
        cut_reduce(s, false);
    } else if (kernel == kernels->op[PNNG_OP_REDUCE_SUM].backward) {
        cut_reduce(s, true);
    } else if (kernel == kernels->op[op].forward) {
        cut_forward(s, op, pnng_family_of(op));
        return forward_cycles(op);
    } else if (kernel == kernels->op[op].backward) {
        cut_backward(s, op, pnng_family_of(op));
        return backward_cycles(op);
    }
    return 0;
}

bool pnng_split_step(const pnng_plan *plan, pnng_step *step, ptrdiff_t by[PNNG_SPLIT_OPERANDS]) {
    if (step->run != pnng_run_kernel || step->n_operands > PNNG_SPLIT_OPERANDS)
        return false;
    /* Copies of indices are of doubles, whatever the plan's number type. */
    const pnng_common *const doubled = &pnng_chosen_isa()->f64.common;
    const bool doubles = step->kernel == doubled->scale || step->kernel == doubled->transpose;
    cut s = {plan, step, by, doubles ? sizeof(double) : plan->element, 1};
    memset(by, 0, step->n_operands * sizeof *by);
    const pnng_op op = step->op < 0 ? PNNG_OP_IDENTITY : plan->program->ops[step->op].code;
    const unsigned cycles = cut_step(&s, op);
    if (step->split == PNNG_SPLIT_NONE)
        return false;
    size_t bytes = step->rows * step->cols * s.times * s.element;
    for (size_t l = 0; l < step->n_outer && step->split == PNNG_SPLIT_TURNS; l++)
        bytes *= (size_t)plan->outer[step->first_outer + l];
    step->nanoseconds = estimate(cycles, bytes, step->n_operands);
    if (!pnng_threads_may_help(step->nanoseconds))
        step->split = PNNG_SPLIT_NONE;
    return step->split != PNNG_SPLIT_NONE;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct job {
    pnng_plan *plan;
    const pnng_step *step;
    const pnng_call *call; /* of a kernel; turns have none */
    void *const *ptr;
    size_t units, grain, parts;
    atomic_bool failed;
} job;

/* Unit number `part` of `parts` begins at. */
static size_t start_of(const job *j, size_t part) {
    const size_t grains = (j->units + j->grain - 1) / j->grain;
    const size_t start =
        (grains / j->parts * part + grains % j->parts * part / j->parts) * j->grain;
    return start < j->units ? start : j->units;
}

static pnng_status run_range(const job *j, size_t start, size_t count, void **ptr) {
    const pnng_step *const step = j->step;
    if (step->split == PNNG_SPLIT_TURNS)
        return pnng_run_turns(j->plan, step, ptr, (int64_t)count);
    int64_t bad[2];
    pnng_call call = *j->call;
    call.ptr = ptr;
    call.bad = bad; /* the one that is told is found by the whole kernel */
    if (step->split == PNNG_SPLIT_ROWS) {
        call.rows = count;
        if (step->noise)
            call.i = (int64_t)start;
    } else if (step->split == PNNG_SPLIT_COLS) {
        call.cols = count;
        if (step->noise)
            call.i = (int64_t)start;
    } else {
        call.n = count;
        call.cols = count * call.inner;
    }
    return step->kernel(&call);
}

static void run_part(void *context, size_t k) {
    job *const j = context;
    const pnng_step *const step = j->step;
    const ptrdiff_t *const by = j->plan->by + step->first_by;
    const size_t start = start_of(j, k), end = start_of(j, k + 1);
    void *ptr[PNNG_SPLIT_OPERANDS];
    alignas(LINE) char work[WORK_BYTES];
    for (size_t o = 0; o < step->n_operands; o++) {
        ptr[o] = j->ptr[o];
        if (ptr[o])
            ptr[o] = (char *)ptr[o] + by[o] * (ptrdiff_t)start;
    }
    if (step->work && ptr[step->work])
        ptr[step->work] = work;
    if (run_range(j, start, end - start, ptr))
        atomic_store_explicit(&j->failed, true, memory_order_relaxed);
}

/* Whether several threads did it: all of it, and nothing was wrong with the numbers. */
static bool run_parts(pnng_plan *plan, const pnng_step *step, const pnng_call *call,
                      void *const *ptr) {
    const size_t threads = pnng_threads_wanted(step->nanoseconds);
    if (threads == 1)
        return false;
    job j = {.plan = plan, .step = step, .call = call, .ptr = ptr, .grain = 1};
    switch (step->split) {
    case PNNG_SPLIT_TURNS:
        j.units = (size_t)plan->outer[step->first_outer];
        break;
    case PNNG_SPLIT_ROWS:
        j.units = step->rows;
        break;
    case PNNG_SPLIT_COLS:
        j.units = step->cols;
        j.grain = LINE / plan->element;
        break;
    default:
        j.units = step->n;
        break;
    }
    const size_t grains = (j.units + j.grain - 1) / j.grain;
    j.parts = threads * PARTS < grains ? threads * PARTS : grains;
    pnng_parallel(threads, j.parts, run_part, &j);
    return !atomic_load_explicit(&j.failed, memory_order_relaxed);
}

pnng_status pnng_run_split_kernel(pnng_plan *plan, const pnng_step *step, const pnng_call *call) {
    return run_parts(plan, step, call, call->ptr) ? PNNG_OK : step->kernel(call);
}

pnng_status pnng_run_split_turns(pnng_plan *plan, const pnng_step *step, void **ptr) {
    return run_parts(plan, step, NULL, ptr)
               ? PNNG_OK
               : pnng_run_turns(plan, step, ptr, plan->outer[step->first_outer]);
}
