/* SPDX-License-Identifier: BSD-2-Clause */
/* One line for a finding. */
#ifndef PC_REPORT_H
#define PC_REPORT_H

#include "cbd/pcache.h"

/* A finding of this code without a place. */
struct cbd_check_finding pc_finding(uint32_t code);

void pc_report(struct cbd_pcache_sink *sink, const struct cbd_check_finding *f);

/* what NULL: that of the table. copy: CBD_CHECK_NONE if it has none. */
void pc_say(struct cbd_pcache_sink *sink, uint32_t code, const char *what, uint32_t copy,
            uint64_t off_bytes, uint64_t got, uint64_t limit);

#endif
