/* SPDX-License-Identifier: BSD-2-Clause */
/* What every sector of a simulated disk holds. */
#include "sim_content.h"

#include <string.h>

#include "sector.h"
#include "sim_base.h"

/* Slots at or above, but for the two named versions, hold the number of a block. */
#define SLOT_BLOCK (UINT64_C(1) << 63)

void sim_content_init(struct sim_content *c, uint64_t pages)
{
    memset(c, 0, sizeof *c);
    c->pages = pages;
    c->root_size = (size_t)((pages + SIM_NODE_PAGES - 1) / SIM_NODE_PAGES);
    c->root = sim_zalloc(c->root_size, sizeof(struct sim_content_node *));
}

void sim_content_free(struct sim_content *c)
{
    for (size_t i = 0; i < c->root_size; i++)
        free(c->root[i]);
    free(c->root);
    free(c->blocks);
    memset(c, 0, sizeof *c);
}

static bool is_block(uint64_t slot)
{
    return slot >= SLOT_BLOCK && slot != SIM_VERSION_ZERO && slot != SIM_VERSION_GARBAGE;
}

static struct sim_content_node *node_of(struct sim_content *c, uint64_t page)
{
    SIM_REQUIRE(page < c->pages);
    struct sim_content_node **node = &c->root[page / SIM_NODE_PAGES];
    if (*node == NULL)
        *node = sim_zalloc(1, sizeof **node);
    return *node;
}

void sim_content_load(const struct sim_content *c, uint64_t page,
                      uint64_t versions[SIM_PAGE_SECTORS])
{
    SIM_REQUIRE(page < c->pages);
    const struct sim_content_node *node = c->root[page / SIM_NODE_PAGES];
    uint64_t slot = node != NULL ? node->slot[page % SIM_NODE_PAGES] : SIM_VERSION_INITIAL;
    if (is_block(slot)) {
        memcpy(versions, c->blocks[slot - SLOT_BLOCK], sizeof c->blocks[0]);
        return;
    }
    for (unsigned s = 0; s < SIM_PAGE_SECTORS; s++)
        versions[s] = slot;
}

static uint64_t block_new(struct sim_content *c)
{
    if (c->block_free != 0) {
        uint64_t block = c->block_free - 1;
        c->block_free = c->blocks[block][0];
        return block;
    }
    c->blocks = sim_grow(c->blocks, &c->block_cap, c->block_top + 1, sizeof c->blocks[0]);
    return c->block_top++;
}

void sim_content_store(struct sim_content *c, uint64_t page,
                       const uint64_t versions[SIM_PAGE_SECTORS])
{
    uint64_t *slot = &node_of(c, page)->slot[page % SIM_NODE_PAGES];
    bool uniform = true;
    for (unsigned s = 1; s < SIM_PAGE_SECTORS; s++)
        uniform &= versions[s] == versions[0];
    if (!uniform) {
        if (!is_block(*slot))
            *slot = SLOT_BLOCK + block_new(c);
        memcpy(c->blocks[*slot - SLOT_BLOCK], versions, sizeof c->blocks[0]);
        return;
    }
    if (is_block(*slot)) {
        c->blocks[*slot - SLOT_BLOCK][0] = c->block_free;
        c->block_free = *slot - SLOT_BLOCK + 1;
    }
    *slot = versions[0];
}

uint8_t *sim_content_touched(struct sim_content *c, uint64_t page)
{
    return &node_of(c, page)->touched[page % SIM_NODE_PAGES];
}

uint8_t *sim_content_stamp(struct sim_content *c, uint64_t page)
{
    return &node_of(c, page)->stamp[page % SIM_NODE_PAGES];
}

/* The first page of the node, from `at` on, with a written sector; SIM_NODE_PAGES if none. */
static unsigned next_page(const struct sim_content_node *node, unsigned at)
{
    while (at < SIM_NODE_PAGES && node->touched[at] == 0) {
        uint64_t eight = 1;
        if (at % 8 == 0)
            memcpy(&eight, &node->touched[at], 8);
        at += eight == 0 ? 8 : 1;
    }
    return at;
}

bool sim_content_next(const struct sim_content *c, uint64_t sector, uint64_t *found)
{
    uint64_t page = sector / SIM_PAGE_SECTORS;
    unsigned first = (unsigned)(sector % SIM_PAGE_SECTORS);
    while (page < c->pages) {
        const struct sim_content_node *node = c->root[page / SIM_NODE_PAGES];
        unsigned at = SIM_NODE_PAGES;
        if (node != NULL)
            at = next_page(node, (unsigned)(page % SIM_NODE_PAGES));
        uint64_t hit = page / SIM_NODE_PAGES * SIM_NODE_PAGES + at;
        if (hit != page)
            first = 0;
        page = hit;
        if (at == SIM_NODE_PAGES)
            continue;
        for (unsigned s = first; s < SIM_PAGE_SECTORS; s++) {
            if (node->touched[at] & (1u << s)) {
                *found = page * SIM_PAGE_SECTORS + s;
                return true;
            }
        }
        page++;
        first = 0;
    }
    return false;
}
