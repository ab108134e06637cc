/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting right what a check finds. A library that never prints and never prompts: it offers each
 * problem to its caller, with what a repair would do and cost, and does what the caller says.
 *
 *   all passes of the check -> every problem is offered -> what was accepted is stored -> again
 *
 * Nothing is stored before the check has ended. A repair may bring other problems to light (a
 * segment whose entry was lost has records) or make others possible, so the check is repeated until
 * nothing is left that the caller accepts. The last round tells what is left; a run that follows
 * with the same answers stores nothing. Rounds are bounded: 1024, and 4 for one finding.
 */
#ifndef CBD_REPAIR_H
#define CBD_REPAIR_H

#include "cbd/check.h"

enum cbd_repair_answer {
    CBD_REPAIR_SKIP, /* leave it; it is offered again only when possible, preen or loses differ */
    CBD_REPAIR_FIX,
    CBD_REPAIR_STOP, /* leave this and everything after it; what was accepted is done */
};

/* One problem. Valid during the callback only. */
struct cbd_repair_offer {
    const struct cbd_check_finding *finding;
    bool possible;    /* else the answer does not matter */
    bool preen;       /* nobody has to decide this */
    bool loses;       /* something dirty is given up, or may be */
    const char *what; /* the repair does, or why it cannot be done; static */
    /* What may read as something older afterwards, when `loses`. */
    uint32_t backend;
    bool range_known; /* else it is somewhere in the backend */
    uint64_t addr_bytes;
    uint64_t len_bytes;
    uint64_t dirty_bytes; /* as far as known: at least */
};

struct cbd_repair_options {
    unsigned flags;                /* enum cbd_check_flags */
    struct cbd_disk *const *disks; /* as in struct cbd_check_options */
    /* Something dirty may be given up; else each offer that would is not possible. */
    bool allow_data_loss;
    /* As in struct cbd_check_options; called in each round. May be NULL. */
    int (*progress)(void *arg, uint64_t done, uint64_t total);
    /*
     * Every finding, notes included, in the order of the check; once, unless it was accepted and is
     * found again, or another repair has changed what can be done about it.
     */
    enum cbd_repair_answer (*decide)(void *arg, const struct cbd_repair_offer *offer);
    /*
     * These bytes are about to be stored to: whoever wants to be able to undo it has them on
     * stable storage when this returns 0. Else the repair ends with what it returned. May be NULL.
     */
    int (*before)(void *arg, uint64_t off_bytes, uint64_t len_bytes);
};

struct cbd_repair_result {
    struct cbd_check_summary summary; /* of the last round: what is left */
    uint64_t found;                   /* errors, each once */
    uint64_t fixed;                   /* repairs that were stored */
    uint64_t failed;     /* accepted, but not possible when its turn came, to the end */
    uint64_t lost_bytes; /* dirty bytes given up, as far as known */
    uint32_t rounds;
    bool stopped; /* the caller ended it */
};

/*
 * Checks the cache on `pm`, and repairs what the caller accepts. Nothing else may use the device.
 * *out is always filled with what is known; it may not be NULL.
 *
 * 0: out->summary.errors tells what is left. Errors: as cbd_check_run(). CBD_E_VERSION: the cache
 * has a feature under which this program may only read. CBD_E_NODATA: it is a metadata image. What
 * a fence or `before` returned: what was stored before that is durable or is found again.
 *
 * A power cut at any moment leaves what the next run finds, and nothing more is lost: repair.c.
 */
int cbd_repair_run(struct cbd_pmem *pm, struct cbd_env *env,
                   const struct cbd_repair_options *options, void *arg,
                   struct cbd_repair_result *out) CBD_MUST_CHECK;

#endif
