/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fewest requests that write-back can make of a sequence of writes under P4: what the same
 * epoch overwrote is skipped, neighbours of one epoch are one request up to a limit, epochs are not
 * merged, and each one costs a flush. Computed from the requests alone, by nothing of core/.
 */
#ifndef SIM_BEST_H
#define SIM_BEST_H

#include <stdbool.h>
#include <stdint.h>

struct sim_best_config {
    uint64_t epoch_bytes_max;   /* an epoch that takes so much of the cache ends; 0: never */
    uint64_t epoch_records_max; /* or so many records; 0: never */
    uint64_t piece_bytes_max;   /* what one record holds */
    uint64_t data_bytes_max;    /* the largest request with data */
    uint64_t zero_bytes_max;    /* the largest discard */
};

struct sim_best_sums {
    uint64_t data_requests, data_bytes;
    uint64_t zero_requests, zero_bytes;
    uint64_t epochs; /* with anything in them: each costs a flush */
    uint64_t forced; /* of these, ended by a limit */
};

struct sim_best;

/* Never NULL. */
struct sim_best *sim_best_create(const struct sim_best_config *config);
void sim_best_destroy(struct sim_best *best);

/* In 512-byte sectors. zero: a discard. */
void sim_best_write(struct sim_best *best, uint64_t start, uint64_t sectors, bool zero, bool fua);
void sim_best_flush(struct sim_best *best);

/* Ends the last epoch. */
struct sim_best_sums sim_best_end(struct sim_best *best);

#endif
