"""Section 12: the digest of everything that can influence a later event, made anew each time."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.vocabulary import FEE_TIER_MAX
from tests.oracle.numbers import WORD, entity_digest
from tests.oracle.state import WAITING, InstrumentState, State


def digest(state: State) -> int:
    return sum(entity_digest(tag, a, b, fields) for tag, a, b, fields in entities(state)) % WORD


def entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    """(tag, a, b, fields) of each row of the table."""
    yield from order_entities(state)
    yield from terms_entities(state)
    for (account, asset), balance in state.balances.items():
        yield 2, account, asset, [balance.free, balance.locked, balance.floor]
    for (account, instrument), position in state.positions.items():
        yield 3, account, instrument, [position.lots, position.open_buy, position.open_sell, position.rank]
    for number, known in state.assets.items():
        yield 4, number, 0, [1, known.decimals, known.supply_units, known.fees_units]
    yield from instrument_entities(state)
    yield from account_entities(state)
    yield from key_entities(state)
    for nonce, timestamp_ns in state.nonces.items():
        yield 8, int.from_bytes(nonce[:8], "little"), int.from_bytes(nonce[8:], "little"), [timestamp_ns]
    yield from trade_entities(state)
    yield (
        9,
        0,
        0,
        [
            state.sequence,
            state.received_ns,
            state.term,
            int(state.everything_halted),
            state.nonce_window_ns,
            state.trade_count,
        ],
    )


def order_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for order in state.orders.values():
        yield (
            1,
            order.id,
            0,
            [
                order.account,
                order.instrument,
                order.side,
                order.price,
                order.rest,
                order.filled,
                order.client_order_id,
                order.priority,
                order.lock,
                order.maker_notional,
                order.maker_ppm,
                order.taker_ppm,
                order.options,
                order.self_trade_prevention,
                order.key,
            ],
        )


def terms_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for order in state.orders.values():
        waits = order.place == WAITING
        yield (
            10,
            order.id,
            0,
            [
                order.place,
                order.trigger,
                order.trigger_price,
                order.peak,
                order.offset,
                order.peg,
                order.term_options,
                order.display,
                order.reserve,
                order.expire_ns,
                order.linked,
                order.order_type if waits else 0,
                order.time_in_force if waits else 0,
            ],
        )


def instrument_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for number, known in state.instruments.items():
        yield (
            5,
            number,
            0,
            [
                1,
                known.base,
                known.quote,
                known.maker_ppm,
                known.taker_ppm,
                known.trading_state,
                known.base_units,
                known.quote_units,
                known.collar_ppm,
                known.quantity_min,
                known.quantity_max,
                known.notional_min,
                known.reference_price,
                known.last_trade_id,
                known.last_book_update_id,
                known.last_level3_id,
                known.last_top_id,
                known.static_price,
                known.auction_ends_ns,
                known.checksum_update_id,
                known.band_ppm,
                known.band_ms,
                *(number for level in known.breaker_levels for number in level),
                0,
                0,
                0,
                *(number for tier in range(1, FEE_TIER_MAX + 1) for number in tier_fields(known, tier)),
                *[0] * (60 - (32 + 3 * FEE_TIER_MAX)),
                *(number for step in known.steps for number in (step.from_price, step.tick, step.lot)),
            ],
        )


def tier_fields(known: InstrumentState, tier: int) -> tuple[int, int, int]:
    return (1, *known.tiers[tier]) if tier in known.tiers else (0, 0, 0)


def account_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for number, known in state.accounts.items():
        yield (
            6,
            number,
            0,
            [
                1,
                known.firm,
                int(known.halted),
                known.open_orders_max,
                known.order_rate_max,
                known.order_rate_window_ms,
                known.notional_max,
                known.position_max,
                known.quantity_max,
                known.rate_window,
                known.rate_count,
                known.fee_tier,
            ],
        )


def key_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for number, key in state.keys.items():
        yield (
            7,
            number,
            0,
            [
                key.last_client_sequence,
                key.last_report_number,
                key.session,
                int(key.live),
                key.account,
                key.options,
                key.deadline_ns,
                key.countdown_account,
            ],
        )


def trade_entities(state: State) -> Iterator[tuple[int, int, int, list[int]]]:
    for (instrument, trade_id), trade in state.trades.items():
        yield (
            11,
            instrument,
            trade_id,
            [
                trade.number,
                trade.buyer,
                trade.seller,
                trade.price,
                trade.lots,
                trade.buyer_fee,
                trade.seller_fee,
                int(trade.busted),
            ],
        )
