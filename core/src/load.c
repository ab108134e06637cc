/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From pmem to memory: the only way in which core/ looks at records and payload headers. Each
 * object that has a checksum of its own, or is covered by one as a unit (a record, a header, a line
 * of block checksums), is copied by one call of the seam's read(), which survives poison, and is
 * checked on the copy: what was checked is what is used.
 */
#include "engine.h"

static int read_slot(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                     struct cbd_m_record *m)
{
    const struct cbd_geometry *geo = &c->super.geo;

    return c->pm->ops->read(c->pm, cbd_segment_off(geo, segment) + cbd_slot_off(geo, slot), m,
                            sizeof(*m));
}

static int decode(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                  const struct cbd_m_record *m, struct cbd_record *record)
{
    const struct cbd_segment *seg = &c->segments[segment];

    return cbd_record_decode(m, seg->record_seed, seg->entry.generation, slot, &c->super.geo,
                             record)
               ? 0
               : CBD_E_CORRUPT;
}

/*
 * 0; CBD_E_CORRUPT: what is there is no record of this place; CBD_E_MEDIA: it cannot be read, so
 * there may have been one. The caller says which of the two it takes for "none".
 */
int cbd_load_record(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                    struct cbd_record *record)
{
    struct cbd_m_record m;
    int error = read_slot(c, segment, slot, &m);

    return error != 0 ? error : decode(c, segment, slot, &m, record);
}

/* The page of this slot, where the seam reads one with one call. */
static void load_page(struct cbd_record_reader *rd, uint32_t page)
{
    const struct cbd_cache *c = rd->cache;
    const struct cbd_geometry *geo = &c->super.geo;
    uint32_t top = (page + 1) * CBD_PAGE_RECORDS - 1; /* slots grow down */

    rd->page = page;
    rd->tried = true;
    rd->whole =
        c->pm->ops->read_array != NULL &&
        c->pm->ops->read_array(c->pm, cbd_segment_off(geo, rd->segment) + cbd_slot_off(geo, top),
                               rd->m, sizeof(rd->m[0]), CBD_PAGE_RECORDS) == 0;
}

/*
 * Records in turn, upwards from any slot, as a scan wants them: a page of them with one call where
 * the seam can do that. A page with a bad line is read record by record. Most slots of an open
 * segment are empty, so what is none of this generation is told first.
 */
int cbd_load_next(struct cbd_record_reader *rd, uint32_t slot, struct cbd_record *record)
{
    uint64_t generation = rd->cache->segments[rd->segment].entry.generation;
    const struct cbd_m_record *m = &rd->m[CBD_PAGE_RECORDS - 1 - slot % CBD_PAGE_RECORDS];
    struct cbd_m_record one;

    if (!rd->tried || rd->page != slot / CBD_PAGE_RECORDS)
        load_page(rd, slot / CBD_PAGE_RECORDS);
    if (!rd->whole) {
        int error = read_slot(rd->cache, rd->segment, slot, &one);

        rd->begun = false;
        if (error != 0)
            return error;
        m = &one;
    }
    rd->begun = cbd_get32(m->generation_low) == (uint32_t)generation;
    return rd->begun ? decode(rd->cache, rd->segment, slot, m, record) : CBD_E_CORRUPT;
}

/*
 * How many slots from this one on, in one page, hold nothing of this life of the segment: for them
 * cbd_load_next() would say CORRUPT and not begun. 0 says nothing.
 */
uint32_t cbd_load_empty(const struct cbd_record_reader *rd, uint32_t slot)
{
    uint32_t generation = (uint32_t)rd->cache->segments[rd->segment].entry.generation;
    uint32_t first = slot % CBD_PAGE_RECORDS, n = first;

    if (!rd->tried || !rd->whole || rd->page != slot / CBD_PAGE_RECORDS)
        return 0;
    while (n < CBD_PAGE_RECORDS &&
           cbd_get32(rd->m[CBD_PAGE_RECORDS - 1 - n].generation_low) != generation)
        n++;
    return n - first;
}

/* The records of this segment are read soon. */
void cbd_want_records(const struct cbd_cache *c, uint32_t segment)
{
    const struct cbd_geometry *geo = &c->super.geo;
    const struct cbd_segment_entry *e = &c->segments[segment].entry;
    bool closed = e->status == CBD_M_SEGMENT_CLOSED && e->records != 0;
    uint64_t low = cbd_slot_off(geo, closed ? e->records - 1 : 0);

    if (c->pm->ops->want != NULL && e->owner != 0 && low < geo->segment_bytes)
        c->pm->ops->want(c->pm, cbd_segment_off(geo, segment) + low, geo->segment_bytes - low);
}

/* The same for those some way ahead of one that is scanned in turn with all from `first` to `end`. */
void cbd_want_ahead(const struct cbd_cache *c, uint32_t segment, uint32_t first, uint32_t end)
{
    const uint32_t ahead = 64;

    if (c->pm->ops->want == NULL)
        return;
    for (uint32_t n = segment == first ? 0 : ahead; n <= ahead && n < end - segment; n++)
        cbd_want_records(c, segment + n);
}

/* Whether a metadata image has left out the header of a record, because it was as it should be. */
bool cbd_header_left_out(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off)
{
    uint64_t words[sizeof(struct cbd_m_header) / sizeof(uint64_t)];
    uint64_t any = 0;

    if ((c->super.incompat & CBD_INCOMPAT_METADATA_ONLY) == 0 || payload_off < sizeof(words) ||
        c->pm->ops->read(c->pm,
                         cbd_segment_off(&c->super.geo, segment) + payload_off - sizeof(words),
                         words, sizeof(words)) != 0)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        any |= words[i];
    return any == 0;
}

/*
 * The header before the payload at payload_off, with its checksum lines. CBD_E_CORRUPT: there is
 * none; CBD_E_MEDIA: it, or a line that it calls for, cannot be read.
 */
int cbd_load_header(const struct cbd_cache *c, uint32_t segment, uint32_t payload_off,
                    struct cbd_loaded_header *out)
{
    const struct cbd_geometry *geo = &c->super.geo;
    struct cbd_pmem *pm = c->pm;
    struct cbd_m_header *m = (struct cbd_m_header *)(void *)(out->bytes + CBD_LINES_MAX * 64u);
    uint64_t off = cbd_segment_off(geo, segment) + payload_off;
    uint64_t addr;
    uint32_t len, lines;
    int error;

    out->m = m;
    if (payload_off < sizeof(*m) || payload_off > geo->segment_bytes)
        return CBD_E_CORRUPT;
    error = pm->ops->read(pm, off - sizeof(*m), m, sizeof(*m));
    if (error != 0)
        return error;
    /* How many lines to read: nothing of this is believed before the checksum over all of it. */
    addr = cbd_get64(m->addr_bytes);
    len = cbd_get32(m->len_bytes);
    if (len == 0 || len > CBD_REGION_BYTES || addr > (UINT64_C(1) << 48) ||
        cbd_header_bytes(addr, len) > payload_off)
        return CBD_E_CORRUPT;
    lines = cbd_header_bytes(addr, len) / CBD_LINE_BYTES - 1;
    for (uint32_t n = 1; n <= lines && error == 0; n++)
        error = pm->ops->read(pm, off - sizeof(*m) - n * CBD_LINE_BYTES,
                              out->bytes + (CBD_LINES_MAX - n) * CBD_LINE_BYTES, CBD_LINE_BYTES);
    if (error != 0)
        return error;
    return cbd_header_decode(m, c->segments[segment].header_seed, payload_off, &out->h)
               ? 0
               : CBD_E_CORRUPT;
}

/*
 * The header of this slot behind the payloads that end at *payload_end, which moves behind its own.
 * There may be two: one of a payload that was stored and given up for want of memory, and behind it
 * the one that counts.
 */
bool cbd_find_header(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                     uint32_t *payload_end, struct cbd_header *h, uint32_t *payload_off)
{
    struct cbd_loaded_header head;
    bool found = false;

    for (uint32_t n = 1; n <= CBD_LINES_MAX + 1; n++) {
        uint32_t off = *payload_end + n * CBD_LINE_BYTES;

        if (off > c->super.geo.segment_bytes || cbd_load_header(c, segment, off, &head) != 0 ||
            head.h.slot != slot ||
            cbd_header_bytes(head.h.addr_bytes, head.h.len_bytes) != n * CBD_LINE_BYTES)
            continue;
        *h = head.h;
        *payload_off = off;
        *payload_end = cbd_payload_end(off, h->len_bytes);
        found = true;
        n = 0;
    }
    return found;
}

/*
 * Moves *payload_end behind the payload of a valid record. What a void has taken the place of may
 * have left its payload: where others were stored behind it (durability=flush), its header still is
 * there, and headers are found only from one payload to the next.
 */
void cbd_pass_payload(const struct cbd_cache *c, uint32_t segment, uint32_t slot,
                      const struct cbd_record *r, uint32_t *payload_end)
{
    struct cbd_header h;
    uint32_t payload_off;

    if (r->payload_off != 0)
        *payload_end = cbd_payload_end(r->payload_off, r->len_bytes);
    else if (r->type == CBD_M_RECORD_VOID)
        (void)cbd_find_header(c, segment, slot, payload_end, &h, &payload_off);
}
