/* SPDX-License-Identifier: BSD-2-Clause */
/* The layout that cbd-format plans or has made, as text and as JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "cbd/cache.h"
#include "format_tool.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

static uint64_t lost_bytes(const struct cbd_geometry *geo)
{
    return geo->device_bytes - (uint64_t)geo->segment_count * geo->segment_bytes;
}

/* What headers and records take when the cache is full of blocks of 4 KiB. */
static uint64_t record_bytes(const struct cbd_geometry *geo, const struct cbd_memory_need *need)
{
    return (uint64_t)geo->segment_count * geo->segment_bytes - need->blocks * CBD_BLOCK_BYTES;
}

/* The least share: a stream, and the segments that reclaim needs to get on. */
static uint64_t share_min(const struct cbd_geometry *geo)
{
    return (uint64_t)(1 + CBD_SHARE_RESERVE) * geo->segment_bytes;
}

static int show_json(const struct arguments *a, const struct cbd_format_options *o,
                     const struct cbd_geometry *geo)
{
    json_t *document = cbd_tool_json_document("cbd-format", 1);
    struct cbd_memory_need need;
    int error;

    cbd_geometry_memory(geo, &need);
    cbd_tool_json_text(document, "device", a->path);
    cbd_tool_json_bool(document, "written", !a->dry_run);
    cbd_tool_json_uuid(document, "uuid", o->uuid);
    cbd_tool_json_text(document, "label", o->label);
    cbd_tool_json_u64(document, "created_seconds", o->created_s);
    cbd_tool_json_bool(document, "data_checksums", !o->no_data_checksum);
    cbd_tool_json_u64(document, "device_bytes", geo->device_bytes);
    cbd_tool_json_u64(document, "segment_bytes", geo->segment_bytes);
    cbd_tool_json_u64(document, "segments", geo->segment_count);
    cbd_tool_json_u64(document, "cache_bytes", (uint64_t)geo->segment_count * geo->segment_bytes);
    cbd_tool_json_u64(document, "overhead_bytes", lost_bytes(geo));
    cbd_tool_json_u64(document, "atomic_write_bytes", geo->atomic_bytes);
    cbd_tool_json_u64(document, "table_a_offset_bytes", geo->table_a_off);
    cbd_tool_json_u64(document, "table_b_offset_bytes", geo->table_b_off);
    cbd_tool_json_u64(document, "table_bytes", geo->table_bytes);
    cbd_tool_json_u64(document, "data_offset_bytes", geo->data_off);
    cbd_tool_json_u64(document, "superblock_2_offset_bytes", geo->super2_off);
    cbd_tool_json_bool(document, "metadata_image", a->from_image != NULL);
    cbd_tool_json_u64(document, "blocks_of_4k", need.blocks);
    cbd_tool_json_u64(document, "record_overhead_bytes", record_bytes(geo, &need));
    cbd_tool_json_u64(document, "share_min_bytes", share_min(geo));
    cbd_tool_json_u64(document, "index_memory_bytes_max", need.index_bytes);
    cbd_tool_json_u64(document, "other_memory_bytes_max", need.fixed_bytes);
    error = cbd_tool_json_print(document, stdout);
    json_decref(document);
    return error;
}

static void show_text(const struct arguments *a, const struct cbd_format_options *o,
                      const struct cbd_geometry *geo, const char *advice)
{
    char uuid[CBD_TOOL_UUID_TEXT_BYTES], x[CBD_TOOL_SIZE_TEXT_BYTES], y[CBD_TOOL_SIZE_TEXT_BYTES];
    char label[sizeof(o->label)];
    struct cbd_memory_need need;

    cbd_geometry_memory(geo, &need);
    snprintf(label, sizeof(label), "%s", o->label);
    cbd_tool_clean_text(label);
    printf("%s: %s\n", a->path,
           a->dry_run              ? "would be formatted; nothing was written"
           : a->from_image != NULL ? "holds the image"
                                   : "formatted");
    printf("  uuid           %s\n", cbd_tool_uuid_print(o->uuid, uuid));
    if (label[0] != '\0')
        printf("  label          %s\n", label);
    printf("  device         %" PRIu64 " bytes\n", geo->device_bytes);
    printf("  segments       %" PRIu32 " of %s\n", geo->segment_count,
           cbd_tool_size_exact(geo->segment_bytes, x));
    printf("  for caching    %s; %s for superblocks, tables and alignment\n",
           cbd_tool_size_human((uint64_t)geo->segment_count * geo->segment_bytes, x),
           cbd_tool_size_human(lost_bytes(geo), y));
    printf("  data checksums %s\n", o->no_data_checksum ? "no" : "yes");
    printf("  never torn     aligned pieces of %s\n", cbd_tool_size_exact(geo->atomic_bytes, x));
    printf("  records        %s when full of 4 KiB blocks: %" PRIu64 " of them\n",
           cbd_tool_size_human(record_bytes(geo, &need), x), need.blocks);
    printf("  reserve        %u segments of each backend; its share is at least %s\n",
           CBD_SHARE_RESERVE, cbd_tool_size_exact(share_min(geo), x));
    printf("  memory         up to %s for the index, when full of 4 KiB blocks; %s for the rest\n",
           cbd_tool_size_human(need.index_bytes, x), cbd_tool_size_human(need.fixed_bytes, y));
    if (a->from_image != NULL)
        printf("  note           a metadata image: no data, and nothing serves it\n");
    if (advice != NULL)
        printf("  note           %s\n", advice);
}

int format_show(const struct arguments *a, const struct cbd_format_options *options,
                const struct cbd_geometry *geo, const char *advice)
{
    int error;

    if (a->json) {
        error = show_json(a, options, geo);
    } else {
        show_text(a, options, geo, advice);
        error = fflush(stdout) == 0 && !ferror(stdout) ? 0 : CBD_E_SYSTEM;
    }
    if (error == 0)
        return 0;
    cbd_tool_error(NULL, "standard output: cannot be written");
    return CBD_EXIT_OPERATIONAL;
}
