/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a record: any bytes are taken, what cannot be true ends it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/shim/record.h"
#include "shim_common.h"

struct cbd_record_reader {
    const uint8_t *bytes;
    uint64_t len;
    bool mapped;
    uint64_t pmem_bytes;
    uint64_t at;          /* the next event */
    uint64_t block_end;   /* of its block; at == block_end: a block comes next */
    uint64_t events_left; /* in the block */
    uint64_t events;      /* before the block that is being read, and in it */
    const char *wrong;
};

int cbd_record_reader_open_memory(const void *bytes, uint64_t len,
                                  struct cbd_record_reader **reader, struct cbd_shim_error *err)
{
    struct cbd_record_reader *r;
    struct cbd_record_head head;

    *reader = NULL;
    if (len < sizeof(head))
        return shim_fail(err, CBD_E_NOTCBD, 0, "record", "too short: got %llu bytes, limit %zu",
                         (unsigned long long)len, sizeof(head));
    memcpy(&head, bytes, sizeof(head));
    if (memcmp(head.magic, CBD_RECORD_MAGIC, sizeof(head.magic)) != 0)
        return shim_fail(err, CBD_E_NOTCBD, 0, "record", "this is no record");
    if (head.version != CBD_RECORD_VERSION)
        return shim_fail(err, CBD_E_VERSION, 0, "record", "version: got %u, limit %u", head.version,
                         CBD_RECORD_VERSION);
    if (head.hash != cbd_record_hash(&head, offsetof(struct cbd_record_head, hash)))
        return shim_fail(err, CBD_E_NOTCBD, 0, "record", "the checksum of its head is wrong");
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, "record", "no memory");
    r->bytes = bytes;
    r->len = len;
    r->pmem_bytes = head.pmem_bytes;
    cbd_record_reader_rewind(r);
    shim_no_error(err);
    *reader = r;
    return 0;
}

int cbd_record_reader_open(const char *path, struct cbd_record_reader **reader,
                           struct cbd_shim_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), error, sys_errno = errno;
    void *map = MAP_FAILED;
    struct stat st;

    *reader = NULL;
    if (fd < 0)
        return shim_fail_errno(err, sys_errno, path, "cannot be opened");
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return shim_fail(err, CBD_E_NOTCBD, 0, path, "not a file, or empty");
    error = cbd_record_reader_open_memory(map, (uint64_t)st.st_size, reader, err);
    if (error != 0)
        munmap(map, (size_t)st.st_size);
    else
        (*reader)->mapped = true;
    return error;
}

void cbd_record_reader_close(struct cbd_record_reader *r)
{
    if (r == NULL)
        return;
    if (r->mapped)
        munmap((void *)(uintptr_t)r->bytes, r->len);
    free(r);
}

uint64_t cbd_record_reader_pmem_bytes(const struct cbd_record_reader *r)
{
    return r->pmem_bytes;
}

void cbd_record_reader_rewind(struct cbd_record_reader *r)
{
    r->at = r->block_end = sizeof(struct cbd_record_head);
    r->events_left = r->events = 0;
    r->wrong = NULL;
}

static bool stop(struct cbd_record_reader *r, const char *wrong)
{
    r->wrong = wrong;
    return false;
}

static bool next_block(struct cbd_record_reader *r)
{
    struct cbd_record_block block;

    if (r->at == r->len)
        return false;
    if (r->len - r->at < sizeof(block))
        return stop(r, "the file ends inside a block");
    memcpy(&block, r->bytes + r->at, sizeof(block));
    if (block.bytes > r->len - r->at - sizeof(block))
        return stop(r, "the file ends inside a block");
    if (block.hash != cbd_record_hash(r->bytes + r->at + 8, sizeof(block) - 8 + block.bytes))
        return stop(r, "the checksum of a block is wrong");
    if (block.first != r->events)
        return stop(r, "a block is missing");
    r->at += sizeof(block);
    r->block_end = r->at + block.bytes;
    r->events_left = block.events;
    r->events += block.events;
    return true;
}

/* What the kind may have. */
static bool valid(const struct cbd_record_event *e)
{
    uint32_t what = e->flags & ~CBD_RECORD_FUA;
    uint64_t sectors = e->len / CBD_RECORD_SECTOR_BYTES;

    if (e->kind == 0 || e->kind >= CBD_RECORD_KINDS || e->disk >= CBD_RECORD_DISKS ||
        e->step >= CBD_STEP_COUNT || e->zero != 0 || e->data_bytes > CBD_RECORD_DATA_MAX)
        return false;
    switch (e->kind) {
    case CBD_RECORD_DISK:
        return e->data_bytes <= 64 && e->flags <= CBD_RECORD_DISK_FLAGS_ALL;
    case CBD_RECORD_PMEM_IMAGE:
    case CBD_RECORD_DISK_IMAGE:
        return e->data_bytes > 0;
    case CBD_RECORD_COPY:
        return e->data_bytes == e->len && e->flags <= CBD_PMEM_NT;
    case CBD_RECORD_SET:
        return e->data_bytes == 0 && e->flags <= CBD_PMEM_NT && e->arg <= UINT8_MAX &&
               e->len <= CBD_RECORD_DATA_MAX;
    case CBD_RECORD_DISK_SUBMIT:
        return what < CBD_RECORD_REQUESTS && what != CBD_RECORD_READ &&
               e->data_bytes == (what == CBD_RECORD_WRITE ? e->len : 0);
    case CBD_RECORD_REQUEST:
        return what < CBD_RECORD_REQUESTS &&
               e->data_bytes == (what == CBD_RECORD_WRITE ? sectors * 8 : 0);
    case CBD_RECORD_ANSWER:
        return e->data_bytes % 8 == 0;
    default:
        return e->data_bytes == 0;
    }
}

bool cbd_record_reader_next(struct cbd_record_reader *r, struct cbd_record_event *event,
                            const void **data)
{
    uint64_t padded;

    if (r->wrong != NULL)
        return false;
    while (r->at == r->block_end)
        if (!next_block(r))
            return false;
    if (r->block_end - r->at < sizeof(*event))
        return stop(r, "an event is cut off");
    memcpy(event, r->bytes + r->at, sizeof(*event));
    padded = (event->data_bytes + UINT64_C(7)) & ~UINT64_C(7);
    if (!valid(event) || r->events_left == 0)
        return stop(r, "an event cannot be true");
    if (padded > r->block_end - r->at - sizeof(*event))
        return stop(r, "an event is cut off");
    *data = r->bytes + r->at + sizeof(*event);
    r->at += sizeof(*event) + padded;
    r->events_left--;
    return true;
}

const char *cbd_record_reader_end(const struct cbd_record_reader *r, uint64_t *at_bytes)
{
    *at_bytes = r->at;
    return r->wrong;
}
