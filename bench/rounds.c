/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A round: a fresh cache is filled, read, recovered and written to, and before each part the floor
 * of that part runs. So floor and engine alternate, and each round gives one sample of each figure.
 */
#include <stdlib.h>

#include "bench.h"

#define OPS_MAX 100000u
#define FLUSHES 100000u

static const uint8_t *source(const struct bench_rig *rig, uint64_t n)
{
    return rig->src + n % BENCH_SOURCES * BENCH_BLOCK_BYTES;
}

static void fill_blocks(struct bench_rig *rig, const struct bench_slice *slice)
{
    for (uint64_t n = slice->first; n < slice->first + slice->count; n++)
        bench_must(cbd_write(rig->backend, slice->thread, bench_rig_address(rig, n), source(rig, n),
                             BENCH_BLOCK_BYTES, 0),
                   "write");
}

static void write_blocks(struct bench_rig *rig, const struct bench_slice *slice)
{
    for (uint64_t n = slice->first; n < slice->first + slice->count; n++) {
        uint64_t block = bench_random(slice->seed, n, rig->blocks);

        bench_must(cbd_write(rig->backend, slice->thread, bench_rig_address(rig, block),
                             source(rig, n), BENCH_BLOCK_BYTES, 0),
                   "write");
    }
}

static void read_blocks(struct bench_rig *rig, const struct bench_slice *slice)
{
    _Alignas(64) uint8_t out[BENCH_BLOCK_BYTES];

    for (uint64_t n = slice->first; n < slice->first + slice->count; n++) {
        uint64_t block = bench_random(slice->seed, n, rig->blocks);

        bench_must(
            cbd_read(rig->backend, slice->thread, bench_rig_address(rig, block), out, sizeof(out)),
            "read");
    }
}

static void flush_nothing(struct bench_rig *rig, const struct bench_slice *slice)
{
    for (uint64_t n = slice->first; n < slice->first + slice->count; n++)
        bench_must(cbd_flush(rig->backend, slice->thread), "flush");
}

/* The floor of a write: the faster of the two ways. */
static double write_floor(struct bench_rig *rig, bool checksums, unsigned threads, uint64_t ops)
{
    bench_run *shim = checksums ? bench_floor_write_shim_crc : bench_floor_write_shim;
    bench_run *raw = checksums ? bench_floor_write_raw_crc : bench_floor_write_raw;
    double shim_ns = bench_measure(rig, shim, threads, ops);
    double raw_ns = bench_measure(rig, raw, threads, ops);

    return raw_ns < shim_ns ? raw_ns : shim_ns;
}

static double read_floor(struct bench_rig *rig, bool checksums, unsigned threads, uint64_t ops)
{
    return bench_measure(rig, checksums ? bench_floor_read_crc : bench_floor_read, threads, ops);
}

/* One thread and two: the ratio of each, and how much of the floor's gain the engine has. */
static void pair(struct bench_rig *rig, bool checksums, uint64_t ops,
                 double (*floor)(struct bench_rig *, bool, unsigned, uint64_t), bench_run *run,
                 const enum bench_figure_id id[3])
{
    int first = checksums ? BENCH_OF_MODE : 0;
    double floor1 = floor(rig, checksums, 1, ops);
    double engine1 = bench_measure(rig, run, 1, ops);
    double floor2 = floor(rig, checksums, BENCH_THREADS, ops);
    double engine2 = bench_measure(rig, run, BENCH_THREADS, ops);

    bench_figure_add(first + id[0], engine1 / floor1, floor1, engine1);
    bench_figure_add(first + id[1], engine1 / engine2 / (floor1 / floor2), floor1 / floor2,
                     engine1 / engine2);
    bench_figure_add(first + id[2], floor2 / engine2, floor2, engine2);
}

static void fill(struct bench_rig *rig, bool checksums)
{
    uint64_t ops = rig->blocks < OPS_MAX ? rig->blocks : OPS_MAX;
    double floor_ns = write_floor(rig, checksums, 1, ops);
    double engine_ns = bench_measure(rig, fill_blocks, 1, rig->blocks);

    bench_figure_add(BENCH_WRITE_FIRST + (checksums ? BENCH_OF_MODE : 0), engine_ns / floor_ns,
                     floor_ns, engine_ns);
}

/* Against a floor that does not know where to read before two loads have told it. */
static void read_lookup(struct bench_rig *rig, bool checksums, uint64_t ops)
{
    double floor_ns =
        bench_measure(rig, checksums ? bench_floor_lookup_crc : bench_floor_lookup, 1, ops);
    double engine_ns = bench_measure(rig, read_blocks, 1, ops);

    bench_figure_add(BENCH_READ_LOOKUP + (checksums ? BENCH_OF_MODE : 0), engine_ns / floor_ns,
                     floor_ns, engine_ns);
}

void bench_round(struct bench_rig *rig, bool checksums)
{
    static const enum bench_figure_id reads[] = {BENCH_READ, BENCH_READ_SCALING, BENCH_READ_TWO};
    static const enum bench_figure_id writes[] = {BENCH_WRITE, BENCH_WRITE_SCALING,
                                                  BENCH_WRITE_TWO};
    uint64_t write_ops = rig->spare / (1 + BENCH_THREADS);
    uint64_t read_ops = rig->blocks < OPS_MAX ? rig->blocks : OPS_MAX;
    struct cbd_stats stats;
    uint64_t cpu_ns, wall_ns;

    bench_rig_start(rig, checksums);
    fill(rig, checksums);
    cbd_backend_stats(rig->backend, &stats);
    bench_figure_add(BENCH_INDEX, (double)stats.index_bytes / (double)stats.index_extents, 0, 0);
    pair(rig, checksums, read_ops, read_floor, read_blocks, reads);
    read_lookup(rig, checksums, read_ops);

    bench_rig_recover(rig, &cpu_ns, &wall_ns);
    cbd_backend_stats(rig->backend, &stats);
    bench_figure_add(BENCH_RECOVERY, (double)stats.recovered_records * 1e3 / (double)cpu_ns, 0, 0);
    bench_figure_add(BENCH_RECOVERY_WALL, (double)stats.recovered_records * 1e3 / (double)wall_ns,
                     0, 0);

    pair(rig, checksums, write_ops < OPS_MAX ? write_ops : OPS_MAX, write_floor, write_blocks,
         writes);
    bench_must(cbd_flush(rig->backend, 0), "flush");
    bench_figure_add(BENCH_FLUSH, bench_measure(rig, flush_nothing, 1, FLUSHES), 0, 0);
    bench_rig_stop(rig);
}
