/* Matrix products: which way a product goes, and the loops around the kernels.
 *
 * Most are made of tiles:
 *
 *     for each block of columns of C              its part of B stays in the last-level cache
 *       for each block of the depth                 B in panels of nr columns, packed or as it lies
 *         for each block of rows                      A packed, for L2, or as it lies
 *           for each panel of B                         the panel stays in L1
 *             for each tile of rows                       in registers
 *
 * With few rows or columns, little depth, or all of it in L1, packing is not repaid: then kernels
 * read A and B as they lie. Thresholds and blocks were measured: docs/design/gemm.md. */
#include "gemm.h"

#include "cpu.h"
#include "threads.h"

static size_t min_size(size_t x, size_t y) { return x < y ? x : y; }
static size_t max_size(size_t x, size_t y) { return x > y ? x : y; }
static size_t ceil_div(size_t x, size_t y) { return (x + y - 1) / y; }
static size_t round_up(size_t x, size_t multiple) { return ceil_div(x, multiple) * multiple; }

/* The size of the parts when n is cut into as few as possible of at most `most`, nearly equal. */
static size_t even_part(size_t n, size_t most) {
    return n ? ceil_div(n, ceil_div(n, max_size(most, 1))) : 1;
}

/* The rows of tiles that `rows` are cut into: nearly equal. Of more than 8 rows only even heights
 * are compiled; a few rows that are left over read all of B for little. */
static size_t tile_rows(size_t rows, size_t most) {
    size_t high = even_part(rows, most);
    if (high > 8 && high % 2 && high < most)
        high++;
    while (high > 8 && rows % high > 0 && rows % high < 4)
        high -= 2;
    return high;
}

/* Strides in elements: to the next row or column of C, and along the depth. */
typedef struct strides {
    ptrdiff_t across, along;
} strides;

static strides strides_of_a(const pnng_product *p) {
    return p->form == PNNG_GEMM_TN || p->form == PNNG_GEMM_TT ? (strides){1, p->lda}
                                                              : (strides){p->lda, 1};
}

static strides strides_of_b(const pnng_product *p) {
    return p->form == PNNG_GEMM_NT || p->form == PNNG_GEMM_TT ? (strides){p->ldb, 1}
                                                              : (strides){1, p->ldb};
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* Rows so far apart fall on the same few places of the L1 cache, and each on a page of its own. */
static bool rows_clash(ptrdiff_t stride, size_t element) {
    const size_t bytes = (size_t)(stride < 0 ? -stride : stride) * element;
    return bytes >= 4096 && bytes % 1024 == 0;
}

/* Bytes of an operand that no longer stays near a core, and of one that may not even stay in the
 * last-level cache. */
enum { FAR = 1 << 20, VERY_FAR = 8 << 20 };

/* Whether few columns of C = A B' are made sooner of dot products than of tiles, in eighths of
 * cycles an element of C, about: a tile takes 8 for each vector of the depth, more where its last
 * vector is not full; a dot product a little more, and the sum of its own vector. */
static bool few_dots_are_cheaper(const pnng_gemm_table *table, const pnng_gemm_sizes *s) {
    const size_t lanes = table->lanes;
    return s->cols <= 3 * lanes &&
           s->cols * (table->dots_step * s->depth + table->dots_end * lanes) <
               8 * ceil_div(s->cols, lanes) * lanes * s->depth;
}

/* The same of any number of columns, where B is packed for the tiles. */
static bool dots_are_cheaper(const pnng_gemm_table *table, const pnng_gemm_sizes *s) {
    enum { FEW = 48 }; /* elements of C: not worth packing for */
    if (s->rows <= FEW && s->cols <= FEW && s->rows * s->cols <= FEW)
        return true;
    if (s->cols < s->rows && s->cols <= 3 * table->lanes)
        return few_dots_are_cheaper(table, s);
    return s->rows * (table->dots_half + s->depth) <= table->dots_most * s->depth;
}

/* Whether C = A' B is made turned (gemm.inc): its columns would not fill vectors. */
static bool turns(const pnng_gemm_table *table, const pnng_gemm_sizes *s) {
    return s->cols % table->lanes && 2 * s->cols <= 3 * table->lanes && s->rows >= table->lanes;
}

/* All of such a product is in L1: what tiles do beforehand is not repaid. */
static bool is_small(const pnng_gemm_sizes *s) {
    enum { MOST = 32 * 32 * 32 };
    return s->rows <= MOST && s->cols <= MOST && s->depth <= MOST &&
           s->rows * s->cols * s->depth <= MOST;
}

static void choose_way(const pnng_gemm_table *table, pnng_method *m) {
    const pnng_product *const p = &m->product;
    const pnng_gemm_sizes *const s = &p->sizes;
    const size_t c_bytes = s->rows * s->cols * p->element, lanes = table->lanes;
    const size_t b_bytes = s->cols * s->depth * p->element;
    /* Results of little depth take the time that it takes to write them, in the order of memory. */
    const bool shallow = (s->depth <= 8 && c_bytes > 128 << 10) ||
                         (p->form == PNNG_GEMM_TN && s->depth <= 32 && c_bytes > 1 << 20);
    /* For few rows B is read as it lies, in pieces of its rows as long as can be: this matters the
     * more the farther away it is. More than 16 rows read it more than once. */
    const size_t few_nn = b_bytes > VERY_FAR ? 16 : 24, few_tn = b_bytes > FAR ? 16 : 3;
    const bool few = s->rows < 4 || (s->cols >= 4 * lanes &&
                                     s->rows <= (p->form == PNNG_GEMM_NN ? few_nn : few_tn));
    m->way = PNNG_GEMM_TILES;
    if (p->b_is_packed)
        return;
    if (p->form == PNNG_GEMM_NT && dots_are_cheaper(table, s))
        m->way = PNNG_GEMM_DOTS;
    else if ((p->form == PNNG_GEMM_NN || p->form == PNNG_GEMM_TN) && (few || shallow))
        m->way = PNNG_GEMM_ROWS;
    else if (p->form == PNNG_GEMM_TN && turns(table, s))
        m->way = PNNG_GEMM_ROWS;
    else if (p->form == PNNG_GEMM_NN && s->cols < lanes && s->cols < s->rows &&
             few_dots_are_cheaper(table, s))
        m->way = PNNG_GEMM_TURNED_DOTS;
    else if ((p->form == PNNG_GEMM_NN || p->form == PNNG_GEMM_TN) && is_small(s))
        m->way = PNNG_GEMM_ROWS;
}

/* Blocks of tiles. The depth of one is the same on every machine, since results depend on it. */
static void choose_blocks(const pnng_gemm_table *table, pnng_method *m) {
    const pnng_product *const p = &m->product;
    const size_t rows = p->sizes.rows, cols = p->sizes.cols, depth = p->sizes.depth;
    const bool a_along = p->form == PNNG_GEMM_NT || p->form == PNNG_GEMM_NN;
    const bool b_along = p->form == PNNG_GEMM_NT || p->form == PNNG_GEMM_TT;
    const bool a_clashes = rows_clash(p->lda, p->element);
    /* A is read once for each panel of B, B once for each tile of rows. */
    const bool reads_a_often = cols > 2 * table->nr;
    const bool b_clashes = depth > 16 && rows_clash(p->ldb, p->element);
    const size_t b_bytes = depth * cols * p->element;
    const size_t often = b_bytes > VERY_FAR ? 1 : b_clashes ? 2 : 4;
    const bool reads_b_often = rows > often * table->mr;
    m->pack_a = p->form == PNNG_GEMM_TT ||
                (reads_a_often && (a_clashes || depth * rows * p->element >= FAR));
    m->pack_b = !p->b_is_packed && (b_along || (reads_b_often && (b_clashes || b_bytes >= FAR)));
    /* Rows that clash and are not packed: no more at once than L1 has places for. */
    m->high = a_along && a_clashes && !m->pack_a ? min_size(table->mr, 7) : table->mr;
    m->depth = even_part(depth, table->kc);

    const pnng_cpu *const cpu = pnng_cpu_info();
    const size_t row_bytes = m->depth * p->element;
    const size_t l2_rows = (size_t)cpu->l2_bytes / 2 / row_bytes;
    const size_t l3_panels = (size_t)cpu->l3_bytes / 8 / (row_bytes * table->nr);
    m->rows = m->pack_a ? even_part(rows, max_size(l2_rows, table->mr)) : max_size(rows, 1);
    m->cols = m->pack_b || p->b_is_packed ? min_size(round_up(max_size(cols, 1), table->nr),
                                                     max_size(l3_panels, 4) * table->nr)
                                          : max_size(cols, 1);
}

/* At 3 GHz, with one fused multiply-add of vectors a cycle, and B read once from far away: rather
 * too little. */
static uint64_t estimate(const pnng_gemm_table *table, const pnng_product *p) {
    const pnng_gemm_sizes *const s = &p->sizes;
    const uint64_t multiplying = (uint64_t)s->rows * s->cols * s->depth / table->lanes / 3;
    const uint64_t reading = ((uint64_t)s->rows * s->depth + (uint64_t)s->cols * s->depth +
                              (uint64_t)s->rows * s->cols) *
                             p->element / 64;
    return multiplying > reading ? multiplying : reading;
}

/* The size of part k's rows or columns is a multiple of this, but for the last one's. */
static size_t part_unit(const pnng_gemm_table *table, const pnng_method *m) {
    return m->cuts_rows ? m->high : table->nr;
}

static size_t part_size(const pnng_gemm_table *table, const pnng_method *m) {
    const size_t n = m->cuts_rows ? m->product.sizes.rows : m->product.sizes.cols;
    return round_up(ceil_div(n, m->parts), part_unit(table, m));
}

/* Each part packs for itself, so that the side which is cut is the longer one. Where C is most of
 * what is read and written, each thread has whole rows of it: with pieces of rows two threads were
 * no faster than one. */
static void choose_parts(const pnng_gemm_table *table, pnng_method *m) {
    enum { LONG = 100000 }; /* nanoseconds: then a single unit is worth a thread */
    enum { ENOUGH = 128 };  /* rows to give every thread some */
    const pnng_gemm_sizes *const s = &m->product.sizes;
    const bool c_is_most = m->way == PNNG_GEMM_ROWS && m->product.form == PNNG_GEMM_TN;
    m->nanoseconds = estimate(table, &m->product) + m->finishing;
    m->cuts_rows =
        m->way == PNNG_GEMM_TURNED_DOTS || s->rows > s->cols || (c_is_most && s->rows >= ENOUGH);
    m->parts = 1;
    if (!pnng_threads_may_help(m->nanoseconds))
        return;
    const size_t n = m->cuts_rows ? s->rows : s->cols;
    const size_t least = (m->nanoseconds > LONG ? 1 : 2) * part_unit(table, m);
    m->parts = max_size(1, min_size(pnng_threads_limit(), ceil_div(n, least)));
    if (m->parts > 1) /* rounding up the parts may leave none for the last */
        m->parts = ceil_div(n, part_size(table, m));
}

/* Work space: packed A, packed B; at least one panel of B, for the columns at the edge. */
static size_t packed_a_bytes(const pnng_method *m) {
    return m->pack_a ? round_up((m->rows + m->high) * m->depth * m->product.element, 64) : 0;
}

static size_t packed_b_bytes(const pnng_gemm_table *table, const pnng_method *m) {
    const size_t cols = m->pack_b ? m->cols : table->nr;
    return round_up(cols * m->depth * m->product.element, 64);
}

static void choose_work(const pnng_gemm_table *table, pnng_method *m) {
    const pnng_product *const p = &m->product;
    if (m->way == PNNG_GEMM_TILES)
        m->part_work = packed_a_bytes(m) + (p->b_is_packed ? 0 : packed_b_bytes(table, m));
    if (m->way == PNNG_GEMM_TURNED_DOTS)
        m->shared_work = round_up(p->sizes.cols * p->sizes.depth * p->element, 64);
}

/* Products with A' that are others without: C' = b' A where C = A' b is a column, and one row of A'
 * is a row as it lies. The one row's stride to a next one does not matter. */
static void restate(pnng_method *m) {
    pnng_product *const p = &m->product;
    if (p->form != PNNG_GEMM_TN)
        return;
    if (p->sizes.cols == 1 && p->ldb == 1 && p->ldc == 1 && !p->has_bias) {
        m->swapped = true;
        p->form = PNNG_GEMM_NN;
        p->ldb = p->lda;
        p->sizes = (pnng_gemm_sizes){1, p->sizes.rows, p->sizes.depth};
    }
}

pnng_method pnng_gemm_choose(const pnng_gemm_table *table, const pnng_product *product) {
    pnng_method m = {.product = *product, .high = table->mr};
    restate(&m);
    choose_way(table, &m);
    if (m.way == PNNG_GEMM_TILES)
        choose_blocks(table, &m);
    choose_parts(table, &m);
    choose_work(table, &m);
    return m;
}

/* As many rows of C are made at once as are still near when they are finished; but enough of them
 * to read B only now and then. */
void pnng_gemm_add_finish(const pnng_gemm_table *table, pnng_method *method, uint64_t nanoseconds) {
    enum { LEAST = 48 };
    const pnng_gemm_sizes *const s = &method->product.sizes;
    const size_t near = (size_t)pnng_cpu_info()->l2_bytes / 4 / (s->cols * method->product.element);
    const size_t most = method->way == PNNG_GEMM_TILES ? method->rows : s->rows;
    method->rows = even_part(s->rows, min_size(most, max_size(near, LEAST)));
    method->finishing = nanoseconds;
    choose_parts(table, method);
    choose_work(table, method);
}

/* What is kept takes as much memory as B once more. For many rows packing is a small part of the
 * time; where dot products are cheaper than tiles that pack, tiles that need not pay from four rows
 * on, but for few columns. */
bool pnng_gemm_keeping_pays(const pnng_gemm_table *table, const pnng_product *product) {
    enum { MANY = 256 };
    const pnng_gemm_sizes *const s = &product->sizes;
    if (product->form != PNNG_GEMM_NT || s->rows > MANY || !s->cols || !s->depth ||
        s->depth > (size_t)PTRDIFF_MAX / product->element / round_up(s->cols, table->nr))
        return false;
    if (!dots_are_cheaper(table, s))
        return true;
    return s->rows >= (s->depth <= 32 * table->lanes ? 3 : 4) && !few_dots_are_cheaper(table, s);
}

size_t pnng_gemm_packed_size(const pnng_gemm_table *table, const pnng_product *product) {
    return round_up(product->sizes.cols, table->nr) * product->sizes.depth * product->element;
}

void pnng_gemm_pack_b(const pnng_gemm_table *table, const pnng_product *product, const void *b,
                      void *panels) {
    const pnng_gemm_sizes *const s = &product->sizes;
    const strides by = strides_of_b(product);
    const size_t block = even_part(s->depth, table->kc);
    const size_t row_bytes = round_up(s->cols, table->nr) * product->element;
    for (size_t p = 0; p < s->depth; p += block)
        table->pack((char *)panels + p * row_bytes,
                    (const char *)b + (ptrdiff_t)(p * product->element) * by.along, by.across,
                    by.along, s->cols, min_size(s->depth - p, block), table->nr);
}

size_t pnng_gemm_work_size(const pnng_method *method) {
    return method->shared_work + method->parts * method->part_work;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* What is made: all of a product, or a part of it. */
typedef struct job {
    const pnng_gemm_table *table;
    const pnng_method *method;
    pnng_gemm_sizes sizes;
    const char *a, *b, *bias;
    char *c;
    double alpha;
    bool accumulate;
    char *work, *shared;
    const pnng_finish *finish; /* or NULL */
    size_t row, col;           /* where c is in all of C */
} job;

/* Finish what was made of C. One row that is C's only column in truth is that to the finish. */
static void finish(const job *job, size_t row, size_t col, size_t rows, size_t cols) {
    const pnng_finish *const f = job->finish;
    const bool turns = job->method->swapped;
    const ptrdiff_t e = (ptrdiff_t)job->method->product.element;
    const ptrdiff_t down = (ptrdiff_t)(turns ? job->col + col : job->row + row);
    const ptrdiff_t along = (ptrdiff_t)(turns ? job->row + row : job->col + col);
    void *ptr[PNNG_FINISH_OPERANDS];
    for (size_t k = 0; k < f->n_operands; k++)
        ptr[k] = (char *)f->ptr[k] + (down * f->stride[k] + along) * e;
    const pnng_call call = {.ptr = ptr,
                            .stride = f->stride,
                            .rows = turns ? cols : rows,
                            .cols = turns ? rows : cols,
                            .n = f->n,
                            .a = f->a,
                            .b = f->b,
                            .accumulate = f->accumulate};
    f->kernel(&call);
}

/* The first column of a block of B that is packed: all are, or only the last panel if that is not a
 * whole one, since rows of B are read as whole vectors. */
static size_t first_packed(const job *job, size_t cols) {
    return job->method->pack_b || job->method->product.b_is_packed ? 0
                                                                   : cols - cols % job->table->nr;
}

static void pack_b(const job *job, const char *b, size_t cols, size_t depth, char *packed_b) {
    const size_t first = first_packed(job, cols);
    const strides s = strides_of_b(&job->method->product);
    if (first < cols)
        job->table->pack(packed_b, b + (ptrdiff_t)(first * job->method->product.element) * s.across,
                         s.across, s.along, cols - first, depth, job->table->nr);
}

/* Of panels that were packed before, those from a column on, in the block of the depth from `p` on:
 * all panels of a block of the depth lie together. */
static const char *kept_panels(const job *job, size_t col, size_t p, size_t depth) {
    const size_t padded = round_up(job->method->product.sizes.cols, job->table->nr);
    return job->b + (p * padded + col * depth) * job->method->product.element;
}

/* One block of A times one of B: `tiles` has what all panels share. */
static void multiply_block(const job *job, pnng_gemm_tiles tiles, size_t cols, const char *b,
                           const char *packed_b) {
    const size_t nr = job->table->nr, element = job->method->product.element;
    const size_t packed = first_packed(job, cols);
    char *const c = tiles.c;
    const char *const bias = tiles.bias;
    for (size_t j = 0; j < cols; j += nr) {
        tiles.cols = min_size(cols - j, nr);
        tiles.c = c + j * element;
        tiles.bias = bias ? bias + j * element : NULL;
        tiles.b = j < packed ? b + j * element : packed_b + (j - packed) * tiles.depth * element;
        tiles.ldb = j < packed ? job->method->product.ldb : (ptrdiff_t)nr;
        job->table->tiles(&tiles);
    }
}

static void multiply_tiles(const job *job) {
    const pnng_method *const m = job->method;
    const pnng_gemm_sizes *const sizes = &job->sizes;
    const ptrdiff_t e = (ptrdiff_t)m->product.element, ldc = m->product.ldc;
    const strides a = strides_of_a(&m->product), b = strides_of_b(&m->product);
    char *const packed_a = job->work, *const packed_b = packed_a + packed_a_bytes(m);
    for (size_t j = 0; j < sizes->cols; j += m->cols) {
        const size_t cols = min_size(sizes->cols - j, m->cols);
        for (size_t p = 0; p < sizes->depth; p += m->depth) {
            const size_t depth = min_size(sizes->depth - p, m->depth);
            const char *const b_block =
                job->b + ((ptrdiff_t)j * b.across + (ptrdiff_t)p * b.along) * e;
            const char *panels = packed_b;
            if (m->product.b_is_packed)
                panels = kept_panels(job, job->col + j, p, depth);
            else
                pack_b(job, b_block, cols, depth, packed_b);
            for (size_t i = 0; i < sizes->rows; i += m->rows) {
                const size_t rows = min_size(sizes->rows - i, m->rows);
                const size_t high = tile_rows(rows, m->high);
                const char *const a_block =
                    job->a + ((ptrdiff_t)i * a.across + (ptrdiff_t)p * a.along) * e;
                pnng_gemm_tiles tiles = {
                    .rows = rows,
                    .depth = depth,
                    .high = high,
                    .a = a_block,
                    .a_row = a.across,
                    .a_col = a.along,
                    .a_tile = (ptrdiff_t)high * a.across,
                    .c = job->c + ((ptrdiff_t)i * ldc + (ptrdiff_t)j) * e,
                    .ldc = ldc,
                    .alpha = job->alpha,
                    /* The bias is added once, with the first of the depth. */
                    .bias = job->bias && p == 0 ? job->bias + (ptrdiff_t)j * e : NULL,
                    .accumulate = job->accumulate || p > 0,
                };
                if (m->pack_a) {
                    job->table->pack(packed_a, a_block, a.across, a.along, rows, depth, high);
                    tiles.a = packed_a;
                    tiles.a_row = 1;
                    tiles.a_col = (ptrdiff_t)high;
                    tiles.a_tile = (ptrdiff_t)(high * depth);
                }
                multiply_block(job, tiles, cols, b_block, panels);
                if (job->finish && p + depth == sizes->depth)
                    finish(job, i, j, rows, cols);
            }
        }
    }
}

/* The kernel that makes products without packing. */
static pnng_gemm_thin *thin_kernel(const pnng_gemm_table *table, const pnng_method *m) {
    if (m->way != PNNG_GEMM_ROWS)
        return table->nt;
    return m->product.form == PNNG_GEMM_NN ? table->nn : table->tn;
}

static void multiply(const job *job) {
    const pnng_product *const p = &job->method->product;
    const pnng_gemm_sizes *const s = &job->sizes;
    pnng_gemm_thin *const thin = thin_kernel(job->table, job->method);
    const char *b = job->b;
    ptrdiff_t ldb = p->ldb;
    /* Where there is nothing to sum, C is left as the bias, zero, or as it was. */
    if (job->method->way == PNNG_GEMM_TILES && s->depth > 0) {
        multiply_tiles(job);
        return;
    }
    if (job->method->way == PNNG_GEMM_TURNED_DOTS) {
        b = job->shared;
        ldb = (ptrdiff_t)s->depth;
    }
    /* A few rows at a time, where they are to be finished. */
    const size_t rows = job->finish ? job->method->rows : s->rows;
    for (size_t i = 0; i < s->rows; i += rows) {
        const ptrdiff_t first = (ptrdiff_t)(i * p->element);
        const size_t count = min_size(s->rows - i, rows);
        thin(count, s->cols, s->depth, job->a + first * strides_of_a(p).across, p->lda, b, ldb,
             job->c + first * p->ldc, p->ldc, job->alpha, job->bias, job->accumulate);
        if (job->finish)
            finish(job, i, 0, count, s->cols);
    }
}

static void multiply_part(void *context, size_t k) {
    job part = *(const job *)context;
    const pnng_method *const m = part.method;
    const ptrdiff_t e = (ptrdiff_t)m->product.element;
    const size_t size = part_size(part.table, m), first = k * size;
    if (m->cuts_rows) {
        part.sizes.rows = min_size(size, part.sizes.rows - first);
        part.row = first;
        part.a += (ptrdiff_t)first * strides_of_a(&m->product).across * e;
        part.c += (ptrdiff_t)first * m->product.ldc * e;
    } else {
        part.sizes.cols = min_size(size, part.sizes.cols - first);
        if (!m->product.b_is_packed)
            part.b += (ptrdiff_t)first * strides_of_b(&m->product).across * e;
        part.col = first;
        part.c += (ptrdiff_t)first * e;
        if (part.bias)
            part.bias += (ptrdiff_t)first * e;
    }
    part.work += k * m->part_work;
    multiply(&part);
}

void pnng_gemm(const pnng_gemm_table *table, const pnng_method *method, const void *a,
               const void *b, void *c, double alpha, const void *bias, bool accumulate, void *work,
               const pnng_finish *finish) {
    const void *const first = method->swapped ? b : a, *const second = method->swapped ? a : b;
    /* One call of a kernel. */
    if (!finish && method->parts == 1 &&
        (method->way == PNNG_GEMM_DOTS || method->way == PNNG_GEMM_ROWS)) {
        const pnng_product *const p = &method->product;
        thin_kernel(table, method)(p->sizes.rows, p->sizes.cols, p->sizes.depth, first, p->lda,
                                   second, p->ldb, c, p->ldc, alpha, bias, accumulate);
        return;
    }
    job all = {
        .table = table,
        .method = method,
        .sizes = method->product.sizes,
        .a = first,
        .b = second,
        .bias = bias,
        .c = c,
        .alpha = alpha,
        .accumulate = accumulate,
        .shared = work,
        .work = (char *)work + method->shared_work,
        .finish = finish,
    };
    if (method->way == PNNG_GEMM_TURNED_DOTS)
        table->pack(all.shared, all.b, method->product.ldb, 1, all.sizes.depth, all.sizes.cols,
                    all.sizes.depth);
    const size_t threads = method->parts > 1 ? pnng_threads_wanted(method->nanoseconds) : 1;
    if (threads > 1)
        pnng_parallel(threads, method->parts, multiply_part, &all);
    else
        multiply(&all);
}
