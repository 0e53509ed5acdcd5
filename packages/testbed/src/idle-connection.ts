/** A TCP connection of two workloads on which only the server ever speaks, when a test says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { LabFixture } from "./lab-fixture.ts";

const PORT_DEFAULT = 8007;
const TIMEOUT_MS = 60_000;

/** Tells its connection what it reads. */
const SERVER = `
  const server = require("node:net").createServer((socket) => {
    socket.on("error", () => socket.destroy());
    process.stdin.pipe(socket);
  });
  server.listen(Number(process.argv[1]), "::", () => console.log("listening"));
`;
/** Says what it is told, and that the connection is over. */
const CLIENT = `
  const [, port, host] = process.argv;
  const socket = require("node:net").connect(Number(port), host);
  socket.on("connect", () => console.log("connected"));
  socket.pipe(process.stdout);
  socket.on("error", ({ message }) => console.log(message));
`;

export interface IdleConnection {
  /** What the client hears when the server says `text`. */
  speak(text: string): Promise<string>;
  close(): Promise<void>;
}

export interface IdleConnectionOptions {
  /** Names of workloads. */
  readonly client: string;
  readonly server: string;
  /** Address of the server. */
  readonly to: string;
  /** Of the server, which is no other one's there. */
  readonly port?: number;
}

/** Resolves when the connection is there. */
export async function openIdleConnection(
  fixture: LabFixture,
  { client, server, to, port = PORT_DEFAULT }: IdleConnectionOptions,
): Promise<IdleConnection> {
  const speaker = runIn(fixture, server, SERVER, String(port));
  await speaker.line();
  const listener = runIn(fixture, client, CLIENT, String(port), to);
  await listener.line();
  return {
    speak: (text) => {
      speaker.write(text);
      return listener.line();
    },
    close: async () => {
      await Promise.all([listener.end(), speaker.end()]);
    },
  };
}

function runIn(fixture: LabFixture, workload: string, script: string, ...argv: string[]) {
  const command = [...runtimeCommand("node"), "-e", script, ...argv];
  const namespace = fixture.running.namespaceOf(workload);
  const child = spawn("ip", ["netns", "exec", namespace, ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  return {
    line: async () => {
      const [line] = (await once(lines, "line", { signal: AbortSignal.timeout(TIMEOUT_MS) })) as [
        string,
      ];
      return line;
    },
    write: (text: string) => child.stdin.write(`${text}\n`),
    end: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
