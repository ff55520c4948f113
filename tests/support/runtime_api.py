"""Lambda's Runtime API, as AWS documents it, for one function that runs in a process of its own.

with RuntimeApi() as api:
    start("python", "-m", "awslambdaric", "functions.x.handler.handle", env={"AWS_LAMBDA_RUNTIME_API": api.address})
    answer = api.invoke({"shard": 0})        # what the handler returned, or the error it raised
"""

from __future__ import annotations

import dataclasses
import json
import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "/2018-06-01/runtime"


@dataclasses.dataclass
class Answered:
    """How an invocation ended."""

    failed: bool
    value: Any


class RuntimeApi:
    """A server on a free port; invocations are handed to whoever asks for the next one."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, bytes, int] | None] = queue.Queue()
        self._answers: queue.Queue[Answered] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._next(self)

            def do_POST(self) -> None:
                api._answered(self)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RuntimeApi:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: dict[str, Any], timeout_s: float = 60.0) -> Answered:
        """Hand out an event, wait for its answer."""
        deadline_ms = int((time.time() + timeout_s) * 1000)
        self._waiting.put((str(uuid.uuid4()), json.dumps(event).encode(), deadline_ms))
        return self._answers.get(timeout=timeout_s + 10)

    def _next(self, request: BaseHTTPRequestHandler) -> None:
        found = self._waiting.get()
        if found is None:
            request.close_connection = True
            return
        number, body, deadline_ms = found
        request.send_response(200)
        for name, value in {
            "Lambda-Runtime-Aws-Request-Id": number,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:under-test",
            "Lambda-Runtime-Trace-Id": "Root=1-0-0",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def _answered(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        assert request.path.startswith(VERSION), request.path
        self._answers.put(Answered(not request.path.endswith("/response"), json.loads(body or b"null")))
        request.send_response(202)
        request.send_header("Content-Length", "0")
        request.end_headers()
