/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairs of a rig, and a judge of what is served afterwards. */
#include "mend_rig.h"

#include <stdio.h>

#include "recipes.h"

static void name(struct mend_named *n, bool known, uint64_t addr, uint64_t len)
{
    if (!known || n->count == MEND_NAMED_MAX) {
        n->all = true;
        return;
    }
    n->at[n->count].addr = addr;
    n->at[n->count].len = len;
    n->count++;
}

static bool in(const struct mend_named *n, uint64_t addr)
{
    if (n->all)
        return true;
    for (uint32_t i = 0; i < n->count; i++)
        if (addr >= n->at[i].addr && addr - n->at[i].addr < n->at[i].len)
            return true;
    return false;
}

bool mend_within(const struct mend_named *inner, const struct mend_named *outer)
{
    if (outer->all)
        return true;
    if (inner->all)
        return false;
    for (uint32_t i = 0; i < inner->count; i++)
        for (uint64_t at = 0; at < inner->at[i].len; at += 512)
            if (!in(outer, inner->at[i].addr + at))
                return false;
    return true;
}

static enum cbd_repair_answer decide(void *arg, const struct cbd_repair_offer *offer)
{
    struct mend *m = arg;
    const struct cbd_check_finding *f = offer->finding;
    bool fix = m->policy == MEND_PREEN ? offer->preen : m->policy != MEND_NONE;

    assert_non_null(offer->what);
    assert_true(!offer->preen || (offer->possible && !offer->loses && f->problem->preen));
    m->offers++;
    m->wanted_found = m->wanted_found || f->problem->code == m->want;
    if (f->problem->severity == CBD_CHECK_ERROR || f->range_known)
        name(&m->reported, f->range_known, f->addr_bytes, f->len_bytes);
    /* An unfinished write was never acknowledged; the rig says it was. */
    if (f->problem->severity == CBD_CHECK_INFO && f->range_known)
        name(&m->lost, true, f->addr_bytes, f->len_bytes);
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

void mend_run(struct rig *r, enum mend_policy policy, struct mend *m)
{
    struct cbd_disk *disks[CBD_BACKENDS] = {&r->disk[0]->disk};
    struct cbd_repair_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA,
        .allow_data_loss = policy == MEND_LOSES,
        .decide = decide,
        .disks = recipe_of_disk(m->want) ? disks : NULL,
    };

    m->rig = r;
    m->policy = policy;
    m->lost.count = m->reported.count = m->offers = m->accepted = 0;
    m->lost.all = m->reported.all = m->wanted_found = m->gave_up_backend = false;
    /* Another process than the one that died: an msync of its own stores is none of that one's. */
    r->pmem->thread = r->config.model == SIM_PAGE;
    m->error = cbd_repair_run(&r->pmem->pm, &r->env.env, &options, m, &m->result);
    r->pmem->thread = 0;
}

static bool older(const struct rig *r, uint64_t got)
{
    return got == SIM_VERSION_ZERO || got <= r->version;
}

static bool read_sector(struct rig *r, const struct mend *named, uint64_t s, char *why,
                        size_t why_bytes)
{
    uint8_t buf[512];
    int error = cbd_read(r->backend[0], 0, s * 512, buf, sizeof(buf));
    uint64_t got;

    if (error != 0) {
        if (in(&named->reported, s * 512))
            return true;
        snprintf(why, why_bytes, "sector %u: error %d in a range that was not reported",
                 (unsigned)s, error);
        return false;
    }
    got = sim_sector_decode(buf, s);
    if (got == r->want[0][s] || (in(&named->lost, s * 512) && older(r, got)))
        return true;
    snprintf(why, why_bytes, "sector %u: got version %llu, want %llu", (unsigned)s,
             (unsigned long long)got, (unsigned long long)r->want[0][s]);
    return false;
}

/* 4 KiB at once, and sector by sector what is not simply right. */
static void read_block(struct rig *r, const struct mend *named, uint64_t first, char *why,
                       size_t why_bytes)
{
    uint8_t buf[8 * 512];
    bool right = cbd_read(r->backend[0], 0, first * 512, buf, sizeof(buf)) == 0;

    for (uint64_t i = 0; i < 8 && right; i++)
        right = sim_sector_decode(buf + i * 512, first + i) == r->want[0][first + i];
    for (uint64_t i = 0; i < 8 && !right; i++)
        if (!read_sector(r, named, first + i, why, why_bytes))
            return;
}

int mend_serve(struct rig *r, const struct mend *named, char *why, size_t why_bytes)
{
    int error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);

    why[0] = '\0';
    if (error == 0)
        error =
            cbd_backend_attach(r->cache, 0, &r->disk[0]->disk, &r->config.attach, &r->backend[0]);
    else
        r->cache = NULL;
    for (uint64_t s = 0; error == 0 && why[0] == '\0' && s < r->config.disk_bytes / 512; s += 8)
        read_block(r, named, s, why, why_bytes);
    if (error != 0)
        r->backend[0] = NULL;
    rig_abandon(r);
    return error;
}
