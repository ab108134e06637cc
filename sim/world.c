/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated machine: devices, the process on them, and what happens between requests. */
#include "world.h"

#include <string.h>

#include "cbd/format.h"
#include "sim_base.h"

/* One language: what a sector decodes to is what the oracle judges. */
_Static_assert(SIM_VERSION_ZERO == SIM_ORACLE_ZERO, "zero");
_Static_assert(SIM_VERSION_GARBAGE == SIM_ORACLE_GARBAGE, "garbage");
_Static_assert(SIM_VERSION_INITIAL == SIM_ORACLE_INITIAL, "initial");

#define SECTOR UINT64_C(512)

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
    p->world->pmem->thread = work == CBD_WORK_RECLAIM ? SIM_THREAD_RECLAIM : SIM_THREAD_WRITEBACK;
    did = cbd_backend_step(p->backend[n], work);
    p->world->pmem->thread = thread;
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
    p->buf = sim_zalloc(SIM_REQUEST_BYTES_MAX, 1);
    p->versions = sim_zalloc(SIM_REQUEST_BYTES_MAX / SECTOR, sizeof(uint64_t));
    sim_env_init(&p->env, seed);
}

void sim_process_destroy(struct sim_process *p)
{
    sim_env_destroy(&p->env);
    free(p->buf);
    free(p->versions);
}

int sim_process_start(struct sim_process *p, struct sim_world *w, uint64_t seed, bool fills,
                      const char **where)
{
    struct cbd_attach_options options = {
        .epoch_records_max = w->config.epoch_records_max,
        .dirty_start_percent = w->config.dirty_start_percent,
        .trees = w->config.trees,
        .no_fill = !fills,
        /* A process that judges is started for each crash state: two places show a false alarm. */
        .identity_places = fills ? 0 : 2,
    };
    int error;

    p->world = w;
    sim_rng_seed(&p->rng, seed);
    sim_env_reset(&p->env, seed);
    memset(p->backend, 0, sizeof(p->backend));
    p->cache = NULL;
    p->env.progress = sim_process_progress;
    p->env.progress_arg = p;
    w->pmem->thread = SIM_THREAD_START;
    *where = "open";
    error = cbd_cache_open(&w->pmem->pm, &p->env.env, 0, &p->cache);
    *where = "attach";
    for (uint32_t n = 0; n < w->config.backends && error == 0; n++)
        error = cbd_backend_attach(p->cache, n, &w->disk[n]->disk, &options, &p->backend[n]);
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
            .durable_on_ack = true,
        };

        w->oracle[n] = sim_oracle_create(&oracle);
        SIM_REQUIRE(w->oracle[n] != NULL);
    }
    error = add_backends(w, geo.segment_count);
    if (error != 0)
        return fail(w, error, "backend add");
    w->main.background = true;
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
        error =
            cbd_read(p->backend[backend], 0, (start_sector + done) * SECTOR, p->buf, n * SECTOR);
        if (error != 0)
            return error;
        for (uint64_t i = 0; i < n; i++)
            versions[done + i] = sim_sector_decode(p->buf + i * SECTOR, start_sector + done + i);
        done += n;
    }
    return 0;
}

/* A request as it goes to a device: whole logical blocks inside the device. */
struct clipped {
    uint32_t backend;
    uint64_t off, len;
};

static bool clip(const struct sim_world *w, const struct sim_request *r, struct clipped *c)
{
    uint64_t lbs = w->config.logical_block_bytes;
    uint64_t size, end;

    c->backend = r->volume % w->config.backends;
    size = w->config.disk_bytes[c->backend];
    if (r->off_bytes >= size)
        return false;
    c->off = r->off_bytes / lbs * lbs;
    end = r->len_bytes > size - r->off_bytes ? size : r->off_bytes + r->len_bytes;
    end = (end + lbs - 1) / lbs * lbs;
    c->len = end - c->off;
    return c->len != 0;
}

static int do_write(struct sim_world *w, const struct clipped *c, unsigned lane, bool fua)
{
    uint64_t first = c->off / SECTOR, sectors = c->len / SECTOR;
    uint64_t id =
        sim_oracle_submit(w->oracle[c->backend], SIM_ORACLE_OP_WRITE, first, sectors, fua);
    int error;

    SIM_REQUIRE(id != 0);
    for (uint64_t i = 0; i < sectors; i++)
        sim_sector_fill(w->main.buf + i * SECTOR, first + i, id);
    error = cbd_write(w->main.backend[c->backend], lane, c->off, w->main.buf, c->len,
                      fua ? CBD_WRITE_FUA : 0);
    if (error == 0)
        sim_oracle_ack(w->oracle[c->backend], id);
    else
        sim_oracle_fail(w->oracle[c->backend], id);
    return error;
}

/* Discard. */
static int do_zero(struct sim_world *w, const struct clipped *c, unsigned lane)
{
    uint64_t id = sim_oracle_submit(w->oracle[c->backend], SIM_ORACLE_OP_ZERO, c->off / SECTOR,
                                    c->len / SECTOR, false);
    int error;

    SIM_REQUIRE(id != 0);
    error = cbd_zero(w->main.backend[c->backend], lane, c->off, c->len, CBD_WRITE_PUNCH);
    if (error == 0)
        sim_oracle_ack(w->oracle[c->backend], id);
    else
        sim_oracle_fail(w->oracle[c->backend], id);
    return error;
}

static int do_flush(struct sim_world *w, uint32_t backend, unsigned lane)
{
    uint64_t id = sim_oracle_submit(w->oracle[backend], SIM_ORACLE_OP_FLUSH, 0, 0, false);
    int error;

    SIM_REQUIRE(id != 0);
    error = cbd_flush(w->main.backend[backend], lane);
    if (error == 0)
        sim_oracle_ack(w->oracle[backend], id);
    else
        sim_oracle_fail(w->oracle[backend], id);
    return error;
}

static int do_read(struct sim_world *w, const struct clipped *c, unsigned lane)
{
    struct sim_oracle *o = w->oracle[c->backend];
    uint64_t token = sim_oracle_read_begin(o);
    uint64_t first = c->off / SECTOR, sectors = c->len / SECTOR;
    int error;

    error = cbd_read(w->main.backend[c->backend], lane, c->off, w->main.buf, c->len);
    if (error != 0) {
        sim_oracle_read_abort(o, token);
        return error;
    }
    for (uint64_t i = 0; i < sectors; i++)
        w->main.versions[i] = sim_sector_decode(w->main.buf + i * SECTOR, first + i);
    if (sim_oracle_read_end(o, token, first, w->main.versions, sectors, &w->violation) != 0)
        w->violation_backend = c->backend;
    return 0;
}

/* Between two requests anything may happen, and often nothing does. */
static void let_others_run(struct sim_world *w)
{
    while (sim_rng_chance(&w->main.rng, 3, 4))
        if (!sim_process_progress(&w->main))
            return;
}

static int do_part(struct sim_world *w, const struct sim_request *r, const struct clipped *c,
                   unsigned lane)
{
    switch (r->op) {
    case SIM_REQUEST_READ:
        return do_read(w, c, lane);
    case SIM_REQUEST_WRITE:
        return do_write(w, c, lane, r->fua);
    case SIM_REQUEST_TRIM:
        return do_zero(w, c, lane);
    case SIM_REQUEST_FLUSH:
    default:
        return do_flush(w, c->backend, lane);
    }
}

bool sim_world_request(struct sim_world *w, const struct sim_request *r)
{
    struct clipped all = {.backend = r->volume % w->config.backends}, part;
    unsigned lane = (unsigned)sim_rng_below(&w->main.rng, CBD_LANES);
    uint64_t done = 0;

    w->pmem->thread = lane % SIM_THREAD_REQUESTS;
    w->requests[r->op]++;
    if (r->op != SIM_REQUEST_FLUSH && !clip(w, r, &all))
        return true;
    w->bytes[r->op] += all.len;
    do {
        uint64_t max = r->op == SIM_REQUEST_TRIM ? UINT64_MAX : SIM_REQUEST_BYTES_MAX;
        int error;

        part = all;
        part.off += done;
        part.len = all.len - done < max ? all.len - done : max;
        error = do_part(w, r, &part, lane);
        if (error != 0) {
            fail(w, error, "request");
            return false;
        }
        if (w->violation.promise != SIM_ORACLE_NONE)
            return false;
        done += part.len;
    } while (done < all.len);
    let_others_run(w);
    return true;
}

void sim_world_drain(struct sim_world *w)
{
    for (uint32_t n = 0; n < w->config.backends; n++) {
        cbd_backend_drain(w->main.backend[n], true);
        while (backend_step(&w->main, n, CBD_WORK_WRITEBACK) || complete_one(w, n, &w->main.rng))
            ;
    }
}

bool sim_world_finish(struct sim_world *w)
{
    for (uint32_t n = 0; n < w->config.backends; n++) {
        int error = cbd_backend_detach(w->main.backend[n]);
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
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_kill(w->disk[n]);
}
