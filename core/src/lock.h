/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A spin lock that gives way to the environment. Lock order, outermost first:
 *   stream -> tree (ascending) -> table
 */
#ifndef CBD_LOCK_H
#define CBD_LOCK_H

#include <stdatomic.h>

#include "cbd/env.h"

struct cbd_lock {
    atomic_uint held;
};

/* Where another thread may run: a scheduler that interleaves chooses here. */
static inline void cbd_yield(struct cbd_env *env, enum cbd_yield why)
{
    if (env->ops->yield != NULL)
        env->ops->yield(env, why);
}

static inline void cbd_lock_take(struct cbd_env *env, struct cbd_lock *lock)
{
    cbd_yield(env, CBD_YIELD_LOCK);
    while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) != 0) {
        while (atomic_load_explicit(&lock->held, memory_order_relaxed) != 0)
            cbd_yield(env, CBD_YIELD_SPIN);
    }
}

static inline void cbd_lock_drop(struct cbd_lock *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif
