/* The instruction set in use. */
#ifndef PNNG_CPU_H
#define PNNG_CPU_H

#include "kernels.h"

/* The kernels chosen at load; NULL when PYNNGRAPH_ISA asks for what cannot be had, and then
 * pnng_cpu_info()->problem says so. */
const pnng_isa *pnng_chosen_isa(void);

#endif
