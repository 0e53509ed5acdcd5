/** Calls into the C library by `Deno.dlopen`. */
import { LIBC_FUNCTIONS, type Libc } from "./native-table.ts";

type DenoPointer = object | null;

/** The part of Deno's interface that is used here. */
interface DenoFfi {
  dlopen(path: string, symbols: object): { readonly symbols: object };
  readonly UnsafePointer: {
    of(buffer: ArrayBuffer | SharedArrayBuffer): DenoPointer;
    create(address: bigint): DenoPointer;
    value(pointer: DenoPointer): bigint;
  };
  readonly UnsafePointerView: {
    getArrayBuffer(pointer: DenoPointer, size: number): ArrayBuffer;
  };
}

const deno = (globalThis as unknown as { Deno: DenoFfi }).Deno;

// Deno's own pointer type is an object, which would be allocated for each call: u64 takes a bigint.
const typeName = (name: string): string => (name === "pointer" ? "u64" : name);

const symbols = Object.fromEntries(
  Object.entries(LIBC_FUNCTIONS).map(([name, definition]) => [
    name,
    { parameters: definition.arguments.map(typeName), result: typeName(definition.return) },
  ]),
);

export const libc = deno.dlopen("libc.so.6", symbols).symbols as Libc;

export function addressOf(buffer: ArrayBuffer | SharedArrayBuffer): bigint {
  return deno.UnsafePointer.value(deno.UnsafePointer.of(buffer));
}

export function bufferAt(address: bigint, size: number): ArrayBuffer {
  return deno.UnsafePointerView.getArrayBuffer(deno.UnsafePointer.create(address), size);
}

/** Deno's compiler needs nothing of a thread that has ended. */
export function finishCompiling(): void {}
