/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: threads novalgrind timeout=60 */
/*
 * Records of real devices used by several threads: whole, in an order that could have been, and read
 * without harm when they are cut off or damaged.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <assert.h>

#include "cbd/shim/disk.h"
#include "cbd/shim/pmem.h"
#include "cbd/shim/record.h"

#define PMEM_BYTES (UINT64_C(1) << 20)
#define DISK_BYTES (UINT64_C(1) << 20)
#define THREADS 4u
#define ROUNDS 50u
#define SLICE (PMEM_BYTES / THREADS)

static char dir[64], pmem_path[96], disk_path[96], record_path[96];
static struct cbd_pmem *pm;
static struct cbd_disk *disk;
static struct cbd_recorder *recorder;

static void begin(uint64_t limit_bytes, struct cbd_pmem **recorded_pm,
                  struct cbd_disk **recorded_disk)
{
    struct cbd_shim_disk_options options = {.threads = 2};
    uint8_t data[4096];
    unsigned number;

    snprintf(dir, sizeof(dir), "/tmp/cbd-record.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(pmem_path, sizeof(pmem_path), "%s/pmem", dir);
    snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
    snprintf(record_path, sizeof(record_path), "%s/record", dir);
    fclose(fopen(disk_path, "w"));
    assert_int_equal(truncate(disk_path, (off_t)DISK_BYTES), 0);
    assert_int_equal(cbd_shim_pmem_open(pmem_path, CBD_SHIM_PMEM_CREATE, PMEM_BYTES, &pm, NULL), 0);
    memset(data, 9, sizeof(data));
    pm->ops->copy(pm, 8192, data, sizeof(data), CBD_PMEM_NT, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    assert_int_equal(cbd_shim_disk_open(disk_path, &options, &disk, NULL), 0);
    assert_int_equal(cbd_recorder_open(record_path, limit_bytes, pm, &recorder, NULL), 0);
    assert_int_equal(cbd_recorder_add_disk(recorder, "d", 0, disk, recorded_disk, &number, NULL),
                     0);
    assert_int_equal(cbd_recorder_begin(recorder, NULL), 0);
    *recorded_pm = cbd_recorder_pmem(recorder);
}

static void end(void)
{
    cbd_shim_disk_close(disk);
    cbd_recorder_close(recorder);
    cbd_shim_pmem_close(pm);
}

static void clean(void)
{
    unlink(pmem_path);
    unlink(disk_path);
    unlink(record_path);
    rmdir(dir);
}

struct worker {
    pthread_t thread;
    unsigned n;
    struct cbd_pmem *pm;
    struct cbd_disk *disk;
};

struct one_io {
    struct cbd_disk_io io;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool finished;
};

static void finished(struct cbd_disk_io *io, int error)
{
    struct one_io *one = io->owner;

    assert(error == 0);
    pthread_mutex_lock(&one->mutex);
    one->finished = true;
    pthread_cond_signal(&one->cond);
    pthread_mutex_unlock(&one->mutex);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uint8_t data[4096];
    uint64_t request;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t off = w->n * SLICE + i % 16 * 4096;
        struct one_io one = {.io = {.op = i % 5 == 0 ? CBD_DISK_FLUSH : CBD_DISK_WRITE,
                                    .off_bytes = i % 5 == 0 ? 0 : off,
                                    .len_bytes = i % 5 == 0 ? 0 : sizeof(data),
                                    .buf = i % 5 == 0 ? NULL : data,
                                    .done = finished},
                             .mutex = PTHREAD_MUTEX_INITIALIZER,
                             .cond = PTHREAD_COND_INITIALIZER};

        one.io.owner = &one;
        memset(data, (int)(w->n * 50 + i), sizeof(data));
        request =
            cbd_recorder_request(recorder, 0, CBD_RECORD_WRITE, false, off, sizeof(data), data);
        w->pm->ops->copy(w->pm, off, data, sizeof(data), CBD_PMEM_NT, CBD_STEP_NONE);
        w->pm->ops->store64(w->pm, w->n * SLICE + SLICE - 8, i, CBD_STEP_NONE);
        w->pm->ops->flush(w->pm, w->n * SLICE + SLICE - 8, 8, CBD_STEP_NONE);
        assert(w->pm->ops->fence(w->pm, CBD_STEP_NONE) == 0);
        cbd_recorder_answer(recorder, 0, request, 0, NULL, 0);
        w->disk->ops->submit(w->disk, &one.io);
        pthread_mutex_lock(&one.mutex);
        while (!one.finished)
            pthread_cond_wait(&one.cond, &one.mutex);
        pthread_mutex_unlock(&one.mutex);
    }
    return NULL;
}

static void work_all(struct cbd_pmem *recorded_pm, struct cbd_disk *recorded_disk)
{
    struct worker w[THREADS];

    for (unsigned n = 0; n < THREADS; n++) {
        w[n] = (struct worker){.n = n, .pm = recorded_pm, .disk = recorded_disk};
        assert_int_equal(pthread_create(&w[n].thread, NULL, work, &w[n]), 0);
    }
    for (unsigned n = 0; n < THREADS; n++)
        assert_int_equal(pthread_join(w[n].thread, NULL), 0);
}

/* Applied in its order, the record gives what the device holds; nothing comes before its cause. */
static void test_the_order_could_have_been(void **state)
{
    uint8_t *made = calloc(1, PMEM_BYTES), *real = malloc(PMEM_BYTES);
    unsigned char open_io[4096] = {0}, open_request[4096] = {0};
    unsigned count[CBD_RECORD_KINDS] = {0};
    struct cbd_record_reader *reader;
    struct cbd_disk *recorded_disk;
    struct cbd_pmem *recorded_pm;
    struct cbd_record_event e;
    uint64_t time_ns = 0, at;
    const void *data;

    (void)state;
    begin(UINT64_C(64) << 20, &recorded_pm, &recorded_disk);
    work_all(recorded_pm, recorded_disk);
    memcpy(real, pm->base, PMEM_BYTES);
    end();
    assert_int_equal(cbd_record_reader_open(record_path, &reader, NULL), 0);
    assert_int_equal(cbd_record_reader_pmem_bytes(reader), PMEM_BYTES);
    while (cbd_record_reader_next(reader, &e, &data)) {
        assert_true(e.time_ns >= time_ns);
        time_ns = e.time_ns;
        count[e.kind]++;
        switch (e.kind) {
        case CBD_RECORD_PMEM_IMAGE:
        case CBD_RECORD_COPY:
            memcpy(made + e.off, data, e.data_bytes);
            break;
        case CBD_RECORD_STORE64:
            memcpy(made + e.off, &e.arg, 8);
            break;
        case CBD_RECORD_REQUEST:
            assert_int_equal(e.data_bytes, 8 * 8);
            open_request[e.arg] = 1;
            break;
        case CBD_RECORD_ANSWER:
            assert_int_equal(open_request[e.arg]++, 1);
            break;
        case CBD_RECORD_DISK_SUBMIT:
            open_io[e.arg] = 1;
            break;
        case CBD_RECORD_DISK_DONE:
            assert_int_equal(open_io[e.arg]++, 1);
            break;
        default:
            break;
        }
    }
    assert_null(cbd_record_reader_end(reader, &at));
    cbd_record_reader_close(reader);
    assert_memory_equal(made, real, PMEM_BYTES);
    assert_int_equal(count[CBD_RECORD_PMEM_IMAGE], 1);
    assert_int_equal(count[CBD_RECORD_FENCE], THREADS * ROUNDS);
    assert_int_equal(count[CBD_RECORD_ANSWER], THREADS * ROUNDS);
    assert_int_equal(count[CBD_RECORD_DISK_DONE], THREADS * ROUNDS);
    assert_int_equal(count[CBD_RECORD_END], 1);
    free(made);
    free(real);
    clean();
}

static volatile unsigned sum; /* so that the data is really read */

static unsigned read_all(const void *bytes, uint64_t len)
{
    struct cbd_record_reader *reader;
    struct cbd_record_event e;
    unsigned count = 0;
    const void *data;

    if (cbd_record_reader_open_memory(bytes, len, &reader, NULL) != 0)
        return 0;
    while (cbd_record_reader_next(reader, &e, &data)) {
        count++;
        if (e.data_bytes > 0)
            sum += ((const uint8_t *)data)[0] + ((const uint8_t *)data)[e.data_bytes - 1];
    }
    cbd_record_reader_close(reader);
    return count;
}

static void test_cut_off_and_damaged(void **state)
{
    struct cbd_disk *recorded_disk;
    struct cbd_pmem *recorded_pm;
    unsigned whole, last = 0, got;
    struct stat st;
    uint8_t *bytes, *copy;
    FILE *f;

    (void)state;
    begin(UINT64_C(64) << 20, &recorded_pm, &recorded_disk);
    work_all(recorded_pm, recorded_disk);
    end();
    f = fopen(record_path, "r");
    assert_int_equal(fstat(fileno(f), &st), 0);
    bytes = malloc((size_t)st.st_size);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    whole = read_all(bytes, (uint64_t)st.st_size);
    assert_true(whole > THREADS * ROUNDS * 8);
    for (uint64_t len = 0; len < (uint64_t)st.st_size; len += 65521) {
        copy = malloc(len + 1); /* so that a sanitizer sees what is behind */
        memcpy(copy, bytes, len);
        got = read_all(copy, len);
        free(copy);
        assert_true(got >= last && got < whole);
        last = got;
    }
    for (uint64_t at = 0; at < (uint64_t)st.st_size; at += 32749) {
        bytes[at] ^= 0x40;
        assert_true(read_all(bytes, (uint64_t)st.st_size) < whole);
        bytes[at] ^= 0x40;
    }
    free(bytes);
    clean();
}

static void test_bounds(void **state)
{
    struct cbd_record_reader *reader;
    struct cbd_disk *recorded_disk;
    struct cbd_recorder *second;
    struct cbd_pmem *recorded_pm;
    struct cbd_record_event e;
    bool full = false;
    const void *data;
    struct stat st;

    (void)state;
    begin(200000, &recorded_pm, &recorded_disk);
    assert_int_equal(cbd_recorder_open(record_path, 200000, pm, &second, NULL), CBD_E_EXISTS);
    work_all(recorded_pm, recorded_disk);
    assert_non_null(cbd_recorder_stopped(recorder));
    end();
    assert_int_equal(stat(record_path, &st), 0);
    assert_true(st.st_size <= 201000 && (st.st_mode & 077) == 0);
    assert_int_equal(cbd_record_reader_open(record_path, &reader, NULL), 0);
    while (cbd_record_reader_next(reader, &e, &data))
        full = e.kind == CBD_RECORD_FULL;
    assert_true(full);
    cbd_record_reader_close(reader);
    assert_int_equal(unlink(record_path), 0);
    assert_int_equal(cbd_shim_pmem_open(pmem_path, 0, 0, &pm, NULL), 0);
    assert_int_equal(cbd_recorder_open(record_path, 100, pm, &second, NULL), CBD_E_RANGE);
    cbd_shim_pmem_close(pm);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_order_could_have_been),
        cmocka_unit_test(test_cut_off_and_damaged),
        cmocka_unit_test(test_bounds),
    };

    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
