/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judging one crash state: takes the power away from a world at this instant, lets the core
 * recover, asks core/check and the oracles, and puts everything back as it was.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "seen.h"
#include "survive.h"
#include "world.h"

enum sim_failure {
    SIM_FAILURE_NONE,
    SIM_FAILURE_REFUSED,  /* the core did not open or attach after the crash */
    SIM_FAILURE_CHECK,    /* core/check found an error */
    SIM_FAILURE_READ,     /* a read through the recovered cache failed */
    SIM_FAILURE_SERVED,   /* P1, P2 or P3 */
    SIM_FAILURE_BACKING,  /* P4 */
    SIM_FAILURE_UNSTABLE, /* a second recovery showed something else than the first (P3, P6) */
    SIM_FAILURE_FINAL,    /* P5 */
    SIM_FAILURE_DRAIN,    /* write-back or detach failed after recovery */
    SIM_FAILURE_STORES,   /* one line stored cached and non-temporally without a fence */
    SIM_FAILURE_RUN,      /* the run itself went wrong, without a crash */
    SIM_FAILURE_COUNT,
};

/* What happens to one state; a function of seed, step and subset: see sim_plan_state(). */
struct sim_state_plan {
    struct sim_crash crash;
    const struct sim_survive *survive; /* instead of `crash`, unless NULL */
    bool kill;          /* the process dies first; power fails after it has recovered */
    bool nested;        /* power fails once more, inside recovery */
    uint64_t nested_at; /* at this step of it; beyond its end: right after it */
    struct sim_crash nested_crash;
    bool lost_copy; /* one of two equal copies of some table entry is destroyed with the cut */
    uint64_t lost_draw;
    bool twice;   /* power fails once more after recovery and reads */
    bool backing; /* judge the bare disks first */
    bool faulty;  /* a device has a fault while the process recovers */
    enum sim_fault fault;
    uint64_t fault_draw;
    bool written;         /* write back, detach, compare */
    bool full;            /* read every sector ever touched; then write back, detach, compare */
    enum sim_later later; /* the recovered cache works, and the power fails inside this */
    uint64_t later_at;    /* at this step of it; beyond its end: when nothing is left to do */
    struct sim_crash later_crash;
};

struct sim_verdict {
    enum sim_failure failure;
    struct sim_oracle_violation violation;
    uint32_t backend;
    int error;
    const char *where;
    struct cbd_report report; /* what the core said first, if it did */
    uint32_t problem;         /* code of the finding of core/check */
    uint64_t problem_off;
    char stuck[SIM_STUCK_BYTES]; /* who waits where, when nobody could go on */
};

/* Counts of what was judged. */
struct sim_judged {
    uint64_t states;       /* crash images that were recovered and compared */
    uint64_t nested;       /* of these with a second power cut inside recovery */
    uint64_t nested_at[4]; /* by store, flush, fence, disk completion */
    uint64_t killed, twice, full, backing, lost_copies;
    uint64_t faults, refused; /* recoveries with a fault; of these, refused because of it */
    uint64_t excused;         /* reads that failed by a fault */
    uint64_t damaged, lost;  /* states with damaged memory; reads of what it was reported to cost */
    uint64_t sectors;        /* compared */
    uint64_t recovery_steps; /* longest recovery */
    uint64_t suspects;       /* unfinished records that recovery discarded */
    uint64_t later[SIM_LATER_COUNT]; /* a second power cut inside write-back, reclaim of the */
    uint64_t later_at[SIM_LATER_COUNT][4]; /* recovered cache; as nested_at */
    uint64_t later_rest[SIM_LATER_COUNT];  /* it had ended before */
    uint64_t merged;                       /* not among `states`: the same had been judged before */
};

#define SIM_JUDGE_RANGES 16u

/* One line of the memory was damaged with the power cut, and what that explains. */
struct sim_damage {
    bool done;   /* something was damaged */
    bool strict; /* a copy of metadata: nothing may show */
    bool unread; /* a record that cannot be read */
    uint64_t off;
    /* The record that the line belongs to, or whose payload. */
    uint64_t record_off;
    uint32_t backend;
    uint64_t first, sectors;
    /* Ranges that a check reports as lost or suspect. */
    struct sim_damage_range {
        uint32_t backend;
        uint64_t first, sectors;
    } range[SIM_JUDGE_RANGES];
    uint32_t ranges;
};

struct sim_judge {
    struct sim_world *world;
    struct sim_process process; /* the one that recovers */
    struct sim_judged counts;
    struct sim_damage damage;
    /*
     * States that have been judged, or NULL. One that is there again is merged with it: same bytes
     * on all devices, same history, same plan. The devices must have been hashed from the start.
     */
    struct sim_seen *seen;
};

void sim_judge_init(struct sim_judge *j, struct sim_world *w);
void sim_judge_destroy(struct sim_judge *j);

/* The plan of subset `subset` of the cut before step `step`. */
void sim_plan_state(const struct sim_judge *j, uint64_t step, uint64_t subset,
                    uint64_t state_number, struct sim_state_plan *plan);

/* The world is as before when it returns. */
void sim_judge_state(struct sim_judge *j, const struct sim_state_plan *plan,
                     struct sim_verdict *verdict);

/* "P1 lost", ...: static. */
const char *sim_failure_name(enum sim_failure failure);

/* One or two sentences; returns buf. */
const char *sim_verdict_text(const struct sim_verdict *v, char *buf, size_t buf_bytes);

#endif
