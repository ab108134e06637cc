/* SPDX-License-Identifier: BSD-2-Clause */
/* Undo files: written before a repair stores, applied from the end. */
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/le.h"
#include "tool_exit.h"
#include "tool_message.h"

#define PAGE CBD_PAGE_BYTES
#define VERSION 1u

static const uint8_t magic[16] = "CBDUNDO\r\n\032\n";

struct head {
    uint8_t magic[16];
    struct cbd_le32 version;
    struct cbd_le32 crc;
    struct cbd_le64 device_bytes;
    uint8_t uuid[16];
    struct cbd_le64 salt;
    uint8_t reserved[8];
};

struct entry {
    struct cbd_le32 crc;
    struct cbd_le32 number;
    struct cbd_le64 off;
    struct cbd_le32 block_crc;
    struct cbd_le32 unread;
    uint8_t reserved[40];
};

_Static_assert(sizeof(struct head) == 64, "head");
_Static_assert(sizeof(struct entry) == 64, "entry");

struct step {
    struct entry entry;
    uint8_t block[PAGE];
};

_Static_assert(sizeof(struct step) == 64 + PAGE, "entry and block");

/* CRC-32C, bit by bit: a repair stores little. */
static uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1u)));
    }
    return crc;
}

static uint32_t head_crc(const struct head *h)
{
    struct head copy = *h;

    copy.crc = cbd_put32(0);
    return ~crc32c(0xffffffffu, &copy, sizeof(copy));
}

static uint32_t step_crc(const struct step *s)
{
    struct entry copy = s->entry;

    copy.crc = cbd_put32(0);
    return ~crc32c(crc32c(0xffffffffu, &copy, sizeof(copy)), s->block, PAGE);
}

static uint32_t block_crc(const struct step *s)
{
    return ~crc32c(0xffffffffu, s->block, PAGE);
}

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len != 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* The name is durable, too: else a power cut could leave a repair without its undo file. */
static bool sync_directory(const char *path)
{
    char copy[PATH_MAX];
    bool good;
    int fd;

    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return false;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static int cannot(const char *path)
{
    cbd_tool_error(path, "undo file: %s", strerror(errno));
    return CBD_EXIT_OPERATIONAL;
}

int undo_begin(struct undo *u, int fd, const char *path, struct cbd_pmem *pm,
               const struct cbd_super *super)
{
    struct head h = {.version = cbd_put32(VERSION), .device_bytes = cbd_put64(pm->size_bytes)};

    *u = (struct undo){.path = path, .pm = pm, .fd = fd};
    memcpy(h.magic, magic, sizeof(magic));
    memcpy(h.uuid, super->uuid, sizeof(h.uuid));
    h.salt = cbd_put64(super->salt);
    h.crc = cbd_put32(head_crc(&h));
    if (!write_all(u->fd, &h, sizeof(h)) || fsync(u->fd) != 0)
        return cannot(path);
    return 0;
}

int undo_create(struct undo *u, const char *path, struct cbd_pmem *pm,
                const struct cbd_super *super)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int code;

    *u = (struct undo){.path = path, .pm = pm, .fd = -1};
    if (fd < 0)
        return cannot(path);
    code = undo_begin(u, fd, path, pm, super);
    u->made = true;
    if (code == 0 && !sync_directory(path))
        code = cannot(path);
    return code;
}

static bool have(const struct undo *u, uint64_t page)
{
    for (uint32_t i = u->count; i-- > 0;)
        if (u->pages[i] == page)
            return true;
    return false;
}

static int save_page(struct undo *u, uint64_t page)
{
    struct step s = {.entry = {.number = cbd_put32(u->count), .off = cbd_put64(page * PAGE)}};
    bool unread = false;

    for (uint32_t line = 0; line < PAGE; line += CBD_LINE_BYTES)
        if (u->pm->ops->read(u->pm, page * PAGE + line, s.block + line, CBD_LINE_BYTES) != 0) {
            memset(s.block + line, 0, CBD_LINE_BYTES);
            unread = true;
        }
    s.entry.unread = cbd_put32(unread);
    s.entry.block_crc = cbd_put32(block_crc(&s));
    s.entry.crc = cbd_put32(step_crc(&s));
    if (u->count == u->cap) {
        uint32_t cap = u->cap != 0 ? 2 * u->cap : 64;
        uint64_t *more = realloc(u->pages, cap * sizeof(*more));

        if (more == NULL) {
            cbd_tool_error_code(u->path, "undo file", CBD_E_NOMEM);
            return CBD_E_NOMEM;
        }
        u->pages = more;
        u->cap = cap;
    }
    if (!write_all(u->fd, &s, sizeof(s)) || fdatasync(u->fd) != 0) {
        (void)cannot(u->path);
        return CBD_E_SYSTEM;
    }
    u->pages[u->count++] = page;
    return 0;
}

int undo_save(struct undo *u, uint64_t off_bytes, uint64_t len_bytes)
{
    int error = 0;

    for (uint64_t page = off_bytes / PAGE; page * PAGE < off_bytes + len_bytes && error == 0;
         page++)
        if (!have(u, page))
            error = save_page(u, page);
    return error;
}

void undo_close(struct undo *u)
{
    if (u->fd >= 0)
        close(u->fd);
    if (u->made && u->count == 0)
        unlink(u->path);
    u->made = false;
    free(u->pages);
    u->fd = -1;
    u->pages = NULL;
}

static bool read_at(int fd, void *bytes, size_t len, uint64_t off)
{
    char *at = bytes;

    while (len != 0) {
        ssize_t n = pread(fd, at, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool zeroes(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static int refuse(const char *path, uint64_t at, const char *what, uint64_t got, uint64_t limit)
{
    cbd_tool_error(path, "undo file at 0x%" PRIx64 ": %s: got %" PRIu64 ", limit %" PRIu64, at,
                   what, got, limit);
    return CBD_EXIT_OPERATIONAL;
}

/* Whether this is the undo file of that device. */
static int check_head(int fd, const char *path, const struct cbd_pmem *pm, struct head *h)
{
    if (!read_at(fd, h, sizeof(*h), 0) || memcmp(h->magic, magic, sizeof(magic)) != 0) {
        cbd_tool_error(path, "is no undo file of cbd-check");
        return CBD_EXIT_OPERATIONAL;
    }
    if (cbd_get32(h->crc) != head_crc(h))
        return refuse(path, 20, "wrong checksum", cbd_get32(h->crc), head_crc(h));
    if (cbd_get32(h->version) != VERSION)
        return refuse(path, 16, "unknown version", cbd_get32(h->version), VERSION);
    if (cbd_get64(h->device_bytes) != pm->size_bytes)
        return refuse(path, 24, "is of a device of another size", cbd_get64(h->device_bytes),
                      pm->size_bytes);
    if (!zeroes(h->reserved, sizeof(h->reserved)))
        return refuse(path, 56, "reserved bytes are not zero", 1, 0);
    return 0;
}

/* 0, or refused. *last: nothing valid follows, it was not finished. */
static int check_step(int fd, const char *path, const struct cbd_pmem *pm, uint64_t size,
                      uint32_t number, struct step *s, bool *last)
{
    uint64_t at = sizeof(struct head) + (uint64_t)number * sizeof(*s);

    *last = size - at < sizeof(*s);
    if (*last)
        return 0;
    if (!read_at(fd, s, sizeof(*s), at))
        return cannot(path);
    if (cbd_get32(s->entry.crc) != step_crc(s)) {
        /* The last one may be torn by the power cut that ended the repair. */
        *last = size - at == sizeof(*s);
        return *last ? 0 : refuse(path, at, "wrong checksum", cbd_get32(s->entry.crc), step_crc(s));
    }
    if (cbd_get32(s->entry.number) != number)
        return refuse(path, at + 4, "wrong number", cbd_get32(s->entry.number), number);
    if (cbd_get64(s->entry.off) % PAGE != 0 || pm->size_bytes < PAGE ||
        cbd_get64(s->entry.off) > pm->size_bytes - PAGE)
        return refuse(path, at + 8, "block outside of the device", cbd_get64(s->entry.off),
                      pm->size_bytes);
    if (cbd_get32(s->entry.block_crc) != block_crc(s))
        return refuse(path, at + 16, "wrong checksum of the block", cbd_get32(s->entry.block_crc),
                      block_crc(s));
    if (cbd_get32(s->entry.unread) > 1)
        return refuse(path, at + 20, "unreadable lines", cbd_get32(s->entry.unread), 1);
    if (!zeroes(s->entry.reserved, sizeof(s->entry.reserved)))
        return refuse(path, at + 24, "reserved bytes are not zero", 1, 0);
    return 0;
}

/* Any superblock copy that is still valid must be of the cache that the file is of. */
static int same_cache(const char *path, struct cbd_pmem *pm, struct cbd_env *env,
                      const struct head *h)
{
    struct cbd_super super;
    uint32_t bad;

    if (cbd_super_read(pm, env, &super, &bad) != 0)
        return 0; /* nothing to compare with: the size and the magic have to do */
    if (memcmp(super.uuid, h->uuid, sizeof(super.uuid)) == 0 && super.salt == cbd_get64(h->salt))
        return 0;
    cbd_tool_error(path, "is the undo file of another cache");
    return CBD_EXIT_OPERATIONAL;
}

int undo_apply(const char *path, const char *device_path, struct cbd_pmem *pm, struct cbd_env *env,
               bool quiet)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint32_t count = 0;
    struct stat st;
    struct head h;
    struct step s;
    bool last = false;
    int code;

    if (fd < 0 || fstat(fd, &st) != 0) {
        code = cannot(path);
        if (fd >= 0)
            close(fd);
        return code;
    }
    code = check_head(fd, path, pm, &h);
    if (code == 0)
        code = same_cache(path, pm, env, &h);
    /* All of it is looked at before anything is put back. */
    while (code == 0 && !last && count < UINT32_MAX) {
        code = check_step(fd, path, pm, (uint64_t)st.st_size, count, &s, &last);
        count += !last;
    }
    for (uint32_t n = count; n-- > 0 && code == 0;) {
        code = check_step(fd, path, pm, (uint64_t)st.st_size, n, &s, &last);
        if (code != 0)
            break;
        pm->ops->copy(pm, cbd_get64(s.entry.off), s.block, PAGE, CBD_PMEM_NT, CBD_STEP_NONE);
        if (pm->ops->fence(pm, CBD_STEP_NONE) != 0) {
            cbd_tool_error_code(device_path, "cannot be made durable", CBD_E_IO);
            code = CBD_EXIT_OPERATIONAL;
        }
    }
    close(fd);
    if (code == 0 && !quiet)
        printf("%s: %" PRIu32 " blocks are as they were before the repair\n", device_path, count);
    if (code == 0)
        code = count != 0 ? CBD_EXIT_CORRECTED : CBD_EXIT_CLEAN;
    return code;
}
