"""What may pass, and what follows from what happened: folds over messages, and one decision. Pure: no clock, no Kafka.

A RiskState is one partition of the topics keyed by firm. It is changed by five folds only, and the same folds in the
same order give the same state and the same answers: that is how it is recovered (journal.py).

    learn       instruments, prices and accounts, as far as they are new
    orders      orders.validated: each passes, or is refused with a code
    executions  events of the engine: open orders, positions, cash
    freed       orders.rejected of the submitter: what was passed did not reach the engine
    change      a verified envelope of risk.limits

Time is the messages': `time_ns` of a fold is when the broker appended the message, or the engine's received_ns. It
moves three things: the window in which an order may still be passed, the expiry of reservations and decisions, and the
day (UTC).

An order is decided once. Its decision is kept for as long as its nonce could be used, and the same order again
(validation repeats what it is not sure to have sent) gets the same answer and reserves nothing twice.

A reservation is what a passed order would add. It ends when the engine reports the order by its nonce (accepted,
replaced, applied, rejected), when the submitter gives it up, or when no engine would take the order any more (its
timestamp + window + margin). `rejected` with nonce_repeated ends nothing: it says nothing about the first use.

Topics come in no order among each other, and need none. An event of the engine that names a nonce comes behind the
pass of that order (only what was passed is submitted), unless the order went to the engine another way: then nothing
was reserved, and the order counts from its acceptance. The submitter's rejection may come before or behind the engine's
event: the first frees, the second finds nothing to free, and an order that the engine did take is open by its event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streams.risk.book import Cell, Firm, Ledger, Order, Price, Scope, dump_firm, load_firm, worth
from streams.risk.limits import CODES, HALT, LIMIT_MAX, PPM, REDUCE_ONLY, UNLIMITED, WARN, Limits

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
SHARD_SHIFT: Final = 64

Event = dict[str, Any]
Verdict = tuple[str, str]  # code, text
Cause = tuple[str, int]  # names an event, and when that was
Reserved = tuple[Cell, int, int, int, int]  # what Cell.open was given
Aim = tuple[Price, bool]  # market and side of an order, to tell how far its price is
Breach = tuple[str, str, int, int]  # limit without its unit, the same with its quote asset if it has one, limit, found

_IN_MONEY: Final = ("gross_exposure", "net_exposure", "concentration", "daily_loss", "drawdown")
_TEXTS: Final = {
    "gross_exposure": "gross exposure must stay within {} units, would be {}",
    "net_exposure": "net exposure must stay within {} units, would be {}",
    "concentration": "one symbol's share of the gross exposure must stay within {} millionths, would be {}",
    "daily_loss": "the day's loss must stay within {} units, was {}",
    "drawdown": "the fall from the highest profit must stay within {} units, was {}",
    "order_rate": "orders in a window must stay within {}, this would be number {}",
    "cancel_rate": "cancels in a window must stay within {}, this would be number {}",
    "price_distance": "a price must be within {} millionths of the market, was {}",
}
_NO_PRICE: Final = ("no_price", "a market order under a limit in money needs a trade or a quote, there was none")
_TOO_OLD: Final = ("expired", "an order must reach the engine before its timestamp leaves the nonce window, it did not")
_LIMITS: Final = "limits"  # what stands instead of a code with the nonce of an envelope of limits, and its place


class Told:
    """What is to be sent: answers in the order of the orders, and what risk says by itself."""

    __slots__ = ("actions", "alerts", "audits", "passed", "refused")

    def __init__(self) -> None:
        self.passed: list[Event] = []
        self.refused: list[Event] = []
        self.alerts: list[Event] = []
        self.actions: list[Event] = []
        self.audits: list[Event] = []

    @property
    def by_itself(self) -> bool:
        """There is something that no message will ask for again."""
        return bool(self.alerts or self.actions or self.audits)


class RiskState:
    """The firms of one partition."""

    def __init__(self, window_ns: int, margin_ns: int) -> None:
        self.window_ns = window_ns
        self.margin_ns = margin_ns
        self.now_ns = 0
        self.day = 0
        self.prices: dict[str, Price] = {}
        self.firms: dict[int, Firm] = {}
        self.decisions: dict[str, Verdict | None] = {}  # nonce -> None: passed
        self.reservations: dict[str, Reserved] = {}  # by nonce
        self._expiries: dict[int, list[str]] = {}  # second -> nonces of both

    # ---- Folds -------------------------------------------------------------------------------------------------------

    def learn(self, facts: Mapping[str, Any], told: Told) -> None:
        """Instruments {symbol: [scale, quote, shard]}, accounts [[account, firm, position_lots_max]], and prices
        {symbol: [seq, last_ticks, bid_ticks, ask_ticks, received_ns]}; 0: none."""
        for symbol, (scale, quote, shard) in facts.get("instruments", {}).items():
            if symbol not in self.prices:
                self.prices[symbol] = Price(symbol, scale, quote, shard)
        for number, firm_number, position_lots_max in facts.get("accounts", ()):
            firm = self._firm(firm_number)
            account = firm.account(number)
            if not account.reduce_only and not firm.reduce_only:
                account.engine_position_lots_max = position_lots_max
        for symbol, (seq, last, bid, ask, received_ns) in facts.get("prices", {}).items():
            price = self.prices.get(symbol)
            if price is None or seq < price.seq:
                continue
            self.advance(received_ns)
            price.seq = seq
            price.middle_doubled = bid + ask if bid and ask else 2 * (bid or ask)
            price.last_ticks = last or price.last_ticks
            if price.holders:
                self._look({price: (f"{price.shard}:{seq}", received_ns)}, {}, told)

    def orders(self, orders: Iterable[Event], time_ns: int, told: Told) -> None:
        """Decide each; answers go to told.passed and told.refused."""
        self.advance(time_ns)
        decisions, passed = self.decisions, told.passed
        for order in orders:
            nonce = order["nonce"]
            if nonce in decisions:
                verdict = decisions[nonce]
            else:
                verdict = self._decide(order, time_ns, told)
                self._decided(nonce, order["timestamp_ns"], verdict)
            if verdict is None:
                passed.append(order)
            else:
                told.refused.append(rejection(order, verdict))

    def executions(self, events: Iterable[Event], told: Told) -> None:
        """Apply what is above each firm's mark. Losses are looked at once, behind the last event."""
        firms = self.firms
        moved: dict[Price, Cause] = {}
        touched: dict[Ledger, tuple[Firm, Scope, Cause]] = {}
        for event in events:
            firm = firms.get(event["firm"]) or self._firm(event["firm"])
            shard, mark = event["shard"], (event["seq"], event["n"])
            known = firm.marks.get(shard)
            if known is not None and mark <= known:
                continue
            firm.marks[shard] = mark
            if event["received_ns"] > self.now_ns:
                self.advance(event["received_ns"])
            kind = event["type"]
            if kind == "filled":
                self._fill(firm, event, moved, touched)
                self._order(firm, event, None)
            elif kind == "accepted" or kind == "replaced":
                self._order(firm, event, self.reservations.pop(event.get("nonce", ""), None))
            elif kind == "cancelled" or kind == "triggered":
                self._order(firm, event, None)
            elif kind == "applied" or (kind == "rejected" and event["code"] != "nonce_repeated"):
                self._free(event.get("nonce", ""))
            elif kind == "adjustment":
                self._move(firm, event, event["position_change_lots"], event["amount_units"], touched)
        if touched:
            self._look(moved, touched, told)

    def freed(self, rejections: Iterable[Event], time_ns: int) -> None:
        """Free what the submitter gave up. Rejections of other stages are not looked at."""
        self.advance(time_ns)
        for event in rejections:
            if event["stage"] == "submitter" and "nonce" in event:
                self._free(event["nonce"])

    def change(self, change: Mapping[str, Any], time_ns: int, told: Told) -> None:
        """Apply an envelope of risk.limits, or say why not.

        {place, who, firm, account, code}; nonce and timestamp_ns if it is authentic; limits and resume if it is good.
        """
        self.advance(time_ns)
        code, nonce = change["code"], change.get("nonce")
        if nonce is not None:
            if nonce not in self.decisions:
                self._decided(nonce, change["timestamp_ns"], (_LIMITS, change["place"]))
            elif self.decisions[nonce] == (_LIMITS, change["place"]):
                return  # the same envelope, read again
            else:
                code = "nonce_repeated"
        audit = {"type": "audit", "audit_id": change["place"], "who": change["who"], "what": "limits_changed",
                 "firm": change["firm"], "account": change["account"]}  # fmt: skip
        if code:
            told.audits.append(audit | {"what": "limits_refused", "code": code, "time_ns": time_ns})
            return
        firm = self._firm(change["firm"])
        scope = firm.account(change["account"]) if change["account"] else firm
        before = scope.limits.named if scope.limits is not None else {}
        scope.limits = Limits(change["limits"]) if change["limits"] else None
        scope.settle()
        after = dict(change["limits"])
        if change["resume"]:
            after["resume"] = True
            self._resume(firm, scope, change["place"], time_ns, told)
        told.audits.append(audit | {"before": before, "after": after, "time_ns": time_ns})
        for ledger in scope.ledgers.values():
            self._watch(firm, scope, ledger, change["place"], time_ns, told)

    def advance(self, time_ns: int) -> None:
        """It is at least this late: what is over goes, and a day may begin."""
        if time_ns <= self.now_ns:
            return
        second = time_ns // SECOND_NS
        if second > self.now_ns // SECOND_NS:
            for old in sorted(bucket for bucket in self._expiries if bucket < second):
                for nonce in self._expiries.pop(old):
                    self.decisions.pop(nonce, None)
                    self._free(nonce)
            if time_ns // DAY_NS > self.day:
                self.day = time_ns // DAY_NS
                for firm in self.firms.values():
                    for scope in firm.scopes():
                        for ledger in scope.ledgers.values():
                            ledger.day_open_units = ledger.profit_units
        self.now_ns = time_ns

    # ---- The decision ------------------------------------------------------------------------------------------------

    def _decide(self, order: Event, time_ns: int, told: Told) -> Verdict | None:
        if order["timestamp_ns"] + self.window_ns < time_ns:
            return _TOO_OLD
        firm = self.firms.get(order["firm"]) or self._firm(order["firm"])
        account = firm.accounts.get(order["account"]) or firm.account(order["account"])
        action = order["action"]
        if action == "new":
            return self._new(firm, account, order, told)
        if action == "replace":
            return self._replace(firm, account, order, told)
        return self._cancel(firm, account, order, told)

    def _new(self, firm: Firm, account: Scope, order: Event, told: Told) -> Verdict | None:
        price = self.prices.get(order["symbol"])
        if price is None:
            return "unknown_instrument", f"the symbol must have been defined, was {order['symbol']!r:.40}"
        cell = account.cells.get(price.symbol) or account.cell(price, firm)
        buy, ticks, lots = order["side"] == "buy", order["price_ticks"], order["quantity_lots"]
        if order["order_type"] == "market_by_quote":
            units, lots = lots, 0
        else:
            each = ticks if buy and ticks else max(ticks, price.mark_ticks)
            if not each and needs_money(firm, account):
                return _NO_PRICE
            units = lots * each * price.scale
        if account.watched or firm.watched:
            reducing = 0 < lots <= cell.room_lots(buy)
            verdict = self._stopped(firm, account, reducing) if account.stopped or firm.stopped else None
            if verdict is None:
                verdict = self._check(
                    firm, cell, order, units if buy else 0, 0 if buy else units, (price, buy), not reducing, told
                )
            if verdict is not None:
                return verdict
        if buy:
            self.reservations[order["nonce"]] = (cell, lots, units, 0, 0)
            cell.open_buy(lots, units)
        else:
            self.reservations[order["nonce"]] = (cell, 0, 0, lots, units)
            cell.open_sell(lots, units)
        return None

    def _replace(self, firm: Firm, account: Scope, order: Event, told: Told) -> Verdict | None:
        price = self.prices.get(order["symbol"])
        if price is None:
            return "unknown_instrument", f"the symbol must have been defined, was {order['symbol']!r:.40}"
        cell = account.cell(price, firm)
        ticks, lots = order["price_ticks"], order["quantity_lots"]
        order_id = order.get("order_id") or 0
        key = price.shard << SHARD_SHIFT | order_id if order_id else -1
        if key < 0:
            key = firm.by_client_id.get((account.number, order.get("target_client_order_id", 0)), -1)
        found = firm.orders.get(key)
        if found is None or found.cell is not cell:
            # Not heard of (yet): it might be on either side, and all of it is counted until the engine has spoken.
            units, aim = lots * max(ticks, price.mark_ticks) * price.scale, None
            more = (cell, lots, units, lots, units)
        else:
            rest = max(0, lots - found.filled_lots)
            units = rest * worth(price, found.buy, ticks) * price.scale
            more_lots, more_units = max(0, rest - found.remaining_lots), max(0, units - found.units)
            aim = (price, found.buy)
            more = (cell, more_lots, more_units, 0, 0) if found.buy else (cell, 0, 0, more_lots, more_units)
        if account.watched or firm.watched:
            grows = bool(more[2] or more[4])
            if found is not None and grows:
                grows = not more[1] + more[3] <= cell.room_lots(found.buy)
            verdict = self._stopped(firm, account, not grows) or self._check(
                firm, cell, order, more[2], more[4], aim, grows, told
            )
            if verdict is not None:
                return verdict
        if any(more[1:]):
            self.reservations[order["nonce"]] = more
            cell.open(*more[1:])
        return None

    def _cancel(self, firm: Firm, account: Scope, order: Event, told: Told) -> Verdict | None:
        """A cancel is refused by a cancel rate only."""
        verdict: Verdict | None = None
        scopes = [scope for scope in (account, firm) if scope.limits is not None]
        for scope in scopes:
            limits = scope.limits
            assert limits is not None
            count = 1 + (scope.cancel_count if self._cancel_window(scope, order) == scope.cancel_window else 0)
            if count > limits.cancel_rate:
                broken = [("cancel_rate", "cancel_rate", limits.cancel_rate, count)]
                verdict = self._break(firm, scope, broken, order, told) or verdict
            else:
                scope.raised.discard("cancel_rate")
        if verdict is None:
            for scope in scopes:
                window = self._cancel_window(scope, order)
                if window != scope.cancel_window:
                    scope.cancel_window, scope.cancel_count = window, 0
                scope.cancel_count += 1
        return verdict

    @staticmethod
    def _cancel_window(scope: Scope, order: Event) -> int:
        assert scope.limits is not None
        return int(max(scope.cancel_window, order["appended_ns"] // scope.limits.cancel_window_ns))

    @staticmethod
    def _stopped(firm: Firm, account: Scope, reducing: bool) -> Verdict | None:
        for scope in (account, firm):
            if scope.halted:
                return "account_halted", f"{scope.name} must not be halted, was by risk: {scope.halted}"
        for scope in (account, firm):
            if scope.reduce_only and not reducing:
                return (
                    "reduce_only",
                    f"while {scope.name} may only reduce ({scope.reduce_only}), an order must be against its position "
                    "and no larger than what open orders leave of it",
                )
        return None

    def _check(
        self, firm: Firm, cell: Cell, order: Event, buy_units: int, sell_units: int, aim: Aim | None, grows: bool,
        told: Told,
    ) -> Verdict | None:  # fmt: skip
        """Against the account's limits and the firm's. What passes is counted in both rates."""
        account, above = cell.scope, cell.up
        for scope, own in ((account, cell), (firm, above)):
            limits = scope.limits
            if limits is None or own is None:
                continue
            far_ppm = 0
            if limits.price_distance_ppm != UNLIMITED and aim is not None:
                far_ppm = distance_ppm(aim[0], aim[1], order)
            broken = breaches(scope, limits, own, buy_units, sell_units, far_ppm, grows, order["appended_ns"])
            if broken or scope.raised:
                clear(scope, own.ledger, grows, broken)
                verdict = self._break(firm, scope, broken, order, told)
                if verdict is not None:
                    return verdict
        account.order_count += 1
        firm.order_count += 1
        return None

    # ---- What a broken limit brings ----------------------------------------------------------------------------------

    def _break(
        self, firm: Firm, scope: Scope, broken: list[Breach], order: Event, told: Told
    ) -> Verdict | None:
        """Tell each limit that an order breaks; the first that does more than warn refuses it."""
        verdict: Verdict | None = None
        for name, key, limit, found in broken:
            breach = (name, key, limit, found)
            action = self._tell(firm, scope, breach, order["nonce"], order["appended_ns"], told, order.get("symbol"))
            if action != WARN and verdict is None:
                verdict = CODES[name], _TEXTS[name].format(limit, found)
        return verdict

    def _watch(self, firm: Firm, scope: Scope, ledger: Ledger, cause: str, time_ns: int, told: Told) -> None:
        """Look at what a scope has lost."""
        loss, fall = ledger.look()
        limits = scope.limits
        if limits is None:
            return
        for name, limit, found in (("daily_loss", limits.daily_loss, loss), ("drawdown", limits.drawdown, fall)):
            key = f"{name}:{ledger.quote}"
            if found > limit:
                self._tell(firm, scope, (name, key, limit, found), cause, time_ns, told, None)
            else:
                scope.raised.discard(key)

    def _tell(
        self, firm: Firm, scope: Scope, broken: Breach, cause: str, time_ns: int, told: Told, symbol: str | None
    ) -> str:
        """Raise an alert if it is new, and do what the limit's action says. Returns the action."""
        name, key, limit, found = broken
        assert scope.limits is not None
        action = scope.limits.what[name]
        if key in scope.raised:
            return action
        scope.raised.add(key)
        code = CODES[name]
        alert_id = f"{key.replace(name, code, 1)}:{firm.firm_number}:{scope.number}:{cause}"
        alert = {
            "type": "alert", "alert_id": alert_id, "code": code, "action": action,
            "scope": "account" if scope.number else "firm", "firm": firm.firm_number, "account": scope.number,
            "limit": min(limit, LIMIT_MAX), "found": min(found, LIMIT_MAX), "text": _TEXTS[name].format(limit, found),
            "time_ns": time_ns,
        }  # fmt: skip
        if symbol is not None:
            alert["symbol"] = symbol
        told.alerts.append(alert)
        if action == HALT and not scope.halted:
            scope.halted = code
            scope.settle()
            for account in accounts_of(firm, scope):
                told.actions.append(action_of(firm, account, "halt", {}, code, alert_id, time_ns))
        elif action == REDUCE_ONLY and not scope.reduce_only:
            scope.reduce_only = code
            scope.settle()
            for account in accounts_of(firm, scope):
                fields = {"position_lots_max": max(1, *(abs(cell.position_lots) for cell in account.cells.values()), 0)}
                told.actions.append(action_of(firm, account, "account_limits", fields, code, alert_id, time_ns))
        return action

    def _resume(self, firm: Firm, scope: Scope, place: str, time_ns: int, told: Told) -> None:
        """Lift what risk set on a scope. What the other scope still forbids an account stays so on the engine."""
        was_halted, was_reduced = scope.halted, scope.reduce_only
        scope.halted = scope.reduce_only = ""
        scope.settle()
        scope.raised.clear()
        for account in accounts_of(firm, scope):
            if was_halted and not account.halted and not firm.halted:
                told.actions.append(action_of(firm, account, "resume", {}, "resumed", place, time_ns))
            if was_reduced and not account.reduce_only and not firm.reduce_only:
                fields = {"position_lots_max": account.engine_position_lots_max}
                told.actions.append(action_of(firm, account, "account_limits", fields, "resumed", place, time_ns))

    # ---- What the engine says ----------------------------------------------------------------------------------------

    def _order(self, firm: Firm, event: Event, reserved: Reserved | None) -> None:
        """An order is, from now on, what the event says. What was reserved for it goes."""
        key = event["shard"] << SHARD_SHIFT | event["order_id"]
        order = firm.orders.get(key)
        remaining = event["remaining_lots"]
        if not remaining or event["done"]:
            if order is not None:
                order.become(0)
                del firm.orders[key]
                if order.client_order_id:
                    name = (order.cell.scope.number, order.client_order_id)
                    if firm.by_client_id.get(name) == key:
                        del firm.by_client_id[name]
        elif order is None:
            account = firm.accounts.get(event["account"]) or firm.account(event["account"])
            cell = account.cells.get(event["symbol"]) or account.cell(self.prices[event["symbol"]], firm)
            buy = event["side"] == "buy"
            order = firm.orders[key] = Order(cell, buy, event["client_order_id"])
            order.worth_ticks = worth(cell.price, buy, event["price_ticks"])
            if order.client_order_id:
                firm.by_client_id[event["account"], order.client_order_id] = key
            order.become(remaining)
        else:
            kind = event["type"]
            if kind == "replaced" or kind == "triggered":
                order.worth_ticks = worth(order.cell.price, order.buy, event["price_ticks"])
            elif kind == "filled":
                order.filled_lots += event["quantity_lots"]
            order.become(remaining)
        if reserved is not None:
            cell, buy_lots, buy_units, sell_lots, sell_units = reserved
            cell.open(-buy_lots, -buy_units, -sell_lots, -sell_units)

    def _fill(
        self, firm: Firm, event: Event, moved: dict[Price, Cause], touched: dict[Ledger, tuple[Firm, Scope, Cause]]
    ) -> None:
        price = self.prices[event["symbol"]]
        seq, ticks = event["seq"], event["price_ticks"]
        if seq >= price.seq:
            price.seq = seq
            if ticks != price.last_ticks:
                price.last_ticks = ticks
                moved[price] = (f"{event['shard']}:{seq}:{event['n']}", event["received_ns"])
        lots, units = event["quantity_lots"], event["notional_units"]
        if event["side"] == "sell":
            self._move(firm, event, -lots, units - event["fee_units"], touched)
        else:
            self._move(firm, event, lots, -units - event["fee_units"], touched)

    def _move(
        self, firm: Firm, event: Event, lots: int, cash_units: int, touched: dict[Ledger, tuple[Firm, Scope, Cause]]
    ) -> None:
        account = firm.accounts.get(event["account"]) or firm.account(event["account"])
        cell = account.cells.get(event["symbol"]) or account.cell(self.prices[event["symbol"]], firm)
        cell.hold(lots, cash_units)
        cause = (f"{event['shard']}:{event['seq']}:{event['n']}", event["received_ns"])
        touched[cell.ledger] = (firm, account, cause)
        if cell.up is not None:
            touched[cell.up.ledger] = (firm, firm, cause)

    def _look(
        self, moved: dict[Price, Cause], touched: dict[Ledger, tuple[Firm, Scope, Cause]], told: Told
    ) -> None:
        """Positions are worth what the prices say now; then losses are looked at, of what moved or was touched."""
        for price, cause in moved.items():
            for cell in sorted(price.holders, key=lambda own: (own.scope.firm_number, own.scope.number)):
                cell.value()
                firm = self.firms[cell.scope.firm_number]
                touched.setdefault(cell.ledger, (firm, cell.scope, cause))
                touched.setdefault(firm.ledgers[price.quote], (firm, firm, cause))
        for ledger, (firm, scope, (cause_id, time_ns)) in touched.items():
            self._watch(firm, scope, ledger, cause_id, time_ns, told)

    def _decided(self, nonce: str, timestamp_ns: int, verdict: Verdict | None) -> None:
        self.decisions[nonce] = verdict
        second = (timestamp_ns + self.window_ns + self.margin_ns) // SECOND_NS
        try:
            self._expiries[second].append(nonce)
        except KeyError:
            self._expiries[second] = [nonce]

    def _free(self, nonce: str) -> None:
        reserved = self.reservations.pop(nonce, None)
        if reserved is not None:
            cell, buy_lots, buy_units, sell_lots, sell_units = reserved
            cell.open(-buy_lots, -buy_units, -sell_lots, -sell_units)

    def _firm(self, number: int) -> Firm:
        firm = self.firms.get(number)
        if firm is None:
            firm = self.firms[number] = Firm(number)
        return firm

    # ---- As JSON -----------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """All of it, for a snapshot."""
        return {
            "now_ns": self.now_ns,
            "day": self.day,
            "prices": [
                [own.symbol, own.scale, own.quote, own.shard, own.seq, own.last_ticks, own.middle_doubled]
                for own in self.prices.values()
            ],
            "firms": [dump_firm(firm) for firm in self.firms.values()],
            "reservations": [
                [nonce, cell.scope.firm_number, cell.scope.number, cell.price.symbol, *rest]
                for nonce, (cell, *rest) in self.reservations.items()
            ],
            "decisions": [
                [second, [[nonce, *(self.decisions[nonce] or ())] for nonce in nonces]]
                for second, nonces in self._expiries.items()
            ],
        }

    @classmethod
    def load(cls, data: Mapping[str, Any], window_ns: int, margin_ns: int) -> RiskState:
        """What dump said."""
        state = cls(window_ns, margin_ns)
        state.now_ns, state.day = data["now_ns"], data["day"]
        for symbol, scale, quote, shard, seq, last_ticks, middle_doubled in data["prices"]:
            price = state.prices[symbol] = Price(symbol, scale, quote, shard)
            price.seq, price.last_ticks, price.middle_doubled = seq, last_ticks, middle_doubled
        for told in data["firms"]:
            state.firms[told["firm"]] = load_firm(told, state.prices)
        for nonce, firm_number, number, symbol, *rest in data["reservations"]:
            firm = state.firms[firm_number]
            cell = firm.account(number).cell(state.prices[symbol], firm)
            state.reservations[nonce] = (cell, rest[0], rest[1], rest[2], rest[3])
            cell.open(*rest)
        for second, entries in data["decisions"]:
            state._expiries[second] = [entry[0] for entry in entries]
            for nonce, *verdict in entries:
                state.decisions[nonce] = (verdict[0], verdict[1]) if verdict else None
        return state


# ---- Leaves ----------------------------------------------------------------------------------------------------------


def breaches(
    scope: Scope, limits: Limits, cell: Cell, buy_units: int, sell_units: int, far_ppm: int, grows: bool,
    appended_ns: int,
) -> list[Breach]:  # fmt: skip
    """Limits that an order of so many units would break, in the order in which codes win. A new window begins."""
    found: list[Breach] = []
    if grows:
        ledger = cell.ledger
        buys, sells = ledger.buy_units + buy_units, ledger.sell_units + sell_units
        gross = ledger.size_units + buys + sells
        if gross > limits.gross_exposure:
            found.append(("gross_exposure", f"gross_exposure:{ledger.quote}", limits.gross_exposure, gross))
        held = ledger.position_units
        net = held + buys if buy_units else 0
        if sell_units and sells - held > net:
            net = sells - held
        if net > limits.net_exposure:
            found.append(("net_exposure", f"net_exposure:{ledger.quote}", limits.net_exposure, net))
        if limits.concentrated and gross >= limits.concentration_floor and gross:
            own = cell.size_units + cell.buy_units + cell.sell_units + buy_units + sell_units
            if own * PPM > limits.concentration_ppm * gross:
                share = own * PPM // gross
                found.append(("concentration", f"concentration:{ledger.quote}", limits.concentration_ppm, share))
        profit = held + ledger.cash_units
        if ledger.day_open_units - profit > limits.daily_loss:
            loss = ledger.day_open_units - profit
            found.append(("daily_loss", f"daily_loss:{ledger.quote}", limits.daily_loss, loss))
        if ledger.peak_units - profit > limits.drawdown:
            found.append(("drawdown", f"drawdown:{ledger.quote}", limits.drawdown, ledger.peak_units - profit))
    if limits.paced:
        window = appended_ns // limits.order_window_ns
        if window > scope.order_window:
            scope.order_window, scope.order_count = window, 0
        if scope.order_count >= limits.order_rate:
            found.append(("order_rate", "order_rate", limits.order_rate, scope.order_count + 1))
    if far_ppm > limits.price_distance_ppm:
        found.append(("price_distance", "price_distance", limits.price_distance_ppm, far_ppm))
    return found


def clear(scope: Scope, ledger: Ledger, grows: bool, broken: list[Breach]) -> None:
    """Limits that this order was held against and kept are no longer broken."""
    if scope.raised:
        looked = {"order_rate", "price_distance"}
        if grows:
            looked |= {f"{name}:{ledger.quote}" for name in _IN_MONEY}
        scope.raised -= looked - {key for _, key, _, _ in broken}


def distance_ppm(price: Price, buy: bool, order: Event) -> int:
    """How far an order's price is beyond the market, in millionths rounded up; 0: not, or there is no market.

    The market is the middle of the quotes, else the last price; of an order that waits for a price, that price.
    """
    ticks = order["price_ticks"]
    terms = order.get("terms")
    doubled = price.middle_doubled or 2 * price.last_ticks
    if terms and terms.get("trigger"):
        doubled = 2 * terms.get("trigger_price_ticks", 0)
    if not ticks or not doubled:
        return 0
    beyond = 2 * ticks - doubled if buy else doubled - 2 * ticks
    return -(-beyond * PPM // doubled) if beyond > 0 else 0


def needs_money(firm: Firm, account: Scope) -> bool:
    """Is there a limit that an order without a price cannot be held against?"""
    return (firm.limits is not None and firm.limits.in_money) or (
        account.limits is not None and account.limits.in_money
    )


def accounts_of(firm: Firm, scope: Scope) -> list[Scope]:
    """The accounts that an action on a scope means, by number."""
    return [scope] if scope.number else [firm.accounts[number] for number in sorted(firm.accounts)]


def action_of(
    firm: Firm, account: Scope, kind: str, fields: Mapping[str, int], reason: str, cause: str, time_ns: int
) -> Event:
    """What risk wants done on the engine."""
    return {
        "type": "action", "action_id": f"{cause}:{kind}:{account.number}", "kind": kind,
        "firm": firm.firm_number, "account": account.number, "fields": dict(fields),
        "reason": reason, "time_ns": time_ns,
    }  # fmt: skip


def rejection(order: Event, verdict: Verdict) -> Event:
    """An order that is refused, as an event of orders.rejected."""
    told = {
        "type": "rejection", "stage": "risk", "code": verdict[0], "text": verdict[1], "place": order["place"],
        "appended_ns": order["appended_ns"], "key_id": order["key_id"], "nonce": order["nonce"], "firm": order["firm"],
        "account": order["account"],
    }  # fmt: skip
    for name in ("symbol", "client_order_id"):
        if name in order:
            told[name] = order[name]
    return told
