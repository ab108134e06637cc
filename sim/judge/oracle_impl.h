/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracle's own state; internal to sim/judge/oracle*.c. */
#ifndef SIM_ORACLE_IMPL_H
#define SIM_ORACLE_IMPL_H

#include "oracle.h"
#include "oracle_hist.h"

struct oracle_flush {
    uint32_t event;
    uint32_t first; /* of this flush and all later ones, the one acknowledged first; 0: none */
};

/* Moments T with lo < T <= hi are excluded by `sector`, which was fed as zeroes. */
struct oracle_gap {
    uint64_t lo;
    uint64_t hi;
    uint64_t sector;
};

/* One end of the interval of moments that explain everything fed so far. */
struct oracle_bound {
    uint64_t moment;
    uint64_t sector;
    uint64_t got;
    uint64_t by;
};

/* A version that a sector may hold: it is explained by moments with after < T <= until. */
struct oracle_maybe {
    uint64_t sector;
    uint64_t version;
    uint64_t after;
    uint64_t until;
    uint64_t by;
};

struct oracle_backing {
    struct oracle_bound after; /* T > after.moment */
    struct oracle_bound until; /* T <= until.moment */
    struct oracle_gap *gaps;   /* between the intervals of a sector of zeroes */
    size_t gaps_n, gaps_cap;
    size_t gaps_limit;                   /* merge when gaps_n gets here */
    struct sim_oracle_violation foreign; /* promise NONE: none */
    struct oracle_maybe *maybe;          /* by sector, as they were fed */
    size_t maybe_n, maybe_cap;
    uint64_t age;
};

/* All that is known about one version of a group of sectors. */
struct oracle_cluster {
    uint32_t value;
    bool done;      /* has happened for sure */
    uint64_t end;   /* it was there at this time at the latest */
    uint64_t start; /* it was written after this time, or still there */
};

struct oracle_scratch {
    struct oracle_cluster *clusters;
    size_t clusters_n, clusters_cap;
    uint32_t *zeroes; /* requests of zeroes */
    size_t zeroes_n, zeroes_cap;
};

struct sim_oracle {
    struct hist hist;
    uint32_t atomic_sectors;
    uint32_t *open; /* requests that are not durable, by number */
    size_t open_n, open_cap;
    struct oracle_flush *flushes; /* by number */
    size_t flushes_n, flushes_cap;
    bool flushes_stale; /* `first` must be computed again */
    struct oracle_backing backing;
    struct oracle_scratch *scratch; /* meaningless between calls */
};

/* Fills *v unless it is NULL; returns SIM_ORACLE_VIOLATION. */
int oracle_report(struct sim_oracle_violation *v, enum sim_oracle_promise promise,
                  enum sim_oracle_reason reason, uint64_t sector, uint64_t got, uint64_t by);

/* The public form of a value: HIST_VALUE_ZERO becomes SIM_ORACLE_ZERO. */
static inline uint64_t oracle_version(uint32_t value)
{
    return value == HIST_VALUE_ZERO ? SIM_ORACLE_ZERO : value;
}

/* One name for one content. */
static inline uint64_t oracle_normal(const struct sim_oracle *o, uint64_t version)
{
    return version == SIM_ORACLE_INITIAL && o->hist.initial_is_zero ? SIM_ORACLE_ZERO : version;
}

#endif
