/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of cbd-sim canaries. */
#ifndef CBD_SIM_CANARIES_TOOL_H
#define CBD_SIM_CANARIES_TOOL_H

#include "score.h"

/* Runs the score and prints it; exit code. */
int cbd_sim_score(struct sim_hunt_config *config, bool fast,
                  int (*print)(const struct sim_score *s));

/* Minimises what shows each wanted bug, and prints it; exit code. */
int cbd_sim_canaries_small(struct sim_hunt_config *config, bool markdown);

/* 0, or an error of the output. */
int cbd_sim_score_text(const struct sim_score *s);
int cbd_sim_score_markdown(const struct sim_score *s);
int cbd_sim_score_json(const struct sim_score *s);

#endif
