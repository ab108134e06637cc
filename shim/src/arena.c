/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory in parts of huge pages. A lookup in the index goes to one random node of many megabytes:
 * with pages of 4 KiB the way through the page tables costs more than the node itself.
 *
 * Parts of one length are reused for that length only: the core allocates few lengths, most of them
 * one and the same. Each length has its list, so that none can be too late for one. Shorter and
 * longer ones, and all of them where a checker wants to see each part, go to the C library.
 */
#include "arena.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "shim_common.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define PART_BYTES_MIN ((size_t)4096)
#define PART_BYTES_MAX ((size_t)64 << 10)
#define ALIGN_BYTES ((size_t)64)
#define LENGTHS ((PART_BYTES_MAX - PART_BYTES_MIN) / ALIGN_BYTES + 1) /* of parts */

struct part {
    struct part *next;
};

struct shim_arena {
    /* all under lock */
    pthread_mutex_t lock;
    struct part *free_parts[LENGTHS]; /* by length */
    struct part *pages;               /* huge pages; the first line of each links them */
    uint8_t *fresh, *fresh_end;       /* what no part was cut from yet */
};

struct shim_arena *shim_arena_open(void)
{
    struct shim_arena *arena = calloc(1, sizeof(*arena));

    if (arena != NULL)
        pthread_mutex_init(&arena->lock, NULL); /* cannot fail with default attributes */
    return arena;
}

void shim_arena_close(struct shim_arena *arena)
{
    struct part *next;

    for (struct part *page = arena->pages; page != NULL; page = next) {
        next = page->next;
        free(page);
    }
    pthread_mutex_destroy(&arena->lock);
    free(arena);
}

static void *plain_alloc(size_t align_bytes, size_t len_bytes)
{
    void *p;

    return posix_memalign(&p, align_bytes, len_bytes) == 0 ? p : NULL;
}

static size_t part_bytes(size_t len_bytes)
{
    return (len_bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
}

/* The list for parts of this length. */
static struct part **parts_of(struct shim_arena *arena, size_t len_bytes)
{
    return &arena->free_parts[(part_bytes(len_bytes) - PART_BYTES_MIN) / ALIGN_BYTES];
}

/* A part that was never used. */
static void *cut_fresh(struct shim_arena *arena, size_t len_bytes)
{
    uint8_t *p;

    if ((size_t)(arena->fresh_end - arena->fresh) < len_bytes) {
        struct part *page = plain_alloc(HUGE_BYTES, HUGE_BYTES);

        if (page == NULL)
            return NULL;
        madvise(page, HUGE_BYTES, MADV_HUGEPAGE); /* may be refused: then it is only slower */
        page->next = arena->pages;
        arena->pages = page;
        arena->fresh = (uint8_t *)page + ALIGN_BYTES;
        arena->fresh_end = (uint8_t *)page + HUGE_BYTES;
    }
    p = arena->fresh;
    arena->fresh += len_bytes;
    return p;
}

static bool is_part(size_t len_bytes)
{
#ifdef SHIM_CHECKED
    (void)len_bytes;
    return false;
#else
    return len_bytes >= PART_BYTES_MIN && len_bytes <= PART_BYTES_MAX;
#endif
}

void *shim_arena_alloc(struct shim_arena *arena, size_t len_bytes)
{
    struct part **parts;
    void *p;

    if (len_bytes >= HUGE_BYTES) {
        p = plain_alloc(HUGE_BYTES, len_bytes);
        if (p != NULL)
            madvise(p, len_bytes & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
        return p;
    }
    /* Nothing at all still gets an address of its own, so that NULL always means failure. */
    if (!is_part(len_bytes))
        return plain_alloc(ALIGN_BYTES, len_bytes == 0 ? 1 : len_bytes);
    pthread_mutex_lock(&arena->lock);
    parts = parts_of(arena, len_bytes);
    if (*parts != NULL) {
        p = *parts;
        *parts = (*parts)->next;
    } else {
        p = cut_fresh(arena, part_bytes(len_bytes));
    }
    pthread_mutex_unlock(&arena->lock);
    return p;
}

void shim_arena_free(struct shim_arena *arena, void *p, size_t len_bytes)
{
    struct part *part = p;
    struct part **parts;

    if (p == NULL || !is_part(len_bytes)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&arena->lock);
    parts = parts_of(arena, len_bytes);
    part->next = *parts;
    *parts = part;
    pthread_mutex_unlock(&arena->lock);
}
