/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage in one place: made, checked, recovered from, read, taken back. */
#include "damage.h"

#include <string.h>

#include "cbd/check.h"
#include "cbd/media_format.h"
#include "generate.h"
#include "judge.h"
#include "sim_base.h"
#include "victims.h"

#define SECTOR UINT64_C(512)
struct damage {
    const struct sim_damage_config *config;
    struct sim_world world;
    struct sim_process process;
    struct sim_rng rng;
    uint64_t *states;
    char *why;
    size_t why_bytes;
    bool failed;

    struct sim_victims all;
    uint8_t *older; /* table A as it was at the power cut before */

    /* what the check of the damaged image said */
    uint64_t errors;
    bool named;         /* a finding about the place that was damaged */
    uint64_t place_off; /* of the damage */
    uint64_t place_len;
    const struct sim_victim *record;
    uint32_t want_code; /* the finding that has to be there, 0: any at the place */
    bool want_dirty;
    bool known;    /* it says what the place covers on the backing device */
    bool misnamed; /* it names less than the record covers, or hides what is lost */
};

static bool fail(struct damage *d, const char *what, const char *kind, uint64_t at)
{
    if (!d->failed)
        snprintf(d->why, d->why_bytes, "%s: %s (at 0x%llx)", kind, what, (unsigned long long)at);
    d->failed = true;
    return false;
}

static int start(struct damage *d)
{
    const char *where;

    return sim_process_start(&d->process, &d->world, 1, false, &where);
}

/* Everything that a check of the sound image sees, for choosing places. */
static bool list(struct damage *d)
{
    struct cbd_check_summary summary;
    struct cbd_stats stats;
    int error;

    sim_env_reset(&d->process.env, 0);
    error = sim_victims_list(&d->all, d->world.pmem, &d->process.env.env, &summary);
    if (error != 0 || summary.errors != 0)
        return fail(d, "a check finds an error", "sound image", 0);
    sim_world_mark(&d->world);
    error = start(d);
    if (error == 0)
        cbd_backend_stats(d->process.backend[0], &stats);
    sim_world_rollback(&d->world);
    if (error != 0)
        return fail(d, "attach fails", "sound image", 0);
    if (summary.backends[0].records != stats.recovered_records ||
        summary.backends[0].dirty_bytes != stats.recovered_dirty_bytes ||
        stats.dirty_bytes != stats.recovered_dirty_bytes)
        return fail(d, "check and recovery count otherwise", "sound image", 0);
    return true;
}

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct damage *d = arg;
    bool here = f->off_bytes >= d->place_off && f->off_bytes < d->place_off + d->place_len;

    if (f->problem->severity == CBD_CHECK_ERROR)
        d->errors++;
    if (d->want_code != 0 && f->problem->code != d->want_code)
        return 0;
    if (d->record != NULL && f->segment == d->record->at.segment && f->slot == d->record->at.slot) {
        d->named = true;
        d->known |= f->range_known;
        if (f->range_known && d->want_code == CBD_PROBLEM_RECORD_DAMAGED)
            d->misnamed |= f->addr_bytes != d->record->addr || f->len_bytes != d->record->len;
        if (d->want_code == CBD_PROBLEM_DATA_DIRTY || d->want_code == CBD_PROBLEM_DATA_CLEAN)
            d->misnamed |= f->dirty != d->want_dirty;
    } else if (d->record == NULL && here) {
        d->named = true;
    }
    return 0;
}

/* The check has to name the place. */
static bool check_names(struct damage *d, const char *kind)
{
    struct cbd_check_options options = {.flags =
                                            CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_DATA};
    struct cbd_check_summary summary;
    int error;

    d->errors = 0;
    d->named = false;
    d->known = false;
    d->misnamed = false;
    sim_env_reset(&d->process.env, 0);
    error =
        cbd_check_run(&d->world.pmem->pm, &d->process.env.env, &options, on_finding, d, &summary);
    if (error != 0 && error != CBD_E_CORRUPT)
        return fail(d, "the check could not run", kind, d->place_off);
    if (!d->named)
        return fail(d, "the check does not name it", kind, d->place_off);
    if (d->misnamed)
        return fail(d, "the check is wrong about what it costs", kind, d->place_off);
    return true;
}

/*
 * Reads a range sector by sector: each holds what it may, or it cannot be read and `errors_allowed`.
 */
static bool read_range(struct damage *d, uint64_t first, uint64_t sectors, bool errors_allowed,
                       const char *kind)
{
    struct sim_oracle_violation v;

    for (uint64_t i = first; i < first + sectors; i++) {
        uint64_t version;
        int error = sim_process_read(&d->process, 0, i, 1, &version);

        if (error != 0 && errors_allowed)
            continue;
        if (error != 0)
            return fail(d, "what is good somewhere cannot be read", kind, d->place_off);
        if (sim_oracle_check_served(d->world.oracle[0], i, 1, version, &v) != SIM_ORACLE_OK)
            return fail(d, "wrong data is read in silence", kind, d->place_off);
    }
    return true;
}

struct touched {
    struct damage *d;
    const char *kind;
    bool errors_allowed;
};

static int read_touched(void *ctx, uint64_t start_sector, uint64_t sectors)
{
    struct touched *t = ctx;
    struct damage *d = t->d;
    uint64_t *versions = d->process.client.versions;
    struct sim_oracle_violation v;
    int error = sim_process_read(&d->process, 0, start_sector, sectors, versions);

    if (error != 0 && t->errors_allowed)
        return !read_range(d, start_sector, sectors, true, t->kind);
    if (error != 0)
        return !fail(d, "a read fails", t->kind, d->place_off);
    for (uint64_t i = 0; i < sectors; i++)
        if (sim_oracle_check_served(d->world.oracle[0], start_sector + i, 1, versions[i], &v) !=
            SIM_ORACLE_OK)
            return !fail(d, "wrong data is read in silence", t->kind, d->place_off);
    return 0;
}

static bool read_all(struct damage *d, bool errors_allowed, const char *kind)
{
    struct touched t = {d, kind, errors_allowed};

    return sim_oracle_touched(d->world.oracle[0], read_touched, &t) == 0;
}

/* What reaches the disk is right, or nothing of it does. */
static bool write_back(struct damage *d, bool errors_allowed, const char *kind)
{
    struct sim_world *w = &d->world;
    int error = cbd_backend_detach(d->process.backend[0]);
    uint64_t sector = 0;

    if (error != 0 && !errors_allowed)
        return fail(d, "the detach fails", kind, d->place_off);
    for (; sim_disk_next_touched(w->disk[0], sector, &sector); sector++) {
        uint64_t version = sim_disk_peek(w->disk[0], sector);
        struct sim_oracle_violation v;

        if (version == SIM_VERSION_GARBAGE ||
            (error == 0 &&
             sim_oracle_check_final(w->oracle[0], sector, 1, version, &v) != SIM_ORACLE_OK))
            return fail(d, "wrong data reaches the disk", kind, d->place_off);
    }
    return true;
}

/* Whether this kind of damage is asked for; SIM_FAULT_COUNT: one that is no fault model. */
static bool wanted(const struct damage *d, enum sim_fault kind)
{
    return d->config->kinds == 0 || (kind < SIM_FAULT_COUNT && (d->config->kinds >> kind & 1) != 0);
}

static void flip(struct damage *d, uint64_t off, uint64_t len)
{
    uint64_t bit = sim_rng_below(&d->rng, len * 8);
    uint8_t byte = d->world.pmem->pm.base[off + bit / 8] ^ (uint8_t)(1u << bit % 8);

    sim_pmem_poke(d->world.pmem, off + bit / 8, &byte, 1);
}

static void copy_line(struct damage *d, uint64_t to, uint64_t from)
{
    uint8_t line[CBD_LINE_BYTES];

    memcpy(line, d->world.pmem->pm.base + from, sizeof(line));
    sim_pmem_poke(d->world.pmem, to, line, sizeof(line));
}

static void garbage(struct damage *d, uint64_t off, uint64_t len)
{
    uint8_t bytes[CBD_LINE_BYTES];

    memset(bytes, (int)(1 + sim_rng_below(&d->rng, 255)), sizeof(bytes));
    for (uint64_t done = 0; done < len; done += sizeof(bytes))
        sim_pmem_poke(d->world.pmem, off + done, bytes, sizeof(bytes));
}

static const struct sim_victim *draw_record(struct damage *d, bool payload)
{
    /* Often the last but one of a stream: the newest alone proves that it was there. */
    bool late = !payload && sim_rng_chance(&d->rng, 1, 4);

    for (unsigned tries = 0; tries < 64 && d->all.count != 0; tries++) {
        const struct sim_victim *r = &d->all.record[sim_rng_below(&d->rng, d->all.count)];
        bool has = r->type == CBD_M_RECORD_WRITE || r->type == CBD_M_RECORD_FILL;

        if (late && tries < 63 && (r + 1 == d->all.record + d->all.count || !r[1].unproven))
            continue;
        if (!r->unproven && (!payload || (has && r->at.live)))
            return r;
    }
    return NULL;
}

static void aim(struct damage *d, uint64_t off, uint64_t len, const struct sim_victim *r,
                uint32_t code)
{
    d->place_off = off;
    d->place_len = len;
    d->record = r;
    d->want_code = code;
}

static void on_lost(void *arg, const struct cbd_lost_view *lost)
{
    if (!lost->range_known)
        *(bool *)arg = true;
}

/*
 * A record is lost: the attach serves the rest. Of what the record covered nothing is read but what
 * is right, unless the backend says that it does not know what was lost.
 */
static bool lost_record(struct damage *d, const struct sim_victim *r, const char *kind)
{
    bool unknown = false;

    if (start(d) != 0)
        return fail(d, "attach fails", kind, r->at.off_bytes);
    if (r->type == CBD_M_RECORD_VOID)
        return true;
    (void)cbd_backend_lost(d->process.backend[0], on_lost, &unknown);
    if (unknown)
        return true; /* nothing of it is known, and the backend says so */
    return read_range(d, r->addr / SECTOR, r->len / SECTOR, true, kind);
}

/* A record that was durable, and others behind it. */
static bool hit_record(struct damage *d)
{
    static const char *const kinds[] = {"record, bit flipped", "record of another slot",
                                        "record of another segment", "record, garbage",
                                        "record, poison"};
    const struct sim_victim *r = draw_record(d, false), *other;
    uint32_t how = (uint32_t)sim_rng_below(&d->rng, 5);
    uint64_t off;

    if (r == NULL || !wanted(d, how == 0   ? SIM_FAULT_FLIP
                                : how == 4 ? SIM_FAULT_POISON
                                           : SIM_FAULT_COUNT))
        return true;
    off = r->at.off_bytes;
    aim(d, off, CBD_LINE_BYTES, r, CBD_PROBLEM_RECORD_DAMAGED);
    switch (how) {
    case 1:
        copy_line(d, off, r->at.slot > 0 ? off + CBD_LINE_BYTES : off - CBD_LINE_BYTES);
        break;
    case 2:
        other = NULL;
        for (uint32_t i = 0; i < d->all.count && other == NULL; i++)
            if (d->all.record[i].at.slot == r->at.slot &&
                d->all.record[i].at.segment != r->at.segment &&
                (other == NULL || sim_rng_chance(&d->rng, 1, 2)))
                other = &d->all.record[i];
        if (other == NULL)
            return true;
        copy_line(d, off, other->at.off_bytes);
        break;
    case 3:
        garbage(d, off, CBD_LINE_BYTES);
        break;
    case 4:
        sim_pmem_poison(d->world.pmem, off, CBD_LINE_BYTES);
        break;
    default:
        flip(d, off, CBD_LINE_BYTES);
    }
    if (!check_names(d, kinds[how]))
        return false;
    return lost_record(d, r, kinds[how]);
}

/* The newest record of a stream and the one below: the header of the newest proves the other. */
static bool hit_tail(struct damage *d)
{
    const struct sim_victim *last = NULL, *below;

    for (uint32_t i = 1; i < d->all.count && last == NULL; i++)
        if (d->all.record[i].unproven && d->all.record[i].at.slot >= 1 &&
            d->all.record[i].type == CBD_M_RECORD_WRITE &&
            (last == NULL || sim_rng_chance(&d->rng, 1, 2)))
            last = &d->all.record[i];
    if (last == NULL || !wanted(d, SIM_FAULT_COUNT))
        return true;
    below = last - 1;
    if (below->type != CBD_M_RECORD_WRITE && below->type != CBD_M_RECORD_FILL)
        return true;
    /* Of the newest nothing is known: what lies below it may be older than it. */
    if (below->addr < last->addr + last->len && last->addr < below->addr + below->len)
        return true;
    aim(d, below->at.off_bytes, CBD_LINE_BYTES, below, CBD_PROBLEM_RECORD_DAMAGED);
    garbage(d, last->at.off_bytes, CBD_LINE_BYTES);
    garbage(d, below->at.off_bytes, CBD_LINE_BYTES);
    if (!check_names(d, "the newest records together"))
        return false;
    return lost_record(d, below, "the newest records together");
}

static bool hit_data(struct damage *d, bool header)
{
    const char *kind = header ? "payload header, bit flipped" : "data, bit flipped";
    const struct sim_victim *r = draw_record(d, true);
    uint64_t payload, byte = 0;
    bool poison = !header && sim_rng_chance(&d->rng, 1, 4);
    bool dirty;
    int error;

    if (r == NULL || !wanted(d, poison ? SIM_FAULT_POISON : SIM_FAULT_FLIP))
        return true;
    payload = d->world.geo.data_off + (uint64_t)r->at.segment * d->world.geo.segment_bytes +
              r->payload_off;
    dirty = r->at.dirty;
    d->want_dirty = dirty;
    if (header) {
        aim(d, payload - CBD_LINE_BYTES, CBD_LINE_BYTES, r, CBD_PROBLEM_HEADER);
        flip(d, payload - CBD_LINE_BYTES, CBD_LINE_BYTES);
    } else {
        /* Often in the last sector: it may be a partial block. */
        byte = sim_rng_chance(&d->rng, 1, 2) ? r->len - SECTOR
                                             : sim_rng_below(&d->rng, r->len / SECTOR) * SECTOR;
        aim(d, payload + byte, SECTOR, r, dirty ? CBD_PROBLEM_DATA_DIRTY : CBD_PROBLEM_DATA_CLEAN);
        if (poison) {
            kind = "data, poison";
            sim_pmem_poison(d->world.pmem, payload + byte, CBD_LINE_BYTES);
        } else {
            flip(d, payload + byte, SECTOR);
        }
    }
    if (!check_names(d, kind))
        return false;
    error = start(d);
    if (error != 0)
        return fail(d, "attach fails", kind, payload);
    /* A header that is not to be trusted does not say whether its data is clean. */
    return read_range(d, r->addr / SECTOR, r->len / SECTOR, dirty || header, kind) &&
           write_back(d, dirty || header, kind);
}

/* Superblocks, entries and states in use, segment entries: place in a table and length. */
static bool draw_entry(struct damage *d, uint64_t *place, uint32_t *len)
{
    uint64_t states = CBD_BACKENDS * sizeof(struct cbd_m_backend);
    uint64_t segments = states + CBD_BACKENDS * sizeof(struct cbd_m_backend_state);
    uint64_t draw = sim_rng_below(&d->rng, d->world.geo.segment_count + 4);

    *len = sizeof(struct cbd_m_segment);
    if (draw < 2) {
        *place = 0;
        *len = sizeof(struct cbd_m_backend);
    } else if (draw < 4) {
        *place = states;
        *len = sizeof(struct cbd_m_backend_state);
    } else {
        *place = segments + (draw - 4) * *len;
    }
    return true;
}

static bool hit_entry(struct damage *d)
{
    const char *kind = "one copy of a table entry";
    struct sim_world *w = &d->world;
    uint64_t place, a, b;
    uint32_t len;
    bool second = sim_rng_chance(&d->rng, 1, 2);

    draw_entry(d, &place, &len);
    a = w->geo.table_a_off + place;
    b = w->geo.table_b_off + place;
    if (memcmp(w->pmem->pm.base + a, w->pmem->pm.base + b, len) != 0)
        return true;
    aim(d, second ? b : a, len, NULL, 0);
    if (d->older != NULL && memcmp(d->older + place, w->pmem->pm.base + a, len) != 0 &&
        sim_rng_chance(&d->rng, 2, 3)) {
        if (!wanted(d, SIM_FAULT_STALE))
            return true;
        kind = "one copy of a table entry is an old one";
        sim_pmem_poke(w->pmem, d->place_off, d->older + place, len);
        if (!check_names(d, kind))
            return false;
        return (start(d) == 0 || fail(d, "attach fails", kind, place)) && read_all(d, false, kind);
    }
    if (!wanted(d, SIM_FAULT_COUNT))
        return true;
    garbage(d, d->place_off, len);
    if (sim_rng_chance(&d->rng, 1, 4)) {
        kind = "both copies of a table entry";
        garbage(d, second ? a : b, len);
        aim(d, a, len, NULL, 0);
        if (!check_names(d, kind))
            return false;
        return start(d) == CBD_E_CORRUPT || fail(d, "it is not refused as damage", kind, place);
    }
    if (!check_names(d, kind))
        return false;
    if (start(d) != 0)
        return fail(d, "attach fails", kind, place);
    return read_all(d, false, kind);
}

static bool hit_super(struct damage *d)
{
    const uint64_t at[CBD_SUPER_COPIES] = {CBD_SUPER0_OFF, CBD_SUPER1_OFF, d->world.geo.super2_off};
    uint64_t off = at[sim_rng_below(&d->rng, CBD_SUPER_COPIES)];

    if (!wanted(d, SIM_FAULT_FLIP))
        return true;
    aim(d, off, CBD_LINE_BYTES, NULL, CBD_PROBLEM_SUPER_COPY);
    flip(d, off + CBD_LINE_BYTES, CBD_LINE_BYTES);
    if (!check_names(d, "one superblock"))
        return false;
    if (start(d) != 0)
        return fail(d, "attach fails", "one superblock", off);
    return read_all(d, false, "one superblock");
}

static bool hit(struct damage *d)
{
    switch (sim_rng_below(&d->rng, 8)) {
    case 0:
    case 1:
        return hit_record(d);
    case 2:
        return hit_tail(d);
    case 3:
        return hit_data(d, true);
    case 4:
    case 5:
        return hit_data(d, false);
    case 6:
        return hit_entry(d);
    default:
        return hit_super(d);
    }
}

/* The power fails, with all stores on the medium; each damage is taken back. */
static bool cut(struct damage *d)
{
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};
    bool good;

    sim_world_mark(&d->world);
    sim_world_power_cut(&d->world, &all);
    good = list(d);
    for (uint32_t i = 0; i < d->config->damages && good; i++) {
        sim_world_mark(&d->world);
        ++*d->states;
        good = hit(d);
        sim_world_rollback(&d->world);
    }
    if (d->older == NULL)
        d->older = sim_zalloc(d->world.geo.table_bytes, 1);
    memcpy(d->older, d->world.pmem->pm.base + d->world.geo.table_a_off, d->world.geo.table_bytes);
    sim_world_rollback(&d->world);
    return good;
}

/*
 * Records that write-back has done with are damaged under the running cache. Reclaim cannot read
 * them: then nothing may be forgotten, writes fail for lack of space, and all that was acknowledged
 * is there, or the next attach refuses.
 */
static bool under_way(struct damage *d, struct sim_source *source)
{
    const char *kind = "records under a running cache, garbage";
    static const struct sim_crash all = {.kind = SIM_CRASH_ALL};
    struct sim_trace_error error;
    struct sim_request r;
    int attached;

    for (uint32_t i = 0; i < d->all.count; i++)
        if (!d->all.record[i].unproven && d->all.record[i].at.live && !d->all.record[i].at.dirty &&
            i % 4 == 0)
            garbage(d, d->all.record[i].at.off_bytes, CBD_LINE_BYTES);
    ++*d->states;
    while (source->next(source->arg, &r, &error) == 1) {
        if (sim_world_request(&d->world, &r))
            continue;
        if (d->world.error == CBD_E_NOSPACE)
            break;
        return fail(d, "a request fails otherwise, or reads wrong data", kind, r.line);
    }
    sim_world_power_cut(&d->world, &all);
    attached = start(d);
    if (attached == CBD_E_CORRUPT)
        return true;
    return attached == 0 ? read_all(d, true, kind) : fail(d, "attach fails otherwise", kind, 0);
}

static bool run(struct damage *d)
{
    struct sim_generator g = {
        .seed = d->config->world.seed,
        .requests = 3 * d->config->requests,
        .space_bytes = d->config->space_bytes,
        .volumes = 1,
        .len_max_bytes = d->config->len_max_bytes,
    };
    struct sim_source source = sim_generator_source(&g);
    struct sim_trace_error error;
    struct sim_request r;
    struct cbd_stats stats;

    if (sim_world_create(&d->world, &d->config->world) != 0)
        return fail(d, "the cache cannot be made", "run", 0);
    sim_process_init(&d->process, &d->world, 1);
    (void)source.rewind(source.arg, &error);
    for (uint64_t n = 1; n <= d->config->requests && source.next(source.arg, &r, &error) == 1;
         n++) {
        if (!sim_world_request(&d->world, &r))
            return fail(d, "a request fails", "run", n);
        if (n % d->config->every == 0 && !cut(d))
            return false;
    }
    sim_world_drain(&d->world);
    cbd_backend_stats(d->world.main.backend[0], &stats);
    cbd_backend_drain(d->world.main.backend[0], false);
    if (stats.dirty_bytes != 0)
        return fail(d, "all is written back, and dirty bytes are counted", "run", 0);
    return cut(d) && (!wanted(d, SIM_FAULT_COUNT) || under_way(d, &source));
}

bool sim_damage_run(const struct sim_damage_config *config, uint64_t *states, char *why,
                    size_t why_bytes)
{
    struct damage *d = sim_zalloc(1, sizeof(*d));
    bool good;

    d->config = config;
    d->states = states;
    d->why = why;
    d->why_bytes = why_bytes;
    sim_rng_seed(&d->rng, config->world.seed);
    good = run(d);
    if (d->process.world != NULL)
        sim_process_destroy(&d->process);
    sim_world_destroy(&d->world);
    free(d->older);
    free(d);
    return good;
}
