/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small and exhaustive: a few requests on a tiny cache, the power cut at every step of insert and
 * of recovery, and every outcome of the pending words recovered and compared with the oracle.
 *
 * Where all words together have more than 2^16 outcomes, those of records and table entries are
 * still enumerated exhaustively, each crossed with: no word of headers and payload survives, all
 * do, each one alone is lost, each one alone is kept, 64 random choices. Words that a store left as
 * they were are no choice. For each way in which a recovery went, its own steps are cut as well.
 */
/* ctest: sim long novalgrind timeout=900 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "oracle.h"
#include "rng.h"
#include "sim_base.h"
#include "sim_disk.h"
#include "sim_env.h"
#include "sim_pmem.h"

#define PMEM_BYTES ((UINT64_C(2) << 20) + (UINT64_C(64) << 10) * 7)
#define SEGMENT_BYTES (64u << 10)
#define SECTORS 128u /* of the disk; what is explored happens below WINDOW */
#define WINDOW 16u
#define UNITS_MAX 2048u
#define EXHAUSTIVE_MAX (UINT64_C(1) << 16)
#define RANDOM_CHOICES 64u
#define DEPTH 2u /* power cuts in a row */
#define CLASSES_MAX 64u

enum op_kind {
    END,
    WRITE,
    ZERO,
    FLUSH,
    TORN, /* a write whose record survives a power cut, but not all of its payload */
    FILL, /* a write that is not explored */
};

struct op {
    enum op_kind kind;
    uint32_t first, sectors;
};

struct script {
    const char *name;
    struct op ops[8];
};

static const struct script scripts[] = {
    {"write", {{WRITE, 3, 1}}},
    {"overwrite", {{FILL, 3, 2}, {WRITE, 2, 2}}},
    {"zero, flush, write", {{WRITE, 2, 1}, {ZERO, 1, 4}, {FLUSH, 0, 0}, {WRITE, 4, 1}}},
    {"torn, then on", {{FILL, 5, 1}, {TORN, 2, 1}, {WRITE, 2, 1}}},
    {"next segment",
     {{FILL, 16, 32}, {FILL, 48, 32}, {FILL, 80, 32}, {FILL, 16, 23}, {WRITE, 3, 1}}},
};

#define SCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* How a recovery went. Those that went alike need not be cut step by step again. */
struct class
{
    uint64_t ops, seen;
};

struct rig {
    struct sim_pmem *pmem;
    struct sim_disk *disk;
    struct sim_oracle *oracle;
    struct cbd_geometry geo;
    struct sim_env env[DEPTH + 1]; /* of the run, and of the recovery from each cut in a row */
    struct cbd_cache *cache;
    struct cbd_backend *backend;
    uint32_t depth; /* cuts that this state has behind it */
    bool tear;
    jmp_buf torn;
    struct class classes[CLASSES_MAX];
    uint32_t class_count;

    uint64_t cuts, states, nested, exhaustive_cuts;
    const char *failure; /* the first, or NULL */
    char what[256];
};

static void explore(struct rig *r);

static bool progress(void *arg)
{
    struct rig *r = arg;

    if (sim_disk_inflight(r->disk) == 0)
        return false;
    sim_disk_complete(r->disk, 0);
    return true;
}

static void violated(struct rig *r, const char *failure, const char *what)
{
    if (r->failure != NULL)
        return;
    r->failure = failure;
    snprintf(r->what, sizeof(r->what), "%s", what);
}

static int start(struct rig *r, struct sim_env *env, struct cbd_cache **cache,
                 struct cbd_backend **backend)
{
    struct cbd_attach_options options = {.no_fill = true, .identity_places = CBD_IDENTITY_NONE};
    int error;

    sim_env_reset(env, 0);
    error = cbd_cache_open(&r->pmem->pm, &env->env, 0, cache);
    return error != 0 ? error : cbd_backend_attach(*cache, 0, &r->disk->disk, &options, backend);
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct rig *r = arg;

    if (f->problem->severity == CBD_CHECK_ERROR)
        violated(r, "check", f->problem->name);
    return 0;
}

static void check(struct rig *r, struct sim_env *env)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS};
    struct cbd_check_summary summary;

    sim_env_reset(env, 0);
    if (cbd_check_run(&r->pmem->pm, &env->env, &options, on_finding, r, &summary) != 0)
        violated(r, "check", "did not run");
}

/* Reads sectors, compares them with the oracle, returns a hash of what was seen. */
static uint64_t compare(struct rig *r, struct cbd_backend *backend, uint32_t first, uint32_t count)
{
    uint8_t buf[WINDOW * SIM_SECTOR_BYTES];
    uint64_t versions[WINDOW], seen = 0;
    struct sim_oracle_violation v;
    char text[256];

    if (cbd_read(backend, 0, first * (uint64_t)SIM_SECTOR_BYTES, buf, count * SIM_SECTOR_BYTES) !=
        0) {
        violated(r, "read", "failed");
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        versions[i] = sim_sector_decode(buf + i * SIM_SECTOR_BYTES, first + i);
        seen = sim_rng_mix(seen, versions[i]);
        if (sim_oracle_check_served(r->oracle, first + i, 1, versions[i], &v) != SIM_ORACLE_OK)
            violated(r, "served", sim_oracle_describe(&v, text, sizeof(text)));
    }
    if (sim_oracle_check_pieces(r->oracle, first, versions, count, &v) != SIM_ORACLE_OK)
        violated(r, "pieces", sim_oracle_describe(&v, text, sizeof(text)));
    return seen;
}

static bool new_class(struct rig *r, uint64_t ops, uint64_t seen)
{
    for (uint32_t i = 0; i < r->class_count; i++)
        if (r->classes[i].ops == ops && r->classes[i].seen == seen)
            return false;
    SIM_REQUIRE(r->class_count < CLASSES_MAX);
    r->classes[r->class_count++] = (struct class){ops, seen};
    return true;
}

static void on_pm(void *arg, const struct sim_pm_event *ev)
{
    struct rig *r = arg;

    explore(r);
    if (r->tear && ev->step == CBD_STEP_INSERT_RECORD_FENCE)
        longjmp(r->torn, 1);
}

/* The media are as one outcome of a cut left them. False: this went as an earlier one did. */
static bool judge(struct rig *r)
{
    struct sim_env *env = &r->env[r->depth];
    uint64_t before = r->pmem->ops_done, ops, seen = 0;
    struct cbd_backend *backend;
    struct cbd_cache *cache;

    check(r, env);
    if (start(r, env, &cache, &backend) != 0) {
        violated(r, "recovery", env->errors > 0 ? env->first[0].sentence : "refused");
        return false;
    }
    ops = r->pmem->ops_done - before;
    seen = compare(r, backend, 0, WINDOW);
    for (uint32_t sector = WINDOW; sector < SECTORS; sector += 32)
        seen = sim_rng_mix(seen, compare(r, backend, sector, 1));
    return r->depth < DEPTH && new_class(r, ops, seen);
}

/* The same recovery once more, and a cut before each of its steps and after the last. */
static void cut_recovery(struct rig *r)
{
    struct cbd_backend *backend;
    struct cbd_cache *cache;

    r->pmem->hook = on_pm;
    if (start(r, &r->env[r->depth], &cache, &backend) != 0)
        violated(r, "recovery", "refused the second time");
    r->pmem->hook = NULL;
    explore(r);
}

/* One outcome of this cut. */
static void state(struct rig *r, const uint64_t *choices)
{
    bool again = false;

    if (r->failure != NULL)
        return;
    r->states++;
    r->nested += r->depth > 0;
    r->depth++;
    for (int pass = 0; pass < 2; pass++) {
        sim_pmem_mark(r->pmem);
        sim_disk_mark(r->disk);
        sim_pmem_crash_bits(r->pmem, choices);
        sim_disk_crash(r->disk, &(struct sim_crash){.kind = SIM_CRASH_NONE});
        r->pmem->thread = 1;
        if (pass == 0)
            again = judge(r);
        else
            cut_recovery(r);
        sim_disk_rollback(r->disk);
        sim_pmem_rollback(r->pmem);
        if (!again)
            break;
    }
    r->depth--;
}

/* What is pending at a cut, in the two groups that are enumerated differently. */
struct choice {
    struct sim_pend_unit unit[UNITS_MAX];
    uint64_t value[UNITS_MAX];
    uint32_t index[UNITS_MAX]; /* of the units that are a choice: first those of the structure */
    uint32_t structure, all;
    size_t units;
};

/* Records and table entries; else headers and payload. */
static bool is_structure(const struct rig *r, uint64_t line)
{
    uint64_t off = line * CBD_LINE_BYTES;

    return off < r->geo.data_off ||
           (off - r->geo.data_off) % SEGMENT_BYTES >= SEGMENT_BYTES - CBD_PAGE_BYTES;
}

/* Whether the word looks the same whether its only store survives or not. */
static bool is_idle(const struct rig *r, const struct sim_pend_unit *u, const uint8_t *oldest)
{
    uint64_t off = u->cell * CBD_LINE_BYTES + u->word * CBD_WORD_BYTES;

    return u->word < SIM_PEND_WORDS && u->choices == 2 &&
           memcmp(r->pmem->pm.base + off, oldest, CBD_WORD_BYTES) == 0;
}

static void collect(struct rig *r, struct choice *c)
{
    uint8_t(*oldest)[CBD_WORD_BYTES] = sim_zalloc(UNITS_MAX, sizeof(*oldest));

    memset(c, 0, sizeof(*c));
    c->units = sim_pmem_pending_list(r->pmem, c->unit, UNITS_MAX);
    SIM_REQUIRE(c->units <= UNITS_MAX);
    sim_pmem_mark(r->pmem);
    sim_pmem_crash_bits(r->pmem, c->value);
    for (size_t i = 0; i < c->units; i++)
        if (c->unit[i].word < SIM_PEND_WORDS)
            memcpy(oldest[i],
                   r->pmem->pm.base + c->unit[i].cell * CBD_LINE_BYTES +
                       c->unit[i].word * CBD_WORD_BYTES,
                   CBD_WORD_BYTES);
    sim_pmem_rollback(r->pmem);
    for (int structure = 1; structure >= 0; structure--) {
        for (uint32_t i = 0; i < c->units; i++)
            if (is_structure(r, c->unit[i].cell) == (structure == 1) &&
                !is_idle(r, &c->unit[i], oldest[i]))
                c->index[c->all++] = i;
        if (structure == 1)
            c->structure = c->all;
    }
    free(oldest);
}

static uint64_t product(const struct choice *c, uint32_t count)
{
    uint64_t n = 1;

    for (uint32_t i = 0; i < count && n <= EXHAUSTIVE_MAX; i++)
        n *= c->unit[c->index[i]].choices;
    return n;
}

/* Every combination of the first `count` choices; the others stay as they are. */
static void enumerate(struct rig *r, struct choice *c, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++)
        c->value[c->index[i]] = 0;
    do {
        state(r, c->value);
        for (i = 0; i < count; i++) {
            if (++c->value[c->index[i]] < c->unit[c->index[i]].choices)
                break;
            c->value[c->index[i]] = 0;
        }
    } while (i < count);
}

static void set_payload(struct choice *c, bool newest)
{
    for (uint32_t i = c->structure; i < c->all; i++)
        c->value[c->index[i]] = newest ? c->unit[c->index[i]].choices - 1 : 0;
}

/* Structure exhaustively, crossed with a choice of ways to lose payload. */
static void enumerate_partly(struct rig *r, struct choice *c)
{
    struct sim_rng rng;

    sim_rng_seed(&rng, r->cuts);
    for (int newest = 0; newest < 2; newest++) {
        set_payload(c, newest == 1);
        enumerate(r, c, c->structure);
        for (uint32_t i = c->structure; i < c->all; i++) {
            uint64_t max = c->unit[c->index[i]].choices - 1;

            c->value[c->index[i]] = newest == 1 ? 0 : max;
            enumerate(r, c, c->structure);
            c->value[c->index[i]] = newest == 1 ? max : 0;
        }
    }
    for (uint32_t n = 0; n < RANDOM_CHOICES; n++) {
        for (uint32_t i = c->structure; i < c->all; i++)
            c->value[c->index[i]] = sim_rng_below(&rng, c->unit[c->index[i]].choices);
        enumerate(r, c, c->structure);
    }
}

/* All outcomes of a power cut at this instant. */
static void explore(struct rig *r)
{
    void (*hook)(void *, const struct sim_pm_event *) = r->pmem->hook;
    struct choice *c;

    if (r->failure != NULL)
        return;
    c = sim_zalloc(1, sizeof(*c));
    r->pmem->hook = NULL;
    r->cuts++;
    if (r->depth == 0)
        r->class_count = 0;
    collect(r, c);
    SIM_REQUIRE(product(c, c->structure) <= EXHAUSTIVE_MAX);
    if (product(c, c->all) <= EXHAUSTIVE_MAX) {
        r->exhaustive_cuts++;
        enumerate(r, c, c->all);
    } else {
        enumerate_partly(r, c);
    }
    r->pmem->hook = hook;
    free(c);
}

static void create(struct rig *r, enum sim_model model, bool no_data_checksum)
{
    struct cbd_format_options format = {
        .segment_bytes = SEGMENT_BYTES, .no_data_checksum = no_data_checksum, .salt = 1};
    struct sim_disk_config disk = {.size_bytes = SECTORS * SIM_SECTOR_BYTES,
                                   .logical_block_bytes = 512};
    struct cbd_backend_options add = {
        .name = "disk",
        .size_bytes = SECTORS * SIM_SECTOR_BYTES,
        .logical_block_bytes = 512,
        .cache_bytes = 4 * SEGMENT_BYTES,
        .streams = 1,
    };
    struct sim_oracle_config oracle = {.size_sectors = SECTORS, .durable_on_ack = true};
    uint32_t id;

    memset(r, 0, sizeof(*r));
    r->pmem = sim_pmem_create(PMEM_BYTES, model);
    r->pmem->hook_arg = r;
    r->disk = sim_disk_create(&disk);
    for (uint32_t i = 0; i <= DEPTH; i++) {
        sim_env_init(&r->env[i], i);
        r->env[i].progress = progress;
        r->env[i].progress_arg = r;
    }
    assert_int_equal(cbd_format(&r->pmem->pm, &r->env[0].env, &format, &r->geo), 0);
    assert_int_equal(cbd_cache_open(&r->pmem->pm, &r->env[0].env, 0, &r->cache), 0);
    assert_int_equal(cbd_backend_add(r->cache, &add, &id), 0);
    assert_int_equal(start(r, &r->env[0], &r->cache, &r->backend), 0);
    oracle.atomic_sectors = r->geo.atomic_bytes / SIM_SECTOR_BYTES;
    r->oracle = sim_oracle_create(&oracle);
    assert_non_null(r->oracle);
}

static void destroy(struct rig *r)
{
    for (uint32_t i = 0; i <= DEPTH; i++)
        sim_env_destroy(&r->env[i]);
    sim_oracle_destroy(r->oracle);
    sim_disk_destroy(r->disk);
    sim_pmem_destroy(r->pmem);
}

static void write_sectors(struct rig *r, uint32_t first, uint32_t sectors)
{
    static uint8_t buf[32 * SIM_SECTOR_BYTES];
    uint64_t id = sim_oracle_submit(r->oracle, SIM_ORACLE_OP_WRITE, first, sectors, false);

    SIM_REQUIRE(id != 0 && sectors * SIM_SECTOR_BYTES <= sizeof(buf));
    for (uint32_t i = 0; i < sectors; i++)
        sim_sector_fill(buf + i * SIM_SECTOR_BYTES, first + i, id);
    assert_int_equal(cbd_write(r->backend, 0, first * (uint64_t)SIM_SECTOR_BYTES, buf,
                               sectors * (uint64_t)SIM_SECTOR_BYTES, 0),
                     0);
    sim_oracle_ack(r->oracle, id);
}

static void zero_sectors(struct rig *r, uint32_t first, uint32_t sectors)
{
    uint64_t id = sim_oracle_submit(r->oracle, SIM_ORACLE_OP_ZERO, first, sectors, false);

    SIM_REQUIRE(id != 0);
    assert_int_equal(cbd_zero(r->backend, 0, first * (uint64_t)SIM_SECTOR_BYTES,
                              sectors * (uint64_t)SIM_SECTOR_BYTES, 0),
                     0);
    sim_oracle_ack(r->oracle, id);
}

/* The power fails for good: all that is pending survives but the first word of the payload. */
static void power_cut_in_payload(struct rig *r)
{
    struct choice *c = sim_zalloc(1, sizeof(*c));

    collect(r, c);
    for (size_t i = 0; i < c->units; i++)
        c->value[i] = c->unit[i].choices - 1;
    if (c->structure < c->all)
        c->value[c->index[c->all - 1]] = 0;
    sim_pmem_crash_bits(r->pmem, c->value);
    free(c);
}

static void torn_write(struct rig *r, uint32_t first, uint32_t sectors)
{
    uint8_t buf[WINDOW * SIM_SECTOR_BYTES];

    r->tear = true;
    if (setjmp(r->torn) == 0)
        write_sectors(r, first, sectors);
    r->tear = false;
    sim_oracle_crash(r->oracle);
    r->pmem->hook = NULL;
    power_cut_in_payload(r);
    r->pmem->hook = on_pm;
    if (start(r, &r->env[0], &r->cache, &r->backend) != 0) {
        violated(r, "recovery", "refused");
        return;
    }
    assert_int_equal(cbd_read(r->backend, 0, 0, buf, sizeof(buf)), 0);
    for (uint32_t i = 0; i < WINDOW; i++)
        if (sim_oracle_adopt(r->oracle, i, 1, sim_sector_decode(buf + i * SIM_SECTOR_BYTES, i)) !=
            SIM_ORACLE_OK)
            violated(r, "adopt", "a sector that nothing explains");
    sim_oracle_resume(r->oracle);
}

static void run_op(struct rig *r, const struct op *op)
{
    uint64_t id;

    r->pmem->hook = op->kind == FILL ? NULL : on_pm;
    switch (op->kind) {
    case WRITE:
    case FILL:
        write_sectors(r, op->first, op->sectors);
        break;
    case ZERO:
        zero_sectors(r, op->first, op->sectors);
        break;
    case TORN:
        torn_write(r, op->first, op->sectors);
        break;
    case FLUSH:
    case END:
    default:
        id = sim_oracle_submit(r->oracle, SIM_ORACLE_OP_FLUSH, 0, 0, false);
        assert_int_equal(cbd_flush(r->backend, 0), 0);
        sim_oracle_ack(r->oracle, id);
        break;
    }
    r->pmem->hook = NULL;
    if (op->kind != FILL)
        explore(r);
}

static void run_script(struct rig *r, const struct script *s)
{
    for (const struct op *op = s->ops; op->kind != END && r->failure == NULL; op++)
        run_op(r, op);
}

static uint64_t explore_all(enum sim_model model, bool no_data_checksum)
{
    uint64_t states = 0;

    for (size_t i = 0; i < SCRIPTS; i++) {
        struct rig r;

        create(&r, model, no_data_checksum);
        run_script(&r, &scripts[i]);
        print_message("%-20s %5llu cuts, %5llu exhaustive; %8llu states, %7llu after two cuts\n",
                      scripts[i].name, (unsigned long long)r.cuts,
                      (unsigned long long)r.exhaustive_cuts, (unsigned long long)r.states,
                      (unsigned long long)r.nested);
        if (r.failure != NULL)
            fail_msg("%s: %s: %s", scripts[i].name, r.failure, r.what);
        states += r.states;
        destroy(&r);
    }
    print_message("%llu states\n", (unsigned long long)states);
    return states;
}

static void test_with_data_checksums(void **state)
{
    (void)state;
    assert_true(explore_all(SIM_ADR, false) > 10000);
}

static void test_without_data_checksums(void **state)
{
    (void)state;
    assert_true(explore_all(SIM_ADR, true) > 2000);
}

static void test_pages(void **state)
{
    (void)state;
    assert_true(explore_all(SIM_PAGE, false) > 100);
}

/* A protocol with a hole does not stand: the exploration sees it. */
static void test_holes_are_found(void **state)
{
    static const struct {
        enum cbd_step step;
        bool no_data_checksum;
    } holes[] = {
        {CBD_STEP_INSERT_HEADER, false},        {CBD_STEP_INSERT_DATA, false},
        {CBD_STEP_INSERT_DATA_FENCE, true},     {CBD_STEP_INSERT_RECORD, false},
        {CBD_STEP_INSERT_RECORD_FENCE, false},  {CBD_STEP_SEGMENT_OPEN_A_COPY, false},
        {CBD_STEP_SEGMENT_OPEN_A_FENCE, false}, {CBD_STEP_SEGMENT_CLOSE_A_FENCE, false},
        {CBD_STEP_RECOVER_VOID, false},         {CBD_STEP_RECOVER_STATE_A_FENCE, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        const char *failure = NULL;

        for (size_t s = 0; s < SCRIPTS && failure == NULL; s++) {
            struct rig r;

            create(&r, SIM_ADR, holes[i].no_data_checksum);
            r.pmem->drop_step = holes[i].step;
            run_script(&r, &scripts[s]);
            failure = r.failure;
            if (failure != NULL)
                print_message("%-22s %s: %s: %s\n", cbd_step_name(holes[i].step), scripts[s].name,
                              failure, r.what);
            destroy(&r);
        }
        if (failure == NULL)
            fail_msg("nobody misses %s", cbd_step_name(holes[i].step));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_data_checksums),
        cmocka_unit_test(test_without_data_checksums),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_holes_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
