import assert from "node:assert/strict";
import { test } from "node:test";
import * as stage from "@rhone/rings/stage";
import { STAGES } from "./pipeline.ts";

const names = STAGES.map(({ name }) => name);

test("there are sixteen stages and each has a name of its own", () => {
  assert.equal(names.length, stage.STAGE_COUNT);
  assert.equal(new Set(names).size, 16);
});

test("packets go on at the stages that the numbers mean", () => {
  assert.equal(names[stage.PRE_ACL], "pre-acl");
  assert.equal(names[stage.STATEFUL], "stateful");
  assert.equal(names[stage.POST_ROUTING], "post-routing");
  assert.equal(names[stage.EGRESS_PRE_ACL], "egress-pre-acl");
  assert.equal(names[stage.EGRESS_STATEFUL], "egress-stateful");
  assert.equal(names[stage.OUTPUT], "output");
});
