/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Canaries: bugs that can be switched on, one at a time, so that the simulator can show that it
 * would find them. canaries.def is the catalogue.
 *
 * They exist only in a build with CBD_CANARIES=ON, which must never serve anybody's data. In every
 * other build CBD_CANARY() is the constant 0 and leaves nothing behind in the objects.
 */
#ifndef CBD_CANARY_H
#define CBD_CANARY_H

enum cbd_canary_id {
    CBD_CANARY_NONE,
#define X(id, area, rules, sentence) CBD_CANARY_##id,
#include "cbd/canaries.def"
#undef X
    CBD_CANARY_COUNT,
};

#ifdef CBD_CANARIES
/* The bug that this process has. Set before the core is used, and not while it is. */
extern enum cbd_canary_id cbd_canary;
#define CBD_CANARY(id) (cbd_canary == CBD_CANARY_##id)
#else
#define CBD_CANARY(id) 0
#endif

#endif
