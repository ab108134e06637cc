/* SPDX-License-Identifier: BSD-2-Clause */
/* Backing devices that are compared with the cache: --backing NAME=PATH. */
#ifndef CBD_CHECK_BACKING_H
#define CBD_CHECK_BACKING_H

#include "cbd/check.h"
#include "tool_device.h"

struct backings {
    const char *given[CBD_BACKENDS]; /* NAME=PATH, the caller's */
    unsigned count;
    struct cbd_disk *disks[CBD_BACKENDS]; /* by backend, as a check wants them */
};

/* NULL, or why the argument cannot be used. It is kept. */
const char *backing_add(struct backings *b, const char *name_and_path);

/* Opens all of them for reading. 0, or the exit code after the message; then none is open. */
int backing_open(struct backings *b, const struct cbd_tool_device *device,
                 struct cbd_check_summary *summary) CBD_MUST_CHECK;

void backing_close(struct backings *b);

#endif
