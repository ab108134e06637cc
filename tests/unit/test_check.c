/* SPDX-License-Identifier: BSD-2-Clause */
/* core/check: what it finds in caches that were stopped, damaged, or forged in one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "media.h"
#include "plain_pmem.h"

#define DEVICE_BYTES (4u << 20)
#define SEGMENT_BYTES 65536u
#define DISK_BYTES (1u << 20)
#define FINDINGS_MAX 4096

/* Plain memory behind the seams: nothing is lost here, the bytes are what is tested. */
struct fixture {
    struct cbd_pmem pm;
    struct cbd_env env;
    struct cbd_disk disk;
    uint8_t *bytes;
    uint8_t backing[DISK_BYTES];
    uint64_t allocs, allocs_max; /* allocation number allocs_max fails */
    int64_t alloc_balance;
    uint64_t clock;
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    uint32_t id;
    struct cbd_check_summary sum;
    struct cbd_check_finding found[FINDINGS_MAX];
    uint32_t count;
    uint64_t orders_max;
};

static struct fixture *of_env(struct cbd_env *env)
{
    return (struct fixture *)(void *)((char *)env - offsetof(struct fixture, env));
}

static void *env_alloc(struct cbd_env *env, size_t len)
{
    struct fixture *f = of_env(env);
    void *p;

    if (f->allocs++ == f->allocs_max)
        return NULL;
    p = aligned_alloc(64, (len + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0xa5, len);
    f->alloc_balance += (int64_t)len;
    return p;
}

static void env_free(struct cbd_env *env, void *p, size_t len)
{
    of_env(env)->alloc_balance -= (int64_t)len;
    free(p);
}

static uint64_t env_now(struct cbd_env *env)
{
    return of_env(env)->clock += 1000;
}

static uint64_t env_random(struct cbd_env *env)
{
    return of_env(env)->clock * UINT64_C(0x9e3779b97f4a7c15);
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    (void)env;
    (void)report;
}

static int env_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    (void)timeout_ns;
    for (int i = 0; i < 10000 && !ready(arg); i++) {
        struct fixture *f = of_env(env);

        if (cbd_backend_step(f->backend, CBD_WORK_WRITEBACK) < 0 ||
            cbd_backend_step(f->backend, CBD_WORK_RECLAIM) < 0)
            return CBD_E_IO;
    }
    return ready(arg) ? 0 : CBD_E_TIMEDOUT;
}

static void env_wake(struct cbd_env *env)
{
    (void)env;
}

static const struct cbd_env_ops env_ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
};

static void disk_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    struct fixture *f = (struct fixture *)(void *)((char *)disk - offsetof(struct fixture, disk));

    if (io->op == CBD_DISK_READ)
        memcpy(io->buf, f->backing + io->off_bytes, io->len_bytes);
    else if (io->op == CBD_DISK_WRITE)
        memcpy(f->backing + io->off_bytes, io->buf, io->len_bytes);
    else if (io->op != CBD_DISK_FLUSH)
        memset(f->backing + io->off_bytes, 0, io->len_bytes);
    io->done(io, 0);
}

static const struct cbd_disk_ops disk_ops = {disk_submit};

static void open_cache(struct fixture *f)
{
    assert_int_equal(cbd_cache_open(&f->pm, &f->env, 0, &f->cache), 0);
}

static void attach(struct fixture *f)
{
    struct cbd_attach_options options = {.dirty_start_percent = 100};

    open_cache(f);
    assert_int_equal(cbd_backend_attach(f->cache, f->id, &f->disk, &options, &f->backend), 0);
}

static void detach(struct fixture *f)
{
    assert_int_equal(cbd_backend_detach(f->backend), 0);
    cbd_cache_close(f->cache);
}

static void stop(struct fixture *f)
{
    cbd_backend_abandon(f->backend);
    cbd_cache_close(f->cache);
}

static void write_at(struct fixture *f, uint64_t off, uint32_t len)
{
    static uint8_t buf[DISK_BYTES];

    memset(buf, (int)(off / 512 + 1), len);
    assert_int_equal(cbd_write(f->backend, 0, off, buf, len, 0), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct cbd_format_options options = {.uuid = {1}, .salt = 7, .segment_bytes = SEGMENT_BYTES};
    struct cbd_backend_options backend = {
        .uuid = {2},
        .name = "one",
        .size_bytes = DISK_BYTES,
        .logical_block_bytes = 512,
        .cache_bytes = 8 * SEGMENT_BYTES,
        .streams = 1,
    };
    struct cbd_geometry geo;

    assert_non_null(f);
    f->bytes = aligned_alloc(4096, DEVICE_BYTES);
    assert_non_null(f->bytes);
    memset(f->bytes, 0, DEVICE_BYTES);
    f->pm = plain_pmem(f->bytes, DEVICE_BYTES);
    f->env.ops = &env_ops;
    f->disk = (struct cbd_disk){&disk_ops, DISK_BYTES, 512, true, true};
    f->allocs_max = UINT64_MAX;
    assert_int_equal(cbd_format(&f->pm, &f->env, &options, &geo), 0);
    open_cache(f);
    assert_int_equal(cbd_backend_add(f->cache, &backend, &f->id), 0);
    cbd_cache_close(f->cache);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->alloc_balance, 0);
    free(f->bytes);
    free(f);
    return 0;
}

static int keep(void *arg, const struct cbd_check_finding *finding)
{
    struct fixture *f = arg;

    if (f->count < FINDINGS_MAX)
        f->found[f->count++] = *finding;
    return 0;
}

static int check(struct fixture *f)
{
    struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
        .orders_max = f->orders_max,
    };

    f->count = 0;
    return cbd_check_run(&f->pm, &f->env, &options, keep, f, &f->sum);
}

static const struct cbd_check_finding *find(const struct fixture *f, uint32_t code)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->found[i].problem->code == code)
            return &f->found[i];
    return NULL;
}

/* Checks, and expects this finding and no error beside it. */
static const struct cbd_check_finding *expect(struct fixture *f, uint32_t code, uint64_t errors)
{
    const struct cbd_check_finding *found;

    assert_int_equal(check(f), 0);
    found = find(f, code);
    assert_non_null(found);
    assert_int_equal(f->sum.errors, errors);
    return found;
}

static const struct cbd_geometry *geo_of(struct fixture *f)
{
    assert_int_equal(check(f), 0);
    return &f->sum.super.geo;
}

/* The segment whose entry is OPEN, or CLOSED: the first one. */
static uint32_t segment_with(struct fixture *f, uint8_t status)
{
    const struct cbd_geometry *geo = geo_of(f);
    uint32_t id = 0;

    for (; id < geo->segment_count; id++) {
        const struct cbd_m_segment *m =
            (const void *)(f->bytes + geo->table_a_off + cbd_place_segment(id));

        if (m->status == status)
            return id;
    }
    fail_msg("no segment with status %u", status);
    return 0;
}

static uint8_t *slot_at(struct fixture *f, uint32_t segment, uint32_t slot)
{
    const struct cbd_geometry *geo = &f->sum.super.geo;

    return f->bytes + cbd_segment_off(geo, segment) + cbd_slot_off(geo, slot);
}

/* Writes both copies of an entry with a change that the checksum covers. */
static void forge_segment(struct fixture *f, uint32_t id, void (*edit)(struct cbd_segment_entry *e))
{
    const struct cbd_super *super = &f->sum.super;
    uint32_t cache_seed = cbd_seed_cache(super->uuid, super->salt);
    uint32_t seed = cbd_seed_place(cache_seed, CBD_SEED_SEGMENT, id, 0);
    struct cbd_m_segment m;
    struct cbd_segment_entry e;

    memcpy(&m, f->bytes + super->geo.table_a_off + cbd_place_segment(id), sizeof(m));
    assert_true(cbd_segment_decode(&m, seed, &super->geo, &e));
    edit(&e);
    cbd_segment_encode(&e, seed, &m);
    memcpy(f->bytes + super->geo.table_a_off + cbd_place_segment(id), &m, sizeof(m));
    memcpy(f->bytes + super->geo.table_b_off + cbd_place_segment(id), &m, sizeof(m));
}

static void forge_record(struct fixture *f, uint32_t id, uint32_t slot,
                         void (*edit)(struct cbd_record *r))
{
    const struct cbd_super *super = &f->sum.super;
    uint32_t cache_seed = cbd_seed_cache(super->uuid, super->salt);
    uint32_t seed;
    struct cbd_m_segment ms;
    struct cbd_segment_entry e;
    struct cbd_m_record m;
    struct cbd_record r;

    memcpy(&ms, f->bytes + super->geo.table_a_off + cbd_place_segment(id), sizeof(ms));
    assert_true(cbd_segment_decode(&ms, cbd_seed_place(cache_seed, CBD_SEED_SEGMENT, id, 0),
                                   &super->geo, &e));
    seed = cbd_seed_place(cache_seed, CBD_SEED_RECORD, id, e.generation);
    memcpy(&m, slot_at(f, id, slot), sizeof(m));
    assert_true(cbd_record_decode(&m, seed, e.generation, slot, &super->geo, &r));
    edit(&r);
    cbd_record_encode(&r, seed, e.generation, slot, &m);
    memcpy(slot_at(f, id, slot), &m, sizeof(m));
}

/* Three records in the open segment, stopped without a detach. */
static uint32_t stopped_with_three(struct fixture *f)
{
    attach(f);
    write_at(f, 0, 4096);
    write_at(f, 8192, 8192);
    assert_int_equal(cbd_zero(f->backend, 0, 65536, 4096, 0), 0);
    write_at(f, 1024, 1024);
    stop(f);
    return segment_with(f, CBD_M_SEGMENT_OPEN);
}

static void a_new_cache_is_clean(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f), 0);
    assert_int_equal(f->count, 0);
    assert_true(f->sum.super_valid);
    assert_true(f->sum.backends[f->id].used);
    assert_int_equal(f->sum.backends[f->id].segments, 8);
    assert_string_equal(f->sum.backends[f->id].name, "one");
}

static void an_unclean_shutdown_is_no_damage(void **state)
{
    struct fixture *f = *state;

    stopped_with_three(f);
    expect(f, CBD_PROBLEM_UNCLEAN, 0);
    assert_int_equal(f->count, 1);
    assert_int_equal(f->sum.backends[f->id].dirty_records, 4);
    assert_int_equal(f->sum.backends[f->id].dirty_bytes, 4096 + 8192 + 1024);
    assert_int_equal(f->sum.backends[f->id].dirty_zero_bytes, 4096);
    assert_int_equal(f->sum.data_bytes, 4096 + 8192 + 1024);
}

static void a_clean_detach_leaves_nothing_to_say(void **state)
{
    struct fixture *f = *state;

    attach(f);
    for (uint32_t i = 0; i < 400; i++)
        write_at(f, i * 7919 % 250 * 4096, 4096);
    detach(f);
    assert_int_equal(check(f), 0);
    assert_int_equal(f->count, 0);
    assert_int_equal(f->sum.backends[f->id].dirty_records, 0);
    assert_true(f->sum.segments_closed > 0);
}

static void each_damaged_superblock_is_named(void **state)
{
    struct fixture *f = *state;
    uint64_t off[3] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo_of(f)->super2_off};

    for (uint32_t i = 0; i < 3; i++) {
        f->bytes[off[i] + 100] ^= 1;
        assert_int_equal(expect(f, CBD_PROBLEM_SUPER_COPY, 1)->copy, i);
        f->bytes[off[i] + 100] ^= 1;
    }
    for (uint32_t i = 0; i < 3; i++)
        f->bytes[off[i] + 100] ^= 1;
    assert_int_equal(check(f), CBD_E_CORRUPT);
    assert_non_null(find(f, CBD_PROBLEM_SUPER_NONE));
    memset(f->bytes, 0, DEVICE_BYTES);
    assert_int_equal(check(f), CBD_E_NOTCBD);
    assert_int_equal(f->count, 0);
}

static void one_torn_copy_is_repaired_by_attach(void **state)
{
    struct fixture *f = *state;
    const struct cbd_geometry *geo = geo_of(f);
    uint64_t place[3] = {cbd_place_backend(0), cbd_place_state(0), cbd_place_segment(3)};

    for (int i = 0; i < 3; i++) {
        f->bytes[geo->table_b_off + place[i] + 20] ^= 0x10;
        assert_int_equal(expect(f, CBD_PROBLEM_COPY_TORN, 0)->copy, 1);
        f->bytes[geo->table_b_off + place[i] + 20] ^= 0x10;
    }
}

static void two_bad_copies_are_lost(void **state)
{
    struct fixture *f = *state;
    const struct cbd_geometry *geo = geo_of(f);
    uint64_t place[3] = {cbd_place_backend(0), cbd_place_state(0), cbd_place_segment(3)};
    uint32_t code[3] = {CBD_PROBLEM_BACKEND_LOST, CBD_PROBLEM_STATE_LOST, CBD_PROBLEM_SEGMENT_LOST};

    for (int i = 0; i < 3; i++) {
        f->bytes[geo->table_a_off + place[i] + 20] ^= 0x10;
        f->bytes[geo->table_b_off + place[i] + 20] ^= 0x10;
        expect(f, code[i], 1);
        f->bytes[geo->table_a_off + place[i] + 20] ^= 0x10;
        f->bytes[geo->table_b_off + place[i] + 20] ^= 0x10;
    }
}

static void a_copy_may_be_one_version_behind_and_no_more(void **state)
{
    struct fixture *f = *state;
    const struct cbd_geometry *geo = geo_of(f);
    uint8_t *a = f->bytes + geo->table_a_off + cbd_place_state(0);
    uint8_t *b = f->bytes + geo->table_b_off + cbd_place_state(0);
    uint8_t old[sizeof(struct cbd_m_backend_state)];

    memcpy(old, b, sizeof(old));
    attach(f); /* stores the state once */
    stop(f);
    memcpy(b, old, sizeof(old));
    assert_int_equal(expect(f, CBD_PROBLEM_COPY_OLDER, 0)->copy, 1);
    memcpy(b, a, sizeof(old));
    memcpy(a, old, sizeof(old));
    expect(f, CBD_PROBLEM_COPY_STALE, 1); /* A is always written first */
    memcpy(a, b, sizeof(old));
    attach(f);
    stop(f);
    memcpy(b, old, sizeof(old));
    expect(f, CBD_PROBLEM_COPY_STALE, 1);
}

static void a_damaged_record_is_named_with_its_range(void **state)
{
    struct fixture *f = *state;
    uint32_t id = stopped_with_three(f);
    const struct cbd_check_finding *found;

    slot_at(f, id, 1)[30] ^= 4;
    found = expect(f, CBD_PROBLEM_RECORD_DAMAGED, 1);
    assert_int_equal(found->slot, 1);
    assert_true(found->range_known);
    assert_int_equal(found->addr_bytes, 8192);
    assert_int_equal(found->len_bytes, 8192);
    assert_true(found->dirty);
    slot_at(f, id, 1)[30] ^= 4;
    slot_at(f, id, 2)[30] ^= 4; /* a zero record has no header */
    assert_false(expect(f, CBD_PROBLEM_RECORD_DAMAGED, 1)->range_known);
}

static void the_last_record_is_suspect_not_damaged(void **state)
{
    struct fixture *f = *state;
    uint32_t id = stopped_with_three(f);
    const struct cbd_m_record *m = (const void *)slot_at(f, id, 3);
    uint8_t *data = f->bytes + cbd_segment_off(&f->sum.super.geo, id) + cbd_get32(m->payload_off);

    data[100] ^= 1;
    assert_int_equal(expect(f, CBD_PROBLEM_SUSPECT, 0)->addr_bytes, 1024);
    assert_int_equal(f->sum.backends[f->id].suspects, 1);
    slot_at(f, id, 3)[30] ^= 4; /* no record at all: the header still tells */
    assert_int_equal(expect(f, CBD_PROBLEM_UNFINISHED, 0)->addr_bytes, 1024);
}

static void a_header_proves_that_records_before_it_are_lost(void **state)
{
    struct fixture *f = *state;
    uint32_t id = stopped_with_three(f);

    for (uint32_t slot = 1; slot < 4; slot++)
        slot_at(f, id, slot)[30] ^= 4;
    assert_int_equal(expect(f, CBD_PROBLEM_RECORD_DAMAGED, 2)->addr_bytes, 8192);
    assert_int_equal(f->sum.records_damaged, 2); /* slot 3 may have been unfinished */
}

static void after_a_detach_nothing_is_unfinished_or_dirty(void **state)
{
    struct fixture *f = *state;
    const struct cbd_geometry *geo = geo_of(f);
    uint64_t place = cbd_place_state(0);
    uint8_t clean[sizeof(struct cbd_m_backend_state)];
    uint32_t id;

    memcpy(clean, f->bytes + geo->table_a_off + place, sizeof(clean));
    id = stopped_with_three(f);
    memcpy(f->bytes + geo->table_a_off + place, clean, sizeof(clean));
    memcpy(f->bytes + geo->table_b_off + place, clean, sizeof(clean));
    expect(f, CBD_PROBLEM_DIRTY_DETACHED, 1);
    attach(f);
    detach(f);
    f->bytes[cbd_segment_off(geo, id) + 64 + 5] ^= 1; /* data of slot 0 */
    expect(f, CBD_PROBLEM_DATA_CLEAN, 1);
    f->bytes[cbd_segment_off(geo, id) + 64 + 5] ^= 1;
    f->bytes[cbd_segment_off(geo, id) +
             cbd_get32(
                 ((const struct cbd_m_record *)(const void *)slot_at(f, id, 3))->payload_off)] ^= 1;
    expect(f, CBD_PROBLEM_DATA_CLEAN, 1); /* of the newest: it is written back, so it was whole */
}

static void headers_and_data_are_verified(void **state)
{
    struct fixture *f = *state;
    uint32_t id = stopped_with_three(f);
    uint64_t segment = cbd_segment_off(&f->sum.super.geo, id);
    const struct cbd_check_finding *found;

    f->bytes[segment + 8] ^= 1; /* the header of slot 0 */
    expect(f, CBD_PROBLEM_HEADER, 1);
    f->bytes[segment + 8] ^= 1;
    f->bytes[segment + 64 + 4096 + 64 + 5000] ^= 1; /* the second block of slot 1 */
    found = expect(f, CBD_PROBLEM_DATA_DIRTY, 1);
    assert_int_equal(found->addr_bytes, 8192 + 4096);
    assert_int_equal(found->len_bytes, 4096);
}

static void beyond(struct cbd_record *r)
{
    r->addr_bytes = DISK_BYTES;
}

static void low_epoch(struct cbd_record *r)
{
    r->epoch = 100;
}

static void overlapping_payload(struct cbd_record *r)
{
    r->payload_off -= 64;
}

static void order_of_slot_0(struct cbd_record *r)
{
    r->order -= 3; /* one tree: orders are consecutive */
}

static void forged_records_are_found(void **state)
{
    struct fixture *f = *state;
    uint32_t id = stopped_with_three(f);
    struct cbd_m_record m[4];

    memcpy(m, slot_at(f, id, 3), sizeof(m));
    forge_record(f, id, 1, beyond);
    assert_non_null((check(f), find(f, CBD_PROBLEM_RECORD_BEYOND)));
    memcpy(slot_at(f, id, 3), m, sizeof(m));
    forge_record(f, id, 0, low_epoch);
    assert_non_null((check(f), find(f, CBD_PROBLEM_RECORD_EPOCH)));
    memcpy(slot_at(f, id, 3), m, sizeof(m));
    forge_record(f, id, 1, overlapping_payload);
    assert_non_null((check(f), find(f, CBD_PROBLEM_PAYLOAD_OVERLAP)));
    memcpy(slot_at(f, id, 3), m, sizeof(m));
    forge_record(f, id, 3, order_of_slot_0); /* slot 3 lies inside slot 0 */
    expect(f, CBD_PROBLEM_RECORD_ORDER_TWICE, 1);
    memcpy(slot_at(f, id, 3), m, sizeof(m));
    assert_int_equal(check(f), 0);
    assert_int_equal(f->sum.errors, 0);
}

/* Of many records, however few of them are held at a time. */
static void an_order_is_found_twice_in_parts(void **state)
{
    static const uint64_t max[] = {0, 1, 7, 44, 45, 46};
    struct fixture *f = *state;
    struct cbd_m_record m;
    uint32_t id;

    attach(f);
    for (unsigned i = 0; i < 45; i++)
        write_at(f, i % 3 * 512, 1024);
    stop(f);
    id = segment_with(f, CBD_M_SEGMENT_OPEN);
    memcpy(&m, slot_at(f, id, 40), sizeof(m));
    for (size_t i = 0; i < sizeof(max) / sizeof(max[0]); i++) {
        const struct cbd_check_finding *found;

        f->orders_max = max[i];
        forge_record(f, id, 40, order_of_slot_0);
        found = expect(f, CBD_PROBLEM_RECORD_ORDER_TWICE, 1);
        assert_int_equal(found->slot, 40);
        assert_int_equal(found->limit, found->got + 1);
        memcpy(slot_at(f, id, 40), &m, sizeof(m));
        assert_int_equal(check(f), 0);
        assert_int_equal(f->sum.errors, 0);
    }
}

static void no_owner(struct cbd_segment_entry *e)
{
    e->owner = 0;
}

static void unknown_owner(struct cbd_segment_entry *e)
{
    e->owner = 9;
}

static void other_stream(struct cbd_segment_entry *e)
{
    e->stream = 5;
}

static void open_it(struct cbd_segment_entry *e)
{
    e->status = CBD_M_SEGMENT_OPEN;
}

static void generation_zero(struct cbd_segment_entry *e)
{
    e->generation = 0;
}

static void forged_entries_are_found(void **state)
{
    struct fixture *f = *state;
    uint32_t open = stopped_with_three(f);
    uint32_t owned = open == 0 ? 1 : 0;
    uint8_t *table = f->bytes + f->sum.super.geo.table_a_off;
    uint64_t len = 2 * f->sum.super.geo.table_bytes;
    uint8_t *saved = malloc(len);
    const struct {
        uint32_t segment;
        void (*edit)(struct cbd_segment_entry *e);
        uint32_t code;
    } cases[] = {
        {owned, no_owner, CBD_PROBLEM_SHARE},          {20, unknown_owner, CBD_PROBLEM_OWNER_FREE},
        {open, other_stream, CBD_PROBLEM_STREAM},      {owned, open_it, CBD_PROBLEM_STREAM_TWICE},
        {20, generation_zero, CBD_PROBLEM_GENERATION},
    };

    assert_non_null(saved);
    memcpy(saved, table, len);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        forge_segment(f, cases[i].segment, cases[i].edit);
        assert_int_equal(check(f), 0);
        assert_non_null(find(f, cases[i].code));
        memcpy(table, saved, len);
    }
    free(saved);
}

static void wrong_order_max(struct cbd_segment_entry *e)
{
    e->order_max++;
}

static void wrong_epoch_max(struct cbd_segment_entry *e)
{
    e->epoch_max++;
}

static void a_closed_entry_must_say_what_the_records_say(void **state)
{
    struct fixture *f = *state;
    uint32_t id;

    attach(f);
    for (uint32_t i = 0; i < 60; i++)
        write_at(f, i * 4096, 4096);
    stop(f);
    id = segment_with(f, CBD_M_SEGMENT_CLOSED);
    assert_int_equal(f->sum.errors, 0);
    forge_segment(f, id, wrong_order_max);
    expect(f, CBD_PROBLEM_CLOSED_ORDER, 1);
    forge_segment(f, id, wrong_epoch_max);
    expect(f, CBD_PROBLEM_CLOSED_EPOCH, 2);
}

static int end_now(void *arg, const struct cbd_check_finding *finding)
{
    (void)finding;
    ++*(int *)arg;
    return CBD_E_TIMEDOUT;
}

static void the_callback_can_end_the_check(void **state)
{
    struct fixture *f = *state;
    int calls = 0;

    stopped_with_three(f);
    f->bytes[CBD_SUPER0_OFF] ^= 1;
    assert_int_equal(cbd_check_run(&f->pm, &f->env, NULL, end_now, &calls, &f->sum),
                     CBD_E_TIMEDOUT);
    assert_int_equal(calls, 1);
}

static void every_failed_allocation_ends_cleanly(void **state)
{
    struct fixture *f = *state;
    int error = CBD_E_NOMEM;

    stopped_with_three(f);
    for (uint64_t k = 0; error != 0; k++) {
        f->allocs = 0;
        f->allocs_max = k;
        error = check(f);
        assert_true(error == 0 || error == CBD_E_NOMEM);
        assert_int_equal(f->alloc_balance, 0);
        assert_true(k < 20);
    }
    f->allocs_max = UINT64_MAX;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Bytes, lines and pages where something is stored: never a crash, and a bounded report. */
static void random_damage_is_survived(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);
    uint8_t *image = malloc(DEVICE_BYTES);
    uint64_t data_off;

    assert_non_null(image);
    attach(f);
    for (uint32_t i = 0; i < 100; i++)
        write_at(f, i * 7919 % 250 * 4096, 4096);
    stop(f);
    data_off = geo_of(f)->data_off;
    memcpy(image, f->bytes, DEVICE_BYTES);
    for (int round = 0; round < 1000; round++) {
        static const uint32_t lens[3] = {1, 64, 4096};
        uint32_t len = lens[next_random(&seed) % 3];
        uint64_t from = round % 2 == 0 ? CBD_SUPER1_OFF : data_off;
        uint64_t at = (from + next_random(&seed) % (8 * SEGMENT_BYTES)) / len * len;

        for (uint32_t i = 0; i < len; i++)
            f->bytes[at + i] = (uint8_t)next_random(&seed);
        assert_int_equal(check(f), 0);
        memcpy(f->bytes + at, image + at, len);
    }
    free(image);
}

static void codes_are_unique_and_found(void **state)
{
    const struct cbd_problem *row;
    uint32_t last = 0;

    (void)state;
    for (uint32_t n = 0; (row = cbd_problem_row(n)) != NULL; n++) {
        assert_true(row->code > last);
        assert_ptr_equal(cbd_problem_find(row->code), row);
        assert_true(row->sentence[0] != '\0' && row->repair[0] != '\0' && row->cost[0] != '\0');
        last = row->code;
    }
    assert_null(cbd_problem_find(0));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_new_cache_is_clean),
        T(an_unclean_shutdown_is_no_damage),
        T(a_clean_detach_leaves_nothing_to_say),
        T(each_damaged_superblock_is_named),
        T(one_torn_copy_is_repaired_by_attach),
        T(two_bad_copies_are_lost),
        T(a_copy_may_be_one_version_behind_and_no_more),
        T(a_damaged_record_is_named_with_its_range),
        T(the_last_record_is_suspect_not_damaged),
        T(a_header_proves_that_records_before_it_are_lost),
        T(after_a_detach_nothing_is_unfinished_or_dirty),
        T(headers_and_data_are_verified),
        T(forged_records_are_found),
        T(an_order_is_found_twice_in_parts),
        T(forged_entries_are_found),
        T(a_closed_entry_must_say_what_the_records_say),
        T(the_callback_can_end_the_check),
        T(every_failed_allocation_ends_cleanly),
        T(random_damage_is_survived),
        T(codes_are_unique_and_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
