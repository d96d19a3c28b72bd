import { transferRule } from '../bridge/stream/command-rule.js';
import { isAgent } from '../calls/agent-address.js';
import type { AgentChoice, CallDecision } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import type { Switchboard } from '../calls/switchboard.js';
import { expected, GatewayError } from '../errors.js';
import type { LegRate } from '../legs/leg-rate.js';
import { LatencyHistogram } from '../telemetry/histogram.js';
import { INGRESS_TICKS_PER_MICROSECOND } from '../telemetry/ingress-time.js';
import { counter, durations, gauge, type Metric } from '../telemetry/metric.js';
import { secretsOf } from '../webhooks/signature.js';
import type { AgentHandler } from './agent-call.js';
import {
  AGENT_NOTES,
  type AgentNote,
  type AgentPlan,
  CallAgent,
  type CallAgentContext,
  NO_AGENT,
} from './call-agent.js';
import { hangUpTool, transferTool } from './call-tools.js';
import { HandlerAgent } from './handler-agent.js';
import type { AgentTool } from './tool.js';
import { isVendor, VENDORS, type VendorName } from './vendors.js';
import { WebSocketAgent } from './websocket-agent.js';

/** How agents answer, unless a decision says otherwise. */
export interface AgentsOptions {
  /** Samples a second both ways, for agents behind a URL and in this process; default 16,000. */
  readonly rate?: LegRate;
  /** What a caller hears until the agent takes the call: `ringback` (default), `silence`, or a file in `playDir`. */
  readonly ring?: string;
  /** What models are to do. */
  readonly instructions?: string;
  /** Voice of models, by the vendor's name. */
  readonly voice?: string;
  /** What models say first; empty: they wait for the caller. */
  readonly greeting?: string;
  /** Folder of Markdown files that models answer from. */
  readonly knowledge?: string;
  /** Numbers that agents may transfer callers to; a trailing `*` stands for anything. Default none. */
  readonly transferTo?: readonly string[];
  /** Signs the facts for agents behind a URL. */
  readonly secret?: string | readonly string[];
  readonly openaiKey?: string;
  /** Origin in place of OpenAI's. */
  readonly openaiUrl?: string;
  readonly geminiKey?: string;
  /** Origin in place of Gemini's. */
  readonly geminiUrl?: string;
  /** Agents in this process, by the names that decisions use. */
  readonly handlers?: Readonly<Record<string, AgentHandler>>;
  /** What models may do besides hanging up, transferring and searching `knowledge`. */
  readonly tools?: readonly AgentTool[];
}

type Context = Omit<CallAgentContext, 'mayTransfer' | 'note'> & { readonly switchboard: Switchboard };

/** The agents of a gateway's calls. */
export class Agents {
  readonly metrics: readonly Metric[];
  private readonly agents = new Map<string, CallAgent>();
  private readonly counts = new Map<AgentNote, number>(AGENT_NOTES.map((note) => [note, 0]));
  private readonly durations = new LatencyHistogram();
  private readonly context: CallAgentContext;
  private secrets: readonly string[] = [];
  /** Of vendors. */
  private keys: { readonly [name in `${VendorName}Key`]?: string | undefined } = {};
  private tools: readonly AgentTool[];

  /**
   * @param usual the agent of calls whose decision names none
   * @throws TypeError for options out of range
   */
  constructor(
    usual: string | undefined,
    private readonly options: AgentsOptions,
    private readonly shared: Context,
  ) {
    const { transferTo = [], handlers = {}, tools = [] } = options;
    for (const [name, handler] of Object.entries(handlers)) {
      if (!isAgent(name) || isVendor(name)) throw expected('other names', 'agents.handlers', name);
      if (typeof handler !== 'function') throw expected('a function', `agents.handlers.${name}`, handler);
    }
    this.rekey(options);
    this.tools = [hangUpTool, ...(transferTo.length === 0 ? [] : [transferTool(transferTo)]), ...tools];
    if (usual !== undefined) this.check(usual);
    this.context = {
      ...shared,
      mayTransfer: transferRule(transferTo),
      note: (...what) => this.note(...what),
    };
    this.metrics = [
      gauge('agents_active', 'Calls that have their agent now', () => this.countUp()),
      counter(
        'agent_connections_total',
        'Connections to agents, by what became of them',
        () => this.counts,
        'outcome',
      ),
      durations(
        'agent_connect_seconds',
        'Time from dialling an agent, or losing it, until it took the call',
        this.durations,
      ),
    ];
    const { switchboard } = shared;
    switchboard.on('call', ({ callId }, _, isContinued) => this.begin(callId, isContinued));
    switchboard.on('answered', ({ callId }) => this.agents.get(callId)?.answered());
    switchboard.on('change', ({ call }) => this.follow(call.callId));
    switchboard.on('over', ({ call }, cause) => {
      const isGoingAway = cause === 'drain' || cause === 'handed-over' || cause === 'moved';
      const agent = this.agents.get(call.callId);
      if (isGoingAway) agent?.leave(1001, 'going away');
      else agent?.leave();
      this.agents.delete(call.callId);
    });
  }

  /**
   * Reads the knowledge of models.
   * @throws GatewayError as of `loadKnowledge`
   */
  async open(): Promise<void> {
    const { knowledge: folder } = this.options;
    if (folder === undefined) return;
    const { knowledgeTool, loadKnowledge } = await import('./knowledge.js');
    const { log, clock } = this.shared;
    this.tools = [...this.tools, knowledgeTool(await loadKnowledge(folder, { log, clock }))];
  }

  /** Signs with other secrets from now on, and calls models with other keys, where given. @throws TypeError for an invalid secret */
  rekey({ secret, openaiKey, geminiKey }: AgentsOptions): void {
    if (secret !== undefined) this.secrets = secretsOf(secret, 'agents.secret');
    const { keys } = this;
    this.keys = { openaiKey: openaiKey ?? keys.openaiKey, geminiKey: geminiKey ?? keys.geminiKey };
  }

  /**
   * Checks that an agent can be dialled.
   * @throws GatewayError `GW_AGENT_UNKNOWN`, `GW_AGENT_KEY_MISSING`
   */
  check(to: string): void {
    if (/^wss?:/i.test(to) && isAgent(to)) return;
    if (this.options.handlers !== undefined && Object.hasOwn(this.options.handlers, to)) return;
    const { vendor, model } = modelOf(to);
    if (vendor === undefined || model === '') {
      const known = [
        ...Object.keys(VENDORS).map((name) => `${name}:<model>`),
        ...Object.keys(this.options.handlers ?? {}),
      ];
      throw new GatewayError(
        'GW_AGENT_UNKNOWN',
        `Expected a ws:// or wss:// URL, ${known.join(' or ')} for an agent but received ${JSON.stringify(to)}`,
      );
    }
    if (this.keys[`${vendor}Key`] !== undefined) return;
    const { keySetting } = VENDORS[vendor];
    throw new GatewayError('GW_AGENT_KEY_MISSING', `Agent ${to} needs ${keySetting}`);
  }

  private begin(callId: string, isContinued: boolean): void {
    const session = this.shared.switchboard.session(callId);
    session?.decided.then(
      (decision) => this.dial(session, decision, isContinued),
      () => {},
    );
  }

  private dial(session: Session, decision: CallDecision, isContinued: boolean): void {
    const choice = this.shared.switchboard.agentOf(decision);
    if (choice === undefined || session.call.state === 'ended') return;
    try {
      const agent = new CallAgent(session, this.planOf(choice), this.context);
      this.agents.set(session.call.callId, agent);
      agent.begin(isContinued).catch((error) => session.fail(error, NO_AGENT));
    } catch (error) {
      this.note('failed');
      session.fail(error, NO_AGENT);
    }
  }

  /** An agent does not follow a caller who is moved to another room. */
  private follow(callId: string): void {
    const agent = this.agents.get(callId);
    if (agent === undefined || agent.isInRoom) return;
    this.agents.delete(callId);
    agent.leave(1000, 'the caller was transferred');
  }

  private planOf(choice: AgentChoice): AgentPlan {
    const { to, parameters, ring = this.options.ring ?? 'ringback' } = choice;
    this.check(to);
    const rate = choice.rate ?? this.options.rate ?? 16_000;
    const rates = { rate, sendRate: rate };
    const handler = this.options.handlers?.[to];
    if (handler !== undefined) {
      const own = choice.rate === undefined ? handler.rates : undefined;
      return { endpoint: new HandlerAgent(to, handler), rates: own ?? rates, ring, parameters };
    }
    if (/^wss?:/i.test(to)) {
      const { clock } = this.shared;
      const endpoint = new WebSocketAgent({ url: to, secrets: () => this.secrets, clock });
      return { endpoint, rates, ring, parameters };
    }
    const { vendor, model } = modelOf(to) as { vendor: VendorName; model: string };
    const answer = this.modelHandler(vendor, model, choice);
    return {
      endpoint: new HandlerAgent(to, answer),
      rates: VENDORS[vendor].rates(choice.rate),
      ring,
      parameters,
    };
  }

  private modelHandler(vendor: VendorName, model: string, choice: AgentChoice): AgentHandler {
    const { options, tools } = this;
    const { clock, log } = this.shared;
    const modelOptions = {
      model,
      key: this.keys[`${vendor}Key`] as string,
      baseUrl: options[`${vendor}Url`],
      instructions: choice.instructions ?? options.instructions,
      voice: choice.voice ?? options.voice,
      greeting: choice.greeting ?? options.greeting,
      tools,
      clock,
      onWarning: (message: string, err?: unknown) => log.warn({ agent: `${vendor}:${model}`, err }, message),
    };
    return async (call) => (await VENDORS[vendor].load())(modelOptions)(call);
  }

  private note(what: AgentNote, ms?: number): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    if (ms !== undefined) this.durations.record(Math.round(ms * 1_000 * INGRESS_TICKS_PER_MICROSECOND));
  }

  private countUp(): number {
    let count = 0;
    for (const agent of this.agents.values()) if (agent.isUp) count += 1;
    return count;
  }
}

/** The vendor and model in a text; no vendor if it is none of ours. */
function modelOf(to: string): { vendor: VendorName | undefined; model: string } {
  const [vendor = '', ...rest] = to.split(':');
  return { vendor: isVendor(vendor) ? vendor : undefined, model: rest.join(':') };
}
