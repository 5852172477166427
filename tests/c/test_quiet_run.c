/* A run on one thread asks the system for nothing: no memory, no lock, no call. Allocation and
 * locks are counted by definitions that come before the library's; calls are forbidden by the
 * kernel, which kills the process that makes one. And with memory from a static buffer nothing is
 * allocated from the program's making to its end. */
#include "engine_support.h"

#if defined(__linux__) && defined(__GLIBC__) && !WITH_SANITIZER &&                                 \
    !defined(__SANITIZE_THREAD__) && defined(__x86_64__)

#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../csrc/threads.h"

/* ---- what stands before the library ---- */

static long n_allocations, n_locks;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void __libc_free(void *memory);

void *malloc(size_t bytes) {
    n_allocations++;
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
    n_allocations++;
    return __libc_calloc(count, bytes);
}
void *realloc(void *memory, size_t bytes) {
    n_allocations++;
    return __libc_realloc(memory, bytes);
}
void free(void *memory) {
    n_allocations++;
    __libc_free(memory);
}

/* Nobody else is there: to count is enough. */
int pthread_mutex_lock(pthread_mutex_t *mutex) {
    (void)mutex;
    n_locks++;
    return 0;
}
int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    (void)mutex;
    n_locks++;
    return 0;
}
int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    (void)mutex;
    n_locks++;
    return 0;
}

/* ---- a net of many kinds of steps: views, products, functions, noise, softmax, a loss ---- */

enum { ROWS = 300, WIDTH = 96, CLASSES = 10, MAX_SLOTS = 64, RUNS = 50 };

static pnng_value linear(pnng_program *program, pnng_value x, int in, int out) {
    const pnng_value weight = add_param(program, shape_of(2, out, in), 1);
    const pnng_value bias = add_param(program, shape_of(1, out), 1);
    return add_op(program, "linear", x, weight, bias, -1);
}

static pnng_value dropout(pnng_program *program, pnng_value x) {
    const double nums[] = {0.5, 2};
    pnng_value out[2];
    CHECK(pnng_program_op(program, PNNG_OP_DROPOUT, &x, 1, NULL, 0, nums, 2, out, 2) == PNNG_OK);
    return out[0];
}

static pnng_program *make_program(const pnng_allocator *allocator) {
    pnng_program *p;
    CHECK(pnng_program_new(allocator, &p) == PNNG_OK);
    const pnng_value x = add_input(p, PNNG_REAL, 1), target = add_input(p, PNNG_INDEX, 0);
    const pnng_value h = add_op(p, "tanh", linear(p, x, WIDTH, WIDTH), -1);
    const pnng_value left = add_op_ints(p, "narrow", h, 3, 1, 0, WIDTH / 2);
    const pnng_value right = add_op_ints(p, "narrow", h, 3, 1, WIDTH / 2, WIDTH / 2);
    const pnng_value gated = add_op(p, "mul", left, add_op(p, "sigmoid", right, -1), -1);
    const pnng_value sum = add_op(p, "add", dropout(p, gated), gated, -1);
    const pnng_value scores =
        add_op_ints(p, "logsoftmax", linear(p, sum, WIDTH / 2, CLASSES), 1, 1);
    const pnng_value in[] = {scores, target};
    const int64_t ints[] = {1, -100};
    pnng_value loss[2];
    CHECK(pnng_program_op(p, PNNG_OP_NLL, in, 2, ints, 2, NULL, 0, loss, 2) == PNNG_OK);
    CHECK(pnng_program_output(p, loss[0]) == PNNG_OK);
    CHECK(pnng_program_seal(p) == PNNG_OK);
    return p;
}

/* Arrays for all slots, of the largest that any of them needs. */
static void bind_all(pnng_plan *plan, array *arrays) {
    for (size_t slot = 0; slot < plan->slot_start[PNNG_SLOT_GROUPS]; slot++) {
        arrays[slot] = array_new(ROWS * WIDTH, sizeof(double), 0);
        array_fill(&arrays[slot], 0);
        CHECK(pnng_plan_bind(plan, slot, arrays[slot].data) == PNNG_OK);
    }
}

static pnng_status run(pnng_plan *plan, int times) {
    const int32_t all = PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS;
    pnng_status status = PNNG_OK;
    for (int k = 0; k < times && !status; k++) {
        status = pnng_plan_forward(plan, (uint64_t)k);
        if (!status)
            status = pnng_plan_backward(plan, 1, all);
    }
    return status;
}

/* What a child ends with that the kernel lets make no call but read, write and this one. */
static int status_without_calls(pnng_plan *plan, bool makes_one) {
    const pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0))
            _exit(77);
        const pnng_status status = run(plan, RUNS);
        if (makes_one)
            (void)syscall(SYS_getppid);
        syscall(SYS_exit, status == PNNG_OK ? 0 : 1);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child ? status : -1;
}

/* ---- no malloc at all ---- */

static struct {
    _Alignas(64) unsigned char bytes[1 << 20];
    size_t used;
} heap;

static void *heap_allocate(void *user, size_t bytes) {
    (void)user;
    const size_t taken = (bytes + 15) / 16 * 16;
    if (taken < bytes || taken > sizeof heap.bytes - heap.used)
        return NULL;
    heap.used += taken;
    return heap.bytes + heap.used - taken;
}

static void heap_release(void *user, void *memory) {
    (void)user;
    CHECK((unsigned char *)memory >= heap.bytes &&
          (unsigned char *)memory < heap.bytes + heap.used);
}

/* The arena lies in memory of this file, and so does all else that the engine keeps. */
static void test_static_memory(void) {
    static _Alignas(64) unsigned char arena[4 << 20];
    static array arrays[MAX_SLOTS];
    const pnng_allocator allocator = {heap_allocate, heap_release, NULL};
    const pnng_shape inputs[] = {shape_of(2, ROWS, WIDTH), shape_of(1, ROWS)};
    snprintf(test_where, sizeof test_where, "static memory");
    n_allocations = 0;
    pnng_program *const program = make_program(&allocator);
    pnng_plan *plan;
    CHECK(pnng_plan_new(program, PNNG_F32, inputs, 2, PNNG_PLAN_BACKWARD | PNNG_PLAN_NO_ARENA,
                        &plan) == PNNG_OK);
    CHECK(pnng_plan_arena_size(plan) <= sizeof arena);
    CHECK(pnng_plan_set_arena(plan, arena, pnng_plan_arena_size(plan)) == PNNG_OK);
    CHECK(n_allocations == 0);
    bind_all(plan, arrays);
    n_allocations = 0;
    CHECK(run(plan, 2) == PNNG_OK);
    pnng_plan_free(plan);
    pnng_program_free(program);
    CHECK(n_allocations == 0 && heap.used > 0);
    for (size_t slot = 0; slot < MAX_SLOTS; slot++)
        array_free(&arrays[slot]);
}

int main(void) {
    CHECK(pnng_set_threads(1) == PNNG_OK);
    test_static_memory();
    pnng_program *const program = make_program(NULL);
    const pnng_shape inputs[] = {shape_of(2, ROWS, WIDTH), shape_of(1, ROWS)};
    for (int32_t dtype = PNNG_F32; dtype <= PNNG_F64; dtype++) {
        snprintf(test_where, sizeof test_where, "type %d", dtype);
        pnng_plan *plan;
        array arrays[MAX_SLOTS];
        CHECK(pnng_plan_new(program, dtype, inputs, 2, PNNG_PLAN_BACKWARD, &plan) == PNNG_OK);
        bind_all(plan, arrays);
        n_allocations = n_locks = 0;
        void *volatile memory = malloc(1);
        free(memory);
        CHECK(n_allocations == 2); /* they are counted */
        CHECK(run(plan, RUNS) == PNNG_OK);
        CHECK(n_allocations == 2 && n_locks == 0);
        const int status = status_without_calls(plan, false);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            puts("SKIPPED: this system does not forbid a process its calls");
        } else {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            const int caught = status_without_calls(plan, true);
            CHECK(WIFSIGNALED(caught) && WTERMSIG(caught) == SIGKILL);
        }
        for (size_t slot = 0; slot < plan->slot_start[PNNG_SLOT_GROUPS]; slot++)
            array_free(&arrays[slot]);
        pnng_plan_free(plan);
    }
    pnng_program_free(program);
    return test_result();
}

#else

int main(void) {
    puts("SKIPPED: allocation and calls are watched on x86-64 with glibc, without sanitizers");
    return 0;
}

#endif
