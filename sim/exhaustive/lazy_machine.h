/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine on which a recovery runs while its power cut is explored: pmem and disks over
 * undecided memory, an environment whose memory is one arena, and a walk over all its paths.
 *
 * The pmem is the buffer of a sim_pmem, changed in place and put back. When no further power cut
 * follows, nothing has to be known about what is durable: flush and fence only count. The disks
 * answer reads at once and refuse everything else.
 */
#ifndef SIM_LAZY_MACHINE_H
#define SIM_LAZY_MACHINE_H

#include "cbd/env.h"
#include "cbd/pmem.h"
#include "lazy_walk.h"
#include "sim_disk.h"
#include "sim_pmem.h"

#define SIM_LAZY_DISKS 4u

struct sim_lazy_machine;

struct sim_lazy_disk {
    struct cbd_disk disk; /* what core/ gets; first */
    struct sim_lazy_machine *machine;
    struct sim_disk *real;
    struct sim_lazy_mem mem; /* cells are pages, words are versions of sectors */
};

struct sim_lazy_line {
    uint64_t line;
    uint64_t words[SIM_PEND_WORDS];
};

/* What a path changes besides media, arena and stack. */
struct sim_lazy_state {
    size_t arena_used, big_used;
    uint64_t now_ns, random;
    uint64_t errors;
    struct cbd_report first_error;
    uint64_t trace;    /* of reads, stores and their content */
    uint64_t stores;   /* and flushes and fences */
    uint64_t line_off; /* a header calls for checksum lines: the next one, and how many */
    uint32_t lines;
};

struct sim_lazy_machine {
    struct cbd_pmem pm; /* what core/ gets; first */
    struct cbd_env env;
    struct sim_lazy_state state;
    struct sim_lazy_walk walk;
    struct sim_lazy_mem mem;
    struct sim_lazy_disk disk[SIM_LAZY_DISKS];
    uint32_t disks;
    struct sim_pmem *real;
    void *owner;       /* the caller's */
    bool format;       /* the pmem holds a cache: media_format.h says what a line can be */
    uint64_t data_off; /* where its segments begin */
    bool through;      /* stores go to the real sim_pmem: a further power cut follows */

    /* Private. */
    bool marked; /* the real pmem, at the start of the path */
    uint8_t *arena, *big;
    struct sim_lazy_line *undo;
    size_t undo_n, undo_cap;
};

void sim_lazy_machine_init(struct sim_lazy_machine *m, struct sim_pmem *pmem,
                           struct sim_disk *const *disks, uint32_t count);
void sim_lazy_machine_free(struct sim_lazy_machine *m);

/* The pmem holds a cache whose segments begin at data_off. */
void sim_lazy_machine_format(struct sim_lazy_machine *m, uint64_t data_off);

/* All paths from the start again, in this way. With `through`, walk.replay has to be set. */
void sim_lazy_machine_mode(struct sim_lazy_machine *m, bool through);

/* The pmem that the process gets: the machine's own, or the real one. */
struct cbd_pmem *sim_lazy_machine_pmem(struct sim_lazy_machine *m);

/*
 * The power has failed: what is pending on the real devices is undecided from here on, and so is
 * what was undecided in `before`, unless that is NULL. The real devices have a mark that the caller
 * rolls back.
 */
void sim_lazy_machine_cut(struct sim_lazy_machine *m, const struct sim_lazy_machine *before);

/* Puts the media back and forgets the cut. */
void sim_lazy_machine_end(struct sim_lazy_machine *m);

/* States of all devices that the rest of the path does not tell apart. */
struct sim_lazy_count sim_lazy_machine_states(const struct sim_lazy_machine *m);

#endif
