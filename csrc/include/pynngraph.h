/* pynngraph: neural graphs that run and train on a CPU.
 *
 * A *program* is a list of primitive ops over values, without sizes. A *plan* is a program with
 * the sizes of its inputs, a number type and a layout of memory. A *run* is one call that walks
 * the plan's steps. A small program, from start to end (examples/c/embed.c is the long form):
 *
 *     pnng_program *program;
 *     pnng_plan *plan;
 *     pnng_value x, y;
 *     pnng_program_new(NULL, &program);
 *     pnng_program_input(program, PNNG_REAL, 1, &x);
 *     pnng_program_op(program, pnng_op_find("tanh"), &x, 1, NULL, 0, NULL, 0, &y, 1);
 *     pnng_program_output(program, y);
 *     pnng_program_seal(program);
 *     pnng_plan_new(program, PNNG_F64, (pnng_shape[]){{2, {3, 4}}}, 1, PNNG_PLAN_BACKWARD, &plan);
 *     pnng_plan_bind(plan, pnng_plan_slot(plan, PNNG_SLOT_INPUT, 0), x_data);
 *     pnng_plan_bind(plan, pnng_plan_slot(plan, PNNG_SLOT_OUTPUT, 0), y_data);
 *     pnng_plan_forward(plan, 0);
 *
 * Every fallible function returns a pnng_status and changes nothing when it fails; the message is
 * kept in the object that the call was made on. Nothing here prints, aborts or sets errno.
 * A plan is used by one thread at a time; a sealed program may be shared by any number.
 */
#ifndef PYNNGRAPH_H
#define PYNNGRAPH_H

#include <stddef.h>
#include <stdint.h>

#if defined(PNNG_BUILD) && (defined(__GNUC__) || defined(__clang__))
#define PNNG_API __attribute__((visibility("default")))
#else
#define PNNG_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* pnng:cdef begin (from here to the end marker: plain declarations, read by cffi as they stand) */

enum { PNNG_MAX_DIMS = 8 };

typedef int32_t pnng_status;
enum {
    PNNG_OK = 0,
    PNNG_ERROR_MEMORY = -1,   /* an allocation failed */
    PNNG_ERROR_ARGUMENT = -2, /* an argument is out of range, or the object is in the wrong state */
    PNNG_ERROR_SHAPE = -3,    /* sizes do not fit an op */
    PNNG_ERROR_TYPE = -4,     /* a value of indices where reals are wanted, or the reverse */
    PNNG_ERROR_VALUE = -5, /* the numbers of an input are not allowed, e.g. a class out of range */
    PNNG_ERROR_UNBOUND = -6, /* a run before all of its slots were bound */
    PNNG_ERROR_BUSY = -7,    /* the plan is running in another thread, or in a caller of this one */
    PNNG_ERROR_ORDER = -8,   /* backward before forward, or on a plan made without it */
    PNNG_ERROR_ISA = -9,     /* PYNNGRAPH_ISA names no instruction set, or one this CPU lacks */
    PNNG_ERROR_HOST = -10,   /* a host step failed; the host knows why */
    PNNG_ERROR_THREADS = -11, /* PYNNGRAPH_NUM_THREADS is not a number of threads */
    PNNG_ERROR_FORMAT = -12,  /* bytes are no model file, or one that cannot be run here */
    PNNG_ERROR_FILE = -13     /* the system cannot read or write a file */
};

/* Number type of a plan: all its real values have it. */
enum { PNNG_F32 = 0, PNNG_F64 = 1 };

/* What a value holds: reals of the plan's number type, or int64 indices counted from 0. */
enum { PNNG_REAL = 0, PNNG_INDEX = 1 };

typedef int32_t pnng_value; /* a value of a program: its number, counted from 0 */

typedef struct pnng_shape {
    int64_t ndim;   /* 0 ... PNNG_MAX_DIMS; 0 is a single number */
    int64_t dim[8]; /* sizes, outermost first; what lies past ndim is not looked at */
} pnng_shape;

typedef struct pnng_program pnng_program;
typedef struct pnng_shapes pnng_shapes;
typedef struct pnng_plan pnng_plan;

/* ---- the library ------------------------------------------------------------------------- */

/* "major.minor.patch". Lifetime: static. */
PNNG_API const char *pnng_version(void);

/* The name of a status, e.g. "PNNG_ERROR_SHAPE". Lifetime: static. */
PNNG_API const char *pnng_status_name(pnng_status status);

typedef struct pnng_cpu {
    const char *isa;       /* the instruction set in use: scalar, sse2, avx2, avx512 or neon */
    const char *available; /* all that were compiled and that CPU and system support, best last */
    const char *requested; /* the value of PYNNGRAPH_ISA, or NULL */
    const char *problem;   /* why `requested` cannot be had, or NULL; plans are then refused */
    int64_t vector_bytes;  /* width of one vector of `isa` */
    int64_t l1d_bytes;     /* data cache of one core, first level; a usual size if unknown */
    int64_t l2_bytes;      /* the second level that a core uses */
    int64_t l3_bytes;      /* the third level that a core uses; l2_bytes where there is none */
} pnng_cpu;

/* What was found at load. Lifetime: static. */
PNNG_API const pnng_cpu *pnng_cpu_info(void);

enum { PNNG_MAX_THREADS = 1024 };

/* How many threads a run may use, the calling one included: what was set, by a call or by
 * PYNNGRAPH_NUM_THREADS, or else the CPUs that affinity and control groups leave to this process.
 * Results do not depend on it. 1 in a library that was built without threads. */
PNNG_API int64_t pnng_threads(void);

/* Set it for all runs that follow, in all threads. Threads are started when a run first needs them
 * and sleep when there is nothing to do. Waits until no run uses those that are there.
 * Errors: PNNG_ERROR_ARGUMENT (not between 1 and PNNG_MAX_THREADS). */
PNNG_API pnng_status pnng_set_threads(int64_t count);

/* Why the value of PYNNGRAPH_NUM_THREADS cannot be had, or NULL; plans are then refused.
 * Lifetime: static. */
PNNG_API const char *pnng_threads_problem(void);

/* ---- the registry of ops ------------------------------------------------------------------ */

typedef struct pnng_op_info {
    const char *name;   /* e.g. "tanh" */
    const char *family; /* what ops of one shape share: "unary", "nary", "alias" ... */
    int32_t min_inputs;
    int32_t max_inputs;  /* -1: any number */
    int32_t n_outputs;   /* -1: told by the attributes */
    int32_t n_ints;      /* integer attributes; -1: any number */
    int32_t n_nums;      /* real attributes */
    const char *formula; /* what it computes, for the reference */
} pnng_op_info;

/* The table of ops, `*count` long; an op's code is its place in it. Codes are not stable from one
 * version to the next: look names up. Lifetime: static. */
PNNG_API const pnng_op_info *pnng_op_table(size_t *count);

/* The code of the op called `name`, or -1. */
PNNG_API int32_t pnng_op_find(const char *name);

/* ---- programs ----------------------------------------------------------------------------- */

typedef struct pnng_allocator {
    void *(*allocate)(void *user, size_t bytes); /* aligned as malloc's; NULL when there is none */
    void (*release)(void *user, void *memory);
    void *user;
} pnng_allocator;

/* A new, empty program.
 * @param allocator  where all memory of the program and of its plans comes from; NULL: malloc. All:
 *     one that hands out parts of a static buffer does without malloc. Runs take none.
 * Lifetime: the struct is copied; what `user` points to must outlive program and plans.
 * Errors: PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_program_new(const pnng_allocator *allocator, pnng_program **out);

/* Give a program up. Its memory goes when its last plan has gone. NULL is allowed. */
PNNG_API void pnng_program_free(pnng_program *program);

/* The message of the last call on this program that failed, or "".
 * Lifetime: until the next call. */
PNNG_API const char *pnng_program_error(const pnng_program *program);

/* A new input, of any shape.
 * @param kind  PNNG_REAL or PNNG_INDEX.
 * @param has_grad  0 where nobody will ask for its gradient: that work is left out.
 * Errors: PNNG_ERROR_ARGUMENT (sealed, or no such kind), PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_program_input(pnng_program *program, int32_t kind, int32_t has_grad,
                                        pnng_value *out);

/* A new parameter: reals of a fixed shape that live outside of the program.
 * @param has_grad  0 for a buffer, which has no gradient.
 * Errors: as pnng_program_input, and PNNG_ERROR_SHAPE. */
PNNG_API pnng_status pnng_program_param(pnng_program *program, const pnng_shape *shape,
                                        int32_t has_grad, pnng_value *out);

/* Let forward read a parameter in a packed form, where that is faster: in products of a few rows up
 * to some hundred. The form is bound to the parameter's PNNG_SLOT_PACKED; the caller fills it by
 * pnng_plan_pack, and again whenever the parameter has changed: the engine does not look whether it
 * has. It pays for parameters that seldom change. Sums are made in another order, so that the last
 * bits of results may differ. Before sealing.
 * Errors: PNNG_ERROR_ARGUMENT (sealed, not a parameter). */
PNNG_API pnng_status pnng_program_pack(pnng_program *program, pnng_value param);

/* Let forward change a buffer: when all else is done, what is bound to it becomes `value`. Ops of
 * the same run read what was there before; a run that fails leaves that. Backward reads what is
 * there then, so that ops whose backward reads their inputs should not read such a buffer. Again
 * for the same buffer: the last value counts. Before sealing.
 * @param value  reals of the buffer's shape.
 * Errors: PNNG_ERROR_ARGUMENT (sealed, no buffer, no such value), PNNG_ERROR_TYPE. Of another shape
 * than the buffer's: PNNG_ERROR_SHAPE of plans. */
PNNG_API pnng_status pnng_program_update(pnng_program *program, pnng_value buffer,
                                         pnng_value value);

/* Append an op. Attributes are described in docs/ops.md.
 * @param in  `n_in` values; the same may come twice.
 * @param out  filled with the `n_out` new values of the op.
 * Lifetime: nothing is kept. Errors: PNNG_ERROR_ARGUMENT (no such op or value, a wrong number of
 * anything, sealed), PNNG_ERROR_TYPE, PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_program_op(pnng_program *program, int32_t op, const pnng_value *in,
                                     size_t n_in, const int64_t *ints, size_t n_ints,
                                     const double *nums, size_t n_nums, pnng_value *out,
                                     size_t n_out);

/* Make a value the next output. Any value may be one, also an input, also twice.
 * Errors: PNNG_ERROR_ARGUMENT, PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_program_output(pnng_program *program, pnng_value value);

/* End the building. From here on the program never changes and may be shared by threads.
 * Errors: PNNG_ERROR_ARGUMENT when sealed before. */
PNNG_API pnng_status pnng_program_seal(pnng_program *program);

/* How many ops a program has. */
PNNG_API size_t pnng_program_n_ops(const pnng_program *program);

/* Whether some op of it draws random numbers: then runs depend on their seed. */
PNNG_API int32_t pnng_program_draws(const pnng_program *program);

/* ---- host steps --------------------------------------------------------------------------- */

/* Steps of the op "host" are done by the embedding program. ints: {id, n_outputs, own}; `own` is 1
 * for a step with parameters that the engine does not know: its backward is then called wherever
 * gradients of parameters are asked for, else only where its inputs want a gradient. */
typedef struct pnng_host {
    /* Sizes of the outputs of host op `id`, given those of its inputs. */
    pnng_status (*infer)(void *user, int64_t id, const pnng_shape *in, size_t n_in, pnng_shape *out,
                         size_t n_out);
    /* Fill `out` from `in`; all arrays are contiguous. They are the plan's: keep none. */
    pnng_status (*forward)(void *user, int64_t id, const void *const *in, size_t n_in,
                           void *const *out, size_t n_out);
    /* Fill `grad_in` from `grad_out`. An entry of grad_in is NULL where nobody wants it.
     * An entry of grad_out is NULL where no gradient arrives.
     * `mask` and `scale` are those of the run: gradients of the host's own parameters, which the
     * engine does not know, are the host's to accumulate. */
    pnng_status (*backward)(void *user, int64_t id, const void *const *in, size_t n_in,
                            const void *const *grad_out, size_t n_out, void *const *grad_in,
                            double scale, int32_t mask);
    void *user;
} pnng_host;

/* Set who does host steps. Before sealing. Lifetime: the struct is copied.
 * Errors: PNNG_ERROR_ARGUMENT when sealed. */
PNNG_API pnng_status pnng_program_host(pnng_program *program, const pnng_host *host);

/* ---- sizes -------------------------------------------------------------------------------- */

/* Sizes of a program's values for given inputs, worked out as far as they are asked for; the
 * program may still grow. On an error `*out` still holds an object, with the message, unless
 * memory ran out. Lifetime: the object keeps the program.
 * Errors: PNNG_ERROR_ARGUMENT, PNNG_ERROR_SHAPE, PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_shapes_new(pnng_program *program, const pnng_shape *inputs,
                                     size_t n_inputs, pnng_shapes **out);
PNNG_API void pnng_shapes_free(pnng_shapes *shapes);

/* The shape of one value. Errors: PNNG_ERROR_SHAPE, with the message in the object and the op at
 * fault in pnng_shapes_error_op; PNNG_ERROR_ARGUMENT, PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_shapes_of(pnng_shapes *shapes, pnng_value value, pnng_shape *out);
PNNG_API const char *pnng_shapes_error(const pnng_shapes *shapes);

/* The number of the op at fault, in the order in which ops were appended, or -1. */
PNNG_API int64_t pnng_shapes_error_op(const pnng_shapes *shapes);

/* ---- plans -------------------------------------------------------------------------------- */

/* Flags of pnng_plan_new. */
enum {
    PNNG_PLAN_BACKWARD = 1, /* make a backward too */
    PNNG_PLAN_UNFUSED = 2,  /* each op in steps of its own; so it is for all plans where the
                               environment variable PYNNGRAPH_FUSE was 0 at load. Same results. */
    PNNG_PLAN_NO_ARENA = 4  /* take no memory for the arena: see pnng_plan_set_arena */
};

/* Plan a sealed program for inputs of given shapes.
 * @param dtype  PNNG_F32 or PNNG_F64.
 * @param inputs  a shape for each input, in the order in which they were made.
 * On an error `*out` still holds an object, with the message, unless memory ran out.
 * Lifetime: the plan keeps the program. Errors: PNNG_ERROR_SHAPE (see pnng_plan_error_op),
 * PNNG_ERROR_ARGUMENT, PNNG_ERROR_ISA, PNNG_ERROR_HOST, PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_plan_new(pnng_program *program, int32_t dtype, const pnng_shape *inputs,
                                   size_t n_inputs, int32_t flags, pnng_plan **out);
PNNG_API void pnng_plan_free(pnng_plan *plan);
PNNG_API const char *pnng_plan_error(const pnng_plan *plan);
PNNG_API int64_t pnng_plan_error_op(const pnng_plan *plan);

/* The shape of any value of the plan's program. Errors: PNNG_ERROR_ARGUMENT. */
PNNG_API pnng_status pnng_plan_shape(const pnng_plan *plan, pnng_value value, pnng_shape *out);

/* Bytes of the plan's arena: all that a run needs beside the bound arrays. It is exact; the same
 * program, number type, shapes, flags, instruction set and caches give the same. */
PNNG_API size_t pnng_plan_arena_size(const pnng_plan *plan);

enum { PNNG_ARENA_ALIGNMENT = 64 };

/* Give a plan made with PNNG_PLAN_NO_ARENA the memory of its arena: its runs are refused before,
 * unless the size is 0. What forward leaves for backward lies there. Between a backward and the
 * next forward it may serve for other things, e.g. for the arena of another plan.
 * @param memory  aligned to PNNG_ARENA_ALIGNMENT.
 * @param bytes  at least pnng_plan_arena_size; no more than that is touched.
 * Lifetime: kept until the next call; the memory stays the caller's. Backward needs a forward anew.
 * Errors: PNNG_ERROR_ARGUMENT (too small, misaligned, NULL, or the plan has an arena of its own or
 * could not be made), PNNG_ERROR_BUSY. */
PNNG_API pnng_status pnng_plan_set_arena(pnng_plan *plan, void *memory, size_t bytes);

/* Steps of the forward run and of the backward run. */
PNNG_API size_t pnng_plan_n_forward(const pnng_plan *plan);
PNNG_API size_t pnng_plan_n_backward(const pnng_plan *plan);

/* Arrays that live outside of the plan are bound to slots, in these groups. */
enum {
    PNNG_SLOT_INPUT = 0,       /* one for each input */
    PNNG_SLOT_OUTPUT = 1,      /* one for each output */
    PNNG_SLOT_PARAM = 2,       /* one for each parameter */
    PNNG_SLOT_GRAD_PARAM = 3,  /* one for each parameter (unused without a gradient) */
    PNNG_SLOT_GRAD_OUTPUT = 4, /* one for each output */
    PNNG_SLOT_GRAD_INPUT = 5,  /* one for each input (unused without a gradient) */
    PNNG_SLOT_PACKED = 6       /* one for each parameter (used as pnng_plan_packed_size says) */
};

/* The number of the first slot of `group` plus `index`. */
PNNG_API size_t pnng_plan_slot(const pnng_plan *plan, int32_t group, size_t index);

/* Bind an array: contiguous, of the value's shape, in the plan's number type (int64 for indices),
 * aligned to its elements. A zero-size array may be bound to any address but NULL.
 * Lifetime: the address is kept until bound again; the memory stays the caller's.
 * Errors: PNNG_ERROR_ARGUMENT (no such slot, misaligned). */
PNNG_API pnng_status pnng_plan_bind(pnng_plan *plan, size_t slot, void *data);

/* The slots themselves, for callers that bind many at each run. Runs check alignment and NULLs.
 * Lifetime: the plan's. */
PNNG_API void **pnng_plan_slots(pnng_plan *plan);

/* Bytes of the packed form of parameter `param` that forward reads; 0 where it reads none, see
 * pnng_program_pack. The form is the same in all plans of one number type that read one of a
 * parameter of this shape: they may share it. Its memory is the caller's, beside the arena, and
 * best aligned to 64 bytes. */
PNNG_API size_t pnng_plan_packed_size(const pnng_plan *plan, size_t param);

/* Fill it from the parameter's array; it serves until that changes.
 * Lifetime: nothing is kept. Errors: PNNG_ERROR_ARGUMENT (the plan reads none, misaligned). */
PNNG_API pnng_status pnng_plan_pack(const pnng_plan *plan, size_t param, const void *data,
                                    void *packed);

/* Run forward: reads inputs and parameters, writes outputs, changes buffers (pnng_program_update).
 * Inputs are never written. A run that fails half-way may have written some outputs.
 * @param seed  fixes the random numbers of this run.
 * Errors: PNNG_ERROR_UNBOUND, PNNG_ERROR_ARGUMENT (misaligned), PNNG_ERROR_VALUE,
 * PNNG_ERROR_HOST, PNNG_ERROR_BUSY. */
PNNG_API pnng_status pnng_plan_forward(pnng_plan *plan, uint64_t seed);

/* Run an earlier forward once more, or one that is only to be looked at: the same, but no buffer is
 * changed (see pnng_program_update). Errors: as pnng_plan_forward. */
PNNG_API pnng_status pnng_plan_replay(pnng_plan *plan, uint64_t seed);

/* What a backward run shall produce: bits of `mask`. */
enum {
    PNNG_GRAD_INPUTS = 1, /* write gradients of inputs; they do not accumulate */
    PNNG_GRAD_PARAMS = 2  /* add `scale` times the gradients of parameters to what is there */
};

/* Run backward after a forward whose inputs, outputs and parameters are still bound and unchanged.
 * May be called again, with the same forward. Errors: as forward, and PNNG_ERROR_ORDER. */
PNNG_API pnng_status pnng_plan_backward(pnng_plan *plan, double scale, int32_t mask);

/* ---- what a run costs --------------------------------------------------------------------- */

/* Switch the timing of steps on or off. Switching on sets all sums to zero, also if it was on;
 * switching off keeps them to be read. A plan starts with it off, which costs a run nothing.
 * Errors: PNNG_ERROR_ARGUMENT (the plan could not be made), PNNG_ERROR_MEMORY, PNNG_ERROR_BUSY. */
PNNG_API pnng_status pnng_plan_measure(pnng_plan *plan, int32_t on);

enum { PNNG_FORWARD = 0, PNNG_BACKWARD = 1 }; /* the two runs of a plan */

typedef struct pnng_step_info {
    const int32_t *ops; /* the ops that it was made for, numbered as they were appended */
    size_t n_ops;       /* 0: for none, e.g. zeros for an input that nothing depends on */
    double seconds;     /* sum over `runs` */
    uint64_t runs;      /* how often it ran while measured; a run's mask leaves steps out */
    uint64_t bytes; /* of the arrays, and parts of arrays, that it reads and writes, each once */
    uint64_t multiply_adds; /* of a matrix product; else 0 */
    double predicted; /* seconds of one thread, as the planner guesses to split; 0: it does not */
    const char *unfused; /* why a step that might be the end of a product is not, or NULL; static */
} pnng_step_info;

/* What is known of step `index` of a run: see pnng_plan_n_forward and pnng_plan_n_backward. Times
 * of the steps of a run add up to that of the run, but for its checks.
 * Lifetime: `ops` is the plan's. Errors: PNNG_ERROR_ARGUMENT (no such step, no such run, the plan
 * could not be made), PNNG_ERROR_BUSY. */
PNNG_API pnng_status pnng_plan_step(pnng_plan *plan, int32_t direction, size_t index,
                                    pnng_step_info *out);

/* Bytes of the arena, by what they are for. What is not in use at the same time lies in the same
 * place, so that the arena is smaller than the sum. */
typedef struct pnng_memory_info {
    size_t arena;    /* see pnng_plan_arena_size */
    size_t kept;     /* what forward leaves for the backward */
    size_t forward;  /* what is in use within the forward only */
    size_t backward; /* and within the backward only: gradients */
    size_t work;     /* of these, work space of single steps */
} pnng_memory_info;

/* Errors: PNNG_ERROR_ARGUMENT (the plan could not be made). */
PNNG_API pnng_status pnng_plan_memory(const pnng_plan *plan, pnng_memory_info *out);

/* A step in words, on one line: its ops, its sizes, how it is done.
 * @param buffer  for `size` bytes; what does not fit is cut, and the text ends with a zero all the
 *     same. NULL where size is 0.
 * @param needed  the bytes of all of it, with the zero.
 * Errors: PNNG_ERROR_ARGUMENT (no such step, no such run, the plan could not be made). */
PNNG_API pnng_status pnng_plan_step_text(const pnng_plan *plan, int32_t direction, size_t index,
                                         char *buffer, size_t size, size_t *needed);

/* The whole plan in words: a line for each step, with what it moves, what was guessed and, after
 * pnng_plan_measure, found of its time, and why it was not fused; a line for the arena. For people:
 * the wording may change. As pnng_plan_step_text. Errors: PNNG_ERROR_ARGUMENT. */
PNNG_API pnng_status pnng_plan_describe(const pnng_plan *plan, char *buffer, size_t size,
                                        size_t *needed);

/* How many multiply-adds the forward of an op does, at the plan's sizes: of matrix products, for
 * all other ops 0. UINT64_MAX stands for all that is more.
 * Errors: PNNG_ERROR_ARGUMENT (no such op, the plan could not be made), PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_plan_multiply_adds(const pnng_plan *plan, int64_t op, uint64_t *out);

/* ---- steps of optimisers ------------------------------------------------------------------ */

/* Each is one pass over arrays of n reals of type `dtype`, aligned to their elements: x is changed
 * in place, and so is what a method keeps from step to step (zeros before the first). With
 * d = gradient + weight_decay x, per element. No array may overlap another, but gradient may be x.
 * A step gives the same bits on every instruction set.
 * Lifetime: nothing is kept. Errors: PNNG_ERROR_ARGUMENT (no such dtype, an array that is missing
 * or misaligned, step < 1), PNNG_ERROR_ISA. */

/* x -= rate d; or, with a velocity, v = momentum v + (1 - dampening) d, and x -= rate v, or
 * x -= rate (d + momentum v) with `nesterov`.
 * @param velocity  NULL for no momentum.
 * @param rates, decays  of each element, or NULL: what is subtracted from x is multiplied by rates;
 *     decays stand for weight_decay. */
PNNG_API pnng_status pnng_optim_sgd(int32_t dtype, size_t n, void *x, const void *gradient,
                                    void *velocity, const void *rates, const void *decays,
                                    double rate, double weight_decay, double momentum,
                                    double dampening, int32_t nesterov);

/* m = beta1 m + (1 - beta1) d;  v = beta2 v + (1 - beta2) d^2;
 * x -= rate sqrt(1 - beta2^step) / (1 - beta1^step) m / (sqrt v + epsilon)
 * @param step  1 for the first. */
PNNG_API pnng_status pnng_optim_adam(int32_t dtype, size_t n, void *x, const void *gradient,
                                     void *m, void *v, double rate, double beta1, double beta2,
                                     double epsilon, double weight_decay, int64_t step);

/* m = alpha m + (1 - alpha) d^2;  x -= rate d / (sqrt m + epsilon) */
PNNG_API pnng_status pnng_optim_rmsprop(int32_t dtype, size_t n, void *x, const void *gradient,
                                        void *m, double rate, double alpha, double epsilon,
                                        double weight_decay);

/* sum += d^2;  x -= rate d / (sqrt sum + epsilon) */
PNNG_API pnng_status pnng_optim_adagrad(int32_t dtype, size_t n, void *x, const void *gradient,
                                        void *sum, double rate, double epsilon,
                                        double weight_decay);

/* m = beta1 m + (1 - beta1) d;  u = max(beta2 u, |d| + epsilon);
 * x -= rate / (1 - beta1^step) m / u
 * @param step  1 for the first. */
PNNG_API pnng_status pnng_optim_adamax(int32_t dtype, size_t n, void *x, const void *gradient,
                                       void *m, void *u, double rate, double beta1, double beta2,
                                       double epsilon, double weight_decay, int64_t step);

/* variance = rho variance + (1 - rho) d^2;  d *= sqrt(delta + eps) / sqrt(variance + eps);
 * delta = rho delta + (1 - rho) d^2;  x -= d */
PNNG_API pnng_status pnng_optim_adadelta(int32_t dtype, size_t n, void *x, const void *gradient,
                                         void *variance, void *delta, double rho, double eps,
                                         double weight_decay);

/* Where gradient has the sign of `last`, stepsize *= eta_plus; where it has the other,
 * stepsize *= eta_minus and the gradient counts as 0; stepsize is kept between step_min and
 * step_max;  x -= sign(gradient) stepsize;  last = gradient. No weight_decay. */
PNNG_API pnng_status pnng_optim_rprop(int32_t dtype, size_t n, void *x, const void *gradient,
                                      void *last, void *stepsize, double eta_plus, double eta_minus,
                                      double step_min, double step_max);

/* x = (1 - lambda eta) x - eta gradient;  average += mu (x - average), or = x where mu is 1. */
PNNG_API pnng_status pnng_optim_asgd(int32_t dtype, size_t n, void *x, const void *gradient,
                                     void *average, double eta, double lambda, double mu);

/* velocity = momentum velocity - rate d;  x = start + velocity: d is of x, which is where the last
 * velocity led from `start`, the parameters.
 * @param rates  of each element, or NULL: d is multiplied by them. */
PNNG_API pnng_status pnng_optim_nag(int32_t dtype, size_t n, void *x, const void *gradient,
                                    void *velocity, const void *start, const void *rates,
                                    double rate, double weight_decay, double momentum);

/* The sum of products of x and y, each an array as above, which may be one: the same bits each time
 * on one instruction set.
 * Lifetime: nothing is kept. Errors: as of steps. */
PNNG_API pnng_status pnng_optim_dot(int32_t dtype, size_t n, const void *x, const void *y,
                                    double *sum);

/* ---- models in files ---------------------------------------------------------------------- */

/* A model is what `nn.save("model.safetensors", net, input=x)` writes (docs/model-file.md): the
 * programs of a net in evaluation and in training, and its parameters. It is loaded, prepared for
 * sizes, and run; docs/c-library.md goes through it. It is used by one thread at a time. */
typedef struct pnng_model pnng_model;

enum {
    PNNG_MODEL_IN_PLACE = 1 /* bytes are used where they lie: see pnng_model_load_memory */
};

/* Read a model from the bytes of a file. Whatever they are: nothing but they is read.
 * @param flags  0, and the bytes are copied; or PNNG_MODEL_IN_PLACE: parameters stay among them.
 *     Then they must outlive the model, and the parameters in them be aligned to their elements, as
 *     they are where the bytes begin at a multiple of 64. They are written by steps of optimisers
 *     and by forwards that change buffers only: others work from read-only memory.
 * @param allocator  as of pnng_program_new: for all that the model takes, ever.
 * On an error `*out` still holds an object, with the message, unless memory ran out.
 * Errors: PNNG_ERROR_FORMAT, with the byte that is wrong; PNNG_ERROR_ARGUMENT (unknown flags,
 * parameters misaligned), PNNG_ERROR_MEMORY. */
PNNG_API pnng_status pnng_model_load_memory(const void *bytes, size_t count, int32_t flags,
                                            const pnng_allocator *allocator, pnng_model **out);

/* The same from a file. A library built with PNNG_NO_FILE has neither this nor pnng_model_save.
 * Errors: as pnng_model_load_memory, and PNNG_ERROR_FILE. */
PNNG_API pnng_status pnng_model_load(const char *path, const pnng_allocator *allocator,
                                     pnng_model **out);

/* NULL is allowed. */
PNNG_API void pnng_model_free(pnng_model *model);

/* The message of the last call on this model that failed, or "". Lifetime: until the next call. */
PNNG_API const char *pnng_model_error(const pnng_model *model);

/* The two programs of a model, which share its parameters. */
enum {
    PNNG_MODEL_EVALUATE = 0, /* as after net.evaluate() */
    PNNG_MODEL_TRAIN = 1     /* as after net.training(): with dropout, with statistics of batches */
};

/* Make ready to run one of the programs: plan it, and take memory for inputs, outputs and, with a
 * backward, for all gradients. Gradients of parameters and what optimisers keep stay as they are
 * when a model is prepared again. An array of a model (pnng_model_array) is another one then.
 * @param inputs  a shape for each input; NULL: those that it was saved with. If the model says that
 *     it takes any batch, the first dims may be others, else none.
 * @param flags  as of pnng_plan_new: with PNNG_PLAN_NO_ARENA the caller gives the plan its arena.
 * Errors: PNNG_ERROR_ARGUMENT, PNNG_ERROR_SHAPE, PNNG_ERROR_MEMORY, and those of pnng_plan_new. */
PNNG_API pnng_status pnng_model_prepare(pnng_model *model, int32_t mode, const pnng_shape *inputs,
                                        size_t n_inputs, int32_t flags);

/* The plan that the model was prepared with, or NULL: its arena, steps and times.
 * Lifetime: until the model is prepared again. */
PNNG_API pnng_plan *pnng_model_plan(pnng_model *model);

typedef struct pnng_array_info {
    const char *name; /* lifetime: the model's */
    int32_t kind;     /* PNNG_REAL or PNNG_INDEX */
    int32_t has_grad; /* parameters: whether there is a gradient; if not, it is a buffer */
    size_t count;     /* of elements */
    pnng_shape shape; /* of inputs and outputs: as prepared; before, of inputs, as it was saved */
} pnng_array_info;

/* PNNG_F32 or PNNG_F64: the type of all its reals. */
PNNG_API int32_t pnng_model_dtype(const pnng_model *model);

/* How many arrays there are in one of the groups of slots: PNNG_SLOT_INPUT, _OUTPUT, _PARAM
 * (buffers too, each of a name once), _GRAD_PARAM, _GRAD_OUTPUT, _GRAD_INPUT; of others none. */
PNNG_API size_t pnng_model_count(const pnng_model *model, int32_t group);

/* The place of the array of this name in its group, or -1. */
PNNG_API int64_t pnng_model_find(const pnng_model *model, int32_t group, const char *name);

/* What is known of an array. Errors: PNNG_ERROR_ARGUMENT (no such group or place), PNNG_ERROR_ORDER
 * (an output of a model that was not prepared). */
PNNG_API pnng_status pnng_model_info(pnng_model *model, int32_t group, size_t index,
                                     pnng_array_info *out);

/* An array itself, to fill or to read: the model's own, or the one that was bound; of the gradients
 * too. NULL if there is none: no such place, a model not prepared for it, a gradient of a buffer or
 * of indices. Lifetime: until the model is prepared again; parameters' and their gradients': the
 * model's. */
PNNG_API void *pnng_model_array(pnng_model *model, int32_t group, size_t index);

/* Use an array of the caller's for an input, an output, or a gradient of one: see pnng_plan_bind.
 * Errors: PNNG_ERROR_ARGUMENT (no such place, misaligned), PNNG_ERROR_ORDER (not prepared). */
PNNG_API pnng_status pnng_model_bind(pnng_model *model, int32_t group, size_t index, void *data);

/* Run the prepared program, and its backward: see pnng_plan_forward and pnng_plan_backward. They
 * take no memory and no lock, and on one thread make no call of the system.
 * Errors: PNNG_ERROR_ORDER (not prepared), and those of plans. */
PNNG_API pnng_status pnng_model_forward(pnng_model *model, uint64_t seed);
PNNG_API pnng_status pnng_model_backward(pnng_model *model, double scale, int32_t mask);

/* Set the gradients of all parameters to zero. */
PNNG_API void pnng_model_zero_gradients(pnng_model *model);

/* A step of all parameters that have a gradient: see pnng_optim_sgd and pnng_optim_adam. Memory for
 * what a method keeps is taken by its first step, which begins with zeros.
 * Errors: PNNG_ERROR_ORDER (never prepared with a backward), PNNG_ERROR_MEMORY, PNNG_ERROR_ISA. */
PNNG_API pnng_status pnng_model_sgd(pnng_model *model, double rate, double momentum,
                                    double weight_decay);
PNNG_API pnng_status pnng_model_adam(pnng_model *model, double rate, double beta1, double beta2,
                                     double epsilon, double weight_decay);

/* The bytes of a model file with the parameters as they are now: all else is as it was loaded.
 * Lifetime: the model's, and they change as parameters do. */
PNNG_API const void *pnng_model_bytes(const pnng_model *model, size_t *count);

/* Write them to a file: it is replaced when all is on the disk, and an error leaves the old one.
 * Errors: PNNG_ERROR_FILE, PNNG_ERROR_ARGUMENT (a model that was not loaded). */
PNNG_API pnng_status pnng_model_save(pnng_model *model, const char *path);

/* pnng:cdef end */

#ifdef __cplusplus
}
#endif
#endif
