/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty data that cannot be read any more when it is to be written back: a wrong checksum, poison.
 * The rest of its epoch goes to the disk and is flushed; then the epoch is held, E stays, and the
 * ranges are listed until somebody gives them up by name. Nothing is given up by itself, and what
 * is given up but can be read is written all the same.
 */
#include <string.h>

#include "engine.h"

int cbd_wb_hold_init(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    b->hold.ranges = env->ops->alloc(env, 2 * CBD_HELD_MAX * sizeof(struct cbd_range));
    if (b->hold.ranges == NULL)
        return CBD_E_NOMEM;
    b->hold.forgone = b->hold.ranges + CBD_HELD_MAX;
    return 0;
}

void cbd_wb_hold_destroy(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    if (b->hold.ranges != NULL)
        env->ops->free(env, b->hold.ranges, 2 * CBD_HELD_MAX * sizeof(struct cbd_range));
}

/* A new pass begins: what it cannot read it will find itself. */
void cbd_wb_hold_reset(struct cbd_backend *b)
{
    cbd_lock_take(b->cache->env, &b->hold.lock);
    b->hold.count = 0;
    b->hold.more = false;
    cbd_lock_drop(&b->hold.lock);
    atomic_store(&b->hold.held, false);
}

/* How much of [addr, addr+len), from its start on, is given up; the lock is held. */
static uint64_t forgone_upto(const struct cbd_hold *l, uint64_t addr, uint64_t len)
{
    uint64_t at = addr;

    for (uint32_t i = 0; i < l->forgone_count && at < addr + len;) {
        const struct cbd_range *r = &l->forgone[i];

        if (r->addr_bytes <= at && at - r->addr_bytes < r->len_bytes) {
            at = r->addr_bytes + r->len_bytes;
            i = 0;
        } else {
            i++;
        }
    }
    return cbd_min64(at - addr, len);
}

/* [addr, addr+len) of the backing device is dirty and cannot be read. */
void cbd_wb_hold_add(struct cbd_backend *b, uint64_t addr, uint64_t len)
{
    struct cbd_hold *l = &b->hold;
    struct cbd_range *last;

    cbd_lock_take(b->cache->env, &l->lock);
    last = l->count != 0 ? &l->ranges[l->count - 1] : NULL;
    if (last != NULL && last->addr_bytes + last->len_bytes == addr)
        last->len_bytes += len;
    else if (l->count < CBD_HELD_MAX)
        l->ranges[l->count++] = (struct cbd_range){addr, len};
    else
        l->more = true;
    cbd_lock_drop(&l->lock);
}

/* Whether everything that the pass could not read is given up. *bytes: how much that is. */
bool cbd_wb_hold_settled(struct cbd_backend *b, uint64_t *bytes)
{
    struct cbd_hold *l = &b->hold;
    bool settled = true;

    *bytes = 0;
    cbd_lock_take(b->cache->env, &l->lock);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct cbd_range *r = &l->ranges[i];

        *bytes += r->len_bytes;
        settled = settled && (forgone_upto(l, r->addr_bytes, r->len_bytes) == r->len_bytes ||
                              (CBD_CANARY(HELD_GIVEN_UP_IN_PART) &&
                               forgone_upto(l, r->addr_bytes, r->len_bytes) != 0));
    }
    if (l->more) /* they are not known: only the whole disk covers them */
        settled = settled && forgone_upto(l, 0, b->size_bytes) == b->size_bytes;
    cbd_lock_drop(&l->lock);
    return settled;
}

/* Range i of what the pass could not read; false: there are not so many. */
bool cbd_wb_hold_at(struct cbd_backend *b, uint32_t i, struct cbd_range *range)
{
    struct cbd_hold *l = &b->hold;
    bool there;

    cbd_lock_take(b->cache->env, &l->lock);
    there = i < l->count;
    if (there)
        *range = l->ranges[i];
    cbd_lock_drop(&l->lock);
    return there;
}

int cbd_backend_forgo(struct cbd_backend *b, uint64_t addr_bytes, uint64_t len_bytes)
{
    struct cbd_hold *l = &b->hold;
    int error = 0;

    if (len_bytes == 0 || (addr_bytes | len_bytes) % CBD_SECTOR_BYTES != 0)
        return CBD_E_INVALID;
    if (addr_bytes > b->size_bytes || len_bytes > b->size_bytes - addr_bytes)
        return CBD_E_RANGE;
    cbd_lock_take(b->cache->env, &l->lock);
    if (len_bytes == b->size_bytes)
        l->forgone_count = 0; /* it covers all the others */
    if (l->forgone_count < CBD_HELD_MAX)
        l->forgone[l->forgone_count++] = (struct cbd_range){addr_bytes, len_bytes};
    else
        error = CBD_E_NOSPACE;
    cbd_lock_drop(&l->lock);
    b->cache->env->ops->wake(b->cache->env);
    return error;
}

uint32_t cbd_backend_held(struct cbd_backend *b, struct cbd_range *ranges, uint32_t max, bool *more)
{
    struct cbd_hold *l = &b->hold;
    uint32_t n = 0;

    if (!atomic_load(&l->held)) {
        *more = false;
        return 0;
    }
    cbd_lock_take(b->cache->env, &l->lock);
    n = l->count < max ? l->count : max;
    if (n != 0)
        memcpy(ranges, l->ranges, n * sizeof(*ranges));
    *more = l->more || l->count > max;
    cbd_lock_drop(&l->lock);
    return n;
}

/*
 * After the commit: what was given up for this epoch is used up, also when a later pass of the same
 * epoch could read all of it, or was not held again because the rest was given up before.
 */
void cbd_wb_hold_commit(struct cbd_backend *b)
{
    struct cbd_hold *l = &b->hold;

    if ((!l->ever && l->count == 0) || (CBD_CANARY(FORGONE_FOR_EVER) && !atomic_load(&l->held)))
        return;
    cbd_lock_take(b->cache->env, &l->lock);
    l->count = 0;
    l->more = false;
    l->ever = false;
    l->forgone_count = 0;
    cbd_lock_drop(&l->lock);
    atomic_store(&l->held, false);
}
