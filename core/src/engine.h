/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that the modules of the engine share, each subject in a header of its own. */
#ifndef CBD_ENGINE_H
#define CBD_ENGINE_H

#include "append.h"
#include "attach.h"
#include "drain.h"
#include "index.h"
#include "load.h"
#include "serve.h"
#include "state.h"
#include "twin.h"

/* canary.c: only where CBD_CANARY() is no constant. */
typedef int cbd_canary_read(struct cbd_backend *b, uint64_t addr, uint8_t *buf, uint64_t len);
int cbd_canary_read_again(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr, uint8_t *buf,
                          uint64_t len);
int cbd_canary_read_in_parts(struct cbd_backend *b, cbd_canary_read *read, uint64_t addr,
                             uint8_t *buf, uint64_t len);

#endif
