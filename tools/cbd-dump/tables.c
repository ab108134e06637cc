/* SPDX-License-Identifier: BSD-2-Clause */
/* Superblocks, backend entries and their states: every copy, damaged ones marked and shown too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dump.h"
#include "tool_json.h"

/* One copy of a struct: its place, what is wrong with it, its fields. */
static void show_copy(struct dump *d, json_t *parent, const struct dump_struct *s, uint64_t off,
                      const struct cbd_problem *problem)
{
    struct cbd_pmem *pm = d->device.pm;
    uint8_t bytes[sizeof(struct cbd_m_super)];
    bool readable = off <= pm->size_bytes && s->len_bytes <= pm->size_bytes - off &&
                    pm->ops->read(pm, off, bytes, s->len_bytes) == 0;

    if (d->document != NULL) {
        cbd_tool_json_u64(parent, "offset_bytes", off);
        if (problem != NULL) {
            cbd_tool_json_u64(parent, "problem", problem->code);
            cbd_tool_json_text(parent, "sentence", problem->sentence);
        }
        if (readable)
            dump_fields_json(s, bytes, d->hex, parent);
        return;
    }
    printf("at 0x%" PRIx64 "%s%s\n", off, problem != NULL ? "  ***DAMAGED*** " : "",
           problem != NULL ? problem->sentence : "");
    if (readable)
        dump_fields_text(s, bytes, d->hex);
    else
        printf("    cannot be read\n");
}

void dump_supers(struct dump *d)
{
    uint64_t usable = d->device.pm->size_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    uint64_t off[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, usable - CBD_PAGE_BYTES};
    json_t *array = NULL;

    if (d->summary->super_valid)
        off[2] = d->summary->super.geo.super2_off;
    if (d->document != NULL)
        array = cbd_tool_json_array(d->document, "superblocks");
    for (uint32_t i = 0; i < CBD_SUPER_COPIES; i++) {
        const struct cbd_problem *problem = d->super_problem[i];

        if (!d->summary->super_valid)
            problem = cbd_problem_find(CBD_PROBLEM_SUPER_COPY);
        if (array == NULL)
            printf("superblock %" PRIu32 " ", i);
        show_copy(d, array != NULL ? cbd_tool_json_append_object(array) : NULL, &dump_super, off[i],
                  problem);
    }
}

/* Both copies when they differ or one is damaged, else the first one stands for both. */
static void show_twin(struct dump *d, json_t *parent, const struct dump_struct *s, uint64_t place,
                      const struct cbd_problem *const problem[2])
{
    const struct cbd_geometry *geo = &d->summary->super.geo;
    bool both = problem[0] != NULL || problem[1] != NULL;
    json_t *array = parent != NULL ? cbd_tool_json_array(parent, s->name) : NULL;

    for (uint32_t copy = 0; copy < (both || array != NULL ? 2u : 1u); copy++) {
        uint64_t off = (copy == 0 ? geo->table_a_off : geo->table_b_off) + place;

        if (array == NULL)
            printf("  %s%s ", s->name, !both ? "" : copy == 0 ? " copy 0" : " copy 1");
        show_copy(d, array != NULL ? cbd_tool_json_append_object(array) : NULL, s, off,
                  problem[copy]);
    }
}

/* A free entry is shown only when something is wrong with it. */
static bool worth_showing(const struct dump *d, uint32_t id)
{
    return d->summary->backends[id].used || d->backend_problem[id][0] != NULL ||
           d->backend_problem[id][1] != NULL || d->state_problem[id][0] != NULL ||
           d->state_problem[id][1] != NULL;
}

void dump_backends(struct dump *d)
{
    json_t *array = d->document != NULL ? cbd_tool_json_array(d->document, "backends") : NULL;
    bool any = false;

    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        uint64_t state = CBD_BACKENDS * sizeof(struct cbd_m_backend);
        json_t *o = NULL;

        if (!worth_showing(d, id) || (d->backend != CBD_CHECK_NONE && id != d->backend))
            continue;
        any = true;
        if (array != NULL) {
            o = cbd_tool_json_append_object(array);
            cbd_tool_json_u64(o, "id", id);
        } else {
            printf("backend %" PRIu32 "%s\n", id,
                   d->summary->backends[id].unclean ? ", not detached cleanly" : "");
        }
        show_twin(d, o, &dump_backend, id * sizeof(struct cbd_m_backend), d->backend_problem[id]);
        show_twin(d, o, &dump_backend_state, state + id * sizeof(struct cbd_m_backend_state),
                  d->state_problem[id]);
    }
    if (!any && array == NULL)
        printf("no backends\n");
}
