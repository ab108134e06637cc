/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decompressed input: bytes of a file or of memory, plain, gzip or bzip2 (also several members) or
 * zstd (also several frames), cut into lines or other pieces. Memory: two fixed buffers, and a zstd window of at most
 * 128 MiB, which is what the zstd tool accepts by default.
 *
 * Errors are CBD_E_INVALID, CBD_E_SYSTEM or CBD_E_NOMEM; sim_stream_why() says more. An error is
 * repeated by every later call.
 */
#ifndef SIM_TRACE_STREAM_H
#define SIM_TRACE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/errors.h"

struct sim_stream;

/*
 * text_bytes_max: more decompressed bytes are an error; 0 for no limit. *stream is set on errors
 * too, so that the reason can be asked for, and has to be closed; NULL only when memory ran out.
 */
CBD_MUST_CHECK int sim_stream_open(const char *path, uint64_t text_bytes_max,
                                   struct sim_stream **stream);
/* The bytes stay the caller's and must live until close. */
CBD_MUST_CHECK int sim_stream_open_memory(const void *bytes, size_t len_bytes,
                                          uint64_t text_bytes_max, struct sim_stream **stream);

/*
 * Looks at the next bytes without consuming them: at least want_bytes (SIM_TRACE_LINE_BYTES_MAX at
 * most), or fewer when the input ends before. *bytes is valid until the next call.
 */
CBD_MUST_CHECK int sim_stream_peek(struct sim_stream *stream, size_t want_bytes, const char **bytes,
                                   size_t *len_bytes);

/*
 * 1: *line is the next line without its LF or CR LF, valid until the next call; the last line
 * needs no line end. 0: the end. Else an error.
 */
CBD_MUST_CHECK int sim_stream_line(struct sim_stream *stream, const char **line, size_t *len_bytes);

/*
 * 1: *bytes are the next len_bytes, at most twice SIM_TRACE_LINE_BYTES_MAX, consumed, and valid until
 * the next call. CBD_E_INVALID: the input ends before. len_bytes > 0.
 */
CBD_MUST_CHECK int sim_stream_take(struct sim_stream *stream, size_t len_bytes, const char **bytes);

/* For a reader that finds the input damaged as a whole: keeps the text, returns CBD_E_INVALID. */
__attribute__((format(printf, 2, 3))) int sim_stream_bad(struct sim_stream *stream,
                                                         const char *format, ...);

const char *sim_stream_why(const struct sim_stream *stream); /* of the last error; else "" */
void sim_stream_close(struct sim_stream *stream);            /* NULL is allowed */

#endif
