/* SPDX-License-Identifier: BSD-2-Clause */
/* The arena of the shim: parts are apart and aligned, come back, and lie in huge pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "shim_common.h"

#define HUGE_BYTES ((uintptr_t)2 << 20)
#define LENGTHS 200u

static size_t length(unsigned n)
{
    return 4096 + 300 * (size_t)n;
}

/* Whatever lengths were asked for before: the nodes of the index may be the last of many. */
static void every_length_is_cut_from_huge_pages(void **state)
{
    struct shim_arena *arena = shim_arena_open();
    unsigned side_by_side = 0;
    uint8_t *p[LENGTHS];

    (void)state;
    assert_non_null(arena);
    for (unsigned n = 0; n < LENGTHS; n++) {
        p[n] = shim_arena_alloc(arena, length(n));
        assert_non_null(p[n]);
        assert_int_equal((uintptr_t)p[n] % 64, 0);
        memset(p[n], (int)n, length(n));
        if (n > 0 && p[n] == p[n - 1] + (length(n - 1) + 63) / 64 * 64)
            side_by_side++;
    }
    for (unsigned n = 0; n < LENGTHS; n++)
        for (size_t i = 0; i < length(n); i++)
            if (p[n][i] != (uint8_t)n)
                fail_msg("part %u is not alone", n);
#ifndef SHIM_CHECKED
    /* A new huge page begins for one part in sixty or so. */
    assert_in_range(side_by_side, LENGTHS - LENGTHS / 20, LENGTHS - 1);
#else
    (void)side_by_side;
#endif
    for (unsigned n = 0; n < LENGTHS; n++)
        shim_arena_free(arena, p[n], length(n));
    shim_arena_close(arena);
}

static void a_part_is_used_again_for_its_length(void **state)
{
    struct shim_arena *arena = shim_arena_open();
    void *a, *b, *c;

    (void)state;
    assert_non_null(arena);
    a = shim_arena_alloc(arena, 8256);
    b = shim_arena_alloc(arena, 8192);
    assert_non_null(a);
    assert_non_null(b);
    shim_arena_free(arena, a, 8256);
    c = shim_arena_alloc(arena, 8192);
    assert_non_null(c);
    assert_ptr_not_equal(c, b);
    shim_arena_free(arena, b, 8192);
    shim_arena_free(arena, c, 8192);
    shim_arena_free(arena, NULL, 8192);
    shim_arena_close(arena);
}

static void lengths_at_both_ends(void **state)
{
    static const size_t lengths[] = {0, 1, 4095, 4096, 65536, 65537, (size_t)2 << 20};
    struct shim_arena *arena = shim_arena_open();

    (void)state;
    assert_non_null(arena);
    for (unsigned n = 0; n < sizeof(lengths) / sizeof(lengths[0]); n++) {
        uint8_t *p = shim_arena_alloc(arena, lengths[n]);

        assert_non_null(p);
        memset(p, 1, lengths[n]);
        if (lengths[n] >= HUGE_BYTES)
            assert_int_equal((uintptr_t)p % HUGE_BYTES, 0);
        shim_arena_free(arena, p, lengths[n]);
    }
    shim_arena_close(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_is_cut_from_huge_pages),
        cmocka_unit_test(a_part_is_used_again_for_its_length),
        cmocka_unit_test(lengths_at_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
