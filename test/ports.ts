/** Five ports in a row for a coordinator, never the defaults. */
import * as net from "node:net";

export async function freePorts(): Promise<number> {
  for (let port = 20_000 + process.pid % 4_000 * 10; ; port = port > 60_000 ? 20_000 : port + 10) {
    const free = await Promise.all(Array.from({ length: 5 }, (_, k) => isFree(port + k)));
    if (free.every(Boolean)) return port;
  }
}

export async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>(), server = net.createServer();
  server.once("error", () => { resolve(false); });
  server.listen({ host: "127.0.0.1", port, exclusive: true }, () => { server.close(() => { resolve(true); }); });
  return promise;
}
