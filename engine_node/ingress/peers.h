/* Addresses: which of them a key allows, and which of them are refused for now.
 *
 * An address is 16 bytes: IPv6, or IPv4 mapped into it (::ffff:a.b.c.d). Bad logons and bad frames are counted by
 * address (IPv6: by its /64, because one machine has a whole one) in a table of fixed size:
 *
 *   hash of the address ─▶ a set of 4 places:  [ address │ minute began │ count │ refused until ]  × 4
 *
 * A full set gives up the place that is not refused and whose minute began first. So a flood of addresses makes the
 * table forget, never grow.
 */
#ifndef IRONBOOK_INGRESS_PEERS_H
#define IRONBOOK_INGRESS_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_BYTES 16
#define PEER_SET_COUNT 1024u /* a power of two */
#define PEER_WAY_COUNT 4u
#define PEER_WINDOW_NS 60000000000ull /* a minute: for counting, and for being refused */

typedef struct network {
    uint8_t address[ADDRESS_BYTES];
    uint8_t prefix_bits; /* 0 .. 128; of a mapped IPv4 network 96 and more */
} network;

/* Is the address in the network? */
bool network_has(const network *n, const uint8_t address[ADDRESS_BYTES]);

typedef struct peer {
    uint8_t address[ADDRESS_BYTES];
    uint64_t began_ns;         /* 0: a free place */
    uint64_t refused_until_ns; /* 0: not refused */
    uint32_t count;
    uint32_t zero;
} peer;

typedef struct peers {
    uint64_t seed[2]; /* random, so that nobody can aim at a set */
    uint32_t bad_max; /* more than so many in a minute: refused for a minute; 0: never */
    peer places[PEER_SET_COUNT][PEER_WAY_COUNT];
} peers;

/* Count one bad logon or frame of this address. True if it is refused from now on. */
bool peers_count(peers *table, const uint8_t address[ADDRESS_BYTES], uint64_t now_ns);

/* Is this address refused at this time? */
bool peers_refused(const peers *table, const uint8_t address[ADDRESS_BYTES], uint64_t now_ns);

#endif
