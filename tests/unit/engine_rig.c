/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole small cache that the tests of the engine share. */
#include "engine_rig.h"

#include "sim_base.h"

struct rig_block {
    struct rig_block *prev, *next;
    size_t len;
    _Alignas(64) uint8_t bytes[];
};

static struct rig *of(struct cbd_env *env)
{
    return (struct rig *)(void *)((char *)env - offsetof(struct rig, env));
}

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    struct rig *r = of(env);
    struct rig_block *block;

    if (r->allocs++ == r->alloc_fail_at)
        return NULL;
    block = aligned_alloc(64, (sizeof(*block) + len_bytes + 63) / 64 * 64);
    SIM_REQUIRE(block != NULL);
    *block = (struct rig_block){.next = r->blocks, .len = len_bytes};
    memset(block->bytes, 0xa5, len_bytes);
    if (r->blocks != NULL)
        r->blocks->prev = block;
    r->blocks = block;
    return block->bytes;
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    struct rig *r = of(env);
    struct rig_block *block = (void *)((char *)p - offsetof(struct rig_block, bytes));

    SIM_REQUIRE(block->len == len_bytes);
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        r->blocks = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    free(block);
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    struct rig *r = of(env);

    r->reports[report->severity]++;
    r->last[report->severity] = *report;
    r->sim_ops->report(env, report);
}

/* A step takes a millisecond, so that a disk that fails at once does not hide that time passes. */
static int env_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct rig *r = of(env);
    uint64_t start = r->env.now_ns;

    while (!ready(arg)) {
        if (timeout_ns != UINT64_MAX && r->env.now_ns - start >= timeout_ns)
            return CBD_E_TIMEDOUT;
        r->env.now_ns += 1000000;
        if (!rig_progress(r))
            SIM_REQUIRE(timeout_ns != UINT64_MAX); /* nobody will ever be ready */
    }
    return 0;
}

/* Parts in the sequence that nobody expects. */
static void run_backwards(struct cbd_env *env, void (*job)(void *arg, unsigned n), void *arg,
                          unsigned count)
{
    (void)env;
    while (count-- > 0)
        job(arg, count);
}

static void disk_hook(void *arg, const struct sim_disk_event *ev)
{
    struct rig_port *port = arg;
    struct rig *r = port->rig;

    r->trace = sim_grow(r->trace, &r->trace_cap, r->trace_count + 1, sizeof(*r->trace));
    r->trace[r->trace_count++] =
        (struct rig_event){*ev, port->n, r->disk[port->n]->state.submissions};
}

static bool progress_one(struct rig *r, uint32_t choice)
{
    uint32_t n = choice / 3;

    if (choice % 3 == 0) {
        size_t inflight = sim_disk_inflight(r->disk[n]);

        if (inflight == 0)
            return false;
        sim_disk_complete(r->disk[n], r->random_order ? sim_rng_below(&r->env.rng, inflight) : 0);
        return true;
    }
    if (!r->background || r->backend[n] == NULL)
        return false;
    return cbd_backend_step(r->backend[n],
                            choice % 3 == 1 ? CBD_WORK_WRITEBACK : CBD_WORK_RECLAIM) > 0;
}

bool rig_progress(struct rig *r)
{
    uint32_t choices = 3 * r->config.backends;
    uint32_t first = r->random_order ? (uint32_t)sim_rng_below(&r->env.rng, choices) : 0;

    if (r->on_progress != NULL && r->on_progress(r))
        return true;
    for (uint32_t i = 0; i < choices; i++)
        if (progress_one(r, (first + i) % choices))
            return true;
    return false;
}

static void use_defaults(struct rig_config *c)
{
    c->pmem_bytes = c->pmem_bytes != 0 ? c->pmem_bytes : 4u << 20;
    c->segment_bytes = c->segment_bytes != 0 ? c->segment_bytes : 65536;
    c->disk_bytes = c->disk_bytes != 0 ? c->disk_bytes : 1u << 20;
    c->logical_block_bytes = c->logical_block_bytes != 0 ? c->logical_block_bytes : 512;
    c->backends = c->backends != 0 ? c->backends : 1;
    c->share_segments = c->share_segments != 0 ? c->share_segments : 8;
    c->streams = c->streams != 0 ? c->streams : 1;
}

static void create_disk(struct rig *r, uint32_t n)
{
    struct sim_disk_config disk = {
        .size_bytes = r->config.disk_bytes,
        .logical_block_bytes = r->config.logical_block_bytes,
        .volatile_cache = !r->config.write_through,
        .discard_zeroes = !r->config.keeps_discarded,
    };
    size_t sectors = r->config.disk_bytes / SIM_SECTOR_BYTES;

    r->disk[n] = sim_disk_create(&disk);
    r->port[n] = (struct rig_port){r, n};
    r->disk[n]->hook = disk_hook;
    r->disk[n]->hook_arg = &r->port[n];
    if (r->config.disk_bytes > RIG_MODEL_BYTES_MAX)
        return;
    r->want[n] = sim_zalloc(sectors, sizeof(uint64_t));
    r->maybe[n] = sim_zalloc(sectors, sizeof(uint64_t));
    for (size_t i = 0; i < sectors; i++)
        r->maybe[n][i] = RIG_NO_VERSION;
}

struct rig *rig_create_blank(const struct rig_config *config)
{
    struct rig *r = sim_zalloc(1, sizeof(*r));

    if (config != NULL)
        r->config = *config;
    use_defaults(&r->config);
    sim_env_init(&r->env, 1);
    r->sim_ops = r->env.env.ops;
    r->ops = *r->sim_ops;
    r->ops.alloc = env_alloc;
    r->ops.free = env_free;
    r->ops.report = env_report;
    r->ops.wait = env_wait;
    if (r->config.recovers_in_parts)
        r->ops.run = run_backwards;
    r->env.env.ops = &r->ops;
    r->alloc_fail_at = UINT64_MAX;
    r->background = true;
    r->pmem = sim_pmem_create(r->config.pmem_bytes, r->config.model);
    for (uint32_t n = 0; n < r->config.backends; n++)
        create_disk(r, n);
    return r;
}

void rig_format(struct rig *r, uint64_t salt)
{
    struct cbd_format_options options = {
        .uuid = {0xcb, 0xd1},
        .segment_bytes = r->config.segment_bytes,
        .no_data_checksum = r->config.no_data_checksum,
        .salt = salt,
    };
    uint32_t bad;

    assert_int_equal(cbd_format(&r->pmem->pm, &r->env.env, &options, &r->geo), 0);
    assert_int_equal(cbd_super_read(&r->pmem->pm, &r->env.env, &r->super, &bad), 0);
    assert_int_equal(bad, 0);
}

void rig_add(struct rig *r, uint32_t n)
{
    char name[] = {'d', 'i', 's', 'k', (char)('0' + n / 10), (char)('0' + n % 10), '\0'};
    struct cbd_backend_options options = {
        .uuid = {(uint8_t)(n + 1)},
        .name = name,
        .size_bytes = r->config.disk_bytes,
        .logical_block_bytes = r->config.logical_block_bytes,
        .cache_bytes = (uint64_t)r->config.share_segments * r->config.segment_bytes,
        .streams = r->config.streams,
    };
    uint32_t id;

    rig_open(r);
    assert_int_equal(cbd_backend_add(r->cache, &options, &id), 0);
    assert_int_equal(id, n);
}

struct rig *rig_create(const struct rig_config *config)
{
    struct rig *r = rig_create_blank(config);

    rig_format(r, 7);
    for (uint32_t n = 0; n < r->config.backends; n++)
        rig_add(r, n);
    rig_abandon(r);
    return r;
}

void rig_destroy(struct rig *r)
{
    rig_abandon(r);
    assert_null(r->blocks);
    assert_int_equal(r->pmem->counts.mixed.count, 0);
    for (uint32_t n = 0; n < r->config.backends; n++) {
        assert_int_equal(r->disk[n]->state.changed_in_flight, 0);
        sim_disk_destroy(r->disk[n]);
        free(r->want[n]);
        free(r->maybe[n]);
    }
    sim_pmem_destroy(r->pmem);
    sim_env_destroy(&r->env);
    free(r->trace);
    free(r->write_buf);
    free(r->read_buf);
    free(r);
}

void rig_open(struct rig *r)
{
    if (r->cache == NULL)
        assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache), 0);
}

int rig_try_attach(struct rig *r, uint32_t n)
{
    rig_open(r);
    return cbd_backend_attach(r->cache, n, &r->disk[n]->disk, &r->config.attach, &r->backend[n]);
}

void rig_attach(struct rig *r)
{
    for (uint32_t n = 0; n < r->config.backends; n++)
        assert_int_equal(rig_try_attach(r, n), 0);
}

bool rig_degraded(struct rig *r)
{
    rig_attach(r);
    return rig_stats(r).degraded;
}

struct lost_place {
    uint64_t off;
    bool found;
};

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    struct lost_place *place = arg;

    if (lost->off_bytes == place->off)
        place->found = true;
}

bool rig_is_lost(struct rig *r, uint64_t off)
{
    struct lost_place place = {.off = off};

    (void)cbd_backend_lost(r->backend[0], on_lost, &place);
    return place.found;
}

void rig_detach(struct rig *r)
{
    for (uint32_t n = 0; n < r->config.backends; n++) {
        if (r->backend[n] == NULL)
            continue;
        assert_int_equal(cbd_backend_detach(r->backend[n]), 0);
        r->backend[n] = NULL;
    }
    rig_abandon(r);
}

void rig_abandon(struct rig *r)
{
    bool background = r->background;

    r->background = false; /* nobody steps a backend that is going */
    for (uint32_t n = 0; n < r->config.backends; n++)
        if (r->backend[n] != NULL)
            cbd_backend_abandon(r->backend[n]);
    memset(r->backend, 0, sizeof(r->backend));
    if (r->cache != NULL)
        cbd_cache_close(r->cache);
    r->cache = NULL;
    r->background = background;
}

static void forget_process(struct rig *r)
{
    while (r->blocks != NULL)
        env_free(&r->env.env, r->blocks->bytes, r->blocks->len);
    memset(r->backend, 0, sizeof(r->backend));
    r->cache = NULL;
}

void rig_kill(struct rig *r)
{
    forget_process(r);
    for (uint32_t n = 0; n < r->config.backends; n++)
        sim_disk_kill(r->disk[n]);
}

void rig_power_cut(struct rig *r, enum sim_crash_kind kind)
{
    struct sim_crash crash = {.kind = kind};

    forget_process(r);
    sim_pmem_crash(r->pmem, &crash);
    for (uint32_t n = 0; n < r->config.backends; n++)
        sim_disk_crash(r->disk[n], &crash);
}

static void cut_hook(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    if (ev->step == r->cut_step && r->cut_skip-- == 0)
        longjmp(r->cut, 1);
}

bool rig_cut_in(struct rig *r, enum cbd_step step, uint32_t skip, void (*run)(struct rig *r))
{
    bool cut = true;

    r->cut_step = step;
    r->cut_skip = skip;
    r->pmem->hook = cut_hook;
    r->pmem->hook_arg = r;
    if (setjmp(r->cut) == 0) {
        run(r);
        cut = false;
    }
    r->pmem->hook = NULL;
    return cut;
}

int rig_step_to_idle(struct rig *r, uint32_t n)
{
    for (;;) {
        int did = cbd_backend_step(r->backend[n], CBD_WORK_WRITEBACK);

        if (did < 0)
            return did;
        if (did == 0 && sim_disk_inflight(r->disk[n]) == 0)
            return 0;
        if (sim_disk_inflight(r->disk[n]) != 0)
            sim_disk_complete(r->disk[n], 0);
    }
}

void rig_write_back(struct rig *r)
{
    cbd_backend_drain(r->backend[0], true);
    assert_int_equal(rig_step_to_idle(r, 0), 0);
    cbd_backend_drain(r->backend[0], false);
}
