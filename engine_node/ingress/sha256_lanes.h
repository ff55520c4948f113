/* SHA-256 compressions of several messages side by side.
 *
 * One compression is a chain of 64 rounds, each waiting for the one before: with the CPU's SHA instructions the chain
 * leaves half of the unit idle. Two independent messages fill it, and all that they need fits the 16 registers (with
 * three or four it does not, and they are no faster):
 *
 *      message 0  ──▶ rnds2 · · · rnds2 · · · rnds2 ──▶        one at a time 131 ns a frame, as libcrypto's;
 *      message 1  ────▶ rnds2 · · · rnds2 · · · rnds2 ──▶      two side by side 78, three 74, four 75
 *
 * Source of the algorithm: FIPS 180-4, 6.2.2. Without the instructions lanes_available() is false, and nothing here
 * may be called; libcrypto does the work then.
 */
#ifndef IRONBOOK_INGRESS_SHA256_LANES_H
#define IRONBOOK_INGRESS_SHA256_LANES_H

#include <stdbool.h>
#include <stdint.h>

#define SHA256_LANES 2

bool sha256_lanes_available(void);

/* HMAC's two compressions for each of `count` (1 .. SHA256_LANES) messages of 48 bytes, message i at
 * messages + i * stride: words[i] are the digest's words. inner, outer: the states behind the two pads. */
void sha256_lanes_hmac48(const uint32_t inner[8], const uint32_t outer[8], const uint8_t *messages, uint32_t stride,
                         uint32_t count, uint32_t words[SHA256_LANES][8]);

#endif
