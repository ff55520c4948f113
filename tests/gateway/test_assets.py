"""The dashboard's files: what is served, from where, and what never is."""

from __future__ import annotations

import gzip

import pytest

from gateway.assets import Assets
from gateway.routing import Request


def ask(path: str, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, b"", named, b"", "127.0.0.1", "r", 0)


@pytest.fixture
def assets(tmp_path):
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>" + "<p>page</p>" * 100)
    (built / "docs.html").write_text("<!doctype html>docs")
    (built / "assets" / "index-1a2b.js").write_text("let a = 1;")
    (built / "notes.md").write_text("not for browsers")
    (tmp_path / "secret.json").write_text("{}")
    (built / "assets" / "link.json").symlink_to(tmp_path / "secret.json")
    return Assets(built)


@pytest.mark.parametrize("path", ["/", "/positions", "/risk", "/login", "/index.html"])
def test_every_page_is_the_application(assets, path):
    answer = assets.find(ask(path))
    assert answer is not None
    assert answer.status == 200
    assert answer.body.startswith(b"<!doctype html><p>page")
    assert dict(answer.headers)["Cache-Control"] == "no-cache"


def test_the_rendered_api_document_is_a_page_of_its_own(assets):
    found = assets.find(ask("/docs"))
    assert found is not None
    assert found.body.endswith(b"docs")


def test_a_file_named_by_its_content_is_kept_by_browsers(assets):
    found = assets.find(ask("/assets/index-1a2b.js"))
    assert found is not None
    assert found.content_type.startswith("text/javascript")
    assert "immutable" in dict(found.headers)["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/notes.md", "/assets/link.json", "/../secret.json", "/assets/../../secret.json", "/assets", "/nothing"]
)
def test_nothing_else_is_served(assets, path):
    assert assets.find(ask(path)) is None


def test_a_browser_that_has_it_is_told_so_and_one_that_takes_gzip_gets_it(assets):
    plain, packed = assets.find(ask("/")), assets.find(ask("/", accept_encoding="gzip, br"))
    assert plain is not None
    assert packed is not None
    assert gzip.decompress(packed.body) == plain.body
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    again = assets.find(ask("/", if_none_match=dict(plain.headers)["ETag"]))
    assert again is not None
    assert (again.status, again.body) == (304, b"")


def test_a_page_may_talk_to_its_gateway_alone_and_be_framed_by_nobody(assets):
    for path in ("/", "/docs", "/assets/index-1a2b.js"):
        policy = dict(assets.find(ask(path)).headers)["Content-Security-Policy"]
        assert policy.split("; ") == [
            "default-src 'self'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]


def test_a_build_that_is_not_there_serves_nothing(tmp_path):
    empty = Assets(tmp_path / "nowhere")
    assert len(empty) == 0
    assert empty.find(ask("/")) is None
