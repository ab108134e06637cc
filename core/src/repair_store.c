/* SPDX-License-Identifier: BSD-2-Clause */
/* Every store of a repair, in the sequence that repair.c argues for. */
#include <string.h>

#include "repair.h"

/* M6 */
static int store(struct cbd_repair *r, uint64_t off, const void *bytes, uint32_t len_bytes,
                 enum cbd_step step)
{
    struct cbd_pmem *pm = r->k->cache.pm;
    int error = 0;

    if (CBD_CANARY(REPAIR_TOLD_LATE))
        pm->ops->copy(pm, off, bytes, len_bytes, CBD_PMEM_NT, step);
    if (r->options->before != NULL)
        error = r->options->before(r->arg, off, len_bytes);
    if (error == 0)
        pm->ops->copy(pm, off, bytes, len_bytes, CBD_PMEM_NT, step);
    r->stored = r->stored || error == 0;
    return error;
}

static int fence(struct cbd_repair *r, enum cbd_step step)
{
    return r->k->cache.pm->ops->fence(r->k->cache.pm, step);
}

static void settle(struct cbd_repair *r, uint64_t off, uint64_t len)
{
    r->k->cache.pm->ops->flush(r->k->cache.pm, off, len, CBD_STEP_REPAIR_FLUSH);
}

/*
 * M1: what was read is durable. Records, too: an open segment may be closed, or its state written,
 * by what its last record says.
 */
int cbd_mend_settle(struct cbd_repair *r)
{
    const struct cbd_geometry *geo = &r->k->cache.super.geo;

    if (r->settled || CBD_CANARY(REPAIR_UNSETTLED))
        return 0;
    settle(r, CBD_SUPER0_OFF, sizeof(struct cbd_m_super));
    settle(r, CBD_SUPER1_OFF, sizeof(struct cbd_m_super));
    settle(r, geo->table_a_off, 2 * geo->table_bytes);
    settle(r, geo->super2_off, sizeof(struct cbd_m_super));
    for (uint32_t id = 0; id < geo->segment_count; id++)
        if (r->k->entries[id].plan != CBD_CHECK_PLAN_SKIP &&
            r->k->cache.segments[id].entry.status != CBD_M_SEGMENT_CLOSED)
            settle(r, cbd_segment_off(geo, id), geo->segment_bytes);
    r->settled = true;
    return fence(r, CBD_STEP_REPAIR_FLUSH_FENCE);
}

int cbd_mend_super(struct cbd_repair *r, uint32_t copy)
{
    const struct cbd_super *super = &r->k->cache.super;
    const uint64_t places[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF,
                                               super->geo.super2_off};
    struct cbd_m_super m;
    int error;

    if (copy == r->k->super_copy)
        return CBD_E_INVALID; /* M2 */
    cbd_super_encode(super, copy, &m);
    error = store(r, places[copy], &m, sizeof(m), CBD_STEP_REPAIR_SUPER);
    return error == 0 ? fence(r, CBD_STEP_REPAIR_SUPER_FENCE) : error;
}

/* M2: both copies say `bytes`, the newest; the one that does so already is not touched. */
int cbd_mend_equal(struct cbd_repair *r, uint64_t place, const void *bytes, uint32_t len_bytes)
{
    const struct cbd_geometry *geo = &r->k->cache.super.geo;
    const uint64_t off[2] = {geo->table_a_off + place, geo->table_b_off + place};
    struct cbd_pmem *pm = r->k->cache.pm;
    uint8_t now[sizeof(struct cbd_m_backend)];
    bool stored = false;
    int error = 0;

    for (int i = 0; i < 2 && error == 0; i++) {
        if (pm->ops->read(pm, off[i], now, len_bytes) == 0 && memcmp(now, bytes, len_bytes) == 0)
            continue;
        if (stored)
            return CBD_E_CORRUPT; /* neither is what was read before: M2 */
        error = store(r, off[i], bytes, len_bytes, CBD_STEP_REPAIR_COPY);
        stored = true;
    }
    return error == 0 && stored ? fence(r, CBD_STEP_REPAIR_COPY_FENCE) : error;
}

/* M3 */
static int change(struct cbd_repair *r, uint64_t place, const void *bytes, uint32_t len_bytes)
{
    const struct cbd_geometry *geo = &r->k->cache.super.geo;
    int error = store(r, geo->table_a_off + place, bytes, len_bytes, CBD_STEP_REPAIR_ENTRY_A_COPY);

    if (error == 0 && !CBD_CANARY(REPAIR_COPIES_AT_ONCE))
        error = fence(r, CBD_STEP_REPAIR_ENTRY_A_FENCE);
    if (error == 0)
        error = store(r, geo->table_b_off + place, bytes, len_bytes, CBD_STEP_REPAIR_ENTRY_B_COPY);
    return error == 0 ? fence(r, CBD_STEP_REPAIR_ENTRY_B_FENCE) : error;
}

/* The changed entry in memory goes to the media. lost: neither copy there is valid. */
int cbd_mend_config(struct cbd_repair *r, uint32_t id, bool lost)
{
    struct cbd_backend_config *config = &r->k->cache.configs[id];
    uint32_t seed = cbd_seed_place(r->k->cache.seed, CBD_SEED_BACKEND, id, 0);
    struct cbd_backend_config old;
    struct cbd_m_backend m;
    bool differ;
    int error = lost ? 0 : cbd_twin_read_backend(&r->k->cache, id, &old, &differ);

    if (error == 0 && !lost) {
        cbd_backend_encode(&old, seed, &m);
        if (!CBD_CANARY(REPAIR_OVER_UNEQUAL))
            error = cbd_mend_equal(r, cbd_place_backend(id), &m, sizeof(m));
        config->seq = old.seq;
    }
    config->seq++;
    cbd_backend_encode(config, seed, &m);
    return error == 0 ? change(r, cbd_place_backend(id), &m, sizeof(m)) : error;
}

int cbd_mend_state(struct cbd_repair *r, uint32_t id, bool lost)
{
    struct cbd_backend_state *state = &r->k->cache.states[id];
    uint32_t seed = cbd_seed_place(r->k->cache.seed, CBD_SEED_STATE, id, 0);
    struct cbd_backend_state old;
    struct cbd_m_backend_state m;
    bool differ;
    int error = lost ? 0 : cbd_twin_read_state(&r->k->cache, id, &old, &differ);

    if (error == 0 && !lost) {
        cbd_state_encode(&old, seed, &m);
        if (!CBD_CANARY(REPAIR_OVER_UNEQUAL))
            error = cbd_mend_equal(r, cbd_place_state(id), &m, sizeof(m));
        state->seq = old.seq;
    }
    state->seq++;
    cbd_state_encode(state, seed, &m);
    return error == 0 ? change(r, cbd_place_state(id), &m, sizeof(m)) : error;
}

int cbd_mend_entry(struct cbd_repair *r, uint32_t id, bool lost)
{
    struct cbd_segment_entry *entry = &r->k->cache.segments[id].entry;
    uint32_t seed = cbd_seed_place(r->k->cache.seed, CBD_SEED_SEGMENT, id, 0);
    struct cbd_segment_entry old;
    struct cbd_m_segment m;
    bool differ;
    int error = lost ? 0 : cbd_twin_read_segment(&r->k->cache, id, &old, &differ);

    if (error == 0 && !lost) {
        cbd_segment_encode(&old, seed, &m);
        if (!CBD_CANARY(REPAIR_OVER_UNEQUAL))
            error = cbd_mend_equal(r, cbd_place_segment(id), &m, sizeof(m));
        entry->seq = old.seq;
    }
    entry->seq++;
    cbd_segment_encode(entry, seed, &m);
    return error == 0 ? change(r, cbd_place_segment(id), &m, sizeof(m)) : error;
}

/* M5. The void record says no more than what was proven before: `durable` slots were. */
int cbd_mend_void(struct cbd_repair *r, uint32_t segment, uint32_t slot, uint32_t durable)
{
    const struct cbd_segment *seg = &r->k->cache.segments[segment];
    struct cbd_record record = {.type = CBD_M_RECORD_VOID,
                                .durable = durable < slot ? durable : slot};
    struct cbd_m_record m;
    int error;

    cbd_record_encode(&record, seg->record_seed, seg->entry.generation, slot, &m);
    error = store(r, cbd_check_slot_off(r->k, segment, slot), &m, sizeof(m), CBD_STEP_REPAIR_VOID);
    return error == 0 ? fence(r, CBD_STEP_REPAIR_VOID_FENCE) : error;
}

int cbd_mend_header(struct cbd_repair *r, uint64_t off, const void *bytes, uint32_t len_bytes)
{
    int error = store(r, off, bytes, len_bytes, CBD_STEP_REPAIR_HEADER);

    return error == 0 ? fence(r, CBD_STEP_REPAIR_HEADER_FENCE) : error;
}
