"""Files on their way to S3: written as a stream, in parts, and seen by nobody before all of them are complete.

    open(name) ─▶ write … ─▶ close        a multipart upload each; a full part is sent, and S3 checks its SHA-256
    commit()                              completes them all, one after the other; then the manifest may be written
    abort()                               nothing of them is left

A file is never whole in memory, nor on the disk.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from typing import Any, Final

from functions.common.aws import Clients, told
from functions.common.errors import CloudFailed

__all__ = ["PART_BYTES", "Outbox", "Upload"]

PART_BYTES: Final = 8 << 20  # S3 wants at least 5 MiB of all but the last, and takes 10,000


class Upload(io.RawIOBase):
    """One object as a file to write; closed, it is all there but not yet to be seen."""

    def __init__(self, clients: Clients, bucket: str, key: str, content_type: str) -> None:
        super().__init__()
        self.key, self.byte_count = key, 0
        self._s3, self._bucket = clients.get("s3"), bucket
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        with self._told("an upload must begin"):
            made = self._s3.create_multipart_upload(
                Bucket=bucket, Key=key, ContentType=content_type, ChecksumAlgorithm="SHA256"
            )
        self._id: str = made["UploadId"]

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Take bytes; sends whole parts."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._buffer += view
        self.byte_count += len(view)
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(view)

    def tell(self) -> int:
        return self.byte_count

    def close(self) -> None:
        """Send what is left. Called once more, it does nothing."""
        if not self.closed and (self._buffer or not self._parts) and self._id:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        super().close()

    def commit(self) -> None:
        """Let it be seen. S3 must have put together what was sent. Raises CloudFailed."""
        whole = hashlib.sha256(b"".join(part.pop("digest") for part in self._parts))
        wanted = f"{b64encode(whole.digest()).decode()}-{len(self._parts)}"
        with self._told("an upload must end"):
            answer = self._s3.complete_multipart_upload(
                Bucket=self._bucket, Key=self.key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )
        self._id = ""
        found = answer.get("ChecksumSHA256", wanted)
        if found != wanted and found != wanted.partition("-")[0]:
            raise CloudFailed(
                f"S3 must hold what was sent, its SHA-256 must be {wanted}, was {found}",
                detail=f"s3://{self._bucket}/{self.key}",
                hint="run the report again",
            )

    def abort(self) -> None:
        """Let nothing be left of it. Raises CloudFailed."""
        upload_id, self._id = self._id, ""
        super().close()
        if upload_id:
            with self._told("an upload must be given up"):
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=self.key, UploadId=upload_id)

    def _send(self, body: bytes) -> None:
        digest = hashlib.sha256(body).digest()
        checksum = b64encode(digest).decode()
        number = len(self._parts) + 1
        with self._told("a part must be written"):
            answer = self._s3.upload_part(
                Bucket=self._bucket, Key=self.key, UploadId=self._id, PartNumber=number, Body=body,
                ChecksumSHA256=checksum,
            )  # fmt: skip
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": checksum, "digest": digest})

    def _told(self, what: str) -> Any:
        return told(what, f"s3://{self._bucket}/{self.key}", "may the function's role write there?")


class Outbox:
    """All files of one run."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients, self._bucket = clients, bucket
        self._uploads: list[Upload] = []

    def open(self, key: str, content_type: str) -> Upload:
        """A new file. Raises CloudFailed."""
        upload = Upload(self._clients, self._bucket, key, content_type)
        self._uploads.append(upload)
        return upload

    def commit(self) -> None:
        """All of them can be seen. Raises CloudFailed."""
        for upload in self._uploads:
            upload.commit()
        self._uploads = []

    def abort(self) -> list[CloudFailed]:
        """Give up what is not complete; what could not be given up, S3's lifecycle ends."""
        failures = []
        for upload in self._uploads:
            try:
                upload.abort()
            except CloudFailed as error:
                failures.append(error)
        self._uploads = []
        return failures
