/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl repair on a device of dm-pcache: metadata that the driver needs is written again. */
#include <stdio.h>

#include "cbd/pcache.h"
#include "pcache.h"
#include "tool_exit.h"
#include "tool_message.h"

static const struct {
    unsigned flag;
    const char *text;
} parts[] = {
    {CBD_PCACHE_REPAIR_SEGMENTS, "the chain of segments"},
    {CBD_PCACHE_REPAIR_GEN, "generations"},
    {CBD_PCACHE_REPAIR_TAILS, "tails"},
    {CBD_PCACHE_REPAIR_INFO, "cache_info"},
    {CBD_PCACHE_REPAIR_SUPER, "the superblock"},
};

static int run(const struct ctl *ctl, struct cbd_pcache *pc)
{
    unsigned what = cbd_pcache_repairs(pc);
    int error = 0;

    if (what != 0 && !ctl->dry_run)
        error = cbd_pcache_repair(pc);
    if (error != 0) {
        cbd_tool_error_code(ctl->path, "not repaired", error);
        return CBD_EXIT_OPERATIONAL;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if ((what & parts[i].flag) != 0)
            printf("%s: %s %s again\n", ctl->path, parts[i].text,
                   ctl->dry_run ? "would be written" : "written");
    if (what == 0)
        printf("%s: nothing to write again\n", ctl->path);
    return (what != 0 ? CBD_EXIT_CORRECTED : CBD_EXIT_CLEAN) | ctl_end_output(NULL);
}

int pcache_repair(const struct ctl *ctl)
{
    struct cbd_pcache_sink silent = {0};
    struct cbd_tool_device device;
    struct cbd_pcache pc;
    int code =
        cbd_tool_device_open(&device, ctl->path, ctl->dry_run ? CBD_SHIM_PMEM_READONLY : 0, 0);
    int error;

    if (code != 0)
        return code;
    error = cbd_pcache_open(device.pm, device.env, &silent, &pc);
    if (error != 0) {
        cbd_tool_error_code(ctl->path, "cannot be opened", error);
        code = CBD_EXIT_OPERATIONAL;
    } else {
        code = run(ctl, &pc);
    }
    cbd_pcache_close(&pc);
    cbd_tool_device_close(&device);
    return code;
}
