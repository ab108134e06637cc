/* SPDX-License-Identifier: BSD-2-Clause */
/* One allocation, fence or request of the disk fails, each in turn until none is left. */
#ifndef SWEEP_RIG_H
#define SWEEP_RIG_H

#include "engine_rig.h"

/* What fails. Requests of the disk: SWEEP_DISK plus one of enum cbd_disk_op. */
enum sweep_fault {
    SWEEP_ALLOC,
    SWEEP_FENCE,
    SWEEP_DISK,
};

/* A life with at most one fault in it, and what comes of that. */
struct sweep_life {
    struct rig *r;
    int error; /* the only one that a call may give */
    bool ends; /* with that error */
    bool cut;  /* where it dies the power fails, and not only the process */
    bool over;
    unsigned errors;
    uint64_t poisoned; /* a line of clean data; 0: none */
    bool did;          /* what it is for, says the life itself */
    bool told;         /* of a conflict with the disk */
};

/* Whether the call is to be made again, which must succeed. */
bool sweep_failed(struct sweep_life *l, int error);

/* The call may fail once. Behind a fence that failed there is no other call. */
#define SWEEP_DO(l, call)                                                                          \
    do {                                                                                           \
        if (!(l)->over && sweep_failed((l), (call)))                                               \
            assert_int_equal((call), 0);                                                           \
    } while (0)

/* Calls, of backend 0. */
int sweep_open(struct rig *r) CBD_MUST_CHECK;
int sweep_steps(struct rig *r, enum cbd_work work) CBD_MUST_CHECK;
int sweep_write_back(struct rig *r) CBD_MUST_CHECK;
int sweep_detach(struct rig *r) CBD_MUST_CHECK;
void sweep_die(struct sweep_life *l); /* without a detach */
void sweep_unspoil(struct sweep_life *l);

/*
 * Lives `live` with a fault at each place, and behind it once more without any: then it does what it
 * is for, no call fails, and the disk has everything. Behind a fence that failed the power fails,
 * and recovery finds what was acknowledged. There are `places` at least, and `least_errors` of them
 * are seen by a caller.
 */
void sweep(unsigned fault, const struct rig_config *config, void (*live)(struct sweep_life *l),
           uint64_t places, unsigned least_errors);

#endif
