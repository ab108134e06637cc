/* SPDX-License-Identifier: BSD-2-Clause */
/* The arithmetic of the layout: sizes in, offsets out. */
#include <string.h>

#include "media.h"

#define SMALL_DEVICE_BYTES (UINT64_C(1) << 30)
#define SEGMENT_BYTES_SMALL (1u << 20)
#define SEGMENT_BYTES_LARGE (16u << 20)
#define ATOMIC_BYTES 65536u
/* A payload never needs more than a quarter of a segment, so that segments fill well. */
#define PIECES_PER_SEGMENT 4u

static uint64_t align_up(uint64_t v, uint64_t unit)
{
    return (v + unit - 1) / unit * unit;
}

static uint64_t table_bytes(uint64_t segments)
{
    return align_up(cbd_place_state(CBD_BACKENDS) + segments * sizeof(struct cbd_m_segment),
                    CBD_PAGE_BYTES);
}

/* Segments of 2 MiB and more start on a multiple of 2 MiB, so that huge pages can map them. */
static uint64_t data_off(uint64_t segments, uint32_t segment_bytes)
{
    uint32_t unit = segment_bytes < (2u << 20) ? 65536u : 2u << 20;

    return align_up(CBD_TABLES_OFF + table_bytes(segments), unit);
}

/* Where table B ends; it begins on a page. */
static uint64_t end_of(uint64_t segments, uint32_t segment_bytes)
{
    return data_off(segments, segment_bytes) + segments * segment_bytes + table_bytes(segments);
}

static bool segment_bytes_valid(uint32_t n)
{
    return n >= CBD_SEGMENT_BYTES_MIN && n <= CBD_SEGMENT_BYTES_MAX && (n & (n - 1)) == 0;
}

/* How many segments there can be, with table B behind them, at or before `end`. */
static uint64_t segments_that_fit(uint64_t end, uint32_t segment_bytes)
{
    uint64_t n = end / segment_bytes;

    if (n > CBD_SEGMENTS_MAX)
        n = CBD_SEGMENTS_MAX;
    /* A smaller count needs a smaller table, so stepping down finds the largest that fits. */
    while (n > 0) {
        uint64_t need = end_of(n, segment_bytes);
        uint64_t over;

        if (need <= end)
            break;
        over = (need - end + segment_bytes - 1) / segment_bytes;
        n = over < n ? n - (over > 1 ? over / 2 : 1) : 0;
    }
    while (n < CBD_SEGMENTS_MAX && n > 0 && end_of(n + 1, segment_bytes) <= end)
        n++;
    return n;
}

int cbd_geometry_plan(struct cbd_geometry *geo, uint64_t device_bytes, uint32_t segment_bytes)
{
    uint64_t usable = device_bytes / CBD_PAGE_BYTES * CBD_PAGE_BYTES;
    uint64_t count;

    if (segment_bytes == 0)
        segment_bytes =
            device_bytes < SMALL_DEVICE_BYTES ? SEGMENT_BYTES_SMALL : SEGMENT_BYTES_LARGE;
    if (!segment_bytes_valid(segment_bytes))
        return CBD_E_INVALID;
    if (device_bytes > (UINT64_C(1) << 48) || usable < CBD_PAGE_BYTES)
        return device_bytes > (UINT64_C(1) << 48) ? CBD_E_INVALID : CBD_E_NOSPACE;
    count = segments_that_fit(usable - CBD_PAGE_BYTES, segment_bytes);
    if (count < CBD_SEGMENTS_MIN)
        return CBD_E_NOSPACE;
    memset(geo, 0, sizeof(*geo));
    geo->device_bytes = device_bytes;
    geo->segment_bytes = segment_bytes;
    geo->segment_count = (uint32_t)count;
    geo->atomic_bytes = segment_bytes / PIECES_PER_SEGMENT < ATOMIC_BYTES
                            ? segment_bytes / PIECES_PER_SEGMENT
                            : ATOMIC_BYTES;
    geo->table_a_off = CBD_TABLES_OFF;
    geo->table_bytes = table_bytes(count);
    geo->data_off = data_off(count, segment_bytes);
    geo->super2_off = usable - CBD_PAGE_BYTES;
    geo->table_b_off = geo->super2_off - geo->table_bytes;
    return 0;
}

uint64_t cbd_geometry_minimum(uint32_t segment_bytes)
{
    if (segment_bytes == 0)
        segment_bytes = SEGMENT_BYTES_SMALL;
    return end_of(CBD_SEGMENTS_MIN, segment_bytes) + CBD_PAGE_BYTES;
}
