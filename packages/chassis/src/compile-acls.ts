/**
 * Rules from the desired state to rows of the tables, in the order in which they decide. Part of
 * `compile`, and pure like it.
 */
import { type Acl, parsePorts, protocolNumber } from "@rhone/state/acl";
import type { Labels } from "@rhone/state/labels";
import { compareText } from "@rhone/state/record";
import type { State } from "@rhone/state/state";
import * as acls from "@rhone/tables/acls";
import { parsePrefix } from "@rhone/wire/address";
import { compiled } from "./compile-error.ts";
import type { Selectors } from "./compile-selectors.ts";

const ACTIONS: Readonly<Record<Acl["action"], number>> = {
  allow: acls.ACTION_ALLOW,
  "allow-stateless": acls.ACTION_ALLOW_STATELESS,
  drop: acls.ACTION_DROP,
  reject: acls.ACTION_REJECT,
};

/** Where a rule's switch and port are in the tables; undefined when they are not. */
export interface AclPlaces {
  datapath(switchName: string): number | undefined;
  port(switchName: string, name: string): number | undefined;
}

/** `counters` has the counter index of each rule that is counted, by name. */
export function compileAcls(
  state: State,
  counters: ReadonlyMap<string, number>,
  places: AclPlaces,
  selectors: Selectors,
): acls.AclRule[] {
  const inOrder = state.acls.toSorted(
    (a, b) => b.value.priority - a.value.priority || compareText(a.name, b.name),
  );
  return inOrder.flatMap(({ name, value }) =>
    compiled("acl", name, () => {
      const datapath = places.datapath(value.switch);
      const port = value.port === undefined ? -1 : places.port(value.switch, value.port);
      // A peer's merge can leave a rule without its switch or port.
      if (datapath === undefined || port === undefined) return [];
      const direction = value.direction === "from-port" ? acls.FROM_PORT : acls.TO_PORT;
      const action = ACTIONS[value.action];
      const counter = counters.get(name) ?? -1;
      const criteria = criteriaOf(value, datapath, selectors);
      return [{ direction, datapath, port, ...criteria, action, counter }];
    }),
  );
}

type Criteria = Omit<acls.AclRule, "direction" | "datapath" | "port" | "action" | "counter">;

function criteriaOf({ match, action }: Acl, datapath: number, selectors: Selectors): Criteria {
  const { protocol, sourcePorts, destinationPorts } = match;
  const needsAll = action === "allow" || action === "allow-stateless";
  const endOf = (prefix: string | undefined, selector: Labels | undefined): acls.AclEnd => {
    if (selector !== undefined) {
      return selectors.addressesOf(datapath, { selector, prefix, needsAll });
    }
    return prefix === undefined ? null : parsePrefix(prefix);
  };
  return {
    protocol: protocol === undefined ? acls.ANY_PROTOCOL : protocolNumber(protocol),
    source: endOf(match.source, match.sourceLabels),
    destination: endOf(match.destination, match.destinationLabels),
    sourcePorts: sourcePorts === undefined ? acls.ANY_PORT : parsePorts(sourcePorts)!,
    destinationPorts:
      destinationPorts === undefined ? acls.ANY_PORT : parsePorts(destinationPorts)!,
  };
}
