/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metadata images: walks over everything that is not data and hands it on, superblocks last.
 *
 *   tables, both copies -> of each live segment: records, and the headers that check looks for
 *
 * What is valid stays valid and what is not stays invalid, so that a check of the image finds what
 * a check of the device finds. A header that only repeats its record is left out: it stands between
 * payloads, and with it the image would have a page for nearly each 4 KiB of data. Two things cannot be told from an image: a media error (it is a hole
 * and reads as zeroes), and whether the payload of the newest record is whole. The latter is decided
 * here: the header of an unfinished write gets a wrong checksum.
 */
#include <string.h>

#include "crc.h"
#include "image.h"

#define NOTHING_KNOWN 0xff

static int put(struct cbd_image *im, uint64_t off, const void *bytes, uint32_t len)
{
    return im->options->write(im->options->arg, off, bytes, len);
}

/* What fails its checksum, as it is or, when it must not be shown, as something that fails too. */
static int put_damaged(struct cbd_image *im, uint64_t off, void *bytes, uint32_t len)
{
    const uint8_t *p = bytes;
    uint8_t any = 0;

    for (uint32_t i = 0; i < len; i++)
        any |= p[i];
    if (im->options->anonymize && any != 0)
        memset(bytes, NOTHING_KNOWN, len);
    return any != 0 ? put(im, off, bytes, len) : 0;
}

static bool get(struct cbd_image *im, uint64_t off, void *bytes, uint32_t len)
{
    struct cbd_pmem *pm = im->cache.pm;

    if (off <= pm->size_bytes && len <= pm->size_bytes - off &&
        pm->ops->read(pm, off, bytes, len) == 0)
        return true;
    im->out->unreadable++;
    return false;
}

/* --- tables ---------------------------------------------------------------------------------- */

static uint32_t old_seed(const struct cbd_image *im, enum cbd_seed_kind kind, uint32_t id)
{
    return cbd_seed_place(im->cache.seed, kind, id, 0);
}

static uint32_t new_seed(const struct cbd_image *im, enum cbd_seed_kind kind, uint32_t id)
{
    return cbd_seed_place(im->now.seed, kind, id, 0);
}

static int put_backend(struct cbd_image *im, uint64_t table, uint32_t id)
{
    uint64_t off = table + cbd_place_backend(id);
    struct cbd_backend_config b;
    struct cbd_m_backend m;

    if (!get(im, off, &m, sizeof(m)))
        return 0;
    if (!cbd_backend_decode(&m, old_seed(im, CBD_SEED_BACKEND, id), &b)) {
        im->out->damaged++;
        return put_damaged(im, off, &m, sizeof(m));
    }
    if (im->options->anonymize) {
        cbd_image_hide_backend(im, &b);
        cbd_backend_encode(&b, new_seed(im, CBD_SEED_BACKEND, id), &m);
    }
    return put(im, off, &m, sizeof(m));
}

static int put_state(struct cbd_image *im, uint64_t table, uint32_t id)
{
    uint64_t off = table + cbd_place_state(id);
    struct cbd_m_backend_state m;
    struct cbd_backend_state s;

    if (!get(im, off, &m, sizeof(m)))
        return 0;
    if (!cbd_state_decode(&m, old_seed(im, CBD_SEED_STATE, id), &s)) {
        im->out->damaged++;
        return put_damaged(im, off, &m, sizeof(m));
    }
    if (im->options->anonymize)
        cbd_state_encode(&s, new_seed(im, CBD_SEED_STATE, id), &m);
    return put(im, off, &m, sizeof(m));
}

static int put_entry(struct cbd_image *im, uint64_t table, uint32_t id)
{
    uint64_t off = table + cbd_place_segment(id);
    struct cbd_segment_entry e;
    struct cbd_m_segment m;

    if (!get(im, off, &m, sizeof(m)))
        return 0;
    if (!cbd_segment_decode(&m, old_seed(im, CBD_SEED_SEGMENT, id), &im->cache.super.geo, &e)) {
        im->out->damaged++;
        return put_damaged(im, off, &m, sizeof(m));
    }
    if (im->options->anonymize)
        cbd_segment_encode(&e, new_seed(im, CBD_SEED_SEGMENT, id), &m);
    return put(im, off, &m, sizeof(m));
}

static int put_table(struct cbd_image *im, uint64_t table)
{
    int error = 0;

    for (uint32_t i = 0; i < CBD_BACKENDS && error == 0; i++) {
        error = put_backend(im, table, i);
        if (error == 0)
            error = put_state(im, table, i);
    }
    for (uint32_t i = 0; i < im->cache.super.geo.segment_count && error == 0; i++)
        error = put_entry(im, table, i);
    return error;
}

/* --- segments -------------------------------------------------------------------------------- */

static uint32_t end_of(uint32_t payload_off, uint64_t len_bytes)
{
    return (uint32_t)(payload_off + len_bytes + CBD_LINE_BYTES - 1) & ~(CBD_LINE_BYTES - 1);
}

/* A header that is whole, with its lines, as it is in the image. Its checksum there. */
static uint32_t make_header(struct cbd_image *im, uint32_t id, uint32_t payload_off,
                            const struct cbd_loaded_header *head, uint8_t *bytes)
{
    uint32_t len = cbd_header_bytes(head->h.addr_bytes, head->h.len_bytes);
    uint32_t blocks = cbd_block_count(head->h.addr_bytes, head->h.len_bytes);
    uint32_t block_crc[CBD_HEADER_CRCS + CBD_LINES_MAX * CBD_CRC_LINE_CRCS];

    memcpy(bytes, head->bytes + sizeof(head->bytes) - len, len);
    if (!im->options->anonymize)
        return head->h.crc;
    for (uint32_t i = 0; i < blocks; i++)
        block_crc[i] = cbd_image_hide_crc(im, cbd_header_block_crc(head->m, i));
    return cbd_header_encode(
        &head->h, cbd_checksums_used(&im->cache) ? block_crc : NULL,
        cbd_seed_place(im->now.seed, CBD_SEED_HEADER, id, im->cache.segments[id].entry.generation),
        payload_off, bytes);
}

/* *crc: the checksum of the header in the image. */
static int put_header(struct cbd_image *im, uint32_t id, uint32_t payload_off,
                      const struct cbd_loaded_header *head, bool unfinished, uint32_t *crc)
{
    uint32_t len = cbd_header_bytes(head->h.addr_bytes, head->h.len_bytes);
    uint64_t off = cbd_segment_off(&im->cache.super.geo, id) + payload_off - len;
    struct cbd_m_header m;
    _Alignas(64) uint8_t bytes[(CBD_LINES_MAX + 1) * CBD_LINE_BYTES];
    int error = 0;

    *crc = make_header(im, id, payload_off, head, bytes);
    if (unfinished) {
        memcpy(&m, bytes + len - sizeof(m), sizeof(m));
        m.crc = cbd_put32(~*crc);
        memcpy(bytes + len - sizeof(m), &m, sizeof(m));
    }
    for (uint32_t done = 0; done < len && error == 0; done += CBD_PAGE_BYTES)
        error = put(im, off + done, bytes + done, (uint32_t)cbd_min64(len - done, CBD_PAGE_BYTES));
    return error;
}

/*
 * What stands where a valid record wants a header, and is none: line by line. Zeroes would say that
 * the image has left out a good one.
 */
static int put_no_header(struct cbd_image *im, uint32_t id, const struct cbd_record *r)
{
    uint64_t end = cbd_segment_off(&im->cache.super.geo, id) + r->payload_off;
    uint32_t len = cbd_header_bytes(r->addr_bytes, (uint32_t)r->len_bytes);
    uint8_t line[CBD_LINE_BYTES] = {0};
    int error = 0;

    im->out->damaged++;
    for (uint64_t off = end - len; off < end && error == 0; off += sizeof(line))
        if (get(im, off, line, sizeof(line)))
            error = put_damaged(im, off, line, sizeof(line));
        else
            memset(line, 0, sizeof(line));
    for (uint32_t i = 0; i < sizeof(line); i++)
        if (line[i] != 0)
            return error;
    memset(line, NOTHING_KNOWN, sizeof(line));
    return error != 0 ? error : put(im, end - sizeof(line), line, sizeof(line));
}

/* Whether the header is the record's own, and not another one that stands where it says. */
static bool own(const struct cbd_header *h, uint32_t slot, const struct cbd_record *r)
{
    return h->crc == r->header_crc && h->slot == slot && h->addr_bytes == r->addr_bytes &&
           h->len_bytes == r->len_bytes && h->type == r->type;
}

/* Whether the header says nothing but what the record says as well. */
static bool agrees(const struct cbd_header *h, uint32_t slot, const struct cbd_record *r)
{
    return own(h, slot, r) && (r->type == CBD_M_RECORD_FILL || h->epoch_floor <= r->epoch);
}

/* The header of a valid record, if it has more to say. The record then names the one in the image. */
static int put_header_of(struct cbd_image *im, uint32_t id, uint32_t slot, struct cbd_record *r,
                         bool unfinished)
{
    _Alignas(64) uint8_t bytes[(CBD_LINES_MAX + 1) * CBD_LINE_BYTES];
    struct cbd_loaded_header head;
    uint32_t old = r->header_crc, crc;
    int error;

    if (im->options->anonymize)
        r->header_crc = cbd_image_hide_crc(im, old);
    if (cbd_header_left_out(&im->cache, id, r->payload_off))
        return 0;
    if (cbd_load_header(&im->cache, id, r->payload_off, &head) != 0)
        return put_no_header(im, id, r);
    r->header_crc = old;
    if (agrees(&head.h, slot, r) && !unfinished) {
        /* Another slot may show it, so the record names it as it would be. */
        r->header_crc = make_header(im, id, r->payload_off, &head, bytes);
        return 0;
    }
    unfinished = unfinished && own(&head.h, slot, r); /* one of another slot proves nothing */
    error = put_header(im, id, r->payload_off, &head, unfinished, &crc);
    if (head.h.crc == old)
        r->header_crc = crc;
    else if (im->options->anonymize) /* it stays one that does not belong to it */
        r->header_crc = cbd_image_hide_crc(im, old);
    return error;
}

/* The valid record of a slot. */
static int put_record(struct cbd_image *im, uint32_t id, uint32_t slot, struct cbd_record *r,
                      bool unfinished)
{
    const struct cbd_geometry *geo = &im->cache.super.geo;
    const struct cbd_segment_entry *e = &im->cache.segments[id].entry;
    uint64_t off = cbd_segment_off(geo, id) + cbd_slot_off(geo, slot);
    struct cbd_m_record m;
    int error = 0;

    im->out->records++;
    if (r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_FILL)
        error = put_header_of(im, id, slot, r, unfinished);
    if (error != 0)
        return error;
    cbd_record_encode(r, cbd_seed_place(im->now.seed, CBD_SEED_RECORD, id, e->generation),
                      e->generation, slot, &m);
    return put(im, off, &m, sizeof(m));
}

/* The header behind `end` that its own checksum proves, if there is one. */
static bool next_header(const struct cbd_image *im, uint32_t id, uint32_t end,
                        struct cbd_loaded_header *head, uint32_t *payload_off)
{
    uint32_t limit = im->cache.super.geo.segment_bytes;

    for (uint32_t n = 1; n <= CBD_LINES_MAX + 1 && n * CBD_LINE_BYTES <= limit - end; n++) {
        *payload_off = end + n * CBD_LINE_BYTES;
        if (cbd_load_header(&im->cache, id, *payload_off, head) == 0 &&
            cbd_header_bytes(head->h.addr_bytes, head->h.len_bytes) == n * CBD_LINE_BYTES)
            return true;
    }
    return false;
}

/* Where the payload of the header ends, or the end of the segment. */
static uint32_t payload_end(const struct cbd_image *im, uint32_t payload_off,
                            const struct cbd_loaded_header *head)
{
    uint32_t limit = im->cache.super.geo.segment_bytes;

    return head->h.len_bytes > limit - payload_off ? limit : end_of(payload_off, head->h.len_bytes);
}

/*
 * A slot below the last valid one, or below what Closed says, that holds no record. Below `top`, where
 * payloads of records end, there never was one: what is there is data, and headers.
 */
static int put_lost(struct cbd_image *im, uint32_t id, uint32_t slot, uint32_t top, uint32_t *end)
{
    const struct cbd_geometry *geo = &im->cache.super.geo;
    uint64_t off = cbd_segment_off(geo, id) + cbd_slot_off(geo, slot);
    struct cbd_loaded_header head;
    uint32_t payload_off, crc;
    struct cbd_m_record m;
    int error = 0;

    im->out->damaged++;
    if (cbd_slot_off(geo, slot) >= top && get(im, off, &m, sizeof(m)))
        error = put_damaged(im, off, &m, sizeof(m));
    if (error != 0 || !next_header(im, id, *end, &head, &payload_off))
        return error;
    if (head.h.slot == slot)
        *end = payload_end(im, payload_off, &head);
    return put_header(im, id, payload_off, &head, false, &crc);
}

static int seen(void *arg, uint32_t slot, const struct cbd_record *record)
{
    (void)arg;
    (void)slot;
    (void)record;
    return 0;
}

static int put_segment(struct cbd_image *im, uint32_t id)
{
    struct cbd_loaded_header head;
    uint32_t end = 0, top = 0, payload_off, crc;
    struct cbd_record r;
    struct cbd_scan scan;
    int error = cbd_scan_segment(&im->cache, id, &scan, seen, NULL);

    im->out->segments++;
    for (uint32_t slot = 0; slot < scan.records && error == 0; slot++) {
        if (cbd_load_record(&im->cache, id, slot, &r) != 0) {
            error = put_lost(im, id, slot, top, &end);
            continue;
        }
        if (r.payload_off != 0)
            end = end_of(r.payload_off, r.len_bytes);
        top = end > top ? end : top;
        error = put_record(im, id, slot, &r,
                           scan.suspect && slot >= scan.durable &&
                               cbd_scan_unfinished(&im->cache, id, &scan, slot));
    }
    /* Payloads whose records are not there. */
    while (error == 0 && next_header(im, id, end, &head, &payload_off)) {
        error = put_header(im, id, payload_off, &head, false, &crc);
        end = payload_end(im, payload_off, &head);
    }
    return error;
}

/* Whether anybody would look at its records. What is not known counts as used, and as dirty. */
static bool live(const struct cbd_image *im, uint32_t id, const bool *config_known,
                 const bool *state_known)
{
    const struct cbd_segment_entry *e = &im->cache.segments[id].entry;
    uint32_t owner = e->owner - 1u;

    if (e->owner == 0 || e->status == CBD_M_SEGMENT_FREE)
        return false;
    if (config_known[owner] && im->cache.configs[owner].used != CBD_M_BACKEND_USED)
        return false;
    return e->status == CBD_M_SEGMENT_OPEN || !state_known[owner] ||
           e->order_max >= im->cache.states[owner].horizon;
}

static int put_segments(struct cbd_image *im)
{
    bool config_known[CBD_BACKENDS], state_known[CBD_BACKENDS], differ;
    struct cbd_cache *c = &im->cache;
    int error = 0;

    /* Of what is lost, a scan believes what a check does: nothing. */
    memset(c->configs, 0, CBD_BACKENDS * sizeof(*c->configs));
    memset(c->states, 0, CBD_BACKENDS * sizeof(*c->states));
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        config_known[i] = cbd_twin_read_backend(c, i, &c->configs[i], &differ) == 0;
        state_known[i] = cbd_twin_read_state(c, i, &c->states[i], &differ) == 0;
    }
    for (uint32_t i = 0; i < c->super.geo.segment_count && error == 0; i++) {
        struct cbd_segment *seg = &c->segments[i];

        memset(seg, 0, sizeof(*seg));
        if (cbd_twin_read_segment(c, i, &seg->entry, &differ) != 0)
            continue;
        cbd_segment_seeds(c, i, seg);
        if (live(im, i, config_known, state_known))
            error = put_segment(im, i);
    }
    return error;
}

/* --- superblocks ----------------------------------------------------------------------------- */

static int put_super(struct cbd_image *im, uint64_t off, uint32_t copy)
{
    struct cbd_super super;
    struct cbd_m_super m;

    if (!get(im, off, &m, sizeof(m)))
        return 0;
    if (cbd_super_decode(&m, copy, im->cache.pm->size_bytes, &super) != 0) {
        im->out->damaged++;
        return put_damaged(im, off, &m, sizeof(m));
    }
    if (im->options->anonymize) {
        cbd_image_hide_super(im, &super);
        cbd_super_encode(&super, copy, &m);
    }
    m.incompat = cbd_put64(super.incompat | CBD_INCOMPAT_METADATA_ONLY);
    m.crc = cbd_put32(cbd_crc32c(0xffffffffu, &m, offsetof(struct cbd_m_super, crc)));
    return put(im, off, &m, sizeof(m));
}

static int put_supers(struct cbd_image *im)
{
    int error = put_super(im, im->cache.super.geo.super2_off, 2);

    if (error == 0)
        error = put_super(im, CBD_SUPER1_OFF, 1);
    return error != 0 ? error : put_super(im, CBD_SUPER0_OFF, 0);
}

static int run(struct cbd_image *im)
{
    struct cbd_cache *c = &im->cache;
    int error;

    c->seed = cbd_seed_cache(c->super.uuid, c->super.salt);
    c->block_seed = cbd_seed_place(c->seed, CBD_SEED_BLOCK, 0, 0);
    im->now.super = c->super;
    if (im->options->anonymize)
        cbd_image_hide_super(im, &im->now.super);
    im->now.seed = cbd_seed_cache(im->now.super.uuid, im->now.super.salt);
    im->out->device_bytes = c->super.geo.device_bytes;
    error = put_table(im, c->super.geo.table_a_off);
    if (error == 0)
        error = put_table(im, c->super.geo.table_b_off);
    if (error == 0)
        error = put_segments(im);
    return error != 0 ? error : put_supers(im);
}

int cbd_image_run(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_image_options *options,
                  struct cbd_image_summary *out)
{
    struct cbd_image *im = env->ops->alloc(env, sizeof(*im));
    struct cbd_cache *c;
    int error;

    memset(out, 0, sizeof(*out));
    if (im == NULL)
        return CBD_E_NOMEM;
    memset(im, 0, sizeof(*im));
    c = &im->cache;
    c->pm = pm;
    c->env = env;
    c->readonly = true;
    im->options = options;
    im->out = out;
    error = cbd_super_read(pm, env, &c->super, &c->bad_supers);
    if (error == 0) {
        size_t segments_bytes = c->super.geo.segment_count * sizeof(*c->segments);

        c->configs = env->ops->alloc(env, CBD_BACKENDS * sizeof(*c->configs));
        c->states = env->ops->alloc(env, CBD_BACKENDS * sizeof(*c->states));
        c->segments = env->ops->alloc(env, segments_bytes);
        error =
            c->configs == NULL || c->states == NULL || c->segments == NULL ? CBD_E_NOMEM : run(im);
        if (c->configs != NULL)
            env->ops->free(env, c->configs, CBD_BACKENDS * sizeof(*c->configs));
        if (c->states != NULL)
            env->ops->free(env, c->states, CBD_BACKENDS * sizeof(*c->states));
        if (c->segments != NULL)
            env->ops->free(env, c->segments, segments_bytes);
    }
    env->ops->free(env, im, sizeof(*im));
    return error;
}
