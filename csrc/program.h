/* A program as the engine sees it: values and ops in the order in which they were made. */
#ifndef PNNG_PROGRAM_H
#define PNNG_PROGRAM_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "kernels.h"

enum { PNNG_MESSAGE_BYTES = 512 };

/* The last error of an object: text, and the op it is about. */
typedef struct pnng_message {
    char text[PNNG_MESSAGE_BYTES];
    int64_t op; /* -1: no op in particular */
} pnng_message;

/* Set the message and hand the status back, so that `return pnng_fail(...)` reads well. */
pnng_status pnng_fail(pnng_message *message, pnng_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

typedef enum pnng_origin { PNNG_FROM_INPUT, PNNG_FROM_PARAM, PNNG_FROM_OP } pnng_origin;

typedef struct pnng_value_info {
    uint8_t kind;      /* PNNG_REAL or PNNG_INDEX */
    uint8_t origin;    /* pnng_origin */
    uint8_t has_grad;  /* inputs and parameters: a gradient may be asked for */
    uint8_t packs;     /* parameters: a packed form may be read */
    pnng_value update; /* parameters: what forward leaves there, or -1: it leaves it alone */
    uint32_t index;    /* which input, parameter or op */
} pnng_value_info;

typedef struct pnng_op_node {
    pnng_op code;
    uint32_t n_in, n_out, n_ints;
    uint32_t first_in;    /* place of its inputs in program->operands */
    uint32_t first_int;   /* place of its integers in program->ints */
    pnng_value first_out; /* its outputs are consecutive values */
    uint32_t noise;       /* which of the ops that draw random numbers it is, from 1; 0: none */
    double num[2];
} pnng_op_node;

struct pnng_program {
    pnng_allocator allocator;
    atomic_int references;
    bool sealed;
    pnng_value_info *values;
    pnng_op_node *ops;
    pnng_value *operands;
    int64_t *ints;
    pnng_value *inputs, *params, *outputs;
    pnng_shape *param_shapes;
    size_t n_values, n_ops, n_operands, n_ints, n_inputs, n_params, n_outputs;
    uint32_t n_noise; /* how many of the ops draw random numbers */
    size_t cap_values, cap_ops, cap_operands, cap_ints, cap_inputs, cap_params, cap_outputs,
        cap_param_shapes;
    pnng_host host;
    pnng_message message;
};

static inline const pnng_value *pnng_op_inputs(const pnng_program *program,
                                               const pnng_op_node *op) {
    return program->operands + op->first_in;
}

static inline const int64_t *pnng_op_ints(const pnng_program *program, const pnng_op_node *op) {
    return program->ints + op->first_int;
}

/* Keep a program alive; pnng_program_free lets go. */
void pnng_program_retain(pnng_program *program);

/* Memory, all of it through the program's allocator (memory.c). */
extern const pnng_allocator pnng_default_allocator; /* malloc and free */
void *pnng_allocate(const pnng_allocator *allocator, size_t count, size_t bytes);
void *pnng_allocate_zeroed(const pnng_allocator *allocator, size_t count, size_t bytes);
void pnng_release(const pnng_allocator *allocator, void *memory);
/* Make room for `needed` elements in *array, doubling; false when memory ran out. */
bool pnng_reserve(const pnng_allocator *allocator, void **array, size_t *capacity, size_t needed,
                  size_t bytes);

/* Sizes of a program's values (shape.c). */
struct pnng_shapes {
    pnng_program *program;
    pnng_shape *shape; /* one a value, filled for the first ops_done ops */
    size_t capacity;
    size_t ops_done, params_done;
    pnng_shape *input;
    size_t n_inputs, inputs_done;
    pnng_message message;
};

/* Infer the first `n_ops` ops. */
pnng_status pnng_shapes_run(pnng_shapes *shapes, size_t n_ops);

/* Multiply-adds of the forward of an op that was inferred. Errors: PNNG_ERROR_MEMORY. */
pnng_status pnng_shapes_multiply_adds(const pnng_shapes *shapes, size_t number, uint64_t *out);

/* Errors: PNNG_ERROR_SHAPE for negative sizes, too many dims, or more bytes than an address
 * space holds. */
pnng_status pnng_check_shape(pnng_message *message, const pnng_shape *shape);

/* The number of elements of a shape. */
static inline size_t pnng_count(const pnng_shape *shape) {
    size_t count = 1;
    for (int64_t d = 0; d < shape->ndim; d++)
        count *= (size_t)shape->dim[d];
    return count;
}

static inline bool pnng_same_shape(const pnng_shape *x, const pnng_shape *y) {
    if (x->ndim != y->ndim)
        return false;
    for (int64_t d = 0; d < x->ndim; d++)
        if (x->dim[d] != y->dim[d])
            return false;
    return true;
}

/* "(3, 4)" into a caller's buffer, for messages. */
enum { PNNG_SHAPE_TEXT = 200 };
const char *pnng_shape_text(const pnng_shape *shape, char text[PNNG_SHAPE_TEXT]);

#endif
