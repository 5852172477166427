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
    PNNG_GEMM_TT
} pnng_gemm_form;

typedef struct pnng_gemm_sizes {
    size_t rows, cols, depth; /* of C, and what is summed over */
} pnng_gemm_sizes;

/* All of a product that is known before it is made. lda, ldb, ldc are row strides as stored. */
typedef struct pnng_product {
    pnng_gemm_form form;
    pnng_gemm_sizes sizes;
    size_t element; /* bytes of a real */
    ptrdiff_t lda, ldb, ldc;
    bool has_bias;
    bool b_is_packed; /* nt: what is multiplied is B as pnng_gemm_pack_b packs it */
} pnng_product;

/* How it is made: see gemm.c. */
typedef struct pnng_method {
    pnng_product product; /* or another one that gives the same */
    enum { PNNG_GEMM_TILES, PNNG_GEMM_DOTS, PNNG_GEMM_TURNED_DOTS, PNNG_GEMM_ROWS } way;
    bool swapped;             /* its A is what was called B */
    bool pack_a, pack_b;      /* tiles */
    size_t rows, cols, depth; /* tiles: of a block; rows: of what is finished at once, too */
    size_t high;              /* tiles: rows of one, at most */
    size_t parts;             /* that threads may make alone */
    bool cuts_rows;           /* parts are rows of C, else columns */
    size_t part_work;         /* bytes of work space that each needs */
    size_t shared_work;       /* and that all need together */
    uint64_t nanoseconds;     /* that one thread takes, about */
    uint64_t finishing;       /* of them, for the finish */
} pnng_method;

/* What is done to C as soon as it is made, while it is in the caches: an elementwise kernel, of
 * which C is an operand. The members are those of its call, for all of C. */
enum { PNNG_FINISH_OPERANDS = 3 };
typedef struct pnng_finish {
    pnng_kernel *kernel;
    size_t n_operands;
    void *const *ptr;
    const ptrdiff_t *stride;
    double a, b;
    const uint8_t *accumulate;
    size_t n;
} pnng_finish;

/* Choose how to make a product, by at most as many threads as are set. */
pnng_method pnng_gemm_choose(const pnng_gemm_table *table, const pnng_product *product);

/* The same product is to be followed by a finish, which takes one thread so many nanoseconds. */
void pnng_gemm_add_finish(const pnng_gemm_table *table, pnng_method *method, uint64_t nanoseconds);

/* Whether a product is made sooner if its B is packed before, and kept. */
bool pnng_gemm_keeping_pays(const pnng_gemm_table *table, const pnng_product *product);

/* Bytes of the panels of all of B. They serve products of any number of rows. */
size_t pnng_gemm_packed_size(const pnng_gemm_table *table, const pnng_product *product);

/* Pack all of B. */
void pnng_gemm_pack_b(const pnng_gemm_table *table, const pnng_product *product, const void *b,
                      void *panels);

/* Bytes of work space for a product, aligned to 64; 0 where none is needed. */
size_t pnng_gemm_work_size(const pnng_method *method);

/* C = or += alpha op(A) op(B) [+ bias in every row], then the finish, unless NULL. The result is
 * the same, bit for bit, whatever threads make it. */
void pnng_gemm(const pnng_gemm_table *table, const pnng_method *method, const void *a,
               const void *b, void *c, double alpha, const void *bias, bool accumulate, void *work,
               const pnng_finish *finish);

#endif
