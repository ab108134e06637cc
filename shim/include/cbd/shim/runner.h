/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Background work of an attached backend in threads of its own: one each for write-back, reclaim
 * and scrub. Each calls cbd_backend_step() as long as there is something to do, and sleeps until the
 * environment is woken, or until time alone brings work (cbd_backend_due_ns and
 * cbd_backend_scrub_due_ns). Without scrub_rate_bytes the thread of scrub only sleeps; a rate that
 * is set later is seen within a second.
 */
#ifndef CBD_SHIM_RUNNER_H
#define CBD_SHIM_RUNNER_H

#include "cbd/cache.h"
#include "cbd/shim/error.h"

#define CBD_SHIM_WORKS 3u /* kinds in enum cbd_work */

struct cbd_shim_runner;

struct cbd_shim_runner_options {
    /* After a step that failed the next one comes this much later; 0: 10 ms. */
    uint64_t retry_min_ns;
    /* Each further failure doubles it up to this; 0: 1 s, the minimum when that is more. */
    uint64_t retry_max_ns;
};

struct cbd_shim_runner_stats {
    uint64_t steps[CBD_SHIM_WORKS];    /* by enum cbd_work: steps that did something */
    uint64_t sleeps[CBD_SHIM_WORKS];   /* times that there was nothing to do */
    uint64_t failures[CBD_SHIM_WORKS]; /* steps that returned an error */
    int last_error[CBD_SHIM_WORKS];    /* of the last step: 0 or an error */
};

/*
 * Starts the threads. env is one of cbd_shim_env_open(), the same that the cache was opened with;
 * it and the backend must outlive the runner. options may be NULL: all zero. While it runs nobody
 * else steps this backend, and it must not be detached or abandoned. All signals are blocked in the
 * threads. One runner a backend. *runner is the caller's until cbd_shim_runner_stop().
 * Errors: NOMEM, SYSTEM (no thread); then nothing runs.
 */
int cbd_shim_runner_start(struct cbd_env *env, struct cbd_backend *backend,
                          const struct cbd_shim_runner_options *options,
                          struct cbd_shim_runner **runner,
                          struct cbd_shim_error *err) CBD_MUST_CHECK;

/*
 * Ends the threads after the step that each is in; requests of the disk that are in flight stay so,
 * and a detach waits for them. Writers that wait for space wait on, so stop them first. runner may
 * be NULL. Not from a thread of the runner.
 */
void cbd_shim_runner_stop(struct cbd_shim_runner *runner);

/* From any thread. */
void cbd_shim_runner_stats(const struct cbd_shim_runner *runner,
                           struct cbd_shim_runner_stats *stats);

#endif
