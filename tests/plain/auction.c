/* Sections 17 and 18: trading states, uncrossing, the circuit breaker. */
#include "state.h"

#include <stdlib.h>

/* ---- The auction price ------------------------------------------------------------------------------------------- */

/* Lots of displayed and hidden orders of one side at this price or better, reserves included. */
static wide lots_at_or_better(const instrument *in, uint8_t side, int64_t price) {
    wide lots = 0;
    for (int list = LIST_BIDS + (side == SIDE_SELL); list <= LIST_HIDDEN_ASKS; list += 2)
        for (const order *o = in->lists[list]; o != NULL; o = o->next)
            if (plain_at_or_better(side, o->price, price)) lots += o->rest;
    return lots;
}

/* The first of one side: best price, displayed before hidden. */
static order *first_of(const instrument *in, uint8_t side) {
    order *displayed = in->lists[side == SIDE_BUY ? LIST_BIDS : LIST_ASKS];
    order *hidden = in->lists[side == SIDE_BUY ? LIST_HIDDEN_BIDS : LIST_HIDDEN_ASKS];
    if (displayed == NULL || hidden == NULL) return displayed != NULL ? displayed : hidden;
    return plain_at_or_better(side, displayed->price, hidden->price) ? displayed : hidden;
}

static wide distance(wide a, wide b) { return a > b ? a - b : b - a; }

static bool better_auction(const instrument *in, const auction *a, const auction *than) {
    const wide most_a = plain_least(a->buys, a->sells), most_b = plain_least(than->buys, than->sells);
    if (most_a != most_b) return most_a > most_b;
    const wide left_a = distance(a->buys, a->sells), left_b = distance(than->buys, than->sells);
    if (left_a != left_b) return left_a < left_b;
    const wide far_a = distance(a->price, in->reference), far_b = distance(than->price, in->reference);
    if (far_a != far_b) return far_a < far_b;
    return a->price > than->price;
}

auction plain_auction(const instrument *in) {
    auction best = {0};
    const order *bid = first_of(in, SIDE_BUY), *ask = first_of(in, SIDE_SELL);
    if (bid == NULL || ask == NULL || bid->price < ask->price) return best;
    for (int list = LIST_BIDS; list <= LIST_HIDDEN_ASKS; list++) {
        for (const order *o = in->lists[list]; o != NULL; o = o->next) {
            if (!between(ask->price, o->price, bid->price)) continue;
            const auction a = {.price = o->price,
                               .buys = lots_at_or_better(in, SIDE_BUY, o->price),
                               .sells = lots_at_or_better(in, SIDE_SELL, o->price)};
            if (best.price == 0 || better_auction(in, &a, &best)) best = a;
        }
    }
    return best;
}

/* ---- Uncrossing -------------------------------------------------------------------------------------------------- */

/* Both pay as makers, but never less than nothing. */
static wide auction_fee(order *o, wide amount) {
    if (o->maker_notional + amount > UNITS_MAX) o->maker_notional = 0;
    const wide before = plain_fee_of(o->maker_notional, o->maker_ppm);
    o->maker_notional += amount;
    return plain_most(0, plain_fee_of(o->maker_notional, o->maker_ppm) - before);
}

static void report_filled(plain *book, const command *c, const instrument *in, const order *o, int64_t price,
                          int64_t lots, wide fee) {
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_FILLED,
                                     .flags = REPORT_FLAG_AUCTION | (o->rest == 0 ? REPORT_FLAG_DONE : 0),
                                     .price_ticks = price,
                                     .quantity_lots = lots,
                                     .remaining_lots = o->rest,
                                     .reference = in->trade_id,
                                     .amount_units = (int64_t)fee});
}

static void auction_trade(plain *book, const command *c, instrument *in, order *buy, order *sell, int64_t price) {
    const int64_t lots = (int64_t)plain_least(shown(buy), shown(sell));
    const wide amount = plain_notional(in, price, lots);
    const wide buy_fee = auction_fee(buy, amount), sell_fee = auction_fee(sell, amount);
    plain_settle(book, in, buy, lots, amount, buy_fee);
    plain_settle(book, in, sell, lots, amount, sell_fee);
    in->reference = in->static_price = price;
    in->trade_id++;
    in->traded_at = c->sequence;
    plain_keep_trade(book, in,
                     &(trade){.buyer = buy->account,
                              .seller = sell->account,
                              .price = price,
                              .lots = lots,
                              .buyer_fee = (int64_t)buy_fee,
                              .seller_fee = (int64_t)sell_fee});
    wire_report *e = plain_event(book, c, EVENT_TRADE);
    e->flags = REPORT_FLAG_AUCTION;
    e->instrument = in->number;
    e->order_id = sell->id;
    e->client_order_id = buy->id;
    e->price_ticks = price;
    e->quantity_lots = lots;
    e->reference = in->trade_id;
    report_filled(book, c, in, buy, price, lots, buy_fee);
    report_filled(book, c, in, sell, price, lots, sell_fee);
}

/* All that trade at this price. */
static void uncross_at(plain *book, const command *c, instrument *in, int64_t at) {
    for (;;) {
        order *sides[] = {first_of(in, SIDE_BUY), first_of(in, SIDE_SELL)};
        if (sides[0] == NULL || sides[1] == NULL) return;
        if (sides[0]->price < at || sides[1]->price > at) return;
        const int64_t levels[] = {is_displayed(sides[0]) ? sides[0]->price : 0,
                                  is_displayed(sides[1]) ? sides[1]->price : 0};
        plain_cancel_partner(book, c, sides[0]);
        plain_cancel_partner(book, c, sides[1]);
        auction_trade(book, c, in, sides[0], sides[1], at);
        for (int i = 0; i < 2; i++) {
            plain_maker_changed(book, c, in, sides[i]);
            if (sides[i]->rest == 0) free(sides[i]);
        }
        if (levels[0] > 0) plain_event_book_update(book, c, in, SIDE_BUY, levels[0]);
        if (levels[1] > 0) plain_event_book_update(book, c, in, SIDE_SELL, levels[1]);
    }
}

/* Partners that went may have left the book crossed: then again, at a new price. */
void plain_uncross(plain *book, const command *c, instrument *in) {
    for (auction a = plain_auction(in); a.price > 0; a = plain_auction(in)) uncross_at(book, c, in, a.price);
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

/* The day order of this instrument with the lowest id above `above`. */
static order *next_of_day(const instrument *in, uint64_t above) {
    order *found = NULL;
    for (int list = 0; list < LIST_COUNT; list++)
        for (order *o = in->lists[list]; o != NULL; o = o->next)
            if ((o->terms & TERM_OPTION_DAY) && o->id > above && (found == NULL || o->id < found->id)) found = o;
    return found;
}

/* `applied`, if there is one, comes behind the state, before what follows from it. */
void plain_move(plain *book, const command *c, instrument *in, uint8_t state, uint64_t ends_ns, int64_t static_price,
                const wire_report *applied) {
    if (state == TRADING_STATE_OPEN) plain_uncross(book, c, in);
    in->state = state;
    in->auction_ends_ns = ends_ns;
    if (static_price > 0) in->static_price = static_price;
    plain_event_state(book, c, in, 0);
    if (applied != NULL) plain_report_applied(book, c, *applied);
    if (state == TRADING_STATE_CLOSED) {
        uint64_t above = 0;
        for (order *o = next_of_day(in, 0); o != NULL; o = next_of_day(in, above)) {
            above = o->id;
            plain_cancel_open(book, c, o, CODE_CANCELLED_SESSION_CLOSED, 0);
        }
    }
    if (state == TRADING_STATE_OPEN) plain_fire(book, c, in, true);
}

uint16_t plain_instrument_state(plain *book, const command *c) {
    const wire_instrument_state *w = &AS(wire_instrument_state, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (!plain_all_zero(w->zero2, sizeof w->zero2)) return CODE_MALFORMED;
    if (!between(TRADING_STATE_OPEN, w->trading_state, TRADING_STATE_CLOSED)) return CODE_MALFORMED;
    const bool auction = w->trading_state == TRADING_STATE_PRE_OPEN || w->trading_state == TRADING_STATE_AUCTION;
    if (w->auction_ends_ns != 0 && !auction) return CODE_MALFORMED;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    if (!between(0, w->static_price_ticks, PRICE_TICKS_MAX)) return CODE_LIMITS_INVALID;
    if (w->auction_ends_ns > 0 && w->auction_ends_ns <= c->received_ns) return CODE_EXPIRY_PASSED;
    const wire_report applied = {.instrument = in->number};
    plain_move(book, c, in, w->trading_state, w->auction_ends_ns, w->static_price_ticks, &applied);
    return CODE_NONE;
}

/* ---- The circuit breaker ----------------------------------------------------------------------------------------- */

static bool beyond(int64_t price, int64_t around, uint32_t ppm) {
    if (ppm == 0 || around == 0) return false;
    return price > plain_bound(around, ppm, SIDE_BUY) || price < plain_bound(around, ppm, SIDE_SELL);
}

/* What keeps a trade at this price from happening: level 3, 2 or 1, the band as 4; 0: nothing. */
int plain_breaker_level(const instrument *in, int64_t price, int64_t static_price, int64_t reference) {
    for (int level = 3; level >= 1; level--)
        if (beyond(price, static_price, in->breakers[level].ppm)) return level;
    return beyond(price, reference, in->breakers[0].ppm) ? 4 : 0;
}

uint16_t plain_circuit_breaker(plain *book, const command *c) {
    const wire_circuit_breaker *w = &AS(wire_circuit_breaker, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    const breaker all[4] = {{w->band_ppm, w->band_ms},
                            {w->level1_ppm, w->level1_ms},
                            {w->level2_ppm, w->level2_ms},
                            {w->level3_ppm, w->level3_ms}};
    for (int i = 0; i < 4; i++) {
        if (all[i].ppm > COLLAR_PPM_MAX || (all[i].ppm == 0 && all[i].ms > 0)) return CODE_LIMITS_INVALID;
        for (int lower = 1; lower < i; lower++)
            if (all[i].ppm > 0 && all[lower].ppm >= all[i].ppm) return CODE_LIMITS_INVALID;
    }
    memcpy(in->breakers, all, sizeof all);
    return CODE_NONE;
}
