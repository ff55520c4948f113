"""A bucket without a bottom, for one soak: parts are checked against their SHA-256, counted and forgotten.

    with started() as url:        what AWS_ENDPOINT_URL must be; a process of its own, as S3 is

Gigabytes that nobody reads would only take the memory of the server that stands in for AWS.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import multiprocessing
import signal
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Final

XML: Final = '<?xml version="1.0"?><{0} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{1}</{0}>'

ERROR: Final = '<?xml version="1.0"?><Error><Code>{}</Code></Error>'


class Handler(BaseHTTPRequestHandler):
    """As much of S3 as a report's upload needs."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """An upload begins, or ends."""
        self._body()
        if self.path.endswith("?uploads"):
            self._answer(200, XML.format("InitiateMultipartUploadResult", "<UploadId>1</UploadId>"))
        else:
            self._answer(200, XML.format("CompleteMultipartUploadResult", '<ETag>"1"</ETag>'))

    def do_PUT(self) -> None:
        """A part, or a whole object."""
        digest = b64encode(hashlib.sha256(self._body()).digest()).decode()
        wanted = self.headers.get("x-amz-checksum-sha256")
        if digest != wanted:
            self._answer(400, ERROR.format("BadDigest"))
        else:
            self._answer(200, "")

    def do_HEAD(self) -> None:
        """There is nothing."""
        self._answer(404, "")

    def do_GET(self) -> None:
        """There is nothing."""
        self._answer(404, ERROR.format("NoSuchKey"))

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def started() -> Iterator[str]:
    """Its address."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(writer,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{reader.recv()}"
    finally:
        process.terminate()
        process.join(10)


def _serve(told: Connection) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # ends with who started it
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_port)
    server.serve_forever()
