/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz entry point once over each given file and each file of each given directory, in the
 * order of their names. Exit code 0: all inputs ran; 2: an input could not be read.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* No fuzzer makes inputs near this size; a larger file was named by mistake. */
#define INPUT_BYTES_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static int failed_count;
static int input_count;

static void complain(const char *path, const char *what)
{
    fprintf(stderr, "fuzz replay: %s: %s\n", path, what);
    failed_count++;
}

/*
 * The entry point gets a heap buffer of exactly the size of the file, so that ASan and valgrind
 * see a read past its end.
 */
static void run_stream(const char *path, FILE *stream, size_t size_bytes)
{
    uint8_t *data = malloc(size_bytes > 0 ? size_bytes : 1);

    if (!data) {
        complain(path, "out of memory");
        return;
    }
    if (fread(data, 1, size_bytes, stream) != size_bytes) {
        complain(path, "cannot be read");
    } else {
        LLVMFuzzerTestOneInput(data, size_bytes);
        input_count++;
    }
    free(data);
}

static void run_file(const char *path, size_t size_bytes)
{
    FILE *stream;

    if (size_bytes > INPUT_BYTES_MAX) {
        complain(path, "is larger than 64 MiB");
        return;
    }
    stream = fopen(path, "rb");
    if (!stream) {
        complain(path, strerror(errno));
        return;
    }
    run_stream(path, stream, size_bytes);
    fclose(stream);
}

static void run_directory(const char *path)
{
    struct dirent **names;
    int name_count = scandir(path, &names, NULL, alphasort);

    if (name_count < 0) {
        complain(path, strerror(errno));
        return;
    }
    for (int i = 0; i < name_count; i++) {
        size_t len_bytes = strlen(path) + strlen(names[i]->d_name) + 2;
        char *file = malloc(len_bytes);
        struct stat st;

        if (!file) {
            complain(path, "out of memory");
        } else {
            snprintf(file, len_bytes, "%s/%s", path, names[i]->d_name);
            if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
                run_file(file, (size_t)st.st_size);
            }
        }
        free(file);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) != 0) {
            complain(argv[i], strerror(errno));
        } else if (S_ISDIR(st.st_mode)) {
            run_directory(argv[i]);
        } else {
            run_file(argv[i], (size_t)st.st_size);
        }
    }
    printf("%d inputs ran\n", input_count);
    return failed_count > 0 ? 2 : 0;
}
