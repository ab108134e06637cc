/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of a metadata image share: image.c walks, image_anon.c makes other names. */
#ifndef CBD_SRC_IMAGE_H
#define CBD_SRC_IMAGE_H

#include "cbd/image.h"
#include "engine.h"

struct cbd_image {
    struct cbd_cache cache; /* as it is; what scan.c needs */
    struct cbd_cache now;   /* seeds of the image: pm, super and seed only */
    const struct cbd_image_options *options;
    struct cbd_image_summary *out;
};

/* image_anon.c: what stands in the image instead. Pure functions of the key and the old value. */
void cbd_image_hide_super(const struct cbd_image *im, struct cbd_super *super);
void cbd_image_hide_backend(const struct cbd_image *im, struct cbd_backend_config *b);
uint32_t cbd_image_hide_crc(const struct cbd_image *im, uint32_t crc);

#endif
