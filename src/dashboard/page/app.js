import { callPath, KEY, request } from './api.js';
import { CallPage } from './call-page.js';
import { CallTable } from './call-table.js';
import { Calls, Series, whoIs } from './calls.js';
import { at } from './dom.js';
import { EndedTable } from './ended-table.js';
import { Feed } from './feed.js';
import { level, milliseconds } from './figures.js';
import { GatewayView } from './gateway-view.js';
import { Listener } from './listener.js';
import { Plots, spark } from './plots.js';
import { Theme } from './theme.js';

const plots = new Plots();
new Theme(at('theme'), () => plots.recolour());
const calls = new Calls();
const gateway = new GatewayView(plots);
const actions = { onListen: toggleListening, onHangUp: askToHangUp };
const table = new CallTable(calls, plots, actions);
const ended = new EndedTable();
const callPage = new CallPage(calls, plots, actions);
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
  signIn(at('key').value);
});
at('sign-out').addEventListener('click', () => signOut(''));
at('listening-stop').addEventListener('click', () => {
  const { callId } = listener ?? {};
  listener?.stop();
  focusOn(callId, '.listen');
});
addEventListener('hashchange', () => route());

const kept = sessionStorage.getItem(KEY);
if (kept === null) signOut('');
else signIn(kept);

function signIn(key) {
  feed?.close();
  at('wrong').textContent = '';
  showLink('off', 'connecting');
  ended.reset();
  feed = new Feed(key, {
    onRound(round) {
      if (at('sign-out').hidden) {
        sessionStorage.setItem(KEY, key);
        at('key').value = '';
        at('door').hidden = true;
        at('sign-out').hidden = false;
        route();
      }
      showLink('on', 'live');
      calls.update(round);
      gateway.show(round, calls.droppedShare);
      table.show(round);
      if (!at('watch').hidden) ended.show(round);
      callPage.show(round);
      plots.onRound();
    },
    onLink: showLink,
    onRefused: (error) => signOut(error.message),
  });
}

/** @param {string} why message of the sign-in form */
function signOut(why) {
  feed?.close();
  listener?.stop();
  sessionStorage.removeItem(KEY);
  callPage.open('');
  at('watch').hidden = at('sign-out').hidden = at('alarms').hidden = true;
  at('door').hidden = false;
  showLink('off', 'not connected');
  at('wrong').textContent = why;
  at('key').setAttribute('aria-invalid', String(why !== ''));
  at('key').select();
  at('key').focus();
}

/** Shows what the address names: `#/calls/ID`, or all calls. */
function route() {
  if (at('sign-out').hidden) return;
  const cameFrom = at('call').dataset.callId;
  const callId = /^#\/calls\/([\w-]{1,64})$/.exec(location.hash)?.[1] ?? '';
  at('call').dataset.callId = callId;
  at('watch').hidden = callId !== '';
  announce('');
  document.title = 'Trunkline';
  callPage.open(callId);
  if (callId !== '') {
    scrollTo(0, 0);
    at('call-title').focus();
  } else if (cameFrom) focusOn(cameFrom, '.caller');
}

function showLink(is, words) {
  at('link').dataset.is = is;
  at('link').textContent = words;
}

function announce(words) {
  at('said').textContent = words;
}

function toggleListening(call) {
  const wasHeard = listener?.callId === call.callId;
  listener?.stop();
  if (wasHeard) return;
  heard = new Series();
  const mine = new Listener(sessionStorage.getItem(KEY) ?? '', call.callId, {
    onProgress({ seconds, waitingMs, underruns, rms }) {
      const db = rms > 0 ? 20 * Math.log10(rms) : -90;
      heard.push(db);
      at('listening').dataset.seconds = seconds.toFixed(1);
      at('listening').dataset.db = db.toFixed(1);
      const gaps = underruns <= 1 ? '' : underruns === 2 ? ', 1 gap' : `, ${underruns - 1} gaps`;
      at('listening-how').textContent = `${level(db)}, ${milliseconds(Math.round(waitingMs))} behind${gaps}`;
    },
    onEnd(why) {
      if (listener !== mine) return;
      listener = undefined;
      at('listening').hidden = true;
      table.listeningTo(undefined);
      callPage.listeningTo(undefined);
      announce(why);
    },
  });
  listener = mine;
  announce('');
  at('listening-who').textContent = whoIs(call);
  at('listening-how').textContent = 'connecting';
  at('listening').dataset.seconds = '0';
  at('listening').hidden = false;
  table.listeningTo(call.callId);
  callPage.listeningTo(call.callId);
}

/** The call that the open dialog asks about. A close event of a dialog that was opened again since is no second answer. */
let asked;

function askToHangUp(call) {
  const dialog = at('confirm');
  asked = call;
  at('confirm-who').textContent = whoIs(call);
  dialog.returnValue = 'no';
  dialog.onclose = () => {
    if (dialog.returnValue !== 'yes' || asked === undefined) return;
    void hangUp(asked);
    asked = undefined;
  };
  dialog.showModal();
}

async function hangUp(call) {
  const who = (call.direction === 'in' ? call.caller : call.called) || 'unknown';
  // The row, or the button, is about to go: the focus moves to the title.
  (at('watch').hidden ? at('call-title') : at('calls-title')).focus();
  try {
    await request('DELETE', callPath(call.callId));
    announce(`The call with ${who} was hung up.`);
  } catch (error) {
    announce(`The call with ${who} was not hung up: ${error.message}`);
  }
}

/** Moves the focus to a part of a call's row, if that is still there. */
function focusOn(callId, selector) {
  const row = [...document.querySelectorAll('#rows tr, #ended-rows tr')].find(
    (each) => each.querySelector('.id').title === callId,
  );
  const onPage = at('watch').hidden ? at('controls').querySelector(selector) : undefined;
  (row?.querySelector(selector) ?? onPage ?? at(at('watch').hidden ? 'call-title' : 'calls-title')).focus();
}
