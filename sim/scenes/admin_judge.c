/* SPDX-License-Identifier: BSD-2-Clause */
/* Judges what a crash of the administrative scenario has left: recovers and goes on. */
#include <string.h>

#include "admin_impl.h"
#include "cbd/check.h"
#include "rng.h"
#include "sim_base.h"

#define SPARE_NAME "spare"
/* Opening and attaching takes about this many steps: most second cuts fall into it. */
#define NESTED_STEPS 16u

struct finding {
    uint32_t code;
    uint64_t off;
    bool copies_must_agree;
    bool supers_may_differ;
};

static bool bad(struct admin *a, const char *what, int error)
{
    a->failure->what = what;
    a->failure->error = error;
    if (a->judge_env.errors > 0)
        a->failure->report = a->judge_env.first[0];
    return false;
}

static bool is_super_copy(uint32_t code)
{
    return code == CBD_PROBLEM_SUPER_COPY || code == CBD_PROBLEM_SUPER_DIFFERS;
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct finding *first = arg;
    uint32_t code = f->problem->code;
    bool wrong = f->problem->severity == CBD_CHECK_ERROR;

    if (is_super_copy(code) && first->supers_may_differ)
        wrong = false;
    if (first->copies_must_agree &&
        (code == CBD_PROBLEM_COPY_TORN || code == CBD_PROBLEM_COPY_OLDER))
        wrong = true;
    if (wrong && first->code == 0) {
        first->code = code;
        first->off = f->off_bytes;
    }
    return 0;
}

static bool check(struct admin *a, struct finding rule, const char *what)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS};
    struct cbd_check_summary summary;
    int error;

    sim_env_reset(&a->judge_env, 0);
    error = cbd_check_run(&a->pmem->pm, &a->judge_env.env, &options, on_finding, &rule, &summary);
    if (error == 0 && rule.code == 0)
        return true;
    a->failure->problem = rule.code;
    a->failure->problem_off = rule.off;
    return bad(a, what, error);
}

void sim_admin_power_cut(struct admin *a, const struct sim_crash *crash)
{
    sim_pmem_crash(a->pmem, crash);
    for (uint32_t i = 0; i < ADMIN_DISKS; i++) {
        struct sim_crash other = *crash;

        other.seed = sim_rng_mix(crash->seed, i + 1);
        other.k = sim_rng_mix(crash->k, i + 1);
        sim_disk_crash(a->disk[i], &other);
    }
}

/* What is on the device now: the expectations of the old cache or of the new one; NULL: none. */
const struct admin_slot *sim_admin_which(struct admin *a, int *error)
{
    struct cbd_super super;
    uint32_t bad_copies;

    *error = cbd_super_read(&a->pmem->pm, &a->judge_env.env, &super, &bad_copies);
    if (*error != 0)
        return NULL;
    return super.salt == ADMIN_OLD_SALT ? a->old : a->slot;
}

/* The device was smaller when the old cache was made, and may be cut to that size again. */
static bool old_cache_at_old_size(struct admin *a)
{
    uint64_t size_bytes = a->pmem->pm.size_bytes;
    int error;
    const struct admin_slot *found;

    a->pmem->pm.size_bytes = a->old_bytes;
    found = sim_admin_which(a, &error);
    a->pmem->pm.size_bytes = size_bytes;
    return found == a->old;
}

static bool compare(struct admin *a, const struct admin_slot *s, uint32_t backend, bool disk)
{
    for (uint32_t i = 0; i < ADMIN_SECTORS; i++) {
        uint64_t got = disk ? sim_disk_peek(a->disk[s->disk], i)
                            : sim_sector_decode(a->buf + i * SIM_SECTOR_BYTES, i);

        if (got == s->version[i] || (i - s->open_first < s->open_sectors && got == s->open_version))
            continue;
        a->failure->backend = backend;
        a->failure->sector = i;
        a->failure->got = got;
        a->failure->want = s->version[i];
        return bad(a, disk ? "the detached disk is wrong" : "a sector reads wrong", 0);
    }
    return true;
}

static bool answer_fits(enum admin_answer want, bool got)
{
    return want == ADMIN_EITHER || (want == ADMIN_YES) == got;
}

static bool judge_backend(struct admin *a, const struct admin_slot *s, uint32_t n)
{
    struct cbd_attach_options options = {.no_fill = true};
    struct cbd_backend_info info;
    uint32_t id;
    int error = cbd_backend_lookup(a->found, sim_admin_names[n], &id);

    a->failure->backend = n;
    if (!answer_fits(s->present, error == 0))
        return bad(a, error == 0 ? "a backend that must be gone is there" : "a backend is gone", 0);
    if (error != 0)
        return true;
    if (!cbd_backend_info(a->found, id, &info) || info.segments != ADMIN_SEGMENTS)
        return bad(a, "a backend has another share", 0);
    if (!a->went_on && !answer_fits(s->unclean, info.was_attached))
        return bad(a, "a backend is wrongly clean or unclean", 0);
    error = cbd_backend_attach(a->found, id, &a->disk[s->disk]->disk, &options, &a->attached[n]);
    if (error != 0)
        return bad(a, "attach refused", error);
    error = cbd_read(a->attached[n], 0, 0, a->buf, ADMIN_DISK_BYTES);
    if (error != 0)
        return bad(a, "a read failed", error);
    return compare(a, s, n, false);
}

/* Opens and attaches. *found NULL: there is no cache, and none has to be. */
static bool recover(struct admin *a, const struct admin_slot **found)
{
    int error;

    sim_env_reset(&a->judge_env, 0);
    a->pmem->thread = 0;
    a->found = NULL;
    memset(a->attached, 0, sizeof(a->attached));
    *found = sim_admin_which(a, &error);
    if (*found == NULL) {
        if (a->formatting && (error == CBD_E_NOTCBD || error == CBD_E_CORRUPT))
            return true;
        return bad(a, "no superblock", error);
    }
    if (!a->formatting && (*found == a->old || old_cache_at_old_size(a)))
        return bad(a, "the old cache is back", 0);
    error = cbd_cache_open(&a->pmem->pm, &a->judge_env.env, 0, &a->found);
    if (error != 0)
        return bad(a, "open refused", error);
    for (uint32_t n = 0; n < ADMIN_SLOTS; n++)
        if (!judge_backend(a, &(*found)[n], n))
            return false;
    return true;
}

static bool format_again(struct admin *a)
{
    struct cbd_format_options options = sim_admin_format_options(a, ADMIN_NEW_SALT);
    struct cbd_geometry geo;
    int error = cbd_format(&a->pmem->pm, &a->judge_env.env, &options, &geo);

    if (error == 0)
        error = cbd_cache_open(&a->pmem->pm, &a->judge_env.env, 0, &a->found);
    return error == 0 || bad(a, "the next format failed", error);
}

/* Adds one more backend, and removes what an earlier recovery has added. */
static bool next_calls(struct admin *a)
{
    struct cbd_backend_options options = sim_admin_options(0);
    uint32_t id;
    int error = 0;

    options.name = SPARE_NAME;
    options.cache_bytes = (1 + CBD_SHARE_RESERVE) * ADMIN_SEGMENT_BYTES;
    if (cbd_backend_lookup(a->found, SPARE_NAME, &id) == 0)
        error = cbd_backend_remove(a->found, id);
    if (error != 0)
        return bad(a, "the next remove failed", error);
    error = cbd_backend_add(a->found, &options, &id);
    return error == 0 || bad(a, "the next add failed", error);
}

/* Goes on as a user would: one more backend, write-back, detach. */
static bool go_on(struct admin *a, const struct admin_slot *slots)
{
    if (slots == NULL && !format_again(a))
        return false;
    if (!next_calls(a))
        return false;
    for (uint32_t n = 0; n < ADMIN_SLOTS; n++) {
        int error;

        if (a->attached[n] == NULL)
            continue;
        error = cbd_backend_detach(a->attached[n]);
        if (error != 0)
            return bad(a, "detach failed", error);
        if (!compare(a, &slots[n], n, true))
            return false;
    }
    return true;
}

/* All is durable, all copies agree, and what was called last is there. */
static bool judge_end(struct admin *a)
{
    static const struct sim_crash nothing = {.kind = SIM_CRASH_NONE};
    uint32_t id;
    int error;

    sim_admin_power_cut(a, &nothing);
    if (!check(a, (struct finding){.copies_must_agree = true}, "check at the end"))
        return false;
    error = cbd_cache_open(&a->pmem->pm, &a->judge_env.env, CBD_OPEN_READONLY, &a->found);
    if (error != 0)
        return bad(a, "the last open refused", error);
    error = cbd_backend_lookup(a->found, SPARE_NAME, &id);
    return error == 0 || bad(a, "the added backend is gone", error);
}

static void nested_pm(void *arg, const struct sim_pm_event *ev)
{
    struct admin *a = arg;

    (void)ev;
    if (a->nested_left-- == 0)
        longjmp(a->nested_out, 1);
}

static void nested_disk(void *arg, const struct sim_disk_event *ev)
{
    struct admin *a = arg;

    (void)ev;
    if (a->nested_left-- == 0)
        longjmp(a->nested_out, 1);
}

/* Power fails again while all this is going on, or right after. */
static bool recover_cut(struct admin *a, uint64_t draw)
{
    struct sim_crash crash = sim_crash_subset(sim_rng_mix(draw, 1) % 16, sim_rng_mix(draw, 2));
    const struct admin_slot *slots;
    volatile bool ok = true;

    a->result->nested++;
    a->went_on = true;
    /* Every fourth one later: in the calls that follow. */
    a->nested_left = draw % (draw >> 60 < 12 ? NESTED_STEPS : 16 * NESTED_STEPS);
    if (setjmp(a->nested_out) == 0) {
        sim_admin_set_hooks(a, nested_pm, nested_disk);
        ok = recover(a, &slots) && go_on(a, slots);
    }
    sim_admin_set_hooks(a, NULL, NULL);
    sim_admin_power_cut(a, &crash);
    return ok;
}

static bool check_crashed(struct admin *a, const char *what)
{
    struct finding rule = {.supers_may_differ = a->formatting};
    int error;

    sim_env_reset(&a->judge_env, 0);
    return sim_admin_which(a, &error) == NULL || check(a, rule, what);
}

bool sim_admin_judge_crashed(struct admin *a, bool lost, uint64_t nested_draw)
{
    const struct admin_slot *slots;

    a->went_on = false;
    if (!lost && !check_crashed(a, "check after the crash"))
        return false;
    if (nested_draw != 0 && (!recover_cut(a, nested_draw) ||
                             (!lost && !check_crashed(a, "check after the second crash"))))
        return false;
    return recover(a, &slots) && go_on(a, slots) && judge_end(a);
}
