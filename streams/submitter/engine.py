"""The line to the engine: one session for the life of the process, and a careful beginning.

While the session lives, the client sequences see to it that nothing is entered twice: a line that is lost is mended,
and what was not recorded is sent again under the same numbers. So a command that was sent is waited for, however long.

A new session of the same key is different: frames of an earlier process may still stand in the engine's socket, and be
recorded between our logon and our first frame, under numbers that we take for ours. So a process begins with a session
that only pings: with it the engine ends whatever came before. Then it logs on once more, and numbers are certain.
"""

from __future__ import annotations

from collections.abc import Sequence

from ironbook import (
    AsyncClient,
    ConnectionFailed,
    IronbookError,
    Key,
    NotRecorded,
    Options,
    Outcome,
    Prefixed,
    RequestTimeout,
)

FOREVER_S = 30 * 86_400.0


class Engine:
    """Enters commands in order; whoever calls tries again after an error, with the same commands."""

    def __init__(self, address: str, key: Key, timeout_s: float) -> None:
        self._address, self._key = address, key
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None

    @property
    def key(self) -> Key:
        """With whose secret it logs on."""
        return self._key

    @property
    def connected(self) -> bool:
        """Is the line open, as far as this side knows?"""
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        """Have a session whose line is open; one that is being mended is waited for. Raises IronbookError."""
        if self._client is not None and not self._client.connected:
            try:
                await self._client.ping(self._timeout_s)
            except RequestTimeout:
                raise self._away() from None
            except IronbookError:  # it ended for good
                await self.close()
        if self._client is not None:
            return
        quick = Options(
            connect_timeout_s=self._timeout_s, request_timeout_s=self._timeout_s, reconnect=False, keep_reports=False
        )
        async with AsyncClient(self._address, self._key, options=quick) as first:
            await first.ping()
        lasting = Options(
            connect_timeout_s=self._timeout_s, request_timeout_s=FOREVER_S, reconnect_timeout_s=FOREVER_S,
            refusal_timeout_s=self._timeout_s, keep_reports=False,
        )  # fmt: skip
        self._client = await AsyncClient(self._address, self._key, options=lasting).connect()

    async def renew(self, key: Key) -> bool:
        """Go on with this secret of the key, once the engine has taken it; is it another one? Raises IronbookError."""
        if key == self._key:
            return False
        client = self._client
        if client is None:  # nothing is under way; a session that sends nothing never begins
            quick = Options(connect_timeout_s=self._timeout_s, reconnect=False, keep_alive=False, keep_reports=False)
            async with AsyncClient(self._address, key, options=quick):
                self._key = key
            return True
        await client.use_key(key)
        self._key = key
        await client.ping(self._timeout_s)
        return True

    async def enter(self, commands: Sequence[Prefixed]) -> list[Outcome]:
        """Enter all of them, in order; returns when every outcome is known. Raises IronbookError: some may be in."""
        if self._client is None:
            raise self._away()
        try:
            return await self._client.submit_many(commands, timeout_s=FOREVER_S)
        except NotRecorded:  # taken back; the session goes on
            raise
        except IronbookError:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the session up; what was under way is to be entered again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _away(self) -> IronbookError:
        return ConnectionFailed(
            "the engine must answer, and the line is away", detail=self._address, hint="it is tried again and again"
        )
