/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays short scripts against the model of dm-pcache's driver and cuts the power at every store and
 * fence, and judges each state that is left: by the check, by what the driver would serve, and by
 * what write-back saves.
 *
 * A script is words between spaces:
 *
 *   wN  write sector N          WN  the same with FUA        f  FLUSH
 *   b   write back one key set  g   collect one key set      a  power off, then activate again
 *   G   as g, but the power goes off before key_tail is stored; then activate again
 *   x   cache_info becomes unreadable      d  a byte of the last key set but one is turned round
 *   |   the power is cut at every step from here on (and left alone before)
 *
 * N may be followed by +M: M sectors.
 */
#ifndef SIM_PCACHE_PLAY_H
#define SIM_PCACHE_PLAY_H

#include <stdio.h>

#include "pcache_driver.h"

struct sim_pcache_shape {
    uint32_t segments;
    uint32_t data_bytes, log_bytes; /* used of each, see pcache_driver.h */
    bool data_crc;
};

#define SIM_PCACHE_CODES_MAX 32u

struct sim_pcache_played {
    uint64_t steps;   /* operations on the memory that were cut */
    uint64_t states;  /* that differ */
    uint64_t errors;  /* states in which the check finds an error */
    uint64_t refused; /* states that the driver would refuse */
    uint64_t missed;  /* the check finds nothing, but what was acknowledged is not served */
    uint64_t unnamed; /* an error that is no known fault of the driver */
    uint64_t unsaved; /* write-back, as the check advises, did not save what was acknowledged */
    uint64_t driver_loses; /* the driver would serve less than was acknowledged */
    /* codes of the errors, in the order in which they were met, and where */
    uint32_t codes[SIM_PCACHE_CODES_MAX], code_count;
    uint64_t code_step[SIM_PCACHE_CODES_MAX];
    bool refused_script; /* a step of the script itself could not be made */
};

/* log: one line for each code that is met first; may be NULL. Ends the process on a bad script. */
void sim_pcache_play(const char *script, const struct sim_pcache_shape *shape,
                     struct sim_pcache_played *out, FILE *log);

/*
 * The same; the first state with an error goes to keep(), which may be NULL: what the memory and the
 * first bytes of the disk hold.
 */
void sim_pcache_play_keep(const char *script, const struct sim_pcache_shape *shape,
                          struct sim_pcache_played *out, FILE *log,
                          void (*keep)(void *arg, const uint8_t *memory, uint64_t memory_bytes,
                                       const uint8_t *disk, uint64_t disk_bytes),
                          void *arg);

/* Whether every word of it is one. */
bool sim_pcache_script_valid(const char *script);

/* Whether the play met an error of this fault ("D1", ...). */
bool sim_pcache_met(const struct sim_pcache_played *out, const char *hole);

struct sim_pcache_scene {
    const char *hole;
    const char *script;
    struct sim_pcache_shape shape;
    const char *says; /* what happens, in a sentence */
};

/* One for each fault that can be produced; NULL hole at the end. */
extern const struct sim_pcache_scene sim_pcache_scenes[];

/* Takes words out of the script as long as it still meets `hole`. `script` is changed in place. */
void sim_pcache_minimize(char *script, const struct sim_pcache_shape *shape, const char *hole);

#endif
