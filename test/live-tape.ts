/** What the simulator received, when: its update stream with the wall's times, and its clock beside it. */
import { WebSocket } from "ws";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { portsFrom } from "../src/live/topology.ts";

export interface Arrival {
  readonly id: string;
  /** performance.now() when we heard of it. */
  readonly atMs: number;
  /** Close of the bar that the order was decided on, UTC ms; NaN: not one of ours. */
  readonly decidedAt: number;
}

const SAMPLE_MS = 10;

export class Tape {
  readonly arrivals: Arrival[] = [];
  /** Pairs of performance.now() and the simulator's time. */
  readonly #clock: [number, number][] = [];
  readonly #socket: WebSocket;
  readonly #timer: NodeJS.Timeout;
  readonly #seen = new Set<string>();

  private constructor(base: number, socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (frame: Buffer) => { this.#hear(JSON.parse(frame.toString()) as Update); });
    socket.on("error", () => { /* The simulator may be killed too. */ });
    const state = `http://127.0.0.1:${portsFrom(base).simulator}/simulator/state`;
    let isAsking = false;
    this.#timer = setInterval(() => {
      if (isAsking) return;
      isAsking = true;
      fetch(state).then(async (answer) => await answer.json() as { now: number }).then(({ now }) => {
        this.#clock.push([performance.now(), now]);
      }).catch(() => {}).finally(() => { isAsking = false; });
    }, SAMPLE_MS);
  }

  static async open(base: number): Promise<Tape> {
    const { keyId, secretKey } = SIMULATOR_KEYS.alpaca, { promise, resolve } = Promise.withResolvers<void>();
    const socket = new WebSocket(`ws://127.0.0.1:${portsFrom(base).simulator}/stream`), tape = new Tape(base, socket);
    socket.on("open", () => {
      socket.send(JSON.stringify({ action: "authenticate", data: { key_id: keyId, secret_key: secretKey } }));
    });
    socket.on("message", (frame: Buffer) => {
      const { stream } = JSON.parse(frame.toString()) as Update;
      if (stream === "authorization") socket.send(JSON.stringify({ action: "listen", data: { streams: ["trade_updates"] } }));
      if (stream === "listening") resolve();
    });
    await promise;
    return tape;
  }

  close(): void { clearInterval(this.#timer); this.#socket.terminate(); }

  /** The simulator's time at a moment of performance.now(): the last that was seen before it. */
  marketAt(atMs: number): number { return this.#clock.findLast(([wall]) => wall <= atMs)?.[1] ?? -Infinity; }
  get marketNow(): number { return this.#clock.at(-1)?.[1] ?? -Infinity; }

  #hear({ stream, data }: Update): void {
    const id = data?.order?.client_order_id;
    if (stream !== "trade_updates" || id === undefined || this.#seen.has(id)) return;
    this.#seen.add(id);
    const code = /^dmn-.+-([0-9a-z]+)-[0-9a-z]+$/.exec(id)?.[1];
    this.arrivals.push({ id, atMs: performance.now(), decidedAt: code === undefined ? NaN : Number.parseInt(code, 36) });
  }
}

interface Update { readonly stream: string; readonly data?: { readonly order?: { readonly client_order_id: string } } }
