/* Steps that several threads do, in parts or at the same time. */
#ifndef PNNG_SPLIT_H
#define PNNG_SPLIT_H

#include "plan.h"

/* What ranges of a step can be done alone. */
enum {
    PNNG_SPLIT_NONE,
    PNNG_SPLIT_TURNS, /* turns of its outermost loop */
    PNNG_SPLIT_ROWS,  /* the call's rows */
    PNNG_SPLIT_COLS,  /* its cols, at cache lines */
    PNNG_SPLIT_N      /* its n */
};

/* Steps of more operands are not split. */
enum { PNNG_SPLIT_OPERANDS = 66 };

/* Say how a step whose operands are known may be split, if that can ever pay: sets what it keeps of
 * that, but for first_by, and by how many bytes each operand advances from one unit to the next. */
bool pnng_split_step(const pnng_plan *plan, pnng_step *step, ptrdiff_t by[PNNG_SPLIT_OPERANDS]);

/* Run one that may be, by as many threads as it is worth now. */
pnng_status pnng_run_split_kernel(pnng_plan *plan, const pnng_step *step, const pnng_call *call);
pnng_status pnng_run_split_turns(pnng_plan *plan, const pnng_step *step, void **ptr);

/* Find steps that are better done at the same time than in parts: sets `branches` of the first of
 * them. Before storages get their places. */
void pnng_find_branches(pnng_plan *plan);

/* Run these, as far as the run wants them, if there are threads for it now; else nothing is done,
 * and false. */
bool pnng_run_branches(pnng_plan *plan, const pnng_step *first, uint32_t mask);

#endif
