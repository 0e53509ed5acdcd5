import assert from "node:assert/strict";
import { test } from "node:test";
import { bits, cut } from "./figures.ts";

test("a rate has the unit that suits it", () => {
  const cases: [number, string][] = [
    [0, "0 bit/s"],
    [0.4, "0.4 bit/s"],
    [999, "999 bit/s"],
    [1234, "1.2 kbit/s"],
    [30_800_000, "30.8 Mbit/s"],
    [4.35e9, "4.4 Gbit/s"],
    [1.5e12, "1,500 Gbit/s"],
  ];
  for (const [rate, text] of cases) assert.equal(bits(rate).replace("\u00a0", " "), text);
});

test("a text that has no room is cut, and says so", () => {
  assert.equal(cut("vm1", 100, 14), "vm1");
  assert.equal(cut("a-port-with-a-long-name", 70, 12), "a-port-wi…");
});
