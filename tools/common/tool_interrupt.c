/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Remembers a signal, twice: a flag is cheap to ask for, and an eventfd wakes who waits. A flag alone
 * would miss the signal that comes between looking at it and the read that then blocks.
 */
#include "tool_interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static int wake = -1; /* -1: none to be had, and poll() passes over it */

static void on_signal(int number)
{
    const uint64_t one = 1;
    int error = errno;
    ssize_t written;

    (void)number;
    came = 1;
    written = write(wake, &one, sizeof(one));
    (void)written; /* nobody to tell */
    errno = error;
}

void cbd_tool_interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    if (wake < 0)
        wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cbd_tool_interrupt_came(void)
{
    return came != 0;
}

bool cbd_tool_interrupt_or_input(int fd)
{
    struct pollfd p[] = {{.fd = wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int ready;

    do
        ready = poll(p, 2, -1);
    while (ready < 0 && errno == EINTR && !cbd_tool_interrupt_came());
    return !cbd_tool_interrupt_came();
}
