/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical threads: where they stop, who can go on, and the loop that lets them. */
#include "sim_sched.h"

#include <string.h>

#include "sim_sched_impl.h"
#include "sim_base.h"

#define DECISION_NS UINT64_C(1000)
#define IDLE_NS_MIN UINT64_C(1000000)
#define IDLE_NS_MAX UINT64_C(100000000) /* far below the time that a write waits for space */
/* So many decisions without any numbered step, or so long a request: nobody gets anywhere. */
#define QUIET_MAX UINT64_C(1000000)
#define REQUEST_NS_MAX UINT64_C(3600000000000)

static uint64_t now(const struct sim_sched *s)
{
    return s->world->main.env.now_ns;
}

/* The running thread stops here until it is chosen again. */
static void stop(struct sim_sched *s, enum sched_stop where)
{
    struct sched_thread *t = s->running;

    t->stop = where;
    sim_coro_leave(t->coro);
}

/* ---- what core/ and the devices call ---- */

static bool on_pause(void *arg, const struct sim_pm_event *ev)
{
    struct sim_sched *s = arg;

    if (s->running == NULL)
        return false;
    s->running->event = *ev;
    stop(s, SCHED_STORE);
    return true;
}

/* Where a reader can be overtaken. What background work reads, nobody else may change. */
static void on_load(void *arg)
{
    struct sim_sched *s = arg;

    if (s->running != NULL && s->running->role == SCHED_CLIENT)
        stop(s, SCHED_LOAD);
}

static void on_submit(void *arg, const struct cbd_disk_io *io)
{
    struct sim_sched *s = arg;

    (void)io;
    if (s->running != NULL)
        stop(s, SCHED_SUBMIT);
}

static bool on_yield(void *arg, enum cbd_yield why)
{
    struct sim_sched *s = arg;

    if (s->running == NULL)
        return false;
    s->running->seen = s->progress;
    stop(s, why == CBD_YIELD_SPIN ? SCHED_SPIN : SCHED_LOCK);
    return true;
}

static bool on_wait(void *arg, bool (*ready)(void *ready_arg), void *ready_arg, uint64_t timeout_ns,
                    int *error)
{
    struct sim_sched *s = arg;
    struct sched_thread *t = s->running;
    uint64_t deadline;

    if (t == NULL)
        return false;
    deadline = timeout_ns > UINT64_MAX - now(s) ? UINT64_MAX : now(s) + timeout_ns;
    t->woken = true; /* others may run before it looks */
    s->activity++;   /* background work may be what it waits for */
    for (;;) {
        t->deadline_ns = deadline;
        stop(s, SCHED_WAIT);
        t->woken = false;
        if (ready(ready_arg)) {
            *error = 0;
            return true;
        }
        if (now(s) >= deadline) {
            *error = CBD_E_TIMEDOUT;
            return true;
        }
    }
}

static void on_wake(void *arg)
{
    struct sim_sched *s = arg;

    s->activity++;
    for (uint32_t i = 0; i < s->threads; i++)
        s->thread[i].woken = true;
}

static const struct sim_env_threads threads = {on_wait, on_yield, on_wake};

/* ---- what the threads do ---- */

static void client_body(void *arg)
{
    struct sched_thread *t = arg;

    for (;;) {
        if (!sim_client_serve(t->sched->world, &t->client, &t->request))
            SIM_REQUIRE(sim_world_failed(t->sched->world));
        t->sched->activity++;
        stop(t->sched, SCHED_IDLE);
    }
}

static void idle(struct sched_thread *t, bool failed)
{
    t->failed = failed;
    t->seen = t->sched->activity;
    t->deadline_ns = now(t->sched) + t->idle_ns;
    t->idle_ns = t->idle_ns < IDLE_NS_MAX ? 2 * t->idle_ns : IDLE_NS_MAX;
    stop(t->sched, SCHED_IDLE);
}

static void background_body(void *arg)
{
    struct sched_thread *t = arg;
    struct sim_process *p = &t->sched->world->main;
    enum cbd_work work = t->role == SCHED_RECLAIM ? CBD_WORK_RECLAIM : CBD_WORK_WRITEBACK;

    for (;;) {
        struct cbd_backend *b = p->backend[t->number];
        int did = b == NULL ? 0 : cbd_backend_step(b, work);

        if (did > 0) {
            t->idle_ns = IDLE_NS_MIN;
            stop(t->sched, SCHED_BETWEEN);
        } else {
            idle(t, did < 0);
        }
    }
}

/* ---- the loop ---- */

static bool thread_can(const struct sim_sched *s, const struct sched_thread *t)
{
    switch (t->stop) {
    case SCHED_IDLE:
        if (t->role == SCHED_CLIENT)
            return s->have_next && (s->next.client == 0 || s->next.client - 1 == t->number);
        return !s->quiet && ((t->seen != s->activity && !t->failed) || now(s) >= t->deadline_ns);
    case SCHED_BETWEEN:
        return !s->quiet;
    case SCHED_SPIN:
        return t->seen != s->progress;
    case SCHED_WAIT:
        return t->woken || now(s) >= t->deadline_ns;
    case SCHED_STORE:
    case SCHED_LOAD:
    case SCHED_SUBMIT:
    case SCHED_LOCK:
    default:
        return true;
    }
}

static uint32_t who_can(const struct sim_sched *s, uint32_t can[SCHED_ACTORS_MAX])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->threads; i++)
        if (thread_can(s, &s->thread[i]))
            can[count++] = i;
    for (uint32_t n = 0; n < s->world->config.backends; n++)
        if (sim_disk_inflight(s->world->disk[n]) != 0)
            can[count++] = s->threads + n;
    return count;
}

/* The next moment at which somebody can go on; UINT64_MAX: never. */
static uint64_t next_moment(const struct sim_sched *s)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < s->threads; i++) {
        const struct sched_thread *t = &s->thread[i];
        bool timed = t->stop == SCHED_WAIT ||
                     (t->stop == SCHED_IDLE && t->role != SCHED_CLIENT && !s->quiet);

        if (timed && t->deadline_ns < next)
            next = t->deadline_ns;
    }
    return next;
}

static bool stuck(struct sim_sched *s, const char *what)
{
    sched_describe(s, what, s->world->stuck, sizeof(s->world->stuck));
    return false;
}

/* Nobody can go on now. False: nor later. */
static bool jump(struct sim_sched *s)
{
    uint64_t next = next_moment(s);

    if (next == UINT64_MAX)
        return stuck(s, "deadlock");
    s->world->main.env.now_ns = next;
    s->quiet_since++;
    for (uint32_t i = 0; i < s->threads; i++)
        if (s->thread[i].role == SCHED_CLIENT && s->thread[i].stop != SCHED_IDLE &&
            next - s->thread[i].since_ns > REQUEST_NS_MAX)
            return stuck(s, "a request does not end");
    return true;
}

/* The hook may longjmp() away, or say that the run shall stop. */
static void before_step(struct sim_sched *s, struct sched_thread *t)
{
    struct sim_pmem *pm = s->world->pmem;

    t->event.number = pm->ops_done;
    t->last_step = t->event.step;
    s->quiet_since = 0;
    pm->thread = t->pm_thread;
    if (pm->hook != NULL)
        pm->hook(pm->hook_arg, &t->event);
}

static void run_thread(struct sim_sched *s, struct sched_thread *t)
{
    if (t->stop == SCHED_STORE) {
        before_step(s, t);
        if (s->world->stop)
            return;
    } else if (t->stop == SCHED_IDLE && t->role == SCHED_CLIENT) {
        t->request = s->next;
        t->since_ns = now(s);
        s->have_next = false;
        s->quiet_since = 0;
    }
    s->world->pmem->thread = t->pm_thread;
    s->running = t;
    sim_coro_enter(t->coro);
    s->running = NULL;
    if (t->stop != SCHED_SPIN)
        s->progress++;
}

static void run_disk(struct sim_sched *s, uint32_t n)
{
    struct sim_disk *disk = s->world->disk[n];

    s->quiet_since = 0;
    sim_disk_complete(disk, sim_rng_below(&s->rng, sim_disk_inflight(disk)));
    s->progress++;
    s->activity++;
}

/* All requests have ended and no background step is under way. */
static bool at_rest(struct sim_sched *s)
{
    for (uint32_t i = 0; i < s->threads; i++)
        if (s->thread[i].role == SCHED_CLIENT && s->thread[i].stop != SCHED_IDLE)
            return false;
    s->quiet = true;
    for (uint32_t i = 0; i < s->threads; i++)
        if (s->thread[i].stop != SCHED_IDLE && s->thread[i].stop != SCHED_BETWEEN)
            return false;
    return true;
}

static bool take_next(struct sim_sched *s, int *error)
{
    int got;

    if (s->have_next || s->ended)
        return true;
    got = s->feed->next(s->feed->arg, &s->next);
    s->have_next = got == 1;
    s->ended = got == 0;
    if (got < 0)
        *error = got;
    return got >= 0;
}

int sim_sched_run(struct sim_sched *s, const struct sim_feed *feed)
{
    struct sim_world *w = s->world;
    uint32_t can[SCHED_ACTORS_MAX], count, actor;
    int error = 0;

    s->feed = feed;
    s->ended = false;
    s->quiet = false;
    while (!w->stop && !sim_world_failed(w) && take_next(s, &error)) {
        if (s->ended && !s->have_next && at_rest(s))
            return 0;
        w->main.env.now_ns += DECISION_NS;
        count = who_can(s, can);
        if (count == 0) {
            if (!jump(s))
                return 0;
            continue;
        }
        if (++s->quiet_since > QUIET_MAX) {
            (void)stuck(s, "livelock");
            return 0;
        }
        actor = sched_choose(s, can, count);
        if (actor < s->threads)
            run_thread(s, &s->thread[actor]);
        else
            run_disk(s, actor - s->threads);
    }
    return error;
}

/* ---- life ---- */

static void add_thread(struct sim_sched *s, enum sched_role role, uint32_t number)
{
    struct sched_thread *t = &s->thread[s->threads++];

    t->sched = s;
    t->role = role;
    t->number = number;
    if (role == SCHED_CLIENT) {
        sim_client_init(&t->client, number);
        t->pm_thread = number;
    } else {
        t->pm_thread =
            (role == SCHED_WRITEBACK ? SIM_THREAD_WRITEBACK : SIM_THREAD_RECLAIM) + number;
    }
    t->coro = sim_coro_create(role == SCHED_CLIENT ? client_body : background_body, t);
}

struct sim_sched *sim_sched_create(struct sim_world *w)
{
    struct sim_sched *s = sim_zalloc(1, sizeof(*s));

    SIM_REQUIRE(w->config.clients >= 1 && w->config.clients <= SIM_CLIENTS_MAX);
    s->world = w;
    for (uint32_t i = 0; i < w->config.clients; i++)
        add_thread(s, SCHED_CLIENT, i);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        add_thread(s, SCHED_WRITEBACK, n);
        add_thread(s, SCHED_RECLAIM, n);
    }
    s->actors = s->threads + w->config.backends;
    w->main.env.threads = &threads;
    w->main.env.threads_arg = s;
    w->pmem->pause = on_pause;
    w->pmem->pause_load = on_load;
    w->pmem->pause_arg = s;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        w->disk[n]->pause = on_submit;
        w->disk[n]->pause_arg = s;
    }
    return s;
}

void sim_sched_destroy(struct sim_sched *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->threads; i++) {
        sim_coro_destroy(s->thread[i].coro);
        if (s->thread[i].role == SCHED_CLIENT)
            sim_client_destroy(&s->thread[i].client);
    }
    free(s);
}

void sim_sched_restart(struct sim_sched *s, uint64_t seed)
{
    sim_rng_seed(&s->rng, sim_rng_mix(seed, 7));
    s->running = NULL;
    s->window_left = 0;
    s->last = SCHED_NOBODY;
    for (uint32_t i = 0; i < s->threads; i++) {
        struct sched_thread *t = &s->thread[i];

        sim_coro_restart(t->coro);
        t->stop = SCHED_IDLE;
        t->seen = s->activity - 1; /* looks once */
        t->deadline_ns = 0;
        t->idle_ns = IDLE_NS_MIN;
        t->failed = false;
        t->last_step = CBD_STEP_NONE;
    }
}
