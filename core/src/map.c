/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cache knows about a range, without reading it: for front-ends that answer "where is
 * data, where are zeroes". The index is looked up as a read does (G4 of read.c); nothing is copied,
 * nothing is filled, and no order is taken.
 */
#include "engine.h"

static struct cbd_map_view look(struct cbd_backend *b, uint64_t addr, uint64_t len)
{
    struct cbd_index_tree *t = cbd_index_tree_of(b, addr);
    uint64_t region_left = CBD_REGION_BYTES - addr % CBD_REGION_BYTES;
    uint64_t pos = cbd_index_local(b, addr), skip;
    struct cbd_map_view view = {.addr_bytes = addr, .len_bytes = cbd_min64(len, region_left)};
    struct cbd_extent e;
    bool found = true;

    cbd_yield(b->cache->env, CBD_YIELD_LOCK);
    if (!cbd_tree_find_shared(&t->tree, pos, &e)) {
        cbd_lock_take(b->cache->env, &t->lock);
        found = cbd_tree_find(&t->tree, pos, &e);
        cbd_lock_drop(&t->lock);
    }
    if (found && e.start <= pos) {
        skip = pos - e.start;
        view.len_bytes = cbd_min64(view.len_bytes, (e.len - skip) * CBD_SECTOR_BYTES);
        view.kind = e.kind == CBD_EXTENT_DATA   ? CBD_MAP_DATA
                    : e.kind == CBD_EXTENT_LOST ? CBD_MAP_LOST
                                                : CBD_MAP_ZERO;
    } else if (found) {
        view.len_bytes = cbd_min64(view.len_bytes, (e.start - pos) * CBD_SECTOR_BYTES);
    }
    return view;
}

int cbd_map(struct cbd_backend *b, unsigned lane, uint64_t off, uint64_t len,
            struct cbd_map_view *view)
{
    struct cbd_map_view more;
    int invalid = cbd_check_request(b, lane, off, len);

    if (invalid != 0)
        return invalid;
    *view = look(b, off, len);
    while (view->len_bytes < len) {
        more = look(b, off + view->len_bytes, len - view->len_bytes);
        if (more.kind != view->kind)
            break;
        view->len_bytes += more.len_bytes;
    }
    return 0;
}
