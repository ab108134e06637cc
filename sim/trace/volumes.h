/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of files and disks, numbered from 0 in order of first appearance. */
#ifndef SIM_TRACE_VOLUMES_H
#define SIM_TRACE_VOLUMES_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

struct sim_volume {
    char *name; /* NUL-terminated */
    size_t len_bytes;
    uint64_t hash;
};

/* All zeroes is empty and valid. */
struct sim_volumes {
    struct sim_volume *list;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots;     /* open addressing: index + 1, 0 is free; at most half full */
    uint32_t slot_count; /* 0 or a power of two */
    size_t names_bytes;
};

/*
 * The number of a name, a new one if it was never seen. CBD_E_NOSPACE when there are
 * SIM_TRACE_VOLUMES_MAX names or SIM_TRACE_NAMES_BYTES_MAX bytes of them; CBD_E_NOMEM.
 */
CBD_MUST_CHECK int sim_volumes_index(struct sim_volumes *volumes, const char *name,
                                     size_t len_bytes, uint32_t *index);

void sim_volumes_free(struct sim_volumes *volumes);

#endif
