/* Sections 3 and 7: the reasons to refuse, in the order in which they win. */
#include "state.h"

bool plain_all_zero(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0) return false;
    return true;
}

/* A set flags byte, here or in a prefix, is wrong in every kind; terms and links belong to new orders only. */
bool plain_command_malformed(const command *c) {
    if (c->kind != KIND_NEW_ORDER && (c->terms != NULL || c->link != NULL)) return true;
    return c->prefix_malformed || c->bytes[1] != 0;
}

static bool new_order_malformed(const command *c, const order *o) {
    const wire_new_order *w = &AS(wire_new_order, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return true;
    if (!between(SIDE_BUY, w->side, SIDE_SELL)) return true;
    if (!between(ORDER_TYPE_LIMIT, w->order_type, ORDER_TYPE_MARKET_BY_QUOTE)) return true;
    if (!between(TIME_IN_FORCE_GOOD_TILL_CANCELLED, w->time_in_force, TIME_IN_FORCE_FILL_OR_KILL)) return true;
    if (!between(SELF_TRADE_PREVENTION_NONE, w->self_trade_prevention, SELF_TRADE_PREVENTION_DECREMENT)) return true;
    if (w->options > ORDER_OPTION_POST_ONLY) return true;
    const bool stays = w->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED;
    if (w->order_type == ORDER_TYPE_MARKET && stays) return true;
    if (w->order_type == ORDER_TYPE_MARKET_BY_QUOTE && w->time_in_force != TIME_IN_FORCE_IMMEDIATE_OR_CANCEL)
        return true;
    if (w->options == ORDER_OPTION_POST_ONLY && !can_rest(o)) return true;
    if (c->terms != NULL && plain_terms_malformed(o, c->terms)) return true;
    return c->link != NULL && plain_link_malformed(o, c->link);
}

/* Step 3's second half. Leaves in *partner the order to be linked with. */
static uint16_t check_link(plain *book, const command *c, const order *o, order **partner) {
    const wire_order_link *w = c->link;
    order *named = plain_order_named(book, o->account, o->instrument, w->order_id, w->target_client_order_id);
    if (named == NULL) return CODE_UNKNOWN_ORDER;
    if (w->action == LINK_ACTION_CANCEL_FIRST) {
        plain_cancel_open(book, c, named, CODE_CANCELLED_BY_REQUEST, named->key == c->key ? c->client_sequence : 0);
        return CODE_NONE;
    }
    if (named->side != o->side || named->linked != 0 || is_unlit(named)) return CODE_LINK_INVALID;
    *partner = named;
    return CODE_NONE;
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

static bool before_opening(const instrument *in) {
    return in->state == TRADING_STATE_PRE_OPEN || in->state == TRADING_STATE_AUCTION;
}

static bool instrument_halted(const instrument *in) {
    return in->state == TRADING_STATE_HALTED || in->state == TRADING_STATE_CLOSED;
}

static bool not_in_this_state(const instrument *in, const order *o) {
    if (!before_opening(in)) return false;
    if (!waits(o) && !can_rest(o)) return true;
    return (o->options & ORDER_OPTION_POST_ONLY) != 0 || is_unlit(o) || o->minimum != 0;
}

static uint16_t check_state(const plain *book, const account *who, const instrument *in, const order *o) {
    if (book->everything_halted) return CODE_EVERYTHING_HALTED;
    if (instrument_halted(in)) return CODE_INSTRUMENT_HALTED;
    if (o != NULL && not_in_this_state(in, o)) return CODE_NOT_IN_THIS_STATE;
    return who->halted ? CODE_ACCOUNT_HALTED : CODE_NONE;
}

/* ---- Price and quantity ------------------------------------------------------------------------------------------ */

static bool has_collar(const instrument *in) { return in->collar_ppm > 0 && in->reference > 0; }

static uint16_t check_quantity(const account *who, const instrument *in, int64_t lots) {
    if (lots < in->quantity_min) return CODE_QUANTITY_TOO_SMALL;
    if (in->quantity_max > 0 && lots > in->quantity_max) return CODE_QUANTITY_TOO_LARGE;
    if (who->quantity_max > 0 && lots > who->quantity_max) return CODE_QUANTITY_TOO_LARGE;
    return CODE_NONE;
}

/* Step 7; 0: a buy that lacks its cap. */
static int64_t effective_price(const instrument *in, const order *o) {
    if (o->price > 0) return o->price;
    if (has_collar(in) && !waits(o)) return plain_bound(in->reference, in->collar_ppm, o->side);
    return o->side == SIDE_BUY ? 0 : 1;
}

/* How many lots a market_by_quote order asks for. */
static int64_t lots_for_amount(instrument *in, const order *o, int64_t price) {
    const order *best = *plain_book_side(in, SIDE_SELL);
    if (o->side == SIDE_BUY && best != NULL) price = (int64_t)plain_least(price, best->price);
    return (int64_t)plain_least(o->amount / ((wide)price * (wide)in->quote_units), QUANTITY_LOTS_MAX);
}

/* Steps 5 to 7; leaves the effective price, and a market_by_quote order's quantity, in the order. */
static uint16_t check_price(const account *who, instrument *in, order *o, uint64_t received_ns) {
    const bool limit = o->type == ORDER_TYPE_LIMIT, by_quote = o->type == ORDER_TYPE_MARKET_BY_QUOTE;
    if (!between(limit ? 1 : 0, o->price, PRICE_TICKS_MAX)) return CODE_PRICE_INVALID;
    if (limit && o->peg == PEG_NONE && !plain_on_tick(in, o->price)) return CODE_PRICE_NOT_ON_TICK;
    if (by_quote && !between(1, o->amount, UNITS_MAX)) return CODE_QUANTITY_INVALID;
    if (!by_quote && !between(1, o->rest, QUANTITY_LOTS_MAX)) return CODE_QUANTITY_INVALID;
    const int64_t price = effective_price(in, o);
    if (!by_quote && price > 0 && !plain_on_lot(in, price, o->rest)) return CODE_QUANTITY_NOT_ON_LOT;
    uint16_t code = plain_check_terms(o, received_ns);
    if (code != CODE_NONE) return code;
    if (by_quote && price > 0) o->rest = lots_for_amount(in, o, price);
    if (!by_quote || price > 0) code = check_quantity(who, in, o->rest);
    if (code != CODE_NONE) return code;
    if (price == 0) return CODE_PRICE_CAP_REQUIRED;
    o->price = price;
    return CODE_NONE;
}

static uint16_t check_notional(const account *who, const instrument *in, const order *o, int64_t price, int64_t lots) {
    const wide n = o->amount > 0 ? o->amount : plain_notional(in, price, lots);
    const bool market_sell = o->type == ORDER_TYPE_MARKET && o->side == SIDE_SELL;
    if (lots == 0 || (n < in->notional_min && !market_sell)) return CODE_NOTIONAL_TOO_SMALL;
    if (n > UNITS_MAX || plain_base_amount(in, lots) > UNITS_MAX) return CODE_NOTIONAL_TOO_LARGE;
    if (who->notional_max > 0 && n > who->notional_max) return CODE_NOTIONAL_TOO_LARGE;
    return CODE_NONE;
}

static bool outside_collar(const instrument *in, uint8_t side, int64_t price) {
    if (!has_collar(in)) return false;
    const int64_t bound = plain_bound(in->reference, in->collar_ppm, side);
    return side == SIDE_BUY ? price > bound : price < bound;
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

static bool rate_exceeded(const account *who, uint64_t received_ns) {
    if (who->rate_max == 0) return false;
    const uint64_t window_ns = (who->rate_window_ms == 0 ? 1000ull : who->rate_window_ms) * 1000000;
    return received_ns / window_ns == who->rate_window && who->rate_count >= who->rate_max;
}

static uint16_t check_order_counts(const plain *book, const account *who, const instrument *in, const order *o) {
    const bool stays = o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED || waits(o);
    if (who->open_orders_max > 0 && stays && plain_order_count(book, o->account) >= who->open_orders_max)
        return CODE_OPEN_ORDERS_EXCEEDED;
    uint32_t unlit = 0, trailing = 0;
    for (const order *x = in->lists[LIST_UNLIT_BUYS + (o->side == SIDE_SELL)]; x != NULL; x = x->next) unlit++;
    for (int list = LIST_RISING; list <= LIST_FALLING; list++)
        for (const order *x = in->lists[list]; x != NULL; x = x->next)
            trailing += x->trigger == TRIGGER_TRAILING && x->side == o->side;
    if (is_unlit(o) && unlit >= UNLIT_ORDERS_MAX) return CODE_SPECIAL_ORDERS_EXCEEDED;
    if (o->trigger == TRIGGER_TRAILING && trailing >= TRAILING_ORDERS_MAX) return CODE_SPECIAL_ORDERS_EXCEEDED;
    return CODE_NONE;
}

static bool position_exceeded(const account *who, uint32_t instrument, uint8_t side, wide more) {
    const int64_t limit = who->position_max == 0 || who->position_max > UNITS_MAX ? UNITS_MAX : who->position_max;
    const position *p = plain_position_find(who, instrument);
    const wide lots = p != NULL ? p->lots : 0, buy = p != NULL ? p->open_buy : 0, sell = p != NULL ? p->open_sell : 0;
    return (side == SIDE_BUY ? lots + buy : -lots + sell) + more > limit;
}

/* ---- What the book says ------------------------------------------------------------------------------------------ */

static uint16_t check_book(const instrument *in, const order *o) {
    if (waits(o)) return CODE_NONE;
    const run r = plain_run_begin(in, o);
    int64_t unused;
    if ((o->options & ORDER_OPTION_POST_ONLY) && in->state == TRADING_STATE_OPEN &&
        plain_best_maker(in, o, &r, &unused) != NULL)
        return CODE_POST_ONLY_WOULD_TAKE;
    if (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL && !plain_walk_finds(in, o, o->rest))
        return CODE_FILL_OR_KILL_UNFILLABLE;
    if (o->minimum > 0 && !plain_walk_finds(in, o, o->minimum)) return CODE_MINIMUM_UNFILLABLE;
    return CODE_NONE;
}

/* What an order of this side may lock: free, and as far below zero as the floor allows. */
static wide funds_of(account *who, const instrument *in, uint8_t side) {
    const balance *b = plain_balance_of(who, side == SIDE_BUY ? in->quote : in->base);
    return (wide)b->free - b->floor;
}

static wide lock_of_new(const instrument *in, const order *o, const order *partner) {
    wide lock = plain_need(in, o, o->price, o->rest);
    if (o->amount > 0 && o->side == SIDE_BUY) lock = plain_with_fee(o, o->amount);
    return partner == NULL ? lock : plain_most(lock - partner->lock, 0);
}

static void set_rates(const account *who, const instrument *in, order *o) {
    const fee_tier *tier = &in->tiers[who->tier];
    o->maker_ppm = tier->set ? tier->maker_ppm : in->maker_ppm;
    o->taker_ppm = tier->set ? tier->taker_ppm : in->taker_ppm;
}

/* ---- The two orders of checks ------------------------------------------------------------------------------------ */

/* Steps 5 to 16. */
static uint16_t check_order(plain *book, const command *c, account *who, instrument *in, order *o,
                            const order *partner) {
    uint16_t code;
    if ((code = check_price(who, in, o, c->received_ns)) != CODE_NONE) return code;
    if ((code = check_notional(who, in, o, o->price, o->rest)) != CODE_NONE) return code;
    if (!waits(o) && outside_collar(in, o->side, o->price)) return CODE_PRICE_OUTSIDE_COLLAR;
    if (o->client_order_id > 0 && plain_order_find_by_client(book, o->account, o->client_order_id) != NULL)
        return CODE_DUPLICATE_CLIENT_ORDER_ID;
    if (rate_exceeded(who, c->received_ns)) return CODE_ORDER_RATE_EXCEEDED;
    if ((code = check_order_counts(book, who, in, o)) != CODE_NONE) return code;
    if (position_exceeded(who, in->number, o->side, o->rest)) return CODE_POSITION_EXCEEDED;
    if ((code = plain_check_waiting(in, o)) != CODE_NONE) return code;
    if ((code = check_book(in, o)) != CODE_NONE) return code;
    const wide lock = lock_of_new(in, o, partner);
    if (funds_of(who, in, o->side) < lock) return CODE_INSUFFICIENT_FUNDS;
    o->lock = (int64_t)lock;
    return CODE_NONE;
}

/* `o` holds what the command says of the order; its price, quantity, fee rates and lock are settled here. */
uint16_t plain_check_new_order(plain *book, const command *c, order *o, order **partner) {
    uint16_t code = plain_take_nonce(book, c);
    if (code != CODE_NONE) return code;
    if (new_order_malformed(c, o)) return CODE_MALFORMED;
    account *who = plain_account_find(book, o->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    instrument *in = plain_instrument_find(book, o->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    if (c->link != NULL && (code = check_link(book, c, o, partner)) != CODE_NONE) return code;
    if ((code = check_state(book, who, in, o)) != CODE_NONE) return code;
    set_rates(who, in, o);
    return check_order(book, c, who, in, o, *partner);
}

/* Section 7, from `replace_unsupported` on. */
uint16_t plain_check_replace(plain *book, const command *c, const order *o) {
    const wire_replace *w = &AS(wire_replace, c);
    account *who = plain_account_find(book, o->account);
    instrument *in = plain_instrument_find(book, o->instrument);
    if (waits(o) || is_unlit(o) || o->linked != 0) return CODE_REPLACE_UNSUPPORTED;
    uint16_t code = check_state(book, who, in, NULL);
    if (code != CODE_NONE) return code;
    if (!between(1, w->price_ticks, PRICE_TICKS_MAX)) return CODE_PRICE_INVALID;
    if (!plain_on_tick(in, w->price_ticks)) return CODE_PRICE_NOT_ON_TICK;
    if (!between(1, w->quantity_lots, QUANTITY_LOTS_MAX)) return CODE_QUANTITY_INVALID;
    if (!plain_on_lot(in, w->price_ticks, w->quantity_lots)) return CODE_QUANTITY_NOT_ON_LOT;
    if (o->display > 0 && w->quantity_lots > o->display * ICEBERG_PARTS_MAX) return CODE_TERMS_INVALID;
    if ((code = check_quantity(who, in, w->quantity_lots)) != CODE_NONE) return code;
    if (w->quantity_lots <= o->filled) return CODE_REPLACE_QUANTITY_FILLED;
    if ((code = check_notional(who, in, o, w->price_ticks, w->quantity_lots)) != CODE_NONE) return code;
    if (outside_collar(in, o->side, w->price_ticks)) return CODE_PRICE_OUTSIDE_COLLAR;
    if (rate_exceeded(who, c->received_ns)) return CODE_ORDER_RATE_EXCEEDED;
    order then = *o;
    then.price = w->price_ticks;
    then.rest = w->quantity_lots - o->filled;
    then.minimum = 0; /* that was a matter of its entry */
    if (position_exceeded(who, in->number, o->side, (wide)then.rest - o->rest)) return CODE_POSITION_EXCEEDED;
    if ((code = check_book(in, &then)) != CODE_NONE) return code;
    const bool keeps_place = w->price_ticks == o->price && then.rest <= o->rest;
    if (keeps_place) return CODE_NONE;
    if (funds_of(who, in, o->side) + o->lock < plain_need(in, o, then.price, then.rest)) return CODE_INSUFFICIENT_FUNDS;
    return CODE_NONE;
}
