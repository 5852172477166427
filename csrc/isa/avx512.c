/* AVX-512. 28 sums, 2 of B and 1 of A, of 32 registers. */
#define PNNG_ISA avx512
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#define PNNG_ISA_VEC "../vec/vec_avx512.h"
#define PNNG_ISA_BYTES 64
#define PNNG_MR 14
#define PNNG_NV 2
#ifdef PNNG_DISABLE_AVX512
#define PNNG_ISA_DISABLED
#endif
#include "begin.inc"
#include "body.inc"
#include "end.inc"
