/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scrub: verifies what the index shows, tree by tree and by address, before anybody needs it.
 *
 *   good ------------------------------------------> the next piece
 *   damaged and clean --> read from the disk, stored again as a fill --> the next piece
 *   damaged and dirty --> reported with its range, left as it is ------> the next piece
 *
 * U1  scrub is a reader (G1): it announces itself before it looks into the index, and its piece is
 *     verified, and told clean or dirty, before it retires. No lock is held meanwhile, and a piece
 *     is 64 KiB at most: so long a reclaim may wait for it;
 * U2  only what is clean is replaced, by what the disk has, and under an order that is taken while
 *     the index still shows the damaged extent: a write that comes meanwhile has a higher one (G2);
 * U3  what is dirty is not touched: no copy of it is better, and write-back holds its epoch (W7).
 */
#include "engine.h"

#define PIECE_BYTES (64u << 10)
#define STEP_BYTES (256u << 10)
#define LOOKS_MAX 2048u /* into the index in one step: more than there are trees */
#define NS_PER_S UINT64_C(1000000000)
#define BURST_NS (NS_PER_S / 8) /* time that was not used counts for so long */
#define PASS_NS NS_PER_S        /* from the begin of a pass to that of the next */

/* A part of one extent of data. */
struct piece {
    struct cbd_extent e;
    uint64_t addr;
    uint64_t skip; /* bytes from the start of the extent */
    uint64_t len;
};

void cbd_scrub_destroy(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    if (b->scrub.buf != NULL)
        env->ops->free(env, b->scrub.buf, PIECE_BYTES);
    b->scrub.buf = NULL;
}

uint64_t cbd_backend_scrub_due_ns(const struct cbd_backend *b)
{
    return atomic_load(&b->scrub.due_ns);
}

/* Whether what was verified is paid for by time, and a pass is under way or may begin. */
static bool may_run(struct cbd_scrub *s, uint64_t rate, uint64_t now)
{
    uint64_t paid_at = s->since_ns + s->debt_bytes * NS_PER_S / rate;
    uint64_t at = s->running || s->pass_at_ns < paid_at ? paid_at : s->pass_at_ns;

    if (now < at) {
        atomic_store(&s->due_ns, at);
        return false;
    }
    s->since_ns = now - paid_at < BURST_NS ? paid_at : now;
    s->debt_bytes = 0;
    if (!s->running) {
        s->running = true;
        s->tree = 0;
        s->pos = 0;
        s->pass_at_ns = now + PASS_NS;
    }
    return true;
}

static uint64_t device_addr(const struct cbd_backend *b, uint32_t tree, uint64_t pos)
{
    return ((pos / CBD_REGION_SECTORS << b->tree_bits) + tree) * CBD_REGION_BYTES +
           pos % CBD_REGION_SECTORS * CBD_SECTOR_BYTES;
}

/* What the index shows at the position, or behind it. False: a zero, nothing, the end of a tree. */
static bool look(struct cbd_backend *b, struct piece *p)
{
    struct cbd_scrub *s = &b->scrub;
    struct cbd_index_tree *t = &b->trees[s->tree];
    uint64_t end;
    bool found;

    cbd_lock_take(b->cache->env, &t->lock);
    found = cbd_tree_find(&t->tree, s->pos, &p->e);
    cbd_lock_drop(&t->lock);
    if (!found) {
        s->tree++;
        s->pos = 0;
        return false;
    }
    if (p->e.kind != CBD_EXTENT_DATA) {
        s->pos = p->e.start + p->e.len;
        return false;
    }
    if (s->pos < p->e.start)
        s->pos = p->e.start;
    p->addr = device_addr(b, s->tree, s->pos);
    p->skip = (s->pos - p->e.start) * CBD_SECTOR_BYTES;
    p->len = p->e.len * CBD_SECTOR_BYTES - p->skip;
    /* Ends with a block, so that each block is verified, and reported, once. */
    end = (p->addr + PIECE_BYTES) / CBD_BLOCK_BYTES * CBD_BLOCK_BYTES;
    p->len = cbd_min64(p->len, end - p->addr);
    return true;
}

static void heal(struct cbd_backend *b, const struct piece *p, const struct cbd_bad *bad, int error)
{
    struct cbd_stats *stats = &b->scrub.stats;
    struct cbd_healed healed;
    int disk_error = cbd_heal(b, CBD_LANE_SCRUB, p->addr + bad->skip, bad->len, &p->e, b->scrub.buf,
                              &healed); /* U2 */

    cbd_count(&stats->scrub_healed_bytes, healed.stored);
    cbd_count(&stats->scrub_left_bytes, healed.left);
    cbd_report(b->cache->env, CBD_WARNING, disk_error != 0 ? disk_error : error, "data",
               disk_error != 0    ? "is damaged, and the disk cannot read what it has"
               : healed.left != 0 ? "is damaged; the disk has it, there is no room to store it"
                                  : "was damaged; replaced by what the disk has",
               b->id, p->e.loc * CBD_LINE_BYTES + p->skip + bad->skip, p->addr + bad->skip,
               bad->len);
}

static void report_dirty(struct cbd_backend *b, const struct piece *p, const struct cbd_bad *bad,
                         int error)
{
    cbd_count(&b->scrub.stats.scrub_damaged_bytes, bad->len);
    cbd_report(b->cache->env, CBD_ERROR, error, "data", "is damaged, and it is dirty", b->id,
               p->e.loc * CBD_LINE_BYTES + p->skip + bad->skip, p->addr + bad->skip, bad->len);
}

/* Verifies what is next, up to the first damage. How many bytes that was. */
static uint64_t verify(struct cbd_backend *b)
{
    struct cbd_bad bad = {0};
    bool clean = false;
    uint64_t len = 0;
    struct piece p;
    int error = 0;

    cbd_reader_begin(b, CBD_LANE_SCRUB); /* U1 */
    if (look(b, &p)) {
        error = cbd_extent_read(b->cache, &p.e, p.skip, p.len, b->scrub.buf, &bad);
        len = error == 0 ? p.len : bad.skip + bad.len;
        clean = error != 0 && (cbd_extent_clean(b, &p.e) || CBD_CANARY(SCRUB_HEALS_DIRTY)) &&
                !CBD_CANARY(SCRUB_LEAVES_CLEAN);
    }
    cbd_reader_end(b, CBD_LANE_SCRUB);
    if (clean)
        heal(b, &p, &bad, error);
    else if (error != 0)
        report_dirty(b, &p, &bad, error); /* U3 */
    b->scrub.pos += len / CBD_SECTOR_BYTES;
    return len;
}

static void note_position(struct cbd_backend *b)
{
    struct cbd_scrub *s = &b->scrub;
    uint64_t span = b->size_bytes >> b->tree_bits;

    cbd_count_set(&s->stats.scrub_position_bytes,
                  s->running ? s->tree * span + cbd_min64(s->pos * CBD_SECTOR_BYTES, span) : 0);
}

int cbd_scrub_step(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;
    struct cbd_scrub *s = &b->scrub;
    uint64_t rate = atomic_load(&b->tuned.scrub_rate_bytes);
    int error = atomic_load(&b->failed);

    atomic_store(&s->due_ns, UINT64_MAX);
    if (rate == 0 || error != 0)
        return rate == 0 ? 0 : error;
    if (s->buf == NULL)
        s->buf = env->ops->alloc(env, PIECE_BYTES);
    if (s->buf == NULL)
        return CBD_E_NOMEM;
    if (!may_run(s, rate, env->ops->now_ns(env)))
        return 0;
    for (uint32_t looks = 0; looks < LOOKS_MAX && s->debt_bytes < STEP_BYTES && s->running;
         looks++) {
        s->debt_bytes += verify(b);
        s->running = s->tree < 1u << b->tree_bits;
    }
    cbd_count(&s->stats.scrub_bytes, s->debt_bytes);
    cbd_count(&s->stats.scrub_passes, !s->running);
    note_position(b);
    if (s->debt_bytes != 0 || s->running)
        return 1;
    atomic_store(&s->due_ns, s->pass_at_ns);
    return 0;
}
