/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads memory that may be poisoned or cut short, and lives. */
#ifndef CBD_SHIM_SIGBUS_H
#define CBD_SHIM_SIGBUS_H

#include <stddef.h>

#include "cbd/errors.h"

/* Installs the process's handler; later calls do nothing. 0 or an errno. */
int sigbus_guard_install(void) CBD_MUST_CHECK;

/* 0, or CBD_E_MEDIA when a load from src raised SIGBUS; dst is then undefined. */
int sigbus_guarded_copy(void *dst, const void *src, size_t len_bytes) CBD_MUST_CHECK;

#endif
