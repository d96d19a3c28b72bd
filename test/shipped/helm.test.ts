import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gateway, HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Ajv } from 'ajv';
import { Deployment } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Secret, Service, ServiceAccount } from 'kubernetes-models/v1';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { readConfig } from '../../src/config.js';
import { SETTINGS } from '../../src/settings.js';
import { readDockerfile } from '../support/dockerfile.js';
import { hasHelm, helm } from '../support/helm.js';

const FOLDER = fileURLToPath(new URL('../../deploy/helm/', import.meta.url));
const CHART = `${FOLDER}trunkline`;
const text = (file: string) => readFileSync(FOLDER + file, 'utf8');

/** A manifest; what it holds is for the schema to say. */
// biome-ignore lint/suspicious/noExplicitAny: any shape a file may have
type Manifest = any;

function parseAll(yaml: string): Manifest[] {
  return parseAllDocuments(yaml, { uniqueKeys: true }).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  });
}
const one = (file: string) => parseAll(text(file))[0];

const defaults = one('trunkline/values.yaml');
const schema = JSON.parse(text('trunkline/values.schema.json'));
const files = one('files.values.yaml');
const secret = one('secret.example.yaml');
const exampleGateway = one('gateway.example.yaml');

const rendered = new Map<string, Record<string, Manifest>>();

/** The output of the chart for these values on top of its own, by kind. */
function render(values?: unknown, release = 'trunkline'): Record<string, Manifest> {
  const asked = JSON.stringify([values, release]);
  const known = rendered.get(asked) ?? renderAnew(values, release);
  rendered.set(asked, known);
  return known;
}

function renderAnew(values: unknown, release: string): Record<string, Manifest> {
  const { output, failed } = helm(['template', release, CHART], values);
  expect(failed).toBe('');
  const manifests = parseAll(output);
  const byKind = Object.fromEntries(manifests.map((manifest) => [manifest.kind, manifest]));
  expect(Object.keys(byKind)).toHaveLength(manifests.length);
  return byKind;
}

type Model = new (data: Manifest) => { validate(): void };
const MODELS: Readonly<Record<string, Model>> = {
  'apps/v1 Deployment': Deployment,
  'v1 ConfigMap': ConfigMap,
  'v1 Secret': Secret,
  'v1 Service': Service,
  'v1 ServiceAccount': ServiceAccount,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'gateway.networking.k8s.io/v1 Gateway': Gateway as Model,
  'gateway.networking.k8s.io/v1 HTTPRoute': HTTPRoute as Model,
  'monitoring.coreos.com/v1 PodMonitor': PodMonitor,
  'monitoring.coreos.com/v1 PrometheusRule': PrometheusRule,
};

/** What the API server would have against a manifest; nothing is empty text. */
function refusal(manifest: Manifest): string {
  const kind = `${manifest.apiVersion} ${manifest.kind}`;
  const Kind = MODELS[kind];
  if (Kind === undefined) return `no schema for ${kind}`;
  const unread = new Set<string>();
  try {
    watched(new Kind(manifest), '', unread).validate();
  } catch (error) {
    return (error as Error).message;
  }
  return [...unread].map((path) => `unknown field ${path}`).join(', ');
}

/** The schemas let unknown fields pass, as old API servers did. But a field that they know is one that they read. */
function watched(value: Manifest, path: string, unread: Set<string>): Manifest {
  if (typeof value !== 'object' || value === null) return value;
  const children = new Map<string, unknown>();
  for (const key of Object.keys(value)) {
    if (!Array.isArray(value)) unread.add(`${path}/${key}`);
    children.set(key, watched(value[key], `${path}/${key}`, unread));
  }
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === 'symbol' || !children.has(key)) return Reflect.get(target, key);
      unread.delete(`${path}/${key}`);
      return children.get(key);
    },
  });
}

const refusals = (manifests: Record<string, Manifest>) =>
  Object.values(manifests)
    .map(refusal)
    .filter((words) => words !== '');

/** The way to each value that is no object, or an empty one. */
function pathsOf(value: Manifest, path: string[] = []): string[][] {
  const isBranch = typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length > 0;
  return isBranch ? Object.keys(value).flatMap((key) => pathsOf(value[key], [...path, key])) : [path];
}
const at = (values: Manifest, path: readonly string[]) => path.reduce((value, key) => value[key], values);
const only = (path: readonly string[], value: unknown) =>
  path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);

/** Another value where no rule makes one that the schema takes. */
const OTHERS: Readonly<Record<string, unknown>> = {
  'image.pullPolicy': 'Always',
  imagePullSecrets: [{ name: 'registry' }],
  'settings.PUBLIC_URL': 'https://phones.example.org/voice',
  'settings.LOG_LEVEL': 'debug',
  'route.parentRefs': [{ name: 'other', namespace: 'edge' }],
  'route.timeouts.webhook': '14s',
  'route.timeouts.media': '2h',
  'metrics.labels': { release: 'prometheus' },
  'networkPolicy.operationsFrom': [{ podSelector: { matchLabels: { app: 'prometheus' } } }],
  'serviceAccount.annotations': { 'example.com/role': 'gateway' },
  'resources.requests.cpu': '2',
  'resources.requests.memory': '1Gi',
  'resources.limits.memory': '2Gi',
  nodeSelector: { pool: 'voice' },
  tolerations: [{ key: 'voice', operator: 'Exists' }],
  volumes: files.volumes,
  volumeMounts: files.volumeMounts,
};
function another(path: readonly string[]): unknown {
  const value = at(defaults, path);
  const name = path.join('.');
  if (name in OTHERS) return OTHERS[name];
  if (typeof value === 'boolean') return !value;
  return typeof value === 'number' ? value + 1 : `${value}other`;
}

const paths = pathsOf(defaults).map((path) => ({ name: path.join('.'), path }));

describe.runIf(hasHelm)('helm', () => {
  it('lint accepts the chart', () => {
    expect(helm(['lint', '--strict', CHART]).failed).toBe('');
  });

  it('packs all of it, including the rules, which are a link', () => {
    const work = mkdtempSync(join(tmpdir(), 'trunkline-chart-'));
    try {
      expect(helm(['package', CHART, '--destination', work]).failed).toBe('');
      const [packed] = readdirSync(work) as [string];
      const { output } = helm(['template', 'trunkline', join(work, packed)]);
      expect(parseAll(output)).toEqual(Object.values(render()));
    } finally {
      rmSync(work, { recursive: true });
    }
  });

  it.each(paths)('renders $name, and differently for another value', ({ path }) => {
    const changed = render(only(path, another(path)));
    expect(refusals(changed)).toEqual([]);
    expect(changed).not.toEqual(render());
  });

  it('rejects unknown and invalid values', () => {
    expect(helm(['template', 'a', CHART], { setings: {} }).failed).toContain('setings');
    expect(helm(['template', 'a', CHART], { settings: { MAX_CALL: 5 } }).failed).toContain('MAX_CALL');
    expect(helm(['template', 'a', CHART], { operationsPort: 3000 }).failed).toContain('operationsPort');
  });
});

describe('the schema of the values', () => {
  const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(schema);
  const changed = (path: readonly string[], value: unknown) => {
    const values = structuredClone(defaults);
    at(values, path.slice(0, -1))[path.at(-1) as string] = value;
    return values;
  };

  it('accepts the defaults, and another value for each', () => {
    expect(validate(defaults), JSON.stringify(validate.errors)).toBe(true);
    for (const { path, name } of paths) expect(validate(changed(path, another(path))), name).toBe(true);
  });

  it('rejects a value of the wrong type, except for resources, which Kubernetes checks', () => {
    const passed = paths.filter(({ path }) =>
      validate(changed(path, typeof at(defaults, path) === 'boolean' ? 'no' : true)),
    );
    expect(passed.map(({ name }) => name).filter((name) => !name.startsWith('resources.'))).toEqual([]);
  });

  it('rejects a misspelt name at every level', () => {
    const branches = new Set(paths.map(({ path }) => path.slice(0, -1).join('.')));
    for (const branch of branches) {
      if (branch.startsWith('resources')) continue;
      const path = branch === '' ? [] : branch.split('.');
      expect(validate(changed([...path, 'MISSPELT'], 'x')), branch).toBe(false);
    }
  });

  it('has an example of a Secret with every secret setting', () => {
    const secrets = [...SETTINGS].flatMap(([name, { isSecret }]) => (isSecret ? [name] : []));
    expect(Object.keys(secret.stringData).sort()).toEqual(secrets.sort());
  });

  it('has the version of the package', () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(one('trunkline/Chart.yaml')).toMatchObject({ version, appVersion: version });
  });
});

describe('the schemas of Kubernetes', () => {
  it('accept the examples', () => {
    expect([secret, exampleGateway].map(refusal)).toEqual(['', '']);
  });

  it.runIf(hasHelm)('accept the output of the chart, and reject what is wrong, missing or misspelt', () => {
    const manifests = render();
    expect(refusals(manifests)).toEqual([]);
    const changed = (change: (manifest: Manifest) => void) => {
      const manifest = structuredClone(manifests.Deployment);
      change(manifest);
      return refusal(manifest);
    };
    expect(changed((m) => (m.spec.template.spec.terminationGracePeriodSeconds = '90'))).toContain('integer');
    expect(changed((m) => delete m.spec.selector)).toContain('selector');
    expect(changed((m) => (m.spec.template.spec.containers[0].redinessProbe = {}))).toBe(
      'unknown field /spec/template/spec/containers/0/redinessProbe',
    );
    expect(changed((m) => (m.apiVersion = 'apps/v2'))).toBe('no schema for apps/v2 Deployment');
  });
});

describe.runIf(hasHelm)('the environment', () => {
  const { Deployment: deployment, ConfigMap: configMap } = hasHelm ? render() : {};
  const [gateway] = deployment?.spec.template.spec.containers ?? [];
  const direct: Record<string, string> = Object.fromEntries(
    (gateway?.env ?? []).map(({ name, value }: { name: string; value?: string }) => [name, value ?? 'pod-1']),
  );

  it('has values that the gateway accepts', () => {
    // The placeholders of the secret must not start a gateway; a real account in their place must.
    const account = { TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`, TWILIO_AUTH_TOKEN: 'token' };
    const env = { ...configMap.data, ...secret.stringData, ...direct };
    expect(() => readConfig(env)).toThrow('TWILIO_ACCOUNT_SID');
    const config = readConfig({ ...env, ...account });
    expect(config).toMatchObject({
      host: '0.0.0.0',
      publicUrl: defaults.settings.PUBLIC_URL,
      maxCalls: defaults.settings.MAX_CALLS,
      operationsPort: defaults.operationsPort,
    });
    expect(gateway.ports).toEqual([
      { name: 'http', containerPort: config.port },
      { name: 'operations', containerPort: config.operationsPort },
    ]);
  });

  it('comes from the ConfigMap of the chart and the Secret of the user', () => {
    expect(gateway.envFrom).toEqual([
      { configMapRef: { name: configMap.metadata.name } },
      { secretRef: { name: secret.metadata.name } },
    ]);
    const names = [...Object.keys(configMap.data), ...Object.keys(secret.stringData), ...Object.keys(direct)];
    expect(names.filter((name) => !SETTINGS.has(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  it('keeps large numbers as written, and restarts the pods when one changes', () => {
    const changed = render({ settings: { MAX_CALLS: 1_000_000 } });
    expect(changed.ConfigMap.data.MAX_CALLS).toBe('1000000');
    const annotations = (manifest: Manifest) => manifest.spec.template.metadata.annotations;
    expect(annotations(changed.Deployment)).not.toEqual(annotations(deployment));
  });
});

describe.runIf(hasHelm)('the pods', () => {
  const all = hasHelm ? render() : {};
  const { Deployment: deployment, Service: service, HorizontalPodAutoscaler: hpa, PodMonitor: monitor } = all;
  const pod = deployment?.spec.template;
  const [gateway] = pod?.spec.containers ?? [];
  const podSelectors = (manifests: Record<string, Manifest>): Record<string, string>[] => [
    manifests.Deployment.spec.selector.matchLabels,
    manifests.Service.spec.selector,
    manifests.PodDisruptionBudget.spec.selector.matchLabels,
    manifests.PodMonitor.spec.selector.matchLabels,
    manifests.NetworkPolicy.spec.podSelector.matchLabels,
    ...manifests.Deployment.spec.template.spec.topologySpreadConstraints.map(
      (constraint: Manifest) => constraint.labelSelector.matchLabels,
    ),
  ];

  it('are selected by everything that needs them, and by no other release', () => {
    expect(podSelectors(all)).toHaveLength(7);
    const other = render(undefined, 'second');
    for (const selector of podSelectors(all)) {
      expect(pod.metadata.labels).toMatchObject(selector);
      expect(other.Deployment.spec.template.metadata.labels).not.toMatchObject(selector);
    }
    expect(Object.values(other).filter(({ metadata }) => metadata.name !== 'second')).toEqual([]);
    expect(pod.metadata.labels[monitor.spec.jobLabel]).toBe('trunkline');
    const { apiVersion, kind, metadata } = deployment;
    expect(hpa.spec.scaleTargetRef).toEqual({ apiVersion, kind, name: metadata.name });
    expect(pod.spec.serviceAccountName).toBe(all.ServiceAccount.metadata.name);
  });

  it('are reached at a port that they have', () => {
    const probes = ['startupProbe', 'readinessProbe', 'livenessProbe'].map((name) => gateway[name].httpGet);
    expect(probes).toEqual(['/health', '/ready', '/health'].map((path) => ({ path, port: 'operations' })));
    expect(monitor.spec.podMetricsEndpoints).toMatchObject([{ port: 'operations', path: '/metrics' }]);
    const names = gateway.ports.map(({ name }: Manifest) => name);
    expect(service.spec.ports.map(({ targetPort }: Manifest) => targetPort)).toEqual(names);
    const [anybody, cluster] = all.NetworkPolicy.spec.ingress;
    expect(anybody).toEqual({ ports: [{ port: 'http' }] });
    expect(cluster.ports).toEqual([{ port: 'operations' }]);
  });

  it.each([0, 60, 3_600])(
    'have time to say goodbye before they are killed, after %i s of waiting',
    (seconds) => {
      const { spec } = render({ settings: { DRAIN_SECONDS: seconds } }).Deployment.spec.template;
      const [program, pause] = spec.containers[0].lifecycle.preStop.exec.command;
      expect(program).toBe('sleep');
      expect(Number(pause)).toBeGreaterThanOrEqual(5);
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(seconds + Number(pause) + 10);
    },
  );

  it('are restarted later than they are taken out of service', () => {
    const patience = ({ periodSeconds, failureThreshold }: Manifest) => periodSeconds * failureThreshold;
    expect(patience(gateway.livenessProbe)).toBeGreaterThanOrEqual(60);
    expect(patience(gateway.readinessProbe)).toBeLessThanOrEqual(5);
  });

  it('run with no rights', () => {
    expect(gateway.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(pod.spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    const { runAsUser, runAsGroup, fsGroup } = pod.spec.securityContext;
    expect(readDockerfile('deploy/Dockerfile').final.of('USER')).toEqual([`${runAsUser}:${runAsGroup}`]);
    expect(fsGroup).toBe(runAsGroup);
  });

  it('are never fewer than three, roll one by one, and are scaled by calls that a node can carry', () => {
    // A number of replicas in the Deployment would undo the autoscaler's at every apply.
    expect(deployment.spec).not.toHaveProperty('replicas');
    expect(hpa.spec.minReplicas).toBe(3);
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
    expect(all.PodDisruptionBudget.spec.maxUnavailable).toBe(1);
    const [{ pods }] = hpa.spec.metrics;
    // One of three may be away, and the others carry its calls.
    expect(Number(pods.target.averageValue) * 1.5).toBeLessThanOrEqual(defaults.settings.MAX_CALLS);
    expect(text('../prometheus/adapter-rule.yaml')).toContain(`as: ${pods.metric.name}\n`);
    const [small] = render({ settings: { MAX_CALLS: 1 } }).HorizontalPodAutoscaler.spec.metrics;
    expect(small.pods.target.averageValue).toBe('1');
  });

  it('may be given a volume, a folder of it for each, where the gateway is told to write', () => {
    const filed = render(files);
    expect(refusals(filed)).toEqual([]);
    const { containers, volumes } = filed.Deployment.spec.template.spec;
    const [{ env, volumeMounts }] = containers;
    expect(volumeMounts.map(({ name }: Manifest) => name)).toEqual(volumes.map(({ name }: Manifest) => name));
    const [{ mountPath, subPathExpr }] = volumeMounts;
    expect(filed.ConfigMap.data).toMatchObject({ ...all.ConfigMap.data, RECORD_DIR: mountPath });
    expect(env.map(({ name }: Manifest) => name)).toContain(/^\$\((\w+)\)$/.exec(subPathExpr)?.[1]);
    expect(text('files.values.yaml')).toContain(`_FILE: ${mountPath}/`);
  });
});

describe.runIf(hasHelm)('the route', () => {
  const { HTTPRoute: route, Service: service } = hasHelm ? render() : {};

  /** The rule for a request to this path: the longest prefix, by whole segments, as the Gateway API has it. */
  function ruleFor({ spec }: Manifest, path: string): Manifest {
    const fits = (rule: Manifest) => `${path}/`.startsWith(`${rule.matches[0].path.value}/`);
    const length = (rule: Manifest) => rule.matches[0].path.value.length;
    return spec.rules.filter(fits).sort((a: Manifest, b: Manifest) => length(b) - length(a))[0];
  }

  it("is for Twilio's requests alone, to a port that the Service has", () => {
    for (const rule of route.spec.rules) {
      expect(rule.matches).toEqual([
        { path: { type: 'PathPrefix', value: expect.stringMatching(/^\/twilio/) } },
      ]);
      const [{ name, port }] = rule.backendRefs;
      expect(name).toBe(service.metadata.name);
      expect(service.spec.ports.find((served: Manifest) => served.port === port)?.name).toBe('http');
    }
    for (const path of ['/', '/v1/calls', '/metrics', '/dashboard', '/health', '/ready', '/twiliox']) {
      expect(ruleFor(route, path), path).toBeUndefined();
    }
  });

  it('gives a webhook less than Twilio waits, and a media socket all the time it wants', () => {
    expect(ruleFor(route, '/twilio/media/call').timeouts).toEqual({ request: '0s' });
    for (const path of ['/twilio/voice', '/twilio/next', '/twilio/status']) {
      expect(Number.parseInt(ruleFor(route, path).timeouts.request, 10)).toBeLessThan(15);
    }
    const bare = render({ route: { timeouts: { webhook: '', media: '' } } }).HTTPRoute;
    expect(bare.spec.rules.map((rule: Manifest) => 'timeouts' in rule)).toEqual([false, false]);
  });

  it('has the host and the path of PUBLIC_URL, whatever its port', () => {
    const { spec } = render({ settings: { PUBLIC_URL: 'https://example.com:8443/phones/' } }).HTTPRoute;
    expect(spec.hostnames).toEqual(['example.com']);
    expect(spec.rules.map((rule: Manifest) => rule.matches[0].path.value)).toEqual([
      '/phones/twilio/media',
      '/phones/twilio',
    ]);
  });

  it('goes to a listener of the example, which terminates TLS for that host', () => {
    const [parent] = route.spec.parentRefs;
    expect(exampleGateway.metadata.name).toBe(parent.name);
    const listeners: Manifest[] = exampleGateway.spec.listeners;
    expect(listeners.find(({ name }) => name === parent.sectionName)).toMatchObject({
      protocol: 'HTTPS',
      hostname: route.spec.hostnames[0],
      tls: { mode: 'Terminate' },
    });
  });
});

describe.runIf(hasHelm)('the PrometheusRule', () => {
  it('has the rules of deploy/prometheus, and the capacity of a node', () => {
    const [{ groups }] = parseAll(text('../prometheus/rules.yaml'));
    const limit = groups[0].rules[0];
    expect(limit).toEqual({
      record: 'trunkline:calls_per_node:limit',
      expr: `vector(${defaults.settings.MAX_CALLS})`,
    });
    expect(render().PrometheusRule.spec).toEqual({ groups });
    limit.expr = 'vector(300)';
    expect(render({ settings: { MAX_CALLS: 300 } }).PrometheusRule.spec).toEqual({ groups });
  });
});
