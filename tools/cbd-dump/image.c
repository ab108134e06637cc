/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a metadata image. Pieces of 64 bytes come in; whole pages go out, so that a cache with
 * millions of records does not take as many system calls. The file is made new, mode 0600, and goes
 * again when anything fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/image.h"
#include "dump.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

#define PAGES 64u

struct page {
    uint64_t number; /* from 1; 0: holds none */
    uint8_t bytes[CBD_PAGE_BYTES];
};

struct image_file {
    int fd;
    int error; /* errno of what failed first */
    struct page pages[PAGES];
};

static int flush_page(struct image_file *f, struct page *p)
{
    ssize_t n;

    if (p->number == 0)
        return 0;
    n = pwrite(f->fd, p->bytes, CBD_PAGE_BYTES, (off_t)((p->number - 1) * CBD_PAGE_BYTES));
    p->number = 0;
    if (n == (ssize_t)CBD_PAGE_BYTES)
        return 0;
    f->error = n < 0 ? errno : ENOSPC;
    return CBD_E_SYSTEM;
}

/* The page in memory; what it held goes out, what the file has comes in. */
static int get_page(struct image_file *f, uint64_t number, struct page **page)
{
    struct page *p = &f->pages[number % PAGES];
    ssize_t n;

    *page = p;
    if (p->number == number)
        return 0;
    if (flush_page(f, p) != 0)
        return CBD_E_SYSTEM;
    memset(p->bytes, 0, sizeof(p->bytes));
    n = pread(f->fd, p->bytes, CBD_PAGE_BYTES, (off_t)((number - 1) * CBD_PAGE_BYTES));
    if (n < 0) {
        f->error = errno;
        return CBD_E_SYSTEM;
    }
    p->number = number;
    return 0;
}

static int write_piece(void *arg, uint64_t off, const void *bytes, uint32_t len)
{
    struct image_file *f = arg;
    const uint8_t *p = bytes;

    while (len > 0) {
        uint32_t at = (uint32_t)(off % CBD_PAGE_BYTES);
        uint32_t n = len < CBD_PAGE_BYTES - at ? len : CBD_PAGE_BYTES - at;
        struct page *page;

        if (get_page(f, off / CBD_PAGE_BYTES + 1, &page) != 0)
            return CBD_E_SYSTEM;
        memcpy(page->bytes + at, p, n);
        off += n;
        p += n;
        len -= n;
    }
    return 0;
}

/* The end of the cache, not of the last page of it. */
static int finish_file(struct image_file *f, uint64_t device_bytes)
{
    for (uint32_t i = 0; i < PAGES; i++)
        if (flush_page(f, &f->pages[i]) != 0)
            return CBD_E_SYSTEM;
    if (ftruncate(f->fd, (off_t)device_bytes) == 0 && fsync(f->fd) == 0)
        return 0;
    f->error = errno;
    return CBD_E_SYSTEM;
}

int dump_hide_key(uint64_t key[2])
{
    bool fixed;

    if (cbd_tool_time(&key[0], &fixed) != 0)
        return CBD_EXIT_USAGE;
    if (fixed) /* the same image each time */
        return 0;
    if (getrandom(key, 2 * sizeof(*key), 0) == (ssize_t)(2 * sizeof(*key)))
        return 0;
    cbd_tool_error_code(NULL, "random numbers", CBD_E_SYSTEM);
    return CBD_EXIT_OPERATIONAL;
}

static void show(struct dump *d, const struct cbd_image_summary *s, uint64_t used_bytes)
{
    char used[CBD_TOOL_SIZE_TEXT_BYTES], whole[CBD_TOOL_SIZE_TEXT_BYTES];

    if (d->document != NULL) {
        cbd_tool_json_text(d->document, "device", d->path);
        cbd_tool_json_text(d->document, "image", d->image);
        cbd_tool_json_bool(d->document, "anonymized", d->anonymize);
        cbd_tool_json_u64(d->document, "image_bytes", s->device_bytes);
        cbd_tool_json_u64(d->document, "image_used_bytes", used_bytes);
        cbd_tool_json_u64(d->document, "segments", s->segments);
        cbd_tool_json_u64(d->document, "records", s->records);
        cbd_tool_json_u64(d->document, "damaged", s->damaged);
        cbd_tool_json_u64(d->document, "unreadable", s->unreadable);
        return;
    }
    printf("%s: metadata image of %s%s\n", d->image, d->path,
           d->anonymize ? ", without its names" : "");
    printf("  %" PRIu64 " records of %" PRIu64 " segments; takes %s, looks like %s\n", s->records,
           s->segments, cbd_tool_size_human(used_bytes, used),
           cbd_tool_size_human(s->device_bytes, whole));
    if (s->damaged != 0 || s->unreadable != 0)
        printf("  %" PRIu64 " structures that fail their checksum, %" PRIu64
               " that cannot be read\n",
               s->damaged, s->unreadable);
}

/* Whether a check finds errors on the device; it goes into the exit code. */
static int damage_code(struct dump *d)
{
    struct cbd_check_options all = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS};

    if (cbd_check_run(d->device.pm, d->device.env, &all, NULL, NULL, d->summary) != 0)
        return CBD_EXIT_OPERATIONAL;
    return d->summary->errors != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
}

static int fill(struct dump *d, struct image_file *f, struct cbd_image_options *options)
{
    struct cbd_image_summary summary;
    char text[128];
    struct stat st;
    int error = cbd_image_run(d->device.pm, d->device.env, options, &summary);

    if (error == 0)
        error = finish_file(f, summary.device_bytes);
    if (error != 0 && f->error != 0)
        cbd_tool_error(d->image, "cannot be written: %s", strerror_r(f->error, text, sizeof(text)));
    else if (error != 0)
        cbd_tool_error_code(d->path, "no image", error);
    if (error != 0 || fstat(f->fd, &st) != 0)
        return CBD_EXIT_OPERATIONAL;
    show(d, &summary, (uint64_t)st.st_blocks * 512);
    return damage_code(d);
}

int dump_make_image(struct dump *d)
{
    struct image_file *f = calloc(1, sizeof(*f));
    struct cbd_image_options options = {.anonymize = d->anonymize, .write = write_piece, .arg = f};
    char text[128];
    int code = d->anonymize ? dump_hide_key(options.key) : 0;

    if (f == NULL) {
        cbd_tool_error_code(d->image, "cannot be made", CBD_E_NOMEM);
        return CBD_EXIT_OPERATIONAL;
    }
    if (code != 0) {
        free(f);
        return code;
    }
    f->fd = open(d->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        cbd_tool_error(d->image, "cannot be made: %s", strerror_r(errno, text, sizeof(text)));
        free(f);
        return CBD_EXIT_OPERATIONAL;
    }
    code = fill(d, f, &options);
    close(f->fd);
    if ((code & CBD_EXIT_OPERATIONAL) != 0)
        unlink(d->image);
    free(f);
    return code;
}
