/**
 * The packet pool of one chassis: every frame lives here from the moment it arrives until it is
 * sent.
 *
 * One shared `WebAssembly.Memory`, because its buffer is page-aligned (the kernel asks that of an
 * AF_XDP UMEM) and is a SharedArrayBuffer that every worker sees at the same address.
 *
 * A packet is a **slot**, a number; its memory starts at byte `slot * 2048`. Two classes:
 *
 *   small   slots 0 … smallCount-1, 2 KiB each, a frame of up to 1792 bytes
 *   large   33 slots (66 KiB) each, a frame of up to 67,328 bytes: super-frames of ports with
 *           virtio headers. A large packet's number is that of its first 2 KiB.
 *
 * Inside a slot:
 *
 *   byte   0 … 127   metadata words (packet.ts)
 *   byte 128 … 255   headroom: stamp and outer headers grow backwards from the frame into it
 *   byte 256 …       the frame. It begins on a cache line, since the kernel's copies of it are
 *                    faster then; 256 bytes are also what it reserves before an AF_XDP frame.
 *
 * Behind the slots, a byte for each says which worker has it (slot-holders.ts).
 *
 * Whoever starts the process's data plane installs the memory before it imports a module that reads
 * packets: those keep the views in private constants, which V8 embeds in the code it compiles.
 */

export const SLOT_SIZE = 2048; // bytes
export const SLOT_SHIFT = 11;
export const LARGE_SLOT_UNITS = 33; // slots that a large packet takes
export const METADATA_SIZE = 128; // bytes
export const FRAME_OFFSET = 256; // bytes from the start of the slot
export const SMALL_FRAME_MAX = SLOT_SIZE - FRAME_OFFSET;
export const LARGE_FRAME_MAX = LARGE_SLOT_UNITS * SLOT_SIZE - FRAME_OFFSET;

const PAGE_SIZE = 65536; // of WebAssembly
const POOL_SIZE_MAX = 2 ** 30; // Byte offsets stay positive 32-bit integers.

/** How many packets of each class a pool holds. */
export interface PoolSize {
  readonly smallCount: number;
  readonly largeCount: number;
}

/** A pool's memory, as it is handed to another thread. */
export interface Pool extends PoolSize {
  readonly buffer: SharedArrayBuffer;
  /** The same memory, for WebAssembly that works on packets. */
  readonly memory: WebAssembly.Memory;
}

/** The views of the installed pool. Copy what is used into a module-private constant. */
export interface PoolViews extends Pool {
  readonly bytes: Uint8Array;
  /** Where the bytes of the slots' holders begin. */
  readonly holdersAt: number;
  readonly words: Int32Array;
  readonly view: DataView;
}

const DEFAULT_SIZE: PoolSize = { smallCount: 8192, largeCount: 64 };
const INSTALLED = Symbol.for("rhone.pool");
const registry = globalThis as { [INSTALLED]?: PoolViews };

// The memory objects are kept for ever: the kernel holds addresses into them.
const memories: WebAssembly.Memory[] = [];

/** Makes a pool. Throws RangeError when the counts are not positive or take more than 1 GiB. */
export function createPool(size: PoolSize): Pool {
  const slots = slotUnits(size);
  if (
    !(size.smallCount > 0) ||
    !(size.largeCount >= 0) ||
    slots * (SLOT_SIZE + 1) > POOL_SIZE_MAX
  ) {
    const got = `${size.smallCount} small and ${size.largeCount} large slots`;
    throw new RangeError(`expected a pool of 1 byte to 1 GiB, got ${got}`);
  }
  const pages = Math.ceil((slots * (SLOT_SIZE + 1)) / PAGE_SIZE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  memories.push(memory);
  const buffer = memory.buffer as unknown as SharedArrayBuffer;
  return { buffer, memory, smallCount: size.smallCount, largeCount: size.largeCount };
}

/** Slots of 2 KiB that a pool takes: one more than its highest slot number can be. */
export function slotUnits({ smallCount, largeCount }: PoolSize): number {
  return smallCount + largeCount * LARGE_SLOT_UNITS;
}

/** Makes `pool` this thread's pool. Throws when the thread already works on another one. */
export function installPool(pool: Pool): PoolViews {
  const present = registry[INSTALLED];
  if (present !== undefined) {
    if (present.buffer === pool.buffer) return present;
    throw new Error("expected one packet pool per thread, got a second one");
  }
  const { buffer, memory, smallCount, largeCount } = pool;
  const views: PoolViews = {
    buffer,
    memory,
    smallCount,
    largeCount,
    bytes: new Uint8Array(buffer),
    holdersAt: slotUnits(pool) * SLOT_SIZE,
    words: new Int32Array(buffer),
    view: new DataView(buffer),
  };
  registry[INSTALLED] = views;
  return views;
}

/** The installed pool; a thread that installed none (a test, a tool) gets one of default size. */
export function poolViews(): PoolViews {
  return registry[INSTALLED] ?? installPool(createPool(DEFAULT_SIZE));
}
