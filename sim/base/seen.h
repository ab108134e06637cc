/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of 64-bit numbers: states that have been judged. Owned by one thread. */
#ifndef SIM_SEEN_H
#define SIM_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_seen {
    uint64_t *slot; /* 0 is empty */
    size_t size;    /* a power of two, or 0 */
    size_t count;
};

/* All zero is an empty set. */
void sim_seen_free(struct sim_seen *s);

/* True: it was not there yet. 0 counts as 1. */
bool sim_seen_add(struct sim_seen *s, uint64_t number);

#endif
