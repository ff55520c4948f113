/* Random commands: see the header. The first commands define a market; then kinds are drawn by the profile's shares. */
#include "support/random_commands.h"

#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 4096
#define KEYS_MAX 16
#define PLACES_MAX 16 /* instruments and accounts remembered */
#define START_NS 1700000000000000000ull
#define NONCES_KEPT 64
#define TRADES_SEEN 64

const random_profile random_profiles[] = {
    /* accounts, instruments, keys; open orders, price span, quantity span; permille of nonsense, admin, system,
     * prefixes, terms, links; commands of a round, commands until an auction is ended */
    {"calm", 6, 2, 4, 300, 25, 20, 10, 3, 3, 20, 20, 5, 20000, 100, .limits = false},
    {"limits", 8, 3, 5, 150, 15, 30, 20, 40, 5, 40, 50, 20, 20000, 30, .limits = true},
    {"wild", 5, 2, 4, 60, 10, 10, 250, 60, 40, 150, 150, 60, 20000, 30, .limits = true},
    {"selftrade", 2, 1, 3, 120, 6, 12, 5, 5, 5, 10, 200, 50, 20000, 30, .limits = false},
    {"huge", 5, 3, 4, 100, 12, 25, 60, 30, 5, 20, 100, 30, 20000, 30, .limits = true, .huge = true},
    {"poor", 6, 2, 4, 150, 20, 20, 10, 60, 5, 10, 150, 50, 20000, 50, .poor = true},
    {"tight", 6, 3, 5, 28, 40, 10, 30, 30, 20, 100, 100, 30, 20000, 20, .limits = true, .tight = true},
    {"terms", 6, 2, 4, 120, 8, 15, 15, 10, 10, 20, 600, 100, 20000, 30, .limits = false},
    {"money", 5, 3, 4, 80, 10, 15, 20, 250, 10, 20, 100, 30, 20000, 20, .poor = true},
    {"auctions", 6, 2, 4, 100, 8, 12, 10, 80, 60, 10, 300, 50, 20000, 60, .limits = false},
    {"long", 5, 1, 3, 30, 3, 6, 5, 6, 4, 5, 100, 20, 600000, 60, .limits = false},
};
const uint32_t random_profile_count = sizeof random_profiles / sizeof random_profiles[0];

typedef struct open_order {
    uint64_t id, client_order_id;
    uint32_t account, instrument;
    int64_t price, quantity;
    uint8_t side;
} open_order;

typedef struct seen_trade {
    uint64_t id;
    uint32_t instrument;
    int64_t price, quantity;
} seen_trade;

typedef struct market {
    uint64_t base_units, quote_units;
    int64_t middle; /* the price that orders are around */
    int64_t lot;    /* quantities are multiples of it, near enough */
} market;

struct random_commands {
    uint64_t state;
    const uint8_t *bytes; /* decide by these, if not NULL */
    size_t bytes_left;
    random_profile profile;
    random_digest digest;
    void *self;

    uint64_t received_ns;
    uint64_t term;
    uint64_t sequences[KEYS_MAX]; /* last client sequence of each key */
    uint32_t setup;               /* the next command of the definition of the market */
    bool defined;                 /* there is no such command any more */
    bool everything_halted, instrument_halted[PLACES_MAX], account_halted[PLACES_MAX];
    uint8_t instrument_state[PLACES_MAX];
    market markets[PLACES_MAX];
    open_order open[OPEN_MAX];
    uint32_t open_count;
    uint8_t nonces[NONCES_KEPT][16];
    seen_trade trades[TRADES_SEEN];
    uint64_t client_order_id;
};

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t next_u64(random_commands *r) {
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t from_bytes(random_commands *r, uint64_t bound) {
    uint64_t value = 0;
    for (uint64_t reach = 1; reach < bound && r->bytes_left > 0; r->bytes++, r->bytes_left--) {
        value = value << 8 | *r->bytes;
        if (reach > UINT64_MAX / 256) {
            r->bytes++, r->bytes_left--;
            break;
        }
        reach *= 256;
    }
    return value;
}

uint64_t random_below(random_commands *r, uint64_t bound) {
    if (bound <= 1) return 0;
    return (r->bytes != NULL ? from_bytes(r, bound) : next_u64(r)) % bound;
}

static bool chance(random_commands *r, uint32_t permille) { return random_below(r, 1000) < permille; }
static uint64_t one_in(random_commands *r, uint64_t n) { return random_below(r, n) == 0; }

static uint64_t extreme(random_commands *r) {
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       255,
                                       65535,
                                       UINT32_MAX,
                                       (uint64_t)PRICE_TICKS_MAX,
                                       (uint64_t)PRICE_TICKS_MAX + 1,
                                       UNITS_PER_LOT_MAX,
                                       (uint64_t)UNITS_MAX,
                                       (uint64_t)UNITS_MAX + 1,
                                       INT64_MAX,
                                       (uint64_t)INT64_MIN,
                                       (uint64_t)-1,
                                       (uint64_t)-2,
                                       1000000};
    const uint64_t number = numbers[random_below(r, sizeof numbers / sizeof numbers[0])];
    return one_in(r, 4) ? (r->bytes != NULL ? random_below(r, UINT64_MAX) : next_u64(r)) : number;
}

/* ---- Sensible fields --------------------------------------------------------------------------------------------- */

static uint32_t some_key(random_commands *r) { return 1 + (uint32_t)random_below(r, r->profile.key_count); }
static uint32_t some_account(random_commands *r) { return 1 + (uint32_t)random_below(r, r->profile.account_count); }
static uint32_t some_asset(random_commands *r) { return 1 + (uint32_t)random_below(r, 3); }
static uint32_t some_instrument(random_commands *r) {
    return 1 + (uint32_t)random_below(r, r->profile.instrument_count);
}

static int64_t some_price(random_commands *r, uint32_t instrument) {
    const market *m = &r->markets[instrument % PLACES_MAX];
    const int64_t span = r->profile.price_span;
    int64_t price = m->middle - span + (int64_t)random_below(r, (uint64_t)(2 * span + 1));
    if (one_in(r, 40)) price = m->middle - 4 * span + (int64_t)random_below(r, (uint64_t)(8 * span + 1));
    return price;
}

/* Buys somewhat below, sells somewhat above the middle: most orders rest, many meet. */
static int64_t sided_price(random_commands *r, uint32_t instrument, uint8_t side) {
    const int64_t shift = (int64_t)r->profile.price_span * 3 / 5;
    const int64_t price = some_price(r, instrument) + (side == SIDE_BUY ? -shift : shift);
    return price > 0 || one_in(r, 20) ? price : 1;
}

static int64_t some_quantity(random_commands *r, uint32_t instrument) {
    const market *m = &r->markets[instrument % PLACES_MAX];
    return (1 + (int64_t)random_below(r, r->profile.quantity_span)) * m->lot +
           (int64_t)random_below(r, 2) * (m->lot > 1);
}

static uint64_t some_client_order_id(random_commands *r) {
    if (one_in(r, 3)) return 0;
    if (one_in(r, 12)) return 1 + random_below(r, r->client_order_id + 1);
    return ++r->client_order_id;
}

/* An order that is likely to be open; all zero if none is. */
static open_order some_open_order(random_commands *r) {
    if (r->open_count == 0) return (open_order){.account = 1, .instrument = 1, .id = 1, .price = 1, .quantity = 1};
    return r->open[random_below(r, r->open_count)];
}

/* ---- Making a record --------------------------------------------------------------------------------------------- */

static wire_record record_of(random_commands *r, uint32_t key, uint64_t client_sequence, const void *command) {
    wire_record record = {.key = key, .received_ns = r->received_ns};
    memcpy(record.command, command, COMMAND_BYTES);
    wire_header header;
    memcpy(&header, record.command, sizeof header);
    header.client_sequence = client_sequence;
    memcpy(record.command, &header, sizeof header);
    return record;
}

/* ---- Orders ------------------------------------------------------------------------------------------------------ */

static void make_new_order(random_commands *r, void *to) {
    wire_new_order o = {.kind = KIND_NEW_ORDER,
                        .account = some_account(r),
                        .instrument = some_instrument(r),
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
        if (one_in(r, 2)) o.price_ticks = 0;
    }
    if (one_in(r, 50)) o.quantity_lots *= 10;
    if (what == 6) {
        const market *m = &r->markets[o.instrument];
        o.order_type = ORDER_TYPE_MARKET_BY_QUOTE;
        o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
        if (o.quantity_lots < 0 || (__int128)o.quantity_lots * m->middle > UNITS_MAX / (int64_t)m->quote_units)
            o.quantity_lots = UNITS_MAX / 16;
        else o.quantity_lots = (int64_t)((uint64_t)o.quantity_lots * (uint64_t)m->middle * m->quote_units);
        if (one_in(r, 2)) o.quantity_lots += (int64_t)random_below(r, 1000);
        if (one_in(r, 2)) o.price_ticks = 0;
    }
    memcpy(to, &o, sizeof o);
}

static void make_cancel(random_commands *r, void *to) {
    const open_order o = some_open_order(r);
    wire_cancel w = {.kind = KIND_CANCEL, .account = o.account, .instrument = o.instrument, .order_id = o.id};
    if (o.client_order_id > 0 && one_in(r, 2)) {
        w.order_id = 0;
        w.target_client_order_id = o.client_order_id;
    }
    if (one_in(r, 4)) w.client_order_id = random_below(r, 100000);
    if (one_in(r, 50)) w.account = some_account(r);
    if (one_in(r, 50)) w.instrument = some_instrument(r);
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
    if (o.client_order_id > 0 && one_in(r, 2)) {
        w.order_id = 0;
        w.target_client_order_id = o.client_order_id;
    }
    if (one_in(r, 2)) w.price_ticks = sided_price(r, o.instrument, o.side);
    if (one_in(r, 2)) w.quantity_lots = some_quantity(r, o.instrument);
    else if (w.quantity_lots > 1) w.quantity_lots -= (int64_t)random_below(r, (uint64_t)w.quantity_lots);
    memcpy(to, &w, sizeof w);
}

static void make_countdown(random_commands *r, void *to) {
    const wire_countdown_cancel w = {.kind = KIND_COUNTDOWN_CANCEL,
                                     .account = some_account(r),
                                     .timeout_ms = (uint32_t)random_below(r, 2000) * (uint32_t)random_below(r, 3),
                                     .client_order_id = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_mass_cancel(random_commands *r, void *to) {
    const wire_mass_cancel w = {.kind = KIND_MASS_CANCEL,
                                .account = some_account(r),
                                .instrument = one_in(r, 2) ? some_instrument(r) : 0,
                                .side = (uint8_t)random_below(r, 3),
                                .client_order_id = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

/* ---- Admin ------------------------------------------------------------------------------------------------------- */

static void make_asset(random_commands *r, void *to) {
    const wire_asset w = {.kind = KIND_ASSET,
                          .asset = one_in(r, 8) ? (uint32_t)extreme(r) : some_asset(r),
                          .decimals = (uint8_t)(one_in(r, 4) ? random_below(r, 22) : 4)};
    memcpy(to, &w, sizeof w);
}

static void define_instrument(random_commands *r, uint32_t number, void *to) {
    const market *m = &r->markets[number % PLACES_MAX];
    const int32_t taker = (int32_t)random_below(r, one_in(r, 8) ? FEE_PPM_MAX + 1 : 5000);
    const int32_t maker = (int32_t)random_below(r, (uint64_t)taker + 3000) - taker;
    const wire_instrument w = {.kind = KIND_INSTRUMENT,
                               .instrument = number,
                               .base_asset = 1 + number % 2,
                               .quote_asset = 3,
                               .maker_fee_ppm = maker,
                               .taker_fee_ppm = taker,
                               .trading_state = TRADING_STATE_OPEN,
                               .base_units_per_lot = m->base_units,
                               .quote_units_per_tick_lot = m->quote_units};
    memcpy(to, &w, sizeof w);
}

static void make_instrument(random_commands *r, void *to) { define_instrument(r, some_instrument(r), to); }

static void make_instrument_limits(random_commands *r, void *to) {
    const uint32_t number = some_instrument(r);
    const market *m = &r->markets[number % PLACES_MAX];
    wire_instrument_limits w = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = number};
    if (r->profile.limits && one_in(r, 2)) {
        const uint64_t span_ppm = (uint64_t)(r->profile.price_span * 2000000ull) / (uint64_t)m->middle + 2;
        w.collar_ppm = (uint32_t)(random_below(r, span_ppm) % (COLLAR_PPM_MAX + 1));
    }
    if (r->profile.limits && one_in(r, 2)) w.quantity_lots_min = (int64_t)random_below(r, 4) * m->lot;
    if (r->profile.limits && one_in(r, 2))
        w.quantity_lots_max = (int64_t)random_below(r, r->profile.quantity_span * 4) * m->lot;
    if (r->profile.limits && one_in(r, 2))
        w.notional_units_min = (int64_t)random_below(r, (uint64_t)m->middle * (uint64_t)m->lot * 4 + 1);
    if (one_in(r, 2)) w.reference_price_ticks = m->middle;
    memcpy(to, &w, sizeof w);
}

static void make_account(random_commands *r, void *to) {
    wire_account w = {.kind = KIND_ACCOUNT, .account = some_account(r), .firm = (uint32_t)random_below(r, 4)};
    memcpy(to, &w, sizeof w);
}

static void make_account_limits(random_commands *r, void *to) {
    wire_account_limits w = {.kind = KIND_ACCOUNT_LIMITS, .account = some_account(r)};
    const market *m = &r->markets[some_instrument(r)];
    const uint32_t span = r->profile.quantity_span;
    if (r->profile.limits && one_in(r, 3)) w.open_orders_max = (uint32_t)(1 + random_below(r, 60));
    if (r->profile.limits && one_in(r, 3)) w.order_rate_max = (uint32_t)(1 + random_below(r, 30));
    w.order_rate_window_ms = (uint32_t)random_below(r, 3) * 50;
    if (r->profile.limits && one_in(r, 3))
        w.notional_units_max = m->middle * m->lot * (int64_t)m->quote_units * (int64_t)random_below(r, span * 3);
    if (w.notional_units_max < 0) w.notional_units_max = 0;
    if (r->profile.limits && one_in(r, 3)) w.position_lots_max = (int64_t)random_below(r, span * 20ull) * m->lot;
    if (r->profile.limits && one_in(r, 3)) w.quantity_lots_max = (int64_t)random_below(r, span * 4ull) * m->lot;
    memcpy(to, &w, sizeof w);
}

static int64_t some_amount(random_commands *r) {
    if (r->profile.poor) return 1 + (int64_t)random_below(r, 200000);
    return 1 + (int64_t)random_below(r, r->profile.huge ? 1ull << 58 : 1ull << 40);
}

static void make_deposit(random_commands *r, void *to) {
    const wire_deposit w = {.kind = KIND_DEPOSIT,
                            .account = some_account(r),
                            .asset = some_asset(r),
                            .amount_units = some_amount(r),
                            .reference = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_withdrawal(random_commands *r, void *to) {
    make_deposit(r, to);
    ((uint8_t *)to)[0] = KIND_WITHDRAWAL;
}

static void make_halt(random_commands *r, void *to) {
    wire_halt w = {
        .kind = KIND_HALT, .scope = (uint8_t)(1 + random_below(r, 4)), .action = (uint8_t)(1 + random_below(r, 2))};
    if (one_in(r, 6)) w.action = HALT_ACTION_KILL;
    if (w.scope == HALT_SCOPE_INSTRUMENT) w.target = some_instrument(r);
    if (w.scope == HALT_SCOPE_ACCOUNT || w.scope == HALT_SCOPE_FIRM) w.target = some_account(r);
    memcpy(to, &w, sizeof w);
}

static void make_instrument_state(random_commands *r, void *to) {
    wire_instrument_state w = {.kind = KIND_INSTRUMENT_STATE,
                               .instrument = some_instrument(r),
                               .trading_state = (uint8_t)(1 + random_below(r, 5))};
    const bool auction = w.trading_state == TRADING_STATE_PRE_OPEN || w.trading_state == TRADING_STATE_AUCTION;
    if (auction && !one_in(r, 4)) w.auction_ends_ns = r->received_ns + random_below(r, 200) * 1000000;
    if (one_in(r, 4)) w.static_price_ticks = some_price(r, w.instrument);
    memcpy(to, &w, sizeof w);
}

/* The instrument of some trouble opens again. */
static bool make_opening(random_commands *r, void *to) {
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        if (r->instrument_state[i] <= TRADING_STATE_HALTED) continue;
        const wire_instrument_state w = {
            .kind = KIND_INSTRUMENT_STATE, .instrument = i, .trading_state = TRADING_STATE_OPEN};
        memcpy(to, &w, sizeof w);
        return true;
    }
    return false;
}

static void make_circuit_breaker(random_commands *r, void *to) {
    wire_circuit_breaker w = {.kind = KIND_CIRCUIT_BREAKER, .instrument = some_instrument(r)};
    const uint64_t tick_ppm = 1000000 / (uint64_t)r->markets[w.instrument].middle + 1;
    uint32_t ppm = 0;
    uint32_t *const fields[] = {&w.level1_ppm, &w.level1_ms, &w.level2_ppm, &w.level2_ms, &w.level3_ppm, &w.level3_ms};
    if (one_in(r, 2)) w.band_ppm = (uint32_t)(1 + random_below(r, tick_ppm * r->profile.price_span)) % COLLAR_PPM_MAX;
    if (w.band_ppm > 0 || one_in(r, 30)) w.band_ms = (uint32_t)random_below(r, 100);
    for (int level = 0; level < 3; level++) {
        if (!one_in(r, 3)) continue;
        ppm += (uint32_t)(1 + random_below(r, tick_ppm * r->profile.price_span));
        *fields[2 * level] = ppm;
        *fields[2 * level + 1] = (uint32_t)random_below(r, 100) * (uint32_t)random_below(r, 3);
    }
    memcpy(to, &w, sizeof w);
}

static void make_fee_tier(random_commands *r, void *to) {
    wire_instrument base;
    define_instrument(r, some_instrument(r), &base);
    const wire_fee_tier w = {.kind = KIND_FEE_TIER,
                             .instrument = base.instrument,
                             .maker_fee_ppm = base.maker_fee_ppm,
                             .taker_fee_ppm = base.taker_fee_ppm,
                             .tier = (uint8_t)(one_in(r, 30) ? random_below(r, 256) : 1 + random_below(r, 3))};
    memcpy(to, &w, sizeof w);
}

/* Rows that rise, around the middle; often the table is ended. */
static void make_price_step(random_commands *r, void *to) {
    wire_price_step w = {.kind = KIND_PRICE_STEP, .instrument = some_instrument(r)};
    const market *m = &r->markets[w.instrument];
    w.step = (uint8_t)random_below(r, one_in(r, 20) ? 10 : 3);
    if (one_in(r, 3)) {
        w.from_price_ticks = w.step == 0 ? 0 : m->middle - r->profile.price_span + 4 * w.step;
        if (one_in(r, 8)) w.from_price_ticks = m->middle + (int64_t)random_below(r, 10) - 5;
        w.tick_multiple = 1 + (int64_t)random_below(r, 3);
        w.lot_multiple = 1 + (int64_t)one_in(r, 4);
    }
    memcpy(to, &w, sizeof w);
}

static void make_balance_floor(random_commands *r, void *to) {
    const wire_balance_floor w = {.kind = KIND_BALANCE_FLOOR,
                                  .account = some_account(r),
                                  .asset = some_asset(r),
                                  .floor_units = one_in(r, 2) ? 0 : -some_amount(r)};
    memcpy(to, &w, sizeof w);
}

static void make_fee_payout(random_commands *r, void *to) {
    const wire_fee_payout w = {.kind = KIND_FEE_PAYOUT,
                               .account = some_account(r),
                               .asset = some_asset(r),
                               .amount_units = 1 + (int64_t)random_below(r, one_in(r, 2) ? 100 : 100000),
                               .reference = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_trade_bust(random_commands *r, void *to) {
    wire_trade_bust w = {.kind = KIND_TRADE_BUST, .instrument = some_instrument(r)};
    const seen_trade *t = &r->trades[random_below(r, TRADES_SEEN)];
    if (t->id > 0 && !one_in(r, 20)) w.instrument = t->instrument, w.trade_id = t->id;
    memcpy(to, &w, sizeof w);
}

static void make_trade_correction(random_commands *r, void *to) {
    const seen_trade *t = &r->trades[random_below(r, TRADES_SEEN)];
    wire_trade_correction w = {.kind = KIND_TRADE_CORRECTION,
                               .instrument = t->instrument,
                               .trade_id = t->id,
                               .price_ticks = t->price + (int64_t)random_below(r, 9) - 4,
                               .quantity_lots = t->quantity - (int64_t)random_below(r, 3)};
    memcpy(to, &w, sizeof w);
}

/* Something is halted: let it go on. Answers whether there was such a thing. */
static bool make_resume(random_commands *r, void *to) {
    wire_halt w = {.kind = KIND_HALT, .action = HALT_ACTION_RESUME};
    if (r->everything_halted) w.scope = HALT_SCOPE_EVERYTHING;
    for (uint32_t i = 0; i < PLACES_MAX && w.scope == 0; i++) {
        if (r->instrument_halted[i]) w.scope = HALT_SCOPE_INSTRUMENT, w.target = i;
        else if (r->account_halted[i]) w.scope = HALT_SCOPE_ACCOUNT, w.target = i;
    }
    memcpy(to, &w, sizeof w);
    return w.scope != 0;
}

/* ---- Prefixes ---------------------------------------------------------------------------------------------------- */

static void make_text(random_commands *r, void *to) {
    static const char *const names[] = {"BTC", "USD-EUR",  "a/b.c_1",
                                        "",    "no space", "0123456789012345678901234567890123456789"};
    wire_text w = {.kind = KIND_TEXT};
    const char *name = names[random_below(r, one_in(r, 6) ? 6 : 3)];
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
        else w.trigger_price_ticks = some_price(r, o->instrument);
        if (one_in(r, 6)) w.display_lots = 1 + (int64_t)random_below(r, (uint64_t)o->quantity_lots);
        else if (one_in(r, 6)) w.options = TERM_OPTION_HIDDEN;
        if (one_in(r, 3)) o->price_ticks = some_price(r, o->instrument);
    }
    if (one_in(r, 3)) {
        if (one_in(r, 3)) w.options |= TERM_OPTION_DAY;
        else w.expire_ns = r->received_ns + random_below(r, 20000) * 100000 - (one_in(r, 20) ? 1000000000 : 0);
    }
    const bool shape = w.display_lots != 0 || w.options != 0 || w.peg != 0 || w.expire_ns != 0;
    if (shape && !one_in(r, 20)) {
        o->order_type = ORDER_TYPE_LIMIT;
        o->time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED;
        if (o->price_ticks == 0) o->price_ticks = some_price(r, o->instrument);
    }
    if ((w.peg != 0 || w.options & TERM_OPTION_ALL_OR_NONE) && !one_in(r, 20)) o->options = 0;
    if (w.minimum_lots > 0 && !one_in(r, 20)) {
        o->options = 0;
        if (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL) o->time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    }
    memcpy(to, &w, sizeof w);
}

/* A link to an order that is likely to be open: the new one is made to fit it. */
static void make_link(random_commands *r, wire_new_order *o, void *to) {
    const open_order open = some_open_order(r);
    wire_order_link w = {.kind = KIND_ORDER_LINK, .order_id = open.id, .action = (uint8_t)(1 + random_below(r, 2))};
    if (open.client_order_id > 0 && one_in(r, 3)) {
        w.order_id = 0;
        w.target_client_order_id = open.client_order_id;
    }
    if (!one_in(r, 20)) o->account = open.account, o->instrument = open.instrument;
    if (!one_in(r, 10)) o->side = open.side;
    o->price_ticks = sided_price(r, o->instrument, o->side);
    o->quantity_lots = some_quantity(r, o->instrument);
    memcpy(to, &w, sizeof w);
}

static void make_nonce_bytes(random_commands *r, uint8_t *bytes) {
    uint8_t *kept = r->nonces[random_below(r, NONCES_KEPT)];
    if (!one_in(r, 5))
        for (int i = 0; i < 16; i++) kept[i] = (uint8_t)random_below(r, 256);
    memcpy(bytes, kept, 16);
}

static void make_nonce(random_commands *r, void *to) {
    wire_nonce w = {.kind = KIND_NONCE, .timestamp_ns = r->received_ns + 30000000 - random_below(r, 60000000)};
    if (one_in(r, 10)) w.timestamp_ns = r->received_ns + 3000000000ull - random_below(r, 6000000000ull);
    make_nonce_bytes(r, w.nonce);
    memcpy(to, &w, sizeof w);
}

/* ---- System records ---------------------------------------------------------------------------------------------- */

/* Makes the whole record: these have no client sequence, and some no key. */
static wire_record make_system(random_commands *r) {
    const uint32_t key = some_key(r);
    switch (random_below(r, 12)) {
    case 0: {
        const wire_term w = {.kind = KIND_TERM,
                             .term = r->term + 1 + random_below(r, 2),
                             .node = random_below(r, 5),
                             .nonce_window_ns = one_in(r, 2) ? 0 : 1000000 * (1 + random_below(r, 3000))};
        return record_of(r, 0, 0, &w);
    }
    case 1: {
        wire_logon w = {.kind = KIND_LOGON,
                        .session = (uint32_t)random_below(r, 100),
                        .account = one_in(r, 10) ? (uint32_t)extreme(r) : key,
                        .timestamp_ns = r->received_ns - random_below(r, 1000000000),
                        .options = (uint8_t)random_below(r, 2)};
        make_nonce_bytes(r, w.nonce);
        return record_of(r, key, 0, &w);
    }
    case 2: {
        const wire_logoff w = {.kind = KIND_LOGOFF,
                               .session = (uint32_t)random_below(r, 100),
                               .reason = (uint8_t)(1 + random_below(r, 7))};
        return record_of(r, key, 0, &w);
    }
    case 3: {
        const wire_digest w = {.kind = KIND_DIGEST, .state_digest = r->digest(r->self)};
        return record_of(r, 0, 0, &w);
    }
    case 4: {
        const wire_refused w = {.kind = KIND_REFUSED,
                                .account = some_account(r),
                                .instrument = some_instrument(r),
                                .client_order_id = random_below(r, 100),
                                .code = (uint16_t)(CODE_NONCE_STALE + random_below(r, CODE_UNKNOWN_TRADE)),
                                .refused_kind = (uint8_t)random_below(r, 5)};
        return record_of(r, key, r->sequences[key] + 1, &w);
    }
    default: {
        const wire_clock_tick w = {.kind = KIND_CLOCK_TICK};
        return record_of(r, 0, 0, &w);
    }
    }
}

/* ---- The definition of the market -------------------------------------------------------------------------------- */

static void draw_markets(random_commands *r) {
    static const uint64_t units[] = {1, 3, 10, 1000};
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        market *m = &r->markets[i];
        *m = (market){.base_units = units[random_below(r, 4)],
                      .quote_units = units[random_below(r, 3)],
                      .middle = (int64_t)(40 + random_below(r, 2000)),
                      .lot = 1};
        if (!r->profile.huge) continue;
        const uint64_t shape = random_below(r, 4);
        if (shape == 0) m->middle = PRICE_TICKS_MAX - 20, m->lot = 30, m->quote_units = 1;
        if (shape == 1) m->lot = QUANTITY_LOTS_MAX / 40, m->base_units = 1, m->quote_units = 1, m->middle = 100;
        if (shape == 2) m->base_units = UNITS_PER_LOT_MAX, m->quote_units = UNITS_PER_LOT_MAX, m->middle = 1500;
        if (shape == 3) m->middle = 1ll << 30, m->lot = 1ll << 20, m->quote_units = 100;
    }
}

/* The next command that defines the market; false when all is defined. */
static bool make_setup(random_commands *r, void *to, bool *named) {
    const random_profile *p = &r->profile;
    uint32_t i = r->setup++;
    *named = false;
    if (i < 3) {
        const wire_asset w = {.kind = KIND_ASSET, .asset = i + 1, .decimals = 4};
        *named = true;
        memcpy(to, &w, sizeof w);
        return true;
    }
    i -= 3;
    if (i < p->instrument_count) {
        define_instrument(r, i + 1, to);
        *named = true;
        return true;
    }
    i -= p->instrument_count;
    if (i < p->account_count) {
        const wire_account w = {.kind = KIND_ACCOUNT, .account = i + 1};
        memcpy(to, &w, sizeof w);
        return true;
    }
    i -= p->account_count;
    if (i < p->account_count * 3) {
        const int64_t amount = p->poor ? 500000 : p->huge ? UNITS_MAX / 24 : 1ll << 44;
        const wire_deposit w = {.kind = KIND_DEPOSIT, .account = i / 3 + 1, .asset = i % 3 + 1, .amount_units = amount};
        memcpy(to, &w, sizeof w);
        return true;
    }
    return false;
}

/* ---- Nonsense ---------------------------------------------------------------------------------------------------- */

/* Spoil one thing about a record. */
static void spoil(random_commands *r, wire_record *record) {
    const uint64_t number = extreme(r);
    switch (random_below(r, 12)) {
    case 0: record->command[1] = (uint8_t)(1 + random_below(r, 255)); break;
    case 1: record->key = (uint32_t)(one_in(r, 2) ? number : random_below(r, r->profile.key_count + 2)); break;
    case 2: record->received_ns -= one_in(r, 2) ? 1 : random_below(r, 1ull << 40); break;
    case 3: record->command[0] = (uint8_t)random_below(r, 256); break;
    case 4: record->command[2 + random_below(r, 6)] ^= (uint8_t)(1 << random_below(r, 8)); break;
    case 5:
    case 6: memcpy(record->command + 8 + 4 * random_below(r, 10), &number, 4); break;
    case 7:
    case 8: memcpy(record->command + 8 + 8 * random_below(r, 5), &number, 8); break;
    case 9: record->command[8 + random_below(r, 40)] ^= (uint8_t)(1 << random_below(r, 8)); break;
    default: record->command[8 + random_below(r, 40)] = (uint8_t)random_below(r, 12); break;
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

typedef struct share {
    uint32_t weight;
    void (*make)(random_commands *r, void *to);
} share;

static void draw(random_commands *r, const share *shares, uint32_t count, void *to) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += shares[i].weight;
    uint64_t at = random_below(r, sum);
    for (uint32_t i = 0; i < count; i++) {
        if (at < shares[i].weight) {
            shares[i].make(r, to);
            return;
        }
        at -= shares[i].weight;
    }
}

static void make_command(random_commands *r, void *to) {
    static const share admin[] = {{2, make_asset},
                                  {4, make_instrument},
                                  {8, make_instrument_limits},
                                  {3, make_account},
                                  {10, make_account_limits},
                                  {12, make_deposit},
                                  {8, make_withdrawal},
                                  {6, make_halt},
                                  {10, make_instrument_state},
                                  {6, make_circuit_breaker},
                                  {4, make_fee_tier},
                                  {6, make_price_step},
                                  {6, make_balance_floor},
                                  {5, make_fee_payout},
                                  {6, make_trade_bust},
                                  {8, make_trade_correction}};
    const bool crowded = r->open_count > r->profile.open_orders;
    const share orders[] = {{600, make_new_order},
                            {crowded ? 450 : 120, make_cancel},
                            {180, make_replace},
                            {crowded ? 15 : 3, make_mass_cancel},
                            {8, make_countdown}};
    if (chance(r, r->profile.admin_permille)) draw(r, admin, sizeof admin / sizeof admin[0], to);
    else if (one_in(r, 10) && make_resume(r, to)) return;
    else if (one_in(r, r->profile.auction_length) && make_opening(r, to)) return;
    else if (one_in(r, 3) || crowded) draw(r, orders, sizeof orders / sizeof orders[0], to);
    else make_new_order(r, to);
}

/* The prefixes of a command, in any order. Those of a new order may change it. */
static uint32_t make_prefixes(random_commands *r, uint8_t command[COMMAND_BYTES], bool named,
                              uint8_t made[4][COMMAND_BYTES]) {
    uint32_t count = 0;
    const bool odd = chance(r, r->profile.prefix_permille);
    if (named || (odd && one_in(r, 3))) make_text(r, made[count++]);
    if (odd && !one_in(r, 3)) make_nonce(r, made[count++]);
    wire_new_order *o = (wire_new_order *)(void *)command;
    const bool order = command[0] == KIND_NEW_ORDER || (command[0] == 0 && odd);
    if (order && chance(r, r->profile.link_permille)) make_link(r, o, made[count++]);
    if (order && o->order_type != ORDER_TYPE_MARKET_BY_QUOTE && chance(r, r->profile.terms_permille) &&
        o->quantity_lots > 0)
        make_terms(r, o, made[count++]);
    for (uint32_t i = 1; i < count; i++) {
        if (!odd || one_in(r, 2)) continue;
        uint8_t other[COMMAND_BYTES];
        memcpy(other, made[i], sizeof other);
        memcpy(made[i], made[i - 1], sizeof other);
        memcpy(made[i - 1], other, sizeof other);
    }
    return count;
}

static uint32_t put_prefixes(random_commands *r, wire_record *records, uint32_t key, uint64_t first,
                             uint8_t command[COMMAND_BYTES], bool named) {
    uint8_t made[4][COMMAND_BYTES];
    uint32_t count = make_prefixes(r, command, named, made);
    for (uint32_t i = 0; i < count; i++) records[i] = record_of(r, key, first + i, made[i]);
    if (count > 0 && chance(r, r->profile.prefix_permille / 12)) { /* twice the same */
        records[count] = record_of(r, key, first + count, made[count - 1]);
        count++;
    }
    return count;
}

static void pass_time(random_commands *r) {
    r->received_ns += random_below(r, 1000) * 1000;
    if (one_in(r, 300)) r->received_ns += random_below(r, 3000) * 1000000;
}

/* A command of a client with its prefixes, or a system record. */
static uint32_t put_group(random_commands *r, wire_record *records) {
    _Alignas(8) uint8_t command[COMMAND_BYTES] = {0};
    bool named = false;
    const bool setup = !r->defined && make_setup(r, command, &named);
    r->defined = !setup;
    if (!setup) {
        if (chance(r, r->profile.system_permille)) {
            records[0] = make_system(r);
            return 1;
        }
        make_command(r, command);
        named = command[0] == KIND_ASSET || command[0] == KIND_INSTRUMENT;
    }
    const uint32_t key = some_key(r);
    const uint64_t first = r->sequences[key] + 1;
    uint32_t count = setup && named ? 1 : 0;
    if (count == 1) {
        wire_text text = {.kind = KIND_TEXT, .text = "NAME"};
        records[0] = record_of(r, key, first, &text);
    } else if (!setup) {
        count = put_prefixes(r, records, key, first, command, named);
    }
    records[count] = record_of(r, key, first + count, command);
    return count + 1;
}

uint32_t random_commands_next(random_commands *r, wire_record records[RANDOM_RECORDS_MAX]) {
    pass_time(r);
    uint32_t count = 0;
    const uint32_t key = some_key(r);
    _Alignas(8) uint8_t nothing[COMMAND_BYTES] = {0};
    if (r->profile.prefix_permille > 0 && chance(r, r->profile.prefix_permille / 10 + 1)) /* void, most often */
        count = put_prefixes(r, records, key, r->sequences[key] + 1, nothing, true);
    const uint32_t void_count = count;
    count += put_group(r, records + count);
    if (void_count > 0 && r->setup > 0 && one_in(r, 4)) records[count - 1].key = key;
    if (r->defined && chance(r, r->profile.nonsense_permille)) spoil(r, &records[random_below(r, count)]);
    return count;
}

/* ---- What came of it --------------------------------------------------------------------------------------------- */

static void forget(random_commands *r, uint64_t id) {
    for (uint32_t i = 0; i < r->open_count; i++) {
        if (r->open[i].id != id) continue;
        r->open[i] = r->open[--r->open_count];
        return;
    }
}

static void remember(random_commands *r, const wire_report *e) {
    if (r->open_count == OPEN_MAX) r->open[random_below(r, OPEN_MAX)] = r->open[--r->open_count];
    r->open[r->open_count++] = (open_order){.id = e->order_id,
                                            .client_order_id = e->client_order_id,
                                            .account = e->account,
                                            .instrument = e->instrument,
                                            .price = e->price_ticks,
                                            .quantity = e->quantity_lots,
                                            .side = e->flags & REPORT_FLAG_SELL ? SIDE_SELL : SIDE_BUY};
}

static void see_state(random_commands *r, const wire_report *e) {
    const bool halted = e->code == TRADING_STATE_HALTED;
    if (e->instrument > 0) {
        r->instrument_halted[e->instrument % PLACES_MAX] = halted && e->instrument < PLACES_MAX;
        r->instrument_state[e->instrument % PLACES_MAX] = (uint8_t)e->code;
    }
    if (e->instrument == 0 && e->account > 0)
        r->account_halted[e->account % PLACES_MAX] = halted && e->account < PLACES_MAX;
    if (e->instrument == 0 && e->account == 0) r->everything_halted = halted;
}

void random_commands_taken(random_commands *r, const wire_record *records, uint32_t count, const wire_report *events,
                           uint32_t event_count) {
    const wire_record *last = &records[count - 1];
    wire_header header;
    memcpy(&header, last->command, sizeof header);
    r->received_ns = last->received_ns;
    if (header.client_sequence > 0 && header.kind < KIND_TEXT && last->key < KEYS_MAX)
        r->sequences[last->key] = header.client_sequence;
    if (header.kind == KIND_TERM) memcpy(&r->term, last->command + 8, sizeof r->term);
    for (const wire_report *e = events; e < events + event_count; e++) {
        if (e->kind == EVENT_ACCEPTED) remember(r, e);
        if (e->kind == EVENT_STATE) see_state(r, e);
        if (e->kind == EVENT_TRADE)
            r->trades[e->reference % TRADES_SEEN] =
                (seen_trade){e->reference, e->instrument, e->price_ticks, e->quantity_lots};
        if ((e->kind == EVENT_FILLED || e->kind == EVENT_CANCELLED) && (e->flags & REPORT_FLAG_DONE))
            forget(r, e->order_id);
    }
}

const random_profile *random_profile_find(const char *name) {
    for (uint32_t i = 0; i < random_profile_count; i++)
        if (strcmp(random_profiles[i].name, name) == 0) return &random_profiles[i];
    return NULL;
}

random_commands *random_commands_open(uint64_t seed, const random_profile *profile, random_digest digest, void *self) {
    random_commands *r = calloc(1, sizeof *r);
    if (r == NULL) abort();
    r->state = seed * 0x9e3779b97f4a7c15u + 1;
    r->profile = *profile;
    r->digest = digest;
    r->self = self;
    r->received_ns = START_NS;
    draw_markets(r);
    return r;
}

void random_commands_decide_by(random_commands *r, const uint8_t *bytes, size_t count) {
    r->bytes = bytes;
    r->bytes_left = count;
}

bool random_commands_decided(const random_commands *r) { return r->bytes != NULL && r->bytes_left == 0; }

void random_commands_close(random_commands *r) { free(r); }
