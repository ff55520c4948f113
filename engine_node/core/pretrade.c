/* Pre-trade checks: may this command be carried out? Every check of rules.md 3, 6 and 7, in the order in which codes
 * win.
 *
 * The checks only look: whatever they answer, nothing has changed. A parent asks them in order and takes the first
 * code.
 */
#include "internal.h"

bool account_known(const core *c, uint32_t number) {
    return number < c->options.account_count_max && c->accounts[number].firm != 0;
}
bool asset_known(const core *c, uint32_t number) {
    return number < c->options.asset_count_max && c->assets[number].defined;
}
bool instrument_known(const core *c, uint32_t number) {
    return number < c->options.instrument_count_max && c->instruments[number].base_units_per_lot != 0;
}

/* Does an order of that side and price meet one of the other side at that price? */
bool crosses(uint8_t side, int64_t price_ticks, int64_t other_price_ticks) {
    return side == SIDE_BUY ? other_price_ticks <= price_ticks : other_price_ticks >= price_ticks;
}

static bool new_order_well_formed(const wire_new_order *o) {
    const bool market = is_market(o->order_type),
               good_till_cancelled = o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED;
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return false;
    if (o->side != SIDE_BUY && o->side != SIDE_SELL) return false;
    if (o->order_type < ORDER_TYPE_LIMIT || o->order_type > ORDER_TYPE_MARKET_BY_QUOTE) return false;
    if (o->time_in_force < TIME_IN_FORCE_GOOD_TILL_CANCELLED || o->time_in_force > TIME_IN_FORCE_FILL_OR_KILL)
        return false;
    if (o->self_trade_prevention < SELF_TRADE_PREVENTION_NONE ||
        o->self_trade_prevention > SELF_TRADE_PREVENTION_DECREMENT)
        return false;
    if ((o->options & ~ORDER_OPTION_POST_ONLY) != 0) return false;
    if (market && good_till_cancelled) return false;
    if (o->order_type == ORDER_TYPE_MARKET_BY_QUOTE && o->time_in_force != TIME_IN_FORCE_IMMEDIATE_OR_CANCEL)
        return false;
    return (o->options & ORDER_OPTION_POST_ONLY) == 0 || (!market && good_till_cancelled);
}

/* May a new order be gathered for an auction? It must be able to stay, and not depend on a book that trades. */
static bool may_gather(const wire_new_order *o, const wire_order_terms *terms) {
    if ((o->options & ORDER_OPTION_POST_ONLY) != 0) return false;
    if (terms != NULL && (terms_unlit(terms) || terms->minimum_lots != 0)) return false;
    return (o->order_type == ORDER_TYPE_LIMIT && o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED) ||
           (terms != NULL && terms->trigger != TRIGGER_NONE);
}

/* o: NULL for a replacement, which every auction takes. terms: NULL without any. */
static uint16_t check_halts(const core *c, const instrument *i, const account *a, const wire_new_order *o,
                            const wire_order_terms *terms) {
    if (c->everything_halted) return CODE_EVERYTHING_HALTED;
    if (UNLIKELY(i->trading_state != TRADING_STATE_OPEN)) {
        if (!state_gathers(i->trading_state)) return CODE_INSTRUMENT_HALTED;
        if (o != NULL && !may_gather(o, terms)) return CODE_NOT_IN_THIS_STATE;
    }
    return a->halted ? CODE_ACCOUNT_HALTED : CODE_NONE;
}

static uint16_t check_size(const instrument *i, const account *a, int64_t quantity_lots) {
    if (quantity_lots < i->quantity_lots_min) return CODE_QUANTITY_TOO_SMALL;
    if (i->quantity_lots_max > 0 && quantity_lots > i->quantity_lots_max) return CODE_QUANTITY_TOO_LARGE;
    return a->quantity_lots_max > 0 && quantity_lots > a->quantity_lots_max ? CODE_QUANTITY_TOO_LARGE : CODE_NONE;
}

/* The most aggressive price that the collar lets an order of that side have; 0 if there is no collar. */
static int64_t collar_bound(const instrument *i, uint8_t side) {
    if (i->collar_ppm == 0 || i->reference_price_ticks == 0) return 0;
    const __int128 reference = i->reference_price_ticks;
    if (side == SIDE_BUY) {
        const __int128 bound = reference * (PPM + (int64_t)i->collar_ppm) / PPM;
        return bound > PRICE_TICKS_MAX ? PRICE_TICKS_MAX : (int64_t)bound;
    }
    const __int128 bound = (reference * (PPM - (int64_t)i->collar_ppm) + PPM - 1) / PPM;
    return bound < 1 ? 1 : (int64_t)bound;
}

static uint16_t check_notional(const instrument *i, const account *a, int64_t price_ticks, int64_t quantity_lots,
                               bool least_matters, int64_t *notional_units) {
    if (!notional_of(i, price_ticks, quantity_lots, notional_units)) return CODE_NOTIONAL_TOO_LARGE;
    const int64_t units = *notional_units;
    if (least_matters && units < i->notional_units_min) return CODE_NOTIONAL_TOO_SMALL;
    if ((unsigned __int128)quantity_lots * i->base_units_per_lot > (unsigned __int128)UNITS_MAX)
        return CODE_NOTIONAL_TOO_LARGE;
    return a->notional_units_max > 0 && units > a->notional_units_max ? CODE_NOTIONAL_TOO_LARGE : CODE_NONE;
}

static uint16_t check_collar(const instrument *i, uint8_t side, int64_t price_ticks) {
    const int64_t bound = collar_bound(i, side);
    if (bound == 0) return CODE_NONE;
    return (side == SIDE_BUY ? price_ticks > bound : price_ticks < bound) ? CODE_PRICE_OUTSIDE_COLLAR : CODE_NONE;
}

static uint64_t rate_window(const core *c, const account *a) {
    const uint64_t window_ms = a->order_rate_window_ms == 0 ? 1000 : a->order_rate_window_ms;
    return c->received_ns / (window_ms * 1000000ull);
}

static uint16_t check_rate(const core *c, const account *a) {
    if (a->order_rate_max == 0 || a->rate_window != rate_window(c, a)) return CODE_NONE;
    return a->rate_count >= a->order_rate_max ? CODE_ORDER_RATE_EXCEEDED : CODE_NONE;
}

/* Count one order or replacement taken. Without a limit nothing is counted: nobody looks. */
void rate_count(core *c, account *a) {
    if (a->order_rate_max == 0) return;
    const uint64_t window = rate_window(c, a), count = a->rate_window == window ? a->rate_count + 1 : 1;
    c->digest += a->digest_key * (mix(10) * (window - a->rate_window) + mix(11) * (count - a->rate_count));
    a->rate_window = window;
    a->rate_count = count;
}

/* position: may be NULL (none yet). added_lots: what comes on top of what is open already. */
static uint16_t check_position(const account *a, const position *p, uint8_t side, int64_t added_lots) {
    const int64_t limit = a->position_lots_max;
    const int64_t most = limit > 0 && limit < UNITS_MAX ? limit : UNITS_MAX; /* so that sums stay within 64 bits */
    const __int128 held = p == NULL ? 0 : p->position_lots;
    const __int128 open = p == NULL ? 0 : side == SIDE_BUY ? p->open_buy_lots : p->open_sell_lots;
    return (side == SIDE_BUY ? held : -held) + open + added_lots > most ? CODE_POSITION_EXCEEDED : CODE_NONE;
}

/* Is there a maker for it? t: side, price, rest and kind of the order; its book may not be crossed. */
static uint16_t check_post_only(const core *c, const instrument *i, const taker *t) {
    return maker_for(c, i, t).slot != 0 ? CODE_POST_ONLY_WOULD_TAKE : CODE_NONE;
}

/* The same for an order that rests and is to rest elsewhere: unlit makers are priced without it. */
static uint16_t check_replaced_post_only(const core *c, const instrument *i, const book_order *b,
                                         const wire_replace *o) {
    taker t = {.side = b->side,
               .order_type = ORDER_TYPE_LIMIT,
               .reach_ticks = o->price_ticks,
               .rest_lots = o->quantity_lots - b->filled_lots};
    if (i->unseen_orders[b->side == SIDE_BUY] != 0) {
        taker_touch(c, i, &t);
        const book_level *l = &c->levels[b->level];
        int64_t *own_ticks = b->side == SIDE_BUY ? &t.bid_ticks : &t.ask_ticks;
        if (place_of(c, b) == PLACE_DISPLAYED && l->better == 0 && l->order_count == 1)
            *own_ticks = l->worse == 0 ? 0 : c->levels[l->worse].price_ticks;
    }
    return check_post_only(c, i, &t);
}

/* The price that rules: the limit, or a market order's cap (rules.md 3, step 7). */
static uint16_t effective_price(const instrument *i, const wire_new_order *o, bool waits, int64_t *price_ticks) {
    *price_ticks = o->price_ticks;
    if (!is_market(o->order_type) || o->price_ticks != 0) return CODE_NONE;
    const int64_t bound = waits ? 0 : collar_bound(i, o->side);
    if (bound == 0 && o->side == SIDE_BUY) return CODE_PRICE_CAP_REQUIRED;
    *price_ticks = bound == 0 ? 1 : bound;
    return CODE_NONE;
}

/* What the checks make of a new order. They are compiled twice: for plain orders, which have no terms and no
 * amount, and for all others; whatever asks for either is not there for plain ones. */
typedef struct entry {
    const wire_new_order *o;
    const wire_order_terms *terms; /* NULL without any */
    bool by_quote;
    int64_t price_ticks;   /* that rules */
    int64_t quantity_lots; /* of a market_by_quote order: made of its amount */
    int64_t notional_units;
    uint64_t client_hash;
} entry;

static inline bool waits(const entry *e) { return UNLIKELY(e->terms != NULL) && e->terms->trigger != TRIGGER_NONE; }

#define ONCE_FOR_EACH static inline __attribute__((always_inline))

ONCE_FOR_EACH bool quantity_valid(const entry *e) {
    return e->o->quantity_lots >= 1 && e->o->quantity_lots <= (e->by_quote ? UNITS_MAX : QUANTITY_LOTS_MAX);
}

/* How many lots an amount is worth at the price that rules, for a buy at the best ask if that is lower (rules.md
 * 13). */
static int64_t lots_of_amount(const core *c, const instrument *i, const wire_new_order *o, int64_t price_ticks) {
    const uint32_t best = i->sides[SIDES_DISPLAYED + 1].best;
    if (o->side == SIDE_BUY && best != 0 && c->levels[best].price_ticks < price_ticks)
        price_ticks = c->levels[best].price_ticks;
    const unsigned __int128 lots =
        (unsigned __int128)o->quantity_lots / ((unsigned __int128)price_ticks * i->quote_units_per_tick_lot);
    return lots > (unsigned __int128)QUANTITY_LOTS_MAX ? QUANTITY_LOTS_MAX : (int64_t)lots;
}

static uint16_t check_amount(const instrument *i, const account *a, int64_t units, int64_t quantity_lots) {
    if (quantity_lots == 0 || units < i->notional_units_min) return CODE_NOTIONAL_TOO_SMALL;
    if ((unsigned __int128)quantity_lots * i->base_units_per_lot > (unsigned __int128)UNITS_MAX)
        return CODE_NOTIONAL_TOO_LARGE;
    return a->notional_units_max > 0 && units > a->notional_units_max ? CODE_NOTIONAL_TOO_LARGE : CODE_NONE;
}

/* Price and quantity against an instrument's price steps (rules.md 19), which few have. */
static uint16_t check_steps(const core *c, const instrument *i, entry e, bool priced) {
    const wire_new_order *o = e.o;
    const bool pegged = e.terms != NULL && e.terms->peg != PEG_NONE;
    if (o->order_type == ORDER_TYPE_LIMIT && !pegged && !price_on_tick(c, i, o->price_ticks))
        return CODE_PRICE_NOT_ON_TICK;
    if (!quantity_valid(&e)) return CODE_QUANTITY_INVALID;
    return priced && !e.by_quote && !quantity_on_lot(c, i, e.price_ticks, o->quantity_lots) ? CODE_QUANTITY_NOT_ON_LOT
                                                                                            : CODE_NONE;
}

/* Steps 5 to 9: what the order says by itself. */
ONCE_FOR_EACH uint16_t check_numbers(const core *c, const instrument *i, const account *a, entry *e) {
    const wire_new_order *o = e->o;
    uint16_t code;
    if (o->price_ticks < (is_market(o->order_type) ? 0 : 1) || o->price_ticks > PRICE_TICKS_MAX)
        return CODE_PRICE_INVALID;
    const uint16_t price_code = effective_price(i, o, waits(e), &e->price_ticks);
    if (UNLIKELY(i->price_step_count > 0) && (code = check_steps(c, i, *e, price_code == CODE_NONE)) != CODE_NONE)
        return code;
    if (!quantity_valid(e)) return CODE_QUANTITY_INVALID;
    if (UNLIKELY(e->terms != NULL) && (code = check_terms(c, o, e->terms)) != CODE_NONE) return code;
    e->quantity_lots = o->quantity_lots;
    if (e->by_quote) {
        if (price_code != CODE_NONE) return price_code; /* without a price there is no quantity to look at */
        e->quantity_lots = lots_of_amount(c, i, o, e->price_ticks);
    }
    if ((code = check_size(i, a, e->quantity_lots)) != CODE_NONE) return code;
    if (price_code != CODE_NONE) return price_code;
    int64_t notional_units = o->quantity_lots;
    code = e->by_quote ? check_amount(i, a, o->quantity_lots, e->quantity_lots)
                       : check_notional(i, a, e->price_ticks, e->quantity_lots,
                                        o->order_type != ORDER_TYPE_MARKET || o->side != SIDE_SELL, &notional_units);
    e->notional_units = notional_units;
    if (code != CODE_NONE) return code;
    return waits(e) ? CODE_NONE : check_collar(i, o->side, e->price_ticks);
}

/* Steps 4 to 12: what can be said without the account's position or the book. */
ONCE_FOR_EACH uint16_t check_order_itself(const core *c, const instrument *i, const account *a, entry *e) {
    const wire_new_order *o = e->o;
    uint16_t code = check_halts(c, i, a, o, e->terms);
    if (code != CODE_NONE) return code;
    if ((code = check_numbers(c, i, a, e)) != CODE_NONE) return code;
    if (o->client_order_id != 0 && order_find_hashed(c, e->client_hash, o->account, o->client_order_id) != 0)
        return CODE_DUPLICATE_CLIENT_ORDER_ID;
    if ((code = check_rate(c, a)) != CODE_NONE) return code;
    if (a->open_orders_max > 0 && (o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED || waits(e)) &&
        a->open_orders >= a->open_orders_max)
        return CODE_OPEN_ORDERS_EXCEEDED;
    if (waits(e) && e->terms->trigger == TRIGGER_TRAILING && i->trail_count[o->side - 1] >= TRAILING_ORDERS_MAX)
        return CODE_SPECIAL_ORDERS_EXCEEDED;
    return UNLIKELY(e->terms != NULL) && terms_unlit(e->terms) && i->unlit[o->side - 1].count >= UNLIT_ORDERS_MAX
               ? CODE_SPECIAL_ORDERS_EXCEEDED
               : CODE_NONE;
}

/* Steps 14 and 15, for one that does not wait: what it would meet in the book. */
static uint16_t check_makers(const core *c, const instrument *i, const wire_new_order *o, int64_t minimum_lots,
                             taker *t) {
    const bool fill_or_kill = o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL;
    if (i->unseen_orders[o->side == SIDE_BUY] != 0) taker_touch(c, i, t);
    if ((o->options & ORDER_OPTION_POST_ONLY) && i->trading_state == TRADING_STATE_OPEN)
        return check_post_only(c, i, t); /* which is good till cancelled and has no minimum */
    if (fill_or_kill && !walk_finds(c, i, t, t->rest_lots)) return CODE_FILL_OR_KILL_UNFILLABLE;
    return minimum_lots > 0 && !walk_finds(c, i, t, minimum_lots) ? CODE_MINIMUM_UNFILLABLE : CODE_NONE;
}

/* The position of the order's account and instrument, 0 if there is none yet. */
static inline uint32_t position_of(const core *c, const wire_new_order *o) {
    const uint32_t guess = lookup_now(c)->position;
    const position *p = &c->positions[guess];
    if (guess != 0 && p->account == o->account && p->instrument == o->instrument) return guess;
    return position_find(c, o->account, o->instrument);
}

/* rules.md 3, steps 2 and 3, of one that has no prefixes. */
static inline uint16_t check_plain_entry(const core *c, const wire_new_order *o) {
    if (UNLIKELY(!new_order_well_formed(o))) return CODE_MALFORMED;
    if (UNLIKELY(!account_known(c, o->account))) return CODE_UNKNOWN_ACCOUNT;
    return LIKELY(instrument_known(c, o->instrument)) ? CODE_NONE : CODE_UNKNOWN_INSTRUMENT;
}

/* rules.md 3, steps 2 and 3. terms, link: NULL without any; *named is the open order that the link names. */
uint16_t check_entry(core *c, const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link,
                     uint32_t *named) {
    if (UNLIKELY(!new_order_well_formed(o))) return CODE_MALFORMED;
    if (UNLIKELY(terms != NULL && !terms_well_formed(o, terms))) return CODE_MALFORMED;
    if (UNLIKELY(link != NULL && !link_well_formed(o, terms, link))) return CODE_MALFORMED;
    if (UNLIKELY(!account_known(c, o->account))) return CODE_UNKNOWN_ACCOUNT;
    if (UNLIKELY(!instrument_known(c, o->instrument))) return CODE_UNKNOWN_INSTRUMENT;
    if (LIKELY(link == NULL)) return CODE_NONE;
    const uint16_t code =
        check_named_order(c, o->account, o->instrument, link->order_id, link->target_client_order_id, named);
    if (code != CODE_NONE || link->action == LINK_ACTION_CANCEL_FIRST) return code;
    return link_valid(c, o->side, *named) ? CODE_NONE : CODE_LINK_INVALID;
}

/* rules.md 3 from step 4 on. On CODE_NONE *t describes the order, its lock not taken yet. partner: the open order
 * that it is to be linked with, 0 for none. */
ONCE_FOR_EACH uint16_t check_order(core *c, entry e, uint32_t partner, taker *t) {
    const wire_new_order *o = e.o;
    const instrument *i = &c->instruments[o->instrument];
    const account *a = &c->accounts[o->account];
    e.client_hash = client_hash(c, o->account, o->client_order_id);
    uint16_t code = check_order_itself(c, i, a, &e);
    if (code != CODE_NONE) return code;
    const uint32_t at = position_of(c, o);
    const position *p = at == 0 ? NULL : &c->positions[at];
    if ((code = check_position(a, p, o->side, e.quantity_lots)) != CODE_NONE) return code;
    if (waits(&e) && (code = check_trigger(i, o->side, e.terms)) != CODE_NONE) return code;
    const fee_tier rates = rates_of(c, i, a);
    int64_t lock = lock_of(i, o->side, e.notional_units, e.quantity_lots, rates.maker_fee_ppm, rates.taker_fee_ppm);
    if (UNLIKELY(partner != 0)) lock = lock > c->rests[partner].lock_units ? lock - c->rests[partner].lock_units : 0;
    *t = (taker){.order_id = c->sequence,
                 .client_order_id = o->client_order_id,
                 .client_hash = e.client_hash,
                 .price_ticks = e.price_ticks,
                 .reach_ticks = e.price_ticks,
                 .rest_lots = e.quantity_lots,
                 .lock_units = lock,
                 .amount_left_units = e.by_quote ? o->quantity_lots : 0,
                 .position = at,
                 .maker_fee_ppm = rates.maker_fee_ppm,
                 .taker_fee_ppm = rates.taker_fee_ppm,
                 .key = (uint16_t)c->run.key,
                 .side = o->side,
                 .options = o->options,
                 .self_trade_prevention = o->self_trade_prevention,
                 .time_in_force = o->time_in_force,
                 .order_type = o->order_type,
                 .rest_code = CODE_CANCELLED_UNFILLED};
    const int64_t minimum_lots = e.terms != NULL ? e.terms->minimum_lots : 0;
    if ((o->options != 0 || o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL || minimum_lots != 0) && !waits(&e) &&
        (code = check_makers(c, i, o, minimum_lots, t)) != CODE_NONE)
        return code;
    const bool buy = o->side == SIDE_BUY;
    const uint32_t from = p == NULL ? balance_find(c, o->account, buy ? i->quote_asset : i->base_asset)
                                    : (buy ? p->quote_balance : p->base_balance);
    return balance_has(c, from, 0, lock) ? CODE_NONE : CODE_INSUFFICIENT_FUNDS;
}

uint16_t check_new_order(core *c, const wire_new_order *o, const wire_order_terms *terms, uint32_t partner, taker *t) {
    return check_order(c, (entry){.o = o, .terms = terms, .by_quote = o->order_type == ORDER_TYPE_MARKET_BY_QUOTE},
                       partner, t);
}

/* All of rules.md 3 behind the nonce, for an order without prefixes. */
uint16_t check_plain_order(core *c, const wire_new_order *o, taker *t) {
    const uint16_t code = check_plain_entry(c, o);
    if (UNLIKELY(code != CODE_NONE)) return code;
    if (UNLIKELY(o->order_type == ORDER_TYPE_MARKET_BY_QUOTE)) return check_new_order(c, o, NULL, 0, t);
    return check_order(c, (entry){.o = o}, 0, t);
}

/* Find the open order that a cancel or replace names (rules.md 6). */
uint16_t check_named_order(core *c, uint32_t account_number, uint32_t instrument_number, uint64_t order_id,
                           uint64_t client_order_id, uint32_t *slot) {
    if ((order_id == 0) == (client_order_id == 0)) return CODE_MALFORMED;
    if (!account_known(c, account_number)) return CODE_UNKNOWN_ACCOUNT;
    const uint32_t guess = lookup_now(c)->slot;
    const book_order *b = &c->orders[guess];
    uint32_t found = guess;
    const position *p = &c->positions[b->position];
    /* a slot that is free has nothing left to trade */
    if (guess == 0 || b->rest_lots == 0 || p->account != account_number ||
        (order_id != 0 ? b->id != order_id : b->client_order_id != client_order_id)) {
        found = order_id != 0 ? order_find(c, order_id) : order_find_client(c, account_number, client_order_id);
        if (found == 0) return CODE_UNKNOWN_ORDER;
        p = &c->positions[c->orders[found].position];
    }
    if (p->account != account_number || p->instrument != instrument_number) return CODE_UNKNOWN_ORDER;
    *slot = found;
    return CODE_NONE;
}

bool keeps_place(const core *c, const wire_replace *o, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    return o->price_ticks == order_price(c, b) && o->quantity_lots <= b->filled_lots + b->rest_lots;
}

/* What waits, is unlit or linked cannot be replaced. */
static bool can_replace(const core *c, const book_order *b) {
    return place_of(c, b) < PLACE_UNLIT && c->extras[b->extra].linked == 0;
}

/* rules.md 7 behind the order's own existence. On CODE_NONE *lock_units is what it must lock now; what keeps its
 * place never needs more than it has. */
uint16_t check_replace(core *c, const wire_replace *o, uint32_t slot, int64_t *lock_units) {
    const book_order *b = &c->orders[slot];
    const position *p = &c->positions[b->position];
    const account *a = &c->accounts[p->account];
    instrument *i = &c->instruments[p->instrument];
    if (UNLIKELY(b->extra != 0) && !can_replace(c, b)) return CODE_REPLACE_UNSUPPORTED;
    uint16_t code = check_halts(c, i, a, NULL, NULL);
    if (code != CODE_NONE) return code;
    if (o->price_ticks < 1 || o->price_ticks > PRICE_TICKS_MAX) return CODE_PRICE_INVALID;
    const bool steps = i->price_step_count > 0;
    if (UNLIKELY(steps) && !price_on_tick(c, i, o->price_ticks)) return CODE_PRICE_NOT_ON_TICK;
    if (o->quantity_lots < 1 || o->quantity_lots > QUANTITY_LOTS_MAX) return CODE_QUANTITY_INVALID;
    if (UNLIKELY(steps) && !quantity_on_lot(c, i, o->price_ticks, o->quantity_lots)) return CODE_QUANTITY_NOT_ON_LOT;
    const int64_t display_lots = b->extra == 0 ? 0 : c->extras[b->extra].display_lots;
    if (display_lots > 0 && !parts_bounded(display_lots, o->quantity_lots)) return CODE_TERMS_INVALID;
    if ((code = check_size(i, a, o->quantity_lots)) != CODE_NONE) return code;
    if (o->quantity_lots <= b->filled_lots) return CODE_REPLACE_QUANTITY_FILLED;
    int64_t units;
    if ((code = check_notional(i, a, o->price_ticks, o->quantity_lots, true, &units)) != CODE_NONE) return code;
    if ((code = check_collar(i, b->side, o->price_ticks)) != CODE_NONE) return code;
    if ((code = check_rate(c, a)) != CODE_NONE) return code;
    const int64_t rest_lots = o->quantity_lots - b->filled_lots;
    if ((code = check_position(a, p, b->side, rest_lots - b->rest_lots)) != CODE_NONE) return code;
    if ((b->options & ORDER_OPTION_POST_ONLY) && i->trading_state == TRADING_STATE_OPEN &&
        (code = check_replaced_post_only(c, i, b, o)) != CODE_NONE)
        return code;
    *lock_units = lock_for(i, b->side, o->price_ticks, rest_lots, b->maker_fee_ppm, b->taker_fee_ppm);
    if (keeps_place(c, o, slot)) return CODE_NONE;
    const uint32_t from = b->side == SIDE_BUY ? p->quote_balance : p->base_balance;
    return balance_has(c, from, c->rests[slot].lock_units, *lock_units) ? CODE_NONE : CODE_INSUFFICIENT_FUNDS;
}
