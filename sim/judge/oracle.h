/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges what one backend may show after a crash, from the history of its requests alone.
 *
 * The oracle is a second opinion: it shares no code with the core.  It is told each submission,
 * each acknowledgement and each read result of one served device, and answers two questions:
 *   - served: what may the device show after a crash now (P1, P2, P3), or when it is quiet (P5)?
 *   - backing: what may the bare backing device show if the pmem is lost now (P4)?
 *
 * Units: every address and length is in sectors of 512 bytes.  Time is a counter that each event
 * advances by one; nobody needs to know its value.
 *
 * Versions: the number that a request gets at its submission is the version that each sector of
 * a WRITE holds.  SIM_ORACLE_INITIAL is the content before the first request, SIM_ORACLE_ZERO is
 * a sector of zero bytes (any request of zeroes may have left it), SIM_ORACLE_GARBAGE is content
 * that no request wrote; it is never allowed.
 *
 * Order of two requests A and B on one sector: A is older when it ended (was acknowledged, failed,
 * was cut by a crash, or was seen by a read that ended) before B began.  Otherwise they overlap
 * in time, and either may have won.
 *
 * The functions that judge (check_*, backing_*) never change the history: any number of crash
 * states can be judged at one instant, without calling sim_oracle_crash().  That call is for a run
 * that goes on after a crash.
 *
 * Errors: functions that judge or record return one of the three codes below.  A memory shortage
 * is sticky: every later call reports it.  Wrong use (an address outside the device, a second
 * acknowledgement) is a programmer error and asserts.
 * Thread safety: none; one oracle belongs to one thread.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_ORACLE_INITIAL UINT64_C(0)
#define SIM_ORACLE_ZERO UINT64_MAX /* these two as in sim/device/sector.h */
#define SIM_ORACLE_GARBAGE (UINT64_MAX - 1)

#define SIM_ORACLE_ATOMIC_SECTORS_MAX 128u /* P2 never promises more than 64 KiB */
#define SIM_ORACLE_SIZE_SECTORS_MAX (UINT64_C(1) << 48)

enum {
    SIM_ORACLE_OK = 0,
    SIM_ORACLE_VIOLATION = 1,
    SIM_ORACLE_UNDECIDED = 2, /* only sim_oracle_backing_any_end() */
    SIM_ORACLE_NO_MEMORY = -1,
};

enum sim_oracle_op {
    SIM_ORACLE_OP_WRITE,
    SIM_ORACLE_OP_ZERO, /* discard or write-zeroes */
    SIM_ORACLE_OP_FLUSH,
};

enum sim_oracle_promise {
    SIM_ORACLE_NONE = 0,
    SIM_ORACLE_P1 = 1,    /* an acknowledged (or flushed) request was lost */
    SIM_ORACLE_P2 = 2,    /* a piece of a write is torn */
    SIM_ORACLE_P3 = 3,    /* what a read had returned was un-written */
    SIM_ORACLE_P4 = 4,    /* the backing device alone is in a state that no moment explains */
    SIM_ORACLE_P5 = 5,    /* the detached backing device differs from what was written */
    SIM_ORACLE_READ = 16, /* without any crash, a read returned a version that it may not */
};

enum sim_oracle_reason {
    SIM_ORACLE_FOREIGN = 1, /* no request put this version into this sector */
    SIM_ORACLE_STALE,       /* a newer request, `by`, must be there */
    SIM_ORACLE_TORN,        /* P2: `got` and `other_got` cannot both be whole */
    SIM_ORACLE_NO_MOMENT,   /* P4: `other_got` is too new for the moment that `got` needs */
};

struct sim_oracle_config {
    uint64_t size_sectors;   /* 1 .. SIM_ORACLE_SIZE_SECTORS_MAX */
    uint32_t atomic_sectors; /* piece of P2: 1 .. SIM_ORACLE_ATOMIC_SECTORS_MAX */
    bool durable_on_ack;     /* false: durability=flush; P3 is not promised then */
    bool initial_is_zero;    /* the initial content is zero bytes: INITIAL and ZERO are the same */
};

struct sim_oracle_violation {
    enum sim_oracle_promise promise;
    enum sim_oracle_reason reason;
    uint64_t sector;
    uint64_t got;
    uint64_t by;           /* request that forbids `got` here: write, FLUSH or FUA write; 0: none */
    uint64_t other_sector; /* TORN and NO_MOMENT: the other half of the contradiction */
    uint64_t other_got;
};

struct sim_oracle_range {
    uint64_t id; /* the request */
    uint64_t start_sector;
    uint64_t sectors;
    enum sim_oracle_op op;
};

struct sim_oracle_stats {
    uint64_t events; /* requests, and read results that had to be remembered */
    uint64_t nodes;
    uint64_t memory_bytes;
    uint64_t time; /* of the last event: equal times, equal history */
};

struct sim_oracle;

/* NULL when the configuration is out of range or memory is short. */
struct sim_oracle *sim_oracle_create(const struct sim_oracle_config *config);
void sim_oracle_destroy(struct sim_oracle *o);

/* A deep copy, for a branch that goes on working while the original stays.  NULL: no memory. */
struct sim_oracle *sim_oracle_clone(const struct sim_oracle *o);

/* ---- history ---- */

/*
 * A request is handed to the served device.  Returns its number, which is also its version;
 * 0 when memory is short.  `start_sector`, `sectors` and `fua` are ignored for a FLUSH.
 */
uint64_t sim_oracle_submit(struct sim_oracle *o, enum sim_oracle_op op, uint64_t start_sector,
                           uint64_t sectors, bool fua);

/* The request `id` was acknowledged as done. */
void sim_oracle_ack(struct sim_oracle *o, uint64_t id);

/*
 * The request `id` returned an error: each of its pieces may be there or not, but what is not
 * there by now does not come later than the next request that begins after this.
 */
void sim_oracle_fail(struct sim_oracle *o, uint64_t id);

/* A read is handed to the served device; the token names it until it ends. */
uint64_t sim_oracle_read_begin(struct sim_oracle *o);

/*
 * The read `token` returned versions[0..sectors) from start_sector on.  Judges them as a register
 * per sector that is linearizable, and remembers what P3 needs.  `v` may be NULL.
 */
int sim_oracle_read_end(struct sim_oracle *o, uint64_t token, uint64_t start_sector,
                        const uint64_t *versions, size_t sectors, struct sim_oracle_violation *v);

/* The read `token` failed or its result does not matter. */
void sim_oracle_read_abort(struct sim_oracle *o, uint64_t token);

/* ---- a crash, when the run goes on after it ---- */

/* All requests and reads in flight end here; their outcome is open. */
void sim_oracle_crash(struct sim_oracle *o);

/*
 * After sim_oracle_crash() and before the next submission: these sectors were seen to hold
 * `version` after recovery.  From now on that is the settled content.
 */
int sim_oracle_adopt(struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                     uint64_t version);

/* Adoption is over: the requests that the crash cut are no longer listed as open. */
void sim_oracle_resume(struct sim_oracle *o);

/*
 * Lists the requests that are not durable now (in flight, failed since the last crash, or, with
 * durability=flush, not flushed), by number.  Start with *cursor = 0; false: no more.
 * Comparing these ranges is enough unless damage elsewhere is suspected.
 */
bool sim_oracle_open_next(const struct sim_oracle *o, size_t *cursor,
                          struct sim_oracle_range *range);

/* Calls fn for each maximal range that any request ever touched, by address, until it returns
 * non-zero; returns that value. */
int sim_oracle_touched(const struct sim_oracle *o,
                       int (*fn)(void *ctx, uint64_t start_sector, uint64_t sectors), void *ctx);

/* ---- judging; `sectors` consecutive sectors that all hold `version` ---- */

/* P1 and P3: may these sectors hold `version` after a crash now? */
int sim_oracle_check_served(const struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                            uint64_t version, struct sim_oracle_violation *v);

/*
 * P2 on versions[0..sectors), piece by piece: when a write shows in one sector of a piece, all
 * its other sectors there hold it or something that can be newer; and two writes that share
 * sectors of a piece have the same order in all of them.  Cost: linear for uniform pieces.
 */
int sim_oracle_check_pieces(const struct sim_oracle *o, uint64_t start_sector,
                            const uint64_t *versions, size_t sectors,
                            struct sim_oracle_violation *v);

/* P5: may the detached backing device hold `version` here, after everything was written back? */
int sim_oracle_check_final(const struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                           uint64_t version, struct sim_oracle_violation *v);

/*
 * P4: begin, feed the content of all touched sectors in any order, end.  The order does not
 * matter, and a sector that is not fed is not judged.  The verdict comes at the end.
 */
void sim_oracle_backing_begin(struct sim_oracle *o);
void sim_oracle_backing_feed(struct sim_oracle *o, uint64_t start_sector, uint64_t sectors,
                             uint64_t version);
int sim_oracle_backing_end(struct sim_oracle *o, struct sim_oracle_violation *v);

/*
 * P4 for a device of which some sectors may hold one of several versions, each independent of the
 * others: is every combination explained? Between begin and this end, feed the sectors that are
 * certain as above, and the others one by one with all their versions. Linear cost, no combination
 * is enumerated. UNDECIDED: zeroes of several requests leave gaps in the moments, and whether they
 * add up is not worked out.
 */
void sim_oracle_backing_any(struct sim_oracle *o, uint64_t sector, const uint64_t *versions,
                            size_t count);
int sim_oracle_backing_any_end(struct sim_oracle *o, struct sim_oracle_violation *v);

/* Changes when an acknowledgement (of a FLUSH, of a FUA write) or a crash may change P4. */
uint64_t sim_oracle_backing_age(const struct sim_oracle *o);

/* One sentence about a violation; always terminated.  Returns buf. */
const char *sim_oracle_describe(const struct sim_oracle_violation *v, char *buf, size_t buf_bytes);

void sim_oracle_stats(const struct sim_oracle *o, struct sim_oracle_stats *stats);

#endif
