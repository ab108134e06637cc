/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of strategies; internal to sim/canaries/hunt_strategies.c and sim/canaries/hunt_try.c. */
#ifndef SIM_HUNT_STRATEGIES_IMPL_H
#define SIM_HUNT_STRATEGIES_IMPL_H

#include "admin.h"
#include "damage.h"
#include "hunt.h"
#include "mend.h"
#include "world.h"

enum hunt_kind {
    HUNT_CONTRACT, /* all scenes */
    HUNT_CAMPAIGN, /* generated requests with power cuts */
    HUNT_DAMAGE,
    HUNT_ADMIN,
    HUNT_MEND,
};

struct hunt_strategy {
    const char *name;
    const char *what;
    enum hunt_kind kind;
    /* of a campaign */
    uint64_t requests, crashes;
    uint32_t subsets, restarts;
    uint32_t seeds; /* one campaign for each; 0: one */
    uint64_t space_bytes, trim_max_bytes;
    uint32_t len_max_bytes;
    uint64_t edge_bytes;
    bool no_flush;
    struct sim_config config;
    struct sim_damage_config damage;
    struct sim_admin_config admin;
    struct sim_mend_config mend; /* of all models and both durabilities, `seeds` in all */
};

/* sim_hunt_strategies() of them. */
extern const struct hunt_strategy hunt_strategies[];

#endif
