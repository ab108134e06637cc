/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * docs/format.md and the media structures say the same. Each section of the document is a list of
 * rows that is expected whole and in order, so a row too few and a row too many both fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/format.h"
#include "cbd/media_format.h"
#include "cbd/steps.h"
#include "crc.h"
#include "media.h"

#define ROW_BYTES 256
#define CELLS_MAX 8

/* --- what the sources say -------------------------------------------------------------------- */

struct field {
    const char *structure;
    const char *name;
    size_t structure_bytes;
    size_t off_bytes;
    size_t len_bytes;
    const char *meaning;
};

#define X(s, f, kind, meaning)                                                                     \
    {"cbd_m_" #s,                                                                                  \
     #f,                                                                                           \
     sizeof(struct cbd_m_##s),                                                                     \
     offsetof(struct cbd_m_##s, f),                                                                \
     sizeof(((struct cbd_m_##s *)0)->f),                                                           \
     meaning},

static const struct field fields[] = {
#include "cbd/media_fields.def"
};
#undef X

struct constant {
    const char *name;
    uint64_t value;
};

#define C(name) {#name, name},

static const struct constant constants[] = {
    C(CBD_DISK_VERSION) C(CBD_SECTOR_BYTES) C(CBD_PAGE_BYTES) C(CBD_SUPER_COPIES) C(CBD_SUPER0_OFF)
        C(CBD_SUPER1_OFF) C(CBD_TABLES_OFF) C(CBD_BACKENDS) C(CBD_BACKEND_NAME_BYTES) C(
            CBD_BACKEND_PATH_BYTES) C(CBD_LABEL_BYTES) C(CBD_SEGMENT_BYTES_MIN)
            C(CBD_SEGMENT_BYTES_MAX) C(CBD_SEGMENTS_MAX) C(CBD_STREAMS_MAX) C(CBD_REGION_BYTES) C(
                CBD_BLOCK_BYTES) C(CBD_HEADER_CRCS) C(CBD_CRC_LINE_CRCS) C(CBD_ORDER_COUNT_BITS)
                C(CBD_ORDER_MAX) C(CBD_EPOCH_MAX) C(CBD_GENERATION_MAX) C(CBD_COMPAT_KNOWN)
                    C(CBD_RO_COMPAT_KNOWN) C(CBD_INCOMPAT_DATA_CHECKSUMS) C(
                        CBD_INCOMPAT_METADATA_ONLY) C(CBD_INCOMPAT_FORMATTING) C(CBD_INCOMPAT_KNOWN)
                        C(CBD_M_BACKEND_FREE) C(CBD_M_BACKEND_USED) C(CBD_M_STATE_ATTACHED)
                            C(CBD_M_STATE_DROPPING) C(CBD_M_SEGMENT_FREE) C(CBD_M_SEGMENT_OPEN)
                                C(CBD_M_SEGMENT_CLOSED) C(CBD_M_SEGMENT_KIND_DATA)
                                    C(CBD_M_RECORD_WRITE) C(CBD_M_RECORD_FILL) C(CBD_M_RECORD_ZERO)
                                        C(CBD_M_RECORD_VOID) C(CBD_M_RECORD_PUNCH)
                                            C(CBD_M_RECORD_FLAGS_KNOWN) C(CBD_SEED_BACKEND)
                                                C(CBD_SEED_STATE) C(CBD_SEED_SEGMENT)
                                                    C(CBD_SEED_RECORD) C(CBD_SEED_HEADER)
                                                        C(CBD_SEED_BLOCK)};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- the document ---------------------------------------------------------------------------- */

/* The text of a file of the source tree; the caller frees it. */
static char *load(const char *path)
{
    const char *root = getenv("CBD_SOURCE_DIR");
    char name[4096];
    size_t len, room = 1 << 20;
    char *text = calloc(1, room);
    FILE *f;

    assert_non_null(text);
    snprintf(name, sizeof(name), "%s/%s", root != NULL ? root : ".", path);
    f = fopen(name, "rb");
    if (f == NULL)
        fail_msg("%s cannot be opened; CBD_SOURCE_DIR names the source tree", name);
    len = fread(text, 1, room - 1, f);
    assert_true(len < room - 1);
    fclose(f);
    return text;
}

/* The first `cells` cells of a table row, without blanks and backticks, joined by "|". */
static void canonical(const char *line, unsigned cells, char row[ROW_BYTES])
{
    size_t n = 0;

    for (const char *p = line + 1; *p != '\0' && *p != '\n' && n < ROW_BYTES - 1; p++) {
        if (*p == '|' && --cells == 0)
            break;
        if (*p != ' ' && *p != '`')
            row[n++] = *p;
    }
    row[n] = '\0';
}

struct list {
    char (*rows)[ROW_BYTES];
    size_t count;
};

static void add(struct list *list, const char *format, ...)
{
    va_list args;

    list->rows = realloc(list->rows, (list->count + 1) * ROW_BYTES);
    assert_non_null(list->rows);
    va_start(args, format);
    vsnprintf(list->rows[list->count++], ROW_BYTES, format, args);
    va_end(args);
}

/* The rows of all tables under the heading, up to the next one; not their head and rule. */
static struct list rows_under(const char *doc, const char *heading, unsigned cells)
{
    struct list list = {0};
    const char *at = strstr(doc, heading);

    if (at == NULL)
        fail_msg("docs/format.md has no heading that begins with: %s", heading + 1);
    for (at = strchr(at + 1, '\n'); at != NULL && at[1] != '#'; at = strchr(at + 1, '\n')) {
        const char *next = strchr(at + 1, '\n');
        char row[ROW_BYTES];

        if (at[1] != '|' || strncmp(at + 1, "| ---", 5) == 0)
            continue;
        if (next != NULL && strncmp(next, "\n| ---", 6) == 0)
            continue;
        canonical(at + 1, cells, row);
        add(&list, "%s", row);
    }
    return list;
}

/* Frees both. */
static void same(struct list doc, struct list code, const char *what)
{
    size_t n = doc.count < code.count ? doc.count : code.count;

    for (size_t i = 0; i < n; i++)
        if (strcmp(doc.rows[i], code.rows[i]) != 0)
            fail_msg("%s: the document says %s, the sources say %s", what, doc.rows[i],
                     code.rows[i]);
    if (doc.count > n)
        fail_msg("%s: only the document has %s", what, doc.rows[n]);
    if (code.count > n)
        fail_msg("%s: the document lacks %s", what, code.rows[n]);
    free(doc.rows);
    free(code.rows);
}

/* --- tests ----------------------------------------------------------------------------------- */

/* Fields that follow each other without a gap from 0 to the end are all fields there are. */
static void test_field_list_is_complete(void **state)
{
    size_t end = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(fields); i++) {
        assert_int_equal(fields[i].off_bytes, end);
        end += fields[i].len_bytes;
        if (i + 1 == COUNT(fields) || strcmp(fields[i].structure, fields[i + 1].structure) != 0) {
            assert_int_equal(end, fields[i].structure_bytes);
            end = 0;
        }
    }
}

static void test_every_structure_is_listed(void **state)
{
    char *header = load("core/include/cbd/media_format.h");
    size_t found = 0, listed = 0;

    (void)state;
    for (const char *p = header; (p = strstr(p, "\nstruct cbd_m_")) != NULL; p++)
        found += strcspn(p + 1, "{") < strcspn(p + 1, ";(");
    for (size_t i = 0; i < COUNT(fields); i++)
        listed += i == 0 || strcmp(fields[i].structure, fields[i - 1].structure) != 0;
    assert_int_equal(found, listed);
    free(header);
}

static void test_fields(void **state)
{
    char *doc = load("docs/format.md");

    (void)state;
    for (size_t i = 0; i < COUNT(fields);) {
        const char *structure = fields[i].structure;
        struct list code = {0};
        char heading[ROW_BYTES];

        snprintf(heading, sizeof(heading), "\n### `struct %s`, %zu bytes\n", structure,
                 fields[i].structure_bytes);
        for (; i < COUNT(fields) && strcmp(fields[i].structure, structure) == 0; i++)
            add(&code, "%zu|%zu|%s", fields[i].off_bytes, fields[i].len_bytes, fields[i].name);
        if (strcmp(structure, "cbd_m_record") == 0) /* a second table stands under this heading */
            for (const char *const *t = (const char *const[]){"WRITE", "FILL", "ZERO", "VOID", 0};
                 *t != NULL; t++)
                add(&code, "%s", *t);
        {
            struct list rows = rows_under(doc, heading, 3);

            for (size_t r = 0; r < rows.count; r++)
                if (rows.rows[r][0] < '0' || rows.rows[r][0] > '9')
                    *strchr(rows.rows[r], '|') = '\0';
            same(rows, code, structure);
        }
    }
    for (const char *p = doc; (p = strstr(p, "\n### `struct ")) != NULL; p++) {
        const char *name = p + strlen("\n### `struct ");
        size_t known = 0;

        for (size_t i = 0; i < COUNT(fields); i++)
            known += strncmp(name, fields[i].structure, strcspn(name, "`")) == 0;
        assert_true(known > 0);
    }
    free(doc);
}

/* Cell `cell` (from 0) of a table row, without backticks and the blanks around it. */
static void cell_text(const char *row, unsigned cell, char text[1024])
{
    size_t n = 0;

    for (row++; cell > 0 && *row != '\n'; row++)
        cell -= *row == '|';
    while (*row == ' ')
        row++;
    for (; *row != '|' && *row != '\n' && n < 1023; row++)
        if (*row != '`')
            text[n++] = *row;
    while (n > 0 && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
}

/* What a field means begins in the document with the words of the description. */
static void test_meanings(void **state)
{
    char *doc = load("docs/format.md");
    char text[1024], want[ROW_BYTES];
    const char *at = doc;

    (void)state;
    for (size_t i = 0; i < COUNT(fields); i++) {
        const struct field *f = &fields[i];
        size_t len = strlen(f->meaning);

        if (i == 0 || strcmp(fields[i - 1].structure, f->structure) != 0) {
            snprintf(want, sizeof(want), "\n### `struct %s`,", f->structure);
            at = strstr(doc, want);
            assert_non_null(at);
        }
        snprintf(want, sizeof(want), "\n| %zu | %zu | `%s` |", f->off_bytes, f->len_bytes, f->name);
        at = strstr(at, want);
        if (at == NULL)
            fail_msg("docs/format.md has no row %s", want + 1);
        cell_text(++at, 3, text);
        if (len == 0 || strncmp(text, f->meaning, len) != 0 || strchr(";:,. ", text[len]) == NULL)
            fail_msg("%s.%s: the document says '%s', the description '%s'", f->structure, f->name,
                     text, f->meaning);
    }
    free(doc);
}

static void test_constants(void **state)
{
    static const char magic[] = CBD_SUPER_MAGIC;
    char *doc = load("docs/format.md");
    struct list code = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(constants); i++)
        add(&code, "%s|%llu", constants[i].name, (unsigned long long)constants[i].value);
    same(rows_under(doc, "\n## Constants\n", 2), code, "constants");
    assert_int_equal(sizeof(magic), 16 + 1);
    for (size_t i = 0; i < 16; i++) {
        char hex[4];
        const char *row = strstr(doc, "| `magic` | `");

        assert_non_null(row);
        snprintf(hex, sizeof(hex), "%02x", (unsigned char)magic[i]);
        assert_memory_equal(row + strlen("| `magic` | `") + 3 * i, hex, 2);
    }
    free(doc);
}

static size_t is_listed(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT(constants); i++)
        if (strlen(constants[i].name) == len && strncmp(constants[i].name, name, len) == 0)
            return 1;
    return 0;
}

/* Every macro and enumerator of the header is in the list above. */
static void test_every_constant_is_listed(void **state)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    char *header = load("core/include/cbd/media_format.h");

    (void)state;
    for (const char *p = header; (p = strchr(p, '\n')) != NULL; p++) {
        const char *name = p + 1;
        size_t len;

        if (strncmp(name, "#define CBD_", 12) == 0)
            name += 8;
        else if (strncmp(name, "    CBD_M_", 10) == 0)
            name += 4;
        else
            continue;
        len = strspn(name, word);
        if (strncmp(name, "CBD_MEDIA_FORMAT_H", len) == 0 ||
            strncmp(name, "CBD_SUPER_MAGIC", len) == 0)
            continue;
        if (!is_listed(name, len))
            fail_msg("%.*s is not in the list of this test", (int)len, name);
    }
    free(header);
}

static void test_steps(void **state)
{
    static const char suffix[] = "_A_COPY";
    char *doc = load("docs/format.md");
    struct list code = {0};

    (void)state;
    for (unsigned step = CBD_STEP_NONE + 1; step < CBD_STEP_COUNT; step++) {
        const char *name = cbd_step_name((enum cbd_step)step);
        size_t len = strlen(name);

        if (len > strlen(suffix) && strcmp(name + len - strlen(suffix), suffix) == 0) {
            add(&code, "%.*s_*", (int)(len - strlen(suffix)), name);
            step += 3;
        } else {
            add(&code, "%s", name);
        }
    }
    same(rows_under(doc, "\n## Persist steps\n", 1), code, "persist steps");
    free(doc);
}

static void test_geometry_examples(void **state)
{
    const uint64_t devices[][2] = {
        {cbd_geometry_minimum(65536), 65536}, {UINT64_C(64) << 20, 0}, {UINT64_C(1) << 30, 0},
        {(UINT64_C(100) << 30) + 12345, 0},   {UINT64_C(1) << 48, 0},
    };
    char *doc = load("docs/format.md");
    struct list code = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(devices); i++) {
        struct cbd_geometry g;

        assert_int_equal(cbd_geometry_plan(&g, devices[i][0], (uint32_t)devices[i][1]), 0);
        add(&code, "%llu|%u|%u|%llu|%llu|%llu|%llu|%u", (unsigned long long)g.device_bytes,
            g.segment_bytes, g.segment_count, (unsigned long long)g.table_bytes,
            (unsigned long long)g.table_b_off, (unsigned long long)g.data_off,
            (unsigned long long)g.super2_off, g.atomic_bytes);
    }
    same(rows_under(doc, "\n### Geometry examples\n", CELLS_MAX), code, "geometry");
    free(doc);
}

/* table(n) of the document. */
static uint64_t doc_table(uint64_t n)
{
    return (32 * 512 + 32 * 64 + 64 * n + 4095) / 4096 * 4096;
}

/* data(n) of the document. */
static uint64_t doc_data_off(uint64_t n, uint64_t segment_bytes)
{
    uint64_t unit = segment_bytes < 2097152 ? 65536 : 2097152;

    return (2105344 + doc_table(n) + unit - 1) / unit * unit;
}

/* The formula of the document, computed another way, for many sizes. */
static void test_geometry_formula(void **state)
{
    uint64_t x = 88172645463325252u;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t segment_bytes = 65536u << (i % 11);
        struct cbd_geometry g;
        uint64_t device, end, n;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        device = (x >> 16) >> (i / 11 % 26);
        if (device < cbd_geometry_minimum(segment_bytes))
            continue;
        assert_int_equal(cbd_geometry_plan(&g, device, segment_bytes), 0);
        end = device / 4096 * 4096 - 4096;
        n = g.segment_count;
        assert_int_equal(g.data_off, doc_data_off(n, segment_bytes));
        assert_true(g.data_off + n * segment_bytes + doc_table(n) <= end);
        assert_true(n == 1048576 || doc_data_off(n + 1, segment_bytes) + (n + 1) * segment_bytes +
                                            doc_table(n + 1) >
                                        end);
        assert_int_equal(g.table_bytes, doc_table(n));
        assert_int_equal(g.table_b_off, end - doc_table(n));
        assert_int_equal(g.super2_off, end);
    }
}

static void add_hex(struct list *list, const char *name, const void *bytes)
{
    const uint8_t *p = bytes;

    for (unsigned at = 0; at < 64; at += 16) {
        char hex[33];

        for (unsigned i = 0; i < 16; i++)
            snprintf(hex + 2 * i, 3, "%02x", p[at + i]);
        add(list, "%s%u..%u|%s", name, at, at + 15, hex);
    }
}

static void test_vectors(void **state)
{
    static uint8_t data[4096];
    const uint8_t uuid[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint32_t cache = cbd_seed_cache(uuid, UINT64_C(0x1122334455667788));
    uint32_t record_seed = cbd_seed_place(cache, CBD_SEED_RECORD, 7, 5);
    uint32_t header_seed = cbd_seed_place(cache, CBD_SEED_HEADER, 7, 5);
    uint32_t block = cbd_seed_place(cache, CBD_SEED_BLOCK, 0, 0);
    struct cbd_header h = {.slot = 2,
                           .addr_bytes = 8192,
                           .len_bytes = sizeof(data),
                           .type = CBD_M_RECORD_WRITE,
                           .epoch_floor = 4};
    struct cbd_record r = {.type = CBD_M_RECORD_WRITE,
                           .durable = 2,
                           .order = 1 << 20,
                           .epoch = 4,
                           .addr_bytes = 8192,
                           .len_bytes = sizeof(data),
                           .payload_off = 8384};
    char *doc = load("docs/format.md");
    struct list code = {0};
    uint8_t header[64];
    struct cbd_m_record m;

    (void)state;
    memset(data, 0xc1, sizeof(data));
    add(&code, "seed_cache|%08x", cache);
    add(&code, "seed_place(2,3,0)|%08x", cbd_seed_place(cache, CBD_SEED_STATE, 3, 0));
    add(&code, "seed_place(4,7,5)|%08x", record_seed);
    add(&code, "seed_place(5,7,5)|%08x", header_seed);
    add(&code, "seed_place(6,0,0)|%08x", block);
    block = cbd_crc32c(block, data, sizeof(data));
    add(&code, "datablock|%08x", block);
    r.header_crc = cbd_header_encode(&h, &block, header_seed, r.payload_off, header);
    add_hex(&code, "header", header);
    cbd_record_encode(&r, record_seed, 5, 2, &m);
    add_hex(&code, "record", &m);
    same(rows_under(doc, "\n## Test vectors\n", 2), code, "test vectors");
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_field_list_is_complete),
        cmocka_unit_test(test_every_structure_is_listed),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_every_constant_is_listed),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_geometry_examples),
        cmocka_unit_test(test_geometry_formula),
        cmocka_unit_test(test_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
