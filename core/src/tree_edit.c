/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structural edits of a tree: room for an extent, and what a removal leaves behind.
 *
 *   put     a full leaf gives extents to a neighbour under the same parent, or is split; splits
 *           go up while parents are full.
 *   remove  an empty node goes back to the pool; a small one is merged with a neighbour under the
 *           same parent when both fit; the root gives way to its only child.
 */
#include "tree_node.h"

#include <assert.h>

/* memmove() of whole words (L1). */
static void words_move(_Atomic(uint64_t) *dst, const _Atomic(uint64_t) *src, unsigned n)
{
    if (dst <= src)
        for (unsigned i = 0; i < n; i++)
            CBD_TREE_SET(dst[i], CBD_TREE_GET(src[i]));
    else
        for (unsigned i = n; i-- > 0;)
            CBD_TREE_SET(dst[i], CBD_TREE_GET(src[i]));
}

static void children_move(_Atomic(struct cbd_tree_node *) *dst,
                          const _Atomic(struct cbd_tree_node *) *src, unsigned n)
{
    if (dst <= src)
        for (unsigned i = 0; i < n; i++)
            CBD_TREE_SET(dst[i], CBD_TREE_GET(src[i]));
    else
        for (unsigned i = n; i-- > 0;)
            CBD_TREE_SET(dst[i], CBD_TREE_GET(src[i]));
}

static void set_count(struct cbd_tree_node *node, unsigned count)
{
    CBD_TREE_SET(node->count, (uint16_t)count);
}

static inline void extent_move(struct cbd_tree_node *dst, unsigned to,
                               const struct cbd_tree_node *src, unsigned from)
{
    CBD_TREE_SET(dst->leaf.w0[to], CBD_TREE_GET(src->leaf.w0[from]));
    CBD_TREE_SET(dst->leaf.w1[to], CBD_TREE_GET(src->leaf.w1[from]));
    CBD_TREE_SET(dst->leaf.w2[to], CBD_TREE_GET(src->leaf.w2[from]));
}

/* Moves n extents between places of leaves (or of one leaf). */
static void leaf_move(struct cbd_tree_node *dst, unsigned to, const struct cbd_tree_node *src,
                      unsigned from, unsigned n)
{
    /* One loop, not three: how often it turns is not to be foreseen, and each end would cost. */
    if (dst != src || to <= from)
        for (unsigned i = 0; i < n; i++)
            extent_move(dst, to + i, src, from + i);
    else
        for (unsigned i = n; i-- > 0;)
            extent_move(dst, to + i, src, from + i);
}

static uint64_t leaf_first(const struct cbd_tree_node *leaf)
{
    return cbd_tree_words_start(leaf->leaf.w0[0]);
}

void cbd_tree_leaf_store(struct cbd_tree *tree, struct cbd_tree_path *path,
                         const struct cbd_tree_words *w)
{
    struct cbd_tree_node *leaf = path->node[0];
    unsigned i = path->idx[0];

    assert(leaf->count < CBD_TREE_LEAF_MAX);
    leaf_move(leaf, i + 1, leaf, i, leaf->count - i);
    CBD_TREE_SET(leaf->leaf.w0[i], w->w0);
    CBD_TREE_SET(leaf->leaf.w1[i], w->w1);
    CBD_TREE_SET(leaf->leaf.w2[i], w->w2);
    set_count(leaf, leaf->count + 1u);
    cbd_count(&tree->extents, 1);
    /* The range was free, so the neighbour starts at or after the end of w (T3). */
    if (path->upper && *path->upper < cbd_tree_words_end(w->w0))
        CBD_TREE_SET(*path->upper, cbd_tree_words_end(w->w0));
}

/* Inserts child with the separator before it at place i > 0 of a node with room. */
static void inner_store(struct cbd_tree_node *node, unsigned i, uint64_t key,
                        struct cbd_tree_node *child)
{
    assert(i > 0 && i <= node->count && node->count < CBD_TREE_INNER_MAX);
    children_move(&node->inner.child[i + 1], &node->inner.child[i], node->count - i);
    words_move(&node->inner.key[i], &node->inner.key[i - 1], node->count - i);
    CBD_TREE_SET(node->inner.child[i], child);
    CBD_TREE_SET(node->inner.key[i - 1], key);
    set_count(node, node->count + 1u);
}

/*
 * Splits a full inner node and stores child at place i > 0. Returns the new right half and the
 * separator before it. An append leaves the left half full.
 */
static struct cbd_tree_node *inner_split(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                                         struct cbd_tree_node *node, unsigned i, uint64_t *key,
                                         struct cbd_tree_node *child)
{
    struct cbd_tree_node *right = cbd_tree_pool_take(pool, tree, node->level);
    const unsigned half = CBD_TREE_INNER_MAX / 2;
    uint64_t child_key = *key;

    if (i == CBD_TREE_INNER_MAX) {
        CBD_TREE_SET(right->inner.child[0], child);
        set_count(right, 1);
        return right;
    }
    *key = node->inner.key[half - 1];
    children_move(right->inner.child, &node->inner.child[half], CBD_TREE_INNER_MAX - half);
    words_move(right->inner.key, &node->inner.key[half], CBD_TREE_INNER_MAX - half - 1);
    set_count(right, CBD_TREE_INNER_MAX - half);
    set_count(node, half);
    if (i <= half)
        inner_store(node, i, child_key, child);
    else
        inner_store(right, i - half, child_key, child);
    return right;
}

/* Hangs child, a new right neighbour of the leaf of path, into the tree; key is before it. */
static void add_child(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                      const struct cbd_tree_path *path, uint64_t key, struct cbd_tree_node *child)
{
    struct cbd_tree_node *root;

    for (unsigned level = 1; level < tree->height; level++) {
        struct cbd_tree_node *node = path->node[level];
        unsigned i = path->idx[level] + 1;

        if (node->count < CBD_TREE_INNER_MAX) {
            inner_store(node, i, key, child);
            return;
        }
        child = inner_split(pool, tree, node, i, &key, child);
    }
    assert(tree->height < CBD_TREE_HEIGHT_MAX);
    root = cbd_tree_pool_take(pool, tree, tree->height);
    CBD_TREE_SET(root->inner.child[0], tree->root);
    set_count(root, 1);
    inner_store(root, 1, key, child);
    CBD_TREE_SET(tree->root, root);
    CBD_TREE_SET(tree->height, tree->height + 1);
}

/* An append splits off an empty leaf that starts at `start`, else the upper half moves. */
static void leaf_split(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                       const struct cbd_tree_path *path, uint64_t start)
{
    struct cbd_tree_node *leaf = path->node[0];
    struct cbd_tree_node *right = cbd_tree_pool_take(pool, tree, 0);
    uint64_t key = start;

    if (path->idx[0] < leaf->count) {
        const unsigned half = CBD_TREE_LEAF_MAX / 2;

        leaf_move(right, 0, leaf, half, leaf->count - half);
        set_count(right, leaf->count - half);
        set_count(leaf, half);
        key = leaf_first(right);
    }
    add_child(pool, tree, path, key, right);
}

/* Half of the places that are free in a neighbour; 0 when it is not worth the move. */
static unsigned leaf_share(const struct cbd_tree_node *neighbour)
{
    unsigned free_places = CBD_TREE_LEAF_MAX - neighbour->count;

    return free_places < 4 ? 0 : free_places / 2;
}

/*
 * Makes room in the neighbourhood of a full leaf, so that the next descent to `start` ends at a
 * leaf with a free place. Left first: what ascends then fills up what it leaves behind.
 */
static void make_room(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                      const struct cbd_tree_path *path, uint64_t start)
{
    struct cbd_tree_node *leaf = path->node[0];
    struct cbd_tree_node *parent = tree->height > 1 ? path->node[1] : NULL;
    unsigned at = parent ? path->idx[1] : 0;

    if (parent && at > 0) {
        struct cbd_tree_node *left = parent->inner.child[at - 1];
        unsigned n = leaf_share(left);

        if (n > 0) {
            leaf_move(left, left->count, leaf, 0, n);
            set_count(left, left->count + n);
            leaf_move(leaf, 0, leaf, n, leaf->count - n);
            set_count(leaf, leaf->count - n);
            CBD_TREE_SET(parent->inner.key[at - 1], leaf_first(leaf));
            return;
        }
    }
    if (parent && at + 1u < parent->count) {
        struct cbd_tree_node *right = parent->inner.child[at + 1];
        unsigned n = leaf_share(right);

        if (path->idx[0] == leaf->count && right->count < CBD_TREE_LEAF_MAX) {
            /* Behind the last extent: it may as well be the first one of the neighbour. */
            CBD_TREE_SET(parent->inner.key[at], start);
            return;
        }
        if (n > 0) {
            leaf_move(right, n, right, 0, right->count);
            leaf_move(right, 0, leaf, leaf->count - n, n);
            set_count(right, right->count + n);
            set_count(leaf, leaf->count - n);
            CBD_TREE_SET(parent->inner.key[at], leaf_first(right));
            return;
        }
    }
    leaf_split(pool, tree, path, start);
}

void cbd_tree_edit_put(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                       const struct cbd_tree_words *w)
{
    uint64_t start = cbd_tree_words_start(w->w0);
    struct cbd_tree_path path;

    if (!tree->root) {
        CBD_TREE_SET(tree->root, cbd_tree_pool_take(pool, tree, 0));
        CBD_TREE_SET(tree->height, 1);
    }
    cbd_tree_path_descend(tree, start, &path);
    if (path.node[0]->count == CBD_TREE_LEAF_MAX) {
        make_room(pool, tree, &path, start);
        cbd_tree_path_descend(tree, start, &path);
    }
    cbd_tree_leaf_store(tree, &path, w);
}

/* Takes child i out of its parent; its range goes to a neighbour. The child itself stays alive. */
static void inner_drop(struct cbd_tree_node *node, unsigned i)
{
    unsigned key = i > 0 ? i - 1 : 0;

    assert(i < node->count);
    children_move(&node->inner.child[i], &node->inner.child[i + 1], node->count - i - 1);
    if (node->count > 1)
        words_move(&node->inner.key[key], &node->inner.key[key + 1], node->count - key - 2);
    set_count(node, node->count - 1u);
}

/* Merges children i and i+1 when both fit into one with some places free. */
static bool merge_children(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                           struct cbd_tree_node *parent, unsigned i)
{
    struct cbd_tree_node *left = parent->inner.child[i];
    struct cbd_tree_node *right = parent->inner.child[i + 1];
    unsigned max = left->level == 0 ? CBD_TREE_LEAF_MAX : CBD_TREE_INNER_MAX;

    if (left->count + right->count + CBD_TREE_SLACK > max)
        return false;
    if (left->level == 0) {
        leaf_move(left, left->count, right, 0, right->count);
    } else {
        CBD_TREE_SET(left->inner.key[left->count - 1], parent->inner.key[i]);
        words_move(&left->inner.key[left->count], right->inner.key, right->count - 1u);
        children_move(&left->inner.child[left->count], right->inner.child, right->count);
    }
    set_count(left, left->count + right->count);
    inner_drop(parent, i + 1);
    cbd_tree_pool_give(pool, tree, right);
    return true;
}

/* Child i of parent has become smaller. True: the parent has lost a child. */
static bool shrink_child(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                         struct cbd_tree_node *parent, unsigned i)
{
    struct cbd_tree_node *node = parent->inner.child[i];
    unsigned max = node->level == 0 ? CBD_TREE_LEAF_MAX : CBD_TREE_INNER_MAX;

    if (node->count == 0) {
        inner_drop(parent, i);
        cbd_tree_pool_give(pool, tree, node);
        /* Its neighbours have become neighbours of each other. */
        if (i > 0 && i < parent->count)
            merge_children(pool, tree, parent, i - 1);
        return true;
    }
    if (node->count > (max - CBD_TREE_SLACK) / 2) {
        /* A smaller neighbour would have been merged when it shrank, or it is still filling up. */
        return false;
    }
    if (i > 0 && merge_children(pool, tree, parent, i - 1))
        return true;
    return i + 1u < parent->count && merge_children(pool, tree, parent, i);
}

void cbd_tree_edit_remove(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                          struct cbd_tree_path *path, unsigned n)
{
    struct cbd_tree_node *leaf = path->node[0];
    unsigned i = path->idx[0];
    unsigned level = 1;

    assert(n > 0 && i + n <= leaf->count);
    leaf_move(leaf, i, leaf, i + n, leaf->count - i - n);
    set_count(leaf, leaf->count - n);
    cbd_count(&tree->extents, -(uint64_t)n);

    while (level < tree->height && shrink_child(pool, tree, path->node[level], path->idx[level]))
        level++;
    while (tree->height > 1 && tree->root->count == 1) {
        struct cbd_tree_node *root = tree->root;

        CBD_TREE_SET(tree->root, CBD_TREE_GET(root->inner.child[0]));
        CBD_TREE_SET(tree->height, tree->height - 1);
        cbd_tree_pool_give(pool, tree, root);
    }
    if (tree->root->count == 0) {
        cbd_tree_pool_give(pool, tree, tree->root);
        CBD_TREE_SET(tree->root, NULL);
        CBD_TREE_SET(tree->height, 0);
    }
}
