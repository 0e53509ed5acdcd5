/**
 * Makes a chassis' REST API reachable from outside its namespace: a TCP port of the loopback
 * interface, whose connections go on to the chassis' UNIX socket.
 */
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { run } from "./run.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

export interface RestForward {
  readonly url: string;
  readonly close: () => void;
}

const HOST = "127.0.0.1";

/** `port` 0 takes any free one. Throws UserError that says who holds a taken port. */
export async function forwardRest(port: number, socketPath: string): Promise<RestForward> {
  const open = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = createConnection(socketPath);
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      open.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => open.delete(from));
      from.pipe(to);
    }
  });
  server.listen(port, HOST);
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new UserError(
      `expected TCP port ${port} to be free for the REST API, but ${await holderOf(port)} has ` +
        `it: choose others with --rest-port (0 for any free ones)`,
      EXIT_FAILED,
    );
  }
  return {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function holderOf(port: number): Promise<string> {
  const { stdout } = await run(["ss", "-Hltnp", `sport = :${port}`]);
  const users = /users:\(\("([^"]*)",pid=(\d+)/.exec(stdout);
  return users === null ? "another process" : `process ${users[2]} (${users[1]})`;
}
