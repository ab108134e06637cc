/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * History of one backend: a table of events, and a sparse tree that tells which events touched
 * a sector.  Internal to the oracle.
 *
 * The tree: a leaf has 8 sectors, an inner node 32 children.  An event leaves one entry, with a
 * mask of children, in each node where it covers whole children but not the whole node:
 *
 *     level 2   [ . . . ######### . ]           children of 128 KiB, no deeper nodes needed
 *     level 1       [..###]   [##...]           children of 4 KiB
 *     level 0           [.#]  [#.]              sectors
 *
 * So a discard costs by the depth of the tree, not by its length.  Short events always go down
 * to the leaves: otherwise one busy page would make the lists of its neighbours long.
 *
 * Each node keeps two lists.  `hist` has every request, for the backing device, which may be
 * arbitrarily far behind.  `live` has what can still matter to the served device: it is compacted
 * now and then, when newer requests have taken the place of an entry for good.
 */
#ifndef SIM_ORACLE_HIST_H
#define SIM_ORACLE_HIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HIST_TIME_NEVER UINT64_MAX
#define HIST_VALUE_ZERO UINT32_MAX /* value of a pin: zeroes, of whichever request */
#define HIST_LEVELS_MAX 12u

enum hist_kind {
    HIST_INITIAL, /* event 0 only */
    HIST_WRITE,
    HIST_ZERO,
    HIST_FLUSH,
    HIST_READ,  /* pin: a read returned `value` */
    HIST_ADOPT, /* pin: recovery settled `value` */
};

enum hist_state {
    HIST_FLYING, /* not ended */
    HIST_DONE,
    HIST_OPEN, /* ended without a promise: failed, or cut by a crash */
    HIST_VOID, /* a pin that a crash made meaningless */
};

struct hist_event {
    uint64_t start;
    uint64_t sectors;
    uint64_t submit;
    uint64_t end;   /* HIST_TIME_NEVER while flying */
    uint32_t value; /* pins: event that was seen, or HIST_VALUE_ZERO; requests: themselves */
    uint8_t kind;
    uint8_t state;
    bool fua;
};

struct hist_entry {
    uint32_t event;
    uint32_t mask; /* of the node's children */
};

struct hist_list {
    struct hist_entry *at;
    uint32_t n;
    uint32_t cap;
};

struct hist_node {
    struct hist_list hist; /* by event number, which is by submission */
    struct hist_list live;
    uint32_t live_limit; /* compact when live.n gets here */
    uint32_t edges;      /* bit i: some entry tells child i from child i + 1 */
    uint32_t kids;       /* index into hist.kids; leaves: unused */
};

struct hist {
    uint64_t size_sectors;
    bool durable_on_ack;
    bool initial_is_zero;
    bool no_memory;
    unsigned top; /* level of the root, which is node 0 */
    uint64_t now;
    uint64_t flushed_to; /* requests acknowledged before this are covered by a done FLUSH */

    struct hist_event *events;
    size_t events_n, events_cap;
    struct hist_node *nodes;
    size_t nodes_n, nodes_cap;
    uint32_t (*kids)[32]; /* node numbers; 0: none */
    size_t kids_n, kids_cap;
    uint64_t *reads; /* start times of the reads in flight */
    size_t reads_n, reads_cap;
};

/* Nodes above a group of sectors that share one history, from level `low` up to the root. */
struct hist_path {
    uint32_t node[HIST_LEVELS_MAX];
    uint32_t bit[HIST_LEVELS_MAX]; /* mask of the child that leads to the group */
    unsigned low;
    unsigned top;
};

typedef int hist_walk_fn(void *ctx, const struct hist_path *path, uint64_t start, uint64_t sectors);

/* false: no memory. */
bool hist_init(struct hist *h);
void hist_free(struct hist *h);
bool hist_clone(struct hist *to, const struct hist *from);

/* Makes room for one more element; returns the array, or NULL and sets no_memory. */
void *hist_grow(struct hist *h, void *array, size_t n, size_t *cap, size_t element_bytes);

/* A copy of n elements; NULL when there are none, or with no_memory set. */
void *hist_copy(struct hist *to, const void *from, size_t n, size_t element_bytes);

static inline uint64_t hist_tick(struct hist *h)
{
    return ++h->now;
}

/* Appends an event and returns its number; 0: no memory. */
uint32_t hist_add(struct hist *h, const struct hist_event *ev);

/* Puts the event into the tree. */
void hist_insert(struct hist *h, uint32_t event);

/* Calls fn for each group of sectors in the range that no entry tells apart, by address, until it
 * returns non-zero; returns that value. */
int hist_walk(const struct hist *h, uint64_t start, uint64_t sectors, hist_walk_fn *fn, void *ctx);

static inline bool hist_is_pin(const struct hist_event *ev)
{
    return ev->kind == HIST_READ || ev->kind == HIST_ADOPT;
}

/* Does this event, or the event that a pin names, leave zero bytes? */
static inline bool hist_is_zero(const struct hist *h, uint32_t value)
{
    return value == HIST_VALUE_ZERO || h->events[value].kind == HIST_ZERO ||
           (value == 0 && h->initial_is_zero);
}

/* Must this request survive a crash now? */
static inline bool hist_is_durable(const struct hist *h, const struct hist_event *ev)
{
    return ev->state == HIST_DONE &&
           (h->durable_on_ack || ev->fua || ev->kind == HIST_ADOPT || ev->end < h->flushed_to);
}

/* Finds the event of a version in a sector range; false: nothing put it there. */
bool hist_lookup(const struct hist *h, uint64_t version, uint64_t start, uint64_t sectors,
                 uint32_t *event);

#endif
