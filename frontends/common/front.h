/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cache that is being served: the device and the disks are open and locked, the backends attached,
 * background work runs in threads, requests come from any number of threads. What protocol they came
 * by is the business of the front-end above.
 *
 *   configure    front_config_init, front_config_set
 *   open         front_open: everything that can fail; no thread is left behind
 *   start        front_start: threads; behind the fork of a daemon
 *   serve        front_read .. front_map, from any thread
 *   close        front_close: writes back, detaches, closes
 */
#ifndef FRONT_H
#define FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/cache.h"

#define FRONT_TEXT_BYTES 512u
#define FRONT_PATH_BYTES 4096u

struct front_backend_config {
    char name[CBD_BACKEND_NAME_BYTES + 1];
    char *backing; /* NULL: the path that the cache remembers */
};

/* front_config_init() gives the defaults. */
struct front_config {
    char *device;
    struct front_backend_config backends[CBD_BACKENDS];
    unsigned backend_count; /* 0: every backend of the cache */
    struct cbd_attach_options attach;
    unsigned disk_threads;
    char *record; /* NULL: nothing is recorded, see cbd/shim/record.h */
    uint64_t record_max_bytes;
    bool leave; /* at close nothing is written back: the next open recovers */
};

void front_config_init(struct front_config *config);
void front_config_free(struct front_config *config);

/*
 * One "key=value". 0, or EINVAL or ENOMEM with a sentence in `why`. *known is false, and nothing
 * else happens, when no option has this name.
 */
int front_config_set(struct front_config *config, const char *key, const char *value, bool *known,
                     char why[FRONT_TEXT_BYTES]);

/* One line for each option that front_config_set() knows, for --help. */
extern const char front_config_help[];

struct front;
struct front_export;

/* Where messages go: one line each, without a newline. Called by one thread at a time. */
typedef void front_log_fn(void *arg, enum cbd_severity severity, const char *line);

/*
 * Opens the device, its cache, and each backend's disk; attaches (recovers) the backends. The
 * configuration must live until front_close(). 0, or an errno with a sentence in `why`.
 */
int front_open(const struct front_config *config, front_log_fn *log, void *arg,
               struct front **front, char why[FRONT_TEXT_BYTES]);

/* Starts the workers of the disks and the background threads. 0 or an errno, as above. */
int front_start(struct front *front, char why[FRONT_TEXT_BYTES]);

/*
 * No request may be under way. Stops the threads; detaches each backend, which writes it back, or
 * leaves it as it is when that was asked for or fails: then the data stays in the cache and the next
 * attach recovers it. Returns how many backends were not detached although that was asked for.
 * front may be NULL.
 */
unsigned front_close(struct front *front);

unsigned front_export_count(const struct front *front);
struct front_export *front_export_at(struct front *front, unsigned n);

/* NULL: there is none. */
struct front_export *front_export_find(struct front *front, const char *name);

struct front_export_info {
    const char *name;
    const char *description;
    uint64_t size_bytes;
    uint32_t logical_block_bytes;
    bool readonly; /* degraded: something that was acknowledged is lost */
    bool fills;    /* reads bring data into the cache */
};
void front_export_info(const struct front_export *e, struct front_export_info *info);

/* Statistics of the engine. From any thread. */
void front_export_stats(const struct front_export *e, struct cbd_stats *stats);

/*
 * Requests. From any thread; they may overlap in any way. Off and len are multiples of the logical
 * block. They return 0 or a positive errno: EINVAL (alignment, range), EIO, ENOSPC, ENOMEM, EROFS
 * (degraded), ESHUTDOWN (front_close has begun). 0 means durable, as cbd/cache.h says.
 */
int front_read(struct front_export *e, void *buf, uint64_t len, uint64_t off);
int front_write(struct front_export *e, const void *buf, uint64_t len, uint64_t off, bool fua);

/* The range reads as zeroes. `punch`: the disk may unmap it. */
int front_zero(struct front_export *e, uint64_t len, uint64_t off, bool punch, bool fua);
int front_flush(struct front_export *e);

enum front_extent_kind {
    FRONT_DATA,
    FRONT_ZERO, /* reads as zeroes, may take space */
    FRONT_HOLE, /* reads as zeroes and takes none */
};

/* What is at `off`, and how far it goes: *run_bytes, at most len (not 0). */
int front_map(struct front_export *e, uint64_t len, uint64_t off, uint64_t *run_bytes,
              enum front_extent_kind *kind);

/* The errno for an error of cbd/errors.h. */
int front_errno(int cbd_error);

/* What a request that returned this errno ran into. Static; strerror() is not for threads. */
const char *front_errno_text(int sys_errno);

#endif
