/** Small buffers whose address the kernel may be given. */
import { addressOf } from "./native.ts";

export interface NativeMemory {
  readonly address: bigint;
  readonly words: Int32Array;
  readonly view: DataView;
}

/**
 * Zeroed memory. An address does not keep it alive: hold the object in a field, or in a module
 * constant that a function reads, for as long as the kernel may use the address. A constant that
 * only the module's own top level reads ends with that, and the kernel would write into freed
 * memory.
 */
export function allocate(size: number): NativeMemory {
  const buffer = new ArrayBuffer((size + 7) & ~7);
  return {
    address: addressOf(buffer),
    words: new Int32Array(buffer),
    view: new DataView(buffer),
  };
}

/** Writes a text as C has it; throws RangeError when it and its end do not fit. */
export function putText(memory: NativeMemory, text: string): void {
  const encoded = new TextEncoder().encode(text);
  if (encoded.length >= memory.view.byteLength) {
    const limit = memory.view.byteLength - 1;
    throw new RangeError(`expected a name of at most ${limit} bytes, got "${text}"`);
  }
  for (let i = 0; i < encoded.length; i++) memory.view.setUint8(i, encoded[i]!);
  memory.view.setUint8(encoded.length, 0);
}
