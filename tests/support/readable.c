/* A line for a record, a line for an event. */
#include "support/readable.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

typedef struct field {
    const char *name;
    uint8_t offset;
    uint8_t bytes;
    bool is_signed;
} field;

typedef struct layout {
    const char *name;
    field fields[14];
} layout;

#define SIGNED(type, member) _Generic(((type *)0)->member, int64_t : true, int32_t : true, default : false)
#define F(type, member)                                                                                                \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), SIGNED(type, member) }

static const layout layouts[256] = {
    [KIND_NEW_ORDER] = {"new_order",
                        {F(wire_new_order, account), F(wire_new_order, instrument), F(wire_new_order, side),
                         F(wire_new_order, order_type), F(wire_new_order, time_in_force),
                         F(wire_new_order, self_trade_prevention), F(wire_new_order, options),
                         F(wire_new_order, price_ticks), F(wire_new_order, quantity_lots),
                         F(wire_new_order, client_order_id)}},
    [KIND_CANCEL] = {"cancel",
                     {F(wire_cancel, account), F(wire_cancel, instrument), F(wire_cancel, order_id),
                      F(wire_cancel, target_client_order_id), F(wire_cancel, client_order_id)}},
    [KIND_REPLACE] = {"replace",
                      {F(wire_replace, account), F(wire_replace, instrument), F(wire_replace, order_id),
                       F(wire_replace, price_ticks), F(wire_replace, quantity_lots),
                       F(wire_replace, target_client_order_id)}},
    [KIND_MASS_CANCEL] = {"mass_cancel",
                          {F(wire_mass_cancel, account), F(wire_mass_cancel, instrument), F(wire_mass_cancel, side),
                           F(wire_mass_cancel, client_order_id)}},
    [KIND_COUNTDOWN_CANCEL] = {"countdown_cancel",
                               {F(wire_countdown_cancel, account), F(wire_countdown_cancel, timeout_ms),
                                F(wire_countdown_cancel, client_order_id)}},
    [KIND_ASSET] = {"asset", {F(wire_asset, asset), F(wire_asset, decimals)}},
    [KIND_INSTRUMENT] = {"instrument",
                         {F(wire_instrument, instrument), F(wire_instrument, base_asset),
                          F(wire_instrument, quote_asset), F(wire_instrument, maker_fee_ppm),
                          F(wire_instrument, taker_fee_ppm), F(wire_instrument, trading_state),
                          F(wire_instrument, base_units_per_lot), F(wire_instrument, quote_units_per_tick_lot)}},
    [KIND_INSTRUMENT_LIMITS] = {"instrument_limits",
                                {F(wire_instrument_limits, instrument), F(wire_instrument_limits, collar_ppm),
                                 F(wire_instrument_limits, quantity_lots_min),
                                 F(wire_instrument_limits, quantity_lots_max),
                                 F(wire_instrument_limits, notional_units_min),
                                 F(wire_instrument_limits, reference_price_ticks)}},
    [KIND_ACCOUNT] = {"account", {F(wire_account, account), F(wire_account, firm), F(wire_account, fee_tier)}},
    [KIND_ACCOUNT_LIMITS] = {"account_limits",
                             {F(wire_account_limits, account), F(wire_account_limits, open_orders_max),
                              F(wire_account_limits, order_rate_max), F(wire_account_limits, order_rate_window_ms),
                              F(wire_account_limits, notional_units_max), F(wire_account_limits, position_lots_max),
                              F(wire_account_limits, quantity_lots_max)}},
    [KIND_DEPOSIT] = {"deposit",
                      {F(wire_deposit, account), F(wire_deposit, asset), F(wire_deposit, amount_units),
                       F(wire_deposit, reference)}},
    [KIND_WITHDRAWAL] = {"withdrawal",
                         {F(wire_withdrawal, account), F(wire_withdrawal, asset), F(wire_withdrawal, amount_units),
                          F(wire_withdrawal, reference)}},
    [KIND_HALT] = {"halt", {F(wire_halt, target), F(wire_halt, scope), F(wire_halt, action)}},
    [KIND_INSTRUMENT_STATE] = {"instrument_state",
                               {F(wire_instrument_state, instrument), F(wire_instrument_state, trading_state),
                                F(wire_instrument_state, auction_ends_ns),
                                F(wire_instrument_state, static_price_ticks)}},
    [KIND_CIRCUIT_BREAKER] = {"circuit_breaker",
                              {F(wire_circuit_breaker, instrument), F(wire_circuit_breaker, band_ppm),
                               F(wire_circuit_breaker, band_ms), F(wire_circuit_breaker, level1_ppm),
                               F(wire_circuit_breaker, level1_ms), F(wire_circuit_breaker, level2_ppm),
                               F(wire_circuit_breaker, level2_ms), F(wire_circuit_breaker, level3_ppm),
                               F(wire_circuit_breaker, level3_ms)}},
    [KIND_FEE_TIER] = {"fee_tier",
                       {F(wire_fee_tier, instrument), F(wire_fee_tier, tier), F(wire_fee_tier, maker_fee_ppm),
                        F(wire_fee_tier, taker_fee_ppm)}},
    [KIND_PRICE_STEP] = {"price_step",
                         {F(wire_price_step, instrument), F(wire_price_step, step),
                          F(wire_price_step, from_price_ticks), F(wire_price_step, tick_multiple),
                          F(wire_price_step, lot_multiple)}},
    [KIND_BALANCE_FLOOR] = {"balance_floor",
                            {F(wire_balance_floor, account), F(wire_balance_floor, asset),
                             F(wire_balance_floor, floor_units)}},
    [KIND_TRADE_BUST] = {"trade_bust", {F(wire_trade_bust, instrument), F(wire_trade_bust, trade_id)}},
    [KIND_TRADE_CORRECTION] = {"trade_correction",
                               {F(wire_trade_correction, instrument), F(wire_trade_correction, trade_id),
                                F(wire_trade_correction, price_ticks), F(wire_trade_correction, quantity_lots)}},
    [KIND_FEE_PAYOUT] = {"fee_payout",
                         {F(wire_fee_payout, account), F(wire_fee_payout, asset), F(wire_fee_payout, amount_units),
                          F(wire_fee_payout, reference)}},
    [KIND_ORDER_TERMS] = {"order_terms",
                          {F(wire_order_terms, trigger), F(wire_order_terms, trigger_price_ticks),
                           F(wire_order_terms, offset_ticks), F(wire_order_terms, peg), F(wire_order_terms, options),
                           F(wire_order_terms, display_lots), F(wire_order_terms, minimum_lots),
                           F(wire_order_terms, expire_ns)}},
    [KIND_ORDER_LINK] = {"order_link",
                         {F(wire_order_link, order_id), F(wire_order_link, target_client_order_id),
                          F(wire_order_link, action)}},
    [KIND_TERM] = {"term", {F(wire_term, term), F(wire_term, node), F(wire_term, nonce_window_ns)}},
    [KIND_LOGON] = {"logon",
                    {F(wire_logon, session), F(wire_logon, account), F(wire_logon, timestamp_ns),
                     F(wire_logon, options)}},
    [KIND_LOGOFF] = {"logoff", {F(wire_logoff, session), F(wire_logoff, reason)}},
    [KIND_CLOCK_TICK] = {"clock_tick", {{0}}},
    [KIND_DIGEST] = {"digest", {F(wire_digest, state_digest)}},
    [KIND_REFUSED] = {"refused",
                      {F(wire_refused, account), F(wire_refused, instrument), F(wire_refused, client_order_id),
                       F(wire_refused, code), F(wire_refused, refused_kind)}},
    [KIND_TEXT] = {"text", {{0}}},
    [KIND_NONCE] = {"nonce", {F(wire_nonce, timestamp_ns)}},
};

static void print_field(FILE *to, const field *f, const uint8_t *bytes) {
    uint64_t value = 0;
    memcpy(&value, bytes + f->offset, f->bytes);
    if (f->is_signed && f->bytes == 4) value = (uint64_t)(int64_t)(int32_t)value;
    if (f->is_signed) fprintf(to, " %s=%" PRId64, f->name, (int64_t)value);
    else fprintf(to, " %s=%" PRIu64, f->name, value);
}

void print_record(FILE *to, const wire_record *record) {
    wire_header header;
    memcpy(&header, record->command, sizeof header);
    const layout *what = &layouts[header.kind];
    fprintf(to, "%s(%u) key=%u client_sequence=%" PRIu64 " received_ns=%" PRIu64, what->name ? what->name : "unknown",
            (unsigned)header.kind, record->key, (uint64_t)header.client_sequence, record->received_ns);
    for (const field *f = what->fields; f < what->fields + 14 && f->name != NULL; f++)
        print_field(to, f, record->command);
    fprintf(to, "\n      bytes");
    for (int i = 0; i < COMMAND_BYTES; i++) fprintf(to, "%s%02x", i % 8 == 0 ? " " : "", record->command[i]);
    fprintf(to, "\n");
}

static const char *const event_names[256] = {
    [EVENT_ACCEPTED] = "accepted",
    [EVENT_REJECTED] = "rejected",
    [EVENT_FILLED] = "filled",
    [EVENT_CANCELLED] = "cancelled",
    [EVENT_REPLACED] = "replaced",
    [EVENT_APPLIED] = "applied",
    [EVENT_TRADE] = "trade",
    [EVENT_BOOK_UPDATE] = "book_update",
    [EVENT_STATE] = "state",
    [EVENT_LEVEL3] = "level3",
    [EVENT_BALANCE] = "balance",
    [EVENT_TOP] = "top",
    [EVENT_TRIGGERED] = "triggered",
    [EVENT_BOOK_CHECKSUM] = "book_checksum",
    [EVENT_INDICATIVE] = "indicative",
    [EVENT_TRADE_BUST] = "trade_bust",
    [EVENT_TRADE_CORRECTION] = "trade_correction",
    [EVENT_ADJUSTMENT] = "adjustment",
};

void print_event(FILE *to, const wire_report *e) {
    fprintf(to, "%3u %s(%u) code=%u flags=%u instrument=%u account=%u", e->n,
            event_names[e->kind] ? event_names[e->kind] : "unknown", e->kind, e->code, e->flags, e->instrument,
            e->account);
    fprintf(to, " order_id=%" PRIu64 " client_order_id=%" PRIu64 " price=%" PRId64 " quantity=%" PRId64, e->order_id,
            e->client_order_id, e->price_ticks, e->quantity_lots);
    fprintf(to, " remaining=%" PRId64 " reference=%" PRIu64 " amount=%" PRId64 " key=%u report=%" PRIu64 "\n",
            e->remaining_lots, e->reference, e->amount_units, (unsigned)e->key, (uint64_t)e->report_number);
}
