/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace formats beside fio's: what each line means, bad lines, and the totals of real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bzlib.h>
#include <cmocka.h>

#include "trace/trace.h"

#define R SIM_REQUEST_READ
#define W SIM_REQUEST_WRITE
#define T SIM_REQUEST_TRIM
#define F SIM_REQUEST_FLUSH

struct want {
    enum sim_request_op op;
    const char *volume;
    uint64_t off, len, time_us;
    bool fua;
};

static void expect(const void *bytes, size_t len, enum sim_trace_format ask,
                   enum sim_trace_format is, const struct want *want, size_t count)
{
    const struct sim_trace_options options = {.format = ask};
    struct sim_trace_error error;
    struct sim_trace *trace;
    struct sim_request req;

    if (sim_trace_open_memory(bytes, len, "mem", &options, &trace, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(sim_trace_format(trace), is);
    for (size_t i = 0; i < count; i++) {
        if (sim_trace_next(trace, &req, &error) != 1)
            fail_msg("request %zu: %s", i, error.text);
        assert_int_equal(req.op, want[i].op);
        assert_string_equal(sim_trace_volume_name(trace, req.volume), want[i].volume);
        assert_int_equal(req.off_bytes, want[i].off);
        assert_int_equal(req.len_bytes, want[i].len);
        assert_int_equal(req.time_us, want[i].time_us);
        assert_int_equal(req.fua, want[i].fua);
    }
    assert_int_equal(sim_trace_next(trace, &req, &error), 0);
    sim_trace_close(trace);
}

static void expect_text(const char *text, enum sim_trace_format is, const struct want *want,
                        size_t count)
{
    expect(text, strlen(text), SIM_TRACE_AUTO, is, want, count);
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void expect_error(const void *bytes, size_t len, enum sim_trace_format format,
                         const char *text)
{
    const struct sim_trace_options options = {.format = format};
    struct sim_trace_error error;
    struct sim_trace *trace;
    struct sim_request req;
    int rc = sim_trace_open_memory(bytes, len, "mem", &options, &trace, &error);

    if (rc == 0) {
        while ((rc = sim_trace_next(trace, &req, &error)) == 1)
            ;
        sim_trace_close(trace);
    }
    assert_int_equal(rc, CBD_E_INVALID);
    assert_string_equal(error.text, text);
}

static void expect_text_error(const char *text, enum sim_trace_format format, const char *message)
{
    expect_error(text, strlen(text), format, message);
}

static void each_table_format_means_what_it_says(void **state)
{
    static const struct want spc[] = {{W, "0", 303567 * 512, 3584, 0, false},
                                      {R, "1", 55596 * 512, 3072, 78643, false},
                                      {R, "1", 0, 1, 0, false}};
    static const struct want systor[] = {{R, "0", 203468398592, 32768, 0, false},
                                         {W, "3", 4590576115200, 4096, 7997300, false}};
    static const struct want alibaba[] = {{R, "0", 126703661056, 4096, 0, false},
                                          {W, "419", 19496058880, 77824, 380, false}};
    static const struct want tencent[] = {
        {W, "1058", UINT64_C(4247200) * 512, 128 * 512, 0, false},
        {R, "1063", UINT64_C(13896880) * 512, 128 * 512, 0, false},
        {R, "1063", 0, 512, 2000000, false}};
    static const struct want libcachesim[] = {{W, "0", UINT64_C(42932745) * 512, 512, 0, false},
                                              {R, "0", 512, 4096, 1000000, false},
                                              {W, "0", 1024, 4096, 1000000, false}};
    static const struct want mqsim[] = {{W, "4", UINT64_C(264719034) * 512, 8192, 0, false},
                                        {R, "3", 512, 512, 315, false}};

    (void)state;
    expect_text("0,303567,3584,w,0.000000\n1,55596,3072,R,0.078643,more,of it\n1,0,1,r,0\n",
                SIM_TRACE_SPC, spc, COUNT(spc));
    expect_text("Timestamp,Response,IOType,LUN,Offset,Size\n"
                "1455591804.310701000,0.006475000,R,0,203468398592,32768\n"
                "1455591812.308001,0,W,3,4590576115200,4096\n",
                SIM_TRACE_SYSTOR, systor, COUNT(systor));
    expect_text(
        "0,R,126703661056,4096,1577808000000046\n419,W,19496058880,77824,1577808000000426\n",
        SIM_TRACE_ALIBABA, alibaba, COUNT(alibaba));
    expect_text("1538323200,4247200,128,1,1058\n1538323199,13896880,128,0,1063\n"
                "1538323202,0,1,0,1063\n",
                SIM_TRACE_TENCENT, tencent, COUNT(tencent));
    expect_text("version,time,op,size,lbn\r\n1,5633898,2a,512,42932745\r\n1,5633899,28,4096,1\r\n"
                "1,5633899,8A,4096,2\r\n",
                SIM_TRACE_LIBCACHESIM, libcachesim, COUNT(libcachesim));
    expect_text("938513000 4 264719034 16 0\n938828999 3 1 1 1\n", SIM_TRACE_MQSIM, mqsim,
                COUNT(mqsim));
}

static void bad_rows_are_named(void **state)
{
    static const struct {
        const char *row, *text;
        enum sim_trace_format format;
    } cases[] = {
        {"0,1,512,w\n",
         "mem:1: got 4 fields, expected 5 or more: ASU, LBA, size, opcode, timestamp",
         SIM_TRACE_SPC},
        {"0,1,512,x,0\n", "mem:1: field 4 (type): got 'x', expected R or W", SIM_TRACE_SPC},
        {"0,36028797018963968,512,w,0\n",
         "mem:1: field 2 (offset): got '36028797018963968', expected fewer than 2^55 blocks of 512 "
         "bytes",
         SIM_TRACE_SPC},
        {"0,1,0,w,0\n", "mem:1: field 3 (length): got '0', expected at least 1 byte",
         SIM_TRACE_SPC},
        {"0,1,512,w,1.2.3\n",
         "mem:1: field 5 (timestamp): got '1.2.3', expected seconds, with or without a fraction, "
         "below 18446744073",
         SIM_TRACE_SPC},
        {"0,1,512,w,1.0123456789\n",
         "mem:1: field 5 (timestamp): got '1.0123456789', expected seconds, with or without a "
         "fraction, below 18446744073",
         SIM_TRACE_SPC},
        {"-1,1,512,w,1\n",
         "mem:1: field 1 (disk): got '-1', expected a number from 0 to 18446744073709551615",
         SIM_TRACE_SPC},
        {"1,2,3,2,5\n", "mem:1: field 4 (type): got '2', expected 0 (read) or 1 (write)",
         SIM_TRACE_TENCENT},
        {"Timestamp,Size\n",
         "mem:1: got 'Timestamp,Size', expected Timestamp,Response,IOType,LUN,Offset,Size",
         SIM_TRACE_SYSTOR},
        {"version,time,op,size,lbn\n1,2,35,512,0\n",
         "mem:2: field 3 (type): got '35', expected 28 or 88 (READ), 2a or 8a (WRITE), hexadecimal",
         SIM_TRACE_LIBCACHESIM},
        {"1 2 3 4\n", "mem:1: got 4 fields, expected 5: time, device, LBA, size, type",
         SIM_TRACE_MQSIM},
        {"7,7 0 1 0.0 1 Q W 9223372036854775807 + 1 [x]\n",
         "mem:1: field 8 (sector): got '9223372036854775807', expected a range that ends below "
         "2^63 "
         "bytes",
         SIM_TRACE_BLKPARSE},
        {"7,7 0 1 0.0 1 Q WX 1 + 1 [x]\n",
         "mem:1: field 7 (rwbs): got 'WX', expected letters of FWDERNSMAB", SIM_TRACE_BLKPARSE},
        {"7,7 0 1 0.0 1 Q W 1 + x [x]\n",
         "mem:1: field 10 (sectors): got 'x', expected a number from 0 to 18446744073709551615",
         SIM_TRACE_BLKPARSE},
        {"what is this\n",
         "mem:1: field 1 (device): got 'what', expected major,minor CPU sequence seconds pid event "
         "rwbs, or a summary",
         SIM_TRACE_BLKPARSE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_text_error(cases[i].row, cases[i].format, cases[i].text);
}

static const char blkparse[] =
    "  7,7    1        1     0.000000000 19196  Q  RA 2097024 + 8 [cat]\n"
    "  7,7    1        2     0.001972126 19196  G  RA 2097024 + 8 [cat]\n"
    "  7,7    1        3     0.001986532 19196  P   N [cat]\n"
    "  7,7    1        5     0.001989328 19196  D  RA 2097024 + 16 [cat]\n"
    "  7,7    1        6     0.002695414    22  C  RA 2097024 + 8 [0]\n"
    "  8,16   0        7     1.500000999    22  Q FWFSM 8 + 8 [jbd2]\n"
    "  8,16   0        8     1.600000000    22  Q FWS [jbd2]\n"
    "  8,16   0        9     1.700000000    22  Q  DS 0 + 2048 [fstrim]\n"
    "  8,16   0       10     1.800000000    22  m   N cfq about something\n"
    "CPU0 (8,16):\n"
    " Reads Queued:           1,        4KiB\n"
    "Total (7,7):\n";

static void blkparse_text_gives_each_request_once(void **state)
{
    static const struct want queued[] = {
        {R, "7,7", UINT64_C(2097024) * 512, 4096, 0, false},
        {F, "8,16", 0, 0, 1500000, false},
        {W, "8,16", 4096, 4096, 1500000, true},
        {F, "8,16", 0, 0, 1600000, false},
        {T, "8,16", 0, 1048576, 1700000, false},
    };
    static const struct want issued[] = {{R, "7,7", UINT64_C(2097024) * 512, 8192, 1989, false}};

    (void)state;
    expect_text(blkparse, SIM_TRACE_BLKPARSE, queued, COUNT(queued));
    expect(blkparse, strlen(blkparse), SIM_TRACE_BLKPARSE_D, SIM_TRACE_BLKPARSE_D, issued,
           COUNT(issued));
}

static void put(uint8_t *b, uint64_t value, unsigned bytes, bool big)
{
    for (unsigned i = 0; i < bytes; i++)
        b[big ? bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

/* One binary event; returns what follows. */
static uint8_t *event(uint8_t *b, bool big, uint32_t action, uint64_t sector, uint32_t bytes,
                      uint16_t pdu)
{
    memset(b, 0, 48u + pdu);
    put(b, 0x65617407, 4, big);
    put(b + 8, 2500, 8, big);
    put(b + 16, sector, 8, big);
    put(b + 24, bytes, 4, big);
    put(b + 28, action, 4, big);
    put(b + 36, 8u << 20 | 17, 4, big);
    put(b + 46, pdu, 2, big);
    return b + 48 + pdu;
}

static void binary_blktrace_of_either_byte_order(void **state)
{
    static const struct want queued[] = {
        {R, "8,17", 5120, 4096, 2, false}, {F, "8,17", 0, 0, 2, false},
        {W, "8,17", 512, 512, 2, true},    {T, "8,17", 0, 1u << 20, 2, false},
        {F, "8,17", 0, 0, 2, false},
    };
    static const struct want issued[] = {{R, "8,17", 5120, 8192, 2, false}};
    uint8_t bytes[1024];

    (void)state;
    for (int big = 0; big < 2; big++) {
        uint8_t *b = bytes;
        size_t len;

        b = event(b, big, 1u << 26 | 1, 0, 0, 13);                        /* a process's name */
        b = event(b, big, 1u << 16 | 1, 10, 4096, 0);                     /* Q R */
        b = event(b, big, 1u << 16 | 7, 10, 8192, 0);                     /* D R */
        b = event(b, big, 1u << 31 | 1u << 18 | 1u << 17 | 1, 1, 512, 5); /* Q FWF */
        b = event(b, big, 1u << 29 | 1u << 17 | 1, 0, 1u << 20, 0);       /* Q DW */
        b = event(b, big, 1u << 18 | 1u << 17 | 1, 0, 0, 0);              /* Q FW */
        len = (size_t)(b - bytes);
        expect(bytes, len, SIM_TRACE_AUTO, SIM_TRACE_BLKTRACE, queued, COUNT(queued));
        expect(bytes, len, SIM_TRACE_BLKTRACE_D, SIM_TRACE_BLKTRACE_D, issued, COUNT(issued));
        expect_error(bytes, len - 20, SIM_TRACE_BLKTRACE,
                     "mem:6: the last record has 28 bytes, expected 48 or more");
        expect_error(bytes, 50, SIM_TRACE_BLKTRACE,
                     "mem:1: the last record is cut off after 50 of 61 bytes");
        bytes[61] = bytes[64] = 0x55;
        expect_error(bytes, len, SIM_TRACE_BLKTRACE,
                     big ? "mem:2: got 0x55746155 at the start of a record, expected the magic "
                           "0x65617407"
                         : "mem:2: got 0x55617455 at the start of a record, expected the magic "
                           "0x65617407");
    }
}

static void bzip2_is_read_also_several_members_and_cut_is_an_error(void **state)
{
    static const struct want want[] = {{R, "0", 0, 1, 0, false}, {R, "0", 1, 1, 0, false}};
    static const char *const parts[] = {"fio version 3 iolog\n0 0 read 0 1\n", "0 0 read 1 1\n"};
    char packed[4096];
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        unsigned got = (unsigned)(sizeof(packed) - len);

        assert_int_equal(BZ2_bzBuffToBuffCompress(packed + len, &got, (char *)(uintptr_t)parts[i],
                                                  (unsigned)strlen(parts[i]), 1, 0, 0),
                         BZ_OK);
        len += got;
    }
    expect(packed, len, SIM_TRACE_AUTO, SIM_TRACE_FIO3, want, 2);
    for (size_t cut = 4; cut < len; cut++) {
        struct sim_trace_error error;
        struct sim_trace *trace;
        struct sim_request req;
        int rc = sim_trace_open_memory(packed, cut, "mem", NULL, &trace, &error);

        if (rc == 0) {
            while ((rc = sim_trace_next(trace, &req, &error)) == 1)
                ;
            sim_trace_close(trace);
        }
        assert_true(rc == CBD_E_INVALID || rc == 0); /* 0: cut between the members */
        assert_int_equal(rc == 0, error.text[0] == '\0');
    }
    packed[20] ^= 0x10;
    expect_error(packed, len, SIM_TRACE_AUTO, "mem: damaged bzip2 data (libbz2 says -4)");
}

/* --- real files, where they are --- */

struct real {
    const char *file;
    enum sim_trace_format format;
    uint64_t requests[SIM_REQUEST_OP_COUNT]; /* read, write, trim, flush */
    uint32_t volumes;
};

static void real_files_have_the_requests_that_are_known(void **state)
{
    static const struct real reals[] = {
        {"free/sqlite-loop-first60k.blkparse.txt.zst",
         SIM_TRACE_BLKPARSE,
         {1158, 7898, 36, 3019},
         1},
        {"free/sqlite-loop.blktrace.0.zst", SIM_TRACE_BLKTRACE, {30, 25143, 234, 6972}, 1},
        {"free/sqlite-loop.blktrace.1.zst", SIM_TRACE_BLKTRACE, {1137, 14545, 950, 5201}, 1},
        {"free/bsd3-merged-sample.blktrace.0", SIM_TRACE_BLKTRACE, {963, 0, 0, 0}, 1},
        {"free/alibaba-13rows.csv", SIM_TRACE_ALIBABA, {7, 6, 0, 0}, 10},
        {"local-only/Financial1_first10000_reconstructed.spc.zst", SIM_TRACE_SPC, {4078, 5922}, 22},
        {"local-only/WebSearch1_first24783_reconstructed.spc.zst", SIM_TRACE_SPC, {24779, 4}, 6},
        {"local-only/cloudPhysicsIO.csv.zst", SIM_TRACE_LIBCACHESIM, {46974, 66898}, 1},
        {"local-only/cloud_storage-sample.bz2", SIM_TRACE_TENCENT, {24521, 25479}, 2038},
        {"local-only/mqsim_tpcc-small.trace.zst", SIM_TRACE_MQSIM, {4381, 2618}, 16},
        {"local-only/systor17-additional-sample.csv.gz", SIM_TRACE_SYSTOR, {700, 299}, 1},
        {"local-only/systor17-traces-sample.csv.gz", SIM_TRACE_SYSTOR, {826, 173}, 1},
    };
    const char *dir = getenv("CBD_SHARED_DIR");
    char beside[2048];
    int found = 0;

    (void)state;
    snprintf(beside, sizeof(beside), "%.*s../shared",
             (int)(strstr(__FILE__, "tests/unit/") - __FILE__), __FILE__);
    for (size_t i = 0; i < COUNT(reals); i++) {
        struct sim_trace_totals totals;
        struct sim_trace_error error;
        char path[4096];

        snprintf(path, sizeof(path), "%s/traces/%s", dir != NULL ? dir : beside, reals[i].file);
        if (access(path, R_OK) != 0) {
            print_message("%s is not there\n", path);
            continue;
        }
        if (sim_trace_scan(path, NULL, &totals, &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(totals.format, reals[i].format);
        for (int op = 0; op < SIM_REQUEST_OP_COUNT; op++)
            if (totals.requests[op] != reals[i].requests[op])
                fail_msg("%s: op %d: %llu, expected %llu", path, op,
                         (unsigned long long)totals.requests[op],
                         (unsigned long long)reals[i].requests[op]);
        if (totals.volume_count != reals[i].volumes)
            fail_msg("%s: %u volumes, expected %u", path, totals.volume_count, reals[i].volumes);
        sim_trace_totals_free(&totals);
        found++;
    }
    if (found == 0)
        skip();
}

/* Blocks 0 and 1 of a, 2 of a, 0 of b: each once, whatever is done to it. A trim touches nothing. */
static void the_footprint_counts_each_block_once(void **state)
{
    char path[] = "/tmp/cbd-test-footprint-XXXXXX";
    uint64_t footprint;
    struct sim_trace_error error;
    int fd = mkstemp(path);
    FILE *file;

    (void)state;
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    fputs("fio version 3 iolog\n0 a read 4095 2\n1 a write 0 4096\n2 b read 0 1\n3 a read 8192 1\n"
          "4 a trim 0 1000000000\n5 a sync\n6 a write 0 8192\n",
          file);
    fclose(file);
    assert_int_equal(sim_trace_footprint(path, NULL, &footprint, &error), 0);
    assert_int_equal(footprint, 4 * 4096);
    file = fopen(path, "a");
    assert_non_null(file);
    fputs("7 a write 0 18446744073709551615\n8 a read 409600 1\n", file);
    fclose(file);
    assert_int_equal(sim_trace_footprint(path, NULL, &footprint, &error), 0);
    assert_int_equal(footprint, 4 * 4096); /* at least: it stops there */
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("fio version 3 iolog\n", file);
    for (int i = 0; i < 10000; i++)
        fprintf(file, "0 a read %d 4096\n", i * 4096);
    fclose(file);
    assert_int_equal(sim_trace_footprint(path, NULL, &footprint, &error), 0);
    assert_int_equal(footprint, 10000 * 4096);
    unlink(path);
    assert_true(sim_trace_footprint(path, NULL, &footprint, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_table_format_means_what_it_says),
        cmocka_unit_test(bad_rows_are_named),
        cmocka_unit_test(blkparse_text_gives_each_request_once),
        cmocka_unit_test(binary_blktrace_of_either_byte_order),
        cmocka_unit_test(bzip2_is_read_also_several_members_and_cut_is_an_error),
        cmocka_unit_test(the_footprint_counts_each_block_once),
        cmocka_unit_test(real_files_have_the_requests_that_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
