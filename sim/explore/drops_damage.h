/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenes for persist calls that only damage shows to be needed: a campaign damages the memory after
 * its last crash, and these are about crashes between the damage and its end.
 */
#ifndef SIM_DROPS_DAMAGE_H
#define SIM_DROPS_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbd/steps.h"

/*
 * Plays all of them with `drop` left out. False: something was lost or wrong, and `why` says what.
 * Adds the crash states to *states and the calls of the step to *calls.
 */
bool sim_drops_damage(enum cbd_step drop, uint64_t seed, uint64_t *states, uint64_t *calls,
                      char *why, size_t why_bytes);

#endif
