/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests beside a model of what they must leave, and a look at the media. */
#include "engine_rig.h"

#include "sim_base.h"

/* A call begins: until it returns 0 either version may be there. */
static void model_begin(struct rig *r, uint32_t n, uint64_t off, uint64_t len, uint64_t version)
{
    for (uint64_t s = off / 512; r->maybe[n] != NULL && s < (off + len) / 512; s++)
        r->maybe[n][s] = version;
}

static void model_end(struct rig *r, uint32_t n, uint64_t off, uint64_t len)
{
    for (uint64_t s = off / 512; r->maybe[n] != NULL && s < (off + len) / 512; s++) {
        r->want[n][s] = r->maybe[n][s];
        r->maybe[n][s] = RIG_NO_VERSION;
    }
}

int rig_try_write(struct rig *r, uint32_t n, uint64_t off, uint64_t len, unsigned flags)
{
    uint64_t version = ++r->version;
    int error;

    r->write_buf = sim_grow(r->write_buf, &r->write_cap, len, 1);
    for (uint64_t i = 0; i < len; i += 512)
        sim_sector_fill(r->write_buf + i, (off + i) / 512, version);
    model_begin(r, n, off, len, version);
    error = cbd_write(r->backend[n], r->lane, off, r->write_buf, len, flags);
    if (error == 0)
        model_end(r, n, off, len);
    return error;
}

int rig_try_zero(struct rig *r, uint32_t n, uint64_t off, uint64_t len, unsigned flags)
{
    int error;

    model_begin(r, n, off, len, SIM_VERSION_ZERO);
    error = cbd_zero(r->backend[n], r->lane, off, len, flags);
    if (error == 0)
        model_end(r, n, off, len);
    return error;
}

static void expect_version(const struct rig *r, uint32_t n, uint64_t sector, uint64_t got)
{
    if (got != r->want[n][sector] && got != r->maybe[n][sector])
        fail_msg("backend %u sector %llu: got %llx, want %llx or %llx", n,
                 (unsigned long long)sector, (unsigned long long)got,
                 (unsigned long long)r->want[n][sector], (unsigned long long)r->maybe[n][sector]);
}

int rig_try_read(struct rig *r, uint32_t n, uint64_t off, uint64_t len)
{
    int error;

    r->read_buf = sim_grow(r->read_buf, &r->read_cap, len, 1);
    memset(r->read_buf, 0xee, len);
    error = cbd_read(r->backend[n], r->lane, off, r->read_buf, len);
    for (uint64_t i = 0; i < len && error == 0; i += 512)
        expect_version(r, n, (off + i) / 512, sim_sector_decode(r->read_buf + i, (off + i) / 512));
    return error;
}

void rig_write(struct rig *r, uint64_t off, uint64_t len, unsigned flags)
{
    assert_int_equal(rig_try_write(r, 0, off, len, flags), 0);
}

void rig_zero(struct rig *r, uint64_t off, uint64_t len, unsigned flags)
{
    assert_int_equal(rig_try_zero(r, 0, off, len, flags), 0);
}

void rig_flush(struct rig *r)
{
    assert_int_equal(cbd_flush(r->backend[0], r->lane), 0);
}

void rig_read(struct rig *r, uint64_t off, uint64_t len)
{
    assert_int_equal(rig_try_read(r, 0, off, len), 0);
}

void rig_check_all(struct rig *r)
{
    for (uint32_t n = 0; n < r->config.backends; n++)
        if (r->backend[n] != NULL)
            assert_int_equal(rig_try_read(r, n, 0, r->config.disk_bytes), 0);
}

void rig_check_disk(struct rig *r, uint32_t n)
{
    for (uint64_t s = 0; s < r->config.disk_bytes / 512; s++)
        expect_version(r, n, s, sim_disk_peek(r->disk[n], s));
}

static int show_error(void *arg, const struct cbd_check_finding *finding)
{
    (void)arg;
    if (finding->problem->severity == CBD_CHECK_ERROR)
        print_error("check: %u %s: %s\n", finding->problem->code, finding->what,
                    finding->problem->sentence);
    return 0;
}

void rig_fsck(struct rig *r, bool clean)
{
    struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
    };
    struct cbd_check_summary sum;

    assert_int_equal(cbd_check_run(&r->pmem->pm, &r->env.env, &options, show_error, NULL, &sum), 0);
    assert_int_equal(sum.errors, 0);
    if (clean)
        assert_int_equal(sum.infos, 0);
}

struct cbd_stats rig_stats(struct rig *r)
{
    struct cbd_stats stats;

    cbd_backend_stats(r->backend[0], &stats);
    return stats;
}

struct cbd_segment_entry rig_entry(struct rig *r, uint32_t segment)
{
    uint32_t cache_seed = cbd_seed_cache(r->super.uuid, r->super.salt);
    uint32_t seed = cbd_seed_place(cache_seed, CBD_SEED_SEGMENT, segment, 0);
    struct cbd_segment_entry e;
    struct cbd_m_segment m;

    memcpy(&m, r->pmem->pm.base + r->geo.table_a_off + cbd_place_segment(segment), sizeof(m));
    assert_true(cbd_segment_decode(&m, seed, &r->geo, &e));
    return e;
}

uint32_t rig_segment_with(struct rig *r, uint8_t status)
{
    for (uint32_t id = 0; id < r->geo.segment_count; id++)
        if (rig_entry(r, id).status == status)
            return id;
    fail_msg("no segment with status %u", status);
    return 0;
}

uint64_t rig_slot_off(const struct rig *r, uint32_t segment, uint32_t slot)
{
    return cbd_segment_off(&r->geo, segment) + cbd_slot_off(&r->geo, slot);
}

struct cbd_record rig_record(struct rig *r, uint32_t segment, uint32_t slot)
{
    uint32_t cache_seed = cbd_seed_cache(r->super.uuid, r->super.salt);
    uint64_t generation = rig_entry(r, segment).generation;
    uint32_t seed = cbd_seed_place(cache_seed, CBD_SEED_RECORD, segment, generation);
    struct cbd_record record;
    struct cbd_m_record m;

    memcpy(&m, r->pmem->pm.base + rig_slot_off(r, segment, slot), sizeof(m));
    assert_true(cbd_record_decode(&m, seed, generation, slot, &r->geo, &record));
    return record;
}

void rig_flip(struct rig *r, uint64_t off)
{
    uint8_t byte = r->pmem->pm.base[off] ^ 0x10;

    sim_pmem_poke(r->pmem, off, &byte, 1);
}

void rig_scribble(struct rig *r, uint64_t off, uint64_t len)
{
    uint8_t *bytes = sim_zalloc(len, 1);

    memset(bytes, 0xd7, len);
    sim_pmem_poke(r->pmem, off, bytes, len);
    free(bytes);
}
