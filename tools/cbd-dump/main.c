/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-dump: shows what is on a cache device, whole or not. Opens it for reading only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/pcache.h"
#include "dump.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    KEY_SUPER = 256,
    KEY_BACKENDS,
    KEY_SEGMENTS,
    KEY_KEYS,
    KEY_MAP,
    KEY_RANGE,
    KEY_BACKEND,
    KEY_HEX,
    KEY_IMAGE,
    KEY_ANONYMIZE,
    KEY_JSON,
};

static const struct cbd_tool_option options[] = {
    {KEY_SUPER, "super", NULL, "the three superblocks"},
    {KEY_BACKENDS, "backends", NULL, "backend entries and states"},
    {KEY_SEGMENTS, "segments", NULL, "every segment, with a bar of what it holds"},
    {KEY_KEYS, "keys", NULL, "every record of every segment in use"},
    {KEY_MAP, "map", NULL,
     "a picture of the segments: owner, state, dirty share, age;\n"
     "with --json the same as --segments"},
    {KEY_RANGE, "range", "A..B",
     "with --keys: only records that touch bytes A to B-1 of\n"
     "the backing device; no B: to its end"},
    {KEY_BACKEND, "backend", "NAME", "only what belongs to this backend"},
    {KEY_HEX, "hex", NULL, "the bytes beside the fields; with --keys the headers too"},
    {KEY_IMAGE, "image", "FILE",
     "make FILE, a sparse file with everything but the data, for\n"
     "cbd-check, cbd-dump and cbd-format --from-image"},
    {KEY_ANONYMIZE, "anonymize", NULL,
     "with --image: other names, labels, UUIDs, paths and\n"
     "checksums of data"},
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
    .footer = "Sizes are bytes, or have the suffix K, M, G or T.\n"
              "Exit codes: 0 shown, 4 shown and some of it is damaged, 8 there is no cache or it\n"
              "cannot be read, 16 wrong usage.",
};

/* "A..B", "A..": 0 or an exit code. */
static int take_range(struct dump *d, const char *text)
{
    const char *dots = strstr(text, "..");
    char first[64], why[256];

    if (dots == NULL || (size_t)(dots - text) >= sizeof(first))
        return cbd_tool_usage_error(&usage, "--range: got '%s', limit two sizes: A..B", text);
    memcpy(first, text, (size_t)(dots - text));
    first[dots - text] = '\0';
    d->range_end = UINT64_MAX;
    if (cbd_tool_parse_size("--range", first, &d->range_first, why, sizeof(why)) != 0 ||
        (dots[2] != '\0' &&
         cbd_tool_parse_size("--range", dots + 2, &d->range_end, why, sizeof(why)) != 0))
        return cbd_tool_usage_error(&usage, "%s", why);
    if (d->range_end <= d->range_first)
        return cbd_tool_usage_error(&usage, "--range: got '%s', limit A below B", text);
    return 0;
}

static int take_option(const struct cbd_tool_parser *parser, struct dump *d, bool *json)
{
    switch (parser->key) {
    case KEY_SUPER:
        d->super = true;
        return 0;
    case KEY_BACKENDS:
        d->backends = true;
        return 0;
    case KEY_SEGMENTS:
        d->segments = true;
        return 0;
    case KEY_KEYS:
        d->keys = true;
        return 0;
    case KEY_MAP:
        d->map = true;
        return 0;
    case KEY_RANGE:
        return take_range(d, parser->argument);
    case KEY_BACKEND:
        d->backend_name = parser->argument;
        return 0;
    case KEY_HEX:
        d->hex = true;
        return 0;
    case KEY_IMAGE:
        d->image = parser->argument;
        return 0;
    case KEY_ANONYMIZE:
        d->anonymize = true;
        return 0;
    case KEY_JSON:
        *json = true;
        return 0;
    default:
        abort();
    }
}

/* Whether the options go together. 0 or an exit code. */
static int select_parts(struct dump *d, bool json)
{
    bool any = d->super || d->backends || d->segments || d->keys || d->map;

    if (d->range_end != 0 && !d->keys)
        return cbd_tool_usage_error(&usage, "--range needs --keys");
    if (d->anonymize && d->image == NULL)
        return cbd_tool_usage_error(&usage, "--anonymize needs --image");
    if (d->image != NULL && (any || d->hex || d->backend_name != NULL))
        return cbd_tool_usage_error(&usage, "--image makes a file and shows nothing: only "
                                            "--anonymize and --json go with it");
    if (!any && d->image == NULL)
        d->super = d->backends = d->segments = true;
    if (json && d->map)
        d->segments = true;
    return 0;
}

static int parse(int argc, char **argv, struct dump *d, bool *json, bool *end)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    int code = 0;

    *end = true;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION && code == 0)
        code = take_option(&parser, d, json);
    if (code != 0)
        return code;
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    code = select_parts(d, *json);
    if (code != 0)
        return code;
    d->path = parser.operands[0];
    *end = false;
    return 0;
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
            d.document = cbd_tool_json_document("cbd-dump", 1);
        if (cbd_pcache_probe(d.device.pm))
            code = dump_pcache(&d);
        else
            code = d.image != NULL ? dump_make_image(&d) : dump_show(&d);
        code = finish(&d, code);
    }
    free(d.summary);
    cbd_tool_device_close(&d.device);
    return code;
}
