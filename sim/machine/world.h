/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One simulated machine: a pmem, a disk and an oracle for each backend, and the process that runs
 * the cache on them. With the schedule `serial` requests go in one after the other, and a seeded
 * draw decides what happens in between: disk completions in any order, write-back steps, reclaim
 * steps. The other schedules run all that as logical threads: see sim_sched.h.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "cbd/cache.h"
#include "cbd/canary.h"
#include "oracle.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_fault.h"
#include "sim_pmem.h"
#include "trace/trace.h"

#define SIM_BACKENDS_MAX 4u
#define SIM_REQUEST_BYTES_MAX (UINT64_C(1) << 20) /* larger ones are cut */
#define SIM_CLIENTS_MAX 32u
#define SIM_STUCK_BYTES 1024u

enum sim_schedule {
    SIM_SCHEDULE_SERIAL, /* one request at a time, background in between */
    SIM_SCHEDULE_RANDOM, /* logical threads; a draw at every step says who goes on */
    SIM_SCHEDULE_PCT,    /* logical threads with priorities that change at a few steps */
    SIM_SCHEDULE_COUNT,
};

enum sim_without {
    SIM_WITHOUT_NESTED = 1 << 0,    /* a power cut inside recovery */
    SIM_WITHOUT_KILL = 1 << 1,      /* the death of the process alone */
    SIM_WITHOUT_LOST_COPY = 1 << 2, /* a copy of metadata that is garbage */
    SIM_WITHOUT_LATER = 1 << 3,     /* a power cut inside what the recovered cache does */
};

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
    uint32_t disk_errors;      /* before one request in this many a disk request is made to fail */
    enum sim_model model;
    enum cbd_step drop_step;
    enum sim_schedule schedule;
    uint32_t clients;          /* requests in flight at most, unless serial: 1 .. SIM_CLIENTS_MAX */
    uint32_t depth;            /* PCT: change points + 1; 0 counts as 1 */
    uint64_t space_timeout_ns; /* 0: the engine's default */
    uint32_t faults;           /* bit f: enum sim_fault f strikes */
    bool faults_mute;          /* for tests: errors of disks do not reach the engine */
    uint32_t without;          /* bits of enum sim_without: what crash states do not have besides */
    enum cbd_replacement replacement;
    enum cbd_canary_id canary; /* in a build that has them; for sim_try_run() */
    bool quiet;                /* serial: between requests nothing happens by itself */
    enum cbd_durability durability;
};

/*
 * Threads as the pmem knows them: a fence orders only what its own thread has stored. Client c has
 * number c; the requests of the serial schedule share four of them, by lane.
 */
enum sim_thread {
    SIM_THREAD_SERIAL = 4,                  /* how many */
    SIM_THREAD_WRITEBACK = SIM_CLIENTS_MAX, /* and the number of the backend */
    SIM_THREAD_RECLAIM = SIM_THREAD_WRITEBACK + SIM_BACKENDS_MAX,
    SIM_THREAD_START = SIM_THREAD_RECLAIM + SIM_BACKENDS_MAX, /* opening and attaching */
};

/* Somebody who has one request at a time under way. */
struct sim_client {
    unsigned lane;
    uint8_t *buf;       /* of one request: SIM_REQUEST_BYTES_MAX */
    uint64_t *versions; /* one for each of its sectors */
};

struct sim_sched;

/* A cache process on the world's devices. */
struct sim_process {
    struct sim_env env;
    struct cbd_cache *cache;
    struct cbd_backend *backend[SIM_BACKENDS_MAX];
    struct sim_world *world;
    struct sim_rng rng; /* of the scheduler */
    bool background;    /* steps of write-back and reclaim run while it waits */
    struct sim_client client;
    struct sim_sched *sched; /* NULL: serial */
};

/* Where requests come from. next(): 1 one, 0 the end, negative an error. */
struct sim_feed {
    int (*next)(void *arg, struct sim_request *request);
    void *arg;
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
    char stuck[SIM_STUCK_BYTES]; /* who waits where, when the run got stuck; else empty */
    struct sim_faults faults;
    bool stop; /* set by a hook: sim_world_run() shall return */
};

/* Formats the pmem, adds the backends, attaches them. 0 or an error of core/. */
int sim_world_create(struct sim_world *w, const struct sim_config *config) CBD_MUST_CHECK;
void sim_world_destroy(struct sim_world *w);

/*
 * Runs all requests of the feed in the main process, by the schedule of the configuration, in the
 * order in which they come; so many as there are clients are under way at a time. Hooks of pmem and
 * disks are called on the caller's stack, before each step, and may longjmp() away: then the only
 * thing left to do with the main process is to start it again. They may also set w->stop.
 * 0 with no request under way, unless w->stop or sim_world_failed(); or the feed's error.
 */
int sim_world_run(struct sim_world *w, const struct sim_feed *feed) CBD_MUST_CHECK;

/* A request failed, a read was wrong, or nobody could go on: see error, violation and stuck. */
bool sim_world_failed(const struct sim_world *w);

/*
 * One request of one client: rounds it to logical blocks, cuts it to the device, tells the oracle.
 * False: the run must stop.
 */
bool sim_client_serve(struct sim_world *w, struct sim_client *client,
                      const struct sim_request *request) CBD_MUST_CHECK;

/* Serial: one request, and what happens behind it. False: the run must stop. */
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

/* Attaches a backend that is not; an error of core/. */
int sim_process_attach(struct sim_process *p, uint32_t backend, bool fills) CBD_MUST_CHECK;

/* Lets one thing happen; false: nothing can. */
bool sim_process_progress(void *process);

/* Numbered steps so far: pmem operations and disk completions. */
uint64_t sim_world_steps(const struct sim_world *w);

/* Saves and restores pmem and disks; nested. */
void sim_world_mark(struct sim_world *w);
void sim_world_rollback(struct sim_world *w);

/* A power cut on all devices at once. Disks that were about to fail are in order after it. */
void sim_world_power_cut(struct sim_world *w, const struct sim_crash *crash);

/* Only the process dies. */
void sim_world_kill(struct sim_world *w);

/* Reads [start, start+sectors) through the cache into versions of the oracle. 0 or an error. */
int sim_process_read(struct sim_process *p, uint32_t backend, uint64_t start_sector,
                     uint64_t sectors, uint64_t *versions) CBD_MUST_CHECK;

void sim_client_init(struct sim_client *client, unsigned lane);
void sim_client_destroy(struct sim_client *client);

/* "serial", "random", "pct"; false: none of these. */
const char *sim_schedule_name(enum sim_schedule schedule);
bool sim_schedule_parse(const char *name, enum sim_schedule *schedule);

#endif
