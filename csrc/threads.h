/* The engine's threads: one pool a process, for jobs of a few microseconds and more. */
#ifndef PNNG_THREADS_H
#define PNNG_THREADS_H

#ifndef PNNG_NO_THREADS
#include <pthread.h>
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/pynngraph.h"

/* Part k of a job. Parts are done in any order, by any threads, at the same time. */
typedef void pnng_part(void *context, size_t k);

/* Whether a job that one thread does in so many nanoseconds may ever be worth more than one. */
bool pnng_threads_may_help(uint64_t nanoseconds);

/* How many threads a job is worth, that one thread alone would do in so many nanoseconds: 1, or at
 * most as many as are set. Asked once a job, right before it: pass the answer to pnng_parallel.
 * 1 inside of a part, where the pool has one thread, and where other callers keep the CPUs busy.
 * Neither allocates nor calls the system. */
size_t pnng_threads_wanted(uint64_t nanoseconds);

/* Call part(context, k) for each k in [0, parts) exactly once and return when all are done, on up
 * to `threads` threads, of which the caller is one. A thread takes the next part when it is done
 * with one, so that there may be more parts than threads, and a thread that comes late holds up
 * nobody. The caller does them all alone, in order, when threads or parts is 1, when the pool is
 * busy with another caller's job, and inside of a part. Results must not depend on who does what.
 * What a thread wrote it has in its cache: parts of equal number go to the same thread in each job
 * of as many parts and threads, as far as that is possible. */
void pnng_parallel(size_t threads, size_t parts, pnng_part *part, void *context);

/* The number of threads that is set; never 0. Finds the default out when it is asked first. */
size_t pnng_threads_limit(void);

/* A run that may ask for threads is under way in this thread: then others leave it a CPU. Its jobs
 * take one thread so many nanoseconds together. */
void pnng_threads_enter(uint64_t nanoseconds);
void pnng_threads_leave(void);

/* For tests: every job is worth all threads. Set by PYNNGRAPH_SPLIT=always at load. */
extern bool pnng_threads_always;

#ifndef PNNG_NO_THREADS
/* How threads are started: pthread_create, but for tests of what happens when it fails. */
typedef int pnng_thread_starter(pthread_t *thread, const pthread_attr_t *attributes,
                                void *(*run)(void *), void *argument);
extern pnng_thread_starter *pnng_start_thread;
#endif

/* CPUs that this process may use, by affinity and the quotas of its control groups (cpu_count.c).
 * @param root  put before paths of /proc and /sys; "" but for tests. */
size_t pnng_cpu_count(const char *root);
size_t pnng_cgroup_cpus(const char *root); /* SIZE_MAX: no quota */

#endif
