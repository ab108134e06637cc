/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lanes of a backend, given to one request at a time. A thread gets the lane that it had last
 * when that is free: its counters and its stream stay in its processor's cache.
 */
#ifndef FRONT_LANES_H
#define FRONT_LANES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct front_lanes {
    atomic_uint_least64_t busy; /* bit l: lane l is taken */
    atomic_uint waiting;
    pthread_mutex_t mutex; /* for those who find none free */
    pthread_cond_t freed;
};

/* 0 or an errno. */
int front_lanes_init(struct front_lanes *lanes);
void front_lanes_destroy(struct front_lanes *lanes);

/* Waits while all are taken. From any thread. */
unsigned front_lanes_take(struct front_lanes *lanes);
void front_lanes_drop(struct front_lanes *lanes, unsigned lane);

#endif
