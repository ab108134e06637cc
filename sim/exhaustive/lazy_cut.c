/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One power cut: the walks over it, the cuts inside of its recoveries, and the trail that names one
 * state of all that.
 *
 *   trail   [ choices @ step / ]*  kind choices       kind: c check, r recovery, d bare disks
 *           0.2@17/r1.0            choices 0 and 2, the power fails at step 17 of that recovery, and
 *                                  the next recovery takes 1 and 0
 */
#include <stdlib.h>
#include <string.h>

#include "lazy_impl.h"
#include "rng.h"
#include "sim_base.h"

struct sim_lazy *sim_lazy_create(struct sim_world *w, const struct sim_lazy_options *options)
{
    struct sim_lazy *l = sim_zalloc(1, sizeof(*l));

    l->w = w;
    if (options != NULL)
        l->options = *options;
    if (l->options.depth == 0)
        l->options.depth = 1;
    SIM_REQUIRE(l->options.depth <= SIM_LAZY_DEPTH_MAX);
    for (uint32_t i = 0; i < l->options.depth; i++) {
        struct sim_lazy_machine *m = &l->at[i].machine;

        sim_lazy_machine_init(m, w->pmem, w->disk, w->config.backends);
        m->owner = l;
        sim_lazy_machine_format(m, w->geo.data_off);
        m->walk.arg = m;
        if (l->options.torn_samples > 1)
            m->mem.torn_samples = l->options.torn_samples;
    }
    return l;
}

void sim_lazy_destroy(struct sim_lazy *l)
{
    for (uint32_t i = 0; i < l->options.depth; i++) {
        sim_lazy_machine_free(&l->at[i].machine);
        free(l->at[i].keys);
        free(l->at[i].trails);
        free(l->at[i].taken);
    }
    free(l->extents);
    free(l->table);
    free(l);
}

void sim_lazy_on_path(struct sim_lazy *l, void (*fn)(void *arg, uint64_t seen, unsigned level),
                      void *arg)
{
    l->on_path = fn;
    l->on_path_arg = arg;
}

/* ---- trails ---- */

static void put(char *trail, const char *format, unsigned long long n)
{
    size_t used = strlen(trail);

    snprintf(trail + used, SIM_LAZY_TRAIL_BYTES - used, format, n);
}

static void put_path(char *trail, const struct sim_lazy_walk *walk)
{
    for (size_t i = 0; i < walk->steps_n; i++)
        put(trail, i == 0 ? "%llu" : ".%llu", walk->steps[i].taken);
}

void sim_lazy_failed(struct sim_lazy *l, const struct sim_verdict *v, char kind)
{
    if (l->failed)
        return;
    l->failed = true;
    *l->verdict = *v;
    l->trail[0] = '\0';
    for (uint32_t i = 0; i < l->level; i++) {
        put_path(l->trail, &l->at[i].machine.walk);
        put(l->trail, "@%llu/", l->at[i].step);
    }
    put(l->trail, kind == 'c' ? "c" : kind == 'd' ? "d" : "r", 0);
    if (kind != 'd')
        put_path(l->trail, &l->at[l->level].machine.walk);
}

/* ---- exploring ---- */

static bool limited(struct sim_lazy *l)
{
    if (l->options.paths_max == 0 || l->paths_left-- > 0)
        return false;
    l->paths_left = 0;
    return true;
}

static void count_path(struct sim_lazy *l, struct sim_lazy_level *level)
{
    struct sim_lazy_counts *c = l->counts;
    const struct sim_lazy_walk *walk = &level->machine.walk;

    if (level->merged)
        c->merged++;
    else
        c->executed++;
    if (walk->steps_n > c->choices_max)
        c->choices_max = walk->steps_n;
    if (l->level == 0)
        l->cut_paths++;
    c->represented = sim_lazy_count_add(
        c->represented,
        sim_lazy_count_mul(sim_lazy_walk_weight(walk), sim_lazy_machine_states(&level->machine)));
}

static void walk_check(struct sim_lazy *l, struct sim_lazy_level *level)
{
    struct sim_lazy_machine *m = &level->machine;

    sim_lazy_machine_mode(m, false);
    m->walk.body = sim_lazy_body_check;
    m->walk.replay = l->options.replay;
    while (!l->failed && sim_lazy_walk_next(&m->walk))
        l->counts->checks++;
}

static void walk_recovery(struct sim_lazy *l, struct sim_lazy_level *level)
{
    struct sim_lazy_machine *m = &level->machine;

    sim_lazy_machine_mode(m, false);
    m->walk.body = sim_lazy_body_recover;
    m->walk.replay = l->options.replay;
    level->path = 0;
    while (!l->failed && !limited(l)) {
        level->merged = false;
        if (!sim_lazy_walk_next(&m->walk))
            return;
        count_path(l, level);
        level->path++;
    }
    if (!l->failed)
        l->counts->limited++;
}

static void explore(struct sim_lazy *l, const struct sim_lazy_machine *before);

/* A cut at this step of the recovery of the current level. */
static void explore_inside(struct sim_lazy *l)
{
    struct sim_lazy_level *level = &l->at[l->level];
    struct sim_pmem *pm = l->w->pmem;
    void (*hook)(void *, const struct sim_pm_event *) = pm->hook;
    void (*access)(void *, uint64_t, size_t, bool) = pm->access;
    void *access_arg = pm->access_arg;

    pm->hook = NULL;
    pm->access = NULL;
    l->counts->nested_cuts++;
    l->level++;
    sim_world_mark(l->w);
    explore(l, &level->machine);
    sim_world_rollback(l->w);
    l->level--;
    pm->hook = hook;
    pm->access = access;
    pm->access_arg = access_arg;
}

/* An earlier path made the same choices so far: it was cut here. */
static bool cut_before(const struct sim_lazy_level *level)
{
    const struct sim_lazy_walk *walk = &level->machine.walk;

    for (size_t i = 0; i < level->along_index; i++) {
        const struct sim_lazy_trail *t = &level->trails[i];
        size_t k = 0;

        if (t->n < walk->steps_n)
            continue;
        while (k < walk->steps_n && level->taken[t->first + k] == walk->steps[k].taken)
            k++;
        if (k == walk->steps_n)
            return true;
    }
    return false;
}

static void on_step(void *arg, const struct sim_pm_event *ev)
{
    struct sim_lazy *l = arg;
    struct sim_lazy_level *level = &l->at[l->level];

    (void)ev;
    if (!l->failed && !cut_before(level))
        explore_inside(l);
    level->step++;
}

static void walk_through(struct sim_lazy *l, struct sim_lazy_level *level)
{
    struct sim_lazy_machine *m = &level->machine;
    struct sim_pmem *pm = l->w->pmem;

    for (size_t i = 0; i < level->trails_n && !l->failed; i++) {
        level->along_index = i;
        level->step = 0;
        m->walk.body = sim_lazy_body_start;
        m->walk.replay = true;
        sim_lazy_machine_mode(m, true);
        m->walk.forced = level->taken + level->trails[i].first;
        m->walk.forced_n = level->trails[i].n;
        pm->hook = on_step;
        pm->hook_arg = l;
        (void)sim_lazy_walk_next(&m->walk);
        pm->hook = NULL;
        if (!l->failed)
            explore_inside(l); /* right behind it */
        m->walk.forced_n = 0;
        pm->access = NULL;
    }
}

/* The power is cut now: the devices have a mark. */
static void explore(struct sim_lazy *l, const struct sim_lazy_machine *before)
{
    struct sim_lazy_level *level = &l->at[l->level];

    sim_lazy_machine_cut(&level->machine, before);
    level->keys_n = level->trails_n = level->taken_n = 0;
    sim_lazy_note_segments(l, level);
    l->counts->states =
        sim_lazy_count_add(l->counts->states, sim_lazy_machine_states(&level->machine));
    if (l->level == 0)
        sim_lazy_judge_disks(l);
    if (!l->failed)
        walk_check(l, level);
    if (!l->failed)
        walk_recovery(l, level);
    if (!l->failed && l->level + 1 < l->options.depth)
        walk_through(l, level);
    l->counts->imprecise += level->machine.mem.imprecise;
    level->machine.mem.imprecise = 0;
    sim_lazy_machine_end(&level->machine);
}

void sim_lazy_counts_add(struct sim_lazy_counts *to, const struct sim_lazy_counts *from)
{
    to->cuts += from->cuts;
    to->executed += from->executed;
    to->merged += from->merged;
    to->checks += from->checks;
    to->nested_cuts += from->nested_cuts;
    to->limited += from->limited;
    to->choices_max = from->choices_max > to->choices_max ? from->choices_max : to->choices_max;
    to->paths_max = from->paths_max > to->paths_max ? from->paths_max : to->paths_max;
    to->sectors += from->sectors;
    to->disks += from->disks;
    to->disks_open += from->disks_open;
    to->imprecise += from->imprecise;
    to->hash += from->hash;
    to->represented = sim_lazy_count_add(to->represented, from->represented);
    to->states = sim_lazy_count_add(to->states, from->states);
}

/* The hooks of the run rest while one of its cuts is explored. */
struct hooks {
    void (*pm)(void *, const struct sim_pm_event *);
    void *pm_arg;
    void (*disk)(void *, const struct sim_disk_event *);
};

static void take_hooks(struct sim_world *w, struct hooks *h)
{
    h->pm = w->pmem->hook;
    h->pm_arg = w->pmem->hook_arg;
    h->disk = w->disk[0]->hook;
    w->pmem->hook = NULL;
    for (uint32_t n = 0; n < w->config.backends; n++)
        w->disk[n]->hook = NULL;
}

static void give_hooks(struct sim_world *w, const struct hooks *h)
{
    w->pmem->hook = h->pm;
    w->pmem->hook_arg = h->pm_arg;
    for (uint32_t n = 0; n < w->config.backends; n++)
        w->disk[n]->hook = h->disk;
}

static void begin(struct sim_lazy *l, struct sim_lazy_counts *counts, struct sim_verdict *verdict,
                  char *trail)
{
    memset(verdict, 0, sizeof(*verdict));
    trail[0] = '\0';
    l->counts = counts;
    l->verdict = verdict;
    l->trail = trail;
    l->failed = false;
    l->level = 0;
    l->cut_paths = 0;
    l->cut_hash = 0;
    l->cut_number = sim_world_steps(l->w);
    l->paths_left = l->options.paths_max;
    sim_lazy_note_index(l);
}

bool sim_lazy_cut(struct sim_lazy *l, struct sim_lazy_counts *counts, struct sim_verdict *first,
                  char trail[SIM_LAZY_TRAIL_BYTES])
{
    struct hooks hooks;

    begin(l, counts, first, trail);
    counts->cuts++;
    if (l->w->pmem->counts.mixed.count != 0) {
        first->failure = SIM_FAILURE_STORES;
        first->where = cbd_step_name(l->w->pmem->counts.mixed.step);
        return false;
    }
    take_hooks(l->w, &hooks);
    sim_world_mark(l->w);
    explore(l, NULL);
    sim_world_rollback(l->w);
    give_hooks(l->w, &hooks);
    if (l->cut_paths > counts->paths_max)
        counts->paths_max = l->cut_paths;
    counts->hash += l->cut_hash; /* a sum: the order of the cuts does not matter */
    return !l->failed;
}

/* ---- rerun ---- */

#define CHOICES_MAX 128u

struct leg {
    uint32_t choices[CHOICES_MAX];
    uint32_t n;
    uint64_t step;
    char kind; /* 'c', 'r', 'd'; '@': cut at the step */
};

/* One leg of a trail; *text moves behind it. */
static bool parse_leg(const char **text, struct leg *leg)
{
    const char *at = *text;

    memset(leg, 0, sizeof(*leg));
    leg->kind = '@';
    if (*at == 'c' || *at == 'r' || *at == 'd')
        leg->kind = *at++;
    while (*at >= '0' && *at <= '9') {
        char *end;
        unsigned long v = strtoul(at, &end, 10);

        if (leg->n == CHOICES_MAX || v > UINT32_MAX)
            return false;
        leg->choices[leg->n++] = (uint32_t)v;
        at = *end == '.' ? end + 1 : end;
    }
    if (leg->kind == '@') {
        char *end;

        if (*at != '@' || at[1] < '0' || at[1] > '9')
            return false;
        leg->step = strtoull(at + 1, &end, 10);
        if (*end != '/')
            return false;
        at = end + 1;
    } else if (*at != '\0') {
        return false;
    }
    *text = at;
    return true;
}

static bool rerun(struct sim_lazy *l, const char *text, const struct sim_lazy_machine *before);

struct rerun {
    const char *text;
    uint64_t step;
    bool reached, ok;
};

static void rerun_step(void *arg, const struct sim_pm_event *ev)
{
    struct sim_lazy *l = arg;
    struct sim_lazy_level *level = &l->at[l->level];
    struct rerun *r = l->rerun;
    struct sim_pmem *pm = l->w->pmem;
    void (*access)(void *, uint64_t, size_t, bool) = pm->access;

    (void)ev;
    if (level->step++ != r->step || r->reached)
        return;
    r->reached = true;
    level->step--;
    pm->hook = NULL;
    pm->access = NULL;
    l->level++;
    sim_world_mark(l->w);
    r->ok = rerun(l, r->text, &level->machine);
    sim_world_rollback(l->w);
    l->level--;
    l->rerun = r;
    level->step++;
    pm->access = access;
    pm->access_arg = &level->machine;
}

/* One leg; what follows it, inside of it. False: it leads nowhere. */
static bool rerun(struct sim_lazy *l, const char *text, const struct sim_lazy_machine *before)
{
    struct sim_lazy_level *level = &l->at[l->level];
    struct sim_lazy_machine *m = &level->machine;
    struct leg *leg = sim_zalloc(1, sizeof(*leg));
    struct rerun r;
    bool ok = l->level < l->options.depth && parse_leg(&text, leg);

    if (!ok) {
        free(leg);
        return false;
    }
    sim_lazy_machine_cut(m, before);
    level->keys_n = level->trails_n = level->taken_n = 0;
    sim_lazy_note_segments(l, level);
    if (leg->kind == 'd') {
        memset(l->disk_key, 0, sizeof(l->disk_key));
        sim_lazy_judge_disks(l);
        sim_lazy_machine_end(m);
        free(leg);
        return true;
    }
    m->walk.replay = true;
    m->walk.body = leg->kind == 'c'   ? sim_lazy_body_check
                   : leg->kind == 'r' ? sim_lazy_body_recover
                                      : sim_lazy_body_start;
    sim_lazy_machine_mode(m, leg->kind == '@');
    m->walk.forced = leg->choices;
    m->walk.forced_n = leg->n;
    if (leg->kind == '@') {
        r = (struct rerun){.text = text, .step = leg->step};
        l->rerun = &r;
        l->w->pmem->hook = rerun_step;
        l->w->pmem->hook_arg = l;
        level->step = 0;
    }
    (void)sim_lazy_walk_next(&m->walk);
    ok = !m->walk.bad_force;
    if (leg->kind == '@') {
        l->w->pmem->hook = NULL;
        if (!r.reached && level->step == r.step)
            rerun_step(l, NULL);
        ok = ok && r.reached && r.ok;
    }
    m->walk.forced_n = 0;
    l->w->pmem->access = NULL;
    sim_lazy_machine_end(m);
    free(leg);
    return ok;
}

bool sim_lazy_rerun(struct sim_lazy *l, const char *trail, struct sim_verdict *verdict)
{
    struct sim_lazy_counts counts = {0};
    char again[SIM_LAZY_TRAIL_BYTES];
    struct hooks hooks;
    bool ok;

    begin(l, &counts, verdict, again);
    take_hooks(l->w, &hooks);
    sim_world_mark(l->w);
    ok = rerun(l, trail, NULL);
    sim_world_rollback(l->w);
    give_hooks(l->w, &hooks);
    if (!ok && !l->failed)
        verdict->where = "the trail leads nowhere";
    return ok && !l->failed;
}
