/* The blocked product: portable loops around one micro-kernel per instruction set.
 *
 *     for each block of nc columns of C          B's block stays in the last-level cache
 *       for each kc of depth                      pack B: kc x nc
 *         for each mc rows                        pack A: mc x kc, stays in L2
 *           for each nr columns, for each mr rows   micro-kernel; a B panel stays in L1
 *
 * Tiles at the edges are computed whole into a small buffer, and the part that exists is copied:
 * micro-kernels have no tails. */
#include "gemm.h"

#include <string.h>

typedef struct matrix {
    const char *data;
    ptrdiff_t across, along; /* strides in bytes: to the next row or column of C; along the depth */
} matrix;

static size_t min_size(size_t x, size_t y) { return x < y ? x : y; }

static size_t round_up(size_t x, size_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

static bool is_thin(const pnng_gemm_table *table, pnng_gemm_form form, pnng_gemm_sizes sizes) {
    if (form == PNNG_GEMM_TT)
        return false;
    return (form == PNNG_GEMM_TN ? sizes.depth : sizes.rows) <= table->thin_rows;
}

/* Work space: packed A, packed B, one tile. */
static size_t packed_a_bytes(const pnng_gemm_table *table, pnng_gemm_sizes sizes, size_t element) {
    const size_t rows = round_up(min_size(sizes.rows, table->mc), table->mr);
    return round_up(rows * min_size(sizes.depth, table->kc) * element, 64);
}

static size_t packed_b_bytes(const pnng_gemm_table *table, pnng_gemm_sizes sizes, size_t element) {
    const size_t cols = round_up(min_size(sizes.cols, table->nc), table->nr);
    return round_up(cols * min_size(sizes.depth, table->kc) * element, 64);
}

size_t pnng_gemm_work_size(const pnng_gemm_table *table, pnng_gemm_form form, pnng_gemm_sizes sizes,
                           size_t element) {
    if (is_thin(table, form, sizes))
        return 0;
    return packed_a_bytes(table, sizes, element) + packed_b_bytes(table, sizes, element) +
           round_up(table->mr * table->nr * element, 64);
}

/* One block of A (packed, rows x depth) times one of B (packed, depth x cols), into C. */
typedef struct block {
    size_t rows, cols, depth, element;
    const char *a, *b, *bias;
    char *c, *tile;
    ptrdiff_t ldc;
    double alpha;
    bool accumulate;
} block;

static void edge_tile(const pnng_gemm_table *table, const block *k, const char *a, const char *b,
                      char *c, const char *bias, size_t rows, size_t cols) {
    const size_t e = k->element;
    const ptrdiff_t pitch = (ptrdiff_t)table->nr;
    for (size_t row = 0; row < rows && k->accumulate; row++)
        memcpy(k->tile + row * table->nr * e, c + (ptrdiff_t)row * k->ldc * (ptrdiff_t)e, cols * e);
    /* The bias has only `cols` elements here, and the kernel reads nr. */
    char padded[PNNG_MAX_VECTOR_BYTES * 8];
    if (bias) {
        memset(padded, 0, table->nr * e);
        memcpy(padded, bias, cols * e);
    }
    table->micro(k->depth, a, b, k->tile, pitch, k->alpha, bias ? padded : NULL, k->accumulate);
    for (size_t row = 0; row < rows; row++)
        memcpy(c + (ptrdiff_t)row * k->ldc * (ptrdiff_t)e, k->tile + row * table->nr * e, cols * e);
}

static void multiply_block(const pnng_gemm_table *table, const block *k) {
    const size_t e = k->element;
    for (size_t j = 0; j < k->cols; j += table->nr) {
        const size_t cols = min_size(k->cols - j, table->nr);
        const char *const b = k->b + j * k->depth * e;
        const char *const bias = k->bias ? k->bias + j * e : NULL;
        for (size_t i = 0; i < k->rows; i += table->mr) {
            const size_t rows = min_size(k->rows - i, table->mr);
            const char *const a = k->a + i * k->depth * e;
            char *const c = k->c + ((ptrdiff_t)i * k->ldc + (ptrdiff_t)j) * (ptrdiff_t)e;
            if (rows == table->mr && cols == table->nr)
                table->micro(k->depth, a, b, c, k->ldc, k->alpha, bias, k->accumulate);
            else
                edge_tile(table, k, a, b, c, bias, rows, cols);
        }
    }
}

static void multiply_packed(const pnng_gemm_table *table, pnng_gemm_sizes sizes, size_t element,
                            matrix a, matrix b, char *c, ptrdiff_t ldc, double alpha,
                            const char *bias, bool accumulate, char *work) {
    const ptrdiff_t e = (ptrdiff_t)element;
    char *const packed_a = work;
    char *const packed_b = packed_a + packed_a_bytes(table, sizes, element);
    char *const tile = packed_b + packed_b_bytes(table, sizes, element);
    for (size_t j = 0; j < sizes.cols; j += table->nc) {
        const size_t cols = min_size(sizes.cols - j, table->nc);
        for (size_t p = 0; p < sizes.depth; p += table->kc) {
            const size_t depth = min_size(sizes.depth - p, table->kc);
            table->pack(packed_b, b.data + (ptrdiff_t)j * b.across + (ptrdiff_t)p * b.along,
                        b.across / e, b.along / e, cols, depth, table->nr);
            for (size_t i = 0; i < sizes.rows; i += table->mc) {
                const size_t rows = min_size(sizes.rows - i, table->mc);
                table->pack(packed_a, a.data + (ptrdiff_t)i * a.across + (ptrdiff_t)p * a.along,
                            a.across / e, a.along / e, rows, depth, table->mr);
                multiply_block(table, &(block){
                                          .rows = rows,
                                          .cols = cols,
                                          .depth = depth,
                                          .element = element,
                                          .a = packed_a,
                                          .b = packed_b,
                                          /* The bias is added once, with the first of the depth. */
                                          .bias = bias && p == 0 ? bias + j * element : NULL,
                                          .c = c + ((ptrdiff_t)i * ldc + (ptrdiff_t)j) * e,
                                          .tile = tile,
                                          .ldc = ldc,
                                          .alpha = alpha,
                                          .accumulate = accumulate || p > 0,
                                      });
            }
        }
    }
}

void pnng_gemm(const pnng_gemm_table *table, pnng_gemm_form form, pnng_gemm_sizes sizes,
               size_t element, const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb, void *c,
               ptrdiff_t ldc, double alpha, const void *bias, bool accumulate, void *work) {
    if (is_thin(table, form, sizes)) {
        pnng_gemm_thin *const forms[] = {table->nt, table->nn, table->tn};
        forms[form](sizes.rows, sizes.cols, sizes.depth, a, lda, b, ldb, c, ldc, alpha, bias,
                    accumulate);
        return;
    }
    if (sizes.depth == 0) {
        /* Nothing to sum: the thin kernels leave C as the bias, zero, or as it was. */
        table->nt(sizes.rows, sizes.cols, 0, a, lda, b, ldb, c, ldc, alpha, bias, accumulate);
        return;
    }
    const ptrdiff_t e = (ptrdiff_t)element;
    const bool a_transposed = form == PNNG_GEMM_TN || form == PNNG_GEMM_TT;
    const bool b_transposed = form == PNNG_GEMM_NT || form == PNNG_GEMM_TT;
    const matrix rows_of_a = a_transposed ? (matrix){a, e, lda * e} : (matrix){a, lda * e, e};
    const matrix cols_of_b = b_transposed ? (matrix){b, ldb * e, e} : (matrix){b, e, ldb * e};
    multiply_packed(table, sizes, element, rows_of_a, cols_of_b, c, ldc, alpha, bias, accumulate,
                    work);
}
