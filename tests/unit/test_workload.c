/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workloads as text: what is printed is read back the same, every mistake is named with its line,
 * and a power cut that a file names is the one that is judged.
 */
/* ctest: timeout=120 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rng.h"
#include "sim_base.h"
#include "try.h"

static const char full_text[] =
    "cache 4M\nsegment 128K\nstreams 2\ntrees 4\nblock 4K\ndirty-start 30\nepoch-records 9\n"
    "checksums off\ndurability flush\nwrite-through on\nkeeps-discarded on\nmodel page\nschedule "
    "pct\nquiet on\n"
    "clients 7\ndepth 5\nspace-timeout-ns 1000\nseed 18446744073709551615\n"
    "faults read-eio,latent\ndisk-errors 6\ndrop HORIZON_B_FENCE\ndisks 2M 1M\n"
    "read 0 4K\n7: write disk1 4K 8K fua\nzero 0 4K\ndiscard disk1 0 1M\n3: flush disk1\nwait\n"
    "detach disk1\nattach disk1\nrestart 12 keep random 5\n"
    "crash kill before DISK_WRITE 2 of op 3 keep all-but INSERT_DATA[3] disk0 disk1[2]\n"
    "crash again at step 3 keep first 4\ncrash later in reclaim at step 9 keep one 2\n"
    "lose copy 77\nfault latent 5\njudge twice backing written "
    "full\n";

/* Fills a cache of a few segments, so that reclaim has to work. */
#define WRAPS                                                                                      \
    "cache 2432K\nwrite 0 60K\nflush\nwrite 0 60K\nflush\nwrite 0 60K\nflush\nwrite 0 "            \
    "60K\nflush\n"

static char *print(const struct sim_workload *w)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    sim_workload_print(w, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void read_text(struct sim_workload *w, const char *text)
{
    char why[256];

    sim_workload_init(w);
    if (sim_workload_parse(w, "text", text, strlen(text), why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

static void test_what_is_printed_is_read_back(void **state)
{
    struct sim_workload w, again;
    size_t lines = 0;
    char *text;

    (void)state;
    read_text(&w, full_text);
    assert_int_equal(w.config.backends, 2);
    assert_int_equal(w.ops[1].client, 7);
    assert_true(w.ops[1].fua);
    assert_int_equal(w.cut.survive.names, 3);
    text = print(&w);
    assert_string_equal(text, full_text);
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(sim_workload_lines(&w), lines);
    read_text(&again, text);
    assert_true(sim_workload_equal(&w, &again));
    again.ops[3].len_bytes -= 4096;
    assert_false(sim_workload_equal(&w, &again));
    free(text);
    sim_workload_free(&w);
    sim_workload_free(&again);
}

static void test_what_is_usual_has_no_line(void **state)
{
    struct sim_workload w;
    char *text;

    (void)state;
    read_text(&w, "# a comment\n\n  cache 3M # as usual\r\n\twrite  0\t4096\nseed 1\nchecksums on");
    text = print(&w);
    assert_string_equal(text, "write 0 4K\n");
    assert_int_equal(sim_workload_lines(&w), 1);
    free(text);
    sim_workload_free(&w);
}

/* Every crash that a strategy can draw has words. */
static void test_drawn_crashes_have_words(void **state)
{
    struct sim_workload w, again;

    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        char *text;

        sim_workload_init(&w);
        w.cut.where = SIM_WORK_AT_STEP;
        w.cut.step = i;
        w.cut.survive.crash = sim_crash_subset(i % 20, i);
        w.cut.again = i % 2 == 0;
        w.cut.again_at = i % 2 == 0 ? i : 0;
        w.cut.again_crash = i % 2 == 0 ? sim_crash_subset(i % 7, i) : w.cut.again_crash;
        text = print(&w);
        read_text(&again, text);
        assert_true(sim_workload_equal(&w, &again));
        free(text);
        sim_workload_free(&again);
    }
}

static void test_mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"frob", "text:1: got 'frob', limit an operation, a setting of the machine"},
        {"\n\nwrite 0", "text:3: length: got '', limit 1 to"},
        {"write 0 4K 5", "text:1: got '5', limit the end of the line"},
        {"write x 4K", "text:1: offset: got 'x'"},
        {"write 0 4Q", "text:1: length: got '4Q'"},
        {"write 0 99999999999999999999", "text:1: length: got '99999999999999999999'"},
        {"write 0 18014398509481984K", "text:1: length: got"},
        {"write 0 100", "text:1: range: got 0 100, limit multiples of 512"},
        {"flush\nwrite 1M 4K\nflush", "text:2: range: got 1048576 4096, limit the end of the disk"},
        {"write disk1 0 4K", "text:1: disk: got 1, limit 0"},
        {"write disk9 0 4K", "text:1: offset: got 'disk9'"},
        {"0: flush", "text:1: client: got '0:'"},
        {"33: flush", "text:1: client: got '33:'"},
        {"schedule random\nclients 2\n3: flush", "text:3: client: got 3, limit 2"},
        {"2: cache 4M", "text:1: got 'cache', limit an operation"},
        {"2:", "text:1: got '', limit an operation"},
        {"cache 4M\ncache 4M", "text:2: cache: got it twice"},
        {"cache 100", "text:1: cache: got '100', limit 65536"},
        {"cache 2M", "text:1: cache and segment: got 2097152"},
        {"streams 14", "text:1: cache: got"},
        {"segment 100K", "text:1: cache and segment: got"},
        {"block 1000", "text:1: block: got 1000, limit a power of two"},
        {"disks", "text:1: disks: got ''"},
        {"disks 1M 1M 1M 1M 1M", "text:1: disks: got more than 4"},
        {"model arm", "text:1: model: got 'arm', limit adr, eadr, page"},
        {"checksums maybe", "text:1: checksums: got 'maybe', limit on or off"},
        {"drop NOTHING", "text:1: drop: got 'NOTHING', limit a name of"},
        {"crash", "text:1: crash: got '', limit at end, at step N or before NAME"},
        {"crash at noon", "text:1: crash at: got 'noon'"},
        {"crash before LUNCH", "text:1: crash before: got 'LUNCH'"},
        {"crash before DISK_READ 0 of op 1", "text:1: crash before: the how many-th: got '0'"},
        {"crash before DISK_READ of two", "text:1: crash: got 'two', limit of op N"},
        {"crash at end keep", "text:1: keep: got ''"},
        {"crash at end keep only", "text:1: keep: got no name"},
        {"crash at end keep only disk7", "text:1: keep: got 'disk7'"},
        {"crash at end keep only disk0[x]", "text:1: keep: got 'disk0[x]'"},
        {"crash at end keep only disk0[1", "text:1: keep: got 'disk0[1'"},
        {"crash at end\ncrash at end", "text:2: crash: got a second one"},
        {"crash again at step 1", "text:1: crash again: got no crash before it"},
        {"crash later in reclaim at step 1", "text:1: crash later: got no crash before it"},
        {"crash at end\ncrash later in recovery at step 1",
         "text:2: crash later: got 'recovery', limit in writeback or in reclaim"},
        {"crash at end\ncrash later in reclaim", "text:2: crash later: got '', limit at step N"},
        {"judge twice", "text:1: lose, fault, judge: got them without a crash"},
        {"crash at end\njudge", "text:2: judge: got nothing"},
        {"crash at end\njudge me", "text:2: judge: got 'me'"},
        {"faults rain", "text:1: faults: got 'rain', limit all, none or names"},
        {"crash at end\nfault all 1", "text:2: fault: got 'all', limit one line with one name"},
        {"lose it", "text:1: lose: got 'it'"},
        {"wri\1te 0 4K", "text:1: got 'wri?te'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sim_workload w;
        char why[256];

        sim_workload_init(&w);
        assert_int_equal(
            sim_workload_parse(&w, "text", cases[i].text, strlen(cases[i].text), why, sizeof(why)),
            CBD_E_INVALID);
        if (strncmp(why, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("got '%s', expected '%s'", why, cases[i].why);
        sim_workload_free(&w);
    }
}

static void test_long_lines_are_refused(void **state)
{
    size_t len = 2 * SIM_WORK_LINE_BYTES_MAX;
    char *text = malloc(len), why[256];
    struct sim_workload w;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', len);
    sim_workload_init(&w);
    assert_int_equal(sim_workload_parse(&w, "t", text, len, why, sizeof(why)), CBD_E_INVALID);
    assert_non_null(strstr(why, "t:1: line: got 8192 bytes, limit 4096"));
    memset(text, ' ', len);
    for (size_t i = 0; i < 200; i++)
        text[2 * i] = 'x';
    assert_int_equal(sim_workload_parse(&w, "t", text, 400, why, sizeof(why)), CBD_E_INVALID);
    assert_non_null(strstr(why, "t:1: line: got more than 64 words"));
    sim_workload_free(&w);
    free(text);
}

/* ---- trying ---- */

static void try_text(const char *text, const struct sim_try *t, struct sim_tried *result)
{
    struct sim_workload w;

    read_text(&w, text);
    sim_try_run(&w, t, result);
    sim_workload_free(&w);
}

static const struct sim_try every = {.strategy = SIM_STRATEGY_PARTIAL, .subsets = 8, .merge = true};

static void assert_clean(const char *text)
{
    struct sim_tried r;
    char sentence[1024];

    try_text(text, &every, &r);
    if (r.failures != 0)
        fail_msg("%s", sim_verdict_text(&r.verdict, sentence, sizeof(sentence)));
    assert_true(r.cuts == r.steps && r.judged.states > r.steps);
}

static void test_clean_workloads_are_clean(void **state)
{
    static const char *const texts[] = {
        "write 0 8K\nwrite 4K 8K fua\nflush\ndiscard 0 4K\nread 0 16K\nwait\n"
        "restart 5 keep random 7\nwrite 0 64K\ndetach\nattach\nzero 0 4K\n",
        "checksums off\nwrite 0 4K\nrestart 3 keep all\nrestart 9\nwrite 512 4K\nwait\nwrite 0 "
        "1K\n",
        "clients 3\nschedule random\ndisks 1M 1M\n1: write 0 8K\n2: write 4K 8K\n"
        "3: write disk1 0 4K\n1: read 0 16K\n2: flush\nwait\n1: write 0 4K fua\n",
        "model page\nquiet on\nwrite 0 4K\nflush\nwrite 0 4K\ndetach\nwrite 0 4K\n",
        "model eadr\nschedule pct\nclients 2\nwrite 0 4K\nwrite 0 8K\nrestart 20\nwrite 4K 4K\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_clean(texts[i]);
}

static void test_merging_only_leaves_out(void **state)
{
    static const char text[] = "write 0 4K\nflush\nwrite 0 4K\nread 0 4K\n";
    struct sim_try all = every;
    struct sim_tried merged, executed;

    (void)state;
    all.merge = false;
    try_text(text, &every, &merged);
    try_text(text, &all, &executed);
    assert_int_equal(executed.judged.merged, 0);
    assert_true(merged.judged.merged > 0);
    assert_int_equal(merged.judged.states + merged.judged.merged, executed.judged.states);
    assert_int_equal(merged.hash, executed.hash);
}

static void test_a_named_crash_is_judged(void **state)
{
    static const char lost[] =
        "checksums off\ndrop INSERT_DATA_FENCE\nwrite 0 4K\n"
        "crash before INSERT_RECORD_FENCE of op 1 keep all-but INSERT_DATA[5]\n";
    struct sim_tried r;

    (void)state;
    try_text(lost, &every, &r);
    assert_true(r.reached && r.cuts == 1 && r.judged.states == 1);
    assert_int_equal(r.verdict.failure, SIM_FAILURE_SERVED);
    try_text("checksums off\nwrite 0 4K\n"
             "crash before INSERT_RECORD_FENCE of op 1 keep all-but INSERT_DATA[5]\n",
             &every, &r);
    assert_true(r.reached && r.failures == 0);
    try_text("write 0 4K\ncrash before INSERT_RECORD_FENCE of op 2\n", &every, &r);
    assert_false(r.reached);
    try_text("write 0 4K\ncrash at end\njudge full\n", &every, &r);
    assert_true(r.reached && r.failures == 0 && r.judged.full == 1);
}

/* A step that only the recovered cache does: left out, it shows when the power fails behind it. */
static void assert_later_finds(const char *drop, const char *ops, const char *work)
{
    char text[512];
    struct sim_tried r;
    uint32_t found = 0;

    snprintf(text, sizeof(text), "quiet on\ndrop %s\n%scrash at end keep all\n", drop, ops);
    try_text(text, &every, &r);
    assert_true(r.reached && r.failures == 0);
    for (uint32_t at = 0; at < 16; at++) {
        snprintf(text, sizeof(text),
                 "quiet on\ndrop %s\n%scrash at end keep all\ncrash later in %s at step %u\n", drop,
                 ops, work, at);
        try_text(text, &every, &r);
        found += r.failures != 0;
        snprintf(text, sizeof(text),
                 "quiet on\n%scrash at end keep all\ncrash later in %s at step %u\n", ops, work,
                 at);
        try_text(text, &every, &r);
        assert_true(r.reached && r.failures == 0);
    }
    if (found == 0)
        fail_msg("drop %s is not found", drop);
}

static void test_work_after_recovery_is_cut(void **state)
{
    (void)state;
    assert_later_finds("EPOCH_B_COPY", "write 0 4K\nflush\nwrite 4K 4K\n", "writeback");
    assert_later_finds("HORIZON_B_COPY", WRAPS, "reclaim");
}

/* What a strategy finds is found again by its words, and by its numbers. */
static void test_words_name_what_was_found(void **state)
{
    static const char *const drops[] = {"INSERT_DATA_FENCE", "INSERT_RECORD_FENCE", "EPOCH_A_COPY",
                                        "SEGMENT_OPEN_A_FENCE"};
    struct sim_try one = every;

    (void)state;
    one.stop_at_first = true;
    for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]); i++) {
        struct sim_tried found, again;
        struct sim_workload w;
        char text[512];
        char *printed;

        snprintf(text, sizeof(text),
                 "checksums off\ndrop %s\nwrite 0 4K\nflush\nwrite 0 64K\nwrite 64K 64K\nwait\n"
                 "write 0 4K\nflush\n",
                 drops[i]);
        try_text(text, &one, &found);
        if (found.failures != 1)
            fail_msg("drop %s is not found", drops[i]);
        one.only = true;
        one.only_step = found.step;
        one.only_subset = found.subset;
        try_text(text, &one, &again);
        one.only = false;
        assert_true(sim_try_alike(&found.verdict, &again.verdict));
        read_text(&w, text);
        w.cut = found.cut;
        printed = print(&w);
        try_text(printed, &every, &again);
        if (again.failures != 1 || !sim_try_alike(&found.verdict, &again.verdict))
            fail_msg("not found again:\n%s", printed);
        free(printed);
        sim_workload_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_printed_is_read_back),
        cmocka_unit_test(test_what_is_usual_has_no_line),
        cmocka_unit_test(test_drawn_crashes_have_words),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_long_lines_are_refused),
        cmocka_unit_test(test_clean_workloads_are_clean),
        cmocka_unit_test(test_merging_only_leaves_out),
        cmocka_unit_test(test_a_named_crash_is_judged),
        cmocka_unit_test(test_words_name_what_was_found),
        cmocka_unit_test(test_work_after_recovery_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
