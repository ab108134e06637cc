/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Progress: a bar on standard error if it is a terminal, or lines for a program on a descriptor
 * (-C fd of fsck): "PASS DONE TOTAL LABEL\n". Otherwise nothing. One thread at a time.
 */
#ifndef CBD_TOOL_PROGRESS_H
#define CBD_TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct cbd_tool_progress {
    int fd;   /* of the lines, or -1 */
    bool bar; /* on a terminal */
    unsigned pass;
    const char *label;
    uint64_t total;
    uint64_t shown_ns; /* time of the last output, 0: none in this pass */
};

/* fd: where the lines go, -1: a bar on standard error if that is a terminal. */
void cbd_tool_progress_open(struct cbd_tool_progress *progress, int fd);

/* Starts the next pass (the first is 1). label is kept, not copied. */
void cbd_tool_progress_begin(struct cbd_tool_progress *progress, const char *label,
                             uint64_t total);

/* Cheap to call often: shows at most ten a second. */
void cbd_tool_progress_update(struct cbd_tool_progress *progress, uint64_t done);

/* Ends the pass: the last line for programs, a clean line for people. */
void cbd_tool_progress_end(struct cbd_tool_progress *progress);

#endif
