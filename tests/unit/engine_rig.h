/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole small cache on simulated devices, with a model of what every sector must read as. One
 * thread; whatever goes on beside a call goes on inside the environment's wait().
 *
 * Functions without `try` in their name fail the test when a call of core/ fails.
 */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "media.h"
#include "sector.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_pmem.h"

#define RIG_BACKENDS_MAX 32u
#define RIG_NO_VERSION (UINT64_MAX - 2)          /* in `maybe`: there is no other version */
#define RIG_MODEL_BYTES_MAX (UINT64_C(64) << 20) /* a larger disk has no model */

/* All zero: 4 MiB of pmem in 64 KiB segments, one backend of 1 MiB with 8 segments, one stream. */
struct rig_config {
    uint64_t pmem_bytes;
    uint32_t segment_bytes;
    uint64_t disk_bytes;
    uint32_t logical_block_bytes;
    uint32_t backends;
    uint32_t share_segments;
    uint32_t streams;
    bool no_data_checksum;
    bool recovers_in_parts; /* last part first */
    bool write_through;     /* the disk has no volatile cache */
    bool keeps_discarded;   /* a discard leaves anything behind */
    enum sim_model model;
    struct cbd_attach_options attach;
};

/* A completion, and how many requests had been submitted by then. */
struct rig_event {
    struct sim_disk_event ev;
    uint32_t backend;
    uint64_t submitted;
};

struct rig_port {
    struct rig *rig;
    uint32_t n;
};

struct rig_block;

struct rig {
    struct rig_config config;
    struct sim_env env; /* its memory is malloc's, so that tools see what is done to it */
    struct cbd_env_ops ops;
    const struct cbd_env_ops *sim_ops;
    struct sim_pmem *pmem;
    struct sim_disk *disk[RIG_BACKENDS_MAX];
    struct rig_port port[RIG_BACKENDS_MAX];
    struct cbd_super super; /* as formatted */
    struct cbd_geometry geo;
    struct cbd_cache *cache;
    struct cbd_backend *backend[RIG_BACKENDS_MAX];

    /* What the environment does; the test sets it. */
    bool background;   /* write-back and reclaim go on while somebody waits */
    bool random_order; /* of disk completions and steps */
    unsigned lane;
    uint64_t allocs;                    /* calls so far */
    uint64_t alloc_fail_at;             /* this call gets nothing; UINT64_MAX: none */
    bool (*on_progress)(struct rig *r); /* asked before everything else; may be NULL */

    /* What came of it. */
    uint64_t reports[CBD_ERROR + 1];
    struct cbd_report last[CBD_ERROR + 1];
    struct rig_event *trace;
    size_t trace_count, trace_cap;
    struct rig_block *blocks; /* memory that core/ has */

    /* The model: one version a sector, and one other that a call without success may have left. */
    uint64_t *want[RIG_BACKENDS_MAX];
    uint64_t *maybe[RIG_BACKENDS_MAX];
    uint64_t version;
    uint8_t *write_buf, *read_buf; /* of the call that runs; survive a cut */
    size_t write_cap, read_cap;

    jmp_buf cut;
    enum cbd_step cut_step;
    uint32_t cut_skip;
};

/* Devices without anything on them, then rig_format() and rig_add() for each backend. */
struct rig *rig_create_blank(const struct rig_config *config);
struct rig *rig_create(const struct rig_config *config);

/* Ends what still runs as an abandoned process ends; memory that is left then is a leak. */
void rig_destroy(struct rig *r);

void rig_format(struct rig *r, uint64_t salt);
void rig_add(struct rig *r, uint32_t n);

void rig_open(struct rig *r);
int rig_try_attach(struct rig *r, uint32_t n) CBD_MUST_CHECK; /* opens if need be */
void rig_attach(struct rig *r);                               /* all of them */
bool rig_degraded(struct rig *r);              /* attaches all: whether backend 0 is */
bool rig_is_lost(struct rig *r, uint64_t off); /* the record there is lost, says backend 0 */
void rig_detach(struct rig *r);
void rig_abandon(struct rig *r);

/* The process is gone at once; the devices go on, or lose their power as well. */
void rig_kill(struct rig *r);
void rig_power_cut(struct rig *r, enum sim_crash_kind kind);

/* Runs `run` until the pmem operation before `step` (after `skip` others); true: it came there. */
bool rig_cut_in(struct rig *r, enum cbd_step step, uint32_t skip, void (*run)(struct rig *r));

int rig_try_write(struct rig *r, uint32_t n, uint64_t off, uint64_t len,
                  unsigned flags) CBD_MUST_CHECK;
int rig_try_zero(struct rig *r, uint32_t n, uint64_t off, uint64_t len,
                 unsigned flags) CBD_MUST_CHECK;
int rig_try_read(struct rig *r, uint32_t n, uint64_t off, uint64_t len) CBD_MUST_CHECK;
void rig_write(struct rig *r, uint64_t off, uint64_t len, unsigned flags); /* backend 0 */
void rig_zero(struct rig *r, uint64_t off, uint64_t len, unsigned flags);
void rig_flush(struct rig *r);
void rig_read(struct rig *r, uint64_t off, uint64_t len);

void rig_check_all(struct rig *r);              /* every sector of every backend reads right */
void rig_check_disk(struct rig *r, uint32_t n); /* the disk alone holds what was written */
void rig_fsck(struct rig *r, bool clean);       /* core/check finds no error; clean: nothing */
struct cbd_stats rig_stats(struct rig *r);      /* of backend 0 */

bool rig_progress(struct rig *r);
int rig_step_to_idle(struct rig *r, uint32_t n) CBD_MUST_CHECK; /* steps and completions */
void rig_write_back(struct rig *r);                             /* everything, of backend 0 */

/* Media, for damage. */
struct cbd_segment_entry rig_entry(struct rig *r, uint32_t segment);
uint32_t rig_segment_with(struct rig *r, uint8_t status); /* the first one */
uint64_t rig_slot_off(const struct rig *r, uint32_t segment, uint32_t slot);
struct cbd_record rig_record(struct rig *r, uint32_t segment, uint32_t slot);
void rig_flip(struct rig *r, uint64_t off);
void rig_scribble(struct rig *r, uint64_t off, uint64_t len);

#endif
