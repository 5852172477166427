/* From a program and sizes to steps and memory. */
#include "plan.h"

#include <string.h>

#include "cpu.h"
#include "split.h"
#include "threads.h"

/* How contributions to the gradient of one stretch of memory fit together. */
typedef enum grad_mode {
    GRAD_UNDECIDED,
    GRAD_WHOLE, /* each covers all, in one order: the first stores, the others add */
    GRAD_PARTS, /* they fall in disjoint regions that cover all: the first of each region stores */
    GRAD_ZEROED /* anything else: it is filled with zeros before, and all add */
} grad_mode;

struct pnng_planner {
    pnng_plan *plan;
    const pnng_program *program;
    const pnng_allocator *allocator;
    const pnng_shape *shape; /* one a value */
    pnng_view *value;        /* where it is */
    pnng_value *root;        /* the value whose memory it is in */
    uint8_t *need;           /* PNNG_GRAD_...: who wants its gradient */
    bool *active;            /* wanted, and one arrives */
    pnng_view *grad;         /* of roots: where the gradient is */
    uint8_t *mode;           /* of roots: grad_mode */
    int32_t *giver;          /* of roots: the last op that contributed to it, or -1 */
    pnng_value *region;      /* GRAD_PARTS: the value that stands for this value's region */
    bool *started;           /* of roots or regions: something was stored */
    uint32_t *n_products;    /* of parameters: how many ops multiply by them */
    int32_t *packed;         /* of parameters: where their packed form is, a storage, or -1 */
    int32_t *own_grad;       /* of parameters: where their own gradient is, the same */
    size_t *first_part;      /* of roots: contributions, in `part`; n_values + 1 long */
    pnng_value *part;
    pnng_storage *storages;
    size_t n_storages, cap_storages;
    pnng_ref *refs;
    uint8_t *flags;
    int64_t *levels; /* strides while loops are found */
    size_t cap_refs, cap_flags, cap_levels;
    pnng_steps *steps; /* forward's or backward's */
    uint32_t mask;     /* for steps that write no gradient of their own */
    int32_t op;        /* the op that steps are being made for, or -1 */
    bool failed;       /* memory ran out */
};

/* ---- small questions ------------------------------------------------------------------------ */

const pnng_kernels *pnng_planner_kernels(const pnng_planner *planner) {
    return planner->plan->kernels;
}

const pnng_program *pnng_planner_program(const pnng_planner *planner) { return planner->program; }

size_t pnng_planner_element(const pnng_planner *planner) { return planner->plan->element; }

const pnng_shape *pnng_value_shape(const pnng_planner *planner, pnng_value value) {
    return &planner->shape[value];
}

bool pnng_is_alias(const pnng_planner *planner, pnng_value value) {
    return planner->root[value] != value;
}

bool pnng_wants_grad(const pnng_planner *planner, pnng_value value) {
    return planner->active[value];
}

static bool fuses(const pnng_planner *planner) {
    return pnng_fuses() && !(planner->plan->flags & PNNG_PLAN_UNFUSED);
}

static const pnng_view no_view = {.storage = -1};

pnng_view pnng_contiguous_view(int32_t storage, const pnng_shape *shape) {
    pnng_view view = {.storage = storage};
    int64_t stride = 1;
    for (int64_t d = shape->ndim; d-- > 0; stride *= shape->dim[d])
        view.stride[d] = stride;
    return view;
}

/* ---- storages ------------------------------------------------------------------------------- */

static int32_t add_storage(pnng_planner *planner, size_t bytes, int64_t slot) {
    if (!pnng_reserve(planner->allocator, (void **)&planner->storages, &planner->cap_storages,
                      planner->n_storages + 1, sizeof *planner->storages)) {
        planner->failed = true;
        return -1;
    }
    planner->storages[planner->n_storages] = (pnng_storage){.slot = slot, .bytes = bytes};
    return (int32_t)planner->n_storages++;
}

static size_t element_bytes(const pnng_planner *planner, bool is_index) {
    return is_index ? sizeof(int64_t) : planner->plan->element;
}

static bool is_index(const pnng_planner *planner, pnng_value value) {
    return planner->program->values[value].kind == PNNG_INDEX;
}

static size_t value_bytes(const pnng_planner *planner, pnng_value value) {
    return pnng_count(&planner->shape[value]) * element_bytes(planner, is_index(planner, value));
}

static pnng_view slot_view(pnng_planner *planner, int group, size_t index, pnng_value value) {
    const int64_t slot = (int64_t)pnng_plan_slot(planner->plan, group, index);
    return pnng_contiguous_view(add_storage(planner, value_bytes(planner, value), slot),
                                &planner->shape[value]);
}

pnng_ref pnng_read(const pnng_planner *planner, pnng_value value) {
    return (pnng_ref){planner->value[value], PNNG_ALWAYS, is_index(planner, value)};
}

/* The parameter that an array is all of, a matrix of these sizes that the forward reads; or -1. */
static pnng_value whole_param(const pnng_planner *planner, pnng_ref ref, size_t rows, size_t cols) {
    const pnng_program *const program = planner->program;
    if (planner->failed || planner->steps != &planner->plan->forward)
        return -1;
    const int64_t first = (int64_t)pnng_plan_slot(planner->plan, PNNG_SLOT_PARAM, 0);
    const int64_t number = planner->storages[ref.view.storage].slot - first;
    if (number < 0 || number >= (int64_t)program->n_params)
        return -1;
    const pnng_value param = program->params[number];
    const pnng_shape *const shape = &planner->shape[param];
    const bool fits = shape->ndim == 2 && (size_t)shape->dim[0] == rows &&
                      (size_t)shape->dim[1] == cols && ref.view.stride[1] == 1;
    return fits ? param : -1;
}

pnng_ref pnng_packed_form(pnng_planner *planner, pnng_ref ref, size_t rows, size_t cols) {
    pnng_ref packed = {no_view, PNNG_ALWAYS, false};
    const pnng_value param = whole_param(planner, ref, rows, cols);
    if (param >= 0 && planner->program->values[param].packs)
        packed.view =
            slot_view(planner, PNNG_SLOT_PACKED, planner->program->values[param].index, param);
    return packed;
}

pnng_ref pnng_packed_once(pnng_planner *planner, pnng_ref ref, const pnng_product *product) {
    pnng_ref packed = {no_view, PNNG_ALWAYS, false};
    const pnng_value param = whole_param(planner, ref, product->sizes.cols, product->sizes.depth);
    if (param < 0 || planner->n_products[param] < 2 || !fuses(planner))
        return packed;
    if (planner->packed[param] < 0) {
        const pnng_gemm_table *const table = &planner->plan->kernels->gemm;
        const pnng_method method = {.product = *product};
        const pnng_ref made = pnng_work_space(planner, pnng_gemm_packed_size(table, product));
        const pnng_ref refs[] = {made, ref};
        const pnng_step prototype = {.run = pnng_run_pack,
                                     .rows = product->sizes.cols,
                                     .cols = product->sizes.depth,
                                     .j = (int64_t)pnng_keep_method(planner, &method)};
        pnng_emit(planner, &prototype, refs, NULL, 2, NULL, 0);
        planner->packed[param] = made.view.storage;
    }
    packed.view.storage = planner->packed[param];
    return packed;
}

pnng_ref pnng_define(pnng_planner *planner, pnng_value value) {
    const int32_t storage = add_storage(planner, value_bytes(planner, value), -1);
    planner->value[value] = pnng_contiguous_view(storage, &planner->shape[value]);
    planner->root[value] = value;
    return pnng_read(planner, value);
}

void pnng_define_view(pnng_planner *planner, pnng_value value, pnng_value of,
                      const pnng_view *view) {
    planner->value[value] = *view;
    planner->root[value] = planner->root[of];
}

pnng_ref pnng_temporary(pnng_planner *planner, const pnng_shape *shape) {
    const int32_t storage = add_storage(planner, pnng_count(shape) * planner->plan->element, -1);
    return (pnng_ref){pnng_contiguous_view(storage, shape), PNNG_ALWAYS, false};
}

pnng_ref pnng_work_space(pnng_planner *planner, size_t bytes) {
    pnng_ref ref = {no_view, PNNG_ALWAYS, false};
    if (bytes)
        ref.view.storage = add_storage(planner, bytes, -1);
    return ref;
}

/* ---- steps ---------------------------------------------------------------------------------- */

pnng_ref *pnng_refs(pnng_planner *planner, size_t count) {
    if (pnng_reserve(planner->allocator, (void **)&planner->refs, &planner->cap_refs, count,
                     sizeof *planner->refs))
        return planner->refs;
    planner->failed = true;
    return NULL;
}

uint8_t *pnng_flags(pnng_planner *planner, size_t count) {
    if (pnng_reserve(planner->allocator, (void **)&planner->flags, &planner->cap_flags, count,
                     sizeof *planner->flags))
        return planner->flags;
    planner->failed = true;
    return NULL;
}

#define ROOM(planner, array, count, capacity, more)                                                \
    pnng_reserve((planner)->allocator, (void **)&(array), &(capacity), (count) + (more),           \
                 sizeof *(array))

/* Room for one more step with its operands, all or nothing. */
static bool make_room(pnng_planner *planner, size_t n_refs, size_t n_flags, size_t n_outer) {
    pnng_plan *const plan = planner->plan;
    if (!planner->failed &&
        ROOM(planner, planner->steps->step, planner->steps->count, planner->steps->capacity, 1) &&
        ROOM(planner, plan->operands, plan->n_operands, plan->cap_operands, n_refs) &&
        ROOM(planner, plan->strides, plan->n_operands, plan->cap_strides, n_refs) &&
        ROOM(planner, plan->flag_pool, plan->n_flags, plan->cap_flags, n_flags) &&
        ROOM(planner, plan->outer, plan->n_outer, plan->cap_outer, n_outer))
        return true;
    planner->failed = true;
    return false;
}

static void push_operand(pnng_planner *planner, const pnng_ref *ref, ptrdiff_t stride) {
    pnng_plan *const plan = planner->plan;
    const size_t element = element_bytes(planner, ref->is_index);
    plan->strides[plan->n_operands] = stride;
    plan->operands[plan->n_operands++] = (pnng_operand){
        .base = (uint32_t)(ref->view.storage + 1),
        .mask = ref->mask,
        .offset = ref->view.storage < 0 ? 0 : (size_t)ref->view.offset * element,
    };
}

static pnng_step *push_step(pnng_planner *planner, const pnng_step *prototype, size_t n_refs,
                            const uint8_t *flags, size_t n_flags) {
    pnng_plan *const plan = planner->plan;
    pnng_step *const step = &planner->steps->step[planner->steps->count++];
    *step = *prototype;
    step->n_operands = (uint32_t)n_refs;
    step->first_operand = (uint32_t)plan->n_operands;
    step->first_flag = (uint32_t)plan->n_flags;
    step->op = planner->op;
    if (!step->run)
        step->run = pnng_run_kernel;
    if (!step->mask)
        step->mask = planner->mask;
    for (size_t k = 0; k < n_flags; k++)
        plan->flag_pool[plan->n_flags++] = flags[k];
    if (n_refs > plan->max_operands)
        plan->max_operands = n_refs;
    return step;
}

void *pnng_keep(pnng_planner *planner, size_t bytes) {
    pnng_plan *const plan = planner->plan;
    void *const memory = ROOM(planner, plan->kept, plan->n_kept, plan->cap_kept, 1)
                             ? pnng_allocate(planner->allocator, bytes, 1)
                             : NULL;
    planner->failed |= !memory;
    if (memory)
        plan->kept[plan->n_kept++] = memory;
    return memory;
}

size_t pnng_keep_method(pnng_planner *planner, const pnng_method *method) {
    pnng_plan *const plan = planner->plan;
    if (!ROOM(planner, plan->methods, plan->n_methods, plan->cap_methods, 1)) {
        planner->failed = true;
        return 0;
    }
    plan->methods[plan->n_methods] = *method;
    return plan->n_methods++;
}

void pnng_emit_convolution(pnng_planner *planner, const pnng_convolution *convolution,
                           const pnng_ref operands[4], const pnng_target *target) {
    pnng_plan *const plan = planner->plan;
    const pnng_convolution_method method = pnng_convolution_choose(plan->kernels, convolution);
    if (!ROOM(planner, plan->convolutions, plan->n_convolutions, plan->cap_convolutions, 1)) {
        planner->failed = true;
        return;
    }
    const pnng_step prototype = {.run = pnng_run_convolution,
                                 .a = 1,
                                 .j = (int64_t)plan->n_convolutions,
                                 .mask = target ? target->mask : 0,
                                 .scaled = target && target->scaled};
    plan->convolutions[plan->n_convolutions++] = method;
    pnng_ref refs[PNNG_CONVOLUTION_OPERANDS];
    memcpy(refs, operands, 4 * sizeof *refs);
    refs[PNNG_CONVOLUTION_WORK] = pnng_work_space(planner, pnng_convolution_work_size(&method));
    const uint8_t accumulate = target && target->accumulate;
    pnng_emit(planner, &prototype, refs, NULL, PNNG_CONVOLUTION_OPERANDS, &accumulate, 1);
}

/* Note whether several threads may do a step, whose operands are there now. */
static void plan_split(pnng_planner *planner, pnng_step *step) {
    pnng_plan *const plan = planner->plan;
    ptrdiff_t by[PNNG_SPLIT_OPERANDS];
    if (!pnng_split_step(plan, step, by))
        return;
    if (!ROOM(planner, plan->by, plan->n_by, plan->cap_by, step->n_operands)) {
        planner->failed = true;
        return;
    }
    step->first_by = (uint32_t)plan->n_by;
    for (size_t k = 0; k < step->n_operands; k++)
        plan->by[plan->n_by++] = by[k];
}

pnng_step pnng_prototype(const pnng_planner *planner, const pnng_op_node *op,
                         pnng_direction direction) {
    const pnng_op_kernels *const kernels = &planner->plan->kernels->op[op->code];
    return (pnng_step){.kernel = direction == PNNG_FORWARD ? kernels->forward : kernels->backward,
                       .a = op->num[0],
                       .b = op->num[1],
                       .noise = op->noise};
}

void pnng_emit(pnng_planner *planner, const pnng_step *prototype, const pnng_ref *refs,
               const ptrdiff_t *strides, size_t n_refs, const uint8_t *flags, size_t n_flags) {
    if (!make_room(planner, n_refs, n_flags, 0))
        return;
    pnng_step *const step = push_step(planner, prototype, n_refs, flags, n_flags);
    for (size_t k = 0; k < n_refs; k++)
        push_operand(planner, &refs[k], strides ? strides[k] : 0);
    plan_split(planner, step);
}

void pnng_emit_repeated(pnng_planner *planner, const pnng_step *prototype, const pnng_ref *refs,
                        const ptrdiff_t *strides, size_t n_refs, const uint8_t *flags,
                        size_t n_flags, size_t count, const ptrdiff_t *by) {
    pnng_plan *const plan = planner->plan;
    if (count == 0 || !make_room(planner, n_refs, n_flags, 1 + n_refs))
        return;
    pnng_step *const step = push_step(planner, prototype, n_refs, flags, n_flags);
    step->n_outer = count > 1;
    step->first_outer = (uint32_t)plan->n_outer;
    plan->outer[plan->n_outer++] = (int64_t)count;
    for (size_t k = 0; k < n_refs; k++) {
        plan->outer[plan->n_outer++] = by[k] * (ptrdiff_t)element_bytes(planner, refs[k].is_index);
        push_operand(planner, &refs[k], strides[k]);
    }
}

static bool is_walked(const pnng_ref *refs, size_t k, size_t work) {
    return refs[k].view.storage >= 0 && (k == 0 || k != work);
}

/* Loops over a shape, with dims merged where all of the operands allow it: `extent` from the
 * outermost, and level[k * PNNG_MAX_DIMS + l], the stride of operand k in loop l. */
typedef struct loops {
    size_t count;
    int64_t extent[PNNG_MAX_DIMS];
} loops;

/* Work space has no place in them: `work` is its number, or 0 for none. */
static loops find_loops(const pnng_shape *shape, const pnng_ref *refs, size_t n_refs, size_t work,
                        int64_t *level) {
    loops found = {0};
    for (int64_t d = 0; d < shape->ndim; d++) {
        if (shape->dim[d] == 1)
            continue;
        bool merges = found.count > 0;
        for (size_t k = 0; k < n_refs && merges; k++)
            if (is_walked(refs, k, work) && level[k * PNNG_MAX_DIMS + found.count - 1] !=
                                                refs[k].view.stride[d] * shape->dim[d])
                merges = false;
        if (!merges)
            found.extent[found.count++] = 1;
        found.extent[found.count - 1] *= shape->dim[d];
        for (size_t k = 0; k < n_refs; k++)
            level[k * PNNG_MAX_DIMS + found.count - 1] = refs[k].view.stride[d];
    }
    return found;
}

/* Whether the innermost loop walks neighbours in every operand. */
static bool inner_is_dense(const loops *found, const pnng_ref *refs, size_t n_refs, size_t work,
                           const int64_t *level) {
    for (size_t k = 0; k < n_refs; k++)
        if (is_walked(refs, k, work) && level[k * PNNG_MAX_DIMS + found->count - 1] != 1)
            return false;
    return true;
}

/* Whether a step writes past the caches: where it touches more than the last of them holds, nothing
 * that it writes is left there for its reader, and a store through them first reads what it
 * overwrites. In short rows most lines would be written by halves. */
static bool is_streamed(const pnng_planner *planner, const pnng_shape *shape, const pnng_ref *refs,
                        size_t n_refs, size_t cols) {
    enum { LEAST_ROW = 1024 };
    size_t arrays = 0;
    for (size_t k = 0; k < n_refs; k++)
        arrays += refs[k].view.storage >= 0;
    const size_t element = planner->plan->element;
    const size_t room = (size_t)pnng_cpu_info()->l3_bytes / element;
    /* There is no array where memory ran out. */
    return arrays && cols * element >= LEAST_ROW && pnng_count(shape) > room / arrays;
}

/* Append a step whose rows and cols are in the prototype, with the loops around them. */
static pnng_step *push_nested(pnng_planner *planner, const pnng_step *prototype, const loops *outer,
                              const pnng_ref *refs, size_t n_refs, const int64_t *level,
                              const uint8_t *flags, size_t n_flags) {
    pnng_plan *const plan = planner->plan;
    if (!make_room(planner, n_refs, n_flags, outer->count * (1 + n_refs)))
        return NULL;
    pnng_step *const step = push_step(planner, prototype, n_refs, flags, n_flags);
    step->n_outer = (uint32_t)outer->count;
    step->first_outer = (uint32_t)plan->n_outer;
    for (size_t l = 0; l < outer->count; l++)
        plan->outer[plan->n_outer++] = outer->extent[l];
    for (size_t l = 0; l < outer->count; l++)
        for (size_t k = 0; k < n_refs; k++)
            plan->outer[plan->n_outer++] =
                refs[k].view.storage < 0 ? 0
                                         : level[k * PNNG_MAX_DIMS + l] *
                                               (int64_t)element_bytes(planner, refs[k].is_index);
    return step;
}

void pnng_emit_elementwise(pnng_planner *planner, const pnng_step *prototype,
                           const pnng_shape *shape, const pnng_ref *refs, size_t n_refs,
                           const uint8_t *flags, size_t n_flags) {
    if (pnng_count(shape) == 0)
        return;
    if (!ROOM(planner, planner->levels, 0, planner->cap_levels, n_refs * PNNG_MAX_DIMS)) {
        planner->failed = true;
        return;
    }
    int64_t *const level = planner->levels;
    loops found = find_loops(shape, refs, n_refs, prototype->work, level);
    size_t cols = 1;
    if (found.count && inner_is_dense(&found, refs, n_refs, prototype->work, level))
        cols = (size_t)found.extent[--found.count];
    const size_t row_level = found.count;
    size_t rows = 1;
    if (found.count)
        rows = (size_t)found.extent[--found.count];
    pnng_step walk = *prototype;
    walk.walks = true;
    walk.rows = rows;
    walk.cols = cols;
    walk.stream = is_streamed(planner, shape, refs, n_refs, cols);
    pnng_step *const step =
        push_nested(planner, &walk, &found, refs, n_refs, level, flags, n_flags);
    if (!step)
        return;
    for (size_t k = 0; k < n_refs; k++) {
        const bool strided = row_level > 0 && refs[k].view.storage >= 0;
        push_operand(planner, &refs[k],
                     strided ? (ptrdiff_t)level[k * PNNG_MAX_DIMS + row_level - 1]
                             : (ptrdiff_t)cols);
    }
    plan_split(planner, step);
}

/* The loop in which operand k walks neighbours, or found->count. */
static size_t dense_loop(const loops *found, const int64_t *level, size_t k) {
    size_t loop = 0;
    while (loop < found->count && level[k * PNNG_MAX_DIMS + loop] != 1)
        loop++;
    return loop;
}

static void drop_loop(loops *found, int64_t *level, size_t loop, size_t n_refs) {
    found->count--;
    for (size_t l = loop; l < found->count; l++) {
        found->extent[l] = found->extent[l + 1];
        for (size_t k = 0; k < n_refs; k++)
            level[k * PNNG_MAX_DIMS + l] = level[k * PNNG_MAX_DIMS + l + 1];
    }
}

/* Append to = or += a from. Where they walk neighbours in different dims, these two are the rows
 * and columns of a transpose. */
static void emit_move(pnng_planner *planner, const pnng_common *kernels, pnng_step prototype,
                      const pnng_shape *shape, const pnng_ref refs[2], uint8_t accumulate) {
    int64_t level[2 * PNNG_MAX_DIMS];
    loops found = find_loops(shape, refs, 2, 0, level);
    const size_t along_to = dense_loop(&found, level, 0), along_from = dense_loop(&found, level, 1);
    prototype.kernel = kernels->scale;
    if (along_to == along_from || along_to == found.count || along_from == found.count ||
        pnng_count(shape) == 0) {
        pnng_emit_elementwise(planner, &prototype, shape, refs, 2, &accumulate, 1);
        return;
    }
    prototype.kernel = kernels->transpose;
    prototype.rows = (size_t)found.extent[along_from];
    prototype.cols = (size_t)found.extent[along_to];
    const ptrdiff_t row_of_to = (ptrdiff_t)level[along_from];
    const ptrdiff_t row_of_from = (ptrdiff_t)level[PNNG_MAX_DIMS + along_to];
    drop_loop(&found, level, along_to > along_from ? along_to : along_from, 2);
    drop_loop(&found, level, along_to > along_from ? along_from : along_to, 2);
    pnng_step *const step =
        push_nested(planner, &prototype, &found, refs, 2, level, &accumulate, 1);
    if (!step)
        return;
    push_operand(planner, &refs[0], row_of_to);
    push_operand(planner, &refs[1], row_of_from);
    plan_split(planner, step);
}

void pnng_emit_copy(pnng_planner *planner, const pnng_shape *shape, pnng_ref to, pnng_ref from) {
    /* Factor 1 copies bit for bit, so that the kernels of doubles serve for int64 too. */
    const pnng_kernels *const kernels =
        from.is_index ? &pnng_chosen_isa()->f64 : planner->plan->kernels;
    const pnng_ref refs[] = {to, from};
    emit_move(planner, &kernels->common, (pnng_step){.a = 1}, shape, refs, 0);
}

void pnng_emit_scale(pnng_planner *planner, const pnng_shape *shape, pnng_target to, pnng_ref from,
                     double a) {
    const pnng_step prototype = {.a = a, .mask = to.mask, .scaled = to.scaled};
    const pnng_ref refs[] = {{to.view, to.mask, false}, from};
    emit_move(planner, &planner->plan->kernels->common, prototype, shape, refs, to.accumulate);
}

/* ---- layouts that a family asks for --------------------------------------------------------- */

/* Whether dims from `split` are contiguous and the dims before have one common stride. */
static bool is_rows(const pnng_view *view, const pnng_shape *shape, size_t split,
                    ptrdiff_t *row_stride) {
    int64_t dense = 1;
    for (int64_t d = shape->ndim; d-- > (int64_t)split; dense *= shape->dim[d])
        if (shape->dim[d] != 1 && view->stride[d] != dense)
            return false;
    int64_t stride = 0;
    int64_t expected = 0;
    for (int64_t d = (int64_t)split; d-- > 0;) {
        if (shape->dim[d] == 1)
            continue;
        if (stride == 0)
            stride = expected = view->stride[d];
        if (view->stride[d] != expected)
            return false;
        expected *= shape->dim[d];
    }
    *row_stride = (ptrdiff_t)(stride ? stride : dense);
    return true;
}

pnng_ref pnng_as_rows(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape, size_t split,
                      ptrdiff_t *row_stride) {
    if (is_rows(&ref.view, shape, split, row_stride))
        return ref;
    const size_t element = element_bytes(planner, ref.is_index);
    pnng_ref copy = {no_view, PNNG_ALWAYS, ref.is_index};
    copy.view = pnng_contiguous_view(add_storage(planner, pnng_count(shape) * element, -1), shape);
    pnng_emit_copy(planner, shape, copy, ref);
    is_rows(&copy.view, shape, split, row_stride);
    return copy;
}

pnng_ref pnng_as_contiguous(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape) {
    ptrdiff_t row_stride;
    return pnng_as_rows(planner, ref, shape, 0, &row_stride);
}

pnng_target pnng_target_as_rows(pnng_planner *planner, pnng_target target, const pnng_shape *shape,
                                size_t split, ptrdiff_t *row_stride) {
    if (is_rows(&target.view, shape, split, row_stride))
        return target;
    pnng_target temporary = target;
    temporary.view = pnng_temporary(planner, shape).view;
    temporary.accumulate = false;
    is_rows(&temporary.view, shape, split, row_stride);
    return temporary;
}

/* Whether neighbours along the last dim are neighbours in memory. */
static bool has_dense_rows(const pnng_view *view, const pnng_shape *shape) {
    int64_t d = shape->ndim - 1;
    while (d >= 0 && shape->dim[d] == 1)
        d--;
    return d < 0 || view->stride[d] == 1;
}

pnng_ref pnng_with_dense_rows(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape) {
    return ref.view.storage < 0 || has_dense_rows(&ref.view, shape)
               ? ref
               : pnng_as_contiguous(planner, ref, shape);
}

pnng_target pnng_target_with_dense_rows(pnng_planner *planner, pnng_target target,
                                        const pnng_shape *shape) {
    ptrdiff_t whole;
    return target.view.storage < 0 || has_dense_rows(&target.view, shape)
               ? target
               : pnng_target_as_rows(planner, target, shape, 0, &whole);
}

void pnng_finish_target(pnng_planner *planner, pnng_target target, pnng_target written,
                        const pnng_shape *shape) {
    if (written.view.storage == target.view.storage)
        return;
    target.scaled = false; /* it was, when the temporary was written */
    pnng_emit_scale(planner, shape, target, (pnng_ref){written.view, PNNG_ALWAYS, false}, 1);
}

/* ---- gradients ------------------------------------------------------------------------------ */

/* A rectangle of memory: rows of `cols` elements, `pitch` apart. */
typedef struct rectangle {
    int64_t offset, rows, cols, pitch;
    pnng_value value;
} rectangle;

static bool as_rectangle(const pnng_planner *planner, pnng_value value, rectangle *out) {
    int64_t level[PNNG_MAX_DIMS];
    const pnng_ref ref = {planner->value[value], 0, false};
    loops found = find_loops(&planner->shape[value], &ref, 1, 0, level);
    *out = (rectangle){.offset = ref.view.offset, .rows = 1, .cols = 1, .value = value};
    if (found.count && level[found.count - 1] == 1)
        out->cols = found.extent[--found.count];
    if (found.count) {
        out->pitch = level[found.count - 1];
        out->rows = found.extent[--found.count];
    }
    return found.count == 0;
}

/* Shell's sort: libc's may allocate behind the allocator's back. */
static void sort_by_offset(rectangle *parts, size_t count) {
    for (size_t gap = count / 2; gap > 0; gap /= 2)
        for (size_t k = gap; k < count; k++) {
            const rectangle moved = parts[k];
            size_t place = k;
            for (; place >= gap && parts[place - gap].offset > moved.offset; place -= gap)
                parts[place] = parts[place - gap];
            parts[place] = moved;
        }
}

/* Whether the parts of a root's gradient are disjoint and cover it; gives equal ones one region. */
static bool parts_tile(pnng_planner *planner, pnng_value root, rectangle *parts, size_t count) {
    for (size_t k = 0; k < count; k++)
        if (!as_rectangle(planner, planner->part[planner->first_part[root] + k], &parts[k]) ||
            parts[k].rows != parts[0].rows || parts[k].pitch != parts[0].pitch)
            return false;
    sort_by_offset(parts, count);
    const bool one_row = parts[0].rows == 1;
    int64_t covered = 0;
    const rectangle *last = NULL;
    for (size_t k = 0; k < count; k++) {
        if (last && parts[k].offset == last->offset && parts[k].cols == last->cols) {
            planner->region[parts[k].value] = planner->region[last->value];
            continue;
        }
        if ((last && parts[k].offset < last->offset + last->cols) ||
            (!one_row && parts[k].offset + parts[k].cols > parts[k].pitch))
            return false;
        planner->region[parts[k].value] = parts[k].value;
        covered += parts[k].rows * parts[k].cols;
        last = &parts[k];
    }
    return (size_t)covered == pnng_count(&planner->shape[root]);
}

/* Whether an alias that is all of an array goes through it as it lies in memory. */
static bool is_in_order(const pnng_planner *planner, pnng_value value) {
    ptrdiff_t whole;
    return is_rows(&planner->value[value], &planner->shape[value], 0, &whole);
}

/* Whether two aliases go through an array in the same order. */
static bool same_order(const pnng_planner *planner, pnng_value a, pnng_value b) {
    const pnng_shape *const shape = &planner->shape[a];
    if (is_in_order(planner, a))
        return is_in_order(planner, b);
    if (!pnng_same_shape(shape, &planner->shape[b]))
        return false;
    for (int64_t d = 0; d < shape->ndim; d++)
        if (shape->dim[d] != 1 && planner->value[a].stride[d] != planner->value[b].stride[d])
            return false;
    return true;
}

static grad_mode decide_mode(pnng_planner *planner, pnng_value root) {
    const size_t first = planner->first_part[root];
    const size_t count = planner->first_part[root + 1] - first;
    const size_t whole = pnng_count(&planner->shape[root]);
    bool all_whole = true, in_one_order = true;
    for (size_t k = 0; k < count && all_whole; k++) {
        all_whole = pnng_count(&planner->shape[planner->part[first + k]]) == whole;
        in_one_order &=
            !all_whole || same_order(planner, planner->part[first], planner->part[first + k]);
    }
    /* One step may write gradients of an array and of its transpose, element by element: then
     * neither comes first everywhere. */
    if (all_whole)
        return in_one_order ? GRAD_WHOLE : GRAD_ZEROED;
    rectangle *const parts = pnng_allocate(planner->allocator, count, sizeof *parts);
    if (!parts) {
        planner->failed = true;
        return GRAD_ZEROED;
    }
    const grad_mode mode = parts_tile(planner, root, parts, count) ? GRAD_PARTS : GRAD_ZEROED;
    pnng_release(planner->allocator, parts);
    return mode;
}

static void emit_fill(pnng_planner *planner, const pnng_shape *shape, const pnng_view *view,
                      uint32_t mask) {
    const pnng_step prototype = {.kernel = planner->plan->kernels->common.fill, .mask = mask};
    const pnng_ref ref = {*view, mask, false};
    pnng_emit_elementwise(planner, &prototype, shape, &ref, 1, NULL, 0);
}

/* Memory for the gradient of a root, at its first contribution. */
static void open_grad(pnng_planner *planner, pnng_value root) {
    const pnng_value_info *const info = &planner->program->values[root];
    planner->mode[root] = (uint8_t)decide_mode(planner, root);
    planner->grad[root] = info->origin == PNNG_FROM_INPUT
                              ? slot_view(planner, PNNG_SLOT_GRAD_INPUT, info->index, root)
                              : pnng_temporary(planner, &planner->shape[root]).view;
    if (planner->mode[root] == GRAD_ZEROED) {
        emit_fill(planner, &planner->shape[root], &planner->grad[root], planner->need[root]);
        planner->started[root] = true;
    }
}

/* The gradient of an alias is that alias of the gradient. */
static pnng_view grad_view(const pnng_planner *planner, pnng_value value) {
    const pnng_view *const of_root = &planner->grad[planner->root[value]];
    if (planner->root[value] == value)
        return *of_root;
    pnng_view view = planner->value[value];
    view.storage = of_root->storage;
    return view;
}

pnng_ref pnng_grad(pnng_planner *planner, pnng_value value) {
    if (!planner->active[value])
        return (pnng_ref){no_view, PNNG_ALWAYS, false};
    return (pnng_ref){grad_view(planner, value), PNNG_ALWAYS, false};
}

pnng_target pnng_grad_target(pnng_planner *planner, pnng_value value) {
    if (!planner->active[value])
        return (pnng_target){.view = no_view};
    const pnng_value root = planner->root[value];
    if (planner->mode[root] == GRAD_UNDECIDED)
        open_grad(planner, root);
    const pnng_value region = planner->mode[root] == GRAD_PARTS ? planner->region[value] : root;
    const bool accumulate = planner->started[region];
    planner->started[region] = true;
    planner->giver[root] = planner->op;
    return (pnng_target){grad_view(planner, value), planner->need[value], accumulate, false};
}

pnng_target pnng_scaled_target(pnng_planner *planner, pnng_value value) {
    const pnng_value_info *const info = &planner->program->values[value];
    if (info->origin != PNNG_FROM_PARAM || !planner->active[value])
        return pnng_grad_target(planner, value);
    /* One storage a slot: fuse.c and chain.c tell by it what touches what. */
    int32_t *const storage = &planner->own_grad[value];
    if (*storage < 0)
        *storage = slot_view(planner, PNNG_SLOT_GRAD_PARAM, info->index, value).storage;
    return (pnng_target){pnng_contiguous_view(*storage, &planner->shape[value]), PNNG_GRAD_PARAMS,
                         true, true};
}

bool pnng_alias_grad(pnng_planner *planner, pnng_value value, pnng_ref from) {
    const pnng_value root = planner->root[value];
    const bool alone = planner->first_part[root + 1] - planner->first_part[root] == 1;
    if (!planner->active[value] || !alone || root != value ||
        planner->mode[root] != GRAD_UNDECIDED ||
        planner->program->values[root].origin == PNNG_FROM_INPUT)
        return false;
    planner->mode[root] = GRAD_WHOLE;
    planner->started[root] = true;
    planner->giver[root] = planner->op;
    planner->grad[root] = from.view;
    return true;
}

void pnng_pass_grad(pnng_planner *planner, pnng_value value, pnng_ref from, double factor) {
    if (!planner->active[value] || (factor == 1 && pnng_alias_grad(planner, value, from)))
        return;
    const pnng_target target = pnng_grad_target(planner, value);
    pnng_emit_scale(planner, &planner->shape[value], target, from, factor);
}

/* Who wants a gradient: inputs, parameters with one, and what is made from them. */
static void find_needs(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    for (size_t k = 0; k < program->n_inputs; k++)
        if (program->values[program->inputs[k]].has_grad)
            planner->need[program->inputs[k]] = PNNG_GRAD_INPUTS;
    for (size_t k = 0; k < program->n_params; k++)
        if (program->values[program->params[k]].has_grad)
            planner->need[program->params[k]] = PNNG_GRAD_PARAMS;
    for (size_t o = 0; o < program->n_ops; o++) {
        const pnng_op_node *const op = &program->ops[o];
        const pnng_family *const family = pnng_family_of(op->code);
        const pnng_value *const in = pnng_op_inputs(program, op);
        const bool own = family->may_own_params && pnng_op_ints(program, op)[2];
        uint8_t need = own ? PNNG_GRAD_PARAMS : 0;
        for (size_t k = 0; k < op->n_in; k++)
            if (k >= 32 || !(family->no_grad_inputs >> k & 1))
                need |= planner->need[in[k]];
        for (size_t k = 0; k < op->n_out; k++)
            if (!(family->no_grad_outputs >> k & 1) && !family->index_output)
                planner->need[op->first_out + (pnng_value)k] = need;
    }
}

static bool op_is_active(const pnng_planner *planner, const pnng_op_node *op) {
    for (size_t k = 0; k < op->n_out; k++)
        if (planner->active[op->first_out + (pnng_value)k])
            return true;
    return false;
}

/* An op whose backward writes gradients; the gradient of an alias needs no step. */
static bool contributes(const pnng_planner *planner, const pnng_op_node *op) {
    return op_is_active(planner, op) && !(op->n_out && pnng_is_alias(planner, op->first_out));
}

/* Where a gradient arrives, going back from the outputs. */
static void find_active(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    for (size_t k = 0; k < program->n_outputs; k++)
        planner->active[program->outputs[k]] = planner->need[program->outputs[k]] != 0;
    for (size_t o = program->n_ops; o-- > 0;) {
        const pnng_op_node *const op = &program->ops[o];
        if (!op_is_active(planner, op))
            continue;
        const pnng_family *const family = pnng_family_of(op->code);
        const pnng_value *const in = pnng_op_inputs(program, op);
        for (size_t k = 0; k < op->n_in; k++)
            if (planner->need[in[k]] && (k >= 32 || !(family->no_grad_inputs >> k & 1)))
                planner->active[in[k]] = true;
    }
}

/* Call `visit` for each contribution to a gradient: each output's seed, each use by an op. */
static void each_part(pnng_planner *planner, void (*visit)(pnng_planner *, pnng_value)) {
    const pnng_program *const program = planner->program;
    for (size_t k = 0; k < program->n_outputs; k++)
        if (planner->active[program->outputs[k]])
            visit(planner, program->outputs[k]);
    for (size_t o = 0; o < program->n_ops; o++) {
        const pnng_op_node *const op = &program->ops[o];
        if (!contributes(planner, op))
            continue;
        const pnng_family *const family = pnng_family_of(op->code);
        const pnng_value *const in = pnng_op_inputs(program, op);
        for (size_t k = 0; k < op->n_in; k++)
            if (planner->active[in[k]] && (k >= 32 || !(family->no_grad_inputs >> k & 1)))
                visit(planner, in[k]);
    }
}

static void count_part(pnng_planner *planner, pnng_value value) {
    planner->first_part[planner->root[value] + 1]++;
}

static void place_part(pnng_planner *planner, pnng_value value) {
    planner->part[planner->first_part[planner->root[value]]++] = value;
}

/* Lists of contributions by root: counted, then placed. */
static bool list_parts(pnng_planner *planner) {
    const size_t n = planner->program->n_values;
    each_part(planner, count_part);
    for (size_t v = 0; v < n; v++)
        planner->first_part[v + 1] += planner->first_part[v];
    planner->part = pnng_allocate(planner->allocator, planner->first_part[n], sizeof(pnng_value));
    if (!planner->part)
        return false;
    each_part(planner, place_part);
    /* Placing moved each start to its end, which is the next one's start. */
    memmove(planner->first_part + 1, planner->first_part, n * sizeof *planner->first_part);
    planner->first_part[0] = 0;
    return true;
}

/* Parameters' gradients that came about as arrays of their own are added where they belong. */
static void add_param_grads(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    for (size_t k = 0; k < program->n_params; k++) {
        const pnng_value param = program->params[k];
        if (!planner->active[param] || planner->mode[param] == GRAD_UNDECIDED)
            continue;
        planner->op = planner->giver[param];
        const pnng_target target = pnng_scaled_target(planner, param);
        pnng_emit_scale(planner, &planner->shape[param], target,
                        (pnng_ref){planner->grad[param], PNNG_ALWAYS, false}, 1);
    }
}

static void zero_untouched_inputs(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    for (size_t k = 0; k < program->n_inputs; k++) {
        const pnng_value input = program->inputs[k];
        if (!program->values[input].has_grad || planner->mode[input] != GRAD_UNDECIDED)
            continue;
        const pnng_view view = slot_view(planner, PNNG_SLOT_GRAD_INPUT, k, input);
        emit_fill(planner, &planner->shape[input], &view, PNNG_GRAD_INPUTS);
    }
}

/* The op that a value comes from, or -1. */
static int32_t maker(const pnng_program *program, pnng_value value) {
    const pnng_value_info *const info = &program->values[value];
    return info->origin == PNNG_FROM_OP ? (int32_t)info->index : -1;
}

static void plan_backward(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    find_needs(planner);
    find_active(planner);
    if (!list_parts(planner)) {
        planner->failed = true;
        return;
    }
    planner->steps = &planner->plan->backward;
    for (size_t k = 0; k < program->n_outputs && !planner->failed; k++) {
        const pnng_value output = program->outputs[k];
        planner->op = maker(program, output);
        planner->mask = planner->need[output];
        const pnng_view seed = slot_view(planner, PNNG_SLOT_GRAD_OUTPUT, k, output);
        pnng_pass_grad(planner, output, (pnng_ref){seed, PNNG_ALWAYS, false}, 1);
    }
    for (size_t o = program->n_ops; o-- > 0 && !planner->failed;) {
        const pnng_op_node *const op = &program->ops[o];
        if (!contributes(planner, op))
            continue;
        planner->op = (int32_t)o;
        planner->mask = 0;
        for (size_t k = 0; k < op->n_out; k++)
            planner->mask |= planner->need[op->first_out + (pnng_value)k];
        pnng_family_of(op->code)->backward(planner, op);
    }
    if (!planner->failed)
        add_param_grads(planner);
    planner->op = -1;
    if (!planner->failed)
        zero_untouched_inputs(planner);
}

/* ---- forward -------------------------------------------------------------------------------- */

/* How many ops have each parameter as their weight. */
static void count_products(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    for (size_t o = 0; o < program->n_ops; o++)
        if (program->ops[o].code == PNNG_OP_LINEAR)
            planner->n_products[pnng_op_inputs(program, &program->ops[o])[1]]++;
}

static void plan_forward(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    planner->steps = &planner->plan->forward;
    planner->mask = PNNG_ALWAYS;
    for (size_t k = 0; k < program->n_inputs; k++) {
        const pnng_value input = program->inputs[k];
        planner->value[input] = slot_view(planner, PNNG_SLOT_INPUT, k, input);
        planner->root[input] = input;
    }
    for (size_t k = 0; k < program->n_params; k++) {
        const pnng_value param = program->params[k];
        planner->value[param] = slot_view(planner, PNNG_SLOT_PARAM, k, param);
        planner->root[param] = param;
        planner->packed[param] = planner->own_grad[param] = -1;
    }
    count_products(planner);
    for (size_t o = 0; o < program->n_ops && !planner->failed; o++) {
        planner->op = (int32_t)o;
        pnng_family_of(program->ops[o].code)->forward(planner, &program->ops[o]);
    }
}

/* Note which storages are read or written by which run. */
static void mark_use(pnng_planner *planner) {
    const pnng_plan *const plan = planner->plan;
    const pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count; s++)
            for (size_t k = 0; k < runs[run]->step[s].n_operands; k++) {
                const uint32_t base = plan->operands[runs[run]->step[s].first_operand + k].base;
                if (base == PNNG_BASE_NONE)
                    continue;
                pnng_storage *const storage = &planner->storages[base - 1];
                *(run ? &storage->backward : &storage->forward) = true;
            }
}

/* Outputs are written where the caller wants them. One that the backward reads again is kept in
 * the arena and copied, so that the caller may do with the array as he likes. */
static void place_outputs(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    planner->steps = &planner->plan->forward;
    planner->mask = PNNG_ALWAYS;
    for (size_t k = 0; k < program->n_outputs && !planner->failed; k++) {
        const pnng_value output = program->outputs[k];
        const pnng_view *const view = &planner->value[output];
        pnng_storage *const storage = &planner->storages[view->storage];
        if (!pnng_is_alias(planner, output) && storage->slot < 0 && !storage->backward) {
            storage->slot = (int64_t)pnng_plan_slot(planner->plan, PNNG_SLOT_OUTPUT, k);
            continue;
        }
        planner->op = maker(program, output);
        const pnng_ref from = pnng_read(planner, output);
        const pnng_ref to = {slot_view(planner, PNNG_SLOT_OUTPUT, k, output), PNNG_ALWAYS,
                             from.is_index};
        pnng_emit_copy(planner, &planner->shape[output], to, from);
    }
}

/* Buffers are changed when all else is done. A value that is in a parameter's memory is copied
 * before: that parameter may be among those that change. */
static void update_buffers(pnng_planner *planner) {
    const pnng_program *const program = planner->program;
    pnng_ref *const from = pnng_refs(planner, program->n_params);
    for (size_t k = 0; k < program->n_params && !planner->failed; k++) {
        const pnng_value value = program->values[program->params[k]].update;
        if (value < 0)
            continue;
        planner->op = maker(program, value);
        from[k] = pnng_read(planner, value);
        if (program->values[planner->root[value]].origin != PNNG_FROM_PARAM)
            continue;
        const pnng_shape *const shape = &planner->shape[value];
        const pnng_ref copy = pnng_temporary(planner, shape);
        pnng_emit_copy(planner, shape, copy, from[k]);
        from[k] = copy;
    }
    planner->mask = PNNG_UPDATES;
    for (size_t k = 0; k < program->n_params && !planner->failed; k++) {
        const pnng_value param = program->params[k], value = program->values[param].update;
        if (value < 0)
            continue;
        planner->op = maker(program, value);
        pnng_emit_copy(planner, &planner->shape[param], pnng_read(planner, param), from[k]);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static void touch(pnng_storage *storage, size_t time) {
    if (!storage->used || time < storage->first)
        storage->first = time;
    if (!storage->used || time > storage->last)
        storage->last = time;
    storage->used = true;
}

/* When each storage is in use. What forward leaves for backward stays until the end of it: a
 * backward may be run again. */
static size_t find_lifetimes(pnng_planner *planner) {
    const pnng_plan *const plan = planner->plan;
    const size_t n_forward = plan->forward.count;
    const size_t n_times = n_forward + plan->backward.count + 1;
    size_t first = 0, end = 0; /* of the steps that may be done at the same time as this one */
    for (size_t t = 0; t + 1 < n_times; t++) {
        const pnng_step *const step =
            t < n_forward ? &plan->forward.step[t] : &plan->backward.step[t - n_forward];
        if (t >= end) {
            first = t;
            end = t + (step->branches ? step->branches : 1);
        }
        for (size_t k = 0; k < step->n_operands; k++) {
            const uint32_t base = plan->operands[step->first_operand + k].base;
            if (base == PNNG_BASE_NONE)
                continue;
            pnng_storage *const storage = &planner->storages[base - 1];
            touch(storage, first);
            touch(storage, end - 1);
            if (t >= n_forward && storage->first < n_forward)
                touch(storage, n_times - 1);
        }
    }
    return n_times;
}

/* From storages to bases and offsets. */
static void resolve_operands(pnng_planner *planner) {
    pnng_plan *const plan = planner->plan;
    const pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count; s++) {
            const pnng_step *const step = &runs[run]->step[s];
            for (size_t k = 0; k < step->n_operands; k++) {
                pnng_operand *const operand = &plan->operands[step->first_operand + k];
                if (operand->base == PNNG_BASE_NONE)
                    continue;
                const pnng_storage *const storage = &planner->storages[operand->base - 1];
                if (storage->slot < 0) {
                    operand->base = PNNG_BASE_ARENA;
                    operand->offset += storage->offset;
                    continue;
                }
                operand->base = (uint32_t)(PNNG_BASE_SLOTS + storage->slot);
                plan->slots[storage->slot].use |=
                    run ? (uint8_t)(step->mask & operand->mask & 3) : PNNG_USE_FORWARD;
            }
        }
}

/* An address for arrays of an arena of no bytes: NULL would say that they are not there. */
static _Alignas(PNNG_ARENA_ALIGNMENT) char nothing[PNNG_ARENA_ALIGNMENT];

static bool take_arena(pnng_plan *plan) {
    if (plan->flags & PNNG_PLAN_NO_ARENA) {
        plan->bases[PNNG_BASE_ARENA] = plan->arena_size ? NULL : nothing;
        return true;
    }
    plan->arena_memory =
        pnng_allocate(&plan->program->allocator, plan->arena_size + PNNG_ARENA_ALIGNMENT, 1);
    if (!plan->arena_memory)
        return false;
    const uintptr_t past = (uintptr_t)plan->arena_memory % PNNG_ARENA_ALIGNMENT;
    plan->bases[PNNG_BASE_ARENA] =
        (char *)plan->arena_memory + (PNNG_ARENA_ALIGNMENT - past) % PNNG_ARENA_ALIGNMENT;
    return true;
}

static bool take_memory(pnng_planner *planner) {
    pnng_plan *const plan = planner->plan;
    const size_t n_times = find_lifetimes(planner);
    if (!pnng_lay_out(planner->allocator, planner->storages, planner->n_storages, n_times,
                      &plan->arena_size))
        return false;
    plan->scratch = pnng_allocate_zeroed(planner->allocator, plan->max_operands, sizeof(void *));
    plan->addresses =
        pnng_allocate_zeroed(planner->allocator, plan->n_operands, sizeof *plan->addresses);
    plan->bound = pnng_allocate_zeroed(planner->allocator,
                                       PNNG_BASE_SLOTS + plan->slot_start[PNNG_SLOT_GROUPS],
                                       sizeof *plan->bound);
    if (!plan->scratch || !plan->addresses || !plan->bound || !take_arena(plan))
        return false;
    pnng_note_costs(plan, planner->storages, planner->n_storages);
    resolve_operands(planner);
    return true;
}

/* ---- the plan ------------------------------------------------------------------------------- */

static bool open_planner(pnng_planner *planner, pnng_plan *plan) {
    const pnng_allocator *const allocator = &plan->program->allocator;
    const size_t n = plan->program->n_values;
    *planner = (pnng_planner){.plan = plan,
                              .program = plan->program,
                              .allocator = allocator,
                              .shape = plan->shapes->shape};
    planner->value = pnng_allocate(allocator, n, sizeof *planner->value);
    planner->root = pnng_allocate_zeroed(allocator, n, sizeof *planner->root);
    planner->need = pnng_allocate_zeroed(allocator, n, sizeof *planner->need);
    planner->active = pnng_allocate_zeroed(allocator, n, sizeof *planner->active);
    planner->grad = pnng_allocate(allocator, n, sizeof *planner->grad);
    planner->mode = pnng_allocate_zeroed(allocator, n, sizeof *planner->mode);
    planner->giver = pnng_allocate_zeroed(allocator, n, sizeof *planner->giver);
    planner->region = pnng_allocate_zeroed(allocator, n, sizeof *planner->region);
    planner->started = pnng_allocate_zeroed(allocator, n, sizeof *planner->started);
    planner->n_products = pnng_allocate_zeroed(allocator, n, sizeof *planner->n_products);
    planner->packed = pnng_allocate(allocator, n, sizeof *planner->packed);
    planner->own_grad = pnng_allocate(allocator, n, sizeof *planner->own_grad);
    planner->first_part = pnng_allocate_zeroed(allocator, n + 1, sizeof *planner->first_part);
    return planner->value && planner->root && planner->need && planner->active && planner->grad &&
           planner->mode && planner->giver && planner->region && planner->started &&
           planner->n_products && planner->packed && planner->own_grad && planner->first_part;
}

static void close_planner(pnng_planner *planner) {
    void *const parts[] = {planner->value,      planner->root,   planner->need,
                           planner->active,     planner->grad,   planner->mode,
                           planner->giver,      planner->region, planner->started,
                           planner->first_part, planner->part,   planner->storages,
                           planner->n_products, planner->packed, planner->refs,
                           planner->flags,      planner->levels, planner->own_grad};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(planner->allocator, parts[k]);
}

/* Whether a step may want threads: one that is split, or one of several parts. */
static bool may_want_threads(const pnng_plan *plan, const pnng_step *step) {
    if (step->branches)
        return true;
    if (step->run == pnng_run_convolution)
        return plan->convolutions[step->j].parts > 1;
    if (step->run == pnng_run_chain)
        return pnng_threads_may_help(step->nanoseconds);
    return step->run == pnng_run_gemm ? plan->methods[step->j].parts > 1
                                      : step->split != PNNG_SPLIT_NONE;
}

/* Nanoseconds, a second at most. */
static uint64_t predicted(const pnng_plan *plan, const pnng_step *step) {
    pnng_step_info info = {0};
    pnng_step_costs(plan, step, &info);
    return info.predicted < 1 ? (uint64_t)(info.predicted * 1e9) : 1000000000;
}

/* If a run may want threads, how many there are is found out now. */
static void look_for_splits(pnng_plan *plan) {
    pnng_steps *const runs[] = {&plan->forward, &plan->backward};
    for (size_t run = 0; run < 2; run++)
        for (size_t s = 0; s < runs[run]->count; s++)
            if (may_want_threads(plan, &runs[run]->step[s])) {
                runs[run]->shared += predicted(plan, &runs[run]->step[s]);
                plan->may_split = true;
            }
    if (plan->may_split)
        pnng_threads_limit();
}

static bool fuse(pnng_planner *planner) {
    pnng_plan *const plan = planner->plan;
    return !fuses(planner) ||
           (pnng_fuse(planner->allocator, plan, planner->storages, planner->n_storages) &&
            pnng_chain_steps(planner->allocator, plan, planner->storages, planner->n_storages));
}

/* Room for as many steps as most programs need, so that few are moved when there are more. */
static bool reserve_steps(pnng_planner *planner) {
    pnng_plan *const plan = planner->plan;
    const size_t n_ops = planner->program->n_ops;
    const size_t n_back = plan->flags & PNNG_PLAN_BACKWARD ? 2 * n_ops : 0;
    const size_t n_operands = 4 * (n_ops + n_back);
    return ROOM(planner, plan->forward.step, 0, plan->forward.capacity, n_ops + 4) &&
           ROOM(planner, plan->backward.step, 0, plan->backward.capacity, n_back) &&
           ROOM(planner, plan->operands, 0, plan->cap_operands, n_operands) &&
           ROOM(planner, plan->strides, 0, plan->cap_strides, n_operands) &&
           ROOM(planner, planner->storages, 0, planner->cap_storages, 2 * n_ops + n_back);
}

static bool make_steps(pnng_planner *planner) {
    if (!reserve_steps(planner))
        return false;
    plan_forward(planner);
    if (!planner->failed && planner->plan->flags & PNNG_PLAN_BACKWARD)
        plan_backward(planner);
    if (planner->failed)
        return false;
    mark_use(planner);
    place_outputs(planner);
    update_buffers(planner);
    if (planner->failed || !fuse(planner))
        return false;
    pnng_find_branches(planner->plan);
    return take_memory(planner);
}

static void note_indices(pnng_plan *plan, int group, const pnng_value *values, size_t count) {
    for (size_t k = 0; k < count; k++)
        if (plan->program->values[values[k]].kind == PNNG_INDEX)
            plan->slots[plan->slot_start[group] + k].low_bits = sizeof(int64_t) - 1;
}

static bool make_slots(pnng_plan *plan) {
    const pnng_program *const program = plan->program;
    const size_t sizes[PNNG_SLOT_GROUPS] = {
        program->n_inputs,  program->n_outputs, program->n_params, program->n_params,
        program->n_outputs, program->n_inputs,  program->n_params};
    for (size_t group = 0; group < PNNG_SLOT_GROUPS; group++)
        plan->slot_start[group + 1] = plan->slot_start[group] + sizes[group];
    const size_t n_slots = plan->slot_start[PNNG_SLOT_GROUPS];
    plan->bases =
        pnng_allocate_zeroed(&program->allocator, PNNG_BASE_SLOTS + n_slots, sizeof *plan->bases);
    plan->slots = pnng_allocate_zeroed(&program->allocator, n_slots, sizeof *plan->slots);
    if (!plan->bases || !plan->slots)
        return false;
    for (size_t slot = 0; slot < n_slots; slot++)
        plan->slots[slot].low_bits = (uint8_t)(plan->element - 1);
    note_indices(plan, PNNG_SLOT_INPUT, program->inputs, program->n_inputs);
    note_indices(plan, PNNG_SLOT_OUTPUT, program->outputs, program->n_outputs);
    return true;
}

static pnng_status check_arguments(pnng_plan *plan, int32_t dtype, int32_t flags) {
    if (!plan->program->sealed)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT,
                         "the program is not sealed yet: it may still change");
    if (dtype != PNNG_F32 && dtype != PNNG_F64)
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "no such number type: %d", dtype);
    if (flags & ~(PNNG_PLAN_BACKWARD | PNNG_PLAN_UNFUSED | PNNG_PLAN_NO_ARENA))
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "unknown flags: %d", flags);
    if (pnng_fuse_problem())
        return pnng_fail(&plan->message, PNNG_ERROR_ARGUMENT, "%s", pnng_fuse_problem());
    if (!pnng_chosen_isa())
        return pnng_fail(&plan->message, PNNG_ERROR_ISA, "%s", pnng_cpu_info()->problem);
    if (pnng_threads_problem())
        return pnng_fail(&plan->message, PNNG_ERROR_THREADS, "%s", pnng_threads_problem());
    return PNNG_OK;
}

/* What a buffer becomes has its shape. */
static pnng_status check_updates(pnng_plan *plan) {
    const pnng_program *const program = plan->program;
    for (size_t k = 0; k < program->n_params; k++) {
        const pnng_value value = program->values[program->params[k]].update;
        if (value < 0 || pnng_same_shape(&plan->shapes->shape[value], &program->param_shapes[k]))
            continue;
        char is[PNNG_SHAPE_TEXT], wanted[PNNG_SHAPE_TEXT];
        pnng_fail(&plan->message, PNNG_ERROR_SHAPE, "a buffer of shape %s cannot become %s",
                  pnng_shape_text(&program->param_shapes[k], wanted),
                  pnng_shape_text(&plan->shapes->shape[value], is));
        plan->message.op = maker(program, value);
        return PNNG_ERROR_SHAPE;
    }
    return PNNG_OK;
}

static pnng_status make_plan(pnng_plan *plan, int32_t dtype, const pnng_shape *inputs,
                             size_t n_inputs, int32_t flags) {
    pnng_program *const program = plan->program;
    pnng_status status = check_arguments(plan, dtype, flags);
    if (status)
        return status;
    plan->dtype = dtype;
    plan->flags = flags;
    plan->element = dtype == PNNG_F32 ? sizeof(float) : sizeof(double);
    plan->kernels = dtype == PNNG_F32 ? &pnng_chosen_isa()->f32 : &pnng_chosen_isa()->f64;

    status = pnng_shapes_new(program, inputs, n_inputs, &plan->shapes);
    if (!status)
        status = pnng_shapes_run(plan->shapes, program->n_ops);
    if (status && plan->shapes)
        plan->message = plan->shapes->message;
    if (status)
        return status;

    status = check_updates(plan);
    if (status)
        return status;
    if (!make_slots(plan))
        return PNNG_ERROR_MEMORY;
    pnng_planner planner;
    plan->made = open_planner(&planner, plan) && make_steps(&planner);
    close_planner(&planner);
    look_for_splits(plan);
    return plan->made ? PNNG_OK : PNNG_ERROR_MEMORY;
}

pnng_status pnng_plan_new(pnng_program *program, int32_t dtype, const pnng_shape *inputs,
                          size_t n_inputs, int32_t flags, pnng_plan **out) {
    pnng_plan *const plan = pnng_allocate_zeroed(&program->allocator, 1, sizeof *plan);
    *out = plan;
    if (!plan)
        return PNNG_ERROR_MEMORY;
    pnng_program_retain(program);
    plan->program = program;
    plan->message.op = -1;
    atomic_flag_clear(&plan->busy);
    const pnng_status status = make_plan(plan, dtype, inputs, n_inputs, flags);
    if (status == PNNG_ERROR_MEMORY) {
        pnng_plan_free(plan);
        *out = NULL;
    }
    return status;
}

void pnng_plan_free(pnng_plan *plan) {
    if (!plan)
        return;
    pnng_program *const program = plan->program;
    for (size_t k = 0; k < plan->n_kept; k++)
        pnng_release(&program->allocator, plan->kept[k]);
    void *const parts[] = {plan->forward.step, plan->backward.step, plan->operands,
                           plan->strides,      plan->flag_pool,     plan->outer,
                           plan->bases,        plan->scratch,       plan->slots,
                           plan->arena_memory, plan->sums,          plan->by,
                           plan->methods,      plan->finishes,      plan->kept,
                           plan->convolutions, plan->ops,           plan->chains,
                           plan->members,      plan->addresses,     plan->bound};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(&program->allocator, parts[k]);
    pnng_shapes_free(plan->shapes);
    pnng_release(&program->allocator, plan);
    pnng_program_free(program);
}

const char *pnng_plan_error(const pnng_plan *plan) { return plan->message.text; }

int64_t pnng_plan_error_op(const pnng_plan *plan) { return plan->message.op; }

pnng_status pnng_plan_shape(const pnng_plan *plan, pnng_value value, pnng_shape *out) {
    if (!plan->made || value < 0 || (size_t)value >= plan->program->n_values)
        return PNNG_ERROR_ARGUMENT;
    *out = plan->shapes->shape[value];
    return PNNG_OK;
}

pnng_status pnng_plan_multiply_adds(const pnng_plan *plan, int64_t op, uint64_t *out) {
    if (!plan->made || op < 0 || (uint64_t)op >= plan->program->n_ops)
        return PNNG_ERROR_ARGUMENT;
    return pnng_shapes_multiply_adds(plan->shapes, (size_t)op, out);
}

size_t pnng_plan_arena_size(const pnng_plan *plan) { return plan->arena_size; }

/* The product of one row that a parameter's packed form serves, as it serves those of more. */
static pnng_product packed_product(const pnng_plan *plan, size_t param) {
    const pnng_shape *const shape = &plan->program->param_shapes[param];
    const size_t cols = (size_t)shape->dim[0], depth = (size_t)shape->dim[1];
    return (pnng_product){.form = PNNG_GEMM_NT,
                          .sizes = {1, cols, depth},
                          .element = plan->element,
                          .ldb = (ptrdiff_t)depth};
}

size_t pnng_plan_packed_size(const pnng_plan *plan, size_t param) {
    if (!plan->made || param >= plan->program->n_params ||
        !plan->slots[pnng_plan_slot(plan, PNNG_SLOT_PACKED, param)].use)
        return 0;
    const pnng_product product = packed_product(plan, param);
    return pnng_gemm_packed_size(&plan->kernels->gemm, &product);
}

pnng_status pnng_plan_pack(const pnng_plan *plan, size_t param, const void *data, void *packed) {
    if (!pnng_plan_packed_size(plan, param) || (uintptr_t)data % plan->element ||
        (uintptr_t)packed % plan->element)
        return PNNG_ERROR_ARGUMENT;
    const pnng_product product = packed_product(plan, param);
    pnng_gemm_pack_b(&plan->kernels->gemm, &product, data, packed);
    return PNNG_OK;
}

size_t pnng_plan_n_forward(const pnng_plan *plan) { return plan->forward.count; }

size_t pnng_plan_n_backward(const pnng_plan *plan) { return plan->backward.count; }

size_t pnng_plan_slot(const pnng_plan *plan, int32_t group, size_t index) {
    /* No such group: past all slots, which binding refuses. */
    if (group < 0 || group > PNNG_SLOT_GROUPS)
        group = PNNG_SLOT_GROUPS;
    return plan->slot_start[group] + index;
}

void **pnng_plan_slots(pnng_plan *plan) {
    return plan->bases ? plan->bases + PNNG_BASE_SLOTS : NULL;
}
