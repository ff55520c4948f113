/* Random orders, cancels and replacements, and the prefixes of a command: see random_commands.h. */
#include "support/random_parts.h"

/* ---- Sensible fields --------------------------------------------------------------------------------------------- */

uint32_t random_key(random_commands *r) { return 1 + (uint32_t)random_below(r, r->profile.key_count); }
uint32_t random_account(random_commands *r) { return 1 + (uint32_t)random_below(r, r->profile.account_count); }
uint32_t random_asset(random_commands *r) { return 1 + (uint32_t)random_below(r, 3); }
uint32_t random_instrument(random_commands *r) { return 1 + (uint32_t)random_below(r, r->profile.instrument_count); }

int64_t random_price(random_commands *r, uint32_t instrument) {
    const market *m = &r->markets[instrument % PLACES_MAX];
    const int64_t span = r->profile.price_span;
    int64_t price = m->middle - span + (int64_t)random_below(r, (uint64_t)(2 * span + 1));
    if (random_one_in(r, 40)) price = m->middle - 4 * span + (int64_t)random_below(r, (uint64_t)(8 * span + 1));
    return price;
}

/* Buys somewhat below, sells somewhat above the middle: most orders rest, many meet. */
static int64_t sided_price(random_commands *r, uint32_t instrument, uint8_t side) {
    const int64_t shift = (int64_t)r->profile.price_span * 3 / 5;
    const int64_t price = random_price(r, instrument) + (side == SIDE_BUY ? -shift : shift);
    return price > 0 || random_one_in(r, 20) ? price : 1;
}

static int64_t some_quantity(random_commands *r, uint32_t instrument) {
    const market *m = &r->markets[instrument % PLACES_MAX];
    return (1 + (int64_t)random_below(r, r->profile.quantity_span)) * m->lot +
           (int64_t)random_below(r, 2) * (m->lot > 1);
}

static uint64_t some_client_order_id(random_commands *r) {
    if (random_one_in(r, 3)) return 0;
    if (random_one_in(r, 12)) return 1 + random_below(r, r->client_order_id + 1);
    return ++r->client_order_id;
}

/* An order that is likely to be open; all zero if none is. */
static open_order some_open_order(random_commands *r) {
    if (r->open_count == 0) return (open_order){.account = 1, .instrument = 1, .id = 1, .price = 1, .quantity = 1};
    return r->open[random_below(r, r->open_count)];
}

bool random_crowded(const random_commands *r) { return r->open_count > r->profile.open_orders; }

/* ---- Making a record --------------------------------------------------------------------------------------------- */

wire_record random_record(random_commands *r, uint32_t key, uint64_t client_sequence, const void *command) {
    wire_record record = {.key = key, .received_ns = r->received_ns};
    memcpy(record.command, command, COMMAND_BYTES);
    wire_header header;
    memcpy(&header, record.command, sizeof header);
    header.client_sequence = client_sequence;
    memcpy(record.command, &header, sizeof header);
    return record;
}

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

void random_new_order(random_commands *r, void *to) {
    wire_new_order o = {.kind = KIND_NEW_ORDER,
                        .account = random_account(r),
                        .instrument = random_instrument(r),
                        .client_order_id = some_client_order_id(r),
                        .side = (uint8_t)(1 + random_below(r, 2)),
                        .order_type = ORDER_TYPE_LIMIT,
                        .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED,
                        .self_trade_prevention = (uint8_t)(1 + random_below(r, 5))};
    o.price_ticks = sided_price(r, o.instrument, o.side);
    o.quantity_lots = some_quantity(r, o.instrument);
    const uint64_t what = random_below(r, 20);
    if (what == 0) o.options = ORDER_OPTION_POST_ONLY;
    if (what == 1 || what == 2) o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    if (what == 3) o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    if (what == 4 || what == 5) {
        o.order_type = ORDER_TYPE_MARKET;
        o.time_in_force = (uint8_t)(2 + random_below(r, 2));
        if (random_one_in(r, 2)) o.price_ticks = 0;
    }
    if (random_one_in(r, 50)) o.quantity_lots *= 10;
    if (what == 6) {
        const market *m = &r->markets[o.instrument];
        o.order_type = ORDER_TYPE_MARKET_BY_QUOTE;
        o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
        if (o.quantity_lots < 0 || (__int128)o.quantity_lots * m->middle > UNITS_MAX / (int64_t)m->quote_units)
            o.quantity_lots = UNITS_MAX / 16;
        else o.quantity_lots = (int64_t)((uint64_t)o.quantity_lots * (uint64_t)m->middle * m->quote_units);
        if (random_one_in(r, 2)) o.quantity_lots += (int64_t)random_below(r, 1000);
        if (random_one_in(r, 2)) o.price_ticks = 0;
    }
    memcpy(to, &o, sizeof o);
}

static void make_cancel(random_commands *r, void *to) {
    const open_order o = some_open_order(r);
    wire_cancel w = {.kind = KIND_CANCEL, .account = o.account, .instrument = o.instrument, .order_id = o.id};
    if (o.client_order_id > 0 && random_one_in(r, 2)) {
        w.order_id = 0;
        w.target_client_order_id = o.client_order_id;
    }
    if (random_one_in(r, 4)) w.client_order_id = random_below(r, 100000);
    if (random_one_in(r, 50)) w.account = random_account(r);
    if (random_one_in(r, 50)) w.instrument = random_instrument(r);
    memcpy(to, &w, sizeof w);
}

static void make_replace(random_commands *r, void *to) {
    const open_order o = some_open_order(r);
    wire_replace w = {.kind = KIND_REPLACE,
                      .account = o.account,
                      .instrument = o.instrument,
                      .order_id = o.id,
                      .price_ticks = o.price,
                      .quantity_lots = o.quantity};
    if (o.client_order_id > 0 && random_one_in(r, 2)) {
        w.order_id = 0;
        w.target_client_order_id = o.client_order_id;
    }
    if (random_one_in(r, 2)) w.price_ticks = sided_price(r, o.instrument, o.side);
    if (random_one_in(r, 2)) w.quantity_lots = some_quantity(r, o.instrument);
    else if (w.quantity_lots > 1) w.quantity_lots -= (int64_t)random_below(r, (uint64_t)w.quantity_lots);
    memcpy(to, &w, sizeof w);
}

static void make_countdown(random_commands *r, void *to) {
    const wire_countdown_cancel w = {.kind = KIND_COUNTDOWN_CANCEL,
                                     .account = random_account(r),
                                     .timeout_ms = (uint32_t)random_below(r, 2000) * (uint32_t)random_below(r, 3),
                                     .client_order_id = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_mass_cancel(random_commands *r, void *to) {
    const wire_mass_cancel w = {.kind = KIND_MASS_CANCEL,
                                .account = random_account(r),
                                .instrument = random_one_in(r, 2) ? random_instrument(r) : 0,
                                .side = (uint8_t)random_below(r, 3),
                                .client_order_id = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

void random_order_command(random_commands *r, void *to) {
    const bool crowded = random_crowded(r);
    const share orders[] = {{600, random_new_order},
                            {crowded ? 450 : 120, make_cancel},
                            {180, make_replace},
                            {crowded ? 15 : 3, make_mass_cancel},
                            {8, make_countdown}};
    random_draw(r, orders, sizeof orders / sizeof orders[0], to);
}

/* ---- Prefixes ---------------------------------------------------------------------------------------------------- */

static void make_text(random_commands *r, void *to) {
    static const char *const names[] = {"BTC", "USD-EUR",  "a/b.c_1",
                                        "",    "no space", "0123456789012345678901234567890123456789"};
    wire_text w = {.kind = KIND_TEXT};
    const char *name = names[random_below(r, random_one_in(r, 6) ? 6 : 3)];
    for (size_t i = 0; i < sizeof w.text && name[i] != 0; i++) w.text[i] = (uint8_t)name[i];
    memcpy(to, &w, sizeof w);
}

/* Terms that suit the order, most of the time; they may change its time in force. */
static void make_terms(random_commands *r, wire_new_order *o, void *to) {
    wire_order_terms w = {.kind = KIND_ORDER_TERMS};
    const int64_t span = r->profile.price_span;
    switch (random_below(r, 9)) {
    case 0: w.display_lots = 1 + (int64_t)random_below(r, (uint64_t)o->quantity_lots); break;
    case 1: w.options = TERM_OPTION_HIDDEN; break;
    case 2: w.options = TERM_OPTION_ALL_OR_NONE; break;
    case 3:
        w.peg = (uint8_t)(1 + random_below(r, 3));
        w.offset_ticks = (int32_t)random_below(r, 7) - 3;
        break;
    case 4: w.minimum_lots = 1 + (int64_t)random_below(r, (uint64_t)o->quantity_lots); break;
    default:
        w.trigger = (uint8_t)(1 + random_below(r, 3));
        if (w.trigger == TRIGGER_TRAILING) w.offset_ticks = (int32_t)(1 + random_below(r, (uint64_t)span));
        else w.trigger_price_ticks = random_price(r, o->instrument);
        if (random_one_in(r, 6)) w.display_lots = 1 + (int64_t)random_below(r, (uint64_t)o->quantity_lots);
        else if (random_one_in(r, 6)) w.options = TERM_OPTION_HIDDEN;
        if (random_one_in(r, 3)) o->price_ticks = random_price(r, o->instrument);
    }
    if (random_one_in(r, 3)) {
        if (random_one_in(r, 3)) w.options |= TERM_OPTION_DAY;
        else w.expire_ns = r->received_ns + random_below(r, 20000) * 100000 - (random_one_in(r, 20) ? 1000000000 : 0);
    }
    const bool shape = w.display_lots != 0 || w.options != 0 || w.peg != 0 || w.expire_ns != 0;
    if (shape && !random_one_in(r, 20)) {
        o->order_type = ORDER_TYPE_LIMIT;
        o->time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED;
        if (o->price_ticks == 0) o->price_ticks = random_price(r, o->instrument);
    }
    if ((w.peg != 0 || w.options & TERM_OPTION_ALL_OR_NONE) && !random_one_in(r, 20)) o->options = 0;
    if (w.trigger != 0 && o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL && !random_one_in(r, 20))
        o->time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    if (w.minimum_lots > 0 && !random_one_in(r, 20)) {
        o->options = 0;
        if (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL) o->time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    }
    memcpy(to, &w, sizeof w);
}

/* A link to an order that is likely to be open: the new one is made to fit it. */
static void make_link(random_commands *r, wire_new_order *o, void *to) {
    const open_order open = some_open_order(r);
    wire_order_link w = {.kind = KIND_ORDER_LINK, .order_id = open.id, .action = (uint8_t)(1 + random_below(r, 2))};
    if (open.client_order_id > 0 && random_one_in(r, 3)) {
        w.order_id = 0;
        w.target_client_order_id = open.client_order_id;
    }
    if (!random_one_in(r, 20)) o->account = open.account, o->instrument = open.instrument;
    if (!random_one_in(r, 10)) o->side = open.side;
    o->price_ticks = sided_price(r, o->instrument, o->side);
    o->quantity_lots = some_quantity(r, o->instrument);
    memcpy(to, &w, sizeof w);
}

void random_nonce(random_commands *r, uint8_t *bytes) {
    uint8_t *kept = r->nonces[random_below(r, NONCES_KEPT)];
    if (!random_one_in(r, 5))
        for (int i = 0; i < 16; i++) kept[i] = (uint8_t)random_below(r, 256);
    memcpy(bytes, kept, 16);
}

static void make_nonce(random_commands *r, void *to) {
    wire_nonce w = {.kind = KIND_NONCE, .timestamp_ns = r->received_ns + 30000000 - random_below(r, 60000000)};
    if (random_one_in(r, 10)) w.timestamp_ns = r->received_ns + 3000000000ull - random_below(r, 6000000000ull);
    random_nonce(r, w.nonce);
    memcpy(to, &w, sizeof w);
}

/* The prefixes of a command, in any order. Those of a new order may change it. */
static uint32_t make_prefixes(random_commands *r, uint8_t command[COMMAND_BYTES], bool named,
                              uint8_t made[4][COMMAND_BYTES]) {
    uint32_t count = 0;
    const bool odd = random_chance(r, r->profile.prefix_permille);
    if (named || (odd && random_one_in(r, 3))) make_text(r, made[count++]);
    if (odd && !random_one_in(r, 3)) make_nonce(r, made[count++]);
    wire_new_order *o = (wire_new_order *)(void *)command;
    const bool order = command[0] == KIND_NEW_ORDER || (command[0] == 0 && odd);
    if (order && random_chance(r, r->profile.link_permille)) make_link(r, o, made[count++]);
    if (order && o->order_type != ORDER_TYPE_MARKET_BY_QUOTE && random_chance(r, r->profile.terms_permille) &&
        o->quantity_lots > 0)
        make_terms(r, o, made[count++]);
    for (uint32_t i = 1; i < count; i++) {
        if (!odd || random_one_in(r, 2)) continue;
        uint8_t other[COMMAND_BYTES];
        memcpy(other, made[i], sizeof other);
        memcpy(made[i], made[i - 1], sizeof other);
        memcpy(made[i - 1], other, sizeof other);
    }
    return count;
}

uint32_t random_prefixes(random_commands *r, wire_record *records, uint32_t key, uint64_t first,
                         uint8_t command[COMMAND_BYTES], bool named) {
    uint8_t made[4][COMMAND_BYTES];
    uint32_t count = make_prefixes(r, command, named, made);
    for (uint32_t i = 0; i < count; i++) records[i] = random_record(r, key, first + i, made[i]);
    if (count > 0 && random_chance(r, r->profile.prefix_permille / 12)) { /* twice the same */
        records[count] = random_record(r, key, first + count, made[count - 1]);
        count++;
    }
    return count;
}
