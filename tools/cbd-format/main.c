/* SPDX-License-Identifier: BSD-2-Clause */
/* cbd-format: makes a new cache on a device or a file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format_tool.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_options.h"
#include "tool_size.h"
#include "tool_uuid.h"

enum {
    KEY_CREATE = 256,
    KEY_SEGMENT,
    KEY_LABEL,
    KEY_UUID,
    KEY_NO_CHECKSUM,
    KEY_DISCARD,
    KEY_IMAGE,
    KEY_JSON,
    KEY_TYPE,
    KEY_DATA_CRC,
};

static const struct cbd_tool_option options[] = {
    {KEY_CREATE, "create", "SIZE", "make the file first; it must not exist"},
    {KEY_SEGMENT, "segment-size", "SIZE",
     "64K to 64M, a power of two (default: 16M, or 1M below 1G)"},
    {KEY_LABEL, "label", "TEXT", "a name for people, at most 64 bytes"},
    {KEY_UUID, "uuid", "UUID",
     "instead of a random one; together with SOURCE_DATE_EPOCH\n"
     "the device is zeroed and comes out the same each time"},
    {KEY_NO_CHECKSUM, "no-data-checksum", NULL, "do not protect data by checksums"},
    {'n', "dry-run", NULL, "print the layout, write nothing"},
    {'f', "force", NULL, "overwrite a foreign signature or a clean cache, ask nothing"},
    {KEY_DISCARD, "discard-dirty", NULL, "with -f: lose dirty data of the cache that is there"},
    {KEY_IMAGE, "from-image", "FILE",
     "put a metadata image of cbd-dump there, to look at or to\n"
     "repair; it has no data and is not served"},
    {KEY_JSON, "json", NULL, "one JSON document on standard output"},
    {KEY_TYPE, "type", "TYPE", "cbd (the default), or dm-pcache: for the driver of Linux 6.18"},
    {KEY_DATA_CRC, "data-crc", NULL, "with --type dm-pcache: data has checksums"},
};

static const struct cbd_tool_usage usage = {
    .program = "cbd-format",
    .synopsis = "[OPTIONS] DEVICE",
    .summary = "Makes an empty CBD cache on a devdax, a block device or a file.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .footer = "Sizes are bytes, or have the suffix K, M, G or T.\n"
              "Exit codes: 0 formatted, 8 not formatted, 16 wrong usage, 32 you said no.",
};

static int parse_sizes(const struct cbd_tool_parser *parser, struct arguments *a)
{
    char why[256];
    uint64_t size;

    if (cbd_tool_parse_size(parser->key == KEY_CREATE ? "--create" : "--segment-size",
                            parser->argument, &size, why, sizeof(why)) != 0)
        return cbd_tool_usage_error(&usage, "%s", why);
    if (parser->key == KEY_CREATE) {
        if (size == 0 || size % CBD_PAGE_BYTES != 0)
            return cbd_tool_usage_error(&usage, "--create: got %s, limit a multiple of %u",
                                        parser->argument, CBD_PAGE_BYTES);
        a->create_bytes = size;
        return 0;
    }
    if (size < CBD_SEGMENT_BYTES_MIN || size > CBD_SEGMENT_BYTES_MAX || (size & (size - 1)) != 0)
        return cbd_tool_usage_error(&usage,
                                    "--segment-size: got %s, limit a power of two of %u..%u",
                                    parser->argument, CBD_SEGMENT_BYTES_MIN, CBD_SEGMENT_BYTES_MAX);
    a->segment_bytes = (uint32_t)size;
    return 0;
}

static int take_option(const struct cbd_tool_parser *parser, struct arguments *a)
{
    switch (parser->key) {
    case KEY_CREATE:
    case KEY_SEGMENT:
        return parse_sizes(parser, a);
    case KEY_LABEL:
        a->label = parser->argument;
        if (strlen(a->label) > CBD_LABEL_BYTES)
            return cbd_tool_usage_error(&usage, "--label: got %zu bytes, limit %u",
                                        strlen(a->label), CBD_LABEL_BYTES);
        return 0;
    case KEY_UUID:
        a->uuid = parser->argument;
        return 0;
    case KEY_NO_CHECKSUM:
        a->no_data_checksum = true;
        return 0;
    case 'n':
        a->dry_run = true;
        return 0;
    case 'f':
        a->force = true;
        return 0;
    case KEY_DISCARD:
        a->discard_dirty = true;
        return 0;
    case KEY_IMAGE:
        a->from_image = parser->argument;
        return 0;
    case KEY_JSON:
        a->json = true;
        return 0;
    case KEY_TYPE:
        a->pcache = strcmp(parser->argument, "dm-pcache") == 0;
        if (!a->pcache && strcmp(parser->argument, "cbd") != 0)
            return cbd_tool_usage_error(&usage, "--type: got '%s', limit cbd or dm-pcache",
                                        parser->argument);
        return 0;
    case KEY_DATA_CRC:
        a->data_crc = true;
        return 0;
    default:
        abort();
    }
}

static int parse(int argc, char **argv, struct arguments *a, bool *end)
{
    struct cbd_tool_parser parser;
    enum cbd_tool_next next;

    *end = true;
    cbd_tool_options_begin(&parser, &usage, argc, argv);
    while ((next = cbd_tool_options_next(&parser)) == CBD_TOOL_OPTION) {
        int code = take_option(&parser, a);

        if (code != 0)
            return code;
    }
    if (next == CBD_TOOL_EXIT)
        return parser.exit_code;
    if (a->discard_dirty && !a->force)
        return cbd_tool_usage_error(&usage, "--discard-dirty needs -f");
    if (a->from_image != NULL &&
        (a->segment_bytes != 0 || a->label != NULL || a->uuid != NULL || a->no_data_checksum))
        return cbd_tool_usage_error(&usage, "--from-image: the image says what --segment-size, "
                                            "--label, --uuid, --no-data-checksum would");
    if (a->pcache && (a->segment_bytes != 0 || a->label != NULL || a->uuid != NULL ||
                      a->no_data_checksum || a->from_image != NULL))
        return cbd_tool_usage_error(&usage, "--type dm-pcache: has no --segment-size, --label, "
                                            "--uuid, --no-data-checksum, --from-image");
    if (a->data_crc && !a->pcache)
        return cbd_tool_usage_error(&usage, "--data-crc needs --type dm-pcache");
    a->path = parser.operands[0];
    *end = false;
    return 0;
}

/* FNV-1a over uuid and time: any function does, if it is always the same. */
static uint64_t fixed_salt(const struct cbd_format_options *o)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof(o->uuid) + 8; i++) {
        uint8_t byte =
            i < sizeof(o->uuid) ? o->uuid[i] : (uint8_t)(o->created_s >> 8 * (i - sizeof(o->uuid)));

        hash = (hash ^ byte) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Everything but the salt. 0 or an exit code. */
static int make_options(struct arguments *a, struct cbd_format_options *o)
{
    bool fixed_time;

    memset(o, 0, sizeof(*o));
    if (a->label != NULL)
        memcpy(o->label, a->label, strlen(a->label));
    o->segment_bytes = a->segment_bytes;
    o->no_data_checksum = a->no_data_checksum;
    if (cbd_tool_time(&o->created_s, &fixed_time) != 0)
        return CBD_EXIT_USAGE;
    a->reproducible = fixed_time && a->uuid != NULL;
    if (a->uuid != NULL && cbd_tool_uuid_parse(a->uuid, o->uuid) != 0)
        return cbd_tool_usage_error(&usage, "--uuid: got '%s', limit 8-4-4-4-12 hex digits",
                                    a->uuid);
    if (a->uuid == NULL && cbd_tool_uuid_random(o->uuid) != 0) {
        cbd_tool_error_code(NULL, "random numbers", CBD_E_SYSTEM);
        return CBD_EXIT_OPERATIONAL;
    }
    return 0;
}

/* The layout of a device of this size, or the one that the image has. */
static int plan(const struct arguments *a, uint64_t device_bytes, struct cbd_geometry *geo)
{
    int error = 0;

    if (a->from_image == NULL)
        error = cbd_geometry_plan(geo, device_bytes, a->segment_bytes);
    else if (device_bytes >= a->super.geo.device_bytes)
        *geo = a->super.geo;
    else {
        cbd_tool_error(a->path,
                       "too small: got %llu bytes, limit at least %llu, as the "
                       "image has",
                       (unsigned long long)device_bytes,
                       (unsigned long long)a->super.geo.device_bytes);
        return CBD_EXIT_OPERATIONAL;
    }

    if (error == CBD_E_NOSPACE)
        cbd_tool_error(a->path, "too small: got %llu bytes, limit at least %llu",
                       (unsigned long long)device_bytes,
                       (unsigned long long)cbd_geometry_minimum(a->segment_bytes));
    else if (error != 0)
        cbd_tool_error(a->path, "device too large: got %llu bytes, limit 256 TiB",
                       (unsigned long long)device_bytes);
    return error != 0 ? CBD_EXIT_OPERATIONAL : 0;
}

static int write_format(struct arguments *a, struct cbd_tool_device *device,
                        struct cbd_format_options *o, struct cbd_geometry *geo)
{
    int code = format_prepare(a, device, geo, a->reproducible || a->from_image != NULL);
    int error;

    if (code != 0)
        return code;
    if (a->from_image != NULL)
        return format_image_write(a, device, &a->super);
    o->salt = a->reproducible ? fixed_salt(o) : device->env->ops->random(device->env);
    error = cbd_format(device->pm, device->env, o, geo);
    if (error == 0)
        return 0;
    cbd_tool_error_code(a->path, "not formatted", error);
    return CBD_EXIT_OPERATIONAL;
}

/* The file is ours alone: it goes again when anything fails. */
static int create(struct arguments *a, struct cbd_format_options *o)
{
    struct cbd_tool_device device;
    struct cbd_geometry geo;
    int code = plan(a, a->create_bytes, &geo);

    if (code != 0)
        return code;
    if (a->dry_run && access(a->path, F_OK) == 0) {
        cbd_tool_error(a->path, "exists already (--create makes a new file)");
        return CBD_EXIT_OPERATIONAL;
    }
    if (a->dry_run)
        return format_show(a, o, &geo, NULL);
    code = cbd_tool_device_open(&device, a->path, CBD_SHIM_PMEM_CREATE, a->create_bytes);
    if (code != 0)
        return code;
    code = write_format(a, &device, o, &geo);
    if (code == 0)
        code = format_show(a, o, &geo, cbd_shim_pmem_advice(device.pm));
    else
        unlink(a->path);
    cbd_tool_device_close(&device);
    return code;
}

static int overwrite(struct arguments *a, struct cbd_format_options *o)
{
    struct cbd_tool_device device;
    struct cbd_geometry geo;
    uint64_t least_bytes = a->from_image == NULL ? cbd_geometry_minimum(a->segment_bytes) : 0;
    int code = cbd_tool_device_open(&device, a->path, a->dry_run ? CBD_SHIM_PMEM_READONLY : 0,
                                    least_bytes);

    if (code != 0)
        return code;
    code = plan(a, device.pm->size_bytes, &geo);
    if (code == 0)
        code = format_may_overwrite(a, &device);
    if (code == 0 && !a->dry_run)
        code = write_format(a, &device, o, &geo);
    if (code == 0)
        code = format_show(a, o, &geo, cbd_shim_pmem_advice(device.pm));
    cbd_tool_device_close(&device);
    return code;
}

/* What the image says stands in for options. */
static void options_of_image(const struct cbd_super *super, struct cbd_format_options *o)
{
    memcpy(o->uuid, super->uuid, sizeof(o->uuid));
    memcpy(o->label, super->label, sizeof(o->label));
    o->created_s = super->created_s;
    o->no_data_checksum = (super->incompat & CBD_INCOMPAT_DATA_CHECKSUMS) == 0;
}

int main(int argc, char **argv)
{
    struct cbd_format_options format_options;
    static struct arguments a;
    bool end;
    int code = parse(argc, argv, &a, &end);

    if (end)
        return code;
    if (a.pcache)
        return format_pcache(&a);
    code = make_options(&a, &format_options);
    if (code == 0 && a.from_image != NULL) {
        code = format_image_open(&a, &a.super);
        if (code == 0)
            options_of_image(&a.super, &format_options);
    }
    if (code != 0)
        return code;
    code = a.create_bytes != 0 ? create(&a, &format_options) : overwrite(&a, &format_options);
    if (a.from_image != NULL)
        cbd_tool_device_close(&a.image);
    return code;
}
