/** Network devices by name, as the thread's network namespace has them. */
import { check, libc } from "./native.ts";
import { allocate, putText } from "./native-memory.ts";

const IFNAMSIZ = 16;
const name = allocate(IFNAMSIZ);

/** The kernel's index of a device. Throws when there is none of that name. */
export function deviceIndex(device: string): number {
  putText(name, device);
  const index = libc.if_nametoindex(name.address);
  if (index === 0) check(-1, `expected a network device named "${device}"`);
  return index;
}
