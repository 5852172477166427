/* The clock of measured runs. Systems without one are built with PNNG_NO_CLOCK: times are 0. */
#ifdef PNNG_NO_CLOCK
#include "plan.h"

uint64_t pnng_clock(void) { return 0; }
#else
#if !defined _WIN32 && !defined _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 199309L /* strict C11 hides the clocks of POSIX unless they are asked for */
#endif
#include <time.h>

#include "plan.h"

uint64_t pnng_clock(void) {
    struct timespec now = {0};
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
#endif
