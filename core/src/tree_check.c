/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks the invariants of tree_node.h over a whole tree. */
#include "tree_node.h"

struct totals {
    uint64_t extents;
    uint64_t nodes;
};

/* T2 and T3 for a leaf whose range is [lower, upper]. */
static bool leaf_valid(const struct cbd_tree_node *leaf, uint64_t lower, uint64_t upper)
{
    uint64_t at = lower;

    if (leaf->count > CBD_TREE_LEAF_MAX)
        return false;
    for (unsigned i = 0; i < leaf->count; i++) {
        uint64_t w0 = leaf->leaf.w0[i];
        uint64_t w2 = leaf->leaf.w2[i];

        if ((w0 & CBD_TREE_LEN_MAX) == 0 || cbd_tree_words_start(w0) < at ||
            cbd_tree_words_end(w0) > upper)
            return false;
        if (w2 >> CBD_TREE_KIND_SHIFT > CBD_EXTENT_LOST)
            return false;
        if (w2 >> CBD_TREE_KIND_SHIFT != CBD_EXTENT_DATA && w2 << (64 - CBD_TREE_KIND_SHIFT) != 0)
            return false;
        at = cbd_tree_words_end(w0);
    }
    return true;
}

/* Recursion ends at CBD_TREE_HEIGHT_MAX, since levels descend by one. */
static bool node_valid(const struct cbd_tree_node *node, unsigned level, uint64_t lower,
                       uint64_t upper, struct totals *totals)
{
    if (!node || node->level != level || node->count == 0)
        return false;
    totals->nodes++;
    if (level == 0) {
        totals->extents += node->count;
        return leaf_valid(node, lower, upper);
    }
    if (node->count > CBD_TREE_INNER_MAX)
        return false;
    for (unsigned i = 0; i < node->count; i++) {
        uint64_t child_upper = i + 1u < node->count ? node->inner.key[i] : upper;

        if (child_upper < lower || child_upper > upper ||
            !node_valid(node->inner.child[i], level - 1, lower, child_upper, totals))
            return false;
        lower = child_upper;
    }
    return true;
}

bool cbd_tree_valid(const struct cbd_tree *tree)
{
    struct totals totals = {0};

    if (!tree->root)
        return tree->height == 0 && tree->extents == 0 && tree->nodes == 0;
    if (tree->height == 0 || tree->height > CBD_TREE_HEIGHT_MAX)
        return false;
    if (tree->height > 1 && tree->root->count < 2)
        return false;
    if (!node_valid(tree->root, tree->height - 1, 0, CBD_TREE_POS_MAX, &totals))
        return false;
    return totals.extents == tree->extents && totals.nodes == tree->nodes;
}
