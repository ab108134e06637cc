/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim litmus: what the simulated memory allows and forbids, in small programs. */
#include <stdio.h>
#include <string.h>

#include "litmus.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_options.h"

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "litmus [NAME]",
    .summary = "Prints the litmus tests of the persistency models, and enumerates each: what can\n"
               "be there after a power cut must be exactly what is allowed.",
    .operands_min = 0,
    .operands_max = 1,
    .footer = "Exit status: 0 all hold, 4 some does not, 8 output error, 16 usage.",
};

int cbd_sim_cmd_litmus(int argc, char **argv)
{
    struct cbd_tool_parser parser;
    size_t shown = 0, held = 0;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    if (cbd_tool_options_next(&parser) == CBD_TOOL_EXIT)
        return parser.exit_code;
    for (size_t i = 0; i < sim_litmus_count(); i++) {
        const struct sim_litmus *t = sim_litmus_at(i);

        if (parser.operand_count == 1 && strcmp(parser.operands[0], t->name) != 0)
            continue;
        if (shown++ != 0)
            putchar('\n');
        sim_litmus_print(t, stdout);
        held += sim_litmus_holds(t);
    }
    if (shown == 0)
        return cbd_tool_usage_error(&usage, "there is no litmus test '%.60s'", parser.operands[0]);
    printf("\n%zu of %zu hold\n", held, shown);
    if (fflush(stdout) != 0)
        return CBD_EXIT_OPERATIONAL;
    return held == shown ? CBD_EXIT_CLEAN : CBD_EXIT_LEFT;
}
