/* SHA-256 compressions side by side, with the SHA instructions of x86-64: see sha256_lanes.h. */
#include "sha256_lanes.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) WITH_SHA

enum { GROUPS = 16 }; /* 64 rounds, four at a time */
enum { PAD_BITS = 64 * 8, COMMAND_BITS = 48 * 8, DIGEST_BITS = 32 * 8 };

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t ROUND_CONSTANTS[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* The instructions want the state as two halves, each with its words from high to low: A B E F and C D G H. */
typedef struct halves {
    __m128i abef, cdgh;
} halves;

INLINE halves split(const uint32_t state[8]) {
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    return (halves){.abef = _mm_alignr_epi8(cdab, efgh, 8), .cdgh = _mm_blend_epi16(efgh, cdab, 0xF0)};
}

/* Back to A B C D and E F G H, which is also how a digest stands in the next block. */
INLINE void join(halves s, __m128i *abcd, __m128i *efgh) {
    const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1B), dchg = _mm_shuffle_epi32(s.cdgh, 0xB1);
    *abcd = _mm_blend_epi16(feba, dchg, 0xF0);
    *efgh = _mm_alignr_epi8(dchg, feba, 8);
}

/* One compression in each lane. w: the block's 16 words, four to a vector; used up. */
INLINE void compress(halves *s, __m128i w[][4], uint32_t lanes) {
    halves before[SHA256_LANES];
    for (uint32_t i = 0; i < lanes; i++) before[i] = s[i];
#pragma GCC unroll 16
    for (uint32_t group = 0; group < GROUPS; group++) {
        const __m128i constants = _mm_load_si128((const __m128i *)ROUND_CONSTANTS + group);
#pragma GCC unroll 2
        for (uint32_t i = 0; i < lanes; i++) {
            __m128i *now = &w[i][group & 3];
            if (group >= 4) { /* FIPS 180-4, 6.2.2: the message schedule */
                const __m128i last = w[i][(group + 3) & 3], last2 = w[i][(group + 2) & 3];
                const __m128i some = _mm_sha256msg1_epu32(*now, w[i][(group + 1) & 3]);
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(some, _mm_alignr_epi8(last, last2, 4)), last);
            }
            const __m128i sum = _mm_add_epi32(*now, constants);
            s[i].cdgh = _mm_sha256rnds2_epu32(s[i].cdgh, s[i].abef, sum);
            s[i].abef = _mm_sha256rnds2_epu32(s[i].abef, s[i].cdgh, _mm_shuffle_epi32(sum, 0x0E));
        }
    }
    for (uint32_t i = 0; i < lanes; i++) {
        s[i].abef = _mm_add_epi32(s[i].abef, before[i].abef);
        s[i].cdgh = _mm_add_epi32(s[i].cdgh, before[i].cdgh);
    }
}

INLINE void hmac48(const uint32_t inner[8], const uint32_t outer[8], const uint8_t *messages, uint32_t stride,
                   uint32_t lanes, uint32_t words[][8]) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    const halves inner_halves = split(inner), outer_halves = split(outer);
    halves s[SHA256_LANES];
    __m128i w[SHA256_LANES][4];
    for (uint32_t i = 0; i < lanes; i++) {
        const __m128i *message = (const __m128i *)(messages + (size_t)i * stride);
        for (uint32_t k = 0; k < 3; k++) w[i][k] = _mm_shuffle_epi8(_mm_loadu_si128(message + k), big_endian);
        w[i][3] = _mm_set_epi32(PAD_BITS + COMMAND_BITS, 0, 0, (int)0x80000000u);
        s[i] = inner_halves;
    }
    compress(s, w, lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        join(s[i], &w[i][0], &w[i][1]);
        w[i][2] = _mm_set_epi32(0, 0, 0, (int)0x80000000u);
        w[i][3] = _mm_set_epi32(PAD_BITS + DIGEST_BITS, 0, 0, 0);
        s[i] = outer_halves;
    }
    compress(s, w, lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        __m128i abcd, efgh;
        join(s[i], &abcd, &efgh);
        _mm_storeu_si128((__m128i *)words[i], abcd);
        _mm_storeu_si128((__m128i *)(words[i] + 4), efgh);
    }
}

WITH_SHA void sha256_lanes_hmac48(const uint32_t inner[8], const uint32_t outer[8], const uint8_t *messages,
                                  uint32_t stride, uint32_t count, uint32_t words[SHA256_LANES][8]) {
    if (count == SHA256_LANES) hmac48(inner, outer, messages, stride, SHA256_LANES, words);
    else hmac48(inner, outer, messages, stride, 1, words);
}

bool sha256_lanes_available(void) {
    static int known; /* 0: not asked yet, 1: no, 2: yes; asking twice at once does no harm */
    if (known == 0) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        const bool has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
        const bool has_sse41 = __get_cpuid(1, &a, &b, &c, &d) && (c >> 19 & 1);
        known = has_sha && has_sse41 ? 2 : 1;
    }
    return known == 2;
}

#else

bool sha256_lanes_available(void) { return false; }

void sha256_lanes_hmac48(const uint32_t inner[8], const uint32_t outer[8], const uint8_t *messages, uint32_t stride,
                         uint32_t count, uint32_t words[SHA256_LANES][8]) {
    (void)inner, (void)outer, (void)messages, (void)stride, (void)count, (void)words;
    __builtin_trap();
}

#endif
