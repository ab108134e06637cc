/* SPDX-License-Identifier: BSD-2-Clause */
#include "limit.h"

#include <stddef.h>
#include <sys/time.h>

void sim_limit_seconds(unsigned seconds)
{
    const struct itimerval limit = {.it_value = {.tv_sec = (time_t)seconds}};

    (void)setitimer(ITIMER_PROF, &limit, NULL);
}
