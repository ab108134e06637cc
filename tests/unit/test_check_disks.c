/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A check that has the backing devices: whatever was written, overwritten, discarded, read, written
 * back and cut off, the right disk has no error; a sector that somebody changed behind a clean cache
 * is one, and what is dirty or older says nothing.
 */
#include "engine_rig.h"

#define BLOCK UINT64_C(4096)
#define RUNS 24u
#define OPERATIONS 160u

struct named {
    uint32_t code;
    uint64_t count, addr, len;
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct named *n = arg;

    if (f->problem->code < 2030 || f->problem->code >= 2040)
        return 0;
    n->code = f->problem->code;
    n->count++;
    n->addr = f->addr_bytes;
    n->len = f->len_bytes;
    return 0;
}

/* What the check says about the disk; it changes nothing. */
static struct named check(struct rig *r)
{
    struct cbd_disk *disks[CBD_BACKENDS] = {&r->disk[0]->disk};
    const struct cbd_check_options options = {.flags = CBD_CHECK_SCAN, .disks = disks};
    uint64_t ops = r->pmem->ops_done;
    struct named named = {0};
    struct cbd_check_summary sum;

    assert_int_equal(cbd_check_run(&r->pmem->pm, &r->env.env, &options, on_finding, &named, &sum),
                     0);
    assert_int_equal(r->pmem->ops_done, ops);
    return named;
}

static void right(struct rig *r)
{
    struct named named = check(r);

    if (named.code != 0 && named.code != CBD_PROBLEM_DISK_DOUBT)
        fail_msg("problem %u at %llu", named.code, (unsigned long long)named.addr);
}

static void one_operation(struct rig *r, struct sim_rng *rng)
{
    uint64_t at = sim_rng_below(rng, 2000) * 512, len = (1 + sim_rng_below(rng, 24)) * 512;

    switch (sim_rng_below(rng, 12)) {
    case 0:
        rig_zero(r, at, len, sim_rng_below(rng, 2) != 0 ? CBD_WRITE_PUNCH : 0);
        break;
    case 1:
    case 2:
        rig_read(r, at, len);
        break;
    case 3:
        rig_flush(r);
        break;
    case 4:
        rig_write(r, at, len, CBD_WRITE_FUA);
        break;
    default:
        rig_write(r, at, len, 0);
        break;
    }
}

static void the_right_disk_has_no_error(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        struct rig_config config = {
            .streams = 1 + (uint32_t)(seed & 1),
            .no_data_checksum = seed % 3 == 0,
            .keeps_discarded = seed % 5 == 0,
            .attach = {.dirty_start_percent = seed % 4 == 0 ? 100 : 10},
        };
        struct rig *r = rig_create(&config);
        struct sim_rng rng;

        sim_rng_seed(&rng, seed + 1);
        for (int life = 0; life < 4; life++) {
            rig_attach(r);
            for (uint32_t i = 0; i < OPERATIONS; i++)
                one_operation(r, &rng);
            if (sim_rng_below(&rng, 3) == 0)
                rig_write_back(r);
            if (sim_rng_below(&rng, 3) == 0)
                rig_detach(r);
            else
                rig_abandon(r);
            rig_power_cut(r, sim_rng_below(&rng, 2) != 0 ? SIM_CRASH_ALL : SIM_CRASH_NONE);
            right(r);
        }
        rig_destroy(r);
    }
}

/* Eight blocks, clean; the fifth is then written again, dirty. */
static struct rig *eight_blocks(void)
{
    struct rig *r = rig_create(&(struct rig_config){.attach = {.dirty_start_percent = 100}});

    rig_attach(r);
    for (uint64_t i = 0; i < 8; i++)
        rig_write(r, i * 2 * BLOCK, BLOCK, 0);
    rig_flush(r);
    rig_write_back(r);
    rig_write(r, 4 * 2 * BLOCK, BLOCK, 0);
    rig_abandon(r);
    return r;
}

static void each_sector_that_was_changed_is_found(void **state)
{
    (void)state;
    for (uint64_t sector = 0; sector < 8 * 16; sector++) {
        struct rig *r = eight_blocks();
        struct named named;
        bool cached = sector % 16 < 8, dirty = sector / 16 == 4;

        sim_disk_poke(r->disk[0], sector, 1000);
        named = check(r);
        assert_int_equal(named.code, cached && !dirty ? CBD_PROBLEM_DISK_CONTENT : 0);
        if (named.code != 0) {
            assert_int_equal(named.addr, sector / 16 * 2 * BLOCK);
            assert_int_equal(named.len, BLOCK);
        }
        rig_kill(r);
        rig_destroy(r);
    }
}

static void a_damaged_copy_speaks_against_no_disk(void **state)
{
    struct rig *r = eight_blocks();
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_OPEN);

    (void)state;
    rig_flip(r, cbd_segment_off(&r->geo, id) + rig_record(r, id, 2).payload_off + 5);
    assert_int_equal(check(r).code, 0);
    rig_kill(r);
    rig_destroy(r);
}

static void an_unreadable_sector_is_named(void **state)
{
    struct rig *r = eight_blocks();
    struct named named;

    (void)state;
    sim_disk_set_latent_error(r->disk[0], 17, 1);
    named = check(r);
    assert_int_equal(named.code, CBD_PROBLEM_DISK_UNREAD);
    assert_int_equal(named.count, 1);
    rig_kill(r);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_disk_has_no_error),
        cmocka_unit_test(each_sector_that_was_changed_is_found),
        cmocka_unit_test(a_damaged_copy_speaks_against_no_disk),
        cmocka_unit_test(an_unreadable_sector_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
