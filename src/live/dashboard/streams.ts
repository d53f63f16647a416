/**
 * Browsers that listen (server-sent events). Nobody waits for one of them: what a client does not read
 * piles up in its socket, and above CLIENT_BYTES it is cut off; it may come back and gets everything anew.
 */
import type { ServerResponse } from "node:http";

export const CLIENTS_MAX = 16, CLIENT_BYTES = 4 << 20;

export interface Streams {
  readonly listening: number;
  /** Clients that were cut off so far because they did not read. */
  readonly cutOff: number;
  /** `first` is what it gets before anything else. The one who adds keeps to CLIENTS_MAX. */
  add(client: ServerResponse, first: string): void;
  send(text: string): void;
  /** Says `last` and ends all. */
  close(last: string): void;
}

export function openStreams(): Streams {
  const clients = new Set<ServerResponse>();
  let cutOff = 0;
  function sendTo(client: ServerResponse, text: string): void {
    if (client.writableLength + text.length <= CLIENT_BYTES) { client.write(text); return; }
    cutOff++;
    clients.delete(client);
    client.destroy();
  }
  return {
    get listening() { return clients.size; },
    get cutOff() { return cutOff; },
    add(client, first) {
      client.on("close", () => { clients.delete(client); });
      clients.add(client);
      sendTo(client, first);
    },
    send(text) { for (const client of clients) sendTo(client, text); },
    close(last) {
      for (const client of clients) client.end(last);
      clients.clear();
    },
  };
}

/** An event as the wire has it. */
export const eventOf = (value: object, name = "message"): string =>
  `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
