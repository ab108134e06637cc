/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a disk is the one that the cache knows: at attach, up to 64 places that both must hold
 * alike are compared.
 *
 * Q1  a place is compared only where the disk must hold what the index shows: the extent is clean
 *     (a fill, or of an epoch that was written back), so no newer dirty data covers it, and the
 *     disk had it flushed before E said so (W3); and no record there that is taken for unfinished,
 *     or is lost with a range that nobody knows, can be a newer one that was damaged (doubt.c);
 * Q2  the verdict comes before the state says "attached" and before anything but repairs and void
 *     records is stored: a wrong disk leaves the cache as it was, and no request reaches it;
 * Q3  damage is no verdict: a cached copy that fails its checksum and a sector that the disk cannot
 *     read are passed over. Only when the disk could read none of them the attach fails.
 *
 * Half of the places are the newest clean records of each stream: what a file system wrote last,
 * its superblock and journal, is what changes first when somebody uses the disk without the cache.
 * The others are spread over the whole index, elsewhere at each attach.
 */
#include <string.h>

#include "engine.h"

#define PLACES_MAX 64u
#define SLOTS_BACK_MAX 256u       /* how far to look back in a stream */
#define DRAWS_MAX 256u            /* how many positions of the index to try */
#define EXTENTS_NEAR 8u           /* how far to go on from each */
#define EXTENTS_WALKED (1u << 14) /* and from the start, over all trees, if that was not enough */

struct place {
    struct cbd_disk_io io;
    struct check *check;
    uint64_t pmem_off;
    uint8_t *cached; /* up to one block */
    uint8_t *found;
    int error;
};

struct check {
    struct cbd_backend *b;
    struct place *places;
    uint8_t *buf; /* two blocks for each place */
    uint32_t max, count;
    atomic_uint left; /* not answered yet */
};

/* One step of splitmix64, as published by S. Vigna (2015). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The address on the disk of a sector of tree n. */
static uint64_t device_addr(const struct cbd_backend *b, uint32_t n, uint64_t sector)
{
    uint64_t region = sector / CBD_REGION_SECTORS;

    return ((region << b->tree_bits) + n) * CBD_REGION_BYTES +
           sector % CBD_REGION_SECTORS * CBD_SECTOR_BYTES;
}

static bool known(const struct check *ck, uint64_t addr)
{
    for (uint32_t i = 0; i < ck->count; i++)
        if (ck->places[i].io.off_bytes == addr)
            return true;
    return false;
}

/*
 * Takes what an extent of tree n holds from `sector` on, up to the end of its 4 KiB block, if it is
 * clean and whole. Q1, Q3
 */
static void take(struct check *ck, uint32_t n, const struct cbd_extent *e, uint64_t sector)
{
    struct cbd_backend *b = ck->b;
    struct cbd_cache *c = b->cache;
    /* Extents are made of logical blocks; the disk reads nothing smaller. */
    uint64_t first = sector - sector % (b->disk->logical_block_bytes / CBD_SECTOR_BYTES);
    uint64_t addr = device_addr(b, n, first);
    uint64_t skip = (first - e->start) * CBD_SECTOR_BYTES;
    uint64_t len =
        cbd_min64(CBD_BLOCK_BYTES - addr % CBD_BLOCK_BYTES, e->len * CBD_SECTOR_BYTES - skip);
    struct place *p = &ck->places[ck->count];

    if (ck->count == ck->max || e->kind != CBD_EXTENT_DATA || known(ck, addr) ||
        (!cbd_extent_clean(b, e) && !CBD_CANARY(DIRTY_PLACE_COMPARED)) ||
        (cbd_doubt_at(b, addr, len, e->order) && !CBD_CANARY(DOUBT_COMPARED)))
        return;
    memset(p, 0, sizeof(*p));
    p->check = ck;
    p->pmem_off = e->loc * CBD_LINE_BYTES + skip;
    p->cached = ck->buf + (size_t)ck->count * 2 * CBD_BLOCK_BYTES;
    p->found = p->cached + CBD_BLOCK_BYTES;
    if (cbd_extent_read(c, e, skip, len, p->cached, NULL) != 0)
        return;
    p->io.op = CBD_DISK_READ;
    p->io.off_bytes = addr;
    p->io.len_bytes = len;
    p->io.buf = p->found;
    ck->count++;
}

/* The newest records of a stream's open segment, while they are what the index shows. */
static void take_newest(struct check *ck, const struct cbd_stream *s, uint32_t want)
{
    struct cbd_backend *b = ck->b;
    const struct cbd_segment *seg;
    uint32_t limit = ck->count + want;

    if (s->segment == CBD_NO_SEGMENT)
        return;
    seg = &b->cache->segments[s->segment];
    for (uint32_t back = 1; back <= seg->records && back <= SLOTS_BACK_MAX && ck->count < limit;
         back++) {
        struct cbd_record r;
        struct cbd_extent e;
        uint64_t pos;

        if (cbd_load_record(b->cache, s->segment, seg->records - back, &r) != 0 ||
            (r.type != CBD_M_RECORD_WRITE && r.type != CBD_M_RECORD_FILL))
            continue;
        pos = cbd_index_local(b, r.addr_bytes);
        if (cbd_tree_find(&cbd_index_tree_of(b, r.addr_bytes)->tree, pos, &e) && e.start <= pos &&
            e.order == r.order)
            take(ck, (uint32_t)(cbd_index_tree_of(b, r.addr_bytes) - b->trees), &e, pos);
    }
}

/*
 * Goes through tree n from pos on, past what is dirty or holds no data, until it has taken `want`
 * places or seen `extents` extents.
 */
static void take_from(struct check *ck, uint32_t n, uint64_t pos, uint32_t want, uint32_t extents)
{
    const struct cbd_tree *tree = &ck->b->trees[n].tree;
    uint32_t limit = ck->count + want;
    struct cbd_extent e;

    for (; extents > 0 && ck->count < limit && cbd_tree_find(tree, pos, &e); extents--) {
        take(ck, n, &e, e.start > pos ? e.start : pos);
        pos = e.start + e.len;
    }
}

/* Drawn positions first; where little of the index can be compared, then all of it that is near. */
static void take_spread(struct check *ck)
{
    struct cbd_backend *b = ck->b;
    uint32_t trees = 1u << b->tree_bits;
    uint64_t span = (b->size_bytes / CBD_REGION_BYTES >> b->tree_bits) + 1;
    uint64_t state = b->state.attaches;

    for (uint32_t i = 0; i < DRAWS_MAX && ck->count < ck->max; i++) {
        uint32_t n = (uint32_t)(draw(&state) % trees);

        take_from(ck, n, draw(&state) % (span * CBD_REGION_SECTORS), 1, EXTENTS_NEAR);
    }
    for (uint32_t n = 0; n < trees && ck->count < ck->max; n++)
        take_from(ck, n, 0, ck->max - ck->count, EXTENTS_WALKED / trees + 1);
}

static void read_done(struct cbd_disk_io *io, int error)
{
    struct place *p = io->owner;
    struct check *ck = p->check;
    struct cbd_env *env = ck->b->cache->env;

    p->error = error;
    atomic_fetch_sub(&ck->left, 1);
    env->ops->wake(env);
}

static bool all_answered(void *arg)
{
    struct check *ck = arg;

    return atomic_load(&ck->left) == 0;
}

static void read_places(struct check *ck)
{
    struct cbd_disk *disk = ck->b->disk;
    struct cbd_env *env = ck->b->cache->env;

    atomic_store(&ck->left, ck->count);
    for (uint32_t i = 0; i < ck->count; i++) {
        struct place *p = &ck->places[i];

        p->io.done = read_done;
        p->io.owner = p;
        disk->ops->submit(disk, &p->io);
    }
    while (!all_answered(ck))
        (void)env->ops->wait(env, all_answered, ck, UINT64_MAX);
}

static int compare(const struct check *ck)
{
    struct cbd_backend *b = ck->b;
    uint32_t unread = 0, differ = 0;
    int error = 0;

    for (uint32_t i = 0; i < ck->count; i++) {
        const struct place *p = &ck->places[i];

        if (p->error != 0 && !CBD_CANARY(UNREAD_PLACE_DIFFERS)) {
            unread++;
            error = p->error;
        } else if (memcmp(p->cached, p->found,
                          CBD_CANARY(FIRST_SECTOR_COMPARED) ? CBD_SECTOR_BYTES : p->io.len_bytes) !=
                       0 &&
                   differ++ == 0) {
            cbd_report(b->cache->env, CBD_ERROR, CBD_E_MISMATCH, "backing device",
                       "holds something else than was written to it: another disk, or used "
                       "without its cache",
                       b->id, p->pmem_off, p->io.off_bytes, p->io.len_bytes);
        }
    }
    if (differ != 0)
        return CBD_E_MISMATCH;
    return unread != 0 && unread == ck->count && !CBD_CANARY(UNREAD_DISK_ATTACHED) ? error : 0;
}

/*
 * 0: nothing speaks against the disk. CBD_E_MISMATCH: it is not what was written to it; reported,
 * with an address. CBD_E_NOMEM, CBD_E_IO.
 */
int cbd_identity_check(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    struct check ck = {.b = b, .max = PLACES_MAX};
    size_t buf_bytes;
    int error = CBD_E_NOMEM;

    if (b->options.identity_places != 0)
        ck.max = (uint32_t)cbd_min64(b->options.identity_places, PLACES_MAX);
    if (b->options.identity_places == CBD_IDENTITY_NONE)
        return 0;
    buf_bytes = (size_t)ck.max * 2 * CBD_BLOCK_BYTES;
    ck.places = env->ops->alloc(env, ck.max * sizeof(*ck.places));
    ck.buf = env->ops->alloc(env, buf_bytes);
    if (ck.places != NULL && ck.buf != NULL) {
        for (uint32_t i = 0; i < b->stream_count && !CBD_CANARY(NEWEST_NOT_COMPARED); i++)
            take_newest(&ck, &b->streams[i], (ck.max / 2 + i) / b->stream_count);
        if (!CBD_CANARY(NEWEST_COMPARED_ONLY))
            take_spread(&ck);
        read_places(&ck);
        error = compare(&ck);
    }
    if (ck.buf != NULL)
        env->ops->free(env, ck.buf, buf_bytes);
    if (ck.places != NULL)
        env->ops->free(env, ck.places, ck.max * sizeof(*ck.places));
    return error;
}
