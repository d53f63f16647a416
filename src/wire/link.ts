/**
 * One socket of one role: made, protected, bound or connected, watched, closed. What goes wrong with it while
 * it works is a Trouble that is told, never thrown.
 */
import * as net from "node:net";
import * as zmq from "zeromq";
import { messageOf, UserError } from "../base/error.ts";
import { BACKOFF } from "./backoff.ts";
import { monotonicNs, SENDER_MAX } from "./codec.ts";
import { assert } from "../base/assert.ts";
import { protect, type Security } from "./security.ts";

export interface Trouble {
  readonly code: "damage" | "handshake" | "refused" | "unreachable" | "disconnected" | "dropped";
  readonly text: string;
}
export interface LinkOptions {
  /** Name of this process or actor, up to 24 ASCII characters. */
  readonly sender: string;
  /** Null or none: this machine only. */
  readonly security?: Security | null;
  /** For links to other machines: zstd on messages of 1 KiB and more. */
  readonly isCompressed?: boolean;
  readonly onTrouble?: (trouble: Trouble) => void;
}
export interface Link<Socket extends zmq.Socket> {
  readonly socket: Socket;
  /** The last address, with the port that the system chose for port 0. */
  readonly address: string;
  readonly epoch: number;
  /** 500 ms for last words; 0 for none. Closing twice is fine. */
  readonly close: (lingerMs?: number) => void;
  readonly isClosed: () => boolean;
  /** Told once, whoever closed it. */
  readonly whenClosed: Set<() => void>;
}

// A process must be able to end with messages unsent; to be said before the first socket.
zmq.context.blocky = false;
const open = new Set<{ close(lingerMs: number): void }>();

/** Closes every socket of this process at once and forgets what is unsent: the end of a killed process. */
export function closeWire(): void { for (const link of open) link.close(0); }

type Made<Socket> = new (options: Record<string, unknown>) => Socket;

/** Throws UserError for a port in use, an address that is none, or one that must be protected. */
export async function openLink<Socket extends zmq.Socket>(
  Made: Made<Socket>, profile: Readonly<Record<string, unknown>>,
  addresses: readonly string[], isBound: boolean,
  { sender, security = null, onTrouble = () => undefined }: LinkOptions,
): Promise<Link<Socket>> {
  assert(sender.length > 0 && sender.length <= SENDER_MAX, `"${sender}" is no sender's name`);
  for (const address of addresses) checkPort(address);
  const { options, release } = protect(addresses, isBound, security,
    (text) => { onTrouble({ code: "refused", text }); });
  const socket = new Made({ ...profile, ...options });
  let isClosed = false;
  const link = {
    socket, address: addresses.at(-1) ?? "", epoch: newEpoch(), isClosed: () => isClosed,
    whenClosed: new Set<() => void>(),
    close: (lingerMs?: number): void => {
      if (isClosed) return;
      isClosed = true;
      open.delete(link);
      if (lingerMs !== undefined) socket.linger = lingerMs;
      socket.close();
      release();
      for (const tell of link.whenClosed) tell();
    },
  };
  open.add(link);
  watch(socket, onTrouble);
  try {
    for (const address of addresses) {
      if (isBound) await bind(socket, address); else socket.connect(address);
    }
  } catch (error) {
    link.close(0);
    throw explain(error, addresses.join(", "));
  }
  if (isBound) link.address = socket.lastEndpoint ?? link.address;
  return link;
}

/** Messages that one socket may have handled before others and timers get their turn: a cancel in a flood. */
const TURN = 64;

/** Reads until the socket is closed. What `handle` throws is a bug of ours and ends the process. */
export async function receive(
  link: Link<zmq.Socket & zmq.Readable>, handle: (parts: Buffer[]) => void | Promise<void>,
): Promise<void> {
  for (let left = TURN; !link.isClosed(); left--) {
    if (left === 0) {
      left = TURN;
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    let parts: Buffer[];
    try { parts = await link.socket.receive(); } catch (error) {
      if (link.isClosed()) return;
      throw error;
    }
    const handled = handle(parts);
    if (handled !== undefined) await handled;
  }
}

/** 32 bits that differ after a restart and between processes: boot clock in microseconds, and process. */
const newEpoch = (): number => (Math.floor(monotonicNs() / 1_000) ^ process.pid << 16) >>> 0;

/** libzmq takes port 99999 for 34463. */
function checkPort(address: string): void {
  const port = /^tcp:.*:(\d+)$/.exec(address)?.[1];
  if (port === undefined || Number(port) <= 65_535) return;
  throw new UserError(`there is no port ${port} (${address})`, "ports end at 65535");
}

/** Binding an ipc path steals it silently from whoever has it (libzmq removes the file): ask first. */
async function bind(socket: zmq.Socket, address: string): Promise<void> {
  if (address.startsWith("ipc://") && await isAnswered(address.slice(6))) {
    throw Object.assign(new Error("somebody answers there"), { code: "EADDRINUSE" });
  }
  await socket.bind(address);
}

async function isAnswered(place: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = net.connect(place, () => { resolve(true); }).on("error", () => { resolve(false); });
  try { return await promise; } finally { probe.destroy(); }
}

function explain(error: unknown, address: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") {
    return new UserError(`${address} is in use by another process`,
      "end an earlier run (dmn live stop), or choose other ports in the settings (live.ports)",
      { cause: error });
  }
  if (code === undefined) return error;
  return new UserError(`the wire cannot use the address ${address}: ${messageOf(error)}`,
    "use tcp://127.0.0.1:PORT with a port above 1023", { cause: error });
}

function watch(socket: zmq.Socket, onTrouble: (trouble: Trouble) => void): void {
  const tries = new Map<string, number>();
  const { events } = socket;
  events.on("connect:retry", ({ address }) => {
    const count = (tries.get(address) ?? 0) + 1;
    tries.set(address, count);
    if (count === BACKOFF.tries) {
      onTrouble({ code: "unreachable", text: `${address} did not answer ${count} times; trying on` });
    }
  });
  events.on("handshake", ({ address }) => { tries.delete(address); });
  events.on("disconnect", ({ address }) => {
    onTrouble({ code: "disconnected", text: `the connection with ${address} was lost` });
  });
  const handshake = (event: { address: string; error: Error }): void => {
    onTrouble({ code: "handshake",
      text: `${event.address} could not prove itself: ${messageOf(event.error)}` });
  };
  events.on("handshake:error:protocol", handshake);
  events.on("handshake:error:auth", handshake);
  events.on("handshake:error:other", handshake);
}
