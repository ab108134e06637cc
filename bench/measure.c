/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stop watch: one or more threads that start together.
 *
 * Each thread takes the time of every SLICE_OPS operations. A slice that took more than twice the
 * median is one in which the processor was away; the mean of the others is the thread's figure. So
 * what the engine does now and then (a new segment, a split) counts, and a preemption does not.
 * When the first thread is through the others stop: no slice is timed without its company.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

#define SLICE_OPS 256u

struct team {
    struct bench_rig *rig;
    bench_run *run;
    uint64_t ops;        /* of each thread */
    atomic_uint waiting; /* threads that have not arrived */
    atomic_bool over;    /* one is through */
};

struct runner {
    struct team *team;
    unsigned thread;
    uint64_t seed;
    double *slice_ns; /* for each operation of the slice; room for all */
    uint64_t slices;
};

static uint64_t slices_all, slices_lost;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t bench_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_random(uint64_t seed, uint64_t n, uint64_t limit)
{
    uint64_t x = seed + n * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return (uint64_t)((unsigned __int128)x * limit >> 64);
}

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    struct team *team = r->team;
    struct bench_slice slice = {.thread = r->thread, .seed = r->seed};
    uint64_t start_ns, end_ns;

    atomic_fetch_sub(&team->waiting, 1);
    while (atomic_load(&team->waiting) != 0)
        ;
    start_ns = clock_ns(CLOCK_MONOTONIC);
    while (slice.first < team->ops && !atomic_load(&team->over)) {
        slice.count = team->ops - slice.first < SLICE_OPS ? team->ops - slice.first : SLICE_OPS;
        team->run(team->rig, &slice);
        end_ns = clock_ns(CLOCK_MONOTONIC);
        r->slice_ns[r->slices++] = (double)(end_ns - start_ns) / (double)slice.count;
        start_ns = end_ns;
        slice.first += slice.count;
    }
    atomic_store(&team->over, true);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The mean of the slices that count. */
static double runner_mean(struct runner *r)
{
    double sum = 0;
    uint64_t n = 0;

    if (r->slices == 0)
        return 0;
    qsort(r->slice_ns, r->slices, sizeof(*r->slice_ns), by_value);
    while (n < r->slices && r->slice_ns[n] <= 2 * r->slice_ns[r->slices / 2])
        sum += r->slice_ns[n++];
    slices_all += r->slices;
    slices_lost += r->slices - n;
    return sum / (double)n;
}

double bench_measure(struct bench_rig *rig, bench_run *run, unsigned threads, uint64_t ops)
{
    static uint64_t runs; /* so that no two runs go the same way */
    struct team team = {.rig = rig, .run = run, .ops = ops, .waiting = threads};
    struct runner runner[BENCH_THREADS];
    pthread_t id[BENCH_THREADS];
    double per_ns = 0;

    for (unsigned i = 0; i < threads; i++) {
        runner[i] = (struct runner){
            .team = &team, .thread = i, .seed = bench_random(2, runs++, UINT64_MAX)};
        runner[i].slice_ns = calloc(ops / SLICE_OPS + 1, sizeof(double));
        if (runner[i].slice_ns == NULL)
            bench_must(CBD_E_NOMEM, "samples");
        if (i > 0 && pthread_create(&id[i], NULL, runner_main, &runner[i]) != 0)
            bench_must(CBD_E_SYSTEM, "thread");
    }
    runner_main(&runner[0]);
    for (unsigned i = 0; i < threads; i++) {
        double mean_ns;

        if (i > 0)
            pthread_join(id[i], NULL);
        mean_ns = runner_mean(&runner[i]);
        per_ns += mean_ns > 0 ? 1 / mean_ns : 0;
        free(runner[i].slice_ns);
    }
    return 1 / per_ns;
}

double bench_measure_lost(void)
{
    return slices_all == 0 ? 0 : (double)slices_lost / (double)slices_all;
}
