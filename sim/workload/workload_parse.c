/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the text form of a workload: any bytes. A line is words between blanks; what follows a '#'
 * is a comment. Every mistake ends the reading with its line, what was got and what is expected.
 */
#include <string.h>

#include "sim_base.h"
#include "workload_parse_impl.h"

/* ---- machine ---- */

static bool word_value(struct parser *p, const struct sim_work_field *f, uint64_t *value)
{
    const char *got = parse_peek(p) != NULL ? parse_peek(p) : "";
    size_t at = 0;
    char all[160] = "";

    for (unsigned v = 0; v <= f->max && f->word(v) != NULL; v++) {
        if (strcmp(got, f->word(v)) == 0) {
            p->line.at++;
            *value = v;
            return true;
        }
        if (f->max < 8 && at < sizeof(all))
            at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", v == 0 ? "" : ", ",
                                   f->word(v));
    }
    return parse_bad(p, "%s: got '%.40s', limit %s", f->name, got,
                     f->max < 8 ? all : "a name of core/include/cbd/steps.def or canaries.def");
}

static bool machine_line(struct parser *p, size_t n)
{
    const struct sim_work_field *f = &sim_work_fields[n];
    uint64_t value = 0;

    if ((p->seen >> n & 1) != 0)
        return parse_bad(p, "%s: got it twice, limit once", f->name);
    p->seen |= UINT64_C(1) << n;
    if (f->kind == SIM_WORK_FLAG) {
        if (parse_take(p, "on"))
            value = 1;
        else if (!parse_take(p, "off"))
            return parse_bad(p, "%s: got '%.40s', limit on or off", f->name,
                             parse_peek(p) != NULL ? parse_peek(p) : "");
    } else if (f->kind == SIM_WORK_FAULTS) {
        uint32_t mask;

        if (parse_peek(p) == NULL || !sim_fault_parse(parse_peek(p), &mask))
            return parse_bad(p, "%s: got '%.40s', limit all, none or names with commas between",
                             f->name, parse_peek(p) != NULL ? parse_peek(p) : "");
        p->line.at++;
        value = mask;
    } else if (f->kind == SIM_WORK_WORD) {
        if (!word_value(p, f, &value))
            return false;
    } else if (!parse_number(p, f->name, f->kind == SIM_WORK_SIZE, f->min, f->max, &value)) {
        return false;
    }
    sim_work_field_set(f, &p->w->config, value);
    return parse_done(p);
}

static bool disks_line(struct parser *p)
{
    struct sim_config *c = &p->w->config;

    if (p->disks_seen)
        return parse_bad(p, "disks: got it twice, limit once");
    p->disks_seen = true;
    c->backends = 0;
    do {
        if (c->backends == SIM_BACKENDS_MAX)
            return parse_bad(p, "disks: got more than %u, limit %u", SIM_BACKENDS_MAX,
                             SIM_BACKENDS_MAX);
        if (!parse_number(p, "disks", true, CBD_BLOCK_BYTES, SIM_WORK_DISK_BYTES_MAX,
                          &c->disk_bytes[c->backends]))
            return false;
        c->backends++;
    } while (parse_peek(p) != NULL);
    return true;
}

/* ---- operations ---- */

static bool op_line(struct parser *p, enum sim_work_kind kind, uint32_t client)
{
    struct sim_work_op *op;
    const char *rest;
    uint32_t disk = 0;

    if (p->w->count == SIM_WORK_OPS_MAX)
        return parse_bad(p, "operations: got more than %u, limit %u", SIM_WORK_OPS_MAX,
                         SIM_WORK_OPS_MAX);
    op = sim_workload_add(p->w, kind);
    op->line = p->number;
    op->client = (uint8_t)client;
    if (kind != SIM_WORK_WAIT && kind != SIM_WORK_RESTART && parse_peek(p) != NULL &&
        parse_disk_number(parse_peek(p), &disk, &rest) && *rest == '\0')
        p->line.at++;
    op->disk = (uint8_t)disk;
    if (kind <= SIM_WORK_DISCARD) {
        if (!parse_number(p, "offset", true, 0, SIM_WORK_DISK_BYTES_MAX, &op->off_bytes) ||
            !parse_number(p, "length", true, 1, SIM_WORK_DISK_BYTES_MAX, &op->len_bytes))
            return false;
        if (kind != SIM_WORK_READ)
            op->fua = parse_take(p, "fua");
    }
    if (kind == SIM_WORK_RESTART) {
        if (parse_peek(p) != NULL && strcmp(parse_peek(p), "keep") != 0 &&
            !parse_number(p, "restart", false, 0, UINT32_MAX, &op->steps))
            return false;
        if (!parse_keep_words(p, &op->crash))
            return false;
    }
    return parse_done(p);
}

/* "3:" in front of an operation. */
static bool client_word(struct parser *p, uint32_t *client)
{
    char *word = p->line.word[0];
    char *colon = strchr(word, ':');
    uint64_t v;

    *client = 0;
    if (colon == NULL)
        return true;
    *colon = '\0';
    if (colon[1] != '\0' || !sim_work_number(word, false, &v) || v < 1 || v > SIM_CLIENTS_MAX) {
        *colon = ':';
        return parse_bad(p, "client: got '%.40s', limit 1 to %u and a colon", word,
                         SIM_CLIENTS_MAX);
    }
    *client = (uint32_t)v;
    p->line.at++;
    return true;
}

static bool parse_line(struct parser *p)
{
    uint32_t client;

    if (parse_peek(p) == NULL)
        return true;
    if (!client_word(p, &client))
        return false;
    for (int kind = 0; kind < SIM_WORK_KIND_COUNT; kind++)
        if (parse_take(p, sim_work_kind_name((enum sim_work_kind)kind)))
            return op_line(p, (enum sim_work_kind)kind, client);
    if (client == 0) {
        for (size_t n = 0; sim_work_fields[n].name != NULL; n++)
            if (parse_take(p, sim_work_fields[n].name))
                return machine_line(p, n);
        if (parse_take(p, "disks"))
            return disks_line(p);
        if (parse_take(p, "crash"))
            return parse_crash_line(p);
        if (parse_take(p, "lose"))
            return parse_lose_line(p);
        if (parse_take(p, "fault"))
            return parse_fault_line(p);
        if (parse_take(p, "judge"))
            return parse_judge_line(p);
    }
    return parse_bad(p, "got '%.40s', limit an operation%s",
                     parse_peek(p) != NULL ? parse_peek(p) : "",
                     client == 0 ? ", a setting of the machine, crash, lose, fault or judge" : "");
}

int sim_workload_parse(struct sim_workload *w, const char *name, const char *text, size_t len_bytes,
                       char *why, size_t why_bytes)
{
    struct parser *p = sim_zalloc(1, sizeof(*p));
    char sentence[256];
    uint32_t line;
    bool ok = true;

    p->w = w;
    p->name = name;
    p->why = why;
    p->why_bytes = why_bytes;
    why[0] = '\0';
    for (size_t at = 0; at < len_bytes && ok;) {
        const char *end = memchr(text + at, '\n', len_bytes - at);
        size_t len = end != NULL ? (size_t)(end - (text + at)) : len_bytes - at;

        p->number++;
        ok = parse_split(p, text + at, len) && parse_line(p);
        at += len + 1;
    }
    if (ok && w->cut.where == SIM_WORK_NOWHERE &&
        (w->cut.lost_copy || w->cut.faulty || w->cut.twice || w->cut.backing || w->cut.written ||
         w->cut.full))
        ok = parse_bad(p, "lose, fault, judge: got them without a crash, limit with one");
    if (ok && !sim_workload_valid(w, sentence, sizeof(sentence), &line)) {
        p->number = line != 0 ? line : p->number;
        ok = parse_bad(p, "%s", sentence);
    }
    free(p);
    return ok ? 0 : CBD_E_INVALID;
}

bool sim_workload_setting(struct sim_workload *w, const char *line)
{
    struct parser *p = sim_zalloc(1, sizeof(*p));
    char why[256];
    bool ok;

    p->w = w;
    p->name = "";
    p->why = why;
    p->why_bytes = sizeof(why);
    ok = parse_split(p, line, strlen(line)) && parse_peek(p) != NULL;
    if (ok && parse_take(p, "disks")) {
        ok = disks_line(p);
    } else if (ok) {
        bool known = false;

        for (size_t n = 0; sim_work_fields[n].name != NULL && !known; n++) {
            known = parse_take(p, sim_work_fields[n].name);
            ok = known && machine_line(p, n);
        }
    }
    free(p);
    return ok;
}
