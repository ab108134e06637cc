/* SPDX-License-Identifier: BSD-2-Clause */
/* Independent jobs on several processors. */
#ifndef SHIM_RUN_H
#define SHIM_RUN_H

/* How many processors this process may use: 1 or more. */
unsigned shim_processors(void);

/*
 * job(arg, n) for each n below count, each once, by at most so many threads, the caller's among
 * them; returns when all have returned.
 */
void shim_run(void (*job)(void *arg, unsigned n), void *arg, unsigned count, unsigned threads);

#endif
