/* SPDX-License-Identifier: BSD-2-Clause */
/* A power cut of the run itself, and what the oracles take over from it. */
#include "restart.h"

#define SECTOR UINT64_C(512)
#define SECTORS_MAX (SIM_REQUEST_BYTES_MAX / SECTOR)

void sim_restart_cut(struct sim_world *w, const struct sim_crash *crash)
{
    for (uint32_t n = 0; n < w->config.backends; n++)
        sim_oracle_crash(w->oracle[n]);
    sim_world_power_cut(w, crash);
}

/* Sectors that were read, in runs of equal versions. */
static bool adopt_read(struct sim_world *w, uint32_t backend, uint64_t start, uint64_t sectors)
{
    const uint64_t *v = w->main.client.versions;

    for (uint64_t i = 0, k; i < sectors; i += k) {
        for (k = 1; i + k < sectors && v[i + k] == v[i];)
            k++;
        if (sim_oracle_adopt(w->oracle[backend], start + i, k, v[i]) != SIM_ORACLE_OK) {
            w->violation.promise = SIM_ORACLE_P1;
            w->violation.sector = start + i;
            w->violation.got = v[i];
            w->violation_backend = backend;
            return false;
        }
    }
    return true;
}

static int adopt_range(struct sim_world *w, uint32_t backend, const struct sim_oracle_range *r,
                       const char **where)
{
    for (uint64_t done = 0, len; done < r->sectors && *where == NULL; done += len) {
        int error;

        len = r->sectors - done < SECTORS_MAX ? r->sectors - done : SECTORS_MAX;
        error = sim_process_read(&w->main, backend, r->start_sector + done, len,
                                 w->main.client.versions);
        if (error != 0) {
            *where = "read after a restart";
            return error;
        }
        if (!adopt_read(w, backend, r->start_sector + done, len))
            *where = "restart";
    }
    return 0;
}

int sim_restart_adopt(struct sim_world *w, const char **where)
{
    *where = NULL;
    for (uint32_t n = 0; n < w->config.backends; n++) {
        struct sim_oracle_range r;

        for (size_t cursor = 0; sim_oracle_open_next(w->oracle[n], &cursor, &r);) {
            int error = r.op == SIM_ORACLE_OP_FLUSH ? 0 : adopt_range(w, n, &r, where);

            if (error != 0 || *where != NULL)
                return error;
        }
        sim_oracle_resume(w->oracle[n]);
    }
    return 0;
}
