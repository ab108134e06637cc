/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads of a mapping with a list of bad blocks, which is put in by hand: no file here has one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pmem_impl.h"

#define SIZE_BYTES UINT64_C(65536)

static char path[64];

static struct cbd_pmem *create(unsigned flags)
{
    struct cbd_shim_error err;
    struct cbd_pmem *pm;

    snprintf(path, sizeof(path), "/tmp/cbd-test-bad-%ld", (long)getpid());
    unlink(path);
    assert_int_equal(cbd_shim_pmem_open(path, CBD_SHIM_PMEM_CREATE | flags, SIZE_BYTES, &pm, &err),
                     0);
    return pm;
}

static void destroy(struct cbd_pmem *pm)
{
    cbd_shim_pmem_close(pm);
    unlink(path);
}

static void add(struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    struct shim_pmem *s = (struct shim_pmem *)(void *)pm;

    assert_int_equal(bad_blocks_add(&s->bad, off, len_bytes, pm->size_bytes), 0);
}

static void expect(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, int error)
{
    uint8_t got[4096];

    memset(got, 0x5a, sizeof(got));
    assert_int_equal(pm->ops->read(pm, off, got, len_bytes), error);
    for (size_t i = 0; i < sizeof(got); i++)
        assert_int_equal(got[i], error == 0 && i < len_bytes ? 0 : 0x5a);
}

static void check_ranges(unsigned flags)
{
    struct cbd_pmem *pm = create(flags);
    struct cbd_shim_bad_blocks bad;

    add(pm, 4096, 512);
    add(pm, SIZE_BYTES - 512, 8192); /* as far as it is mapped */
    add(pm, SIZE_BYTES, 512);        /* not mapped */
    add(pm, UINT64_MAX - 511, 511);
    cbd_shim_pmem_bad_blocks(pm, &bad);
    assert_int_equal(bad.count, 2);
    assert_int_equal(bad.bytes, 1024);
    expect(pm, 0, 4096, 0);
    expect(pm, 4095, 1, 0);
    expect(pm, 4095, 2, CBD_E_MEDIA);
    expect(pm, 4096, 0, 0);
    expect(pm, 4300, 8, CBD_E_MEDIA);
    expect(pm, 4607, 1, CBD_E_MEDIA);
    expect(pm, 4608, 4096, 0);
    expect(pm, SIZE_BYTES - 513, 1, 0);
    expect(pm, SIZE_BYTES - 4096, 4096, CBD_E_MEDIA);
    expect(pm, SIZE_BYTES, 1, CBD_E_RANGE);
    destroy(pm);
}

static void reads_of_a_range_are_refused(void **state)
{
    (void)state;
    check_ranges(0);
    check_ranges(CBD_SHIM_PMEM_GUARD_SIGBUS);
}

static void a_store_leaves_the_list_as_it_is(void **state)
{
    struct cbd_pmem *pm = create(0);

    (void)state;
    add(pm, 4096, 64);
    pm->ops->set(pm, 4096, 0, 64, CBD_PMEM_NT, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    expect(pm, 4096, 64, CBD_E_MEDIA);
    destroy(pm);
}

static void many_ranges_and_none(void **state)
{
    struct cbd_pmem *pm = create(0);
    struct cbd_shim_bad_blocks bad;

    (void)state;
    cbd_shim_pmem_bad_blocks(pm, &bad);
    assert_int_equal(bad.count + bad.bytes, 0);
    for (uint64_t i = 0; i < 100; i++)
        add(pm, i * 512, 64);
    for (uint64_t i = 0; i < 100; i++) {
        expect(pm, i * 512, 64, CBD_E_MEDIA);
        expect(pm, i * 512 + 64, 448, 0);
    }
    destroy(pm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_of_a_range_are_refused),
        cmocka_unit_test(a_store_leaves_the_list_as_it_is),
        cmocka_unit_test(many_ranges_and_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
