/* SPDX-License-Identifier: BSD-2-Clause */
/* Repairing on behalf of somebody at the terminal, or of an option. */
#ifndef CBD_CHECK_MEND_H
#define CBD_CHECK_MEND_H

#include <stdbool.h>

#include "cbd/disk.h"
#include "cbd/env.h"
#include "cbd/pmem.h"

enum mend_policy {
    MEND_ASK,
    MEND_PREEN, /* what needs no decision */
    MEND_YES,
};

struct mend_options {
    const char *path;
    const char *undo_path;         /* or NULL */
    unsigned flags;                /* of the check */
    struct cbd_disk *const *disks; /* to compare with, or NULL */
    enum mend_policy policy;
    bool allow_data_loss;
    bool json, verbose, quiet;
    int progress_fd; /* -1: a bar on a terminal */
};

/* An exit code; everything was printed. */
int mend_run(struct cbd_pmem *pm, struct cbd_env *env, const struct mend_options *options);

#endif
