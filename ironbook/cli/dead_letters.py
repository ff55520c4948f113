"""`ironbook dead-letters`: what the workers could not process, with the original bytes, and the way back."""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import orjson
import typer
from rich.markup import escape

from ironbook import InputInvalid
from ironbook.cli._kafka import Cluster, KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, plural, say_json, show, stderr, stdout, table
from ironbook.cli._place import DATA, DataOption

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.events import DeadLetter

app = typer.Typer(
    help="What the workers could not process: list, show, put back.", no_args_is_help=True, rich_markup_mode="rich"
)
TOPIC = "dead-letters"
TEXT_WIDTH = 70
HEX_BYTES = 16
CodeOption: TypeAlias = Annotated[str | None, typer.Option(help="Only this reason, e.g. undecodable.")]
WorkerOption: TypeAlias = Annotated[str | None, typer.Option(help="Only what this worker gave up.")]
TopicOption: TypeAlias = Annotated[str | None, typer.Option(help="Only what came from this topic.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter; number is its offset in the topic."""

    number: int
    event: DeadLetter

    @property
    def value(self) -> bytes:
        return base64.b64decode(self.event.value)

    @property
    def key(self) -> bytes | None:
        return base64.b64decode(self.event.key) if self.event.key is not None else None

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, **self.event.to_dict()}


@app.command("list")
def list_letters(
    code: CodeOption = None,
    worker: WorkerOption = None,
    topic: TopicOption = None,
    last: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 100,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """List dead letters, and count them by reason.

    Example:  ironbook dead-letters list --code signature_invalid
    """
    cluster = find_kafka(data, kafka, prefix, login)
    counts, kept = asyncio.run(_list(cluster, code, worker, topic, last))
    if json:
        for letter in kept:
            say_json(letter.to_json())
        return

    def render(console: Console) -> None:
        columns = ("number", "time", "worker", "code", "topic", "partition", "offset", "text")
        console.print(table("", columns, map(_row, kept), right=("number", "partition", "offset")))
        total = sum(counts.values())
        said = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        console.print(f"[dim]{plural(total, 'dead letter')}{f': {escape(said)}' if said else ''}[/]", soft_wrap=True)

    show(False, None, render)


@app.command("show")
def show_letter(
    number: Annotated[int, typer.Argument(help="Its number in `ironbook dead-letters list`.", min=0)],
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show one dead letter: why, from where, and its original bytes, as text if they are any and in hexadecimal.

    Example:  ironbook dead-letters show 3
    """
    [letter] = asyncio.run(_pick(find_kafka(data, kafka, prefix, login), [number]))
    text = _text(letter.value)
    if json:
        say_json(letter.to_json() | {"hex": letter.value.hex()} | ({} if text is None else {"text_value": text}))
        return
    event = letter.event
    stdout.print(f"[bold]{escape(event.code)}[/]  {escape(event.text)}", soft_wrap=True)
    index = "" if event.index is None else f", event {event.index} of it"
    stdout.print(f"given up by {escape(event.worker)} at {_time(event.time_ns)}", soft_wrap=True)
    stdout.print(f"{escape(event.topic)}, partition {event.partition}, offset {event.offset}{index}", soft_wrap=True)
    if letter.key:
        stdout.print(f"key {letter.key!r}", markup=False)
    if text is not None:
        stdout.print(text, markup=False, soft_wrap=True)
    for at in range(0, len(letter.value), HEX_BYTES):
        row = letter.value[at : at + HEX_BYTES]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        stdout.print(f"{at:08x}  {row.hex(' '):<{3 * HEX_BYTES}} {printable}", markup=False, style="dim")


@app.command("replay")
def replay(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of dead letters.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All that the options below let through.")] = False,
    code: CodeOption = None,
    worker: WorkerOption = None,
    topic: TopicOption = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The whole message, even where only one event of it was given up.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    kafka: KafkaOption = None,
    prefix: PrefixOption = None,
    login: LoginOption = None,
    data: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Put the original bytes back onto their topic and partition, with a header `replayed` that names the letter.

    Of a batch only the event that was given up goes back; the others were processed. A signed order is only taken while
    its timestamp is inside the nonce window.

    Example:  ironbook dead-letters replay 3 4
    """
    if bool(numbers) == every:
        raise InputInvalid("numbers of dead letters or --all must be given, and not both", hint="see `list`")
    cluster = find_kafka(data, kafka, prefix, login)
    if every:
        _, letters = asyncio.run(_list(cluster, code, worker, topic, None))
    else:
        letters = asyncio.run(_pick(cluster, numbers or []))
    if letters and not yes:
        for letter in letters:
            stderr.print(f"  {letter.number}  {letter.event.code}  {letter.event.topic}", markup=False, soft_wrap=True)
        typer.confirm(f"Put {plural(len(letters), 'message')} back?", abort=True, err=True)
    places = asyncio.run(_replay(cluster, letters, whole))
    if json:
        for letter, (partition, offset) in zip(letters, places, strict=True):
            said = {"number": letter.number, "topic": letter.event.topic, "partition": partition, "offset": offset}
            say_json(said)
        return
    stdout.print(f"put back: {plural(len(places), 'message')}")


async def _letters(cluster: Cluster) -> AsyncIterator[Letter]:
    """All that are there now, oldest first."""
    from ironbook.subscribe import Subscription, events

    async with Subscription(
        cluster.servers, TOPIC, prefix=cluster.prefix, from_="beginning", security=cluster.security
    ) as letters:
        async for item in letters.until_now():
            if isinstance(item, events.DeadLetter):
                yield Letter(number=letters.place[1], event=item)


async def _list(
    cluster: Cluster, code: str | None, worker: str | None, topic: str | None, last: int | None
) -> tuple[collections.Counter[str], list[Letter]]:
    counts: collections.Counter[str] = collections.Counter()
    kept: collections.deque[Letter] = collections.deque(maxlen=last)
    async for letter in _letters(cluster):
        event = letter.event
        wanted = (code, event.code), (worker, event.worker), (topic, event.topic)
        if all(want in (None, found) for want, found in wanted):
            counts[event.code] += 1
            kept.append(letter)
    return counts, list(kept)


async def _pick(cluster: Cluster, numbers: list[int]) -> list[Letter]:
    wanted = set(numbers)
    found = {letter.number: letter async for letter in _letters(cluster) if letter.number in wanted}
    if missing := sorted(wanted - set(found)):
        raise InputInvalid(
            f"a dead letter must be there, {', '.join(map(str, missing))} is not",
            hint="`ironbook dead-letters list` shows all that are kept",
        )
    return [found[number] for number in dict.fromkeys(numbers)]


async def _replay(cluster: Cluster, letters: list[Letter], whole: bool) -> list[tuple[int, int]]:
    from ironbook._kafka import SCHEMA_VERSION, aiokafka

    if not letters:
        return []
    producer = aiokafka().AIOKafkaProducer(acks="all", enable_idempotence=True, **cluster.options())
    await producer.start()
    try:
        places = []
        for letter in letters:
            event = letter.event
            headers = [
                ("schema", f"{event.topic}/{SCHEMA_VERSION}".encode()),
                ("replayed", f"{TOPIC}:{letter.number}".encode()),
            ]
            done = await producer.send_and_wait(
                cluster.prefix + event.topic,
                letter.value if whole else _given_up(letter),
                key=letter.key,
                partition=event.partition,
                headers=headers,
            )
            places.append((done.partition, done.offset))
        return places
    finally:
        await producer.stop()


def _given_up(letter: Letter) -> bytes:
    """The event that was given up, or the whole message if all of it was."""
    if letter.event.index is None:
        return letter.value
    try:
        rows = orjson.loads(letter.value)
        return orjson.dumps(rows[letter.event.index]) if isinstance(rows, list) else letter.value
    except (orjson.JSONDecodeError, IndexError):
        return letter.value


def _row(letter: Letter) -> tuple[object, ...]:
    event = letter.event
    text = event.text if len(event.text) <= TEXT_WIDTH else event.text[: TEXT_WIDTH - 1] + "…"
    place = (event.topic, event.partition, event.offset)
    return letter.number, _time(event.time_ns), event.worker, event.code, *place, text


def _time(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns / 1e9))


def _text(value: bytes) -> str | None:
    """JSON laid out, or text; None: neither."""
    try:
        return orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        pass
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None
