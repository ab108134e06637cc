/* SPDX-License-Identifier: BSD-2-Clause */
/* Undecided memory: building it from pending stores. lazy_decide.c decides. */
#include "lazy_mem.h"

#include <string.h>
#include <sys/mman.h>

#include "sim_base.h"

#define GROUP_CELLS_MAX 8u
#define GROUP_OUTCOMES_MAX 65536u /* of one group, before equal ones are merged */

void sim_lazy_mem_init(struct sim_lazy_mem *m, uint64_t medium_cells)
{
    memset(m, 0, sizeof(*m));
    m->medium_cells = medium_cells;
    m->at_bytes = (size_t)medium_cells * sizeof(m->at[0]);
    /* Zero pages of the system: only what is pending takes memory. */
    m->at = mmap(NULL, m->at_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SIM_REQUIRE(m->at != MAP_FAILED);
    m->torn_samples = 1;
    m->low = UINT64_MAX;
}

void sim_lazy_mem_free(struct sim_lazy_mem *m)
{
    munmap(m->at, m->at_bytes);
    free(m->cells);
    free(m->pieces);
    free(m->groups);
    free(m->contents);
    free(m->group_ops);
    free(m->undo);
    free(m->parts);
    free(m->ops);
    free(m->versions);
    memset(m, 0, sizeof(*m));
}

void sim_lazy_mem_clear(struct sim_lazy_mem *m)
{
    for (size_t i = 0; i < m->cells_n; i++)
        m->at[m->cells[i].cell] = 0;
    m->cells_n = m->pieces_n = m->groups_n = m->contents_n = m->group_ops_n = m->undo_n = 0;
    m->low = UINT64_MAX;
    m->high = 0;
}

static struct sim_lazy_cell *new_cell(struct sim_lazy_mem *m, uint64_t cell)
{
    struct sim_lazy_cell *c;

    SIM_REQUIRE(cell < m->medium_cells);
    if (m->at[cell] != 0)
        return &m->cells[m->at[cell] - 1];
    m->cells = sim_grow(m->cells, &m->cells_cap, m->cells_n + 1, sizeof(m->cells[0]));
    c = &m->cells[m->cells_n++];
    memset(c, 0, sizeof(*c));
    c->cell = cell;
    c->first_piece = (uint32_t)m->pieces_n;
    m->at[cell] = (uint32_t)m->cells_n;
    m->low = cell < m->low ? cell : m->low;
    m->high = cell > m->high ? cell : m->high;
    return c;
}

static void add_piece(struct sim_lazy_mem *m, struct sim_lazy_cell *c,
                      const struct sim_lazy_piece *piece)
{
    m->pieces = sim_grow(m->pieces, &m->pieces_cap, m->pieces_n + 1, sizeof(m->pieces[0]));
    m->pieces[m->pieces_n++] = *piece;
    c->pieces++;
}

/* The pieces of a cell stand side by side: those that it has move to the end. */
static void reopen(struct sim_lazy_mem *m, struct sim_lazy_cell *c)
{
    uint32_t first = c->first_piece, n = c->pieces;

    if (first + n == m->pieces_n)
        return;
    c->first_piece = (uint32_t)m->pieces_n;
    c->pieces = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct sim_lazy_piece piece = m->pieces[first + i];

        add_piece(m, c, &piece);
    }
}

/* A cell whose stores are free of each other, word by word. */
static void add_cell(struct sim_lazy_mem *m, const struct sim_pend *p, uint32_t group,
                     const struct sim_pend_view *view)
{
    uint64_t cell = p->stores[p->groups[group].first].cell;
    struct sim_lazy_cell *c = new_cell(m, cell);
    uint64_t now[SIM_PEND_WORDS];
    uint8_t seen = 0, moved = 0;
    uint32_t mine;

    SIM_REQUIRE(c->group == 0);
    view->load(view->arg, cell, now);
    reopen(m, c);
    mine = (uint32_t)m->pieces_n;
    for (uint32_t s = p->groups[group].first; s != SIM_PEND_NIL; s = p->stores[s].next) {
        const struct sim_pend_store *e = &p->stores[s];
        struct sim_lazy_piece piece = {.op = e->op, .mask = e->mask};

        for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
            if (!(e->mask & (1u << w)))
                continue;
            if (!(seen & (1u << w)))
                c->oldest[w] = e->old[w];
            /* What this store found is what the one before it left. */
            for (size_t i = m->pieces_n; seen >> w & 1 && i-- > mine;) {
                if (m->pieces[i].mask & (1u << w)) {
                    m->pieces[i].words[w] = e->old[w];
                    break;
                }
            }
            piece.words[w] = now[w];
        }
        seen |= e->mask;
        add_piece(m, c, &piece);
    }
    for (uint32_t i = mine; i < m->pieces_n; i++)
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (m->pieces[i].mask & (1u << w) && m->pieces[i].words[w] != c->oldest[w])
                moved |= (uint8_t)(1u << w);
    SIM_REQUIRE((c->mask & seen) == 0); /* L5 */
    if (c->mask == 0)
        memcpy(c->words, now, sizeof(now));
    c->mask |= moved;
}

/* A copy of the cells of one group, which outcomes are tried on. */
struct trial {
    uint64_t base;
    uint64_t words[GROUP_CELLS_MAX][SIM_PEND_WORDS];
};

static void trial_load(void *arg, uint64_t cell, uint64_t words[SIM_PEND_WORDS])
{
    struct trial *t = arg;

    memcpy(words, t->words[cell - t->base], sizeof(t->words[0]));
}

static void trial_store(void *arg, uint64_t cell, const uint64_t words[SIM_PEND_WORDS])
{
    struct trial *t = arg;

    memcpy(t->words[cell - t->base], words, sizeof(t->words[0]));
}

/* The number of the outcome that the trial shows; a new one is added. */
static uint32_t outcome_of(struct sim_lazy_mem *m, struct sim_lazy_group *g, const struct trial *t)
{
    size_t n = (size_t)g->cells * SIM_PEND_WORDS;

    for (uint32_t i = 0; i < g->outcomes; i++)
        if (memcmp(m->contents + g->first_word + i * n, t->words, n * sizeof(uint64_t)) == 0)
            return i;
    m->contents = sim_grow(m->contents, &m->contents_cap, m->contents_n + n, sizeof(uint64_t));
    memcpy(m->contents + m->contents_n, t->words, n * sizeof(uint64_t));
    m->contents_n += n;
    return g->outcomes++;
}

static void add_group_op(struct sim_lazy_mem *m, struct sim_lazy_group *g, uint64_t op)
{
    for (uint32_t i = 0; i < g->ops; i++)
        if (m->group_ops[g->first_op + i].op == op)
            return;
    m->group_ops =
        sim_grow(m->group_ops, &m->group_ops_cap, m->group_ops_n + 1, sizeof(m->group_ops[0]));
    m->group_ops[m->group_ops_n++] = (struct sim_lazy_group_op){op, 0};
    g->ops++;
}

/* Stores that depend on each other: every outcome is found out by trying. */
static void add_group(struct sim_lazy_mem *m, const struct sim_pend *p, uint32_t group,
                      const struct sim_pend_view *view)
{
    uint64_t choices[SIM_PEND_GROUP_UNITS], choice[SIM_PEND_GROUP_UNITS] = {0}, tried = 0;
    uint64_t base = p->groups[group].key << p->cell_shift;
    struct trial now = {.base = base}, t;
    struct sim_pend_view on = {trial_load, trial_store, &t, view->snapshot};
    struct sim_lazy_group g = {
        .first_cell = (uint32_t)m->cells_n,
        .cells = 1u << p->cell_shift,
        .first_word = (uint32_t)m->contents_n,
        .first_op = (uint32_t)m->group_ops_n,
    };
    unsigned units = sim_pend_group_units(p, group, view->snapshot, choices), u;
    uint8_t moved[GROUP_CELLS_MAX] = {0};

    SIM_REQUIRE(g.cells <= GROUP_CELLS_MAX);
    for (uint32_t i = 0; i < g.cells; i++)
        view->load(view->arg, base + i, now.words[i]);
    do {
        SIM_REQUIRE(tried++ < GROUP_OUTCOMES_MAX);
        t = now;
        sim_pend_group_crash(p, group, &on, choice);
        (void)outcome_of(m, &g, &t);
        for (u = 0; u < units; u++) {
            if (++choice[u] < choices[u])
                break;
            choice[u] = 0;
        }
    } while (u < units);
    for (uint32_t s = p->groups[group].first; s != SIM_PEND_NIL; s = p->stores[s].next)
        add_group_op(m, &g, p->stores[s].op);
    for (uint32_t i = 0; i < g.ops; i++) {
        struct sim_lazy_group_op *o = &m->group_ops[g.first_op + i];

        t = now;
        sim_pend_group_prefix(p, group, &on, o->op + 1);
        o->outcome = outcome_of(m, &g, &t);
    }
    for (uint32_t i = 0; i < g.outcomes; i++)
        for (uint32_t w = 0; w < g.cells * SIM_PEND_WORDS; w++)
            if (m->contents[g.first_word + w] !=
                m->contents[g.first_word + i * g.cells * SIM_PEND_WORDS + w])
                moved[w / SIM_PEND_WORDS] |= (uint8_t)(1u << w % SIM_PEND_WORDS);
    m->groups = sim_grow(m->groups, &m->groups_cap, m->groups_n + 1, sizeof(m->groups[0]));
    m->groups[m->groups_n++] = g;
    for (uint32_t i = 0; i < g.cells; i++) {
        struct sim_lazy_cell *c;

        SIM_REQUIRE(m->at[base + i] == 0); /* L5 */
        c = new_cell(m, base + i);
        c->group = (uint32_t)m->groups_n;
        c->mask = moved[i];
        memcpy(c->words, now.words[i], sizeof(c->words));
        memcpy(c->oldest, m->contents + g.first_word + i * SIM_PEND_WORDS, sizeof(c->oldest));
    }
}

void sim_lazy_mem_add(struct sim_lazy_mem *m, const struct sim_pend *p,
                      const struct sim_pend_view *view)
{
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next) {
        bool ordered = false;

        for (uint32_t s = p->groups[g].first; s != SIM_PEND_NIL; s = p->stores[s].next)
            ordered |= (p->stores[s].flags & SIM_PEND_ORDERED) != 0;
        if (ordered || view->snapshot)
            add_group(m, p, g, view);
        else
            add_cell(m, p, g, view);
    }
}

static void inherit_group(struct sim_lazy_mem *m, const struct sim_lazy_mem *from, uint32_t number)
{
    const struct sim_lazy_group *g = &from->groups[number];
    size_t n = (size_t)g->outcomes * g->cells * SIM_PEND_WORDS;
    struct sim_lazy_group mine = *g;

    mine.first_cell = (uint32_t)m->cells_n;
    mine.first_word = (uint32_t)m->contents_n;
    mine.first_op = (uint32_t)m->group_ops_n;
    m->contents = sim_grow(m->contents, &m->contents_cap, m->contents_n + n, sizeof(uint64_t));
    memcpy(m->contents + m->contents_n, from->contents + g->first_word, n * sizeof(uint64_t));
    m->contents_n += n;
    m->group_ops =
        sim_grow(m->group_ops, &m->group_ops_cap, m->group_ops_n + g->ops, sizeof(m->group_ops[0]));
    memcpy(m->group_ops + m->group_ops_n, from->group_ops + g->first_op,
           g->ops * sizeof(m->group_ops[0]));
    m->group_ops_n += g->ops;
    m->groups = sim_grow(m->groups, &m->groups_cap, m->groups_n + 1, sizeof(m->groups[0]));
    m->groups[m->groups_n++] = mine;
    for (uint32_t i = 0; i < g->cells; i++) {
        const struct sim_lazy_cell *old = &from->cells[g->first_cell + i];
        struct sim_lazy_cell *c = new_cell(m, old->cell);

        *c = *old;
        c->group = (uint32_t)m->groups_n;
    }
}

static bool group_open(const struct sim_lazy_mem *m, const struct sim_lazy_group *g)
{
    for (uint32_t i = 0; i < g->cells; i++)
        if (m->cells[g->first_cell + i].mask != 0)
            return true;
    return false;
}

void sim_lazy_mem_inherit(struct sim_lazy_mem *m, const struct sim_lazy_mem *from, bool all)
{
    for (uint32_t i = 0; i < from->groups_n; i++)
        if (group_open(from, &from->groups[i]))
            inherit_group(m, from, i);
    for (size_t i = 0; i < from->cells_n; i++) {
        const struct sim_lazy_cell *old = &from->cells[i];
        struct sim_lazy_cell *c;

        if (old->group != 0 || (old->mask == 0 && !all))
            continue;
        c = new_cell(m, old->cell);
        *c = *old;
        c->first_piece = (uint32_t)m->pieces_n;
        c->pieces = 0;
        for (uint32_t k = 0; k < old->pieces; k++) {
            struct sim_lazy_piece piece = from->pieces[old->first_piece + k];

            piece.mask &= old->mask;
            if (piece.mask != 0)
                add_piece(m, c, &piece);
        }
    }
}

const struct sim_lazy_cell *sim_lazy_mem_cell(const struct sim_lazy_mem *m, uint64_t cell)
{
    return m->at[cell] != 0 ? &m->cells[m->at[cell] - 1] : NULL;
}

size_t sim_lazy_mem_values(const struct sim_lazy_mem *m, const struct sim_lazy_cell *c,
                           unsigned word, uint64_t values[SIM_LAZY_VALUES_MAX])
{
    size_t n = 0;

    if (!(c->mask & (1u << word))) {
        values[0] = c->words[word];
        return 1;
    }
    values[n++] = c->oldest[word];
    for (uint32_t i = 0; i < c->pieces; i++) {
        const struct sim_lazy_piece *piece = &m->pieces[c->first_piece + i];
        size_t k = 0;

        if (!(piece->mask & (1u << word)))
            continue;
        while (k < n && values[k] != piece->words[word])
            k++;
        if (k < n)
            continue;
        SIM_REQUIRE(n < SIM_LAZY_VALUES_MAX);
        values[n++] = piece->words[word];
    }
    return n;
}

struct sim_lazy_count sim_lazy_mem_states(const struct sim_lazy_mem *m)
{
    struct sim_lazy_count states = sim_lazy_count_of(1);
    uint64_t values[SIM_LAZY_VALUES_MAX];
    uint64_t twos = 0;

    for (size_t i = 0; i < m->groups_n; i++)
        if (group_open(m, &m->groups[i]))
            states = sim_lazy_count_mul(states, sim_lazy_count_of(m->groups[i].outcomes));
    for (size_t i = 0; i < m->cells_n; i++) {
        const struct sim_lazy_cell *c = &m->cells[i];

        if (c->pieces == 1) { /* old or new, each word by itself */
            twos += (uint64_t)__builtin_popcount(c->mask);
            continue;
        }
        for (unsigned w = 0; w < SIM_PEND_WORDS && c->group == 0 && c->mask != 0; w++) {
            size_t n = sim_lazy_mem_values(m, c, w, values);

            if (n == 2)
                twos++;
            else if (n > 2)
                states = sim_lazy_count_mul(states, sim_lazy_count_of(n));
        }
    }
    states.exponent += (int64_t)twos;
    return states;
}
