/* One cancels other (rules.md 15), in every way in which one of the two can end. */
#include "venue.h"

static const uint64_t MS = 1000000;

static void pair_with(venue *v, const wire_order_terms *terms, uint64_t other, wire_new_order o) {
    const wire_order_link link = venue_pair(other);
    venue_order_with(v, terms, &link, o);
}

static wire_order_terms stop(int64_t trigger_price_ticks) {
    return (wire_order_terms){
        .kind = KIND_ORDER_TERMS, .trigger = TRIGGER_STOP, .trigger_price_ticks = trigger_price_ticks};
}

static uint64_t partner_of(const venue *v, uint64_t name) {
    core_order_info o;
    return core_order(v->c, v->ids[name], &o) ? o.linked_order_id : 0;
}

static bool is_open(const venue *v, uint64_t name) {
    core_order_info o;
    return core_order(v->c, v->ids[name], &o);
}

/* Account 1 sells 10 at 110 (order 1) or, as a stop at 90, at 80 (order 2). */
static void open_pair(venue *v) {
    venue_open(v);
    wire_instrument_limits limits = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = 100};
    venue_send(v, &limits);
    const wire_order_terms terms = stop(90);
    venue_order(v, venue_limit(1, 1, SIDE_SELL, 110, 10));
    pair_with(v, &terms, 1, venue_limit(1, 2, SIDE_SELL, 80, 10));
    CHECK(venue_code(v) == CODE_NONE && partner_of(v, 1) == v->ids[2] && partner_of(v, 2) == v->ids[1]);
    CHECK(venue_locked(v, 1, 1) == 10); /* one lock for both */
}

/* ---- Endings ----------------------------------------------------------------------------------------------------- */

static void test_a_maker_that_trades_cancels_its_partner_before_the_trade(void) {
    static venue v;
    open_pair(&v);
    venue_order(&v, venue_limit(2, 3, SIDE_BUY, 110, 4));
    EXPECT(&v, "accepted 3 buy 4@110\n"
               "cancelled 2 10 linked done\n"
               "trade 4@110\n"
               "filled 1 4@110\n"
               "filled 3 4@110 done\n"
               "level3 1 change 6@110\n"
               "book sell 6@110 of 1\n");
    CHECK(partner_of(&v, 1) == 0 && venue_locked(&v, 1, 1) == 6);
    venue_close(&v);
}

static void test_an_order_that_fires_cancels_its_partner_before_it_is_triggered(void) {
    static venue v;
    open_pair(&v);
    venue_order(&v, venue_limit(2, 3, SIDE_BUY, 90, 1));
    venue_order(&v, venue_limit(3, 4, SIDE_SELL, 90, 1));
    EXPECT(&v, "accepted 4 sell 1@90\n"
               "trade 1@90\n"
               "filled 3 1@90 done\n"
               "filled 4 1@90 done\n"
               "level3 3 remove 0@90\n"
               "book buy 0@90 of 0\n"
               "cancelled 1 10 linked done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "triggered 2 sell 10@80\n"
               "level3 2 add 10@80\n"
               "book sell 10@80 of 1\n");
    CHECK(partner_of(&v, 2) == 0 && venue_locked(&v, 1, 1) == 10);
    venue_close(&v);
}

static void test_a_cancel_takes_both_and_frees_both_locks(void) {
    static venue v;
    open_pair(&v);
    venue_cancel(&v, 1, 2);
    EXPECT(&v, "cancelled 2 10 by_request done\n"
               "cancelled 1 10 linked done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n");
    CHECK(venue_locked(&v, 1, 1) == 0);
    venue_close(&v);
    open_pair(&v);
    venue_cancel(&v, 1, 1);
    EXPECT(&v, "cancelled 1 10 by_request done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "cancelled 2 10 linked done\n");
    CHECK(venue_locked(&v, 1, 1) == 0);
    venue_close(&v);
}

static void test_a_mass_cancel_meets_partners_once_and_counts_only_its_own(void) {
    static venue v;
    open_pair(&v);
    venue_order(&v, venue_limit(1, 5, SIDE_SELL, 120, 1));
    wire_mass_cancel m = {.kind = KIND_MASS_CANCEL, .account = 1};
    venue_send(&v, &m);
    EXPECT(&v, "cancelled 1 10 by_mass_cancel done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "cancelled 2 10 linked done\n"
               "cancelled 5 1 by_mass_cancel done\n"
               "level3 5 remove 0@120\n"
               "book sell 0@120 of 0\n");
    CHECK(v.events[v.count - 1].kind == EVENT_APPLIED && v.events[v.count - 1].quantity_lots == 2);
    venue_close(&v);
}

static void test_a_mass_cancel_whose_last_order_is_the_partner_of_the_one_before_ends_there(void) {
    static venue v;
    open_pair(&v);
    wire_mass_cancel m = {.kind = KIND_MASS_CANCEL, .account = 1, .instrument = 1, .side = SIDE_SELL};
    venue_send(&v, &m);
    CHECK(v.events[v.count - 1].kind == EVENT_APPLIED && v.events[v.count - 1].quantity_lots == 1);
    CHECK(!is_open(&v, 1) && !is_open(&v, 2));
    venue_close(&v);
}

static void test_a_countdown_and_a_lost_session_take_partners_of_other_keys_along(void) {
    static venue v;
    open_pair(&v);
    wire_countdown_cancel o = {.kind = KIND_COUNTDOWN_CANCEL, .account = 1, .timeout_ms = 1};
    venue_send(&v, &o);
    venue_tick(&v, v.now_ns + MS);
    EXPECT(&v, "cancelled 1 10 countdown done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "cancelled 2 10 linked done\n");
    v.key = 2;
    venue_order(&v, venue_limit(1, 3, SIDE_BUY, 50, 1));
    v.key = 1;
    pair_with(&v, NULL, 3, venue_limit(1, 4, SIDE_BUY, 51, 1));
    wire_logon on = {.kind = KIND_LOGON, .session = 1, .account = 1, .options = LOGON_OPTION_CANCEL_ON_DISCONNECT};
    wire_logoff off = {.kind = KIND_LOGOFF, .session = 1, .reason = LOGOFF_REASON_LINE_LOST};
    venue_system(&v, 1, &on);
    venue_system(&v, 1, &off);
    EXPECT(&v, "cancelled 4 1 on_disconnect done\n"
               "level3 4 remove 0@51\n"
               "book buy 0@51 of 0\n"
               "cancelled 3 1 linked done\n"
               "level3 3 remove 0@50\n"
               "book buy 0@50 of 0\n");
    venue_close(&v);
}

static void test_expiry_takes_the_partner_along(void) {
    static venue v;
    venue_open(&v);
    const wire_order_terms late = {.kind = KIND_ORDER_TERMS, .expire_ns = v.now_ns + 20},
                           soon = {.kind = KIND_ORDER_TERMS, .expire_ns = v.now_ns + 10};
    venue_order_with(&v, &late, NULL, venue_limit(1, 1, SIDE_SELL, 110, 10));
    pair_with(&v, &soon, 1, venue_limit(1, 2, SIDE_SELL, 111, 10));
    venue_tick(&v, v.now_ns + 20); /* both are due */
    EXPECT(&v, "cancelled 2 10 expired done\n"
               "level3 2 remove 0@111\n"
               "book sell 0@111 of 0\n"
               "cancelled 1 10 linked done\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n");
    venue_close(&v);
}

/* ---- In the middle of a match ------------------------------------------------------------------------------------ */

static void test_a_partner_at_the_level_being_matched_makes_no_book_update_of_its_own(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 110, 5));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 110, 3));
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 110, 2));
    venue_order(&v, venue_limit(4, 4, SIDE_BUY, 110, 6));
    EXPECT(&v, "accepted 4 buy 6@110\n"
               "cancelled 2 3 linked done\n"
               "level3 2 remove 0@110\n"
               "trade 5@110\n"
               "filled 1 5@110 done\n"
               "filled 4 5@110\n"
               "level3 1 remove 0@110\n"
               "trade 1@110\n"
               "filled 3 1@110\n"
               "filled 4 1@110 done\n"
               "level3 3 change 1@110\n"
               "book sell 1@110 of 1\n");
    venue_close(&v);
}

static void test_a_partner_behind_in_the_book_is_gone_when_the_taker_comes_there(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 110, 5));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 111, 5));
    venue_order(&v, venue_limit(4, 4, SIDE_BUY, 111, 10));
    EXPECT(&v, "accepted 4 buy 10@111\n"
               "cancelled 2 5 linked done\n"
               "level3 2 remove 0@111\n"
               "book sell 0@111 of 0\n"
               "trade 5@110\n"
               "filled 1 5@110 done\n"
               "filled 4 5@110\n"
               "level3 1 remove 0@110\n"
               "book sell 0@110 of 0\n"
               "level3 4 add 5@111\n"
               "book buy 5@111 of 1\n");
    venue_close(&v);
}

static void test_only_the_first_of_two_linked_makers_counts_for_fill_or_kill(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 110, 5));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 110, 7));
    wire_new_order kill = venue_limit(4, 4, SIDE_BUY, 110, 6);
    kill.time_in_force = TIME_IN_FORCE_FILL_OR_KILL;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_FILL_OR_KILL_UNFILLABLE);
    kill.quantity_lots = 5;
    venue_order(&v, kill);
    CHECK(venue_code(&v) == CODE_NONE && !is_open(&v, 1) && !is_open(&v, 2));
    venue_close(&v);
}

static void test_a_taker_that_trades_cancels_what_it_is_linked_with_and_rests_alone(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 4));
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 90, 10));
    CHECK(venue_locked(&v, 1, 2) == 901);
    pair_with(&v, NULL, 2, venue_limit(1, 3, SIDE_BUY, 100, 10));
    EXPECT(&v, "accepted 3 buy 10@100\n"
               "cancelled 2 10 linked done\n"
               "level3 2 remove 0@90\n"
               "book buy 0@90 of 0\n"
               "trade 4@100\n"
               "filled 1 4@100 done\n"
               "filled 3 4@100\n"
               "level3 1 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "level3 3 add 6@100\n"
               "book buy 6@100 of 1\n");
    CHECK(partner_of(&v, 3) == 0 && venue_locked(&v, 1, 2) == 601);
    venue_close(&v);
}

static void test_of_a_linked_maker_and_a_linked_taker_the_makers_partner_goes_first(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 1, SIDE_SELL, 100, 4));
    pair_with(&v, NULL, 1, venue_limit(2, 2, SIDE_SELL, 105, 4));
    venue_order(&v, venue_limit(1, 3, SIDE_BUY, 90, 10));
    pair_with(&v, NULL, 3, venue_limit(1, 4, SIDE_BUY, 100, 1));
    EXPECT(&v, "accepted 4 buy 1@100\n"
               "cancelled 2 4 linked done\n"
               "level3 2 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "cancelled 3 10 linked done\n"
               "level3 3 remove 0@90\n"
               "book buy 0@90 of 0\n"
               "trade 1@100\n"
               "filled 1 1@100\n"
               "filled 4 1@100 done\n"
               "level3 1 change 3@100\n"
               "book sell 3@100 of 1\n");
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

/* ---- Self-trade prevention --------------------------------------------------------------------------------------- */

/* Account 1 sells 4 at 100 (order 1) linked with 6 at 105 (order 2), and bids 5 at 100 (order 3) in that mode. */
static void meet_oneself(venue *v, uint8_t mode) {
    venue_open(v);
    venue_order(v, venue_limit(1, 1, SIDE_SELL, 100, 4));
    pair_with(v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 105, 6));
    wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 5);
    o.self_trade_prevention = mode;
    venue_order(v, o);
}

static void test_a_maker_cancelled_by_self_trade_prevention_takes_its_partner_along(void) {
    static venue v;
    meet_oneself(&v, SELF_TRADE_PREVENTION_CANCEL_MAKER);
    EXPECT(&v, "accepted 3 buy 5@100\n"
               "cancelled 1 4 self_trade done\n"
               "level3 1 remove 0@100\n"
               "cancelled 2 6 linked done\n"
               "level3 2 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "book sell 0@100 of 0\n"
               "level3 3 add 5@100\n"
               "book buy 5@100 of 1\n");
    venue_close(&v);
    meet_oneself(&v, SELF_TRADE_PREVENTION_CANCEL_BOTH);
    EXPECT(&v, "accepted 3 buy 5@100\n"
               "cancelled 1 4 self_trade done\n"
               "level3 1 remove 0@100\n"
               "cancelled 2 6 linked done\n"
               "level3 2 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "cancelled 3 5 self_trade done\n"
               "book sell 0@100 of 0\n");
    venue_close(&v);
    meet_oneself(&v, SELF_TRADE_PREVENTION_CANCEL_TAKER);
    CHECK(is_open(&v, 1) && is_open(&v, 2) && partner_of(&v, 1) == v.ids[2]);
    venue_close(&v);
}

static void test_decrement_ends_a_link_only_when_nothing_is_left(void) {
    static venue v;
    meet_oneself(&v, SELF_TRADE_PREVENTION_DECREMENT); /* order 1 has nothing left */
    EXPECT(&v, "accepted 3 buy 5@100\n"
               "cancelled 1 4 self_trade done\n"
               "level3 1 remove 0@100\n"
               "cancelled 2 6 linked done\n"
               "level3 2 remove 0@105\n"
               "book sell 0@105 of 0\n"
               "cancelled 3 4 self_trade\n"
               "book sell 0@100 of 0\n"
               "level3 3 add 1@100\n"
               "book buy 1@100 of 1\n");
    venue_close(&v);
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 9));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 105, 7));
    wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 5);
    o.self_trade_prevention = SELF_TRADE_PREVENTION_DECREMENT;
    venue_order(&v, o);
    core_order_info left;
    CHECK(core_order(v.c, v.ids[1], &left) && left.rest_lots == 4 && left.linked_order_id == v.ids[2]);
    CHECK(venue_locked(&v, 1, 1) == 7); /* order 2 leans on it */
    venue_order(&v, venue_limit(2, 4, SIDE_BUY, 104, 1));
    CHECK(venue_locked(&v, 1, 1) == 3 && !is_open(&v, 2));
    venue_close(&v);
}

static void test_a_linked_taker_that_is_cancelled_takes_its_partner_along(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 100, 4));
    venue_order(&v, venue_limit(1, 2, SIDE_BUY, 90, 10));
    wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 5);
    o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_TAKER;
    pair_with(&v, NULL, 2, o);
    EXPECT(&v, "accepted 3 buy 5@100\n"
               "cancelled 3 5 self_trade done\n"
               "cancelled 2 10 linked done\n"
               "level3 2 remove 0@90\n"
               "book buy 0@90 of 0\n");
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_prevention_takes_a_hidden_pair_at_one_price(void) {
    static const uint8_t modes[] = {SELF_TRADE_PREVENTION_CANCEL_MAKER, SELF_TRADE_PREVENTION_CANCEL_BOTH,
                                    SELF_TRADE_PREVENTION_DECREMENT};
    const wire_order_terms hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};
    for (uint32_t k = 0; k < sizeof modes; k++) {
        static venue v;
        venue_open(&v);
        venue_order_with(&v, &hidden, NULL, venue_limit(1, 1, SIDE_SELL, 110, 4));
        pair_with(&v, &hidden, 1, venue_limit(1, 2, SIDE_SELL, 110, 10));
        wire_new_order taker = venue_limit(1, 3, SIDE_BUY, 110, 4);
        taker.self_trade_prevention = modes[k];
        venue_order(&v, taker);
        CHECK(venue_code(&v) == CODE_NONE && !is_open(&v, 1) && !is_open(&v, 2) && venue_locked(&v, 1, 1) == 0);
        CHECK(is_open(&v, 3) == (modes[k] == SELF_TRADE_PREVENTION_CANCEL_MAKER));
        venue_close(&v);
    }
}

/* ---- Locks ------------------------------------------------------------------------------------------------------- */

static void test_a_pair_locks_what_the_one_needs_that_needs_more(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 90, 10));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_BUY, 95, 10));
    CHECK(venue_locked(&v, 1, 2) == 951);
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 95, 4)); /* 2 trades: it takes over what 1 had locked */
    CHECK(!is_open(&v, 1) && venue_locked(&v, 1, 2) == 571);
    venue_cancel(&v, 1, 2);
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 95, 10));
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_BUY, 90, 1)); /* needs nothing besides */
    CHECK(venue_locked(&v, 1, 2) == 951);
    venue_order(&v, venue_limit(2, 3, SIDE_SELL, 95, 4));
    CHECK(!is_open(&v, 2) && venue_locked(&v, 1, 2) == 571);
    venue_close(&v);
}

static void test_funds_for_a_pair_are_those_for_the_difference(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_SELL, 110, 1ll << 30)); /* all there is */
    venue_order(&v, venue_limit(1, 2, SIDE_SELL, 120, 1));
    CHECK(venue_code(&v) == CODE_INSUFFICIENT_FUNDS);
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 120, (1ll << 30) + 1));
    CHECK(venue_code(&v) == CODE_INSUFFICIENT_FUNDS);
    pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_SELL, 120, 1ll << 30));
    CHECK(venue_code(&v) == CODE_NONE);
    venue_close(&v);
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

static void test_links_are_refused_with_the_first_code_that_is_wrong(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 90, 10));
    venue_order(&v, venue_limit(2, 2, SIDE_BUY, 90, 10));
    pair_with(&v, NULL, 7, venue_limit(1, 3, SIDE_BUY, 90, 10));
    CHECK(venue_code(&v) == CODE_UNKNOWN_ORDER);
    wire_order_link link = {
        .kind = KIND_ORDER_LINK, .order_id = v.ids[2], .action = LINK_ACTION_ONE_CANCELS_OTHER}; /* another account's */
    venue_order_with(&v, NULL, &link, venue_limit(1, 3, SIDE_BUY, 90, 10));
    CHECK(venue_code(&v) == CODE_UNKNOWN_ORDER);
    pair_with(&v, NULL, 1, venue_limit(1, 3, SIDE_SELL, 190, 10));
    CHECK(venue_code(&v) == CODE_LINK_INVALID);
    wire_new_order now = venue_limit(1, 3, SIDE_BUY, 90, 10);
    now.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    pair_with(&v, NULL, 1, now);
    CHECK(venue_code(&v) == CODE_MALFORMED);
    link = venue_pair(1);
    link.order_id = v.ids[1]; /* both names */
    venue_order_with(&v, NULL, &link, venue_limit(1, 3, SIDE_BUY, 90, 10));
    CHECK(venue_code(&v) == CODE_MALFORMED);
    link = venue_pair(1);
    link.action = 9;
    venue_order_with(&v, NULL, &link, venue_limit(1, 3, SIDE_BUY, 90, 10));
    CHECK(venue_code(&v) == CODE_MALFORMED);
    pair_with(&v, NULL, 1, venue_limit(1, 3, SIDE_BUY, 91, 10));
    CHECK(venue_code(&v) == CODE_NONE);
    pair_with(&v, NULL, 1, venue_limit(1, 4, SIDE_BUY, 91, 10)); /* linked already */
    CHECK(venue_code(&v) == CODE_LINK_INVALID);
    wire_replace r = {.kind = KIND_REPLACE,
                      .account = 1,
                      .instrument = 1,
                      .target_client_order_id = 1,
                      .price_ticks = 90,
                      .quantity_lots = 5};
    venue_send(&v, &r);
    CHECK(venue_code(&v) == CODE_REPLACE_UNSUPPORTED);
    venue_cancel(&v, 1, 3);
    CHECK(!is_open(&v, 1));
    venue_close(&v);
}

static void test_an_extra_that_only_held_a_link_goes_back_to_its_pool(void) {
    static venue v;
    core_options options = venue_options();
    options.extra_count_max = 2;
    venue_open_with(&v, options);
    for (uint64_t n = 0; n < 20; n++) {
        venue_order(&v, venue_limit(1, 1, SIDE_BUY, 90, 2));
        pair_with(&v, NULL, 1, venue_limit(1, 2, SIDE_BUY, 91, 2)); /* takes both extras */
        wire_new_order third = venue_limit(2, 3, SIDE_BUY, 50, 1);
        const wire_order_link link = venue_pair(2);
        const void *prefixes[] = {&link};
        CHECK(venue_try(&v, prefixes, 1, &third) == CORE_E_FULL);
        venue_order(&v, venue_limit(2, 3, SIDE_SELL, 91, 1)); /* 2 trades and is plain again */
        venue_cancel(&v, 1, 2);
        CHECK(venue_code(&v) == CODE_NONE);
    }
    venue_close(&v);
}

int main(void) {
    RUN(test_a_maker_that_trades_cancels_its_partner_before_the_trade);
    RUN(test_an_order_that_fires_cancels_its_partner_before_it_is_triggered);
    RUN(test_a_cancel_takes_both_and_frees_both_locks);
    RUN(test_a_mass_cancel_meets_partners_once_and_counts_only_its_own);
    RUN(test_a_mass_cancel_whose_last_order_is_the_partner_of_the_one_before_ends_there);
    RUN(test_a_countdown_and_a_lost_session_take_partners_of_other_keys_along);
    RUN(test_expiry_takes_the_partner_along);
    RUN(test_a_partner_at_the_level_being_matched_makes_no_book_update_of_its_own);
    RUN(test_a_partner_behind_in_the_book_is_gone_when_the_taker_comes_there);
    RUN(test_only_the_first_of_two_linked_makers_counts_for_fill_or_kill);
    RUN(test_a_taker_that_trades_cancels_what_it_is_linked_with_and_rests_alone);
    RUN(test_of_a_linked_maker_and_a_linked_taker_the_makers_partner_goes_first);
    RUN(test_a_maker_cancelled_by_self_trade_prevention_takes_its_partner_along);
    RUN(test_decrement_ends_a_link_only_when_nothing_is_left);
    RUN(test_a_linked_taker_that_is_cancelled_takes_its_partner_along);
    RUN(test_prevention_takes_a_hidden_pair_at_one_price);
    RUN(test_a_pair_locks_what_the_one_needs_that_needs_more);
    RUN(test_funds_for_a_pair_are_those_for_the_difference);
    RUN(test_links_are_refused_with_the_first_code_that_is_wrong);
    RUN(test_an_extra_that_only_held_a_link_goes_back_to_its_pool);
    return 0;
}
