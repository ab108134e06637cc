/* SPDX-License-Identifier: BSD-2-Clause */
/* The one word that names a failure: all settings of the run, the step and the crash state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim_tool.h"

#define PREFIX "replay:"

void cbd_sim_replay_defaults(struct cbd_sim_replay *r)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    memset(r, 0, sizeof(*r));
    r->seed = 1;
    r->crashes = 1000;
    r->subsets = 16;
    r->restarts = 8;
    r->segment_bytes = 256u << 10;
    r->streams = 4;
    r->crash_depth = 1;
    r->threads = 4;
    r->depth = 3;
    r->jobs = cpus < 1 ? 1 : cpus > (long)SIM_WORKERS_MAX ? SIM_WORKERS_MAX : (uint32_t)cpus;
}

const char *cbd_sim_model_name(enum sim_model model)
{
    return model == SIM_EADR ? "eadr" : model == SIM_PAGE ? "page" : "adr";
}

bool cbd_sim_model_parse(const char *name, enum sim_model *model)
{
    for (int m = SIM_ADR; m <= SIM_PAGE; m++) {
        if (strcmp(name, cbd_sim_model_name((enum sim_model)m)) == 0) {
            *model = (enum sim_model)m;
            return true;
        }
    }
    return false;
}

void cbd_sim_id_print(const struct cbd_sim_replay *r, const struct sim_failed *f,
                      char id[CBD_SIM_ID_BYTES])
{
    char faults[256];

    snprintf(id, CBD_SIM_ID_BYTES,
             PREFIX
             "step=%llu:subset=%llu:number=%llu:seed=%llu:restarts=%u:subsets=%u:"
             "cache=%llu:segment=%u:streams=%u:checksum=%d:flush=%d:lenient=%d:model=%s:format=%s:"
             "schedule=%s:threads=%u:depth=%u:faults=%s:%s%s%scrc=%08x:trace=%s",
             (unsigned long long)f->step, (unsigned long long)f->subset,
             (unsigned long long)f->number, (unsigned long long)r->seed, r->restarts, r->subsets,
             (unsigned long long)r->cache_bytes, r->segment_bytes, r->streams, !r->no_data_checksum,
             r->durable_on_flush, r->lenient, cbd_sim_model_name(r->model),
             sim_trace_format_name(r->format), sim_schedule_name(r->schedule), r->threads, r->depth,
             sim_fault_list(r->faults, faults, sizeof(faults)), r->exhaustive ? "trail=" : "",
             r->exhaustive ? f->trail : "", r->exhaustive ? ":" : "", r->trace_crc, r->trace);
}

static bool number(const char *text, uint64_t max, int base, uint64_t *value)
{
    char *end;

    if (*text == '\0' || *text == '-' || *text == '+')
        return false;
    *value = strtoull(text, &end, base);
    return *end == '\0' && *value <= max;
}

/* One "key=value". */
static bool set(struct cbd_sim_replay *r, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint64_t *u64;
        uint32_t *u32;
        uint64_t max;
    } numbers[] = {
        {"step", &r->step, NULL, UINT64_MAX - 1},
        {"subset", &r->subset, NULL, UINT32_MAX},
        {"number", &r->number, NULL, UINT64_MAX},
        {"seed", &r->seed, NULL, UINT64_MAX},
        {"restarts", NULL, &r->restarts, 1000000},
        {"subsets", NULL, &r->subsets, 1000000},
        {"cache", &r->cache_bytes, NULL, UINT64_C(1) << 40},
        {"segment", NULL, &r->segment_bytes, CBD_SEGMENT_BYTES_MAX},
        {"streams", NULL, &r->streams, CBD_STREAMS_MAX},
        {"threads", NULL, &r->threads, SIM_CLIENTS_MAX},
        {"depth", NULL, &r->depth, 1000},
    };
    uint64_t v;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) != 0)
            continue;
        if (!number(value, numbers[i].max, 10, &v))
            return false;
        if (v == 0 && numbers[i].u32 == &r->threads)
            return false;
        if (numbers[i].u64 != NULL)
            *numbers[i].u64 = v;
        else
            *numbers[i].u32 = (uint32_t)v;
        return true;
    }
    if (strcmp(key, "trail") == 0) {
        r->exhaustive = true;
        r->crash_depth = SIM_LAZY_DEPTH_MAX;
        r->trail = value;
        return true;
    }
    if (strcmp(key, "model") == 0)
        return cbd_sim_model_parse(value, &r->model);
    if (strcmp(key, "schedule") == 0)
        return sim_schedule_parse(value, &r->schedule);
    if (strcmp(key, "faults") == 0)
        return sim_fault_parse(value, &r->faults);
    if (strcmp(key, "format") == 0)
        return sim_trace_format_parse(value, &r->format) == 0;
    if (!number(value, UINT32_MAX, strcmp(key, "crc") == 0 ? 16 : 10, &v))
        return false;
    if (strcmp(key, "crc") == 0)
        r->trace_crc = (uint32_t)v;
    else if (strcmp(key, "checksum") == 0 && v <= 1)
        r->no_data_checksum = v == 0;
    else if (strcmp(key, "flush") == 0 && v <= 1)
        r->durable_on_flush = v == 1;
    else if (strcmp(key, "lenient") == 0 && v <= 1)
        r->lenient = v == 1;
    else
        return false;
    return true;
}

int cbd_sim_id_parse(char *text, struct cbd_sim_replay *r, char *why, size_t why_len_bytes)
{
    char *at = text + strlen(PREFIX);

    cbd_sim_replay_defaults(r);
    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0) {
        snprintf(why, why_len_bytes, "an ID begins with '%s'", PREFIX);
        return CBD_E_INVALID;
    }
    while (*at != '\0') {
        char *value = strchr(at, '=');
        char *end;

        if (value == NULL) {
            snprintf(why, why_len_bytes, "'%.60s' is no key=value", at);
            return CBD_E_INVALID;
        }
        *value++ = '\0';
        if (strcmp(at, "trace") == 0) { /* last: a path may hold anything */
            r->trace = value;
            return 0;
        }
        end = strchr(value, ':');
        if (end != NULL)
            *end++ = '\0';
        if (!set(r, at, value)) {
            snprintf(why, why_len_bytes, "'%.30s=%.60s' is not understood", at, value);
            return CBD_E_INVALID;
        }
        at = end != NULL ? end : value + strlen(value);
    }
    snprintf(why, why_len_bytes, "the ID has no trace= at its end");
    return CBD_E_INVALID;
}
