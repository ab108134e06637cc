/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as a record tells it: what was written is pending until a flush that was submitted behind
 * its answer was answered, and until then a power cut keeps any sectors of it.
 */
#include <string.h>
#include <sys/mman.h>

#include "cut.h"
#include "rng.h"
#include "sim_base.h"

#define CHUNK_BYTES 65536u

static void write_sector(struct cut_disk *d, uint64_t sector, const uint8_t *data)
{
    uint8_t *at = d->mem + sector * CUT_SECTOR_BYTES;
    uint64_t chunk = sector * CUT_SECTOR_BYTES / CHUNK_BYTES;
    bool used = (d->used[chunk / 64] >> chunk % 64 & 1) != 0;

    if (data == NULL && !used)
        return; /* zeroes already */
    if (d->logging) {
        d->undo = sim_grow(d->undo, &d->undo_cap, d->undo_count + 1, sizeof(*d->undo));
        d->undo[d->undo_count].sector = sector;
        d->undo[d->undo_count].first = !used;
        memcpy(d->undo[d->undo_count++].old, at, CUT_SECTOR_BYTES);
    }
    if (data != NULL)
        memcpy(at, data, CUT_SECTOR_BYTES);
    else
        memset(at, 0, CUT_SECTOR_BYTES);
    d->hash[sector] = 0;
    d->used[chunk / 64] |= UINT64_C(1) << chunk % 64;
}

/* Most of a disk stays as it is from one cut to the next. */
uint64_t cut_disk_hash(const struct cut_disk *d, uint64_t sector)
{
    if (d->hash[sector] == 0)
        d->hash[sector] = cbd_record_hash(d->mem + sector * CUT_SECTOR_BYTES, CUT_SECTOR_BYTES);
    return d->hash[sector];
}

/* Skips what was never written: a discard of a whole disk costs a 64th of its chunks. */
static uint64_t skip_unused(const struct cut_disk *d, uint64_t off, uint64_t end)
{
    while (off < end) {
        uint64_t chunk = off / CHUNK_BYTES, word = d->used[chunk / 64] >> chunk % 64;

        if ((word & 1) != 0)
            return off;
        off = (word == 0 ? chunk / 64 * 64 + 64 : chunk + 1) * CHUNK_BYTES;
    }
    return end;
}

static void write_range(struct cut_disk *d, uint64_t off, uint64_t len, const uint8_t *data)
{
    uint64_t end = off + len;

    for (uint64_t at = off; at < end; at += CUT_SECTOR_BYTES) {
        if (data == NULL)
            at = skip_unused(d, at, end);
        if (at < end)
            write_sector(d, at / CUT_SECTOR_BYTES, data != NULL ? data + (at - off) : NULL);
    }
}

/* The requests of a cache that recovers are done at once, and are durable. */
static void submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    struct cut_disk *d = (struct cut_disk *)(void *)disk;
    bool inside = io->off_bytes <= disk->size_bytes &&
                  io->len_bytes <= disk->size_bytes - io->off_bytes &&
                  (io->off_bytes | io->len_bytes) % disk->logical_block_bytes == 0;

    if (io->op == CBD_DISK_FLUSH) {
        io->done(io, 0);
        return;
    }
    if (!inside) {
        io->done(io, CBD_E_RANGE);
        return;
    }
    if (io->op == CBD_DISK_READ)
        memcpy(io->buf, d->mem + io->off_bytes, io->len_bytes);
    else if (io->op != CBD_DISK_DISCARD || disk->discard_zeroes)
        write_range(d, io->off_bytes, io->len_bytes, io->op == CBD_DISK_WRITE ? io->buf : NULL);
    io->done(io, 0);
}

static const struct cbd_disk_ops ops = {.submit = submit};

/* As the core has it: it is shown, and files are called by it. */
static bool name_valid(const uint8_t *name, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return len > 0;
}

/* NULL: there is no room in the address space. */
static void *zeroes(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p != MAP_FAILED ? p : NULL;
}

static uint64_t hash_bytes(const struct cut_disk *d)
{
    return d->disk.size_bytes / CUT_SECTOR_BYTES * sizeof(*d->hash);
}

bool cut_disk_init(struct cut_disk *d, const struct cbd_record_event *e, const void *name)
{
    uint64_t block = e->len;

    memset(d, 0, sizeof(*d));
    if (!name_valid(name, e->data_bytes) || block < 512 || block > 4096 ||
        (block & (block - 1)) != 0 || e->off == 0 || e->off > CUT_DISK_BYTES_MAX ||
        e->off % block != 0)
        return false;
    d->disk = (struct cbd_disk){.ops = &ops,
                                .size_bytes = e->off,
                                .logical_block_bytes = (uint32_t)block,
                                .volatile_cache = (e->flags & CBD_RECORD_VOLATILE) != 0,
                                .discard_zeroes = (e->flags & CBD_RECORD_DISCARD_ZEROES) != 0};
    d->flags = e->flags;
    memcpy(d->name, name, e->data_bytes);
    d->mem = zeroes(e->off);
    d->hash = zeroes(hash_bytes(d));
    if (d->mem == NULL || d->hash == NULL)
        return false;
    d->used = sim_zalloc(e->off / CHUNK_BYTES / 64 + 1, 8);
    return true;
}

void cut_disk_destroy(struct cut_disk *d)
{
    if (d->mem != NULL)
        munmap(d->mem, d->disk.size_bytes);
    if (d->hash != NULL)
        munmap(d->hash, hash_bytes(d));
    free(d->used);
    free(d->pending);
    free(d->undo);
}

static bool in_range(const struct cut_disk *d, uint64_t off, uint64_t len)
{
    return off <= d->disk.size_bytes && len <= d->disk.size_bytes - off &&
           (off | len) % CUT_SECTOR_BYTES == 0;
}

bool cut_disk_image(struct cut_disk *d, uint64_t off, const void *data, uint64_t len)
{
    if (!in_range(d, off, len))
        return false;
    write_range(d, off, len, data);
    return true;
}

bool cut_disk_submit(struct cut_disk *d, const struct cbd_record_event *e, const void *data,
                     uint64_t place)
{
    uint32_t what = e->flags & ~CBD_RECORD_FUA;
    struct cut_pending *p;

    if (what == CBD_RECORD_SYNC) {
        if (d->sync_count == sizeof(d->syncs) / sizeof(d->syncs[0]))
            return false; /* the cache has one under way at a time */
        d->syncs[d->sync_count++] = (struct cut_sync){e->arg, place};
        return true;
    }
    if (!in_range(d, e->off, e->len))
        return false;
    if (what == CBD_RECORD_DISCARD && !d->disk.discard_zeroes)
        return true; /* it may do nothing; the cache does not count on it */
    d->pending = sim_grow(d->pending, &d->pending_cap, d->pending_count + 1, sizeof(*d->pending));
    p = &d->pending[d->pending_count++];
    *p = (struct cut_pending){
        .number = e->arg,
        .off = e->off,
        .len = e->len,
        .data = what == CBD_RECORD_WRITE ? data : NULL,
        .done = CUT_NEVER,
        .kept = (e->flags & CBD_RECORD_FUA) != 0 || !d->disk.volatile_cache,
    };
    return true;
}

/* Everything that was answered before the flush was submitted is on the medium. */
static void settle(struct cut_disk *d, uint64_t submitted)
{
    size_t left = 0;

    for (size_t i = 0; i < d->pending_count; i++) {
        const struct cut_pending *p = &d->pending[i];

        if (p->done >= submitted)
            d->pending[left++] = *p;
        else if (!p->failed)
            write_range(d, p->off, p->len, p->data);
    }
    d->pending_count = left;
}

void cut_disk_done(struct cut_disk *d, const struct cbd_record_event *e, uint64_t place)
{
    for (unsigned i = 0; i < d->sync_count; i++) {
        if (d->syncs[i].number != e->arg)
            continue;
        if (e->error == 0 && !d->forgets)
            settle(d, d->syncs[i].submitted);
        d->syncs[i] = d->syncs[--d->sync_count];
        return;
    }
    for (size_t i = d->pending_count; i-- > 0;) {
        if (d->pending[i].number != e->arg)
            continue;
        d->pending[i].done = place;
        d->pending[i].failed = e->error != 0;
        return;
    }
}

void cut_disk_crash(struct cut_disk *d, const struct sim_crash *crash)
{
    uint64_t total = 0, unit = 0;
    enum sim_crash_grain grain = SIM_GRAIN_WORD;
    unsigned keep = 4;
    struct sim_rng rng;

    d->logging = true;
    for (size_t i = 0; i < d->pending_count; i++)
        total += d->pending[i].len / CUT_SECTOR_BYTES;
    sim_rng_seed(&rng, sim_rng_mix(crash->seed, 77));
    if (crash->kind == SIM_CRASH_RANDOM)
        sim_crash_bias(crash, &keep, &grain);
    for (size_t i = 0; i < d->pending_count; i++) {
        const struct cut_pending *p = &d->pending[i];
        bool whole = sim_rng_chance(&rng, keep, 8), survives = false;

        for (uint64_t at = 0; at < p->len; at += CUT_SECTOR_BYTES, unit++) {
            if (p->data == NULL) { /* zeroes over what is zeroes: nothing to decide */
                uint64_t next = skip_unused(d, p->off + at, p->off + p->len) - p->off;

                unit += (next - at) / CUT_SECTOR_BYTES;
                at = next;
                if (at >= p->len)
                    break;
            }
            switch (crash->kind) {
            case SIM_CRASH_NONE:
                survives = false;
                break;
            case SIM_CRASH_ALL:
                survives = true;
                break;
            case SIM_CRASH_RANDOM:
                survives = grain == SIM_GRAIN_STORE ? whole : sim_rng_chance(&rng, keep, 8);
                break;
            case SIM_CRASH_ONE_LOST:
                survives = unit != crash->k % total;
                break;
            case SIM_CRASH_ONE_KEPT:
                survives = unit == crash->k % total;
                break;
            case SIM_CRASH_PREFIX:
                survives = i < crash->k % (d->pending_count + 1);
                break;
            }
            if (survives || (p->kept && p->done != CUT_NEVER && !p->failed))
                write_sector(d, (p->off + at) / CUT_SECTOR_BYTES,
                             p->data != NULL ? p->data + at : NULL);
        }
    }
}

void cut_disk_restore(struct cut_disk *d)
{
    while (d->undo_count > 0) {
        const struct cut_undo *u = &d->undo[--d->undo_count];
        uint64_t chunk = u->sector * CUT_SECTOR_BYTES / CHUNK_BYTES;

        memcpy(d->mem + u->sector * CUT_SECTOR_BYTES, u->old, CUT_SECTOR_BYTES);
        d->hash[u->sector] = 0;
        if (u->first)
            d->used[chunk / 64] &= ~(UINT64_C(1) << chunk % 64);
    }
    d->logging = false;
}
