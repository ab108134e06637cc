/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What runs on undecided memory: core/check, and recovery with the reads of the judge.
 *
 * All of it may be left at a choice and entered again there: what it keeps is on its stack or in
 * the machine's state, and what it leaves outside is written at its end only (or the same whatever
 * was chosen).
 */
#include <string.h>

#include "cbd/check.h"
#include "lazy_impl.h"
#include "rng.h"
#include "sim_base.h"

#define SECTOR UINT64_C(512)
#define READ_SECTORS 8u         /* of one read */
#define RANGE_SECTORS_MAX 4096u /* a larger open range is compared at both ends and in windows */
#define WINDOW_SECTORS 128u
#define WINDOWS 16u
#define SWEEP 16u /* N4 */

#define DIFFERING_MAX 16u

/* An extent that is not as it was in the running process, or over cells that were pending. */
struct differing {
    uint32_t backend;
    struct cbd_extent_view view;
};

/* One path of the judge. */
struct path {
    struct sim_lazy *l;
    struct sim_lazy_level *level;
    struct cbd_backend *backend[SIM_BACKENDS_MAX];
    struct sim_verdict v;
    uint64_t seen, open_seen, key, number;
    struct differing differing[DIFFERING_MAX];
    uint32_t differing_n; /* more than fit: all are looked at again */
};

static bool bad(struct sim_verdict *v, enum sim_failure failure, int error, const char *where)
{
    v->failure = failure;
    v->error = error;
    v->where = where;
    return false;
}

struct finding {
    uint32_t code;
    uint64_t off;
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct finding *first = arg;

    if (first->code == 0 && f->problem->severity == CBD_CHECK_ERROR) {
        first->code = f->problem->code;
        first->off = f->off_bytes;
    }
    return 0;
}

void sim_lazy_body_check(void *lazy)
{
    struct sim_lazy_machine *m = lazy;
    struct sim_lazy *l = m->owner;
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS};
    struct cbd_check_summary *summary = m->env.ops->alloc(&m->env, sizeof(*summary));
    struct finding first = {0};
    int error =
        cbd_check_run(sim_lazy_machine_pmem(m), &m->env, &options, on_finding, &first, summary);

    if (error != 0 || first.code != 0) {
        struct sim_verdict v = {.problem = first.code, .problem_off = first.off};

        (void)bad(&v, SIM_FAILURE_CHECK, error, "check before recovery");
        sim_lazy_failed(l, &v, 'c');
    }
}

/* ---- recovery ---- */

static bool start(struct sim_lazy *l, struct sim_lazy_machine *m, struct cbd_backend **backend,
                  struct sim_verdict *v)
{
    const struct sim_config *c = &l->w->config;
    struct cbd_attach_options options = {
        .epoch_records_max = c->epoch_records_max,
        .dirty_start_percent = c->dirty_start_percent,
        .trees = c->trees,
        .space_timeout_ns = c->space_timeout_ns,
        .no_fill = true,
        .identity_places = CBD_IDENTITY_NONE,
    };
    struct cbd_cache *cache;
    const char *where = "open";
    int error = cbd_cache_open(sim_lazy_machine_pmem(m), &m->env, 0, &cache);

    for (uint32_t n = 0; n < c->backends && error == 0; n++) {
        where = "attach";
        error = cbd_backend_attach(cache, n, &m->disk[n].disk, &options, &backend[n]);
    }
    if (error == 0)
        return true;
    if (m->state.errors > 0)
        v->report = m->state.first_error;
    return bad(v, SIM_FAILURE_REFUSED, error, where);
}

void sim_lazy_body_start(void *lazy)
{
    struct sim_lazy_machine *m = lazy;
    struct sim_lazy *l = m->owner;
    struct cbd_backend *backend[SIM_BACKENDS_MAX];
    struct sim_verdict v = {0};

    l->w->pmem->thread = SIM_THREAD_START;
    if (!start(l, m, backend, &v))
        sim_lazy_failed(l, &v, 'r');
}

/* ---- the index of the running process ---- */

static uint64_t extent_hash(uint32_t backend, const struct cbd_extent_view *e)
{
    uint64_t h = (e->addr_bytes + backend) * UINT64_C(0x9e3779b97f4a7c15);

    h = (h ^ h >> 31 ^ e->order) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ h >> 29 ^ e->pmem_off ^ e->len_bytes << 20;
}

static bool same_extent(const struct cbd_extent_view *a, const struct cbd_extent_view *b)
{
    return a->addr_bytes == b->addr_bytes && a->len_bytes == b->len_bytes && a->order == b->order &&
           a->pmem_off == b->pmem_off && a->zero == b->zero;
}

static struct sim_lazy_extent *find_extent(const struct sim_lazy *l, uint32_t backend,
                                           const struct cbd_extent_view *e)
{
    size_t at = extent_hash(backend, e) & (l->table_size - 1);

    if (l->extents_n == 0)
        return NULL;
    for (; l->table[at] != 0; at = (at + 1) & (l->table_size - 1)) {
        struct sim_lazy_extent *x = &l->extents[l->table[at] - 1];

        if (x->backend == backend && same_extent(&x->view, e))
            return x;
    }
    return NULL;
}

struct noting {
    struct sim_lazy *l;
    uint32_t backend;
};

static void note_extent(void *arg, const struct cbd_extent_view *e)
{
    struct noting *n = arg;
    struct sim_lazy *l = n->l;

    l->extents = sim_grow(l->extents, &l->extents_cap, l->extents_n + 1, sizeof(l->extents[0]));
    l->extents[l->extents_n++] = (struct sim_lazy_extent){.view = *e, .backend = n->backend};
}

void sim_lazy_note_index(struct sim_lazy *l)
{
    size_t size = 64;

    l->extents_n = 0;
    for (uint32_t n = 0; n < l->w->config.backends; n++) {
        struct noting noting = {l, n};

        if (l->w->main.backend[n] != NULL)
            cbd_backend_extents(l->w->main.backend[n], note_extent, &noting);
    }
    while (size < l->extents_n * 2)
        size *= 2;
    if (size > l->table_size) {
        free(l->table);
        l->table = sim_zalloc(size, sizeof(l->table[0]));
        l->table_size = size;
    } else {
        memset(l->table, 0, l->table_size * sizeof(l->table[0]));
    }
    for (size_t i = 0; i < l->extents_n; i++) {
        size_t at = extent_hash(l->extents[i].backend, &l->extents[i].view) & (l->table_size - 1);

        while (l->table[at] != 0)
            at = (at + 1) & (l->table_size - 1);
        l->table[at] = (uint32_t)i + 1;
    }
}

void sim_lazy_note_segments(struct sim_lazy *l, struct sim_lazy_level *level)
{
    const struct cbd_geometry *geo = &l->w->geo;
    const struct sim_lazy_mem *m = &level->machine.mem;

    level->segments_n = 0;
    for (size_t i = 0; i < m->cells_n && level->segments_n <= SIM_LAZY_SEGMENTS_MAX; i++) {
        uint64_t off = m->cells[i].cell * CBD_LINE_BYTES;
        uint32_t k = 0;

        if (off < geo->data_off)
            continue;
        off -= (off - geo->data_off) % geo->segment_bytes;
        while (k < level->segments_n && level->segments[k].off != off)
            k++;
        if (k < level->segments_n)
            continue;
        if (level->segments_n == SIM_LAZY_SEGMENTS_MAX) {
            level->segments_n++;
            return;
        }
        level->segments[level->segments_n++].off = off;
    }
}

/* ---- judging ---- */

static bool compare(struct path *p, uint32_t backend, uint64_t first, uint64_t sectors, bool pieces)
{
    const struct sim_oracle *o = p->l->w->oracle[backend];
    uint64_t versions[SIM_ORACLE_ATOMIC_SECTORS_MAX];
    _Alignas(64) uint8_t buf[READ_SECTORS * SECTOR];

    SIM_REQUIRE(sectors <= SIM_ORACLE_ATOMIC_SECTORS_MAX);
    for (uint64_t i = 0, n; i < sectors; i += n) {
        int error;

        n = READ_SECTORS - (first + i) % READ_SECTORS;
        n = n < sectors - i ? n : sectors - i;
        error = cbd_read(p->backend[backend], 0, (first + i) * SECTOR, buf, n * SECTOR);
        if (error != 0) {
            p->v.violation.sector = first + i;
            p->v.backend = backend;
            return bad(&p->v, SIM_FAILURE_READ, error, "read after recovery");
        }
        for (uint64_t k = 0; k < n; k++)
            versions[i + k] = sim_sector_decode(buf + k * SECTOR, first + i + k);
    }
    for (uint64_t i = 0, n; i < sectors; i += n) {
        for (n = 1; i + n < sectors && versions[i + n] == versions[i];)
            n++;
        p->seen = sim_rng_mix(p->seen, versions[i] ^ n << 40 ^ (first + i) << 20);
        if (sim_oracle_check_served(o, first + i, n, versions[i], &p->v.violation) !=
            SIM_ORACLE_OK) {
            p->v.backend = backend;
            return bad(&p->v, SIM_FAILURE_SERVED, 0, "served device");
        }
    }
    p->l->counts->sectors += sectors;
    if (pieces &&
        sim_oracle_check_pieces(o, first, versions, sectors, &p->v.violation) != SIM_ORACLE_OK) {
        p->v.backend = backend;
        return bad(&p->v, SIM_FAILURE_SERVED, 0, "served device, pieces");
    }
    return true;
}

/* Piece by piece, as P2 counts them. */
static bool compare_range(struct path *p, uint32_t backend, uint64_t first, uint64_t sectors,
                          bool pieces)
{
    uint64_t unit = p->l->w->atomic_sectors;

    for (uint64_t i = 0, n; i < sectors; i += n) {
        n = unit - (first + i) % unit;
        n = n < sectors - i ? n : sectors - i;
        if (!compare(p, backend, first + i, n, pieces))
            return false;
    }
    return true;
}

static bool compare_open(struct path *p, uint32_t backend, uint64_t first, uint64_t sectors)
{
    if (sectors <= RANGE_SECTORS_MAX)
        return compare_range(p, backend, first, sectors, true);
    for (uint64_t i = 0; i <= WINDOWS; i++) {
        uint64_t at = (sectors - WINDOW_SECTORS) / WINDOWS * i;

        if (i == WINDOWS)
            at = sectors - WINDOW_SECTORS;
        if (!compare_range(p, backend, first + at, WINDOW_SECTORS, false))
            return false;
    }
    return true;
}

static bool judge_open(struct path *p)
{
    struct sim_world *w = p->l->w;

    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_range range;

        for (size_t cursor = 0; sim_oracle_open_next(w->oracle[n], &cursor, &range);)
            if (range.op != SIM_ORACLE_OP_FLUSH &&
                !compare_open(p, n, range.start_sector, range.sectors))
                return false;
    }
    return true;
}

/* Whether cells that were pending lie in the payload of an extent, or before it in its segment. */
static void reach(struct sim_lazy *l, struct sim_lazy_level *level, const struct cbd_extent_view *e)
{
    const struct cbd_geometry *geo = &l->w->geo;
    uint64_t end = e->pmem_off + e->len_bytes;

    for (uint32_t i = 0; i < level->segments_n && i < SIM_LAZY_SEGMENTS_MAX; i++) {
        struct sim_lazy_segment *s = &level->segments[i];

        if (e->pmem_off >= s->off && e->pmem_off < s->off + geo->segment_bytes && end > s->reach)
            s->reach = end;
    }
}

/* One walk over the recovered index: the key of N2, and what is not as it was. */
struct walk {
    struct path *p;
    uint32_t backend;
    bool ok;
};

static bool was_pending(const struct sim_lazy_mem *m, const struct cbd_extent_view *e)
{
    uint64_t first = e->pmem_off / CBD_LINE_BYTES;
    uint64_t last = (e->pmem_off + e->len_bytes - 1) / CBD_LINE_BYTES;

    if (e->zero || !sim_lazy_mem_near(m, first, last))
        return false;
    for (uint64_t c = first; c <= last; c++)
        if (sim_lazy_mem_cell(m, c) != NULL)
            return true;
    return false;
}

static void key_extent(void *arg, const struct cbd_extent_view *e)
{
    struct walk *walk = arg;
    struct path *p = walk->p;
    struct sim_lazy_machine *m = &p->level->machine;
    struct sim_lazy_extent *x = find_extent(p->l, walk->backend, e);

    m->state.trace =
        (m->state.trace ^ extent_hash(walk->backend, e)) * UINT64_C(0x9e3779b97f4a7c15);
    if (!e->zero)
        reach(p->l, p->level, e);
    if (x != NULL)
        x->seen = p->number;
    if (x != NULL && !was_pending(&m->mem, e))
        return;
    if (p->differing_n < DIFFERING_MAX)
        p->differing[p->differing_n] = (struct differing){walk->backend, *e};
    p->differing_n++;
}

static uint64_t hash_line(uint64_t h, const uint8_t *line)
{
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++) {
        uint64_t word;

        memcpy(&word, line + w * sizeof(word), sizeof(word));
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static uint64_t key_of(struct sim_lazy *l, struct sim_lazy_level *level)
{
    const struct sim_lazy_mem *m = &level->machine.mem;
    uint64_t key = sim_rng_mix(level->machine.state.trace, level->machine.state.errors);

    for (size_t i = 0; i < m->cells_n; i++) {
        const struct sim_lazy_cell *c = &m->cells[i];
        uint64_t off = c->cell * CBD_LINE_BYTES;
        bool counts = level->segments_n > SIM_LAZY_SEGMENTS_MAX;

        if (off < l->w->geo.data_off && c->mask == 0) {
            /* Tables: as they are, behind the repairs. */
            key = hash_line(sim_rng_mix(key, off), level->machine.real->buf + off);
            continue;
        }
        for (uint32_t k = 0; k < level->segments_n && k < SIM_LAZY_SEGMENTS_MAX; k++)
            counts |= off >= level->segments[k].off && off < level->segments[k].reach;
        if (!counts)
            continue;
        key = sim_rng_mix(key, off ^ c->mask);
        for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
            if (!(c->mask & (1u << w)))
                key = sim_rng_mix(key, c->words[w]);
    }
    return key != 0 ? key : 1;
}

static bool new_key(struct sim_lazy_level *level, uint64_t key)
{
    for (size_t i = 0; i < level->keys_n; i++)
        if (level->keys[i] == key)
            return false;
    level->keys = sim_grow(level->keys, &level->keys_cap, level->keys_n + 1, sizeof(uint64_t));
    level->keys[level->keys_n++] = key;
    return true;
}

static void keep_trail(struct sim_lazy_level *level)
{
    const struct sim_lazy_walk *walk = &level->machine.walk;
    struct sim_lazy_trail t = {(uint32_t)level->taken_n, (uint32_t)walk->steps_n};

    level->taken =
        sim_grow(level->taken, &level->taken_cap, level->taken_n + t.n, sizeof(uint32_t));
    for (uint32_t i = 0; i < t.n; i++)
        level->taken[level->taken_n++] = walk->steps[i].taken;
    level->trails =
        sim_grow(level->trails, &level->trails_cap, level->trails_n + 1, sizeof(level->trails[0]));
    level->trails[level->trails_n++] = t;
}

/* What is not as it was is read through the cache. */
static bool judge_one_extent(struct path *p, uint32_t backend, const struct cbd_extent_view *e)
{
    if (!e->zero)
        return compare_range(p, backend, e->addr_bytes / SECTOR, e->len_bytes / SECTOR, false);
    if (sim_oracle_check_served(p->l->w->oracle[backend], e->addr_bytes / SECTOR,
                                e->len_bytes / SECTOR, SIM_ORACLE_ZERO,
                                &p->v.violation) == SIM_ORACLE_OK)
        return true;
    p->v.backend = backend;
    return bad(&p->v, SIM_FAILURE_SERVED, 0, "extent in the index");
}

static void judge_extent(void *arg, const struct cbd_extent_view *e)
{
    struct walk *walk = arg;
    struct path *p = walk->p;

    if (walk->ok &&
        (find_extent(p->l, walk->backend, e) == NULL || was_pending(&p->level->machine.mem, e)))
        walk->ok = judge_one_extent(p, walk->backend, e);
}

/* N4: what the index holds besides what each path reads. */
static void sweep_extent(void *arg, const struct cbd_extent_view *e)
{
    struct walk *d = arg;
    const struct sim_lazy_machine *m = &d->p->level->machine;
    const struct sim_oracle *o = d->p->l->w->oracle[d->backend];
    uint64_t first = e->addr_bytes / SECTOR, sectors = e->len_bytes / SECTOR;

    d->p->l->counts->sectors += sectors;
    for (uint64_t i = 0, n; i < sectors && !e->zero && d->ok; i += n) {
        const uint8_t *at = m->real->buf + e->pmem_off + i * SECTOR;
        uint64_t version = sim_sector_decode_fast(at, first + i);

        for (n = 1;
             i + n < sectors && sim_sector_decode_fast(at + n * SECTOR, first + i + n) == version;)
            n++;
        d->ok =
            sim_oracle_check_served(o, first + i, n, version, &d->p->v.violation) == SIM_ORACLE_OK;
    }
    if (!d->ok) {
        d->p->v.backend = d->backend;
        (void)bad(&d->p->v, SIM_FAILURE_SERVED, 0, "extent in the index");
    }
}

static bool judge_index(struct path *p)
{
    struct sim_lazy *l = p->l;

    for (uint32_t i = 0; i < p->differing_n && p->differing_n <= DIFFERING_MAX; i++)
        if (!judge_one_extent(p, p->differing[i].backend, &p->differing[i].view))
            return false;
    for (uint32_t n = 0; n < l->w->config.backends; n++) {
        struct walk d = {p, n, true};

        if (p->differing_n > DIFFERING_MAX)
            cbd_backend_extents(p->backend[n], judge_extent, &d);
        if (d.ok && p->level->path == 0 && l->level == 0 && l->cut_number % SWEEP == 0)
            cbd_backend_extents(p->backend[n], sweep_extent, &d);
        if (!d.ok)
            return false;
    }
    return true;
}

/* What the running process had in its cache and this one has not, or elsewhere. */
static bool judge_missing(struct path *p)
{
    struct sim_lazy *l = p->l;

    for (size_t i = 0; i < l->extents_n; i++) {
        const struct sim_lazy_extent *x = &l->extents[i];

        if (x->seen != p->number && !x->view.zero &&
            !compare_range(p, x->backend, x->view.addr_bytes / SECTOR, x->view.len_bytes / SECTOR,
                           false))
            return false;
    }
    return true;
}

void sim_lazy_body_recover(void *lazy)
{
    struct sim_lazy_machine *m = lazy;
    struct sim_lazy *l = m->owner;
    struct path p = {.l = l, .level = &l->at[l->level]};
    bool ok = start(l, m, p.backend, &p.v);

    if (ok) {
        p.number = ++l->path_number;
        for (uint32_t i = 0; i < p.level->segments_n && i < SIM_LAZY_SEGMENTS_MAX; i++)
            p.level->segments[i].reach = 0;
        for (uint32_t n = 0; n < l->w->config.backends; n++) {
            struct walk walk = {&p, n, true};

            cbd_backend_extents(p.backend[n], key_extent, &walk);
        }
        p.key = key_of(l, p.level);
        p.level->merged = !new_key(p.level, p.key);
        if (!p.level->merged && l->level + 1 < l->options.depth)
            keep_trail(p.level);
        if (p.level->merged && !l->options.no_merge)
            return;
        ok = judge_open(&p);
        p.open_seen = p.seen;
        ok = ok && judge_index(&p) && judge_missing(&p);
    }
    p.level->merged = false;
    l->cut_hash = sim_rng_mix(l->cut_hash, p.seen);
    if (!ok)
        sim_lazy_failed(l, &p.v, 'r');
    else if (l->on_path != NULL)
        l->on_path(l->on_path_arg, p.open_seen, l->level);
}
