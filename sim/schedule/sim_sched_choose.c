/* SPDX-License-Identifier: BSD-2-Clause */
/* Who goes on, and words for who stands where. */
#include <stdio.h>
#include <string.h>

#include "sim_sched_impl.h"

#define CHANGES_MAX (SIM_SCHED_WINDOW / 64)

const char *sim_schedule_name(enum sim_schedule schedule)
{
    static const char *const names[SIM_SCHEDULE_COUNT] = {"serial", "random", "pct"};

    return (unsigned)schedule < SIM_SCHEDULE_COUNT ? names[schedule] : "unknown";
}

bool sim_schedule_parse(const char *name, enum sim_schedule *schedule)
{
    for (int i = 0; i < SIM_SCHEDULE_COUNT; i++) {
        if (strcmp(name, sim_schedule_name((enum sim_schedule)i)) == 0) {
            *schedule = (enum sim_schedule)i;
            return true;
        }
    }
    return false;
}

/* New draws for the next window of decisions. */
static void begin_window(struct sim_sched *s)
{
    static const unsigned stays[] = {0, 4, 6, 7};
    uint32_t depth = s->world->config.depth;

    s->window_left = SIM_SCHED_WINDOW;
    if (s->world->config.schedule == SIM_SCHEDULE_RANDOM) {
        s->stay = stays[sim_rng_below(&s->rng, sizeof(stays) / sizeof(stays[0]))];
        return;
    }
    for (uint32_t i = 0; i < s->actors; i++)
        s->priority[i] = (sim_rng_u64(&s->rng) | UINT64_C(1) << 63) << 6 >> 6 | i;
    s->lowest = UINT64_C(1) << 32; /* below every draw */
    s->changes = depth > CHANGES_MAX ? CHANGES_MAX : depth == 0 ? 0 : depth - 1;
    for (uint32_t i = 0; i < s->changes; i++)
        s->change[i] = (uint32_t)sim_rng_below(&s->rng, SIM_SCHED_WINDOW);
}

static uint32_t choose_random(struct sim_sched *s, const uint32_t *can, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (can[i] == s->last && sim_rng_chance(&s->rng, s->stay, 8))
            return s->last;
    return can[sim_rng_below(&s->rng, count)];
}

static uint32_t choose_pct(struct sim_sched *s, const uint32_t *can, uint32_t count)
{
    uint32_t best = can[0];

    for (uint32_t i = 1; i < count; i++)
        if (s->priority[can[i]] > s->priority[best])
            best = can[i];
    for (uint32_t i = 0; i < s->changes; i++)
        if (s->change[i] == s->window_left)
            s->priority[best] = s->lowest--;
    return best;
}

uint32_t sched_choose(struct sim_sched *s, const uint32_t *can, uint32_t count)
{
    if (s->window_left == 0)
        begin_window(s);
    s->window_left--;
    s->decisions++;
    s->last = s->world->config.schedule == SIM_SCHEDULE_PCT ? choose_pct(s, can, count)
                                                            : choose_random(s, can, count);
    return s->last;
}

static const char *stop_text(const struct sched_thread *t)
{
    switch (t->stop) {
    case SCHED_IDLE:
        return "idle";
    case SCHED_BETWEEN:
        return "between two steps";
    case SCHED_STORE:
        return "before";
    case SCHED_LOAD:
        return "before a copy from the pmem, after";
    case SCHED_SUBMIT:
        return "before a disk request, after";
    case SCHED_LOCK:
        return "before a lock, after";
    case SCHED_SPIN:
        return "waits for a lock or a reader, after";
    case SCHED_WAIT:
    default:
        return "waits for space or the disk, after";
    }
}

void sched_describe(const struct sim_sched *s, const char *what, char *buf, size_t buf_bytes)
{
    static const char *const roles[] = {"client", "write-back", "reclaim"};
    size_t at = (size_t)snprintf(buf, buf_bytes, "%s", what);

    for (uint32_t i = 0; i < s->threads && at < buf_bytes; i++) {
        const struct sched_thread *t = &s->thread[i];
        enum cbd_step step = t->stop == SCHED_STORE ? t->event.step : t->last_step;

        at += (size_t)snprintf(buf + at, buf_bytes - at, "; %s %u %s", roles[t->role], t->number,
                               stop_text(t));
        if (t->stop >= SCHED_STORE && at < buf_bytes)
            at += (size_t)snprintf(buf + at, buf_bytes - at, " %s",
                                   step == CBD_STEP_NONE ? "nothing" : cbd_step_name(step));
    }
    for (uint32_t n = 0; n < s->world->config.backends && at < buf_bytes; n++)
        at += (size_t)snprintf(buf + at, buf_bytes - at, "; disk %u has %zu requests", n,
                               sim_disk_inflight(s->world->disk[n]));
}
