"""Trunkline's raw leg for Python: a phone call as an object, over a WebSocket with 16-bit PCM.

Needs Python 3.11 or newer and the package `websockets`, 10.4 or newer (Debian: python3-websockets).

    async def answer(call: AgentCall) -> None:
        async for event in call:
            if isinstance(event, bytes):      # 20 ms of what the caller says
                ...
            elif event["type"] == "joined":   # the phone is answered: greet
                await call.send(greeting)

    asyncio.run(serve(answer, 8080, secret="whsec_..."))

A gateway that is started with AGENT=ws://host:8080/ connects once a call. `join` goes the other way: a program joins a call
or a room at the gateway.

The events and commands are those of raw-leg.schema.json, spelled alike. All times are milliseconds. Audio is signed 16-bit
PCM, little endian, mono, at `rate` samples a second as heard and `send_rate` as sent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, NotRequired, TypedDict

import websockets

__all__ = ["AgentCall", "CallFacts", "Command", "Event", "join", "serve", "verify"]

log = logging.getLogger("trunkline")

PROTOCOL = "trunkline.leg"
BYTES_A_SAMPLE = 2
MAX_MESSAGE_BYTES = 1024 * 1024
"""Most bytes of audio in one message; `send` cuts longer audio."""
MAX_WAITING_MS = 1_000
"""Most audio that waits for a slow handler; the oldest is dropped."""
MAX_WAITING_EVENTS = 1_000
"""Most events that wait for a slow handler; then the connection is closed."""
TOLERANCE_SECONDS = 300
"""Most that the clocks of agent and gateway may differ, and a connection may be late."""


CallFacts = TypedDict(
    "CallFacts",
    {
        "callId": str,
        "callSid": NotRequired[str],
        "accountSid": NotRequired[str],
        "direction": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "callerName": NotRequired[str],
        "room": str,
        "startedAt": str,
        "connection": int,
        "parameters": NotRequired[dict[str, str]],
    },
)
"""What the gateway knows of a call: the header `trunkline-call`, and `call` of `ready`."""


class ReadyEvent(TypedDict):
    """First on every connection. `AgentCall` takes it; handlers do not see it."""

    type: Literal["ready"]
    version: Literal[1]
    room: str
    rate: int
    sendRate: int
    frameMs: float
    bufferMs: float
    listen: bool
    phones: list[str]
    playedMs: float
    resumed: bool
    call: NotRequired[CallFacts]


class JoinedEvent(TypedDict):
    """A phone was answered."""

    type: Literal["joined"]
    phone: str
    direction: NotRequired[str]
    ringSeconds: NotRequired[float]


class LeftEvent(TypedDict):
    """A phone hung up or went elsewhere."""

    type: Literal["left"]
    phone: str


class DtmfEvent(TypedDict):
    """A caller pressed a key."""

    type: Literal["dtmf"]
    phone: str
    digit: str


class MarkEvent(TypedDict):
    """A mark was heard, part of the audio before it was cleared, or it was sent and more cannot be known."""

    type: Literal["mark"]
    name: str
    place: Literal["heard", "cleared", "sent"]
    playedMs: float


class ClearedEvent(TypedDict):
    """How much the caller did not hear, and has heard so far."""

    type: Literal["cleared"]
    discardedMs: float
    playedMs: float


class DroppedEvent(TypedDict):
    """Audio was lost: `sent` did not fit the gateway's buffer, `heard` was not read in time."""

    type: Literal["dropped"]
    of: Literal["sent", "heard"]
    ms: float


class ErrorEvent(TypedDict):
    """A message of this program failed: a stable code, and a text for people."""

    type: Literal["error"]
    code: str
    message: str


Event = ReadyEvent | JoinedEvent | LeftEvent | DtmfEvent | MarkEvent | ClearedEvent | DroppedEvent | ErrorEvent


class ClearCommand(TypedDict):
    type: Literal["clear"]


class MarkCommand(TypedDict):
    type: Literal["mark"]
    name: str


class DtmfCommand(TypedDict):
    type: Literal["dtmf"]
    digits: str


class HangupCommand(TypedDict):
    type: Literal["hangup"]
    phone: NotRequired[str]
    after: NotRequired[Literal["words", "now"]]


class TransferCommand(TypedDict):
    type: Literal["transfer"]
    to: str
    phone: NotRequired[str]


Command = ClearCommand | MarkCommand | DtmfCommand | HangupCommand | TransferCommand


class _Clear:
    """A `clear` that the gateway has not answered yet."""

    def __init__(self) -> None:
        self.done: asyncio.Future[ClearedEvent] = asyncio.get_running_loop().create_future()
        self.sent_since_ms = 0.0

    def answer(self, event: ClearedEvent) -> None:
        if not self.done.done():
            self.done.set_result(event)


class AgentCall:
    """One connection of a call. Iterate it for audio (`bytes`) and events (`dict`)."""

    def __init__(self, socket: Any, ready: ReadyEvent) -> None:
        self._socket = socket
        self._waiting: deque[bytes | Event] = deque()
        self._waiting_audio = 0
        self._waiting_events = 0
        self._news = asyncio.Event()
        self._clears: deque[_Clear] = deque()
        self._is_over = False
        self.facts: CallFacts | None = ready.get("call")
        """The call's facts; None where this program joined a room itself."""
        self.room: str = ready["room"]
        self.rate: int = ready["rate"]
        """Samples a second of the audio that is heard."""
        self.send_rate: int = ready.get("sendRate", ready["rate"])
        """Samples a second of the audio that is sent."""
        self.is_resumed: bool = ready.get("resumed", False)
        """Whether an earlier connection of this call was lost: the caller may have been greeted already."""
        self.phones: list[str] = list(ready["phones"])
        """Ids of the calls that are on the line."""
        self.played_ms: float = ready.get("playedMs", 0)
        """Milliseconds of this agent's audio that the caller has heard, as of the latest event that says so."""
        self.sent_ms: float = self.played_ms
        """Milliseconds sent and not discarded: where the next audio begins, in the time of `played_ms`."""
        self.dropped_ms: float = 0
        """Milliseconds of the caller's audio that this program took too late."""

    def __aiter__(self) -> AsyncIterator[bytes | Event]:
        return self

    async def __anext__(self) -> bytes | Event:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item = self._waiting.popleft()
        if isinstance(item, bytes):
            self._waiting_audio -= len(item)
        else:
            self._waiting_events -= 1
        return item

    async def send(self, pcm: bytes) -> None:
        """Says something: 16-bit PCM at `send_rate`, of any length, as fast as you like. It is heard at the pace of speech."""
        if len(pcm) % BYTES_A_SAMPLE:
            raise ValueError(f"Expected whole samples of 2 bytes for pcm but received {len(pcm)} bytes")
        for at in range(0, len(pcm), MAX_MESSAGE_BYTES):
            piece = bytes(pcm[at : at + MAX_MESSAGE_BYTES])
            ms = len(piece) / BYTES_A_SAMPLE * 1_000 / self.send_rate
            self.sent_ms += ms
            for clear in self._clears:
                clear.sent_since_ms += ms
            await self._socket.send(piece)

    async def clear(self) -> ClearedEvent:
        """Drops what the caller has not heard yet (barge-in). Returns how much that was, and how much was heard."""
        clear = _Clear()
        self._clears.append(clear)
        await self._command({"type": "clear"})
        return await clear.done

    async def mark(self, name: str) -> None:
        """Asks for the event `mark` when the caller has heard everything sent before. Names of 1 to 128 characters."""
        await self._command({"type": "mark", "name": name})

    async def dial(self, digits: str) -> None:
        """Plays keys to the caller: up to 32 of 0-9 * # A-D, and pauses w (0.5 s) and W (1 s)."""
        await self._command({"type": "dtmf", "digits": digits})

    async def hang_up(self, phone: str | None = None, *, now: bool = False) -> None:
        """Hangs up one call by its id, or all: when the audio before was heard, or now."""
        command: HangupCommand = {"type": "hangup"}
        if phone is not None:
            command["phone"] = phone
        if now:
            command["after"] = "now"
        await self._command(command)

    async def transfer(self, to: str, phone: str | None = None) -> None:
        """Hands the caller over to another number, +1555… or sip:…, when the audio before was heard."""
        command: TransferCommand = {"type": "transfer", "to": to}
        if phone is not None:
            command["phone"] = phone
        await self._command(command)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends the connection. With 1000 the agent has finished: its last words are heard, then the call ends."""
        await self._socket.close(code, reason)

    async def _command(self, command: Command) -> None:
        await self._socket.send(json.dumps(command))

    async def _read(self) -> None:
        """Takes what the gateway sends, whether or not the handler keeps up."""
        try:
            async for message in self._socket:
                if isinstance(message, bytes):
                    self._add_audio(message)
                else:
                    await self._add_event(json.loads(message))
        except websockets.ConnectionClosed:
            pass  # Lost; the gateway connects again.
        finally:
            self._is_over = True
            self._news.set()
            for clear in self._clears:
                clear.answer({"type": "cleared", "discardedMs": 0, "playedMs": self.played_ms})

    def _add_audio(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._waiting_audio += len(frame)
        most = self.rate * BYTES_A_SAMPLE * MAX_WAITING_MS / 1_000
        while self._waiting_audio > most:
            at = next(i for i, item in enumerate(self._waiting) if isinstance(item, bytes))
            size = len(self._waiting[at])
            del self._waiting[at]
            self._waiting_audio -= size
            self.dropped_ms += size / BYTES_A_SAMPLE * 1_000 / self.rate
        self._news.set()

    async def _add_event(self, event: Event) -> None:
        self.played_ms = event.get("playedMs", self.played_ms)
        match event:
            case {"type": "joined", "phone": phone} if phone not in self.phones:
                self.phones.append(phone)
            case {"type": "left", "phone": phone} if phone in self.phones:
                self.phones.remove(phone)
            case {"type": "cleared", "playedMs": played} if self._clears:
                clear = self._clears.popleft()
                self.sent_ms = played + clear.sent_since_ms
                clear.answer(event)
            case {"type": "dropped", "of": "sent", "ms": dropped}:
                self.sent_ms -= dropped
        self._waiting.append(event)
        self._waiting_events += 1
        self._news.set()
        if self._waiting_events > MAX_WAITING_EVENTS:
            await self.close(1011, "the handler is too slow")


Handler = Callable[[AgentCall], Awaitable[None]]


async def serve(
    handler: Handler,
    port: int,
    *,
    host: str = "127.0.0.1",
    secret: str | None = None,
    max_calls: int = 1_000,
    on_listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Serves calls until it is cancelled: the gateway connects once a call, and again when a connection was lost.

    A handler that returns has finished: the call ends after its last words. One that raises is a lost connection.

    :param port: 0 takes a free one
    :param secret: WEBHOOK_SECRET of the gateway; connections that are not signed by it are refused with 401
    :param max_calls: connections at a time; further ones are refused with 503
    :param on_listening: called with the port, once connections are accepted
    """

    calls = 0

    async def check(first: Any, second: Any) -> Any:
        # websockets before 14 gives path and headers, later ones connection and request.
        headers = getattr(second, "headers", second)
        if secret is not None and not verify(headers, secret):
            log.warning("refused a call: its signature is missing or wrong")
            return refuse(first, http.HTTPStatus.UNAUTHORIZED, "Expected a signature by our secret\n")
        if calls >= max_calls:
            log.warning("refused a call: %s are connected", calls)
            return refuse(first, http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many calls\n")
        return None

    def refuse(connection: Any, status: http.HTTPStatus, text: str) -> Any:
        return connection.respond(status, text) if hasattr(connection, "respond") else (status, [], text.encode())

    async def talk(socket: Any) -> None:
        nonlocal calls
        calls += 1
        try:
            await _run(socket, handler)
        finally:
            calls -= 1

    # No compression: it delays audio. The gateway pings.
    options = {"compression": None, "ping_interval": None, "max_size": MAX_MESSAGE_BYTES, "process_request": check}
    async with websockets.serve(talk, host, port, **options) as server:
        on_listening(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def join(url: str, key: str) -> AsyncIterator[AgentCall]:
    """Joins a call or a room: ws://gateway/v1/calls/{id}/leg?rate=16000, with the gateway's CONTROL_API_KEY."""
    offered = f"key.{base64.urlsafe_b64encode(key.encode()).decode().rstrip('=')}"
    options: dict[str, Any] = {"compression": None, "subprotocols": [PROTOCOL, offered]}
    async with websockets.connect(url, **options) as socket:
        call, reading = await _begin(socket)
        try:
            yield call
        finally:
            await call.close()
            await reading


async def _begin(socket: Any) -> tuple[AgentCall, asyncio.Task[None]]:
    ready = json.loads(await socket.recv())
    if ready.get("type") != "ready":
        raise ValueError(f"Expected ready as the first event but received {ready.get('type')}")
    call = AgentCall(socket, ready)
    return call, asyncio.create_task(call._read())


async def _run(socket: Any, handler: Handler) -> None:
    try:
        call, reading = await _begin(socket)
    except websockets.ConnectionClosed:
        return
    try:
        await handler(call)
        await call.close()
    except websockets.ConnectionClosed:
        pass  # The call has ended, or the gateway connects again.
    except Exception:
        log.exception("the handler of a call failed")
        await call.close(1011, "the handler failed")
    await reading


def verify(headers: Any, secret: str, now: float | None = None) -> bool:
    """Whether a connection is signed by a secret, as Standard Webhooks sign: HMAC-SHA256 over id, timestamp and facts.

    :param headers: of the upgrade request, with a method `get`
    :param now: seconds since 1970
    """
    facts, timestamp = headers.get("trunkline-call") or "", headers.get("webhook-timestamp") or ""
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    text = f"{headers.get('webhook-id') or ''}.{timestamp}.{facts}".encode()
    wanted = b"v1," + base64.b64encode(hmac.digest(_key_of(secret), text, hashlib.sha256))
    signatures = (headers.get("webhook-signature") or "").encode(errors="replace").split(b" ")
    # Each is compared, so that the time tells nothing.
    return any([hmac.compare_digest(wanted, signature) for signature in signatures])


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
