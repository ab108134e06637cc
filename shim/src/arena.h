/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for what the core allocates in great numbers: parts of huge pages. Thread safe. */
#ifndef SHIM_ARENA_H
#define SHIM_ARENA_H

#include <stddef.h>

struct shim_arena;

/* NULL: no memory. */
struct shim_arena *shim_arena_open(void);
void shim_arena_close(struct shim_arena *arena);

/* 64-byte aligned, uninitialised; NULL when there is none. Free takes the same length. */
void *shim_arena_alloc(struct shim_arena *arena, size_t len_bytes);
void shim_arena_free(struct shim_arena *arena, void *p, size_t len_bytes);

#endif
