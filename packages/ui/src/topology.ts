/**
 * The logical network as a picture: routers on top, switches below them, their ports below those.
 * Run by the browser.
 */
import type { PortStatusView } from "@rhone/api/context";
import type { Port, Router, Switch } from "@rhone/state/schema";
import { formatLabels } from "@rhone/state/text";
import { type Attributes, svgElement } from "./dom.ts";

export type PortView = Port & { readonly status: PortStatusView };

export interface Network {
  readonly switches: readonly Switch[];
  readonly routers: readonly Router[];
  readonly ports: readonly PortView[];
}

const COLUMN_WIDTH = 250;
const BOX_WIDTH = 220;
const BOX_HEIGHT = 34;
const PORT_HEIGHT = 58;
const SWITCH_Y = 140;
const PORTS_Y = SWITCH_Y + BOX_HEIGHT + 10;
const MARGIN = 8;

/** Middle of a column, in the picture's units. */
function middle(column: number): number {
  return MARGIN + column * COLUMN_WIDTH + COLUMN_WIDTH / 2;
}

export function topology(network: Network): SVGElement {
  const { switches, routers, ports } = network;
  const columns = Math.max(switches.length, routers.length, 1);
  const perSwitch = switches.map(({ name }) => ports.filter((port) => port.switch === name));
  const rows = Math.max(0, ...perSwitch.map((list) => list.length));
  const width = MARGIN * 2 + columns * COLUMN_WIDTH;
  const height = PORTS_Y + rows * PORT_HEIGHT + MARGIN;
  const title = `${switches.length} switches, ${routers.length} routers, ${ports.length} ports`;
  const routersFrom = (columns - routers.length) / 2;
  const switchesFrom = (columns - switches.length) / 2;
  return svgElement(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
    ...routers.flatMap((router, i) => links(router, routersFrom + i, switches, switchesFrom)),
    ...routers.map((router, i) => box(middle(routersFrom + i), MARGIN, "router", router.name)),
    ...switches.flatMap(({ name }, i) => [
      box(middle(switchesFrom + i), SWITCH_Y, "switch", name),
      ...perSwitch[i]!.map((port, row) => portOf(port, middle(switchesFrom + i), row)),
    ]),
  );
}

function box(x: number, y: number, kind: string, name: string): SVGElement {
  const frame = { x: x - BOX_WIDTH / 2, y, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 6 };
  const label = { x, y: y + 22, "text-anchor": "middle" };
  return svgElement(
    "g",
    { class: kind },
    svgElement("rect", frame),
    text(label, `${kind} ${name}`),
  );
}

/** Lines from a router to the switches that it has a port in, with the addresses of that port. */
function links(
  router: Router,
  column: number,
  switches: readonly Switch[],
  switchesFrom: number,
): SVGElement[] {
  return router.ports.flatMap((port) => {
    const index = switches.findIndex(({ name }) => name === port.switch);
    if (index < 0) return [];
    const x1 = middle(column);
    const x2 = middle(switchesFrom + index);
    const line = { class: "link", x1, y1: MARGIN + BOX_HEIGHT, x2, y2: SWITCH_Y };
    // Near the switch, where the lines of different routers and ports are apart.
    const addresses = port.addresses.map((address, i) =>
      text({ class: "small", x: x2, y: SWITCH_Y - 8 - i * 15, "text-anchor": "middle" }, address),
    );
    return [svgElement("line", line), ...addresses];
  });
}

function portOf(port: PortView, x: number, row: number): SVGElement {
  const left = x - BOX_WIDTH / 2;
  const y = PORTS_Y + row * PORT_HEIGHT;
  const { up, detail } = port.status;
  const where = port.status.chassis ?? port.chassis ?? "nowhere";
  const status = `${up ? "up" : "down"} on ${where}`;
  return svgElement(
    "g",
    { class: up ? "port up" : "port down" },
    svgElement("title", {}, detail === "" ? status : `${status}: ${detail}`),
    // Shape as well as colour tells up from down.
    svgElement("circle", { cx: left + 12, cy: y + 15, r: 5 }),
    text({ x: left + 26, y: y + 19 }, port.name),
    text({ class: "small", x: left + BOX_WIDTH, y: y + 19, "text-anchor": "end" }, status),
    text({ class: "small", x: left + 26, y: y + 35 }, port.addresses.join("  ")),
    text({ class: "small", x: left + 26, y: y + 50 }, formatLabels(port.labels ?? {})),
  );
}

function text(attributes: Attributes, content: string): SVGElement {
  return svgElement("text", attributes, content);
}
