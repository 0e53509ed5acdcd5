/** Network devices by name, as the thread's network namespace has them (netdevice(7)). */
import { check, ENODEV, EOPNOTSUPP, errno, libc, NativeError } from "./native.ts";
import { allocate, putText } from "./native-memory.ts";
import { openSocket } from "./socket-option.ts";

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

/**
 * Queues that a device receives by now; 0 when its driver does not say, or the device is gone
 * (linux/ethtool.h).
 */
export function receiveQueueCount(device: string): number {
  const socket = openSocket(AF_INET, SOCK_DGRAM, 0, "ethtool");
  try {
    putText(name, device);
    request.words.fill(0);
    request.words.set(name.words);
    request.view.setBigUint64(IFNAMSIZ, channels.address, true);
    channels.words.fill(0);
    channels.words[0] = ETHTOOL_GCHANNELS;
    const descriptor = BigInt(socket);
    if (libc.syscall(SYS_IOCTL, descriptor, SIOCETHTOOL, request.address) === -1) {
      const number = errno();
      if (number === EOPNOTSUPP || number === ENODEV) return 0;
      throw new NativeError(`ask the device "${device}" for its channels`, number);
    }
    return channels.words[RX_COUNT]! + channels.words[COMBINED_COUNT]!;
  } finally {
    libc.close(socket);
  }
}
