/* Matrix products over a table of kernels. */
#ifndef PNNG_GEMM_H
#define PNNG_GEMM_H

#include <stdbool.h>

#include "kernels.h"

/* Which operand is transposed: nt is A B', nn is A B, tn is A' B, tt is A' B', all row-major. */
typedef enum pnng_gemm_form {
    PNNG_GEMM_NT,
    PNNG_GEMM_NN,
    PNNG_GEMM_TN,
    PNNG_GEMM_TT /* always packed */
} pnng_gemm_form;

typedef struct pnng_gemm_sizes {
    size_t rows, cols, depth; /* of C, and what is summed over */
} pnng_gemm_sizes;

/* Bytes of work space for a product, aligned to 64; 0 where none is needed. */
size_t pnng_gemm_work_size(const pnng_gemm_table *table, pnng_gemm_form form, pnng_gemm_sizes sizes,
                           size_t element);

/* C = or += alpha op(A) op(B) [+ bias in every row]. lda, ldb, ldc are row strides as stored. */
void pnng_gemm(const pnng_gemm_table *table, pnng_gemm_form form, pnng_gemm_sizes sizes,
               size_t element, const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb, void *c,
               ptrdiff_t ldc, double alpha, const void *bias, bool accumulate, void *work);

#endif
