/* SPDX-License-Identifier: BSD-2-Clause */
/* What front.c and front_io.c share. */
#ifndef FRONT_IMPL_H
#define FRONT_IMPL_H

#include <stdatomic.h>

#include "cbd/shim/record.h"
#include "cbd/shim/runner.h"
#include "front.h"
#include "front_lanes.h"

struct front_export {
    struct front *front;
    struct cbd_backend_info info;
    char description[FRONT_TEXT_BYTES];
    char *backing;
    struct cbd_disk *file; /* the real disk */
    struct cbd_disk *disk; /* what the cache gets: the same, or a recorder around it */
    struct cbd_backend *backend;
    struct cbd_shim_runner *runner;
    unsigned recorded; /* its number in the record */
    struct front_lanes lanes;
    bool lanes_ready;
    bool readonly;
    bool node;
    bool fills;
};

struct front {
    const struct front_config *config;
    front_log_fn *log;
    void *log_arg;
    struct cbd_env *env;
    struct cbd_pmem *file;         /* the real one */
    struct cbd_pmem *pm;           /* what the cache gets: the same, or the recorder */
    struct cbd_recorder *recorder; /* or NULL */
    struct cbd_cache *cache;
    struct front_export exports[CBD_BACKENDS];
    unsigned count;
    atomic_bool closing;
};

#endif
