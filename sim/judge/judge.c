/* SPDX-License-Identifier: BSD-2-Clause */
/* Crash, recover, check, compare, roll back. */
#include "judge.h"

#include <string.h>

#include "judge_impl.h"
#include "sim_base.h"

#define LATER_SHIFTS 8u

void sim_judge_init(struct sim_judge *j, struct sim_world *w)
{
    memset(j, 0, sizeof(*j));
    j->world = w;
    sim_process_init(&j->process, w, w->config.seed);
}

void sim_judge_destroy(struct sim_judge *j)
{
    sim_process_destroy(&j->process);
}

/* A fault takes the place of what other subsets do besides. */
static void plan_fault(const struct sim_world *w, uint64_t subset, uint64_t draw,
                       struct sim_state_plan *plan)
{
    uint32_t mask = w->config.faults & SIM_FAULTS_HONEST & ~(1u << SIM_FAULT_FULL);
    uint64_t pick = draw % 64;

    if (mask == 0 || (subset % 8 != 1 && subset % 8 != 4 && subset % 8 != 6))
        return;
    plan->faulty = true;
    plan->fault_draw = sim_rng_mix(draw, 1);
    for (pick %= (uint64_t)__builtin_popcount(mask);; plan->fault++)
        if ((mask >> plan->fault & 1) != 0 && pick-- == 0)
            break;
    plan->written = (draw >> 8 & 1) != 0 && (SIM_FAULTS_MEMORY >> plan->fault & 1) == 0;
}

/* Few steps are more likely than many; behind the last one the cut falls at rest. */
static void plan_later(uint64_t subset, uint64_t draw, uint32_t without,
                       struct sim_state_plan *plan)
{
    if (subset % 8 != 4 || plan->faulty || (without & SIM_WITHOUT_LATER) != 0)
        return;
    plan->later = (draw & 1) != 0 ? SIM_LATER_RECLAIM : SIM_LATER_WRITEBACK;
    plan->later_at = sim_rng_mix(draw, 1) % (UINT64_C(2) << draw / 2 % LATER_SHIFTS);
    plan->later_crash = sim_crash_subset(sim_rng_mix(draw, 2) % 16, sim_rng_mix(draw, 3));
}

void sim_plan_state(const struct sim_judge *j, uint64_t step, uint64_t subset,
                    uint64_t state_number, struct sim_state_plan *plan)
{
    uint64_t h = sim_rng_mix(sim_rng_mix(j->world->config.seed, step), subset);
    uint32_t without = j->world->config.without;

    memset(plan, 0, sizeof(*plan));
    plan->crash = sim_crash_subset(subset, h);
    plan->kill = subset % 8 == 5 && (without & SIM_WITHOUT_KILL) == 0;
    plan->nested =
        (subset % 4 == 2 || (plan->kill && h % 2 == 0)) && (without & SIM_WITHOUT_NESTED) == 0;
    plan->lost_copy = subset % 8 == 3 && (without & SIM_WITHOUT_LOST_COPY) == 0;
    plan->lost_draw = sim_rng_mix(h, 5);
    plan->nested_at = sim_rng_mix(h, 2) % 24;
    plan->nested_crash = sim_crash_subset(sim_rng_mix(h, 3) % 16, sim_rng_mix(h, 4));
    plan->twice = subset % 8 == 7;
    plan->backing = subset % 8 == 0;
    plan->full = state_number % 1000 == 0;
    plan_fault(j->world, subset, sim_rng_mix(h, 6), plan);
    plan_later(subset, sim_rng_mix(h, 7), without, plan);
}

bool judge_backing(struct sim_judge *j, struct sim_verdict *v)
{
    struct sim_world *w = j->world;

    j->counts.backing++;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        uint64_t sector = 0, start = 0, version = 0, run = 0;

        sim_oracle_backing_begin(w->oracle[n]);
        for (; sim_disk_next_touched(w->disk[n], sector, &sector); sector++) {
            uint64_t now = sim_disk_peek(w->disk[n], sector);

            if (run != 0 && sector == start + run && now == version) {
                run++;
                continue;
            }
            if (run != 0)
                sim_oracle_backing_feed(w->oracle[n], start, run, version);
            start = sector;
            version = now;
            run = 1;
        }
        if (run != 0)
            sim_oracle_backing_feed(w->oracle[n], start, run, version);
        if (sim_oracle_backing_end(w->oracle[n], &v->violation) != SIM_ORACLE_OK) {
            v->backend = n;
            return judge_bad(v, SIM_FAILURE_BACKING, 0, "bare backing device");
        }
    }
    return true;
}

struct finding {
    uint32_t code;
    uint64_t off;
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct finding *first = arg;

    if (first->code == 0 && f->problem->severity == CBD_CHECK_ERROR) {
        first->code = f->problem->code;
        first->off = f->off_bytes;
    }
    return 0;
}

bool judge_check(struct sim_judge *j, struct sim_verdict *v, const char *where)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS};
    struct cbd_check_summary summary;
    struct finding first = {0};
    int error;

    sim_env_reset(&j->process.env, 0);
    error = cbd_check_run(&j->world->pmem->pm, &j->process.env.env, &options, on_finding, &first,
                          &summary);
    if (error == 0 && first.code == 0)
        return true;
    v->problem = first.code;
    v->problem_off = first.off;
    return judge_bad(v, SIM_FAILURE_CHECK, error, where);
}

bool judge_start(struct sim_judge *j, struct sim_verdict *v)
{
    uint64_t before = sim_world_steps(j->world);
    const char *where = "";
    int error = sim_process_start(&j->process, j->world, 1, false, &where);

    if (sim_world_steps(j->world) - before > j->counts.recovery_steps)
        j->counts.recovery_steps = sim_world_steps(j->world) - before;
    if (error == 0)
        return true;
    if (j->process.env.errors > 0)
        v->report = j->process.env.first[0];
    return judge_bad(v, SIM_FAILURE_REFUSED, error, where);
}

/* Writes back and detaches. *failed: a disk would not; that is for when no fault is left. */
static bool detach_all(struct sim_judge *j, bool *failed, struct sim_verdict *v)
{
    for (uint32_t n = 0; n < j->world->config.backends; n++) {
        uint64_t before = sim_fault_failed(j->world);
        int error = j->process.backend[n] != NULL ? cbd_backend_detach(j->process.backend[n]) : 0;

        if (error == 0)
            j->process.backend[n] = NULL;
        else if (sim_fault_excuses(error) && sim_fault_failed(j->world) != before)
            *failed = true;
        else
            return judge_bad(v, SIM_FAILURE_DRAIN, error, "detach after recovery");
    }
    return true;
}

/* Write-back stopped in the middle; now the pmem is lost (P4). */
static bool judge_half_written(struct sim_judge *j, const struct sim_state_plan *plan,
                               struct sim_verdict *v)
{
    bool ok;

    sim_world_mark(j->world);
    sim_world_power_cut(j->world, &plan->nested_crash);
    ok = judge_backing(j, v);
    sim_world_rollback(j->world);
    return ok;
}

#define AGREE_SECTORS 512u

/* A run of sectors reads through the cache as the disk holds it. */
static bool agrees(struct sim_judge *j, uint32_t n, uint64_t first, uint32_t sectors,
                   struct sim_verdict *v)
{
    uint64_t versions[AGREE_SECTORS];
    int error = sim_process_read(&j->process, n, first, sectors, versions);

    if (error != 0)
        return judge_bad(v, SIM_FAILURE_READ, error, "read after write-back and detach");
    for (uint32_t i = 0; i < sectors; i++) {
        if (versions[i] == sim_disk_peek(j->world->disk[n], first + i))
            continue;
        v->backend = n;
        v->violation = (struct sim_oracle_violation){
            .promise = SIM_ORACLE_P5,
            .reason = SIM_ORACLE_STALE,
            .sector = first + i,
            .got = sim_disk_peek(j->world->disk[n], first + i),
            .by = versions[i],
        };
        return judge_bad(v, SIM_FAILURE_FINAL, 0, "disk is not what the cache serves");
    }
    return true;
}

/*
 * durability=flush: the history cannot say which of the writes that were not flushed survived the
 * crash. But the disk has to hold a state that it allows, and the one that the cache serves.
 */
static bool judge_written_flush(struct sim_judge *j, struct sim_verdict *v)
{
    struct sim_world *w = j->world;

    if (!judge_start(j, v))
        return false;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        uint64_t first = 0;
        uint32_t run = 0;

        for (uint64_t sector = 0; sim_disk_next_touched(w->disk[n], sector, &sector); sector++) {
            if (sim_oracle_check_served(w->oracle[n], sector, 1, sim_disk_peek(w->disk[n], sector),
                                        &v->violation) != SIM_ORACLE_OK) {
                v->backend = n;
                return judge_bad(v, SIM_FAILURE_FINAL, 0, "disk after write-back and detach");
            }
            if (run != 0 && run < AGREE_SECTORS && sector == first + run) {
                run++;
                continue;
            }
            if (run != 0 && !agrees(j, n, first, run, v))
                return false;
            first = sector;
            run = 1;
        }
        if (run != 0 && !agrees(j, n, first, run, v))
            return false;
    }
    return true;
}

/* The cache goes on and writes back; then the disks are compared (P5). */
static bool judge_written(struct sim_judge *j, const struct sim_state_plan *plan,
                          struct sim_verdict *v)
{
    struct sim_world *w = j->world;
    bool failed = false, again = false;

    if (!detach_all(j, &failed, v) || (failed && !judge_half_written(j, plan, v)))
        return false;
    sim_fault_end(w);
    if (!detach_all(j, &again, v))
        return false;
    if (w->config.durability == CBD_DURABLE_ON_FLUSH)
        return judge_written_flush(j, v);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        for (uint64_t sector = 0; sim_disk_next_touched(w->disk[n], sector, &sector); sector++) {
            uint64_t version = sim_disk_peek(w->disk[n], sector);

            if (sim_oracle_check_final(w->oracle[n], sector, 1, version, &v->violation) !=
                SIM_ORACLE_OK) {
                v->backend = n;
                return judge_bad(v, SIM_FAILURE_FINAL, 0, "disk after write-back and detach");
            }
        }
    }
    return true;
}

/* An attach reads the disk: while that fails it may be refused. */
static bool start_with_fault(struct sim_judge *j, const struct sim_state_plan *plan,
                             struct sim_verdict *v)
{
    uint64_t failed;

    if (plan->faulty) {
        j->counts.faults++;
        if ((SIM_FAULTS_MEMORY >> plan->fault & 1) != 0) {
            int error = judge_damage(j, plan);

            if (error != 0)
                return judge_bad(v, SIM_FAILURE_CHECK, error, "check of damaged memory");
        } else {
            sim_fault_strike(j->world, plan->fault, plan->fault_draw);
        }
    }
    failed = sim_fault_failed(j->world);
    if (judge_start(j, v))
        return true;
    if (!sim_fault_excuses(v->error) || sim_fault_failed(j->world) == failed)
        return false;
    j->counts.refused++;
    memset(v, 0, sizeof(*v));
    sim_fault_end(j->world);
    return judge_start(j, v);
}

/* What the first recovery showed must be what a second one shows (P3, P6). */
static bool judge_twice(struct sim_judge *j, uint64_t seen, struct sim_verdict *v)
{
    static const struct sim_crash nothing = {.kind = SIM_CRASH_NONE};
    uint64_t again = 0;

    j->counts.twice++;
    sim_world_power_cut(j->world, &nothing);
    if (!judge_check(j, v, "check before the second recovery") || !judge_start(j, v) ||
        !judge_open(j, &again, v))
        return false;
    if (again != seen)
        return judge_bad(v, SIM_FAILURE_UNSTABLE, 0, "second recovery");
    return true;
}

/* What decides the verdict, now that the power has failed. */
static uint64_t state_hash(const struct sim_judge *j, const struct sim_state_plan *plan)
{
    const struct sim_world *w = j->world;
    uint64_t h = w->pmem->content_hash;

    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_stats stats;

        sim_oracle_stats(w->oracle[n], &stats);
        h = sim_rng_mix(sim_rng_mix(h, w->disk[n]->state.content_hash), stats.time);
    }
    h = sim_rng_mix(h, (uint64_t)plan->nested | (uint64_t)plan->lost_copy << 1 |
                           (uint64_t)plan->twice << 2 | (uint64_t)plan->backing << 3 |
                           (uint64_t)plan->full << 4 | (uint64_t)plan->written << 5);
    if (plan->faulty)
        h = sim_rng_mix(sim_rng_mix(h, 1 + (uint64_t)plan->fault), plan->fault_draw);
    if (plan->nested) {
        h = sim_rng_mix(h, plan->nested_at);
        h = sim_rng_mix(h, (uint64_t)plan->nested_crash.kind);
        h = sim_rng_mix(sim_rng_mix(h, plan->nested_crash.k), plan->nested_crash.seed);
    }
    if (plan->later != SIM_LATER_NONE) {
        h = sim_rng_mix(sim_rng_mix(h, (uint64_t)plan->later), plan->later_at);
        h = sim_rng_mix(h, (uint64_t)plan->later_crash.kind);
        h = sim_rng_mix(sim_rng_mix(h, plan->later_crash.k), plan->later_crash.seed);
    }
    return plan->lost_copy ? sim_rng_mix(h, plan->lost_draw) : h;
}

static bool judge_crashed(struct sim_judge *j, const struct sim_state_plan *plan,
                          struct sim_verdict *v)
{
    static const struct sim_crash everything = {.kind = SIM_CRASH_ALL};
    uint64_t seen = 0;

    if (plan->kill) {
        j->counts.killed++;
        sim_world_kill(j->world);
        /* Where stores need no msync, the dying process leaves nothing in its write buffers. */
        if (j->world->config.model != SIM_PAGE)
            sim_pmem_crash(j->world->pmem, &everything);
    } else {
        if (plan->survive != NULL)
            sim_survive_cut(plan->survive, j->world);
        else
            sim_world_power_cut(j->world, &plan->crash);
        if (j->seen != NULL && !sim_seen_add(j->seen, state_hash(j, plan))) {
            j->counts.states--;
            j->counts.merged++;
            return true;
        }
        if (plan->backing && !judge_backing(j, v))
            return false;
        if (plan->lost_copy)
            judge_lose_copy(j, plan->lost_draw);
        if (!plan->lost_copy && !judge_check(j, v, "check before recovery"))
            return false;
    }
    sim_fault_end(j->world);
    if (plan->nested && !judge_nested(j, plan, v))
        return false;
    if (!start_with_fault(j, plan, v))
        return false;
    if (!judge_open(j, &seen, v))
        return false;
    if (!judge_cached(j, v))
        return false;
    if (j->damage.done && !j->damage.strict)
        return judge_range(j, j->damage.backend, j->damage.first, j->damage.sectors, &seen, v);
    if ((plan->twice || plan->kill) && !judge_twice(j, seen, v))
        return false;
    if (plan->later != SIM_LATER_NONE && !judge_later(j, plan, seen, v))
        return false;
    if (plan->full && !judge_all(j, v))
        return false;
    if ((plan->full || plan->written) && !judge_written(j, plan, v))
        return false;
    if (plan->full || plan->written || !(plan->twice || plan->lost_copy))
        return true;
    return judge_check(j, v, "check after recovery");
}

void sim_judge_state(struct sim_judge *j, const struct sim_state_plan *plan,
                     struct sim_verdict *verdict)
{
    struct sim_world *w = j->world;
    void (*pm_hook)(void *, const struct sim_pm_event *) = w->pmem->hook;
    void (*disk_hook)(void *, const struct sim_disk_event *) = w->disk[0]->hook;
    void *arg = w->pmem->hook_arg;
    struct sim_faults faults = w->faults;

    memset(verdict, 0, sizeof(*verdict));
    memset(&j->damage, 0, sizeof(j->damage));
    judge_hooks(w, NULL, NULL, NULL);
    sim_world_mark(w);
    j->counts.states++;
    (void)judge_crashed(j, plan, verdict);
    if (verdict->failure == SIM_FAILURE_NONE && w->pmem->counts.mixed.count != 0)
        (void)judge_bad(verdict, SIM_FAILURE_STORES, 0, cbd_step_name(w->pmem->counts.mixed.step));
    sim_world_rollback(w);
    w->faults = faults;
    judge_hooks(w, pm_hook, disk_hook, arg);
}
