/* Every primitive of every vector header against plain C, as csrc/vec/README.md describes it. */
#include "test_support.h"

/* Numbers of all kinds; every pair of them comes together in every lane. */
static const double special[] = {
    0.0,    -0.0,     1.0,       -1.0,    0.5,      1.5,      -1.5,     2.5,
    -2.5,   3.0,      1e-3,      -7.25,   1e10,     -1e10,    0x1p22,   8388607.5,
    0x1p23, -0x1p24,  0x1p52,    -0x1p53, 0x1p-126, 0x1p-130, 0x1p-149, 1e38,
    -1e38,  INFINITY, -INFINITY, NAN,     1e-30,    -1e-30,   0.1,      123.456,
};
enum { SPECIALS = sizeof special / sizeof special[0] };

#define PNNG_ISA scalar
#define PNNG_ISA_ARCH PNNG_ANY
#define PNNG_ISA_SCALAR
#define PNNG_ISA_VEC "../../csrc/vec/vec_scalar.h"
#define TEST_NAME(name, type) name##_##type##_scalar
#include "vec_isa.inc"

#define PNNG_ISA sse2
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "sse2"
#define PNNG_ISA_VEC "../../csrc/vec/vec_sse2.h"
#define TEST_NAME(name, type) name##_##type##_sse2
#include "vec_isa.inc"

#define PNNG_ISA avx2
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "avx2,fma"
#define PNNG_ISA_VEC "../../csrc/vec/vec_avx2.h"
#define TEST_NAME(name, type) name##_##type##_avx2
#include "vec_isa.inc"

#define PNNG_ISA avx512
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#define PNNG_ISA_VEC "../../csrc/vec/vec_avx512.h"
#define TEST_NAME(name, type) name##_##type##_avx512
#include "vec_isa.inc"

#define PNNG_ISA neon
#define PNNG_ISA_ARCH PNNG_AARCH64
#define PNNG_ISA_VEC "../../csrc/vec/vec_neon.h"
#define TEST_NAME(name, type) name##_##type##_neon
#include "vec_isa.inc"

int main(void) {
    void (*const cases[ISA_CASES])(void) = {
        vec_cases_both_scalar, vec_cases_both_sse2, vec_cases_both_avx2,
        vec_cases_both_avx512, vec_cases_both_neon,
    };
    int ran = 0;
    for (int k = 0; k < ISA_CASES; k++) {
        const pnng_isa *isa;
        if (!isa_at(k, &isa))
            continue;
        snprintf(test_where, sizeof test_where, "%s", isa->name);
        cases[k]();
        ran++;
    }
    snprintf(test_where, sizeof test_where, "instruction sets");
    CHECK(ran > 0);
    return test_result();
}
