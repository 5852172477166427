/* What a fuzzer calls: bytes are loaded as a model and, if they are one that is not too large, it
 * is prepared, run and stepped. With libFuzzer by
 *     clang -fsanitize=fuzzer,address,undefined -Icsrc/include tests/c/fuzz_model.c csrc/... -lm
 * and with fuzz_driver.c by any compiler: tools/fuzz.sh. */
#include <stdio.h>
#include <stdlib.h>

#include "pynngraph.h"

/* Files may ask for any amount of memory, and of work; so much is granted. */
enum { MOST_BYTES = 8 << 20, MOST_OPS = 2000 };
static const uint64_t most_multiply_adds = 10000000;

static size_t live_bytes, live_blocks, calls, fail_at; /* 0: none fails on its own */

static void *take(void *user, size_t bytes) {
    (void)user;
    if (++calls == fail_at || bytes > MOST_BYTES || live_bytes + bytes > MOST_BYTES)
        return NULL;
    size_t *const block = malloc(bytes + 16);
    if (!block)
        return NULL;
    *block = bytes;
    live_bytes += bytes;
    live_blocks++;
    return (char *)block + 16;
}

static void give_back(void *user, void *memory) {
    (void)user;
    size_t *const block = (void *)((char *)memory - 16);
    live_bytes -= *block;
    live_blocks--;
    free(block);
}

static void demand(int right, const char *what) {
    if (right)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* Statuses are what the header says, and failures have a message. */
static pnng_status checked(const pnng_model *model, pnng_status status) {
    demand(status <= 0 && status >= PNNG_ERROR_FILE, "no status");
    demand(status == PNNG_OK || *pnng_model_error(model), "a failure without a message");
    return status;
}

static int is_small(pnng_model *model) {
    const pnng_plan *const plan = pnng_model_plan(model);
    uint64_t sum = 0, of_op = 0;
    for (int64_t op = 0; op <= MOST_OPS; op++) {
        if (pnng_plan_multiply_adds(plan, op, &of_op) != PNNG_OK)
            return 1; /* it was the last */
        if (of_op > most_multiply_adds - sum)
            return 0;
        sum += of_op;
    }
    return 0;
}

static void run(pnng_model *model) {
    static const int32_t groups[] = {PNNG_SLOT_INPUT, PNNG_SLOT_OUTPUT, PNNG_SLOT_PARAM,
                                     PNNG_SLOT_GRAD_OUTPUT};
    pnng_array_info info;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        for (size_t k = 0; k < pnng_model_count(model, groups[g]); k++)
            if (checked(model, pnng_model_info(model, groups[g], k, &info)) == PNNG_OK)
                demand(pnng_model_find(model, groups[g], info.name) >= 0, "a name is not found");
    if (checked(model, pnng_model_forward(model, 1)) == PNNG_OK)
        checked(model, pnng_model_backward(model, 1, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS));
    checked(model, pnng_model_sgd(model, 1e-3, 0.5, 0));
    checked(model, pnng_model_adam(model, 1e-3, 0.9, 0.999, 1e-8, 0));
    pnng_model_zero_gradients(model);
}

/* All that is done with the bytes of a file. */
static pnng_status live_through(const uint8_t *data, size_t size) {
    const pnng_allocator allocator = {take, give_back, NULL};
    pnng_model *model = NULL;
    calls = 0;
    const pnng_status status = pnng_model_load_memory(data, size, 0, &allocator, &model);
    demand(model || status == PNNG_ERROR_MEMORY, "no object, and no lack of memory");
    if (model)
        checked(model, status);
    for (int32_t mode = 0; !status && mode < 2; mode++)
        if (checked(model, pnng_model_prepare(model, mode, NULL, 0, PNNG_PLAN_BACKWARD)) ==
                PNNG_OK &&
            is_small(model))
            run(model);
    pnng_model_free(model);
    demand(live_blocks == 0, "memory is leaked");
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t some = 0;
    for (size_t k = 0; k < size; k++)
        some = some * 31 + data[k];
    fail_at = 0;
    if (live_through(data, size) == PNNG_OK) { /* once more, with memory running out somewhere */
        fail_at = 1 + some % calls;
        live_through(data, size);
    }
    return 0;
}
