/* SPDX-License-Identifier: BSD-2-Clause */
/* A record as a world: read once for its history, then from place to place for its devices. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "sim_base.h"

#define NUMBERS_SLACK 65536u

static bool wrong(char why[CUT_TEXT_BYTES], const char *what, uint64_t place)
{
    snprintf(why, CUT_TEXT_BYTES, "%s, at place %" PRIu64, what, place);
    return false;
}

/* What the event has, beside what bounds it. */
static bool wrong_event(const struct cut_world *w, char why[CUT_TEXT_BYTES], const char *what,
                        uint64_t place, const struct cbd_record_event *e)
{
    snprintf(why, CUT_TEXT_BYTES,
             "%s, at place %" PRIu64 ": got kind %u, flags %u, number %" PRIu64 ", %" PRIu64
             " bytes at %" PRIu64 " of disk %u; limit %" PRIu64 " bytes of pmem, %u disks, %" PRIu64
             " bytes of this one",
             what, place, e->kind, e->flags, e->arg, e->len, e->off, e->disk,
             w->pmem->pm.size_bytes, w->disk_count,
             e->disk < w->disk_count ? w->disks[e->disk].disk.size_bytes : 0);
    return false;
}

static bool in_pmem(const struct cut_world *w, uint64_t off, uint64_t len)
{
    return off <= w->pmem->pm.size_bytes && len <= w->pmem->pm.size_bytes - off;
}

/* ---- devices ---- */

static bool add_disk(struct cut_world *w, const struct cbd_record_event *e, const void *data)
{
    if (e->disk != w->disk_count)
        return false;
    w->disks = realloc(w->disks, (w->disk_count + 1) * sizeof(*w->disks));
    w->history = realloc(w->history, (w->disk_count + 1) * sizeof(*w->history));
    SIM_REQUIRE(w->disks != NULL && w->history != NULL);
    memset(&w->history[w->disk_count], 0, sizeof(*w->history));
    w->history[w->disk_count].on_flush = (e->flags & CBD_RECORD_ON_FLUSH) != 0;
    return cut_disk_init(&w->disks[w->disk_count++], e, data);
}

/* What the devices held. Stops behind BEGIN. */
static bool read_images(struct cut_world *w, char why[CUT_TEXT_BYTES])
{
    struct cbd_record_event e;
    uint64_t at_bytes;
    const void *data;
    const char *end;
    bool good;

    while (cbd_record_reader_next(w->reader, &e, &data)) {
        if (e.kind == CBD_RECORD_BEGIN)
            return w->disk_count > 0 || wrong(why, "the record has no disk", 0);
        if (e.kind == CBD_RECORD_DISK) {
            good = add_disk(w, &e, data);
        } else if (e.kind == CBD_RECORD_PMEM_IMAGE) {
            good = in_pmem(w, e.off, e.data_bytes);
            if (good)
                sim_pmem_poke(w->pmem, e.off, data, e.data_bytes);
        } else {
            good = e.kind == CBD_RECORD_DISK_IMAGE && e.disk < w->disk_count &&
                   cut_disk_image(&w->disks[e.disk], e.off, data, e.data_bytes);
        }
        if (!good)
            return wrong_event(w, why, "what the devices held cannot be true", 0, &e);
    }
    end = cbd_record_reader_end(w->reader, &at_bytes);
    snprintf(why, CUT_TEXT_BYTES,
             "it ends before all that the devices held, at byte %" PRIu64 ": %s", at_bytes,
             end != NULL ? end : "no more events");
    return false;
}

/*
 * The thread of the simulated pmem for a thread of the record. When all are taken, the one is given
 * to another thread that was not used for longest, if possible of those that have stored nothing
 * since their last fence. Otherwise the next fence of the new owner makes the old one's stores
 * durable as well, which is more than the record proves: no alarm is false because of it.
 */
static uint32_t slot_of(struct cut_world *w, uint32_t thread)
{
    uint32_t best = 0;

    for (uint32_t i = 0; i < SIM_PEND_THREADS; i++) {
        if (w->slot_thread[i] == thread) {
            best = i;
            break;
        }
        if (w->slot_open[i] != w->slot_open[best] ? w->slot_open[best]
                                                  : w->slot_used[i] < w->slot_used[best])
            best = i;
    }
    w->slot_thread[best] = thread;
    w->slot_used[best] = w->place;
    return best;
}

static bool apply_pmem(struct cut_world *w, const struct cbd_record_event *e, const void *data)
{
    const struct cbd_pmem_ops *ops = w->pmem->pm.ops;
    struct cbd_pmem *pm = &w->pmem->pm;
    uint32_t slot;

    if (!in_pmem(w, e->off, e->len))
        return false;
    slot = slot_of(w, e->thread);
    w->pmem->thread = slot;
    w->slot_open[slot] = e->kind != CBD_RECORD_FENCE;
    switch (e->kind) {
    case CBD_RECORD_STORE64:
        if (e->off % 8 != 0 || e->len != 8)
            return false;
        ops->store64(pm, e->off, e->arg, (enum cbd_step)e->step);
        return true;
    case CBD_RECORD_COPY:
        ops->copy(pm, e->off, data, e->len, e->flags, (enum cbd_step)e->step);
        return true;
    case CBD_RECORD_SET:
        ops->set(pm, e->off, (uint8_t)e->arg, e->len, e->flags, (enum cbd_step)e->step);
        return true;
    case CBD_RECORD_FLUSH:
        ops->flush(pm, e->off, e->len, (enum cbd_step)e->step);
        return true;
    default:
        /* One that failed made nothing durable, as far as anybody knows. */
        return e->error != 0 || ops->fence(pm, (enum cbd_step)e->step) == 0;
    }
}

static bool apply(struct cut_world *w, const struct cbd_record_event *e, const void *data)
{
    switch (e->kind) {
    case CBD_RECORD_STORE64:
    case CBD_RECORD_COPY:
    case CBD_RECORD_SET:
    case CBD_RECORD_FLUSH:
    case CBD_RECORD_FENCE:
        return apply_pmem(w, e, data);
    case CBD_RECORD_DISK_SUBMIT:
        return e->disk < w->disk_count && cut_disk_submit(&w->disks[e->disk], e, data, w->place);
    case CBD_RECORD_DISK_DONE:
        if (e->disk >= w->disk_count)
            return false;
        cut_disk_done(&w->disks[e->disk], e, w->place);
        return true;
    case CBD_RECORD_REQUEST:
    case CBD_RECORD_ANSWER:
        return e->disk < w->disk_count;
    case CBD_RECORD_FULL:
    case CBD_RECORD_END:
        return true;
    default:
        return false;
    }
}

bool cut_world_advance(struct cut_world *w, uint64_t place, char why[CUT_TEXT_BYTES])
{
    struct cbd_record_event e;
    const void *data;

    while (w->place < place && cbd_record_reader_next(w->reader, &e, &data)) {
        w->place++;
        w->time_ns = e.time_ns;
        if (!apply(w, &e, data))
            return wrong_event(w, why, "an event cannot be true", w->place, &e);
    }
    return w->place == place || wrong(why, "the record has no more events", w->place);
}

/* ---- history ---- */

/* Requests by their numbers: which they are in the history. */
struct numbers {
    uint32_t *index; /* + 1; 0: none */
    size_t cap_index;
};

static bool remember(struct numbers *n, uint64_t number, uint32_t index, uint64_t place)
{
    size_t before = n->cap_index;

    if (number > place + NUMBERS_SLACK)
        return false;
    n->index = sim_grow(n->index, &n->cap_index, number + 1, sizeof(*n->index));
    if (n->cap_index > before)
        memset(n->index + before, 0, (n->cap_index - before) * sizeof(*n->index));
    n->index[number] = index + 1;
    return true;
}

static bool note(struct cut_world *w, struct numbers *numbers, const struct cbd_record_event *e,
                 const void *data)
{
    struct cut_history *h = &w->history[e->disk < w->disk_count ? e->disk : 0];
    uint32_t index;

    if (e->disk >= w->disk_count)
        return false;
    if (e->kind == CBD_RECORD_REQUEST && (e->flags & ~CBD_RECORD_FUA) != CBD_RECORD_READ)
        return cut_history_request(h, e, data, w->places,
                                   w->disks[e->disk].disk.size_bytes / CUT_SECTOR_BYTES, &index) &&
               remember(numbers, e->arg, index, w->places);
    if (e->kind != CBD_RECORD_ANSWER)
        return true;
    w->answers += e->error == 0;
    if (e->error == 0 && e->arg < numbers->cap_index && numbers->index[e->arg] != 0 &&
        numbers->index[e->arg] <= h->request_count)
        h->requests[numbers->index[e->arg] - 1].end = w->places;
    return true;
}

/* Where reads began and what they returned; after the requests are known. */
static void note_reads(struct cut_world *w)
{
    uint64_t *sector = NULL, place = 0;
    struct cbd_record_event e;
    size_t cap = 0, before;
    const void *data;

    while (cbd_record_reader_next(w->reader, &e, &data) && place < w->places) {
        if (e.kind <= CBD_RECORD_BEGIN)
            continue;
        place++;
        if (e.kind == CBD_RECORD_REQUEST && (e.flags & ~CBD_RECORD_FUA) == CBD_RECORD_READ &&
            e.arg <= place + NUMBERS_SLACK) {
            before = cap;
            sector = sim_grow(sector, &cap, e.arg + 1, sizeof(*sector));
            if (cap > before)
                memset(sector + before, 0, (cap - before) * sizeof(*sector));
            sector[e.arg] = e.off / CUT_SECTOR_BYTES + 1;
        } else if (e.kind == CBD_RECORD_ANSWER && e.data_bytes != 0 && e.arg < cap &&
                   sector[e.arg] != 0) {
            cut_history_read(&w->history[e.disk], sector[e.arg] - 1, data, e.data_bytes / 8, place);
        }
    }
    free(sector);
}

bool cut_world_open(struct cut_world *w, const char *path, enum sim_model model,
                    char why[CUT_TEXT_BYTES])
{
    struct cbd_record_reader *reader;
    struct cbd_shim_error err;
    size_t len = strlen(path);
    bool named;

    memset(w, 0, sizeof(*w));
    if (cbd_record_reader_open(path, &reader, &err) == 0)
        return cut_world_read(w, reader, model, why);
    named = strncmp(err.text, path, len) == 0 && strncmp(err.text + len, ": ", 2) == 0;
    snprintf(why, CUT_TEXT_BYTES, "%s", named ? err.text + len + 2 : err.text);
    return false;
}

/* Counts the places; what was asked and answered goes into the histories. */
static bool note_requests(struct cut_world *w, char why[CUT_TEXT_BYTES])
{
    struct numbers numbers = {0};
    struct cbd_record_event e;
    const void *data;
    bool good = true;

    while (good && cbd_record_reader_next(w->reader, &e, &data)) {
        if (e.kind <= CBD_RECORD_BEGIN) {
            good = wrong(why, "a second beginning", w->places);
            break;
        }
        w->places++;
        w->clean_end = e.kind == CBD_RECORD_END;
        w->full = e.kind == CBD_RECORD_FULL;
        if (e.kind == CBD_RECORD_REQUEST || e.kind == CBD_RECORD_ANSWER)
            good = note(w, &numbers, &e, data) ||
                   wrong_event(w, why, "a request cannot be true", w->places, &e);
    }
    free(numbers.index);
    return good;
}

bool cut_world_read(struct cut_world *w, struct cbd_record_reader *reader, enum sim_model model,
                    char why[CUT_TEXT_BYTES])
{
    struct cbd_record_event e;
    uint64_t bytes;
    const void *data;

    memset(w, 0, sizeof(*w));
    w->reader = reader;
    bytes = cbd_record_reader_pmem_bytes(w->reader);
    if (bytes == 0 || bytes % 4096 != 0 || bytes > CUT_PMEM_BYTES_MAX) {
        snprintf(why, CUT_TEXT_BYTES,
                 "size of the pmem: got %" PRIu64 ", limit a multiple of 4096 up to %" PRIu64,
                 bytes, CUT_PMEM_BYTES_MAX);
        return false;
    }
    w->pmem = sim_pmem_create(bytes, model);
    if (!read_images(w, why) || !note_requests(w, why))
        return false;
    w->end_why = cbd_record_reader_end(w->reader, &w->end_bytes);
    for (unsigned i = 0; i < w->disk_count; i++)
        if (!cut_history_finish(&w->history[i], w->disks[i].mem, why))
            return false;
    cbd_record_reader_rewind(w->reader);
    note_reads(w);
    cbd_record_reader_rewind(w->reader);
    while (cbd_record_reader_next(w->reader, &e, &data) && e.kind != CBD_RECORD_BEGIN)
        ; /* has been read */
    return true;
}

void cut_world_close(struct cut_world *w)
{
    for (unsigned i = 0; i < w->disk_count; i++) {
        cut_disk_destroy(&w->disks[i]);
        cut_history_destroy(&w->history[i]);
    }
    free(w->disks);
    free(w->history);
    if (w->pmem != NULL)
        sim_pmem_destroy(w->pmem);
    cbd_record_reader_close(w->reader);
}
