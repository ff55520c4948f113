/* HMAC-SHA256 on libcrypto's SHA-256: see hmac.h for the picture.
 *
 * SHA256_Transform is libcrypto's compression function (SHA-NI where the CPU has it) on a state of ours. The
 * high-level interfaces cost more per call than the two compressions do: EVP_MAC 400 to 620 ns, HMAC() above 2,000,
 * this 160 to 190 on the same machine. Of a burst two frames are verified at once (sha256_lanes.h).
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* OpenSSL 3 marks the low-level SHA-256 so; nothing else keeps a state */
#include "hmac.h"

#include <string.h>

#include "sha256_lanes.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#define BLOCK_BYTES 64u
#define COMMAND_BITS ((BLOCK_BYTES + COMMAND_BYTES) * 8u) /* what the inner hash has seen: pad and command */
#define DIGEST_BITS ((BLOCK_BYTES + HMAC_BYTES) * 8u)     /* what the outer hash has seen: pad and inner digest */

static_assert(COMMAND_BYTES + 1 + 8 <= BLOCK_BYTES, "a command and its padding are one block");
static_assert(COMMAND_BITS < 65536 && DIGEST_BITS < 65536, "lengths fit the last two bytes of a block");

static void store_words(uint8_t *to, const uint32_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t big = __builtin_bswap32(words[i]);
        memcpy(to + 4 * i, &big, sizeof big);
    }
}

/* Behind `used` bytes: the padding that SHA-256 puts at the end of a message of so many bits. */
static void pad_block(uint8_t block[BLOCK_BYTES], size_t used, uint32_t bits) {
    block[used] = 0x80;
    memset(block + used + 1, 0, BLOCK_BYTES - used - 3);
    block[BLOCK_BYTES - 2] = (uint8_t)(bits >> 8);
    block[BLOCK_BYTES - 1] = (uint8_t)bits;
}

static void pad_state(uint32_t state[8], const uint8_t secret[HMAC_SECRET_BYTES], uint8_t pad) {
    uint8_t block[BLOCK_BYTES];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < HMAC_SECRET_BYTES; i++) block[i] ^= secret[i];
    SHA256_CTX hash;
    SHA256_Init(&hash);
    SHA256_Transform(&hash, block);
    memcpy(state, hash.h, sizeof hash.h);
    OPENSSL_cleanse(&hash, sizeof hash);
    OPENSSL_cleanse(block, sizeof block);
}

void hmac_key_set(hmac_key *key, const uint8_t secret[HMAC_SECRET_BYTES]) {
    pad_state(key->inner, secret, 0x36);
    pad_state(key->outer, secret, 0x5c);
}

void hmac_key_wipe(hmac_key *key) { OPENSSL_cleanse(key, sizeof *key); }

/* Two compressions: the words of HMAC(key, command). Only h of the context is used by SHA256_Transform. */
static void frame_words(const hmac_key *key, const uint8_t *command, uint32_t words[8]) {
    uint8_t block[BLOCK_BYTES];
    SHA256_CTX hash;
    memcpy(block, command, COMMAND_BYTES);
    pad_block(block, COMMAND_BYTES, COMMAND_BITS);
    memcpy(hash.h, key->inner, sizeof hash.h);
    SHA256_Transform(&hash, block);

    store_words(block, hash.h, 8);
    pad_block(block, HMAC_BYTES, DIGEST_BITS);
    memcpy(hash.h, key->outer, sizeof hash.h);
    SHA256_Transform(&hash, block);
    memcpy(words, hash.h, sizeof hash.h);
}

void hmac_tag(const hmac_key *key, const uint8_t command[COMMAND_BYTES], uint8_t tag[TAG_BYTES]) {
    uint32_t words[8];
    frame_words(key, command, words);
    store_words(tag, words, TAG_BYTES / 4);
}

static_assert(HMAC_FRAMES_MAX == SHA256_LANES, "a frame in each lane");

uint32_t hmac_frames_good(const hmac_key *key, const uint8_t *frames, uint32_t count) {
    uint32_t words[SHA256_LANES][8];
    const bool lanes = sha256_lanes_available();
    const uint32_t looked_at = lanes && count >= SHA256_LANES ? SHA256_LANES : 1;
    if (lanes) sha256_lanes_hmac48(key->inner, key->outer, frames, FRAME_BYTES, looked_at, words);
    else frame_words(key, frames, words[0]);
    uint32_t good = 0;
    for (uint32_t i = 0; i < looked_at; i++) {
        uint8_t tag[TAG_BYTES];
        store_words(tag, words[i], TAG_BYTES / 4);
        const bool same = CRYPTO_memcmp(tag, frames + (size_t)i * FRAME_BYTES + COMMAND_BYTES, TAG_BYTES) == 0;
        good += same && good == i;
    }
    return good;
}

static void resume(SHA256_CTX *hash, const uint32_t state[8]) {
    SHA256_Init(hash);
    memcpy(hash->h, state, sizeof hash->h);
    hash->Nl = BLOCK_BYTES * 8;
}

void hmac_of(const hmac_key *key, const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
             uint8_t out[HMAC_BYTES]) {
    SHA256_CTX hash;
    uint8_t digest[HMAC_BYTES];
    resume(&hash, key->inner);
    SHA256_Update(&hash, a, a_bytes);
    if (b_bytes > 0) SHA256_Update(&hash, b, b_bytes);
    SHA256_Final(digest, &hash);
    resume(&hash, key->outer);
    SHA256_Update(&hash, digest, sizeof digest);
    SHA256_Final(out, &hash);
    OPENSSL_cleanse(&hash, sizeof hash);
    OPENSSL_cleanse(digest, sizeof digest);
}

bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t bytes) { return CRYPTO_memcmp(a, b, bytes) == 0; }
