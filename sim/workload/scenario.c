/* SPDX-License-Identifier: BSD-2-Clause */
/* From a number to a workload. */
#include "scenario.h"

#include <string.h>

#include "rng.h"
#include "sim_base.h"

#define SECTOR UINT64_C(512)
#define BLOCK UINT64_C(4096)
#define RESTART_STEPS 40u
#define LETTERS_MAX 64u
#define BLOCKS_MAX 4u

void sim_scenario_init(struct sim_scenario *s)
{
    struct sim_workload usual;

    sim_workload_init(&usual);
    *s = (struct sim_scenario){
        .seed = 1,
        .ops = 16,
        .space_bytes = UINT64_C(64) << 10,
        .len_max_bytes = UINT64_C(16) << 10,
        .blocks = 2,
        .read = 10,
        .flush = 12,
        .discard = 5,
        .zero = 3,
        .wait = 3,
        .restart = 3,
        .reattach = 1,
        .fua = 10,
        .config = usual.config,
    };
}

/* ---- one after the other, drawn ---- */

static uint64_t draw_len(const struct sim_scenario *s, struct sim_rng *rng)
{
    uint64_t max = s->len_max_bytes / SECTOR;
    uint64_t len = sim_rng_chance(rng, 1, 2)   ? 8
                   : sim_rng_chance(rng, 1, 2) ? 1 + sim_rng_below(rng, 16)
                                               : 1 + sim_rng_below(rng, max);

    return (len < max ? len : max) * SECTOR;
}

/* Weight 1 / x: an octave, then a place in it. No floating point, so that it is always the same. */
static uint64_t draw_zipf(struct sim_rng *rng, uint64_t places)
{
    unsigned octaves = 0;
    uint64_t from, x;

    while ((UINT64_C(2) << octaves) <= places)
        octaves++;
    from = UINT64_C(1) << sim_rng_below(rng, octaves + 1);
    x = from + sim_rng_below(rng, from);
    x = x > places ? places : x;
    return sim_rng_mix(x, 9) % places;
}

static uint64_t draw_off(const struct sim_scenario *s, struct sim_rng *rng, uint64_t *next,
                         uint64_t len)
{
    uint64_t sectors = (s->space_bytes - len) / SECTOR + 1;
    uint64_t off;

    if (s->kind == SIM_SCENARIO_SEQUENTIAL) {
        off = *next + len > s->space_bytes ? 0 : *next;
        *next = off + len;
        return off;
    }
    if (s->kind == SIM_SCENARIO_ZIPF)
        return draw_zipf(rng, (s->space_bytes - len) / BLOCK + 1) * BLOCK;
    off = sim_rng_below(rng, sectors) * SECTOR;
    return sim_rng_chance(rng, 1, 2) ? off / BLOCK * BLOCK : off;
}

static enum sim_work_kind draw_kind(const struct sim_scenario *s, struct sim_rng *rng)
{
    const struct {
        uint32_t percent;
        enum sim_work_kind kind;
    } shares[] = {
        {s->read, SIM_WORK_READ},       {s->flush, SIM_WORK_FLUSH},
        {s->discard, SIM_WORK_DISCARD}, {s->zero, SIM_WORK_ZERO},
        {s->wait, SIM_WORK_WAIT},       {s->restart, SIM_WORK_RESTART},
        {s->reattach, SIM_WORK_DETACH}, {s->fill, SIM_WORK_KIND_COUNT},
    };
    uint64_t dice = sim_rng_below(rng, 100);

    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        if (dice < shares[i].percent)
            return shares[i].kind;
        dice -= shares[i].percent;
    }
    return SIM_WORK_WRITE;
}

static void draw_op(const struct sim_scenario *s, struct sim_rng *rng, uint64_t *next,
                    struct sim_workload *w)
{
    enum sim_work_kind kind = draw_kind(s, rng);
    bool fill = kind == SIM_WORK_KIND_COUNT;
    struct sim_work_op *op = sim_workload_add(w, fill ? SIM_WORK_WRITE : kind);
    uint64_t block = w->config.logical_block_bytes;

    if (kind == SIM_WORK_RESTART) {
        uint64_t draw = sim_rng_u64(rng);

        op->steps = sim_rng_below(rng, RESTART_STEPS);
        op->crash = sim_crash_subset(draw % 16, draw);
        return;
    }
    if (kind == SIM_WORK_WAIT)
        return;
    op->disk = (uint8_t)sim_rng_below(rng, w->config.backends);
    if (kind == SIM_WORK_DETACH) {
        uint8_t disk = op->disk;

        sim_workload_add(w, SIM_WORK_ATTACH)->disk = disk;
        return;
    }
    if (kind == SIM_WORK_FLUSH)
        return;
    op->len_bytes = fill ? s->len_max_bytes : (draw_len(s, rng) + block - 1) / block * block;
    op->off_bytes = draw_off(s, rng, next, op->len_bytes) / block * block;
    op->fua = kind != SIM_WORK_READ && sim_rng_below(rng, 100) < s->fua;
}

/* So few segments that reclaim has to work. */
static void tight_cache(struct sim_rng *rng, struct sim_config *c)
{
    uint32_t each = c->streams + CBD_SHARE_RESERVE + (uint32_t)sim_rng_below(rng, 5);
    uint64_t cache = CBD_TABLES_OFF;
    struct cbd_geometry geo;

    while (cbd_geometry_plan(&geo, cache, c->segment_bytes) != 0 ||
           geo.segment_count < each * c->backends)
        cache += c->segment_bytes;
    c->cache_bytes = cache;
}

static void vary_machine(struct sim_rng *rng, struct sim_config *c)
{
    c->backends = 1 + (uint32_t)sim_rng_below(rng, 2);
    c->streams = 1 + (uint32_t)sim_rng_below(rng, 3);
    c->trees = 1u << sim_rng_below(rng, 3);
    c->dirty_start_percent = (uint32_t)sim_rng_below(rng, 4) * 10;
    c->epoch_records_max = sim_rng_chance(rng, 1, 4) ? 1 + (uint32_t)sim_rng_below(rng, 8) : 0;
    /* Damaged or lost data is not noticed without checksums: that is what they are for. */
    c->no_data_checksum = sim_rng_chance(rng, 1, 3) && (c->faults & SIM_FAULTS_MEMORY) == 0 &&
                          c->durability == CBD_DURABLE_ON_ACK;
    c->disk_write_through = sim_rng_chance(rng, 1, 8);
    c->disk_keeps_discarded = sim_rng_chance(rng, 1, 4);
    c->quiet = sim_rng_chance(rng, 1, 4);
    if (sim_rng_chance(rng, 3, 4))
        tight_cache(rng, c);
}

/* ---- all ---- */

/* One operation that `all` may use. */
static size_t list_letters(const struct sim_scenario *s, struct sim_work_op letters[LETTERS_MAX])
{
    const struct {
        bool in;
        enum sim_work_kind kind;
        bool fua;
    } ranged[] = {
        {true, SIM_WORK_WRITE, false},
        {s->fua != 0, SIM_WORK_WRITE, true},
        {s->discard != 0, SIM_WORK_DISCARD, false},
        {s->zero != 0, SIM_WORK_ZERO, false},
        {s->read != 0, SIM_WORK_READ, false},
    };
    size_t n = 0;

    for (size_t k = 0; k < sizeof(ranged) / sizeof(ranged[0]); k++)
        for (uint32_t from = 0; from < s->blocks && ranged[k].in; from++)
            for (uint32_t to = from + 1; to <= s->blocks; to++)
                letters[n++] = (struct sim_work_op){.kind = (uint8_t)ranged[k].kind,
                                                    .fua = ranged[k].fua,
                                                    .off_bytes = from * BLOCK,
                                                    .len_bytes = (to - from) * BLOCK};
    if (s->flush != 0)
        letters[n++] = (struct sim_work_op){.kind = SIM_WORK_FLUSH};
    if (s->wait != 0)
        letters[n++] = (struct sim_work_op){.kind = SIM_WORK_WAIT};
    if (s->restart != 0)
        letters[n++] = (struct sim_work_op){.kind = SIM_WORK_RESTART, .steps = UINT32_MAX};
    return n;
}

uint64_t sim_scenario_units(const struct sim_scenario *s)
{
    struct sim_work_op letters[LETTERS_MAX];
    uint64_t letter_count, units = 1;

    if (s->kind != SIM_SCENARIO_ALL)
        return UINT64_MAX;
    letter_count = list_letters(s, letters);
    for (uint32_t i = 0; i < s->ops; i++) {
        if (units > UINT64_MAX / letter_count)
            return UINT64_MAX;
        units *= letter_count;
    }
    return units;
}

static void make_all(const struct sim_scenario *s, uint64_t unit, struct sim_workload *w)
{
    struct sim_work_op letters[LETTERS_MAX];
    uint64_t letter_count = list_letters(s, letters);

    for (uint32_t i = 0; i < s->ops; i++) {
        *sim_workload_add(w, SIM_WORK_WRITE) = letters[unit % letter_count];
        unit /= letter_count;
    }
}

bool sim_scenario_make(const struct sim_scenario *s, uint64_t unit, struct sim_workload *w)
{
    struct sim_rng rng;
    uint64_t next = 0;

    if (unit >= sim_scenario_units(s))
        return false;
    w->count = 0;
    memset(&w->cut, 0, sizeof(w->cut));
    w->config = s->config;
    w->config.seed = s->kind == SIM_SCENARIO_ALL ? s->seed : sim_rng_mix(s->seed, unit);
    if (s->kind == SIM_SCENARIO_ALL) {
        make_all(s, unit, w);
        return true;
    }
    sim_rng_seed(&rng, sim_rng_mix(w->config.seed, SIM_SCENARIO_VERSION));
    if (s->vary)
        vary_machine(&rng, &w->config);
    while (w->count < s->ops)
        draw_op(s, &rng, &next, w);
    return true;
}

bool sim_scenario_valid(const struct sim_scenario *s, char *why, size_t n)
{
    struct sim_workload w;
    uint32_t percent =
        s->read + s->flush + s->discard + s->zero + s->wait + s->restart + s->reattach + s->fill;
    uint64_t least = s->config.logical_block_bytes;
    bool ok;

    if (percent > 100) {
        snprintf(why, n,
                 "read, flush, discard, zero, wait, restart, reattach and fill: got %u percent, "
                 "limit 100",
                 percent);
        return false;
    }
    least = least > BLOCK ? least : BLOCK;
    if (s->len_max_bytes % least != 0 || s->len_max_bytes == 0 ||
        s->space_bytes < s->len_max_bytes || s->space_bytes % least != 0) {
        snprintf(why, n,
                 "space and len-max: got %llu and %llu, limit multiples of %llu, space the "
                 "larger one",
                 (unsigned long long)s->space_bytes, (unsigned long long)s->len_max_bytes,
                 (unsigned long long)least);
        return false;
    }
    for (uint32_t i = 0; i < s->config.backends; i++) {
        if (s->space_bytes > s->config.disk_bytes[i]) {
            snprintf(why, n, "space: got %llu, limit the size of the disk, %llu",
                     (unsigned long long)s->space_bytes,
                     (unsigned long long)s->config.disk_bytes[i]);
            return false;
        }
    }
    sim_workload_init(&w);
    w.config = s->config;
    if (s->vary) { /* the most that it draws */
        w.config.backends = 2;
        w.config.streams = 3;
    }
    ok = sim_workload_valid(&w, why, n, NULL);
    sim_workload_free(&w);
    return ok;
}

/* ---- settings ---- */

struct setting {
    const char *name;
    size_t offset;
    bool wide, size;
    uint64_t min, max;
    const char *help;
};

#define AT(member) offsetof(struct sim_scenario, member)

static const struct setting settings[] = {
    {"ops", AT(ops), false, false, 1, 100000, "operations of a unit"},
    {"seed", AT(seed), true, false, 0, UINT64_MAX, "of everything that is random"},
    {"space", AT(space_bytes), true, true, 4096, UINT64_C(1) << 40, "addresses are below this"},
    {"len-max", AT(len_max_bytes), true, true, 4096, UINT64_C(1) << 26, "of one request"},
    {"blocks", AT(blocks), false, false, 1, BLOCKS_MAX, "all: places of 4 KiB"},
    {"read", AT(read), false, false, 0, 100, "percent of the operations"},
    {"flush", AT(flush), false, false, 0, 100, "percent"},
    {"discard", AT(discard), false, false, 0, 100, "percent"},
    {"zero", AT(zero), false, false, 0, 100, "percent"},
    {"wait", AT(wait), false, false, 0, 100, "percent: everything is written back"},
    {"restart", AT(restart), false, false, 0, 100, "percent: the power fails, and it goes on"},
    {"reattach", AT(reattach), false, false, 0, 100, "percent: detach and attach"},
    {"fill", AT(fill), false, false, 0, 100, "percent: a write as large as one may be"},
    {"fua", AT(fua), false, false, 0, 100, "percent of the writes, zeroes, discards"},
};

#undef AT

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static uint64_t get(const struct setting *t, const struct sim_scenario *s)
{
    const char *at = (const char *)s + t->offset;
    uint64_t wide;
    uint32_t narrow;

    if (t->wide) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

static void put(const struct setting *t, struct sim_scenario *s, uint64_t value)
{
    char *at = (char *)s + t->offset;
    uint32_t narrow = (uint32_t)value;

    if (t->wide)
        memcpy(at, &value, sizeof(value));
    else
        memcpy(at, &narrow, sizeof(narrow));
}

static const char *const kinds[SIM_SCENARIO_KIND_COUNT] = {"random", "sequential", "zipf", "all"};

/* Each line as ":name=value", blanks as commas. */
static void print_machine(const struct sim_workload *machine, FILE *out)
{
    char *text = NULL;
    size_t len = 0;
    FILE *lines = open_memstream(&text, &len);
    bool name = true;

    SIM_REQUIRE(lines != NULL);
    sim_workload_print(machine, lines);
    SIM_REQUIRE(fclose(lines) == 0);
    for (size_t i = 0; i < len; i++) {
        if (name && (i == 0 || text[i - 1] == '\n'))
            fputc(':', out);
        if (text[i] == '\n')
            name = true;
        else if (text[i] == ' ')
            fputc(name ? '=' : ',', out), name = false;
        else
            fputc(text[i], out);
    }
    free(text);
}

void sim_scenario_print(const struct sim_scenario *s, FILE *out)
{
    struct sim_scenario usual;
    struct sim_workload machine;

    sim_scenario_init(&usual);
    fprintf(out, "generator=%s.%u", kinds[s->kind], SIM_SCENARIO_VERSION);
    for (size_t i = 0; i < SETTINGS; i++)
        if (get(&settings[i], s) != get(&settings[i], &usual))
            fprintf(out, ":%s=%llu", settings[i].name, (unsigned long long)get(&settings[i], s));
    if (s->vary)
        fputs(":vary=1", out);
    sim_workload_init(&machine);
    machine.config = s->config;
    machine.config.seed = usual.config.seed; /* each unit has its own */
    print_machine(&machine, out);
}

bool sim_scenario_set(struct sim_scenario *s, const char *name, const char *value)
{
    char line[256];
    struct sim_workload w;
    uint64_t number;
    bool ok;

    if (strcmp(name, "generator") == 0) {
        size_t len = strcspn(value, ".");

        if (value[len] != '\0' && strtoul(value + len + 1, NULL, 10) != SIM_SCENARIO_VERSION)
            return false;
        for (int k = 0; k < SIM_SCENARIO_KIND_COUNT; k++) {
            if (strlen(kinds[k]) == len && strncmp(kinds[k], value, len) == 0) {
                s->kind = (enum sim_scenario_kind)k;
                return true;
            }
        }
        return false;
    }
    if (strcmp(name, "vary") == 0) {
        s->vary = strcmp(value, "0") != 0;
        return strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(name, settings[i].name) != 0)
            continue;
        if (!sim_work_number(value, settings[i].size, &number) || number < settings[i].min ||
            number > settings[i].max)
            return false;
        put(&settings[i], s, number);
        return true;
    }
    /* The machine, as a line of a workload has it; commas are blanks. */
    if (snprintf(line, sizeof(line), "%s %s", name, value) >= (int)sizeof(line))
        return false;
    if (strcmp(name, "faults") != 0)
        for (char *c = line; *c != '\0'; c++)
            *c = *c == ',' ? ' ' : *c;
    sim_workload_init(&w);
    w.config = s->config;
    ok = sim_workload_setting(&w, line);
    if (ok)
        s->config = w.config;
    sim_workload_free(&w);
    return ok;
}

const char *sim_scenario_setting(size_t n, const char **help)
{
    if (n >= SETTINGS)
        return NULL;
    *help = settings[n].help;
    return settings[n].name;
}
