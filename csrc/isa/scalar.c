/* Plain C, one element at a time, on every architecture. */
#define PNNG_ISA scalar
#define PNNG_ISA_ARCH PNNG_ANY
#define PNNG_ISA_SCALAR /* and nothing vectorised behind our back */
#define PNNG_ISA_VEC "../vec/vec_scalar.h"
#define PNNG_ISA_SMALL
#define PNNG_ISA_BYTES 8
#define PNNG_MR 4
#define PNNG_NV 2
#include "begin.inc"
#include "body.inc"
#include "end.inc"
