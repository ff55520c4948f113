/* Address ranges, and the table of addresses that are refused for now. */
#include "engine_node/ingress/peers.h"
#include "support/check.h"

#define SECOND_NS 1000000000ull

static void address(uint8_t to[16], const char *hex) {
    for (size_t i = 0; i < 16; i++) {
        unsigned value;
        CHECK(sscanf(hex + 2 * i, "%2x", &value) == 1);
        to[i] = (uint8_t)value;
    }
}

static bool has(const char *net, uint8_t bits, const char *one) {
    network n = {.prefix_bits = bits};
    uint8_t a[16];
    address(n.address, net);
    address(a, one);
    return network_has(&n, a);
}

static void test_a_network_has_what_shares_its_prefix(void) {
    /* 10.0.0.0/8, mapped */
    CHECK(has("00000000000000000000ffff0a000000", 104, "00000000000000000000ffff0a010203"));
    CHECK(!has("00000000000000000000ffff0a000000", 104, "00000000000000000000ffff0b010203"));
    /* 192.168.4.0/22: a prefix within a byte */
    CHECK(has("00000000000000000000ffffc0a80400", 118, "00000000000000000000ffffc0a807ff"));
    CHECK(!has("00000000000000000000ffffc0a80400", 118, "00000000000000000000ffffc0a80800"));
    /* one host, everything, IPv6 */
    CHECK(has("20010db8000000000000000000000001", 128, "20010db8000000000000000000000001"));
    CHECK(!has("20010db8000000000000000000000001", 128, "20010db8000000000000000000000002"));
    CHECK(has("20010db8000000000000000000000000", 32, "20010db8ffff00000000000000000002"));
    CHECK(!has("20010db8000000000000000000000000", 33, "20010db8ffff00000000000000000002"));
    CHECK(has("00000000000000000000000000000000", 0, "20010db8000000000000000000000002"));
}

static peers table;

static void fresh(uint32_t bad_max) { table = (peers){.seed = {3, 4}, .bad_max = bad_max}; }

static void test_an_address_is_refused_after_too_many_in_a_minute_and_for_a_minute(void) {
    uint8_t a[16], b[16];
    address(a, "00000000000000000000ffff0a010203");
    address(b, "00000000000000000000ffff0a010204");
    fresh(3);
    for (int i = 0; i < 3; i++) CHECK(!peers_count(&table, a, 100 * SECOND_NS));
    CHECK(!peers_refused(&table, a, 100 * SECOND_NS));
    CHECK(peers_count(&table, a, 101 * SECOND_NS));
    CHECK(peers_refused(&table, a, 101 * SECOND_NS));
    CHECK(peers_refused(&table, a, 160 * SECOND_NS));
    CHECK(!peers_refused(&table, a, 161 * SECOND_NS));
    CHECK(!peers_refused(&table, b, 101 * SECOND_NS));
}

static void test_a_slow_trickle_is_not_refused(void) {
    uint8_t a[16];
    address(a, "00000000000000000000ffff0a010203");
    fresh(3);
    for (uint64_t minute = 1; minute < 10; minute++)
        for (int i = 0; i < 3; i++) CHECK(!peers_count(&table, a, minute * 60 * SECOND_NS));
}

static void test_ipv6_is_counted_by_its_first_half(void) {
    uint8_t a[16], b[16], c[16];
    address(a, "20010db8000000000000000000000001");
    address(b, "20010db800000000ffff000000000009");
    address(c, "20010db8000000010000000000000001");
    fresh(1);
    CHECK(!peers_count(&table, a, SECOND_NS));
    CHECK(peers_count(&table, b, SECOND_NS));
    CHECK(peers_refused(&table, a, SECOND_NS));
    CHECK(!peers_refused(&table, c, SECOND_NS));
}

static void test_zero_never_refuses(void) {
    uint8_t a[16] = {1};
    fresh(0);
    for (int i = 0; i < 100; i++) CHECK(!peers_count(&table, a, SECOND_NS));
    CHECK(!peers_refused(&table, a, SECOND_NS));
}

static void test_a_flood_of_addresses_leaves_those_that_are_refused(void) {
    uint8_t bad[16] = {1}, other[16] = {2};
    fresh(1);
    CHECK(!peers_count(&table, bad, SECOND_NS));
    CHECK(peers_count(&table, bad, SECOND_NS));
    for (uint32_t i = 0; i < 4 * PEER_SET_COUNT * PEER_WAY_COUNT; i++) {
        memcpy(other + 2, &i, sizeof i);
        peers_count(&table, other, 2 * SECOND_NS);
    }
    CHECK(peers_refused(&table, bad, 2 * SECOND_NS));
}

int main(void) {
    RUN(test_a_network_has_what_shares_its_prefix);
    RUN(test_an_address_is_refused_after_too_many_in_a_minute_and_for_a_minute);
    RUN(test_a_slow_trickle_is_not_refused);
    RUN(test_ipv6_is_counted_by_its_first_half);
    RUN(test_zero_never_refuses);
    RUN(test_a_flood_of_addresses_leaves_those_that_are_refused);
    return checks_done();
}
