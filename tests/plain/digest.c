/* Section 12: the digest, made from nothing. */
#include "state.h"

static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 31;
    return x;
}

static uint64_t entity(uint64_t tag, uint64_t a, uint64_t b, const uint64_t *fields, uint32_t count) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += mix(i + 1) * fields[i];
    return mix(mix(tag << 56 ^ a) ^ b) * sum;
}

#define ENTITY(tag, a, b, ...)                                                                                         \
    entity(tag, a, b, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define U(number) ((uint64_t)(number)) /* negative numbers in two's complement */

static uint64_t orders(const order *o) {
    uint64_t sum = 0;
    for (; o != NULL; o = o->next) {
        const bool waiting = waits(o);
        sum += ENTITY(1, o->id, 0, o->account, o->instrument, o->side, U(o->price), U(o->rest), U(o->filled),
                      o->client_order_id, o->priority, U(o->lock), U(o->maker_notional), U(o->maker_ppm),
                      U(o->taker_ppm), o->options, o->self_trade, o->key);
        sum += ENTITY(10, o->id, 0, o->list / 2, o->trigger, U(o->trigger_price), U(o->peak), U(o->offset), o->peg,
                      o->terms, U(o->display), U(o->reserve), o->expire_ns, o->linked, waiting ? o->type : 0,
                      waiting ? o->time_in_force : 0);
    }
    return sum;
}

/* Fields 1 to 28; tiers and steps have fields far behind them. */
static uint64_t instrument_itself(const instrument *in) {
    uint64_t fields[60 + 3 * PRICE_STEP_COUNT_MAX] = {1,
                                                      in->base,
                                                      in->quote,
                                                      U(in->maker_ppm),
                                                      U(in->taker_ppm),
                                                      in->state,
                                                      in->base_units,
                                                      in->quote_units,
                                                      in->collar_ppm,
                                                      U(in->quantity_min),
                                                      U(in->quantity_max),
                                                      U(in->notional_min),
                                                      U(in->reference),
                                                      in->trade_id,
                                                      in->book_update_id,
                                                      in->level3_id,
                                                      in->top_id,
                                                      U(in->static_price),
                                                      in->auction_ends_ns,
                                                      in->checksum_update_id};
    for (int i = 0; i < 4; i++) {
        fields[20 + 2 * i] = in->breakers[i].ppm;
        fields[21 + 2 * i] = in->breakers[i].ms;
    }
    for (int t = 1; t <= FEE_TIER_MAX; t++) {
        uint64_t *field = &fields[29 + 3 * t - 1];
        field[0] = in->tiers[t].set, field[1] = U(in->tiers[t].maker_ppm), field[2] = U(in->tiers[t].taker_ppm);
    }
    for (int s = 0; s < PRICE_STEP_COUNT_MAX; s++) {
        uint64_t *field = &fields[60 + 3 * s - 1];
        field[0] = U(in->steps[s].from), field[1] = U(in->steps[s].tick), field[2] = U(in->steps[s].lot);
    }
    return entity(5, in->number, 0, fields, sizeof fields / sizeof *fields);
}

static uint64_t instruments(const instrument *in) {
    uint64_t sum = 0;
    for (; in != NULL; in = in->next) {
        sum += instrument_itself(in);
        for (int list = 0; list < LIST_COUNT; list++) sum += orders(in->lists[list]);
    }
    return sum;
}

static uint64_t accounts(const account *who) {
    uint64_t sum = 0;
    for (; who != NULL; who = who->next) {
        sum += ENTITY(6, who->number, 0, 1, who->firm, who->halted, who->open_orders_max, who->rate_max,
                      who->rate_window_ms, U(who->notional_max), U(who->position_max), U(who->quantity_max),
                      who->rate_window, who->rate_count, who->tier);
        for (const balance *b = who->balances; b != NULL; b = b->next)
            sum += ENTITY(2, who->number, b->asset, U(b->free), U(b->locked), U(b->floor));
        uint64_t rank = 0;
        for (const position *p = who->positions; p != NULL; p = p->next)
            sum += ENTITY(3, who->number, p->instrument, U(p->lots), U(p->open_buy), U(p->open_sell), ++rank);
    }
    return sum;
}

static uint64_t trades(const trade *t) {
    uint64_t sum = 0;
    for (; t != NULL; t = t->next)
        sum += ENTITY(11, t->instrument, t->id, t->number, t->buyer, t->seller, U(t->price), U(t->lots),
                      U(t->buyer_fee), U(t->seller_fee), t->busted);
    return sum;
}

uint64_t plain_digest(const plain *book) {
    uint64_t sum = instruments(book->instruments) + accounts(book->accounts);
    for (const asset *a = book->assets; a != NULL; a = a->next)
        sum += ENTITY(4, a->number, 0, 1, a->decimals, U(a->supply), U(a->fees));
    for (const key *k = book->keys; k != NULL; k = k->next)
        sum += ENTITY(7, k->number, 0, k->client_sequence, k->report_number, k->session, k->live, k->account,
                      k->options, k->deadline_ns, k->countdown_account);
    for (const nonce *n = book->nonces; n != NULL; n = n->next) {
        uint64_t halves[2];
        memcpy(halves, n->bytes, sizeof halves);
        sum += ENTITY(8, halves[0], halves[1], n->timestamp_ns);
    }
    sum += trades(book->trades);
    return sum + ENTITY(9, 0, 0, book->sequence, book->received_ns, book->term, book->everything_halted,
                        book->term_window_ns, book->trades_made);
}
