/* SPDX-License-Identifier: BSD-2-Clause */
/* A small set of disjoint ranges [first, end): poisoned bytes, unreadable sectors. */
#ifndef SIM_RANGES_H
#define SIM_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_range {
    uint64_t first, end;
};

/* Zero-initialised is empty. Sorted. Owned by one thread. */
struct sim_ranges {
    struct sim_range *items;
    size_t count, cap;
};

/* first <= end; an empty range changes nothing. */
void sim_ranges_add(struct sim_ranges *set, uint64_t first, uint64_t end);
void sim_ranges_remove(struct sim_ranges *set, uint64_t first, uint64_t end);
bool sim_ranges_hit(const struct sim_ranges *set, uint64_t first, uint64_t end);
void sim_ranges_copy(struct sim_ranges *dst, const struct sim_ranges *src);
void sim_ranges_free(struct sim_ranges *set);

#endif
