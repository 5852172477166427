/* The public steps of optimisers: what they compute from their arguments, and what they refuse. */
#include "test_support.h"

enum { N = 3 };

static bool near(const double *got, double a, double b, double c) {
    const double expected[N] = {a, b, c};
    bool ok = true;
    for (int k = 0; k < N; k++)
        ok &= fabs(got[k] - expected[k]) <= 1e-15 * (1 + fabs(expected[k]));
    return ok;
}

/* By hand: gradients 1, -2 and 0 at 1, 2 and 3. */
static void test_steps(void) {
    const double g[N] = {1, -2, 0}, factors[N] = {1, 2, 3};
    double x[N] = {1, 2, 3}, v[N] = {0};
    CHECK(pnng_optim_sgd(PNNG_F64, N, x, g, NULL, NULL, NULL, 0.5, 0, 0, 0, 0) == PNNG_OK);
    CHECK(near(x, 0.5, 3, 3));
    CHECK(pnng_optim_sgd(PNNG_F64, N, x, g, v, factors, NULL, 0.5, 1, 0.5, 0.75, 0) == PNNG_OK);
    CHECK(near(v, 0.375, 0.25, 0.75) && near(x, 0.3125, 2.75, 1.875));
    CHECK(pnng_optim_sgd(PNNG_F64, N, x, g, v, NULL, factors, 1, 0, 0.5, 0, 1) == PNNG_OK);
    CHECK(near(v, 1.5, 3.625, 6) && near(x, -1.75, -2.5625, -6.75));

    double y[N] = {1, 2, 3}, m[N] = {0}, w[N] = {0};
    for (int step = 1; step <= 2; step++) /* with a steady gradient each step is the rate */
        CHECK(pnng_optim_adam(PNNG_F64, N, y, g, m, w, 0.5, 0.5, 0.75, 1e-300, 0, step) == PNNG_OK);
    CHECK(near(y, 0, 3, 3) && near(m, 0.75, -1.5, 0) && near(w, 0.4375, 1.75, 0));

    double z[N] = {1, 2, 3}, mean[N] = {0};
    CHECK(pnng_optim_rmsprop(PNNG_F64, N, z, g, mean, 0.5, 0.75, 0.5, 0) == PNNG_OK);
    CHECK(near(mean, 0.25, 1, 0) && near(z, 0.5, 2 + 1 / 1.5, 3));

    float s[N] = {1, 2, 3}, gradient[N] = {1, -2, 0}, sum[N] = {3, 0, 1};
    CHECK(pnng_optim_adagrad(PNNG_F32, N, s, gradient, sum, 1, 0, 0) == PNNG_OK);
    CHECK(s[0] == 0.5f && s[1] == 3 && s[2] == 3 && sum[0] == 4 && sum[1] == 4 && sum[2] == 1);
}

static void test_more_steps(void) {
    const double g[N] = {1, -2, 0}, factors[N] = {1, 2, 3};
    double x[N] = {1, 2, 3}, m[N] = {0}, u[N] = {0};
    for (int step = 1; step <= 2; step++) /* with a steady gradient each step is the rate */
        CHECK(pnng_optim_adamax(PNNG_F64, N, x, g, m, u, 0.5, 0.5, 0.75, 1e-300, 0, step) ==
              PNNG_OK);
    CHECK(near(x, 0, 3, 3) && near(m, 0.75, -1.5, 0) && near(u, 1, 2, 1e-300));

    double y[N] = {1, 2, 3}, variance[N] = {0}, delta[N] = {0};
    CHECK(pnng_optim_adadelta(PNNG_F64, N, y, g, variance, delta, 0.75, 0.0625, 0) == PNNG_OK);
    const double first = 0.25 / sqrt(0.25 + 0.0625), second = 2 * 0.25 / sqrt(1 + 0.0625);
    CHECK(near(variance, 0.25, 1, 0) && near(y, 1 - first, 2 + second, 3));
    CHECK(near(delta, 0.25 * first * first, 0.25 * second * second, 0));

    double z[N] = {1, 2, 3}, last[N] = {2, 1, 1}, size[N] = {1, 1, 1};
    CHECK(pnng_optim_rprop(PNNG_F64, N, z, g, last, size, 4, 0.5, 0.75, 3) == PNNG_OK);
    CHECK(near(size, 3, 0.75, 1) && near(last, 1, 0, 0) && near(z, -2, 2, 3));

    double w[N] = {1, 2, 3}, average[N] = {9, 9, 9};
    CHECK(pnng_optim_asgd(PNNG_F64, N, w, g, average, 0.5, 0.5, 1) == PNNG_OK);
    CHECK(near(w, 0.25, 2.5, 2.25) && near(average, 0.25, 2.5, 2.25));
    CHECK(pnng_optim_asgd(PNNG_F64, N, w, g, average, 0.25, 0, 0.5) == PNNG_OK);
    CHECK(near(w, 0, 3, 2.25) && near(average, 0.125, 2.75, 2.25));

    double v[N] = {1, 1, 1}, moved[N] = {1, 2, 3};
    const double start[N] = {1, 1, 1};
    CHECK(pnng_optim_nag(PNNG_F64, N, moved, g, v, start, factors, 0.5, 1, 0.5) == PNNG_OK);
    CHECK(near(v, -0.5, 0.5, -4) && near(moved, 0.5, 1.5, -3));

    double sum = 0;
    CHECK(pnng_optim_dot(PNNG_F64, N, start, factors, &sum) == PNNG_OK && sum == 6);
    CHECK(pnng_optim_dot(PNNG_F64, 0, NULL, NULL, &sum) == PNNG_OK && sum == 0);
}

static void test_refusals(void) {
    double x[N] = {0}, g[N] = {0}, m[N] = {0}, v[N] = {0};
    void *const odd = (char *)x + 4;
    const pnng_status wrong = PNNG_ERROR_ARGUMENT;
    CHECK(pnng_optim_sgd(7, N, x, g, NULL, NULL, NULL, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F64, N, NULL, g, NULL, NULL, NULL, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F64, N, x, NULL, NULL, NULL, NULL, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F64, 1, x, g, odd, NULL, NULL, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F64, 1, x, g, m, odd, NULL, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F64, 1, x, g, m, NULL, odd, 1, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_sgd(PNNG_F32, 1, odd, odd, NULL, NULL, NULL, 1, 0, 0, 0, 0) == PNNG_OK);
    CHECK(pnng_optim_adam(PNNG_F64, N, x, g, NULL, v, 1, 0, 0, 0, 0, 1) == wrong);
    CHECK(pnng_optim_adam(PNNG_F64, N, x, g, m, NULL, 1, 0, 0, 0, 0, 1) == wrong);
    CHECK(pnng_optim_adam(PNNG_F64, N, x, g, m, v, 1, 0, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_rmsprop(PNNG_F64, N, x, g, NULL, 1, 0, 0, 0) == wrong);
    CHECK(pnng_optim_adagrad(PNNG_F64, N, x, g, NULL, 1, 0, 0) == wrong);
    CHECK(pnng_optim_adagrad(PNNG_F64, 0, NULL, NULL, NULL, 1, 0, 0) == PNNG_OK);
    CHECK(pnng_optim_adamax(PNNG_F64, N, x, g, NULL, v, 1, 0, 0, 0, 0, 1) == wrong);
    CHECK(pnng_optim_adamax(PNNG_F64, N, x, g, m, NULL, 1, 0, 0, 0, 0, 1) == wrong);
    CHECK(pnng_optim_adamax(PNNG_F64, N, x, g, m, v, 1, 0, 0, 0, 0, 0) == wrong);
    CHECK(pnng_optim_adadelta(PNNG_F64, N, x, g, NULL, v, 0, 1, 0) == wrong);
    CHECK(pnng_optim_adadelta(PNNG_F64, N, x, g, m, NULL, 0, 1, 0) == wrong);
    CHECK(pnng_optim_rprop(PNNG_F64, N, x, g, NULL, v, 1, 1, 0, 1) == wrong);
    CHECK(pnng_optim_rprop(PNNG_F64, N, x, g, m, NULL, 1, 1, 0, 1) == wrong);
    CHECK(pnng_optim_asgd(PNNG_F64, N, x, g, NULL, 1, 1, 1) == wrong);
    CHECK(pnng_optim_nag(PNNG_F64, N, x, g, NULL, v, NULL, 1, 0, 0) == wrong);
    CHECK(pnng_optim_nag(PNNG_F64, N, x, g, m, NULL, NULL, 1, 0, 0) == wrong);
    double sum;
    CHECK(pnng_optim_dot(PNNG_F64, N, NULL, g, &sum) == wrong);
    CHECK(pnng_optim_dot(PNNG_F64, N, x, NULL, &sum) == wrong);
    CHECK(pnng_optim_dot(PNNG_F64, N, x, g, NULL) == wrong);
    CHECK(near(x, 0, 0, 0) && near(m, 0, 0, 0) && near(v, 0, 0, 0));
}

int main(void) {
    snprintf(test_where, sizeof test_where, "optim");
    test_steps();
    test_more_steps();
    test_refusals();
    return test_result();
}
