/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A picture of the segments: four lines for each row of cells, and a legend below.
 *
 *      0 owner  0000000011111111--------
 *        state  occcccccoccccccc........
 *        dirty  2#97....................
 *        age    01234789009.............
 *
 * A cell is one segment, or as many as it takes for the picture to stay within ROWS_MAX rows. It
 * fits 80 columns. On a terminal that shows UTF-8, shares and ages are bars and shades.
 */
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump.h"
#include "tool_message.h"
#include "tool_size.h"

#define ROW_CELLS 64u
#define ROWS_MAX 5u
#define TENTHS 10u

static const char owner_letters[] = "0123456789abcdefghijklmnopqrstuv";

struct map_segment {
    uint64_t order_max; /* of an open one: the highest there is */
    uint64_t live_bytes;
    uint64_t dirty_bytes;
    uint32_t backend;
    uint8_t status;
    bool scanned;
    bool damaged;
    uint8_t age; /* tenth of its backend's segments by age; 0: the newest */
};

struct dump_map {
    struct map_segment *segments;
    uint32_t *by_age;
    uint32_t count;
};

struct cell {
    char owner, state;
    unsigned eighths; /* dirty share, rounded up */
    unsigned tenths;
    int age; /* of the newest; -1: there is none */
};

/* qsort() takes no argument. */
static const struct map_segment *sorted;

int dump_map_begin(struct dump *d)
{
    struct dump_map *map = calloc(1, sizeof(*map));

    d->map_data = map;
    if (map == NULL)
        return CBD_E_NOMEM;
    map->count = d->summary->super.geo.segment_count;
    map->segments = calloc(map->count, sizeof(*map->segments));
    map->by_age = calloc(map->count, sizeof(*map->by_age));
    for (uint32_t i = 0; map->segments != NULL && i < map->count; i++)
        map->segments[i].backend = CBD_CHECK_NONE;
    return map->segments != NULL && map->by_age != NULL ? 0 : CBD_E_NOMEM;
}

void dump_map_segment(struct dump *d, const struct cbd_check_segment *s)
{
    struct map_segment *m = &d->map_data->segments[s->id];
    struct cbd_pmem *pm = d->device.pm;
    struct cbd_m_segment entry;

    m->backend = s->entry_valid ? s->backend : CBD_CHECK_NONE;
    m->status = s->status;
    m->scanned = s->scanned;
    m->damaged = !s->entry_valid || s->damaged != 0 ||
                 (s->problem != NULL && s->problem->severity == CBD_CHECK_ERROR);
    m->live_bytes = s->live_bytes;
    m->dirty_bytes = s->dirty_bytes;
    m->order_max = UINT64_MAX;
    if (s->scanned && s->status == CBD_M_SEGMENT_CLOSED &&
        pm->ops->read(pm, s->entry_off_bytes, &entry, sizeof(entry)) == 0)
        m->order_max = cbd_get64(entry.order_max);
}

/* By backend, newest first. */
static int by_age(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct map_segment *x = &sorted[i], *y = &sorted[j];

    if (x->backend != y->backend)
        return x->backend < y->backend ? -1 : 1;
    if (x->order_max != y->order_max)
        return x->order_max > y->order_max ? -1 : 1;
    return i < j ? -1 : i > j;
}

static void make_ages(struct dump_map *map)
{
    uint32_t n = 0, first = 0;

    for (uint32_t i = 0; i < map->count; i++)
        if (map->segments[i].scanned)
            map->by_age[n++] = i;
    sorted = map->segments;
    qsort(map->by_age, n, sizeof(*map->by_age), by_age);
    for (uint32_t end = 1; end <= n; end++) {
        if (end < n &&
            map->segments[map->by_age[end]].backend == map->segments[map->by_age[first]].backend)
            continue;
        for (uint32_t i = first; i < end; i++)
            map->segments[map->by_age[i]].age =
                (uint8_t)((uint64_t)(i - first) * TENTHS / (end - first));
        first = end;
    }
}

static char owner_of(uint32_t backend)
{
    return backend < CBD_BACKENDS ? owner_letters[backend] : '-';
}

/* What `n` segments have to show as one. */
static struct cell make_cell(const struct dump *d, uint32_t first, uint32_t n)
{
    struct cell c = {.owner = '-', .state = '.', .age = -1};
    uint64_t whole = (uint64_t)n * d->summary->super.geo.segment_bytes, dirty = 0;

    for (uint32_t i = first; i < first + n; i++) {
        const struct map_segment *m = &d->map_data->segments[i];
        char owner = owner_of(m->backend);

        if (owner != '-')
            c.owner = c.owner == '-' || c.owner == owner ? owner : '*';
        if (m->damaged)
            c.state = '!';
        if (c.state != '!' && m->scanned && m->status == CBD_M_SEGMENT_OPEN)
            c.state = 'o';
        if (c.state == '.' && m->scanned)
            c.state = 'c';
        if (m->scanned && (c.age < 0 || m->age < c.age))
            c.age = m->age;
        dirty += m->dirty_bytes;
    }
    c.eighths = (unsigned)((dirty * 8 + whole - 1) / whole);
    c.tenths = (unsigned)((dirty * TENTHS + whole - 1) / whole);
    return c;
}

static void draw_dirty(const struct cell *c, bool utf8)
{
    static const char *const bars[] = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

    if (utf8)
        printf("%s", bars[c->eighths]);
    else
        printf("%c", c->tenths == 0 ? '.' : c->tenths == TENTHS ? '#' : (char)('0' + c->tenths));
}

static void draw_age(const struct cell *c, bool utf8)
{
    static const char *const shades[] = {"█", "▓", "▒", "░"};

    if (utf8)
        printf("%s", c->age < 0 ? "·" : shades[(unsigned)c->age * 4 / TENTHS]);
    else
        printf("%c", c->age < 0 ? '.' : (char)('0' + c->age));
}

static void draw_row(const struct dump *d, uint32_t first, uint32_t per_cell, bool utf8)
{
    static const char *const names[] = {"owner", "state", "dirty", "age"};

    for (unsigned line = 0; line < 4; line++) {
        if (line == 0)
            printf("%7" PRIu32 " %-6s ", first, names[line]);
        else
            printf("%7s %-6s ", "", names[line]);
        for (uint32_t i = 0; i < ROW_CELLS && first + i * per_cell < d->map_data->count; i++) {
            uint32_t at = first + i * per_cell, left = d->map_data->count - at;
            struct cell c = make_cell(d, at, left < per_cell ? left : per_cell);

            if (line == 0)
                printf("%c", c.owner);
            else if (line == 1)
                printf("%c", c.state);
            else if (line == 2)
                draw_dirty(&c, utf8);
            else
                draw_age(&c, utf8);
        }
        printf("\n");
    }
}

static void draw_legend(const struct dump *d, bool utf8)
{
    printf("  owner  - nobody  * several backends\n");
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        const struct cbd_check_backend *b = &d->summary->backends[id];
        char name[sizeof(b->name)];

        if (!b->used || (d->backend != CBD_CHECK_NONE && id != d->backend))
            continue;
        memcpy(name, b->name, sizeof(name));
        cbd_tool_clean_text(name);
        printf("         %c '%s'\n", owner_of(id), name);
    }
    printf("  state  o open  c closed  . free or forgotten  ! damaged\n");
    printf("  dirty  share of the segment that is not on the disk yet:\n         %s\n",
           utf8 ? "· none  ▁ up to an eighth ... █ all"
                : ". none  1 up to a tenth ... 9  # more than nine tenths");
    printf("  age    %s\n", utf8 ? "█ newest ... ░ oldest segments of the backend"
                                 : "0 newest ... 9 oldest tenth of the backend's segments");
}

/* Whether the picture may use more than ASCII. */
static bool wants_utf8(void)
{
    return isatty(STDOUT_FILENO) == 1 && setlocale(LC_CTYPE, "") != NULL &&
           strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void draw(struct dump *d)
{
    const struct dump_map *map = d->map_data;
    char size[CBD_TOOL_SIZE_TEXT_BYTES];
    bool utf8 = wants_utf8();
    uint32_t per_cell = 1;

    while ((map->count + per_cell - 1) / per_cell > ROW_CELLS * ROWS_MAX)
        per_cell *= 2;
    make_ages(d->map_data);
    printf("%" PRIu32 " segments of %s, ", map->count,
           cbd_tool_size_exact(d->summary->super.geo.segment_bytes, size));
    if (per_cell == 1)
        printf("a cell is one\n");
    else
        printf("a cell is %" PRIu32 " of them\n", per_cell);
    for (uint32_t first = 0; first < map->count; first += ROW_CELLS * per_cell)
        draw_row(d, first, per_cell, utf8);
    draw_legend(d, utf8);
}

void dump_map_end(struct dump *d)
{
    struct dump_map *map = d->map_data;

    if (map->segments != NULL && map->by_age != NULL)
        draw(d);
    free(map->segments);
    free(map->by_age);
    free(map);
    d->map_data = NULL;
}
