/* SPDX-License-Identifier: BSD-2-Clause */
/* The recipes: how each problem is made. */
#include "recipes.h"

#include "crc.h"

/* --- bases --- */

static void fill(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++)
        rig_write(r, (uint64_t)(i * 7919 % 250) * 4096, 4096, 0);
}

static void four_records(struct rig *r)
{
    rig_write(r, 0, 4096, 0);
    rig_write(r, 8192, 8192, 0);
    rig_zero(r, 65536, 4096, 0);
    rig_write(r, 1024, 1024, 0);
}

static void attach_again(struct rig *r)
{
    rig_attach(r);
}

/* Superblock 0 can be read, and no fence has made it durable. */
static void die_in_attach(struct rig *r)
{
    rig_scribble(r, CBD_SUPER0_OFF, 512);
    assert_true(rig_cut_in(r, CBD_STEP_RECOVER_REPAIR_FENCE, 0, attach_again));
    rig_kill(r);
}

struct rig *recipe_base_make(enum recipe_base base, enum sim_model model)
{
    struct rig_config config = {.model = model, .attach = {.dirty_start_percent = 100}};
    struct rig *r = rig_create(&config);

    if (base == BASE_NEW)
        return r;
    r->background = base == BASE_MIXED || base == BASE_DETACHED;
    rig_attach(r);
    switch (base) {
    case BASE_STOPPED:
    case BASE_KILLED:
        four_records(r);
        break;
    case BASE_MIXED:
        fill(r, 0, 20);
        rig_write(r, 4096, 8192, 0);
        rig_write_back(r);
        fill(r, 10, 25);
        break;
    default:
        fill(r, 0, 40);
        rig_write(r, 4096, 8192, 0);
        break;
    }
    if (base == BASE_DETACHED)
        rig_detach(r);
    else
        rig_abandon(r);
    rig_power_cut(r, SIM_CRASH_ALL);
    if (base == BASE_KILLED)
        die_in_attach(r);
    return r;
}

/* --- tools --- */

static uint32_t cache_seed(const struct rig *r)
{
    return cbd_seed_cache(r->super.uuid, r->super.salt);
}

static void poke_both(struct rig *r, uint64_t place, const void *m, size_t len)
{
    sim_pmem_poke(r->pmem, r->geo.table_a_off + place, m, len);
    sim_pmem_poke(r->pmem, r->geo.table_b_off + place, m, len);
}

static void flip_both(struct rig *r, uint64_t place)
{
    rig_flip(r, r->geo.table_a_off + place + 20);
    rig_flip(r, r->geo.table_b_off + place + 20);
}

static struct cbd_backend_state state_of(struct rig *r)
{
    uint32_t seed = cbd_seed_place(cache_seed(r), CBD_SEED_STATE, 0, 0);
    struct cbd_m_backend_state m;
    struct cbd_backend_state s;

    memcpy(&m, r->pmem->pm.base + r->geo.table_a_off + cbd_place_state(0), sizeof(m));
    assert_true(cbd_state_decode(&m, seed, &s));
    return s;
}

static void set_state(struct rig *r, const struct cbd_backend_state *s)
{
    struct cbd_m_backend_state m;

    cbd_state_encode(s, cbd_seed_place(cache_seed(r), CBD_SEED_STATE, 0, 0), &m);
    poke_both(r, cbd_place_state(0), &m, sizeof(m));
}

static struct cbd_backend_config config_of(struct rig *r)
{
    uint32_t seed = cbd_seed_place(cache_seed(r), CBD_SEED_BACKEND, 0, 0);
    struct cbd_m_backend m;
    struct cbd_backend_config c;

    memcpy(&m, r->pmem->pm.base + r->geo.table_a_off + cbd_place_backend(0), sizeof(m));
    assert_true(cbd_backend_decode(&m, seed, &c));
    return c;
}

static void set_config(struct rig *r, uint32_t id, const struct cbd_backend_config *c)
{
    struct cbd_m_backend m;

    cbd_backend_encode(c, cbd_seed_place(cache_seed(r), CBD_SEED_BACKEND, id, 0), &m);
    poke_both(r, cbd_place_backend(id), &m, sizeof(m));
}

static void set_entry(struct rig *r, uint32_t id, const struct cbd_segment_entry *e)
{
    struct cbd_m_segment m;

    cbd_segment_encode(e, cbd_seed_place(cache_seed(r), CBD_SEED_SEGMENT, id, 0), &m);
    poke_both(r, cbd_place_segment(id), &m, sizeof(m));
}

static void set_record(struct rig *r, uint32_t id, uint32_t slot, const struct cbd_record *record)
{
    uint64_t g = rig_entry(r, id).generation;
    struct cbd_m_record m;

    cbd_record_encode(record, cbd_seed_place(cache_seed(r), CBD_SEED_RECORD, id, g), g, slot, &m);
    sim_pmem_poke(r->pmem, rig_slot_off(r, id, slot), &m, sizeof(m));
}

static uint32_t open_segment(struct rig *r)
{
    return rig_segment_with(r, CBD_M_SEGMENT_OPEN);
}

/* A segment of backend 0 in which nothing is. */
static uint32_t idle_segment(struct rig *r)
{
    for (uint32_t id = 0; id < r->geo.segment_count; id++)
        if (rig_entry(r, id).owner == 1 && rig_entry(r, id).status == CBD_M_SEGMENT_FREE)
            return id;
    fail_msg("no idle segment");
    return 0;
}

/* The payload of a record, on the media. */
static uint64_t payload_of(struct rig *r, uint32_t id, uint32_t slot)
{
    return cbd_segment_off(&r->geo, id) + rig_record(r, id, slot).payload_off;
}

static void set_super(struct rig *r, uint32_t copies, const struct cbd_super *super)
{
    const uint64_t off[3] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, r->geo.super2_off};

    for (uint32_t i = 0; i < 3; i++) {
        struct cbd_m_super m;

        if ((copies & 1u << i) == 0)
            continue;
        cbd_super_encode(super, i, &m);
        sim_pmem_poke(r->pmem, off[i], &m, sizeof(m));
    }
}

/* --- 1xxx --- */

static void super_none(struct rig *r)
{
    rig_flip(r, CBD_SUPER0_OFF + 100);
    rig_flip(r, CBD_SUPER1_OFF + 100);
    rig_flip(r, r->geo.super2_off + 100);
}

static void super_copy_0(struct rig *r)
{
    rig_flip(r, CBD_SUPER0_OFF + 100);
}

static void super_copies_0_1(struct rig *r)
{
    rig_flip(r, CBD_SUPER0_OFF + 100);
    rig_scribble(r, CBD_SUPER1_OFF, 4096);
}

static void super_copies_1_2(struct rig *r)
{
    rig_scribble(r, CBD_SUPER1_OFF, 512);
    rig_scribble(r, r->geo.super2_off, 512);
}

static void super_copy_2(struct rig *r)
{
    rig_scribble(r, r->geo.super2_off, 512);
}

static void super_differs(struct rig *r)
{
    struct cbd_super other = r->super;

    memcpy(other.label, "other", 6);
    set_super(r, 1u << 1, &other);
}

static void super_feature(struct rig *r)
{
    struct cbd_super other = r->super;

    other.incompat |= UINT64_C(1) << 40;
    set_super(r, 7, &other);
}

static void super_larger(struct rig *r)
{
    struct cbd_super super = r->super;

    /* The cache says that it is of a smaller device: its last copy is there. */
    assert_int_equal(
        cbd_geometry_plan(&super.geo, r->super.geo.device_bytes - 65536, r->config.segment_bytes),
        0);
    if (super.geo.data_off != r->geo.data_off || super.geo.table_bytes != r->geo.table_bytes)
        fail_msg("the smaller layout is another one");
    r->geo = super.geo;
    r->super = super;
    set_super(r, 7, &super);
}

static void super_ro_feature(struct rig *r)
{
    struct cbd_super other = r->super;

    other.ro_compat |= 1;
    set_super(r, 7, &other);
}

static void super_no_data(struct rig *r)
{
    struct cbd_super other = r->super;

    other.incompat |= CBD_INCOMPAT_METADATA_ONLY;
    set_super(r, 7, &other);
}

/* --- 2xxx --- */

static void backend_lost(struct rig *r)
{
    flip_both(r, cbd_place_backend(0));
}

static void unused_backend_lost(struct rig *r)
{
    flip_both(r, cbd_place_backend(5));
}

static void state_lost(struct rig *r)
{
    flip_both(r, cbd_place_state(0));
}

static void unused_state_lost(struct rig *r)
{
    flip_both(r, cbd_place_state(5));
}

static void state_page_poisoned(struct rig *r)
{
    sim_pmem_poison(r->pmem, r->geo.table_a_off + cbd_place_state(0), 64);
}

static void segment_lost_open(struct rig *r)
{
    flip_both(r, cbd_place_segment(open_segment(r)));
}

static void segment_lost_closed(struct rig *r)
{
    flip_both(r, cbd_place_segment(rig_segment_with(r, CBD_M_SEGMENT_CLOSED)));
}

static void segment_lost_idle(struct rig *r)
{
    flip_both(r, cbd_place_segment(idle_segment(r)));
}

static void segment_lost_unowned(struct rig *r)
{
    flip_both(r, cbd_place_segment(r->geo.segment_count - 1));
}

/* All entries of one page. */
static void segments_lost_page(struct rig *r)
{
    for (uint32_t id = 0; id < r->geo.segment_count && id < 8; id++)
        flip_both(r, cbd_place_segment(id));
}

/* Entries of two kinds of owners. */
static void segment_lost_whose(struct rig *r)
{
    flip_both(r, cbd_place_segment(open_segment(r)));
    flip_both(r, cbd_place_segment(r->geo.segment_count - 1));
}

static void copy_torn(struct rig *r)
{
    rig_flip(r, r->geo.table_b_off + cbd_place_state(0) + 20);
}

static void copy_older(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);
    struct cbd_m_backend_state m;

    s.seq--;
    cbd_state_encode(&s, cbd_seed_place(cache_seed(r), CBD_SEED_STATE, 0, 0), &m);
    sim_pmem_poke(r->pmem, r->geo.table_b_off + cbd_place_state(0), &m, sizeof(m));
}

static void copy_stale(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);
    struct cbd_m_backend_state m;

    s.seq--;
    cbd_state_encode(&s, cbd_seed_place(cache_seed(r), CBD_SEED_STATE, 0, 0), &m);
    sim_pmem_poke(r->pmem, r->geo.table_a_off + cbd_place_state(0), &m, sizeof(m));
}

static void stale_entry(struct rig *r)
{
    uint32_t id = open_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);
    struct cbd_m_segment m;

    e.seq -= 1;
    e.generation -= 1;
    e.status = CBD_M_SEGMENT_FREE;
    cbd_segment_encode(&e, cbd_seed_place(cache_seed(r), CBD_SEED_SEGMENT, id, 0), &m);
    sim_pmem_poke(r->pmem, r->geo.table_a_off + cbd_place_segment(id), &m, sizeof(m));
}

static void stale_config(struct rig *r)
{
    struct cbd_backend_config c = config_of(r);
    struct cbd_m_backend m;

    c.seq--;
    cbd_backend_encode(&c, cbd_seed_place(cache_seed(r), CBD_SEED_BACKEND, 0, 0), &m);
    sim_pmem_poke(r->pmem, r->geo.table_a_off + cbd_place_backend(0), &m, sizeof(m));
}

static void nothing(struct rig *r)
{
    (void)r;
}

/* A second backend beside the first, without segments worth the name. */
static void name_twice(struct rig *r)
{
    struct cbd_backend_config c = config_of(r);
    struct cbd_backend_state s = {.seq = 2};
    struct cbd_m_backend_state m;

    c.segments = 4;
    c.seq = 2;
    set_config(r, 1, &c);
    cbd_state_encode(&s, cbd_seed_place(cache_seed(r), CBD_SEED_STATE, 1, 0), &m);
    poke_both(r, cbd_place_state(1), &m, sizeof(m));
    for (uint32_t i = 0; i < 4; i++) {
        struct cbd_segment_entry e = rig_entry(r, r->geo.segment_count - 1 - i);

        e.owner = 2;
        set_entry(r, r->geo.segment_count - 1 - i, &e);
    }
}

static void share(struct rig *r)
{
    uint32_t id = idle_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.owner = 0;
    set_entry(r, id, &e);
}

static void dropping(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);

    s.flags |= CBD_M_STATE_DROPPING;
    set_state(r, &s);
}

static void owner_free(struct rig *r)
{
    uint32_t id = r->geo.segment_count - 1;
    struct cbd_segment_entry e = rig_entry(r, id);

    e.owner = 9;
    set_entry(r, id, &e);
}

static void stream_open(struct rig *r)
{
    uint32_t id = open_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.stream = 5;
    set_entry(r, id, &e);
}

static void stream_closed(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.stream = 5;
    set_entry(r, id, &e);
}

static void stream_twice(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.status = CBD_M_SEGMENT_OPEN;
    e.records = 0;
    e.order_max = e.epoch_max = 0;
    set_entry(r, id, &e);
}

static void stream_twice_idle(struct rig *r)
{
    uint32_t id = idle_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.status = CBD_M_SEGMENT_OPEN;
    e.generation++;
    set_entry(r, id, &e);
}

/* Each closing decides which of the others is the second one. */
static void stream_thrice(struct rig *r)
{
    stream_twice_idle(r);
    stream_twice_idle(r);
    stream_twice(r);
}

static void generation_idle(struct rig *r)
{
    uint32_t id = idle_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.generation = 0;
    set_entry(r, id, &e);
}

static void generation_used(struct rig *r)
{
    uint32_t id = open_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.generation = 0;
    set_entry(r, id, &e);
}

static void counter_state(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);

    s.epoch_written = CBD_EPOCH_MAX;
    set_state(r, &s);
}

static void counter_generation(struct rig *r)
{
    uint32_t id = idle_segment(r);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.generation = CBD_GENERATION_MAX;
    set_entry(r, id, &e);
}

/* --- 3xxx --- */

static void record_damaged(struct rig *r)
{
    rig_flip(r, rig_slot_off(r, open_segment(r), 1) + 30);
}

/* A zero record has no header. */
static void record_damaged_unknown(struct rig *r)
{
    rig_flip(r, rig_slot_off(r, open_segment(r), 2) + 30);
}

static void records_damaged_tail(struct rig *r)
{
    uint32_t id = open_segment(r);

    rig_flip(r, rig_slot_off(r, id, 0) + 30);
    rig_flip(r, rig_slot_off(r, id, 1) + 30);
    rig_flip(r, rig_slot_off(r, id, 3) + 30);
}

static void record_damaged_clean(struct rig *r)
{
    rig_flip(r, rig_slot_off(r, rig_segment_with(r, CBD_M_SEGMENT_CLOSED), 3) + 30);
}

static void records_damaged_page(struct rig *r)
{
    rig_scribble(r, rig_slot_off(r, rig_segment_with(r, CBD_M_SEGMENT_CLOSED), 63), 4096);
}

static void edit_open(struct rig *r, uint32_t slot, void (*edit)(struct cbd_record *record))
{
    uint32_t id = open_segment(r);
    struct cbd_record record = rig_record(r, id, slot);

    edit(&record);
    set_record(r, id, slot, &record);
}

static void beyond(struct cbd_record *r)
{
    r->addr_bytes = 1u << 20;
}

static void record_beyond(struct rig *r)
{
    edit_open(r, 1, beyond);
}

static void partly_beyond(struct cbd_record *r)
{
    r->addr_bytes = (1u << 20) - 4096;
}

static void record_partly_beyond(struct rig *r)
{
    edit_open(r, 1, partly_beyond);
}

static void record_alignment(struct rig *r)
{
    struct cbd_backend_config c = config_of(r);

    c.logical_block_bytes = 4096;
    set_config(r, 0, &c); /* the last record is 1 KiB at 1 KiB */
}

static void record_forgotten(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);

    s.horizon = rig_record(r, open_segment(r), 1).order + 1;
    set_state(r, &s);
}

static void high_epoch(struct cbd_record *r)
{
    r->epoch += 5;
}

static void record_epoch(struct rig *r)
{
    edit_open(r, 0, high_epoch);
}

static void same_order(struct cbd_record *r)
{
    r->order -= 3; /* one tree: orders are consecutive */
}

static void record_order_twice(struct rig *r)
{
    edit_open(r, 3, same_order);
}

static void high_order(struct cbd_record *r)
{
    r->order = CBD_ORDER_MAX;
}

static void record_counter(struct rig *r)
{
    edit_open(r, 1, high_order);
}

static void lower_payload(struct cbd_record *r)
{
    r->payload_off -= 64;
}

static void payload_overlap(struct rig *r)
{
    edit_open(r, 1, lower_payload);
}

/* Many records, so that the payload of the first shares a page with the last ones. */
static void payload_limit(struct rig *r)
{
    uint32_t id = open_segment(r);
    struct cbd_record first = rig_record(r, id, 0), record = {.type = CBD_M_RECORD_VOID};

    first.payload_off = 65536 - 4096 - 4096;
    set_record(r, id, 0, &first);
    for (uint32_t slot = 1; slot < 70; slot++) {
        record.durable = slot;
        set_record(r, id, slot, &record);
    }
}

static void header(struct rig *r)
{
    rig_flip(r, payload_of(r, open_segment(r), 1) - 64 + 30);
}

static void header_and_data(struct rig *r)
{
    rig_flip(r, payload_of(r, open_segment(r), 1) - 64 + 30);
    rig_flip(r, payload_of(r, open_segment(r), 1) + 100);
}

static void header_clean(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);

    rig_scribble(r, payload_of(r, id, 2) - 64, 64 + 512);
}

static void closed_order(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.order_max++;
    set_entry(r, id, &e);
}

static void closed_epoch(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    struct cbd_segment_entry e = rig_entry(r, id);

    e.epoch_max++;
    set_entry(r, id, &e);
}

/* The last record of a closed segment is of a later epoch than what comes behind it in its list. */
static void epochs_beside(struct rig *r)
{
    uint32_t id = rig_segment_with(r, CBD_M_SEGMENT_CLOSED);
    struct cbd_segment_entry e = rig_entry(r, id);
    struct cbd_record last = rig_record(r, id, e.records - 1);

    last.epoch = e.epoch_max = rig_record(r, open_segment(r), 0).epoch + 5;
    set_record(r, id, e.records - 1, &last);
    set_entry(r, id, &e);
}

static uint32_t last_slot(struct rig *r, uint32_t id)
{
    uint32_t seed = cbd_seed_place(cache_seed(r), CBD_SEED_RECORD, id, rig_entry(r, id).generation);
    uint32_t slot = 0;
    struct cbd_record record;
    struct cbd_m_record m;

    for (;; slot++) {
        memcpy(&m, r->pmem->pm.base + rig_slot_off(r, id, slot), sizeof(m));
        if (!cbd_record_decode(&m, seed, rig_entry(r, id).generation, slot, &r->geo, &record))
            return slot - 1;
    }
}

static void last_payload(struct rig *r)
{
    uint32_t id = open_segment(r);

    rig_flip(r, payload_of(r, id, last_slot(r, id)) + 5);
}

static void last_record(struct rig *r)
{
    uint32_t id = open_segment(r);

    rig_flip(r, rig_slot_off(r, id, last_slot(r, id)) + 30);
}

static void dirty_detached(struct rig *r)
{
    struct cbd_backend_state s = state_of(r);

    s.flags &= ~CBD_M_STATE_ATTACHED;
    set_state(r, &s);
}

static void last_payload_detached(struct rig *r)
{
    last_payload(r);
    dirty_detached(r);
}

/* --- 4xxx --- */

static void data_dirty(struct rig *r)
{
    rig_flip(r, payload_of(r, open_segment(r), 1) + 4096 + 100);
}

static void data_clean(struct rig *r)
{
    rig_flip(r, payload_of(r, rig_segment_with(r, CBD_M_SEGMENT_CLOSED), 2) + 100);
}

static void disk_size(struct rig *r)
{
    r->disk[0]->disk.size_bytes -= 65536;
}

static void disk_block(struct rig *r)
{
    r->disk[0]->disk.logical_block_bytes = 4096;
}

/* One block of the newest that was written. */
static void disk_content(struct rig *r)
{
    for (uint64_t sector = 8; sector < 16; sector++)
        sim_disk_poke(r->disk[0], sector, 1);
}

static void disk_unread(struct rig *r)
{
    sim_disk_set_latent_error(r->disk[0], 0, r->disk[0]->disk.size_bytes / 512);
}

#define R(code, base, end, damage)                                                                 \
    {CBD_PROBLEM_##code, #damage, BASE_##base, END_##end, damage, false},
#define FORGED(code, base, end, damage)                                                            \
    {CBD_PROBLEM_##code, #damage, BASE_##base, END_##end, damage, true},

const struct recipe recipes[] = {
    R(SUPER_NONE, STOPPED, LEFT, super_none)                      /* */
    R(SUPER_COPY, STOPPED, PREEN, super_copy_0)                   /* */
    R(SUPER_COPY, STOPPED, PREEN, super_copies_0_1)               /* */
    R(SUPER_COPY, DETACHED, PREEN, super_copy_2)                  /* */
    R(SUPER_COPY, KILLED, PREEN, super_copies_1_2)                /* */
    R(SUPER_DIFFERS, STOPPED, PREEN, super_differs)               /* */
    R(SUPER_FEATURE, STOPPED, LEFT, super_feature)                /* */
    R(SUPER_DEVICE_LARGER, NEW, NOTE, super_larger)               /* */
    R(SUPER_RO_FEATURE, STOPPED, LEFT, super_ro_feature)          /* */
    R(SUPER_NO_DATA, DETACHED, NOTE, super_no_data)               /* */
    R(BACKEND_LOST, STOPPED, LOSES, backend_lost)                 /* */
    R(BACKEND_LOST, STOPPED, PREEN, unused_backend_lost)          /* */
    R(STATE_LOST, STOPPED, LOSES, state_lost)                     /* */
    R(STATE_LOST, MIXED, LOSES, state_lost)                       /* */
    R(STATE_LOST, STOPPED, PREEN, unused_state_lost)              /* */
    R(SEGMENT_LOST, STOPPED, PREEN, segment_lost_open)            /* */
    R(SEGMENT_LOST, MIXED, PREEN, segment_lost_closed)            /* */
    R(SEGMENT_LOST, MIXED, PREEN, segments_lost_page)             /* */
    R(SEGMENT_LOST, DETACHED, PREEN, segment_lost_closed)         /* */
    R(SEGMENT_LOST, STOPPED, PREEN, segment_lost_idle)            /* */
    R(SEGMENT_LOST, STOPPED, PREEN, segment_lost_unowned)         /* */
    R(SEGMENT_LOST, STOPPED, LEFT, segment_lost_whose)            /* */
    R(COPY_TORN, STOPPED, NOTE, copy_torn)                        /* */
    R(COPY_OLDER, STOPPED, NOTE, copy_older)                      /* */
    R(COPY_STALE, STOPPED, PREEN, copy_stale)                     /* */
    R(COPY_STALE, STOPPED, PREEN, stale_entry)                    /* */
    R(COPY_STALE, STOPPED, PREEN, stale_config)                   /* */
    R(COPY_MEDIA, STOPPED, LEFT, state_page_poisoned)             /* */
    R(UNCLEAN, STOPPED, NOTE, nothing)                            /* */
    R(NAME_TWICE, STOPPED, DECIDE, name_twice)                    /* */
    R(SHARE, STOPPED, PREEN, share)                               /* */
    R(DROPPING, STOPPED, NOTE, dropping)                          /* */
    R(OWNER_FREE, STOPPED, NOTE, owner_free)                      /* */
    R(STREAM, STOPPED, PREEN, stream_open)                        /* */
    R(STREAM, MIXED, PREEN, stream_closed)                        /* */
    R(STREAM_TWICE, MIXED, PREEN, stream_twice)                   /* */
    R(STREAM_TWICE, STOPPED, PREEN, stream_twice_idle)            /* */
    R(STREAM_TWICE, MIXED, PREEN, stream_thrice)                  /* */
    R(GENERATION, STOPPED, PREEN, generation_idle)                /* */
    FORGED(GENERATION, STOPPED, LEFT, generation_used)            /* */
    R(COUNTER, STOPPED, LOSES, counter_state)                     /* */
    R(COUNTER, STOPPED, PREEN, counter_generation)                /* */
    R(DISK_SIZE, DETACHED, LEFT, disk_size)                       /* */
    R(DISK_BLOCK, DETACHED, LEFT, disk_block)                     /* */
    R(DISK_CONTENT, DETACHED, LEFT, disk_content)                 /* */
    R(DISK_CONTENT, MIXED, LEFT, disk_content)                    /* */
    R(DISK_DOUBT, MIXED, NOTE, last_payload)                      /* */
    R(DISK_UNREAD, DETACHED, LEFT, disk_unread)                   /* */
    R(RECORD_DAMAGED, STOPPED, LOSES, record_damaged)             /* */
    R(RECORD_DAMAGED, STOPPED, LOSES, record_damaged_unknown)     /* */
    R(RECORD_DAMAGED, STOPPED, LOSES, records_damaged_tail)       /* */
    R(RECORD_DAMAGED, DETACHED, PREEN, record_damaged_clean)      /* */
    R(RECORD_DAMAGED, DETACHED, PREEN, records_damaged_page)      /* */
    R(RECORD_DAMAGED, MIXED, LOSES, records_damaged_page)         /* */
    FORGED(RECORD_BEYOND, STOPPED, LOSES, record_beyond)          /* */
    FORGED(RECORD_BEYOND, STOPPED, LOSES, record_partly_beyond)   /* */
    FORGED(RECORD_ALIGNMENT, STOPPED, LOSES, record_alignment)    /* */
    R(RECORD_FORGOTTEN, STOPPED, LOSES, record_forgotten)         /* */
    FORGED(RECORD_EPOCH, STOPPED, LOSES, record_epoch)            /* */
    FORGED(RECORD_ORDER_TWICE, STOPPED, LEFT, record_order_twice) /* */
    FORGED(RECORD_COUNTER, STOPPED, LOSES, record_counter)        /* */
    FORGED(PAYLOAD_OVERLAP, STOPPED, LOSES, payload_overlap)      /* */
    FORGED(PAYLOAD_LIMIT, STOPPED, LOSES, payload_limit)          /* */
    R(HEADER, STOPPED, PREEN, header)                             /* */
    R(HEADER, STOPPED, LOSES, header_and_data)                    /* */
    R(HEADER, DETACHED, PREEN, header_clean)                      /* */
    R(CLOSED_ORDER, MIXED, PREEN, closed_order)                   /* */
    R(CLOSED_EPOCH, MIXED, PREEN, closed_epoch)                   /* */
    FORGED(EPOCHS, MIXED, LEFT, epochs_beside)                    /* */
    R(SUSPECT, STOPPED, NOTE, last_payload)                       /* */
    R(UNFINISHED, STOPPED, NOTE, last_record)                     /* */
    R(SUSPECT_DETACHED, STOPPED, PREEN, last_payload_detached)    /* */
    R(DIRTY_DETACHED, STOPPED, PREEN, dirty_detached)             /* */
    R(DATA_DIRTY, STOPPED, LOSES, data_dirty)                     /* */
    R(DATA_CLEAN, DETACHED, PREEN, data_clean)                    /* */
};

const size_t recipe_count = sizeof(recipes) / sizeof(recipes[0]);
