/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends requests that a well-meant client would not, and prints what each was answered.
 *
 *   nbd_errno URI REQUEST...     REQUEST: read|write|zero|trim|cache:OFFSET:BYTES, or flush
 *
 * A line for each: the request, and "ok" or the errno of the answer. Exit code 0; 2 when there is no
 * connection (any more).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define BYTES_MAX (1u << 20)

static const char *name_of(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {EPERM, "EPERM"},       {EIO, "EIO"},
        {ENOMEM, "ENOMEM"},     {EINVAL, "EINVAL"},
        {ENOSPC, "ENOSPC"},     {EOVERFLOW, "EOVERFLOW"},
        {ENOTSUP, "ENOTSUP"},   {ESHUTDOWN, "ESHUTDOWN"},
        {ENOTCONN, "ENOTCONN"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == number)
            return names[i].name;
    return "another";
}

static int ask(struct nbd_handle *nbd, const char *request)
{
    static uint8_t buf[BYTES_MAX];
    uint64_t off = 0, len = 0;
    char what[8] = "";

    if (sscanf(request, "%7[a-z]:%" SCNu64 ":%" SCNu64, what, &off, &len) < 1 || len > BYTES_MAX)
        return -2;
    if (strcmp(what, "read") == 0)
        return nbd_pread(nbd, buf, len, off, 0);
    if (strcmp(what, "write") == 0)
        return nbd_pwrite(nbd, buf, len, off, 0);
    if (strcmp(what, "zero") == 0)
        return nbd_zero(nbd, len, off, 0);
    if (strcmp(what, "trim") == 0)
        return nbd_trim(nbd, len, off, 0);
    if (strcmp(what, "cache") == 0)
        return nbd_cache(nbd, len, off, 0);
    return strcmp(what, "flush") == 0 ? nbd_flush(nbd, 0) : -2;
}

int main(int argc, char **argv)
{
    struct nbd_handle *nbd = nbd_create();

    /* The server is asked, not the library. */
    if (argc < 3 || nbd == NULL || nbd_set_strict_mode(nbd, 0) != 0 ||
        nbd_connect_uri(nbd, argv[1]) != 0) {
        fprintf(stderr, "nbd_errno: %s\n", nbd_get_error() != NULL ? nbd_get_error() : "arguments");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        int rc = ask(nbd, argv[i]);

        if (rc == -2)
            return 16;
        printf("%s %s\n", argv[i], rc == 0 ? "ok" : name_of(nbd_get_errno()));
        if (nbd_aio_is_dead(nbd) > 0 || nbd_aio_is_closed(nbd) > 0)
            return 2;
    }
    nbd_close(nbd);
    return 0;
}
