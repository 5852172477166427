/* Models in files: the system's own calls, since stdio allocates behind the allocator's back. */
#ifndef PNNG_NO_FILE

#define _XOPEN_SOURCE 700 /* strict C11 hides the system's calls unless they are asked for */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

static pnng_status fail(pnng_model *model, const char *path, const char *what) {
    if (!errno)
        return pnng_fail(&model->message, PNNG_ERROR_FILE, "%.300s %s", path, what);
    return pnng_fail(&model->message, PNNG_ERROR_FILE, "%.300s %s: error %d of the system", path,
                     what, errno);
}

/* All of `count` bytes; false with errno, which is 0 where the file ends before. */
static bool read_all(int file, unsigned char *to, size_t count) {
    while (count) {
        const ssize_t n = read(file, to, count < INT_MAX ? count : INT_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = 0;
            return false;
        }
        to += n;
        count -= (size_t)n;
    }
    return true;
}

static bool write_all(int file, const unsigned char *from, size_t count) {
    while (count) {
        const ssize_t n = write(file, from, count < INT_MAX ? count : INT_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += n;
        count -= (size_t)n;
    }
    return true;
}

static pnng_status read_file(pnng_model *model, const char *path, int file) {
    struct stat about;
    unsigned char first[8] = {0};
    if (fstat(file, &about))
        return fail(model, path, "cannot be read");
    if (!S_ISREG(about.st_mode) || (uintmax_t)about.st_size > SIZE_MAX / 2) {
        errno = 0;
        return fail(model, path, "is no file that can be loaded");
    }
    const size_t count = (size_t)about.st_size, n_first = count < 8 ? count : 8;
    if (!read_all(file, first, n_first))
        return fail(model, path, "cannot be read");
    if (!pnng_model_take_bytes(model, count, pnng_model_header_bytes(first)))
        return PNNG_ERROR_MEMORY;
    memcpy(model->bytes, first, n_first);
    if (!read_all(file, model->bytes + n_first, count - n_first))
        return fail(model, path, "cannot be read to its end");
    return pnng_model_read(model);
}

pnng_status pnng_model_load(const char *path, const pnng_allocator *allocator, pnng_model **out) {
    pnng_model *const model = pnng_model_empty(allocator);
    if (!model)
        return pnng_model_loaded(model, PNNG_ERROR_MEMORY, out);
    const int before = errno;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const pnng_status status =
        file < 0 ? fail(model, path, "cannot be opened") : read_file(model, path, file);
    if (file >= 0)
        close(file);
    errno = before;
    return pnng_model_loaded(model, status, out);
}

/* ---- saving --------------------------------------------------------------------------------- */

/* A file beside the one that it is to replace; -1 with errno. */
static int open_temporary(const char *target, char *path, size_t size) {
    for (unsigned k = 0; k < 1000; k++) {
        const int length = snprintf(path, size, "%s.%ld-%u.tmp", target, (long)getpid(), k);
        if (length < 0 || (size_t)length >= size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0 || errno != EEXIST)
            return file;
    }
    return -1;
}

/* That the file has its new name should be on the disk too; not every system can do it. */
static void sync_directory(char *path) {
    char *const slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    const int directory = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (directory < 0)
        return;
    fsync(directory);
    close(directory);
}

static bool save(const pnng_model *model, const char *path) {
    char target[PATH_MAX], temporary[PATH_MAX + 40];
    struct stat about;
    if (!realpath(path, target)) { /* what a link points to is replaced, not the link */
        if (errno != ENOENT || strlen(path) >= sizeof target)
            return false;
        strcpy(target, path);
    }
    const int file = open_temporary(target, temporary, sizeof temporary);
    if (file < 0)
        return false;
    bool done = write_all(file, model->bytes, model->n_bytes) && fsync(file) == 0;
    if (done && stat(target, &about) == 0)
        done = fchmod(file, about.st_mode & 07777) == 0;
    done = close(file) == 0 && done;
    done = done && rename(temporary, target) == 0;
    if (!done) {
        const int why = errno;
        unlink(temporary);
        errno = why;
        return false;
    }
    sync_directory(target);
    return true;
}

pnng_status pnng_model_save(pnng_model *model, const char *path) {
    if (!model->loaded)
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT, "the model was not loaded");
    const int before = errno;
    model->message.text[0] = '\0';
    const pnng_status status = save(model, path) ? PNNG_OK : fail(model, path, "cannot be written");
    errno = before;
    return status;
}

#else
typedef int pnng_no_files; /* C has no empty files */
#endif
