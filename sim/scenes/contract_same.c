/* SPDX-License-Identifier: BSD-2-Clause */
/* A scene of P8: the same calls by a process whose memory lies elsewhere leave the same bytes. */
#include <string.h>

#include "scene.h"
#include "sim_base.h"

/* Enough that segments go round; then a detach, a power cut, and more. */
static void live(struct scene *r)
{
    r->share = 8;
    r->fills = true;
    scene_create(r, SIM_ADR, 512);
    scene_begin(r, 0, 1);
    for (unsigned round = 0; round < 3 && !r->failed; round++) {
        for (uint32_t i = 0; i < 200 && !r->failed; i++) {
            int error = scene_write_block(r, 0, i * 7 % r->blocks);

            scene_expect(r, error == 0, "a write failed", error);
            if (i % 16 == 15)
                scene_drain(r);
            if (i % 16 == 7)
                scene_compare(r, 0, "in the same life");
        }
        if (round == 1)
            scene_restart(r, 1);
    }
    if (!r->failed)
        scene_expect(r, cbd_flush(r->backend[0], 0) == 0, "a flush failed", 0);
}

static int64_t first_difference(const struct scene *a, const struct scene *b)
{
    const uint8_t *x = a->pmem->pm.base, *y = b->pmem->pm.base;

    for (uint64_t off = 0; off < SCENE_PM_BYTES; off++)
        if (x[off] != y[off])
            return (int64_t)off;
    return -1;
}

static void memory_elsewhere(struct scene *r)
{
    struct scene *other = sim_zalloc(1, sizeof(*other));
    int64_t off;

    other->why = r->why;
    other->why_bytes = r->why_bytes;
    other->elsewhere = true;
    live(r);
    live(other);
    if (!r->failed && !other->failed) {
        off = first_difference(r, other);
        scene_expect(r, off < 0, "the bytes on the media depend on where memory lies", off);
        for (uint64_t i = 0; i < (uint64_t)r->blocks * SCENE_BLOCK_SECTORS; i++)
            scene_expect(r, sim_disk_peek(r->disk[0], i) == sim_disk_peek(other->disk[0], i),
                         "the disk depends on where memory lies", (int64_t)i);
    }
    r->failed = r->failed || other->failed;
    scene_destroy(other);
    free(other);
}

const struct contract_scene contract_same[] = {
    {"the same, elsewhere in memory", memory_elsewhere, 0},
    {NULL, NULL, 0},
};
