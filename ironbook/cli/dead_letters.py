"""`ironbook dead-letters`: what the workers could not process, with the original bytes, and the way back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.markup import escape

from ironbook import InputInvalid
from ironbook.cli._kafka import KafkaOption, LoginOption, PrefixOption, find_kafka
from ironbook.cli._output import JsonOption, plural, say_json, show, stderr, stdout, table
from ironbook.cli._place import DATA, DataOption

if TYPE_CHECKING:
    from rich.console import Console

    from ironbook.dead_letters import Letter

app = typer.Typer(
    help="What the workers could not process: list, show, put back.", no_args_is_help=True, rich_markup_mode="rich"
)
TEXT_WIDTH = 70
HEX_BYTES = 16
CodeOption: TypeAlias = Annotated[str | None, typer.Option(help="Only this reason, e.g. undecodable.")]
WorkerOption: TypeAlias = Annotated[str | None, typer.Option(help="Only what this worker gave up.")]
TopicOption: TypeAlias = Annotated[str | None, typer.Option(help="Only what came from this topic.")]


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
    from ironbook import dead_letters

    cluster = find_kafka(data, kafka, prefix, login)
    counts, kept = asyncio.run(dead_letters.find(cluster, code, worker, topic, last))
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
    from ironbook import dead_letters

    [letter] = asyncio.run(dead_letters.pick(find_kafka(data, kafka, prefix, login), [number]))
    text = letter.text()
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
    from ironbook import dead_letters

    if bool(numbers) == every:
        raise InputInvalid("numbers of dead letters or --all must be given, and not both", hint="see `list`")
    cluster = find_kafka(data, kafka, prefix, login)
    if every:
        _, letters = asyncio.run(dead_letters.find(cluster, code, worker, topic, None))
    else:
        letters = asyncio.run(dead_letters.pick(cluster, numbers or []))
    if letters and not yes:
        for letter in letters:
            stderr.print(f"  {letter.number}  {letter.event.code}  {letter.event.topic}", markup=False, soft_wrap=True)
        typer.confirm(f"Put {plural(len(letters), 'message')} back?", abort=True, err=True)
    places = asyncio.run(dead_letters.put_back(cluster, letters, whole))
    if json:
        for letter, (partition, offset) in zip(letters, places, strict=True):
            said = {"number": letter.number, "topic": letter.event.topic, "partition": partition, "offset": offset}
            say_json(said)
        return
    stdout.print(f"put back: {plural(len(places), 'message')}")


def _row(letter: Letter) -> tuple[object, ...]:
    event = letter.event
    text = event.text if len(event.text) <= TEXT_WIDTH else event.text[: TEXT_WIDTH - 1] + "…"
    place = (event.topic, event.partition, event.offset)
    return letter.number, _time(event.time_ns), event.worker, event.code, *place, text


def _time(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns / 1e9))
