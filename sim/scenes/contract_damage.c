/* SPDX-License-Identifier: BSD-2-Clause */
/* Scenes of damage under a running cache: scrub, dirty data that is held, records that are lost. */
#include <string.h>

#include "scene.h"
#include "score.h"
#include "sim_base.h"

static void write_run(struct scene *r, uint32_t from, uint32_t end)
{
    for (uint32_t i = from; i < end; i++)
        scene_expect(r, scene_write_block(r, 0, i) == 0, "write", i);
}

static int read_one(struct scene *r, uint32_t block)
{
    return r->failed
               ? 0
               : cbd_read(r->backend[0], 0, (uint64_t)block * SCENE_BLOCK, r->buf, SCENE_BLOCK);
}

static void scrub(struct scene *r)
{
    if (!r->failed)
        while (cbd_backend_step(r->backend[0], CBD_WORK_SCRUB) > 0)
            ;
}

/* U2: what the disk has is stored again, so it is there when the disk is not. */
static void scrubbed_clean(struct scene *r)
{
    r->options.scrub_rate_bytes = CBD_SCRUB_RATE_MAX;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    scene_drain(r);
    scene_flip(r, scene_place(r, 3) + 100);
    scrub(r);
    sim_disk_set_gone(r->disk[0], true);
    scene_expect(r, read_one(r, 3) == 0, "scrub has not healed clean data", 3);
    sim_disk_set_gone(r->disk[0], false);
    scene_compare(r, 0, "after a scrub");
}

/* U3: of dirty data the disk has only what it was before. */
static void scrubbed_dirty(struct scene *r)
{
    r->options.scrub_rate_bytes = CBD_SCRUB_RATE_MAX;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    scene_drain(r);
    write_run(r, 0, 8);
    scene_flip(r, scene_place(r, 3) + 100);
    scrub(r);
    scene_expect(r, read_one(r, 3) == CBD_E_CORRUPT, "scrub replaces damaged dirty data", 3);
}

/* W7: a block of an epoch cannot be read. The others are on the disk, and it is not given up. */
static void hold(struct scene *r, uint32_t blocks)
{
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    for (uint32_t i = 0; i < blocks; i++)
        scene_flip(r, scene_place(r, 3 + i) + 100);
    scene_drain(r);
}

static void held(struct scene *r)
{
    struct cbd_range ranges[4];
    bool more;
    uint32_t n;

    hold(r, 1);
    if (r->failed)
        return;
    n = cbd_backend_held(r->backend[0], ranges, 4, &more);
    scene_expect(r, n == 1 && ranges[0].addr_bytes == 3 * SCENE_BLOCK,
                 "dirty data that cannot be read does not hold write-back", n);
    scene_expect(r, cbd_backend_detach(r->backend[0]) != 0,
                 "a detach says clean, and dirty data is lost", 0);
    scene_expect(r, sim_disk_peek(r->disk[0], 7 * SCENE_BLOCK_SECTORS) == r->version[0][7],
                 "what can be read is not written back", 7);
}

/* Two neighbours are held as one range; one of them is given up. */
static void held_in_part(struct scene *r)
{
    struct cbd_range range;
    bool more;

    hold(r, 2);
    if (r->failed)
        return;
    scene_expect(r, cbd_backend_forgo(r->backend[0], 3 * SCENE_BLOCK, SCENE_BLOCK) == 0, "forgo",
                 0);
    scene_drain(r);
    scene_expect(r, cbd_backend_held(r->backend[0], &range, 1, &more) == 1,
                 "dirty data is dropped that nobody gave up", 0);
}

/* Given up, and then it can be read: that is used up with its epoch. */
static void held_and_healed(struct scene *r)
{
    struct cbd_range range;
    bool more;

    hold(r, 2);
    if (r->failed)
        return;
    scene_expect(r, cbd_backend_forgo(r->backend[0], 3 * SCENE_BLOCK, SCENE_BLOCK) == 0, "forgo",
                 0);
    for (uint32_t i = 3; i < 5; i++)
        scene_flip(r, scene_place(r, i) + 100);
    scene_drain(r);
    write_run(r, 3, 4);
    scene_flip(r, scene_place(r, 3) + 100);
    scene_drain(r);
    scene_expect(r, cbd_backend_held(r->backend[0], &range, 1, &more) == 1,
                 "what was given up once is given up again", 0);
}

/* L2, L3: the record of dirty data is damaged; its header says what is lost. */
static void lost(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    scene_drain(r);
    scene_note_records(r, true);
    write_run(r, 3, 4);
    scene_note_records(r, false);
    write_run(r, 5, 8);
    scene_power_cut(r);
    scene_flip(r, r->record_off + 20);
    if (!r->failed)
        scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach with a lost record", error);
    scene_expect(r, read_one(r, 3) == CBD_E_CORRUPT, "of a lost write the older version is read",
                 3);
    error = r->failed ? 0 : scene_write_block(r, 0, 20);
    scene_expect(r, error == CBD_E_READONLY, "a backend that has lost something stores", error);
}

/* L1: what the lost record of clean data has hidden must not come back. */
static void lost_clean(struct scene *r)
{
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 8);
    scene_note_records(r, true);
    write_run(r, 3, 4);
    scene_note_records(r, false);
    write_run(r, 5, 8);
    scene_drain(r);
    scene_power_cut(r);
    scene_flip(r, r->record_off + 20);
    if (!r->failed)
        scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach with a lost record", error);
    scene_compare(r, 0, "what a lost clean record had hidden is read");
}

/* V6: durability=flush; a power cut leaves a hole below a whole record, which is served and then lost. */
static void behind_a_hole(struct scene *r)
{
    static const uint8_t zeroes[CBD_LINE_BYTES];
    uint64_t header, record;
    int error;

    r->options.durability = CBD_DURABLE_ON_FLUSH;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 1);
    scene_expect(r, r->failed || cbd_flush(r->backend[0], 0) == 0, "flush", 0);
    write_run(r, 1, 2);
    scene_note_records(r, true);
    write_run(r, 2, 3);
    scene_note_records(r, false);
    record = r->record_off;
    header = scene_place(r, 2) - CBD_LINE_BYTES;
    write_run(r, 3, 4);
    scene_power_cut(r);
    if (r->failed)
        return;
    sim_pmem_poke(r->pmem, record, zeroes, sizeof(zeroes));
    sim_pmem_poke(r->pmem, header, zeroes, sizeof(zeroes));
    scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0 && read_one(r, 3) == 0, "attach with a hole", error);
    scene_power_cut(r);
    scene_flip(r, record - CBD_LINE_BYTES + 20); /* of block 3 */
    scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach with a lost record", error);
    error = r->failed ? 0 : scene_write_block(r, 0, 20);
    scene_expect(r, error == CBD_E_READONLY, "what was served is lost in silence", error);
}

/*
 * V3: a record lost its length with the power and is taken for unfinished. The next one in its slot
 * has the same length, and of it nothing else reaches the medium.
 */
static void torn_twice(struct scene *r)
{
    enum { LEN = offsetof(struct cbd_m_record, len_bytes), WORD = sizeof(uint64_t) };
    static const uint8_t zeroes[WORD];
    uint8_t before[SCENE_SEGMENT_BYTES], len[WORD];
    uint64_t at, record;
    int error;

    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 2);
    scene_note_records(r, true);
    error = r->failed ? 0 : cbd_zero(r->backend[0], 0, 0, SCENE_BLOCK, 0);
    scene_expect(r, error == 0, "zero", error);
    scene_note_records(r, false);
    record = r->record_off;
    scene_power_cut(r);
    if (r->failed)
        return;
    sim_pmem_poke(r->pmem, record + LEN, zeroes, sizeof(zeroes));
    scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_compare(r, 0, "a torn record is served");
    if (r->failed)
        return;
    at = r->geo.data_off + (record - r->geo.data_off) / SCENE_SEGMENT_BYTES * SCENE_SEGMENT_BYTES;
    memcpy(before, r->pmem->pm.base + at, sizeof(before));
    error = cbd_zero(r->backend[0], 0, SCENE_BLOCK, SCENE_BLOCK, 0);
    scene_expect(r, error == 0, "zero", error);
    scene_power_cut(r);
    memcpy(len, r->pmem->pm.base + record + LEN, sizeof(len));
    sim_pmem_poke(r->pmem, at, before, sizeof(before));
    sim_pmem_poke(r->pmem, record + LEN, len, sizeof(len));
    scene_open_cache(r);
    error = scene_attach(r, 0);
    scene_expect(r, error == 0, "attach", error);
    scene_compare(r, 0, "a write comes back that was gone");
}

/*
 * durability=flush. A write is lost but for its payload; the next one in its slot is lost but for
 * its record, and the record behind that cannot be read.
 */
static void foreign_header(struct scene *r)
{
    static const uint8_t zeroes[CBD_LINE_BYTES];
    uint8_t before[CBD_LINE_BYTES + SCENE_BLOCK];
    uint64_t payload, record, first;

    r->options.durability = CBD_DURABLE_ON_FLUSH;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    scene_note_records(r, true);
    write_run(r, 0, 1);
    payload = scene_place(r, 0);
    record = r->record_off;
    first = r->version[0][0];
    scene_power_cut(r);
    if (r->failed)
        return;
    sim_pmem_poke(r->pmem, record, zeroes, sizeof(zeroes));
    memcpy(before, r->pmem->pm.base + payload - CBD_LINE_BYTES, sizeof(before));
    scene_open_cache(r);
    scene_expect(r, scene_attach(r, 0) == 0, "attach", 0);
    write_run(r, 0, 2);
    scene_power_cut(r);
    if (r->failed)
        return;
    sim_pmem_poke(r->pmem, payload - CBD_LINE_BYTES, before, sizeof(before));
    sim_pmem_poison(r->pmem, record - CBD_LINE_BYTES, CBD_LINE_BYTES);
    scene_open_cache(r);
    scene_expect(r, scene_attach(r, 0) == 0, "attach with a record that cannot be read", 0);
    scene_expect(r, read_one(r, 0) != 0 || sim_sector_decode(r->buf, 0) != first,
                 "the data of another write is served", (int64_t)first);
}

static void cut_here(void *arg, const struct sim_pm_event *ev)
{
    struct scene *r = arg;

    if (ev->step == CBD_STEP_SEGMENT_CLOSE_A_FENCE)
        longjmp(r->died, 1);
}

/*
 * V6: the segment with a hole is being closed when the power fails, and one pending word after the
 * other is the one that is lost. The void record may not be lost without the entry.
 */
static void cut_while_closing(struct scene *r)
{
    static const uint8_t zeroes[CBD_LINE_BYTES];
    volatile bool died = true;
    int error;

    r->options.durability = CBD_DURABLE_ON_FLUSH;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    write_run(r, 0, 2);
    scene_note_records(r, true);
    write_run(r, 2, 3);
    scene_note_records(r, false);
    write_run(r, 3, 4);
    scene_power_cut(r);
    if (r->failed)
        return;
    sim_pmem_poke(r->pmem, r->record_off, zeroes, sizeof(zeroes));
    for (uint64_t k = 0; k < 64 && !r->failed; k++) {
        const struct sim_crash lost = {.kind = SIM_CRASH_ONE_LOST, .k = k};

        sim_pmem_mark(r->pmem);
        scene_open_cache(r);
        r->pmem->hook = cut_here;
        r->pmem->hook_arg = r;
        if (setjmp(r->died) == 0) {
            error = scene_attach(r, 0);
            scene_expect(r, false, "the scene has closed nothing", error);
            died = false;
        }
        r->pmem->hook = NULL;
        sim_pmem_crash(r->pmem, &lost);
        if (died && !r->failed) {
            scene_open_cache(r);
            error = scene_attach(r, 0);
            scene_expect(r, error == 0, "attach", error);
            error = r->failed ? 0 : scene_write_block(r, 0, 20);
            scene_expect(r, error == 0, "an unfinished write is taken for a loss", error);
        }
        sim_pmem_rollback(r->pmem);
    }
}

const struct contract_scene contract_damage[] = {
    {"scrub of clean damage", scrubbed_clean, SCORE(FLIP)},
    {"scrub of dirty damage", scrubbed_dirty, SCORE(FLIP)},
    {"a write is held", held, SCORE(FLIP)},
    {"held, given up in part", held_in_part, SCORE(FLIP)},
    {"held, given up, and healed", held_and_healed, SCORE(FLIP)},
    {"a dirty record is lost", lost, SCORE(FLIP)},
    {"a clean record is lost", lost_clean, SCORE(FLIP)},
    {"a record behind a hole is lost", behind_a_hole, SCORE(FLIP)},
    {"a record is torn, and the next in its slot", torn_twice, SCORE(ADR)},
    {"a header of another write", foreign_header, SCORE(POISON)},
    {"the power fails while a hole is closed", cut_while_closing, SCORE(ADR)},
    {NULL, NULL, 0},
};
