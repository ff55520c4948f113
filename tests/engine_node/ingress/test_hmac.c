/* HMAC on saved pad states, held against published vectors and against libcrypto's own HMAC. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "engine_node/ingress/hmac.h"
#include "support/check.h"

static void from_hex(const char *hex, uint8_t *to, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned value;
        CHECK(sscanf(hex + 2 * i, "%2x", &value) == 1);
        to[i] = (uint8_t)value;
    }
}

/* RFC 4231, test case 2: key "Jefe". A secret has 32 bytes here; HMAC pads a shorter key with zero bytes. */
static void test_a_published_vector_comes_out(void) {
    uint8_t secret[32] = "Jefe", expected[32], out[32];
    from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", expected, 32);
    hmac_key key;
    hmac_key_set(&key, secret);
    hmac_of(&key, (const uint8_t *)"what do ya want for nothing?", 28, NULL, 0, out);
    CHECK(memcmp(out, expected, 32) == 0);
    hmac_of(&key, (const uint8_t *)"what do ya ", 11, (const uint8_t *)"want for nothing?", 17, out);
    CHECK(memcmp(out, expected, 32) == 0);
}

static void test_tags_of_many_commands_are_those_of_libcrypto(void) {
    uint8_t secret[32], frame[FRAME_BYTES], expected[32];
    uint32_t state = 1;
    for (int round = 0; round < 1000; round++) {
        for (size_t i = 0; i < sizeof secret; i++) secret[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
        for (size_t i = 0; i < COMMAND_BYTES; i++) frame[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
        unsigned length;
        CHECK(HMAC(EVP_sha256(), secret, sizeof secret, frame, COMMAND_BYTES, expected, &length) != NULL);
        hmac_key key;
        hmac_key_set(&key, secret);
        hmac_tag(&key, frame, frame + COMMAND_BYTES);
        CHECK(memcmp(frame + COMMAND_BYTES, expected, TAG_BYTES) == 0);
        CHECK(hmac_frame_good(&key, frame));
    }
}

static void test_every_single_changed_bit_makes_a_frame_bad(void) {
    uint8_t secret[32] = {9}, frame[FRAME_BYTES] = {1, 2, 3};
    hmac_key key;
    hmac_key_set(&key, secret);
    hmac_tag(&key, frame, frame + COMMAND_BYTES);
    for (size_t bit = 0; bit < 8 * FRAME_BYTES; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!hmac_frame_good(&key, frame));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(hmac_frame_good(&key, frame));
}

static void test_a_wiped_key_is_zero(void) {
    uint8_t secret[32] = {5};
    hmac_key key, zero = {0};
    hmac_key_set(&key, secret);
    CHECK(memcmp(&key, &zero, sizeof key) != 0);
    hmac_key_wipe(&key);
    CHECK(memcmp(&key, &zero, sizeof key) == 0);
}

int main(void) {
    RUN(test_a_published_vector_comes_out);
    RUN(test_tags_of_many_commands_are_those_of_libcrypto);
    RUN(test_every_single_changed_bit_makes_a_frame_bad);
    RUN(test_a_wiped_key_is_zero);
    return checks_done();
}
