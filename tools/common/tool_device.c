/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a cache device for a tool. */
#include "tool_device.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cbd/shim/env.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_size.h"

static void report(void *arg, const struct cbd_report *r)
{
    struct cbd_tool_device *device = arg;

    cbd_tool_report(device->path, r);
}

int cbd_tool_device_open(struct cbd_tool_device *device, const char *path, unsigned flags,
                         uint64_t size_bytes)
{
    struct cbd_shim_bad_blocks bad;
    struct cbd_shim_error err;

    memset(device, 0, sizeof(*device));
    device->path = path;
    if (cbd_shim_env_open(report, device, &device->env, &err) != 0 ||
        cbd_shim_pmem_open(path, flags | CBD_SHIM_PMEM_GUARD_SIGBUS, size_bytes, &device->pm,
                           &err) != 0) {
        cbd_tool_error(NULL, "%s", err.text);
        cbd_tool_device_close(device);
        return CBD_EXIT_OPERATIONAL;
    }
    cbd_shim_pmem_bad_blocks(device->pm, &bad);
    if (bad.count != 0)
        cbd_tool_error(path, "bad blocks: %llu ranges with %llu bytes cannot be read",
                       (unsigned long long)bad.count, (unsigned long long)bad.bytes);
    return 0;
}

void cbd_tool_device_close(struct cbd_tool_device *device)
{
    cbd_shim_pmem_close(device->pm);
    cbd_shim_env_close(device->env);
    device->pm = NULL;
    device->env = NULL;
}

int cbd_tool_time(uint64_t *seconds, bool *fixed)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");
    char why[256];

    if (fixed != NULL)
        *fixed = text != NULL;
    if (text == NULL) {
        *seconds = (uint64_t)time(NULL);
        return 0;
    }
    if (cbd_tool_parse_number("SOURCE_DATE_EPOCH", text, 0, INT64_MAX, seconds, why, sizeof(why)) ==
        0)
        return 0;
    cbd_tool_error(NULL, "%s", why);
    return CBD_E_INVALID;
}
