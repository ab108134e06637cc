/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of a workload as words: blanks, comments, numbers, and what is said of a mistake. */
#include <stdarg.h>
#include <string.h>

#include "workload_parse_impl.h"

bool parse_bad(struct parser *p, const char *format, ...)
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

bool parse_split(struct parser *p, const char *text, size_t len)
{
    struct line *l = &p->line;
    bool inside = false;

    l->words = l->at = 0;
    if (len > SIM_WORK_LINE_BYTES_MAX)
        return parse_bad(p, "line: got %zu bytes, limit %u", len, SIM_WORK_LINE_BYTES_MAX);
    for (size_t i = 0; i <= len; i++) {
        char c = i < len ? text[i] : '\0';

        if (c == '#')
            c = '\0', len = i;
        if (c == '\0' && i < len)
            return parse_bad(p, "line: got a NUL byte, limit text");
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
            return parse_bad(p, "line: got more than %u words, limit %u", WORDS_MAX, WORDS_MAX);
        l->word[l->words++] = &l->text[i];
    }
    l->word[l->words] = NULL;
    return true;
}

const char *parse_peek(const struct parser *p)
{
    return p->line.word[p->line.at];
}

bool parse_take(struct parser *p, const char *word)
{
    if (parse_peek(p) == NULL || strcmp(parse_peek(p), word) != 0)
        return false;
    p->line.at++;
    return true;
}

bool parse_done(struct parser *p)
{
    return parse_peek(p) == NULL ||
           parse_bad(p, "got '%.40s', limit the end of the line", parse_peek(p));
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

bool parse_number(struct parser *p, const char *what, bool size, uint64_t min, uint64_t max,
                  uint64_t *value)
{
    const char *text = parse_peek(p);

    if (text == NULL || !sim_work_number(text, size, value) || *value < min || *value > max)
        return parse_bad(p, "%s: got '%.40s', limit %llu to %llu%s", what, text == NULL ? "" : text,
                         (unsigned long long)min, (unsigned long long)max,
                         size ? ", with K, M, G or T" : "");
    p->line.at++;
    return true;
}

bool parse_number32(struct parser *p, const char *what, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t v = 0;
    bool ok = parse_number(p, what, false, min, max, &v);

    *value = (uint32_t)v;
    return ok;
}

/* "disk3", perhaps with more behind it. */
bool parse_disk_number(const char *word, uint32_t *disk, const char **rest)
{
    if (strncmp(word, "disk", 4) != 0 || word[4] < '0' || word[4] >= (char)('0' + SIM_BACKENDS_MAX))
        return false;
    *disk = (uint32_t)(word[4] - '0');
    *rest = word + 5;
    return true;
}
