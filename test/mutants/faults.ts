import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A line that is wrong in one place. */
export interface Fault {
  readonly name: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly from: string;
  readonly to: string;
  /** What would go wrong for whom. */
  readonly why: string;
}

/** Chosen by reading the source alone: none that only changes a log, none that a compiler refuses. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'echo-after-agent',
    file: 'src/bridge/local/room.ts',
    from: 'this.echoes = false;',
    to: 'this.echoes = true;',
    why: 'a caller whose agent has left suddenly hears himself',
  },
  {
    name: 'mix-waits-for-one',
    file: 'src/bridge/local/room.ts',
    from: 'if (this.liveCount() > 2) return 0;',
    to: '',
    why: 'one phone that stalls silences a program for all that are in the room, for good',
  },
  {
    name: 'hang-up-of-who-comes-late',
    file: 'src/legs/raw-leg.ts',
    from: 'for (const id of meant) this.roomLeg?.hangUp(id);',
    to: 'this.roomLeg?.hangUp(phone);',
    why: 'a caller who comes while a program says goodbye to another is hung up with them',
  },
  {
    name: 'transfer-cut-off',
    file: 'src/bridge/stream/leg.ts',
    from: 'this.tail?.end();',
    to: '',
    why: 'a caller whose agent transfers them and ends the call is hung up',
  },
  {
    name: 'rejoin-without-end',
    file: 'src/bridge/stream/member.ts',
    from: 'if (this.joinPatience === undefined) this.limitJoin(reason);',
    to: '',
    why: 'a caller whose Stream call is lost for good waits in silence for ever',
  },
  {
    name: 'agent-appears-early',
    file: 'src/bridge/stream/program-leg.ts',
    from: 'phones.some(({ isAppearing }) => isAppearing)',
    to: 'phones.some(({ id }) => id)',
    why: 'people in a Stream call see an agent while the phone still rings',
  },
  {
    name: 'transit-counts-as-heard',
    file: 'src/bridge/stream/program-leg.ts',
    from: 'phone.envelope.end - slots - Math.round(queuedMs / SLOT_MS)',
    to: 'phone.envelope.end - Math.round(queuedMs / SLOT_MS)',
    why: 'a model is told that the caller heard words that were still on their way',
  },
  {
    name: 'transfer-prefix-short',
    file: 'src/bridge/stream/command-rule.ts',
    from: 'number.slice(0, -1)',
    to: 'number.slice(0, -2)',
    why: 'a rule for +1555* lets callers be transferred to all of +155',
  },
  {
    name: 'refusal-forgotten',
    file: 'src/calls/registry.ts',
    from: "if (cause !== 'expired' && cause !== 'refused') this.forget(call);",
    to: "if (cause !== 'expired') this.forget(call);",
    why: 'the hook is asked again of a caller it refused when Twilio repeats its webhook',
  },
  {
    name: 'finalisers-in-order',
    file: 'src/calls/call.ts',
    from: 'this.finalisers.splice(0).reverse()',
    to: 'this.finalisers.splice(0)',
    why: 'a call is reported as over before its stream and bridge leg are, and a stuck end is never found',
  },
  {
    name: 'replica-kept',
    file: 'src/fleet/redis.ts',
    from: "if (isReply || error.message.startsWith('no answer within')) this.lose(client, error);",
    to: "if (error.message.startsWith('no answer within')) this.lose(client, error);",
    why: 'after a failover the node stays with the read-only replica, and refuses new calls, until its next trial',
  },
  {
    name: 'nothing-measured-passes',
    file: 'src/cli/verdict.ts',
    from: 'count > 0 && p99Ms <= most',
    to: 'p99Ms <= most',
    why: 'a load test with a limit passes in CI although nothing was measured',
  },
  {
    name: 'key-after-sign-out',
    file: 'src/dashboard/page/app.js',
    from: 'sessionStorage.removeItem(KEY);',
    to: '',
    why: 'the control key stays in the browser of an operator who signed out',
  },
  {
    name: 'second-token-unnoticed',
    file: 'src/doctor/account.ts',
    from: 'if (here > 0) {',
    to: 'if (here > 1) {',
    why: 'the doctor blames the account where two tokens are merely in the wrong order',
  },
  {
    name: 'gap-at-the-edge',
    file: 'src/events/event-log.ts',
    from: 'read + 1 >= this.oldest',
    to: 'read >= this.oldest',
    why: 'a reader that missed nothing is told that events are lost',
  },
  {
    name: 'waiting-counted-heard',
    file: 'src/phone/playout.ts',
    from: 'this.discardUnheard(unheard);',
    to: 'this.discardUnheard(unheard + waiting);',
    why: 'after a barge-in an agent is told that less was heard than was, for the rest of the call',
  },
  {
    name: 'late-after-clear',
    file: 'src/legs/pacer.ts',
    from: 'this.endsAt = 0;',
    to: '',
    why: 'the answer of an interrupted program comes up to 200 ms late',
  },
  {
    name: 'odd-chunk',
    file: 'src/media/wav.ts',
    from: 'at = from + size + (size % 2);',
    to: 'at = from + size;',
    why: 'a WAV file with an odd chunk before its audio cannot be played',
  },
  {
    name: 'last-keys-not-awaited',
    file: 'src/router/call-router.ts',
    from: 'await this.keys.close(CLOSE_MS);',
    to: 'void this.keys.close(CLOSE_MS);',
    why: 'the router never hears of the last keys before a gateway ends',
  },
  {
    name: 'phone-rings-on',
    file: 'src/calls/switchboard.ts',
    from: "if (call.endCause !== 'status') await this.hangUpAtTwilio(call);",
    to: "if (call.endCause === 'status') await this.hangUpAtTwilio(call);",
    why: 'a call that was taken back while it was placed goes on ringing',
  },
  {
    name: 'calm-not-reset',
    file: 'src/telemetry/overload.ts',
    from: '      this.calm = 0;\n',
    to: '',
    why: 'an overloaded gateway takes callers again after one calm second in place of three',
  },
  {
    name: 'drain-close-code',
    file: 'src/calls/session.ts',
    from: "drain: [1001, 'going away'],",
    to: "drain: [1000, 'going away'],",
    why: 'a stream that a shutdown ends looks as if it had ended by itself',
  },
  {
    name: 'mute-both-heard',
    file: 'src/control/call-audio.ts',
    from: "if (this.music !== undefined || this.silenced === 'room' || this.silenced === 'both') return true;",
    to: "if (this.music !== undefined || this.silenced === 'room') return true;",
    why: 'a caller goes on hearing the room after both were muted',
  },
  {
    name: 'sibling-folder-read',
    file: 'src/control/clips.ts',
    from: 'root.endsWith(sep) ? root : root + sep',
    to: 'root.endsWith(sep) ? root + sep : root',
    why: 'files of a folder whose name begins like PLAY_DIR can be played',
  },
  {
    name: 'asked-again-for-ever',
    file: 'src/fleet/fleet.ts',
    from: '+ 1}`, seconds)',
    to: '}`, seconds)',
    why: 'a caller waits for ever where the registry is away, and never hears the apology',
  },
  {
    name: 'unread-in-milliseconds',
    file: 'src/legs/raw-leg.ts',
    from: '(rate * BYTES_PER_SAMPLE * MAX_UNREAD_MS) / 1_000',
    to: 'rate * BYTES_PER_SAMPLE * MAX_UNREAD_MS',
    why: 'a program that reads slowly is cut off in place of missing a moment',
  },
  {
    name: 'rows-told-twice',
    file: 'src/live/dashboard-feed.ts',
    from: 'let i = Math.ceil((round.length * turn) / TURNS)',
    to: 'let i = Math.floor((round.length * turn) / TURNS)',
    why: 'the dashboard is told of a call many times a second, and its plots run away',
  },
  {
    name: 'last-word-unrecorded',
    file: 'src/recording/recording.ts',
    from: 'this.commit(seconds * 1_000, true);',
    to: 'this.commit(seconds * 1_000);',
    why: 'a recording lacks its last fifth of a second',
  },
  {
    name: 'unmuted-undocumented',
    file: 'src/control/operations.ts',
    from: 'z.enum(VOICES).nullable()',
    to: 'z.enum(VOICES) as z.ZodType',
    why: 'a client made from the API description refuses the answer to an unmute',
  },
  {
    name: 'redirect-307-fetched',
    file: 'src/simulator/webhook.ts',
    from: 'answer.status < 307',
    to: 'answer.status <= 307',
    why: 'a server behind a 307 is tested with a GET that Twilio would not send',
  },
  {
    name: 'silence-of-before',
    file: 'src/simulator/scripted-caller.ts',
    from: 'Math.max(begun, this.phone.ear.soundUntil) + ms',
    to: 'this.phone.ear.soundUntil + ms',
    why: 'a scripted caller takes the silence before a step for that of the step, and talks over the answer',
  },
  {
    name: 'bucket-in-milliseconds',
    file: 'src/telemetry/metrics.ts',
    from: 'both(String(us / 1e6))',
    to: 'both(String(us / 1e3))',
    why: 'every latency on an operator’s board is a thousand times too long',
  },
  {
    name: 'talk-before-stream-uncounted',
    file: 'src/twilio/verbs.ts',
    from: 'else seconds += (verb.ringSeconds ?? 30) + (verb.limitSeconds ?? LONGEST_DIAL_SECONDS);',
    to: 'else seconds += verb.ringSeconds ?? 30;',
    why: 'the token of a caller who talks to somebody first expires meanwhile, and the stream is refused',
  },
  {
    name: 'no-answer-not-final',
    file: 'src/twilio/webhook.ts',
    from: "'failed', 'no-answer', 'canceled'",
    to: "'failed', 'canceled'",
    why: 'a call that nobody answered counts as ringing until its token expires',
  },
  {
    name: 'permit-kept',
    file: 'src/webhooks/delivery.ts',
    from: "if (cause !== 'probe') this.permits.release();",
    to: '',
    why: 'no event is delivered any more after the first sixteen',
  },
  {
    name: 'secret-shown',
    file: 'src/config.ts',
    from: "isSecret ? 'another value' : JSON",
    to: 'JSON',
    why: 'a mistyped secret is printed to the log at start',
  },
  {
    name: 'no-second-listen',
    file: 'src/gateway.ts',
    from: '      this.isListening = false;\n',
    to: '',
    why: 'a gateway that found its port taken can never be told to listen again',
  },
  {
    name: 'our-fault-told-as-theirs',
    file: 'src/error-catalogue.ts',
    from: 'STATUSES.get(code) ?? 500',
    to: 'STATUSES.get(code) ?? 400',
    why: 'clients are told that a fault of ours is one of their request',
  },
  {
    name: 'wait-left-behind',
    file: 'src/clock.ts',
    from: '      timeout?.cancel();\n',
    to: '',
    why: 'a process that is done stays for seconds, until every bound that was not needed is over',
  },
  {
    name: 'lost-frame-not-filled',
    file: 'native/transcoder.cc',
    from: 'gap >= kMinGap',
    to: 'gap > kMinGap',
    why: 'a single frame that the network lost shortens the caller’s speech',
  },
  {
    name: 'empty-timestamp',
    file: 'native/media_message.cc',
    from: '    if (digits == 0) return false;\n',
    to: '',
    why: 'a message without a time is placed at the beginning, and the next one fills in silence',
  },
  {
    name: 'pause-of-a-second',
    file: 'native/dtmf.h',
    from: 'kDtmfShortWaitSamples = 24000',
    to: 'kDtmfShortWaitSamples = 48000',
    why: 'an extension is dialled after twice the pause, when the menu has gone on',
  },
  {
    name: 'own-voice-of-another-block',
    file: 'native/mixer.cc',
    from: 'inputs + member * samples + begin;',
    to: 'inputs + member * samples;',
    why: 'everybody in a conference hears himself, garbled',
  },
  {
    name: 'room-for-half',
    file: 'src/media/checked-core.ts',
    from: 'const bytes = (samples / 6) * this.#width;',
    to: 'const bytes = samples / 6;',
    why: 'linear audio is written beyond the memory of whoever encodes it',
  },
  {
    name: 'bad-base64-taken',
    file: 'native/kernels/simd.h',
    from: 'kScalarKernels.decodeBase64(text, groups, bytes) && Simd::AllOnes(valid)',
    to: 'kScalarKernels.decodeBase64(text, groups, bytes)',
    why: 'a broken payload is played as noise in place of being dropped',
  },
  {
    name: 'lead-believed',
    file: 'src/phone/lead-probe.ts',
    from: 'playout.correct(endsAt, NOISE_MS);',
    to: '',
    why: 'what a short stall left at the phone stays for the rest of the call',
  },
  {
    name: 'old-words-kept',
    file: 'src/phone/lead-probe.ts',
    from: 'this.phone.dropUnheard(unheardMs, now - probe.at);',
    to: '',
    why: 'after a stall the phone plays all that was sent into it',
  },
  {
    name: 'stall-of-caller-as-of-listener',
    file: 'src/phone/lead-probe.ts',
    from: 'Math.min(now - at, byPhone + this.phone.pieceMs)',
    to: 'now - at',
    why: 'a stall of the caller’s own way silences what he hears',
  },
  {
    name: 'words-run-together',
    file: 'src/phone/catch-up.ts',
    from: 'return this.quietRun > KEPT_OF_PAUSE;',
    to: 'return this.quietRun > 0;',
    why: 'no pause is left between words, and soft endings are cut off',
  },
  {
    name: 'burst-said-oldest-first',
    file: 'src/phone/playout.ts',
    from: ' && leadMs >= -GAP_MS',
    to: '',
    why: 'behind a hole the oldest 60 ms are heard in the middle of the newest words',
  },
  {
    name: 'last-words-cut',
    file: 'src/calls/session.ts',
    from: 'if (now) this.call.end(',
    to: 'if (true) this.call.end(',
    why: 'a goodbye is cut off in its last word',
  },
  {
    name: 'goodbye-forgotten',
    file: 'src/legs/raw-leg.ts',
    from: 'if (this.hangUpsWaiting === 0) this.finish(1000, ',
    to: 'this.finish(1000, ',
    why: 'a program that says goodbye, hangs up and goes leaves the caller in silence',
  },
  {
    name: 'half-sample-kept',
    file: 'src/legs/raw-leg.ts',
    from: 'this.halfSample = undefined;\n    this.tones',
    to: 'this.tones',
    why: 'after a barge-in all that a program says is noise',
  },
  {
    name: 'hole-unfilled',
    file: 'src/phone/media-stream.ts',
    from: 'if (this.intake.hasGap(now)) this.concealGap();',
    to: '',
    why: 'while a phone sends nothing its listeners get less audio than time passes',
  },
];

/** Why faults cannot be planted in the sources below a folder; nothing where all of them can. */
export function mistakesOf(faults: readonly Fault[], root: string): string[] {
  const names = new Set<string>();
  return faults.flatMap(({ name, file, from, to }) => {
    const times = readFileSync(join(root, file), 'utf8').split(from).length - 1;
    const isKnown = names.has(name);
    names.add(name);
    return [
      ...(isKnown ? [`${name}: another fault has this name`] : []),
      ...(from === to ? [`${name}: changes nothing`] : []),
      ...(times === 1 ? [] : [`${name}: ${JSON.stringify(from)} stands ${times} times in ${file}, not once`]),
    ];
  });
}
