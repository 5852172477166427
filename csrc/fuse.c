/* Steps that are made parts of others.
 *
 * Products that are summed are made in one place, where each adds to the one before. What is
 * elementwise of the result of a product or of a convolution is done where that is made, while it
 * is in the caches (gemm.c, convolution.c), and where nobody else wants that result, it has no
 * memory of its own. Numbers do not change: the kernels are the same, and so is the order of their
 * sums.
 *
 * All this is seen from the steps of a plan, whatever families made them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* ---- the switch ------------------------------------------------------------------------------ */

static bool is_on = true;
static char problem[128];

__attribute__((constructor)) static void read_setting(void) {
    const char *const text = getenv("PYNNGRAPH_FUSE");
    if (!text || !*text || strcmp(text, "1") == 0)
        return;
    is_on = false;
    if (strcmp(text, "0") != 0)
        snprintf(problem, sizeof problem, "PYNNGRAPH_FUSE=%.40s cannot be had: it is 0 or 1", text);
}

bool pnng_fuses(void) { return is_on; }

const char *pnng_fuse_problem(void) { return *problem ? problem : NULL; }

/* ---- what touches what ----------------------------------------------------------------------- */

/* Of a storage: how many operands of steps are in it, and the last step so far that has one. Steps
 * are counted from 1, those of the backward after those of the forward. */
typedef struct use {
    size_t count, last;
    size_t written; /* the last step so far that may have written to it */
    size_t sum;     /* if it is a sum of products: how many, */
    size_t first;   /* and the step of the first */
} use;

typedef struct fuser {
    const pnng_allocator *allocator;
    pnng_plan *plan;
    pnng_storage *storages;
    use *uses;
    pnng_steps *steps; /* forward's or backward's */
    size_t before;     /* the steps before these */
} fuser;

static pnng_operand *operand_of(const fuser *f, const pnng_step *step, size_t k) {
    return &f->plan->operands[step->first_operand + k];
}

static ptrdiff_t *stride_of(const fuser *f, const pnng_step *step, size_t k) {
    return &f->plan->strides[step->first_operand + k];
}

/* NULL where there is no array. */
static use *use_of(const fuser *f, const pnng_step *step, size_t k) {
    const uint32_t base = operand_of(f, step, k)->base;
    return base == PNNG_BASE_NONE ? NULL : &f->uses[base - 1];
}

/* A convolution, unless it is that of a weight's gradient; else NULL. */
static const pnng_convolution *convolution_of(const pnng_plan *plan, const pnng_step *step) {
    if (step->run != pnng_run_convolution)
        return NULL;
    const pnng_convolution *const c = &plan->convolutions[step->j].asked;
    return c->kind == PNNG_CONVOLVE_WEIGHT ? NULL : c;
}

/* What a product or a convolution makes: the number of that operand. */
static size_t made_by(const pnng_plan *plan, const pnng_step *step) {
    const pnng_convolution *const c = convolution_of(plan, step);
    if (!c)
        return PNNG_PRODUCT_C;
    return c->kind == PNNG_CONVOLVE_Y ? PNNG_CONVOLUTION_Y : PNNG_CONVOLUTION_X;
}

/* The finish's first operand is what it makes. */
bool pnng_step_writes(const pnng_plan *plan, const pnng_step *step, size_t k) {
    if (step->run == pnng_run_gemm)
        return k == PNNG_PRODUCT_C || k == PNNG_PRODUCT_WORK || k == PNNG_PRODUCT_OPERANDS;
    if (convolution_of(plan, step))
        return k == made_by(plan, step) || k == PNNG_CONVOLUTION_WORK ||
               k == PNNG_CONVOLUTION_OPERANDS;
    if (!step->walks)
        return true;
    return step->writes ? k >= step->writes : k == 0;
}

/* A step is done at a time. */
static void note(const fuser *f, const pnng_step *step, size_t time) {
    for (size_t k = 0; k < step->n_operands; k++) {
        use *const u = use_of(f, step, k);
        if (u && u->last < time)
            u->last = time;
        if (u && u->written < time && pnng_step_writes(f->plan, step, k))
            u->written = time;
    }
}

static void count_uses(const fuser *f, const pnng_steps *steps) {
    for (size_t s = 0; s < steps->count; s++) {
        const pnng_step *const step = &steps->step[s];
        for (size_t k = 0; k < step->n_operands; k++) {
            use *const u = use_of(f, step, k);
            if (u)
                u->count++;
        }
    }
}

/* The ops of a step are also those of another one. */
static bool take_ops(const fuser *f, pnng_step *by, const pnng_step *of) {
    pnng_plan *const plan = f->plan;
    size_t n_own, n_more;
    pnng_step_ops(plan, by, &n_own);
    pnng_step_ops(plan, of, &n_more);
    if (!pnng_reserve(f->allocator, (void **)&plan->ops, &plan->cap_ops,
                      plan->n_ops + n_own + n_more, sizeof *plan->ops))
        return false;
    const int32_t *const own = pnng_step_ops(plan, by, &n_own);
    const int32_t *const more = pnng_step_ops(plan, of, &n_more);
    const size_t first = plan->n_ops;
    for (size_t k = 0; k < n_own; k++)
        plan->ops[plan->n_ops++] = own[k];
    for (size_t k = 0; k < n_more; k++)
        plan->ops[plan->n_ops++] = more[k];
    by->first_op = (uint32_t)first;
    by->n_ops = (uint32_t)(plan->n_ops - first);
    return true;
}

/* ---- the end of a product -------------------------------------------------------------------- */

/* The rows and columns of what a product or a convolution makes: of the latter one row, or none
 * where it has gaps. */
static void size_of_made(const fuser *f, const pnng_step *product, size_t *rows, size_t *cols) {
    const pnng_convolution *const c = convolution_of(f->plan, product);
    *rows = c ? 1 : product->rows;
    *cols = c ? pnng_convolution_dense_size(c) : product->cols;
}

/* Whether an elementwise step goes through its operand `in` as a product goes through C. */
static bool walks_as(const fuser *f, const pnng_step *step, size_t in, const pnng_step *product) {
    const pnng_operand *const x = operand_of(f, step, in);
    const pnng_operand *const c = operand_of(f, product, made_by(f->plan, product));
    const ptrdiff_t ldc = *stride_of(f, product, made_by(f->plan, product));
    size_t rows, cols;
    size_of_made(f, product, &rows, &cols);
    if (step->n_outer || x->base != c->base || x->offset != c->offset)
        return false;
    const bool in_one = step->rows == 1 && step->cols == rows * cols;
    if (!in_one && (step->rows != rows || step->cols != cols))
        return false;
    return rows == 1 || (in_one ? (ptrdiff_t)cols : *stride_of(f, step, in)) == ldc;
}

/* The stride of an operand of such a step, from one row of C to the next. */
static ptrdiff_t stride_along(const fuser *f, const pnng_step *step, size_t k,
                              const pnng_step *product) {
    size_t rows, cols;
    size_of_made(f, product, &rows, &cols);
    const bool in_one = step->rows == 1 && step->cols == rows * cols;
    return in_one ? (ptrdiff_t)cols : *stride_of(f, step, k);
}

static bool same_place(const fuser *f, const pnng_step *step, size_t k, size_t l) {
    const pnng_operand *const one = operand_of(f, step, k), *const other = operand_of(f, step, l);
    return one->base == other->base && one->offset == other->offset &&
           *stride_of(f, step, k) == *stride_of(f, step, l);
}

/* Whether a step may be done at an earlier time: what it writes is not touched meanwhile, and what
 * it reads beside C, its operand `in`, is there. */
static bool may_be_done_at(const fuser *f, const pnng_step *step, size_t in, size_t time) {
    for (size_t k = 0; k < step->n_operands; k++) {
        const use *const u = use_of(f, step, k);
        if (k == in || !u || same_place(f, step, k, in))
            continue;
        if ((pnng_step_writes(f->plan, step, k) ? u->last : u->written) >= time)
            return false;
    }
    return true;
}

static pnng_step *step_at(const fuser *f, size_t time) {
    return time > f->before ? &f->steps->step[time - f->before - 1] : NULL;
}

static size_t time_of(const fuser *f, const pnng_step *step) {
    return (size_t)(step - f->steps->step) + f->before + 1;
}

/* The operand that may be C: of those that may, the one that is made last. */
static size_t last_made(const fuser *f, const pnng_step *step) {
    size_t last = 1;
    for (size_t k = 2; k <= step->may_finish; k++)
        if (use_of(f, step, k)->written > use_of(f, step, last)->written)
            last = k;
    return last;
}

/* The product whose end a step may be; or NULL, and the step says why. */
static pnng_step *product_before(const fuser *f, pnng_step *step, size_t *in) {
    if (!step->may_finish)
        return NULL;
    *in = last_made(f, step);
    const size_t time = use_of(f, step, *in)->written;
    pnng_step *const product = step_at(f, time);
    if (!product || (product->run != pnng_run_gemm && !convolution_of(f->plan, product)))
        step->unfused = PNNG_UNFUSED_NO_PRODUCT;
    else if (product->n_outer || product->finish)
        step->unfused = PNNG_UNFUSED_TAKEN;
    else if (product->mask != step->mask)
        step->unfused = PNNG_UNFUSED_OTHER_RUNS;
    else if (!walks_as(f, step, *in, product))
        step->unfused = PNNG_UNFUSED_OTHER_PART;
    else if (!may_be_done_at(f, step, *in, time))
        step->unfused = PNNG_UNFUSED_BETWEEN;
    return step->unfused ? NULL : product;
}

/* Give a product the operands of its finish, after its own. */
static bool join_operands(const fuser *f, pnng_step *product, const pnng_step *step) {
    pnng_plan *const plan = f->plan;
    const size_t first = plan->n_operands, n_own = product->n_operands;
    const size_t count = n_own + step->n_operands;
    if (!pnng_reserve(f->allocator, (void **)&plan->operands, &plan->cap_operands, first + count,
                      sizeof *plan->operands) ||
        !pnng_reserve(f->allocator, (void **)&plan->strides, &plan->cap_strides, first + count,
                      sizeof *plan->strides))
        return false;
    for (size_t k = 0; k < count; k++) {
        const bool own = k < n_own;
        const size_t from = own ? k : k - n_own;
        plan->operands[first + k] = *operand_of(f, own ? product : step, from);
        plan->strides[first + k] =
            own ? *stride_of(f, product, from) : stride_along(f, step, from, product);
    }
    plan->n_operands += count;
    if (count > plan->max_operands)
        plan->max_operands = count;
    product->first_operand = (uint32_t)first;
    product->n_operands = (uint32_t)count;
    return true;
}

/* Make a product where an operand of a step is, and rows are so far apart. */
static void move_product(const fuser *f, pnng_step *product, pnng_operand to, ptrdiff_t stride) {
    *operand_of(f, product, PNNG_PRODUCT_C) = to;
    *stride_of(f, product, PNNG_PRODUCT_C) = stride;
    f->plan->methods[product->j].product.ldc = stride;
}

/* C has no memory of its own: it is made where its finish goes, as are all products of a sum. The
 * finish's operands are those from `out` on. */
static void share_memory(const fuser *f, pnng_step *product, size_t out, size_t in) {
    const pnng_operand to = *operand_of(f, product, out);
    const ptrdiff_t stride = *stride_of(f, product, out);
    *operand_of(f, product, out + in) = to;
    *stride_of(f, product, out + in) = stride;
    if (product->run != pnng_run_gemm) {
        *operand_of(f, product, made_by(f->plan, product)) = to;
        return;
    }
    for (pnng_step *p = product;; p = step_at(f, (size_t)p->i)) {
        move_product(f, p, to, stride);
        if (!p->i)
            return;
    }
}

/* Whether only a product, or the products of a sum, and the step that follows touch C, and that
 * step's result may be in its place from the first product on. */
static bool may_share(const fuser *f, const pnng_step *product, const pnng_step *step, size_t in) {
    const use *const c = use_of(f, step, in), *const out = use_of(f, step, 0);
    const size_t products = c->sum ? c->sum : 1, first = c->sum ? c->first : c->last;
    /* One that is made as a row of another product has no gaps. */
    const bool fits = product->run != pnng_run_gemm || !f->plan->methods[product->j].swapped ||
                      stride_along(f, step, 0, product) == 1;
    return step->in_place && c->count == products + 1 && f->storages[c - f->uses].slot < 0 &&
           fits && (products == 1 || out->last < first);
}

static bool finish_product(const fuser *f, pnng_step *product, pnng_step *step, size_t in) {
    pnng_plan *const plan = f->plan;
    const bool shares = may_share(f, product, step, in);
    const size_t out = product->n_operands;
    if (!pnng_reserve(f->allocator, (void **)&plan->finishes, &plan->cap_finishes,
                      plan->n_finishes + 1, sizeof *plan->finishes) ||
        !join_operands(f, product, step) || !take_ops(f, product, step))
        return false;
    plan->finishes[plan->n_finishes++] = *step;
    product->finish = (uint32_t)plan->n_finishes;
    if (shares)
        share_memory(f, product, out, in);
    step->run = NULL; /* it is none any more */
    if (product->run != pnng_run_gemm)
        return true;
    pnng_method *const method = &plan->methods[product->j];
    pnng_gemm_add_finish(&plan->kernels->gemm, method, step->nanoseconds);
    const uint32_t work = operand_of(f, product, PNNG_PRODUCT_WORK)->base;
    if (work != PNNG_BASE_NONE)
        f->storages[work - 1].bytes = pnng_gemm_work_size(method);
    return true;
}

/* ---- sums of products ------------------------------------------------------------------------ */

/* The product that is entry k of a sum and nothing else, made in one piece; or NULL. One whose
 * depth is made block by block would add up in another order. */
static pnng_step *summand(const fuser *f, const pnng_step *sum, size_t k) {
    const use *const u = use_of(f, sum, k);
    pnng_step *const product = u ? step_at(f, u->last) : NULL;
    if (!product || product->run != pnng_run_gemm || product->n_outer || product->finish ||
        product->i || product->mask != sum->mask || u->count != 2 || u->sum ||
        f->storages[u - f->uses].slot >= 0 || f->plan->flag_pool[product->first_flag])
        return NULL;
    const pnng_method *const method = &f->plan->methods[product->j];
    const bool whole =
        method->way != PNNG_GEMM_TILES || method->depth >= method->product.sizes.depth;
    return whole && !method->swapped && walks_as(f, sum, k, product) ? product : NULL;
}

/* How many of the first entries of a sum are products in the order of the sum. It does not matter
 * which of the first two comes first. */
static size_t count_summands(const fuser *f, const pnng_step *sum) {
    size_t count = 0, last = 0;
    for (; count < sum->n; count++) {
        const pnng_step *const product = summand(f, sum, count + 1);
        if (!product || (count > 1 && time_of(f, product) < last))
            break;
        if (time_of(f, product) > last)
            last = time_of(f, product);
    }
    return count;
}

/* The rest of a sum begins with what the first `count` entries have been added up to. */
static void drop_summands(const fuser *f, pnng_step *sum, size_t count) {
    pnng_plan *const plan = f->plan;
    *operand_of(f, sum, 1) = *operand_of(f, sum, 0);
    *stride_of(f, sum, 1) = *stride_of(f, sum, 0);
    ptrdiff_t *const by = sum->split ? plan->by + sum->first_by : NULL;
    if (by)
        by[1] = by[0];
    for (size_t k = count + 1; k < sum->n_operands; k++) {
        *operand_of(f, sum, k - count + 1) = *operand_of(f, sum, k);
        *stride_of(f, sum, k - count + 1) = *stride_of(f, sum, k);
        if (by)
            by[k - count + 1] = by[k];
    }
    sum->n -= count - 1;
    sum->n_operands -= (uint32_t)count - 1;
    sum->may_finish = sum->n == 2 ? 2 : 0;
}

/* Make products at the start of a sum in its place, where each adds to the ones before; `time` is
 * the last one's, or 0 where there are none. False when memory ran out. */
static bool sum_products(const fuser *f, pnng_step *sum, size_t *time) {
    *time = 0;
    if (sum->kernel != f->plan->kernels->op[PNNG_OP_ADD].forward || sum->n_outer)
        return true;
    const size_t count = count_summands(f, sum);
    use *const y = use_of(f, sum, 0);
    if (count < 2)
        return true;
    const size_t earlier = use_of(f, sum, 2)->last < use_of(f, sum, 1)->last ? 2 : 1;
    const size_t order[2] = {earlier, 3 - earlier};
    const size_t first = use_of(f, sum, earlier)->last;
    if (y->last >= first)
        return true;
    size_t before = 0;
    for (size_t k = 1; k <= count; k++) {
        pnng_step *const product = summand(f, sum, k <= 2 ? order[k - 1] : k);
        product->i = (int64_t)before;
        before = time_of(f, product);
        f->plan->flag_pool[product->first_flag] = k > 1;
        move_product(f, product, *operand_of(f, sum, 0), stride_along(f, sum, 0, product));
    }
    y->sum = count;
    y->first = first;
    y->last = y->written = before;
    y->count += count - 1;
    *time = before;
    if (count == sum->n) {
        sum->run = NULL;
        f->plan->n_sums++;
        return take_ops(f, step_at(f, before), sum);
    }
    y->count += 2;
    drop_summands(f, sum, count);
    return true;
}

/* ---- all steps ------------------------------------------------------------------------------- */

void pnng_drop_steps(pnng_steps *steps) {
    size_t kept = 0;
    for (size_t s = 0; s < steps->count; s++) {
        if (!steps->step[s].run)
            continue;
        if (kept < s)
            steps->step[kept] = steps->step[s];
        kept++;
    }
    steps->count = kept;
}

static bool fuse_steps(fuser *f, pnng_steps *steps) {
    f->steps = steps;
    for (size_t s = 0; s < steps->count; s++) {
        pnng_step *const step = &steps->step[s];
        size_t in = 0, time;
        if (!sum_products(f, step, &time))
            return false;
        pnng_step *const product = step->run ? product_before(f, step, &in) : NULL;
        if (product && !finish_product(f, product, step, in))
            return false;
        if (product)
            time = time_of(f, product);
        note(f, step, step->run ? time_of(f, step) : time);
    }
    f->before += steps->count;
    pnng_drop_steps(steps);
    return true;
}

bool pnng_fuse(const pnng_allocator *allocator, pnng_plan *plan, pnng_storage *storages,
               size_t n_storages) {
    fuser f = {.allocator = allocator, .plan = plan, .storages = storages};
    f.uses = pnng_allocate_zeroed(allocator, n_storages, sizeof *f.uses);
    if (!f.uses)
        return false;
    count_uses(&f, &plan->forward);
    count_uses(&f, &plan->backward);
    const bool done = fuse_steps(&f, &plan->forward) && fuse_steps(&f, &plan->backward);
    pnng_release(allocator, f.uses);
    return done;
}
