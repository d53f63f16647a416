/**
 * One websocket as a vendor's server holds it: what it sends is bounded (a slow client is cut off), and who
 * does not authenticate in time is told so and cut off.
 *
 *   connected ──auth──> listening ──────────> closed
 *        \── too late, too slow, cut, told off ──┘
 */
import type { RawData, WebSocket } from "ws";

export interface StreamLimits {
  /** Bytes that may wait for a slow client. */
  readonly waitingBytesMax: number;
  readonly authTimeoutMs: number;
  /** Connections at once with one key. */
  readonly connectionsMax: number;
}
export const STREAM_LIMITS: StreamLimits =
  { waitingBytesMax: 16 << 20, authTimeoutMs: 10_000, connectionsMax: 1 };

export class StreamSocket {
  isAuthenticated = false;
  /** Nothing is sent any more, though it looks well. */
  isMute = false;
  /** What it asks for is not heeded. */
  isDeaf = false;
  readonly #socket: WebSocket;
  readonly #waitingMax: number;
  readonly #onSlow: (socket: StreamSocket) => void;
  #isSlow = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(socket: WebSocket, limits: StreamLimits, listener: {
    heard: (data: Buffer, isBinary: boolean) => void; closed: () => void;
    /** It did not authenticate in time; it is closed after this. */
    late: () => void; slow: (socket: StreamSocket) => void;
  }) {
    this.#socket = socket;
    this.#waitingMax = limits.waitingBytesMax;
    this.#onSlow = listener.slow;
    this.#timer = setTimeout(() => { listener.late(); this.close(); }, limits.authTimeoutMs);
    socket.on("message", (data: RawData, isBinary) => { listener.heard(bufferOf(data), isBinary); });
    socket.on("close", () => { this.#stopTimer(); listener.closed(); });
    // A reset is an ordinary way to leave.
    socket.on("error", () => { socket.terminate(); });
  }

  get waitingBytes(): number { return this.#socket.bufferedAmount; }
  get isOpen(): boolean { return this.#socket.readyState === this.#socket.OPEN; }

  authenticated(): void {
    this.isAuthenticated = true;
    this.#stopTimer();
  }

  /** False: not sent, because it is gone or slow (and then cut off). */
  send(frame: string | Uint8Array, isBinary = typeof frame !== "string"): boolean {
    if (!this.isOpen) return false;
    if (this.waitingBytes > this.#waitingMax && !this.#isSlow) {
      this.#isSlow = true;
      // Its last words pass.
      this.#onSlow(this);
      this.cut();
      return false;
    }
    this.#socket.send(frame, { binary: isBinary });
    return true;
  }

  close(code = 1000): void { this.#socket.close(code); }
  /** Without a word. */
  cut(): void { this.#socket.terminate(); }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function bufferOf(data: RawData): Buffer {
  return Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/** A JSON object, or null for anything else. */
export function objectOf(text: string): Record<string, unknown> | null {
  try { return asObject(JSON.parse(text)); } catch { return null; }
}
export function asObject(value: unknown): Record<string, unknown> | null {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? value as Record<string, unknown> : null;
}
