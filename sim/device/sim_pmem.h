/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated persistent memory: the pmem seam over one buffer, with the set of stores that a
 * power cut may still take back. docs/crash-model.md says what it assumes.
 *
 * Stores outside the device, misaligned store64 and the like end the process: core/ must never do
 * that. Everything here is owned by one thread; logical threads set pm->thread before they run.
 */
#ifndef SIM_PMEM_H
#define SIM_PMEM_H

#include "cbd/pmem.h"
#include "sim_crash.h"
#include "sim_marks.h"
#include "sim_ranges.h"

enum sim_model {
    SIM_ADR,  /* x86: caches are lost, flush + fence or NT + fence is durable */
    SIM_EADR, /* caches survive; non-temporal stores still need the fence */
    SIM_PAGE, /* a mapped file: sectors of dirty pages at any time, msync makes durable */
};

enum sim_pm_kind {
    SIM_PM_STORE64,
    SIM_PM_COPY,
    SIM_PM_SET,
    SIM_PM_FLUSH,
    SIM_PM_FENCE,
    SIM_PM_KIND_COUNT,
};

/* One operation, before it takes effect. */
struct sim_pm_event {
    uint64_t number; /* operations before it: the first has 0 */
    enum sim_pm_kind kind;
    enum cbd_step step;
    uint64_t off; /* fence: 0 */
    uint64_t len_bytes;
};

/* A line that was written cached and non-temporally without a fence between. */
struct sim_pm_mixed {
    uint64_t count;
    /* the first one */
    uint64_t number; /* of the second store */
    uint64_t line_off;
    enum cbd_step step_before, step;
};

struct sim_pm_counts {
    uint64_t by_step[CBD_STEP_COUNT];
    uint64_t by_kind[SIM_PM_KIND_COUNT];
    uint64_t fences[SIM_PEND_THREADS]; /* by thread */
    struct sim_pm_mixed mixed;
};

struct sim_pm_level {
    uint64_t ops_done;
    uint32_t thread;
    uint32_t fail_fences;
    uint64_t content_hash;
    struct sim_pm_counts counts;
    struct sim_ranges poison;
};

struct sim_pmem {
    struct cbd_pmem pm; /* what core/ gets; first */
    enum sim_model model;
    /*
     * A hash of what the CPU sees, kept up to date if `hashed` was set before the first store: a
     * function of the content alone.
     */
    bool hashed;
    uint64_t content_hash;

    /* The caller's, to be changed between operations. */
    uint32_t thread;         /* the logical thread that runs, below SIM_PEND_THREADS */
    enum cbd_step drop_step; /* this step's persisting is left out; CBD_STEP_NONE: none */
    uint32_t fail_fences;    /* so many next fences fail with CBD_E_IO and persist nothing */
    /* Called before these bytes are read or stored to: they may be undecided, see lazy_mem.h. */
    void (*access)(void *arg, uint64_t off, size_t len_bytes, bool store);
    void *access_arg;
    /* Called before each operation; may longjmp away or mark, crash and roll back. */
    void (*hook)(void *arg, const struct sim_pm_event *ev);
    void *hook_arg;
    /*
     * Called first of all. True: other logical threads have run, and the hook was called by whoever
     * let this one go on.
     */
    bool (*pause)(void *arg, const struct sim_pm_event *ev);
    void (*pause_load)(void *arg); /* before a guarded read */
    void *pause_arg;

    /* Results. */
    uint64_t ops_done;
    struct sim_pm_counts counts;

    /* Private. */
    uint8_t *buf;
    uint8_t *stamps; /* one a line, see sim_marks.h */
    struct sim_ranges poison;
    struct sim_marks marks;
    struct sim_pm_level level[SIM_MARKS_DEPTH_MAX];
};

/* All zero, nothing pending. The size is a multiple of 4096. Never NULL. */
struct sim_pmem *sim_pmem_create(uint64_t size_bytes, enum sim_model model);
void sim_pmem_destroy(struct sim_pmem *pm);

/*
 * Power cut: decides for everything pending; the buffer then holds what the medium does, and
 * nothing is pending. A process that is killed needs no call: pending stores stay pending.
 */
void sim_pmem_crash(struct sim_pmem *pm, const struct sim_crash *crash);

/*
 * For enumerating all outcomes: the number of independent choices (and in choices[], if not NULL,
 * how many values each has), and a crash with all of them given. See sim_pend_units().
 */
size_t sim_pmem_pending_units(const struct sim_pmem *pm, uint64_t *choices, size_t cap);
void sim_pmem_crash_bits(struct sim_pmem *pm, const uint64_t *choice_per_unit);

/* The same units with their places; a cell is a line of the device. */
size_t sim_pmem_pending_list(const struct sim_pmem *pm, struct sim_pend_unit *units, size_t cap);

/*
 * Nested checkpoints. rollback ends the innermost mark and restores the buffer, the pending set,
 * the counters, thread, fail_fences and the poison list as they were at the mark.
 */
void sim_pmem_mark(struct sim_pmem *pm);
void sim_pmem_rollback(struct sim_pmem *pm);

/* Changes the medium itself (bit flips, stale lines): durable at once, no operation is counted. */
void sim_pmem_poke(struct sim_pmem *pm, uint64_t off, const void *src, size_t len_bytes);

/* The power cut that is being explored left these words of a line so. Not an operation. */
void sim_pmem_decide(struct sim_pmem *pm, uint64_t line, uint8_t mask,
                     const uint64_t words[SIM_PEND_WORDS]);

/* The newest values of what is pending, for sim_lazy_mem_add(). */
struct sim_pend_view sim_pmem_view(struct sim_pmem *pm);

/* read() of any of these bytes gives CBD_E_MEDIA until they are cleared. Loads still work. */
void sim_pmem_poison(struct sim_pmem *pm, uint64_t off, uint64_t len_bytes);
void sim_pmem_poison_clear(struct sim_pmem *pm, uint64_t off, uint64_t len_bytes);

#endif
