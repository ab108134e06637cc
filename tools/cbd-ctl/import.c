/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cbd-ctl import: what is dirty on a device of dm-pcache moves into a backend of a CBD cache, in the
 * order of the log, with a flush behind each key set; then nothing is cached on the device. Nothing
 * but space that runs out brings data to the disk meanwhile. What was interrupted goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cbd/pcache.h"
#include "cbd/shim/disk.h"
#include "cbd/shim/runner.h"
#include "pcache.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_size.h"

struct import {
    const struct ctl *ctl;
    struct ctl to; /* as if the new cache were DEVICE */
    struct cbd_tool_device from_device, to_device;
    struct cbd_pcache pc;
    struct cbd_cache *cache;
    struct cbd_disk *disk;
    struct cbd_backend *backend;
    uint32_t block_bytes; /* of the backend */
};

static int explain(const struct import *m, int error, uint64_t differs_at,
                   const struct cbd_pcache_drained *out)
{
    if (error == CBD_E_MISMATCH || (error == CBD_E_RANGE && out->ksets == 0))
        cbd_tool_error(m->ctl->backing, "is not the disk of %s: byte %" PRIu64 " differs",
                       m->ctl->path, differs_at);
    else if (error == CBD_E_READONLY && out->ksets == 0)
        cbd_tool_error(m->ctl->path, "not moved: a metadata image has no data");
    else if (error == CBD_E_INVALID)
        cbd_tool_error(m->ctl->path,
                       "not moved: it holds pieces of less than the %" PRIu32
                       " bytes of a block of backend '%s' (cbd-ctl writeback takes them)",
                       m->block_bytes, m->ctl->name);
    else
        cbd_tool_error(m->ctl->path,
                       "not all was moved: stopped at %" PRIu32 ":%" PRIu32 ": %s; the same "
                       "command goes on",
                       out->head.seg, out->head.off_bytes, cbd_error_sentence(error));
    return CBD_EXIT_OPERATIONAL;
}

static int move(struct import *m)
{
    char size[CBD_TOOL_SIZE_TEXT_BYTES];
    struct cbd_pcache_drained out;
    struct cbd_shim_runner *runner;
    struct cbd_shim_error err;
    uint64_t differs_at;
    int error;

    if (cbd_shim_runner_start(m->to_device.env, m->backend, NULL, &runner, &err) != 0) {
        cbd_tool_error(NULL, "%s", err.text);
        return CBD_EXIT_OPERATIONAL;
    }
    error = cbd_pcache_import(&m->pc, m->disk, m->block_bytes, m->backend, &differs_at, &out);
    cbd_shim_runner_stop(runner);
    if (error != 0)
        return explain(m, error, differs_at, &out);
    printf("%s: %s in %" PRIu64 " keys moved to backend '%s' of %s; nothing is left on it\n",
           m->ctl->path, cbd_tool_size_human(out.bytes, size), out.keys, m->ctl->name, m->ctl->to);
    return ctl_end_output(NULL);
}

/* The device must be sound: what is doubtful is for cbd-check and writeback. */
static int examine(struct import *m)
{
    struct cbd_pcache_check_options options = {.data = true, .backing_bytes = m->disk->size_bytes};
    struct cbd_pcache_sink sink = {0}, silent = {0};
    struct cbd_pcache_summary s;
    int error = cbd_pcache_check(m->from_device.pm, m->from_device.env, &options, &sink, &s);

    if (error == 0 && s.drain_doubtful) {
        cbd_tool_error(m->ctl->path, "not moved: its data is doubtful (cbd-check --data says why)");
        return CBD_EXIT_OPERATIONAL;
    }
    if (error == 0)
        error = cbd_pcache_open(m->from_device.pm, m->from_device.env, &silent, &m->pc);
    if (error == 0)
        return 0;
    cbd_tool_error_code(m->ctl->path, "cannot be examined", error);
    return CBD_EXIT_OPERATIONAL;
}

static int with_devices(struct import *m)
{
    /* Write-back only makes room. What is compared need not be cached. */
    struct cbd_attach_options options = {
        .dirty_start_percent = 80, .dirty_urgent_percent = 90, .no_fill = true};
    struct cbd_backend_info info;
    uint32_t id = 0;
    int error, code = ctl_lookup(&m->to, m->cache, &id);

    if (code != 0 || !cbd_backend_info(m->cache, id, &info))
        return code != 0 ? code : CBD_EXIT_OPERATIONAL;
    m->block_bytes = info.logical_block_bytes;
    code = ctl_open_disk(m->ctl->backing, info.logical_block_bytes, false, &m->disk);
    if (code == 0)
        code = examine(m);
    if (code != 0)
        return code;
    error = cbd_backend_attach(m->cache, id, m->disk, &options, &m->backend);
    if (error != 0) {
        cbd_tool_error(m->ctl->to, "backend '%s': cannot be attached: %s", m->ctl->name,
                       cbd_error_sentence(error));
        return CBD_EXIT_OPERATIONAL;
    }
    code = move(m);
    /* As it is: what is dirty stays so, and the next attach finds it. */
    cbd_backend_abandon(m->backend);
    return code;
}

int pcache_import(const struct ctl *ctl)
{
    struct import *m = calloc(1, sizeof(*m));
    int code;

    if (m == NULL)
        return CBD_EXIT_OPERATIONAL;
    m->ctl = ctl;
    m->to = *ctl;
    m->to.path = ctl->to;
    code = cbd_tool_device_open(&m->from_device, ctl->path, 0, 0);
    if (code == 0) {
        code = ctl_open(&m->to, false, &m->to_device, &m->cache);
        if (code == 0) {
            code = with_devices(m);
            cbd_pcache_close(&m->pc);
            cbd_shim_disk_close(m->disk);
            ctl_close(&m->to_device, m->cache);
        }
        cbd_tool_device_close(&m->from_device);
    }
    free(m);
    return code;
}
