/* AVX2 and FMA. 12 sums, 2 of B and 1 of A, of 16 registers. */
#define PNNG_ISA avx2
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "avx2,fma"
#define PNNG_ISA_VEC "../vec/vec_avx2.h"
#define PNNG_ISA_BYTES 32
#define PNNG_MR 6
#define PNNG_NV 2
#ifdef PNNG_DISABLE_AVX2
#define PNNG_ISA_DISABLED
#endif
#include "begin.inc"
#include "body.inc"
#include "end.inc"
