/* SPDX-License-Identifier: BSD-2-Clause */
/* One campaign, each fault model in turn. */
#include "score.h"

#include <string.h>

#include "campaign.h"
#include "contract.h"
#include "damage.h"
#include "generate.h"
#include "sim_base.h"

#define MIB UINT64_C(1048576)
#define SEED UINT64_C(40)
#define WITHOUT_ALL                                                                                \
    (SIM_WITHOUT_NESTED | SIM_WITHOUT_KILL | SIM_WITHOUT_LOST_COPY | SIM_WITHOUT_LATER)

struct row {
    const char *name, *what, *reason;
    enum cbd_canary_id witness;
};

static const struct row rows[SIM_SCORE_COUNT] = {
    [SIM_SCORE_ADR] = {"adr", "power cut: what was not flushed and fenced may be gone, by words",
                       "the base: every other model is this one and more, and what it finds is "
                       "no other's own",
                       CBD_CANARY_NONE},
    [SIM_SCORE_EADR] = {"eadr", "power cut: caches survive, non-temporal stores need the fence",
                        "what eadr can leave, adr can leave too; and where all stores are "
                        "non-temporal, as in this engine, adr leaves nothing more",
                        CBD_CANARY_NONE},
    [SIM_SCORE_PAGE] = {"page", "a mapped file: pages by sectors, msync; the process dies alone",
                        NULL, CBD_CANARY_LAST_RECORD_NOT_FLUSHED},
    [SIM_SCORE_NESTED] = {"nested",
                          "the power fails in the run, and again inside recovery or behind it",
                          NULL, CBD_CANARY_EPOCH_FALLS},
    [SIM_SCORE_READ_EIO] = {"read-eio", "some reads of a disk fail", NULL,
                            CBD_CANARY_READ_TRIED_AGAIN},
    [SIM_SCORE_WRITE_EIO] = {"write-eio", "some writes fail and change a part of their sectors",
                             "what a failed write leaves, one leaves that was lost in part at a "
                             "power cut; and its error shows with a disk that is away, too",
                             CBD_CANARY_NONE},
    [SIM_SCORE_FLUSH_EIO] = {"flush-eio",
                             "some flushes fail, and the disk forgets a part of its cache", NULL,
                             CBD_CANARY_FLUSH_TRIED_AGAIN},
    [SIM_SCORE_LATENT] = {"latent", "sectors that cannot be read until they are written", NULL,
                          CBD_CANARY_READ_IN_PARTS},
    [SIM_SCORE_GONE] = {"gone", "a disk is away for some requests", NULL,
                        CBD_CANARY_UNREAD_DISK_ATTACHED},
    [SIM_SCORE_FULL] = {"full", "a disk is away until the cache is full", NULL,
                        CBD_CANARY_SPACE_AWAITED_FOR_EVER},
    [SIM_SCORE_POISON] = {"poison", "a line of the memory cannot be read", NULL,
                          CBD_CANARY_UNREADABLE_COPY_REFUSED},
    [SIM_SCORE_FLIP] = {"flip", "a bit of the memory turns over", NULL,
                        CBD_CANARY_CHECK_TRUSTS_HEADERS},
    [SIM_SCORE_STALE] = {"stale", "a line is as it was earlier", NULL, CBD_CANARY_OLDER_COPY_WINS},
    [SIM_SCORE_LOST_FLUSH] = {"lost-flush", "a flush is reported as done and was not", NULL,
                              CBD_CANARY_NEWEST_NOT_COMPARED},
    [SIM_SCORE_LOST_WRITE] = {"lost-write", "a part of a write is reported as done and was not",
                              NULL, CBD_CANARY_FIRST_SECTOR_COMPARED},
    [SIM_SCORE_MISPLACED] = {"misplaced", "a write goes to the wrong place", NULL,
                             CBD_CANARY_NEWEST_COMPARED_ONLY},
};

const char *sim_score_name(enum sim_score_row row)
{
    return rows[row].name;
}

const char *sim_score_what(enum sim_score_row row)
{
    return rows[row].what;
}

const char *sim_score_reason(enum sim_score_row row)
{
    return rows[row].reason;
}

enum cbd_canary_id sim_score_witness(enum sim_score_row row)
{
    return rows[row].witness;
}

/* ---- one model ---- */

static bool play_scenes(enum sim_score_row row, uint64_t *states, char *failure, size_t n)
{
    char why[256];

    for (uint32_t i = 0; i < sim_contract_scenes(); i++) {
        uint32_t models = sim_contract_models(i);

        /* Those without any fault show what every power cut shows, and what needs none. */
        if ((models >> row & 1) == 0 && (models != 0 || row > SIM_SCORE_PAGE))
            continue;
        ++*states;
        if (!sim_contract_play(i, why, sizeof(why))) {
            snprintf(failure, n, "%s: %s", sim_contract_name(i), why);
            return true;
        }
    }
    return false;
}

static struct sim_config machine(enum sim_score_row row)
{
    struct sim_config c = {
        .seed = SEED,
        .cache_bytes = 3 * MIB,
        .segment_bytes = 64u << 10,
        .streams = 2,
        .backends = 1,
        .disk_bytes = {2 * MIB},
        .logical_block_bytes = 512,
        .dirty_start_percent = 20,
        .space_timeout_ns = UINT64_C(1000000000),
        .without = WITHOUT_ALL,
    };

    if (row == SIM_SCORE_EADR)
        c.model = SIM_EADR;
    else if (row == SIM_SCORE_PAGE) {
        c.model = SIM_PAGE;
        c.without = SIM_WITHOUT_LOST_COPY | SIM_WITHOUT_LATER;
    } else if (row == SIM_SCORE_NESTED)
        c.without &= ~(uint32_t)(SIM_WITHOUT_NESTED | SIM_WITHOUT_LATER);
    else if (row >= SIM_SCORE_FAULT)
        c.faults = 1u << (row - SIM_SCORE_FAULT);
    return c;
}

static bool run_campaign(enum sim_score_row row, uint64_t *states, char *failure, size_t n)
{
    struct sim_generator generator = {
        .seed = SEED,
        .requests = 400,
        .space_bytes = 1 * MIB,
        .volumes = 1,
        .len_max_bytes = 64u << 10,
    };
    struct sim_campaign c = {
        .config = machine(row),
        .source = sim_generator_source(&generator),
        .crashes = row <= SIM_SCORE_PAGE ? 200 : 60,
        .subsets = 16,
        .restarts = row == SIM_SCORE_NESTED ? 8 : 0,
        .workers = 1,
        .stop_at_first = true,
        .only_step = UINT64_MAX,
    };
    struct sim_result *result = sim_zalloc(1, sizeof(*result));
    bool found;

    SIM_REQUIRE(sim_campaign_run(&c, result) == 0);
    found = result->run_failed || result->failures != 0;
    if (found)
        sim_verdict_text(result->run_failed ? &result->run_verdict : &result->failed[0].verdict,
                         failure, n);
    *states += result->judged.states + 1;
    free(result);
    return found;
}

/* Damage by the running number, with this kind of it only. */
static bool run_damage(enum sim_score_row row, uint64_t *states, char *failure, size_t n)
{
    struct sim_damage_config d = {
        .world = machine(row),
        .requests = 100,
        .every = 25,
        .damages = 100,
        .space_bytes = MIB / 2,
        .len_max_bytes = 16u << 10,
        .kinds = 1u << (row - SIM_SCORE_FAULT),
    };

    d.world.faults = 0;
    d.world.disk_bytes[0] = MIB;
    return !sim_damage_run(&d, states, failure, n);
}

/* A cache cannot work on a disk that lies. The scenes say what it notices. */
static bool lies(enum sim_score_row row)
{
    return row >= SIM_SCORE_LOST_FLUSH;
}

bool sim_score_try(enum sim_score_row row, uint64_t *states, char *failure, size_t failure_bytes)
{
    bool memory = row >= SIM_SCORE_FAULT && (SIM_FAULTS_MEMORY >> (row - SIM_SCORE_FAULT) & 1) != 0;

    return play_scenes(row, states, failure, failure_bytes) ||
           (!lies(row) && run_campaign(row, states, failure, failure_bytes)) ||
           (memory && run_damage(row, states, failure, failure_bytes));
}

/* ---- all of them ---- */

static int try_row(const struct sim_hunt_config *config, enum sim_score_row row,
                   struct sim_score *score)
{
    struct sim_hunt_config c = *config;
    struct sim_hunt_result *r = sim_zalloc(1, sizeof(*r));
    int error;

    c.only = (int32_t)(sim_hunt_strategies() + row);
    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT; id++) {
        c.wanted[id] = score->ran[id];
        /* What a plain power cut shows can be nobody's own. */
        if (row > SIM_SCORE_PAGE && score->found[SIM_SCORE_ADR][id])
            c.wanted[id] = false;
    }
    error = sim_hunt_run(&c, r);
    for (uint32_t i = 0; i < r->count && error == 0; i++) {
        bool found = r->hunt[i].verdict == SIM_HUNT_FOUND;

        if (r->hunt[i].canary == CBD_CANARY_NONE)
            score->alarm[row] = found;
        else
            score->found[row][r->hunt[i].canary] = found;
    }
    free(r);
    return error;
}

static bool is_own(const struct sim_score *s, enum sim_score_row row, int id)
{
    if (!s->found[row][id])
        return false;
    for (int other = 0; other < SIM_SCORE_COUNT; other++)
        if (other != (int)row && s->found[other][id])
            return false;
    return true;
}

static void add_up(struct sim_score *s)
{
    s->good = true;
    for (int row = 0; row < SIM_SCORE_COUNT; row++) {
        for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++) {
            s->own[row][id] = is_own(s, (enum sim_score_row)row, id);
            s->founds[row] += s->found[row][id];
            s->owns[row] += s->own[row][id];
        }
        s->good = s->good && !s->alarm[row] && (s->owns[row] != 0 || rows[row].reason != NULL);
    }
}

int sim_score_run(const struct sim_hunt_config *config, bool fast, struct sim_score *score)
{
    int error = 0;

    memset(score, 0, sizeof(*score));
    for (int id = CBD_CANARY_NONE; id < CBD_CANARY_COUNT; id++)
        score->ran[id] = config->wanted[id] && !fast;
    for (int row = 0; row < SIM_SCORE_COUNT && fast; row++)
        score->ran[rows[row].witness] = true; /* and without a bug */
    for (int row = 0; row < SIM_SCORE_COUNT && error == 0; row++)
        error = try_row(config, (enum sim_score_row)row, score);
    add_up(score);
    return error;
}
