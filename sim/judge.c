/* SPDX-License-Identifier: BSD-2-Clause */
/* Crash, recover, check, compare, roll back. */
#include "judge.h"

#include <setjmp.h>
#include <string.h>

#include "cbd/check.h"
#include "sim_base.h"

#define SECTOR UINT64_C(512)
/* A larger range that was in flight is compared at both ends and in windows between. */
#define RANGE_SECTORS_MAX 4096u
#define WINDOW_SECTORS 128u
#define WINDOWS 16u

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
    plan->written = draw >> 8 & 1;
    for (pick %= (uint64_t)__builtin_popcount(mask);; plan->fault++)
        if ((mask >> plan->fault & 1) != 0 && pick-- == 0)
            return;
}

void sim_plan_state(const struct sim_judge *j, uint64_t step, uint64_t subset,
                    uint64_t state_number, struct sim_state_plan *plan)
{
    uint64_t h = sim_rng_mix(sim_rng_mix(j->world->config.seed, step), subset);

    memset(plan, 0, sizeof(*plan));
    plan->crash = sim_crash_subset(subset, h);
    plan->kill = subset % 8 == 5;
    plan->nested = subset % 4 == 2 || (plan->kill && h % 2 == 0);
    plan->lost_copy = subset % 8 == 3;
    plan->lost_draw = sim_rng_mix(h, 5);
    plan->nested_at = sim_rng_mix(h, 2) % 24;
    plan->nested_crash = sim_crash_subset(sim_rng_mix(h, 3) % 16, sim_rng_mix(h, 4));
    plan->twice = subset % 8 == 7;
    plan->backing = subset % 8 == 0;
    plan->full = state_number % 1000 == 0;
    plan_fault(j->world, subset, sim_rng_mix(h, 6), plan);
}

static bool bad(struct sim_verdict *v, enum sim_failure failure, int error, const char *where)
{
    v->failure = failure;
    v->error = error;
    v->where = where;
    return false;
}

/* P4: the bare disks, as if the pmem were lost. */
static bool judge_backing(struct sim_judge *j, struct sim_verdict *v)
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
            return bad(v, SIM_FAILURE_BACKING, 0, "bare backing device");
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

static bool judge_check(struct sim_judge *j, struct sim_verdict *v, const char *where)
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
    return bad(v, SIM_FAILURE_CHECK, error, where);
}

/* Power fails at a step of recovery: the hook leaves it from there. */
struct nested {
    jmp_buf out;
    uint64_t left;
    unsigned kind;
};

static void nested_step(struct nested *n, unsigned kind)
{
    if (n->left-- == 0) {
        n->kind = kind;
        longjmp(n->out, 1);
    }
}

static void nested_pm(void *arg, const struct sim_pm_event *ev)
{
    unsigned kind = ev->kind == SIM_PM_FLUSH ? 1 : ev->kind == SIM_PM_FENCE ? 2 : 0;

    nested_step(arg, kind);
}

static void nested_disk(void *arg, const struct sim_disk_event *ev)
{
    (void)ev;
    nested_step(arg, 3);
}

static void set_hooks(struct sim_world *w, void (*pm)(void *, const struct sim_pm_event *),
                      void (*disk)(void *, const struct sim_disk_event *), void *arg)
{
    w->pmem->hook = pm;
    w->pmem->hook_arg = arg;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->hook = disk;
        w->disk[n]->hook_arg = arg;
    }
}

static bool start(struct sim_judge *j, struct sim_verdict *v)
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
    return bad(v, SIM_FAILURE_REFUSED, error, where);
}

/* Recovers, and lets the power fail inside it or right after. */
static bool start_nested(struct sim_judge *j, const struct sim_state_plan *plan,
                         struct sim_verdict *v)
{
    struct sim_world *w = j->world;
    struct nested n = {.left = plan->nested_at};
    volatile bool ok = true;

    set_hooks(w, nested_pm, nested_disk, &n);
    if (setjmp(n.out) == 0) {
        ok = start(j, v);
        n.kind = 2; /* recovery ended first: its last step is a fence */
    }
    set_hooks(w, NULL, NULL, NULL);
    if (!ok)
        return false;
    j->counts.nested++;
    j->counts.nested_at[n.kind]++;
    sim_world_power_cut(w, &plan->nested_crash);
    return true;
}

static bool compare(struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors,
                    bool pieces, uint64_t *seen, struct sim_verdict *v)
{
    const struct sim_oracle *o = j->world->oracle[backend];
    uint64_t *versions = j->process.client.versions;
    uint64_t failed = sim_fault_failed(j->world);
    int error = sim_process_read(&j->process, backend, first, sectors, versions);

    if (sim_fault_excuses(error) && sim_fault_failed(j->world) != failed) {
        j->counts.excused++;
        return true;
    }
    if (error != 0) {
        v->violation.sector = first;
        v->backend = backend;
        return bad(v, SIM_FAILURE_READ, error, "read after recovery");
    }
    j->counts.sectors += sectors;
    for (uint64_t i = 0, n; i < sectors; i += n) {
        for (n = 1; i + n < sectors && versions[i + n] == versions[i];)
            n++;
        *seen = sim_rng_mix(*seen, versions[i] ^ n);
        if (sim_oracle_check_served(o, first + i, n, versions[i], &v->violation) != SIM_ORACLE_OK) {
            v->backend = backend;
            return bad(v, SIM_FAILURE_SERVED, 0, "served device");
        }
    }
    if (pieces &&
        sim_oracle_check_pieces(o, first, versions, sectors, &v->violation) != SIM_ORACLE_OK) {
        v->backend = backend;
        return bad(v, SIM_FAILURE_SERVED, 0, "served device, pieces");
    }
    return true;
}

static bool compare_range(struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors,
                          uint64_t *seen, struct sim_verdict *v)
{
    uint64_t max = SIM_REQUEST_BYTES_MAX / SECTOR;

    if (sectors <= RANGE_SECTORS_MAX) {
        for (uint64_t done = 0; done < sectors; done += max)
            if (!compare(j, backend, first + done, sectors - done < max ? sectors - done : max,
                         true, seen, v))
                return false;
        return true;
    }
    for (uint64_t i = 0; i <= WINDOWS; i++) {
        uint64_t at = (sectors - WINDOW_SECTORS) / WINDOWS * i;

        if (i == WINDOWS)
            at = sectors - WINDOW_SECTORS;
        if (!compare(j, backend, first + at, WINDOW_SECTORS, false, seen, v))
            return false;
    }
    return true;
}

/* Every sector of a request that was not durable when the power failed. */
static bool judge_open(struct sim_judge *j, uint64_t *seen, struct sim_verdict *v)
{
    struct sim_world *w = j->world;

    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_range range;

        for (size_t cursor = 0; sim_oracle_open_next(w->oracle[n], &cursor, &range);)
            if (range.op != SIM_ORACLE_OP_FLUSH &&
                !compare_range(j, n, range.start_sector, range.sectors, seen, v))
                return false;
    }
    return true;
}

/* Everything in the cache: two words of each sector, straight from the recovered index. */
struct cached {
    struct sim_judge *j;
    struct sim_verdict *v;
    uint32_t backend;
    uint64_t start, run, version;
    bool ok;
};

static void end_run(struct cached *c)
{
    if (c->ok && c->run != 0 &&
        sim_oracle_check_served(c->j->world->oracle[c->backend], c->start, c->run, c->version,
                                &c->v->violation) != SIM_ORACLE_OK) {
        c->v->backend = c->backend;
        c->ok = bad(c->v, SIM_FAILURE_SERVED, 0, "extent in the index");
    }
    c->run = 0;
}

static void judge_extent(void *arg, const struct cbd_extent_view *e)
{
    struct cached *c = arg;
    uint64_t first = e->addr_bytes / SECTOR, sectors = e->len_bytes / SECTOR;

    c->j->counts.sectors += sectors;
    if (e->zero) {
        end_run(c);
        c->start = first;
        c->run = sectors;
        c->version = SIM_ORACLE_ZERO;
        end_run(c);
        return;
    }
    for (uint64_t i = 0; i < sectors && c->ok; i++) {
        const uint8_t *p = c->j->world->pmem->pm.base + e->pmem_off + i * SECTOR;
        uint64_t version = sim_sector_decode_fast(p, first + i);

        if (c->run != 0 && c->start + c->run == first + i && c->version == version) {
            c->run++;
            continue;
        }
        end_run(c);
        c->start = first + i;
        c->run = 1;
        c->version = version;
    }
}

static bool judge_cached(struct sim_judge *j, struct sim_verdict *v)
{
    struct cached c = {.j = j, .v = v, .ok = true};

    for (c.backend = 0; c.backend < j->world->config.backends && c.ok; c.backend++) {
        cbd_backend_extents(j->process.backend[c.backend], judge_extent, &c);
        end_run(&c);
    }
    return c.ok;
}

struct touched {
    struct sim_judge *j;
    struct sim_verdict *v;
    uint32_t backend;
};

static int judge_touched(void *ctx, uint64_t start_sector, uint64_t sectors)
{
    struct touched *t = ctx;
    uint64_t max = SIM_REQUEST_BYTES_MAX / SECTOR, seen = 0;

    for (uint64_t done = 0; done < sectors; done += max)
        if (!compare(t->j, t->backend, start_sector + done,
                     sectors - done < max ? sectors - done : max, false, &seen, t->v))
            return 1;
    return 0;
}

/* All data ever written is read. */
static bool judge_all(struct sim_judge *j, struct sim_verdict *v)
{
    struct sim_world *w = j->world;

    j->counts.full++;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct touched t = {j, v, n};

        if (sim_oracle_touched(w->oracle[n], judge_touched, &t) != 0)
            return false;
    }
    return true;
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
            return bad(v, SIM_FAILURE_DRAIN, error, "detach after recovery");
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
    for (uint32_t n = 0; n < w->config.backends; n++) {
        for (uint64_t sector = 0; sim_disk_next_touched(w->disk[n], sector, &sector); sector++) {
            uint64_t version = sim_disk_peek(w->disk[n], sector);

            if (sim_oracle_check_final(w->oracle[n], sector, 1, version, &v->violation) !=
                SIM_ORACLE_OK) {
                v->backend = n;
                return bad(v, SIM_FAILURE_FINAL, 0, "disk after write-back and detach");
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
        sim_fault_strike(j->world, plan->fault, plan->fault_draw);
    }
    failed = sim_fault_failed(j->world);
    if (start(j, v))
        return true;
    if (!sim_fault_excuses(v->error) || sim_fault_failed(j->world) == failed)
        return false;
    j->counts.refused++;
    memset(v, 0, sizeof(*v));
    sim_fault_end(j->world);
    return start(j, v);
}

/* What the first recovery showed must be what a second one shows (P3, P6). */
static bool judge_twice(struct sim_judge *j, uint64_t seen, struct sim_verdict *v)
{
    static const struct sim_crash nothing = {.kind = SIM_CRASH_NONE};
    uint64_t again = 0;

    j->counts.twice++;
    sim_world_power_cut(j->world, &nothing);
    if (!judge_check(j, v, "check before the second recovery") || !start(j, v) ||
        !judge_open(j, &again, v))
        return false;
    if (again != seen)
        return bad(v, SIM_FAILURE_UNSTABLE, 0, "second recovery");
    return true;
}

/*
 * One copy of a superblock or of a table entry is lost (P7). Only where the power cut left both
 * copies equal: one fault, not two.
 */
static void lose_copy(struct sim_judge *j, uint64_t draw)
{
    struct sim_pmem *pm = j->world->pmem;
    const struct cbd_geometry *geo = &j->world->geo;
    uint64_t lines = geo->table_bytes / CBD_LINE_BYTES;
    uint64_t line = draw % (lines + CBD_SUPER_COPIES);
    uint64_t supers[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo->super2_off};
    uint64_t a = geo->table_a_off + line * CBD_LINE_BYTES;
    uint64_t b = geo->table_b_off + line * CBD_LINE_BYTES;
    uint8_t garbage[CBD_LINE_BYTES];

    memset(garbage, (int)(draw >> 56), sizeof(garbage));
    if (line >= lines)
        a = b = supers[line - lines];
    else if (memcmp(pm->pm.base + a, pm->pm.base + b, CBD_LINE_BYTES) != 0)
        return;
    sim_pmem_poke(pm, (draw >> 32 & 1) != 0 ? a : b, garbage, sizeof(garbage));
    j->counts.lost_copies++;
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
        sim_world_power_cut(j->world, &plan->crash);
        if (plan->backing && !judge_backing(j, v))
            return false;
        if (plan->lost_copy)
            lose_copy(j, plan->lost_draw);
        if (!plan->lost_copy && !judge_check(j, v, "check before recovery"))
            return false;
    }
    sim_fault_end(j->world);
    if (plan->nested && !start_nested(j, plan, v))
        return false;
    if (!start_with_fault(j, plan, v) || !judge_open(j, &seen, v) || !judge_cached(j, v))
        return false;
    if ((plan->twice || plan->kill) && !judge_twice(j, seen, v))
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
    set_hooks(w, NULL, NULL, NULL);
    sim_world_mark(w);
    j->counts.states++;
    (void)judge_crashed(j, plan, verdict);
    if (verdict->failure == SIM_FAILURE_NONE && w->pmem->counts.mixed.count != 0)
        (void)bad(verdict, SIM_FAILURE_STORES, 0, cbd_step_name(w->pmem->counts.mixed.step));
    sim_world_rollback(w);
    w->faults = faults;
    set_hooks(w, pm_hook, disk_hook, arg);
}

const char *sim_failure_name(enum sim_failure failure)
{
    static const char *const names[SIM_FAILURE_COUNT] = {
        [SIM_FAILURE_NONE] = "none",
        [SIM_FAILURE_REFUSED] = "recovery refused",
        [SIM_FAILURE_CHECK] = "check found damage",
        [SIM_FAILURE_READ] = "read failed",
        [SIM_FAILURE_SERVED] = "served device wrong",
        [SIM_FAILURE_BACKING] = "backing device alone wrong",
        [SIM_FAILURE_UNSTABLE] = "second recovery differs",
        [SIM_FAILURE_FINAL] = "detached device wrong",
        [SIM_FAILURE_DRAIN] = "write-back failed",
        [SIM_FAILURE_STORES] = "mixed stores",
        [SIM_FAILURE_RUN] = "run failed",
    };

    return (unsigned)failure < SIM_FAILURE_COUNT ? names[failure] : "unknown";
}

const char *sim_verdict_text(const struct sim_verdict *v, char *buf, size_t buf_bytes)
{
    char oracle[256];

    if (v->stuck[0] != '\0')
        snprintf(buf, buf_bytes, "%s: %s", sim_failure_name(v->failure), v->stuck);
    else if (v->violation.promise != SIM_ORACLE_NONE)
        snprintf(buf, buf_bytes, "%s: %s: disk%u: %s", sim_failure_name(v->failure),
                 v->where != NULL ? v->where : "", v->backend,
                 sim_oracle_describe(&v->violation, oracle, sizeof(oracle)));
    else if (v->failure == SIM_FAILURE_CHECK && v->problem != 0)
        snprintf(buf, buf_bytes, "%s: %s: problem %u (%s) at 0x%llx", sim_failure_name(v->failure),
                 v->where, v->problem, cbd_problem_find(v->problem)->name,
                 (unsigned long long)v->problem_off);
    else
        snprintf(buf, buf_bytes, "%s: %s: %s%s%s%s%s", sim_failure_name(v->failure),
                 v->where != NULL ? v->where : "", v->error != 0 ? cbd_error_name(v->error) : "",
                 v->report.what != NULL ? ": " : "", v->report.what != NULL ? v->report.what : "",
                 v->report.what != NULL ? " " : "",
                 v->report.sentence != NULL ? v->report.sentence : "");
    return buf;
}
