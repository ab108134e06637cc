/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-sim pcache: the faults of dm-pcache's driver, produced on a model of it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcache_play.h"
#include "sim_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"

enum { KEY_MINIMIZE = 256, KEY_SCRIPT, KEY_CRC, KEY_IMAGE };

static const struct cbd_tool_option options[] = {
    {KEY_MINIMIZE, "minimize", NULL, "take out of each script what it does not need"},
    {KEY_SCRIPT, "script", "WORDS", "play this one, and say what it meets"},
    {KEY_CRC, "data-crc", NULL, "with --script: the device has data checksums"},
    {KEY_IMAGE, "image", "FILE",
     "write the device of the first error of the last script to\n"
     "this new file, and the disk to FILE.disk"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-sim",
    .synopsis = "pcache [OPTIONS] [FAULT]",
    .summary = "Plays scripts on a model of dm-pcache's driver, cuts the power at every step, and\n"
               "checks what is left: D1 to D5, D12 and D15, or one of them. Words of a script:\n"
               "  wN WN    write sector N, with FUA; +M behind it: M sectors\n"
               "  f b g    FLUSH; write back, collect one key set\n"
               "  a G      activate again; the same in the middle of a collection\n"
               "  x d      cache_info becomes unreadable; damage in the last key set but one\n"
               "  |        the power is cut at every step from here on",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 0,
    .operands_max = 1,
    .footer = "Exit status: 0 each was met and named, 4 one was not, 8 output error, 16 usage.",
};

/* A sparse file of what is not zero. */
static int write_file(const char *path, const uint8_t *bytes, uint64_t len_bytes)
{
    static const uint8_t zeroes[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error = fd < 0 || ftruncate(fd, (off_t)len_bytes) != 0;

    for (uint64_t at = 0; at < len_bytes && !error; at += sizeof(zeroes))
        if (memcmp(bytes + at, zeroes, sizeof(zeroes)) != 0)
            error = pwrite(fd, bytes + at, sizeof(zeroes), (off_t)at) != (ssize_t)sizeof(zeroes);
    if (fd >= 0 && close(fd) != 0)
        error = 1;
    if (!error)
        return 0;
    cbd_tool_error(path, "cannot be written");
    return CBD_EXIT_OPERATIONAL;
}

struct keep {
    const char *path;
    int code;
};

static void keep_state(void *arg, const uint8_t *memory, uint64_t memory_bytes, const uint8_t *disk,
                       uint64_t disk_bytes)
{
    struct keep *k = arg;
    char path[4096];

    k->code = write_file(k->path, memory, memory_bytes);
    if (k->code == 0 && snprintf(path, sizeof(path), "%s.disk", k->path) < (int)sizeof(path))
        k->code = write_file(path, disk, disk_bytes);
}

static void show(const struct sim_pcache_played *p)
{
    printf("    cuts %llu, states %llu; with errors %llu; the driver refuses %llu, and would serve "
           "less than was acknowledged in %llu\n",
           (unsigned long long)p->steps, (unsigned long long)p->states,
           (unsigned long long)p->errors, (unsigned long long)p->refused,
           (unsigned long long)p->driver_loses);
    if (p->missed + p->unnamed + p->unsaved != 0)
        printf("    NOT FOUND %llu, WITHOUT A NAME %llu, NOT SAVED BY WRITE-BACK %llu\n",
               (unsigned long long)p->missed, (unsigned long long)p->unnamed,
               (unsigned long long)p->unsaved);
}

static bool scene(const struct sim_pcache_scene *s, bool minimize, struct keep *keep)
{
    struct sim_pcache_played p;
    char script[512];

    snprintf(script, sizeof(script), "%s", s->script);
    if (minimize)
        sim_pcache_minimize(script, &s->shape, s->hole);
    printf("%s  %s\n    %s\n", s->hole, script, s->says);
    sim_pcache_play_keep(script, &s->shape, &p, stdout, keep->path != NULL ? keep_state : NULL,
                         keep);
    show(&p);
    return sim_pcache_met(&p, s->hole) && p.missed + p.unnamed + p.unsaved == 0;
}

int cbd_sim_cmd_pcache(int argc, char **argv)
{
    const struct sim_pcache_shape shape = {4, 65536, 65536, false};
    struct sim_pcache_scene own = {"", NULL, shape, "a script of your own"};
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct keep keep = {NULL, 0};
    bool minimize = false;
    unsigned shown = 0, met = 0;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        if (parser.key == KEY_MINIMIZE)
            minimize = true;
        else if (parser.key == KEY_SCRIPT)
            own.script = parser.argument;
        else if (parser.key == KEY_CRC)
            own.shape.data_crc = true;
        else
            keep.path = parser.argument;
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (own.script != NULL && !sim_pcache_script_valid(own.script))
        return cbd_tool_usage_error(&usage, "--script: got '%.60s', limit words as above",
                                    own.script);
    if (keep.path != NULL && own.script == NULL && parser.operand_count == 0)
        return cbd_tool_usage_error(&usage, "--image needs a FAULT or --script");
    if (own.script != NULL) {
        (void)!scene(&own, false, &keep);
        shown = met = 1;
    }
    for (const struct sim_pcache_scene *s = sim_pcache_scenes; own.script == NULL && s->hole; s++)
        if (parser.operand_count == 0 || strcmp(parser.operands[0], s->hole) == 0) {
            shown++;
            met += scene(s, minimize, &keep);
        }
    if (shown == 0)
        return cbd_tool_usage_error(&usage, "no script for '%.20s'", parser.operands[0]);
    if (own.script == NULL)
        printf("%u of %u met, named, and saved by write-back\n", met, shown);
    if (fflush(stdout) != 0 || keep.code != 0)
        return CBD_EXIT_OPERATIONAL;
    return met == shown ? CBD_EXIT_CLEAN : CBD_EXIT_LEFT;
}
