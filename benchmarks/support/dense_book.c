/* Matching is a walk from the best price; the occupancy bits are only ever scanned away from the touch. */
#include "dense_book.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

static void *array_of(size_t count, size_t bytes) {
    void *array = calloc(count, bytes);
    if (array == NULL) client_fail("no memory for %zu x %zu bytes", count, bytes);
    return array;
}

void dense_open(dense_book *b, uint32_t instruments, int64_t price_min, int64_t price_max, uint32_t order_max) {
    if (price_max < price_min || price_max - price_min >= 1 << 26)
        client_fail("prices must span at most 2^26 ticks, found %lld to %lld", (long long)price_min,
                    (long long)price_max);
    *b = (dense_book){.price_min = price_min,
                      .prices = (uint32_t)(price_max - price_min + 1),
                      .instruments = instruments,
                      .order_max = order_max,
                      .answer = {.digest = FLOW_DIGEST_START}};
    b->words = (b->prices + 63) / 64;
    b->orders = array_of((size_t)order_max + 1, sizeof *b->orders);
    b->levels = array_of((size_t)instruments * b->prices, sizeof *b->levels);
    b->occupied = array_of((size_t)instruments * b->words, sizeof *b->occupied);
    b->best_bid = array_of(instruments, sizeof *b->best_bid);
    b->best_ask = array_of(instruments, sizeof *b->best_ask);
    for (uint32_t i = 0; i < instruments; i++) {
        b->best_bid[i] = -1;
        b->best_ask[i] = b->prices;
    }
}

void dense_close(dense_book *b) {
    free(b->orders);
    free(b->levels);
    free(b->occupied);
    free(b->best_bid);
    free(b->best_ask);
}

static dense_level *level_at(const dense_book *b, uint32_t instrument, int64_t price_index) {
    return b->levels + (size_t)(instrument - 1) * b->prices + (size_t)price_index;
}

/* The nearest occupied price above (or below) this one; -1 below all, `prices` above all. */
static int64_t scan(const dense_book *b, uint32_t instrument, int64_t from, bool up) {
    const uint64_t *words = b->occupied + (size_t)(instrument - 1) * b->words;
    int64_t at = up ? from + 1 : from - 1;
    const int64_t none = up ? (int64_t)b->prices : -1;
    if (at < 0 || at >= b->prices) return none;
    int64_t word = at / 64;
    uint64_t bits = words[word] & (up ? ~0ull << (at % 64) : ~0ull >> (63 - at % 64));
    while (bits == 0) {
        word += up ? 1 : -1;
        if (word < 0 || word >= b->words) return none;
        bits = words[word];
    }
    return word * 64 + (up ? __builtin_ctzll(bits) : 63 - __builtin_clzll(bits));
}

int64_t dense_best(const dense_book *b, uint32_t instrument, uint8_t side) {
    if (side == OPERATION_BUY) return b->best_bid[instrument - 1];
    int64_t ask = b->best_ask[instrument - 1];
    return ask == b->prices ? -1 : ask;
}

int64_t dense_next(const dense_book *b, uint32_t instrument, uint8_t side, int64_t price_index) {
    int64_t next = scan(b, instrument, price_index, side == OPERATION_SELL);
    return next == b->prices ? -1 : next;
}

uint32_t dense_first(const dense_book *b, uint32_t instrument, int64_t price_index) {
    return level_at(b, instrument, price_index)->first;
}

static void rest(dense_book *b, uint32_t id) {
    dense_order *o = &b->orders[id];
    uint32_t row = o->instrument - 1;
    dense_level *l = level_at(b, o->instrument, o->price_index);
    o->previous = l->last;
    o->next = 0;
    if (l->last != 0) {
        b->orders[l->last].next = id;
    } else {
        l->first = id;
        b->occupied[(size_t)row * b->words + o->price_index / 64] |= 1ull << (o->price_index % 64);
    }
    l->last = id;
    if (o->side == OPERATION_BUY && o->price_index > b->best_bid[row]) b->best_bid[row] = o->price_index;
    if (o->side == OPERATION_SELL && o->price_index < b->best_ask[row]) b->best_ask[row] = o->price_index;
    b->open_count++;
}

static void leave(dense_book *b, uint32_t id) {
    dense_order *o = &b->orders[id];
    uint32_t row = o->instrument - 1;
    dense_level *l = level_at(b, o->instrument, o->price_index);
    *(o->previous != 0 ? &b->orders[o->previous].next : &l->first) = o->next;
    *(o->next != 0 ? &b->orders[o->next].previous : &l->last) = o->previous;
    o->left = 0;
    b->open_count--;
    if (l->first != 0) return;
    b->occupied[(size_t)row * b->words + o->price_index / 64] &= ~(1ull << (o->price_index % 64));
    if (o->side == OPERATION_BUY && o->price_index == b->best_bid[row])
        b->best_bid[row] = scan(b, o->instrument, o->price_index, false);
    if (o->side == OPERATION_SELL && o->price_index == b->best_ask[row])
        b->best_ask[row] = scan(b, o->instrument, o->price_index, true);
}

static void match(dense_book *b, uint32_t id) {
    dense_order *taker = &b->orders[id];
    uint8_t other = taker->side == OPERATION_BUY ? OPERATION_SELL : OPERATION_BUY;
    while (taker->left > 0) {
        int64_t best = dense_best(b, taker->instrument, other);
        if (best < 0 || (taker->side == OPERATION_BUY ? best > taker->price_index : best < taker->price_index)) return;
        uint32_t maker_id = level_at(b, taker->instrument, best)->first;
        dense_order *maker = &b->orders[maker_id];
        uint32_t lots = maker->left < taker->left ? maker->left : taker->left;
        flow_answer_fill(&b->answer, id, maker_id, b->price_min + best, lots);
        b->self_trades += maker->account == taker->account;
        taker->filled += lots;
        maker->filled += lots;
        taker->left -= lots;
        maker->left -= lots;
        if (maker->left == 0) leave(b, maker_id);
    }
}

static void enter(dense_book *b, const operation *operation) {
    int64_t price_index = operation->price_ticks - b->price_min;
    if (price_index < 0 || price_index >= b->prices || operation->quantity_lots < 1 ||
        operation->quantity_lots > 1 << 30 || (operation->side != OPERATION_BUY && operation->side != OPERATION_SELL) ||
        operation->instrument < 1 || operation->instrument > b->instruments)
        client_fail("order %llu must have a price, quantity, side and instrument of the flow",
                    (unsigned long long)operation->id);
    dense_order *o = &b->orders[operation->id];
    *o = (dense_order){.price_index = (uint32_t)price_index,
                       .instrument = operation->instrument,
                       .account = operation->account,
                       .left = (uint32_t)operation->quantity_lots,
                       .side = operation->side};
    match(b, (uint32_t)operation->id);
    if (operation->kind == OPERATION_TAKE) o->left = 0;
    if (o->left > 0) rest(b, (uint32_t)operation->id);
}

void dense_apply(dense_book *b, const operation *operation) {
    if (operation->id < 1 || operation->id > b->order_max)
        client_fail("an id must be 1 to %u, found %llu", b->order_max, (unsigned long long)operation->id);
    dense_order *o = &b->orders[operation->id];
    if (operation->kind == OPERATION_LIMIT || operation->kind == OPERATION_TAKE) {
        enter(b, operation);
    } else if (operation->kind == OPERATION_CANCEL) {
        if (o->left == 0) b->refused++;
        else leave(b, (uint32_t)operation->id);
    } else if (operation->kind == OPERATION_REDUCE) {
        if (o->left == 0 || operation->quantity_lots <= o->filled) b->refused++;
        else o->left = (uint32_t)operation->quantity_lots - o->filled;
    } else {
        client_fail("a kind must be 1 to 4, found %u", operation->kind);
    }
}
