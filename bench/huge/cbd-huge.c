/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage: cbd-huge FILE SIZE_GIB RECORDS
 *
 * Makes a sparse FILE that is a cache full of records of 4 KiB, each dirty and valid, without data
 * behind them: for measuring what a check takes (bench/huge/check). The records go round the segments
 * as four streams would leave them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cbd/cache.h"
#include "cbd/shim/env.h"
#include "engine.h"
#include "plain_pmem.h"

#define BLOCK_BYTES 4096u
#define STREAMS 4u

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

/*
 * Segment `id` is closed with `count` records, the first of them number `first` of all. Streams that
 * write side by side take their orders in turn.
 */
static void fill_segment(struct cbd_cache *c, uint32_t id, uint64_t first, uint32_t count)
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
            .addr_bytes = (first + slot) * BLOCK_BYTES,
            .len_bytes = BLOCK_BYTES,
            .payload_off = slot * (BLOCK_BYTES + CBD_LINE_BYTES) + CBD_LINE_BYTES,
        };
        struct cbd_m_record m;

        cbd_record_encode(&r, seed, e->generation, slot, &m);
        memcpy(
            plain_at(c->pm, cbd_segment_off(&c->super.geo, id) + cbd_slot_off(&c->super.geo, slot)),
            &m, sizeof(m));
    }
    e->seq++;
    e->status = CBD_M_SEGMENT_CLOSED;
    e->stream = (uint8_t)(id % STREAMS);
    e->records = count;
    e->order_max = order + (uint64_t)(count - 1) * STREAMS;
    e->epoch_max = 1;
    cbd_segment_encode(e, cbd_seed_place(c->seed, CBD_SEED_SEGMENT, id, 0), &entry);
    put_both(c, cbd_place_segment(id), &entry, sizeof(entry));
}

static void fill(struct cbd_pmem *pm, struct cbd_env *env, uint64_t records)
{
    struct cbd_format_options format = {.uuid = {1}, .salt = 1};
    struct cbd_backend_options add = {
        .name = "huge", .logical_block_bytes = 512, .streams = STREAMS, .uuid = {2}};
    struct cbd_geometry geo;
    struct cbd_cache *c;
    uint32_t backend, each;

    must(cbd_format(pm, env, &format, &geo) == 0, "the format failed");
    must(cbd_cache_open(pm, env, 0, &c) == 0, "the open failed");
    each = (uint32_t)((records + geo.segment_count - 1) / geo.segment_count);
    must((uint64_t)each * (BLOCK_BYTES + 2 * CBD_LINE_BYTES) < geo.segment_bytes,
         "more records than there is room for");
    add.size_bytes = records * BLOCK_BYTES;
    add.cache_bytes = (uint64_t)geo.segment_count * geo.segment_bytes;
    must(cbd_backend_add(c, &add, &backend) == 0, "the backend could not be added");
    for (uint32_t id = 0; id < geo.segment_count && (uint64_t)id * each < records; id++) {
        uint64_t left = records - (uint64_t)id * each;

        fill_segment(c, id, (uint64_t)id * each, left < each ? (uint32_t)left : each);
    }
    cbd_cache_close(c);
    printf("%u segments of %u bytes, %llu records\n", geo.segment_count, geo.segment_bytes,
           (unsigned long long)records);
}

int main(int argc, char **argv)
{
    struct cbd_shim_error err;
    struct cbd_pmem pm;
    struct cbd_env *env;
    uint64_t size_bytes, records;
    void *base;
    int fd;

    must(argc == 4, "usage: cbd-huge FILE SIZE_GIB RECORDS");
    size_bytes = strtoull(argv[2], NULL, 10) << 30;
    records = strtoull(argv[3], NULL, 10);
    must(size_bytes != 0 && records != 0, "size and records are numbers above 0");
    fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0 && ftruncate(fd, (off_t)size_bytes) == 0, "the file could not be made");
    base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    must(base != MAP_FAILED, "the file could not be mapped");
    must(cbd_shim_env_open(NULL, NULL, &env, &err) == 0, "no environment");
    pm = plain_pmem(base, size_bytes);
    fill(&pm, env, records);
    cbd_shim_env_close(env);
    must(munmap(base, size_bytes) == 0 && close(fd) == 0, "the file could not be closed");
    return 0;
}
