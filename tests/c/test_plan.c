/* Plans and runs against a reference: programs of which every value is kept as a dense array of
 * doubles, evaluated and differentiated one op at a time, without views, masks or sharing. */
#include "engine_support.h"

#include <pthread.h>
#include <time.h>

/* ---- the reference: programs ---------------------------------------------------------------- */

enum { MAX_VALUES = 256, MAX_NODES = 200, MAX_IN = 12, MAX_OUTPUTS = 64 };

typedef struct value {
    pnng_shape shape;
    size_t n;
    int node; /* -1: a leaf */
    int kind;
    bool is_param, has_grad;
    double *y, *g;
    double *held; /* what it was, where differences must not look through */
} value;

typedef struct node {
    pnng_op code;
    int n_in, n_ints, n_nums, n_out, out;
    int in[MAX_IN];
    int64_t ints[8];
    double nums[2];
} node;

typedef struct net {
    value v[MAX_VALUES];
    node nodes[MAX_NODES];
    int outputs[MAX_OUTPUTS];
    double *seeds[MAX_OUTPUTS]; /* gradients of the outputs */
    int n_values, n_nodes, n_outputs;
} net;

static void net_clear(net *t) {
    for (int k = 0; k < t->n_values; k++) {
        free(t->v[k].y);
        free(t->v[k].g);
        free(t->v[k].held);
    }
    for (int k = 0; k < t->n_outputs; k++)
        free(t->seeds[k]);
    t->n_values = t->n_nodes = t->n_outputs = 0;
}

static double *zeros(size_t n) {
    double *const x = calloc(n + 1, sizeof *x);
    if (!x)
        exit(2);
    return x;
}

static int push_value(net *t, pnng_shape shape, int kind, int from) {
    if (t->n_values == MAX_VALUES || t->n_nodes == MAX_NODES) {
        printf("a program too large for the tests\n");
        exit(2);
    }
    const int id = t->n_values++;
    const size_t n = count_of(&shape);
    t->v[id] = (value){.shape = shape,
                       .n = n,
                       .kind = kind,
                       .node = from,
                       .y = zeros(n),
                       .g = zeros(n),
                       .held = zeros(n)};
    return id;
}

/* A leaf with random numbers that floats can hold. */
static int leaf(net *t, bool is_param, bool has_grad, pnng_shape shape, double low, double high) {
    const int id = push_value(t, shape, PNNG_REAL, -1);
    t->v[id].is_param = is_param;
    t->v[id].has_grad = has_grad;
    for (size_t k = 0; k < t->v[id].n; k++)
        t->v[id].y[k] = (float)random_in(low, high);
    return id;
}

static int index_leaf(net *t, pnng_shape shape, int64_t classes, int64_t ignored) {
    const int id = push_value(t, shape, PNNG_INDEX, -1);
    for (size_t k = 0; k < t->v[id].n; k++)
        t->v[id].y[k] =
            random_in(0, 1) < 0.2 ? (double)ignored : floor(random_in(0, (double)classes - 1e-9));
    return id;
}

static void output(net *t, int id) {
    if (t->n_outputs == MAX_OUTPUTS)
        return;
    t->seeds[t->n_outputs] = zeros(t->v[id].n);
    for (size_t k = 0; k < t->v[id].n; k++)
        t->seeds[t->n_outputs][k] = (float)random_in(-1, 1);
    t->outputs[t->n_outputs++] = id;
}

/* A shape as outer x n x inner around one of its dims. */
typedef struct around {
    size_t outer, n, inner;
} around;

static int64_t place_of(int64_t dim, const pnng_shape *shape) {
    return dim < 0 ? dim + shape->ndim : dim;
}

static around look(const pnng_shape *shape, int64_t dim) {
    around a = {1, 1, 1};
    dim = place_of(dim, shape);
    for (int64_t d = 0; d < shape->ndim; d++)
        *(d < dim ? &a.outer : d == dim ? &a.n : &a.inner) *= (size_t)shape->dim[d];
    return a;
}

static size_t at(around a, size_t o, size_t k, size_t i) { return (o * a.n + k) * a.inner + i; }

static pnng_shape without(pnng_shape shape, int64_t dim) {
    for (int64_t d = dim; d + 1 < shape.ndim; d++)
        shape.dim[d] = shape.dim[d + 1];
    shape.ndim--;
    return shape;
}

/* Offset and length of a narrow, or offset of a select, with what is negative resolved. */
static int64_t offset_of(const node *d, const pnng_shape *shape) {
    const int64_t size = shape->dim[place_of(d->ints[0], shape)];
    return d->ints[1] < 0 ? d->ints[1] + size : d->ints[1];
}

static int64_t length_of(const node *d, const pnng_shape *shape) {
    const int64_t size = shape->dim[place_of(d->ints[0], shape)];
    return d->ints[2] < 0 ? size - offset_of(d, shape) + 1 + d->ints[2] : d->ints[2];
}

static pnng_shape reshaped(const node *d, const pnng_shape *x) {
    pnng_shape shape = {.ndim = d->n_ints};
    int64_t known = 1;
    for (int k = 0; k < d->n_ints; k++) {
        shape.dim[k] = d->ints[k] == -2 ? x->dim[k] : d->ints[k];
        known *= shape.dim[k] == -1 ? 1 : shape.dim[k];
    }
    for (int k = 0; k < d->n_ints; k++)
        if (shape.dim[k] == -1)
            shape.dim[k] = known ? (int64_t)count_of(x) / known : 0;
    return shape;
}

static void swap_sizes(pnng_shape *shape, int64_t a, int64_t b) {
    const int64_t size = shape->dim[a];
    shape->dim[a] = shape->dim[b];
    shape->dim[b] = size;
}

static pnng_shape shape_after(const net *t, const node *d) {
    pnng_shape shape = d->n_in ? t->v[d->in[0]].shape : shape_of(0);
    const int64_t dim = d->n_ints ? place_of(d->ints[0], &shape) : 0;
    switch (d->code) {
    case PNNG_OP_ONE_HOT:
        shape.dim[shape.ndim++] = d->ints[0];
        return shape;
    case PNNG_OP_REDUCE_MAX:
    case PNNG_OP_REDUCE_MIN:
    case PNNG_OP_REDUCE_SUM:
        if (!d->ints[1])
            return without(shape, dim);
        shape.dim[dim] = 1;
        return shape;
    case PNNG_OP_LINEAR:
        shape.dim[shape.ndim - 1] = t->v[d->in[1]].shape.dim[0];
        return shape;
    case PNNG_OP_MATMUL: {
        const pnng_shape *const other = &t->v[d->in[1]].shape;
        shape.dim[shape.ndim - 2] = shape.dim[shape.ndim - (d->ints[0] ? 1 : 2)];
        shape.dim[shape.ndim - 1] = other->dim[shape.ndim - (d->ints[1] ? 2 : 1)];
        return shape;
    }
    case PNNG_OP_GATHER: {
        pnng_shape rows = t->v[d->in[1]].shape;
        rows.dim[rows.ndim++] = shape.dim[1];
        return rows;
    }
    case PNNG_OP_TRANSPOSE:
        swap_sizes(&shape, dim, place_of(d->ints[1], &shape));
        return shape;
    case PNNG_OP_REPLICATE: {
        const int64_t at = d->ints[0] < 0 ? d->ints[0] + shape.ndim + 1 : d->ints[0];
        for (int64_t k = shape.ndim++; k > at; k--)
            shape.dim[k] = shape.dim[k - 1];
        shape.dim[at] = d->ints[1];
        return shape;
    }
    case PNNG_OP_EXPAND:
        return t->v[d->in[1]].shape;
    case PNNG_OP_MSE:
    case PNNG_OP_BCE:
    case PNNG_OP_NLL:
        return shape_of(1, 1);
    case PNNG_OP_RESHAPE:
        return reshaped(d, &shape);
    case PNNG_OP_NARROW:
        shape.dim[dim] = length_of(d, &shape);
        return shape;
    case PNNG_OP_SELECT:
        return without(shape, dim);
    case PNNG_OP_JOIN:
        for (int k = 1; k < d->n_in; k++)
            shape.dim[dim] += t->v[d->in[k]].shape.dim[dim];
        return shape;
    default:
        return shape;
    }
}

/* ---- the reference: values ------------------------------------------------------------------ */

static void soft_values(around a, double *y, const double *x, bool is_log) {
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            double top = -INFINITY, sum = 0;
            for (size_t k = 0; k < a.n; k++)
                top = fmax(top, x[at(a, o, k, i)]);
            for (size_t k = 0; k < a.n; k++)
                sum += exp(x[at(a, o, k, i)] - top);
            for (size_t k = 0; k < a.n; k++) {
                const double l = x[at(a, o, k, i)] - top - log(sum);
                y[at(a, o, k, i)] = is_log ? l : exp(l);
            }
        }
}

static void nll_values(net *t, const node *d, const double *w) {
    const value *const x = &t->v[d->in[0]];
    const double *const target = t->v[d->in[1]].y;
    const size_t rows = t->v[d->in[1]].n, classes = (size_t)x->shape.dim[x->shape.ndim - 1];
    double sum = 0, total = 0;
    for (size_t r = 0; r < rows; r++) {
        if (target[r] == (double)d->ints[1])
            continue;
        const size_t c = (size_t)target[r];
        sum -= (w ? w[c] : 1) * x->y[r * classes + c];
        total += w ? w[c] : 1;
    }
    t->v[d->out].y[0] = d->ints[0] ? (total != 0 ? sum / total : 0) : sum;
    t->v[d->out + 1].y[0] = total;
}

static void linear_values(net *t, const node *d) {
    const value *const x = &t->v[d->in[0]], *const w = &t->v[d->in[1]], *const y = &t->v[d->out];
    const size_t in = (size_t)w->shape.dim[1], out = (size_t)w->shape.dim[0];
    const size_t rows = x->shape.ndim == 2 ? (size_t)x->shape.dim[0] : 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = d->n_in == 3 ? t->v[d->in[2]].y[o] : 0;
            for (size_t k = 0; k < in; k++)
                sum += x->y[r * in + k] * w->y[o * in + k];
            y->y[r * out + o] = sum;
        }
}

/* Element (i, j) of matrix k of an operand, as it is multiplied. */
static size_t matrix_at(const pnng_shape *shape, bool turned, size_t k, size_t i, size_t j) {
    const size_t rows = (size_t)shape->dim[shape->ndim - 2];
    const size_t cols = (size_t)shape->dim[shape->ndim - 1];
    return (k * rows + (turned ? j : i)) * cols + (turned ? i : j);
}

/* Products, or their gradients: whatever the operands, it is one sum over three indices. */
static void matmul(net *t, const node *d, bool gradients) {
    value *const a = &t->v[d->in[0]], *const b = &t->v[d->in[1]], *const y = &t->v[d->out];
    const int64_t n = y->shape.ndim;
    const size_t count = n == 3 ? (size_t)y->shape.dim[0] : 1;
    const size_t rows = (size_t)y->shape.dim[n - 2], cols = (size_t)y->shape.dim[n - 1];
    const size_t depth = (size_t)a->shape.dim[n - (d->ints[0] ? 2 : 1)];
    for (size_t m = 0; m < count * rows * cols; m++) {
        const size_t k = m / (rows * cols), i = m / cols % rows, j = m % cols;
        double sum = 0;
        for (size_t p = 0; p < depth; p++) {
            const size_t of_a = matrix_at(&a->shape, d->ints[0], k, i, p);
            const size_t of_b = matrix_at(&b->shape, d->ints[1], k, p, j);
            if (gradients) {
                a->g[of_a] += y->g[m] * b->y[of_b];
                b->g[of_b] += y->g[m] * a->y[of_a];
            }
            sum += a->y[of_a] * b->y[of_b];
        }
        if (!gradients)
            y->y[m] = sum;
    }
}

/* Which element of x an element of y comes from, for transpose, replicate and expand. */
static size_t origin_of(const net *t, const node *d, size_t k) {
    const pnng_shape *const x = &t->v[d->in[0]].shape, *const y = &t->v[d->out].shape;
    int64_t at[PNNG_MAX_DIMS] = {0};
    for (int64_t dim = y->ndim; dim-- > 0; k /= (size_t)y->dim[dim])
        at[dim] = (int64_t)(k % (size_t)y->dim[dim]);
    if (d->code == PNNG_OP_TRANSPOSE) {
        const int64_t first = place_of(d->ints[0], x), second = place_of(d->ints[1], x);
        const int64_t kept = at[first];
        at[first] = at[second];
        at[second] = kept;
    } else if (d->code == PNNG_OP_REPLICATE) {
        for (int64_t dim = place_of(d->ints[0], y); dim < x->ndim; dim++)
            at[dim] = at[dim + 1];
    }
    size_t found = 0;
    for (int64_t dim = 0; dim < x->ndim; dim++)
        found = found * (size_t)x->dim[dim] + (size_t)(x->dim[dim] == 1 ? 0 : at[dim]);
    return found;
}

static double table_value(const net *t, const node *d, size_t k) {
    double y = t->v[d->in[0]].y[k];
    for (int j = 1; j < d->n_in; j++) {
        const double x = t->v[d->in[j]].y[k];
        y = d->code == PNNG_OP_ADD   ? y + x
            : d->code == PNNG_OP_SUB ? y - x
            : d->code == PNNG_OP_MUL ? y * x
            : d->code == PNNG_OP_DIV ? y / x
            : d->code == PNNG_OP_MAX ? (x > y ? x : y)
                                     : (x < y ? x : y);
    }
    return y;
}

static void join_values(net *t, const node *d) {
    const value *const y = &t->v[d->out];
    const around whole = look(&y->shape, d->ints[0]);
    size_t start = 0;
    for (int j = 0; j < d->n_in; j++) {
        const value *const x = &t->v[d->in[j]];
        const around part = look(&x->shape, d->ints[0]);
        for (size_t o = 0; o < part.outer; o++)
            for (size_t k = 0; k < part.n; k++)
                for (size_t i = 0; i < part.inner; i++)
                    y->y[at(whole, o, start + k, i)] = x->y[at(part, o, k, i)];
        start += part.n;
    }
}

/* What the terms of a binary cross-entropy are multiplied by. */
static double bce_factor(const net *t, const node *d, size_t k, bool differences) {
    const value *const w = d->n_in == 3 ? &t->v[d->in[2]] : NULL;
    const double weight = !w ? 1 : (differences ? w->held : w->y)[k];
    return d->ints[0] ? weight / (double)t->v[d->in[0]].n : weight;
}

/* Which element of the table an element of y is. */
static size_t gathered(const net *t, const node *d, size_t k) {
    const size_t size = (size_t)t->v[d->in[0]].shape.dim[1];
    return (size_t)t->v[d->in[1]].y[k / size] * size + k % size;
}

/* The greatest or the least, and which it is. */
static void extreme_values(net *t, const node *d, around a) {
    const double *const x = t->v[d->in[0]].y, sign = d->code == PNNG_OP_REDUCE_MAX ? 1 : -1;
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            size_t best = 0;
            for (size_t k = 1; k < a.n; k++)
                if (sign * x[at(a, o, k, i)] > sign * x[at(a, o, best, i)])
                    best = k;
            t->v[d->out].y[o * a.inner + i] = x[at(a, o, best, i)];
            t->v[d->out + 1].y[o * a.inner + i] = (double)best;
        }
}

/* Elementwise ops that stand in no switch below: the scalar kernel is asked. What such a function
 * is, the Python tests know; here it is about where its arrays are. */
static double one_value(const node *d, double x) {
    double y;
    void *const ptr[] = {&y, &x};
    const ptrdiff_t stride[] = {1, 1};
    pnng_isa_scalar->f64.op[d->code].forward(
        &(pnng_call){.ptr = ptr, .stride = stride, .rows = 1, .cols = 1, .a = d->nums[0]});
    return y;
}

static double one_gradient(const node *d, double x, double y, double g) {
    const bool from_x = strcmp(pnng_op_table(NULL)[d->code].family, "unary_x") == 0;
    double dx;
    void *const ptr[] = {&dx, &g, from_x ? &x : &y};
    const ptrdiff_t stride[] = {1, 1, 1};
    const uint8_t store = 0;
    pnng_isa_scalar->f64.op[d->code].backward(&(pnng_call){
        .ptr = ptr, .stride = stride, .rows = 1, .cols = 1, .a = d->nums[0], .accumulate = &store});
    return dx;
}

/* Values of one op. `differences`: with targets and weights of losses as they were held. */
static void node_values(net *t, const node *d, bool differences) {
    value *const y = &t->v[d->out];
    const value *const x = d->n_in ? &t->v[d->in[0]] : NULL;
    const double c = d->nums[0];
    const around a =
        x && d->n_ints && x->shape.ndim ? look(&x->shape, d->ints[0]) : (around){1, 1, 1};
    switch (d->code) {
#define EACH(expression)                                                                           \
    for (size_t k = 0; k < y->n; k++)                                                              \
        y->y[k] = expression;                                                                      \
    break
    case PNNG_OP_TANH:
        EACH(tanh(x->y[k]));
    case PNNG_OP_SIGMOID:
        EACH(1 / (1 + exp(-x->y[k])));
    case PNNG_OP_RELU:
        EACH(x->y[k] > 0 ? x->y[k] : 0);
    case PNNG_OP_EXP:
        EACH(exp(x->y[k]));
    case PNNG_OP_LOG:
        EACH(log(x->y[k]));
    case PNNG_OP_MUL_CONSTANT:
        EACH(c * x->y[k]);
    case PNNG_OP_ADD_CONSTANT:
        EACH(c + x->y[k]);
    case PNNG_OP_ADD:
    case PNNG_OP_SUB:
    case PNNG_OP_MUL:
    case PNNG_OP_DIV:
    case PNNG_OP_MAX:
    case PNNG_OP_MIN:
        EACH(table_value(t, d, k));
    case PNNG_OP_PRELU:
        EACH(x->y[k] > 0 ? x->y[k] : x->y[k] * t->v[d->in[1]].y[k]);
    case PNNG_OP_TURN_GRADIENT:
        EACH(differences ? x->held[k] + c * (x->y[k] - x->held[k]) : x->y[k]);
    case PNNG_OP_ONE_HOT:
        EACH(x->y[k / (size_t)d->ints[0]] == (double)(k % (size_t)d->ints[0]));
    case PNNG_OP_UNIFORM:
    case PNNG_OP_NORMAL:
        break; /* set from outside */
    case PNNG_OP_REDUCE_MAX:
    case PNNG_OP_REDUCE_MIN:
        extreme_values(t, d, a);
        break;
    case PNNG_OP_DROPOUT:
        EACH(x->y[k] * t->v[d->out + 1].y[k]); /* the mask is set from outside */
    case PNNG_OP_TO_INDEX:
    case PNNG_OP_IDENTITY:
    case PNNG_OP_RESHAPE:
        EACH(x->y[k]);
    case PNNG_OP_DETACH:
        EACH((differences ? x->held : x->y)[k]);
    case PNNG_OP_TRANSPOSE:
    case PNNG_OP_REPLICATE:
    case PNNG_OP_EXPAND:
        EACH(x->y[origin_of(t, d, k)]);
    case PNNG_OP_GATHER:
        EACH(x->y[gathered(t, d, k)]);
    case PNNG_OP_MATMUL:
        matmul(t, d, false);
        break;
    case PNNG_OP_SOFTMAX:
        soft_values(a, y->y, x->y, false);
        break;
    case PNNG_OP_LOGSOFTMAX:
        soft_values(a, y->y, x->y, true);
        break;
    case PNNG_OP_REDUCE_SUM:
        for (size_t o = 0; o < a.outer; o++)
            for (size_t i = 0; i < a.inner; i++) {
                double sum = 0;
                for (size_t k = 0; k < a.n; k++)
                    sum += x->y[at(a, o, k, i)];
                y->y[o * a.inner + i] = c * sum;
            }
        break;
    case PNNG_OP_LINEAR:
        linear_values(t, d);
        break;
    case PNNG_OP_MSE:
        y->y[0] = 0;
        for (size_t k = 0; k < x->n; k++) {
            const value *const target = &t->v[d->in[1]];
            const double e = x->y[k] - (differences ? target->held : target->y)[k];
            y->y[0] += e * e / (d->ints[0] ? (double)x->n : 1);
        }
        break;
    case PNNG_OP_BCE:
        y->y[0] = 0;
        for (size_t k = 0; k < x->n; k++) {
            const value *const target = &t->v[d->in[1]];
            const double ti = (differences ? target->held : target->y)[k];
            const double e = ti * log(x->y[k] + 1e-12) + (1 - ti) * log(1 - x->y[k] + 1e-12);
            y->y[0] -= e * bce_factor(t, d, k, differences);
        }
        break;
    case PNNG_OP_NLL: {
        const value *const w = d->n_in == 3 ? &t->v[d->in[2]] : NULL;
        nll_values(t, d, !w ? NULL : differences ? w->held : w->y);
        break;
    }
    case PNNG_OP_NARROW:
    case PNNG_OP_SELECT: {
        const size_t start = (size_t)offset_of(d, &x->shape);
        const size_t n = d->code == PNNG_OP_SELECT ? 1 : (size_t)length_of(d, &x->shape);
        for (size_t o = 0; o < a.outer; o++)
            for (size_t k = 0; k < n; k++)
                for (size_t i = 0; i < a.inner; i++)
                    y->y[(o * n + k) * a.inner + i] = x->y[at(a, o, start + k, i)];
        break;
    }
    case PNNG_OP_JOIN:
        join_values(t, d);
        break;
    case PNNG_OP_HOST: /* y_0 = the sum of squares; y_1 = 3 x_0 */
        for (size_t k = 0; k < y->n; k++) {
            y->y[k] = 0;
            for (int j = 0; j < d->n_in; j++)
                y->y[k] += t->v[d->in[j]].y[k] * t->v[d->in[j]].y[k];
            t->v[d->out + 1].y[k] = 3 * x->y[k];
        }
        break;
    default: /* an elementwise op */
        for (size_t k = 0; k < y->n; k++)
            y->y[k] = one_value(d, x->y[k]);
        break;
    }
}

static void net_values(net *t, bool differences) {
    for (int k = 0; k < t->n_nodes; k++)
        node_values(t, &t->nodes[k], differences);
}

/* ---- the reference: gradients --------------------------------------------------------------- */

static void soft_gradient(around a, double *dx, const double *g, const double *y, bool is_log) {
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            double sum = 0;
            for (size_t k = 0; k < a.n; k++)
                sum += g[at(a, o, k, i)] * (is_log ? 1 : y[at(a, o, k, i)]);
            for (size_t k = 0; k < a.n; k++) {
                const size_t p = at(a, o, k, i);
                dx[p] += is_log ? g[p] - exp(y[p]) * sum : y[p] * (g[p] - sum);
            }
        }
}

static void table_gradient(net *t, const node *d, size_t k) {
    const double g = t->v[d->out].g[k], y = t->v[d->out].y[k];
    int winner = 0;
    for (int j = 1; j < d->n_in; j++) {
        const double x = t->v[d->in[j]].y[k], best = t->v[d->in[winner]].y[k];
        if (d->code == PNNG_OP_MAX ? x > best : x < best)
            winner = j;
    }
    for (int j = 0; j < d->n_in; j++) {
        double others = 1;
        for (int l = 0; l < d->n_in; l++)
            if (l != j)
                others *= t->v[d->in[l]].y[k];
        const double x = t->v[d->in[j]].y[k];
        t->v[d->in[j]].g[k] += d->code == PNNG_OP_ADD   ? g
                               : d->code == PNNG_OP_SUB ? (j ? -g : g)
                               : d->code == PNNG_OP_MUL ? g * others
                               : d->code == PNNG_OP_DIV ? (j ? -g * y / x : g / others)
                                                        : (j == winner ? g : 0);
    }
}

static void linear_gradient(net *t, const node *d) {
    const value *const x = &t->v[d->in[0]], *const w = &t->v[d->in[1]], *const y = &t->v[d->out];
    const size_t in = (size_t)w->shape.dim[1], out = (size_t)w->shape.dim[0];
    const size_t rows = x->shape.ndim == 2 ? (size_t)x->shape.dim[0] : 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            const double g = y->g[r * out + o];
            for (size_t k = 0; k < in; k++) {
                x->g[r * in + k] += g * w->y[o * in + k];
                w->g[o * in + k] += g * x->y[r * in + k];
            }
            if (d->n_in == 3)
                t->v[d->in[2]].g[o] += g;
        }
}

static void nll_gradient(net *t, const node *d) {
    value *const x = &t->v[d->in[0]];
    const value *const target = &t->v[d->in[1]];
    const double *const w = d->n_in == 3 ? t->v[d->in[2]].y : NULL;
    const size_t classes = (size_t)x->shape.dim[x->shape.ndim - 1];
    const double g = t->v[d->out].g[0], total = t->v[d->out + 1].y[0];
    for (size_t r = 0; r < target->n; r++) {
        if (target->y[r] == (double)d->ints[1] || (d->ints[0] && total == 0))
            continue;
        const size_t c = (size_t)target->y[r];
        x->g[r * classes + c] -= g * (w ? w[c] : 1) / (d->ints[0] ? total : 1);
    }
}

static void join_gradient(net *t, const node *d) {
    const value *const y = &t->v[d->out];
    const around whole = look(&y->shape, d->ints[0]);
    size_t start = 0;
    for (int j = 0; j < d->n_in; j++) {
        const value *const x = &t->v[d->in[j]];
        const around part = look(&x->shape, d->ints[0]);
        for (size_t o = 0; o < part.outer; o++)
            for (size_t k = 0; k < part.n; k++)
                for (size_t i = 0; i < part.inner; i++)
                    x->g[at(part, o, k, i)] += y->g[at(whole, o, start + k, i)];
        start += part.n;
    }
}

static void node_gradients(net *t, const node *d) {
    const value *const y = &t->v[d->out];
    value *const x = d->n_in ? &t->v[d->in[0]] : NULL;
    const double c = d->nums[0];
    const around a =
        x && d->n_ints && x->shape.ndim ? look(&x->shape, d->ints[0]) : (around){1, 1, 1};
    switch (d->code) {
#undef EACH
#define EACH(factor)                                                                               \
    for (size_t k = 0; k < y->n; k++)                                                              \
        x->g[k] += y->g[k] * (factor);                                                             \
    break
    case PNNG_OP_TANH:
        EACH(1 - y->y[k] * y->y[k]);
    case PNNG_OP_SIGMOID:
        EACH(y->y[k] * (1 - y->y[k]));
    case PNNG_OP_RELU:
        EACH(x->y[k] > 0);
    case PNNG_OP_EXP:
        EACH(y->y[k]);
    case PNNG_OP_LOG:
        EACH(1 / x->y[k]);
    case PNNG_OP_MUL_CONSTANT:
        EACH(c);
    case PNNG_OP_ADD_CONSTANT:
        EACH(1);
    case PNNG_OP_TURN_GRADIENT:
        EACH(c);
    case PNNG_OP_DROPOUT:
        EACH(t->v[d->out + 1].y[k]);
    case PNNG_OP_IDENTITY:
    case PNNG_OP_RESHAPE:
        EACH(1);
#undef EACH
    case PNNG_OP_ADD:
    case PNNG_OP_SUB:
    case PNNG_OP_MUL:
    case PNNG_OP_DIV:
    case PNNG_OP_MAX:
    case PNNG_OP_MIN:
        for (size_t k = 0; k < y->n; k++)
            table_gradient(t, d, k);
        break;
    case PNNG_OP_PRELU:
        for (size_t k = 0; k < y->n; k++) {
            x->g[k] += y->g[k] * (x->y[k] > 0 ? 1 : t->v[d->in[1]].y[k]);
            t->v[d->in[1]].g[k] += x->y[k] > 0 ? 0 : y->g[k] * x->y[k];
        }
        break;
    case PNNG_OP_ONE_HOT:
    case PNNG_OP_UNIFORM:
    case PNNG_OP_NORMAL:
        break;
    case PNNG_OP_REDUCE_MAX:
    case PNNG_OP_REDUCE_MIN:
        for (size_t k = 0; k < y->n; k++)
            x->g[at(a, k / a.inner, (size_t)t->v[d->out + 1].y[k], k % a.inner)] += y->g[k];
        break;
    case PNNG_OP_SOFTMAX:
        soft_gradient(a, x->g, y->g, y->y, false);
        break;
    case PNNG_OP_LOGSOFTMAX:
        soft_gradient(a, x->g, y->g, y->y, true);
        break;
    case PNNG_OP_REDUCE_SUM:
        for (size_t o = 0; o < a.outer; o++)
            for (size_t k = 0; k < a.n; k++)
                for (size_t i = 0; i < a.inner; i++)
                    x->g[at(a, o, k, i)] += c * y->g[o * a.inner + i];
        break;
    case PNNG_OP_LINEAR:
        linear_gradient(t, d);
        break;
    case PNNG_OP_MSE:
        for (size_t k = 0; k < x->n; k++)
            x->g[k] +=
                2 * y->g[0] * (x->y[k] - t->v[d->in[1]].y[k]) / (d->ints[0] ? (double)x->n : 1);
        break;
    case PNNG_OP_BCE:
        for (size_t k = 0; k < x->n; k++)
            x->g[k] += y->g[0] * bce_factor(t, d, k, false) * (x->y[k] - t->v[d->in[1]].y[k]) /
                       ((x->y[k] + 1e-12) * (1 - x->y[k] + 1e-12));
        break;
    case PNNG_OP_NLL:
        nll_gradient(t, d);
        break;
    case PNNG_OP_TO_INDEX:
    case PNNG_OP_DETACH:
        break;
    case PNNG_OP_TRANSPOSE:
    case PNNG_OP_REPLICATE:
    case PNNG_OP_EXPAND:
        for (size_t k = 0; k < y->n; k++)
            x->g[origin_of(t, d, k)] += y->g[k];
        break;
    case PNNG_OP_GATHER:
        for (size_t k = 0; k < y->n; k++)
            x->g[gathered(t, d, k)] += y->g[k];
        break;
    case PNNG_OP_MATMUL:
        matmul(t, d, true);
        break;
    case PNNG_OP_NARROW:
    case PNNG_OP_SELECT: {
        const size_t start = (size_t)offset_of(d, &x->shape);
        const size_t n = d->code == PNNG_OP_SELECT ? 1 : (size_t)length_of(d, &x->shape);
        for (size_t o = 0; o < a.outer; o++)
            for (size_t k = 0; k < n; k++)
                for (size_t i = 0; i < a.inner; i++)
                    x->g[at(a, o, start + k, i)] += y->g[(o * n + k) * a.inner + i];
        break;
    }
    case PNNG_OP_JOIN:
        join_gradient(t, d);
        break;
    case PNNG_OP_HOST:
        for (size_t k = 0; k < y->n; k++) {
            for (int j = 0; j < d->n_in; j++)
                t->v[d->in[j]].g[k] += 2 * t->v[d->in[j]].y[k] * y->g[k];
            x->g[k] += 3 * t->v[d->out + 1].g[k];
        }
        break;
    default: /* an elementwise op */
        for (size_t k = 0; k < y->n; k++)
            x->g[k] += one_gradient(d, x->y[k], y->y[k], y->g[k]);
        break;
    }
}

static void net_gradients(net *t) {
    for (int k = 0; k < t->n_values; k++)
        memset(t->v[k].g, 0, t->v[k].n * sizeof(double));
    for (int k = 0; k < t->n_outputs; k++)
        for (size_t i = 0; i < t->v[t->outputs[k]].n; i++)
            t->v[t->outputs[k]].g[i] += t->seeds[k][i];
    for (int k = t->n_nodes; k-- > 0;)
        node_gradients(t, &t->nodes[k]);
}

/* Outputs that carry a gradient, weighted with their seeds. */
static double net_loss(const net *t) {
    double sum = 0;
    for (int k = 0; k < t->n_outputs; k++) {
        const value *const v = &t->v[t->outputs[k]];
        const bool is_mask = v->node >= 0 && t->nodes[v->node].out != t->outputs[k] &&
                             t->nodes[v->node].code != PNNG_OP_HOST;
        for (size_t i = 0; i < v->n && v->kind == PNNG_REAL && !is_mask; i++)
            sum += v->y[i] * t->seeds[k][i];
    }
    return sum;
}

/* The reference's gradients against central differences of its values, along a random direction. */
static bool differences_agree(net *t) {
    const double h = 1e-6;
    double expected = 0, size = 1, loss[2];
    for (int k = 0; k < t->n_values; k++)
        memcpy(t->v[k].held, t->v[k].y, t->v[k].n * sizeof(double));
    const uint64_t seed = test_seed;
    for (int sign = 0; sign < 2; sign++) {
        test_seed = seed;
        for (int k = 0; k < t->n_values; k++) {
            const value *const v = &t->v[k];
            for (size_t i = 0; i < v->n && v->node < 0 && v->has_grad; i++) {
                const double way = random_in(-1, 1);
                v->y[i] = v->held[i] + (sign ? h : -h) * way;
                if (sign) {
                    expected += way * v->g[i];
                    size += fabs(way * v->g[i]);
                }
            }
        }
        net_values(t, true);
        loss[sign] = net_loss(t);
    }
    for (int k = 0; k < t->n_values; k++)
        memcpy(t->v[k].y, t->v[k].held, t->v[k].n * sizeof(double));
    const double found = (loss[1] - loss[0]) / (2 * h);
    size += fabs(loss[0]) * 1e-3;
    if (fabs(found - expected) <= 1e-5 * size)
        return true;
    printf("differences %.12g, gradients %.12g\n", found, expected);
    return false;
}

/* ---- building nets -------------------------------------------------------------------------- */

static bool covered[PNNG_OP_COUNT];

/* Append an op; its values are worked out at once. */
static int op_full(net *t, pnng_op code, const int *in, int n_in, const int64_t *ints, int n_ints,
                   double a, double b) {
    const pnng_op_info *const info = pnng_op_table(NULL) + code;
    node *const d = &t->nodes[t->n_nodes];
    *d = (node){.code = code,
                .n_in = n_in,
                .n_ints = n_ints,
                .n_nums = info->n_nums,
                .nums = {a, b},
                .n_out = code == PNNG_OP_HOST ? 2 : info->n_outputs};
    for (int k = 0; k < n_in; k++)
        d->in[k] = in[k];
    for (int k = 0; k < n_ints; k++)
        d->ints[k] = ints[k];
    const bool is_alias = strcmp(info->family, "alias") == 0 || code == PNNG_OP_DETACH ||
                          strcmp(info->family, "expand") == 0;
    const int kind = code == PNNG_OP_TO_INDEX ? PNNG_INDEX
                     : is_alias               ? t->v[in[0]].kind
                                              : PNNG_REAL;
    for (int k = 0; k < d->n_out; k++) {
        const int id = push_value(t, shape_after(t, d), kind, t->n_nodes);
        if (k == 0)
            d->out = id;
    }
    if (code == PNNG_OP_DROPOUT)
        for (size_t k = 0; k < t->v[d->out].n; k++)
            t->v[d->out + 1].y[k] = b;
    t->n_nodes++;
    covered[code] = true;
    node_values(t, d, false);
    return d->out;
}

static int op_1(net *t, pnng_op code, int x) { return op_full(t, code, &x, 1, NULL, 0, 0, 0); }

static int op_ints(net *t, pnng_op code, int x, int n_ints, int64_t a, int64_t b, int64_t c) {
    const int64_t ints[] = {a, b, c};
    return op_full(t, code, &x, 1, ints, n_ints, code == PNNG_OP_REDUCE_SUM ? 0.7 : 0, 0);
}

static int op_2(net *t, pnng_op code, int x, int y, int n_ints, int64_t a, int64_t b) {
    const int in[] = {x, y};
    const int64_t ints[] = {a, b};
    return op_full(t, code, in, 2, ints, n_ints, 0, 0);
}

static int op_host(net *t, int x, int y, bool own) {
    const int in[] = {x, y};
    const int64_t ints[] = {t->n_nodes, 2, own};
    return op_full(t, PNNG_OP_HOST, in, 2, ints, 3, 0, 0);
}

/* ---- the engine's side ---------------------------------------------------------------------- */

/* The host of nets: what node_values says of PNNG_OP_HOST. The id is the number of the node. */
typedef struct net_host {
    const net *t;
    bool f64;
    double grad_scale; /* of the last backward */
} net_host;

static pnng_status host_infer(void *user, int64_t id, const pnng_shape *in, size_t n_in,
                              pnng_shape *out, size_t n_out) {
    const net_host *const host = user;
    const node *const d = &host->t->nodes[id];
    CHECK(n_in == (size_t)d->n_in && n_out == 2);
    for (size_t k = 0; k < n_in; k++)
        CHECK(shapes_equal(&in[k], &host->t->v[d->in[k]].shape));
    out[0] = out[1] = in[0];
    return PNNG_OK;
}

static pnng_status host_forward(void *user, int64_t id, const void *const *in, size_t n_in,
                                void *const *out, size_t n_out) {
    const net_host *const host = user;
    const size_t n = host->t->v[host->t->nodes[id].out].n;
    CHECK(n_out == 2);
    for (size_t k = 0; k < n; k++) {
        double sum = 0;
        for (size_t j = 0; j < n_in; j++)
            sum +=
                real_get(in[j], host->f64, (ptrdiff_t)k) * real_get(in[j], host->f64, (ptrdiff_t)k);
        real_set(out[0], host->f64, (ptrdiff_t)k, sum);
        real_set(out[1], host->f64, (ptrdiff_t)k, 3 * real_get(in[0], host->f64, (ptrdiff_t)k));
    }
    return PNNG_OK;
}

static pnng_status host_backward(void *user, int64_t id, const void *const *in, size_t n_in,
                                 const void *const *grad_out, size_t n_out, void *const *grad_in,
                                 double scale, int32_t mask) {
    net_host *const host = user;
    const size_t n = host->t->v[host->t->nodes[id].out].n;
    CHECK(n_out == 2);
    CHECK(mask >= 1 && mask <= 3);
    host->grad_scale = scale;
    for (size_t k = 0; k < n; k++) {
        const ptrdiff_t p = (ptrdiff_t)k;
        const double g0 = grad_out[0] ? real_get(grad_out[0], host->f64, p) : 0;
        const double g1 = grad_out[1] ? real_get(grad_out[1], host->f64, p) : 0;
        CHECK(!isnan(g0) && !isnan(g1));
        for (size_t j = 0; j < n_in; j++)
            if (grad_in[j])
                real_set(grad_in[j], host->f64, p,
                         2 * real_get(in[j], host->f64, p) * g0 + (j == 0 ? 3 * g1 : 0));
    }
    return PNNG_OK;
}

static pnng_program *build_net(const net *t, net_host *host, const pnng_allocator *allocator) {
    pnng_program *program;
    if (!CHECK(pnng_program_new(allocator, &program) == PNNG_OK))
        exit(2);
    const pnng_host calls = {host_infer, host_forward, host_backward, host};
    CHECK(pnng_program_host(program, &calls) == PNNG_OK);
    for (int k = 0; k < t->n_values; k++) {
        const value *const v = &t->v[k];
        pnng_value id = -1;
        if (v->node < 0) {
            CHECK((v->is_param
                       ? pnng_program_param(program, &v->shape, v->has_grad, &id)
                       : pnng_program_input(program, v->kind, v->has_grad, &id)) == PNNG_OK);
        } else if (t->nodes[v->node].out == k) {
            const node *const d = &t->nodes[v->node];
            pnng_value in[MAX_IN], out[2];
            for (int j = 0; j < d->n_in; j++)
                in[j] = d->in[j];
            if (!CHECK(pnng_program_op(program, (int32_t)d->code, in, (size_t)d->n_in, d->ints,
                                       (size_t)d->n_ints, d->nums, (size_t)d->n_nums, out,
                                       (size_t)d->n_out) == PNNG_OK))
                printf("  %s\n", pnng_program_error(program));
            id = out[0];
        } else {
            continue;
        }
        CHECK(id == k);
    }
    for (int k = 0; k < t->n_outputs; k++)
        CHECK(pnng_program_output(program, t->outputs[k]) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    return program;
}

/* The arrays that a plan of a net is bound to, in the order of its slots. */
enum { MAX_SLOTS = 6 * MAX_VALUES };
typedef struct slots {
    size_t count;
    int group[MAX_SLOTS];
    int value[MAX_SLOTS]; /* the value, or its gradient's */
    array array[MAX_SLOTS], before[MAX_SLOTS];
} slots;

static bool is_grad(int group) { return group >= PNNG_SLOT_GRAD_PARAM; }

static size_t slot_element(const net *t, bool f64, int group, int id) {
    return t->v[id].kind == PNNG_INDEX && !is_grad(group) ? 8 : f64 ? 8 : 4;
}

static void slot_set(const net *t, const slots *s, bool f64, size_t k, const double *x) {
    for (size_t i = 0; i < t->v[s->value[k]].n; i++) {
        unsigned char *const p =
            s->array[k].data + i * slot_element(t, f64, s->group[k], s->value[k]);
        if (t->v[s->value[k]].kind == PNNG_INDEX && !is_grad(s->group[k]))
            *(int64_t *)p = (int64_t)x[i];
        else
            real_set(p, f64, 0, x[i]);
    }
}

static double slot_get(const net *t, const slots *s, bool f64, size_t k, size_t i) {
    const unsigned char *const p =
        s->array[k].data + i * slot_element(t, f64, s->group[k], s->value[k]);
    if (t->v[s->value[k]].kind == PNNG_INDEX && !is_grad(s->group[k]))
        return (double)*(const int64_t *)p;
    return real_get(p, f64, 0);
}

static void slots_open(slots *s, const net *t, bool f64) {
    s->count = 0;
    for (int group = 0; group < 6; group++) {
        const bool of_outputs = group == PNNG_SLOT_OUTPUT || group == PNNG_SLOT_GRAD_OUTPUT;
        const bool of_params = group == PNNG_SLOT_PARAM || group == PNNG_SLOT_GRAD_PARAM;
        const int n = of_outputs ? t->n_outputs : t->n_values;
        for (int k = 0; k < n; k++) {
            const int id = of_outputs ? t->outputs[k] : k;
            if (!of_outputs && (t->v[k].node >= 0 || t->v[k].is_param != of_params))
                continue;
            const size_t slot = s->count++, element = slot_element(t, f64, group, id);
            s->group[slot] = group;
            s->value[slot] = id;
            s->array[slot] = array_new(t->v[id].n, element, (size_t)random_bits());
            s->before[slot] = array_new(t->v[id].n, element, 0);
            array_fill(&s->array[slot], 0xff);
            if (group == PNNG_SLOT_INPUT || group == PNNG_SLOT_PARAM)
                slot_set(t, s, f64, slot, t->v[id].y);
            if (group == PNNG_SLOT_GRAD_OUTPUT)
                slot_set(t, s, f64, slot, t->seeds[k]);
            array_copy(&s->before[slot], &s->array[slot]);
        }
    }
}

static void slots_close(slots *s) {
    for (size_t k = 0; k < s->count; k++) {
        array_free(&s->array[k]);
        array_free(&s->before[k]);
    }
}

static void slots_bind(const slots *s, pnng_plan *plan) {
    for (size_t k = 0; k < s->count; k++)
        CHECK(pnng_plan_bind(plan, k, s->array[k].data) == PNNG_OK);
}

/* Whether what may only be read was only read, and nothing was written around arrays. */
static bool slots_clean(const slots *s) {
    for (size_t k = 0; k < s->count; k++) {
        const bool read_only = s->group[k] == PNNG_SLOT_INPUT || s->group[k] == PNNG_SLOT_PARAM ||
                               s->group[k] == PNNG_SLOT_GRAD_OUTPUT;
        if (!array_intact(&s->array[k]) || (read_only && !array_same(&s->array[k], &s->before[k])))
            return false;
    }
    return true;
}

static bool slot_close_to(const net *t, const slots *s, bool f64, size_t k, const double *x,
                          double bound) {
    for (size_t i = 0; i < t->v[s->value[k]].n; i++) {
        const double y = slot_get(t, s, f64, k, i);
        if (!(fabs(y - x[i]) <= bound)) {
            printf("  group %d value %d element %zu: %.17g, reference %.17g\n", s->group[k],
                   s->value[k], i, y, x[i]);
            return false;
        }
    }
    return true;
}

static double greatest(const net *t, bool of_gradients) {
    double most = 0;
    for (int k = 0; k < t->n_values; k++)
        for (size_t i = 0; i < t->v[k].n; i++)
            most = fmax(most, fabs(of_gradients ? t->v[k].g[i] : t->v[k].y[i]));
    return most;
}

static void print_net(const net *t) {
    for (int k = 0; k < t->n_values; k++) {
        const value *const v = &t->v[k];
        printf("  %%%d ", k);
        for (int64_t d = 0; d < v->shape.ndim; d++)
            printf("%s%d", d ? "x" : "", (int)v->shape.dim[d]);
        if (v->node < 0) {
            printf(" %s%s\n",
                   v->is_param ? "param"
                   : v->kind   ? "index"
                               : "input",
                   v->has_grad ? "" : " no grad");
            continue;
        }
        const node *const d = &t->nodes[v->node];
        printf(" = %s(", pnng_op_table(NULL)[d->code].name);
        for (int j = 0; j < d->n_in; j++)
            printf("%s%%%d", j ? ", " : "", d->in[j]);
        for (int j = 0; j < d->n_ints; j++)
            printf("%s%d", j ? ", " : "; ", (int)d->ints[j]);
        printf(")\n");
    }
    printf("  outputs");
    for (int k = 0; k < t->n_outputs; k++)
        printf(" %%%d", t->outputs[k]);
    printf("\n");
}

static bool draws(const net *t, int id) {
    const value *const v = &t->v[id];
    if (v->node < 0)
        return false;
    const pnng_op code = t->nodes[v->node].code;
    return code == PNNG_OP_UNIFORM || code == PNNG_OP_NORMAL ||
           (code == PNNG_OP_DROPOUT && t->nodes[v->node].out != id);
}

/* What was drawn becomes the reference's. Masks and numbers drawn are outputs of such nets. */
static void take_masks(net *t, const slots *s, bool f64) {
    bool any = false;
    for (size_t k = 0; k < s->count; k++) {
        value *const v = &t->v[s->value[k]];
        if (s->group[k] != PNNG_SLOT_OUTPUT || !draws(t, s->value[k]))
            continue;
        for (size_t i = 0; i < v->n; i++)
            v->y[i] = slot_get(t, s, f64, k, i);
        any = true;
    }
    if (any) {
        net_values(t, false);
        net_gradients(t);
    }
}

static void check_forward(net *t, pnng_plan *plan, slots *s, bool f64, double tolerance) {
    CHECK(pnng_plan_forward(plan, 7) == PNNG_OK);
    take_masks(t, s, f64);
    const double bound = tolerance * (1 + greatest(t, false));
    for (size_t k = 0; k < s->count; k++)
        if (s->group[k] == PNNG_SLOT_OUTPUT) {
            CHECK(slot_close_to(t, s, f64, k, t->v[s->value[k]].y, bound));
            array_copy(&s->before[k], &s->array[k]);
            array_fill(&s->array[k], 0xff);
        }
    spoil_arena(plan);
    CHECK(pnng_plan_forward(plan, 7) == PNNG_OK);
    for (size_t k = 0; k < s->count; k++)
        if (s->group[k] == PNNG_SLOT_OUTPUT) {
            CHECK(array_same(&s->array[k], &s->before[k]));
            array_fill(&s->array[k], 0xff); /* the caller may do with outputs as he likes */
        }
}

/* One backward run, from gradients of inputs that are NaN and of parameters that are zero. What is
 * not asked for is not even bound, and stays as it was. `first`: nothing to compare with yet. */
static void check_backward(pnng_plan *plan, slots *s, int32_t mask, bool *first) {
    for (size_t k = 0; k < s->count; k++) {
        const bool of_input = s->group[k] == PNNG_SLOT_GRAD_INPUT;
        if (!of_input && s->group[k] != PNNG_SLOT_GRAD_PARAM)
            continue;
        const bool asked = mask & (of_input ? PNNG_GRAD_INPUTS : PNNG_GRAD_PARAMS);
        array_fill(&s->array[k], of_input ? 0xff : 0);
        pnng_plan_bind(plan, k, asked ? s->array[k].data : NULL);
    }
    const pnng_status status = pnng_plan_backward(plan, 1, mask);
    if (!CHECK(status == PNNG_OK))
        printf("  %s\n", pnng_plan_error(plan));
    for (size_t k = 0; k < s->count; k++) {
        const bool of_input = s->group[k] == PNNG_SLOT_GRAD_INPUT;
        if (!of_input && s->group[k] != PNNG_SLOT_GRAD_PARAM)
            continue;
        if (!(mask & (of_input ? PNNG_GRAD_INPUTS : PNNG_GRAD_PARAMS))) {
            CHECK(array_holds(&s->array[k], of_input ? 0xff : 0));
            continue;
        }
        bool *const seen = &first[of_input];
        if (*seen)
            array_copy(&s->before[k], &s->array[k]);
        else
            CHECK(array_same(&s->array[k], &s->before[k]));
    }
    if (mask & PNNG_GRAD_INPUTS)
        first[1] = false;
    if (mask & PNNG_GRAD_PARAMS)
        first[0] = false;
}

static void check_gradients(const net *t, pnng_plan *plan, slots *s, bool f64, double tolerance) {
    static const int32_t masks[] = {3, 1, 2, 2, 3, 1};
    bool first[2] = {true, true};
    const size_t start = (size_t)(random_bits() % 3);
    for (size_t k = 0; k < 4; k++)
        check_backward(plan, s, masks[start + k], first);
    check_backward(plan, s, 3, first);
    const double bound = tolerance * (1 + greatest(t, true) + greatest(t, false));
    for (size_t k = 0; k < s->count; k++) {
        const value *const v = &t->v[s->value[k]];
        if (s->group[k] == PNNG_SLOT_GRAD_INPUT || s->group[k] == PNNG_SLOT_GRAD_PARAM) {
            if (v->has_grad)
                CHECK(slot_close_to(t, s, f64, k, v->g, bound));
            else
                CHECK(array_holds(&s->array[k], s->group[k] == PNNG_SLOT_GRAD_INPUT ? 0xff : 0));
        }
    }
    /* Parameters accumulate, with a factor. */
    for (size_t k = 0; k < s->count; k++)
        for (size_t i = 0; s->group[k] == PNNG_SLOT_GRAD_PARAM && i < t->v[s->value[k]].n; i++)
            real_set(s->array[k].data, f64, (ptrdiff_t)i, 0.25 * (double)(i % 5));
    CHECK(pnng_plan_backward(plan, -0.5, PNNG_GRAD_PARAMS) == PNNG_OK);
    bool right = true;
    for (size_t k = 0; k < s->count; k++)
        for (size_t i = 0; s->group[k] == PNNG_SLOT_GRAD_PARAM && i < t->v[s->value[k]].n; i++) {
            const value *const v = &t->v[s->value[k]];
            const double wanted = 0.25 * (double)(i % 5) - (v->has_grad ? 0.5 * v->g[i] : 0);
            right = right && fabs(slot_get(t, s, f64, k, i) - wanted) <= bound;
        }
    CHECK(right);
    /* The same again after another forward. */
    slots_bind(s, plan);
    CHECK(pnng_plan_forward(plan, 7) == PNNG_OK);
    check_backward(plan, s, 3, first);
}

/* Steps name the op that they are for. Without one are only copies of inputs and parameters that
 * are outputs, their gradients, and zeros for inputs that nothing depends on. */
static void check_ops_of_steps(const net *t, pnng_plan *plan) {
    bool leaves_alone = true;
    for (int k = 0; k < t->n_outputs; k++)
        leaves_alone = leaves_alone && t->v[t->outputs[k]].node >= 0;
    for (int32_t direction = 0; direction < 2; direction++) {
        const pnng_steps *const steps = direction ? &plan->backward : &plan->forward;
        for (size_t k = 0; k < steps->count; k++) {
            pnng_step_info info = {0};
            CHECK(pnng_plan_step(plan, direction, k, &info) == PNNG_OK);
            for (size_t j = 0; j < info.n_ops; j++)
                CHECK(info.ops[j] >= 0 && info.ops[j] < t->n_nodes);
            const pnng_step *const step = &steps->step[k];
            if (step->finish)
                CHECK(info.n_ops >= 2);
            else if (step->run == pnng_run_chain)
                CHECK(info.n_ops <= plan->chains[step->j].n_members);
            else if (step->run != pnng_run_gemm || !plan->flag_pool[step->first_flag])
                CHECK(info.n_ops <= 1);
            if (info.n_ops || step->run == pnng_run_chain)
                continue;
            if (leaves_alone)
                CHECK(steps->step[k].kernel == plan->kernels->common.fill &&
                      steps->step[k].mask == PNNG_GRAD_INPUTS);
        }
    }
}

/* How many steps became ends of others, sums of them, and members of chains. */
static size_t fused_steps, summed_steps, chained_steps;

/* How many weights are packed for several products. */
static size_t packed_weights(const pnng_plan *plan) {
    size_t count = 0;
    for (size_t s = 0; s < plan->forward.count; s++)
        count += plan->forward.step[s].run == pnng_run_pack;
    return count;
}

/* Without fusion: the bits that the fused plan gave, which `before` holds. */
static void check_unfused(pnng_program *program, int32_t dtype, const pnng_shape *inputs,
                          size_t n_inputs, int32_t flags, const pnng_plan *fused, slots *s) {
    pnng_plan *plan;
    if (!CHECK(pnng_plan_new(program, dtype, inputs, n_inputs, flags | PNNG_PLAN_UNFUSED, &plan) ==
               PNNG_OK)) {
        pnng_plan_free(plan);
        return;
    }
    CHECK(plan->n_finishes == 0 && plan->n_sums == 0 && plan->n_chains == 0 &&
          packed_weights(plan) == 0);
    CHECK(plan->forward.count + plan->backward.count + packed_weights(fused) ==
          fused->forward.count + fused->backward.count + fused->n_finishes + fused->n_sums +
              fused->n_members - fused->n_chains);
    fused_steps += fused->n_finishes;
    summed_steps += fused->n_sums;
    chained_steps += fused->n_members;
    slots_bind(s, plan);
    for (size_t k = 0; k < s->count; k++)
        if (s->group[k] == PNNG_SLOT_OUTPUT)
            array_fill(&s->array[k], 0xff);
    CHECK(pnng_plan_forward(plan, 7) == PNNG_OK);
    for (size_t k = 0; k < s->count; k++)
        if (s->group[k] == PNNG_SLOT_OUTPUT)
            CHECK(array_same(&s->array[k], &s->before[k]));
    bool first[2] = {false, false};
    if (flags & PNNG_PLAN_BACKWARD)
        check_backward(plan, s, 3, first);
    pnng_plan_free(plan);
}

/* All there is to check of a net in one number type. */
static void check_net_as(net *t, bool f64, const char *what) {
    static slots s;
    static watch w;
    const double tolerance = f64 ? 1e-10 : 1e-4;
    const long failed = test_failed;
    const int32_t dtype = f64 ? PNNG_F64 : PNNG_F32;
    snprintf(test_where, sizeof test_where, "%s, %s", what, f64 ? "f64" : "f32");
    watch_begin(&w);
    net_host host = {t, f64, 0};
    /* Every other one with plain malloc, whose blocks a sanitizer knows the ends of. */
    pnng_program *const program = build_net(t, &host, random_bits() >> 63 ? &w.allocator : NULL);
    pnng_shape inputs[MAX_VALUES];
    size_t n_inputs = 0;
    for (int k = 0; k < t->n_values; k++)
        if (t->v[k].node < 0 && !t->v[k].is_param)
            inputs[n_inputs++] = t->v[k].shape;
    for (int32_t flags = 0; flags < 2; flags++) {
        pnng_plan *plan;
        const pnng_status status = pnng_plan_new(program, dtype, inputs, n_inputs, flags, &plan);
        if (!CHECK(status == PNNG_OK)) {
            printf("  %s (op %d)\n", pnng_plan_error(plan), (int)pnng_plan_error_op(plan));
            pnng_plan_free(plan);
            break;
        }
        for (int k = 0; k < t->n_values; k++) {
            pnng_shape shape;
            CHECK(pnng_plan_shape(plan, k, &shape) == PNNG_OK);
            CHECK(shapes_equal(&shape, &t->v[k].shape));
        }
        check_ops_of_steps(t, plan);
        CHECK(pnng_plan_measure(plan, f64) == PNNG_OK); /* it changes no number */
        slots_open(&s, t, f64);
        slots_bind(&s, plan);
        CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_ERROR_ORDER);
        check_forward(t, plan, &s, f64, tolerance);
        if (flags & PNNG_PLAN_BACKWARD)
            check_gradients(t, plan, &s, f64, tolerance);
        else
            CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_ERROR_ORDER);
        check_unfused(program, dtype, inputs, n_inputs, flags, plan, &s);
        CHECK(slots_clean(&s));
        slots_close(&s);
        pnng_plan_free(plan);
    }
    pnng_program_free(program);
    CHECK(w.live == 0 && w.overruns == 0);
    if (test_failed > failed && failed < 3) {
        printf("the program of %s:\n", test_where);
        print_net(t);
    }
}

static void check_net(net *t, const char *what) {
    snprintf(test_where, sizeof test_where, "%s, reference", what);
    net_gradients(t);
    CHECK(differences_agree(t));
    check_net_as(t, true, what);
    check_net_as(t, false, what);
    net_clear(t);
}

/* ---- every op on every kind of view --------------------------------------------------------- */

typedef enum source { FROM_INPUT, FROM_PARAM, FROM_OP, SOURCES } source;

/* How an op's input lies in a larger array, along one dim. */
typedef enum piece {
    PIECE_WHOLE,
    PIECE_FIRST,    /* one narrow: the rest gets no gradient */
    PIECE_TILES,    /* narrows that cover all */
    PIECE_TWICE,    /* the same, each used twice */
    PIECE_OVERLAP,  /* narrows with a common part */
    PIECE_SELECTS,  /* all selects */
    PIECE_ONE,      /* one select */
    PIECE_RESHAPED, /* a reshape of a narrow: a copy, where the narrow has holes */
    PIECE_NESTED,   /* a narrow of a select of a narrow */
    PIECES
} piece;

static const char *const piece_names[] = {"whole",   "first", "tiles",    "twice", "overlap",
                                          "selects", "one",   "reshaped", "nested"};

/* What happens to the results. */
typedef enum after {
    AFTER_NOTHING,
    AFTER_NARROW,
    AFTER_JOIN,
    AFTER_TWICE,
    AFTER_TANH,
    AFTERS
} after;

static double low = 0.3, high = 1.5;

static int fresh_like(net *t, int id, bool is_param) {
    const int x = leaf(t, is_param, true, t->v[id].shape, low, high);
    for (size_t k = 0; k < t->v[x].n && low > 0.3; k++)
        t->v[x].y[k] = floor(t->v[x].y[k]);
    return x;
}

static int narrow(net *t, int x, int64_t dim, int64_t offset, int64_t length) {
    return op_ints(t, PNNG_OP_NARROW, x, 3, dim, offset, length);
}

static int as_matrix(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim == 1 || shape->ndim == 2)
        return x;
    return op_ints(t, PNNG_OP_RESHAPE, x, 2, -1, shape->ndim ? shape->dim[shape->ndim - 1] : 1, 0);
}

static int apply_linear(net *t, int v, int turn, int *results) {
    int n = 0;
    const int x = as_matrix(t, v);
    const int features = (int)t->v[x].shape.dim[t->v[x].shape.ndim - 1];
    int in[] = {x, -1, leaf(t, turn % 2, true, shape_of(1, 3), -1, 1)};
    if (turn % 3 == 0) {
        in[1] = leaf(t, true, true, shape_of(2, 3, features), -1, 1);
    } else { /* a weight that is part of a larger one, with holes */
        const int large = leaf(t, turn % 3 == 1, true, shape_of(2, 4, features + 2), -1, 1);
        in[1] = narrow(t, narrow(t, large, 1, 1, features), 0, 1, 3);
    }
    results[n++] = op_full(t, PNNG_OP_LINEAR, in, turn % 2 ? 3 : 2, NULL, 0, 0, 0);
    if (t->v[x].shape.ndim == 2 && features > 0) { /* as a weight */
        const int rows = leaf(t, false, true, shape_of(2, turn % 4 ? 2 : 11, features), -1, 1);
        results[n++] = op_2(t, PNNG_OP_LINEAR, rows, x, 0, 0, 0);
    }
    return n;
}

/* As the left and the right operand of products, and as a batch, turned and not. */
static int apply_matmul(net *t, int v, int turn, int *results) {
    int n = 0;
    const bool batch = t->v[v].shape.ndim == 3 && turn % 2;
    const int x = batch ? v : as_matrix(t, v);
    if (t->v[x].shape.ndim < 2)
        return 0;
    const pnng_shape *const shape = &t->v[x].shape;
    const int rows = (int)shape->dim[shape->ndim - 2], cols = (int)shape->dim[shape->ndim - 1];
    for (int way = 0; way < 4; way++) {
        const bool ta = way & 1, tb = way & 2;
        const int inner = ta ? rows : cols, other = 1 + (turn + way) % 11;
        const int count = batch ? (int)shape->dim[0] : 1;
        pnng_shape wanted = shape_of(3, count, tb ? other : inner, tb ? inner : other);
        if (!batch)
            wanted = without(wanted, 0);
        int y = leaf(t, turn % 2, true, wanted, -1, 1);
        if (way == turn % 4) /* columns that are contiguous */
            y = op_ints(t, PNNG_OP_TRANSPOSE, y, 2, -1, -2, 0);
        const bool tc = way == turn % 4 ? !tb : tb;
        results[n++] = op_2(t, PNNG_OP_MATMUL, x, y, 2, ta, tc);
        results[n++] = op_2(t, PNNG_OP_MATMUL, y, x, 2, !tc, !ta);
    }
    return n;
}

static int apply_gather(net *t, int v, int turn, int *results) {
    int n = 0;
    const int x = as_matrix(t, v);
    if (t->v[x].shape.ndim < 2)
        return 0;
    const pnng_shape where = turn % 3 ? shape_of(1, 1 + turn % 7) : shape_of(2, 2, 3);
    const int index = index_leaf(t, where, t->v[x].shape.dim[0], 0);
    if (t->v[x].shape.dim[0] > 0)
        results[n++] = op_2(t, PNNG_OP_GATHER, x, index, 1, -1, 0);
    return n;
}

static void apply_nll(net *t, int v, int turn) {
    const int x = as_matrix(t, v);
    const pnng_shape *const shape = &t->v[x].shape;
    const int rows = shape->ndim == 2 ? (int)shape->dim[0] : 1;
    const int classes = (int)shape->dim[shape->ndim - 1];
    /* Targets are a column of a larger array. */
    int target = index_leaf(t, shape_of(2, rows, 3), classes, -100);
    target = op_ints(t, PNNG_OP_SELECT, target, 2, 1, turn % 3, 0);
    const int in[] = {x, target, leaf(t, true, true, shape_of(1, classes), 0.5, 1.5)};
    const int64_t ints[] = {turn % 2, -100};
    output(t, op_full(t, PNNG_OP_NLL, in, turn % 4 < 2 ? 2 : 3, ints, 2, 0, 0));
    output(t, t->nodes[t->n_nodes - 1].out + 1);
}

/* Results of an op on v, for every dim where it has one. */
static int apply(net *t, pnng_op code, int v, int turn, int *results) {
    const pnng_op_info *const info = pnng_op_table(NULL) + code;
    const pnng_shape shape = t->v[v].shape;
    int n = 0;
    if (strncmp(info->family, "unary", 5) == 0 || code == PNNG_OP_IDENTITY) {
        /* The gradient of root is the derivative for 0 only. */
        results[n++] = op_full(t, code, &v, 1, NULL, 0, code == PNNG_OP_ROOT ? 0 : 0.7, 0);
    } else if (code == PNNG_OP_TURN_GRADIENT) {
        results[n++] = op_full(t, code, &v, 1, NULL, 0, -0.7, 0);
    } else if (code == PNNG_OP_UNIFORM || code == PNNG_OP_NORMAL) {
        results[n++] = op_full(t, code, &v, 1, NULL, 0, 0.5, 1.5);
        output(t, results[0]);
    } else if (code == PNNG_OP_PRELU) {
        const int other = turn % 5 == 4 ? v : fresh_like(t, v, turn % 2);
        const int minus = op_full(t, PNNG_OP_MUL_CONSTANT, &v, 1, NULL, 0, -1, 0);
        results[n++] = op_2(t, code, turn % 3 ? v : minus, other, 0, 0, 0);
    } else if (code == PNNG_OP_ONE_HOT) {
        results[n++] = op_ints(t, code, index_leaf(t, shape, 4, 0), 1, 4, 0, 0);
    } else if (strcmp(info->family, "sum") == 0 || strcmp(info->family, "nary") == 0) {
        const int count = 1 + turn % 4;
        int in[4];
        for (int k = 0; k < count; k++)
            in[k] =
                k == turn / 4 % count || (turn % 5 == 4 && k == 0) ? v : fresh_like(t, v, k % 2);
        results[n++] = op_full(t, code, in, count, NULL, 0, 0, 0);
    } else if (code == PNNG_OP_SOFTMAX || code == PNNG_OP_LOGSOFTMAX) {
        for (int64_t d = 0; d < shape.ndim; d++)
            results[n++] = op_ints(t, code, v, 1, turn % 2 ? d : d - shape.ndim, 0, 0);
    } else if (strcmp(info->family, "extreme") == 0) {
        for (int64_t d = 0; d < shape.ndim; d++)
            if (shape.dim[d] > 0) {
                results[n++] =
                    op_ints(t, code, v, 2, turn % 2 ? d : d - shape.ndim, (turn + d) % 2, 0);
                if (turn % 3 == 0)
                    output(t, results[n - 1] + 1);
            }
    } else if (code == PNNG_OP_REDUCE_SUM) {
        for (int64_t d = 0; d < shape.ndim; d++)
            results[n++] = op_ints(t, code, v, 2, turn % 2 ? d : d - shape.ndim, (turn + d) % 2, 0);
    } else if (code == PNNG_OP_DROPOUT) {
        results[n++] = op_full(t, code, &v, 1, NULL, 0, 0.4, 1.5);
        output(t, results[0] + 1);
    } else if (code == PNNG_OP_LINEAR) {
        n = apply_linear(t, v, turn, results);
    } else if (code == PNNG_OP_MATMUL) {
        n = apply_matmul(t, v, turn, results);
    } else if (code == PNNG_OP_GATHER) {
        n = apply_gather(t, v, turn, results);
    } else if (code == PNNG_OP_DETACH) {
        results[n++] =
            op_2(t, PNNG_OP_MUL, op_1(t, code, v), turn % 2 ? v : fresh_like(t, v, 0), 0, 0, 0);
    } else if (code == PNNG_OP_TRANSPOSE) {
        for (int64_t d = 0; d < shape.ndim; d++)
            results[n++] = op_ints(t, code, v, 2, turn % 2 ? d : d - shape.ndim,
                                   (d + 1 + turn / 2) % shape.ndim, 0);
    } else if (code == PNNG_OP_REPLICATE) {
        for (int64_t d = 0; d <= shape.ndim; d++)
            results[n++] = op_ints(t, code, v, 2, turn % 2 ? d : d - shape.ndim - 1,
                                   (turn + d) % 4 ? (turn + d) % 4 : 6, 0);
    } else if (code == PNNG_OP_EXPAND) {
        pnng_shape wanted = shape;
        for (int64_t d = 0; d < shape.ndim; d++)
            wanted.dim[d] = shape.dim[d] == 1 ? 1 + (turn + d) % 4 : shape.dim[d];
        results[n++] = op_2(t, code, v, leaf(t, turn % 2, true, wanted, -1, 1), 0, 0, 0);
        for (int64_t d = 0; d < shape.ndim; d++)
            results[n++] = op_2(t, code, op_ints(t, PNNG_OP_REDUCE_SUM, v, 2, d, 1, 0), v, 0, 0, 0);
    } else if (code == PNNG_OP_MSE) {
        const int other = turn % 3 ? fresh_like(t, v, turn % 2) : v;
        results[n++] = op_2(t, code, v, other, 1, turn % 2, 0);
        results[n++] = op_2(t, code, fresh_like(t, v, false), v, 1, turn % 2, 0);
    } else if (code == PNNG_OP_BCE) { /* x, t and w in turn */
        const int half = op_full(t, PNNG_OP_MUL_CONSTANT, &v, 1, NULL, 0, 0.5, 0);
        int in[] = {half, fresh_like(t, v, turn % 2), fresh_like(t, v, false)};
        if (turn % 3 == 0)
            in[2] = v;
        else if (turn % 3 == 1)
            in[1] = v;
        const int64_t average = turn % 2;
        results[n++] = op_full(t, code, in, turn % 5 ? 3 : 2, &average, 1, 0, 0);
    } else if (code == PNNG_OP_NLL) {
        apply_nll(t, v, turn);
    } else if (code == PNNG_OP_TO_INDEX) {
        output(t, op_1(t, code, v));
    } else if (code == PNNG_OP_RESHAPE) {
        results[n++] = op_ints(t, code, v, 1, -1, 0, 0);
        if (shape.ndim > 1) {
            results[n++] = op_ints(t, code, v, 2, -2, -1, 0);
            results[n++] = op_ints(t, code, v, 3, -1, 1, shape.dim[shape.ndim - 1]);
        }
    } else if (code == PNNG_OP_NARROW || code == PNNG_OP_SELECT) {
        const int n_ints = code == PNNG_OP_NARROW ? 3 : 2;
        for (int64_t d = 0; d < shape.ndim; d++)
            if (shape.dim[d] > 0)
                results[n++] = op_ints(t, code, v, n_ints, d, turn % 2 ? -1 : shape.dim[d] / 2,
                                       turn % 2 ? 1 : -1);
    } else if (code == PNNG_OP_JOIN) {
        for (int64_t d = 0; d < shape.ndim; d++) {
            const int other = turn % 3 ? fresh_like(t, v, false) : v;
            results[n++] = op_2(t, code, turn % 2 ? v : other, turn % 2 ? other : v, 1, d, 0);
        }
    } else if (code == PNNG_OP_HOST) {
        results[n] = op_host(t, v, turn % 2 ? v : fresh_like(t, v, turn % 4 == 0), turn % 3 == 0);
        if (turn % 3)
            output(t, results[n] + 1);
        n++;
    }
    return n;
}

static void finish(net *t, after how, int result) {
    const pnng_shape *const shape = &t->v[result].shape;
    if (shape->ndim == 0 && how != AFTER_TANH)
        how = AFTER_NOTHING;
    if (how == AFTER_NARROW && shape->dim[shape->ndim - 1] > 0)
        result = narrow(t, result, shape->ndim - 1, 0, (shape->dim[shape->ndim - 1] + 1) / 2);
    else if (how == AFTER_JOIN) { /* its gradient is part of a larger one, and nowhere else */
        const int other = leaf(t, false, true, *shape, low, high);
        result = op_2(t, PNNG_OP_JOIN, other, result, 1, t->v[result].shape.ndim - 1, 0);
    } else if (how == AFTER_TWICE)
        result = op_2(t, PNNG_OP_JOIN, result, result, 1, shape->ndim - 1, 0);
    else if (how == AFTER_TANH)
        result = op_1(t, PNNG_OP_TANH, result);
    output(t, result);
}

/* The pieces of x along dim d. */
static int cut(net *t, piece how, int x, int64_t d, int *pieces) {
    const int64_t size = t->v[x].shape.dim[d], half = (size + 1) / 2;
    int n = 0;
    switch (how) {
    case PIECE_WHOLE:
        pieces[n++] = x;
        break;
    case PIECE_FIRST:
        pieces[n++] = narrow(t, x, d, 0, half);
        break;
    case PIECE_TILES:
    case PIECE_TWICE:
        pieces[n++] = narrow(t, x, d, half, size - half);
        pieces[n++] = narrow(t, x, d - t->v[x].shape.ndim, 0, half);
        if (how == PIECE_TILES)
            break;
        pieces[n++] = pieces[0];
        pieces[n++] = narrow(t, x, d, 0, half);
        break;
    case PIECE_OVERLAP:
        pieces[n++] = narrow(t, x, d, 0, half);
        pieces[n++] = narrow(t, x, d, half - 1, -1);
        break;
    case PIECE_SELECTS:
        for (int64_t k = size; k-- > 0;)
            pieces[n++] = op_ints(t, PNNG_OP_SELECT, x, 2, d, k, 0);
        break;
    case PIECE_ONE:
        pieces[n++] = op_ints(t, PNNG_OP_SELECT, x, 2, d, -1, 0);
        break;
    case PIECE_RESHAPED: {
        const int part = narrow(t, x, d, 1, size - 1);
        pieces[n++] = op_ints(t, PNNG_OP_RESHAPE, part, 1, -1, 0, 0);
        const int64_t last = t->v[part].shape.dim[t->v[part].shape.ndim - 1];
        pieces[n++] = op_ints(t, PNNG_OP_RESHAPE, part, 2, last, -1, 0);
        break;
    }
    case PIECE_NESTED: {
        const int part = narrow(t, x, d, 1, size - 1);
        const int64_t other = (d + 1) % t->v[x].shape.ndim;
        const int one = op_ints(t, PNNG_OP_SELECT, part, 2, other, 0, 0);
        pieces[n++] = t->v[one].shape.ndim ? narrow(t, one, -1, 0, 1) : one;
        pieces[n++] = part;
        break;
    }
    case PIECES:
        break;
    }
    return n;
}

static void view_case(net *t, pnng_op code, const pnng_shape *shape, piece how, int64_t d,
                      int turn) {
    const source from = (source)(turn % (code == PNNG_OP_TO_INDEX ? FROM_OP : SOURCES));
    low = code == PNNG_OP_TO_INDEX ? 1 : 0.3; /* whole numbers for to_index */
    high = code == PNNG_OP_TO_INDEX ? 100 : 1.5;
    int x = leaf(t, from == FROM_PARAM, turn % 7 != 6, *shape, low, high);
    for (size_t k = 0; k < t->v[x].n; k++)
        t->v[x].y[k] = code == PNNG_OP_TO_INDEX                        ? floor(t->v[x].y[k])
                       : code == PNNG_OP_RELU && random_in(0, 1) < 0.5 ? -t->v[x].y[k]
                                                                       : t->v[x].y[k];
    if (from == FROM_OP)
        x = op_1(t, PNNG_OP_TANH, x);
    int pieces[32];
    const int n_pieces = cut(t, how, x, d, pieces);
    for (int k = 0; k < n_pieces; k++) {
        int results[10];
        const int n = apply(t, code, pieces[k], turn + k, results);
        for (int r = 0; r < n; r++)
            finish(t, (after)((turn / 3 + r) % AFTERS), results[r]);
    }
    char what[100];
    snprintf(what, sizeof what, "%s of %s, %d dims, along %d, turn %d",
             pnng_op_table(NULL)[code].name, piece_names[how], (int)shape->ndim, (int)d, turn);
    if (t->n_outputs)
        check_net(t, what);
    else
        net_clear(t);
}

/* Ops that have no reference here: test_windows.c and test_convolution.c run them on every
 * instruction set, test_threads.c on arrays laid out in every way, and tests in Python compare them
 * with NumPy. */
static bool is_done_elsewhere(pnng_op code) {
    switch (code) {
    case PNNG_OP_BATCH_NORM:
    case PNNG_OP_CHANNEL_AFFINE:
    case PNNG_OP_CHANNEL_PRELU:
    case PNNG_OP_LAYER_NORM:
    case PNNG_OP_SMOOTH_L1:
    case PNNG_OP_MAX_POOL:
    case PNNG_OP_MAX_UNPOOL:
    case PNNG_OP_AVERAGE_POOL:
    case PNNG_OP_FRACTIONAL_POOL:
    case PNNG_OP_PICK:
    case PNNG_OP_INTERPOLATE:
    case PNNG_OP_CONVOLUTION:
    case PNNG_OP_FULL_CONVOLUTION:
    case PNNG_OP_FRAMES:
        return true;
    default:
        return false;
    }
}

static void test_views(void) {
    static net t;
    const pnng_shape shapes[] = {shape_of(1, 5),       shape_of(2, 3, 4),       shape_of(2, 2, 19),
                                 shape_of(3, 2, 3, 4), shape_of(4, 2, 3, 2, 3), shape_of(2, 12, 2)};
    for (int code = 0; code < PNNG_OP_COUNT; code++) {
        int turn = code;
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int how = 0; how < PIECES; how++)
                for (int64_t d = 0; d < (how == PIECE_WHOLE ? 1 : shapes[k].ndim); d++)
                    for (int again = 0; again < 2; again++)
                        view_case(&t, (pnng_op)code, &shapes[k], (piece)how, d, turn += 5);
        snprintf(test_where, sizeof test_where, "the op %s", pnng_op_table(NULL)[code].name);
        CHECK(covered[code] || is_done_elsewhere((pnng_op)code));
    }
}

/* Products large enough to be packed, in blocks that do not divide them. */
static void test_large_products(void) {
    static net t;
    const int sizes[][3] = {{40, 300, 37}, {9, 5, 7}, {129, 17, 70}, {8, 8, 8}, {33, 270, 1}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int rows = sizes[k][0], in = sizes[k][1], out = sizes[k][2];
        const int x = leaf(&t, false, true, shape_of(2, rows, in + 1), -1, 1);
        const int part = narrow(&t, x, 1, 1, in);
        const int weight = leaf(&t, true, true, shape_of(2, out, in), -0.1, 0.1);
        const int bias = leaf(&t, true, true, shape_of(1, out), -1, 1);
        const int ins[] = {part, weight, bias};
        output(&t, op_1(&t, PNNG_OP_TANH, op_full(&t, PNNG_OP_LINEAR, ins, 3, NULL, 0, 0, 0)));
        check_net(&t, "a large product");
    }
    /* Nothing to sum up, and nothing to sum it up for. */
    const int empty[][3] = {{20, 0, 5}, {3, 0, 5}, {0, 20, 5}, {20, 5, 0}, {0, 0, 0}};
    for (size_t k = 0; k < 2 * sizeof empty / sizeof *empty; k++) {
        const int rows = empty[k / 2][0], in = empty[k / 2][1], out = empty[k / 2][2];
        const int ins[] = {leaf(&t, false, true, shape_of(2, rows, in), -1, 1),
                           leaf(&t, true, true, shape_of(2, out, in), -1, 1),
                           leaf(&t, true, true, shape_of(1, out), -1, 1)};
        output(&t, op_full(&t, PNNG_OP_LINEAR, ins, k % 2 ? 3 : 2, NULL, 0, 0, 0));
        output(&t, ins[1]);
        check_net(&t, "an empty product");
    }
}

/* Parts whose sizes add up to the whole, and which still do not cover it. */
static void test_false_tiles(void) {
    static net t;
    /* Blocks of two rows that lie on each other, and one that is missing. */
    int x = op_1(&t, PNNG_OP_TANH, leaf(&t, false, true, shape_of(2, 3, 4), -1, 1));
    const int corners[][2] = {{0, 0}, {1, 0}, {0, 2}};
    for (int k = 0; k < 3; k++) {
        const int rows = narrow(&t, x, 0, corners[k][0], 2);
        output(&t, op_1(&t, PNNG_OP_EXP, narrow(&t, rows, 1, corners[k][1], 2)));
    }
    check_net(&t, "blocks that overlap");
    /* The same number of rows, but not the same way from one to the next. */
    x = op_1(&t, PNNG_OP_TANH, leaf(&t, false, true, shape_of(1, 16), -1, 1));
    const int wide = op_ints(&t, PNNG_OP_RESHAPE, x, 2, 2, 8, 0);
    const int tall = op_ints(&t, PNNG_OP_RESHAPE, x, 2, 4, 4, 0);
    output(&t, op_1(&t, PNNG_OP_EXP, narrow(&t, wide, 1, 0, 2)));
    output(&t, op_1(&t, PNNG_OP_EXP, narrow(&t, narrow(&t, tall, 0, 0, 2), 1, 2, 2)));
    output(&t, op_1(&t, PNNG_OP_EXP, narrow(&t, wide, 1, 4, 4)));
    check_net(&t, "rows of several pitches");
}

/* ---- random programs ------------------------------------------------------------------------ */

static int below(int n) { return n > 0 ? (int)(random_bits() >> 33) % n : 0; }
static bool chance(double p) { return random_in(0, 1) < p; }

static int any_value(const net *t, int kind) {
    for (int tries = 0; tries < 50; tries++) {
        /* Rather a late one, so that programs get deep. */
        const int k = chance(0.5) ? below(t->n_values) : t->n_values - 1 - below(4);
        if (k >= 0 && t->v[k].kind == kind)
            return k;
    }
    return 0;
}

static pnng_shape random_shape(void) {
    static const int sizes[] = {1, 2, 3, 4, 5, 9};
    pnng_shape shape = {.ndim = chance(0.05) ? 0 : 1 + below(4)};
    for (int64_t d = 0; d < shape.ndim; d++)
        shape.dim[d] = chance(0.01) ? 0 : sizes[below(shape.ndim > 2 ? 4 : 6)];
    return shape;
}

static int random_leaf(net *t, pnng_shape shape) {
    return leaf(t, chance(0.4), chance(0.85), shape, -1.5, 1.5);
}

/* A value of the same shape, if there is one; at times a new leaf. */
static int similar(net *t, int id) {
    for (int tries = 0; tries < 30; tries++) {
        const int k = below(t->n_values);
        if (t->v[k].kind == PNNG_REAL && shapes_equal(&t->v[k].shape, &t->v[id].shape))
            return k;
    }
    return chance(0.5) ? random_leaf(t, t->v[id].shape) : id;
}

static double least(const net *t, int id) {
    double x = INFINITY;
    for (size_t k = 0; k < t->v[id].n; k++)
        x = fmin(x, t->v[id].y[k]);
    return x;
}

static double greatest_of(const net *t, int id) {
    double x = -INFINITY;
    for (size_t k = 0; k < t->v[id].n; k++)
        x = fmax(x, t->v[id].y[k]);
    return x;
}

static double nearest_zero(const net *t, int id) {
    double x = INFINITY;
    for (size_t k = 0; k < t->v[id].n; k++)
        x = fmin(x, fabs(t->v[id].y[k]));
    return x;
}

/* Whether no two of the inputs come close: the numbers that win must not depend on rounding. */
static bool far_apart(const net *t, const int *in, int n) {
    for (int a = 0; a < n; a++)
        for (int b = 0; b < a; b++)
            for (size_t k = 0; k < t->v[in[a]].n && in[a] != in[b]; k++)
                if (fabs(t->v[in[a]].y[k] - t->v[in[b]].y[k]) < 1e-3)
                    return false;
    return true;
}

static void random_table(net *t, pnng_op code, int x) {
    const int n = 1 + below(4);
    int in[4] = {x};
    for (int k = 1; k < n; k++)
        in[k] = chance(0.15) ? x : similar(t, x);
    if (chance(0.3)) {
        const int swap = in[0];
        in[0] = in[n - 1];
        in[n - 1] = swap;
    }
    for (int k = 1; k < n && code == PNNG_OP_DIV; k++)
        if (nearest_zero(t, in[k]) < 0.3)
            return;
    if ((code == PNNG_OP_MAX || code == PNNG_OP_MIN) && !far_apart(t, in, n))
        return;
    op_full(t, code, in, n, NULL, 0, 0, 0);
}

static void random_join(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim == 0)
        return;
    const int64_t dim = below((int)shape->ndim);
    int in[4] = {x}, n = 1;
    for (int tries = 0; tries < 40 && n < 4; tries++) {
        const int k = below(t->n_values);
        pnng_shape other = t->v[k].shape;
        if (t->v[k].kind != PNNG_REAL || other.ndim != shape->ndim)
            continue;
        other.dim[dim] = shape->dim[dim];
        if (shapes_equal(&other, shape))
            in[n++] = k;
    }
    const int place = below(n);
    in[0] = in[place];
    in[place] = x;
    const int64_t ints[] = {chance(0.5) ? dim : dim - shape->ndim};
    op_full(t, PNNG_OP_JOIN, in, n, ints, 1, 0, 0);
}

static void random_linear(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim < 1 || shape->ndim > 2)
        return;
    const int64_t features = shape->dim[shape->ndim - 1];
    int weight = -1;
    for (int tries = 0; tries < 20 && weight < 0; tries++) {
        const int k = below(t->n_values);
        if (t->v[k].kind == PNNG_REAL && t->v[k].shape.ndim == 2 &&
            t->v[k].shape.dim[1] == features)
            weight = k;
    }
    if (weight < 0 || chance(0.3))
        weight = random_leaf(t, shape_of(2, 1 + below(12), (int)features));
    const int64_t out = t->v[weight].shape.dim[0];
    int in[] = {x, weight, -1};
    for (int k = 0; k < t->n_values; k++)
        if (t->v[k].kind == PNNG_REAL && t->v[k].shape.ndim == 1 && t->v[k].shape.dim[0] == out &&
            chance(0.5))
            in[2] = k;
    if (in[2] < 0 && chance(0.3))
        in[2] = random_leaf(t, shape_of(1, (int)out));
    op_full(t, PNNG_OP_LINEAR, in, in[2] >= 0 ? 3 : 2, NULL, 0, 0, 0);
}

static void random_nll(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim < 1 || shape->ndim > 2 || shape->dim[shape->ndim - 1] == 0)
        return;
    const int rows = shape->ndim == 2 ? (int)shape->dim[0] : 1;
    const int64_t classes = shape->dim[shape->ndim - 1];
    int target = index_leaf(t, shape_of(2, rows ? rows + 1 : 0, 2), classes, 9999);
    target = op_ints(t, PNNG_OP_SELECT, narrow(t, target, 0, 0, rows), 2, 1, 1, 0);
    if (chance(0.3))
        target = op_ints(t, PNNG_OP_RESHAPE, target, 2, 1, rows, 0);
    int in[] = {x, target, -1};
    for (int k = 0; k < t->n_values && chance(0.7); k++)
        if (t->v[k].kind == PNNG_REAL && t->v[k].n == (size_t)classes && least(t, k) > 0.1)
            in[2] = k;
    const int64_t ints[] = {chance(0.5), 9999};
    op_full(t, PNNG_OP_NLL, in, in[2] >= 0 ? 3 : 2, ints, 2, 0, 0);
}

static void random_reshape(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    int64_t ints[8], left = (int64_t)t->v[x].n;
    int n = 0;
    if (left == 0) {
        ints[n++] = below(4);
        ints[n++] = 0;
    } else {
        for (; left > 1 || (n < 6 && chance(0.2)); n++) {
            int64_t size = 1;
            for (int64_t s = 2; s <= left; s++)
                if (left % s == 0 && (size == 1 || chance(0.4)))
                    size = s;
            if (n == 5)
                size = left;
            ints[n] = chance(0.2) ? 1 : size;
            left /= ints[n];
            if (n == 7)
                return;
        }
        if (left != 1)
            return;
        if (n && chance(0.3))
            ints[below(n)] = -1;
        for (int k = 0; k < n && k < shape->ndim; k++)
            if (ints[k] == shape->dim[k] && chance(0.3))
                ints[k] = -2;
    }
    op_full(t, PNNG_OP_RESHAPE, &x, 1, ints, n, 0, 0);
}

static void random_part(net *t, pnng_op code, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim == 0)
        return;
    int64_t dim = below((int)shape->ndim);
    const int64_t size = shape->dim[dim];
    if (size == 0 && code == PNNG_OP_SELECT)
        return;
    const int64_t offset = below((int)size), length = size ? 1 + below((int)(size - offset)) : 0;
    const int64_t ints[] = {chance(0.5) ? dim : dim - shape->ndim,
                            chance(0.5) && size ? offset - size : offset,
                            chance(0.5) && size ? length - (size - offset) - 1 : length};
    op_full(t, code, &x, 1, ints, code == PNNG_OP_NARROW ? 3 : 2, 0, 0);
    /* Often the rest too, so that parts cover the whole. */
    if (code == PNNG_OP_NARROW && length < size && chance(0.6)) {
        if (offset > 0)
            narrow(t, x, dim, 0, offset);
        if (offset + length < size)
            narrow(t, x, dim, offset + length, -1);
    }
    for (int64_t k = 0; code == PNNG_OP_SELECT && k < size && size < 6 && chance(0.8); k++)
        op_ints(t, code, x, 2, dim, k, 0);
}

static void random_matmul(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    const int64_t n = shape->ndim;
    if (n != 2 && n != 3)
        return;
    const bool ta = chance(0.5), tb = chance(0.5), swaps = chance(0.5);
    const int64_t inner = shape->dim[n - (ta ? 2 : 1)];
    int other = -1;
    for (int tries = 0; tries < 30 && other < 0; tries++) {
        const int k = below(t->n_values);
        const pnng_shape *const seen = &t->v[k].shape;
        if (t->v[k].kind == PNNG_REAL && seen->ndim == n && seen->dim[n - (tb ? 1 : 2)] == inner &&
            (n == 2 || seen->dim[0] == shape->dim[0]))
            other = k;
    }
    if (other < 0) {
        pnng_shape wanted = *shape;
        wanted.dim[n - 2] = tb ? 1 + below(12) : inner;
        wanted.dim[n - 1] = tb ? inner : 1 + below(12);
        other = random_leaf(t, wanted);
    }
    if (swaps)
        op_2(t, PNNG_OP_MATMUL, other, x, 2, !tb, !ta);
    else
        op_2(t, PNNG_OP_MATMUL, x, other, 2, ta, tb);
}

static void random_gather(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim != 2 || shape->dim[0] == 0)
        return;
    int index = index_leaf(t, chance(0.5) ? shape_of(1, below(5)) : shape_of(2, 2, 1 + below(3)),
                           shape->dim[0], 0);
    if (t->v[index].shape.ndim == 2 && chance(0.5))
        index = op_ints(t, PNNG_OP_TRANSPOSE, index, 2, 0, 1, 0);
    else if (chance(0.3))
        index = op_ints(t, PNNG_OP_REPLICATE, index, 2, 0, 1 + below(3), 0);
    op_2(t, PNNG_OP_GATHER, x, index, 1, -1, 0);
}

/* Some dims of size 1, then as they were: of x itself, or of its sums. */
static void random_expand(net *t, int x) {
    const pnng_shape shape = t->v[x].shape;
    int small = x;
    for (int64_t d = 0; d < shape.ndim; d++)
        if (chance(0.5))
            small = op_ints(t, PNNG_OP_REDUCE_SUM, small, 2, d, 1, 0);
    pnng_shape wanted = shape;
    for (int64_t d = 0; d < shape.ndim; d++)
        if (t->v[small].shape.dim[d] == 1)
            wanted.dim[d] = below(5);
    op_2(t, PNNG_OP_EXPAND, small, chance(0.5) ? x : random_leaf(t, wanted), 0, 0, 0);
}

/* A sum of products of one value, some of which are also used elsewhere. */
static void random_fan(net *t, int x) {
    const pnng_shape *const shape = &t->v[x].shape;
    if (shape->ndim < 1 || shape->ndim > 2)
        return;
    const int64_t features = shape->dim[shape->ndim - 1], out = 1 + below(12);
    const int n = 2 + below(3);
    int in[4];
    for (int k = 0; k < n; k++) {
        const int from[] = {x, random_leaf(t, shape_of(2, (int)out, (int)features))};
        in[k] = op_full(t, PNNG_OP_LINEAR, from, 2, NULL, 0, 0, 0);
        if (chance(0.15))
            in[k] = op_1(t, PNNG_OP_TANH, in[k]);
    }
    if (chance(0.2))
        in[below(n)] = similar(t, in[0]);
    op_full(t, PNNG_OP_ADD, in, n, NULL, 0, 0, 0);
}

/* Draw from the ops that become parts of other steps, with their slices and joins, or from all. */
static bool draws_few;

static void random_op(net *t) {
    static const pnng_op few[] = {
        PNNG_OP_TANH,    PNNG_OP_SIGMOID,   PNNG_OP_MUL_CONSTANT, PNNG_OP_ADD,    PNNG_OP_SUB,
        PNNG_OP_MUL,     PNNG_OP_MAX,       PNNG_OP_NARROW,       PNNG_OP_NARROW, PNNG_OP_JOIN,
        PNNG_OP_RESHAPE, PNNG_OP_TRANSPOSE, PNNG_OP_MUL,          PNNG_OP_LINEAR};
    const pnng_op code =
        draws_few ? few[below(sizeof few / sizeof few[0])] : (pnng_op)below(PNNG_OP_COUNT);
    const int x = any_value(t, PNNG_REAL);
    const pnng_shape *const shape = &t->v[x].shape;
    switch (code) {
    case PNNG_OP_LOG:
        if (least(t, x) < 0.2)
            return;
        op_1(t, code, x);
        return;
    case PNNG_OP_RELU:
        if (nearest_zero(t, x) < 1e-3)
            return;
        op_1(t, code, x);
        return;
    case PNNG_OP_TANH:
    case PNNG_OP_SIGMOID:
    case PNNG_OP_EXP:
    case PNNG_OP_IDENTITY:
        op_1(t, code, x);
        return;
    case PNNG_OP_MUL_CONSTANT:
    case PNNG_OP_ADD_CONSTANT:
        op_full(t, code, &x, 1, NULL, 0, random_in(-2, 2), 0);
        return;
    case PNNG_OP_ADD:
    case PNNG_OP_SUB:
    case PNNG_OP_MUL:
    case PNNG_OP_DIV:
    case PNNG_OP_MAX:
    case PNNG_OP_MIN:
        random_table(t, code, x);
        return;
    case PNNG_OP_SOFTMAX:
    case PNNG_OP_LOGSOFTMAX:
        if (shape->ndim)
            op_ints(t, code, x, 1, below((int)shape->ndim) - (chance(0.5) ? shape->ndim : 0), 0, 0);
        return;
    case PNNG_OP_REDUCE_SUM:
        if (shape->ndim)
            op_ints(t, code, x, 2, below((int)shape->ndim), chance(0.5), 0);
        return;
    case PNNG_OP_LINEAR:
        if (draws_few)
            random_fan(t, x);
        else
            random_linear(t, x);
        return;
    case PNNG_OP_MSE:
        op_2(t, code, x, similar(t, x), 1, chance(0.5), 0);
        return;
    case PNNG_OP_BCE:
        if (t->v[x].n && least(t, x) > 0.05 && greatest_of(t, x) < 0.95) {
            const int in[] = {x, similar(t, x), similar(t, x)};
            const int64_t average = chance(0.5);
            op_full(t, code, in, chance(0.5) ? 2 : 3, &average, 1, 0, 0);
        }
        return;
    case PNNG_OP_NLL:
        random_nll(t, x);
        return;
    case PNNG_OP_RESHAPE:
        random_reshape(t, x);
        return;
    case PNNG_OP_NARROW:
    case PNNG_OP_SELECT:
        random_part(t, code, x);
        return;
    case PNNG_OP_JOIN:
        random_join(t, x);
        return;
    case PNNG_OP_MATMUL:
        random_matmul(t, x);
        return;
    case PNNG_OP_GATHER:
        random_gather(t, x);
        return;
    case PNNG_OP_DETACH:
        op_1(t, code, x);
        return;
    case PNNG_OP_TRANSPOSE:
        if (shape->ndim)
            op_ints(t, code, x, 2, below((int)shape->ndim) - (chance(0.5) ? shape->ndim : 0),
                    below((int)shape->ndim), 0);
        return;
    case PNNG_OP_REPLICATE:
        if (shape->ndim < 5)
            op_ints(t, code, x, 2,
                    below((int)shape->ndim + 1) - (chance(0.5) ? shape->ndim + 1 : 0),
                    chance(0.1) ? 0 : 1 + below(3), 0);
        return;
    case PNNG_OP_EXPAND:
        random_expand(t, x);
        return;
    case PNNG_OP_HOST:
        op_host(t, x, similar(t, x), chance(0.5));
        return;
    case PNNG_OP_DROPOUT: /* its mask would have to be known before the program is chosen */
    default:
        return;
    }
}

/* Whether numbers stay in a range where both number types agree well. */
static bool is_tame(const net *t, int from) {
    for (int k = from; k < t->n_values; k++) {
        if (t->v[k].n > 400)
            return false;
        for (size_t i = 0; i < t->v[k].n; i++)
            if (!(fabs(t->v[k].y[i]) < 20) && t->v[k].kind == PNNG_REAL)
                return false;
    }
    return true;
}

static void undo(net *t, int n_values, int n_nodes) {
    while (t->n_values > n_values) {
        value *const v = &t->v[--t->n_values];
        free(v->y);
        free(v->g);
        free(v->held);
    }
    t->n_nodes = n_nodes;
}

static bool random_net(net *t, uint64_t seed) {
    test_seed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (int k = 0; k < 4; k++)
        random_bits();
    draws_few = chance(0.5);
    const int n_leaves = 1 + below(3), n_ops = 1 + below(30);
    const pnng_shape shape = random_shape();
    for (int k = 0; k < n_leaves; k++)
        random_leaf(t, k && chance(0.3) ? random_shape() : shape);
    for (int tries = 0; tries < 100 && t->n_nodes < n_ops && t->n_values < 150; tries++) {
        const int n_values = t->n_values, n_nodes = t->n_nodes;
        random_op(t);
        if (!is_tame(t, n_values))
            undo(t, n_values, n_nodes);
    }
    const int n_outputs = 1 + below(5);
    for (int k = 0; k < n_outputs; k++)
        output(t,
               chance(0.5) ? below(t->n_values) : t->n_values - 1 - below(t->n_values < 5 ? 1 : 5));
    if (chance(0.15))
        output(t, t->outputs[0]);
    net_gradients(t);
    return greatest(t, true) < 1000;
}

static void test_random_programs(uint64_t first, uint64_t count) {
    static net t;
    for (uint64_t seed = first; seed < first + count; seed++) {
        char what[60];
        snprintf(what, sizeof what, "random program %d", (int)seed);
        pnng_chain_piece = seed % 4 ? 64 : 4096;
        if (random_net(&t, seed))
            check_net(&t, what);
        else
            net_clear(&t);
    }
}

/* ---- host steps ----------------------------------------------------------------------------- */

/* A host that watches what it is given. Op 5 takes reals x (2, 3) and indices t (4): its outputs
 * are x (3, 2) in another order, and a number nobody uses. */
typedef struct spy {
    pnng_plan *plan; /* run from inside, when set */
    int infers, forwards, backwards;
    pnng_status fail_infer, fail_forward, fail_backward;
    bool no_grad_in, no_second_grad, no_own;
    double scale;
    int32_t mask;
} spy;

static pnng_status spy_infer(void *user, int64_t id, const pnng_shape *in, size_t n_in,
                             pnng_shape *out, size_t n_out) {
    spy *const host = user;
    const pnng_shape x = shape_of(2, 2, 3), t = shape_of(1, 4);
    host->infers++;
    CHECK(id == 5 && n_in == 2 && n_out == 2);
    CHECK(shapes_equal(&in[0], &x) && shapes_equal(&in[1], &t));
    out[0] = shape_of(2, 3, 2);
    out[1] = shape_of(0);
    return host->fail_infer;
}

static pnng_status spy_forward(void *user, int64_t id, const void *const *in, size_t n_in,
                               void *const *out, size_t n_out) {
    spy *const host = user;
    host->forwards++;
    CHECK(id == 5 && n_in == 2 && n_out == 2);
    if (host->plan) {
        CHECK(pnng_plan_forward(host->plan, 0) == PNNG_ERROR_BUSY);
        CHECK(pnng_plan_backward(host->plan, 1, 3) == PNNG_ERROR_BUSY);
    }
    const double *const x = in[0];
    const int64_t *const t = in[1];
    for (int k = 0; k < 4; k++)
        CHECK(t[k] == 10 + k);
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            ((double *)out[0])[c * 2 + r] = x[r * 3 + c];
    *(double *)out[1] = 1;
    return host->fail_forward;
}

static pnng_status spy_backward(void *user, int64_t id, const void *const *in, size_t n_in,
                                const void *const *grad_out, size_t n_out, void *const *grad_in,
                                double scale, int32_t mask) {
    spy *const host = user;
    host->backwards++;
    host->scale = scale;
    host->mask = mask;
    CHECK(id == 5 && n_in == 2 && n_out == 2 && in[0] && in[1] && grad_out[0]);
    CHECK((grad_in[0] == NULL) == host->no_grad_in && !grad_in[1]);
    CHECK((grad_out[1] == NULL) == host->no_second_grad);
    for (int k = 0; k < 6; k++) {
        CHECK(!isnan(((const double *)grad_out[0])[k]));
        CHECK(!isnan(((const double *)in[0])[k]));
    }
    for (int r = 0; r < 2 && grad_in[0]; r++)
        for (int c = 0; c < 3; c++)
            ((double *)grad_in[0])[r * 3 + c] = ((const double *)grad_out[0])[c * 2 + r];
    return host->fail_backward;
}

/* x (2, 4) -> its last three columns -> host -> tanh; x has a gradient or has none. */
static pnng_program *spy_program(spy *host, bool has_grad, const pnng_allocator *allocator) {
    pnng_program *program;
    CHECK(pnng_program_new(allocator, &program) == PNNG_OK);
    const pnng_host calls = {spy_infer, spy_forward, spy_backward, host};
    CHECK(pnng_program_host(program, &calls) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, has_grad);
    const pnng_value t = add_input(program, PNNG_INDEX, 1);
    const pnng_value in[] = {add_op_ints(program, "narrow", x, 3, 1, 1, 3),
                             add_op_ints(program, "select", t, 2, 1, 1)};
    const int64_t ints[] = {5, 2, !host->no_own};
    pnng_value out[2];
    CHECK(pnng_program_op(program, pnng_op_find("host"), in, 2, ints, 3, NULL, 0, out, 2) == 0);
    CHECK(pnng_program_output(program, add_op(program, "tanh", out[0], -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    return program;
}

static const int64_t spy_targets[8] = {0, 10, 0, 11, 0, 12, 0, 13};

static void spy_bind(pnng_plan *plan, double *x, double *y, double *g, double *dx) {
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 1, (void *)(uintptr_t)spy_targets) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, y) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, 0, g) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, 0, dx) == PNNG_OK);
}

static void test_host(void) {
    snprintf(test_where, sizeof test_where, "host");
    const pnng_shape inputs[] = {shape_of(2, 2, 4), shape_of(2, 4, 2)};
    double x[8], y[6], g[6], dx[8];
    for (int k = 0; k < 8; k++)
        x[k] = 0.1 * k;
    for (int k = 0; k < 6; k++)
        g[k] = k + 1;
    spy host = {.no_second_grad = true};
    watch w;
    watch_begin(&w);
    pnng_program *program = spy_program(&host, true, &w.allocator);
    pnng_plan *plan;

    /* No sizes: the plan says so, and which op it was. */
    host.fail_infer = PNNG_ERROR_HOST;
    CHECK(pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan) == PNNG_ERROR_HOST);
    CHECK(plan && *pnng_plan_error(plan) && pnng_plan_error_op(plan) == 2);
    pnng_plan_free(plan);
    host.fail_infer = 99; /* whatever a host gives: callers get statuses */
    CHECK(pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan) == PNNG_ERROR_HOST);
    pnng_plan_free(plan);
    host.fail_infer = PNNG_OK;

    CHECK(pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan) == PNNG_OK);
    host.plan = plan;
    spy_bind(plan, x, y, g, dx);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(host.forwards == 1);
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            CHECK(fabs(y[c * 2 + r] - tanh(x[r * 4 + c + 1])) < 1e-14);

    /* A failure in forward: no backward until a forward has worked. */
    host.fail_forward = PNNG_ERROR_VALUE;
    CHECK(pnng_plan_forward(plan, 0) == PNNG_ERROR_HOST);
    CHECK(*pnng_plan_error(plan) && pnng_plan_error_op(plan) == 2);
    host.fail_forward = PNNG_OK;
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_ERROR_ORDER);
    CHECK(host.backwards == 0);

    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(pnng_plan_error_op(plan) == -1 && !*pnng_plan_error(plan));
    host.fail_backward = 99;
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_ERROR_HOST);
    CHECK(*pnng_plan_error(plan) && pnng_plan_error_op(plan) == 2);
    host.fail_backward = PNNG_OK;
    for (int32_t mask = 1; mask < 4; mask++) {
        memset(dx, 0xff, sizeof dx);
        host.scale = 0;
        CHECK(pnng_plan_backward(plan, 0.5, mask) == PNNG_OK);
        if (mask & PNNG_GRAD_INPUTS) {
            for (int r = 0; r < 2; r++) {
                CHECK(dx[r * 4] == 0);
                for (int c = 0; c < 3; c++)
                    CHECK(fabs(dx[r * 4 + c + 1] -
                               g[c * 2 + r] * (1 - y[c * 2 + r] * y[c * 2 + r])) < 1e-14);
            }
        }
        /* The host may have parameters, so it is asked for them too. */
        CHECK(host.scale == 0.5 && host.mask == mask);
    }
    pnng_plan_free(plan);
    pnng_program_free(program);
    CHECK(w.live == 0 && w.overruns == 0);

    /* No input wants a gradient: parameters of the host may; in a run for inputs only nothing of
     * the kind arrives, and the host is left alone. */
    snprintf(test_where, sizeof test_where, "host without gradients of inputs");
    host = (spy){.no_second_grad = true, .no_grad_in = true};
    program = spy_program(&host, false, &w.allocator);
    CHECK(pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan) == PNNG_OK);
    spy_bind(plan, x, y, g, NULL);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS) == PNNG_OK);
    CHECK(host.backwards == 0);
    CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_PARAMS) == PNNG_OK);
    CHECK(host.backwards == 1 && host.mask == PNNG_GRAD_PARAMS);
    pnng_plan_free(plan);
    pnng_program_free(program);
    CHECK(w.live == 0 && w.overruns == 0);

    /* A host without parameters is left alone where only those are asked for. */
    snprintf(test_where, sizeof test_where, "host without parameters");
    host = (spy){.no_second_grad = true, .no_own = true};
    program = spy_program(&host, true, &w.allocator);
    CHECK(pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan) == PNNG_OK);
    spy_bind(plan, x, y, g, dx);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_PARAMS) == PNNG_OK);
    CHECK(host.backwards == 0);
    CHECK(pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS) == PNNG_OK);
    CHECK(host.backwards == 1 && host.mask == PNNG_GRAD_INPUTS);
    pnng_plan_free(plan);
    pnng_program_free(program);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* A program whose host cannot go back: gradients must not be whatever memory held. */
static void test_half_a_host(void) {
    snprintf(test_where, sizeof test_where, "a host without backward");
    spy host = {0};
    watch w;
    watch_begin(&w);
    pnng_program *program;
    CHECK(pnng_program_new(&w.allocator, &program) == PNNG_OK);
    const pnng_host calls = {spy_infer, spy_forward, NULL, &host};
    CHECK(pnng_program_host(program, &calls) == PNNG_OK);
    const pnng_value in[] = {add_input(program, PNNG_REAL, 1), add_input(program, PNNG_INDEX, 0)};
    const int64_t ints[] = {5, 2, 1};
    pnng_value out[2];
    CHECK(pnng_program_op(program, pnng_op_find("host"), in, 2, ints, 3, NULL, 0, out, 2) == 0);
    CHECK(pnng_program_output(program, out[0]) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape inputs[] = {shape_of(2, 2, 3), shape_of(1, 4)};
    const int64_t targets[] = {10, 11, 12, 13};
    double x[6] = {1, 2, 3, 4, 5, 6}, y[6], g[6] = {1, 1, 1, 1, 1, 1}, dx[6];
    pnng_plan *plan;
    pnng_status status = pnng_plan_new(program, PNNG_F64, inputs, 2, 1, &plan);
    if (status == PNNG_OK) {
        spy_bind(plan, x, y, g, dx);
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, 1, (void *)(uintptr_t)targets) == PNNG_OK);
        CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
        status = pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS);
        for (int k = 0; k < 6 && status == PNNG_OK; k++)
            CHECK(dx[k] == 0);
    }
    CHECK(status == PNNG_OK || status == PNNG_ERROR_HOST);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

/* ---- noise ---------------------------------------------------------------------------------- */

enum { N_NOISE = 4000 };

static void test_noise(void) {
    snprintf(test_where, sizeof test_where, "noise");
    static double x[N_NOISE], y[2][N_NOISE], mask[2][N_NOISE], again[2][N_NOISE];
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value in = add_input(program, PNNG_REAL, 1);
    const double nums[] = {0.5, 2};
    for (int k = 0; k < 2; k++) {
        pnng_value out[2];
        CHECK(pnng_program_op(program, pnng_op_find("dropout"), &in, 1, NULL, 0, nums, 2, out, 2) ==
              0);
        CHECK(pnng_program_output(program, out[0]) == 0 &&
              pnng_program_output(program, out[1]) == 0);
    }
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, N_NOISE);
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, 0, &plan) == PNNG_OK);
    for (int k = 0; k < N_NOISE; k++)
        x[k] = k + 1;
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x) == PNNG_OK);
    for (size_t k = 0; k < 2; k++) {
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 2 * k, y[k]) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 2 * k + 1, mask[k]) == PNNG_OK);
    }
    CHECK(pnng_plan_forward(plan, 1234) == PNNG_OK);
    for (int op = 0; op < 2; op++) {
        int kept = 0;
        bool right = true;
        for (int k = 0; k < N_NOISE; k++) {
            right =
                right && (mask[op][k] == 0 || mask[op][k] == 2) && y[op][k] == x[k] * mask[op][k];
            kept += mask[op][k] != 0;
        }
        CHECK(right);
        CHECK(abs(kept - N_NOISE / 2) < 200);
    }
    /* Two ops draw independently, also at other places. */
    for (int shift = 0; shift < 20; shift++) {
        int same[2] = {0, 0};
        for (int k = 0; k + shift < N_NOISE; k++) {
            same[0] += mask[0][k] == mask[1][k + shift];
            same[1] += mask[1][k] == mask[0][k + shift];
        }
        CHECK(abs(same[0] - (N_NOISE - shift) / 2) < 250);
        CHECK(abs(same[1] - (N_NOISE - shift) / 2) < 250);
    }
    memcpy(again, mask, sizeof mask);
    memset(mask, 0, sizeof mask);
    CHECK(pnng_plan_forward(plan, 1234) == PNNG_OK);
    CHECK(memcmp(again, mask, sizeof mask) == 0);
    CHECK(pnng_plan_forward(plan, 1235) == PNNG_OK);
    int same = 0;
    for (int k = 0; k < N_NOISE; k++)
        same += mask[0][k] == again[0][k];
    CHECK(abs(same - N_NOISE / 2) < 250);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { N_THREADS = 3, N_ROUNDS = 40 };

typedef struct worker {
    pthread_t thread;
    pnng_program *program;
    net *t;
    slots *s;
    bool f64, right;
} worker;

/* Plans and runs of a shared program; no CHECK in here, which counts for one thread only. */
static void *work(void *user) {
    worker *const me = user;
    pnng_shape inputs[MAX_VALUES];
    size_t n_inputs = 0;
    for (int k = 0; k < me->t->n_values; k++)
        if (me->t->v[k].node < 0 && !me->t->v[k].is_param)
            inputs[n_inputs++] = me->t->v[k].shape;
    me->right = true;
    for (int round = 0; round < N_ROUNDS; round++) {
        pnng_plan *plan;
        if (pnng_plan_new(me->program, me->f64 ? PNNG_F64 : PNNG_F32, inputs, n_inputs, 1, &plan))
            me->right = false;
        for (size_t k = 0; k < me->s->count; k++) {
            if (me->s->group[k] == PNNG_SLOT_GRAD_PARAM)
                array_fill(&me->s->array[k], 0);
            pnng_plan_bind(plan, k, me->s->array[k].data);
        }
        if (pnng_plan_forward(plan, 7) || pnng_plan_backward(plan, 1, 3))
            me->right = false;
        for (size_t k = 0; k < me->s->count; k++) {
            if (round == 0)
                array_copy(&me->s->before[k], &me->s->array[k]);
            else if (!array_same(&me->s->before[k], &me->s->array[k]))
                me->right = false;
        }
        pnng_plan_free(plan);
    }
    return NULL;
}

static bool has_host(const net *t) {
    for (int k = 0; k < t->n_nodes; k++)
        if (t->nodes[k].code == PNNG_OP_HOST)
            return true;
    return false;
}

static void test_threads(void) {
    static net t;
    static slots s[N_THREADS];
    snprintf(test_where, sizeof test_where, "threads");
    uint64_t seed = 1;
    while (!random_net(&t, seed) || t.n_nodes < 20 || has_host(&t)) { /* hosts use CHECK */
        net_clear(&t);
        seed++;
    }
    watch w;
    watch_begin(&w);
    net_host host = {&t, true, 0};
    pnng_program *const program = build_net(&t, &host, &w.allocator);
    worker workers[N_THREADS];
    for (int k = 0; k < N_THREADS; k++) {
        slots_open(&s[k], &t, k != 2);
        workers[k] = (worker){.program = program, .t = &t, .s = &s[k], .f64 = k != 2};
    }
    for (int k = 0; k < N_THREADS; k++)
        CHECK(pthread_create(&workers[k].thread, NULL, work, &workers[k]) == 0);
    for (int k = 0; k < N_THREADS; k++) {
        CHECK(pthread_join(workers[k].thread, NULL) == 0);
        CHECK(workers[k].right);
    }
    pnng_program_free(program);
    for (size_t k = 0; k < s[0].count; k++)
        CHECK(array_same(&s[0].array[k], &s[1].array[k]));
    for (int k = 0; k < N_THREADS; k++)
        slots_close(&s[k]);
    net_clear(&t);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* ---- large programs ------------------------------------------------------------------------- */

#if WITH_SANITIZER || defined(__SANITIZE_THREAD__) || defined(__aarch64__) /* which is emulated */
enum { SLOW = 6 };
#else
enum { SLOW = 1 };
#endif
enum { MANY = 100000, WIDE = 10000 };

static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Plan a program with one input of (size), run both ways, and see that all of it took `most` s. */
static void time_program(pnng_program *program, double start, int size, bool runs, const char *what,
                         double most) {
    snprintf(test_where, sizeof test_where, "%s", what);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, size);
    for (int32_t flags = 0; flags < 2; flags++) {
        pnng_plan *plan;
        CHECK(pnng_plan_new(program, PNNG_F32, &shape, 1, flags, &plan) == PNNG_OK);
        const double planned = seconds();
        if (!CHECK(planned - start < most * SLOW))
            printf("  %.2f s\n", planned - start);
        static float x[64], y[MANY], g[MANY], dx[64];
        for (int k = 0; k < size; k++)
            x[k] = 0.5;
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, x) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, y) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, 0, g) == PNNG_OK);
        CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, 0, dx) == PNNG_OK);
        if (runs)
            CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
        if (runs && flags)
            CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_OK);
        start = seconds();
        pnng_plan_free(plan);
    }
    pnng_program_free(program);
}

static pnng_program *begin_large(pnng_value *x) {
    pnng_program *program;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    *x = add_input(program, PNNG_REAL, 1);
    return program;
}

static pnng_value add_table(pnng_program *program, const char *name, const pnng_value *in,
                            size_t n) {
    const int64_t dim = 0;
    pnng_value out = -1;
    CHECK(pnng_program_op(program, pnng_op_find(name), in, n, &dim, strcmp(name, "join") == 0, NULL,
                          0, &out, 1) == 0);
    return out;
}

static void test_large_programs(void) {
    static pnng_value fan[MANY];
    pnng_value x;
    double start;
    pnng_program *program;
    const char *const chains[] = {"tanh", "add", "identity"};
    for (int c = 0; c < 3; c++) {
        start = seconds();
        program = begin_large(&x);
        for (int k = 0; k < MANY; k++)
            x = add_op(program, chains[c], x, -1);
        CHECK(pnng_program_output(program, x) == PNNG_OK);
        time_program(program, start, 3, true, "a chain of 100,000 ops", 1);
    }

    const char *const tables[] = {"add", "mul", "join"};
    for (int c = 0; c < 3; c++) {
        start = seconds();
        program = begin_large(&x);
        for (int k = 0; k < WIDE; k++)
            fan[k] = add_op(program, "tanh", x, -1);
        CHECK(pnng_program_output(program, add_table(program, tables[c], fan, WIDE)) == PNNG_OK);
        time_program(program, start, 3, true, "a fan of 10,000", 1);
    }

    /* Split and joined again. */
    start = seconds();
    program = begin_large(&x);
    const pnng_value y = add_op(program, "tanh", x, -1);
    for (int k = 0; k < 64; k++)
        fan[k] = add_op_ints(program, "narrow", y, 3, 0, k, 1);
    for (int k = 64; k < WIDE; k++)
        fan[k] = add_op(program, "tanh", fan[k - 64], -1);
    CHECK(pnng_program_output(program, add_table(program, "join", fan, WIDE)) == PNNG_OK);
    time_program(program, start, 64, true, "10,000 parts", 1);

    /* Every other array dies: gaps all over, and none that fits what comes. */
    start = seconds();
    program = begin_large(&x);
    const pnng_value pair[] = {x, x};
    const pnng_value small = add_op(program, "tanh", x, -1);
    const pnng_value large = add_op(program, "tanh", add_table(program, "join", pair, 2), -1);
    enum { HALF = 3 * MANY / 8 };
    static pnng_value even[HALF], odd[HALF], last[2 * HALF];
    for (int k = 0; k < HALF; k++) {
        even[k] = add_op(program, "tanh", small, -1);
        odd[k] = add_op(program, "tanh", small, -1);
    }
    const pnng_value first = add_table(program, "add", even, HALF);
    for (int k = 0; k < 2 * HALF; k++)
        last[k] = add_op(program, "tanh", large, -1);
    const pnng_value sums[] = {first, add_table(program, "add", odd, HALF),
                               add_table(program, "add", last, 2 * HALF)};
    CHECK(pnng_program_output(program, add_table(program, "join", sums, 3)) == PNNG_OK);
    time_program(program, start, 16, true, "37,500 gaps", 1);
}

/* Arrays that fit each, but together are more than an address space: an error, not a small arena.
 * Level l has 32 * 8^l bytes; seven times levels 1 to 19 are 256 bytes less than 2^65, so with the
 * small ones a sum that wraps around comes to almost nothing. */
static void test_too_large_together(void) {
    enum { LEVELS = 19, COPIES = 6, SMALL = 16 };
    snprintf(test_where, sizeof test_where, "arrays too large together");
    watch w; /* it has nothing as large as that */
    watch_begin(&w);
    pnng_program *program;
    CHECK(pnng_program_new(&w.allocator, &program) == PNNG_OK);
    pnng_value x = add_input(program, PNNG_REAL, 1), eight[8], level[LEVELS];
    pnng_value small[SMALL];
    for (int k = 0; k < SMALL; k++)
        small[k] = add_op(program, "tanh", x, -1);
    for (int l = 0; l < LEVELS; l++) {
        for (int k = 0; k < 8; k++)
            eight[k] = x;
        level[l] = x = add_table(program, "join", eight, 8);
    }
    pnng_value copies[LEVELS][COPIES];
    for (int l = 0; l < LEVELS; l++)
        for (int k = 0; k < COPIES; k++)
            copies[l][k] = add_op(program, "tanh", level[l], -1);
    for (int l = 0; l < LEVELS; l++) { /* until here all are alive */
        const pnng_value sum = add_table(program, "mul", copies[l], COPIES);
        CHECK(pnng_program_output(program, add_op_ints(program, "narrow", sum, 3, 0, 0, 1)) == 0);
    }
    CHECK(pnng_program_output(program, add_table(program, "mul", small, SMALL)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    for (int32_t flags = 0; flags < 2; flags++) {
        const pnng_shape shape = shape_of(1, 4);
        pnng_plan *plan;
        const pnng_status status = pnng_plan_new(program, PNNG_F64, &shape, 1, flags, &plan);
        if (!CHECK(status == PNNG_ERROR_MEMORY || status == PNNG_ERROR_SHAPE))
            printf("  an arena of %zu bytes\n", pnng_plan_arena_size(plan));
        pnng_plan_free(plan);
    }
    pnng_program_free(program);
    CHECK(w.live == 0);
}

/* ---- main ----------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what came before */
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : SLOW > 1 ? 300 : 3000;
    const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (argc <= 2) {
        test_views();
        test_large_products();
        test_false_tiles();
        test_host();
        test_half_a_host();
        test_noise();
        test_threads();
        test_large_programs();
        test_too_large_together();
    }
    test_random_programs(first, count);
    CHECK(fused_steps > 0 && summed_steps > 0 && chained_steps > 0);
    return test_result();
}
