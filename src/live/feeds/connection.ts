/**
 * One connection to a vendor's stream, from the handshake to its end.
 *
 *   socket ──> queue (bounded) ──> parsed in turns of the event loop ──> frames
 *
 * The reader puts frames into the queue and nothing else, so a burst never stops the socket; at the bound the
 * connection is given up and its gap is filled. Whatever ends it is a value.
 */
import { WebSocket, type RawData } from "ws";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import { monotonicNs } from "../../wire/codec.ts";
import type { Frame } from "./frame.ts";

/** What a message of a vendor means for the connection; null: it was data, or says nothing. */
export type Meaning =
  | { readonly is: "connected" }
  | { readonly is: "authenticated" }
  /** Channels now subscribed; `isAll`: the whole list, what is missing in it was not granted. */
  | { readonly is: "subscribed"; readonly channels: readonly string[]; readonly isAll: boolean }
  | End;
export type End =
  /** The key is wrong, or the plan lacks what was asked: trying again at once will not help. */
  | { readonly is: "refused"; readonly reason: string }
  /** Another connection with this key is open. */
  | { readonly is: "limited"; readonly reason: string }
  | { readonly is: "failed"; readonly reason: string };

/** How one vendor speaks. Throws for a frame that cannot be read. */
export interface Dialect {
  readonly vendor: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What must be acknowledged. */
  readonly channels: readonly string[];
  auth(): string | Uint8Array;
  subscribe(): string | Uint8Array;
  /** Messages of a frame. */
  parse(frame: Buffer): readonly unknown[];
  /** Takes data into `into`, or says what else it means. */
  read(message: unknown, into: Frame): Meaning | null;
}

export interface StreamLimits {
  /** For each answer on the way to being subscribed. */
  readonly answerMs: number;
  /** A ping is sent so often; a whole period without a byte is the end. */
  readonly heartbeatMs: number;
  /** Of the queue. */
  readonly framesMax: number;
  readonly bytesMax: number;
}
const FRAME_BYTES_MAX = 16 << 20;
/** Frames parsed before the event loop has its turn. */
const FRAMES_PER_TURN = 64;

export interface ConnectionOptions {
  readonly url: string;
  readonly dialect: Dialect;
  readonly makeFrame: () => Frame;
  readonly clock: Clock;
  readonly limits: StreamLimits;
  /** Every channel is acknowledged. */
  readonly up: () => void;
  /** A frame with data in it. */
  readonly heard: (frame: Frame) => void;
}

export class Connection {
  /** Frames heard, and frames thrown away because the queue was full. */
  frames = 0;
  overrun = 0;
  readonly #options: ConnectionOptions;
  readonly #socket: WebSocket;
  readonly #over = new AbortController();
  readonly #ended = Promise.withResolvers<End>();
  readonly #missing: Set<string>;
  #queue: { readonly raw: Buffer; readonly originNs: number }[] = [];
  #bytes = 0;
  #isDraining = false;
  #isAlive = true;
  /** Counts answers that were waited for: a newer one makes the older time-out void. */
  #waits = 0;

  constructor(options: ConnectionOptions) {
    const { url, dialect, limits } = options;
    this.#options = options;
    this.#missing = new Set(dialect.channels);
    this.#socket = new WebSocket(url, { headers: dialect.headers, perMessageDeflate: false,
      handshakeTimeout: limits.answerMs, maxPayload: FRAME_BYTES_MAX, followRedirects: false });
    this.#socket.on("error", (error) => { this.#fail(messageOf(error)); });
    this.#socket.on("close", (code) => { this.#fail(`the stream was closed (${code})`); });
    this.#socket.on("pong", () => { this.#isAlive = true; });
    this.#socket.on("message", (raw: RawData) => { this.#receive(bufferOf(raw)); });
  }

  /** Resolves with what ended it. Never rejects. */
  async run(): Promise<End> {
    this.#expect("the connection");
    this.#beat().catch(() => {});
    const end = await this.#ended.promise;
    this.#over.abort();
    this.#queue = [];
    this.#socket.terminate();
    return end;
  }

  end(end: End): void { this.#ended.resolve(end); }
  #fail(reason: string): void { this.end({ is: "failed", reason }); }

  /** Ends the connection unless the next answer comes in time. */
  #expect(what: string): void {
    const wait = ++this.#waits, { clock, limits: { answerMs } } = this.#options;
    clock.sleep(answerMs, this.#over.signal).then(() => {
      if (wait === this.#waits) this.#fail(`no answer to ${what} in ${answerMs} ms`);
    }, () => {});
  }

  async #beat(): Promise<void> {
    const { clock, limits: { heartbeatMs } } = this.#options;
    for (;;) {
      await clock.sleep(heartbeatMs, this.#over.signal);
      if (!this.#isAlive) { this.#fail(`not a byte in ${heartbeatMs} ms`); return; }
      this.#isAlive = false;
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
    }
  }

  #receive(raw: Buffer): void {
    const { framesMax, bytesMax } = this.#options.limits;
    if (this.#over.signal.aborted) return;
    this.#isAlive = true;
    this.frames++;
    this.#queue.push({ raw, originNs: monotonicNs() });
    this.#bytes += raw.length;
    if (this.#queue.length > framesMax || this.#bytes > bytesMax) {
      this.overrun = this.#queue.length;
      this.#fail(`${this.#queue.length} frames were waiting: this machine is too slow for the stream`);
    }
    if (!this.#isDraining) { this.#isDraining = true; setImmediate(() => { this.#drain(); }); }
  }

  #drain(): void {
    const { dialect, makeFrame, heard } = this.#options;
    let n = 0;
    for (; n < this.#queue.length && n < FRAMES_PER_TURN; n++) {
      const { raw, originNs } = this.#queue[n], frame = makeFrame();
      frame.originNs = originNs;
      this.#bytes -= raw.length;
      try {
        for (const message of dialect.parse(raw)) {
          const meaning = dialect.read(message, frame);
          if (meaning !== null) this.#act(meaning);
        }
      } catch (error) { this.#fail(`a frame that cannot be read: ${messageOf(error)}`); }
      if (frame.size > 0) heard(frame);
    }
    this.#queue.splice(0, n);
    this.#isDraining = this.#queue.length > 0;
    if (this.#isDraining) setImmediate(() => { this.#drain(); });
  }

  #act(meaning: Meaning): void {
    const { dialect, up } = this.#options;
    switch (meaning.is) {
      case "connected":
        this.#socket.send(dialect.auth());
        this.#expect("the key");
        return;
      case "authenticated":
        this.#socket.send(dialect.subscribe());
        this.#expect("the subscription");
        return;
      case "subscribed": {
        const before = this.#missing.size;
        for (const channel of meaning.channels) this.#missing.delete(channel);
        if (this.#missing.size === 0 && before > 0) {
          this.#waits++;
          up();
        } else if (this.#missing.size > 0 && meaning.isAll) {
          const some = [...this.#missing].slice(0, 5).join(", ");
          this.end({ is: "refused",
            reason: `the vendor does not grant ${this.#missing.size} channels (${some})` });
        }
        return;
      }
      default: this.end(meaning);
    }
  }
}

const bufferOf = (raw: RawData): Buffer =>
  Buffer.isBuffer(raw) ? raw : Array.isArray(raw) ? Buffer.concat(raw) : Buffer.from(raw);
