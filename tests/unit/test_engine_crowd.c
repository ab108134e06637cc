/* SPDX-License-Identifier: BSD-2-Clause */
/* ctest: novalgrind timeout=120 */
/*
 * Sixteen writers at once, by a virtual clock: coroutines that leave when core/ waits, over a disk
 * that answers one request after another. What one of them waits for, another must not take away
 * for ever.
 */
#include "sim_base.h"
#include "sim_coro.h"
#include "timed_rig.h"

#define CLIENTS 16u
#define SERVICE_NS (4 * TIMED_MS) /* of the disk, for 64 KiB; a quarter for what is small */
#define PAUSE_NS UINT64_C(1000)   /* between two writes of one client */

struct crowd;

struct client {
    struct crowd *crowd;
    struct sim_coro *coro;
    unsigned n;
    uint64_t len;
    uint64_t writes, longest_ns;
    bool (*ready)(void *arg);
    void *arg;
    uint64_t until_ns;
    int waited;
    int error;
};

struct crowd {
    struct rig *rig;
    int (*alone)(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns);
    struct client client[CLIENTS];
    struct client *running;
    uint64_t end_ns;
    uint64_t longest_ns;   /* of all writes */
    uint64_t slowest_ns;   /* of all requests of the disk */
    uint64_t disk_free_ns; /* when its only head is */
    uint64_t *due_ns;
    size_t due_count, due_cap;
    unsigned turn;
    bool hung;
};

static struct crowd *current;

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static int crowd_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct client *c = current->running;
    uint64_t now = current->rig->env.now_ns;

    (void)env;
    if (ready(arg))
        return 0;
    c->ready = ready;
    c->arg = arg;
    c->until_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    sim_coro_leave(c->coro);
    c->ready = NULL;
    return c->waited;
}

static void client_main(void *arg)
{
    struct client *c = arg;
    struct crowd *w = c->crowd;
    uint8_t *buf = calloc(1, c->len); /* freed below: every client comes to its end */
    uint64_t places = w->rig->config.disk_bytes / c->len;
    uint64_t x = c->n * 7919;

    while (w->rig->env.now_ns < w->end_ns && c->error == 0) {
        uint64_t before = w->rig->env.now_ns, took;

        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        c->error = cbd_write(w->rig->backend[0], c->n, (x >> 33) % places * c->len, buf, c->len, 0);
        took = w->rig->env.now_ns - before;
        c->longest_ns = took > c->longest_ns ? took : c->longest_ns;
        c->writes += c->error == 0;
        (void)crowd_wait(&w->rig->env.env, never, NULL, PAUSE_NS);
    }
    free(buf);
    c->ready = never;
    c->until_ns = UINT64_MAX;
    c->arg = NULL;
    for (;;)
        sim_coro_leave(c->coro);
}

/* One head: a request is answered when those before it are and its own time has passed. */
static uint64_t due_of(struct crowd *w, uint64_t request, uint64_t len)
{
    w->due_ns = sim_grow(w->due_ns, &w->due_cap, request + 1, sizeof(*w->due_ns));
    for (; w->due_count <= request; w->due_count++) {
        uint64_t now = w->rig->env.now_ns;

        if (w->disk_free_ns < now)
            w->disk_free_ns = now;
        w->disk_free_ns += SERVICE_NS / 4 + SERVICE_NS * 3 / 4 * len / 65536;
        w->due_ns[w->due_count] = w->disk_free_ns;
        if (w->disk_free_ns - now > w->slowest_ns)
            w->slowest_ns = w->disk_free_ns - now;
    }
    return w->due_ns[request];
}

static bool complete_due(struct crowd *w, uint64_t *next)
{
    struct sim_disk *disk = w->rig->disk[0];
    bool did = false;

    *next = UINT64_MAX;
    for (size_t k = 0; k < sim_disk_inflight(disk) && !w->hung;) {
        uint64_t due = due_of(w, sim_disk_inflight_at(disk, k).request,
                              sim_disk_inflight_at(disk, k).len_bytes);

        if (due <= w->rig->env.now_ns) {
            sim_disk_complete(disk, k);
            did = true;
            k = 0;
            continue;
        }
        *next = due < *next ? due : *next;
        k++;
    }
    return did;
}

static void settle(struct crowd *w, uint64_t *next)
{
    int did;

    do {
        did = complete_due(w, next);
        did |= cbd_backend_step(w->rig->backend[0], CBD_WORK_WRITEBACK) > 0;
        did |= cbd_backend_step(w->rig->backend[0], CBD_WORK_RECLAIM) > 0;
    } while (did);
    (void)complete_due(w, next);
}

/* Lets those run who can, each in its turn. False: nobody can before *next. */
static bool run_clients(struct crowd *w, uint64_t *next)
{
    bool did = false;

    w->turn = (w->turn + 1) % CLIENTS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &w->client[(i + w->turn) % CLIENTS];

        if (c->ready != NULL && c->ready(c->arg))
            c->waited = 0;
        else if (c->ready != NULL && w->rig->env.now_ns >= c->until_ns)
            c->waited = CBD_E_TIMEDOUT;
        else if (c->ready != NULL) {
            *next = c->until_ns < *next ? c->until_ns : *next;
            continue;
        }
        w->running = c;
        sim_coro_enter(c->coro);
        did = true;
    }
    return did;
}

static void crowd_begin(struct crowd *w, const struct rig_config *config)
{
    *w = (struct crowd){.rig = rig_create(config)};
    current = w;
    w->rig->env.now_ns = TIMED_S;
    rig_attach(w->rig);
    w->alone = w->rig->ops.wait;
    w->rig->ops.wait = crowd_wait;
}

static void crowd_run(struct crowd *w, const uint64_t *len, uint64_t ns)
{
    w->end_ns = w->rig->env.now_ns + ns;
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->client[i] = (struct client){.crowd = w, .n = i, .len = len[i]};
        w->client[i].coro = sim_coro_create(client_main, &w->client[i]);
    }
    for (;;) {
        uint64_t next, clients_next = UINT64_MAX;

        if (run_clients(w, &clients_next)) {
            settle(w, &next);
            continue;
        }
        settle(w, &next);
        clients_next = UINT64_MAX;
        if (run_clients(w, &clients_next))
            continue;
        next = clients_next < next ? clients_next : next;
        if (next == UINT64_MAX || w->rig->env.now_ns > w->end_ns + 100 * TIMED_S)
            break;
        w->rig->env.now_ns = next > w->rig->env.now_ns ? next : w->rig->env.now_ns + 1;
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (w->client[i].longest_ns > w->longest_ns)
            w->longest_ns = w->client[i].longest_ns;
        sim_coro_destroy(w->client[i].coro);
    }
    print_message("longest write %.1f ms, longest request of the disk %.1f ms\n",
                  (double)w->longest_ns / 1e6, (double)w->slowest_ns / 1e6);
}

static void crowd_end(struct crowd *w)
{
    w->rig->ops.wait = w->alone;
    rig_abandon(w->rig);
    rig_destroy(w->rig);
    free(w->due_ns);
    current = NULL;
}

/* max_dirty_bytes: small writes take at once what becomes free, and a large one never finds room. */
static void a_large_write_is_not_overtaken_for_ever(void **state)
{
    struct rig_config config = {.pmem_bytes = 24u << 20,
                                .disk_bytes = 32u << 20,
                                .segment_bytes = 1u << 20,
                                .share_segments = 16,
                                .streams = 4,
                                .attach = {.max_dirty_bytes = 512u << 10}};
    uint64_t len[CLIENTS];
    struct crowd w;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        len[i] = i == 5 ? 256u << 10 : 32u << 10;
    crowd_begin(&w, &config);
    crowd_run(&w, len, 10 * TIMED_S);
    assert_true(w.client[5].writes >= 10);
    crowd_end(&w);
}

/* Without that bound, all sizes: none waits longer than ten times the disk's latency at this load. */
static void sixteen_writers_of_all_sizes(void **state)
{
    static const struct {
        uint32_t segment_bytes, segments;
        unsigned sizes; /* from 512 bytes on */
    } loads[] = {{1u << 20, 32, 10}, {4u << 20, 20, 14}};
    uint64_t len[CLIENTS];
    struct crowd w;

    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct rig_config config = {.pmem_bytes = 100u << 20,
                                    .disk_bytes = 64u << 20,
                                    .segment_bytes = loads[n].segment_bytes,
                                    .share_segments = loads[n].segments,
                                    .streams = 4};

        for (unsigned i = 0; i < CLIENTS; i++)
            len[i] = UINT64_C(512) << i % loads[n].sizes;
        crowd_begin(&w, &config);
        crowd_run(&w, len, 20 * TIMED_S);
        assert_true(w.longest_ns <= 10 * w.slowest_ns);
        crowd_end(&w);
    }
}

/* Nobody pays, everybody waits for a free segment: of all sizes, in all streams. */
static void a_free_segment_comes_to_everybody(void **state)
{
    struct rig_config config = {
        .pmem_bytes = 24u << 20,
        .disk_bytes = 32u << 20,
        .segment_bytes = 65536,
        .share_segments = 12,
        .streams = 4,
        .attach = {.dirty_urgent_percent = 100, .epoch_bytes_max = UINT64_MAX},
    };
    uint64_t len[CLIENTS];
    struct crowd w;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        len[i] = i % 4 == 0 ? 512 : i == 5 ? 262144 : 16384;
    crowd_begin(&w, &config);
    crowd_run(&w, len, 10 * TIMED_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(w.client[i].error == 0);
    crowd_end(&w);
}

/* A disk that is gone: everybody gets the same error after T, one T each. */
static void a_dead_disk_keeps_nobody_longer_than_t(void **state)
{
    struct rig_config config = {
        .pmem_bytes = 24u << 20,
        .disk_bytes = 32u << 20,
        .segment_bytes = 65536,
        .share_segments = 32,
        .streams = 4,
        .attach = {.space_timeout_ns = 3 * TIMED_S},
    };
    uint64_t len[CLIENTS];
    struct crowd w;

    (void)state;
    for (unsigned gate = 0; gate < 4; gate++) {
        config.attach.max_dirty_bytes = gate % 2 == 0 ? 0 : 512u << 10;
        for (unsigned i = 0; i < CLIENTS; i++)
            len[i] = UINT64_C(512) << i % 8;
        crowd_begin(&w, &config);
        if (gate < 2)
            sim_disk_set_gone(w.rig->disk[0], true);
        else
            w.hung = true;
        crowd_run(&w, len, 100 * TIMED_S);
        for (unsigned i = 0; i < CLIENTS; i++) {
            assert_int_equal(w.client[i].error, CBD_E_NOSPACE);
            assert_in_range(w.client[i].longest_ns, 3 * TIMED_S, 5 * TIMED_S);
        }
        w.hung = false;
        crowd_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_write_is_not_overtaken_for_ever),
        cmocka_unit_test(sixteen_writers_of_all_sizes),
        cmocka_unit_test(a_free_segment_comes_to_everybody),
        cmocka_unit_test(a_dead_disk_keeps_nobody_longer_than_t),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
