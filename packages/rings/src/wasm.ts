/**
 * Puts WebAssembly modules together that work on the packet pool: a handful of instructions need no
 * compiler, and nothing is compiled before a start (WebAssembly Core Specification 2.0, §5).
 */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const V128 = 0x7b;

const PAGES_MAX = 16384; // No pool is larger than 1 GiB.
const FUNCTION = 0x60;

export interface WasmFunction {
  /** Exported under this name; one without is for the others to call, by its index. */
  readonly name?: string;
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Runs of further local variables: [how many, type]. */
  readonly locals: readonly (readonly [number, number])[];
  /** Instructions, with the `end` of the function. */
  readonly code: readonly number[];
}

/** What the module exports. `memory` is the pool's; the functions call each other by index. */
export function instantiate(memory: WebAssembly.Memory, functions: readonly WasmFunction[]) {
  const module = new WebAssembly.Module(assemble(functions));
  return new WebAssembly.Instance(module, { pool: { memory } }).exports;
}

/** A number of at least 0 in the variable-length form, which is also good as a signed one. */
export function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x40; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

function assemble(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, results }) => [
    ...[FUNCTION, ...sized(parameters), ...sized(results)],
  ]);
  const memory = [2, 3, ...leb128(1), ...leb128(PAGES_MAX)]; // Shared, of 1 page or more.
  const exported = functions.flatMap(({ name }, index) =>
    name === undefined ? [] : [[...text(name), 0, ...leb128(index)]],
  );
  const bodies = functions.map(({ locals, code }) =>
    sized([...vector(locals.map(([count, type]) => [...leb128(count), type])), ...code]),
  );
  return Uint8Array.from([
    ...[0x00, ...text("asm").slice(1), 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(2, [1, ...text("pool"), ...text("memory"), ...memory]),
    ...section(3, vector(functions.map((_, index) => leb128(index)))),
    ...section(7, vector(exported)),
    ...section(10, vector(bodies)),
  ]);
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...leb128(items.length), ...items.flat()];
}

function section(number: number, content: readonly number[]): number[] {
  return [number, ...sized(content)];
}

function sized(content: readonly number[]): number[] {
  return [...leb128(content.length), ...content];
}

function text(name: string): number[] {
  return sized([...new TextEncoder().encode(name)]);
}
