/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of a repair share. Owned by one cbd_repair_run(). */
#ifndef CBD_REPAIR_PART_H
#define CBD_REPAIR_PART_H

#include "cbd/repair.h"
#include "check_pass.h"

/* How a problem is put right. In the order in which repairs are stored: M3. */
enum cbd_mend_kind {
    CBD_MEND_NONE,
    CBD_MEND_SUPER,        /* a superblock copy from the one that counts */
    CBD_MEND_COPY,         /* the copy of an entry that is not the newest */
    CBD_MEND_BACKEND_FREE, /* an entry that is lost: there is no such backend */
    CBD_MEND_STATE,        /* a state that is lost: everything is dirty */
    CBD_MEND_NAME,
    CBD_MEND_SHARE,
    CBD_MEND_ATTACHED,      /* the state: not detached cleanly */
    CBD_MEND_SEGMENT_FIND,  /* an entry that is lost */
    CBD_MEND_SEGMENT_GUESS, /* one whose segment may have lost records; FIND first (M7) */
    CBD_MEND_SEGMENT_CLOSE, /* an open one that its stream cannot have */
    CBD_MEND_SEGMENT_FREE,
    CBD_MEND_CLOSED, /* what the entry says about its records */
    CBD_MEND_HEADER,
    CBD_MEND_FORGET, /* the horizon goes above what is clean */
    CBD_MEND_VOID,   /* FORGET first where the record is clean and may hide others */
    CBD_MEND_KINDS,
};

struct cbd_mend {
    struct cbd_check_finding finding;
    enum cbd_mend_kind kind;
    bool forget;          /* VOID: what is clean up to `order` goes first */
    bool loses;           /* VOID: something dirty goes, and everything clean before it (M7) */
    uint64_t order;       /* FORGET */
    uint64_t dirty_bytes; /* that it gives up */
};

/* Hashes; 0: free. */
struct cbd_mend_set {
    uint64_t *table;
    uint64_t count, cap;
};

struct cbd_repair {
    struct cbd_check *k; /* of this round */
    const struct cbd_repair_options *options;
    void *arg;
    struct cbd_repair_result *out;

    struct cbd_mend *mends; /* of this round */
    uint32_t count, cap;
    bool more;                  /* than `mends` has room for: another round */
    struct cbd_mend_set passed; /* findings that had their turn since the last store */
    struct cbd_mend_set told;   /* findings, and offers with their answers, that the caller knows */
    uint64_t failed;            /* of this round */
    bool settled;               /* M1 */
    bool loud;                  /* something was accepted in this round */
    bool stored;                /* something was stored in this round */
    bool forgotten[CBD_BACKENDS]; /* M7: nothing clean is left of it, in this round */
};

/* repair_offer.c: what is found goes to the caller; what cannot be repaired apart from the rest */
int cbd_offer_collect(void *arg, const struct cbd_check_finding *f) CBD_MUST_CHECK;
int cbd_offer_all(struct cbd_repair *r) CBD_MUST_CHECK;
int cbd_offer_impossible(struct cbd_repair *r) CBD_MUST_CHECK;
void cbd_mend_set_free(struct cbd_mend_set *set, struct cbd_env *env);

/* repair_plan.c: what can be done about a finding. *mend is complete when offer->possible. */
void cbd_mend_plan(struct cbd_repair *r, const struct cbd_check_finding *f, struct cbd_mend *mend,
                   struct cbd_repair_offer *offer);

/* repair.c: of what is clean, all whose order is at most `order` */
int cbd_mend_forget(struct cbd_repair *r, uint32_t backend, uint64_t order) CBD_MUST_CHECK;

/* repair_clean.c: everything that is clean, once a round */
int cbd_mend_forget_clean(struct cbd_repair *r, uint32_t backend) CBD_MUST_CHECK;

/* repair_store.c: every store of a repair */
int cbd_mend_settle(struct cbd_repair *r) CBD_MUST_CHECK;
int cbd_mend_super(struct cbd_repair *r, uint32_t copy) CBD_MUST_CHECK;
int cbd_mend_equal(struct cbd_repair *r, uint64_t place, const void *bytes,
                   uint32_t len_bytes) CBD_MUST_CHECK;
int cbd_mend_config(struct cbd_repair *r, uint32_t id, bool lost) CBD_MUST_CHECK;
int cbd_mend_state(struct cbd_repair *r, uint32_t id, bool lost) CBD_MUST_CHECK;
int cbd_mend_entry(struct cbd_repair *r, uint32_t id, bool lost) CBD_MUST_CHECK;
int cbd_mend_void(struct cbd_repair *r, uint32_t segment, uint32_t slot,
                  uint32_t durable) CBD_MUST_CHECK;
int cbd_mend_header(struct cbd_repair *r, uint64_t off, const void *bytes,
                    uint32_t len_bytes) CBD_MUST_CHECK;

/* repair_segment.c: entries of segments from what the segments hold */
struct cbd_found_segment {
    uint32_t id;
    struct cbd_segment_entry entry;
    uint64_t dirty_first, dirty_last; /* epochs; 0: nothing is dirty */
    uint64_t dirty_order_min;
    uint32_t durable; /* its slots below were */
    bool gaps;        /* it may have lost records */
};

/*
 * NULL, or why nothing can be said. *certain: no other backend can have written its records, and it
 * has lost none.
 */
const char *cbd_find_entry(struct cbd_repair *r, uint32_t id, struct cbd_found_segment *out,
                           bool *certain);
void cbd_close_entry(struct cbd_repair *r, uint32_t id, struct cbd_found_segment *out);
int cbd_void_unfinished(struct cbd_repair *r, const struct cbd_found_segment *found) CBD_MUST_CHECK;
bool cbd_segment_holds_nothing(const struct cbd_check *k, uint32_t id);
uint64_t cbd_generation_above(const struct cbd_check *k);
uint64_t cbd_owned_dirty_bytes(struct cbd_repair *r, uint32_t backend, bool *any);

/* repair_header.c: a header from its record and its data. False: they do not prove it. */
bool cbd_header_again(struct cbd_check *k, uint32_t segment, uint32_t slot,
                      const struct cbd_record *record, struct cbd_loaded_header *out,
                      uint32_t *len_bytes);

#endif
