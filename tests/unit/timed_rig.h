/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig with a disk that takes its time, by the virtual clock: each request of backend 0 is
 * answered a fixed latency after its submission, whatever else is in flight. Write-back and reclaim
 * run, in no time, as soon as they have something to do, and the clock goes from event to event.
 */
#ifndef TIMED_RIG_H
#define TIMED_RIG_H

#include "engine_rig.h"

#define TIMED_MS UINT64_C(1000000)
#define TIMED_S UINT64_C(1000000000)

struct timed {
    struct rig *rig;
    uint64_t latency_ns;
    uint64_t write_ns; /* that the application takes for each request */
    bool hung;         /* the disk answers nothing */
    uint64_t *due_ns;  /* of request n */
    size_t due_count, due_cap;
    uint64_t steps_failed;
};

/* Creates and attaches the rig. */
void timed_begin(struct timed *t, const struct rig_config *config, uint64_t latency_ns);
void timed_end(struct timed *t);

/* Lets time pass. */
void timed_run(struct timed *t, uint64_t ns);

/* How long the call took: of a write that must succeed, or of one that may fail. */
uint64_t timed_write(struct timed *t, uint64_t off, uint64_t len, unsigned flags);
uint64_t timed_try_write(struct timed *t, uint64_t off, uint64_t len, int *error);

#endif
