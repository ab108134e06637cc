/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structures with two copies, one in table A and one in table B.
 *
 * T1  before a write both copies are equal (recovery sees to that), so the copy that is
 *     overwritten is never the only newest one;
 * T2  copy A is durable before copy B is touched: at any moment one of them is whole;
 * T3  both are durable before the write returns, and nobody acts on the new value before: when one
 *     copy is lost after that, the other says the same; when the newer is lost in between, the
 *     older is still true.
 *
 *     A: old -> torn -> new ------------------->
 *     B: old ---------- fence -> torn -> new --> fence -> return
 *
 * Which of two valid copies is newer, the sequence number tells.
 */
#include <string.h>

#include "engine.h"

/* A fence behind which the tables are not what they were said to be: nothing is stored after it. */
static int fence(struct cbd_cache *c, enum cbd_step step)
{
    int error = c->pm->ops->fence(c->pm, step);

    if (error != 0)
        atomic_store(&c->failed, error);
    return error;
}

int cbd_twin_write(struct cbd_cache *c, struct cbd_twin twin, const void *bytes,
                   enum cbd_twin_step_group steps)
{
    const struct cbd_geometry *geo = &c->super.geo;
    struct cbd_pmem *pm = c->pm;
    enum cbd_step step = (enum cbd_step)steps;
    int error = atomic_load(&c->failed);

    if (error != 0)
        return error;
    pm->ops->copy(pm, geo->table_a_off + twin.place, bytes, twin.len_bytes, CBD_PMEM_NT, step);
    error = CBD_CANARY(COPIES_AT_ONCE) ? 0 : fence(c, step + 1); /* T2 */
    if (error != 0 || CBD_CANARY(ONE_COPY_WRITTEN))
        return error;
    pm->ops->copy(pm, geo->table_b_off + twin.place, bytes, twin.len_bytes, CBD_PMEM_NT, step + 2);
    return fence(c, step + 3); /* T3 */
}

/*
 * Makes both copies equal after a crash: the one that differs from the newest, `bytes`, is written
 * again; the good one is not touched (T1). cbd_twin_repair_end() comes before the next write.
 */
void cbd_twin_repair(struct cbd_cache *c, struct cbd_twin twin, const void *bytes)
{
    const struct cbd_geometry *geo = &c->super.geo;
    struct cbd_pmem *pm = c->pm;
    uint64_t off[2] = {geo->table_a_off + twin.place, geo->table_b_off + twin.place};
    uint8_t now[sizeof(struct cbd_m_backend)];

    for (int i = 0; i < 2 && !CBD_CANARY(COPIES_LEFT_UNEQUAL); i++) {
        if (pm->ops->read(pm, off[i], now, twin.len_bytes) == 0 &&
            memcmp(now, bytes, twin.len_bytes) == 0)
            continue;
        pm->ops->copy(pm, off[i], bytes, twin.len_bytes, CBD_PMEM_NT, CBD_STEP_RECOVER_REPAIR);
    }
}

/* Every repair is durable when this returns 0. */
int cbd_twin_repair_end(struct cbd_cache *c)
{
    return fence(c, CBD_STEP_RECOVER_REPAIR_FENCE);
}

/* Picks the newer of two decoded copies. -1: none is valid. */
static int newest(const bool valid[2], const uint64_t seq[2])
{
    if (CBD_CANARY(ONE_BAD_COPY_REFUSED) && (!valid[0] || !valid[1]))
        return -1;
    if (valid[0] && valid[1])
        return CBD_CANARY(OLDER_COPY_WINS) ? seq[1] < seq[0] : seq[1] > seq[0] ? 1 : 0;
    if (valid[0])
        return 0;
    return valid[1] ? 1 : -1;
}

static int lost(struct cbd_cache *c, const char *what, uint32_t id, uint64_t place)
{
    cbd_report(c->env, CBD_ERROR, CBD_E_CORRUPT, what, "both copies are unreadable or damaged", id,
               c->super.geo.table_a_off + place, 0, 0);
    return CBD_E_CORRUPT;
}

/* Reads both copies into m; which[i] is false where the media could not be read. */
static void read_both(struct cbd_cache *c, uint64_t place, void *a, void *b, uint32_t len_bytes,
                      bool which[2])
{
    struct cbd_pmem *pm = c->pm;

    which[0] = pm->ops->read(pm, c->super.geo.table_a_off + place, a, len_bytes) == 0;
    which[1] = pm->ops->read(pm, c->super.geo.table_b_off + place, b, len_bytes) == 0;
    if (CBD_CANARY(UNREADABLE_COPY_REFUSED) && which[0] != which[1])
        which[0] = which[1] = false;
}

int cbd_twin_read_backend(struct cbd_cache *c, uint32_t id, struct cbd_backend_config *config,
                          bool *differ)
{
    uint32_t seed = cbd_seed_place(c->seed, CBD_SEED_BACKEND, id, 0);
    struct cbd_m_backend m[2];
    struct cbd_backend_config d[2];
    bool valid[2];
    int pick;

    read_both(c, cbd_place_backend(id), &m[0], &m[1], sizeof(m[0]), valid);
    for (int i = 0; i < 2; i++)
        valid[i] = valid[i] && cbd_backend_decode(&m[i], seed, &d[i]);
    pick = newest(valid, (uint64_t[2]){valid[0] ? d[0].seq : 0, valid[1] ? d[1].seq : 0});
    if (pick < 0 && CBD_CANARY(LOST_IS_NEW)) {
        *config = (struct cbd_backend_config){0};
        return 0;
    }
    if (pick < 0)
        return lost(c, "backend entry", id, cbd_place_backend(id));
    *config = d[pick];
    *differ = !valid[0] || !valid[1] || memcmp(&m[0], &m[1], sizeof(m[0])) != 0;
    return 0;
}

int cbd_twin_read_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                        bool *differ)
{
    uint32_t seed = cbd_seed_place(c->seed, CBD_SEED_STATE, id, 0);
    struct cbd_m_backend_state m[2];
    struct cbd_backend_state d[2];
    bool valid[2];
    int pick;

    read_both(c, cbd_place_state(id), &m[0], &m[1], sizeof(m[0]), valid);
    for (int i = 0; i < 2; i++)
        valid[i] = valid[i] && cbd_state_decode(&m[i], seed, &d[i]);
    pick = newest(valid, (uint64_t[2]){valid[0] ? d[0].seq : 0, valid[1] ? d[1].seq : 0});
    if (pick < 0)
        return lost(c, "backend state", id, cbd_place_state(id));
    *state = d[pick];
    *differ = !valid[0] || !valid[1] || memcmp(&m[0], &m[1], sizeof(m[0])) != 0;
    return 0;
}

int cbd_twin_read_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                          bool *differ)
{
    uint32_t seed = cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0);
    struct cbd_m_segment m[2];
    struct cbd_segment_entry d[2];
    bool valid[2];
    int pick;

    read_both(c, cbd_place_segment(id), &m[0], &m[1], sizeof(m[0]), valid);
    for (int i = 0; i < 2; i++)
        valid[i] = valid[i] && cbd_segment_decode(&m[i], seed, &c->super.geo, &d[i]);
    pick = newest(valid, (uint64_t[2]){valid[0] ? d[0].seq : 0, valid[1] ? d[1].seq : 0});
    if (pick < 0 && CBD_CANARY(LOST_GENERATION_IS_ZERO)) {
        *entry = (struct cbd_segment_entry){0};
        return 0;
    }
    if (pick < 0)
        return lost(c, "segment entry", id, cbd_place_segment(id));
    *entry = d[pick];
    *differ = !valid[0] || !valid[1] || memcmp(&m[0], &m[1], sizeof(m[0])) != 0;
    return 0;
}

int cbd_twin_write_backend(struct cbd_cache *c, uint32_t id, struct cbd_backend_config *config)
{
    struct cbd_twin twin = {cbd_place_backend(id), sizeof(struct cbd_m_backend)};
    struct cbd_m_backend m;

    config->seq++;
    cbd_backend_encode(config, cbd_seed_place(c->seed, CBD_SEED_BACKEND, id, 0), &m);
    return cbd_twin_write(c, twin, &m, CBD_TWIN_BACKEND_CONFIG);
}

int cbd_twin_write_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                         enum cbd_twin_step_group steps)
{
    struct cbd_twin twin = {cbd_place_state(CBD_CANARY(ENTRY_OF_ANOTHER) ? 0 : id),
                            sizeof(struct cbd_m_backend_state)};
    struct cbd_m_backend_state m;

    state->seq += !CBD_CANARY(SEQUENCE_STUCK);
    cbd_state_encode(state, cbd_seed_place(c->seed, CBD_SEED_STATE, id, 0), &m);
    return cbd_twin_write(c, twin, &m, steps);
}

int cbd_twin_write_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                           enum cbd_twin_step_group steps)
{
    struct cbd_twin twin = {cbd_place_segment(id), sizeof(struct cbd_m_segment)};
    struct cbd_m_segment m;

    entry->seq++;
    cbd_segment_encode(entry, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0), &m);
    return cbd_twin_write(c, twin, &m, steps);
}

/*
 * Makes superblocks and tables durable as they can be read now. After a crash of the process alone
 * a copy may be readable and not yet durable: if the other one were written then, a power cut could
 * take both.
 */
int cbd_tables_settle(struct cbd_cache *c)
{
    const struct cbd_geometry *geo = &c->super.geo;
    const struct {
        uint64_t off, len;
    } part[] = {
        {CBD_SUPER0_OFF, sizeof(struct cbd_m_super)},  {CBD_SUPER1_OFF, sizeof(struct cbd_m_super)},
        {geo->table_a_off, geo->table_bytes},          {geo->table_b_off, geo->table_bytes},
        {geo->super2_off, sizeof(struct cbd_m_super)},
    };

    for (size_t i = 0; i < sizeof(part) / sizeof(part[0]) && !CBD_CANARY(TABLES_NOT_SETTLED); i++)
        c->pm->ops->flush(c->pm, part[i].off, part[i].len, CBD_STEP_RECOVER_FLUSH_TABLES);
    return fence(c, CBD_STEP_RECOVER_FLUSH_TABLES_FENCE);
}

/* Reads a backend's entry and state again and repairs them. Not while it is attached. */
int cbd_repair_backend(struct cbd_cache *c, uint32_t id)
{
    struct cbd_m_backend m;
    struct cbd_m_backend_state ms;
    bool differ;
    int error = cbd_twin_read_backend(c, id, &c->configs[id], &differ);

    if (error == 0 && differ) {
        cbd_backend_encode(&c->configs[id], cbd_seed_place(c->seed, CBD_SEED_BACKEND, id, 0), &m);
        cbd_twin_repair(c, (struct cbd_twin){cbd_place_backend(id), sizeof(m)}, &m);
    }
    if (error == 0)
        error = cbd_twin_read_state(c, id, &c->states[id], &differ);
    if (error == 0 && differ) {
        cbd_state_encode(&c->states[id], cbd_seed_place(c->seed, CBD_SEED_STATE, id, 0), &ms);
        cbd_twin_repair(c, (struct cbd_twin){cbd_place_state(id), sizeof(ms)}, &ms);
    }
    return error;
}

/* The same for the entry of a segment. Not while its owner is attached. */
int cbd_repair_segment(struct cbd_cache *c, uint32_t id)
{
    struct cbd_segment_entry *e = &c->segments[id].entry;
    struct cbd_m_segment m;
    bool differ;
    int error = cbd_twin_read_segment(c, id, e, &differ);

    if (error == 0 && differ) {
        cbd_segment_encode(e, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0), &m);
        cbd_twin_repair(c, (struct cbd_twin){cbd_place_segment(id), sizeof(m)}, &m);
    }
    return error;
}
