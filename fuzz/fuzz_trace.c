/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a trace: by content and as each format, strict and lenient. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

#define TEXT_BYTES_MAX ((uint64_t)1 << 18) /* a few compressed bytes can be gigabytes of text */

static void check(int ok)
{
    if (!ok) {
        abort();
    }
}

static void check_request(const struct sim_trace *trace, const struct sim_request *req)
{
    check((unsigned)req->op < SIM_REQUEST_OP_COUNT);
    check((req->op == SIM_REQUEST_FLUSH) == (req->len_bytes == 0));
    check(req->len_bytes <= UINT64_MAX - req->off_bytes);
    check(req->volume < sim_trace_volume_count(trace));
    check(sim_trace_volume_name(trace, req->volume)[0] != '\0');
    check(req->line > 0);
}

static void check_stats(const struct sim_trace *trace, uint64_t requests)
{
    const struct sim_trace_stats *stats = sim_trace_stats(trace);

    check(stats->requests == requests);
    check(stats->lines_skipped + stats->lines_bad <= stats->lines);
    check(stats->bad_kept <= SIM_TRACE_BAD_KEPT && stats->bad_kept <= stats->lines_bad);
    for (uint32_t i = 0; i < stats->bad_kept; i++) {
        check(stats->bad[i].line > 0 && stats->bad[i].line <= stats->lines);
        check(stats->bad[i].text[0] != '\0');
    }
}

static void run(const uint8_t *data, size_t size, enum sim_trace_format format, bool lenient)
{
    const struct sim_trace_options options = {
        .format = format, .lenient = lenient, .text_bytes_max = TEXT_BYTES_MAX};
    struct sim_trace_error error;
    struct sim_trace *trace;
    struct sim_request req;
    uint64_t requests = 0;
    int rc = sim_trace_open_memory(data, size, "fuzz", &options, &trace, &error);

    if (rc != 0) {
        check(trace == NULL && error.text[0] != '\0');
        return;
    }
    while ((rc = sim_trace_next(trace, &req, &error)) == 1) {
        check_request(trace, &req);
        requests++;
    }
    check(rc <= 0 && (rc == 0) == (error.text[0] == '\0'));
    check(strlen(error.text) < sizeof(error.text));
    check(sim_trace_next(trace, &req, NULL) == rc);
    check_stats(trace, requests);
    sim_trace_close(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    run(data, size_bytes, SIM_TRACE_AUTO, false);
    for (unsigned i = SIM_TRACE_AUTO + 1; i < SIM_TRACE_FORMAT_COUNT; i++) {
        run(data, size_bytes, (enum sim_trace_format)i, true);
    }
    return 0;
}
