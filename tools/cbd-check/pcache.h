/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-check on a device of dm-pcache. */
#ifndef CBD_CHECK_PCACHE_H
#define CBD_CHECK_PCACHE_H

#include "report.h"
#include "tool_device.h"

enum pcache_policy {
    PCACHE_LOOK, /* change nothing */
    PCACHE_ASK,
    PCACHE_FIX,
};

struct pcache_options {
    enum pcache_policy policy;
    const char *undo_path; /* or NULL */
    bool data;             /* also the checksums of all data */
    bool json, verbose, quiet;
    int progress_fd; /* -1: none */
};

/* Checks and reports, and writes metadata again where it may; the exit code of the tool. */
int pcache_check(const struct cbd_tool_device *device, const struct pcache_options *options);

/*
 * pcache_mend.c: writes again what cbd_pcache_repairs() says. *what: that mask, 0 when there is
 * nothing to do or it was declined. 0 or an exit code; errors were printed.
 */
int pcache_mend(const struct cbd_tool_device *device, const struct pcache_options *options,
                unsigned *what);

#endif
