/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of bad blocks of a mapping. */
#include "bad_blocks.h"

#include <errno.h>
#include <libpmem2.h>
#include <stdlib.h>

#include "cbd/errors.h"

struct bad_range {
    uint64_t from, to;
};

int bad_blocks_add(struct bad_blocks *b, uint64_t off, uint64_t len_bytes, uint64_t size_bytes)
{
    if (off >= size_bytes || len_bytes == 0)
        return 0;
    if (len_bytes > size_bytes - off)
        len_bytes = size_bytes - off;
    if (b->count == b->cap) {
        size_t cap = b->cap != 0 ? b->cap * 2 : 16;
        struct bad_range *grown = realloc(b->ranges, cap * sizeof(*grown));

        if (grown == NULL)
            return CBD_E_NOMEM;
        b->ranges = grown;
        b->cap = cap;
    }
    b->ranges[b->count++] = (struct bad_range){off, off + len_bytes};
    b->bytes += len_bytes;
    return 0;
}

int bad_blocks_list(struct bad_blocks *b, const struct pmem2_source *source, uint64_t size_bytes)
{
    struct pmem2_badblock_context *context;
    struct pmem2_badblock block;
    int rc = pmem2_badblock_context_new(&context, source);
    int error = 0;

    if (rc != 0)
        return rc == -ENOMEM ? CBD_E_NOMEM : 0;
    while (error == 0 && pmem2_badblock_next(context, &block) == 0)
        error = bad_blocks_add(b, block.offset, block.length, size_bytes);
    pmem2_badblock_context_delete(&context);
    return error;
}

bool bad_blocks_hit(const struct bad_blocks *b, uint64_t off, uint64_t len_bytes)
{
    for (size_t i = 0; i < b->count; i++)
        if (off < b->ranges[i].to && b->ranges[i].from < off + len_bytes)
            return len_bytes != 0;
    return false;
}

void bad_blocks_free(struct bad_blocks *b)
{
    free(b->ranges);
    *b = (struct bad_blocks){0};
}
