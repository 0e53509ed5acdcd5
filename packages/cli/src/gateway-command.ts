/** `rhone gateway`: who forwards for which gateway, and why the others do not. */
import type { GatewayView } from "@rhone/api/context";
import type { Command } from "commander";
import { print } from "./print.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";

export function addGatewayCommands(program: Command): void {
  const gateway = program.command("gateway").description("Gateways, and who forwards for them");
  gateway
    .command("list")
    .description("Show all gateways")
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const all = await clientOf(options).get<GatewayView[]>("/v1/gateways");
      print(options, all, () => formatTable([GATEWAY_HEADER, ...all.map(gatewayRow)]));
    });
  gateway
    .command("show")
    .description("Show which member forwards for a gateway, and why the others do not")
    .argument("<name>")
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ServerOptions>();
      const path = `/v1/gateways/${encodeURIComponent(name)}`;
      const view = await clientOf(options).get<GatewayView>(path);
      print(options, view, () => formatGateway(view));
    });
}

export const GATEWAY_HEADER = ["name", "active", "epoch", "since", "members", "witnesses", "ports"];

export function gatewayRow({ name, members, witnesses, status }: GatewayView): string[] {
  const { active, epoch, since, ports } = status;
  const named = members.map(({ chassis, priority, drained }) => {
    return `${chassis} ${priority}${drained === true ? " drained" : ""}`;
  });
  return [
    ...[name, active ?? "–", String(epoch), since ?? "–", named.join(", ")],
    ...[witnesses.join(" ") || "–", ports.join(" ") || "–"],
  ];
}

function formatGateway({ name, members, witnesses, status }: GatewayView): string {
  const { active, epoch, since, warning, ports } = status;
  const where = active === null ? "has nobody who forwards" : `is at ${active} since ${since}`;
  const rows = members.map(({ chassis, priority }) => {
    const { role, detail } = status.members.find((member) => member.chassis === chassis)!;
    return [chassis, role, String(priority), detail];
  });
  return [
    `Gateway ${name} ${where}, epoch ${epoch}`,
    formatTable([["member", "", "priority", ""], ...rows]),
    `witnesses: ${witnesses.join(", ") || "none"}; ports: ${ports.join(", ") || "none"}`,
    ...(warning === "" ? [] : [`Warning: ${warning}.`]),
  ].join("\n");
}
