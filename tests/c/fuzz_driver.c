/* Calls a fuzzer's function with files, and with what becomes of them when they are damaged: for
 * compilers without libFuzzer. The same seed damages in the same way.
 *     fuzz_model SECONDS SEED FILES...     0 seconds: the files as they are
 * What has ended the program is left in fuzz-input. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pynngraph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILES = 1000, MAX_BYTES = 1 << 20, LENGTH_BYTES = 8 };

typedef struct input {
    uint8_t *bytes;
    size_t count;
} input;

static input files[MAX_FILES], work;
static size_t n_files;
static uint64_t state;

static size_t below(size_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return bound ? (size_t)(state >> 33) % bound : 0;
}

static size_t header_end(void) {
    uint64_t length = 0;
    for (int k = LENGTH_BYTES - 1; k >= 0 && work.count >= LENGTH_BYTES; k--)
        length = length << 8 | work.bytes[k];
    const size_t end = length > MAX_BYTES ? MAX_BYTES : LENGTH_BYTES + (size_t)length;
    return end < work.count ? end : work.count;
}

/* Bytes of the header become others, and the header's length is right for them. */
static void replace(size_t at, size_t count, const char *by, size_t by_count) {
    const size_t end = header_end();
    if (at + count > end || work.count - count + by_count > MAX_BYTES)
        return;
    memmove(work.bytes + at + by_count, work.bytes + at + count, work.count - at - count);
    memcpy(work.bytes + at, by, by_count);
    work.count += by_count - count;
    const uint64_t length = end - LENGTH_BYTES - count + by_count;
    for (int k = 0; k < LENGTH_BYTES; k++)
        work.bytes[k] = (uint8_t)(length >> 8 * k);
}

/* Somewhere in the header where this text begins; 0: nowhere behind a place. */
static size_t find(const char *text) {
    const size_t length = strlen(text), end = header_end();
    if (end < LENGTH_BYTES + length)
        return 0;
    const size_t span = end - length - LENGTH_BYTES + 1, from = below(span);
    for (size_t k = 0; k < span; k++) {
        const size_t at = LENGTH_BYTES + (from + k) % span;
        if (!memcmp(work.bytes + at, text, length))
            return at;
    }
    return 0;
}

static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static void change_number(void) {
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "3",
                                          "4",
                                          "5",
                                          "6",
                                          "7",
                                          "8",
                                          "9",
                                          "10",
                                          "11",
                                          "-1",
                                          "-2",
                                          "64",
                                          "255",
                                          "65536",
                                          "2147483647",
                                          "2147483648",
                                          "4294967295",
                                          "4294967296",
                                          "4611686018427387904",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "18446744073709551616",
                                          "1e308",
                                          "1e-320",
                                          "0.5",
                                          "true",
                                          "null",
                                          "[]",
                                          "{}"};
    const size_t end = header_end();
    size_t at = LENGTH_BYTES + below(end - LENGTH_BYTES);
    while (at < end && !is_digit(work.bytes[at]))
        at++;
    size_t last = at;
    while (last < end && is_digit(work.bytes[last]))
        last++;
    const char *const by = numbers[below(sizeof numbers / sizeof *numbers)];
    replace(at, last - at, by, strlen(by));
}

/* Another op, or another type. */
static void change_word(void) {
    static const char *const kinds[] = {"real", "index", "train", "evaluate"};
    const size_t op = find("\\\"op\\\":\\\"");
    size_t count;
    const pnng_op_info *const ops = pnng_op_table(&count);
    const char *by = ops[below(count)].name;
    size_t at = op ? op + 9 : 0;
    if (below(8) == 0) {
        const char *const from = kinds[below(4)];
        by = kinds[below(4)];
        at = find(from);
    }
    size_t last = at;
    while (at && last < header_end() && work.bytes[last] != '\\')
        last++;
    if (at)
        replace(at, last - at, by, strlen(by));
}

/* A piece of the header once more, elsewhere; or away. */
static void move_piece(void) {
    char piece[256];
    const size_t end = header_end(), count = below(sizeof piece);
    const size_t from = LENGTH_BYTES + below(end - LENGTH_BYTES);
    const size_t to = LENGTH_BYTES + below(end - LENGTH_BYTES);
    if (from + count > end)
        return;
    memcpy(piece, work.bytes + from, count);
    if (below(2))
        replace(to, 0, piece, count);
    else
        replace(from, count, piece, 0);
}

static void damage(void) {
    static const char marks[] = "{}[]\",:\\0-.eu ";
    if (work.count <= LENGTH_BYTES)
        return;
    switch (below(10)) {
    case 0:
        work.bytes[below(work.count)] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        work.bytes[below(header_end())] = (uint8_t)marks[below(sizeof marks - 1)];
        break;
    case 2:
        if (below(8) == 0)
            work.count = below(work.count);
        break;
    case 3:
        if (header_end() > LENGTH_BYTES)
            move_piece();
        break;
    case 4:
    case 5:
    case 6:
        change_word();
        break;
    default:
        if (header_end() > LENGTH_BYTES)
            change_number();
    }
}

static void keep(void) {
    FILE *const file = fopen("fuzz-input", "wb");
    if (file) {
        fwrite(work.bytes, 1, work.count, file);
        fclose(file);
    }
}

#ifdef __SANITIZE_ADDRESS__ /* it ends the program in its own way */
void __asan_set_death_callback(void (*callback)(void));
#endif

static void at_signal(int number) {
    keep();
    signal(number, SIG_DFL);
    raise(number);
}

static void keep_at_the_end(void) {
    signal(SIGABRT, at_signal);
#ifdef __SANITIZE_ADDRESS__
    __asan_set_death_callback(keep);
#else
    signal(SIGSEGV, at_signal);
    signal(SIGFPE, at_signal);
#endif
}

static void try_it(void) {
    /* In memory that ends where the bytes do. */
    uint8_t *const exact = malloc(work.count ? work.count : 1);
    if (!exact)
        exit(2);
    memcpy(exact, work.bytes, work.count);
    LLVMFuzzerTestOneInput(exact, work.count);
    free(exact);
}

static void read_file(const char *path) {
    FILE *const file = fopen(path, "rb");
    if (!file || n_files == MAX_FILES) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    files[n_files].count = fread(work.bytes, 1, MAX_BYTES, file);
    files[n_files].bytes = malloc(files[n_files].count + 1);
    if (files[n_files].bytes)
        memcpy(files[n_files].bytes, work.bytes, files[n_files].count);
    n_files++;
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s SECONDS SEED FILES...\n", argv[0]);
        return 2;
    }
    const double seconds = strtod(argv[1], NULL);
    state = strtoull(argv[2], NULL, 10);
    work.bytes = malloc(MAX_BYTES + 256);
    if (!work.bytes)
        return 2;
    for (int k = 3; k < argc; k++)
        read_file(argv[k]);
    keep_at_the_end();
    const time_t start = time(NULL);
    size_t tries = 0;
    for (; tries < n_files || difftime(time(NULL), start) < seconds; tries++) {
        const input *const from = &files[tries < n_files ? tries : below(n_files)];
        memcpy(work.bytes, from->bytes, from->count);
        work.count = from->count;
        for (size_t k = tries < n_files ? 0 : 1 + below(4); k > 0; k--)
            damage();
        try_it();
    }
    printf("%zu inputs\n", tries);
    for (size_t k = 0; k < n_files; k++)
        free(files[k].bytes);
    free(work.bytes);
    return 0;
}
