/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of dm-pcache's driver: the order of its stores, flushes and fences, and what it concludes
 * from the media at an activation, as docs/dm-pcache.md describes it; with its faults. It is no
 * implementation of the driver: no reads, no index of ranges, one CPU.
 *
 * Segments are 16 MiB on the media, but the model uses only the first bytes of each, so that a few
 * writes fill one. A reader cannot tell: the log may go on elsewhere at any place.
 */
#ifndef SIM_PCACHE_DRIVER_H
#define SIM_PCACHE_DRIVER_H

#include "cbd/pcache.h"
#include "sim_disk.h"
#include "sim_pmem.h"

#define SIM_PCACHE_SEGMENTS_MAX 16u
#define SIM_PCACHE_KSETS 2u /* open ones: of even and odd regions of 4 MiB */
#define SIM_PCACHE_SECTORS 64u

struct sim_pcache_open_kset {
    struct cbd_pcache_key keys[CBD_PCACHE_KEYS_MAX];
    uint32_t count;
};

/* What the application wrote and what it was told. A sector holds the number of its write. */
struct sim_pcache_truth {
    uint64_t newest[SIM_PCACHE_SECTORS];  /* submitted */
    uint64_t durable[SIM_PCACHE_SECTORS]; /* acknowledged by a FLUSH or a FUA write */
};

struct sim_pcache {
    struct sim_pmem *pm;
    uint32_t data_bytes; /* used of a segment for payload */
    uint32_t log_bytes;  /* used of a segment for log */
    struct cbd_disk *disk;
    struct cbd_env *env;
    struct sim_pcache_truth truth;
    uint64_t writes;

    /* the driver's memory */
    bool active;
    bool data_crc;
    uint32_t seg_count;
    uint32_t refs[SIM_PCACHE_SEGMENTS_MAX];
    bool used[SIM_PCACHE_SEGMENTS_MAX];
    uint64_t gen[SIM_PCACHE_SEGMENTS_MAX];
    uint32_t hint;
    struct sim_pcache_open_kset ksets[SIM_PCACHE_KSETS];
    uint32_t data_seg, data_off; /* data_seg == seg_count: none is open */
    struct cbd_pcache_pos head, key_tail, dirty_tail;
    uint32_t key_index, dirty_index; /* slot that the next store goes to */
    uint64_t key_seq, dirty_seq;
    uint64_t gen_seq[SIM_PCACHE_SEGMENTS_MAX];
    uint32_t gen_index[SIM_PCACHE_SEGMENTS_MAX];
};

/* Binds the model to memory and disk; nothing is active. env is for the disk and for reading. */
void sim_pcache_init(struct sim_pcache *d, struct sim_pmem *pm, struct cbd_disk *disk,
                     struct cbd_env *env, uint32_t data_bytes, uint32_t log_bytes);

/*
 * Activation: formats what has no superblock or no valid cache_info, else loads and replays. 0, or
 * CBD_E_IO as the driver refuses. truth is the caller's and stays.
 */
int sim_pcache_activate(struct sim_pcache *d, bool data_crc) CBD_MUST_CHECK;

/* The process is gone; what was not stored is lost. */
void sim_pcache_kill(struct sim_pcache *d);

/* CBD_E_BUSY: no segment is free. The sectors of a write all hold its number. */
int sim_pcache_write(struct sim_pcache *d, uint32_t sector, uint32_t count,
                     bool fua) CBD_MUST_CHECK;
int sim_pcache_flush(struct sim_pcache *d) CBD_MUST_CHECK;

/* Nothing that these keys hold counts as acknowledged any more. */
void sim_pcache_forget(struct sim_pcache *d, const struct cbd_pcache_key *keys, uint32_t count);

/* One key set is written back. CBD_E_AGAIN: nothing is dirty in the log. */
int sim_pcache_writeback(struct sim_pcache *d) CBD_MUST_CHECK;

/* One key set is collected. CBD_E_AGAIN: key_tail has reached dirty_tail. */
int sim_pcache_gc(struct sim_pcache *d) CBD_MUST_CHECK;

/*
 * The number of the write that the driver would serve for a sector: through the library's view, from
 * pmem or disk. UINT64_MAX: something that nobody wrote there.
 */
uint64_t sim_pcache_served(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                           const struct sim_pcache *d, uint32_t sector);

#endif
