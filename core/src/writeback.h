/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of write-back share: the pass that is running, and what the next one is for. */
#ifndef CBD_WRITEBACK_H
#define CBD_WRITEBACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cbd/cache.h"
#include "media.h"
#include "tree.h"

#define CBD_WB_BUFFER_BYTES (256u << 10)          /* the largest request that carries data */
#define CBD_WB_ZERO_BYTES_MAX (UINT64_C(4) << 30) /* the largest discard or write-zeroes */
#define CBD_WB_AGE_MARKS 4u

struct cbd_backend;

enum cbd_wb_phase {
    CBD_WB_IDLE,
    CBD_WB_WRITE,
    CBD_WB_FLUSH,
    CBD_WB_HELD,
    CBD_WB_COMMIT,
};

struct cbd_wb_io {
    struct cbd_disk_io io;
    struct cbd_backend *backend;
    uint8_t *buf;    /* NULL until the queue has been this deep */
    uint64_t credit; /* what its completion pays to writers that wait */
    bool news;       /* no earlier pass of this epoch had sent it */
    atomic_bool busy;
};

/* Everything that was dirty at `since_ns` has this epoch or a lower one. */
struct cbd_wb_mark {
    uint64_t epoch;
    uint64_t since_ns;
};

/* Owned by whoever runs the write-back step; the completions touch only the atomics. */
struct cbd_writeback {
    enum cbd_wb_phase phase;
    uint64_t epoch;  /* the last one that is being written */
    uint64_t pos;    /* next sector to submit */
    uint64_t bytes;  /* dirty payload that this pass retires */
    uint64_t space;  /* the space of the same */
    uint64_t weight; /* of all requests of this pass: what the credits are shares of */
    uint64_t weight_done;
    atomic_ullong retired_bytes; /* by all passes */
    atomic_ullong retired_space;
    struct cbd_tree_pool pool;
    struct cbd_tree tree; /* newest version of each address within what is written */
    uint32_t cursor_segment[CBD_STREAMS_MAX]; /* where collecting stopped */
    uint32_t cursor_slot[CBD_STREAMS_MAX];
    struct cbd_wb_io io[CBD_QUEUE_DEPTH_MAX];
    struct cbd_disk_io flush;
    atomic_bool flush_busy;
    atomic_uint inflight;
    atomic_ullong completions; /* the last thing that a completion touches */
    uint64_t submitted;
    atomic_ullong advances; /* what brought E nearer: for those who wait for space */
    atomic_bool retrying; /* this epoch has failed before: its writes up to `reached` are no news */
    uint64_t reached;     /* the sector up to which passes of it have come */
    uint64_t completions_seen; /* before the last step of a drain */
    atomic_int error;
    int hold_error;       /* why something could not be read */
    atomic_bool asleep;   /* the last step found nothing to do */
    atomic_ullong due_ns; /* when time alone brings work */
    struct cbd_stats stats;

    /* when to write (wb_policy.c) */
    int64_t tokens;       /* bytes that the rate allows now */
    uint64_t tokens_rest; /* and millionths of one */
    uint64_t tokens_ns;
    uint64_t requests_seen;
    uint64_t idle_since_ns;
    struct cbd_wb_mark marks[CBD_WB_AGE_MARKS];
    uint32_t mark_count;

    /* carry.c */
    atomic_ullong carry_below; /* reclaim is stopped by something dirty below; 0: it is not */
    uint64_t carry_credit;     /* space that may be carried */
    uint64_t carry_freed;      /* segments reclaimed when it was counted */
    uint64_t carry_none;       /* below which nothing was found to carry; 0: something was */
};

/* What a pass may take, decided before it starts. */
struct cbd_wb_plan {
    bool wanted;       /* closed epochs */
    bool close;        /* the open epoch too */
    bool for_reclaim;  /* the open one only because reclaim is stopped by it */
    uint64_t age_upto; /* everything up to this epoch is too old; 0: nothing is */
};

/* wb_policy.c */
struct cbd_wb_plan cbd_wb_plan(struct cbd_backend *b);
bool cbd_wb_rate_allows(struct cbd_backend *b);
void cbd_wb_rate_spend(struct cbd_backend *b, uint64_t bytes);

/* wb_collect.c */
int cbd_wb_oldest(struct cbd_backend *b, uint64_t *oldest) CBD_MUST_CHECK;
int cbd_wb_collect(struct cbd_backend *b, uint64_t first, uint64_t last) CBD_MUST_CHECK;
void cbd_wb_advance_cursors(struct cbd_backend *b);

/* wb_submit.c */
struct cbd_wb_io *cbd_wb_idle_io(struct cbd_backend *b);
void cbd_wb_submit(struct cbd_backend *b, struct cbd_wb_io *wio);
void cbd_wb_submit_flush(struct cbd_backend *b);
uint64_t cbd_wb_weight(const struct cbd_backend *b);

#endif
