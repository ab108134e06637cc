/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damages the medium of a cache that lost its power, in one place at a time, and compares what
 * core/check says, what recovery does and what is then read with what was written (P7):
 *
 *   a record, but the newest of its stream     the check names it and its range; the attach refuses
 *                                              or nothing wrong is read there
 *   a header or a block of data                the check names it; no wrong byte is served or
 *                                              written back; clean data comes from the disk
 *   one copy of a superblock or table entry    the check names it; nothing is lost
 *   both copies of a table entry               the check names it, the cache is refused
 *
 * Damage is a flipped bit, a line from elsewhere, garbage, or poison.
 */
#ifndef SIM_DAMAGE_H
#define SIM_DAMAGE_H

#include <stddef.h>

#include "world.h"

struct sim_damage_config {
    struct sim_config world;
    uint64_t requests; /* of the run */
    uint64_t every;    /* so many requests lie between two power cuts */
    uint32_t damages;  /* at each of them */
    uint64_t space_bytes;
    uint32_t len_max_bytes;
    uint32_t kinds; /* bits of enum sim_fault: POISON, FLIP, STALE; 0: these, and all others */
};

/* Adds the damaged images to *states. False: one was not treated as it must; `why` says which. */
bool sim_damage_run(const struct sim_damage_config *config, uint64_t *states, char *why,
                    size_t why_bytes);

#endif
