"""A Vision Agents agent that joins the Stream call of a phone, greets at `phone.answered` and can clear or hang up.
Usage: uv run vision_agent.py serve --port 8000   (Stream's and the models' keys in the environment)"""
import asyncio

from vision_agents.core import Agent, AgentLauncher, Runner, User
from vision_agents.plugins import deepgram, elevenlabs, gemini, getstream

LONGEST_RING_SECONDS = 60

async def create_agent(**_) -> Agent:
    return Agent(
        edge=getstream.Edge(),
        agent_user=User(id="agent", name="Agent"),  # name it in STREAM_CONTROL=user:agent
        instructions="You answer the phone. Keep it short.",
        llm=gemini.LLM("gemini-2.5-flash-lite"),
        stt=deepgram.STT(),
        tts=elevenlabs.TTS(),
    )

async def join_call(agent: Agent, call_type: str, call_id: str, **_) -> None:
    call = await agent.create_call(call_type, call_id)
    answered = asyncio.Event()

    async def on_custom(message: dict) -> None:
        event = message.get("custom") or {}
        if event.get("type") == "phone.answered":
            answered.set()
        elif event.get("type") == "phone.digit" and event["digit"] == "0":
            await agent.send_custom_event({"type": "phone.hangup", "phone": event["phone"]})

    async with agent.join(call, participant_wait_timeout=0):  # before the phone: it joins when somebody answers
        # Vision Agents has no public way to receive custom events: this is the connection of Stream's SDK inside it.
        agent._connection._connection.on("custom", on_custom)
        await asyncio.wait_for(answered.wait(), LONGEST_RING_SECONDS)
        await agent.simple_response("Greet the caller.")
        await agent.finish()  # until the call ends

if __name__ == "__main__":
    Runner(AgentLauncher(create_agent=create_agent, join_call=join_call)).cli()
