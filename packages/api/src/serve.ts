/**
 * Serves an application over HTTP, on a TCP port or a unix socket, on Node and on Deno. Run by the
 * control thread.
 */
import { chmod, lstat, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import process from "node:process";
import { getRequestListener } from "@hono/node-server";

/** Port 0 takes a free one. */
export type Listen = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ServedApi {
  /** `http://127.0.0.1:6640`, or `unix:/run/rhone/a/api.sock`. */
  readonly address: string;
  /** Ends every connection; resolves when nothing is left. May be called again. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Clients are told to use no connection again that was idle for longer. */
const IDLE_MAX_SECONDS = 5;
/**
 * A connection that was idle for so long is ended. Much longer than clients know: a busy chassis
 * looks at its timers before it reads a request that has come in time, and would end the connection
 * under it.
 */
const IDLE_TIMEOUT_MS = 60_000;

/** Where a request came in. */
export type Connection =
  /** `uid` is the user that has the socket's file; root can open it as well. */
  | { readonly via: "unix"; readonly uid: number }
  | { readonly via: "tcp"; readonly address: string };

interface Application {
  fetch(request: Request, connection: Connection): Response | Promise<Response>;
}

/** What the server shows to its clients, PEM. */
export interface ServerCredentials {
  readonly key: string;
  readonly certificate: string;
}

/**
 * Serves HTTP, or HTTPS with `credentials`. Rejects with an error that names the address when it
 * cannot be listened on.
 */
export async function serveApi(
  app: Application,
  listen: Listen,
  credentials?: ServerCredentials,
): Promise<ServedApi> {
  if ("path" in listen) await removeStale(listen.path);
  const timeouts = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
  };
  const uid = process.getuid?.() ?? 0;
  const answer = getRequestListener(
    (request, { incoming, outgoing }) => {
      outgoing.setHeader("Keep-Alive", `timeout=${IDLE_MAX_SECONDS}`);
      if ("path" in listen) return app.fetch(request, { via: "unix", uid });
      const address = incoming.socket.remoteAddress ?? "unknown";
      return app.fetch(request, { via: "tcp", address });
    },
    { overrideGlobalObjects: false },
  );
  const server =
    credentials === undefined
      ? createServer(timeouts, answer)
      : createTlsServer(
          { ...timeouts, key: credentials.key, cert: credentials.certificate },
          answer,
        );
  await listenOn(server, listen);
  if ("path" in listen) await chmod(listen.path, 0o600);
  return {
    address:
      "path" in listen
        ? `unix:${listen.path}`
        : urlOf(server.address() as AddressInfo, credentials === undefined ? "http" : "https"),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      if ("path" in listen) await rm(listen.path, { force: true });
    },
  };
}

function urlOf({ address, family, port }: AddressInfo, scheme: string): string {
  return `${scheme}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

function listenOn(server: Server, listen: Listen): Promise<void> {
  const where = "path" in listen ? listen.path : `${listen.host}:${listen.port}`;
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "another process has it" : cause.message;
      reject(new Error(`the API cannot listen on ${where}: ${why}`, { cause }));
    });
    server.listen(listen, resolve);
  });
}

/** A killed process leaves its socket's file behind; a live one answers. */
async function removeStale(path: string): Promise<void> {
  const file = await lstat(path).catch(() => null);
  if (file === null || !file.isSocket()) return; // Listening says what is wrong, if anything is.
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect({ path }, () => {
      probe.destroy();
      resolve(false);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
  if (isStale) await rm(path);
}
