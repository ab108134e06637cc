/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rest of the shim may ask its environment. */
#ifndef CBD_SHIM_ENV_IMPL_H
#define CBD_SHIM_ENV_IMPL_H

#include <pthread.h>

#include "cbd/env.h"

/* Calls of wake() so far: a change says that something may be worth a look. From any thread. */
uint64_t cbd_shim_env_wakes(struct cbd_env *env);

/* A condition variable whose timed waits do not follow changes of the wall clock. 0 or an errno. */
int shim_cond_init(pthread_cond_t *cond);

#endif
