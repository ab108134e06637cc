/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ctrl-C and SIGTERM ask a tool to end where it may end: it stops between two steps, says what it
 * did, and leaves nothing half done. Any thread may ask; one waits.
 */
#ifndef CBD_TOOL_INTERRUPT_H
#define CBD_TOOL_INTERRUPT_H

#include <stdbool.h>

/* From now on; a second signal ends the program at once. */
void cbd_tool_interrupt_catch(void);

bool cbd_tool_interrupt_came(void);

/*
 * Waits until a read of fd does not block. False: a signal came, before or meanwhile. Without
 * cbd_tool_interrupt_catch() a signal does what it does to any program.
 */
bool cbd_tool_interrupt_or_input(int fd);

#endif
