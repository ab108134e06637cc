/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage to devices of dm-pcache. */
#include "pcache_corrupt.h"

#include <string.h>

#include "crc.h"
#include "pc_media.h"
#include "pcache_driver.h"
#include "sim_base.h"
#include "sim_env.h"

#define SEGMENTS 4u
#define BASES 4u
#define CHANGES_MAX 12u
#define DISK_BYTES (UINT64_C(16) << 20)

struct base {
    struct sim_pmem *pm;
    struct sim_disk *disk;
    struct sim_pcache driver;
};

struct input {
    const uint8_t *at;
    size_t left;
};

static struct base bases[BASES];
static struct sim_env env;

static bool progress(void *arg)
{
    struct sim_disk *disk = arg;

    if (sim_disk_inflight(disk) == 0)
        return false;
    sim_disk_complete(disk, 0);
    return true;
}

/* A small life: some of it written back, some collected, some dirty; two segments of log. */
static void make_base(struct base *b, unsigned number)
{
    const struct sim_disk_config config = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .volatile_cache = true};

    b->pm = sim_pmem_create(CBD_PCACHE_SEGMENTS_OFF + (uint64_t)SEGMENTS * CBD_PCACHE_SEGMENT_BYTES,
                            SIM_ADR);
    b->disk = sim_disk_create(&config);
    env.progress_arg = b->disk;
    sim_pcache_init(&b->driver, b->pm, &b->disk->disk, &env.env, 65536, number == 2 ? 400 : 65536);
    SIM_REQUIRE(sim_pcache_activate(&b->driver, number == 1) == 0);
    for (unsigned i = 0; i < 4 * number; i++) {
        SIM_REQUIRE(sim_pcache_write(&b->driver, i % 5 + (i % 2) * 32, 1 + i % 3, i % 3 == 0) == 0);
        if (i % 4 == 3)
            (void)!sim_pcache_writeback(&b->driver);
        if (i % 5 == 4)
            (void)!sim_pcache_gc(&b->driver);
    }
    SIM_REQUIRE(sim_pcache_flush(&b->driver) == 0);
}

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | (in->left > 0 ? *in->at : 0);
        if (in->left > 0) {
            in->at++;
            in->left--;
        }
    }
    return value;
}

/* Places where records are, and how long they are; the log and payload for the rest. */
static uint64_t choose(struct input *in, uint32_t *record_bytes)
{
    uint32_t kind = take(in, 1), seg = take(in, 1) % SEGMENTS, more = take(in, 2);

    *record_bytes = PC_TAIL_BYTES;
    switch (kind % 8) {
    case 0:
        *record_bytes = PC_SB_BYTES;
        return PC_SB_OFF;
    case 1:
        *record_bytes = PC_INFO_BYTES;
        return PC_INFO_OFF + (more % 2) * PC_PAGE_BYTES;
    case 2:
        return PC_KEY_TAIL_OFF + (more % 4) * PC_TAIL_STRIDE;
    case 3:
        return pc_segment_off(seg) + (more % 2) * PC_SEG_INFO_STRIDE;
    case 4:
        return pc_segment_off(seg) + PC_GEN_OFF + (more % 2) * PC_GEN_STRIDE;
    case 5:
    case 6: /* a key set of one key, as most are */
        *record_bytes = PC_KSET_HEADER_BYTES + PC_KEY_BYTES;
        return pc_segment_off(seg) + PC_SEG_DATA_OFF + (more % 64) * 8;
    default:
        *record_bytes = 8;
        return pc_segment_off(seg) + PC_SEG_DATA_OFF + (more % 8192) * 8;
    }
}

static void change(struct sim_pmem *pm, struct input *in)
{
    uint8_t record[PC_KSET_HEADER_BYTES + PC_KEY_BYTES];
    uint32_t len_bytes, how, at, value;
    uint64_t off = choose(in, &len_bytes);

    how = take(in, 1);
    at = take(in, 1) % len_bytes;
    value = take(in, 4);
    memcpy(record, pm->pm.base + off, len_bytes);
    switch (how % 6) {
    case 0:
        record[at] ^= (uint8_t)(value | 1);
        break;
    case 1:
        at &= ~3u;
        pc_put32(false, record + at, value);
        break;
    case 2:
        at &= ~3u;
        pc_put32(false, record + at, (uint32_t)(0 - (value & 3)));
        break;
    case 3:
        memset(record, 0, len_bytes);
        break;
    case 4:
        sim_pmem_poison(pm, off / 64 * 64, 64);
        return;
    default:
        at &= ~3u;
        pc_put32(false, record + at, value & 0xfff);
        break;
    }
    /* With a right checksum it is not damage that anybody can see from the record alone. */
    if (how & 0x40)
        pc_put32(false, record, pc_record_crc(record, len_bytes));
    sim_pmem_poke(pm, off, record, len_bytes);
}

static bool check(struct base *b, struct cbd_pcache_summary *s)
{
    struct cbd_pcache_check_options options = {.data = true, .backing_bytes = DISK_BYTES};
    struct cbd_pcache_sink sink = {0};
    uint64_t ops = b->pm->ops_done;
    int error = cbd_pcache_check(&b->pm->pm, &env.env, &options, &sink, s);

    SIM_REQUIRE(b->pm->ops_done == ops); /* C1 */
    return error == 0;
}

static int drain(struct base *b, unsigned flags, struct cbd_pcache_pos end)
{
    struct cbd_pcache_drain_options options = {.flags = flags, .log_end = end};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_drained drained;
    struct cbd_pcache pc;
    uint64_t ops = b->pm->ops_done;
    int error = cbd_pcache_open(&b->pm->pm, &env.env, &sink, &pc);

    if (error == 0)
        error = cbd_pcache_drain(&pc, &b->disk->disk, &options, &drained);
    cbd_pcache_close(&pc);
    SIM_REQUIRE((flags & CBD_PCACHE_DRAIN_DRY) == 0 || b->pm->ops_done == ops); /* C1 */
    return error;
}

static void use(struct base *b, struct input *in, struct sim_pcache_corrupted *out)
{
    unsigned flags = take(in, 1) & ~(unsigned)CBD_PCACHE_DRAIN_DRY;
    struct cbd_pcache_pos end = {take(in, 1) % SEGMENTS, take(in, 1) * 8};
    struct cbd_pcache_summary s;
    bool opened = check(b, &s);
    bool sound = opened && s.errors == 0;

    out->opened += opened;
    out->errors += opened && s.errors != 0;
    (void)!drain(b, flags | CBD_PCACHE_DRAIN_DRY, end);
    if (sound && s.walked) {
        SIM_REQUIRE(drain(b, 0, end) == 0 && check(b, &s)); /* C2 */
        SIM_REQUIRE(s.errors == 0 && s.view.dirty_key_count == 0);
        out->clean_after++;
    }
    if (drain(b, flags, end) == 0 && (flags & CBD_PCACHE_DRAIN_DISK_ONLY) == 0) {
        out->drained++;
        /* C3: what was drained is drained, under the same view of what is lost. */
        SIM_REQUIRE(drain(b, flags & ~(unsigned)CBD_PCACHE_DRAIN_LOG_END, end) == 0);
    }
}

void sim_pcache_corrupt(const uint8_t *input, size_t len_bytes, struct sim_pcache_corrupted *out)
{
    struct input in = {input, len_bytes};
    struct base *b;
    uint32_t first = take(&in, 1);

    if (bases[0].pm == NULL) {
        sim_env_init(&env, 1);
        env.progress = progress;
        for (unsigned i = 0; i < BASES; i++)
            make_base(&bases[i], i);
    }
    b = &bases[first % BASES];
    env.progress_arg = b->disk;
    sim_pmem_mark(b->pm);
    sim_disk_mark(b->disk);
    for (uint32_t i = 0; i < first / BASES % CHANGES_MAX; i++)
        change(b->pm, &in);
    use(b, &in, out);
    sim_disk_rollback(b->disk);
    sim_pmem_rollback(b->pm);
    sim_env_reset(&env, 1);
}
