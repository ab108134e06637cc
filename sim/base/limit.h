/* SPDX-License-Identifier: BSD-2-Clause */
/* A bound on the processor time of a process. */
#ifndef SIM_LIMIT_H
#define SIM_LIMIT_H

/*
 * From now on this process may use so many seconds of processor time; then SIGPROF ends it. 0: any.
 * Not of the clock on the wall: a result does not depend on what else the machine does, and a process
 * that was stopped for a while has done nothing wrong.
 */
void sim_limit_seconds(unsigned seconds);

#endif
