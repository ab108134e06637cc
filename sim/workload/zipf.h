/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads for measuring a replacement policy: a hot set after Zipf's law (the n-th most popular block
 * is read in proportion to 1/n), and a scan that reads each block of a long range once. Integers
 * only: the same requests on every machine.
 */
#ifndef SIM_ZIPF_H
#define SIM_ZIPF_H

#include <stdint.h>

#include "rng.h"
#include "trace/trace.h"

#define SIM_ZIPF_BLOCK_BYTES 4096u

struct sim_zipf {
    uint64_t seed;
    uint64_t requests;
    uint32_t blocks;       /* of the hot set, at addresses from 0 on; at least 1 */
    uint32_t scan_percent; /* of the requests; the scan begins behind the hot set, and wraps */
    uint64_t scan_blocks;  /* at least 1 */
    /* private */
    struct sim_rng rng;
    uint64_t *sums; /* sums[n]: weight of blocks 0 .. n */
    uint64_t done, scanned;
};

/* Private fields are set here; memory is given back by sim_zipf_end(). */
void sim_zipf_begin(struct sim_zipf *z);
void sim_zipf_end(struct sim_zipf *z);

/* 1: the next request; its volume is 0, or 1 when it is the scan's. 0: the end. */
int sim_zipf_next(struct sim_zipf *z, struct sim_request *request);

#endif
