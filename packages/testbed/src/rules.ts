/** Rules for scenarios: put into force at every chassis, and what they counted at one. */
import { succeeded } from "@rhone/cli/rest-client";
import type { AclDocument } from "@rhone/state/acl";
import type { LabFixture } from "./lab-fixture.ts";

export type RuleSpec = Omit<AclDocument, "kind">;

/** Makes `rules` the only ones, in force at every chassis when it resolves. */
export async function setRules(fixture: LabFixture, rules: readonly RuleSpec[]): Promise<void> {
  const { client } = fixture.running.chassis[0]!.process;
  const wanted = new Set(rules.map(({ name }) => name));
  for (const { name } of await client.get<AclDocument[]>("/v1/acls")) {
    if (!wanted.has(name)) succeeded(await client.request("DELETE", `/v1/acls/${name}`));
  }
  const body = rules.map((rule) => ({ kind: "acl", ...rule }));
  succeeded(await client.request("POST", "/v1/apply", { body }));
  await fixture.running.settled();
}

/** Packets that a rule decided about at one chassis. */
export async function hitsOf(fixture: LabFixture, chassis: string, rule: string): Promise<number> {
  const view = await fixture.chassis(chassis).client.get<{ hits: number }>(`/v1/acls/${rule}`);
  return view.hits;
}
