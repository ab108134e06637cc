/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes memory that may be poisoned or cut short, and lives. */
#ifndef CBD_SHIM_SIGBUS_H
#define CBD_SHIM_SIGBUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

/* Installs the process's handler; later calls do nothing. 0 or an errno. */
int sigbus_guard_install(void) CBD_MUST_CHECK;

/* 0, or CBD_E_MEDIA when a load from src raised SIGBUS; dst is then undefined. */
int sigbus_guarded_copy(void *dst, const void *src, size_t len_bytes) CBD_MUST_CHECK;

/* Whether a byte of each page can be loaded. */
bool sigbus_readable(const void *src, size_t len_bytes) CBD_MUST_CHECK;

#define SIGBUS_PAGES_MAX 64u

/*
 * A mapping in which a store may find that its page is gone (a file that was cut short). The store
 * then goes to a page of nobody, and the loss is noted: what was stored there is not durable, and
 * what is read from there is not what was stored. x86 only: elsewhere such a store still kills.
 */
struct sigbus_range {
    uintptr_t from, to;
    atomic_uint lost; /* how many pages */
    atomic_uintptr_t page[SIGBUS_PAGES_MAX];
};

/* After sigbus_guard_install(). False: too many ranges are watched; then a store still kills. */
bool sigbus_watch(struct sigbus_range *range);
void sigbus_unwatch(struct sigbus_range *range);

/* Whether any of these bytes may lie in a page that was lost. */
bool sigbus_lost(const struct sigbus_range *range, uintptr_t from, size_t len_bytes);

#endif
