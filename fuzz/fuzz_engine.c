/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a machine and what is done to it: the engine on the simulated devices, judged by the
 * oracle. Any violation of a promise (docs/design.md) ends the process.
 *
 *   bytes 0..5     the machine: see take_machine()
 *   then           operations, each one byte that says which, and the bytes that it takes:
 *                  requests, background steps, disk completions, detach and attach, faults of
 *                  disks, kills, power cuts. Where the input ends inside one, the rest is zeroes.
 *
 * A power cut or kill strikes between two operations, or inside the following ones, before the
 * n-th step from here. Either the machine goes on with what is left, or the state is judged and
 * taken back; a judged state may have a poisoned line, a flipped bit, a lost copy of an entry, a
 * power cut inside recovery, and more. Nothing happens by itself, but while a request waits.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "restart.h"
#include "sim_base.h"

#define OPS_MAX 200u
#define JUDGED_MAX 12u
#define SEGMENT_BYTES 65536u
#define CACHE_BYTES (UINT64_C(4) << 20)
#define DISK_BYTES (UINT64_C(512) << 10)
#define SPACE_TIMEOUT_NS UINT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum op {
    OP_WRITE,
    OP_FUA,
    OP_READ,
    OP_ZERO,
    OP_DISCARD,
    OP_FLUSH,
    OP_WRITEBACK,
    OP_RECLAIM,
    OP_COMPLETE,
    OP_REATTACH,
    OP_FAULT,
    OP_HEAL,
    OP_JUDGE,
    OP_CUT,
    OP_KILL,
    OP_LONG_WRITE,
    OP_COUNT,
};

/* What happens when the armed step comes. */
enum strike {
    STRIKE_NOTHING,
    STRIKE_JUDGE,
    STRIKE_CUT,
    STRIKE_KILL,
};

struct run {
    const uint8_t *data;
    size_t left_bytes;
    struct sim_world world;
    struct sim_judge judge;
    enum strike strike;
    uint64_t steps; /* until it strikes */
    struct sim_state_plan plan;
    uint32_t judged, restarts, ops;
    jmp_buf died;
};

static uint8_t take(struct run *r)
{
    if (r->left_bytes == 0)
        return 0;
    r->left_bytes--;
    return *r->data++;
}

static uint32_t take16(struct run *r)
{
    uint32_t low = take(r);

    return low | (uint32_t)take(r) << 8;
}

_Noreturn static void violated(const struct sim_verdict *v)
{
    char text[2048];

    fprintf(stderr, "fuzz_engine: %s: %s\n", sim_failure_name(v->failure),
            sim_verdict_text(v, text, sizeof(text)));
    abort();
}

_Noreturn static void run_failed(const struct run *r, int error, const char *where)
{
    struct sim_verdict v = {
        .failure = SIM_FAILURE_RUN,
        .violation = r->world.violation,
        .backend = r->world.violation_backend,
        .error = error,
        .where = where,
    };

    if (r->world.main.env.errors > 0)
        v.report = r->world.main.env.first[0];
    violated(&v);
}

static void take_machine(struct run *r, struct sim_config *c)
{
    uint8_t a = take(r), b = take(r), d = take(r), e = take(r);

    memset(c, 0, sizeof(*c));
    c->cache_bytes = CACHE_BYTES;
    c->segment_bytes = SEGMENT_BYTES;
    c->model = (enum sim_model)(a % 3);
    c->streams = 1 + (a >> 2 & 3);
    c->no_data_checksum = (a >> 4 & 1) != 0;
    c->logical_block_bytes = (a >> 5 & 1) != 0 ? 4096 : 512;
    c->disk_write_through = (a >> 6 & 1) != 0;
    c->disk_keeps_discarded = (a >> 7 & 1) != 0;
    c->backends = 1 + (b & 1);
    c->trees = 1 + (b >> 1 & 1);
    c->replacement = (enum cbd_replacement)((b >> 2 & 3) % (CBD_REPLACE_FIFO + 1));
    if ((b >> 3 & 1) != 0 && !c->no_data_checksum)
        c->durability = CBD_DURABLE_ON_FLUSH;
    c->dirty_start_percent = (b >> 4) * 6u;
    c->epoch_records_max = d % 4 == 0 ? 0 : 1u + d;
    c->seed = 1 + e + take16(r) * UINT64_C(256);
    for (uint32_t n = 0; n < c->backends; n++)
        c->disk_bytes[n] = DISK_BYTES;
    c->space_timeout_ns = SPACE_TIMEOUT_NS;
    c->schedule = SIM_SCHEDULE_SERIAL;
    c->clients = 1;
    c->quiet = true;
    /* Nobody draws faults; but requests may fail by those of the input. */
    c->faults = SIM_FAULTS_HONEST & ~(1u << SIM_FAULT_STALE);
}

/* ---- crashes ---- */

static void take_plan(struct run *r)
{
    struct sim_state_plan *p = &r->plan;
    const struct sim_config *c = &r->world.config;
    uint8_t what = take(r), subset = take(r);
    uint64_t draw = sim_rng_mix(c->seed, take16(r));

    memset(p, 0, sizeof(*p));
    p->crash = sim_crash_subset(subset, draw);
    p->nested_at = sim_rng_mix(draw, 1) % 24;
    p->nested_crash = sim_crash_subset(what >> 4, sim_rng_mix(draw, 2));
    p->lost_draw = sim_rng_mix(draw, 3);
    p->fault_draw = sim_rng_mix(draw, 4);
    switch (what & 15) {
    case 1:
        p->kill = true;
        break;
    case 2:
        p->kill = true;
        p->nested = true;
        break;
    case 3:
    case 4:
        p->nested = true;
        break;
    case 5:
        p->lost_copy = true;
        break;
    case 6:
        p->twice = true;
        break;
    case 7:
        p->backing = true;
        break;
    case 8:
        p->full = true;
        break;
    case 9:
        p->written = true;
        break;
    case 10:
    case 11:
        p->faulty = true;
        p->fault = SIM_FAULT_POISON;
        break;
    case 12:
    case 13:
        /* Nothing but the checksum can tell a flipped bit of data. */
        p->faulty = !c->no_data_checksum;
        p->fault = SIM_FAULT_FLIP;
        break;
    case 14:
        p->faulty = true;
        p->fault = (enum sim_fault)(draw % SIM_FAULT_FULL);
        p->written = true;
        break;
    default:
        break;
    }
}

static void judge_now(struct run *r)
{
    struct sim_verdict verdict;

    if (r->judged++ >= JUDGED_MAX)
        return;
    sim_judge_state(&r->judge, &r->plan, &verdict);
    if (verdict.failure != SIM_FAILURE_NONE)
        violated(&verdict);
}

static void on_step(struct run *r)
{
    enum strike strike = r->strike;

    if (strike == STRIKE_NOTHING || r->steps-- != 0)
        return;
    if (strike != STRIKE_JUDGE)
        longjmp(r->died, 1);
    r->strike = STRIKE_NOTHING;
    judge_now(r);
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    (void)ev;
    on_step(arg);
}

static void on_disk(void *arg, const struct sim_disk_event *ev)
{
    (void)ev;
    on_step(arg);
}

static void set_hooks(struct run *r)
{
    struct sim_world *w = &r->world;

    w->pmem->hook = on_pm;
    w->pmem->hook_arg = r;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->hook = on_disk;
        w->disk[n]->hook_arg = r;
    }
}

/* The machine, or only the process, ended; it comes back and goes on. */
static void restart(struct run *r)
{
    static const struct sim_crash everything = {.kind = SIM_CRASH_ALL};
    struct sim_world *w = &r->world;
    uint64_t seed = sim_rng_mix(w->config.seed, 1000 + r->restarts++);
    const char *where;
    int error;

    if (r->strike == STRIKE_KILL) {
        for (uint32_t n = 0; n < w->config.backends; n++)
            sim_oracle_crash(w->oracle[n]);
        sim_world_kill(w);
        if (w->config.model != SIM_PAGE)
            sim_pmem_crash(w->pmem, &everything);
    } else {
        sim_restart_cut(w, &r->plan.crash);
    }
    r->strike = STRIKE_NOTHING;
    sim_fault_end(w);
    error = sim_process_start(&w->main, w, seed, true, &where);
    if (error == 0)
        error = sim_restart_adopt(w, &where);
    if (error != 0 || where != NULL)
        run_failed(r, error, where);
}

/* The byte behind the plan says after how many steps; 0: now. */
static void arm(struct run *r, enum strike strike)
{
    uint8_t steps;

    if (r->strike == STRIKE_CUT || r->strike == STRIKE_KILL)
        restart(r); /* one at a time: the one before strikes at rest */
    take_plan(r);
    steps = take(r);
    r->strike = strike;
    r->steps = steps;
    if (steps != 0)
        return;
    if (strike == STRIKE_JUDGE) {
        r->strike = STRIKE_NOTHING;
        judge_now(r);
    } else {
        restart(r);
    }
}

/* ---- operations ---- */

static void request(struct run *r, enum op op)
{
    static const enum sim_request_op ops[OP_COUNT] = {
        [OP_WRITE] = SIM_REQUEST_WRITE,      [OP_FUA] = SIM_REQUEST_WRITE,
        [OP_READ] = SIM_REQUEST_READ,        [OP_ZERO] = SIM_REQUEST_TRIM,
        [OP_DISCARD] = SIM_REQUEST_TRIM,     [OP_FLUSH] = SIM_REQUEST_FLUSH,
        [OP_LONG_WRITE] = SIM_REQUEST_WRITE,
    };
    uint8_t who = take(r);
    struct sim_request q = {
        .op = ops[op],
        .zero = op == OP_ZERO,
        .fua = op == OP_FUA || (who >> 4 & 1) != 0,
        .client = 1 + (who & 3),
        .volume = who >> 2 & 1,
    };

    if (op != OP_FLUSH) {
        q.off_bytes = take16(r) % (DISK_BYTES / 512) * 512;
        q.len_bytes = (1 + take(r) % 64) * UINT64_C(512);
    }
    if (op == OP_LONG_WRITE || op == OP_DISCARD)
        q.len_bytes *= 8;
    if (op == OP_READ || op == OP_FLUSH)
        q.fua = false;
    if (!sim_world_request(&r->world, &q))
        run_failed(r, r->world.error, r->world.error_where != NULL ? r->world.error_where : "read");
}

static void step(struct run *r, enum cbd_work work)
{
    struct sim_world *w = &r->world;
    uint8_t which = take(r);
    uint32_t n = (which & 1) % w->config.backends;

    if (w->main.backend[n] == NULL)
        return;
    w->pmem->thread = (work == CBD_WORK_RECLAIM ? SIM_THREAD_RECLAIM : SIM_THREAD_WRITEBACK) + n;
    for (unsigned i = 0; i <= (which >> 1) % 8u; i++)
        if (cbd_backend_step(w->main.backend[n], work) <= 0)
            return;
}

static void complete(struct run *r)
{
    struct sim_world *w = &r->world;
    uint8_t which = take(r);
    struct sim_disk *disk = w->disk[(which & 1) % w->config.backends];

    if (sim_disk_inflight(disk) != 0)
        sim_disk_complete(disk, (which >> 1) % sim_disk_inflight(disk));
}

static int detach(struct sim_world *w, uint32_t n)
{
    int error = cbd_backend_detach(w->main.backend[n]);

    if (error == 0)
        w->main.backend[n] = NULL;
    return error;
}

/*
 * Detaches what is attached, attaches what is not; where a disk fails it stays as it was. A request
 * of write-back that failed before may be what the first detach hears of.
 */
static void reattach(struct run *r)
{
    struct sim_world *w = &r->world;
    uint32_t n = (take(r) & 1) % w->config.backends;
    uint64_t failed = sim_fault_failed(w);
    int error;

    w->pmem->thread = SIM_THREAD_START;
    if (w->main.backend[n] == NULL) {
        error = sim_process_attach(&w->main, n, true);
    } else {
        error = detach(w, n);
        if (sim_fault_excuses(error) && failed != 0)
            error = detach(w, n);
    }
    if (error != 0 && !(sim_fault_excuses(error) && sim_fault_failed(w) != failed))
        run_failed(r, error, "detach or attach");
}

static void operate(struct run *r)
{
    enum op op = (enum op)(take(r) % OP_COUNT);

    switch (op) {
    case OP_WRITEBACK:
        step(r, CBD_WORK_WRITEBACK);
        break;
    case OP_RECLAIM:
        step(r, CBD_WORK_RECLAIM);
        break;
    case OP_COMPLETE:
        complete(r);
        break;
    case OP_REATTACH:
        reattach(r);
        break;
    case OP_FAULT: {
        uint64_t fault = take(r) % (SIM_FAULT_GONE + 1u);

        sim_fault_strike(&r->world, (enum sim_fault)fault,
                         sim_rng_mix(r->world.config.seed, take16(r)));
        break;
    }
    case OP_HEAL:
        sim_fault_end(&r->world);
        break;
    case OP_JUDGE:
        arm(r, STRIKE_JUDGE);
        break;
    case OP_CUT:
        arm(r, STRIKE_CUT);
        break;
    case OP_KILL:
        arm(r, STRIKE_KILL);
        break;
    default:
        request(r, op);
    }
}

static void run_ops(struct run *r)
{
    if (setjmp(r->died) != 0)
        restart(r);
    while (r->left_bytes != 0 && r->ops < OPS_MAX) {
        r->ops++;
        operate(r);
    }
    if (r->strike == STRIKE_CUT || r->strike == STRIKE_KILL)
        restart(r);
    r->strike = STRIKE_NOTHING;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct run *r = sim_zalloc(1, sizeof(*r));
    struct sim_world *w = &r->world;
    struct sim_config config;
    int error;

    r->data = data;
    r->left_bytes = size_bytes;
    take_machine(r, &config);
    error = sim_world_create(w, &config);
    if (error != 0)
        run_failed(r, error, w->error_where);
    sim_judge_init(&r->judge, w);
    set_hooks(r);
    run_ops(r);
    sim_fault_end(w);
    sim_world_drain(w);
    if (!sim_world_finish(w))
        run_failed(r, w->error, w->error_where != NULL ? w->error_where : "final compare");
    sim_judge_destroy(&r->judge);
    sim_world_destroy(w);
    free(r);
    return 0;
}
