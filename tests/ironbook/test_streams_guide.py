"""The examples of the guide to streams run as they stand, but for the address and the prefix of the test's topics."""

from __future__ import annotations

import asyncio
import re
import textwrap
from typing import Any

import pytest

from tests.support.node import ROOT
from tests.support.topics import example, make_topics, partition, trade, writing

GUIDE = (ROOT / "docs/guides/streams.md").read_text().partition("## Subscribing")[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_comes(
    number: int, kafka: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.sub(r'"127\.0\.0\.1:9092", ("[^"]+")', rf'"{kafka}", \1, prefix="{topic_prefix}"', EXAMPLES[number])
    assert kafka in code
    names: dict[str, Any] = {}
    exec("async def run():\n" + textwrap.indent(code, "    "), names)

    async def body() -> None:
        await make_topics(kafka, topic_prefix, "trades", "book", "book.snapshots")
        async with writing(kafka, topic_prefix) as writer:
            await writer.send("trades", partition("trades", "BTC/USD"), [trade(1)])
            level = example("book", "level", seq=1, n=0, update_id=1)
            await writer.send("book", partition("book", "BTC/USD"), [level])
            reader = asyncio.create_task(names["run"]())
            said = ""
            async with asyncio.timeout(60):
                while not said.strip():
                    assert not reader.done() or reader.result() is None
                    await asyncio.sleep(0.05)
                    said += capsys.readouterr().out
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        assert said.startswith("1 ")

    asyncio.run(body())


def test_the_guide_has_examples() -> None:
    assert len(EXAMPLES) >= 2
