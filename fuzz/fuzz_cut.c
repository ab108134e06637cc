/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a record of a server: refused with a sentence that says where, or cut at places and
 * judged. Whatever it holds:
 *
 *   - an error or a violation has a sentence without control characters
 *   - a cut leaves the world as it was, and the same cut says the same again
 *   - reading to the end comes to the place that the first pass has counted, or says what is wrong
 *
 * The input: one byte of flags, one that chooses the places, then the record, in which a zero byte
 * and two more (a number n, little-endian) stand for n zeroes. Flag 1: checksums, and what counts
 * events, are made good again before the record is read, so that what is behind them is reached.
 * Flags 2..4: the model of memory. The rest: which subsets survive.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cut_run.h"

#define RECORD_BYTES_MAX (UINT64_C(256) << 10)
#define PMEM_BYTES_MAX (UINT64_C(16) << 20)
#define DISK_LOOK_BYTES (UINT64_C(1) << 20)
#define EVENTS_MAX 2000u
#define CUTS 2u

#define FLAG_MEND 1u

static void check(int ok)
{
    if (!ok)
        abort();
}

static void check_text(const char *why)
{
    size_t len = strnlen(why, CUT_TEXT_BYTES);

    check(len > 0 && len < CUT_TEXT_BYTES);
    for (size_t i = 0; i < len; i++)
        check((unsigned char)why[i] >= 0x20 && why[i] != 0x7f);
}

static size_t unpack(const uint8_t *in, size_t size_bytes, uint8_t *out)
{
    size_t len = 0;

    for (size_t i = 0; i < size_bytes && len < RECORD_BYTES_MAX;) {
        size_t zeroes;

        if (in[i] != 0 || size_bytes - i < 3) {
            out[len++] = in[i++];
            continue;
        }
        zeroes = (size_t)in[i + 1] | (size_t)in[i + 2] << 8;
        zeroes = zeroes < RECORD_BYTES_MAX - len ? zeroes : RECORD_BYTES_MAX - len;
        memset(out + len, 0, zeroes);
        len += zeroes;
        i += 3;
    }
    return len;
}

/* Events of a block, as far as their lengths lead. */
static uint32_t count_events(const uint8_t *bytes, size_t len)
{
    struct cbd_record_event e;
    uint32_t count = 0;

    for (size_t at = 0; len - at >= sizeof(e); count++) {
        size_t padded;

        memcpy(&e, bytes + at, sizeof(e));
        padded = (e.data_bytes + (size_t)7) & ~(size_t)7;
        if (padded > len - at - sizeof(e))
            return count + 1;
        at += sizeof(e) + padded;
    }
    return count;
}

static void mend(uint8_t *bytes, size_t len)
{
    struct cbd_record_head head;
    struct cbd_record_block block;
    uint64_t events = 0;

    if (len < sizeof(head))
        return;
    memcpy(&head, bytes, sizeof(head));
    if (head.pmem_bytes > PMEM_BYTES_MAX && head.pmem_bytes <= CUT_PMEM_BYTES_MAX)
        head.pmem_bytes %= PMEM_BYTES_MAX; /* only its time is more */
    head.hash = cbd_record_hash(&head, offsetof(struct cbd_record_head, hash));
    memcpy(bytes, &head, sizeof(head));
    for (size_t at = sizeof(head); len - at >= sizeof(block);) {
        memcpy(&block, bytes + at, sizeof(block));
        if (block.bytes > len - at - sizeof(block))
            block.bytes = (uint32_t)(len - at - sizeof(block));
        block.first = events;
        block.events = count_events(bytes + at + sizeof(block), block.bytes);
        events += block.events;
        memcpy(bytes + at, &block, sizeof(block));
        block.hash = cbd_record_hash(bytes + at + 8, sizeof(block) - 8 + block.bytes);
        memcpy(bytes + at, &block, sizeof(block));
        at += sizeof(block) + block.bytes;
    }
}

static uint64_t look_bytes(const struct cut_disk *d)
{
    return d->disk.size_bytes < DISK_LOOK_BYTES ? d->disk.size_bytes : DISK_LOOK_BYTES;
}

/* What the devices hold, one behind the other; the caller frees it. */
static uint8_t *keep(const struct cut_world *w)
{
    uint64_t len = w->pmem->pm.size_bytes;
    uint8_t *kept;

    for (unsigned i = 0; i < w->disk_count; i++)
        len += look_bytes(&w->disks[i]);
    kept = malloc(len);
    check(kept != NULL);
    len = w->pmem->pm.size_bytes;
    memcpy(kept, w->pmem->pm.base, len);
    for (unsigned i = 0; i < w->disk_count; len += look_bytes(&w->disks[i++]))
        memcpy(kept + len, w->disks[i].mem, look_bytes(&w->disks[i]));
    return kept;
}

static void check_kept(const struct cut_world *w, const uint8_t *kept)
{
    uint64_t len = w->pmem->pm.size_bytes;

    check(memcmp(kept, w->pmem->pm.base, len) == 0);
    for (unsigned i = 0; i < w->disk_count; len += look_bytes(&w->disks[i++]))
        check(memcmp(kept + len, w->disks[i].mem, look_bytes(&w->disks[i])) == 0);
}

static void cut(struct cut_world *w, uint64_t subset)
{
    struct sim_crash crash = sim_crash_subset(subset, w->place);
    char why[CUT_TEXT_BYTES] = "", again[CUT_TEXT_BYTES] = "";
    uint8_t *kept = keep(w);
    bool good = cut_run(w, &crash, why);

    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "place %llu, subset %llu: %s\n", (unsigned long long)w->place,
                (unsigned long long)subset, good ? "good" : why);
    if (!good)
        check_text(why);
    check_kept(w, kept);
    check(cut_run(w, &crash, again) == good && strcmp(why, again) == 0);
    check_kept(w, kept);
    free(kept);
}

static void run(struct cut_world *w, uint8_t flags, uint8_t where)
{
    char why[CUT_TEXT_BYTES] = "";

    if (w->places > EVENTS_MAX)
        return;
    for (unsigned i = 0; i < CUTS; i++) {
        uint64_t place = w->place + (w->places - w->place) * (where + i) / (255 + i);

        if (!cut_world_advance(w, place, why)) {
            check_text(why);
            return;
        }
        check(w->place == place);
        cut(w, (flags >> 3) + i);
    }
    if (!cut_world_advance(w, w->places, why))
        check_text(why);
    else
        check(w->place == w->places && !cut_world_advance(w, w->places + 1, why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const enum sim_model models[] = {SIM_ADR, SIM_EADR, SIM_PAGE, SIM_ADR};
    static uint8_t unpacked[RECORD_BYTES_MAX];
    struct cbd_record_reader *reader;
    char why[CUT_TEXT_BYTES] = "";
    struct cbd_shim_error err;
    struct cut_world w;
    uint8_t *record;
    size_t len;

    if (size_bytes < 2)
        return 0;
    len = unpack(data + 2, size_bytes - 2, unpacked);
    record = malloc(len > 0 ? len : 1); /* its exact end */
    check(record != NULL);
    if (len > 0)
        memcpy(record, unpacked, len);
    if ((data[0] & FLAG_MEND) != 0)
        mend(record, len);
    if (cbd_record_reader_open_memory(record, len, &reader, &err) != 0) {
        check(reader == NULL && err.text[0] != '\0');
    } else {
        if (cut_world_read(&w, reader, models[data[0] >> 1 & 3], why))
            run(&w, data[0], data[1]);
        else
            check_text(why);
        cut_world_close(&w);
    }
    free(record);
    return 0;
}
