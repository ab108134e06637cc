/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other names for the people who get a metadata image. Equal values stay equal, different ones stay
 * different, and without the key nobody gets back.
 */
#include <string.h>

#include "image.h"

enum domain { UUID = 1, SALT, CHECKSUM, TEXT };

/* A keyed hash of 64 bits (the finalizer of splitmix64, once for each word). */
static uint64_t mix(const struct cbd_image *im, enum domain domain, uint64_t a, uint64_t b)
{
    uint64_t words[5] = {im->options->key[0], im->options->key[1], (uint64_t)domain, a, b};
    uint64_t h = 0;

    for (unsigned i = 0; i < 5; i++) {
        h = (h ^ words[i]) + UINT64_C(0x9e3779b97f4a7c15);
        h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
        h ^= h >> 31;
    }
    return h;
}

/* No UUID, as of an entry that is free, stays none. */
static void hide_uuid(const struct cbd_image *im, uint8_t uuid[16])
{
    uint64_t old[2], new[2];

    memcpy(old, uuid, 16);
    if ((old[0] | old[1]) == 0)
        return;
    new[0] = mix(im, UUID, old[0], old[1]);
    new[1] = mix(im, UUID, old[1], new[0]);
    memcpy(uuid, new, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* one that is random, as any other */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/*
 * `stem` and eight digits that stand for the old text, which is replaced; no text stays none. What
 * stands behind the end of a text counts: two copies may differ in nothing else.
 */
static void hide_text(const struct cbd_image *im, char *text, size_t len_bytes, const char *stem)
{
    size_t n = strlen(stem), used = 0;
    uint64_t h = 0;

    for (size_t i = 0; i < len_bytes; i++) {
        h = mix(im, TEXT, h, (uint8_t)text[i]);
        used = text[i] != '\0' ? i + 1 : used;
    }
    memset(text, 0, len_bytes);
    if (used == 0)
        return;
    memcpy(text, stem, n);
    for (unsigned i = 0; i < 8; i++)
        text[n + i] = "0123456789abcdef"[h >> 4 * i & 15];
}

void cbd_image_hide_super(const struct cbd_image *im, struct cbd_super *super)
{
    hide_uuid(im, super->uuid);
    super->salt = mix(im, SALT, super->salt, 0);
    hide_text(im, super->label, sizeof(super->label), "label");
}

void cbd_image_hide_backend(const struct cbd_image *im, struct cbd_backend_config *b)
{
    hide_uuid(im, b->uuid);
    hide_text(im, b->name, sizeof(b->name), "backend");
    hide_text(im, b->path, sizeof(b->path), "/backing");
}

/* Four rounds over the halves: a permutation, so that different checksums stay different. */
uint32_t cbd_image_hide_crc(const struct cbd_image *im, uint32_t crc)
{
    uint32_t left = crc >> 16, right = crc & 0xffffu;

    for (uint64_t round = 0; round < 4; round++) {
        uint32_t next = left ^ (uint32_t)(mix(im, CHECKSUM, round, right) & 0xffffu);

        left = right;
        right = next;
    }
    return left << 16 | right;
}
