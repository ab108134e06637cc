/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much is dirty, and what it costs writers.
 *
 *   dirty space   0 ------- urgent ----------- full ------------ share
 *   a write pays  nothing   | a growing part   | all of its      | waits for a free
 *                           | of its space     | space           | segment
 *
 * Paying means waiting until so much of what was dirty has reached the disk since. So with the
 * dirty space grows the part of the disk's speed at which writers go on, until both are the same,
 * and a writer waits for a few completions instead of for a whole epoch. Nothing is paid while the
 * disk does not answer: then the rest of the cache is filled, and the write that finds it full
 * waits for at most T.
 *
 * What a request pays is bounded by epochs as well as by space: each costs the disk a write and a
 * flush, one after the other, however little is in it. Behind many small epochs a large write would
 * wait for all of them. It goes in when a few are on the disk, while there is room; what it owes then
 * is left to those who come next, each again for a few epochs at most.
 *
 * max_dirty_bytes is a bound, not a mark: payload is reserved under a lock before it goes in. Those
 * who find no room stand in line, and nobody goes in before who stands in front: else small writes
 * would take all that becomes free, and a large one would never find enough at once.
 */
#include "engine.h"

/* A request pays no longer than for so many epochs, while there is a free segment for each stream. */
#define PAY_EPOCHS 3u

/* Without any progress for so long, a writer that pays concludes that the disk is away. */
#define PAY_PATIENCE_NS UINT64_C(1000000000)

uint64_t cbd_record_space(uint8_t type, uint64_t addr, uint64_t len)
{
    uint64_t space = sizeof(struct cbd_m_record);

    if (type == CBD_M_RECORD_WRITE)
        space += cbd_header_bytes(addr, (uint32_t)len) +
                 (len + CBD_LINE_BYTES - 1) / CBD_LINE_BYTES * CBD_LINE_BYTES;
    return space;
}

uint64_t cbd_dirty_bytes(const struct cbd_backend *b)
{
    uint64_t retired = atomic_load(&b->wb.retired_bytes);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        bytes += atomic_load(&b->streams[i].dirty_bytes);
    return bytes - retired;
}

uint64_t cbd_dirty_space(const struct cbd_backend *b)
{
    uint64_t retired = atomic_load(&b->wb.retired_space);
    uint64_t space = 0;

    for (uint32_t i = 0; i < b->stream_count; i++)
        space += atomic_load(&b->streams[i].dirty_space);
    return space - retired;
}

uint64_t cbd_progress(const struct cbd_backend *b)
{
    return atomic_load(&b->wb.advances) + atomic_load(&b->grace);
}

/* Begins or ends the paying. */
void cbd_pressure_update(struct cbd_backend *b)
{
    struct cbd_pressure *p = &b->pressure;
    bool on =
        !atomic_load(&p->stalled) && !atomic_load(&b->wb.retrying) &&
        (cbd_dirty_space(b) >= atomic_load(&b->tuned.urgent_space) || atomic_load(&b->urgent));

    if (on == atomic_load(&p->paced))
        return;
    if (on)
        atomic_store(&p->due, atomic_load(&p->paid)); /* old debts are forgotten */
    atomic_store(&p->paced, on);
    if (!on)
        b->cache->env->ops->wake(b->cache->env);
}

/* A request of write-back has completed. */
void cbd_pressure_pay(struct cbd_backend *b, uint64_t credit)
{
    atomic_fetch_add(&b->pressure.paid, credit);
    if (atomic_load(&b->pressure.stalled))
        atomic_store(&b->pressure.stalled, false);
}

static uint64_t price(const struct cbd_backend *b, uint64_t space)
{
    uint64_t dirty = cbd_dirty_space(b);
    uint64_t urgent = atomic_load(&b->tuned.urgent_space);
    uint64_t full = atomic_load(&b->tuned.full_space);

    if (dirty <= urgent)
        return atomic_load(&b->urgent) ? space : 0;
    if (dirty >= full)
        return space;
    return space * ((dirty - urgent) * 256 / (full - urgent)) / 256;
}

struct bill {
    struct cbd_backend *b;
    uint64_t upto;
    uint64_t patience; /* epochs on the disk */
};

static uint64_t epochs_done(const struct cbd_backend *b)
{
    return cbd_counted(&b->wb.stats.writeback_epochs);
}

/* All pieces of one request together. */
static uint64_t patience_of(const struct cbd_backend *b, struct cbd_lane *lane)
{
    uint64_t request = atomic_load_explicit(&lane->requests, memory_order_relaxed);

    if (lane->paying != request) {
        lane->paying = request;
        lane->patience = epochs_done(b) + PAY_EPOCHS;
    }
    return lane->patience;
}

static bool settled(void *arg)
{
    struct bill *bill = arg;
    struct cbd_backend *b = bill->b;

    return !atomic_load(&b->pressure.paced) || atomic_load(&b->pressure.paid) >= bill->upto ||
           (epochs_done(b) >= bill->patience && atomic_load(&b->free_count) > b->stream_count) ||
           atomic_load(&b->failed) != 0;
}

/* Waits for a part of the write's own space to be written back, in the sequence of arrival. */
static void pay(struct cbd_backend *b, unsigned lane, uint64_t space)
{
    struct cbd_env *env = b->cache->env;
    struct cbd_pressure *p = &b->pressure;
    uint64_t cost = price(b, space);
    unsigned long long due = atomic_load(&p->due);
    struct bill bill = {.b = b, .patience = patience_of(b, &b->lanes[lane])};

    if (cost == 0)
        return;
    do {
        uint64_t paid = atomic_load(&p->paid);

        bill.upto = (due > paid ? due : paid) + cost; /* what nobody waited for is not saved up */
    } while (!atomic_compare_exchange_weak(&p->due, &due, bill.upto));
    cbd_count(&b->lanes[lane].stats.writes_paced, 1);
    for (;;) {
        uint64_t before = cbd_progress(b);

        if (env->ops->wait(env, settled, &bill, PAY_PATIENCE_NS) == 0)
            return;
        if (cbd_progress(b) == before) {
            atomic_store(&p->stalled, true);
            cbd_pressure_update(b);
            return;
        }
    }
}

struct entry {
    struct cbd_backend *b;
    unsigned lane;
    uint64_t len;
};

/* Whether others came to the gate earlier and wait; its lock is held. */
static bool others_first(const struct cbd_backend *b, uint64_t ticket)
{
    if (CBD_CANARY(LINE_NOT_KEPT))
        return false;
    for (uint32_t i = 0; b->pressure.waiting != 0 && i < CBD_LANES; i++)
        if (b->lanes[i].ticket != 0 && (ticket == 0 || b->lanes[i].ticket < ticket))
            return true;
    return false;
}

/* The same. */
static void leave_line(struct cbd_backend *b, unsigned lane)
{
    if (b->lanes[lane].ticket == 0)
        return;
    b->lanes[lane].ticket = 0;
    b->pressure.waiting--;
    if (b->pressure.waiting != 0)
        b->cache->env->ops->wake(b->cache->env); /* the next one may find room too */
}

/*
 * Takes `len` bytes of max_dirty_bytes when they are there and nobody came before; else stands in
 * line and asks write-back for them.
 */
static bool reserve(void *arg)
{
    struct entry *e = arg;
    struct cbd_backend *b = e->b;
    struct cbd_pressure *p = &b->pressure;
    uint64_t *ticket = &b->lanes[e->lane].ticket;
    uint64_t max, used;
    bool fits;

    cbd_lock_take(b->cache->env, &p->gate_lock);
    max = atomic_load(&b->tuned.max_dirty_bytes);
    used = cbd_dirty_bytes(b) + p->reserved;
    if (CBD_CANARY(DIRTY_BOUND_WITHOUT_RESERVED))
        used -= p->reserved;
    fits = max == 0 ||
           (!others_first(b, *ticket) && (used == 0 || (used <= max && e->len <= max - used)));
    if (fits) {
        p->reserved += e->len;
        leave_line(b, e->lane);
    } else if (*ticket == 0) {
        *ticket = ++p->tickets;
        p->waiting++;
    }
    cbd_lock_drop(&p->gate_lock);
    if (!fits && !atomic_exchange(&b->urgent, true))
        cbd_writeback_nudge(b);
    return fits || atomic_load(&b->failed) != 0;
}

static int wait_at_gate(struct cbd_backend *b, unsigned lane, uint64_t len, uint64_t *reserved)
{
    struct cbd_env *env = b->cache->env;
    struct entry e = {b, lane, len};
    bool first = true;

    for (;;) {
        uint64_t before = cbd_progress(b);
        int error = first && reserve(&e)
                        ? 0
                        : env->ops->wait(env, reserve, &e, atomic_load(&b->tuned.space_timeout_ns));

        if (error == 0) {
            *reserved = atomic_load(&b->failed) != 0 ? 0 : len;
            return atomic_load(&b->failed);
        }
        if (first)
            cbd_count(&b->lanes[lane].stats.writes_paced, 1);
        first = false;
        if (error != CBD_E_TIMEDOUT)
            return error;
        if (cbd_progress(b) == before)
            return CBD_E_NOSPACE;
    }
}

static int pass_gate(struct cbd_backend *b, unsigned lane, uint64_t len, uint64_t *reserved)
{
    int error = wait_at_gate(b, lane, len, reserved);

    if (error != 0) {
        cbd_lock_take(b->cache->env, &b->pressure.gate_lock);
        leave_line(b, lane);
        cbd_lock_drop(&b->pressure.gate_lock);
    }
    return error;
}

/*
 * Lets a dirty record go in, as the marks allow. 0 and what cbd_admit_end() has to give back, or
 * CBD_E_NOSPACE: max_dirty_bytes was reached and there was no progress for T.
 */
int cbd_admit(struct cbd_backend *b, unsigned lane, const struct cbd_insert *in, uint64_t *reserved)
{
    *reserved = 0;
    if (atomic_load_explicit(&b->pressure.paced, memory_order_relaxed))
        pay(b, lane, cbd_record_space(in->type, in->addr, in->len));
    if (in->type == CBD_M_RECORD_WRITE && atomic_load(&b->tuned.max_dirty_bytes) != 0)
        return pass_gate(b, lane, in->len, reserved);
    return 0;
}

/* The record is in and counted as dirty, or will never be. */
void cbd_admit_end(struct cbd_backend *b, uint64_t reserved)
{
    if (reserved == 0 || CBD_CANARY(RESERVED_FOR_EVER))
        return;
    cbd_lock_take(b->cache->env, &b->pressure.gate_lock);
    b->pressure.reserved -= reserved;
    cbd_lock_drop(&b->pressure.gate_lock);
}
