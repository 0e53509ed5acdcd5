/**
 * `main.ts --config FILE`: runs one chassis until SIGTERM or SIGINT.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Chassis } from "./chassis.ts";
import { joinWhenAsked } from "./cluster.ts";
import { compose } from "./composition.ts";
import { readConfig } from "./config.ts";

const USAGE = "usage: main.ts --config FILE";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" } } });
  if (values.config === undefined) throw new Error(USAGE);
  const config = readConfig(values.config);
  await joinWhenAsked(config, (why) => process.stderr.write(`rhone chassis: waiting: ${why}\n`));
  const chassis = new Chassis(compose(config));
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    chassis.stop().then(
      () => process.exit(0),
      (error: Error) => fail(error),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  await chassis.start();
}

function fail(error: Error): never {
  process.stderr.write(`rhone chassis: ${error.message}\n`);
  process.exit(1);
}

main().catch(fail);
