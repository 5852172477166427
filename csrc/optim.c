/* Steps of optimisers: what callers give is checked, and handed to the kernels of a number type, in
 * parts for threads where it is long. */
#include <math.h>

#include "cpu.h"
#include "threads.h"

static size_t bytes_of(int32_t dtype) { return dtype == PNNG_F32 ? sizeof(float) : sizeof(double); }

/* Whether an array may be given to a kernel: there if it must be, and aligned to its elements. */
static int usable(const void *array, size_t element, int may_miss) {
    return array ? (uintptr_t)array % element == 0 : may_miss;
}

/* The kernels for `dtype`, if all of an update's arrays are usable. `needs`: whether s and t must
 * be there. */
static pnng_status optim_of(int32_t dtype, const pnng_update *u, int needs_s, int needs_t,
                            const pnng_optim **optim) {
    const pnng_isa *const isa = pnng_chosen_isa();
    if (!isa)
        return PNNG_ERROR_ISA;
    if (dtype != PNNG_F32 && dtype != PNNG_F64)
        return PNNG_ERROR_ARGUMENT;
    const size_t element = bytes_of(dtype);
    const int none = u->n == 0;
    if (!usable(u->x, element, none) || !usable(u->g, element, none) ||
        !usable(u->s, element, none || !needs_s) || !usable(u->t, element, none || !needs_t) ||
        !usable(u->rates, element, 1) || !usable(u->decays, element, 1))
        return PNNG_ERROR_ARGUMENT;
    *optim = dtype == PNNG_F32 ? &isa->f32.optim : &isa->f64.optim;
    return PNNG_OK;
}

typedef struct update_job {
    pnng_optim_step *step;
    const pnng_update *all;
    size_t element, part; /* bytes of one, elements of a part */
} update_job;

static void *advance(const void *array, size_t bytes) {
    return array ? (char *)array + bytes : NULL;
}

static void update_part(void *context, size_t k) {
    const update_job *const job = context;
    const size_t first = k * job->part, bytes = first * job->element;
    pnng_update u = *job->all;
    u.n = u.n - first < job->part ? u.n - first : job->part;
    u.x = advance(u.x, bytes);
    u.s = advance(u.s, bytes);
    u.t = advance(u.t, bytes);
    u.g = advance(u.g, bytes);
    u.rates = advance(u.rates, bytes);
    u.decays = advance(u.decays, bytes);
    job->step(&u);
}

/* One step over all parameters, by several threads where memory is what takes time. */
static void update(pnng_optim_step *step, const pnng_update *u, size_t element) {
    enum { PARTS = 4, LINE = 64, BYTES_PER_NANOSECOND = 32, ARRAYS = 4 };
    const uint64_t nanoseconds = (uint64_t)u->n * element * ARRAYS / BYTES_PER_NANOSECOND;
    if (!pnng_threads_may_help(nanoseconds)) {
        step(u);
        return;
    }
    pnng_threads_enter();
    const size_t threads = pnng_threads_wanted(nanoseconds);
    const size_t part = (u->n / (threads * PARTS) / LINE + 1) * LINE;
    update_job job = {.step = step, .all = u, .element = element, .part = part};
    pnng_parallel(threads, (u->n + part - 1) / part, update_part, &job);
    pnng_threads_leave();
}

pnng_status pnng_optim_sgd(int32_t dtype, size_t n, void *x, const void *gradient, void *velocity,
                           const void *rates, const void *decays, double rate, double weight_decay,
                           double momentum, double dampening, int32_t nesterov) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = velocity,
                           .rates = rates,
                           .decays = decays,
                           .rate = rate,
                           .decay = weight_decay,
                           .keep = momentum,
                           .add = 1 - dampening,
                           .nesterov = nesterov != 0};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 0, 0, &optim);
    if (status == PNNG_OK)
        update(optim->sgd, &u, bytes_of(dtype));
    return status;
}

pnng_status pnng_optim_adam(int32_t dtype, size_t n, void *x, const void *gradient, void *m,
                            void *v, double rate, double beta1, double beta2, double epsilon,
                            double weight_decay, int64_t step) {
    const double count = (double)step;
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = m,
                           .t = v,
                           .rate = rate * sqrt(1 - pow(beta2, count)) / (1 - pow(beta1, count)),
                           .decay = weight_decay,
                           .keep = beta1,
                           .add = 1 - beta1,
                           .keep_2 = beta2,
                           .add_2 = 1 - beta2,
                           .epsilon = epsilon};
    const pnng_optim *optim;
    const pnng_status status = step < 1 ? PNNG_ERROR_ARGUMENT : optim_of(dtype, &u, 1, 1, &optim);
    if (status == PNNG_OK)
        update(optim->adam, &u, bytes_of(dtype));
    return status;
}

pnng_status pnng_optim_rmsprop(int32_t dtype, size_t n, void *x, const void *gradient, void *m,
                               double rate, double alpha, double epsilon, double weight_decay) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .t = m,
                           .rate = rate,
                           .decay = weight_decay,
                           .keep_2 = alpha,
                           .add_2 = 1 - alpha,
                           .epsilon = epsilon};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 0, 1, &optim);
    if (status == PNNG_OK)
        update(optim->rmsprop, &u, bytes_of(dtype));
    return status;
}

pnng_status pnng_optim_adagrad(int32_t dtype, size_t n, void *x, const void *gradient, void *sum,
                               double rate, double epsilon, double weight_decay) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .t = sum,
                           .rate = rate,
                           .decay = weight_decay,
                           .epsilon = epsilon};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 0, 1, &optim);
    if (status == PNNG_OK)
        update(optim->adagrad, &u, bytes_of(dtype));
    return status;
}
