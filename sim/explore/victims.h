/* SPDX-License-Identifier: BSD-2-Clause */
/* The records on a medium, for choosing what to damage. */
#ifndef SIM_VICTIMS_H
#define SIM_VICTIMS_H

#include "cbd/check.h"
#include "sim_pmem.h"

#define SIM_VICTIMS_MAX 4096u /* more are left out */
#define SIM_BEGUN_MAX 16u

struct sim_victim {
    struct cbd_check_record at;
    uint8_t type; /* CBD_M_RECORD_... */
    uint64_t addr, len;
    uint32_t payload_off;
    uint32_t durable; /* slots below were durable, it says */
    bool unproven;    /* no record behind it says so of it: damage there passes for a cut write */
};

struct sim_victims {
    const struct sim_pmem *pm;
    struct sim_victim record[SIM_VICTIMS_MAX];
    uint32_t count;
    struct {
        uint32_t segment, slot;
    } begun[SIM_BEGUN_MAX]; /* writes of which the payload is there, and no record */
    uint32_t begun_count;
};

/* Checks everything, and keeps what it sees. What the check returned. */
int sim_victims_list(struct sim_victims *v, struct sim_pmem *pm, struct cbd_env *env,
                     struct cbd_check_summary *summary);

/*
 * Where each write is durable when it returns, the payload of the next one proves those before it: of
 * the records of such segments none is unproven.
 */
void sim_victims_prove(struct sim_victims *v);

#endif
