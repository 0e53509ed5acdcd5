/** A request of a simulated process: answered, failed or too late, whichever comes first. */
import type { Process } from "./machine.ts";

export interface Question {
  readonly answer: (data: Uint8Array) => void;
  readonly fail: (why: string) => void;
}

/** `send` gets the request on its way; the promise is settled by what becomes of the question. */
export function ask(
  process: Process,
  timeoutMs: number,
  send: (question: Question) => void,
): Promise<Uint8Array> {
  const { settled } = process.machine.world;
  return new Promise((resolve, reject) => {
    let isOpen = true;
    const settle = (run: () => void): void => {
      if (!isOpen) return;
      isOpen = false;
      cancelTimer();
      settled();
      run();
    };
    const fail = (why: string): void => settle(() => reject(new Error(why)));
    const cancelTimer = process.setTimer(() => fail("no answer in time"), timeoutMs);
    send({ answer: (data) => settle(() => resolve(data)), fail });
  });
}
