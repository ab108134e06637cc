/* SPDX-License-Identifier: BSD-2-Clause */
/* The crash states of one cut of the administrative scenario: made, judged, rolled back. */
#include <string.h>

#include "admin_impl.h"
#include "rng.h"
#include "sim_base.h"

/* Where stores need no msync, the dying process leaves nothing in its write buffers. */
static void kill_process(struct admin *a)
{
    static const struct sim_crash everything = {.kind = SIM_CRASH_ALL};

    a->result->killed++;
    if (a->config->model != SIM_PAGE)
        sim_pmem_crash(a->pmem, &everything);
    for (uint32_t i = 0; i < ADMIN_DISKS; i++)
        sim_disk_kill(a->disk[i]);
}

/* Superblocks first, then the table entries that the scenario uses. */
struct copy {
    bool super;
    uint64_t place; /* superblock: on the device, else in its table */
    uint32_t len_bytes;
};

static uint32_t copy_count(const struct admin *a)
{
    return CBD_SUPER_COPIES + 2 * ADMIN_SLOTS + a->geo.segment_count;
}

static struct copy copy_at(const struct admin *a, uint32_t n)
{
    const uint64_t supers[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, a->geo.super2_off};
    const uint64_t states = CBD_BACKENDS * sizeof(struct cbd_m_backend);
    const uint64_t segments = states + CBD_BACKENDS * sizeof(struct cbd_m_backend_state);
    uint32_t len;

    if (n < CBD_SUPER_COPIES)
        return (struct copy){true, supers[n], sizeof(struct cbd_m_super)};
    n -= CBD_SUPER_COPIES;
    len = sizeof(struct cbd_m_backend);
    if (n < ADMIN_SLOTS)
        return (struct copy){false, (uint64_t)n * len, len};
    n -= ADMIN_SLOTS;
    len = sizeof(struct cbd_m_backend_state);
    if (n < ADMIN_SLOTS)
        return (struct copy){false, states + (uint64_t)n * len, len};
    n -= ADMIN_SLOTS;
    len = sizeof(struct cbd_m_segment);
    return (struct copy){false, segments + (uint64_t)n * len, len};
}

/* False: the copies differ already, and losing the newer one would be a second fault. */
static bool lose_copy(struct admin *a, uint32_t n, bool second, bool always)
{
    static const uint8_t garbage[sizeof(struct cbd_m_backend)] = {0xde, 0xad};
    struct copy c = copy_at(a, n);
    const uint8_t *base = a->pmem->pm.base;
    uint64_t first = a->geo.table_a_off + c.place, other = a->geo.table_b_off + c.place;

    _Static_assert(sizeof(struct cbd_m_super) <= sizeof(garbage), "fits");
    if (c.super)
        first = other = c.place;
    else if (!always && memcmp(base + first, base + other, c.len_bytes) != 0)
        return false;
    sim_pmem_poke(a->pmem, second ? other : first, garbage, c.len_bytes);
    a->result->lost_copies++;
    return true;
}

static void count_found(struct admin *a)
{
    int error;
    const struct admin_slot *s = sim_admin_which(a, &error);

    if (s == NULL)
        a->result->found_none++;
    else if (s == a->old)
        a->result->found_old++;
    else
        a->result->found_new++;
}

struct state {
    struct sim_crash crash;
    bool kill;       /* only the process dies; power fails while the next one recovers */
    uint64_t nested; /* a draw, 0: none */
    uint32_t lost;   /* which copy, UINT32_MAX: none */
    bool lost_second, lost_always;
};

static void judge_state(struct admin *a, const struct state *s, uint64_t subset)
{
    struct sim_admin_failure failure = {.stage = a->stage, .step = a->step, .subset = subset};
    void (*pm_hook)(void *, const struct sim_pm_event *) = a->pmem->hook;
    void (*disk_hook)(void *, const struct sim_disk_event *) = a->disk[0]->hook;
    bool lost = false;

    sim_admin_set_hooks(a, NULL, NULL);
    sim_pmem_mark(a->pmem);
    for (uint32_t i = 0; i < ADMIN_DISKS; i++)
        sim_disk_mark(a->disk[i]);
    a->failure = &failure;
    a->result->states++;
    a->result->states_by[a->stage]++;
    if (s->kill)
        kill_process(a);
    else
        sim_admin_power_cut(a, &s->crash);
    if (a->stage == SIM_ADMIN_FORMAT)
        count_found(a);
    if (s->lost != UINT32_MAX)
        lost = lose_copy(a, s->lost, s->lost_second, s->lost_always);
    (void)sim_admin_judge_crashed(a, lost, s->nested);
    sim_pmem_rollback(a->pmem);
    for (uint32_t i = 0; i < ADMIN_DISKS; i++)
        sim_disk_rollback(a->disk[i]);
    sim_admin_set_hooks(a, pm_hook, disk_hook);
    if (failure.what == NULL)
        return;
    if (a->result->failures++ == 0)
        a->result->first = failure;
    a->stop = a->config->stop_at_first;
}

void sim_admin_judge_subset(struct admin *a, uint64_t subset)
{
    uint64_t h = sim_rng_mix(sim_rng_mix(a->config->seed, a->step), subset);
    struct state s = {.crash = sim_crash_subset(subset, h), .lost = UINT32_MAX};

    s.kill = subset % 8 == 5;
    if (subset % 4 == 2 || s.kill)
        s.nested = sim_rng_mix(h, 1) | 1;
    if (subset % 8 == 3 && !a->formatting) {
        s.lost = (uint32_t)(sim_rng_mix(h, 2) % copy_count(a));
        s.lost_second = sim_rng_mix(h, 3) % 2 != 0;
    }
    judge_state(a, &s, subset);
}

/* Nothing is under way: both copies of everything must be durable and enough by themselves. */
void sim_admin_judge_copies(struct admin *a)
{
    for (uint32_t n = 0; n < 2 * copy_count(a) && !a->stop; n++) {
        struct state s = {.crash = {.kind = SIM_CRASH_NONE}, .lost = n / 2, .lost_always = true};

        s.lost_second = n % 2 != 0;
        if (s.lost_second && s.lost < CBD_SUPER_COPIES)
            continue;
        judge_state(a, &s, n);
    }
}
