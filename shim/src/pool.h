/* SPDX-License-Identifier: BSD-2-Clause */
/* A fixed number of threads that take disk requests from one queue, first in first out. */
#ifndef CBD_SHIM_POOL_H
#define CBD_SHIM_POOL_H

#include "cbd/disk.h"

struct shim_pool;

/* run(arg, io) is called by a worker for each request. 0, CBD_E_NOMEM or CBD_E_SYSTEM. */
int shim_pool_open(unsigned threads, void (*run)(void *arg, struct cbd_disk_io *io), void *arg,
                   struct shim_pool **pool) CBD_MUST_CHECK;

/* Any thread, also from inside run(). Uses io->next. */
void shim_pool_submit(struct shim_pool *pool, struct cbd_disk_io *io);

/* Returns after run() has returned for every request. pool may be NULL. */
void shim_pool_close(struct shim_pool *pool);

#endif
