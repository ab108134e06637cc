/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment seam on a real process: malloc, the monotonic clock, getrandom, pthreads. */
#ifndef CBD_SHIM_ENV_H
#define CBD_SHIM_ENV_H

#include "cbd/env.h"
#include "cbd/shim/error.h"

/*
 * report(arg, ...) is called for each report, never by two threads at once; it must not report or
 * wait itself. NULL: reports are dropped. *env is owned by the caller until cbd_shim_env_close().
 * Errors: NOMEM, SYSTEM.
 *
 * wait() calls ready() with no lock of the environment held, so ready() may take locks that a
 * caller of wake() holds. wake() after the change, and no wake-up is lost.
 */
int cbd_shim_env_open(void (*report)(void *arg, const struct cbd_report *report), void *arg,
                      struct cbd_env **env, struct cbd_shim_error *err) CBD_MUST_CHECK;

#define CBD_SHIM_PROCESSORS_MAX 64u

/*
 * How many jobs run() does at a time; 1: it is not there, and the core does one thing after the
 * other. 1 .. CBD_SHIM_PROCESSORS_MAX; as opened: the processors that the process may use, at most
 * 16. Before anything else uses env.
 */
void cbd_shim_env_processors(struct cbd_env *env, unsigned count);

/* Nobody may wait. env may be NULL. */
void cbd_shim_env_close(struct cbd_env *env);

#endif
