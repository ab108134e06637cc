/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops, damage, repairs that end and repairs that do not. */
#include "mend.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "cbd/media_format.h"
#include "generate.h"
#include "mender.h"
#include "sim_base.h"
#include "victims.h"

#define SECTOR UINT64_C(512)
#define PLACES_MAX 3u /* damaged at once */
#define UNREAD (SIM_VERSION_GARBAGE - 1)

struct mend {
    const struct sim_mend_config *config;
    struct sim_mend_counts *counts;
    struct sim_world world;
    struct sim_process process; /* the one that repairs, and serves after it */
    struct sim_rng rng;
    struct sim_victims all;
    uint8_t *older; /* table A as it was at the stop before */
    uint64_t stop_at;
    uint64_t *shown; /* by sector, what was read of this state; UNREAD: nothing was */

    /* of this medium */
    bool killed;
    enum sim_mend_policy policy;
    const char *place[PLACES_MAX];
    uint32_t places;
    struct sim_mender whole, cut, again;
    uint64_t begin, first_store, end; /* operations of the whole repair */

    /* the repair that runs */
    struct sim_mender *running;
    uint64_t die_at; /* before this operation; UINT64_MAX: it ends */
    bool untold;     /* it has stored what it had not told about (M6) */
    jmp_buf died;

    uint64_t cut_at, subset; /* for the message */
    char *why;
    size_t why_bytes;
    bool failed;
};

static bool fail(struct mend *m, const char *what)
{
    static const char *const policies[] = {"look", "preen", "yes", "yes, and lose"};
    int n;

    if (m->failed)
        return false;
    m->failed = true;
    n = snprintf(m->why, m->why_bytes, "%s; %s, damaged:", what,
                 m->killed ? "a process died" : "a power cut");
    for (uint32_t i = 0; i < m->places && n > 0 && (size_t)n < m->why_bytes; i++)
        n += snprintf(m->why + n, m->why_bytes - (size_t)n, " %s,", m->place[i]);
    if (n > 0 && (size_t)n < m->why_bytes)
        n += snprintf(m->why + n, m->why_bytes - (size_t)n, " repaired (%s)", policies[m->policy]);
    if (n > 0 && (size_t)n < m->why_bytes && m->cut_at != UINT64_MAX)
        snprintf(m->why + n, m->why_bytes - (size_t)n, ", cut before operation %llu, subset %llu",
                 (unsigned long long)(m->cut_at - m->begin), (unsigned long long)m->subset);
    return false;
}

/* ---- damage ---- */

static void garbage(struct mend *m, uint64_t off, uint64_t len)
{
    uint8_t line[CBD_LINE_BYTES];

    memset(line, (int)(1 + sim_rng_below(&m->rng, 255)), sizeof(line));
    for (uint64_t done = 0; done < len; done += sizeof(line))
        sim_pmem_poke(m->world.pmem, off + done, line, sizeof(line));
}

static void flip(struct mend *m, uint64_t off, uint64_t len)
{
    uint64_t bit = sim_rng_below(&m->rng, len * 8);
    uint8_t byte = m->world.pmem->pm.base[off + bit / 8] ^ (uint8_t)(1u << bit % 8);

    sim_pmem_poke(m->world.pmem, off + bit / 8, &byte, 1);
}

static const char *hit_supers(struct mend *m)
{
    const uint64_t at[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, m->world.geo.super2_off};
    uint64_t whole = sim_rng_below(&m->rng, CBD_SUPER_COPIES);
    bool two = sim_rng_chance(&m->rng, 1, 2);

    for (uint64_t i = 0; i < CBD_SUPER_COPIES; i++)
        if (i != whole && (two || i == (whole + 1) % CBD_SUPER_COPIES))
            flip(m, at[i] + CBD_LINE_BYTES, CBD_LINE_BYTES);
    return two ? "two superblocks" : "a superblock";
}

/* Where an entry of a table is: that of the backend, its state, often that of a segment in use. */
static uint64_t draw_place(struct mend *m, uint64_t *len)
{
    uint64_t states = CBD_BACKENDS * sizeof(struct cbd_m_backend);
    uint64_t segments = states + CBD_BACKENDS * sizeof(struct cbd_m_backend_state);
    uint64_t draw = sim_rng_below(&m->rng, 16);
    uint32_t segment = (uint32_t)sim_rng_below(&m->rng, m->world.geo.segment_count);

    if (draw == 0) {
        *len = sizeof(struct cbd_m_backend);
        return 0;
    }
    if (draw < 6) {
        *len = sizeof(struct cbd_m_backend_state);
        return states;
    }
    if (draw < 14 && m->all.count != 0)
        segment = m->all.record[sim_rng_below(&m->rng, m->all.count)].at.segment;
    *len = sizeof(struct cbd_m_segment);
    return segments + segment * sizeof(struct cbd_m_segment);
}

/* One copy of it, or both. */
static const char *hit_entry(struct mend *m, bool both)
{
    const struct cbd_geometry *geo = &m->world.geo;
    uint64_t len, place = draw_place(m, &len);
    const uint64_t at[2] = {geo->table_a_off + place, geo->table_b_off + place};
    uint64_t copy = sim_rng_below(&m->rng, 2);
    const uint8_t *base = m->world.pmem->pm.base;

    /* The stop has left them unequal: that one is damaged is a second fault. */
    if (!both && memcmp(base + at[0], base + at[1], len) != 0)
        return NULL;
    if (!both && m->older != NULL && sim_rng_chance(&m->rng, 3, 4)) {
        sim_pmem_poke(m->world.pmem, at[copy], m->older + place, len);
        return "an old copy of a table entry";
    }
    garbage(m, at[copy], len);
    if (both)
        garbage(m, at[1 - copy], len);
    return both ? "both copies of a table entry" : "a copy of a table entry";
}

/* Both copies of the state, and of the entries of some segments in use. */
static const char *hit_tables(struct mend *m)
{
    const uint64_t tables[2] = {m->world.geo.table_a_off, m->world.geo.table_b_off};
    uint64_t states = CBD_BACKENDS * sizeof(struct cbd_m_backend);
    uint64_t segments = states + CBD_BACKENDS * sizeof(struct cbd_m_backend_state);
    uint64_t count = 1 + sim_rng_below(&m->rng, 3);

    if (m->all.count == 0)
        return NULL;
    for (int i = 0; i < 2; i++)
        garbage(m, tables[i] + states, sizeof(struct cbd_m_backend_state));
    while (count-- != 0) {
        uint32_t segment = m->all.record[sim_rng_below(&m->rng, m->all.count)].at.segment;

        for (int i = 0; i < 2; i++)
            garbage(m, tables[i] + segments + segment * sizeof(struct cbd_m_segment),
                    sizeof(struct cbd_m_segment));
    }
    return "a state and segment entries";
}

/*
 * Of the newest records of a stream nobody can say that they were durable (scan.c). The same holds for
 * the last discard of a segment whose entry is lost with it: nothing but the record speaks of it.
 */
static bool may_hit(const struct mend *m, uint32_t i)
{
    const struct sim_victim *v = &m->all.record[i];
    bool last = i + 1 == m->all.count || v[1].at.segment != v->at.segment;

    return !v->unproven && !(last && v->type == CBD_M_RECORD_ZERO);
}

static const char *hit_record(struct mend *m)
{
    uint32_t i = (uint32_t)sim_rng_below(&m->rng, m->all.count);
    const struct sim_victim *v = &m->all.record[i];

    if (!may_hit(m, i))
        return NULL;
    garbage(m, v->at.off_bytes, CBD_LINE_BYTES);
    return "a record";
}

/* Some of the records of one segment: the highest of them has to go first (M5). */
static const char *hit_records(struct mend *m)
{
    uint32_t first = (uint32_t)sim_rng_below(&m->rng, m->all.count), hits = 0;
    uint32_t segment = m->all.record[first].at.segment;

    /* Often the last ones: fewer records behind them prove that they were there. */
    while (sim_rng_chance(&m->rng, 3, 4) && first + 4 < m->all.count &&
           m->all.record[first + 4].at.segment == segment)
        first++;
    for (uint32_t i = first; i < m->all.count && m->all.record[i].at.segment == segment; i++)
        if (may_hit(m, i) && hits < 4 && sim_rng_chance(&m->rng, 1, 2)) {
            garbage(m, m->all.record[i].at.off_bytes, CBD_LINE_BYTES);
            hits++;
        }
    return hits != 0 ? "records of one segment" : NULL;
}

static const char *hit_payload(struct mend *m)
{
    const struct sim_victim *v = &m->all.record[sim_rng_below(&m->rng, m->all.count)];
    uint64_t payload = m->world.geo.data_off +
                       (uint64_t)v->at.segment * m->world.geo.segment_bytes + v->payload_off;

    if ((v->type != CBD_M_RECORD_WRITE && v->type != CBD_M_RECORD_FILL) || !v->at.live ||
        v->unproven)
        return NULL;
    if (m->config->world.no_data_checksum || sim_rng_chance(&m->rng, 1, 2)) {
        flip(m, payload - CBD_LINE_BYTES, CBD_LINE_BYTES);
        return "a payload header";
    }
    flip(m, payload + sim_rng_below(&m->rng, v->len / SECTOR) * SECTOR, SECTOR);
    return "data";
}

static void damage(struct mend *m)
{
    uint32_t want = 1 + (uint32_t)sim_rng_below(&m->rng, PLACES_MAX);

    m->places = 0;
    while (m->places < want) {
        uint64_t draw = sim_rng_below(&m->rng, m->all.count != 0 ? 13 : 6);
        const char *what = draw == 0   ? hit_supers(m)
                           : draw < 4  ? hit_entry(m, false)
                           : draw < 6  ? hit_entry(m, true)
                           : draw < 8  ? hit_record(m)
                           : draw < 11 ? hit_records(m)
                           : draw < 12 ? hit_payload(m)
                                       : hit_tables(m);

        if (what != NULL)
            m->place[m->places++] = what;
        else if (sim_rng_chance(&m->rng, 1, 8))
            want--; /* there may be nothing that can be hit */
    }
}

/* ---- repairs ---- */

static void on_operation(void *arg, const struct sim_pm_event *ev)
{
    struct mend *m = arg;
    bool store = ev->kind != SIM_PM_FLUSH && ev->kind != SIM_PM_FENCE;

    if (store && m->first_store == UINT64_MAX)
        m->first_store = ev->number;
    if (store && (ev->off < m->running->told_off ||
                  ev->off + ev->len_bytes > m->running->told_off + m->running->told_len))
        m->untold = true;
    if (ev->number == m->die_at)
        longjmp(m->died, 1);
}

/* True: it came to its end. */
static bool repair(struct mend *m, struct sim_mender *by, uint64_t die_at)
{
    struct sim_pmem *pm = m->world.pmem;
    volatile bool ended = false;

    sim_env_reset(&m->process.env, 1);
    pm->thread = SIM_THREAD_START;
    m->running = by;
    m->die_at = die_at;
    pm->hook = on_operation;
    pm->hook_arg = m;
    if (setjmp(m->died) == 0) {
        sim_mender_run(by, &pm->pm, &m->process.env.env, NULL, m->policy);
        ended = true;
    }
    pm->hook = NULL;
    return ended;
}

/* ---- what is served ---- */

struct served {
    struct mend *m;
    const char *wrong;
};

static const char *judge_sector(struct mend *m, uint64_t sector)
{
    struct sim_oracle_violation v;
    uint64_t version;
    int error = sim_process_read(&m->process, 0, sector, 1, &version);

    m->shown[sector] = error == 0 ? version : UNREAD;
    if (error != 0)
        return sim_named_has(&m->whole.reported, sector * SECTOR)
                   ? NULL
                   : "an error where nothing was reported";
    if (sim_oracle_check_served(m->world.oracle[0], sector, 1, version, &v) == SIM_ORACLE_OK)
        return NULL;
    if (v.reason != SIM_ORACLE_FOREIGN && sim_named_has(&m->whole.lost, sector * SECTOR))
        return NULL;
    return "wrong data where nothing was given up";
}

static int judge_range(void *arg, uint64_t start_sector, uint64_t sectors)
{
    struct served *s = arg;
    uint64_t *versions = s->m->process.client.versions;
    struct sim_oracle_violation v;
    bool read = sim_process_read(&s->m->process, 0, start_sector, sectors, versions) == 0;

    for (uint64_t i = 0; i < sectors && s->wrong == NULL; i++) {
        s->m->shown[start_sector + i] = versions[i];
        if (!read || sim_oracle_check_served(s->m->world.oracle[0], start_sector + i, 1,
                                             versions[i], &v) != SIM_ORACLE_OK)
            s->wrong = judge_sector(s->m, start_sector + i);
    }
    return s->wrong != NULL;
}

/* Nothing on the disk that nobody wrote; what was read, when the detach says that all is there. */
static const char *judge_disk(struct mend *m)
{
    const struct sim_world *w = &m->world;
    int error = cbd_backend_detach(m->process.backend[0]);
    uint64_t sector = 0;

    for (; sim_disk_next_touched(w->disk[0], sector, &sector); sector++) {
        uint64_t version = sim_disk_peek(w->disk[0], sector);

        if (version == SIM_VERSION_GARBAGE)
            return "garbage on the disk";
        if (error == 0 && m->shown[sector] != UNREAD && version != m->shown[sector])
            return "after the detach the disk has something else than what was read";
    }
    return NULL;
}

/* NULL: all is right, or named by the whole repair. */
static const char *serve(struct mend *m)
{
    const struct sim_mender *whole = &m->whole;
    struct served s = {.m = m};
    const char *where;
    int error = sim_process_start(&m->process, &m->world, 1, false, &where);

    if (error != 0)
        return whole->error != 0 || whole->result.summary.errors != 0 || whole->gave_up_backend
                   ? NULL
                   : "it cannot be attached";
    for (uint64_t i = 0; i < m->config->world.disk_bytes[0] / SECTOR; i++)
        m->shown[i] = UNREAD;
    (void)sim_oracle_touched(m->world.oracle[0], judge_range, &s);
    return s.wrong != NULL ? s.wrong : judge_disk(m);
}

/* One state that the cut has left: repaired again, served. */
static const char *judge(struct mend *m, bool ended)
{
    const struct sim_mender *whole = &m->whole, *again = &m->again;

    (void)repair(m, &m->again, UINT64_MAX);
    if (again->odd_offer)
        return "an offer contradicts itself";
    if (again->error != whole->error)
        return "the second repair ends with another error";
    if (ended && again->result.fixed != 0)
        return "what was repaired was not durable";
    if (again->result.summary.errors > whole->result.summary.errors)
        return "more is left than without the cut";
    if (!sim_mender_names_no_more(again, whole))
        return "more is lost than without the cut";
    return serve(m);
}

/* ---- cuts ---- */

static bool cut_at(struct mend *m, uint64_t at)
{
    const char *wrong = NULL;
    bool ended;

    m->counts->cuts++;
    m->cut_at = at;
    sim_world_mark(&m->world);
    m->world.pmem->drop_step = m->config->world.drop_step;
    ended = repair(m, &m->cut, at);
    m->world.pmem->drop_step = CBD_STEP_NONE;
    for (m->subset = 0; m->subset < m->config->subsets && wrong == NULL; m->subset++) {
        struct sim_crash crash = sim_crash_subset(m->subset, at);

        m->counts->states++;
        sim_world_mark(&m->world);
        sim_world_power_cut(&m->world, &crash);
        wrong = judge(m, ended);
        sim_world_rollback(&m->world);
        if (wrong != NULL)
            (void)fail(m, wrong);
    }
    sim_world_rollback(&m->world);
    return wrong == NULL;
}

static bool whole_repair(struct mend *m)
{
    struct sim_pmem *pm = m->world.pmem;
    const struct sim_crash none = {.kind = SIM_CRASH_NONE};
    const char *wrong;
    uint64_t drops = pm->counts.by_step[m->config->world.drop_step];

    m->cut_at = UINT64_MAX;
    m->untold = false;
    m->first_store = UINT64_MAX;
    sim_world_mark(&m->world);
    m->begin = pm->ops_done;
    (void)repair(m, &m->whole, UINT64_MAX);
    m->end = pm->ops_done;
    if (m->config->world.drop_step != CBD_STEP_NONE)
        m->counts->drop_calls += pm->counts.by_step[m->config->world.drop_step] - drops;
    m->counts->states++;
    if (!m->killed || m->first_store != UINT64_MAX)
        sim_world_power_cut(&m->world, &none); /* what has ended is durable */
    wrong = m->untold ? "bytes are stored that nobody was told about" : serve(m);
    sim_world_rollback(&m->world);
    return wrong == NULL || fail(m, wrong);
}

static bool one_medium(struct mend *m)
{
    uint64_t steps;
    bool good;

    m->policy = SIM_MEND_PREEN + (enum sim_mend_policy)sim_rng_below(&m->rng, 3);
    m->counts->images++;
    damage(m);
    good = whole_repair(m);
    if (!good || m->first_store == UINT64_MAX)
        return good;
    m->counts->repaired++;
    /* Up to the first store nothing has changed; behind the last operation it has ended. */
    steps = m->end - m->first_store + 1;
    for (uint32_t i = 0; i < m->config->cuts && i < steps && good; i++)
        good = cut_at(m, m->first_store +
                             (steps <= m->config->cuts ? i : sim_rng_below(&m->rng, steps)));
    return good;
}

/*
 * A processor that is switched away from a thread empties the buffers of its non-temporal stores. What
 * is stored cached stays where a power cut can take it (M1).
 */
static void kill_process(struct mend *m)
{
    struct sim_pmem *pm = m->world.pmem;

    sim_world_kill(&m->world);
    pm->hook = NULL;
    for (pm->thread = 0; pm->thread < SIM_PEND_THREADS; pm->thread++)
        SIM_REQUIRE(pm->pm.ops->fence(&pm->pm, CBD_STEP_NONE) == 0);
}

/* The run stops here, half of the time because its process alone dies. */
static void stop(struct mend *m)
{
    struct cbd_check_summary summary;
    bool good = true;

    m->killed = sim_rng_chance(&m->rng, 1, 2);
    sim_world_mark(&m->world);
    if (m->killed) {
        kill_process(m);
    } else {
        struct sim_crash crash = sim_crash_subset(sim_rng_below(&m->rng, 16), m->stop_at);

        sim_world_power_cut(&m->world, &crash);
    }
    sim_env_reset(&m->process.env, 0);
    if (sim_victims_list(&m->all, m->world.pmem, &m->process.env.env, &summary) != 0 ||
        summary.errors != 0)
        good = fail(m, "a check finds an error in what nobody has damaged");
    if (m->config->world.durability == CBD_DURABLE_ON_ACK)
        sim_victims_prove(&m->all);
    for (uint32_t i = 0; i < m->config->images && good; i++) {
        sim_world_mark(&m->world);
        good = one_medium(m);
        sim_world_rollback(&m->world);
    }
    if (m->older == NULL)
        m->older = sim_zalloc(m->world.geo.table_bytes, 1);
    memcpy(m->older, m->world.pmem->pm.base + m->world.geo.table_a_off, m->world.geo.table_bytes);
    sim_world_rollback(&m->world);
}

static void on_step(void *arg, const struct sim_pm_event *ev)
{
    struct mend *m = arg;

    (void)ev;
    if (m->failed || sim_world_steps(&m->world) < m->stop_at)
        return;
    stop(m);
    m->stop_at += m->config->every / 2 + sim_rng_below(&m->rng, m->config->every);
    m->world.pmem->hook = on_step;
}

static bool run(struct mend *m)
{
    struct sim_generator g = {
        .seed = m->config->world.seed,
        .requests = m->config->requests,
        .space_bytes = m->config->space_bytes,
        .volumes = 1,
        .len_max_bytes = m->config->len_max_bytes,
    };
    struct sim_source source = sim_generator_source(&g);
    struct sim_config config = m->config->world;
    struct sim_trace_error error;
    struct sim_request r;

    m->cut_at = UINT64_MAX;
    config.drop_step = CBD_STEP_NONE;
    if (sim_world_create(&m->world, &config) != 0)
        return fail(m, "the cache cannot be made");
    sim_process_init(&m->process, &m->world, 1);
    m->stop_at = sim_world_steps(&m->world) + m->config->every;
    m->world.pmem->hook = on_step;
    m->world.pmem->hook_arg = m;
    (void)source.rewind(source.arg, &error);
    while (!m->failed && source.next(source.arg, &r, &error) == 1)
        if (!sim_world_request(&m->world, &r) && !m->failed)
            return fail(m, "a request fails");
    return !m->failed;
}

void sim_mend_vary(struct sim_config *world, uint32_t n)
{
    static const enum sim_model models[] = {SIM_ADR, SIM_PAGE, SIM_EADR};

    world->model = models[n % 3];
    world->durability = n / 3 % 2 != 0 ? CBD_DURABLE_ON_FLUSH : CBD_DURABLE_ON_ACK;
    world->no_data_checksum = n / 3 % 4 == 2; /* flushes need them */
    world->dirty_start_percent = n % 2 != 0 ? 20 : 2;
}

bool sim_mend_run(const struct sim_mend_config *config, struct sim_mend_counts *counts, char *why,
                  size_t why_bytes)
{
    struct mend *m = sim_zalloc(1, sizeof(*m));
    bool good;

    m->config = config;
    m->shown = sim_zalloc(config->world.disk_bytes[0] / SECTOR, sizeof(*m->shown));
    m->counts = counts;
    m->why = why;
    m->why_bytes = why_bytes;
    sim_rng_seed(&m->rng, config->world.seed);
    good = run(m);
    if (m->process.world != NULL)
        sim_process_destroy(&m->process);
    sim_world_destroy(&m->world);
    free(m->older);
    free(m->shown);
    free(m);
    return good;
}
