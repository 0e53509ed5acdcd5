/** Connects the NATS library to a server. Runs on the control thread, on Node and on Deno. */
import {
  connect,
  type NatsConnection,
  type NatsConnectionImpl,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";

/** Rejects when the server does not answer. */
export async function connectNats(options: NodeConnectionOptions): Promise<NatsConnection> {
  const connection = await connect(options);
  giveUpWithoutWriting(connection as NatsConnectionImpl);
  return connection;
}

/**
 * A server that does not answer pings is given up. The library writes to it a last time before it
 * does so, and stops to listen to the socket when that fails. On Deno 2.9 this is before the socket
 * emits the error, which then ends the process: there, promises go on ahead of the next tick. So
 * the last write is left out, and the socket destroyed, which emits no error from then on.
 */
function giveUpWithoutWriting({ protocol }: NatsConnectionImpl): void {
  protocol.disconnect = () => {
    void protocol.transport.close();
  };
}
