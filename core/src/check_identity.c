/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check, last pass: the backing devices, as far as the caller has them, against what the cache knows
 * of them. Reads only.
 *
 * Size and logical block have to be those of the entry. Then up to PLACES_MAX places of at most 4 KiB
 * are compared that disk and cache must hold alike (Q1 in identity.c):
 *
 *   all records --choose--> half: newest, half: spread --all records again--> no newer one --> compare
 *
 * A place is chosen from a clean record, and dropped when any live record of higher order overlaps
 * it: so nothing has to be indexed, and the memory does not depend on the size of the cache. What
 * cannot be told is left out: a cached copy that fails its checksum, a sector that the disk cannot
 * read, and a backend of which something is damaged or unfinished, since that may have been newer.
 */
#include <string.h>

#include "check_pass.h"
#include "sort.h"

#define PLACES_MAX 512u
#define HALF (PLACES_MAX / 2)

_Static_assert(CBD_SORT_ITEM_BYTES_MAX >= 64, "sort takes a place");

struct place {
    uint64_t key; /* the lowest ones are kept */
    uint64_t order;
    uint64_t addr, len;
    uint64_t payload_addr; /* of the record */
    uint32_t segment;
    uint32_t payload_off;
    bool dropped;
};

struct identity {
    struct cbd_check *k;
    struct cbd_disk *disk;
    uint32_t backend;
    struct place *places; /* two halves, each a heap with the highest key first */
    uint32_t count[2];
    uint32_t segment; /* that is scanned */
    uint32_t differ, unread;
    bool doubt;         /* something newer may have been there */
    struct place first; /* that differs */
    _Alignas(64) uint8_t cached[CBD_BLOCK_BYTES];
    uint8_t found[CBD_BLOCK_BYTES];
};

/* --- choosing --- */

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

static void sink(struct place *heap, uint32_t count)
{
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;
        struct place moved = heap[at];

        if (child + 1 < count && heap[child + 1].key > heap[child].key)
            child++;
        if (child >= count || heap[child].key <= heap[at].key)
            return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static void rise(struct place *heap, uint32_t at)
{
    while (at != 0 && heap[(at - 1) / 2].key < heap[at].key) {
        struct place moved = heap[at];

        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = moved;
        at = (at - 1) / 2;
    }
}

static void keep(struct identity *id, int half, const struct place *place)
{
    struct place *heap = id->places + (size_t)half * HALF;

    if (id->count[half] < HALF) {
        heap[id->count[half]] = *place;
        rise(heap, id->count[half]++);
    } else if (place->key < heap[0].key) {
        heap[0] = *place;
        sink(heap, HALF);
    }
}

/* Block n of a record that the disk must hold as it is here. */
static struct place block_of(const struct identity *id, const struct cbd_record *r, uint64_t n)
{
    uint64_t block = r->addr_bytes / CBD_BLOCK_BYTES + n;
    uint64_t from = n == 0 ? r->addr_bytes : block * CBD_BLOCK_BYTES;
    uint64_t to = cbd_min64(r->addr_bytes + r->len_bytes, (block + 1) * CBD_BLOCK_BYTES);

    return (struct place){
        .order = r->order,
        .addr = from,
        .len = to - from,
        .payload_addr = r->addr_bytes,
        .segment = id->segment,
        .payload_off = r->payload_off,
    };
}

static bool on_disk(const struct identity *id, const struct cbd_record *r)
{
    const struct cbd_backend_state *s = &id->k->cache.states[id->backend];

    return r->order >= s->horizon &&
           (r->type == CBD_M_RECORD_FILL ||
            (r->type == CBD_M_RECORD_WRITE && r->epoch <= s->epoch_written));
}

static int choose(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct identity *id = arg;
    uint64_t hash = mix(r->order ^ mix(r->addr_bytes));
    struct place p;

    (void)slot;
    if (!on_disk(id, r))
        return 0;
    p = block_of(id, r, 0);
    p.key = ~r->order;
    keep(id, 0, &p);
    p = block_of(id, r, hash % cbd_block_count(r->addr_bytes, (uint32_t)r->len_bytes));
    p.key = hash;
    keep(id, 1, &p);
    return 0;
}

/* --- dropping --- */

static bool before(const void *a, const void *b)
{
    const struct place *p = a, *q = b;

    return p->addr < q->addr;
}

/* Forgotten ones do not matter: they are older than anything that is not. */
static int drop(void *arg, uint32_t slot, const struct cbd_record *r)
{
    struct identity *id = arg;
    uint64_t end = r->addr_bytes + r->len_bytes;
    uint32_t low = 0, high = id->count[0];

    (void)slot;
    if (r->type == CBD_M_RECORD_VOID)
        return 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (id->places[middle].addr + CBD_BLOCK_BYTES <= r->addr_bytes)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < id->count[0] && id->places[low].addr < end; low++) {
        struct place *p = &id->places[low];

        if (r->order > p->order && p->addr + p->len > r->addr_bytes)
            p->dropped = true;
    }
    return 0;
}

static int each_record(struct identity *id,
                       int (*visit)(void *arg, uint32_t slot, const struct cbd_record *record))
{
    struct cbd_check *k = id->k;
    int stop = 0;

    for (uint32_t s = 0; s < k->cache.super.geo.segment_count && stop == 0; s++) {
        struct cbd_scan scan = {.damaged = 0};

        if (k->entries[s].plan != CBD_CHECK_PLAN_SCAN ||
            k->cache.segments[s].entry.owner != id->backend + 1)
            continue;
        if (k->options.progress != NULL)
            stop = k->options.progress(k->arg, s, k->cache.super.geo.segment_count);
        id->segment = s;
        if (stop == 0)
            stop = cbd_scan_segment(&k->cache, s, &scan, visit, id);
        id->doubt = id->doubt || scan.damaged != 0 || scan.unfinished != 0 || scan.recordless;
    }
    return stop;
}

/* --- comparing --- */

struct answer {
    struct cbd_disk_io io;
    struct cbd_env *env;
    int error;
    atomic_bool done;
};

static void on_read(struct cbd_disk_io *io, int error)
{
    struct answer *a = io->owner;
    struct cbd_env *env = a->env;

    a->error = error;
    atomic_store(&a->done, true);
    env->ops->wake(env);
}

static bool answered(void *arg)
{
    return atomic_load(&((struct answer *)arg)->done);
}

static int read_disk(struct identity *id, const struct place *p)
{
    struct cbd_env *env = id->k->cache.env;
    struct answer a = {
        .io = {.op = CBD_DISK_READ,
               .off_bytes = p->addr,
               .len_bytes = p->len,
               .buf = id->found,
               .done = on_read,
               .owner = &a},
        .env = env,
    };

    id->disk->ops->submit(id->disk, &a.io);
    while (!answered(&a))
        (void)env->ops->wait(env, answered, &a, UINT64_MAX);
    return a.error;
}

static void compare(struct identity *id, const struct place *p)
{
    if (p->dropped || cbd_payload_read(&id->k->cache, p->segment, p->payload_off, p->payload_addr,
                                       p->addr - p->payload_addr, p->len, id->cached, NULL) != 0)
        return;
    if (read_disk(id, p) != 0) {
        id->unread++;
        return;
    }
    if (memcmp(id->cached, id->found, p->len) == 0)
        return;
    if (id->differ++ == 0)
        id->first = *p;
}

static int report(struct identity *id, enum cbd_problem_code code, uint64_t got, uint64_t limit)
{
    struct cbd_check_finding f = cbd_check_finding(code);

    f.backend = id->backend;
    f.got = got;
    f.limit = limit;
    if (code == CBD_PROBLEM_DISK_CONTENT) {
        f.off_bytes = cbd_segment_off(&id->k->cache.super.geo, id->first.segment) +
                      id->first.payload_off + (id->first.addr - id->first.payload_addr);
        f.range_known = true;
        f.addr_bytes = id->first.addr;
        f.len_bytes = id->first.len;
    }
    return cbd_check_report(id->k, &f);
}

static int compare_all(struct identity *id)
{
    int stop = 0;

    for (uint32_t i = 0; i < id->count[0]; i++)
        compare(id, &id->places[i]);
    if (id->differ != 0)
        stop = report(id, CBD_PROBLEM_DISK_CONTENT, id->differ, 0);
    if (stop == 0 && id->unread != 0)
        stop = report(id, CBD_PROBLEM_DISK_UNREAD, id->unread, 0);
    return stop;
}

static int contents(struct identity *id)
{
    int stop = each_record(id, choose);

    memmove(id->places + id->count[0], id->places + HALF, id->count[1] * sizeof(*id->places));
    id->count[0] += id->count[1];
    cbd_sort(id->places, id->count[0], sizeof(*id->places), before);
    if (stop == 0 && !id->doubt)
        stop = each_record(id, drop);
    if (stop != 0 || id->count[0] == 0)
        return stop;
    return id->doubt ? report(id, CBD_PROBLEM_DISK_DOUBT, 0, 0) : compare_all(id);
}

/* Whether the cache can say what the disk has to hold. */
static bool has_contents(const struct cbd_check *k, uint32_t backend)
{
    return k->state_valid[backend] && (k->options.flags & CBD_CHECK_SCAN) != 0 &&
           (k->cache.super.incompat & CBD_INCOMPAT_METADATA_ONLY) == 0 &&
           (k->cache.states[backend].flags & CBD_M_STATE_DROPPING) == 0;
}

static int check_disk(struct cbd_check *k, uint32_t backend, struct cbd_disk *disk, bool sound)
{
    const struct cbd_backend_config *c = &k->cache.configs[backend];
    struct cbd_env *env = k->cache.env;
    struct identity *id = env->ops->alloc(env, sizeof(*id));
    int stop = CBD_E_NOMEM;

    if (id == NULL)
        return CBD_E_NOMEM;
    memset(id, 0, sizeof(*id));
    id->k = k;
    id->disk = disk;
    id->backend = backend;
    id->doubt = !sound;
    id->places = env->ops->alloc(env, PLACES_MAX * sizeof(*id->places));
    if (id->places != NULL) {
        stop = 0;
        if (disk->size_bytes != c->size_bytes)
            stop = report(id, CBD_PROBLEM_DISK_SIZE, disk->size_bytes, c->size_bytes);
        if (stop == 0 && disk->logical_block_bytes != c->logical_block_bytes)
            stop = report(id, CBD_PROBLEM_DISK_BLOCK, disk->logical_block_bytes,
                          c->logical_block_bytes);
        if (stop == 0 && disk->size_bytes == c->size_bytes &&
            disk->logical_block_bytes == c->logical_block_bytes && has_contents(k, backend))
            stop = contents(id);
        env->ops->free(env, id->places, PLACES_MAX * sizeof(*id->places));
    }
    env->ops->free(env, id, sizeof(*id));
    return stop;
}

int cbd_check_disks(struct cbd_check *k)
{
    bool sound = k->out->errors == 0;
    int stop = 0;

    for (uint32_t i = 0; i < CBD_BACKENDS && stop == 0; i++)
        if (k->options.disks != NULL && k->options.disks[i] != NULL && k->config_valid[i] &&
            k->cache.configs[i].used == CBD_M_BACKEND_USED)
            stop = check_disk(k, i, k->options.disks[i], sound);
    return stop;
}
