/* A plan as the engine sees it, and what the families use to fill it.
 *
 * While planning, a *view* says where an array is: a storage, an offset and strides. A *storage* is
 * memory: a stretch of the arena, or a slot that the caller binds. Steps name storages; when all
 * steps are known, storages get their places and the names become addresses relative to a base.
 */
#ifndef PNNG_PLAN_H
#define PNNG_PLAN_H

#include "convolution.h"
#include "family.h"
#include "gemm.h"

typedef struct pnng_view {
    int32_t storage; /* -1: no array */
    int64_t offset;  /* elements */
    int64_t stride[PNNG_MAX_DIMS];
} pnng_view;

typedef struct pnng_storage {
    int64_t slot; /* the slot that it is bound to, or -1: it is in the arena */
    size_t bytes;
    size_t offset;                /* in the arena */
    size_t first, last;           /* steps between which it is in use */
    bool used, forward, backward; /* used at all; by a forward step; by a backward step */
} pnng_storage;

/* Bases of addresses: none, the arena, then the slots. */
enum { PNNG_BASE_NONE = 0, PNNG_BASE_ARENA = 1, PNNG_BASE_SLOTS = 2 };

typedef struct pnng_operand {
    uint32_t base; /* while planning: the storage + 1 */
    uint32_t mask; /* present in backward runs that produce any of these */
    size_t offset; /* bytes */
} pnng_operand;

typedef struct pnng_step pnng_step;
typedef pnng_status pnng_step_run(pnng_plan *plan, const pnng_step *step, void **ptr);

struct pnng_step {
    pnng_step_run *run;
    pnng_kernel *kernel;
    uint32_t n_operands, first_operand;
    uint32_t first_flag; /* plan->flags: accumulate, one a written gradient */
    uint32_t n_outer;    /* loops around rows and cols */
    uint32_t
        first_outer; /* plan->outer: extents, then for each loop a stride in bytes an operand */
    uint32_t mask;   /* backward: which runs need it */
    int32_t op;      /* the op it was made for, or -1: for none */
    uint32_t first_op, n_ops; /* fused: plan->ops, all that it was made for; else n_ops is 0 */
    bool scaled;              /* the run's `scale` multiplies `a` */
    bool walks;               /* elementwise: each operand is rows x cols, or work space */
    uint32_t firsts;          /* members of chains: operands that none before it has, as bits */
    uint32_t writes;      /* elementwise: it writes operands from this one on; 0: only the first */
    bool stream;          /* it writes past the caches */
    uint8_t may_finish;   /* operand 0 is made of these, 1 ... may_finish, element by element, */
    bool in_place;        /* and may lie in the memory of any */
    uint32_t noise;       /* as of its op */
    uint8_t work;         /* the operand that is work space, or 0: none */
    uint8_t split;        /* what several threads may do ranges of: PNNG_SPLIT_... (split.h) */
    uint32_t first_by;    /* split: plan->by, one an operand */
    uint32_t finish;      /* products: the place of what follows in plan->finishes, + 1; or 0 */
    uint64_t nanoseconds; /* split: how long one thread takes, about */
    uint64_t bytes;       /* of the arrays that it reads and writes */
    uint8_t unfused;      /* PNNG_UNFUSED_...: why it is not the end of a product */
    uint8_t branches;     /* so many steps from this one on may be done at the same time; or 0 */
    size_t rows, cols, n, inner;
    double a, b;
    int64_t i, j;
    const pnng_windows *windows; /* pooling; kept by the plan */
};

/* Why a step that may be the end of a product (may_finish) is not. */
enum {
    PNNG_FUSED_OR_NEVER,
    PNNG_UNFUSED_NO_PRODUCT,
    PNNG_UNFUSED_OTHER_PART,
    PNNG_UNFUSED_OTHER_RUNS,
    PNNG_UNFUSED_BETWEEN,
    PNNG_UNFUSED_TAKEN
};

typedef struct pnng_steps {
    pnng_step *step;
    size_t count, capacity;
    uint64_t shared; /* nanoseconds of one thread, about, for what several may do */
} pnng_steps;

/* Elementwise steps that are done piece by piece (chain.c). They go through rows x cols elements;
 * pieces have at most high x wide. */
typedef struct pnng_chain {
    size_t first_member, n_members; /* in plan->members */
    size_t rows, cols, high, wide;
    bool fetches;   /* the next piece while one is gone through */
    size_t scratch; /* bytes of what only members touch, of one piece */
} pnng_chain;

/* What measuring keeps of a step. */
typedef struct pnng_step_sum {
    uint64_t nanoseconds, runs;
} pnng_step_sum;

enum { PNNG_SLOT_GROUPS = PNNG_SLOT_PACKED + 1 };

/* What a run asks of an address that is bound. */
typedef struct pnng_slot {
    uint8_t use;      /* PNNG_USE_...: the runs that read or write there */
    uint8_t low_bits; /* those that are zero where elements are aligned */
} pnng_slot;

struct pnng_plan {
    pnng_program *program;
    pnng_shapes *shapes;
    const pnng_kernels *kernels;
    int32_t dtype, flags;
    size_t element; /* bytes of a real */
    pnng_steps forward, backward;
    pnng_operand *operands;
    ptrdiff_t *strides; /* row strides, one an operand */
    uint8_t *flag_pool;
    int64_t *outer;
    ptrdiff_t *by; /* of split steps: bytes from one unit to the next, one an operand */
    size_t n_operands, cap_operands, cap_strides, n_flags, cap_flags, n_outer, cap_outer, n_by,
        cap_by;
    pnng_method *methods; /* of products */
    size_t n_methods, cap_methods;
    void **kept; /* what steps need for as long as the plan lives */
    size_t n_kept, cap_kept;
    pnng_convolution_method *convolutions;
    size_t n_convolutions, cap_convolutions;
    size_t n_sums; /* sums of products that are no steps any more */
    pnng_chain *chains;
    size_t n_chains, cap_chains;
    pnng_step *members; /* elementwise steps of chains */
    size_t n_members, cap_members;
    pnng_step *finishes; /* elementwise steps that are ends of products */
    size_t n_finishes, cap_finishes;
    int32_t *ops; /* of steps that are fused */
    size_t n_ops, cap_ops;
    bool may_split; /* some step may want threads */
    void **bases;
    void **addresses;  /* of the operands of all steps, */
    void **bound;      /* as what the bases were then says, */
    uint32_t found[2]; /* in a forward and a backward of such masks; 0: not yet */
    void **scratch;    /* addresses of one step's operands */
    size_t max_operands;
    pnng_slot *slots;
    size_t slot_start[PNNG_SLOT_GROUPS + 1]; /* of each group, and the end */
    void *arena_memory;
    size_t arena_size;
    pnng_memory_info memory;
    atomic_flag busy;
    bool made; /* else it is there for its message only */
    bool ran_forward;
    bool measures;       /* steps are timed */
    pnng_step_sum *sums; /* forward's, then backward's; NULL until they are first wanted */
    /* of the run under way */
    uint64_t seed;
    double scale;
    uint32_t mask;
    pnng_message message;
};

/* Beside PNNG_GRAD_INPUTS and PNNG_GRAD_PARAMS: bits of slots' uses and of steps' masks. */
enum {
    PNNG_USE_FORWARD = 4,
    PNNG_UPDATES = 8 /* steps of forward that change buffers */
};

/* ---- for families ------------------------------------------------------------------------ */

/* An operand of a step to be: an array, and the backward runs that it is for. */
typedef struct pnng_ref {
    pnng_view view;
    uint32_t mask;
    bool is_index; /* elements are int64, whatever the plan's number type */
} pnng_ref;

/* Where a gradient goes. */
typedef struct pnng_target {
    pnng_view view; /* storage -1: not wanted */
    uint32_t mask;
    bool accumulate;
    bool scaled;
} pnng_target;

enum { PNNG_ALWAYS = 0xff }; /* mask of operands that every run has */

const pnng_kernels *pnng_planner_kernels(const pnng_planner *planner);
const pnng_program *pnng_planner_program(const pnng_planner *planner);
size_t pnng_planner_element(const pnng_planner *planner); /* bytes of a real */
const pnng_shape *pnng_value_shape(const pnng_planner *planner, pnng_value value);

/* Where a value is. */
pnng_ref pnng_read(const pnng_planner *planner, pnng_value value);
/* Where the packed form of an array is that is all of a parameter, a matrix of these sizes; no
 * array where it is not, or where steps are to read parameters as they lie. */
pnng_ref pnng_packed_form(pnng_planner *planner, pnng_ref ref, size_t rows, size_t cols);
/* Where the packed form of such a parameter is, if several products of a run multiply by it: the
 * run packs it once, at the first of them. */
pnng_ref pnng_packed_once(pnng_planner *planner, pnng_ref ref, const pnng_product *product);
/* Give a value memory of its own and say where. */
pnng_ref pnng_define(pnng_planner *planner, pnng_value value);
/* Make a value an alias of another one. */
void pnng_define_view(pnng_planner *planner, pnng_value value, pnng_value of,
                      const pnng_view *view);
/* Whether a value is an alias of another one. */
bool pnng_is_alias(const pnng_planner *planner, pnng_value value);

/* Reals for the steps of one op, contiguous. */
pnng_ref pnng_temporary(pnng_planner *planner, const pnng_shape *shape);
/* Bytes of work space for one step. */
pnng_ref pnng_work_space(pnng_planner *planner, size_t bytes);

bool pnng_wants_grad(const pnng_planner *planner, pnng_value value);
/* The gradient of an output, to read. */
pnng_ref pnng_grad(pnng_planner *planner, pnng_value value);
/* Where a step must store or add its part of the gradient of `value`. Every backward asks once for
 * each occurrence of a wanted input, and then writes all of it. */
pnng_target pnng_grad_target(pnng_planner *planner, pnng_value value);
/* The same for a step that multiplies by the run's scale if target.scaled: for a parameter that
 * is the parameter's own gradient. */
pnng_target pnng_scaled_target(pnng_planner *planner, pnng_value value);
/* Make `from` the gradient of `value`, if nothing else adds to it and it may be an alias. */
bool pnng_alias_grad(pnng_planner *planner, pnng_value value, pnng_ref from);
/* Add factor * `from` to the gradient of `value`; where nothing else adds to it, it becomes an
 * alias. */
void pnng_pass_grad(pnng_planner *planner, pnng_value value, pnng_ref from, double factor);

/* Contiguous strides of a shape. */
pnng_view pnng_contiguous_view(int32_t storage, const pnng_shape *shape);
/* The array itself if dims `split` and on are contiguous and the ones before have one common
 * stride, else a copy that is so. That stride goes to *row_stride. */
pnng_ref pnng_as_rows(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape, size_t split,
                      ptrdiff_t *row_stride);
/* The array itself if it is contiguous, else a copy. */
pnng_ref pnng_as_contiguous(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape);
/* As pnng_as_rows for a target: else a temporary, to be followed by pnng_finish_target. */
pnng_target pnng_target_as_rows(pnng_planner *planner, pnng_target target, const pnng_shape *shape,
                                size_t split, ptrdiff_t *row_stride);
/* The array itself if neighbours along its last dim are neighbours in memory, else a copy. */
pnng_ref pnng_with_dense_rows(pnng_planner *planner, pnng_ref ref, const pnng_shape *shape);
/* The same for a target: else a temporary, to be followed by pnng_finish_target. */
pnng_target pnng_target_with_dense_rows(pnng_planner *planner, pnng_target target,
                                        const pnng_shape *shape);
/* Add what was written to a temporary that stands for `target`. */
void pnng_finish_target(pnng_planner *planner, pnng_target target, pnng_target written,
                        const pnng_shape *shape);

/* Room for the operands of a step with many of them; valid until the next call. */
pnng_ref *pnng_refs(pnng_planner *planner, size_t count);
uint8_t *pnng_flags(pnng_planner *planner, size_t count);

typedef int32_t pnng_direction; /* PNNG_FORWARD or PNNG_BACKWARD */

/* A step of an op's own kernel, with the op's real attributes. */
pnng_step pnng_prototype(const pnng_planner *planner, const pnng_op_node *op,
                         pnng_direction direction);
/* Append a step of a kernel. The prototype carries the kernel, its sizes and its attributes.
 * @param strides  row strides, one an operand; NULL: all zero. */
void pnng_emit(pnng_planner *planner, const pnng_step *prototype, const pnng_ref *refs,
               const ptrdiff_t *strides, size_t n_refs, const uint8_t *flags, size_t n_flags);
/* The same, `count` times: operands advance by `by` elements from one turn to the next. */
void pnng_emit_repeated(pnng_planner *planner, const pnng_step *prototype, const pnng_ref *refs,
                        const ptrdiff_t *strides, size_t n_refs, const uint8_t *flags,
                        size_t n_flags, size_t count, const ptrdiff_t *by);
/* Append products: C = or += op(A) op(B) [+ bias], `count` times, the operands advancing by `by`
 * elements from one to the next. Nothing where C is empty.
 * @param operands  A, B, C and the bias, or no array.
 * @param target  what C is of, where it is a gradient; else NULL. */
void pnng_emit_products(pnng_planner *planner, pnng_gemm_form form, pnng_gemm_sizes sizes,
                        const pnng_ref operands[4], const ptrdiff_t row_strides[3],
                        const pnng_target *target, size_t count, const ptrdiff_t *by);
/* Memory for what steps of the plan point to, kept for as long as it lives; NULL: none left. */
void *pnng_keep(pnng_planner *planner, size_t bytes);
/* Keep how a product is made; its number. */
size_t pnng_keep_method(pnng_planner *planner, const pnng_method *method);
/* Append a convolution.
 * @param operands  x, y, the weight and the bias, or no array.
 * @param target  what is made, where it is a gradient; else NULL. */
void pnng_emit_convolution(pnng_planner *planner, const pnng_convolution *convolution,
                           const pnng_ref operands[4], const pnng_target *target);
/* Append an elementwise step: loops are found from the strides. */
void pnng_emit_elementwise(pnng_planner *planner, const pnng_step *prototype,
                           const pnng_shape *shape, const pnng_ref *refs, size_t n_refs,
                           const uint8_t *flags, size_t n_flags);
/* to = from, bit for bit */
void pnng_emit_copy(pnng_planner *planner, const pnng_shape *shape, pnng_ref to, pnng_ref from);
/* to = or += a * from */
void pnng_emit_scale(pnng_planner *planner, const pnng_shape *shape, pnng_target to, pnng_ref from,
                     double a);

/* Do the first turns of a step's outermost loop, one after the other. Advances the addresses. */
pnng_status pnng_run_turns(pnng_plan *plan, const pnng_step *step, void **ptr, int64_t turns);

/* Do a step of the run under way. `room`: for addresses of its operands, which loops advance. */
pnng_status pnng_run_step(pnng_plan *plan, const pnng_step *step, void **room);

/* Steps other than kernels. */
pnng_status pnng_run_kernel(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_gemm(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_convolution(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_chain(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_pack(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_host(pnng_plan *plan, const pnng_step *step, void **ptr);
pnng_status pnng_run_host_backward(pnng_plan *plan, const pnng_step *step, void **ptr);

/* The ops that a step was made for. */
static inline const int32_t *pnng_step_ops(const pnng_plan *plan, const pnng_step *step,
                                           size_t *count) {
    *count = step->n_ops ? step->n_ops : step->op >= 0;
    return step->n_ops ? plan->ops + step->first_op : &step->op;
}

/* Nanoseconds since some moment, that never run backwards where the system has such a clock. */
uint64_t pnng_clock(void);

/* Operands of a step of a product; those of its finish come after them. */
enum {
    PNNG_PRODUCT_A,
    PNNG_PRODUCT_B,
    PNNG_PRODUCT_C,
    PNNG_PRODUCT_BIAS,
    PNNG_PRODUCT_WORK,
    PNNG_PRODUCT_OPERANDS
};

/* Operands of a step of a convolution. */
enum {
    PNNG_CONVOLUTION_X,
    PNNG_CONVOLUTION_Y,
    PNNG_CONVOLUTION_WEIGHT,
    PNNG_CONVOLUTION_BIAS,
    PNNG_CONVOLUTION_WORK,
    PNNG_CONVOLUTION_OPERANDS
};

/* Whether a step may write to its operand `k`. */
bool pnng_step_writes(const pnng_plan *plan, const pnng_step *step, size_t k);

/* Make steps the ends of the products that they follow (fuse.c); false when memory ran out. */
bool pnng_fuse(const pnng_allocator *allocator, pnng_plan *plan, pnng_storage *storages,
               size_t n_storages);

/* Drop the steps that are none any more: those without `run`. */
void pnng_drop_steps(pnng_steps *steps);

/* Bytes of an array that chains go through at once: changed by tests only. */
extern size_t pnng_chain_piece;

/* Make neighbouring elementwise steps one (chain.c); false when memory ran out. */
bool pnng_chain_steps(const pnng_allocator *allocator, pnng_plan *plan, pnng_storage *storages,
                      size_t n_storages);

/* What the steps and the arena of a plan cost: once storages have their places (describe.c). */
void pnng_note_costs(pnng_plan *plan, const pnng_storage *storages, size_t n_storages);
/* Fill in what is known of a step beside its ops and times. */
void pnng_step_costs(const pnng_plan *plan, const pnng_step *step, pnng_step_info *out);

/* Whether plans are fused; false by PYNNGRAPH_FUSE=0 at load. */
bool pnng_fuses(void);
/* What is wrong with PYNNGRAPH_FUSE, or NULL. */
const char *pnng_fuse_problem(void);

/* Place the arena's storages by the time they are in use; the arena's bytes (memory.c). */
bool pnng_lay_out(const pnng_allocator *allocator, pnng_storage *storages, size_t count,
                  size_t n_times, size_t *bytes);

#endif
