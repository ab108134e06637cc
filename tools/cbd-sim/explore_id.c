/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings of `explore` as one word, and the word that names one of its failures. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "explore_tool.h"
#include "sim_base.h"

#define PREFIX "explore:"

void cbd_explore_init(struct cbd_explore *e)
{
    memset(e, 0, sizeof(*e));
    sim_scenario_init(&e->scenario);
    e->failures = sim_zalloc(CBD_EXPLORE_FAILURES_KEPT, sizeof(*e->failures));
    e->x.scenario = &e->scenario;
    e->x.t = (struct sim_try){
        .strategy = SIM_STRATEGY_PARTIAL,
        .subsets = 16,
        .cut_every = 1,
        .merge = true,
        .stop_at_first = true,
        .lazy = {.depth = 1},
    };
    e->x.shards = 1;
    e->x.units = UINT64_MAX;
    e->x.jobs = 1;
}

void cbd_explore_free(struct cbd_explore *e)
{
    free(e->failures);
    e->failures = NULL;
}

void cbd_explore_settings(const struct cbd_explore *e, FILE *out)
{
    const struct sim_try *t = &e->x.t;

    sim_scenario_print(&e->scenario, out);
    if (t->strategy != SIM_STRATEGY_PARTIAL)
        fprintf(out, ":strategy=%s", sim_strategy_name(t->strategy));
    if (t->subsets != 16)
        fprintf(out, ":subsets=%u", t->subsets);
    if (t->lazy.depth != 1)
        fprintf(out, ":crash-depth=%u", t->lazy.depth);
    if (t->cut_every != 1)
        fprintf(out, ":cut-every=%u", t->cut_every);
}

void cbd_explore_id(const struct cbd_explore *e, const struct sim_explored *u,
                    char id[CBD_EXPLORE_ID_BYTES])
{
    FILE *out = fmemopen(id, CBD_EXPLORE_ID_BYTES, "w");

    SIM_REQUIRE(out != NULL);
    fputs(PREFIX, out);
    cbd_explore_settings(e, out);
    fprintf(out, ":unit=%" PRIu64, u->unit);
    if (u->step != UINT64_MAX && u->trail[0] != '\0')
        fprintf(out, ":step=%" PRIu64 ":trail=%s", u->step, u->trail);
    else if (u->step != UINT64_MAX)
        fprintf(out, ":step=%" PRIu64 ":subset=%" PRIu64, u->step, u->subset);
    fclose(out);
    id[CBD_EXPLORE_ID_BYTES - 1] = '\0';
}

bool cbd_explore_is_id(const char *text)
{
    return strncmp(text, PREFIX, strlen(PREFIX)) == 0;
}

static bool small_number(const char *value, uint32_t *number)
{
    uint64_t v;

    if (!sim_work_number(value, false, &v) || v == 0 || v > 100000)
        return false;
    *number = (uint32_t)v;
    return true;
}

bool cbd_explore_set(struct cbd_explore *e, const char *name, const char *value)
{
    if (strcmp(name, "strategy") == 0)
        return sim_strategy_parse(value, &e->x.t.strategy);
    if (strcmp(name, "subsets") == 0)
        return small_number(value, &e->x.t.subsets);
    if (strcmp(name, "cut-every") == 0)
        return small_number(value, &e->x.t.cut_every);
    if (strcmp(name, "crash-depth") == 0)
        return small_number(value, &e->x.t.lazy.depth) && e->x.t.lazy.depth <= SIM_LAZY_DEPTH_MAX;
    return sim_scenario_set(&e->scenario, name, value);
}

static bool set_case(struct cbd_explore *e, struct cbd_explore_case *c, const char *name,
                     const char *value)
{
    if (strcmp(name, "unit") == 0)
        return sim_work_number(value, false, &c->unit);
    if (strcmp(name, "subset") == 0)
        return sim_work_number(value, false, &c->subset);
    if (strcmp(name, "trail") == 0)
        return snprintf(c->trail, sizeof(c->trail), "%s", value) < (int)sizeof(c->trail);
    if (strcmp(name, "step") == 0) {
        c->whole = false;
        return sim_work_number(value, false, &c->step);
    }
    return cbd_explore_set(e, name, value);
}

bool cbd_explore_parse(const char *text, struct cbd_explore *e, struct cbd_explore_case *c,
                       char *why, size_t why_bytes)
{
    char *copy = strdup(text + strlen(PREFIX)), *at = copy, *word;
    bool ok = true;

    SIM_REQUIRE(copy != NULL);
    *c = (struct cbd_explore_case){.unit = UINT64_MAX, .whole = true};
    while (ok && (word = strsep(&at, ":")) != NULL) {
        char *value = strchr(word, '=');

        if (value != NULL)
            *value++ = '\0';
        ok = value != NULL && set_case(e, c, word, value);
        if (!ok)
            snprintf(why, why_bytes, "ID: got '%.30s%s%.60s', limit what explore has printed", word,
                     value != NULL ? "=" : "", value != NULL ? value : "");
    }
    free(copy);
    if (ok && !sim_scenario_valid(&e->scenario, why, why_bytes))
        return false;
    if (ok && c->unit >= sim_scenario_units(&e->scenario)) {
        snprintf(why, why_bytes, "ID: unit: got %" PRIu64 ", limit the units of this generator",
                 c->unit);
        return false;
    }
    return ok;
}

void cbd_explore_add(struct cbd_explore *e, const struct sim_explored *u)
{
    struct cbd_explore_totals *t = &e->totals;

    t->done++;
    t->steps += u->steps;
    t->cuts += u->cuts;
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        t->cuts_by[c] += u->cuts_by[c];
    for (int c = 0; c < SIM_CLASS_COUNT; c++)
        t->executed_by[c] += u->executed_by[c];
    t->executed += u->executed;
    t->merged += u->merged;
    t->represented = sim_lazy_count_add(t->represented, u->represented);
    t->nested += u->judged.nested;
    t->later_writeback += u->judged.later[SIM_LATER_WRITEBACK];
    t->later_reclaim += u->judged.later[SIM_LATER_RECLAIM];
    t->later_rest +=
        u->judged.later_rest[SIM_LATER_WRITEBACK] + u->judged.later_rest[SIM_LATER_RECLAIM];
    t->twice += u->judged.twice;
    t->killed += u->judged.killed;
    t->backing += u->judged.backing;
    t->lost_copies += u->judged.lost_copies;
    t->faults += u->judged.faults;
    t->full += u->judged.full;
    t->sectors += u->judged.sectors;
    t->hash = sim_rng_mix(t->hash, u->hash);
    if (u->failures == 0)
        return;
    t->failed++;
    if (e->failures_kept < CBD_EXPLORE_FAILURES_KEPT)
        cbd_explore_id(e, u, e->failures[e->failures_kept++]);
}
