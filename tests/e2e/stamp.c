/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies lines from standard input to standard output, each behind the time at which it came
 * (CLOCK_MONOTONIC, ns): when somebody knew of an acknowledgement, at the latest.
 */
#include <stdio.h>
#include <time.h>

int main(void)
{
    char line[256];
    struct timespec now;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%llu %s",
               (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec,
               line);
        fflush(stdout);
    }
    return 0;
}
