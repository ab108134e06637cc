/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices that a fuzz input changes: made once, by the simulator. */
#ifndef FUZZ_IMAGE_BASES_H
#define FUZZ_IMAGE_BASES_H

#include "cbd/format.h"
#include "seams.h"

enum fuzz_base_kind {
    FUZZ_BASE_EMPTY,       /* formatted, no backend */
    FUZZ_BASE_KILLED,      /* two backends in use; the process died */
    FUZZ_BASE_POWER_CUT,   /* the power failed in the middle of a write: a record is suspect */
    FUZZ_BASE_DETACHED,    /* two backends, detached cleanly, reclaimed several times */
    FUZZ_BASE_NO_CHECKSUM, /* as KILLED, without data checksums */
    FUZZ_BASE_COUNT,
};

struct fuzz_base {
    struct fuzz_pmem pmem;
    uint8_t *image;
    struct cbd_geometry geo;
};

/* Takes a moment. The bases live until the process ends. */
void fuzz_bases_build(struct fuzz_base bases[FUZZ_BASE_COUNT]);

#endif
