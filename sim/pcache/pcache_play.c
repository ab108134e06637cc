/* SPDX-License-Identifier: BSD-2-Clause */
/* Scripts for the model of dm-pcache, and the judges of what a power cut leaves. */
#include "pcache_play.h"

#include <setjmp.h>
#include <string.h>

#include "pc_media.h"
#include "sim_base.h"
#include "sim_crash.h"
#include "sector.h"
#include "sim_env.h"

#define SUBSETS 64u
#define STATES_MAX 4096u
#define DISK_BYTES (UINT64_C(16) << 20)

struct player {
    struct sim_pcache driver;
    struct sim_pmem *pm;
    struct sim_disk *disk;
    struct sim_env env, judge_env;
    struct sim_pcache_shape shape;
    struct sim_pcache_played *out;
    FILE *log;
    bool cutting, judging;
    void (*keep)(void *arg, const uint8_t *memory, uint64_t memory_bytes, const uint8_t *disk,
                 uint64_t disk_bytes);
    void *keep_arg;
    uint64_t seen[STATES_MAX];
    /* G */
    bool stop_gc;
    uint64_t gen_fences;
    jmp_buf stopped;
    /* of the state that is judged */
    uint32_t code; /* the first error */
    uint32_t first_new;
    struct cbd_pcache_pos log_end;
    bool log_end_known, damaged, unnamed;
};

static bool progress(void *arg)
{
    struct player *p = arg;

    if (sim_disk_inflight(p->disk) == 0)
        return false;
    sim_disk_complete(p->disk, 0);
    return true;
}

/* --- judges --- */

static int found(void *arg, const struct cbd_check_finding *f)
{
    struct player *p = arg;
    struct sim_pcache_played *out = p->out;
    uint32_t i = 0;

    if (f->problem->severity != CBD_CHECK_ERROR)
        return 0;
    if (p->code == 0)
        p->code = f->problem->code;
    if (cbd_pcache_problem_hole(f->problem->code)[0] == '\0')
        p->unnamed = true; /* an error without a name */
    p->damaged |= f->problem->code == CBD_PCACHE_LOG_DAMAGED;
    while (i < out->code_count && out->codes[i] != f->problem->code)
        i++;
    if (i == out->code_count && i < SIM_PCACHE_CODES_MAX) {
        out->codes[i] = f->problem->code;
        out->code_step[i] = out->steps;
        out->code_count++;
        if (p->log != NULL)
            fprintf(p->log, "  cut %3llu: %u %s (%s)\n", (unsigned long long)out->steps,
                    f->problem->code, f->problem->name, cbd_pcache_problem_hole(f->problem->code));
    }
    return 0;
}

/* Whether a sector's version may be there. */
static bool allowed(const struct sim_pcache_truth *t, uint32_t sector, uint64_t version)
{
    return version >= t->durable[sector] && version <= t->newest[sector];
}

/* What the driver would serve holds all that was acknowledged. Both tails as the driver has them. */
static bool served_well(struct player *p, struct cbd_pcache *pc)
{
    struct cbd_pcache_view view;
    bool well = true;

    pc->key_tail = pc->driver_key_tail;
    pc->dirty_tail = pc->driver_dirty_tail;
    if (cbd_pcache_view(pc, 0, &view) == 0)
        for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && well; s++)
            well = allowed(&p->driver.truth, s, sim_pcache_served(pc, &view, &p->driver, s));
    else
        well = false;
    cbd_pcache_view_free(pc, &view);
    return well;
}

/* Write-back as the check advises, to the disk as the power cut left it. */
static bool saved(struct player *p)
{
    struct cbd_pcache_sink silent = {0};
    struct cbd_pcache_drain_options options = {
        .flags = (p->code != 0 ? (unsigned)CBD_PCACHE_DRAIN_EMPTY : 0) |
                 (p->damaged ? (unsigned)CBD_PCACHE_DRAIN_PAST_DAMAGE : 0) |
                 (p->log_end_known ? (unsigned)CBD_PCACHE_DRAIN_LOG_END : 0),
        .log_end = p->log_end,
    };
    struct cbd_pcache_drained drained;
    struct cbd_pcache pc;
    bool well;

    well = cbd_pcache_open(&p->pm->pm, &p->judge_env.env, &silent, &pc) == 0 &&
           cbd_pcache_drain(&pc, &p->disk->disk, &options, &drained) == 0;
    cbd_pcache_close(&pc);
    for (uint32_t s = 0; s < SIM_PCACHE_SECTORS && well; s++) {
        uint64_t addr =
            s +
            (s >= SIM_PCACHE_SECTORS / 2 ? CBD_PCACHE_KEY_BYTES_MAX / CBD_PCACHE_SECTOR_BYTES : 0);

        well = allowed(&p->driver.truth, s, sim_disk_peek(p->disk, addr));
    }
    return well;
}

/* The state as bytes, once. */
static void keep_state(struct player *p)
{
    uint8_t *disk;

    if (p->keep == NULL)
        return;
    disk = sim_zalloc(1, DISK_BYTES);
    for (uint64_t s = 0; s < DISK_BYTES / SIM_SECTOR_BYTES; s++)
        sim_sector_fill(disk + s * SIM_SECTOR_BYTES, s, sim_disk_peek(p->disk, s));
    p->keep(p->keep_arg, p->pm->pm.base, p->pm->pm.size_bytes, disk, DISK_BYTES);
    p->keep = NULL;
    free(disk);
}

/* After write-back the driver accepts the device, and nothing in it is wrong. */
static bool clean_after(struct player *p)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_sink silent = {0};
    struct cbd_pcache_summary s;

    return cbd_pcache_check(&p->pm->pm, &p->judge_env.env, &options, &silent, &s) == 0 &&
           s.errors == 0 && !s.driver_refuses && s.view.dirty_key_count == 0;
}

static bool can_be_saved(const struct player *p)
{
    /* cache_info has to be repaired first. */
    return p->code != CBD_PCACHE_INFO_NONE;
}

static void judge(struct player *p)
{
    struct cbd_pcache_check_options options = {.data = true};
    struct cbd_pcache_sink sink = {.found = found, .arg = p}, silent = {0};
    struct cbd_pcache_summary s;
    struct cbd_pcache pc;
    bool well;

    p->code = 0;
    p->damaged = p->log_end_known = p->unnamed = false;
    if (cbd_pcache_check(&p->pm->pm, &p->judge_env.env, &options, &sink, &s) != 0)
        return; /* no superblock yet */
    if (s.view.end == CBD_PCACHE_END_NONE && !s.walked && s.errors == 0)
        return; /* the format was cut */
    p->out->states++;
    p->out->errors += s.errors != 0;
    p->out->refused += s.driver_refuses;
    p->out->unnamed += p->unnamed;
    if (s.errors != 0)
        keep_state(p);
    p->log_end_known = s.log_end_known;
    p->log_end = s.log_end;
    well = cbd_pcache_open(&p->pm->pm, &p->judge_env.env, &silent, &pc) == 0 && served_well(p, &pc);
    cbd_pcache_close(&pc);
    p->out->driver_loses += !well;
    p->out->missed += !well && s.errors == 0;
    if (can_be_saved(p) && (!saved(p) || !clean_after(p))) {
        p->out->unsaved++;
        if (p->log != NULL)
            fprintf(p->log, "  cut %3llu: not saved, first error %u\n",
                    (unsigned long long)p->out->steps, p->code);
    }
}

static bool is_new(struct player *p)
{
    uint64_t key = (p->pm->content_hash ^ p->disk->state.content_hash * 3) | 1;
    uint64_t at = key % STATES_MAX;

    for (uint32_t n = 0; n < STATES_MAX; n++, at = (at + 1) % STATES_MAX) {
        if (p->seen[at] == key)
            return false;
        if (p->seen[at] == 0) {
            p->seen[at] = key;
            return true;
        }
    }
    return true;
}

/* The power is cut here, in some of the ways in which it can. */
static void cut(struct player *p)
{
    uint32_t thread = p->pm->thread;

    p->judging = true;
    for (uint32_t i = 0; i < SUBSETS; i++) {
        struct sim_crash crash = sim_crash_subset(i, p->out->steps);

        sim_pmem_mark(p->pm);
        sim_disk_mark(p->disk);
        sim_pmem_crash(p->pm, &crash);
        sim_disk_crash(p->disk, &crash);
        if (is_new(p))
            judge(p);
        sim_disk_rollback(p->disk);
        sim_pmem_rollback(p->pm);
    }
    sim_env_reset(&p->judge_env, 1);
    p->pm->thread = thread;
    p->judging = false;
}

static void hook(void *arg, const struct sim_pm_event *ev)
{
    struct player *p = arg;

    if (p->judging)
        return;
    /* Behind the first fence of a collection the generation is durable. */
    if (p->stop_gc && ev->kind == SIM_PM_COPY && p->gen_fences > 0)
        longjmp(p->stopped, 1);
    if (p->stop_gc && ev->kind == SIM_PM_FENCE)
        p->gen_fences++;
    if (!p->cutting)
        return;
    p->out->steps++;
    cut(p);
}

/* --- scripts --- */

static void power_off(struct player *p, const struct sim_crash *crash)
{
    sim_pmem_crash(p->pm, crash);
    sim_disk_crash(p->disk, crash);
    sim_pcache_kill(&p->driver);
}

static void again(struct player *p)
{
    const struct sim_crash all = {.kind = SIM_CRASH_ALL};

    power_off(p, &all);
    if (sim_pcache_activate(&p->driver, p->shape.data_crc) != 0)
        p->out->refused_script = true;
}

static void stopped_gc(struct player *p)
{
    const struct sim_crash all = {.kind = SIM_CRASH_ALL};

    p->stop_gc = true;
    p->gen_fences = 0;
    if (setjmp(p->stopped) == 0)
        (void)!sim_pcache_gc(&p->driver);
    p->stop_gc = false;
    power_off(p, &all);
    again(p);
}

static void poke_info(struct player *p)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t off = PC_INFO_OFF + (uint64_t)i * PC_PAGE_BYTES + 8;
        uint8_t byte = p->pm->pm.base[off] ^ 0xff;

        sim_pmem_poke(p->pm, off, &byte, 1);
    }
}

/* The last key set but one, if there are two. What it holds is lost by that, and no more. */
static void poke_kset(struct player *p)
{
    struct cbd_pcache_sink silent = {0};
    struct cbd_pcache_kset kset, before = {.key_count = 0}, last = {.key_count = 0};
    struct cbd_pcache_walk walk;
    struct cbd_pcache pc;
    uint64_t off;
    uint8_t byte;

    if (cbd_pcache_open(&p->pm->pm, &p->judge_env.env, &silent, &pc) == 0 && pc.key_tail_valid &&
        cbd_pcache_walk_begin(&walk, &pc, pc.key_tail) == 0) {
        while (cbd_pcache_walk_next(&walk, &kset)) {
            before = last;
            last = kset;
        }
        cbd_pcache_walk_end(&walk);
    }
    if (before.key_count != 0) {
        off = cbd_pcache_pos_off(&pc, before.pos) + PC_KSET_HEADER_BYTES;
        byte = p->pm->pm.base[off] ^ 0xff;
        sim_pmem_poke(p->pm, off, &byte, 1);
        sim_pcache_forget(&p->driver, before.keys, before.key_count);
    }
    cbd_pcache_close(&pc);
}

static void write_word(struct player *p, const char *word)
{
    char *end;
    unsigned long sector = strtoul(word + 1, &end, 10), count = 1;
    int error;

    if (*end == '+')
        count = strtoul(end + 1, &end, 10);
    SIM_REQUIRE(*end == '\0' && sector < SIM_PCACHE_SECTORS && count > 0 &&
                count <= SIM_PCACHE_SECTORS);
    error = sim_pcache_write(&p->driver, (uint32_t)sector, (uint32_t)count, word[0] == 'W');
    p->out->refused_script |= error != 0;
}

static void play_word(struct player *p, const char *word)
{
    if (word[0] == '|') {
        p->cutting = true;
        return;
    }
    if (!p->driver.active)
        return; /* it refused to come up */
    switch (word[0]) {
    case 'w':
    case 'W':
        write_word(p, word);
        return;
    case 'f':
        p->out->refused_script |= sim_pcache_flush(&p->driver) != 0;
        return;
    case 'b':
        (void)!sim_pcache_writeback(&p->driver);
        return;
    case 'g':
        (void)!sim_pcache_gc(&p->driver);
        return;
    case 'G':
        stopped_gc(p);
        return;
    case 'a':
        again(p);
        return;
    case 'x':
        poke_info(p);
        return;
    case 'd':
        poke_kset(p);
        return;
    default:
        SIM_REQUIRE(!"a word of the script");
    }
}

void sim_pcache_play(const char *script, const struct sim_pcache_shape *shape,
                     struct sim_pcache_played *out, FILE *log)
{
    sim_pcache_play_keep(script, shape, out, log, NULL, NULL);
}

void sim_pcache_play_keep(const char *script, const struct sim_pcache_shape *shape,
                          struct sim_pcache_played *out, FILE *log,
                          void (*keep)(void *arg, const uint8_t *memory, uint64_t memory_bytes,
                                       const uint8_t *disk, uint64_t disk_bytes),
                          void *arg)
{
    const struct sim_disk_config config = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .volatile_cache = true};
    struct player *p = sim_zalloc(1, sizeof(*p));
    char copy[512], *save = NULL;

    memset(out, 0, sizeof(*out));
    SIM_REQUIRE(strlen(script) < sizeof(copy));
    p->out = out;
    p->log = log;
    p->keep = keep;
    p->keep_arg = arg;
    p->shape = *shape;
    p->pm = sim_pmem_create(
        CBD_PCACHE_SEGMENTS_OFF + (uint64_t)shape->segments * CBD_PCACHE_SEGMENT_BYTES, SIM_ADR);
    p->pm->hashed = true;
    p->pm->hook = hook;
    p->pm->hook_arg = p;
    p->disk = sim_disk_create(&config);
    sim_env_init(&p->env, 1);
    sim_env_init(&p->judge_env, 1);
    p->env.progress = p->judge_env.progress = progress;
    p->env.progress_arg = p->judge_env.progress_arg = p;
    sim_pcache_init(&p->driver, p->pm, &p->disk->disk, &p->env.env, shape->data_bytes,
                    shape->log_bytes);
    SIM_REQUIRE(sim_pcache_activate(&p->driver, shape->data_crc) == 0);
    snprintf(copy, sizeof(copy), "%s", script);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        play_word(p, word);
    /* The end is a place like any other. */
    if (p->cutting) {
        out->steps++;
        cut(p);
    }
    sim_env_destroy(&p->judge_env);
    sim_env_destroy(&p->env);
    sim_disk_destroy(p->disk);
    sim_pmem_destroy(p->pm);
    free(p);
}

/* "wN", "wN+M", or one of the single letters. */
static bool word_valid(const char *word)
{
    unsigned long first, count = 1;
    char *end;

    if (word[0] != 'w' && word[0] != 'W')
        return strchr("fbgaGxd|", word[0]) != NULL && word[1] == '\0';
    if (word[1] < '0' || word[1] > '9')
        return false;
    first = strtoul(word + 1, &end, 10);
    if (*end == '+' && end[1] >= '0' && end[1] <= '9')
        count = strtoul(end + 1, &end, 10);
    if (*end != '\0' || first >= SIM_PCACHE_SECTORS || count == 0 || count > SIM_PCACHE_SECTORS / 2)
        return false;
    return first / (SIM_PCACHE_SECTORS / 2) == (first + count - 1) / (SIM_PCACHE_SECTORS / 2);
}

bool sim_pcache_script_valid(const char *script)
{
    char copy[512], *save = NULL;

    if (strlen(script) >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%s", script);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        if (!word_valid(word))
            return false;
    return true;
}

bool sim_pcache_met(const struct sim_pcache_played *out, const char *hole)
{
    for (uint32_t i = 0; i < out->code_count; i++)
        if (strcmp(cbd_pcache_problem_hole(out->codes[i]), hole) == 0)
            return true;
    return false;
}
