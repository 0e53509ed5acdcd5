/**
 * A program for workloads that keeps many flows going until its standard input ends, and then says
 * what became of them, as JSON.
 *
 *   flow-tool.ts FLOWS RATE ADDRESS…
 *
 * FLOWS UDP sockets to the echo port of each address send numbered datagrams, RATE a second in all;
 * a TCP connection to each address echoes a stream. The answers must come in order.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** RFC 862. */
const ECHO_PORT = 7;
const TICK_MS = 5;
const SETTLE_MS = 1500;
/** A sender whose segments were lost for long tries again after as long a pause. */
const TCP_SETTLE_MS = 30_000;
const CHUNK_SIZE = 16_384;
const CHUNK_PAUSE_MS = 20;

export interface FlowReport {
  readonly sent: number;
  readonly received: number;
  /** Answers that came behind a later one of their flow, or twice. */
  readonly reordered: number;
  /** Answers that came before. */
  readonly repeated: number;
  /** By address: bytes that came back, and what went wrong; "" nothing. */
  readonly tcp: readonly { readonly bytes: number; readonly failure: string }[];
  /** Longest time without an answer of any flow. */
  readonly gapMs: number;
  /** Longest time without an answer of one flow, the one with the longest. */
  readonly flowGapMs: number;
}

class UdpFlow {
  sent = 0;
  received = 0;
  reordered = 0;
  repeated = 0;
  gapMs = 0;
  #lastAt = 0;
  #expected = 0;
  readonly #seen = new Set<number>();
  readonly #socket: Socket = createSocket("udp4");

  async open(address: string, onAnswer: () => void): Promise<void> {
    this.#socket.on("error", () => {}); // Nobody listens for a moment: it is lost, and counted.
    this.#socket.on("message", (message) => {
      const number = message.readUInt32BE(0);
      if (number < this.#expected) this.reordered++;
      else this.#expected = number + 1;
      if (this.#seen.has(number)) this.repeated++;
      this.#seen.add(number);
      this.received++;
      const now = performance.now();
      if (this.#lastAt > 0) this.gapMs = Math.max(this.gapMs, now - this.#lastAt);
      this.#lastAt = now;
      onAnswer();
    });
    this.#socket.connect(ECHO_PORT, address);
    await once(this.#socket, "connect");
  }

  send(): void {
    const message = Buffer.alloc(64);
    message.writeUInt32BE(this.sent++);
    this.#socket.send(message);
  }

  close(): void {
    this.#socket.close();
  }
}

/** Sends a stream of counted bytes and checks what comes back, until told to stop. */
async function stream(address: string, isStopping: () => boolean) {
  const socket = createConnection({ host: address, port: ECHO_PORT });
  let failure = "";
  let bytes = 0;
  let sent = 0;
  socket.on("error", ({ message }) => {
    failure ||= message;
  });
  socket.on("data", (chunk) => {
    for (const byte of chunk) if (byte !== (bytes++ & 0xff)) failure ||= "other bytes came back";
  });
  const ended = once(socket, "close");
  while (!isStopping() && failure === "") {
    const chunk = Buffer.from(Uint8Array.from({ length: CHUNK_SIZE }, (_, i) => (sent + i) & 0xff));
    sent += CHUNK_SIZE;
    socket.write(chunk);
    await sleep(CHUNK_PAUSE_MS);
  }
  socket.end();
  await Promise.race([ended, sleep(TCP_SETTLE_MS, undefined, { ref: false })]);
  if (failure === "" && bytes !== sent) failure = `${bytes} of ${sent} bytes came back`;
  socket.destroy();
  return { bytes, failure };
}

async function main(): Promise<void> {
  const [count, rate, ...addresses] = process.argv.slice(2);
  const flows: UdpFlow[] = [];
  let lastAt = 0;
  let gapMs = 0;
  const onAnswer = (): void => {
    const now = performance.now();
    if (lastAt > 0) gapMs = Math.max(gapMs, now - lastAt);
    lastAt = now;
  };
  for (let i = 0; i < Number(count); i++) {
    for (const address of addresses) {
      const flow = new UdpFlow();
      await flow.open(address, onAnswer);
      flows.push(flow);
    }
  }
  let isStopping = false;
  process.stdin.resume().once("end", () => {
    isStopping = true;
  });
  const streams = addresses.map((address) => stream(address, () => isStopping));
  const startedAt = performance.now();
  process.stdout.write("flowing\n");
  for (let sent = 0; !isStopping; await sleep(TICK_MS)) {
    const due = ((performance.now() - startedAt) / 1000) * Number(rate);
    // After a pause of this program, what it missed is not made up for in one go.
    if (due - sent > Number(rate) / 10) sent = due - Number(rate) / 10;
    for (; sent < due; sent++) flows[Math.floor(sent) % flows.length]!.send();
  }
  const tcp = await Promise.all(streams);
  await sleep(SETTLE_MS);
  const sum = (figure: "sent" | "received" | "reordered" | "repeated") =>
    flows.reduce((total, flow) => total + flow[figure], 0);
  const report: FlowReport = {
    ...{ sent: sum("sent"), received: sum("received") },
    ...{ reordered: sum("reordered"), repeated: sum("repeated") },
    ...{ tcp, gapMs: Math.round(gapMs) },
    flowGapMs: Math.round(Math.max(...flows.map((flow) => flow.gapMs))),
  };
  for (const flow of flows) flow.close();
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

await main();
