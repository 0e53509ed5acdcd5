/** What somebody can send who hears everything and has no key. */
import { hashOf } from "@rhone/state/write";
import { decode, encode } from "../codec.ts";
import type { World } from "./world.ts";

/**
 * A change message that says something else than `data` does, whole and fitting in itself but for
 * the signature; or, half of the time, one in which a bit is inverted.
 */
export function forge(world: World, data: Uint8Array): Uint8Array {
  const message = decode(data);
  if (message?.type !== "change" || world.chance(0.5)) return withBitInverted(world, data);
  const said = `"forged ${Math.floor(world.random() * 2 ** 32).toString(36)}"`;
  const portions = message.portions.map(({ seal, texts }) => {
    const forged = texts.map((text) => text.replace(/"said \w+"/, said));
    return { seal: { ...seal, hashes: forged.map(hashOf) }, texts: forged };
  });
  return encode({ ...message, portions });
}

function withBitInverted(world: World, data: Uint8Array): Uint8Array {
  const inverted = data.slice();
  inverted[Math.floor(world.random() * data.length)]! ^= 1 << Math.floor(world.random() * 8);
  return inverted;
}
