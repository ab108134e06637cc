/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter of fuzz inputs: finds places, changes them, makes checksums again. */
#include "patch.h"

#include <string.h>

#include "crc.h"
#include "media.h"

#define PATCH_BYTES 9u
#define PATCHES_MAX 64u

struct place {
    uint8_t kind; /* enum fuzz_patch_place */
    uint8_t index;
    uint8_t copy;
    uint16_t slot;
};

struct patch {
    uint8_t kind;
    struct place place;
    uint16_t off;
    uint8_t len;
    const uint8_t *data;
    size_t data_bytes;
};

/* Where a place is; len_bytes 0: nowhere. */
struct span {
    uint64_t off, len_bytes;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static const uint8_t *at(const struct fuzz_base *base, uint64_t off)
{
    return base->pmem.buf + off;
}

static uint32_t cache_seed(const struct fuzz_base *base)
{
    struct cbd_m_super m;

    memcpy(&m, at(base, CBD_SUPER0_OFF), sizeof(m));
    return cbd_seed_cache(m.uuid, cbd_get64(m.salt));
}

static uint64_t generation(const struct fuzz_base *base, uint32_t segment, uint32_t copy)
{
    struct cbd_m_segment m;
    uint64_t table = (copy & 1) != 0 ? base->geo.table_b_off : base->geo.table_a_off;

    memcpy(&m, at(base, table + cbd_place_segment(segment)), sizeof(m));
    return cbd_get64(m.generation);
}

static struct span find_payload(const struct fuzz_base *base, const struct place *p,
                                uint32_t segment)
{
    const struct cbd_geometry *geo = &base->geo;
    uint32_t slots = geo->segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    uint64_t start = cbd_segment_off(geo, segment);
    uint64_t addr, len, before;
    struct cbd_m_record m;
    uint32_t payload;

    memcpy(&m, at(base, start + cbd_slot_off(geo, p->slot % slots)), sizeof(m));
    addr = cbd_get64(m.addr_bytes);
    len = cbd_get64(m.len_bytes);
    payload = cbd_get32(m.payload_off);
    if (len == 0 || len > geo->segment_bytes || addr > UINT64_MAX - len ||
        payload % CBD_LINE_BYTES != 0 || payload > geo->segment_bytes - len)
        return (struct span){0, 0};
    before = cbd_header_bytes(addr, (uint32_t)len);
    if (payload < before)
        return (struct span){0, 0};
    return p->kind == FUZZ_PLACE_HEADER ? (struct span){start + payload - before, before}
                                        : (struct span){start + payload, len};
}

static struct span find(const struct fuzz_base *base, const struct place *p)
{
    const struct cbd_geometry *geo = &base->geo;
    const uint64_t supers[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, geo->super2_off};
    uint64_t table = (p->copy & 1) != 0 ? geo->table_b_off : geo->table_a_off;
    uint32_t segment = p->index % geo->segment_count;
    uint32_t slots = geo->segment_bytes / (uint32_t)sizeof(struct cbd_m_record);
    uint64_t off = (uint64_t)p->slot << 16;

    switch (p->kind) {
    case FUZZ_PLACE_SUPER:
        return (struct span){supers[p->copy % CBD_SUPER_COPIES], sizeof(struct cbd_m_super)};
    case FUZZ_PLACE_BACKEND:
        return (struct span){table + cbd_place_backend(p->index % CBD_BACKENDS),
                             sizeof(struct cbd_m_backend)};
    case FUZZ_PLACE_STATE:
        return (struct span){table + cbd_place_state(p->index % CBD_BACKENDS),
                             sizeof(struct cbd_m_backend_state)};
    case FUZZ_PLACE_SEGMENT:
        return (struct span){table + cbd_place_segment(segment), sizeof(struct cbd_m_segment)};
    case FUZZ_PLACE_RECORD:
        return (struct span){cbd_segment_off(geo, segment) + cbd_slot_off(geo, p->slot % slots),
                             sizeof(struct cbd_m_record)};
    case FUZZ_PLACE_HEADER:
    case FUZZ_PLACE_PAYLOAD:
        return find_payload(base, p, segment);
    default:
        off %= geo->device_bytes;
        return (struct span){off, geo->device_bytes - off};
    }
}

static void put_crc(struct fuzz_base *base, uint64_t off, uint32_t crc)
{
    struct cbd_le32 m = cbd_put32(crc);

    fuzz_pmem_poke(&base->pmem, off, &m, sizeof(m));
}

static void seal_header(struct fuzz_base *base, const struct place *p, struct span s)
{
    const struct cbd_geometry *geo = &base->geo;
    uint32_t segment = p->index % geo->segment_count;
    uint64_t end = s.off + s.len_bytes;
    uint32_t payload_off = (uint32_t)(end - cbd_segment_off(geo, segment));
    uint32_t seed = cbd_seed_place(cache_seed(base), CBD_SEED_HEADER, segment,
                                   generation(base, segment, p->copy));
    uint64_t header = end - sizeof(struct cbd_m_header);
    struct place record = {FUZZ_PLACE_RECORD, p->index, p->copy, p->slot};
    uint32_t crc = cbd_crc32c(seed ^ (payload_off / CBD_LINE_BYTES), at(base, header + 4),
                              sizeof(struct cbd_m_header) - 4);

    for (uint64_t line = header; line > s.off; line -= CBD_LINE_BYTES)
        crc = cbd_crc32c(crc, at(base, line - CBD_LINE_BYTES), CBD_LINE_BYTES);
    put_crc(base, header, crc);
    /* The record names its header by the checksum. */
    put_crc(base, find(base, &record).off + offsetof(struct cbd_m_record, header_crc), crc);
}

/* Makes the checksum right again for what the structure holds and where it is. */
static void seal(struct fuzz_base *base, const struct place *p)
{
    const struct cbd_geometry *geo = &base->geo;
    struct span s = find(base, p);
    uint32_t cache = cache_seed(base);
    uint32_t segment = p->index % geo->segment_count;
    uint32_t seed;

    switch (p->kind) {
    case FUZZ_PLACE_SUPER:
        put_crc(base, s.off + offsetof(struct cbd_m_super, crc),
                cbd_crc32c(0xffffffffu, at(base, s.off), offsetof(struct cbd_m_super, crc)));
        return;
    case FUZZ_PLACE_BACKEND:
        seed = cbd_seed_place(cache, CBD_SEED_BACKEND, p->index % CBD_BACKENDS, 0);
        break;
    case FUZZ_PLACE_STATE:
        seed = cbd_seed_place(cache, CBD_SEED_STATE, p->index % CBD_BACKENDS, 0);
        break;
    case FUZZ_PLACE_SEGMENT:
        seed = cbd_seed_place(cache, CBD_SEED_SEGMENT, segment, 0);
        break;
    case FUZZ_PLACE_RECORD: {
        uint64_t gen = generation(base, segment, p->copy);
        uint32_t slots = geo->segment_bytes / (uint32_t)sizeof(struct cbd_m_record);

        put_crc(base, s.off + offsetof(struct cbd_m_record, generation_low), (uint32_t)gen);
        seed = cbd_seed_place(cache, CBD_SEED_RECORD, segment, gen) ^ p->slot % slots;
        break;
    }
    case FUZZ_PLACE_HEADER:
        if (s.len_bytes != 0) {
            struct place record = {FUZZ_PLACE_RECORD, p->index, p->copy, p->slot};

            seal_header(base, p, s);
            seal(base, &record);
        }
        return;
    default:
        return;
    }
    put_crc(base, s.off, cbd_crc32c(seed, at(base, s.off + 4), s.len_bytes - 4));
}

static void write_place(struct fuzz_base *base, const struct patch *patch, const struct place *p)
{
    struct span s = find(base, p);
    uint64_t off, n = patch->data_bytes;

    if (s.len_bytes == 0)
        return;
    off = patch->off % s.len_bytes;
    fuzz_pmem_poke(&base->pmem, s.off + off, patch->data,
                   n < s.len_bytes - off ? n : s.len_bytes - off);
    if (patch->kind == FUZZ_PATCH_SEALED)
        seal(base, p);
}

/* The copies that a place means: one, or all. */
static void write_patch(struct fuzz_base *base, const struct patch *patch)
{
    struct place p = patch->place;
    bool table = p.kind >= FUZZ_PLACE_BACKEND && p.kind <= FUZZ_PLACE_SEGMENT;
    uint8_t copies = p.kind == FUZZ_PLACE_SUPER ? CBD_SUPER_COPIES : 2;

    if ((p.kind == FUZZ_PLACE_SUPER && p.copy % 4 == 3) || (table && (p.copy & 2) != 0)) {
        for (p.copy = 0; p.copy < copies; p.copy++)
            write_place(base, patch, &p);
        return;
    }
    write_place(base, patch, &p);
}

static void move_place(struct fuzz_base *base, const struct patch *patch)
{
    struct place to = patch->place;
    struct span s = find(base, &patch->place), d;
    uint64_t len;

    if (patch->data_bytes >= 5)
        to = (struct place){(uint8_t)(patch->data[0] % FUZZ_PLACE_COUNT), patch->data[1],
                            patch->data[2], get16(patch->data + 3)};
    d = find(base, &to);
    len = s.len_bytes < d.len_bytes ? s.len_bytes : d.len_bytes;
    if (len > base->geo.segment_bytes)
        len = base->geo.segment_bytes;
    fuzz_pmem_poke(&base->pmem, d.off, at(base, s.off), len);
    if (patch->len % 2 == 1)
        seal(base, &to);
}

static void swap_spans(struct fuzz_base *base, uint64_t a, uint64_t b, uint64_t len_bytes)
{
    uint8_t piece[64];

    for (uint64_t off = 0; off < len_bytes; off += sizeof(piece)) {
        memcpy(piece, at(base, a + off), sizeof(piece));
        fuzz_pmem_poke(&base->pmem, a + off, at(base, b + off), sizeof(piece));
        fuzz_pmem_poke(&base->pmem, b + off, piece, sizeof(piece));
    }
}

static void swap_copies(struct fuzz_base *base, const struct patch *patch)
{
    const struct cbd_geometry *geo = &base->geo;
    struct place p = patch->place;
    struct span a;

    p.copy = 0;
    a = find(base, &p);
    if (p.kind >= FUZZ_PLACE_BACKEND && p.kind <= FUZZ_PLACE_SEGMENT)
        swap_spans(base, a.off, a.off - geo->table_a_off + geo->table_b_off, a.len_bytes);
    else
        swap_spans(base, geo->table_a_off, geo->table_b_off, geo->table_bytes / 64 * 64);
}

static void run_patch(struct fuzz_base *base, const struct patch *patch, struct fuzz_plan *plan)
{
    struct span s = find(base, &patch->place);

    switch (patch->kind) {
    case FUZZ_PATCH_RAW:
    case FUZZ_PATCH_SEALED:
        write_patch(base, patch);
        return;
    case FUZZ_PATCH_POISON:
        if (s.len_bytes != 0)
            fuzz_pmem_poison(&base->pmem, s.off + patch->off % s.len_bytes,
                             CBD_LINE_BYTES * (patch->len > 0 ? patch->len : 1u));
        return;
    case FUZZ_PATCH_MOVE:
        move_place(base, patch);
        return;
    case FUZZ_PATCH_SWAP:
        swap_copies(base, patch);
        return;
    case FUZZ_PATCH_FAULT:
        plan->fault[patch->place.index % FUZZ_FAULT_COUNT] = patch->place.slot;
        return;
    case FUZZ_PATCH_OPTIONS:
    default:
        plan->options = patch->place.index;
        plan->trees = patch->place.slot;
        return;
    }
}

void fuzz_patch_run(struct fuzz_base *base, const uint8_t *program, size_t len_bytes,
                    struct fuzz_plan *plan)
{
    uint64_t size = base->pmem.buf_bytes;

    for (uint32_t n = 0; n < PATCHES_MAX && len_bytes >= PATCH_BYTES; n++) {
        struct patch patch = {
            .kind = program[0] % FUZZ_PATCH_COUNT,
            .place = {program[1] % FUZZ_PLACE_COUNT, program[2], program[3], get16(program + 4)},
            .off = get16(program + 6),
            .len = program[8],
            .data = program + PATCH_BYTES,
        };

        len_bytes -= PATCH_BYTES;
        patch.data_bytes = patch.len < len_bytes ? patch.len : len_bytes;
        program += PATCH_BYTES + patch.data_bytes;
        len_bytes -= patch.data_bytes;
        if (patch.kind == FUZZ_PATCH_TRUNCATE)
            size = ((uint64_t)patch.place.slot << 16) + patch.off;
        else
            run_patch(base, &patch, plan);
    }
    fuzz_pmem_truncate(&base->pmem, size); /* last: the others use the whole device */
}
