/* SPDX-License-Identifier: BSD-2-Clause */
/* One short script for each fault of dm-pcache's driver that a power cut turns into a state. */
#include <string.h>

#include "pcache_play.h"
#include "sim_base.h"

#define DATA_SMALL 2048u /* four sectors fill a segment */
#define DATA_LARGE 65536u
#define LOG_SMALL 240u /* three key sets of one key, and the way to the next segment */
#define LOG_LARGE 65536u

const struct sim_pcache_scene sim_pcache_scenes[] = {
    {"D1",
     "W0+2 W2+2 b b g | g",
     {4, DATA_SMALL, LOG_LARGE, false},
     "the last reference to a segment goes: its generation is durable, key_tail is not"},
    {"D2",
     "W0+2 W2+2 b b g G W4+4 W8+1 |",
     {3, DATA_SMALL, LOG_LARGE, true},
     "the same, and the segment is written to again: the checksum of the old key is wrong"},
    {"D3",
     "W0 b a W1 | b",
     {4, DATA_LARGE, LOG_LARGE, false},
     "the first store to a tail after an activation goes over the newest slot, and is torn"},
    {"D4",
     "W0 x |",
     {4, DATA_LARGE, LOG_LARGE, false},
     "cache_info is damaged: the driver takes the device for a new one"},
    {"D5",
     "W0 b W0 b W0 b x a W1 |",
     {4, DATA_LARGE, LOG_LARGE, false},
     "it does so, and an old record of the tail hides the one that it writes"},
    {"D12",
     "W0 W0 W0 b b b W0 b b g g g g W0 W0 b b W0 b b g g g g W0 W0 b b | W0",
     {4, DATA_LARGE, LOG_SMALL, false},
     "a key set is durable, the zeroes behind it are not: replay goes on into an old one"},
    {"D15",
     "W0 W1 W2 d |",
     {4, DATA_LARGE, LOG_LARGE, false},
     "a key set in the middle of the log is damaged: it passes for the end"},
    {NULL, NULL, {0, 0, 0, false}, NULL},
};

static bool still_meets(const char *script, const struct sim_pcache_shape *shape, const char *hole)
{
    struct sim_pcache_played out;

    sim_pcache_play(script, shape, &out, NULL);
    return !out.refused_script && sim_pcache_met(&out, hole);
}

/* Takes out the word at `at`. */
static void without(const char *script, size_t at, char *out, size_t len_bytes)
{
    size_t end = at + strcspn(script + at, " ");

    while (script[end] == ' ')
        end++;
    SIM_REQUIRE(strlen(script) < len_bytes);
    memcpy(out, script, at);
    strcpy(out + at, script + end);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == ' '; n--)
        out[n - 1] = '\0';
}

void sim_pcache_minimize(char *script, const struct sim_pcache_shape *shape, const char *hole)
{
    char shorter[512];
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t at = 0; script[at] != '\0' && !changed;) {
            without(script, at, shorter, sizeof(shorter));
            if (script[at] != '|' && still_meets(shorter, shape, hole)) {
                strcpy(script, shorter);
                changed = true;
            }
            at += strcspn(script + at, " ");
            at += strspn(script + at, " ");
        }
    }
}
