/* SPDX-License-Identifier: BSD-2-Clause */
/* A mix of everything that a file system does to a disk, at addresses that collide. */
#include "generate.h"

#include <string.h>

#define SECTOR UINT64_C(512)

static int generator_rewind(void *arg, struct sim_trace_error *error)
{
    struct sim_generator *g = arg;

    (void)error;
    sim_rng_seed(&g->rng, g->seed);
    g->done = 0;
    return 0;
}

/* Small requests are common, large ones happen. */
static uint64_t draw_len(struct sim_generator *g)
{
    uint64_t max = g->len_max_bytes / SECTOR;
    uint64_t len = 8;

    if (sim_rng_chance(&g->rng, 1, 4))
        len = 1 + sim_rng_below(&g->rng, 16);
    else if (sim_rng_chance(&g->rng, 1, 8))
        len = 1 + sim_rng_below(&g->rng, max);
    return (len < max ? len : max) * SECTOR;
}

static int generator_next(void *arg, struct sim_request *r, struct sim_trace_error *error)
{
    struct sim_generator *g = arg;
    uint64_t dice = sim_rng_below(&g->rng, 100);
    uint64_t sectors = g->space_bytes / SECTOR;

    (void)error;
    if (g->done == g->requests)
        return 0;
    memset(r, 0, sizeof(*r));
    r->line = ++g->done;
    r->volume = (uint32_t)sim_rng_below(&g->rng, g->volumes);
    r->op = dice < 55   ? SIM_REQUEST_WRITE
            : dice < 75 ? SIM_REQUEST_READ
            : dice < 85 ? SIM_REQUEST_TRIM
                        : SIM_REQUEST_FLUSH;
    if (r->op == SIM_REQUEST_FLUSH && g->no_flush)
        r->op = SIM_REQUEST_WRITE;
    if (r->op == SIM_REQUEST_FLUSH)
        return 1;
    r->fua = r->op == SIM_REQUEST_WRITE && dice < 5 && !g->no_flush;
    r->len_bytes = draw_len(g);
    if (r->op == SIM_REQUEST_TRIM && g->trim_max_bytes != 0 && sim_rng_chance(&g->rng, 1, 4))
        r->len_bytes = (1 + sim_rng_below(&g->rng, g->trim_max_bytes / SECTOR)) * SECTOR;
    r->off_bytes = sim_rng_below(&g->rng, sectors) * SECTOR;
    if (sim_rng_chance(&g->rng, 1, 2))
        r->off_bytes = r->off_bytes / 4096 * 4096;
    if (g->edge_bytes != 0 && sim_rng_chance(&g->rng, 1, 4)) {
        uint64_t edge = (r->off_bytes / g->edge_bytes + 1) * g->edge_bytes;

        if (edge + r->len_bytes <= g->space_bytes)
            r->off_bytes = edge - r->len_bytes / 2 / SECTOR * SECTOR;
    }
    if (r->off_bytes + r->len_bytes > g->space_bytes)
        r->len_bytes = g->space_bytes - r->off_bytes;
    return 1;
}

struct sim_source sim_generator_source(struct sim_generator *g)
{
    return (struct sim_source){
        .rewind = generator_rewind,
        .next = generator_next,
        .arg = g,
        .requests = g->requests,
    };
}
