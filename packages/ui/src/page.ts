/**
 * The page that every chassis serves: what it knows of the network, and its own live counters,
 * asked for every second. Run by the browser.
 */
import type {
  AclView,
  CountersView,
  GatewayView,
  HealthView,
  PeerView,
  ProblemView,
  StageView,
} from "@rhone/api/context";
import type { LoadBalancer } from "@rhone/state/load-balancer";
import type { Chassis, Router, Switch } from "@rhone/state/schema";
import { endText, matchText } from "@rhone/state/text";
import { element, show, table } from "./dom.ts";
import { bits, numbers, short } from "./figures.ts";
import { askToken, TokenNeeded, tokenHeaders } from "./token.ts";
import { type PortView, topology } from "./topology.ts";

const PERIOD_MS = 1000;
const ANSWER_TIMEOUT_MS = 5000;

interface Picture {
  readonly health: HealthView;
  readonly switches: readonly Switch[];
  readonly routers: readonly Router[];
  readonly ports: readonly PortView[];
  readonly acls: readonly AclView[];
  readonly balancers: readonly LoadBalancer[];
  readonly gateways: readonly GatewayView[];
  readonly chassis: readonly Chassis[];
  readonly peers: readonly PeerView[];
  readonly pipeline: readonly StageView[];
  readonly counters: CountersView;
  /** When the counters were read, milliseconds. */
  readonly at: number;
}

async function ask<T>(path: string): Promise<T> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(path, { signal, headers: tokenHeaders() });
  if (response.status === 401) {
    throw new TokenNeeded(((await response.json()) as ProblemView).detail);
  }
  // A degraded chassis answers 503 and says why in the same shape.
  if (!response.ok && path !== "/healthz") throw new Error(`${path} answered ${response.status}`);
  return response.json() as Promise<T>;
}

async function look(): Promise<Picture> {
  const [switches, routers, ports, acls, balancers, gateways] = await Promise.all([
    ask<Switch[]>("/v1/switches"),
    ask<Router[]>("/v1/routers"),
    ask<PortView[]>("/v1/ports"),
    ask<AclView[]>("/v1/acls"),
    ask<LoadBalancer[]>("/v1/load-balancers"),
    ask<GatewayView[]>("/v1/gateways"),
  ]);
  const [health, chassis, peers, pipeline, counters] = await Promise.all([
    ask<HealthView>("/healthz"),
    ask<Chassis[]>("/v1/chassis"),
    ask<PeerView[]>("/v1/peers"),
    ask<StageView[]>("/v1/pipeline"),
    ask<CountersView>("/v1/counters"),
  ]);
  const at = performance.now();
  const network = { switches, routers, ports, acls, balancers, gateways };
  return { health, ...network, chassis, peers, pipeline, counters, at };
}

/** Growth of a counter, a second; a chassis that started anew counts from 0. */
function rate(now: number, before: number | undefined, seconds: number): number {
  return before === undefined || now < before || seconds <= 0 ? 0 : (now - before) / seconds;
}

function showHealth({ health, counters }: Picture): void {
  document.title = `Rhône · ${counters.chassis}`;
  show("name", counters.chassis);
  const wrong = health.checks
    .filter(({ ok }) => !ok)
    .map(({ name, detail }) => `${name}: ${detail}`);
  const isOk = health.status === "ok";
  show("status", element("span", { class: isOk ? "good" : "bad" }, isOk ? "ok" : "degraded"));
  show("trouble", wrong.join("; "));
}

function showStages({ pipeline, counters, at }: Picture, before: Picture | null): void {
  const seconds = before === null ? 0 : (at - before.at) / 1000;
  const stages = pipeline.map(({ number, name, job }) => {
    const now = counters.stages[number];
    const packets = now?.packets ?? 0;
    const perSecond = rate(packets, before?.counters.stages[number]?.packets, seconds);
    const drops = now?.drops ?? 0;
    return element(
      "li",
      { class: job.startsWith("none yet") ? "idle" : "", title: job },
      element("b", {}, `${number}`),
      element("span", { class: "stage" }, name),
      element("span", { class: "count" }, `${short.format(packets)} packets`),
      element("span", { class: perSecond > 0 ? "busy" : "quiet" }, `${short.format(perSecond)}/s`),
      element("span", { class: drops > 0 ? "bad" : "quiet" }, `${short.format(drops)} dropped`),
    );
  });
  show("stages", ...stages);
}

function showRules({ acls }: Picture): void {
  const inOrder = [...acls].sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1));
  const rows = inOrder.map((rule) => {
    return [
      rule.name,
      rule.switch + (rule.port === undefined ? "" : `\u00a0/\u00a0${rule.port}`),
      rule.direction,
      `${rule.priority}`,
      matchText(rule.match),
      rule.action,
      numbers.format(rule.hits),
    ];
  });
  const place = [["Name"], ["At"], ["Direction"], ["Priority", true]] as const;
  const deed = [["Match"], ["Action"], ["Decided here", true]] as const;
  show("rules", table([...place, ...deed], rows, "No rules: everything passes."));
}

function showBalancers({ balancers }: Picture): void {
  const rows = balancers.flatMap(({ name, switches, vips }) =>
    vips.map((vip) => [
      name,
      switches.join(", "),
      endText(vip),
      vip.backends.map(endText).join(", ") || "none: its packets are refused",
    ]),
  );
  const header = [["Name"], ["For"], ["Address"], ["Backends"]] as const;
  show("balancers", table(header, rows, "No load balancers."));
}

function showGateways({ gateways }: Picture): void {
  const rows = gateways.flatMap(({ name, members, status }) =>
    status.members.map(({ chassis, role, detail }) => {
      const member = members.find((member) => member.chassis === chassis);
      const drained = member?.drained === true ? "drained " : "";
      const since = `since ${status.since ?? "it began"}, epoch ${status.epoch}`;
      const why = detail === "" && role === "active" ? since : detail;
      return [name, chassis, `${drained}${member?.priority ?? 0}`, role, why];
    }),
  );
  const header = [["Name"], ["Member"], ["Priority", true], ["Role"], ["Why"]] as const;
  const warnings = gateways.flatMap(({ name, status: { warning } }) =>
    warning === "" ? [] : [element("p", { class: "bad" }, `${name}: ${warning}`)],
  );
  show("gateways", table(header, rows, "No gateways."), ...warnings);
}

function showDrops({ counters }: Picture): void {
  const rows = [...counters.drops]
    .sort((a, b) => b.packets - a.packets)
    .map(({ reason, packets, text }) => [reason, numbers.format(packets), text]);
  show("drops", table([["Reason"], ["Packets", true], ["Meaning"]], rows, "Nothing was dropped."));
}

function showDevices({ counters, at }: Picture, before: Picture | null): void {
  const seconds = before === null ? 0 : (at - before.at) / 1000;
  const tunnel = { device: "tunnel", port: "other chassis", worker: -1, ...counters.tunnel };
  const old = before && [
    ...before.counters.devices,
    { ...before.counters.tunnel, device: "tunnel" },
  ];
  const rows = [...counters.devices, tunnel].map((now) => {
    const then = old?.find(({ device }) => device === now.device);
    return [
      now.device,
      now.port,
      now.worker < 0 ? "all" : `${now.worker}`,
      numbers.format(now.rxPackets),
      bits(rate(now.rxBytes, then?.rxBytes, seconds) * 8),
      numbers.format(now.txPackets),
      bits(rate(now.txBytes, then?.txBytes, seconds) * 8),
      numbers.format(now.drops),
    ];
  });
  const headings = ["Worker", "Packets received", "now", "Packets sent", "now", "Dropped"];
  const columns = headings.map((name) => [name, true] as const);
  show("devices", table([["Device"], ["Port"], ...columns], rows, ""));
}

function showChassis({ chassis, peers, counters }: Picture): void {
  const rows = chassis.map(({ name, underlay, workers, version }) => [
    name,
    underlay,
    `${workers}`,
    version,
    name === counters.chassis ? "this one" : peerState(peers.find((peer) => peer.name === name)),
  ]);
  const columns = [
    ["Name"],
    ["Underlay"],
    ["Workers", true],
    ["Version"],
    ["Seen from here"],
  ] as const;
  show("chassis", table(columns, rows, "No chassis has announced itself."));
}

function peerState(peer: PeerView | undefined): string {
  if (peer === undefined) return "never heard of";
  const seconds = numbers.format(peer.lastSeenMs / 1000);
  return peer.connected ? "connected" : `silent for ${seconds} s`;
}

function showPicture(picture: Picture, before: Picture | null): void {
  showHealth(picture);
  const isEmpty = picture.switches.length + picture.routers.length === 0;
  const hint = element("p", { class: "quiet" }, "No switches or routers yet.");
  show("topology", isEmpty ? hint : topology(picture));
  showStages(picture, before);
  showRules(picture);
  showBalancers(picture);
  showGateways(picture);
  showDrops(picture);
  showDevices(picture, before);
  showChassis(picture);
}

async function run(): Promise<never> {
  let before: Picture | null = null;
  for (;;) {
    try {
      if (!document.hidden) {
        const picture = await look();
        showPicture(picture, before);
        before = picture;
      }
    } catch (error) {
      if (error instanceof TokenNeeded) {
        show("status", element("span", { class: "bad" }, "token needed"));
        await askToken(error.message);
        continue;
      }
      show("status", element("span", { class: "bad" }, "no answer"));
      show("trouble", `What you see is old: ${(error as Error).message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}

run();
