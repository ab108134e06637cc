/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One simulated machine: a pmem, a disk and an oracle for each backend, and the process that runs
 * the cache on them. Requests go in one after the other; a seeded scheduler decides what happens
 * in between: disk completions in any order, write-back steps, reclaim steps.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "cbd/cache.h"
#include "oracle.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_pmem.h"
#include "trace/trace.h"

#define SIM_BACKENDS_MAX 4u
#define SIM_REQUEST_BYTES_MAX (UINT64_C(1) << 20) /* larger ones are cut */

struct sim_config {
    uint64_t seed;
    uint64_t cache_bytes;
    uint32_t segment_bytes;
    uint32_t streams;
    uint32_t trees;
    uint32_t backends;
    uint64_t disk_bytes[SIM_BACKENDS_MAX];
    uint32_t logical_block_bytes;
    uint32_t dirty_start_percent;
    uint32_t epoch_records_max; /* 0: the engine's default */
    bool no_data_checksum;
    bool disk_write_through;   /* the disk has no volatile cache */
    bool disk_keeps_discarded; /* a discard does not zero */
    enum sim_model model;
    enum cbd_step drop_step;
};

/*
 * Logical threads: a fence orders only what its own thread has stored. Requests use 0..3 by lane.
 */
enum sim_thread {
    SIM_THREAD_REQUESTS = 4, /* how many */
    SIM_THREAD_WRITEBACK = 4,
    SIM_THREAD_RECLAIM = 5,
    SIM_THREAD_START = 6, /* opening and attaching */
};

/* A cache process on the world's devices. */
struct sim_process {
    struct sim_env env;
    struct cbd_cache *cache;
    struct cbd_backend *backend[SIM_BACKENDS_MAX];
    struct sim_world *world;
    struct sim_rng rng; /* of the scheduler */
    bool background;    /* steps of write-back and reclaim run while it waits */
    uint8_t *buf;       /* of one request: SIM_REQUEST_BYTES_MAX */
    uint64_t *versions; /* one for each of its sectors */
};

struct sim_world {
    struct sim_config config;
    struct sim_pmem *pmem;
    struct sim_disk *disk[SIM_BACKENDS_MAX];
    struct sim_oracle *oracle[SIM_BACKENDS_MAX];
    struct sim_process main;
    struct cbd_geometry geo;
    uint32_t atomic_sectors;
    uint64_t requests[SIM_REQUEST_OP_COUNT];
    uint64_t bytes[SIM_REQUEST_OP_COUNT];
    uint64_t requests_failed;
    int error; /* a call failed that must not: the run is worthless from here on */
    const char *error_where;
    struct sim_oracle_violation violation; /* of a read in the run itself; promise NONE: none */
    uint32_t violation_backend;
};

/* Formats the pmem, adds the backends, attaches them. 0 or an error of core/. */
int sim_world_create(struct sim_world *w, const struct sim_config *config) CBD_MUST_CHECK;
void sim_world_destroy(struct sim_world *w);

/*
 * Runs one request in the main process: rounds it to logical blocks, cuts it to the device, tells
 * the oracle, lets the background run. False: the run must stop, see error and violation.
 */
bool sim_world_request(struct sim_world *w, const struct sim_request *request) CBD_MUST_CHECK;

/* Writes everything back, as long as the disks let it. The backends stay attached. */
void sim_world_drain(struct sim_world *w);

/* Writes everything back and detaches; then compares each disk with its oracle (P5). */
bool sim_world_finish(struct sim_world *w) CBD_MUST_CHECK;

/* A process that is not started yet; its memory comes with it. */
void sim_process_init(struct sim_process *p, struct sim_world *w, uint64_t seed);
void sim_process_destroy(struct sim_process *p);

/*
 * Opens the cache and attaches every backend, as after a crash; whatever the process had in memory
 * is gone. 0 or the first error and, in *where, what failed.
 */
int sim_process_start(struct sim_process *p, struct sim_world *w, uint64_t seed, bool fills,
                      const char **where) CBD_MUST_CHECK;

/* Lets one thing happen; false: nothing can. */
bool sim_process_progress(void *process);

/* Numbered steps so far: pmem operations and disk completions. */
uint64_t sim_world_steps(const struct sim_world *w);

/* Saves and restores pmem and disks; nested. */
void sim_world_mark(struct sim_world *w);
void sim_world_rollback(struct sim_world *w);

/* A power cut on all devices at once. */
void sim_world_power_cut(struct sim_world *w, const struct sim_crash *crash);

/* Only the process dies. */
void sim_world_kill(struct sim_world *w);

/* Reads [start, start+sectors) through the cache into versions of the oracle. 0 or an error. */
int sim_process_read(struct sim_process *p, uint32_t backend, uint64_t start_sector,
                     uint64_t sectors, uint64_t *versions) CBD_MUST_CHECK;

#endif
