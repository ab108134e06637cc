/* SPDX-License-Identifier: BSD-2-Clause */
/* The order in which a cache is shown: tables, then segments and records as the check walks. */
#include <string.h>

#include "dump.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"

static void open_document(struct dump *d)
{
    cbd_tool_json_text(d->document, "device", d->path);
    if (d->segments)
        d->json_segments = cbd_tool_json_array(d->document, "segments");
    if (d->keys) {
        d->json_keys = cbd_tool_json_array(d->document, "records");
        d->json_damage = cbd_tool_json_array(d->document, "damage");
    }
}

/* 0, or the exit code: no backend has the name. */
static int find_backend(struct dump *d)
{
    d->backend = CBD_CHECK_NONE;
    if (d->backend_name == NULL)
        return 0;
    for (uint32_t id = 0; id < CBD_BACKENDS; id++)
        if (d->summary->backends[id].used &&
            strcmp(d->summary->backends[id].name, d->backend_name) == 0) {
            d->backend = id;
            return 0;
        }
    cbd_tool_error(d->path, "backend '%s': there is none of this name", d->backend_name);
    return CBD_EXIT_OPERATIONAL;
}

static int show_segments(struct dump *d)
{
    struct cbd_check_options all = {
        .flags = CBD_CHECK_SCAN | (d->keys ? (unsigned)CBD_CHECK_HEADERS : 0),
        .record = dump_record_found,
        .segment = dump_segment_found,
    };
    int error = d->map && d->document == NULL ? dump_map_begin(d) : 0;

    if (error == 0)
        error = cbd_check_run(d->device.pm, d->device.env, &all, dump_finding, d, d->summary);
    dump_end_segments(d);
    if (d->map_data != NULL)
        dump_map_end(d);
    if (d->json_keys != NULL)
        cbd_tool_json_u64(d->document, "records_omitted", d->json_omitted);
    return error;
}

int dump_show(struct dump *d)
{
    struct cbd_check_options tables = {.flags = 0};
    int error, code = 0;

    if (d->document != NULL)
        open_document(d);
    error = cbd_check_run(d->device.pm, d->device.env, &tables, dump_finding, d, d->summary);
    if (d->summary->super_valid)
        code = find_backend(d);
    if (code != 0)
        return code;
    if (d->super && error != CBD_E_NOTCBD)
        dump_supers(d);
    if (d->backends && d->summary->super_valid)
        dump_backends(d);
    if (error == 0 && (d->segments || d->keys || d->map))
        error = show_segments(d);
    if (error == 0)
        return d->summary->errors != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN;
    cbd_tool_error_code(d->path, d->summary->super_valid ? "cannot be shown" : "superblock", error);
    return CBD_EXIT_OPERATIONAL;
}
