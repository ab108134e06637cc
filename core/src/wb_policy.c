/* SPDX-License-Identifier: BSD-2-Clause */
/* When to write back: marks, idleness, age, rate. Everything by the environment's clock. */
#include "engine.h"

#define NS_PER_US UINT64_C(1000)
#define US_PER_S UINT64_C(1000000)
#define RATE_BURST_US (US_PER_S / 8)

static uint64_t now_ns(const struct cbd_backend *b)
{
    return b->cache->env->ops->now_ns(b->cache->env);
}

static void due_at(struct cbd_backend *b, uint64_t at_ns)
{
    if (at_ns < atomic_load(&b->wb.due_ns))
        atomic_store(&b->wb.due_ns, at_ns);
}

/* Whether no request came for so long that everything may go out. */
static bool is_idle(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t idle_ns = atomic_load(&b->tuned.idle_ns);
    uint64_t requests = 0, now;

    if (idle_ns == 0)
        return false;
    now = now_ns(b);
    for (uint32_t i = 0; i < CBD_LANES; i++)
        requests += atomic_load_explicit(&b->lanes[i].requests, memory_order_relaxed);
    if (requests != wb->requests_seen || wb->idle_since_ns == 0) {
        wb->requests_seen = requests;
        wb->idle_since_ns = now;
    }
    if (now - wb->idle_since_ns >= idle_ns)
        return cbd_dirty_space(b) != 0;
    due_at(b, wb->idle_since_ns + idle_ns);
    return false;
}

static void drop_written_marks(struct cbd_writeback *wb, uint64_t written)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < wb->mark_count; i++)
        if (wb->marks[i].epoch > written)
            wb->marks[kept++] = wb->marks[i];
    wb->mark_count = kept;
}

/*
 * The highest epoch that has become too old, 0: none. A mark is set each quarter of the age and is
 * too old after three: what is dirty was marked when it was a quarter old at most.
 */
static uint64_t too_old(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t age_ns = atomic_load(&b->tuned.max_age_ns);
    uint64_t quarter_ns = age_ns / CBD_WB_AGE_MARKS;
    uint64_t epoch = 0, now;

    if (age_ns == 0) {
        wb->mark_count = 0;
        return 0;
    }
    now = now_ns(b);
    drop_written_marks(wb, b->state.epoch_written);
    if (cbd_dirty_space(b) != 0 && wb->mark_count < CBD_WB_AGE_MARKS &&
        (wb->mark_count == 0 || now - wb->marks[wb->mark_count - 1].since_ns >= quarter_ns))
        wb->marks[wb->mark_count++] = (struct cbd_wb_mark){atomic_load(&b->epoch), now};
    for (uint32_t i = 0; i < wb->mark_count; i++) {
        uint64_t old_at = wb->marks[i].since_ns + age_ns - quarter_ns;

        if (old_at <= now)
            epoch = wb->marks[i].epoch;
        else
            due_at(b, old_at);
    }
    due_at(b, now + quarter_ns);
    return epoch;
}

struct cbd_wb_plan cbd_wb_plan(struct cbd_backend *b)
{
    uint64_t dirty = cbd_dirty_space(b);
    struct cbd_wb_plan plan = {0};

    atomic_store(&b->wb.due_ns, UINT64_MAX);
    plan.age_upto = too_old(b);
    plan.close = is_idle(b) || (atomic_load(&b->drain) && !CBD_CANARY(DETACH_LEAVES_OPEN_EPOCH)) ||
                 dirty >= atomic_load(&b->tuned.urgent_space);
    plan.for_reclaim = !plan.close && atomic_load(&b->urgent);
    plan.close = plan.close || plan.for_reclaim;
    plan.wanted = plan.close || dirty >= atomic_load(&b->tuned.start_space);
    return plan;
}

/* A token bucket that holds an eighth of a second; a request may overdraw it. */
bool cbd_wb_rate_allows(struct cbd_backend *b)
{
    struct cbd_writeback *wb = &b->wb;
    uint64_t rate = atomic_load(&b->tuned.rate_bytes);
    int64_t full = (int64_t)(rate / (US_PER_S / RATE_BURST_US));
    uint64_t now, passed_us;

    if (rate == 0 || atomic_load(&b->drain) || atomic_load(&b->urgent) ||
        cbd_dirty_space(b) >= atomic_load(&b->tuned.urgent_space))
        return true;
    now = now_ns(b);
    passed_us = (now - wb->tokens_ns) / NS_PER_US;
    wb->tokens_ns += passed_us * NS_PER_US;
    if (wb->tokens > full)
        wb->tokens = full;
    if (passed_us > (uint64_t)(full - wb->tokens) * US_PER_S / rate) {
        wb->tokens = full;
        wb->tokens_rest = 0;
    } else { /* parts of a byte count: a step may come before a whole one is earned */
        wb->tokens_rest += rate * passed_us;
        wb->tokens += (int64_t)(wb->tokens_rest / US_PER_S);
        wb->tokens_rest %= CBD_CANARY(RATE_PARTS_LOST) ? 1 : US_PER_S;
    }
    if (wb->tokens >= 0)
        return true;
    atomic_store(&wb->due_ns,
                 now + (uint64_t)-wb->tokens * NS_PER_US / rate * US_PER_S + NS_PER_US);
    return false;
}

/* What goes out while the rate is no limit is not owed later: one request is, at most. */
void cbd_wb_rate_spend(struct cbd_backend *b, uint64_t bytes)
{
    int64_t least = -(int64_t)CBD_WB_BUFFER_BYTES;

    b->wb.tokens -= (int64_t)bytes;
    if (atomic_load(&b->tuned.rate_bytes) == 0)
        b->wb.tokens = 0;
    else if (b->wb.tokens < least)
        b->wb.tokens = least;
}
