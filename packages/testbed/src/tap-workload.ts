/** A workload of a lab whose port's device is a TAP device in place of the end of a cable. */
import type { PortStatusView, WorkersView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import type { RunningLab } from "@rhone/cli/lab";
import { runIn } from "@rhone/cli/namespaces";
import { type Answer, succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { until } from "./until.ts";

const MTU = "1418";

export class TapWorkload {
  /** Of the device, as the chassis knows it. */
  readonly device: string;
  readonly #lab: { readonly running: RunningLab };
  readonly #chassis: string;
  readonly #name: string;

  /** The workload and its chassis, by their names in the lab. */
  constructor(
    lab: { readonly running: RunningLab },
    chassis: string,
    name: string,
    device: string,
  ) {
    this.device = device;
    this.#lab = lab;
    this.#chassis = chassis;
    this.#name = name;
  }

  get #process(): ChassisProcess {
    const { chassis } = this.#lab.running;
    return chassis.find(({ process }) => process.name === this.#chassis)!.process;
  }

  get #client() {
    return this.#process.client;
  }

  get #workload() {
    return this.#lab.running.lab.workloads.find(({ name }) => name === this.#name)!;
  }

  async isUp(): Promise<boolean> {
    const path = `/v1/ports/${this.#name}`;
    const { status } = await this.#client.get<{ status: PortStatusView }>(path);
    return status.up;
  }

  /** The queues of the device that each worker has, the first one by the device's name. */
  async queues(): Promise<string[][]> {
    const { workers } = await this.#client.get<WorkersView>("/v1/workers");
    const isOurs = (name: string) => name.startsWith(this.device);
    return workers.map(({ devices }) => devices.filter(isOurs).toSorted());
  }

  /** Says where the port's device is, `{}` nowhere, and waits until the workers know it. */
  async place(place: object): Promise<void> {
    succeeded(await this.ask(place, "?wait=applied"));
  }

  /** The same without waiting. */
  async ask(place: object, query = ""): Promise<Answer> {
    const { mac, addresses, switch: of } = this.#workload;
    const port = { switch: of, mac, addresses: addresses.map(({ address }) => address), ...place };
    return this.#client.request("PUT", `/v1/ports/${this.#name}${query}`, { body: port });
  }

  /** The chassis opens the device, and makes it if need be. */
  async attach(): Promise<void> {
    await this.place({ chassis: this.#chassis, device: this.device, driver: "tap" });
  }

  /**
   * The device that the chassis made, or one of a single queue that is made here, becomes the
   * workload's `eth0`.
   */
  async give({ isNarrow = false } = {}): Promise<void> {
    const ours = this.#process.namespace;
    const theirs = this.#lab.running.namespaceOf(this.#name);
    if (isNarrow) {
      await runOrThrow(["ip", "-n", ours, "tuntap", "add", "dev", this.device, "mode", "tap"]);
    }
    await this.attach();
    await until("the device is open", () => this.isUp());
    const { mac, addresses } = this.#workload;
    const { address, prefixLength, gateway } = addresses[0]!;
    await runOrThrow(["ip", "-n", ours, "link", "set", this.device, "netns", theirs]);
    await runOrThrow(["ip", "-n", theirs, "-batch", "-"], {
      input: [
        "link del eth0",
        `link set ${this.device} name eth0 address ${mac} mtu ${MTU} txqueuelen 10000`,
        "link set eth0 up",
        `address add ${address}/${prefixLength} dev eth0`,
        gateway === undefined ? "" : `route add default via ${gateway}`,
        "",
      ].join("\n"),
    });
  }

  /** Frames that the kernel had no room for on their way from the workload. */
  async losses(): Promise<number> {
    const file = "/sys/class/net/eth0/statistics/tx_dropped";
    const workload = this.#lab.running.namespaceOf(this.#name);
    return Number((await runIn(workload, ["cat", file])).stdout);
  }
}
