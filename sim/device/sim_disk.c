/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated backing device: queue, completion, faults, crashes and checkpoints. */
#include "sim_disk.h"

#include <string.h>

#include "rng.h"
#include "sim_base.h"

#define SIZE_LIMIT (UINT64_C(16) << 40)

static struct sim_disk *of(struct cbd_disk *disk)
{
    return (struct sim_disk *)disk;
}

static void unref(struct sim_disk_request *r)
{
    if (--r->refs == 0)
        free(r);
}

static void queue_clear(struct sim_disk_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        unref(q->items[i]);
    q->count = 0;
}

static void queue_copy(struct sim_disk_queue *dst, const struct sim_disk_queue *src)
{
    for (size_t i = 0; i < src->count; i++)
        src->items[i]->refs++;
    queue_clear(dst);
    dst->items = sim_grow(dst->items, &dst->cap, src->count, sizeof dst->items[0]);
    if (src->count > 0)
        memcpy(dst->items, src->items, src->count * sizeof dst->items[0]);
    dst->count = src->count;
}

/* 0 or the error the request will complete with. */
static int check_request(const struct sim_disk *disk, const struct cbd_disk_io *io)
{
    if (io->op == CBD_DISK_FLUSH)
        return 0;
    uint64_t mask = disk->disk.logical_block_bytes - 1;
    if (io->off_bytes > disk->disk.size_bytes || io->len_bytes == 0 ||
        io->len_bytes > disk->disk.size_bytes - io->off_bytes)
        return CBD_E_RANGE;
    return ((io->off_bytes | io->len_bytes) & mask) != 0 ? CBD_E_RANGE : 0;
}

static uint64_t buffer_version(const struct cbd_disk_io *io, uint64_t i)
{
    return sim_sector_decode((const uint8_t *)io->buf + i * SIM_SECTOR_BYTES,
                             io->off_bytes / SIM_SECTOR_BYTES + i);
}

static void op_submit(struct cbd_disk *base, struct cbd_disk_io *io)
{
    struct sim_disk *disk = of(base);
    SIM_REQUIRE((unsigned)io->op < SIM_DISK_OPS && io->done != NULL);
    if (disk->pause != NULL)
        disk->pause(disk->pause_arg, io);
    int error = check_request(disk, io);
    uint64_t sectors = 0;
    if (error == 0 && io->op == CBD_DISK_WRITE)
        sectors = io->len_bytes / SIM_SECTOR_BYTES;
    struct sim_disk_request *r = sim_zalloc(1, sizeof *r + (size_t)sectors * sizeof r->versions[0]);
    r->io = io;
    r->number = ++disk->state.submissions;
    r->flush_below = disk->state.changes + 1;
    r->error = error;
    r->refs = 1;
    r->op = io->op;
    r->fua = io->fua;
    r->off_bytes = io->off_bytes;
    r->len_bytes = io->len_bytes;
    for (uint64_t i = 0; i < sectors; i++)
        r->versions[i] = buffer_version(io, i);
    struct sim_disk_queue *q = &disk->queue;
    q->items = sim_grow(q->items, &q->cap, q->count + 1, sizeof q->items[0]);
    q->items[q->count++] = r;
}

static const struct cbd_disk_ops disk_ops = {.submit = op_submit};

struct sim_disk *sim_disk_create(const struct sim_disk_config *config)
{
    uint32_t block = config->logical_block_bytes;
    SIM_REQUIRE(block >= SIM_SECTOR_BYTES && block <= 4096 && (block & (block - 1)) == 0);
    SIM_REQUIRE(config->size_bytes > 0 && config->size_bytes % block == 0);
    SIM_REQUIRE(config->size_bytes <= SIZE_LIMIT);
    struct sim_disk *disk = sim_zalloc(1, sizeof *disk);
    disk->disk = (struct cbd_disk){
        .ops = &disk_ops,
        .size_bytes = config->size_bytes,
        .logical_block_bytes = block,
        .volatile_cache = config->volatile_cache,
        .discard_zeroes = config->discard_zeroes,
    };
    sim_content_init(&disk->content, (config->size_bytes + 4095) / 4096);
    sim_marks_init(&disk->marks, 0);
    return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    for (unsigned i = 0; i < SIM_MARKS_DEPTH_MAX; i++) {
        queue_clear(&disk->level[i].queue);
        free(disk->level[i].queue.items);
        sim_ranges_free(&disk->level[i].latent);
    }
    queue_clear(&disk->queue);
    free(disk->queue.items);
    sim_ranges_free(&disk->latent);
    sim_marks_free(&disk->marks);
    sim_content_free(&disk->content);
    free(disk);
}

size_t sim_disk_inflight(const struct sim_disk *disk)
{
    return disk->queue.count;
}

struct sim_disk_event sim_disk_inflight_at(const struct sim_disk *disk, size_t k)
{
    SIM_REQUIRE(k < disk->queue.count);
    const struct sim_disk_request *r = disk->queue.items[k];
    return (struct sim_disk_event){0, r->number, r->op, r->fua, r->off_bytes, r->len_bytes};
}

/* Before the content of a page changes. */
static void log_page(struct sim_disk *disk, uint64_t page, const uint64_t old[SIM_PAGE_SECTORS])
{
    uint8_t *stamp = sim_content_stamp(&disk->content, page);
    if (sim_marks_wants(&disk->marks, *stamp))
        sim_marks_log(&disk->marks, page, stamp, *sim_content_touched(&disk->content, page), old);
}

/*
 * The sectors in `mask` of a page take new versions. Durable ones end everything pending in their
 * sectors; the others become one pending store under the number of the change.
 */
static void change_page(struct sim_disk *disk, uint64_t page, uint8_t mask,
                        const uint64_t new[SIM_PAGE_SECTORS], bool durable)
{
    uint64_t versions[SIM_PAGE_SECTORS];
    if (mask == 0)
        return;
    sim_content_load(&disk->content, page, versions);
    log_page(disk, page, versions);
    disk->state.content_hash ^= sim_marks_hash(page, versions);
    if (durable) {
        sim_pend_settle_words(&disk->marks.pend, page, mask);
    } else {
        struct sim_pend_new store = {
            .cell = page, .op = disk->state.changes, .old = versions, .mask = mask};
        uint32_t slot = sim_pend_add(&disk->marks.pend, &store);
        sim_pend_queue_ready(&disk->marks.pend, 0, slot, store.op);
    }
    for (unsigned s = 0; s < SIM_PAGE_SECTORS; s++) {
        if (mask & (1u << s))
            versions[s] = new[s];
    }
    sim_content_store(&disk->content, page, versions);
    disk->state.content_hash ^= sim_marks_hash(page, versions);
    *sim_content_touched(&disk->content, page) |= mask;
}

/* What one request leaves in one page: versions, and which sectors change. */
static uint8_t page_result(const struct sim_disk *disk, const struct sim_disk_request *r,
                           uint64_t page, uint64_t new[SIM_PAGE_SECTORS])
{
    uint64_t first = r->off_bytes / SIM_SECTOR_BYTES;
    uint64_t end = first + r->len_bytes / SIM_SECTOR_BYTES;
    uint64_t base = page * SIM_PAGE_SECTORS;
    unsigned from = first > base ? (unsigned)(first - base) : 0;
    unsigned to = end - base < SIM_PAGE_SECTORS ? (unsigned)(end - base) : SIM_PAGE_SECTORS;
    bool keeps = r->op == CBD_DISK_DISCARD && !disk->disk.discard_zeroes;
    uint8_t mask = (uint8_t)((1u << to) - (1u << from));
    for (unsigned s = from; s < to; s++) {
        if (r->op == CBD_DISK_WRITE)
            new[s] = r->versions[base + s - first];
        else
            new[s] = keeps ? SIM_VERSION_GARBAGE : SIM_VERSION_ZERO;
    }
    if (keeps) /* undefined content: a fixed half of the sectors stays, the others are garbage */
        mask &= (uint8_t)sim_rng_mix(r->number, page);
    return mask;
}

/* Applies a write, zero or discard. `partial`: a fixed choice of its sectors only. */
static void apply(struct sim_disk *disk, const struct sim_disk_request *r, bool durable,
                  bool partial)
{
    disk->state.changes++;
    uint64_t end = (r->off_bytes + r->len_bytes + 4095) / 4096;
    for (uint64_t page = r->off_bytes / 4096; page < end; page++) {
        uint64_t new[SIM_PAGE_SECTORS] = {0};
        uint8_t mask = page_result(disk, r, page, new);
        if (partial)
            mask &= (uint8_t)sim_rng_mix(~r->number, page);
        change_page(disk, page, mask, new, durable);
    }
    if (!partial && r->op != CBD_DISK_DISCARD)
        sim_ranges_remove(&disk->latent, r->off_bytes, r->off_bytes + r->len_bytes);
}

static int complete_read(const struct sim_disk *disk, const struct sim_disk_request *r)
{
    if (sim_ranges_hit(&disk->latent, r->off_bytes, r->off_bytes + r->len_bytes))
        return CBD_E_IO;
    uint64_t first = r->off_bytes / SIM_SECTOR_BYTES;
    uint64_t count = r->len_bytes / SIM_SECTOR_BYTES;
    uint64_t versions[SIM_PAGE_SECTORS];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sector = first + i;
        if (i == 0 || sector % SIM_PAGE_SECTORS == 0)
            sim_content_load(&disk->content, sector / SIM_PAGE_SECTORS, versions);
        sim_sector_fill((uint8_t *)r->io->buf + i * SIM_SECTOR_BYTES, sector,
                        versions[sector % SIM_PAGE_SECTORS]);
    }
    return 0;
}

/* The owner must not touch the buffer of a write: a sector that changed is stored as garbage. */
static void check_buffer(struct sim_disk *disk, struct sim_disk_request *r)
{
    for (uint64_t i = 0; i < r->len_bytes / SIM_SECTOR_BYTES; i++) {
        if (buffer_version(r->io, i) != r->versions[i]) {
            r->versions[i] = SIM_VERSION_GARBAGE;
            disk->state.changed_in_flight++;
        }
    }
}

static void complete_flush(struct sim_disk *disk, const struct sim_disk_request *r)
{
    struct sim_pend *p = &disk->marks.pend;
    struct sim_pend_queue *q = &p->ready[0];
    size_t done = 0;
    for (; done < q->count && q->items[done].b < r->flush_below; done++) {
        if (sim_pend_holds(p, q->items[done].a, q->items[done].b))
            sim_pend_settle(p, (uint32_t)q->items[done].a);
    }
    q->count -= done;
    if (q->count > 0)
        memmove(q->items, q->items + done, q->count * sizeof q->items[0]);
}

static bool fault_hits(struct sim_disk_fault *fault)
{
    if (fault->skip > 0) {
        fault->skip--;
        return false;
    }
    if (fault->count == 0)
        return false;
    fault->count--;
    return true;
}

/* As if the same bytes had been written right behind where they belong, or right before. */
static void misplace(struct sim_disk *disk, struct sim_disk_request *r)
{
    uint64_t off = r->off_bytes;

    if (r->len_bytes <= disk->disk.size_bytes - off - r->len_bytes)
        r->off_bytes = off + r->len_bytes;
    else if (r->len_bytes <= off)
        r->off_bytes = off - r->len_bytes;
    for (uint64_t i = 0; i < r->len_bytes / SIM_SECTOR_BYTES; i++)
        r->versions[i] = SIM_VERSION_GARBAGE;
    apply(disk, r, r->fua || !disk->disk.volatile_cache, false);
    r->off_bytes = off;
}

static void view_load(void *arg, uint64_t page, uint64_t words[SIM_PEND_WORDS])
{
    struct sim_disk *disk = arg;
    sim_content_load(&disk->content, page, words);
}

static void view_store(void *arg, uint64_t page, const uint64_t words[SIM_PEND_WORDS])
{
    struct sim_disk *disk = arg;
    uint64_t old[SIM_PAGE_SECTORS];
    sim_content_load(&disk->content, page, old);
    log_page(disk, page, old);
    disk->state.content_hash ^= sim_marks_hash(page, old) ^ sim_marks_hash(page, words);
    sim_content_store(&disk->content, page, words);
}

/* The disk forgets a fixed choice of what is in its volatile cache; the rest is durable. */
static void forget_part(struct sim_disk *disk, const struct sim_disk_request *r)
{
    struct sim_pend_view view = {view_load, view_store, disk, false};
    struct sim_crash crash = {.kind = SIM_CRASH_RANDOM, .seed = sim_rng_mix(r->number, 31)};

    sim_pend_crash(&disk->marks.pend, &view, &crash);
    sim_marks_drop_pend(&disk->marks);
}

/* A request that fails: what it changes all the same. */
static void take_part(struct sim_disk *disk, struct sim_disk_request *r)
{
    if (r->op == CBD_DISK_FLUSH && !disk->state.gone && disk->state.lie == SIM_DISK_HONEST)
        forget_part(disk, r);
    if (disk->state.gone || r->op == CBD_DISK_READ || r->op == CBD_DISK_FLUSH)
        return;
    if (disk->state.lie == SIM_DISK_MISPLACE && r->op == CBD_DISK_WRITE)
        misplace(disk, r);
    else
        apply(disk, r, false, true);
}

static int take_effect(struct sim_disk *disk, struct sim_disk_request *r)
{
    if (r->error != 0)
        return r->error;
    bool failed = disk->state.gone || fault_hits(&disk->state.fault[r->op]);
    int error = 0;
    sim_marks_own_pend(&disk->marks);
    if (!disk->state.gone && r->op == CBD_DISK_WRITE)
        check_buffer(disk, r);
    if (failed) {
        take_part(disk, r);
        error = CBD_E_IO;
    } else if (r->op == CBD_DISK_READ) {
        error = complete_read(disk, r);
    } else if (r->op == CBD_DISK_FLUSH) {
        complete_flush(disk, r);
    } else {
        apply(disk, r, r->fua || !disk->disk.volatile_cache, false);
    }
    disk->state.failed += error != 0;
    return disk->state.lie != SIM_DISK_HONEST ? 0 : error;
}

static void drop_from_queue(struct sim_disk_queue *q, size_t k)
{
    q->count--;
    memmove(&q->items[k], &q->items[k + 1], (q->count - k) * sizeof q->items[0]);
}

void sim_disk_complete(struct sim_disk *disk, size_t k)
{
    SIM_REQUIRE(k < disk->queue.count);
    if (disk->hook != NULL) {
        struct sim_disk_event ev = sim_disk_inflight_at(disk, k);
        ev.number = disk->state.completions;
        disk->hook(disk->hook_arg, &ev);
    }
    struct sim_disk_request *r = disk->queue.items[k];
    struct cbd_disk_io *io = r->io;
    disk->state.completions++;
    disk->state.by_op[r->op]++;
    drop_from_queue(&disk->queue, k);
    int error = take_effect(disk, r);
    unref(r);
    /* Last: done() may submit, or longjmp away. */
    io->done(io, error);
}

/*
 * The requests in flight take effect without done(), and leave the queue. When the power is cut
 * nothing of them is certain, not even with FUA: `pending`.
 */
static void absorb_queue(struct sim_disk *disk, bool pending)
{
    if (disk->queue.count == 0)
        return;
    sim_marks_own_pend(&disk->marks);
    for (size_t i = 0; i < disk->queue.count; i++) {
        const struct sim_disk_request *r = disk->queue.items[i];
        if (r->error == 0 && !disk->state.gone && r->op != CBD_DISK_READ && r->op != CBD_DISK_FLUSH)
            apply(disk, r, !pending && (r->fua || !disk->disk.volatile_cache), false);
    }
    queue_clear(&disk->queue);
}

void sim_disk_crash(struct sim_disk *disk, const struct sim_crash *crash)
{
    struct sim_pend_view view = {view_load, view_store, disk, false};
    absorb_queue(disk, true);
    sim_pend_crash(&disk->marks.pend, &view, crash);
    sim_marks_drop_pend(&disk->marks);
}

void sim_disk_lose_power(struct sim_disk *disk, struct sim_pend_view *view)
{
    absorb_queue(disk, true);
    *view = (struct sim_pend_view){view_load, view_store, disk, false};
}

void sim_disk_kill(struct sim_disk *disk)
{
    absorb_queue(disk, false);
}

size_t sim_disk_pending_units(struct sim_disk *disk, uint64_t *choices, size_t cap)
{
    sim_disk_mark(disk);
    absorb_queue(disk, true);
    size_t n = sim_pend_units(&disk->marks.pend, false, choices, cap);
    sim_disk_rollback(disk);
    return n;
}

void sim_disk_crash_bits(struct sim_disk *disk, const uint64_t *choice_per_unit)
{
    struct sim_pend_view view = {view_load, view_store, disk, false};
    absorb_queue(disk, true);
    sim_pend_crash_choices(&disk->marks.pend, &view, choice_per_unit);
    sim_marks_drop_pend(&disk->marks);
}

void sim_disk_mark(struct sim_disk *disk)
{
    sim_marks_push(&disk->marks);
    struct sim_disk_level *level = &disk->level[disk->marks.depth - 1];
    level->state = disk->state;
    queue_copy(&level->queue, &disk->queue);
    sim_ranges_copy(&level->latent, &disk->latent);
}

static void undo_page(void *arg, const struct sim_undo *u)
{
    struct sim_disk *disk = arg;
    sim_content_store(&disk->content, u->cell, u->old);
    *sim_content_touched(&disk->content, u->cell) = u->extra;
    *sim_content_stamp(&disk->content, u->cell) = u->stamp;
}

void sim_disk_rollback(struct sim_disk *disk)
{
    sim_marks_pop(&disk->marks, undo_page, disk);
    struct sim_disk_level *level = &disk->level[disk->marks.depth];
    disk->state = level->state;
    queue_copy(&disk->queue, &level->queue);
    queue_clear(&level->queue);
    sim_ranges_copy(&disk->latent, &level->latent);
}

uint64_t sim_disk_peek(const struct sim_disk *disk, uint64_t sector)
{
    uint64_t versions[SIM_PAGE_SECTORS];
    SIM_REQUIRE(sector < disk->disk.size_bytes / SIM_SECTOR_BYTES);
    sim_content_load(&disk->content, sector / SIM_PAGE_SECTORS, versions);
    return versions[sector % SIM_PAGE_SECTORS];
}

void sim_disk_poke(struct sim_disk *disk, uint64_t sector, uint64_t version)
{
    uint64_t new[SIM_PAGE_SECTORS];
    SIM_REQUIRE(sector < disk->disk.size_bytes / SIM_SECTOR_BYTES);
    for (unsigned s = 0; s < SIM_PAGE_SECTORS; s++)
        new[s] = version;
    sim_marks_own_pend(&disk->marks);
    change_page(disk, sector / SIM_PAGE_SECTORS, (uint8_t)(1u << sector % SIM_PAGE_SECTORS), new,
                true);
}

bool sim_disk_next_touched(const struct sim_disk *disk, uint64_t sector, uint64_t *found)
{
    return sim_content_next(&disk->content, sector, found);
}

void sim_disk_set_latent_error(struct sim_disk *disk, uint64_t sector, uint64_t count)
{
    uint64_t limit = disk->disk.size_bytes / SIM_SECTOR_BYTES;
    SIM_REQUIRE(sector <= limit && count <= limit - sector);
    sim_ranges_add(&disk->latent, sector * SIM_SECTOR_BYTES, (sector + count) * SIM_SECTOR_BYTES);
}

void sim_disk_fail_next(struct sim_disk *disk, enum cbd_disk_op op, uint64_t skip, uint64_t count)
{
    SIM_REQUIRE((unsigned)op < SIM_DISK_OPS);
    disk->state.fault[op] = (struct sim_disk_fault){skip, count};
}

void sim_disk_set_gone(struct sim_disk *disk, bool gone)
{
    disk->state.gone = gone;
}

void sim_disk_set_lie(struct sim_disk *disk, enum sim_disk_lie lie)
{
    disk->state.lie = lie;
}

void sim_disk_heal(struct sim_disk *disk)
{
    memset(disk->state.fault, 0, sizeof(disk->state.fault));
    disk->state.gone = false;
    sim_ranges_remove(&disk->latent, 0, disk->disk.size_bytes);
}
