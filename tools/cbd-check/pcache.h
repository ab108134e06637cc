/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-check on a device of dm-pcache. */
#ifndef CBD_CHECK_PCACHE_H
#define CBD_CHECK_PCACHE_H

#include "report.h"
#include "tool_device.h"

/* Checks and reports; the exit code of the tool. `data`: also the checksums of all data. */
int pcache_check(const struct cbd_tool_device *device, bool data, bool json, bool verbose,
                 bool quiet);

#endif
