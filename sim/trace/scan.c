/* SPDX-License-Identifier: BSD-2-Clause */
/* One pass over a trace: how much of what, and how large the volumes have to be. */
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Room for the volumes below count, zeroed; names come at the end. */
static int reserve(struct sim_trace_totals *totals, uint32_t *capacity, uint32_t count)
{
    struct sim_trace_volume_totals *grown;

    if (count > *capacity) {
        uint32_t wanted = count > *capacity * 2 ? count : *capacity * 2;

        grown = realloc(totals->volumes, wanted * sizeof(*grown));
        if (grown == NULL) {
            return CBD_E_NOMEM;
        }
        memset(grown + *capacity, 0, (wanted - *capacity) * sizeof(*grown));
        totals->volumes = grown;
        *capacity = wanted;
    }
    totals->volume_count = count;
    return 0;
}

static void add_request(struct sim_trace_totals *totals, const struct sim_request *req,
                        uint64_t *bits)
{
    struct sim_trace_volume_totals *volume = &totals->volumes[req->volume];
    uint64_t end_bytes = req->off_bytes + req->len_bytes;

    totals->requests[req->op]++;
    totals->bytes[req->op] = add_saturating(totals->bytes[req->op], req->len_bytes);
    if (req->time_us > totals->time_us_max) {
        totals->time_us_max = req->time_us;
    }
    volume->requests++;
    if (end_bytes > volume->end_bytes) {
        volume->end_bytes = end_bytes;
    }
    *bits |= req->off_bytes | req->len_bytes;
}

static int copy_names(struct sim_trace_totals *totals, const struct sim_trace *trace)
{
    for (uint32_t i = 0; i < totals->volume_count; i++) {
        const char *name = sim_trace_volume_name(trace, i);

        totals->volumes[i].name = malloc(strlen(name) + 1);
        if (totals->volumes[i].name == NULL) {
            return CBD_E_NOMEM;
        }
        memcpy(totals->volumes[i].name, name, strlen(name) + 1);
    }
    return 0;
}

static int pass(struct sim_trace *trace, struct sim_trace_totals *totals,
                struct sim_trace_error *error)
{
    struct sim_request req;
    uint32_t capacity = 0;
    uint64_t bits = 0;
    int rc;

    while ((rc = sim_trace_next(trace, &req, error)) == 1) {
        rc = reserve(totals, &capacity, sim_trace_volume_count(trace));
        if (rc != 0) {
            return rc;
        }
        add_request(totals, &req, &bits);
    }
    if (rc == 0) {
        rc = reserve(totals, &capacity, sim_trace_volume_count(trace));
    }
    if (rc == 0) {
        rc = copy_names(totals, trace);
    }
    totals->align_bytes = bits & (~bits + 1); /* the lowest bit that is set */
    totals->format = sim_trace_format(trace);
    totals->stats = *sim_trace_stats(trace);
    return rc;
}

int sim_trace_scan(const char *path, const struct sim_trace_options *options,
                   struct sim_trace_totals *totals, struct sim_trace_error *error)
{
    struct sim_trace *trace;
    int rc;

    memset(totals, 0, sizeof(*totals));
    rc = sim_trace_open(path, options, &trace, error);
    if (rc != 0) {
        return rc;
    }
    rc = pass(trace, totals, error);
    if (rc == CBD_E_NOMEM && error != NULL && error->text[0] == '\0') {
        strcpy(error->text, "no memory for the totals");
    }
    sim_trace_close(trace);
    if (rc != 0) {
        sim_trace_totals_free(totals);
    }
    return rc;
}

void sim_trace_totals_free(struct sim_trace_totals *totals)
{
    for (uint32_t i = 0; i < totals->volume_count; i++) {
        free(totals->volumes[i].name);
    }
    free(totals->volumes);
    memset(totals, 0, sizeof(*totals));
}
