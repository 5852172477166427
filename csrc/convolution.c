/* Convolutions as products of matrices, and plane by plane.
 *
 * y of x is the product of the weight (outs x ins * taps) with the lines of x (ins * taps x places
 * of windows). The lines are never all there: a box of places is made after the other, of each a
 * few planes of x, and of these one panel of the lines at a time, right where the product wants it:
 *
 *     for each box of places                    what it sees of x stays near
 *       for each block of planes                  copied with its padding
 *         for each panel of places                  lines in L1, in the form that tiles read
 *           for all rows of the weight                in registers
 *
 * Where windows are next to each other, x of y is a convolution too, of y with the weight turned.
 * Else it is a product with the weight turned: of a block of planes of x, the lines of a box are
 * made at once and added to their windows. The weight's gradient is the product of lines, a few at
 * a time, with y, turned, of all samples in turn; of few places, that of y with lines, turned.
 * Where a window has one element, lines are rows of x as they lie.
 *
 * With one plane of x for few of y there is nothing that a product could share: windows are summed
 * up where they are. What was measured: docs/design/convolution.md. */
#include "convolution.h"

#include <string.h>

#include "cpu.h"
#include "threads.h"

static size_t min_size(size_t x, size_t y) { return x < y ? x : y; }
static size_t max_size(size_t x, size_t y) { return x > y ? x : y; }
static size_t ceil_div(size_t x, size_t y) { return (x + y - 1) / y; }
static size_t round_up(size_t x, size_t multiple) { return ceil_div(x, multiple) * multiple; }
static size_t product_of(const size_t sizes[PNNG_SPACE]) { return sizes[0] * sizes[1] * sizes[2]; }

/* The size of the parts when n is cut into as few as possible of at most `most`, nearly equal. */
static size_t even_part(size_t n, size_t most) {
    return n ? ceil_div(n, ceil_div(n, max_size(most, 1))) : 1;
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* Windows of one element, next to each other: space is one row. */
static bool lies_as_lines(const pnng_convolution *c) {
    for (size_t d = 0; d < PNNG_SPACE; d++)
        if (c->kernel[d] != 1 || c->stride[d] != 1 || c->padding[d] != 0 || c->x[d] != c->y[d])
            return false;
    return true;
}

static void flatten(pnng_convolution *c) {
    const size_t places = product_of(c->y);
    for (size_t d = 0; d < PNNG_SPACE; d++)
        c->x[d] = c->y[d] = d == PNNG_SPACE - 1 ? places : 1;
}

/* A box is a stretch of places: parts of one row, or rows of one plane, or planes. */
static void choose_box(pnng_convolution_method *m, size_t most) {
    const size_t *const y = m->c.y;
    m->box[2] = even_part(y[2], most);
    m->box[1] = m->box[2] == y[2] ? even_part(y[1], most / y[2]) : 1;
    m->box[0] = m->box[1] == y[1] ? even_part(y[0], most / (y[1] * y[2])) : 1;
    for (size_t d = 0; d < PNNG_SPACE; d++)
        m->boxes[d] = ceil_div(y[d], m->box[d]);
}

/* Of a dim, how far a kernel reaches beyond its first element. */
static size_t reach(const pnng_convolution *c, size_t d) {
    return (c->kernel[d] - 1) * c->dilation[d];
}

/* What is copied: what the windows of a box see; of x that is made, all of it. */
static void choose_copy(pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    const bool all = c->kind == PNNG_CONVOLVE_X;
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        m->seen[d] = ((all ? c->y[d] : m->box[d]) - 1) * c->stride[d] + reach(c, d) + 1;
        if (all)
            m->seen[d] = max_size(m->seen[d], c->x[d] + (size_t)c->padding[d]);
    }
    m->phases = min_size(c->stride[2], all ? m->seen[2] : reach(c, 2) + 1);
    m->pitch = ceil_div(m->seen[2], c->stride[2]);
}

static size_t copy_elements(const pnng_convolution_method *m) {
    return m->seen[0] * m->seen[1] * m->phases * m->pitch;
}

/* The sizes of blocks do not depend on the machine where results depend on them. */
enum {
    LINES = 512, /* weight: of x and of y that are multiplied at once */
    OUTS = 128,
    PLACES = 256,        /* of which sums are made before they are added up */
    PLANE_PLACES = 4096, /* plane by plane: what is copied of them stays in L1 */
    TOGETHER = 512,      /* of samples that are made together */
    MOST_PLACES = 1024,  /* of y that is made at once */
    NEAR = 512 << 10,    /* bytes that stay near while more is done */
    FEW = 4              /* planes for which a product has too little to do */
};

/* Rows so far apart fall on the same few places of the L1 cache. */
static bool rows_clash(size_t bytes) { return bytes >= 4096 && bytes % 1024 == 0; }

/* So many lines that there is something to do for all threads. */
static size_t lines_at_once(size_t all, size_t unit, const pnng_convolution_method *m) {
    const size_t threads = pnng_threads_may_help(m->nanoseconds) ? pnng_threads_limit() : 1;
    const size_t blocks = m->c.groups * ceil_div(m->c.outs, m->rows);
    const size_t parts = ceil_div(threads, blocks);
    return min_size(LINES, round_up(ceil_div(all, parts), unit));
}

/* Of small planes that do not fill vectors, those of several samples are one row of the product; of
 * a weight that does not stay near, too. Not for how many threads: sums are rounded alike. */
static bool gathers_samples(const pnng_gemm_table *gemm, const pnng_convolution_method *m) {
    const size_t places = product_of(m->c.y);
    const bool is_far = m->c.outs * m->c.ins * m->taps * m->c.element > 2 * NEAR;
    return m->c.batch > 1 && product_of(m->boxes) == 1 &&
           (is_far || 10 * round_up(places, gemm->lanes) >= 11 * places);
}

static size_t samples_together(const pnng_convolution_method *m) {
    const size_t places = product_of(m->c.y);
    const size_t threads = pnng_threads_may_help(m->nanoseconds) ? pnng_threads_limit() : 1;
    const size_t most = min_size(max_size(TOGETHER / places, 1), ceil_div(m->c.batch, threads));
    return even_part(m->c.batch, most);
}

static void choose_tiles(const pnng_gemm_table *gemm, pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    const size_t e = c->element, depth = gemm->kc;
    const size_t all = c->ins * m->taps, places = product_of(c->y);
    m->channels = even_part(c->ins, max_size(depth / m->taps, 1));
    switch (c->kind) {
    case PNNG_CONVOLVE_Y:
        choose_box(m, min_size(max_size(NEAR / (c->outs * e), 4 * gemm->nr), MOST_PLACES));
        choose_copy(m);
        m->pack_weight = c->mirrored || rows_clash(all * e);
        m->gathers = gathers_samples(gemm, m);
        m->together = m->gathers ? samples_together(m) : 1;
        m->as_it_lies = m->as_it_lies && !m->gathers;
        m->sums_bytes = m->gathers ? m->together * places * c->outs * e : 0;
        m->panel_bytes =
            m->channels * m->taps * e * (gemm->nr + (m->pack_weight ? c->outs + gemm->mr : 0)) +
            m->sums_bytes;
        m->units = ceil_div(c->batch, m->together) * c->groups * product_of(m->boxes);
        break;
    case PNNG_CONVOLVE_X:
        choose_box(m, PLACES);
        choose_copy(m);
        m->channels = min_size(m->channels, max_size(NEAR / (copy_elements(m) * e), 1));
        m->channels = even_part(c->ins, m->channels);
        /* a panel of y, and the lines of the box with whole vectors */
        m->panel_bytes = c->outs * gemm->nr * e +
                         m->channels * m->taps * round_up(product_of(m->box), gemm->nr) * e;
        m->units = c->batch * c->groups * ceil_div(c->ins, m->channels);
        break;
    case PNNG_CONVOLVE_WEIGHT:
        choose_box(m, PLACES);
        choose_copy(m);
        m->rows = round_up(even_part(c->outs, OUTS), gemm->nr);
        m->lines = even_part(all, lines_at_once(all, gemm->mr, m));
        m->channels = min_size(c->ins, (m->lines + m->taps - 2) / m->taps + 1);
        m->turns_lines = c->batch * places < 3 * c->outs;
        m->panel_bytes = m->turns_lines ? gemm->nr * (2 * product_of(m->box) + gemm->nr) * e
                                        : (m->rows * (product_of(m->box) + m->lines) +
                                           gemm->mr * (product_of(m->box) + gemm->nr)) *
                                              e;
        m->units = c->groups * ceil_div(c->outs, m->rows) * ceil_div(all, m->lines);
        break;
    }
}

/* What of y is seen from the places of x that are a stride apart: y, with as many zeros before as a
 * kernel reaches. */
static pnng_plane_copy copy_of_y(const pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    pnng_plane_copy p = {.stride = {1, 1, 1}, .touched = {1, 1}, .phases = 1};
    size_t rows[PNNG_SPACE];
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        const size_t before = reach(c, d) / c->stride[d];
        p.size[d] = c->y[d];
        p.first[d] = -(ptrdiff_t)before;
        rows[d] = before + ceil_div(m->seen[d], c->stride[d]);
    }
    p.rows[0] = rows[0];
    p.rows[1] = p.height = rows[1];
    p.pitch = rows[2];
    return p;
}

static void choose_planes(pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    m->channels = 1;
    choose_box(m, PLANE_PLACES);
    choose_copy(m);
    if (c->kind == PNNG_CONVOLVE_X) { /* a copy of y and the weights of a phase */
        const pnng_plane_copy p = copy_of_y(m);
        m->panel_bytes =
            round_up(p.rows[0] * p.rows[1] * p.pitch * c->element, 64) + 64 + m->taps * c->element;
    }
    m->units = c->groups * (c->kind == PNNG_CONVOLVE_WEIGHT ? 1 : c->batch);
}

/* Where there are few units, rows of the product are cut too, each part with lines of its own. */
static void choose_parts(const pnng_gemm_table *gemm, pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    m->slices = m->parts = 1;
    if (!pnng_threads_may_help(m->nanoseconds))
        return;
    const size_t threads = pnng_threads_limit();
    if (m->way == PNNG_CONVOLVE_TILES && c->kind == PNNG_CONVOLVE_Y && m->units < threads)
        m->slices = max_size(
            1, min_size(ceil_div(threads, max_size(m->units, 1)), c->outs / (2 * gemm->mr)));
    m->parts = max_size(1, min_size(threads, m->units * m->slices));
}

/* Where windows are next to each other, what they add up to in x is seen by windows of y, through
 * the kernel from its end to its beginning: sums that are written once. If x is much larger than y,
 * most of what such windows see is padding. */
static bool turn(pnng_convolution *c, bool is_plane) {
    for (size_t d = 0; d < PNNG_SPACE; d++)
        if (c->stride[d] != 1)
            return false;
    if (!is_plane && 4 * product_of(c->x) > 5 * product_of(c->y))
        return false;
    const pnng_convolution of_x = *c;
    c->kind = PNNG_CONVOLVE_Y;
    c->mirrored = true;
    c->ins = of_x.outs;
    c->outs = of_x.ins;
    c->x_sample = of_x.y_sample;
    c->y_sample = of_x.x_sample;
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        c->x[d] = of_x.y[d];
        c->y[d] = of_x.x[d];
        c->padding[d] = (ptrdiff_t)reach(&of_x, d) - of_x.padding[d];
    }
    return true;
}

uint64_t pnng_convolution_multiply_adds(const pnng_convolution *c) {
    return (uint64_t)c->batch * c->groups * c->outs * c->ins * product_of(c->kernel) *
           product_of(c->y);
}

size_t pnng_convolution_dense_size(const pnng_convolution *c) {
    const bool makes_y = c->kind == PNNG_CONVOLVE_Y;
    const size_t sample =
        makes_y ? c->groups * c->outs * product_of(c->y) : c->groups * c->ins * product_of(c->x);
    const ptrdiff_t apart = makes_y ? c->y_sample : c->x_sample;
    return c->batch == 1 || apart == (ptrdiff_t)sample ? c->batch * sample : 0;
}

pnng_convolution_method pnng_convolution_choose(const pnng_kernels *kernels,
                                                const pnng_convolution *convolution) {
    pnng_convolution_method m = {.asked = *convolution,
                                 .c = *convolution,
                                 .taps = product_of(convolution->kernel),
                                 .together = 1};
    const bool is_plane = m.c.ins == 1 && m.c.outs <= FEW;
    m.as_it_lies = lies_as_lines(&m.c) && !is_plane;
    m.turned = m.c.kind == PNNG_CONVOLVE_X && turn(&m.c, is_plane);
    if (m.as_it_lies)
        flatten(&m.c);
    m.nanoseconds = pnng_convolution_multiply_adds(convolution) / kernels->gemm.lanes / 3;
    m.way = is_plane ? PNNG_CONVOLVE_PLANES : PNNG_CONVOLVE_TILES;
    if (is_plane)
        choose_planes(&m);
    else
        choose_tiles(&kernels->gemm, &m);
    /* Whole vectors are read at the end of the copies. */
    if (!m.as_it_lies)
        m.copy_bytes = round_up(m.together * m.channels * copy_elements(&m) * m.c.element, 64) + 64;
    m.tap_bytes = round_up(m.taps * sizeof(ptrdiff_t), 64);
    m.part_work = m.tap_bytes + m.copy_bytes + round_up(m.panel_bytes, 64) + 64;
    choose_parts(&kernels->gemm, &m);
    return m;
}

size_t pnng_convolution_work_size(const pnng_convolution_method *method) {
    return method->parts * method->part_work;
}

/* ---- what all loops share -------------------------------------------------------------------- */

/* What is made: all of a convolution, by one part after the other. */
typedef struct job {
    const pnng_kernels *kernels;
    const pnng_convolution_method *method;
    char *x, *y, *weight;
    const char *bias;
    double alpha;
    bool accumulate;
    char *work;
    const pnng_finish *finish; /* or NULL */
} job;

/* The work space of one part. */
typedef struct space {
    ptrdiff_t *tap;
    char *copy, *panel;
    pnng_plane_windows windows;
} space;

typedef struct box {
    size_t origin[PNNG_SPACE], size[PNNG_SPACE];
    size_t first, places; /* in a plane of y */
} box;

static box box_number(const pnng_convolution_method *m, size_t k) {
    const size_t *const y = m->c.y;
    box b;
    for (size_t d = PNNG_SPACE; d-- > 0; k /= m->boxes[d]) {
        b.origin[d] = k % m->boxes[d] * m->box[d];
        b.size[d] = min_size(m->box[d], y[d] - b.origin[d]);
    }
    b.first = (b.origin[0] * y[1] + b.origin[1]) * y[2] + b.origin[2];
    b.places = product_of(b.size);
    return b;
}

static void find_taps(const pnng_convolution_method *m, space *s) {
    const pnng_convolution *const c = &m->c;
    const size_t row = m->phases * m->pitch;
    ptrdiff_t *tap = s->tap;
    for (size_t d = 0; d < c->kernel[0]; d++)
        for (size_t h = 0; h < c->kernel[1]; h++)
            for (size_t w = 0; w < c->kernel[2]; w++) {
                const size_t k[] = {c->mirrored ? c->kernel[0] - 1 - d : d,
                                    c->mirrored ? c->kernel[1] - 1 - h : h,
                                    c->mirrored ? c->kernel[2] - 1 - w : w};
                const size_t col = k[2] * c->dilation[2];
                *tap++ =
                    (ptrdiff_t)((k[0] * c->dilation[0] * m->seen[1] + k[1] * c->dilation[1]) * row +
                                col % c->stride[2] * m->pitch + col / c->stride[2]);
            }
}

static space open_space(const job *j, size_t part) {
    const pnng_convolution_method *const m = j->method;
    char *const work = j->work + part * m->part_work;
    space s = {.tap = (ptrdiff_t *)(void *)work, .copy = work + m->tap_bytes};
    s.panel = s.copy + m->copy_bytes;
    const ptrdiff_t row = (ptrdiff_t)(m->phases * m->pitch);
    s.windows = (pnng_plane_windows){
        .width = m->box[2],
        .height = m->box[1],
        .row = (ptrdiff_t)m->c.stride[1] * row,
        .plane = (ptrdiff_t)(m->c.stride[0] * m->seen[1]) * row,
        .channel = (ptrdiff_t)copy_elements(m),
        .taps = m->taps,
        .tap = s.tap,
    };
    if (!m->as_it_lies)
        find_taps(m, &s);
    return s;
}

/* The windows of a box. */
static pnng_plane_windows windows_of(const space *s, const box *b) {
    pnng_plane_windows w = s->windows;
    w.width = b->size[2];
    w.height = b->size[1];
    return w;
}

static pnng_plane_copy plane_copy(const pnng_convolution_method *m) {
    const pnng_convolution *const c = &m->c;
    pnng_plane_copy p = {.height = m->seen[1], .phases = m->phases, .pitch = m->pitch};
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        p.size[d] = c->x[d];
        p.stride[d] = c->stride[d];
        p.first[d] = -c->padding[d];
    }
    return p;
}

/* The copy of plane k of those that are worked on. */
static char *copy_of(const job *j, const space *s, size_t k) {
    return s->copy + k * copy_elements(j->method) * j->method->c.element;
}

/* Copy what a box sees of `count` planes of x. */
static void copy_planes(const job *j, const box *b, const char *x, size_t count, char *copy) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    pnng_plane_copy p = plane_copy(m);
    for (size_t d = 0; d < PNNG_SPACE; d++)
        p.first[d] += (ptrdiff_t)(b->origin[d] * c->stride[d]);
    for (size_t d = 0; d < 2; d++) {
        p.rows[d] = (b->size[d] - 1) * c->stride[d] + reach(c, d) + 1;
        p.touched[d] = min_size(c->stride[d], reach(c, d) + 1);
    }
    for (size_t k = 0; k < count; k++)
        j->kernels->convolution.copy(&p, x + k * product_of(c->x) * c->element,
                                     copy + k * copy_elements(m) * c->element);
}

/* Of x that is made: where the first window of a box begins in the copy, and all of it to x. */
static size_t place_of(const space *s, const box *b) {
    return b->origin[0] * (size_t)s->windows.plane + b->origin[1] * (size_t)s->windows.row +
           b->origin[2];
}

static void uncopy_planes(const job *j, const space *s, char *x, size_t count) {
    const pnng_convolution_method *const m = j->method;
    const size_t e = m->c.element;
    const pnng_plane_copy p = plane_copy(m);
    for (size_t k = 0; k < count; k++)
        j->kernels->convolution.uncopy(&p, copy_of(j, s, k), x + k * product_of(m->c.x) * e,
                                       j->accumulate);
}

/* Finish `cols` places from `made` on, in `rows` planes of so many places. */
static void finish(const job *j, const char *made, size_t rows, size_t cols, size_t places) {
    const pnng_finish *const f = j->finish;
    if (!f)
        return;
    const ptrdiff_t at = made - (j->method->c.kind == PNNG_CONVOLVE_Y ? j->y : j->x);
    const ptrdiff_t row = (ptrdiff_t)places, stride[PNNG_FINISH_OPERANDS] = {row, row, row};
    void *ptr[PNNG_FINISH_OPERANDS];
    for (size_t k = 0; k < f->n_operands; k++)
        ptr[k] = (char *)f->ptr[k] + at;
    const pnng_call call = {.ptr = ptr,
                            .stride = stride,
                            .rows = rows,
                            .cols = cols,
                            .n = f->n,
                            .a = f->a,
                            .b = f->b,
                            .accumulate = f->accumulate};
    f->kernel(&call);
}

/* Plane k of a group of a sample. */
static char *plane_of_x(const job *j, size_t sample, size_t group, size_t k) {
    const pnng_convolution *const c = &j->method->c;
    const ptrdiff_t planes = (ptrdiff_t)((group * c->ins + k) * product_of(c->x));
    return j->x + ((ptrdiff_t)sample * c->x_sample + planes) * (ptrdiff_t)c->element;
}

static char *plane_of_y(const job *j, size_t sample, size_t group, size_t k) {
    const pnng_convolution *const c = &j->method->c;
    const ptrdiff_t planes = (ptrdiff_t)((group * c->outs + k) * product_of(c->y));
    return j->y + ((ptrdiff_t)sample * c->y_sample + planes) * (ptrdiff_t)c->element;
}

static const char *bias_of(const job *j, size_t plane) {
    return j->bias ? j->bias + plane * j->method->c.element : NULL;
}

/* The weight for plane k of a group of y, from a plane of x on. */
static char *weight_of(const job *j, size_t group, size_t k, size_t channel) {
    const pnng_convolution *const c = &j->method->c;
    const size_t pair = c->mirrored ? (group * c->ins + channel) * c->outs + k
                                    : (group * c->outs + k) * c->ins + channel;
    return j->weight + pair * j->method->taps * c->element;
}

/* ---- products -------------------------------------------------------------------------------- */

/* Rows of one slice. */
typedef struct slice {
    size_t first, rows;
} slice;

static slice slice_number(const job *j, size_t k) {
    const size_t n = j->method->c.outs, unit = j->kernels->gemm.mr;
    const size_t size = round_up(ceil_div(n, j->method->slices), unit);
    const size_t first = min_size(k * size, n);
    return (slice){first, min_size(size, n - first)};
}

/* What of a panel's tiles does not depend on the panel: A, whose rows are `row` apart. */
static pnng_gemm_tiles tiles_of(const job *j, size_t rows, size_t depth, const void *a,
                                ptrdiff_t row, ptrdiff_t col) {
    const size_t high = even_part(rows, j->kernels->gemm.mr);
    return (pnng_gemm_tiles){.rows = rows,
                             .depth = depth,
                             .high = high,
                             .a = a,
                             .a_row = row,
                             .a_col = col,
                             .a_tile = (ptrdiff_t)high * row,
                             .ldb = (ptrdiff_t)j->kernels->gemm.nr,
                             .alpha = 1};
}

/* The weight for rows of y and a block of planes of x, in panels of rows. */
static void pack_weight(const job *j, size_t group, size_t channel, size_t channels, slice rows,
                        size_t high, char *packed) {
    const pnng_convolution *const c = &j->method->c;
    const size_t taps = j->method->taps;
    pnng_gemm_pack *const pack = j->kernels->gemm.pack;
    if (!c->mirrored || taps == 1) {
        pack(packed, weight_of(j, group, rows.first, channel),
             (ptrdiff_t)(c->mirrored ? 1 : c->ins * taps), c->mirrored ? (ptrdiff_t)c->outs : 1,
             rows.rows, channels * taps, high);
        return;
    }
    /* All rows of a plane of x are next to each other, and come from far memory as one. */
    const size_t panel = channels * taps * high * c->element;
    for (size_t i = 0; i < channels; i++)
        for (size_t k = 0; k < rows.rows; k += high)
            pack(packed + k / high * panel + i * taps * high * c->element,
                 weight_of(j, group, rows.first + k, channel + i), (ptrdiff_t)taps, 1,
                 min_size(rows.rows - k, high), taps, high);
}

/* Samples that a box is made of at once, and where: rows of `to`, `ld` apart, in which one sample's
 * places follow another's. */
typedef struct output {
    size_t sample, samples, group;
    slice rows;
    char *to;
    ptrdiff_t ld;
} output;

/* A panel of lines, from place `at` of all samples on. */
static void make_panel(const job *j, const space *s, const box *b, const output *o, size_t channel,
                       size_t channels, size_t at, size_t cols) {
    const pnng_convolution_method *const m = j->method;
    const size_t e = m->c.element, nr = j->kernels->gemm.nr;
    if (m->as_it_lies) {
        j->kernels->gemm.pack(s->panel,
                              plane_of_x(j, o->sample, o->group, channel) + (b->first + at) * e, 1,
                              (ptrdiff_t)product_of(m->c.x), cols, channels, nr);
        return;
    }
    const pnng_plane_windows windows = windows_of(s, b);
    for (size_t done = 0, n; done < cols; done += n) {
        const size_t sample = (at + done) / b->places, place = (at + done) % b->places;
        n = min_size(b->places - place, cols - done);
        j->kernels->convolution.lines(&windows, copy_of(j, s, sample * m->channels), 0,
                                      channels * m->taps, place, n, s->panel + done * e,
                                      (ptrdiff_t)nr);
    }
}

/* A box of y, from a block of planes of x on. */
static void y_of_planes(const job *j, const space *s, const box *b, const output *o, size_t channel,
                        bool accumulate) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t nr = j->kernels->gemm.nr, places = o->samples * b->places;
    const size_t channels = min_size(m->channels, c->ins - channel);
    for (size_t k = 0; k < o->samples && !m->as_it_lies; k++)
        copy_planes(j, b, plane_of_x(j, o->sample + k, o->group, channel), channels,
                    copy_of(j, s, k * m->channels));
    pnng_gemm_tiles tiles =
        tiles_of(j, o->rows.rows, channels * m->taps,
                 weight_of(j, o->group, o->rows.first, channel), (ptrdiff_t)(c->ins * m->taps), 1);
    if (m->pack_weight) {
        char *const packed = s->panel + m->channels * m->taps * nr * c->element;
        pack_weight(j, o->group, channel, channels, o->rows, tiles.high, packed);
        tiles.a = packed;
        tiles.a_row = 1;
        tiles.a_col = (ptrdiff_t)tiles.high;
        tiles.a_tile = (ptrdiff_t)(tiles.high * tiles.depth);
    }
    tiles.b = s->panel;
    tiles.ldc = o->ld;
    tiles.accumulate = accumulate;
    for (size_t at = 0; at < places; at += nr) {
        tiles.cols = min_size(places - at, nr);
        tiles.c = o->to + at * c->element;
        make_panel(j, s, b, o, channel, channels, at, tiles.cols);
        j->kernels->gemm.tiles(&tiles);
    }
}

/* Samples that were made together go where they belong. */
static void spread_samples(const job *j, const output *o) {
    const pnng_convolution *const c = &j->method->c;
    const uint8_t accumulate = j->accumulate;
    const ptrdiff_t stride[] = {(ptrdiff_t)product_of(c->y), o->ld};
    for (size_t k = 0; k < o->samples; k++) {
        void *const ptr[] = {plane_of_y(j, o->sample + k, o->group, o->rows.first),
                             o->to + k * product_of(c->y) * c->element};
        const pnng_call copy = {.ptr = ptr,
                                .stride = stride,
                                .rows = o->rows.rows,
                                .cols = product_of(c->y),
                                .a = 1,
                                .accumulate = &accumulate};
        j->kernels->common.scale(&copy);
        finish(j, ptr[0], copy.rows, copy.cols, copy.cols);
    }
}

static void make_y(const job *j, const space *s, size_t unit, slice rows) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t boxes = product_of(m->boxes);
    const bool together = m->gathers;
    const box b = box_number(m, unit % boxes);
    output o = {.group = unit / boxes % c->groups,
                .sample = unit / boxes / c->groups * m->together,
                .rows = rows};
    o.samples = min_size(m->together, c->batch - o.sample);
    o.to = together ? s->panel + m->panel_bytes - m->sums_bytes
                    : plane_of_y(j, o.sample, o.group, rows.first) + b.first * c->element;
    o.ld = (ptrdiff_t)(m->together * product_of(c->y));
    if (j->bias || together)
        j->kernels->convolution.planes(o.to, o.ld, rows.rows, o.samples * b.places,
                                       bias_of(j, o.group * c->outs + rows.first));
    for (size_t channel = 0; channel < c->ins; channel += m->channels)
        y_of_planes(j, s, &b, &o, channel, j->accumulate || j->bias || together || channel > 0);
    if (together)
        spread_samples(j, &o);
    else
        finish(j, o.to, rows.rows, b.places, product_of(c->y));
}

/* Lines of x, from a panel of y. */
static void lines_of_y(const job *j, const char *panel, const char *weight, size_t lines,
                       size_t cols, char *to, ptrdiff_t ld) {
    const pnng_convolution *const c = &j->method->c;
    const size_t depth = even_part(c->outs, j->kernels->gemm.kc);
    const ptrdiff_t row = (ptrdiff_t)(c->ins * j->method->taps);
    for (size_t p = 0; p < c->outs; p += depth) {
        pnng_gemm_tiles tiles =
            tiles_of(j, lines, min_size(depth, c->outs - p),
                     weight + (ptrdiff_t)p * row * (ptrdiff_t)c->element, 1, row);
        tiles.b = panel + p * j->kernels->gemm.nr * c->element;
        tiles.cols = cols;
        tiles.c = to;
        tiles.ldc = ld;
        tiles.accumulate = p > 0;
        j->kernels->gemm.tiles(&tiles);
    }
}

static void x_of_box(const job *j, const space *s, const box *b, size_t sample, size_t group,
                     size_t channel, size_t channels) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t e = c->element, nr = j->kernels->gemm.nr;
    char *const lines = s->panel + c->outs * nr * e;
    const char *const y = plane_of_y(j, sample, group, 0) + b->first * e;
    const size_t ld = round_up(product_of(m->box), nr);
    for (size_t at = 0; at < b->places; at += nr) {
        const size_t cols = min_size(b->places - at, nr);
        j->kernels->gemm.pack(s->panel, y + at * e, 1, (ptrdiff_t)product_of(c->y), cols, c->outs,
                              nr);
        lines_of_y(j, s->panel, weight_of(j, group, 0, channel), channels * m->taps, cols,
                   lines + at * e, (ptrdiff_t)ld);
    }
    const pnng_plane_windows windows = windows_of(s, b);
    j->kernels->convolution.add_lines(&windows, s->copy + place_of(s, b) * e, channels, b->places,
                                      lines, (ptrdiff_t)ld);
}

static void make_x(const job *j, const space *s, size_t unit) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t blocks = ceil_div(c->ins, m->channels);
    const size_t channel = unit % blocks * m->channels;
    const size_t group = unit / blocks % c->groups, sample = unit / blocks / c->groups;
    const size_t channels = min_size(m->channels, c->ins - channel);
    j->kernels->convolution.planes(s->copy, s->windows.channel, channels, copy_elements(m),
                                   bias_of(j, group * c->ins + channel));
    for (size_t k = 0; k < product_of(m->boxes); k++) {
        const box b = box_number(m, k);
        x_of_box(j, s, &b, sample, group, channel, channels);
    }
    char *const x = plane_of_x(j, sample, group, channel);
    uncopy_planes(j, s, x, channels);
    finish(j, x, 1, channels * product_of(c->x), 0);
}

/* A block of the weight's gradient: its rows are planes of y, its columns lines. */
typedef struct block {
    size_t group, row, rows, line, lines, channel, channels; /* and the planes that they are of */
} block;

static block block_number(const pnng_convolution_method *m, size_t unit) {
    const pnng_convolution *const c = &m->c;
    const size_t all = c->ins * m->taps, across = ceil_div(all, m->lines);
    const size_t down = ceil_div(c->outs, m->rows);
    block k = {.group = unit / across / down,
               .row = unit / across % down * m->rows,
               .line = unit % across * m->lines};
    k.rows = min_size(m->rows, c->outs - k.row);
    k.lines = min_size(m->lines, all - k.line);
    k.channel = k.line / m->taps;
    k.channels = ceil_div(k.line + k.lines, m->taps) - k.channel;
    return k;
}

/* Add the products of a box: of all lines, `high` at a time, with panels of y. */
static void products_of_box(const job *j, const space *s, const box *b, size_t sample,
                            const block *k, char *y, char *lines, char *sums) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t e = c->element, nr = j->kernels->gemm.nr, of_x = product_of(c->x);
    const size_t high = even_part(k->lines, j->kernels->gemm.mr);
    const size_t ld = product_of(m->box) + nr;
    const char *const x = plane_of_x(j, sample, k->group, k->channel);
    const pnng_plane_windows windows = windows_of(s, b);
    j->kernels->gemm.pack(y, plane_of_y(j, sample, k->group, k->row) + b->first * e,
                          (ptrdiff_t)product_of(c->y), 1, k->rows, b->places, nr);
    if (!m->as_it_lies)
        copy_planes(j, b, x, k->channels, s->copy);
    for (size_t i = 0; i < k->lines; i += high) {
        pnng_gemm_tiles tiles =
            tiles_of(j, min_size(high, k->lines - i), b->places, lines, (ptrdiff_t)ld, 1);
        const char *const from = x + (i * of_x + b->first) * e;
        if (!m->as_it_lies) {
            j->kernels->convolution.lines(&windows, s->copy, k->line - k->channel * m->taps + i,
                                          tiles.rows, 0, b->places, lines, (ptrdiff_t)ld);
        } else if (rows_clash(of_x * e)) {
            j->kernels->gemm.pack(lines, from, (ptrdiff_t)of_x, 1, tiles.rows, b->places, high);
            tiles.a_row = 1;
            tiles.a_col = (ptrdiff_t)high;
        } else {
            tiles.a = from;
            tiles.a_row = (ptrdiff_t)of_x;
        }
        tiles.ldc = (ptrdiff_t)m->rows;
        tiles.accumulate = true;
        for (size_t p = 0; p < k->rows; p += nr) {
            tiles.cols = min_size(nr, k->rows - p);
            tiles.b = y + p * b->places * e;
            tiles.c = sums + (i * m->rows + p) * e;
            j->kernels->gemm.tiles(&tiles);
        }
    }
}

/* Add the products of a box where they belong: of y, as it lies, with lines turned. */
static void add_products(const job *j, const space *s, const box *b, size_t sample,
                         const block *k) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const size_t e = c->element, nr = j->kernels->gemm.nr, of_x = product_of(c->x);
    const size_t ld = product_of(m->box) + nr;
    char *const lines = s->panel + nr * product_of(m->box) * e;
    const char *const x = plane_of_x(j, sample, k->group, k->channel);
    const pnng_plane_windows windows = windows_of(s, b);
    if (!m->as_it_lies)
        copy_planes(j, b, x, k->channels, s->copy);
    pnng_gemm_tiles tiles =
        tiles_of(j, k->rows, b->places, plane_of_y(j, sample, k->group, k->row) + b->first * e,
                 (ptrdiff_t)product_of(c->y), 1);
    tiles.b = s->panel;
    tiles.ldc = (ptrdiff_t)(c->ins * m->taps);
    tiles.alpha = j->alpha;
    tiles.accumulate = true;
    for (size_t at = 0; at < k->lines; at += nr) {
        const char *from = x + (at * of_x + b->first) * e;
        ptrdiff_t row = (ptrdiff_t)of_x;
        tiles.cols = min_size(nr, k->lines - at);
        tiles.c = weight_of(j, k->group, k->row, 0) + (k->line + at) * e;
        if (!m->as_it_lies) {
            j->kernels->convolution.lines(&windows, s->copy, k->line - k->channel * m->taps + at,
                                          tiles.cols, 0, b->places, lines, (ptrdiff_t)ld);
            from = lines;
            row = (ptrdiff_t)ld;
        }
        j->kernels->gemm.pack(s->panel, from, row, 1, tiles.cols, b->places, nr);
        j->kernels->gemm.tiles(&tiles);
    }
}

/* The gradient, or what is added to it, from sums that lie the other way. */
static void turn_sums(const job *j, const block *k, char *sums) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    void *const ptr[] = {weight_of(j, k->group, k->row, 0) + k->line * c->element, sums};
    const ptrdiff_t stride[] = {(ptrdiff_t)(c->ins * m->taps), (ptrdiff_t)m->rows};
    const uint8_t accumulate = j->accumulate;
    const pnng_call call = {.ptr = ptr,
                            .stride = stride,
                            .rows = k->rows,
                            .cols = k->lines,
                            .a = j->alpha,
                            .accumulate = &accumulate};
    j->kernels->common.transpose(&call);
}

static void make_weight(const job *j, const space *s, size_t unit) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const block k = block_number(m, unit);
    char *const y = s->panel;
    char *const sums = y + m->rows * product_of(m->box) * c->element;
    char *const lines = sums + m->rows * m->lines * c->element;
    if (!m->turns_lines)
        j->kernels->convolution.planes(sums, (ptrdiff_t)m->rows, k.lines, m->rows, NULL);
    else if (!j->accumulate)
        j->kernels->convolution.planes(weight_of(j, k.group, k.row, 0) + k.line * c->element,
                                       (ptrdiff_t)(c->ins * m->taps), k.rows, k.lines, NULL);
    for (size_t sample = 0; sample < c->batch; sample++)
        for (size_t n = 0; n < product_of(m->boxes); n++) {
            const box b = box_number(m, n);
            if (m->turns_lines)
                add_products(j, s, &b, sample, &k);
            else
                products_of_box(j, s, &b, sample, &k, y, lines, sums);
        }
    if (!m->turns_lines)
        turn_sums(j, &k, sums);
}

/* ---- plane by plane -------------------------------------------------------------------------- */

static void make_y_by_planes(const job *j, const space *s, size_t group, size_t sample) {
    const pnng_convolution *const c = &j->method->c;
    for (size_t n = 0; n < product_of(j->method->boxes); n++) {
        const box b = box_number(j->method, n);
        const pnng_plane_windows windows = windows_of(s, &b);
        for (size_t channel = 0; channel < c->ins; channel++) {
            copy_planes(j, &b, plane_of_x(j, sample, group, channel), 1, s->copy);
            for (size_t k = 0; k < c->outs; k++)
                j->kernels->convolution.window_sums(
                    &windows, s->copy, b.places, weight_of(j, group, k, channel),
                    channel ? NULL : bias_of(j, group * c->outs + k),
                    plane_of_y(j, sample, group, k) + b.first * c->element,
                    (ptrdiff_t)windows.width, j->accumulate || channel > 0);
        }
        finish(j, plane_of_y(j, sample, group, 0) + b.first * c->element, c->outs, b.places,
               product_of(c->y));
    }
}

/* The taps that windows at a place `phase` behind a multiple of the strides have: where they are in
 * the copy of y, and their weights. How many there are. */
static size_t taps_of_phase(const pnng_convolution *c, const pnng_plane_copy *p,
                            const size_t phase[PNNG_SPACE], const char *weight, ptrdiff_t *tap,
                            char *weights) {
    size_t count = 0, number = 0, k[PNNG_SPACE];
    for (k[0] = 0; k[0] < c->kernel[0]; k[0]++)
        for (k[1] = 0; k[1] < c->kernel[1]; k[1]++)
            for (k[2] = 0; k[2] < c->kernel[2]; k[2]++, number++) {
                ptrdiff_t at[PNNG_SPACE];
                bool belongs = true;
                for (size_t d = 0; d < PNNG_SPACE; d++) {
                    const size_t place = k[d] * c->dilation[d];
                    at[d] = -p->first[d] - (ptrdiff_t)(place / c->stride[d]);
                    belongs = belongs && place % c->stride[d] == phase[d];
                }
                if (!belongs)
                    continue;
                memcpy(weights + count * c->element, weight + number * c->element, c->element);
                tap[count++] = (at[0] * (ptrdiff_t)p->height + at[1]) * (ptrdiff_t)p->pitch + at[2];
            }
    return count;
}

/* Add the windows of plane k of y to places of one phase, or store them. */
static void sums_of_phase(const job *j, const space *s, const pnng_plane_copy *p,
                          const size_t phase[PNNG_SPACE], size_t group, size_t k) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    char *const y = s->panel, *const weights = y + m->panel_bytes - m->taps * c->element;
    const size_t row = m->phases * m->pitch;
    pnng_plane_windows w = {.width = m->pitch,
                            .height = ceil_div(m->seen[1] - phase[1], c->stride[1]),
                            .row = (ptrdiff_t)p->pitch,
                            .tap = s->tap};
    w.taps = taps_of_phase(c, p, phase, weight_of(j, group, k, 0), s->tap, weights);
    for (size_t q = 0, d = phase[0]; d < m->seen[0]; q++, d += c->stride[0])
        j->kernels->convolution.window_sums(
            &w, y + q * p->height * p->pitch * c->element, w.width * w.height, weights,
            k ? NULL : bias_of(j, group),
            s->copy + ((d * m->seen[1] + phase[1]) * row + phase[2] * m->pitch) * c->element,
            (ptrdiff_t)(c->stride[1] * row), k > 0);
}

/* Places of x that are a stride apart see y by windows that are next to each other, each such phase
 * through its own taps. */
static void make_x_by_planes(const job *j, const space *s, size_t group, size_t sample) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    const pnng_plane_copy p = copy_of_y(m);
    const size_t phases[] = {min_size(c->stride[0], m->seen[0]), min_size(c->stride[1], m->seen[1]),
                             m->phases};
    for (size_t k = 0; k < c->outs; k++) {
        j->kernels->convolution.copy(&p, plane_of_y(j, sample, group, k), s->panel);
        for (size_t n = 0; n < product_of(phases); n++) {
            const size_t phase[] = {n / phases[2] / phases[1], n / phases[2] % phases[1],
                                    n % phases[2]};
            sums_of_phase(j, s, &p, phase, group, k);
        }
    }
    char *const x = plane_of_x(j, sample, group, 0);
    uncopy_planes(j, s, x, 1);
    finish(j, x, 1, product_of(c->x), 0);
}

static void make_weight_by_planes(const job *j, const space *s, size_t group) {
    const pnng_convolution_method *const m = j->method;
    const pnng_convolution *const c = &m->c;
    if (!j->accumulate)
        j->kernels->convolution.planes(weight_of(j, group, 0, 0), (ptrdiff_t)m->taps, c->outs,
                                       m->taps, NULL);
    for (size_t sample = 0; sample < c->batch; sample++)
        for (size_t n = 0; n < product_of(m->boxes); n++) {
            const box b = box_number(m, n);
            const pnng_plane_windows windows = windows_of(s, &b);
            copy_planes(j, &b, plane_of_x(j, sample, group, 0), 1, s->copy);
            for (size_t k = 0; k < c->outs; k++)
                j->kernels->convolution.window_products(&windows, s->copy, b.places,
                                                        plane_of_y(j, sample, group, k) +
                                                            b.first * c->element,
                                                        j->alpha, weight_of(j, group, k, 0));
        }
}

/* ---- running --------------------------------------------------------------------------------- */

static void make_unit(const job *j, const space *s, size_t number) {
    const pnng_convolution_method *const m = j->method;
    const size_t unit = number / m->slices;
    const size_t group = unit % m->c.groups, sample = unit / m->c.groups;
    const bool by_planes = m->way == PNNG_CONVOLVE_PLANES;
    const slice rows = slice_number(j, number % m->slices);
    switch (m->c.kind) {
    case PNNG_CONVOLVE_Y:
        if (by_planes)
            make_y_by_planes(j, s, group, sample);
        else
            make_y(j, s, unit, rows);
        break;
    case PNNG_CONVOLVE_X:
        if (by_planes)
            make_x_by_planes(j, s, group, sample);
        else
            make_x(j, s, unit);
        break;
    case PNNG_CONVOLVE_WEIGHT:
        if (by_planes)
            make_weight_by_planes(j, s, group);
        else
            make_weight(j, s, unit);
        break;
    }
}

static void make_part(void *context, size_t part) {
    const job *const j = context;
    const pnng_convolution_method *const m = j->method;
    const size_t count = m->units * m->slices;
    const space s = open_space(j, part);
    for (size_t k = count * part / m->parts; k < count * (part + 1) / m->parts; k++)
        make_unit(j, &s, k);
}

void pnng_convolve(const pnng_kernels *kernels, const pnng_convolution_method *method,
                   const pnng_convolution_arrays *arrays, double alpha, bool accumulate, void *work,
                   const pnng_finish *finish) {
    job j = {.kernels = kernels,
             .method = method,
             .x = method->turned ? arrays->y : arrays->x,
             .y = method->turned ? arrays->x : arrays->y,
             .weight = arrays->weight,
             .bias = arrays->bias,
             .alpha = alpha,
             .accumulate = accumulate,
             .work = work,
             .finish = finish};
    pnng_parallel(method->parts > 1 ? pnng_threads_wanted(method->nanoseconds) : 1, method->parts,
                  make_part, &j);
}
