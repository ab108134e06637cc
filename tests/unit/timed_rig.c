/* SPDX-License-Identifier: BSD-2-Clause */
/* The rig by a virtual clock. */
#include "timed_rig.h"

#include "sim_base.h"

static struct timed *current; /* wait() has no argument of its own; one at a time */

static uint64_t due_of(struct timed *t, uint64_t request)
{
    t->due_ns = sim_grow(t->due_ns, &t->due_cap, request + 1, sizeof(*t->due_ns));
    for (; t->due_count <= request; t->due_count++)
        t->due_ns[t->due_count] = t->rig->env.now_ns + t->latency_ns;
    return t->due_ns[request];
}

/* Answers what is due; *next: when the next request is. */
static bool complete_due(struct timed *t, uint64_t *next)
{
    struct sim_disk *disk = t->rig->disk[0];
    bool did = false;

    *next = UINT64_MAX;
    for (size_t k = 0; k < sim_disk_inflight(disk) && !t->hung;) {
        uint64_t due = due_of(t, sim_disk_inflight_at(disk, k).request);

        if (due <= t->rig->env.now_ns) {
            sim_disk_complete(disk, k);
            did = true;
            k = 0;
            continue;
        }
        *next = due < *next ? due : *next;
        k++;
    }
    return did;
}

static bool step(struct timed *t, enum cbd_work work)
{
    int did;

    if (!t->rig->background || t->rig->backend[0] == NULL)
        return false;
    did = cbd_backend_step(t->rig->backend[0], work);
    t->steps_failed += did < 0;
    return did > 0;
}

/* Everything that can happen now. *next: when more can. */
static void settle(struct timed *t, uint64_t *next)
{
    bool did;

    do {
        did = complete_due(t, next);
        did |= step(t, CBD_WORK_WRITEBACK);
        did |= step(t, CBD_WORK_RECLAIM);
    } while (did);
    (void)complete_due(t, next); /* the last step may have submitted */
    if (t->rig->backend[0] != NULL && t->rig->background) {
        uint64_t due = cbd_backend_due_ns(t->rig->backend[0]);

        *next = due < *next ? due : *next;
    }
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static int timed_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct timed *t = current;
    struct sim_env *sim = &t->rig->env;
    uint64_t end = timeout_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + timeout_ns;

    (void)env;
    for (;;) {
        uint64_t next;

        if (ready(arg))
            return 0;
        if (t->rig->on_progress != NULL)
            (void)t->rig->on_progress(t->rig);
        settle(t, &next);
        if (ready(arg))
            return 0;
        if (sim->now_ns >= end)
            return CBD_E_TIMEDOUT;
        /* A step that failed is tried again after a millisecond. */
        if (next > sim->now_ns + TIMED_MS)
            next = sim->now_ns + TIMED_MS;
        sim->now_ns = next > end ? end : next > sim->now_ns ? next : sim->now_ns + 1;
    }
}

void timed_begin(struct timed *t, const struct rig_config *config, uint64_t latency_ns)
{
    *t = (struct timed){.rig = rig_create(config), .latency_ns = latency_ns};
    current = t;
    t->rig->env.now_ns = TIMED_S;
    t->rig->ops.wait = timed_wait;
    rig_attach(t->rig);
}

void timed_end(struct timed *t)
{
    rig_destroy(t->rig);
    free(t->due_ns);
    current = NULL;
}

void timed_run(struct timed *t, uint64_t ns)
{
    (void)timed_wait(&t->rig->env.env, never, NULL, ns);
}

uint64_t timed_try_write(struct timed *t, uint64_t off, uint64_t len, int *error)
{
    uint64_t before = t->rig->env.now_ns, took;

    *error = rig_try_write(t->rig, 0, off, len, 0);
    took = t->rig->env.now_ns - before;
    timed_run(t, t->write_ns);
    return took;
}

uint64_t timed_write(struct timed *t, uint64_t off, uint64_t len, unsigned flags)
{
    uint64_t before = t->rig->env.now_ns, took;

    rig_write(t->rig, off, len, flags);
    took = t->rig->env.now_ns - before;
    timed_run(t, t->write_ns);
    return took;
}
