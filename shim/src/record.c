/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a record. One lock gives the order: an event is put into the buffer under it, and its
 * place there is its place in the order. The real operation is done outside, so threads still meet
 * at the devices as they would without.
 */
#include "cbd/shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cbd/shim/disk.h"
#include "shim_common.h"

#define BUFFER_BYTES (1u << 20)
#define IMAGE_BYTES 4096u
#define IMAGE_READ_BYTES 65536u

_Static_assert(sizeof(struct cbd_record_event) == 56, "no holes");
_Static_assert(sizeof(struct cbd_record_block) == 24, "no holes");
_Static_assert(sizeof(struct cbd_record_head) == 40, "no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian");

struct recorded_disk {
    struct cbd_disk disk; /* first */
    struct cbd_recorder *recorder;
    struct cbd_disk *inner;
    unsigned number;
};

struct cbd_recorder {
    struct cbd_pmem pm; /* first */
    struct cbd_pmem *inner;
    int fd;
    uint64_t limit_bytes;
    struct recorded_disk disks[CBD_RECORD_DISKS];
    unsigned disk_count;
    atomic_uint_least64_t requests;
    atomic_uint threads;
    _Atomic(const char *) stopped;
    pthread_mutex_t mutex; /* what follows */
    uint64_t file_bytes;   /* written, without the buffer */
    uint64_t events;       /* of all blocks that were written */
    struct cbd_record_block block;
    uint8_t *buffer;
    size_t capacity;
};

/* A request of the cache on its way to the real disk. */
struct passed {
    struct cbd_disk_io io; /* first */
    struct cbd_disk_io *original;
    struct recorded_disk *disk;
    uint64_t number;
};

static _Thread_local unsigned thread_number; /* 0: none yet */

static uint64_t mixed(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

/* Four parts go on side by side: a step of one does not wait for that of another. */
uint64_t cbd_record_hash(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint64_t h = 0x9e3779b97f4a7c15u ^ bytes;
    uint64_t a = h, b = h + 1, c = h + 2, d = h + 3;
    uint64_t word[4];

    for (; bytes >= sizeof(word); p += sizeof(word), bytes -= sizeof(word)) {
        memcpy(word, p, sizeof(word));
        a = mixed(a, word[0]);
        b = mixed(b, word[1]);
        c = mixed(c, word[2]);
        d = mixed(d, word[3]);
        /* In registers of their own: no vector unit multiplies 64 bits as fast. */
        __asm__("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    h = mixed(mixed(mixed(mixed(h, a), b), c), d);
    for (; bytes >= 8; p += 8, bytes -= 8) {
        memcpy(word, p, 8);
        h = mixed(h, word[0]);
    }
    for (; bytes > 0; p++, bytes--)
        h = (h ^ *p) * 0xc4ceb9fe1a85ec53u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static bool write_all(int fd, const void *data, size_t bytes)
{
    const uint8_t *p = data;

    while (bytes > 0) {
        ssize_t put = write(fd, p, bytes);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        p += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* The lock is held. */
static void write_block(struct cbd_recorder *r)
{
    size_t bytes = sizeof(r->block) + r->block.bytes;

    if (r->block.events == 0)
        return;
    r->block.first = r->events;
    memcpy(r->buffer, &r->block, sizeof(r->block));
    r->block.hash = cbd_record_hash(r->buffer + 8, bytes - 8);
    memcpy(r->buffer, &r->block, sizeof(r->block));
    if (!write_all(r->fd, r->buffer, bytes))
        atomic_store(&r->stopped, "the record cannot be written: no room, or an error");
    r->file_bytes += bytes;
    r->events += r->block.events;
    r->block = (struct cbd_record_block){0};
}

/* The lock is held; there is room. */
static void put(struct cbd_recorder *r, const struct cbd_record_event *e, const void *data)
{
    uint8_t *p = r->buffer + sizeof(r->block) + r->block.bytes;
    size_t padded = (e->data_bytes + 7u) & ~(size_t)7;

    memcpy(p, e, sizeof(*e));
    if (padded != 0) {
        memset(p + sizeof(*e) + padded - 8, 0, 8);
        memcpy(p + sizeof(*e), data, e->data_bytes);
    }
    r->block.bytes += (uint32_t)(sizeof(*e) + padded);
    r->block.events++;
}

static bool make_room(struct cbd_recorder *r, size_t bytes)
{
    size_t need = sizeof(r->block) + r->block.bytes + bytes;
    uint8_t *grown;

    if (need > BUFFER_BYTES)
        write_block(r);
    need = sizeof(r->block) + r->block.bytes + bytes;
    if (need <= r->capacity)
        return true;
    grown = realloc(r->buffer, need);
    if (grown == NULL)
        return false;
    r->buffer = grown;
    r->capacity = need;
    return true;
}

static void append(struct cbd_recorder *r, struct cbd_record_event *e, const void *data)
{
    size_t bytes = sizeof(*e) + ((e->data_bytes + 7u) & ~(size_t)7);
    struct timespec now;

    if (atomic_load(&r->stopped) != NULL)
        return;
    if (thread_number == 0)
        thread_number = atomic_fetch_add(&r->threads, 1) + 1;
    e->thread = thread_number;
    pthread_mutex_lock(&r->mutex);
    if (atomic_load(&r->stopped) != NULL) {
        pthread_mutex_unlock(&r->mutex);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    e->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (r->file_bytes + r->block.bytes + bytes > r->limit_bytes || !make_room(r, bytes)) {
        struct cbd_record_event full = {.kind = CBD_RECORD_FULL, .time_ns = e->time_ns};

        if (make_room(r, sizeof(full))) {
            put(r, &full, NULL);
            write_block(r);
        }
        atomic_store(&r->stopped, "the record has reached its bound");
    } else {
        put(r, e, data);
    }
    pthread_mutex_unlock(&r->mutex);
}

static struct cbd_recorder *impl(struct cbd_pmem *pm)
{
    return (struct cbd_recorder *)(void *)pm;
}

static void rec_store64(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step)
{
    struct cbd_recorder *r = impl(pm);
    struct cbd_record_event e = {
        .kind = CBD_RECORD_STORE64, .off = off, .len = 8, .arg = value, .step = (uint16_t)step};

    append(r, &e, NULL);
    r->inner->ops->store64(r->inner, off, value, step);
}

static void rec_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                     unsigned flags, enum cbd_step step)
{
    struct cbd_recorder *r = impl(pm);
    struct cbd_record_event e = {.kind = CBD_RECORD_COPY,
                                 .off = off,
                                 .len = len_bytes,
                                 .flags = flags,
                                 .step = (uint16_t)step,
                                 .data_bytes = (uint32_t)len_bytes};

    append(r, &e, src);
    r->inner->ops->copy(r->inner, off, src, len_bytes, flags, step);
}

static void rec_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                    unsigned flags, enum cbd_step step)
{
    struct cbd_recorder *r = impl(pm);
    struct cbd_record_event e = {.kind = CBD_RECORD_SET,
                                 .off = off,
                                 .len = len_bytes,
                                 .arg = value,
                                 .flags = flags,
                                 .step = (uint16_t)step};

    append(r, &e, NULL);
    r->inner->ops->set(r->inner, off, value, len_bytes, flags, step);
}

static void rec_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    struct cbd_recorder *r = impl(pm);
    struct cbd_record_event e = {
        .kind = CBD_RECORD_FLUSH, .off = off, .len = len_bytes, .step = (uint16_t)step};

    append(r, &e, NULL);
    r->inner->ops->flush(r->inner, off, len_bytes, step);
}

static int rec_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    struct cbd_recorder *r = impl(pm);
    struct cbd_record_event e = {.kind = CBD_RECORD_FENCE, .step = (uint16_t)step};

    e.error = r->inner->ops->fence(r->inner, step);
    append(r, &e, NULL);
    return e.error;
}

static int rec_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len_bytes)
{
    struct cbd_pmem *inner = impl(pm)->inner;

    return inner->ops->read(inner, off, dst, len_bytes);
}

static int rec_read_array(struct cbd_pmem *pm, uint64_t off, void *dst, size_t object_bytes,
                          size_t count)
{
    struct cbd_pmem *inner = impl(pm)->inner;

    return inner->ops->read_array(inner, off, dst, object_bytes, count);
}

static void rec_want(struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    struct cbd_pmem *inner = impl(pm)->inner;

    if (inner->ops->want != NULL)
        inner->ops->want(inner, off, len_bytes);
}

static const struct cbd_pmem_ops ops = {
    .store64 = rec_store64,
    .copy = rec_copy,
    .set = rec_set,
    .flush = rec_flush,
    .fence = rec_fence,
    .read = rec_read,
    .read_array = rec_read_array,
    .want = rec_want,
};
static const struct cbd_pmem_ops ops_without_array = {
    .store64 = rec_store64,
    .copy = rec_copy,
    .set = rec_set,
    .flush = rec_flush,
    .fence = rec_fence,
    .read = rec_read,
    .want = rec_want,
};

static void passed_done(struct cbd_disk_io *io, int error)
{
    struct passed *p = (struct passed *)(void *)io;
    struct cbd_disk_io *original = p->original;
    struct cbd_record_event e = {.kind = CBD_RECORD_DISK_DONE,
                                 .disk = (uint8_t)p->disk->number,
                                 .arg = p->number,
                                 .error = error};

    if (io->op != CBD_DISK_READ)
        append(p->disk->recorder, &e, NULL);
    free(p);
    original->done(original, error);
}

static void rec_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    static const enum cbd_record_request what[] = {
        [CBD_DISK_READ] = CBD_RECORD_READ,  [CBD_DISK_WRITE] = CBD_RECORD_WRITE,
        [CBD_DISK_FLUSH] = CBD_RECORD_SYNC, [CBD_DISK_DISCARD] = CBD_RECORD_DISCARD,
        [CBD_DISK_ZERO] = CBD_RECORD_ZERO,
    };
    struct recorded_disk *d = (struct recorded_disk *)(void *)disk;
    struct passed *p = malloc(sizeof(*p));
    struct cbd_record_event e = {.kind = CBD_RECORD_DISK_SUBMIT,
                                 .disk = (uint8_t)d->number,
                                 .off = io->off_bytes,
                                 .len = io->len_bytes,
                                 .flags = (uint32_t)what[io->op] | (io->fua ? CBD_RECORD_FUA : 0u),
                                 .data_bytes =
                                     io->op == CBD_DISK_WRITE ? (uint32_t)io->len_bytes : 0};

    if (p == NULL) {
        io->done(io, CBD_E_IO);
        return;
    }
    *p = (struct passed){.io = *io, .original = io, .disk = d};
    p->io.done = passed_done;
    if (io->op != CBD_DISK_READ) {
        p->number = e.arg = atomic_fetch_add(&d->recorder->requests, 1);
        append(d->recorder, &e, io->buf);
    }
    d->inner->ops->submit(d->inner, &p->io);
}

static const struct cbd_disk_ops disk_ops = {.submit = rec_submit};

static void image(struct cbd_recorder *r, enum cbd_record_kind kind, unsigned disk, uint64_t off,
                  const uint8_t *data, size_t bytes)
{
    struct cbd_record_event e = {
        .kind = (uint8_t)kind, .disk = (uint8_t)disk, .off = off, .data_bytes = (uint32_t)bytes};

    for (size_t i = 0; i < bytes; i++) {
        if (data[i] != 0) {
            append(r, &e, data);
            return;
        }
    }
}

static int after_image(struct cbd_recorder *r, const char *path, struct cbd_shim_error *err)
{
    if (atomic_load(&r->stopped) == NULL)
        return 0;
    return shim_fail(err, CBD_E_RANGE, 0, path, "what the devices hold is more than the bound: %s",
                     atomic_load(&r->stopped));
}

int cbd_recorder_open(const char *path, uint64_t limit_bytes, struct cbd_pmem *pm,
                      struct cbd_recorder **recorder, struct cbd_shim_error *err)
{
    struct cbd_record_head head = {.version = CBD_RECORD_VERSION, .pmem_bytes = pm->size_bytes};
    struct cbd_recorder *r = calloc(1, sizeof(*r));
    uint8_t page[IMAGE_BYTES];

    *recorder = NULL;
    if (r == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r->fd < 0) {
        int sys_errno = errno;

        free(r);
        return shim_fail_errno(err, sys_errno, path, "cannot be made");
    }
    pthread_mutex_init(&r->mutex, NULL);
    r->pm = *pm;
    r->pm.ops = pm->ops->read_array != NULL ? &ops : &ops_without_array;
    r->inner = pm;
    r->limit_bytes = limit_bytes;
    memcpy(head.magic, CBD_RECORD_MAGIC, sizeof(head.magic));
    head.hash = cbd_record_hash(&head, offsetof(struct cbd_record_head, hash));
    if (!write_all(r->fd, &head, sizeof(head)))
        atomic_store(&r->stopped, "it cannot be written");
    r->file_bytes = sizeof(head);
    for (uint64_t off = 0; off < pm->size_bytes; off += sizeof(page)) {
        size_t bytes =
            pm->size_bytes - off < sizeof(page) ? (size_t)(pm->size_bytes - off) : sizeof(page);

        if (pm->ops->read(pm, off, page, bytes) == 0)
            image(r, CBD_RECORD_PMEM_IMAGE, 0, off, page, bytes);
    }
    if (after_image(r, path, err) != 0) {
        cbd_recorder_close(r);
        return CBD_E_RANGE;
    }
    *recorder = r;
    return 0;
}

struct cbd_pmem *cbd_recorder_pmem(struct cbd_recorder *r)
{
    return &r->pm;
}

struct waited {
    struct cbd_disk_io io;
    atomic_int error; /* 1: not yet */
};

static void waited_done(struct cbd_disk_io *io, int error)
{
    atomic_store(&((struct waited *)(void *)io)->error, error);
}

static int read_disk(struct cbd_disk *disk, uint64_t off, uint8_t *buf, uint64_t len)
{
    struct waited w = {.io = {.op = CBD_DISK_READ,
                              .off_bytes = off,
                              .len_bytes = len,
                              .buf = buf,
                              .done = waited_done}};

    atomic_init(&w.error, 1);
    disk->ops->submit(disk, &w.io);
    while (atomic_load(&w.error) == 1)
        usleep(10); /* with workers only; there are none before a server starts */
    return atomic_load(&w.error);
}

int cbd_recorder_add_disk(struct cbd_recorder *r, const char *name, unsigned flags,
                          struct cbd_disk *disk, struct cbd_disk **recorded, unsigned *number,
                          struct cbd_shim_error *err)
{
    struct recorded_disk *d = &r->disks[r->disk_count];
    struct cbd_record_event e = {.kind = CBD_RECORD_DISK,
                                 .disk = (uint8_t)r->disk_count,
                                 .off = disk->size_bytes,
                                 .len = disk->logical_block_bytes,
                                 .flags = flags,
                                 .data_bytes = (uint32_t)strlen(name)};
    uint8_t *buf = malloc(IMAGE_READ_BYTES);
    uint64_t run;
    int error = 0;

    if (r->disk_count == CBD_RECORD_DISKS || buf == NULL) {
        free(buf);
        return shim_fail(err, CBD_E_NOMEM, 0, name, "no memory, or too many disks");
    }
    e.flags |= disk->volatile_cache ? CBD_RECORD_VOLATILE : 0u;
    e.flags |= disk->discard_zeroes ? CBD_RECORD_DISCARD_ZEROES : 0u;
    *d = (struct recorded_disk){
        .disk = *disk, .recorder = r, .inner = disk, .number = r->disk_count};
    d->disk.ops = &disk_ops;
    append(r, &e, name);
    for (uint64_t off = 0; off < disk->size_bytes && error == 0; off += run) {
        uint64_t left = disk->size_bytes - off;
        bool hole = cbd_shim_disk_hole(disk, off, left, &run);

        if (hole)
            continue;
        run = run < IMAGE_READ_BYTES ? run : IMAGE_READ_BYTES;
        error = read_disk(disk, off, buf, run);
        for (uint64_t at = 0; at < run && error == 0; at += IMAGE_BYTES)
            image(r, CBD_RECORD_DISK_IMAGE, d->number, off + at, buf + at,
                  run - at < IMAGE_BYTES ? run - at : IMAGE_BYTES);
    }
    free(buf);
    if (error != 0)
        return shim_fail(err, error, 0, name, "cannot be read");
    *number = r->disk_count++;
    *recorded = &d->disk;
    return after_image(r, name, err);
}

int cbd_recorder_begin(struct cbd_recorder *r, struct cbd_shim_error *err)
{
    struct cbd_record_event e = {.kind = CBD_RECORD_BEGIN};

    append(r, &e, NULL);
    return after_image(r, "record", err);
}

/* The hashes of the sectors of buf, or NULL: then nothing is recorded of the content. */
static uint64_t *hashes(const void *buf, uint64_t len)
{
    uint64_t count = len / CBD_RECORD_SECTOR_BYTES;
    uint64_t *h = buf != NULL && count > 0 ? malloc(count * 8) : NULL;

    for (uint64_t i = 0; i < count && h != NULL; i++)
        h[i] = cbd_record_hash((const uint8_t *)buf + i * CBD_RECORD_SECTOR_BYTES,
                               CBD_RECORD_SECTOR_BYTES);
    return h;
}

uint64_t cbd_recorder_request(struct cbd_recorder *r, unsigned disk, enum cbd_record_request what,
                              bool fua, uint64_t off, uint64_t len, const void *buf)
{
    uint64_t *h = hashes(buf, len);
    struct cbd_record_event e = {
        .kind = CBD_RECORD_REQUEST,
        .disk = (uint8_t)disk,
        .off = off,
        .len = len,
        .arg = atomic_fetch_add(&r->requests, 1),
        .flags = (uint32_t)what | (fua ? CBD_RECORD_FUA : 0u),
        .data_bytes = h != NULL ? (uint32_t)(len / CBD_RECORD_SECTOR_BYTES * 8) : 0,
    };

    if (what == CBD_RECORD_WRITE && h == NULL && len != 0)
        atomic_store(&r->stopped, "no memory");
    append(r, &e, h);
    free(h);
    return e.arg;
}

void cbd_recorder_answer(struct cbd_recorder *r, unsigned disk, uint64_t request, int error,
                         const void *buf, uint64_t len)
{
    uint64_t *h = error == 0 ? hashes(buf, len) : NULL;
    struct cbd_record_event e = {
        .kind = CBD_RECORD_ANSWER,
        .disk = (uint8_t)disk,
        .arg = request,
        .error = error,
        .data_bytes = h != NULL ? (uint32_t)(len / CBD_RECORD_SECTOR_BYTES * 8) : 0,
    };

    append(r, &e, h);
    free(h);
}

const char *cbd_recorder_stopped(const struct cbd_recorder *r)
{
    return atomic_load(&r->stopped);
}

void cbd_recorder_close(struct cbd_recorder *r)
{
    struct cbd_record_event e = {.kind = CBD_RECORD_END};

    if (r == NULL)
        return;
    append(r, &e, NULL);
    pthread_mutex_lock(&r->mutex);
    if (atomic_load(&r->stopped) == NULL)
        write_block(r);
    pthread_mutex_unlock(&r->mutex);
    pthread_mutex_destroy(&r->mutex);
    close(r->fd);
    free(r->buffer);
    free(r);
}
