/* SPDX-License-Identifier: BSD-2-Clause */
/* The text form of a workload: words, sizes, lines. Deterministic. */
#include <string.h>

#include "workload.h"

static const char *const kinds[SIM_WORK_KIND_COUNT] = {
    [SIM_WORK_READ] = "read",       [SIM_WORK_WRITE] = "write",   [SIM_WORK_ZERO] = "zero",
    [SIM_WORK_DISCARD] = "discard", [SIM_WORK_FLUSH] = "flush",   [SIM_WORK_WAIT] = "wait",
    [SIM_WORK_DETACH] = "detach",   [SIM_WORK_ATTACH] = "attach", [SIM_WORK_RESTART] = "restart",
};

const char *sim_work_kind_name(enum sim_work_kind kind)
{
    return (unsigned)kind < SIM_WORK_KIND_COUNT ? kinds[kind] : "unknown";
}

const char *sim_model_name(enum sim_model model)
{
    return model == SIM_EADR ? "eadr" : model == SIM_PAGE ? "page" : "adr";
}

const char *sim_disk_op_name(enum cbd_disk_op op)
{
    static const char *const names[] = {"DISK_READ", "DISK_WRITE", "DISK_FLUSH", "DISK_DISCARD",
                                        "DISK_ZERO"};

    return (unsigned)op < sizeof(names) / sizeof(names[0]) ? names[op] : "unknown";
}

bool sim_step_parse(const char *name, enum cbd_step *step)
{
    for (int i = CBD_STEP_NONE + 1; i < CBD_STEP_COUNT; i++) {
        if (strcmp(cbd_step_name((enum cbd_step)i), name) == 0) {
            *step = (enum cbd_step)i;
            return true;
        }
    }
    return false;
}

static void print_size(uint64_t bytes, FILE *out)
{
    static const char suffixes[] = "KMGT";
    char suffix = '\0';

    for (int i = 0; i < 4 && bytes != 0 && bytes % 1024 == 0; i++) {
        bytes /= 1024;
        suffix = suffixes[i];
    }
    fprintf(out, " %llu", (unsigned long long)bytes);
    if (suffix != '\0')
        fputc(suffix, out);
}

static void print_machine(const struct sim_config *c, FILE *out)
{
    struct sim_workload usual;
    bool disks = false;
    char list[256];

    sim_workload_init(&usual);
    for (const struct sim_work_field *f = sim_work_fields; f->name != NULL; f++) {
        uint64_t value = sim_work_field_get(f, c);

        if (value == sim_work_field_get(f, &usual.config))
            continue;
        fputs(f->name, out);
        if (f->kind == SIM_WORK_SIZE)
            print_size(value, out);
        else if (f->kind == SIM_WORK_FLAG)
            fputs(value != 0 ? " on" : " off", out);
        else if (f->kind == SIM_WORK_FAULTS)
            fprintf(out, " %s", sim_fault_list((uint32_t)value, list, sizeof(list)));
        else if (f->kind == SIM_WORK_WORD)
            fprintf(out, " %s", f->word((unsigned)value));
        else
            fprintf(out, " %llu", (unsigned long long)value);
        fputc('\n', out);
    }
    for (uint32_t n = 0; n < c->backends; n++)
        disks = disks || c->disk_bytes[n] != usual.config.disk_bytes[n];
    if (c->backends == usual.config.backends && !disks)
        return;
    fputs("disks", out);
    for (uint32_t n = 0; n < c->backends; n++)
        print_size(c->disk_bytes[n], out);
    fputc('\n', out);
}

/* Nothing survives unless it is said. */
static void print_crash(const struct sim_crash *c, FILE *out)
{
    switch (c->kind) {
    case SIM_CRASH_ALL:
        fputs(" keep all", out);
        break;
    case SIM_CRASH_RANDOM:
        fprintf(out, " keep random %llu", (unsigned long long)c->seed);
        break;
    case SIM_CRASH_ONE_LOST:
        fprintf(out, " keep all-but-one %llu", (unsigned long long)c->k);
        break;
    case SIM_CRASH_ONE_KEPT:
        fprintf(out, " keep one %llu", (unsigned long long)c->k);
        break;
    case SIM_CRASH_PREFIX:
        fprintf(out, " keep first %llu", (unsigned long long)c->k);
        break;
    case SIM_CRASH_NONE:
    default:
        break;
    }
}

static void print_survive(const struct sim_survive *s, FILE *out)
{
    if (s->kind == SIM_SURVIVE_CRASH) {
        print_crash(&s->crash, out);
        return;
    }
    fputs(s->kind == SIM_SURVIVE_ONLY ? " keep only" : " keep all-but", out);
    for (uint32_t i = 0; i < s->names; i++) {
        const struct sim_survive_name *n = &s->name[i];

        if (n->step != CBD_STEP_NONE)
            fprintf(out, " %s", cbd_step_name(n->step));
        else
            fprintf(out, " disk%u", n->disk);
        if (n->number != SIM_SURVIVE_ALL_OF)
            fprintf(out, "[%u]", n->number);
    }
}

static void print_op(const struct sim_work_op *op, FILE *out)
{
    if (op->client != 0)
        fprintf(out, "%u: ", op->client);
    fputs(sim_work_kind_name((enum sim_work_kind)op->kind), out);
    if (op->disk != 0)
        fprintf(out, " disk%u", op->disk);
    if (op->kind <= SIM_WORK_DISCARD) {
        print_size(op->off_bytes, out);
        print_size(op->len_bytes, out);
    }
    if (op->fua)
        fputs(" fua", out);
    if (op->kind == SIM_WORK_RESTART) {
        fprintf(out, " %llu", (unsigned long long)op->steps);
        print_crash(&op->crash, out);
    }
    fputc('\n', out);
}

static void print_cut(const struct sim_work_cut *c, FILE *out)
{
    if (c->where == SIM_WORK_NOWHERE)
        return;
    fputs("crash", out);
    if (c->kill)
        fputs(" kill", out);
    if (c->where == SIM_WORK_AT_END)
        fputs(" at end", out);
    else if (c->where == SIM_WORK_AT_STEP)
        fprintf(out, " at step %llu", (unsigned long long)c->step);
    else
        fprintf(out, " before %s",
                c->where == SIM_WORK_AT_STORE ? cbd_step_name(c->store)
                                              : sim_disk_op_name(c->disk_op));
    if (c->where == SIM_WORK_AT_STORE || c->where == SIM_WORK_AT_DISK) {
        if (c->nth != 1)
            fprintf(out, " %u", c->nth);
        fprintf(out, " of op %u", c->op);
    }
    print_survive(&c->survive, out);
    fputc('\n', out);
    if (c->again) {
        fprintf(out, "crash again at step %llu", (unsigned long long)c->again_at);
        print_crash(&c->again_crash, out);
        fputc('\n', out);
    }
    if (c->later != SIM_LATER_NONE) {
        fprintf(out, "crash later in %s at step %llu", sim_later_name(c->later),
                (unsigned long long)c->later_at);
        print_crash(&c->later_crash, out);
        fputc('\n', out);
    }
    if (c->lost_copy)
        fprintf(out, "lose copy %llu\n", (unsigned long long)c->lost_draw);
    if (c->faulty)
        fprintf(out, "fault %s %llu\n", sim_fault_name(c->fault),
                (unsigned long long)c->fault_draw);
    if (c->twice || c->backing || c->written || c->full)
        fprintf(out, "judge%s%s%s%s\n", c->twice ? " twice" : "", c->backing ? " backing" : "",
                c->written ? " written" : "", c->full ? " full" : "");
}

void sim_workload_print(const struct sim_workload *w, FILE *out)
{
    print_machine(&w->config, out);
    for (size_t i = 0; i < w->count; i++)
        print_op(&w->ops[i], out);
    print_cut(&w->cut, out);
}

size_t sim_workload_lines(const struct sim_workload *w)
{
    struct sim_workload usual;
    bool disks;
    size_t lines = w->count;

    sim_workload_init(&usual);
    disks = w->config.backends != usual.config.backends;
    for (const struct sim_work_field *f = sim_work_fields; f->name != NULL; f++)
        lines += sim_work_field_get(f, &w->config) != sim_work_field_get(f, &usual.config);
    for (uint32_t n = 0; n < w->config.backends; n++)
        disks = disks || w->config.disk_bytes[n] != usual.config.disk_bytes[n];
    lines += disks;
    if (w->cut.where != SIM_WORK_NOWHERE)
        lines += 1u + w->cut.again + (w->cut.later != SIM_LATER_NONE) + w->cut.lost_copy +
                 w->cut.faulty + (w->cut.twice || w->cut.backing || w->cut.written || w->cut.full);
    return lines;
}
