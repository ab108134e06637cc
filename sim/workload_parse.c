/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the text form of a workload: any bytes. A line is words between blanks; what follows a '#'
 * is a comment. Every mistake ends the reading with its line, what was got and what is expected.
 */
#include <stdarg.h>
#include <string.h>

#include "sim_base.h"
#include "workload.h"

#define WORDS_MAX 64u

struct line {
    char text[SIM_WORK_LINE_BYTES_MAX + 1];
    char *word[WORDS_MAX + 1]; /* NULL behind the last */
    uint32_t words, at;
};

struct parser {
    struct sim_workload *w;
    const char *name;
    uint32_t number; /* of the line, from 1 */
    struct line line;
    char *why;
    size_t why_bytes;
    uint64_t seen; /* machine lines, by number in sim_work_fields */
    bool disks_seen, judge_seen;
};

__attribute__((format(printf, 2, 3))) static bool bad(struct parser *p, const char *format, ...)
{
    int n = snprintf(p->why, p->why_bytes, "%s:%u: ", p->name, p->number);
    va_list args;

    if (n >= 0 && (size_t)n < p->why_bytes) {
        va_start(args, format);
        vsnprintf(p->why + n, p->why_bytes - (size_t)n, format, args);
        va_end(args);
    }
    for (char *c = p->why; *c != '\0'; c++)
        if ((unsigned char)*c < 32 || (unsigned char)*c >= 127)
            *c = '?';
    return false;
}

static bool split(struct parser *p, const char *text, size_t len)
{
    struct line *l = &p->line;
    bool inside = false;

    l->words = l->at = 0;
    if (len > SIM_WORK_LINE_BYTES_MAX)
        return bad(p, "line: got %zu bytes, limit %u", len, SIM_WORK_LINE_BYTES_MAX);
    for (size_t i = 0; i <= len; i++) {
        char c = i < len ? text[i] : '\0';

        if (c == '#')
            c = '\0', len = i;
        if (c == '\0' && i < len)
            return bad(p, "line: got a NUL byte, limit text");
        if (c == ' ' || c == '\t' || c == '\r' || c == '\0') {
            l->text[i] = '\0';
            inside = false;
            continue;
        }
        l->text[i] = c;
        if (inside)
            continue;
        inside = true;
        if (l->words == WORDS_MAX)
            return bad(p, "line: got more than %u words, limit %u", WORDS_MAX, WORDS_MAX);
        l->word[l->words++] = &l->text[i];
    }
    l->word[l->words] = NULL;
    return true;
}

/* The next word, or NULL. */
static const char *peek(const struct parser *p)
{
    return p->line.word[p->line.at];
}

static bool take(struct parser *p, const char *word)
{
    if (peek(p) == NULL || strcmp(peek(p), word) != 0)
        return false;
    p->line.at++;
    return true;
}

static bool done(struct parser *p)
{
    return peek(p) == NULL || bad(p, "got '%.40s', limit the end of the line", peek(p));
}

bool sim_work_number(const char *text, bool size, uint64_t *value)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    uint64_t v = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (*text != '\0') {
        suffix = size ? strchr(suffixes, *text) : NULL;
        if (suffix == NULL || text[1] != '\0')
            return false;
        for (const char *s = suffixes; s <= suffix; s++) {
            if (v > UINT64_MAX / 1024)
                return false;
            v *= 1024;
        }
    }
    *value = v;
    return true;
}

static bool number(struct parser *p, const char *what, bool size, uint64_t min, uint64_t max,
                   uint64_t *value)
{
    const char *text = peek(p);

    if (text == NULL || !sim_work_number(text, size, value) || *value < min || *value > max)
        return bad(p, "%s: got '%.40s', limit %llu to %llu%s", what, text == NULL ? "" : text,
                   (unsigned long long)min, (unsigned long long)max,
                   size ? ", with K, M, G or T" : "");
    p->line.at++;
    return true;
}

static bool number32(struct parser *p, const char *what, uint32_t min, uint32_t max,
                     uint32_t *value)
{
    uint64_t v = 0;
    bool ok = number(p, what, false, min, max, &v);

    *value = (uint32_t)v;
    return ok;
}

/* ---- machine ---- */

static bool word_value(struct parser *p, const struct sim_work_field *f, uint64_t *value)
{
    const char *got = peek(p) != NULL ? peek(p) : "";
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
    return bad(p, "%s: got '%.40s', limit %s", f->name, got,
               f->max < 8 ? all : "a name of core/include/cbd/steps.def or canaries.def");
}

static bool machine_line(struct parser *p, size_t n)
{
    const struct sim_work_field *f = &sim_work_fields[n];
    uint64_t value = 0;

    if ((p->seen >> n & 1) != 0)
        return bad(p, "%s: got it twice, limit once", f->name);
    p->seen |= UINT64_C(1) << n;
    if (f->kind == SIM_WORK_FLAG) {
        if (take(p, "on"))
            value = 1;
        else if (!take(p, "off"))
            return bad(p, "%s: got '%.40s', limit on or off", f->name,
                       peek(p) != NULL ? peek(p) : "");
    } else if (f->kind == SIM_WORK_FAULTS) {
        uint32_t mask;

        if (peek(p) == NULL || !sim_fault_parse(peek(p), &mask))
            return bad(p, "%s: got '%.40s', limit all, none or names with commas between", f->name,
                       peek(p) != NULL ? peek(p) : "");
        p->line.at++;
        value = mask;
    } else if (f->kind == SIM_WORK_WORD) {
        if (!word_value(p, f, &value))
            return false;
    } else if (!number(p, f->name, f->kind == SIM_WORK_SIZE, f->min, f->max, &value)) {
        return false;
    }
    sim_work_field_set(f, &p->w->config, value);
    return done(p);
}

static bool disks_line(struct parser *p)
{
    struct sim_config *c = &p->w->config;

    if (p->disks_seen)
        return bad(p, "disks: got it twice, limit once");
    p->disks_seen = true;
    c->backends = 0;
    do {
        if (c->backends == SIM_BACKENDS_MAX)
            return bad(p, "disks: got more than %u, limit %u", SIM_BACKENDS_MAX, SIM_BACKENDS_MAX);
        if (!number(p, "disks", true, CBD_BLOCK_BYTES, SIM_WORK_DISK_BYTES_MAX,
                    &c->disk_bytes[c->backends]))
            return false;
        c->backends++;
    } while (peek(p) != NULL);
    return true;
}

/* ---- operations and crashes ---- */

/* "disk3", perhaps with more behind it. */
static bool disk_number(const char *word, uint32_t *disk, const char **rest)
{
    if (strncmp(word, "disk", 4) != 0 || word[4] < '0' || word[4] >= (char)('0' + SIM_BACKENDS_MAX))
        return false;
    *disk = (uint32_t)(word[4] - '0');
    *rest = word + 5;
    return true;
}

static bool crash_words(struct parser *p, struct sim_crash *c)
{
    memset(c, 0, sizeof(*c));
    if (take(p, "none"))
        return true;
    c->kind = SIM_CRASH_ALL;
    if (take(p, "all"))
        return true;
    c->kind = SIM_CRASH_RANDOM;
    if (take(p, "random"))
        return number(p, "keep random", false, 0, UINT64_MAX, &c->seed);
    c->kind = SIM_CRASH_PREFIX;
    if (take(p, "first"))
        return number(p, "keep first", false, 0, UINT64_MAX, &c->k);
    c->kind = SIM_CRASH_ONE_KEPT;
    if (take(p, "one"))
        return number(p, "keep one", false, 0, UINT64_MAX, &c->k);
    c->kind = SIM_CRASH_ONE_LOST;
    if (take(p, "all-but-one"))
        return number(p, "keep all-but-one", false, 0, UINT64_MAX, &c->k);
    return bad(p,
               "keep: got '%.40s', limit none, all, random N, first N, one N, all-but-one N, "
               "only NAMES or all-but NAMES",
               peek(p) != NULL ? peek(p) : "");
}

static bool name_word(struct parser *p, char *word, struct sim_survive_name *name)
{
    char *bracket = strchr(word, '[');
    const char *rest;
    uint64_t n = SIM_SURVIVE_ALL_OF;
    bool ok = true;

    memset(name, 0, sizeof(*name));
    if (bracket != NULL) {
        char *end = strchr(bracket, ']');

        ok = end != NULL && end[1] == '\0';
        if (ok) {
            *bracket = *end = '\0';
            ok = sim_work_number(bracket + 1, false, &n) && n < SIM_SURVIVE_ALL_OF;
            *bracket = '[';
            if (ok)
                *bracket = '\0';
            *end = ']';
        }
    }
    name->number = (uint32_t)n;
    if (ok && disk_number(word, &name->disk, &rest) && *rest == '\0')
        return true;
    if (ok && sim_step_parse(word, &name->step))
        return true;
    return bad(p,
               "keep: got '%.60s', limit a name of core/include/cbd/steps.def or diskN, "
               "perhaps with [NUMBER]",
               word);
}

static bool survive_words(struct parser *p, struct sim_survive *s)
{
    memset(s, 0, sizeof(*s));
    if (!take(p, "keep"))
        return true;
    if (take(p, "only"))
        s->kind = SIM_SURVIVE_ONLY;
    else if (take(p, "all-but"))
        s->kind = SIM_SURVIVE_ALL_BUT;
    else
        return crash_words(p, &s->crash);
    while (peek(p) != NULL) {
        if (s->names == SIM_SURVIVE_NAMES_MAX)
            return bad(p, "keep: got more than %u names, limit %u", SIM_SURVIVE_NAMES_MAX,
                       SIM_SURVIVE_NAMES_MAX);
        if (!name_word(p, p->line.word[p->line.at++], &s->name[s->names]))
            return false;
        s->names++;
    }
    return s->names != 0 || bad(p, "keep: got no name, limit one at least");
}

static bool keep_words(struct parser *p, struct sim_crash *c)
{
    memset(c, 0, sizeof(*c));
    return !take(p, "keep") || crash_words(p, c);
}

static bool again_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (c->where == SIM_WORK_NOWHERE || c->again)
        return bad(p, "crash again: got %s, limit one behind a crash",
                   c->again ? "a second one" : "no crash before it");
    c->again = true;
    if (!take(p, "at") || !take(p, "step"))
        return bad(p, "crash again: got '%.40s', limit at step N", peek(p) != NULL ? peek(p) : "");
    return number(p, "step", false, 0, UINT64_MAX, &c->again_at) &&
           keep_words(p, &c->again_crash) && done(p);
}

static bool before_words(struct parser *p, struct sim_work_cut *c)
{
    const char *name = peek(p) != NULL ? peek(p) : "";
    uint64_t v;

    c->where = SIM_WORK_NOWHERE;
    if (sim_step_parse(name, &c->store))
        c->where = SIM_WORK_AT_STORE;
    for (int op = CBD_DISK_READ; op <= CBD_DISK_ZERO; op++) {
        if (strcmp(name, sim_disk_op_name((enum cbd_disk_op)op)) == 0) {
            c->disk_op = (enum cbd_disk_op)op;
            c->where = SIM_WORK_AT_DISK;
        }
    }
    if (c->where == SIM_WORK_NOWHERE)
        return bad(p,
                   "crash before: got '%.40s', limit a name of core/include/cbd/steps.def or "
                   "DISK_READ, _WRITE, _FLUSH, _DISCARD, _ZERO",
                   name);
    p->line.at++;
    c->nth = 1;
    if (peek(p) != NULL && sim_work_number(peek(p), false, &v) &&
        !number32(p, "crash before: the how many-th", 1, UINT32_MAX, &c->nth))
        return false;
    if (!take(p, "of"))
        return true;
    if (!take(p, "op"))
        return bad(p, "crash: got '%.40s', limit of op N", peek(p) != NULL ? peek(p) : "");
    return number32(p, "op", 0, SIM_WORK_OPS_MAX, &c->op);
}

static bool crash_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (take(p, "again"))
        return again_line(p);
    if (c->where != SIM_WORK_NOWHERE)
        return bad(p, "crash: got a second one, limit one");
    c->kill = take(p, "kill");
    if (take(p, "before")) {
        if (!before_words(p, c))
            return false;
    } else if (take(p, "at")) {
        if (take(p, "end")) {
            c->where = SIM_WORK_AT_END;
        } else if (take(p, "step")) {
            c->where = SIM_WORK_AT_STEP;
            if (!number(p, "step", false, 0, UINT64_MAX, &c->step))
                return false;
        } else {
            return bad(p, "crash at: got '%.40s', limit end or step N",
                       peek(p) != NULL ? peek(p) : "");
        }
    } else {
        return bad(p, "crash: got '%.40s', limit at end, at step N or before NAME",
                   peek(p) != NULL ? peek(p) : "");
    }
    return survive_words(p, &c->survive) && done(p);
}

static bool lose_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (!take(p, "copy") || c->lost_copy)
        return bad(p, "lose: got '%.40s', limit one line `lose copy N`",
                   peek(p) != NULL ? peek(p) : "");
    c->lost_copy = true;
    return number(p, "lose copy", false, 0, UINT64_MAX, &c->lost_draw) && done(p);
}

static bool fault_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;
    uint32_t mask = 0;

    if (c->faulty || peek(p) == NULL || !sim_fault_parse(peek(p), &mask) ||
        (mask & (mask - 1)) != 0 || mask == 0)
        return bad(p, "fault: got '%.40s', limit one line with one name and a number",
                   peek(p) != NULL ? peek(p) : "");
    p->line.at++;
    c->faulty = true;
    while ((mask >> c->fault & 1) == 0)
        c->fault++;
    return number(p, "fault", false, 0, UINT64_MAX, &c->fault_draw) && done(p);
}

static bool judge_line(struct parser *p)
{
    struct sim_work_cut *c = &p->w->cut;

    if (p->judge_seen || peek(p) == NULL)
        return bad(p, "judge: got %s, limit one line with twice, backing, written, full",
                   p->judge_seen ? "it twice" : "nothing");
    p->judge_seen = true;
    while (peek(p) != NULL) {
        if (take(p, "twice"))
            c->twice = true;
        else if (take(p, "backing"))
            c->backing = true;
        else if (take(p, "written"))
            c->written = true;
        else if (take(p, "full"))
            c->full = true;
        else
            return bad(p, "judge: got '%.40s', limit twice, backing, written, full", peek(p));
    }
    return true;
}

static bool op_line(struct parser *p, enum sim_work_kind kind, uint32_t client)
{
    struct sim_work_op *op;
    const char *rest;
    uint32_t disk = 0;

    if (p->w->count == SIM_WORK_OPS_MAX)
        return bad(p, "operations: got more than %u, limit %u", SIM_WORK_OPS_MAX, SIM_WORK_OPS_MAX);
    op = sim_workload_add(p->w, kind);
    op->line = p->number;
    op->client = (uint8_t)client;
    if (kind != SIM_WORK_WAIT && kind != SIM_WORK_RESTART && peek(p) != NULL &&
        disk_number(peek(p), &disk, &rest) && *rest == '\0')
        p->line.at++;
    op->disk = (uint8_t)disk;
    if (kind <= SIM_WORK_DISCARD) {
        if (!number(p, "offset", true, 0, SIM_WORK_DISK_BYTES_MAX, &op->off_bytes) ||
            !number(p, "length", true, 1, SIM_WORK_DISK_BYTES_MAX, &op->len_bytes))
            return false;
        if (kind != SIM_WORK_READ)
            op->fua = take(p, "fua");
    }
    if (kind == SIM_WORK_RESTART) {
        if (peek(p) != NULL && strcmp(peek(p), "keep") != 0 &&
            !number(p, "restart", false, 0, UINT32_MAX, &op->steps))
            return false;
        if (!keep_words(p, &op->crash))
            return false;
    }
    return done(p);
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
        return bad(p, "client: got '%.40s', limit 1 to %u and a colon", word, SIM_CLIENTS_MAX);
    }
    *client = (uint32_t)v;
    p->line.at++;
    return true;
}

static bool parse_line(struct parser *p)
{
    uint32_t client;

    if (peek(p) == NULL)
        return true;
    if (!client_word(p, &client))
        return false;
    for (int kind = 0; kind < SIM_WORK_KIND_COUNT; kind++)
        if (take(p, sim_work_kind_name((enum sim_work_kind)kind)))
            return op_line(p, (enum sim_work_kind)kind, client);
    if (client == 0) {
        for (size_t n = 0; sim_work_fields[n].name != NULL; n++)
            if (take(p, sim_work_fields[n].name))
                return machine_line(p, n);
        if (take(p, "disks"))
            return disks_line(p);
        if (take(p, "crash"))
            return crash_line(p);
        if (take(p, "lose"))
            return lose_line(p);
        if (take(p, "fault"))
            return fault_line(p);
        if (take(p, "judge"))
            return judge_line(p);
    }
    return bad(p, "got '%.40s', limit an operation%s", peek(p) != NULL ? peek(p) : "",
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
        ok = split(p, text + at, len) && parse_line(p);
        at += len + 1;
    }
    if (ok && w->cut.where == SIM_WORK_NOWHERE &&
        (w->cut.lost_copy || w->cut.faulty || w->cut.twice || w->cut.backing || w->cut.written ||
         w->cut.full))
        ok = bad(p, "lose, fault, judge: got them without a crash, limit with one");
    if (ok && !sim_workload_valid(w, sentence, sizeof(sentence), &line)) {
        p->number = line != 0 ? line : p->number;
        ok = bad(p, "%s", sentence);
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
    ok = split(p, line, strlen(line)) && peek(p) != NULL;
    if (ok && take(p, "disks")) {
        ok = disks_line(p);
    } else if (ok) {
        bool known = false;

        for (size_t n = 0; sim_work_fields[n].name != NULL && !known; n++) {
            known = take(p, sim_work_fields[n].name);
            ok = known && machine_line(p, n);
        }
    }
    free(p);
    return ok;
}
