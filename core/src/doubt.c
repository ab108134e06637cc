/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the cache may show something older than the disk: below records that recovery takes for
 * unfinished writes. The newest record of a stream, when it is damaged, looks the same; it may have
 * been written back. Such a place must not speak against a disk (Q1).
 */
#include <string.h>

#include "engine.h"

#define DOUBTS_MIN 16u

static int add(struct cbd_backend *b, uint64_t addr, uint64_t len)
{
    struct cbd_env *env = b->cache->env;

    if (b->doubt_count == b->doubt_cap) {
        uint32_t cap = b->doubt_cap != 0 ? 2 * b->doubt_cap : DOUBTS_MIN;
        struct cbd_range *more = env->ops->alloc(env, cap * sizeof(*more));

        if (more == NULL)
            return CBD_E_NOMEM;
        if (b->doubt_count != 0)
            memcpy(more, b->doubts, b->doubt_count * sizeof(*more));
        if (b->doubts != NULL)
            env->ops->free(env, b->doubts, b->doubt_cap * sizeof(*b->doubts));
        b->doubts = more;
        b->doubt_cap = cap;
    }
    b->doubts[b->doubt_count++] = (struct cbd_range){addr, len};
    return 0;
}

void cbd_doubt_destroy(struct cbd_backend *b)
{
    if (b->doubts != NULL)
        b->cache->env->ops->free(b->cache->env, b->doubts, b->doubt_cap * sizeof(*b->doubts));
    b->doubts = NULL;
    b->doubt_count = 0;
    b->doubt_cap = 0;
}

/* Notes the unfinished writes of a segment that was scanned, as far as a header or record is left. */
int cbd_doubt_note(struct cbd_backend *b, uint32_t id, const struct cbd_scan *scan)
{
    uint32_t slot = scan->unfinished != 0 ? 0 : scan->records;
    uint32_t payload_end = scan->unfinished != 0 ? 0 : scan->payload_end;
    int error = 0;

    if (scan->unfinished == 0 && !scan->recordless)
        return 0;
    for (; slot <= scan->records && error == 0; slot++) {
        struct cbd_header h;
        struct cbd_record r;
        uint32_t payload_off;
        int bad = slot < scan->records ? cbd_load_record(b->cache, id, slot, &r) : CBD_E_CORRUPT;

        if (bad == 0) {
            cbd_pass_payload(b->cache, id, slot, &r, &payload_end);
            if (slot >= scan->durable && cbd_scan_unfinished(b->cache, id, scan, slot))
                error = add(b, r.addr_bytes, r.len_bytes);
        } else if (cbd_find_header(b->cache, id, slot, &payload_end, &h, &payload_off) &&
                   slot >= scan->durable) {
            error = add(b, h.addr_bytes, h.len_bytes);
        }
    }
    return error;
}

/*
 * Whether a newer version than this order may have been there. Two records of one place never have
 * the same order (I3): what has the highest that a lost one can have had is newer than it.
 */
bool cbd_doubt_at(const struct cbd_backend *b, uint64_t addr, uint64_t len, uint64_t order)
{
    for (uint32_t i = 0; i < b->doubt_count; i++)
        if (addr < b->doubts[i].addr_bytes + b->doubts[i].len_bytes &&
            b->doubts[i].addr_bytes < addr + len)
            return true;
    for (uint32_t i = 0; i < b->lost_count; i++)
        if (!b->lost[i].clean && !b->lost[i].known && order < b->lost[i].order_max)
            return true;
    return false;
}
