/* SPDX-License-Identifier: BSD-2-Clause */
/* What somebody typed as an answer. */
#ifndef CBD_TOOL_ANSWER_H
#define CBD_TOOL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads one line of standard input, however long; its beginning is in answer, without the line feed.
 * Nothing else of the program reads standard input. False: there is no whole line any more, or a
 * signal came (tool_interrupt.h).
 */
bool cbd_tool_answer(char *answer, size_t len_bytes);

#endif
