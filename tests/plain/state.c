/* What there is, found by walking lists. */
#include "state.h"

#include <stdio.h>
#include <stdlib.h>

void *plain_new(size_t bytes) {
    void *made = calloc(1, bytes);
    if (made == NULL) {
        fprintf(stderr, "the plain book must get memory: %zu bytes could not be had\n", bytes);
        abort();
    }
    return made;
}

asset *plain_asset_find(const plain *book, uint32_t number) {
    asset *a = book->assets;
    while (a != NULL && a->number != number) a = a->next;
    return a;
}

instrument *plain_instrument_find(const plain *book, uint32_t number) {
    instrument *in = book->instruments;
    while (in != NULL && in->number != number) in = in->next;
    return in;
}

account *plain_account_find(const plain *book, uint32_t number) {
    account *who = book->accounts;
    while (who != NULL && who->number != number) who = who->next;
    return who;
}

balance *plain_balance_of(account *who, uint32_t asset) {
    for (balance *b = who->balances; b != NULL; b = b->next)
        if (b->asset == asset) return b;
    balance *b = plain_new(sizeof *b);
    b->asset = asset;
    b->next = who->balances;
    who->balances = b;
    return b;
}

position *plain_position_find(const account *who, uint32_t instrument) {
    position *p = who->positions;
    while (p != NULL && p->instrument != instrument) p = p->next;
    return p;
}

/* A new one stands behind all that the account has. */
position *plain_position_of(account *who, uint32_t instrument) {
    position **at = &who->positions;
    while (*at != NULL && (*at)->instrument != instrument) at = &(*at)->next;
    if (*at == NULL) {
        *at = plain_new(sizeof **at);
        (*at)->instrument = instrument;
    }
    return *at;
}

key *plain_key_of(plain *book, uint32_t number) {
    for (key *k = book->keys; k != NULL; k = k->next)
        if (k->number == number) return k;
    key *k = plain_new(sizeof *k);
    k->number = number;
    k->next = book->keys;
    book->keys = k;
    return k;
}

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

order **plain_book_side(instrument *in, uint8_t side) { return &in->lists[side == SIDE_BUY ? LIST_BIDS : LIST_ASKS]; }

order *plain_order_find(const plain *book, uint64_t id) {
    for (const instrument *in = book->instruments; in != NULL; in = in->next)
        for (int list = 0; list < LIST_COUNT; list++)
            for (order *o = in->lists[list]; o != NULL; o = o->next)
                if (o->id == id) return o;
    return NULL;
}

order *plain_order_find_by_client(const plain *book, uint32_t account, uint64_t client_order_id) {
    for (const instrument *in = book->instruments; in != NULL; in = in->next)
        for (int list = 0; list < LIST_COUNT; list++)
            for (order *o = in->lists[list]; o != NULL; o = o->next)
                if (o->account == account && o->client_order_id == client_order_id) return o;
    return NULL;
}

/* The open order that a cancel, replacement or link names; NULL if there is none that it may touch. */
order *plain_order_named(const plain *book, uint32_t account, uint32_t instrument, uint64_t id,
                         uint64_t client_order_id) {
    order *o = id > 0 ? plain_order_find(book, id) : plain_order_find_by_client(book, account, client_order_id);
    return o != NULL && o->account == account && o->instrument == instrument ? o : NULL;
}

uint32_t plain_order_count(const plain *book, uint32_t account) {
    uint32_t count = 0;
    for (const instrument *in = book->instruments; in != NULL; in = in->next)
        for (int list = 0; list < LIST_COUNT; list++)
            for (const order *o = in->lists[list]; o != NULL; o = o->next) count += o->account == account;
    return count;
}

/* Does an order of `side` with this limit take a price `other` of the other side? */
bool plain_price_reaches(uint8_t side, int64_t limit, int64_t other) {
    return side == SIDE_BUY ? other <= limit : other >= limit;
}

bool plain_at_or_better(uint8_t side, int64_t price, int64_t than) {
    return side == SIDE_BUY ? price >= than : price <= than;
}

static uint8_t list_for(const order *o) {
    if (waits(o)) return is_rising(o) ? LIST_RISING : LIST_FALLING;
    const uint8_t side = o->side == SIDE_BUY ? 0 : 1;
    if (is_unlit(o)) return LIST_UNLIT_BUYS + side;
    return (is_hidden(o) ? LIST_HIDDEN_BIDS : LIST_BIDS) + side;
}

/* Both are of one list. */
static bool stands_before(const order *a, const order *b) {
    if (waits(a)) {
        if (a->trigger_price != b->trigger_price) return (a->trigger_price < b->trigger_price) == is_rising(a);
    } else if (!is_unlit(a) && a->price != b->price) {
        return plain_at_or_better(a->side, a->price, b->price);
    }
    return a->priority < b->priority;
}

/* Behind all that do not stand behind it: the last to come is the last of its equals. */
void plain_book_insert(instrument *in, order *o) {
    o->list = list_for(o);
    order **at = &in->lists[o->list];
    while (*at != NULL && !stands_before(o, *at)) at = &(*at)->next;
    o->next = *at;
    *at = o;
}

void plain_book_remove(instrument *in, order *o) {
    order **at = &in->lists[o->list];
    while (*at != o) at = &(*at)->next;
    *at = o->next;
    o->next = NULL;
}
