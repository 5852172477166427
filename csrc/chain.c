/* Chains: elementwise steps that are done one after the other on a piece of all that they go
 * through, which stays in the nearest cache, then on the next piece. Values that only they touch
 * have no more memory than a piece. Numbers do not change: the kernels are the same, and what they
 * make of an element does not depend on the piece that it is in.
 *
 * All this is seen from the steps of a plan, whatever families made them. */
#include <stdalign.h>
#include <string.h>

#include "cpu.h"
#include "plan.h"
#include "threads.h"

enum {
    LINE = 64,
    FAR = 8,           /* times what the core's own caches hold */
    SCRATCH = 1 << 15, /* for values that only a chain touches; on the stack */
    MOST_MEMBERS = 32,
    MOST_OPERANDS = 128,
    MOST_OF_ONE = 20, /* operands of a member */
    PARTS = 4,        /* for each thread, so that one that comes late leaves some to the others */
};

/* Bytes of an array that are gone through at once, about. */
size_t pnng_chain_piece = 4096;

/* ---- which steps ----------------------------------------------------------------------------- */

/* Of a storage: how many operands are in it; the last steps, counted from 1, that touched it and
 * that may have written to it, but for those of the chain under way; and what that one does. */
typedef struct use {
    size_t count, touched, written;
    size_t chain;    /* the number of the last chain that touched it, from 1 */
    size_t in_chain; /* how many of that one's operands are in it */
    size_t seen;     /* the last chain of which an operand was pushed that is in it */
    size_t scratch;  /* where it is in that one's scratch, + 1; 0: it is not */
} use;

/* Where an operand is: its rows are so many elements apart. */
typedef struct place {
    uint32_t base;
    size_t offset;
    ptrdiff_t stride;
} place;

typedef struct chainer {
    const pnng_allocator *allocator;
    pnng_plan *plan;
    pnng_storage *storages;
    use *uses;
    pnng_steps *steps; /* forward's or backward's */
    size_t before;     /* the steps before these */
    /* the chain under way */
    size_t number, rows, cols;
    size_t members[MOST_MEMBERS], n_members, n_operands, n_storages;
} chainer;

static const pnng_operand *operand_of(const chainer *c, const pnng_step *step, size_t k) {
    return &c->plan->operands[step->first_operand + k];
}

static use *use_of(const chainer *c, const pnng_step *step, size_t k) {
    const uint32_t base = operand_of(c, step, k)->base;
    return base == PNNG_BASE_NONE ? NULL : &c->uses[base - 1];
}

/* Whether a step goes through rows and columns, with work space of no array. */
static bool may_be_member(const chainer *c, const pnng_step *step) {
    return step->walks && !step->n_outer && step->mask != PNNG_UPDATES &&
           step->n_operands <= MOST_OF_ONE &&
           (!step->work || operand_of(c, step, step->work)->base == PNNG_BASE_NONE) &&
           (c->plan->element == sizeof(double) ||
            step->kernel != pnng_chosen_isa()->f64.common.scale); /* a copy of indices */
}

/* ---- what is where --------------------------------------------------------------------------- */

/* One row of all elements is as many rows as is wanted. */
static place place_of(const chainer *c, const pnng_step *step, size_t k, size_t cols) {
    const pnng_operand *const operand = operand_of(c, step, k);
    return (place){operand->base, operand->offset,
                   step->rows == 1 ? (ptrdiff_t)cols : c->plan->strides[step->first_operand + k]};
}

static bool same_place(const place *one, const place *other) {
    return one->base == other->base && one->offset == other->offset && one->stride == other->stride;
}

/* Whether no element of one is in the other: one is behind the other, or beside it in its rows. */
static bool are_apart(const place *one, const place *other, size_t rows, size_t cols,
                      size_t element) {
    const place *const low = one->offset < other->offset ? one : other;
    const place *const high = low == one ? other : one;
    if (low->stride < (ptrdiff_t)cols || high->stride < (ptrdiff_t)cols)
        return false;
    const size_t stride = (size_t)low->stride;
    const size_t between = (high->offset - low->offset) / element;
    if (between >= (rows - 1) * stride + cols)
        return true;
    return low->stride == high->stride && between % stride >= cols &&
           between % stride + cols <= stride;
}

/* Whether what a step does to an element needs no more of a member than that it did the same one:
 * operands that one of the two writes are in the same place or apart. */
static bool agrees(const chainer *c, const pnng_step *step, const pnng_step *member, size_t rows,
                   size_t cols) {
    for (size_t k = 0; k < step->n_operands; k++) {
        const use *const u = use_of(c, step, k);
        if (!u || (step != member && u->chain != c->number))
            continue;
        const place own = place_of(c, step, k, cols);
        for (size_t l = 0; l < member->n_operands; l++) {
            const place other = place_of(c, member, l, cols);
            if (own.base == other.base &&
                (pnng_step_writes(c->plan, step, k) || pnng_step_writes(c->plan, member, l)) &&
                !same_place(&own, &other) && !are_apart(&own, &other, rows, cols, c->plan->element))
                return false;
        }
    }
    return true;
}

/* Whether a step may be done where the chain is: since then nobody else touched what it writes, or
 * wrote what it reads. One that has nothing to do with the chain is left where it is, unless it is
 * the next one. */
static bool may_be_moved(const chainer *c, const pnng_step *step) {
    const size_t time = c->before + c->members[0] + 1;
    bool shares = step == &c->steps->step[c->members[c->n_members - 1] + 1];
    for (size_t k = 0; k < step->n_operands; k++) {
        const use *const u = use_of(c, step, k);
        if (!u)
            continue;
        shares |= u->chain == c->number;
        if ((pnng_step_writes(c->plan, step, k) ? u->touched : u->written) >= time)
            return false;
    }
    return shares;
}

static bool may_join(const chainer *c, const pnng_step *step) {
    if (c->n_members == 0 || c->n_members == MOST_MEMBERS ||
        c->n_operands + step->n_operands > MOST_OPERANDS ||
        step->rows * step->cols != c->rows * c->cols ||
        (step->rows > 1 && c->rows > 1 && step->rows != c->rows) || !may_be_moved(c, step))
        return false;
    const size_t rows = step->rows > 1 ? step->rows : c->rows;
    const size_t cols = step->rows > 1 ? step->cols : c->cols;
    for (size_t m = 0; m < c->n_members; m++)
        if (!agrees(c, step, &c->steps->step[c->members[m]], rows, cols))
            return false;
    return agrees(c, step, step, rows, cols);
}

/* ---- making one ------------------------------------------------------------------------------ */

static void open_chain(chainer *c, const pnng_step *step) {
    c->number++;
    c->n_members = c->n_operands = c->n_storages = 0;
    c->rows = step->rows;
    c->cols = step->cols;
}

static void join(chainer *c, const pnng_step *step) {
    if (step->rows > 1) {
        c->rows = step->rows;
        c->cols = step->cols;
    }
    c->members[c->n_members++] = (size_t)(step - c->steps->step);
    c->n_operands += step->n_operands;
    for (size_t k = 0; k < step->n_operands; k++) {
        use *const u = use_of(c, step, k);
        if (!u)
            continue;
        if (u->chain != c->number) {
            u->in_chain = u->scratch = 0;
            c->n_storages++;
        }
        u->chain = c->number;
        u->in_chain++;
    }
}

/* A step is done at a time. */
static void note(const chainer *c, const pnng_step *step, size_t time) {
    for (size_t k = 0; k < step->n_operands; k++) {
        use *const u = use_of(c, step, k);
        if (u && u->touched < time)
            u->touched = time;
        if (u && u->written < time && pnng_step_writes(c->plan, step, k))
            u->written = time;
    }
}

/* Whether all operands of the chain in a storage are in the place of one. */
static bool are_in_one_place(const chainer *c, const place *one) {
    for (size_t m = 0; m < c->n_members; m++) {
        const pnng_step *const step = &c->steps->step[c->members[m]];
        for (size_t k = 0; k < step->n_operands; k++) {
            const place other = place_of(c, step, k, c->cols);
            if (one->base == other.base && !same_place(one, &other))
                return false;
        }
    }
    return true;
}

/* How large pieces are: some rows, or a part of one, at lines of the cache. Where all is far away,
 * they are smaller, and the next one is fetched meanwhile. From a cache that all cores share, or
 * where no more than a part of it is there, fetching costs more than it gives. */
static void choose_pieces(const chainer *c, pnng_chain *chain) {
    const size_t element = c->plan->element;
    chain->fetches =
        c->rows * c->cols * c->n_storages > FAR * (size_t)pnng_cpu_info()->l2_bytes / element;
    const size_t piece = pnng_chain_piece / (chain->fetches ? 2 : 1) / element;
    chain->rows = c->rows;
    chain->cols = c->cols;
    chain->wide = c->cols <= piece + piece / 2 ? c->cols : piece;
    chain->high = chain->wide < piece && chain->wide == c->cols ? piece / c->cols : 1;
    if (chain->high > c->rows)
        chain->high = c->rows;
}

/* The place of a member's operand in the scratch, + 1, if it is a value of which a piece is enough:
 * nobody else touches it. It is written before it is read, since nobody else wrote it. */
static size_t local_place(const chainer *c, pnng_chain *chain, const pnng_step *step, size_t k) {
    use *const u = use_of(c, step, k);
    const size_t bytes = (chain->high * chain->wide * c->plan->element + LINE - 1) / LINE * LINE;
    if (!u || u->scratch || u->in_chain != u->count || c->storages[u - c->uses].slot >= 0)
        return u ? u->scratch : 0;
    const place here = place_of(c, step, k, c->cols);
    if (chain->scratch + bytes > SCRATCH || !are_in_one_place(c, &here))
        return 0;
    u->scratch = chain->scratch + 1;
    chain->scratch +=
        bytes + LINE; /* stretches a multiple of 4 KiB apart would be in each other's way */
    return u->scratch;
}

/* Whether another member reads or writes what one writes. Then that stays in the caches. */
static bool is_wanted_soon(const chainer *c, const pnng_step *step) {
    for (size_t k = 0; k < step->n_operands; k++) {
        const use *const u = use_of(c, step, k);
        if (u && pnng_step_writes(c->plan, step, k) && u->in_chain > 1)
            return true;
    }
    return false;
}

/* Room for the members with their operands and ops, all or nothing. */
static bool make_room(const chainer *c) {
    pnng_plan *const plan = c->plan;
    const pnng_allocator *const by = c->allocator;
    return pnng_reserve(by, (void **)&plan->members, &plan->cap_members,
                        plan->n_members + c->n_members, sizeof *plan->members) &&
           pnng_reserve(by, (void **)&plan->chains, &plan->cap_chains, plan->n_chains + 1,
                        sizeof *plan->chains) &&
           pnng_reserve(by, (void **)&plan->ops, &plan->cap_ops, plan->n_ops + c->n_members,
                        sizeof *plan->ops) &&
           pnng_reserve(by, (void **)&plan->operands, &plan->cap_operands,
                        plan->n_operands + c->n_operands, sizeof *plan->operands) &&
           pnng_reserve(by, (void **)&plan->strides, &plan->cap_strides,
                        plan->n_operands + c->n_operands, sizeof *plan->strides);
}

/* Whether one of the operands that were pushed since `first` is where one is. */
static bool is_pushed(const pnng_plan *plan, size_t first, const pnng_operand *operand) {
    for (size_t k = first; k < plan->n_operands; k++)
        if (plan->operands[k].base == operand->base && plan->operands[k].offset == operand->offset)
            return true;
    return false;
}

/* The operands of a member, after those of the ones before it, which begin with number `first`. */
static void push_operands(const chainer *c, pnng_chain *chain, pnng_step *member, size_t first) {
    pnng_plan *const plan = c->plan;
    const pnng_step step = *member;
    member->first_operand = (uint32_t)plan->n_operands;
    member->firsts = 0;
    for (size_t k = 0; k < step.n_operands; k++) {
        pnng_operand operand = *operand_of(c, &step, k);
        ptrdiff_t stride = place_of(c, &step, k, c->cols).stride;
        const size_t local = local_place(c, chain, &step, k);
        use *const u = use_of(c, &step, k);
        if (local) {
            operand.base = PNNG_BASE_NONE;
            operand.offset = local;
            stride = (ptrdiff_t)chain->wide;
        } else if (u && (u->seen != c->number || !is_pushed(plan, first, &operand))) {
            member->firsts |= (uint32_t)1 << k;
            u->seen = c->number;
        }
        operand.mask &= step.mask;
        plan->strides[plan->n_operands] = stride;
        plan->operands[plan->n_operands++] = operand;
    }
}

static bool make_chain(chainer *c) {
    if (!make_room(c))
        return false;
    pnng_plan *const plan = c->plan;
    pnng_chain *const chain = &plan->chains[plan->n_chains];
    *chain = (pnng_chain){.first_member = plan->n_members, .n_members = c->n_members};
    choose_pieces(c, chain);
    pnng_step *const first = &c->steps->step[c->members[0]];
    pnng_step whole = {.run = pnng_run_chain,
                       .op = first->op,
                       .first_op = (uint32_t)plan->n_ops,
                       .first_operand = (uint32_t)plan->n_operands,
                       .n_operands = (uint32_t)c->n_operands,
                       .rows = c->rows,
                       .cols = c->cols,
                       .j = (int64_t)plan->n_chains++};
    for (size_t m = 0; m < c->n_members; m++) {
        pnng_step *const step = &c->steps->step[c->members[m]];
        pnng_step *const member = &plan->members[plan->n_members++];
        *member = *step;
        member->stream = step->stream && !is_wanted_soon(c, step);
        push_operands(c, chain, member, whole.first_operand);
        whole.mask |= step->mask;
        whole.nanoseconds += step->nanoseconds;
        if (step->op >= 0)
            plan->ops[plan->n_ops++] = step->op;
        step->run = NULL;
    }
    whole.n_ops = (uint32_t)plan->n_ops - whole.first_op;
    if (c->n_operands > plan->max_operands)
        plan->max_operands = c->n_operands;
    *first = whole;
    return true;
}

/* Whether it pays: where all is in the nearest cache anyway, nothing is saved. */
static bool pays(const chainer *c) {
    return c->n_members > 1 &&
           c->rows * c->cols * c->plan->element > pnng_chain_piece + pnng_chain_piece / 2;
}

static bool close_chain(chainer *c) {
    const bool is_made = pays(c);
    for (size_t m = 0; m < c->n_members; m++)
        note(c, &c->steps->step[c->members[m]], c->before + c->members[is_made ? 0 : m] + 1);
    if (is_made && !make_chain(c))
        return false;
    c->n_members = 0;
    return true;
}

static bool chain_steps(chainer *c, pnng_steps *steps) {
    c->steps = steps;
    for (size_t s = 0; s < steps->count; s++) {
        const pnng_step *const step = &steps->step[s];
        if (!may_be_member(c, step)) {
            note(c, step, c->before + s + 1);
            continue;
        }
        if (!may_join(c, step)) {
            if (!close_chain(c))
                return false;
            open_chain(c, step);
            if (!agrees(c, step, step, step->rows, step->cols)) {
                note(c, step, c->before + s + 1);
                continue;
            }
        }
        join(c, step);
    }
    if (!close_chain(c))
        return false;
    c->before += steps->count;
    pnng_drop_steps(steps);
    return true;
}

static void count_uses(const chainer *c, const pnng_steps *steps) {
    for (size_t s = 0; s < steps->count; s++)
        for (size_t k = 0; k < steps->step[s].n_operands; k++) {
            use *const u = use_of(c, &steps->step[s], k);
            if (u)
                u->count++;
        }
}

bool pnng_chain_steps(const pnng_allocator *allocator, pnng_plan *plan, pnng_storage *storages,
                      size_t n_storages) {
    chainer c = {.allocator = allocator, .plan = plan, .storages = storages};
    c.uses = pnng_allocate_zeroed(allocator, n_storages, sizeof *c.uses);
    if (!c.uses)
        return false;
    count_uses(&c, &plan->forward);
    count_uses(&c, &plan->backward);
    const bool done = chain_steps(&c, &plan->forward) && chain_steps(&c, &plan->backward);
    pnng_release(allocator, c.uses);
    return done;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct job {
    pnng_plan *plan;
    const pnng_step *step;
    const pnng_chain *chain;
    void *const *ptr;
    size_t across, pieces, parts; /* pieces of a row; of all; how many parts they are cut into */
} job;

/* Fetch what a member is the first to touch of the next piece, as far as it is in one stretch:
 * while a piece is gone through in the nearest cache, far memory would have nothing to do. */
static void fetch(const job *j, const pnng_step *member, size_t row, size_t col) {
    const pnng_plan *const plan = j->plan;
    const size_t first = member->first_operand - j->step->first_operand;
    const ptrdiff_t *const stride = plan->strides + member->first_operand;
    const size_t bytes = j->chain->high * j->chain->wide * plan->element;
    for (size_t k = 0; k < member->n_operands; k++) {
        const char *const base = j->ptr[first + k];
        if (!base || !(member->firsts >> k & 1) ||
            (member->stream && pnng_step_writes(plan, member, k)))
            continue;
        const char *const from =
            base + ((ptrdiff_t)row * stride[k] + (ptrdiff_t)col) * (ptrdiff_t)plan->element;
        for (size_t at = 0; at < bytes; at += LINE)
            __builtin_prefetch(from + at, 0, 2);
    }
}

/* Do a member on a piece, whose first element is at `row` and `col`. */
static void run_member(const job *j, const pnng_step *member, size_t row, size_t col, size_t high,
                       size_t wide, char *scratch) {
    const pnng_plan *const plan = j->plan;
    const size_t first = member->first_operand - j->step->first_operand;
    const pnng_operand *const operand = plan->operands + member->first_operand;
    const ptrdiff_t *const stride = plan->strides + member->first_operand;
    void *ptr[MOST_OF_ONE];
    for (size_t k = 0; k < member->n_operands; k++) {
        char *const base = j->ptr[first + k];
        ptr[k] = NULL;
        if (base)
            ptr[k] =
                base + ((ptrdiff_t)row * stride[k] + (ptrdiff_t)col) * (ptrdiff_t)plan->element;
        else if (operand[k].base == PNNG_BASE_NONE && operand[k].offset &&
                 operand[k].mask & plan->mask)
            ptr[k] = scratch + operand[k].offset - 1;
    }
    const pnng_call call = {.ptr = ptr,
                            .stride = stride,
                            .rows = high,
                            .cols = wide,
                            .n = member->n,
                            .inner = member->inner,
                            .a = member->scaled ? member->a * plan->scale : member->a,
                            .b = member->b,
                            .i = member->i,
                            .j = member->j,
                            .stream = member->stream,
                            .accumulate = plan->flag_pool + member->first_flag};
    member->kernel(&call); /* elementwise kernels find nothing wrong */
}

static void run_pieces(const job *j, size_t from, size_t to) {
    const pnng_chain *const chain = j->chain;
    const pnng_step *const member = j->plan->members + chain->first_member;
    alignas(LINE) char scratch[SCRATCH];
    for (size_t piece = from; piece < to; piece++) {
        const size_t row = piece / j->across * chain->high, col = piece % j->across * chain->wide;
        const size_t high = chain->rows - row < chain->high ? chain->rows - row : chain->high;
        const size_t wide = chain->cols - col < chain->wide ? chain->cols - col : chain->wide;
        for (size_t m = 0; m < chain->n_members; m++) {
            if (!(member[m].mask & j->plan->mask))
                continue;
            if (chain->fetches && piece + 1 < to)
                fetch(j, &member[m], (piece + 1) / j->across * chain->high,
                      (piece + 1) % j->across * chain->wide);
            run_member(j, &member[m], row, col, high, wide, scratch);
        }
    }
}

static void run_part(void *context, size_t k) {
    const job *const j = context;
    run_pieces(j, j->pieces * k / j->parts, j->pieces * (k + 1) / j->parts);
}

/* j: the chain */
pnng_status pnng_run_chain(pnng_plan *plan, const pnng_step *step, void **ptr) {
    const pnng_chain *const chain = &plan->chains[step->j];
    job j = {.plan = plan, .step = step, .chain = chain, .ptr = ptr};
    j.across = (chain->cols + chain->wide - 1) / chain->wide;
    j.pieces = j.across * ((chain->rows + chain->high - 1) / chain->high);
    const size_t threads =
        pnng_threads_may_help(step->nanoseconds) ? pnng_threads_wanted(step->nanoseconds) : 1;
    j.parts = threads * PARTS < j.pieces ? threads * PARTS : j.pieces;
    if (threads > 1)
        pnng_parallel(threads, j.parts, run_part, &j);
    else
        run_pieces(&j, 0, j.pieces);
    return PNNG_OK;
}
