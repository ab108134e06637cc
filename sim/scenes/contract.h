/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of the API in short scenes: what must be refused, what must fail and leave
 * everything as it was, what must not come back. Each takes a cache from format to the end.
 */
#ifndef SIM_CONTRACT_H
#define SIM_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many scenes there are, and the name of one: static. */
uint32_t sim_contract_scenes(void);
const char *sim_contract_name(uint32_t scene);

/* The fault models that it plays with: bits of enum sim_score_row; 0: none. */
uint32_t sim_contract_models(uint32_t scene);

/* Plays one. False: it did not go as it must, and `why` says what happened first. */
bool sim_contract_play(uint32_t scene, char *why, size_t why_bytes);

#endif
