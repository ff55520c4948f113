/* Address lists and the table of refused addresses: see peers.h for the picture. */
#include "peers.h"

#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool network_has(const network *n, const uint8_t address[ADDRESS_BYTES]) {
    const uint32_t whole = n->prefix_bits / 8, rest = n->prefix_bits % 8;
    if (memcmp(n->address, address, whole) != 0) return false;
    if (rest == 0) return true;
    const uint8_t mask = (uint8_t)(0xff00u >> rest);
    return ((n->address[whole] ^ address[whole]) & mask) == 0;
}

/* What is counted: a whole IPv4 address, or the first half of an IPv6 one. */
static void peer_of(uint8_t to[ADDRESS_BYTES], const uint8_t address[ADDRESS_BYTES]) {
    memcpy(to, address, ADDRESS_BYTES);
    if (memcmp(address, mapped_prefix, sizeof mapped_prefix) != 0) memset(to + 8, 0, 8);
}

static uint64_t stir(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
}

static uint32_t set_of(const peers *table, const uint8_t who[ADDRESS_BYTES]) {
    uint64_t halves[2];
    memcpy(halves, who, sizeof halves);
    return (uint32_t)stir(stir(halves[0] ^ table->seed[0]) + (halves[1] ^ table->seed[1])) & (PEER_SET_COUNT - 1);
}

/* The place to give to a new address: free, or else not refused and oldest, or else oldest. */
static peer *place_for(peer set[PEER_WAY_COUNT], uint64_t now_ns) {
    peer *best = &set[0];
    for (uint32_t i = 1; i < PEER_WAY_COUNT; i++) {
        const bool i_refused = set[i].refused_until_ns > now_ns, best_refused = best->refused_until_ns > now_ns;
        if (i_refused != best_refused ? best_refused : set[i].began_ns < best->began_ns) best = &set[i];
    }
    return best;
}

bool peers_count(peers *table, const uint8_t address[ADDRESS_BYTES], uint64_t now_ns) {
    if (table->bad_max == 0) return false;
    uint8_t who[ADDRESS_BYTES];
    peer_of(who, address);
    peer *set = table->places[set_of(table, who)];
    peer *p = NULL;
    for (uint32_t i = 0; i < PEER_WAY_COUNT && p == NULL; i++)
        if (set[i].began_ns != 0 && memcmp(set[i].address, who, ADDRESS_BYTES) == 0) p = &set[i];
    if (p == NULL) {
        p = place_for(set, now_ns);
        memset(p, 0, sizeof *p);
        memcpy(p->address, who, ADDRESS_BYTES);
        p->began_ns = now_ns;
    }
    if (now_ns - p->began_ns >= PEER_WINDOW_NS) {
        p->began_ns = now_ns;
        p->count = 0;
    }
    p->count++;
    if (p->count <= table->bad_max) return false;
    p->refused_until_ns = now_ns + PEER_WINDOW_NS;
    return true;
}

bool peers_refused(const peers *table, const uint8_t address[ADDRESS_BYTES], uint64_t now_ns) {
    if (table->bad_max == 0) return false;
    uint8_t who[ADDRESS_BYTES];
    peer_of(who, address);
    const peer *set = table->places[set_of(table, who)];
    for (uint32_t i = 0; i < PEER_WAY_COUNT; i++)
        if (set[i].refused_until_ns > now_ns && memcmp(set[i].address, who, ADDRESS_BYTES) == 0) return true;
    return false;
}
