/* SPDX-License-Identifier: BSD-2-Clause */
/* The workload as data: what is usual, what is valid, and the table of the machine's lines. */
#include "workload.h"

#include <string.h>

#include "hunt.h"
#include "sim_base.h"

#define DISK_BYTES (UINT64_C(1) << 20)

static const char *model_word(unsigned value)
{
    return value <= SIM_PAGE ? sim_model_name((enum sim_model)value) : NULL;
}

static const char *schedule_word(unsigned value)
{
    return value < SIM_SCHEDULE_COUNT ? sim_schedule_name((enum sim_schedule)value) : NULL;
}

static const char *step_word(unsigned value)
{
    return value < CBD_STEP_COUNT ? cbd_step_name((enum cbd_step)value) : NULL;
}

static const char *durability_word(unsigned value)
{
    return value == CBD_DURABLE_ON_ACK ? "ack" : value == CBD_DURABLE_ON_FLUSH ? "flush" : NULL;
}

static const char *canary_word(unsigned value)
{
    return value < CBD_CANARY_COUNT ? sim_canary_name((enum cbd_canary_id)value) : NULL;
}

#define AT(member) offsetof(struct sim_config, member)

const struct sim_work_field sim_work_fields[] = {
    {"cache", SIM_WORK_SIZE, AT(cache_bytes), true, false, 65536, SIM_WORK_CACHE_BYTES_MAX, NULL},
    {"segment", SIM_WORK_SIZE, AT(segment_bytes), false, false, CBD_SEGMENT_BYTES_MIN,
     CBD_SEGMENT_BYTES_MAX, NULL},
    {"streams", SIM_WORK_NUMBER, AT(streams), false, false, 1, CBD_STREAMS_MAX, NULL},
    {"trees", SIM_WORK_NUMBER, AT(trees), false, false, 0, 1024, NULL},
    {"block", SIM_WORK_SIZE, AT(logical_block_bytes), false, false, 512, 4096, NULL},
    {"dirty-start", SIM_WORK_NUMBER, AT(dirty_start_percent), false, false, 0, 100, NULL},
    {"epoch-records", SIM_WORK_NUMBER, AT(epoch_records_max), false, false, 0, UINT32_MAX, NULL},
    {"checksums", SIM_WORK_FLAG, AT(no_data_checksum), false, true, 0, 1, NULL},
    {"durability", SIM_WORK_WORD, AT(durability), false, false, 0, CBD_DURABLE_ON_FLUSH,
     durability_word},
    {"write-through", SIM_WORK_FLAG, AT(disk_write_through), false, false, 0, 1, NULL},
    {"keeps-discarded", SIM_WORK_FLAG, AT(disk_keeps_discarded), false, false, 0, 1, NULL},
    {"model", SIM_WORK_WORD, AT(model), false, false, 0, SIM_PAGE, model_word},
    {"schedule", SIM_WORK_WORD, AT(schedule), false, false, 0, SIM_SCHEDULE_COUNT - 1,
     schedule_word},
    {"quiet", SIM_WORK_FLAG, AT(quiet), false, false, 0, 1, NULL},
    {"clients", SIM_WORK_NUMBER, AT(clients), false, false, 1, SIM_CLIENTS_MAX, NULL},
    {"depth", SIM_WORK_NUMBER, AT(depth), false, false, 0, 1000, NULL},
    {"space-timeout-ns", SIM_WORK_NUMBER, AT(space_timeout_ns), true, false, 0, UINT64_MAX, NULL},
    {"seed", SIM_WORK_NUMBER, AT(seed), true, false, 0, UINT64_MAX, NULL},
    {"faults", SIM_WORK_FAULTS, AT(faults), false, false, 0, UINT32_MAX, NULL},
    {"disk-errors", SIM_WORK_NUMBER, AT(disk_errors), false, false, 0, 1000000, NULL},
    {"canary", SIM_WORK_WORD, AT(canary), false, false, 0, CBD_CANARY_COUNT - 1, canary_word},
    {"drop", SIM_WORK_WORD, AT(drop_step), false, false, 0, CBD_STEP_COUNT - 1, step_word},
    {NULL, SIM_WORK_NUMBER, 0, false, false, 0, 0, NULL},
};

#undef AT

_Static_assert(sizeof(enum cbd_step) == 4 && sizeof(enum sim_model) == 4 &&
                   sizeof(enum sim_schedule) == 4,
               "words are 32 bits");

uint64_t sim_work_field_get(const struct sim_work_field *f, const struct sim_config *c)
{
    const char *at = (const char *)c + f->offset;
    uint64_t wide;
    uint32_t narrow;
    bool flag;

    if (f->kind == SIM_WORK_FLAG) {
        memcpy(&flag, at, sizeof(flag));
        return flag != f->inverted;
    }
    if (f->wide) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

void sim_work_field_set(const struct sim_work_field *f, struct sim_config *c, uint64_t value)
{
    char *at = (char *)c + f->offset;
    uint32_t narrow = (uint32_t)value;
    bool flag = (value != 0) != f->inverted;

    if (f->kind == SIM_WORK_FLAG)
        memcpy(at, &flag, sizeof(flag));
    else if (f->wide)
        memcpy(at, &value, sizeof(value));
    else
        memcpy(at, &narrow, sizeof(narrow));
}

void sim_workload_init(struct sim_workload *w)
{
    memset(w, 0, sizeof(*w));
    w->config = (struct sim_config){
        .seed = 1,
        .cache_bytes = UINT64_C(3) << 20,
        .segment_bytes = 64u << 10,
        .streams = 1,
        .trees = 1,
        .backends = 1,
        .disk_bytes = {DISK_BYTES, DISK_BYTES, DISK_BYTES, DISK_BYTES},
        .logical_block_bytes = 512,
        .clients = 4,
        .depth = 3,
    };
}

void sim_workload_free(struct sim_workload *w)
{
    free(w->ops);
    w->ops = NULL;
    w->count = w->cap = 0;
}

void sim_workload_copy(struct sim_workload *to, const struct sim_workload *from)
{
    struct sim_work_op *ops = sim_grow(to->ops, &to->cap, from->count, sizeof(*ops));
    size_t cap = to->cap;

    if (from->count != 0)
        memcpy(ops, from->ops, from->count * sizeof(*ops));
    *to = *from;
    to->ops = ops;
    to->cap = cap;
}

struct sim_work_op *sim_workload_add(struct sim_workload *w, enum sim_work_kind kind)
{
    struct sim_work_op *op;

    w->ops = sim_grow(w->ops, &w->cap, w->count + 1, sizeof(*w->ops));
    op = &w->ops[w->count++];
    memset(op, 0, sizeof(*op));
    op->kind = (uint8_t)kind;
    return op;
}

static bool crash_equal(const struct sim_crash *a, const struct sim_crash *b)
{
    if (a->kind != b->kind || a->kind == SIM_CRASH_NONE || a->kind == SIM_CRASH_ALL)
        return a->kind == b->kind;
    return a->kind == SIM_CRASH_RANDOM ? a->seed == b->seed : a->k == b->k;
}

static bool op_equal(const struct sim_work_op *a, const struct sim_work_op *b)
{
    return a->kind == b->kind && a->client == b->client && a->disk == b->disk && a->fua == b->fua &&
           a->off_bytes == b->off_bytes && a->len_bytes == b->len_bytes && a->steps == b->steps &&
           crash_equal(&a->crash, &b->crash);
}

static bool survive_equal(const struct sim_survive *a, const struct sim_survive *b)
{
    if (a->kind != b->kind || a->names != b->names || !crash_equal(&a->crash, &b->crash))
        return false;
    for (uint32_t i = 0; i < a->names; i++)
        if (a->name[i].step != b->name[i].step || a->name[i].disk != b->name[i].disk ||
            a->name[i].number != b->name[i].number)
            return false;
    return true;
}

static bool cut_equal(const struct sim_work_cut *a, const struct sim_work_cut *b)
{
    return a->where == b->where && a->step == b->step && a->store == b->store &&
           a->disk_op == b->disk_op && a->op == b->op && a->nth == b->nth &&
           survive_equal(&a->survive, &b->survive) && a->kill == b->kill && a->again == b->again &&
           a->again_at == b->again_at && crash_equal(&a->again_crash, &b->again_crash) &&
           a->lost_copy == b->lost_copy && a->lost_draw == b->lost_draw && a->twice == b->twice &&
           a->faulty == b->faulty && a->fault == b->fault && a->fault_draw == b->fault_draw &&
           a->written == b->written && a->backing == b->backing && a->full == b->full &&
           a->later == b->later && a->later_at == b->later_at &&
           crash_equal(&a->later_crash, &b->later_crash);
}

bool sim_workload_equal(const struct sim_workload *a, const struct sim_workload *b)
{
    if (a->count != b->count || a->config.backends != b->config.backends ||
        !cut_equal(&a->cut, &b->cut))
        return false;
    for (const struct sim_work_field *f = sim_work_fields; f->name != NULL; f++)
        if (sim_work_field_get(f, &a->config) != sim_work_field_get(f, &b->config))
            return false;
    for (uint32_t n = 0; n < a->config.backends; n++)
        if (a->config.disk_bytes[n] != b->config.disk_bytes[n])
            return false;
    for (size_t i = 0; i < a->count; i++)
        if (!op_equal(&a->ops[i], &b->ops[i]))
            return false;
    return true;
}

static bool valid_machine(const struct sim_config *c, char *why, size_t n)
{
    uint64_t block = c->logical_block_bytes;
    struct cbd_geometry geo;
    uint32_t each;

    if ((block & (block - 1)) != 0) {
        snprintf(why, n, "block: got %llu, limit a power of two", (unsigned long long)block);
        return false;
    }
    if ((c->trees & (c->trees - 1)) != 0) {
        snprintf(why, n, "trees: got %u, limit a power of two", c->trees);
        return false;
    }
    if (c->cache_bytes % CBD_PAGE_BYTES != 0) {
        snprintf(why, n, "cache: got %llu, limit a multiple of %u",
                 (unsigned long long)c->cache_bytes, CBD_PAGE_BYTES);
        return false;
    }
    if (cbd_geometry_plan(&geo, c->cache_bytes, c->segment_bytes) != 0) {
        snprintf(why, n,
                 "cache and segment: got %llu and %u, limit a power of two and room for "
                 "some segments",
                 (unsigned long long)c->cache_bytes, c->segment_bytes);
        return false;
    }
    if (c->canary != CBD_CANARY_NONE && !sim_hunt_possible()) {
        snprintf(why, n, "canary: got %s, limit NONE: this build has no canaries",
                 sim_canary_name(c->canary));
        return false;
    }
    each = geo.segment_count / c->backends;
    if (each < c->streams + CBD_SHARE_RESERVE) {
        snprintf(why, n, "cache: got %u segments for each disk, limit %u: streams and %u more",
                 each, c->streams + CBD_SHARE_RESERVE, CBD_SHARE_RESERVE);
        return false;
    }
    for (uint32_t i = 0; i < c->backends; i++) {
        if (c->disk_bytes[i] == 0 || c->disk_bytes[i] % CBD_BLOCK_BYTES != 0) {
            snprintf(why, n, "disks: got %llu, limit a multiple of %u",
                     (unsigned long long)c->disk_bytes[i], CBD_BLOCK_BYTES);
            return false;
        }
    }
    return true;
}

static bool valid_op(const struct sim_config *c, const struct sim_work_op *op, char *why, size_t n)
{
    uint64_t block = c->logical_block_bytes, size;

    if (op->disk >= c->backends) {
        snprintf(why, n, "disk: got %u, limit %u", op->disk, c->backends - 1);
        return false;
    }
    if (op->client > SIM_CLIENTS_MAX ||
        (c->schedule != SIM_SCHEDULE_SERIAL && op->client > c->clients)) {
        snprintf(why, n, "client: got %u, limit %u", op->client,
                 c->schedule == SIM_SCHEDULE_SERIAL ? SIM_CLIENTS_MAX : c->clients);
        return false;
    }
    if (op->kind > SIM_WORK_DISCARD)
        return true;
    size = c->disk_bytes[op->disk];
    if (op->off_bytes % block != 0 || op->len_bytes % block != 0 || op->len_bytes == 0) {
        snprintf(why, n, "range: got %llu %llu, limit multiples of %llu and not empty",
                 (unsigned long long)op->off_bytes, (unsigned long long)op->len_bytes,
                 (unsigned long long)block);
        return false;
    }
    if (op->off_bytes > size || op->len_bytes > size - op->off_bytes) {
        snprintf(why, n, "range: got %llu %llu, limit the end of the disk at %llu",
                 (unsigned long long)op->off_bytes, (unsigned long long)op->len_bytes,
                 (unsigned long long)size);
        return false;
    }
    return true;
}

bool sim_workload_valid(const struct sim_workload *w, char *why, size_t why_bytes, uint32_t *line)
{
    if (line != NULL)
        *line = 0;
    if (!valid_machine(&w->config, why, why_bytes))
        return false;
    for (size_t i = 0; i < w->count; i++) {
        if (!valid_op(&w->config, &w->ops[i], why, why_bytes)) {
            if (line != NULL)
                *line = w->ops[i].line;
            return false;
        }
    }
    return true;
}
