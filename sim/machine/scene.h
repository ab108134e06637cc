/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small machine for scenes that are written down step by step: a pmem, two disks, a process that
 * does what the scene says and nothing by itself, and what each block has to read as. The first
 * thing that goes wrong is kept; from there on nothing is done. Internal to sim/scenes/contract*.c.
 */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include <setjmp.h>

#include "cbd/cache.h"
#include "cbd/media_format.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_fault.h"
#include "sim_pmem.h"

#define SCENE_BLOCK 4096u
#define SCENE_BLOCK_SECTORS (SCENE_BLOCK / SIM_SECTOR_BYTES)
#define SCENE_BLOCKS 64u /* of a disk, unless said otherwise */
#define SCENE_BLOCKS_MAX 256u
#define SCENE_WRITE_BLOCKS_MAX 4u /* of one write */
#define SCENE_SEGMENT_BYTES (64u << 10)
#define SCENE_SHARE 6u /* segments, unless said otherwise */
#define SCENE_PM_BYTES (UINT64_C(4) << 20)
#define SCENE_DISKS 2u

/* The environment comes first, so that its operations find the memory switch. */
struct scene {
    struct sim_env env;
    struct cbd_env_ops ops;
    const struct cbd_env_ops *real;
    bool no_memory;
    bool fills;
    bool elsewhere; /* processes get their memory at other addresses, with other bytes in it */
    void (*overtake)(struct scene *r); /* the next wait: this happens before it ends */
    uint64_t watched_off;              /* where a load is waited for */
    bool background;                   /* steps run while somebody waits */
    uint64_t patience;    /* so many things may happen until longjmp(died); 0: any number */
    enum cbd_step die_at; /* the process dies before this step */
    uint64_t record_off;  /* of the last record that was stored */
    jmp_buf died;
    struct sim_pmem *pmem;
    struct sim_disk *disk[SCENE_DISKS];
    struct cbd_cache *cache;
    struct cbd_backend *backend[SCENE_DISKS];
    struct cbd_geometry geo;
    struct cbd_attach_options options; /* of attach; no_fill and dirty_start are set by it */
    uint32_t blocks, share;
    uint64_t version[SCENE_DISKS][SCENE_BLOCKS_MAX]; /* of every sector of the block */
    uint64_t last_version;
    uint8_t buf[SCENE_BLOCK];
    char *why;
    size_t why_bytes;
    bool failed;
};

/* One scene, and the fault models that it plays with: bits of enum sim_score_row. */
struct contract_scene {
    const char *name;
    void (*play)(struct scene *r);
    uint32_t models;
};

extern const struct contract_scene contract_api[], contract_disk[], contract_space[],
    contract_damage[], contract_repair[], contract_same[]; /* the last of each has no name */

/* Notes the first that is not good. False: something was not, now or before. */
bool scene_expect(struct scene *r, bool good, const char *what, int64_t got);

void scene_create(struct scene *r, enum sim_model model, uint32_t logical_block_bytes);
void scene_destroy(struct scene *r);
void scene_format(struct scene *r, uint64_t salt);
void scene_open_cache(struct scene *r);
/* Errors of core/. */
int scene_add(struct scene *r, uint32_t n, uint32_t segments, uint32_t streams);
int scene_attach(struct scene *r, uint32_t n);
int scene_write_block(struct scene *r, uint32_t n, uint32_t block);
int scene_write_blocks(struct scene *r, uint32_t n, uint32_t block, uint32_t count);
/* Formats, opens, adds and attaches. */
void scene_begin(struct scene *r, uint32_t n, uint64_t salt);

/* Everything reads as it was written; the detached disk holds it. */
void scene_compare(struct scene *r, uint32_t n, const char *what);
void scene_compare_disk(struct scene *r, uint32_t n);

/* The process dies and the power fails; everything that was stored has reached the medium. */
void scene_power_cut(struct scene *r);
/* The same, then opens and attaches the first so many. */
void scene_restart(struct scene *r, uint32_t backends);

/* One thing that can happen by itself; false: nothing can. */
bool scene_progress(void *scene);
/* Background steps until nothing is to be done; the same until backend 0 has nothing dirty. */
void scene_work(struct scene *r);
void scene_drain(struct scene *r);

/* From here on r->record_off is where the last record was stored. */
void scene_note_records(struct scene *r, bool on);

/* Where the pmem holds a block of backend 0, as its index says; a bit that turns over. */
uint64_t scene_place(struct scene *r, uint32_t block);
void scene_flip(struct scene *r, uint64_t off);

#endif
