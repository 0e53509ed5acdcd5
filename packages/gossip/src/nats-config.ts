/**
 * The configuration file of a chassis' nats-server, and the command that starts it.
 *
 * Whom a server connects to is decided elsewhere (nats-layout.ts). What the servers would find out
 * by themselves about each other is stated here: without `advertise`, a server tells the others the
 * address from which it saw a peer come, which behind NAT or with several addresses is no address
 * to dial; such a route is tried once and never again, and the two chassis stay deaf to each other.
 */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import type { Endpoint, Place } from "./nats-layout.ts";

const BINARY = "nats-server";
const BINARY_VARIABLE = "RHONE_NATS_SERVER";
const LOOPBACK = "127.0.0.1";
const NOBODY = "nobody";

export interface NatsServerConfig {
  /** The chassis; unique in the cluster. */
  readonly name: string;
  /** Clients connect here, from this machine only. */
  readonly clientPort: number;
  /** Where the servers of other chassis connect, as they see it. */
  readonly underlay: string;
  readonly clusterPort: number;
  /** Where it takes leaves, as long as it is a hub. */
  readonly leafPort: number;
  readonly place: Place;
  /** How often the route to each host and port was given up for a new one; by default never. */
  readonly renewals?: ReadonlyMap<string, number>;
  /** Serves figures of the server over HTTP, to this machine only. */
  readonly monitorPort?: number;
  /** Files with the server's certificate; without them clients and routes are not checked. */
  readonly tls?: NatsTlsFiles;
}

/** Paths of PEM files that the server's user can read. */
export interface NatsTlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** For a slow machine; the default of half a second is for a fast one. */
const TLS_TIMEOUT_SECONDS = 3;

/** The configuration as text: NATS reads JSON. */
export function renderConfig(config: NatsServerConfig): string {
  const settings = {
    server_name: config.name,
    listen: hostAndPort(LOOPBACK, config.clientPort),
    ...(config.monitorPort === undefined
      ? {}
      : { http: hostAndPort(LOOPBACK, config.monitorPort) }),
    ...tlsSettings(config.tls),
    // Whoever listens there is told each other server's figures every ten seconds; nobody does.
    no_sys_acc: true,
    max_payload: 1024 * 1024,
    ping_interval: "2s",
    ping_max: 2,
    write_deadline: "2s",
    ...placeSettings(config),
  };
  return JSON.stringify(settings, null, 2) + "\n";
}

function placeSettings(config: NatsServerConfig): object {
  const { place, tls, renewals } = config;
  const secure = tlsSettings(tls);
  if (place.role === "leaf") {
    const scheme = tls === undefined ? "nats-leaf" : "tls";
    const urls = [...place.hubs, ...place.standIns].map((hub) => `${scheme}://${textOf(hub)}`);
    // No cluster: a hub refuses a leaf of a cluster with the name of its own. In this order: each
    // leaf has a hub that it goes to first.
    return { leafnodes: { reconnect: 1, remotes: [{ urls, no_randomize: true, ...secure }] } };
  }
  const listen = hostAndPort(config.underlay, config.clusterPort);
  const cluster = {
    name: "rhone",
    ...secure,
    listen,
    advertise: listen,
    no_advertise: true, // Clients stay with their own server.
    connect_retries: 100, // For routes that the servers find themselves; ours never give up.
    routes: place.routes.map((peer) => routeUrl(textOf(peer), renewals)),
  };
  if (place.role === "mesh") return { cluster };
  // Leaves know all hubs, and in which order they want them.
  const leaves = hostAndPort(config.underlay, config.leafPort);
  return { cluster, leafnodes: { ...secure, listen: leaves, no_advertise: true } };
}

/** With another path, which a server does not use, it is another route, and a reload begins it. */
function routeUrl(peer: string, renewals: NatsServerConfig["renewals"]): string {
  const count = renewals?.get(peer) ?? 0;
  return `nats-route://${peer}${count === 0 ? "" : `/${count}`}`;
}

/** The program that `RHONE_NATS_SERVER` names, or `nats-server` on the PATH. */
export function findBinary(): string {
  const named = process.env[BINARY_VARIABLE];
  if (named !== undefined && named !== "") {
    if (isExecutable(named)) return named;
    throw new Error(`${BINARY_VARIABLE}: expected a program, got "${named}", which is none`);
  }
  const found = findOnPath(BINARY);
  if (found !== null) return found;
  throw new Error(
    `${BINARY} is not on the PATH: install the package nats-server (apt-get install nats-server) ` +
      `or name the program in ${BINARY_VARIABLE}`,
  );
}

/** Whom the server runs as when it may not run as us; null when it runs as we do. */
export function serverUser(): { readonly uid: string; readonly gid: string } | null {
  const mayChange = process.getuid?.() === 0 && findOnPath("setpriv") !== null;
  return mayChange ? readNobody() : null;
}

/**
 * The command line that starts `binary` such that the kernel kills it when the thread that started
 * it ends (prctl(2), PR_SET_PDEATHSIG), as an unprivileged user if we are root. setpriv(1) sets the
 * signal behind the change of user, which would clear it. Without setpriv: plainly `binary`.
 */
export function launchCommand(binary: string, args: readonly string[]): string[] {
  const setpriv = findOnPath("setpriv");
  if (setpriv === null) return [binary, ...args];
  const user = serverUser();
  const drop =
    user === null ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
  return [setpriv, ...drop, "--no-new-privs", "--pdeathsig=KILL", "--", binary, ...args];
}

/** Fails if the user that the server runs as could not open files in `directory`. */
export function assertReachable(directory: string): void {
  for (let path = directory; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) {
      throw new Error(
        `nats-server runs as user ${NOBODY} and must reach its configuration in ${directory}: ` +
          `expected everybody to be allowed to pass ${path}, got mode ` +
          `${(statSync(path).mode & 0o777).toString(8)}`,
      );
    }
    if (path === dirname(path)) return;
  }
}

export function textOf({ address, port }: Endpoint): string {
  return hostAndPort(address, port);
}

export function hostAndPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Both sides of every connection show a certificate of the authority. */
function tlsSettings(files: NatsTlsFiles | undefined): object {
  if (files === undefined) return {};
  const { certificate, key, authority } = files;
  const paths = { cert_file: certificate, key_file: key, ca_file: authority };
  return { tls: { ...paths, verify: true, timeout: TLS_TIMEOUT_SECONDS } };
}

function findOnPath(program: string): string | null {
  // A service's PATH may lack the directory where Debian puts servers.
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"];
  const paths = directories.filter((path) => path !== "").map((path) => join(path, program));
  return paths.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function readNobody(): { uid: string; gid: string } | null {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${NOBODY}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  return uid === undefined || gid === undefined ? null : { uid, gid };
}
