"""The depth of a book and what a command costs: every depth is measured, the worst command named, and drawn."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

from benchmarks import depth, flows


def test_each_depth_names_its_worst_command_and_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flows, "directory", lambda: tmp_path)
    drawn = tmp_path / "depth.svg"
    assert depth.main(["--smoke", "--plot", str(drawn)]) == 0
    points = json.loads(capsys.readouterr().out.splitlines()[-1])["depth"]
    assert [point["resting"] for point in points] == list(depth.SMOKE[0])
    assert all(point["worst_ns"] >= 0 and "operation" in point["worst"] for point in points)
    circles = ElementTree.parse(drawn).getroot().findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * len(points)


def test_a_wrong_answer_ends_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flows, "directory", lambda: tmp_path)
    right = flows.answer
    monkeypatch.setattr(flows, "answer", lambda path: dataclasses.replace(right(path), digest="0" * 16))
    assert depth.main(["--smoke"]) == 1
    assert "must answer" in capsys.readouterr().err
