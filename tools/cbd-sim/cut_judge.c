/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges what is left after a cut, by what the clients asked and were answered before it.
 *
 * The content of a sector is known by its hash only, and several requests may have written the same:
 * all of them are candidates, and one that is allowed is enough. So an alarm is never false, and
 * data that differs from one write to the next is judged as sharply as by version numbers.
 *
 * Older means: answered before the other one was submitted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "sim_base.h"

#define IN_FLIGHT_LOOK_BACK 1024u

uint64_t *cut_contents_alloc(const struct cut_history *h)
{
    uint64_t *contents = sim_zalloc(h->page_count * CUT_PAGE_SECTORS, 8);

    for (size_t i = 0; i < h->page_count * CUT_PAGE_SECTORS; i++)
        contents[i] = cut_zero_hash(); /* a last page may be behind the end in part */
    return contents;
}

static bool durable(const struct cut_history *h, const struct cut_request *r, uint64_t place)
{
    return h->on_flush ? r->ordered < place : r->end < place;
}

/* How many entries of the page were submitted before the place. */
static size_t entries_before(const struct cut_history *h, const struct cut_page *page,
                             uint64_t place)
{
    size_t low = 0, high = page->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (h->requests[h->entries[page->first + mid].request].submit < place)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The newest submission that may not be missing; 0: none (a place of a request is above 0). */
static uint64_t newest_durable(const struct cut_history *h, const struct cut_page *page, size_t n,
                               uint64_t sector, uint64_t place, uint64_t zero)
{
    uint64_t newest = 0, hash;

    for (size_t i = n; i-- > 0;) {
        const struct cut_request *r = &h->requests[h->entries[page->first + i].request];

        if (durable(h, r, place) && cut_covers(r, sector, zero, &hash)) {
            newest = r->submit;
            break;
        }
    }
    for (size_t i = 0; i < h->wide_count; i++) {
        const struct cut_request *r = &h->requests[h->wide[i]];

        if (r->submit < place && r->submit > newest && durable(h, r, place) &&
            cut_covers(r, sector, zero, &hash))
            newest = r->submit;
    }
    for (size_t i = 0; i < h->seen_count; i++)
        if (h->seen[i].sector == sector && h->seen[i].since < place && h->seen[i].submit > newest)
            newest = h->seen[i].submit;
    return newest;
}

/*
 * Whether a request that ended at `not_before` or later, submitted before `place`, wrote this; or the
 * disk held it at the beginning and not_before is 0. `but` is not looked at.
 */
static bool written_by(const struct cut_history *h, const struct cut_page *page, size_t n,
                       uint64_t sector, uint64_t place, uint64_t hash, uint64_t not_before,
                       const struct cut_request *but)
{
    uint64_t zero = cut_zero_hash(), of;
    size_t p = (size_t)(page - h->pages);

    if (not_before == 0 && h->base[p * CUT_PAGE_SECTORS + sector % CUT_PAGE_SECTORS] == hash)
        return true;
    for (size_t i = n; i-- > 0;) {
        const struct cut_entry *e = &h->entries[page->first + i];
        const struct cut_request *r = &h->requests[e->request];

        if (e->end_max < not_before)
            break;
        if (r != but && r->end >= not_before && cut_covers(r, sector, zero, &of) && of == hash)
            return true;
    }
    for (size_t i = 0; i < h->wide_count; i++) {
        const struct cut_request *r = &h->requests[h->wide[i]];

        if (r != but && r->submit < place && r->end >= not_before &&
            cut_covers(r, sector, zero, &of) && of == hash)
            return true;
    }
    return false;
}

static bool judge_page(const struct cut_history *h, size_t p, uint64_t place,
                       const uint64_t *contents, char why[CUT_TEXT_BYTES])
{
    const struct cut_page *page = &h->pages[p];
    size_t n = entries_before(h, page, place);
    uint64_t zero = cut_zero_hash();

    for (unsigned s = 0; s < CUT_PAGE_SECTORS; s++) {
        uint64_t sector = page->page * CUT_PAGE_SECTORS + s;
        uint64_t hash = contents[p * CUT_PAGE_SECTORS + s];
        uint64_t newest = newest_durable(h, page, n, sector, place, zero);

        if (written_by(h, page, n, sector, place, hash, newest, NULL))
            continue;
        snprintf(why, CUT_TEXT_BYTES,
                 "sector %" PRIu64 " holds %s; the request of place %" PRIu64
                 " may not be missing (P1, P3)",
                 sector,
                 written_by(h, page, n, sector, place, hash, 0, NULL)
                     ? "something older than what was answered"
                     : "what nobody wrote",
                 newest);
        return false;
    }
    return true;
}

/* P2: one piece of a request that is not durable yet is there as a whole or not at all. */
static bool judge_piece(const struct cut_history *h, const struct cut_request *r, uint64_t from,
                        uint64_t end, uint64_t place, const uint64_t *contents,
                        char why[CUT_TEXT_BYTES])
{
    uint64_t zero = cut_zero_hash(), hash, there = CUT_NEVER, missing = CUT_NEVER;

    for (uint64_t sector = from; sector < end; sector++) {
        const struct cut_page *page = cut_history_page(h, sector / CUT_PAGE_SECTORS);
        uint64_t got;
        size_t n;

        if (page == NULL || !cut_covers(r, sector, zero, &hash))
            continue;
        got = contents[(size_t)(page - h->pages) * CUT_PAGE_SECTORS + sector % CUT_PAGE_SECTORS];
        n = entries_before(h, page, place);
        if (got == hash) {
            if (there == CUT_NEVER && !written_by(h, page, n, sector, place, got, 0, r))
                there = sector;
        } else if (missing == CUT_NEVER &&
                   !written_by(h, page, n, sector, place, got, r->submit, NULL)) {
            missing = sector;
        }
    }
    if (there == CUT_NEVER || missing == CUT_NEVER)
        return true;
    snprintf(why, CUT_TEXT_BYTES,
             "the request of place %" PRIu64 " is torn: sector %" PRIu64 " has it, sector %" PRIu64
             " has something older (P2)",
             r->submit, there, missing);
    return false;
}

bool cut_judge_served(const struct cut_history *h, uint64_t place, const uint64_t *contents,
                      uint64_t piece_sectors, char why[CUT_TEXT_BYTES])
{
    size_t low = 0, high = h->request_count;

    for (size_t p = 0; p < h->page_count; p++)
        if (!judge_page(h, p, place, contents, why))
            return false;
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (h->requests[mid].submit < place)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t i = low; i-- > 0 && low - i <= IN_FLIGHT_LOOK_BACK;) {
        const struct cut_request *r = &h->requests[i];
        uint64_t end = r->sector + r->sectors, next;

        if (durable(h, r, place) || (r->hashes == NULL && r->sectors > piece_sectors))
            continue;
        for (uint64_t from = r->sector; from < end; from = next) {
            next = (from / piece_sectors + 1) * piece_sectors;
            next = next < end ? next : end;
            if (!judge_piece(h, r, from, next, place, contents, why))
                return false;
        }
    }
    return true;
}

/* Moments T at which the sector could hold what it does: after > T' is enough, up to `to`. */
struct moments {
    uint64_t sector, after, to;
};

struct many {
    struct moments *items;
    size_t count, cap;
};

/* The moment from which on something newer than a request that ended there has to be there. */
static uint64_t too_old(const struct cut_history *h, const struct cut_page *page, size_t n,
                        uint64_t sector, uint64_t place, uint64_t end)
{
    uint64_t zero = cut_zero_hash(), first = CUT_NEVER, hash;
    size_t low = 0, high = n;

    if (end == CUT_NEVER)
        return CUT_NEVER;
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (h->requests[h->entries[page->first + mid].request].submit > end)
            high = mid;
        else
            low = mid + 1;
    }
    for (size_t i = low; i < n; i++) {
        const struct cut_request *r = &h->requests[h->entries[page->first + i].request];

        if (r->submit >= first)
            break; /* it is ordered behind its submission */
        if (r->ordered < first && cut_covers(r, sector, zero, &hash))
            first = r->ordered;
    }
    for (size_t i = 0; i < h->wide_count; i++) {
        const struct cut_request *r = &h->requests[h->wide[i]];

        if (r->submit > end && r->submit < place && r->ordered < first &&
            cut_covers(r, sector, zero, &hash))
            first = r->ordered;
    }
    return first;
}

static void add_moments(struct many *m, size_t start, uint64_t sector, uint64_t after, uint64_t to,
                        uint64_t place)
{
    to = to < place ? to : place;
    if (after >= to)
        return;
    /* Candidates come newest first: what one covers already is not listed again. */
    for (size_t i = start; i < m->count; i++)
        if (m->items[i].after <= after && m->items[i].to >= to)
            return;
    m->items = sim_grow(m->items, &m->cap, m->count + 1, sizeof(*m->items));
    m->items[m->count++] = (struct moments){sector, after, to};
}

/* All moments that explain the content of a sector. */
static void sector_moments(const struct cut_history *h, size_t p, size_t n, uint64_t sector,
                           uint64_t place, uint64_t hash, struct many *m)
{
    const struct cut_page *page = &h->pages[p];
    uint64_t zero = cut_zero_hash(), of;
    size_t start = m->count;

    for (size_t i = n; i-- > 0;) {
        const struct cut_request *r = &h->requests[h->entries[page->first + i].request];

        if (cut_covers(r, sector, zero, &of) && of == hash)
            add_moments(m, start, sector, r->submit, too_old(h, page, n, sector, place, r->end),
                        place);
    }
    for (size_t i = 0; i < h->wide_count && hash == zero; i++) {
        const struct cut_request *r = &h->requests[h->wide[i]];

        if (r->submit < place && cut_covers(r, sector, zero, &of))
            add_moments(m, start, sector, r->submit, too_old(h, page, n, sector, place, r->end),
                        place);
    }
    if (h->base[p * CUT_PAGE_SECTORS + sector % CUT_PAGE_SECTORS] == hash)
        add_moments(m, start, sector, 0, too_old(h, page, n, sector, place, 0), place);
}

struct edge {
    uint64_t at;
    int by;
};

static int by_at(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at ? 1 : x->by - y->by;
}

static int by_sector(const void *a, const void *b)
{
    const struct moments *x = a, *y = b;

    if (x->sector != y->sector)
        return x->sector < y->sector ? -1 : 1;
    return x->after < y->after ? -1 : x->after > y->after;
}

/* Whether some moment in (low, high] is among those of each sector. */
static bool common_moment(struct many *m, uint64_t low, uint64_t high)
{
    struct edge *edges = sim_zalloc(m->count * 2, sizeof(*edges));
    size_t count = 0, sectors = 0;
    int depth = 0;
    bool found;

    if (m->count > 0)
        qsort(m->items, m->count, sizeof(*m->items), by_sector);
    for (size_t i = 0; i < m->count; sectors++) {
        uint64_t sector = m->items[i].sector;

        /* Those of a sector are joined, so that each counts once. */
        while (i < m->count && m->items[i].sector == sector) {
            uint64_t after = m->items[i].after, to = m->items[i].to;

            for (i++; i < m->count && m->items[i].sector == sector && m->items[i].after <= to; i++)
                to = m->items[i].to > to ? m->items[i].to : to;
            after = after > low ? after : low;
            to = to < high ? to : high;
            if (after < to) {
                edges[count++] = (struct edge){after, 1};
                edges[count++] = (struct edge){to, -1};
            }
        }
    }
    found = sectors == 0 && low < high;
    if (count > 0)
        qsort(edges, count, sizeof(*edges), by_at);
    for (size_t i = 0; i < count && !found; i++) {
        depth += edges[i].by;
        found = depth == (int)sectors && sectors > 0;
    }
    free(edges);
    return found;
}

bool cut_judge_disk(const struct cut_history *h, uint64_t place, const uint64_t *contents,
                    char why[CUT_TEXT_BYTES])
{
    uint64_t low = 0, high = place, low_sector = 0, high_sector = 0;
    struct many m = {0};
    bool good = true;

    for (size_t p = 0; p < h->page_count && good; p++) {
        size_t n = entries_before(h, &h->pages[p], place);

        for (unsigned s = 0; s < CUT_PAGE_SECTORS && good; s++) {
            uint64_t sector = h->pages[p].page * CUT_PAGE_SECTORS + s;
            size_t start = m.count;

            sector_moments(h, p, n, sector, place, contents[p * CUT_PAGE_SECTORS + s], &m);
            good = m.count > start;
            if (!good)
                snprintf(why, CUT_TEXT_BYTES,
                         "sector %" PRIu64 " of the disk holds what no moment explains (P4)",
                         sector);
            if (m.count != start + 1)
                continue; /* several: looked at together, behind */
            m.count = start;
            if (m.items[start].after > low) {
                low = m.items[start].after;
                low_sector = sector;
            }
            if (m.items[start].to < high) {
                high = m.items[start].to;
                high_sector = sector;
            }
        }
    }
    if (good && !common_moment(&m, low, high)) {
        good = false;
        snprintf(why, CUT_TEXT_BYTES,
                 "no moment explains the disk: sector %" PRIu64 " needs one behind place %" PRIu64
                 ", sector %" PRIu64 " one up to place %" PRIu64 " (P4)",
                 low_sector, low, high_sector, high);
    }
    free(m.items);
    return good;
}
