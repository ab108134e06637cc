/* SPDX-License-Identifier: BSD-2-Clause */
/* Records as a check sees them. */
#include "victims.h"

#include "cbd/media_format.h"

static void on_record(void *arg, const struct cbd_check_record *at)
{
    struct sim_victims *v = arg;
    const struct cbd_m_record *m =
        (const struct cbd_m_record *)(const void *)(v->pm->pm.base + at->off_bytes);

    if (v->count < SIM_VICTIMS_MAX)
        v->record[v->count++] = (struct sim_victim){
            .at = *at,
            .type = m->type,
            .addr = cbd_get64(m->addr_bytes),
            .len = cbd_get64(m->len_bytes),
            .payload_off = cbd_get32(m->payload_off),
            .durable = cbd_get32(m->durable),
        };
}

static void on_segment(void *arg, const struct cbd_check_segment *s)
{
    struct sim_victims *v = arg;
    uint32_t proven = 0;

    if (s->scanned && s->status == CBD_M_SEGMENT_OPEN)
        for (uint32_t i = v->count; i-- > 0 && v->record[i].at.segment == s->id;) {
            struct sim_victim *r = &v->record[i];

            r->unproven = r->at.slot >= proven;
            proven = r->durable > proven ? r->durable : proven;
        }
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct sim_victims *v = arg;

    if (f->problem->code == CBD_PROBLEM_UNFINISHED && v->begun_count < SIM_BEGUN_MAX) {
        v->begun[v->begun_count].segment = f->segment;
        v->begun[v->begun_count++].slot = f->slot;
    }
    return 0;
}

void sim_victims_prove(struct sim_victims *v)
{
    for (uint32_t n = 0; n < v->begun_count; n++)
        for (uint32_t i = 0; i < v->count; i++)
            if (v->record[i].at.segment == v->begun[n].segment &&
                v->record[i].at.slot < v->begun[n].slot)
                v->record[i].unproven = false;
}

int sim_victims_list(struct sim_victims *v, struct sim_pmem *pm, struct cbd_env *env,
                     struct cbd_check_summary *summary)
{
    struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_DATA | CBD_CHECK_ORDERS,
        .record = on_record,
        .segment = on_segment,
    };

    v->pm = pm;
    v->count = 0;
    v->begun_count = 0;
    return cbd_check_run(&pm->pm, env, &options, on_finding, v, summary);
}
