/* Market orders by an amount of the quote asset (rules.md 3, 5, 13). */
#include "venue.h"

static wire_new_order by_quote(uint32_t account, uint64_t name, uint8_t side, int64_t cap_ticks, int64_t amount_units) {
    wire_new_order o = venue_limit(account, name, side, cap_ticks, amount_units);
    o.order_type = ORDER_TYPE_MARKET_BY_QUOTE;
    o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    return o;
}

static uint16_t code_of(venue *v, wire_new_order o) {
    venue_order(v, o);
    return venue_code(v);
}

static void limits(venue *v, wire_instrument_limits l) {
    l.kind = KIND_INSTRUMENT_LIMITS, l.instrument = 1;
    venue_send(v, &l);
    CHECK(venue_code(v) == CODE_NONE);
}

static int64_t free_units(const venue *v, uint32_t account, uint32_t asset) {
    int64_t free_units = 0, locked_units = 0;
    CHECK(core_balance(v->c, account, asset, &free_units, &locked_units));
    return free_units;
}

static void test_an_amount_buys_what_it_can_from_level_to_level(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 110, 9));
    const int64_t before = free_units(&v, 1, 2);
    venue_order(&v, by_quote(1, 3, SIDE_BUY, 200, 550)); /* 5 lots at the best ask; 200 + 330 units buy 2 + 3 */
    EXPECT(&v, "accepted 3 buy 5@200\n"
               "trade 2@100\n"
               "filled 1 2@100 done\n"
               "filled 3 2@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 3@110\n"
               "filled 2 3@110\n"
               "filled 3 3@110 done\n"
               "level3 2 change 6@110\n"
               "book sell 6@110 of 1\n");
    CHECK(v.events[0].amount_units == 550 && free_units(&v, 1, 2) == before - 530 && venue_locked(&v, 1, 2) == 0);
    venue_order(&v, venue_limit(2, 4, SIDE_SELL, 100, 1));
    venue_order(&v, by_quote(1, 5, SIDE_BUY, 200, 310)); /* 3 lots; 100, then 210 units buy 1 at 110 */
    EXPECT(&v, "accepted 5 buy 3@200\n"
               "trade 1@100\n"
               "filled 4 1@100 done\n"
               "filled 5 1@100\n"
               "level3 4 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 1@110\n"
               "filled 2 1@110\n"
               "filled 5 1@110\n"
               "level3 2 change 5@110\n"
               "book sell 5@110 of 1\n"
               "cancelled 5 1 amount_reached done\n");
    CHECK(free_units(&v, 1, 2) == before - 530 - 210 && venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_what_finds_no_maker_is_cancelled_unfilled(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, by_quote(1, 1, SIDE_BUY, 100, 1000));
    EXPECT(&v, "accepted 1 buy 10@100\n"
               "cancelled 1 10 unfilled done\n");
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 150, 1));
    venue_order(&v, by_quote(1, 3, SIDE_BUY, 100, 1000)); /* the cap holds */
    EXPECT(&v, "accepted 3 buy 10@100\n"
               "cancelled 3 10 unfilled done\n");
    venue_close(&v);
}

static void test_a_buy_locks_its_amount_and_the_fee_on_it(void) {
    static venue v;
    venue_open(&v);
    wire_instrument i = {.kind = KIND_INSTRUMENT,
                         .instrument = 1,
                         .base_asset = 1,
                         .quote_asset = 2,
                         .taker_fee_ppm = 10000,
                         .trading_state = TRADING_STATE_OPEN,
                         .base_units_per_lot = 1,
                         .quote_units_per_tick_lot = 1};
    venue_send_named(&v, "BASE-QUOTE", &i);
    const int64_t all = free_units(&v, 3, 2);
    wire_withdrawal w = {.kind = KIND_WITHDRAWAL, .account = 3, .asset = 2, .amount_units = all - 1010};
    venue_send(&v, &w);
    CHECK(code_of(&v, by_quote(3, 1, SIDE_BUY, 100, 1000)) == CODE_INSUFFICIENT_FUNDS); /* 1000 + 10 + 1 */
    wire_deposit d = {.kind = KIND_DEPOSIT, .account = 3, .asset = 2, .amount_units = 1};
    venue_send(&v, &d);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 20));
    CHECK(code_of(&v, by_quote(3, 3, SIDE_BUY, 100, 1000)) == CODE_NONE);
    CHECK(free_units(&v, 3, 2) == 1 && free_units(&v, 3, 1) == (1ll << 30) + 10);
    venue_close(&v);
}

static void test_a_sell_stops_when_its_amount_has_come_in(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_BUY, 110, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 100, 9));
    venue_order(&v, by_quote(1, 3, SIDE_SELL, 50, 530)); /* 10 lots at its cap; 220, then 310 units take 3 at 100 */
    EXPECT(&v, "accepted 3 sell 10@50\n"
               "trade 2@110\n"
               "filled 1 2@110 done\n"
               "filled 3 2@110\n"
               "level3 1 remove 0@110\n"
               "book buy 0@110 of 0\n"
               "trade 3@100\n"
               "filled 2 3@100\n"
               "filled 3 3@100\n"
               "level3 2 change 6@100\n"
               "book buy 6@100 of 1\n"
               "cancelled 3 5 amount_reached done\n");
    CHECK(venue_locked(&v, 1, 1) == 0);
    venue_close(&v);
}

static void test_prices_come_from_the_cap_or_the_collar(void) {
    static venue v;
    venue_open(&v);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 0, 1000)) == CODE_PRICE_CAP_REQUIRED);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_SELL, 0, 1000)) == CODE_NONE && v.events[0].price_ticks == 1 &&
          v.events[0].quantity_lots == 1000);
    limits(&v, (wire_instrument_limits){.collar_ppm = 100000, .reference_price_ticks = 100});
    CHECK(code_of(&v, by_quote(1, 2, SIDE_BUY, 0, 1000)) == CODE_NONE && v.events[0].price_ticks == 110 &&
          v.events[0].quantity_lots == 9);
    CHECK(code_of(&v, by_quote(1, 3, SIDE_SELL, 0, 1000)) == CODE_NONE && v.events[0].price_ticks == 90 &&
          v.events[0].quantity_lots == 11);
    CHECK(code_of(&v, by_quote(1, 4, SIDE_BUY, 111, 1000)) == CODE_PRICE_OUTSIDE_COLLAR);
    venue_close(&v);
}

static void test_the_numbers_of_an_amount_are_checked(void) {
    static venue v;
    venue_open(&v);
    wire_new_order o = by_quote(1, 1, SIDE_BUY, 100, 1000);
    o.time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED;
    CHECK(code_of(&v, o) == CODE_MALFORMED);
    o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    CHECK(code_of(&v, o) == CODE_MALFORMED);
    o = by_quote(1, 1, SIDE_BUY, 100, 1000);
    o.options = ORDER_OPTION_POST_ONLY;
    CHECK(code_of(&v, o) == CODE_MALFORMED);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, -1, 1000)) == CODE_PRICE_INVALID);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 0)) == CODE_QUANTITY_INVALID);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, UNITS_MAX)) == CODE_INSUFFICIENT_FUNDS);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 99)) == CODE_NOTIONAL_TOO_SMALL); /* not one lot */
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 1, UNITS_MAX)) ==
          CODE_INSUFFICIENT_FUNDS); /* as many lots as there are */
    limits(&v, (wire_instrument_limits){.quantity_lots_min = 2, .quantity_lots_max = 5, .notional_units_min = 300});
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 99)) == CODE_QUANTITY_TOO_SMALL);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 199)) == CODE_QUANTITY_TOO_SMALL);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 299)) == CODE_NOTIONAL_TOO_SMALL);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_SELL, 100, 299)) == CODE_NOTIONAL_TOO_SMALL); /* its N is known */
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 600)) == CODE_QUANTITY_TOO_LARGE);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 0, 1)) == CODE_PRICE_CAP_REQUIRED); /* no price, no quantity */
    wire_account_limits a = {.kind = KIND_ACCOUNT_LIMITS, .account = 1, .notional_units_max = 400};
    venue_send(&v, &a);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 401)) == CODE_NOTIONAL_TOO_LARGE);
    a = (wire_account_limits){.kind = KIND_ACCOUNT_LIMITS, .account = 1, .position_lots_max = 3};
    venue_send(&v, &a);
    CHECK(code_of(&v, by_quote(1, 1, SIDE_BUY, 100, 400)) == CODE_POSITION_EXCEEDED);
    venue_close(&v);
}

static void test_an_amount_meets_hidden_orders_and_pegs_but_no_all_or_none(void) {
    static venue v;
    venue_open(&v);
    const wire_order_terms whole = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE},
                           hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN},
                           middle = {.kind = KIND_ORDER_TERMS, .peg = PEG_MIDDLE};
    venue_order(&v, venue_limit(2, 1, SIDE_BUY, 96, 1));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 5));
    venue_order_with(&v, &whole, NULL, venue_limit(2, 3, SIDE_SELL, 97, 1));
    venue_order_with(&v, &middle, NULL, venue_limit(2, 4, SIDE_SELL, 90, 1)); /* at 98 */
    venue_order_with(&v, &hidden, NULL, venue_limit(2, 5, SIDE_SELL, 99, 1));
    venue_order(&v, by_quote(1, 6, SIDE_BUY, 200, 300)); /* 3 lots at the best displayed ask */
    EXPECT(&v, "accepted 6 buy 3@200\n"
               "trade 1@98\n"
               "filled 4 1@98 done\n"
               "filled 6 1@98\n"
               "trade 1@99\n"
               "filled 5 1@99 done\n"
               "filled 6 1@99\n"
               "trade 1@100\n"
               "filled 2 1@100\n"
               "filled 6 1@100 done\n"
               "level3 2 change 4@100\n"
               "book sell 4@100 of 1\n");
    venue_close(&v);
}

static void test_self_trade_prevention_leaves_the_amount(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 110, 9));
    wire_new_order o = by_quote(1, 3, SIDE_BUY, 200, 500);
    o.self_trade_prevention = SELF_TRADE_PREVENTION_DECREMENT;
    venue_order(&v, o); /* 5 lots: 2 are taken off, 3 trade for 330 */
    EXPECT(&v, "accepted 3 buy 5@200\n"
               "cancelled 1 2 self_trade done\n"
               "level3 1 remove 0@100\n"
               "cancelled 3 2 self_trade\n"
               "book sell 0@100 of 0\n"
               "trade 3@110\n"
               "filled 2 3@110\n"
               "filled 3 3@110 done\n"
               "level3 2 change 6@110\n"
               "book sell 6@110 of 1\n");
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_order(&v, venue_limit(1, 4, SIDE_SELL, 100, 2));
    o.client_order_id = 5, o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_TAKER;
    venue_order(&v, o);
    EXPECT(&v, "accepted 5 buy 5@200\n"
               "cancelled 5 5 self_trade done\n");
    venue_close(&v);
}

int main(void) {
    RUN(test_an_amount_buys_what_it_can_from_level_to_level);
    RUN(test_what_finds_no_maker_is_cancelled_unfilled);
    RUN(test_a_buy_locks_its_amount_and_the_fee_on_it);
    RUN(test_a_sell_stops_when_its_amount_has_come_in);
    RUN(test_prices_come_from_the_cap_or_the_collar);
    RUN(test_the_numbers_of_an_amount_are_checked);
    RUN(test_an_amount_meets_hidden_orders_and_pegs_but_no_all_or_none);
    RUN(test_self_trade_prevention_leaves_the_amount);
    return 0;
}
