/* SPDX-License-Identifier: BSD-2-Clause */
/* One line of answer, byte by byte: nothing is read ahead, so that poll() knows what there is. */
#include "tool_answer.h"

#include <errno.h>
#include <unistd.h>

#include "tool_interrupt.h"

bool cbd_tool_answer(char *answer, size_t len_bytes)
{
    size_t have = 0;

    for (;;) {
        ssize_t got;
        char c;

        if (!cbd_tool_interrupt_or_input(STDIN_FILENO))
            return false;
        got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != 1)
            return false;
        if (c == '\n')
            break;
        if (have + 1 < len_bytes)
            answer[have++] = c;
    }
    answer[have] = '\0';
    return true;
}
