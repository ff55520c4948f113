/* What was touched, and what it is now: balances, tops, books, definitions.
 *
 * An event only marks what it may have changed; what that is then is asked of the core once, when states are collected,
 * however many events touched it. What is not there (yet) is passed over.
 */
#include "parts.h"

#include <stdlib.h>

enum { PAIR_ROOM_FIRST = 1024 };

/* ---- Touching ---------------------------------------------------------------------------------------------------- */

static void touch(touched *t, uint32_t number, uint8_t bits) {
    if (t->bits[number] == 0) t->list[t->count++] = number;
    t->bits[number] |= bits;
}

static touched_pair *pair_place(const touched_pairs *t, uint32_t account, uint32_t asset) {
    uint64_t at = ((uint64_t)account << 32 | asset) * 0x9e3779b97f4a7c15ull >> 32;
    for (;; at++) {
        touched_pair *p = &t->table[at & (t->room - 1)];
        if (p->round != t->round || (p->account == account && p->asset == asset)) return p;
    }
}

/* Twice the room (or the first), with all that was touched in it. */
static bool pairs_grow(feed *f) {
    touched_pairs *t = &f->balances;
    const uint32_t room = t->room == 0 ? PAIR_ROOM_FIRST : t->room * 2;
    touched_pair *table = calloc(room, sizeof *table);
    uint64_t *list = realloc(t->list, room / 2 * sizeof *list);
    if (list != NULL) t->list = list;
    if (table == NULL || list == NULL) {
        free(table);
        f->failed = true;
        return false;
    }
    free(t->table);
    t->table = table, t->room = room, t->round = 1;
    for (uint32_t i = 0; i < t->count; i++) {
        const uint32_t account = (uint32_t)(t->list[i] >> 32), asset = (uint32_t)t->list[i];
        *pair_place(t, account, asset) = (touched_pair){account, asset, t->round};
    }
    return true;
}

static void touch_balance(feed *f, uint32_t account, uint32_t asset) {
    touched_pairs *t = &f->balances;
    if (t->count >= t->room / 2 && !pairs_grow(f)) return;
    touched_pair *p = pair_place(t, account, asset);
    if (p->round == t->round) return;
    *p = (touched_pair){account, asset, t->round};
    t->list[t->count++] = (uint64_t)account << 32 | asset;
}

static void touch_balances_of(feed *f, uint32_t account) {
    int64_t free_units, locked_units;
    for (uint32_t asset = 1; asset < f->asset_count_max; asset++)
        if (core_balance(f->of, account, asset, &free_units, &locked_units)) touch_balance(f, account, asset);
}

/* An order locks what it may spend and a fill settles both assets. */
static void touch_order(feed *f, const wire_report *e) {
    const market *m = market_of(f, e->instrument);
    if (m == NULL) return; /* there is no memory: f->failed says so */
    const bool both = e->kind == EVENT_FILLED || e->kind == EVENT_ADJUSTMENT, sell = e->flags & REPORT_FLAG_SELL;
    if (both || sell) touch_balance(f, e->account, m->base_asset);
    if (both || !sell) touch_balance(f, e->account, m->quote_asset);
}

/* An asset, which may have another name now, and the instruments that name it. */
static void touch_asset(feed *f, uint32_t number) {
    core_instrument_info i;
    touch(&f->assets, number, TOUCHED_DEFINITION);
    for (uint32_t at = 1; at < f->instrument_count_max; at++)
        if (core_instrument(f->of, at, &i) && (i.base_asset == number || i.quote_asset == number))
            touch(&f->instruments, at, TOUCHED_DEFINITION);
}

static void touch_applied(feed *f, const command *told, const wire_report *e) {
    switch (told->closing->kind) {
    case KIND_ASSET: touch_asset(f, ((const wire_asset *)told->closing)->asset); break;
    case KIND_INSTRUMENT: touch(&f->instruments, e->instrument, TOUCHED_DEFINITION | TOUCHED_TOP | TOUCHED_BOOK); break;
    case KIND_INSTRUMENT_LIMITS:
    case KIND_PRICE_STEP: touch(&f->instruments, e->instrument, TOUCHED_DEFINITION); break;
    case KIND_ACCOUNT:
    case KIND_ACCOUNT_LIMITS: touch(&f->accounts, e->account, TOUCHED_DEFINITION); break;
    default: break;
    }
}

void event_touch(feed *f, const command *told, const wire_report *e) {
    switch (e->kind) {
    case EVENT_ACCEPTED:
    case EVENT_FILLED:
    case EVENT_CANCELLED:
    case EVENT_REPLACED:
    case EVENT_TRIGGERED:
    case EVENT_ADJUSTMENT: touch_order(f, e); break;
    case EVENT_BALANCE: touch_balance(f, e->account, e->instrument); break;
    case EVENT_TRADE: f->last_price_ticks[e->instrument] = e->price_ticks; /* fallthrough */
    case EVENT_TOP: touch(&f->instruments, e->instrument, TOUCHED_TOP); break;
    case EVENT_BOOK_UPDATE: touch(&f->instruments, e->instrument, TOUCHED_BOOK); break;
    case EVENT_STATE:
        if (e->instrument != 0) touch(&f->instruments, e->instrument, TOUCHED_DEFINITION);
        else if (e->account != 0) touch(&f->accounts, e->account, TOUCHED_DEFINITION);
        break;
    case EVENT_APPLIED: touch_applied(f, told, e); break;
    default: break;
    }
}

void states_all(feed *f) {
    core_asset_info asset;
    core_instrument_info instrument;
    core_account_info account;
    for (uint32_t i = 1; i < f->asset_count_max; i++)
        if (core_asset(f->of, i, &asset)) touch(&f->assets, i, TOUCHED_DEFINITION);
    for (uint32_t i = 1; i < f->instrument_count_max; i++)
        if (core_instrument(f->of, i, &instrument))
            touch(&f->instruments, i, TOUCHED_DEFINITION | TOUCHED_TOP | TOUCHED_BOOK);
    for (uint32_t i = 1; i < f->account_count_max; i++) {
        if (!core_account(f->of, i, &account)) continue;
        touch(&f->accounts, i, TOUCHED_DEFINITION);
        touch_balances_of(f, i);
    }
}

/* ---- One object a message ---------------------------------------------------------------------------------------- */

static feed_place state_place(const feed *f) { return (feed_place){core_sequence(f->of), FEED_STATE_N}; }

static char *put_field(char *p, const char *name, int64_t value) {
    p = PUT(p, ",\"");
    p = put_bytes(p, name, strlen(name));
    p = PUT(p, "\":");
    return put_signed(p, value);
}

static char *put_field_text(char *p, const char *name, const char *text, size_t bytes) {
    p = PUT(p, ",\"");
    p = put_bytes(p, name, strlen(name));
    p = PUT(p, "\":\"");
    p = put_bytes(p, text, bytes);
    return PUT(p, "\"");
}

static char *put_field_scaled(char *p, const char *name, const scale *s, int64_t count) {
    char text[SCALED_BYTES_MAX];
    return put_field_text(p, name, text, (size_t)(put_scaled(text, s, count) - text));
}

static char *put_asset(feed *f, char *p, uint32_t number) {
    core_asset_info i;
    if (!core_asset(f->of, number, &i)) return NULL;
    p = PUT(p, "{\"type\":\"asset");
    p = put_common(f, p, FEED_STATE_N);
    p = put_field(p, "asset_number", number);
    p = put_field_text(p, "asset", i.name, i.name_bytes);
    return put_field(p, "decimals", i.decimals);
}

static char *put_price_steps(feed *f, char *p, uint32_t number) {
    core_price_step_info step;
    p = PUT(p, ",\"price_steps\":[");
    for (uint32_t row = 0; core_price_step(f->of, number, row, &step); row++) {
        p = row == 0 ? PUT(p, "[") : PUT(p, ",[");
        p = put_signed(p, step.from_price_ticks);
        p = PUT(p, ",");
        p = put_signed(p, step.tick_multiple);
        p = PUT(p, ",");
        p = put_signed(p, step.lot_multiple);
        p = PUT(p, "]");
    }
    return PUT(p, "]");
}

static char *put_instrument(feed *f, char *p, uint32_t number) {
    core_instrument_info i;
    core_asset_info base, quote;
    const market *m = market_of(f, number);
    if (m == NULL || !core_instrument(f->of, number, &i) || !core_asset(f->of, i.base_asset, &base) ||
        !core_asset(f->of, i.quote_asset, &quote))
        return NULL;
    p = PUT(p, "{\"type\":\"instrument");
    p = put_common(f, p, FEED_STATE_N);
    p = put_field(p, "instrument", number);
    p = put_field_text(p, "symbol", i.name, i.name_bytes);
    p = put_field_text(p, "base", base.name, base.name_bytes);
    p = put_field_text(p, "quote", quote.name, quote.name_bytes);
    p = put_field(p, "base_asset", i.base_asset);
    p = put_field(p, "quote_asset", i.quote_asset);
    p = put_field(p, "base_decimals", base.decimals);
    p = put_field(p, "quote_decimals", quote.decimals);
    p = put_field(p, "base_units_per_lot", (int64_t)i.base_units_per_lot);
    p = put_field(p, "quote_units_per_tick_lot", (int64_t)i.quote_units_per_tick_lot);
    p = put_field_scaled(p, "tick_size", &m->price, 1);
    p = put_field_scaled(p, "lot_size", &m->quantity, 1);
    p = put_field(p, "price_decimals", m->price.decimals);
    p = put_field(p, "quantity_decimals", m->quantity.decimals);
    p = put_field(p, "maker_fee_ppm", i.maker_fee_ppm);
    p = put_field(p, "taker_fee_ppm", i.taker_fee_ppm);
    const wire_name state = trading_state_names[i.trading_state];
    p = put_field_text(p, "state", state.at, state.bytes);
    p = put_field(p, "quantity_lots_min", i.quantity_lots_min);
    p = put_field(p, "quantity_lots_max", i.quantity_lots_max);
    p = put_field(p, "notional_units_min", i.notional_units_min);
    p = put_field(p, "collar_ppm", i.collar_ppm);
    p = put_field(p, "reference_price_ticks", i.reference_price_ticks);
    return put_price_steps(f, p, number);
}

static char *put_account(feed *f, char *p, uint32_t number) {
    core_account_info i;
    if (!core_account(f->of, number, &i)) return NULL;
    p = PUT(p, "{\"type\":\"account");
    p = put_common(f, p, FEED_STATE_N);
    p = put_field(p, "account", number);
    p = put_field(p, "firm", i.firm);
    p = PUT(p, ",\"halted\":");
    p = put_bool(p, i.halted);
    p = put_field(p, "fee_tier", i.fee_tier);
    p = put_field(p, "open_orders_max", i.open_orders_max);
    p = put_field(p, "order_rate_max", i.order_rate_max);
    p = put_field(p, "order_rate_window_ms", i.order_rate_window_ms);
    p = put_field(p, "notional_units_max", i.notional_units_max);
    p = put_field(p, "position_lots_max", i.position_lots_max);
    return put_field(p, "quantity_lots_max", i.quantity_lots_max);
}

/* A message of what `put` writes about a number; none if it writes nothing. */
static void tell_object(feed *f, feed_topic topic, uint32_t number, char *(*put)(feed *, char *, uint32_t),
                        uint32_t partition, const char *key, uint32_t key_bytes) {
    buffer value = {0};
    if (!buffer_reserve(f, &value, EVENT_BYTES_MAX)) return;
    char *end = put(f, value.at, number);
    if (end == NULL) {
        free(value.at);
        return;
    }
    value.bytes = (size_t)(PUT(end, "}") - value.at);
    assert(value.bytes <= EVENT_BYTES_MAX);
    message_add(f, topic, partition, value, state_place(f), key, key_bytes);
}

static void tell_definitions(feed *f, feed_topic topic, touched *t, char *(*put)(feed *, char *, uint32_t)) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const uint32_t number = t->list[i];
        if (t->bits[number] & TOUCHED_DEFINITION) {
            char key[20];
            tell_object(f, topic, number, put, 0, key, (uint32_t)(put_unsigned(key, number) - key));
        }
        t->bits[number] &= (uint8_t)~TOUCHED_DEFINITION;
        if (t->bits[number] != 0) t->list[kept++] = number;
    }
    t->count = kept;
}

void states_definitions(feed *f) {
    tell_definitions(f, FEED_ASSETS, &f->assets, put_asset);
    tell_definitions(f, FEED_INSTRUMENTS, &f->instruments, put_instrument);
    tell_definitions(f, FEED_ACCOUNTS, &f->accounts, put_account);
}

/* ---- Balances ---------------------------------------------------------------------------------------------------- */

char *put_balance(char *p, uint32_t firm, uint32_t account, uint32_t number, const core_asset_info *asset,
                  int64_t free_units, int64_t locked_units) {
    p = put_field(p, "firm", firm);
    p = put_field(p, "account", account);
    p = put_field_text(p, "asset", asset->name, asset->name_bytes);
    p = put_field(p, "asset_number", number);
    p = PUT(p, ",\"free\":\"");
    p = put_amount(p, free_units, asset->decimals);
    p = PUT(p, "\",\"locked\":\"");
    p = put_amount(p, locked_units, asset->decimals);
    p = PUT(p, "\"");
    p = put_field(p, "free_units", free_units);
    return put_field(p, "locked_units", locked_units);
}

static void tell_balance(feed *f, uint32_t account, uint32_t number) {
    int64_t free_units, locked_units;
    core_asset_info asset;
    if (!core_balance(f->of, account, number, &free_units, &locked_units) || !core_asset(f->of, number, &asset)) return;
    const owner whose = owner_of(f, account);
    char *p = batch_room(f, &f->batches[FEED_BALANCES][whose.partition]);
    if (p == NULL) return;
    p = PUT(p, "{\"type\":\"balance");
    p = put_common(f, p, FEED_STATE_N);
    p = put_balance(p, whose.firm, account, number, &asset, free_units, locked_units);
    char key[20];
    const uint32_t key_bytes = (uint32_t)(put_unsigned(key, whose.firm) - key);
    batch_add(f, FEED_BALANCES, whose.partition, PUT(p, "}"), state_place(f), key, key_bytes);
}

void states_balances(feed *f) {
    touched_pairs *t = &f->balances;
    for (uint32_t i = 0; i < t->count; i++) tell_balance(f, (uint32_t)(t->list[i] >> 32), (uint32_t)t->list[i]);
    t->count = 0;
    t->round++;
}

/* ---- Books ------------------------------------------------------------------------------------------------------- */

static char *put_head(feed *f, char *p, const char *type, const market *m, const core_instrument_info *i) {
    p = put_bytes(p, type, strlen(type));
    p = put_common(f, p, FEED_STATE_N);
    p = put_bytes(p, m->named, m->named_bytes);
    return put_field(p, "update_id", (int64_t)i->book_update_id);
}

/* Of a trade before this feed began: as the core keeps it, else the reference price, which trades set too. */
static int64_t last_price(feed *f, uint32_t number, const core_instrument_info *i) {
    core_trade_info trade;
    if (i->trade_id == 0) return 0;
    int64_t *last = &f->last_price_ticks[number];
    if (*last == 0)
        *last = core_trade(f->of, number, i->trade_id, &trade) ? trade.price_ticks : i->reference_price_ticks;
    return *last;
}

static char *put_top(feed *f, char *p, uint32_t number) {
    core_instrument_info i;
    core_level_info best;
    const market *m = market_of(f, number);
    if (m == NULL || !core_instrument(f->of, number, &i)) return NULL;
    p = put_head(f, p, "{\"type\":\"top", m, &i);
    if (core_levels(f->of, number, SIDE_BUY, &best, 1) == 1) {
        p = put_field_scaled(p, "bid_price", &m->price, best.price_ticks);
        p = put_field(p, "bid_price_ticks", best.price_ticks);
        p = put_field(p, "bid_quantity_lots", best.quantity_lots);
    }
    if (core_levels(f->of, number, SIDE_SELL, &best, 1) == 1) {
        p = put_field_scaled(p, "ask_price", &m->price, best.price_ticks);
        p = put_field(p, "ask_price_ticks", best.price_ticks);
        p = put_field(p, "ask_quantity_lots", best.quantity_lots);
    }
    const int64_t last_ticks = last_price(f, number, &i);
    if (last_ticks != 0) {
        p = put_field_scaled(p, "last_price", &m->price, last_ticks);
        p = put_field(p, "last_price_ticks", last_ticks);
    }
    return put_field(p, "last_trade_id", (int64_t)i.trade_id);
}

static bool put_levels(feed *f, buffer *value, const market *m, uint32_t number, uint8_t side) {
    core_level_info levels[FEED_LEVEL_COUNT_MAX];
    const uint32_t count = core_levels(f->of, number, side, levels, FEED_LEVEL_COUNT_MAX);
    if (!buffer_reserve(f, value, (count + 1) * LEVEL_BYTES_MAX)) return false;
    char *p = value->at + value->bytes;
    p = side == SIDE_BUY ? PUT(p, ",\"bids\":[") : PUT(p, ",\"asks\":[");
    for (uint32_t i = 0; i < count; i++) {
        p = i == 0 ? PUT(p, "[\"") : PUT(p, ",[\"");
        p = put_scaled(p, &m->price, levels[i].price_ticks);
        p = PUT(p, "\",\"");
        p = put_scaled(p, &m->quantity, levels[i].quantity_lots);
        p = PUT(p, "\",");
        p = put_signed(p, levels[i].price_ticks);
        p = PUT(p, ",");
        p = put_signed(p, levels[i].quantity_lots);
        p = PUT(p, ",");
        p = put_unsigned(p, levels[i].order_count);
        p = PUT(p, "]");
    }
    value->bytes = (size_t)(PUT(p, "]") - value->at);
    return true;
}

static void tell_snapshot(feed *f, uint32_t number) {
    core_instrument_info i;
    const market *m = market_of(f, number);
    buffer value = {0};
    if (m == NULL || !core_instrument(f->of, number, &i) || !buffer_reserve(f, &value, EVENT_BYTES_MAX)) return;
    value.bytes = (size_t)(put_head(f, value.at, "{\"type\":\"snapshot", m, &i) - value.at);
    if (!put_levels(f, &value, m, number, SIDE_BUY) || !put_levels(f, &value, m, number, SIDE_SELL) ||
        !buffer_reserve(f, &value, 1)) {
        free(value.at);
        return;
    }
    value.at[value.bytes++] = '}';
    message_add(f, FEED_BOOK_SNAPSHOTS, m->partition, value, state_place(f), m->symbol, m->symbol_bytes);
}

/* Tell what has this bit, and take it off. */
static void tell_books(feed *f, uint8_t bit) {
    touched *t = &f->instruments;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const uint32_t number = t->list[i];
        const market *m = t->bits[number] & bit ? market_of(f, number) : NULL;
        if (m != NULL && bit == TOUCHED_BOOK) tell_snapshot(f, number);
        if (m != NULL && bit == TOUCHED_TOP)
            tell_object(f, FEED_BOOK_TOP, number, put_top, m->partition, m->symbol, m->symbol_bytes);
        t->bits[number] &= (uint8_t)~bit;
        if (t->bits[number] != 0) t->list[kept++] = number;
    }
    t->count = kept;
}

void states_tops(feed *f) { tell_books(f, TOUCHED_TOP); }
void states_snapshots(feed *f) { tell_books(f, TOUCHED_BOOK); }
