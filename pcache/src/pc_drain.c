/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing dirty data back.
 *
 *   for each key set from dirty_tail on:
 *     write its extents --> flush the disk --> dirty_tail behind it --> fence
 *   then: zeroes at the head --> fence --> key_tail at the head --> fence --> generations --> fence
 *   (the last three only where the cache is emptied)
 *
 * K1  dirty_tail moves behind a key set only after a flush of the disk that was submitted when all
 *     its writes had completed, and that succeeded. So nothing dirty is forgotten.
 * K2  dirty_tail is durable before the first write of the next key set. So the disk alone holds the
 *     state behind some key set, and some writes of the next one, as with the driver; what an
 *     interrupted run writes again is that one key set.
 * K3  A tail goes to the slot that is not the newest valid one, read again from the media, with the
 *     next sequence. So one whole slot is there at every moment, and the driver takes the newer.
 * K4  key_tail moves only when dirty_tail is durable at the head: it is never ahead of it.
 * K5  Where the log was ended by hand or by damage, its head is zeroed first: no replay runs on into
 *     what is behind.
 * K6  Generations of segments that are given up move behind key_tail: the other way round a crash
 *     would leave what the driver takes for live references (D1).
 *
 * Within a key set later keys hide earlier ones, and CLEAN keys hide nothing: where one covers a
 * dirty key, the dirty one is what was acknowledged (D10).
 */
#include <string.h>

#include "pc_drain.h"
#include "pc_io.h"
#include "pc_media.h"
#include "pc_sweep.h"

_Static_assert(PC_KSET_HEADER_BYTES <= CBD_LINE_BYTES, "clear_head() writes two lines at most");

struct drain {
    struct cbd_pcache *pc;
    struct cbd_disk *disk;
    const struct cbd_pcache_drain_options *options;
    struct cbd_pcache_drained *out;
    struct pc_io io;
    bool dry;
    bool moved;    /* dirty_tail was stored */
    uint8_t *used; /* bool, one a segment: has live keys */
};

static bool flag(const struct drain *d, unsigned bit)
{
    return (d->options->flags & bit) != 0;
}

/* --- records --- */

static int store(struct cbd_pcache *pc, uint64_t off, const void *bytes, size_t len_bytes)
{
    pc->pm->ops->copy(pc->pm, off, bytes, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
    return pc->pm->ops->fence(pc->pm, CBD_STEP_NONE);
}

/* K3. */
int pc_tail_store(struct cbd_pcache *pc, uint64_t off, struct cbd_pcache_pos pos)
{
    uint8_t record[PC_TAIL_BYTES];
    struct pc_twin t;
    int newest;
    uint8_t seq;

    pc_twin_read(pc, off, PC_TAIL_STRIDE, PC_TAIL_BYTES, &t);
    newest = t.slots.newest;
    seq = newest >= 0 ? (uint8_t)(t.slots.seq[newest] + 1) : 1;
    pc_tail_encode(pc->big_endian, record, seq, pos);
    return store(pc, t.off[newest == 0 ? 1 : 0], record, sizeof(record));
}

int pc_gen_store(struct cbd_pcache *pc, uint32_t seg, uint64_t gen)
{
    uint64_t off = pc_segment_off(pc->device_seg[seg]) + PC_GEN_OFF;
    uint8_t record[PC_GEN_BYTES];
    struct pc_twin t;
    int newest;

    pc_twin_read(pc, off, PC_GEN_STRIDE, PC_GEN_BYTES, &t);
    newest = t.slots.newest;
    pc_gen_encode(pc->big_endian, record, newest >= 0 ? (uint8_t)(t.slots.seq[newest] + 1) : 1,
                  gen);
    pc->gen[seg] = gen;
    return store(pc, t.off[newest == 0 ? 1 : 0], record, sizeof(record));
}

/* --- one key set --- */

static void tell(struct drain *d, uint64_t addr, uint64_t len_bytes, bool lost)
{
    if (d->options->range != NULL)
        d->options->range(d->options->arg, addr, len_bytes, lost);
}

static int lose(struct drain *d, const struct cbd_pcache_key *key, int error)
{
    if (!flag(d, CBD_PCACHE_DRAIN_ALLOW_LOSS))
        return error;
    d->out->lost_keys++;
    d->out->lost_bytes += key->len_bytes;
    tell(d, key->addr_bytes, key->len_bytes, true);
    return 0;
}

/* Whether the data of a key can be written: 0, or why not. */
static int judge_key(const struct drain *d, const struct cbd_pcache_key *key)
{
    uint64_t size = d->disk != NULL ? d->disk->size_bytes : 0;
    uint32_t problem, crc;
    int error = cbd_pcache_key_check(d->pc, key, size, &problem);

    if (error != 0)
        return problem == CBD_PCACHE_KEY_BEYOND ? CBD_E_RANGE : error;
    if (!d->pc->data_crc || d->pc->image || cbd_pcache_key_stale(d->pc, key))
        return 0;
    error = cbd_pcache_key_crc(d->pc, key, &crc);
    if (error == 0 && crc != key->data_crc)
        error = CBD_E_CORRUPT;
    return error;
}

static int write_piece(void *arg, const struct pc_range *r, uint64_t skip, uint64_t len,
                       const struct pc_cover *cover)
{
    struct drain *d = arg;
    int error = 0;

    (void)cover;
    tell(d, r->first + skip, len, false);
    d->out->bytes += len;
    if (d->dry)
        return 0;
    if (d->options->take != NULL)
        return d->options->take(d->options->arg, r->first + skip, r->place + skip, len);
    error = pc_io_write(&d->io, r->first + skip, r->place + skip, len);
    if (error == CBD_E_MEDIA && flag(d, CBD_PCACHE_DRAIN_ALLOW_LOSS)) {
        d->out->lost_keys++;
        d->out->lost_bytes += len;
        tell(d, r->first + skip, len, true);
        error = 0;
    }
    return error;
}

static int write_kset(struct drain *d, const struct cbd_pcache_kset *kset)
{
    struct pc_range ranges[CBD_PCACHE_KEYS_MAX];
    uint32_t heap[CBD_PCACHE_KEYS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < kset->key_count; i++) {
        const struct cbd_pcache_key *key = &kset->keys[i];
        int error;

        if ((key->flags & CBD_PCACHE_KEY_CLEAN) != 0)
            continue;
        error = judge_key(d, key);
        if (error != 0) {
            error = lose(d, key, error);
            if (error != 0)
                return error;
            continue;
        }
        if (cbd_pcache_key_stale(d->pc, key)) {
            d->out->stale_keys++;
            continue;
        }
        d->out->keys++;
        ranges[n++] = (struct pc_range){
            .first = key->addr_bytes,
            .len = key->len_bytes,
            .order = i,
            .place =
                cbd_pcache_pos_off(d->pc, (struct cbd_pcache_pos){key->seg, key->seg_off_bytes}),
        };
    }
    return pc_sweep(ranges, n, heap, write_piece, d);
}

/* K1, K2. */
static int commit_kset(struct drain *d, const struct cbd_pcache_kset *kset)
{
    int error;

    if (d->dry)
        return 0;
    if (!kset->last) {
        error =
            d->options->commit != NULL ? d->options->commit(d->options->arg) : pc_io_flush(&d->io);
        d->out->flushes++;
        if (error != 0)
            return error;
    }
    if (flag(d, CBD_PCACHE_DRAIN_DISK_ONLY))
        return 0;
    d->moved = true;
    return pc_tail_store(d->pc, PC_DIRTY_TAIL_OFF, kset->next);
}

/* --- the whole --- */

static void note_used(struct drain *d, const struct cbd_pcache_kset *kset)
{
    for (uint32_t i = 0; i < kset->key_count; i++)
        if (kset->keys[i].seg < d->pc->seg_count)
            d->used[kset->keys[i].seg] = 1;
}

static bool ends_well(enum cbd_pcache_end end)
{
    return end == CBD_PCACHE_END_ZERO || end == CBD_PCACHE_END_NO_MAGIC ||
           end == CBD_PCACHE_END_TORN || end == CBD_PCACHE_END_LIMIT;
}

/* The log is walked to its end: whether that is one, or damage. */
static int judge_end(struct drain *d, const struct cbd_pcache_walk *walk, bool behind)
{
    struct cbd_pcache_pos found;

    d->out->head = walk->pos;
    d->out->end = walk->end;
    if (!behind)
        return CBD_E_CORRUPT; /* dirty_tail was not on the way */
    if (flag(d, CBD_PCACHE_DRAIN_ALLOW_LOSS))
        return 0;
    if (walk->end == CBD_PCACHE_END_MEDIA)
        return CBD_E_MEDIA;
    if (!ends_well(walk->end))
        return CBD_E_CORRUPT;
    if (walk->end != CBD_PCACHE_END_LIMIT && cbd_pcache_log_resume(walk, &found))
        return CBD_E_CORRUPT;
    return 0;
}

/* Whether `start` is in what was skipped as damaged: from `from` up to the key set that came next. */
static bool skipped(const struct cbd_pcache_kset *kset, struct cbd_pcache_pos from,
                    struct cbd_pcache_pos start)
{
    return kset->skipped_damage && start.seg == from.seg && start.off_bytes >= from.off_bytes &&
           (kset->pos.seg != from.seg || start.off_bytes < kset->pos.off_bytes);
}

static int walk_log(struct drain *d)
{
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    struct cbd_pcache_pos start =
        flag(d, CBD_PCACHE_DRAIN_FROM_KEY_TAIL) ? d->pc->key_tail : d->pc->dirty_tail;
    struct cbd_pcache_pos from = d->pc->key_tail;
    bool behind = pc_pos_equal(start, from);
    int error = cbd_pcache_walk_begin(&walk, d->pc, from);

    walk.past_damage = flag(d, CBD_PCACHE_DRAIN_PAST_DAMAGE);
    walk.limited = flag(d, CBD_PCACHE_DRAIN_LOG_END);
    walk.limit = d->options->log_end;
    while (error == 0 && cbd_pcache_walk_next(&walk, &kset)) {
        note_used(d, &kset);
        d->out->emptied |= kset.skipped_damage;
        behind = behind || pc_pos_equal(kset.pos, start) || skipped(&kset, from, start);
        from = kset.next;
        if (!behind)
            continue;
        error = write_kset(d, &kset);
        if (error == 0)
            error = commit_kset(d, &kset);
        else if (d->io.buffers != NULL)
            (void)!pc_io_settle(&d->io);
        if (error != 0) {
            d->out->head = kset.pos;
            break;
        }
        d->out->ksets += !kset.last;
        if (d->options->progress != NULL)
            d->options->progress(d->options->arg, d->out->ksets);
    }
    if (error == 0)
        error = judge_end(d, &walk, behind || pc_pos_equal(walk.pos, start));
    cbd_pcache_walk_end(&walk);
    return error;
}

/*
 * K5: what stands at the head is neither a key set nor the rest of one. Some memory is good again when
 * all of a line has been written; what shares a bad line with the head cannot be read either. Where it
 * stays bad the log has no end that anybody could read, and CBD_E_MEDIA says so.
 */
static int clear_head(struct drain *d)
{
    static const uint8_t zeroes[2 * CBD_LINE_BYTES];
    uint8_t bytes[PC_KSET_HEADER_BYTES];
    struct cbd_pcache_pos head = d->out->head;
    uint64_t off = cbd_pcache_pos_off(d->pc, head), end = off + sizeof(bytes);
    int error;

    if (head.off_bytes > CBD_PCACHE_DATA_BYTES - PC_KSET_HEADER_BYTES)
        return CBD_E_CORRUPT;
    if (d->pc->pm->ops->read(d->pc->pm, off, bytes, sizeof(bytes)) == 0) {
        if (pc_zero(bytes, sizeof(bytes)))
            return 0;
    } else {
        off -= off % CBD_LINE_BYTES;
        end += (CBD_LINE_BYTES - end % CBD_LINE_BYTES) % CBD_LINE_BYTES;
    }
    error = store(d->pc, off, zeroes, end - off);
    if (error == 0 && d->pc->pm->ops->read(d->pc->pm, off, bytes, sizeof(bytes)) != 0)
        error = CBD_E_MEDIA;
    return error;
}

/* Whether a tail is where it should be, with nothing about it to put right. */
static bool settled(const struct cbd_pcache_slots *slots, struct cbd_pcache_pos driver,
                    struct cbd_pcache_pos wanted)
{
    return (slots->valid[0] || slots->zero[0]) && (slots->valid[1] || slots->zero[1]) &&
           pc_pos_equal(driver, wanted);
}

/* Both slots: no older position is left to fall back to. */
static int settle(struct drain *d, uint64_t off, struct cbd_pcache_pos pos)
{
    int error = pc_tail_store(d->pc, off, pos);

    return error != 0 ? error : pc_tail_store(d->pc, off, pos);
}

/* K4, K6. Everything dirty is on the disk, and dirty_tail is at the head. */
static int empty_cache(struct drain *d)
{
    int error = 0;

    if (!settled(&d->pc->key_slots, d->pc->driver_key_tail, d->out->head))
        error = settle(d, PC_KEY_TAIL_OFF, d->out->head);
    for (uint32_t i = 0; error == 0 && i < d->pc->seg_count; i++)
        if (d->used[i] && d->pc->gen[i] < UINT64_MAX)
            error = pc_gen_store(d->pc, i, d->pc->gen[i] + 1);
    return error;
}

static int finish(struct drain *d)
{
    struct cbd_pcache_drained *out = d->out;
    struct cbd_pcache *pc = d->pc;
    int error;

    out->emptied |= flag(d, CBD_PCACHE_DRAIN_EMPTY) || flag(d, CBD_PCACHE_DRAIN_LOG_END) ||
                    out->stale_keys != 0 || out->lost_keys != 0 || !ends_well(out->end) ||
                    flag(d, CBD_PCACHE_DRAIN_FROM_KEY_TAIL);
    if (d->dry || flag(d, CBD_PCACHE_DRAIN_DISK_ONLY))
        return 0;
    error = clear_head(d);
    /* Also where nothing was dirty: what is wrong with a tail ends here. */
    if (error == 0 && (d->moved || !settled(&pc->dirty_slots, pc->driver_dirty_tail, out->head)))
        error = settle(d, PC_DIRTY_TAIL_OFF, out->head);
    if (error == 0 && out->emptied)
        error = empty_cache(d);
    else if (error == 0 && !settled(&pc->key_slots, pc->driver_key_tail, pc->key_tail))
        error = settle(d, PC_KEY_TAIL_OFF, pc->key_tail);
    return error;
}

int cbd_pcache_drain(struct cbd_pcache *pc, struct cbd_disk *disk,
                     const struct cbd_pcache_drain_options *options, struct cbd_pcache_drained *out)
{
    struct drain d = {.pc = pc, .disk = disk, .options = options, .out = out};
    int error = 0;

    memset(out, 0, sizeof(*out));
    d.dry = flag(&d, CBD_PCACHE_DRAIN_DRY);
    if (!pc->key_tail_valid || !pc->dirty_tail_valid)
        return CBD_E_CORRUPT;
    if (pc->image && !d.dry)
        return CBD_E_READONLY;
    d.used = pc->env->ops->alloc(pc->env, pc->seg_count);
    if (d.used == NULL)
        return CBD_E_NOMEM;
    memset(d.used, 0, pc->seg_count);
    if (!d.dry && options->take == NULL)
        error = pc_io_open(&d.io, pc, disk);
    if (error == 0)
        error = walk_log(&d);
    if (error == 0)
        error = finish(&d);
    pc_io_close(&d.io);
    pc->env->ops->free(pc->env, d.used, pc->seg_count);
    return error;
}
