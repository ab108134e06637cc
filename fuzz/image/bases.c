/* SPDX-License-Identifier: BSD-2-Clause */
/* Base images: the simulator formats, serves two backends, and stops in the way each base needs. */
#include "bases.h"

#include <stdlib.h>
#include <string.h>

#include "cbd/check.h"
#include "world.h"

#define SEGMENT_BYTES 65536u
#define SEGMENTS 16u
#define DISK_BYTES_0 (UINT64_C(1) << 20) /* smaller than its share: much is overwritten */
#define DISK_BYTES_1 (UINT64_C(64) << 20)
#define REQUESTS 500u
#define CUTS_MAX 4096u

/* Tries power cuts before each store of the run until one leaves an unfinished write. */
struct cutter {
    struct sim_world *world;
    uint8_t *image; /* NULL: not looking */
    uint64_t tries;
    bool busy;
    bool found;
};

static bool has_suspect(struct sim_world *w)
{
    struct cbd_check_summary *out = malloc(sizeof(*out));
    bool found;

    FUZZ_REQUIRE(out != NULL);
    found = cbd_check_run(&w->pmem->pm, &w->main.env.env, NULL, NULL, NULL, out) == 0 &&
            out->errors == 0 && out->backends[0].suspects + out->backends[1].suspects > 0;
    free(out);
    return found;
}

static void try_cut(void *arg, const struct sim_pm_event *ev)
{
    struct cutter *c = arg;
    struct sim_crash crash = {.kind = SIM_CRASH_RANDOM, .seed = ev->number};

    if (c->busy || c->found || ev->kind != SIM_PM_FENCE || ++c->tries > CUTS_MAX)
        return;
    c->busy = true;
    sim_pmem_mark(c->world->pmem);
    sim_pmem_crash(c->world->pmem, &crash);
    if (has_suspect(c->world)) {
        memcpy(c->image, c->world->pmem->pm.base, c->world->pmem->pm.size_bytes);
        c->found = true;
    }
    sim_pmem_rollback(c->world->pmem);
    c->busy = false;
}

static void serve(struct sim_world *w, uint32_t requests)
{
    static const enum sim_request_op ops[] = {
        SIM_REQUEST_WRITE, SIM_REQUEST_WRITE, SIM_REQUEST_WRITE, SIM_REQUEST_READ,
        SIM_REQUEST_READ,  SIM_REQUEST_TRIM,  SIM_REQUEST_FLUSH,
    };
    struct sim_rng rng;

    sim_rng_seed(&rng, 1);
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t volume = (uint32_t)sim_rng_below(&rng, 2);
        struct sim_request request = {
            .op = ops[sim_rng_below(&rng, sizeof(ops) / sizeof(ops[0]))],
            .volume = volume,
            .off_bytes = sim_rng_below(&rng, w->config.disk_bytes[volume] / 2048) * 512,
            .len_bytes = 512 << sim_rng_below(&rng, 7),
        };

        if (request.op == SIM_REQUEST_FLUSH)
            request.off_bytes = request.len_bytes = 0;
        FUZZ_REQUIRE(sim_world_request(w, &request));
    }
}

static void make_served(enum fuzz_base_kind kind, uint64_t device_bytes, struct fuzz_base *base)
{
    struct sim_config config = {
        .seed = 1,
        .cache_bytes = device_bytes,
        .segment_bytes = SEGMENT_BYTES,
        .streams = 2,
        .backends = 2,
        .disk_bytes = {DISK_BYTES_0, DISK_BYTES_1},
        .logical_block_bytes = 512,
        .dirty_start_percent = 20,
        .no_data_checksum = kind == FUZZ_BASE_NO_CHECKSUM,
    };
    struct sim_world *w = malloc(sizeof(*w));
    struct cutter cutter = {.world = w, .image = base->image};

    FUZZ_REQUIRE(w != NULL && sim_world_create(w, &config) == 0);
    if (kind == FUZZ_BASE_POWER_CUT) {
        serve(w, REQUESTS / 2);
        w->pmem->hook = try_cut;
        w->pmem->hook_arg = &cutter;
    }
    serve(w, REQUESTS);
    w->pmem->hook = NULL;
    if (kind == FUZZ_BASE_DETACHED)
        FUZZ_REQUIRE(sim_world_finish(w));
    FUZZ_REQUIRE(kind != FUZZ_BASE_POWER_CUT || cutter.found);
    if (kind != FUZZ_BASE_POWER_CUT)
        memcpy(base->image, w->pmem->pm.base, device_bytes);
    base->geo = w->geo;
    sim_world_destroy(w);
    free(w);
}

static void make_empty(uint64_t device_bytes, struct fuzz_base *base)
{
    struct cbd_format_options options = {
        .uuid = {0xcb, 0xd0}, .label = "fuzz", .segment_bytes = SEGMENT_BYTES};
    struct sim_pmem *pm = sim_pmem_create(device_bytes, SIM_ADR);
    struct sim_env env;

    sim_env_init(&env, 1);
    FUZZ_REQUIRE(cbd_format(&pm->pm, &env.env, &options, &base->geo) == 0);
    memcpy(base->image, pm->pm.base, device_bytes);
    sim_env_destroy(&env);
    sim_pmem_destroy(pm);
}

void fuzz_bases_build(struct fuzz_base bases[FUZZ_BASE_COUNT])
{
    uint64_t device_bytes = cbd_geometry_minimum(SEGMENT_BYTES) +
                            (uint64_t)(SEGMENTS - CBD_SEGMENTS_MIN) * SEGMENT_BYTES;

    for (int kind = 0; kind < FUZZ_BASE_COUNT; kind++) {
        struct fuzz_base *base = &bases[kind];

        base->image = malloc(device_bytes);
        FUZZ_REQUIRE(base->image != NULL);
        if (kind == FUZZ_BASE_EMPTY)
            make_empty(device_bytes, base);
        else
            make_served((enum fuzz_base_kind)kind, device_bytes, base);
        fuzz_pmem_init(&base->pmem, base->image, device_bytes);
    }
}
