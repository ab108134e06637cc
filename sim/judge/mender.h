/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A caller of core/repair that answers by a policy, and keeps what its repair gives up and names. Of
 * backend 0 only: whoever uses it has no other.
 */
#ifndef SIM_MENDER_H
#define SIM_MENDER_H

#include "cbd/repair.h"

enum sim_mend_policy {
    SIM_MEND_NONE,  /* cbd-check -n */
    SIM_MEND_PREEN, /* -p */
    SIM_MEND_YES,   /* -y */
    SIM_MEND_LOSES, /* -y --allow-data-loss */
};

#define SIM_NAMED_MAX 4096u

/* Ranges of the backend, in bytes. */
struct sim_named {
    struct {
        uint64_t addr, len;
    } at[SIM_NAMED_MAX];
    uint32_t count;
    bool all; /* any range, or more than fit */
};

struct sim_mender {
    uint32_t want; /* the caller's: a problem's code, or 0 */

    enum sim_mend_policy policy;
    struct cbd_repair_result result;
    int error;
    struct sim_named lost;       /* was given up: may read as something older */
    struct sim_named unfinished; /* writes that nobody was told of, says the check */
    struct sim_named reported;   /* what any finding named: may be an error to its reader */
    uint32_t offers, accepted;
    bool wanted_found;
    bool gave_up_backend;
    bool odd_offer; /* one without a sentence, or harmless by its flags and not by its problem */
    uint64_t told_off, told_len; /* the last that `before` was called for (M6) */
};

/*
 * Repairs what the policy accepts. disks: as in struct cbd_check_options, or NULL. The result is in
 * *m, error too.
 */
void sim_mender_run(struct sim_mender *m, struct cbd_pmem *pm, struct cbd_env *env,
                    struct cbd_disk *const *disks, enum sim_mend_policy policy);

/*
 * Whether a repair that came behind a power cut names no more as lost than the one that was not cut.
 * Where that one gave something up it is no question: a void record over a clean one may be torn, and
 * passes for a dirty one (M7). What is served then tells.
 */
bool sim_mender_names_no_more(const struct sim_mender *again, const struct sim_mender *whole);

bool sim_named_has(const struct sim_named *n, uint64_t addr_bytes);

#endif
