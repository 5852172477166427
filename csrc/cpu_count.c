/* How many CPUs this process may use: by affinity, and by the quotas of control groups. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "threads.h"

#if defined __linux__ && !defined PNNG_NO_THREADS
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, FILE_BYTES = 4096 };

/* The start of a file as text; whether there is one. No stdio, which allocates. */
static bool read_text(const char *path, char text[FILE_BYTES]) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    size_t count = 0;
    ssize_t got = 1;
    while (got > 0 && count < FILE_BYTES - 1) {
        got = read(file, text + count, FILE_BYTES - 1 - count);
        if (got > 0)
            count += (size_t)got;
    }
    close(file);
    text[count] = '\0';
    return true;
}

/* Strings one after another; false where they do not fit. */
static bool join(char path[PATH_BYTES], const char *const parts[4]) {
    size_t used = 0;
    for (size_t k = 0; k < 4; k++) {
        const size_t length = strlen(parts[k]);
        if (length >= PATH_BYTES - used)
            return false;
        memcpy(path + used, parts[k], length + 1);
        used += length;
    }
    return true;
}

/* Whole CPUs of a quota, at least one: who uses more is stopped in the middle of a job. */
static size_t cpus_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0)
        return SIZE_MAX;
    return quota < period ? 1 : (size_t)(quota / period);
}

/* Version 2: "max 100000" or "150000 100000". */
static size_t quota_v2(const char *root, const char *group) {
    char path[PATH_BYTES], text[FILE_BYTES], *rest;
    if (!join(path, (const char *const[]){root, "/sys/fs/cgroup", group, "/cpu.max"}) ||
        !read_text(path, text))
        return SIZE_MAX;
    const long long quota = strtoll(text, &rest, 10);
    return cpus_of(quota, strtoll(rest, NULL, 10));
}

/* Version 1: -1 or microseconds, in a file each. */
static size_t quota_v1(const char *root, const char *group) {
    char path[PATH_BYTES], quota[FILE_BYTES], period[FILE_BYTES];
    static const char mount[] = "/sys/fs/cgroup/cpu";
    if (!join(path, (const char *const[]){root, mount, group, "/cpu.cfs_quota_us"}) ||
        !read_text(path, quota) ||
        !join(path, (const char *const[]){root, mount, group, "/cpu.cfs_period_us"}) ||
        !read_text(path, period))
        return SIZE_MAX;
    return cpus_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

typedef size_t quota_of(const char *root, const char *group);

/* The least quota of a group and of all above it. In a container the path may be that of the host,
 * and only its end, the mount itself, is there. */
static size_t least_quota(const char *root, char *group, quota_of *quota) {
    size_t least = SIZE_MAX;
    for (;;) {
        const size_t cpus = quota(root, group);
        if (cpus < least)
            least = cpus;
        char *const last = strrchr(group, '/');
        if (!last)
            return least;
        *last = '\0';
    }
}

/* Whether a comma separated list has an entry "cpu". */
static bool lists_cpu(const char *list, size_t length) {
    for (const char *entry = list, *const end = list + length; entry < end;) {
        const char *comma = memchr(entry, ',', (size_t)(end - entry));
        if (!comma)
            comma = end;
        if (comma - entry == 3 && memcmp(entry, "cpu", 3) == 0)
            return true;
        entry = comma + 1;
    }
    return false;
}

/* Lines are "number:controllers:path"; version 2 has no controllers. */
size_t pnng_cgroup_cpus(const char *root) {
    char path[PATH_BYTES], text[FILE_BYTES];
    if (!join(path, (const char *const[]){root, "/proc/self/cgroup", "", ""}) ||
        !read_text(path, text))
        return SIZE_MAX;
    size_t least = SIZE_MAX;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *const controllers = strchr(line, ':');
        char *const group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        const size_t length = (size_t)(group - controllers - 1);
        size_t cpus = SIZE_MAX;
        if (length == 0)
            cpus = least_quota(root, group + 1, quota_v2);
        else if (lists_cpu(controllers + 1, length))
            cpus = least_quota(root, group + 1, quota_v1);
        if (cpus < least)
            least = cpus;
    }
    return least;
}

/* CPUs that the calling thread may run on. */
static size_t affinity(void) {
    cpu_set_t sets[8]; /* one is for 1024 */
    if (sched_getaffinity(0, sizeof sets, sets))
        return 1;
    const int count = CPU_COUNT_S(sizeof sets, sets);
    return count > 0 ? (size_t)count : 1;
}

size_t pnng_cpu_count(const char *root) {
    const size_t cpus = affinity(), quota = pnng_cgroup_cpus(root);
    return cpus < quota ? cpus : quota;
}

#elif !defined PNNG_NO_THREADS
#include <unistd.h>

size_t pnng_cgroup_cpus(const char *root) {
    (void)root;
    return SIZE_MAX;
}

size_t pnng_cpu_count(const char *root) {
    (void)root;
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (size_t)count : 1;
}
#endif
