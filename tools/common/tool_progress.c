/* SPDX-License-Identifier: BSD-2-Clause */
/* Progress for people and for programs. */
#include "tool_progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool_message.h"
#include "tool_size.h"

#define INTERVAL_NS UINT64_C(100000000)
#define BAR_CELLS 40u

static uint64_t now_ns(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void show(struct cbd_tool_progress *progress, uint64_t done)
{
    char cells[BAR_CELLS + 1], percent[CBD_TOOL_SIZE_TEXT_BYTES];
    unsigned full;

    if (progress->fd >= 0) {
        if (dprintf(progress->fd, "%u %llu %llu %s\n", progress->pass, (unsigned long long)done,
                    (unsigned long long)progress->total, progress->label) < 0)
            progress->fd = -1; /* the reader has gone; the work goes on */
        return;
    }
    if (!progress->bar)
        return;
    full = progress->total == 0 || done >= progress->total
               ? BAR_CELLS
               : (unsigned)((double)done / (double)progress->total * BAR_CELLS);
    memset(cells, '#', full);
    memset(cells + full, '.', BAR_CELLS - full);
    cells[BAR_CELLS] = '\0';
    fprintf(stderr, "\r%s: %s [%s] %s\033[K", cbd_tool_program(), progress->label, cells,
            cbd_tool_percent(done, progress->total, percent));
    fflush(stderr);
}

void cbd_tool_progress_open(struct cbd_tool_progress *progress, int fd)
{
    if (fd >= 0)
        signal(SIGPIPE, SIG_IGN); /* a reader that goes away ends no repair */
    *progress = (struct cbd_tool_progress){.fd = fd, .bar = fd < 0 && isatty(STDERR_FILENO) == 1};
}

void cbd_tool_progress_begin(struct cbd_tool_progress *progress, const char *label, uint64_t total)
{
    progress->pass++;
    progress->label = label;
    progress->total = total;
    progress->shown_ns = 0;
}

void cbd_tool_progress_update(struct cbd_tool_progress *progress, uint64_t done)
{
    uint64_t now;

    if (progress->fd < 0 && !progress->bar)
        return;
    now = now_ns();
    if (progress->shown_ns != 0 && now - progress->shown_ns < INTERVAL_NS)
        return;
    progress->shown_ns = now;
    show(progress, done);
}

void cbd_tool_progress_end(struct cbd_tool_progress *progress)
{
    if (progress->bar)
        fprintf(stderr, "\r\033[K");
    else
        show(progress, progress->total);
}
