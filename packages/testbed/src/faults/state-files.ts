/** Rows 11 and 12: the disk under a chassis' state is full, or does not keep what it was given. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { HealthView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import { succeeded } from "@rhone/cli/rest-client";
import { until } from "../until.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import { expect, type Fault } from "./run-fault.ts";

const DISK_SIZE = "8m";
const BLOCK_SIZE = 4096;
const FULL_MS = 3000;
const INSUFFICIENT_STORAGE = 507; // RFC 4918 §11.5
const STATE_FILE = "state.sqlite";

/** A disk of its own, and small, for the data of a chassis that does not run. */
class SmallDisk {
  readonly #directory = mkdtempSync(join(tmpdir(), "rhone-disk-"));
  readonly #data: string;
  #isMounted = false;

  constructor({ dataDirectory }: ChassisProcess) {
    this.#data = dataDirectory;
  }

  /** The chassis finds its data there when it starts. */
  readonly moveIn = (): void => {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_SIZE}`, "tmpfs", this.#directory]);
    this.#isMounted = true;
    chmodSync(this.#directory, 0o755); // Its nats-server runs as another user and must pass.
    execFileSync("cp", ["-a", `${this.#data}/.`, this.#directory]);
    renameSync(this.#data, `${this.#data}.before`);
    symlinkSync(this.#directory, this.#data);
  };

  /** It finds them where they were. */
  readonly moveOut = (): void => {
    rmSync(this.#data);
    mkdirSync(this.#data, { mode: 0o755 });
    execFileSync("cp", ["-a", `${this.#directory}/.`, this.#data]);
    rmSync(`${this.#data}.before`, { recursive: true });
    this.dispose();
  };

  dispose(): void {
    if (this.#isMounted) execFileSync("umount", ["--lazy", this.#directory]);
    this.#isMounted = false;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  fill(): void {
    const file = openSync(this.#ballast, "a");
    const block = new Uint8Array(BLOCK_SIZE);
    try {
      for (;;) writeSync(file, block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast);
  }

  get #ballast(): string {
    return join(this.#directory, "ballast");
  }
}

const diskFull: Fault = {
  ...{ row: 11, name: "the disk of b is full for 3 s", mayLose: false, writeTo: ["a", "b"] },
  arrange: async ({ fixture }) => {
    const chassis = fixture.chassis("b");
    const disk = new SmallDisk(chassis);
    try {
      await fixture.crash("b", disk.moveIn);
    } catch (error) {
      disk.dispose();
      throw error;
    }
    return {
      inflict: () => fillAndMakeRoom(chassis, disk),
      restore: async () => {
        await fixture.crash("b", disk.moveOut).finally(() => disk.dispose());
      },
    };
  },
};

async function fillAndMakeRoom(chassis: ChassisProcess, disk: SmallDisk): Promise<string> {
  disk.fill();
  const refusedMs = await until("b refuses a write", async () => {
    return (await write(chassis, "probe")) === INSUFFICIENT_STORAGE;
  });
  expect(!(await storageWorks(chassis)), "health has to say that the disk is full");
  await sleep(FULL_MS);
  const status = await write(chassis, "probe");
  expect(status === INSUFFICIENT_STORAGE, `expected 507, got ${status}`);
  disk.makeRoom();
  const takenMs = await until("b takes a write", async () => (await write(chassis, "probe")) < 300);
  await until("b has all on its disk", () => storageWorks(chassis));
  return (
    `refused ${Math.round(refusedMs)} ms later, taken ${Math.round(takenMs)} ms after there was ` +
    "room, without a restart"
  );
}

/** The status that answers a write. */
async function write({ client }: ChassisProcess, name: string): Promise<number> {
  const body = { kind: "switch", name, description: `${performance.now()}` };
  return (await client.request("PUT", `/v1/switches/${name}`, { body })).status;
}

async function storageWorks({ client }: ChassisProcess): Promise<boolean> {
  const { body } = await client.request("GET", "/healthz");
  return (body as HealthView).checks.find(({ name }) => name === "storage")!.ok;
}

const TEXT = "a".repeat(64);

const bitFlips: Fault = {
  ...{ row: 12, name: "a bit of b's state file flips while b is down", mayLose: true },
  writeTo: ["a"],
  inflict: async ({ fixture }) => {
    const { client } = fixture.chassis("a");
    const body = { kind: "switch", name: "kept", description: TEXT };
    succeeded(await client.request("PUT", "/v1/switches/kept", { body }));
    await until("all have it", async () => (await texts(fixture)).every((text) => text === TEXT));
    const status = await write(fixture.chassis("b"), "probe"); // Its disk has all before it, too.
    expect(status < 300, `expected a write to be taken, got ${status}`);
    const path = join(fixture.chassis("b").dataDirectory, STATE_FILE);
    await fixture.crash("b", () => flip(path));
    expect(existsSync(`${path}.damaged-1`), "the damaged file has to be kept aside");
    await sleep(FULL_MS); // They tell each other what they have.
    const got = await texts(fixture);
    expect(
      got.every((text) => text === TEXT),
      `expected ${TEXT} at every chassis, got ${got}`,
    );
    return "found at the start, kept aside, and mended by the others";
  },
};

async function texts(fixture: Rig["fixture"]): Promise<(string | undefined)[]> {
  const asked = CHASSIS.map((name) =>
    fixture.chassis(name).client.request("GET", "/v1/switches/kept"),
  );
  return (await Promise.all(asked)).map(
    ({ body }) => (body as { description?: string }).description,
  );
}

/** Changes one bit of a text in the file, which is what SQLite itself does not check. */
function flip(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  const bytes = readFileSync(path);
  let at = bytes.indexOf(TEXT);
  expect(at >= 0, `expected the text in ${path}`);
  // Pages that are free may have it, too.
  for (; at >= 0; at = bytes.indexOf(TEXT, at + 1)) bytes[at + 1]! ^= 0x04;
  writeFileSync(path, bytes);
}

export const STATE_FILE_FAULTS: readonly Fault[] = [diskFull, bitFlips];
