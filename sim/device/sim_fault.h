/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of the devices, crossed with crashes. Faults of disks strike the run itself, at a request
 * that the seed draws, and the process that recovers from a crash; they end after a while. Faults
 * of the memory strike with a power cut.
 *
 * What must hold: a read returns what it may or an error, and an error only where a device has
 * failed since the request began; a write that found no space failed only with a disk that failed;
 * nobody hangs; when the faults are over, write-back completes and the disks hold what was written.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"

enum sim_fault {
    SIM_FAULT_READ_EIO,  /* some reads of a disk fail */
    SIM_FAULT_WRITE_EIO, /* some writes, zeroes, discards fail and change a part of their sectors */
    SIM_FAULT_FLUSH_EIO, /* some flushes fail, nothing is durable by them */
    SIM_FAULT_LATENT,    /* sectors that cannot be read until they are written */
    SIM_FAULT_GONE,      /* the disk is gone for some requests */
    SIM_FAULT_FULL,      /* it is gone for so long that the cache fills up */
    /* Of one line of the memory, with the power cut. */
    SIM_FAULT_POISON, /* it cannot be read */
    SIM_FAULT_FLIP,   /* one bit of it is wrong */
    SIM_FAULT_STALE,  /* it is as it was at some earlier moment */
    /* A disk that lies. No cache can notice it; the judges must. Not part of "all". */
    SIM_FAULT_LOST_FLUSH, /* a flush is reported as done and was not */
    SIM_FAULT_LOST_WRITE, /* the same of a part of a write */
    SIM_FAULT_MISPLACED,  /* a write goes to the wrong place */
    SIM_FAULT_COUNT,
};

#define SIM_FAULTS_HONEST ((1u << SIM_FAULT_LOST_FLUSH) - 1)
#define SIM_FAULTS_MEMORY (1u << SIM_FAULT_POISON | 1u << SIM_FAULT_FLIP | 1u << SIM_FAULT_STALE)

struct sim_world;

/* Faults of the run. */
struct sim_faults {
    struct sim_rng rng;
    uint64_t gone_left; /* requests until the disk is back */
    uint64_t struck[SIM_FAULT_COUNT];
    uint8_t
        *old; /* what was durable on the pmem at some earlier moment; NULL: no such moment yet */
};

/* Before a request is taken: perhaps a fault begins or ends. */
void sim_fault_request(struct sim_world *w);

/* One fault of this kind on one disk; a function of the draw. */
void sim_fault_strike(struct sim_world *w, enum sim_fault fault, uint64_t draw);

void sim_fault_destroy(struct sim_world *w);

/* All disks work again. */
void sim_fault_end(struct sim_world *w);

/* Requests that disks have failed so far. */
uint64_t sim_fault_failed(const struct sim_world *w);

/* A call of core/ may return this error when a disk has failed while it ran. */
bool sim_fault_excuses(int error);

/* "read-eio", ...; a list "read-eio,gone" or "all" or "none" as a mask; false: a name is unknown. */
const char *sim_fault_name(enum sim_fault fault);
bool sim_fault_parse(const char *list, uint32_t *mask);

/* The list of a mask, shortest form; returns buf. */
const char *sim_fault_list(uint32_t mask, char *buf, unsigned buf_bytes);

#endif
