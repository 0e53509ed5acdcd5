/**
 * The logical network as a picture: routers on top, switches below them, their ports below those.
 * Run by the browser.
 */
import type { PortStatusView } from "@rhone/api/context";
import type { Port, Router, Switch } from "@rhone/state/schema";
import { formatLabels } from "@rhone/state/text";
import { type Attributes, svgElement } from "./dom.ts";
import { cut, widthOf } from "./figures.ts";

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
/** From the left of a port's box to its text. */
const INDENT = 26;
const TEXT_SIZE = 14;
const SMALL_SIZE = 12;
/** Lines between routers and a switch, for the addresses that routers have in it. */
const ADDRESS_LINES = 5;

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
    ...switches.flatMap(({ name }, i) => addressesIn(name, routers, middle(switchesFrom + i))),
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
    svgElement("title", {}, `${kind} ${name}`),
    text(label, cut(`${kind} ${name}`, BOX_WIDTH, TEXT_SIZE)),
  );
}

/** Lines from a router to the switches that it has a port in. */
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
    return [svgElement("line", line)];
  });
}

/**
 * The addresses that routers have in a switch, above it: near the routers the lines of different
 * ports would be too close to each other.
 */
function addressesIn(name: string, routers: readonly Router[], x: number): SVGElement[] {
  const all = routers.flatMap(({ ports }) =>
    ports.filter((port) => port.switch === name).flatMap((port) => port.addresses),
  );
  const shown =
    all.length <= ADDRESS_LINES
      ? all
      : [...all.slice(0, ADDRESS_LINES - 1), `and ${all.length - ADDRESS_LINES + 1} more`];
  return shown.map((address, i) => {
    const y = SWITCH_Y - 8 - i * 15;
    return text({ class: "small", x, y, "text-anchor": "middle" }, address);
  });
}

function portOf(port: PortView, x: number, row: number): SVGElement {
  const left = x - BOX_WIDTH / 2;
  const y = PORTS_Y + row * PORT_HEIGHT;
  const { up, detail } = port.status;
  const where = port.status.chassis ?? port.chassis;
  const status = where === undefined ? "nowhere" : `${up ? "up" : "down"} on ${where}`;
  const width = BOX_WIDTH - INDENT;
  const shortStatus = cut(status, width / 2, SMALL_SIZE);
  const nameWidth = width - widthOf(`${shortStatus} `, SMALL_SIZE);
  const addresses = port.addresses.join("  ");
  const gateway = port.gateway === undefined ? "" : `gateway ${port.gateway}`;
  const rest = [gateway, formatLabels(port.labels ?? {})].filter((part) => part !== "").join("  ");
  const all = [port.name, detail === "" ? status : `${status}: ${detail}`, addresses, rest];
  return svgElement(
    "g",
    { class: up ? "port up" : "port down" },
    svgElement("title", {}, all.filter((line) => line !== "").join("\n")),
    // Shape as well as colour tells up from down.
    svgElement("circle", { cx: left + 12, cy: y + 15, r: 5 }),
    text({ x: left + INDENT, y: y + 19 }, cut(port.name, nameWidth, TEXT_SIZE)),
    text({ class: "small", x: left + BOX_WIDTH, y: y + 19, "text-anchor": "end" }, shortStatus),
    text({ class: "small", x: left + INDENT, y: y + 35 }, cut(addresses, width, SMALL_SIZE)),
    text({ class: "small", x: left + INDENT, y: y + 50 }, cut(rest, width, SMALL_SIZE)),
  );
}

function text(attributes: Attributes, content: string): SVGElement {
  return svgElement("text", attributes, content);
}
