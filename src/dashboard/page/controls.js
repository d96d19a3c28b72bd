import { callPath, request } from './api.js';
import { make } from './dom.js';
import { audioTime } from './figures.js';

const text = (name, label, more = {}) => ({ name, label, ...more });
/** What is filled in, without empty fields. */
const filled = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));

/**
 * What `/v1` can do with a live call: fields, and for each button its request and what is said when that is done. `body` makes
 * the request's JSON of the fields' values.
 */
const CONTROLS = [
  {
    title: 'Clear',
    about: 'Drops all audio that the caller has not heard yet.',
    actions: [
      {
        name: 'Clear',
        path: 'clear',
        body: () => ({}),
        done: ({ playedMs, discardedMs }) =>
          `Dropped ${audioTime(discardedMs)}; ${audioTime(playedMs)} were heard so far.`,
      },
    ],
  },
  {
    title: 'Mark',
    about: 'The event call.mark tells when all audio sent so far was heard.',
    fields: [text('name', 'Name', { required: true })],
    actions: [
      { name: 'Place mark', path: 'mark', body: filled, done: ({ name }) => `Mark “${name}” is placed.` },
    ],
  },
  {
    title: 'Keys',
    about: 'Plays the tones of keys to the caller.',
    fields: [text('digits', 'Keys', { required: true, placeholder: '0–9 * # w' })],
    actions: [
      {
        name: 'Send',
        path: 'dtmf',
        body: filled,
        done: ({ durationMs }) => `The keys sound for ${audioTime(durationMs)}.`,
      },
    ],
  },
  {
    title: 'Play',
    about: 'Plays a WAV file of PLAY_DIR to the caller.',
    fields: [
      text('file', 'File', { required: true, placeholder: 'welcome.wav' }),
      text('loop', 'Times', { type: 'number', min: 0, max: 1_000, value: 1 }),
      text('over', 'Mix with the call', { type: 'checkbox' }),
    ],
    actions: [
      {
        name: 'Play',
        path: 'play',
        body: ({ file, loop, over }) => ({
          file,
          ...(loop === '' ? {} : { loop: Number(loop) }),
          ...(over ? { over } : {}),
        }),
        done: ({ durationMs }) =>
          durationMs === null ? 'Playing until it is stopped.' : `Playing for ${audioTime(durationMs)}.`,
      },
      {
        name: 'Stop',
        method: 'DELETE',
        path: 'play',
        done: ({ playedMs }) => `Stopped after ${audioTime(playedMs)}.`,
      },
    ],
  },
  {
    title: 'Hold',
    about: 'The caller hears music; neither side hears the other.',
    fields: [text('file', 'Music', { placeholder: 'two soft notes' })],
    actions: [
      { name: 'Hold', path: 'hold', body: filled, done: () => 'The call is on hold.' },
      { name: 'Resume', method: 'DELETE', path: 'hold', done: () => 'The call is no longer on hold.' },
    ],
  },
  {
    title: 'Mute',
    about: 'Silences one side for the other.',
    fields: [
      text('voice', 'Who', {
        options: [
          ['caller', 'the caller'],
          ['room', 'the room'],
          ['both', 'both'],
        ],
      }),
    ],
    actions: [
      { name: 'Mute', path: 'mute', body: filled, done: ({ muted }) => `Muted: ${muted}.` },
      { name: 'Unmute', method: 'DELETE', path: 'mute', done: () => 'Nobody is muted.' },
    ],
  },
  {
    title: 'Transfer',
    about: 'Moves the caller. A transfer to a number or SIP address ends the call here.',
    fields: [
      text('target', 'To', {
        options: [
          ['number', 'number'],
          ['sip', 'SIP address'],
          ['room', 'room'],
          ['stream', 'Stream call'],
        ],
      }),
      text('value', 'Target', { required: true, placeholder: '+15551234567' }),
      text('callerId', 'Caller ID', { placeholder: 'as it is' }),
    ],
    actions: [
      {
        name: 'Transfer',
        path: 'transfer',
        body: ({ target, value, callerId }) => ({
          [target]: target === 'stream' ? { id: value } : value,
          ...filled({ callerId }),
        }),
        done: ({ to, room }) =>
          room === undefined
            ? `Transferred to the ${to === 'sip' ? 'SIP address' : to}.`
            : `Moved to room ${room}.`,
      },
    ],
  },
  {
    title: 'Add a person',
    about: 'Calls somebody into the same room.',
    fields: [
      text('to', 'Number', { required: true, placeholder: '+15551234567' }),
      text('from', 'Caller ID', { placeholder: 'TWILIO_FROM' }),
    ],
    actions: [
      {
        name: 'Call',
        path: 'legs',
        body: filled,
        done: ({ callId }) => [
          'Twilio rings: ',
          make('a', {
            href: `#/calls/${encodeURIComponent(callId)}`,
            textContent: `call ${callId.slice(0, 8)}`,
          }),
          '.',
        ],
      },
    ],
  },
  {
    title: 'Record',
    about: 'Records both sides to a WAV file in RECORD_DIR.',
    actions: [
      { name: 'Record', path: 'recording', body: () => ({}), done: ({ file }) => `Recording to ${file}.` },
      {
        name: 'Stop',
        method: 'DELETE',
        path: 'recording',
        done: ({ file, seconds }) => `Recorded ${Math.round(seconds)} s to ${file}.`,
      },
    ],
  },
];

/**
 * Forms that control a call. Each says what was done, or the gateway's message.
 * @param {string} callId
 * @param {() => void} onDone something about the call may have changed
 */
export function controlForms(callId, onDone) {
  return CONTROLS.map((control) => form(control, callId, onDone));
}

function form({ title, about, fields = [], actions }, callId, onDone) {
  const output = make('output', {});
  const inputs = fields.map((field) => [field, input(field)]);
  const buttons = actions.map((action, i) =>
    make('button', { type: i === 0 ? 'submit' : 'button', textContent: action.name }),
  );
  const element = make(
    'form',
    { className: 'control', ariaLabel: title },
    make('h3', { textContent: title }),
    make('p', { className: 'about', textContent: about }),
    ...inputs.map(([{ label, type }, each]) =>
      make('label', { className: type ?? 'text' }, make('span', { textContent: label }), each),
    ),
    make('div', { className: 'buttons' }, ...buttons),
    output,
  );
  const perform = async ({ name, method = 'POST', path, body, done }) => {
    const values = inputs.map(([field, each]) => [
      field.name,
      field.type === 'checkbox' ? each.checked : each.value.trim(),
    ]);
    for (const button of buttons) button.disabled = true;
    say(output, 'working', '…');
    try {
      const answer = await request(method, `${callPath(callId)}/${path}`, body?.(Object.fromEntries(values)));
      say(output, 'done', ...[done(answer)].flat());
    } catch (error) {
      say(output, 'failed', `${name} failed: ${error.message}`);
    }
    for (const button of buttons) button.disabled = false;
    onDone();
  };
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    void perform(actions[0]);
  });
  for (const [i, button] of buttons.entries()) {
    if (i > 0) button.addEventListener('click', () => void perform(actions[i]));
  }
  return element;
}

function input({ name, options, ...field }) {
  const { label: _, ...properties } = field;
  if (options !== undefined) {
    return make(
      'select',
      { name },
      ...options.map(([value, words]) => make('option', { value, textContent: words })),
    );
  }
  return make('input', { name, type: 'text', autocomplete: 'off', spellcheck: false, ...properties });
}

function say(output, is, ...words) {
  output.dataset.is = is;
  output.replaceChildren(...words);
}
