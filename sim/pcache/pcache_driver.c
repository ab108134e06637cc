/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of dm-pcache as a model: writes, key sets, tails, write-back, collection. */
#include "pcache_driver.h"

#include <string.h>

#include "crc.h"
#include "pc_media.h"
#include "sector.h"
#include "sim_base.h"

#define NONE UINT32_MAX

static void put(struct sim_pcache *d, uint64_t off, const void *bytes, size_t len_bytes)
{
    struct cbd_pmem *pm = &d->pm->pm;

    pm->ops->copy(pm, off, bytes, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
}

static void zero(struct sim_pcache *d, uint64_t off, size_t len_bytes)
{
    struct cbd_pmem *pm = &d->pm->pm;

    pm->ops->set(pm, off, 0, len_bytes, CBD_PMEM_NT, CBD_STEP_NONE);
}

static void fence(struct sim_pcache *d)
{
    struct cbd_pmem *pm = &d->pm->pm;

    SIM_REQUIRE(pm->ops->fence(pm, CBD_STEP_NONE) == 0);
}

static uint64_t data_off(struct cbd_pcache_pos pos)
{
    return pc_segment_off(pos.seg) + PC_SEG_DATA_OFF + pos.off_bytes;
}

void sim_pcache_init(struct sim_pcache *d, struct sim_pmem *pm, struct cbd_disk *disk,
                     struct cbd_env *env, uint32_t data_bytes, uint32_t log_bytes)
{
    memset(d, 0, sizeof(*d));
    d->pm = pm;
    d->disk = disk;
    d->env = env;
    d->data_bytes = data_bytes;
    d->log_bytes = log_bytes;
    d->seg_count = cbd_pcache_capacity(pm->pm.size_bytes);
    SIM_REQUIRE(d->seg_count > 1 && d->seg_count <= SIM_PCACHE_SEGMENTS_MAX);
}

void sim_pcache_kill(struct sim_pcache *d)
{
    struct sim_pcache_truth truth = d->truth;
    uint64_t writes = d->writes;

    sim_pcache_init(d, d->pm, d->disk, d->env, d->data_bytes, d->log_bytes);
    d->truth = truth;
    d->writes = writes;
}

/* --- segments --- */

static uint32_t take_segment(struct sim_pcache *d)
{
    for (uint32_t i = 0; i < d->seg_count; i++) {
        uint32_t seg = (d->hint + i) % d->seg_count;

        if (!d->used[seg]) {
            d->used[seg] = true;
            d->hint = (seg + 1) % d->seg_count;
            return seg;
        }
    }
    return NONE;
}

/* The slot is advanced before the store: it goes over the older one. */
static void store_gen(struct sim_pcache *d, uint32_t seg)
{
    uint8_t record[PC_GEN_BYTES];

    d->gen_index[seg] ^= 1;
    pc_gen_encode(false, record, (uint8_t)++d->gen_seq[seg], d->gen[seg]);
    put(d, pc_segment_off(seg) + PC_GEN_OFF + d->gen_index[seg] * PC_GEN_STRIDE, record,
        sizeof(record));
    fence(d);
}

static void drop_ref(struct sim_pcache *d, uint32_t seg)
{
    /* What the driver's counter does below 0 is not modelled: it stays there. */
    if (d->refs[seg] == 0 || --d->refs[seg] != 0)
        return;
    d->gen[seg]++;
    store_gen(d, seg);
    d->used[seg] = false;
}

/* D3: the place is taken from the index before the index moves on. */
static void store_tail(struct sim_pcache *d, uint64_t off, uint32_t *index, uint64_t *seq,
                       struct cbd_pcache_pos pos)
{
    uint8_t record[PC_TAIL_BYTES];

    pc_tail_encode(false, record, (uint8_t)++ * seq, pos);
    put(d, off + *index * PC_TAIL_STRIDE, record, sizeof(record));
    fence(d);
    *index ^= 1;
}

/* --- log --- */

static int close_kset(struct sim_pcache *d, struct sim_pcache_open_kset *k)
{
    uint8_t bytes[PC_KSET_BYTES_MAX], last[PC_KSET_HEADER_BYTES];
    uint32_t len_bytes;

    if (k->count == 0)
        return 0;
    len_bytes = pc_kset_encode(false, k->keys, k->count, bytes);
    if (d->log_bytes - d->head.off_bytes < len_bytes + PC_KSET_HEADER_BYTES) {
        uint32_t next = take_segment(d);

        if (next == NONE)
            return CBD_E_BUSY;
        zero(d, data_off((struct cbd_pcache_pos){next, 0}), PC_KSET_HEADER_BYTES);
        pc_last_encode(false, next, last);
        put(d, data_off(d->head), last, sizeof(last));
        fence(d);
        d->head = (struct cbd_pcache_pos){next, 0};
    }
    /* D12: one fence for both. */
    zero(d, data_off(d->head) + len_bytes, PC_KSET_HEADER_BYTES);
    put(d, data_off(d->head), bytes, len_bytes);
    fence(d);
    d->head.off_bytes += len_bytes;
    k->count = 0;
    return 0;
}

static void set_durable(struct sim_pcache *d, const struct cbd_pcache_key *keys, uint32_t count,
                        bool durable)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = (uint32_t)(keys[i].addr_bytes / SIM_SECTOR_BYTES) % SIM_PCACHE_SECTORS;

        for (uint32_t s = first; s < first + keys[i].len_bytes / SIM_SECTOR_BYTES; s++)
            d->truth.durable[s] = durable ? d->truth.newest[s] : 0;
    }
}

void sim_pcache_forget(struct sim_pcache *d, const struct cbd_pcache_key *keys, uint32_t count)
{
    set_durable(d, keys, count, false);
}

static int close_durable(struct sim_pcache *d, uint32_t which)
{
    struct sim_pcache_open_kset *k = &d->ksets[which];
    uint32_t n = k->count;
    int error = close_kset(d, k);

    if (error == 0)
        set_durable(d, k->keys, n, true);
    return error;
}

int sim_pcache_flush(struct sim_pcache *d)
{
    int error = 0;

    for (uint32_t i = 0; i < SIM_PCACHE_KSETS && error == 0; i++)
        error = close_durable(d, i);
    return error;
}

/* --- writes --- */

static int take_space(struct sim_pcache *d, uint32_t *len_bytes, struct cbd_pcache_pos *pos)
{
    if (d->data_seg == d->seg_count) {
        uint32_t seg = take_segment(d);

        if (seg == NONE)
            return CBD_E_BUSY;
        d->data_seg = seg;
        d->data_off = 0;
        d->refs[seg]++; /* of the open head */
    }
    *pos = (struct cbd_pcache_pos){d->data_seg, d->data_off};
    if (d->data_bytes - d->data_off > *len_bytes) {
        d->data_off += *len_bytes;
        d->refs[d->data_seg]++;
        return 0;
    }
    *len_bytes = d->data_bytes - d->data_off;
    d->refs[d->data_seg]++;
    drop_ref(d, d->data_seg);
    d->data_seg = d->seg_count;
    return 0;
}

/*
 * Half of the sectors are at the start of the disk, half in the next region of 4 MiB: they go to
 * the two open key sets.
 */
static uint64_t address_of(uint32_t sector)
{
    uint64_t at = (uint64_t)(sector % (SIM_PCACHE_SECTORS / 2)) * SIM_SECTOR_BYTES;

    /* 4 MiB is a multiple of SIM_PCACHE_SECTORS sectors: see set_durable(). */
    return sector < SIM_PCACHE_SECTORS / 2
               ? at
               : CBD_PCACHE_KEY_BYTES_MAX + (SIM_PCACHE_SECTORS / 2) * SIM_SECTOR_BYTES + at;
}

static int write_part(struct sim_pcache *d, uint32_t sector, uint32_t *count)
{
    uint8_t bytes[SIM_PCACHE_SECTORS * SIM_SECTOR_BYTES];
    uint32_t len_bytes = *count * SIM_SECTOR_BYTES, which = sector >= SIM_PCACHE_SECTORS / 2;
    struct sim_pcache_open_kset *k = &d->ksets[which];
    struct cbd_pcache_key *key = &k->keys[k->count];
    struct cbd_pcache_pos pos;
    int error = take_space(d, &len_bytes, &pos);

    if (error != 0)
        return error;
    *count = len_bytes / SIM_SECTOR_BYTES;
    for (uint32_t i = 0; i < *count; i++) {
        sim_sector_fill(bytes + i * SIM_SECTOR_BYTES, address_of(sector + i) / SIM_SECTOR_BYTES,
                        d->writes);
        d->truth.newest[sector + i] = d->writes;
    }
    put(d, data_off(pos), bytes, len_bytes);
    fence(d);
    *key = (struct cbd_pcache_key){
        .addr_bytes = address_of(sector),
        .len_bytes = len_bytes,
        .seg = pos.seg,
        .seg_off_bytes = pos.off_bytes,
        .gen = d->gen[pos.seg],
        .data_crc = d->data_crc ? cbd_crc32c(PC_CRC_SEED, bytes, len_bytes) : 0,
    };
    k->count++;
    return k->count == CBD_PCACHE_KEYS_MAX ? close_kset(d, k) : 0;
}

int sim_pcache_write(struct sim_pcache *d, uint32_t sector, uint32_t count, bool fua)
{
    uint32_t which = sector >= SIM_PCACHE_SECTORS / 2;

    SIM_REQUIRE(d->active && count > 0 && sector + count <= SIM_PCACHE_SECTORS);
    SIM_REQUIRE((sector + count - 1 >= SIM_PCACHE_SECTORS / 2) == (which != 0));
    d->writes++;
    while (count > 0) {
        uint32_t part = count;
        int error = write_part(d, sector, &part);

        if (error != 0)
            return error;
        sector += part;
        count -= part;
    }
    return fua ? close_durable(d, which) : 0;
}

/* --- write-back and collection --- */

/* The key set at pos, read as the driver does. */
static bool kset_at(struct sim_pcache *d, struct cbd_pcache *pc, struct cbd_pcache_pos pos,
                    struct cbd_pcache_kset *kset)
{
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_walk walk;
    bool found = false;

    if (cbd_pcache_open(&d->pm->pm, d->env, &sink, pc) == 0 &&
        cbd_pcache_walk_begin(&walk, pc, pos) == 0) {
        found = cbd_pcache_walk_next(&walk, kset);
        cbd_pcache_walk_end(&walk);
    }
    cbd_pcache_close(pc);
    return found;
}

struct request {
    struct cbd_disk_io io;
    bool done;
    int error;
};

static void request_done(struct cbd_disk_io *io, int error)
{
    struct request *r = io->owner;

    r->done = true;
    r->error = error;
}

static bool request_ready(void *arg)
{
    return ((struct request *)arg)->done;
}

static int disk_do(const struct sim_pcache *d, enum cbd_disk_op op, uint64_t off,
                   uint64_t len_bytes, void *buf)
{
    struct request r = {
        .io = {
            .op = op, .off_bytes = off, .len_bytes = len_bytes, .buf = buf, .done = request_done}};

    r.io.owner = &r;
    d->disk->ops->submit(d->disk, &r.io);
    if (!r.done)
        SIM_REQUIRE(d->env->ops->wait(d->env, request_ready, &r, UINT64_MAX) == 0);
    return r.error;
}

int sim_pcache_writeback(struct sim_pcache *d)
{
    uint8_t bytes[SIM_PCACHE_SECTORS * SIM_SECTOR_BYTES];
    struct cbd_pcache_kset kset;
    struct cbd_pcache pc;

    if (!kset_at(d, &pc, d->dirty_tail, &kset))
        return CBD_E_AGAIN;
    for (uint32_t i = 0; i < kset.key_count; i++) {
        const struct cbd_pcache_key *key = &kset.keys[i];
        struct cbd_pcache_pos pos = {key->seg, key->seg_off_bytes};

        /* In order and one at a time: what a key set overwrites itself goes out twice. */
        if (d->pm->pm.ops->read(&d->pm->pm, data_off(pos), bytes, key->len_bytes) != 0 ||
            disk_do(d, CBD_DISK_WRITE, key->addr_bytes, key->len_bytes, bytes) != 0)
            return CBD_E_IO;
    }
    if (!kset.last)
        (void)disk_do(d, CBD_DISK_FLUSH, 0, 0, NULL); /* D9: nobody looks at the result */
    d->dirty_tail = kset.next;
    store_tail(d, PC_DIRTY_TAIL_OFF, &d->dirty_index, &d->dirty_seq, d->dirty_tail);
    return 0;
}

int sim_pcache_gc(struct sim_pcache *d)
{
    struct cbd_pcache_kset kset;
    struct cbd_pcache pc;
    uint32_t old_seg = d->key_tail.seg;

    if (pc_pos_equal(d->key_tail, d->dirty_tail) || !kset_at(d, &pc, d->key_tail, &kset))
        return CBD_E_AGAIN;
    if (kset.last && d->dirty_tail.seg == old_seg)
        return CBD_E_AGAIN;
    /* D1: generations first, key_tail afterwards; and stale keys count too. */
    for (uint32_t i = 0; i < kset.key_count; i++)
        drop_ref(d, kset.keys[i].seg);
    d->key_tail = kset.next;
    store_tail(d, PC_KEY_TAIL_OFF, &d->key_index, &d->key_seq, d->key_tail);
    if (kset.last)
        d->used[old_seg] = false;
    return 0;
}
