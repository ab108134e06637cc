/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: the passes in their order, the superblocks, and the table of problems.
 *
 *   superblocks -> tables -> records of each live segment (headers, data) -> orders -> identity
 *
 * Each pass needs what the ones before it found valid and nothing else. No pass stores.
 */
#include <string.h>

#include "check_pass.h"

enum { PREEN_NO, PREEN_YES };

static const struct cbd_problem problems[] = {
#define X(code, name, severity, preen, what, sentence, repair, cost)                               \
    {code, #name, CBD_CHECK_##severity, PREEN_##preen, what, sentence, repair, cost},
#include "cbd/problems.def"
#undef X
};

#define PROBLEM_COUNT (sizeof(problems) / sizeof(problems[0]))

/* Rows in the table, so that a code finds its row without a search. */
enum problem_row {
#define X(code, name, severity, preen, what, sentence, repair, cost) ROW_##name,
#include "cbd/problems.def"
#undef X
};

const struct cbd_problem *cbd_problem_find(uint32_t code)
{
    switch (code) {
#define X(code, name, severity, preen, what, sentence, repair, cost)                               \
    case code:                                                                                     \
        return &problems[ROW_##name];
#include "cbd/problems.def"
#undef X
    default:
        return NULL;
    }
}

const struct cbd_problem *cbd_problem_row(uint32_t n)
{
    return n < PROBLEM_COUNT ? &problems[n] : NULL;
}

static const struct cbd_check_pass passes[] = {
    {"tables", "superblocks, both copies of every table entry, and what entries say of each other",
     0},
    {"records", "every record of every live segment, by the scan that recovery uses",
     CBD_CHECK_SCAN},
    {"headers", "every live record against its payload header", CBD_CHECK_SCAN | CBD_CHECK_HEADERS},
    {"orders", "of two records that overlap one is newer", CBD_CHECK_SCAN | CBD_CHECK_ORDERS},
    {"data", "data of every live record against its checksums",
     CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_DATA},
    {"identity", "backing devices against what the cache knows of them, as far as they are given",
     CBD_CHECK_SCAN},
};

const struct cbd_check_pass *cbd_check_pass_row(uint32_t n)
{
    return n < sizeof(passes) / sizeof(passes[0]) ? &passes[n] : NULL;
}

struct cbd_check_finding cbd_check_finding(enum cbd_problem_code code)
{
    const struct cbd_problem *problem = cbd_problem_find((uint32_t)code);
    struct cbd_check_finding f = {
        .problem = problem,
        .what = problem->what,
        .copy = CBD_CHECK_NONE,
        .segment = CBD_CHECK_NONE,
        .slot = CBD_CHECK_NONE,
        .backend = CBD_CHECK_NONE,
        .off_bytes = CBD_CHECK_NOWHERE,
    };

    return f;
}

int cbd_check_report(struct cbd_check *k, const struct cbd_check_finding *finding)
{
    if (finding->problem->severity == CBD_CHECK_ERROR)
        k->out->errors++;
    else
        k->out->infos++;
    if (finding->segment != CBD_CHECK_NONE && finding->slot == CBD_CHECK_NONE &&
        finding->problem->code < 3000)
        k->entries[finding->segment].problem = (uint16_t)finding->problem->code;
    return k->found != NULL ? k->found(k->arg, finding) : 0;
}

struct super_copy {
    int error;
    uint64_t off;
    struct cbd_m_super m;
    struct cbd_super super;
};

static void read_super(struct cbd_pmem *pm, uint64_t off, uint32_t copy, struct super_copy *s)
{
    s->off = off;
    s->error = CBD_E_NOTCBD;
    if (off > pm->size_bytes || pm->size_bytes - off < CBD_PAGE_BYTES)
        return;
    s->error = pm->ops->read(pm, off, &s->m, sizeof(s->m));
    if (s->error == 0)
        s->error = cbd_super_decode(&s->m, copy, pm->size_bytes, &s->super);
}

/* What to say when no copy is valid: the most telling error, as cbd_super_read() has it. */
static int no_super(struct cbd_check *k, const struct super_copy s[CBD_SUPER_COPIES])
{
    int error = CBD_E_NOTCBD;

    for (uint32_t i = 0; i < CBD_SUPER_COPIES; i++)
        if (s[i].error == CBD_E_VERSION || error == CBD_E_NOTCBD)
            error = s[i].error;
    if (error != CBD_E_NOTCBD) {
        struct cbd_check_finding f = cbd_check_finding(
            error == CBD_E_VERSION ? CBD_PROBLEM_SUPER_FEATURE : CBD_PROBLEM_SUPER_NONE);
        int stop = cbd_check_report(k, &f);

        if (stop != 0)
            return stop;
    }
    return error;
}

/* Two copies say the same but for their number and the checksum over it. */
static bool super_equal(const struct cbd_m_super *a, const struct cbd_m_super *b)
{
    struct cbd_m_super c = *b;

    c.copy = a->copy;
    c.crc = a->crc;
    return memcmp(a, &c, sizeof(c)) == 0;
}

static int super_findings(struct cbd_check *k, const struct super_copy s[CBD_SUPER_COPIES],
                          uint32_t first)
{
    const struct cbd_super *super = &k->cache.super;
    uint64_t usable = k->cache.pm->size_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    struct cbd_check_finding f;
    int stop = 0;

    for (uint32_t i = 0; i < CBD_SUPER_COPIES && stop == 0; i++) {
        if ((s[i].error == 0 && super_equal(&s[first].m, &s[i].m)) ||
            (CBD_CANARY(CHECK_ONE_SUPERBLOCK) && i != first))
            continue;
        f = cbd_check_finding(s[i].error == 0 ? CBD_PROBLEM_SUPER_DIFFERS : CBD_PROBLEM_SUPER_COPY);
        f.copy = i;
        f.off_bytes = s[i].off;
        stop = cbd_check_report(k, &f);
    }
    if (stop == 0 && usable > super->geo.super2_off + CBD_PAGE_BYTES) {
        f = cbd_check_finding(CBD_PROBLEM_SUPER_DEVICE_LARGER);
        f.got = k->cache.pm->size_bytes;
        f.limit = super->geo.device_bytes;
        stop = cbd_check_report(k, &f);
    }
    if (stop == 0 && (super->incompat & CBD_INCOMPAT_METADATA_ONLY) != 0) {
        f = cbd_check_finding(CBD_PROBLEM_SUPER_NO_DATA);
        stop = cbd_check_report(k, &f);
    }
    if (stop == 0 && (super->ro_compat & ~CBD_RO_COMPAT_KNOWN) != 0) {
        f = cbd_check_finding(CBD_PROBLEM_SUPER_RO_FEATURE);
        f.got = super->ro_compat;
        f.limit = CBD_RO_COMPAT_KNOWN;
        stop = cbd_check_report(k, &f);
    }
    return stop;
}

static int check_super(struct cbd_check *k)
{
    struct cbd_pmem *pm = k->cache.pm;
    struct super_copy s[CBD_SUPER_COPIES];
    uint64_t end = pm->size_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    uint32_t first = 0;

    memset(s, 0, sizeof(s));
    read_super(pm, CBD_SUPER0_OFF, 0, &s[0]);
    read_super(pm, CBD_SUPER1_OFF, 1, &s[1]);
    while (first < 2 && s[first].error != 0)
        first++;
    /* A device that has grown keeps its last copy where the old end was. */
    if (first < 2)
        end = s[first].super.geo.super2_off + CBD_PAGE_BYTES;
    read_super(pm, end >= CBD_PAGE_BYTES ? end - CBD_PAGE_BYTES : UINT64_MAX, 2, &s[2]);
    if (s[first].error != 0)
        return no_super(k, s);
    k->super_copy = first;
    k->cache.super = s[first].super;
    k->cache.seed = cbd_seed_cache(k->cache.super.uuid, k->cache.super.salt);
    k->cache.block_seed = cbd_seed_place(k->cache.seed, CBD_SEED_BLOCK, 0, 0);
    k->out->super = k->cache.super;
    k->out->super_valid = true;
    return super_findings(k, s, first);
}

static int allocate(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    uint32_t count = k->cache.super.geo.segment_count;

    k->cache.configs = env->ops->alloc(env, CBD_BACKENDS * sizeof(*k->cache.configs));
    k->cache.states = env->ops->alloc(env, CBD_BACKENDS * sizeof(*k->cache.states));
    k->cache.segments = env->ops->alloc(env, count * sizeof(*k->cache.segments));
    k->entries = env->ops->alloc(env, count * sizeof(*k->entries));
    if (k->cache.configs == NULL || k->cache.states == NULL || k->cache.segments == NULL ||
        k->entries == NULL)
        return CBD_E_NOMEM;
    memset(k->cache.configs, 0, CBD_BACKENDS * sizeof(*k->cache.configs));
    memset(k->cache.states, 0, CBD_BACKENDS * sizeof(*k->cache.states));
    memset(k->cache.segments, 0, count * sizeof(*k->cache.segments));
    memset(k->entries, 0, count * sizeof(*k->entries));
    return 0;
}

void cbd_check_destroy(struct cbd_check *k)
{
    struct cbd_env *env = k->cache.env;
    uint32_t count = k->cache.super.geo.segment_count;

    if (k->cache.configs != NULL)
        env->ops->free(env, k->cache.configs, CBD_BACKENDS * sizeof(*k->cache.configs));
    if (k->cache.states != NULL)
        env->ops->free(env, k->cache.states, CBD_BACKENDS * sizeof(*k->cache.states));
    if (k->cache.segments != NULL)
        env->ops->free(env, k->cache.segments, count * sizeof(*k->cache.segments));
    if (k->entries != NULL)
        env->ops->free(env, k->entries, count * sizeof(*k->entries));
    cbd_check_orders_free(k);
    env->ops->free(env, k, sizeof(*k));
}

/* NULL: no memory. */
struct cbd_check *cbd_check_create(struct cbd_pmem *pm, struct cbd_env *env,
                                   const struct cbd_check_options *options,
                                   struct cbd_check_summary *out)
{
    struct cbd_check *k = env->ops->alloc(env, sizeof(*k));

    memset(out, 0, sizeof(*out));
    if (k == NULL)
        return NULL;
    memset(k, 0, sizeof(*k));
    k->cache.pm = pm;
    k->cache.env = env;
    k->cache.readonly = true;
    if (options != NULL)
        k->options = *options;
    else
        k->options.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS;
    k->out = out;
    for (uint32_t i = 0; i < CBD_BACKENDS; i++)
        k->dirty_order_min[i] = UINT64_MAX;
    return k;
}

int cbd_check_passes(struct cbd_check *k)
{
    int error = check_super(k);

    if (error == 0)
        error = allocate(k);
    if (error == 0)
        error = cbd_check_tables(k);
    if (error == 0 && (k->options.flags & CBD_CHECK_SCAN) != 0)
        error = cbd_check_records(k);
    if (error == 0 && (k->options.flags & CBD_CHECK_ORDERS) != 0)
        error = cbd_check_orders(k);
    if (error == 0)
        error = cbd_check_disks(k);
    return error;
}

int cbd_check_run(struct cbd_pmem *pm, struct cbd_env *env, const struct cbd_check_options *options,
                  int (*found)(void *arg, const struct cbd_check_finding *finding), void *arg,
                  struct cbd_check_summary *out)
{
    struct cbd_check *k = cbd_check_create(pm, env, options, out);
    int error;

    if (k == NULL)
        return CBD_E_NOMEM;
    k->found = found;
    k->arg = arg;
    error = cbd_check_passes(k);
    cbd_check_destroy(k);
    return error;
}
