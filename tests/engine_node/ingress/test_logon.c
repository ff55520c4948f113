/* The logon: what a good one is answered, and that every bad one is the same refusal to the peer and a reason to us. */
#include "support/check.h"
#include "support/ingress_rig.h"

static rig r;
static client c;

static void begin(void) {
    rig_make(&r, 1);
    rig_start(&r);
}

/* The connection of c was refused: one unsigned message that says nothing, then the end. */
static void check_refused(void) {
    wire_report message;
    memcpy(&message, &c.answer, sizeof message); /* what client_send_request took for an answer */
    if (host_sim_peer_waiting(r.sim, c.socket) > 0)
        CHECK_EQUAL(host_sim_peer_take(r.sim, c.socket, &message, sizeof message), sizeof message);
    CHECK_EQUAL(message.kind, MESSAGE_SESSION_ENDED);
    CHECK_EQUAL(message.code, CODE_LOGON_REFUSED);
    wire_report nothing = {.kind = MESSAGE_SESSION_ENDED, .code = CODE_LOGON_REFUSED};
    CHECK(memcmp(&message, &nothing, sizeof message) == 0);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_LOGON_REFUSED);
    CHECK_EQUAL(host_sim_peer_waiting(r.sim, c.socket), 0);
}

static void connect_and_request(uint32_t key) {
    CHECK(client_connect(&c, &r, key, rig_address(1)));
    client_request(&c, RESUME_NEW_ONLY, 0);
}

static void test_a_good_logon_gets_a_signed_answer_with_all_it_needs(void) {
    begin();
    connect_and_request(2);
    CHECK(client_send_request(&c)); /* checks the MAC */
    CHECK_EQUAL(c.answer.idle_ms, r.options.idle_ms);
    CHECK_EQUAL(c.answer.last_client_sequence, 0);
    CHECK_EQUAL(c.answer.last_report_number, 0);
    CHECK_EQUAL(c.answer.key, 2);
    CHECK_EQUAL(c.answer.account, 2);
    CHECK_EQUAL(c.answer.permissions, PERMISSION_TRADE | PERMISSION_CANCEL);
    CHECK_EQUAL(c.answer.server_time_ns, c.request.timestamp_ns);
    CHECK_EQUAL(rig_counters(&r)->logons_good, 1);
    CHECK_EQUAL(rig_counters(&r)->sessions_live, 0);
    const uint64_t records = rig_counters(&r)->records;
    const wire_ping ping = client_ping(&c, 99);
    client_send(&c, &ping);
    const wire_report pong = client_take_one(&c);
    CHECK_EQUAL(pong.kind, MESSAGE_PONG);
    CHECK_EQUAL(pong.reference, 99);
    CHECK_EQUAL(pong.order_id, 0);
    CHECK_EQUAL(pong.key, 2);
    CHECK_EQUAL(rig_counters(&r)->sessions_live, 1);
    CHECK_EQUAL(rig_counters(&r)->records, records + 1); /* the logon */
    rig_end(&r);
}

static void test_a_request_may_come_byte_by_byte(void) {
    begin();
    connect_and_request(2);
    for (size_t i = 0; i < sizeof c.request; i++) {
        CHECK_EQUAL(host_sim_peer_waiting(r.sim, c.socket), 0);
        client_write(&c, (uint8_t *)&c.request + i, 1);
        client_work(&c);
    }
    CHECK_EQUAL(host_sim_peer_waiting(r.sim, c.socket), sizeof(wire_logon_answer));
    rig_end(&r);
}

static void test_the_second_secret_of_a_key_is_as_good_as_the_first(void) {
    rig_make(&r, 1);
    r.keys[1].secret_count = 2;
    memset(r.keys[1].secrets[1], 0x77, 32);
    rig_start(&r);
    connect_and_request(2);
    CHECK(client_send_request(&c));
    connect_and_request(2);
    uint8_t first[32];
    memcpy(first, r.keys[1].secrets[0], 32);
    memcpy(r.keys[1].secrets[0], r.keys[1].secrets[1], 32); /* the client knows only the second */
    client_sign_request(&c, r.keys[1].secrets[1]);
    CHECK(client_send_request(&c));
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    rig_end(&r);
}

static void test_what_is_not_well_formed_is_refused(void) {
    begin();
    r.options.refused_peer_max = 0;
    for (int bad = 0; bad < 3; bad++) {
        connect_and_request(2);
        if (bad == 0) c.request.options = 0x80;
        if (bad == 1) c.request.zero[6] = 1;
        if (bad == 2) c.request.magic[7] = '2';
        client_sign_request(&c, r.keys[1].secrets[0]);
        CHECK(!client_send_request(&c));
        check_refused();
    }
    CHECK_EQUAL(rig_counters(&r)->logons_malformed, 3);
    CHECK_EQUAL(rig_counters(&r)->connections_open, 0);
    rig_end(&r);
}

static void test_another_protocol_is_refused_at_its_first_bytes(void) {
    begin();
    connect_and_request(2);
    client_write(&c, "GET /", 5);
    client_work(&c);
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_malformed, 1);
    rig_end(&r);
}

static void test_an_unknown_key_a_wrong_secret_and_a_changed_byte_look_alike(void) {
    begin();
    connect_and_request(2);
    memcpy(c.request.key_id, "nobody\0\0\0\0\0\0\0\0\0\0", 16);
    client_sign_request(&c, r.keys[1].secrets[0]);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_key_unknown, 1);

    connect_and_request(2);
    client_sign_request(&c, r.keys[2].secrets[0]);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_mac_wrong, 1);

    for (size_t at = 24; at < sizeof c.request; at++) { /* nonce, time, last report, options, zero, MAC */
        connect_and_request(2);
        ((uint8_t *)&c.request)[at] ^= 1;
        CHECK(!client_send_request(&c));
        check_refused();
    }
    CHECK_EQUAL(rig_counters(&r)->logons_mac_wrong + rig_counters(&r)->logons_malformed, 1 + 96 - 24);
    CHECK_EQUAL(rig_counters(&r)->logons_good, 0);
    rig_end(&r);
}

static void test_a_key_is_good_only_from_its_networks(void) {
    rig_make(&r, 1);
    r.keys[1].network_count = 1;
    memcpy(r.keys[1].networks[0].address, rig_address(16), 16);
    r.keys[1].networks[0].prefix_bits = 124; /* 10.0.0.16/28 */
    rig_start(&r);
    CHECK(client_connect(&c, &r, 2, rig_address(31)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    CHECK(client_connect(&c, &r, 2, rig_address(32)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_address_forbidden, 1);
    rig_end(&r);
}

static void test_a_timestamp_must_be_within_the_window(void) {
    begin();
    const int64_t window = (int64_t)r.options.core.nonce_window_ns;
    const struct {
        int64_t off;
        bool good;
    } cases[] = {{window, true}, {-window, true}, {window + 1, false}, {-window - 1, false}};
    for (int i = 0; i < 4; i++) {
        connect_and_request(2);
        c.request.timestamp_ns += (uint64_t)cases[i].off;
        client_sign_request(&c, r.keys[1].secrets[0]);
        CHECK(client_send_request(&c) == cases[i].good);
        if (!cases[i].good) check_refused();
    }
    CHECK_EQUAL(rig_counters(&r)->logons_time_outside, 2);
    rig_end(&r);
}

/* The journal's time stays where a clock that was set wrong took it; the window is about the clock as it is. */
static void test_a_clock_that_jumped_and_came_back_locks_nobody_out(void) {
    begin();
    const host *h = host_sim_host(r.sim);
    const uint64_t start_ns = h->now_ns(h->self);
    client early;
    client_logon(&early, &r, 3, RESUME_NEW_ONLY, 0);
    host_sim_set_clock(r.sim, start_ns + 3600 * RIG_SECOND_NS);
    const wire_new_order order = client_order(&early, 3, SIDE_BUY, 100, 5);
    client_send(&early, &order);
    CHECK_EQUAL(core_received_ns(ingress_core(r.in)), start_ns + 3600 * RIG_SECOND_NS);
    host_sim_set_clock(r.sim, start_ns);
    connect_and_request(2);
    CHECK(client_send_request(&c));
    CHECK_EQUAL(c.answer.server_time_ns, start_ns);
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    connect_and_request(2);
    c.request.timestamp_ns += 3600 * RIG_SECOND_NS; /* the journal's time */
    client_sign_request(&c, r.keys[1].secrets[0]);
    CHECK(!client_send_request(&c));
    CHECK_EQUAL(rig_counters(&r)->logons_time_outside, 1);
    rig_end(&r);
}

static void test_a_nonce_is_good_once_even_before_it_is_recorded_and_after_a_restart(void) {
    begin();
    connect_and_request(2);
    const wire_logon_request recorded = c.request;
    CHECK(client_send_request(&c));
    const uint64_t name = c.name;
    const int socket = c.socket;
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    c.request = recorded;
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_nonce_repeated, 1);
    c.name = name;
    c.socket = socket;
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping); /* not the session of this client any more: its key was made anew */
    rig_crash(&r);

    rig_start(&r); /* nothing of that logon was recorded: the same request is news again, and harmless */
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    const wire_logon_request live = c.request;
    rig_crash(&r);
    rig_start(&r);
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    c.request = live;
    CHECK(!client_send_request(&c));
    CHECK_EQUAL(rig_counters(&r)->logons_nonce_repeated, 1);
    rig_end(&r);
}

static void probe(void) {
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    client_request(&c, RESUME_PROBE, 0);
}

static void test_a_probe_is_answered_as_a_logon_is_but_for_what_is_recorded(void) {
    begin();
    rig_define_market(&r);
    client trader;
    client_logon(&trader, &r, 2, RESUME_NEW_ONLY, 0);
    const wire_new_order order = client_order(&trader, 2, SIDE_BUY, 100, 5);
    client_send(&trader, &order);
    const uint64_t good = rig_counters(&r)->logons_good;
    probe();
    CHECK(client_send_request(&c)); /* checks the MAC */
    CHECK_EQUAL(c.answer.last_client_sequence, 0);
    CHECK_EQUAL(c.answer.last_report_number, 0);
    CHECK_EQUAL(c.answer.key, 2);
    CHECK_EQUAL(c.answer.account, 2);
    CHECK_EQUAL(c.answer.permissions, PERMISSION_TRADE | PERMISSION_CANCEL);
    CHECK_EQUAL(c.answer.server_time_ns, c.request.timestamp_ns);
    CHECK_EQUAL(rig_counters(&r)->logons_good, good + 1);
    rig_end(&r);
}

static void test_a_probe_is_refused_as_a_logon_is(void) {
    rig_make(&r, 1);
    r.options.refused_peer_max = 4;
    rig_start(&r);
    probe();
    const wire_logon_request recorded = c.request;
    CHECK(client_send_request(&c));
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    c.request = recorded; /* by somebody who heard it */
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_nonce_repeated, 1);
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    c.request = recorded; /* a session cannot be made of it */
    c.request.last_report_number = RESUME_NEW_ONLY;
    CHECK(!client_send_request(&c));
    check_refused();
    probe();
    client_sign_request(&c, r.keys[2].secrets[0]);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_mac_wrong, 2);
    probe();
    c.request.timestamp_ns -= r.options.core.nonce_window_ns + 1;
    client_sign_request(&c, r.keys[1].secrets[0]);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_time_outside, 1);
    probe();
    memcpy(c.request.key_id, "nobody\0\0\0\0\0\0\0\0\0\0", 16);
    client_sign_request(&c, r.keys[1].secrets[0]);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->peers_blocked, 1); /* one too many of them */
    rig_end(&r);
}

static void test_an_address_with_too_many_bad_logons_is_closed_at_once_for_a_minute(void) {
    rig_make(&r, 1);
    r.options.refused_peer_max = 3;
    rig_start(&r);
    for (int i = 0; i < 4; i++) {
        connect_and_request(2);
        c.request.mac[0] ^= 1;
        CHECK(!client_send_request(&c));
        check_refused();
    }
    CHECK_EQUAL(rig_counters(&r)->peers_blocked, 1);
    CHECK(!client_connect(&c, &r, 2, rig_address(1)));
    CHECK_EQUAL(rig_counters(&r)->peers_refused, 1);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    host_sim_advance(r.sim, 60 * RIG_SECOND_NS);
    CHECK(client_connect(&c, &r, 2, rig_address(1)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    rig_end(&r);
}

static void test_connections_opened_before_an_address_was_refused_get_no_further_try(void) {
    rig_make(&r, 1);
    r.options.refused_peer_max = 1;
    rig_start(&r);
    client early;
    CHECK(client_connect(&early, &r, 2, rig_address(1)));
    for (int i = 0; i < 2; i++) {
        connect_and_request(2);
        c.request.mac[0] ^= 1;
        CHECK(!client_send_request(&c));
    }
    c = early;
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(!client_send_request(&c));
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->peers_refused, 1);
    rig_end(&r);
}

static void test_a_stranger_who_says_nothing_is_closed_in_time(void) {
    begin();
    connect_and_request(2);
    client_write(&c, &c.request, 50);
    client_work(&c);
    rig_wait(&r, (r.options.logon_timeout_ms - 1) * 1000000ull);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    rig_wait(&r, 1000000);
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->logons_timed_out, 1);
    rig_end(&r);
}

static void test_strangers_make_room_but_sessions_do_not(void) {
    rig_make(&r, 1);
    r.options.connection_count_max = 3;
    rig_start(&r);
    client live, first, second;
    client_logon(&live, &r, 2, RESUME_NEW_ONLY, 0);
    CHECK(client_connect(&first, &r, 2, rig_address(9)));
    host_sim_advance(r.sim, 1000);
    CHECK(client_connect(&second, &r, 2, rig_address(9)));
    host_sim_advance(r.sim, 1000);
    connect_and_request(3);
    CHECK_EQUAL(rig_closed_code(&r, first.socket), CODE_LOGON_REFUSED);
    CHECK_EQUAL(rig_counters(&r)->connections_evicted, 1);
    CHECK(client_send_request(&c));
    client one_more;
    CHECK(client_connect(&one_more, &r, 2, rig_address(9))); /* second makes room */
    client_request(&one_more, RESUME_NEW_ONLY, 0);
    r.keys[3].network_count = 0;
    one_more.key = 4;
    client_request(&one_more, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&one_more));
    uint64_t name;
    CHECK_EQUAL(ingress_accept(r.in, 5, rig_address(9), false, &name), INGRESS_E_CONNECTIONS);
    rig_end(&r);
}

static void test_behind_a_proxy_the_true_address_counts(void) {
    rig_make(&r, 1);
    r.options.refused_peer_max = 1;
    r.keys[1].network_count = 1;
    memcpy(r.keys[1].networks[0].address, rig_address(77), 16);
    r.keys[1].networks[0].prefix_bits = 128;
    rig_start(&r);
    uint8_t header[28] = {0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                          0x54, 0x0a, 0x21, 0x11, 0, 12,   10,   0,    0,    77};
    for (int round = 0; round < 2; round++) {
        header[19] = round == 0 ? 77 : 78;
        memset(&c, 0, sizeof c);
        c.r = &r;
        c.key = 2;
        c.socket = host_sim_socket(r.sim);
        CHECK_EQUAL(ingress_accept(r.in, c.socket, rig_address(1), true, &c.name), INGRESS_OK);
        client_write(&c, header, 20);
        client_work(&c);
        client_write(&c, header + 20, 8);
        client_request(&c, RESUME_NEW_ONLY, 0);
        CHECK(client_send_request(&c) == (round == 0));
    }
    CHECK_EQUAL(rig_counters(&r)->logons_address_forbidden, 1);
    c.socket = host_sim_socket(r.sim);
    CHECK_EQUAL(ingress_accept(r.in, c.socket, rig_address(1), true, &c.name), INGRESS_OK);
    client_write(&c, &c.request, sizeof c.request); /* no header */
    client_work(&c);
    check_refused();
    CHECK_EQUAL(rig_counters(&r)->proxy_malformed, 1);
    CHECK(client_connect(&c, &r, 2, rig_address(1))); /* the terminator's own address is not blamed */
    rig_end(&r);
}

int main(void) {
    RUN(test_a_good_logon_gets_a_signed_answer_with_all_it_needs);
    RUN(test_a_request_may_come_byte_by_byte);
    RUN(test_the_second_secret_of_a_key_is_as_good_as_the_first);
    RUN(test_what_is_not_well_formed_is_refused);
    RUN(test_another_protocol_is_refused_at_its_first_bytes);
    RUN(test_an_unknown_key_a_wrong_secret_and_a_changed_byte_look_alike);
    RUN(test_a_key_is_good_only_from_its_networks);
    RUN(test_a_timestamp_must_be_within_the_window);
    RUN(test_a_clock_that_jumped_and_came_back_locks_nobody_out);
    RUN(test_a_nonce_is_good_once_even_before_it_is_recorded_and_after_a_restart);
    RUN(test_a_probe_is_answered_as_a_logon_is_but_for_what_is_recorded);
    RUN(test_a_probe_is_refused_as_a_logon_is);
    RUN(test_an_address_with_too_many_bad_logons_is_closed_at_once_for_a_minute);
    RUN(test_connections_opened_before_an_address_was_refused_get_no_further_try);
    RUN(test_a_stranger_who_says_nothing_is_closed_in_time);
    RUN(test_strangers_make_room_but_sessions_do_not);
    RUN(test_behind_a_proxy_the_true_address_counts);
    return checks_done();
}
