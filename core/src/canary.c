/* SPDX-License-Identifier: BSD-2-Clause */
/* The switch of the canaries; nothing but in a build that has them. */
#include "cbd/canary.h"

#ifdef CBD_CANARIES
enum cbd_canary_id cbd_canary = CBD_CANARY_NONE;
#endif
