/** The same case on Deno and on Node, in turns. */
import type { Case, Prepared } from "./case.ts";

/** What is measured on Deno, divided by what is measured on Node. */
export function onBothRuntimes({ name, goals, unit, prepare }: Case): Case {
  return {
    ...{ name: `${name}, on Deno`, goals, unit },
    prepare: async (options) => {
      const node = await prepare({ ...options, runtime: "node", isAlone: true });
      try {
        const deno = await prepare({ ...options, runtime: "deno", isAlone: true });
        return {
          subject: { ...deno.subject, name: "Deno" },
          baselines: [{ ...node.subject, name: "Node" }],
          remarks: () => [...remarksOf("Deno", deno), ...remarksOf("Node", node)],
          end: async () => {
            await deno.end();
            await node.end();
          },
        };
      } catch (error) {
        await node.end();
        throw error;
      }
    },
  };
}

function remarksOf(runtime: string, { remarks }: Prepared): string[] {
  return (remarks?.() ?? []).map((remark) => `${runtime}: ${remark}`);
}
