/* What the engine asks of an instruction set: one table of functions per number type.
 *
 * Kernels know numbers and lanes and nothing else. They do not allocate, do not call libc, and
 * never read or write outside of the rows that they are given. `real` below is float or double.
 */
#ifndef PNNG_KERNELS_H
#define PNNG_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/pynngraph.h"

typedef enum pnng_op {
#define PNNG_OP(CODE, ...) PNNG_OP_##CODE,
#include "ops.def"
#undef PNNG_OP
    PNNG_OP_COUNT
} pnng_op;

/* One call of a kernel. What the operands are is said per family below; addresses are aligned to
 * their elements only, and may be equal (in place) where a family says so. */
typedef struct pnng_call {
    void *const *ptr;          /* one address an operand; NULL for an output that is not wanted */
    const ptrdiff_t *stride;   /* one an operand: elements from one row to the next */
    size_t rows, cols;         /* elements of a row are next to each other in every operand */
    size_t n;                  /* number of table entries; or the size of the dim worked along */
    size_t inner;              /* slices, reduce: elements below that dim */
    double a, b;               /* the op's real attributes */
    int64_t i, j;              /* the op's integer attributes */
    uint64_t seed;             /* noise: fixes the numbers drawn */
    bool stream;               /* what is written is far more than caches hold: better past them */
    const uint8_t *accumulate; /* one flag a written gradient: 0 store, 1 add to what is there */
    int64_t *bad; /* where a kernel that returns PNNG_ERROR_VALUE says which: element, value */
} pnng_call;

typedef pnng_status pnng_kernel(const pnng_call *call);

/* Families, their operands in order. Gradients: `dx` for x; `g` is the gradient of y.
 *
 * unary_x  forward  y, x           rows x cols; y == x allowed
 *          backward dx, g, x       dx == g allowed when it is stored
 * unary_y  forward  y, x           the same
 *          backward dx, g, y
 * sum      forward  y, x_1 ... x_n (call->n = n) y == any x allowed
 *          backward g, d_1 ... d_n as of nary
 * nary     forward  y, x_1 ... x_n
 *          backward g, w, x_1 ... x_n, d_1 ... d_n   accumulate[k] is of d_k, d_k may be NULL, and
 *          d_k may equal another d_l (the same value twice in a table): they are written, per
 *          element, in ascending k. w is work space of 4 n vectors (PNNG_MAX_VECTOR_BYTES each), or
 *          NULL where n <= PNNG_TABLE_SOME.
 *          No d_k equals g or an x.
 * slices   forward  y, x           `rows` slices (stride: from one to the next) of n x inner
 *          backward dx, g, y       elements, contiguous; works along n. cols = n * inner.
 * reduce   forward  y, x           x: rows slices of n x inner, contiguous; y: rows of inner, too.
 *          backward dx, g          dx like x, g like y. A fixed order of summation.
 *                                  accumulate[0] holds for forward also: y += a sum x.
 * noise    forward  y, m, x        one row of cols elements, all contiguous; a = probability of
 *          zero, b = value kept. The k-th element is a function of (seed, i + k) only, on every
 *          ISA; i, what is before this row, is even.
 *          backward dx, g, m       dx = g m, rows x cols with strides
 * loss     forward  y (1), x, t, w one row of cols elements; a = factor; w of bce only, or NULL
 *          backward dx, g (1), x, t, w     mse: dx = 2 a g (x - t)
 *                                  bce: dx = a g w (x - t) / ((x + e) (1 - x + e)), e = 1e-12
 * nll      forward  y (1), total (1), x, t, w    x: rows x cols with stride, t: rows of int64,
 *          w: cols or NULL; i = average, j = index to ignore. A t outside [0, cols) that is not j:
 *          PNNG_ERROR_VALUE, bad = {row, t}. average with total 0 gives y = 0 (all were ignored).
 *          backward dx, g (1), total (1), t, w    all of dx is written: -g w_t (/ total), else 0
 * gather   forward  y, w, t        y: rows x cols with stride, t: rows of int64, w: n x cols with
 *          stride; y_r = w_t. A t outside [0, n): PNNG_ERROR_VALUE, bad = {row, t}, y unchanged.
 *          backward dw, g, t       dw_t += a g_r but for t = i; stored: all of dw is written.
 * to_index forward  y (int64), x   one row; not whole or not finite: PNNG_ERROR_VALUE, bad = {k, 0}
 */

/* The rest of the table, under plain names. */
typedef struct pnng_common {
    pnng_kernel *fill;  /* y: y = a                             rows x cols */
    pnng_kernel *scale; /* y, x: y = a x or y += a x (accumulate[0]); a == 1 copies bit for bit */
    pnng_kernel *bias;  /* y, b: y = b in every row */
    /* y, x: as scale, y_rc from x_cr; y is rows x cols, a row of x is a column of it */
    pnng_kernel *transpose;
} pnng_common;

/* Tiles of C, in a column: C = or += alpha A B [+ bias]. Columns of A, or else its rows, are
 * contiguous (a_row == 1 or a_col == 1), and B's rows are. Of every row of B, whole vectors are
 * read. Without accumulation C is not read. */
typedef struct pnng_gemm_tiles {
    size_t rows, cols, depth; /* 0 < cols <= nr */
    size_t high;              /* rows of a tile, at most mr; the last one has what is left */
    const void *a;
    ptrdiff_t a_row, a_col; /* element (i, k) of a tile is a[i * a_row + k * a_col] */
    ptrdiff_t a_tile;       /* from one tile to the next */
    const void *b;
    ptrdiff_t ldb;
    void *c;
    ptrdiff_t ldc;
    double alpha;
    const void *bias; /* cols elements, added to every row; or NULL */
    bool accumulate;
} pnng_gemm_tiles;

typedef void pnng_gemm_tiles_run(const pnng_gemm_tiles *tiles);

/* Pack a `wide` x depth block, element (i, k) at src[i * stride_i + k * stride_k], into panels of
 * `width`: panel p holds rows p*width ... as depth groups of width, zeros past `wide`. */
typedef void pnng_gemm_pack(void *panels, const void *src, ptrdiff_t stride_i, ptrdiff_t stride_k,
                            size_t wide, size_t depth, size_t width);

/* C (rows x cols, row stride ldc) = or += alpha * op(A) op(B) [+ bias], unpacked, for few rows
 * (nt, nn) or little depth (tn). Operands row-major with row strides lda, ldb. */
typedef void pnng_gemm_thin(size_t rows, size_t cols, size_t depth, const void *a, ptrdiff_t lda,
                            const void *b, ptrdiff_t ldb, void *c, ptrdiff_t ldc, double alpha,
                            const void *bias, int accumulate);

typedef struct pnng_gemm_table {
    pnng_gemm_tiles_run *tiles;
    pnng_gemm_pack *pack;
    pnng_gemm_thin *nt; /* C = A B',  A rows x depth, B cols x depth:   Linear forward */
    pnng_gemm_thin *nn; /* C = A B,   A rows x depth, B depth x cols:   gradInput */
    pnng_gemm_thin *tn; /* C = A' B,  A depth x rows, B depth x cols:   gradWeight */
    size_t mr, nr;      /* the largest tile */
    size_t kc;          /* depth of a block */
    size_t lanes;       /* elements of a vector */
    /* nt is sooner than packing for up to dots_most k / (dots_half + k) rows of depth k */
    size_t dots_most, dots_half;
    size_t dots_step, dots_end; /* of a dot product: a vector and its end; 8 is one of a tile */
} pnng_gemm_table;

/* One step of an optimiser over n parameters x with gradient g. What is kept from step to step is s
 * and t; each method has its formula in kernels/optim.inc. Arrays are aligned to their elements and
 * do not overlap, but g may be x. */
typedef struct pnng_update {
    size_t n;
    void *x, *s, *t;
    const void *g;
    const void *rates, *decays; /* sgd: of each parameter, or NULL */
    double rate, decay, keep, add, keep_2, add_2, epsilon;
    int nesterov;
} pnng_update;

typedef void pnng_optim_step(const pnng_update *update);

typedef struct pnng_optim {
    pnng_optim_step *sgd, *adam, *rmsprop, *adagrad; /* sgd: s may be NULL, then no momentum */
} pnng_optim;

typedef struct pnng_op_kernels {
    pnng_kernel *forward, *backward; /* NULL where the family has none */
} pnng_op_kernels;

typedef struct pnng_kernels {
    pnng_op_kernels op[PNNG_OP_COUNT];
    pnng_common common;
    pnng_optim optim;
    pnng_gemm_table gemm;
} pnng_kernels;

enum { PNNG_MAX_VECTOR_BYTES = 64, PNNG_TABLE_SOME = 16 };

typedef struct pnng_isa {
    const char *name;
    size_t vector_bytes;
    pnng_kernels f32, f64;
} pnng_isa;

/* NULL where the architecture has no such instruction set. */
extern const pnng_isa *const pnng_isa_scalar;
extern const pnng_isa *const pnng_isa_sse2;
extern const pnng_isa *const pnng_isa_avx2;
extern const pnng_isa *const pnng_isa_avx512;
extern const pnng_isa *const pnng_isa_neon;

#endif
