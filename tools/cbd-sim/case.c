/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads workloads and shows what came of them. */
#include "case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_base.h"
#include "tool_message.h"

#define TEXT_BYTES_MAX ((size_t)256 << 20)

static bool read_all(FILE *f, char **text, size_t *len, const char *path)
{
    size_t cap = 0;

    *text = NULL;
    *len = 0;
    do {
        *text = sim_grow(*text, &cap, *len + 65536, 1);
        *len += fread(*text + *len, 1, cap - *len, f);
    } while (!feof(f) && !ferror(f) && *len < TEXT_BYTES_MAX);
    if (ferror(f)) {
        cbd_tool_error(path, "%s", strerror(errno));
        return false;
    }
    if (!feof(f)) {
        cbd_tool_error_limit(path, "size in bytes", *len, TEXT_BYTES_MAX);
        return false;
    }
    return true;
}

bool cbd_sim_case_read(const char *path, struct sim_workload *w)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "rb");
    char *text = NULL, why[512];
    size_t len;
    bool ok;

    if (f == NULL) {
        cbd_tool_error(path, "%s", strerror(errno));
        return false;
    }
    ok = read_all(f, &text, &len, path);
    if (ok && sim_workload_parse(w, standard ? "standard input" : path, text, len, why,
                                 sizeof(why)) != 0) {
        cbd_tool_error(NULL, "%s", why);
        ok = false;
    }
    free(text);
    if (!standard)
        fclose(f);
    return ok;
}

void cbd_sim_case_show(const struct sim_workload *w, const struct sim_tried *tried)
{
    struct sim_workload place;
    char text[2048];

    printf("VIOLATION: %s\n", sim_verdict_text(&tried->verdict, text, sizeof(text)));
    if (w->cut.where != SIM_WORK_NOWHERE || tried->cut.where == SIM_WORK_NOWHERE)
        return;
    sim_workload_init(&place);
    place.cut = tried->cut;
    printf("with:\n");
    sim_workload_print(&place, stdout);
    sim_workload_free(&place);
}
