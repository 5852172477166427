/* Fine-tune a saved net on a file of numbers: each line holds the numbers of a sample and then
 * those that the net should answer. The net is of float32 and has one input and one output.
 *
 *     cc -std=c11 train.c $(pkg-config --cflags --libs --static pynngraph) -o train
 *     ./train net.safetensors data.csv tuned.safetensors 200
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pynngraph.h"

enum { MAX_NUMBERS = 1 << 20, BATCH = 16 };
static float numbers[MAX_NUMBERS];

static void check(pnng_status status, const pnng_model *model) {
    if (status != PNNG_OK) {
        fprintf(stderr, "%s: %s\n", pnng_status_name(status),
                model ? pnng_model_error(model) : "out of memory");
        exit(EXIT_FAILURE);
    }
}

/* All numbers of a file, however they are separated; how many there are. */
static size_t read_numbers(const char *path) {
    FILE *const file = fopen(path, "r");
    size_t count = 0;
    while (file && count < MAX_NUMBERS && fscanf(file, "%f", &numbers[count]) == 1) {
        count++;
        if (fscanf(file, " ,") == EOF)
            break;
    }
    if (file)
        fclose(file);
    return count;
}

/* The mean of squares of y - target over a batch; its gradient goes to grad. */
static double mean_square(const float *y, const float *target, float *grad, size_t count) {
    double sum = 0;
    for (size_t k = 0; k < count; k++) {
        const float difference = y[k] - target[k];
        sum += (double)difference * difference;
        grad[k] = 2 * difference / (float)count;
    }
    return sum / (double)count;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL DATA OUTPUT EPOCHS\n", argv[0]);
        return EXIT_FAILURE;
    }
    pnng_model *model = NULL;
    pnng_array_info input, output;
    const pnng_status status = pnng_model_load(argv[1], NULL, &model);
    check(status, model);
    check(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &input), model);
    input.shape.dim[0] = BATCH;
    check(pnng_model_prepare(model, PNNG_MODEL_TRAIN, &input.shape, 1, PNNG_PLAN_BACKWARD), model);
    check(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &input), model);
    check(pnng_model_info(model, PNNG_SLOT_OUTPUT, 0, &output), model);

    const size_t n_in = input.count / BATCH, n_out = output.count / BATCH;
    const size_t samples = read_numbers(argv[2]) / (n_in + n_out);
    if (pnng_model_dtype(model) != PNNG_F32 || samples < BATCH) {
        fprintf(stderr, "a net of float32 and at least %d samples are needed\n", BATCH);
        return EXIT_FAILURE;
    }
    float *const x = pnng_model_array(model, PNNG_SLOT_INPUT, 0);
    float *const y = pnng_model_array(model, PNNG_SLOT_OUTPUT, 0);
    float *const grad = pnng_model_array(model, PNNG_SLOT_GRAD_OUTPUT, 0);
    float *const target = malloc(output.count * sizeof *target);
    const long epochs = strtol(argv[4], NULL, 10);
    for (long epoch = 0; target && epoch < epochs; epoch++) {
        double sum = 0;
        size_t batches = 0;
        for (size_t first = 0; first + BATCH <= samples; first += BATCH, batches++) {
            for (size_t s = 0; s < BATCH; s++) {
                const float *const sample = numbers + (first + s) * (n_in + n_out);
                memcpy(x + s * n_in, sample, n_in * sizeof *x);
                memcpy(target + s * n_out, sample + n_in, n_out * sizeof *target);
            }
            pnng_model_zero_gradients(model);
            check(pnng_model_forward(model, (uint64_t)epoch << 32 | batches), model);
            sum += mean_square(y, target, grad, output.count);
            check(pnng_model_backward(model, 1, PNNG_GRAD_PARAMS), model);
            check(pnng_model_adam(model, 1e-2, 0.9, 0.999, 1e-8, 0), model);
        }
        if (epoch == 0 || epoch == epochs - 1)
            printf("epoch %ld: loss %.9g\n", epoch + 1, sum / (double)batches);
    }
    check(pnng_model_save(model, argv[3]), model);
    free(target);
    pnng_model_free(model);
    return EXIT_SUCCESS;
}
