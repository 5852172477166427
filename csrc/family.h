/* Families: what ops of one shape share. A family says how sizes follow from sizes and which steps
 * a plan gets for an op, forward and backward. The registry (ops.def) names each op's family.
 *
 * The rules are in family_elementwise.c, family_slices.c, family_expand.c, family_losses.c,
 * family_linear.c, family_matmul.c, family_convolution.c, family_gather.c, family_normalize.c,
 * family_pooling.c, family_resample.c, family_views.c and family_host.c.
 */
#ifndef PNNG_FAMILY_H
#define PNNG_FAMILY_H

#include "program.h"

typedef struct pnng_planner pnng_planner;

/* What a family's `infer` sees: an op of a program, and where a message goes. */
typedef struct pnng_inference {
    const pnng_program *program;
    const pnng_op_node *op;
    const int64_t *ints;
    const pnng_shape *const *in;
    pnng_shape *out; /* op->n_out shapes */
    pnng_message *message;
} pnng_inference;

typedef struct pnng_family {
    const char *name;
    /* Sizes of the outputs. A message need not name the op: the caller knows it. */
    pnng_status (*infer)(const pnng_inference *inference);
    /* Append the op's forward steps. Running out of memory is kept by the planner. */
    void (*forward)(pnng_planner *planner, const pnng_op_node *op);
    /* Append the op's backward steps. Called only when a gradient of an output arrives and some
     * input or parameter wants one, and never for an alias, whose gradient is an alias. */
    void (*backward)(pnng_planner *planner, const pnng_op_node *op);
    /* Multiply-adds of an op's forward, by the sizes of its inputs and outputs: see pnng_times.
     * NULL: none. */
    uint64_t (*multiply_adds)(const pnng_op_node *op, const pnng_shape *const *in,
                              const pnng_shape *out);
    uint32_t index_inputs;    /* bit k: input k holds indices */
    uint32_t no_grad_inputs;  /* bit k: input k gets no gradient */
    uint32_t no_grad_outputs; /* bit k: output k carries none, it is kept for the backward */
    bool index_output;        /* the output holds indices */
    bool any_kind;            /* inputs may be reals or indices */
    bool keeps_kind;          /* the output is of the kind of input 0 */
    bool draws;               /* random numbers, of a stream of its own */
    bool may_own_params; /* ints[2] says whether gradients are wanted though no input wants one */
} pnng_family;

/* The rules of an op's family. */
const pnng_family *pnng_family_of(pnng_op op);

extern const pnng_family pnng_family_unary_x, pnng_family_unary_y, pnng_family_sum,
    pnng_family_nary, pnng_family_slices, pnng_family_reduce, pnng_family_noise, pnng_family_loss,
    pnng_family_extreme, pnng_family_draw, pnng_family_one_hot, pnng_family_turn, pnng_family_nll,
    pnng_family_to_index, pnng_family_linear, pnng_family_matmul, pnng_family_convolution,
    pnng_family_full_convolution, pnng_family_frames, pnng_family_gather, pnng_family_batch_norm,
    pnng_family_channel_affine, pnng_family_channel_prelu, pnng_family_layer_norm,
    pnng_family_max_pool, pnng_family_max_unpool, pnng_family_average_pool,
    pnng_family_fractional_pool, pnng_family_resample, pnng_family_alias, pnng_family_detach,
    pnng_family_expand, pnng_family_join, pnng_family_host;

/* For infer functions: a dim attribute, negative from the end, as a place; or -1 with a message. */
int64_t pnng_resolve_dim(const pnng_inference *inference, int64_t dim, int64_t ndim);

/* infer for ops whose output is like their first input. */
pnng_status pnng_infer_same(const pnng_inference *inference);

/* For multiply_adds functions: x y, or UINT64_MAX where that is more. */
static inline uint64_t pnng_times(uint64_t x, uint64_t y) {
    uint64_t product;
    return __builtin_mul_overflow(x, y, &product) ? UINT64_MAX : product;
}

#endif
