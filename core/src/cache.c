/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing the device: superblock and tables into memory. Stores nothing. */
#include <string.h>

#include "engine.h"

static int load_tables(struct cbd_cache *c)
{
    int error = 0;
    bool differ;

    for (uint32_t i = 0; i < CBD_BACKENDS && error == 0; i++) {
        error = cbd_twin_read_backend(c, i, &c->configs[i], &differ);
        if (error == 0)
            error = cbd_twin_read_state(c, i, &c->states[i], &differ);
    }
    for (uint32_t i = 0; i < c->super.geo.segment_count && error == 0; i++) {
        struct cbd_segment *seg = &c->segments[i];

        memset(seg, 0, sizeof(*seg));
        error = cbd_twin_read_segment(c, i, &seg->entry, &differ);
        cbd_segment_seeds(c, i, seg);
    }
    return error;
}

static void release(struct cbd_cache *c)
{
    struct cbd_env *env = c->env;

    cbd_keep_release(c);
    if (c->configs != NULL)
        env->ops->free(env, c->configs, CBD_BACKENDS * sizeof(*c->configs));
    if (c->states != NULL)
        env->ops->free(env, c->states, CBD_BACKENDS * sizeof(*c->states));
    if (c->segments != NULL)
        env->ops->free(env, c->segments, c->super.geo.segment_count * sizeof(*c->segments));
    env->ops->free(env, c, sizeof(*c));
}

int cbd_cache_open(struct cbd_pmem *pm, struct cbd_env *env, unsigned flags,
                   struct cbd_cache **cache)
{
    struct cbd_cache *c = env->ops->alloc(env, sizeof(*c));
    int error;

    if (c == NULL)
        return CBD_E_NOMEM;
    memset(c, 0, sizeof(*c));
    c->pm = pm;
    c->env = env;
    c->readonly = (flags & CBD_OPEN_READONLY) != 0;
    error = cbd_super_read(pm, env, &c->super, &c->bad_supers);
    if (error == 0 && !c->readonly && (c->super.ro_compat & ~CBD_RO_COMPAT_KNOWN) != 0)
        error = CBD_E_VERSION;
    if (error == 0 && !c->readonly && (c->super.incompat & CBD_INCOMPAT_METADATA_ONLY) != 0)
        error = CBD_E_NODATA;
    if (error == 0) {
        c->seed = cbd_seed_cache(c->super.uuid, c->super.salt);
        c->block_seed = cbd_seed_place(c->seed, CBD_SEED_BLOCK, 0, 0);
        c->configs = env->ops->alloc(env, CBD_BACKENDS * sizeof(*c->configs));
        c->states = env->ops->alloc(env, CBD_BACKENDS * sizeof(*c->states));
        c->segments = env->ops->alloc(env, c->super.geo.segment_count * sizeof(*c->segments));
        error = c->configs == NULL || c->states == NULL || c->segments == NULL ? CBD_E_NOMEM
                                                                               : load_tables(c);
    }
    if (error != 0) {
        release(c);
        return error;
    }
    *cache = c;
    return 0;
}

void cbd_cache_close(struct cbd_cache *cache)
{
    release(cache);
}

const struct cbd_super *cbd_cache_super(const struct cbd_cache *cache)
{
    return &cache->super;
}

uint32_t cbd_cache_unowned(const struct cbd_cache *cache)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < cache->super.geo.segment_count; i++) {
        uint16_t owner = cache->segments[i].entry.owner;

        n += owner == 0 || cache->configs[owner - 1].used != CBD_M_BACKEND_USED;
    }
    return n;
}
