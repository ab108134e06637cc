/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pmem operations. Cached copies are made of whole aligned words: they are the unit of atomic
 * persistence, and memcpy() may store in smaller pieces.
 */
#include <string.h>
#include <sys/mman.h>

#include "shim_common.h"
#include "pmem_impl.h"
#include "sigbus.h"

static struct shim_pmem *impl(struct cbd_pmem *pm)
{
    return (struct shim_pmem *)(void *)pm;
}

static bool inside(const struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    return off <= pm->size_bytes && len_bytes <= pm->size_bytes - off;
}

static void store_word(uint8_t *dst, uint64_t value)
{
    __atomic_store_n((uint64_t *)(void *)dst, value, __ATOMIC_RELEASE);
}

static void op_store64(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step)
{
    struct shim_pmem *s = impl(pm);

    (void)step;
    SHIM_ASSERT(inside(pm, off, 8) && (off & 7) == 0 && !s->readonly);
    store_word(s->base + off, value);
}

static void copy_cached(uint8_t *dst, const uint8_t *src, size_t len_bytes)
{
    uint64_t word;
    size_t i = 0;

    for (; i < len_bytes && ((uintptr_t)(dst + i) & 7) != 0; i++)
        dst[i] = src[i];
    for (; len_bytes - i >= 8; i += 8) {
        memcpy(&word, src + i, 8);
        store_word(dst + i, word);
    }
    for (; i < len_bytes; i++)
        dst[i] = src[i];
}

static void set_cached(uint8_t *dst, uint8_t value, size_t len_bytes)
{
    uint64_t word = value * UINT64_C(0x0101010101010101);
    size_t i = 0;

    for (; i < len_bytes && ((uintptr_t)(dst + i) & 7) != 0; i++)
        dst[i] = value;
    for (; len_bytes - i >= 8; i += 8)
        store_word(dst + i, word);
    for (; i < len_bytes; i++)
        dst[i] = value;
}

static void line_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                      unsigned flags, enum cbd_step step)
{
    struct shim_pmem *s = impl(pm);

    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes) && !s->readonly);
    if (flags & CBD_PMEM_NT)
        s->copy_nt(s->base + off, src, len_bytes, PMEM2_F_MEM_NONTEMPORAL | PMEM2_F_MEM_NODRAIN);
    else
        copy_cached(s->base + off, src, len_bytes);
}

static void line_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                     unsigned flags, enum cbd_step step)
{
    struct shim_pmem *s = impl(pm);

    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes) && !s->readonly);
    if (flags & CBD_PMEM_NT)
        s->set_nt(s->base + off, value, len_bytes, PMEM2_F_MEM_NONTEMPORAL | PMEM2_F_MEM_NODRAIN);
    else
        set_cached(s->base + off, value, len_bytes);
}

static void line_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes));
    if (len_bytes == 0)
        return;
    if (impl(pm)->guard && !sigbus_readable(impl(pm)->base + off, len_bytes)) {
        atomic_fetch_add(&impl(pm)->range.lost, SIGBUS_PAGES_MAX + 1);
        return;
    }
    impl(pm)->flush_lines(impl(pm)->base + off, len_bytes);
}

/* Stores that found nothing to store to are not durable. */
static int stores_lost(const struct shim_pmem *s)
{
    return atomic_load_explicit(&s->range.lost, memory_order_relaxed) != 0 ? CBD_E_IO : 0;
}

static int line_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    (void)step;
    impl(pm)->drain();
    return stores_lost(impl(pm));
}

/* Page granularity: stores are plain, and the marks are made where the seam promises durability. */

static void page_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                      unsigned flags, enum cbd_step step)
{
    struct shim_pmem *s = impl(pm);

    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes) && !s->readonly);
    copy_cached(s->base + off, src, len_bytes);
    if (flags & CBD_PMEM_NT)
        page_sync_mark(&s->sync, off, len_bytes);
}

static void page_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                     unsigned flags, enum cbd_step step)
{
    struct shim_pmem *s = impl(pm);

    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes) && !s->readonly);
    set_cached(s->base + off, value, len_bytes);
    if (flags & CBD_PMEM_NT)
        page_sync_mark(&s->sync, off, len_bytes);
}

static void page_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    (void)step;
    SHIM_ASSERT(inside(pm, off, len_bytes));
    page_sync_mark(&impl(pm)->sync, off, len_bytes);
}

static int page_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    int error = page_sync_fence(&impl(pm)->sync);

    (void)step;
    return error != 0 ? error : stores_lost(impl(pm));
}

static int op_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len_bytes)
{
    struct shim_pmem *s = impl(pm);

    if (!inside(pm, off, len_bytes))
        return CBD_E_RANGE;
    if (s->bad.count != 0 && bad_blocks_hit(&s->bad, off, len_bytes))
        return CBD_E_MEDIA;
    if (stores_lost(s) != 0 && sigbus_lost(&s->range, (uintptr_t)s->base + off, len_bytes))
        return CBD_E_MEDIA;
    if (s->guard)
        return sigbus_guarded_copy(dst, s->base + off, len_bytes);
    if (len_bytes != 0)
        memcpy(dst, s->base + off, len_bytes);
    return 0;
}

static int op_read_array(struct cbd_pmem *pm, uint64_t off, void *dst, size_t object_bytes,
                         size_t count)
{
    return op_read(pm, off, dst, object_bytes * count);
}

/*
 * Records lie in few pages of each segment, most of which a file may not even have: the read-ahead of
 * the kernel, which goes round each page that is missed, would fill the page cache with holes.
 */
static void page_want(struct cbd_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    const uint64_t page = 4096;
    uint64_t first = off & ~(page - 1);

    if (inside(pm, off, len_bytes) && len_bytes != 0)
        (void)madvise(impl(pm)->base + first, off + len_bytes - first, MADV_WILLNEED);
}

const struct cbd_pmem_ops shim_pmem_line_ops = {
    .store64 = op_store64,
    .copy = line_copy,
    .set = line_set,
    .flush = line_flush,
    .fence = line_fence,
    .read = op_read,
    .read_array = op_read_array,
};

const struct cbd_pmem_ops shim_pmem_page_ops = {
    .store64 = op_store64,
    .copy = page_copy,
    .set = page_set,
    .flush = page_flush,
    .fence = page_fence,
    .read = op_read,
    .read_array = op_read_array,
    .want = page_want,
};
