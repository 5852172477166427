/* What the tests of kernels share: the kernels under test, operands for them, how sums may err. */
#ifndef PNNG_KERNEL_SUPPORT_H
#define PNNG_KERNEL_SUPPORT_H

#include "test_support.h"

/* The kernels under test. */
static const pnng_isa *isa;
static const pnng_kernels *kernels;
static bool f64;
static size_t bytes, lanes; /* of an element; of a vector */

/* Kernels of each instruction set, for each number type. */
enum { KERNEL_CASES = 2 * ISA_CASES };

/* Turn to kernels number n; false where they cannot be run here. */
static inline bool turn_to_kernels(int n) {
    if (!isa_at(n / 2, &isa))
        return false;
    f64 = n % 2;
    bytes = f64 ? 8 : 4;
    kernels = f64 ? &isa->f64 : &isa->f32;
    lanes = isa->vector_bytes == 8 ? 1 : isa->vector_bytes / bytes;
    return true;
}

static inline operand make(size_t slot, placement where, size_t rows, size_t cols,
                           ptrdiff_t stride) {
    return operand_new(slot, where, bytes, rows, cols, stride);
}

/* A sum of n terms of absolute sum s may err by (8 + 2 sqrt n) eps s, and by two of the smallest
 * numbers there are. */
static inline bool sum_is_near(bool is_f64, double x, long double y, double n, double s) {
    const double eps = is_f64 ? DBL_EPSILON : (double)FLT_EPSILON;
    const double least = is_f64 ? 0x1p-1074 : 0x1p-149;
    return fabsl((long double)x - y) <= (long double)((8 + 2 * sqrt(n)) * eps * s + 2 * least);
}

#endif
