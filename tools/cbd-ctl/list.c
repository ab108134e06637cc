/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl backend list and cbd-ctl stat: what is configured, and what is in the cache. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

int ctl_end_output(json_t *document)
{
    int error;

    if (document != NULL) {
        error = cbd_tool_json_print(document, stdout);
        json_decref(document);
    } else {
        error = fflush(stdout) == 0 && !ferror(stdout) ? 0 : CBD_E_SYSTEM;
    }
    if (error == 0)
        return CBD_EXIT_CLEAN;
    cbd_tool_error(NULL, "standard output: cannot be written");
    return CBD_EXIT_OPERATIONAL;
}

static json_t *json_backend(json_t *array, const struct cbd_backend_info *info,
                            uint64_t segment_bytes)
{
    json_t *o = cbd_tool_json_append_object(array);

    cbd_tool_json_u64(o, "id", info->id);
    cbd_tool_json_text(o, "name", info->name);
    cbd_tool_json_uuid(o, "uuid", info->uuid);
    cbd_tool_json_text(o, "backing", info->path);
    cbd_tool_json_u64(o, "size_bytes", info->size_bytes);
    cbd_tool_json_u64(o, "logical_block_bytes", info->logical_block_bytes);
    cbd_tool_json_u64(o, "streams", info->streams);
    cbd_tool_json_u64(o, "segments", info->segments);
    cbd_tool_json_u64(o, "cache_bytes", info->segments * segment_bytes);
    cbd_tool_json_bool(o, "unclean", info->was_attached);
    cbd_tool_json_u64(o, "epoch_written", info->epoch_written);
    cbd_tool_json_u64(o, "horizon", info->horizon);
    cbd_tool_json_u64(o, "attaches", info->attaches);
    cbd_tool_json_u64(o, "created_seconds", info->created_s);
    return o;
}

static void text_backend(struct cbd_backend_info *info, uint64_t segment_bytes)
{
    char size[CBD_TOOL_SIZE_TEXT_BYTES], share[CBD_TOOL_SIZE_TEXT_BYTES];

    cbd_tool_clean_text(info->name);
    cbd_tool_clean_text(info->path);
    printf("%-16s %12s %12s  %-8s %s\n", info->name, cbd_tool_size_human(info->size_bytes, size),
           cbd_tool_size_human(info->segments * segment_bytes, share),
           info->was_attached ? "unclean" : "detached", info->path);
}

int ctl_list(const struct ctl *ctl)
{
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    struct cbd_backend_info info;
    json_t *document = NULL, *array = NULL;
    uint64_t segment_bytes;
    int code = ctl_open(ctl, true, &device, &cache);

    if (code != 0)
        return code;
    segment_bytes = cbd_cache_super(cache)->geo.segment_bytes;
    if (ctl->json) {
        document = cbd_tool_json_document("cbd-ctl backend list", 1);
        cbd_tool_json_text(document, "device", ctl->path);
        cbd_tool_json_u64(document, "unowned_bytes", cbd_cache_unowned(cache) * segment_bytes);
        array = cbd_tool_json_array(document, "backends");
    } else {
        printf("%-16s %12s %12s  %-8s %s\n", "NAME", "SIZE", "CACHE", "STATE", "BACKING");
    }
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        if (!cbd_backend_info(cache, id, &info))
            continue;
        if (array != NULL)
            json_backend(array, &info, segment_bytes);
        else
            text_backend(&info, segment_bytes);
    }
    ctl_close(&device, cache);
    return ctl_end_output(document);
}

static void text_stat(const struct cbd_check_backend *b, struct cbd_backend_info *info,
                      uint64_t segment_bytes)
{
    uint64_t share = info->segments * segment_bytes;
    char cached[CBD_TOOL_SIZE_TEXT_BYTES], percent[CBD_TOOL_SIZE_TEXT_BYTES];
    char dirty[CBD_TOOL_SIZE_TEXT_BYTES], zero[CBD_TOOL_SIZE_TEXT_BYTES];
    char whole[CBD_TOOL_SIZE_TEXT_BYTES];

    cbd_tool_clean_text(info->name);
    printf("%s\n", info->name);
    printf("  cached      %s (%s of %s), %" PRIu64 " records\n",
           cbd_tool_size_human(b->live_bytes, cached),
           cbd_tool_percent(b->live_bytes, share, percent), cbd_tool_size_human(share, whole),
           b->records);
    printf("  dirty       %s and %s of zeroes, %" PRIu64 " records\n",
           cbd_tool_size_human(b->dirty_bytes, dirty),
           cbd_tool_size_human(b->dirty_zero_bytes, zero), b->dirty_records);
    printf("  state       %s, attached %" PRIu64 "%s, written back through epoch %" PRIu64 "\n",
           b->unclean ? "not detached cleanly" : "detached", info->attaches,
           info->attaches == 1 ? " time" : " times", info->epoch_written);
}

static void json_stat(json_t *array, const struct cbd_check_backend *b,
                      const struct cbd_backend_info *info, uint64_t segment_bytes)
{
    json_t *o = json_backend(array, info, segment_bytes);

    cbd_tool_json_u64(o, "records", b->records);
    cbd_tool_json_u64(o, "cached_bytes", b->live_bytes);
    cbd_tool_json_u64(o, "dirty_records", b->dirty_records);
    cbd_tool_json_u64(o, "dirty_bytes", b->dirty_bytes);
    cbd_tool_json_u64(o, "dirty_zero_bytes", b->dirty_zero_bytes);
    cbd_tool_json_u64(o, "unfinished_writes", b->suspects);
}

static int show_stat(const struct ctl *ctl, const struct cbd_cache *cache,
                     const struct cbd_check_summary *s)
{
    uint64_t segment_bytes = cbd_cache_super(cache)->geo.segment_bytes;
    json_t *document = NULL, *array = NULL;

    if (ctl->json) {
        document = cbd_tool_json_document("cbd-ctl stat", 1);
        cbd_tool_json_text(document, "device", ctl->path);
        cbd_tool_json_u64(document, "problems", s->errors);
        cbd_tool_json_u64(document, "unowned_bytes", s->segments_unowned * segment_bytes);
        array = cbd_tool_json_array(document, "backends");
    }
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        struct cbd_backend_info info;

        if (!cbd_backend_info(cache, id, &info))
            continue;
        if (array != NULL)
            json_stat(array, &s->backends[id], &info, segment_bytes);
        else
            text_stat(&s->backends[id], &info, segment_bytes);
    }
    if (s->errors != 0)
        cbd_tool_error(ctl->path, "%" PRIu64 " problems (cbd-check -f names them)", s->errors);
    return ctl_end_output(document) | (s->errors != 0 ? CBD_EXIT_LEFT : CBD_EXIT_CLEAN);
}

int ctl_stat(const struct ctl *ctl)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN};
    struct cbd_check_summary *s = malloc(sizeof(*s));
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    int error = CBD_E_NOMEM;
    int code = ctl_open(ctl, true, &device, &cache);

    if (code != 0) {
        free(s);
        return code;
    }
    if (s != NULL)
        error = cbd_check_run(device.pm, device.env, &options, NULL, NULL, s);
    if (error == 0) {
        code = show_stat(ctl, cache, s);
    } else {
        cbd_tool_error_code(ctl->path, "cannot be examined", error);
        code = CBD_EXIT_OPERATIONAL;
    }
    free(s);
    ctl_close(&device, cache);
    return code;
}
