/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated backing device: the disk seam over one version per 512-byte sector, with a
 * volatile cache that a power cut empties. docs/crash-model.md says what it assumes.
 *
 * submit() only queues. A request takes effect, and its done() is called, when the scheduler says
 * sim_disk_complete(). Everything here is owned by one thread.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "cbd/disk.h"
#include "sector.h"
#include "sim_content.h"
#include "sim_crash.h"
#include "sim_marks.h"
#include "sim_ranges.h"

#define SIM_DISK_OPS (CBD_DISK_ZERO + 1)

/* One completion, before it takes effect. */
struct sim_disk_event {
    uint64_t number;  /* completions before it: the first has 0 */
    uint64_t request; /* number of the submission, from 1 */
    enum cbd_disk_op op;
    bool fua;
    uint64_t off_bytes;
    uint64_t len_bytes;
};

/* A queued request. Private, except to tests. */
struct sim_disk_request {
    struct cbd_disk_io *io;
    uint64_t number;      /* from 1, in the order of submission */
    uint64_t flush_below; /* FLUSH: what completed before it, by number of the change */
    int error;            /* found wrong at submission */
    uint32_t refs;        /* the queue and the marks */
    /* as it was submitted; io may be gone when the power is cut */
    enum cbd_disk_op op;
    bool fua;
    uint64_t off_bytes, len_bytes;
    uint64_t versions[]; /* WRITE: one a sector */
};

struct sim_disk_queue {
    struct sim_disk_request **items;
    size_t count, cap;
};

/* The next `skip` requests of a kind pass, the `count` behind them fail. */
struct sim_disk_fault {
    uint64_t skip, count;
};

enum sim_disk_lie {
    SIM_DISK_HONEST,
    SIM_DISK_MUTE,     /* what fails is reported as done: as if nobody looked at errors */
    SIM_DISK_MISPLACE, /* a write that would fail goes to the wrong place, and is reported as done */
};

/* What a mark restores besides content and pending set. */
struct sim_disk_state {
    uint64_t completions;         /* also those that failed */
    uint64_t submissions;         /* numbers requests */
    uint64_t changes;             /* numbers what goes into the pending set */
    uint64_t by_op[SIM_DISK_OPS]; /* completions */
    uint64_t changed_in_flight;   /* sectors whose buffer changed between submit and completion */
    struct sim_disk_fault fault[SIM_DISK_OPS];
    bool gone;
    enum sim_disk_lie lie;
    uint64_t failed;       /* completions that had an error, or should have had one */
    uint64_t content_hash; /* of what a read would return: a function of the content alone */
};

struct sim_disk_level {
    struct sim_disk_state state;
    struct sim_disk_queue queue;
    struct sim_ranges latent;
};

struct sim_disk {
    struct cbd_disk disk; /* what core/ gets; first */

    /* The caller's. Called before each completion takes effect; may longjmp away. */
    void (*hook)(void *arg, const struct sim_disk_event *ev);
    void *hook_arg;
    /* Called before a request is queued: other logical threads may run. */
    void (*pause)(void *arg, const struct cbd_disk_io *io);
    void *pause_arg;

    struct sim_disk_state state; /* results: completions, by_op, changed_in_flight */

    /* Private. */
    struct sim_content content;
    struct sim_disk_queue queue;
    struct sim_ranges latent; /* unreadable sectors */
    struct sim_marks marks;
    struct sim_disk_level level[SIM_MARKS_DEPTH_MAX];
};

struct sim_disk_config {
    uint64_t size_bytes; /* multiple of the logical block, at most 16 TiB */
    uint32_t logical_block_bytes;
    bool volatile_cache;
    bool discard_zeroes;
};

/* Every sector has version SIM_VERSION_INITIAL. Never NULL. */
struct sim_disk *sim_disk_create(const struct sim_disk_config *config);
void sim_disk_destroy(struct sim_disk *disk);

/* Requests in flight, in the order of submission. */
size_t sim_disk_inflight(const struct sim_disk *disk);

/* What the k-th in-flight request is; `number` is not set. k < sim_disk_inflight(). */
struct sim_disk_event sim_disk_inflight_at(const struct sim_disk *disk, size_t k);

/* The k-th in-flight request takes effect, leaves the queue, and then its done() is called. */
void sim_disk_complete(struct sim_disk *disk, size_t k);

/*
 * Power cut: every sector keeps its durable version or gets any later one, in flight included.
 * In-flight requests are forgotten without done(): the process that waits for it is dead.
 */
void sim_disk_crash(struct sim_disk *disk, const struct sim_crash *crash);

/*
 * The first half of a power cut: the requests in flight are pending like what is in the volatile
 * cache, and forgotten. *view: the newest versions, for sim_lazy_mem_add().
 */
void sim_disk_lose_power(struct sim_disk *disk, struct sim_pend_view *view);

/* As sim_pmem_pending_units() and sim_pmem_crash_bits(). Units: sectors not durable. */
size_t sim_disk_pending_units(struct sim_disk *disk, uint64_t *choices, size_t cap);
void sim_disk_crash_bits(struct sim_disk *disk, const uint64_t *choice_per_unit);

/*
 * The process was killed and the disk has power: the kernel ends what is in flight, in the order
 * of submission, and nobody hears of it. What was in the volatile cache stays there.
 */
void sim_disk_kill(struct sim_disk *disk);

/*
 * Nested checkpoints; rollback ends the innermost mark. Content, pending set, queue (the same
 * requests), counters and faults are as they were at the mark.
 */
void sim_disk_mark(struct sim_disk *disk);
void sim_disk_rollback(struct sim_disk *disk);

/* The version that a read would return now (volatile view); in sectors. */
uint64_t sim_disk_peek(const struct sim_disk *disk, uint64_t sector);

/* Changes the medium itself: durable at once. For changes behind the cache's back. */
void sim_disk_poke(struct sim_disk *disk, uint64_t sector, uint64_t version);

/*
 * Iterates over the sectors that were ever written or discarded, by address: start with 0, go on
 * with *found + 1. False at the end. A sector may be listed although its write was lost.
 */
bool sim_disk_next_touched(const struct sim_disk *disk, uint64_t sector, uint64_t *found);

/* Reads of these sectors fail with CBD_E_IO until they are written. */
void sim_disk_set_latent_error(struct sim_disk *disk, uint64_t sector, uint64_t count);

/*
 * After `skip` more completions of this kind, the next `count` fail with CBD_E_IO. A failed write
 * changed any part of its sectors (a fixed choice). A failed flush lost what the disk had cached, or
 * a part of that (a fixed choice), and the rest is durable: who gets the error has to write again.
 */
void sim_disk_fail_next(struct sim_disk *disk, enum cbd_disk_op op, uint64_t skip, uint64_t count);

/* While gone, every completion fails with CBD_E_IO and changes nothing. */
void sim_disk_set_gone(struct sim_disk *disk, bool gone);

/* What becomes of requests that fail by the calls above. A read that is reported as done although
 * it failed leaves its buffer as it was. */
void sim_disk_set_lie(struct sim_disk *disk, enum sim_disk_lie lie);

/* No fault is left: nothing fails any more, no sector is unreadable, the disk is there. */
void sim_disk_heal(struct sim_disk *disk);

#endif
