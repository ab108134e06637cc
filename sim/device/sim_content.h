/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every sector of a simulated disk holds: one version (sector.h) a sector, sparse.
 *
 *   root  one pointer per 64 MiB of the disk
 *   node  for each of its 16384 pages of 4 KiB: a slot (the version, if all eight sectors have the
 *         same, else the number of a block of eight versions), which sectors were ever written,
 *         and the stamp that sim_marks.h needs
 *
 * An untouched page costs nothing, a page written as a whole 10 bytes. Owned by one thread.
 */
#ifndef SIM_CONTENT_H
#define SIM_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE_SECTORS 8u
#define SIM_NODE_PAGES 16384u

struct sim_content_node {
    uint64_t slot[SIM_NODE_PAGES];
    uint8_t touched[SIM_NODE_PAGES]; /* bit s: sector s of the page was written */
    uint8_t stamp[SIM_NODE_PAGES];
};

struct sim_content {
    uint64_t pages;
    struct sim_content_node **root;
    size_t root_size;
    uint64_t (*blocks)[SIM_PAGE_SECTORS];
    size_t block_top, block_cap;
    uint64_t block_free; /* list through word 0; number + 1, 0 ends it */
};

void sim_content_init(struct sim_content *c, uint64_t pages);
void sim_content_free(struct sim_content *c);

/* page < pages. */
void sim_content_load(const struct sim_content *c, uint64_t page,
                      uint64_t versions[SIM_PAGE_SECTORS]);
void sim_content_store(struct sim_content *c, uint64_t page,
                       const uint64_t versions[SIM_PAGE_SECTORS]);

/* Valid until sim_content_free(). Makes the node. */
uint8_t *sim_content_touched(struct sim_content *c, uint64_t page);
uint8_t *sim_content_stamp(struct sim_content *c, uint64_t page);

/* The first written sector at or after `sector`; false if there is none. */
bool sim_content_next(const struct sim_content *c, uint64_t sector, uint64_t *found);

#endif
