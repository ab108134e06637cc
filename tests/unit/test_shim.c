/* SPDX-License-Identifier: BSD-2-Clause */
/* The seams on real files, real threads and, where the system lets us, a loop device. */
/* ctest: threads novalgrind timeout=120 */
/* Valgrind reports the msync() of a missing page, which is how these tests make msync() fail. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cbd/shim/disk.h"
#include "cbd/shim/env.h"
#include "cbd/shim/pmem.h"

#define MIB (UINT64_C(1) << 20)

static char dir[] = "/tmp/cbd-test-shim-XXXXXX";
static char path[128]; /* the file of the running test, removed after it */
static struct cbd_shim_error err;

static int make_dir(void **state)
{
    (void)state;
    unsetenv("PMEM2_FORCE_GRANULARITY");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/file", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int remove_file(void **state)
{
    (void)state;
    unsetenv("PMEM2_FORCE_GRANULARITY");
    unlink(path);
    return 0;
}

static void make_file(uint64_t size_bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
    close(fd);
}

static void assert_error(int error, int code, const char *part)
{
    assert_int_equal(error, code);
    assert_int_equal(err.code, code);
    if (strstr(err.text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, err.text);
}

/* --- pmem ------------------------------------------------------------------------------------ */

static struct cbd_pmem *create_pmem(uint64_t size_bytes)
{
    struct cbd_pmem *pm;

    assert_int_equal(cbd_shim_pmem_open(path, CBD_SHIM_PMEM_CREATE, size_bytes, &pm, &err), 0);
    return pm;
}

static int open_pmem_error(const char *name, unsigned flags, uint64_t size_bytes)
{
    struct cbd_pmem *pm = (struct cbd_pmem *)1;
    int error = cbd_shim_pmem_open(name, flags, size_bytes, &pm, &err);

    assert_null(pm);
    return error;
}

static void pmem_create_makes_a_private_file_of_the_size(void **state)
{
    struct cbd_pmem *pm = create_pmem(MIB);
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, MIB);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true((uint64_t)st.st_blocks * 512 >= MIB);
    assert_int_equal(pm->size_bytes, MIB);
    assert_int_equal((uintptr_t)pm->base % 64, 0);
    assert_int_equal(cbd_shim_pmem_kind(pm), CBD_SHIM_PMEM_FILE);
    cbd_shim_pmem_close(pm);
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_CREATE, MIB), CBD_E_EXISTS, path);
}

static void pmem_create_without_space_says_how_much_and_leaves_nothing(void **state)
{
    (void)state;
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_CREATE, UINT64_C(1) << 60), CBD_E_NOSPACE,
                 "wanted 1152921504606846976 bytes, available ");
    assert_int_equal(access(path, F_OK), -1);
}

static void use_every_operation(struct cbd_pmem *pm)
{
    uint8_t out[300], in[300];

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + 1);
    pm->ops->store64(pm, 8, UINT64_C(0x1122334455667788), CBD_STEP_NONE);
    pm->ops->flush(pm, 8, 8, CBD_STEP_NONE);
    pm->ops->copy(pm, 4096, out, 256, CBD_PMEM_NT, CBD_STEP_NONE);
    pm->ops->copy(pm, 8195, out, 299, 0, CBD_STEP_NONE); /* odd on purpose */
    pm->ops->flush(pm, 8195, 299, CBD_STEP_NONE);
    pm->ops->set(pm, 12288, 0xa5, 128, CBD_PMEM_NT, CBD_STEP_NONE);
    pm->ops->set(pm, 16389, 0x5a, 77, 0, CBD_STEP_NONE);
    pm->ops->flush(pm, 16389, 77, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    assert_int_equal(*(const uint64_t *)(const void *)(pm->base + 8),
                     UINT64_C(0x1122334455667788));
    assert_int_equal(pm->ops->read(pm, 4096, in, 256), 0);
    assert_memory_equal(in, out, 256);
    assert_int_equal(pm->ops->read(pm, 8195, in, 299), 0);
    assert_memory_equal(in, out, 299);
    assert_int_equal(pm->base[8194], 0);
    assert_int_equal(pm->base[8195 + 299], 0);
    for (size_t i = 0; i < 128; i++)
        assert_int_equal(pm->base[12288 + i], 0xa5);
    assert_int_equal(pm->base[16388], 0);
    for (size_t i = 0; i < 77; i++)
        assert_int_equal(pm->base[16389 + i], 0x5a);
    assert_int_equal(pm->base[16389 + 77], 0);
}

static void pmem_page_granularity_does_every_operation(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    setenv("PMEM2_FORCE_GRANULARITY", "PAGE", 1);
    pm = create_pmem(MIB);
    assert_int_equal(pm->granularity_bytes, 4096);
    assert_non_null(strstr(cbd_shim_pmem_advice(pm), "msync"));
    use_every_operation(pm);
    cbd_shim_pmem_close(pm);
}

static void pmem_line_granularity_does_every_operation(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
    pm = create_pmem(MIB);
    assert_int_equal(pm->granularity_bytes, 64);
    assert_null(cbd_shim_pmem_advice(pm));
    use_every_operation(pm);
    cbd_shim_pmem_close(pm);
}

static void pmem_byte_granularity_does_every_operation(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    setenv("PMEM2_FORCE_GRANULARITY", "BYTE", 1);
    pm = create_pmem(MIB);
    assert_int_equal(pm->granularity_bytes, 8);
    use_every_operation(pm);
    cbd_shim_pmem_close(pm);
}

static void pmem_content_is_there_after_reopen(void **state)
{
    struct cbd_pmem *pm = create_pmem(MIB);
    uint64_t value;

    (void)state;
    pm->ops->store64(pm, 4096, 42, CBD_STEP_NONE);
    pm->ops->flush(pm, 4096, 8, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    cbd_shim_pmem_close(pm);
    assert_int_equal(cbd_shim_pmem_open(path, CBD_SHIM_PMEM_READONLY, MIB, &pm, &err), 0);
    assert_int_equal(pm->ops->read(pm, 4096, &value, 8), 0);
    assert_int_equal(value, 42);
    cbd_shim_pmem_close(pm);
}

static void pmem_read_beyond_the_end_is_refused(void **state)
{
    struct cbd_pmem *pm = create_pmem(8192);
    uint8_t buf[16];

    (void)state;
    assert_int_equal(pm->ops->read(pm, 8184, buf, 16), CBD_E_RANGE);
    assert_int_equal(pm->ops->read(pm, UINT64_MAX, buf, 16), CBD_E_RANGE);
    assert_int_equal(pm->ops->read(pm, 8192, buf, 0), 0);
    cbd_shim_pmem_close(pm);
}

/* A page taken out of the mapping makes every msync() that covers it fail with ENOMEM. */
static struct cbd_pmem *open_with_hole_at_16k(void)
{
    struct cbd_pmem *pm;

    setenv("PMEM2_FORCE_GRANULARITY", "PAGE", 1);
    pm = create_pmem(MIB);
    assert_int_equal(munmap((void *)(uintptr_t)(pm->base + 16384), 4096), 0);
    return pm;
}

static void pmem_failed_msync_is_remembered(void **state)
{
    struct cbd_pmem *pm = open_with_hole_at_16k();

    (void)state;
    pm->ops->flush(pm, 16384 + 4000, 200, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), CBD_E_IO);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), CBD_E_IO);
    pm->ops->set(pm, 0, 1, 64, CBD_PMEM_NT, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), CBD_E_IO);
    cbd_shim_pmem_close(pm);
}

static void pmem_fence_syncs_what_was_marked_and_no_more(void **state)
{
    struct cbd_pmem *pm = open_with_hole_at_16k();
    uint8_t line[64] = {0};

    (void)state;
    pm->ops->copy(pm, 8192, line, 64, CBD_PMEM_NT, CBD_STEP_NONE);
    pm->ops->flush(pm, 16384 - 64, 64, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    pm->ops->flush(pm, 20480, 64, CBD_STEP_NONE); /* must not be joined with what was done */
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), 0);
    pm->ops->flush(pm, 16384 - 64, 65, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), CBD_E_IO);
    cbd_shim_pmem_close(pm);
}

static void pmem_non_temporal_stores_are_synced(void **state)
{
    struct cbd_pmem *pm = open_with_hole_at_16k();
    uint8_t line[64] = {0};

    (void)state;
    /* Two marks whose span covers the hole between them. */
    pm->ops->copy(pm, 12288, line, 64, CBD_PMEM_NT, CBD_STEP_NONE);
    pm->ops->set(pm, 20480, 1, 64, CBD_PMEM_NT, CBD_STEP_NONE);
    assert_int_equal(pm->ops->fence(pm, CBD_STEP_NONE), CBD_E_IO);
    cbd_shim_pmem_close(pm);
}

struct fence_thread {
    struct cbd_pmem *pm;
    uint64_t off;
    int error;
};

static void *store_and_fence(void *arg)
{
    struct fence_thread *t = arg;

    for (uint64_t i = 0; i < 20 && t->error == 0; i++) {
        t->pm->ops->store64(t->pm, t->off, i, CBD_STEP_NONE);
        t->pm->ops->flush(t->pm, t->off, 8, CBD_STEP_NONE);
        t->error = t->pm->ops->fence(t->pm, CBD_STEP_NONE);
    }
    return NULL;
}

static void run_fence_threads(struct cbd_pmem *pm, int expected)
{
    struct fence_thread threads[4];
    pthread_t ids[4];

    for (uint64_t i = 0; i < 4; i++) {
        threads[i] = (struct fence_thread){.pm = pm, .off = i * 65536};
        assert_int_equal(pthread_create(&ids[i], NULL, store_and_fence, &threads[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(threads[i].error, expected);
    }
}

static void pmem_threads_share_msync(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    setenv("PMEM2_FORCE_GRANULARITY", "PAGE", 1);
    pm = create_pmem(MIB);
    run_fence_threads(pm, 0);
    cbd_shim_pmem_close(pm);
}

static void pmem_failed_msync_reaches_every_thread(void **state)
{
    struct cbd_pmem *pm = open_with_hole_at_16k();

    (void)state;
    pm->ops->flush(pm, 16384, 8, CBD_STEP_NONE);
    run_fence_threads(pm, CBD_E_IO);
    cbd_shim_pmem_close(pm);
}

/* What another process gets when it opens the file. */
static int open_in_child(unsigned flags)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct cbd_pmem *pm;

        _exit(-cbd_shim_pmem_open(path, flags, 0, &pm, NULL));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void pmem_writer_excludes_everybody(void **state)
{
    struct cbd_pmem *pm = create_pmem(8192);

    (void)state;
    assert_int_equal(open_in_child(0), CBD_E_BUSY);
    assert_int_equal(open_in_child(CBD_SHIM_PMEM_READONLY), CBD_E_BUSY);
    assert_error(open_pmem_error(path, 0, 0), CBD_E_BUSY, "in use");
    cbd_shim_pmem_close(pm);
    assert_int_equal(open_in_child(0), 0);
}

static void pmem_reader_excludes_writers_only(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    make_file(8192);
    assert_int_equal(cbd_shim_pmem_open(path, CBD_SHIM_PMEM_READONLY, 0, &pm, &err), 0);
    assert_int_equal(open_in_child(0), CBD_E_BUSY);
    assert_int_equal(open_in_child(CBD_SHIM_PMEM_READONLY), 0);
    cbd_shim_pmem_close(pm);
}

static void pmem_bad_paths_are_explained(void **state)
{
    char missing[160];

    (void)state;
    snprintf(missing, sizeof(missing), "%s/missing", dir);
    assert_error(open_pmem_error(missing, 0, 0), CBD_E_NOTFOUND, missing);
    assert_error(open_pmem_error(dir, 0, 0), CBD_E_INVALID, "got a directory");
    assert_error(open_pmem_error("/dev/null", CBD_SHIM_PMEM_READONLY, 0), CBD_E_INVALID,
                 "no devdax");
    assert_error(open_pmem_error("", 0, 0), CBD_E_NOTFOUND, "cannot be opened");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_READONLY, 0), CBD_E_INVALID, "got a fifo");
    unlink(path);
    make_file(0);
    assert_error(open_pmem_error(path, 0, 0), CBD_E_RANGE, "got 0 bytes, limit at least 4096");
    make_file(12288);
    assert_error(open_pmem_error(path, 0, 16384), CBD_E_RANGE,
                 "got 12288 bytes, limit at least 16384");
    assert_error(open_pmem_error(path, 1u << 31, 0), CBD_E_INVALID, "flags");
    unlink(path);
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_CREATE, 4097), CBD_E_INVALID, "4097");
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_CREATE, 0), CBD_E_INVALID, "got 0");
    assert_error(open_pmem_error(path, CBD_SHIM_PMEM_CREATE | CBD_SHIM_PMEM_READONLY, 4096),
                 CBD_E_INVALID, "read-only");
    assert_int_equal(access(path, F_OK), -1);
}

static void pmem_odd_length_is_mapped_to_the_last_page(void **state)
{
    struct cbd_pmem *pm;

    (void)state;
    make_file(3 * 4096 + 100);
    assert_int_equal(cbd_shim_pmem_open(path, 0, 0, &pm, NULL), 0);
    assert_int_equal(pm->size_bytes, 3 * 4096);
    cbd_shim_pmem_close(pm);
}

static void pmem_guarded_read_survives_sigbus(void **state)
{
    struct cbd_pmem *pm;
    uint8_t buf[8192];

    (void)state;
    make_file(65536);
    assert_int_equal(cbd_shim_pmem_open(path, CBD_SHIM_PMEM_GUARD_SIGBUS, 0, &pm, &err), 0);
    assert_int_equal(truncate(path, 8192), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pm->ops->read(pm, 4096, buf, 4096), 0);
        assert_int_equal(pm->ops->read(pm, 4096, buf, 8192), CBD_E_MEDIA);
        assert_int_equal(pm->ops->read(pm, 61443, buf, 100), CBD_E_MEDIA);
    }
    cbd_shim_pmem_close(pm);
}

/* --- disk ------------------------------------------------------------------------------------ */

struct waited_io {
    struct cbd_disk_io io; /* first */
    atomic_int left;
    int error;
};

static void signal_done(struct cbd_disk_io *io, int error)
{
    struct waited_io *w = (struct waited_io *)(void *)io;

    w->error = error;
    atomic_store(&w->left, 0);
}

static int do_io(struct cbd_disk *disk, enum cbd_disk_op op, bool fua, uint64_t off, uint64_t len,
                 void *buf)
{
    struct waited_io w = {.io = {.op = op,
                                 .fua = fua,
                                 .off_bytes = off,
                                 .len_bytes = len,
                                 .buf = buf,
                                 .done = signal_done}};

    atomic_init(&w.left, 1);
    disk->ops->submit(disk, &w.io);
    while (atomic_load(&w.left) != 0)
        usleep(50);
    return w.error;
}

static void use_every_request(struct cbd_disk *disk)
{
    static uint8_t out[65536], in[65536];
    static const uint8_t zeroes[65536];

    memset(out, 0x3c, sizeof(out));
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, false, 65536, 65536, out), 0);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, true, 131072, 4096, out), 0);
    assert_int_equal(do_io(disk, CBD_DISK_FLUSH, false, 0, 0, NULL), 0);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 65536, 65536, in), 0);
    assert_memory_equal(in, out, 65536);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 131072, 4096, in), 0);
    assert_memory_equal(in, out, 4096);
    assert_int_equal(do_io(disk, CBD_DISK_DISCARD, false, 69632, 8192, NULL), 0);
    assert_int_equal(do_io(disk, CBD_DISK_ZERO, true, 81920, 4096, NULL), 0);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 65536, 65536, in), 0);
    assert_memory_equal(in, out, 4096);
    if (disk->discard_zeroes)
        assert_memory_equal(in + 4096, zeroes, 8192);
    assert_memory_equal(in + 12288, out, 4096);
    assert_memory_equal(in + 16384, zeroes, 4096);
    assert_memory_equal(in + 20480, out, 45056);
}

static struct cbd_disk *open_disk(unsigned threads, unsigned flags)
{
    struct cbd_shim_disk_options options = {.threads = threads, .flags = flags};
    struct cbd_disk *disk;

    assert_int_equal(cbd_shim_disk_open(path, &options, &disk, &err), 0);
    return disk;
}

static void disk_file_does_every_request(void **state)
{
    struct cbd_shim_disk_stats stats;
    struct cbd_disk *disk;

    (void)state;
    make_file(MIB);
    for (unsigned threads = 0; threads < 4; threads += 3) {
        disk = open_disk(threads, 0);
        assert_int_equal(disk->size_bytes, MIB);
        assert_int_equal(disk->logical_block_bytes, 512);
        assert_true(disk->volatile_cache);
        assert_true(disk->discard_zeroes);
        use_every_request(disk);
        cbd_shim_disk_stats(disk, &stats);
        assert_int_equal(stats.reads, 3);
        assert_int_equal(stats.writes, 2);
        assert_int_equal(stats.errors, 0);
        cbd_shim_disk_close(disk);
    }
}

static void disk_refuses_what_is_out_of_range(void **state)
{
    static uint8_t buf[4096];
    struct cbd_shim_disk_stats stats;
    struct cbd_disk *disk;

    (void)state;
    make_file(65536);
    disk = open_disk(0, 0);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 65536, 512, buf), CBD_E_RANGE);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, false, 65024, 1024, buf), CBD_E_RANGE);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, false, 0, 100, buf), CBD_E_RANGE);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 100, 512, buf), CBD_E_RANGE);
    assert_int_equal(do_io(disk, CBD_DISK_DISCARD, false, UINT64_MAX - 511, 1024, NULL),
                     CBD_E_RANGE);
    assert_int_equal(do_io(disk, CBD_DISK_ZERO, false, 0, 0, NULL), 0);
    cbd_shim_disk_stats(disk, &stats);
    assert_int_equal(stats.errors, 5);
    cbd_shim_disk_close(disk);
}

static void disk_readonly_reads_and_does_not_write(void **state)
{
    static uint8_t buf[4096];
    struct cbd_disk *disk;

    (void)state;
    make_file(65536);
    disk = open_disk(0, CBD_SHIM_DISK_READONLY);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 0, 4096, buf), 0);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, false, 0, 4096, buf), CBD_E_IO);
    assert_int_equal(do_io(disk, CBD_DISK_DISCARD, false, 0, 4096, NULL), CBD_E_IO);
    cbd_shim_disk_close(disk);
}

static void disk_cut_short_reports_io_error(void **state)
{
    static uint8_t buf[8192];
    struct cbd_disk *disk;

    (void)state;
    make_file(65536);
    disk = open_disk(0, 0);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(do_io(disk, CBD_DISK_READ, false, 0, 8192, buf), CBD_E_IO);
    cbd_shim_disk_close(disk);
}

/* The disk's descriptor is replaced by one that cannot be synced, and put back. */
static void disk_failed_sync_is_remembered(void **state)
{
    static uint8_t buf[512];
    struct cbd_disk *disk;
    int fd, saved, ends[2];

    (void)state;
    make_file(65536);
    fd = dup(STDIN_FILENO); /* the lowest free descriptor, so the next one opened is the same */
    assert_true(fd >= 0);
    close(fd);
    disk = open_disk(0, 0);
    saved = dup(fd);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(do_io(disk, CBD_DISK_FLUSH, false, 0, 0, NULL), 0);
    dup2(ends[1], fd);
    assert_int_equal(do_io(disk, CBD_DISK_FLUSH, false, 0, 0, NULL), CBD_E_IO);
    dup2(saved, fd);
    assert_int_equal(do_io(disk, CBD_DISK_FLUSH, false, 0, 0, NULL), CBD_E_IO);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, true, 0, 512, buf), CBD_E_IO);
    assert_int_equal(do_io(disk, CBD_DISK_ZERO, true, 0, 512, NULL), CBD_E_IO);
    assert_int_equal(do_io(disk, CBD_DISK_WRITE, false, 0, 512, buf), 0);
    cbd_shim_disk_close(disk);
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

static int open_disk_error(const char *name, uint32_t block_bytes, unsigned threads)
{
    struct cbd_shim_disk_options options = {.logical_block_bytes = block_bytes,
                                            .threads = threads};
    struct cbd_disk *disk = (struct cbd_disk *)1;
    int error = cbd_shim_disk_open(name, &options, &disk, &err);

    assert_null(disk);
    return error;
}

static void disk_bad_files_are_explained(void **state)
{
    struct cbd_disk *disk;

    (void)state;
    make_file(4096 + 512);
    assert_error(open_disk_error(path, 4096, 0), CBD_E_RANGE, "got 4608 bytes, limit a multiple");
    assert_error(open_disk_error(path, 1000, 0), CBD_E_INVALID, "got 1000 bytes");
    assert_error(open_disk_error(path, 8192, 0), CBD_E_INVALID, "got 8192 bytes");
    assert_error(open_disk_error(path, 0, 1000), CBD_E_INVALID, "1000 threads");
    make_file(0);
    assert_error(open_disk_error(path, 0, 0), CBD_E_RANGE, "got 0 bytes");
    assert_error(open_disk_error("/dev/null", 0, 0), CBD_E_INVALID, "a character device");
    make_file(4096);
    disk = open_disk(0, 0);
    assert_error(open_disk_error(path, 0, 0), CBD_E_BUSY, "in use");
    cbd_shim_disk_close(disk);
}

struct chain {
    struct cbd_disk_io io; /* first */
    struct cbd_disk *disk;
    uint8_t buf[512];
    atomic_int left;
    int failed;
};

static void resubmit(struct cbd_disk_io *io, int error)
{
    struct chain *c = (struct chain *)(void *)io;

    if (error != 0)
        c->failed++;
    if (atomic_fetch_sub(&c->left, 1) > 1)
        c->disk->ops->submit(c->disk, io);
}

static void start_chain(struct chain *c, struct cbd_disk *disk, int slot, int count)
{
    memset(c, 0, sizeof(*c));
    c->disk = disk;
    c->io.op = CBD_DISK_WRITE;
    c->io.off_bytes = (uint64_t)slot * 512;
    c->io.len_bytes = 512;
    c->io.buf = c->buf;
    c->io.done = resubmit;
    memset(c->buf, slot + 1, 512);
    atomic_init(&c->left, count);
    disk->ops->submit(disk, &c->io);
}

static void disk_chain_of_requests_needs_no_stack(void **state)
{
    struct cbd_disk *disk;
    struct chain c;

    (void)state;
    make_file(4096);
    disk = open_disk(0, 0);
    start_chain(&c, disk, 0, 200000);
    assert_int_equal(atomic_load(&c.left), 0);
    assert_int_equal(c.failed, 0);
    cbd_shim_disk_close(disk);
}

static void disk_close_waits_for_chains_in_the_pool(void **state)
{
    static struct chain chains[32];
    struct cbd_disk *disk;

    (void)state;
    make_file(65536);
    disk = open_disk(4, 0);
    for (int i = 0; i < 32; i++)
        start_chain(&chains[i], disk, i, 50);
    cbd_shim_disk_close(disk);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(atomic_load(&chains[i].left), 0);
        assert_int_equal(chains[i].failed, 0);
    }
}

/* --- a block node ---------------------------------------------------------------------------- */

/* Attaches `path` to a free loop device; false where that is not allowed. */
static bool attach_loop(char node[32], int *fd)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool attached;

    snprintf(node, 32, "/dev/loop%d", number);
    *fd = number < 0 ? -1 : open(node, O_RDWR | O_CLOEXEC);
    attached = *fd >= 0 && ioctl(*fd, LOOP_SET_FD, file) == 0;
    if (*fd >= 0 && !attached)
        close(*fd);
    if (control >= 0)
        close(control);
    close(file);
    return attached;
}

static void block_node_serves_as_pmem_and_as_disk(void **state)
{
    struct cbd_shim_disk_options odd = {.logical_block_bytes = 4096};
    struct cbd_disk *disk;
    struct cbd_pmem *pm;
    char node[32];
    int fd;

    (void)state;
    make_file(MIB);
    if (!attach_loop(node, &fd)) {
        print_message("no loop device: block nodes are not tested\n");
        skip();
    }
    assert_int_equal(cbd_shim_pmem_open(node, 0, 0, &pm, &err), 0);
    assert_int_equal(cbd_shim_pmem_kind(pm), CBD_SHIM_PMEM_BLOCK);
    assert_int_equal(pm->size_bytes, MIB);
    assert_int_equal(pm->granularity_bytes, 4096);
    assert_non_null(strstr(cbd_shim_pmem_advice(pm), "devdax"));
    use_every_operation(pm);
    assert_error(open_pmem_error(node, CBD_SHIM_PMEM_READONLY, 0), CBD_E_BUSY, "in use");
    assert_error(open_disk_error(node, 0, 0), CBD_E_BUSY, "in use");
    cbd_shim_pmem_close(pm);
    assert_error(open_pmem_error(node, 0, 2 * MIB), CBD_E_RANGE, "too small");

    assert_int_equal(cbd_shim_disk_open(node, &odd, &disk, &err), CBD_E_INVALID);
    assert_int_equal(cbd_shim_disk_open(node, NULL, &disk, &err), 0);
    assert_int_equal(disk->logical_block_bytes, 512);
    assert_false(disk->discard_zeroes);
    use_every_request(disk);
    cbd_shim_disk_close(disk);
    ioctl(fd, LOOP_CLR_FD);
    close(fd);
}

/* --- environment ----------------------------------------------------------------------------- */

static void count_reports(void *arg, const struct cbd_report *report)
{
    *(int *)arg += report->error;
}

static void env_gives_memory_time_and_random_numbers(void **state)
{
    struct cbd_report report = {.error = 3};
    struct cbd_env *env;
    uint64_t before;
    int sum = 0;
    void *p;

    (void)state;
    assert_int_equal(cbd_shim_env_open(count_reports, &sum, &env, &err), 0);
    p = env->ops->alloc(env, 100);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    env->ops->free(env, p, 100);
    p = env->ops->alloc(env, 0);
    assert_non_null(p);
    env->ops->free(env, p, 0);
    before = env->ops->now_ns(env);
    assert_true(env->ops->now_ns(env) >= before);
    assert_true(env->ops->random(env) != env->ops->random(env));
    env->ops->report(env, &report);
    assert_int_equal(sum, 3);
    env->ops->yield(env, CBD_YIELD_SPIN);
    cbd_shim_env_close(env);
}

struct flag {
    struct cbd_env *env;
    pthread_mutex_t lock; /* held around wake() and taken by ready(): must not deadlock */
    bool set;
};

static bool flag_is_set(void *arg)
{
    struct flag *flag = arg;
    bool set;

    pthread_mutex_lock(&flag->lock);
    set = flag->set;
    pthread_mutex_unlock(&flag->lock);
    return set;
}

static void *set_flag(void *arg)
{
    struct flag *flag = arg;

    pthread_mutex_lock(&flag->lock);
    flag->set = true;
    flag->env->ops->wake(flag->env);
    pthread_mutex_unlock(&flag->lock);
    return NULL;
}

static void env_wait_ends_by_wake_or_by_time(void **state)
{
    struct flag flag = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t id;

    (void)state;
    assert_int_equal(cbd_shim_env_open(NULL, NULL, &flag.env, NULL), 0);
    assert_int_equal(flag.env->ops->wait(flag.env, flag_is_set, &flag, 2000000), CBD_E_TIMEDOUT);
    assert_int_equal(flag.env->ops->wait(flag.env, flag_is_set, &flag, 0), CBD_E_TIMEDOUT);
    for (int i = 0; i < 200; i++) {
        flag.set = false;
        assert_int_equal(pthread_create(&id, NULL, set_flag, &flag), 0);
        assert_int_equal(flag.env->ops->wait(flag.env, flag_is_set, &flag, UINT64_MAX), 0);
        pthread_join(id, NULL);
    }
    cbd_shim_env_close(flag.env);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, remove_file)
    const struct CMUnitTest tests[] = {
        T(pmem_create_makes_a_private_file_of_the_size),
        T(pmem_create_without_space_says_how_much_and_leaves_nothing),
        T(pmem_page_granularity_does_every_operation),
        T(pmem_line_granularity_does_every_operation),
        T(pmem_byte_granularity_does_every_operation),
        T(pmem_content_is_there_after_reopen),
        T(pmem_read_beyond_the_end_is_refused),
        T(pmem_failed_msync_is_remembered),
        T(pmem_fence_syncs_what_was_marked_and_no_more),
        T(pmem_non_temporal_stores_are_synced),
        T(pmem_threads_share_msync),
        T(pmem_failed_msync_reaches_every_thread),
        T(pmem_writer_excludes_everybody),
        T(pmem_reader_excludes_writers_only),
        T(pmem_bad_paths_are_explained),
        T(pmem_odd_length_is_mapped_to_the_last_page),
        T(pmem_guarded_read_survives_sigbus),
        T(disk_file_does_every_request),
        T(disk_refuses_what_is_out_of_range),
        T(disk_readonly_reads_and_does_not_write),
        T(disk_cut_short_reports_io_error),
        T(disk_failed_sync_is_remembered),
        T(disk_bad_files_are_explained),
        T(disk_chain_of_requests_needs_no_stack),
        T(disk_close_waits_for_chains_in_the_pool),
        T(block_node_serves_as_pmem_and_as_disk),
        T(env_gives_memory_time_and_random_numbers),
        T(env_wait_ends_by_wake_or_by_time),
    };
#undef T

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
