/** The picture of a packet's life (docs/packet.svg) shows the stages as they are. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { STAGES } from "@rhone/pipeline-stages/pipeline";
import { POST_ROUTING } from "@rhone/rings/stage";
import { HEADER_SIZE } from "@rhone/wire/resume";

const picture = readFileSync(new URL("../../../docs/packet.svg", import.meta.url), "utf8");

/** A box for a stage: its class, number and name, and in words what it does. */
const BOX = new RegExp(
  '<rect class="(data|idle)" x="(\\d+)"[^>]*/>\\s*' +
    '<text class="number middle"[^>]*>(\\d+)</text>\\s*' +
    '<text [^>]*>([a-z0-9-]+)</text>(?:\\s*<text class="small"[^>]*>([^<]+)</text>)?',
  "g",
);
const boxes = [...picture.matchAll(BOX)].map(([, kind, x, number, name, words]) => {
  return { isIdle: kind === "idle", x: Number(x), number: Number(number), name: name!, words };
});

test("the picture has every stage, in order, by its name", () => {
  assert.deepEqual(
    boxes.map(({ number, name }) => [number, name]),
    STAGES.map(({ name }, number) => [number, name]),
  );
});

test("those that only pass packets on are drawn so, and the others say what they do", () => {
  for (const { isIdle, number, name, words } of boxes) {
    assert.equal(isIdle, STAGES[number]!.job === "", name);
    assert.equal(words === undefined, isIdle, name);
  }
});

test("the packet crosses where it does, with the stamp that it has", () => {
  const columns = new Set(boxes.map(({ x }) => x));
  assert.equal(columns.size, 2);
  const [first] = columns;
  for (const { x, number, name } of boxes) assert.equal(x === first, number < POST_ROUTING, name);
  assert.match(picture, new RegExp(`>stage: ${POST_ROUTING}<`));
  assert.match(picture, new RegExp(`a stamp of ${HEADER_SIZE} bytes`));
});
