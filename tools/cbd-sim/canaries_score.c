/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim canaries --score: fault models and the bugs that only they find. */
#include <stdio.h>
#include <unistd.h>

#include "canaries_tool.h"
#include "sim_base.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"

/* A model passes: it has bugs of its own, or a reason why it has none, and no false alarm. */
static bool passes(const struct sim_score *s, enum sim_score_row row)
{
    return !s->alarm[row] && (s->owns[row] != 0 || sim_score_reason(row) != NULL);
}

static void print_own(const struct sim_score *s, enum sim_score_row row, const char *between)
{
    bool first = true;

    for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++) {
        if (!s->own[row][id])
            continue;
        printf("%s%s", first ? "" : between, sim_canary_name((enum cbd_canary_id)id));
        first = false;
    }
    if (first)
        printf("none%s%s", sim_score_reason(row) != NULL ? ": " : "",
               sim_score_reason(row) != NULL ? sim_score_reason(row) : "");
}

int cbd_sim_score_text(const struct sim_score *s)
{
    printf("%-10s %5s %4s  %-11s  %s\n", "model", "finds", "own", "", "its own");
    for (int i = 0; i < SIM_SCORE_COUNT; i++) {
        enum sim_score_row row = (enum sim_score_row)i;

        printf("%-10s %5u %4u  %-11s  ", sim_score_name(row), s->founds[row], s->owns[row],
               s->alarm[row]    ? "FALSE ALARM"
               : passes(s, row) ? "ok"
                                : "NONE");
        print_own(s, row, " ");
        putchar('\n');
    }
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

int cbd_sim_score_markdown(const struct sim_score *s)
{
    printf("| model | what may happen | finds | only it finds |\n| --- | --- | ---: | --- |\n");
    for (int i = 0; i < SIM_SCORE_COUNT; i++) {
        enum sim_score_row row = (enum sim_score_row)i;

        printf("| %s | %s | %u | ", sim_score_name(row), sim_score_what(row), s->founds[row]);
        print_own(s, row, ", ");
        printf(" |\n");
    }
    return fflush(stdout) == 0 ? 0 : CBD_E_SYSTEM;
}

int cbd_sim_score_json(const struct sim_score *s)
{
    json_t *document = cbd_tool_json_document("cbd-sim-score", 1), *rows;
    int error;

    cbd_tool_json_bool(document, "good", s->good);
    rows = cbd_tool_json_array(document, "models");
    for (int i = 0; i < SIM_SCORE_COUNT; i++) {
        enum sim_score_row row = (enum sim_score_row)i;
        json_t *o = cbd_tool_json_append_object(rows);
        json_t *own;

        cbd_tool_json_text(o, "model", sim_score_name(row));
        cbd_tool_json_text(o, "what", sim_score_what(row));
        cbd_tool_json_u64(o, "finds", s->founds[row]);
        cbd_tool_json_bool(o, "false_alarm", s->alarm[row]);
        cbd_tool_json_text(o, "reason", sim_score_reason(row) != NULL ? sim_score_reason(row) : "");
        own = cbd_tool_json_array(o, "own");
        for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++)
            if (s->own[row][id])
                (void)json_array_append_new(own,
                                            json_string(sim_canary_name((enum cbd_canary_id)id)));
    }
    error = cbd_tool_json_print(document, stdout);
    json_decref(document);
    return error;
}

int cbd_sim_score(struct sim_hunt_config *config, bool fast,
                  int (*print)(const struct sim_score *s))
{
    struct sim_score *score = sim_zalloc(1, sizeof(*score));
    int error = sim_score_run(config, fast, score), exit_code;

    if (error != 0)
        cbd_tool_error_code(NULL, "canaries", error);
    else
        error = print(score);
    exit_code = error != 0 ? CBD_EXIT_OPERATIONAL : score->good ? CBD_EXIT_CLEAN : CBD_EXIT_LEFT;
    free(score);
    return exit_code;
}
