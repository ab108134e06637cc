/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of every tool, from one table: getopt_long() with --help and --version, and
 * the same words for the same mistakes. Long options must be written in full: an abbreviation that
 * works today could mean something destructive tomorrow.
 */
#ifndef CBD_TOOL_OPTIONS_H
#define CBD_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct cbd_tool_option {
    int key;              /* the short option's character; 256 and up: there is only a long one */
    const char *name;     /* long name without dashes, or NULL */
    const char *argument; /* its name in the help text, or NULL: takes none */
    const char *help;     /* may have several lines, separated by \n */
};

/* Immutable. -h, --help, -V and --version are added to options by the parser. */
struct cbd_tool_usage {
    const char *program;
    const char *synopsis; /* "[OPTIONS] DEVICE"; several forms are separated by \n */
    const char *summary;  /* a sentence or more under the usage line, or NULL */
    const struct cbd_tool_option *options;
    size_t option_count; /* at most CBD_TOOL_OPTIONS_MAX */
    int operands_min, operands_max;
    bool stop_at_operand; /* options behind the first operand belong to a subcommand */
    const char *footer;   /* last lines of the help text (exit codes, files), or NULL */
};

#define CBD_TOOL_OPTIONS_MAX 64

enum cbd_tool_next {
    CBD_TOOL_OPTION,   /* key and argument are set */
    CBD_TOOL_OPERANDS, /* no more options; operands and operand_count are set */
    CBD_TOOL_EXIT,     /* help, version or a mistake was printed: end with exit_code */
};

struct cbd_tool_parser {
    int key;
    const char *argument; /* NULL when the option takes none */
    char **operands;
    int operand_count;
    int exit_code;
    /* internal */
    const struct cbd_tool_usage *usage;
    int argc;
    char **argv;
    bool started;
};

/*
 * To be called before any file is opened: standard files that are closed get something that fails.
 * One parser at a time in a process (getopt). Permutes argv. Also sets the program's name. */
void cbd_tool_options_begin(struct cbd_tool_parser *parser, const struct cbd_tool_usage *usage,
                            int argc, char **argv);
enum cbd_tool_next cbd_tool_options_next(struct cbd_tool_parser *parser);

/* For a mistake that only the tool sees: prints it and the hint, returns CBD_EXIT_USAGE. */
int cbd_tool_usage_error(const struct cbd_tool_usage *usage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The project's version, "1.2.3". */
const char *cbd_tool_version(void);

#endif
