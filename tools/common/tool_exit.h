/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit codes of every tool, as fsck(8) has them. They are bits: 5 is corrected and left. */
#ifndef CBD_TOOL_EXIT_H
#define CBD_TOOL_EXIT_H

enum cbd_tool_exit {
    CBD_EXIT_CLEAN = 0,        /* nothing was wrong, or the command did what it was asked */
    CBD_EXIT_CORRECTED = 1,    /* problems were found and all of these repaired */
    CBD_EXIT_LEFT = 4,         /* problems were found and are still there */
    CBD_EXIT_OPERATIONAL = 8,  /* the tool could not do its work: I/O, memory, device in use */
    CBD_EXIT_USAGE = 16,       /* the command line was wrong; nothing was touched */
    CBD_EXIT_CANCELLED = 32,   /* the user ended it */
};

#endif
