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

/* Windows over planes of up to three dims; where there are fewer, the first ones are of size 1.
 * Output o of dim d has of it the elements first[d][o] + i dilation[d], i < count[d][o]: those that
 * are in the plane. An element's number in its window, its `code`, is (i_0 size[1] + i_1) size[2] +
 * i_2. Outputs whole_from ... whole_to - 1 of the last dim have whole windows that begin `step`
 * apart, 1 or 2: with 2, dilation[2] is 1 and size[2] at least 2.
 *
 * For pick, output o is element first[d][o], or none where that is negative; the run whole_from ...
 * whole_to - 1 comes from neighbours. For interpolate, it is (1 - weight[d][o]) times that plus
 * weight[d][o] times the next one, where count[d][o] is 2; where it is 1, there is no next one. */
enum { PNNG_POOLED_DIMS = 3 };
typedef struct pnng_windows {
    size_t in[PNNG_POOLED_DIMS], out[PNNG_POOLED_DIMS];
    size_t size[PNNG_POOLED_DIMS]; /* the most that a window has */
    size_t dilation[PNNG_POOLED_DIMS];
    size_t step, whole_from, whole_to;
    const int64_t *first[PNNG_POOLED_DIMS], *count[PNNG_POOLED_DIMS];
    const int64_t *share[PNNG_POOLED_DIMS]; /* sums are divided by the product of three of these */
    const int64_t *place; /* of each code: from a window's first element to that, in the plane */
    size_t codes;
    const double *weight[PNNG_POOLED_DIMS];
    int64_t ints[]; /* what these point to */
} pnng_windows;

/* One call of a kernel. What the operands are is said per family below; addresses are aligned to
 * their elements only, and may be equal (in place) where a family says so. */
typedef struct pnng_call {
    void *const *ptr;            /* one address an operand; NULL for an output that is not wanted */
    const ptrdiff_t *stride;     /* one an operand: elements from one row to the next */
    size_t rows, cols;           /* elements of a row are next to each other in every operand */
    size_t n;                    /* number of table entries; or the size of the dim worked along */
    size_t inner;                /* slices, reduce: elements below that dim */
    double a, b;                 /* the op's real attributes */
    int64_t i, j;                /* the op's integer attributes */
    const pnng_windows *windows; /* pooling, resample */
    uint64_t seed;               /* fixes the numbers drawn in a run */
    uint32_t noise;              /* which of the ops that draw it is, from 1 */
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
 *          zero, b = value kept. The k-th element is a function of (seed, noise, i + k) only, on
 *          every ISA; i is how many are before this row.
 *          backward dx, g          the same, with m drawn again
 * draw     forward  y              one row of cols elements, contiguous; each a function of its
 *          (seed, noise, i + k), as of noise. No v_fma: the same bits but for those of logarithms.
 * extreme  forward  y, place, x    as of reduce; place: the index along n, as a real. n > 0.
 *          backward dx, g, place   all of dx is written
 * loss     forward  y (1), x, t, w one row of cols elements; a = factor; w of bce only, or NULL
 *          backward dx, g (1), x, t, w     mse: dx = 2 a g (x - t)
 *                                  smooth_l1: dx = a g max(-1, min(1, x - t))
 *                                  bce: dx = a g w (x - t) / ((x + e) (1 - x + e)), e = 1e-12
 * nll      forward  y (1), total (1), x, t, w    x: rows x cols with stride, t: rows of int64,
 *          w: cols or NULL; i = average, j = index to ignore. A t outside [0, cols) that is not j:
 *          PNNG_ERROR_VALUE, bad = {row, t}. average with total 0 gives y = 0 (all were ignored).
 *          backward dx, g (1), total (1), t, w    all of dx is written: -g w_t (/ total), else 0
 * gather   forward  y, w, t        y: rows x cols with stride, t: rows of int64, w: n x cols with
 *          stride; y_r = w_t. A t outside [0, n): PNNG_ERROR_VALUE, bad = {row, t}, y unchanged.
 *          backward dw, g, t       dw_t += a g_r but for t = i; stored: all of dw is written.
 * one_hot  forward  y, t           y: rows x cols with stride, t: rows of int64, n = cols. A t
 *          outside [0, n): PNNG_ERROR_VALUE, bad = {row, t}, y unchanged.
 * batch_norm      x and y: n samples (stride: from one to the next), each contiguous, of rows
 *          channels x inner elements, or of cols channels where inner == 1; all others one number a
 *          channel. w and b may be NULL.
 *          forward  y, m, r, v, x, w, b    r = 1 / sqrt(sum (x - m)^2 / count + a), v = sum (x -
 *          m)^2 / (count - 1), or 0
 *          backward dx, dw, db, g, x, m, r, w      dw and db are stored; any of the three may be
 *          NULL
 * channel_affine  the same layout
 *          forward  y, x, m, s, b
 *          backward dx, ds, db, g, x, m, s
 * channel_prelu   the same layout
 *          forward  y, x, s
 *          backward dx, ds, NULL, g, x, s
 * layer_norm      x, y, g and dx: rows channels x inner elements, contiguous, n = 1; m and r one
 *          number a row, w and b `inner` numbers; w and b may be NULL
 *          forward  y, m, r, x, w, b
 *          backward dx, dw, db, g, x, m, r, w      as of batch_norm. Of dw and db `cols` are made,
 *          of rows of g and x that are a stride apart.
 * max_pool, max_unpool, average_pool      rows planes with strides, each contiguous, of the sizes
 *          in windows; cols elements where they are many. `which` are codes, as reals.
 *          forward  y, which, x;     y, x, which;     y, x
 *          backward dx, g, which;    dx, g, which;    dx, g
 * fractional_pool         the same, by windows that are drawn: a function of (seed, noise, i + its
 *          number) only, or of j in place of the seed where it is not 0
 *          forward  y, which, x
 *          backward dx, g, which
 * pick, interpolate       rows planes with strides, each contiguous, of the sizes in windows
 *          forward  y, x
 *          backward dx, g
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
 * (nt, nn), little depth (tn), or small products. Operands row-major with row strides lda, ldb. */
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

/* A plane, and a copy of a box of it: what padding adds is there, and columns are sorted by their
 * place in a stride, so that neighbouring windows read neighbours. Row (d, h) of the copy is at
 * ((d * height + h) * phases) * pitch; of its phase p, element j is column first[2] + p +
 * j * stride[2] of the plane. Rows that no window touches need not be there. */
typedef struct pnng_plane_copy {
    size_t size[3];               /* of the plane */
    ptrdiff_t first[3];           /* place in it of the copy's first element */
    size_t rows[2];               /* of the copy */
    size_t stride[3], touched[2]; /* of `stride` rows, the first `touched` are */
    size_t height, phases, pitch;
} pnng_plane_copy;

/* Windows in copies of planes. Places of windows are counted along rows of `width`, of which
 * `height` make a plane. The windows' element `tap` of a place is tap[tap] from where the place
 * is. A line is all of one tap in one plane, number plane * taps + tap. Of copies, whole vectors
 * may be read where a part of one is wanted. */
typedef struct pnng_plane_windows {
    size_t width, height;
    ptrdiff_t row, plane; /* from a row of places to the next, from a plane of them */
    ptrdiff_t channel;    /* from the copy of a plane to that of the next one */
    size_t taps;
    const ptrdiff_t *tap;
} pnng_plane_windows;

/* Copies are read and written as said above; x, y, lines and weights to the element. */
typedef struct pnng_convolution_table {
    /* copy = x, with zeros around it */
    void (*copy)(const pnng_plane_copy *p, const void *x, void *copy);
    /* x = or += copy, of all of x */
    void (*uncopy)(const pnng_plane_copy *p, const void *copy, void *x, bool accumulate);
    /* y = b_r in row r of `rows` x `cols`, or zero where b is NULL */
    void (*planes)(void *y, ptrdiff_t ldy, size_t rows, size_t cols, const void *b);
    /* lines `first` ... of n places from place `at` on, into rows of `to` */
    void (*lines)(const pnng_plane_windows *w, const void *copy, size_t first, size_t lines,
                  size_t at, size_t n, void *to, ptrdiff_t ld);
    /* add all lines of `channels` planes, of n places from the first on, to the copies */
    void (*add_lines)(const pnng_plane_windows *w, void *copy, size_t channels, size_t n,
                      const void *lines, ptrdiff_t ld);
    /* of one plane and n places: y = or += sum_t weight_t line_t [+ *bias], rows ldy apart */
    void (*window_sums)(const pnng_plane_windows *w, const void *copy, size_t n, const void *weight,
                        const void *bias, void *y, ptrdiff_t ldy, bool accumulate);
    /* weight_t += alpha sum y line_t */
    void (*window_products)(const pnng_plane_windows *w, const void *copy, size_t n, const void *y,
                            double alpha, void *weight);
} pnng_convolution_table;

/* One step of an optimiser over n parameters x with gradient g. What is kept from step to step is s
 * and t; each method has its formula in kernels/optim.inc. Arrays are aligned to their elements and
 * do not overlap, but g may be x. */
typedef struct pnng_update {
    size_t n;
    void *x, *s, *t;
    const void *g;
    const void *rates, *decays; /* sgd, nag: of each parameter, or NULL */
    double rate, decay, keep, add, keep_2, add_2, epsilon;
    double grow, shrink, least, most; /* rprop */
    int nesterov;
} pnng_update;

typedef void pnng_optim_step(const pnng_update *update);

typedef double pnng_optim_dot_run(size_t n, const void *x, const void *y);

typedef struct pnng_optim {
    pnng_optim_step *sgd, *adam, *rmsprop, *adagrad; /* sgd: s may be NULL, then no momentum */
    pnng_optim_step *adamax, *adadelta, *rprop, *asgd, *nag;
    pnng_optim_dot_run *dot; /* the sum of products */
} pnng_optim;

typedef struct pnng_op_kernels {
    pnng_kernel *forward, *backward; /* NULL where the family has none */
} pnng_op_kernels;

typedef struct pnng_kernels {
    pnng_op_kernels op[PNNG_OP_COUNT];
    pnng_common common;
    pnng_optim optim;
    pnng_gemm_table gemm;
    pnng_convolution_table convolution;
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
