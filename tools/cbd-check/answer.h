/* SPDX-License-Identifier: BSD-2-Clause */
/* What somebody typed as an answer. */
#ifndef CBD_CHECK_ANSWER_H
#define CBD_CHECK_ANSWER_H

#include <stdbool.h>

/*
 * Reads one line of standard input, however long. *first: its first character, '\n' if it is empty.
 * False: there is none any more, or a signal came.
 */
bool answer_read(char *first);

#endif
