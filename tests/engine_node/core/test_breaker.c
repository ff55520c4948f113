/* The circuit breaker: which trade does not happen, and what follows instead (rules.md 18). */
#include "venue.h"

static const uint64_t MS = 1000000;

static void set_breaker(venue *v, wire_circuit_breaker o) {
    o.kind = KIND_CIRCUIT_BREAKER;
    o.instrument = 1;
    venue_send(v, &o);
    CHECK(venue_code(v) == CODE_NONE);
}

static void set_static(venue *v, int64_t price_ticks) {
    wire_instrument_state o = {.kind = KIND_INSTRUMENT_STATE,
                               .instrument = 1,
                               .trading_state = TRADING_STATE_OPEN,
                               .static_price_ticks = price_ticks};
    venue_send(v, &o);
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

static const wire_report *event_of(const venue *v, uint8_t kind) {
    for (uint32_t i = 0; i < v->count; i++)
        if (v->events[i].kind == kind) return &v->events[i];
    return NULL;
}

static wire_new_order at_once(uint64_t name, uint8_t side, int64_t price_ticks, int64_t lots) {
    wire_new_order o = venue_limit(2, name, side, price_ticks, lots);
    o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    return o;
}

static void test_a_trade_beyond_the_band_does_not_happen_and_an_auction_begins(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 1000);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = 5}); /* 990 .. 1010 */
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 1010, 2));
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 1021, 2)); /* 1010 × 1.01 = 1020.1 */
    venue_order(&v, venue_limit(2, 3, SIDE_BUY, 1030, 5));
    EXPECT(&v, "accepted 3 buy 5@1030\n"
               "trade 2@1010\n"
               "filled 1 2@1010 done\n"
               "filled 3 2@1010\n"
               "level3 1 remove 0@1010\n"
               "book sell 0@1010 of 0\n"
               "state 4\n"
               "level3 3 add 3@1030\n"
               "book buy 3@1030 of 1\n");
    const wire_report *state = event_of(&v, EVENT_STATE);
    CHECK(state->quantity_lots == 4 && state->reference == v.now_ns + 5 * MS && state->instrument == 1);
    CHECK(info(&v).trading_state == TRADING_STATE_AUCTION && info(&v).auction_ends_ns == v.now_ns + 5 * MS);
    venue_tick(&v, v.now_ns + 5 * MS);
    EXPECT(&v, "trade 2@1021\n" /* of 1021 and 1030 the nearer to 1010 */
               "filled 3 2@1021\n"
               "filled 2 2@1021 done\n"
               "level3 3 change 1@1030\n"
               "level3 2 remove 0@1021\n"
               "book buy 1@1030 of 1\n"
               "book sell 0@1021 of 0\n"
               "state 1\n");
    CHECK(event_of(&v, EVENT_STATE)->quantity_lots == 0);
    venue_close(&v);
}

static void test_what_can_not_rest_is_cancelled_by_the_breaker(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 1000);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = 5});
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 989, 2));
    venue_order(&v, at_once(2, SIDE_SELL, 900, 5));
    EXPECT(&v, "accepted 2 sell 5@900\n"
               "state 4\n"
               "cancelled 2 5 by_breaker done\n");
    venue_close(&v);
}

static void test_a_replacement_that_trips_the_breaker_rests(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 1000);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000});
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 1020, 2));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 1000, 2));
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 2,
                      .instrument = 1,
                      .price_ticks = 1020,
                      .quantity_lots = 2,
                      .target_client_order_id = 2};
    venue_send(&v, &r);
    EXPECT(&v, "replaced 2 buy 2@1020\n"
               "level3 2 remove 0@1000\n"
               "book buy 0@1000 of 0\n"
               "state 2\n" /* a length of 0 halts */
               "level3 2 add 2@1020\n"
               "book buy 2@1020 of 1\n");
    CHECK(info(&v).auction_ends_ns == 0 && event_of(&v, EVENT_STATE)->reference == 0);
    venue_close(&v);
}

static void test_levels_are_looked_at_from_the_widest_around_the_static_price(void) {
    static venue v;
    static const struct {
        int64_t price;
        uint32_t told;
        uint64_t ms;
    } cases[] = {{1100, 0, 0},  {1101, 1, 10}, {1200, 1, 10}, {1201, 2, 20}, {1300, 2, 20},
                 {1301, 3, 30}, {900, 0, 0},   {899, 1, 10},  {799, 2, 20},  {699, 3, 30}};
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        venue_open(&v);
        set_static(&v, 1000);
        set_breaker(&v, (wire_circuit_breaker){.level1_ppm = 100000,
                                               .level1_ms = 10,
                                               .level2_ppm = 200000,
                                               .level2_ms = 20,
                                               .level3_ppm = 300000,
                                               .level3_ms = 30});
        venue_order(&v, venue_limit(1, 1, SIDE_SELL, cases[i].price, 1));
        venue_order(&v, at_once(2, SIDE_BUY, 2000, 1));
        const wire_report *state = event_of(&v, EVENT_STATE);
        CHECK((state == NULL) == (cases[i].told == 0));
        CHECK(state == NULL ||
              (state->quantity_lots == cases[i].told && state->reference == v.now_ns + cases[i].ms * MS));
        CHECK(event_of(&v, EVENT_TRADE) == NULL || state == NULL);
        venue_close(&v);
    }
}

static void test_a_level_comes_before_the_band_and_bounds_are_rounded_inwards(void) {
    static venue v;
    venue_open(&v);
    set_static(&v, 333);
    set_reference(&v, 333);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = 1, .level2_ppm = 20000, .level2_ms = 2});
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 336, 1)); /* 333 × 1.01 = 336.33 */
    venue_order(&v, at_once(2, SIDE_BUY, 336, 1));
    CHECK(event_of(&v, EVENT_STATE) == NULL && event_of(&v, EVENT_TRADE) != NULL);
    set_reference(&v, 333);
    venue_order(&v, venue_limit(1, 3, SIDE_SELL, 337, 1));
    venue_order(&v, at_once(4, SIDE_BUY, 337, 1));
    CHECK(event_of(&v, EVENT_STATE)->quantity_lots == 4);
    venue_tick(&v, v.now_ns + MS);
    CHECK(event_of(&v, EVENT_STATE)->code == TRADING_STATE_OPEN);
    venue_order(&v, at_once(5, SIDE_BUY, 340, 1)); /* an opening that trades nothing moves no price */
    CHECK(event_of(&v, EVENT_STATE)->quantity_lots == 4);
    set_static(&v, 326); /* 326 × 1.02 = 332.52 */
    venue_order(&v, at_once(6, SIDE_BUY, 340, 1));
    CHECK(event_of(&v, EVENT_STATE)->quantity_lots == 2);
    venue_close(&v);
}

static void test_the_first_trade_sets_a_static_price_that_is_not_set(void) {
    static venue v;
    venue_open(&v);
    set_breaker(&v, (wire_circuit_breaker){.level1_ppm = 100000, .level1_ms = 1});
    CHECK(info(&v).static_price_ticks == 0);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 1));
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 110, 1));
    venue_order(&v, venue_limit(1, 3, SIDE_SELL, 111, 1));
    venue_order(&v, at_once(4, SIDE_BUY, 111, 3));
    EXPECT(&v, "accepted 4 buy 3@111\n"
               "trade 1@100\n"
               "filled 1 1@100 done\n"
               "filled 4 1@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 1@110\n"
               "filled 2 1@110 done\n"
               "filled 4 1@110\n"
               "level3 2 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "state 4\n"
               "cancelled 4 1 by_breaker done\n");
    CHECK(info(&v).static_price_ticks == 100 && info(&v).reference_price_ticks == 110);
    venue_close(&v);
}

static void test_a_fill_or_kill_order_is_refused_where_the_breaker_would_end_it(void) {
    static venue v;
    venue_open(&v);
    set_breaker(&v, (wire_circuit_breaker){.level1_ppm = 100000, .level1_ms = 1});
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 1));
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 110, 1));
    venue_order(&v, venue_limit(1, 3, SIDE_SELL, 111, 1));
    wire_new_order o = venue_limit(2, 4, SIDE_BUY, 200, 3);
    o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, o); /* the static price would become 100 */
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    o.quantity_lots = 2;
    venue_order(&v, o);
    CHECK(venue_code(&v) == CODE_NONE && event_of(&v, EVENT_STATE) == NULL);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = 1});
    set_reference(&v, 110);
    venue_order(&v, venue_limit(1, 5, SIDE_SELL, 112, 1)); /* 110 .. 111.1, then 111 .. 112.11 */
    o = venue_limit(2, 6, SIDE_BUY, 200, 2);
    o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, o);
    CHECK(venue_code(&v) == CODE_NONE && event_of(&v, EVENT_STATE) == NULL);
    venue_close(&v);
}

static void test_own_orders_come_before_the_breaker(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 1000);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = 5});
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 1020, 2));
    wire_new_order o = venue_limit(1, 2, SIDE_BUY, 1020, 2);
    o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_MAKER;
    venue_order(&v, o);
    EXPECT(&v, "accepted 2 buy 2@1020\n"
               "cancelled 1 2 self_trade done\n"
               "level3 1 remove 0@1020\n"
               "book sell 0@1020 of 0\n"
               "level3 2 add 2@1020\n"
               "book buy 2@1020 of 1\n");
    venue_close(&v);
}

static void test_a_breaker_never_ends_beyond_the_end_of_time(void) {
    static venue v;
    venue_open(&v);
    set_reference(&v, 1000);
    set_breaker(&v, (wire_circuit_breaker){.band_ppm = 10000, .band_ms = UINT32_MAX});
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 1020, 2));
    v.now_ns = UINT64_MAX - 5;
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 1020, 2));
    CHECK(info(&v).trading_state == TRADING_STATE_AUCTION && info(&v).auction_ends_ns == UINT64_MAX);
    venue_close(&v);
}

static void test_a_breaker_is_refused_with_the_first_code_that_is_wrong(void) {
    static venue v;
    venue_open(&v);
    const wire_circuit_breaker good = {.kind = KIND_CIRCUIT_BREAKER,
                                       .instrument = 1,
                                       .band_ppm = COLLAR_PPM_MAX,
                                       .band_ms = 1,
                                       .level1_ppm = 1,
                                       .level3_ppm = 2,
                                       .level3_ms = 9};
    static const struct {
        uint32_t place, value;
    } wrong[] = {
        {offsetof(wire_circuit_breaker, band_ppm), 0},      {offsetof(wire_circuit_breaker, level2_ms), 1},
        {offsetof(wire_circuit_breaker, level3_ppm), 1},    {offsetof(wire_circuit_breaker, level2_ppm), 2},
        {offsetof(wire_circuit_breaker, level2_ppm), 1},    {offsetof(wire_circuit_breaker, level3_ppm), 1000001},
        {offsetof(wire_circuit_breaker, band_ppm), 1000001}};
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wire_circuit_breaker o = good;
        *(uint32_t *)((char *)&o + wrong[i].place) = wrong[i].value;
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_LIMITS_INVALID && v.events[0].instrument == 1);
        o.instrument = 2;
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_UNKNOWN_INSTRUMENT && v.events[0].instrument == 2);
        o.zero[3] = 1;
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_MALFORMED);
    }
    wire_circuit_breaker o = good;
    venue_send(&v, &o);
    const core_instrument_info i = info(&v);
    CHECK(venue_code(&v) == CODE_NONE && i.breaker_ppm[0] == COLLAR_PPM_MAX && i.breaker_ms[0] == 1 &&
          i.breaker_ppm[1] == 1 && i.breaker_ppm[2] == 0 && i.breaker_ppm[3] == 2 && i.breaker_ms[3] == 9);
    venue_close(&v);
}

int main(void) {
    RUN(test_a_trade_beyond_the_band_does_not_happen_and_an_auction_begins);
    RUN(test_what_can_not_rest_is_cancelled_by_the_breaker);
    RUN(test_a_replacement_that_trips_the_breaker_rests);
    RUN(test_levels_are_looked_at_from_the_widest_around_the_static_price);
    RUN(test_a_level_comes_before_the_band_and_bounds_are_rounded_inwards);
    RUN(test_the_first_trade_sets_a_static_price_that_is_not_set);
    RUN(test_a_fill_or_kill_order_is_refused_where_the_breaker_would_end_it);
    RUN(test_own_orders_come_before_the_breaker);
    RUN(test_a_breaker_never_ends_beyond_the_end_of_time);
    RUN(test_a_breaker_is_refused_with_the_first_code_that_is_wrong);
    return 0;
}
