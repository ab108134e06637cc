/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of cbd-bench share: the rig, the floors, the stop watch and the figures. */
#ifndef CBD_BENCH_H
#define CBD_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cbd/cache.h"

#define BENCH_BLOCK_BYTES 4096u
#define BENCH_THREADS 2u
#define BENCH_PAIRS_MAX 99u

struct bench_options {
    const char *path; /* of the file to make and to remove */
    uint64_t size_bytes;
    uint64_t blocks_max; /* distinct blocks, if so many fit */
    unsigned pairs;
    bool quick; /* only shows that it works: no verdict */
};

/* --- rig.c: one device, one backend, and a disk that costs nothing --------------------------- */

struct bench_rig {
    /* immutable after bench_rig_open() */
    struct cbd_pmem *pm;
    struct cbd_env *env;
    struct cbd_disk disk;
    const uint8_t *src;   /* BENCH_SOURCES blocks to write from */
    uint64_t blocks;      /* distinct blocks that a round writes first */
    uint64_t spare;       /* further blocks that fit */
    unsigned disk_bits;   /* the disk has 2^disk_bits blocks */
    uint64_t share_bytes; /* what the backend gets */
    uint64_t data_off;    /* the share's segments */
    uint64_t floor_off;   /* no backend owns what is behind: the floors store here */
    uint64_t floor_bytes;
    const uint64_t *lines; /* zeroes, as much as the index takes: what a lookup has to load from */
    uint64_t line_count;   /* of 64 bytes */
    /* between bench_rig_start() and bench_rig_stop() */
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    uint32_t id;
};

#define BENCH_SOURCES 16u

void bench_rig_open(struct bench_rig *rig, const struct bench_options *options);
void bench_rig_close(struct bench_rig *rig);

/* A freshly formatted cache with one attached backend. */
void bench_rig_start(struct bench_rig *rig, bool checksums);
void bench_rig_stop(struct bench_rig *rig);

/*
 * Forgets what is in memory, as a crash would, and attaches again. How long it took: processor time
 * of all threads, and the clock on the wall.
 */
void bench_rig_recover(struct bench_rig *rig, uint64_t *cpu_ns, uint64_t *wall_ns);

/* Where block n of the working set lies on the disk: distinct for all n < 2^disk_bits. */
uint64_t bench_rig_address(const struct bench_rig *rig, uint64_t n);

/* --- measure.c ------------------------------------------------------------------------------- */

/* The operations first .. first+count-1 of a run; `seed` is another one for each thread and run. */
struct bench_slice {
    unsigned thread;
    uint64_t seed;
    uint64_t first;
    uint64_t count;
};

typedef void bench_run(struct bench_rig *rig, const struct bench_slice *slice);

/*
 * Nanoseconds from one operation to the next when `threads` threads do `ops` each, side by side.
 * A run is timed in slices, and slices in which something else had the processor do not count.
 */
double bench_measure(struct bench_rig *rig, bench_run *run, unsigned threads, uint64_t ops);

/* The share of all slices so far that did not count. */
double bench_measure_lost(void);

/* Processor time that the process has used, and time that has passed. */
uint64_t bench_cpu_ns(void);
uint64_t bench_wall_ns(void);

/* A number below `limit` from the n-th step of a sequence. Cheap, no memory. */
uint64_t bench_random(uint64_t seed, uint64_t n, uint64_t limit);

/* Ends the program with a message unless error is 0. */
void bench_must(int error, const char *what);

/* --- floor.c: what the hardware takes for the same ------------------------------------------- */

bench_run bench_floor_write_shim, bench_floor_write_shim_crc;
bench_run bench_floor_write_raw, bench_floor_write_raw_crc;
bench_run bench_floor_read, bench_floor_read_crc;
bench_run bench_floor_lookup, bench_floor_lookup_crc;

/* --- figures.c ------------------------------------------------------------------------------- */

enum bench_figure_id {
    BENCH_WRITE,
    BENCH_WRITE_FIRST,
    BENCH_READ,
    BENCH_WRITE_SCALING,
    BENCH_READ_SCALING,
    BENCH_WRITE_TWO,
    BENCH_READ_TWO,
    BENCH_READ_LOOKUP,
    BENCH_OF_MODE, /* the figures above are taken without and with checksums */
    BENCH_INDEX = 2 * BENCH_OF_MODE,
    BENCH_RECOVERY,
    BENCH_RECOVERY_WALL,
    BENCH_FLUSH,
    BENCH_FIGURES,
};

/* One sample; floor and engine are 0 where there is no pair. */
void bench_figure_add(enum bench_figure_id id, double value, double floor_ns, double engine_ns);

/* Prints all. False: a goal was missed. */
bool bench_figures_print(const struct bench_rig *rig, const struct bench_options *options,
                         bool json);

/* --- rounds.c -------------------------------------------------------------------------------- */

/* Takes one sample of each figure on a fresh cache. */
void bench_round(struct bench_rig *rig, bool checksums);

#endif
