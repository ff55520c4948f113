/* Every limit of the core, in one place, proven at compile time to fit each other.
 *
 * Capacities (how many orders, accounts, ...) are options of core_open; what stands here bounds the options and the
 * numbers themselves. The limits that cross a boundary come from the vocabulary (schemas/wire.json).
 */
#ifndef IRONBOOK_CORE_LIMITS_H
#define IRONBOOK_CORE_LIMITS_H

#include "vocabulary.h"

#define CORE_ASSETS_MAX (ASSET_NUMBER_MAX + 1u)           /* asset numbers are 1 .. capacity - 1 */
#define CORE_INSTRUMENTS_MAX (INSTRUMENT_NUMBER_MAX + 1u) /* instrument numbers likewise */
#define CORE_ACCOUNTS_MAX (ACCOUNT_NUMBER_MAX + 1u)       /* account numbers likewise */
#define CORE_KEYS_MAX 65535u                              /* a key's number is 16 bits in a report */
#define CORE_POOL_MAX (1u << 28)                          /* slots of any pool: an index is 32 bits, 0 is "none" */
#define CORE_REPORTS_KEPT_MAX 65536u                      /* reports kept for each key; a power of two, or 0 for none */
#define CORE_EVENTS_CHUNK_MIN 64u                         /* least room of a chunk of events */
#define CORE_EVENTS_STEP_MAX 32u                          /* most events between two looks at the room left */
#define CORE_GROUP_MAX (PREFIX_COUNT_MAX + 1)
#define CORE_LADDER_DEPTH 8u             /* 64-way steps from a price to its level: 6 bits each */
#define CORE_NONCE_DROPS_MAX 4u          /* expired nonces dropped when one is stored */
#define NONCE_WINDOW_NS_MAX (1ull << 60) /* some 36 years */
#define PPM 1000000                      /* one whole, in millionths */

static_assert(CORE_EVENTS_CHUNK_MIN >= 2 * CORE_EVENTS_STEP_MAX, "a chunk always lets a step run");
static_assert(PRICE_TICKS_MAX == (1ll << (6 * CORE_LADDER_DEPTH)) - 1, "the ladder reaches every price");
static_assert(FEE_PPM_MAX < PPM, "a fee is less than the notional it is taken from");
static_assert(sizeof(wire_record) == RECORD_BYTES && sizeof(wire_report) == REPORT_BYTES,
              "the layouts are what the wire says");

/* Why no sum leaves 64 bits. S: deposits - withdrawals of an asset, F: all its floors as amounts above zero.
 *
 *   Σ free + Σ locked + fees = S          (checked by core_check; every movement has two sides)
 *   S + F <= UNITS_MAX, S >= -UNITS_MAX   (checked by deposit, withdrawal and balance_floor)
 *   free >= floor, locked >= 0, fees >= 0 (checked by every order, bust, correction and payout)
 *
 *   So one free balance, one locked balance and the fees are each at most S + F; free - floor + lock is too; and F is
 *   at most UNITS_MAX - S <= 2 × UNITS_MAX.
 *   An order locks at least one unit a lot; two linked orders share the greater lock. So the open lots of an account,
 *   of a level, of a whole side are at most 2 × (S + F) <= 2 × UNITS_MAX.
 *   -UNITS_MAX <= position <= UNITS_MAX, and position + open buys, -position + open sells <= UNITS_MAX (checked by
 *   every order, bust and correction).
 *   The cumulative notional of an entry: as a taker it is paid by locks that are there at once: S + F at most. As a
 *   maker at its own price it is the notional checked at entry, UNITS_MAX at most; on top of what auctions and unlit
 *   fills left, which is UNITS_MAX at most too, because they begin the entry anew before it is passed.
 */
static_assert(UNITS_MAX == (1ll << 62) - 1, "the most units are 2^62 - 1, as the pages say");
static_assert(UNITS_MAX <= INT64_MAX - UNITS_MAX, "two amounts, open lots and all floors fit 64 bits");
static_assert(-UNITS_MAX >= INT64_MIN + UNITS_MAX, "an amount below zero less another fits 64 bits");
static_assert(QUANTITY_LOTS_MAX <= UNITS_MAX && PRICE_TICKS_MAX <= UNITS_MAX, "a lot and a tick are a unit or more");
static_assert(UNITS_MAX / PPM <= (INT64_MAX - PPM) / FEE_PPM_MAX / 2, "the fee of two notionals fits 64 bits");
static_assert(UNITS_MAX <= INT64_MAX - UNITS_MAX / PPM * FEE_PPM_MAX - FEE_PPM_MAX - 1, "a lock fits 64 bits");

#endif
