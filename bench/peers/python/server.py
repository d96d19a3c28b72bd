"""A Python server: uvicorn and an ASGI program without a framework. Its audio is audioop's, whose tables and linear
interpolation are C, or numpy's tables with resamplers of PyAV: the first argument says which."""

import base64
import json
import os
import sys

import uvicorn

PHONE_RATE, CALL_RATE = 8000, 48000


def audioop_audio():
    """Codec and both directions of audioop, for one call."""
    import audioop

    up = down = None

    def echo(mulaw):
        nonlocal up, down
        pcm, up = audioop.ratecv(audioop.ulaw2lin(mulaw, 2), 2, 1, PHONE_RATE, CALL_RATE, up)
        phone, down = audioop.ratecv(pcm, 2, 1, CALL_RATE, PHONE_RATE, down)
        return audioop.lin2ulaw(phone, 2)

    return echo


def pyav_audio():
    """Tables in numpy, and a resampler of PyAV for each direction, for one call."""
    import av
    import numpy

    up = av.AudioResampler(format="s16", layout="mono", rate=CALL_RATE)
    down = av.AudioResampler(format="s16", layout="mono", rate=PHONE_RATE)
    decoded, encoded = tables()
    # An answer for each message, though a resampler may keep some of the sound: a frame of silence goes first.
    kept = b"\xff" * (PHONE_RATE // 50)

    def resample(resampler, samples, rate):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        return numpy.concatenate([each.to_ndarray()[0] for each in resampler.resample(frame)])

    def echo(mulaw):
        nonlocal kept
        pcm = resample(up, decoded[numpy.frombuffer(mulaw, numpy.uint8)], PHONE_RATE)
        phone = resample(down, pcm, CALL_RATE)
        kept += encoded[phone.view(numpy.uint16)].tobytes()
        answer, kept = kept[: len(mulaw)], kept[len(mulaw) :]
        return answer

    return echo


def tables():
    """Samples of all codes, and codes of all samples."""
    import audioop

    import numpy

    decoded = numpy.frombuffer(audioop.ulaw2lin(bytes(range(256)), 2), numpy.int16)
    samples = numpy.arange(65536, dtype=numpy.uint16)
    return decoded, numpy.frombuffer(audioop.lin2ulaw(samples.tobytes(), 2), numpy.uint8)


AUDIO = {"audioop": audioop_audio, "pyav": pyav_audio}


class Call:
    """One phone: its stream and its audio."""

    def __init__(self, send, echo):
        self.send = send
        self.echo = echo
        self.stream_sid = None

    async def take(self, text):
        message = json.loads(text)
        event = message["event"]
        if event == "media":
            mulaw = self.echo(base64.b64decode(message["media"]["payload"]))
            payload = base64.b64encode(mulaw).decode("ascii")
            answer = {"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}}
            await self.send({"type": "websocket.send", "text": json.dumps(answer, separators=(",", ":"))})
        elif event == "start":
            self.stream_sid = message["streamSid"]


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    call = Call(send, AUDIO[sys.argv[1]]())
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
