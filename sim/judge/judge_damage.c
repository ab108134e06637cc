/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage of the memory that comes with a power cut, and what it explains. */
#include "judge_impl.h"

#include <string.h>

#include "cbd/le.h"
#include "sim_base.h"

/*
 * One copy of a superblock or of a table entry is lost (P7). Only where the power cut left both
 * copies equal: one fault, not two.
 */
void judge_lose_copy(struct sim_judge *j, uint64_t draw)
{
    struct sim_pmem *pm = j->world->pmem;
    const struct cbd_geometry *geo = &j->world->geo;
    uint64_t lines = geo->table_bytes / CBD_LINE_BYTES;
    uint64_t line = draw % (lines + CBD_SUPER_COPIES);
    uint64_t supers[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo->super2_off};
    uint64_t a = geo->table_a_off + line * CBD_LINE_BYTES;
    uint64_t b = geo->table_b_off + line * CBD_LINE_BYTES;
    uint8_t garbage[CBD_LINE_BYTES];

    memset(garbage, (int)(draw >> 56), sizeof(garbage));
    if (line >= lines)
        a = b = supers[line - lines];
    else if (memcmp(pm->pm.base + a, pm->pm.base + b, CBD_LINE_BYTES) != 0)
        return;
    sim_pmem_poke(pm, (draw >> 32 & 1) != 0 ? a : b, garbage, sizeof(garbage));
    j->counts.lost_copies++;
}

/* ---- one line, with the rest of the metadata whole ---- */

/* Live records, by number; the one that is wanted is kept. */
struct victim {
    struct sim_judge *j;
    uint64_t wanted, count;
    struct cbd_check_record record;
};

static void count_record(void *arg, const struct cbd_check_record *record)
{
    struct victim *victim = arg;

    if (record->live && victim->count++ == victim->wanted)
        victim->record = *record;
}

static bool find_victim(struct sim_judge *j, uint64_t draw, struct cbd_check_record *record)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN, .record = count_record};
    struct cbd_check_summary summary;
    struct victim victim = {.j = j, .wanted = UINT64_MAX};

    for (int pass = 0; pass < 2; pass++) {
        sim_env_reset(&j->process.env, 0);
        victim.count = 0;
        if (cbd_check_run(&j->world->pmem->pm, &j->process.env.env, &options, NULL, &victim,
                          &summary) != 0 ||
            victim.count == 0)
            return false;
        victim.wanted = draw % victim.count;
    }
    *record = victim.record;
    return true;
}

/* A line of a table with two equal copies, or of a superblock. */
static uint64_t pick_copy(struct sim_judge *j, uint64_t draw, bool *found)
{
    const struct cbd_geometry *geo = &j->world->geo;
    const uint8_t *base = j->world->pmem->pm.base;
    uint64_t lines = geo->table_bytes / CBD_LINE_BYTES;
    uint64_t supers[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo->super2_off};
    uint64_t line = draw % (lines + CBD_SUPER_COPIES);
    uint64_t a = geo->table_a_off + line * CBD_LINE_BYTES;
    uint64_t b = geo->table_b_off + line * CBD_LINE_BYTES;

    *found = line >= lines || memcmp(base + a, base + b, CBD_LINE_BYTES) == 0;
    return line >= lines ? supers[line - lines] : (draw >> 32 & 1) != 0 ? a : b;
}

/* A line of a live record, or of the header and data that belong to it. */
static uint64_t pick_record_line(struct sim_judge *j, uint64_t draw, bool *found)
{
    const struct cbd_geometry *geo = &j->world->geo;
    const uint8_t *base = j->world->pmem->pm.base;
    struct cbd_check_record record;
    struct cbd_m_record m;
    uint64_t payload, len;

    *found = find_victim(j, sim_rng_mix(draw, 2), &record);
    if (!*found)
        return 0;
    memcpy(&m, base + record.off_bytes, sizeof(m));
    len = cbd_get64(m.len_bytes);
    j->damage.backend = record.backend;
    j->damage.record_off = record.off_bytes;
    j->damage.first = cbd_get64(m.addr_bytes) / 512;
    j->damage.sectors = len / 512;
    if (m.type == CBD_M_RECORD_ZERO || m.type == CBD_M_RECORD_VOID || draw % 3 == 0) {
        /* No one can tell the loss of the newest discard from a discard that was cut: docs. */
        *found = m.type != CBD_M_RECORD_ZERO && m.type != CBD_M_RECORD_VOID;
        return record.off_bytes;
    }
    payload =
        geo->data_off + (uint64_t)record.segment * geo->segment_bytes + cbd_get32(m.payload_off);
    if (draw % 3 == 1)
        return payload - CBD_LINE_BYTES; /* the header */
    return payload + sim_rng_mix(draw, 3) % (len / CBD_LINE_BYTES) * CBD_LINE_BYTES;
}

static int on_damage(void *arg, const struct cbd_check_finding *f)
{
    struct sim_judge *j = arg;
    struct sim_damage *d = &j->damage;

    if (f->range_known && f->backend != CBD_CHECK_NONE && d->ranges < SIM_JUDGE_RANGES)
        d->range[d->ranges++] =
            (struct sim_damage_range){f->backend, f->addr_bytes / 512, (f->len_bytes + 511) / 512};
    return 0;
}

static int look_at_damage(struct sim_judge *j)
{
    struct cbd_check_options options = {.flags =
                                            CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_DATA};
    struct cbd_check_summary summary;

    sim_env_reset(&j->process.env, 0);
    return cbd_check_run(&j->world->pmem->pm, &j->process.env.env, &options, on_damage, j,
                         &summary);
}

int judge_damage(struct sim_judge *j, const struct sim_state_plan *plan)
{
    struct sim_world *w = j->world;
    struct sim_damage *d = &j->damage;
    uint64_t draw = plan->fault_draw;
    uint8_t line[CBD_LINE_BYTES];
    bool found;

    d->strict = draw >> 40 & 1;
    d->off =
        d->strict ? pick_copy(j, sim_rng_mix(draw, 1), &found) : pick_record_line(j, draw, &found);
    if (!found)
        return 0;
    memcpy(line, w->pmem->pm.base + d->off, sizeof(line));
    if (plan->fault == SIM_FAULT_STALE) {
        if (w->faults.old == NULL || memcmp(line, w->faults.old + d->off, sizeof(line)) == 0)
            return 0;
        memcpy(line, w->faults.old + d->off, sizeof(line));
    } else if (plan->fault == SIM_FAULT_FLIP) {
        line[draw >> 48 & 63] ^= (uint8_t)(1u << (draw >> 54 & 7));
    } else {
        memset(line, 0xa5, sizeof(line)); /* what an unguarded load would see */
        d->unread = d->off == d->record_off;
        if (!w->config.faults_mute)
            sim_pmem_poison(w->pmem, d->off, sizeof(line));
    }
    sim_pmem_poke(w->pmem, d->off, line, sizeof(line));
    d->done = true;
    j->counts.damaged++;
    return d->strict ? 0 : look_at_damage(j);
}

bool judge_damage_covers(const struct sim_judge *j, uint32_t backend, uint64_t first,
                         uint64_t sectors)
{
    const struct sim_damage *d = &j->damage;

    return d->done && !d->strict && d->backend == backend && first < d->first + d->sectors &&
           d->first < first + sectors;
}

static bool named(const struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors)
{
    for (uint32_t i = 0; i < j->damage.ranges; i++) {
        const struct sim_damage_range *r = &j->damage.range[i];

        if (r->backend == backend && first < r->first + r->sectors && r->first < first + sectors)
            return true;
    }
    return false;
}

/*
 * durability=flush: a record that cannot be read may have proven those before it, of which a power
 * cut has left no payload. Nobody knows whether they were durable; check names them.
 */
bool judge_damage_hides(const struct sim_judge *j, uint32_t backend, uint64_t first,
                        uint64_t sectors)
{
    return judge_damage_covers(j, backend, first, sectors) ||
           (j->damage.unread && j->world->config.durability == CBD_DURABLE_ON_FLUSH &&
            named(j, backend, first, sectors));
}

bool judge_damage_excuses(const struct sim_judge *j, int error, uint32_t backend, uint64_t first,
                          uint64_t sectors)
{
    return (error == CBD_E_CORRUPT || error == CBD_E_MEDIA) &&
           judge_damage_hides(j, backend, first, sectors);
}

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    if (!lost->range_known)
        *(bool *)arg = true;
}

/* The backend is served for reading only, and says that it does not know what was lost. */
static bool says_unknown(const struct sim_judge *j, uint32_t backend)
{
    bool unknown = false;

    (void)cbd_backend_lost(j->process.backend[backend], on_lost, &unknown);
    return unknown;
}

bool judge_damage_explains(const struct sim_judge *j, uint32_t backend,
                           const struct sim_oracle_violation *violation, bool piece)
{
    uint64_t sectors = piece ? j->world->atomic_sectors : 1;
    uint64_t first = violation->sector - violation->sector % sectors;

    if (!judge_damage_covers(j, backend, first, sectors) || violation->reason == SIM_ORACLE_FOREIGN)
        return false;
    return named(j, backend, first, sectors) || says_unknown(j, backend);
}
