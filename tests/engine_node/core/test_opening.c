/* What an opening, a closing and the breaker set going: orders that wait, links, day orders (rules.md 14 to 18). */
#include "venue.h"

static const uint64_t MS = 1000000;

static void set_state(venue *v, uint8_t state, uint64_t ends_ns) {
    wire_instrument_state o = {
        .kind = KIND_INSTRUMENT_STATE, .instrument = 1, .trading_state = state, .auction_ends_ns = ends_ns};
    venue_send(v, &o);
    CHECK(venue_code(v) == CODE_NONE);
}

static void set_reference(venue *v, int64_t price_ticks) {
    wire_instrument_limits o = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = price_ticks};
    venue_send(v, &o);
}

static core_instrument_info info(const venue *v) {
    core_instrument_info i;
    CHECK(core_instrument(v->c, 1, &i));
    return i;
}

static void buy(venue *v, uint64_t name, int64_t price_ticks, int64_t lots) {
    venue_order(v, venue_limit(1, name, SIDE_BUY, price_ticks, lots));
    CHECK(venue_code(v) == CODE_NONE);
}

static void sell(venue *v, uint64_t name, int64_t price_ticks, int64_t lots) {
    venue_order(v, venue_limit(2, name, SIDE_SELL, price_ticks, lots));
    CHECK(venue_code(v) == CODE_NONE);
}

/* A stop order that becomes a limit order. */
static void stop(venue *v, uint64_t name, uint8_t side, int64_t trigger_ticks, int64_t price_ticks, int64_t lots) {
    const wire_order_terms terms = {
        .kind = KIND_ORDER_TERMS, .trigger = TRIGGER_STOP, .trigger_price_ticks = trigger_ticks};
    venue_order_with(v, &terms, NULL, venue_limit(3, name, side, price_ticks, lots));
    CHECK(venue_code(v) == CODE_NONE);
}

static void day(venue *v, uint32_t account, uint64_t name, uint8_t side, int64_t price_ticks) {
    const wire_order_terms terms = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_DAY};
    venue_order_with(v, &terms, NULL, venue_limit(account, name, side, price_ticks, 1));
    CHECK(venue_code(v) == CODE_NONE);
}

static uint32_t events_of(const venue *v, uint8_t kind) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->count; i++) count += v->events[i].kind == kind;
    return count;
}

/* ---- Openings ---------------------------------------------------------------------------------------------------- */

static void test_an_auction_price_fires_what_waits_behind_the_answer(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    stop(&v, 1, SIDE_BUY, 105, 120, 2);
    buy(&v, 2, 110, 3);
    sell(&v, 3, 110, 4);
    sell(&v, 4, 115, 4);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "trade 3@110\n"
               "filled 2 3@110 done\n"
               "filled 3 3@110\n"
               "level3 2 remove 0@110\n"
               "level3 3 change 1@110\n"
               "book buy 0@110 of 0\n"
               "book sell 1@110 of 1\n"
               "state 1\n"
               "triggered 1 buy 2@120\n"
               "trade 1@110\n"
               "filled 3 1@110 done\n"
               "filled 1 1@110\n"
               "level3 3 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "trade 1@115\n"
               "filled 4 1@115\n"
               "filled 1 1@115 done\n"
               "level3 4 change 3@115\n"
               "book sell 3@115 of 1\n");
    for (uint32_t i = 0; i < v.count; i++) /* the sender is answered before what fires */
        if (v.events[i].kind == EVENT_APPLIED) CHECK(v.events[i + 1].kind == EVENT_TRIGGERED);
    venue_close(&v);
}

static void test_what_waits_is_taken_in_an_auction_and_does_not_fire_in_it(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 100);
    set_state(&v, TRADING_STATE_PRE_OPEN, 0);
    stop(&v, 1, SIDE_SELL, 95, 90, 2);
    set_reference(&v, 94); /* set by an admin: no trade, and not open */
    CHECK(events_of(&v, EVENT_TRIGGERED) == 0);
    set_state(&v, TRADING_STATE_HALTED, 0);
    CHECK(events_of(&v, EVENT_TRIGGERED) == 0);
    set_state(&v, TRADING_STATE_OPEN, 0); /* nothing crosses, and yet it has just opened */
    EXPECT(&v, "state 1\n"
               "triggered 1 sell 2@90\n"
               "level3 1 add 2@90\n"
               "book sell 2@90 of 1\n");
    venue_close(&v);
}

static void test_a_tick_fires_what_one_opening_sets_off_before_the_next(void) {
    static venue v;
    venue_open(&v);
    wire_instrument second = {.kind = KIND_INSTRUMENT,
                              .instrument = 2,
                              .base_asset = 1,
                              .quote_asset = 2,
                              .trading_state = TRADING_STATE_OPEN,
                              .base_units_per_lot = 1,
                              .quote_units_per_tick_lot = 1};
    venue_send_named(&v, "TWO", &second);
    const uint64_t ends_ns = v.now_ns + 10 * MS;
    set_state(&v, TRADING_STATE_AUCTION, ends_ns);
    wire_instrument_state o = {.kind = KIND_INSTRUMENT_STATE,
                               .instrument = 2,
                               .trading_state = TRADING_STATE_AUCTION,
                               .auction_ends_ns = ends_ns};
    venue_send(&v, &o);
    stop(&v, 1, SIDE_BUY, 100, 100, 2);
    buy(&v, 2, 100, 1);
    sell(&v, 3, 100, 1);
    CHECK(core_due_ns(v.c) == ends_ns);
    venue_tick(&v, ends_ns);
    EXPECT(&v, "trade 1@100\n"
               "filled 2 1@100 done\n"
               "filled 3 1@100 done\n"
               "level3 2 remove 0@100\n"
               "level3 3 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "book sell 0@100 of 0\n"
               "state 1\n"
               "triggered 1 buy 2@100\n"
               "level3 1 add 2@100\n"
               "book buy 2@100 of 1\n"
               "state 1\n");
    CHECK(core_due_ns(v.c) == UINT64_MAX && events_of(&v, EVENT_BOOK_CHECKSUM) == 1);
    venue_close(&v);
}

static void test_an_order_that_fires_may_trip_the_breaker_and_the_others_wait_on(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 100);
    wire_circuit_breaker b = {.kind = KIND_CIRCUIT_BREAKER, .instrument = 1, .band_ppm = 50000, .band_ms = 5};
    venue_send(&v, &b);
    sell(&v, 1, 104, 1);
    sell(&v, 2, 120, 9);
    stop(&v, 3, SIDE_BUY, 104, 200, 2);
    stop(&v, 4, SIDE_BUY, 104, 200, 1);
    buy(&v, 5, 104, 1);
    EXPECT(&v, "accepted 5 buy 1@104\n"
               "trade 1@104\n"
               "filled 1 1@104 done\n"
               "filled 5 1@104 done\n"
               "level3 1 remove 0@104\n"
               "book sell 0@104 of 0\n"
               "triggered 3 buy 2@200\n"
               "state 4\n"
               "level3 3 add 2@200\n"
               "book buy 2@200 of 1\n");
    CHECK(info(&v).trading_state == TRADING_STATE_AUCTION);
    venue_tick(&v, v.now_ns + 5 * MS);
    EXPECT(&v, "trade 2@120\n"
               "filled 3 2@120 done\n"
               "filled 2 2@120\n"
               "level3 3 remove 0@200\n"
               "level3 2 change 7@120\n"
               "book buy 0@200 of 0\n"
               "book sell 7@120 of 1\n"
               "state 1\n"
               "triggered 4 buy 1@200\n"
               "trade 1@120\n"
               "filled 2 1@120\n"
               "filled 4 1@120 done\n"
               "level3 2 change 6@120\n"
               "book sell 6@120 of 1\n");
    venue_close(&v);
}

/* ---- Links ------------------------------------------------------------------------------------------------------- */

static void test_what_an_order_is_linked_with_goes_before_it_trades_in_an_auction(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 101, 2);
    const wire_order_link link = venue_pair(1);
    venue_order_with(&v, NULL, &link, venue_limit(1, 2, SIDE_BUY, 99, 5));
    sell(&v, 3, 100, 2);
    const wire_order_link other = venue_pair(3);
    venue_order_with(&v, NULL, &other, venue_limit(2, 4, SIDE_SELL, 103, 2));
    set_reference(&v, 100);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "cancelled 2 5 linked done\n"
               "level3 2 remove 0@99\n"
               "book buy 0@99 of 0\n"
               "cancelled 4 2 linked done\n"
               "level3 4 remove 0@103\n"
               "book sell 0@103 of 0\n"
               "trade 2@100\n"
               "filled 1 2@100 done\n"
               "filled 3 2@100 done\n"
               "level3 1 remove 0@101\n"
               "level3 3 remove 0@100\n"
               "book buy 0@101 of 0\n"
               "book sell 0@100 of 0\n"
               "state 1\n");
    CHECK(venue_locked(&v, 1, 2) == 0 && venue_locked(&v, 2, 1) == 0);
    venue_close(&v);
}

static void test_a_partner_that_counted_for_the_price_may_be_gone_when_its_turn_comes(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 100);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 100, 2);
    const wire_order_link link = venue_pair(1);
    venue_order_with(&v, NULL, &link, venue_limit(1, 2, SIDE_BUY, 100, 2));
    sell(&v, 3, 100, 4);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "cancelled 2 2 linked done\n"
               "level3 2 remove 0@100\n"
               "book buy 2@100 of 1\n"
               "trade 2@100\n"
               "filled 1 2@100 done\n"
               "filled 3 2@100\n"
               "level3 1 remove 0@100\n"
               "level3 3 change 2@100\n"
               "book buy 0@100 of 0\n"
               "book sell 2@100 of 1\n"
               "state 1\n");
    venue_close(&v);
}

static void test_a_book_that_still_crosses_when_partners_have_gone_is_uncrossed_again(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 105, 10);
    const wire_order_link link = venue_pair(1);
    venue_order_with(&v, NULL, &link, venue_limit(1, 2, SIDE_BUY, 103, 10));
    buy(&v, 3, 101, 5);
    sell(&v, 4, 100, 20);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "cancelled 2 10 linked done\n"
               "level3 2 remove 0@103\n"
               "book buy 0@103 of 0\n"
               "trade 10@103\n"
               "filled 1 10@103 done\n"
               "filled 4 10@103\n"
               "level3 1 remove 0@105\n"
               "level3 4 change 10@100\n"
               "book buy 0@105 of 0\n"
               "book sell 10@100 of 1\n"
               "trade 5@101\n" /* of 100 and 101 the nearer to 103 */
               "filled 3 5@101 done\n"
               "filled 4 5@101\n"
               "level3 3 remove 0@101\n"
               "level3 4 change 5@100\n"
               "book buy 0@101 of 0\n"
               "book sell 5@100 of 1\n"
               "state 1\n");
    CHECK(info(&v).static_price_ticks == 101 && info(&v).reference_price_ticks == 101);
    venue_close(&v);
}

/* ---- Kills and closings ------------------------------------------------------------------------------------------ */

static void test_a_kill_takes_waiting_orders_last_and_does_not_count_what_goes_by_a_link(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 100);
    stop(&v, 1, SIDE_SELL, 90, 80, 1);
    stop(&v, 2, SIDE_SELL, 95, 80, 1);
    stop(&v, 3, SIDE_BUY, 110, 120, 1);
    stop(&v, 4, SIDE_BUY, 105, 120, 1);
    buy(&v, 5, 99, 1);
    const wire_order_link link = venue_pair(5);
    venue_order_with(&v, NULL, &link, venue_limit(1, 6, SIDE_BUY, 98, 1));
    buy(&v, 7, 97, 1);
    wire_halt o = {.kind = KIND_HALT, .scope = HALT_SCOPE_INSTRUMENT, .target = 1, .action = HALT_ACTION_KILL};
    venue_send(&v, &o);
    EXPECT(&v, "state 2\n"
               "cancelled 5 1 by_kill done\n"
               "level3 5 remove 0@99\n"
               "book buy 0@99 of 0\n"
               "cancelled 6 1 linked done\n"
               "level3 6 remove 0@98\n"
               "book buy 0@98 of 0\n"
               "cancelled 7 1 by_kill done\n"
               "level3 7 remove 0@97\n"
               "book buy 0@97 of 0\n"
               "cancelled 4 1 by_kill done\n"
               "cancelled 3 1 by_kill done\n"
               "cancelled 2 1 by_kill done\n"
               "cancelled 1 1 by_kill done\n");
    CHECK(v.events[v.count - 1].kind == EVENT_APPLIED && v.events[v.count - 1].quantity_lots == 6);
    venue_close(&v);
}

static void test_a_kill_of_an_account_follows_links_too(void) {
    static venue v;
    venue_open(&v);
    buy(&v, 1, 99, 1);
    const wire_order_link link = venue_pair(1);
    venue_order_with(&v, NULL, &link, venue_limit(1, 2, SIDE_BUY, 98, 1)); /* the very next of the sweep */
    buy(&v, 3, 97, 1);
    wire_halt o = {.kind = KIND_HALT, .scope = HALT_SCOPE_ACCOUNT, .target = 1, .action = HALT_ACTION_KILL};
    venue_send(&v, &o);
    CHECK(events_of(&v, EVENT_CANCELLED) == 3 && v.events[v.count - 1].quantity_lots == 2);
    venue_close(&v);
}

static void test_a_close_ends_day_orders_behind_the_answer(void) {
    static venue v;
    venue_open(&v);
    day(&v, 2, 1, SIDE_SELL, 110);
    buy(&v, 2, 90, 1);
    day(&v, 1, 3, SIDE_BUY, 91);
    const wire_order_terms waits = {
        .kind = KIND_ORDER_TERMS, .trigger = TRIGGER_STOP, .trigger_price_ticks = 130, .options = TERM_OPTION_DAY};
    venue_order_with(&v, &waits, NULL, venue_limit(3, 4, SIDE_BUY, 140, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    set_state(&v, TRADING_STATE_HALTED, 0); /* which ends none */
    EXPECT(&v, "state 2\n");
    set_state(&v, TRADING_STATE_CLOSED, 0);
    EXPECT(&v, "state 5\n"
               "cancelled 1 1 session_closed done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "cancelled 3 1 session_closed done\n"
               "level3 3 remove 0@91\n"
               "book buy 0@91 of 0\n"
               "cancelled 4 1 session_closed done\n");
    CHECK(v.events[1].kind == EVENT_APPLIED);
    venue_cancel(&v, 1, 2); /* what is no day order stays, and a closed market takes cancels */
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

int main(void) {
    RUN(test_an_auction_price_fires_what_waits_behind_the_answer);
    RUN(test_what_waits_is_taken_in_an_auction_and_does_not_fire_in_it);
    RUN(test_a_tick_fires_what_one_opening_sets_off_before_the_next);
    RUN(test_an_order_that_fires_may_trip_the_breaker_and_the_others_wait_on);
    RUN(test_what_an_order_is_linked_with_goes_before_it_trades_in_an_auction);
    RUN(test_a_partner_that_counted_for_the_price_may_be_gone_when_its_turn_comes);
    RUN(test_a_book_that_still_crosses_when_partners_have_gone_is_uncrossed_again);
    RUN(test_a_kill_takes_waiting_orders_last_and_does_not_count_what_goes_by_a_link);
    RUN(test_a_kill_of_an_account_follows_links_too);
    RUN(test_a_close_ends_day_orders_behind_the_answer);
    return 0;
}
