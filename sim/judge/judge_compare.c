/* SPDX-License-Identifier: BSD-2-Clause */
/* What a recovered cache shows, sector by sector, before the oracles. */
#include "judge_impl.h"

#define SECTOR UINT64_C(512)
/* A larger range that was in flight is compared at both ends and in windows between. */
#define RANGE_SECTORS_MAX 4096u
#define WINDOW_SECTORS 128u
#define WINDOWS 16u

static bool compare(struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors,
                    bool pieces, uint64_t *seen, struct sim_verdict *v)
{
    const struct sim_oracle *o = j->world->oracle[backend];
    uint64_t *versions = j->process.client.versions;
    uint64_t block = j->world->config.logical_block_bytes / SECTOR;
    uint64_t failed = sim_fault_failed(j->world);
    int error = sim_process_read(&j->process, backend, first, sectors, versions);

    if (sim_fault_excuses(error) && sim_fault_failed(j->world) != failed) {
        j->counts.excused++;
        return true;
    }
    if (judge_damage_excuses(j, error, backend, first, sectors) && j->process.env.errors != 0) {
        j->counts.lost++;
        for (uint64_t i = 0; i < sectors && sectors > block; i += block)
            if (!compare(j, backend, first + i, block, false, seen, v))
                return false; /* what stands beside it is judged */
        return true;
    }
    if (error != 0) {
        v->violation.sector = first;
        v->backend = backend;
        return judge_bad(v, SIM_FAILURE_READ, error, "read after recovery");
    }
    j->counts.sectors += sectors;
    for (uint64_t i = 0, n; i < sectors; i += n) {
        for (n = 1; i + n < sectors && versions[i + n] == versions[i];)
            n++;
        *seen = sim_rng_mix(*seen, versions[i] ^ n);
        if (sim_oracle_check_served(o, first + i, n, versions[i], &v->violation) != SIM_ORACLE_OK) {
            if (judge_damage_explains(j, backend, &v->violation, false)) {
                v->violation = (struct sim_oracle_violation){0};
                j->counts.lost++;
                pieces = false;
                continue;
            }
            v->backend = backend;
            return judge_bad(v, SIM_FAILURE_SERVED, 0, "served device");
        }
    }
    if (pieces &&
        sim_oracle_check_pieces(o, first, versions, sectors, &v->violation) != SIM_ORACLE_OK &&
        !judge_damage_explains(j, backend, &v->violation, true)) {
        v->backend = backend;
        return judge_bad(v, SIM_FAILURE_SERVED, 0, "served device, pieces");
    }
    return true;
}

bool judge_range(struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors,
                 uint64_t *seen, struct sim_verdict *v)
{
    uint64_t max = SIM_REQUEST_BYTES_MAX / SECTOR;
    uint64_t block = j->world->config.logical_block_bytes / SECTOR;

    if (sectors <= RANGE_SECTORS_MAX) {
        for (uint64_t done = 0; done < sectors; done += max)
            if (!compare(j, backend, first + done, sectors - done < max ? sectors - done : max,
                         true, seen, v))
                return false;
        return true;
    }
    for (uint64_t i = 0; i <= WINDOWS; i++) {
        uint64_t at = (sectors - WINDOW_SECTORS) / WINDOWS * i / block * block;

        if (i == WINDOWS)
            at = sectors - WINDOW_SECTORS;
        if (!compare(j, backend, first + at, WINDOW_SECTORS, false, seen, v))
            return false;
    }
    return true;
}

/* Every sector of a request that was not durable when the power failed. */
bool judge_open(struct sim_judge *j, uint64_t *seen, struct sim_verdict *v)
{
    struct sim_world *w = j->world;

    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_range range;

        for (size_t cursor = 0; sim_oracle_open_next(w->oracle[n], &cursor, &range);)
            if (range.op != SIM_ORACLE_OP_FLUSH &&
                !judge_range(j, n, range.start_sector, range.sectors, seen, v))
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
        c->ok = judge_bad(c->v, SIM_FAILURE_SERVED, 0, "extent in the index");
    }
    c->run = 0;
}

static void judge_extent(void *arg, const struct cbd_extent_view *e)
{
    struct cached *c = arg;
    uint64_t first = e->addr_bytes / SECTOR, sectors = e->len_bytes / SECTOR;

    if (judge_damage_hides(c->j, c->backend, first, sectors)) {
        end_run(c);
        return; /* it is read through the cache, which knows what of it is good */
    }
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

bool judge_cached(struct sim_judge *j, struct sim_verdict *v)
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
bool judge_all(struct sim_judge *j, struct sim_verdict *v)
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
