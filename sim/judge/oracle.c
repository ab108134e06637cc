/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracle's life and its record of requests, acknowledgements and crashes. */
#include "oracle.h"

#include "oracle_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_oracle *sim_oracle_create(const struct sim_oracle_config *config)
{
    if (config->size_sectors == 0 || config->size_sectors > SIM_ORACLE_SIZE_SECTORS_MAX ||
        config->atomic_sectors == 0 || config->atomic_sectors > SIM_ORACLE_ATOMIC_SECTORS_MAX)
        return NULL;
    struct sim_oracle *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return NULL;
    o->atomic_sectors = config->atomic_sectors;
    o->hist.size_sectors = config->size_sectors;
    o->hist.durable_on_ack = config->durable_on_ack;
    o->hist.initial_is_zero = config->initial_is_zero;
    o->scratch = calloc(1, sizeof(*o->scratch));
    if (o->scratch == NULL || !hist_init(&o->hist)) {
        sim_oracle_destroy(o);
        return NULL;
    }
    return o;
}

void sim_oracle_destroy(struct sim_oracle *o)
{
    if (o == NULL)
        return;
    hist_free(&o->hist);
    if (o->scratch != NULL) {
        free(o->scratch->clusters);
        free(o->scratch->zeroes);
    }
    free(o->scratch);
    free(o->open);
    free(o->flushes);
    free(o->backing.gaps);
    free(o->backing.maybe);
    free(o);
}

struct sim_oracle *sim_oracle_clone(const struct sim_oracle *o)
{
    struct sim_oracle *copy = calloc(1, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    copy->atomic_sectors = o->atomic_sectors;
    copy->flushes_stale = true;
    copy->scratch = calloc(1, sizeof(*copy->scratch));
    bool ok = copy->scratch != NULL && hist_clone(&copy->hist, &o->hist);
    if (ok) {
        copy->open = hist_copy(&copy->hist, o->open, o->open_n, sizeof(*o->open));
        copy->flushes = hist_copy(&copy->hist, o->flushes, o->flushes_n, sizeof(*o->flushes));
    }
    if (!ok || copy->hist.no_memory) {
        sim_oracle_destroy(copy);
        return NULL;
    }
    copy->open_n = copy->open_cap = o->open_n;
    copy->flushes_n = copy->flushes_cap = o->flushes_n;
    return copy;
}

static bool open_append(struct sim_oracle *o, uint32_t id)
{
    uint32_t *open = hist_grow(&o->hist, o->open, o->open_n, &o->open_cap, sizeof(*open));
    if (open == NULL)
        return false;
    o->open = open;
    o->open[o->open_n++] = id;
    return true;
}

static bool flush_append(struct sim_oracle *o, uint32_t id)
{
    struct oracle_flush *flushes =
        hist_grow(&o->hist, o->flushes, o->flushes_n, &o->flushes_cap, sizeof(*flushes));
    if (flushes == NULL)
        return false;
    o->flushes = flushes;
    o->flushes[o->flushes_n++] = (struct oracle_flush){.event = id};
    return true;
}

uint64_t sim_oracle_submit(struct sim_oracle *o, enum sim_oracle_op op, uint64_t start_sector,
                           uint64_t sectors, bool fua)
{
    struct hist *h = &o->hist;
    struct hist_event ev = {.submit = hist_tick(h), .end = HIST_TIME_NEVER, .state = HIST_FLYING};
    if (op == SIM_ORACLE_OP_FLUSH) {
        ev.kind = HIST_FLUSH;
    } else {
        assert(sectors > 0 && start_sector < h->size_sectors &&
               sectors <= h->size_sectors - start_sector);
        ev.kind = op == SIM_ORACLE_OP_WRITE ? HIST_WRITE : HIST_ZERO;
        ev.start = start_sector;
        ev.sectors = sectors;
        ev.fua = fua;
    }
    uint32_t id = hist_add(h, &ev);
    if (id == 0 || !open_append(o, id))
        return 0;
    if (ev.kind == HIST_FLUSH)
        flush_append(o, id);
    else
        hist_insert(h, id);
    return h->no_memory ? 0 : id;
}

/* The event of a request in flight that ends now. */
static struct hist_event *end_request(struct sim_oracle *o, uint64_t id, enum hist_state state)
{
    assert(id > 0 && id < o->hist.events_n);
    struct hist_event *ev = &o->hist.events[id];
    assert(!hist_is_pin(ev) && ev->state == HIST_FLYING);
    ev->end = hist_tick(&o->hist);
    ev->state = (uint8_t)state;
    return ev;
}

static void open_remove(struct sim_oracle *o, uint32_t id)
{
    for (size_t i = 0; i < o->open_n; i++) {
        if (o->open[i] == id) {
            o->open_n--;
            memmove(&o->open[i], &o->open[i + 1], (o->open_n - i) * sizeof(*o->open));
            return;
        }
    }
}

static void open_remove_durable(struct sim_oracle *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->open_n; i++) {
        if (!hist_is_durable(&o->hist, &o->hist.events[o->open[i]]))
            o->open[kept++] = o->open[i];
    }
    o->open_n = kept;
}

void sim_oracle_ack(struct sim_oracle *o, uint64_t id)
{
    struct hist_event *ev = end_request(o, id, HIST_DONE);
    if (ev->kind == HIST_FLUSH || ev->fua)
        o->backing.age++;
    if (ev->kind == HIST_FLUSH) {
        if (ev->submit > o->hist.flushed_to)
            o->hist.flushed_to = ev->submit;
        o->flushes_stale = true;
        open_remove(o, (uint32_t)id);
        if (!o->hist.durable_on_ack)
            open_remove_durable(o);
    } else if (hist_is_durable(&o->hist, ev)) {
        open_remove(o, (uint32_t)id);
    }
}

void sim_oracle_fail(struct sim_oracle *o, uint64_t id)
{
    if (end_request(o, id, HIST_OPEN)->kind == HIST_FLUSH)
        open_remove(o, (uint32_t)id);
}

void sim_oracle_crash(struct sim_oracle *o)
{
    struct hist *h = &o->hist;
    uint64_t now = hist_tick(h);
    o->backing.age++;
    for (size_t i = 0; i < o->open_n; i++) {
        struct hist_event *ev = &h->events[o->open[i]];
        if (ev->state == HIST_FLYING)
            ev->end = now;
        ev->state = HIST_OPEN;
    }
    h->reads_n = 0;
    if (h->durable_on_ack)
        return;
    /* What a read had returned may be gone: it orders nothing any more. */
    for (size_t i = 0; i < h->events_n; i++) {
        if (h->events[i].kind == HIST_READ)
            h->events[i].state = HIST_VOID;
    }
}

int sim_oracle_adopt(struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                     uint64_t version)
{
    struct hist *h = &o->hist;
    assert(sectors > 0 && start_sector < h->size_sectors &&
           sectors <= h->size_sectors - start_sector);
    o->backing.age++;
    uint32_t value = HIST_VALUE_ZERO;
    version = oracle_normal(o, version);
    if (version != SIM_ORACLE_ZERO && !hist_lookup(h, version, start_sector, sectors, &value))
        return SIM_ORACLE_VIOLATION;
    struct hist_event ev = {
        .start = start_sector,
        .sectors = sectors,
        .submit = hist_tick(h),
        .end = h->now,
        .value = value,
        .kind = HIST_ADOPT,
        .state = HIST_DONE,
    };
    uint32_t id = hist_add(h, &ev);
    if (id != 0)
        hist_insert(h, id);
    return h->no_memory ? SIM_ORACLE_NO_MEMORY : SIM_ORACLE_OK;
}

void sim_oracle_resume(struct sim_oracle *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->open_n; i++) {
        if (o->hist.events[o->open[i]].state == HIST_FLYING)
            o->open[kept++] = o->open[i];
    }
    o->open_n = kept;
}

bool sim_oracle_open_next(const struct sim_oracle *o, size_t *cursor,
                          struct sim_oracle_range *range)
{
    while (*cursor < o->open_n) {
        uint32_t id = o->open[(*cursor)++];
        const struct hist_event *ev = &o->hist.events[id];
        if (ev->kind == HIST_FLUSH)
            continue;
        *range = (struct sim_oracle_range){
            .id = id,
            .start_sector = ev->start,
            .sectors = ev->sectors,
            .op = ev->kind == HIST_WRITE ? SIM_ORACLE_OP_WRITE : SIM_ORACLE_OP_ZERO,
        };
        return true;
    }
    return false;
}

struct touched {
    const struct hist *h;
    int (*fn)(void *ctx, uint64_t start_sector, uint64_t sectors);
    void *ctx;
    uint64_t start;
    uint64_t sectors;
};

static bool path_touched(const struct hist *h, const struct hist_path *path)
{
    for (unsigned level = path->low; level <= path->top; level++) {
        const struct hist_list *list = &h->nodes[path->node[level]].hist;
        for (uint32_t i = 0; i < list->n; i++) {
            if ((list->at[i].mask & path->bit[level]) != 0)
                return true;
        }
    }
    return false;
}

static int touched_group(void *ctx, const struct hist_path *path, uint64_t start, uint64_t sectors)
{
    struct touched *t = ctx;
    if (!path_touched(t->h, path))
        return 0;
    if (t->sectors > 0 && t->start + t->sectors == start) {
        t->sectors += sectors;
        return 0;
    }
    int rc = t->sectors > 0 ? t->fn(t->ctx, t->start, t->sectors) : 0;
    t->start = start;
    t->sectors = sectors;
    return rc;
}

int sim_oracle_touched(const struct sim_oracle *o,
                       int (*fn)(void *ctx, uint64_t start_sector, uint64_t sectors), void *ctx)
{
    struct touched t = {.h = &o->hist, .fn = fn, .ctx = ctx};
    int rc = hist_walk(&o->hist, 0, o->hist.size_sectors, touched_group, &t);
    if (rc == 0 && t.sectors > 0)
        rc = fn(ctx, t.start, t.sectors);
    return rc;
}

int oracle_report(struct sim_oracle_violation *v, enum sim_oracle_promise promise,
                  enum sim_oracle_reason reason, uint64_t sector, uint64_t got, uint64_t by)
{
    if (v != NULL) {
        *v = (struct sim_oracle_violation){
            .promise = promise, .reason = reason, .sector = sector, .got = got, .by = by};
    }
    return SIM_ORACLE_VIOLATION;
}

static const char *version_text(uint64_t version, char *buf, size_t buf_bytes)
{
    if (version == SIM_ORACLE_INITIAL)
        return "the initial content";
    if (version == SIM_ORACLE_ZERO)
        return "zeroes";
    if (version == SIM_ORACLE_GARBAGE)
        return "garbage";
    snprintf(buf, buf_bytes, "request %" PRIu64, version);
    return buf;
}

const char *sim_oracle_describe(const struct sim_oracle_violation *v, char *buf, size_t buf_bytes)
{
    char promise[32] = "read";
    char got_buf[32], other_buf[32], by_buf[64] = "";
    if (v->promise != SIM_ORACLE_READ)
        snprintf(promise, sizeof(promise), "P%d", (int)v->promise);
    const char *got = version_text(v->got, got_buf, sizeof(got_buf));
    const char *other = version_text(v->other_got, other_buf, sizeof(other_buf));
    switch (v->reason) {
    case SIM_ORACLE_FOREIGN:
        snprintf(buf, buf_bytes, "%s: sector %" PRIu64 " holds %s, which nothing wrote there",
                 promise, v->sector, got);
        break;
    case SIM_ORACLE_STALE:
        snprintf(buf, buf_bytes,
                 "%s: sector %" PRIu64 " holds %s, but request %" PRIu64
                 " is newer and must be there",
                 promise, v->sector, got, v->by);
        break;
    case SIM_ORACLE_TORN:
        snprintf(buf, buf_bytes,
                 "%s: sector %" PRIu64 " holds %s and sector %" PRIu64
                 " holds %s: one of them is torn",
                 promise, v->sector, got, v->other_sector, other);
        break;
    case SIM_ORACLE_NO_MOMENT:
        if (v->by != 0)
            snprintf(by_buf, sizeof(by_buf), " once request %" PRIu64 " was acknowledged", v->by);
        snprintf(buf, buf_bytes,
                 "%s: sector %" PRIu64 " holds %s, too old%s, and sector %" PRIu64
                 " holds %s, which is from after that",
                 promise, v->sector, got, by_buf, v->other_sector, other);
        break;
    default:
        snprintf(buf, buf_bytes, "no violation");
        break;
    }
    return buf;
}

void sim_oracle_stats(const struct sim_oracle *o, struct sim_oracle_stats *stats)
{
    const struct hist *h = &o->hist;
    uint64_t bytes = h->events_cap * sizeof(*h->events) + h->nodes_cap * sizeof(*h->nodes) +
                     h->kids_cap * sizeof(*h->kids) + o->flushes_cap * sizeof(*o->flushes) +
                     o->open_cap * sizeof(*o->open);
    for (size_t i = 0; i < h->nodes_n; i++) {
        const struct hist_node *node = &h->nodes[i];
        bytes += ((uint64_t)node->hist.cap + node->live.cap) * sizeof(struct hist_entry);
    }
    *stats = (struct sim_oracle_stats){
        .events = h->events_n - 1, .nodes = h->nodes_n, .memory_bytes = bytes, .time = h->now};
}
