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
        CHECK_EQUAL(hmac_frames_good(&key, frame, 1), 1);
    }
}

static void test_every_single_changed_bit_makes_a_frame_bad(void) {
    uint8_t secret[32] = {9}, frame[FRAME_BYTES] = {1, 2, 3};
    hmac_key key;
    hmac_key_set(&key, secret);
    hmac_tag(&key, frame, frame + COMMAND_BYTES);
    for (size_t bit = 0; bit < 8 * FRAME_BYTES; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQUAL(hmac_frames_good(&key, frame, 1), 0);
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_EQUAL(hmac_frames_good(&key, frame, 1), 1);
}

/* Frames are verified side by side, however many there are: what counts is where the first bad one stands. */
static void test_frames_of_a_burst_are_good_up_to_the_first_bad_one(void) {
    uint8_t secret[32] = {7}, frames[4 * FRAME_BYTES];
    hmac_key key;
    hmac_key_set(&key, secret);
    for (size_t i = 0; i < 4; i++) {
        uint8_t *frame = frames + i * FRAME_BYTES;
        memset(frame, (int)(i + 1), COMMAND_BYTES);
        hmac_tag(&key, frame, frame + COMMAND_BYTES);
    }
    for (uint32_t count = 1; count <= 4; count++) {
        const uint32_t looked_at = hmac_frames_good(&key, frames, count);
        CHECK(looked_at >= 1 && looked_at <= count && looked_at <= HMAC_FRAMES_MAX);
        for (uint32_t bad = 0; bad < count; bad++) {
            frames[bad * FRAME_BYTES + 5] ^= 1;
            CHECK_EQUAL(hmac_frames_good(&key, frames, count), bad < looked_at ? bad : looked_at);
            frames[bad * FRAME_BYTES + 5] ^= 1;
        }
    }
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
    RUN(test_frames_of_a_burst_are_good_up_to_the_first_bad_one);
    RUN(test_a_wiped_key_is_zero);
    return checks_done();
}
