/* SPDX-License-Identifier: BSD-2-Clause */
/* Ctrl-C and SIGTERM end a check between two segments, with a summary and exit code 32. */
#ifndef CBD_CHECK_INTERRUPT_H
#define CBD_CHECK_INTERRUPT_H

#include <stdbool.h>

/* From now on; a second signal ends the program at once. */
void interrupt_catch(void);

bool interrupt_came(void);

#endif
