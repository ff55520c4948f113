/* Looking ahead: ask for the memory that coming commands will touch, while the present one runs.
 *
 *   records[0] is next; a cancel finds its order in three dependent loads, so each stage runs further ahead than the
 * next:
 *
 *      records[12]   the line of the index that leads to the order
 *      records[8]    the order itself, both halves
 *      records[4]    its neighbours in the level's and the position's lists
 *
 * and a new order likewise its account, instrument and indexes; its position and the ladder's leaf; its balances and
 * its level; the order that it will stand behind.
 *
 * Deep books do not fit any cache, and a load from memory costs as much as the rest of a command; three of them
 * asked for in good time cost next to nothing. Nothing is changed, and a stage that guesses wrong has wasted a load.
 */
#include "internal.h"

enum { INDEX_AHEAD = 12, ORDER_AHEAD = 8, NEIGHBOURS_AHEAD = 4, LAST_AHEAD = 2 };
static_assert((uint32_t)INDEX_AHEAD < LOOKUPS, "what is found out is kept until the record is applied");

static inline void ask(const void *at) { __builtin_prefetch(at, 1, 3); }

static inline void ask_place(const hash_index *ix, uint64_t hash) { ask(&ix->lines[(uint32_t)hash & ix->mask]); }

typedef struct named { /* how a command names an order */
    uint64_t order_id, client_order_id;
    uint32_t account;
} named;

static inline bool names_order(const wire_header *header, named *out) {
    if (header->kind == KIND_CANCEL) {
        const wire_cancel *o = (const wire_cancel *)header;
        *out = (named){.order_id = o->order_id, .client_order_id = o->target_client_order_id, .account = o->account};
    } else if (header->kind == KIND_REPLACE) {
        const wire_replace *o = (const wire_replace *)header;
        *out = (named){.order_id = o->order_id, .client_order_id = o->target_client_order_id, .account = o->account};
    } else {
        return false;
    }
    return true;
}

static inline const hash_index *index_of(const core *c, const named *n) {
    return n->order_id != 0 ? &c->order_index : &c->client_index;
}

/* What a new order touches of its account and instrument. */
static inline void ask_venue(const core *c, uint32_t account_number, uint32_t instrument_number) {
    if (account_number >= c->options.account_count_max || instrument_number >= c->options.instrument_count_max) return;
    ask(&c->accounts[account_number]);
    const char *i = (const char *)&c->instruments[instrument_number];
    for (size_t at = 0; at < offsetof(instrument, sides) + 2 * sizeof(book_side); at += 64) ask(i + at);
}

static void ask_index(const core *c, const wire_record *record, lookup *l) {
    const wire_header *header = (const wire_header *)record->command;
    named n;
    l->slot = l->position = l->leaf = l->level = 0;
    l->order_id = 0;
    if (names_order(header, &n)) {
        l->hash = n.order_id != 0 ? order_hash(n.order_id) : client_hash(c, n.account, n.client_order_id);
        l->account = n.account;
        ask_place(index_of(c, &n), l->hash);
    } else if (header->kind == KIND_NEW_ORDER) {
        const wire_new_order *o = (const wire_new_order *)header;
        l->hash = pair_hash(o->account, o->instrument);
        ask_place(&c->position_index, l->hash);
        ask_place(&c->client_index, client_hash(c, o->account, o->client_order_id));
        ask_place(&c->order_index, order_hash(l->sequence)); /* its id, if it is by itself */
        ask_venue(c, o->account, o->instrument);
    }
}

/* The first slot whose tag fits: right but for one in two thousand million. */
static inline uint32_t first_slot(const hash_index *ix, uint64_t hash) {
    index_search at = index_start(ix, hash);
    return index_next(ix, hash, &at);
}

static void ask_order(const core *c, const wire_record *record, lookup *l) {
    const wire_header *header = (const wire_header *)record->command;
    named n;
    if (names_order(header, &n)) {
        l->slot = first_slot(index_of(c, &n), l->hash);
        ask(&c->orders[l->slot]);
        ask(&c->rests[l->slot]);
    } else if (header->kind == KIND_NEW_ORDER) {
        const wire_new_order *o = (const wire_new_order *)header;
        l->position = first_slot(&c->position_index, l->hash);
        ask(&c->positions[l->position]);
        if (o->instrument >= c->options.instrument_count_max || o->side < SIDE_BUY || o->side > SIDE_SELL) return;
        const book_side *sides = c->instruments[o->instrument].sides;
        l->leaf = ladder_leaf(c, &sides[o->side - 1], o->price_ticks);
        ask(&c->ladder[l->leaf].used);
        ask(&c->ladder[l->leaf].child[o->price_ticks & 63]);
        ask(&c->levels[sides[2 - o->side].best]);
    }
}

/* Where a new order will rest. The leaf may have become something else since it was found. */
static void ask_level(const core *c, const wire_new_order *o, lookup *l) {
    const position *p = &c->positions[l->position];
    ask(&c->balances[p->base_balance]);
    ask(&c->balances[p->quote_balance]);
    ask(&c->rests[p->last_order]);
    const uint32_t level = c->ladder[l->leaf].child[o->price_ticks & 63];
    if (l->leaf == 0 || level > c->level_pool.capacity) return;
    l->level = level;
    ask(&c->levels[level]);
}

static void ask_neighbours(const core *c, const wire_record *record, lookup *l) {
    const wire_header *header = (const wire_header *)record->command;
    if (header->kind == KIND_NEW_ORDER) {
        ask_level(c, (const wire_new_order *)header, l);
        return;
    }
    if (l->slot == 0) return;
    const book_order *b = &c->orders[l->slot];
    const order_rest *r = &c->rests[l->slot];
    ask(&c->orders[b->prev]);
    ask(&c->orders[b->next]);
    ask(&c->rests[r->prev]);
    ask(&c->rests[r->next]);
    ask(&c->levels[b->level]);
    /* the index that the command did not come by: it will be taken out of both */
    ask(&c->positions[b->position]);
    l->order_id = b->id;
    l->order_home = (uint32_t)order_hash(b->id);
    l->client_home = (uint32_t)client_hash(c, l->account, b->client_order_id);
    ask_place(&c->order_index, l->order_home);
    ask_place(&c->client_index, l->client_home);
}

/* Whom a new order will stand behind. */
static void ask_last(const core *c, const lookup *l) {
    if (l->level == 0) return;
    const uint32_t tail = c->levels[l->level].tail;
    if (tail <= c->order_pool.capacity) ask(&c->orders[tail]);
}

void core_look_ahead(core *c, const wire_record *records, uint32_t count) {
    const uint64_t next = c->sequence + 1;
    if (count > LAST_AHEAD) {
        const lookup *l = &c->lookups[(next + LAST_AHEAD) % LOOKUPS];
        if (l->sequence == next + LAST_AHEAD) ask_last(c, l);
    }
    if (count > NEIGHBOURS_AHEAD) {
        lookup *l = &c->lookups[(next + NEIGHBOURS_AHEAD) % LOOKUPS];
        if (l->sequence == next + NEIGHBOURS_AHEAD) ask_neighbours(c, &records[NEIGHBOURS_AHEAD], l);
    }
    if (count > ORDER_AHEAD) {
        lookup *l = &c->lookups[(next + ORDER_AHEAD) % LOOKUPS];
        if (l->sequence == next + ORDER_AHEAD) ask_order(c, &records[ORDER_AHEAD], l);
    }
    if (count > INDEX_AHEAD) {
        lookup *l = &c->lookups[(next + INDEX_AHEAD) % LOOKUPS];
        l->sequence = next + INDEX_AHEAD;
        ask_index(c, &records[INDEX_AHEAD], l);
    }
}
