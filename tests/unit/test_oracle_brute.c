/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator's oracle against the definitions of the promises, by enumeration.
 *
 * backing: every content of every sector, and every moment T, straight from the text of P4.
 * served:  every order of the requests and reads on one sector that agrees with real time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#define SECTORS 3u
#define OPS_MAX 16u
#define NEVER UINT64_MAX

enum kind { WRITE, ZEROES, FLUSH, READ };

struct op {
    enum kind kind;
    unsigned start, sectors;
    bool fua;
    bool must; /* acknowledged; a read always is */
    uint64_t submit, end;
    uint64_t id; /* reads: the token */
    uint64_t saw[SECTORS];
    unsigned apply; /* the run only: 0 not yet, 1 applied */
};

struct run {
    struct sim_oracle *o;
    struct op ops[OPS_MAX];
    unsigned n;
    uint64_t now;
    uint64_t seed;
    uint64_t base; /* address of sector 0 */
    uint64_t content[SECTORS];
};

static unsigned pick(struct run *r, unsigned n)
{
    r->seed = r->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((r->seed >> 33) % n);
}

static void run_open(struct run *r, uint64_t seed, bool initial_is_zero)
{
    struct sim_oracle_config config = {
        .size_sectors = 4096,
        .atomic_sectors = 128,
        .durable_on_ack = true,
        .initial_is_zero = initial_is_zero,
    };
    memset(r, 0, sizeof(*r));
    r->o = sim_oracle_create(&config);
    assert_non_null(r->o);
    r->seed = seed * 2 + 1;
    r->base = 254 + pick(r, 4); /* across the edges of tree nodes, too */
    pick(r, 2);
}

static bool covers(const struct op *op, unsigned sector)
{
    return op->kind != FLUSH && sector >= op->start && sector < op->start + op->sectors;
}

static void submit(struct run *r, enum kind kind)
{
    struct op *op = &r->ops[r->n++];
    op->kind = kind;
    op->start = pick(r, SECTORS);
    op->sectors = 1 + pick(r, SECTORS - op->start);
    op->fua = kind != FLUSH && pick(r, 4) == 0;
    op->submit = ++r->now;
    op->end = NEVER;
    if (kind == READ)
        op->id = sim_oracle_read_begin(r->o);
    else
        op->id = sim_oracle_submit(r->o,
                                   kind == WRITE    ? SIM_ORACLE_OP_WRITE
                                   : kind == ZEROES ? SIM_ORACLE_OP_ZERO
                                                    : SIM_ORACLE_OP_FLUSH,
                                   r->base + op->start, op->sectors, op->fua);
    assert_int_not_equal(op->id, 0);
}

/* What op leaves, or what an index of -1 (the initial content) means. */
static uint64_t content_of(const struct op *op)
{
    return op->kind == ZEROES ? SIM_ORACLE_ZERO : op->id;
}

/* ---- backing ---- */

static bool not_older(const struct run *r, uint64_t end, unsigned sector, uint64_t moment)
{
    for (unsigned w = 0; w < r->n; w++) {
        const struct op *op = &r->ops[w];
        if (!covers(op, sector) || !op->must || op->submit <= end)
            continue;
        if (op->fua && op->end < moment)
            return false;
        for (unsigned f = 0; f < r->n; f++) {
            const struct op *flush = &r->ops[f];
            if (flush->kind == FLUSH && flush->must && flush->end < moment &&
                op->end < flush->submit)
                return false;
        }
    }
    return true;
}

static bool explained_at(const struct run *r, unsigned sector, uint64_t content, uint64_t moment,
                         bool initial_is_zero)
{
    if (content == SIM_ORACLE_INITIAL && initial_is_zero)
        content = SIM_ORACLE_ZERO;
    bool initial = content == (initial_is_zero ? SIM_ORACLE_ZERO : SIM_ORACLE_INITIAL);
    if (initial && not_older(r, 0, sector, moment))
        return true;
    for (unsigned i = 0; i < r->n; i++) {
        const struct op *op = &r->ops[i];
        if (covers(op, sector) && content_of(op) == content && op->submit < moment &&
            not_older(r, op->end, sector, moment))
            return true;
    }
    return false;
}

static bool explained(const struct run *r, const uint64_t *state, bool initial_is_zero)
{
    for (uint64_t moment = 1; moment <= r->now + 1; moment++) {
        bool all = true;
        for (unsigned s = 0; s < SECTORS && all; s++)
            all = explained_at(r, s, state[s], moment, initial_is_zero);
        if (all)
            return true;
    }
    return false;
}

static void random_backing_history(struct run *r)
{
    unsigned ops = 1 + pick(r, 6);
    unsigned ended = 0;
    while (r->n < ops || (ended < ops && pick(r, 8) != 0)) {
        if (r->n < ops && (r->n - ended == 0 || pick(r, 5) < 2)) {
            unsigned kind = pick(r, 6);
            submit(r, kind < 3 ? WRITE : kind < 4 ? ZEROES : FLUSH);
            continue;
        }
        struct op *op = &r->ops[pick(r, r->n)];
        if (op->end != NEVER)
            continue;
        op->end = ++r->now;
        op->must = pick(r, 6) != 0;
        if (op->must)
            sim_oracle_ack(r->o, op->id);
        else
            sim_oracle_fail(r->o, op->id);
        ended++;
    }
}

static unsigned contents(const struct run *r, uint64_t *list)
{
    unsigned n = 0;
    list[n++] = SIM_ORACLE_INITIAL;
    list[n++] = SIM_ORACLE_ZERO;
    for (unsigned i = 0; i < r->n; i++) {
        if (r->ops[i].kind == WRITE)
            list[n++] = r->ops[i].id;
    }
    return n;
}

/* All states of one history; returns how many the oracle allowed. */
static unsigned compare_backing(struct run *r, bool initial_is_zero)
{
    uint64_t list[OPS_MAX + 2];
    uint64_t state[SECTORS];
    unsigned n = contents(r, list);
    unsigned allowed = 0;
    for (unsigned k = 0; k < n * n * n; k++) {
        unsigned at[SECTORS] = {k % n, k / n % n, k / n / n};
        sim_oracle_backing_begin(r->o);
        for (unsigned s = 0; s < SECTORS; s++) {
            state[s] = list[at[s]];
            sim_oracle_backing_feed(r->o, r->base + s, 1, state[s]);
        }
        bool want = explained(r, state, initial_is_zero);
        bool got = sim_oracle_backing_end(r->o, NULL) == SIM_ORACLE_OK;
        if (want != got)
            print_message("state %u: %d %d %d\n", k, (int)state[0], (int)state[1], (int)state[2]);
        assert_int_equal(got, want);
        allowed += got;
    }
    return allowed;
}

static void backing_agrees_with_the_definition(void **state)
{
    (void)state;
    unsigned histories = RUNNING_ON_VALGRIND ? 300 : 15000;
    unsigned allowed = 0;
    for (unsigned i = 0; i < histories; i++) {
        struct run r;
        run_open(&r, i, i % 3 == 0);
        random_backing_history(&r);
        allowed += compare_backing(&r, i % 3 == 0);
        sim_oracle_destroy(r.o);
    }
    assert_true(allowed > histories);
}

/* ---- served ---- */

struct search {
    const struct op *ops[OPS_MAX];
    unsigned n;
    unsigned sector;
    unsigned must;                  /* mask */
    uint8_t seen[1u << OPS_MAX][3]; /* by what was put in order: bits of the last writer, + 1 */
    unsigned last;                  /* out: bits of the last writer, + 1; bit 0: initial */
};

/* `done` is in order already and `last` (0: none, else index + 1) wrote the content. */
static void orders(struct search *q, unsigned done, unsigned last)
{
    if ((q->seen[done][last / 8] >> last % 8 & 1) != 0)
        return;
    q->seen[done][last / 8] |= (uint8_t)(1u << last % 8);
    if ((done & q->must) == q->must)
        q->last |= 1u << last;
    uint64_t content = last == 0 ? SIM_ORACLE_INITIAL : content_of(q->ops[last - 1]);
    for (unsigned i = 0; i < q->n; i++) {
        const struct op *op = q->ops[i];
        bool ok = (done >> i & 1) == 0;
        for (unsigned k = 0; k < q->n && ok; k++) {
            if ((done >> k & 1) != 0)
                ok = q->ops[k]->submit < op->end;
            else
                ok = (q->must >> k & 1) == 0 || q->ops[k]->end > op->submit;
        }
        if (ok && op->kind == READ)
            ok = op->saw[q->sector] == content;
        if (ok)
            orders(q, done | 1u << i, op->kind == READ ? last : i + 1);
    }
}

/* Bits of the writers (index in r->ops, + 1; bit 0: initial) that may be the last. */
static unsigned last_writers(const struct run *r, unsigned sector)
{
    static struct search q;
    unsigned at[OPS_MAX];
    memset(&q, 0, sizeof(q));
    q.sector = sector;
    for (unsigned i = 0; i < r->n; i++) {
        const struct op *op = &r->ops[i];
        if (!covers(op, sector) || (op->kind == READ && op->end == NEVER))
            continue;
        if (op->must)
            q.must |= 1u << q.n;
        at[q.n] = i;
        q.ops[q.n++] = op;
    }
    orders(&q, 0, 0);
    unsigned result = q.last & 1;
    for (unsigned i = 0; i < q.n; i++)
        result |= (q.last >> (i + 1) & 1) << (at[i] + 1);
    return result;
}

static bool may_be_last(const struct run *r, unsigned last, uint64_t content)
{
    if (content == SIM_ORACLE_INITIAL)
        return (last & 1) != 0;
    for (unsigned i = 0; i < r->n; i++) {
        if ((last >> (i + 1) & 1) != 0 && content_of(&r->ops[i]) == content)
            return true;
    }
    return false;
}

/* Takes effect now, as the true device would: a step per sector. */
static void apply(struct run *r, struct op *op)
{
    for (unsigned s = op->start; s < op->start + op->sectors; s++) {
        if (op->kind == READ)
            op->saw[s] = r->content[s];
        else
            r->content[s] = content_of(op);
    }
    op->apply = 1;
}

/* A wrong read is found exactly when no order explains it. */
static void try_wrong_read(struct run *r, const struct op *op)
{
    struct run twin = *r;
    struct op *read = &twin.ops[op - r->ops];
    uint64_t list[OPS_MAX + 2];
    unsigned n = contents(r, list);
    for (unsigned s = read->start; s < read->start + read->sectors; s++) {
        uint64_t wrong = list[pick(r, n)];
        if (wrong != SIM_ORACLE_ZERO)
            read->saw[s] = wrong;
    }
    bool want = true;
    for (unsigned s = read->start; s < read->start + read->sectors && want; s++)
        want = last_writers(&twin, s) != 0;
    twin.o = sim_oracle_clone(r->o);
    assert_non_null(twin.o);
    int rc = sim_oracle_read_end(twin.o, read->id, r->base + read->start, read->saw + read->start,
                                 read->sectors, NULL);
    assert_int_equal(rc == SIM_ORACLE_OK, want);
    sim_oracle_destroy(twin.o);
}

static void end_read(struct run *r, struct op *op, bool with_zeroes)
{
    struct sim_oracle_violation v;
    char text[256];
    op->must = true;
    op->end = ++r->now;
    if (!with_zeroes)
        try_wrong_read(r, op);
    int rc = sim_oracle_read_end(r->o, op->id, r->base + op->start, op->saw + op->start,
                                 op->sectors, &v);
    if (rc != SIM_ORACLE_OK)
        print_message("%s\n", sim_oracle_describe(&v, text, sizeof(text)));
    assert_int_equal(rc, SIM_ORACLE_OK);
}

static void random_served_history(struct run *r, bool with_zeroes)
{
    unsigned ops = 4 + pick(r, OPS_MAX - 3);
    unsigned ended = 0;
    for (unsigned steps = 0; steps < 120; steps++) {
        if (r->n < ops && r->n - ended < 4 && pick(r, 3) == 0) {
            unsigned kind = pick(r, 8);
            submit(r, kind < 3 ? READ : kind < 5 && with_zeroes ? ZEROES : WRITE);
        }
        struct op *op = &r->ops[r->n == 0 ? 0 : pick(r, r->n)];
        if (r->n == 0 || op->end != NEVER)
            continue;
        if (!op->apply) {
            apply(r, op);
        } else if (op->kind == READ) {
            end_read(r, op, with_zeroes);
            ended++;
        } else if (pick(r, 3) != 0) {
            op->end = ++r->now;
            op->must = pick(r, 8) != 0;
            if (op->must)
                sim_oracle_ack(r->o, op->id);
            else
                sim_oracle_fail(r->o, op->id);
            ended++;
        }
    }
}

/* Returns how many versions the oracle allowed. */
static unsigned compare_served(struct run *r, bool with_zeroes)
{
    uint64_t list[OPS_MAX + 2];
    unsigned n = contents(r, list);
    unsigned allowed = 0;
    for (unsigned s = 0; s < SECTORS; s++) {
        unsigned last = last_writers(r, s);
        for (unsigned i = 0; i < n; i++) {
            bool want = may_be_last(r, last, list[i]);
            bool got =
                sim_oracle_check_served(r->o, r->base + s, 1, list[i], NULL) == SIM_ORACLE_OK;
            /* With several requests of zeroes a read may leave open which one it saw. */
            if (with_zeroes)
                assert_true(got || !want);
            else
                assert_int_equal(got, want);
            assert_int_equal(got, sim_oracle_check_final(r->o, r->base + s, 1, list[i], NULL) ==
                                      SIM_ORACLE_OK);
            allowed += got;
        }
    }
    return allowed;
}

/* Once recovery settled an allowed version, no other one is allowed. */
static void adopt_and_compare(struct run *r)
{
    uint64_t list[OPS_MAX + 2];
    unsigned n = contents(r, list);
    sim_oracle_crash(r->o);
    for (unsigned s = 0; s < SECTORS; s++) {
        unsigned k = pick(r, n);
        while (sim_oracle_check_served(r->o, r->base + s, 1, list[k], NULL) != SIM_ORACLE_OK)
            k = (k + 1) % n;
        assert_int_equal(sim_oracle_adopt(r->o, r->base + s, 1, list[k]), SIM_ORACLE_OK);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(sim_oracle_check_served(r->o, r->base + s, 1, list[i], NULL) ==
                                 SIM_ORACLE_OK,
                             i == k);
    }
    sim_oracle_resume(r->o);
}

static void compare_served_histories(bool with_zeroes, unsigned histories)
{
    unsigned allowed = 0;
    for (unsigned i = 0; i < histories; i++) {
        struct run r;
        run_open(&r, i, false);
        random_served_history(&r, with_zeroes);
        allowed += compare_served(&r, with_zeroes);
        adopt_and_compare(&r);
        sim_oracle_destroy(r.o);
    }
    assert_true(allowed > histories * SECTORS);
}

static void served_agrees_with_all_orders(void **state)
{
    (void)state;
    compare_served_histories(false, RUNNING_ON_VALGRIND ? 40 : 4000);
}

static void served_with_zeroes_never_accuses_a_true_device(void **state)
{
    (void)state;
    compare_served_histories(true, RUNNING_ON_VALGRIND ? 40 : 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backing_agrees_with_the_definition),
        cmocka_unit_test(served_agrees_with_all_orders),
        cmocka_unit_test(served_with_zeroes_never_accuses_a_true_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
