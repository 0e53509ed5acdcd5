/** One line from a socket: what a connection to the authority carries each way. */
import type { Socket } from "node:net";

const NEWLINE = 0x0a;

export type LineFailure = "too-long" | "too-slow" | "closed";

/**
 * The bytes up to the first newline, without it. Rejects with a LineFailure as message when more
 * than `sizeMax` bytes come before one, or it has not come after `timeoutMs`.
 */
export function readLine(socket: Socket, sizeMax: number, timeoutMs: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose).off("error", onClose);
      settle();
    };
    const fail = (why: LineFailure): void => finish(() => reject(new Error(why)));
    const onClose = (): void => fail("closed");
    const onData = (chunk: Uint8Array): void => {
      const end = chunk.indexOf(NEWLINE);
      chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
      size += chunks.at(-1)!.length;
      if (size > sizeMax) fail("too-long");
      else if (end >= 0) finish(() => resolve(Buffer.concat(chunks)));
    };
    const timer = setTimeout(() => fail("too-slow"), timeoutMs);
    socket.on("data", onData).on("close", onClose).on("error", onClose);
  });
}
