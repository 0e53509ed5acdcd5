/** Which chassis a command talks to, and by which token. */
import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { RestClient } from "./rest-client.ts";
import { UserError } from "./user-error.ts";

/** Options that every command has. */
export interface ServerOptions {
  readonly server: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

export const TOKEN_VARIABLE = "RHONE_TOKEN";
/** Nobody else may read a file with a token. */
const OTHERS = 0o077;
const TOKEN = /^rhone_[a-z0-9-]{1,63}_[\w-]{43}$/;

/**
 * A client of that chassis, with the token of `--token-file`, of RHONE_TOKEN, or of the user's own
 * file. That last one goes only where nobody can read it on the way. Throws UserError for a token
 * that is none, or that others can read.
 */
export function clientOf({ server, tokenFile }: ServerOptions): RestClient {
  const named = process.env[TOKEN_VARIABLE];
  if (tokenFile !== undefined) return new RestClient(server, readToken(tokenFile));
  if (named !== undefined && named !== "") {
    return new RestClient(server, checkToken(named, TOKEN_VARIABLE));
  }
  if (!isPrivate(server)) return new RestClient(server);
  return new RestClient(server, readToken(defaultFile(), true));
}

/** `~/.config/rhone/token`, or where the environment has such files. */
function defaultFile(): string {
  const { XDG_CONFIG_HOME: configured = "" } = process.env;
  const directory = configured === "" ? join(homedir(), ".config") : configured;
  return join(directory, "rhone", "token");
}

/** Whether what goes to `server` is encrypted or stays on this machine. */
function isPrivate(server: string): boolean {
  if (!URL.canParse(server)) return false;
  const { protocol, hostname } = new URL(server);
  const isHere = ["localhost", "[::1]"].includes(hostname) || /^127(\.\d+){3}$/.test(hostname);
  return protocol === "https:" || (protocol === "http:" && isHere);
}

function readToken(path: string, mayLack: true): string | undefined;
function readToken(path: string): string;
function readToken(path: string, mayLack = false): string | undefined {
  try {
    const { mode } = statSync(path);
    if ((mode & OTHERS) !== 0) {
      const got = (mode & 0o777).toString(8);
      throw new UserError(`${path}: expected a file that only you can read (600), got mode ${got}`);
    }
    return checkToken(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (mayLack && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError(`${path}: expected a file with a token, got ${(error as Error).message}`);
  }
}

/** Says where it came from, never what it was. */
function checkToken(text: string, where: string): string {
  const token = text.trim();
  if (TOKEN.test(token)) return token;
  const got = `${token.length} other characters`;
  throw new UserError(`${where}: expected a token as of "rhone access grant", got ${got}`);
}
