"""Each limit with each action, and what ends a reservation."""

from __future__ import annotations

import pytest

from streams.risk.limits import CODES
from streams.risk.rules import RiskState, Told
from tests.support.risk import BTC, DAY_NS, ETH, EUR, MARGIN_NS, NOW_NS, SECOND_NS, WINDOW_NS, Desk

# Limit -> its numbers, and steps after which an order to buy 10 at 100 breaks it.
BREAKING = {
    "gross_exposure": ({"gross_exposure_units": 1000}, lambda desk: [desk.send(desk.new("buy", 10, 100))]),
    "net_exposure": ({"net_exposure_units": 1000}, lambda desk: [desk.trade("buy", 10, 100)]),
    "concentration": (
        {"concentration_ppm": 500_000, "concentration_floor_units": 1500},
        lambda desk: [desk.send(desk.new("buy", 5, 100, ETH), desk.new("buy", 4, 100))],
    ),
    "daily_loss": ({"daily_loss_units": 99}, lambda desk: [desk.trade("buy", 10, 100), desk.price(last=90)]),
    "drawdown": (
        {"drawdown_units": 99},
        lambda desk: [desk.trade("buy", 10, 100), desk.price(last=110), desk.price(last=100)],
    ),
    "order_rate": ({"order_rate": 2, "order_window_ms": 1000}, lambda desk: [desk.send(desk.new(), desk.new())]),
    "price_distance": ({"price_distance_ppm": 0}, lambda desk: [desk.price(bid=89, ask=91)]),
}
LOSSES = ("daily_loss", "drawdown")


def broken(name: str, action: str, account: int) -> tuple[Desk, Told]:
    """A desk on which an order breaks that limit of the account, or of the firm (account 0), and all that was told."""
    limits, steps = BREAKING[name]
    desk = Desk()
    desk.limit(limits | {"actions": {name: action}}, account=account)
    before = steps(desk)
    told = desk.send(desk.new("buy", 10, 100))
    told.alerts[:0] = [alert for one in before for alert in one.alerts]
    told.actions[:0] = [one for earlier in before for one in earlier.actions]
    return desk, told


@pytest.mark.parametrize("account", [1, 0], ids=["account", "firm"])
@pytest.mark.parametrize("name", BREAKING)
def test_an_order_that_breaks_a_limit_is_refused_with_its_code(name, account):
    _, told = broken(name, "refuse", account)
    assert [event["code"] for event in told.refused] == [CODES[name]]
    assert not told.passed
    assert not told.actions
    (alert,) = told.alerts
    assert (alert["code"], alert["action"], alert["account"]) == (CODES[name], "refuse", account)
    assert alert["scope"] == ("account" if account else "firm")
    assert alert["found"] > alert["limit"]
    assert str(alert["limit"]) in alert["text"]


@pytest.mark.parametrize("account", [1, 0], ids=["account", "firm"])
@pytest.mark.parametrize("name", BREAKING)
def test_an_order_that_breaks_a_limit_that_only_warns_passes_and_is_told_once(name, account):
    desk, told = broken(name, "warn", account)
    assert len(told.passed) == 1
    assert not told.refused
    assert [alert["action"] for alert in told.alerts] == ["warn"]
    assert not desk.send(desk.new("buy", 10, 100)).alerts


@pytest.mark.parametrize("account", [1, 0], ids=["account", "firm"])
@pytest.mark.parametrize("name", BREAKING)
def test_an_order_that_breaks_a_limit_that_halts_stops_the_account_here_and_on_the_engine(name, account):
    desk, told = broken(name, "halt", account)
    assert [event["code"] for event in told.refused] == ["account_halted" if name in LOSSES else CODES[name]]
    (action,) = told.actions
    assert (action["kind"], action["firm"], action["account"], action["reason"]) == ("halt", 1, 1, CODES[name])
    assert desk.code("sell", 1, 100) == "account_halted"
    assert not desk.send(desk.cancel()).refused
    assert desk.code("buy", 1, 100, account=2) == ("" if account else "account_halted")


@pytest.mark.parametrize("account", [1, 0], ids=["account", "firm"])
@pytest.mark.parametrize("name", BREAKING)
def test_an_order_that_breaks_a_limit_that_reduces_leaves_only_orders_against_the_position(name, account):
    desk, told = broken(name, "reduce_only", account)
    assert [event["code"] for event in told.refused] == ["reduce_only" if name in LOSSES else CODES[name]]
    (action,) = told.actions
    assert (action["kind"], action["account"]) == ("account_limits", 1)
    position = desk.state.firms[1].accounts[1].cells[BTC].position_lots
    assert action["fields"] == {"position_lots_max": max(1, position)}
    assert desk.code("buy", 1, 100) == "reduce_only"
    if position and name in LOSSES:
        assert desk.code("sell", position, 100) == ""


def test_what_only_warns_is_told_again_after_it_was_kept():
    desk = Desk(price_distance_ppm=0, actions={"price_distance": "warn"})
    desk.price(bid=99, ask=101)
    assert [len(desk.send(desk.new("buy", 1, ticks)).alerts) for ticks in (101, 101, 100, 101)] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("limit", "position", "side", "lots", "code"),
    [
        ({"gross_exposure_units": 1000}, 0, "buy", 10, ""),
        ({"gross_exposure_units": 1000}, 0, "buy", 11, "gross_exposure_exceeded"),
        ({"gross_exposure_units": 1000}, 10, "sell", 10, ""),
        ({"gross_exposure_units": 1000}, 10, "sell", 11, "gross_exposure_exceeded"),
        ({"gross_exposure_units": 1000}, -10, "sell", 1, "gross_exposure_exceeded"),
        ({"net_exposure_units": 1000}, 5, "buy", 5, ""),
        ({"net_exposure_units": 1000}, 5, "buy", 6, "net_exposure_exceeded"),
        ({"net_exposure_units": 1000}, 5, "sell", 15, ""),
        ({"net_exposure_units": 1000}, 5, "sell", 16, "net_exposure_exceeded"),
        ({"net_exposure_units": 1000}, -20, "buy", 20, ""),
        ({"concentration_ppm": 0, "concentration_floor_units": 1001}, 0, "buy", 10, ""),
        ({"concentration_ppm": 0, "concentration_floor_units": 1000}, 0, "buy", 10, "concentration_exceeded"),
        ({"daily_loss_units": 0}, 10, "buy", 1, ""),
        ({}, 10, "buy", 10**6, ""),
    ],
)
def test_a_limit_is_kept_up_to_its_number_and_what_only_closes_is_never_refused(limit, position, side, lots, code):
    desk = Desk()
    desk.limit(limit)
    if position:
        desk.trade("buy" if position > 0 else "sell", abs(position), 100)
    assert desk.code(side, lots, 100) == code


def test_orders_that_wait_for_the_engine_count():
    desk = Desk(gross_exposure_units=1000)
    assert [desk.code("buy", 4, 100) for _ in range(3)] == ["", "", "gross_exposure_exceeded"]


def test_a_firm_is_the_sum_of_its_accounts_and_another_firm_is_not():
    desk = Desk()
    desk.limit({"net_exposure_units": 1000}, account=0)
    assert desk.code("buy", 10, 100, account=1) == ""
    assert desk.code("buy", 1, 100, account=2) == "net_exposure_exceeded"
    desk.trade("sell", 5, 100, account=2)
    assert desk.code("buy", 5, 100, account=1) == ""
    assert desk.code("buy", 100, 100, account=3, firm=2) == ""


def test_each_quote_asset_is_held_against_the_limit_by_itself():
    desk = Desk(gross_exposure_units=1000)
    assert desk.code("buy", 10, 100) == ""
    assert desk.code("buy", 10, 100, EUR) == ""
    assert desk.code("buy", 1, 100, ETH) == "gross_exposure_exceeded"


def test_a_sell_counts_at_the_market_when_its_price_is_below():
    desk = Desk(gross_exposure_units=1000)
    desk.price(last=100)
    assert desk.code("sell", 11, 1) == "gross_exposure_exceeded"
    assert desk.code("sell", 10, 1) == ""


@pytest.mark.parametrize("order_type", ["market", "limit"])
def test_a_market_order_is_counted_at_the_market_and_refused_where_there_is_none(order_type):
    desk = Desk(gross_exposure_units=1000)
    assert desk.code("buy", 1, 0, order_type=order_type) == "no_price"
    desk.price(last=100)
    assert desk.code("buy", 11, 0, order_type=order_type) == "gross_exposure_exceeded"
    assert Desk().code("buy", 1, 0, order_type=order_type) == ""


def test_an_order_for_an_amount_counts_that_amount_and_never_as_reducing():
    desk = Desk(gross_exposure_units=1000)
    assert desk.code("buy", 1001, 0, order_type="market_by_quote") == "gross_exposure_exceeded"
    assert desk.code("buy", 1000, 0, order_type="market_by_quote") == ""


@pytest.mark.parametrize(
    ("side", "ticks", "more", "code"),
    [
        ("buy", 110, {}, ""),
        ("buy", 111, {}, "price_too_far"),
        ("buy", 1, {}, ""),
        ("sell", 90, {}, ""),
        ("sell", 89, {}, "price_too_far"),
        ("sell", 1000, {}, ""),
        ("buy", 0, {"order_type": "market"}, ""),
        ("buy", 111, {"order_type": "market"}, "price_too_far"),
        ("buy", 200, {"terms": {"trigger": 1, "trigger_price_ticks": 190}}, ""),
        ("buy", 210, {"terms": {"trigger": 1, "trigger_price_ticks": 190}}, "price_too_far"),
        ("sell", 1, {"terms": {"trigger": 3, "offset_ticks": 5}}, ""),
    ],
)
def test_a_price_may_be_so_far_beyond_the_market_on_its_aggressive_side(side, ticks, more, code):
    desk = Desk(price_distance_ppm=100_000)
    desk.price(bid=99, ask=101)
    assert desk.code(side, 1, ticks, **more) == code


def test_without_quotes_the_last_price_is_the_market_and_without_both_no_price_is_far():
    desk = Desk(price_distance_ppm=0)
    assert desk.code("buy", 1, 10**9) == ""
    desk.price(last=100)
    assert desk.code("buy", 1, 101) == "price_too_far"


def test_the_middle_of_an_odd_spread_is_not_rounded():
    desk = Desk(price_distance_ppm=0)
    desk.price(bid=100, ask=101)
    assert desk.code("buy", 1, 101) == "price_too_far"
    assert desk.code("buy", 1, 100) == ""


def test_order_rate_begins_anew_in_the_next_window_and_refused_orders_do_not_count():
    desk = Desk(order_rate=2, order_window_ms=1000)
    assert [desk.code() for _ in range(4)] == ["", "", "order_rate_exceeded", "order_rate_exceeded"]
    desk.now_ns += SECOND_NS
    assert [desk.code() for _ in range(3)] == ["", "", "order_rate_exceeded"]


@pytest.mark.parametrize("account", [1, 0])
def test_cancels_are_refused_by_a_cancel_rate_only(account):
    desk = Desk()
    desk.limit({"cancel_rate": 2, "cancel_window_ms": 1000, "order_rate": 0, "order_window_ms": 1000}, account=account)
    codes = [[event["code"] for event in desk.send(desk.cancel()).refused] for _ in range(3)]
    assert codes == [[], [], ["cancel_rate_exceeded"]]
    desk.now_ns += SECOND_NS
    assert not desk.send(desk.cancel()).refused
    assert desk.code() == "order_rate_exceeded"


@pytest.mark.parametrize("action", ["warn", "halt", "reduce_only"])
def test_a_cancel_rate_may_warn_or_stop_new_orders(action):
    desk = Desk(cancel_rate=0, cancel_window_ms=1000, actions={"cancel_rate": action})
    told = desk.send(desk.cancel())
    assert [alert["action"] for alert in told.alerts] == [action]
    assert bool(told.passed) == (action == "warn")
    assert bool(told.actions) == (action != "warn")


def test_reduce_only_takes_no_more_than_open_and_reserved_orders_leave():
    desk = Desk(drawdown_units=0, actions={"drawdown": "reduce_only"})
    desk.trade("buy", 10, 100)
    desk.price(last=99)
    codes = [desk.code("sell", lots, 100) for lots in (11, 6, 5, 4, 1)]
    assert codes == ["reduce_only", "", "reduce_only", "", "reduce_only"]
    assert desk.code("sell", 1, 100, order_type="market_by_quote") == "reduce_only"
    assert desk.code("sell", 1, 100, ETH) == "reduce_only"


def test_a_short_position_is_reduced_by_buying():
    desk = Desk(daily_loss_units=0, actions={"daily_loss": "reduce_only"})
    desk.trade("sell", 10, 100)
    desk.price(last=101)
    assert [desk.code(side, 10, 100) for side in ("sell", "buy", "buy")] == ["reduce_only", "", "reduce_only"]


# ---- Losses ----------------------------------------------------------------------------------------------------------


def test_a_loss_is_realised_and_unrealised_and_fees():
    desk = Desk(daily_loss_units=100, actions={"daily_loss": "halt"})
    desk.trade("buy", 10, 100, fee_units=30)
    assert not desk.price(last=93).alerts
    assert not desk.trade("sell", 10, 93).alerts
    told = desk.trade("buy", 1, 93, fee_units=1)
    assert [(alert["limit"], alert["found"]) for alert in told.alerts] == [(100, 101)]
    assert [action["kind"] for action in told.actions] == ["halt"]


def test_the_days_loss_begins_anew_at_midnight_and_the_drawdown_does_not():
    desk = Desk(daily_loss_units=100, drawdown_units=150)
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    desk.now_ns = (NOW_NS // DAY_NS + 1) * DAY_NS
    assert not desk.price(last=86).alerts
    assert [alert["code"] for alert in desk.price(last=84).alerts] == ["drawdown_exceeded"]
    assert [alert["code"] for alert in desk.price(last=79).alerts] == ["daily_loss_exceeded"]


def test_drawdown_is_from_the_highest_profit():
    desk = Desk(drawdown_units=100)
    desk.trade("buy", 10, 100)
    alerts = [len(desk.price(last=price).alerts) for price in (150, 141, 140, 139, 139, 145, 139)]
    assert alerts == [0, 0, 0, 1, 0, 0, 1]


def test_a_halted_account_is_told_once_and_a_loss_of_the_firm_halts_all_its_accounts():
    desk = Desk()
    desk.learn(accounts=[[7, 1, 0]])
    desk.limit({"daily_loss_units": 99, "actions": {"daily_loss": "halt"}}, account=0)
    desk.trade("buy", 10, 100)
    told = desk.price(last=90)
    assert [(action["kind"], action["account"]) for action in told.actions] == [("halt", 1), ("halt", 7)]
    assert len({action["action_id"] for action in told.actions}) == 2
    assert not desk.price(last=80).actions
    assert desk.code(account=7) == "account_halted"


def test_a_busted_trade_gives_position_and_money_back():
    desk = Desk(daily_loss_units=0)
    desk.trade("buy", 10, 100, fee_units=5)
    desk.report(desk.event("adjustment", symbol=BTC, side="buy", position_change_lots=-10, amount_units=1005))
    ledger = desk.state.firms[1].accounts[1].ledgers["USD"]
    assert (ledger.size_units, ledger.profit_units) == (0, 0)


# ---- Limits changed, and what they lift -----------------------------------------------------------------------------


def test_limits_hold_exactly_as_last_set_and_the_audit_keeps_both():
    desk = Desk(gross_exposure_units=100)
    assert desk.code("buy", 2, 100) == "gross_exposure_exceeded"
    (audit,) = desk.limit({"order_rate": 5, "order_window_ms": 100}).audits
    assert (audit["what"], audit["who"], audit["account"]) == ("limits_changed", "admin", 1)
    assert audit["before"] == {"gross_exposure_units": 100}
    assert audit["after"] == {"order_rate": 5, "order_window_ms": 100}
    assert desk.code("buy", 2, 100) == ""


def test_a_refused_change_is_audited_and_changes_nothing():
    desk = Desk(gross_exposure_units=100)
    (audit,) = desk.limit({}, code="signature_invalid").audits
    assert (audit["what"], audit["code"]) == ("limits_refused", "signature_invalid")
    assert desk.code("buy", 2, 100) == "gross_exposure_exceeded"


def test_a_nonce_changes_limits_once():
    desk = Desk()
    desk.limit({"gross_exposure_units": 100}, nonce="n")
    assert [audit["code"] for audit in desk.limit({}, nonce="n").audits] == ["nonce_repeated"]
    assert desk.code("buy", 2, 100) == "gross_exposure_exceeded"


def test_limits_set_below_a_loss_act_at_once():
    desk = Desk()
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    told = desk.limit({"daily_loss_units": 99, "actions": {"daily_loss": "halt"}})
    assert [action["kind"] for action in told.actions] == ["halt"]


def test_resume_lifts_a_halt_here_and_on_the_engine():
    desk = Desk(daily_loss_units=99, actions={"daily_loss": "halt"})
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    told = desk.limit({"daily_loss_units": 200}, resume=True)
    assert [(action["kind"], action["account"]) for action in told.actions] == [("resume", 1)]
    assert told.audits[0]["after"]["resume"] is True
    assert desk.code() == ""


def test_resume_of_what_still_loses_too_much_halts_again():
    desk = Desk(daily_loss_units=99, actions={"daily_loss": "halt"})
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    told = desk.limit({"daily_loss_units": 99, "actions": {"daily_loss": "halt"}}, resume=True)
    assert [action["kind"] for action in told.actions] == ["resume", "halt"]


def test_resume_of_reduce_only_gives_the_engine_its_own_limit_back():
    desk = Desk(daily_loss_units=99, actions={"daily_loss": "reduce_only"})
    desk.learn(accounts=[[1, 1, 500]])
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    desk.learn(accounts=[[1, 1, 10]])  # what risk asked for, done
    (action,) = desk.limit({}, resume=True).actions
    assert (action["kind"], action["fields"]) == ("account_limits", {"position_lots_max": 500})


def test_an_account_whose_firm_is_halted_stays_halted_on_the_engine_when_it_is_resumed():
    desk = Desk()
    for account in (1, 0):
        desk.limit({"daily_loss_units": 99, "actions": {"daily_loss": "halt"}}, account=account)
    desk.trade("buy", 10, 100)
    desk.price(last=90)
    assert not desk.limit({}, account=1, resume=True).actions
    assert desk.code() == "account_halted"
    assert [action["kind"] for action in desk.limit({}, account=0, resume=True).actions] == ["resume"]


# ---- Reservations ----------------------------------------------------------------------------------------------------


def reserved(desk: Desk) -> tuple[int, int]:
    ledger = desk.state.firms[1].accounts[1].ledgers["USD"]
    return len(desk.state.reservations), ledger.buy_units + ledger.sell_units


def test_an_accepted_order_is_open_instead_of_reserved():
    desk = Desk()
    order = desk.new("buy", 10, 100)
    desk.send(order)
    assert reserved(desk) == (1, 1000)
    desk.report(desk.accepted(order))
    assert reserved(desk) == (0, 1000)


@pytest.mark.parametrize(("code", "left"), [("insufficient_funds", (0, 0)), ("nonce_repeated", (1, 1000))])
def test_a_refusal_of_the_engine_frees_but_a_repeat_says_nothing(code, left):
    desk = Desk()
    order = desk.new("buy", 10, 100)
    desk.send(order)
    desk.report(desk.event("rejected", nonce=order["nonce"], code=code, kind="new_order", client_order_id=0))
    assert reserved(desk) == left


@pytest.mark.parametrize(("stage", "left"), [("submitter", (0, 0)), ("validation", (1, 1000)), ("risk", (1, 1000))])
def test_what_the_submitter_gave_up_is_freed(stage, left):
    desk = Desk()
    order = desk.new("buy", 10, 100)
    desk.send(order)
    desk.state.freed([{"stage": stage, "nonce": order["nonce"]}, {"stage": "submitter"}], desk.now_ns)
    assert reserved(desk) == left


def test_an_order_that_the_submitter_gave_up_and_the_engine_took_is_open():
    desk = Desk()
    order = desk.new("buy", 10, 100)
    desk.send(order)
    desk.state.freed([{"stage": "submitter", "nonce": order["nonce"]}], desk.now_ns)
    desk.report(desk.accepted(order))
    assert reserved(desk) == (0, 1000)


def test_a_reservation_ends_when_no_engine_would_take_the_order_any_more():
    desk = Desk()
    desk.send(desk.new("buy", 10, 100))
    desk.now_ns += WINDOW_NS + MARGIN_NS
    desk.send()
    assert reserved(desk) == (1, 1000)
    desk.now_ns += SECOND_NS
    desk.send()
    assert reserved(desk) == (0, 0)
    assert not desk.state.decisions


def test_an_order_older_than_the_window_is_refused():
    desk = Desk()
    order = desk.new()
    desk.now_ns += WINDOW_NS + 1
    assert [event["code"] for event in desk.send(order).refused] == ["expired"]


def test_fills_cancels_and_decrements_leave_what_remains():
    desk = Desk()
    order = desk.new("buy", 10, 100)
    accepted = desk.accepted(order)
    desk.send(order)
    desk.report(accepted, desk.on("filled", accepted, 4, 6, notional_units=400))
    assert reserved(desk) == (0, 600)
    desk.report(desk.on("cancelled", accepted, 2, 4, code="cancelled_self_trade"))
    assert reserved(desk) == (0, 400)
    desk.report(desk.on("cancelled", accepted, 4, 0))
    assert reserved(desk) == (0, 0)
    assert not desk.state.firms[1].orders


def test_a_replacement_reserves_what_it_adds_until_it_is_told():
    desk = Desk()
    order = desk.new("buy", 10, 100, client_order_id=5)
    accepted = desk.accepted(order)
    desk.send(order)
    desk.report(accepted, desk.on("filled", accepted, 4, 6, notional_units=400))
    larger = desk.replace(12, 110, order_id=accepted["order_id"])
    desk.send(larger)
    assert reserved(desk) == (1, 8 * 110)
    desk.report(desk.on("replaced", accepted, 12, 8, price_ticks=110, nonce=larger["nonce"]))
    assert reserved(desk) == (0, 8 * 110)
    desk.send(desk.replace(5, 100, target_client_order_id=5))
    assert reserved(desk) == (0, 8 * 110)


def test_a_replacement_of_an_order_not_heard_of_counts_on_both_sides_until_it_is_told():
    desk = Desk()
    replacement = desk.replace(10, 100, order_id=99)
    desk.send(replacement)
    assert reserved(desk) == (1, 2000)
    desk.report(desk.event("rejected", nonce=replacement["nonce"], code="unknown_order", kind="replace"))
    assert reserved(desk) == (0, 0)


def test_while_only_reducing_a_replacement_may_shrink_but_not_grow():
    desk = Desk(daily_loss_units=0, actions={"daily_loss": "reduce_only"})
    order = desk.new("buy", 10, 50)
    accepted = desk.accepted(order)
    desk.send(order)
    desk.report(accepted)
    desk.trade("buy", 1, 100)
    desk.price(last=99)
    codes = [
        [event["code"] for event in desk.send(desk.replace(lots, 50, order_id=order_id)).refused]
        for lots, order_id in ((11, accepted["order_id"]), (9, accepted["order_id"]), (9, 12345))
    ]
    assert codes == [["reduce_only"], [], ["reduce_only"]]


def test_the_same_order_again_gets_the_same_answer_and_reserves_once():
    desk = Desk(gross_exposure_units=1000)
    passed, refused = desk.new("buy", 10, 100), desk.new("buy", 1, 100)
    desk.send(passed, refused)
    first = desk.told
    desk.trade("buy", 10**6, 1)
    desk.limit({})
    second = desk.send(refused, passed)
    assert (second.passed, second.refused) == (first.passed, first.refused)
    assert len(desk.state.reservations) == 1


def test_events_not_above_the_mark_are_passed_over():
    desk = Desk()
    events = [desk.filled(side, lots, 100, done=True, remaining_lots=0) for side, lots in (("buy", 10), ("sell", 4))]
    desk.report(*events)
    desk.report(*events)
    assert desk.state.firms[1].accounts[1].cells[BTC].position_lots == 6


def test_prices_that_come_late_do_not_set_the_mark_back():
    desk = Desk()
    desk.trade("buy", 10, 100)
    desk.learn(prices={BTC: [0, 50, 0, 0, desk.now_ns]})
    assert desk.state.firms[1].accounts[1].ledgers["USD"].position_units == 1000


def test_a_loaded_state_is_the_dumped_one():
    desk = Desk(gross_exposure_units=5000, order_rate=3, order_window_ms=1000, daily_loss_units=5)
    order = desk.new("buy", 10, 100, client_order_id=4)
    desk.send(order, desk.new("sell", 3, 100, ETH), desk.new("buy", 10**6, 100))
    accepted = desk.accepted(order)
    desk.report(accepted, desk.on("filled", accepted, 4, 6, notional_units=400))
    desk.trade("sell", 9, 90, EUR, account=2)
    desk.price(last=95)
    again = RiskState.load(desk.state.dump(), WINDOW_NS, MARGIN_NS)
    assert again.dump() == desk.state.dump()
    figures = [
        {name: getattr(ledger, name) for name in ledger.__slots__}
        for state in (desk.state, again)
        for scope in state.firms[1].scopes()
        for ledger in scope.ledgers.values()
    ]
    assert figures[: len(figures) // 2] == figures[len(figures) // 2 :]
