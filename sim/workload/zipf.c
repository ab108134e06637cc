/* SPDX-License-Identifier: BSD-2-Clause */
/* A hot set after Zipf's law, and a scan. */
#include "zipf.h"

#include <stdlib.h>
#include <string.h>

#include "sim_base.h"

#define WEIGHT (UINT64_C(1) << 32) /* of the most popular block */

void sim_zipf_begin(struct sim_zipf *z)
{
    uint64_t sum = 0;

    sim_rng_seed(&z->rng, z->seed);
    z->sums = sim_zalloc(z->blocks, sizeof(*z->sums));
    for (uint32_t n = 0; n < z->blocks; n++) {
        sum += WEIGHT / (n + 1);
        z->sums[n] = sum;
    }
    z->done = 0;
    z->scanned = 0;
}

void sim_zipf_end(struct sim_zipf *z)
{
    free(z->sums);
    z->sums = NULL;
}

/* The block of rank n: neighbours in rank are not neighbours on the disk. */
static uint64_t place(const struct sim_zipf *z, uint32_t rank)
{
    uint64_t stride = z->blocks / 2 | 1;

    while (stride > 1) { /* one that has no divisor in common with the number of blocks */
        uint64_t a = z->blocks, b = stride;

        while (b != 0) {
            uint64_t t = a % b;

            a = b;
            b = t;
        }
        if (a == 1)
            break;
        stride -= 2;
    }
    return rank * stride % z->blocks;
}

int sim_zipf_next(struct sim_zipf *z, struct sim_request *request)
{
    uint32_t low = 0, high = z->blocks - 1;
    uint64_t draw;

    if (z->done == z->requests)
        return 0;
    memset(request, 0, sizeof(*request));
    request->op = SIM_REQUEST_READ;
    request->line = ++z->done;
    request->len_bytes = SIM_ZIPF_BLOCK_BYTES;
    if (sim_rng_below(&z->rng, 100) < z->scan_percent) {
        request->volume = 1;
        request->off_bytes = (z->blocks + z->scanned++ % z->scan_blocks) * SIM_ZIPF_BLOCK_BYTES;
        return 1;
    }
    draw = sim_rng_below(&z->rng, z->sums[high]);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (z->sums[middle] > draw)
            high = middle;
        else
            low = middle + 1;
    }
    request->off_bytes = place(z, low) * SIM_ZIPF_BLOCK_BYTES;
    return 1;
}
