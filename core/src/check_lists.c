/* SPDX-License-Identifier: BSD-2-Clause */
/* Check: whether the dirty segments of a backend make lists for write-back (lists.h). */
#include "check_pass.h"
#include "lists.h"

static uint32_t gather(const struct cbd_check *k, uint32_t backend, struct cbd_span *spans)
{
    uint32_t streams = k->cache.configs[backend].streams, count = 0;

    for (uint32_t id = 0; id < k->cache.super.geo.segment_count; id++) {
        const struct cbd_segment_entry *e = &k->cache.segments[id].entry;
        const struct cbd_check_entry *entry = &k->entries[id];

        if (entry->plan == CBD_CHECK_PLAN_SCAN && e->owner == backend + 1 &&
            entry->dirty_first != 0)
            spans[count++] = (struct cbd_span){
                .first = entry->dirty_first,
                .last = entry->dirty_last,
                .id = id,
                .stream = (uint8_t)(e->stream % streams),
                .open = e->status == CBD_M_SEGMENT_OPEN && e->stream < streams &&
                        k->open[backend][e->stream] == id + 1,
            };
    }
    return count;
}

int cbd_check_lists(struct cbd_check *k, uint32_t backend)
{
    struct cbd_env *env = k->cache.env;
    size_t bytes = k->cache.super.geo.segment_count * sizeof(struct cbd_span);
    struct cbd_check_finding f;
    struct cbd_span *spans;
    uint32_t unfit;

    if (!k->out->backends[backend].used || k->out->backends[backend].dirty_records == 0)
        return 0;
    spans = env->ops->alloc(env, bytes);
    if (spans == NULL)
        return CBD_E_NOMEM;
    unfit = cbd_lists_make(spans, gather(k, backend, spans), k->cache.configs[backend].streams);
    env->ops->free(env, spans, bytes);
    if (unfit == CBD_LISTS_FIT)
        return 0;
    f = cbd_check_finding(CBD_PROBLEM_EPOCHS);
    f.segment = unfit;
    f.backend = backend;
    f.dirty = true;
    f.off_bytes = cbd_segment_off(&k->cache.super.geo, unfit);
    f.got = k->entries[unfit].dirty_first;
    f.limit = k->entries[unfit].dirty_last;
    return cbd_check_report(k, &f);
}
