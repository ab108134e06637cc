/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to offers, and ranges. */
#include "mender.h"

#include <string.h>

static void name(struct sim_named *n, bool known, uint64_t addr, uint64_t len)
{
    if (!known || n->count == SIM_NAMED_MAX) {
        n->all = true;
        return;
    }
    n->at[n->count].addr = addr;
    n->at[n->count].len = len;
    n->count++;
}

bool sim_named_has(const struct sim_named *n, uint64_t addr_bytes)
{
    if (n->all)
        return true;
    for (uint32_t i = 0; i < n->count; i++)
        if (addr_bytes >= n->at[i].addr && addr_bytes - n->at[i].addr < n->at[i].len)
            return true;
    return false;
}

/* All of `inner` lies in `outer`. */
static bool within(const struct sim_named *inner, const struct sim_named *outer)
{
    if (outer->all)
        return true;
    if (inner->all)
        return false;
    for (uint32_t i = 0; i < inner->count; i++)
        for (uint64_t at = 0; at < inner->at[i].len; at += 512)
            if (!sim_named_has(outer, inner->at[i].addr + at))
                return false;
    return true;
}

bool sim_mender_names_no_more(const struct sim_mender *again, const struct sim_mender *whole)
{
    return whole->lost.all || whole->lost.count != 0 || within(&again->lost, &whole->lost);
}

static enum cbd_repair_answer decide(void *arg, const struct cbd_repair_offer *offer)
{
    struct sim_mender *m = arg;
    const struct cbd_check_finding *f = offer->finding;
    bool fix = m->policy == SIM_MEND_PREEN ? offer->preen : m->policy != SIM_MEND_NONE;

    m->odd_offer = m->odd_offer || offer->what == NULL ||
                   (offer->preen && (!offer->possible || offer->loses || !f->problem->preen));
    m->offers++;
    m->wanted_found = m->wanted_found || f->problem->code == m->want;
    if (f->problem->severity == CBD_CHECK_ERROR || f->range_known)
        name(&m->reported, f->range_known, f->addr_bytes, f->len_bytes);
    if (f->problem->severity == CBD_CHECK_INFO && f->range_known)
        name(&m->unfinished, true, f->addr_bytes, f->len_bytes);
    if (!fix || !offer->possible) {
        /* Lost, and nobody knows where: what is served is older, and its reader is told so. */
        if (f->problem->code == CBD_PROBLEM_RECORD_DAMAGED && f->dirty && !f->range_known)
            m->lost.all = true;
        if (f->problem->code == CBD_PROBLEM_SUSPECT_DETACHED)
            name(&m->lost, f->range_known, f->addr_bytes, f->len_bytes);
        return CBD_REPAIR_SKIP;
    }
    if (offer->loses)
        name(&m->lost, offer->range_known, offer->addr_bytes, offer->len_bytes);
    if (f->problem->code == CBD_PROBLEM_BACKEND_LOST && f->backend == 0)
        m->gave_up_backend = true;
    m->accepted++;
    return CBD_REPAIR_FIX;
}

static int before(void *arg, uint64_t off_bytes, uint64_t len_bytes)
{
    struct sim_mender *m = arg;

    m->told_off = off_bytes;
    m->told_len = len_bytes;
    return 0;
}

void sim_mender_run(struct sim_mender *m, struct cbd_pmem *pm, struct cbd_env *env,
                    struct cbd_disk *const *disks, enum sim_mend_policy policy)
{
    struct cbd_repair_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
        .allow_data_loss = policy == SIM_MEND_LOSES,
        .decide = decide,
        .before = before,
        .disks = disks,
    };

    m->policy = policy;
    m->lost.count = m->unfinished.count = m->reported.count = m->offers = m->accepted = 0;
    m->lost.all = m->unfinished.all = m->reported.all = false;
    m->wanted_found = m->gave_up_backend = m->odd_offer = false;
    m->told_off = m->told_len = 0;
    m->error = cbd_repair_run(pm, env, &options, m, &m->result);
}
