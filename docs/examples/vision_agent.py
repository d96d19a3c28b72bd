"""A Vision Agents agent on the phone. It joins the Stream call that Trunkline bridges a phone to, greets at `phone.answered`,
answers from a folder of Markdown files, falls silent when it is interrupted, and obeys the caller's keys.
Usage: python3 vision_agent.py serve --port 8000   (Stream's and the models' keys in the environment)"""
import asyncio
import json
import os

from markdown_knowledge import MarkdownKnowledge
from vision_agents.core import Agent, AgentLauncher, Runner, User
from vision_agents.core.agents.events import UserTurnStartedEvent
from vision_agents.plugins import deepgram, elevenlabs, gemini, getstream

LONGEST_RING_SECONDS = 60
COLLEAGUE = os.environ.get("AGENT_TRANSFER_TO")  # the gateway's STREAM_TRANSFER_TO must allow it
knowledge = MarkdownKnowledge(os.environ["AGENT_KNOWLEDGE"])

async def create_agent(**_) -> Agent:
    llm = gemini.LLM("gemini-flash-lite-latest")

    @llm.register_function(description="Searches the company's own pages. Use it for every question about the company.")
    async def search_knowledge(query: str) -> str:
        passages = await asyncio.to_thread(knowledge.search, query)
        return json.dumps({"passages": passages})

    return Agent(
        edge=getstream.Edge(),
        agent_user=User(id="agent", name="Agent"),  # name it in STREAM_CONTROL=user:agent
        instructions="You answer the phone of Harbour Cycles, a bicycle shop. Speak in one or two short sentences. Answer from "
        "search_knowledge only, and name the source: 'That is in our page about opening hours.' If it finds nothing, say that "
        "you do not know, and that pressing 0 reaches a colleague.",
        llm=llm,
        stt=deepgram.STT(eager_turn_detection=True),
        tts=elevenlabs.TTS(),
    )

async def join_call(agent: Agent, call_type: str, call_id: str, **_) -> None:
    call = await agent.create_call(call_type, call_id)
    answered = asyncio.Event()

    async def on_custom(message: dict) -> None:
        event = message.get("custom") or {}
        phone = event.get("phone")
        if event.get("type") == "phone.answered":
            answered.set()
        elif event.get("type") == "phone.digit" and event["digit"] == "0" and COLLEAGUE:
            await agent.send_custom_event({"type": "phone.transfer", "to": COLLEAGUE, "phone": phone})
        elif event.get("type") == "phone.digit" and event["digit"] == "#":
            await agent.send_custom_event({"type": "phone.hangup", "phone": phone})

    @agent.subscribe
    async def on_interruption(event: UserTurnStartedEvent) -> None:
        # The agent drops what it has not sent; the phone still has some of what it has.
        if answered.is_set():
            await agent.send_custom_event({"type": "phone.clear"})

    async with agent.join(call, participant_wait_timeout=0):  # before the phone: it joins when somebody answers
        # Vision Agents has no public way to receive custom events: this is the connection of Stream's SDK inside it.
        agent._connection._connection.on("custom", on_custom)
        await asyncio.wait_for(answered.wait(), LONGEST_RING_SECONDS)
        await agent.simple_response("Greet the caller.")
        await agent.finish()  # until the call ends

if __name__ == "__main__":
    Runner(AgentLauncher(create_agent=create_agent, join_call=join_call)).cli()
