/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decompressed input.
 *
 *   fd or memory --fetch_raw()--> raw[raw_off, raw_len) --decode_*()--> text[begin, end) --> lines
 *
 * fill() adds at least one byte to text, or finds the end. Each round of it consumes raw bytes,
 * produces text, or stops: that bounds the work by the size of input and output.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "trace/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bzlib.h>
#include <zlib.h>
#include <zstd.h>

#include "trace/trace.h"

#define RAW_BYTES 65536u
#define TEXT_BYTES (2u * SIM_TRACE_LINE_BYTES_MAX)
#define MAGIC_BYTES 6u        /* enough to tell every codec */
#define GZIP_WINDOW (15 + 16) /* largest window; 16: gzip wrapper only, as zlib counts it */
#define ZSTD_WINDOW_LOG_MAX 27
#define DECODE_BYTES_MAX 1073741824u /* zlib counts in unsigned int */

static const char xz_magic[] = {'\xFD', '7', 'z', 'X', 'Z', '\0'};

enum codec { CODEC_PLAIN, CODEC_GZIP, CODEC_BZIP2, CODEC_ZSTD };

struct sim_stream {
    int fd; /* -1: memory, all of it in raw from the start */
    uint8_t *raw_buffer;
    const uint8_t *raw;
    size_t raw_off;
    size_t raw_len;
    bool raw_ended; /* nothing comes behind raw_len */

    enum codec codec;
    bool inside; /* a gzip member or zstd frame has begun and is not complete */
    bool gzip_ready;
    z_stream gzip;
    bool bzip2_ready;
    bz_stream bzip2;
    ZSTD_DStream *zstd;

    size_t begin;
    size_t end;
    bool text_ended;
    uint64_t text_bytes;
    uint64_t text_bytes_max;

    int error;
    char why[160];
    char text[TEXT_BYTES];
};

__attribute__((format(printf, 3, 4))) static int fail(struct sim_stream *s, int error,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
    s->error = error;
    return error;
}

/* Adds raw bytes behind those that are left, or finds that there are no more. */
static int fetch_raw(struct sim_stream *s)
{
    size_t left = s->raw_len - s->raw_off;
    ssize_t got;

    memmove(s->raw_buffer, s->raw + s->raw_off, left);
    s->raw_off = 0;
    s->raw_len = left;
    do {
        got = read(s->fd, s->raw_buffer + left, RAW_BYTES - left);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail(s, CBD_E_SYSTEM, "cannot be read: %s", strerror(errno));
    }
    s->raw_len += (size_t)got;
    s->raw_ended = got == 0;
    return 0;
}

static int decode_plain(struct sim_stream *s, char *out, size_t cap, size_t *got)
{
    size_t have = s->raw_len - s->raw_off;

    *got = have < cap ? have : cap;
    memcpy(out, s->raw + s->raw_off, *got);
    s->raw_off += *got;
    return 0;
}

static int decode_gzip(struct sim_stream *s, char *out, size_t cap, size_t *got)
{
    size_t have = s->raw_len - s->raw_off;
    size_t offered = have < DECODE_BYTES_MAX ? have : DECODE_BYTES_MAX;
    z_stream *z = &s->gzip;
    int result;

    if (!s->inside && inflateReset(z) != Z_OK) {
        return fail(s, CBD_E_INVALID, "gzip data cannot be read");
    }
    /* zlib only reads from next_in; its type lacks const unless ZLIB_CONST is defined */
    z->next_in = (Bytef *)(uintptr_t)(s->raw + s->raw_off);
    z->avail_in = (uInt)offered;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)cap;
    result = inflate(z, Z_NO_FLUSH);
    s->raw_off += offered - z->avail_in;
    *got = cap - z->avail_out;
    s->inside = result != Z_STREAM_END;
    if (result == Z_MEM_ERROR) {
        return fail(s, CBD_E_NOMEM, "no memory to read gzip data");
    }
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return fail(s, CBD_E_INVALID, "damaged gzip data: %s", z->msg ? z->msg : "no reason given");
    }
    return 0;
}

static int decode_bzip2(struct sim_stream *s, char *out, size_t cap, size_t *got)
{
    bz_stream *z = &s->bzip2;
    size_t offered = s->raw_len - s->raw_off;
    int result;

    if (!s->inside && offered > 0) { /* another member */
        if (s->bzip2_ready) {
            BZ2_bzDecompressEnd(z);
        }
        memset(z, 0, sizeof(*z));
        s->bzip2_ready = BZ2_bzDecompressInit(z, 0, 0) == BZ_OK;
        if (!s->bzip2_ready) {
            return fail(s, CBD_E_NOMEM, "no memory to read bzip2 data");
        }
    }
    if (offered > DECODE_BYTES_MAX) {
        offered = DECODE_BYTES_MAX;
    }
    /* libbz2 does not write to next_in; its type lacks const */
    z->next_in = (char *)(uintptr_t)(s->raw + s->raw_off);
    z->avail_in = (unsigned)offered;
    z->next_out = out;
    z->avail_out = (unsigned)cap;
    result = BZ2_bzDecompress(z);
    s->raw_off += offered - z->avail_in;
    *got = cap - z->avail_out;
    s->inside = result != BZ_STREAM_END;
    if (result == BZ_MEM_ERROR) {
        return fail(s, CBD_E_NOMEM, "no memory to read bzip2 data");
    }
    if (result != BZ_OK && result != BZ_STREAM_END) {
        return fail(s, CBD_E_INVALID, "damaged bzip2 data (libbz2 says %d)", result);
    }
    return 0;
}

static int decode_zstd(struct sim_stream *s, char *out, size_t cap, size_t *got)
{
    ZSTD_inBuffer in = {s->raw + s->raw_off, s->raw_len - s->raw_off, 0};
    ZSTD_outBuffer to = {out, cap, 0};
    size_t result = ZSTD_decompressStream(s->zstd, &to, &in);

    s->raw_off += in.pos;
    *got = to.pos;
    if (ZSTD_isError(result)) {
        return fail(s, CBD_E_INVALID, "damaged zstd data: %s", ZSTD_getErrorName(result));
    }
    s->inside = result != 0;
    return 0;
}

static int decode(struct sim_stream *s, char *out, size_t cap, size_t *got)
{
    switch (s->codec) {
    case CODEC_GZIP:
        return decode_gzip(s, out, cap, got);
    case CODEC_BZIP2:
        return decode_bzip2(s, out, cap, got);
    case CODEC_ZSTD:
        return decode_zstd(s, out, cap, got);
    case CODEC_PLAIN:
        break;
    }
    return decode_plain(s, out, cap, got);
}

static int end_of_raw(struct sim_stream *s)
{
    if (s->inside) {
        return fail(s, CBD_E_INVALID, "the %s data is cut off: the file is incomplete",
                    s->codec == CODEC_GZIP    ? "gzip"
                    : s->codec == CODEC_BZIP2 ? "bzip2"
                                              : "zstd");
    }
    s->text_ended = true;
    return 0;
}

/* Adds at least one byte to text or sets text_ended. The caller has left room. */
static int fill(struct sim_stream *s)
{
    size_t got = 0;

    if (s->error != 0) {
        return s->error;
    }
    if (s->begin > 0) { /* else a long line in tiny pieces would cost its length squared */
        memmove(s->text, s->text + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
    while (got == 0 && !s->text_ended) {
        size_t offered;
        size_t off;
        int rc = 0;

        if (s->raw_off == s->raw_len && !s->raw_ended) {
            rc = fetch_raw(s);
        }
        if (rc != 0) {
            return rc;
        }
        offered = s->raw_len - s->raw_off;
        if (offered == 0 && !s->inside) {
            if (s->raw_ended) {
                return end_of_raw(s);
            }
            continue;
        }
        /* without input too: a decoder may still hold output */
        off = s->raw_off;
        rc = decode(s, s->text + s->end, TEXT_BYTES - s->end, &got);
        if (rc != 0) {
            return rc;
        }
        if (got == 0 && s->raw_off == off) {
            if (offered > 0) {
                return fail(s, CBD_E_INVALID, "compressed data that leads nowhere");
            }
            if (s->raw_ended) {
                return end_of_raw(s);
            }
        }
    }
    s->end += got;
    s->text_bytes += got;
    if (s->text_bytes_max != 0 && s->text_bytes > s->text_bytes_max) {
        return fail(s, CBD_E_INVALID, "more than %" PRIu64 " bytes of text, the limit that was set",
                    s->text_bytes_max);
    }
    return 0;
}

static bool starts_with(const struct sim_stream *s, const char *magic, size_t len)
{
    return s->raw_len >= len && memcmp(s->raw, magic, len) == 0;
}

static int choose_codec(struct sim_stream *s)
{
    while (s->raw_len < MAGIC_BYTES && !s->raw_ended) {
        int rc = fetch_raw(s);

        if (rc != 0) {
            return rc;
        }
    }
    if (s->raw_len == 0) {
        return fail(s, CBD_E_INVALID, "is empty");
    }
    if (starts_with(s, xz_magic, sizeof(xz_magic))) {
        return fail(s, CBD_E_INVALID, "is compressed with xz; gzip, bzip2 and zstd are read");
    }
    if (starts_with(s, "\x1F\x8B", 2)) {
        s->codec = CODEC_GZIP;
        if (inflateInit2(&s->gzip, GZIP_WINDOW) != Z_OK) {
            return fail(s, CBD_E_NOMEM, "no memory to read gzip data");
        }
        s->gzip_ready = true;
    } else if (starts_with(s, "BZh", 3)) {
        s->codec = CODEC_BZIP2;
    } else if (starts_with(s, "\x28\xB5\x2F\xFD", 4) ||
               (s->raw_len >= 4 && (s->raw[0] & 0xF0) == 0x50 &&
                memcmp(s->raw + 1, "\x2A\x4D\x18", 3) == 0)) { /* a skippable frame comes first */
        s->codec = CODEC_ZSTD;
        s->zstd = ZSTD_createDStream();
        if (s->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax,
                                                                   ZSTD_WINDOW_LOG_MAX))) {
            return fail(s, CBD_E_NOMEM, "no memory to read zstd data");
        }
    }
    return 0;
}

static struct sim_stream *stream_new(uint64_t text_bytes_max)
{
    struct sim_stream *s = calloc(1, sizeof(*s));

    if (s != NULL) {
        s->fd = -1;
        s->text_bytes_max = text_bytes_max;
    }
    return s;
}

int sim_stream_open(const char *path, uint64_t text_bytes_max, struct sim_stream **stream)
{
    struct sim_stream *s = stream_new(text_bytes_max);
    struct stat st;

    *stream = s;
    if (s == NULL) {
        return CBD_E_NOMEM;
    }
    s->raw_buffer = malloc(RAW_BYTES);
    if (s->raw_buffer == NULL) {
        return fail(s, CBD_E_NOMEM, "no memory for a buffer");
    }
    s->raw = s->raw_buffer;
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (s->fd < 0) {
        return fail(s, CBD_E_SYSTEM, "cannot be opened: %s", strerror(errno));
    }
    if (fstat(s->fd, &st) != 0) {
        return fail(s, CBD_E_SYSTEM, "cannot be examined: %s", strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return fail(s, CBD_E_INVALID, "is a directory, not a trace");
    }
    return choose_codec(s);
}

int sim_stream_open_memory(const void *bytes, size_t len_bytes, uint64_t text_bytes_max,
                           struct sim_stream **stream)
{
    struct sim_stream *s = stream_new(text_bytes_max);

    *stream = s;
    if (s == NULL) {
        return CBD_E_NOMEM;
    }
    s->raw = bytes;
    s->raw_len = len_bytes;
    s->raw_ended = true;
    return choose_codec(s);
}

int sim_stream_peek(struct sim_stream *stream, size_t want_bytes, const char **bytes,
                    size_t *len_bytes)
{
    struct sim_stream *s = stream;

    if (want_bytes > SIM_TRACE_LINE_BYTES_MAX) {
        want_bytes = SIM_TRACE_LINE_BYTES_MAX;
    }
    while (s->end - s->begin < want_bytes && !s->text_ended) {
        int rc = fill(s);

        if (rc != 0) {
            return rc;
        }
    }
    *bytes = s->text + s->begin;
    *len_bytes = s->end - s->begin;
    return 0;
}

static int too_long(struct sim_stream *s)
{
    return fail(s, CBD_E_INVALID, "the line is longer than %u bytes: not a text trace",
                SIM_TRACE_LINE_BYTES_MAX);
}

int sim_stream_line(struct sim_stream *stream, const char **line, size_t *len_bytes)
{
    struct sim_stream *s = stream;
    size_t scanned = 0;

    for (;;) {
        const char *from = s->text + s->begin;
        size_t have = s->end - s->begin;
        const char *lf = memchr(from + scanned, '\n', have - scanned);
        int rc;

        if (lf != NULL || (have > 0 && s->text_ended)) {
            size_t len = lf != NULL ? (size_t)(lf - from) : have;

            s->begin += len + (lf != NULL ? 1 : 0);
            if (len > 0 && from[len - 1] == '\r') {
                len--;
            }
            if (len > SIM_TRACE_LINE_BYTES_MAX) {
                return too_long(s);
            }
            *line = from;
            *len_bytes = len;
            return 1;
        }
        if (s->text_ended) {
            return 0;
        }
        if (have > SIM_TRACE_LINE_BYTES_MAX + 1) {
            return too_long(s);
        }
        scanned = have;
        rc = fill(s);
        if (rc != 0) {
            return rc;
        }
    }
}

int sim_stream_take(struct sim_stream *stream, size_t len_bytes, const char **bytes)
{
    struct sim_stream *s = stream;

    while (s->end - s->begin < len_bytes && !s->text_ended) {
        int rc = fill(s);

        if (rc != 0) {
            return rc;
        }
    }
    if (s->end - s->begin < len_bytes) {
        return fail(s, CBD_E_INVALID, "the last record is cut off after %zu of %zu bytes",
                    s->end - s->begin, len_bytes);
    }
    *bytes = s->text + s->begin;
    s->begin += len_bytes;
    return 1;
}

int sim_stream_bad(struct sim_stream *stream, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(stream->why, sizeof(stream->why), format, args);
    va_end(args);
    stream->error = CBD_E_INVALID;
    return CBD_E_INVALID;
}

const char *sim_stream_why(const struct sim_stream *stream)
{
    return stream->why;
}

void sim_stream_close(struct sim_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    if (stream->gzip_ready) {
        inflateEnd(&stream->gzip);
    }
    if (stream->bzip2_ready) {
        BZ2_bzDecompressEnd(&stream->bzip2);
    }
    ZSTD_freeDStream(stream->zstd);
    free(stream->raw_buffer);
    free(stream);
}
