/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges what the served device shows: reads, and the state after a crash (P1, P3, P5).
 *
 * Each sector is a register.  All that is known about one version of it makes a cluster: the
 * request that wrote it and the reads that saw it.  Cluster c was there at c.end at the latest
 * (the earliest end of its members) and at c.start at the earliest for the last time (the latest
 * start of its members).  Clusters with distinct versions can be put into one order that agrees
 * with real time exactly when no two of them are each partly before the other:
 *
 *     never both  a.end < b.start  and  b.end < a.start
 *
 * A new look at version v, begun at time t, adds a member to v's cluster.  With the rule true
 * before, it stays true exactly when there is no other cluster w with
 *
 *     w.end < t  and  w.start > v.end
 *
 * so that is the test for a read.  A crash is a read that begins after everything.  Requests that
 * are in flight or failed may never have happened: they forbid nothing.
 *
 * A sector of zeroes may be due to any request of zeroes: it is allowed when one of them is.  What
 * such a read fixes is kept under the common name HIST_VALUE_ZERO unless only one can be meant.
 *
 * A pin (what a read saw) is kept only where it says more than the requests do.
 */
#include "oracle_impl.h"

#include <assert.h>
#include <stdlib.h>

struct pin {
    uint64_t start;
    uint64_t sectors;
    uint32_t value;
};

struct judge {
    const struct sim_oracle *o;
    struct sim_oracle_violation *v;
    enum sim_oracle_promise promise; /* P1 stands for P1 and P3: a crash */
    uint64_t version;
    uint64_t begun; /* start of the read */
    bool pinning;
    struct pin *pins;
    size_t pins_n, pins_cap;
};

/* Adds a member to the cluster of its version. */
static void cluster_add(struct sim_oracle *o, uint32_t value, bool done, uint64_t end,
                        uint64_t start)
{
    struct oracle_scratch *s = o->scratch;
    for (size_t i = 0; i < s->clusters_n; i++) {
        struct oracle_cluster *c = &s->clusters[i];
        if (c->value != value)
            continue;
        c->end = end < c->end ? end : c->end;
        c->start = start > c->start ? start : c->start;
        c->done |= done;
        return;
    }
    struct oracle_cluster *grown =
        hist_grow(&o->hist, s->clusters, s->clusters_n, &s->clusters_cap, sizeof(*grown));
    if (grown == NULL)
        return;
    s->clusters = grown;
    s->clusters[s->clusters_n++] =
        (struct oracle_cluster){.value = value, .done = done, .end = end, .start = start};
}

static void gather(const struct judge *j, const struct hist_path *path)
{
    /* Only the scratch and the memory flag are written: the history is not. */
    struct sim_oracle *o = (struct sim_oracle *)j->o;
    const struct hist *h = &o->hist;
    bool crash = j->promise == SIM_ORACLE_P1;
    o->scratch->clusters_n = 0;
    cluster_add(o, 0, true, 0, 0);
    for (unsigned level = path->low; level <= path->top; level++) {
        const struct hist_list *live = &h->nodes[path->node[level]].live;
        for (uint32_t i = 0; i < live->n; i++) {
            if ((live->at[i].mask & path->bit[level]) == 0)
                continue;
            const struct hist_event *ev = &h->events[live->at[i].event];
            if (ev->state == HIST_VOID || (crash && ev->kind == HIST_READ && !h->durable_on_ack))
                continue;
            bool done = crash ? hist_is_durable(h, ev) : ev->state == HIST_DONE;
            uint64_t end = ev->end;
            /* The request that a pin names may be gone from the list. */
            if (hist_is_pin(ev) && ev->value != HIST_VALUE_ZERO && h->events[ev->value].end < end)
                end = h->events[ev->value].end;
            cluster_add(o, ev->value, done || hist_is_pin(ev), end, ev->submit);
        }
    }
}

static const struct oracle_cluster *cluster_of(const struct sim_oracle *o, uint32_t value)
{
    for (size_t i = 0; i < o->scratch->clusters_n; i++) {
        if (o->scratch->clusters[i].value == value)
            return &o->scratch->clusters[i];
    }
    return NULL;
}

static uint64_t value_end(const struct sim_oracle *o, uint32_t value)
{
    const struct oracle_cluster *c = cluster_of(o, value);
    return c != NULL ? c->end : o->hist.events[value].end;
}

/* The newest cluster that forbids `value`, or NULL. */
static const struct oracle_cluster *forbids(const struct judge *j, uint32_t value)
{
    const struct hist *h = &j->o->hist;
    const struct oracle_cluster *found = NULL;
    uint64_t end = value_end(j->o, value);
    bool zero = hist_is_zero(h, value);
    for (size_t i = 0; i < j->o->scratch->clusters_n; i++) {
        const struct oracle_cluster *c = &j->o->scratch->clusters[i];
        if (!c->done || c->value == value || c->end >= j->begun || c->start <= end)
            continue;
        if (c->value == HIST_VALUE_ZERO && zero)
            continue;
        if (found == NULL || c->start > found->start)
            found = c;
    }
    return found;
}

/* P3 when only a read makes `value` too old, P1 when the requests alone do. */
static enum sim_oracle_promise promise_of(const struct judge *j, uint32_t value)
{
    if (j->promise != SIM_ORACLE_P1)
        return j->promise;
    const struct hist *h = &j->o->hist;
    for (size_t i = 0; i < j->o->scratch->clusters_n; i++) {
        uint32_t other = j->o->scratch->clusters[i].value;
        if (other == value || other == HIST_VALUE_ZERO)
            continue;
        const struct hist_event *ev = &h->events[other];
        if (hist_is_durable(h, ev) && ev->submit > h->events[value].end)
            return SIM_ORACLE_P1;
    }
    return SIM_ORACLE_P3;
}

static void pin_add(struct judge *j, uint64_t start, uint64_t sectors, uint32_t value)
{
    struct hist *h = &((struct sim_oracle *)j->o)->hist;
    if (j->pins_n > 0) {
        struct pin *last = &j->pins[j->pins_n - 1];
        if (last->value == value && last->start + last->sectors == start) {
            last->sectors += sectors;
            return;
        }
    }
    struct pin *pins = hist_grow(h, j->pins, j->pins_n, &j->pins_cap, sizeof(*pins));
    if (pins == NULL)
        return;
    j->pins = pins;
    j->pins[j->pins_n++] = (struct pin){.start = start, .sectors = sectors, .value = value};
}

/* Is it known already that this content was there at some time? */
static bool known_there(const struct judge *j, uint32_t value)
{
    for (size_t i = 0; i < j->o->scratch->clusters_n; i++) {
        const struct oracle_cluster *c = &j->o->scratch->clusters[i];
        if (c->done && (c->value == value ||
                        (value == HIST_VALUE_ZERO && hist_is_zero(&j->o->hist, c->value))))
            return true;
    }
    return false;
}

/*
 * Does the read tell more than is known?  It does when the version was not known to be there, or
 * when another one, which overlapped with it, is now known to be older.
 */
static bool pin_needed(const struct judge *j, uint32_t value)
{
    if (!known_there(j, value))
        return true;
    const struct oracle_cluster *own = cluster_of(j->o, value);
    uint64_t start = own != NULL ? own->start : 0;
    for (size_t i = 0; i < j->o->scratch->clusters_n; i++) {
        const struct oracle_cluster *c = &j->o->scratch->clusters[i];
        if (c->value == value || c->end >= j->begun || c->end <= start)
            continue;
        if (value != HIST_VALUE_ZERO || !hist_is_zero(&j->o->hist, c->value))
            return true;
    }
    return false;
}

static int judge_value(struct judge *j, uint64_t start, uint64_t sectors)
{
    uint32_t value;
    if (!hist_lookup(&j->o->hist, j->version, start, sectors, &value))
        return oracle_report(j->v, j->promise, SIM_ORACLE_FOREIGN, start, j->version, 0);
    const struct oracle_cluster *by = forbids(j, value);
    if (by != NULL)
        return oracle_report(j->v, promise_of(j, value), SIM_ORACLE_STALE, start, j->version,
                             oracle_version(by->value));
    if (j->pinning && pin_needed(j, value))
        pin_add(j, start, sectors, value);
    return SIM_ORACLE_OK;
}

static int judge_zero(struct judge *j, uint64_t start, uint64_t sectors)
{
    const struct hist *h = &j->o->hist;
    uint32_t newest = 0;
    uint32_t allowed = 0;
    unsigned allowed_n = 0;
    bool any = false;
    for (size_t i = 0; i < j->o->scratch->clusters_n; i++) {
        uint32_t value = j->o->scratch->clusters[i].value;
        if (value == HIST_VALUE_ZERO || !hist_is_zero(h, value))
            continue;
        any = true;
        newest = value > newest ? value : newest;
        if (forbids(j, value) == NULL) {
            allowed = value;
            allowed_n++;
        }
    }
    if (allowed_n > 0) {
        uint32_t value = allowed_n == 1 ? allowed : HIST_VALUE_ZERO;
        if (j->pinning && pin_needed(j, value))
            pin_add(j, start, sectors, value);
        return SIM_ORACLE_OK;
    }
    if (any)
        return oracle_report(j->v, promise_of(j, newest), SIM_ORACLE_STALE, start, SIM_ORACLE_ZERO,
                             oracle_version(forbids(j, newest)->value));
    /* Every request of zeroes here, if there was one, was hidden for good by a newer request. */
    const struct oracle_cluster *by = forbids(j, 0);
    return oracle_report(j->v, j->promise, by != NULL ? SIM_ORACLE_STALE : SIM_ORACLE_FOREIGN,
                         start, SIM_ORACLE_ZERO, by != NULL ? oracle_version(by->value) : 0);
}

static int judge_group(void *ctx, const struct hist_path *path, uint64_t start, uint64_t sectors)
{
    struct judge *j = ctx;
    gather(j, path);
    if (j->o->hist.no_memory)
        return SIM_ORACLE_NO_MEMORY;
    return j->version == SIM_ORACLE_ZERO ? judge_zero(j, start, sectors)
                                         : judge_value(j, start, sectors);
}

static int judge_run(struct judge *j, uint64_t start, uint64_t sectors, uint64_t version)
{
    if (j->o->hist.no_memory)
        return SIM_ORACLE_NO_MEMORY;
    j->version = oracle_normal(j->o, version);
    int rc = hist_walk(&j->o->hist, start, sectors, judge_group, j);
    return j->o->hist.no_memory ? SIM_ORACLE_NO_MEMORY : rc;
}

int sim_oracle_check_served(const struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                            uint64_t version, struct sim_oracle_violation *v)
{
    struct judge j = {.o = o, .v = v, .promise = SIM_ORACLE_P1, .begun = HIST_TIME_NEVER};
    return judge_run(&j, start_sector, sectors, version);
}

int sim_oracle_check_final(const struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                           uint64_t version, struct sim_oracle_violation *v)
{
    struct judge j = {.o = o, .v = v, .promise = SIM_ORACLE_P5, .begun = HIST_TIME_NEVER};
    return judge_run(&j, start_sector, sectors, version);
}

uint64_t sim_oracle_read_begin(struct sim_oracle *o)
{
    struct hist *h = &o->hist;
    uint64_t token = hist_tick(h);
    uint64_t *reads = hist_grow(h, h->reads, h->reads_n, &h->reads_cap, sizeof(*reads));
    if (reads != NULL) {
        h->reads = reads;
        h->reads[h->reads_n++] = token;
    }
    return token;
}

void sim_oracle_read_abort(struct sim_oracle *o, uint64_t token)
{
    struct hist *h = &o->hist;
    for (size_t i = 0; i < h->reads_n; i++) {
        if (h->reads[i] == token) {
            h->reads[i] = h->reads[--h->reads_n];
            return;
        }
    }
    assert(h->no_memory); /* else this read was not in flight */
}

int sim_oracle_read_end(struct sim_oracle *o, uint64_t token, uint64_t start_sector,
                        const uint64_t *versions, size_t sectors, struct sim_oracle_violation *v)
{
    struct hist *h = &o->hist;
    uint64_t end = hist_tick(h);
    struct judge j = {.o = o, .v = v, .promise = SIM_ORACLE_READ, .begun = token, .pinning = true};
    int rc = h->no_memory ? SIM_ORACLE_NO_MEMORY : SIM_ORACLE_OK;
    for (size_t i = 0; i < sectors && rc == SIM_ORACLE_OK;) {
        size_t next = i + 1;
        while (next < sectors && versions[next] == versions[i])
            next++;
        rc = judge_run(&j, start_sector + i, next - i, versions[i]);
        i = next;
    }
    for (size_t i = 0; i < j.pins_n && rc == SIM_ORACLE_OK; i++) {
        struct hist_event ev = {
            .start = j.pins[i].start,
            .sectors = j.pins[i].sectors,
            .submit = token,
            .end = end,
            .value = j.pins[i].value,
            .kind = HIST_READ,
            .state = HIST_DONE,
        };
        uint32_t id = hist_add(h, &ev);
        if (id != 0)
            hist_insert(h, id);
        rc = h->no_memory ? SIM_ORACLE_NO_MEMORY : SIM_ORACLE_OK;
    }
    free(j.pins);
    sim_oracle_read_abort(o, token);
    return rc;
}
