/* Rates, floors, and the trades that are kept, busted and corrected (rules.md 19 and 20): what only a C caller reaches.
 * What each command does and refuses is in tests/scenarios and held against the oracle. */
#include "venue.h"

#include <stdlib.h>
#include <string.h>

static uint16_t code_of(venue *v, void *command) {
    venue_send(v, command);
    return venue_code(v);
}

static void set_floor(venue *v, uint32_t account, uint32_t asset, int64_t floor_units) {
    wire_balance_floor o = {.kind = KIND_BALANCE_FLOOR, .account = account, .asset = asset, .floor_units = floor_units};
    CHECK(code_of(v, &o) == CODE_NONE);
}

static uint16_t bust(venue *v, uint64_t trade_id) {
    wire_trade_bust o = {.kind = KIND_TRADE_BUST, .instrument = 1, .trade_id = trade_id};
    return code_of(v, &o);
}

static uint16_t correct(venue *v, uint64_t trade_id, int64_t price_ticks, int64_t lots) {
    wire_trade_correction o = {.kind = KIND_TRADE_CORRECTION,
                               .instrument = 1,
                               .trade_id = trade_id,
                               .price_ticks = price_ticks,
                               .quantity_lots = lots};
    return code_of(v, &o);
}

static int64_t free_of(const venue *v, uint32_t account, uint32_t asset) {
    int64_t free_units = 0, locked_units = 0;
    (void)core_balance(v->c, account, asset, &free_units, &locked_units);
    return free_units;
}

/* ---- One at a time: the venue saves, loads and walks behind each command ----------------------------------------- */

static void test_rates_floors_and_trades_are_in_snapshots_and_answers(void) {
    static venue v;
    venue_open(&v);
    wire_fee_tier tier = {
        .kind = KIND_FEE_TIER, .instrument = 1, .tier = 3, .maker_fee_ppm = -100, .taker_fee_ppm = 200};
    wire_price_step step = {
        .kind = KIND_PRICE_STEP, .instrument = 1, .from_price_ticks = 50, .tick_multiple = 5, .lot_multiple = 2};
    wire_account a = {.kind = KIND_ACCOUNT, .account = 1, .fee_tier = 3};
    CHECK(code_of(&v, &tier) == CODE_NONE && code_of(&v, &step) == CODE_NONE && code_of(&v, &a) == CODE_NONE);
    set_floor(&v, 2, 1, -1000);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 4));
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 100, 4));
    CHECK(correct(&v, 1, 95, 2) == CODE_NONE);
    for (int i = 0; i < 3; i++) venue_tick(&v, v.now_ns + 1); /* the shadow is saved and loaded once at least */
    core_account_info account;
    core_fee_tier_info rates;
    core_price_step_info row;
    core_trade_info trade;
    CHECK(core_account(v.shadow, 1, &account) && account.fee_tier == 3);
    CHECK(core_fee_tier(v.shadow, 1, 3, &rates) && rates.maker_fee_ppm == -100 && rates.taker_fee_ppm == 200);
    CHECK(!core_fee_tier(v.shadow, 1, 2, &rates) && !core_fee_tier(v.shadow, 1, 8, &rates));
    CHECK(core_price_step(v.shadow, 1, 0, &row) && row.from_price_ticks == 50 && row.tick_multiple == 5 &&
          row.lot_multiple == 2 && !core_price_step(v.shadow, 1, 1, &row));
    CHECK(core_floor(v.shadow, 2, 1) == -1000 && core_floor(v.shadow, 2, 2) == 0);
    CHECK(core_trade(v.shadow, 1, 1, &trade) && trade.number == 1 && trade.buyer == 1 && trade.seller == 2);
    CHECK(trade.price_ticks == 95 && trade.quantity_lots == 2 && !trade.busted);
    CHECK(!core_trade(v.shadow, 1, 2, &trade) && !core_trade(v.shadow, 2, 1, &trade));
    CHECK(bust(&v, 1) == CODE_NONE && core_trade(v.c, 1, 1, &trade) && trade.busted);
    CHECK(bust(&v, 1) == CODE_UNKNOWN_TRADE);
    venue_close(&v);
}

static void test_a_balance_below_zero_stays_within_its_floor_whatever_happens_to_its_orders(void) {
    static venue v;
    venue_open(&v);
    const int64_t all = free_of(&v, 1, 2);
    set_floor(&v, 1, 2, -500);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 400, 1));
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 500, 1));
    CHECK(free_of(&v, 1, 2) == all - 400);
    wire_withdrawal w = {.kind = KIND_WITHDRAWAL, .account = 1, .asset = 2, .amount_units = all - 400};
    CHECK(code_of(&v, &w) == CODE_NONE && free_of(&v, 1, 2) == 0);
    venue_order(&v, venue_limit(1, 3, SIDE_BUY, 499, 1));
    CHECK(venue_code(&v) == CODE_NONE && free_of(&v, 1, 2) == -500);
    venue_order(&v, venue_limit(1, 4, SIDE_BUY, 1, 1));
    CHECK(venue_code(&v) == CODE_INSUFFICIENT_FUNDS);
    venue_order(&v, venue_limit(2, 5, SIDE_SELL, 499, 1));
    CHECK(free_of(&v, 1, 2) == -499);
    CHECK(correct(&v, 2, 500, 1) == CODE_NONE && free_of(&v, 1, 2) == -500);
    CHECK(correct(&v, 2, 501, 1) == CODE_INSUFFICIENT_FUNDS);
    CHECK(correct(&v, 2, 1, 1) == CODE_NONE && bust(&v, 2) == CODE_NONE && free_of(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_no_room_for_a_balance_is_no_reject(void) {
    static venue v;
    core_options o = venue_options();
    o.balance_count_max = 8; /* the venue's own */
    venue_open_with(&v, o);
    wire_account a = {.kind = KIND_ACCOUNT, .account = 5};
    venue_send(&v, &a);
    const uint64_t before = core_digest(v.c);
    wire_balance_floor f = {.kind = KIND_BALANCE_FLOOR, .account = 5, .asset = 1};
    wire_fee_payout p = {.kind = KIND_FEE_PAYOUT, .account = 5, .asset = 1, .amount_units = 1};
    CHECK(venue_try(&v, NULL, 0, &f) == CORE_E_FULL && strcmp(core_full_pool(v.c), "balance_count_max") == 0);
    CHECK(venue_try(&v, NULL, 0, &p) == CORE_E_FULL && strcmp(core_full_pool(v.c), "balance_count_max") == 0);
    CHECK(core_digest(v.c) == before);
    venue_close(&v);
}

/* ---- Many: straight to one core ---------------------------------------------------------------------------------- */

typedef struct sender {
    core *c;
    uint64_t client_sequence, now_ns;
    wire_report events[CORE_EVENTS_CHUNK_MIN];
    uint32_t count;
} sender;

static uint16_t tell(sender *s, void *command) {
    wire_record r = {.key = 2, .received_ns = s->now_ns};
    ((wire_header *)command)->client_sequence = ++s->client_sequence;
    memcpy(r.command, command, sizeof r.command);
    core_events out = {.events = s->events, .room = CORE_EVENTS_CHUNK_MIN};
    CHECK(core_apply(s->c, &r, 1, &out) == CORE_OK);
    s->count = out.count;
    return s->events[0].kind == EVENT_REJECTED ? s->events[0].code : CODE_NONE;
}

static void trade(sender *s, uint32_t seller, uint32_t buyer, int64_t price_ticks, int64_t lots) {
    wire_new_order sell = venue_limit(seller, 0, SIDE_SELL, price_ticks, lots);
    wire_new_order buy = venue_limit(buyer, 0, SIDE_BUY, price_ticks, lots);
    CHECK(tell(s, &sell) == CODE_NONE && tell(s, &buy) == CODE_NONE);
}

static uint16_t tell_bust(sender *s, uint64_t trade_id) {
    wire_trade_bust o = {.kind = KIND_TRADE_BUST, .instrument = 1, .trade_id = trade_id};
    return tell(s, &o);
}

static void test_the_last_trades_are_kept_and_no_other(void) {
    static venue v;
    venue_open(&v);
    sender s = {.c = v.c, .now_ns = v.now_ns};
    for (uint32_t i = 0; i < TRADES_KEPT; i++) trade(&s, 1 + i % 2, 2 - i % 2, 100, 1);
    CHECK(core_check(v.c) == NULL && core_trade_count(v.c) == TRADES_KEPT);
    core_trade_info t;
    CHECK(core_trade(v.c, 1, 1, &t) && t.number == 1);
    trade(&s, 1, 2, 100, 1);
    CHECK(!core_trade(v.c, 1, 1, &t) && core_trade(v.c, 1, 2, &t) && core_trade(v.c, 1, TRADES_KEPT + 1, &t));
    CHECK(tell_bust(&s, 1) == CODE_UNKNOWN_TRADE && tell_bust(&s, 2) == CODE_NONE);
    for (uint32_t i = 0; i < 100; i++) trade(&s, 2, 1, 100, 1);
    CHECK(core_check(v.c) == NULL && tell_bust(&s, 101) == CODE_UNKNOWN_TRADE && tell_bust(&s, 102) == CODE_NONE);
    venue_close(&v);
}

/* Out of one account and into another, so that the same units can be traded again. */
static void move(sender *s, uint32_t asset, uint32_t from, uint32_t to, int64_t units) {
    wire_withdrawal out = {.kind = KIND_WITHDRAWAL, .account = from, .asset = asset, .amount_units = units};
    wire_deposit in = {.kind = KIND_DEPOSIT, .account = to, .asset = asset, .amount_units = units};
    CHECK(tell(s, &out) == CODE_NONE && tell(s, &in) == CODE_NONE);
}

static void test_a_bust_keeps_positions_within_64_bits(void) {
    static venue v;
    venue_open(&v);
    sender s = {.c = v.c, .now_ns = v.now_ns};
    for (uint32_t asset = 1; asset <= 2; asset++) {
        wire_deposit d = {
            .kind = KIND_DEPOSIT, .account = 3 - asset, .asset = asset, .amount_units = QUANTITY_LOTS_MAX};
        CHECK(tell(&s, &d) == CODE_NONE);
    }
    trade(&s, 1, 2, 1, 5); /* account 1 is short 5: undone, its position rises */
    int64_t position = -5, open_buy, open_sell;
    while (position < UNITS_MAX - 5) {
        const int64_t lacks = UNITS_MAX - 5 - position, lots = lacks < QUANTITY_LOTS_MAX ? lacks : QUANTITY_LOTS_MAX;
        trade(&s, 2, 1, 1, lots);
        position += lots;
        move(&s, 1, 1, 2, lots);
        move(&s, 2, 2, 1, lots);
    }
    CHECK(core_position(v.c, 1, 1, &position, &open_buy, &open_sell) && position == UNITS_MAX - 5);
    wire_new_order open = venue_limit(1, 7, SIDE_BUY, 1, 1); /* counts with the position */
    CHECK(tell(&s, &open) == CODE_NONE && tell_bust(&s, 1) == CODE_POSITION_EXCEEDED);
    wire_cancel cancel = {.kind = KIND_CANCEL, .account = 1, .instrument = 1, .target_client_order_id = 7};
    CHECK(tell(&s, &cancel) == CODE_NONE && tell_bust(&s, 1) == CODE_NONE);
    CHECK(core_position(v.c, 1, 1, &position, &open_buy, &open_sell) && position == UNITS_MAX);
    CHECK(tell(&s, &open) == CODE_POSITION_EXCEEDED && core_check(v.c) == NULL);
    venue_close(&v);
}

int main(void) {
    RUN(test_rates_floors_and_trades_are_in_snapshots_and_answers);
    RUN(test_a_balance_below_zero_stays_within_its_floor_whatever_happens_to_its_orders);
    RUN(test_no_room_for_a_balance_is_no_reject);
    RUN(test_the_last_trades_are_kept_and_no_other);
    RUN(test_a_bust_keeps_positions_within_64_bits);
    return 0;
}
