/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backends: adding, removing, attaching, detaching.
 *
 * B1  a backend exists as soon as its entry says so, and that is stored last: state and segments
 *     are ready before. Segments of an entry that is free belong to nobody;
 * B2  removing stores the free entry first and gives the segments back afterwards;
 * B3  a detach clears "attached" only after everything is on the disk and E says so;
 * B4  before that, the entry of each open segment says how many records it has. So behind a clean
 *     detach every record is proven, also the newest of each stream: one that is missing is damaged.
 */
#include <string.h>

#include "engine.h"

#define STREAMS_DEFAULT 4u

bool cbd_backend_info(const struct cbd_cache *cache, uint32_t id, struct cbd_backend_info *info)
{
    const struct cbd_backend_config *config;
    struct cbd_backend_state state;
    struct cbd_backend *b;

    if (id >= CBD_BACKENDS || cache->configs[id].used != CBD_M_BACKEND_USED)
        return false;
    config = &cache->configs[id];
    b = cache->attached[id];
    if (b != NULL) {
        cbd_lock_take(cache->env, &b->table_lock); /* write-back and reclaim change it */
        state = b->state;
        cbd_lock_drop(&b->table_lock);
    } else {
        state = cache->states[id];
    }
    memset(info, 0, sizeof(*info));
    info->id = id;
    memcpy(info->uuid, config->uuid, sizeof(info->uuid));
    memcpy(info->name, config->name, sizeof(info->name));
    memcpy(info->path, config->path, sizeof(info->path));
    info->size_bytes = config->size_bytes;
    info->logical_block_bytes = config->logical_block_bytes;
    info->streams = config->streams;
    info->segments = config->segments;
    info->was_attached = (state.flags & CBD_M_STATE_ATTACHED) != 0;
    info->epoch_written = state.epoch_written;
    info->horizon = state.horizon;
    info->attaches = state.attaches;
    info->created_s = config->created_s;
    return true;
}

int cbd_backend_lookup(const struct cbd_cache *cache, const char *name, uint32_t *id)
{
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        if (cache->configs[i].used == CBD_M_BACKEND_USED &&
            strcmp(cache->configs[i].name, name) == 0) {
            *id = i;
            return 0;
        }
    }
    return CBD_E_NOTFOUND;
}

static bool unowned(const struct cbd_cache *c, uint32_t segment, uint32_t id)
{
    uint16_t owner = c->segments[segment].entry.owner;

    return owner == 0 || owner == id + 1 || CBD_CANARY(SEGMENT_TAKEN_AWAY) ||
           c->configs[owner - 1].used != CBD_M_BACKEND_USED;
}

/* Gives `want` segments to backend `id` (counted from 0) and takes any others that name it away. */
static int assign_segments(struct cbd_cache *c, uint32_t id, uint32_t want)
{
    for (uint32_t i = 0; i < c->super.geo.segment_count; i++) {
        struct cbd_segment_entry *e = &c->segments[i].entry;
        bool take = want > 0 && unowned(c, i, id);
        uint16_t owner = take ? (uint16_t)(id + 1) : 0;
        int error;

        want -= take;
        if (!take && e->owner != id + 1)
            continue;
        if (e->owner == owner && e->status == CBD_M_SEGMENT_FREE)
            continue;
        e->owner = owner;
        if (!CBD_CANARY(OLD_RECORDS_ADOPTED))
            e->status = CBD_M_SEGMENT_FREE;
        e->stream = 0;
        e->records = 0;
        e->detached = 0;
        e->order_max = 0;
        e->epoch_max = 0;
        error = cbd_twin_write_segment(c, i, e, CBD_TWIN_SEGMENT_ASSIGN);
        if (error != 0)
            return error;
    }
    return 0;
}

/*
 * Copies of one entry may differ after a crash: a write to them needs them equal (T1). What an
 * attached backend owns was repaired at its attach, and is in use.
 */
static int repair_before_write(struct cbd_cache *c)
{
    int error = cbd_tables_settle(c);

    if (error == 0)
        cbd_repair_supers(c);
    for (uint32_t i = 0; i < CBD_BACKENDS && error == 0; i++)
        if (c->attached[i] == NULL)
            error = cbd_repair_backend(c, i);
    for (uint32_t i = 0; i < c->super.geo.segment_count && error == 0; i++) {
        uint16_t owner = c->segments[i].entry.owner;

        if (owner == 0 || c->attached[owner - 1] == NULL)
            error = cbd_repair_segment(c, i);
    }
    return error != 0 ? error : cbd_twin_repair_end(c);
}

/* Of a length that fits, without characters that a list or a log would break at. */
static bool is_name(const char *name)
{
    if (name == NULL || name[0] == '\0' || strlen(name) > CBD_BACKEND_NAME_BYTES)
        return false;
    for (; *name != '\0'; name++)
        if ((unsigned char)*name < ' ' || *name == 0x7f)
            return false;
    return true;
}

static int check_options(const struct cbd_cache *c, const struct cbd_backend_options *o,
                         struct cbd_backend_config *config)
{
    uint32_t lbs = o->logical_block_bytes;
    uint32_t id;

    memset(config, 0, sizeof(*config));
    config->segments =
        (uint32_t)cbd_min64(o->cache_bytes / c->super.geo.segment_bytes, CBD_SEGMENTS_MAX);
    config->streams = o->streams;
    if (config->streams == 0) {
        config->streams = STREAMS_DEFAULT;
        while (config->streams > 1 && config->segments < config->streams + CBD_SHARE_RESERVE)
            config->streams--;
    }
    if (!is_name(o->name))
        return CBD_E_INVALID;
    if (config->streams > CBD_STREAMS_MAX || lbs < 512 || lbs > CBD_BLOCK_BYTES ||
        (lbs & (lbs - 1)) != 0 || o->size_bytes == 0 || o->size_bytes % lbs != 0 ||
        o->size_bytes > (UINT64_C(1) << 48))
        return CBD_E_INVALID;
    if ((config->segments < config->streams + CBD_SHARE_RESERVE && !CBD_CANARY(NO_RESERVE)) ||
        config->segments > cbd_cache_unowned(c))
        return CBD_E_NOSPACE;
    if (cbd_backend_lookup(c, o->name, &id) == 0)
        return CBD_E_EXISTS;
    config->used = CBD_M_BACKEND_USED;
    memcpy(config->uuid, o->uuid, sizeof(config->uuid));
    memcpy(config->name, o->name, strlen(o->name));
    if (o->path != NULL)
        memcpy(config->path, o->path, cbd_text_len(o->path, CBD_BACKEND_PATH_BYTES));
    config->size_bytes = o->size_bytes;
    config->logical_block_bytes = lbs;
    config->created_s = o->created_s;
    return 0;
}

int cbd_backend_add(struct cbd_cache *cache, const struct cbd_backend_options *options,
                    uint32_t *id)
{
    struct cbd_backend_config config;
    uint32_t i = 0;
    int error;

    if (cache->readonly)
        return CBD_E_READONLY;
    if (atomic_load(&cache->failed) != 0)
        return atomic_load(&cache->failed);
    error = check_options(cache, options, &config);
    if (error != 0)
        return error;
    while (i < CBD_BACKENDS && cache->configs[i].used == CBD_M_BACKEND_USED)
        i++;
    if (i == CBD_BACKENDS)
        return CBD_E_NOSPACE;
    error = repair_before_write(cache);
    if (error == 0 && CBD_CANARY(ADDED_TOO_EARLY))
        error = cbd_twin_write_backend(cache, i, &config);
    if (error == 0)
        error = assign_segments(cache, i, config.segments); /* B1 */
    if (error == 0 && !CBD_CANARY(OLD_STATE_ADOPTED)) {
        cache->states[i] = (struct cbd_backend_state){.seq = cache->states[i].seq};
        error = cbd_twin_write_state(cache, i, &cache->states[i], CBD_TWIN_BACKEND_STATE);
    }
    if (error == 0) {
        config.seq = cache->configs[i].seq;
        error = cbd_twin_write_backend(cache, i, &config);
    }
    if (error != 0)
        return error;
    cache->configs[i] = config;
    *id = i;
    return 0;
}

/* Whether a backend is there and nobody uses it, in a cache that may be changed. */
static int check_detached(const struct cbd_cache *cache, uint32_t id)
{
    if (cache->readonly)
        return CBD_E_READONLY;
    if (atomic_load(&cache->failed) != 0)
        return atomic_load(&cache->failed);
    if (id >= CBD_BACKENDS || cache->configs[id].used != CBD_M_BACKEND_USED)
        return CBD_E_NOTFOUND;
    return cache->attached[id] != NULL ? CBD_E_BUSY : 0;
}

int cbd_backend_remove(struct cbd_cache *cache, uint32_t id)
{
    struct cbd_backend_config config = {0};
    int error;

    error = check_detached(cache, id);
    if (error == 0)
        error = repair_before_write(cache);
    if (error != 0)
        return error;
    config.seq = cache->configs[id].seq;
    if (CBD_CANARY(SHARE_GIVEN_BACK_FIRST))
        error = assign_segments(cache, id, 0);
    error = cbd_twin_write_backend(cache, id, &config); /* B2 */
    if (error != 0)
        return error;
    cache->configs[id] = config;
    return assign_segments(cache, id, 0);
}

/* Segments of the share; what the entry says and what the table says may differ on forged media. */
uint32_t cbd_owned_segments(const struct cbd_backend *b)
{
    uint32_t n = 0;

    for (uint32_t id = 0; id < b->cache->super.geo.segment_count; id++)
        n += b->cache->segments[id].entry.owner == b->id + 1;
    return n;
}

static void release(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    b->cache->attached[b->id] = NULL;
    b->cache->states[b->id] = b->state;
    cbd_warm_destroy(b);
    cbd_keep_destroy(b);
    cbd_scrub_destroy(b);
    cbd_index_destroy(b);
    cbd_lost_destroy(b);
    cbd_doubt_destroy(b);
    cbd_writeback_destroy(b);
    cbd_wb_hold_destroy(b);
    if (b->streams != NULL)
        env->ops->free(env, b->streams, b->stream_count * sizeof(*b->streams));
    if (b->in_use != NULL)
        env->ops->free(env, b->in_use, (cbd_owned_segments(b) + 1) * sizeof(*b->in_use));
    if (b->lanes != NULL)
        env->ops->free(env, b->lanes, CBD_LANES_ALL * sizeof(*b->lanes));
    env->ops->free(env, b, sizeof(*b));
}

static uint32_t tree_bits(const struct cbd_backend *b)
{
    uint64_t share =
        (uint64_t)b->cache->configs[b->id].segments * b->cache->super.geo.segment_bytes;
    uint32_t bits = 0;

    if (b->options.trees == 0)
        return cbd_tree_bits_of(share);
    while (bits < CBD_TREE_BITS_MAX && 2u << bits <= b->options.trees)
        bits++;
    return bits;
}

static void set_options(struct cbd_backend *b, const struct cbd_attach_options *options)
{
    const struct cbd_geometry *geo = &b->cache->super.geo;

    if (options != NULL)
        b->options = *options;
    b->tree_bits = tree_bits(b);
    b->piece_bytes_max = (uint32_t)cbd_min64(CBD_REGION_BYTES, geo->segment_bytes / 4);
}

static int make_ready(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    int error;

    b->streams = env->ops->alloc(env, b->stream_count * sizeof(*b->streams));
    b->lanes = env->ops->alloc(env, CBD_LANES_ALL * sizeof(*b->lanes));
    b->in_use = env->ops->alloc(env, (cbd_owned_segments(b) + 1) * sizeof(*b->in_use));
    if (b->streams == NULL || b->lanes == NULL || b->in_use == NULL)
        return CBD_E_NOMEM;
    memset(b->streams, 0, b->stream_count * sizeof(*b->streams));
    memset(b->lanes, 0, CBD_LANES_ALL * sizeof(*b->lanes));
    for (uint32_t i = 0; i < b->stream_count; i++) {
        b->streams[i].segment = CBD_NO_SEGMENT;
        b->streams[i].wb_head = CBD_NO_SEGMENT;
        b->streams[i].wb_tail = CBD_NO_SEGMENT;
    }
    error = cbd_tune_init(b);
    if (error == 0)
        error = cbd_sync_init(b);
    if (error == 0)
        error = cbd_keep_init(b);
    if (error == 0)
        error = cbd_index_create(b);
    if (error == 0)
        error = cbd_writeback_init(b);
    if (error == 0)
        error = cbd_wb_hold_init(b);
    if (error == 0)
        error = cbd_recover(b);
    return error;
}

int cbd_backend_attach(struct cbd_cache *cache, uint32_t id, struct cbd_disk *disk,
                       const struct cbd_attach_options *options, struct cbd_backend **backend)
{
    struct cbd_env *env = cache->env;
    const struct cbd_backend_config *config;
    struct cbd_backend *b;
    int error;

    error = check_detached(cache, id);
    if (error != 0)
        return error;
    config = &cache->configs[id];
    if ((disk->size_bytes != config->size_bytes && !CBD_CANARY(SIZE_NOT_COMPARED)) ||
        disk->logical_block_bytes != config->logical_block_bytes) {
        bool size = disk->size_bytes != config->size_bytes;

        cbd_report(env, CBD_ERROR, CBD_E_MISMATCH, "backing device",
                   size ? "has another size than when it was added"
                        : "has another logical block than when it was added",
                   id, UINT64_MAX, size ? disk->size_bytes : disk->logical_block_bytes,
                   size ? config->size_bytes : config->logical_block_bytes);
        return CBD_E_MISMATCH;
    }
    b = env->ops->alloc(env, sizeof(*b));
    if (b == NULL)
        return CBD_E_NOMEM;
    memset(b, 0, sizeof(*b));
    b->cache = cache;
    b->id = id;
    b->disk = disk;
    b->size_bytes = config->size_bytes;
    b->stream_count = config->streams;
    b->state = cache->states[id];
    b->free_head = CBD_NO_SEGMENT;
    atomic_store(&b->grace, 1);
    set_options(b, options);
    error = cbd_accept_check(b);
    if (error == 0)
        error = make_ready(b);
    /* What is degraded stays as it is on the media (L3): there a mismatch is not accepted. */
    if (error == CBD_E_MISMATCH && b->options.accept_backing && atomic_load(&b->failed) == 0) {
        /* Once decided, recovery starts over and sees the decision. */
        error = cbd_accept_decide(b);
        release(b);
        return error != 0 ? error : cbd_backend_attach(cache, id, disk, options, backend);
    }
    if (error == 0)
        error = cbd_accept_finish(b);
    if (error != 0) {
        release(b);
        return error;
    }
    cache->attached[id] = b;
    *backend = b;
    return 0;
}

void cbd_backend_abandon(struct cbd_backend *backend)
{
    release(backend);
}

static bool writeback_can_step(void *arg)
{
    struct cbd_backend *b = arg;

    return atomic_load(&b->wb.completions) != b->wb.completions_seen;
}

/* Steps until nothing is dirty; waits for the disk in between. */
int cbd_backend_write_all(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    int did;

    cbd_backend_drain(b, true);
    do {
        b->wb.completions_seen = atomic_load(&b->wb.completions);
        did = cbd_writeback_step(b);
        if (did == 0 && b->wb.phase != CBD_WB_IDLE) {
            /* Something is in flight: whatever completes may let the next step go on. */
            did = env->ops->wait(env, writeback_can_step, b, UINT64_MAX);
            did = did == 0 ? 1 : did;
        }
    } while (did > 0);
    return did;
}

int cbd_backend_detach(struct cbd_backend *backend)
{
    struct cbd_backend *b = backend;
    int error = 0;

    if (CBD_CANARY(CLEAN_BEFORE_DRAIN)) {
        b->state.flags &= ~CBD_M_STATE_ATTACHED;
        error = cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_BACKEND_STATE);
    }
    error = cbd_backend_write_all(b);
    if (error == 0)
        error = cbd_sync(b); /* fills: behind a clean detach nothing is unfinished */
    if (error == 0)
        error = cbd_accept_end(b);
    for (uint32_t i = 0; i < b->stream_count && error == 0; i++) {
        error = cbd_stream_detach(b, &b->streams[i]); /* B4 */
        if (error != 0)
            atomic_store(&b->failed, error);
    }
    if (error == 0 || CBD_CANARY(DETACH_ERROR_IGNORED)) {
        b->state.flags &= ~CBD_M_STATE_ATTACHED;
        error = cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_BACKEND_STATE); /* B3 */
        if (error != 0)
            atomic_store(&b->failed, error); /* a copy may say "detached" by now */
    }
    if (error != 0) {
        b->state.flags |= CBD_M_STATE_ATTACHED;
        cbd_backend_drain(b, false);
        return error;
    }
    release(b);
    return 0;
}

int cbd_backend_step(struct cbd_backend *b, enum cbd_work work)
{
    if (work == CBD_WORK_SCRUB)
        return cbd_scrub_step(b);
    return work == CBD_WORK_RECLAIM ? cbd_reclaim_step(b) : cbd_writeback_step(b);
}

void cbd_backend_drain(struct cbd_backend *b, bool drain_all)
{
    atomic_store(&b->drain, drain_all);
    cbd_writeback_nudge(b);
}
