/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-dump: shows what is on a cache device, whole or not. Opens it for reading only. */
#include <stdio.h>
#include <stdlib.h>

#include "dump.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"

enum { KEY_SUPER = 256, KEY_BACKENDS, KEY_SEGMENTS, KEY_KEYS, KEY_JSON };

static const struct cbd_tool_option options[] = {
    {KEY_SUPER, "super", NULL, "the three superblocks"},
    {KEY_BACKENDS, "backends", NULL, "backend entries and states"},
    {KEY_SEGMENTS, "segments", NULL, "every segment, with a bar of what it holds"},
    {KEY_KEYS, "keys", NULL, "every record of every segment in use"},
    {KEY_JSON, "json", NULL, "one JSON document on standard output"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-dump",
    .synopsis = "[OPTIONS] DEVICE",
    .summary = "Shows what is on a CBD cache device. Changes nothing, goes on at damage.\n"
               "Without an option that selects: superblocks, backends and segments.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer = "Exit codes: 0 shown, 4 shown and some of it is damaged, 8 there is no cache or it\n"
              "cannot be read, 16 wrong usage.",
};

static int parse(int argc, char **argv, struct dump *d, bool *json, bool *end)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;

    *end = true;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        switch (parser.key) {
        case KEY_SUPER:
            d->super = true;
            break;
        case KEY_BACKENDS:
            d->backends = true;
            break;
        case KEY_SEGMENTS:
            d->segments = true;
            break;
        case KEY_KEYS:
            d->keys = true;
            break;
        case KEY_JSON:
            *json = true;
            break;
        default:
            abort();
        }
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (!d->super && !d->backends && !d->segments && !d->keys)
        d->super = d->backends = d->segments = true;
    d->path = parser.operands[0];
    *end = false;
    return 0;
}

static void open_document(struct dump *d)
{
    d->document = cbd_tool_json_document("cbd-dump", 1);
    cbd_tool_json_text(d->document, "device", d->path);
    if (d->segments)
        d->json_segments = cbd_tool_json_array(d->document, "segments");
    if (d->keys) {
        d->json_keys = cbd_tool_json_array(d->document, "records");
        d->json_damage = cbd_tool_json_array(d->document, "damage");
    }
}

/* The tables first, then segments and records as they are walked. */
static int show(struct dump *d)
{
    struct cbd_check_options tables = {.flags = 0};
    struct cbd_check_options all = {
        .flags = CBD_CHECK_SCAN | (d->keys ? (unsigned)CBD_CHECK_HEADERS : 0),
        .record = dump_record_found,
        .segment = dump_segment_found,
    };
    int error = cbd_check_run(d->device.pm, d->device.env, &tables, dump_finding, d, d->summary);

    if (d->super)
        dump_supers(d);
    if (d->backends && d->summary->super_valid)
        dump_backends(d);
    if (error == 0 && (d->segments || d->keys))
        error = cbd_check_run(d->device.pm, d->device.env, &all, dump_finding, d, d->summary);
    dump_end_segments(d);
    if (error == 0)
        return d->summary->errors != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
    cbd_tool_error_code(d->path, "superblock", error);
    return CBD_EXIT_OPERATIONAL;
}

static int finish(struct dump *d, int code)
{
    int error;

    if (d->document != NULL) {
        error = cbd_tool_json_print(d->document, stdout);
        json_decref(d->document);
    } else {
        error = fflush(stdout) == 0 && !ferror(stdout) ? 0 : CBD_E_SYSTEM;
    }
    if (error == 0)
        return code;
    cbd_tool_error(NULL, "standard output: cannot be written");
    return code | CBD_EXIT_OPERATIONAL;
}

int main(int argc, char **argv)
{
    static struct dump d;
    bool json = false, end;
    int code = parse(argc, argv, &d, &json, &end);

    if (end)
        return code;
    code = cbd_tool_device_open(&d.device, d.path, CBD_SHIM_PMEM_READONLY, 0);
    if (code != 0)
        return code;
    d.summary = malloc(sizeof(*d.summary));
    if (d.summary == NULL) {
        cbd_tool_error_code(d.path, "cannot be shown", CBD_E_NOMEM);
        code = CBD_EXIT_OPERATIONAL;
    } else {
        if (json)
            open_document(&d);
        code = finish(&d, show(&d));
    }
    free(d.summary);
    cbd_tool_device_close(&d.device);
    return code;
}
