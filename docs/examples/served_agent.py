"""A voice agent that the gateway dials: says back what it hears, and falls silent when it is interrupted.
Usage: PYTHONPATH=node_modules/trunkline/src/agents/python python3 served_agent.py 8080   (apt install python3-websockets)
Then: trunkline serve --agent ws://127.0.0.1:8080"""
import array
import asyncio
import os
import sys
from trunkline_agent import AgentCall, serve

LOUD, PAUSE = 1_000, 25  # of 32,768; frames of 20 ms

def is_loud(frame: bytes) -> bool:
    samples = array.array("h", frame)
    return sum(sample * sample for sample in samples) > LOUD * LOUD * len(samples)

async def answer(call: AgentCall) -> None:
    heard, quiet, speaks, answers = bytearray(), 0, False, 0
    async for event in call:
        if not isinstance(event, bytes):  # joined, left, dtmf, mark, …
            print(event, flush=True)
            speaks = speaks and event["type"] != "mark"
        elif is_loud(event):
            if speaks:
                cleared = await call.clear()  # barge-in: the caller hears no more of the answer
                print(f"interrupted after {cleared['playedMs']} ms", flush=True)
            heard, quiet, speaks = heard + event, 0, False
        elif heard and quiet < PAUSE:
            heard, quiet = heard + event, quiet + 1
        elif heard:  # the caller has finished: your speech recognition, model and voice go here
            answers += 1
            await call.send(bytes(heard))  # at once; it is heard at the pace of speech
            await call.mark(f"answer-{answers}")
            heard, speaks = bytearray(), True

def tell(port: int) -> None:
    print(f"listening on {port}", flush=True)

asyncio.run(serve(answer, int(sys.argv[1]), secret=os.environ.get("WEBHOOK_SECRET"), on_listening=tell))
