/* Which instruction sets this CPU and this operating system support, asked once at load.
 *
 * The compiler's own __builtin_cpu_supports is used because it looks at XCR0 too: a CPU may have
 * wide registers that the system does not save. */
#include "cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_LEVELS = 5 };

static struct {
    const pnng_isa *available[N_LEVELS + 1];
    const pnng_isa *chosen;
    char names[64], requested[64], problem[256];
    pnng_cpu info;
} cpu;

static bool system_supports(const char *name) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (strcmp(name, "sse2") == 0)
        return __builtin_cpu_supports("sse2");
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#endif
    /* NEON is part of every aarch64; scalar is part of everything. */
    return strcmp(name, "scalar") == 0 || strcmp(name, "neon") == 0;
}

static void choose(void) {
    const char *const requested = getenv("PYNNGRAPH_ISA");
    if (!requested || !*requested)
        return;
    cpu.chosen = NULL;
    snprintf(cpu.requested, sizeof cpu.requested, "%s", requested);
    cpu.info.requested = cpu.requested;
    for (size_t k = 0; cpu.available[k]; k++)
        if (strcmp(cpu.available[k]->name, requested) == 0)
            cpu.chosen = cpu.available[k];
    if (cpu.chosen)
        return;
    snprintf(cpu.problem, sizeof cpu.problem,
             "PYNNGRAPH_ISA=%.40s cannot be had: this machine offers %s", requested, cpu.names);
    cpu.info.problem = cpu.problem;
}

/* At load, before any thread can ask: so nothing needs a lock. */
__attribute__((constructor)) static void detect(void) {
    const pnng_isa *const levels[N_LEVELS] = {pnng_isa_scalar, pnng_isa_sse2, pnng_isa_neon,
                                              pnng_isa_avx2, pnng_isa_avx512};
    size_t count = 0;
    for (size_t k = 0; k < N_LEVELS; k++)
        if (levels[k] && system_supports(levels[k]->name)) {
            cpu.available[count++] = levels[k];
            const size_t used = strlen(cpu.names);
            snprintf(cpu.names + used, sizeof cpu.names - used, "%s%s", used ? " " : "",
                     levels[k]->name);
        }
    cpu.chosen = cpu.available[count - 1];
    cpu.info.available = cpu.names;
    choose();
    cpu.info.isa = cpu.chosen ? cpu.chosen->name : "none";
    cpu.info.vector_bytes = cpu.chosen ? (int64_t)cpu.chosen->vector_bytes : 0;
}

const pnng_isa *pnng_chosen_isa(void) { return cpu.chosen; }

const pnng_cpu *pnng_cpu_info(void) { return &cpu.info; }
