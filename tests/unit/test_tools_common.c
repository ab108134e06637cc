/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tools share: sizes, command lines, messages, JSON, UUIDs, progress, answers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tool_answer.h"
#include "tool_exit.h"
#include "tool_interrupt.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_progress.h"
#include "tool_size.h"
#include "tool_uuid.h"

/* Runs between capture_begin() and capture_end() write into a file instead of `stream`. */
static FILE *captured;
static int saved_fd;

static void capture_begin(FILE *stream)
{
    fflush(stream);
    captured = tmpfile();
    assert_non_null(captured);
    saved_fd = dup(fileno(stream));
    assert_true(saved_fd >= 0);
    assert_true(dup2(fileno(captured), fileno(stream)) >= 0);
}

static const char *capture_end(FILE *stream)
{
    static char text[16384];
    size_t len;

    fflush(stream);
    dup2(saved_fd, fileno(stream));
    close(saved_fd);
    rewind(captured);
    len = fread(text, 1, sizeof(text) - 1, captured);
    text[len] = '\0';
    fclose(captured);
    return text;
}

static void size_parser_table(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"4096", true, 4096},
        {"4K", true, 4096},
        {"4k", true, 4096},
        {"4KiB", true, 4096},
        {"16M", true, UINT64_C(16) << 20},
        {"16MiB", true, UINT64_C(16) << 20},
        {"3g", true, UINT64_C(3) << 30},
        {"2TiB", true, UINT64_C(2) << 40},
        {"16777215T", true, UINT64_C(16777215) << 40},
        {"16777216T", false, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551615K", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"K", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.5G", false, 0},
        {"0x10", false, 0},
        {"4KB", false, 0},
        {"4Ki", false, 0},
        {"4iB", false, 0},
        {"4B", false, 0},
        {"4KiBx", false, 0},
        {"4P", false, 0},
        {"12Q", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[128] = "";
        uint64_t value = 77;
        int error = cbd_tool_parse_size("--size", rows[i].text, &value, why, sizeof(why));

        if ((error == 0) != rows[i].valid || value != (rows[i].valid ? rows[i].value : 77))
            fail_msg("'%s': error %d, value %llu", rows[i].text, error, (unsigned long long)value);
        if (!rows[i].valid && strncmp(why, "--size: got '", 13) != 0)
            fail_msg("'%s': '%s'", rows[i].text, why);
    }
}

static void number_parser_keeps_limits(void **state)
{
    char why[128];
    uint64_t value;

    (void)state;
    assert_int_equal(cbd_tool_parse_number("-n", "8", 1, 8, &value, why, sizeof(why)), 0);
    assert_int_equal(value, 8);
    assert_int_equal(cbd_tool_parse_number("-n", "9", 1, 8, &value, why, sizeof(why)),
                     CBD_E_INVALID);
    assert_string_equal(why, "-n: got '9', limit a number of 1..8");
    assert_int_equal(cbd_tool_parse_number("-n", "0", 1, 8, &value, why, sizeof(why)),
                     CBD_E_INVALID);
    assert_int_equal(cbd_tool_parse_number("-n", "4K", 1, 8192, &value, why, sizeof(why)),
                     CBD_E_INVALID);
}

static void sizes_are_printed_exactly_and_for_people(void **state)
{
    char buf[CBD_TOOL_SIZE_TEXT_BYTES];

    (void)state;
    assert_string_equal(cbd_tool_size_exact(0, buf), "0");
    assert_string_equal(cbd_tool_size_exact(1000, buf), "1000");
    assert_string_equal(cbd_tool_size_exact(UINT64_C(1536) << 10, buf), "1536KiB");
    assert_string_equal(cbd_tool_size_exact(UINT64_C(5) << 50, buf), "5120TiB");
    assert_string_equal(cbd_tool_size_human(1023, buf), "1023 B");
    assert_string_equal(cbd_tool_size_human(1536, buf), "1.5 KiB");
    assert_string_equal(cbd_tool_size_human((UINT64_C(1) << 20) - 1, buf), "1.0 MiB");
    assert_string_equal(cbd_tool_size_human(UINT64_MAX, buf), "16777216.0 TiB");
    assert_string_equal(cbd_tool_percent(3, 8, buf), "37.5%");
    assert_string_equal(cbd_tool_percent(1999, 2000, buf), "99.9%");
    assert_string_equal(cbd_tool_percent(0, 0, buf), "0.0%");
    assert_string_equal(cbd_tool_percent(UINT64_MAX, UINT64_MAX, buf), "100.0%");
}

static void uuid_round_trip(void **state)
{
    static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
    uint8_t uuid[CBD_TOOL_UUID_BYTES];
    char buf[CBD_TOOL_UUID_TEXT_BYTES];

    (void)state;
    assert_int_equal(cbd_tool_uuid_parse(text, uuid), 0);
    assert_int_equal(uuid[0], 0x01);
    assert_int_equal(uuid[15], 0xef);
    assert_string_equal(cbd_tool_uuid_print(uuid, buf), text);
    assert_int_equal(cbd_tool_uuid_parse("01234567-89AB-CDEF-0123-456789ABCDEF", uuid), 0);
    assert_string_equal(cbd_tool_uuid_print(uuid, buf), text);
    assert_int_equal(cbd_tool_uuid_random(uuid), 0);
    cbd_tool_uuid_print(uuid, buf);
    assert_int_equal(buf[14], '4');
    assert_int_equal(cbd_tool_uuid_parse(buf, uuid), 0);
}

static void uuid_garbage_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "01234567",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef0",
        "01234567089ab-cdef-0123-456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcdeg",
        "{1234567-89ab-cdef-0123-456789abcdef",
    };
    uint8_t uuid[CBD_TOOL_UUID_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cbd_tool_uuid_parse(bad[i], uuid), CBD_E_INVALID);
}

static const struct cbd_tool_option options[] = {
    {'f', "force", NULL, "do it"},
    {'s', "size", "SIZE", "how large\nin bytes"},
    {300, "discard-dirty", NULL, "lose data"},
    {'q', NULL, NULL, "be quiet"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-test",
    .synopsis = "[OPTIONS] DEVICE",
    .options = options,
    .option_count = 4,
    .operands_min = 1,
    .operands_max = 1,
};

/* Parses to the end; the last answer is returned and the keys are noted in text. */
static enum cbd_tool_next parse(struct cbd_tool_parser *parser, const struct cbd_tool_usage *u,
                                char *keys, const char *const *words)
{
    static char *argv[16];
    enum cbd_tool_next next;
    int argc = 0;

    for (; words[argc] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    cbd_tool_options_begin(parser, u, argc, argv);
    while ((next = cbd_tool_options_next(parser)) == CBD_TOOL_OPTION)
        keys += sprintf(keys, "%d%s%s ", parser->key, parser->argument != NULL ? "=" : "",
                        parser->argument != NULL ? parser->argument : "");
    *keys = '\0';
    return next;
}

#define WORDS(...) ((const char *const[]){"cbd-test", __VA_ARGS__, NULL})

static void options_are_read_in_any_order(void **state)
{
    struct cbd_tool_parser parser;
    char keys[256];

    (void)state;
    assert_int_equal(
        parse(&parser, &usage, keys,
              WORDS("/dev/x", "-f", "--size=4K", "--size", "5", "-s6", "-q", "--discard-dirty")),
        CBD_TOOL_OPERANDS);
    assert_string_equal(keys, "102 115=4K 115=5 115=6 113 300 ");
    assert_int_equal(parser.operand_count, 1);
    assert_string_equal(parser.operands[0], "/dev/x");
    assert_string_equal(cbd_tool_program(), "cbd-test");
}

static void options_stop_at_a_subcommand(void **state)
{
    struct cbd_tool_usage u = usage;
    struct cbd_tool_parser parser;
    char keys[256];

    (void)state;
    u.stop_at_operand = true;
    u.operands_max = 3;
    assert_int_equal(parse(&parser, &u, keys, WORDS("-f", "stat", "-z", "x")), CBD_TOOL_OPERANDS);
    assert_string_equal(keys, "102 ");
    assert_int_equal(parser.operand_count, 3);
}

static void assert_mistake(const char *const *words, const char *part)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    const char *text;
    char keys[256];

    capture_begin(stderr);
    next = parse(&parser, &usage, keys, words);
    text = capture_end(stderr);
    assert_int_equal(next, CBD_TOOL_EXIT);
    assert_int_equal(parser.exit_code, CBD_EXIT_USAGE);
    assert_non_null(strstr(text, "cbd-test: "));
    assert_non_null(strstr(text, "Usage: cbd-test [OPTIONS] DEVICE\n"));
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, text);
}

static void mistakes_on_the_command_line_are_named(void **state)
{
    (void)state;
    assert_mistake(WORDS("--nonsense", "x"), "unknown option '--nonsense'");
    assert_mistake(WORDS("--nonsense=1", "x"), "unknown option '--nonsense=1'");
    assert_mistake(WORDS("-fz", "x"), "unknown option '-z'");
    assert_mistake(WORDS("x", "-s"), "option '-s': its value is missing");
    assert_mistake(WORDS("x", "--size"), "option '--size': its value is missing");
    assert_mistake(WORDS("x", "--force=yes"), "option '--force' takes no value");
    assert_mistake(WORDS("x", "--discard"), "is '--discard-dirty' meant?");
    assert_mistake(WORDS("x", "--siz=3"), "is '--size' meant?");
    assert_mistake(WORDS("x", "--siz", "3"), "is '--size' meant?");
    assert_mistake(WORDS("-f"), "operands: got 0, limit 1..1");
    assert_mistake(WORDS("x", "y"), "operands: got 2, limit 1..1");
}

static void help_and_version_go_to_standard_output(void **state)
{
    struct cbd_tool_parser parser;
    const char *text;
    char keys[256];

    (void)state;
    capture_begin(stdout);
    parse(&parser, &usage, keys, WORDS("--help"));
    text = capture_end(stdout);
    assert_int_equal(parser.exit_code, CBD_EXIT_CLEAN);
    assert_non_null(strstr(text, "Usage: cbd-test [OPTIONS] DEVICE\n"));
    assert_non_null(strstr(text, "  -s, --size=SIZE             how large\n"
                                 "                              in bytes\n"));
    assert_non_null(strstr(text, "      --discard-dirty         lose data\n"));
    assert_non_null(strstr(text, "  -q                          be quiet\n"));
    assert_non_null(strstr(text, "  -V, --version               show the version\n"));
    capture_begin(stdout);
    parse(&parser, &usage, keys, WORDS("-V"));
    text = capture_end(stdout);
    assert_int_equal(parser.exit_code, CBD_EXIT_CLEAN);
    assert_memory_equal(text, "cbd-test ", 9);
    assert_non_null(strstr(text, cbd_tool_version()));
}

static void messages_name_program_path_got_and_limit(void **state)
{
    struct cbd_report report = {.severity = CBD_ERROR,
                                .what = "superblock",
                                .sentence = "bad checksum",
                                .index = 2,
                                .off_bytes = 4096,
                                .got = 7,
                                .limit = 9};

    (void)state;
    cbd_tool_set_program("cbd-format");
    capture_begin(stderr);
    cbd_tool_error_limit("/path", "segments", 3, 8);
    cbd_tool_error(NULL, "label '%s'", "a\033[31mb\nc\xc2\x9b");
    cbd_tool_report("/path", &report);
    assert_string_equal(capture_end(stderr),
                        "cbd-format: /path: segments: got 3, limit 8\n"
                        "cbd-format: label 'a?[31mb?c?\?'\n"
                        "cbd-format: /path: error: superblock 2 at 0x1000: bad checksum: "
                        "got 7, limit 9\n");
}

static void json_keeps_order_and_integers(void **state)
{
    static const uint8_t uuid[CBD_TOOL_UUID_BYTES] = {0xab};
    json_t *document = cbd_tool_json_document("test", 1);
    FILE *out = tmpfile();
    char text[1024];
    json_t *list;
    size_t len;

    (void)state;
    assert_non_null(out);
    cbd_tool_json_u64(document, "z", INT64_MAX);
    cbd_tool_json_u64(document, "a", UINT64_MAX);
    cbd_tool_json_bool(document, "b", true);
    cbd_tool_json_bytes(document, "label", "x\xff\xc3\xa9\xed\xa0\x80\0y", 9);
    cbd_tool_json_uuid(document, "uuid", uuid);
    list = cbd_tool_json_array(document, "list");
    cbd_tool_json_u64(cbd_tool_json_append_object(list), "n", 1);
    assert_int_equal(cbd_tool_json_print(document, out), 0);
    json_decref(document);
    rewind(out);
    len = fread(text, 1, sizeof(text) - 1, out);
    text[len] = '\0';
    fclose(out);
    assert_string_equal(text, "{\n"
                              "  \"format\": \"test\",\n"
                              "  \"format_version\": 1,\n"
                              "  \"z\": 9223372036854775807,\n"
                              "  \"a\": \"18446744073709551615\",\n"
                              "  \"b\": true,\n"
                              "  \"label\": \"x\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
                              "\xef\xbf\xbd\",\n"
                              "  \"uuid\": \"ab000000-0000-0000-0000-000000000000\",\n"
                              "  \"list\": [\n"
                              "    {\n"
                              "      \"n\": 1\n"
                              "    }\n"
                              "  ]\n"
                              "}\n");
}

static void json_to_a_full_device_is_an_error(void **state)
{
    json_t *document = cbd_tool_json_document("test", 1);
    FILE *out = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(out);
    assert_int_equal(cbd_tool_json_print(document, out), CBD_E_SYSTEM);
    fclose(out);
    json_decref(document);
}

static void progress_lines_for_programs(void **state)
{
    struct cbd_tool_progress progress;
    FILE *out = tmpfile();
    char text[256];
    size_t len;

    (void)state;
    assert_non_null(out);
    cbd_tool_progress_open(&progress, fileno(out));
    cbd_tool_progress_begin(&progress, "tables", 100);
    cbd_tool_progress_update(&progress, 10);
    cbd_tool_progress_end(&progress);
    cbd_tool_progress_begin(&progress, "segments", 7);
    cbd_tool_progress_end(&progress);
    rewind(out);
    len = fread(text, 1, sizeof(text) - 1, out);
    text[len] = '\0';
    fclose(out);
    assert_string_equal(text, "1 10 100 tables\n1 100 100 tables\n2 7 7 segments\n");
}

static void progress_is_silent_without_a_terminal(void **state)
{
    struct cbd_tool_progress progress;

    (void)state;
    capture_begin(stderr);
    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "tables", 100);
    cbd_tool_progress_update(&progress, 10);
    cbd_tool_progress_end(&progress);
    assert_string_equal(capture_end(stderr), "");
}

/* A child that asks with `typed` on standard input, which stays open; 0: it got `want`. */
static int asks(const char *typed, size_t len, const char *want, void (*before)(void))
{
    int in[2], status;
    pid_t pid;

    assert_int_equal(pipe(in), 0);
    assert_int_equal(write(in[1], typed, len), len);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char answer[4] = "?";

        dup2(in[0], STDIN_FILENO);
        if (want == NULL)
            close(in[1]);
        before();
        if (!cbd_tool_answer(answer, sizeof(answer)))
            _exit(1);
        _exit(want != NULL && strcmp(answer, want) == 0 ? 0 : 2);
    }
    if (want == NULL)
        close(in[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (want != NULL)
        close(in[1]);
    close(in[0]);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void nothing(void)
{
}

static void signal_first(void)
{
    cbd_tool_interrupt_catch();
    raise(SIGINT);
}

static void signal_later(void)
{
    cbd_tool_interrupt_catch();
    if (fork() == 0) {
        usleep(20000);
        kill(getppid(), SIGTERM);
        _exit(0);
    }
}

static void an_answer_is_one_line(void **state)
{
    static const char long_line[] =
        "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\nn\n";

    (void)state;
    assert_int_equal(asks("y\nn\n", 4, "y", nothing), 0);
    assert_int_equal(asks("\n", 1, "", nothing), 0);
    assert_int_equal(asks(long_line, sizeof(long_line) - 1, "yyy", nothing), 0);
    assert_int_equal(asks("y", 1, NULL, nothing), 1);
    assert_int_equal(asks("", 0, NULL, nothing), 1);
}

/* No signal is slept over: before the question, or while nobody answers. */
static void a_signal_ends_a_question(void **state)
{
    (void)state;
    assert_int_equal(asks("", 0, "y", signal_first), 1);
    assert_int_equal(asks("", 0, "y", signal_later), 1);
    assert_int_equal(asks("y\n", 2, "y", signal_first), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_parser_table),
        cmocka_unit_test(number_parser_keeps_limits),
        cmocka_unit_test(sizes_are_printed_exactly_and_for_people),
        cmocka_unit_test(uuid_round_trip),
        cmocka_unit_test(uuid_garbage_is_refused),
        cmocka_unit_test(options_are_read_in_any_order),
        cmocka_unit_test(options_stop_at_a_subcommand),
        cmocka_unit_test(mistakes_on_the_command_line_are_named),
        cmocka_unit_test(help_and_version_go_to_standard_output),
        cmocka_unit_test(messages_name_program_path_got_and_limit),
        cmocka_unit_test(json_keeps_order_and_integers),
        cmocka_unit_test(json_to_a_full_device_is_an_error),
        cmocka_unit_test(progress_lines_for_programs),
        cmocka_unit_test(progress_is_silent_without_a_terminal),
        cmocka_unit_test(an_answer_is_one_line),
        cmocka_unit_test(a_signal_ends_a_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
