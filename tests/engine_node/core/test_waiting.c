/* Orders that wait for the reference price, and what happens when they fire (rules.md 14). */
#include <string.h>

#include "venue.h"

static wire_order_terms stop(int64_t trigger_price_ticks) {
    return (wire_order_terms){
        .kind = KIND_ORDER_TERMS, .trigger = TRIGGER_STOP, .trigger_price_ticks = trigger_price_ticks};
}

static wire_order_terms take_profit(int64_t trigger_price_ticks) {
    return (wire_order_terms){
        .kind = KIND_ORDER_TERMS, .trigger = TRIGGER_TAKE_PROFIT, .trigger_price_ticks = trigger_price_ticks};
}

static wire_order_terms trailing(int32_t offset_ticks) {
    return (wire_order_terms){.kind = KIND_ORDER_TERMS, .trigger = TRIGGER_TRAILING, .offset_ticks = offset_ticks};
}

static void wait_for(venue *v, wire_order_terms terms, wire_new_order o) { venue_order_with(v, &terms, NULL, o); }

/* A trade of one lot at that price between accounts 3 and 4, which leaves nothing in the book. */
static void trade_at(venue *v, int64_t price_ticks) {
    venue_order(v, venue_limit(3, 900, SIDE_SELL, price_ticks, 1));
    venue_order(v, venue_limit(4, 901, SIDE_BUY, price_ticks, 1));
}

static wire_new_order market(uint32_t account, uint64_t name, uint8_t side, int64_t cap_ticks, int64_t lots) {
    wire_new_order o = venue_limit(account, name, side, cap_ticks, lots);
    o.order_type = ORDER_TYPE_MARKET;
    o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    return o;
}

static int64_t trigger_of(const venue *v, uint64_t name) {
    core_order_info o;
    return core_order(v->c, v->ids[name], &o) ? o.trigger_price_ticks : -1;
}

/* ---- Each kind, both sides --------------------------------------------------------------------------------------- */

static void test_a_stop_waits_out_of_the_book_and_fires_at_its_price_or_beyond(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, stop(105), venue_limit(1, 1, SIDE_BUY, 110, 5));
    EXPECT(&v, "accepted 1 buy 5@110\n");
    wait_for(&v, stop(95), venue_limit(1, 2, SIDE_SELL, 90, 5));
    EXPECT(&v, "accepted 2 sell 5@90\n");
    CHECK(venue_locked(&v, 1, 2) == 551 && venue_locked(&v, 1, 1) == 5);
    trade_at(&v, 104);
    trade_at(&v, 96);
    CHECK(trigger_of(&v, 1) == 105 && trigger_of(&v, 2) == 95);
    venue_order(&v, venue_limit(3, 3, SIDE_SELL, 105, 2));
    venue_order(&v, venue_limit(4, 4, SIDE_BUY, 105, 1));
    EXPECT(&v, "accepted 4 buy 1@105\n"
               "trade 1@105\n"
               "filled 3 1@105\n"
               "filled 4 1@105 done\n"
               "level3 3 change 1@105\n"
               "book sell 1@105 of 1\n"
               "triggered 1 buy 5@110\n"
               "trade 1@105\n"
               "filled 3 1@105 done\n"
               "filled 1 1@105\n"
               "level3 3 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "level3 1 add 4@110\n"
               "book buy 4@110 of 1\n");
    venue_close(&v);
}

static void test_a_falling_stop_sells_and_a_market_stop_cancels_what_it_does_not_get(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, stop(95), market(1, 1, SIDE_SELL, 0, 5));
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 95, 3));
    venue_order(&v, venue_limit(4, 4, SIDE_SELL, 95, 1));
    EXPECT(&v, "accepted 4 sell 1@95\n"
               "trade 1@95\n"
               "filled 3 1@95\n"
               "filled 4 1@95 done\n"
               "level3 3 change 2@95\n"
               "book buy 2@95 of 1\n"
               "triggered 1 sell 5@1\n"
               "trade 2@95\n"
               "filled 3 2@95 done\n"
               "filled 1 2@95\n"
               "level3 3 remove 0@95\n"
               "book buy 0@95 of 0\n"
               "cancelled 1 3 unfilled done\n");
    CHECK(venue_locked(&v, 1, 1) == 0);
    venue_close(&v);
}

static void test_take_profits_fire_the_other_way_round(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, take_profit(105), venue_limit(1, 1, SIDE_SELL, 105, 5)); /* rising */
    wait_for(&v, take_profit(95), venue_limit(1, 2, SIDE_BUY, 95, 5));    /* falling */
    trade_at(&v, 106);
    CHECK(trigger_of(&v, 1) == 0); /* it has fired and rests */
    core_order_info o;
    CHECK(core_order(v.c, v.ids[1], &o) && o.place == 0 && o.trigger == 0 && o.priority == core_sequence(v.c));
    trade_at(&v, 94);
    CHECK(trigger_of(&v, 2) == 0);
    venue_close(&v);
}

static void test_a_sell_trailing_stop_follows_the_price_up_and_fires_on_the_way_down(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, trailing(5), venue_limit(1, 1, SIDE_SELL, 90, 5));
    CHECK(trigger_of(&v, 1) == 95);
    trade_at(&v, 110);
    CHECK(trigger_of(&v, 1) == 105);
    trade_at(&v, 106);
    CHECK(trigger_of(&v, 1) == 105);
    trade_at(&v, 105);
    CHECK(trigger_of(&v, 1) == 0);
    core_order_info o;
    CHECK(core_order(v.c, v.ids[1], &o) && o.rest_lots == 5 && o.price_ticks == 90);
    venue_close(&v);
}

static void test_a_buy_trailing_stop_follows_the_price_down_and_fires_on_the_way_up(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, trailing(5), venue_limit(1, 1, SIDE_BUY, 120, 5));
    CHECK(trigger_of(&v, 1) == 105);
    trade_at(&v, 90);
    CHECK(trigger_of(&v, 1) == 95);
    trade_at(&v, 94);
    CHECK(trigger_of(&v, 1) == 95);
    trade_at(&v, 97);
    CHECK(trigger_of(&v, 1) == 0);
    venue_close(&v);
}

static void test_a_trailing_trigger_stays_within_the_prices_there_are(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 3);
    wait_for(&v, trailing(1000), venue_limit(1, 1, SIDE_SELL, 1, 1));
    CHECK(trigger_of(&v, 1) == 1);
    wire_instrument_limits limits = {
        .kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = PRICE_TICKS_MAX - 5};
    venue_send(&v, &limits);
    wait_for(&v, trailing(10), venue_limit(1, 2, SIDE_BUY, 1000, 1));
    CHECK(trigger_of(&v, 2) == PRICE_TICKS_MAX);
    venue_close(&v);
}

static void test_trailing_stops_that_move_together_keep_the_order_of_their_ids(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, trailing(5), venue_limit(1, 1, SIDE_SELL, 90, 1));
    wait_for(&v, trailing(15), venue_limit(1, 2, SIDE_SELL, 90, 1));
    wait_for(&v, stop(105), venue_limit(1, 3, SIDE_SELL, 90, 1));
    EXPECT(&v, "rejected 43\n"); /* it would fire at once */
    trade_at(&v, 110);
    wait_for(&v, stop(105), venue_limit(1, 4, SIDE_SELL, 90, 1)); /* behind 1, which came there by moving */
    trade_at(&v, 120);
    CHECK(trigger_of(&v, 1) == 115 && trigger_of(&v, 2) == 105); /* 2 came behind 4 */
    trade_at(&v, 116);
    venue_order(&v, venue_limit(3, 10, SIDE_BUY, 90, 9));
    venue_order(&v, venue_limit(4, 11, SIDE_SELL, 90, 1));
    EXPECT(&v, "accepted 11 sell 1@90\n"
               "trade 1@90\n"
               "filled 10 1@90\n"
               "filled 11 1@90 done\n"
               "level3 10 change 8@90\n"
               "book buy 8@90 of 1\n"
               "triggered 1 sell 1@90\n"
               "trade 1@90\n"
               "filled 10 1@90\n"
               "filled 1 1@90 done\n"
               "level3 10 change 7@90\n"
               "book buy 7@90 of 1\n"
               "triggered 4 sell 1@90\n"
               "trade 1@90\n"
               "filled 10 1@90\n"
               "filled 4 1@90 done\n"
               "level3 10 change 6@90\n"
               "book buy 6@90 of 1\n"
               "triggered 2 sell 1@90\n"
               "trade 1@90\n"
               "filled 10 1@90\n"
               "filled 2 1@90 done\n"
               "level3 10 change 5@90\n"
               "book buy 5@90 of 1\n");
    venue_close(&v);
}

/* ---- What fires first, and what it sets off ---------------------------------------------------------------------- */

static void test_the_lowest_rising_trigger_fires_before_the_highest_falling_one(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, stop(103), venue_limit(1, 1, SIDE_BUY, 50, 1));
    wait_for(&v, stop(102), venue_limit(1, 2, SIDE_BUY, 50, 1));
    wait_for(&v, stop(102), venue_limit(1, 3, SIDE_BUY, 50, 1));
    wire_instrument_limits limits = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = 10};
    venue_send(&v, &limits); /* a price that an administrator sets fires nothing */
    EXPECT(&v, "");
    wait_for(&v, take_profit(9), venue_limit(1, 4, SIDE_BUY, 1, 1));
    wait_for(&v, stop(8), venue_limit(1, 5, SIDE_SELL, 500, 1));
    limits.reference_price_ticks = 103;
    venue_send(&v, &limits);
    limits.reference_price_ticks = 5;
    trade_at(&v, 103);
    CHECK(v.count > 0);
    EXPECT(&v, "accepted 901 buy 1@103\n"
               "trade 1@103\n"
               "filled 900 1@103 done\n"
               "filled 901 1@103 done\n"
               "level3 900 remove 0@103\n"
               "book sell 0@103 of 0\n"
               "triggered 2 buy 1@50\n"
               "level3 2 add 1@50\n"
               "book buy 1@50 of 1\n"
               "triggered 3 buy 1@50\n"
               "level3 3 add 1@50\n"
               "book buy 2@50 of 2\n"
               "triggered 1 buy 1@50\n"
               "level3 1 add 1@50\n"
               "book buy 3@50 of 3\n");
    venue_close(&v);
}

static void test_stops_set_off_stops_and_a_long_chain_goes_on_in_the_next_chunk(void) {
    static venue v;
    venue_open(&v);
    enum { CHAIN = 40 };
    trade_at(&v, 1000);
    for (uint64_t n = 0; n < CHAIN; n++) { /* each stop sells into a bid that sets off the next */
        wait_for(&v, stop(999 - (int64_t)n), venue_limit(1, 1 + n, SIDE_SELL, 998 - (int64_t)n, 1));
        venue_order(&v, venue_limit(2, 101 + n, SIDE_BUY, 998 - (int64_t)n, 1));
    }
    venue_order(&v, venue_limit(3, 900, SIDE_BUY, 999, 1));
    venue_order(&v, venue_limit(4, 901, SIDE_SELL, 999, 1));
    uint32_t triggered = 0, trades = 0;
    for (uint32_t i = 0; i < v.count; i++) {
        triggered += v.events[i].kind == EVENT_TRIGGERED;
        trades += v.events[i].kind == EVENT_TRADE;
        if (v.events[i].kind == EVENT_TRIGGERED) CHECK(v.events[i].reference == trades + 1); /* of the first trade_at */
    }
    CHECK(triggered == CHAIN && trades == CHAIN + 1);
    core_instrument_info i;
    CHECK(core_instrument(v.c, 1, &i) && i.reference_price_ticks == 999 - CHAIN && i.bid_level_count == 0);
    venue_close(&v);
}

static void test_a_run_that_did_not_trade_fires_nothing(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, stop(105), venue_limit(1, 1, SIDE_BUY, 50, 1));
    wire_instrument_limits limits = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = 200};
    venue_send(&v, &limits);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 300, 1)); /* rests */
    wire_new_order self = venue_limit(2, 3, SIDE_BUY, 300, 1);
    self.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_BOTH;
    venue_order(&v, self); /* only cancels */
    CHECK(trigger_of(&v, 1) == 105);
    trade_at(&v, 200);
    CHECK(trigger_of(&v, 1) == 0);
    venue_close(&v);
}

static void test_what_a_replaced_order_trades_fires_behind_the_answer_to_its_sender(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wait_for(&v, stop(105), venue_limit(1, 1, SIDE_BUY, 50, 1));
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 105, 1));
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 104, 1));
    v.key = 2; /* not the key that entered it */
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 3,
                      .instrument = 1,
                      .target_client_order_id = 3,
                      .price_ticks = 105,
                      .quantity_lots = 1};
    venue_send(&v, &r);
    uint32_t applied = 0, triggered = 0;
    for (uint32_t i = 0; i < v.count; i++) {
        if (v.events[i].kind == EVENT_APPLIED) applied = i;
        if (v.events[i].kind == EVENT_TRIGGERED) triggered = i;
    }
    CHECK(applied > 0 && triggered == applied + 1 && v.events[v.count - 1].kind != EVENT_APPLIED);
    venue_close(&v);
}

/* ---- What fires as something else than a plain limit ------------------------------------------------------------- */

static void test_a_post_only_stop_that_would_take_is_cancelled(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 110, 5);
    o.options = ORDER_OPTION_POST_ONLY;
    wait_for(&v, stop(105), o);
    o.client_order_id = 2;
    o.price_ticks = 104;
    wait_for(&v, stop(105), o);
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 105, 2));
    venue_order(&v, venue_limit(3, 4, SIDE_BUY, 105, 1));
    EXPECT(&v, "accepted 4 buy 1@105\n"
               "trade 1@105\n"
               "filled 3 1@105\n"
               "filled 4 1@105 done\n"
               "level3 3 change 1@105\n"
               "book sell 1@105 of 1\n"
               "triggered 1 buy 5@110\n"
               "cancelled 1 5 would_take done\n"
               "triggered 2 buy 5@104\n"
               "level3 2 add 5@104\n"
               "book buy 5@104 of 1\n");
    venue_close(&v);
}

static void test_a_fill_or_kill_does_not_wait(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 110, 5);
    o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    wait_for(&v, stop(105), o);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    wait_for(&v, trailing(5), o);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    venue_close(&v);
}

static void test_an_iceberg_stop_shows_its_part_only_when_it_has_fired(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wire_order_terms terms = stop(105);
    terms.display_lots = 2;
    wait_for(&v, terms, venue_limit(1, 1, SIDE_BUY, 104, 5));
    core_order_info o;
    CHECK(core_order(v.c, v.ids[1], &o) && o.display_lots == 2 && o.reserve_lots == 0);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 105, 1));
    venue_order(&v, venue_limit(3, 3, SIDE_BUY, 105, 1));
    EXPECT(&v, "accepted 3 buy 1@105\n"
               "trade 1@105\n"
               "filled 2 1@105 done\n"
               "filled 3 1@105 done\n"
               "level3 2 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "triggered 1 buy 5@104\n"
               "level3 1 add 2@104\n"
               "book buy 2@104 of 1\n");
    CHECK(core_order(v.c, v.ids[1], &o) && o.reserve_lots == 3);
    venue_close(&v);
}

static void test_a_hidden_stop_rests_unseen_and_its_partner_goes_first(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wire_order_terms terms = stop(105);
    terms.options = TERM_OPTION_HIDDEN;
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 90, 5));
    const wire_order_link link = venue_pair(1);
    venue_order_with(&v, &terms, &link, venue_limit(1, 2, SIDE_BUY, 104, 5));
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 105, 1));
    venue_order(&v, venue_limit(3, 4, SIDE_BUY, 105, 1));
    EXPECT(&v, "accepted 4 buy 1@105\n"
               "trade 1@105\n"
               "filled 3 1@105 done\n"
               "filled 4 1@105 done\n"
               "level3 3 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "cancelled 1 5 linked done\n"
               "level3 1 remove 0@90\n"
               "book buy 0@90 of 0\n"
               "triggered 2 buy 5@104\n");
    CHECK(venue_locked(&v, 1, 2) == 521);
    venue_order(&v, venue_limit(2, 5, SIDE_SELL, 104, 5));
    EXPECT(&v, "accepted 5 sell 5@104\n"
               "trade 5@104\n"
               "filled 2 5@104 done\n"
               "filled 5 5@104 done\n");
    venue_close(&v);
}

static void test_a_fired_order_prevents_self_trades_as_it_said_when_it_entered(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 110, 5);
    o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_TAKER;
    wait_for(&v, stop(105), o);
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 106, 1));
    trade_at(&v, 105);
    EXPECT(&v, "accepted 901 buy 1@105\n"
               "trade 1@105\n"
               "filled 900 1@105 done\n"
               "filled 901 1@105 done\n"
               "level3 900 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "triggered 1 buy 5@110\n"
               "cancelled 1 5 self_trade done\n");
    venue_close(&v);
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

static void test_waiting_orders_are_refused_with_the_first_code_that_is_wrong(void) {
    static venue v;
    venue_open(&v);
    wait_for(&v, trailing(5), venue_limit(1, 1, SIDE_SELL, 90, 5));
    CHECK(venue_code(&v) == CODE_NO_REFERENCE_PRICE);
    wait_for(&v, stop(1), venue_limit(1, 2, SIDE_BUY, 90, 5)); /* without a reference price nothing is met */
    CHECK(venue_code(&v) == CODE_NONE);
    venue_cancel(&v, 1, 2);
    EXPECT(&v, "cancelled 2 5 by_request done\n");
    trade_at(&v, 100);
    const struct {
        wire_order_terms terms;
        uint8_t side;
    } met[] = {
        {stop(100), SIDE_BUY}, {stop(100), SIDE_SELL}, {take_profit(100), SIDE_BUY}, {take_profit(100), SIDE_SELL}};
    for (size_t n = 0; n < sizeof met / sizeof *met; n++) {
        wait_for(&v, met[n].terms, venue_limit(1, 1, met[n].side, 90, 5));
        CHECK(venue_code(&v) == CODE_TRIGGER_ALREADY_MET);
    }
    wait_for(&v, stop(0), venue_limit(1, 1, SIDE_BUY, 90, 5));
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    wait_for(&v, stop(PRICE_TICKS_MAX + 1), venue_limit(1, 1, SIDE_BUY, 90, 5));
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    wait_for(&v, trailing(0), venue_limit(1, 1, SIDE_BUY, 90, 5));
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    wait_for(&v, trailing(-1), venue_limit(1, 1, SIDE_BUY, 90, 5));
    CHECK(venue_code(&v) == CODE_TERMS_INVALID);
    wait_for(&v, stop(105), market(1, 1, SIDE_BUY, 0, 5));
    CHECK(venue_code(&v) == CODE_PRICE_CAP_REQUIRED);
    wait_for(&v, stop(105), venue_limit(1, 1, SIDE_BUY, 1ll << 29, 5));
    CHECK(venue_code(&v) == CODE_INSUFFICIENT_FUNDS);
    venue_close(&v);
}

static void test_a_collar_does_not_touch_what_waits(void) {
    static venue v;
    venue_open(&v);
    wire_instrument_limits limits = {
        .kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = 100, .collar_ppm = 100000};
    venue_send(&v, &limits);
    wait_for(&v, stop(105), venue_limit(1, 1, SIDE_BUY, 500, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    wait_for(&v, stop(95), market(1, 2, SIDE_SELL, 0, 1));
    EXPECT(&v, "accepted 2 sell 1@1\n"); /* nor does it give it a price */
    venue_close(&v);
}

static void test_trailing_stops_of_a_side_are_bounded(void) {
    static venue v;
    venue_open(&v);
    trade_at(&v, 100);
    for (uint64_t n = 1; n <= TRAILING_ORDERS_MAX; n++) wait_for(&v, trailing(5), venue_limit(1, n, SIDE_SELL, 90, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    wait_for(&v, trailing(5), venue_limit(2, 200, SIDE_SELL, 90, 1));
    CHECK(venue_code(&v) == CODE_SPECIAL_ORDERS_EXCEEDED);
    wait_for(&v, trailing(5), venue_limit(2, 200, SIDE_BUY, 90, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    venue_cancel(&v, 1, 7);
    wait_for(&v, trailing(5), venue_limit(2, 201, SIDE_SELL, 90, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

static void test_what_waits_is_open_and_cannot_be_replaced(void) {
    static venue v;
    venue_open(&v);
    wire_account_limits limits = {.kind = KIND_ACCOUNT_LIMITS, .account = 1, .open_orders_max = 1};
    venue_send(&v, &limits);
    wire_new_order at_once = venue_limit(1, 1, SIDE_BUY, 110, 5);
    at_once.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    wait_for(&v, stop(105), at_once); /* waits, so it counts */
    at_once.client_order_id = 2;
    wait_for(&v, stop(105), at_once);
    CHECK(venue_code(&v) == CODE_OPEN_ORDERS_EXCEEDED);
    at_once.client_order_id = 1;
    wait_for(&v, stop(105), at_once);
    CHECK(venue_code(&v) == CODE_DUPLICATE_CLIENT_ORDER_ID);
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 1,
                      .instrument = 1,
                      .target_client_order_id = 1,
                      .price_ticks = 105,
                      .quantity_lots = 1};
    venue_send(&v, &r);
    CHECK(venue_code(&v) == CODE_REPLACE_UNSUPPORTED);
    core_order_info open;
    CHECK(core_account_orders(v.c, 1, 0, &open, 1) == 1 && open.trigger == TRIGGER_STOP &&
          open.trigger_price_ticks == 105 && open.time_in_force == TIME_IN_FORCE_IMMEDIATE_OR_CANCEL);
    wire_mass_cancel m = {.kind = KIND_MASS_CANCEL, .account = 1};
    venue_send(&v, &m);
    EXPECT(&v, "cancelled 1 5 by_mass_cancel done\n");
    venue_close(&v);
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static void test_there_is_always_room_for_what_waits_to_rest(void) {
    for (uint32_t levels = 4; levels < 12; levels++) {
        static venue v;
        core_options options = venue_options();
        options.level_count_max = levels;
        venue_open_with(&v, options);
        trade_at(&v, 100);
        core_status status = CORE_OK;
        uint64_t waiting = 0;
        wire_order_terms terms = stop(200);
        const void *prefixes[] = {&terms};
        for (uint64_t n = 1; status == CORE_OK; n++) { /* all at one trigger, each to a level of its own */
            wire_new_order o = venue_limit(1, n, SIDE_BUY, (int64_t)n, 1);
            status = venue_try(&v, prefixes, 1, &o);
            waiting += status == CORE_OK;
        }
        CHECK(status == CORE_E_FULL && strcmp(core_full_pool(v.c), "level_count_max") == 0 && waiting == levels - 2);
        venue_cancel(&v, 1, 1);
        trade_at(&v, 200);
        core_instrument_info i;
        CHECK(core_instrument(v.c, 1, &i) && i.bid_level_count == waiting - 1);
        venue_close(&v);
    }
}

static void test_ladders_have_room_for_what_waits_too(void) {
    static venue v;
    core_options options = venue_options();
    options.ladder_count_max = 400;
    venue_open_with(&v, options);
    trade_at(&v, 100);
    core_status status = CORE_OK;
    uint64_t waiting = 0;
    wire_order_terms terms = stop(200);
    const void *prefixes[] = {&terms};
    for (uint64_t n = 1; status == CORE_OK; n++) { /* to prices as far apart as can be */
        wire_new_order o = venue_limit(1, n, SIDE_SELL, 1 + (PRICE_TICKS_MAX >> (n % 48)), 1);
        terms = take_profit(200);
        status = venue_try(&v, prefixes, 1, &o);
        waiting += status == CORE_OK;
    }
    CHECK(status == CORE_E_FULL && strcmp(core_full_pool(v.c), "ladder_count_max") == 0 && waiting > 20);
    venue_cancel(&v, 1, 1);
    venue_cancel(&v, 1, 2);
    trade_at(&v, 200);
    core_instrument_info i;
    CHECK(core_instrument(v.c, 1, &i) && i.ask_level_count == waiting - 2);
    venue_close(&v);
}

int main(void) {
    RUN(test_a_stop_waits_out_of_the_book_and_fires_at_its_price_or_beyond);
    RUN(test_a_falling_stop_sells_and_a_market_stop_cancels_what_it_does_not_get);
    RUN(test_take_profits_fire_the_other_way_round);
    RUN(test_a_sell_trailing_stop_follows_the_price_up_and_fires_on_the_way_down);
    RUN(test_a_buy_trailing_stop_follows_the_price_down_and_fires_on_the_way_up);
    RUN(test_a_trailing_trigger_stays_within_the_prices_there_are);
    RUN(test_trailing_stops_that_move_together_keep_the_order_of_their_ids);
    RUN(test_the_lowest_rising_trigger_fires_before_the_highest_falling_one);
    RUN(test_stops_set_off_stops_and_a_long_chain_goes_on_in_the_next_chunk);
    RUN(test_a_run_that_did_not_trade_fires_nothing);
    RUN(test_what_a_replaced_order_trades_fires_behind_the_answer_to_its_sender);
    RUN(test_a_post_only_stop_that_would_take_is_cancelled);
    RUN(test_a_fill_or_kill_does_not_wait);
    RUN(test_an_iceberg_stop_shows_its_part_only_when_it_has_fired);
    RUN(test_a_hidden_stop_rests_unseen_and_its_partner_goes_first);
    RUN(test_a_fired_order_prevents_self_trades_as_it_said_when_it_entered);
    RUN(test_waiting_orders_are_refused_with_the_first_code_that_is_wrong);
    RUN(test_a_collar_does_not_touch_what_waits);
    RUN(test_trailing_stops_of_a_side_are_bounded);
    RUN(test_what_waits_is_open_and_cannot_be_replaced);
    RUN(test_there_is_always_room_for_what_waits_to_rest);
    RUN(test_ladders_have_room_for_what_waits_too);
    return 0;
}
