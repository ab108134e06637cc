/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a request takes through a socket, seen by the client: several servers side by side, turn
 * by turn, so that what else the machine does meets all of them.
 *
 *   nbd_latency SECONDS OP BYTES DEPTH NAME=URI...     OP: write, read, flush
 *
 * One connection, DEPTH requests in flight, random places, 64 rounds in turn. Prints for each server
 * the median of the rounds' percentiles in us; the p50 of its quieter quarter of rounds, which what
 * else the machine does disturbs least; and that over the first server's.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#define SERVERS_MAX 8
#define ROUNDS 64
#define DEPTH_MAX 64
#define SAMPLES_MAX (1u << 20)

enum op { OP_WRITE, OP_READ, OP_FLUSH };

struct slot {
    int64_t cookie;
    uint64_t start;
    uint8_t *buf;
};

struct server {
    const char *name;
    struct nbd_handle *nbd;
    uint64_t blocks;
    struct slot slots[DEPTH_MAX];
    double p50[ROUNDS], p99[ROUNDS], mean[ROUNDS], rate[ROUNDS];
};

static uint32_t *samples;
static uint64_t rng = 88172645463325252u;

static void die(const char *what)
{
    const char *why = nbd_get_error();

    fprintf(stderr, "nbd_latency: %s: %s\n", what, why != NULL ? why : "");
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t draw(uint64_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % below;
}

static void submit(struct server *s, struct slot *slot, enum op op, uint32_t bytes)
{
    uint64_t off = draw(s->blocks) * bytes;

    slot->start = now_ns();
    if (op == OP_WRITE)
        slot->cookie = nbd_aio_pwrite(s->nbd, slot->buf, bytes, off, NBD_NULL_COMPLETION, 0);
    else if (op == OP_READ)
        slot->cookie = nbd_aio_pread(s->nbd, slot->buf, bytes, off, NBD_NULL_COMPLETION, 0);
    else
        slot->cookie = nbd_aio_flush(s->nbd, NBD_NULL_COMPLETION, 0);
    if (slot->cookie < 0)
        die(s->name);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(struct server *s, unsigned round, enum op op, uint32_t bytes, unsigned depth,
                    uint64_t ns)
{
    uint64_t begin = now_ns(), end = begin + ns, sum = 0, t = begin;
    size_t count = 0;
    unsigned busy = 0;

    for (unsigned i = 0; i < depth; i++, busy++)
        submit(s, &s->slots[i], op, bytes);
    while (busy > 0) {
        if (nbd_poll(s->nbd, -1) < 0)
            die(s->name);
        for (unsigned i = 0; i < depth; i++) {
            struct slot *slot = &s->slots[i];
            int done;

            if (slot->cookie < 0)
                continue;
            done = nbd_aio_command_completed(s->nbd, (uint64_t)slot->cookie);
            if (done < 0)
                die(s->name);
            if (done == 0)
                continue;
            t = now_ns();
            if (count < SAMPLES_MAX)
                samples[count++] = (uint32_t)(t - slot->start);
            slot->cookie = -1;
            if (t < end)
                submit(s, slot, op, bytes);
            else
                busy--;
        }
    }
    for (size_t i = 0; i < count; i++)
        sum += samples[i];
    qsort(samples, count, sizeof(*samples), by_value);
    s->p50[round] = samples[count / 2] / 1e3;
    s->p99[round] = samples[count * 99 / 100] / 1e3;
    s->mean[round] = (double)sum / (double)count / 1e3;
    s->rate[round] = (double)count / ((double)(t - begin) / 1e9);
}

/* The value that a share (1/n) of the rounds is below. */
static double quantile(double *values, unsigned n)
{
    qsort(values, ROUNDS, sizeof(*values), by_double);
    return values[ROUNDS / n];
}

int main(int argc, char **argv)
{
    struct server *servers = calloc(SERVERS_MAX, sizeof(*servers));
    unsigned count = 0, depth;
    double seconds, first = 0;
    uint32_t bytes;
    enum op op;

    if (argc < 6 || argc - 5 > SERVERS_MAX || servers == NULL) {
        fprintf(stderr, "usage: nbd_latency SECONDS write|read|flush BYTES DEPTH NAME=URI...\n");
        return 16;
    }
    seconds = atof(argv[1]);
    op = argv[2][0] == 'w' ? OP_WRITE : argv[2][0] == 'r' ? OP_READ : OP_FLUSH;
    bytes = (uint32_t)atoi(argv[3]);
    depth = (unsigned)atoi(argv[4]);
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (bytes < 512 || depth < 1 || depth > DEPTH_MAX || samples == NULL)
        die("arguments");
    for (int i = 5; i < argc; i++) {
        struct server *s = &servers[count++];
        char *uri = strchr(argv[i], '=');

        if (uri == NULL)
            die(argv[i]);
        *uri++ = '\0';
        s->name = argv[i];
        s->nbd = nbd_create();
        if (s->nbd == NULL || nbd_connect_uri(s->nbd, uri) != 0)
            die(uri);
        s->blocks = (uint64_t)nbd_get_size(s->nbd) / bytes;
        for (unsigned d = 0; d < depth; d++) {
            s->slots[d].buf = malloc(bytes);
            memset(s->slots[d].buf, (int)d + 1, bytes);
            s->slots[d].cookie = -1;
        }
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < count; i++)
            measure(&servers[(i + round) % count], round, op, bytes, depth,
                    (uint64_t)(seconds * 1e9 / ROUNDS));
    printf("%-10s %10s %10s %10s %12s %10s %8s\n", argv[2], "p50 us", "p99 us", "mean us",
           "requests/s", "quiet p50", "ratio");
    for (unsigned i = 0; i < count; i++) {
        struct server *s = &servers[i];
        double quiet = quantile(s->p50, 8); /* the middle of the quieter quarter */

        first = i == 0 ? quiet : first;
        printf("%-10s %10.1f %10.1f %10.1f %12.0f %10.1f %8.3f\n", s->name, quantile(s->p50, 2),
               quantile(s->p99, 2), quantile(s->mean, 2), quantile(s->rate, 2), quiet,
               quiet / first);
    }
    return 0;
}
