/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of a world as files, for the offline tools. */
#ifndef SIM_WORLD_IMAGE_H
#define SIM_WORLD_IMAGE_H

#include "world.h"

/*
 * Cuts the power, writes the pmem to the new file `path` and each disk to `path`.diskN, sparse:
 * what was never written and is not cached is a hole. The world is as before. False: see errno; a
 * file was there already, or could not be written.
 */
bool sim_image_write(struct sim_world *w, const struct sim_crash *crash,
                     const char *path) CBD_MUST_CHECK;

#endif
