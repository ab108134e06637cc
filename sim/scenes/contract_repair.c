/* SPDX-License-Identifier: BSD-2-Clause */
/* Scenes of check and repair: what may be forgotten, and what has to be found. */
#include <string.h>

#include "mender.h"
#include "scene.h"
#include "sim_base.h"

static void garbage(struct scene *r, uint64_t off)
{
    uint8_t line[64];

    memset(line, 0x5c, sizeof(line));
    if (!r->failed)
        sim_pmem_poke(r->pmem, off, line, sizeof(line));
}

/* Writes one block; where its record is. */
static uint64_t write_noted(struct scene *r, uint32_t stream, uint32_t block)
{
    r->pmem->thread = stream;
    scene_note_records(r, true);
    scene_expect(r, scene_write_block(r, 0, block) == 0, "write", block);
    scene_note_records(r, false);
    r->pmem->thread = 0;
    return r->record_off;
}

static void repair(struct scene *r, struct sim_mender *m, enum sim_mend_policy policy)
{
    sim_env_reset(&r->env, 1);
    sim_mender_run(m, &r->pmem->pm, &r->env.env, NULL, policy);
}

/*
 * M4: the entry of the segment with all that is dirty is lost, a clean record is damaged, and a fill is
 * the newest of all. What is clean may not be forgotten before it is known what is dirty.
 */
static void lost_and_damaged(struct scene *r)
{
    struct sim_mender *m = sim_zalloc(1, sizeof(*m));
    uint64_t clean[6] = {0}, dirty, entry;

    r->fills = true;
    r->share = 12;
    scene_create(r, SIM_ADR, 512);
    scene_format(r, 1);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, scene_add(r, 0, r->share, 2) == 0, "add", 0);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    for (uint32_t i = 0; i < 6; i++)
        clean[i] = write_noted(r, 0, i);
    scene_drain(r);
    dirty = write_noted(r, 1, 40);
    if (!r->failed)
        (void)!cbd_read(r->backend[0], 0, 20 * SCENE_BLOCK, r->buf, SCENE_BLOCK);
    scene_power_cut(r);
    garbage(r, clean[3]);
    entry = CBD_BACKENDS * (sizeof(struct cbd_m_backend) + sizeof(struct cbd_m_backend_state)) +
            (dirty - r->geo.data_off) / SCENE_SEGMENT_BYTES * sizeof(struct cbd_m_segment);
    garbage(r, r->geo.table_a_off + entry);
    garbage(r, r->geo.table_b_off + entry);
    repair(r, m, SIM_MEND_PREEN);
    scene_expect(r, m->error == 0, "repair", m->error);
    if (!r->failed)
        scene_open_cache(r);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    scene_compare(r, 0, "a repair forgets what is dirty");
    free(m);
}

static void die_here(void *arg, const struct sim_pm_event *ev)
{
    struct scene *r = arg;

    if (ev->step == CBD_STEP_INSERT_RECORD)
        longjmp(r->died, 1);
}

/* The process dies before it stores the record, and the power fails: its payload is there. */
static void write_payload(struct scene *r, uint32_t block)
{
    r->pmem->hook = die_here;
    r->pmem->hook_arg = r;
    if (setjmp(r->died) == 0) {
        (void)!scene_write_block(r, 0, block);
        scene_expect(r, false, "the scene has not been cut", 0);
    }
    r->pmem->hook = NULL;
    scene_power_cut(r);
}

/*
 *   records   0  1  2  3! discard  5!          ! damaged
 *   payloads  0  1  2  3           5  6        6 proves that 5 was there
 */
static void around_a_discard(struct scene *r)
{
    struct sim_mender *m = sim_zalloc(1, sizeof(*m));
    uint64_t record[6] = {0};

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (uint32_t i = 0; i < 6 && !r->failed; i++)
        if (i == 4)
            scene_expect(r, cbd_zero(r->backend[0], 0, 30 * SCENE_BLOCK, SCENE_BLOCK, 0) == 0,
                         "discard", 0);
        else
            record[i] = write_noted(r, 0, i);
    if (!r->failed)
        write_payload(r, 6);
    garbage(r, record[3]);
    garbage(r, record[5]);
    if (!r->failed)
        repair(r, m, SIM_MEND_NONE);
    scene_expect(r, m->error == 0 && m->result.summary.errors == 2,
                 "a damaged record passes for an unfinished write",
                 (int64_t)m->result.summary.errors);
    free(m);
}

const struct contract_scene contract_repair[] = {
    {"a segment is found again, and a record is damaged", lost_and_damaged, 0},
    {"records on both sides of a discard are damaged", around_a_discard, 0},
    {NULL, NULL, 0},
};
