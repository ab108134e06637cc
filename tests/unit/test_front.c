/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=120 */
/*
 * A cache that is served, on real files: requests of more threads than there are lanes, errors as
 * errno (all of the table in docs/frontends.md), two backends, restarts. Run it under TSan.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cbd/format.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"
#include "front.h"

#define DISK_BYTES (UINT64_C(8) << 20)
#define PMEM_BYTES (UINT64_C(8) << 20)
#define SHARE_BYTES (UINT64_C(2) << 20)
#define BLOCK 4096u
#define THREADS 96u /* more than CBD_LANES */
#define BLOCKS_EACH ((unsigned)(DISK_BYTES / BLOCK / THREADS))

static char dir[64], pmem_path[96], disk_path[2][96];

static void make_file(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
}

static int setup(void **state)
{
    struct cbd_format_options format = {.uuid = {1}, .segment_bytes = 65536, .salt = 3};
    struct cbd_env *env;
    struct cbd_pmem *pm;
    struct cbd_geometry geo;
    struct cbd_cache *cache;
    uint32_t id;

    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/cbd-front.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(pmem_path, sizeof(pmem_path), "%s/pmem", dir);
    assert_int_equal(cbd_shim_env_open(NULL, NULL, &env, NULL), 0);
    assert_int_equal(cbd_shim_pmem_open(pmem_path, CBD_SHIM_PMEM_CREATE, PMEM_BYTES, &pm, NULL), 0);
    assert_int_equal(cbd_format(pm, env, &format, &geo), 0);
    assert_int_equal(cbd_cache_open(pm, env, 0, &cache), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct cbd_backend_options add = {.name = i == 0 ? "small" : "large",
                                          .uuid = {(uint8_t)(2 + i)},
                                          .size_bytes = DISK_BYTES,
                                          .logical_block_bytes = i == 0 ? 512 : BLOCK,
                                          .cache_bytes = SHARE_BYTES};

        snprintf(disk_path[i], sizeof(disk_path[i]), "%s/disk%u", dir, i);
        make_file(disk_path[i], DISK_BYTES);
        add.path = disk_path[i];
        assert_int_equal(cbd_backend_add(cache, &add, &id), 0);
    }
    cbd_cache_close(cache);
    cbd_shim_pmem_close(pm);
    cbd_shim_env_close(env);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(pmem_path);
    unlink(disk_path[0]);
    unlink(disk_path[1]);
    return rmdir(dir);
}

static struct front *serve(struct front_config *config)
{
    char why[FRONT_TEXT_BYTES] = "";
    struct front *front;
    bool known = true;

    if (config->device == NULL) /* else it serves again */
        assert_int_equal(front_config_set(config, "device", pmem_path, &known, why), 0);
    assert_true(known);
    if (front_open(config, NULL, NULL, &front, why) != 0 || front_start(front, why) != 0)
        fail_msg("%s", why);
    return front;
}

struct worker {
    pthread_t thread;
    struct front_export *e;
    unsigned first; /* block */
    uint32_t rng;
    uint8_t newest[BLOCKS_EACH]; /* 0: zeroes */
    unsigned errors;
};

static uint32_t draw(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return *rng >> 8;
}

static void check_block(struct worker *w, unsigned i)
{
    uint8_t got[BLOCK], want[BLOCK];

    memset(want, w->newest[i], BLOCK);
    w->errors += front_read(w->e, got, BLOCK, (uint64_t)(w->first + i) * BLOCK) != 0 ||
                 memcmp(got, want, BLOCK) != 0;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    enum front_extent_kind kind;
    uint8_t buf[BLOCK];
    uint64_t run;

    for (unsigned n = 0; n < 120; n++) {
        unsigned i = draw(&w->rng) % BLOCKS_EACH;
        uint64_t off = (uint64_t)(w->first + i) * BLOCK;
        int error = 0;

        switch (draw(&w->rng) % 8) {
        case 0:
            error = front_zero(w->e, BLOCK, off, n % 2 == 0, n % 3 == 0);
            w->newest[i] = 0;
            break;
        case 1:
            error = front_flush(w->e);
            break;
        case 2:
            error = front_map(w->e, BLOCK, off, &run, &kind);
            w->errors += error == 0 && kind != FRONT_DATA && w->newest[i] != 0;
            break;
        case 3:
        case 4:
            check_block(w, i);
            break;
        default:
            w->newest[i] = (uint8_t)(1 + n % 255);
            memset(buf, w->newest[i], BLOCK);
            error = front_write(w->e, buf, BLOCK, off, n % 5 == 0);
        }
        w->errors += error != 0;
    }
    for (unsigned i = 0; i < BLOCKS_EACH; i++)
        check_block(w, i);
    return NULL;
}

static void test_more_threads_than_lanes(void **state)
{
    struct worker *w = calloc(THREADS, sizeof(*w));
    uint8_t *disk = malloc(DISK_BYTES);
    struct front_config config;
    struct front *front;
    int fd;

    (void)state;
    assert_non_null(w);
    assert_non_null(disk);
    front_config_init(&config);
    front = serve(&config);
    assert_int_equal(front_export_count(front), 2);
    for (unsigned t = 0; t < THREADS; t++) {
        w[t].e = front_export_find(front, t % 2 == 0 ? "small" : "large");
        w[t].first = t * BLOCKS_EACH;
        w[t].rng = t;
        assert_int_equal(pthread_create(&w[t].thread, NULL, work, &w[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(w[t].thread, NULL), 0);
        assert_int_equal(w[t].errors, 0);
    }
    assert_int_equal(front_close(front), 0);
    front_config_free(&config);
    for (unsigned n = 0; n < 2; n++) { /* P5: the disks are what was written, without the cache */
        fd = open(disk_path[n], O_RDONLY);
        assert_int_equal(pread(fd, disk, DISK_BYTES, 0), DISK_BYTES);
        close(fd);
        for (unsigned t = n; t < THREADS; t += 2)
            for (unsigned i = 0; i < BLOCKS_EACH * BLOCK; i++)
                assert_int_equal(disk[(uint64_t)w[t].first * BLOCK + i], w[t].newest[i / BLOCK]);
    }
    free(disk);
    free(w);
}

static void test_errors_are_errnos(void **state)
{
    struct front_config config;
    struct front_export *small, *large;
    char why[FRONT_TEXT_BYTES];
    enum front_extent_kind kind;
    struct front *front, *second;
    uint8_t buf[BLOCK] = {0};
    uint64_t run;

    (void)state;
    front_config_init(&config);
    front = serve(&config);
    small = front_export_find(front, "small");
    large = front_export_find(front, "large");
    assert_null(front_export_find(front, "none"));
    assert_int_equal(front_write(small, buf, 512, 512, false), 0);
    assert_int_equal(front_write(small, buf, 100, 0, false), EINVAL);
    assert_int_equal(front_write(large, buf, 512, 0, false), EINVAL);
    assert_int_equal(front_read(large, buf, BLOCK, 512), EINVAL);
    assert_int_equal(front_read(large, buf, BLOCK, DISK_BYTES), EINVAL);
    assert_int_equal(front_zero(large, BLOCK, DISK_BYTES - 512, true, false), EINVAL);
    assert_int_equal(front_map(large, BLOCK, UINT64_MAX - 511, &run, &kind), EINVAL);
    assert_int_equal(front_open(&config, NULL, NULL, &second, why), EWOULDBLOCK); /* locked */
    assert_null(second);
    assert_int_equal(front_close(front), 0);
    front_config_free(&config);
}

static const struct {
    const char *name;
    int error;
} engine_errors[] = {
#define X(code, name, sentence) {#name, CBD_E_##name},
#include "cbd/errors.def"
#undef X
};

static const struct {
    const char *name;
    int number;
    const char *wire; /* as nbdkit puts it into an answer */
} errnos[] = {
    {"EINVAL", EINVAL, "EINVAL"}, {"ENOMEM", ENOMEM, "ENOMEM"}, {"ENOSPC", ENOSPC, "ENOSPC"},
    {"EIO", EIO, "EIO"},          {"EROFS", EROFS, "EPERM"},    {"EBUSY", EBUSY, "EINVAL"},
    {"EEXIST", EEXIST, "EINVAL"}, {"ENOENT", ENOENT, "EINVAL"},
};

/* The row of docs/frontends.md. */
static void assert_row(const char *document, const char *name, int number)
{
    char row[96];
    size_t i = 0;

    while (i < sizeof(errnos) / sizeof(errnos[0]) && errnos[i].number != number)
        i++;
    if (i == sizeof(errnos) / sizeof(errnos[0]))
        fail_msg("%s: errno %d has no name on the wire", name, number);
    snprintf(row, sizeof(row), "\n| `%s` | %s | %s | ", name, errnos[i].name, errnos[i].wire);
    if (strstr(document, row) == NULL)
        fail_msg("docs/frontends.md has no row '%s'", row + 1);
}

static void test_every_error_has_its_row(void **state)
{
    static char document[256 * 1024];
    const char *root = getenv("CBD_SOURCE_DIR");
    char path[512];
    size_t len;
    FILE *f;

    (void)state;
    snprintf(path, sizeof(path), "%s/docs/frontends.md", root != NULL ? root : ".");
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s cannot be opened; CBD_SOURCE_DIR names the source tree", path);
    len = fread(document, 1, sizeof(document) - 1, f);
    fclose(f);
    assert_in_range(len, 1, sizeof(document) - 2);
    for (size_t i = 0; i < sizeof(engine_errors) / sizeof(engine_errors[0]); i++) {
        int number = front_errno(engine_errors[i].error);

        assert_row(document, engine_errors[i].name, number);
        assert_true(strlen(front_errno_text(number)) > 0);
    }
    assert_int_equal(front_errno(0), 0);
    assert_int_equal(front_errno(-9999), EIO);
}

/* What was left in the cache is there again, and goes to the disk at the next close. */
static void test_leave_and_recover(void **state)
{
    struct front_config config;
    char why[FRONT_TEXT_BYTES];
    enum front_extent_kind kind;
    struct front_export *e;
    struct cbd_stats stats;
    struct front *front;
    uint8_t buf[BLOCK];
    uint64_t run;
    bool known;

    (void)state;
    front_config_init(&config);
    assert_int_equal(front_config_set(&config, "backend", "large", &known, why), 0);
    assert_int_equal(front_config_set(&config, "writeback-on-exit", "no", &known, why), 0);
    assert_int_equal(front_config_set(&config, "dirty-start", "100", &known, why), 0);
    front = serve(&config);
    assert_int_equal(front_export_count(front), 1);
    e = front_export_at(front, 0);
    assert_int_equal(front_map(e, DISK_BYTES, 0, &run, &kind), 0);
    memset(buf, 7, BLOCK);
    assert_int_equal(front_write(e, buf, BLOCK, BLOCK, false), 0);
    assert_int_equal(front_zero(e, BLOCK, 2 * BLOCK, false, false), 0);
    assert_int_equal(front_close(front), 0);
    config.leave = false;
    front = serve(&config);
    e = front_export_at(front, 0);
    front_export_stats(e, &stats);
    assert_true(stats.recovered_dirty_bytes >= BLOCK);
    memset(buf, 0, BLOCK);
    assert_int_equal(front_read(e, buf, BLOCK, BLOCK), 0);
    assert_int_equal(buf[BLOCK - 1], 7);
    assert_int_equal(front_map(e, BLOCK, BLOCK, &run, &kind), 0);
    assert_int_equal(kind, FRONT_DATA);
    assert_int_equal(front_map(e, BLOCK, 2 * BLOCK, &run, &kind), 0);
    assert_int_equal(kind, FRONT_ZERO);
    assert_int_equal(front_close(front), 0);
    front_config_free(&config);
}

static void test_options(void **state)
{
    static const struct {
        const char *key, *value;
        int error;
    } cases[] = {
        {"backing", "/x", EINVAL}, /* no backend before it */
        {"device", "", EINVAL},
        {"device", "/nowhere/pmem", 0},
        {"device", "/nowhere/pmem", EINVAL},
        {"backend", "", EINVAL},
        {"backend", "a", 0},
        {"backend", "a", EINVAL},
        {"backing", "/nowhere/x", 0},
        {"backing", "/nowhere/y", EINVAL},
        {"durability", "ack", 0},
        {"durability", "flush", 0},
        {"durability", "never", EINVAL},
        {"fill", "maybe", EINVAL},
        {"replacement", "lru", EINVAL},
        {"dirty-urgent", "0", EINVAL},
        {"dirty-urgent", "101", EINVAL},
        {"queue-depth", "65", EINVAL},
        {"max-dirty", "12Q", EINVAL},
        {"max-dirty", "1M", 0},
        {"idle", "10", 0},
        {"idle", "ms", EINVAL},
        {"idle", "10 s", EINVAL},
        {"idle", "-1", EINVAL},
        {"idle", "1000000d", EINVAL},
        {"idle", "99999999999999999999", EINVAL},
        {"space-timeout", "250ms", 0},
        {"identity-places", "0", 0},
    };
    struct front_config config;
    char why[FRONT_TEXT_BYTES];
    bool known;

    (void)state;
    front_config_init(&config);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why[0] = '\0';
        if (front_config_set(&config, cases[i].key, cases[i].value, &known, why) != cases[i].error)
            fail_msg("%s=%s: %s", cases[i].key, cases[i].value, why);
        assert_true(known);
        assert_true((cases[i].error != 0) == (strstr(why, cases[i].key) != NULL));
    }
    assert_int_equal(config.attach.idle_ns, UINT64_C(10000000000));
    assert_int_equal(config.attach.space_timeout_ns, 250000000);
    assert_int_equal(config.attach.identity_places, CBD_IDENTITY_NONE);
    assert_int_equal(config.attach.max_dirty_bytes, 1 << 20);
    assert_string_equal(config.backends[0].backing, "/nowhere/x");
    assert_int_equal(front_config_set(&config, "nothing", "1", &known, why), 0);
    assert_false(known);
    front_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_more_threads_than_lanes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_are_errnos, setup, teardown),
        cmocka_unit_test(test_every_error_has_its_row),
        cmocka_unit_test_setup_teardown(test_leave_and_recover, setup, teardown),
        cmocka_unit_test(test_options),
    };

    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
