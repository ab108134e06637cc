/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A power cut of the run itself: the machine comes back and goes on with what survived. Between the
 * two calls the main process is started again.
 */
#ifndef SIM_RESTART_H
#define SIM_RESTART_H

#include "world.h"

/* The power fails. */
void sim_restart_cut(struct sim_world *w, const struct sim_crash *crash);

/*
 * What each open request left becomes the content that must stay. 0 and *where NULL: done. Else
 * *where says what went wrong: an error of a read, or 0 and w->violation.
 */
int sim_restart_adopt(struct sim_world *w, const char **where) CBD_MUST_CHECK;

#endif
