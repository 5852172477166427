/* SSE2: every x86-64. 8 sums, 2 of B, 1 of A and a product, of 16 registers. */
#define PNNG_ISA sse2
#define PNNG_ISA_ARCH PNNG_X86_64
#define PNNG_ISA_TARGET "sse2"
#define PNNG_ISA_VEC "../vec/vec_sse2.h"
#define PNNG_ISA_SMALL
#define PNNG_ISA_BYTES 16
#define PNNG_MR 4
#define PNNG_NV 2
#ifdef PNNG_DISABLE_SSE2
#define PNNG_ISA_DISABLED
#endif
#include "begin.inc"
#include "body.inc"
#include "end.inc"
