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
static_assert(UNITS_MAX == 1ll << 62, "two amounts add up within 64 bits");
static_assert(FEE_PPM_MAX < PPM, "a fee is less than the notional it is taken from");
static_assert(sizeof(wire_record) == RECORD_BYTES && sizeof(wire_report) == REPORT_BYTES,
              "the layouts are what the wire says");

#endif
