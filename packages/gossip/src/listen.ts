/** Listening on a TCP port, with an error that says who has it. */
import type { Server } from "node:net";
import { findPortHolder } from "./port-holder.ts";

/** Rejects when the port is taken, or the address is not of this machine. */
export function listenOn(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = ({ code, message }: NodeJS.ErrnoException): void => {
      const isTaken = code === "EADDRINUSE";
      const why = isTaken ? `it is taken by ${findPortHolder(port)}` : message;
      reject(new Error(`cannot listen on port ${port} at ${address}: ${why}`));
    };
    server.once("error", onError);
    server.listen({ host: address, port }, () => {
      server.off("error", onError);
      resolve();
    });
  });
}
