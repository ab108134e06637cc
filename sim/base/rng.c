/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded random numbers: splitmix64 for seeding and mixing, xoshiro256** for streams. */
#include "rng.h"

#include "sim_base.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t finalise(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t v, unsigned bits)
{
    return (v << bits) | (v >> (64 - bits));
}

uint64_t sim_rng_mix(uint64_t a, uint64_t b)
{
    return finalise(finalise(a + GOLDEN) + b * GOLDEN);
}

void sim_rng_seed(struct sim_rng *rng, uint64_t seed)
{
    /* Four successive outputs of splitmix64 are never all zero, the one state to avoid. */
    for (unsigned i = 0; i < 4; i++)
        rng->s[i] = finalise(seed += GOLDEN);
}

uint64_t sim_rng_u64(struct sim_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t sim_rng_below(struct sim_rng *rng, uint64_t bound)
{
    SIM_REQUIRE(bound > 0);
    /* 2^64 mod bound: draws below it would make the small results more likely. */
    uint64_t reject_below = (UINT64_C(0) - bound) % bound;
    uint64_t v;
    do {
        v = sim_rng_u64(rng);
    } while (v < reject_below);
    return v % bound;
}

bool sim_rng_chance(struct sim_rng *rng, uint64_t num, uint64_t den)
{
    return sim_rng_below(rng, den) < num;
}
