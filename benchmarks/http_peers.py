"""What the gateway is compared with, and the gateway with one route more.

    python -m benchmarks.http_peers starlette|fastapi     an echo on uvicorn with uvloop and httptools; prints its port
    python -m benchmarks.http_peers gateway               the gateway (settings from the environment), with POST /echo

A echo takes a JSON body and answers with it: Starlette as the bytes they are, FastAPI as its users write it. The
gateway's own goes through all of its routing.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import routing, server
from gateway.settings import load

__all__ = ["ECHO_PATH"]

ECHO_PATH = "/echo"


async def starlette_echo(request: Request) -> Response:
    """The body, back."""
    return Response(await request.body(), media_type="application/json")


def starlette_app() -> Starlette:
    """A bare application."""
    return Starlette(routes=[Route(ECHO_PATH, starlette_echo, methods=["POST"])])


def fastapi_app() -> FastAPI:
    """A JSON object in, the same out."""
    app = FastAPI()

    @app.post(ECHO_PATH)
    async def echo(order: dict[str, Any]) -> dict[str, Any]:
        return order

    return app


def serve(app: Any) -> None:
    """On a free port, which is printed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def serve_gateway() -> int:
    """The gateway as it is shipped, and a route that it is not shipped with."""
    echo = routing.Route(
        method="POST",
        path=ECHO_PATH,
        handler=lambda call: routing.Response(200, call.request.body),
        summary="The body, back",
        tag="benchmark",
    )
    vars(server)["ROUTES"] = (*server.ROUTES, echo)
    return server.run(load())


if __name__ == "__main__":
    if sys.argv[1] == "gateway":
        sys.exit(serve_gateway())
    serve(starlette_app() if sys.argv[1] == "starlette" else fastapi_app())
