/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of answer. */
#include "answer.h"

#include <stdio.h>

bool answer_read(char *first)
{
    int c = getchar();

    *first = (char)c;
    while (c != '\n' && c != EOF)
        c = getchar();
    return c != EOF;
}
