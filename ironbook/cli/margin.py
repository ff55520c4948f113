"""`ironbook margin`: who lacks margin, and a watcher that liquidates.

journal ──▶ replica ──▶ margin.py: who is called, what to close ──▶ mass_cancel, new_order of a delegate ──▶ engine
              ▲                                                                                                │
              └────────────────────── the record of each, before the next is decided ◀─────────────────────────┘
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ironbook import (
    Client,
    EngineFailed,
    InputInvalid,
    OrderType,
    Outcome,
    SelfTradePrevention,
    TimeInForce,
    amount_text,
)
from ironbook.cli._output import JsonOption, say_json, show, stdout, table
from ironbook.cli._place import DATA, AddressOption, DataOption, KeyOption, Names, connect, note_engine, open_replica
from ironbook.margin import (
    Assessment,
    Close,
    Holding,
    Mark,
    Policy,
    assess,
    closing_order,
    holdings_of,
    liquidation_number,
    marks_of,
    read_policy,
)
from schemas.vocabulary import RECORD_BYTES, BalanceFloor, Code, Kind

if TYPE_CHECKING:
    from engine_node.replica import Replica, Step

app = typer.Typer(
    help="Margin: what accounts with floors are worth, and liquidation.", no_args_is_help=True, rich_markup_mode="rich"
)
PolicyOption = Annotated[Path, typer.Option(help="Margin policy (TOML; see schemas/margin.md).", show_default=False)]
LIQUIDATOR_KEY = "liquidator"
POLL_S = 0.005
FOLLOW_S_MAX = 30.0  # until a record that was acknowledged is in the journal
RETRY_S = 1.0  # until an order that brought nothing is tried again


@app.command("check")
def check(policy: PolicyOption, data: DataOption = DATA, json: JsonOption = False) -> None:
    """Equity and requirement of every account with a floor.

    Example:  ironbook margin check --policy margin.toml
    """
    with open_replica(data, event_mask=0) as replica:
        watcher = Watcher(replica, read_file(policy, Names(replica.core)))
        found = [watcher.told(account, watcher.assess(account)) for account in sorted(watcher.accounts)]
        running = note_engine(data, replica.core, json)
    columns = ("account", "equity", "requirement", "state")
    listed = table("", columns, ([f[c] for c in columns] for f in found), right=columns[:3])
    show(json, {"accounts": found, "engine_running": running}, lambda console: console.print(listed))


@app.command("watch")
def watch(
    policy: PolicyOption,
    seconds: Annotated[float | None, typer.Option(help="End after so long; default: never.")] = None,
    data: DataOption = DATA,
    address: AddressOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Follow the journal and liquidate whoever is called, until interrupted. One line for each command.

    Example:  ironbook margin watch --policy margin.toml --key liquidator
    """
    ends_s = None if seconds is None else time.monotonic() + seconds
    with open_replica(data, event_mask=0) as replica:
        watcher = Watcher(replica, read_file(policy, Names(replica.core)))
        with connect(data, address, key, LIQUIDATOR_KEY, keep_alive=True) as client:
            watcher.begin(client)
            while True:
                for told in watcher.look(client):
                    _say(json, told)
                if ends_s is not None and time.monotonic() >= ends_s:
                    return
                time.sleep(POLL_S)


def read_file(file: Path, names: Names) -> Policy:
    """The policy of a file. Raises InputInvalid."""
    try:
        data = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputInvalid(
            f"a margin policy must be a readable TOML file: {error}", detail=str(file), hint="see schemas/margin.md"
        ) from error
    return read_policy(data, {str(asset["name"]): number for number, asset in names.assets.items()})


class Watcher:
    """Judges the accounts of a replica. It decides only on a state that holds all that its key has sent before."""

    def __init__(self, replica: Replica, policy: Policy, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.replica = replica
        self.policy = policy
        self.clock_s = clock_s
        self.assets, self.instruments = self._defined()
        self.accounts = self._with_floors()
        self.looked_at = 0  # the sequence that was judged last
        self.not_before_s: dict[int, float] = {}  # account: when to try again

    def begin(self, client: Client) -> None:
        """Wait until the replica holds what an earlier process with this key has sent."""
        assert client.logon is not None
        key, last = client.logon.key, client.logon.last_client_sequence
        self._follow(lambda: int((self.replica.core.key(key) or {}).get("last_client_sequence", 0)) >= last)

    def look(self, client: Client) -> Iterator[dict[str, Any]]:
        """Judge every account if anything has happened, and carry out what follows, step by step."""
        self._catch_up()
        sequence = self.replica.core.sequence()
        due = [account for account, when_s in self.not_before_s.items() if when_s <= self.clock_s()]
        if sequence == self.looked_at and not due:
            return
        self.looked_at = sequence
        for account in sorted(self.accounts):
            while (told := self._mend(client, account)) is not None:
                yield told

    def assess(self, account: int) -> Assessment:
        """An account as it is now."""
        return assess(self._holdings(account), self._marks(account), self.policy)

    def told(self, account: int, found: Assessment) -> dict[str, Any]:
        """An assessment for people and programs."""
        asset = self.replica.core.asset(self.policy.asset)
        decimals = int(asset["decimals"]) if asset is not None else 0
        state = "called" if found.called else "unpriced" if found.unpriced else "covered"
        return {
            "account": account,
            "equity": amount_text(found.equity_units, decimals),
            "requirement": amount_text(found.requirement_units, decimals),
            "state": state,
        }

    # ---- one account

    def _mend(self, client: Client, account: int) -> dict[str, Any] | None:
        """One command for an account that is called; None if there is nothing to be done now."""
        found = self.assess(account)
        if not found.called:
            self.not_before_s.pop(account, None)
            return None
        if self.not_before_s.get(account, 0.0) > self.clock_s():
            return None
        told = self.told(account, found)
        if self.replica.core.account_orders(account, 0, 1):
            outcome = client.mass_cancel(account=account)
            return {**told, "command": "mass_cancel", **self._came_of(outcome, account)}
        order = closing_order(self._holdings(account), self._marks(account), self.policy)
        if order is None:
            self.not_before_s[account] = self.clock_s() + RETRY_S
            return None
        number = liquidation_number(account, self.replica.core.sequence())
        outcome = self._send(client, account, order, number)
        if outcome.rejected or outcome.filled_lots == 0:
            self.not_before_s[account] = self.clock_s() + RETRY_S
        said = {
            "command": "new_order",
            "instrument": order.instrument,
            "side": order.side.name.lower(),
            "price_ticks": order.price_ticks,
            "quantity_lots": order.quantity_lots,
            "client_order_id": number,
            "filled_lots": outcome.filled_lots,
        }
        return {**told, **said, **self._came_of(outcome, account)}

    def _send(self, client: Client, account: int, order: Close, number: int) -> Outcome:
        return client.submit(
            order.instrument,
            order.side,
            order.price_ticks,
            order.quantity_lots,
            account=account,
            client_order_id=number,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
            self_trade_prevention=SelfTradePrevention.CANCEL_MAKER,
        )

    def _came_of(self, outcome: Outcome, account: int) -> dict[str, Any]:
        """Wait for the record, so that the next decision knows of it."""
        self._follow(lambda: self.replica.core.sequence() >= outcome.answer.sequence)
        if outcome.rejected:
            self.not_before_s[account] = self.clock_s() + RETRY_S
            return {"sequence": outcome.answer.sequence, "refused": Code(outcome.answer.code).name.lower()}
        return {"sequence": outcome.answer.sequence}

    # ---- the replica

    def _holdings(self, account: int) -> dict[int, Holding]:
        return holdings_of(self.replica.core, account, self.assets)

    def _marks(self, account: int) -> dict[int, Mark]:
        return marks_of(self.replica.core, account, self.instruments, self.policy.asset)

    def _catch_up(self) -> None:
        self.replica.catch_up(each=self._note_floors)

    def _follow(self, until: Callable[[], bool]) -> None:
        deadline_s = self.clock_s() + FOLLOW_S_MAX
        self._catch_up()
        while not until():
            if self.clock_s() > deadline_s:
                raise EngineFailed(
                    f"the journal must hold what was sent within {FOLLOW_S_MAX:.0f} s, does not",
                    detail=f"sequence {self.replica.core.sequence()}",
                    hint="the engine may have stopped; start it, then this again: nothing is sent twice",
                )
            time.sleep(POLL_S)
            self._catch_up()

    def _note_floors(self, step: Step) -> None:
        kinds = step.records[::RECORD_BYTES]
        for place, kind in enumerate(kinds) if Kind.BALANCE_FLOOR in kinds else ():
            if kind == Kind.BALANCE_FLOOR:
                self.accounts.add(BalanceFloor.unpack(step.records, place * RECORD_BYTES).account)
        if Kind.ASSET in kinds or Kind.INSTRUMENT in kinds:
            self.assets, self.instruments = self._defined()

    def _with_floors(self) -> set[int]:
        core, sizes = self.replica.core, self.replica.core.options()
        accounts = [number for number in range(1, sizes["account_count_max"]) if core.account(number) is not None]
        return {account for account in accounts if any(core.floor(account, asset) < 0 for asset in self.assets)}

    def _defined(self) -> tuple[list[int], list[int]]:
        """Numbers of all assets and all instruments."""
        core, sizes = self.replica.core, self.replica.core.options()
        assets = [number for number in range(1, sizes["asset_count_max"]) if core.asset(number)]
        return assets, [number for number in range(1, sizes["instrument_count_max"]) if core.instrument(number)]


def _say(as_json: bool, told: dict[str, Any]) -> None:
    if as_json:
        say_json(told)
        return
    what = told["command"]
    if what == "new_order":
        what = f"{told['side']} {told['quantity_lots']} lots at {told['price_ticks']}, filled {told['filled_lots']}"
    refused = f"  [yellow]refused: {told['refused']}[/]" if "refused" in told else ""
    stdout.print(
        f"account {told['account']}: equity {told['equity']} of {told['requirement']}: {what}{refused}"
        f"  [dim]sequence {told['sequence']}[/]"
    )
