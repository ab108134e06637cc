/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the programs of litmus.def on a simulated memory and enumerates what a power cut leaves. */
#include "litmus.h"

#include <string.h>

#include "sim_base.h"

#define UNITS_MAX 16u
#define THREADS 2u
#define STATEMENT_BYTES 32u

static const struct sim_litmus table[] = {
#define LITMUS(model, name, shows, program, vars, allowed, forbidden)                              \
    {SIM_##model, #name, shows, program, vars, allowed, forbidden},
#include "litmus.def"
#undef LITMUS
};

size_t sim_litmus_count(void)
{
    return sizeof(table) / sizeof(table[0]);
}

const struct sim_litmus *sim_litmus_at(size_t i)
{
    return &table[i];
}

static uint64_t place(char var)
{
    static const char vars[] = "xyzwp";
    static const uint64_t off[] = {0, 8, 64, 512, 4096};
    const char *at = strchr(vars, var);

    SIM_REQUIRE(var != '\0' && at != NULL);
    return off[at - vars];
}

/* ---- programs ---- */

struct statement {
    uint32_t thread;
    char text[STATEMENT_BYTES];
};

/* Cuts the next statement off *program; false: there is none. */
static bool next_statement(const char **program, struct statement *st)
{
    const char *at = *program + strspn(*program, " ;");
    size_t n = strcspn(at, ";");

    if (n == 0)
        return false;
    st->thread = 0;
    if (n > 2 && at[1] == ':') {
        st->thread = (uint32_t)(at[0] - '0');
        at += 3;
        n -= 3;
    }
    SIM_REQUIRE(n < sizeof(st->text) && st->thread < THREADS);
    memcpy(st->text, at, n);
    st->text[n] = '\0';
    *program = at + n;
    return true;
}

/* "xy=12": adjacent words, one digit each. */
static void assign(struct sim_pmem *pm, const char *text, bool ordered, unsigned flags)
{
    const char *digits = strchr(text, '=');
    uint64_t words[SIM_LITMUS_VARS_MAX];
    size_t n;

    SIM_REQUIRE(digits != NULL);
    n = (size_t)(digits++ - text);
    SIM_REQUIRE(n >= 1 && n <= SIM_LITMUS_VARS_MAX && strlen(digits) == n);
    for (size_t i = 0; i < n; i++) {
        SIM_REQUIRE(place(text[i]) == place(text[0]) + i * sizeof(words[0]));
        words[i] = (uint64_t)(digits[i] - '0');
    }
    if (ordered)
        pm->pm.ops->store64(&pm->pm, place(text[0]), words[0], CBD_STEP_NONE);
    else
        pm->pm.ops->copy(&pm->pm, place(text[0]), words, n * sizeof(words[0]), flags,
                         CBD_STEP_NONE);
}

static void run_statement(struct sim_pmem *pm, const struct statement *st)
{
    const char *text = st->text;

    pm->thread = st->thread;
    if (strncmp(text, "flush ", 6) == 0) {
        pm->pm.ops->flush(&pm->pm, place(text[6]), sizeof(uint64_t), CBD_STEP_NONE);
    } else if (strncmp(text, "fence", 5) == 0) {
        pm->fail_fences = strcmp(text, "fence fails") == 0;
        SIM_REQUIRE((pm->pm.ops->fence(&pm->pm, CBD_STEP_NONE) != 0) == (text[5] != '\0'));
    } else if (strncmp(text, "copy ", 5) == 0) {
        assign(pm, text + 5, false, 0);
    } else if (strncmp(text, "nt ", 3) == 0) {
        assign(pm, text + 3, false, CBD_PMEM_NT);
    } else {
        assign(pm, text, true, 0);
    }
}

static struct sim_pmem *run(const struct sim_litmus *t)
{
    struct sim_pmem *pm = sim_pmem_create(8192, t->model);
    const char *program = t->program;
    struct statement st;

    while (next_statement(&program, &st))
        run_statement(pm, &st);
    SIM_REQUIRE(pm->counts.mixed.count == 0);
    return pm;
}

/* ---- sets of outcomes ---- */

bool sim_litmus_has(const struct sim_litmus_set *set, const char *word)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->word[i], word) == 0)
            return true;
    return false;
}

static void add(struct sim_litmus_set *set, const char *word)
{
    size_t at = set->count;

    if (sim_litmus_has(set, word))
        return;
    SIM_REQUIRE(set->count < SIM_LITMUS_OUTCOMES_MAX);
    for (; at > 0 && strcmp(set->word[at - 1], word) > 0; at--)
        memcpy(set->word[at], set->word[at - 1], sizeof(set->word[at]));
    snprintf(set->word[at], sizeof(set->word[at]), "%s", word);
    set->count++;
}

bool sim_litmus_equal(const struct sim_litmus_set *a, const struct sim_litmus_set *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->word[i], b->word[i]) != 0)
            return false;
    return a->count == b->count;
}

void sim_litmus_parse(const char *list, struct sim_litmus_set *set)
{
    set->count = 0;
    for (const char *at = list + strspn(list, " "); *at != '\0'; at += strspn(at, " ")) {
        char word[SIM_LITMUS_VARS_MAX + 1];
        size_t n = strcspn(at, " ");

        SIM_REQUIRE(n < sizeof(word));
        memcpy(word, at, n);
        word[n] = '\0';
        add(set, word);
        at += n;
    }
}

/* The highest value that the program stores in a variable. */
static char highest(const struct sim_litmus *t, char var)
{
    const char *program = t->program;
    struct statement st;
    char high = '0';

    while (next_statement(&program, &st)) {
        const char *digits = strchr(st.text, '=');

        if (digits == NULL)
            continue;
        for (size_t i = 1; i < strlen(digits); i++) {
            const char *name = digits - strlen(digits) + i;

            if (*name == var && digits[i] > high)
                high = digits[i];
        }
    }
    return high;
}

void sim_litmus_all(const struct sim_litmus *t, struct sim_litmus_set *set)
{
    size_t n = strlen(t->vars), at;
    char word[SIM_LITMUS_VARS_MAX + 1] = {0};

    SIM_REQUIRE(n >= 1 && n <= SIM_LITMUS_VARS_MAX);
    set->count = 0;
    memset(word, '0', n);
    do {
        add(set, word);
        for (at = 0; at < n && word[at] == highest(t, t->vars[at]); at++)
            word[at] = '0';
        if (at < n)
            word[at]++;
    } while (at < n);
}

/* What the medium holds. */
static void look(const struct sim_litmus *t, const struct sim_pmem *pm, struct sim_litmus_set *set)
{
    char word[SIM_LITMUS_VARS_MAX + 1] = {0};

    for (size_t i = 0; t->vars[i] != '\0'; i++) {
        uint64_t value;

        memcpy(&value, pm->pm.base + place(t->vars[i]), sizeof(value));
        SIM_REQUIRE(value <= 9 && i < SIM_LITMUS_VARS_MAX);
        word[i] = (char)('0' + value);
    }
    add(set, word);
}

void sim_litmus_enumerate(const struct sim_litmus *t, struct sim_litmus_set *outcomes)
{
    struct sim_pmem *pm = run(t);
    uint64_t choices[UNITS_MAX], choice[UNITS_MAX] = {0};
    size_t units = sim_pmem_pending_units(pm, choices, UNITS_MAX), at;

    SIM_REQUIRE(units <= UNITS_MAX);
    outcomes->count = 0;
    do {
        sim_pmem_mark(pm);
        sim_pmem_crash_bits(pm, choice);
        look(t, pm, outcomes);
        sim_pmem_rollback(pm);
        for (at = 0; at < units && ++choice[at] == choices[at]; at++)
            choice[at] = 0;
    } while (at < units);
    sim_pmem_destroy(pm);
}

void sim_litmus_crash(const struct sim_litmus *t, const struct sim_crash *crash,
                      struct sim_litmus_set *outcome)
{
    struct sim_pmem *pm = run(t);

    outcome->count = 0;
    sim_pmem_crash(pm, crash);
    look(t, pm, outcome);
    sim_pmem_destroy(pm);
}

bool sim_litmus_holds(const struct sim_litmus *t)
{
    struct sim_litmus_set seen, allowed, forbidden, both, all;

    sim_litmus_enumerate(t, &seen);
    sim_litmus_parse(t->allowed, &allowed);
    sim_litmus_parse(t->forbidden, &forbidden);
    sim_litmus_all(t, &all);
    both = allowed;
    for (size_t i = 0; i < forbidden.count; i++)
        add(&both, forbidden.word[i]);
    return sim_litmus_equal(&seen, &allowed) && sim_litmus_equal(&both, &all) &&
           both.count == allowed.count + forbidden.count;
}

/* ---- the drawing ---- */

static void print_set(const char *what, const struct sim_litmus_set *set, FILE *out)
{
    fprintf(out, "    %-10s", what);
    if (set->count == 0)
        fprintf(out, " -");
    for (size_t i = 0; i < set->count; i++)
        fprintf(out, " %s", set->word[i]);
    fputc('\n', out);
}

void sim_litmus_print(const struct sim_litmus *t, FILE *out)
{
    static const char *const models[] = {"adr", "eadr", "page"};
    struct sim_litmus_set seen, allowed, forbidden;
    const char *program = t->program;
    struct statement st;
    bool second = strstr(program, "1:") != NULL;

    sim_litmus_enumerate(t, &seen);
    sim_litmus_parse(t->allowed, &allowed);
    sim_litmus_parse(t->forbidden, &forbidden);
    fprintf(out, "%s (%s): %s\n", t->name, models[t->model], t->shows);
    fprintf(out, second ? "    thread 0       thread 1\n" : "");
    while (next_statement(&program, &st))
        fprintf(out, "    %*s%s\n", st.thread == 0 ? 0 : 15, "", st.text);
    fprintf(out, "    ---- power cut ---- %s:\n", t->vars);
    print_set("allowed", &allowed, out);
    print_set("forbidden", &forbidden, out);
    if (!sim_litmus_holds(t))
        print_set("BUT SEEN", &seen, out);
}
