/* SPDX-License-Identifier: BSD-2-Clause */
/* The state in memory: cache, backends, segments, streams, lanes. docs/design.md draws it. */
#ifndef CBD_STATE_H
#define CBD_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cbd/cache.h"
#include "cbd/canary.h"
#include "count.h"
#include "lock.h"
#include "media.h"
#include "report.h"
#include "tree.h"
#include "writeback.h"

#define CBD_NO_SEGMENT UINT32_MAX
#define CBD_REGION_SECTORS (CBD_REGION_BYTES / CBD_SECTOR_BYTES)
/*
 * What recovery goes on counting from. Only forged media hold more, and a count that began there
 * could pass what media may hold. A check reports it, an attach refuses it.
 */
#define CBD_ORDER_START_MAX (CBD_ORDER_MAX / 2)
#define CBD_EPOCH_START_MAX (CBD_EPOCH_MAX / 2)
#define CBD_GENERATION_START_MAX (CBD_GENERATION_MAX / 2)
#define CBD_LANE_RECLAIM CBD_LANES     /* of the copies that reclaim makes */
#define CBD_LANE_SCRUB (CBD_LANES + 1) /* of the one reader that scrub is */
#define CBD_LANE_CARRY                                                                             \
    (CBD_LANES + 2) /* of the copies that write-back makes, and those behind it */
#define CBD_LANES_ALL (CBD_LANE_CARRY + CBD_STREAMS_MAX)

/* One segment. A stream owns its open one; the rest is written under the backend's table lock. */
struct cbd_segment {
    /* A line for each: what two streams append to is not next to each other. */
    _Alignas(64) struct cbd_segment_entry entry; /* what both copies on the media hold */
    uint32_t record_seed;                        /* of the current generation */
    uint32_t header_seed;
    uint32_t records;     /* slots in use */
    uint32_t payload_end; /* first byte that no payload uses */
    uint32_t written;     /* slots below need no write-back any more */
    uint32_t next;        /* in the free list or in the list of its stream */
    bool listed;          /* in the list of its stream: write-back has not passed it */
    bool cold;            /* clean, and none of its records is in the index: warm.c */
    uint64_t order_min;   /* UINT64_MAX while empty */
    uint64_t order_max;
    uint64_t epoch_max;
};

/* One appender. Everything here is under its lock, but the atomics may be read without it. */
struct cbd_stream {
    _Alignas(64) struct cbd_lock lock;
    uint32_t segment;            /* open segment or CBD_NO_SEGMENT */
    uint32_t durable;            /* sync.c: its slots below are durable, */
    uint32_t durable_end;        /* and the payload below */
    uint32_t wb_head;            /* oldest segment with slots that were not written back */
    uint32_t wb_tail;            /* the last one; the open segment when there is one */
    atomic_ullong dirty_epoch;   /* epoch of the last dirty record */
    atomic_ullong dirty_bytes;   /* ever inserted */
    atomic_ullong dirty_records; /* ever inserted */
    atomic_ullong dirty_space;   /* ever inserted: with records and headers */
    atomic_ullong check_at;      /* dirty_space at which its writer looks at the marks again */
};

struct cbd_index_tree {
    _Alignas(64) struct cbd_lock lock;
    struct cbd_tree tree;
    struct cbd_tree_pool pool;
    uint64_t last_order;
};

/* A reader that copies from pmem announces itself here; one line for each lane. */
struct cbd_lane {
    _Alignas(64) atomic_ullong reading; /* grace count when it started, 0: not reading */
    atomic_ullong requests;             /* ever begun */
    struct cbd_stats stats;             /* the counters of this lane */
    uint64_t ticket;                    /* in line at max_dirty_bytes; 0: not; under gate_lock */
    uint64_t paying;                    /* pressure.c: the request that paid last */
    uint64_t patience; /* it pays no longer than until so many epochs are on the disk */
};

/* Options that hold (tune.c), and what follows from them. Read at any time by anybody. */
struct cbd_tuned {
    struct cbd_lock lock; /* of those who change them */
    struct cbd_attach_options options;
    atomic_ullong space_timeout_ns;
    atomic_uint epoch_records_max;
    atomic_ullong epoch_bytes_max;
    atomic_ullong start_space;  /* dirty space from which on epochs are written */
    atomic_ullong urgent_space; /* the open one as well, and writers begin to pay */
    atomic_ullong full_space;   /* writers pay all of what they write */
    atomic_ullong rate_bytes;
    atomic_ullong idle_ns;
    atomic_ullong max_age_ns;
    atomic_ullong max_dirty_bytes;
    atomic_uint queue_depth;
    atomic_bool coalesce; /* backend_consistency=off */
    atomic_ullong scrub_rate_bytes;
};

/* Writers that wait for write-back (pressure.c). */
struct cbd_pressure {
    _Alignas(64) atomic_bool paced; /* writers pay; read by every writer */
    atomic_bool stalled;            /* write-back does not get on: paying is of no use */
    _Alignas(64) atomic_ullong due; /* space that was asked for since paced */
    atomic_ullong paid;             /* space whose write-back has completed */
    struct cbd_lock gate_lock;      /* max_dirty_bytes only */
    uint64_t reserved;              /* payload that was let in and is not inserted yet */
    uint64_t tickets;               /* ever given to those who had to wait at the gate */
    uint32_t waiting;               /* who stand in line there */
};

struct cbd_warm_segment {
    uint32_t id;
    uint32_t slots; /* in use at the attach */
    uint64_t order_max;
};

/* warm.c: what is cached and not in the index yet. Owned by whoever runs the reclaim step. */
struct cbd_warm {
    struct cbd_warm_segment *segments; /* open ones, then closed ones, highest order first */
    uint32_t capacity, count;
    uint32_t next;  /* the first that was not read */
    uint64_t above; /* records of higher order are in the index */
    uint64_t epoch; /* E at the attach: no record is of a later one */
};

/* Dirty ranges that cannot be read (wb_hold.c). */
struct cbd_hold {
    struct cbd_lock lock;
    struct cbd_range *ranges;  /* by address; CBD_HELD_MAX */
    struct cbd_range *forgone; /* given up by the caller; CBD_HELD_MAX */
    uint32_t count;
    uint32_t forgone_count;
    bool more;        /* there are others, which had no room */
    bool ever;        /* some pass of this epoch was held; owned by the write-back step */
    atomic_bool held; /* everything else of the epoch is on the disk */
};

/* scrub.c. Owned by whoever runs the scrub step. */
struct cbd_scrub {
    uint32_t tree; /* the next to verify: sector `pos` of this tree */
    uint64_t pos;
    bool running;        /* within a pass */
    uint64_t pass_at_ns; /* no pass begins before */
    uint64_t debt_bytes; /* verified since since_ns, and not paid by time yet */
    uint64_t since_ns;
    atomic_ullong due_ns; /* when time alone brings work */
    uint8_t *buf;         /* NULL until the first step that needs it */
    struct cbd_stats stats;
};

/* A segment and the stream that it was opened by. */
struct cbd_segment_ref {
    uint32_t id;
    uint32_t stream;
};

/* A record that was durable and is damaged: lost.c */
struct cbd_lost {
    uint32_t segment;
    uint32_t slot;
    uint64_t off_bytes;
    uint64_t order_max; /* that it can have had */
    uint64_t epoch_max;
    uint64_t addr; /* 0 and 0 when not known */
    uint64_t len;
    bool known;
    bool fill;
    bool clean; /* costs nothing */
};

struct cbd_backend {
    /* immutable after attach */
    struct cbd_cache *cache;
    uint32_t id;
    struct cbd_disk *disk;
    struct cbd_attach_options options; /* as given; what holds now is in `tuned` */
    uint64_t size_bytes;
    uint32_t piece_bytes_max;
    uint32_t tree_bits;
    struct cbd_index_tree *trees;
    struct cbd_stream *streams;
    struct cbd_lane *lanes;
    uint32_t stream_count;
    struct cbd_lost *lost;
    uint32_t lost_count, lost_cap;
    struct cbd_range *doubts; /* doubt.c */
    uint32_t doubt_count, doubt_cap;

    /* read by every writer, written at a flush */
    _Alignas(64) atomic_ullong epoch;
    atomic_ullong era;
    atomic_ullong horizon_next;    /* records of lower order are being forgotten */
    atomic_ullong grace;           /* counts reclaims, for readers */
    atomic_int failed;             /* no more stores: pmem is not to be trusted; READONLY: L3 */
    atomic_ullong records_closed;  /* dirty records when an epoch was last closed */
    atomic_ullong space_closed;    /* dirty space then */
    atomic_ullong carried_records; /* carry.c: ever, counted a second time as their copies */
    atomic_ullong carried_space;
    atomic_ullong epochs_forced;
    atomic_bool drain;
    atomic_bool urgent; /* reclaim waits for write-back */

    /* under table_lock: segments, free list, backend state */
    _Alignas(64) struct cbd_lock table_lock;
    struct cbd_backend_state state;
    uint32_t free_head;
    atomic_uint free_count;

    struct cbd_tuned tuned;
    struct cbd_pressure pressure;
    struct cbd_hold hold;

    /* owned by the step functions */
    struct cbd_writeback wb;
    struct cbd_stats reclaim_stats;
    struct cbd_segment_ref *in_use; /* room for its whole share */
    struct cbd_warm warm;
    struct cbd_scrub scrub;

    /* sync.c */
    bool unfenced; /* durability=flush; immutable */
    struct cbd_lock sync_lock;
    atomic_ullong passes_begun;
    uint64_t passes_ended; /* under sync_lock: the last that succeeded */

    /* keep.c; NULL when nothing gets a second chance */
    atomic_uchar *reads;  /* the cache's: one for each 4 KiB */
    uint8_t *keep_buf;    /* what is being copied forward */
    uint64_t keep_credit; /* bytes that may be copied; owned by the reclaim step */
};

struct cbd_cache {
    struct cbd_pmem *pm;
    struct cbd_env *env;
    bool readonly;
    atomic_int failed; /* a fence failed: no table entry is stored any more */
    struct cbd_super super;
    uint32_t bad_supers; /* copies that cannot be used; bit n is copy n */
    uint32_t seed;
    uint32_t block_seed;                /* of the checksums of payload blocks */
    struct cbd_backend_config *configs; /* CBD_BACKENDS */
    struct cbd_backend_state *states;
    struct cbd_backend *attached[CBD_BACKENDS];
    struct cbd_segment *segments;
    atomic_uchar *reads; /* how often each 4 KiB behind data_off was read; NULL: nobody counts */
};

/* A lane has one caller at a time. */
static inline void cbd_count_request(struct cbd_lane *lane)
{
    uint64_t n = atomic_load_explicit(&lane->requests, memory_order_relaxed);

    atomic_store_explicit(&lane->requests, n + 1, memory_order_relaxed);
}

static inline bool cbd_checksums_used(const struct cbd_cache *c)
{
    return (c->super.incompat & CBD_INCOMPAT_DATA_CHECKSUMS) != 0;
}

/* Whether there is data that could be verified: a metadata image has none. */
static inline bool cbd_checksums(const struct cbd_cache *c)
{
    return (c->super.incompat & (CBD_INCOMPAT_DATA_CHECKSUMS | CBD_INCOMPAT_METADATA_ONLY)) ==
           CBD_INCOMPAT_DATA_CHECKSUMS;
}

#define CBD_TREE_BITS_MAX 10u

/* One tree for each 16 MiB of a share, so that a tree has a few thousand extents when full. */
static inline uint32_t cbd_tree_bits_of(uint64_t share_bytes)
{
    uint32_t bits = 0;

    while (bits < CBD_TREE_BITS_MAX && (UINT64_C(16) << 20) << bits < share_bytes)
        bits++;
    return bits;
}

/* The first byte behind a payload where the next header may stand. */
static inline uint32_t cbd_payload_end(uint32_t payload_off, uint64_t len)
{
    return (uint32_t)(payload_off + len + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
}

static inline uint64_t cbd_min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
