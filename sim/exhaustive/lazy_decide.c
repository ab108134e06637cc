/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Undecided memory: one object is looked at, and gets one of its outcomes (L1, L2, L4).
 *
 * The parts of an object are its undecided words, cell by cell. Its versions are what they are
 * after each of its stores. When its parts together have more contents than versions, one more
 * outcome is "torn": the first content, counted with the first undecided word as the lowest digit,
 * that is no version. At most as many contents as there are versions have to be looked at.
 */
#include <string.h>

#include "lazy_mem.h"
#include "sim_base.h"

#define DIGITS_MAX 16u /* more than the logarithm of the number of versions */

/* A part that takes values of its own: a word, or a group. */
struct digit {
    uint32_t part; /* of lazy_mem.parts: the word's, or the group's first */
    uint32_t word; /* SIM_PEND_WORDS: a group */
    uint32_t values;
};

static void save(struct sim_lazy_mem *m, uint32_t cell)
{
    struct sim_lazy_undo *u;

    m->undo = sim_grow(m->undo, &m->undo_cap, m->undo_n + 1, sizeof(m->undo[0]));
    u = &m->undo[m->undo_n++];
    u->cell = cell;
    u->mask = m->cells[cell].mask;
    u->alone = m->cells[cell].alone;
    memcpy(u->words, m->cells[cell].words, sizeof(u->words));
}

void sim_lazy_mem_back(struct sim_lazy_mem *m, size_t then)
{
    while (m->undo_n > then) {
        const struct sim_lazy_undo *u = &m->undo[--m->undo_n];

        m->cells[u->cell].mask = u->mask;
        m->cells[u->cell].alone = u->alone;
        memcpy(m->cells[u->cell].words, u->words, sizeof(u->words));
    }
}

static void add_part(struct sim_lazy_mem *m, uint32_t cell, uint8_t mask)
{
    m->parts = sim_grow(m->parts, &m->parts_cap, m->parts_n + 1, sizeof(m->parts[0]));
    m->parts[m->parts_n++] = (struct sim_lazy_part){cell, mask};
}

static void add_op(struct sim_lazy_mem *m, uint64_t op)
{
    size_t at = m->ops_n;

    while (at > 0 && m->ops[at - 1] > op)
        at--;
    if (at > 0 && m->ops[at - 1] == op)
        return;
    m->ops = sim_grow(m->ops, &m->ops_cap, m->ops_n + 1, sizeof(m->ops[0]));
    memmove(m->ops + at + 1, m->ops + at, (m->ops_n - at) * sizeof(m->ops[0]));
    m->ops[at] = op;
    m->ops_n++;
}

static void collect_ops(struct sim_lazy_mem *m)
{
    m->ops_n = 0;
    for (size_t i = 0; i < m->parts_n; i++) {
        const struct sim_lazy_cell *c = &m->cells[m->parts[i].cell];

        if (c->group != 0) {
            const struct sim_lazy_group *g = &m->groups[c->group - 1];

            for (uint32_t k = 0; k < g->ops; k++)
                add_op(m, m->group_ops[g->first_op + k].op);
            continue;
        }
        for (uint32_t k = 0; k < c->pieces; k++)
            if (m->pieces[c->first_piece + k].mask & m->parts[i].mask)
                add_op(m, m->pieces[c->first_piece + k].op);
    }
}

static uint64_t *version(const struct sim_lazy_mem *m, size_t n)
{
    return m->versions + n * m->parts_n * SIM_PEND_WORDS;
}

/* What group outcome `outcome` puts into a cell of the group. */
static const uint64_t *outcome_words(const struct sim_lazy_mem *m, uint32_t cell, uint32_t outcome)
{
    const struct sim_lazy_group *g = &m->groups[m->cells[cell].group - 1];

    return m->contents + g->first_word +
           ((size_t)outcome * g->cells + cell - g->first_cell) * SIM_PEND_WORDS;
}

/* The content of part i after all stores up to `op`; words outside of its mask are 0. */
static void part_at(const struct sim_lazy_mem *m, size_t i, uint64_t op,
                    uint64_t out[SIM_PEND_WORDS])
{
    const struct sim_lazy_part *part = &m->parts[i];
    const struct sim_lazy_cell *c = &m->cells[part->cell];
    const uint64_t *from = c->oldest;

    if (c->group != 0) {
        const struct sim_lazy_group *g = &m->groups[c->group - 1];
        uint32_t outcome = 0;

        for (uint32_t k = 0; k < g->ops; k++)
            if (m->group_ops[g->first_op + k].op <= op)
                outcome = m->group_ops[g->first_op + k].outcome;
        from = outcome_words(m, part->cell, outcome);
    }
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
        out[w] = part->mask & (1u << w) ? from[w] : 0;
    for (uint32_t k = 0; k < c->pieces; k++) {
        const struct sim_lazy_piece *piece = &m->pieces[c->first_piece + k];

        if (piece->op > op)
            break;
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (piece->mask & part->mask & (1u << w))
                out[w] = piece->words[w];
    }
}

static bool is_version(const struct sim_lazy_mem *m, size_t versions, const uint64_t *content)
{
    size_t bytes = m->parts_n * SIM_PEND_WORDS * sizeof(uint64_t);

    for (size_t v = 0; v < versions; v++)
        if (memcmp(version(m, v), content, bytes) == 0)
            return true;
    return false;
}

/* Oldest first. Returns how many different ones there are; room for two more is behind them. */
static size_t find_versions(struct sim_lazy_mem *m)
{
    size_t n = 0;

    collect_ops(m);
    m->versions = sim_grow(m->versions, &m->versions_cap,
                           (m->ops_n + 4) * m->parts_n * SIM_PEND_WORDS, sizeof(uint64_t));
    for (size_t k = 0; k <= m->ops_n; k++) {
        uint64_t *mine = version(m, n);

        for (size_t i = 0; i < m->parts_n; i++)
            part_at(m, i, k == 0 ? 0 : m->ops[k - 1], mine + i * SIM_PEND_WORDS);
        if (!is_version(m, n, mine))
            n++;
    }
    return n;
}

static uint32_t values_of(const struct sim_lazy_mem *m, const struct digit *d)
{
    const struct sim_lazy_cell *c = &m->cells[m->parts[d->part].cell];
    uint64_t values[SIM_LAZY_VALUES_MAX];

    return d->word == SIM_PEND_WORDS ? m->groups[c->group - 1].outcomes
                                     : (uint32_t)sim_lazy_mem_values(m, c, d->word, values);
}

/* The first digits of the object, or the last ones; and in *states how many contents it has. */
static unsigned find_digits(const struct sim_lazy_mem *m, bool last, struct digit *digits,
                            struct sim_lazy_count *states)
{
    unsigned n = 0;
    uint64_t twos = 0;

    *states = sim_lazy_count_of(1);
    for (size_t k = 0; k < m->parts_n; k++) {
        size_t i = last ? m->parts_n - 1 - k : k;
        const struct sim_lazy_cell *c = &m->cells[m->parts[i].cell];
        bool group = c->group != 0;

        if (!group && c->pieces == 1 && n == DIGITS_MAX) {
            twos += (uint64_t)__builtin_popcount(m->parts[i].mask);
            continue;
        }
        if (group && i > 0 && m->cells[m->parts[i - 1].cell].group == c->group)
            continue; /* not the first of its group */
        for (unsigned b = 0; b < (group ? 1u : SIM_PEND_WORDS); b++) {
            unsigned w = last ? SIM_PEND_WORDS - 1 - b : b;
            struct digit d = {(uint32_t)i, group ? SIM_PEND_WORDS : w, 0};

            if (!group && !(m->parts[i].mask & (1u << w)))
                continue;
            d.values = values_of(m, &d);
            if (d.values == 2)
                twos++;
            else
                *states = sim_lazy_count_mul(*states, sim_lazy_count_of(d.values));
            if (n < DIGITS_MAX)
                digits[n++] = d;
        }
    }
    states->exponent += (int64_t)twos;
    return n;
}

/* Puts value `v` of a digit into a content of the object. */
static void set_digit(const struct sim_lazy_mem *m, const struct digit *d, uint32_t v,
                      uint64_t *content)
{
    const struct sim_lazy_cell *c = &m->cells[m->parts[d->part].cell];
    uint64_t values[SIM_LAZY_VALUES_MAX];

    if (d->word < SIM_PEND_WORDS) {
        (void)sim_lazy_mem_values(m, c, d->word, values);
        content[d->part * SIM_PEND_WORDS + d->word] = values[v];
        return;
    }
    for (size_t i = d->part; i < m->parts_n && m->cells[m->parts[i].cell].group == c->group; i++) {
        const uint64_t *words = outcome_words(m, m->parts[i].cell, v);

        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (m->parts[i].mask & (1u << w))
                content[i * SIM_PEND_WORDS + w] = words[w];
    }
}

/*
 * The first content that is no version, counted up from the oldest in the first digits; or, `last`,
 * down from the newest in the last ones. False: all contents are versions.
 */
static bool find_torn(const struct sim_lazy_mem *m, size_t versions, bool last, uint64_t *content)
{
    struct digit digits[DIGITS_MAX];
    uint32_t at[DIGITS_MAX] = {0};
    struct sim_lazy_count states;
    unsigned n = find_digits(m, last, digits, &states), d;

    do {
        memcpy(content, version(m, last ? versions - 1 : 0),
               m->parts_n * SIM_PEND_WORDS * sizeof(uint64_t));
        for (d = 0; d < n; d++)
            if (at[d] != 0)
                set_digit(m, &digits[d], last ? digits[d].values - 1 - at[d] : at[d], content);
        if (!is_version(m, versions, content))
            return true;
        for (d = 0; d < n; d++) {
            if (++at[d] < digits[d].values)
                break;
            at[d] = 0;
        }
    } while (d < n);
    return false;
}

static void settle(struct sim_lazy_mem *m, const uint64_t *content)
{
    for (size_t i = 0; i < m->parts_n; i++) {
        const struct sim_lazy_part *part = &m->parts[i];
        struct sim_lazy_cell *c = &m->cells[part->cell];

        save(m, part->cell);
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (part->mask & (1u << w))
                c->words[w] = content[i * SIM_PEND_WORDS + w];
        c->mask &= (uint8_t)~part->mask;
        m->decided(m->arg, c->cell, part->mask, content + i * SIM_PEND_WORDS);
    }
}

/* A group that sticks out of the object is decided by itself (L4). */
static void decide_group(struct sim_lazy_mem *m, const struct sim_lazy_group *g)
{
    struct sim_lazy_choice choice = {.count = g->outcomes, .torn = g->outcomes};
    uint32_t pick = 0;

    choice.first_word = m->cells[g->first_cell].cell * SIM_PEND_WORDS;
    if (choice.count > 1)
        pick = m->choose(m->arg, &choice);
    SIM_REQUIRE(pick < choice.count);
    for (uint32_t i = 0; i < g->cells; i++) {
        struct sim_lazy_cell *c = &m->cells[g->first_cell + i];
        const uint64_t *words = outcome_words(m, g->first_cell + i, pick);
        uint8_t mask = c->mask;

        if (mask == 0)
            continue;
        save(m, g->first_cell + i);
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (mask & (1u << w))
                c->words[w] = words[w];
        c->mask = 0;
        m->decided(m->arg, c->cell, mask, words);
    }
}

/* Some undecided word of the group is outside of [first, end). */
static bool sticks_out(const struct sim_lazy_mem *m, const struct sim_lazy_group *g, uint64_t first,
                       uint64_t end)
{
    for (uint32_t i = 0; i < g->cells; i++) {
        const struct sim_lazy_cell *c = &m->cells[g->first_cell + i];

        for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
            uint64_t word = c->cell * SIM_PEND_WORDS + w;

            if (c->mask & (1u << w) && (word < first || word >= end))
                return true;
        }
    }
    return false;
}

/* The undecided words in [first, end). */
static void collect_parts(struct sim_lazy_mem *m, uint64_t first, uint64_t end)
{
    uint64_t low = first / SIM_PEND_WORDS, high = (end - 1) / SIM_PEND_WORDS;

    m->parts_n = 0;
    m->collected++;
    for (uint64_t cell = low < m->low ? m->low : low; cell <= high && cell <= m->high; cell++) {
        const struct sim_lazy_cell *c = sim_lazy_mem_cell(m, cell);
        unsigned mask = c != NULL ? c->mask : 0;

        if (c != NULL && c->alone && end - first > SIM_PEND_WORDS)
            m->imprecise++;
        if (mask == 0)
            continue;
        if (cell == low)
            mask &= 0xffu << first % SIM_PEND_WORDS;
        if (cell == high)
            mask &= 0xffu >> (SIM_PEND_WORDS - 1 - (end - 1) % SIM_PEND_WORDS);
        if ((mask & 0xffu) != 0)
            add_part(m, m->at[cell] - 1, (uint8_t)mask);
    }
}

/* A whole cell with what `words` says about the words in `mask`. */
static bool plausible(const struct sim_lazy_mem *m, uint64_t cell, uint8_t mask,
                      const uint64_t words[SIM_PEND_WORDS])
{
    uint64_t all[SIM_PEND_WORDS];

    m->load(m->arg, cell, all);
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
        if (mask & (1u << w))
            all[w] = words[w];
    return m->plausible(m->arg, cell, all);
}

/* Outcomes of what is collected: versions, oldest first, and behind them the torn ones. */
struct outcomes {
    size_t versions, torn;
    struct sim_lazy_count others; /* that the first torn one stands for */
    bool hopeless;                /* a line that cannot be an object, whatever survives */
    bool mixed;                   /* a version is among the torn */
};

/*
 * One line that is read by itself: what cannot be an object is torn. Not so the newest version: the
 * line may be a part of a payload that is whole only with it.
 */
static void sort_out(struct sim_lazy_mem *m, struct outcomes *o)
{
    const struct sim_lazy_part *part = &m->parts[0];
    uint64_t cell = m->cells[part->cell].cell;
    uint64_t none[SIM_PEND_WORDS];
    size_t kept = 0, good = 0;
    bool found = false;

    for (size_t v = 0; v < o->versions; v++) {
        bool can = plausible(m, cell, part->mask, version(m, v));

        good += can;
        if (can || v + 1 == o->versions) {
            memmove(version(m, kept++), version(m, v), sizeof(none));
        } else {
            memcpy(none, version(m, v), sizeof(none));
            found = true;
        }
    }
    o->hopeless = good == 0;
    o->mixed = found;
    if (!found)
        return;
    if (o->torn != 0)
        memcpy(none, version(m, o->versions), sizeof(none));
    memcpy(version(m, kept), none, sizeof(none));
    o->versions = kept;
    o->torn = 1;
}

static struct outcomes find_outcomes(struct sim_lazy_mem *m, bool line)
{
    struct outcomes o = {.versions = find_versions(m)};
    struct digit digits[DIGITS_MAX];

    for (uint32_t k = 0; k < 2 && k < m->torn_samples; k++) {
        uint64_t *mine = version(m, o.versions + o.torn);

        if (find_torn(m, o.versions, k == 1, mine) &&
            (o.torn == 0 || memcmp(version(m, o.versions), mine,
                                   m->parts_n * SIM_PEND_WORDS * sizeof(uint64_t)) != 0))
            o.torn++;
    }
    if (line)
        sort_out(m, &o);
    if (o.torn != 0) {
        (void)find_digits(m, false, digits, &o.others);
        o.others = sim_lazy_count_sub(o.others, sim_lazy_count_of(o.versions + o.torn - 1));
    }
    return o;
}

/* One choice for what is collected of [first, end). */
static void decide_parts(struct sim_lazy_mem *m, uint64_t first, uint64_t end, bool line)
{
    struct outcomes o = find_outcomes(m, line);
    uint64_t collected = m->collected;
    struct sim_lazy_choice choice = {
        .first_word = first,
        .count = (uint32_t)(o.versions + o.torn),
        .torn = (uint32_t)o.versions,
        .torn_states = o.others,
    };
    uint32_t pick = 0;

    if (o.hopeless)
        return; /* L1: nobody believes it, whatever it is */
    if (choice.count > 1)
        pick = m->choose(m->arg, &choice);
    SIM_REQUIRE(pick < choice.count);
    /* Another path may have been here between: what was collected is not part of a process. */
    if (m->collected != collected) {
        collect_parts(m, first, end);
        (void)find_outcomes(m, line);
    }
    settle(m, version(m, pick));
    if (line)
        m->cells[m->parts[0].cell].alone = o.mixed && pick >= choice.torn;
}

/* A line of a group that cannot be an object, whatever the group becomes. */
static bool nothing_there(const struct sim_lazy_mem *m, const struct sim_lazy_cell *c)
{
    const struct sim_lazy_group *g = &m->groups[c->group - 1];

    for (uint32_t i = 0; i < g->outcomes; i++)
        if (plausible(m, c->cell, c->mask, outcome_words(m, m->at[c->cell] - 1, i)))
            return false;
    return true;
}

void sim_lazy_mem_decide(struct sim_lazy_mem *m, uint64_t first, uint64_t end, bool store)
{
    uint64_t low = first / SIM_PEND_WORDS, high = (end - 1) / SIM_PEND_WORDS;
    bool line = !store && m->plausible != NULL && first % SIM_PEND_WORDS == 0 &&
                end - first == SIM_PEND_WORDS;

    if (!sim_lazy_mem_near(m, low, high))
        return;
    low = low < m->low ? m->low : low;
    high = high > m->high ? m->high : high;
    for (uint64_t cell = low; cell <= high && m->groups_n != 0; cell++) {
        const struct sim_lazy_cell *c = sim_lazy_mem_cell(m, cell);

        if (c == NULL || c->mask == 0 || c->group == 0)
            continue;
        if (line && nothing_there(m, c))
            return;
        if (sticks_out(m, &m->groups[c->group - 1], first, end))
            decide_group(m, &m->groups[c->group - 1]);
    }
    collect_parts(m, first, end);
    if (m->parts_n != 0)
        decide_parts(m, first, end, line);
}
