"""python -m engine_node: run the engine node, or look at its settings.

    run          the engine (and, as the settings say, its snapshotter, publisher and TLS terminator) until SIGTERM
    settings     --example: an example file; --reference: the page of all settings; --check: are they good?
    doctor       what this machine lacks for steady latency, and how to mend it
    snapshotter  the process that writes snapshots; `run` starts it
    publisher    the process that publishes to Kafka; `run` starts it if kafka_bootstrap is set
    tls          the process that ends TLS; `run` starts it
    restore      --kafka HOST:PORT --shard N --data DIR: a journal anew from its topic, and from its archive before that

Exit codes: 0 done, 1 could not start or check found something bad, 2 wrong arguments, 70 a bug, 74 the disk failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine_node.errors import SettingsError, parts_of
from engine_node.logs import Log
from engine_node.settings import Settings, example, load, reference


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "settings" and chosen.what in ("example", "reference"):
        print(example() if chosen.what == "example" else reference(), end="")
        return 0
    try:
        settings = load(chosen.settings)
    except SettingsError as error:
        return _refuse(error)
    if chosen.command == "settings":
        print(
            example(settings) if chosen.what == "show" else "settings: good", end="\n" if chosen.what == "check" else ""
        )
        return 0
    if chosen.command == "doctor":
        return _doctor(settings, as_json=chosen.json)
    if chosen.command == "restore":
        try:
            settings = dataclasses.replace(settings, **chosen.named)
        except SettingsError as error:
            return _refuse(error)
    return _run_process(settings, chosen)


def _run_process(settings: Settings, chosen: argparse.Namespace) -> int:
    base = {"process": "engine" if chosen.command == "run" else chosen.command, "pid": os.getpid()}
    try:
        log = Log.open(settings.log_file, level=settings.log_level, queue_max=settings.log_queue_max, base=base)
    except SettingsError as error:
        return _refuse(error)
    try:
        if chosen.command == "run":
            from engine_node import server

            return server.run(settings, log, chosen.parent)
        if chosen.command == "tls":
            from engine_node import tls

            return tls.run(settings, log, chosen.listen_fds, chosen.parent, chosen.cpus)
        if chosen.command in ("publisher", "restore"):
            return _run_on_kafka(settings, log, chosen)
        from engine_node import snapshotter

        return snapshotter.run(settings, log, chosen.parent, chosen.cpus)
    except KeyboardInterrupt:  # before there was a handler for it
        return 130
    finally:
        log.close()


def _run_on_kafka(settings: Settings, log: Log, chosen: argparse.Namespace) -> int:
    if importlib.util.find_spec("aiokafka") is None:
        log.error(
            "start_failed",
            SettingsError(
                f"{chosen.command} needs the package aiokafka, which is not there",
                hint="pip install 'ironbook[streams]', or leave kafka_bootstrap empty",
            ),
        )
        return 1
    if chosen.command == "restore":
        from engine_node.publish import restore

        return restore.run(settings, log, chosen.archive)
    from engine_node import publisher

    return publisher.run(settings, log, chosen.parent, chosen.cpus)


def _doctor(settings: Settings, *, as_json: bool) -> int:
    from engine_node import doctor

    report = doctor.examine(doctor.Machine(), doctor.Wishes.of(settings))
    print(doctor.as_json(report) if as_json else doctor.as_text(report))
    return 1 if any(finding.result == "bad" for finding in report) else 0


def _refuse(error: SettingsError) -> int:
    parts = parts_of(error)
    lines = [f"{parts['error']}: {parts['message']}"]
    lines += [f"  {name}: {parts[name]}" for name in ("detail", "hint") if name in parts]
    print("\n".join(lines), file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine_node", description="The Ironbook engine node.")
    parser.set_defaults(command="run", settings=None, parent=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.add_argument("--settings", type=Path, metavar="FILE", help="settings file (TOML)")
        made.set_defaults(command=name)
        return made

    run = command("run", "run the engine node until SIGTERM (the default)")
    settings = command("settings", "look at the settings")
    what = settings.add_mutually_exclusive_group()
    settings.set_defaults(what="check")
    for name, about in (
        ("example", "print an example file with every setting"),
        ("reference", "print the reference page of all settings"),
        ("check", "say whether file and environment are good (the default)"),
        ("show", "print what file and environment come to, as a settings file"),
    ):
        what.add_argument(f"--{name}", dest="what", action="store_const", const=name, help=about)
    command("doctor", "what this machine lacks for steady latency").add_argument("--json", action="store_true")
    snapshotter = command("snapshotter", "write snapshots")
    publisher = command("publisher", "publish the journal and its events to Kafka")
    tls = command("tls", "end TLS on inherited sockets")
    tls.add_argument("--listen-fds", type=_numbers, required=True, metavar="N,N", help="listening sockets")
    restore = command("restore", "rebuild a journal from its Kafka topic, for a machine whose disk is gone")
    restore.set_defaults(named={})
    restore.add_argument(
        "--archive",
        type=Path,
        metavar="DIRECTORY",
        help="a copy of the archive, for records that the topic has no more",
    )
    for option, field, kind, metavar, about in (
        ("--kafka", "kafka_bootstrap", str, "HOST:PORT", "brokers to begin with; else kafka_bootstrap"),
        ("--prefix", "kafka_topic_prefix", str, "TEXT", "before topics' names; else kafka_topic_prefix"),
        ("--shard", "shard", int, "N", "whose journal; else shard"),
        ("--data", "data_directory", str, "DIR", "where it goes; else data_directory"),
    ):
        restore.add_argument(option, action=_Named, field=field, type=kind, metavar=metavar, help=about)
    for child in (run, snapshotter, publisher, tls):
        child.add_argument("--parent", type=int, metavar="PID", help="process to end with")
    for helper in (snapshotter, publisher, tls):
        helper.add_argument("--cpus", type=_numbers, default=[], metavar="N,N", help="where to run; else as started")
    return parser


class _Named(argparse.Action):
    """An option that stands for a setting."""

    def __init__(self, *given: Any, field: str, **more: Any) -> None:
        super().__init__(*given, **more)
        self.field = field

    def __call__(self, _parser: object, chosen: argparse.Namespace, value: object, _option: str | None = None) -> None:
        chosen.named = {**chosen.named, self.field: value}


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
