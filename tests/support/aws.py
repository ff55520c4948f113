"""A server that stands in for AWS: moto's, in a process of its own, on a free port.

    with Aws.start() as aws:
        aws.client("s3").create_bucket(Bucket="reports")
        environment = aws.environment()        # for programs that are to find it

It keeps state and runs nothing: no function, no database, no broker. What the tests need of those is the real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's own
START_TIMEOUT_S = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test-access",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Aws:
    """A running server."""

    url: str
    pid: int

    @classmethod
    @contextlib.contextmanager
    def start(cls, program: str = "tests.support.aws") -> Iterator[Aws]:
        """Start one, and end it by its pid. program: the module that serves; another one may know more than moto."""
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", program, str(writer)],
            env={**os.environ, **CREDENTIALS},
            pass_fds=(writer,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        try:
            with os.fdopen(reader) as told:
                port = told.readline().strip()
            assert port, "the server that stands in for AWS did not start"
            aws = cls(f"http://127.0.0.1:{port}", process.pid)
            aws._wait(process)
            yield aws
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ends_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/config", timeout=5).close()
                return
            except OSError:
                assert process.poll() is None, "the server that stands in for AWS ended"
                assert time.monotonic() < ends_s, "the server that stands in for AWS does not answer"
                time.sleep(0.05)

    def client(self, name: str, **more: Any) -> Any:
        """A client of boto3 for it."""
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 1}),
            **more,
        )

    def environment(self) -> dict[str, str]:
        """Variables with which boto3 and botocore find it, wherever they run."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def topic(self, name: str = "alerts") -> Topic:
        """A new SNS topic that is listened to."""
        sns, sqs = self.client("sns"), self.client("sqs")
        made = Topic(sns.create_topic(Name=name)["TopicArn"], sqs, sqs.create_queue(QueueName=name)["QueueUrl"])
        asked = sqs.get_queue_attributes(QueueUrl=made.queue_url, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=made.arn, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
        return made

    def reset(self) -> None:
        """Forget everything."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST", data=b"")
        urllib.request.urlopen(request, timeout=10).close()


@dataclass(frozen=True, slots=True)
class Topic:
    """An SNS topic, and the queue that gets what it is told."""

    arn: str
    sqs: Any
    queue_url: str

    def told(self) -> list[dict[str, str]]:
        """What it was told since this was last asked, oldest first: Subject, Message."""
        found: list[dict[str, str]] = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                return found
            for message in answer["Messages"]:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])


def main(descriptor: int | None, layer: Callable[[Any], Any] = lambda application: application) -> None:
    """Serve until SIGTERM; the port is told on the descriptor, the address on standard output if there is none.

    layer: what stands before moto's application.
    """
    import ctypes

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    if descriptor is not None:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # ends with who started it
    server = make_server("127.0.0.1", 0, layer(DomainDispatcherApplication(create_backend_app)), threaded=True)
    if descriptor is None:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
    else:
        os.write(descriptor, f"{server.server_port}\n".encode())
        os.close(descriptor)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
