/* Numbers and texts as JSON writes them. Each `put_…` writes at p, which must have room, and returns what follows. */
#ifndef IRONBOOK_FEED_TEXT_H
#define IRONBOOK_FEED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned __int128 wide;

#define SCALE_LIMBS 6         /* of 18 decimal digits each */
#define SCALED_BYTES_MAX 128  /* a scaled number as text */
#define DECIMALS_AT_ONCE 19u  /* 10^19 is the greatest power of ten of 64 bits */
#define TEXT_BYTES_ESCAPED 6u /* a byte of a text is at most \u00XX */

/* What one tick or lot is in whole assets, exactly:  limbs / 10^decimals, or limbs / denominator where no decimal ends.
 *
 *      tick = quote_units_per_tick_lot × 10^base_decimals / (base_units_per_lot × 10^quote_decimals)
 *           = 1 × 10^8 / (10^4 × 10^6)  =  0.01  =  1 / 10^2
 */
typedef struct scale {
    uint64_t limbs[SCALE_LIMBS]; /* base 10^18, the least first */
    uint32_t limb_count;
    uint32_t decimals;
    uint32_t denominator_bytes; /* 0: it is a decimal */
    char denominator[44];
} scale;

/* The scale numerator / denominator; both above zero and below 2^102. */
scale scale_of(wide numerator, wide denominator);

/* count × scale, with all its decimals. At most SCALED_BYTES_MAX bytes. */
char *put_scaled(char *p, const scale *s, int64_t count);

/* units / 10^decimals, with all its decimals (at most DECIMALS_AT_ONCE). */
char *put_amount(char *p, int64_t units, uint32_t decimals);

/* Any bytes as the inside of a JSON string in UTF-8: what is not UTF-8 becomes U+FFFD, one for each sequence that ends
 * too early. At most TEXT_BYTES_ESCAPED × bytes. */
char *put_escaped(char *p, const uint8_t *text, size_t bytes);

char *put_hex(char *p, const uint8_t *data, size_t bytes);

/* Kafka's partition of a key: the Java client's murmur2, its sign bit cleared, modulo count. */
uint32_t partition_of(const void *key, size_t bytes, uint32_t count);

/* ---- Short and hot ----------------------------------------------------------------------------------------------- */

#define PUT(p, literal) put_bytes(p, literal, sizeof(literal) - 1)

static inline char *put_bytes(char *p, const void *text, size_t bytes) {
    memcpy(p, text, bytes);
    return p + bytes;
}

extern const char digit_pairs[200]; /* "00" "01" … "99" */

/* The last `digits` digits of v, zeros in front. */
static inline char *put_padded(char *p, uint64_t v, uint32_t digits) {
    char *at = p + digits;
    while (at - p >= 2) {
        at -= 2;
        memcpy(at, &digit_pairs[v % 100 * 2], 2);
        v /= 100;
    }
    if (at > p) *p = (char)('0' + v % 10);
    return p + digits;
}

static inline char *put_unsigned(char *p, uint64_t v) {
    char digits[20], *at = digits + sizeof digits;
    while (v >= 100) {
        at -= 2;
        memcpy(at, &digit_pairs[v % 100 * 2], 2);
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(at, &digit_pairs[v * 2], 2);
    } else {
        *--at = (char)('0' + v);
    }
    return put_bytes(p, at, (size_t)(digits + sizeof digits - at));
}

static inline char *put_signed(char *p, int64_t v) {
    if (v >= 0) return put_unsigned(p, (uint64_t)v);
    *p++ = '-';
    return put_unsigned(p, 0 - (uint64_t)v);
}

static inline char *put_bool(char *p, bool v) { return v ? PUT(p, "true") : PUT(p, "false"); }

#endif
