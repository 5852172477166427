/* The pool. One caller at a time owns it; the state of the job under way is one atomic word.
 *
 * A worker that sees a new job tries to enter it: it takes one of the job's seats and counts as
 * inside. Then it takes parts, by adding one to a counter, until there are none, and leaves. The
 * caller does the same; then it removes the seats that nobody took, so that who comes late finds
 * the door shut, and waits for those inside only.
 *
 * Workers without a job spin for a short time, then sleep. */
#ifdef __linux__
#define _GNU_SOURCE /* affinity */
#else
#define _POSIX_C_SOURCE 200809L /* strict C11 hides signal masks unless they are asked for */
#endif
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>

static char problem[160];

const char *pnng_threads_problem(void) { return problem[0] ? problem : NULL; }

/* The number that PYNNGRAPH_NUM_THREADS sets; 0: none. */
static size_t read_setting(void) {
    const char *const text = getenv("PYNNGRAPH_NUM_THREADS");
    if (!text || !*text)
        return 0;
    char *end;
    const long long count = strtoll(text, &end, 10);
    if (*end == '\0' && count >= 1 && count <= PNNG_MAX_THREADS)
        return (size_t)count;
    snprintf(problem, sizeof problem,
             "PYNNGRAPH_NUM_THREADS=%.40s cannot be had: it is a number of threads, from 1 to %d",
             text, PNNG_MAX_THREADS);
    return 0;
}

bool pnng_threads_always;

static void run_alone(size_t parts, pnng_part *part, void *context) {
    for (size_t k = 0; k < parts; k++)
        part(context, k);
}

#ifdef PNNG_NO_THREADS

__attribute__((constructor)) static void at_load(void) { read_setting(); }

bool pnng_threads_may_help(uint64_t nanoseconds) {
    (void)nanoseconds;
    return false;
}

size_t pnng_threads_wanted(uint64_t nanoseconds) {
    (void)nanoseconds;
    return 1;
}

void pnng_parallel(size_t threads, size_t parts, pnng_part *part, void *context) {
    (void)threads;
    run_alone(parts, part, context);
}

size_t pnng_threads_limit(void) { return 1; }

pnng_status pnng_set_threads(int64_t count) {
    return count >= 1 && count <= PNNG_MAX_THREADS ? PNNG_OK : PNNG_ERROR_ARGUMENT;
}

void pnng_threads_enter(uint64_t nanoseconds) { (void)nanoseconds; }
void pnng_threads_leave(void) {}

#else
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#if defined __linux__ && !defined __ANDROID__
#include <sched.h>
#define PLACES_WORKERS 1
#else
#define PLACES_WORKERS 0
#endif

#include "plan.h" /* the clock */

/* The word of a job: how many workers are inside, how many more may enter, and whether the caller
 * sleeps until all have left. */
enum { SEAT = 1 << 12, INSIDE = SEAT - 1, SEATS = INSIDE << 12, WAITED = 1 << 30 };
_Static_assert((int)PNNG_MAX_THREADS <= (int)INSIDE, "as many workers can be counted");

enum {
    /* Nanoseconds. Woken again within it, a worker starts at once instead of some 30 us later; what
     * comes between two steps, or between two calls from Python, is most often done in less. */
    SPIN = 100000,
    /* What each thread should have to do: many times what it takes to hand it over, 0.2 us. */
    SHARE = 4000,
    /* Waking a worker costs the caller up to 10 us, and it starts after some 30. What is left of a
     * run pays for that by itself if it is so much... */
    WORTH_WAKING = 100000,
    /* ... and smaller ones if so much was missed because all workers slept, of jobs so close that
     * workers would have stayed awake: if then no other one follows, 2.5 % are lost. */
    WORTH_TRYING = 400000,
};

/* By so much jobs may take longer than is thought. */
enum { SHORT_BY = 4 };

enum { LINE = 64, REGIONS = 64 };

/* Parts of a job that lie one after another. */
typedef struct region {
    alignas(LINE) atomic_size_t next;
    size_t end;
} region;

typedef struct worker {
    pthread_t thread;
    pthread_cond_t wake;
    bool asleep; /* until the caller of a job wants it */
    bool called; /* the caller's: it is to be told that it no longer is */
#if PLACES_WORKERS
    bool placed; /* it may not run on all of the CPUs that it should */
    cpu_set_t cpus;
#endif
} worker;

static struct {
    /* Held by the caller whose job it is, and by who starts or stops threads. */
    pthread_mutex_t owner;
    size_t running; /* workers that were started */
    size_t most;    /* workers that could be, as far as is known */
    pnng_part *part;
    void *context;
    size_t regions;

    alignas(LINE) atomic_uint epoch; /* counts jobs: workers look at it while they spin */
    atomic_bool quit;
    alignas(LINE) atomic_uint job;
    region region[REGIONS];

    alignas(LINE) atomic_size_t limit; /* threads that are set; 0: not known yet */
    atomic_size_t ready;               /* workers that are awake */
    atomic_size_t callers;             /* runs under way */
    atomic_uint_fast64_t missed;       /* work that was done alone because all workers slept, */
    atomic_uint_fast64_t missed_until; /* and when it ended, about */

    /* For sleeping: workers until they are wanted, the caller until nobody is inside. */
    pthread_mutex_t mutex;
    pthread_cond_t done;
} pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER,
    .most = PNNG_MAX_THREADS - 1,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

/* Apart, so that files have no room for them: at first they are zeros. */
static worker workers[PNNG_MAX_THREADS - 1];

static _Thread_local bool inside_part;
static _Thread_local size_t entered; /* runs of this thread, one in another */
static _Thread_local uint64_t left;  /* nanoseconds of jobs that are to come in the first */

pnng_thread_starter *pnng_start_thread = pthread_create;

static inline void relax(void) {
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* ---- workers -------------------------------------------------------------------------------- */

/* Each thread has a region of its own, the same in each job where that is possible: what it wrote
 * in one step is in its cache for the next. When it is done there, it helps the others. */
static void take_parts(size_t number) {
    const size_t regions = pool.regions;
    /* The first is the caller's own. */
    const size_t home = number < regions ? number : 1 + number % (regions - 1);
    for (size_t k = 0; k < regions; k++) {
        region *const r = &pool.region[(home + k) % regions];
        for (;;) {
            const size_t part = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
            if (part >= r->end)
                break;
            pool.part(pool.context, part);
        }
    }
}

static bool enter_job(void) {
    unsigned job = atomic_load_explicit(&pool.job, memory_order_relaxed);
    while (job & SEATS)
        if (atomic_compare_exchange_weak_explicit(&pool.job, &job, job - SEAT + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void leave_job(void) {
    const unsigned job = atomic_fetch_sub_explicit(&pool.job, 1, memory_order_release);
    if (!(job & WAITED) || (job & INSIDE) != 1)
        return;
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_signal(&pool.done);
    pthread_mutex_unlock(&pool.mutex);
}

/* Whether another job than `seen` came before the deadline. */
static bool spin(unsigned seen, uint64_t deadline) {
    do {
        for (int k = 0; k < 32; k++) {
            if (atomic_load_explicit(&pool.epoch, memory_order_relaxed) != seen)
                return true;
            relax();
        }
    } while (pnng_clock() < deadline);
    return false;
}

/* Where a worker runs: anywhere but on the CPU of the thread that waits for it. The system wakes it
 * there if the other CPUs are busy with other programs, and then it gets nothing done, but stops
 * the one who needs it. Once it runs, the system may move it as it likes. */
static void place(worker *w) {
#if PLACES_WORKERS
    cpu_set_t others;
    const int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE || w->placed ||
        pthread_getaffinity_np(w->thread, sizeof w->cpus, &w->cpus))
        return;
    others = w->cpus;
    CPU_CLR(cpu, &others);
    w->placed =
        CPU_COUNT(&others) > 0 && pthread_setaffinity_np(w->thread, sizeof others, &others) == 0;
#else
    (void)w;
#endif
}

static void may_move_again(worker *w) {
#if PLACES_WORKERS
    if (w->placed)
        sched_setaffinity(0, sizeof w->cpus, &w->cpus);
    w->placed = false;
#else
    (void)w;
#endif
}

/* With the mutex. */
static void sleep_until_called(worker *self) {
    while (self->asleep)
        pthread_cond_wait(&self->wake, &pool.mutex);
    may_move_again(self);
}

/* Unless there is a new job already. The caller makes his job known before he looks who sleeps;
 * here it is the other way round. */
static void sleep_after(worker *self, unsigned seen) {
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_sub(&pool.ready, 1);
    if (atomic_load(&pool.epoch) == seen) {
        self->asleep = true;
        sleep_until_called(self);
    } else {
        atomic_fetch_add(&pool.ready, 1);
    }
    pthread_mutex_unlock(&pool.mutex);
}

/* They begin asleep. The one who calls is number 0. */
static void *work(void *argument) {
    worker *const self = argument;
    inside_part = true;
    pthread_mutex_lock(&pool.mutex);
    sleep_until_called(self);
    pthread_mutex_unlock(&pool.mutex);
    for (;;) {
        const unsigned seen = atomic_load_explicit(&pool.epoch, memory_order_acquire);
        if (atomic_load_explicit(&pool.quit, memory_order_relaxed))
            return NULL;
        if (enter_job()) {
            take_parts((size_t)(self - workers) + 1);
            leave_job();
        }
        /* One that came too late for a job stays for the next one, too. */
        if (!spin(seen, pnng_clock() + SPIN))
            sleep_after(self, seen);
    }
}

/* Wake up to `count` workers. They count as ready from now on. */
static void wake(size_t count) {
    size_t called = 0;
    pthread_mutex_lock(&pool.mutex);
    for (size_t k = 0; k < pool.running && called < count; k++) {
        worker *const w = &workers[k];
        if (!w->asleep)
            continue;
        place(w);
        w->asleep = false;
        w->called = true;
        called++;
    }
    atomic_fetch_add(&pool.ready, called);
    pthread_mutex_unlock(&pool.mutex);
    for (size_t k = 0; called > 0; k++) {
        worker *const w = &workers[k];
        if (!w->called)
            continue;
        w->called = false;
        pthread_cond_signal(&w->wake);
        called--;
    }
}

/* ---- starting and stopping: by the pool's owner ---------------------------------------------- */

/* After fork, the child has the thread that forked and no other one. */
static void begin_again(void) {
    static const pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pool.owner = pool.mutex = mutex;
    pool.done = cond;
    pool.running = 0;
    pool.most = PNNG_MAX_THREADS - 1;
    atomic_store(&pool.job, 0);
    atomic_store(&pool.quit, false);
    atomic_store(&pool.ready, 0);
    atomic_store(&pool.callers, entered > 0);
}

static bool watch_forks(void) {
    static bool watched;
    if (!watched)
        watched = pthread_atfork(NULL, NULL, begin_again) == 0;
    return watched;
}

/* See that there are `count` workers, or as many as can be had; returns how many there are. */
static size_t start_workers(size_t count) {
    if (count > pool.most)
        count = pool.most;
    if (pool.running >= count || !watch_forks())
        return pool.running < count ? pool.running : count;
    /* Signals are for the threads of the program. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (bool started = true; started && pool.running < count; pool.running += started) {
        worker *const w = &workers[pool.running];
        *w = (worker){.wake = PTHREAD_COND_INITIALIZER, .asleep = true};
        started = pnng_start_thread(&w->thread, NULL, work, w) == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool.running < count)
        pool.most = pool.running; /* not tried again at each job */
    return pool.running;
}

static void stop_workers(void) {
    atomic_store(&pool.quit, true);
    atomic_fetch_add(&pool.epoch, 1);
    wake(pool.running);
    for (size_t k = 0; k < pool.running; k++)
        pthread_join(workers[k].thread, NULL);
    pool.running = 0;
    atomic_store(&pool.ready, 0);
    atomic_store(&pool.quit, false);
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static void wait_for_those_inside(void) {
    const uint64_t deadline = pnng_clock() + SPIN;
    do {
        for (int k = 0; k < 32; k++) {
            if (!(atomic_load_explicit(&pool.job, memory_order_acquire) & INSIDE))
                return;
            relax();
        }
    } while (pnng_clock() < deadline);
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_or(&pool.job, WAITED);
    while (atomic_load(&pool.job) & INSIDE)
        pthread_cond_wait(&pool.done, &pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
}

static size_t start_of_region(size_t parts, size_t k) {
    return parts / pool.regions * k + (parts % pool.regions < k ? parts % pool.regions : k);
}

static void run_with(size_t helpers, size_t parts, pnng_part *part, void *context) {
    pool.part = part;
    pool.context = context;
    pool.regions = helpers + 1 < REGIONS ? helpers + 1 : REGIONS;
    for (size_t k = 0; k < pool.regions; k++) {
        atomic_store_explicit(&pool.region[k].next, start_of_region(parts, k),
                              memory_order_relaxed);
        pool.region[k].end = start_of_region(parts, k + 1);
    }
    atomic_store_explicit(&pool.job, (unsigned)helpers * SEAT, memory_order_release);
    atomic_fetch_add(&pool.epoch, 1);
    const size_t ready = atomic_load(&pool.ready);
    if (ready < helpers)
        wake(helpers - ready);
    inside_part = true;
    take_parts(0);
    inside_part = false;
    const unsigned job =
        atomic_fetch_and_explicit(&pool.job, ~(unsigned)SEATS, memory_order_acquire);
    if (job & INSIDE)
        wait_for_those_inside();
}

void pnng_parallel(size_t threads, size_t parts, pnng_part *part, void *context) {
    const size_t limit = pnng_threads_limit();
    if (threads > limit)
        threads = limit;
    if (threads > parts)
        threads = parts;
    if (threads <= 1 || inside_part || pthread_mutex_trylock(&pool.owner)) {
        run_alone(parts, part, context);
        return;
    }
    const size_t helpers = start_workers(threads - 1);
    if (helpers)
        run_with(helpers, parts, part, context);
    else
        run_alone(parts, part, context);
    pthread_mutex_unlock(&pool.owner);
}

bool pnng_threads_may_help(uint64_t nanoseconds) {
    return nanoseconds >= 2 * SHARE || pnng_threads_always;
}

size_t pnng_threads_wanted(uint64_t nanoseconds) {
    if (!pnng_threads_may_help(nanoseconds))
        return 1;
    size_t threads = pnng_threads_limit();
    if (threads == 1 || inside_part)
        return 1;
    const uint64_t to_come = left > nanoseconds ? left : nanoseconds;
    left = to_come - nanoseconds;
    if (pnng_threads_always)
        return threads;
    const size_t callers = atomic_load_explicit(&pool.callers, memory_order_relaxed);
    if (callers > 1)
        threads = threads < callers ? 1 : threads - callers + 1;
    if (threads > nanoseconds / SHARE)
        threads = (size_t)(nanoseconds / SHARE);
    const size_t ready = atomic_load_explicit(&pool.ready, memory_order_relaxed) + 1;
    if (threads <= ready || to_come >= WORTH_WAKING)
        return threads;
    if (ready > 1)
        return ready;
    /* All sleep. One run of this size would not pay for waking them, many one after another do. */
    const uint64_t now = pnng_clock();
    const bool is_late =
        now > atomic_load_explicit(&pool.missed_until, memory_order_relaxed) + SPIN;
    const uint64_t missed =
        (is_late ? 0 : atomic_load_explicit(&pool.missed, memory_order_relaxed)) + nanoseconds;
    const bool tries = missed >= WORTH_TRYING;
    atomic_store_explicit(&pool.missed, tries ? 0 : missed, memory_order_relaxed);
    atomic_store_explicit(&pool.missed_until, now + SHORT_BY * nanoseconds, memory_order_relaxed);
    return tries ? threads : 1;
}

void pnng_threads_enter(uint64_t nanoseconds) {
    if (entered++ > 0)
        return;
    left = nanoseconds;
    atomic_fetch_add_explicit(&pool.callers, 1, memory_order_relaxed);
}

void pnng_threads_leave(void) {
    if (--entered > 0)
        return;
    left = 0;
    atomic_fetch_sub_explicit(&pool.callers, 1, memory_order_relaxed);
}

/* ---- the number of threads ------------------------------------------------------------------- */

size_t pnng_threads_limit(void) {
    size_t limit = atomic_load_explicit(&pool.limit, memory_order_relaxed);
    if (limit)
        return limit;
    const size_t cpus = pnng_cpu_count("");
    size_t unknown = 0;
    limit = cpus < PNNG_MAX_THREADS ? cpus : PNNG_MAX_THREADS;
    return atomic_compare_exchange_strong(&pool.limit, &unknown, limit) ? limit : unknown;
}

pnng_status pnng_set_threads(int64_t count) {
    if (count < 1 || count > PNNG_MAX_THREADS)
        return PNNG_ERROR_ARGUMENT;
    pthread_mutex_lock(&pool.owner);
    if (pool.running >= (size_t)count)
        stop_workers();
    pool.most = PNNG_MAX_THREADS - 1; /* it may be possible now */
    atomic_store(&pool.limit, (size_t)count);
    pthread_mutex_unlock(&pool.owner);
    return PNNG_OK;
}

static void read_split(void) {
    const char *const text = getenv("PYNNGRAPH_SPLIT");
    pnng_threads_always = text && strcmp(text, "always") == 0;
}

__attribute__((constructor)) static void at_load(void) {
    atomic_store(&pool.limit, read_setting());
    read_split();
}

/* Later jobs run alone: other threads of the program may still be there when it ends. The pool may
 * even be owned for good, by a job that a signal's handler left for exit: then threads are left to
 * the system. */
__attribute__((destructor)) static void at_unload(void) {
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int k = 0; k < 1000; k++) {
        if (pthread_mutex_trylock(&pool.owner) == 0) {
            atomic_store(&pool.limit, 1);
            stop_workers();
            pthread_mutex_unlock(&pool.owner);
            return;
        }
        nanosleep(&moment, NULL);
    }
}
#endif

int64_t pnng_threads(void) { return (int64_t)pnng_threads_limit(); }
