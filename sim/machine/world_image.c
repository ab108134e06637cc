/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes what a power cut leaves of a world's devices. */
#include "world_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sector.h"
#include "sim_base.h"

struct disk_file {
    FILE *f;
    const struct sim_disk *disk;
    bool ok;
};

/* Never overwrites. A file of the full size, all holes, or NULL. */
static FILE *create(const char *path, uint64_t size_bytes)
{
    FILE *f = fopen(path, "wbx");

    if (f != NULL && ftruncate(fileno(f), (off_t)size_bytes) != 0) {
        fclose(f);
        return NULL;
    }
    return f;
}

static void put_sector(struct disk_file *d, uint64_t sector)
{
    uint8_t bytes[SIM_SECTOR_BYTES];

    sim_sector_fill(bytes, sector, sim_disk_peek(d->disk, sector));
    if (d->ok)
        d->ok = fseeko(d->f, (off_t)(sector * SIM_SECTOR_BYTES), SEEK_SET) == 0 &&
                fwrite(bytes, sizeof(bytes), 1, d->f) == 1;
}

/* The cache knows what was on the disk before the first write: it must be there in the file too. */
static void put_extent(void *arg, const struct cbd_extent_view *e)
{
    for (uint64_t i = 0; !e->zero && i < e->len_bytes / SIM_SECTOR_BYTES; i++)
        put_sector(arg, e->addr_bytes / SIM_SECTOR_BYTES + i);
}

static bool write_disk(struct sim_world *w, uint32_t n, const char *path)
{
    struct disk_file d = {.disk = w->disk[n], .ok = true};
    uint64_t sector = 0;

    d.f = create(path, w->config.disk_bytes[n]);
    if (d.f == NULL)
        return false;
    for (; sim_disk_next_touched(w->disk[n], sector, &sector); sector++)
        put_sector(&d, sector);
    cbd_backend_extents(w->main.backend[n], put_extent, &d);
    if (fclose(d.f) != 0)
        d.ok = false;
    return d.ok;
}

static bool write_pmem(const struct sim_world *w, const char *path)
{
    const struct cbd_pmem *pm = &w->pmem->pm;
    FILE *f = create(path, pm->size_bytes);
    bool ok = f != NULL && fwrite(pm->base, pm->size_bytes, 1, f) == 1;

    if (f != NULL && fclose(f) != 0)
        ok = false;
    return ok;
}

bool sim_image_write(struct sim_world *w, const struct sim_crash *crash, const char *path)
{
    size_t len = strlen(path);
    char *name = sim_zalloc(len + sizeof(".disk0"), 1);
    bool ok;

    sim_world_mark(w);
    sim_world_power_cut(w, crash);
    ok = write_pmem(w, path);
    for (uint32_t n = 0; n < w->config.backends && ok; n++) {
        memcpy(name, path, len);
        snprintf(name + len, sizeof(".disk0"), ".disk%u", n % 10);
        ok = write_disk(w, n, name);
    }
    sim_world_rollback(w);
    free(name);
    return ok;
}
