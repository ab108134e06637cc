/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of dm-pcache's driver: each scene leaves the state of its fault, and the check names
 * it. Lives without such a fault leave nothing that the check takes for damage, and lose nothing.
 */
/* ctest: novalgrind timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pcache_play.h"
#include "rng.h"

static FILE *log_file(void)
{
    return getenv("PCACHE_LOG") != NULL ? stderr : NULL;
}

static void test_scenes(void **state)
{
    (void)state;
    for (const struct sim_pcache_scene *s = sim_pcache_scenes; s->hole != NULL; s++) {
        struct sim_pcache_played out;

        if (log_file() != NULL)
            fprintf(stderr, "%s: %s\n", s->hole, s->script);
        sim_pcache_play(s->script, &s->shape, &out, log_file());
        if (log_file() != NULL)
            fprintf(stderr,
                    "  steps %llu states %llu errors %llu refused %llu missed %llu unnamed %llu "
                    "unsaved %llu driver loses %llu\n",
                    (unsigned long long)out.steps, (unsigned long long)out.states,
                    (unsigned long long)out.errors, (unsigned long long)out.refused,
                    (unsigned long long)out.missed, (unsigned long long)out.unnamed,
                    (unsigned long long)out.unsaved, (unsigned long long)out.driver_loses);
        if (!sim_pcache_met(&out, s->hole))
            fail_msg("%s was not met", s->hole);
        assert_int_equal(out.missed, 0);
        assert_int_equal(out.unnamed, 0);
        assert_int_equal(out.unsaved, 0);
    }
}

/* A script of random words that stays within what the small device holds. */
static void make_script(struct sim_rng *rng, unsigned words, char *out, size_t len_bytes)
{
    size_t at = (size_t)snprintf(out, len_bytes, "|");

    for (unsigned i = 0; i < words; i++) {
        uint64_t draw = sim_rng_below(rng, 16);
        unsigned sector = (unsigned)sim_rng_below(rng, 4) + (sim_rng_below(rng, 3) == 0 ? 32 : 0);
        char word[16];

        if (draw < 4)
            snprintf(word, sizeof(word), "W%u", sector);
        else if (draw < 7)
            snprintf(word, sizeof(word), "w%u+%u", sector, (unsigned)sim_rng_below(rng, 3) + 1);
        else
            snprintf(word, sizeof(word), "%c", "fbbbggga-"[draw - 7]);
        if (word[0] != '-')
            at += (size_t)snprintf(out + at, len_bytes - at, " %s", word);
    }
}

/*
 * Whatever a life leaves: what the check lets pass is served in full, every error is a known fault,
 * and write-back saves all that was acknowledged, and leaves a device without errors.
 */
static void test_lives(void **state)
{
    static const struct sim_pcache_shape shapes[] = {
        {5, 2048, 400, false}, {4, 65536, 240, false}, {5, 2048, 65536, true}};
    unsigned lives = getenv("PCACHE_LIVES") != NULL ? (unsigned)atoi(getenv("PCACHE_LIVES")) : 12;
    struct sim_pcache_played sum = {0};

    (void)state;
    for (unsigned seed = 1; seed <= lives; seed++) {
        struct sim_pcache_played out;
        struct sim_rng rng;
        char script[400];

        sim_rng_seed(&rng, seed);
        make_script(&rng, 30, script, sizeof(script));
        sim_pcache_play(script, &shapes[seed % 3], &out, NULL);
        sum.states += out.states;
        sum.errors += out.errors;
        sum.driver_loses += out.driver_loses;
        if (out.missed != 0 || out.unnamed != 0 || out.unsaved != 0) {
            sim_pcache_play(script, &shapes[seed % 3], &out, stderr);
            fail_msg("life %u: missed %u, unnamed %u, unsaved %u: %s", seed, (unsigned)out.missed,
                     (unsigned)out.unnamed, (unsigned)out.unsaved, script);
        }
    }
    if (log_file() != NULL)
        fprintf(stderr, "lives: %llu states, %llu with errors, %llu in which the driver loses\n",
                (unsigned long long)sum.states, (unsigned long long)sum.errors,
                (unsigned long long)sum.driver_loses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_scenes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
