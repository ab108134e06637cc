/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads, writes and zeroes through the whole engine, against a model of every sector. */
#include "engine_rig.h"

static struct rig *attached(const struct rig_config *config)
{
    struct rig *r = rig_create(config);

    rig_attach(r);
    return r;
}

static void a_miss_comes_from_the_disk_and_is_a_hit_afterwards(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    sim_disk_poke(r->disk[0], 9, 1000);
    r->want[0][9] = 1000;
    rig_read(r, 4096, 4096);
    assert_int_equal(rig_stats(r).miss_bytes, 4096);
    assert_int_equal(rig_stats(r).fill_bytes, 4096);
    rig_read(r, 4096, 4096);
    assert_int_equal(rig_stats(r).hit_bytes, 4096);
    assert_int_equal(rig_stats(r).miss_bytes, 4096);
    assert_int_equal(r->disk[0]->state.by_op[CBD_DISK_READ], 1);
    rig_destroy(r);
}

static void a_write_is_read_without_the_disk(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 512, 9216, 0);
    rig_read(r, 512, 9216);
    assert_int_equal(r->disk[0]->state.completions, 0);
    rig_destroy(r);
}

static void a_partial_hit_takes_each_part_from_where_it_is(void **state)
{
    struct rig *r = attached(NULL);

    (void)state;
    rig_write(r, 8192, 4096, 0);
    rig_zero(r, 16384, 4096, 0);
    rig_read(r, 0, 65536);
    assert_int_equal(rig_stats(r).hit_bytes, 8192);
    assert_int_equal(rig_stats(r).miss_bytes, 65536 - 8192);
    assert_int_equal(r->disk[0]->state.by_op[CBD_DISK_READ], 3);
    rig_destroy(r);
}

static void with_no_fill_a_miss_stays_a_miss(void **state)
{
    struct rig_config config = {.attach = {.no_fill = true}};
    struct rig *r = attached(&config);

    (void)state;
    rig_read(r, 0, 8192);
    rig_read(r, 0, 8192);
    assert_int_equal(rig_stats(r).fill_bytes, 0);
    assert_int_equal(rig_stats(r).records, 0);
    assert_int_equal(r->disk[0]->state.by_op[CBD_DISK_READ], 2);
    rig_destroy(r);
}

/* Everything of two writes: before, after, inside, around, equal, overlapping at either end. */
static void the_newer_of_two_overlapping_writes_wins(void **state)
{
    struct rig *r = attached(&(struct rig_config){.share_segments = 20});

    (void)state;
    for (uint64_t from = 0; from <= 12; from++) {
        for (uint64_t to = from + 1; to <= 13; to++) {
            rig_write(r, 4 * 512, 5 * 512, 0);
            rig_write(r, from * 512, (to - from) * 512, 0);
            rig_read(r, 0, 16 * 512);
        }
    }
    rig_destroy(r);
}

static void random_request(struct rig *r, struct sim_rng *rng)
{
    uint64_t lbs = r->config.logical_block_bytes;
    uint64_t blocks = r->config.disk_bytes / lbs;
    uint64_t off = sim_rng_below(rng, blocks);
    uint64_t len = 1 + sim_rng_below(rng, sim_rng_chance(rng, 1, 8) ? 64 : 12);
    uint32_t n = (uint32_t)sim_rng_below(rng, r->config.backends);
    unsigned fua = sim_rng_chance(rng, 1, 8) ? CBD_WRITE_FUA : 0;

    len = (off + len > blocks ? blocks - off : len) * lbs;
    off *= lbs;
    r->lane = (unsigned)sim_rng_below(rng, CBD_LANES);
    switch (sim_rng_below(rng, 8)) {
    case 0:
    case 1:
        assert_int_equal(rig_try_read(r, n, off, len), 0);
        break;
    case 2:
        assert_int_equal(rig_try_zero(r, n, off, len, fua | CBD_WRITE_PUNCH), 0);
        break;
    case 3:
        assert_int_equal(rig_try_zero(r, n, off, len, fua), 0);
        break;
    case 4:
        assert_int_equal(cbd_flush(r->backend[n], r->lane), 0);
        break;
    default:
        assert_int_equal(rig_try_write(r, n, off, len, fua), 0);
        break;
    }
    rig_progress(r);
}

static void random_requests(struct rig_config config, uint64_t seed, int count)
{
    struct rig *r = attached(&config);
    struct sim_rng rng;

    r->random_order = true;
    sim_rng_seed(&rng, seed);
    for (int i = 0; i < count; i++)
        random_request(r, &rng);
    rig_check_all(r);
    rig_detach(r);
    for (uint32_t n = 0; n < r->config.backends; n++)
        rig_check_disk(r, n);
    rig_fsck(r, true);
    rig_destroy(r);
}

static void random_requests_match_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++)
        random_requests((struct rig_config){.streams = 1 + (uint32_t)seed}, seed, 1500);
}

static void random_requests_match_the_model_with_several_trees(void **state)
{
    (void)state;
    random_requests(
        (struct rig_config){
            .disk_bytes = 20u << 20, .streams = 3, .backends = 2, .attach = {.trees = 4}},
        20, 2500);
}

static void random_requests_match_the_model_without_checksums(void **state)
{
    (void)state;
    random_requests((struct rig_config){.no_data_checksum = true, .streams = 2}, 30, 2000);
}

static void random_requests_match_the_model_on_4k_blocks(void **state)
{
    (void)state;
    random_requests((struct rig_config){.logical_block_bytes = 4096, .streams = 2}, 40, 2000);
}

static void random_requests_match_the_model_when_the_disk_writes_through(void **state)
{
    (void)state;
    random_requests((struct rig_config){.write_through = true, .keeps_discarded = true}, 50, 2000);
}

static void random_requests_match_the_model_in_the_other_persistency_models(void **state)
{
    (void)state;
    random_requests((struct rig_config){.model = SIM_EADR}, 60, 800);
    random_requests((struct rig_config){.model = SIM_PAGE}, 61, 800);
}

static void requests_that_are_not_whole_blocks_are_invalid(void **state)
{
    struct rig *r = attached(&(struct rig_config){.logical_block_bytes = 4096});
    static uint8_t buf[8192];

    (void)state;
    for (uint64_t off = 0; off <= 512; off += 512) {
        uint64_t len = off == 0 ? 512 : 4096;

        assert_int_equal(cbd_write(r->backend[0], 0, off, buf, len, 0), CBD_E_INVALID);
        assert_int_equal(cbd_read(r->backend[0], 0, off, buf, len), CBD_E_INVALID);
        assert_int_equal(cbd_zero(r->backend[0], 0, off, len, 0), CBD_E_INVALID);
    }
    rig_check_all(r);
    rig_destroy(r);
}

/* D7: the table was longer than the disk, and I/O past the end indexed outside an array. */
static void test_d7_requests_beyond_the_end_are_refused(void **state)
{
    struct rig *r = attached(NULL);
    const struct {
        uint64_t off, len;
    } row[] = {
        {(1u << 20) - 512, 1024}, {1u << 20, 512},         {1u << 30, 512},
        {0, (1u << 20) + 512},    {UINT64_MAX - 511, 512}, {512, UINT64_MAX - 511},
        {(1u << 20) + 512, 0},
    };
    static uint8_t buf[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        uint64_t off = row[i].off, len = row[i].len;

        assert_int_equal(cbd_write(r->backend[0], 0, off, buf, len, 0), CBD_E_RANGE);
        assert_int_equal(cbd_read(r->backend[0], 0, off, buf, len), CBD_E_RANGE);
        assert_int_equal(cbd_zero(r->backend[0], 0, off, len, 0), CBD_E_RANGE);
    }
    assert_int_equal(rig_stats(r).records, 0);
    rig_destroy(r);
}

static void requests_of_length_zero_do_nothing(void **state)
{
    struct rig *r = attached(NULL);
    uint8_t none[1];

    (void)state;
    assert_int_equal(cbd_write(r->backend[0], 0, 512, none, 0, CBD_WRITE_FUA), 0);
    assert_int_equal(cbd_zero(r->backend[0], 0, 1u << 20, 0, 0), 0);
    assert_int_equal(cbd_read(r->backend[0], 0, 1u << 20, none, 0), 0);
    assert_int_equal(rig_stats(r).records, 0);
    rig_destroy(r);
}

static void lanes_beyond_the_last_are_invalid(void **state)
{
    struct rig *r = attached(NULL);
    static uint8_t buf[512];

    (void)state;
    assert_int_equal(cbd_write(r->backend[0], CBD_LANES, 0, buf, 512, 0), CBD_E_INVALID);
    assert_int_equal(cbd_read(r->backend[0], CBD_LANES, 0, buf, 512), CBD_E_INVALID);
    assert_int_equal(cbd_zero(r->backend[0], CBD_LANES, 0, 512, 0), CBD_E_INVALID);
    assert_int_equal(cbd_flush(r->backend[0], CBD_LANES), CBD_E_INVALID);
    r->lane = CBD_LANES - 1;
    rig_write(r, 0, 512, 0);
    rig_read(r, 0, 512);
    rig_destroy(r);
}

static void a_request_larger_than_a_segment_is_cut_into_pieces(void **state)
{
    struct rig *r = attached(&(struct rig_config){.disk_bytes = 10u << 20});

    (void)state;
    rig_write(r, 512, 300 * 1024, 0); /* nearly five segments */
    rig_read(r, 0, 400 * 1024);
    rig_write(r, CBD_REGION_BYTES - 65536, 131072, 0); /* crosses a region */
    rig_read(r, CBD_REGION_BYTES - 131072, 262144);
    rig_write(r, 0, 2u << 20, 0); /* four times the cache: it waits for space */
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

static void collect(void *arg, const struct cbd_extent_view *extent)
{
    uint64_t *count = arg;

    assert_true(extent->zero);
    count[0]++;
    count[1] += extent->len_bytes;
}

static void a_discard_of_the_whole_backend_costs_one_record(void **state)
{
    struct rig *r = attached(&(struct rig_config){.disk_bytes = 64u << 20, .attach = {.trees = 4}});
    uint64_t count[2] = {0, 0};

    (void)state;
    rig_write(r, 4096, 8192, 0);
    rig_write(r, 63u << 20, 4096, 0);
    rig_zero(r, 0, 64u << 20, CBD_WRITE_PUNCH);
    assert_int_equal(rig_stats(r).records, 3);
    assert_int_equal(rig_stats(r).index_extents, 4);
    cbd_backend_extents(r->backend[0], collect, count);
    assert_int_equal(count[0], 16); /* shown by regions */
    assert_int_equal(count[1], 64u << 20);
    rig_write(r, 32u << 20, 4096, 0);
    rig_check_all(r);
    rig_detach(r);
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* And costs what trees and extents it touches: an extent holds 2^24 - 1 sectors. */
static void a_discard_of_a_terabyte_is_read_as_zeroes(void **state)
{
    struct rig *r =
        attached(&(struct rig_config){.disk_bytes = UINT64_C(1) << 40, .attach = {.trees = 16}});
    static uint8_t buf[65536];
    static const uint8_t zeroes[65536];
    struct cbd_stats stats;

    (void)state;
    for (uint64_t i = 0; i < 48; i++)
        assert_int_equal(cbd_write(r->backend[0], 0, i * 21 << 30, zeroes, 4096, 0), 0);
    assert_int_equal(rig_stats(r).index_extents, 48);
    assert_int_equal(cbd_zero(r->backend[0], 0, 0, UINT64_C(1) << 40, CBD_WRITE_PUNCH), 0);
    stats = rig_stats(r);
    assert_int_equal(stats.records, 49);
    assert_true(stats.index_extents <= 16 * ((UINT64_C(1) << 31) / 16 / ((1u << 24) - 1) + 1));
    for (uint64_t off = 0; off < UINT64_C(1) << 40; off += UINT64_C(1) << 34) {
        memset(buf, 1, sizeof(buf));
        assert_int_equal(cbd_read(r->backend[0], 0, off, buf, sizeof(buf)), 0);
        assert_memory_equal(buf, zeroes, sizeof(buf));
    }
    rig_destroy(r);
}

/* D8: the logical block of the disk was not inherited: 512-byte writes went to a 4 KiB disk. */
static void test_d8_a_disk_of_4k_blocks_only_sees_whole_blocks(void **state)
{
    struct rig *r = attached(&(struct rig_config){.logical_block_bytes = 4096});

    (void)state;
    rig_write(r, 4096, 12288, 0);
    rig_zero(r, 8192, 4096, 0);
    rig_read(r, 0, 65536);
    rig_write_back(r);
    for (size_t i = 0; i < r->trace_count; i++) {
        assert_int_equal(r->trace[i].ev.off_bytes % 4096, 0);
        assert_int_equal(r->trace[i].ev.len_bytes % 4096, 0);
    }
    rig_check_disk(r, 0);
    rig_destroy(r);
}

/* ------------------------------------------------------------------ fills */

/* Once, while the read of the disk is in flight. */
static bool write_meanwhile(struct rig *r)
{
    if (sim_disk_inflight(r->disk[0]) == 0)
        return false;
    r->on_progress = NULL;
    r->lane = 1;
    rig_write(r, 4096, 512, 0);
    rig_zero(r, 6144, 512, 0);
    r->lane = 0;
    return true;
}

static void a_fill_loses_to_a_write_that_came_during_its_read(void **state)
{
    (void)state;
    for (uint32_t streams = 1; streams <= 2; streams++) {
        struct rig *r = attached(&(struct rig_config){.streams = streams});

        r->on_progress = write_meanwhile;
        assert_int_equal(cbd_read(r->backend[0], 0, 4096, (uint8_t[4096]){0}, 4096), 0);
        assert_null(r->on_progress);
        assert_true(rig_stats(r).fill_bytes == 4096);
        rig_check_all(r);
        rig_kill(r); /* and it loses in recovery too */
        rig_attach(r);
        rig_check_all(r);
        rig_destroy(r);
    }
}

/* Lets everything go on but reads of the disk. */
static bool hold_reads(struct rig *r)
{
    for (size_t k = 0; k < sim_disk_inflight(r->disk[0]); k++) {
        if (sim_disk_inflight_at(r->disk[0], k).op != CBD_DISK_READ) {
            sim_disk_complete(r->disk[0], k);
            return true;
        }
    }
    return cbd_backend_step(r->backend[0], CBD_WORK_WRITEBACK) > 0 ||
           cbd_backend_step(r->backend[0], CBD_WORK_RECLAIM) > 0;
}

/* Once, while the read of the disk is in flight: more than the cache holds, block 0 first. */
static bool fill_up_meanwhile(struct rig *r)
{
    if (sim_disk_inflight(r->disk[0]) == 0)
        return false;
    r->on_progress = hold_reads;
    r->lane = 1;
    rig_write(r, 0, 4096, 0);
    for (uint64_t off = 65536; off < 1u << 20; off += 8192)
        rig_write(r, off, 8192, 0);
    r->lane = 0;
    r->on_progress = NULL;
    return true;
}

/*
 * D10: a read fill of old data was logged behind a newer write, and replay preferred it. Here the
 * newer write is even written back and forgotten before the fill arrives: nothing would hide it.
 */
static void test_d10_a_fill_that_the_horizon_overtook_is_dropped(void **state)
{
    struct rig *r = attached(NULL);
    uint8_t buf[4096];

    (void)state;
    r->on_progress = fill_up_meanwhile;
    assert_int_equal(cbd_read(r->backend[0], 0, 0, buf, 4096), 0);
    assert_null(r->on_progress);
    assert_int_not_equal(rig_stats(r).reclaims, 0);
    assert_int_equal(rig_stats(r).fill_bytes, 0);
    rig_check_all(r);
    rig_kill(r);
    rig_attach(r);
    rig_check_all(r);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_comes_from_the_disk_and_is_a_hit_afterwards),
        cmocka_unit_test(a_write_is_read_without_the_disk),
        cmocka_unit_test(a_partial_hit_takes_each_part_from_where_it_is),
        cmocka_unit_test(with_no_fill_a_miss_stays_a_miss),
        cmocka_unit_test(the_newer_of_two_overlapping_writes_wins),
        cmocka_unit_test(random_requests_match_the_model),
        cmocka_unit_test(random_requests_match_the_model_with_several_trees),
        cmocka_unit_test(random_requests_match_the_model_without_checksums),
        cmocka_unit_test(random_requests_match_the_model_on_4k_blocks),
        cmocka_unit_test(random_requests_match_the_model_when_the_disk_writes_through),
        cmocka_unit_test(random_requests_match_the_model_in_the_other_persistency_models),
        cmocka_unit_test(requests_that_are_not_whole_blocks_are_invalid),
        cmocka_unit_test(test_d7_requests_beyond_the_end_are_refused),
        cmocka_unit_test(requests_of_length_zero_do_nothing),
        cmocka_unit_test(lanes_beyond_the_last_are_invalid),
        cmocka_unit_test(a_request_larger_than_a_segment_is_cut_into_pieces),
        cmocka_unit_test(a_discard_of_the_whole_backend_costs_one_record),
        cmocka_unit_test(a_discard_of_a_terabyte_is_read_as_zeroes),
        cmocka_unit_test(test_d8_a_disk_of_4k_blocks_only_sees_whole_blocks),
        cmocka_unit_test(a_fill_loses_to_a_write_that_came_during_its_read),
        cmocka_unit_test(test_d10_a_fill_that_the_horizon_overtook_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
