/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a tree does for its users: insert by order, find, remove.
 *
 * An insert goes from left to right in runs. A run ends at the first extent that wins (its order
 * is higher or equal) or at the end of the new extent e. In a run everything older is cut away,
 * then one piece of e is put into the hole:
 *
 *   before   |--old--| |win| |-old-| |-old-|         cut     how
 *   e            |-----------------------|
 *   run 1        |----|                              left    old keeps its front
 *   run 2                  |-------------|           inside  old is removed
 *   after    |ol||-e--||win||------e-----|d|         right   old keeps its end
 *                                                    both    old keeps front and end: one more
 *
 * A run stores at most two extents: the end of an old one that held all of e, and the piece of e.
 * Their nodes are in the pool before the run changes anything, so a run is done as a whole.
 */
#include "tree_node.h"

#include <assert.h>

#define SHARED_TRIES 8u /* of a lookup without the lock, before it asks for the lock */

/* Nodes that `puts` calls of cbd_tree_edit_put can take from a tree of this height. */
static uint64_t nodes_for_puts(uint32_t height, uint64_t puts)
{
    /*
     * A put takes a node for each level and a root. A new root has one extent or two children, so
     * the height grows at most once for the first put and once for every 21 further ones.
     */
    uint64_t levels = height + 2 + puts / CBD_TREE_LEAF_MAX;

    return puts * (levels < CBD_TREE_HEIGHT_MAX ? levels : CBD_TREE_HEIGHT_MAX);
}

int cbd_tree_reserve(struct cbd_tree_pool *pool, const struct cbd_tree *tree, unsigned inserts)
{
    uint64_t puts = 2 * (uint64_t)inserts;

    /* Each run asks for two puts at the height it finds; the last one must not be refused. */
    return cbd_tree_pool_ensure(pool, nodes_for_puts(tree->height, puts) + 4);
}

void cbd_tree_init(struct cbd_tree *tree)
{
    *tree = (struct cbd_tree){.height = 0};
}

void cbd_tree_clear(struct cbd_tree_pool *pool, struct cbd_tree *tree)
{
    struct cbd_tree_node *stack[CBD_TREE_HEIGHT_MAX];
    unsigned depth = 0;

    cbd_tree_change_begin(tree);
    if (tree->root)
        stack[depth++] = tree->root;
    CBD_TREE_SET(tree->root, NULL);
    while (depth > 0) {
        struct cbd_tree_node *node = stack[depth - 1];

        if (node->level > 0 && node->count > 0) {
            CBD_TREE_SET(node->count, (uint16_t)(node->count - 1));
            stack[depth++] = node->inner.child[node->count];
        } else {
            depth--;
            cbd_tree_pool_give(pool, tree, node);
        }
    }
    assert(tree->nodes == 0);
    CBD_TREE_SET(tree->height, 0);
    tree->extents = 0;
    cbd_tree_change_end(tree);
}

static void leaf_read(const struct cbd_tree_node *leaf, unsigned i, struct cbd_tree_words *out)
{
    out->w0 = leaf->leaf.w0[i];
    out->w1 = leaf->leaf.w1[i];
    out->w2 = leaf->leaf.w2[i];
}

bool cbd_tree_find(const struct cbd_tree *tree, uint64_t pos, struct cbd_extent *out)
{
    const struct cbd_tree_node *node = tree->root;
    const struct cbd_tree_node *next = NULL; /* all behind the range of node is here first */
    struct cbd_tree_words w;
    unsigned i;

    if (!node || pos >= CBD_TREE_POS_MAX)
        return false;
    while (node->level > 0) {
        i = cbd_tree_inner_search(node, pos);
        if (i + 1u < node->count)
            next = node->inner.child[i + 1];
        node = node->inner.child[i];
        cbd_tree_node_prefetch(node);
    }
    i = cbd_tree_leaf_search(node, pos);
    if (i > 0 && cbd_tree_words_end(node->leaf.w0[i - 1]) > pos) {
        i--;
    } else if (i == node->count) {
        if (!next)
            return false;
        while (next->level > 0)
            next = next->inner.child[0];
        node = next;
        i = 0;
    }
    leaf_read(node, i, &w);
    cbd_tree_words_unpack(&w, out);
    return true;
}

static bool unchanged(const struct cbd_tree *tree, uint64_t seq)
{
    return atomic_load_explicit(&tree->seq, memory_order_relaxed) == seq;
}

static void aim_lost(struct cbd_tree_aim *aim)
{
    aim->node = NULL;
    aim->level = 0;
}

void cbd_tree_aim(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_aim *aim)
{
    aim->pos = pos;
    aim->seq = atomic_load_explicit(&tree->seq, memory_order_acquire);
    aim->upper = NULL;
    aim->placed = false;
    aim->level = CBD_TREE_GET(tree->height);
    aim->node = CBD_TREE_GET(tree->root);
    if (!aim->node || aim->seq % 2 != 0 || !unchanged(tree, aim->seq)) {
        aim_lost(aim);
        return;
    }
    aim->level--;
    cbd_tree_node_prefetch(aim->node);
}

/* L2: one level down. The node that comes out is asked for and not touched. */
void cbd_tree_aim_step(const struct cbd_tree *tree, struct cbd_tree_aim *aim)
{
    struct cbd_tree_node *node = aim->node;
    unsigned last, i;

    if (aim->level == 0)
        return;
    /* Whatever count says by now, the search stays inside the node. */
    last = CBD_TREE_GET(node->count) - 1u;
    i = cbd_tree_count_le(node->inner.key, last, aim->pos);
    if (i < last)
        aim->upper = &node->inner.key[i];
    aim->node = CBD_TREE_GET(node->inner.child[i]);
    cbd_tree_node_prefetch(aim->node);
    if (!unchanged(tree, aim->seq))
        aim_lost(aim);
    else
        aim->level--;
}

static bool at_leaf(const struct cbd_tree *tree, const struct cbd_tree_aim *aim)
{
    return aim->node && aim->level == 0 && unchanged(tree, aim->seq);
}

void cbd_tree_aim_place(const struct cbd_tree *tree, struct cbd_tree_aim *aim)
{
    aim->placed = at_leaf(tree, aim);
    if (aim->placed)
        aim->place = cbd_tree_leaf_search(aim->node, aim->pos);
}

/* One try. 1: found, 0: nothing covers pos, -1: the tree changed meanwhile (L3). */
static int find_once(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_words *w,
                     uint64_t *seq)
{
    const struct cbd_tree_node *leaf;
    struct cbd_tree_aim aim;
    unsigned count, i;
    int found = 0;

    cbd_tree_aim(tree, pos, &aim);
    cbd_tree_aim_finish(tree, &aim);
    leaf = aim.node;
    *seq = aim.seq;
    if (leaf) {
        count = CBD_TREE_GET(leaf->count);
        count = count < CBD_TREE_LEAF_MAX ? count : CBD_TREE_LEAF_MAX;
        i = cbd_tree_count_le(leaf->leaf.w0, count, cbd_tree_words_range(pos, CBD_TREE_LEN_MAX));
        if (i > 0) {
            w->w0 = CBD_TREE_GET(leaf->leaf.w0[i - 1]);
            w->w1 = CBD_TREE_GET(leaf->leaf.w1[i - 1]);
            w->w2 = CBD_TREE_GET(leaf->leaf.w2[i - 1]);
            found = cbd_tree_words_end(w->w0) > pos;
        }
    }
    if (aim.seq % 2 != 0 || !unchanged(tree, aim.seq))
        return -1;
    return found;
}

void cbd_tree_look(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_look *look)
{
    struct cbd_tree_words w;

    look->pos = pos;
    look->found = pos < CBD_TREE_POS_MAX && find_once(tree, pos, &w, &look->seq) > 0;
    if (look->found)
        cbd_tree_words_unpack(&w, &look->extent);
}

bool cbd_tree_find_shared(const struct cbd_tree *tree, uint64_t pos, struct cbd_extent *out)
{
    struct cbd_tree_words w;
    uint64_t seq;
    int found = -1;

    if (pos >= CBD_TREE_POS_MAX)
        return false;
    for (unsigned tries = 0; tries < SHARED_TRIES && found < 0; tries++)
        found = find_once(tree, pos, &w, &seq);
    if (found <= 0)
        return false;
    cbd_tree_words_unpack(&w, out);
    return true;
}

/*
 * Cuts the extent at path out of [start, end), which it overlaps, together with those behind it in
 * its leaf that are below `below` and end in the range. Returns where the cut ends. Takes nodes
 * for one put only when the extent sticks out on both sides.
 */
static uint64_t cut(struct cbd_tree_pool *pool, struct cbd_tree *tree, struct cbd_tree_path *path,
                    uint64_t start, uint64_t end, uint64_t below)
{
    struct cbd_tree_node *leaf = path->node[0];
    unsigned i = path->idx[0];
    struct cbd_tree_words old;
    uint64_t old_start, old_end;
    unsigned n = 1;

    leaf_read(leaf, i, &old);
    old_start = cbd_tree_words_start(old.w0);
    old_end = cbd_tree_words_end(old.w0);
    if (old_start < start) {
        CBD_TREE_SET(leaf->leaf.w0[i], cbd_tree_words_range(old_start, start - old_start));
        if (old_end <= end || CBD_CANARY(CUT_LOSES_END))
            return old_end;
        cbd_tree_words_cut_front(&old, end - old_start);
        cbd_tree_edit_put(pool, tree, &old);
        return end;
    }
    if (old_end > end) {
        cbd_tree_words_cut_front(&old, end - old_start);
        CBD_TREE_SET(leaf->leaf.w0[i], old.w0);
        CBD_TREE_SET(leaf->leaf.w2[i], old.w2);
        return end;
    }
    while (i + n < leaf->count && leaf->leaf.w1[i + n] < below &&
           cbd_tree_words_end(leaf->leaf.w0[i + n]) <= end)
        n++;
    old_end = cbd_tree_words_end(leaf->leaf.w0[i + n - 1]);
    cbd_tree_edit_remove(pool, tree, path, n);
    return old_end;
}

/* One run of e from *pos on; *pos moves to where the next one starts. */
static int insert_run(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                      const struct cbd_tree_words *e, uint64_t *pos)
{
    const uint64_t start = *pos;
    const uint64_t end = cbd_tree_words_end(e->w0);
    uint64_t piece_end = end;
    uint64_t at = start;
    struct cbd_tree_path path;
    int error = cbd_tree_pool_ensure(pool, nodes_for_puts(tree->height, 2));

    if (error)
        return error;
    *pos = end;
    while (at < end && cbd_tree_path_seek(tree, at, &path)) {
        const struct cbd_tree_node *leaf = path.node[0];
        uint64_t w0 = leaf->leaf.w0[path.idx[0]];

        if (cbd_tree_words_start(w0) >= end)
            break;
        if (leaf->leaf.w1[path.idx[0]] >= e->w1 && !CBD_CANARY(LAST_INSERT_WINS)) {
            piece_end = cbd_tree_words_start(w0);
            *pos = cbd_tree_words_end(w0);
            break;
        }
        at = cut(pool, tree, &path, start, end, e->w1);
    }
    if (start < piece_end) {
        struct cbd_tree_words piece = *e;

        if (start > cbd_tree_words_start(e->w0))
            cbd_tree_words_cut_front(&piece, start - cbd_tree_words_start(e->w0));
        piece.w0 = cbd_tree_words_range(start, piece_end - start);
        cbd_tree_edit_put(pool, tree, &piece);
    }
    return 0;
}

/*
 * The two common cases, without the pool, at the place in the leaf that a descent to the start of e
 * finds: the same range again, or a gap and a leaf with room. False: nothing was done.
 */
static inline bool insert_at(struct cbd_tree *tree, const struct cbd_tree_words *e,
                             struct cbd_tree_path *path)
{
    const uint64_t start = cbd_tree_words_start(e->w0);
    const uint64_t end = cbd_tree_words_end(e->w0);
    struct cbd_tree_node *leaf = path->node[0];
    unsigned i = path->idx[0];

    if (i > 0) {
        if (leaf->leaf.w0[i - 1] == e->w0) {
            if (leaf->leaf.w1[i - 1] < e->w1 || CBD_CANARY(SAME_RANGE_WINS)) {
                cbd_tree_change_begin(tree);
                CBD_TREE_SET(leaf->leaf.w1[i - 1], e->w1);
                CBD_TREE_SET(leaf->leaf.w2[i - 1], e->w2);
                cbd_tree_change_end(tree);
            }
            return true;
        }
        if (cbd_tree_words_end(leaf->leaf.w0[i - 1]) > start)
            return false;
    }
    if (leaf->count == CBD_TREE_LEAF_MAX)
        return false;
    if (i < leaf->count ? cbd_tree_words_start(leaf->leaf.w0[i]) < end
                        : path->upper && *path->upper < end)
        return false;
    cbd_tree_change_begin(tree);
    cbd_tree_leaf_store(tree, path, e);
    cbd_tree_change_end(tree);
    return true;
}

/* With one descent, or with none where the way is known. */
static bool insert_fast(struct cbd_tree *tree, const struct cbd_tree_words *e,
                        const struct cbd_tree_aim *aim)
{
    const uint64_t start = cbd_tree_words_start(e->w0);
    struct cbd_tree_path path;

    if (aim && at_leaf(tree, aim)) {
        path.node[0] = aim->node;
        path.upper = aim->upper;
        path.idx[0] = aim->placed ? aim->place : cbd_tree_leaf_search(aim->node, start);
    } else if (tree->root) {
        cbd_tree_path_descend(tree, start, &path);
    } else {
        return false;
    }
    return insert_at(tree, e, &path);
}

static int insert_slow(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                       const struct cbd_tree_words *e)
{
    uint64_t pos = cbd_tree_words_start(e->w0);
    const uint64_t end = cbd_tree_words_end(e->w0);
    int error = 0;

    cbd_tree_change_begin(tree);
    while (pos < end && !error)
        error = insert_run(pool, tree, e, &pos);
    cbd_tree_change_end(tree);
    return error;
}

int cbd_tree_insert(struct cbd_tree_pool *pool, struct cbd_tree *tree, const struct cbd_extent *e)
{
    return cbd_tree_insert_aimed(pool, tree, e, NULL);
}

int cbd_tree_insert_aimed(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                          const struct cbd_extent *e, const struct cbd_tree_aim *aim)
{
    uint64_t start = e->start;
    uint64_t left = e->len;

    assert(e->len > 0 && e->len <= CBD_TREE_POS_MAX && e->start <= CBD_TREE_POS_MAX - e->len);
    assert(e->kind <= CBD_EXTENT_LOST);
    if (e->kind == CBD_EXTENT_DATA) {
        assert(e->len <= UINT64_C(1) << CBD_TREE_DELTA_BITS);
        assert(e->delta + e->len <= UINT64_C(1) << CBD_TREE_DELTA_BITS);
        assert(e->loc <= (UINT64_C(1) << CBD_TREE_LOC_BITS) - CBD_TREE_SECTOR_LOC * e->len);
    }
    while (left > 0) {
        uint64_t len = left < CBD_TREE_LEN_MAX ? left : CBD_TREE_LEN_MAX;
        struct cbd_tree_words w = cbd_tree_words_pack(e);
        int error;

        w.w0 = cbd_tree_words_range(start, len);
        error = insert_fast(tree, &w, aim) ? 0 : insert_slow(pool, tree, &w);
        if (error)
            return error;
        aim = NULL;
        start += len;
        left -= len;
    }
    return 0;
}

/* cbd_tree_leaf_search() where the answer is often: all of them. */
static unsigned leaf_search_right(const struct cbd_tree_node *leaf, uint64_t pos)
{
    if (cbd_tree_words_start(leaf->leaf.w0[leaf->count - 1]) <= pos)
        return leaf->count;
    return cbd_tree_leaf_search(leaf, pos);
}

int cbd_tree_insert_sorted(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                           const struct cbd_tree_words *w, size_t n)
{
    struct cbd_tree_path path;
    bool known = false; /* the leaf of path is that of the last one */
    int error = 0;

    for (size_t i = 0; i < n && error == 0; i++) {
        uint64_t start = cbd_tree_words_start(w[i].w0);

        assert((w[i].w0 & CBD_TREE_LEN_MAX) != 0);
        assert(i == 0 || start >= cbd_tree_words_start(w[i - 1].w0));
        if (known && (!path.upper || start < *path.upper))
            path.idx[0] = leaf_search_right(path.node[0], start);
        else if (tree->root)
            cbd_tree_path_descend(tree, start, &path);
        known = tree->root && insert_at(tree, &w[i], &path);
        if (!known)
            error = insert_slow(pool, tree, &w[i]);
    }
    return error;
}

int cbd_tree_remove_below(struct cbd_tree_pool *pool, struct cbd_tree *tree, uint64_t start,
                          uint64_t len, uint64_t below)
{
    struct cbd_tree_path path;
    uint64_t at = start;
    uint64_t end;

    assert(len <= CBD_TREE_POS_MAX && start <= CBD_TREE_POS_MAX - len);
    end = start + len;
    while (at < end && cbd_tree_path_seek(tree, at, &path)) {
        const struct cbd_tree_node *leaf = path.node[0];
        uint64_t w0 = leaf->leaf.w0[path.idx[0]];

        if (cbd_tree_words_start(w0) >= end)
            break;
        if (leaf->leaf.w1[path.idx[0]] >= below && !CBD_CANARY(FORGETS_THE_YOUNGER)) {
            at = cbd_tree_words_end(w0);
            continue;
        }
        if (cbd_tree_words_start(w0) < start && cbd_tree_words_end(w0) > end) {
            int error = cbd_tree_pool_ensure(pool, nodes_for_puts(tree->height, 1));

            if (error)
                return error;
        }
        cbd_tree_change_begin(tree);
        at = cut(pool, tree, &path, start, end, below);
        cbd_tree_change_end(tree);
    }
    return 0;
}
