/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-ctl: backends of a cache, and saving what is dirty. */
#include <stdlib.h>
#include <string.h>

#include "cbd/pcache.h"
#include "ctl.h"
#include "pcache.h"
#include "tool_exit.h"
#include "tool_options.h"
#include "tool_size.h"

enum {
    KEY_BACKING = 256,
    KEY_CACHE_SIZE,
    KEY_STREAMS,
    KEY_BLOCK,
    KEY_DISCARD,
    KEY_ACCEPT,
    KEY_GIVE_UP,
    KEY_OUTPUT,
    KEY_SUSPECT,
    KEY_JSON,
    KEY_CACHE,
    KEY_CACHES,
    KEY_UDEV,
    KEY_DRY_RUN,
    KEY_EMPTY,
    KEY_PAST_DAMAGE,
    KEY_FROM_KEY_TAIL,
    KEY_ALLOW_LOSS,
    KEY_LOG_END,
    KEY_TO,
};

static const struct cbd_tool_option options[] = {
    {KEY_BACKING, "backing", "PATH", "add, writeback, salvage: the disk, a block device or a file"},
    {KEY_CACHE_SIZE, "cache-size", "SIZE", "add: its share of the cache"},
    {KEY_STREAMS, "streams", "N",
     "add: writers that append side by side, 1 to 16\n"
     "(default: 4, fewer on a small share)"},
    {KEY_BLOCK, "logical-block", "N", "add: for a disk that is a file, 512 to 4096 (default: 512)"},
    {KEY_DISCARD, "discard-dirty", NULL, "remove: lose what is not on the disk yet"},
    {KEY_ACCEPT, "accept-backing", NULL,
     "writeback: take the disk although it is not as the cache left it;\n"
     "dirty data goes to it, what else is cached is given up"},
    {KEY_GIVE_UP, "give-up-unreadable", NULL,
     "writeback: lose dirty data that cannot be read, save the rest"},
    {KEY_OUTPUT, "output", "FILE",
     "salvage: copy the disk to this new file, and write there instead"},
    {KEY_SUSPECT, "suspect", NULL,
     "salvage: write also what may be older than something that is lost"},
    {KEY_JSON, "json", NULL,
     "list, stat, salvage, guard: one JSON document on\n"
     "standard output"},
    {KEY_CACHE, "cache", "PATH", "guard: look at this cache only"},
    {KEY_CACHES, "caches", "FILE",
     "guard: where the caches are, one path a line\n"
     "(default: " CTL_CACHES ", /dev/pmem*, /dev/dax*)"},
    {KEY_UDEV, "udev", NULL, "guard: answer for a udev rule"},
    /* The rest is for writeback of a device of dm-pcache, which also takes --output and --json. */
    {KEY_DRY_RUN, "dry-run", NULL, "dm-pcache: say what would be written; change nothing"},
    {KEY_EMPTY, "empty", NULL, "dm-pcache: leave nothing cached, clean data neither"},
    {KEY_PAST_DAMAGE, "past-damage", NULL, "dm-pcache: go on behind damage in the log"},
    {KEY_FROM_KEY_TAIL, "from-key-tail", NULL,
     "dm-pcache: write all that is in the log, not only what is dirty"},
    {KEY_ALLOW_LOSS, "allow-data-loss", NULL, "dm-pcache: leave out what is damaged, and lose it"},
    {KEY_LOG_END, "log-end", "SEG:OFF", "dm-pcache: take the log for ended there"},
    {KEY_TO, "to", "CACHE", "dm-pcache: import: the CBD cache that has the backend NAME"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-ctl",
    .synopsis = "[OPTIONS] DEVICE COMMAND [NAME]\n[OPTIONS] guard [DISK]",
    .summary =
        "Manages a CBD cache that is not being served. Commands:\n"
        "  backend add NAME --backing PATH --cache-size SIZE   give a disk a share\n"
        "  backend list                                        show all\n"
        "  backend remove NAME                                 take the share back\n"
        "  writeback [NAME]    write dirty data of one or all backends to their disks\n"
        "  salvage NAME        what is certainly good of a damaged backend, to its disk; the\n"
        "                      rest is listed, the cache stays as it is\n"
        "  stat                what is cached and what is dirty\n"
        "On a device of dm-pcache: writeback --backing PATH; stat; and\n"
        "  import NAME --to CACHE --backing PATH   move what is dirty to a backend of CACHE\n"
        "  guard [DISK]        disks that must not be used by themselves: a cache before\n"
        "                      them was not detached cleanly. No DEVICE; see --caches",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 4,
    .footer = "Sizes are bytes, or have the suffix K, M, G or T.\n"
              "Exit codes: 0 done, 4 done and something is damaged (guard: the disk\n"
              "is not to be used), 8 not done, 16 wrong usage.",
};

#define BIT(key) (1u << ((key)-KEY_BACKING))

struct command {
    const char *group; /* or NULL */
    const char *word;
    int names_min, names_max;
    unsigned allowed, needed; /* options */
    int (*run)(const struct ctl *ctl);
};

static const struct command commands[] = {
    {"backend", "add", 1, 1,
     BIT(KEY_BACKING) | BIT(KEY_CACHE_SIZE) | BIT(KEY_STREAMS) | BIT(KEY_BLOCK),
     BIT(KEY_BACKING) | BIT(KEY_CACHE_SIZE), ctl_add},
    {"backend", "list", 0, 0, BIT(KEY_JSON), 0, ctl_list},
    {"backend", "remove", 1, 1, BIT(KEY_DISCARD), 0, ctl_remove},
    {NULL, "writeback", 0, 1, BIT(KEY_BACKING) | BIT(KEY_ACCEPT) | BIT(KEY_GIVE_UP), 0,
     ctl_writeback},
    {NULL, "salvage", 1, 1, BIT(KEY_BACKING) | BIT(KEY_OUTPUT) | BIT(KEY_SUSPECT) | BIT(KEY_JSON),
     0, ctl_salvage},
    {NULL, "stat", 0, 0, BIT(KEY_JSON), 0, ctl_stat},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* What no command takes on anything else. */
#define PCACHE_ONLY                                                                                \
    (BIT(KEY_DRY_RUN) | BIT(KEY_EMPTY) | BIT(KEY_PAST_DAMAGE) | BIT(KEY_FROM_KEY_TAIL) |           \
     BIT(KEY_ALLOW_LOSS) | BIT(KEY_LOG_END) | BIT(KEY_TO))

static const struct command pcache_commands[] = {
    {NULL, "writeback", 0, 0,
     BIT(KEY_BACKING) | BIT(KEY_ACCEPT) | BIT(KEY_BLOCK) | BIT(KEY_OUTPUT) | BIT(KEY_JSON) |
         BIT(KEY_DRY_RUN) | BIT(KEY_EMPTY) | BIT(KEY_PAST_DAMAGE) | BIT(KEY_FROM_KEY_TAIL) |
         BIT(KEY_ALLOW_LOSS) | BIT(KEY_LOG_END),
     0, pcache_writeback},
    {NULL, "import", 1, 1, BIT(KEY_BACKING) | BIT(KEY_TO), BIT(KEY_BACKING) | BIT(KEY_TO),
     pcache_import},
    {NULL, "stat", 0, 0, BIT(KEY_JSON), 0, pcache_stat},
};

#define PCACHE_COMMAND_COUNT (sizeof(pcache_commands) / sizeof(pcache_commands[0]))

static int take_number(const struct cbd_tool_parser *parser, struct ctl *ctl)
{
    char why[256];
    uint64_t value = 0;
    int error;

    if (parser->key == KEY_STREAMS)
        error = cbd_tool_parse_number("--streams", parser->argument, 1, CBD_STREAMS_MAX, &value,
                                      why, sizeof(why));
    else
        error = cbd_tool_parse_size(parser->key == KEY_BLOCK ? "--logical-block" : "--cache-size",
                                    parser->argument, &value, why, sizeof(why));
    if (error != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    if (parser->key == KEY_BLOCK &&
        (value < 512 || value > CBD_BLOCK_BYTES || (value & (value - 1)) != 0))
        return cbd_tool_usage_error(&usage, "--logical-block: got %s, limit 512, 1024, 2048, 4096",
                                    parser->argument);
    if (parser->key == KEY_STREAMS)
        ctl->streams = (uint32_t)value;
    else if (parser->key == KEY_BLOCK)
        ctl->logical_block = (uint32_t)value;
    else
        ctl->cache_bytes = value;
    return 0;
}

/* "SEG:OFF", as cbd-check and the status line of the driver show places. */
static int take_log_end(const struct cbd_tool_parser *parser, struct ctl *ctl)
{
    const char *colon = strchr(parser->argument, ':');
    char first[32], why[256];
    uint64_t seg = 0, off = 0;

    if (colon == NULL || (size_t)(colon - parser->argument) >= sizeof(first))
        return cbd_tool_usage_error(&usage, "--log-end: got '%s', limit SEG:OFF", parser->argument);
    memcpy(first, parser->argument, (size_t)(colon - parser->argument));
    first[colon - parser->argument] = '\0';
    if (cbd_tool_parse_number("--log-end", first, 0, CBD_PCACHE_SEGMENTS_MAX - 1, &seg, why,
                              sizeof(why)) != 0 ||
        cbd_tool_parse_number("--log-end", colon + 1, 0, CBD_PCACHE_DATA_BYTES - 1, &off, why,
                              sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    ctl->log_end_given = true;
    ctl->log_end_seg = (uint32_t)seg;
    ctl->log_end_off = (uint32_t)off;
    return 0;
}

static int take_pcache_option(const struct cbd_tool_parser *parser, struct ctl *ctl)
{
    switch (parser->key) {
    case KEY_DRY_RUN:
        ctl->dry_run = true;
        return 0;
    case KEY_EMPTY:
        ctl->empty = true;
        return 0;
    case KEY_PAST_DAMAGE:
        ctl->past_damage = true;
        return 0;
    case KEY_FROM_KEY_TAIL:
        ctl->from_key_tail = true;
        return 0;
    case KEY_ALLOW_LOSS:
        ctl->allow_loss = true;
        return 0;
    case KEY_LOG_END:
        return take_log_end(parser, ctl);
    case KEY_TO:
        ctl->to = parser->argument;
        return 0;
    default:
        return take_number(parser, ctl);
    }
}

static int take_option(const struct cbd_tool_parser *parser, struct ctl *ctl)
{
    switch (parser->key) {
    case KEY_BACKING:
        ctl->backing = parser->argument;
        return 0;
    case KEY_DISCARD:
        ctl->discard_dirty = true;
        return 0;
    case KEY_ACCEPT:
        ctl->accept_backing = true;
        return 0;
    case KEY_GIVE_UP:
        ctl->give_up = true;
        return 0;
    case KEY_OUTPUT:
        ctl->output = parser->argument;
        return 0;
    case KEY_SUSPECT:
        ctl->suspect = true;
        return 0;
    case KEY_JSON:
        ctl->json = true;
        return 0;
    case KEY_CACHE:
        ctl->cache = parser->argument;
        return 0;
    case KEY_CACHES:
        ctl->caches = parser->argument;
        return 0;
    case KEY_UDEV:
        ctl->udev = true;
        return 0;
    default:
        return take_pcache_option(parser, ctl);
    }
}

static const char *option_name(unsigned bits)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if ((bits & BIT(options[i].key)) != 0)
            return options[i].name;
    return "";
}

/* The command that the operands behind the device name, and whether the options go with it. */
static int find_command(const struct cbd_tool_parser *parser, unsigned given,
                        const struct command *table, size_t count, struct ctl *ctl,
                        const struct command **command)
{
    char **word = parser->operands + 1;
    int left = parser->operand_count - 1;

    for (size_t i = 0; i < count; i++) {
        const struct command *c = &table[i];
        int words = c->group != NULL ? 2 : 1;

        if (left < words || (c->group != NULL && strcmp(word[0], c->group) != 0) ||
            strcmp(word[words - 1], c->word) != 0)
            continue;
        if (left - words < c->names_min || left - words > c->names_max)
            return cbd_tool_usage_error(&usage, "%s: got %d names, limit %d..%d", c->word,
                                        left - words, c->names_min, c->names_max);
        if ((given & ~c->allowed) != 0)
            return cbd_tool_usage_error(
                &usage, "%s: does not take --%s%s", c->word, option_name(given & ~c->allowed),
                table == commands && (given & ~c->allowed & PCACHE_ONLY) != 0
                    ? ": no dm-pcache on the device"
                    : "");
        if ((c->needed & ~given) != 0)
            return cbd_tool_usage_error(&usage, "%s: needs --%s", c->word,
                                        option_name(c->needed & ~given));
        ctl->name = left > words ? word[words] : NULL;
        *command = c;
        return 0;
    }
    return cbd_tool_usage_error(&usage, "unknown command '%s%s%s'", word[0], left > 1 ? " " : "",
                                left > 1 ? word[1] : "");
}

/* guard [DISK]: the only command without a cache before it. */
static int guard(const struct cbd_tool_parser *parser, unsigned given, struct ctl *ctl)
{
    unsigned allowed = BIT(KEY_JSON) | BIT(KEY_CACHE) | BIT(KEY_CACHES) | BIT(KEY_UDEV);

    if (parser->operand_count > 2)
        return cbd_tool_usage_error(&usage, "guard: got %d disks, limit 0..1",
                                    parser->operand_count - 1);
    if ((given & ~allowed) != 0)
        return cbd_tool_usage_error(&usage, "guard: does not take --%s",
                                    option_name(given & ~allowed));
    if (ctl->udev && (ctl->json || parser->operand_count != 2))
        return cbd_tool_usage_error(&usage, "guard: --udev needs a DISK and excludes --json");
    ctl->name = parser->operand_count == 2 ? parser->operands[1] : NULL;
    return ctl_guard(ctl);
}

int main(int argc, char **argv)
{
    const struct command *command = NULL;
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;
    struct ctl ctl = {0};
    unsigned given = 0;
    bool pcache;
    int code;

    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        given |= BIT(parser.key);
        code = take_option(&parser, &ctl);
        if (code != 0)
            return code;
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (strcmp(parser.operands[0], "guard") == 0)
        return guard(&parser, given, &ctl);
    if (parser.operand_count < 2)
        return cbd_tool_usage_error(&usage, "operands: got 1, limit 2..4");
    ctl.path = parser.operands[0];
    pcache = ctl_is_pcache(ctl.path);
    if (pcache)
        code = find_command(&parser, given, pcache_commands, PCACHE_COMMAND_COUNT, &ctl, &command);
    else
        code = find_command(&parser, given, commands, COMMAND_COUNT, &ctl, &command);
    if (code == 0 && ctl.name != NULL &&
        (ctl.name[0] == '\0' || strlen(ctl.name) > CBD_BACKEND_NAME_BYTES))
        code = cbd_tool_usage_error(&usage, "NAME: got %zu bytes, limit 1..%u", strlen(ctl.name),
                                    CBD_BACKEND_NAME_BYTES);
    if (code == 0 && ctl.backing != NULL && ctl.name == NULL && !pcache)
        code = cbd_tool_usage_error(&usage, "writeback: --backing needs a NAME");
    return code != 0 ? code : command->run(&ctl);
}
