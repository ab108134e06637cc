/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making an empty cache.
 *
 *   old or none --F1--> "being formatted" --F2--> the same, new tables --F3--> new cache
 *
 * F1  superblocks that say "being formatted", with the new generation floor, are durable before a
 *     table is touched: a crash in between leaves no cache, never an old superblock over new tables,
 *     and the next format still knows the floor: superblocks are written one by one, so that one
 *     which says it is always whole;
 * F2  tables are durable before a superblock names them;
 * F3  generations start above any that a superblock or table of this device leads to, and the salt
 *     is new: no old record validates in the new cache.
 */
#include <string.h>

#include "cbd/canary.h"
#include "crc.h"
#include "media.h"

/* The highest generation in the tables that an old superblock describes, or its floor. */
static uint64_t old_generation(struct cbd_pmem *pm, const struct cbd_super *old)
{
    uint32_t cache_seed = cbd_seed_cache(old->uuid, old->salt);
    uint64_t highest = old->generation_floor;

    for (uint32_t i = 0; i < 2 * old->geo.segment_count; i++) {
        uint64_t table = i % 2 == 0 ? old->geo.table_a_off : old->geo.table_b_off;
        struct cbd_segment_entry entry;
        struct cbd_m_segment m;

        if (pm->ops->read(pm, table + cbd_place_segment(i / 2), &m, sizeof(m)) != 0)
            continue;
        if (cbd_segment_decode(&m, cbd_seed_place(cache_seed, CBD_SEED_SEGMENT, i / 2, 0),
                               &old->geo, &entry) &&
            entry.generation > highest)
            highest = entry.generation;
    }
    return highest;
}

static void write_table(struct cbd_pmem *pm, const struct cbd_super *super, uint64_t table)
{
    uint32_t cache_seed = cbd_seed_cache(super->uuid, super->salt);
    struct cbd_segment_entry entry = {.seq = 1, .generation = super->generation_floor};
    struct cbd_backend_config config = {.seq = 1};
    struct cbd_backend_state state = {.seq = 1};

    pm->ops->set(pm, table, 0, super->geo.table_bytes, CBD_PMEM_NT, CBD_STEP_FORMAT_TABLE);
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        struct cbd_m_backend m;
        struct cbd_m_backend_state ms;

        cbd_backend_encode(&config, cbd_seed_place(cache_seed, CBD_SEED_BACKEND, i, 0), &m);
        pm->ops->copy(pm, table + cbd_place_backend(i), &m, sizeof(m), CBD_PMEM_NT,
                      CBD_STEP_FORMAT_TABLE);
        cbd_state_encode(&state, cbd_seed_place(cache_seed, CBD_SEED_STATE, i, 0), &ms);
        pm->ops->copy(pm, table + cbd_place_state(i), &ms, sizeof(ms), CBD_PMEM_NT,
                      CBD_STEP_FORMAT_TABLE);
    }
    for (uint32_t i = 0; i < super->geo.segment_count; i++) {
        struct cbd_m_segment m;

        cbd_segment_encode(&entry, cbd_seed_place(cache_seed, CBD_SEED_SEGMENT, i, 0), &m);
        pm->ops->copy(pm, table + cbd_place_segment(i), &m, sizeof(m), CBD_PMEM_NT,
                      CBD_STEP_FORMAT_TABLE);
    }
}

/* One after the other, so that at any moment one copy on the device is whole. `fence`: its step. */
static int write_supers(struct cbd_pmem *pm, const struct cbd_super *super, enum cbd_step step,
                        enum cbd_step fence)
{
    uint64_t places[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, super->geo.super2_off};
    int error = 0;

    for (uint32_t copy = 0; copy < CBD_SUPER_COPIES && error == 0; copy++) {
        struct cbd_m_super m;

        cbd_super_encode(super, copy, &m);
        pm->ops->copy(pm, places[copy], &m, sizeof(m), CBD_PMEM_NT, step);
        error = pm->ops->fence(pm, fence);
    }
    return error;
}

/* F1. A copy of the old superblock that a crash here leaves still describes untouched tables. */
static int begin(struct cbd_pmem *pm, const struct cbd_super *super, uint64_t old_super2_off)
{
    struct cbd_super formatting = *super;

    formatting.incompat |= CBD_INCOMPAT_FORMATTING;
    if (old_super2_off != 0 && old_super2_off != super->geo.super2_off &&
        !CBD_CANARY(OLD_SUPERBLOCK_LEFT))
        pm->ops->set(pm, old_super2_off, 0, CBD_PAGE_BYTES, CBD_PMEM_NT, CBD_STEP_FORMAT_ERASE);
    return write_supers(pm, &formatting, CBD_STEP_FORMAT_BEGIN, CBD_STEP_FORMAT_BEGIN_FENCE);
}

int cbd_format(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_format_options *options,
               struct cbd_geometry *geo)
{
    struct cbd_super super, old;
    uint32_t bad;
    int error;

    memset(&super, 0, sizeof(super));
    error = cbd_geometry_plan(&super.geo, pm->size_bytes, options->segment_bytes);
    if (error != 0)
        return error;
    memcpy(super.uuid, options->uuid, sizeof(super.uuid));
    memcpy(super.label, options->label, cbd_text_len(options->label, CBD_LABEL_BYTES));
    super.disk_version = CBD_DISK_VERSION;
    super.incompat = options->no_data_checksum ? 0 : CBD_INCOMPAT_DATA_CHECKSUMS;
    super.created_s = options->created_s;
    super.salt = options->salt;
    super.generation_floor = cbd_super_generation(pm) + 1; /* F3 */
    if (CBD_CANARY(FORMAT_RESTARTS_GENERATIONS))
        super.generation_floor = 1, old.geo.super2_off = 0;
    else if (cbd_super_read(pm, env, &old, &bad) != 0)
        old.geo.super2_off = 0;
    else if (old_generation(pm, &old) >= super.generation_floor)
        super.generation_floor = old_generation(pm, &old) + 1;
    error = CBD_CANARY(FORMAT_NOT_ANNOUNCED) ? 0 : begin(pm, &super, old.geo.super2_off);
    if (CBD_CANARY(NAMED_BEFORE_TABLES))
        error = write_supers(pm, &super, CBD_STEP_FORMAT_SUPER, CBD_STEP_FORMAT_SUPER_FENCE);
    if (error != 0)
        return error;
    write_table(pm, &super, super.geo.table_a_off);
    if (!CBD_CANARY(OLD_COPIES_LEFT))
        write_table(pm, &super, super.geo.table_b_off);
    error = pm->ops->fence(pm, CBD_STEP_FORMAT_TABLE_FENCE); /* F2 */
    if (error != 0)
        return error;
    error = write_supers(pm, &super, CBD_STEP_FORMAT_SUPER, CBD_STEP_FORMAT_SUPER_FENCE);
    *geo = super.geo;
    return error;
}
