/* Load a saved net and run it, a sample for each line of a file of numbers.
 *
 *     cc -std=c11 infer.c $(pkg-config --cflags --libs --static pynngraph) -o infer
 *     ./infer net.safetensors samples.csv
 *
 * Lines hold the numbers of one sample of the net's first input; what is more is not looked at. The
 * outputs are printed in the same way. */
#include <stdio.h>
#include <stdlib.h>

#include "pynngraph.h"

static void check(pnng_status status, const pnng_model *model) {
    if (status != PNNG_OK) {
        fprintf(stderr, "%s: %s\n", pnng_status_name(status),
                model ? pnng_model_error(model) : "out of memory");
        exit(EXIT_FAILURE);
    }
}

/* The next `count` numbers of a line; the rest of it is skipped. 0 at the end of the file. */
static int read_line(FILE *file, double *numbers, size_t count) {
    for (size_t k = 0; k < count; k++) {
        if (fscanf(file, k ? " , %lf" : "%lf", &numbers[k]) == 1)
            continue;
        if (k == 0 && feof(file))
            return 0;
        fprintf(stderr, "a line has less than %zu numbers\n", count);
        exit(EXIT_FAILURE);
    }
    for (int c = getc(file); c != EOF && c != '\n';)
        c = getc(file);
    return 1;
}

/* Element `k` of an array of a model of either number type. */
static double get(pnng_model *model, int32_t group, size_t k) {
    const void *const array = pnng_model_array(model, group, 0);
    return pnng_model_dtype(model) == PNNG_F32 ? (double)((const float *)array)[k]
                                               : ((const double *)array)[k];
}

static void set(pnng_model *model, int32_t group, size_t k, double number) {
    void *const array = pnng_model_array(model, group, 0);
    if (pnng_model_dtype(model) == PNNG_F32)
        ((float *)array)[k] = (float)number;
    else
        ((double *)array)[k] = number;
}

int main(int argc, char **argv) {
    FILE *const file = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: %s MODEL NUMBERS\n", argv[0]);
        return EXIT_FAILURE;
    }
    pnng_model *model = NULL;
    pnng_array_info input, output;
    const pnng_status status = pnng_model_load(argv[1], NULL, &model);
    check(status, model);

    /* One sample at a time: the saved shape with a first dim of 1. */
    check(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &input), model);
    input.shape.dim[0] = 1;
    check(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, &input.shape, 1, 0), model);
    check(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &input), model);
    check(pnng_model_info(model, PNNG_SLOT_OUTPUT, 0, &output), model);
    if (input.kind != PNNG_REAL || output.kind != PNNG_REAL) {
        fprintf(stderr, "this program is for nets of reals\n");
        return EXIT_FAILURE;
    }
    double *const numbers = malloc((input.count + 1) * sizeof *numbers);
    while (numbers && read_line(file, numbers, input.count)) {
        for (size_t k = 0; k < input.count; k++)
            set(model, PNNG_SLOT_INPUT, k, numbers[k]);
        check(pnng_model_forward(model, 0), model);
        for (size_t k = 0; k < output.count; k++)
            printf("%s%.9g", k ? "," : "", get(model, PNNG_SLOT_OUTPUT, k));
        printf("\n");
    }
    free(numbers);
    pnng_model_free(model);
    fclose(file);
    return EXIT_SUCCESS;
}
