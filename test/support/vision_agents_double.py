"""Runs docs/examples/vision_agent.py with doubles of Vision Agents, from its source at commit e5d60179: only what the example uses,
with the checks that the framework makes. Prints what the agent did, as JSON.
Usage: python3 vision_agents_double.py EXAMPLE"""
import asyncio
import contextlib
import importlib.util
import inspect
import json
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

did: list = []

@dataclass
class UserTurnStartedEvent:  # core/agents/events.py
    type: str = field(default="agent.user_turn_started", init=False)
    participant: typing.Any = None

class LLM:  # core/llm/llm.py and function_registry.py
    def __init__(self, model: str) -> None:
        self.functions = {}

    def register_function(self, name=None, description=None):
        def decorator(function):
            if not inspect.iscoroutinefunction(function):
                raise ValueError("Only async functions can be registered")
            assert typing.get_type_hints(function)["query"] is str
            self.functions[name or function.__name__] = (description or function.__doc__, function)
            return function
        return decorator

class Connection:  # the SDK's, inside plugins/getstream's StreamConnection
    def __init__(self) -> None:
        self._connection = self
        self.listeners = {}

    def on(self, name, listener):
        self.listeners[name] = listener

class Agent:  # core/agents/agents.py
    def __init__(self, *, edge, llm, agent_user, instructions, stt, tts) -> None:
        self.llm, self.handlers, self._connection, self.over = llm, {}, None, asyncio.Event()

    async def create_call(self, call_type: str, call_id: str):
        did.append(["create_call", call_type, call_id])
        return object()

    def subscribe(self, function):
        if not asyncio.iscoroutinefunction(function):
            raise RuntimeError("Handlers must be coroutines.")
        hints = {name: hint for name, hint in typing.get_type_hints(function).items() if name != "return"}
        [event] = hints.values()
        self.handlers[event.type if hasattr(event, "type") else event.__dataclass_fields__["type"].default] = function
        return function

    @contextlib.asynccontextmanager
    async def join(self, call, participant_wait_timeout=10.0):
        assert participant_wait_timeout == 0
        self._connection = Connection()
        did.append(["join"])
        yield
        did.append(["leave"])

    async def send_custom_event(self, data: dict) -> None:
        did.append(["send", data])

    async def simple_response(self, text: str, participant=None, interrupt=True) -> None:
        did.append(["respond", text])

    async def finish(self) -> None:
        await self.over.wait()

def module(name: str, **members) -> None:
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        setattr(sys.modules[name], key, value)

def user(id, name):
    return (id, name)

def component(*_, **__):
    return object()

plugin = types.SimpleNamespace
module("vision_agents")
module("vision_agents.core", Agent=Agent, AgentLauncher=component, Runner=component, User=user)
module("vision_agents.core.agents")
module("vision_agents.core.agents.events", UserTurnStartedEvent=UserTurnStartedEvent)
module("vision_agents.plugins", deepgram=plugin(STT=component), elevenlabs=plugin(TTS=component),
       gemini=plugin(LLM=LLM), getstream=plugin(Edge=component))

async def main() -> None:
    path = Path(sys.argv[1])
    sys.path.insert(0, str(path.parent))
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    agent = await example.create_agent()
    session = asyncio.create_task(example.join_call(agent, "default", "call-1"))

    async def settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    await settle()
    phone = {"phone": "phone-1"}
    custom = agent._connection.listeners["custom"]
    interruption = agent.handlers["agent.user_turn_started"]
    await interruption(UserTurnStartedEvent())  # nobody is on the phone yet
    await custom({"custom": {"type": "phone.answered", **phone}})
    await settle()
    await interruption(UserTurnStartedEvent())
    for digit in "50#":
        await custom({"custom": {"type": "phone.digit", "digit": digit, **phone}})
    await custom({"custom": {"type": "something.else"}})
    await custom({})
    _, search = agent.llm.functions["search_knowledge"]
    did.append(["search", json.loads(await search(query="When are you open on Saturdays?"))])
    agent.over.set()
    await session
    print(json.dumps(did))

asyncio.run(main())
