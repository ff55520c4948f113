"""The built dashboard: files read once at the start, and served from memory.

/assets/<name with a hash of its content>   kept by browsers for a year
/positions, /risk, ...                      pages of one application: index.html
/docs                                       the rendered OpenAPI document
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Final

from gateway.routing import Request, Response

__all__ = ["BUILT", "PAGES", "Assets"]

BUILT: Final = Path(__file__).parent / "assets"  # where the build of dashboard/ leaves them
PAGES: Final = ("/", "/positions", "/executions", "/analytics", "/risk", "/monitoring", "/login", "/help")
FILE_BYTES_MAX: Final = 8 << 20
FILE_COUNT_MAX: Final = 200
COMPRESS_BYTES_MIN: Final = 512
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
# Scripts come from here only, and what a page asks or tells goes here only, by WebSocket too; styles may stand in
# elements, since charts set them.
POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)


class _File:
    __slots__ = ("headers", "packed", "plain", "tag", "type")

    def __init__(self, path: Path, name: str) -> None:
        self.plain = path.read_bytes()
        self.type = TYPES[path.suffix]
        self.tag = f'"{hashlib.sha256(self.plain).hexdigest()[:32]}"'
        packed = gzip.compress(self.plain, 9, mtime=0) if len(self.plain) >= COMPRESS_BYTES_MIN else b""
        self.packed = packed if 0 < len(packed) < len(self.plain) else b""
        kept = "public, max-age=31536000, immutable" if name.startswith("/assets/") else "no-cache"
        self.headers = (*SECURITY, ("Cache-Control", kept), ("ETag", self.tag), ("Vary", "Accept-Encoding"))


class Assets:
    """What `directory` held when this was made: files of known types, within bounds; nothing else is ever served."""

    def __init__(self, directory: Path = BUILT) -> None:
        self._files: dict[str, _File] = {}
        for path in sorted(directory.rglob("*"))[: 2 * FILE_COUNT_MAX]:
            known = path.is_file() and not path.is_symlink() and path.suffix in TYPES
            if known and path.stat().st_size <= FILE_BYTES_MAX and len(self._files) < FILE_COUNT_MAX:
                name = "/" + path.relative_to(directory).as_posix()
                self._files[name] = _File(path, name)
        index = self._files.get("/index.html")
        if index is not None:
            self._files |= dict.fromkeys(PAGES, index)
        if "/docs.html" in self._files:
            self._files["/docs"] = self._files["/docs.html"]

    def __len__(self) -> int:
        return len(self._files)

    def find(self, request: Request) -> Response | None:
        """The file at the path, packed if the browser takes that; 304 if it has it."""
        file = self._files.get(request.path)
        if file is None:
            return None
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(304, b"", file.type, file.headers)
        if file.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(200, file.packed, file.type, (*file.headers, ("Content-Encoding", "gzip")))
        return Response(200, file.plain, file.type, file.headers)
