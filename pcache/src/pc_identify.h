/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether something that reads like a disk may be the backing device. */
#ifndef PC_IDENTIFY_H
#define PC_IDENTIFY_H

#include "cbd/pcache.h"

#define PC_SHOWN_BYTES 4096u

/* The disk, or what is served in its place. read(): whole blocks, at most PC_SHOWN_BYTES. */
struct pc_shown {
    uint64_t size_bytes;
    uint32_t block_bytes;
    int (*read)(void *arg, uint64_t addr_bytes, uint64_t len_bytes, const uint8_t **bytes);
    void *arg;
};

/* As cbd_pcache_identify(). */
int pc_identify(const struct cbd_pcache *pc, const struct cbd_pcache_view *view,
                const struct pc_shown *shown, uint64_t *addr_bytes) CBD_MUST_CHECK;

#endif
