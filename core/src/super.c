/* SPDX-License-Identifier: BSD-2-Clause */
/* The superblock: three equal copies at places that need no geometry to be found. */
#include <string.h>

#include "crc.h"
#include "engine.h"

static uint32_t super_crc(const struct cbd_m_super *m)
{
    return cbd_crc32c(0xffffffffu, m, offsetof(struct cbd_m_super, crc));
}

void cbd_super_encode(const struct cbd_super *super, uint32_t copy, struct cbd_m_super *m)
{
    const struct cbd_geometry *geo = &super->geo;

    memset(m, 0, sizeof(*m));
    memcpy(m->magic, CBD_SUPER_MAGIC, sizeof(m->magic));
    memcpy(m->uuid, super->uuid, sizeof(m->uuid));
    m->salt = cbd_put64(super->salt);
    m->disk_version = cbd_put32(super->disk_version);
    m->copy = cbd_put32(copy);
    m->compat = cbd_put64(super->compat);
    m->ro_compat = cbd_put64(super->ro_compat);
    m->incompat = cbd_put64(super->incompat);
    m->device_bytes = cbd_put64(geo->device_bytes);
    m->segment_bytes = cbd_put32(geo->segment_bytes);
    m->segment_count = cbd_put32(geo->segment_count);
    m->table_a_off = cbd_put64(geo->table_a_off);
    m->table_b_off = cbd_put64(geo->table_b_off);
    m->table_bytes = cbd_put64(geo->table_bytes);
    m->data_off = cbd_put64(geo->data_off);
    m->super2_off = cbd_put64(geo->super2_off);
    m->generation_floor = cbd_put64(super->generation_floor);
    m->created_s = cbd_put64(super->created_s);
    m->backends_max = cbd_put32(CBD_BACKENDS);
    m->atomic_bytes = cbd_put32(geo->atomic_bytes);
    memcpy(m->label, super->label, cbd_text_len(super->label, sizeof(m->label)));
    m->crc = cbd_put32(super_crc(m));
}

/* The layout is a function of two numbers; what the media says must be just that layout. */
static bool geometry_valid(const struct cbd_geometry *geo, uint64_t device_bytes)
{
    struct cbd_geometry plan;

    if (geo->device_bytes > device_bytes || geo->segment_bytes == 0)
        return false;
    if (cbd_geometry_plan(&plan, geo->device_bytes, geo->segment_bytes) != 0)
        return false;
    return plan.segment_count == geo->segment_count && plan.atomic_bytes == geo->atomic_bytes &&
           plan.table_a_off == geo->table_a_off && plan.table_b_off == geo->table_b_off &&
           plan.table_bytes == geo->table_bytes && plan.data_off == geo->data_off &&
           plan.super2_off == geo->super2_off;
}

int cbd_super_decode(const struct cbd_m_super *m, uint32_t copy, uint64_t device_bytes,
                     struct cbd_super *super)
{
    struct cbd_geometry *geo = &super->geo;

    memset(super, 0, sizeof(*super));
    if (memcmp(m->magic, CBD_SUPER_MAGIC, sizeof(m->magic)) != 0)
        return CBD_E_NOTCBD;
    if (cbd_get32(m->crc) != super_crc(m) || cbd_get32(m->copy) != copy)
        return CBD_E_CORRUPT;
    memcpy(super->uuid, m->uuid, sizeof(super->uuid));
    super->salt = cbd_get64(m->salt);
    super->disk_version = cbd_get32(m->disk_version);
    super->compat = cbd_get64(m->compat);
    super->ro_compat = cbd_get64(m->ro_compat);
    super->incompat = cbd_get64(m->incompat);
    geo->device_bytes = cbd_get64(m->device_bytes);
    geo->segment_bytes = cbd_get32(m->segment_bytes);
    geo->segment_count = cbd_get32(m->segment_count);
    geo->atomic_bytes = cbd_get32(m->atomic_bytes);
    geo->table_a_off = cbd_get64(m->table_a_off);
    geo->table_b_off = cbd_get64(m->table_b_off);
    geo->table_bytes = cbd_get64(m->table_bytes);
    geo->data_off = cbd_get64(m->data_off);
    geo->super2_off = cbd_get64(m->super2_off);
    super->generation_floor = cbd_get64(m->generation_floor);
    super->created_s = cbd_get64(m->created_s);
    memcpy(super->label, m->label, sizeof(m->label));
    if ((super->incompat & CBD_INCOMPAT_FORMATTING) != 0)
        return CBD_E_NOTCBD;
    if (super->disk_version != CBD_DISK_VERSION || (super->incompat & ~CBD_INCOMPAT_KNOWN) != 0)
        return CBD_E_VERSION;
    if (super->generation_floor > CBD_GENERATION_MAX)
        return CBD_E_CORRUPT;
    for (size_t i = 0; i < sizeof(m->reserved); i++)
        if (m->reserved[i] != 0)
            return CBD_E_CORRUPT;
    if (!cbd_text_padded((const char *)m->label, sizeof(m->label)))
        return CBD_E_CORRUPT;
    if (cbd_get32(m->backends_max) != CBD_BACKENDS || !geometry_valid(geo, device_bytes))
        return CBD_E_CORRUPT;
    return 0;
}

/*
 * The highest generation floor of any superblock on the device, one of an interrupted format
 * included; 0: there is none.
 */
uint64_t cbd_super_generation(struct cbd_pmem *pm)
{
    uint64_t end = pm->size_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    uint64_t places[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, end - CBD_PAGE_BYTES};
    uint64_t highest = 0;

    for (uint32_t copy = 0; copy < CBD_SUPER_COPIES; copy++) {
        struct cbd_m_super m;
        uint64_t floor;

        if (places[copy] > pm->size_bytes || pm->size_bytes - places[copy] < sizeof(m) ||
            pm->ops->read(pm, places[copy], &m, sizeof(m)) != 0 ||
            memcmp(m.magic, CBD_SUPER_MAGIC, sizeof(m.magic)) != 0 ||
            cbd_get32(m.crc) != super_crc(&m))
            continue;
        floor = cbd_get64(m.generation_floor);
        if (floor > highest && floor < CBD_GENERATION_MAX)
            highest = floor;
    }
    return highest;
}

struct super_scan {
    int error; /* the most telling one so far */
    bool found;
    uint32_t bad;
};

/* VERSION says more than CORRUPT, which says more than NOTCBD. */
static int worse(int a, int b)
{
    if (a == CBD_E_VERSION || b == CBD_E_VERSION)
        return CBD_E_VERSION;
    return a == CBD_E_NOTCBD ? b : a;
}

static void scan_copy(struct cbd_pmem *pm, struct cbd_env *env, uint64_t off, uint32_t copy,
                      struct cbd_super *super, struct super_scan *scan)
{
    struct cbd_super one;
    struct cbd_m_super m;
    int error;

    if (off > pm->size_bytes || pm->size_bytes - off < CBD_PAGE_BYTES) {
        error = CBD_E_NOTCBD;
    } else {
        error = pm->ops->read(pm, off, &m, sizeof(m));
        if (error == 0)
            error = cbd_super_decode(&m, copy, pm->size_bytes, &one);
    }
    if (error == 0 && !scan->found) {
        *super = one;
        scan->found = true;
        return;
    }
    if (error == 0 && one.salt == super->salt && memcmp(one.uuid, super->uuid, 16) == 0)
        return;
    scan->bad |= 1u << copy;
    scan->error = worse(scan->error, error == 0 ? CBD_E_CORRUPT : error);
    if (error != CBD_E_NOTCBD)
        cbd_report(env, CBD_WARNING, error == 0 ? CBD_E_CORRUPT : error, "superblock",
                   "copy cannot be used", copy, off, 0, 0);
}

int cbd_super_read(struct cbd_pmem *pm, struct cbd_env *env, struct cbd_super *super,
                   uint32_t *bad_copies)
{
    struct super_scan scan = {.error = CBD_E_NOTCBD};
    uint64_t end = pm->size_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;

    scan_copy(pm, env, CBD_SUPER0_OFF, 0, super, &scan);
    if (CBD_CANARY(FIRST_SUPERBLOCK_ONLY)) {
        *bad_copies = scan.bad;
        return scan.found ? 0 : scan.error;
    }
    scan_copy(pm, env, CBD_SUPER1_OFF, 1, super, &scan);
    /* A device that has grown keeps its last copy where the old end was. */
    if (scan.found)
        end = super->geo.super2_off + CBD_PAGE_BYTES;
    scan_copy(pm, env, end >= CBD_PAGE_BYTES ? end - CBD_PAGE_BYTES : UINT64_MAX, 2, super, &scan);
    *bad_copies = scan.bad;
    return scan.found ? 0 : scan.error;
}

/* Writes lost copies again; the good ones are not touched. Durable with the next fence. */
void cbd_repair_supers(struct cbd_cache *c)
{
    uint64_t places[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, c->super.geo.super2_off};

    for (uint32_t copy = 0; copy < CBD_SUPER_COPIES; copy++) {
        struct cbd_m_super m;

        if ((c->bad_supers & 1u << copy) == 0 || CBD_CANARY(SUPERBLOCK_NOT_REPAIRED))
            continue;
        cbd_super_encode(&c->super, copy, &m);
        c->pm->ops->copy(c->pm, places[copy], &m, sizeof(m), CBD_PMEM_NT, CBD_STEP_RECOVER_SUPER);
    }
    c->bad_supers = 0;
}
