/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded random numbers: the same seed gives the same numbers on every machine. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

/* One stream (xoshiro256**). Owned by one thread. */
struct sim_rng {
    uint64_t s[4];
};

/* Any seed is good, 0 too. */
void sim_rng_seed(struct sim_rng *rng, uint64_t seed);

uint64_t sim_rng_u64(struct sim_rng *rng);

/* Uniform in [0, bound), without modulo bias. bound > 0. */
uint64_t sim_rng_below(struct sim_rng *rng, uint64_t bound);

/* True with probability num / den; den > 0. */
bool sim_rng_chance(struct sim_rng *rng, uint64_t num, uint64_t den);

/* A stateless draw: a well-mixed function of its two arguments (splitmix64's finaliser). */
uint64_t sim_rng_mix(uint64_t a, uint64_t b);

#endif
