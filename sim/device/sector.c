/* SPDX-License-Identifier: BSD-2-Clause */
/* Self-describing sectors. */
#include "sector.h"

#include <string.h>

#include "cbd/le.h"
#include "rng.h"
#include "sim_base.h"

#define WORDS (SIM_SECTOR_BYTES / 8)
#define STEP UINT64_C(0xd1342543de82ef95)

/* The bytes of all words behind the first two; never zero in word 2. */
static uint64_t body_seed(uint64_t sector, uint64_t version)
{
    return sim_rng_mix(sector, version) | 1;
}

static uint64_t load_word(const void *buf, unsigned i)
{
    uint64_t raw;
    memcpy(&raw, (const uint8_t *)buf + 8 * i, 8);
    return CBD_LE_SWAP64(raw);
}

void sim_sector_fill(void *buf512, uint64_t sector, uint64_t version)
{
    if (version == SIM_VERSION_ZERO) {
        memset(buf512, 0, SIM_SECTOR_BYTES);
        return;
    }
    SIM_REQUIRE(version < SIM_VERSION_LIMIT || version == SIM_VERSION_GARBAGE);
    uint64_t words[WORDS];
    uint64_t seed = body_seed(sector, version);
    words[0] = CBD_LE_SWAP64(version);
    words[1] = CBD_LE_SWAP64(sector + 1);
    for (unsigned i = 2; i < WORDS; i++) {
        uint64_t w = seed + (i - 2) * STEP;
        words[i] = CBD_LE_SWAP64(w);
    }
    memcpy(buf512, words, SIM_SECTOR_BYTES);
}

uint64_t sim_sector_decode_fast(const void *buf512, uint64_t sector)
{
    uint64_t version = load_word(buf512, 0);
    uint64_t address = load_word(buf512, 1);
    if (address == sector + 1 && version < SIM_VERSION_LIMIT)
        return version;
    return version == 0 && address == 0 ? SIM_VERSION_ZERO : SIM_VERSION_GARBAGE;
}

uint64_t sim_sector_decode(const void *buf512, uint64_t sector)
{
    uint64_t version = sim_sector_decode_fast(buf512, sector);
    if (version == SIM_VERSION_GARBAGE)
        return version;
    uint64_t words[WORDS];
    memcpy(words, buf512, SIM_SECTOR_BYTES);
    uint64_t seed = 0;
    uint64_t step = 0;
    if (version != SIM_VERSION_ZERO) {
        seed = body_seed(sector, version);
        step = STEP;
    }
    /* No early exit: the loop vectorises, and almost every sector is good. */
    uint64_t diff = 0;
    for (unsigned i = 2; i < WORDS; i++) {
        uint64_t w = seed + (i - 2) * step;
        diff |= words[i] ^ CBD_LE_SWAP64(w);
    }
    return diff == 0 ? version : SIM_VERSION_GARBAGE;
}
