/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The findings of one round, and what the caller has said to them. `passed` is what had its turn
 * since the last store, so that a round with more findings than MENDS_MAX is followed by one with
 * the others. `told` is what the caller knows, so that it is not told twice.
 */
#include <string.h>

#include "repair.h"

#define MENDS_MAX 16384u /* of one round: bounds the memory */
#define REPEATS_MAX 4u
#define ACCEPTED 16u /* apart from the 1..8 of offers that were declined */
#define SET_MIN 1024u

static void *grow(struct cbd_repair *r, void *old, uint64_t count, uint64_t cap, size_t size)
{
    struct cbd_env *env = r->k->cache.env;
    void *more = env->ops->alloc(env, cap * size);

    if (more == NULL)
        return NULL;
    memset(more, 0, cap * size);
    if (old != NULL)
        memcpy(more, old, count * size);
    return more;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Names the problem and its place; never 0. */
static uint64_t hash_of(const struct cbd_check_finding *f)
{
    uint64_t h = mix(mix(1, f->problem->code), (uint64_t)f->segment << 32 | f->slot);

    h = mix(mix(h, (uint64_t)f->backend << 32 | f->copy), f->off_bytes);
    return h != 0 ? h : 1;
}

static void put(uint64_t *table, uint64_t cap, uint64_t h)
{
    uint64_t at = h % cap;

    while (table[at] != 0 && table[at] != h)
        at = (at + 1) % cap;
    table[at] = h;
}

static bool has(const struct cbd_mend_set *set, uint64_t h)
{
    if (set->cap == 0)
        return false;
    for (uint64_t at = h % set->cap; set->table[at] != 0; at = (at + 1) % set->cap)
        if (set->table[at] == h)
            return true;
    return false;
}

static int add(struct cbd_repair *r, struct cbd_mend_set *set, uint64_t h)
{
    if (2 * set->count >= set->cap) {
        struct cbd_env *env = r->k->cache.env;
        uint64_t cap = set->cap != 0 ? 2 * set->cap : SET_MIN;
        uint64_t *more = grow(r, NULL, 0, cap, sizeof(*more));

        if (more == NULL)
            return CBD_E_NOMEM;
        for (uint64_t i = 0; i < set->cap; i++)
            if (set->table[i] != 0)
                put(more, cap, set->table[i]);
        if (set->table != NULL)
            env->ops->free(env, set->table, set->cap * sizeof(*set->table));
        set->table = more;
        set->cap = cap;
    }
    put(set->table, set->cap, h);
    set->count++;
    return 0;
}

void cbd_mend_set_free(struct cbd_mend_set *set, struct cbd_env *env)
{
    if (set->table != NULL)
        env->ops->free(env, set->table, set->cap * sizeof(*set->table));
    *set = (struct cbd_mend_set){.table = NULL};
}

/* A damaged slot that stays proves that those below it were durable: these stay as well. */
static void hold(struct cbd_repair *r, const struct cbd_check_finding *f)
{
    struct cbd_check_entry *entry;

    if (f->problem->code != CBD_PROBLEM_RECORD_DAMAGED)
        return;
    entry = &r->k->entries[f->segment];
    if (f->slot + 1 > entry->held)
        entry->held = f->slot + 1;
}

/* Findings of one round that still have their turn, to be offered when it has ended. */
int cbd_offer_collect(void *arg, const struct cbd_check_finding *f)
{
    struct cbd_repair *r = arg;

    if (has(&r->passed, hash_of(f))) {
        hold(r, f);
        return 0;
    }
    if (r->count == r->cap && r->cap == MENDS_MAX) {
        r->more = true;
        hold(r, f);
        return 0;
    }
    if (r->count == r->cap) {
        struct cbd_env *env = r->k->cache.env;
        uint32_t cap = r->cap != 0 ? 2 * r->cap : 64;
        struct cbd_mend *more = grow(r, r->mends, r->count, cap, sizeof(*more));

        if (more == NULL)
            return CBD_E_NOMEM;
        if (r->mends != NULL)
            env->ops->free(env, r->mends, r->cap * sizeof(*r->mends));
        r->mends = more;
        r->cap = cap;
    }
    r->mends[r->count++] = (struct cbd_mend){.finding = *f};
    return 0;
}

/* Stands for the next time that a finding is accepted; 0: often enough. */
static uint64_t accepted(const struct cbd_repair *r, uint64_t finding)
{
    for (uint32_t n = 0; n < REPEATS_MAX; n++)
        if (!has(&r->told, mix(finding, ACCEPTED + n)))
            return mix(finding, ACCEPTED + n);
    return 0;
}

/* Tells the caller, unless it knows: the same offer got the same answer before. */
static int offer_one(struct cbd_repair *r, const struct cbd_repair_offer *offer,
                     enum cbd_repair_answer *answer)
{
    const struct cbd_check_finding *f = offer->finding;
    bool note = f->problem->severity == CBD_CHECK_INFO;
    uint64_t finding = hash_of(f);
    uint64_t told = mix(finding, 1u + offer->possible + 2u * offer->preen + 4u * offer->loses);
    int error = 0;

    *answer = CBD_REPAIR_SKIP;
    if (has(&r->told, told))
        return 0;
    if (!has(&r->told, finding)) {
        r->out->found += !note;
        error = add(r, &r->told, finding);
    }
    if (error == 0 && r->options->decide != NULL && !r->out->stopped)
        *answer = r->options->decide(r->arg, offer);
    r->out->stopped = r->out->stopped || *answer == CBD_REPAIR_STOP;
    if (error == 0)
        error = add(r, &r->told,
                    *answer == CBD_REPAIR_FIX && offer->possible ? accepted(r, finding) : told);
    return error;
}

static void plan_again(struct cbd_repair *r, const struct cbd_check_finding *f,
                       struct cbd_mend *mend, struct cbd_repair_offer *offer)
{
    cbd_mend_plan(r, f, mend, offer);
    if (!offer->possible || accepted(r, hash_of(f)) != 0)
        return;
    offer->possible = false;
    offer->preen = false;
    offer->what = "none: it came back each time";
    mend->kind = CBD_MEND_NONE;
}

/* What can be repaired is offered at once, what cannot only when nothing else is left to do. */
static int offer_some(struct cbd_repair *r, bool possible)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct cbd_check_finding f = r->mends[i].finding;
        bool note = f.problem->severity == CBD_CHECK_INFO;
        enum cbd_repair_answer answer;
        struct cbd_repair_offer offer;
        int error;

        if (has(&r->passed, hash_of(&f)))
            continue;
        plan_again(r, &f, &r->mends[i], &offer);
        if (offer.possible != possible && !(possible && note)) {
            hold(r, &f);
            continue;
        }
        error = offer_one(r, &offer, &answer);
        if (error == 0)
            error = add(r, &r->passed, hash_of(&f));
        if (error != 0)
            return error;
        if (answer == CBD_REPAIR_FIX && offer.possible) {
            r->loud = true;
        } else {
            r->mends[i].kind = CBD_MEND_NONE;
            hold(r, &f);
        }
    }
    return 0;
}

/* Slots that stay because a damaged one above them cannot go are known before anybody is asked. */
static void hold_all(struct cbd_repair *r)
{
    for (uint32_t i = r->count; i-- > 0;) {
        struct cbd_check_finding f = r->mends[i].finding;
        struct cbd_repair_offer offer;

        if (f.problem->code != CBD_PROBLEM_RECORD_DAMAGED)
            continue;
        plan_again(r, &f, &r->mends[i], &offer);
        if (!offer.possible)
            hold(r, &f);
    }
}

int cbd_offer_all(struct cbd_repair *r)
{
    int error;

    r->loud = false;
    r->stored = false;
    r->failed = 0;
    hold_all(r);
    error = offer_some(r, true);
    for (uint32_t i = 0; i < r->count; i++) {
        struct cbd_mend *m = &r->mends[i];

        if (m->kind != CBD_MEND_VOID || m->finding.problem->code != CBD_PROBLEM_RECORD_DAMAGED ||
            m->finding.slot + 1 > r->k->entries[m->finding.segment].held)
            continue;
        m->kind = CBD_MEND_NONE;
        r->failed++;
    }
    return error;
}

int cbd_offer_impossible(struct cbd_repair *r)
{
    return offer_some(r, false);
}
