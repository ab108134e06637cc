/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The history of one served disk: every request with its places, and for each page that any of them
 * touches the list of those, by submission.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "sim_base.h"

#define WIDE_SECTORS 8192u

uint64_t cut_zero_hash(void)
{
    static const uint8_t zeroes[CUT_SECTOR_BYTES];
    static uint64_t hash;

    if (hash == 0)
        hash = cbd_record_hash(zeroes, sizeof(zeroes));
    return hash;
}

bool cut_history_request(struct cut_history *h, const struct cbd_record_event *e, const void *data,
                         uint64_t place, uint64_t disk_sectors, uint32_t *index)
{
    uint32_t what = e->flags & ~CBD_RECORD_FUA;
    struct cut_request r = {
        .submit = place,
        .end = CUT_NEVER,
        .ordered = (e->flags & CBD_RECORD_FUA) != 0 ? 0 : CUT_NEVER, /* 0: at its answer */
        .sector = e->off / CUT_SECTOR_BYTES,
        .sectors = what == CBD_RECORD_SYNC ? 0 : e->len / CUT_SECTOR_BYTES,
        .hashes = what == CBD_RECORD_WRITE ? data : NULL,
        .sync = what == CBD_RECORD_SYNC,
    };

    /* What the engine refuses changes nothing. */
    if (what != CBD_RECORD_SYNC && ((e->off | e->len) % CUT_SECTOR_BYTES != 0 ||
                                    r.sector > disk_sectors || r.sectors > disk_sectors - r.sector))
        r.sectors = 0;
    if (h->request_count >= UINT32_MAX)
        return false;
    h->requests =
        sim_grow(h->requests, &h->request_cap, h->request_count + 1, sizeof(*h->requests));
    *index = (uint32_t)h->request_count;
    h->requests[h->request_count++] = r;
    return true;
}

static int by_page(const void *a, const void *b)
{
    const struct cut_entry *x = a, *y = b;

    if (x->page != y->page)
        return x->page < y->page ? -1 : 1;
    return x->request < y->request ? -1 : x->request > y->request;
}

static bool add_entries(struct cut_history *h, uint32_t index)
{
    const struct cut_request *r = &h->requests[index];
    uint64_t last;

    if (r->sectors == 0)
        return true;
    if (r->hashes == NULL && r->sectors > WIDE_SECTORS) {
        h->wide = sim_grow(h->wide, &h->wide_cap, h->wide_count + 1, sizeof(*h->wide));
        h->wide[h->wide_count++] = index;
        return true;
    }
    last = (r->sector + r->sectors - 1) / CUT_PAGE_SECTORS;
    if (last - r->sector / CUT_PAGE_SECTORS >= CUT_ENTRIES_MAX - h->entry_count)
        return false;
    for (uint64_t page = r->sector / CUT_PAGE_SECTORS; page <= last; page++) {
        h->entries = sim_grow(h->entries, &h->entry_cap, h->entry_count + 1, sizeof(*h->entries));
        h->entries[h->entry_count++] = (struct cut_entry){.page = page, .request = index};
    }
    return true;
}

static void make_pages(struct cut_history *h, const uint8_t *mem)
{
    size_t cap = 0;

    if (h->entry_count > 0)
        qsort(h->entries, h->entry_count, sizeof(*h->entries), by_page);
    for (size_t i = 0; i < h->entry_count; i++) {
        struct cut_entry *e = &h->entries[i];

        if (i == 0 || h->entries[i - 1].page != e->page) {
            h->pages = sim_grow(h->pages, &cap, h->page_count + 1, sizeof(*h->pages));
            h->pages[h->page_count++] = (struct cut_page){.page = e->page, .first = i};
            e->end_max = 0;
        } else {
            e->end_max = h->entries[i - 1].end_max;
        }
        h->pages[h->page_count - 1].count++;
        if (h->requests[e->request].end > e->end_max)
            e->end_max = h->requests[e->request].end;
    }
    h->base = sim_zalloc(h->page_count * CUT_PAGE_SECTORS, 8);
    for (size_t p = 0; p < h->page_count; p++)
        for (unsigned s = 0; s < CUT_PAGE_SECTORS; s++)
            h->base[p * CUT_PAGE_SECTORS + s] = cbd_record_hash(
                mem + h->pages[p].page * CUT_PAGE_BYTES + s * CUT_SECTOR_BYTES, CUT_SECTOR_BYTES);
}

bool cut_history_finish(struct cut_history *h, const uint8_t *mem, char why[CUT_TEXT_BYTES])
{
    size_t *order, flushes = 0;
    uint64_t *earliest;

    for (uint32_t i = 0; i < h->request_count; i++) {
        if (add_entries(h, i))
            continue;
        snprintf(why, CUT_TEXT_BYTES,
                 "the requests touch too many pages: got more up to place %" PRIu64
                 ", limit %" PRIu64 " for a disk",
                 h->requests[i].submit, CUT_ENTRIES_MAX);
        return false;
    }
    order = sim_zalloc(h->request_count + 1, sizeof(*order));
    for (uint32_t i = 0; i < h->request_count; i++)
        if (h->requests[i].sync)
            order[flushes++] = i;
    h->flushes = flushes;
    /* earliest[f]: the first answer to any flush that was submitted as flush f, or later */
    earliest = sim_zalloc(flushes + 1, 8);
    earliest[flushes] = CUT_NEVER;
    for (size_t f = flushes; f-- > 0;) {
        earliest[f] = h->requests[order[f]].end;
        if (earliest[f + 1] < earliest[f])
            earliest[f] = earliest[f + 1];
    }
    for (size_t i = 0; i < h->request_count; i++) {
        struct cut_request *r = &h->requests[i];
        size_t low = 0, high = flushes;

        if (r->end == CUT_NEVER) {
            r->ordered = CUT_NEVER;
            continue;
        }
        if (r->ordered == 0)
            r->ordered = r->end;
        while (low < high) { /* the first flush behind its answer */
            size_t mid = (low + high) / 2;

            if (h->requests[order[mid]].submit > r->end)
                high = mid;
            else
                low = mid + 1;
        }
        if (earliest[low] < r->ordered)
            r->ordered = earliest[low];
    }
    free(order);
    free(earliest);
    make_pages(h, mem);
    return true;
}

const struct cut_page *cut_history_page(const struct cut_history *h, uint64_t page)
{
    size_t low = 0, high = h->page_count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (h->pages[mid].page < page)
            low = mid + 1;
        else
            high = mid;
    }
    return low < h->page_count && h->pages[low].page == page ? &h->pages[low] : NULL;
}

/*
 * Which request the reader has seen, if only one can be: then it may not be lost from here on (P3),
 * though it was not answered yet.
 */
static void see(struct cut_history *h, uint64_t sector, uint64_t hash, uint64_t place)
{
    const struct cut_page *page = cut_history_page(h, sector / CUT_PAGE_SECTORS);
    const struct cut_request *found = NULL;
    uint64_t zero = cut_zero_hash(), of;

    if (page == NULL || hash == zero || h->on_flush)
        return;
    if (h->base[(size_t)(page - h->pages) * CUT_PAGE_SECTORS + sector % CUT_PAGE_SECTORS] == hash)
        return;
    for (size_t i = 0; i < page->count; i++) {
        const struct cut_request *r = &h->requests[h->entries[page->first + i].request];

        if (r->submit >= place)
            break;
        if (!cut_covers(r, sector, zero, &of) || of != hash)
            continue;
        if (found != NULL)
            return;
        found = r;
    }
    if (found == NULL || found->end < place)
        return;
    h->seen = sim_grow(h->seen, &h->seen_cap, h->seen_count + 1, sizeof(*h->seen));
    h->seen[h->seen_count++] = (struct cut_seen){sector, found->submit, place};
}

void cut_history_read(struct cut_history *h, uint64_t sector, const uint64_t *hashes,
                      uint64_t sectors, uint64_t place)
{
    for (uint64_t i = 0; i < sectors; i++)
        see(h, sector + i, hashes[i], place);
}

void cut_history_destroy(struct cut_history *h)
{
    free(h->requests);
    free(h->entries);
    free(h->pages);
    free(h->wide);
    free(h->seen);
    free(h->base);
}
