import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterView } from "@rhone/api/context";
import { durationOf, formatClusterStatus, troublesOf } from "./cluster-status.ts";

type Member = ClusterView["members"][number];

const WELL: Member = {
  ...{ name: "b", address: "192.0.2.2", status: "alive", statusAgeMs: 90_000, heardAgeMs: 120 },
  nats: { heard: true, hearsUs: true },
  link: { up: true, detail: "" },
  state: { same: true, revision: 7, ageMs: 350, knowledgeAgeMs: 350 },
};

function viewOf(members: Member[], changes: Partial<ClusterView> = {}): ClusterView {
  const nats: ClusterView["nats"] = { layout: "mesh", role: "mesh", hubs: [] };
  const rest = { joined: true, doubt: 0, revision: 7, knowledgeAgeMs: 350, nats, refused: {} };
  return { chassis: "a", ...rest, members, ...changes };
}

test("a cluster in which all is well is a table and one sentence", () => {
  assert.equal(
    formatClusterStatus(viewOf([WELL])),
    [
      "name  underlay    status       heard       NATS       link  state",
      "a     (this one)  alive                                     revision 7",
      "b     192.0.2.2   alive 1 min  120 ms ago  both ways  up    same (revision 7, 350 ms ago)",
      "",
      "All 2 chassis live, hear each other and hold the same state.",
    ].join("\n"),
  );
  assert.match(formatClusterStatus(viewOf([])), /a knows of no other chassis/);
});

test("each thing that is wrong is a sentence of its own", () => {
  const cases: [Partial<Member>, RegExp][] = [
    [
      { status: "dead", heardAgeMs: null },
      /^b is dead for 1 min: .*; it was never heard; what it did is known up to 350 ms ago\.$/,
    ],
    [{ state: { ...WELL.state!, knowledgeAgeMs: 12_000 } }, /^What a knows of b is 12\.0 s old\.$/],
    [{ status: "suspect" }, /^b is suspect for 1 min: no answer yet; last heard 120 ms ago\.$/],
    [
      { nats: { heard: true, hearsUs: false } },
      /^NATS has a hole between a and b \(to us only\): messages go over the link\.$/,
    ],
    [{ nats: { heard: false, hearsUs: null }, link: null }, /\(no way\): and there is no link\.$/],
    [{ link: { up: false, detail: "no answer" } }, /^The link from a to b is down: no answer\.$/],
    [
      { state: { ...WELL.state!, same: false, revision: 5, ageMs: 2500 } },
      /^b did not have the same state as a when last heard, 2\.5 s ago: revision 5\.$/,
    ],
  ];
  for (const [change, sentence] of cases) {
    const troubles = troublesOf(viewOf([{ ...WELL, ...change }]));
    assert.equal(troubles.length, 1);
    assert.match(troubles[0]!, sentence);
  }
  assert.match(troublesOf(viewOf([WELL], { doubt: 2 }))[0]!, /doubts its own view \(2 of 7\)/);
});

test("what was refused, and that nothing is secret, is told and is no trouble", () => {
  const view = viewOf([WELL], { joined: false, refused: { "link-no-member": 3, a: 1 } });
  assert.deepEqual(troublesOf(view), []);
  assert.match(formatClusterStatus(view), /Refused since the start: a 1, link-no-member 3\./);
  assert.match(formatClusterStatus(view), /a has joined no cluster/);
});

test("in a cluster with hubs they are named, and what this chassis is", () => {
  const nats: ClusterView["nats"] = { layout: "hubs", role: "leaf", hubs: ["b", "c"] };
  const view = viewOf([WELL], { nats });
  assert.deepEqual(troublesOf(view), []);
  assert.match(formatClusterStatus(view), /^NATS has 2 hubs, b and c; a is a leaf of one\.$/m);
  const hub = viewOf([WELL], { nats: { ...nats, role: "hub", hubs: ["a", "b", "c"] } });
  assert.match(formatClusterStatus(hub), /^NATS has 3 hubs, a, b and c; a is one of them\.$/m);
});

test("durations are in the largest unit that there is one of", () => {
  const words = [0, 999, 1000, 59_900, 60_000, 3_599_999, 3_600_000].map(durationOf);
  assert.deepEqual(words, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min", "59 min", "1 h"]);
});
