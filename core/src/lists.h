/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of its lists write-back has a segment in. A list is walked from its head to the first record
 * of a later epoch, so along a list epochs must not fall.
 *
 *   epochs -->    5         9        12
 *   list 0   [ 3  |--][-----|-][-----|-------- open, of stream 0
 *   list 1      [-|---------|------][|--]
 *
 * A stream fills one segment after the other, so a list for each stream is always enough, and the
 * lists can be made from the epochs alone: each segment, by rising epochs, goes to any list that has
 * ended. Only an open one has to be in the list of its stream.
 */
#ifndef CBD_LISTS_H
#define CBD_LISTS_H

#include <stdbool.h>
#include <stdint.h>

#define CBD_LISTS_FIT UINT32_MAX

/* A segment with dirty records. */
struct cbd_span {
    uint64_t first, last; /* epochs of these */
    uint32_t id;
    uint8_t stream; /* in: what the entry says, below the number of streams; out: its list */
    bool open;      /* at most one of each stream */
};

/*
 * Sorts the spans as they follow each other in the lists, and gives each a list: its own stream's
 * where that fits. Returns the id of a segment for which there is none; CBD_LISTS_FIT: all have one.
 */
uint32_t cbd_lists_make(struct cbd_span *spans, uint32_t count, uint32_t streams);

#endif
