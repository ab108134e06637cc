/* SPDX-License-Identifier: BSD-2-Clause */
/* From names to choices: which pending unit is called what, and a power cut that keeps some. */
#include "survive.h"

#include <string.h>

#include "sim_base.h"

/* The pending units of one device. */
struct units {
    size_t count;
    uint64_t *choices; /* 0: lost; else the newest */
    struct sim_survive_name *names;
};

/* The step that made the newest store of a unit. */
static enum cbd_step step_of(const struct sim_pend *p, const struct sim_pend_unit *u)
{
    uint32_t group = sim_pend_find(p, u->cell);
    enum cbd_step step = CBD_STEP_NONE;

    SIM_REQUIRE(group != SIM_PEND_NIL);
    for (uint32_t s = p->groups[group].first; s != SIM_PEND_NIL; s = p->stores[s].next) {
        const struct sim_pend_store *e = &p->stores[s];
        bool ordered = (e->flags & SIM_PEND_ORDERED) != 0;

        if (u->word == SIM_PEND_WORDS ? ordered || p->cell_shift != 0
                                      : !ordered && e->cell == u->cell && (e->mask >> u->word & 1))
            step = (enum cbd_step)e->step;
    }
    return step;
}

static struct units pmem_units(struct sim_world *w)
{
    struct units u = {.count = sim_pmem_pending_units(w->pmem, NULL, 0)};
    struct sim_pend_unit *list = sim_zalloc(u.count, sizeof(*list));
    uint32_t seen[CBD_STEP_COUNT] = {0};

    u.choices = sim_zalloc(u.count, sizeof(*u.choices));
    u.names = sim_zalloc(u.count, sizeof(*u.names));
    (void)sim_pmem_pending_list(w->pmem, list, u.count);
    for (size_t i = 0; i < u.count; i++) {
        enum cbd_step step = step_of(&w->pmem->marks.pend, &list[i]);

        u.choices[i] = list[i].choices - 1;
        u.names[i] = (struct sim_survive_name){.step = step, .number = seen[step]++};
    }
    free(list);
    return u;
}

static struct units disk_units(struct sim_world *w, uint32_t disk)
{
    struct units u = {.count = sim_disk_pending_units(w->disk[disk], NULL, 0)};

    u.choices = sim_zalloc(u.count, sizeof(*u.choices));
    u.names = sim_zalloc(u.count, sizeof(*u.names));
    (void)sim_disk_pending_units(w->disk[disk], u.choices, u.count);
    for (size_t i = 0; i < u.count; i++) {
        u.choices[i]--;
        u.names[i] = (struct sim_survive_name){.disk = disk, .number = (uint32_t)i};
    }
    return u;
}

static void free_units(struct units *u)
{
    free(u->choices);
    free(u->names);
}

static bool named(const struct sim_survive *s, const struct sim_survive_name *unit)
{
    for (uint32_t i = 0; i < s->names; i++) {
        const struct sim_survive_name *n = &s->name[i];

        if (n->step == unit->step && (n->step != CBD_STEP_NONE || n->disk == unit->disk) &&
            (n->number == SIM_SURVIVE_ALL_OF || n->number == unit->number))
            return true;
    }
    return false;
}

static void choose(const struct sim_survive *s, struct units *u)
{
    for (size_t i = 0; i < u->count; i++)
        if (named(s, &u->names[i]) != (s->kind == SIM_SURVIVE_ONLY))
            u->choices[i] = 0;
}

void sim_survive_cut(const struct sim_survive *s, struct sim_world *w)
{
    struct units u;

    if (s->kind == SIM_SURVIVE_CRASH) {
        sim_world_power_cut(w, &s->crash);
        return;
    }
    u = pmem_units(w);
    choose(s, &u);
    sim_pmem_crash_bits(w->pmem, u.choices);
    free_units(&u);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        u = disk_units(w, n);
        choose(s, &u);
        sim_disk_crash_bits(w->disk[n], u.choices);
        free_units(&u);
    }
}

size_t sim_survive_list(struct sim_world *w, struct sim_survive_name *names, size_t cap)
{
    struct units u = pmem_units(w);
    size_t count = 0;

    for (uint32_t n = 0; n <= w->config.backends; n++) {
        for (size_t i = 0; i < u.count; i++, count++)
            if (count < cap)
                names[count] = u.names[i];
        free_units(&u);
        u.count = 0;
        u.choices = NULL;
        u.names = NULL;
        if (n < w->config.backends)
            u = disk_units(w, n);
    }
    free_units(&u);
    return count;
}

static const char *const later_names[SIM_LATER_COUNT] = {[SIM_LATER_NONE] = "none",
                                                         [SIM_LATER_WRITEBACK] = "writeback",
                                                         [SIM_LATER_RECLAIM] = "reclaim"};

const char *sim_later_name(enum sim_later later)
{
    return later_names[later];
}

bool sim_later_parse(const char *name, enum sim_later *later)
{
    for (int i = SIM_LATER_WRITEBACK; i < SIM_LATER_COUNT; i++) {
        if (strcmp(name, later_names[i]) != 0)
            continue;
        *later = (enum sim_later)i;
        return true;
    }
    return false;
}
