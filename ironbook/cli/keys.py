"""`ironbook keys`: who may log on. Edits the encrypted key file; a running engine takes over what changed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ironbook import Key
from ironbook.cli._output import JsonOption, show, table
from ironbook.cli._place import DATA, DataOption, client_key_path, open_key_file
from ironbook.keystore import parse_permissions

app = typer.Typer(
    help="Keys: who may log on, from where, and what for. The engine takes changes over while it runs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
KeyId = Annotated[str, typer.Argument(help="Key id: 1 to 16 of A-Z a-z 0-9 . _ -", show_default=False)]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Where to write the secret; default <data>/client-keys/<id>.json.")
]


@app.command("list")
def list_keys(data: DataOption = DATA, json: JsonOption = False) -> None:
    """All keys, without secrets.

    Example:  ironbook keys list
    """
    summaries = open_key_file(data).summaries()
    rows = (
        (
            s["number"],
            s["key_id"],
            "live" if s["live"] else "revoked",
            s["account"] or "",
            ",".join(_words(s["permissions"])),
            ",".join(_words(s["networks"])) or "any",
            s["message_rate_per_s"] or "",
            len(_words(s["secrets"])),
            s["note"],
        )
        for s in summaries
    )
    columns = ("number", "key", "state", "account", "permissions", "networks", "rate/s", "secrets", "note")
    listed = table("", columns, rows, right=("number", "account", "rate/s", "secrets"))
    show(json, {"keys": summaries}, lambda console: console.print(listed))


@app.command("create")
def create(
    key_id: KeyId,
    permissions: Annotated[
        str, typer.Option(help="Of trade, cancel, read, admin, delegate; separated by commas.")
    ] = "trade,cancel,read",
    account: Annotated[int, typer.Option(help="Its own account; 0: none.")] = 0,
    network: Annotated[
        list[str] | None, typer.Option(help="CIDR it may come from (repeat for several); default: any address.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Frames a second; 0: no limit.")] = 0,
    burst: Annotated[int | None, typer.Option(help="Frames at once; default: one second's worth.")] = None,
    note: Annotated[str, typer.Option(help="Free text.")] = "",
    out: OutOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Make a key; its secret goes to a file of mode 0600 and is never shown again.

    Example:  ironbook keys create desk-1 --account 1 --network 10.0.0.0/8 --rate 5000
    """
    made = open_key_file(data).create_key(
        key_id,
        permissions=parse_permissions(permissions),
        account=account,
        networks=network or (),
        message_rate_per_s=rate,
        message_burst=burst,
        note=note,
    )
    path = _write_secret(data, out, key_id, made.secret)
    _said(json, "created", made.key.summary(), secret_file=str(path))


@app.command("rotate")
def rotate(
    key_id: KeyId,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the older secret: its sessions end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Drop the newer secret.")] = False,
    out: OutOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Add a second secret; both open sessions until --finish drops the older one.

    Example:  ironbook keys rotate desk-1 --out desk-1.new.json;  ironbook keys rotate desk-1 --finish
    """
    if finish and cancel:
        raise typer.BadParameter("--finish and --cancel exclude each other")
    keys = open_key_file(data)
    if finish or cancel:
        key = keys.finish_rotation(key_id) if finish else keys.cancel_rotation(key_id)
        _said(json, "rotation finished" if finish else "rotation cancelled", key.summary())
        return
    made = keys.begin_rotation(key_id)
    path = _write_secret(data, out, key_id, made.secret)
    _said(json, "rotation begun", made.key.summary(), secret_file=str(path))


@app.command("revoke")
def revoke(key_id: KeyId, data: DataOption = DATA, json: JsonOption = False) -> None:
    """Revoke a key: its session ends, nobody logs on with it again.

    Example:  ironbook keys revoke desk-1
    """
    _said(json, "revoked", open_key_file(data).revoke(key_id).summary())


@app.command("networks")
def networks(
    key_id: KeyId,
    network: Annotated[list[str] | None, typer.Argument(help="CIDRs, IPv4 or IPv6.", show_default=False)] = None,
    any_address: Annotated[bool, typer.Option("--any", help="Allow any address.")] = False,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show a key's allow list, or replace it.

    Example:  ironbook keys networks desk-1 10.0.0.0/8 2001:db8::/32
    """
    keys = open_key_file(data)
    if network and any_address:
        raise typer.BadParameter("name networks, or --any, not both")
    key = keys.set_networks(key_id, network or ()) if network or any_address else keys.load().find(key_id)
    _said(json, "networks set" if network or any_address else "networks", key.summary())


def _write_secret(data: Path, out: Path | None, key_id: str, secret: bytes) -> Path:
    path = out if out is not None else client_key_path(data, key_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Key(key_id=key_id, secret=secret).write(path)
    return path


def _words(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _text(name: str, value: object) -> str:
    if name == "secrets":
        return str(len(_words(value)))
    if name.endswith("_ns") and isinstance(value, int):
        return datetime.datetime.fromtimestamp(value // 1_000_000_000, datetime.UTC).isoformat()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _said(as_json: bool, what: str, summary: dict[str, object], **more: str) -> None:
    def render(console: Any) -> None:
        console.print(f"key [bold]{summary['key_id']}[/] {what}")
        for name, value in {**summary, **more}.items():
            if name != "key_id" and value not in ("", [], 0):
                console.print(f"  [dim]{name.removesuffix('_ns'):<18}[/] {escape(_text(name, value))}", soft_wrap=True)

    show(as_json, {"key": summary, "done": what, **more}, render)
