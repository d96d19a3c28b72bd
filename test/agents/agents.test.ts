import { describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import type { AgentCall, AgentHandler } from '../../src/agents/index.js';
import { createGateway, type GatewayOptions } from '../../src/index.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import {
  APOLOGY,
  CALL,
  heardDb,
  isHearing,
  LEVEL,
  saysTone,
  serve,
  serveSocket,
  startWithAgent,
} from '../support/agent.js';
import { tone } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const AFTER = { after: [{ say: 'Goodbye.' }] } as const;

/** Agents in the gateway's process, and the calls that they got. */
function handlers(...names: readonly string[]) {
  const calls: [name: string, call: AgentCall][] = [];
  const answer = (name: string): AgentHandler => {
    return (call) => {
      calls.push([name, call]);
    };
  };
  return { calls, handlers: Object.fromEntries(names.map((name) => [name, answer(name)])) };
}

describe('who answers', () => {
  it('is the agent of the decision, else that of the gateway; false is nobody', async () => {
    const { calls, handlers: all } = handlers('usual', 'sales');
    const agents: GatewayOptions['agents'] = { handlers: all };
    let agent: string | false | undefined;
    const prepareCall = () => (agent === undefined ? {} : { agent });
    const { place } = await startWithAgent('usual', { agents, prepareCall });
    for (const each of [undefined, 'sales', false] as const) {
      agent = each;
      const phone = await place(AudioSource.tone(1_000));
      await sleep(500);
      // A caller without an agent hears the echo agent.
      expect(isHearing(phone), String(each)).toBe(each === false);
      await phone.hangUp();
    }
    expect(calls.map(([name]) => name)).toEqual(['usual', 'sales']);
  });

  it('is the agent of a call that is placed', async () => {
    const { calls, handlers: all } = handlers('usual', 'sales');
    const { gateway } = await startWithAgent('usual', { agents: { handlers: all } });
    await gateway.placeCall({ to: '+15554445555', agent: 'sales' });
    await eventually('the agent', () => calls.length > 0);
    expect(calls[0]?.[0]).toBe('sales');
    expect(calls[0]?.[1].facts).toMatchObject({ direction: 'outbound-api', to: '+15554445555' });
    await gateway.placeCall({ to: '+15554445556', agent: false });
    await sleep(1_000);
    expect(calls).toHaveLength(1);
  });

  it('is checked when the gateway is made', () => {
    const made = (options: GatewayOptions) => () =>
      createGateway({ twilio: { validate: false }, logLevel: 'silent', ...options });
    expect(made({ agent: 'nobody' })).toThrow(
      'Expected a ws:// or wss:// URL, openai:<model> or gemini:<model> for an agent but received "nobody"',
    );
    expect(made({ agent: 'openai:gpt-realtime' })).toThrow('Agent openai:gpt-realtime needs OPENAI_API_KEY');
    expect(made({ agent: 'http://example.com' })).toThrow('for agent but received "http://example.com"');
    expect(made({ agent: 'wss://example.com/#call' })).toThrow('for agent but received');
    expect(made({ agents: { handlers: { openai: () => {} } } })).toThrow('agents.handlers');
    expect(made({ agents: { rate: 44_100 as 8_000 } })).toThrow('agents.rate');
    expect(made({ agents: { secret: 'short' } })).toThrow('agents.secret');
    expect(made({ agent: 'wss://agent.example.com/call?tenant=1' })).not.toThrow();
  });

  it('gets an apology to the caller if a decision names somebody unknown', async () => {
    const { place } = await startWithAgent(undefined, { prepareCall: () => ({ agent: 'nobody' }) });
    expect((await (await place()).ended).said).toEqual([APOLOGY.say]);
  });

  it('cannot be an agent for a stream of your own', async () => {
    const { place } = await startWithAgent(undefined, {
      prepareCall: () => ({ bridge: false, agent: 'wss://agent.example.com' }) as never,
    });
    await expect(place()).rejects.toThrow();
  });
});

describe('an agent', () => {
  it('ends the call by closing with 1000: its last words are heard, then the verbs after the call', async () => {
    const server = await serve((call) => {
      call.on('answered', () => {
        call.send(tone(700, 16_000, 32_000, LEVEL));
        call.close();
      });
    });
    const { place } = await startWithAgent(server.url, { prepareCall: () => AFTER });
    const phone = await place();
    const outcome = await phone.ended;
    expect(outcome.said).toEqual(['Goodbye.']);
    expect(heardDb(phone, 700, 1_500, 1_900)).toBeGreaterThan(-3);
  });

  it('leaves a call that goes on with others in its room', async () => {
    const { calls, handlers: all } = handlers('desk');
    const { place, gateway } = await startWithAgent('desk', {
      agents: { handlers: all },
      prepareCall: () => ({ room: 'desk' }),
    });
    const phones = [await place(), await place()];
    await eventually('both', () => calls.length === 2 && calls.every(([, call]) => call.phones.length === 2));
    for (const [, call] of calls) call.close();
    await sleep(2_000);
    expect(gateway.stats().activeCalls).toBe(2);
    for (const phone of phones) await phone.hangUp();
  });

  it('learns who else is in its room, and its first words wait for its own caller', async () => {
    const phones: (readonly string[])[] = [];
    const answer: AgentHandler = (call) => {
      phones.push(call.phones);
      call.send(tone(700, call.sendRate, call.sendRate, LEVEL));
    };
    let agent: string | false = false;
    const { place, gateway, twilio } = await startWithAgent(undefined, {
      agents: { handlers: { desk: answer } },
      prepareCall: () => ({ room: 'desk', agent }),
    });
    const first = await place(AudioSource.silence());
    await sleep(500);
    agent = 'desk';
    const answered: SimulatedPhone[] = [];
    twilio.once('answered', (phone) => answered.push(phone));
    const [{ callId } = {}] = gateway.calls.listActive();
    await gateway.placeCall({ to: '+15554445555' });
    await eventually('the answer', () => answered.length > 0);
    await sleep(1_500);
    expect(phones).toEqual([[callId]]);
    expect(answered[0]?.report()?.playout.playedMs ?? 0).toBeGreaterThanOrEqual(1_000);
    await first.hangUp();
  });

  it('hears keys, dials keys, and hangs up', async () => {
    const { calls, handlers: all } = handlers('desk');
    const { place } = await startWithAgent('desk', { agents: { handlers: all } });
    const phone = await place();
    const keys: string[] = [];
    await eventually('the call', () => calls[0]?.[1].isAnswered);
    const [, call] = calls[0] as [string, AgentCall];
    call.on('key', (digit) => keys.push(digit));
    phone.dtmf('5');
    await eventually('the key', () => keys.length > 0);
    expect(keys).toEqual(['5']);
    call.dial('1');
    await eventually('tones', () => isHearing(phone));
    call.hangUp();
    expect((await phone.ended).said).toEqual([]);
    expect(call.isClosed).toBe(true);
  });

  it('transfers the caller to a number that is allowed, after its last words', async () => {
    const refused: string[] = [];
    const { calls, handlers: all } = handlers('desk');
    const { place } = await startWithAgent('desk', {
      agents: { handlers: all, transferTo: ['+1555*'] },
    });
    const phone = await place();
    await eventually('the call', () => calls[0]?.[1].isAnswered);
    const [, call] = calls[0] as [string, AgentCall];
    call.on('refused', ({ code }) => refused.push(code));
    call.transfer('+19005550100');
    await eventually('the refusal', () => refused.length > 0);
    expect(refused).toEqual(['GW_TRANSFER_REFUSED']);
    call.send(tone(700, 16_000, 16_000, LEVEL));
    const began = clock.now();
    call.transfer('+15550000001');
    const outcome = await phone.ended;
    expect(outcome.dialled).toEqual(['+15550000001']);
    expect(clock.now() - began).toBeGreaterThan(900);
  });

  it('does not follow a caller who is transferred to another room', async () => {
    const { calls, handlers: all } = handlers('desk');
    const { place, gateway } = await startWithAgent('desk', { agents: { handlers: all } });
    const phone = await place();
    await eventually('the call', () => calls[0]?.[1].isAnswered);
    const callId = gateway.calls.listActive()[0]?.callId as string;
    await gateway.control.transfer(callId, { room: 'people' });
    await eventually('the end of its part', () => calls[0]?.[1].isClosed);
    expect(phone.status).toBe('in-progress');
    await phone.hangUp();
  });

  it('is dialled anew when its connection is lost: it hears what was said meanwhile, and its words go on', async () => {
    const sockets: WebSocket[] = [];
    const texts: string[][] = [];
    const frames: number[] = [];
    const url = await serveSocket((socket) => {
      const own: string[] = [];
      const index = sockets.push(socket) - 1;
      texts.push(own);
      frames.push(0);
      socket.on('message', (data, isBinary) => {
        if (isBinary) frames[index] = (frames[index] ?? 0) + 1;
        else own.push(String(data));
      });
      if (index > 0) return;
      const speech = tone(700, 16_000, 6 * 16_000, LEVEL);
      socket.send(Buffer.from(speech.buffer));
      socket.send('{"type":"mark","name":"said"}');
    });
    const { place, gateway } = await startWithAgent(url);
    const states: unknown[] = [];
    gateway.events.subscribe(({ type, data }) => {
      if (type === 'call.agent') states.push(data);
    });
    const phone = await place(AudioSource.tone(1_000));
    await eventually('speech', () => isHearing(phone));
    await sleep(3_000);
    sockets[0]?.terminate();
    await eventually('the second connection', () => (texts[1]?.length ?? 0) > 0);
    const ready = JSON.parse(texts[1]?.[0] as string);
    expect(ready).toMatchObject({ type: 'ready', resumed: true, call: { connection: 2 } });
    expect(ready.phones).toEqual([ready.call.callId]);
    await eventually('the mark', () => texts[1]?.some((text) => text.includes('"mark"')), 10_000);
    expect(texts[1]?.map((text) => JSON.parse(text)).find(({ type }) => type === 'mark')).toEqual({
      type: 'mark',
      name: 'said',
      place: 'heard',
      playedMs: 6_000,
    });
    // All that the caller has said, within what is kept.
    const total = frames.reduce((sum, count) => sum + count, 0) * 20;
    expect(total).toBeGreaterThan(5_500);
    expect(phone.report()?.playout.clears).toBe(0);
    const agent = `${url}/`;
    expect(states).toEqual([
      { agent, state: 'connected', connection: 1, afterMs: expect.any(Number) },
      { agent, state: 'lost', reason: 'code 1006' },
      { agent, state: 'connected', connection: 2, afterMs: expect.any(Number) },
    ]);
    await phone.hangUp();
  });

  it('has notes on the call that outlast its connection', async () => {
    const notes: unknown[] = [];
    const answer: AgentHandler = (call) => {
      notes.push(call.memory.get('note'), call.isResumed);
      call.memory.set('note', 'likes tea');
      if (!call.isResumed) clock.after(500, () => call.close(4000, 'the model was lost'));
    };
    const { place } = await startWithAgent('desk', { agents: { handlers: { desk: answer } } });
    await place();
    await eventually('both', () => notes.length === 4);
    expect(notes).toEqual([undefined, false, 'likes tea', true]);
  });

  it('rings until the promise of its handler is fulfilled, and is called again if that rejects', async () => {
    let tries = 0;
    const answer: AgentHandler = async (call) => {
      tries += 1;
      if (tries === 1) throw new Error('not yet');
      await clock.sleep(1_500);
      saysTone()(call);
      if (call.isAnswered) call.send(tone(700, call.sendRate, call.sendRate, LEVEL));
    };
    const { place, gateway } = await startWithAgent('desk', { agents: { handlers: { desk: answer } } });
    const phone: SimulatedPhone = await place();
    await sleep(1_200);
    expect(isHearing(phone)).toBe(true);
    await sleep(1_800);
    expect(tries).toBe(2);
    expect(heardDb(phone, 440, 700, 1_300)).toBeGreaterThan(-20);
    expect(phone.status).toBe('in-progress');
    expect(CALL.to).toBe(gateway.calls.listActive()[0]?.to);
    await phone.hangUp();
  });
});
