import { CallTable } from './call-table.js';
import { Calls, Series } from './calls.js';
import { Feed } from './feed.js';
import { level, milliseconds } from './figures.js';
import { GatewayView } from './gateway-view.js';
import { Listener } from './listener.js';
import { Plots, spark } from './plots.js';
import { Theme } from './theme.js';

const at = (id) => document.getElementById(id);
const KEY = 'key';

const plots = new Plots();
new Theme(at('theme'), () => plots.recolour());
const calls = new Calls();
const gateway = new GatewayView(plots);
const table = new CallTable(calls, plots, { onListen: toggleListening, onHangUp: askToHangUp });
let feed;
let listener;
let heard = new Series();
plots.add(
  at('listening-plot'),
  spark(
    () => heard,
    () => [-60, 0],
  ),
);

at('door').addEventListener('submit', (event) => {
  event.preventDefault();
  enter(at('key').value);
});
at('sign-out').addEventListener('click', () => leave(''));
at('listening-stop').addEventListener('click', () => {
  const { callId } = listener ?? {};
  listener?.stop();
  focusOn(callId, '.listen');
});

const kept = sessionStorage.getItem(KEY);
if (kept === null) leave('');
else enter(kept);

function enter(key) {
  feed?.close();
  at('wrong').textContent = '';
  link('off', 'connecting');
  feed = new Feed(key, {
    onRound(round) {
      if (at('watch').hidden) {
        sessionStorage.setItem(KEY, key);
        at('key').value = '';
        at('door').hidden = true;
        at('watch').hidden = at('sign-out').hidden = false;
      }
      link('on', 'live');
      calls.take(round);
      gateway.show(round);
      table.show(round);
      plots.came();
    },
    onLink: link,
    onRefused: (error) => leave(error.message),
  });
}

/** Back to the door. */
function leave(why) {
  feed?.close();
  listener?.stop();
  sessionStorage.removeItem(KEY);
  at('watch').hidden = at('sign-out').hidden = true;
  at('door').hidden = false;
  link('off', 'not connected');
  at('wrong').textContent = why;
  at('key').setAttribute('aria-invalid', String(why !== ''));
  at('key').select();
  at('key').focus();
}

function link(is, words) {
  at('link').dataset.is = is;
  at('link').textContent = words;
}

function say(words) {
  at('said').textContent = words;
}

function toggleListening(call) {
  const wasHeard = listener?.callId === call.callId;
  listener?.stop();
  if (wasHeard) return;
  heard = new Series();
  const mine = new Listener(sessionStorage.getItem(KEY) ?? '', call.callId, {
    onHow({ seconds, waitingMs, dry, rms }) {
      const db = rms > 0 ? 20 * Math.log10(rms) : -90;
      heard.push(db);
      at('listening').dataset.seconds = seconds.toFixed(1);
      at('listening').dataset.db = db.toFixed(1);
      const holes = dry <= 1 ? '' : `, ${dry - 1} holes`;
      at('listening-how').textContent = `${level(db)}, ${milliseconds(Math.round(waitingMs))} behind${holes}`;
    },
    onEnd(why) {
      if (listener !== mine) return;
      listener = undefined;
      at('listening').hidden = true;
      table.listeningTo(undefined);
      say(why);
    },
  });
  listener = mine;
  say('');
  at('listening-who').textContent = `${call.number || 'unknown'}, ${call.callId.slice(0, 8)}`;
  at('listening-how').textContent = 'connecting';
  at('listening').dataset.seconds = '0';
  at('listening').hidden = false;
  table.listeningTo(call.callId);
}

/** Whom the open dialog is about. A close that is told late, of a dialog that was opened again since, is no second answer. */
let asked;

function askToHangUp(call) {
  const dialog = at('confirm');
  asked = call;
  at('confirm-who').textContent = `${call.number || 'unknown'}, ${call.callId.slice(0, 8)}`;
  dialog.returnValue = 'no';
  dialog.onclose = () => {
    if (dialog.returnValue !== 'yes' || asked === undefined) return;
    void hangUp(asked);
    asked = undefined;
  };
  dialog.showModal();
}

async function hangUp(call) {
  const who = call.number || 'unknown';
  // The row goes: whoever came by keyboard goes on at the table's title.
  at('calls-title').focus();
  try {
    const answer = await fetch(`v1/calls/${encodeURIComponent(call.callId)}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${sessionStorage.getItem(KEY)}` },
    });
    if (answer.ok) say(`The call with ${who} was hung up.`);
    else say(`The call with ${who} was not hung up: ${(await answer.json()).error.message}`);
  } catch {
    say(`The call with ${who} was not hung up: the gateway does not answer.`);
  }
}

/** Back to a call's button, where it is still there. */
function focusOn(callId, button) {
  const row = [...at('rows').children].find((each) => each.querySelector('.id').title === callId);
  (row?.querySelector(button) ?? at('calls-title')).focus();
}
