/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the simulated machine: from a trace's words to calls of the cache and the oracle. */
#include <string.h>

#include "sim_sched.h"
#include "sim_base.h"
#include "world.h"

#define SECTOR UINT64_C(512)

void sim_client_init(struct sim_client *client, unsigned lane)
{
    client->lane = lane;
    client->buf = sim_zalloc(SIM_REQUEST_BYTES_MAX, 1);
    client->versions = sim_zalloc(SIM_REQUEST_BYTES_MAX / SECTOR, sizeof(uint64_t));
}

void sim_client_destroy(struct sim_client *client)
{
    free(client->buf);
    free(client->versions);
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

static int do_write(struct sim_world *w, struct sim_client *client, const struct clipped *c,
                    bool fua)
{
    uint64_t first = c->off / SECTOR, sectors = c->len / SECTOR;
    uint64_t id =
        sim_oracle_submit(w->oracle[c->backend], SIM_ORACLE_OP_WRITE, first, sectors, fua);
    int error;

    SIM_REQUIRE(id != 0);
    for (uint64_t i = 0; i < sectors; i++)
        sim_sector_fill(client->buf + i * SECTOR, first + i, id);
    error = cbd_write(w->main.backend[c->backend], client->lane, c->off, client->buf, c->len,
                      fua ? CBD_WRITE_FUA : 0);
    if (error == 0)
        sim_oracle_ack(w->oracle[c->backend], id);
    else
        sim_oracle_fail(w->oracle[c->backend], id);
    return error;
}

/* Discard or zeroes. */
static int do_zero(struct sim_world *w, struct sim_client *client, const struct clipped *c,
                   unsigned flags)
{
    uint64_t id = sim_oracle_submit(w->oracle[c->backend], SIM_ORACLE_OP_ZERO, c->off / SECTOR,
                                    c->len / SECTOR, (flags & CBD_WRITE_FUA) != 0);
    int error;

    SIM_REQUIRE(id != 0);
    error = cbd_zero(w->main.backend[c->backend], client->lane, c->off, c->len, flags);
    if (error == 0)
        sim_oracle_ack(w->oracle[c->backend], id);
    else
        sim_oracle_fail(w->oracle[c->backend], id);
    return error;
}

static int do_flush(struct sim_world *w, struct sim_client *client, uint32_t backend)
{
    uint64_t id = sim_oracle_submit(w->oracle[backend], SIM_ORACLE_OP_FLUSH, 0, 0, false);
    int error;

    SIM_REQUIRE(id != 0);
    error = cbd_flush(w->main.backend[backend], client->lane);
    if (error == 0)
        sim_oracle_ack(w->oracle[backend], id);
    else
        sim_oracle_fail(w->oracle[backend], id);
    return error;
}

static int do_read(struct sim_world *w, struct sim_client *client, const struct clipped *c)
{
    struct sim_oracle *o = w->oracle[c->backend];
    uint64_t token = sim_oracle_read_begin(o);
    uint64_t first = c->off / SECTOR, sectors = c->len / SECTOR;
    int error;

    error = cbd_read(w->main.backend[c->backend], client->lane, c->off, client->buf, c->len);
    if (error != 0) {
        sim_oracle_read_abort(o, token);
        return error;
    }
    for (uint64_t i = 0; i < sectors; i++)
        client->versions[i] = sim_sector_decode(client->buf + i * SECTOR, first + i);
    if (sim_oracle_read_end(o, token, first, client->versions, sectors, &w->violation) != 0)
        w->violation_backend = c->backend;
    return 0;
}

static int do_part(struct sim_world *w, struct sim_client *client, const struct sim_request *r,
                   const struct clipped *c)
{
    switch (r->op) {
    case SIM_REQUEST_READ:
        return do_read(w, client, c);
    case SIM_REQUEST_WRITE:
        return do_write(w, client, c, r->fua);
    case SIM_REQUEST_TRIM:
        return do_zero(w, client, c,
                       (r->zero ? 0 : CBD_WRITE_PUNCH) | (r->fua ? CBD_WRITE_FUA : 0));
    case SIM_REQUEST_FLUSH:
    default:
        return do_flush(w, client, c->backend);
    }
}

/* One of the next requests that change the disk fails. */
static void break_disk(struct sim_world *w)
{
    static const enum cbd_disk_op ops[] = {CBD_DISK_WRITE, CBD_DISK_FLUSH, CBD_DISK_ZERO,
                                           CBD_DISK_DISCARD};
    struct sim_rng *rng = &w->main.rng;

    if (w->config.disk_errors != 0 && sim_rng_chance(rng, 1, w->config.disk_errors))
        sim_disk_fail_next(w->disk[sim_rng_below(rng, w->config.backends)],
                           ops[sim_rng_below(rng, 4)], sim_rng_below(rng, 4), 1);
}

bool sim_client_serve(struct sim_world *w, struct sim_client *client, const struct sim_request *r)
{
    struct clipped all = {.backend = r->volume % w->config.backends}, part;
    uint64_t done = 0;

    w->requests[r->op]++;
    if (w->main.backend[all.backend] == NULL)
        return true;
    break_disk(w);
    if (r->op != SIM_REQUEST_FLUSH && !clip(w, r, &all))
        return true;
    w->bytes[r->op] += all.len;
    do {
        uint64_t max = r->op == SIM_REQUEST_TRIM ? UINT64_MAX : SIM_REQUEST_BYTES_MAX;
        uint64_t failed = sim_fault_failed(w);
        int error;

        part = all;
        part.off += done;
        part.len = all.len - done < max ? all.len - done : max;
        error = do_part(w, client, r, &part);
        if (w->config.faults != 0 && sim_fault_excuses(error) && sim_fault_failed(w) != failed) {
            w->requests_failed++;
            return true;
        }
        if (error != 0) {
            w->error = error;
            w->error_where = "request";
            return false;
        }
        if (w->violation.promise != SIM_ORACLE_NONE)
            return false;
        done += part.len;
    } while (done < all.len);
    return true;
}

/* Between two requests anything may happen, and often nothing does. */
static void let_others_run(struct sim_world *w)
{
    while (!w->config.quiet && sim_rng_chance(&w->main.rng, 3, 4))
        if (!sim_process_progress(&w->main))
            return;
}

bool sim_world_request(struct sim_world *w, const struct sim_request *r)
{
    unsigned lane = (unsigned)sim_rng_below(&w->main.rng, CBD_LANES);

    if (r->client != 0)
        lane = r->client - 1;
    w->main.client.lane = lane;
    w->pmem->thread = lane % SIM_THREAD_SERIAL;
    if (!sim_client_serve(w, &w->main.client, r))
        return false;
    let_others_run(w);
    return true;
}

bool sim_world_failed(const struct sim_world *w)
{
    return w->error != 0 || w->violation.promise != SIM_ORACLE_NONE || w->stuck[0] != '\0';
}

int sim_world_run(struct sim_world *w, const struct sim_feed *feed)
{
    struct sim_request request;
    int got = 0;

    if (w->main.sched != NULL)
        return sim_sched_run(w->main.sched, feed);
    while (!w->stop && (got = feed->next(feed->arg, &request)) == 1)
        if (!sim_world_request(w, &request))
            return 0;
    return got < 0 ? got : 0;
}
