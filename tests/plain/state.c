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

order **plain_book_side(instrument *in, uint8_t side) { return side == SIDE_BUY ? &in->bids : &in->asks; }

order *plain_order_find(const plain *book, uint64_t id) {
    for (instrument *in = book->instruments; in != NULL; in = in->next)
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++)
            for (order *o = *plain_book_side(in, side); o != NULL; o = o->next)
                if (o->id == id) return o;
    return NULL;
}

order *plain_order_find_by_client(const plain *book, uint32_t account, uint64_t client_order_id) {
    for (instrument *in = book->instruments; in != NULL; in = in->next)
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++)
            for (order *o = *plain_book_side(in, side); o != NULL; o = o->next)
                if (o->account == account && o->client_order_id == client_order_id) return o;
    return NULL;
}

uint32_t plain_order_count(const plain *book, uint32_t account) {
    uint32_t count = 0;
    for (instrument *in = book->instruments; in != NULL; in = in->next)
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++)
            for (order *o = *plain_book_side(in, side); o != NULL; o = o->next) count += o->account == account;
    return count;
}

/* Does an order of `side` with this limit take a price `other` of the other side? */
bool plain_price_reaches(uint8_t side, int64_t limit, int64_t other) {
    return side == SIDE_BUY ? other <= limit : other >= limit;
}

static bool stands_before(const order *a, const order *b) {
    if (a->price != b->price) return a->side == SIDE_BUY ? a->price > b->price : a->price < b->price;
    return a->priority < b->priority;
}

void plain_book_insert(instrument *in, order *o) {
    order **at = plain_book_side(in, o->side);
    while (*at != NULL && stands_before(*at, o)) at = &(*at)->next;
    o->next = *at;
    *at = o;
}

void plain_book_remove(instrument *in, order *o) {
    order **at = plain_book_side(in, o->side);
    while (*at != o) at = &(*at)->next;
    *at = o->next;
    o->next = NULL;
}
