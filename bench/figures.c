/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures: samples, medians, goals, and how they are printed. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

enum goal_kind {
    NO_GOAL,
    AT_MOST,
    AT_LEAST,
};

struct figure {
    const char *key;
    const char *what;
    const char *unit;
    const char *pair_unit; /* of floor and engine; NULL: there are none */
    enum goal_kind kind;
    double goal;
};

struct samples {
    unsigned count;
    /* two modes feed some figures */
    double value[2 * BENCH_PAIRS_MAX];
    double floor[2 * BENCH_PAIRS_MAX];
    double engine[2 * BENCH_PAIRS_MAX];
};

#define OF_MODE(crc, suffix, with)                                                                 \
    [(crc) + BENCH_WRITE] = {"write" suffix, "4 KiB random write, durable" with,                   \
                             "x floor",      "ns",                                                 \
                             AT_MOST,        1.4},                                                 \
             [(crc) + BENCH_WRITE_FIRST] = {"write_first" suffix,                                  \
                                            "the same, block not yet cached" with,                 \
                                            "x floor",                                             \
                                            "ns",                                                  \
                                            AT_MOST,                                               \
                                            1.4},                                                  \
             [(crc) + BENCH_READ] = {"read" suffix, "4 KiB random read hit" with,                  \
                                     "x floor",     "ns",                                          \
                                     AT_MOST,       1.3},                                          \
             [(crc) + BENCH_WRITE_SCALING] = {"write_scaling" suffix,                              \
                                              "gain by a second writer" with,                      \
                                              "of the floor's",                                    \
                                              "x",                                                 \
                                              AT_LEAST,                                            \
                                              0.95},                                               \
             [(crc) + BENCH_READ_SCALING] = {"read_scaling" suffix,                                \
                                             "gain by a second reader" with,                       \
                                             "of the floor's",                                     \
                                             "x",                                                  \
                                             AT_LEAST,                                             \
                                             0.95},                                                \
             [(crc) + BENCH_WRITE_TWO] = {"write_two" suffix,                                      \
                                          "throughput of two writers" with,                        \
                                          "of two floors",                                         \
                                          "ns",                                                    \
                                          NO_GOAL,                                                 \
                                          0},                                                      \
             [(crc) + BENCH_READ_TWO] = {"read_two" suffix, "throughput of two readers" with,      \
                                         "of two floors",   "ns",                                  \
                                         NO_GOAL,           0},                                    \
             [(crc) + BENCH_READ_LOOKUP] = {"read_lookup" suffix,                                  \
                                            "read hit, by a floor that looks up" with,             \
                                            "x floor",                                             \
                                            "ns",                                                  \
                                            NO_GOAL,                                               \
                                            0}

static const struct figure figures[BENCH_FIGURES] = {
    OF_MODE(0, "", ""),
    OF_MODE(BENCH_OF_MODE, "_crc", ", checksums"),
    [BENCH_INDEX] = {"index_bytes", "DRAM per cached 4 KiB block", "B", NULL, AT_MOST, 40},
    [BENCH_RECOVERY] = {"recovery", "recovery, a core", "M extents/s", NULL, AT_LEAST, 5},
    [BENCH_RECOVERY_WALL] = {"recovery_wall", "recovery, all cores", "M extents/s", NULL, NO_GOAL,
                             0},
    [BENCH_FLUSH] = {"flush", "FLUSH with nothing to do", "ns", NULL, AT_MOST, 100},
};

static struct samples taken[BENCH_FIGURES];

void bench_figure_add(enum bench_figure_id id, double value, double floor_ns, double engine_ns)
{
    struct samples *s = &taken[id];

    if (s->count == 2 * BENCH_PAIRS_MAX)
        return;
    s->value[s->count] = value;
    s->floor[s->count] = floor_ns;
    s->engine[s->count] = engine_ns;
    s->count++;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void sort_samples(struct samples *s)
{
    qsort(s->value, s->count, sizeof(s->value[0]), by_value);
    qsort(s->floor, s->count, sizeof(s->floor[0]), by_value);
    qsort(s->engine, s->count, sizeof(s->engine[0]), by_value);
}

static double median(const double *sorted, unsigned count)
{
    return count == 0 ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static bool met(const struct figure *f, const struct samples *s)
{
    double value = median(s->value, s->count);

    return f->kind == NO_GOAL || (f->kind == AT_MOST ? value <= f->goal : value >= f->goal);
}

static void print_text(const struct figure *f, const struct samples *s,
                       const struct bench_options *options)
{
    double value = median(s->value, s->count);
    char goal[32] = "";
    char parts[64] = "";

    if (f->kind != NO_GOAL)
        snprintf(goal, sizeof(goal), "%s %.4g", f->kind == AT_MOST ? "<=" : ">=", f->goal);
    if (f->pair_unit != NULL)
        snprintf(parts, sizeof(parts), "floor %.4g %s, engine %.4g %s", median(s->floor, s->count),
                 f->pair_unit, median(s->engine, s->count), f->pair_unit);
    printf("%-44s %7.4g %-14s (%.4g .. %.4g)  %-8s %-6s %s\n", f->what, value, f->unit, s->value[0],
           s->value[s->count - 1], goal,
           options->quick || f->kind == NO_GOAL ? ""
           : met(f, s)                          ? "met"
                                                : "MISSED",
           parts);
}

static void set_real(json_t *object, const char *key, double value)
{
    if (json_object_set_new(object, key, json_real(value)) != 0)
        bench_must(CBD_E_NOMEM, "JSON");
}

static void add_json(json_t *array, const struct figure *f, const struct samples *s,
                     const struct bench_options *options)
{
    json_t *o = cbd_tool_json_append_object(array);

    cbd_tool_json_text(o, "name", f->key);
    cbd_tool_json_text(o, "what", f->what);
    cbd_tool_json_text(o, "unit", f->unit);
    set_real(o, "median", median(s->value, s->count));
    set_real(o, "min", s->value[0]);
    set_real(o, "max", s->value[s->count - 1]);
    if (f->pair_unit != NULL) {
        cbd_tool_json_text(o, "pair_unit", f->pair_unit);
        set_real(o, "floor", median(s->floor, s->count));
        set_real(o, "engine", median(s->engine, s->count));
    }
    if (f->kind == NO_GOAL)
        return;
    set_real(o, f->kind == AT_MOST ? "goal_max" : "goal_min", f->goal);
    if (!options->quick)
        cbd_tool_json_bool(o, "met", met(f, s));
}

bool bench_figures_print(const struct bench_rig *rig, const struct bench_options *options,
                         bool json)
{
    json_t *doc = json ? cbd_tool_json_document("cbd-bench", 1) : NULL;
    json_t *array = NULL;
    char size[CBD_TOOL_SIZE_TEXT_BYTES];
    bool all_met = true;

    if (json) {
        cbd_tool_json_u64(doc, "size_bytes", rig->pm->size_bytes);
        cbd_tool_json_u64(doc, "blocks", rig->blocks);
        cbd_tool_json_u64(doc, "pairs", options->pairs);
        array = cbd_tool_json_array(doc, "figures");
    } else {
        printf("%s, %llu distinct blocks, median of %u pairs (least .. greatest)\n",
               cbd_tool_size_exact(rig->pm->size_bytes, size), (unsigned long long)rig->blocks,
               options->pairs);
    }
    for (unsigned i = 0; i < BENCH_FIGURES; i++) {
        const struct figure *f = &figures[i];
        struct samples *s = &taken[i];

        if (s->count == 0)
            continue;
        sort_samples(s);
        all_met = met(f, s) && all_met;
        if (json)
            add_json(array, f, s, options);
        else
            print_text(f, s, options);
    }
    if (json) {
        set_real(doc, "slices_lost", bench_measure_lost());
        bench_must(cbd_tool_json_print(doc, stdout), "standard output");
        json_decref(doc);
    } else {
        printf("%.1f %% of the slices did not count: something else had the processor\n",
               100 * bench_measure_lost());
    }
    return all_met;
}
