/* Steps that are made the ends of products: which are, and that every bit of every result is what
 * it is without. Random programs are compared so in test_plan.c, products by themselves, on every
 * instruction set, in test_gemm.c. */
#include "engine_support.h"

#include "../../csrc/threads.h"

/* ---- a program, planned both ways ---- */

typedef struct program {
    pnng_program *it;
    pnng_shape input, shape[16]; /* of the input; of parameters */
    size_t n_params, n_outputs;
    pnng_value x;
} program;

static void begin(program *p, pnng_shape input) {
    *p = (program){.input = input};
    CHECK(pnng_program_new(NULL, &p->it) == PNNG_OK);
    p->x = add_input(p->it, PNNG_REAL, 1);
}

static pnng_value param(program *p, pnng_shape shape) {
    p->shape[p->n_params++] = shape;
    return add_param(p->it, shape, 1);
}

static pnng_value linear(program *p, pnng_value x, int in, int out) {
    const pnng_value weight = param(p, shape_of(2, out, in)), bias = param(p, shape_of(1, out));
    return add_op(p->it, "linear", x, weight, bias, -1);
}

/* Attributes for which all functions are worth a look. */
static pnng_value apply(program *p, pnng_op op, pnng_value x) {
    const double nums[] = {op == PNNG_OP_POWER ? 2 : 0.125, 0.5};
    const pnng_op_info *const info = &pnng_op_table(NULL)[op];
    pnng_value out[2] = {-1, -1};
    CHECK(pnng_program_op(p->it, op, &x, 1, NULL, 0, nums, (size_t)info->n_nums, out,
                          (size_t)info->n_outputs) == PNNG_OK);
    return out[0];
}

static void give(program *p, pnng_value y) {
    p->n_outputs++;
    CHECK(pnng_program_output(p->it, y) == PNNG_OK);
}

/* All that a plan is bound to: its slots, in order. */
enum { MAX_SLOTS = 64 };
typedef struct run {
    pnng_plan *plan;
    array slot[MAX_SLOTS];
    size_t count;
} run;

static run start(const program *p, int32_t dtype, int32_t flags) {
    run r = {.count = 0};
    const pnng_status status = pnng_plan_new(p->it, dtype, &p->input, 1, flags, &r.plan);
    if (!CHECK(status == PNNG_OK)) {
        printf("  %s\n", pnng_plan_error(r.plan));
        exit(1);
    }
    const size_t element = dtype == PNNG_F32 ? 4 : 8;
    test_seed = 12345;
    for (int group = 0; group < 6; group++) {
        const bool of_input = group == PNNG_SLOT_INPUT || group == PNNG_SLOT_GRAD_INPUT;
        const bool of_output = group == PNNG_SLOT_OUTPUT || group == PNNG_SLOT_GRAD_OUTPUT;
        const size_t n = of_input ? 1 : of_output ? p->n_outputs : p->n_params;
        for (size_t k = 0; k < n; k++) {
            pnng_shape shape = of_input ? p->input : p->shape[k];
            if (of_output)
                CHECK(pnng_plan_shape(r.plan, p->it->outputs[k], &shape) == PNNG_OK);
            array *const a = &r.slot[r.count];
            *a = array_new(count_of(&shape), element, k);
            for (size_t i = 0; i < count_of(&shape); i++)
                real_set(a->data, dtype == PNNG_F64, (ptrdiff_t)i, random_in(-1, 1));
            CHECK(pnng_plan_bind(r.plan, r.count++, a->data) == PNNG_OK);
        }
    }
    spoil_arena(r.plan);
    CHECK(pnng_plan_forward(r.plan, 3) == PNNG_OK);
    if (flags & PNNG_PLAN_BACKWARD)
        CHECK(pnng_plan_backward(r.plan, 0.5, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS) == PNNG_OK);
    return r;
}

static void stop(run *r) {
    for (size_t k = 0; k < r->count; k++) {
        CHECK(array_intact(&r->slot[k]));
        array_free(&r->slot[k]);
    }
    pnng_plan_free(r->plan);
}

/* How many steps fewer a plan has than without fusion. All slots hold the same bits. */
typedef struct saved {
    int forward, backward;
    bool memory; /* the arena is smaller */
} saved;

static saved compare(const program *p, int32_t dtype, int32_t flags) {
    run fused = start(p, dtype, flags), plain = start(p, dtype, flags | PNNG_PLAN_UNFUSED);
    for (size_t k = 0; k < fused.count; k++)
        CHECK(array_same(&fused.slot[k], &plain.slot[k]));
    const saved found = {
        .forward = (int)(pnng_plan_n_forward(plain.plan) - pnng_plan_n_forward(fused.plan)),
        .backward = (int)(pnng_plan_n_backward(plain.plan) - pnng_plan_n_backward(fused.plan)),
        .memory = fused.plan->arena_size < plain.plan->arena_size,
    };
    stop(&fused);
    stop(&plain);
    return found;
}

/* ---- every function, in every size ---- */

static bool is_unary(pnng_op op) {
    return pnng_family_of(op) == &pnng_family_unary_x || pnng_family_of(op) == &pnng_family_unary_y;
}

static void test_functions(void) {
    /* rows, features, outputs: one row, less than a vector, odd sizes, more than a piece */
    const int sizes[][3] = {{1, 1, 1},    {1, 40, 70}, {5, 3, 1},     {7, 2, 3},
                            {33, 17, 41}, {64, 70, 9}, {1500, 5, 67}, {3, 9, 300}};
    int functions = 0;
    for (pnng_op op = 0; op < PNNG_OP_COUNT; op++) {
        functions += is_unary(op);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0] && is_unary(op); s++)
            for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++)
                for (int32_t flags = 0; flags <= PNNG_PLAN_BACKWARD; flags++) {
                    const int rows = sizes[s][0], in = sizes[s][1], out = sizes[s][2];
                    snprintf(test_where, sizeof test_where, "%s of %d x %d x %d, type %d, flags %d",
                             pnng_op_table(NULL)[op].name, rows, in, out, (int)dtype, (int)flags);
                    program p;
                    begin(&p, shape_of(2, rows, in));
                    const pnng_value hidden = apply(&p, op, linear(&p, p.x, in, out));
                    give(&p, apply(&p, op, linear(&p, hidden, out, in)));
                    CHECK(pnng_program_seal(p.it) == PNNG_OK);
                    const saved found = compare(&p, dtype, flags);
                    CHECK(found.forward == 2);
                    CHECK(found.backward == (flags ? 1 : 0));
                    pnng_program_free(p.it);
                }
    }
    CHECK(functions >= 18);
}

/* ---- what is fused ---- */

/* Each is a program of a (6, 4) input, planned with a backward. */
typedef void build(program *p);

static pnng_value narrowed(program *p, pnng_value x, int first, int count) {
    return add_op_ints(p->it, "narrow", x, 3, 1, first, count);
}

static void chain(program *p) {
    give(p, apply(p, PNNG_OP_RELU, linear(p, apply(p, PNNG_OP_TANH, linear(p, p->x, 4, 5)), 5, 3)));
}

static void of_an_alias(program *p) {
    const pnng_value z = linear(p, p->x, 4, 6);
    const pnng_value other = add_op_ints(p->it, "reshape", z, 3, 6, 2, 3);
    give(p, apply(p, PNNG_OP_TANH, other));
}

static void into_a_join(program *p) {
    const pnng_value a = apply(p, PNNG_OP_TANH, linear(p, p->x, 4, 5));
    const pnng_value b = apply(p, PNNG_OP_RELU, linear(p, p->x, 4, 3));
    give(p, add_op_ints(p->it, "join", a, 1, 1));
    give(p, b);
}

static void with_an_output(program *p) {
    const pnng_value z = linear(p, p->x, 4, 5);
    give(p, z);
    give(p, apply(p, PNNG_OP_SIGMOID, z));
}

static void read_twice(program *p) {
    const pnng_value z = linear(p, p->x, 4, 5);
    give(p, apply(p, PNNG_OP_SIGMOID, z));
    give(p, apply(p, PNNG_OP_EXP, z));
}

static void of_a_part(program *p) {
    give(p, apply(p, PNNG_OP_TANH, narrowed(p, linear(p, p->x, 4, 6), 1, 3)));
}

static void of_a_transpose(program *p) {
    const pnng_value z = linear(p, p->x, 4, 5);
    give(p, apply(p, PNNG_OP_TANH, add_op_ints(p->it, "transpose", z, 2, 0, 1)));
}

static void of_a_batch(program *p) {
    const pnng_value x = add_op_ints(p->it, "reshape", p->x, 3, 2, 3, 4);
    const pnng_value w = param(p, shape_of(3, 2, 4, 5));
    const pnng_value in[] = {x, w};
    const int64_t ints[] = {0, 0};
    pnng_value z;
    CHECK(pnng_program_op(p->it, PNNG_OP_MATMUL, in, 2, ints, 2, NULL, 0, &z, 1) == PNNG_OK);
    give(p, apply(p, PNNG_OP_TANH, z));
}

/* The gradient of the hidden layer is a sum: the second product adds to it, and is finished. */
static void used_twice(program *p) {
    const pnng_value y = apply(p, PNNG_OP_TANH, linear(p, p->x, 4, 5));
    give(p, linear(p, y, 5, 2));
    give(p, linear(p, y, 5, 3));
}

/* The gradient of z is stored by exp's step, which is between the product and tanh's, that adds. */
static void written_meanwhile(program *p) {
    const pnng_value z = linear(p, p->x, 4, 5), y = apply(p, PNNG_OP_TANH, z);
    give(p, apply(p, PNNG_OP_EXP, z));
    give(p, linear(p, y, 5, 3));
}

/* Stored by exp's step before the product: tanh's adds to that. */
static void written_before(program *p) {
    const pnng_value z = linear(p, p->x, 4, 5), y = apply(p, PNNG_OP_TANH, z);
    give(p, linear(p, y, 5, 3));
    give(p, apply(p, PNNG_OP_EXP, z));
}

/* Of two functions one after the other, the first. */
static void two_functions(program *p) {
    give(p, apply(p, PNNG_OP_TANH, apply(p, PNNG_OP_RELU, linear(p, p->x, 4, 5))));
}

/* What dropout draws, it draws in groups, and on the way back again. */
static void with_dropout(program *p) {
    const pnng_value y = apply(p, PNNG_OP_DROPOUT, linear(p, p->x, 4, 5));
    give(p, linear(p, y, 5, 3));
}

static void column(program *p) {
    const pnng_value in[] = {p->x, param(p, shape_of(2, 6, 1))};
    const int64_t turned[] = {1, 0};
    pnng_value z;
    CHECK(pnng_program_op(p->it, PNNG_OP_MATMUL, in, 2, turned, 2, NULL, 0, &z, 1) == PNNG_OK);
    give(p, apply(p, PNNG_OP_TANH, z));
}

static pnng_value table(program *p, pnng_op op, const pnng_value *in, size_t n) {
    pnng_value out;
    CHECK(pnng_program_op(p->it, op, in, n, NULL, 0, NULL, 0, &out, 1) == PNNG_OK);
    return out;
}

/* The second product adds to the first, and ends with tanh. */
static void sum_of_products(program *p) {
    const pnng_value in[] = {linear(p, p->x, 4, 5), linear(p, p->x, 4, 5)};
    give(p, linear(p, apply(p, PNNG_OP_TANH, table(p, PNNG_OP_ADD, in, 2)), 5, 3));
}

static void sum_of_five(program *p) {
    pnng_value in[5];
    for (size_t k = 0; k < 5; k++)
        in[k] = linear(p, p->x, 4, 5);
    give(p, table(p, PNNG_OP_ADD, in, 5));
}

/* Two products are summed, and the sum is the end of the second: there what else there is is added.
 * With a third entry that is no product, the rest of the sum is a step. */
static void sum_of_some(program *p) {
    const pnng_value in[] = {linear(p, p->x, 4, 4), linear(p, p->x, 4, 4), p->x};
    give(p, table(p, PNNG_OP_ADD, in, 3));
}

static void sum_of_some_more(program *p) {
    const pnng_value in[] = {linear(p, p->x, 4, 4), linear(p, p->x, 4, 4), p->x, p->x};
    give(p, table(p, PNNG_OP_ADD, in, 4));
}

/* One that is wanted elsewhere, or comes twice, has memory of its own; but a sum of two may be the
 * end of the product that is made last. */
static void sum_that_is_read(program *p) {
    const pnng_value a = linear(p, p->x, 4, 5), b = linear(p, p->x, 4, 5);
    const pnng_value in[] = {a, b};
    give(p, table(p, PNNG_OP_ADD, in, 2));
    give(p, a);
}

static void sum_of_one_twice(program *p) {
    const pnng_value a = linear(p, p->x, 4, 5), in[] = {a, a};
    give(p, table(p, PNNG_OP_ADD, in, 2));
}

/* The second entry is made first. */
static void sum_turned(program *p) {
    const pnng_value b = linear(p, p->x, 4, 5), in[] = {linear(p, p->x, 4, 5), b};
    give(p, table(p, PNNG_OP_ADD, in, 2));
}

/* The third entry is made first: added in another order, the sum would be another one. It is the
 * end of the last. */
static void sum_out_of_order(program *p) {
    const pnng_value c = linear(p, p->x, 4, 5);
    const pnng_value a = linear(p, p->x, 4, 5), b = linear(p, p->x, 4, 5), in[] = {a, b, c};
    give(p, table(p, PNNG_OP_ADD, in, 3));
}

/* Each adds to, or is multiplied by, what is there already. */
static void with_a_residue(program *p) {
    const pnng_value in[] = {p->x, linear(p, p->x, 4, 4)};
    const pnng_value y = table(p, PNNG_OP_ADD, in, 2), next[] = {linear(p, y, 4, 4), y};
    give(p, table(p, PNNG_OP_MUL, next, 2));
}

static void test_rules(void) {
    const struct {
        const char *what;
        build *build;
        int forward, backward;
    } cases[] = {
        {"a chain", chain, 2, 1},
        {"of an alias", of_an_alias, 1, 0},
        {"into a join", into_a_join, 2, 0},
        {"with an output", with_an_output, 1, 0},
        {"read twice", read_twice, 1, 0},
        {"of a part", of_a_part, 0, 0},
        {"of a transpose", of_a_transpose, 0, 0},
        {"of a batch", of_a_batch, 0, 0},
        {"used twice", used_twice, 1, 1},
        {"written meanwhile", written_meanwhile, 1, 0},
        {"written before", written_before, 1, 1},
        {"two functions", two_functions, 1, 0},
        {"with dropout", with_dropout, 0, 0},
        {"a column", column, 1, 0},
        {"a sum of products", sum_of_products, 2, 1},
        {"a sum of five", sum_of_five, 1, 0},
        {"a sum of some", sum_of_some, 1, 0},
        {"a sum of some and more", sum_of_some_more, 0, 0},
        {"a sum one of which is read", sum_that_is_read, 1, 0},
        {"a sum of one twice", sum_of_one_twice, 1, 0},
        {"a sum turned", sum_turned, 1, 0},
        {"a sum out of order", sum_out_of_order, 1, 0},
        {"with a residue", with_a_residue, 2, 0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
            snprintf(test_where, sizeof test_where, "%s, type %d", cases[k].what, (int)dtype);
            program p;
            begin(&p, shape_of(2, 6, 4));
            cases[k].build(&p);
            CHECK(pnng_program_seal(p.it) == PNNG_OK);
            const saved found = compare(&p, dtype, PNNG_PLAN_BACKWARD);
            if (!CHECK(found.forward == cases[k].forward && found.backward == cases[k].backward))
                printf("  %d and %d steps\n", found.forward, found.backward);
            pnng_program_free(p.it);
        }
}

/* What nobody else wants has no memory of its own. */
static void test_memory(void) {
    snprintf(test_where, sizeof test_where, "memory");
    for (int keeps = 0; keeps < 2; keeps++) {
        program p;
        begin(&p, shape_of(2, 64, 8));
        const pnng_value z = linear(&p, p.x, 8, 100);
        give(&p, linear(&p, apply(&p, PNNG_OP_TANH, z), 100, 8));
        if (keeps)
            give(&p, apply(&p, PNNG_OP_EXP, z));
        CHECK(pnng_program_seal(p.it) == PNNG_OK);
        CHECK(compare(&p, PNNG_F32, 0).memory == !keeps);
        pnng_program_free(p.it);
    }
}

/* ---- weights of several products ---- */

/* So many layers with one weight, each followed by tanh. Fused, the weight is packed once. */
static void test_shared_weights(void) {
    /* products, rows, and whether a packed form serves them: not one alone, nor many rows, which
     * pack in little of their time, nor few, which dot products are made of */
    const struct {
        int products, rows;
        bool packs;
    } cases[] = {{2, 6, true}, {5, 70, true}, {1, 6, false}, {2, 300, false}, {2, 1, false}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
            snprintf(test_where, sizeof test_where, "%d products of %d rows with one weight",
                     cases[k].products, cases[k].rows);
            program p;
            begin(&p, shape_of(2, cases[k].rows, 40));
            const pnng_value weight = param(&p, shape_of(2, 40, 40));
            const pnng_value bias = param(&p, shape_of(1, 40));
            pnng_value x = p.x;
            for (int product = 0; product < cases[k].products; product++)
                x = apply(&p, PNNG_OP_TANH, add_op(p.it, "linear", x, weight, bias, -1));
            give(&p, x);
            CHECK(pnng_program_seal(p.it) == PNNG_OK);
            const saved found = compare(&p, dtype, PNNG_PLAN_BACKWARD);
            CHECK(found.forward == cases[k].products - cases[k].packs);
            pnng_program_free(p.it);
        }
}

/* ---- chains ---- */

/* What an LSTM cell does with its gates, which lie side by side in rows: all one chain, and its
 * backward another. */
static void gates(program *p) {
    const int wide = (int)p->input.dim[1] / 4;
    pnng_value gate[4];
    for (int k = 0; k < 4; k++)
        gate[k] =
            apply(p, k == 3 ? PNNG_OP_TANH : PNNG_OP_SIGMOID, narrowed(p, p->x, k * wide, wide));
    const pnng_value kept[] = {gate[0], gate[1]}, added[] = {gate[2], gate[3]};
    const pnng_value sums[] = {table(p, PNNG_OP_MUL, kept, 2), table(p, PNNG_OP_MUL, added, 2)};
    const pnng_value cell = table(p, PNNG_OP_ADD, sums, 2);
    const pnng_value out[] = {gate[0], apply(p, PNNG_OP_TANH, cell)};
    give(p, cell);
    give(p, table(p, PNNG_OP_MUL, out, 2));
}

/* Values of which only the next step knows. */
static void functions_of_functions(program *p) {
    give(p, apply(p, PNNG_OP_EXP, apply(p, PNNG_OP_ABS, apply(p, PNNG_OP_SIGMOID, p->x))));
}

/* The gradients of x and of its transpose are added to one array: not by the chain. */
static void of_both_ways(program *p) {
    const pnng_value turned = add_op_ints(p->it, "transpose", p->x, 2, 0, 1);
    const pnng_value in[] = {p->x, turned};
    give(p, apply(p, PNNG_OP_TANH, table(p, PNNG_OP_MUL, in, 2)));
}

/* Each reads a part that is shifted from what the one before wrote. */
static void shifted(program *p) {
    const int wide = (int)p->input.dim[1] - 1;
    const pnng_value y = apply(p, PNNG_OP_TANH, p->x);
    const pnng_value in[] = {narrowed(p, y, 0, wide), narrowed(p, y, 1, wide)};
    give(p, apply(p, PNNG_OP_SIGMOID, table(p, PNNG_OP_MUL, in, 2)));
}

/* A step that is no member stands between, and reads what the chain makes. */
static void around_another(program *p) {
    const pnng_value y = apply(p, PNNG_OP_TANH, p->x);
    give(p, add_op_ints(p->it, "softmax", y, 1, 1));
    give(p, apply(p, PNNG_OP_EXP, apply(p, PNNG_OP_SIGMOID, y)));
}

/* Pieces of one line of the cache and of a few rows, on one thread and on several. */
static void test_chains(void) {
    const struct {
        const char *what;
        build *build;
        int rows, cols;
        int forward, backward;
    } cases[] = {
        {"gates", gates, 5, 160, 8, 8},
        {"gates of many rows", gates, 600, 24, 8, 8},
        {"gates of one row", gates, 1, 4000, 8, 8},
        {"functions of functions", functions_of_functions, 7, 300, 3, 2},
        {"far more than the caches hold", functions_of_functions, 2100, 1024, 3, 2},
        {"of a transpose, too", of_both_ways, 40, 40, 2, 1},
        {"shifted", shifted, 9, 90, 2, 0},
        {"around another", around_another, 30, 40, 3, 1},
    };
    const size_t piece = pnng_chain_piece;
    pnng_threads_always = true;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int run = 0; run < 12; run++) {
            static const int64_t threads[] = {1, 2, 3, 4, 8, 1};
            const int32_t dtype = run % 2 ? PNNG_F32 : PNNG_F64;
            snprintf(test_where, sizeof test_where, "%s, type %d, %d threads", cases[k].what,
                     (int)dtype, (int)threads[run / 2]);
            CHECK(pnng_set_threads(threads[run / 2]) == PNNG_OK);
            pnng_chain_piece = run < 10 && cases[k].rows < 2000 ? 64 : piece;
            program p;
            begin(&p, shape_of(2, cases[k].rows, cases[k].cols));
            cases[k].build(&p);
            CHECK(pnng_program_seal(p.it) == PNNG_OK);
            const saved found = compare(&p, dtype, PNNG_PLAN_BACKWARD);
            if (pnng_chain_piece == 64 &&
                !CHECK(found.forward == cases[k].forward && found.backward == cases[k].backward))
                printf("  %d and %d steps\n", found.forward, found.backward);
            pnng_program_free(p.it);
        }
    pnng_threads_always = false;
    pnng_chain_piece = piece;
    CHECK(pnng_set_threads(1) == PNNG_OK);
    /* What only the chain knows of has the memory of a piece, on the stack. */
    program p;
    begin(&p, shape_of(1, 100000));
    functions_of_functions(&p);
    CHECK(pnng_program_seal(p.it) == PNNG_OK);
    run r = start(&p, PNNG_F32, 0);
    CHECK(pnng_plan_arena_size(r.plan) == 0);
    stop(&r);
    pnng_program_free(p.it);
}

/* Steps that are split by threads, however small; and a product that is worth threads only with
 * what follows it. */
static void test_threads(void) {
    snprintf(test_where, sizeof test_where, "threads");
    pnng_threads_always = true;
    for (int64_t threads = 1; threads <= 4; threads++) {
        CHECK(pnng_set_threads(threads) == PNNG_OK);
        test_functions();
        test_rules();
    }
    pnng_threads_always = false;
    snprintf(test_where, sizeof test_where, "a function that is worth threads");
    CHECK(pnng_set_threads(2) == PNNG_OK);
    program p;
    begin(&p, shape_of(2, 600, 1));
    give(&p, apply(&p, PNNG_OP_POWER, linear(&p, p.x, 1, 64)));
    CHECK(pnng_program_seal(p.it) == PNNG_OK);
    run r = start(&p, PNNG_F32, 0);
    CHECK(r.plan->n_methods == 1 && r.plan->methods[0].parts == 2);
    stop(&r);
    compare(&p, PNNG_F32, 0);
    pnng_program_free(p.it);
    CHECK(pnng_set_threads(1) == PNNG_OK);
}

/* Memory that runs out while steps are fused. */
static void test_out_of_memory(void) {
    snprintf(test_where, sizeof test_where, "out of memory");
    long made = 0;
    for (long fail_at = 1; !made && fail_at < 1000; fail_at++) {
        watch w;
        watch_begin(&w);
        pnng_program *it;
        if (pnng_program_new(&w.allocator, &it))
            continue;
        const pnng_value x = add_input(it, PNNG_REAL, 1);
        const pnng_value weight = add_param(it, shape_of(2, 4, 4), 1); /* of two products */
        const pnng_value y = add_op(it, "linear", x, weight, -1);
        const pnng_value z = add_op(it, "linear", y, weight, -1);
        CHECK(pnng_program_output(it, add_op(it, "tanh", z, -1)) == PNNG_OK);
        CHECK(pnng_program_seal(it) == PNNG_OK);
        const pnng_shape shape = shape_of(2, 6, 4);
        w.fail_at = w.calls + fail_at;
        pnng_plan *plan;
        const pnng_status status = pnng_plan_new(it, PNNG_F64, &shape, 1, 1, &plan);
        CHECK(status == (w.failed ? PNNG_ERROR_MEMORY : PNNG_OK));
        made = status ? 0 : fail_at;
        if (!status)
            CHECK(plan->n_finishes == 1);
        pnng_plan_free(plan);
        pnng_program_free(it);
        CHECK(w.live == 0 && w.overruns == 0);
    }
    CHECK(made > 10);
}

int main(void) {
    CHECK(pnng_fuses() && !pnng_fuse_problem());
    CHECK(pnng_set_threads(1) == PNNG_OK);
    test_functions();
    test_rules();
    test_memory();
    test_shared_weights();
    test_threads();
    test_chains();
    test_out_of_memory();
    return test_result();
}
