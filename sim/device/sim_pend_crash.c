/* SPDX-License-Identifier: BSD-2-Clause */
/* What a power cut makes of the pending set: one choice per unit, applied to the buffer. */
#include <string.h>

#include "rng.h"
#include "sim_base.h"
#include "sim_pend.h"

#define UNITS_MAX (1 + SIM_PEND_WORDS)

/* The units of one group. word[u] is SIM_PEND_WORDS for "how many of the ordered stores". */
struct group_units {
    unsigned count;
    uint8_t word[UNITS_MAX];
    uint64_t max[UNITS_MAX];
};

/* How the choices of one crash are made. */
struct picker {
    const uint64_t *given; /* the caller's choices; NULL: by strategy */
    enum sim_crash_kind kind;
    enum sim_crash_grain grain;
    unsigned keep_eighths;
    uint64_t seed;
    uint64_t unit;   /* number of the next unit */
    uint64_t k;      /* ONE_LOST, ONE_KEPT: the unit */
    bool by_op;      /* whole operations survive or are lost */
    uint64_t op_end; /* PREFIX: operations below survive */
    struct sim_rng rng;
};

static void list_units(const struct sim_pend *p, uint32_t g, bool snapshot, struct group_units *u)
{
    uint64_t ordered = 0;
    uint64_t words[SIM_PEND_WORDS] = {0};
    for (uint32_t s = p->groups[g].first; s != SIM_PEND_NIL; s = p->stores[s].next) {
        const struct sim_pend_store *e = &p->stores[s];
        if (snapshot || (e->flags & SIM_PEND_ORDERED)) {
            ordered++;
            continue;
        }
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            words[w] += (e->mask >> w) & 1u;
    }
    u->count = 0;
    if (ordered > 0) {
        u->word[u->count] = SIM_PEND_WORDS;
        u->max[u->count++] = ordered;
    }
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
        if (words[w] == 0)
            continue;
        u->word[u->count] = (uint8_t)w;
        u->max[u->count++] = words[w];
    }
}

size_t sim_pend_units(const struct sim_pend *p, bool snapshot, uint64_t *choices, size_t cap)
{
    size_t n = 0;
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next) {
        struct group_units u;
        list_units(p, g, snapshot, &u);
        for (unsigned i = 0; i < u.count; i++, n++) {
            if (choices != NULL && n < cap)
                choices[n] = u.max[i] + 1;
        }
    }
    return n;
}

size_t sim_pend_list(const struct sim_pend *p, bool snapshot, struct sim_pend_unit *units,
                     size_t cap)
{
    size_t n = 0;
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next) {
        struct group_units u;
        list_units(p, g, snapshot, &u);
        for (unsigned i = 0; i < u.count; i++, n++) {
            if (n < cap)
                units[n] = (struct sim_pend_unit){p->stores[p->groups[g].first].cell, u.word[i],
                                                  u.max[i] + 1};
        }
    }
    return n;
}

static bool hash_keeps(const struct picker *pick, uint64_t what)
{
    return sim_rng_mix(pick->seed, what) % 8 < pick->keep_eighths;
}

static bool op_survives(const struct picker *pick, uint64_t op)
{
    return pick->kind == SIM_CRASH_PREFIX ? op < pick->op_end : hash_keeps(pick, op);
}

static uint64_t pick_unit(struct picker *pick, uint64_t area, uint64_t max)
{
    uint64_t unit = pick->unit++;
    if (pick->given != NULL) {
        SIM_REQUIRE(pick->given[unit] <= max);
        return pick->given[unit];
    }
    switch (pick->kind) {
    case SIM_CRASH_ALL:
        return max;
    case SIM_CRASH_ONE_LOST:
        return unit == pick->k ? 0 : max;
    case SIM_CRASH_ONE_KEPT:
        return unit == pick->k ? max : 0;
    case SIM_CRASH_RANDOM:
        if (pick->grain == SIM_GRAIN_LINE)
            return hash_keeps(pick, area) ? max : 0;
        return sim_rng_chance(&pick->rng, pick->keep_eighths, 8) ? max
                                                                 : sim_rng_below(&pick->rng, max);
    case SIM_CRASH_NONE:
    case SIM_CRASH_PREFIX:
        break;
    }
    return 0;
}

/*
 * A word ends with the value after its newest kept store. Two rules, see docs/crash-model.md:
 * an ordered store is kept only if all older ordered ones of the group are, and a word that is
 * written by a lost ordered store shows nothing newer than that.
 */
static void apply_words(const struct sim_pend *p, uint32_t g, const struct sim_pend_view *view,
                        const struct picker *pick, const uint64_t choice[UNITS_MAX])
{
    uint64_t cell = p->stores[p->groups[g].first].cell;
    uint64_t now[SIM_PEND_WORDS];
    uint64_t out[SIM_PEND_WORDS] = {0};
    uint64_t left[SIM_PEND_WORDS]; /* unordered stores of a word still to be kept */
    uint64_t ordered_left = choice[SIM_PEND_WORDS];
    unsigned seen = 0;    /* words whose durable value is known */
    unsigned open = 0;    /* the last store was kept: its value is the next one's old */
    unsigned stopped = 0; /* behind a lost ordered store */
    memcpy(left, choice, sizeof left);
    view->load(view->arg, cell, now);
    for (uint32_t s = p->groups[g].first; s != SIM_PEND_NIL; s = p->stores[s].next) {
        const struct sim_pend_store *e = &p->stores[s];
        bool ordered = (e->flags & SIM_PEND_ORDERED) != 0;
        bool survives = pick->by_op && op_survives(pick, e->op);
        if (ordered) {
            survives = pick->by_op ? survives && ordered_left > 0 : ordered_left > 0;
            if (survives)
                ordered_left--;
            else
                ordered_left = 0;
        }
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
            unsigned bit = 1u << w;
            if (!(e->mask & bit) || (stopped & bit))
                continue;
            if (!(seen & bit) || (open & bit))
                out[w] = e->old[w];
            seen |= bit;
            open &= ~bit;
            bool kept = survives;
            if (!ordered && !pick->by_op && left[w] > 0) {
                left[w]--;
                kept = true;
            }
            if (kept)
                open |= bit;
            else if (ordered)
                stopped |= bit;
        }
    }
    bool changed = false;
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
        if ((seen & ~open) & (1u << w)) {
            changed |= now[w] != out[w];
            now[w] = out[w];
        }
    }
    if (changed)
        view->store(view->arg, cell, now);
}

/* The group as it was after its first `kept` stores: the others are undone, newest first. */
static void apply_snapshot(const struct sim_pend *p, uint32_t g, const struct sim_pend_view *view,
                           const struct picker *pick, uint64_t kept)
{
    uint32_t first_lost = p->groups[g].first;
    while (first_lost != SIM_PEND_NIL) {
        const struct sim_pend_store *e = &p->stores[first_lost];
        if (pick->by_op ? !op_survives(pick, e->op) : kept == 0)
            break;
        kept--;
        first_lost = e->next;
    }
    if (first_lost == SIM_PEND_NIL)
        return;
    for (uint32_t s = p->groups[g].last;; s = p->stores[s].prev) {
        const struct sim_pend_store *e = &p->stores[s];
        uint64_t words[SIM_PEND_WORDS];
        view->load(view->arg, e->cell, words);
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
            if (e->mask & (1u << w))
                words[w] = e->old[w];
        }
        view->store(view->arg, e->cell, words);
        if (s == first_lost)
            break;
    }
}

static void crash_group(const struct sim_pend *p, uint32_t g, const struct sim_pend_view *view,
                        struct picker *pick)
{
    /* One draw for a page, not a sector, where a group is a sector. */
    uint64_t area = view->snapshot ? p->groups[g].key >> 3 : p->groups[g].key;
    uint64_t choice[UNITS_MAX] = {0};

    if (pick->by_op) {
        choice[SIM_PEND_WORDS] = UINT64_MAX;
    } else {
        struct group_units u;
        list_units(p, g, view->snapshot, &u);
        for (unsigned i = 0; i < u.count && i < UNITS_MAX; i++)
            choice[u.word[i]] = pick_unit(pick, area, u.max[i]);
    }
    if (view->snapshot)
        apply_snapshot(p, g, view, pick, choice[SIM_PEND_WORDS]);
    else
        apply_words(p, g, view, pick, choice);
}

static void crash_groups(const struct sim_pend *p, const struct sim_pend_view *view,
                         struct picker *pick)
{
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next)
        crash_group(p, g, view, pick);
}

unsigned sim_pend_group_units(const struct sim_pend *p, uint32_t group, bool snapshot,
                              uint64_t choices[SIM_PEND_GROUP_UNITS])
{
    struct group_units u;

    list_units(p, group, snapshot, &u);
    for (unsigned i = 0; i < u.count; i++)
        choices[i] = u.max[i] + 1;
    return u.count;
}

void sim_pend_group_crash(const struct sim_pend *p, uint32_t group,
                          const struct sim_pend_view *view, const uint64_t *choice_per_unit)
{
    struct picker pick = {.given = choice_per_unit, .kind = SIM_CRASH_NONE};

    crash_group(p, group, view, &pick);
}

void sim_pend_group_prefix(const struct sim_pend *p, uint32_t group,
                           const struct sim_pend_view *view, uint64_t op_end)
{
    struct picker pick = {.kind = SIM_CRASH_PREFIX, .by_op = true, .op_end = op_end};

    crash_group(p, group, view, &pick);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The number of the operation before which the first k mod (n + 1) pending ones were made. */
static uint64_t prefix_end(const struct sim_pend *p, uint64_t k)
{
    size_t n = 0;
    uint64_t *ops = sim_zalloc(p->store_count, sizeof ops[0]);
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next) {
        for (uint32_t s = p->groups[g].first; s != SIM_PEND_NIL; s = p->stores[s].next)
            ops[n++] = p->stores[s].op;
    }
    qsort(ops, n, sizeof ops[0], compare_u64);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || ops[i] != ops[i - 1])
            ops[distinct++] = ops[i];
    }
    k %= distinct + 1;
    uint64_t end = k == distinct ? UINT64_MAX : ops[k];
    free(ops);
    return end;
}

void sim_pend_crash(const struct sim_pend *p, const struct sim_pend_view *view,
                    const struct sim_crash *crash)
{
    if (crash->kind == SIM_CRASH_ALL || p->group_count == 0)
        return;
    struct picker pick = {.kind = crash->kind, .seed = crash->seed};
    if (crash->kind == SIM_CRASH_RANDOM) {
        sim_crash_bias(crash, &pick.keep_eighths, &pick.grain);
        pick.by_op = pick.grain == SIM_GRAIN_STORE;
        sim_rng_seed(&pick.rng, crash->seed);
    } else if (crash->kind == SIM_CRASH_PREFIX) {
        pick.by_op = true;
        pick.op_end = prefix_end(p, crash->k);
    } else if (crash->kind != SIM_CRASH_NONE) {
        pick.k = crash->k % sim_pend_units(p, view->snapshot, NULL, 0);
    }
    crash_groups(p, view, &pick);
}

void sim_pend_crash_choices(const struct sim_pend *p, const struct sim_pend_view *view,
                            const uint64_t *choice_per_unit)
{
    struct picker pick = {.given = choice_per_unit, .kind = SIM_CRASH_NONE};
    crash_groups(p, view, &pick);
}
