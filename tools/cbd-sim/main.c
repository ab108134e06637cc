/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim: replays real traces through the cache and takes the power away while it runs. */
#include <string.h>

#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"replay", cbd_sim_cmd_replay},
    {"rerun", cbd_sim_cmd_rerun},
    {"run", cbd_sim_cmd_run},
    {"explore", cbd_sim_cmd_explore},
    {"minimize", cbd_sim_cmd_minimize},
    {"drops", cbd_sim_drops},
    {"hits", cbd_sim_hits},
    {"litmus", cbd_sim_cmd_litmus},
    {"pcache", cbd_sim_cmd_pcache},
    {"canaries", cbd_sim_canaries},
    {"writeback", cbd_sim_cmd_writeback},
    {"cut", cbd_sim_cmd_cut},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "replay --trace FILE [OPTIONS]\nrerun [OPTIONS] ID\nrun [OPTIONS] FILE\n"
                "explore [OPTIONS]\nminimize [OPTIONS] FILE|ID\ndrops [OPTIONS]\n"
                "hits [OPTIONS]\nlitmus [NAME]\npcache [OPTIONS] [FAULT]\nwriteback --trace FILE [OPTIONS]\n"
                "canaries [OPTIONS]\ncut [OPTIONS] FILE",
    .summary = "Runs the cache in a simulator: every store, flush, fence and disk completion has\n"
               "a number, and the power can fail at any of them.\n"
               "  replay  a trace, with power cuts; recovery is checked after each\n"
               "  rerun   one failure again, from the ID that was printed for it\n"
               "  run     a workload that is written down in a file\n"
               "  explore made-up workloads, with power cuts before every step\n"
               "  minimize  the smallest workload that fails like this one\n"
               "  drops   leave out each persist call of the cache in turn: which are needed?\n"
               "  hits    how many reads the cache answers, with each replacement policy\n"
               "  writeback  what write-back makes of a trace, beside the best\n"
               "  litmus  what a power cut may leave of small programs, under each model\n"
               "  pcache  the faults of dm-pcache's driver, on a model of it\n"
               "  canaries  switch on one bug of a catalogue after the other: is it found?\n"
               "  cut     the record of a real server, anywhere",
    .operands_min = 1,
    .operands_max = 1000,
    .stop_at_operand = true,
    .footer = "cbd-sim COMMAND --help tells more. Exit status: 0 no violation, 4 violations,\n"
              "8 the simulation could not run, 16 usage.",
};

int main(int argc, char **argv)
{
    struct cbd_tool_parser parser;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    if (cbd_tool_options_next(&parser) != CBD_TOOL_OPERANDS)
        return parser.exit_code;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(parser.operands[0], commands[i].name) == 0)
            return cbd_tool_output_end(commands[i].run(parser.operand_count, parser.operands));
    return cbd_tool_usage_error(&usage, "unknown command '%s'", parser.operands[0]);
}
