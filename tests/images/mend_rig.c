/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairs of a rig, and a judge of what is served afterwards. */
#include "mend_rig.h"

#include <stdio.h>

#include "recipes.h"

void mend_run(struct rig *r, enum sim_mend_policy policy, struct sim_mender *m)
{
    struct cbd_disk *disks[CBD_BACKENDS] = {&r->disk[0]->disk};

    /* Another process than the one that died: an msync of its own stores is none of that one's. */
    r->pmem->thread = r->config.model == SIM_PAGE;
    sim_mender_run(m, &r->pmem->pm, &r->env.env, recipe_of_disk(m->want) ? disks : NULL, policy);
    r->pmem->thread = 0;
    assert_false(m->odd_offer);
}

/* The rig says of an unfinished write that it was acknowledged. */
static bool may_be_older(const struct sim_mender *named, uint64_t addr)
{
    return sim_named_has(&named->lost, addr) || sim_named_has(&named->unfinished, addr);
}

static bool older(const struct rig *r, uint64_t got)
{
    return got == SIM_VERSION_ZERO || got <= r->version;
}

static bool read_sector(struct rig *r, const struct sim_mender *named, uint64_t s, char *why,
                        size_t why_bytes)
{
    uint8_t buf[512];
    int error = cbd_read(r->backend[0], 0, s * 512, buf, sizeof(buf));
    uint64_t got;

    if (error != 0) {
        if (sim_named_has(&named->reported, s * 512))
            return true;
        snprintf(why, why_bytes, "sector %u: error %d in a range that was not reported",
                 (unsigned)s, error);
        return false;
    }
    got = sim_sector_decode(buf, s);
    if (got == r->want[0][s] || (may_be_older(named, s * 512) && older(r, got)))
        return true;
    snprintf(why, why_bytes, "sector %u: got version %llu, want %llu", (unsigned)s,
             (unsigned long long)got, (unsigned long long)r->want[0][s]);
    return false;
}

/* 4 KiB at once, and sector by sector what is not simply right. */
static void read_block(struct rig *r, const struct sim_mender *named, uint64_t first, char *why,
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

int mend_serve(struct rig *r, const struct sim_mender *named, char *why, size_t why_bytes)
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
