/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory in parts of huge pages. A lookup in the index goes to one random node of many megabytes:
 * with pages of 4 KiB the way through the page tables costs more than the node itself.
 *
 * Parts of one length are reused for that length only: the core allocates few lengths, most of them
 * one and the same. Other lengths, and all of them where a checker wants to see each part, go to
 * the C library.
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
#define LENGTHS_MAX 8u /* of parts; what comes later goes to the C library */
#define ALIGN_BYTES ((size_t)64)

struct part {
    struct part *next;
};

struct length {
    size_t part_bytes;
    struct part *free_parts;
};

struct shim_arena {
    /* all under lock */
    pthread_mutex_t lock;
    struct length lengths[LENGTHS_MAX];
    struct part *pages;         /* huge pages; the first line of each links them */
    uint8_t *fresh, *fresh_end; /* what no part was cut from yet */
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

/* The list for this length; NULL: the C library takes it. The lock is held. */
static struct length *length_of(struct shim_arena *arena, size_t len_bytes)
{
#ifdef SHIM_CHECKED
    (void)arena;
    (void)len_bytes;
    return NULL;
#else
    size_t part_bytes = (len_bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);

    for (unsigned i = 0; i < LENGTHS_MAX; i++) {
        struct length *length = &arena->lengths[i];

        if (length->part_bytes == 0)
            length->part_bytes = part_bytes;
        if (length->part_bytes == part_bytes)
            return length;
    }
    return NULL;
#endif
}

/* A part that was never used. */
static void *cut_fresh(struct shim_arena *arena, size_t part_bytes)
{
    uint8_t *p;

    if ((size_t)(arena->fresh_end - arena->fresh) < part_bytes) {
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
    arena->fresh += part_bytes;
    return p;
}

static bool is_part(size_t len_bytes)
{
    return len_bytes >= PART_BYTES_MIN && len_bytes <= PART_BYTES_MAX;
}

void *shim_arena_alloc(struct shim_arena *arena, size_t len_bytes)
{
    struct length *length;
    void *p = NULL;

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
    length = length_of(arena, len_bytes);
    if (length != NULL && length->free_parts != NULL) {
        p = length->free_parts;
        length->free_parts = length->free_parts->next;
    } else if (length != NULL) {
        p = cut_fresh(arena, length->part_bytes);
    }
    pthread_mutex_unlock(&arena->lock);
    return length == NULL ? plain_alloc(ALIGN_BYTES, len_bytes) : p;
}

void shim_arena_free(struct shim_arena *arena, void *p, size_t len_bytes)
{
    struct length *length;

    if (p == NULL || !is_part(len_bytes)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&arena->lock);
    length = length_of(arena, len_bytes);
    if (length != NULL) {
        struct part *part = p;

        part->next = length->free_parts;
        length->free_parts = part;
    }
    pthread_mutex_unlock(&arena->lock);
    if (length == NULL)
        free(p);
}
