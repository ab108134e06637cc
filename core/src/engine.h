/* SPDX-License-Identifier: BSD-2-Clause */
/* The state in memory that the modules of the engine share. docs/design.md draws it. */
#ifndef CBD_ENGINE_H
#define CBD_ENGINE_H

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

/* twin.c: a structure with two copies */
struct cbd_twin {
    uint64_t place; /* offset within a table */
    uint32_t len_bytes;
};

enum cbd_twin_step_group {
    CBD_TWIN_BACKEND_CONFIG = CBD_STEP_BACKEND_CONFIG_A_COPY,
    CBD_TWIN_BACKEND_STATE = CBD_STEP_BACKEND_STATE_A_COPY,
    CBD_TWIN_SEGMENT_ASSIGN = CBD_STEP_SEGMENT_ASSIGN_A_COPY,
    CBD_TWIN_SEGMENT_DETACH = CBD_STEP_SEGMENT_DETACH_A_COPY,
    CBD_TWIN_SEGMENT_OPEN = CBD_STEP_SEGMENT_OPEN_A_COPY,
    CBD_TWIN_SEGMENT_CLOSE = CBD_STEP_SEGMENT_CLOSE_A_COPY,
    CBD_TWIN_EPOCH = CBD_STEP_EPOCH_A_COPY,
    CBD_TWIN_HORIZON = CBD_STEP_HORIZON_A_COPY,
    CBD_TWIN_RECOVER_STATE = CBD_STEP_RECOVER_STATE_A_COPY,
};

int cbd_twin_write(struct cbd_cache *c, struct cbd_twin twin, const void *bytes,
                   enum cbd_twin_step_group steps) CBD_MUST_CHECK;
int cbd_twin_read_backend(struct cbd_cache *c, uint32_t id, struct cbd_backend_config *config,
                          bool *differ) CBD_MUST_CHECK;
int cbd_twin_read_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                        bool *differ) CBD_MUST_CHECK;
int cbd_twin_read_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                          bool *differ) CBD_MUST_CHECK;
void cbd_twin_repair(struct cbd_cache *c, struct cbd_twin twin, const void *bytes);
int cbd_twin_repair_end(struct cbd_cache *c) CBD_MUST_CHECK;
int cbd_tables_settle(struct cbd_cache *c) CBD_MUST_CHECK;
void cbd_repair_supers(struct cbd_cache *c);
int cbd_repair_backend(struct cbd_cache *c, uint32_t id) CBD_MUST_CHECK;
int cbd_repair_segment(struct cbd_cache *c, uint32_t id) CBD_MUST_CHECK;
int cbd_twin_write_backend(struct cbd_cache *c, uint32_t id,
                           struct cbd_backend_config *config) CBD_MUST_CHECK;
int cbd_twin_write_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                         enum cbd_twin_step_group steps) CBD_MUST_CHECK;
int cbd_twin_write_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                           enum cbd_twin_step_group steps) CBD_MUST_CHECK;

/* stream.c: where new records go */
struct cbd_room {
    uint32_t segment;
    uint32_t slot;
    uint32_t payload_off; /* 0 without payload */
    uint32_t durable;     /* slots below are durable */
};

void cbd_stream_list(struct cbd_backend *b, struct cbd_stream *s, uint32_t id);
int cbd_stream_close(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_stream_detach(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_stream_room(struct cbd_backend *b, struct cbd_stream *s, uint64_t addr, uint64_t *len,
                    struct cbd_room *room) CBD_MUST_CHECK;
void cbd_stream_commit(struct cbd_backend *b, struct cbd_stream *s, const struct cbd_room *room,
                       const struct cbd_record *record);
void cbd_stream_skip(struct cbd_backend *b, const struct cbd_room *room, uint64_t len);
void cbd_segment_seeds(const struct cbd_cache *c, uint32_t id, struct cbd_segment *seg);
void cbd_segment_make_free(struct cbd_backend *b, uint32_t id);
bool cbd_has_space(void *backend);

/* insert.c: one record, durable and visible */
struct cbd_insert {
    uint8_t type; /* enum cbd_m_record_type */
    uint8_t flags;
    uint64_t addr;
    uint64_t len; /* cut to what went in */
    const uint8_t *src;
    uint64_t order;    /* FILL: sampled at the miss; else chosen here */
    uint64_t original; /* order of the record that this is a copy of (X2); 0: it is none */
    uint64_t epoch;    /* out */
};

int cbd_insert(struct cbd_backend *b, unsigned lane, struct cbd_insert *in) CBD_MUST_CHECK;

/* write.c: lane, alignment and range of a request. 0, CBD_E_INVALID or CBD_E_RANGE. */
int cbd_check_request(const struct cbd_backend *b, unsigned lane, uint64_t off,
                      uint64_t len) CBD_MUST_CHECK;

/* read.c */
bool cbd_extent_clean(struct cbd_backend *b, const struct cbd_extent *e);
void cbd_reader_begin(struct cbd_backend *b, unsigned lane);
void cbd_reader_end(struct cbd_backend *b, unsigned lane);

struct cbd_healed {
    uint64_t stored; /* bytes in the cache anew */
    uint64_t left;   /* bytes whose damaged copy is shown as before */
};

int cbd_heal(struct cbd_backend *b, unsigned lane, uint64_t addr, uint64_t len,
             const struct cbd_extent *e, uint8_t *buf, struct cbd_healed *healed) CBD_MUST_CHECK;

/* scrub.c */
int cbd_scrub_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_scrub_destroy(struct cbd_backend *b);

/* identity.c */
int cbd_identity_check(struct cbd_backend *b) CBD_MUST_CHECK;

/* accept.c */
int cbd_accept_check(const struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_decide(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_finish(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_accept_end(struct cbd_backend *b) CBD_MUST_CHECK;

/* warm.c: attaching after a clean detach */
bool cbd_warm_possible(const struct cbd_backend *b);
int cbd_warm_begin(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_warm_add_closed(struct cbd_backend *b, uint32_t id);
void cbd_warm_add_open(struct cbd_backend *b, uint32_t id);
int cbd_warm_ready(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_warm_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_warm_destroy(struct cbd_backend *b);

/* backend.c */
int cbd_backend_write_all(struct cbd_backend *b) CBD_MUST_CHECK;

/* sync.c: durability=flush */
#define CBD_UNFENCED_MAX 512u /* records of a stream that are not durable */

int cbd_sync_init(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_sync_stream(struct cbd_backend *b, struct cbd_stream *s) CBD_MUST_CHECK;
int cbd_sync(struct cbd_backend *b) CBD_MUST_CHECK;

/* keep.c: a second chance for what was read */
int cbd_keep_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_keep_destroy(struct cbd_backend *b);
void cbd_keep_release(struct cbd_cache *c);
void cbd_keep_note(const struct cbd_backend *b, const struct cbd_extent *e, uint64_t skip,
                   uint64_t len);
void cbd_keep_clear(const struct cbd_backend *b, uint32_t segment);
uint64_t cbd_keep_record(struct cbd_backend *b, const struct cbd_record *r, uint64_t budget);

/* index.c: the trees of a backend */
int cbd_index_create(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_index_destroy(struct cbd_backend *b);
static inline struct cbd_index_tree *cbd_index_tree_of(struct cbd_backend *b, uint64_t addr)
{
    return &b->trees[(addr / CBD_REGION_BYTES) & ((UINT64_C(1) << b->tree_bits) - 1)];
}

/* Its sector within its tree. */
static inline uint64_t cbd_index_local(const struct cbd_backend *b, uint64_t addr)
{
    return (addr / CBD_REGION_BYTES >> b->tree_bits) * CBD_REGION_SECTORS +
           addr % CBD_REGION_BYTES / CBD_SECTOR_BYTES;
}

uint64_t cbd_index_next_order(struct cbd_backend *b, struct cbd_index_tree *t);
int cbd_index_insert_range(struct cbd_backend *b, const struct cbd_record *r, uint32_t segment,
                           const struct cbd_tree_aim *aim) CBD_MUST_CHECK;
int cbd_index_add_old(struct cbd_backend *b, const struct cbd_record *r,
                      uint32_t segment) CBD_MUST_CHECK;
int cbd_index_insert_lost(struct cbd_backend *b, uint64_t addr, uint64_t len,
                          uint64_t order) CBD_MUST_CHECK;
int cbd_index_forget_range(struct cbd_backend *b, uint64_t addr, uint64_t len,
                           uint64_t below) CBD_MUST_CHECK;

/* A contiguous part of one tree. */
struct cbd_index_part {
    struct cbd_index_tree *tree;
    uint64_t start; /* sectors within the tree */
    uint64_t len;
};

/* The trees first .. end-1 are the only ones that [addr, addr+len) may touch. */
void cbd_index_trees(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint32_t *first,
                     uint32_t *end);

/* The part of tree `n` that [addr, addr+len) covers; false: none. */
bool cbd_index_part(struct cbd_backend *b, uint32_t n, uint64_t addr, uint64_t len,
                    struct cbd_index_part *part);

/* load.c: records and headers from pmem, each copied and then checked */
#define CBD_LINES_MAX 65u /* checksum lines of a payload of one region that starts inside a block */
#define CBD_PAGE_RECORDS (CBD_PAGE_BYTES / sizeof(struct cbd_m_record))

struct cbd_loaded_header {
    _Alignas(64) uint8_t bytes[(CBD_LINES_MAX + 1) * CBD_LINE_BYTES]; /* as on the media */
    const struct cbd_m_header *m; /* the last of them; valid where decoded */
    struct cbd_header h;
};

/* All zero but for the first two. */
struct cbd_record_reader {
    const struct cbd_cache *cache;
    uint32_t segment;
    uint32_t page;
    bool tried, whole;
    bool
        begun; /* of the slot that was asked for: a record of this life of the segment, or a part of one */
    _Alignas(64) struct cbd_m_record m[CBD_PAGE_RECORDS];
};

int cbd_load_record(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                    struct cbd_record *record) CBD_MUST_CHECK;
int cbd_load_next(struct cbd_record_reader *rd, uint32_t slot,
                  struct cbd_record *record) CBD_MUST_CHECK;
bool cbd_find_header(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                     uint32_t *payload_end, struct cbd_header *h, uint32_t *payload_off);
void cbd_pass_payload(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                      const struct cbd_record *r, uint32_t *payload_end);
int cbd_load_header(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                    struct cbd_loaded_header *out) CBD_MUST_CHECK;

bool cbd_header_left_out(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off);

/* payload.c: data, verified on the copy */
struct cbd_bad {
    uint64_t skip; /* bytes from the start of what was asked for */
    uint64_t len;
};

int cbd_payload_read(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                     uint64_t addr, uint64_t from, uint64_t len, uint8_t *dst,
                     struct cbd_bad *bad) CBD_MUST_CHECK;
int cbd_payload_check(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                      const struct cbd_loaded_header *head) CBD_MUST_CHECK;
uint32_t cbd_extent_payload(const struct cbd_cache *c, const struct cbd_extent *e,
                            uint32_t *payload_off);
int cbd_extent_read(const struct cbd_cache *c, const struct cbd_extent *e, uint64_t skip_bytes,
                    uint64_t len, uint8_t *dst, struct cbd_bad *bad) CBD_MUST_CHECK;

/* tune.c */
int cbd_tune_init(struct cbd_backend *b) CBD_MUST_CHECK;

/* pressure.c */
uint64_t cbd_dirty_bytes(const struct cbd_backend *b);
uint64_t cbd_dirty_space(const struct cbd_backend *b);
void cbd_pressure_update(struct cbd_backend *b);
void cbd_pressure_pay(struct cbd_backend *b, uint64_t credit);
int cbd_admit(struct cbd_backend *b, unsigned lane, const struct cbd_insert *in,
              uint64_t *reserved) CBD_MUST_CHECK;
void cbd_admit_end(struct cbd_backend *b, uint64_t reserved);
uint64_t cbd_progress(const struct cbd_backend *b);

/* What a record with this payload takes in a segment, padding included. */
uint64_t cbd_record_space(uint8_t type, uint64_t addr, uint64_t len);

/* wb_hold.c */
int cbd_wb_hold_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_wb_hold_destroy(struct cbd_backend *b);
void cbd_wb_hold_reset(struct cbd_backend *b);
void cbd_wb_hold_add(struct cbd_backend *b, uint64_t addr, uint64_t len);
bool cbd_wb_hold_settled(struct cbd_backend *b, uint64_t *bytes);
bool cbd_wb_hold_at(struct cbd_backend *b, uint32_t i, struct cbd_range *range);
void cbd_wb_hold_commit(struct cbd_backend *b);

/* carry.c: dirty records of the open epoch, out of reclaim's way */
void cbd_carry_init(struct cbd_backend *b);
int cbd_carry(struct cbd_backend *b, uint64_t epoch, uint64_t below) CBD_MUST_CHECK;

/* epoch.c */
bool cbd_epoch_close(struct cbd_backend *b, uint64_t epoch);
void cbd_epoch_force(struct cbd_backend *b, uint64_t epoch);
void cbd_epoch_limit(struct cbd_backend *b, unsigned lane, uint64_t epoch);
void cbd_epoch_barrier(struct cbd_backend *b);
bool cbd_epoch_dirty(struct cbd_backend *b, uint64_t epoch);

/* bulk.c: many records into the index; each user has a line of its own */
#define CBD_BULK_LINE 16u

struct cbd_bulk_record {
    struct cbd_record record;
    uint32_t segment;
    struct cbd_index_tree *tree;
    struct cbd_tree_aim aim;
};

struct cbd_bulk {
    struct cbd_backend *backend;
    bool shared; /* there are other lines: trees must be locked */
    uint64_t in, out;
    struct cbd_bulk_record line[CBD_BULK_LINE];
};

int cbd_bulk_insert(struct cbd_bulk *k, const struct cbd_record *r,
                    uint32_t segment) CBD_MUST_CHECK;
int cbd_bulk_end(struct cbd_bulk *k) CBD_MUST_CHECK;

/* recover.c */
uint32_t cbd_owned_segments(const struct cbd_backend *b);
int cbd_recover(struct cbd_backend *b) CBD_MUST_CHECK;
bool cbd_record_fits(const struct cbd_backend *b, uint32_t segment, const struct cbd_record *r);

/* scan.c: the records of one segment, for recovery and check alike */
struct cbd_scan {
    uint32_t
        records; /* slots in use: one above the last that holds a record or a part, or as CLOSED says */
    uint32_t durable; /* slots below were durable */
    uint32_t damaged; /* slots below `durable` without a valid record */
    uint32_t first_damaged;
    /* Slots from `durable` on without a record, or without its payload: unfinished writes. */
    uint32_t unfinished;
    bool suspect;     /* one of them has a record */
    bool recordless;  /* behind the last slot is a payload whose record is not there: unfinished */
    bool unread_tail; /* slots behind the last valid record cannot be read */
    uint32_t payload_end;
};

int cbd_scan_segment(struct cbd_cache *c, uint32_t id, struct cbd_scan *scan,
                     int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record),
                     void *arg) CBD_MUST_CHECK;

/* Whether a slot from scan->durable on holds no record or no payload, and can be read. */
bool cbd_scan_unfinished(struct cbd_cache *c, uint32_t id, const struct cbd_scan *scan,
                         uint32_t slot);

/* lost.c: what damaged records cost */
int cbd_lost_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan) CBD_MUST_CHECK;
int cbd_lost_decide(struct cbd_backend *b, uint64_t order_end, bool detached) CBD_MUST_CHECK;
bool cbd_lost_in(const struct cbd_backend *b, uint32_t segment);
bool cbd_lost_at(const struct cbd_backend *b, uint32_t segment, uint32_t slot);
void cbd_lost_destroy(struct cbd_backend *b);

/* doubt.c: what may be older than the disk */
int cbd_doubt_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan) CBD_MUST_CHECK;
bool cbd_doubt_at(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint64_t order);
void cbd_doubt_destroy(struct cbd_backend *b);

int cbd_writeback_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_writeback_destroy(struct cbd_backend *b);
int cbd_writeback_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_writeback_nudge(struct cbd_backend *b);
int cbd_reclaim_step(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_reclaim_below(struct cbd_backend *b, uint64_t below) CBD_MUST_CHECK;

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

/* canary.c: only where CBD_CANARY() is no constant. */
typedef int cbd_canary_read(struct cbd_backend *b, uint64_t addr, uint8_t *buf, uint64_t len);
int cbd_canary_read_again(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr, uint8_t *buf,
                          uint64_t len);
int cbd_canary_read_in_parts(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr,
                             uint8_t *buf, uint64_t len);

#endif
