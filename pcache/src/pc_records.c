/* SPDX-License-Identifier: BSD-2-Clause */
/* Every record of the metadata with its bytes and fields: for those who show or copy them. */
#include <string.h>

#include "pc_media.h"

struct lister {
    const struct cbd_pcache *pc;
    int (*found)(void *arg, const struct cbd_pcache_record *record);
    void *arg;
};

static void add(struct cbd_pcache_record *r, const char *name, uint64_t value)
{
    if (r->field_count < CBD_PCACHE_FIELDS_MAX)
        r->fields[r->field_count++] = (struct cbd_pcache_field){name, value};
}

static struct cbd_pcache_record begin(const char *what, uint32_t segment, uint32_t copy,
                                      uint64_t off, const uint8_t *bytes, uint32_t len_bytes)
{
    return (struct cbd_pcache_record){.what = what,
                                      .segment = segment,
                                      .copy = copy,
                                      .off_bytes = off,
                                      .bytes = bytes,
                                      .len_bytes = len_bytes,
                                      .readable = true};
}

static void fill_twin(const struct cbd_pcache *pc, struct cbd_pcache_record *r)
{
    bool be = pc->big_endian;
    const uint8_t *b = r->bytes;

    add(r, "crc", pc_get32(be, b));
    add(r, "seq", b[4]);
    if (strcmp(r->what, "cache_info") == 0) {
        add(r, "first_segment", pc_get32(be, b + 8));
        add(r, "segments", pc_get32(be, b + 12));
        add(r, "flags", pc_get32(be, b + 16));
    } else if (strcmp(r->what, "segment_info") == 0) {
        add(r, "flags", pc_get32(be, b + 8));
        add(r, "next_segment", pc_get32(be, b + 12));
    } else if (strcmp(r->what, "generation") == 0) {
        add(r, "generation", pc_get64(be, b + 8));
    } else {
        add(r, "segment", pc_get32(be, b + 8));
        add(r, "offset_bytes", pc_get32(be, b + 12));
    }
}

static int list_twin(const struct lister *l, const char *what, uint32_t segment, uint64_t off,
                     uint32_t stride_bytes, uint32_t len_bytes)
{
    struct pc_twin t;
    int error = 0;

    pc_twin_read(l->pc, off, stride_bytes, len_bytes, &t);
    for (uint32_t i = 0; i < 2 && error == 0; i++) {
        struct cbd_pcache_record r = begin(what, segment, i, t.off[i], t.bytes[i], len_bytes);

        r.readable = !t.slots.media[i];
        r.zero = t.slots.zero[i];
        r.valid = t.slots.valid[i];
        r.newest = t.slots.newest == (int)i;
        fill_twin(l->pc, &r);
        error = l->found(l->arg, &r);
    }
    return error;
}

/* The copy of Linux 6.18.0 to 6.18.2, where there is one. */
static int list_stray(const struct lister *l)
{
    uint8_t bytes[PC_INFO_BYTES];
    struct cbd_pcache_record r =
        begin("cache_info", CBD_CHECK_NONE, 2, PC_INFO_STRAY_OFF, bytes, sizeof(bytes));

    if (l->pc->pm->ops->read(l->pc->pm, PC_INFO_STRAY_OFF, bytes, sizeof(bytes)) != 0 ||
        !pc_record_valid(l->pc->big_endian, bytes, sizeof(bytes)))
        return 0;
    r.valid = true;
    fill_twin(l->pc, &r);
    return l->found(l->arg, &r);
}

static int list_super(const struct lister *l)
{
    uint8_t sb[PC_SB_BYTES] = {0};
    struct cbd_pcache_record r =
        begin("superblock", CBD_CHECK_NONE, CBD_CHECK_NONE, PC_SB_OFF, sb, sizeof(sb));
    int error;

    r.readable = l->pc->pm->ops->read(l->pc->pm, PC_SB_OFF, sb, sizeof(sb)) == 0;
    r.valid = pc_record_valid(false, sb, sizeof(sb)) && pc_get64(false, sb + 8) == PC_SB_MAGIC;
    r.zero = pc_zero(sb, sizeof(sb));
    r.newest = r.valid;
    add(&r, "crc", pc_get32(false, sb));
    add(&r, "flags", pc_get32(false, sb + 4));
    add(&r, "magic", pc_get64(false, sb + 8));
    add(&r, "segments", pc_get32(false, sb + 16));
    error = l->found(l->arg, &r);
    if (error == 0)
        error =
            list_twin(l, "cache_info", CBD_CHECK_NONE, PC_INFO_OFF, PC_PAGE_BYTES, PC_INFO_BYTES);
    if (error == 0)
        error = list_stray(l);
    if (error == 0)
        error = list_twin(l, "key_tail", CBD_CHECK_NONE, PC_KEY_TAIL_OFF, PC_TAIL_STRIDE,
                          PC_TAIL_BYTES);
    if (error == 0)
        error = list_twin(l, "dirty_tail", CBD_CHECK_NONE, PC_DIRTY_TAIL_OFF, PC_TAIL_STRIDE,
                          PC_TAIL_BYTES);
    return error;
}

static int list_segments(const struct lister *l)
{
    int error = 0;

    for (uint32_t i = 0; i < l->pc->seg_count && error == 0; i++) {
        uint64_t off = pc_segment_off(l->pc->device_seg[i]);

        error = list_twin(l, "segment_info", i, off, PC_SEG_INFO_STRIDE, PC_SEG_INFO_BYTES);
        if (error == 0)
            error = list_twin(l, "generation", i, off + PC_GEN_OFF, PC_GEN_STRIDE, PC_GEN_BYTES);
    }
    return error;
}

static int list_key(const struct lister *l, const struct cbd_pcache_kset *kset, uint32_t i,
                    const uint8_t *bytes, bool behind)
{
    const struct cbd_pcache_key *key = &kset->keys[i];
    uint32_t at = PC_KSET_HEADER_BYTES + i * PC_KEY_BYTES;
    struct cbd_pcache_record r =
        begin("key", kset->pos.seg, i, cbd_pcache_pos_off(l->pc, kset->pos) + at, bytes + at,
              PC_KEY_BYTES);
    uint32_t problem;

    r.is_key = true;
    r.valid = cbd_pcache_key_check(l->pc, key, 0, &problem) == 0;
    r.stale = r.valid && cbd_pcache_key_stale(l->pc, key);
    r.dirty = r.valid && !r.stale && behind && (key->flags & CBD_PCACHE_KEY_CLEAN) == 0;
    add(&r, "address_bytes", key->addr_bytes);
    add(&r, "length_bytes", key->len_bytes);
    add(&r, "flags", key->flags);
    add(&r, "segment", key->seg);
    add(&r, "offset_bytes", key->seg_off_bytes);
    add(&r, "generation", key->gen);
    add(&r, "data_crc", key->data_crc);
    return l->found(l->arg, &r);
}

static int list_kset(const struct lister *l, const struct cbd_pcache_kset *kset, bool behind)
{
    uint32_t len_bytes = PC_KSET_HEADER_BYTES + kset->key_count * PC_KEY_BYTES;
    uint8_t bytes[PC_KSET_BYTES_MAX];
    uint64_t off = cbd_pcache_pos_off(l->pc, kset->pos);
    struct cbd_pcache_record r =
        begin("key set", kset->pos.seg, CBD_CHECK_NONE, off, bytes, len_bytes);
    int error = l->pc->pm->ops->read(l->pc->pm, off, bytes, len_bytes);

    if (error != 0)
        return 0; /* it was whole a moment ago */
    r.valid = r.newest = true;
    add(&r, "crc", pc_get32(l->pc->big_endian, bytes));
    add(&r, kset->last ? "next_segment" : "keys", kset->last ? kset->next.seg : kset->key_count);
    add(&r, "flags", kset->flags);
    add(&r, "log_offset_bytes", kset->pos.off_bytes);
    error = l->found(l->arg, &r);
    for (uint32_t i = 0; i < kset->key_count && error == 0; i++)
        error = list_key(l, kset, i, bytes, behind);
    return error;
}

static int list_log(const struct lister *l)
{
    const struct cbd_pcache *pc = l->pc;
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    uint8_t bytes[PC_KSET_HEADER_BYTES];
    bool behind = pc_pos_equal(pc->key_tail, pc->dirty_tail);
    int error;

    if (!pc->key_tail_valid)
        return 0;
    error = cbd_pcache_walk_begin(&walk, pc, pc->key_tail);
    walk.past_damage = true;
    while (error == 0 && cbd_pcache_walk_next(&walk, &kset)) {
        behind = behind || pc_pos_equal(kset.pos, pc->dirty_tail);
        error = list_kset(l, &kset, behind);
    }
    if (error == 0 && walk.pos.off_bytes <= CBD_PCACHE_DATA_BYTES - sizeof(bytes)) {
        uint64_t off = cbd_pcache_pos_off(pc, walk.pos);
        struct cbd_pcache_record r =
            begin("end of log", walk.pos.seg, CBD_CHECK_NONE, off, bytes, sizeof(bytes));

        r.readable = pc->pm->ops->read(pc->pm, off, bytes, sizeof(bytes)) == 0;
        r.zero = r.readable && pc_zero(bytes, sizeof(bytes));
        add(&r, "log_offset_bytes", walk.pos.off_bytes);
        error = l->found(l->arg, &r);
    }
    cbd_pcache_walk_end(&walk);
    return error;
}

int cbd_pcache_records(const struct cbd_pcache *pc, unsigned which,
                       int (*found)(void *arg, const struct cbd_pcache_record *record), void *arg)
{
    struct lister l = {pc, found, arg};
    int error = 0;

    if ((which & CBD_PCACHE_LIST_SUPER) != 0)
        error = list_super(&l);
    if (error == 0 && (which & CBD_PCACHE_LIST_SEGMENTS) != 0)
        error = list_segments(&l);
    if (error == 0 && (which & CBD_PCACHE_LIST_LOG) != 0)
        error = list_log(&l);
    return error;
}

/* The mark, as a piece of an image. */
const uint8_t *cbd_pcache_image_mark(uint32_t *len_bytes)
{
    static const uint8_t mark[PC_IMAGE_MAGIC_BYTES + 1] = PC_IMAGE_MAGIC;

    *len_bytes = PC_IMAGE_MAGIC_BYTES;
    return mark;
}
