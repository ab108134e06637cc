/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces: every format, compression, every kind of damage, and the totals of real recordings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "trace/trace.h"

#define V2 "fio version 2 iolog\n"
#define V3 "fio version 3 iolog\n"
#define MSR_ROW "128166372003061629,usr,0,Read,7014609920,24576,41286\n"
#define U64_MAX "18446744073709551615"
#define U64_OVER "18446744073709551616"
#define PATH_BYTES 4096
#define PACKED_BYTES 262144

static const struct sim_trace_options lenient = {.lenient = true};

static struct sim_trace *open_bytes(const void *bytes, size_t len,
                                    const struct sim_trace_options *options)
{
    struct sim_trace *trace;
    struct sim_trace_error error;
    int rc = sim_trace_open_memory(bytes, len, "mem", options, &trace, &error);

    if (rc != 0) {
        print_error("%s\n", error.text);
    }
    assert_int_equal(rc, 0);
    return trace;
}

static struct sim_trace *open_text(const char *text, const struct sim_trace_options *options)
{
    return open_bytes(text, strlen(text), options);
}

static void expect(struct sim_trace *trace, enum sim_request_op op, uint32_t volume, uint64_t off,
                   uint64_t len, uint64_t time_us, uint64_t line)
{
    struct sim_request req;
    struct sim_trace_error error;
    int rc = sim_trace_next(trace, &req, &error);

    if (rc < 0) {
        print_error("%s\n", error.text);
    }
    assert_int_equal(rc, 1);
    assert_string_equal(error.text, "");
    assert_int_equal(req.op, op);
    assert_false(req.fua);
    assert_int_equal(req.volume, volume);
    assert_int_equal(req.off_bytes, off);
    assert_int_equal(req.len_bytes, len);
    assert_int_equal(req.time_us, time_us);
    assert_int_equal(req.line, line);
}

static void expect_end(struct sim_trace *trace)
{
    struct sim_request req;

    assert_int_equal(sim_trace_next(trace, &req, NULL), 0);
    assert_int_equal(sim_trace_next(trace, &req, NULL), 0);
    sim_trace_close(trace);
}

/* The trace ends with this error, wherever it is found, and goes on saying so. */
static void expect_error(const void *bytes, size_t len, const struct sim_trace_options *options,
                         uint64_t line, unsigned field, const char *text)
{
    struct sim_trace *trace;
    struct sim_trace_error error;
    struct sim_request req;
    int rc = sim_trace_open_memory(bytes, len, "mem", options, &trace, &error);

    if (rc == 0) {
        do {
            rc = sim_trace_next(trace, &req, &error);
        } while (rc == 1);
        assert_int_equal(sim_trace_next(trace, &req, &error), rc);
        sim_trace_close(trace);
    } else {
        assert_null(trace);
    }
    assert_int_equal(rc, CBD_E_INVALID);
    assert_string_equal(error.text, text);
    assert_int_equal(error.line, line);
    assert_int_equal(error.field, field);
}

static void expect_text_error(const char *text, uint64_t line, unsigned field, const char *message)
{
    expect_error(text, strlen(text), NULL, line, field, message);
}

static void test_fio2(void **state)
{
    struct sim_trace *trace = open_text(V2 "a add\nb add\na open\n"
                                           "a read 100 7\nb wait 573 0\nb write 4096 8192\n"
                                           "a wait 27 0\na trim 0 5368709120\na sync\n"
                                           "b datasync 0 0\na datasync 4096 0\na close\n",
                                        NULL);

    (void)state;
    assert_int_equal(sim_trace_format(trace), SIM_TRACE_FIO2);
    expect(trace, SIM_REQUEST_READ, 0, 100, 7, 0, 5);
    expect(trace, SIM_REQUEST_WRITE, 1, 4096, 8192, 573, 7);
    expect(trace, SIM_REQUEST_TRIM, 0, 0, UINT64_C(5368709120), 600, 9);
    expect(trace, SIM_REQUEST_FLUSH, 0, 0, 0, 600, 10);
    expect(trace, SIM_REQUEST_FLUSH, 1, 0, 0, 600, 11);
    expect(trace, SIM_REQUEST_FLUSH, 0, 0, 0, 600, 12);
    assert_int_equal(sim_trace_volume_count(trace), 2);
    assert_string_equal(sim_trace_volume_name(trace, 0), "a");
    assert_string_equal(sim_trace_volume_name(trace, 1), "b");
    assert_null(sim_trace_volume_name(trace, 2));
    expect_end(trace);
}

static void test_fio3(void **state)
{
    struct sim_trace *trace = open_text(V3 "0 /dev/x add\n5 /dev/x open\n"
                                           "35 /dev/x write 512 1024\n30 /dev/x read 0 4096\n"
                                           "40 /dev/x datasync 512 0\n41 /dev/x sync\n"
                                           "50 /dev/y trim 18446744073709551614 1\n",
                                        NULL);

    (void)state;
    assert_int_equal(sim_trace_format(trace), SIM_TRACE_FIO3);
    expect(trace, SIM_REQUEST_WRITE, 0, 512, 1024, 35, 4);
    expect(trace, SIM_REQUEST_READ, 0, 0, 4096, 30, 5);
    expect(trace, SIM_REQUEST_FLUSH, 0, 0, 0, 40, 6);
    expect(trace, SIM_REQUEST_FLUSH, 0, 0, 0, 41, 7);
    expect(trace, SIM_REQUEST_TRIM, 1, UINT64_MAX - 1, 1, 50, 8);
    assert_int_equal(sim_trace_stats(trace)->lines, 8);
    assert_int_equal(sim_trace_stats(trace)->lines_skipped, 3);
    assert_int_equal(sim_trace_stats(trace)->requests, 5);
    expect_end(trace);
}

static void test_msr(void **state)
{
    struct sim_trace *trace = open_text("1000,usr,0,Read,7014609920,24576,41286\n"
                                        "1029,usr,1,WRITE,512,1,0\n"
                                        "990,usr,00,read,0,4096,3\n" /* older than the first */
                                        "11000,web,0,Write,0,512,3\n",
                                        NULL);

    (void)state;
    assert_int_equal(sim_trace_format(trace), SIM_TRACE_MSR);
    expect(trace, SIM_REQUEST_READ, 0, UINT64_C(7014609920), 24576, 0, 1);
    expect(trace, SIM_REQUEST_WRITE, 1, 512, 1, 2, 2);
    expect(trace, SIM_REQUEST_READ, 0, 0, 4096, 0, 3);
    expect(trace, SIM_REQUEST_WRITE, 2, 0, 512, 1000, 4);
    assert_string_equal(sim_trace_volume_name(trace, 0), "usr_0");
    assert_string_equal(sim_trace_volume_name(trace, 1), "usr_1");
    assert_string_equal(sim_trace_volume_name(trace, 2), "web_0");
    expect_end(trace);
}

static void test_line_ends_and_blank_lines(void **state)
{
    struct sim_trace *trace = open_text("fio version 3 iolog\r\n\r\n1 f read 0 1\r\n  \t\r\n"
                                        "\n2\tf  write 1 2",
                                        NULL);

    (void)state;
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 1, 3);
    expect(trace, SIM_REQUEST_WRITE, 0, 1, 2, 2, 6);
    assert_int_equal(sim_trace_stats(trace)->lines_skipped, 4);
    expect_end(trace);

    trace = open_text("1,a,0,Read,0,1,0\r\n\r\n2,a,0,Read,0,1,0\r", NULL);
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 0, 1);
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 0, 3);
    expect_end(trace);
}

static void test_bad_fio_lines(void **state)
{
    (void)state;
    expect_text_error(
        V3 "1 f read 0\n", 2, 0,
        "mem:2: got 4 fields, expected 3 or 5: time, file, action [, offset, length]");
    expect_text_error(V2 "f\n", 2, 0,
                      "mem:2: got 1 field, expected 2 or 4: file, action [, offset, length]");
    expect_text_error(V2 "f a b c d e f g\n", 2, 0,
                      "mem:2: got 8 fields, expected 2 or 4: file, action [, offset, length]");
    expect_text_error(
        V3 "1 f jump 0 1\n", 2, 3,
        "mem:2: field 3 (action): got 'jump', expected add, open, close, read, write, "
        "trim, sync or datasync");
    expect_text_error(
        V3 "1 f wait 0 1\n", 2, 3,
        "mem:2: field 3 (action): got 'wait', expected add, open, close, read, write, "
        "trim, sync or datasync");
    expect_text_error(
        V2 "f read\n", 2, 2,
        "mem:2: field 2 (action): got 'read', expected two numbers behind this action");
    expect_text_error(
        V2 "f open 1 2\n", 2, 2,
        "mem:2: field 2 (action): got 'open', expected no numbers behind this action");
    expect_text_error(V3 "-1 f read 0 1\n", 2, 1,
                      "mem:2: field 1 (time): got '-1', expected a number from 0 to " U64_MAX);
    expect_text_error(V3 "1 f add\n1 f read 1x 1\n", 3, 4,
                      "mem:3: field 4 (offset): got '1x', expected a number from 0 to " U64_MAX);
    expect_text_error(V3 "1 f read " U64_OVER " 1\n", 2, 4,
                      "mem:2: field 4 (offset): got '" U64_OVER
                      "', expected a number from 0 to " U64_MAX);
    expect_text_error(V3 "1 f read 1 " U64_MAX "\n", 2, 5,
                      "mem:2: field 5 (length): got '" U64_MAX
                      "', expected offset + length below " U64_OVER);
    expect_text_error(V3 "1 f write 1 0\n", 2, 5,
                      "mem:2: field 5 (length): got '0', expected at least 1 byte");
    expect_text_error(V3 "1 f sync x 0\n", 2, 4,
                      "mem:2: field 4 (offset): got 'x', expected a number from 0 to " U64_MAX);
    expect_text_error(V2 "f\x01g read 0 1\n", 2, 1,
                      "mem:2: field 1 (file): got 'f\\x01g', expected a name without control "
                      "characters");
    expect_text_error(V2 "f wait 1 0\nf wait " U64_MAX " 0\n", 3, 3,
                      "mem:3: field 3 (wait): got '" U64_MAX
                      "', expected a sum of all waits below 2^64");
}

static void test_bad_msr_lines(void **state)
{
    (void)state;
    expect_text_error(MSR_ROW "1,a,0,Read,0,1\n", 2, 0,
                      "mem:2: got 6 fields, expected 7: timestamp, host, disk, type, offset, size, "
                      "response");
    expect_text_error(MSR_ROW "1,a,0,Read,0,1,0,\n", 2, 0,
                      "mem:2: got 8 fields, expected 7: timestamp, host, disk, type, offset, size, "
                      "response");
    expect_text_error(MSR_ROW ",a,0,Read,0,1,0\n", 2, 1,
                      "mem:2: field 1 (timestamp): got '', expected a number from 0 to " U64_MAX);
    expect_text_error(MSR_ROW "1,,0,Read,0,1,0\n", 2, 2,
                      "mem:2: field 2 (host): got '', expected a name of 1 to 255 bytes without "
                      "blanks or control characters");
    expect_text_error(MSR_ROW "1,a,-1,Read,0,1,0\n", 2, 3,
                      "mem:2: field 3 (disk): got '-1', expected a number from 0 to " U64_MAX);
    expect_text_error(MSR_ROW "1,a,0,Reed,0,1,0\n", 2, 4,
                      "mem:2: field 4 (type): got 'Reed', expected Read or Write");
    expect_text_error(MSR_ROW "1,a,0,Read,1.5,1,0\n", 2, 5,
                      "mem:2: field 5 (offset): got '1.5', expected a number from 0 to " U64_MAX);
    expect_text_error(MSR_ROW "1,a,0,Read,0,-512,0\n", 2, 6,
                      "mem:2: field 6 (length): got '-512', expected a number from 0 to " U64_MAX);
    expect_text_error(MSR_ROW "1,a,0,Read," U64_MAX ",1,0\n", 2, 6,
                      "mem:2: field 6 (length): got '1', expected offset + length below " U64_OVER);
    expect_text_error(MSR_ROW "1,a,0,Read,0,1,\n", 2, 7,
                      "mem:2: field 7 (response): got '', expected a number from 0 to " U64_MAX);
}

static void test_long_fields_are_cut_and_escaped_in_messages(void **state)
{
    (void)state;
    expect_text_error(V3 "1 f 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz 0 1\n", 2, 3,
                      "mem:2: field 3 (action): got '\\x27abcdefghijklmnopqrstuvwxyzabcde...', "
                      "expected add, open, close, read, write, trim, sync or datasync");
}

static void test_lenient_goes_on_and_remembers(void **state)
{
    struct sim_trace *trace =
        open_text(V3 "1 f read 0 1\nbad\n2 g read 0 0\n3 f write 5 5\n", &lenient);
    const struct sim_trace_stats *stats = sim_trace_stats(trace);

    (void)state;
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 1, 2);
    expect(trace, SIM_REQUEST_WRITE, 0, 5, 5, 3, 5);
    assert_int_equal(sim_trace_next(trace, &(struct sim_request){0}, NULL), 0);
    assert_int_equal(stats->lines, 5);
    assert_int_equal(stats->lines_bad, 2);
    assert_int_equal(stats->lines_skipped, 1);
    assert_int_equal(stats->bad_kept, 2);
    assert_int_equal(stats->bad[0].line, 3);
    assert_int_equal(stats->bad[0].field, 0);
    assert_int_equal(stats->bad[1].line, 4);
    assert_int_equal(stats->bad[1].field, 5);
    assert_string_equal(stats->bad[1].text, "field 5 (length): got '0', expected at least 1 byte");
    assert_int_equal(sim_trace_volume_count(trace), 1); /* a bad line adds no volume */
    sim_trace_close(trace);
}

static void test_lenient_remembers_the_first_few_only(void **state)
{
    char text[512] = V3;
    struct sim_trace *trace;

    (void)state;
    for (int i = 0; i < 20; i++) {
        strcat(text, "bad\n");
    }
    strcat(text, "1 f read 0 1\n");
    trace = open_text(text, &lenient);
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 1, 22);
    assert_int_equal(sim_trace_stats(trace)->lines_bad, 20);
    assert_int_equal(sim_trace_stats(trace)->bad_kept, SIM_TRACE_BAD_KEPT);
    assert_int_equal(sim_trace_stats(trace)->bad[SIM_TRACE_BAD_KEPT - 1].line, 9);
    expect_end(trace);
}

static void test_a_file_of_something_else(void **state)
{
    const struct sim_trace_options as_msr = {.format = SIM_TRACE_MSR, .lenient = true};
    const struct sim_trace_options as_fio2 = {.format = SIM_TRACE_FIO2};
    const struct sim_trace_options wrong = {.format = SIM_TRACE_FORMAT_COUNT};

    (void)state;
    expect_error("", 0, NULL, 0, 0, "mem: is empty");
    expect_error("\n \n", 3, NULL, 1, 0,
                 "mem:1: no known trace format begins like this: '' (what is it? --format)");
    expect_error("\n \n", 3, &as_msr, 0, 0, "mem: holds nothing but blank lines");
    expect_error(
        "\177ELF\0\1", 6, NULL, 1, 0,
        "mem:1: no known trace format begins like this: '\\x7fELF\\x00\\x01' (what is it? "
        "--format)");
    expect_error("a\nb\n", 4, &as_msr, 1, 0,
                 "mem:1: no request in 2 lines read as MSR Cambridge CSV; the first bad one: got 1 "
                 "field, expected 7: timestamp, host, disk, type, offset, size, response");
    expect_error(V3 "1 f read 0 1\n", 33, &as_fio2, 1, 0,
                 "mem:1: got 'fio version 3 iolog', expected 'fio version 2 iolog' in the first "
                 "line");
    expect_error(V3, strlen(V3), &wrong, 0, 0, "mem: format 14 was asked for, expected 0 to 13");
    expect_error("\xFD\067zXZ\0\0", 7, NULL, 0, 0,
                 "mem: is compressed with xz; gzip, bzip2 and zstd are read");
}

static void test_line_length(void **state)
{
    static char text[4 * SIM_TRACE_LINE_BYTES_MAX];
    const size_t head = strlen(V2);
    struct sim_trace *trace;
    size_t len;

    (void)state;
    /* exactly the limit, with the longest line end */
    memcpy(text, V2, head);
    memset(text + head, 'n', SIM_TRACE_LINE_BYTES_MAX);
    memcpy(text + head + SIM_TRACE_LINE_BYTES_MAX - 9, " read 0 1\r\nf read 0 1\n", 22);
    len = head + SIM_TRACE_LINE_BYTES_MAX - 9 + 22;
    trace = open_bytes(text, len, NULL);
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 0, 2);
    expect(trace, SIM_REQUEST_READ, 1, 0, 1, 0, 3);
    expect_end(trace);

    /* one byte more; and one without any end */
    memset(text + head, 'n', SIM_TRACE_LINE_BYTES_MAX + 1);
    memcpy(text + head + SIM_TRACE_LINE_BYTES_MAX + 1, "\nf read 0 1\n", 12);
    expect_error(text, head + SIM_TRACE_LINE_BYTES_MAX + 13, &lenient, 2, 0,
                 "mem:2: the line is longer than 65536 bytes: not a text trace");
    memset(text + head, 'n', sizeof(text) - head);
    expect_error(text, sizeof(text), NULL, 2, 0,
                 "mem:2: the line is longer than 65536 bytes: not a text trace");
}

static void test_text_limit(void **state)
{
    const struct sim_trace_options limited = {.text_bytes_max = 20};
    const struct sim_trace_options enough = {.text_bytes_max = 33};

    (void)state;
    expect_error(V3 "1 f read 0 1\n", 33, &limited, 0, 0,
                 "mem: more than 20 bytes of text, the limit that was set");
    sim_trace_close(open_text(V3 "1 f read 0 1\n", &enough));
}

static void test_many_volumes(void **state)
{
    const unsigned count = SIM_TRACE_VOLUMES_MAX + 2;
    char *text = malloc((size_t)count * 16 + 64);
    size_t at = strlen(V2);
    struct sim_trace *trace;
    struct sim_request req;
    uint32_t want = 0;

    (void)state;
    assert_non_null(text);
    strcpy(text, V2);
    for (unsigned i = 0; i < count; i++) {
        at += (size_t)sprintf(text + at, "f%u read 0 1\n", i);
    }
    trace = open_bytes(text, at, &lenient);
    while (sim_trace_next(trace, &req, NULL) == 1) {
        assert_int_equal(req.volume, want);
        want++;
    }
    assert_int_equal(want, SIM_TRACE_VOLUMES_MAX);
    assert_int_equal(sim_trace_volume_count(trace), SIM_TRACE_VOLUMES_MAX);
    assert_string_equal(sim_trace_volume_name(trace, 65535), "f65535");
    assert_int_equal(sim_trace_stats(trace)->lines_bad, 2);
    assert_string_equal(sim_trace_stats(trace)->bad[0].text,
                        "field 1 (file or disk): got 'f65536', expected at most 65536 files or "
                        "disks, 16777216 bytes of names");
    sim_trace_close(trace);
    free(text);
}

static size_t pack_gzip(const char *text, size_t len, uint8_t *packed)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)len;
    z.next_out = packed;
    z.avail_out = PACKED_BYTES;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    len = z.total_out;
    deflateEnd(&z);
    return len;
}

static size_t pack_zstd(const char *text, size_t len, uint8_t *packed)
{
    ZSTD_CCtx *cctx = ZSTD_createCCtx();

    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    len = ZSTD_compress2(cctx, packed, PACKED_BYTES, text, len);
    assert_false(ZSTD_isError(len));
    ZSTD_freeCCtx(cctx);
    return len;
}

/* Two members or frames with the cut inside a line, and every possible truncation of them. */
static void check_codec(size_t (*pack)(const char *, size_t, uint8_t *), const char *cut_off)
{
    static const char first[] = V3 "1 f read 0 1\n2 f wri";
    static const char second[] = "te 4096 4096\n3 f sync";
    static uint8_t packed[2 * PACKED_BYTES];
    size_t middle = pack(first, strlen(first), packed);
    size_t len = middle + pack(second, strlen(second), packed + middle);
    struct sim_trace *trace = open_bytes(packed, len, NULL);

    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 1, 2);
    expect(trace, SIM_REQUEST_WRITE, 0, 4096, 4096, 2, 3);
    expect(trace, SIM_REQUEST_FLUSH, 0, 0, 0, 3, 4);
    expect_end(trace);

    for (size_t cut = 6; cut < len; cut++) {
        if (cut == middle) { /* looks complete: found by the half line */
            expect_error(packed, cut, NULL, 3, 3,
                         "mem:3: field 3 (action): got 'wri', expected add, open, close, read, "
                         "write, trim, sync or datasync");
        } else {
            expect_error(packed, cut, NULL, 0, 0, cut_off);
        }
    }
}

static void test_gzip(void **state)
{
    (void)state;
    check_codec(pack_gzip, "mem: the gzip data is cut off: the file is incomplete");
}

static void test_zstd(void **state)
{
    (void)state;
    check_codec(pack_zstd, "mem: the zstd data is cut off: the file is incomplete");
}

static void test_zstd_skippable_frame(void **state)
{
    static uint8_t packed[PACKED_BYTES + 16] = "\x51\x2A\x4D\x18\x03\0\0\0xyz";
    size_t len = 11 + pack_zstd(V3 "1 f read 0 1\n", 33, packed + 11);
    struct sim_trace *trace = open_bytes(packed, len, NULL);

    (void)state;
    expect(trace, SIM_REQUEST_READ, 0, 0, 1, 1, 2);
    expect_end(trace);
    expect_error(packed, 11, NULL, 0, 0, "mem: is empty"); /* nothing else in the file */
}

static void test_damaged_compression(void **state)
{
    static uint8_t packed[PACKED_BYTES + 16];
    size_t len = pack_gzip(V3 "1 f read 0 1\n", 33, packed);

    (void)state;
    memcpy(packed + len, "more", 4);
    expect_error(packed, len + 4, NULL, 0, 0, "mem: damaged gzip data: incorrect header check");
    packed[len - 8] ^= 1;
    expect_error(packed, len, NULL, 0, 0, "mem: damaged gzip data: incorrect data check");

    len = pack_zstd(V3 "1 f read 0 1\n", 33, packed);
    memcpy(packed + len, "more", 4);
    expect_error(packed, len + 4, NULL, 0, 0, "mem: damaged zstd data: Unknown frame descriptor");
    packed[len - 1] ^= 1;
    expect_error(packed, len, NULL, 0, 0,
                 "mem: damaged zstd data: Restored data doesn't match checksum");
}

static void test_damage_far_into_the_file_names_the_line(void **state)
{
    static uint8_t packed[PACKED_BYTES];
    static char text[400000] = V3;
    struct sim_trace *trace;
    struct sim_trace_error error;
    struct sim_request req;
    size_t at = strlen(text);
    uint64_t lines = 1;
    size_t len;
    int rc;

    (void)state;
    for (; at < sizeof(text) - 32; lines++) {
        at += (size_t)sprintf(text + at, "1 f write %u 4096\n", (unsigned)(lines * 4096));
    }
    len = pack_zstd(text, at, packed);
    trace = open_bytes(packed, len - 5, &lenient);
    while ((rc = sim_trace_next(trace, &req, &error)) == 1) {
    }
    assert_int_equal(rc, CBD_E_INVALID);
    assert_true(error.line > 1 && error.line == sim_trace_stats(trace)->lines + 1);
    assert_non_null(strstr(error.text, ": the zstd data is cut off: the file is incomplete"));
    sim_trace_close(trace);
}

static void test_a_long_path_shows_its_end(void **state)
{
    char name[301];
    struct sim_trace *trace;
    struct sim_trace_error error;

    (void)state;
    memset(name, 'd', sizeof(name));
    strcpy(name + 290, "/end.iolog");
    assert_int_equal(sim_trace_open_memory("x", 1, name, NULL, &trace, &error), CBD_E_INVALID);
    assert_int_equal(strncmp(error.text, "...dddd", 7), 0);
    assert_non_null(strstr(error.text, "ddd/end.iolog:1: no known trace format"));
}

static void test_paths_that_are_no_trace(void **state)
{
    struct sim_trace *trace;
    struct sim_trace_error error;

    (void)state;
    assert_int_equal(sim_trace_open("/", NULL, &trace, &error), CBD_E_INVALID);
    assert_string_equal(error.text, "/: is a directory, not a trace");
    assert_int_equal(error.line, 0);
    assert_int_equal(sim_trace_open("/dev/null", NULL, &trace, &error), CBD_E_INVALID);
    assert_string_equal(error.text, "/dev/null: is empty");
    assert_int_equal(sim_trace_open("/nonexistent/trace", NULL, &trace, &error), CBD_E_SYSTEM);
    assert_string_equal(error.text,
                        "/nonexistent/trace: cannot be opened: No such file or directory");
    assert_null(trace);
    assert_int_equal(sim_trace_open("/nonexistent/trace", NULL, &trace, NULL), CBD_E_SYSTEM);
}

static void test_format_names(void **state)
{
    (void)state;
    for (int i = 0; i < SIM_TRACE_FORMAT_COUNT; i++) {
        enum sim_trace_format format = SIM_TRACE_FORMAT_COUNT;

        assert_int_equal(
            sim_trace_format_parse(sim_trace_format_name((enum sim_trace_format)i), &format), 0);
        assert_int_equal(format, i);
    }
    assert_null(sim_trace_format_name(SIM_TRACE_FORMAT_COUNT));
    assert_int_equal(sim_trace_format_parse("fio", &(enum sim_trace_format){0}), CBD_E_INVALID);
}

/* The root of the sources: given by ctest, else guessed from where this file was compiled. */
static void source_path(char *path, const char *below)
{
    const char *root = getenv("CBD_SOURCE_DIR");
    const char *tail = strstr(__FILE__, "tests/unit/");

    if (root != NULL) {
        snprintf(path, PATH_BYTES, "%s/%s", root, below);
    } else {
        snprintf(path, PATH_BYTES, "%.*s%s", tail != NULL ? (int)(tail - __FILE__) : 0, __FILE__,
                 below);
    }
}

static void scan(const char *path, struct sim_trace_totals *totals)
{
    struct sim_trace_error error;
    int rc = sim_trace_scan(path, NULL, totals, &error);

    if (rc != 0) {
        print_error("%s\n", error.text);
    }
    assert_int_equal(rc, 0);
}

/* Traces that are not part of the sources: without them the test is skipped. */
static void scan_shared(const char *name, struct sim_trace_totals *totals)
{
    const char *shared = getenv("CBD_SHARED_DIR");
    char path[PATH_BYTES];

    if (shared != NULL) {
        snprintf(path, sizeof(path), "%s/traces/%s", shared, name);
    } else {
        char below[256];

        snprintf(below, sizeof(below), "../shared/traces/%s", name);
        source_path(path, below);
    }
    if (access(path, R_OK) != 0) {
        print_message("%s is not there; CBD_SHARED_DIR names the folder with traces/\n", path);
        skip();
    }
    scan(path, totals);
}

static void check_ops(const struct sim_trace_totals *totals, uint64_t reads, uint64_t writes,
                      uint64_t trims, uint64_t flushes)
{
    assert_int_equal(totals->requests[SIM_REQUEST_READ], reads);
    assert_int_equal(totals->requests[SIM_REQUEST_WRITE], writes);
    assert_int_equal(totals->requests[SIM_REQUEST_TRIM], trims);
    assert_int_equal(totals->requests[SIM_REQUEST_FLUSH], flushes);
}

static void test_bundled_trace(void **state)
{
    struct sim_trace_totals totals;
    char path[PATH_BYTES];

    (void)state;
    source_path(path, "examples/traces/sqlite-block.v3.iolog.zst");
    scan(path, &totals);
    check_ops(&totals, 1167, 39688, 1184, 12173 + 1278);
    assert_int_equal(totals.format, SIM_TRACE_FIO3);
    assert_int_equal(totals.bytes[SIM_REQUEST_READ], 22402048);
    assert_int_equal(totals.bytes[SIM_REQUEST_WRITE], 484491264);
    assert_int_equal(totals.bytes[SIM_REQUEST_TRIM], 1543819264);
    assert_int_equal(totals.bytes[SIM_REQUEST_FLUSH], 0);
    assert_int_equal(totals.time_us_max, 13858982);
    assert_int_equal(totals.align_bytes, 1024);
    assert_int_equal(totals.volume_count, 1);
    assert_string_equal(totals.volumes[0].name, "/dev/loop7");
    assert_int_equal(totals.volumes[0].end_bytes, 1073741824);
    assert_int_equal(totals.volumes[0].requests, 55490);
    assert_int_equal(totals.stats.lines, 55494);
    assert_int_equal(totals.stats.lines_skipped, 4);
    sim_trace_totals_free(&totals);
}

static void check_syscall_trace(const struct sim_trace_totals *totals)
{
    check_ops(totals, 22953, 45262, 2, 3028);
    assert_int_equal(totals->time_us_max, 9592611);
    assert_int_equal(totals->align_bytes, 4);
    assert_int_equal(totals->volume_count, 2);
    assert_string_equal(totals->volumes[0].name, "t.db");
    assert_string_equal(totals->volumes[1].name, "t.db-wal");
    assert_int_equal(totals->volumes[0].end_bytes, 11337728);
    assert_int_equal(totals->volumes[1].end_bytes, 11066352);
}

static void test_shared_syscall_traces(void **state)
{
    struct sim_trace_totals totals;

    (void)state;
    scan_shared("free/sqlite-wal-syscall.v2.iolog.zst", &totals);
    check_syscall_trace(&totals);
    sim_trace_totals_free(&totals);
    scan_shared("free/sqlite-wal-syscall.v3.iolog.zst", &totals);
    check_syscall_trace(&totals);
    sim_trace_totals_free(&totals);
}

static void test_shared_traces_by_fio_itself(void **state)
{
    struct sim_trace_totals totals;

    (void)state;
    scan_shared("free/fio-randrw-fsync.v3.iolog", &totals);
    check_ops(&totals, 3511, 2489, 0, 886);
    sim_trace_totals_free(&totals);
    scan_shared("free/fio-randtrimwrite.v3.iolog", &totals);
    check_ops(&totals, 0, 3000, 3000, 0);
    sim_trace_totals_free(&totals);
}

static void test_shared_msr_trace(void **state)
{
    struct sim_trace_totals totals;

    (void)state;
    scan_shared("local-only/msr-cambridge1-sample.csv", &totals);
    check_ops(&totals, 508, 492, 0, 0);
    assert_int_equal(totals.format, SIM_TRACE_MSR);
    assert_int_equal(totals.align_bytes, 512);
    assert_string_equal(totals.volumes[0].name, "hm_0");
    assert_int_equal(totals.volumes[0].end_bytes, UINT64_C(13575029248));
    sim_trace_totals_free(&totals);
}

static void test_scan_sums_do_not_wrap(void **state)
{
    char path[] = "/tmp/cbd-test-trace-XXXXXX";
    struct sim_trace_totals totals;
    struct sim_trace_error error;
    int fd = mkstemp(path);
    FILE *file;

    (void)state;
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(V3 "1 a open\n1 b trim 0 " U64_MAX "\n2 b trim 0 " U64_MAX "\n3 c sync\n4 d open\n",
          file);
    fclose(file);
    scan(path, &totals);
    check_ops(&totals, 0, 0, 2, 1);
    assert_int_equal(totals.bytes[SIM_REQUEST_TRIM], UINT64_MAX);
    assert_int_equal(totals.volume_count, 4); /* also those without any request */
    assert_int_equal(totals.volumes[0].requests, 0);
    assert_int_equal(totals.volumes[1].end_bytes, UINT64_MAX);
    assert_int_equal(totals.volumes[2].end_bytes, 0);
    assert_string_equal(totals.volumes[3].name, "d");
    sim_trace_totals_free(&totals);

    file = fopen(path, "a");
    assert_non_null(file);
    fputs("oops\n", file);
    fclose(file);
    assert_int_equal(sim_trace_scan(path, NULL, &totals, &error), CBD_E_INVALID);
    assert_int_equal(error.line, 7);
    assert_null(totals.volumes);
    assert_int_equal(sim_trace_scan(path, &lenient, &totals, &error), 0);
    assert_int_equal(totals.stats.lines_bad, 1);
    sim_trace_totals_free(&totals);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fio2),
        cmocka_unit_test(test_fio3),
        cmocka_unit_test(test_msr),
        cmocka_unit_test(test_line_ends_and_blank_lines),
        cmocka_unit_test(test_bad_fio_lines),
        cmocka_unit_test(test_bad_msr_lines),
        cmocka_unit_test(test_long_fields_are_cut_and_escaped_in_messages),
        cmocka_unit_test(test_lenient_goes_on_and_remembers),
        cmocka_unit_test(test_lenient_remembers_the_first_few_only),
        cmocka_unit_test(test_a_file_of_something_else),
        cmocka_unit_test(test_line_length),
        cmocka_unit_test(test_text_limit),
        cmocka_unit_test(test_many_volumes),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_zstd),
        cmocka_unit_test(test_zstd_skippable_frame),
        cmocka_unit_test(test_damaged_compression),
        cmocka_unit_test(test_damage_far_into_the_file_names_the_line),
        cmocka_unit_test(test_a_long_path_shows_its_end),
        cmocka_unit_test(test_paths_that_are_no_trace),
        cmocka_unit_test(test_format_names),
        cmocka_unit_test(test_bundled_trace),
        cmocka_unit_test(test_shared_syscall_traces),
        cmocka_unit_test(test_shared_traces_by_fio_itself),
        cmocka_unit_test(test_shared_msr_trace),
        cmocka_unit_test(test_scan_sums_do_not_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
