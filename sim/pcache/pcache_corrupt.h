/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as damage to a device of dm-pcache: a life of the driver's model, then changes at places
 * that matter, some of them with the checksum made right again. Then everything that the library
 * does. Nothing may crash, hang or touch what is not there, and:
 *
 * C1  a check, a view and a dry run store nothing;
 * C2  where the check finds no error, write-back succeeds, and the check finds none afterwards;
 * C3  write-back that loses nothing says so, and whatever it does, it can be done again.
 */
#ifndef SIM_PCACHE_CORRUPT_H
#define SIM_PCACHE_CORRUPT_H

#include <stddef.h>
#include <stdint.h>

struct sim_pcache_corrupted {
    uint64_t opened, errors, drained, clean_after;
};

/* Adds to *out. Ends the process when one of C1 to C3 does not hold. */
void sim_pcache_corrupt(const uint8_t *input, size_t len_bytes, struct sim_pcache_corrupted *out);

#endif
