/* All-or-none and pegged orders (rules.md 5 and 13): a list of each side, looked at when a taker comes. */
#include "venue.h"

static const wire_order_terms whole = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE};

static wire_order_terms pegged(uint8_t peg, int32_t offset_ticks) {
    return (wire_order_terms){.kind = KIND_ORDER_TERMS, .peg = peg, .offset_ticks = offset_ticks};
}

static void peg(venue *v, uint8_t how, int32_t offset_ticks, wire_new_order o) {
    const wire_order_terms t = pegged(how, offset_ticks);
    venue_order_with(v, &t, NULL, o);
}

static wire_new_order at_once(wire_new_order o) {
    o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    return o;
}

static bool is_open(const venue *v, uint64_t name) {
    core_order_info info;
    return core_order(v->c, v->ids[name], &info);
}

/* ---- All or none ------------------------------------------------------------------------------------------------- */

static void test_all_or_none_waits_for_a_taker_that_takes_all_of_it(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &whole, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    EXPECT(&v, "accepted 1 sell 5@100\n");
    core_order_info unseen[2];
    CHECK(core_unseen_orders(v.c, 1, SIDE_SELL, 0, unseen, 2) == 1 && unseen[0].place == 2);
    venue_order(&v, at_once(venue_limit(2, 2, SIDE_BUY, 100, 4)));
    EXPECT(&v, "accepted 2 buy 4@100\n"
               "cancelled 2 4 unfilled done\n");
    venue_order(&v, venue_limit(2, 3, SIDE_BUY, 100, 6));
    EXPECT(&v, "accepted 3 buy 6@100\n"
               "trade 5@100\n"
               "filled 1 5@100 done\n"
               "filled 3 5@100\n"
               "level3 3 add 1@100\n"
               "book buy 1@100 of 1\n");
    venue_close(&v);
}

static void test_all_or_none_stands_behind_displayed_and_hidden_orders_of_its_price(void) {
    static venue v;
    venue_open(&v);
    const wire_order_terms hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};
    venue_order_with(&v, &whole, NULL, venue_limit(1, 1, SIDE_SELL, 100, 2));
    venue_order_with(&v, &whole, NULL, venue_limit(1, 2, SIDE_SELL, 100, 4));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 3, SIDE_SELL, 100, 1));
    venue_order(&v, venue_limit(1, 4, SIDE_SELL, 100, 1));
    venue_order_with(&v, &whole, NULL, venue_limit(1, 5, SIDE_SELL, 99, 3)); /* the best price is first in any case */
    venue_order(&v, at_once(venue_limit(2, 6, SIDE_BUY, 100, 9)));
    EXPECT(&v, "accepted 6 buy 9@100\n"
               "trade 3@99\n"
               "filled 5 3@99 done\n"
               "filled 6 3@99\n"
               "trade 1@100\n"
               "filled 4 1@100 done\n"
               "filled 6 1@100\n"
               "level3 4 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 1@100\n"
               "filled 3 1@100 done\n"
               "filled 6 1@100\n"
               "trade 2@100\n"
               "filled 1 2@100 done\n"
               "filled 6 2@100\n" /* 2 are left, the other wants 4 */
               "cancelled 6 2 unfilled done\n");
    venue_close(&v);
}

static void test_all_or_none_takes_all_or_goes_to_its_list_at_once(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 3));
    venue_order_with(&v, &whole, NULL, venue_limit(2, 2, SIDE_BUY, 100, 4));
    EXPECT(&v, "accepted 2 buy 4@100\n"); /* beside a displayed order of its price */
    venue_order(&v, venue_limit(1, 3, SIDE_SELL, 100, 4));
    EXPECT(&v, "accepted 3 sell 4@100\n"
               "trade 4@100\n"
               "filled 2 4@100 done\n"
               "filled 3 4@100 done\n");
    venue_order_with(&v, &whole, NULL, venue_limit(2, 4, SIDE_BUY, 100, 3));
    EXPECT(&v, "accepted 4 buy 3@100\n"
               "trade 3@100\n"
               "filled 1 3@100 done\n"
               "filled 4 3@100 done\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n");
    venue_close(&v);
}

static void test_two_all_or_none_meet_if_the_taker_has_enough(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &whole, NULL, venue_limit(1, 1, SIDE_SELL, 100, 3));
    venue_order_with(&v, &whole, NULL, venue_limit(2, 2, SIDE_BUY, 100, 4)); /* only 3 there */
    EXPECT(&v, "accepted 2 buy 4@100\n");
    venue_order_with(&v, &whole, NULL, venue_limit(2, 3, SIDE_BUY, 100, 3));
    EXPECT(&v, "accepted 3 buy 3@100\n"
               "trade 3@100\n"
               "filled 1 3@100 done\n"
               "filled 3 3@100 done\n");
    venue_close(&v);
}

static void test_the_walk_passes_over_an_all_or_none_larger_than_what_is_lacking(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &whole, NULL, venue_limit(1, 1, SIDE_SELL, 100, 6));
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 101, 5));
    wire_new_order kill = venue_limit(2, 3, SIDE_BUY, 101, 5);
    kill.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, kill);
    EXPECT(&v, "accepted 3 buy 5@101\n"
               "trade 5@101\n"
               "filled 2 5@101 done\n"
               "filled 3 5@101 done\n"
               "level3 2 remove 0@101\n"
               "book sell 0@101 of 0\n");
    kill.quantity_lots = 7;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    kill.quantity_lots = 6;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_NONE && !is_open(&v, 1));
    venue_close(&v);
}

static void test_self_trade_prevention_minds_only_an_all_or_none_that_could_trade(void) {
    static venue v;
    venue_open(&v);
    venue_order_with(&v, &whole, NULL, venue_limit(1, 1, SIDE_SELL, 100, 5));
    venue_order(&v, venue_mode(venue_limit(1, 2, SIDE_BUY, 100, 4), SELF_TRADE_PREVENTION_CANCEL_TAKER));
    EXPECT(&v, "accepted 2 buy 4@100\n"
               "level3 2 add 4@100\n"
               "book buy 4@100 of 1\n");
    venue_order(&v, venue_mode(venue_limit(1, 3, SIDE_BUY, 100, 6), SELF_TRADE_PREVENTION_CANCEL_TAKER));
    EXPECT(&v, "accepted 3 buy 6@100\n"
               "cancelled 3 6 self_trade done\n");
    venue_order(&v, venue_mode(venue_limit(1, 4, SIDE_BUY, 101, 6), SELF_TRADE_PREVENTION_DECREMENT));
    EXPECT(&v, "accepted 4 buy 6@101\n"
               "cancelled 1 5 self_trade done\n"
               "cancelled 4 5 self_trade\n"
               "level3 4 add 1@101\n"
               "book buy 1@101 of 1\n");
    venue_close(&v);
}

/* ---- Pegged ------------------------------------------------------------------------------------------------------ */

/* Bid 100, ask 110; who sells at 1 tells what price a buy has. */
static void open_wide(venue *v) {
    venue_open(v);
    venue_order(v, venue_limit(4, 901, SIDE_BUY, 100, 10));
    venue_order(v, venue_limit(4, 902, SIDE_SELL, 110, 10));
}

static int64_t buys_at(venue *v, uint64_t name, uint8_t how, int32_t offset_ticks, int64_t limit_ticks) {
    peg(v, how, offset_ticks, venue_limit(1, name, SIDE_BUY, limit_ticks, 1));
    CHECK(v->count == 1 && venue_code(v) == CODE_NONE && venue_locked(v, 1, 2) == limit_ticks + 1);
    venue_order(v, at_once(venue_limit(2, 0, SIDE_SELL, 101, 1)));
    int64_t price_ticks = 0;
    if (!is_open(v, name)) price_ticks = v->events[1].price_ticks;
    else venue_cancel(v, 1, name);
    return price_ticks;
}

static int64_t sells_at(venue *v, uint64_t name, uint8_t how, int32_t offset_ticks, int64_t limit_ticks) {
    peg(v, how, offset_ticks, venue_limit(1, name, SIDE_SELL, limit_ticks, 1));
    CHECK(v->count == 1 && venue_code(v) == CODE_NONE && venue_locked(v, 1, 1) == 1);
    venue_order(v, at_once(venue_limit(2, 0, SIDE_BUY, 109, 1)));
    int64_t price_ticks = 0;
    if (!is_open(v, name)) price_ticks = v->events[1].price_ticks;
    else venue_cancel(v, 1, name);
    return price_ticks;
}

static void test_a_peg_is_priced_by_the_best_displayed_prices(void) {
    static venue v;
    open_wide(&v);
    CHECK(buys_at(&v, 1, PEG_OWN_BEST, 3, 200) == 103);
    CHECK(buys_at(&v, 2, PEG_OWN_BEST, 0, 200) == 0); /* at 100 it does not reach 101 */
    CHECK(buys_at(&v, 3, PEG_OTHER_BEST, -2, 200) == 108);
    CHECK(buys_at(&v, 4, PEG_OTHER_BEST, 0, 200) == 109);  /* never at the ask */
    CHECK(buys_at(&v, 5, PEG_OTHER_BEST, 50, 200) == 109); /* nor beyond */
    CHECK(buys_at(&v, 6, PEG_MIDDLE, 0, 200) == 105);
    CHECK(buys_at(&v, 7, PEG_MIDDLE, 0, 104) == 104); /* never beyond its limit */
    CHECK(sells_at(&v, 8, PEG_OWN_BEST, -3, 1) == 107);
    CHECK(sells_at(&v, 9, PEG_OTHER_BEST, 2, 1) == 102);
    CHECK(sells_at(&v, 10, PEG_OTHER_BEST, 0, 1) == 101);
    CHECK(sells_at(&v, 11, PEG_MIDDLE, 0, 1) == 105);
    CHECK(sells_at(&v, 12, PEG_MIDDLE, 0, 107) == 107);
    venue_order(&v, venue_limit(4, 903, SIDE_SELL, 109, 10));
    CHECK(buys_at(&v, 13, PEG_MIDDLE, 0, 200) == 104); /* 104.5: down for a buy */
    venue_order(&v, venue_limit(4, 904, SIDE_BUY, 100, 1));
    peg(&v, PEG_MIDDLE, 0, venue_limit(1, 14, SIDE_SELL, 1, 1)); /* up for a sell */
    venue_order(&v, at_once(venue_limit(2, 0, SIDE_BUY, 108, 1)));
    CHECK(!is_open(&v, 14) && v.events[1].price_ticks == 105);
    venue_close(&v);
}

static void test_a_peg_has_no_price_without_the_prices_that_it_needs(void) {
    static venue v;
    venue_open(&v);
    CHECK(buys_at(&v, 1, PEG_OWN_BEST, 5, 200) == 0);
    CHECK(buys_at(&v, 2, PEG_OTHER_BEST, -5, 200) == 0);
    CHECK(buys_at(&v, 3, PEG_MIDDLE, 0, 200) == 0);
    venue_order(&v, venue_limit(4, 901, SIDE_BUY, 100, 10));
    CHECK(buys_at(&v, 4, PEG_OWN_BEST, 5, 200) == 105); /* no ask to stay below */
    CHECK(buys_at(&v, 5, PEG_MIDDLE, 0, 200) == 0);
    CHECK(buys_at(&v, 6, PEG_OWN_BEST, INT32_MIN, 200) == 0); /* below 1 */
    CHECK(sells_at(&v, 7, PEG_OWN_BEST, 0, 1) == 0);
    CHECK(sells_at(&v, 8, PEG_OTHER_BEST, -7, 1) == 101); /* above the bid */
    venue_close(&v);
}

static void test_what_the_taker_takes_does_not_move_the_pegs_that_it_meets(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(4, 1, SIDE_BUY, 100, 1));
    venue_order(&v, venue_limit(4, 2, SIDE_BUY, 97, 5));
    peg(&v, PEG_OWN_BEST, -1, venue_limit(1, 3, SIDE_BUY, 200, 2)); /* at 99 */
    venue_order(&v, at_once(venue_limit(2, 4, SIDE_SELL, 97, 4)));
    EXPECT(&v, "accepted 4 sell 4@97\n"
               "trade 1@100\n"
               "filled 1 1@100 done\n"
               "filled 4 1@100\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "trade 2@99\n" /* still, though the best bid is 97 now */
               "filled 3 2@99 done\n"
               "filled 4 2@99\n"
               "trade 1@97\n"
               "filled 2 1@97\n"
               "filled 4 1@97 done\n"
               "level3 2 change 4@97\n"
               "book buy 4@97 of 1\n");
    venue_close(&v);
}

static void test_a_pegged_taker_meets_what_is_unseen_below_the_ask(void) {
    static venue v;
    open_wide(&v);
    const wire_order_terms hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};
    venue_order_with(&v, &hidden, NULL, venue_limit(2, 1, SIDE_SELL, 105, 1));
    venue_order_with(&v, &hidden, NULL, venue_limit(2, 2, SIDE_SELL, 106, 1));
    peg(&v, PEG_MIDDLE, 0, venue_limit(1, 3, SIDE_BUY, 200, 3));
    EXPECT(&v, "accepted 3 buy 3@200\n"
               "trade 1@105\n"
               "filled 1 1@105 done\n"
               "filled 3 1@105\n");
    CHECK(venue_locked(&v, 1, 2) == 401); /* by its limit */
    venue_order(&v, at_once(venue_limit(2, 4, SIDE_SELL, 105, 1)));
    CHECK(v.events[2].amount_units == 0 && venue_locked(&v, 1, 2) == 201);
    peg(&v, PEG_MIDDLE, 0, venue_limit(2, 5, SIDE_SELL, 1, 1)); /* at 105 too: two pegs meet */
    EXPECT(&v, "accepted 5 sell 1@1\n"
               "trade 1@105\n"
               "filled 3 1@105 done\n"
               "filled 5 1@105 done\n");
    venue_close(&v);
}

static void test_unlit_orders_of_one_price_trade_by_priority(void) {
    static venue v;
    open_wide(&v);
    peg(&v, PEG_MIDDLE, 0, venue_limit(1, 1, SIDE_BUY, 200, 1));
    venue_order_with(&v, &whole, NULL, venue_limit(2, 2, SIDE_BUY, 105, 1));
    peg(&v, PEG_OWN_BEST, 5, venue_limit(1, 3, SIDE_BUY, 200, 1));
    venue_order(&v, at_once(venue_limit(3, 4, SIDE_SELL, 105, 3)));
    EXPECT(&v, "accepted 4 sell 3@105\n"
               "trade 1@105\n"
               "filled 1 1@105 done\n"
               "filled 4 1@105\n"
               "trade 1@105\n"
               "filled 2 1@105 done\n"
               "filled 4 1@105\n"
               "trade 1@105\n"
               "filled 3 1@105 done\n"
               "filled 4 1@105 done\n");
    venue_close(&v);
}

static void test_self_trade_prevention_decrements_a_peg(void) {
    static venue v;
    open_wide(&v);
    peg(&v, PEG_MIDDLE, 0, venue_limit(1, 1, SIDE_BUY, 200, 5));
    venue_order(&v, venue_mode(venue_limit(1, 2, SIDE_SELL, 105, 2), SELF_TRADE_PREVENTION_DECREMENT));
    EXPECT(&v, "accepted 2 sell 2@105\n"
               "cancelled 1 2 self_trade\n"
               "cancelled 2 2 self_trade done\n");
    CHECK(venue_locked(&v, 1, 2) == 601);
    venue_order(&v, venue_mode(venue_limit(1, 3, SIDE_SELL, 105, 2), SELF_TRADE_PREVENTION_CANCEL_BOTH));
    EXPECT(&v, "accepted 3 sell 2@105\n"
               "cancelled 1 3 self_trade done\n"
               "cancelled 3 2 self_trade done\n");
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_post_only_minds_pegs_as_they_are_without_the_replaced_order(void) {
    static venue v;
    open_wide(&v);
    peg(&v, PEG_OTHER_BEST, 2, venue_limit(1, 1, SIDE_SELL, 1, 1)); /* at 102 */
    wire_new_order post = venue_limit(2, 2, SIDE_BUY, 102, 1);
    post.options = ORDER_OPTION_POST_ONLY;
    venue_order(&v, post);
    CHECK(venue_code(&v) == CODE_POST_ONLY_WOULD_TAKE);
    post.price_ticks = 101;
    venue_order(&v, post); /* now the peg is at 103 */
    CHECK(venue_code(&v) == CODE_NONE);
    wire_replace o = {.kind = KIND_REPLACE,
                      .account = 2,
                      .instrument = 1,
                      .order_id = v.ids[2],
                      .price_ticks = 102,
                      .quantity_lots = 1};
    venue_send(&v, &o); /* without it the best bid is 100, and the peg at 102 again */
    CHECK(venue_code(&v) == CODE_POST_ONLY_WOULD_TAKE);
    o.price_ticks = 99;
    venue_send(&v, &o);
    CHECK(venue_code(&v) == CODE_NONE && is_open(&v, 1));
    venue_close(&v);
}

static void test_unlit_orders_cannot_be_replaced_and_are_limited_in_number(void) {
    static venue v;
    open_wide(&v);
    for (uint64_t i = 1; i <= UNLIT_ORDERS_MAX; i++) {
        if (i % 2 == 0) peg(&v, PEG_OWN_BEST, 0, venue_limit(1, i, SIDE_BUY, 90, 1));
        else venue_order_with(&v, &whole, NULL, venue_limit(1, i, SIDE_BUY, 90, 1));
        CHECK(venue_code(&v) == CODE_NONE);
    }
    const uint64_t sequence = core_sequence(v.c);
    peg(&v, PEG_OWN_BEST, 0, venue_limit(1, 99, SIDE_BUY, 90, 1));
    CHECK(venue_code(&v) == CODE_SPECIAL_ORDERS_EXCEEDED && core_sequence(v.c) == sequence + 2);
    venue_order_with(&v, &whole, NULL, venue_limit(1, 99, SIDE_SELL, 120, 1)); /* the other side has room */
    CHECK(venue_code(&v) == CODE_NONE);
    for (uint64_t i = 1; i <= 2; i++) {
        wire_replace o = {.kind = KIND_REPLACE,
                          .account = 1,
                          .instrument = 1,
                          .order_id = v.ids[i],
                          .price_ticks = 90,
                          .quantity_lots = 1};
        venue_send(&v, &o);
        CHECK(venue_code(&v) == CODE_REPLACE_UNSUPPORTED);
    }
    venue_cancel(&v, 1, 7);
    EXPECT(&v, "cancelled 7 1 by_request done\n");
    peg(&v, PEG_OWN_BEST, 0, venue_limit(1, 100, SIDE_BUY, 90, 1));
    CHECK(venue_code(&v) == CODE_NONE);
    wire_mass_cancel o = {.kind = KIND_MASS_CANCEL, .account = 1};
    venue_send(&v, &o);
    CHECK(v.events[v.count - 1].quantity_lots == UNLIT_ORDERS_MAX + 1);
    venue_close(&v);
}

int main(void) {
    RUN(test_all_or_none_waits_for_a_taker_that_takes_all_of_it);
    RUN(test_all_or_none_stands_behind_displayed_and_hidden_orders_of_its_price);
    RUN(test_all_or_none_takes_all_or_goes_to_its_list_at_once);
    RUN(test_two_all_or_none_meet_if_the_taker_has_enough);
    RUN(test_the_walk_passes_over_an_all_or_none_larger_than_what_is_lacking);
    RUN(test_self_trade_prevention_minds_only_an_all_or_none_that_could_trade);
    RUN(test_a_peg_is_priced_by_the_best_displayed_prices);
    RUN(test_a_peg_has_no_price_without_the_prices_that_it_needs);
    RUN(test_what_the_taker_takes_does_not_move_the_pegs_that_it_meets);
    RUN(test_a_pegged_taker_meets_what_is_unseen_below_the_ask);
    RUN(test_unlit_orders_of_one_price_trade_by_priority);
    RUN(test_self_trade_prevention_decrements_a_peg);
    RUN(test_post_only_minds_pegs_as_they_are_without_the_replaced_order);
    RUN(test_unlit_orders_cannot_be_replaced_and_are_limited_in_number);
    return 0;
}
