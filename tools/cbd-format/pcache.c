/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-format --type dm-pcache: an empty device for the kernel's driver; and what it would destroy. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cbd/pcache.h"
#include "format_tool.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"

int format_check_pcache(const struct arguments *a, const struct cbd_tool_device *device)
{
    struct cbd_pcache_check_options options = {0};
    struct cbd_pcache_sink sink = {0};
    struct cbd_pcache_summary s;
    int error;

    if (!cbd_pcache_probe(device->pm) || (a->force && a->discard_dirty))
        return 0;
    error = cbd_pcache_check(device->pm, device->env, &options, &sink, &s);
    if (error == 0 && s.errors == 0 && s.view.dirty_key_count == 0)
        return 0;
    if (error == 0 && s.view.dirty_key_count != 0)
        cbd_tool_error(a->path,
                       "not formatted: dm-pcache has %" PRIu64
                       " dirty bytes on it. To save them: cbd-ctl %s writeback --backing DISK. To "
                       "lose them: -f --discard-dirty",
                       s.view.dirty_bytes, a->path);
    else
        cbd_tool_error(a->path, "not formatted: the dm-pcache device is damaged and may hold dirty "
                                "data (cbd-check says more). To lose it: -f --discard-dirty");
    return CBD_EXIT_OPERATIONAL;
}

static int show(const struct arguments *a, uint64_t device_bytes)
{
    uint32_t count = cbd_pcache_capacity(device_bytes);
    json_t *document;
    int error;

    if (a->json) {
        document = cbd_tool_json_document("cbd-format", 1);
        cbd_tool_json_text(document, "device", a->path);
        cbd_tool_json_text(document, "media", "dm-pcache");
        cbd_tool_json_bool(document, "written", !a->dry_run);
        cbd_tool_json_u64(document, "device_bytes", device_bytes);
        cbd_tool_json_u64(document, "segments", count);
        cbd_tool_json_u64(document, "segment_bytes", CBD_PCACHE_SEGMENT_BYTES);
        cbd_tool_json_bool(document, "data_checksums", a->data_crc);
        error = cbd_tool_json_print(document, stdout);
        json_decref(document);
    } else {
        printf("%s: %s\n", a->path,
               a->dry_run ? "would be formatted for dm-pcache; nothing was written"
                          : "formatted for dm-pcache");
        printf("  device         %" PRIu64 " bytes\n", device_bytes);
        printf("  segments       %" PRIu32 " of 16MiB\n", count);
        printf("  data checksums %s\n",
               a->data_crc ? "yes (data_crc true)" : "no (data_crc false)");
        error = fflush(stdout) == 0 && !ferror(stdout) ? 0 : CBD_E_SYSTEM;
    }
    if (error == 0)
        return 0;
    cbd_tool_error(NULL, "standard output: cannot be written");
    return CBD_EXIT_OPERATIONAL;
}

static int plan(const struct arguments *a, uint64_t device_bytes)
{
    if (device_bytes < CBD_PCACHE_DEVICE_BYTES_MIN) {
        cbd_tool_error(a->path, "too small: got %" PRIu64 " bytes, limit at least %u", device_bytes,
                       CBD_PCACHE_DEVICE_BYTES_MIN);
        return CBD_EXIT_OPERATIONAL;
    }
    if (cbd_pcache_capacity(device_bytes) <= CBD_PCACHE_SEGMENTS_MAX)
        return 0;
    cbd_tool_error(a->path, "device too large: got %" PRIu32 " segments, limit %u",
                   cbd_pcache_capacity(device_bytes), CBD_PCACHE_SEGMENTS_MAX);
    return CBD_EXIT_OPERATIONAL;
}

static int write_device(const struct arguments *a, struct cbd_tool_device *device)
{
    struct cbd_pcache_format_options options = {.data_crc = a->data_crc,
                                                .gc_percent = CBD_PCACHE_GC_PERCENT};
    int error = cbd_pcache_format(device->pm, &options);

    if (error == 0)
        return 0;
    cbd_tool_error_code(a->path, "not formatted", error);
    return CBD_EXIT_OPERATIONAL;
}

int format_pcache(const struct arguments *a)
{
    struct cbd_tool_device device;
    bool create = a->create_bytes != 0;
    unsigned flags = create ? CBD_SHIM_PMEM_CREATE : a->dry_run ? CBD_SHIM_PMEM_READONLY : 0;
    int code = create ? plan(a, a->create_bytes) : 0;

    if (code != 0)
        return code;
    if (create && a->dry_run)
        return show(a, a->create_bytes);
    code = cbd_tool_device_open(&device, a->path, flags, a->create_bytes);
    if (code != 0)
        return code;
    if (!create)
        code = plan(a, device.pm->size_bytes);
    if (code == 0 && !create)
        code = format_may_overwrite(a, &device);
    if (code == 0 && !a->dry_run)
        code = write_device(a, &device);
    if (code == 0)
        code = show(a, device.pm->size_bytes);
    else if (create)
        unlink(a->path);
    cbd_tool_device_close(&device);
    return code;
}
