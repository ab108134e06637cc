/* SPDX-License-Identifier: BSD-2-Clause */
/* Cuts of a world that was read from a record. The world is afterwards as it was. */
#ifndef CBD_SIM_CUT_RUN_H
#define CBD_SIM_CUT_RUN_H

#include "cut.h"

/* Judges what is left, recovers, judges again. False: a violation, in `why`. */
bool cut_run(struct cut_world *w, const struct sim_crash *c, char why[CUT_TEXT_BYTES]);

/*
 * Makes the folder, with pmem.img, NAME.img for each disk ('/' in a name becomes '_'), and cut.txt.
 * False: see errno.
 */
bool cut_write(struct cut_world *w, const struct sim_crash *c, const char *dir);

#endif
