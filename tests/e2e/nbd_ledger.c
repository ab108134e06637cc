/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes down outside what a server has acknowledged, and checks that it is there after a crash.
 *
 *   nbd_ledger write URI LOG SEED SECONDS   writers on connections of their own, until the server is
 *                                           gone or time is up; exit code 0 in both cases
 *   nbd_ledger check URI LOG                each block holds a version that was sent, not older than
 *                                           the newest that was acknowledged, and pieces are whole
 *
 * A slot is 64 KiB, aligned; a version of it is written as a whole, or zeroed. The log has a line of
 * 24 bytes for each version when it is sent, and one when it is acknowledged; a write() of it is in
 * the page cache, which outlives the server. Each slot has one writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#define SLOT_BYTES 65536u
#define WRITERS 4u
#define SENT 1u
#define DONE 2u
#define ZEROED UINT64_C(1) << 63

struct line {
    uint64_t slot, version, what;
};

struct slot {
    uint64_t acked;
    uint64_t sent;
    uint64_t version_zeroed; /* bits: version v is zeroes, v modulo 64 of the newest ones */
};

static int log_fd;
static uint64_t slots;
static uint64_t until_ns;

static uint64_t draw(uint64_t *rng)
{
    *rng ^= *rng << 13;
    *rng ^= *rng >> 7;
    *rng ^= *rng << 17;
    return *rng;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    const char *why = nbd_get_error();

    fprintf(stderr, "nbd_ledger: %s: %s\n", what, why != NULL ? why : strerror(errno));
    exit(2);
}

/* Every word says which slot and version it is of. Version 0 is zeroes. */
static void fill(uint64_t *buf, uint64_t slot, uint64_t version)
{
    for (uint64_t i = 0; i < SLOT_BYTES / 8; i++)
        buf[i] = version == 0 ? 0 : version << 32 | slot << 16 | i;
}

static void note(uint64_t slot, uint64_t version, uint64_t what)
{
    struct line line = {slot, version, what};

    if (write(log_fd, &line, sizeof(line)) != (ssize_t)sizeof(line))
        die("log");
}

struct writer {
    pthread_t thread;
    const char *uri;
    unsigned n;
    uint64_t rng;
    uint64_t *versions; /* the last one of each slot */
};

static struct nbd_handle *connect_to(const char *uri)
{
    struct nbd_handle *nbd = nbd_create();

    if (nbd == NULL || nbd_connect_uri(nbd, uri) != 0)
        die(uri);
    return nbd;
}

static void *run(void *arg)
{
    struct writer *w = arg;
    struct nbd_handle *nbd = connect_to(w->uri);
    uint64_t *buf = malloc(SLOT_BYTES);

    while (now_ns() < until_ns) {
        uint64_t slot = draw(&w->rng) % (slots / WRITERS) * WRITERS + w->n;
        uint64_t version = ++w->versions[slot];
        uint64_t kind = draw(&w->rng) % 16;
        uint32_t flags = kind == 1 ? LIBNBD_CMD_FLAG_FUA : 0;
        int error;

        if (kind == 0)
            version |= ZEROED;
        note(slot, version, SENT);
        fill(buf, slot, kind == 0 ? 0 : version);
        if (kind == 0)
            error = nbd_zero(nbd, SLOT_BYTES, slot * SLOT_BYTES, 0);
        else
            error = nbd_pwrite(nbd, buf, SLOT_BYTES, slot * SLOT_BYTES, flags);
        if (error != 0)
            break; /* killed */
        note(slot, version, DONE);
        if (kind == 2 && nbd_flush(nbd, 0) != 0)
            break;
    }
    free(buf);
    nbd_close(nbd);
    return NULL;
}

/* The newest version of each slot that the log knows. */
static struct slot *read_log(const char *path, uint64_t **versions)
{
    struct slot *s = calloc(slots, sizeof(*s));
    FILE *f = fopen(path, "r");
    struct line line;

    *versions = calloc(slots, sizeof(**versions));
    if (s == NULL || *versions == NULL)
        die("memory");
    while (f != NULL && fread(&line, sizeof(line), 1, f) == 1) {
        uint64_t version = line.version & ~(ZEROED);
        uint64_t bit = UINT64_C(1) << version % 64;

        if (line.slot >= slots)
            die("the log is of another disk");
        if (line.what == SENT) {
            (*versions)[line.slot] = s[line.slot].sent = version;
            s[line.slot].version_zeroed &= ~bit;
            s[line.slot].version_zeroed |= (line.version & ZEROED) != 0 ? bit : 0;
        } else {
            s[line.slot].acked = version;
        }
    }
    if (f != NULL)
        fclose(f);
    return s;
}

static int check(const char *uri, const struct slot *s)
{
    struct nbd_handle *nbd = connect_to(uri);
    uint64_t *got = malloc(SLOT_BYTES), *want = malloc(SLOT_BYTES), acked = 0;
    int bad = 0;

    for (uint64_t slot = 0; slot < slots; slot++) {
        bool fits = false;

        if (nbd_pread(nbd, got, SLOT_BYTES, slot * SLOT_BYTES, 0) != 0)
            die("read");
        acked += s[slot].acked;
        for (uint64_t v = s[slot].acked; v <= s[slot].sent && !fits; v++) {
            bool zeroed = v == 0 || (s[slot].version_zeroed >> v % 64 & 1) != 0;

            fill(want, slot, zeroed ? 0 : v);
            fits = memcmp(got, want, SLOT_BYTES) == 0;
        }
        if (fits)
            continue;
        bad++;
        printf("slot %" PRIu64 ": got version %" PRIu64 ", limit %" PRIu64 "..%" PRIu64
               ", or it is torn\n",
               slot, got[0] >> 32, s[slot].acked, s[slot].sent);
    }
    printf("%" PRIu64 " versions acknowledged, %d slots bad\n", acked, bad);
    nbd_close(nbd);
    free(got);
    free(want);
    return bad != 0;
}

int main(int argc, char **argv)
{
    struct writer w[WRITERS];
    struct nbd_handle *nbd;
    uint64_t *versions;
    struct slot *s;
    int status = 0;

    if (argc < 4 || (strcmp(argv[1], "write") == 0) != (argc == 6)) {
        fprintf(stderr, "usage: nbd_ledger write URI LOG SEED SECONDS | check URI LOG\n");
        return 16;
    }
    nbd = connect_to(argv[2]);
    slots = (uint64_t)nbd_get_size(nbd) / SLOT_BYTES / WRITERS * WRITERS;
    nbd_close(nbd);
    s = read_log(argv[3], &versions);
    if (argc == 4) {
        status = check(argv[2], s);
    } else {
        log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND, 0600);
        until_ns = now_ns() + strtoull(argv[5], NULL, 10) * 1000000000u;
        for (unsigned n = 0; n < WRITERS; n++) {
            w[n] = (struct writer){.uri = argv[2],
                                   .n = n,
                                   .rng = strtoull(argv[4], NULL, 0) * 1000 + n + 1,
                                   .versions = versions};
            if (log_fd < 0 || pthread_create(&w[n].thread, NULL, run, &w[n]) != 0)
                die("start");
        }
        for (unsigned n = 0; n < WRITERS; n++)
            pthread_join(w[n].thread, NULL);
    }
    free(s);
    free(versions);
    return status;
}
