import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Deployment } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { Secret, Service } from 'kubernetes-models/v1';
import { describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { readConfig } from '../../src/config.js';

const FOLDER = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));
const README = new URL('../../README.md', import.meta.url);
const STREAM_README = new URL('../../src/bridge/stream/README.md', import.meta.url);

/** A manifest; what it holds is for the schema to say. */
// biome-ignore lint/suspicious/noExplicitAny: any shape a file may have
type Manifest = any;

function read(file: string): Manifest {
  const document = parseDocument(readFileSync(FOLDER + file, 'utf8'), { uniqueKeys: true });
  expect(document.errors).toEqual([]);
  return document.toJS();
}

const kustomization = read('kustomization.yaml');
const deployment = read('deployment.yaml');
const service = read('service.yaml');
const ingress = read('ingress.yaml');
const pdb = read('pdb.yaml');
const hpa = read('hpa.yaml');
const podMonitor = read('podmonitor.yaml');
const secret = read('secret.example.yaml');

const pod = deployment.spec.template;
const [gateway] = pod.spec.containers;
const settings: Record<string, string> = Object.fromEntries(
  kustomization.configMapGenerator[0].literals.map((literal: string) => literal.split(/=(.*)/s, 2)),
);
const portNames: string[] = gateway.ports.map(({ name }: { name: string }) => name);

type Model = new (data: Manifest) => { validate(): void };
const MODELS: Readonly<Record<string, Model>> = {
  'apps/v1 Deployment': Deployment,
  'v1 Service': Service,
  'networking.k8s.io/v1 Ingress': Ingress,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'monitoring.coreos.com/v1 PodMonitor': PodMonitor,
  'v1 Secret': Secret,
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

/** The manifests of the folder itself. */
const files = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'));

/** As kustomize merges a patch: lists of what has names are merged by name, others replaced. */
function merged(base: Manifest, patch: Manifest): Manifest {
  if (Array.isArray(patch)) {
    const names = new Map((base ?? []).map((item: Manifest) => [item.name, item]));
    for (const item of patch) names.set(item.name, merged(names.get(item.name), item));
    return [...names.values()];
  }
  if (typeof patch !== 'object' || patch === null) return patch;
  const result = { ...base };
  for (const key of Object.keys(patch)) result[key] = merged(result[key], patch[key]);
  return result;
}

describe('the schemas of Kubernetes', () => {
  const manifests = files.filter((file) => file !== 'kustomization.yaml');
  it.each(manifests)('accept %s', (file) => {
    expect(refusal(read(file))).toBe('');
  });

  it('refuse what is wrong, missing or misspelt', () => {
    const changed = (change: (manifest: Manifest) => void) => {
      const manifest = structuredClone(deployment);
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

describe('the kustomization', () => {
  it('lists every file but itself and the example', () => {
    const resources = files.filter((file) => !['kustomization.yaml', 'secret.example.yaml'].includes(file));
    expect([...kustomization.resources].sort()).toEqual(resources.sort());
  });

  it("makes the ConfigMap, and names the image, that the Deployment's pods ask for", () => {
    expect(gateway.envFrom).toEqual([
      { configMapRef: { name: kustomization.configMapGenerator[0].name } },
      { secretRef: { name: secret.metadata.name } },
    ]);
    expect(kustomization.images.map(({ name }: { name: string }) => name)).toEqual([gateway.image]);
  });
});

describe('the environment', () => {
  /** The first column of the tables of both READMEs. */
  const known = new Set(
    [README, STREAM_README].flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => /^\| `[A-Z_]+`/.test(line))
        .flatMap((line) => line.split('|')[1]?.match(/[A-Z][A-Z_]+(?=`)/g) ?? []),
    ),
  );
  const given = { ...settings, ...secret.stringData };
  const direct = Object.fromEntries(
    gateway.env.map(({ name, value }: { name: string; value?: string }) => [name, value ?? 'pod-1']),
  );

  it('has only variables that the gateway reads', () => {
    expect(known).toContain('DRAIN_SECONDS');
    const names = [...Object.keys(given), ...Object.keys(direct)];
    expect(names.filter((name) => !known.has(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  it('has values that the gateway takes', () => {
    // The placeholders of the secret must not start a gateway; a real account in their place must.
    const account = { TWILIO_ACCOUNT_SID: `AC${'0'.repeat(32)}`, TWILIO_AUTH_TOKEN: 'token' };
    const env: Record<string, string> = { ...given, ...direct };
    expect(() => readConfig(env)).toThrow('TWILIO_ACCOUNT_SID');
    const config = readConfig({ ...env, ...account });
    expect(config).toMatchObject({
      host: '0.0.0.0',
      publicUrl: `https://${ingress.spec.rules[0].host}`,
      maxCalls: Number(settings.MAX_CALLS),
    });
    expect(gateway.ports).toEqual([{ name: 'http', containerPort: config.port }]);
  });

  it('has a place for each secret that the gateway reads', () => {
    const secrets = [...known].filter((name) => /TOKEN$|SECRET$|KEY$|SID$/.test(name));
    expect(secrets).toContain('WEBHOOK_SECRET');
    expect(secrets.filter((name) => !(name in secret.stringData))).toEqual([]);
  });

  it('keeps secrets out of the ConfigMap', () => {
    expect(Object.keys(settings).filter((name) => /TOKEN|SECRET|KEY|SID|REDIS/.test(name))).toEqual([]);
  });
});

describe('the pods', () => {
  it('are selected by all that look for them', () => {
    const labels = pod.metadata.labels;
    const selectors = [
      deployment.spec.selector.matchLabels,
      service.spec.selector,
      pdb.spec.selector.matchLabels,
      podMonitor.spec.selector.matchLabels,
      ...pod.spec.topologySpreadConstraints.map(
        (constraint: Manifest) => constraint.labelSelector.matchLabels,
      ),
    ];
    expect(selectors).toHaveLength(6);
    for (const selector of selectors) {
      expect(Object.keys(selector)).not.toEqual([]);
      expect(labels).toMatchObject(selector);
    }
    expect(Object.keys(labels)).toContain(podMonitor.spec.jobLabel);
    const { apiVersion, kind, metadata } = deployment;
    expect(hpa.spec.scaleTargetRef).toEqual({ apiVersion, kind, name: metadata.name });
  });

  it('are reached at a port that they have', () => {
    const probes = ['startupProbe', 'readinessProbe', 'livenessProbe'].map((name) => gateway[name].httpGet);
    expect(probes.map(({ path }) => path)).toEqual(['/health', '/ready', '/health']);
    const asked = [
      ...probes.map(({ port }) => port),
      ...service.spec.ports.map((port: Manifest) => port.targetPort),
      ...podMonitor.spec.podMetricsEndpoints.map((endpoint: Manifest) => endpoint.port),
    ];
    for (const port of asked) expect(portNames).toContain(port);
    for (const { path, backend } of ingress.spec.rules[0].http.paths) {
      expect(path).toBe('/twilio');
      expect(backend.service.name).toBe(service.metadata.name);
      expect(service.spec.ports.map((port: Manifest) => port.name)).toContain(backend.service.port.name);
    }
    expect(ingress.spec.tls[0].hosts).toEqual([ingress.spec.rules[0].host]);
  });

  it('have time to say goodbye before they are killed', () => {
    const [program, seconds] = gateway.lifecycle.preStop.exec.command;
    expect(program).toBe('sleep');
    expect(Number(seconds)).toBeGreaterThanOrEqual(5);
    const drain =
      readConfig({ TWILIO_VALIDATE: 'off', DRAIN_SECONDS: settings.DRAIN_SECONDS }).drainMs / 1000;
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(drain + Number(seconds) + 10);
  });

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
    const dockerfile = readFileSync(`${FOLDER}../Dockerfile`, 'utf8');
    const { runAsUser, runAsGroup } = pod.spec.securityContext;
    expect(dockerfile).toContain(`\nUSER ${runAsUser}:${runAsGroup}\n`);
  });

  it('are never fewer than three, roll one by one, and are scaled by calls that a node can carry', () => {
    // A number of replicas in the Deployment would undo the autoscaler's at every apply.
    expect(deployment.spec).not.toHaveProperty('replicas');
    expect(hpa.spec.minReplicas).toBe(3);
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
    expect(pdb.spec.maxUnavailable).toBe(1);
    const [{ pods }] = hpa.spec.metrics;
    // One of three may be away, and the others carry its calls.
    expect(Number(pods.target.averageValue) * 1.5).toBeLessThanOrEqual(Number(settings.MAX_CALLS));
    const adapter = readFileSync(`${FOLDER}../prometheus/adapter-rule.yaml`, 'utf8');
    expect(adapter).toContain(`as: ${pods.metric.name}\n`);
  });
});

describe('the component "files"', () => {
  const component = read('files/kustomization.yaml');
  const patched = merged(deployment, read('files/deployment.yaml'));
  const { containers, volumes, securityContext } = patched.spec.template.spec;

  it('patches the Deployment, which stays one that Kubernetes takes', () => {
    expect(component).toMatchObject({ kind: 'Component', patches: [{ path: 'deployment.yaml' }] });
    expect(patched.metadata.name).toBe(deployment.metadata.name);
    expect(containers).toHaveLength(1);
    expect(refusal(patched)).toBe('');
  });

  it('has a volume, a folder of it for each pod, where the gateway is told to write, and its user may', () => {
    const [{ env, volumeMounts }] = containers;
    expect(volumeMounts.map(({ name }: Manifest) => name)).toEqual(volumes.map(({ name }: Manifest) => name));
    const [{ mountPath, subPathExpr }] = volumeMounts;
    const setTo = new Map<string, string>(env.map(({ name, value }: Manifest) => [name, value]));
    expect(setTo.get('RECORD_DIR')).toBe(mountPath);
    expect(setTo.has(/^\$\((\w+)\)$/.exec(subPathExpr)?.[1] ?? '')).toBe(true);
    expect(securityContext).toMatchObject({
      ...pod.spec.securityContext,
      fsGroup: pod.spec.securityContext.runAsGroup,
    });
    const commented = readFileSync(`${FOLDER}files/deployment.yaml`, 'utf8');
    expect(commented).toContain(`#   value: ${mountPath}/`);
    expect(readFileSync(`${FOLDER}kustomization.yaml`, 'utf8')).toContain('# components:\n#   - files\n');
  });
});
