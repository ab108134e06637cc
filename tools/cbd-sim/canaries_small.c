/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim canaries --minimize: the smallest workload that shows each bug. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canaries_tool.h"
#include "hunt_small.h"
#include "sim_base.h"
#include "tool_exit.h"
#include "tool_message.h"

#define TEXT_BYTES 4096u
#define LINES_MAX 8u /* what a person reads at a glance */
#define MICROSECONDS_MAX 5000000u

struct row {
    struct sim_small small;
    char text[TEXT_BYTES]; /* without the line that names the bug */
};

static void print_into(const struct sim_workload *w, char text[TEXT_BYTES])
{
    char *all = NULL, *at, *line;
    size_t len = 0, n = 0;
    FILE *f = open_memstream(&all, &len);

    SIM_REQUIRE(f != NULL);
    sim_workload_print(w, f);
    fclose(f);
    at = all;
    while ((line = strsep(&at, "\n")) != NULL && n < TEXT_BYTES)
        if (*line != '\0' && strncmp(line, "canary ", 7) != 0)
            n += (size_t)snprintf(text + n, TEXT_BYTES - n, "%s%s", n != 0 ? "\n" : "", line);
    free(all);
}

static void run_one(enum cbd_canary_id id, struct row *row)
{
    struct sim_workload w;

    sim_workload_init(&w);
    sim_hunt_small(id, &w, &row->small);
    if (row->small.found)
        print_into(&w, row->text);
    sim_workload_free(&w);
}

/* Worker k of n: every n-th bug. */
static void run_part(const struct sim_hunt_config *config, struct row *rows, uint32_t k)
{
    uint32_t number = 0;

    for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++) {
        if (!config->wanted[id] || number++ % config->workers != k)
            continue;
        run_one((enum cbd_canary_id)id, &rows[id]);
        fprintf(stderr, "%s: found in %.2f s, %zu lines in %.2f s\n",
                sim_canary_name((enum cbd_canary_id)id), (double)rows[id].small.find_us / 1e6,
                rows[id].small.found ? rows[id].small.minimized.lines - 1 : 0,
                (double)rows[id].small.small_us / 1e6);
    }
}

static bool run_all(const struct sim_hunt_config *config, struct row *rows)
{
    pid_t pid[SIM_HUNT_WORKERS_MAX];
    bool good = true;

    for (uint32_t k = 0; k < config->workers; k++) {
        fflush(NULL);
        pid[k] = fork();
        if (pid[k] == 0) {
            run_part(config, rows, k);
            _exit(0);
        }
    }
    for (uint32_t k = 0; k < config->workers; k++) {
        int status = 0;

        good = pid[k] > 0 && waitpid(pid[k], &status, 0) == pid[k] && status == 0 && good;
    }
    return good;
}

/* Within the limits; a bug that no workload shows is not held against it. */
static bool within(const struct sim_small *s)
{
    return !s->found || (s->minimized.lines - 1 <= LINES_MAX && s->small_us <= MICROSECONDS_MAX);
}

static void print_line(const struct row *row, bool markdown)
{
    for (const char *c = row->text; *c != '\0'; c++)
        fputs(*c == '\n' ? (markdown ? "; " : " ; ") : (char[2]){*c, '\0'}, stdout);
}

static void print_row(enum cbd_canary_id id, const struct row *row, bool markdown)
{
    const struct sim_small *s = &row->small;
    unsigned long long lines = s->found ? s->minimized.lines - 1 : 0;

    if (!s->found) {
        printf(markdown ? "| %s | | | | scenes or damage only |\n" : "%-27s   -       -  %s\n",
               sim_canary_name(id), "no workload shows it");
        return;
    }
    if (markdown)
        printf("| %s | %llu | %.1f | %s | `", sim_canary_name(id), lines, (double)s->small_us / 1e6,
               s->from);
    else
        printf("%-27s %3llu %7.2f  %s%-20s  ", sim_canary_name(id), lines,
               (double)s->small_us / 1e6, within(s) ? "" : "! ", s->from);
    print_line(row, markdown);
    fputs(markdown ? "` |\n" : "\n", stdout);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool print_all(const struct sim_hunt_config *config, const struct row *rows, bool markdown)
{
    uint64_t us[CBD_CANARY_COUNT];
    uint32_t bugs = 0, found = 0, good = 0;

    if (markdown)
        printf("| canary | lines | s | from | workload |\n| --- | ---: | ---: | --- | --- |\n");
    for (int id = CBD_CANARY_NONE + 1; id < CBD_CANARY_COUNT; id++) {
        if (!config->wanted[id])
            continue;
        print_row((enum cbd_canary_id)id, &rows[id], markdown);
        bugs++;
        if (!rows[id].small.found)
            continue;
        good += within(&rows[id].small);
        us[found++] = rows[id].small.small_us;
    }
    qsort(us, found, sizeof(us[0]), compare_u64);
    printf("\n%u of %u bugs are shown by a workload; %u of these in %u lines and %u s or less",
           found, bugs, good, LINES_MAX, MICROSECONDS_MAX / 1000000);
    if (found != 0)
        printf("; median %.2f s", (double)us[found / 2] / 1e6);
    putchar('\n');
    return good == found;
}

int cbd_sim_canaries_small(struct sim_hunt_config *config, bool markdown)
{
    struct row *rows = mmap(NULL, CBD_CANARY_COUNT * sizeof(*rows), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool good;

    if (rows == MAP_FAILED) {
        cbd_tool_error(NULL, "canaries: no memory");
        return CBD_EXIT_OPERATIONAL;
    }
    if (!run_all(config, rows)) {
        cbd_tool_error(NULL, "canaries: a worker died");
        return CBD_EXIT_OPERATIONAL;
    }
    good = print_all(config, rows, markdown);
    munmap(rows, CBD_CANARY_COUNT * sizeof(*rows));
    if (fflush(stdout) != 0)
        return CBD_EXIT_OPERATIONAL;
    return good ? CBD_EXIT_CLEAN : CBD_EXIT_LEFT;
}
