/* Matrix products: the kernels of every instruction set, and the ways that gemm.c puts them
 * together, for float and double, in guarded memory (test_support.h), against sums in double. */
#include "kernel_support.h"

#include "../../csrc/gemm.h"
#include "../../csrc/threads.h"

static const pnng_gemm_table *gemm;

/* ---- a product and its reference ---- */

/* What all kernels of products are asked for: bit 0 adds, bit 1 has a bias, bit 2 has alpha. */
enum { ADDS = 1, BIAS = 2, ALPHA = 4, GEMM_FLAGS = 8 };

typedef struct product {
    size_t rows, cols, depth;
    operand a, b, c, bias;
    operand panels;        /* B as it is kept, or nothing */
    size_t a_by_k, b_by_k; /* whether k counts the rows of a, of b */
    int flags;
} product;

static double product_alpha(const product *p) { return p->flags & ALPHA ? 0.625 : 1; }

/* C is NaN where it must not be read. */
static double *product_prepare(product *p, placement where, ptrdiff_t gap) {
    p->c = make(2, where, p->rows, p->cols, (ptrdiff_t)p->cols + gap);
    p->bias = make(3, where, 1, p->cols, 0);
    operand_fill(&p->bias, -1, 1);
    if (p->flags & ADDS)
        operand_fill(&p->c, -1, 1);
    else
        operand_set(&p->c, NAN);
    return operand_copy(&p->c);
}

static double product_a(const product *p, size_t i, size_t k) {
    return p->a_by_k ? get_at(&p->a, k, i) : get_at(&p->a, i, k);
}
static double product_b(const product *p, size_t k, size_t j) {
    return p->b_by_k ? get_at(&p->b, k, j) : get_at(&p->b, j, k);
}

static void product_check(const product *p, double *before) {
    bool ok = true;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            const double old = p->flags & ADDS ? before[i * p->cols + j] : 0;
            const double bias = p->flags & BIAS ? get_at(&p->bias, 0, j) : 0;
            double sum = 0, size = 0;
            for (size_t k = 0; k < p->depth; k++) {
                sum += product_a(p, i, k) * product_b(p, k, j);
                size += fabs(product_a(p, i, k) * product_b(p, k, j));
            }
            ok &= sum_is_near(f64, get_at(&p->c, i, j), product_alpha(p) * sum + bias + old,
                              (double)p->depth, size + fabs(bias) + fabs(old));
        }
    CHECK(ok);
    CHECK(operand_intact(&p->c) && operand_intact(&p->a) && operand_intact(&p->b) &&
          operand_intact(&p->bias));
    free(before);
}

/* ---- kernels ---- */

/* Tiles of every height and width, with A packed or as it lies. */
static void check_tiles(size_t rows, size_t cols, size_t depth, size_t high, bool along, int flags,
                        placement where) {
    product p = {
        .rows = rows, .cols = cols, .depth = depth, .a_by_k = !along, .b_by_k = 1, .flags = flags};
    const size_t padded = (cols + lanes - 1) / lanes * lanes;
    p.a = along ? make(0, where, rows, depth, (ptrdiff_t)depth + 1)
                : make(0, where, depth, rows, (ptrdiff_t)rows + 2);
    p.b = make(1, where, depth, padded, (ptrdiff_t)padded);
    operand_fill(&p.a, -1, 1);
    operand_fill(&p.b, -1, 1);
    double *const before = product_prepare(&p, where, 1);
    const pnng_gemm_tiles tiles = {
        .rows = rows,
        .cols = cols,
        .depth = depth,
        .high = high,
        .a = p.a.data,
        .a_row = along ? p.a.stride : 1,
        .a_col = along ? 1 : p.a.stride,
        .a_tile = along ? (ptrdiff_t)high * p.a.stride : (ptrdiff_t)high,
        .b = p.b.data,
        .ldb = p.b.stride,
        .c = p.c.data,
        .ldc = p.c.stride,
        .alpha = product_alpha(&p),
        .bias = flags & BIAS ? p.bias.data : NULL,
        .accumulate = flags & ADDS,
    };
    gemm->tiles(&tiles);
    product_check(&p, before);
}

static void test_tiles(void) {
    CHECK(gemm->nr % lanes == 0 && gemm->lanes == lanes && gemm->kc > 0);
    const size_t depths[] = {0, 1, 2, 7};
    int turn = 0;
    for (size_t high = 1; high <= gemm->mr; high++)
        for (size_t cols = 1; cols <= gemm->nr; cols++)
            for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
                for (int along = 0; along < 2; along++) {
                    const int flags = turn % GEMM_FLAGS;
                    snprintf(test_where, sizeof test_where,
                             "%s %s tiles of %zu rows, %zu cols, depth %zu, along %d, flags %d",
                             isa->name, f64 ? "f64" : "f32", high, cols, depths[d], along, flags);
                    /* two tiles, or one and a lower one */
                    check_tiles(high + (size_t)turn % high + 1, cols, depths[d], high, along, flags,
                                (placement)(turn / 3 % PLACEMENTS));
                    turn++;
                }
}

static void check_pack(size_t width, size_t wide, size_t depth, int layout, placement where) {
    /* layout 0: k counts columns; 1: k counts rows; 2: neither is next to each other. */
    const size_t step = layout == 2 ? 3 : 1;
    const operand src = layout == 1
                            ? make(0, where, depth, wide, (ptrdiff_t)wide + 3)
                            : make(0, where, wide, depth * step, (ptrdiff_t)(depth * step) + 1);
    operand_fill(&src, 1, 2);
    double *const before = operand_copy(&src);
    const size_t panels = (wide + width - 1) / width;
    const operand dst = make(1, ALIGNED, 1, panels * width * depth, 0);
    operand_set(&dst, NAN);
    gemm->pack(dst.data, src.data, layout == 1 ? 1 : src.stride,
               layout == 1 ? src.stride : (ptrdiff_t)step, wide, depth, width);
    bool ok = operand_intact(&dst) && operand_unchanged(&src, before);
    for (size_t i = 0; i < panels * width && ok; i++)
        for (size_t k = 0; k < depth; k++) {
            const double got = get_at(&dst, 0, (i / width * depth + k) * width + i % width);
            if (i < wide)
                ok &= got == (layout == 1 ? get_at(&src, k, i) : get_at(&src, i, k * step));
            else if (i % width < (wide % width + lanes - 1) / lanes * lanes)
                ok &= got == 0; /* it is read, as a part of a vector */
        }
    CHECK(ok);
    free(before);
}

static void test_pack(void) {
    const size_t widths[] = {gemm->mr, gemm->nr, (gemm->mr + 1) / 2};
    for (int w = 0; w < 3; w++)
        for (size_t wide = 0; wide <= 2 * widths[w] + 1; wide++)
            for (size_t depth = 0; depth <= 2 * lanes + 1; depth++)
                for (int layout = 0; layout < 3; layout++) {
                    snprintf(test_where, sizeof test_where, "%s %s pack %zu x %zu by %zu layout %d",
                             isa->name, f64 ? "f64" : "f32", wide, depth, widths[w], layout);
                    check_pack(widths[w], wide, depth, layout,
                               (placement)((wide + depth) % PLACEMENTS));
                }
}

static void check_thin(int kind, size_t rows, size_t cols, size_t depth, int flags,
                       placement where) {
    product p = {.rows = rows,
                 .cols = cols,
                 .depth = depth,
                 .a_by_k = kind == 2,
                 .b_by_k = kind != 0,
                 .flags = flags};
    const ptrdiff_t gap = where == AT_END ? 0 : 3;
    p.a = p.a_by_k ? make(0, where, depth, rows, (ptrdiff_t)rows + gap)
                   : make(0, where, rows, depth, (ptrdiff_t)depth + gap);
    p.b = p.b_by_k ? make(1, where, depth, cols, (ptrdiff_t)cols + gap)
                   : make(1, where, cols, depth, (ptrdiff_t)depth + gap);
    operand_fill(&p.a, -1, 1);
    operand_fill(&p.b, -1, 1);
    double *const before = product_prepare(&p, where, gap);
    pnng_gemm_thin *const thin[] = {gemm->nt, gemm->nn, gemm->tn};
    thin[kind](rows, cols, depth, p.a.data, p.a.stride, p.b.data, p.b.stride, p.c.data, p.c.stride,
               product_alpha(&p), flags & BIAS ? p.bias.data : NULL, flags & ADDS);
    product_check(&p, before);
}

static void test_thin(void) {
    const char *const names[] = {"nt", "nn", "tn"};
    const size_t rows[] = {0, 1, 2, 3, 4, 5, 8, 23};
    const size_t cols[] = {0, 1, 3, lanes - 1, lanes, 2 * lanes + 1, 4 * lanes, 9 * lanes + 3};
    const size_t depths[] = {0, 1, 2, lanes - 1, lanes, lanes + 1, 3 * lanes + 1};
    int turn = 0;
    for (int kind = 0; kind < 3; kind++)
        for (int r = 0; r < 8; r++)
            for (int c = 0; c < 8; c++)
                for (int d = 0; d < 7; d++)
                    for (int flags = 0; flags < GEMM_FLAGS; flags++) {
                        snprintf(test_where, sizeof test_where, "%s %s %s %zu x %zu x %zu flags %d",
                                 isa->name, f64 ? "f64" : "f32", names[kind], rows[r], cols[c],
                                 depths[d], flags);
                        check_thin(kind, rows[r], cols[c], depths[d], flags,
                                   (placement)(turn++ % PLACEMENTS));
                    }
}

/* So few columns that C' is made, and more of it than is turned at once. */
static void test_turned(void) {
    const size_t cols = lanes / 2 + 1, rows = 2 * (16384 / bytes / cols) + 5;
    snprintf(test_where, sizeof test_where, "%s %s tn turned", isa->name, f64 ? "f64" : "f32");
    for (int flags = 0; flags < GEMM_FLAGS; flags++)
        check_thin(2, rows, cols, 6, flags, (placement)(flags % PLACEMENTS));
}

/* Large enough that B counts as far away: sooner for one row. */
static void test_far(void) {
    snprintf(test_where, sizeof test_where, "%s %s nn far", isa->name, f64 ? "f64" : "f32");
    const size_t cols = 4096 / bytes + 37;
    const size_t one = (512 << 10) / bytes / cols + 21, more = (8 << 20) / bytes / cols + 21;
    for (int flags = 0; flags < GEMM_FLAGS; flags++)
        check_thin(1, 1, cols, one, flags, flags % 2 ? AT_END : AT_START);
    check_thin(1, 3, cols, more, ADDS, AT_END);
    check_thin(2, 2, cols, more, BIAS | ALPHA, AT_START);
    /* And C. */
    const size_t high = 15, wide = (8 << 20) / bytes / high + 7;
    check_thin(2, high, wide, 2, ADDS, AT_END);
}

/* However many rows and columns are asked for at once, an element of C is the same. */
static void check_same_bits(int kind) {
    const size_t rows = 7, cols = 3 * lanes + 2, depth = 2 * lanes + 3;
    const operand a = make(0, ALIGNED, 1, rows * depth, 0),
                  b = make(1, ALIGNED, 1, cols * depth, 0);
    const operand c = make(2, ALIGNED, rows, cols, (ptrdiff_t)cols),
                  one = make(3, ALIGNED, 1, 1, 1);
    operand_fill(&a, -1, 1);
    operand_fill(&b, -1, 1);
    pnng_gemm_thin *const thin[] = {gemm->nt, gemm->nn, gemm->tn};
    const ptrdiff_t lda = (ptrdiff_t)(kind == 2 ? rows : depth);
    const ptrdiff_t ldb = (ptrdiff_t)(kind == 0 ? depth : cols);
    thin[kind](rows, cols, depth, a.data, lda, b.data, ldb, c.data, c.stride, 1, NULL, 0);
    bool ok = true;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            thin[kind](1, 1, depth, operand_at(&a, 0, kind == 2 ? i : i * depth), lda,
                       operand_at(&b, 0, kind == 0 ? j * depth : j), ldb, one.data, 1, 1, NULL, 0);
            ok &= get_at(&one, 0, 0) == get_at(&c, i, j);
        }
    CHECK(ok);
}

/* ---- whole products ---- */

static const char *const form_names[] = {"nt", "nn", "tn", "tt"};

/* A product of a form, whose rows are `gap` elements apart from each other. */
typedef struct setting {
    pnng_gemm_form form;
    size_t rows, cols, depth;
    ptrdiff_t gap;
    int flags;
    placement where;
    bool packed; /* B was packed before */
} setting;

static pnng_product described(const setting *s, const product *p) {
    return (pnng_product){.form = s->form,
                          .sizes = {s->rows, s->cols, s->depth},
                          .element = bytes,
                          .lda = p->a.stride,
                          .ldb = p->b.stride,
                          .ldc = (ptrdiff_t)s->cols + s->gap,
                          .has_bias = s->flags & BIAS,
                          .b_is_packed = s->packed};
}

static void keep_b(const setting *s, product *p) {
    const pnng_product of = described(s, p);
    p->panels = make(5, ALIGNED, 1, pnng_gemm_packed_size(gemm, &of) / bytes, 0);
    operand_set(&p->panels, NAN);
    pnng_gemm_pack_b(gemm, &of, p->b.data, p->panels.data);
    CHECK(operand_intact(&p->panels));
}

static product draw_product(const setting *s) {
    const bool ta = s->form == PNNG_GEMM_TN || s->form == PNNG_GEMM_TT;
    const bool tb = s->form == PNNG_GEMM_NT || s->form == PNNG_GEMM_TT;
    product p = {.rows = s->rows,
                 .cols = s->cols,
                 .depth = s->depth,
                 .a_by_k = ta,
                 .b_by_k = !tb,
                 .flags = s->flags};
    const size_t a_rows = ta ? s->depth : s->rows, a_cols = ta ? s->rows : s->depth;
    const size_t b_rows = tb ? s->cols : s->depth, b_cols = tb ? s->depth : s->cols;
    p.a = make(0, s->where, a_rows, a_cols, (ptrdiff_t)a_cols + s->gap);
    p.b = make(1, s->where, b_rows, b_cols, (ptrdiff_t)b_cols + s->gap);
    operand_fill(&p.a, -1, 1);
    operand_fill(&p.b, -1, 1);
    if (s->packed)
        keep_b(s, &p);
    return p;
}

/* How it is made by so many threads, which are set. */
static pnng_method choose(const setting *s, const product *p, size_t threads) {
    pnng_set_threads((int64_t)threads);
    const pnng_product of = described(s, p);
    return pnng_gemm_choose(gemm, &of);
}

static unsigned ways_seen;
static bool finish_pieces; /* some product was finished a few rows at a time */

/* The work space ends at a page that nobody may touch, like the operands. */
static void run_finished(const pnng_method *m, const product *p, const pnng_finish *finish) {
    const operand work = make(4, ALIGNED, 1, (pnng_gemm_work_size(m) + bytes - 1) / bytes, 0);
    operand_set(&work, NAN);
    const void *const b = m->product.b_is_packed ? p->panels.data : p->b.data;
    pnng_gemm(gemm, m, p->a.data, b, p->c.data, product_alpha(p),
              p->flags & BIAS ? p->bias.data : NULL, p->flags & ADDS, work.data, finish);
    CHECK(operand_intact(&work));
}

static void run_product(const pnng_method *m, const product *p) { run_finished(m, p, NULL); }

static void put_back(const operand *o, const double *values) {
    for (size_t i = 0; i < o->rows; i++)
        for (size_t j = 0; j < o->cols; j++)
            set_at(o, i, j, values[i * o->cols + j]);
}

/* A product and its finish at once give what they give one after the other: in C's place, or added
 * to what is elsewhere, from C and from another operand. */
static void check_finish(const setting *s, const product *p, const double *first,
                         const double *alone) {
    const operand kept = make(6, s->where, p->rows, p->cols, (ptrdiff_t)p->cols + 2),
                  out = make(7, s->where, p->rows, p->cols, (ptrdiff_t)p->cols + 1);
    operand_fill(&kept, -1, 1);
    operand_fill(&out, -1, 1);
    double *const before = operand_copy(&out);
    const pnng_op_kernels *const sigmoid = &kernels->op[PNNG_OP_SIGMOID];
    void *const inside[] = {p->c.data, p->c.data}, *const outside[] = {out.data, p->c.data,
                                                                       kept.data};
    const ptrdiff_t inner[] = {p->c.stride, p->c.stride},
                    outer[] = {out.stride, p->c.stride, kept.stride};
    const uint8_t adds = 1;
    const pnng_finish finishes[] = {{sigmoid->forward, 2, inside, inner, 0, 0, NULL, 0},
                                    {sigmoid->backward, 3, outside, outer, 0, 0, &adds, 0}};
    for (int k = 0; k < 2; k++) {
        const pnng_finish *const f = &finishes[k];
        const operand *const result = k ? &out : &p->c;
        put_back(&p->c, alone);
        f->kernel(&(pnng_call){.ptr = f->ptr,
                               .stride = f->stride,
                               .rows = p->rows,
                               .cols = p->cols,
                               .accumulate = f->accumulate});
        double *const wanted = operand_copy(result);
        for (size_t threads = 1; threads <= 4; threads++) {
            put_back(&p->c, first);
            put_back(&out, before);
            pnng_threads_always = threads > 1;
            pnng_method m = choose(s, p, threads);
            pnng_gemm_add_finish(gemm, &m, 100);
            finish_pieces |= m.rows < m.product.sizes.rows;
            run_finished(&m, p, f);
            CHECK(operand_unchanged(result, wanted));
            CHECK(operand_intact(&p->c) && operand_intact(&kept) && operand_intact(&out));
        }
        free(wanted);
    }
    pnng_threads_always = false;
    free(before);
}

static void check_product(const setting *s) {
    snprintf(test_where, sizeof test_where, "%s %s %s%s %zu x %zu x %zu gap %td flags %d",
             isa->name, f64 ? "f64" : "f32", form_names[s->form], s->packed ? " kept" : "", s->rows,
             s->cols, s->depth, s->gap, s->flags);
    product p = draw_product(s);
    const pnng_method m = choose(s, &p, 1);
    ways_seen |= 1u << m.way | (m.pack_a ? 16u : 0) | (m.pack_b ? 32u : 0) | (m.swapped ? 64u : 0);
    double *const before = product_prepare(&p, s->where, s->gap);
    double *const first = operand_copy(&p.c);
    run_product(&m, &p);
    double *const alone = operand_copy(&p.c);
    product_check(&p, before);

    /* Several threads: the same bits. */
    pnng_threads_always = true;
    for (size_t threads = 2; threads <= 4; threads++) {
        put_back(&p.c, first);
        const pnng_method split = choose(s, &p, threads);
        ways_seen |= split.parts > 1 ? 128u : 0;
        run_product(&split, &p);
        CHECK(operand_unchanged(&p.c, alone));
    }
    pnng_threads_always = false;
    check_finish(s, &p, first, alone);
    free(first);
    free(alone);
}

static void test_products(void) {
    const size_t few = lanes / 2 + 1, tile = gemm->mr, panel = gemm->nr;
    const size_t sizes[][3] = {
        {1, 1, 1},
        {3, 5, 2},
        {1, 4 * panel + 3, 9 * lanes},
        {2, 3, 300},
        {8, 8, 8},
        {tile + 1, panel + 1, 33},
        {2 * tile + 3, 3 * panel + lanes + 1, 40},
        {5 * tile, 2 * panel, 3 * lanes},
        {70, few, 130},
        {260, 1, 129},
        {37, 3 * panel, 5},
        {3 * tile + 1, 4 * panel - 1, 2 * 256 + 3},
        {40, 150, 0},
        {200, 200, 3},
        {25, 5 * lanes, 1},
    };
    const size_t count = sizeof sizes / sizeof sizes[0];
    int turn = 0;
    ways_seen = 0;
    finish_pieces = false;
    for (size_t k = 0; k < count; k++)
        for (int form = 0; form < 4; form++)
            for (int gap = 0; gap < 2; gap++) {
                const setting s = {.form = (pnng_gemm_form)form,
                                   .rows = sizes[k][0],
                                   .cols = sizes[k][1],
                                   .depth = sizes[k][2],
                                   .gap = gap * 3,
                                   .flags = turn % GEMM_FLAGS,
                                   .where = (placement)(turn / 3 % PLACEMENTS)};
                check_product(&s);
                turn++;
            }
    for (size_t k = 0; k < count; k++)
        for (int flags = 0; flags < GEMM_FLAGS; flags++) {
            const setting s = {.form = PNNG_GEMM_NT,
                               .rows = sizes[k][0],
                               .cols = sizes[k][1],
                               .depth = sizes[k][2],
                               .gap = flags % 3,
                               .flags = flags,
                               .where = (placement)(flags % PLACEMENTS),
                               .packed = true};
            check_product(&s);
        }
    /* Rows that clash, and operands so large that they are packed. */
    const size_t clash = 4096 / bytes;
    const setting large[] = {
        {PNNG_GEMM_NT, 60, 3 * panel, 96, (ptrdiff_t)clash - 96, ADDS, AT_START, false},
        {PNNG_GEMM_NN, 60, 3 * panel, 96, (ptrdiff_t)(clash - 96), BIAS, AT_START, false},
        {PNNG_GEMM_NN, 60, panel, 70, (ptrdiff_t)(clash - 70), 0, AT_START, false},
        {PNNG_GEMM_NN, 2 * tile + 1, 70, (1 << 20) / bytes / 69, 0, ADDS, AT_END, false},
        {PNNG_GEMM_TN, 2 * tile + 1, 70, (1 << 20) / bytes / 69, 0, ALPHA, AT_END, false},
        {PNNG_GEMM_TN, 513, 540, 9, 0, ADDS, AT_END, false},
        {PNNG_GEMM_TN, 300, 1, 500, 0, ADDS, AT_END, false},
        {PNNG_GEMM_TN, 1, 300, 500, 0, BIAS, AT_END, false},
        {PNNG_GEMM_NT, 4000, 35, 2 * lanes, 1, BIAS, AT_END, false},
        {PNNG_GEMM_NN, 900, 150, 3, 0, ADDS, AT_END, false},
    };
    for (size_t k = 0; k < sizeof large / sizeof large[0]; k++)
        check_product(&large[k]);
    snprintf(test_where, sizeof test_where, "%s %s", isa->name, f64 ? "f64" : "f32");
    /* Every way of making a product was gone; vectors of one element need no turning. */
    CHECK((ways_seen & 15) == (lanes > 1 ? 15 : 11));
    CHECK((ways_seen & 240) == 240);
    CHECK(finish_pieces);
}

/* What is kept of B serves any number of rows, and gives the bits of tiles that pack for
 * themselves. */
static void test_kept(void) {
    const size_t depth = 2 * 256 + 3, cols = 5 * gemm->nr - 1, most = 2 * gemm->mr + 1;
    setting s = {.form = PNNG_GEMM_NT, .cols = cols, .depth = depth, .rows = most, .packed = true};
    product p = draw_product(&s);
    for (; s.rows > 0; s.rows--) {
        snprintf(test_where, sizeof test_where, "%s %s %zu rows of kept B", isa->name,
                 f64 ? "f64" : "f32", s.rows);
        s.packed = true;
        p.rows = s.rows;
        p.c = make(2, ALIGNED, s.rows, cols, (ptrdiff_t)cols);
        const pnng_method kept = choose(&s, &p, 1);
        CHECK(kept.way == PNNG_GEMM_TILES && !kept.pack_b);
        run_product(&kept, &p);
        double *const before = operand_copy(&p.c);
        s.packed = false;
        const pnng_method packs = choose(&s, &p, 1);
        if (packs.way == PNNG_GEMM_TILES) {
            run_product(&packs, &p);
            CHECK(operand_unchanged(&p.c, before));
        }
        free(before);
    }
    const pnng_product wide = {
        .form = PNNG_GEMM_NT, .sizes = {8, 64, SIZE_MAX / 512}, .element = 8};
    CHECK(!pnng_gemm_keeping_pays(gemm, &wide)); /* more than can be addressed */
}

/* 0 times NaN and 0 times infinity are NaN, wherever they are. */
static void test_not_finite(void) {
    const size_t sizes[][3] = {{1, 40, 64}, {3, 40, 64}, {40, 40, 64}, {40, 3, 300}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (int form = 0; form < 4; form++)
            for (int special = 0; special < 2; special++) {
                snprintf(test_where, sizeof test_where, "%s %s %s NaN and infinity, case %zu",
                         isa->name, f64 ? "f64" : "f32", form_names[form], k);
                const setting s = {.form = (pnng_gemm_form)form,
                                   .rows = sizes[k][0],
                                   .cols = sizes[k][1],
                                   .depth = sizes[k][2],
                                   .where = AT_END};
                product p = draw_product(&s);
                const pnng_method m = choose(&s, &p, 1);
                free(product_prepare(&p, s.where, 0));
                operand_set(&p.a, 0);
                const size_t at = p.depth / 2, col = p.cols - 1;
                const double value = special ? INFINITY : NAN;
                set_at(&p.b, p.b_by_k ? at : col, p.b_by_k ? col : at, value);
                run_product(&m, &p);
                bool ok = true;
                for (size_t i = 0; i < p.rows; i++)
                    for (size_t j = 0; j < p.cols; j++)
                        ok &= j == col ? isnan(get_at(&p.c, i, j)) : get_at(&p.c, i, j) == 0;
                CHECK(ok);
            }
}

static void test_all(void) {
    test_tiles();
    test_pack();
    test_thin();
    test_turned();
    test_far();
    for (int kind = 0; kind < 3; kind++) {
        snprintf(test_where, sizeof test_where, "%s %s thin kind %d alone and together", isa->name,
                 f64 ? "f64" : "f32", kind);
        check_same_bits(kind);
    }
    test_products();
    test_kept();
    test_not_finite();
}

int main(void) {
    int ran = 0;
    for (int n = 0; n < KERNEL_CASES; n++)
        if (turn_to_kernels(n)) {
            gemm = &kernels->gemm;
            test_all();
            ran++;
        }
    snprintf(test_where, sizeof test_where, "instruction sets");
    CHECK(ran > 0);
    return test_result();
}
