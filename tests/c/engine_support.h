/* What the tests of the engine share: an allocator that counts, fills and fails; arrays between
 * guard bytes; building in few words. */
#ifndef PNNG_ENGINE_SUPPORT_H
#define PNNG_ENGINE_SUPPORT_H

#include "test_support.h" /* first: it says which features of the system are wanted */

#include <stdarg.h>
#include <stdatomic.h>

#include "../../csrc/plan.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_SANITIZER 1
#endif
#endif
#ifndef WITH_SANITIZER
#define WITH_SANITIZER 0
#endif

/* ---- an allocator that is watched ---- */

enum { BLOCK_HEAD = 16, BLOCK_TAIL = 32, GUARD = 0xa5 };

/* Memory of every block is filled, so that what is read before it is written shows: 0xff... is NaN.
 * Addresses are never aligned to more than 16 bytes. */
typedef struct watch {
    pnng_allocator allocator;
    atomic_long calls, live, overruns;
    long fail_at;  /* the number of the call that fails, from 1; 0: none */
    bool fails_on; /* all calls after that one fail too */
    bool failed;
} watch;

static inline size_t block_bytes(const unsigned char *memory) {
    size_t bytes;
    memcpy(&bytes, memory - BLOCK_HEAD, sizeof bytes);
    return bytes;
}

static inline void *watch_allocate(void *user, size_t bytes) {
    watch *const w = user;
    const long call = atomic_fetch_add(&w->calls, 1) + 1;
    if (w->fail_at && (call == w->fail_at || (w->fails_on && call > w->fail_at))) {
        w->failed = true;
        return NULL;
    }
    if (bytes > (size_t)1 << 40)
        return NULL;
    const size_t whole = (BLOCK_HEAD + bytes + BLOCK_TAIL + 63) / 64 * 64;
    unsigned char *const memory = aligned_alloc(64, whole);
    if (!memory)
        return NULL;
    memset(memory, 0xff, whole);
    memcpy(memory, &bytes, sizeof bytes);
    memset(memory + BLOCK_HEAD + bytes, GUARD, whole - BLOCK_HEAD - bytes);
    atomic_fetch_add(&w->live, 1);
    return memory + BLOCK_HEAD;
}

static inline void watch_release(void *user, void *block) {
    watch *const w = user;
    unsigned char *const memory = block;
    const size_t bytes = block_bytes(memory);
    const size_t whole = (BLOCK_HEAD + bytes + BLOCK_TAIL + 63) / 64 * 64;
    for (size_t k = bytes; k < whole - BLOCK_HEAD; k++)
        if (memory[k] != GUARD) {
            atomic_fetch_add(&w->overruns, 1);
            break;
        }
    atomic_fetch_sub(&w->live, 1);
    free(memory - BLOCK_HEAD);
}

/* In place: the address of a watch is kept by its allocator. */
static inline void watch_begin(watch *w) {
    memset(w, 0, sizeof *w);
    w->allocator = (pnng_allocator){watch_allocate, watch_release, w};
}

/* ---- arrays of a caller ---- */

static const size_t array_front = 64, array_back = WITH_SANITIZER ? 0 : 64;

/* An array that is aligned to its elements only, and ends where guard bytes begin, or, with a
 * sanitizer, where the memory that may be touched ends. */
typedef struct array {
    unsigned char *block, *data;
    size_t bytes;
} array;

static inline array array_new(size_t count, size_t element, size_t shift) {
    array a = {.bytes = count * element};
    const size_t front = array_front + shift % 8 * element;
    a.block = malloc(front + a.bytes + array_back);
    if (!a.block)
        exit(2);
    memset(a.block, GUARD, front + a.bytes + array_back);
    a.data = a.block + front;
    return a;
}

static inline void array_free(array *a) {
    free(a->block);
    *a = (array){0};
}

static inline void array_fill(const array *a, int byte) {
    if (a->bytes)
        memset(a->data, byte, a->bytes);
}

static inline bool array_holds(const array *a, int byte) {
    for (size_t k = 0; k < a->bytes; k++)
        if (a->data[k] != byte)
            return false;
    return true;
}

static inline bool array_same(const array *a, const array *b) {
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

static inline void array_copy(const array *to, const array *from) {
    if (from->bytes)
        memcpy(to->data, from->data, from->bytes);
}

/* Whether the bytes around are as they were. */
static inline bool array_intact(const array *a) {
    for (const unsigned char *p = a->block; p < a->data; p++)
        if (*p != GUARD)
            return false;
    for (size_t k = 0; k < array_back; k++)
        if (a->data[a->bytes + k] != GUARD)
            return false;
    return true;
}

/* ---- building ---- */

static inline pnng_shape shape_of(int64_t ndim, ...) {
    pnng_shape shape = {.ndim = ndim};
    va_list sizes;
    va_start(sizes, ndim);
    for (int64_t d = 0; d < ndim; d++)
        shape.dim[d] = va_arg(sizes, int);
    va_end(sizes);
    return shape;
}

static inline size_t count_of(const pnng_shape *shape) {
    size_t count = 1;
    for (int64_t d = 0; d < shape->ndim; d++)
        count *= (size_t)shape->dim[d];
    return count;
}

static inline bool shapes_equal(const pnng_shape *x, const pnng_shape *y) {
    if (x->ndim != y->ndim)
        return false;
    for (int64_t d = 0; d < x->ndim; d++)
        if (x->dim[d] != y->dim[d])
            return false;
    return true;
}

/* An op with one output; its inputs after the name, ended by -1. */
static inline pnng_value add_op(pnng_program *program, const char *name, pnng_value first, ...) {
    pnng_value in[16], out = -1;
    size_t count = 0;
    va_list rest;
    va_start(rest, first);
    for (pnng_value v = first; v >= 0 && count < 16; v = va_arg(rest, int))
        in[count++] = v;
    va_end(rest);
    CHECK(pnng_program_op(program, pnng_op_find(name), in, count, NULL, 0, NULL, 0, &out, 1) == 0);
    return out;
}

/* An op of one input with integers. */
static inline pnng_value add_op_ints(pnng_program *program, const char *name, pnng_value in,
                                     size_t n_ints, ...) {
    int64_t ints[8];
    pnng_value out = -1;
    va_list rest;
    va_start(rest, n_ints);
    for (size_t k = 0; k < n_ints; k++)
        ints[k] = va_arg(rest, int);
    va_end(rest);
    CHECK(pnng_program_op(program, pnng_op_find(name), &in, 1, ints, n_ints, NULL, 0, &out, 1) ==
          0);
    return out;
}

static inline pnng_value add_input(pnng_program *program, int32_t kind, int32_t has_grad) {
    pnng_value out = -1;
    CHECK(pnng_program_input(program, kind, has_grad, &out) == PNNG_OK);
    return out;
}

static inline pnng_value add_param(pnng_program *program, pnng_shape shape, int32_t has_grad) {
    pnng_value out = -1;
    CHECK(pnng_program_param(program, &shape, has_grad, &out) == PNNG_OK);
    return out;
}

/* Fill the arena with NaNs: a forward run must not read what was there before. */
static inline void spoil_arena(pnng_plan *plan) {
    if (plan->arena_size)
        memset(plan->bases[PNNG_BASE_ARENA], 0xff, plan->arena_size);
}

static inline pnng_status bind_to(pnng_plan *plan, int32_t group, size_t index, void *data) {
    return pnng_plan_bind(plan, pnng_plan_slot(plan, group, index), data);
}

#endif
