/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl writeback: attaches backends, writes everything dirty to their disks, detaches. */
#include <inttypes.h>
#include <stdio.h>

#include "cbd/shim/disk.h"
#include "ctl.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_progress.h"
#include "tool_size.h"

/* Dirty data that cannot be read: says where it is, and gives it up when that was asked for. */
static int give_up(const struct ctl *ctl, struct cbd_backend *b,
                   const struct cbd_backend_info *info, int error)
{
    struct cbd_range held[CBD_HELD_MAX];
    bool more;
    uint32_t n = cbd_backend_held(b, held, CBD_HELD_MAX, &more);

    if (n == 0)
        return error;
    for (uint32_t i = 0; i < n; i++)
        cbd_tool_error(ctl->path,
                       "backend '%s': %s: dirty, cannot be read: bytes %" PRIu64 "..%" PRIu64,
                       info->name, ctl->give_up ? "given up" : "holds write-back",
                       held[i].addr_bytes, held[i].addr_bytes + held[i].len_bytes - 1);
    if (more)
        cbd_tool_error(ctl->path, "backend '%s': there is more of it", info->name);
    if (!ctl->give_up) {
        cbd_tool_error(ctl->path, "to save the rest and lose this: --give-up-unreadable");
        return error;
    }
    /* What can be read is written all the same. */
    return cbd_backend_forgo(b, 0, info->size_bytes) == 0 ? 1 : error;
}

/*
 * Steps until nothing is left to do, and shows how far it is. The disk completes in submit(). Each
 * round that gives something up makes progress, or ends with the error again.
 */
static int drain(const struct ctl *ctl, struct cbd_backend *b, const struct cbd_backend_info *info,
                 uint64_t *written_bytes)
{
    struct cbd_tool_progress progress;
    struct cbd_stats stats;
    uint64_t total;
    int did;

    cbd_backend_stats(b, &stats);
    total = stats.dirty_bytes;
    cbd_tool_progress_open(&progress, -1);
    cbd_tool_progress_begin(&progress, "writing back", total);
    cbd_backend_drain(b, true);
    for (;;) {
        did = cbd_backend_step(b, CBD_WORK_WRITEBACK);
        if (did == CBD_E_CORRUPT || did == CBD_E_MEDIA)
            did = give_up(ctl, b, info, did);
        if (did <= 0)
            break;
        cbd_backend_stats(b, &stats);
        cbd_tool_progress_update(&progress, total - stats.dirty_bytes);
    }
    cbd_tool_progress_end(&progress);
    cbd_backend_stats(b, &stats);
    *written_bytes = stats.writeback_bytes;
    return did;
}

struct conflicts {
    const struct ctl *ctl;
    const char *name;
};

static void on_conflict(void *arg, uint64_t addr_bytes, uint64_t len_bytes)
{
    const struct conflicts *cf = arg;

    printf("%s: backend '%s': dirty, goes over what the disk has: %llu bytes at %llu\n",
           cf->ctl->path, cf->name, (unsigned long long)len_bytes, (unsigned long long)addr_bytes);
}

static int write_back(const struct ctl *ctl, struct cbd_cache *cache,
                      const struct cbd_backend_info *info, struct cbd_disk *disk)
{
    char size[CBD_TOOL_SIZE_TEXT_BYTES];
    struct conflicts conflicts = {ctl, info->name};
    struct cbd_attach_options options = {
        .accept_backing = ctl->accept_backing,
        .conflict = on_conflict,
        .conflict_arg = &conflicts,
    };
    struct cbd_backend *b;
    uint64_t written_bytes = 0;
    const char *what = "cannot be attached";
    int error = cbd_backend_attach(cache, info->id, disk, &options, &b);

    if (error == 0) {
        what = "not all was written back";
        error = drain(ctl, b, info, &written_bytes);
        if (error == 0)
            error = cbd_backend_detach(b);
        if (error != 0)
            cbd_backend_abandon(b);
    }
    if (error != 0) {
        cbd_tool_error(ctl->path, "backend '%s': %s: %s", info->name, what,
                       cbd_error_sentence(error));
        if (error == CBD_E_MISMATCH && !ctl->accept_backing)
            cbd_tool_error(ctl->path, "if that is the right disk, changed on purpose: "
                                      "--accept-backing");
        return CBD_EXIT_OPERATIONAL;
    }
    printf("%s: backend '%s': %s written to its disk, nothing is dirty\n", ctl->path, info->name,
           cbd_tool_size_human(written_bytes, size));
    return 0;
}

static int one(const struct ctl *ctl, struct cbd_cache *cache, uint32_t id)
{
    struct cbd_backend_info info;
    const char *path;
    struct cbd_disk *disk;
    int code;

    if (!cbd_backend_info(cache, id, &info))
        return 0;
    cbd_tool_clean_text(info.name);
    path = ctl->backing != NULL ? ctl->backing : info.path;
    if (path[0] == '\0') {
        cbd_tool_error(ctl->path, "backend '%s': its backing device is not known (--backing)",
                       info.name);
        return CBD_EXIT_OPERATIONAL;
    }
    code = ctl_open_disk(path, info.logical_block_bytes, false, &disk);
    if (code != 0)
        return code;
    code = write_back(ctl, cache, &info, disk);
    cbd_shim_disk_close(disk);
    return code;
}

/* All backends, or ctl->name. One that fails does not keep the others from being saved. */
int ctl_writeback(const struct ctl *ctl)
{
    struct cbd_tool_device device;
    struct cbd_cache *cache;
    uint32_t first = 0, last = CBD_BACKENDS - 1;
    int code = ctl_open(ctl, false, &device, &cache);

    if (code != 0)
        return code;
    if (ctl->name != NULL) {
        code = ctl_lookup(ctl, cache, &first);
        last = first;
    }
    for (uint32_t id = first; id <= last && (code == 0 || ctl->name == NULL); id++)
        code |= one(ctl, cache, id);
    ctl_close(&device, cache);
    return code;
}
