/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=200 */
/*
 * Traces on a cache of a tenth of what they touch, by a virtual clock: each comes to its end, and no
 * write waits longer than ten times what the disk takes for a request, but for large ones behind many
 * epochs. The requests follow one another as fast as they are answered, whatever the trace says of
 * time.
 *
 * The bundled trace; CBD_TRACES names a directory with others.
 */
#include <dirent.h>
#include <stdio.h>

#include "sim_base.h"
#include "timed_rig.h"
#include "trace/trace.h"

#define LATENCY_NS (4 * TIMED_MS)
#define SEGMENT_BYTES 65536u
#define SHARE_MIN 16u
#define CHUNK_BYTES (UINT64_C(1) << 20) /* of an address space: gets a place when it is touched */
#define WRITE_MAX (UINT64_C(1) << 20)   /* a longer request comes in parts, as from a block layer */

/* Volumes and gaps of the trace, put side by side. */
struct place {
    uint32_t volume;
    uint64_t chunk;
};

struct player {
    struct timed t;
    struct place *places;
    size_t count, cap;
    size_t *slots; /* hash: place + 1; 0: free */
    size_t slot_count;
    uint64_t writes, reads;
    uint64_t longest_ns, longest_large_ns;
    uint8_t *buf;
};

static size_t slot_of(const struct player *p, uint32_t volume, uint64_t chunk)
{
    size_t i = (size_t)((chunk * 0x9e3779b97f4a7c15u) ^ (volume * UINT64_C(0xc2b2ae3d27d4eb4f)));

    for (i %= p->slot_count; p->slots[i] != 0; i = (i + 1) % p->slot_count) {
        const struct place *at = &p->places[p->slots[i] - 1];

        if (at->volume == volume && at->chunk == chunk)
            break;
    }
    return i;
}

/* Where the chunk lies on the disk; without `touch` UINT64_MAX for one that never was. */
static uint64_t find_place(struct player *p, uint32_t volume, uint64_t chunk, bool touch)
{
    size_t i = slot_of(p, volume, chunk);

    if (p->slots[i] == 0) {
        if (!touch)
            return UINT64_MAX;
        p->places = sim_grow(p->places, &p->cap, p->count + 1, sizeof(*p->places));
        p->places[p->count++] = (struct place){volume, chunk};
        assert_true(p->count < p->slot_count / 2);
        p->slots[i] = p->count;
    }
    return (p->slots[i] - 1) * CHUNK_BYTES;
}

typedef void part_fn(struct player *p, const struct sim_request *q, uint64_t off, uint64_t len);

/* Calls `part` for each chunk of a request; a trim of what nobody touched is left out. */
static void for_each_part(struct player *p, const struct sim_request *q, part_fn *part)
{
    uint64_t at = q->off_bytes / 512 * 512, end = (q->off_bytes + q->len_bytes + 511) / 512 * 512;

    if (q->op == SIM_REQUEST_FLUSH) {
        if (part != NULL)
            part(p, q, 0, 0);
        return;
    }
    while (at < end) {
        uint64_t n = CHUNK_BYTES - at % CHUNK_BYTES;
        uint64_t base = find_place(p, q->volume, at / CHUNK_BYTES, q->op != SIM_REQUEST_TRIM);

        n = n < end - at ? n : end - at;
        if (base != UINT64_MAX && part != NULL)
            part(p, q, base + at % CHUNK_BYTES, n);
        at += n;
    }
}

/*
 * Ten times the disk's latency, for what is small beside the share. A large write needs the space of
 * what stands before it: that is not free before all of it is on the disk, epoch by epoch, and each
 * epoch takes a write and a flush.
 */
static void check_wait(struct player *p, uint64_t len, uint64_t took, uint64_t epochs)
{
    uint64_t share = (uint64_t)p->t.rig->config.share_segments * SEGMENT_BYTES;
    bool small = len <= share / 128;
    uint64_t *longest = small ? &p->longest_ns : &p->longest_large_ns;
    uint64_t most = 10 * LATENCY_NS + (small ? 0 : 3 * epochs * LATENCY_NS);

    *longest = took > *longest ? took : *longest;
    if (took > most)
        fail_msg("%llu bytes with %llu epochs before them waited for %.2f times the disk's latency",
                 (unsigned long long)len, (unsigned long long)epochs,
                 (double)took / (double)LATENCY_NS);
}

static void play(struct player *p, const struct sim_request *q, uint64_t off, uint64_t len)
{
    struct rig *r = p->t.rig;
    uint64_t before = r->env.now_ns, took;
    struct cbd_stats stats = rig_stats(r);
    uint64_t epochs = stats.epoch - stats.epoch_written;

    r->lane = (unsigned)((p->writes + p->reads) % r->config.streams);
    if (q->op == SIM_REQUEST_FLUSH)
        rig_flush(r);
    else if (q->op == SIM_REQUEST_TRIM)
        rig_zero(r, off, len, CBD_WRITE_PUNCH);
    else if (q->op == SIM_REQUEST_WRITE)
        rig_write(r, off, len, q->fua ? CBD_WRITE_FUA : 0);
    else
        assert_int_equal(cbd_read(r->backend[0], r->lane, off, p->buf, len), 0);
    took = r->env.now_ns - before;
    if (q->op == SIM_REQUEST_READ) {
        p->reads++;
    } else {
        p->writes++;
        check_wait(p, len, took, epochs);
    }
    timed_run(&p->t, 10000);
}

static void pass(struct player *p, const char *path, part_fn *part)
{
    struct sim_trace_error error;
    struct sim_trace *trace;
    struct sim_request q;
    int got;

    if (sim_trace_open(path, NULL, &trace, &error) != 0)
        fail_msg("%s", error.text);
    while ((got = sim_trace_next(trace, &q, &error)) > 0)
        for_each_part(p, &q, part);
    if (got != 0)
        fail_msg("%s", error.text);
    sim_trace_close(trace);
}

static void play_trace(const char *path)
{
    struct rig_config config = {.segment_bytes = SEGMENT_BYTES, .streams = 4};
    struct player p = {.slot_count = 1u << 21};
    struct sim_trace_error error;
    struct cbd_stats stats;
    uint64_t footprint;

    if (sim_trace_footprint(path, NULL, &footprint, &error) != 0) {
        print_message("%s: left out: %s\n", path, error.text);
        return;
    }
    p.slots = sim_zalloc(p.slot_count, sizeof(*p.slots));
    p.buf = sim_zalloc(1, WRITE_MAX);
    pass(&p, path, NULL);
    config.disk_bytes = (p.count + 1) * CHUNK_BYTES;
    config.share_segments = (uint32_t)(footprint / 10 / SEGMENT_BYTES);
    if (config.share_segments < SHARE_MIN)
        config.share_segments = SHARE_MIN;
    config.pmem_bytes = ((uint64_t)config.share_segments + 96) * SEGMENT_BYTES;
    timed_begin(&p.t, &config, LATENCY_NS);
    pass(&p, path, play);
    stats = rig_stats(p.t.rig);
    print_message("%s: a share of %u segments, %llu writes, %llu reads, %llu segments reclaimed; "
                  "longest wait of a write %.2f times the disk's latency, "
                  "of a large one %.2f\n",
                  strrchr(path, '/') + 1, config.share_segments, (unsigned long long)p.writes,
                  (unsigned long long)p.reads, (unsigned long long)stats.segments_reclaimed,
                  (double)p.longest_ns / (double)LATENCY_NS,
                  (double)p.longest_large_ns / (double)LATENCY_NS);
    assert_int_equal(p.t.steps_failed, 0);
    rig_detach(p.t.rig);
    timed_end(&p.t);
    free(p.places);
    free(p.slots);
    free(p.buf);
}

static void a_tenth_of_the_footprint_is_enough(void **state)
{
    const char *root = getenv("CBD_SOURCE_DIR"), *more = getenv("CBD_TRACES");
    struct dirent *entry;
    char path[4096];
    DIR *dir;

    (void)state;
    snprintf(path, sizeof(path), "%s/examples/traces/sqlite-block.v3.iolog.zst",
             root != NULL ? root : ".");
    play_trace(path);
    if (more == NULL)
        return;
    dir = opendir(more);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", more, entry->d_name);
        if (entry->d_name[0] != '.')
            play_trace(path);
    }
    closedir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenth_of_the_footprint_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
