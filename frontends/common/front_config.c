/* SPDX-License-Identifier: BSD-2-Clause */
/* "key=value" into a configuration: one table says what there is, what it takes, and its help. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cbd/shim/disk.h"
#include "front.h"
#include "tool_size.h"

enum kind {
    KIND_DEVICE,
    KIND_RECORD,
    KIND_BACKEND,
    KIND_BACKING,
    KIND_BOOL,     /* bool */
    KIND_NOT,      /* bool, the other way round */
    KIND_NUMBER,   /* uint32_t */
    KIND_SIZE,     /* uint64_t bytes */
    KIND_TIME,     /* uint64_t ns */
    KIND_CHOICE,   /* enum replacement */
    KIND_IDENTITY, /* uint32_t, 0 means none */
    KIND_DURABILITY,
};

struct option {
    const char *key;
    enum kind kind;
    size_t at; /* offset in struct front_config */
    uint64_t min, max;
};

#define AT(field) offsetof(struct front_config, field)

static const struct option options[] = {
    {"device", KIND_DEVICE, 0, 0, 0},
    {"backend", KIND_BACKEND, 0, 0, 0},
    {"backing", KIND_BACKING, 0, 0, 0},
    {"record", KIND_RECORD, 0, 0, 0},
    {"record-max", KIND_SIZE, AT(record_max_bytes), 0, UINT64_MAX},
    {"durability", KIND_DURABILITY, 0, 0, 0},
    {"accept-backing", KIND_BOOL, AT(attach.accept_backing), 0, 0},
    {"writeback-on-exit", KIND_NOT, AT(leave), 0, 0},
    {"fill", KIND_NOT, AT(attach.no_fill), 0, 0},
    {"replacement", KIND_CHOICE, AT(attach.replacement), 0, 0},
    {"trees", KIND_NUMBER, AT(attach.trees), 0, 1u << 20},
    {"identity-places", KIND_IDENTITY, AT(attach.identity_places), 0, 64},
    {"dirty-start", KIND_NUMBER, AT(attach.dirty_start_percent), 0, 100},
    {"dirty-urgent", KIND_NUMBER, AT(attach.dirty_urgent_percent), 1, 100},
    {"max-dirty", KIND_SIZE, AT(attach.max_dirty_bytes), 0, UINT64_MAX},
    {"max-dirty-age", KIND_TIME, AT(attach.max_dirty_age_ns), 0, CBD_TIME_MAX_NS},
    {"idle", KIND_TIME, AT(attach.idle_ns), 0, CBD_TIME_MAX_NS},
    {"space-timeout", KIND_TIME, AT(attach.space_timeout_ns), 0, CBD_TIME_MAX_NS},
    {"writeback-rate", KIND_SIZE, AT(attach.writeback_rate_bytes), 0, CBD_WRITEBACK_RATE_MAX},
    {"scrub-rate", KIND_SIZE, AT(attach.scrub_rate_bytes), 0, CBD_SCRUB_RATE_MAX},
    {"epoch-records", KIND_NUMBER, AT(attach.epoch_records_max), 0, UINT32_MAX},
    {"epoch-bytes", KIND_SIZE, AT(attach.epoch_bytes_max), 0, UINT64_MAX},
    {"queue-depth", KIND_NUMBER, AT(attach.queue_depth), 1, CBD_QUEUE_DEPTH_MAX},
    {"backend-consistency", KIND_NOT, AT(attach.backend_consistency_off), 0, 0},
    {"disk-threads", KIND_NUMBER, AT(disk_threads), 1, CBD_SHIM_DISK_THREADS_MAX},
};

const char front_config_help[] =
    "device=PATH               The cache: devdax, a file (fsdax or not), or a block device.\n"
    "backend=NAME              Serve this backend, as an export of this name. May be repeated;\n"
    "                          default: all that the cache has.\n"
    "backing=PATH              The disk of the backend named last (default: the remembered one).\n"
    "durability=WHEN           ack: an answer means durable (default); flush: that to a flush "
    "does.\n"
    "accept-backing=BOOL       Take a disk that is not as the cache left it (default: false).\n"
    "writeback-on-exit=BOOL    false: leave dirty data in the cache at exit (default: true).\n"
    "fill=BOOL                 Cache what is read (default: true).\n"
    "replacement=POLICY        second-chance (default) or fifo.\n"
    "trees=N                   Index trees, a power of two (default: by the size of the share).\n"
    "identity-places=N         Places of the disk that are compared at the start (default: 64).\n"
    "dirty-start=PERCENT       Write back from this much dirty space on (default: 0).\n"
    "dirty-urgent=PERCENT      Slow writers down from here on (default: 50).\n"
    "max-dirty=SIZE            Never more dirty data than this (default: no bound).\n"
    "max-dirty-age=TIME        Write back what is older (default: no bound).\n"
    "idle=TIME                 Write everything back after so long without a request.\n"
    "space-timeout=TIME        A write waits so long for space without progress (default: 30s).\n"
    "writeback-rate=SIZE       Bytes a second of write-back (default: no limit).\n"
    "scrub-rate=SIZE           Bytes a second of cached data that are verified (default: none).\n"
    "epoch-records=N           Close an epoch of more records (default: 65536).\n"
    "epoch-bytes=SIZE          Close an epoch of more space (default: 1/8 of the share).\n"
    "queue-depth=N             Write-back requests in flight (default: 8).\n"
    "backend-consistency=BOOL  false: the disk alone need not be consistent (default: true).\n"
    "disk-threads=N            Threads that do the requests of each disk (default: 8).\n"
    "record=FILE               Record everything that is done to the devices, for cbd-sim cut. "
    "For\n"
    "                          tests: the file grows as fast as the devices are written.\n"
    "record-max=SIZE           Bound of that file (default: 1G).\n"
    "SIZE is bytes, or has the suffix K, M, G or T. TIME is seconds, or has ms, s, m, h or d.";

void front_config_init(struct front_config *config)
{
    memset(config, 0, sizeof(*config));
    config->disk_threads = 8;
    config->record_max_bytes = UINT64_C(1) << 30;
}

void front_config_free(struct front_config *config)
{
    free(config->device);
    free(config->record);
    for (unsigned i = 0; i < config->backend_count; i++)
        free(config->backends[i].backing);
    memset(config, 0, sizeof(*config));
}

static int bad(char why[FRONT_TEXT_BYTES], const char *key, const char *value, const char *limit)
{
    snprintf(why, FRONT_TEXT_BYTES, "%s: got '%.100s', limit %s", key, value, limit);
    return EINVAL;
}

static int take_bool(const char *key, const char *value, bool *out, char why[FRONT_TEXT_BYTES])
{
    static const char *const yes[] = {"true", "on", "yes", "1"};
    static const char *const no[] = {"false", "off", "no", "0"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *out = strcmp(value, yes[i]) == 0;
            return 0;
        }
    }
    return bad(why, key, value, "true or false");
}

static int take_time(const char *key, const char *value, uint64_t max_ns, uint64_t *out,
                     char why[FRONT_TEXT_BYTES])
{
    static const struct {
        const char *suffix;
        uint64_t ns;
    } units[] = {
        {"ms", UINT64_C(1000000)},           {"s", UINT64_C(1000000000)},
        {"m", 60 * UINT64_C(1000000000)},    {"h", 3600 * UINT64_C(1000000000)},
        {"d", 86400 * UINT64_C(1000000000)}, {"", UINT64_C(1000000000)},
    };
    size_t digits = strspn(value, "0123456789");
    char *rest;
    unsigned long long n;

    errno = 0;
    n = strtoull(value, &rest, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && digits > 0 && errno == 0; i++) {
        if (strcmp(value + digits, units[i].suffix) != 0)
            continue;
        if (n > max_ns / units[i].ns)
            return bad(why, key, value, "about a year");
        *out = n * units[i].ns;
        return 0;
    }
    return bad(why, key, value, "a number with ms, s, m, h or d");
}

static int take_text(char **out, const char *value, char why[FRONT_TEXT_BYTES])
{
    char *copy = realpath(value, NULL); /* a daemon changes its directory */

    if (copy == NULL && errno != ENOMEM)
        copy = strdup(value); /* opening it says what is wrong */
    if (copy == NULL) {
        snprintf(why, FRONT_TEXT_BYTES, "no memory");
        return ENOMEM;
    }
    free(*out);
    *out = copy;
    return 0;
}

/* A file that is not there yet: nbdkit's directory changes when it goes into the background. */
static int take_new(char **out, const char *value, char why[FRONT_TEXT_BYTES])
{
    char *dir = value[0] == '/' ? NULL : getcwd(NULL, 0);
    size_t bytes = (dir != NULL ? strlen(dir) : 0) + strlen(value) + 2;
    char *path = malloc(bytes);

    if (path == NULL || (dir == NULL && value[0] != '/')) {
        free(path);
        free(dir);
        snprintf(why, FRONT_TEXT_BYTES, "no memory, or no current directory");
        return ENOMEM;
    }
    snprintf(path, bytes, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", value);
    free(dir);
    free(*out);
    *out = path;
    return 0;
}

static int take_backend(struct front_config *c, const char *value, char why[FRONT_TEXT_BYTES])
{
    struct front_backend_config *b;

    if (value[0] == '\0' || strlen(value) > CBD_BACKEND_NAME_BYTES)
        return bad(why, "backend", value, "a name of 1..64 bytes");
    for (unsigned i = 0; i < c->backend_count; i++)
        if (strcmp(c->backends[i].name, value) == 0)
            return bad(why, "backend", value, "each name once");
    if (c->backend_count == CBD_BACKENDS)
        return bad(why, "backend", value, "as many as a cache can have");
    b = &c->backends[c->backend_count++];
    snprintf(b->name, sizeof(b->name), "%s", value);
    b->backing = NULL;
    return 0;
}

static int take_backing(struct front_config *c, const char *value, char why[FRONT_TEXT_BYTES])
{
    struct front_backend_config *b;

    if (c->backend_count == 0)
        return bad(why, "backing", value, "behind the backend=NAME that it is for");
    b = &c->backends[c->backend_count - 1];
    if (b->backing != NULL)
        return bad(why, "backing", value, "one for each backend");
    return take_text(&b->backing, value, why);
}

static int take_number(const struct option *o, const char *value, uint64_t min, uint64_t *out,
                       char why[FRONT_TEXT_BYTES])
{
    int error;

    if (o->kind == KIND_SIZE)
        error = cbd_tool_parse_size(o->key, value, out, why, FRONT_TEXT_BYTES);
    else
        error = cbd_tool_parse_number(o->key, value, min, o->max, out, why, FRONT_TEXT_BYTES);
    if (error != 0)
        return EINVAL;
    return *out > o->max ? bad(why, o->key, value, "less") : 0;
}

static int take(struct front_config *c, const struct option *o, const char *value,
                char why[FRONT_TEXT_BYTES])
{
    char *field = (char *)c + o->at;
    uint64_t number = 0;
    bool flag = false;
    int error;

    switch (o->kind) {
    case KIND_DEVICE: /* also a word alone: two of them are a slip, not a choice */
        if (c->device != NULL || value[0] == '\0')
            return bad(why, o->key, value, "one path");
        return take_text(&c->device, value, why);
    case KIND_RECORD:
        return take_new(&c->record, value, why);
    case KIND_BACKEND:
        return take_backend(c, value, why);
    case KIND_BACKING:
        return take_backing(c, value, why);
    case KIND_BOOL:
    case KIND_NOT:
        error = take_bool(o->key, value, &flag, why);
        if (error == 0)
            *(bool *)(void *)field = o->kind == KIND_NOT ? !flag : flag;
        return error;
    case KIND_TIME:
        return take_time(o->key, value, o->max, (uint64_t *)(void *)field, why);
    case KIND_SIZE:
        return take_number(o, value, o->min, (uint64_t *)(void *)field, why);
    case KIND_CHOICE:
        if (strcmp(value, "second-chance") != 0 && strcmp(value, "fifo") != 0)
            return bad(why, o->key, value, "second-chance or fifo");
        c->attach.replacement = value[0] == 'f' ? CBD_REPLACE_FIFO : CBD_REPLACE_SECOND_CHANCE;
        return 0;
    case KIND_DURABILITY:
        if (strcmp(value, "ack") != 0 && strcmp(value, "flush") != 0)
            return bad(why, o->key, value, "ack or flush");
        c->attach.durability = value[0] == 'f' ? CBD_DURABLE_ON_FLUSH : CBD_DURABLE_ON_ACK;
        return 0;
    case KIND_NUMBER:
    case KIND_IDENTITY:
        break;
    }
    error = take_number(o, value, o->min, &number, why);
    if (error == 0)
        *(uint32_t *)(void *)field =
            o->kind == KIND_IDENTITY && number == 0 ? CBD_IDENTITY_NONE : (uint32_t)number;
    return error;
}

int front_config_set(struct front_config *config, const char *key, const char *value, bool *known,
                     char why[FRONT_TEXT_BYTES])
{
    *known = false;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].key, key) != 0)
            continue;
        *known = true;
        return take(config, &options[i], value, why);
    }
    return 0;
}
