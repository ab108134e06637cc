/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of every tool, from one table. */
#include "tool_options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool_exit.h"
#include "tool_message.h"

#define HELP_COLUMN 30

static const struct cbd_tool_option common[] = {
    {'h', "help", NULL, "show this text"},
    {'V', "version", NULL, "show the version"},
};

#define COMMON_COUNT (sizeof(common) / sizeof(common[0]))

const char *cbd_tool_version(void)
{
    return CBD_VERSION;
}

static bool has_short(const struct cbd_tool_option *option)
{
    return option->key > 0 && option->key < 256;
}

static void print_lines(const char *prefix, const char *rest_prefix, const char *text)
{
    const char *end;

    for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        printf("%s%.*s\n", prefix, (int)(end - text), text);
        prefix = rest_prefix;
    }
    printf("%s%s\n", prefix, text);
}

static void print_option(const struct cbd_tool_option *option)
{
    char left[128] = "", lines_prefix[HELP_COLUMN + 1], first[160];
    const char *equals = option->argument != NULL ? (option->name != NULL ? "=" : " ") : "";
    const char *argument = option->argument != NULL ? option->argument : "";

    if (has_short(option) && option->name != NULL)
        snprintf(left, sizeof(left), "  -%c, --%s%s%s", option->key, option->name, equals,
                 argument);
    else if (has_short(option))
        snprintf(left, sizeof(left), "  -%c%s%s", option->key, equals, argument);
    else
        snprintf(left, sizeof(left), "      --%s%s%s", option->name, equals, argument);
    snprintf(lines_prefix, sizeof(lines_prefix), "%*s", HELP_COLUMN, "");
    if (strlen(left) + 2 > HELP_COLUMN) {
        printf("%s\n", left);
        print_lines(lines_prefix, lines_prefix, option->help);
    } else {
        snprintf(first, sizeof(first), "%-*s", HELP_COLUMN, left);
        print_lines(first, lines_prefix, option->help);
    }
}

static void print_usage(const struct cbd_tool_usage *usage)
{
    char first[96], rest[96];

    snprintf(first, sizeof(first), "Usage: %s ", usage->program);
    snprintf(rest, sizeof(rest), "       %s ", usage->program);
    print_lines(first, rest, usage->synopsis);
}

static void print_help(const struct cbd_tool_usage *usage)
{
    print_usage(usage);
    if (usage->summary != NULL)
        printf("%s\n", usage->summary);
    printf("\nOptions:\n");
    for (size_t i = 0; i < usage->option_count; i++)
        print_option(&usage->options[i]);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        print_option(&common[i]);
    if (usage->footer != NULL)
        printf("\n%s\n", usage->footer);
}

static int hint(const struct cbd_tool_usage *usage)
{
    fprintf(stderr, "Usage: %s %.*s\nTry '%s --help' for more.\n", usage->program,
            (int)strcspn(usage->synopsis, "\n"), usage->synopsis, usage->program);
    return CBD_EXIT_USAGE;
}

int cbd_tool_usage_error(const struct cbd_tool_usage *usage, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cbd_tool_error(NULL, "%s", text);
    return hint(usage);
}

/*
 * A descriptor that the caller has closed would be given to the next file that is opened, which is
 * the device, and the report would go there. Something that fails is put in its place.
 */
static void hold_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CBD_EXIT_OPERATIONAL);
}

void cbd_tool_options_begin(struct cbd_tool_parser *parser, const struct cbd_tool_usage *usage,
                            int argc, char **argv)
{
    if (usage->option_count > CBD_TOOL_OPTIONS_MAX)
        abort();
    hold_standard_files();
    *parser = (struct cbd_tool_parser){.usage = usage, .argc = argc, .argv = argv};
    cbd_tool_set_program(usage->program);
}

static const struct cbd_tool_option *option_at(const struct cbd_tool_usage *usage, size_t i)
{
    return i < usage->option_count ? &usage->options[i] : &common[i - usage->option_count];
}

/* Fills the two tables of getopt_long(). letters has room for 2 characters an option and 3 more. */
static void make_tables(const struct cbd_tool_usage *usage, char *letters, struct option *longs)
{
    if (usage->stop_at_operand)
        *letters++ = '+'; /* without it operands may stand anywhere */
    *letters++ = ':';
    for (size_t i = 0; i < usage->option_count + COMMON_COUNT; i++) {
        const struct cbd_tool_option *option = option_at(usage, i);

        if (has_short(option)) {
            *letters++ = (char)option->key;
            if (option->argument != NULL)
                *letters++ = ':';
        }
        if (option->name != NULL)
            *longs++ = (struct option){
                .name = option->name,
                .has_arg = option->argument != NULL ? required_argument : no_argument,
                .val = option->key,
            };
    }
    *letters = '\0';
    *longs = (struct option){0};
}

/* The word that getopt_long() has just read as a long option. */
static const char *long_word(const struct cbd_tool_parser *parser)
{
    const char *word = parser->argv[optind - 1];

    return optarg != NULL && optarg == word ? parser->argv[optind - 2] : word;
}

static enum cbd_tool_next mistake(struct cbd_tool_parser *parser, int code)
{
    const struct cbd_tool_usage *usage = parser->usage;
    const char *word = parser->argv[optind - 1];

    if (code == ':' && strncmp(word, "--", 2) != 0)
        cbd_tool_usage_error(usage, "option '-%c': its value is missing", optopt);
    else if (code == ':')
        cbd_tool_usage_error(usage, "option '%s': its value is missing", word);
    else if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
        cbd_tool_usage_error(usage, "unknown option '-%c'", optopt);
    else if (optopt != 0 && strchr(word, '=') != NULL)
        cbd_tool_usage_error(usage, "option '%.*s' takes no value", (int)strcspn(word, "="), word);
    else
        cbd_tool_usage_error(usage, "unknown option '%s'", word);
    parser->exit_code = CBD_EXIT_USAGE;
    return CBD_TOOL_EXIT;
}

static enum cbd_tool_next operands(struct cbd_tool_parser *parser)
{
    const struct cbd_tool_usage *usage = parser->usage;

    parser->operands = parser->argv + optind;
    parser->operand_count = parser->argc - optind;
    if (parser->operand_count >= usage->operands_min &&
        parser->operand_count <= usage->operands_max)
        return CBD_TOOL_OPERANDS;
    parser->exit_code =
        cbd_tool_usage_error(usage, "operands: got %d, limit %d..%d", parser->operand_count,
                             usage->operands_min, usage->operands_max);
    return CBD_TOOL_EXIT;
}

/* Output that did not reach its reader is an error of the tool, not a success. */
static enum cbd_tool_next printed(struct cbd_tool_parser *parser)
{
    parser->exit_code =
        fflush(stdout) == 0 && !ferror(stdout) ? CBD_EXIT_CLEAN : CBD_EXIT_OPERATIONAL;
    return CBD_TOOL_EXIT;
}

enum cbd_tool_next cbd_tool_options_next(struct cbd_tool_parser *parser)
{
    char letters[2 * (CBD_TOOL_OPTIONS_MAX + COMMON_COUNT) + 3];
    struct option longs[CBD_TOOL_OPTIONS_MAX + COMMON_COUNT + 1];
    int index = -1, code;

    make_tables(parser->usage, letters, longs);
    if (!parser->started)
        optind = 0; /* glibc: forget any earlier command line */
    parser->started = true;
    opterr = 0;
    code = getopt_long(parser->argc, parser->argv, letters, longs, &index);
    if (code == -1)
        return operands(parser);
    if (code == '?' || code == ':')
        return mistake(parser, code);
    if (index >= 0) {
        const char *word = long_word(parser);

        if (strcspn(word, "=") != strlen(longs[index].name) + 2) {
            parser->exit_code = cbd_tool_usage_error(
                parser->usage, "unknown option '%s' (is '--%s' meant?)", word, longs[index].name);
            return CBD_TOOL_EXIT;
        }
    }
    if (code == 'h') {
        print_help(parser->usage);
        return printed(parser);
    }
    if (code == 'V') {
        printf("%s %s\n", parser->usage->program, cbd_tool_version());
        return printed(parser);
    }
    parser->key = code;
    parser->argument = optarg;
    return CBD_TOOL_OPTION;
}
