/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies a disk, with its holes. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool_exit.h"
#include "tool_message.h"
#include "tool_progress.h"

#define PIECE_BYTES ((size_t)1 << 20)

static int failed(const char *path, const char *what)
{
    cbd_tool_error(path, "%s: %s", what, strerror(errno));
    return CBD_EXIT_OPERATIONAL;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* From `at` on: where data begins again, or the end. */
static off_t next_data(int fd, off_t at, off_t end)
{
    off_t data = lseek(fd, at, SEEK_DATA);

    if (data >= 0)
        return data < end ? data : end;
    return errno == ENXIO ? end : at; /* a block device has no holes */
}

static int write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t did = pwrite(fd, p, n, at);

        if (did < 0 && errno == EINTR)
            continue;
        if (did <= 0)
            return -1;
        p += did;
        n -= (size_t)did;
        at += did;
    }
    return 0;
}

static int copy_data(int in, int out, off_t end, uint8_t *buf, const char *from, const char *to)
{
    struct cbd_tool_progress progress;
    off_t at = 0;

    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "copying", (uint64_t)end);
    while ((at = next_data(in, at, end)) < end) {
        size_t want = (size_t)(end - at) < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
        ssize_t got = pread(in, buf, want, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* it became shorter */
        if (got <= 0)
            return failed(from, "cannot be read");
        if (!all_zero(buf, (size_t)got) && write_all(out, buf, (size_t)got, at) != 0)
            return failed(to, "cannot be written");
        at += got;
        cbd_tool_progress_update(&progress, (uint64_t)at);
    }
    cbd_tool_progress_end(&progress);
    return 0;
}

static int copy_into(int in, int out, const char *from, const char *to)
{
    off_t end = lseek(in, 0, SEEK_END);
    uint8_t *buf;
    int code;

    if (end < 0)
        return failed(from, "its size is not known");
    if (ftruncate(out, end) != 0)
        return failed(to, "cannot be made as large");
    buf = malloc(PIECE_BYTES);
    if (buf == NULL)
        return failed(to, "copying");
    code = copy_data(in, out, end, buf, from, to);
    free(buf);
    return code;
}

int ctl_copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out, code;

    if (in < 0)
        return failed(from, "cannot be opened");
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        code = failed(to, "cannot be made");
        close(in);
        return code;
    }
    code = copy_into(in, out, from, to);
    if (close(out) != 0 && code == 0)
        code = failed(to, "cannot be written");
    close(in);
    if (code != 0)
        unlink(to);
    return code;
}
