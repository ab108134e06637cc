/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Seam: everything else core/ needs from the world: memory, time, random numbers, waiting, and a
 * place for reports. core/ makes no system call, starts no thread and reads no clock itself.
 */
#ifndef CBD_ENV_H
#define CBD_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

enum cbd_severity { CBD_INFO, CBD_WARNING, CBD_ERROR };

/* One finding, ready to be printed by whoever owns the terminal. Strings are static. */
struct cbd_report {
    enum cbd_severity severity;
    int error;            /* a code of errors.h, or 0 */
    const char *what;     /* "superblock", "segment entry", "record", ... */
    const char *sentence; /* what is wrong or what was done */
    uint64_t index;       /* which one: copy, segment, slot, backend */
    uint64_t off_bytes;   /* where on the media, UINT64_MAX when it has no place */
    uint64_t got;
    uint64_t limit; /* or the expected value */
};

enum cbd_yield {
    CBD_YIELD_LOCK, /* before a lock is taken */
    CBD_YIELD_SPIN, /* a lock or a grace period is held up by somebody else */
};

struct cbd_env;

struct cbd_env_ops {
    /* 64-byte aligned, uninitialised; NULL when there is none. */
    void *(*alloc)(struct cbd_env *env, size_t len_bytes);
    void (*free)(struct cbd_env *env, void *p, size_t len_bytes);
    uint64_t (*now_ns)(struct cbd_env *env); /* monotonic */
    uint64_t (*random)(struct cbd_env *env);
    void (*report)(struct cbd_env *env, const struct cbd_report *report);
    /*
     * Returns 0 as soon as ready(arg) holds, CBD_E_TIMEDOUT when it did not hold for timeout_ns.
     * Meanwhile disk completions and background steps go on. No lock is held by the caller.
     */
    int (*wait)(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns);
    void (*wake)(struct cbd_env *env);                      /* something a wait() may look at changed */
    void (*yield)(struct cbd_env *env, enum cbd_yield why); /* may be NULL */
    /*
     * Calls job(arg, n) once for each n below count, in any order and side by side, and returns when
     * all have returned. The other operations may be called by all of them. NULL: there is one
     * processor, the core does one thing at a time.
     */
    void (*run)(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg, unsigned count);
};

struct cbd_env {
    const struct cbd_env_ops *ops;
};

#endif
