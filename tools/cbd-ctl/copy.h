/* SPDX-License-Identifier: BSD-2-Clause */
/* A copy of a disk in a new file. */
#ifndef CBD_CTL_COPY_H
#define CBD_CTL_COPY_H

#include "cbd/errors.h"

/*
 * Copies the file or block device `from` to the new file `to`, which must not exist. What is a hole
 * or all zeroes stays a hole. Not flushed. 0, or an exit code: the error is printed, and no file is
 * left behind.
 */
int ctl_copy(const char *from, const char *to) CBD_MUST_CHECK;

#endif
