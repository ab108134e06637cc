/* SPDX-License-Identifier: BSD-2-Clause */
/* Backing devices by the names of their backends, opened for reading only. */
#include "backing.h"

#include <string.h>
#include <sys/stat.h>

#include "cbd/shim/disk.h"
#include "tool_exit.h"
#include "tool_message.h"

const char *backing_add(struct backings *b, const char *name_and_path)
{
    const char *mark = strchr(name_and_path, '=');

    if (mark == NULL || mark == name_and_path || mark[1] == '\0')
        return "limit NAME=PATH";
    if (b->count == CBD_BACKENDS)
        return "limit one for each of 32 backends";
    b->given[b->count++] = name_and_path;
    return NULL;
}

/* CBD_BACKENDS: there is none. */
static uint32_t find(const struct cbd_check_summary *summary, const char *name, size_t len)
{
    uint32_t id = 0;

    while (id < CBD_BACKENDS &&
           (!summary->backends[id].used || strlen(summary->backends[id].name) != len ||
            memcmp(summary->backends[id].name, name, len) != 0))
        id++;
    return id;
}

static int open_one(struct backings *b, const struct cbd_tool_device *device,
                    const struct cbd_check_summary *summary, const char *given)
{
    size_t len = (size_t)(strchr(given, '=') - given);
    uint32_t id = find(summary, given, len);
    struct cbd_shim_disk_options options = {.flags = CBD_SHIM_DISK_READONLY};
    const char *path = given + len + 1;
    struct cbd_shim_error err;
    struct stat st;

    if (id == CBD_BACKENDS) {
        cbd_tool_error(device->path, "backend '%.*s': there is none of this name", (int)len, given);
        return CBD_EXIT_OPERATIONAL;
    }
    if (b->disks[id] != NULL) {
        cbd_tool_error(device->path, "backend '%.*s': --backing names it twice", (int)len, given);
        return CBD_EXIT_USAGE;
    }
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        options.logical_block_bytes = summary->backends[id].logical_block_bytes;
    if (cbd_shim_disk_open(path, &options, &b->disks[id], &err) == 0)
        return 0;
    b->disks[id] = NULL;
    cbd_tool_error(NULL, "%s", err.text);
    return CBD_EXIT_OPERATIONAL;
}

int backing_open(struct backings *b, const struct cbd_tool_device *device,
                 struct cbd_check_summary *summary)
{
    const struct cbd_check_options tables = {.flags = 0};
    int code = 0;

    if (b->count == 0)
        return 0;
    /* What it finds is found again: only the names are wanted. */
    if (cbd_check_run(device->pm, device->env, &tables, NULL, NULL, summary) != 0)
        return 0;
    for (unsigned i = 0; i < b->count && code == 0; i++)
        code = open_one(b, device, summary, b->given[i]);
    if (code != 0)
        backing_close(b);
    return code;
}

void backing_close(struct backings *b)
{
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        cbd_shim_disk_close(b->disks[id]);
        b->disks[id] = NULL;
    }
}
