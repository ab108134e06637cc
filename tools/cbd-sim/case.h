/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads as files, for the subcommands that take one. */
#ifndef CBD_SIM_CASE_H
#define CBD_SIM_CASE_H

#include "try.h"
#include "workload.h"

/* Reads a file ("-": standard input). w was initialised. False: a message was printed. */
bool cbd_sim_case_read(const char *path, struct sim_workload *w);

/* Prints one failure: what is wrong and where the power failed, in the words of the text form. */
void cbd_sim_case_show(const struct sim_workload *w, const struct sim_tried *tried);

#endif
