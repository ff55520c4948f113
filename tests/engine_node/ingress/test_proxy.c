/* The PROXY v2 header: whole, cut at every byte, and wrong in every field. */
#include "engine_node/ingress/proxy.h"
#include "support/check.h"

static const uint8_t tcp4[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11,
                               0x00, 0x0c, 192,  0,    2,    7,    127,  0,    0,    1,    0x12, 0x34, 0x56, 0x78};

static void test_the_address_of_an_ipv4_client_is_mapped(void) {
    uint8_t address[16] = {0};
    const uint8_t expected[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};
    CHECK_EQUAL(proxy_header(tcp4, sizeof tcp4, address), sizeof tcp4);
    CHECK(memcmp(address, expected, 16) == 0);
}

static void test_an_ipv6_header_with_extensions_is_read_and_they_are_skipped(void) {
    uint8_t bytes[16 + 36 + 5], address[16] = {0};
    memcpy(bytes, tcp4, 12);
    bytes[12] = 0x21;
    bytes[13] = 0x21;
    bytes[14] = 0;
    bytes[15] = 36 + 5;
    for (int i = 0; i < 36 + 5; i++) bytes[16 + i] = (uint8_t)(i + 1);
    CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), sizeof bytes);
    for (int i = 0; i < 16; i++) CHECK_EQUAL(address[i], i + 1);
}

static void test_a_local_header_keeps_the_address_of_the_socket(void) {
    uint8_t bytes[16], address[16] = {9};
    memcpy(bytes, tcp4, 16);
    bytes[12] = 0x20;
    bytes[13] = 0;
    bytes[15] = 0;
    CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), 16);
    CHECK_EQUAL(address[0], 9);
}

static void test_a_cut_header_asks_for_more_at_every_byte(void) {
    uint8_t address[16] = {0};
    for (uint32_t count = 0; count < sizeof tcp4; count++) CHECK_EQUAL(proxy_header(tcp4, count, address), 0);
    CHECK_EQUAL(address[12], 0);
}

static void test_anything_else_is_no_header(void) {
    uint8_t address[16] = {0};
    for (int at = 0; at < 14; at++) {
        uint8_t bytes[sizeof tcp4];
        memcpy(bytes, tcp4, sizeof bytes);
        bytes[at] ^= 0x80;
        CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), -1);
    }
    uint8_t bytes[sizeof tcp4];
    memcpy(bytes, tcp4, sizeof bytes);
    bytes[14] = 0xff; /* a length beyond what we read */
    CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), -1);
    bytes[14] = 0;
    bytes[15] = 11; /* too short for its family */
    CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), -1);
    bytes[13] = 0x21;
    bytes[15] = 35;
    CHECK_EQUAL(proxy_header(bytes, sizeof bytes, address), -1);
    CHECK_EQUAL(proxy_header((const uint8_t *)"GET / HTTP/1.1\r\n", 16, address), -1);
}

int main(void) {
    RUN(test_the_address_of_an_ipv4_client_is_mapped);
    RUN(test_an_ipv6_header_with_extensions_is_read_and_they_are_skipped);
    RUN(test_a_local_header_keeps_the_address_of_the_socket);
    RUN(test_a_cut_header_asks_for_more_at_every_byte);
    RUN(test_anything_else_is_no_header);
    return checks_done();
}
