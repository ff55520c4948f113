/* Decimal texts by integers only; JSON strings; the hash of a key. */
#include "text.h"

#include <assert.h>

#define LIMB 1000000000000000000ull /* 10^18 */
#define LIMB_DIGITS 18u

const char digit_pairs[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                              "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                              "8081828384858687888990919293949596979899";

static const uint64_t powers[DECIMALS_AT_ONCE + 1] = {1ull,
                                                      10ull,
                                                      100ull,
                                                      1000ull,
                                                      10000ull,
                                                      100000ull,
                                                      1000000ull,
                                                      10000000ull,
                                                      100000000ull,
                                                      1000000000ull,
                                                      10000000000ull,
                                                      100000000000ull,
                                                      1000000000000ull,
                                                      10000000000000ull,
                                                      100000000000000ull,
                                                      1000000000000000ull,
                                                      10000000000000000ull,
                                                      100000000000000000ull,
                                                      1000000000000000000ull,
                                                      10000000000000000000ull};

/* ---- Scales ------------------------------------------------------------------------------------------------------ */

static uint32_t limbs_of(uint64_t limbs[SCALE_LIMBS], wide v) {
    uint32_t count = 0;
    for (; v != 0; v /= LIMB) limbs[count++] = (uint64_t)(v % LIMB);
    return count;
}

static uint32_t limbs_multiply(uint64_t limbs[SCALE_LIMBS], uint32_t count, uint64_t by) {
    wide carry = 0;
    for (uint32_t i = 0; i < count; i++) {
        carry += (wide)limbs[i] * by;
        limbs[i] = (uint64_t)(carry % LIMB);
        carry /= LIMB;
    }
    for (; carry != 0; carry /= LIMB) {
        assert(count < SCALE_LIMBS);
        limbs[count++] = (uint64_t)(carry % LIMB);
    }
    return count;
}

static char *put_limbs(char *p, const uint64_t *limbs, uint32_t count) {
    if (count == 0) return PUT(p, "0");
    p = put_unsigned(p, limbs[count - 1]);
    for (uint32_t i = count - 1; i-- > 0;) p = put_padded(p, limbs[i], LIMB_DIGITS);
    return p;
}

static wide greatest_divisor(wide a, wide b) {
    while (b != 0) {
        const wide rest = a % b;
        a = b, b = rest;
    }
    return a;
}

static uint32_t take_out(wide *v, uint32_t factor) {
    uint32_t times = 0;
    for (; *v % factor == 0; *v /= factor) times++;
    return times;
}

scale scale_of(wide numerator, wide denominator) {
    assert(numerator > 0 && denominator > 0);
    const wide common = greatest_divisor(numerator, denominator);
    numerator /= common, denominator /= common;
    scale s = {0};
    wide odd = denominator;
    const uint32_t twos = take_out(&odd, 2), fives = take_out(&odd, 5);
    s.limb_count = limbs_of(s.limbs, numerator);
    if (odd != 1) {
        uint64_t limbs[SCALE_LIMBS];
        s.denominator_bytes = (uint32_t)(put_limbs(s.denominator, limbs, limbs_of(limbs, denominator)) - s.denominator);
        return s;
    }
    s.decimals = twos > fives ? twos : fives;
    for (uint32_t i = twos; i < s.decimals; i++) s.limb_count = limbs_multiply(s.limbs, s.limb_count, 2);
    for (uint32_t i = fives; i < s.decimals; i++) s.limb_count = limbs_multiply(s.limbs, s.limb_count, 5);
    return s;
}

static char *put_fixed(char *p, uint64_t v, uint32_t decimals) {
    if (decimals == 0) return put_unsigned(p, v);
    const uint64_t whole = v / powers[decimals];
    p = put_unsigned(p, whole);
    *p++ = '.';
    return put_padded(p, v - whole * powers[decimals], decimals);
}

/* What is beyond 64 bits, or no decimal. */
static char *put_scaled_wide(char *p, const scale *s, uint64_t count) {
    uint64_t limbs[SCALE_LIMBS];
    memcpy(limbs, s->limbs, sizeof limbs);
    const uint32_t limb_count = count == 0 ? 0 : limbs_multiply(limbs, s->limb_count, count);
    if (s->denominator_bytes != 0) {
        p = put_limbs(p, limbs, limb_count);
        *p++ = '/';
        return put_bytes(p, s->denominator, s->denominator_bytes);
    }
    char text[SCALED_BYTES_MAX];
    const uint32_t digits = (uint32_t)(put_limbs(text, limbs, limb_count) - text);
    if (digits <= s->decimals) {
        p = PUT(p, "0.");
        memset(p, '0', s->decimals - digits);
        return put_bytes(p + (s->decimals - digits), text, digits);
    }
    p = put_bytes(p, text, digits - s->decimals);
    if (s->decimals == 0) return p;
    *p++ = '.';
    return put_bytes(p, text + (digits - s->decimals), s->decimals);
}

char *put_scaled(char *p, const scale *s, int64_t count) {
    if (count < 0) *p++ = '-';
    const uint64_t size = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
    if (s->limb_count != 1 || s->denominator_bytes != 0 || s->decimals > DECIMALS_AT_ONCE)
        return put_scaled_wide(p, s, size);
    const wide product = (wide)s->limbs[0] * size;
    return product >> 64 == 0 ? put_fixed(p, (uint64_t)product, s->decimals) : put_scaled_wide(p, s, size);
}

char *put_amount(char *p, int64_t units, uint32_t decimals) {
    if (units < 0) *p++ = '-';
    return put_fixed(p, units < 0 ? 0 - (uint64_t)units : (uint64_t)units, decimals);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static const char hex[] = "0123456789abcdef";

char *put_hex(char *p, const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        *p++ = hex[data[i] >> 4];
        *p++ = hex[data[i] & 15];
    }
    return p;
}

static char *put_ascii(char *p, uint8_t byte) {
    if (byte == '"' || byte == '\\') {
        *p++ = '\\';
    } else if (byte < 0x20) {
        p = PUT(p, "\\u00");
        return put_hex(p, &byte, 1);
    }
    *p++ = (char)byte;
    return p;
}

/* How many bytes the sequence that begins here should have, and within which bounds its second one must be
 * (The Unicode Standard, table 3-7); 0: nothing begins with this byte. */
static uint32_t sequence_bytes(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 2;
    if (lead >= 0xe0 && lead <= 0xef) return 3;
    if (lead >= 0xf0 && lead <= 0xf4) return 4;
    return 0;
}

char *put_escaped(char *p, const uint8_t *text, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        if (text[i] < 0x80) {
            p = put_ascii(p, text[i++]);
            continue;
        }
        uint8_t low, high;
        const uint32_t want = sequence_bytes(text[i], &low, &high);
        uint32_t good = 1;
        while (good < want && i + good < bytes && text[i + good] >= low && text[i + good] <= high) {
            low = 0x80, high = 0xbf;
            good++;
        }
        p = want == good ? put_bytes(p, text + i, good) : PUT(p, "\xef\xbf\xbd");
        i += good;
    }
    return p;
}

/* ---- Partitions -------------------------------------------------------------------------------------------------- */

static uint32_t murmur2(const uint8_t *at, size_t bytes) {
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28c ^ (uint32_t)bytes;
    for (; bytes >= 4; at += 4, bytes -= 4) {
        uint32_t k = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    if (bytes >= 3) h ^= (uint32_t)at[2] << 16;
    if (bytes >= 2) h ^= (uint32_t)at[1] << 8;
    if (bytes >= 1) h = (h ^ at[0]) * m;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

uint32_t partition_of(const void *key, size_t bytes, uint32_t count) {
    return (murmur2(key, bytes) & 0x7fffffff) % count;
}
