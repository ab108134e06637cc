/* SPDX-License-Identifier: BSD-2-Clause */
/* What sim/exhaustive/lazy*.c share about the exploration of one world. */
#ifndef SIM_LAZY_IMPL_H
#define SIM_LAZY_IMPL_H

#include "lazy.h"
#include "lazy_machine.h"

#define SIM_LAZY_SEGMENTS_MAX 32u

struct rerun;

/* An extent of the index of the running process, at the cut. */
struct sim_lazy_extent {
    struct cbd_extent_view view;
    uint32_t backend;
    uint64_t seen; /* number of the last path that has it too */
};

/* A segment with pending stores, and how far extents of the recovered index reach into it. */
struct sim_lazy_segment {
    uint64_t off, reach;
};

/* A path of one recovery, to be taken again with cuts in it. */
struct sim_lazy_trail {
    uint32_t first, n; /* of sim_lazy.taken */
};

struct sim_lazy_level {
    struct sim_lazy_machine machine;
    uint64_t *keys; /* of the ends of recovery seen at this cut; 0 is free */
    size_t keys_n, keys_cap;
    struct sim_lazy_trail *trails;
    size_t trails_n, trails_cap;
    uint32_t *taken;
    size_t taken_n, taken_cap;
    struct sim_lazy_segment segments[SIM_LAZY_SEGMENTS_MAX];
    uint32_t segments_n; /* more than the limit: all cells count as reachable */
    /* of the path that runs */
    bool merged;
    uint64_t path;
    /* of the path that is taken through, with cuts in it */
    const struct sim_lazy_trail *along;
    size_t along_index;
    uint64_t step;
};

struct sim_lazy {
    struct sim_world *w;
    struct sim_lazy_options options;
    uint32_t level; /* the one that runs */
    struct sim_lazy_level at[SIM_LAZY_DEPTH_MAX];
    struct sim_lazy_counts *counts;
    struct sim_verdict *verdict; /* the first that is wrong */
    char *trail;
    bool failed;
    uint64_t paths_left;
    uint64_t cut_paths;
    /* the index of the running process */
    struct sim_lazy_extent *extents;
    size_t extents_n, extents_cap;
    uint32_t *table; /* extent + 1 by hash */
    size_t table_size;
    uint64_t path_number;
    uint64_t cut_number; /* steps before it */
    uint64_t cut_hash;
    uint64_t disk_key[SIM_BACKENDS_MAX]; /* of the last bare disk that was judged; 0: none */
    bool disk_open[SIM_BACKENDS_MAX];    /* without an answer */
    void (*on_path)(void *arg, uint64_t seen, unsigned level);
    void *on_path_arg;
    struct rerun *rerun; /* of lazy_cut.c */
};

/* lazy_judge.c: what runs on undecided memory; the level is l->level */
void sim_lazy_body_check(void *lazy);
void sim_lazy_body_recover(void *lazy); /* and judge */
void sim_lazy_body_start(void *lazy);   /* recovery only: for cuts in it */

/* lazy_disk.c: the bare disks in all states of the cut of level 0 (P4) */
void sim_lazy_judge_disks(struct sim_lazy *l);

/* The index of the running process, to compare with. */
void sim_lazy_note_index(struct sim_lazy *l);

/* Which segments hold pending stores. */
void sim_lazy_note_segments(struct sim_lazy *l, struct sim_lazy_level *level);

/* A verdict that is not NONE: kept if it is the first. */
void sim_lazy_failed(struct sim_lazy *l, const struct sim_verdict *v, char kind);

#endif
