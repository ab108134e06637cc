/* SPDX-License-Identifier: BSD-2-Clause */
/* What the passes of a check share. Owned by one cbd_check_run(). */
#ifndef CBD_CHECK_PASS_H
#define CBD_CHECK_PASS_H

#include "cbd/check.h"
#include "engine.h"

enum cbd_check_plan {
    CBD_CHECK_PLAN_SKIP, /* holds no live record */
    CBD_CHECK_PLAN_LOST, /* no valid entry */
    CBD_CHECK_PLAN_SCAN,
};

/* Of one segment, beside what struct cbd_segment holds. */
struct cbd_check_entry {
    uint8_t plan;                     /* enum cbd_check_plan */
    uint8_t copy;                     /* the one that counts */
    uint32_t durable;                 /* slots below were, as cbd_scan has it */
    uint16_t problem;                 /* code of the last finding about the entry, 0: none */
    bool damaged;                     /* a slot of it is */
    uint32_t held;                    /* repair: slots below it stay as they are */
    uint64_t dirty_first, dirty_last; /* epochs of its dirty records; 0: it has none */
};

/* An order, and a record that has it where that matters. */
struct cbd_check_order {
    uint64_t order;
    uint32_t segment;
    uint32_t slot;
};

/* Of the records of one page of slots that the pass over orders keeps something. */
struct cbd_check_page {
    uint64_t order_min, order_max;
    uint64_t kept;  /* a bit for each slot whose mark is there */
    uint64_t first; /* of its marks, which are in order of slots */
    uint32_t segment;
    uint32_t number; /* in the segment: slots from number * CBD_PAGE_RECORDS on */
};

/* What is kept of records, see check_mark.c. */
struct cbd_check_marks {
    uint32_t *marks;
    uint64_t count, cap;
    struct cbd_check_page *pages;
    uint64_t page_count, page_cap;
};

struct cbd_check {
    struct cbd_cache cache; /* what scan.c needs; never handed out */
    struct cbd_check_options options;
    int (*found)(void *arg, const struct cbd_check_finding *finding);
    void *arg;
    struct cbd_check_summary *out;

    struct cbd_check_entry *entries; /* for each segment */
    bool config_valid[CBD_BACKENDS];
    bool state_valid[CBD_BACKENDS];
    uint32_t super_copy;                          /* the one that counts */
    uint32_t entries_lost;                        /* segments whose owner is not known */
    uint32_t open[CBD_BACKENDS][CBD_STREAMS_MAX]; /* segment + 1 */

    uint64_t dirty_order_min[CBD_BACKENDS]; /* of valid records; UINT64_MAX: none is dirty */
    uint64_t order_top[CBD_BACKENDS];       /* highest order of anything that was seen */

    struct cbd_check_marks marks;     /* of the part that is looked at, see check_order.c */
    struct cbd_check_order *suspects; /* orders that may be there twice */
    uint64_t suspect_count, suspect_cap;
    struct cbd_check_order *orders; /* records of these */
    uint64_t order_count, order_cap;
    uint64_t order_total; /* of all that were handed over */

    struct cbd_check_ahead *ahead; /* check_ahead.c; NULL: one segment after the other */
    bool looks_ahead;              /* is one of those that it runs side by side */
};

/* A finding with no place yet. */
struct cbd_check_finding cbd_check_finding(enum cbd_problem_code code);

/* Counts it and passes it on. */
int cbd_check_report(struct cbd_check *k, const struct cbd_check_finding *finding) CBD_MUST_CHECK;

struct cbd_check *cbd_check_create(struct cbd_pmem *pm, struct cbd_env *env,
                                   const struct cbd_check_options *options,
                                   struct cbd_check_summary *out);
int cbd_check_passes(struct cbd_check *k) CBD_MUST_CHECK;
void cbd_check_destroy(struct cbd_check *k);

int cbd_check_tables(struct cbd_check *k) CBD_MUST_CHECK;
int cbd_check_records(struct cbd_check *k) CBD_MUST_CHECK;
int cbd_check_segment(struct cbd_check *k, uint32_t id) CBD_MUST_CHECK;

/* check_ahead.c: cbd_check_segment() for rising numbers, with others at the same time */
void cbd_check_ahead_open(struct cbd_check *k);
int cbd_check_in_turn(struct cbd_check *k, uint32_t id) CBD_MUST_CHECK;
void cbd_check_ahead_close(struct cbd_check *k);

/* check_damage.c: what the payload headers still say */
int cbd_check_damage(struct cbd_check *k, uint32_t segment,
                     const struct cbd_scan *scan) CBD_MUST_CHECK;
int cbd_check_unfinished(struct cbd_check *k, uint32_t segment,
                         const struct cbd_scan *scan) CBD_MUST_CHECK;

/* check_data.c: the payload of one record */
int cbd_check_header(struct cbd_check *k, uint32_t segment, uint32_t slot,
                     const struct cbd_record *r, bool dirty) CBD_MUST_CHECK;

/* check_lists.c: whether write-back can have what is dirty of a backend in order */
int cbd_check_lists(struct cbd_check *k, uint32_t backend) CBD_MUST_CHECK;

/* check_identity.c: backing devices */
int cbd_check_disks(struct cbd_check *k) CBD_MUST_CHECK;

/* check_order.c */
int cbd_check_order_add(struct cbd_check *k, uint32_t segment, uint32_t slot,
                        const struct cbd_record *r) CBD_MUST_CHECK;
int cbd_check_order_add_all(struct cbd_check *k, const struct cbd_check_marks *m) CBD_MUST_CHECK;
int cbd_check_order_suspect(struct cbd_check *k, uint64_t order) CBD_MUST_CHECK;
int cbd_check_orders(struct cbd_check *k) CBD_MUST_CHECK;
void cbd_check_orders_free(struct cbd_check *k);

/* The first of n sorted ones that is not below `order`; n: none is. */
static inline uint64_t cbd_check_order_at(const struct cbd_check_order *o, uint64_t n,
                                          uint64_t order)
{
    uint64_t first = 0;

    while (first < n) {
        uint64_t middle = first + (n - first) / 2;

        if (o[middle].order < order)
            first = middle + 1;
        else
            n = middle;
    }
    return first;
}

/* Room for `want` items of which `count` are there. *cap grows to it at least. */
int cbd_check_room(struct cbd_check *k, void **items, uint64_t *cap, uint64_t count, uint64_t want,
                   size_t item_bytes) CBD_MUST_CHECK;

/* check_sort.c */
void cbd_check_order_sort(struct cbd_check_order *o, uint64_t n);

/* check_mark.c */
void cbd_check_mark(struct cbd_check_marks *m, uint32_t backend, uint32_t segment, uint32_t slot,
                    const struct cbd_record *r);
int cbd_check_marks_look(struct cbd_check *k) CBD_MUST_CHECK;

static inline uint64_t cbd_check_slot_off(const struct cbd_check *k, uint32_t segment,
                                          uint32_t slot)
{
    return cbd_segment_off(&k->cache.super.geo, segment) + cbd_slot_off(&k->cache.super.geo, slot);
}

static inline bool cbd_check_dirty(const struct cbd_check *k, uint32_t backend,
                                   const struct cbd_record *r)
{
    return (r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_ZERO) &&
           r->epoch > k->cache.states[backend].epoch_written &&
           !cbd_record_carried(&k->cache.states[backend], r);
}

/* Not forgotten: what is dirty, and what is not below the horizon. */
static inline bool cbd_check_live(const struct cbd_check *k, uint32_t backend,
                                  const struct cbd_record *r)
{
    return r->type != CBD_M_RECORD_VOID &&
           (cbd_check_dirty(k, backend, r) || r->order >= k->cache.states[backend].horizon);
}

#endif
