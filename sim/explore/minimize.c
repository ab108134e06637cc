/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be left out or made smaller, tried again and again until nothing can. */
#include "minimize.h"

#include <string.h>
#include <sys/mman.h>

#include "minimize_impl.h"
#include "sim_base.h"

#define MANY_OPS 12u /* what tries all places or pairs of so many takes too long */

static void begin(struct minimizer *z)
{
    sim_workload_copy(&z->next, &z->w);
}

/* ---- operations ---- */

/* The power cut stays where it was, or falls behind what is left before it. */
static void drop_ops(struct sim_workload *w, size_t from, size_t count)
{
    if (w->cut.op > from + count)
        w->cut.op -= (uint32_t)count;
    else if (w->cut.op > from)
        w->cut.op = (uint32_t)from;
    memmove(&w->ops[from], &w->ops[from + count], (w->count - from - count) * sizeof(w->ops[0]));
    w->count -= count;
}

/* Drops runs of operations, from the back: what comes later depends on what was before. */
static bool fewer_ops(struct minimizer *z)
{
    bool any = false;

    for (size_t chunk = (z->w.count + 1) / 2; chunk != 0; chunk /= 2) {
        for (size_t end = z->w.count; end > 0;) {
            size_t from = end > chunk ? end - chunk : 0;

            begin(z);
            drop_ops(&z->next, from, end - from);
            any = minimize_accept(z, false) || any;
            end = from;
        }
    }
    return any;
}

/* Detach and attach go together. */
static bool fewer_pairs(struct minimizer *z)
{
    bool any = false;

    for (size_t i = 0; i < z->w.count; i++) {
        for (size_t k = i + 1; k < z->w.count; k++) {
            if (z->w.count > MANY_OPS)
                return any;
            begin(z);
            drop_ops(&z->next, k, 1);
            drop_ops(&z->next, i, 1);
            if (!minimize_accept(z, false))
                continue;
            any = true;
            k = i;
        }
    }
    return any;
}

/*
 * One large write in the place of several operations: what fills the cache needs no more. Of a long
 * workload not every place is tried, for each costs a run.
 */
static bool one_write(struct minimizer *z)
{
    static const uint64_t lens[] = {65536, 262144, 1048576};
    bool any = false;

    for (size_t chunk = z->w.count; chunk >= 2; chunk = chunk > 8 ? chunk / 2 : chunk - 1) {
        for (size_t from = 0; from + chunk <= z->w.count;
             from += z->w.count > MANY_OPS ? chunk : 1) {
            for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
                struct sim_work_op op = {.kind = SIM_WORK_WRITE, .disk = z->w.ops[from].disk};

                op.len_bytes = lens[k];
                begin(z);
                drop_ops(&z->next, from, chunk - 1);
                z->next.ops[from] = op;
                if (!minimize_accept(z, false))
                    continue;
                any = true;
                if (from + chunk > z->w.count)
                    break;
            }
        }
    }
    return any;
}

/* A cache that is full sooner. */
static bool smaller_cache(struct minimizer *z)
{
    static const uint64_t sizes[] = {2304, 2368, 2432, 2496, 2560, 2688, 2816};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        if (sizes[k] * 1024 >= z->w.config.cache_bytes)
            return false;
        begin(z);
        z->next.config.cache_bytes = sizes[k] * 1024;
        z->next.config.segment_bytes = 64u << 10;
        if (minimize_accept(z, false))
            return true;
    }
    return false;
}

static bool change_op(struct minimizer *z, size_t i, const struct sim_work_op *op)
{
    begin(z);
    z->next.ops[i] = *op;
    if (sim_workload_equal(&z->next, &z->w))
        return false;
    return minimize_accept(z, false);
}

/* Smaller numbers in one operation. */
static bool smaller_range(struct minimizer *z, size_t i)
{
    static const uint64_t lens[] = {512, 4096, 8192, 16384, 65536};
    uint64_t block = z->w.config.logical_block_bytes;
    struct sim_work_op op = z->w.ops[i];
    bool any = false;

    for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
        op = z->w.ops[i];
        if (lens[k] >= op.len_bytes || lens[k] % block != 0)
            continue;
        op.len_bytes = lens[k];
        if (change_op(z, i, &op)) {
            any = true;
            break;
        }
    }
    op = z->w.ops[i];
    op.off_bytes = 0;
    if (change_op(z, i, &op))
        return true;
    op.off_bytes = z->w.ops[i].off_bytes / 4096 * 4096;
    return change_op(z, i, &op) || any;
}

static bool simpler_op(struct minimizer *z, size_t i)
{
    struct sim_work_op op = z->w.ops[i];
    bool any = false;

    if (op.kind <= SIM_WORK_DISCARD)
        any = smaller_range(z, i);
    op = z->w.ops[i];
    op.fua = false;
    any = change_op(z, i, &op) || any;
    op = z->w.ops[i];
    op.client = 0;
    any = change_op(z, i, &op) || any;
    op = z->w.ops[i];
    if (op.kind == SIM_WORK_ZERO || op.kind == SIM_WORK_DISCARD || op.kind == SIM_WORK_READ) {
        op.kind = SIM_WORK_WRITE;
        any = change_op(z, i, &op) || any;
    }
    op = z->w.ops[i];
    if (op.kind == SIM_WORK_RESTART) {
        memset(&op.crash, 0, sizeof(op.crash));
        any = change_op(z, i, &op) || any;
        op = z->w.ops[i];
        op.crash = (struct sim_crash){.kind = SIM_CRASH_ALL};
        if (z->w.ops[i].crash.kind != SIM_CRASH_NONE)
            any = change_op(z, i, &op) || any;
        op = z->w.ops[i];
        op.steps = 0;
        any = change_op(z, i, &op) || any;
    }
    return any;
}

static bool simpler_ops(struct minimizer *z)
{
    bool any = false;

    for (size_t i = 0; i < z->w.count; i++)
        any = simpler_op(z, i) || any;
    return any;
}

/* ---- machine ---- */

/* All of the machine's own settings as usual at once; what makes the bug stays. */
static bool usual_machine(struct minimizer *z)
{
    struct sim_workload usual;

    sim_workload_init(&usual);
    begin(z);
    usual.config.drop_step = z->w.config.drop_step;
    usual.config.canary = z->w.config.canary;
    z->next.config = usual.config;
    for (size_t i = 0; i < z->next.count; i++) {
        z->next.ops[i].client = 0;
        z->next.ops[i].disk = 0;
    }
    return !sim_workload_equal(&z->next, &z->w) && minimize_accept(z, false);
}

static bool one_disk(struct minimizer *z)
{
    if (z->w.config.backends == 1)
        return false;
    for (uint32_t keep = 0; keep < z->w.config.backends; keep++) {
        begin(z);
        z->next.config.backends = 1;
        z->next.config.disk_bytes[0] = z->w.config.disk_bytes[keep];
        for (size_t i = z->next.count; i-- > 0;) {
            struct sim_work_op *op = &z->next.ops[i];
            bool machine = op->kind == SIM_WORK_WAIT || op->kind == SIM_WORK_RESTART;

            if (op->disk != keep && !machine)
                drop_ops(&z->next, i, 1);
            else
                op->disk = 0;
        }
        if (minimize_accept(z, false))
            return true;
    }
    begin(z);
    z->next.config.backends = 1;
    for (size_t i = 0; i < z->next.count; i++)
        z->next.ops[i].disk = 0;
    return minimize_accept(z, false);
}

static bool usual_disks(struct minimizer *z)
{
    struct sim_workload usual;
    bool same = true;

    sim_workload_init(&usual);
    begin(z);
    for (uint32_t n = 0; n < z->w.config.backends; n++) {
        same = same && z->next.config.disk_bytes[n] == usual.config.disk_bytes[n];
        z->next.config.disk_bytes[n] = usual.config.disk_bytes[n];
    }
    return !same && minimize_accept(z, false);
}

static bool usual_settings(struct minimizer *z)
{
    struct sim_workload usual;
    bool any = usual_disks(z);

    sim_workload_init(&usual);
    for (const struct sim_work_field *f = sim_work_fields; f->name != NULL; f++) {
        uint64_t value = sim_work_field_get(f, &usual.config);

        /* A small cache has made operations needless; it would take them all. */
        if (strcmp(f->name, "cache") == 0 && z->w.config.cache_bytes < value)
            continue;
        if (sim_work_field_get(f, &z->w.config) == value || strcmp(f->name, "canary") == 0 ||
            strcmp(f->name, "drop") == 0)
            continue;
        begin(z);
        sim_work_field_set(f, &z->next.config, value);
        /* Another seed instead of the usual one would be no progress, for ever. */
        z->one_seed = strcmp(f->name, "seed") == 0;
        any = minimize_accept(z, false) || any;
        z->one_seed = false;
    }
    return any;
}

static void make_small(struct minimizer *z)
{
    bool again = true;

    /* Of a long workload most goes at once, and each step of it is dear. */
    z->in_place = true;
    while (z->w.count > 8 && fewer_ops(z))
        ;
    z->in_place = false;
    (void)fewer_ops(z);
    (void)usual_machine(z);
    while (again && !z->result->exhausted) {
        again = one_disk(z);
        again = fewer_ops(z) || again;
        z->one_seed = true; /* moves of which there are many */
        if (z->w.count > 4 && z->w.count != z->tried_runs) {
            z->in_place = true; /* and each of them dear */
            again = one_write(z) || again;
            z->in_place = false;
            again = smaller_cache(z) || again;
            z->tried_runs = z->w.count;
        }
        again = simpler_ops(z) || again;
        if (z->w.count != z->tried_pairs) {
            again = fewer_pairs(z) || again;
            z->tried_pairs = z->w.count;
        }
        z->one_seed = false;
        again = usual_settings(z) || again;
        again = minimize_crash(z) || again;
    }
}

void sim_minimize_run(struct sim_workload *w, const struct sim_minimize *m,
                      struct sim_minimized *result)
{
    struct minimizer z = {.m = m, .result = result};

    memset(result, 0, sizeof(*result));
    z.shared =
        mmap(NULL, sizeof(*z.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SIM_REQUIRE(z.shared != MAP_FAILED);
    sim_workload_init(&z.w);
    sim_workload_init(&z.next);
    sim_workload_copy(&z.next, w);
    result->lines_before = sim_workload_lines(w);
    if (minimize_find(&z)) {
        result->failed = true;
        result->died = z.signal != 0;
        make_small(&z);
        result->verdict = z.like;
        sim_workload_copy(w, &z.w);
    }
    result->lines = sim_workload_lines(w);
    sim_workload_free(&z.w);
    sim_workload_free(&z.next);
    munmap(z.shared, sizeof(*z.shared));
}
