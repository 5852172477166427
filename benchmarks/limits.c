/* What this machine can do at best: multiply-adds a second, and bytes a second read and written.
 *
 * limits.py compiles this when it is wanted, once for each number type and instruction set:
 * REAL is float or double, LANES how many of them a vector has, 1 for scalar code. Each function
 * returns the seconds that `calls` rounds took on `threads` threads, which start together and do
 * not wait for each other in between: what is measured has no overhead that could be left out.
 *
 * The last two functions run a prepared plan of the engine as often, with no Python in between. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__SSE2__) && LANES > 1
#include <immintrin.h>
#define HAS_STREAMING 1
#else
#define HAS_STREAMING 0
#endif

#if LANES > 1
typedef REAL vector __attribute__((vector_size(LANES * sizeof(REAL))));
#else
typedef REAL vector;
#endif

enum { MAX_THREADS = 64, MAX_INPUTS = 8 };

/* Sums side by side: enough to hide the latency of an addition on two ports, and few enough for 16
 * registers. */
enum { SUMS = 12, STEPS = 64, UNROLL = 8 };

typedef struct job {
    void (*run)(const struct job *);
    size_t calls;
    size_t count; /* vectors of each array */
    const vector *in[MAX_INPUTS];
    vector *out;
    atomic_int *ready, *go;
} job;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile REAL sink;

static inline REAL first(vector v) {
#if LANES > 1
    return v[0];
#else
    return v;
#endif
}

/* ---- threads ---- */

static void *wait_and_run(void *argument) {
    const job *const j = argument;
    atomic_fetch_add(j->ready, 1);
    while (!atomic_load(j->go))
        sched_yield();
    j->run(j);
    return NULL;
}

/* The seconds from the common start to the end of the last one; -1 without such threads. */
static double run_all(job *jobs, int threads) {
    pthread_t ids[MAX_THREADS];
    atomic_int ready = 0, go = 0;
    int started = 1;
    for (int k = 0; k < threads; k++) {
        jobs[k].ready = &ready;
        jobs[k].go = &go;
    }
    while (started < threads &&
           pthread_create(&ids[started], NULL, wait_and_run, &jobs[started]) == 0)
        started++;
    while (atomic_load(&ready) < started - 1)
        sched_yield();
    const double start = now();
    atomic_store(&go, 1);
    jobs[0].run(&jobs[0]);
    for (int k = 1; k < started; k++)
        pthread_join(ids[k], NULL);
    return started == threads ? now() - start : -1;
}

/* ---- arithmetic ---- */

static void multiply_add(const job *j) {
    const volatile REAL one = 1, small = (REAL)1e-3;
    vector sum[SUMS], factor = (vector){0} + (one - small), term = (vector){0} + small;
    for (int k = 0; k < SUMS; k++)
        sum[k] = term * (REAL)(k + 1);
    for (size_t call = 0; call < j->calls; call++)
        for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 12
            for (int k = 0; k < SUMS; k++)
                sum[k] = sum[k] * factor + term;
    for (int k = 1; k < SUMS; k++)
        sum[0] += sum[k];
    sink = first(sum[0]);
}

/* Operations of one call on one thread, a multiplication and an addition being two. */
size_t limit_flops(void) { return (size_t)2 * SUMS * STEPS * LANES; }

double limit_multiply_add(size_t calls, int threads) {
    job jobs[MAX_THREADS];
    for (int k = 0; k < threads; k++)
        jobs[k] = (job){.run = multiply_add, .calls = calls};
    return run_all(jobs, threads);
}

/* ---- memory ---- */

static void read_only(const job *j) {
    vector sum[UNROLL] = {0};
    for (size_t call = 0; call < j->calls; call++) {
        const vector *const x = j->in[0];
        __asm__ volatile("" ::: "memory"); /* each call reads anew */
        for (size_t i = 0; i < j->count; i += UNROLL)
#pragma GCC unroll 8
            for (size_t k = 0; k < UNROLL; k++)
                sum[k] += x[i + k];
    }
    for (int k = 1; k < UNROLL; k++)
        sum[0] += sum[k];
    sink = first(sum[0]);
}

static inline void store(vector *p, vector v, bool streaming) {
#if HAS_STREAMING
    if (streaming) { /* whatever the numbers are, their bits are stored */
#if defined(__AVX512F__)
        _mm512_stream_ps((float *)p, (__m512)v);
#elif defined(__AVX__)
        _mm256_stream_ps((float *)p, (__m256)v);
#else
        _mm_stream_ps((float *)p, (__m128)v);
#endif
        return;
    }
#else
    (void)streaming;
#endif
    *p = v;
}

/* out = the sum of n inputs; n = 1 copies. `n` and `streaming` are constants where it is called. */
static inline __attribute__((always_inline)) void combine(const job *j, int n, bool streaming) {
    const vector *in[MAX_INPUTS];
    vector *const restrict out = j->out;
    const size_t count = j->count;
#pragma GCC unroll 8
    for (int input = 0; input < n; input++)
        in[input] = j->in[input];
    for (size_t call = 0; call < j->calls; call++) {
        __asm__ volatile("" ::: "memory");
#pragma GCC unroll 4
        for (size_t i = 0; i < count; i++) {
            vector v = in[0][i];
#pragma GCC unroll 8
            for (int input = 1; input < n; input++)
                v += in[input][i];
            store(&out[i], v, streaming);
        }
    }
#if HAS_STREAMING
    if (streaming)
        _mm_sfence();
#endif
}

#define COMBINE(n)                                                                                 \
    static void combine_##n(const job *j) { combine(j, n, false); }                                \
    static void stream_##n(const job *j) { combine(j, n, true); }
COMBINE(1)
COMBINE(2)
COMBINE(4)
COMBINE(8)

/* What fills an array from n inputs; NULL where nothing does. */
static void (*combiner(int n, bool streaming))(const job *) {
    switch (n) {
    case 1:
        return streaming ? stream_1 : combine_1;
    case 2:
        return streaming ? stream_2 : combine_2;
    case 4:
        return streaming ? stream_4 : combine_4;
    case 8:
        return streaming ? stream_8 : combine_8;
    default:
        return NULL;
    }
}

int limit_has_streaming(void) { return HAS_STREAMING; }

/* Arrays have to be a multiple of this many bytes for each thread. */
size_t limit_grain(void) { return UNROLL * sizeof(vector); }

/* Walk through arrays of `bytes` each, aligned to 64 and a multiple of `limit_grain()` times
 * `threads`: only read one where out is NULL, else fill out from n_inputs (1, 2, 4, 8) of them. */
double limit_memory(const void *const *inputs, int n_inputs, void *out, int streaming, size_t bytes,
                    size_t calls, int threads) {
    job jobs[MAX_THREADS];
    const size_t count = bytes / sizeof(vector) / (size_t)threads;
    for (int k = 0; k < threads; k++) {
        const size_t at = count * (size_t)k;
        jobs[k] = (job){.run = out ? combiner(n_inputs, streaming) : read_only,
                        .calls = calls,
                        .count = count,
                        .out = out ? (vector *)out + at : NULL};
        for (int input = 0; input < n_inputs; input++)
            jobs[k].in[input] = (const vector *)inputs[input] + at;
    }
    return run_all(jobs, threads);
}

/* ---- plans ---- */

/* Run a plan forward or backward; -1 when a run fails. The functions are those of pynngraph.h. */
double repeat_forward(int32_t (*forward)(void *, uint64_t), void *plan, size_t calls) {
    int32_t status = 0;
    const double start = now();
    for (size_t call = 0; call < calls; call++)
        status |= forward(plan, 0);
    return status ? -1 : now() - start;
}

double repeat_backward(int32_t (*backward)(void *, double, int32_t), int32_t mask, void *plan,
                       size_t calls) {
    int32_t status = 0;
    const double start = now();
    for (size_t call = 0; call < calls; call++)
        status |= backward(plan, 1, mask);
    return status ? -1 : now() - start;
}
