/* Steps of optimisers: what callers give is checked, and handed to the kernels of a number type. */
#include <math.h>

#include "cpu.h"

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
    const size_t element = dtype == PNNG_F32 ? sizeof(float) : sizeof(double);
    const int none = u->n == 0;
    if (!usable(u->x, element, none) || !usable(u->g, element, none) ||
        !usable(u->s, element, none || !needs_s) || !usable(u->t, element, none || !needs_t) ||
        !usable(u->rates, element, 1) || !usable(u->decays, element, 1))
        return PNNG_ERROR_ARGUMENT;
    *optim = dtype == PNNG_F32 ? &isa->f32.optim : &isa->f64.optim;
    return PNNG_OK;
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
        optim->sgd(&u);
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
        optim->adam(&u);
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
        optim->rmsprop(&u);
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
        optim->adagrad(&u);
    return status;
}

pnng_status pnng_optim_adamax(int32_t dtype, size_t n, void *x, const void *gradient, void *m,
                              void *u, double rate, double beta1, double beta2, double epsilon,
                              double weight_decay, int64_t step) {
    const pnng_update update = {.n = n,
                                .x = x,
                                .g = gradient,
                                .s = m,
                                .t = u,
                                .rate = rate / (1 - pow(beta1, (double)step)),
                                .decay = weight_decay,
                                .keep = beta1,
                                .add = 1 - beta1,
                                .keep_2 = beta2,
                                .epsilon = epsilon};
    const pnng_optim *optim;
    const pnng_status status =
        step < 1 ? PNNG_ERROR_ARGUMENT : optim_of(dtype, &update, 1, 1, &optim);
    if (status == PNNG_OK)
        optim->adamax(&update);
    return status;
}

pnng_status pnng_optim_adadelta(int32_t dtype, size_t n, void *x, const void *gradient,
                                void *variance, void *delta, double rho, double eps,
                                double weight_decay) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = delta,
                           .t = variance,
                           .decay = weight_decay,
                           .keep_2 = rho,
                           .add_2 = 1 - rho,
                           .epsilon = eps};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 1, 1, &optim);
    if (status == PNNG_OK)
        optim->adadelta(&u);
    return status;
}

pnng_status pnng_optim_rprop(int32_t dtype, size_t n, void *x, const void *gradient, void *last,
                             void *stepsize, double eta_plus, double eta_minus, double step_min,
                             double step_max) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = last,
                           .t = stepsize,
                           .grow = eta_plus,
                           .shrink = eta_minus,
                           .least = step_min,
                           .most = step_max};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 1, 1, &optim);
    if (status == PNNG_OK)
        optim->rprop(&u);
    return status;
}

pnng_status pnng_optim_asgd(int32_t dtype, size_t n, void *x, const void *gradient, void *average,
                            double eta, double lambda, double mu) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = average,
                           .rate = eta,
                           .keep = 1 - lambda * eta,
                           .add = mu};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 1, 0, &optim);
    if (status == PNNG_OK)
        optim->asgd(&u);
    return status;
}

pnng_status pnng_optim_nag(int32_t dtype, size_t n, void *x, const void *gradient, void *velocity,
                           const void *start, const void *rates, double rate, double weight_decay,
                           double momentum) {
    const pnng_update u = {.n = n,
                           .x = x,
                           .g = gradient,
                           .s = velocity,
                           .t = (void *)start, /* it is read only */
                           .rates = rates,
                           .rate = rate,
                           .decay = weight_decay,
                           .keep = momentum};
    const pnng_optim *optim;
    const pnng_status status = optim_of(dtype, &u, 1, 1, &optim);
    if (status == PNNG_OK)
        optim->nag(&u);
    return status;
}

pnng_status pnng_optim_dot(int32_t dtype, size_t n, const void *x, const void *y, double *sum) {
    const pnng_update u = {.n = n, .x = (void *)x, .g = y};
    const pnng_optim *optim;
    const pnng_status status = sum ? optim_of(dtype, &u, 0, 0, &optim) : PNNG_ERROR_ARGUMENT;
    if (status == PNNG_OK)
        *sum = optim->dot(n, x, y);
    return status;
}
