/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of shim/ share: programmer-error checks, error texts, opening and locking. */
#ifndef CBD_SHIM_SHIM_COMMON_H
#define CBD_SHIM_SHIM_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cbd/shim/error.h"

/* On in every build: what it catches would otherwise write outside the device. */
#define SHIM_ASSERT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A sanitizer follows each access and each allocation. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHIM_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SHIM_CHECKED 1
#endif
#endif

enum shim_file_kind {
    SHIM_FILE_REGULAR = 1 << 0,
    SHIM_FILE_BLOCK = 1 << 1,
    SHIM_FILE_CHAR = 1 << 2,
};

struct shim_file {
    int fd;
    enum shim_file_kind kind;
    uint64_t size_bytes;          /* 0 for character devices */
    uint32_t logical_block_bytes; /* of block nodes, else 0 */
};

/* Fills *err (unless NULL) with "path: " and the sentence, and returns code. */
int shim_fail(struct cbd_shim_error *err, int code, int sys_errno, const char *path,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The same with the text of sys_errno; the code follows from sys_errno. */
int shim_fail_errno(struct cbd_shim_error *err, int sys_errno, const char *path, const char *what);

/* Clears *err (unless NULL). */
void shim_no_error(struct cbd_shim_error *err);

/*
 * Opens and locks an existing path of one of the kinds (a mask). file->fd is the caller's to
 * close, which also unlocks. Errors as in the headers of shim/.
 */
int shim_file_open(const char *path, bool readonly, unsigned kinds, struct shim_file *file,
                   struct cbd_shim_error *err) CBD_MUST_CHECK;

/* Makes, allocates and locks a new regular file. Nothing is left at path after an error. */
int shim_file_create(const char *path, uint64_t size_bytes, struct shim_file *file,
                     struct cbd_shim_error *err) CBD_MUST_CHECK;

#endif
