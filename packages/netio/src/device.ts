/** Network devices by name, as the thread's network namespace has them (netdevice(7)). */
import { readFileSync } from "node:fs";
import { check, libc } from "./native.ts";
import { allocate, putText } from "./native-memory.ts";

/** Receive queues that a device may have to be served by AF_XDP. */
export const QUEUES_MAX = 64;

const IFNAMSIZ = 16;
const REQUEST_SIZE = 40; // struct ifreq
const SYS_IOCTL = process.arch === "arm64" ? 29n : 16n;
const SIOCETHTOOL = 0x8946n;
const ETHTOOL_GCHANNELS = 0x3c;
const CHANNELS_SIZE = 36; // struct ethtool_channels: nine numbers of 32 bits
const RX_COUNT = 5;
const COMBINED_COUNT = 8;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;

const name = allocate(IFNAMSIZ);
const request = allocate(REQUEST_SIZE);
const channels = allocate(CHANNELS_SIZE);

/** The kernel's index of a device. Throws when there is none of that name. */
export function deviceIndex(device: string): number {
  putText(name, device);
  const index = libc.if_nametoindex(name.address);
  if (index === 0) check(-1, `expected a network device named "${device}"`);
  return index;
}

/** Whether there is a device of that name. */
export function hasDevice(device: string): boolean {
  putText(name, device);
  return libc.if_nametoindex(name.address) !== 0;
}

/** Whether a device is up and what is at the other end of its cable, too (carrier in sysfs). */
export function hasCarrier(device: string): boolean {
  try {
    return readFileSync(`/sys/class/net/${device}/carrier`, "latin1").startsWith("1");
  } catch {
    return false; // There is no such device, or it is down: then the kernel does not say.
  }
}

/**
 * Queues that a device receives by now; 0 when nobody can say: the driver does not, or the device
 * is gone (linux/ethtool.h).
 */
export function receiveQueueCount(device: string): number {
  const socket = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket === -1) return 0;
  putText(name, device);
  request.words.fill(0);
  request.words.set(name.words);
  request.view.setBigUint64(IFNAMSIZ, channels.address, true);
  channels.words.fill(0);
  channels.words[0] = ETHTOOL_GCHANNELS;
  const asked = libc.syscall(SYS_IOCTL, BigInt(socket), SIOCETHTOOL, request.address);
  libc.close(socket);
  return asked === -1 ? 0 : channels.words[RX_COUNT]! + channels.words[COMBINED_COUNT]!;
}

/** The same; throws when they are more than QUEUES_MAX. */
export function servedQueueCount(device: string): number {
  const count = receiveQueueCount(device);
  if (count <= QUEUES_MAX) return count;
  const limit = `at most ${QUEUES_MAX} receive queues of the device "${device}"`;
  throw new Error(`expected ${limit}, got ${count}: ethtool --set-channels makes them fewer`);
}
