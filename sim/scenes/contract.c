/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of all scenes. */
#include "contract.h"

#include "scene.h"
#include "sim_base.h"

static const struct contract_scene *const tables[] = {
    contract_api, contract_disk, contract_space, contract_damage, contract_repair, contract_same};

/* The n-th of all; NULL: there are no more. */
static const struct contract_scene *at(uint32_t n)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct contract_scene *s = tables[t]; s->name != NULL; s++)
            if (n-- == 0)
                return s;
    return NULL;
}

uint32_t sim_contract_scenes(void)
{
    uint32_t n = 0;

    while (at(n) != NULL)
        n++;
    return n;
}

const char *sim_contract_name(uint32_t scene)
{
    return at(scene)->name;
}

uint32_t sim_contract_models(uint32_t scene)
{
    return at(scene)->models;
}

bool sim_contract_play(uint32_t scene, char *why, size_t why_bytes)
{
    struct scene *r = sim_zalloc(1, sizeof(*r));
    bool good;

    r->why = why;
    r->why_bytes = why_bytes;
    at(scene)->play(r);
    good = !r->failed;
    scene_destroy(r);
    free(r);
    return good;
}
