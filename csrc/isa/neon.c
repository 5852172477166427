/* NEON of 64-bit ARM. 21 sums, 3 of B and up to 8 of A, of 32 registers. */
#define PNNG_ISA neon
#define PNNG_ISA_ARCH PNNG_AARCH64
#define PNNG_ISA_VEC "../vec/vec_neon.h"
#define PNNG_ISA_BYTES 16
#define PNNG_MR 7
#define PNNG_NV 3
#ifdef PNNG_DISABLE_NEON
#define PNNG_ISA_DISABLED
#endif
#include "begin.inc"
#include "body.inc"
#include "end.inc"
