/* SPDX-License-Identifier: BSD-2-Clause */
/* What a salvage tells is what was written, and everything that is dirty is told (salvage.c). */
#include "engine_rig.h"
#include "rng.h"

#define SECTORS (UINT64_C(2048)) /* of the rig's disk */
#define NOT_TOLD (UINT64_MAX - 3)
#define LOST (UINT64_MAX - 4)
#define NEWEST UINT64_C(2000) /* a sector whose damaged record passes for an unfinished write */

struct told {
    struct rig *r;
    uint64_t version[SECTORS];
    bool suspect[SECTORS];
    uint64_t pieces, lost, suspects;
    uint64_t stop_after; /* pieces; 0: never */
};

static int on_piece(void *arg, const struct cbd_salvage_piece *p)
{
    struct told *t = arg;
    const uint8_t *data = p->data;
    uint64_t first = p->addr_bytes / 512;

    assert_true(p->len_bytes > 0 && p->addr_bytes % 512 == 0 && p->len_bytes % 512 == 0);
    assert_true(first + p->len_bytes / 512 <= SECTORS);
    assert_int_equal(p->error != 0, p->kind == CBD_SALVAGE_LOST);
    t->pieces++;
    t->lost += p->kind == CBD_SALVAGE_LOST;
    t->suspects += p->suspect;
    for (uint64_t i = 0; i < p->len_bytes / 512; i++) {
        assert_true(t->version[first + i] == NOT_TOLD); /* each place once */
        t->suspect[first + i] = p->suspect;
        t->version[first + i] = p->kind == CBD_SALVAGE_LOST ? LOST
                                : p->kind == CBD_SALVAGE_ZERO
                                    ? SIM_VERSION_ZERO
                                    : sim_sector_decode(data + i * 512, first + i);
    }
    return t->pieces == t->stop_after ? CBD_E_IO : 0;
}

static void salvage(struct rig *r, struct told *t)
{
    *t = (struct told){.r = r};
    for (uint64_t s = 0; s < SECTORS; s++)
        t->version[s] = NOT_TOLD;
    assert_int_equal(cbd_backend_salvage(r->backend[0], on_piece, t), 0);
}

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    *(uint32_t *)arg += !lost->range_known;
}

/* What is told as good is right, and what the disk lacks is told, unless nobody knows its place. */
static void judge(const struct told *t)
{
    struct rig *r = t->r;
    uint32_t unknown = 0;

    cbd_backend_lost(r->backend[0], on_lost, &unknown);
    for (uint64_t s = 0; s < SECTORS; s++) {
        uint64_t got = t->version[s];

        if (s == NEWEST || (got == NOT_TOLD && unknown != 0))
            continue;
        if (got == NOT_TOLD)
            got = sim_disk_peek(r->disk[0], s);
        if (got != LOST && !t->suspect[s] && got != r->want[0][s])
            fail_msg("sector %llu: %llx, want %llx", (unsigned long long)s, (unsigned long long)got,
                     (unsigned long long)r->want[0][s]);
    }
}

static struct rig *attached(void)
{
    struct rig *r = rig_create(NULL);

    rig_attach(r);
    return r;
}

static void everything_dirty_is_told(void **state)
{
    struct rig *r = attached();
    struct told *t = malloc(sizeof(*t));

    (void)state;
    rig_write(r, 0, 262144, 0);
    rig_flush(r);
    rig_write_back(r);
    rig_write(r, 0, 8192, 0);
    rig_write(r, 4096, 8192, 0);
    rig_zero(r, 2048, 1024, 0);
    rig_zero(r, 65536, 131072, CBD_WRITE_PUNCH);
    rig_write(r, 131072, 512, 0);
    salvage(r, t);
    judge(t);
    assert_int_equal(t->lost, 0);
    assert_int_equal(t->suspects, 0);
    assert_true(t->version[24] == NOT_TOLD); /* clean */
    for (uint64_t s = 0; s < SECTORS; s++)
        t->version[s] = NOT_TOLD;
    t->pieces = 0;
    t->stop_after = 2;
    assert_int_equal(cbd_backend_salvage(r->backend[0], on_piece, t), CBD_E_IO);
    assert_int_equal(t->pieces, 2);
    rig_detach(r);
    rig_check_disk(r, 0);
    free(t);
    rig_destroy(r);
}

static void what_is_lost_is_told_and_the_rest_is_good(void **state)
{
    struct rig *r = attached();
    struct told *t = malloc(sizeof(*t));
    uint32_t id;

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_write(r, 16384, 8192, 0); /* its record is damaged */
    rig_write(r, 32768, 8192, 0); /* one block of it is damaged */
    rig_write(r, 16384, 1024, 0); /* certainly newer */
    rig_write(r, 65536, 4096, 0);
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_scribble(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 2).payload_off + 5000, 1);
    rig_kill(r);
    rig_scribble(r, rig_slot_off(r, id, 1), 64);
    assert_true(rig_degraded(r));
    salvage(r, t);
    judge(t);
    assert_int_equal(t->suspects, 0);
    for (uint64_t s = 0; s < SECTORS; s++)
        assert_int_equal(t->version[s] == LOST, (s >= 34 && s < 48) || (s >= 72 && s < 80));
    free(t);
    rig_abandon(r);
    rig_destroy(r);
}

/* Nobody knows where the lost discard was: what may be older than it is suspect, and only that. */
static void what_may_be_older_than_a_lost_place_is_suspect(void **state)
{
    struct rig *r = attached();
    struct told *t = malloc(sizeof(*t));
    uint32_t id;

    (void)state;
    rig_write(r, 0, 8192, 0);
    rig_zero(r, 0, 4096, 0); /* this one */
    rig_write(r, 16384, 8192, 0);
    rig_flush(r);
    rig_write(r, 65536, 8192, 0); /* of a later epoch */
    id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);
    rig_kill(r);
    rig_scribble(r, rig_slot_off(r, id, 1), 64);
    assert_true(rig_degraded(r));
    salvage(r, t);
    judge(t);
    assert_int_equal(t->lost, 0);
    assert_true(t->suspect[0] && t->suspect[15]);
    assert_false(t->suspect[128]);
    assert_true(t->version[128] == r->want[0][128]);
    free(t);
    rig_abandon(r);
    rig_destroy(r);
}

/* Lives at random, with damage at random behind them. */
static void nothing_wrong_is_told_for_good(void **state)
{
    struct told *t = malloc(sizeof(*t));
    uint64_t lost = 0, suspects = 0, good = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rig *r = attached();
        struct sim_rng rng;

        sim_rng_seed(&rng, seed);
        for (int i = 0; i < 40; i++) {
            uint64_t off = sim_rng_below(&rng, 240) * 4096;
            uint64_t len = (1 + sim_rng_below(&rng, 32)) * 512;

            if (i == 10 || sim_rng_below(&rng, 30) == 0) {
                rig_flush(r);
                rig_write_back(r);
            }
            if (sim_rng_below(&rng, 5) == 0)
                rig_zero(r, off, len, 0);
            else
                rig_write(r, off, len, sim_rng_below(&rng, 9) == 0 ? CBD_WRITE_FUA : 0);
        }
        rig_write(r, NEWEST * 512, 512, 0);
        rig_kill(r);
        for (uint32_t id = 0; id < r->geo.segment_count; id++) {
            struct cbd_segment_entry e = rig_entry(r, id);

            if (e.status == CBD_M_SEGMENT_FREE || sim_rng_below(&rng, 3) != 0)
                continue;
            if (sim_rng_below(&rng, 2) == 0)
                rig_scribble(r, rig_slot_off(r, id, (uint32_t)sim_rng_below(&rng, 6)), 64);
            else
                rig_flip(r, cbd_segment_off(&r->geo, id) + 30000 + sim_rng_below(&rng, 20000));
        }
        rig_open(r);
        if (rig_try_attach(r, 0) == 0) {
            salvage(r, t);
            judge(t);
            lost += t->lost;
            suspects += t->suspects;
            good += t->pieces - t->lost - t->suspects;
            rig_abandon(r);
        }
        rig_destroy(r);
    }
    assert_true(lost > 20 && suspects > 20 && good > 1000);
    free(t);
}

static void memory_may_be_missing(void **state)
{
    struct rig *r = attached();
    struct told *t = malloc(sizeof(*t));

    (void)state;
    *t = (struct told){.r = r};
    rig_write(r, 0, 4096, 0);
    r->alloc_fail_at = r->allocs;
    assert_int_equal(cbd_backend_salvage(r->backend[0], on_piece, t), CBD_E_NOMEM);
    assert_int_equal(t->pieces, 0);
    r->alloc_fail_at = UINT64_MAX;
    free(t);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_dirty_is_told),
        cmocka_unit_test(what_is_lost_is_told_and_the_rest_is_good),
        cmocka_unit_test(what_may_be_older_than_a_lost_place_is_suspect),
        cmocka_unit_test(nothing_wrong_is_told_for_good),
        cmocka_unit_test(memory_may_be_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
