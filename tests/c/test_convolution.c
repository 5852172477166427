/* Convolutions on every instruction set, for float and double, in all directions, against sums over
 * windows: sizes, strides, paddings and dilations drawn at random, samples with gaps between them,
 * storing and adding, in guarded memory and with work space full of NaN (test_support.h). */
#include "kernel_support.h" /* first: it says which features of the system are wanted */

#include "../../csrc/convolution.h"
#include "../../csrc/threads.h"

enum { CASES = 400 };

static size_t draw(size_t low, size_t high) { return low + random_bits() % (high - low + 1); }

/* One convolution and its arrays. `terms` of each element are counted and their sizes added up, to
 * know how far a sum may be from the reference. */
typedef struct problem {
    pnng_convolution c;
    operand x, y, weight, bias;
    bool has_bias, adds;
    double alpha;
} problem;

static size_t plane_of(const size_t sizes[PNNG_SPACE]) { return sizes[0] * sizes[1] * sizes[2]; }

/* Sizes of y that there are windows for, and of x that may have some more. */
static pnng_convolution draw_sizes(void) {
    pnng_convolution c = {.element = bytes, .batch = draw(0, 3), .groups = draw(1, 2)};
    const bool is_plane = draw(0, 2) == 0, is_line = draw(0, 3) == 0, is_wide = draw(0, 9) == 0;
    const bool is_dense = draw(0, 2) == 0, is_large = draw(0, 5) == 0;
    c.ins = is_plane ? 1 : draw(1, is_large ? 40 : 5);
    c.outs = is_plane ? draw(1, 4) : draw(1, is_large ? 35 : 9);
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        const bool is_there = d == PNNG_SPACE - 1 || (!is_line && draw(0, d + 1) > 0);
        c.kernel[d] = is_there ? draw(1, is_large ? 3 : 4) : 1;
        c.stride[d] = is_there && !is_dense ? draw(1, 4) : 1;
        c.dilation[d] = is_there ? draw(1, 3) : 1;
        c.y[d] = is_there ? draw(1, d < 2 ? 5 : is_wide ? 300 : 2 * lanes + 3) : 1;
        const size_t seen = (c.y[d] - 1) * c.stride[d] + (c.kernel[d] - 1) * c.dilation[d] + 1;
        const size_t most = seen > 1 ? (seen - 1) / 2 : 0;
        c.padding[d] = (ptrdiff_t)draw(0, most < 3 ? most : 3);
        c.x[d] = seen - 2 * (size_t)c.padding[d] + draw(0, c.stride[d] - 1);
    }
    if (is_plane)
        c.batch = draw(0, 2);
    if (draw(0, 7) == 0) /* windows of one element: lines that are not copied */
        for (size_t d = 0; d < PNNG_SPACE; d++) {
            c.kernel[d] = c.stride[d] = 1;
            c.padding[d] = 0;
            c.x[d] = c.y[d];
        }
    c.kind = (pnng_convolution_kind)draw(0, 2);
    return c;
}

static problem draw_problem(void) {
    problem p = {.c = draw_sizes()};
    pnng_convolution *const c = &p.c;
    const placement where = (placement)draw(0, PLACEMENTS - 1);
    const size_t x = c->groups * c->ins * plane_of(c->x), y = c->groups * c->outs * plane_of(c->y);
    c->x_sample = (ptrdiff_t)(x + draw(0, 3));
    c->y_sample = (ptrdiff_t)(y + draw(0, 3));
    p.x = make(0, where, c->batch, x, c->x_sample);
    p.y = make(1, where, c->batch, y, c->y_sample);
    const size_t window = c->ins * plane_of(c->kernel);
    p.weight = make(2, where, c->groups * c->outs, window, (ptrdiff_t)window);
    const size_t planes = c->groups * (c->kind == PNNG_CONVOLVE_X ? c->ins : c->outs);
    p.bias = make(3, where, 1, planes, (ptrdiff_t)planes);
    p.adds = draw(0, 1);
    p.has_bias = c->kind != PNNG_CONVOLVE_WEIGHT && !p.adds && draw(0, 1);
    p.alpha = c->kind == PNNG_CONVOLVE_WEIGHT && draw(0, 1) ? -0.5 : 1;
    const operand *const all[] = {&p.x, &p.y, &p.weight, &p.bias};
    for (size_t k = 0; k < 4; k++)
        operand_fill(all[k], -1, 1);
    return p;
}

/* ---- the reference --------------------------------------------------------------------------- */

/* What is made, and what is known of its sums. */
typedef struct sums {
    long double *value;
    double *size, *terms;
} sums;

static size_t place_in(const operand *o, size_t row, size_t col) { return row * o->cols + col; }

static void add_term(const sums *s, size_t at, long double term) {
    s->value[at] += term;
    s->size[at] += (double)fabsl(term);
    s->terms[at]++;
}

/* The product of one element of y with one tap of one plane of x goes to what is made. */
static void visit(const problem *p, const sums *s, size_t sample, size_t x, size_t y, size_t row,
                  size_t col) {
    const long double of_x = get_at(&p->x, sample, x), of_y = get_at(&p->y, sample, y);
    const long double of_w = get_at(&p->weight, row, col);
    switch (p->c.kind) {
    case PNNG_CONVOLVE_Y:
        add_term(s, place_in(&p->y, sample, y), of_x * of_w);
        break;
    case PNNG_CONVOLVE_X:
        add_term(s, place_in(&p->x, sample, x), of_y * of_w);
        break;
    case PNNG_CONVOLVE_WEIGHT:
        add_term(s, place_in(&p->weight, row, col), (long double)p->alpha * of_x * of_y);
        break;
    }
}

static void split_up(size_t k, const size_t sizes[PNNG_SPACE], size_t at[PNNG_SPACE]) {
    for (size_t d = PNNG_SPACE; d-- > 0; k /= sizes[d])
        at[d] = k % sizes[d];
}

/* Where a tap of a window falls in a plane of x; false in the padding. */
static bool place_of_tap(const pnng_convolution *c, size_t place, size_t tap, size_t *out) {
    size_t of_y[PNNG_SPACE], of_kernel[PNNG_SPACE];
    split_up(place, c->y, of_y);
    split_up(tap, c->kernel, of_kernel);
    *out = 0;
    for (size_t d = 0; d < PNNG_SPACE; d++) {
        const ptrdiff_t at =
            (ptrdiff_t)(of_y[d] * c->stride[d] + of_kernel[d] * c->dilation[d]) - c->padding[d];
        if (at < 0 || at >= (ptrdiff_t)c->x[d])
            return false;
        *out = *out * c->x[d] + (size_t)at;
    }
    return true;
}

static void visit_plane(const problem *p, const sums *s, size_t sample, size_t group, size_t out,
                        size_t in) {
    const pnng_convolution *const c = &p->c;
    const size_t taps = plane_of(c->kernel), of_x = plane_of(c->x), of_y = plane_of(c->y);
    for (size_t place = 0; place < of_y; place++)
        for (size_t tap = 0; tap < taps; tap++) {
            size_t at;
            if (place_of_tap(c, place, tap, &at))
                visit(p, s, sample, (group * c->ins + in) * of_x + at,
                      (group * c->outs + out) * of_y + place, group * c->outs + out,
                      in * taps + tap);
        }
}

static const operand *result_of(const problem *p) {
    return p->c.kind == PNNG_CONVOLVE_Y ? &p->y : p->c.kind == PNNG_CONVOLVE_X ? &p->x : &p->weight;
}

/* What is there before, or the bias, and all products. */
static sums expected(const problem *p) {
    const pnng_convolution *const c = &p->c;
    const operand *const to = result_of(p);
    const size_t n = to->rows * to->cols;
    const sums s = {calloc(n + 1, sizeof(long double)), calloc(n + 1, sizeof(double)),
                    calloc(n + 1, sizeof(double))};
    const size_t plane = plane_of(c->kind == PNNG_CONVOLVE_X ? c->x : c->y);
    for (size_t r = 0; r < to->rows; r++)
        for (size_t k = 0; k < to->cols; k++) {
            if (p->adds)
                add_term(&s, place_in(to, r, k), get_at(to, r, k));
            if (p->has_bias)
                add_term(&s, place_in(to, r, k), get_at(&p->bias, 0, k / plane));
        }
    for (size_t sample = 0; sample < c->batch; sample++)
        for (size_t group = 0; group < c->groups; group++)
            for (size_t out = 0; out < c->outs; out++)
                for (size_t in = 0; in < c->ins; in++)
                    visit_plane(p, &s, sample, group, out, in);
    return s;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static void run(const problem *p, const pnng_convolution_method *m) {
    const operand work = make(4, ALIGNED, 1, pnng_convolution_work_size(m) / bytes, 0);
    operand_set(&work, NAN);
    const pnng_convolution_arrays arrays = {.x = p->x.data,
                                            .y = p->y.data,
                                            .weight = p->weight.data,
                                            .bias = p->has_bias ? p->bias.data : NULL};
    pnng_convolve(kernels, m, &arrays, p->alpha, p->adds, work.data, NULL);
    CHECK(operand_intact(&work));
}

static void check_result(const problem *p, const sums *s) {
    const operand *const to = result_of(p);
    bool ok = true;
    for (size_t r = 0; r < to->rows; r++)
        for (size_t k = 0; k < to->cols; k++) {
            const size_t at = place_in(to, r, k);
            ok &= sum_is_near(f64, get_at(to, r, k), s->value[at], s->terms[at], s->size[at]);
        }
    CHECK(ok);
}

/* Nothing but the result has changed, and what is cut into parts has the same bits. */
static void check_problem(problem *p) {
    const operand *const all[] = {&p->x, &p->y, &p->weight, &p->bias};
    const operand *const to = result_of(p);
    double *before[4];
    for (size_t k = 0; k < 4; k++)
        before[k] = operand_copy(all[k]);
    const sums s = expected(p);
    pnng_convolution_method m = pnng_convolution_choose(kernels, &p->c);
    if (!p->adds)
        operand_set(to, NAN);
    run(p, &m);
    check_result(p, &s);
    double *const once = operand_copy(to);
    for (size_t k = 0; k < 4; k++) {
        CHECK(all[k] == to ? operand_intact(to) : operand_unchanged(all[k], before[k]));
        for (size_t at = 0; all[k] == to && at < to->rows * to->cols; at++)
            set_at(to, at / to->cols, at % to->cols, before[k][at]);
    }
    m.slices = p->c.kind == PNNG_CONVOLVE_Y && m.way == PNNG_CONVOLVE_TILES ? 2 : 1;
    m.parts = 3;
    run(p, &m);
    CHECK(operand_unchanged(to, once));
    for (size_t k = 0; k < 4; k++)
        free(before[k]);
    free(once);
    free(s.value);
    free(s.size);
    free(s.terms);
}

int main(void) {
    int ran = 0;
    for (int n = 0; n < KERNEL_CASES; n++) {
        if (!turn_to_kernels(n))
            continue;
        for (int k = 0; k < CASES; k++) {
            problem p = draw_problem();
            const pnng_convolution *const c = &p.c;
            snprintf(test_where, sizeof test_where,
                     "%s %s %d: %d, %zu x %zu x %zu of %zux%zux%zu, kernel %zux%zux%zu", isa->name,
                     f64 ? "f64" : "f32", k, (int)c->kind, c->groups, c->ins, c->outs, c->x[0],
                     c->x[1], c->x[2], c->kernel[0], c->kernel[1], c->kernel[2]);
            check_problem(&p);
        }
        ran++;
    }
    snprintf(test_where, sizeof test_where, "instruction sets");
    CHECK(ran > 0);
    return test_result();
}
