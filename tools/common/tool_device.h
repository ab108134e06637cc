/* SPDX-License-Identifier: BSD-2-Clause */
/* A cache device as a tool has it: mapped, locked, with an environment that reports to stderr. */
#ifndef CBD_TOOL_DEVICE_H
#define CBD_TOOL_DEVICE_H

#include "cbd/env.h"
#include "cbd/pmem.h"
#include "cbd/shim/pmem.h"

struct cbd_tool_device {
    const char *path; /* the caller's, kept */
    struct cbd_pmem *pm;
    struct cbd_env *env;
};

/*
 * flags and size_bytes as of cbd_shim_pmem_open(); media errors while reading are always turned
 * into errors. 0, or the exit code of the tool after the message was printed; then nothing is open.
 */
int cbd_tool_device_open(struct cbd_tool_device *device, const char *path, unsigned flags,
                         uint64_t size_bytes) CBD_MUST_CHECK;

/* Nothing open: does nothing. */
void cbd_tool_device_close(struct cbd_tool_device *device);

/*
 * The time that goes on media: SOURCE_DATE_EPOCH if it is set, else now. *fixed (may be NULL): it
 * is set. 0, or CBD_E_INVALID: it is no number; the message was printed.
 */
int cbd_tool_time(uint64_t *seconds, bool *fixed) CBD_MUST_CHECK;

#endif
