/* SPDX-License-Identifier: BSD-2-Clause */
/* Metadata images: what is in them, what is not, and what happens when something fails. */
#include "engine_rig.h"

#include "cbd/check.h"
#include "cbd/image.h"
#include "engine.h"

/* A file in memory. */
struct image {
    struct sim_pmem *pmem;
    uint64_t bytes;   /* written so far */
    uint64_t stop_at; /* this piece fails */
    uint64_t pieces;
    bool supers_last; /* nothing but superblocks came behind the first superblock */
    uint32_t supers;
};

static int put(void *arg, uint64_t off, const void *bytes, uint32_t len)
{
    struct image *im = arg;
    bool super = len == sizeof(struct cbd_m_super) && off % CBD_PAGE_BYTES == 0 &&
                 memcmp(bytes, CBD_SUPER_MAGIC, 16) == 0;

    if (im->pieces++ == im->stop_at)
        return CBD_E_SYSTEM;
    im->supers += super;
    im->supers_last = im->supers_last && (super || im->supers == 0);
    im->bytes += len;
    sim_pmem_poke(im->pmem, off, bytes, len);
    return 0;
}

static struct image blank(const struct rig *r)
{
    return (struct image){.pmem = sim_pmem_create(r->geo.device_bytes, SIM_ADR),
                          .stop_at = UINT64_MAX,
                          .supers_last = true};
}

static int make(struct rig *r, bool anonymize, struct image *im, struct cbd_image_summary *out)
{
    struct cbd_image_options options = {
        .anonymize = anonymize, .key = {3, 4}, .write = put, .arg = im};

    return cbd_image_run(&r->pmem->pm, &r->env.env, &options, out);
}

/* Writes of all kinds; the process is gone in the middle of one. */
static struct rig *stopped_rig(void)
{
    struct rig *r = rig_create(&(struct rig_config){.streams = 2});

    rig_attach(r);
    for (uint64_t i = 0; i < 12; i++)
        rig_write(r, i * 8192, 4096 + i % 3 * 4096, 0);
    rig_zero(r, 65536, 8192, 0);
    rig_flush(r);
    rig_write(r, 0, 16384, 0);
    rig_kill(r);
    return r;
}

static void check(struct rig *r, struct cbd_pmem *pm, struct cbd_check_summary *out)
{
    assert_int_equal(cbd_check_run(pm, &r->env.env, NULL, NULL, NULL, out), 0);
}

static void an_image_checks_as_the_cache_and_has_no_data(void **state)
{
    struct rig *r = stopped_rig();
    static struct cbd_check_summary of_cache, of_image;
    uint64_t before = r->pmem->ops_done;

    (void)state;
    check(r, &r->pmem->pm, &of_cache);
    for (int anonymize = 0; anonymize < 2; anonymize++) {
        struct image im = blank(r);
        struct cbd_image_summary summary;
        struct cbd_cache *cache;

        assert_int_equal(make(r, anonymize == 1, &im, &summary), 0);
        assert_int_equal(summary.device_bytes, r->geo.device_bytes);
        assert_int_equal(summary.damaged, 0);
        assert_true(im.supers_last);
        assert_int_equal(im.supers, CBD_SUPER_COPIES);
        check(r, &im.pmem->pm, &of_image);
        assert_int_equal(of_image.errors, 0);
        assert_int_equal(of_image.infos, of_cache.infos + 1); /* that it is an image */
        assert_int_equal(of_image.backends[0].records, of_cache.backends[0].records);
        assert_int_equal(of_image.backends[0].dirty_bytes, of_cache.backends[0].dirty_bytes);
        assert_int_equal(summary.records, of_cache.backends[0].records);
        /* Tables, records and superblocks, and not one payload or header beside them. */
        assert_int_equal(im.bytes, 2 * cbd_place_segment(r->geo.segment_count) +
                                       64 * summary.records + 3 * sizeof(struct cbd_m_super));
        assert_int_equal(memcmp(of_image.super.uuid, of_cache.super.uuid, 16) == 0, anonymize == 0);
        assert_int_equal(cbd_cache_open(&im.pmem->pm, &r->env.env, 0, &cache), CBD_E_NODATA);
        assert_int_equal(cbd_cache_open(&im.pmem->pm, &r->env.env, CBD_OPEN_READONLY, &cache), 0);
        cbd_cache_close(cache);
        sim_pmem_destroy(im.pmem);
    }
    assert_int_equal(r->pmem->ops_done, before); /* nothing was stored on the device */
    rig_destroy(r);
}

static void what_fails_ends_the_image(void **state)
{
    struct rig *r = stopped_rig();
    struct cbd_image_summary summary;
    struct image im = blank(r);
    uint64_t pieces;
    int error;

    (void)state;
    assert_int_equal(make(r, true, &im, &summary), 0);
    pieces = im.pieces;
    for (im.stop_at = 0; im.stop_at < pieces; im.stop_at += 1 + im.stop_at / 8) {
        im.pieces = 0;
        assert_int_equal(make(r, true, &im, &summary), CBD_E_SYSTEM);
        assert_int_equal(im.pieces, im.stop_at + 1);
    }
    im.stop_at = UINT64_MAX;
    for (uint64_t k = 0;; k++) { /* allocation k fails */
        uint64_t first = r->allocs;

        r->alloc_fail_at = first + k;
        error = make(r, false, &im, &summary);
        r->alloc_fail_at = UINT64_MAX;
        if (r->allocs <= first + k)
            break;
        assert_int_equal(error, CBD_E_NOMEM);
        assert_null(r->blocks);
    }
    assert_int_equal(error, 0);
    sim_pmem_destroy(im.pmem);
    rig_destroy(r);
}

/* Poison is a hole, and counted. */
static void what_cannot_be_read_is_left_out(void **state)
{
    struct rig *r = stopped_rig();
    struct cbd_image_summary summary;
    struct image im = blank(r);

    (void)state;
    sim_pmem_poison(r->pmem, r->geo.table_a_off, 64);
    assert_int_equal(make(r, false, &im, &summary), 0);
    assert_int_equal(summary.unreadable, 1);
    assert_int_equal(summary.damaged, 0);
    sim_pmem_destroy(im.pmem);
    rig_destroy(r);
}

static void without_a_superblock_there_is_no_image(void **state)
{
    struct rig *r = rig_create_blank(&(struct rig_config){0});
    struct cbd_image_summary summary;
    struct image im = {.stop_at = 0};

    (void)state;
    assert_int_equal(make(r, false, &im, &summary), CBD_E_NOTCBD);
    assert_int_equal(im.pieces, 0);
    rig_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_checks_as_the_cache_and_has_no_data),
        cmocka_unit_test(what_fails_ends_the_image),
        cmocka_unit_test(what_cannot_be_read_is_left_out),
        cmocka_unit_test(without_a_superblock_there_is_no_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
