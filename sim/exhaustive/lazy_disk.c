/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bare disks of a cut, the pmem thrown away: every sector that is pending may hold any of its
 * versions, each by itself, and every combination has to be explained by some moment (P4). Nothing
 * is enumerated: see oracle_any.c.
 *
 * Between two cuts the answer can change only when the disk did, or when a FLUSH or a FUA write was
 * acknowledged: otherwise it is the one of the cut before.
 */
#include <string.h>

#include "lazy_impl.h"
#include "rng.h"
#include "sim_base.h"

struct run {
    uint64_t start, sectors, version;
};

static void end_run(struct sim_oracle *o, struct run *r)
{
    if (r->sectors != 0)
        sim_oracle_backing_feed(o, r->start, r->sectors, r->version);
    r->sectors = 0;
}

static void certain(struct sim_oracle *o, struct run *r, uint64_t sector, uint64_t version)
{
    if (r->sectors != 0 && sector == r->start + r->sectors && version == r->version) {
        r->sectors++;
        return;
    }
    end_run(o, r);
    *r = (struct run){sector, 1, version};
}

static int judge_disk(struct sim_lazy *l, uint32_t n, struct sim_oracle_violation *v)
{
    struct sim_oracle *o = l->w->oracle[n];
    const struct sim_lazy_mem *m = &l->at[0].machine.disk[n].mem;
    const struct sim_disk *disk = l->w->disk[n];
    uint64_t values[SIM_LAZY_VALUES_MAX], sector = 0;
    struct run run = {0};

    sim_oracle_backing_begin(o);
    for (; sim_disk_next_touched(disk, sector, &sector); sector++) {
        const struct sim_lazy_cell *c = sim_lazy_mem_cell(m, sector / SIM_PAGE_SECTORS);
        size_t count = 1;

        if (c == NULL)
            values[0] = sim_disk_peek(disk, sector);
        else
            count = sim_lazy_mem_values(m, c, (unsigned)(sector % SIM_PAGE_SECTORS), values);
        if (count == 1)
            certain(o, &run, sector, values[0]);
        else
            sim_oracle_backing_any(o, sector, values, count);
    }
    end_run(o, &run);
    return sim_oracle_backing_any_end(o, v);
}

void sim_lazy_judge_disks(struct sim_lazy *l)
{
    for (uint32_t n = 0; n < l->w->config.backends && !l->failed; n++) {
        const struct sim_disk_state *state = &l->w->disk[n]->state;
        struct sim_verdict v = {.backend = n};
        uint64_t key = sim_rng_mix(sim_rng_mix(state->completions, state->submissions),
                                   sim_oracle_backing_age(l->w->oracle[n]));
        int rc;

        l->counts->disks++; /* the same number whichever cuts came before */
        if (key == l->disk_key[n]) {
            l->counts->disks_open += l->disk_open[n];
            continue;
        }
        rc = judge_disk(l, n, &v.violation);
        l->disk_key[n] = key;
        l->disk_open[n] = rc == SIM_ORACLE_UNDECIDED;
        l->counts->disks_open += l->disk_open[n];
        if (rc != SIM_ORACLE_OK && rc != SIM_ORACLE_UNDECIDED) {
            v.failure = SIM_FAILURE_BACKING;
            v.where = "bare backing device";
            sim_lazy_failed(l, &v, 'd');
        }
    }
}
