/* Memory: an allocator that fails at the k-th call, for every k; runs that allocate nothing; the
 * arena. */
#include "engine_support.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

/* ---- a program of every family --------------------------------------------------------------- */

enum { ROWS = 20, COLS = 9, CLASSES = 9, N_MANY = 20 };

static pnng_status host_infer(void *user, int64_t id, const pnng_shape *in, size_t n_in,
                              pnng_shape *out, size_t n_out) {
    for (size_t k = 0; k < n_out; k++)
        out[k] = in[0];
    return PNNG_OK;
}

enum { HOST_COUNT = ROWS * COLS };

static pnng_status host_forward(void *user, int64_t id, const void *const *in, size_t n_in,
                                void *const *out, size_t n_out) {
    memcpy(out[0], in[0], HOST_COUNT * sizeof(double));
    return PNNG_OK;
}

static pnng_status host_backward(void *user, int64_t id, const void *const *in, size_t n_in,
                                 const void *const *grad_out, size_t n_out, void *const *grad_in,
                                 double scale, int32_t mask) {
    if (grad_in[0])
        memcpy(grad_in[0], grad_out[0], HOST_COUNT * sizeof(double));
    return PNNG_OK;
}

/* Building a program while memory runs out: a call that fails is made once more, and must do then
 * what it would have done at first; or, if nothing comes any more, everything is given up. */
typedef struct attempt {
    watch *w;
    pnng_program *program;
    bool given_up;
    const char *message; /* of the object that the call was made on */
} attempt;

static bool again(attempt *a, pnng_status status) {
    if (status == PNNG_OK)
        return false;
    CHECK(status == PNNG_ERROR_MEMORY && a->w->failed);
    if (a->w->fails_on)
        a->given_up = true;
    a->w->failed = false;
    return !a->given_up;
}

#define TRY(a, call)                                                                               \
    do {                                                                                           \
        const pnng_status status_ = (a)->given_up ? PNNG_OK : (call);                              \
        if (status_)                                                                               \
            CHECK(strstr(pnng_program_error((a)->program), "memory"));                             \
        if (again(a, status_))                                                                     \
            CHECK((call) == PNNG_OK);                                                              \
    } while (0)

static pnng_value op_n(attempt *a, const char *name, const pnng_value *in, size_t n_in,
                       const int64_t *ints, size_t n_ints, const double *nums, size_t n_out) {
    const int32_t code = pnng_op_find(name);
    pnng_value out[2] = {0, 0};
    TRY(a, pnng_program_op(a->program, code, in, n_in, ints, n_ints, nums,
                           (size_t)pnng_op_table(NULL)[code].n_nums, out, n_out));
    return out[0];
}

static pnng_value op_1(attempt *a, const char *name, pnng_value x) {
    static const double nums[] = {0.5, 2};
    return op_n(a, name, &x, 1, NULL, 0, nums, strcmp(name, "dropout") == 0 ? 2 : 1);
}

static pnng_value op_ints(attempt *a, const char *name, pnng_value x, size_t n, int64_t i,
                          int64_t j, int64_t k) {
    const int64_t ints[] = {i, j, k};
    static const double nums[] = {0.5, 2};
    return op_n(a, name, &x, 1, ints, n, nums, 1);
}

/* Rows as planes of one row, that one window sees all of. */
static pnng_value convolved(attempt *a, pnng_value x, pnng_value w, pnng_value b) {
    const pnng_value in[] = {op_ints(a, "reshape", x, 3, -1, 1, COLS),
                             op_ints(a, "reshape", w, 3, -1, 1, COLS), b};
    const int64_t ints[] = {1, 1, 1, 0, 0, 0, 1, 1, 1, 1};
    const pnng_value y = op_n(a, "convolution", in, 3, ints, 10, NULL, 1);
    return op_ints(a, "reshape", y, 2, -1, COLS, 0);
}

static void op_output(attempt *a, pnng_value x) { TRY(a, pnng_program_output(a->program, x)); }

static void build(attempt *a) {
    const pnng_host host = {host_infer, host_forward, host_backward, NULL};
    const pnng_shape weight = shape_of(2, COLS, COLS), bias = shape_of(1, COLS);
    pnng_value x = 0, t = 0, w = 0, b = 0, buffer = 0;
    TRY(a, pnng_program_host(a->program, &host));
    TRY(a, pnng_program_input(a->program, PNNG_REAL, 1, &x));
    TRY(a, pnng_program_input(a->program, PNNG_REAL, 1, &t));
    TRY(a, pnng_program_param(a->program, &weight, 1, &w));
    TRY(a, pnng_program_param(a->program, &bias, 1, &b));
    TRY(a, pnng_program_pack(a->program, w));
    TRY(a, pnng_program_param(a->program, &bias, 0, &buffer));
    TRY(a, pnng_program_update(a->program, buffer, b));
    const pnng_value linear_in[] = {x, w, b};
    const pnng_value y = op_n(a, "linear", linear_in, 3, NULL, 0, NULL, 1);
    pnng_value h = op_1(a, "tanh", convolved(a, y, w, b));
    h = op_1(a, "mul_constant", op_1(a, "dropout", h));
    const pnng_value left = op_ints(a, "narrow", h, 3, 1, 0, 4);
    const pnng_value right = op_ints(a, "narrow", h, 3, 1, 4, -1);
    const pnng_value flat = op_ints(a, "reshape", left, 1, -1, 0, 0); /* a copy */
    const pnng_value soft = op_ints(a, "softmax", right, 1, 0, 0, 0); /* strided */
    const pnng_value back = op_ints(a, "reshape", flat, 2, -1, 4, 0);
    const pnng_value parts[] = {back, soft};
    const int64_t along = 1;
    const pnng_value joined = op_n(a, "join", parts, 2, &along, 1, NULL, 1);
    pnng_value many[N_MANY]; /* more than fit on the stack of infer_op */
    for (int k = 0; k < N_MANY; k++)
        many[k] = k % 3 ? joined : op_1(a, "sigmoid", joined);
    const pnng_value product = op_n(a, "mul", many, 3, NULL, 0, NULL, 1);
    const pnng_value sum = op_n(a, "add", many, N_MANY, NULL, 0, NULL, 1);
    const pnng_value host_in[] = {op_1(a, "identity", sum)};
    const int64_t host_ints[] = {0, 1, 0};
    const pnng_value called = op_n(a, "host", host_in, 1, host_ints, 3, NULL, 1);
    const pnng_value both[] = {called, product};
    const pnng_value most = op_n(a, "max", both, 2, NULL, 0, NULL, 1);
    const pnng_value classes = op_ints(a, "logsoftmax", most, 1, -1, 0, 0);
    const pnng_value column = op_ints(a, "select", t, 2, 1, 0, 0);
    const pnng_value nll_in[] = {classes, op_1(a, "to_index", column)};
    const int64_t nll_ints[] = {1, -100};
    const pnng_value loss = op_n(a, "nll", nll_in, 2, nll_ints, 2, NULL, 2);
    const pnng_value mse_in[] = {most, t};
    const pnng_value error = op_n(a, "mse", mse_in, 2, &along, 1, NULL, 1);
    const pnng_value mean = op_ints(a, "reduce_sum", soft, 2, 0, 0, 0);
    op_output(a, loss);
    op_output(a, error);
    op_output(a, mean);
    op_output(a, left);
    TRY(a, pnng_program_seal(a->program));
}

/* ---- plans and runs of it -------------------------------------------------------------------- */

enum { N_INPUT = ROWS * COLS };

typedef struct results {
    double loss, error, mean[COLS - 4], left[ROWS * 4];
    double dx[N_INPUT], dt[N_INPUT], dw[COLS * COLS], db[COLS];
    double kept[COLS]; /* a buffer, which becomes b */
} results;

static void run(pnng_plan *plan, results *r) {
    static double x[N_INPUT], t[N_INPUT], w[COLS * COLS], b[COLS];
    static double one = 1, g_mean[COLS - 4], g_left[ROWS * 4];
    for (int k = 0; k < N_INPUT; k++) {
        x[k] = sin(k);
        t[k] = k % CLASSES;
    }
    for (int k = 0; k < COLS * COLS; k++)
        w[k] = cos(k);
    for (int k = 0; k < COLS; k++)
        b[k] = 0.1 * k;
    for (int k = 0; k < COLS - 4; k++)
        g_mean[k] = 1;
    for (int k = 0; k < ROWS * 4; k++)
        g_left[k] = 0.5;
    memset(r, 0, sizeof *r);
    void *const all[] = {x,    t,    &r->loss, &r->error, r->mean, r->left,
                         w,    b,    r->kept,  r->dw,     r->db,   r->kept,
                         &one, &one, g_mean,   g_left,    r->dx,   r->dt};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        CHECK(pnng_plan_bind(plan, k, all[k]) == PNNG_OK);
    static double packed[64 * COLS];
    const size_t bytes = pnng_plan_packed_size(plan, 0);
    if (CHECK(bytes > 0 && bytes <= sizeof packed))
        CHECK(pnng_plan_pack(plan, 0, w, packed) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_PACKED, 0, packed) == PNNG_OK);
    CHECK(pnng_plan_forward(plan, 3) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_OK);
}

static pnng_status plan_it(pnng_program *program, int32_t flags, pnng_plan **out) {
    const pnng_shape inputs[] = {shape_of(2, ROWS, COLS), shape_of(2, ROWS, COLS)};
    return pnng_plan_new(program, PNNG_F64, inputs, 2, flags, out);
}

/* Sizes of all values, asked for one after the other. */
static void walk_shapes(attempt *a) {
    const pnng_shape inputs[] = {shape_of(2, ROWS, COLS), shape_of(2, ROWS, COLS)};
    pnng_shapes *shapes = NULL;
    if (again(a, pnng_shapes_new(a->program, inputs, 2, &shapes))) {
        pnng_shapes_free(shapes);
        CHECK(pnng_shapes_new(a->program, inputs, 2, &shapes) == PNNG_OK);
    }
    for (pnng_value v = 0; v < 30 && !a->given_up; v++) {
        pnng_shape shape;
        const pnng_status status = pnng_shapes_of(shapes, v, &shape);
        if (status)
            CHECK(strstr(pnng_shapes_error(shapes), "memory"));
        if (again(a, status))
            CHECK(pnng_shapes_of(shapes, v, &shape) == PNNG_OK);
    }
    pnng_shapes_free(shapes);
}

/* All there is to do with a program, with an allocator that fails as `w` says. True: it failed. */
static bool live_through(watch *w, const results *wanted, results *found) {
    const long fail_at = w->fail_at;
    attempt a = {.w = w};
    pnng_status status = pnng_program_new(&w->allocator, &a.program);
    if (status)
        CHECK(!a.program);
    if (again(&a, status))
        CHECK(pnng_program_new(&w->allocator, &a.program) == PNNG_OK);
    if (!a.given_up)
        build(&a);
    if (!a.given_up)
        walk_shapes(&a);
    for (int32_t flags = 0; flags < 2 && !a.given_up; flags++) {
        pnng_plan *plan = NULL;
        status = plan_it(a.program, flags, &plan);
        if (status) {
            if (plan) /* it is of no use, but it may be asked */
                CHECK(strstr(pnng_plan_error(plan), "memory"));
            pnng_plan_free(plan);
            plan = NULL;
        }
        if (again(&a, status))
            CHECK(plan_it(a.program, flags, &plan) == PNNG_OK);
        if (plan && flags) {
            const long calls = w->calls;
            run(plan, found);
            CHECK(w->calls == calls); /* runs allocate nothing */
            if (wanted)
                CHECK(memcmp(found, wanted, sizeof *found) == 0);
        }
        pnng_plan_free(plan);
    }
    pnng_program_free(a.program);
    CHECK(w->live == 0);
    CHECK(w->overruns == 0);
    return fail_at && w->calls >= fail_at;
}

static void test_failing_allocator(void) {
    static results wanted, found;
    watch w;
    snprintf(test_where, sizeof test_where, "an allocator that does not fail");
    watch_begin(&w);
    live_through(&w, NULL, &wanted);
    CHECK(wanted.loss == wanted.loss && wanted.dx[0] == wanted.dx[0]);
    for (int on = 0; on < 2; on++) {
        bool failed = true;
        long k = 1;
        for (; failed && k < 100000; k++) {
            snprintf(test_where, sizeof test_where, "failing at call %ld%s", k,
                     on ? " and on" : "");
            watch_begin(&w);
            w.fail_at = k;
            w.fails_on = on;
            failed = live_through(&w, &wanted, &found);
        }
        CHECK(k > 50 && k < 100000);
    }
}

/* A plan that could not be made, but is there: using it is refused. */
static void test_half_made_plans(void) {
    watch w;
    watch_begin(&w);
    attempt a = {.w = &w};
    CHECK(pnng_program_new(&w.allocator, &a.program) == PNNG_OK);
    build(&a);
    pnng_status status = PNNG_ERROR_MEMORY;
    for (long k = 1; status && k < 10000; k++) {
        snprintf(test_where, sizeof test_where, "a plan that failed at call %ld", k);
        pnng_plan *plan = NULL;
        w.fail_at = w.calls + k;
        status = plan_it(a.program, 1, &plan);
        w.fail_at = 0;
        CHECK(status == PNNG_OK || status == PNNG_ERROR_MEMORY);
        if (status && plan) {
            double number;
            pnng_shape shape;
            CHECK(pnng_plan_forward(plan, 0) < 0);
            CHECK(pnng_plan_backward(plan, 1, 3) < 0);
            pnng_plan_bind(plan, 0, &number);
            const pnng_status known = pnng_plan_shape(plan, 0, &shape);
            CHECK(known == PNNG_OK || known == PNNG_ERROR_ARGUMENT);
        }
        pnng_plan_free(plan);
    }
    CHECK(status == PNNG_OK);
    pnng_program_free(a.program);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* ---- the arena ------------------------------------------------------------------------------- */

/* A host that looks at the addresses of its arrays, which are the arena's. */
typedef struct looker {
    uintptr_t lowest, highest; /* the highest one is the end of an array */
    size_t seen;
    bool aligned;
} looker;

static void look_at(looker *l, const void *array) {
    const uintptr_t address = (uintptr_t)array;
    l->aligned = l->aligned && address % 64 == 0;
    l->lowest = l->seen && l->lowest < address ? l->lowest : address;
    if (address + HOST_COUNT * sizeof(double) > l->highest)
        l->highest = address + HOST_COUNT * sizeof(double);
    l->seen++;
}

static pnng_status look_forward(void *user, int64_t id, const void *const *in, size_t n_in,
                                void *const *out, size_t n_out) {
    for (size_t k = 0; k < n_in; k++)
        look_at(user, in[k]);
    for (size_t k = 0; k < n_out; k++) {
        look_at(user, out[k]);
        memcpy(out[k], in[0], HOST_COUNT * sizeof(double));
    }
    return PNNG_OK;
}

static void test_arena(void) {
    snprintf(test_where, sizeof test_where, "the arena");
    watch w; /* its blocks are never aligned to 64 */
    looker l = {.aligned = true};
    pnng_program *program;
    pnng_plan *plan;
    watch_begin(&w);
    CHECK(pnng_program_new(&w.allocator, &program) == PNNG_OK);
    const pnng_host host = {host_infer, look_forward, host_backward, &l};
    CHECK(pnng_program_host(program, &host) == PNNG_OK);
    pnng_value v = add_op(program, "tanh", add_input(program, PNNG_REAL, 1), -1);
    const int64_t ints[] = {0, 1, 0};
    for (int k = 0; k < 4; k++) {
        v = add_op(program, "tanh", v, -1);
        CHECK(pnng_program_op(program, pnng_op_find("host"), &v, 1, ints, 3, NULL, 0, &v, 1) == 0);
    }
    CHECK(pnng_program_output(program, add_op(program, "tanh", v, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    for (int32_t flags = 0; flags < 2; flags++) {
        l = (looker){.aligned = true};
        CHECK(plan_it(program, flags, &plan) == PNNG_ERROR_ARGUMENT); /* one input, not two */
        pnng_plan_free(plan);
        const pnng_shape shape = shape_of(2, ROWS, COLS);
        CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, flags, &plan) == PNNG_OK);
        static double x[N_INPUT], y[N_INPUT], g[N_INPUT], dx[N_INPUT];
        double *const arrays[] = {x, y, g, dx};
        for (size_t k = 0; k < 4; k++)
            CHECK(pnng_plan_bind(plan, k, arrays[k]) == PNNG_OK);
        unsigned char *const arena = plan->bases[PNNG_BASE_ARENA];
        const size_t size = pnng_plan_arena_size(plan);
        unsigned char *const block = plan->arena_memory;
        const size_t bytes = block_bytes(block);
        CHECK(arena >= block && (size_t)(arena - block) + size <= bytes);
        memset(block, 0x77, bytes);
        CHECK(pnng_plan_forward(plan, 0) == PNNG_OK);
        if (flags)
            CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_OK);
        CHECK(l.aligned && l.seen == 8);
        CHECK(l.lowest >= (uintptr_t)arena && l.highest <= (uintptr_t)arena + size);
        /* As much as was said is used, and no more. */
        bool clean = true;
        for (unsigned char *p = block; p < block + bytes; p++)
            if ((p < arena || p >= arena + size) && *p != 0x77)
                clean = false;
        CHECK(clean);
        bool used = false;
        for (size_t k = 1; k <= 64 && k <= size; k++)
            used = used || arena[size - k] != 0x77;
        CHECK(used);
        /* A chain needs two arrays at a time; what the backward needs comes on top. */
        const size_t array = N_INPUT * sizeof(double);
        CHECK(size >= 2 * array && size <= (flags ? 12 : 3) * (array + 64));
        pnng_plan_free(plan);
    }
    pnng_program_free(program);
    CHECK(w.live == 0 && w.overruns == 0);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

#if defined(__linux__)
/* Whether the system was asked for huge pages where an address is. */
static bool asked_for_huge(const void *address) {
    FILE *const maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool there = false, asked = false;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            there = (uintptr_t)address >= low && (uintptr_t)address < high;
        else if (there && strncmp(line, "VmFlags:", 8) == 0)
            asked = strstr(line, " hg") != NULL;
    }
    if (maps)
        fclose(maps);
    return asked;
}

enum { HUGE = 2 << 20 };

/* Whether what is asked for is told. An emulator does not, nor does a system without huge pages. */
static bool tells_of_huge(void) {
    unsigned char *const memory = aligned_alloc(HUGE, HUGE);
    const bool tells =
        memory && madvise(memory, HUGE, MADV_HUGEPAGE) == 0 && asked_for_huge(memory);
    free(memory);
    return tells;
}

static void test_huge_pages(void) {
    enum { SOME = 1 << 20 };
    snprintf(test_where, sizeof test_where, "huge pages");
    const pnng_allocator *const allocator = &pnng_default_allocator;
    unsigned char *const large = pnng_allocate(allocator, 4 * HUGE + SOME, 1);
    CHECK(large && (uintptr_t)large % HUGE == 0);
    memset(large, 1, 4 * HUGE + SOME);
    unsigned char *const small = pnng_allocate(allocator, 2 * HUGE - 1, 1);
    CHECK(small && !asked_for_huge(small));
    if (tells_of_huge() && !WITH_SANITIZER) {
        CHECK(asked_for_huge(large) && asked_for_huge(large + 4 * HUGE - 1));
        CHECK(!asked_for_huge(large + 4 * HUGE)); /* no more than what is wanted */
    }
    pnng_release(allocator, small);
    pnng_release(allocator, large);
    CHECK(!pnng_allocate(allocator, SIZE_MAX - 100, 1));
    CHECK(!pnng_allocate(allocator, (size_t)PTRDIFF_MAX, 1));
}
#else
static void test_huge_pages(void) {}
#endif
/* The same numbers with an arena of the caller's, whose size is known before there is any. */
static void test_arena_of_caller(void) {
    snprintf(test_where, sizeof test_where, "an arena of the caller's");
    static results wanted, found;
    watch w;
    watch_begin(&w);
    attempt a = {.w = &w};
    CHECK(pnng_program_new(&w.allocator, &a.program) == PNNG_OK);
    build(&a);
    pnng_plan *own, *plan;
    CHECK(plan_it(a.program, PNNG_PLAN_BACKWARD, &own) == PNNG_OK);
    run(own, &wanted);
    CHECK(plan_it(a.program, PNNG_PLAN_BACKWARD | PNNG_PLAN_NO_ARENA, &plan) == PNNG_OK);
    const size_t size = pnng_plan_arena_size(plan);
    CHECK(size > 0 && size == pnng_plan_arena_size(own) && !plan->arena_memory);
    CHECK(pnng_plan_forward(plan, 3) == PNNG_ERROR_UNBOUND);
    CHECK(strstr(pnng_plan_error(plan), "arena"));
    unsigned char *const block = aligned_alloc(64, (size + 63) / 64 * 64 + 128);
    unsigned char *const arena = block + 64;
    memset(block, 0xff, (size + 63) / 64 * 64 + 128);
    CHECK(pnng_plan_set_arena(plan, arena, size - 1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_set_arena(plan, arena + 32, size) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_set_arena(plan, NULL, size) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_set_arena(own, arena, size) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_plan_forward(plan, 3) == PNNG_ERROR_UNBOUND); /* nothing was changed */
    CHECK(pnng_plan_set_arena(plan, arena, size) == PNNG_OK);
    run(plan, &found);
    CHECK(memcmp(&found, &wanted, sizeof found) == 0);
    bool clean = true;
    for (size_t k = 0; k < 64; k++)
        clean = clean && block[k] == 0xff && arena[size + k] == 0xff;
    CHECK(clean);
    CHECK(pnng_plan_set_arena(plan, arena, size) == PNNG_OK);
    CHECK(pnng_plan_backward(plan, 1, 3) == PNNG_ERROR_ORDER); /* what forward left is gone */
    pnng_plan_free(plan);
    pnng_plan_free(own);
    pnng_program_free(a.program);
    CHECK(w.live == 0 && w.overruns == 0);
    free(block);
}

/* A plan that needs no arena runs without one. */
static void test_no_arena(void) {
    snprintf(test_where, sizeof test_where, "a plan without arena");
    pnng_program *program;
    pnng_plan *plan;
    CHECK(pnng_program_new(NULL, &program) == PNNG_OK);
    const pnng_value x = add_input(program, PNNG_REAL, 0);
    CHECK(pnng_program_output(program, add_op(program, "tanh", x, -1)) == PNNG_OK);
    CHECK(pnng_program_seal(program) == PNNG_OK);
    const pnng_shape shape = shape_of(1, 1);
    double number = 0, result = 1;
    CHECK(pnng_plan_new(program, PNNG_F64, &shape, 1, PNNG_PLAN_NO_ARENA, &plan) == PNNG_OK);
    CHECK(pnng_plan_arena_size(plan) == 0);
    CHECK(bind_to(plan, PNNG_SLOT_INPUT, 0, &number) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, &result) == PNNG_OK);
    CHECK(pnng_plan_forward(plan, 0) == PNNG_OK && result == 0);
    pnng_plan_free(plan);
    pnng_program_free(program);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what came before */
    test_failing_allocator();
    test_arena();
    test_arena_of_caller();
    test_no_arena();
    test_half_made_plans();
    test_huge_pages();
    return test_result();
}
