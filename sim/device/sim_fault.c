/* SPDX-License-Identifier: BSD-2-Clause */
/* Which fault strikes when, and its names. */
#include "sim_fault.h"

#include <stdio.h>
#include <string.h>

#include "sim_base.h"
#include "world.h"

/* A fault begins at one request of so many. */
#define REQUESTS_A_FAULT 48u
/* The earlier moment of stale lines: one request of so many. */
#define REQUESTS_A_MOMENT 512u

static const char *const names[SIM_FAULT_COUNT] = {
    [SIM_FAULT_READ_EIO] = "read-eio",
    [SIM_FAULT_WRITE_EIO] = "write-eio",
    [SIM_FAULT_FLUSH_EIO] = "flush-eio",
    [SIM_FAULT_LATENT] = "latent",
    [SIM_FAULT_GONE] = "gone",
    [SIM_FAULT_FULL] = "full",
    [SIM_FAULT_POISON] = "poison",
    [SIM_FAULT_FLIP] = "flip",
    [SIM_FAULT_STALE] = "stale",
    [SIM_FAULT_LOST_FLUSH] = "lost-flush",
    [SIM_FAULT_LOST_WRITE] = "lost-write",
    [SIM_FAULT_MISPLACED] = "misplaced",
};

const char *sim_fault_name(enum sim_fault fault)
{
    return (unsigned)fault < SIM_FAULT_COUNT ? names[fault] : "unknown";
}

static bool parse_one(const char *name, size_t n, uint32_t *mask)
{
    if (n == 4 && memcmp(name, "none", n) == 0)
        return true;
    if (n == 3 && memcmp(name, "all", n) == 0) {
        *mask |= SIM_FAULTS_HONEST;
        return true;
    }
    for (int f = 0; f < SIM_FAULT_COUNT; f++) {
        if (strlen(names[f]) == n && memcmp(name, names[f], n) == 0) {
            *mask |= 1u << f;
            return true;
        }
    }
    return false;
}

bool sim_fault_parse(const char *list, uint32_t *mask)
{
    *mask = 0;
    for (;;) {
        size_t n = strcspn(list, ",");

        if (!parse_one(list, n, mask))
            return false;
        if (list[n] == '\0')
            return true;
        list += n + 1;
    }
}

const char *sim_fault_list(uint32_t mask, char *buf, unsigned buf_bytes)
{
    size_t at = 0;

    if (mask == 0 || mask == SIM_FAULTS_HONEST) {
        snprintf(buf, buf_bytes, "%s", mask == 0 ? "none" : "all");
        return buf;
    }
    for (int f = 0; f < SIM_FAULT_COUNT && at < buf_bytes; f++)
        if ((mask >> f & 1) != 0)
            at += (size_t)snprintf(buf + at, buf_bytes - at, "%s%s", at != 0 ? "," : "", names[f]);
    return buf;
}

static void latent(struct sim_disk *disk, uint64_t draw)
{
    uint64_t sectors = disk->disk.size_bytes / SIM_SECTOR_BYTES;
    uint64_t at = draw % sectors, n = 1 + draw / sectors % 16;

    /* Where something was written, mostly: elsewhere nobody would notice. */
    if (draw >> 60 != 0)
        (void)sim_disk_next_touched(disk, at, &at);
    sim_disk_set_latent_error(disk, at, n < sectors - at ? n : sectors - at);
}

void sim_fault_strike(struct sim_world *w, enum sim_fault fault, uint64_t draw)
{
    struct sim_disk *disk = w->disk[draw % w->config.backends];
    uint64_t skip = draw >> 8 & 7, count = 1 + (draw >> 12 & 3), spread = sim_rng_mix(draw, 1);
    enum cbd_disk_op op = CBD_DISK_WRITE;

    w->faults.struck[fault]++;
    sim_disk_set_lie(disk, fault < SIM_FAULT_LOST_FLUSH && !w->config.faults_mute ? SIM_DISK_HONEST
                           : fault == SIM_FAULT_MISPLACED ? SIM_DISK_MISPLACE
                                                          : SIM_DISK_MUTE);
    switch (fault) {
    case SIM_FAULT_READ_EIO:
        op = CBD_DISK_READ;
        break;
    case SIM_FAULT_FLUSH_EIO:
    case SIM_FAULT_LOST_FLUSH:
        op = CBD_DISK_FLUSH;
        break;
    case SIM_FAULT_LATENT:
        latent(disk, spread);
        return;
    case SIM_FAULT_GONE:
    case SIM_FAULT_FULL:
        sim_disk_set_gone(disk, true);
        w->faults.gone_left = fault == SIM_FAULT_GONE ? 1 + spread % 32 : 200 + spread % 200;
        return;
    case SIM_FAULT_WRITE_EIO:
    case SIM_FAULT_LOST_WRITE:
    case SIM_FAULT_MISPLACED:
    default:
        if (fault == SIM_FAULT_WRITE_EIO && spread % 4 == 0) {
            sim_disk_fail_next(disk, CBD_DISK_DISCARD, 0, count);
            sim_disk_fail_next(disk, CBD_DISK_ZERO, 0, count);
        }
        break;
    }
    sim_disk_fail_next(disk, op, skip, count);
}

/* The medium as it is durable now. */
static void remember(struct sim_world *w)
{
    static const struct sim_crash nothing = {.kind = SIM_CRASH_NONE};
    size_t bytes = (size_t)w->pmem->pm.size_bytes;

    if (w->faults.old == NULL)
        w->faults.old = sim_zalloc(bytes, 1);
    sim_pmem_mark(w->pmem);
    sim_pmem_crash(w->pmem, &nothing);
    memcpy(w->faults.old, w->pmem->pm.base, bytes);
    sim_pmem_rollback(w->pmem);
}

void sim_fault_destroy(struct sim_world *w)
{
    free(w->faults.old);
    w->faults.old = NULL;
}

void sim_fault_request(struct sim_world *w)
{
    struct sim_faults *f = &w->faults;
    uint32_t disks = w->config.faults & ~SIM_FAULTS_MEMORY;
    uint64_t draw, pick;

    if ((w->config.faults >> SIM_FAULT_STALE & 1) != 0 &&
        sim_rng_chance(&f->rng, 1, REQUESTS_A_MOMENT))
        remember(w);
    if (disks == 0)
        return;
    if (f->gone_left != 0 && --f->gone_left == 0)
        for (uint32_t n = 0; n < w->config.backends; n++)
            sim_disk_set_gone(w->disk[n], false);
    if (f->gone_left != 0 || !sim_rng_chance(&f->rng, 1, REQUESTS_A_FAULT))
        return;
    draw = sim_rng_u64(&f->rng);
    pick = sim_rng_below(&f->rng, (uint64_t)__builtin_popcount(disks));
    for (int i = 0; i < SIM_FAULT_COUNT; i++)
        if ((disks >> i & 1) != 0 && pick-- == 0)
            sim_fault_strike(w, (enum sim_fault)i, draw);
}

void sim_fault_end(struct sim_world *w)
{
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_disk_heal(w->disk[n]);
    w->faults.gone_left = 0;
}

uint64_t sim_fault_failed(const struct sim_world *w)
{
    uint64_t failed = 0;

    for (uint32_t n = 0; n < w->config.backends; n++)
        failed += w->disk[n]->state.failed;
    return failed;
}

bool sim_fault_excuses(int error)
{
    return error == CBD_E_IO || error == CBD_E_NOSPACE;
}
