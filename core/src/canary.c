/* SPDX-License-Identifier: BSD-2-Clause */
/* Which bug is switched on, and the bugs that take more than a line. In a build with canaries. */
#include "cbd/canary.h"

#ifdef CBD_CANARIES
#include <string.h>

#include "engine.h"

enum cbd_canary_id cbd_canary;

int cbd_canary_read_again(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr, uint8_t *buf,
                          uint64_t len)
{
    int error = read(b, addr, buf, len);

    if (error == 0)
        memmove(buf + CBD_SECTOR_BYTES, buf, len - CBD_SECTOR_BYTES);
    return error;
}

int cbd_canary_read_in_parts(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr,
                             uint8_t *buf, uint64_t len)
{
    uint64_t block = b->disk->logical_block_bytes;
    int error = CBD_E_IO, any = CBD_E_IO;

    for (unsigned n = 0; n < 4 && error != 0; n++)
        error = read(b, addr, buf, len);
    for (uint64_t at = 0; at < len && error != 0; at += block) {
        if (read(b, addr + at, buf + at, block) == 0)
            any = 0;
        else
            memset(buf + at, 0, block);
    }
    return error == 0 ? 0 : any;
}
#endif
