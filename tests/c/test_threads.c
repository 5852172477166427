/* The pool of threads, and steps that are split over it. */
#include "engine_support.h"

#ifdef PNNG_NO_THREADS
int main(void) {
    CHECK(pnng_set_threads(4) == PNNG_OK && pnng_threads() == 1);
    CHECK(pnng_set_threads(0) == PNNG_ERROR_ARGUMENT);
    return test_result();
}
#else

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif
#include <sys/wait.h>
#include <time.h>

#include "../../csrc/split.h"
#include "../../csrc/threads.h"

static double seconds(void) { return (double)pnng_clock() * 1e-9; }

static const double patience = 20; /* seconds until something counts as hanging */

/* ---- every part once ------------------------------------------------------------------------- */

enum { MOST_PARTS = 1000 };

typedef struct counts {
    atomic_int of[MOST_PARTS];
} counts;

static void count_part(void *context, size_t k) {
    atomic_fetch_add(&((counts *)context)->of[k], 1);
}

static bool counted_once(counts *c, size_t parts) {
    bool ok = true;
    for (size_t k = 0; k < MOST_PARTS; k++)
        ok &= atomic_exchange(&c->of[k], 0) == (k < parts);
    return ok;
}

static void test_every_part_once(void) {
    static counts c;
    static const size_t parts[] = {0, 1, 2, 3, 7, 8, 9, 64, MOST_PARTS};
    for (int64_t threads = 1; threads <= 8; threads++) {
        snprintf(test_where, sizeof test_where, "%d threads", (int)threads);
        CHECK(pnng_set_threads(threads) == PNNG_OK && pnng_threads() == threads);
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
            for (size_t of = 0; of <= 9; of++) {
                pnng_parallel(of, parts[p], count_part, &c);
                CHECK(counted_once(&c, parts[p]));
            }
    }
}

static void test_numbers_of_threads(void) {
    snprintf(test_where, sizeof test_where, "numbers of threads");
    CHECK(pnng_set_threads(3) == PNNG_OK);
    CHECK(pnng_set_threads(0) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_set_threads(-1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_set_threads(PNNG_MAX_THREADS + 1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_threads() == 3 && pnng_threads_limit() == 3);
    CHECK(pnng_set_threads(PNNG_MAX_THREADS) == PNNG_OK); /* none is started before it is needed */
    CHECK(pnng_threads() == PNNG_MAX_THREADS);
}

/* ---- who does them --------------------------------------------------------------------------- */

/* Parts that wait for each other: they end in time only if as many threads do them at once. */
typedef struct meeting {
    atomic_size_t arrived;
    size_t wanted;
    atomic_bool late;
} meeting;

static void arrive(void *context, size_t k) {
    meeting *const m = context;
    atomic_fetch_add(&m->arrived, 1);
    for (const double start = seconds(); atomic_load(&m->arrived) < m->wanted;) {
        if (seconds() - start > patience) {
            atomic_store(&m->late, true);
            return;
        }
        sched_yield();
    }
}

static bool all_meet(size_t threads) {
    meeting m = {.wanted = threads};
    pnng_parallel(threads, threads, arrive, &m);
    return !m.late && m.arrived == threads;
}

static void test_that_threads_work_at_once(void) {
    for (int64_t threads = 2; threads <= 8; threads += 3)
        for (int asleep = 0; asleep < 2; asleep++) {
            snprintf(test_where, sizeof test_where, "%d threads, %s", (int)threads,
                     asleep ? "asleep" : "awake");
            CHECK(pnng_set_threads(threads) == PNNG_OK);
            CHECK(all_meet(1));
            if (asleep)
                nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
            CHECK(all_meet((size_t)threads));
        }
}

/* One part waits for all others: they must not be left to the thread that waits. */
static void wait_for_others(void *context, size_t k) {
    meeting *const m = context;
    if (k == 0)
        arrive(m, k);
    else
        atomic_fetch_add(&m->arrived, 1);
}

static void test_that_a_late_thread_holds_up_nobody(void) {
    snprintf(test_where, sizeof test_where, "a late thread");
    CHECK(pnng_set_threads(2) == PNNG_OK);
    meeting m = {.wanted = 40};
    pnng_parallel(2, 40, wait_for_others, &m);
    CHECK(!m.late && m.arrived == 40);
}

/* A part that is a caller itself. */
typedef struct nest {
    counts inner;
    atomic_int strangers, wanted;
} nest;

typedef struct nest_part {
    nest *of;
    pthread_t self;
} nest_part;

static void inner_part(void *context, size_t k) {
    nest_part *const p = context;
    count_part(&p->of->inner, k);
    if (!pthread_equal(pthread_self(), p->self))
        atomic_fetch_add(&p->of->strangers, 1);
}

static void outer_part(void *context, size_t k) {
    nest_part p = {context, pthread_self()};
    if (pnng_threads_wanted(UINT64_MAX) != 1)
        atomic_fetch_add(&p.of->wanted, 1);
    pnng_parallel(4, 5, inner_part, &p);
}

static void test_nested_calls(void) {
    snprintf(test_where, sizeof test_where, "nested calls");
    static nest n;
    CHECK(pnng_set_threads(4) == PNNG_OK);
    pnng_parallel(4, 100, outer_part, &n);
    for (size_t k = 0; k < 5; k++)
        CHECK(n.inner.of[k] == 100);
    CHECK(n.strangers == 0 && n.wanted == 0);
    CHECK(pnng_threads_wanted(UINT64_MAX) == 4);
}

/* ---- callers at once ------------------------------------------------------------------------- */

enum { ROUNDS = 3000 };

static void *call_often(void *context) {
    static _Thread_local counts c;
    atomic_int *const wrong = context;
    for (size_t k = 0; k < ROUNDS; k++) {
        pnng_parallel(3, k % 30, count_part, &c);
        if (!counted_once(&c, k % 30))
            atomic_fetch_add(wrong, 1);
    }
    return NULL;
}

static void test_callers_at_once(void) {
    snprintf(test_where, sizeof test_where, "callers at once");
    atomic_int wrong = 0;
    pthread_t caller[3];
    CHECK(pnng_set_threads(3) == PNNG_OK);
    for (size_t k = 0; k < 3; k++)
        CHECK(pthread_create(&caller[k], NULL, call_often, &wrong) == 0);
    for (int64_t k = 0; k < 200; k++) /* while the number changes, too */
        CHECK(pnng_set_threads(1 + k % 8) == PNNG_OK);
    call_often(&wrong);
    for (size_t k = 0; k < 3; k++)
        pthread_join(caller[k], NULL);
    CHECK(wrong == 0);
}

/* Runs under way in other threads have CPUs of their own. */
static void *run_once(void *context) {
    pnng_threads_enter(0);
    pnng_threads_enter(0); /* a run in a run is one caller */
    arrive(context, 0);    /* until it was asked how many threads are wanted */
    pnng_threads_leave();
    pnng_threads_leave();
    return NULL;
}

static void test_that_callers_share(void) {
    snprintf(test_where, sizeof test_where, "callers that share");
    CHECK(pnng_set_threads(4) == PNNG_OK);
    pnng_threads_enter(0);
    CHECK(pnng_threads_wanted(UINT64_MAX) == 4);
    meeting m = {.wanted = 6};
    pthread_t other[5];
    const size_t left[] = {4, 3, 2, 1, 1, 1};
    for (size_t k = 0; k < 5; k++) {
        CHECK(pthread_create(&other[k], NULL, run_once, &m) == 0);
        for (const double start = seconds();
             atomic_load(&m.arrived) < k + 1 && seconds() - start < patience;)
            sched_yield();
        CHECK(pnng_threads_wanted(UINT64_MAX) == left[k + 1]);
    }
    atomic_fetch_add(&m.arrived, 1);
    for (size_t k = 0; k < 5; k++)
        pthread_join(other[k], NULL);
    CHECK(!m.late && pnng_threads_wanted(UINT64_MAX) == 4);
    pnng_threads_leave();
}

/* ---- what a job is worth --------------------------------------------------------------------- */

static void until_workers_sleep(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

static void test_what_jobs_are_worth(void) {
    snprintf(test_where, sizeof test_where, "what jobs are worth");
    CHECK(pnng_set_threads(4) == PNNG_OK);
    CHECK(all_meet(4));
    until_workers_sleep();
    CHECK(pnng_threads_wanted(0) == 1 && pnng_threads_wanted(1000) == 1);
    CHECK(!pnng_threads_may_help(1000) && pnng_threads_may_help(20000));
    CHECK(pnng_threads_wanted(10000000) == 4);
    /* One job of middle size wakes nobody, many do. */
    int alone = 0;
    while (alone < 1000 && pnng_threads_wanted(20000) == 1)
        alone++;
    CHECK(alone >= 5 && alone < 1000);
    /* But not if there was time to sleep between them. */
    until_workers_sleep();
    alone = 0;
    for (int k = 0; k < 40; k++) {
        alone += pnng_threads_wanted(20000) == 1;
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    CHECK(alone == 40);
    /* A run of many of them does, while enough of it is left. */
    pnng_threads_enter(130000);
    CHECK(pnng_threads_wanted(20000) == 4 && pnng_threads_wanted(20000) == 4);
    CHECK(pnng_threads_wanted(20000) == 1);
    pnng_threads_leave();
    CHECK(pnng_threads_wanted(20000) == 1);
    CHECK(pnng_set_threads(1) == PNNG_OK);
    CHECK(pnng_threads_wanted(UINT64_MAX) == 1);
}

#if defined(__linux__) && !defined(__ANDROID__)
/* A thread that keeps a CPU busy. */
typedef struct hog {
    int cpu;
    atomic_bool stop;
} hog;

static void *keep_busy(void *context) {
    hog *const h = context;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(h->cpu, &only);
    sched_setaffinity(0, sizeof only, &only);
    while (!atomic_load(&h->stop)) {
    }
    return NULL;
}

/* Where the two parts of a job are done, and where they might be. */
typedef struct places {
    meeting all_there;
    int cpu[2];
    pthread_t thread[2];
    cpu_set_t cpus[2];
} places;

static void note_place(void *context, size_t k) {
    places *const p = context;
    p->cpu[k] = sched_getcpu();
    p->thread[k] = pthread_self();
    sched_getaffinity(0, sizeof p->cpus[k], &p->cpus[k]);
    arrive(&p->all_there, k);
}

/* Rounds of a job after the worker has slept, in which both threads ran on one CPU. */
static int count_shared(int rounds, const cpu_set_t *all) {
    int shared = 0;
    for (int k = 0; k < rounds; k++) {
        places p = {.all_there = {.wanted = 2}};
        until_workers_sleep();
        pnng_parallel(2, 2, note_place, &p);
        CHECK(!p.all_there.late && p.all_there.arrived == 2);
        shared += p.cpu[0] == p.cpu[1];
        const int worker = pthread_equal(p.thread[0], pthread_self());
        CHECK(CPU_EQUAL(&p.cpus[worker], all)); /* later it may go where it likes */
    }
    return shared;
}

/* A worker is woken where the caller is not, however busy it is there. */
static void test_that_threads_are_woken_apart(void) {
    snprintf(test_where, sizeof test_where, "threads that are woken apart");
    enum { AT_ONCE = 4, MEETINGS = 20 };
    cpu_set_t all;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2 || CPU_COUNT(&all) > AT_ONCE)
        return; /* nothing to choose; or too many to keep busy */
    CHECK(pnng_set_threads(1) == PNNG_OK && pnng_set_threads(2) == PNNG_OK);
    hog hogs[AT_ONCE];
    pthread_t thread[AT_ONCE];
    size_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && cpu != sched_getcpu()) {
            hogs[count].cpu = cpu;
            atomic_init(&hogs[count].stop, false);
            CHECK(pthread_create(&thread[count], NULL, keep_busy, &hogs[count]) == 0);
            count++;
        }
    CHECK(count_shared(MEETINGS, &all) <= MEETINGS / 4); /* the caller may be moved meanwhile */
    while (count-- > 0) {
        atomic_store(&hogs[count].stop, true);
        pthread_join(thread[count], NULL);
    }
}
#else
static void test_that_threads_are_woken_apart(void) {}
#endif

static void test_that_idle_threads_sleep(void) {
    snprintf(test_where, sizeof test_where, "idle threads");
    CHECK(pnng_set_threads(8) == PNNG_OK);
    CHECK(all_meet(8));
    until_workers_sleep();
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const double used =
        (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    CHECK(used < 0.005);
}

/* ---- threads that cannot be had -------------------------------------------------------------- */

static int starts_left;

static int start_some(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                      void *argument) {
    return starts_left-- > 0 ? pthread_create(thread, attributes, run, argument) : EAGAIN;
}

static void test_threads_that_do_not_start(void) {
    static counts c;
    pnng_thread_starter *const usual = pnng_start_thread;
    pnng_start_thread = start_some;
    for (int some = 0; some < 3; some++) {
        snprintf(test_where, sizeof test_where, "%d threads that start", some);
        CHECK(pnng_set_threads(1) == PNNG_OK && pnng_set_threads(5) == PNNG_OK);
        starts_left = some;
        for (int k = 0; k < 10; k++) {
            pnng_parallel(5, 50, count_part, &c);
            CHECK(counted_once(&c, 50));
        }
        CHECK(starts_left == -1); /* it is not tried again and again */
        CHECK(pnng_threads() == 5);
        CHECK(all_meet((size_t)some + 1));
    }
    pnng_start_thread = usual;
    CHECK(pnng_set_threads(5) == PNNG_OK); /* asks for it to be tried again */
    CHECK(all_meet(5));
}

/* ---- fork ------------------------------------------------------------------------------------ */

static bool child_ends_well(pid_t child) {
    int status = 0;
    for (const double start = seconds(); seconds() - start < patience;) {
        const pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        sched_yield();
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return false;
}

/* ThreadSanitizer takes a thread of a child for the one of the parent whose stack it gets, and
 * dies. */
#if defined(__SANITIZE_THREAD__)
enum { CHILDREN_START_THREADS = 0 };
#else
enum { CHILDREN_START_THREADS = 1 };
#endif

static void test_fork(void) {
    for (int used = 0; used <= CHILDREN_START_THREADS; used++) {
        snprintf(test_where, sizeof test_where, "fork %s use", used ? "after" : "before");
        CHECK(pnng_set_threads(1) == PNNG_OK && pnng_set_threads(3) == PNNG_OK);
        if (used)
            CHECK(all_meet(3));
        const pid_t child = fork();
        if (child == 0) {
            const pid_t grandchild = all_meet(3) ? fork() : -1;
            if (grandchild == 0)
                _exit(!all_meet(3));
            const bool ok = grandchild > 0 && child_ends_well(grandchild) && all_meet(3);
            _exit(!(ok && pnng_set_threads(2) == PNNG_OK && all_meet(2)));
        }
        CHECK(child > 0 && child_ends_well(child));
        CHECK(all_meet(3));
    }
}

static void *call_until_told(void *context) {
    static counts c;
    atomic_bool *const stop = context;
    while (!atomic_load(stop)) {
        pnng_threads_enter(0);
        pnng_parallel(3, 20, count_part, &c);
        pnng_threads_leave();
    }
    return NULL;
}

static void test_fork_in_the_middle_of_use(void) {
    snprintf(test_where, sizeof test_where, "fork in the middle of use");
    CHECK(pnng_set_threads(3) == PNNG_OK);
    atomic_bool stop = false;
    pthread_t caller;
    CHECK(pthread_create(&caller, NULL, call_until_told, &stop) == 0);
    for (int k = 0; k < 50; k++) {
        const pid_t child = fork();
        if (child == 0)
            _exit(!(all_meet(3) && pnng_threads_wanted(UINT64_MAX) == 3));
        if (!CHECK(child > 0 && child_ends_well(child)))
            break;
    }
    atomic_store(&stop, true);
    pthread_join(caller, NULL);
    CHECK(all_meet(3));
}

/* ---- how many CPUs there are ----------------------------------------------------------------- */

static char root[64];

static void put(const char *path, const char *text) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *const file = fopen(whole, "w");
    CHECK(file && fputs(text, file) >= 0);
    if (file)
        fclose(file);
}

static void clear_root(void) {
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s/proc %s/sys", root, root);
    CHECK(system(command) == 0);
}

static void test_quotas(void) {
    snprintf(test_where, sizeof test_where, "quotas");
    strcpy(root, "/tmp/pnng_threads_XXXXXX");
    if (!CHECK(mkdtemp(root)))
        return;
    CHECK(pnng_cgroup_cpus(root) == SIZE_MAX); /* no such files */
    put("/proc/self/cgroup", "0::/a/b\n");
    CHECK(pnng_cgroup_cpus(root) == SIZE_MAX); /* a group that is not to be seen */
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK(pnng_cgroup_cpus(root) == SIZE_MAX);
    put("/sys/fs/cgroup/a/b/cpu.max", "350000 100000\n");
    CHECK(pnng_cgroup_cpus(root) == 3);
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n"); /* a group above has less */
    CHECK(pnng_cgroup_cpus(root) == 2);
    put("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    CHECK(pnng_cgroup_cpus(root) == 1); /* never none */
    CHECK(pnng_cpu_count(root) == 1);
    clear_root();

    put("/proc/self/cgroup", "9:name=systemd:/\n5:cpuset:/c\n4:cpuacct,cpu:/c\n0::/\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    CHECK(pnng_cgroup_cpus(root) == SIZE_MAX);
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "450000\n");
    CHECK(pnng_cgroup_cpus(root) == 4);
    /* In a container the group's path is that of the host, and the mount shows the group itself. */
    put("/proc/self/cgroup", "4:cpu:/docker/0123");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(pnng_cgroup_cpus(root) == 2);
    put("/proc/self/cgroup", "4:cpu\n:\n\nnothing\n4:cpuset:/\n"); /* none that counts */
    CHECK(pnng_cgroup_cpus(root) == SIZE_MAX);
    clear_root();
    CHECK(rmdir(root) == 0);

    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all))
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0 && pnng_cpu_count("/nowhere") == 1);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    CHECK(pnng_cpu_count("/nowhere") == (size_t)CPU_COUNT(&all));
}

/* ---- steps that are split -------------------------------------------------------------------- */

/* Every program has the same inputs, used or not: x and z of one shape, a matrix m, rows of it to
 * look up, a class for each of its rows; and a weight and a bias for m. */
enum { X, Z, M, LOOKUP, CLASS, N_INPUTS };
enum { ROWS = 48, COLS = 53, OUT = 29 };
static pnng_shape input_shape[N_INPUTS], weight_shape, bias_shape;

typedef struct build {
    pnng_program *program;
    pnng_value in[N_INPUTS], weight, bias;
} build;

static bool covered[PNNG_OP_COUNT];

static pnng_value op(build *b, const char *name, const pnng_value *in, size_t n_in,
                     const int64_t *ints, size_t n_ints) {
    static const double nums[] = {0.5, 2};
    const int32_t code = pnng_op_find(name);
    const pnng_op_info *const info = &pnng_op_table(NULL)[code];
    pnng_value out[4] = {-1, -1, -1, -1};
    covered[code] = true;
    CHECK(pnng_program_op(b->program, code, in, n_in, ints, n_ints, nums, (size_t)info->n_nums, out,
                          (size_t)info->n_outputs) == PNNG_OK);
    return out[0];
}

static pnng_value op_1(build *b, const char *name, pnng_value x) {
    return op(b, name, &x, 1, NULL, 0);
}

static pnng_value op_ints(build *b, const char *name, pnng_value x, size_t n_ints, int64_t i,
                          int64_t j, int64_t k) {
    const int64_t ints[] = {i, j, k};
    return op(b, name, &x, 1, ints, n_ints);
}

static pnng_value op_2(build *b, const char *name, pnng_value x, pnng_value y, size_t n_ints,
                       int64_t i, int64_t j) {
    const pnng_value in[] = {x, y};
    const int64_t ints[] = {i, j};
    return op(b, name, in, 2, ints, n_ints);
}

/* The same array as it lies in memory, with gaps between its rows, and turned about. */
enum { WHOLE, GAPS, SWAPPED, TURNED, FIRST, LAYOUTS };

static pnng_value laid_out(build *b, pnng_value x, int layout) {
    switch (layout) {
    case GAPS:
        return op_ints(b, "narrow", x, 3, 2, 3, 40);
    case SWAPPED:
        return op_ints(b, "transpose", x, 2, 0, 1, 0);
    case TURNED:
        return op_ints(b, "transpose", x, 2, 0, 2, 0);
    case FIRST:
        return op_ints(b, "select", x, 2, 1, 4, 0);
    default:
        return x;
    }
}

/* All that a run makes, for one number of threads. */
typedef struct made {
    array y, dx[N_INPUTS], dw, db;
} made;

static void fill_inputs(void *data, const pnng_shape *shape, bool f64, bool is_index, size_t k) {
    const size_t count = count_of(shape);
    test_seed = 1234567 + k;
    for (size_t e = 0; e < count; e++)
        if (is_index)
            ((int64_t *)data)[e] = (int64_t)(random_bits() % (k == LOOKUP ? ROWS : COLS));
        else
            real_set(data, f64, (ptrdiff_t)e, random_in(0.05, 0.95));
}

typedef struct arrays {
    array in[N_INPUTS], weight, bias, g;
} arrays;

static pnng_status run_plan(pnng_plan *plan, const arrays *a, made *m) {
    for (size_t k = 0; k < N_INPUTS; k++) {
        CHECK(bind_to(plan, PNNG_SLOT_INPUT, k, a->in[k].data) == PNNG_OK);
        array_fill(&m->dx[k], 0x5a);
        CHECK(bind_to(plan, PNNG_SLOT_GRAD_INPUT, k, m->dx[k].data) == PNNG_OK);
    }
    array_fill(&m->y, 0x5a);
    array_fill(&m->dw, 0);
    array_fill(&m->db, 0);
    CHECK(bind_to(plan, PNNG_SLOT_OUTPUT, 0, m->y.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_OUTPUT, 0, a->g.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 0, a->weight.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_PARAM, 1, a->bias.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_PARAM, 0, m->dw.data) == PNNG_OK);
    CHECK(bind_to(plan, PNNG_SLOT_GRAD_PARAM, 1, m->db.data) == PNNG_OK);
    spoil_arena(plan);
    const pnng_status status = pnng_plan_forward(plan, 77);
    return status ? status : pnng_plan_backward(plan, 1.5, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS);
}

static made made_new(const pnng_shape *y, size_t element, bool y_is_index) {
    made m = {.y = array_new(count_of(y), y_is_index ? 8 : element, 1),
              .dw = array_new(count_of(&weight_shape), element, 2),
              .db = array_new(count_of(&bias_shape), element, 3)};
    for (size_t k = 0; k < N_INPUTS; k++)
        m.dx[k] = array_new(count_of(&input_shape[k]), 8, k);
    return m;
}

static bool made_intact(const made *m) {
    bool ok = array_intact(&m->y) && array_intact(&m->dw) && array_intact(&m->db);
    for (size_t k = 0; k < N_INPUTS; k++)
        ok = ok && array_intact(&m->dx[k]);
    return ok;
}

static bool made_same(const made *m, const made *n) {
    bool ok = array_same(&m->y, &n->y) && array_same(&m->dw, &n->dw) && array_same(&m->db, &n->db);
    for (size_t k = 0; k < N_INPUTS; k++)
        ok = ok && array_same(&m->dx[k], &n->dx[k]);
    return ok;
}

static void made_free(made *m) {
    array_free(&m->y);
    array_free(&m->dw);
    array_free(&m->db);
    for (size_t k = 0; k < N_INPUTS; k++)
        array_free(&m->dx[k]);
}

static arrays arrays_new(const pnng_shape *y, bool f64) {
    const size_t element = f64 ? 8 : 4;
    arrays a;
    for (size_t k = 0; k < N_INPUTS; k++) {
        const bool is_index = k == LOOKUP || k == CLASS;
        a.in[k] = array_new(count_of(&input_shape[k]), is_index ? 8 : element, k);
        fill_inputs(a.in[k].data, &input_shape[k], f64, is_index, k);
    }
    a.weight = array_new(count_of(&weight_shape), element, 1);
    fill_inputs(a.weight.data, &weight_shape, f64, false, 10);
    a.bias = array_new(count_of(&bias_shape), element, 1);
    fill_inputs(a.bias.data, &bias_shape, f64, false, 11);
    a.g = array_new(count_of(y), 8, 1);
    fill_inputs(a.g.data, y, f64, false, 12);
    return a;
}

static void arrays_free(arrays *a) {
    for (size_t k = 0; k < N_INPUTS; k++)
        array_free(&a->in[k]);
    array_free(&a->weight);
    array_free(&a->bias);
    array_free(&a->g);
}

static build build_new(void) {
    build b;
    CHECK(pnng_program_new(NULL, &b.program) == PNNG_OK);
    for (size_t k = 0; k < N_INPUTS; k++) {
        const bool is_index = k == LOOKUP || k == CLASS;
        b.in[k] = add_input(b.program, is_index ? PNNG_INDEX : PNNG_REAL, !is_index);
    }
    b.weight = add_param(b.program, weight_shape, 1);
    b.bias = add_param(b.program, bias_shape, 1);
    return b;
}

static pnng_plan *plan_of(build *b, pnng_value y, int32_t dtype) {
    pnng_plan *plan = NULL;
    CHECK(pnng_plan_new(b->program, dtype, input_shape, N_INPUTS, PNNG_PLAN_BACKWARD, &plan) ==
          PNNG_OK);
    return plan;
}

/* Steps of an op that are cut, by themselves or with the chain that they are in. */
static size_t count_split(const pnng_plan *plan, const pnng_steps *steps, int32_t op) {
    size_t count = 0;
    for (size_t s = 0; s < steps->count; s++) {
        const pnng_step *const step = &steps->step[s];
        count += step->op == op && step->split != PNNG_SPLIT_NONE;
        if (step->run != pnng_run_chain)
            continue;
        const pnng_chain *const chain = &plan->chains[step->j];
        for (size_t k = 0; k < chain->n_members; k++)
            count += plan->members[chain->first_member + k].op == op;
    }
    return count;
}

/* Finish a program with output y, and run it with every number of threads.
 * @param splits  whether steps of the op that makes y are split: forward 1, backward 2 */
static void check_same(build *b, pnng_value y, int splits) {
    CHECK(pnng_program_output(b->program, y) == PNNG_OK);
    CHECK(pnng_program_seal(b->program) == PNNG_OK);
    const int32_t last = (int32_t)b->program->n_ops - 1;
    const bool y_is_index = b->program->values[y].kind == PNNG_INDEX;
    for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
        pnng_plan *const plan = plan_of(b, y, dtype);
        pnng_shape shape;
        CHECK(pnng_plan_shape(plan, y, &shape) == PNNG_OK);
        CHECK(!(splits & 1) || count_split(plan, &plan->forward, last) > 0);
        CHECK(!(splits & 2) || count_split(plan, &plan->backward, last) > 0);
        arrays a = arrays_new(&shape, dtype == PNNG_F64);
        made one = made_new(&shape, plan->element, y_is_index), many = one;
        many = made_new(&shape, plan->element, y_is_index);
        CHECK(pnng_set_threads(1) == PNNG_OK && run_plan(plan, &a, &one) == PNNG_OK);
        static const int64_t threads[] = {2, 3, 4, 8};
        for (size_t k = 0; k < 4; k++) {
            CHECK(pnng_set_threads(threads[k]) == PNNG_OK);
            CHECK(run_plan(plan, &a, &many) == PNNG_OK && made_intact(&many));
            CHECK(made_same(&one, &many));
        }
        made_free(&one);
        made_free(&many);
        arrays_free(&a);
        pnng_plan_free(plan);
    }
    pnng_program_free(b->program);
}

static const char *const layout_names[] = {"whole", "with gaps", "swapped", "turned", "selected"};

static void test_elementwise(void) {
    size_t count;
    const pnng_op_info *const table = pnng_op_table(&count);
    for (size_t k = 0; k < count; k++) {
        const char *const family = table[k].family, *const name = table[k].name;
        const bool unary = strncmp(family, "unary", 5) == 0, noise = strcmp(family, "noise") == 0;
        const bool sum = strcmp(family, "sum") == 0, nary = strcmp(family, "nary") == 0;
        if (!unary && !noise && !sum && !nary)
            continue;
        for (int layout = 0; layout < LAYOUTS; layout++) {
            snprintf(test_where, sizeof test_where, "%s, %s", name, layout_names[layout]);
            build b = build_new();
            const pnng_value x = laid_out(&b, b.in[X], layout), z = laid_out(&b, b.in[Z], layout);
            const pnng_value in[] = {x, z, x};
            const size_t most = (size_t)table[k].max_inputs, n_in = most < 3 ? most : 3;
            const pnng_value y = op(&b, name, in, n_in, NULL, 0);
            check_same(&b, y, 3);
        }
    }
}

static void test_along_a_dim(void) {
    static const char *const names[] = {"softmax", "logsoftmax", "reduce_sum", "reduce_max",
                                        "reduce_min"};
    for (size_t k = 0; k < 5; k++)
        for (int layout = 0; layout < LAYOUTS - 1; layout++)
            for (int64_t dim = 0; dim < 3; dim++) {
                snprintf(test_where, sizeof test_where, "%s along %d, %s", names[k], (int)dim,
                         layout_names[layout]);
                build b = build_new();
                const pnng_value x = laid_out(&b, b.in[X], layout);
                /* A single slice is not cut, but for gradients of a sum. */
                const int splits = dim > 0 ? 3 : k == 2 ? 2 : 0;
                check_same(&b, op_ints(&b, names[k], x, k >= 2 ? 2 : 1, dim, 0, 0), splits);
            }
}

static void test_drawn(void) {
    static const char *const names[] = {"uniform", "normal"};
    for (size_t k = 0; k < 2; k++) {
        snprintf(test_where, sizeof test_where, "%s", names[k]);
        build b = build_new();
        check_same(&b, op_1(&b, names[k], b.in[X]), 1);
    }
    snprintf(test_where, sizeof test_where, "one_hot");
    build b = build_new();
    check_same(&b, op_ints(&b, "one_hot", b.in[LOOKUP], 1, 300, 0, 0), 1);
    snprintf(test_where, sizeof test_where, "turn_gradient");
    b = build_new();
    check_same(&b, op_1(&b, "turn_gradient", b.in[X]), 0);
}

static void test_losses(void) {
    static const char *const names[] = {"mse", "bce", "smooth_l1"};
    for (size_t k = 0; k < 3; k++) {
        snprintf(test_where, sizeof test_where, "%s", names[k]);
        build b = build_new();
        check_same(&b, op_2(&b, names[k], b.in[X], b.in[Z], 1, 1, 0), 2);
    }
    snprintf(test_where, sizeof test_where, "weighted bce");
    build b = build_new();
    const pnng_value in[] = {b.in[X], b.in[Z], b.in[Z]};
    const int64_t average = 1;
    check_same(&b, op(&b, "bce", in, 3, &average, 1), 2);
    for (int64_t ignored = -1; ignored < 2; ignored++) {
        snprintf(test_where, sizeof test_where, "nll without %d", (int)ignored);
        b = build_new();
        check_same(&b, op_2(&b, "nll", b.in[M], b.in[CLASS], 2, 1, ignored), 2);
    }
    snprintf(test_where, sizeof test_where, "to_index");
    b = build_new();
    pnng_value steps = op_1(&b, "add_constant", b.in[M]);
    steps = op_2(&b, "sub", steps, steps, 0, 0, 0); /* zeros */
    check_same(&b, op_1(&b, "to_index", steps), 0);
}

static void test_products_and_look_ups(void) {
    snprintf(test_where, sizeof test_where, "linear");
    build b = build_new();
    const pnng_value in[] = {b.in[M], b.weight, b.bias};
    check_same(&b, op(&b, "linear", in, 3, NULL, 0), 0);
    snprintf(test_where, sizeof test_where, "matmul");
    b = build_new();
    check_same(&b, op_2(&b, "matmul", b.in[X], b.in[Z], 2, 0, 1), 0);
    snprintf(test_where, sizeof test_where, "gather");
    b = build_new();
    check_same(&b, op_2(&b, "gather", b.in[M], b.in[LOOKUP], 1, -1, 0), 3);
    snprintf(test_where, sizeof test_where, "gather from a slice");
    b = build_new();
    const pnng_value slice = op_ints(&b, "narrow", b.in[M], 3, 1, 2, 40);
    check_same(&b, op_2(&b, "gather", slice, b.in[LOOKUP], 1, 3, 0), 3);
}

static void test_views_and_copies(void) {
    for (int layout = 0; layout < LAYOUTS; layout++) {
        snprintf(test_where, sizeof test_where, "a copy, %s", layout_names[layout]);
        build b = build_new();
        check_same(&b, op_1(&b, "identity", laid_out(&b, b.in[X], layout)), 0);
        snprintf(test_where, sizeof test_where, "a copied reshape, %s", layout_names[layout]);
        b = build_new();
        const pnng_value x = op_1(&b, "detach", laid_out(&b, b.in[X], layout));
        check_same(&b, op_ints(&b, "reshape", x, 1, -1, 0, 0), 0);
        snprintf(test_where, sizeof test_where, "a join, %s", layout_names[layout]);
        b = build_new();
        const pnng_value left = laid_out(&b, b.in[X], layout),
                         right = laid_out(&b, b.in[Z], layout);
        check_same(&b, op_2(&b, "join", left, right, 1, 1, 0), 3);
    }
    snprintf(test_where, sizeof test_where, "a copy of indices");
    build b = build_new();
    check_same(&b, op_ints(&b, "replicate", b.in[LOOKUP], 2, 0, 9, 0), 0);
    for (int64_t place = 0; place < 4; place++) {
        snprintf(test_where, sizeof test_where, "replicate at %d", (int)place);
        b = build_new();
        check_same(&b, op_ints(&b, "replicate", b.in[X], 2, place, 9, 0), place ? 3 : 1);
    }
    snprintf(test_where, sizeof test_where, "expand");
    b = build_new();
    const pnng_value row = op_ints(&b, "narrow", b.in[X], 3, 1, 5, 1);
    check_same(&b, op_2(&b, "expand", row, b.in[Z], 0, 0, 0), 3);
}

/* Normalisation by channel, windows along the last dim, and other sizes of it. */
static void test_channels_and_planes(void) {
    static const int64_t windows[] = {1, 0, 1, 3, 2, 1, 1}, drawn[] = {1, 0, 2, 2},
                         pads[] = {1, 0, 1, 2, 1}, twice[] = {1, 0, 2, 0};
    static const struct {
        const char *name;
        const int64_t *ints;
        size_t n_ints;
    } ops[] = {{"batch_norm", NULL, 0},       {"layer_norm", NULL, 0},
               {"max_pool", windows, 7},      {"average_pool", windows, 7},
               {"fractional_pool", drawn, 4}, {"pick", pads, 5},
               {"interpolate", twice, 4}};
    for (int layout = 0; layout < LAYOUTS; layout++) {
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            snprintf(test_where, sizeof test_where, "%s, %s", ops[k].name, layout_names[layout]);
            build b = build_new();
            const pnng_value x = laid_out(&b, b.in[X], layout);
            check_same(&b, op(&b, ops[k].name, &x, 1, ops[k].ints, ops[k].n_ints), 3);
        }
        snprintf(test_where, sizeof test_where, "max_unpool, %s", layout_names[layout]);
        build b = build_new();
        pnng_value x = laid_out(&b, b.in[X], layout);
        const pnng_value pooled = op(&b, "max_pool", &x, 1, windows, 7);
        const pnng_value undone[] = {pooled, pooled + 1, x};
        check_same(&b, op(&b, "max_unpool", undone, 3, windows, 7), 3);
        snprintf(test_where, sizeof test_where, "channel_affine, %s", layout_names[layout]);
        b = build_new();
        x = laid_out(&b, b.in[X], layout);
        pnng_value numbers = op_ints(&b, "select", x, 2, 0, 0, 0);
        if (layout != FIRST)
            numbers = op_ints(&b, "select", numbers, 2, 1, 0, 0);
        const pnng_value affine[] = {x, numbers, numbers, numbers};
        check_same(&b, op(&b, "channel_affine", affine, 4, NULL, 0), 3);
        snprintf(test_where, sizeof test_where, "channel_prelu, %s", layout_names[layout]);
        b = build_new();
        x = laid_out(&b, b.in[X], layout);
        numbers = op_ints(&b, "select", x, 2, 0, 0, 0);
        if (layout != FIRST)
            numbers = op_ints(&b, "select", numbers, 2, 1, 0, 0);
        const pnng_value bent[] = {x, numbers};
        check_same(&b, op(&b, "channel_prelu", bent, 2, NULL, 0), 3);
    }
}

/* So many elements of the weight, as a weight of other sizes. */
static pnng_value weight_of(build *b, int64_t rows, int64_t planes, int64_t size) {
    const int64_t count = rows * planes * (size ? size : 1);
    const pnng_value all = op_ints(b, "reshape", b->weight, 1, -1, 0, 0);
    return op_ints(b, "reshape", op_ints(b, "narrow", all, 3, 0, 0, count), size ? 3 : 2, rows,
                   planes, size);
}

/* Windows over the last dim, and over frames. */
static void test_convolutions(void) {
    static const int64_t planes[LAYOUTS] = {37, 37, 5, 37, 5},
                         features[LAYOUTS] = {53, 40, 53, 5, 53};
    static const int64_t ints[] = {1, 1, 2, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1}, frames[] = {2, 1};
    for (int layout = 0; layout < LAYOUTS; layout++) {
        snprintf(test_where, sizeof test_where, "convolution, %s", layout_names[layout]);
        build b = build_new();
        pnng_value in[] = {laid_out(&b, b.in[X], layout), weight_of(&b, 8, planes[layout], 3)};
        check_same(&b, op(&b, "convolution", in, 2, ints, 10), 0);
        snprintf(test_where, sizeof test_where, "full convolution, %s", layout_names[layout]);
        b = build_new();
        in[0] = laid_out(&b, b.in[X], layout);
        in[1] = weight_of(&b, planes[layout], 8, 3);
        check_same(&b, op(&b, "full_convolution", in, 2, ints, 13), 0);
        snprintf(test_where, sizeof test_where, "frames, %s", layout_names[layout]);
        b = build_new();
        in[0] = laid_out(&b, b.in[X], layout);
        in[1] = weight_of(&b, 9, 2 * features[layout], 0);
        check_same(&b, op(&b, "frames", in, 2, frames, 2), 0);
    }
}

static void test_that_every_op_was_there(void) {
    covered[PNNG_OP_HOST] = true; /* what it does is the host's */
    for (size_t k = 0; k < PNNG_OP_COUNT; k++) {
        snprintf(test_where, sizeof test_where, "%s", pnng_op_table(NULL)[k].name);
        CHECK(covered[k]);
    }
}

/* Gradients of two windows of one array may be in one step: two threads must not add to what is in
 * both. */
static void check_windows(const char *name) {
    snprintf(test_where, sizeof test_where, "%s: gradients that overlap", name);
    build b = build_new();
    const pnng_value y = op_2(&b, name, op_ints(&b, "narrow", b.in[M], 3, 1, 0, 30),
                              op_ints(&b, "narrow", b.in[M], 3, 1, 20, 30), 0, 0, 0);
    const int32_t last = (int32_t)b.program->n_ops - 1;
    CHECK(pnng_program_output(b.program, y) == PNNG_OK && pnng_program_seal(b.program) == PNNG_OK);
    pnng_plan *const plan = plan_of(&b, y, PNNG_F64);
    CHECK(count_split(plan, &plan->forward, last) == 1);
    CHECK(count_split(plan, &plan->backward, last) == 1); /* zeros, before both are added */
    pnng_plan_free(plan);
    pnng_program_free(b.program);
}

static void test_gradients_that_overlap(void) {
    check_windows("mul");
    check_windows("add");
    /* Those of x and of its transpose are one array, too, but come in steps of their own. */
    build b = build_new();
    const pnng_value x =
        op_ints(&b, "narrow", op_ints(&b, "select", b.in[X], 2, 0, 2, 0), 3, 1, 4, 37);
    check_same(&b, op_2(&b, "mul", x, op_ints(&b, "transpose", x, 2, 0, 1, 0), 0, 0, 0), 3);
    /* Halves of one array do not overlap. */
    b = build_new();
    const pnng_value left = op_ints(&b, "narrow", b.in[M], 3, 1, 0, 20);
    const pnng_value right = op_ints(&b, "narrow", b.in[M], 3, 1, 20, 20);
    const pnng_value rest = op_ints(&b, "narrow", b.in[M], 3, 1, 40, 13);
    const pnng_value product = op_2(&b, "mul", left, right, 0, 0, 0);
    check_same(&b, op_2(&b, "join", product, rest, 1, 1, 0), 3);
}

/* Arrays that steps of one time write are apart. */
static void check_apart(const pnng_plan *plan, const pnng_step *x, const pnng_step *y) {
    static const size_t written[] = {PNNG_PRODUCT_C, PNNG_PRODUCT_WORK};
    CHECK(x->run == pnng_run_gemm && y->run == pnng_run_gemm);
    for (size_t k = 0; k < 2; k++)
        for (size_t l = 0; l < 2; l++) {
            const pnng_operand *const of_x = &plan->operands[x->first_operand + written[k]];
            const pnng_operand *const of_y = &plan->operands[y->first_operand + written[l]];
            CHECK(of_x->base != PNNG_BASE_ARENA || of_y->base != PNNG_BASE_ARENA ||
                  of_x->offset != of_y->offset);
        }
}

/* Products that do not need each other are made at the same time, others are not. */
static void test_branches(void) {
    snprintf(test_where, sizeof test_where, "branches");
    CHECK(pnng_set_threads(8) == PNNG_OK);
    build b = build_new();
    const pnng_value m = b.in[M];
    const pnng_value first = op_2(&b, "matmul", m, m, 2, 0, 1);
    const pnng_value apart = op_2(&b, "matmul", m, m, 2, 1, 0);
    const pnng_value second = op_2(&b, "matmul", first, m, 2, 0, 0);
    const pnng_value third = op_2(&b, "matmul", second, apart, 2, 0, 0);
    CHECK(pnng_program_output(b.program, third) == PNNG_OK);
    CHECK(pnng_program_seal(b.program) == PNNG_OK);
    pnng_plan *plan = plan_of(&b, third, PNNG_F64);
    const pnng_step *step = plan->forward.step;
    CHECK(plan->forward.count == 4 && plan->may_split);
    CHECK(step[0].branches == 2 && step[1].branches + step[2].branches + step[3].branches == 0);
    check_apart(plan, &step[0], &step[1]);
    pnng_plan_free(plan);
    pnng_program_free(b.program);

    /* The gradients of a Linear: of its input, its weight and its bias. */
    b = build_new();
    const pnng_value in[] = {b.in[M], b.weight, b.bias};
    const pnng_value y = op(&b, "linear", in, 3, NULL, 0);
    CHECK(pnng_program_output(b.program, y) == PNNG_OK);
    CHECK(pnng_program_seal(b.program) == PNNG_OK);
    plan = plan_of(&b, y, PNNG_F32);
    step = plan->backward.step;
    size_t s = 0;
    while (s < plan->backward.count && step[s].run != pnng_run_gemm)
        s++;
    if (CHECK(s + 3 <= plan->backward.count && step[s].branches == 3)) {
        check_apart(plan, &step[s], &step[s + 1]);
        /* A run that wants some of them leaves the others alone. */
        pnng_shape shape;
        CHECK(pnng_plan_shape(plan, y, &shape) == PNNG_OK);
        arrays a = arrays_new(&shape, false);
        made all = made_new(&shape, 4, false), some = made_new(&shape, 4, false);
        CHECK(run_plan(plan, &a, &all) == PNNG_OK && run_plan(plan, &a, &some) == PNNG_OK);
        CHECK(made_same(&all, &some));
        array_fill(&some.dx[M], 0x5a);
        array_fill(&some.db, 0);
        CHECK(pnng_plan_backward(plan, 1.5, PNNG_GRAD_INPUTS) == PNNG_OK);
        CHECK(array_same(&all.dx[M], &some.dx[M]) && !array_same(&all.db, &some.db));
        array_fill(&some.dx[M], 0x5a);
        array_fill(&some.dw, 0);
        CHECK(pnng_plan_backward(plan, 1.5, PNNG_GRAD_PARAMS) == PNNG_OK);
        CHECK(!array_same(&all.dx[M], &some.dx[M]));
        CHECK(array_same(&all.dw, &some.dw) && array_same(&all.db, &some.db));
        made_free(&all);
        made_free(&some);
        arrays_free(&a);
    }
    pnng_plan_free(plan);
    pnng_program_free(b.program);
}

/* Tables of many inputs, with and without room for their own work space in a part. */
static void test_long_tables(void) {
    for (size_t n = 30; n <= 40; n += 5) {
        snprintf(test_where, sizeof test_where, "a product of %zu", n);
        pnng_value in[40];
        build b = build_new();
        for (size_t k = 0; k < n; k++)
            in[k] = k % 2 ? b.in[Z] : b.in[X];
        check_same(&b, op(&b, "mul", in, n, NULL, 0), n <= 32 ? 3 : 1);
    }
}

/* What is wrong with the numbers is told as one thread would. */
static void test_bad_numbers(void) {
    build b = build_new();
    const pnng_value y = op_2(&b, "gather", b.in[M], b.in[LOOKUP], 1, -1, 0);
    snprintf(test_where, sizeof test_where, "bad indices");
    CHECK(pnng_program_output(b.program, y) == PNNG_OK && pnng_program_seal(b.program) == PNNG_OK);
    pnng_plan *const plan = plan_of(&b, y, PNNG_F64);
    pnng_shape shape;
    CHECK(pnng_plan_shape(plan, y, &shape) == PNNG_OK);
    arrays a = arrays_new(&shape, true);
    made m = made_new(&shape, 8, false);
    int64_t *const rows = (int64_t *)a.in[LOOKUP].data;
    rows[30] = 100;
    rows[17] = -5;
    rows[39] = 48;
    for (int64_t threads = 1; threads <= 8; threads++) {
        CHECK(pnng_set_threads(threads) == PNNG_OK);
        CHECK(run_plan(plan, &a, &m) == PNNG_ERROR_VALUE);
        CHECK(strstr(pnng_plan_error(plan), "index -5, element 17"));
    }
    made_free(&m);
    arrays_free(&a);
    pnng_plan_free(plan);
    pnng_program_free(b.program);
}

/* One thread alone asks the system for nothing: a child that may not do it lives. */
static void test_no_system_calls(void) {
#if defined(__linux__) && !WITH_SANITIZER && !defined(__SANITIZE_THREAD__)
    snprintf(test_where, sizeof test_where, "system calls");
    build b = build_new();
    const pnng_value in[] = {op_1(&b, "tanh", b.in[M]), b.weight, b.bias};
    const pnng_value y = op_ints(&b, "softmax", op(&b, "linear", in, 3, NULL, 0), 1, 1, 0, 0);
    CHECK(pnng_program_output(b.program, y) == PNNG_OK && pnng_program_seal(b.program) == PNNG_OK);
    CHECK(pnng_set_threads(1) == PNNG_OK);
    pnng_plan *const plan = plan_of(&b, y, PNNG_F32);
    pnng_shape shape;
    CHECK(pnng_plan_shape(plan, y, &shape) == PNNG_OK && plan->may_split);
    arrays a = arrays_new(&shape, false);
    made m = made_new(&shape, 4, false);
    CHECK(run_plan(plan, &a, &m) == PNNG_OK);
    const pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
            _exit(0); /* it cannot be forbidden here */
        const bool ok = pnng_plan_forward(plan, 1) == PNNG_OK &&
                        pnng_plan_backward(plan, 1, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS) == PNNG_OK;
        syscall(SYS_exit, !ok); /* the one that is allowed */
    }
    CHECK(child > 0 && child_ends_well(child));
    made_free(&m);
    arrays_free(&a);
    pnng_plan_free(plan);
    pnng_program_free(b.program);
#endif
}

static void test_splits(void) {
    input_shape[X] = input_shape[Z] = shape_of(3, 5, 37, COLS);
    input_shape[M] = shape_of(2, ROWS, COLS);
    input_shape[LOOKUP] = shape_of(1, 40);
    input_shape[CLASS] = shape_of(1, ROWS);
    weight_shape = shape_of(2, OUT, COLS);
    bias_shape = shape_of(1, OUT);
    pnng_threads_always = true;
    test_elementwise();
    test_along_a_dim();
    test_drawn();
    test_losses();
    test_products_and_look_ups();
    test_views_and_copies();
    test_channels_and_planes();
    test_convolutions();
    test_that_every_op_was_there();
    test_gradients_that_overlap();
    test_branches();
    test_long_tables();
    test_bad_numbers();
    test_no_system_calls();
    pnng_threads_always = false;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what came before */
    test_every_part_once();
    test_numbers_of_threads();
    test_that_threads_work_at_once();
    test_that_a_late_thread_holds_up_nobody();
    test_nested_calls();
    test_callers_at_once();
    test_that_callers_share();
    test_what_jobs_are_worth();
    test_that_threads_are_woken_apart();
    test_that_idle_threads_sleep();
    test_threads_that_do_not_start();
    test_fork();
    if (CHILDREN_START_THREADS)
        test_fork_in_the_middle_of_use();
    test_quotas();
    test_splits();
    return test_result();
}
#endif
