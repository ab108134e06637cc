/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl on a device of dm-pcache. */
#ifndef CBD_CTL_PCACHE_H
#define CBD_CTL_PCACHE_H

#include "ctl.h"

/* Whether the device there is one. What cannot be opened is none: nothing is said. */
bool ctl_is_pcache(const char *path);

int pcache_writeback(const struct ctl *ctl);
int pcache_import(const struct ctl *ctl);
int pcache_stat(const struct ctl *ctl);

#endif
