/* A net in fixed memory, and how long its runs take: no malloc, no lock, no call of the system in a
 * run. All memory is in this file's arrays; the sizes that are needed are printed.
 *
 *     cc -std=c11 realtime.c $(pkg-config --cflags --libs --static pynngraph) -o realtime
 *     ./realtime net.safetensors 100        a deadline of 100 microseconds
 */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pynngraph.h"

enum { HEAP = 4 << 20, ARENA = 1 << 20, RUNS = 20000 };
static _Alignas(PNNG_ARENA_ALIGNMENT) unsigned char heap[HEAP], arena[ARENA];
static size_t heap_used;
static double micros[RUNS];

/* Memory is taken from the front of the heap; the block that was taken last can be given back. */
static void *take(void *user, size_t bytes) {
    const size_t whole = (bytes + 31) / 16 * 16; /* with its size before it */
    (void)user;
    if (whole < bytes || whole > HEAP - heap_used)
        return NULL;
    unsigned char *const block = heap + heap_used;
    *(size_t *)block = whole;
    heap_used += whole;
    return block + 16;
}

static void give_back(void *user, void *memory) {
    unsigned char *const block = (unsigned char *)memory - 16;
    (void)user;
    if (block + *(size_t *)block == heap + heap_used)
        heap_used -= *(size_t *)block;
}

static void check(pnng_status status, const pnng_model *model) {
    if (status != PNNG_OK) {
        fprintf(stderr, "%s: %s\n", pnng_status_name(status),
                model ? pnng_model_error(model) : "out of memory");
        exit(EXIT_FAILURE);
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL MICROSECONDS\n", argv[0]);
        return EXIT_FAILURE;
    }
    const double deadline = strtod(argv[2], NULL);
    const pnng_allocator allocator = {take, give_back, NULL};
    pnng_model *model = NULL;
    pnng_array_info input;
    check(pnng_set_threads(1), NULL);
    const pnng_status status = pnng_model_load(argv[1], &allocator, &model);
    check(status, model);
    check(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &input), model);
    input.shape.dim[0] = 1;
    check(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, &input.shape, 1, PNNG_PLAN_NO_ARENA),
          model);
    pnng_plan *const plan = pnng_model_plan(model);
    if (pnng_plan_arena_size(plan) && pnng_plan_set_arena(plan, arena, sizeof arena) != PNNG_OK) {
        fprintf(stderr, "%s\n", pnng_plan_error(plan));
        return EXIT_FAILURE;
    }
    const size_t used = heap_used;
    int missed = 0;
    for (int k = 0; k < RUNS; k++) {
        const double start = now();
        check(pnng_model_forward(model, 0), model);
        micros[k] = now() - start;
        missed += micros[k] > deadline;
    }
    qsort(micros, RUNS, sizeof *micros, ascending);
    printf("heap %zu bytes, arena %zu bytes\n", used, pnng_plan_arena_size(plan));
    printf("%d runs, microseconds: median %.2f, 99%% %.2f, 99.9%% %.2f, longest %.2f\n", RUNS,
           micros[RUNS / 2], micros[RUNS / 100 * 99], micros[RUNS / 1000 * 999], micros[RUNS - 1]);
    printf("deadline of %g missed: %d\n", deadline, missed);
    return heap_used == used ? EXIT_SUCCESS : EXIT_FAILURE; /* runs have taken nothing */
}
