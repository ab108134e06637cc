/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disk seam by blocking system calls, in submit() or in a pool of workers.
 *
 * The kernel reports a failed write-back once and drops the pages, so that the next fdatasync()
 * succeeds although data is missing. The seam promises otherwise; hence `sync_failed` stays set.
 */
#include "cbd/shim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim_common.h"
#include "pool.h"

#define ZEROES_BYTES 65536u
#define OP_COUNT (CBD_DISK_ZERO + 1)

struct shim_disk {
    struct cbd_disk disk; /* first: the seam's pointer is ours */
    /* immutable after open */
    int fd;
    bool node;
    bool readonly;
    struct shim_pool *pool; /* NULL: submit() does the work */
    /* any thread */
    atomic_bool sync_failed;
    atomic_uint_least64_t requests[OP_COUNT];
    atomic_uint_least64_t errors;
};

static struct shim_disk *impl(struct cbd_disk *disk)
{
    return (struct shim_disk *)(void *)disk;
}

/* Every function below returns 0 or an errno. */

static int read_all(int fd, uint8_t *buf, uint64_t len_bytes, uint64_t off_bytes)
{
    while (len_bytes > 0) {
        ssize_t got = pread(fd, buf, len_bytes, (off_t)off_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? EIO : errno; /* 0: somebody cut the file short */
        buf += got;
        off_bytes += (uint64_t)got;
        len_bytes -= (uint64_t)got;
    }
    return 0;
}

static int write_all(int fd, const uint8_t *buf, uint64_t len_bytes, uint64_t off_bytes, int flags)
{
    while (len_bytes > 0) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len_bytes};
        ssize_t put = pwritev2(fd, &part, 1, (off_t)off_bytes, flags);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put == 0 ? EIO : errno;
        buf += put;
        off_bytes += (uint64_t)put;
        len_bytes -= (uint64_t)put;
    }
    return 0;
}

static int sync_data(struct shim_disk *d)
{
    int rc;

    if (atomic_load(&d->sync_failed))
        return EIO;
    do {
        rc = fdatasync(d->fd);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    rc = errno;
    atomic_store(&d->sync_failed, true);
    return rc;
}

static int do_write(struct shim_disk *d, const struct cbd_disk_io *io)
{
    int rc;

    if (!io->fua)
        return write_all(d->fd, io->buf, io->len_bytes, io->off_bytes, 0);
    if (atomic_load(&d->sync_failed))
        return EIO;
    rc = write_all(d->fd, io->buf, io->len_bytes, io->off_bytes, RWF_DSYNC);
    if (rc == EOPNOTSUPP || rc == ENOSYS) {
        rc = write_all(d->fd, io->buf, io->len_bytes, io->off_bytes, 0);
        return rc != 0 ? rc : sync_data(d);
    }
    if (rc != 0)
        atomic_store(&d->sync_failed, true); /* it may have been the sync that failed */
    return rc;
}

static int write_zeroes(struct shim_disk *d, uint64_t off_bytes, uint64_t len_bytes)
{
    static const uint8_t zeroes[ZEROES_BYTES];
    int rc = 0;

    while (rc == 0 && len_bytes > 0) {
        uint64_t part = len_bytes < ZEROES_BYTES ? len_bytes : ZEROES_BYTES;

        rc = write_all(d->fd, zeroes, part, off_bytes, 0);
        off_bytes += part;
        len_bytes -= part;
    }
    return rc;
}

/* One call for a range: the ioctl of nodes, or fallocate() of files. */
static int range_call(struct shim_disk *d, unsigned long node_ioctl, int file_mode,
                      const struct cbd_disk_io *io)
{
    uint64_t range[2] = {io->off_bytes, io->len_bytes};
    int rc;

    do {
        if (d->node)
            rc = ioctl(d->fd, node_ioctl, range);
        else
            rc = fallocate(d->fd, file_mode | FALLOC_FL_KEEP_SIZE, (off_t)io->off_bytes,
                           (off_t)io->len_bytes);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

static bool unsupported(int sys_errno)
{
    return sys_errno == EOPNOTSUPP || sys_errno == ENOSYS || sys_errno == ENOTTY ||
           sys_errno == EINVAL;
}

static int do_discard(struct shim_disk *d, const struct cbd_disk_io *io)
{
    int rc = range_call(d, BLKDISCARD, FALLOC_FL_PUNCH_HOLE, io);

    if (!unsupported(rc))
        return rc;
    /* A node promised nothing; a file promised zeroes. */
    return d->node ? 0 : write_zeroes(d, io->off_bytes, io->len_bytes);
}

static int do_zero(struct shim_disk *d, const struct cbd_disk_io *io)
{
    int rc = range_call(d, BLKZEROOUT, FALLOC_FL_ZERO_RANGE, io);

    if (unsupported(rc))
        rc = write_zeroes(d, io->off_bytes, io->len_bytes);
    return rc == 0 && io->fua ? sync_data(d) : rc;
}

static bool in_range(const struct cbd_disk *disk, const struct cbd_disk_io *io)
{
    uint64_t mask = disk->logical_block_bytes - 1;

    return ((io->off_bytes | io->len_bytes) & mask) == 0 && io->off_bytes <= disk->size_bytes &&
           io->len_bytes <= disk->size_bytes - io->off_bytes;
}

static int execute(struct shim_disk *d, const struct cbd_disk_io *io)
{
    int rc;

    if (io->op == CBD_DISK_FLUSH)
        return sync_data(d) == 0 ? 0 : CBD_E_IO;
    if (!in_range(&d->disk, io))
        return CBD_E_RANGE;
    if (d->readonly && io->op != CBD_DISK_READ)
        return CBD_E_IO;
    /* fallocate() refuses an empty range; a flag for durability has nothing to act on. */
    if (io->len_bytes == 0)
        return 0;
    switch (io->op) {
    case CBD_DISK_READ:
        rc = read_all(d->fd, io->buf, io->len_bytes, io->off_bytes);
        break;
    case CBD_DISK_WRITE:
        rc = do_write(d, io);
        break;
    case CBD_DISK_DISCARD:
        rc = do_discard(d, io);
        break;
    default:
        rc = do_zero(d, io);
        break;
    }
    return rc == 0 ? 0 : CBD_E_IO;
}

static void run(void *arg, struct cbd_disk_io *io)
{
    struct shim_disk *d = arg;
    int error = execute(d, io);

    atomic_fetch_add_explicit(&d->requests[io->op], 1, memory_order_relaxed);
    if (error != 0)
        atomic_fetch_add_explicit(&d->errors, 1, memory_order_relaxed);
    io->done(io, error);
}

/* Requests that done() submitted to this thread's disks, so that chains of them need no stack. */
static _Thread_local struct {
    bool running;
    struct cbd_disk_io *head, **tail;
} here;

static void run_here(struct shim_disk *d, struct cbd_disk_io *io)
{
    io->next = NULL;
    io->cookie = (uint64_t)(uintptr_t)d;
    if (here.running) {
        *here.tail = io;
        here.tail = &io->next;
        return;
    }
    here.running = true;
    here.head = io;
    here.tail = &io->next;
    while (here.head != NULL) {
        io = here.head;
        here.head = io->next;
        if (here.head == NULL)
            here.tail = &here.head;
        run((void *)(uintptr_t)io->cookie, io);
    }
    here.running = false;
}

static void submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    struct shim_disk *d = impl(disk);

    SHIM_ASSERT((unsigned)io->op < OP_COUNT && io->done != NULL);
    if (d->pool != NULL)
        shim_pool_submit(d->pool, io);
    else
        run_here(d, io);
}

static const struct cbd_disk_ops disk_ops = {.submit = submit};

static bool block_size_valid(uint32_t bytes)
{
    return bytes >= 512 && bytes <= 4096 && (bytes & (bytes - 1)) == 0;
}

static int declare(struct shim_disk *d, const struct shim_file *file, uint32_t asked_block_bytes,
                   const char *path, struct cbd_shim_error *err)
{
    uint32_t block_bytes = d->node ? file->logical_block_bytes : asked_block_bytes;

    if (block_bytes == 0)
        block_bytes = 512;
    if (d->node && asked_block_bytes != 0)
        return shim_fail(err, CBD_E_INVALID, 0, path,
                         "logical block size: got %u bytes, limit what the device has (%u)",
                         asked_block_bytes, block_bytes);
    if (!block_size_valid(block_bytes))
        return shim_fail(err, CBD_E_INVALID, 0, path,
                         "logical block size: got %u bytes, limit a power of two of 512..4096",
                         block_bytes);
    if (file->size_bytes == 0 || file->size_bytes % block_bytes != 0)
        return shim_fail(err, CBD_E_RANGE, 0, path,
                         "size: got %llu bytes, limit a multiple of %u and not empty",
                         (unsigned long long)file->size_bytes, block_bytes);
    d->disk.ops = &disk_ops;
    d->disk.size_bytes = file->size_bytes;
    d->disk.logical_block_bytes = block_bytes;
    d->disk.volatile_cache = true;
    d->disk.discard_zeroes = !d->node;
    return 0;
}

int cbd_shim_disk_open(const char *path, const struct cbd_shim_disk_options *options,
                       struct cbd_disk **disk, struct cbd_shim_error *err)
{
    static const struct cbd_shim_disk_options defaults;
    const struct cbd_shim_disk_options *o = options != NULL ? options : &defaults;
    bool readonly = (o->flags & CBD_SHIM_DISK_READONLY) != 0;
    struct shim_file file;
    struct shim_disk *d;
    int error;

    *disk = NULL;
    if ((o->flags & ~(unsigned)CBD_SHIM_DISK_READONLY) || o->threads > CBD_SHIM_DISK_THREADS_MAX)
        return shim_fail(err, CBD_E_INVALID, 0, path,
                         "options: got flags %#x and %u threads, limit %#x and %u", o->flags,
                         o->threads, CBD_SHIM_DISK_READONLY, CBD_SHIM_DISK_THREADS_MAX);
    error = shim_file_open(path, readonly, SHIM_FILE_REGULAR | SHIM_FILE_BLOCK, &file, err);
    if (error != 0)
        return error;
    d = calloc(1, sizeof(*d));
    if (d == NULL) {
        close(file.fd);
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    }
    d->fd = file.fd;
    d->node = file.kind == SHIM_FILE_BLOCK;
    d->readonly = readonly;
    error = declare(d, &file, o->logical_block_bytes, path, err);
    if (error == 0 && o->threads > 0) {
        error = shim_pool_open(o->threads, run, d, &d->pool);
        if (error != 0)
            shim_fail(err, error, 0, path, "%u threads cannot be started", o->threads);
    }
    if (error != 0) {
        close(d->fd);
        free(d);
        return error;
    }
    shim_no_error(err);
    *disk = &d->disk;
    return 0;
}

int cbd_shim_disk_start(struct cbd_disk *disk, unsigned threads)
{
    struct shim_disk *d = impl(disk);

    if (d->pool != NULL || threads == 0 || threads > CBD_SHIM_DISK_THREADS_MAX)
        return CBD_E_INVALID;
    return shim_pool_open(threads, run, d, &d->pool);
}

bool cbd_shim_disk_hole(struct cbd_disk *disk, uint64_t off_bytes, uint64_t len_bytes,
                        uint64_t *run_bytes)
{
    struct shim_disk *d = impl(disk);
    off_t data, end;

    *run_bytes = len_bytes;
    if (d->node)
        return false;
    data = lseek(d->fd, (off_t)off_bytes, SEEK_DATA);
    if (data < 0) /* ENXIO: a hole up to the end */
        return errno == ENXIO && off_bytes + len_bytes <= disk->size_bytes;
    if ((uint64_t)data > off_bytes) {
        if ((uint64_t)data - off_bytes < len_bytes)
            *run_bytes = (uint64_t)data - off_bytes;
        return true;
    }
    end = lseek(d->fd, (off_t)off_bytes, SEEK_HOLE);
    if (end > (off_t)off_bytes && (uint64_t)end - off_bytes < len_bytes)
        *run_bytes = (uint64_t)end - off_bytes;
    return false;
}

void cbd_shim_disk_close(struct cbd_disk *disk)
{
    struct shim_disk *d = impl(disk);

    if (d == NULL)
        return;
    shim_pool_close(d->pool);
    close(d->fd);
    free(d);
}

void cbd_shim_disk_stats(const struct cbd_disk *disk, struct cbd_shim_disk_stats *stats)
{
    const struct shim_disk *d = (const struct shim_disk *)(const void *)disk;

    stats->reads = atomic_load(&d->requests[CBD_DISK_READ]);
    stats->writes = atomic_load(&d->requests[CBD_DISK_WRITE]);
    stats->flushes = atomic_load(&d->requests[CBD_DISK_FLUSH]);
    stats->discards = atomic_load(&d->requests[CBD_DISK_DISCARD]);
    stats->zeroes = atomic_load(&d->requests[CBD_DISK_ZERO]);
    stats->errors = atomic_load(&d->errors);
}
