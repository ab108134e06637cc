/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write-back: one epoch at a time, oldest first, to the backing device. When it begins is decided
 * in wb_policy.c; wb_collect.c and wb_submit.c read records and make requests of them.
 *
 *           nothing dirty                    all submitted and completed
 *            +------+   start_pass            |
 *   step --> | IDLE | ------------> WRITE ----+----> FLUSH -------> COMMIT --> IDLE
 *            +------+                 | a write failed  | the flush failed
 *                ^--------------------+-----------------+   E stays, all of it is written again
 *
 * W1  an epoch is written only when it is closed and every writer of it has published (E2);
 * W2  of each sector the newest version within the epoch is written: not an older one, and not one
 *     of a later epoch. So until the flush the disk holds the state at the end of the epoch before
 *     plus some writes of this epoch (P4). With backend_consistency_off "the epoch" is all those
 *     that are taken in together, and P4 is given up;
 * W3  E moves to the epoch only after the disk has confirmed a flush that was submitted after all
 *     its writes had completed; an error counts as not written;
 * W4  nothing of a later epoch is submitted before E has moved, in both copies of the state;
 * W5  only what E covers is clean: space is reused on no other evidence (reclaim.c);
 * W6  data whose checksum is wrong is never written to the disk;
 * W7  an epoch with dirty data that cannot be read is held behind its flush, E stays, until each of
 *     these ranges was given up by name: no version is lost that nobody has agreed to lose.
 */
#include "engine.h"

static bool all_completed(void *arg)
{
    struct cbd_backend *b = arg;

    return atomic_load(&b->wb.completions) == b->wb.submitted;
}

int cbd_writeback_init(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_env *env = b->cache->env;

    cbd_carry_init(b);
    cbd_tree_pool_init(&wb->pool, env);
    cbd_tree_init(&wb->tree);
    atomic_store(&wb->due_ns, UINT64_MAX);
    for (uint32_t i = 0; i < CBD_QUEUE_DEPTH_MAX; i++)
        wb->io[i].backend = b;
    /* One buffer is enough to get on; the others come when the queue grows. */
    wb->io[0].buf = env->ops->alloc(env, CBD_WB_BUFFER_BYTES);
    return wb->io[0].buf == NULL ? CBD_E_NOMEM : 0;
}

void cbd_writeback_destroy(struct cbd_backend *b)
{
    struct cbd_env *env = b->cache->env;

    /* The disk owns the buffers until it has answered. */
    while (!CBD_CANARY(DISK_NOT_AWAITED) && !all_completed(b))
        (void)env->ops->wait(env, all_completed, b, UINT64_MAX);
    for (uint32_t i = 0; i < CBD_QUEUE_DEPTH_MAX; i++)
        if (b->wb.io[i].buf != NULL)
            env->ops->free(env, b->wb.io[i].buf, CBD_WB_BUFFER_BYTES);
    cbd_tree_pool_destroy(&b->wb.pool);
}

/* Something has changed that an idle step may act on. Costs a load while none is idle. */
void cbd_writeback_nudge(struct cbd_backend *b)
{
    if (atomic_load(&b->wb.asleep) && atomic_exchange(&b->wb.asleep, false))
        b->cache->env->ops->wake(b->cache->env);
}

static int let_reclaim_go_on(struct cbd_backend *b)
{
    atomic_store(&b->urgent, false);
    cbd_pressure_update(b);
    b->cache->env->ops->wake(b->cache->env);
    return 1;
}

/*
 * Finds the oldest dirty epoch, closes it if it is open and may be, and collects what it holds. An
 * epoch that the application did not close costs a flush that it did not ask for.
 */
static int start_pass(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_wb_plan plan = cbd_wb_plan(b);
    uint64_t open = atomic_load(&b->epoch);
    uint64_t oldest, last, below;
    int error;

    if (!plan.wanted && plan.age_upto == 0)
        return 0;
    error = cbd_wb_oldest(b, &oldest);
    if (error != 0)
        return error;
    if (oldest == UINT64_MAX) {
        /* Nothing is dirty, but segments were passed. */
        return atomic_load(&b->urgent) ? let_reclaim_go_on(b) : 0;
    }
    last = plan.close ? open : open - 1;
    if (!plan.wanted)
        last = 0;
    last = plan.age_upto > last ? plan.age_upto : last;
    if (oldest > last)
        return 0;
    below = atomic_exchange(&wb->carry_below, 0);
    if (oldest == open && plan.for_reclaim && plan.age_upto < open && below != 0) {
        error = cbd_carry(b, open, below);
        if (error != 0)
            return error < 0 ? error : let_reclaim_go_on(b);
    }
    if (!atomic_load(&b->tuned.coalesce))
        last = oldest;
    else if (last == open && oldest < open && !cbd_epoch_dirty(b, open))
        last--;
    if (!CBD_CANARY(EPOCH_WRITTEN_WHILE_OPEN))
        cbd_epoch_force(b, last); /* W1 */
    cbd_epoch_barrier(b);
    error = cbd_sync(b); /* Y4 */
    if (error == 0)
        error = cbd_wb_collect(b, oldest, last);
    if (error != 0)
        return error;
    cbd_wb_hold_reset(b);
    wb->hold_error = 0;
    wb->pos = 0;
    wb->weight = cbd_wb_weight(b);
    wb->weight_done = 0;
    atomic_store(&wb->error, 0);
    wb->phase = CBD_WB_WRITE;
    return 1;
}

static int give_up(struct cbd_backend *b, int error)
{
    uint64_t reached = b->wb.phase == CBD_WB_FLUSH ? UINT64_MAX : b->wb.pos;

    cbd_count(&b->wb.stats.writeback_errors, 1);
    if (b->wb.reached < reached)
        b->wb.reached = reached;
    atomic_store(&b->wb.retrying, true);
    cbd_pressure_update(b);
    b->wb.phase = CBD_WB_IDLE; /* W3: E stays, the cursors stay */
    if (CBD_CANARY(FAILED_EPOCH_PASSED))
        cbd_wb_advance_cursors(b);
    return error;
}

static int write_step(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    struct cbd_extent e;
    bool more = cbd_tree_find(&wb->tree, wb->pos, &e);
    int error = atomic_load(&wb->error);

    atomic_store(&wb->due_ns, UINT64_MAX);
    if (error == 0 && more) {
        struct cbd_wb_io *wio = cbd_wb_idle_io(b);

        if (wio == NULL)
            return 0;
        atomic_store(&wb->asleep, true); /* as in idle_step */
        if (!cbd_wb_rate_allows(b))
            return 0;
        atomic_store(&wb->asleep, false);
        cbd_wb_submit(b, wio);
        return 1;
    }
    if (atomic_load(&wb->inflight) != 0 && !CBD_CANARY(FLUSH_BEFORE_COMPLETION))
        return 0;
    error = atomic_load(&wb->error); /* of the last completion */
    if (error != 0)
        return give_up(b, error);
    wb->phase = CBD_WB_FLUSH;
    if (b->disk->volatile_cache && !CBD_CANARY(DISK_NOT_FLUSHED))
        cbd_wb_submit_flush(b); /* W3 */
    return 1;
}

static int flush_step(struct cbd_backend *b)
{
    int error;

    if (atomic_load(&b->wb.flush_busy) && !CBD_CANARY(E_BEFORE_FLUSH))
        return 0;
    error = atomic_load(&b->wb.error);
    if (error != 0 && CBD_CANARY(FLUSH_TRIED_AGAIN)) {
        atomic_store(&b->wb.error, 0);
        cbd_wb_submit_flush(b);
        return 1;
    }
    if (error != 0)
        return give_up(b, error);
    b->wb.phase = b->wb.hold_error != 0 ? CBD_WB_HELD : CBD_WB_COMMIT;
    return 1;
}

/* Whether data that the pass could not read can be read by now, in any of the ranges. */
static bool readable_again(struct cbd_backend *b)
{
    struct cbd_range range;
    struct cbd_extent e;

    for (uint32_t i = 0; cbd_wb_hold_at(b, i, &range); i++) {
        uint64_t pos = range.addr_bytes / CBD_SECTOR_BYTES;
        uint64_t n = cbd_min64(range.len_bytes, CBD_WB_BUFFER_BYTES);

        if (!cbd_tree_find(&b->wb.tree, pos, &e) || e.start > pos)
            continue;
        n = cbd_min64(n, (e.start + e.len - pos) * CBD_SECTOR_BYTES);
        if (cbd_extent_read(b->cache, &e, (pos - e.start) * CBD_SECTOR_BYTES, n, b->wb.io[0].buf,
                            NULL) == 0)
            return true;
    }
    return false;
}

/* W7: all that can be read is on the disk and flushed. The rest has to be given up by name. */
static int held_step(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t bytes;

    if (readable_again(b)) {
        cbd_count_set(&wb->stats.writeback_held_bytes, 0);
        wb->phase = CBD_WB_IDLE; /* it was poison that has gone: the whole pass again */
        return 1;
    }
    if (cbd_wb_hold_settled(b, &bytes)) {
        cbd_report(b->cache->env, CBD_WARNING, 0, "dirty data", "was given up", b->id, UINT64_MAX,
                   bytes, 0);
        cbd_count(&wb->stats.writeback_forgone_bytes, bytes);
        cbd_count_set(&wb->stats.writeback_held_bytes, 0);
        wb->phase = CBD_WB_COMMIT;
        return 1;
    }
    b->hold.ever = true;
    if (!atomic_exchange(&b->hold.held, true)) {
        cbd_report(b->cache->env, CBD_ERROR, wb->hold_error, "write-back",
                   "is held by dirty data that cannot be read", b->id, UINT64_MAX, bytes, 0);
        cbd_count(&wb->stats.writeback_errors, 1);
        cbd_count_set(&wb->stats.writeback_held_bytes, bytes);
        wb->reached = UINT64_MAX;
        atomic_store(&wb->retrying, true); /* nobody pays for what does not come */
        cbd_pressure_update(b);
    }
    return wb->hold_error;
}

static int commit_step(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    int error;

    cbd_lock_take(b->cache->env, &b->table_lock);
    cbd_count_set(&b->state.epoch_written, wb->epoch);
    error = CBD_CANARY(E_NOT_STORED)
                ? 0
                : cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_EPOCH); /* W4 */
    cbd_lock_drop(&b->table_lock);
    if (error != 0) {
        atomic_store(&b->failed, error);
        return error;
    }
    cbd_wb_hold_commit(b);
    cbd_wb_advance_cursors(b);
    cbd_tree_clear(&wb->pool, &wb->tree);
    atomic_fetch_add(&wb->retired_bytes, CBD_CANARY(DIRTY_MISCOUNTED) ? 0 : wb->bytes);
    atomic_fetch_add(&wb->retired_space, wb->space);
    cbd_count(&wb->stats.writeback_epochs, 1);
    atomic_store(&wb->retrying, false);
    wb->reached = 0;
    atomic_fetch_add(&wb->advances, 1);
    wb->phase = CBD_WB_IDLE;
    atomic_store(&b->urgent, false);
    cbd_pressure_update(b);
    b->cache->env->ops->wake(b->cache->env);
    return 1;
}

static int idle_step(struct cbd_backend *b)
{
    int did;

    /* First, so that whoever changes anything from here on wakes the next step. */
    atomic_store(&b->wb.asleep, true);
    did = start_pass(b);
    if (did != 0)
        atomic_store(&b->wb.asleep, false);
    return did;
}

int cbd_writeback_step(struct cbd_backend *b)
{
    int failed = atomic_load(&b->failed);

    if (failed != 0)
        return failed;
    switch (b->wb.phase) {
    case CBD_WB_WRITE:
        return write_step(b);
    case CBD_WB_FLUSH:
        return flush_step(b);
    case CBD_WB_HELD:
        return held_step(b);
    case CBD_WB_COMMIT:
        return commit_step(b);
    case CBD_WB_IDLE:
    default:
        return idle_step(b);
    }
}

uint64_t cbd_backend_due_ns(const struct cbd_backend *b)
{
    return atomic_load(&b->wb.due_ns);
}
