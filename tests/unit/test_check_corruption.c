/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=240 */
/*
 * Seeded damage of single bytes, lines and pages, wherever something is stored. A check calls
 * nothing clean that is served wrong; after a repair of everything, what is served is right, or was
 * named as given up, or fails where the check had named something.
 *
 * CBD_CORRUPTIONS: how many of each size for each base; CBD_CORRUPTION_SEED: other ones.
 */
#include <stdio.h>

#include "mend_rig.h"
#include "recipes.h"
#include "rng.h"

struct campaign {
    struct rig *rig;
    enum recipe_base base;
    struct sim_rng rng;
    uint64_t off, len;
    uint64_t states, damaged, repaired, left, failures;
};

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* Somewhere in a superblock, the tables, or an owned segment that was ever used. */
static uint64_t somewhere(struct campaign *c)
{
    struct rig *r = c->rig;
    uint64_t tables = 32 * 512 + 32 * 64 + 64 * r->geo.segment_count;
    uint32_t id;

    switch (sim_rng_below(&c->rng, 8)) {
    case 0:
        return (uint64_t[]){CBD_SUPER0_OFF, CBD_SUPER1_OFF,
                            r->geo.super2_off}[sim_rng_below(&c->rng, 3)] +
               sim_rng_below(&c->rng, 512);
    case 1:
        return r->geo.table_a_off + sim_rng_below(&c->rng, tables);
    case 2:
        return r->geo.table_b_off + sim_rng_below(&c->rng, tables);
    default:
        do {
            id = (uint32_t)sim_rng_below(&c->rng, r->geo.segment_count);
        } while (rig_entry(r, id).status == CBD_M_SEGMENT_FREE);
        if (sim_rng_below(&c->rng, 2) == 0)
            return rig_slot_off(r, id, 0) - sim_rng_below(&c->rng, 24 * 64);
        return cbd_segment_off(&r->geo, id) + sim_rng_below(&c->rng, 65536);
    }
}

static void damage(struct campaign *c, uint64_t len)
{
    uint8_t bytes[4096];

    c->len = len;
    c->off = somewhere(c) / len * len;
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)sim_rng_u64(&c->rng);
    if (len == 1 && bytes[0] == c->rig->pmem->pm.base[c->off])
        bytes[0] ^= 1;
    sim_pmem_poke(c->rig->pmem, c->off, bytes, len);
}

static void complain(struct campaign *c, const char *when, const char *what)
{
    c->failures++;
    if (c->failures < 10)
        print_error("base %d, %u bytes at 0x%x, %s: %s\n", (int)c->base, (unsigned)c->len,
                    (unsigned)c->off, when, what);
}

static void one(struct campaign *c, uint64_t len)
{
    static struct sim_mender look, all;
    char why[160];
    int error;

    sim_pmem_mark(c->rig->pmem);
    damage(c, len);
    c->states++;
    sim_pmem_mark(c->rig->pmem);
    mend_run(c->rig, SIM_MEND_NONE, &look);
    if (look.error == 0 && look.result.summary.errors == 0) {
        error = mend_serve(c->rig, &look, why, sizeof(why));
        if (error != 0)
            complain(c, "called clean", "cannot be attached");
        else if (why[0] != '\0')
            complain(c, "called clean", why);
    } else {
        c->damaged++;
    }
    rig_kill(c->rig);
    sim_pmem_rollback(c->rig->pmem);
    mend_run(c->rig, SIM_MEND_LOSES, &all);
    if (all.error == 0 && all.result.summary.errors == 0)
        c->repaired += look.result.summary.errors != 0;
    else
        c->left++;
    error = mend_serve(c->rig, &all, why, sizeof(why));
    if (why[0] != '\0')
        complain(c, "after -y", why);
    if (error != 0 && all.error == 0 && all.result.summary.errors == 0 && !all.gave_up_backend)
        complain(c, "after -y", "cannot be attached");
    rig_kill(c->rig);
    sim_pmem_rollback(c->rig->pmem);
}

static void damage_is_named_and_repaired(void **state)
{
    static const uint64_t lens[3] = {1, 64, 4096};
    uint64_t count = number("CBD_CORRUPTIONS", 60), failures = 0;

    (void)state;
    for (enum recipe_base base = BASE_STOPPED; base <= BASE_DETACHED; base++) {
        struct campaign c = {.base = base, .rig = recipe_base_make(base, SIM_ADR)};

        sim_rng_seed(&c.rng, number("CBD_CORRUPTION_SEED", 1) * 8 + base);
        for (uint64_t n = 0; n < 3 * count; n++)
            one(&c, lens[n % 3]);
        print_message("base %d: %llu states, %llu with errors, %llu repaired, %llu left\n",
                      (int)base, (unsigned long long)c.states, (unsigned long long)c.damaged,
                      (unsigned long long)c.repaired, (unsigned long long)c.left);
        failures += c.failures;
        rig_destroy(c.rig);
    }
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damage_is_named_and_repaired)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
