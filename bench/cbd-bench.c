/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-bench: what the engine costs on top of what the hardware takes. README.md says how. */
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    KEY_JSON = 256,
    KEY_QUICK,
    KEY_GATE,
    KEY_FILE,
    KEY_SIZE,
    KEY_BLOCKS,
    KEY_PAIRS,
};

static const struct cbd_tool_option option_table[] = {
    {KEY_FILE, "file", "PATH", "make the file here and remove it; default: /dev/shm/cbd-bench.PID"},
    {KEY_SIZE, "size", "SIZE", "size of the file; default: 1G, with --quick 64M"},
    {KEY_BLOCKS, "blocks", "N", "distinct blocks, if so many fit; default: 1048576"},
    {KEY_PAIRS, "pairs", "N", "how often floor and engine alternate; default: 5, with --quick 1"},
    {KEY_QUICK, "quick", NULL, "only show that it works: no verdict"},
    {KEY_GATE, "gate", NULL, "exit with 4 when a goal is missed"},
    {KEY_JSON, "json", NULL, "print JSON"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-bench",
    .synopsis = "[OPTIONS]",
    .summary = "Measures the engine as a ratio to what the hardware takes for the same.",
    .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .footer = "Exit codes: 0 measured, 4 with --gate: a goal was missed, 8 failed, 16 usage.",
};

struct command {
    struct bench_options bench;
    bool json;
    bool gate;
};

static int number(const char *name, const char *text, uint64_t max, uint64_t *value)
{
    char why[256];

    if (cbd_tool_parse_number(name, text, 1, max, value, why, sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    return 0;
}

/* One option that takes an argument. 0, or the exit code after a mistake. */
static int parse_value(struct command *command, int key, const char *text)
{
    char why[256];
    uint64_t value;
    int code = 0;

    switch (key) {
    case KEY_FILE:
        command->bench.path = text;
        break;
    case KEY_SIZE:
        if (cbd_tool_parse_size("--size", text, &command->bench.size_bytes, why, sizeof(why)) != 0)
            return cbd_tool_usage_error(&usage, "%s", why);
        break;
    case KEY_BLOCKS:
        code = number("--blocks", text, UINT64_C(1) << 30, &command->bench.blocks_max);
        break;
    case KEY_PAIRS:
        code = number("--pairs", text, BENCH_PAIRS_MAX, &value);
        if (code == 0)
            command->bench.pairs = (unsigned)value;
        break;
    }
    return code;
}

/* True: go on. False: end with *code. */
static bool parse(int argc, char **argv, struct command *command, int *code)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        *code = 0;
        if (parser.key == KEY_JSON)
            command->json = true;
        else if (parser.key == KEY_QUICK)
            command->bench.quick = true;
        else if (parser.key == KEY_GATE)
            command->gate = true;
        else
            *code = parse_value(command, parser.key, parser.argument);
        if (*code != 0)
            return false;
    }
    *code = parser.exit_code;
    return next == CBD_TOOL_OPERANDS;
}

static void set_defaults(struct bench_options *options, char *path, size_t path_len_bytes)
{
    if (options->size_bytes == 0)
        options->size_bytes = options->quick ? UINT64_C(64) << 20 : UINT64_C(1) << 30;
    if (options->pairs == 0)
        options->pairs = options->quick ? 1 : 5;
    if (options->blocks_max == 0)
        options->blocks_max = UINT64_C(1) << 20;
    if (options->path == NULL) {
        snprintf(path, path_len_bytes, "/dev/shm/cbd-bench.%ld", (long)getpid());
        options->path = path;
    }
}

int main(int argc, char **argv)
{
    struct command command = {0};
    struct bench_rig rig;
    char path[64];
    int code = 0;
    bool all_met;

    if (!parse(argc, argv, &command, &code))
        return code;
    set_defaults(&command.bench, path, sizeof(path));
    bench_rig_open(&rig, &command.bench);
    for (unsigned i = 0; i < command.bench.pairs; i++) {
        bench_round(&rig, false);
        bench_round(&rig, true);
    }
    all_met = bench_figures_print(&rig, &command.bench, command.json);
    bench_rig_close(&rig);
    return command.gate && !command.bench.quick && !all_met ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
}
