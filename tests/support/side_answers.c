/* What the core answers when it is asked, against what the plain book has. It names what differs, and so also says
 * where two states part when their digests do. */
#include <inttypes.h>
#include <stdio.h>

#include "plain/state.h"
#include "support/side_by_side.h"

#define ORDERS_MAX 8192
#define DIFFERENCES_TOLD 40u

static uint32_t differences;

static void compare(const char *what, uint64_t a, uint64_t b, const char *field, int64_t fast, int64_t slow) {
    if (fast == slow || differences++ >= DIFFERENCES_TOLD) return;
    fprintf(stderr, "  %s %" PRIu64 " %" PRIu64 " %s: core %" PRId64 ", plain book %" PRId64 "\n", what, a, b, field,
            fast, slow);
}

#define COMPARE(what, a, b, fast, slow)                                                                                \
    compare(what, (uint64_t)(a), (uint64_t)(b), #slow, (int64_t)(fast), (int64_t)(slow))

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

static void compare_order(const core_order_info *i, const order *o) {
    COMPARE("order", o->id, 0, i->order_id, o->id);
    COMPARE("order", o->id, 0, i->client_order_id, o->client_order_id);
    COMPARE("order", o->id, 0, i->priority, o->priority);
    COMPARE("order", o->id, 0, i->account, o->account);
    COMPARE("order", o->id, 0, i->instrument, o->instrument);
    COMPARE("order", o->id, 0, i->key, o->key);
    COMPARE("order", o->id, 0, i->side, o->side);
    COMPARE("order", o->id, 0, i->options, o->options);
    COMPARE("order", o->id, 0, i->self_trade_prevention, o->self_trade);
    COMPARE("order", o->id, 0, i->price_ticks, o->price);
    COMPARE("order", o->id, 0, i->rest_lots, o->rest);
    COMPARE("order", o->id, 0, i->filled_lots, o->filled);
    COMPARE("order", o->id, 0, i->lock_units, o->lock);
    COMPARE("order", o->id, 0, i->place, o->list / 2);
    COMPARE("order", o->id, 0, i->trigger, o->trigger);
    COMPARE("order", o->id, 0, i->peg, o->peg);
    COMPARE("order", o->id, 0, i->term_options, o->terms);
    COMPARE("order", o->id, 0, i->offset_ticks, o->offset);
    COMPARE("order", o->id, 0, i->trigger_price_ticks, o->trigger_price);
    COMPARE("order", o->id, 0, i->display_lots, o->display);
    COMPARE("order", o->id, 0, i->reserve_lots, o->reserve);
    COMPARE("order", o->id, 0, i->expire_ns, o->expire_ns);
    COMPARE("order", o->id, 0, i->linked_order_id, o->linked);
}

/* The core's list against one of the plain book's; answers how many there are. */
static uint32_t compare_list(const core_order_info *found, uint32_t count, const order *o) {
    uint32_t at = 0;
    for (; o != NULL; o = o->next, at++) {
        if (at < count) compare_order(&found[at], o);
        else COMPARE("missing order", o->id, 0, 0, o->id);
    }
    return at;
}

static void compare_levels(const core *c, const instrument *in, uint8_t side) {
    static core_level_info levels[ORDERS_MAX];
    const uint32_t count = core_levels(c, in->number, side, levels, ORDERS_MAX);
    uint32_t at = 0;
    for (const order *o = in->lists[side - 1]; o != NULL; at++) {
        const int64_t price = o->price;
        int64_t lots = 0, orders = 0;
        for (; o != NULL && o->price == price; o = o->next) lots += shown(o), orders++;
        if (at >= count) continue;
        COMPARE("level", in->number, side, levels[at].price_ticks, price);
        COMPARE("level", in->number, side, levels[at].quantity_lots, lots);
        COMPARE("level", in->number, side, levels[at].order_count, orders);
    }
    COMPARE("levels", in->number, side, count, at);
}

static void compare_books(const core *c, const instrument *in) {
    static core_order_info found[ORDERS_MAX];
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        compare_levels(c, in, side);
        uint32_t count = core_book_orders(c, in->number, side, 0, found, ORDERS_MAX);
        const uint32_t displayed = compare_list(found, count, in->lists[LIST_BIDS + side - 1]);
        COMPARE("displayed orders", in->number, side, count, displayed);
        count = core_unseen_orders(c, in->number, side, 0, found, ORDERS_MAX);
        uint32_t unseen = compare_list(found, count, in->lists[LIST_HIDDEN_BIDS + side - 1]);
        if (unseen <= count)
            unseen += compare_list(found + unseen, count - unseen, in->lists[LIST_UNLIT_BUYS + side - 1]);
        COMPARE("unseen orders", in->number, side, count, unseen);
    }
    for (int list = LIST_RISING; list <= LIST_FALLING; list++) {
        for (const order *o = in->lists[list]; o != NULL; o = o->next) {
            core_order_info i = {0};
            core_order(c, o->id, &i);
            compare_order(&i, o);
        }
    }
}

/* ---- Instruments ------------------------------------------------------------------------------------------------- */

static void compare_rates(const core *c, const instrument *in) {
    for (uint32_t t = 1; t <= FEE_TIER_MAX; t++) {
        core_fee_tier_info i = {0};
        COMPARE("fee tier", in->number, t, core_fee_tier(c, in->number, t, &i), in->tiers[t].set);
        COMPARE("fee tier", in->number, t, i.maker_fee_ppm, in->tiers[t].maker_ppm);
        COMPARE("fee tier", in->number, t, i.taker_fee_ppm, in->tiers[t].taker_ppm);
    }
    for (uint32_t s = 0; s < PRICE_STEP_COUNT_MAX; s++) {
        core_price_step_info i = {0};
        core_price_step(c, in->number, s, &i);
        COMPARE("price step", in->number, s, i.from_price_ticks, in->steps[s].from);
        COMPARE("price step", in->number, s, i.tick_multiple, in->steps[s].tick);
        COMPARE("price step", in->number, s, i.lot_multiple, in->steps[s].lot);
    }
}

static void compare_instruments(const core *c, const instrument *in) {
    for (; in != NULL; in = in->next) {
        core_instrument_info i = {0};
        core_instrument(c, in->number, &i);
        COMPARE("instrument", in->number, 0, i.trading_state, in->state);
        COMPARE("instrument", in->number, 0, i.maker_fee_ppm, in->maker_ppm);
        COMPARE("instrument", in->number, 0, i.taker_fee_ppm, in->taker_ppm);
        COMPARE("instrument", in->number, 0, i.collar_ppm, in->collar_ppm);
        COMPARE("instrument", in->number, 0, i.quantity_lots_min, in->quantity_min);
        COMPARE("instrument", in->number, 0, i.quantity_lots_max, in->quantity_max);
        COMPARE("instrument", in->number, 0, i.notional_units_min, in->notional_min);
        COMPARE("instrument", in->number, 0, i.reference_price_ticks, in->reference);
        COMPARE("instrument", in->number, 0, i.trade_id, in->trade_id);
        COMPARE("instrument", in->number, 0, i.book_update_id, in->book_update_id);
        COMPARE("instrument", in->number, 0, i.level3_id, in->level3_id);
        COMPARE("instrument", in->number, 0, i.top_id, in->top_id);
        COMPARE("instrument", in->number, 0, i.static_price_ticks, in->static_price);
        COMPARE("instrument", in->number, 0, i.auction_ends_ns, in->auction_ends_ns);
        for (int level = 0; level < 4; level++) {
            COMPARE("breaker", in->number, level, i.breaker_ppm[level], in->breakers[level].ppm);
            COMPARE("breaker", in->number, level, i.breaker_ms[level], in->breakers[level].ms);
        }
        compare_rates(c, in);
        compare_books(c, in);
    }
}

/* ---- Accounts ---------------------------------------------------------------------------------------------------- */

/* Open orders in the order in which a mass cancel takes them: by position, then by rising id. */
static void compare_account_orders(const core *c, const plain *book, const account *who) {
    static core_order_info found[ORDERS_MAX];
    const uint32_t count = core_account_orders(c, who->number, 0, found, ORDERS_MAX);
    uint32_t at = 0;
    for (const position *p = who->positions; p != NULL; p = p->next) {
        const instrument *in = plain_instrument_find(book, p->instrument);
        uint64_t above = 0;
        for (const order *next = NULL;; next = NULL) {
            for (int list = 0; list < LIST_COUNT; list++)
                for (const order *o = in->lists[list]; o != NULL; o = o->next)
                    if (o->account == who->number && o->id > above && (next == NULL || o->id < next->id)) next = o;
            if (next == NULL) break;
            above = next->id;
            if (at < count) COMPARE("account's order", who->number, at, found[at].order_id, next->id);
            at++;
        }
    }
    COMPARE("account's orders", who->number, 0, count, at);
}

static void compare_account(const core *c, const account *who) {
    core_account_info i = {0};
    core_account(c, who->number, &i);
    COMPARE("account", who->number, 0, i.firm, who->firm);
    COMPARE("account", who->number, 0, i.halted, who->halted);
    COMPARE("account", who->number, 0, i.fee_tier, who->tier);
    COMPARE("account", who->number, 0, i.open_orders_max, who->open_orders_max);
    COMPARE("account", who->number, 0, i.order_rate_max, who->rate_max);
    COMPARE("account", who->number, 0, i.order_rate_window_ms, who->rate_window_ms);
    COMPARE("account", who->number, 0, i.notional_units_max, who->notional_max);
    COMPARE("account", who->number, 0, i.position_lots_max, who->position_max);
    COMPARE("account", who->number, 0, i.quantity_lots_max, who->quantity_max);
    for (const balance *b = who->balances; b != NULL; b = b->next) {
        int64_t free_units = 0, locked = 0;
        core_balance(c, who->number, b->asset, &free_units, &locked);
        COMPARE("balance", who->number, b->asset, free_units, b->free);
        COMPARE("balance", who->number, b->asset, locked, b->locked);
        COMPARE("balance", who->number, b->asset, core_floor(c, who->number, b->asset), b->floor);
    }
    for (const position *p = who->positions; p != NULL; p = p->next) {
        int64_t lots = 0, buy = 0, sell = 0;
        core_position(c, who->number, p->instrument, &lots, &buy, &sell);
        COMPARE("position", who->number, p->instrument, lots, p->lots);
        COMPARE("position", who->number, p->instrument, buy, p->open_buy);
        COMPARE("position", who->number, p->instrument, sell, p->open_sell);
    }
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

static void compare_keys(const core *c, const key *k) {
    for (; k != NULL; k = k->next) {
        core_key_info i = {0};
        core_key(c, k->number, &i);
        COMPARE("key", k->number, 0, i.last_client_sequence, k->client_sequence);
        COMPARE("key", k->number, 0, i.last_report_number, k->report_number);
        COMPARE("key", k->number, 0, i.session, k->session);
        COMPARE("key", k->number, 0, i.account, k->account);
        COMPARE("key", k->number, 0, i.live, k->live);
        COMPARE("key", k->number, 0, i.options, k->options);
        COMPARE("key", k->number, 0, i.countdown_ns, k->deadline_ns);
        COMPARE("key", k->number, 0, i.countdown_account, k->countdown_account);
    }
}

static void compare_trades(const core *c, const plain *book) {
    uint64_t skip = book->trades_kept > 100 ? book->trades_kept - 100 : 0; /* the last hundred will do */
    COMPARE("trades", 0, 0, core_trade_count(c), book->trades_made);
    for (const trade *t = book->trades; t != NULL; t = t->next) {
        if (skip > 0 && skip-- > 0) continue;
        core_trade_info i = {0};
        core_trade(c, t->instrument, t->id, &i);
        COMPARE("trade", t->instrument, t->id, i.price_ticks, t->price);
        COMPARE("trade", t->instrument, t->id, i.quantity_lots, t->lots);
        COMPARE("trade", t->instrument, t->id, i.buyer, t->buyer);
        COMPARE("trade", t->instrument, t->id, i.seller, t->seller);
        COMPARE("trade", t->instrument, t->id, i.busted, t->busted);
    }
}

/* The time from which on a clock tick would find something to do. */
static uint64_t due_ns(const plain *book) {
    uint64_t due = UINT64_MAX;
    for (const key *k = book->keys; k != NULL; k = k->next)
        if (k->deadline_ns > 0 && k->deadline_ns < due) due = k->deadline_ns;
    for (const instrument *in = book->instruments; in != NULL; in = in->next) {
        const bool gathers = in->state == TRADING_STATE_PRE_OPEN || in->state == TRADING_STATE_AUCTION;
        if (gathers && !book->everything_halted && in->auction_ends_ns > 0 && in->auction_ends_ns < due)
            due = in->auction_ends_ns;
        for (int list = 0; list < LIST_COUNT; list++)
            for (const order *o = in->lists[list]; o != NULL; o = o->next)
                if (o->expire_ns > 0 && o->expire_ns < due) due = o->expire_ns;
    }
    return due;
}

static void compare_whole(const core *c, const plain *book) {
    COMPARE("whole", 0, 0, core_sequence(c), book->sequence);
    COMPARE("whole", 0, 0, core_received_ns(c), book->received_ns);
    COMPARE("whole", 0, 0, core_term(c), book->term);
    COMPARE("whole", 0, 0, core_everything_halted(c), book->everything_halted);
    if (core_due_ns(c) > due_ns(book)) COMPARE("time due (never late)", 0, 0, core_due_ns(c), due_ns(book));
    for (const asset *a = book->assets; a != NULL; a = a->next) {
        core_asset_info i = {0};
        core_asset(c, a->number, &i);
        COMPARE("asset", a->number, 0, i.decimals, a->decimals);
        COMPARE("asset", a->number, 0, i.supply_units, a->supply);
        COMPARE("asset", a->number, 0, i.fees_units, a->fees);
    }
    for (const nonce *n = book->nonces; n != NULL; n = n->next)
        COMPARE("nonce", 0, 0, core_nonce_held(c, n->bytes), true);
}

bool side_answers_agree(const side_by_side *s) {
    differences = 0;
    compare_whole(s->fast, s->slow);
    compare_keys(s->fast, s->slow->keys);
    compare_instruments(s->fast, s->slow->instruments);
    for (const account *who = s->slow->accounts; who != NULL; who = who->next) {
        compare_account(s->fast, who);
        compare_account_orders(s->fast, s->slow, who);
    }
    compare_trades(s->fast, s->slow);
    if (differences > 0) fprintf(stderr, "the answers must be the same: %u differ\n", differences);
    return differences == 0;
}
