/* Allocation: everything the library takes comes through an allocator that a caller may replace. */
#if defined(__linux__) && __STDC_HOSTED__
#define _GNU_SOURCE /* madvise */
#include <sys/mman.h>
#define HUGE_PAGES 1
#else
#define HUGE_PAGES 0
#endif
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#if HUGE_PAGES
/* Large blocks begin at a huge page and are made of such, but for what does not fill one: they are
 * several times as fast to touch first, and no larger. */
static void *allocate_large(size_t bytes) {
    enum { HUGE_PAGE = 2 << 20 };
    const size_t whole = bytes / HUGE_PAGE * HUGE_PAGE;
    if (bytes > PTRDIFF_MAX - HUGE_PAGE)
        return NULL;
    void *const memory = aligned_alloc(HUGE_PAGE, whole < bytes ? whole + HUGE_PAGE : whole);
#ifdef MADV_HUGEPAGE
    if (memory)
        madvise(memory, whole, MADV_HUGEPAGE); /* where they cannot be had, small ones do */
#endif
    return memory;
}
#endif

static void *default_allocate(void *user, size_t bytes) {
    (void)user;
#if HUGE_PAGES
    enum { LARGE = 4 << 20 };
    if (bytes >= LARGE)
        return allocate_large(bytes);
#endif
    return malloc(bytes);
}

static void default_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

const pnng_allocator pnng_default_allocator = {default_allocate, default_release, NULL};

void *pnng_allocate(const pnng_allocator *allocator, size_t count, size_t bytes) {
    if (bytes != 0 && count > SIZE_MAX / bytes)
        return NULL;
    /* malloc(0) may give NULL, which would read as a failure. */
    const size_t total = count * bytes;
    return allocator->allocate(allocator->user, total ? total : 1);
}

void *pnng_allocate_zeroed(const pnng_allocator *allocator, size_t count, size_t bytes) {
    void *memory = pnng_allocate(allocator, count, bytes);
    if (memory)
        memset(memory, 0, count * bytes);
    return memory;
}

void pnng_release(const pnng_allocator *allocator, void *memory) {
    if (memory)
        allocator->release(allocator->user, memory);
}

bool pnng_reserve(const pnng_allocator *allocator, void **array, size_t *capacity, size_t needed,
                  size_t bytes) {
    if (needed <= *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 8;
    if (larger < needed)
        larger = needed;
    void *memory = pnng_allocate(allocator, larger, bytes);
    if (!memory)
        return false;
    if (*array) {
        memcpy(memory, *array, *capacity * bytes);
        pnng_release(allocator, *array);
    }
    *array = memory;
    *capacity = larger;
    return true;
}

/* ---- the arena ------------------------------------------------------------------------------ */

/* Stretches of the arena that are free, by offset. Only so many are remembered: the smallest is
 * forgotten for a larger one, so that the time to lay out grows with the number of arrays alone. */
enum { MAX_GAPS = 256 };

typedef struct gap {
    size_t offset, bytes;
} gap;

typedef struct arena {
    gap gaps[MAX_GAPS];
    size_t count;
    size_t end; /* bytes taken so far */
} arena;

enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void remove_gap(arena *space, gap *which) {
    const size_t after = space->count - (size_t)(which - space->gaps) - 1;
    memmove(which, which + 1, after * sizeof *which);
    space->count--;
}

/* The smallest gap that fits, so that large gaps stay for large arrays; else the end grows. False
 * where it would grow past what can be addressed. */
static bool take(arena *space, size_t bytes, size_t *offset) {
    gap *best = NULL;
    for (size_t k = 0; k < space->count; k++)
        if (space->gaps[k].bytes >= bytes && (!best || space->gaps[k].bytes < best->bytes))
            best = &space->gaps[k];
    if (best) {
        *offset = best->offset;
        best->offset += bytes;
        best->bytes -= bytes;
        if (best->bytes == 0)
            remove_gap(space, best);
        return true;
    }
    if (bytes > (size_t)PTRDIFF_MAX - 2 * ALIGNMENT - space->end)
        return false;
    *offset = space->end;
    space->end += bytes;
    return true;
}

static gap *smallest_gap(arena *space) {
    gap *smallest = space->gaps;
    for (size_t k = 1; k < space->count; k++)
        if (space->gaps[k].bytes < smallest->bytes)
            smallest = &space->gaps[k];
    return smallest;
}

static void give_back(arena *space, size_t offset, size_t bytes) {
    size_t low = 0, high = space->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (space->gaps[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    gap *const next = &space->gaps[low];
    const bool joins_next = low < space->count && offset + bytes == next->offset;
    const bool joins_last = low > 0 && next[-1].offset + next[-1].bytes == offset;
    if (joins_next && joins_last) {
        next[-1].bytes += bytes + next->bytes;
        remove_gap(space, next);
    } else if (joins_last) {
        next[-1].bytes += bytes;
    } else if (joins_next) {
        next->offset = offset;
        next->bytes += bytes;
    } else if (space->count < MAX_GAPS) {
        memmove(next + 1, next, (space->count - low) * sizeof *next);
        *next = (gap){offset, bytes};
        space->count++;
    } else if (smallest_gap(space)->bytes < bytes) {
        remove_gap(space, smallest_gap(space));
        give_back(space, offset, bytes);
    }
}

/* Lists of storages by a time: head[t], then next[storage], -1 ends. */
typedef struct by_time {
    int32_t *head, *next;
} by_time;

static bool list_by_time(const pnng_allocator *allocator, by_time *list, size_t count,
                         size_t n_times) {
    list->head = pnng_allocate(allocator, n_times, sizeof *list->head);
    list->next = pnng_allocate(allocator, count, sizeof *list->next);
    if (!list->head || !list->next)
        return false;
    for (size_t t = 0; t < n_times; t++)
        list->head[t] = -1;
    return true;
}

static void push(by_time *list, size_t time, size_t storage) {
    list->next[storage] = list->head[time];
    list->head[time] = (int32_t)storage;
}

static bool place_storages(pnng_storage *storages, size_t n_times, const by_time *starts,
                           const by_time *ends, arena *space) {
    for (size_t t = 0; t < n_times; t++) {
        for (int32_t s = starts->head[t]; s >= 0; s = starts->next[s])
            if (!take(space, aligned(storages[s].bytes), &storages[s].offset))
                return false;
        for (int32_t s = ends->head[t]; s >= 0; s = ends->next[s])
            give_back(space, storages[s].offset, aligned(storages[s].bytes));
    }
    return true;
}

bool pnng_lay_out(const pnng_allocator *allocator, pnng_storage *storages, size_t count,
                  size_t n_times, size_t *bytes) {
    by_time starts = {0}, ends = {0};
    arena space = {.count = 0};
    bool done = list_by_time(allocator, &starts, count, n_times) &&
                list_by_time(allocator, &ends, count, n_times);
    if (done) {
        for (size_t s = 0; s < count; s++)
            if (storages[s].used && storages[s].slot < 0 && storages[s].bytes) {
                push(&starts, storages[s].first, s);
                push(&ends, storages[s].last, s);
            }
        done = place_storages(storages, n_times, &starts, &ends, &space);
    }
    void *const parts[] = {starts.head, starts.next, ends.head, ends.next};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(allocator, parts[k]);
    *bytes = space.end;
    return done;
}
