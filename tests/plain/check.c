/* Sections 3 and 7: the reasons to refuse, in the order in which they win. */
#include "state.h"

bool plain_all_zero(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0) return false;
    return true;
}

/* A set flags byte, here or in a prefix, is wrong in every kind. */
bool plain_command_malformed(const command *c) { return c->prefix_malformed || c->bytes[1] != 0; }

uint16_t plain_check_halts(const plain *book, const account *who, const instrument *in) {
    if (book->everything_halted) return CODE_EVERYTHING_HALTED;
    if (in->state == TRADING_STATE_HALTED) return CODE_INSTRUMENT_HALTED;
    if (who->halted) return CODE_ACCOUNT_HALTED;
    return CODE_NONE;
}

static bool between(int64_t low, int64_t number, int64_t high) { return low <= number && number <= high; }

static bool has_collar(const instrument *in) { return in->collar_ppm > 0 && in->reference > 0; }

static wide collar_bound(const instrument *in, uint8_t side) {
    if (side == SIDE_BUY)
        return plain_least(plain_floor_div((wide)in->reference * (1000000 + in->collar_ppm), 1000000), PRICE_TICKS_MAX);
    return plain_most(plain_ceil_div((wide)in->reference * (1000000 - (int64_t)in->collar_ppm), 1000000), 1);
}

static uint16_t check_quantity(const account *who, const instrument *in, int64_t lots) {
    if (lots < in->quantity_min) return CODE_QUANTITY_TOO_SMALL;
    if (in->quantity_max > 0 && lots > in->quantity_max) return CODE_QUANTITY_TOO_LARGE;
    if (who->quantity_max > 0 && lots > who->quantity_max) return CODE_QUANTITY_TOO_LARGE;
    return CODE_NONE;
}

static uint16_t check_notional(const account *who, const instrument *in, const order *o, int64_t price, int64_t lots) {
    const wide n = plain_notional(in, price, lots);
    const bool market_sell = o->type == ORDER_TYPE_MARKET && o->side == SIDE_SELL;
    if (n < in->notional_min && !market_sell) return CODE_NOTIONAL_TOO_SMALL;
    if (n > UNITS_MAX || plain_base_amount(in, lots) > UNITS_MAX) return CODE_NOTIONAL_TOO_LARGE;
    if (who->notional_max > 0 && n > who->notional_max) return CODE_NOTIONAL_TOO_LARGE;
    return CODE_NONE;
}

static bool outside_collar(const instrument *in, uint8_t side, int64_t price) {
    if (!has_collar(in)) return false;
    return side == SIDE_BUY ? price > collar_bound(in, side) : price < collar_bound(in, side);
}

static bool rate_exceeded(const account *who, uint64_t received_ns) {
    if (who->rate_max == 0) return false;
    const uint64_t window_ns = (who->rate_window_ms == 0 ? 1000ull : who->rate_window_ms) * 1000000;
    return received_ns / window_ns == who->rate_window && who->rate_count >= who->rate_max;
}

static bool position_exceeded(const account *who, uint32_t instrument, uint8_t side, wide more) {
    const int64_t limit = who->position_max == 0 || who->position_max > UNITS_MAX ? UNITS_MAX : who->position_max;
    const position *p = plain_position_find(who, instrument);
    const wide lots = p != NULL ? p->lots : 0, buy = p != NULL ? p->open_buy : 0, sell = p != NULL ? p->open_sell : 0;
    return (side == SIDE_BUY ? lots + buy : -lots + sell) + more > limit;
}

static bool would_take(instrument *in, uint8_t side, int64_t price) {
    const order *best = *plain_book_side(in, other_side(side));
    return best != NULL && plain_price_reaches(side, price, best->price);
}

static int64_t free_of(account *who, const instrument *in, uint8_t side) {
    return plain_balance_of(who, side == SIDE_BUY ? in->quote : in->base)->free;
}

static bool new_order_malformed(const command *c, const wire_new_order *w) {
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return true;
    if (!between(SIDE_BUY, w->side, SIDE_SELL)) return true;
    if (!between(ORDER_TYPE_LIMIT, w->order_type, ORDER_TYPE_MARKET)) return true;
    if (!between(TIME_IN_FORCE_GOOD_TILL_CANCELLED, w->time_in_force, TIME_IN_FORCE_FILL_OR_KILL)) return true;
    if (!between(SELF_TRADE_PREVENTION_NONE, w->self_trade_prevention, SELF_TRADE_PREVENTION_DECREMENT)) return true;
    if (w->options > ORDER_OPTION_POST_ONLY) return true;
    const bool stays = w->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED;
    if (w->order_type == ORDER_TYPE_MARKET && stays) return true;
    return w->options == ORDER_OPTION_POST_ONLY && !(w->order_type == ORDER_TYPE_LIMIT && stays);
}

/* Steps 5 to 7; leaves the effective price in the order. */
static uint16_t check_price(const account *who, const instrument *in, order *o) {
    const bool market = o->type == ORDER_TYPE_MARKET;
    if (!between(market ? 0 : 1, o->price, PRICE_TICKS_MAX)) return CODE_PRICE_INVALID;
    if (!between(1, o->rest, QUANTITY_LOTS_MAX)) return CODE_QUANTITY_INVALID;
    const uint16_t code = check_quantity(who, in, o->rest);
    if (code != CODE_NONE) return code;
    if (o->price > 0) return CODE_NONE;
    if (has_collar(in)) o->price = (int64_t)collar_bound(in, o->side);
    else if (o->side == SIDE_BUY) return CODE_PRICE_CAP_REQUIRED;
    else o->price = 1;
    return CODE_NONE;
}

/* `o` holds what the command says of the order; its price and fee rates are settled here. */
uint16_t plain_check_new_order(plain *book, const command *c, order *o) {
    uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (new_order_malformed(c, &AS(wire_new_order, c))) return CODE_MALFORMED;
    account *who = plain_account_find(book, o->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    instrument *in = plain_instrument_find(book, o->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    o->maker_ppm = in->maker_ppm;
    o->taker_ppm = in->taker_ppm;
    if ((code = plain_check_halts(book, who, in)) != CODE_NONE) return code;
    if ((code = check_price(who, in, o)) != CODE_NONE) return code;
    if ((code = check_notional(who, in, o, o->price, o->rest)) != CODE_NONE) return code;
    if (outside_collar(in, o->side, o->price)) return CODE_PRICE_OUTSIDE_COLLAR;
    if (o->client_order_id > 0 && plain_order_find_by_client(book, o->account, o->client_order_id) != NULL)
        return CODE_DUPLICATE_CLIENT_ORDER_ID;
    if (rate_exceeded(who, c->received_ns)) return CODE_ORDER_RATE_EXCEEDED;
    if (who->open_orders_max > 0 && o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED &&
        plain_order_count(book, o->account) >= who->open_orders_max)
        return CODE_OPEN_ORDERS_EXCEEDED;
    if (position_exceeded(who, in->number, o->side, o->rest)) return CODE_POSITION_EXCEEDED;
    if ((o->options & ORDER_OPTION_POST_ONLY) && would_take(in, o->side, o->price)) return CODE_POST_ONLY_WOULD_TAKE;
    if (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL && !plain_fillable(in, o)) return CODE_FILL_OR_KILL_UNFILLABLE;
    if (free_of(who, in, o->side) < plain_need(in, o, o->price, o->rest)) return CODE_INSUFFICIENT_FUNDS;
    return CODE_NONE;
}

/* Section 7, from the halts on. */
uint16_t plain_check_replace(plain *book, const command *c, const order *o) {
    const wire_replace *w = &AS(wire_replace, c);
    account *who = plain_account_find(book, o->account);
    instrument *in = plain_instrument_find(book, o->instrument);
    uint16_t code = plain_check_halts(book, who, in);
    if (code != CODE_NONE) return code;
    if (!between(1, w->price_ticks, PRICE_TICKS_MAX)) return CODE_PRICE_INVALID;
    if (!between(1, w->quantity_lots, QUANTITY_LOTS_MAX)) return CODE_QUANTITY_INVALID;
    if ((code = check_quantity(who, in, w->quantity_lots)) != CODE_NONE) return code;
    if (w->quantity_lots <= o->filled) return CODE_REPLACE_QUANTITY_FILLED;
    if ((code = check_notional(who, in, o, w->price_ticks, w->quantity_lots)) != CODE_NONE) return code;
    if (outside_collar(in, o->side, w->price_ticks)) return CODE_PRICE_OUTSIDE_COLLAR;
    if (rate_exceeded(who, c->received_ns)) return CODE_ORDER_RATE_EXCEEDED;
    const int64_t rest = w->quantity_lots - o->filled;
    if (position_exceeded(who, in->number, o->side, (wide)rest - o->rest)) return CODE_POSITION_EXCEEDED;
    if ((o->options & ORDER_OPTION_POST_ONLY) && would_take(in, o->side, w->price_ticks))
        return CODE_POST_ONLY_WOULD_TAKE;
    const bool keeps_place = w->price_ticks == o->price && w->quantity_lots <= o->filled + o->rest;
    if (keeps_place) return CODE_NONE;
    if ((wide)free_of(who, in, o->side) + o->lock < plain_need(in, o, w->price_ticks, rest))
        return CODE_INSUFFICIENT_FUNDS;
    return CODE_NONE;
}
