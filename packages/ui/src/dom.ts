/**
 * Making elements. Run by the browser. Text goes in as text nodes and attributes by `setAttribute`,
 * never as HTML, so nothing that a name or an error says can become markup.
 */
export type Attributes = Readonly<Record<string, string | number>>;
export type Content = Node | string;

const SVG = "http://www.w3.org/2000/svg";

export function element(
  name: string,
  attributes: Attributes = {},
  ...content: readonly Content[]
): HTMLElement {
  const made = document.createElement(name);
  return fill(made, attributes, content);
}

export function svgElement(
  name: string,
  attributes: Attributes = {},
  ...content: readonly Content[]
): SVGElement {
  return fill(document.createElementNS(SVG, name), attributes, content);
}

function fill<T extends Element>(made: T, attributes: Attributes, content: readonly Content[]): T {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...content);
  return made;
}

/** Puts `content` into the element with this id, unless it is there already: selections survive. */
export function show(id: string, ...content: readonly Content[]): void {
  const target = document.getElementById(id);
  if (target === null) throw new Error(`expected an element with the id ${id}`);
  const next = target.cloneNode(false) as Element;
  next.append(...content);
  if (!next.isEqualNode(target)) target.replaceChildren(...next.childNodes);
}

/** A column's heading, and whether its cells are numbers. */
export type Column = readonly [heading: string, isNumber?: boolean];

export function table(
  columns: readonly Column[],
  rows: readonly (readonly Content[])[],
  empty: string,
): HTMLElement {
  if (rows.length === 0) return element("p", { class: "quiet" }, empty);
  const headings = columns.map(([heading, isNumber]) =>
    element("th", { scope: "col", class: isNumber ? "number" : "" }, heading),
  );
  const body = rows.map((cells) => {
    const made = cells.map((cell, i) =>
      element(i === 0 ? "th" : "td", cellAttributes(i, columns[i]!), cell),
    );
    return element("tr", { role: "row" }, ...made);
  });
  const head = element("thead", {}, element("tr", {}, ...headings));
  return element("table", { role: "table" }, head, element("tbody", {}, ...body));
}

/** On a narrow screen a row is a list, whose lines have the headings; roles keep it a table. */
function cellAttributes(index: number, [heading, isNumber]: Column): Attributes {
  if (index === 0) return { scope: "row", role: "rowheader" };
  return { role: "cell", "data-heading": heading, class: isNumber ? "number" : "" };
}
