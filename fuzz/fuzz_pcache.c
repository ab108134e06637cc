/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as damage to a device of dm-pcache: sim/pcache/pcache_corrupt.h says what has to hold. */
#include "pcache_corrupt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct sim_pcache_corrupted out = {0};

    sim_pcache_corrupt(data, size_bytes, &out);
    return 0;
}
