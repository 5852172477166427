/* What the C tests share: checks, instruction sets, random numbers, guarded memory, ulps. */
#ifndef PNNG_TEST_SUPPORT_H
#define PNNG_TEST_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../csrc/kernels.h"

/* ---- checks ---- */

static long test_passed, test_failed;
static char test_where[160]; /* what is being tested, for the line that a failure prints */

static inline bool check_(bool ok, const char *text, const char *file, int line) {
    if (ok) {
        test_passed++;
    } else if (test_failed++ < 50) {
        printf("%s:%d: %s: failed: %s\n", file, line, test_where, text);
    }
    return ok;
}
#define CHECK(condition) check_((condition), #condition, __FILE__, __LINE__)

static inline int test_result(void) {
    printf("%ld passed, %ld failed\n", test_passed, test_failed);
    return test_failed != 0;
}

/* ---- instruction sets ---- */

typedef struct isa_case {
    const pnng_isa *isa;
    bool supported;
} isa_case;

#if defined(__x86_64__)
#define TEST_CPU_HAS(feature) (__builtin_cpu_supports(feature) != 0)
static inline bool cpu_has_avx2(void) { return TEST_CPU_HAS("avx2") && TEST_CPU_HAS("fma"); }
static inline bool cpu_has_avx512(void) {
    return cpu_has_avx2() && TEST_CPU_HAS("avx512f") && TEST_CPU_HAS("avx512dq") &&
           TEST_CPU_HAS("avx512bw") && TEST_CPU_HAS("avx512vl");
}
#else
static inline bool cpu_has_avx2(void) { return false; }
static inline bool cpu_has_avx512(void) { return false; }
#endif

enum { ISA_CASES = 5 };

/* Whether instruction set number k can be run here: compiled, and known to the CPU. */
static inline bool isa_at(int k, const pnng_isa **isa) {
    const isa_case cases[ISA_CASES] = {
        {pnng_isa_scalar, true},         {pnng_isa_sse2, true},
        {pnng_isa_avx2, cpu_has_avx2()}, {pnng_isa_avx512, cpu_has_avx512()},
        {pnng_isa_neon, true},
    };
    *isa = cases[k].isa;
    return cases[k].isa && cases[k].supported;
}

/* ---- random numbers ---- */

static uint64_t test_seed = 88172645463325252u;

static inline uint64_t random_bits(void) {
    test_seed ^= test_seed << 13;
    test_seed ^= test_seed >> 7;
    test_seed ^= test_seed << 17;
    return test_seed * 0x2545f4914f6cdd1du;
}

static inline double random_in(double low, double high) {
    return low + (high - low) * (double)(random_bits() >> 11) * 0x1p-53;
}

/* ---- numbers of either type ---- */

static inline double real_get(const void *p, bool f64, ptrdiff_t k) {
    return f64 ? ((const double *)p)[k] : (double)((const float *)p)[k];
}

static inline void real_set(void *p, bool f64, ptrdiff_t k, double x) {
    if (f64)
        ((double *)p)[k] = x;
    else
        ((float *)p)[k] = (float)x;
}

/* A result of one operation in double, as the type would have it (twice rounding is harmless). */
static inline double as_real(bool f64, double x) { return f64 ? x : (double)(float)x; }

static inline bool same_number(double x, double y) {
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y);
    return x == y && !signbit(x) == !signbit(y);
}

/* The distance of x from the exact value y, in units of the last place of y. */
static inline double ulps(bool f64, double x, long double y) {
    const double rounded = f64 ? (double)y : (double)(float)y;
    if (isnan(x) || isnan(rounded))
        return isnan(x) && isnan(rounded) ? 0 : INFINITY;
    if (isinf(x) || isinf(rounded))
        return x == rounded ? 0 : INFINITY;
    const int least = f64 ? DBL_MIN_EXP : FLT_MIN_EXP, digits = f64 ? DBL_MANT_DIG : FLT_MANT_DIG;
    int exponent;
    frexpl(y, &exponent);
    if (y == 0 || exponent < least)
        exponent = least;
    return (double)(fabsl((long double)x - y) / ldexpl(1.0L, exponent - digits));
}

/* ---- guarded memory ---- */

enum { GUARD_BYTE = 0xa5, GUARD_WINDOW = 192, GUARD_MAX = 1 << 24 };

/* Where an operand lies: its last element right before a page that cannot be touched; its first one
 * right behind such a page; or one element past an aligned address. All around it, and between its
 * rows, are bytes that must not change. */
typedef enum placement { AT_END, AT_START, MISALIGNED, ALIGNED, PLACEMENTS } placement;

typedef struct operand {
    char *data;
    size_t rows, cols, bytes; /* bytes: of one element */
    ptrdiff_t stride;
    char *low, *high; /* what is watched */
} operand;

/* A place of memory with untouchable pages on both sides. */
static inline char *guarded_slot(size_t slot) {
    static char *slots[64];
    if (!slots[slot]) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *const all = mmap(NULL, GUARD_MAX + 2 * page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED || mprotect(all, page, PROT_NONE) ||
            mprotect(all + page + GUARD_MAX, page, PROT_NONE)) {
            printf("no memory for the tests\n");
            exit(2);
        }
        slots[slot] = all + page;
    }
    return slots[slot];
}

static inline operand operand_new(size_t slot, placement where, size_t bytes, size_t rows,
                                  size_t cols, ptrdiff_t stride) {
    char *const base = guarded_slot(slot);
    const size_t elements = rows && cols ? (rows - 1) * (size_t)stride + cols : 0;
    const size_t size = elements * bytes, middle = 4096;
    if (size + middle + GUARD_WINDOW > GUARD_MAX) {
        printf("operand too large\n");
        exit(2);
    }
    operand o = {NULL, rows, cols, bytes, stride, NULL, NULL};
    switch (where) {
    case AT_END:
        o.data = base + GUARD_MAX - size;
        break;
    case AT_START:
        o.data = base;
        break;
    case MISALIGNED:
        o.data = base + middle + bytes;
        break;
    default:
        o.data = base + middle;
        break;
    }
    o.low = o.data - base < GUARD_WINDOW ? base : o.data - GUARD_WINDOW;
    o.high = o.data + size + GUARD_WINDOW;
    if (o.high > base + GUARD_MAX)
        o.high = base + GUARD_MAX;
    memset(o.low, GUARD_BYTE, (size_t)(o.high - o.low));
    return o;
}

static inline char *operand_at(const operand *o, size_t row, size_t col) {
    return o->data + ((ptrdiff_t)row * o->stride + (ptrdiff_t)col) * (ptrdiff_t)o->bytes;
}
static inline double get_at(const operand *o, size_t row, size_t col) {
    return real_get(operand_at(o, row, col), o->bytes == 8, 0);
}
static inline void set_at(const operand *o, size_t row, size_t col, double x) {
    real_set(operand_at(o, row, col), o->bytes == 8, 0, x);
}

static inline void operand_fill(const operand *o, double low, double high) {
    for (size_t r = 0; r < o->rows; r++)
        for (size_t k = 0; k < o->cols; k++)
            set_at(o, r, k, random_in(low, high));
}

static inline void operand_set(const operand *o, double x) {
    for (size_t r = 0; r < o->rows; r++)
        for (size_t k = 0; k < o->cols; k++)
            set_at(o, r, k, x);
}

/* The elements as doubles, row after row; the caller frees. */
static inline double *operand_copy(const operand *o) {
    double *const copy = malloc((o->rows * o->cols + 1) * sizeof(double));
    for (size_t r = 0; r < o->rows; r++)
        for (size_t k = 0; k < o->cols; k++)
            copy[r * o->cols + k] = get_at(o, r, k);
    return copy;
}

/* Whether nothing outside of the elements was written. */
static inline bool operand_intact(const operand *o) {
    const char *p = o->low;
    for (size_t r = 0; r < o->rows && o->cols; r++) {
        const char *const row = operand_at(o, r, 0);
        for (; p < row; p++)
            if (*(const unsigned char *)p != GUARD_BYTE)
                return false;
        p = row + o->cols * o->bytes;
    }
    for (; p < o->high; p++)
        if (*(const unsigned char *)p != GUARD_BYTE)
            return false;
    return true;
}

static inline bool operand_unchanged(const operand *o, const double *copy) {
    for (size_t r = 0; r < o->rows; r++)
        for (size_t k = 0; k < o->cols; k++)
            if (!same_number(get_at(o, r, k), copy[r * o->cols + k]))
                return false;
    return operand_intact(o);
}

#endif
