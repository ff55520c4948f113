/* Trading states and auctions: what is taken when, at which price a crossed book opens, and how (rules.md 17). */
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

static void define(venue *v, int32_t maker_ppm, int32_t taker_ppm) {
    wire_instrument o = {.kind = KIND_INSTRUMENT,
                         .instrument = 1,
                         .base_asset = 1,
                         .quote_asset = 2,
                         .trading_state = TRADING_STATE_OPEN,
                         .maker_fee_ppm = maker_ppm,
                         .taker_fee_ppm = taker_ppm,
                         .base_units_per_lot = 1,
                         .quote_units_per_tick_lot = 1};
    venue_send_named(v, "BASE-QUOTE", &o);
}

static core_instrument_info info(const venue *v) {
    core_instrument_info i;
    CHECK(core_instrument(v->c, 1, &i));
    return i;
}

static const wire_report *event_of(const venue *v, uint8_t kind, uint32_t which) {
    for (uint32_t i = 0; i < v->count; i++)
        if (v->events[i].kind == kind && which-- == 0) return &v->events[i];
    return NULL;
}

static void buy(venue *v, uint64_t name, int64_t price_ticks, int64_t lots) {
    venue_order(v, venue_limit(1, name, SIDE_BUY, price_ticks, lots));
    CHECK(venue_code(v) == CODE_NONE);
}

static void sell(venue *v, uint64_t name, int64_t price_ticks, int64_t lots) {
    venue_order(v, venue_limit(2, name, SIDE_SELL, price_ticks, lots));
    CHECK(venue_code(v) == CODE_NONE);
}

/* Change a book far from the others, so that the next tick tells what the auction would give; then open. */
static const wire_report *indicated(venue *v) {
    venue_tick(v, v->now_ns + 1);
    const wire_report *e = event_of(v, EVENT_INDICATIVE, 0);
    CHECK(e != NULL && event_of(v, EVENT_BOOK_CHECKSUM, 0) != NULL);
    return e;
}

/* ---- What is taken in which state -------------------------------------------------------------------------------- */

static void test_each_state_takes_what_it_takes(void) {
    static venue v;
    static const uint8_t states[] = {TRADING_STATE_OPEN, TRADING_STATE_HALTED, TRADING_STATE_PRE_OPEN,
                                     TRADING_STATE_AUCTION, TRADING_STATE_CLOSED};
    for (uint32_t s = 0; s < sizeof states; s++) {
        venue_open(&v);
        buy(&v, 1, 90, 5);
        set_state(&v, states[s], 0);
        CHECK(info(&v).trading_state == states[s]);
        const bool open = states[s] == TRADING_STATE_OPEN;
        const bool gathers = states[s] == TRADING_STATE_PRE_OPEN || states[s] == TRADING_STATE_AUCTION;
        const uint16_t rests = open || gathers ? CODE_NONE : CODE_INSTRUMENT_HALTED,
                       takes = open      ? CODE_NONE
                               : gathers ? CODE_NOT_IN_THIS_STATE
                                         : CODE_INSTRUMENT_HALTED;
        wire_new_order o = venue_limit(2, 2, SIDE_SELL, 100, 5);
        venue_order(&v, o);
        CHECK(venue_code(&v) == rests);
        o = venue_limit(2, 3, SIDE_SELL, 100, 5);
        o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
        venue_order(&v, o);
        CHECK(venue_code(&v) == takes);
        o.order_type = ORDER_TYPE_MARKET;
        venue_order(&v, o);
        CHECK(venue_code(&v) == takes);
        o = venue_limit(2, 4, SIDE_SELL, 90, 1);
        o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
        venue_order(&v, o);
        CHECK(venue_code(&v) == takes);
        o = venue_limit(2, 5, SIDE_SELL, 101, 1);
        o.options = ORDER_OPTION_POST_ONLY;
        venue_order(&v, o);
        CHECK(venue_code(&v) == takes);
        wire_replace r = {.kind = KIND_REPLACE,
                          .account = 1,
                          .instrument = 1,
                          .price_ticks = 91,
                          .quantity_lots = 6,
                          .target_client_order_id = 1};
        venue_send(&v, &r);
        CHECK(venue_code(&v) == rests);
        venue_cancel(&v, 1, 1);
        CHECK(venue_code(&v) == CODE_NONE);
        venue_close(&v);
    }
}

static void test_an_auction_lets_the_book_cross_and_replacements_too(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_PRE_OPEN, 0);
    EXPECT(&v, "state 3\n");
    sell(&v, 1, 100, 5);
    buy(&v, 2, 101, 5);
    EXPECT(&v, "accepted 2 buy 5@101\n"
               "level3 2 add 5@101\n"
               "book buy 5@101 of 1\n");
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 1,
                      .instrument = 1,
                      .price_ticks = 105,
                      .quantity_lots = 7,
                      .target_client_order_id = 2};
    venue_send(&v, &r);
    EXPECT(&v, "replaced 2 buy 7@105\n"
               "level3 2 remove 0@101\n"
               "book buy 0@101 of 0\n"
               "level3 2 add 7@105\n"
               "book buy 7@105 of 1\n");
    set_state(&v, TRADING_STATE_AUCTION, 0);
    set_state(&v, TRADING_STATE_HALTED, 0); /* any state may follow any other */
    set_state(&v, TRADING_STATE_CLOSED, 0);
    set_state(&v, TRADING_STATE_OPEN, 0);
    CHECK(event_of(&v, EVENT_TRADE, 0) != NULL);
    venue_close(&v);
}

/* ---- The price, one tie after the other -------------------------------------------------------------------------- */

static void test_the_most_volume_wins(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 103, 40);
    buy(&v, 2, 102, 30);
    buy(&v, 3, 100, 20);
    sell(&v, 4, 100, 20);
    sell(&v, 5, 101, 40);
    sell(&v, 6, 103, 20);
    const wire_report *e = indicated(&v); /* 101 and 102: 60 each, left over 10 and 10; no reference: the lower */
    CHECK(e->price_ticks == 101 && e->quantity_lots == 60 && e->remaining_lots == 10 && e->flags == 0);
    CHECK(e->reference == info(&v).book_update_id);
    venue_close(&v);
}

static void test_of_equal_volumes_the_least_surplus_wins(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 500);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 103, 10);
    buy(&v, 2, 101, 5);
    sell(&v, 3, 100, 10);
    sell(&v, 4, 103, 5);
    const wire_report *e = indicated(&v); /* 100, 101: 10 and 5 left; 103: 10 and 5 left of sells */
    CHECK(e->quantity_lots == 10 && e->remaining_lots == 5 && e->price_ticks == 103 && e->flags == REPORT_FLAG_SELL);
    sell(&v, 5, 102, 0x10);
    buy(&v, 6, 102, 0x10);
    e = indicated(&v);
    CHECK(e->price_ticks == 102 && e->quantity_lots == 26 && e->remaining_lots == 0 && e->flags == 0);
    venue_close(&v);
}

static void test_of_equal_surpluses_the_nearest_to_the_reference_wins_and_then_the_highest(void) {
    static venue v;
    static const struct {
        int64_t reference, price;
    } cases[] = {{0, 100}, {50, 100}, {100, 100}, {101, 100}, {103, 104}, {102, 104}, {104, 104}, {900, 104}};
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        venue_open(&v);
        set_reference(&v, cases[i].reference);
        set_state(&v, TRADING_STATE_AUCTION, 0);
        buy(&v, 1, 104, 10);
        sell(&v, 2, 100, 10); /* every price from 100 to 104 trades 10; 102 is as near to both levels */
        const wire_report *e = indicated(&v);
        CHECK(e->price_ticks == cases[i].price && e->quantity_lots == 10 && e->remaining_lots == 0);
        set_state(&v, TRADING_STATE_OPEN, 0);
        CHECK(event_of(&v, EVENT_TRADE, 0)->price_ticks == cases[i].price);
        CHECK(info(&v).reference_price_ticks == cases[i].price && info(&v).static_price_ticks == cases[i].price);
        venue_close(&v);
    }
}

static void test_a_book_that_does_not_cross_opens_without_a_trade(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_PRE_OPEN, 0);
    CHECK(event_of(&v, EVENT_STATE, 0)->reference == 0);
    buy(&v, 1, 99, 10);
    sell(&v, 2, 100, 10);
    const wire_report *e = indicated(&v);
    CHECK(e->price_ticks == 0 && e->quantity_lots == 0 && e->remaining_lots == 0 && e->flags == 0);
    CHECK(e->reference == info(&v).book_update_id && e->reference == 2);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "state 1\n");
    CHECK(info(&v).static_price_ticks == 0);
    venue_close(&v);
}

/* ---- Pair by pair ------------------------------------------------------------------------------------------------ */

static void test_the_first_buy_trades_with_the_first_sell_at_one_price(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    buy(&v, 1, 101, 5);
    buy(&v, 2, 103, 4);
    buy(&v, 3, 101, 5);
    sell(&v, 4, 99, 3);
    sell(&v, 5, 101, 8);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "trade 3@101\n"
               "filled 2 3@101\n"
               "filled 4 3@101 done\n"
               "level3 2 change 1@103\n"
               "level3 4 remove 0@99\n"
               "book buy 1@103 of 1\n"
               "book sell 0@99 of 0\n"
               "trade 1@101\n"
               "filled 2 1@101 done\n"
               "filled 5 1@101\n"
               "level3 2 remove 0@103\n"
               "level3 5 change 7@101\n"
               "book buy 0@103 of 0\n"
               "book sell 7@101 of 1\n"
               "trade 5@101\n"
               "filled 1 5@101 done\n"
               "filled 5 5@101\n"
               "level3 1 remove 0@101\n"
               "level3 5 change 2@101\n"
               "book buy 5@101 of 1\n"
               "book sell 2@101 of 1\n"
               "trade 2@101\n"
               "filled 3 2@101\n"
               "filled 5 2@101 done\n"
               "level3 3 change 3@101\n"
               "level3 5 remove 0@101\n"
               "book buy 3@101 of 1\n"
               "book sell 0@101 of 0\n"
               "state 1\n");
    const wire_report *trade = event_of(&v, EVENT_TRADE, 0), *fill = event_of(&v, EVENT_FILLED, 1);
    CHECK(trade->flags == REPORT_FLAG_AUCTION && trade->order_id == v.ids[4] && trade->client_order_id == v.ids[2]);
    CHECK(trade->reference == 1 && trade->account == 0);
    CHECK(fill->flags == (REPORT_FLAG_AUCTION | REPORT_FLAG_SELL | REPORT_FLAG_DONE) && fill->reference == 1);
    CHECK(venue_locked(&v, 1, 2) == 3 * 101 + 1 && venue_locked(&v, 2, 1) == 0);
    venue_close(&v);
}

static void place(venue *v, uint32_t account, uint64_t name, uint8_t side, int64_t price_ticks, int64_t lots,
                  wire_order_terms terms) {
    terms.kind = KIND_ORDER_TERMS;
    venue_order_with(v, &terms, NULL, venue_limit(account, name, side, price_ticks, lots));
}

static void test_an_iceberg_trades_what_it_shows_and_goes_to_the_back(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    place(&v, 1, 1, SIDE_BUY, 100, 7, (wire_order_terms){.display_lots = 3});
    buy(&v, 2, 100, 2);
    sell(&v, 3, 100, 10);
    const wire_report *e = indicated(&v); /* reserves count */
    CHECK(e->quantity_lots == 9 && e->remaining_lots == 1 && e->flags == REPORT_FLAG_SELL);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "trade 3@100\n"
               "filled 1 3@100\n"
               "filled 3 3@100\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 3@100\n"
               "level3 3 change 7@100\n"
               "book buy 5@100 of 2\n"
               "book sell 7@100 of 1\n"
               "trade 2@100\n"
               "filled 2 2@100 done\n"
               "filled 3 2@100\n"
               "level3 2 remove 0@100\n"
               "level3 3 change 5@100\n"
               "book buy 3@100 of 1\n"
               "book sell 5@100 of 1\n"
               "trade 3@100\n"
               "filled 1 3@100\n"
               "filled 3 3@100\n"
               "level3 1 remove 0@100\n"
               "level3 1 add 1@100\n"
               "level3 3 change 2@100\n"
               "book buy 1@100 of 1\n"
               "book sell 2@100 of 1\n"
               "trade 1@100\n"
               "filled 1 1@100 done\n"
               "filled 3 1@100\n"
               "level3 1 remove 0@100\n"
               "level3 3 change 1@100\n"
               "book buy 0@100 of 0\n"
               "book sell 1@100 of 1\n"
               "state 1\n");
    venue_close(&v);
}

static void test_hidden_orders_count_and_come_behind_displayed_ones_of_their_price(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 100);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    place(&v, 1, 1, SIDE_BUY, 100, 4, (wire_order_terms){.options = TERM_OPTION_HIDDEN});
    buy(&v, 2, 100, 2);
    place(&v, 1, 3, SIDE_BUY, 101, 1, (wire_order_terms){.options = TERM_OPTION_HIDDEN});
    place(&v, 2, 4, SIDE_SELL, 99, 5, (wire_order_terms){.options = TERM_OPTION_HIDDEN});
    const wire_report *e = indicated(&v);
    CHECK(e->price_ticks == 100 && e->quantity_lots == 5 && e->remaining_lots == 2 && e->flags == 0);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "trade 1@100\n"
               "filled 3 1@100 done\n"
               "filled 4 1@100\n"
               "trade 2@100\n"
               "filled 2 2@100 done\n"
               "filled 4 2@100\n"
               "level3 2 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "trade 2@100\n"
               "filled 1 2@100\n"
               "filled 4 2@100 done\n"
               "state 1\n");
    venue_close(&v);
}

static void test_unlit_orders_and_minimums_do_not_come_in_and_take_no_part(void) {
    static venue v;
    venue_open(&v);
    const wire_order_terms unlit[] = {{.options = TERM_OPTION_ALL_OR_NONE}, {.peg = PEG_MIDDLE}, {.minimum_lots = 1}};
    place(&v, 1, 1, SIDE_BUY, 100, 4, unlit[0]);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    for (uint32_t i = 0; i < 3; i++) {
        place(&v, 1, 2, SIDE_BUY, 100, 4, unlit[i]);
        CHECK(venue_code(&v) == CODE_NOT_IN_THIS_STATE);
    }
    sell(&v, 3, 99, 4);
    venue_tick(&v, v.now_ns + 1);
    CHECK(event_of(&v, EVENT_INDICATIVE, 0)->price_ticks == 0);
    set_state(&v, TRADING_STATE_OPEN, 0);
    EXPECT(&v, "state 1\n");
    venue_cancel(&v, 1, 1);
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

static void test_an_account_may_trade_with_itself_in_an_auction(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        wire_new_order o = venue_limit(1, side, side, 100, 5);
        o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_BOTH;
        venue_order(&v, o);
    }
    set_state(&v, TRADING_STATE_OPEN, 0);
    CHECK(event_of(&v, EVENT_TRADE, 0)->quantity_lots == 5 && event_of(&v, EVENT_CANCELLED, 0) == NULL);
    int64_t lots, buying, selling;
    CHECK(core_position(v.c, 1, 1, &lots, &buying, &selling) && lots == 0 && buying == 0 && selling == 0);
    venue_close(&v);
}

static void test_both_pay_as_makers_and_nobody_is_paid(void) {
    static venue v;
    static const struct {
        int32_t maker_ppm;
        int64_t fee;
    } cases[] = {{10000, 5}, {-10000, 0}, {0, 0}};
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        venue_open(&v);
        define(&v, cases[i].maker_ppm, 20000);
        set_state(&v, TRADING_STATE_AUCTION, 0);
        buy(&v, 1, 100, 5);
        sell(&v, 2, 100, 5);
        set_state(&v, TRADING_STATE_OPEN, 0);
        CHECK(event_of(&v, EVENT_FILLED, 0)->amount_units == cases[i].fee);
        CHECK(event_of(&v, EVENT_FILLED, 1)->amount_units == cases[i].fee);
        core_asset_info quote;
        CHECK(core_asset(v.c, 2, &quote) && quote.fees_units == 2 * cases[i].fee);
        venue_close(&v);
    }
}

static void test_a_long_uncrossing_goes_on_in_the_next_chunk(void) {
    static venue v; /* the shadow has the smallest chunks */
    venue_open(&v);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    for (int64_t n = 0; n < 40; n++) {
        buy(&v, 1 + 2 * (uint64_t)n, 200 - n, 3);
        sell(&v, 2 + 2 * (uint64_t)n, 100 + n, 3);
    }
    set_state(&v, TRADING_STATE_OPEN, 0);
    CHECK(event_of(&v, EVENT_TRADE, 39) != NULL && event_of(&v, EVENT_TRADE, 40) == NULL);
    venue_close(&v);
}

/* ---- Openings by time -------------------------------------------------------------------------------------------- */

static void test_a_clock_tick_opens_what_is_due_by_number(void) {
    static venue v;
    venue_open(&v);
    const uint64_t start_ns = v.now_ns;
    for (uint32_t n = 2; n <= 3; n++) {
        wire_instrument i = {.kind = KIND_INSTRUMENT,
                             .instrument = n,
                             .base_asset = 1,
                             .quote_asset = 2,
                             .trading_state = TRADING_STATE_PRE_OPEN,
                             .base_units_per_lot = 1,
                             .quote_units_per_tick_lot = 1};
        venue_send_named(&v, n == 2 ? "TWO" : "THREE", &i);
        CHECK(venue_code(&v) == CODE_NONE && v.events[0].code == TRADING_STATE_PRE_OPEN);
    }
    set_state(&v, TRADING_STATE_AUCTION, start_ns + 20 * MS);
    CHECK(event_of(&v, EVENT_STATE, 0)->reference == start_ns + 20 * MS &&
          info(&v).auction_ends_ns == start_ns + 20 * MS);
    wire_instrument_state o = {.kind = KIND_INSTRUMENT_STATE,
                               .instrument = 3,
                               .trading_state = TRADING_STATE_PRE_OPEN,
                               .auction_ends_ns = start_ns + 10 * MS};
    venue_send(&v, &o);
    o.instrument = 2;
    o.auction_ends_ns = start_ns + 20 * MS;
    venue_send(&v, &o);
    sell(&v, 1, 100, 5);
    buy(&v, 2, 101, 5);
    venue_tick(&v, start_ns + 10 * MS - 1);
    EXPECT(&v, "");
    venue_tick(&v, start_ns + 10 * MS);
    EXPECT(&v, "state 1\n");
    CHECK(event_of(&v, EVENT_STATE, 0)->instrument == 3 && event_of(&v, EVENT_APPLIED, 0) == NULL);
    venue_tick(&v, start_ns + 20 * MS);
    CHECK(event_of(&v, EVENT_STATE, 0)->instrument == 1 && event_of(&v, EVENT_STATE, 1)->instrument == 2);
    CHECK(event_of(&v, EVENT_TRADE, 0)->sequence == core_sequence(v.c));
    CHECK(info(&v).trading_state == TRADING_STATE_OPEN && info(&v).auction_ends_ns == 0);
    venue_tick(&v, start_ns + 1000 * MS);
    EXPECT(&v, "");
    venue_close(&v);
}

static void test_nothing_opens_by_time_while_everything_is_halted(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_PRE_OPEN, v.now_ns + MS);
    wire_halt halt = {.kind = KIND_HALT, .scope = HALT_SCOPE_EVERYTHING, .action = HALT_ACTION_HALT};
    venue_send(&v, &halt);
    venue_tick(&v, v.now_ns + 2 * MS);
    EXPECT(&v, "");
    halt.action = HALT_ACTION_RESUME;
    venue_send(&v, &halt);
    venue_tick(&v, v.now_ns);
    EXPECT(&v, "state 1\n");
    venue_close(&v);
}

static void test_another_state_takes_the_time_away(void) {
    static venue v;
    venue_open(&v);
    set_state(&v, TRADING_STATE_PRE_OPEN, v.now_ns + MS);
    set_state(&v, TRADING_STATE_AUCTION, 0);
    venue_tick(&v, v.now_ns + 2 * MS);
    EXPECT(&v, "");
    set_state(&v, TRADING_STATE_AUCTION, v.now_ns + MS);
    wire_halt halt = {.kind = KIND_HALT, .scope = HALT_SCOPE_INSTRUMENT, .target = 1, .action = HALT_ACTION_HALT};
    venue_send(&v, &halt);
    EXPECT(&v, "state 2\n");
    CHECK(info(&v).auction_ends_ns == 0 && event_of(&v, EVENT_STATE, 0)->reference == 0);
    venue_tick(&v, v.now_ns + 2 * MS);
    EXPECT(&v, "");
    venue_close(&v);
}

static void test_a_state_is_refused_with_the_first_code_that_is_wrong(void) {
    static venue v;
    venue_open(&v);
    const wire_instrument_state good = {.kind = KIND_INSTRUMENT_STATE,
                                        .instrument = 1,
                                        .trading_state = TRADING_STATE_AUCTION,
                                        .auction_ends_ns = v.now_ns + 1,
                                        .static_price_ticks = 7};
    wire_instrument_state o = good;
    o.auction_ends_ns = v.now_ns;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_EXPIRY_PASSED);
    o.static_price_ticks = -1;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_LIMITS_INVALID && v.events[0].instrument == 1);
    o.static_price_ticks = PRICE_TICKS_MAX + 1;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_LIMITS_INVALID);
    o.instrument = 2;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_UNKNOWN_INSTRUMENT && v.events[0].instrument == 2);
    o.trading_state = TRADING_STATE_HALTED; /* which has no end */
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    for (uint32_t wrong = 0; wrong < 5; wrong++) {
        o = good;
        if (wrong == 0) o.trading_state = 0;
        if (wrong == 1) o.trading_state = TRADING_STATE_CLOSED + 1;
        if (wrong == 2) o.zero[0] = 1;
        if (wrong == 3) o.zero2[15] = 1;
        if (wrong == 4) o.flags = 1;
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_MALFORMED);
    }
    o = good;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_NONE && info(&v).static_price_ticks == 7);
    o = good;
    o.trading_state = TRADING_STATE_OPEN, o.auction_ends_ns = 0, o.static_price_ticks = 0; /* 0 leaves it */
    venue_send(&v, &o);
    CHECK(info(&v).static_price_ticks == 7 && info(&v).trading_state == TRADING_STATE_OPEN);
    venue_close(&v);
}

int main(void) {
    RUN(test_each_state_takes_what_it_takes);
    RUN(test_an_auction_lets_the_book_cross_and_replacements_too);
    RUN(test_the_most_volume_wins);
    RUN(test_of_equal_volumes_the_least_surplus_wins);
    RUN(test_of_equal_surpluses_the_nearest_to_the_reference_wins_and_then_the_highest);
    RUN(test_a_book_that_does_not_cross_opens_without_a_trade);
    RUN(test_the_first_buy_trades_with_the_first_sell_at_one_price);
    RUN(test_an_iceberg_trades_what_it_shows_and_goes_to_the_back);
    RUN(test_hidden_orders_count_and_come_behind_displayed_ones_of_their_price);
    RUN(test_unlit_orders_and_minimums_do_not_come_in_and_take_no_part);
    RUN(test_an_account_may_trade_with_itself_in_an_auction);
    RUN(test_both_pay_as_makers_and_nobody_is_paid);
    RUN(test_a_long_uncrossing_goes_on_in_the_next_chunk);
    RUN(test_a_clock_tick_opens_what_is_due_by_number);
    RUN(test_nothing_opens_by_time_while_everything_is_halted);
    RUN(test_another_state_takes_the_time_away);
    RUN(test_a_state_is_refused_with_the_first_code_that_is_wrong);
    return 0;
}
