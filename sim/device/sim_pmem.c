/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated persistent memory: the operations of the pmem seam, crashes and checkpoints. */
#include "sim_pmem.h"

#include <string.h>
#include <sys/mman.h>

#include "sim_base.h"

#define PAGE_BYTES 4096u
#define MIXED_LOOK_BACK 32u
#define SECTOR_LINES_SHIFT 3 /* 512-byte sectors of 64-byte lines */

static struct sim_pmem *of(struct cbd_pmem *pm)
{
    return (struct sim_pmem *)pm;
}

/* Bit w: word w of the line is touched by bytes [from, from + len) of it. */
static uint8_t word_mask(unsigned from, unsigned len_bytes)
{
    unsigned first = from / CBD_WORD_BYTES;
    unsigned end = (from + len_bytes + CBD_WORD_BYTES - 1) / CBD_WORD_BYTES;
    return (uint8_t)((1u << end) - (1u << first));
}

/* The hook comes first: until it returned nothing has happened. */
static void begin(struct sim_pmem *pm, enum sim_pm_kind kind, enum cbd_step step, uint64_t off,
                  uint64_t len_bytes)
{
    SIM_REQUIRE(off <= pm->pm.size_bytes && len_bytes <= pm->pm.size_bytes - off);
    SIM_REQUIRE(pm->thread < SIM_PEND_THREADS && (unsigned)step < CBD_STEP_COUNT);
    if (pm->hook != NULL || pm->pause != NULL) {
        struct sim_pm_event ev = {pm->ops_done, kind, step, off, len_bytes};
        if (pm->pause != NULL && pm->pause(pm->pause_arg, &ev))
            ; /* the hook has been called */
        else if (pm->hook != NULL)
            pm->hook(pm->hook_arg, &ev);
    }
    pm->ops_done++;
    pm->counts.by_kind[kind]++;
    pm->counts.by_step[step]++;
    sim_marks_own_pend(&pm->marks);
}

static bool dropped(const struct sim_pmem *pm, enum cbd_step step)
{
    return step != CBD_STEP_NONE && step == pm->drop_step;
}

static void log_line(struct sim_pmem *pm, uint64_t line)
{
    if (!sim_marks_wants(&pm->marks, pm->stamps[line]))
        return;
    uint64_t old[SIM_PEND_WORDS];
    memcpy(old, pm->buf + line * CBD_LINE_BYTES, sizeof old);
    sim_marks_log(&pm->marks, line, &pm->stamps[line], 0, old);
}

/* Before and after a line changes. */
static void hash_line(struct sim_pmem *pm, uint64_t line)
{
    uint64_t words[SIM_PEND_WORDS];

    if (!pm->hashed)
        return;
    memcpy(words, pm->buf + line * CBD_LINE_BYTES, sizeof words);
    pm->content_hash ^= sim_marks_hash(line, words);
}

/*
 * Pending stores of the other kind to this line, whose thread has not fenced since: a violation. So
 * are non-temporal stores of another thread to the same words: its buffers may be written later.
 * Looks at the newest ones only: where flushes are left out, a hot line can have a million.
 */
static void check_mixed(struct sim_pmem *pm, uint32_t group, uint64_t line, uint8_t mask,
                        uint8_t flags, enum cbd_step step)
{
    const struct sim_pend *p = &pm->marks.pend;
    uint32_t s = p->groups[group].last;
    for (unsigned n = 0; n < MIXED_LOOK_BACK && s != SIM_PEND_NIL; n++, s = p->stores[s].prev) {
        const struct sim_pend_store *e = &p->stores[s];
        bool kinds = ((e->flags ^ flags) & SIM_PEND_DECLARED_NT) != 0;
        bool foreign = (e->flags & flags & SIM_PEND_DECLARED_NT) != 0 && (e->mask & mask) != 0 &&
                       e->thread != pm->thread && pm->model != SIM_PAGE;
        if (e->cell != line || !(kinds || foreign) || pm->counts.fences[e->thread] != e->fence_seq)
            continue;
        struct sim_pm_mixed *mixed = &pm->counts.mixed;
        if (mixed->count++ == 0) {
            mixed->number = pm->ops_done - 1;
            mixed->line_off = line * CBD_LINE_BYTES;
            mixed->step_before = (enum cbd_step)e->step;
            mixed->step = step;
        }
        return;
    }
}

/* Enters a store to words of one line into the pending set, before the buffer changes. */
static void note_store(struct sim_pmem *pm, uint64_t line, uint8_t mask, uint8_t flags,
                       enum cbd_step step)
{
    struct sim_pend *p = &pm->marks.pend;
    uint32_t group = sim_pend_find(p, line);
    if (group != SIM_PEND_NIL)
        check_mixed(pm, group, line, mask, flags, step);
    if (pm->model == SIM_EADR && !(flags & SIM_PEND_NT)) {
        sim_pend_settle_words(p, line, mask);
        return;
    }
    uint64_t old[SIM_PEND_WORDS];
    memcpy(old, pm->buf + line * CBD_LINE_BYTES, sizeof old);
    struct sim_pend_new store = {
        .cell = line,
        .op = pm->ops_done,
        .fence_seq = pm->counts.fences[pm->thread],
        .old = old,
        .step = (uint16_t)step,
        .mask = mask,
        .flags = flags,
        .thread = (uint8_t)pm->thread,
    };
    uint32_t slot = sim_pend_add(p, &store);
    if (pm->model != SIM_PAGE && (flags & SIM_PEND_NT))
        sim_pend_queue_ready(p, store.thread, slot, store.op);
}

/* Page model: the fence will sync these pages. */
static void mark_pages(struct sim_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    struct sim_pend_queue *q = &pm->marks.pend.ready[pm->thread];
    uint64_t first = off / PAGE_BYTES;
    uint64_t last = (off + len_bytes - 1) / PAGE_BYTES;
    if (q->count > 0 && q->items[q->count - 1].a <= first && q->items[q->count - 1].b >= last)
        return;
    sim_pend_queue_ready(&pm->marks.pend, (uint8_t)pm->thread, first, last);
}

/* Copy (src != NULL) or set. */
static void put(struct sim_pmem *pm, uint64_t off, const uint8_t *src, uint8_t value,
                size_t len_bytes, uint8_t flags, enum cbd_step step)
{
    if (pm->model == SIM_PAGE && (flags & SIM_PEND_NT) && len_bytes > 0)
        mark_pages(pm, off, len_bytes);
    if (pm->access != NULL && len_bytes > 0)
        pm->access(pm->access_arg, off, len_bytes, true);
    while (len_bytes > 0) {
        uint64_t line = off / CBD_LINE_BYTES;
        unsigned from = (unsigned)(off % CBD_LINE_BYTES);
        unsigned piece = CBD_LINE_BYTES - from;
        if (piece > len_bytes)
            piece = (unsigned)len_bytes;
        note_store(pm, line, word_mask(from, piece), flags, step);
        log_line(pm, line);
        hash_line(pm, line);
        if (src != NULL) {
            memcpy(pm->buf + off, src, piece);
            src += piece;
        } else {
            memset(pm->buf + off, value, piece);
        }
        hash_line(pm, line);
        off += piece;
        len_bytes -= piece;
    }
}

static uint8_t store_flags(const struct sim_pmem *pm, unsigned flags, enum cbd_step step)
{
    if (!(flags & CBD_PMEM_NT))
        return 0;
    return dropped(pm, step) ? SIM_PEND_DECLARED_NT : SIM_PEND_DECLARED_NT | SIM_PEND_NT;
}

static void op_store64(struct cbd_pmem *base, uint64_t off, uint64_t value, enum cbd_step step)
{
    struct sim_pmem *pm = of(base);
    SIM_REQUIRE(off % CBD_WORD_BYTES == 0);
    begin(pm, SIM_PM_STORE64, step, off, sizeof value);
    put(pm, off, (const uint8_t *)&value, 0, sizeof value, SIM_PEND_ORDERED, step);
}

static void op_copy(struct cbd_pmem *base, uint64_t off, const void *src, size_t len_bytes,
                    unsigned flags, enum cbd_step step)
{
    struct sim_pmem *pm = of(base);
    begin(pm, SIM_PM_COPY, step, off, len_bytes);
    put(pm, off, src, 0, len_bytes, store_flags(pm, flags, step), step);
}

static void op_set(struct cbd_pmem *base, uint64_t off, uint8_t value, size_t len_bytes,
                   unsigned flags, enum cbd_step step)
{
    struct sim_pmem *pm = of(base);
    begin(pm, SIM_PM_SET, step, off, len_bytes);
    put(pm, off, NULL, value, len_bytes, store_flags(pm, flags, step), step);
}

/* The write-back of a line takes along all cached stores that are in it. */
static void flush_group(struct sim_pmem *pm, uint32_t group)
{
    struct sim_pend *p = &pm->marks.pend;
    uint64_t bit = UINT64_C(1) << pm->thread;
    for (uint32_t s = p->groups[group].first; s != SIM_PEND_NIL; s = p->stores[s].next) {
        struct sim_pend_store *e = &p->stores[s];
        if ((e->flags & SIM_PEND_NT) || (e->flushers & bit))
            continue;
        e->flushers |= bit;
        sim_pend_queue_ready(p, (uint8_t)pm->thread, s, e->op);
    }
}

static void op_flush(struct cbd_pmem *base, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    struct sim_pmem *pm = of(base);
    begin(pm, SIM_PM_FLUSH, step, off, len_bytes);
    if (dropped(pm, step) || len_bytes == 0)
        return;
    if (pm->model == SIM_PAGE) {
        mark_pages(pm, off, len_bytes);
        return;
    }
    struct sim_pend *p = &pm->marks.pend;
    uint64_t first = off / CBD_LINE_BYTES;
    uint64_t last = (off + len_bytes - 1) / CBD_LINE_BYTES;
    if (last - first < p->group_count) {
        for (uint64_t line = first; line <= last; line++) {
            uint32_t g = sim_pend_find(p, line);
            if (g != SIM_PEND_NIL)
                flush_group(pm, g);
        }
        return;
    }
    for (uint32_t g = p->group_first; g != SIM_PEND_NIL; g = p->groups[g].next) {
        if (p->groups[g].key >= first && p->groups[g].key <= last)
            flush_group(pm, g);
    }
}

/* Page model: the sectors of pages first..last are on the medium. */
static void sync_pages(struct sim_pend *p, uint64_t first_page, uint64_t last_page)
{
    const unsigned sectors = PAGE_BYTES / (CBD_LINE_BYTES << SECTOR_LINES_SHIFT);
    uint64_t first = first_page * sectors;
    uint64_t end = (last_page + 1) * sectors;
    if (end - first <= p->group_count) {
        for (uint64_t sector = first; sector < end; sector++) {
            uint32_t g = sim_pend_find(p, sector << SECTOR_LINES_SHIFT);
            if (g != SIM_PEND_NIL)
                sim_pend_settle_group(p, g);
        }
        return;
    }
    for (uint32_t g = p->group_first, next; g != SIM_PEND_NIL; g = next) {
        next = p->groups[g].next;
        if (p->groups[g].key >= first && p->groups[g].key < end)
            sim_pend_settle_group(p, g);
    }
}

static int op_fence(struct cbd_pmem *base, enum cbd_step step)
{
    struct sim_pmem *pm = of(base);
    begin(pm, SIM_PM_FENCE, step, 0, 0);
    /* A dropped fence still counts as one here: what it would break is found by crashing. */
    pm->counts.fences[pm->thread]++;
    if (dropped(pm, step))
        return 0;
    if (pm->fail_fences > 0) {
        pm->fail_fences--;
        return CBD_E_IO;
    }
    struct sim_pend *p = &pm->marks.pend;
    struct sim_pend_queue *q = &p->ready[pm->thread];
    for (size_t i = 0; i < q->count; i++) {
        if (pm->model == SIM_PAGE)
            sync_pages(p, q->items[i].a, q->items[i].b);
        else if (sim_pend_holds(p, q->items[i].a, q->items[i].b))
            sim_pend_settle(p, (uint32_t)q->items[i].a);
    }
    q->count = 0;
    return 0;
}

static int op_read(struct cbd_pmem *base, uint64_t off, void *dst, size_t len_bytes)
{
    struct sim_pmem *pm = of(base);
    if (pm->pause_load != NULL)
        pm->pause_load(pm->pause_arg);
    if (off > pm->pm.size_bytes || len_bytes > pm->pm.size_bytes - off)
        return CBD_E_RANGE;
    if (len_bytes == 0)
        return 0;
    if (sim_ranges_hit(&pm->poison, off, off + len_bytes))
        return CBD_E_MEDIA;
    if (pm->access != NULL)
        pm->access(pm->access_arg, off, len_bytes, false);
    memcpy(dst, pm->buf + off, len_bytes);
    return 0;
}

static int op_read_array(struct cbd_pmem *base, uint64_t off, void *dst, size_t object_bytes,
                         size_t count)
{
    struct sim_pmem *pm = of(base);
    size_t len_bytes = object_bytes * count;
    if (off > pm->pm.size_bytes || len_bytes > pm->pm.size_bytes - off)
        return CBD_E_RANGE;
    if (len_bytes == 0)
        return 0;
    if (sim_ranges_hit(&pm->poison, off, off + len_bytes))
        return CBD_E_MEDIA;
    for (size_t i = 0; pm->access != NULL && i < count; i++)
        pm->access(pm->access_arg, off + i * object_bytes, object_bytes, false);
    memcpy(dst, pm->buf + off, len_bytes);
    return 0;
}

static const struct cbd_pmem_ops pmem_ops = {
    .store64 = op_store64,
    .copy = op_copy,
    .set = op_set,
    .flush = op_flush,
    .fence = op_fence,
    .read = op_read,
    .read_array = op_read_array,
};

struct sim_pmem *sim_pmem_create(uint64_t size_bytes, enum sim_model model)
{
    static const uint32_t granularity[] = {
        [SIM_ADR] = CBD_LINE_BYTES, [SIM_EADR] = CBD_WORD_BYTES, [SIM_PAGE] = PAGE_BYTES};
    SIM_REQUIRE(size_bytes > 0 && size_bytes % PAGE_BYTES == 0 && size_bytes <= SIZE_MAX / 2);
    struct sim_pmem *pm = sim_zalloc(1, sizeof *pm);
    /* Zero pages of the system: only what is touched takes memory. */
    pm->buf = mmap(NULL, (size_t)size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SIM_REQUIRE(pm->buf != MAP_FAILED);
    pm->stamps = sim_zalloc((size_t)(size_bytes / CBD_LINE_BYTES), 1);
    pm->pm.ops = &pmem_ops;
    pm->pm.base = pm->buf;
    pm->pm.size_bytes = size_bytes;
    pm->pm.granularity_bytes = granularity[model];
    pm->model = model;
    pm->drop_step = CBD_STEP_NONE;
    sim_marks_init(&pm->marks, model == SIM_PAGE ? SECTOR_LINES_SHIFT : 0);
    return pm;
}

void sim_pmem_destroy(struct sim_pmem *pm)
{
    if (pm == NULL)
        return;
    munmap(pm->buf, (size_t)pm->pm.size_bytes);
    for (unsigned i = 0; i < SIM_MARKS_DEPTH_MAX; i++)
        sim_ranges_free(&pm->level[i].poison);
    sim_ranges_free(&pm->poison);
    sim_marks_free(&pm->marks);
    free(pm->stamps);
    free(pm);
}

static void view_load(void *arg, uint64_t line, uint64_t words[SIM_PEND_WORDS])
{
    struct sim_pmem *pm = arg;
    memcpy(words, pm->buf + line * CBD_LINE_BYTES, CBD_LINE_BYTES);
}

static void view_store(void *arg, uint64_t line, const uint64_t words[SIM_PEND_WORDS])
{
    struct sim_pmem *pm = arg;
    log_line(pm, line);
    hash_line(pm, line);
    memcpy(pm->buf + line * CBD_LINE_BYTES, words, CBD_LINE_BYTES);
    hash_line(pm, line);
}

struct sim_pend_view sim_pmem_view(struct sim_pmem *pm)
{
    return (struct sim_pend_view){view_load, view_store, pm, pm->model == SIM_PAGE};
}

void sim_pmem_crash(struct sim_pmem *pm, const struct sim_crash *crash)
{
    struct sim_pend_view view = sim_pmem_view(pm);
    sim_pend_crash(&pm->marks.pend, &view, crash);
    sim_marks_drop_pend(&pm->marks);
}

size_t sim_pmem_pending_units(const struct sim_pmem *pm, uint64_t *choices, size_t cap)
{
    return sim_pend_units(&pm->marks.pend, pm->model == SIM_PAGE, choices, cap);
}

size_t sim_pmem_pending_list(const struct sim_pmem *pm, struct sim_pend_unit *units, size_t cap)
{
    return sim_pend_list(&pm->marks.pend, pm->model == SIM_PAGE, units, cap);
}

void sim_pmem_crash_bits(struct sim_pmem *pm, const uint64_t *choice_per_unit)
{
    struct sim_pend_view view = sim_pmem_view(pm);
    sim_pend_crash_choices(&pm->marks.pend, &view, choice_per_unit);
    sim_marks_drop_pend(&pm->marks);
}

void sim_pmem_mark(struct sim_pmem *pm)
{
    sim_marks_push(&pm->marks);
    struct sim_pm_level *level = &pm->level[pm->marks.depth - 1];
    level->ops_done = pm->ops_done;
    level->thread = pm->thread;
    level->fail_fences = pm->fail_fences;
    level->content_hash = pm->content_hash;
    level->counts = pm->counts;
    sim_ranges_copy(&level->poison, &pm->poison);
}

static void undo_line(void *arg, const struct sim_undo *u)
{
    struct sim_pmem *pm = arg;
    memcpy(pm->buf + u->cell * CBD_LINE_BYTES, u->old, CBD_LINE_BYTES);
    pm->stamps[u->cell] = u->stamp;
}

void sim_pmem_rollback(struct sim_pmem *pm)
{
    sim_marks_pop(&pm->marks, undo_line, pm);
    const struct sim_pm_level *level = &pm->level[pm->marks.depth];
    pm->ops_done = level->ops_done;
    pm->thread = level->thread;
    pm->fail_fences = level->fail_fences;
    pm->content_hash = level->content_hash;
    pm->counts = level->counts;
    sim_ranges_copy(&pm->poison, &level->poison);
}

void sim_pmem_poke(struct sim_pmem *pm, uint64_t off, const void *src, size_t len_bytes)
{
    SIM_REQUIRE(off <= pm->pm.size_bytes && len_bytes <= pm->pm.size_bytes - off);
    const uint8_t *from = src;
    sim_marks_own_pend(&pm->marks);
    while (len_bytes > 0) {
        uint64_t line = off / CBD_LINE_BYTES;
        unsigned at = (unsigned)(off % CBD_LINE_BYTES);
        unsigned piece = CBD_LINE_BYTES - at;
        if (piece > len_bytes)
            piece = (unsigned)len_bytes;
        sim_pend_settle_words(&pm->marks.pend, line, word_mask(at, piece));
        log_line(pm, line);
        hash_line(pm, line);
        memcpy(pm->buf + off, from, piece);
        hash_line(pm, line);
        from += piece;
        off += piece;
        len_bytes -= piece;
    }
}

void sim_pmem_decide(struct sim_pmem *pm, uint64_t line, uint8_t mask,
                     const uint64_t words[SIM_PEND_WORDS])
{
    uint8_t *at = pm->buf + line * CBD_LINE_BYTES;

    log_line(pm, line);
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
        if (mask & (1u << w))
            memcpy(at + w * CBD_WORD_BYTES, &words[w], CBD_WORD_BYTES);
}

void sim_pmem_poison(struct sim_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    SIM_REQUIRE(off <= pm->pm.size_bytes && len_bytes <= pm->pm.size_bytes - off);
    sim_ranges_add(&pm->poison, off, off + len_bytes);
}

void sim_pmem_poison_clear(struct sim_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    SIM_REQUIRE(off <= pm->pm.size_bytes && len_bytes <= pm->pm.size_bytes - off);
    sim_ranges_remove(&pm->poison, off, off + len_bytes);
}
