/* The registry's table, and the choice of an instruction set. */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "family.h"

#ifndef PNNG_VERSION
#define PNNG_VERSION "unknown"
#endif

const char *pnng_version(void) { return PNNG_VERSION; }

const char *pnng_status_name(pnng_status status) {
    static const char *const names[] = {
        "PNNG_OK",           "PNNG_ERROR_MEMORY", "PNNG_ERROR_ARGUMENT", "PNNG_ERROR_SHAPE",
        "PNNG_ERROR_TYPE",   "PNNG_ERROR_VALUE",  "PNNG_ERROR_UNBOUND",  "PNNG_ERROR_BUSY",
        "PNNG_ERROR_ORDER",  "PNNG_ERROR_ISA",    "PNNG_ERROR_HOST",     "PNNG_ERROR_THREADS",
        "PNNG_ERROR_FORMAT", "PNNG_ERROR_FILE",
    };
    const int32_t count = (int32_t)(sizeof names / sizeof *names);
    return status <= 0 && status > -count ? names[-status] : "unknown status";
}

static const pnng_op_info op_table[] = {
#define PNNG_OP(CODE, name, family, min_in, max_in, n_out, n_ints, n_nums, formula)                \
    {#name, #family, min_in, max_in, n_out, n_ints, n_nums, formula},
#include "ops.def"
#undef PNNG_OP
};

const pnng_op_info *pnng_op_table(size_t *count) {
    if (count)
        *count = PNNG_OP_COUNT;
    return op_table;
}

int32_t pnng_op_find(const char *name) {
    for (int32_t op = 0; op < PNNG_OP_COUNT; op++)
        if (strcmp(op_table[op].name, name) == 0)
            return op;
    return -1;
}

const pnng_family *pnng_family_of(pnng_op op) {
    static const pnng_family *const families[] = {
#define PNNG_OP(CODE, name, family, ...) &pnng_family_##family,
#include "ops.def"
#undef PNNG_OP
    };
    return families[op];
}
