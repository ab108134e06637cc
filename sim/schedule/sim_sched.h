/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler: logical threads as coroutines on one thread of the operating system.
 *
 *   client 0 .. N-1      one request at a time, taken from the feed in its order
 *   write-back, reclaim  one of each for each backend: steps while there is something to do
 *   disk 0 .. B-1        completes one of its requests in flight, any of them
 *
 * Threads stop before every store, flush and fence, at every lock, wait, disk request, clients also before
 * they copy from the pmem, and between two requests or steps. The scheduler runs on the main stack. It chooses who goes on, calls the
 * hook of the step that comes next, and lets its thread run to its next stop. So a hook finds the
 * whole machine standing still, with every thread somewhere in the middle.
 *
 * Who goes on:
 *   random  who ran last goes on with a probability that is drawn for each window of decisions;
 *           else anybody who can, all alike
 *   pct     the one of highest priority. Priorities are drawn for each window; at depth - 1 places
 *           of it whoever runs becomes the lowest. An order of `depth` events that a bug needs is
 *           found with a probability that does not fall with the number of steps
 *
 * Who can: a thread that waits for a lock, after somebody else has run; one that waits for
 * something, after it was woken or when its time is over; background work without anything to do,
 * when something has happened since or its time has come. Waking is taken at its word: a wake that
 * core/ forgets makes the waiter sleep until its time is over.
 *
 * Time is virtual: each stop costs a fixed amount, and when nobody can go on it jumps to the next
 * moment at which somebody can. When there is none, the run is stuck, and says who waits where.
 *
 * Deterministic: a function of the seed, the configuration and the feed.
 */
#ifndef SIM_SCHED_H
#define SIM_SCHED_H

#include "world.h"

#define SIM_SCHED_WINDOW 2048u /* decisions */

struct sim_sched;

/* For w->main, by w->config. */
struct sim_sched *sim_sched_create(struct sim_world *w);
void sim_sched_destroy(struct sim_sched *s); /* NULL is allowed */

/* A new process: what threads were doing is forgotten. */
void sim_sched_restart(struct sim_sched *s, uint64_t seed);

/* See sim_world_run(). */
int sim_sched_run(struct sim_sched *s, const struct sim_feed *feed);

#endif
