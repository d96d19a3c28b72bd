"""A Python server: uvicorn, an ASGI program without a framework, and audioop, whose tables and resampler are C."""

import audioop
import base64
import json
import os

import uvicorn

PHONE_RATE, CALL_RATE = 8000, 48000


class Call:
    """One phone: its stream, and the state of a resampler for each direction."""

    def __init__(self, send):
        self.send = send
        self.stream_sid = None
        self.up = self.down = None

    async def take(self, text):
        message = json.loads(text)
        event = message["event"]
        if event == "media":
            await self.echo(base64.b64decode(message["media"]["payload"]))
        elif event == "start":
            self.stream_sid = message["streamSid"]

    async def echo(self, mulaw):
        phone = audioop.ulaw2lin(mulaw, 2)
        pcm, self.up = audioop.ratecv(phone, 2, 1, PHONE_RATE, CALL_RATE, self.up)
        phone, self.down = audioop.ratecv(pcm, 2, 1, CALL_RATE, PHONE_RATE, self.down)
        payload = base64.b64encode(audioop.lin2ulaw(phone, 2)).decode("ascii")
        answer = {"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}}
        await self.send({"type": "websocket.send", "text": json.dumps(answer, separators=(",", ":"))})


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    call = Call(send)
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await call.take(event["text"])
        else:
            return


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        lifespan="off",
        log_level="critical",
        ssl_certfile=os.environ.get("TLS_CERT_FILE"),
        ssl_keyfile=os.environ.get("TLS_KEY_FILE"),
    )
