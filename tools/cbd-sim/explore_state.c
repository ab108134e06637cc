/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state file of `explore`: a few lines, however much is done.
 *
 *   cbd-sim explore 3
 *   settings generator=random.1:ops=8
 *   shard 0 1
 *   totals N N N ...          struct cbd_explore_totals
 *   failure ID                any number
 *   end
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore_tool.h"
#include "sim_base.h"
#include "tool_message.h"

#define TOTALS (sizeof(struct cbd_explore_totals) / sizeof(uint64_t))

_Static_assert(sizeof(struct cbd_explore_totals) % sizeof(uint64_t) == 0, "all counters");

static void print(const struct cbd_explore *e, FILE *f)
{
    const uint64_t *totals = (const uint64_t *)&e->totals;

    fputs("cbd-sim explore 3\nsettings ", f);
    cbd_explore_settings(e, f);
    fprintf(f, "\nshard %u %u\ntotals", e->x.shard, e->x.shards);
    for (size_t i = 0; i < TOTALS; i++)
        fprintf(f, " %" PRIu64, totals[i]);
    fputc('\n', f);
    for (uint32_t i = 0; i < e->failures_kept; i++)
        fprintf(f, "failure %s\n", e->failures[i]);
    fputs("end\n", f);
}

bool cbd_explore_save(const struct cbd_explore *e, const char *path)
{
    char *temporary = NULL;
    FILE *f;
    bool ok;

    if (asprintf(&temporary, "%s.new", path) < 0)
        return false;
    f = fopen(temporary, "w");
    ok = f != NULL;
    if (ok) {
        print(e, f);
        ok = fflush(f) == 0 && fsync(fileno(f)) == 0;
        ok = fclose(f) == 0 && ok;
        ok = ok && rename(temporary, path) == 0;
    }
    if (!ok) {
        cbd_tool_error(path, "%s", strerror(errno));
        unlink(temporary);
    }
    free(temporary);
    return ok;
}

/* The rest of the next line when it begins with `word`; else NULL. */
static char *expect(char **at, const char *word)
{
    char *line = strsep(at, "\n");
    size_t len = strlen(word);

    return line != NULL && strncmp(line, word, len) == 0 ? line + len : NULL;
}

static bool parse_totals(struct cbd_explore *e, char *text)
{
    uint64_t *totals = (uint64_t *)&e->totals;

    for (size_t i = 0; i < TOTALS; i++) {
        char *word = strsep(&text, " ");

        if (word == NULL || !sim_work_number(word, false, &totals[i]))
            return false;
    }
    return text == NULL;
}

static bool parse_failures(struct cbd_explore *e, char **at)
{
    for (;;) {
        char *line = strsep(at, "\n");

        if (line != NULL && strcmp(line, "end") == 0)
            return *at != NULL && **at == '\0';
        if (line == NULL || strncmp(line, "failure ", 8) != 0 ||
            e->failures_kept == CBD_EXPLORE_FAILURES_KEPT ||
            strlen(line + 8) >= CBD_EXPLORE_ID_BYTES)
            return false;
        strcpy(e->failures[e->failures_kept++], line + 8);
    }
}

static bool parse(struct cbd_explore *e, char *text, const char *path)
{
    char *mine = NULL, *at = text, *line, shard[64];
    size_t len;
    FILE *out = open_memstream(&mine, &len);
    bool same;

    SIM_REQUIRE(out != NULL);
    cbd_explore_settings(e, out);
    fclose(out);
    snprintf(shard, sizeof(shard), "%u %u", e->x.shard, e->x.shards);
    if ((line = expect(&at, "cbd-sim explore 3")) == NULL || *line != '\0') {
        cbd_tool_error(path, "line 1: got another file, limit what explore --state has written");
        free(mine);
        return false;
    }
    line = expect(&at, "settings ");
    same = line != NULL && strcmp(line, mine) == 0;
    if (!same)
        cbd_tool_error(path, "line 2: settings: got %.300s, limit those of this call: %s",
                       line != NULL ? line : "none", mine);
    free(mine);
    if (!same)
        return false;
    line = expect(&at, "shard ");
    if (line == NULL || strcmp(line, shard) != 0) {
        cbd_tool_error(path, "line 3: shard: got %.40s, limit that of this call: %s",
                       line != NULL ? line : "none", shard);
        return false;
    }
    line = expect(&at, "totals ");
    if (line == NULL || !parse_totals(e, line) || !parse_failures(e, &at)) {
        cbd_tool_error(path, "totals and failures: got damaged lines, limit an unchanged file");
        return false;
    }
    e->x.first = e->totals.done;
    return true;
}

bool cbd_explore_load(struct cbd_explore *e, const char *path)
{
    size_t cap = 4u << 20, len;
    FILE *f = fopen(path, "r");
    char *text;
    bool ok;

    if (f == NULL && errno == ENOENT)
        return true;
    if (f == NULL) {
        cbd_tool_error(path, "%s", strerror(errno));
        return false;
    }
    text = sim_zalloc(cap + 1, 1);
    len = fread(text, 1, cap, f);
    ok = !ferror(f);
    fclose(f);
    text[len] = '\0';
    if (!ok)
        cbd_tool_error(path, "%s", strerror(errno));
    ok = ok && parse(e, text, path);
    free(text);
    return ok;
}
