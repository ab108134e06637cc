/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of an attached backend: what they may be, and the marks that follow from them. */
#include "engine.h"

#define SPACE_TIMEOUT_NS UINT64_C(30000000000)
#define EPOCH_RECORDS_MAX 65536u
#define URGENT_PERCENT 50u
#define QUEUE_DEPTH 8u
#define EPOCHS_PER_SHARE 8u

static int check(const struct cbd_attach_options *o)
{
    if (o->dirty_start_percent > 100 || o->dirty_urgent_percent > 100 ||
        o->queue_depth > CBD_QUEUE_DEPTH_MAX || o->writeback_rate_bytes > CBD_WRITEBACK_RATE_MAX ||
        o->space_timeout_ns > CBD_TIME_MAX_NS || o->idle_ns > CBD_TIME_MAX_NS ||
        o->max_dirty_age_ns > CBD_TIME_MAX_NS || o->scrub_rate_bytes > CBD_SCRUB_RATE_MAX)
        return CBD_E_INVALID;
    return 0;
}

static uint64_t share_bytes(const struct cbd_backend *b)
{
    return (uint64_t)b->cache->configs[b->id].segments * b->cache->super.geo.segment_bytes;
}

static void fill_defaults(const struct cbd_backend *b, struct cbd_attach_options *o)
{
    uint64_t share = share_bytes(b);

    if (o->max_dirty_bytes != 0)
        share = cbd_min64(share, o->max_dirty_bytes);
    if (o->space_timeout_ns == 0)
        o->space_timeout_ns = SPACE_TIMEOUT_NS;
    if (o->dirty_urgent_percent == 0)
        o->dirty_urgent_percent = URGENT_PERCENT;
    if (o->epoch_records_max == 0)
        o->epoch_records_max = EPOCH_RECORDS_MAX;
    if (o->epoch_bytes_max == 0)
        o->epoch_bytes_max = share / EPOCHS_PER_SHARE;
    if (o->queue_depth == 0)
        o->queue_depth = QUEUE_DEPTH;
}

static void apply(struct cbd_backend *b, const struct cbd_attach_options *o)
{
    struct cbd_tuned *t = &b->tuned;
    uint64_t share = share_bytes(b);

    if (o->max_dirty_bytes != 0)
        share = cbd_min64(share, o->max_dirty_bytes);
    atomic_store(&t->space_timeout_ns, o->space_timeout_ns);
    atomic_store(&t->epoch_records_max, o->epoch_records_max);
    atomic_store(&t->epoch_bytes_max, o->epoch_bytes_max);
    atomic_store(&t->start_space, share * o->dirty_start_percent / 100);
    atomic_store(&t->urgent_space, share * o->dirty_urgent_percent / 100);
    atomic_store(&t->full_space, share * (o->dirty_urgent_percent + 100) / 200);
    atomic_store(&t->rate_bytes, o->writeback_rate_bytes);
    atomic_store(&t->idle_ns, o->idle_ns);
    atomic_store(&t->max_age_ns, o->max_dirty_age_ns);
    atomic_store(&t->max_dirty_bytes, o->max_dirty_bytes);
    atomic_store(&t->queue_depth, o->queue_depth);
    atomic_store(&t->coalesce, o->backend_consistency_off);
    atomic_store(&t->scrub_rate_bytes, o->scrub_rate_bytes);
    for (uint32_t i = 0; i < b->stream_count; i++)
        atomic_store(&b->streams[i].check_at, 0);
}

int cbd_tune_init(struct cbd_backend *b)
{
    struct cbd_attach_options *o = &b->tuned.options;
    int error = check(&b->options);

    if (error != 0)
        return error;
    *o = b->options;
    fill_defaults(b, o);
    apply(b, o);
    return 0;
}

static void keep_fixed(struct cbd_attach_options *o, const struct cbd_attach_options *given)
{
    o->trees = given->trees;
    o->no_fill = given->no_fill;
    o->identity_places = given->identity_places;
    o->accept_backing = given->accept_backing;
    o->conflict = given->conflict;
    o->conflict_arg = given->conflict_arg;
}

int cbd_backend_tune(struct cbd_backend *b, const struct cbd_attach_options *options)
{
    struct cbd_env *env = b->cache->env;
    struct cbd_attach_options o = *options;
    int error = CBD_CANARY(TUNED_UNCHECKED) ? 0 : check(&o);

    if (error != 0)
        return error;
    fill_defaults(b, &o);
    cbd_lock_take(env, &b->tuned.lock);
    keep_fixed(&o, &b->options);
    b->tuned.options = o;
    apply(b, &o);
    cbd_lock_drop(&b->tuned.lock);
    cbd_pressure_update(b);
    env->ops->wake(env); /* writers and steps look again */
    return 0;
}

void cbd_backend_options(struct cbd_backend *b, struct cbd_attach_options *options)
{
    cbd_lock_take(b->cache->env, &b->tuned.lock);
    *options = b->tuned.options;
    cbd_lock_drop(&b->tuned.lock);
}
