/* SPDX-License-Identifier: BSD-2-Clause */
/* Lanes as bits of one word; a mutex only for those who find none free. */
#include "front_lanes.h"

#include "cbd/cache.h"

_Static_assert(CBD_LANES == 64, "a lane is a bit of one word");

static atomic_uint next_hint;
static _Thread_local unsigned hint_of_thread = CBD_LANES;

int front_lanes_init(struct front_lanes *lanes)
{
    int error = pthread_mutex_init(&lanes->mutex, NULL);

    if (error != 0)
        return error;
    error = pthread_cond_init(&lanes->freed, NULL);
    if (error != 0)
        pthread_mutex_destroy(&lanes->mutex);
    atomic_init(&lanes->busy, 0);
    atomic_init(&lanes->waiting, 0);
    return error;
}

void front_lanes_destroy(struct front_lanes *lanes)
{
    pthread_cond_destroy(&lanes->freed);
    pthread_mutex_destroy(&lanes->mutex);
}

/* CBD_LANES: all are taken. */
static unsigned try_take(struct front_lanes *lanes, unsigned hint)
{
    uint64_t busy = atomic_load(&lanes->busy);

    while (busy != UINT64_MAX) {
        uint64_t later = ~busy & (UINT64_MAX << hint);
        unsigned lane = (unsigned)__builtin_ctzll(later != 0 ? later : ~busy);

        if (atomic_compare_exchange_weak(&lanes->busy, &busy, busy | UINT64_C(1) << lane))
            return lane;
    }
    return CBD_LANES;
}

unsigned front_lanes_take(struct front_lanes *lanes)
{
    unsigned lane;

    if (hint_of_thread == CBD_LANES)
        hint_of_thread = atomic_fetch_add(&next_hint, 1) % CBD_LANES;
    lane = try_take(lanes, hint_of_thread);
    if (lane == CBD_LANES) {
        pthread_mutex_lock(&lanes->mutex);
        /* Who drops a lane clears its bit first and looks at this count then: one sees the other. */
        atomic_fetch_add(&lanes->waiting, 1);
        while ((lane = try_take(lanes, hint_of_thread)) == CBD_LANES)
            pthread_cond_wait(&lanes->freed, &lanes->mutex);
        atomic_fetch_sub(&lanes->waiting, 1);
        pthread_mutex_unlock(&lanes->mutex);
    }
    return lane;
}

void front_lanes_drop(struct front_lanes *lanes, unsigned lane)
{
    atomic_fetch_and(&lanes->busy, ~(UINT64_C(1) << lane));
    if (atomic_load(&lanes->waiting) == 0)
        return;
    pthread_mutex_lock(&lanes->mutex);
    pthread_cond_signal(&lanes->freed);
    pthread_mutex_unlock(&lanes->mutex);
}
