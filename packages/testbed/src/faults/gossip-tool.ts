/**
 * A program in the place of a chassis that was taken over: in its network namespace, with its key
 * and certificates, at its own nats-server. Prints what it sent as JSON.
 *
 *   gossip-tool.ts DATA-DIRECTORY replay TIMES   listens until its standard input ends, and then
 *                                                says all of it again
 *   gossip-tool.ts DATA-DIRECTORY forge TIMES VICTIM   speaks in the victim's name
 *   gossip-tool.ts DATA-DIRECTORY later NAME     writes a switch as a later version might
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { encode } from "@rhone/gossip/codec";
import { clusterDirectory, type Identity, readIdentity } from "@rhone/gossip/identity";
import { NatsTransport } from "@rhone/gossip/nats-transport";
import { Signers } from "@rhone/gossip/signers";
import { ticksAt } from "@rhone/state/clock";
import { hashOf, type Portion, putText, sealedBytes } from "@rhone/state/write";

const PORT = 4222;
const POLL_MS = 10;
/** So that no queue on the way gets too long. */
const BURST = 200;
const PAUSE_MS = 5;
const SETTLE_MS = 500;

const [data, verb, argument, victim] = process.argv.slice(2);
const times = Number(argument);
const directory = clusterDirectory(data!);
const identity = readIdentity(directory)!;
const nats = new NatsTransport({ name: "intruder", port: PORT, identity: () => identity });
let sent = 0;

async function say(subject: string, message: Uint8Array): Promise<void> {
  nats.publish(subject, message);
  if (++sent % BURST === 0) await sleep(PAUSE_MS);
}

async function replay(): Promise<object> {
  const heard: { readonly subject: string; readonly message: Uint8Array }[] = [];
  const end = nats.subscribe("rhone.o.*.d", (message, _respond, subject) => {
    heard.push({ subject, message: message.slice() });
  });
  await sleep(SETTLE_MS); // Until every nats-server knows that somebody listens here.
  process.stdout.write("listening\n");
  await once(process.stdin.resume(), "end");
  end();
  for (let time = 0; time < times; time++) {
    for (const { subject, message } of heard) await say(subject, message);
  }
  return { heard: heard.length, sent };
}

/** A transaction with one document, of which `origin` is said to be the author. */
function portionOf(origin: string, document: object, signer: Signers | null): Portion {
  const version = { clock: ticksAt(Date.now()), origin };
  const { kind, name } = document as { kind: "switch"; name: string };
  const text = putText(version, kind, name, document as Record<string, unknown>);
  const head = { ...version, previous: 0, part: 0, parts: 1, hashes: [hashOf(text)] };
  const unsigned = { ...head, signer: signer?.id ?? "" };
  const signature = signer === null ? new Uint8Array() : signer.sign(sealedBytes(unsigned));
  return { seal: { ...unsigned, signature }, texts: [text] };
}

async function forge({ name }: Identity): Promise<object> {
  const signers = new Signers(identity, directory);
  const forged = { kind: "switch", name: "forged" };
  const other = { kind: "chassis", name: victim, underlay: "192.168.100.66", workers: 1 };
  const lies: readonly [from: string, Portion][] = [
    [victim!, portionOf(victim!, forged, null)],
    [victim!, portionOf(victim!, forged, signers)],
    [name, portionOf(name, { ...other, version: "0" }, signers)],
  ];
  for (let time = 0; time < times; time++) {
    for (const [from, portion] of lies) {
      await say(`rhone.o.${from}.d`, encode({ type: "change", from, portions: [portion] }));
    }
  }
  return { sent };
}

/** A field and a kind that nobody knows yet. */
async function writeLater({ name }: Identity): Promise<object> {
  const signers = new Signers(identity, directory);
  for (const document of [
    { kind: "switch", name: argument, colour: "blue" },
    { kind: "colour", name: argument, shade: "light" },
  ]) {
    const portions = [portionOf(name, document, signers)];
    await say(`rhone.o.${name}.d`, encode({ type: "change", from: name, portions }));
  }
  return { sent };
}

while (!nats.isConnected) await sleep(POLL_MS);
const verbs = { replay, forge: () => forge(identity), later: () => writeLater(identity) };
const told = await verbs[verb as keyof typeof verbs]();
await sleep(SETTLE_MS);
await nats.close();
process.stdout.write(`${JSON.stringify(told)}\n`);
process.exit(0);
