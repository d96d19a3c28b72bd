"""What src/agents/python/trunkline_agent.py declares and does, as JSON: for the test that compares it with the schema.
The messages of standard input, one a line, are what a gateway sends."""
import asyncio
import json
import sys
import types
import typing

# Only sockets need it, and there is none here.
sys.modules["websockets"] = types.SimpleNamespace(ConnectionClosed=ConnectionError)
sys.path.insert(0, sys.argv[1])
import trunkline_agent as client


def described(kind: typing.Any) -> typing.Any:
    """A type as JSON Schema would have it, as far as messages need."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.NotRequired:
        return described(args[0])
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is list:
        return {"array": described(args[0])}
    if origin is dict:
        return {"record": described(args[1])}
    if isinstance(kind, type) and kind.__module__ == client.__name__:
        return {"ref": kind.__name__}
    return {str: "string", float: "number", int: "integer", bool: "boolean"}[kind]


def declared(kind: typing.Any) -> dict[str, typing.Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    # With postponed annotations `__required_keys__` knows nothing of NotRequired.
    required = [name for name, hint in hints.items() if typing.get_origin(hint) is not typing.NotRequired]
    return {"fields": {name: described(hint) for name, hint in hints.items()}, "required": required}


class Socket:
    """Gives the messages of a gateway, and keeps what is sent."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        self.sent: list[str] = []

    async def send(self, message: str) -> None:
        self.sent.append(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        pass

    def __aiter__(self) -> "Socket":
        return self

    async def __anext__(self) -> str:
        if not self.messages:
            raise StopAsyncIteration
        return self.messages.pop(0)


async def main() -> None:
    ready, *events = [line for line in sys.stdin.read().splitlines() if line]
    socket = Socket(events)
    call = client.AgentCall(socket, json.loads(ready))
    await call._read()
    heard = [event async for event in call]
    speaking = client.AgentCall(Socket([]), json.loads(ready))
    clearing = asyncio.create_task(speaking.clear())
    await speaking.mark("answer-1")
    await speaking.dial("12#")
    await speaking.hang_up("call-1", now=True)
    await speaking.transfer("+15551234567", "call-1")
    await asyncio.sleep(0)
    clearing.cancel()
    # A second and a half that nobody takes in time.
    frames = [bytes([i]) * 640 for i in range(75)]
    slow = client.AgentCall(Socket(list(frames)), {**json.loads(ready), "rate": 16_000})
    await slow._read()
    waited = [frame async for frame in slow]
    names = [*[kind.__name__ for kind in typing.get_args(client.Event)], "CallFacts"]
    names += [kind.__name__ for kind in typing.get_args(client.Command)]
    known = {"facts": call.facts, "room": call.room, "rate": call.rate, "sendRate": call.send_rate}
    known |= {"resumed": call.is_resumed, "phones": call.phones, "playedMs": call.played_ms}
    print(
        json.dumps(
            {
                "types": {name: declared(getattr(client, name)) for name in names},
                "known": known,
                "events": heard,
                "slow": {"droppedMs": slow.dropped_ms, "isLatest": waited == frames[-len(waited) :], "frames": len(waited)},
                "verified": [client.verify(each["headers"], each["secret"]) for each in json.loads(sys.argv[2])],
                "commands": [json.loads(text) for text in speaking._socket.sent],
            }
        )
    )


asyncio.run(main())
