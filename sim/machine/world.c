/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated machine: devices, the process on them, and what happens between requests. */
#include "world.h"

#include <string.h>

#include "cbd/format.h"
#include "sim_sched.h"
#include "sim_base.h"

/* One language: what a sector decodes to is what the oracle judges. */
_Static_assert(SIM_VERSION_ZERO == SIM_ORACLE_ZERO, "zero");
_Static_assert(SIM_VERSION_GARBAGE == SIM_ORACLE_GARBAGE, "garbage");
_Static_assert(SIM_VERSION_INITIAL == SIM_ORACLE_INITIAL, "initial");

#define SECTOR UINT64_C(512)
#define FAILED_NS UINT64_C(200000000)

static int fail(struct sim_world *w, int error, const char *where)
{
    w->error = error;
    w->error_where = where;
    return error;
}

static bool backend_step(struct sim_process *p, uint32_t n, enum cbd_work work)
{
    int did;

    uint32_t thread = p->world->pmem->thread;

    if (p->backend[n] == NULL)
        return false;
    p->world->pmem->thread =
        (work == CBD_WORK_RECLAIM ? SIM_THREAD_RECLAIM : SIM_THREAD_WRITEBACK) + n;
    did = cbd_backend_step(p->backend[n], work);
    p->world->pmem->thread = thread;
    /* A disk that fails takes its time: who waits for it will not wait for ever. */
    if (did < 0)
        p->env.now_ns += FAILED_NS;
    return did > 0;
}

static bool complete_one(struct sim_world *w, uint32_t n, struct sim_rng *rng)
{
    size_t inflight = sim_disk_inflight(w->disk[n]);

    if (inflight == 0)
        return false;
    sim_disk_complete(w->disk[n], sim_rng_below(rng, inflight));
    return true;
}

bool sim_process_progress(void *process)
{
    struct sim_process *p = process;
    struct sim_world *w = p->world;
    uint32_t backends = w->config.backends;
    uint32_t choices = 3 * backends;
    uint32_t first = (uint32_t)sim_rng_below(&p->rng, choices);

    for (uint32_t i = 0; i < choices; i++) {
        uint32_t n = (first + i) % choices;

        if (n % 3 == 0 && complete_one(w, n / 3, &p->rng))
            return true;
        if (n % 3 != 0 && p->background &&
            backend_step(p, n / 3, n % 3 == 1 ? CBD_WORK_WRITEBACK : CBD_WORK_RECLAIM))
            return true;
    }
    return false;
}

void sim_process_init(struct sim_process *p, struct sim_world *w, uint64_t seed)
{
    memset(p, 0, sizeof(*p));
    p->world = w;
    sim_client_init(&p->client, 0);
    sim_env_init(&p->env, seed);
}

void sim_process_destroy(struct sim_process *p)
{
    sim_env_destroy(&p->env);
    sim_sched_destroy(p->sched);
    sim_client_destroy(&p->client);
}

int sim_process_attach(struct sim_process *p, uint32_t backend, bool fills)
{
    struct sim_world *w = p->world;
    struct cbd_attach_options options = {
        .epoch_records_max = w->config.epoch_records_max,
        .dirty_start_percent = w->config.dirty_start_percent,
        .trees = w->config.trees,
        .space_timeout_ns = w->config.space_timeout_ns,
        .no_fill = !fills,
        .replacement = w->config.replacement,
        .durability = w->config.durability,
        /* A process that judges is started for each crash state: two places show a false alarm. */
        .identity_places = fills ? 0 : 2,
    };

    return cbd_backend_attach(p->cache, backend, &w->disk[backend]->disk, &options,
                              &p->backend[backend]);
}

int sim_process_start(struct sim_process *p, struct sim_world *w, uint64_t seed, bool fills,
                      const char **where)
{
    int error;

    p->world = w;
    sim_rng_seed(&p->rng, seed);
    sim_env_reset(&p->env, seed);
    memset(p->backend, 0, sizeof(p->backend));
    p->cache = NULL;
    p->env.progress = sim_process_progress;
    p->env.progress_arg = p;
    if (p->sched != NULL)
        sim_sched_restart(p->sched, seed);
    w->pmem->thread = SIM_THREAD_START;
    *where = "open";
    error = cbd_cache_open(&w->pmem->pm, &p->env.env, 0, &p->cache);
    *where = "attach";
    for (uint32_t n = 0; n < w->config.backends && error == 0; n++)
        error = sim_process_attach(p, n, fills);
    return error;
}

static int add_backends(struct sim_world *w, uint32_t segments)
{
    struct cbd_cache *cache;
    int error = cbd_cache_open(&w->pmem->pm, &w->main.env.env, 0, &cache);

    for (uint32_t n = 0; n < w->config.backends && error == 0; n++) {
        char name[8] = {'d', 'i', 's', 'k', (char)('0' + n), '\0'};
        struct cbd_backend_options options = {
            .name = name,
            .size_bytes = w->config.disk_bytes[n],
            .logical_block_bytes = w->config.logical_block_bytes,
            .cache_bytes = (uint64_t)(segments / w->config.backends) * w->config.segment_bytes,
            .streams = w->config.streams,
        };
        uint32_t id;

        options.uuid[0] = (uint8_t)(n + 1);
        error = cbd_backend_add(cache, &options, &id);
    }
    if (error == 0)
        cbd_cache_close(cache);
    return error;
}

static void create_devices(struct sim_world *w)
{
    const struct sim_config *c = &w->config;

    w->pmem = sim_pmem_create(c->cache_bytes, c->model);
    w->pmem->drop_step = c->drop_step;
    for (uint32_t n = 0; n < c->backends; n++) {
        struct sim_disk_config disk = {
            .size_bytes = c->disk_bytes[n],
            .logical_block_bytes = c->logical_block_bytes,
            .volatile_cache = !c->disk_write_through,
            .discard_zeroes = !c->disk_keeps_discarded,
        };

        w->disk[n] = sim_disk_create(&disk);
    }
}

int sim_world_create(struct sim_world *w, const struct sim_config *config)
{
    struct cbd_format_options options = {
        .uuid = {0xcb, 0xd0},
        .segment_bytes = config->segment_bytes,
        .no_data_checksum = config->no_data_checksum,
        .salt = config->seed,
    };
    struct cbd_geometry geo;
    const char *where;
    int error;

    memset(w, 0, sizeof(*w));
    w->config = *config;
    sim_process_init(&w->main, w, config->seed);
    create_devices(w);
    error = cbd_format(&w->pmem->pm, &w->main.env.env, &options, &geo);
    if (error != 0)
        return fail(w, error, "format");
    w->geo = geo;
    w->config.segment_bytes = geo.segment_bytes;
    w->atomic_sectors = geo.atomic_bytes / (uint32_t)SECTOR;
    for (uint32_t n = 0; n < config->backends; n++) {
        struct sim_oracle_config oracle = {
            .size_sectors = config->disk_bytes[n] / SECTOR,
            .atomic_sectors = w->atomic_sectors,
            .durable_on_ack = config->durability == CBD_DURABLE_ON_ACK,
        };

        w->oracle[n] = sim_oracle_create(&oracle);
        SIM_REQUIRE(w->oracle[n] != NULL);
    }
    error = add_backends(w, geo.segment_count);
    if (error != 0)
        return fail(w, error, "backend add");
    w->main.background = true;
    sim_rng_seed(&w->faults.rng, sim_rng_mix(config->seed, 3));
    if (config->schedule != SIM_SCHEDULE_SERIAL)
        w->main.sched = sim_sched_create(w);
    error = sim_process_start(&w->main, w, sim_rng_mix(config->seed, 1), true, &where);
    return error != 0 ? fail(w, error, where) : 0;
}

void sim_world_destroy(struct sim_world *w)
{
    for (uint32_t n = 0; n < SIM_BACKENDS_MAX; n++) {
        if (w->oracle[n] != NULL)
            sim_oracle_destroy(w->oracle[n]);
        if (w->disk[n] != NULL)
            sim_disk_destroy(w->disk[n]);
    }
    if (w->pmem != NULL)
        sim_pmem_destroy(w->pmem);
    sim_fault_destroy(w);
    sim_process_destroy(&w->main);
}

int sim_process_read(struct sim_process *p, uint32_t backend, uint64_t start_sector,
                     uint64_t sectors, uint64_t *versions)
{
    uint64_t done = 0;

    while (done < sectors) {
        uint64_t n = sectors - done;
        int error;

        if (n > SIM_REQUEST_BYTES_MAX / SECTOR)
            n = SIM_REQUEST_BYTES_MAX / SECTOR;
        error = cbd_read(p->backend[backend], 0, (start_sector + done) * SECTOR, p->client.buf,
                         n * SECTOR);
        if (error != 0)
            return error;
        for (uint64_t i = 0; i < n; i++)
            versions[done + i] =
                sim_sector_decode(p->client.buf + i * SECTOR, start_sector + done + i);
        done += n;
    }
    return 0;
}

static void repair_disks(struct sim_world *w)
{
    for (uint32_t n = 0; n < w->config.backends; n++)
        memset(w->disk[n]->state.fault, 0, sizeof(w->disk[n]->state.fault));
}

void sim_world_drain(struct sim_world *w)
{
    repair_disks(w);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        if (w->main.backend[n] != NULL)
            cbd_backend_drain(w->main.backend[n], true);
        while (backend_step(&w->main, n, CBD_WORK_WRITEBACK) || complete_one(w, n, &w->main.rng))
            ;
    }
}

bool sim_world_finish(struct sim_world *w)
{
    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct cbd_backend *b = w->main.backend[n];
        int error = b != NULL ? cbd_backend_detach(b) : 0;
        uint64_t sector = 0;

        if (error != 0) {
            fail(w, error, "detach");
            return false;
        }
        w->main.backend[n] = NULL;
        for (; sim_disk_next_touched(w->disk[n], sector, &sector); sector++) {
            uint64_t version = sim_disk_peek(w->disk[n], sector);

            if (sim_oracle_check_final(w->oracle[n], sector, 1, version, &w->violation) != 0) {
                w->violation_backend = n;
                return false;
            }
        }
    }
    return true;
}

uint64_t sim_world_steps(const struct sim_world *w)
{
    uint64_t steps = w->pmem->ops_done;

    for (uint32_t n = 0; n < w->config.backends; n++)
        steps += w->disk[n]->state.completions;
    return steps;
}

void sim_world_mark(struct sim_world *w)
{
    sim_pmem_mark(w->pmem);
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_mark(w->disk[n]);
}

void sim_world_rollback(struct sim_world *w)
{
    sim_pmem_rollback(w->pmem);
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_rollback(w->disk[n]);
}

void sim_world_power_cut(struct sim_world *w, const struct sim_crash *crash)
{
    repair_disks(w);
    sim_pmem_crash(w->pmem, crash);
    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_crash other = *crash;

        /* Memory and disks lose power together but not alike. */
        other.seed = sim_rng_mix(crash->seed, n + 1);
        other.k = sim_rng_mix(crash->k, n + 1);
        sim_disk_crash(w->disk[n], &other);
    }
}

void sim_world_kill(struct sim_world *w)
{
    repair_disks(w);
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_kill(w->disk[n]);
}
