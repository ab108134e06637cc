/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage: cbd-huge FILE SIZE_GIB RECORDS [data LENGTH | trees COUNT]
 *        cbd-huge floor FILE memory|crc
 *
 * Makes a sparse FILE that is a cache full of records of 4 KiB, each dirty and valid, without data
 * behind them: for measuring what a check takes (bench/huge/check). The records go round the segments
 * as four streams would leave them, in sequence and of one tree. With `trees` they go round COUNT
 * trees, each of which has orders of its own: so many records share each order. With `data` the
 * records are of LENGTH bytes, with headers and data; RECORDS 0: as many as fit.
 *
 * `floor`: maps FILE afresh and reads all of it once, one word of each line or by CRC-32C of 4 KiB
 * after 4 KiB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/cache.h"
#include "cbd/shim/env.h"
#include "crc.h"
#include "engine.h"
#include "plain_pmem.h"

#define BLOCK_BYTES 4096u
#define STREAMS 4u

/* What a record covers. */
struct shape {
    uint32_t len_bytes;
    uint32_t room_bytes; /* with header and checksum lines, in whole lines */
    bool data;
    uint32_t trees;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "cbd-huge: %s\n", what);
    exit(1);
}

static void put_both(struct cbd_cache *c, uint64_t place, const void *bytes, size_t len_bytes)
{
    memcpy(plain_at(c->pm, c->super.geo.table_a_off + place), bytes, len_bytes);
    memcpy(plain_at(c->pm, c->super.geo.table_b_off + place), bytes, len_bytes);
}

/* Header and data, another block each; returns the header's checksum. */
static uint32_t put_payload(struct cbd_cache *c, const struct shape *shape, uint32_t id,
                            uint32_t slot, const struct cbd_record *r)
{
    static uint8_t block[CBD_BLOCK_BYTES];
    struct cbd_header h = {
        .slot = slot,
        .addr_bytes = r->addr_bytes,
        .len_bytes = (uint32_t)r->len_bytes,
        .type = CBD_M_RECORD_WRITE,
        .epoch_floor = 1,
    };
    uint8_t *to = plain_at(c->pm, cbd_segment_off(&c->super.geo, id) + r->payload_off);
    uint32_t crc[CBD_REGION_BYTES / CBD_BLOCK_BYTES];

    for (uint32_t n = 0; n < shape->len_bytes / CBD_BLOCK_BYTES; n++) {
        for (size_t i = 0; i < sizeof(block); i += CBD_LINE_BYTES)
            memcpy(block + i, &(uint64_t){r->addr_bytes + n * CBD_BLOCK_BYTES + i}, 8);
        memcpy(to + (size_t)n * CBD_BLOCK_BYTES, block, sizeof(block));
        crc[n] = cbd_crc32c(c->block_seed, block, sizeof(block));
    }
    return cbd_header_encode(
        &h, crc, cbd_seed_place(c->seed, CBD_SEED_HEADER, id, c->segments[id].entry.generation),
        r->payload_off, to - cbd_header_bytes(h.addr_bytes, h.len_bytes));
}

/* Number t of all, written side by side with others, of which `era` open segments at a time. */
static void place(const struct shape *shape, uint64_t t, uint64_t era, struct cbd_record *r)
{
    uint64_t n = t / shape->trees, in_region = CBD_REGION_BYTES / shape->len_bytes;

    r->order = (t / era + 1) << CBD_ORDER_COUNT_BITS | t % era / shape->trees;
    r->addr_bytes = (t % shape->trees + n / in_region * shape->trees) * CBD_REGION_BYTES +
                    n % in_region * shape->len_bytes;
}

/*
 * Segment `id` is closed with `count` records, the first of them number `first` of all. Streams that
 * write side by side take their orders in turn.
 */
static void fill_segment(struct cbd_cache *c, const struct shape *shape, uint32_t id,
                         uint64_t first, uint32_t count)
{
    uint64_t order = first - id % STREAMS * (uint64_t)count + id % STREAMS + 1;
    struct cbd_segment_entry *e = &c->segments[id].entry;
    uint32_t seed = cbd_seed_place(c->seed, CBD_SEED_RECORD, id, ++e->generation);
    struct cbd_m_segment entry;

    for (uint32_t slot = 0; slot < count; slot++) {
        struct cbd_record r = {
            .type = CBD_M_RECORD_WRITE,
            .durable = slot,
            .order = order + (uint64_t)slot * STREAMS,
            .epoch = 1,
            .addr_bytes = (first + slot) * shape->len_bytes,
            .len_bytes = shape->len_bytes,
            .payload_off = (slot + 1) * shape->room_bytes - shape->len_bytes,
        };
        struct cbd_m_record m;

        if (shape->trees != 0)
            place(shape, r.order - 1, (uint64_t)STREAMS * count, &r);
        e->order_max = r.order;
        if (shape->data)
            r.header_crc = put_payload(c, shape, id, slot, &r);
        cbd_record_encode(&r, seed, e->generation, slot, &m);
        memcpy(
            plain_at(c->pm, cbd_segment_off(&c->super.geo, id) + cbd_slot_off(&c->super.geo, slot)),
            &m, sizeof(m));
    }
    e->seq++;
    e->status = CBD_M_SEGMENT_CLOSED;
    e->stream = (uint8_t)(id % STREAMS);
    e->records = count;
    e->epoch_max = 1;
    cbd_segment_encode(e, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0), &entry);
    put_both(c, cbd_place_segment(id), &entry, sizeof(entry));
}

static void fill(struct cbd_pmem *pm, struct cbd_env *env, uint64_t records,
                 const struct shape *shape)
{
    struct cbd_format_options format = {.uuid = {1}, .salt = 1};
    struct cbd_backend_options add = {
        .name = "huge", .logical_block_bytes = 512, .streams = STREAMS, .uuid = {2}};
    struct cbd_geometry geo;
    struct cbd_cache *c;
    uint32_t backend, each, most;

    must(cbd_format(pm, env, &format, &geo) == 0, "the format failed");
    must(cbd_cache_open(pm, env, 0, &c) == 0, "the open failed");
    most = (geo.segment_bytes - CBD_PAGE_BYTES) / (shape->room_bytes + CBD_LINE_BYTES);
    if (records == 0)
        records = (uint64_t)most * geo.segment_count;
    each = (uint32_t)((records + geo.segment_count - 1) / geo.segment_count);
    must(each <= most, "more records than there is room for");
    add.size_bytes = records * shape->len_bytes;
    if (shape->trees != 0)
        add.size_bytes += (uint64_t)shape->trees * CBD_REGION_BYTES;
    add.cache_bytes = (uint64_t)geo.segment_count * geo.segment_bytes;
    must(cbd_backend_add(c, &add, &backend) == 0, "the backend could not be added");
    for (uint32_t id = 0; id < geo.segment_count && (uint64_t)id * each < records; id++) {
        uint64_t left = records - (uint64_t)id * each;

        fill_segment(c, shape, id, (uint64_t)id * each, left < each ? (uint32_t)left : each);
    }
    cbd_cache_close(c);
    printf("%u segments of %u bytes, %llu records\n", geo.segment_count, geo.segment_bytes,
           (unsigned long long)records);
}

/* What keeps the compiler from dropping what nobody reads. */
static volatile uint64_t sink;

static int floor_of(const char *path, const char *how)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool crc = strcmp(how, "crc") == 0;
    uint64_t sum = 0, word;
    const uint8_t *base;
    struct stat st;

    must(crc || strcmp(how, "memory") == 0, "floor: memory or crc");
    must(fd >= 0 && fstat(fd, &st) == 0, "the file could not be opened");
    base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    must(base != MAP_FAILED, "the file could not be mapped");
    for (const uint8_t *at = base; at < base + st.st_size; at += BLOCK_BYTES) {
        if (crc)
            sum ^= cbd_crc32c(0, at, BLOCK_BYTES);
        for (size_t i = 0; !crc && i < BLOCK_BYTES; i += CBD_LINE_BYTES) {
            memcpy(&word, at + i, sizeof(word));
            sum += word;
        }
    }
    sink = sum;
    return 0;
}

int main(int argc, char **argv)
{
    struct shape shape = {.len_bytes = BLOCK_BYTES};
    struct cbd_shim_error err;
    struct cbd_pmem pm;
    struct cbd_env *env;
    uint64_t size_bytes, records;
    void *base;
    int fd;

    if (argc == 4 && strcmp(argv[1], "floor") == 0)
        return floor_of(argv[2], argv[3]);
    must(argc == 4 ||
             (argc == 6 && (strcmp(argv[4], "data") == 0 || strcmp(argv[4], "trees") == 0)),
         "usage: cbd-huge FILE SIZE_GIB RECORDS [data LENGTH | trees COUNT]");
    size_bytes = strtoull(argv[2], NULL, 10) << 30;
    records = strtoull(argv[3], NULL, 10);
    shape.data = argc == 6 && strcmp(argv[4], "data") == 0;
    if (argc == 6 && !shape.data)
        shape.trees = (uint32_t)strtoul(argv[5], NULL, 10);
    if (shape.data)
        shape.len_bytes = (uint32_t)strtoul(argv[5], NULL, 10);
    must(shape.len_bytes != 0 && shape.len_bytes % BLOCK_BYTES == 0 &&
             CBD_REGION_BYTES % shape.len_bytes == 0,
         "LENGTH is a power of two, 4096 at least");
    shape.room_bytes = shape.len_bytes + cbd_header_bytes(0, shape.len_bytes);
    must(size_bytes != 0 && (records != 0 || shape.data), "size and records are numbers above 0");
    fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0 && ftruncate(fd, (off_t)size_bytes) == 0, "the file could not be made");
    base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    must(base != MAP_FAILED, "the file could not be mapped");
    must(cbd_shim_env_open(NULL, NULL, &env, &err) == 0, "no environment");
    pm = plain_pmem(base, size_bytes);
    fill(&pm, env, records, &shape);
    cbd_shim_env_close(env);
    must(munmap(base, size_bytes) == 0 && close(fd) == 0, "the file could not be closed");
    return 0;
}
