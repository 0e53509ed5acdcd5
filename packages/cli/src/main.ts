/** The `rhone` command. */
import { Command, CommanderError } from "commander";
import { addAccessCommands } from "./access-command.ts";
import { addClusterCommands } from "./cluster-command.ts";
import { addDataplaneCommands } from "./dataplane-command.ts";
import { addGatewayCommands } from "./gateway-command.ts";
import { addLabCommands } from "./lab-command.ts";
import { addPortCommands } from "./port-command.ts";
import { addResourceCommands } from "./resource-command.ts";
import { EXIT_FAILED, EXIT_USAGE, UserError } from "./user-error.ts";

const HELP = `
Examples:
  rhone lab up labs/web-db.yaml            Build three chassis and five workloads on this machine
  rhone lab up labs/web-db.yaml --check --once
                                           The same, try every path once, and take it down again
  rhone get ports                          Ask the first chassis of the lab
  rhone apply -f labs/web-db.yaml --wait   Write resources; returns when they are in force
  rhone --server http://127.0.0.1:7102 counters
                                           Ask another chassis

Exit status: 0 done; 1 refused or failed; 2 wrong command line, file or machine.`;

async function main(): Promise<void> {
  const program = new Command("rhone")
    .description("Rhône, a distributed virtual router: talk to its chassis, build labs.")
    .option(
      "-s, --server <url>",
      "chassis to talk to, http://host:port, https://host:port or unix:/path",
      process.env["RHONE_SERVER"] ?? "http://127.0.0.1:7101",
    )
    .option("--token-file <file>", "with the token to show; RHONE_TOKEN has it otherwise")
    .option("--json", "print JSON, for programs")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .addHelpText("after", HELP)
    .showHelpAfterError('(try "rhone --help", or --help behind a command)')
    .enablePositionalOptions(false)
    .exitOverride();
  addResourceCommands(program);
  addPortCommands(program);
  addGatewayCommands(program);
  addDataplaneCommands(program);
  addClusterCommands(program);
  addAccessCommands(program);
  addLabCommands(program);
  for (const command of program.commands.flatMap((command) => [command, ...command.commands])) {
    command.exitOverride().copyInheritedSettings(program);
  }
  await program.parseAsync();
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof UserError) {
    process.stderr.write(`rhone: ${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(`rhone: ${(error as Error).stack ?? error}\n`);
  return EXIT_FAILED;
}

main().catch((error: unknown) => {
  process.exitCode = exitCodeOf(error);
});
