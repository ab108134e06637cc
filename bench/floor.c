/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floors: the least that the same durable write or the same read can take on this machine.
 *
 * A write is a non-temporal copy of a block to consecutive places, a fence, a line appended to
 * another consecutive place, a fence. Once by the calls that the engine uses, once as a plain loop;
 * whichever is faster counts. A read is a memcpy() from a random place, or from one that has to be
 * looked up first.
 */
#include <string.h>

#include "bench.h"
#include "crc.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LINE_BYTES 64u

/* What keeps the compiler from dropping a checksum that nobody reads. */
static volatile uint32_t sink;

struct place {
    uint64_t data_off;
    uint64_t line_off;
    uint64_t slots;
};

/* The part of the floors' range that is this thread's, room for its blocks and then its lines. */
static struct place place_of(const struct bench_rig *rig, unsigned thread)
{
    uint64_t bytes = rig->floor_bytes / BENCH_THREADS;
    struct place p = {.slots = bytes / (BENCH_BLOCK_BYTES + LINE_BYTES)};

    p.data_off = rig->floor_off + thread * bytes;
    p.line_off = p.data_off + p.slots * BENCH_BLOCK_BYTES;
    return p;
}

static const uint8_t *source(const struct bench_rig *rig, uint64_t n)
{
    return rig->src + n % BENCH_SOURCES * BENCH_BLOCK_BYTES;
}

static inline void write_shim(struct bench_rig *rig, const struct bench_slice *slice, bool crc)
{
    struct cbd_pmem *pm = rig->pm;
    struct place p = place_of(rig, slice->thread);
    _Alignas(LINE_BYTES) uint64_t line[LINE_BYTES / 8] = {0};

    for (uint64_t n = slice->first; n < slice->first + slice->count; n++) {
        const uint8_t *src = source(rig, n);
        uint64_t slot = n % p.slots;

        line[0] = n;
        if (crc)
            line[1] = cbd_crc32c(0, src, BENCH_BLOCK_BYTES);
        pm->ops->copy(pm, p.data_off + slot * BENCH_BLOCK_BYTES, src, BENCH_BLOCK_BYTES,
                      CBD_PMEM_NT, CBD_STEP_NONE);
        bench_must(pm->ops->fence(pm, CBD_STEP_NONE), "fence");
        pm->ops->copy(pm, p.line_off + slot * LINE_BYTES, line, LINE_BYTES, CBD_PMEM_NT,
                      CBD_STEP_NONE);
        bench_must(pm->ops->fence(pm, CBD_STEP_NONE), "fence");
    }
}

void bench_floor_write_shim(struct bench_rig *rig, const struct bench_slice *slice)
{
    write_shim(rig, slice, false);
}

void bench_floor_write_shim_crc(struct bench_rig *rig, const struct bench_slice *slice)
{
    write_shim(rig, slice, true);
}

#if defined(__x86_64__)

static inline void nt_copy_sse2(uint8_t *dst, const uint8_t *src, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i += 16)
        _mm_stream_si128((__m128i *)(void *)(dst + i),
                         _mm_load_si128((const __m128i *)(const void *)(src + i)));
}

__attribute__((target("avx512f"))) static void nt_copy_avx512(uint8_t *dst, const uint8_t *src,
                                                              size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i += 64)
        _mm512_stream_si512((__m512i *)(void *)(dst + i),
                            _mm512_load_si512((const void *)(src + i)));
}

static void write_raw(struct bench_rig *rig, const struct bench_slice *slice, bool crc)
{
    void (*copy)(uint8_t *, const uint8_t *, size_t) =
        __builtin_cpu_supports("avx512f") ? nt_copy_avx512 : nt_copy_sse2;
    uint8_t *base = (uint8_t *)(uintptr_t)rig->pm->base;
    struct place p = place_of(rig, slice->thread);
    _Alignas(LINE_BYTES) uint64_t line[LINE_BYTES / 8] = {0};

    for (uint64_t n = slice->first; n < slice->first + slice->count; n++) {
        const uint8_t *src = source(rig, n);
        uint64_t slot = n % p.slots;

        line[0] = n;
        if (crc)
            line[1] = cbd_crc32c(0, src, BENCH_BLOCK_BYTES);
        copy(base + p.data_off + slot * BENCH_BLOCK_BYTES, src, BENCH_BLOCK_BYTES);
        _mm_sfence();
        copy(base + p.line_off + slot * LINE_BYTES, (const uint8_t *)line, LINE_BYTES);
        _mm_sfence();
    }
}

#else

/* Without intrinsics for it there is no plain loop that would be durable. */
static void write_raw(struct bench_rig *rig, const struct bench_slice *slice, bool crc)
{
    write_shim(rig, slice, crc);
}

#endif

void bench_floor_write_raw(struct bench_rig *rig, const struct bench_slice *slice)
{
    write_raw(rig, slice, false);
}

void bench_floor_write_raw_crc(struct bench_rig *rig, const struct bench_slice *slice)
{
    write_raw(rig, slice, true);
}

/*
 * Two loads from memory as large as the index, the second from a place that the first one decides.
 * What they bring is zero, which only the compiler does not know.
 */
static inline uint64_t look_up(const struct bench_rig *rig, uint64_t seed, uint64_t n)
{
    const uint64_t words = LINE_BYTES / sizeof(uint64_t);
    uint64_t first = rig->lines[bench_random(seed ^ 1, n, rig->line_count) * words];

    return rig->lines[bench_random(seed ^ 2, n + first, rig->line_count) * words];
}

/* Places as the engine's payloads have them: any line of the range that it has filled. */
static inline void read_places(struct bench_rig *rig, const struct bench_slice *slice, bool lookup,
                               bool crc)
{
    uint64_t places = rig->blocks;
    const uint8_t *base = rig->pm->base + rig->data_off;
    _Alignas(LINE_BYTES) uint8_t out[BENCH_BLOCK_BYTES];
    uint32_t sum = 0;

    for (uint64_t n = slice->first; n < slice->first + slice->count; n++) {
        uint64_t found = lookup ? look_up(rig, slice->seed, n) : 0;
        uint64_t place = bench_random(slice->seed, n + found, places);

        memcpy(out, base + place * (BENCH_BLOCK_BYTES + LINE_BYTES), sizeof(out));
        __asm__ volatile("" : : "r"(out) : "memory");
        if (crc)
            sum ^= cbd_crc32c(0, out, sizeof(out));
    }
    sink = sum;
}

void bench_floor_read(struct bench_rig *rig, const struct bench_slice *slice)
{
    read_places(rig, slice, false, false);
}

void bench_floor_read_crc(struct bench_rig *rig, const struct bench_slice *slice)
{
    read_places(rig, slice, false, true);
}

void bench_floor_lookup(struct bench_rig *rig, const struct bench_slice *slice)
{
    read_places(rig, slice, true, false);
}

void bench_floor_lookup_crc(struct bench_rig *rig, const struct bench_slice *slice)
{
    read_places(rig, slice, true, true);
}
