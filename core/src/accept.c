/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking over a disk that is not as the cache left it, because its owner says so.
 *
 *   mismatch --A1--> DROPPING --write everything dirty back--> --A2--> nothing cached, attached
 *
 * A1  the decision is durable in both copies before anything goes to the disk. From then on clean
 *     records are not put into the index: neither a crash in the middle nor places that write-back
 *     has made equal meanwhile bring the old clean data back;
 * A2  the decision ends in the store that moves the horizon above every record: "nothing cached is
 *     older than the decision" and "the decision is carried out" are one fact;
 * A3  while it is not carried out, the backend is attached by nobody who does not repeat it: dirty
 *     data must not go to a third disk by accident.
 *
 * Dirty data is newer than the disk for as long as the cache is asked, so it wins. Each range of it
 * is told to the caller first. When some of it cannot be read (W7), the backend is attached all the
 * same, so that somebody can give it up or salvage the rest; then A2 comes at the detach.
 */
#include "engine.h"

int cbd_accept_decide(struct cbd_backend *b)
{
    struct cbd_backend_state state = b->state;
    int error;

    state.flags |= CBD_M_STATE_DROPPING;
    error = cbd_twin_write_state(b->cache, b->id, &state, CBD_TWIN_BACKEND_STATE); /* A1 */
    if (error == 0)
        b->state = state;
    return error;
}

/* A3 */
int cbd_accept_check(const struct cbd_backend *b)
{
    if ((b->state.flags & CBD_M_STATE_DROPPING) == 0 || b->options.accept_backing ||
        CBD_CANARY(ACCEPT_BY_ANYBODY))
        return 0;
    cbd_report(b->cache->env, CBD_ERROR, CBD_E_MISMATCH, "backing device",
               "was to be accepted as it is, and that was not finished: accept it again", b->id,
               UINT64_MAX, 0, 0);
    return CBD_E_MISMATCH;
}

/* Gathers extents that follow each other. */
struct conflicts {
    const struct cbd_attach_options *options;
    uint64_t addr, len;
};

static void tell(struct conflicts *cf)
{
    if (cf->len != 0 && cf->options->conflict != NULL)
        cf->options->conflict(cf->options->conflict_arg, cf->addr, cf->len);
}

static void on_extent(void *arg, const struct cbd_extent_view *e)
{
    struct conflicts *cf = arg;

    if (cf->len == 0 || cf->addr + cf->len != e->addr_bytes) {
        tell(cf);
        cf->addr = e->addr_bytes;
        cf->len = 0;
    }
    cf->len += e->len_bytes;
}

/* Nothing is dirty. After it nothing is cached. */
int cbd_accept_end(struct cbd_backend *b)
{
    int error = 0;

    if ((b->state.flags & CBD_M_STATE_DROPPING) == 0)
        return 0;
    b->state.flags &= ~CBD_M_STATE_DROPPING;
    if (CBD_CANARY(ACCEPT_IN_TWO_STEPS))
        error = cbd_twin_write_state(b->cache, b->id, &b->state, CBD_TWIN_BACKEND_STATE);
    if (error != 0)
        return error;
    error = cbd_reclaim_below(b, atomic_load(&b->era) << CBD_ORDER_COUNT_BITS); /* A2 */
    if (error != 0)
        b->state.flags |= CBD_M_STATE_DROPPING;
    return error;
}

/* The index holds what is dirty and nothing else. */
int cbd_accept_finish(struct cbd_backend *b)
{
    struct conflicts cf = {.options = &b->options};
    int error;

    if ((b->state.flags & CBD_M_STATE_DROPPING) == 0)
        return 0;
    cbd_backend_extents(b, on_extent, &cf);
    tell(&cf);
    error = cbd_backend_write_all(b);
    cbd_backend_drain(b, false);
    if (error != 0)
        return atomic_load(&b->hold.held) && !CBD_CANARY(ACCEPT_NEEDS_ALL) ? 0 : error;
    return cbd_accept_end(b);
}
