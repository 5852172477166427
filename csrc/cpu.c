/* Which instruction sets this CPU and this operating system support, and how large its caches are:
 * asked once at load.
 *
 * The compiler's own __builtin_cpu_supports is used because it looks at XCR0 too: a CPU may have
 * wide registers that the system does not save. */
#include "cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

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

/* Bytes of the data cache of a level, or 0. */
static int64_t cache_size(uint32_t level) {
#if defined(__x86_64__) || defined(__i386__)
    /* The CPU's own list, Intel's or AMD's. What glibc tells of AMD's third level is a sum over
     * all cores of the socket, of which one core has a small part. */
    enum { DATA = 1, UNIFIED = 3 };
    const uint32_t lists[] = {4, 0x8000001d};
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (uint32_t k = 0, a, b, c, d; __get_cpuid_count(lists[l], k, &a, &b, &c, &d); k++) {
            const uint32_t type = a & 31;
            if (type == 0)
                break;
            if ((type == DATA || type == UNIFIED) && (a >> 5 & 7) == level)
                return ((int64_t)(b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) *
                       ((int64_t)c + 1); /* ways, partitions, bytes of a line, sets */
        }
#elif defined(_SC_LEVEL1_DCACHE_SIZE)
    const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    const long size = sysconf(names[level - 1]);
    return size > 0 ? size : 0;
#endif
    return 0;
}

/* Where nothing is known, sizes that few CPUs are below; where there is no third level, the
 * last one there is. */
static void measure_caches(void) {
    cpu.info.l1d_bytes = cache_size(1);
    cpu.info.l2_bytes = cache_size(2);
    cpu.info.l3_bytes = cache_size(3);
    if (!cpu.info.l1d_bytes || !cpu.info.l2_bytes) {
        cpu.info.l1d_bytes = 32 << 10;
        cpu.info.l2_bytes = 512 << 10;
        cpu.info.l3_bytes = 8 << 20;
    }
    if (!cpu.info.l3_bytes)
        cpu.info.l3_bytes = cpu.info.l2_bytes;
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
    measure_caches();
}

const pnng_isa *pnng_chosen_isa(void) { return cpu.chosen; }

const pnng_cpu *pnng_cpu_info(void) { return &cpu.info; }
