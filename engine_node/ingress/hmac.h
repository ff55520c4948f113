/* HMAC-SHA256 on saved pad states.
 *
 * HMAC(K, m) = SHA256((K ^ opad) ‖ SHA256((K ^ ipad) ‖ m)). Both pads are one block of 64 bytes, so their SHA-256
 * states are computed once a key. A command has 48 bytes: with the padding of SHA-256 it is one more block, and so is
 * the inner digest. Hence two compressions a frame:
 *
 *   inner state ── command 48 │ 80 │ 0 … │ length ──▶ digest 32 │ 80 │ 0 … │ length ──▶ tag: the first 16 bytes
 *                                                      from the outer state
 */
#ifndef IRONBOOK_INGRESS_HMAC_H
#define IRONBOOK_INGRESS_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/vocabulary.h"

#define HMAC_BYTES 32
#define HMAC_SECRET_BYTES 32 /* of a long-term secret and of a session key */

/* The two pad states of one key: as good as the key itself, so they are wiped when it goes. */
typedef struct hmac_key {
    uint32_t inner[8];
    uint32_t outer[8];
} hmac_key;
static_assert(sizeof(hmac_key) == 64, "a key is one cache line");

void hmac_key_set(hmac_key *key, const uint8_t secret[HMAC_SECRET_BYTES]);
void hmac_key_wipe(hmac_key *key);

/* HMAC of two parts, one behind the other; b may be NULL with 0 bytes. */
void hmac_of(const hmac_key *key, const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
             uint8_t out[HMAC_BYTES]);

/* How many of the `count` (at least 1) frames that lie one behind the other have the tag of their command, up to the
 * first that has not? Looks at HMAC_FRAMES_MAX of them at most, side by side: that costs little more than one. Takes as
 * long for a wrong tag as for a right one. */
uint32_t hmac_frames_good(const hmac_key *key, const uint8_t *frames, uint32_t count);
#define HMAC_FRAMES_MAX 2u

/* The tag of a command: what a client puts behind it. */
void hmac_tag(const hmac_key *key, const uint8_t command[COMMAND_BYTES], uint8_t tag[TAG_BYTES]);

/* Equal? In constant time. */
bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t bytes);

#endif
