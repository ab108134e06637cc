/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's own state; internal to sim/schedule/sim_sched*.c. */
#ifndef SIM_SCHED_IMPL_H
#define SIM_SCHED_IMPL_H

#include "sim_sched.h"
#include "sim_coro.h"

#define SCHED_THREADS_MAX (SIM_CLIENTS_MAX + 2 * SIM_BACKENDS_MAX)
#define SCHED_ACTORS_MAX (SCHED_THREADS_MAX + SIM_BACKENDS_MAX)
#define SCHED_NOBODY UINT32_MAX

enum sched_role {
    SCHED_CLIENT,
    SCHED_WRITEBACK,
    SCHED_RECLAIM,
};

enum sched_stop {
    SCHED_IDLE,    /* client: no request; background: nothing to do */
    SCHED_BETWEEN, /* background: between two steps */
    SCHED_STORE,   /* before an operation of the pmem, `event` */
    SCHED_LOAD,    /* client: before it copies from the pmem */
    SCHED_SUBMIT,  /* before a disk request */
    SCHED_LOCK,    /* before a lock is taken */
    SCHED_SPIN,    /* somebody else holds it up */
    SCHED_WAIT,    /* for something */
};

struct sched_thread {
    struct sim_sched *sched;
    struct sim_coro *coro;
    enum sched_role role;
    uint32_t number; /* of the client or the backend */
    uint32_t pm_thread;
    enum sched_stop stop;
    struct sim_pm_event event;
    enum cbd_step last_step; /* the last operation of the pmem, for reports */
    uint64_t seen;           /* SPIN: of s->progress; IDLE: of s->activity */
    uint64_t deadline_ns;    /* WAIT, IDLE */
    uint64_t idle_ns;        /* IDLE: how long the next one lasts */
    bool failed;             /* IDLE: the last step gave an error: not before its time */
    bool woken;              /* WAIT */
    uint64_t since_ns;       /* client: when its request began */
    struct sim_request request;
    struct sim_client client;
};

struct sim_sched {
    struct sim_world *world;
    struct sim_rng rng;
    struct sched_thread thread[SCHED_THREADS_MAX];
    uint32_t threads, actors; /* the actors behind the threads are the disks */
    struct sched_thread *running;

    const struct sim_feed *feed;
    struct sim_request next; /* of the feed */
    bool have_next, ended;
    bool quiet; /* no step of background work begins any more */

    uint64_t progress;    /* counts stops other than SPIN */
    uint64_t activity;    /* counts what background work may want to look at */
    uint64_t quiet_since; /* decisions since a step with a number, or a request, began or ended */

    /* who goes on */
    uint32_t last; /* actor */
    uint64_t decisions;
    uint32_t window_left;
    unsigned stay;                          /* random: eighths */
    uint64_t priority[SCHED_ACTORS_MAX];    /* pct: higher goes first */
    uint32_t change[SIM_SCHED_WINDOW / 64]; /* pct: places in the window */
    uint32_t changes;
    uint64_t lowest;
};

/* Chooses one of those that can go on; count > 0. */
uint32_t sched_choose(struct sim_sched *s, const uint32_t *can, uint32_t count);

/* Who waits where. */
void sched_describe(const struct sim_sched *s, const char *what, char *buf, size_t buf_bytes);

#endif
