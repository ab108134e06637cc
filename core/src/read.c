/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads: what the index has comes from pmem, the rest from the disk and into the cache.
 *
 * G1  a reader announces itself before it looks into the index and until it has copied; a segment
 *     is given out again only after every reader that may have seen it in the index is gone. What
 *     it found before it announced itself counts if the tree has not changed when it looks again;
 * G2  the order of a fill is taken under the tree's lock together with the miss: every write that
 *     the reader did not see has a higher one;
 * G3  a miss is read from the disk only while no dirty data covers it: what is not in the index is
 *     on the disk and flushed (P3).
 * G4  a hit is looked up without the tree's lock: what is found stood in the tree at one moment of
 *     the lookup (L3 of tree_node.h), and was durable when it came in (I4).
 */
#include <string.h>

#include "ahead.h"
#include "engine.h"

#define AHEAD_BYTES 1024u /* asked for before the copy; the processor sees that it goes on */

/* One run of a request: a part of one extent, or a gap. */
struct run {
    uint64_t addr;
    uint64_t len;
    bool hit;
    uint64_t order; /* gap: for the fill (G2) */
    struct cbd_extent extent;
    uint64_t skip; /* bytes from the start of the extent */
};

void cbd_reader_begin(struct cbd_backend *b, unsigned lane)
{
    if (!CBD_CANARY(READER_NOT_ANNOUNCED))
        atomic_store(&b->lanes[lane].reading, atomic_load(&b->grace)); /* G1 */
    /*
     * And looks again: a reclaim that did not see the announcement has counted grace up before, and
     * what it forgot before that is seen from here on, also without the tree's lock.
     */
    (void)atomic_load(&b->grace);
}

void cbd_reader_end(struct cbd_backend *b, unsigned lane)
{
    /* Release is enough: the loads of the copy come before it, and nothing has to come after. */
    atomic_store_explicit(&b->lanes[lane].reading, 0, memory_order_release);
}

/*
 * Before the reader is announced: where the data will be found, most likely, and its first lines
 * asked for. A guess until next_run() has looked at the tree again (G1).
 */
static void look_ahead(struct cbd_backend *b, uint64_t addr, uint64_t len,
                       struct cbd_tree_look *look)
{
    const struct cbd_tree *tree = &cbd_index_tree_of(b, addr)->tree;
    uint64_t pos = cbd_index_local(b, addr);

    cbd_tree_look(tree, pos, look);
    if (!look->found || look->extent.kind != CBD_EXTENT_DATA)
        return;
    cbd_pmem_ahead(b->cache->pm,
                   look->extent.loc * CBD_LINE_BYTES +
                       (pos - look->extent.start) * CBD_SECTOR_BYTES,
                   cbd_min64(len, AHEAD_BYTES));
}

/* What stands at addr, up to len bytes, never beyond its region. */
static struct run next_run(struct cbd_backend *b, uint64_t addr, uint64_t len,
                           const struct cbd_tree_look *look)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, addr);
    uint64_t region_left = CBD_REGION_BYTES - addr % CBD_REGION_BYTES;
    uint64_t pos = cbd_index_local(b, addr);
    struct run run = {.addr = addr, .len = cbd_min64(len, region_left)};
    bool found = true;

    run.hit = cbd_tree_look_holds(&t->tree, look) || /* G1, G4 */
              (CBD_CANARY(LOOK_NOT_REPEATED) && look->found);
    if (run.hit)
        run.extent = look->extent;
    else
        run.hit = cbd_tree_find_shared(&t->tree, pos, &run.extent);
    if (!run.hit) {
        cbd_lock_take(b->cache->env, &t->lock);
        found = cbd_tree_find(&t->tree, pos, &run.extent);
        run.hit = found && run.extent.start <= pos;
        if (!run.hit && !b->options.no_fill)
            run.order = cbd_index_next_order(b, t); /* G2 */
        cbd_lock_drop(&t->lock);
    }
    if (run.hit) {
        run.skip = (pos - run.extent.start) * CBD_SECTOR_BYTES;
        run.len = cbd_min64(run.len, run.extent.len * CBD_SECTOR_BYTES - run.skip);
    } else if (found && !CBD_CANARY(GAP_TOO_LONG)) {
        run.len = cbd_min64(run.len, (run.extent.start - pos) * CBD_SECTOR_BYTES);
    }
    return run;
}

/* The record that an extent came from, by its header or, when that is bad, by looking at all. */
static bool find_record(struct cbd_backend *b, const struct cbd_extent *e, struct cbd_record *r)
{
    struct cbd_cache *c = b->cache;
    uint32_t payload_off;
    uint32_t id = cbd_extent_payload(c, e, &payload_off);
    const struct cbd_segment *seg = &c->segments[id];
    struct cbd_loaded_header head;
    struct cbd_lock *lock = &b->streams[seg->entry.stream % b->stream_count].lock;
    uint32_t records;

    if (cbd_load_header(c, id, payload_off, &head) == 0 &&
        head.h.slot < c->super.geo.segment_bytes / sizeof(struct cbd_m_record) &&
        cbd_load_record(c, id, head.h.slot, r) == 0 && r->order == e->order)
        return true;
    cbd_lock_take(c->env, lock);
    records = seg->records;
    cbd_lock_drop(lock);
    for (uint32_t slot = 0; slot < records; slot++)
        if (cbd_load_record(c, id, slot, r) == 0 && r->order == e->order &&
            r->payload_off == payload_off)
            return true;
    return false;
}

/*
 * Whether the disk holds what this extent should: its record is a fill or of an epoch that was
 * written back. Without its record nothing proves that.
 */
bool cbd_extent_clean(struct cbd_backend *b, const struct cbd_extent *e)
{
    struct cbd_record r;
    uint64_t written;

    if (!find_record(b, e, &r))
        return false;
    cbd_lock_take(b->cache->env, &b->table_lock);
    written = b->state.epoch_written;
    cbd_lock_drop(&b->table_lock);
    return (r.type == CBD_M_RECORD_FILL || r.epoch <= written || CBD_CANARY(BAD_DIRTY_FROM_DISK)) &&
           !CBD_CANARY(BAD_CLEAN_IS_AN_ERROR);
}

/*
 * An order for the fill that replaces a clean extent whose copy is bad: newer than the extent, and
 * older than any write that comes now (G2). 0: the extent is not there any more.
 */
static uint64_t heal_order(struct cbd_backend *b, const struct run *run)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, run->addr);
    uint64_t pos = cbd_index_local(b, run->addr);
    uint64_t order = 0;
    struct cbd_extent e;

    cbd_lock_take(b->cache->env, &t->lock);
    if (cbd_tree_find(&t->tree, pos, &e) && e.start <= pos && e.order == run->extent.order &&
        e.start + e.len >= pos + run->len / CBD_SECTOR_BYTES)
        order = cbd_index_next_order(b, t);
    cbd_lock_drop(&t->lock);
    return order;
}

/* CBD_E_AGAIN: the cached copy is bad, the disk has a good one. */
static int copy_hit(struct cbd_backend *b, const struct run *run, uint8_t *buf)
{
    const struct cbd_cache *c = b->cache;
    uint64_t off = run->extent.loc * CBD_LINE_BYTES + run->skip;
    struct cbd_bad bad;
    bool clean;
    int error;

    if (run->extent.kind == CBD_EXTENT_LOST) { /* L2 */
        cbd_report(c->env, CBD_ERROR, CBD_E_CORRUPT, "data", "is lost with its record", b->id,
                   UINT64_MAX, run->addr, run->len);
        return CBD_E_CORRUPT;
    }
    if (run->extent.kind != CBD_EXTENT_DATA) {
        memset(buf, 0, run->len);
        return 0;
    }
    cbd_keep_note(b, &run->extent, run->skip, run->len);
    error = cbd_extent_read(c, &run->extent, run->skip, run->len, buf, &bad);
    if (error == CBD_E_CORRUPT && CBD_CANARY(READ_NOT_VERIFIED))
        error = c->pm->ops->read(c->pm, off, buf, run->len);
    if (error == 0)
        return 0;
    clean = cbd_extent_clean(b, &run->extent);
    cbd_report(c->env, clean ? CBD_WARNING : CBD_ERROR, error, "data",
               clean ? "is damaged; read from the disk instead" : "is damaged, and it is dirty",
               b->id, off + bad.skip, run->addr + bad.skip, bad.len);
    return clean ? CBD_E_AGAIN : error;
}

struct sync_io {
    struct cbd_disk_io io;
    struct cbd_env *env;
    atomic_bool finished;
    atomic_int error;
};

static void sync_done(struct cbd_disk_io *io, int error)
{
    struct sync_io *sync = io->owner;
    struct cbd_env *env = sync->env;

    atomic_store(&sync->error, error);
    atomic_store(&sync->finished, true);
    env->ops->wake(env);
}

static bool sync_finished(void *arg)
{
    struct sync_io *sync = arg;

    return atomic_load(&sync->finished);
}

/* Reads from the disk and waits for it: a disk that never answers is not left behind. */
static int read_disk(struct cbd_backend *b, uint64_t addr, uint8_t *buf, uint64_t len)
{
    struct cbd_env *env = b->cache->env;
    struct sync_io sync = {
        .io = {.op = CBD_DISK_READ,
               .off_bytes = addr,
               .len_bytes = len,
               .buf = buf,
               .done = sync_done,
               .owner = &sync},
        .env = env,
    };

    b->disk->ops->submit(b->disk, &sync.io);
    while (env->ops->wait(env, sync_finished, &sync, UINT64_MAX) != 0)
        ;
    return atomic_load(&sync.error);
}

/* How much of it is in the cache then. */
static uint64_t fill(struct cbd_backend *b, unsigned lane, const struct run *run,
                     const uint8_t *buf)
{
    uint64_t done = 0;

    while (done < run->len) {
        struct cbd_insert in = {
            .type = CBD_M_RECORD_FILL,
            .addr = run->addr + done,
            .len = cbd_min64(run->len - done, b->piece_bytes_max),
            .src = buf + done,
            .order = run->order,
        };

        /* Without room, or when it came too late, it is just not cached. */
        if (cbd_insert(b, lane, &in) != 0)
            break;
        cbd_count(&b->lanes[lane].stats.fill_bytes, in.len);
        done += in.len;
    }
    return done;
}

/*
 * Reads [addr, addr+len), a part of the clean extent e whose copy is bad, from the disk into buf,
 * and stores it again, unless something newer has come. 0, or the error of the disk.
 */
int cbd_heal(struct cbd_backend *b, unsigned lane, uint64_t addr, uint64_t len,
             const struct cbd_extent *e, uint8_t *buf, struct cbd_healed *healed)
{
    struct run run = {.addr = addr, .len = len, .extent = *e};
    int error;

    run.order = heal_order(b, &run);
    error = read_disk(b, addr, buf, len);
    healed->stored = error == 0 && run.order != 0 ? fill(b, lane, &run, buf) : 0;
    healed->left = run.order != 0 ? len - healed->stored : 0;
    return error;
}

int cbd_read(struct cbd_backend *b, unsigned lane, uint64_t off, void *buf, uint64_t len)
{
    uint64_t done = 0;
    int invalid = cbd_check_request(b, lane, off, len);

    if (invalid != 0)
        return invalid;
    cbd_count(&b->lanes[lane].stats.reads, 1);
    cbd_count(&b->lanes[lane].stats.read_bytes, len);
    while (done < len) {
        uint8_t *out = (uint8_t *)buf + done;
        struct cbd_tree_look look;
        struct run run;
        int error;

        look_ahead(b, off + done, len - done, &look);
        cbd_yield(b->cache->env, CBD_YIELD_LOCK);
        cbd_reader_begin(b, lane);
        run = next_run(b, off + done, len - done, &look);
        error = run.hit ? copy_hit(b, &run, out) : 0;
        cbd_reader_end(b, lane);
        if (error == CBD_E_AGAIN) {
            struct cbd_healed healed;

            error = cbd_heal(b, lane, run.addr, run.len, &run.extent, out, &healed);
        } else if (error == 0 && !run.hit) {
            cbd_count(&b->lanes[lane].stats.miss_bytes, run.len);
            error = read_disk(b, run.addr, out, run.len); /* G3 */
            if (CBD_CANARY(READ_TRIED_AGAIN) && error != 0)
                error = cbd_canary_read_again(b, read_disk, run.addr, out, run.len);
            if (CBD_CANARY(READ_IN_PARTS) && error != 0)
                error = cbd_canary_read_in_parts(b, read_disk, run.addr, out, run.len);
            if (error == 0 && !b->options.no_fill)
                (void)fill(b, lane, &run, out);
        } else {
            cbd_count(&b->lanes[lane].stats.hit_bytes, run.len);
        }
        if (error != 0)
            return error;
        done += run.len;
    }
    return 0;
}
