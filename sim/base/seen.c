/* SPDX-License-Identifier: BSD-2-Clause */
/* Open addressing with linear probing; the numbers are hashes already. */
#include "seen.h"

#include "sim_base.h"

void sim_seen_free(struct sim_seen *s)
{
    free(s->slot);
    s->slot = NULL;
    s->size = s->count = 0;
}

static bool put(struct sim_seen *s, uint64_t number)
{
    size_t at = (size_t)number & (s->size - 1);

    for (; s->slot[at] != 0; at = (at + 1) & (s->size - 1))
        if (s->slot[at] == number)
            return false;
    s->slot[at] = number;
    s->count++;
    return true;
}

bool sim_seen_add(struct sim_seen *s, uint64_t number)
{
    if (2 * (s->count + 1) > s->size) {
        struct sim_seen larger = {.size = s->size != 0 ? 2 * s->size : 1024};

        larger.slot = sim_zalloc(larger.size, sizeof(*larger.slot));
        for (size_t i = 0; i < s->size; i++)
            if (s->slot[i] != 0)
                (void)put(&larger, s->slot[i]);
        free(s->slot);
        *s = larger;
    }
    return put(s, number != 0 ? number : 1);
}
