/* Steps that are made the ends of others: what is elementwise of the result of a product or of a
 * convolution is done where that is made, while it is in the caches (gemm.c, convolution.c), and
 * where nobody else wants that result, it has no memory of its own. Numbers do not change: the
 * kernels are the same.
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

/* A step is done at a time. */
static void note(const fuser *f, const pnng_step *step, size_t time) {
    for (size_t k = 0; k < step->n_operands; k++) {
        use *const u = use_of(f, step, k);
        if (u && u->last < time)
            u->last = time;
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

/* ---- the end of a product -------------------------------------------------------------------- */

/* A convolution, unless it is that of a weight's gradient; else NULL. */
static const pnng_convolution *convolution_of(const fuser *f, const pnng_step *step) {
    if (step->run != pnng_run_convolution)
        return NULL;
    const pnng_convolution *const c = &f->plan->convolutions[step->j].asked;
    return c->kind == PNNG_CONVOLVE_WEIGHT ? NULL : c;
}

/* What a product or a convolution makes: the number of that operand. */
static size_t made_by(const fuser *f, const pnng_step *step) {
    const pnng_convolution *const c = convolution_of(f, step);
    if (!c)
        return PNNG_PRODUCT_C;
    return c->kind == PNNG_CONVOLVE_Y ? PNNG_CONVOLUTION_Y : PNNG_CONVOLUTION_X;
}

/* Whether an elementwise step goes through its operand 1 as a product goes through C, or, without
 * gaps, through what a convolution makes. Then
 * `strides` are those of its operands, from one row of C to the next. */
static bool walks_as(const fuser *f, const pnng_step *step, const pnng_step *product,
                     ptrdiff_t strides[PNNG_FINISH_OPERANDS]) {
    const pnng_operand *const x = operand_of(f, step, 1);
    const pnng_operand *const c = operand_of(f, product, made_by(f, product));
    const pnng_convolution *const convolution = convolution_of(f, product);
    const ptrdiff_t ldc = *stride_of(f, product, PNNG_PRODUCT_C);
    const size_t rows = convolution ? 1 : product->rows;
    const size_t cols = convolution ? pnng_convolution_dense_size(convolution) : product->cols;
    if (step->n_outer || x->base != c->base || x->offset != c->offset)
        return false;
    const bool in_one = step->rows == 1 && step->cols == rows * cols;
    if (!in_one && (step->rows != rows || step->cols != cols))
        return false;
    for (size_t k = 0; k < step->n_operands; k++)
        strides[k] = in_one ? (ptrdiff_t)cols : *stride_of(f, step, k);
    return rows == 1 || strides[1] == ldc;
}

/* Whether a step may be done at an earlier time: what it writes is not touched meanwhile, and what
 * it reads beside C is there. The backward never writes what the forward made. */
static bool may_be_done_at(const fuser *f, const pnng_step *step, size_t time) {
    for (size_t k = 0; k < step->n_operands; k++) {
        const use *const u = use_of(f, step, k);
        if (k == 1 || !u || u->last < time)
            continue;
        const pnng_storage *const storage = &f->storages[u - f->uses];
        if (k == 0 || f->steps != &f->plan->backward || !storage->forward)
            return false;
    }
    return true;
}

/* The product whose end a step may be; or NULL, and the step says why. */
static pnng_step *product_before(const fuser *f, pnng_step *step,
                                 ptrdiff_t strides[PNNG_FINISH_OPERANDS]) {
    if (!step->may_finish)
        return NULL;
    const size_t time = use_of(f, step, 1)->last;
    pnng_step *const product = time > f->before ? &f->steps->step[time - f->before - 1] : NULL;
    if (!product || (product->run != pnng_run_gemm && !convolution_of(f, product)))
        step->unfused = PNNG_UNFUSED_NO_PRODUCT;
    else if (product->n_outer || product->finish)
        step->unfused = PNNG_UNFUSED_TAKEN;
    else if (product->mask != step->mask)
        step->unfused = PNNG_UNFUSED_OTHER_RUNS;
    else if (!walks_as(f, step, product, strides))
        step->unfused = PNNG_UNFUSED_OTHER_PART;
    else if (!may_be_done_at(f, step, time))
        step->unfused = PNNG_UNFUSED_BETWEEN;
    return step->unfused ? NULL : product;
}

/* Give a product the operands of its finish, after its own. */
static bool join_operands(const fuser *f, pnng_step *product, const pnng_step *step,
                          const ptrdiff_t strides[PNNG_FINISH_OPERANDS]) {
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
        plan->strides[first + k] = own ? *stride_of(f, product, from) : strides[from];
    }
    plan->n_operands += count;
    if (count > plan->max_operands)
        plan->max_operands = count;
    product->first_operand = (uint32_t)first;
    product->n_operands = (uint32_t)count;
    return true;
}

/* C has no memory of its own: it is made where its finish goes. */
static void share_memory(const fuser *f, const pnng_step *product, size_t out) {
    const size_t same[] = {made_by(f, product), out + 1};
    for (size_t k = 0; k < 2; k++) {
        *operand_of(f, product, same[k]) = *operand_of(f, product, out);
        *stride_of(f, product, same[k]) = *stride_of(f, product, out);
    }
    if (product->run == pnng_run_gemm)
        f->plan->methods[product->j].product.ldc = *stride_of(f, product, out);
}

static bool finish_product(const fuser *f, pnng_step *product, pnng_step *step,
                           const ptrdiff_t strides[PNNG_FINISH_OPERANDS]) {
    pnng_plan *const plan = f->plan;
    pnng_method *const method = product->run == pnng_run_gemm ? &plan->methods[product->j] : NULL;
    const size_t out = product->n_operands;
    /* Only these two touch C. One that is made as a row of another product has no gaps. */
    const use *const c = use_of(f, step, 1);
    const bool shares = step->in_place && c->count == 2 && f->storages[c - f->uses].slot < 0 &&
                        (!method || !method->swapped || strides[0] == 1);
    if (!pnng_reserve(f->allocator, (void **)&plan->finishes, &plan->cap_finishes,
                      plan->n_finishes + 1, sizeof *plan->finishes) ||
        !join_operands(f, product, step, strides))
        return false;
    plan->finishes[plan->n_finishes++] = (pnng_finish_step){*step, {product->op, step->op}};
    product->finish = (uint32_t)plan->n_finishes;
    if (shares)
        share_memory(f, product, out);
    step->run = NULL; /* it is none any more */
    if (!method)
        return true;
    pnng_gemm_add_finish(&plan->kernels->gemm, method, step->nanoseconds);
    const uint32_t work = operand_of(f, product, PNNG_PRODUCT_WORK)->base;
    if (work != PNNG_BASE_NONE)
        f->storages[work - 1].bytes = pnng_gemm_work_size(method);
    return true;
}

static bool fuse_steps(fuser *f, pnng_steps *steps) {
    f->steps = steps;
    for (size_t s = 0; s < steps->count; s++) {
        pnng_step *const step = &steps->step[s];
        ptrdiff_t strides[PNNG_FINISH_OPERANDS] = {0};
        pnng_step *const product = product_before(f, step, strides);
        if (product && !finish_product(f, product, step, strides))
            return false;
        note(f, step,
             product ? (size_t)(product - steps->step) + f->before + 1 : s + f->before + 1);
    }
    size_t kept = 0;
    for (size_t s = 0; s < steps->count; s++)
        if (steps->step[s].run)
            steps->step[kept++] = steps->step[s];
    f->before += steps->count;
    steps->count = kept;
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
