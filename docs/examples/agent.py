"""A voice agent on a phone call: says back what it hears, and falls silent when it is interrupted.
Usage: CONTROL_API_KEY=… python3 agent.py ws://127.0.0.1:3000/v1/rooms/call:ID/leg   (apt install python3-websockets)"""
import array
import asyncio
import base64
import json
import os
import sys
import websockets

RATE, LOUD, PAUSE = 16_000, 1_000, 25  # samples a second; of 32,768; frames of 20 ms
KEY = base64.urlsafe_b64encode(os.environ["CONTROL_API_KEY"].encode()).decode().rstrip("=")

def is_loud(frame):
    samples = array.array("h", frame)
    return sum(sample * sample for sample in samples) > LOUD * LOUD * len(samples)

async def converse(url):
    heard, quiet, speaks = bytearray(), 0, False
    async with websockets.connect(f"{url}?rate={RATE}", subprotocols=["trunkline.leg", f"key.{KEY}"]) as leg:
        async for message in leg:
            if isinstance(message, str):  # an event: ready, joined, left, dtmf, mark, …
                event = json.loads(message)
                print(message, flush=True)
                speaks = speaks and event["type"] != "mark"
                if event["type"] == "left":
                    return
            elif is_loud(message):
                if speaks:
                    await leg.send('{"type": "clear"}')  # barge-in: the caller hears no more of the answer
                heard, quiet, speaks = heard + message, 0, False
            elif heard and quiet < PAUSE:
                heard, quiet = heard + message, quiet + 1
            elif heard:  # the caller has finished: your speech recognition, model and voice go here
                await leg.send(bytes(heard[-2 * RATE * 20:]))  # at once; the leg speaks it at its own pace
                await leg.send('{"type": "mark", "name": "said"}')
                heard, speaks = bytearray(), True

asyncio.run(converse(sys.argv[1]))
