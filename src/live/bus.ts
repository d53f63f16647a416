/**
 * The sockets of one process, laid out by topology.ts:
 *
 *            bound: its facts ──────────────> whoever subscribed; kept, and answered for (retained.ts)
 *   say ──┤
 *            joined: inlets of others ──────> predictions, health, performance, alerts, records
 *   handOver   target ── asked until acknowledged, only the newest ──> execution
 *   hearings   one per port, holes filled (hearing.ts) ──> hear
 */
import { ACK, isDamage, type Content, type Packet } from "../wire/codec.ts";
import type { Security } from "../wire/security.ts";
import { openPublisher, openRequester, openResponder, type LinkOptions, type Publisher, type Requester,
  type Responder } from "../wire/socket.ts";
import { fromContent, toContent, topicOf } from "./frames.ts";
import { answerOf, Hearing, type Heard, type Question } from "./hearing.ts";
import type { Kind, Spoken, TargetCommand } from "./message.ts";
import { Retained } from "./retained.ts";
import type { PortName, Session } from "./session.ts";
import { hearersOf, hearingsOf, inletsFor, INLETS, portOf, QUESTIONS, seatOf, type Inlet, type Place,
} from "./topology.ts";

export type { Heard } from "./hearing.ts";

export interface BusOptions {
  readonly session: Session;
  readonly place: Place;
  /** Kinds that the actors of this process ask to hear. */
  readonly wanted: readonly Kind[];
  /** Null on loopback. */
  readonly security: Security | null;
  /** A promise: it can take no more for now; nothing further is read before it settles. */
  readonly hear: (heard: Heard) => void | Promise<void>;
  /** Resolves when the command has been taken in and may be acknowledged. Execution only. */
  readonly command: (heard: Heard) => Promise<void>;
  readonly trouble: (code: string, text: string) => void;
}

/** One try of a command: it is repeated until somebody acknowledges it or a newer one takes its place. */
const COMMAND = { deadlineMs: 5_000, retryMs: 250 } as const;
/** Hearers that do not come within this are not waited for, ms: they will ask for what they missed. */
const HEARERS_MS = 3_000;

/**
 * Heard from here only by those who look on, and each hearer costs a system call: they are told when the
 * event loop comes round, after what trading waits for has left.
 */
const LATER: ReadonlySet<string> = new Set(["decision", "target", "order-state"]);

export class Bus {
  readonly #options: BusOptions;
  readonly #link: Omit<LinkOptions, "sender">;
  #bound: Publisher | null = null;
  readonly #joined: { readonly inlet: Inlet; readonly publisher: Publisher }[] = [];
  #retained: Retained | null = null;
  #orders: Requester | null = null;
  readonly #closers: { close(): void }[] = [];
  #target: { readonly message: TargetCommand; readonly originNs: number } | null = null;
  #isHanding = false;
  #later: { readonly message: Spoken; readonly originNs: number }[] = [];
  #isClosed = false;

  private constructor(options: BusOptions) {
    this.#options = options;
    this.#link = { security: options.security,
      onTrouble: ({ code, text }) => { options.trouble(code, text); } };
  }

  /** Binds and connects. UserError for a port in use. */
  static async open(options: BusOptions): Promise<Bus> {
    const bus = new Bus(options);
    try { await bus.#open(); } catch (error) { bus.close(); throw error; }
    return bus;
  }

  async #open(): Promise<void> {
    const { place, wanted } = this.#options, { role } = place, { binds } = seatOf(role);
    const own = { ...this.#link, sender: place.name };
    if (binds !== null) {
      this.#bound = await openPublisher({ ...own, address: this.#address(binds) });
      this.#retained = new Retained(place.name, this.#bound.epoch);
      const questions = QUESTIONS[binds]!;
      this.#closers.push(this.#bound, await this.#respond(questions, (packet) => this.#answer(packet)));
    }
    for (const inlet of inletsFor(role)) {
      const publisher = await openPublisher({ ...own, address: this.#address(inlet.port), isBound: false });
      this.#joined.push({ inlet, publisher });
      this.#closers.push(publisher);
    }
    if (role === "decision") {
      this.#orders = await openRequester({ ...own, address: this.#address("orders") });
      this.#closers.push(this.#orders);
    }
    if (role === "execution") {
      this.#closers.push(await this.#respond("orders", (packet) => this.#obey(packet)));
    }
    for (const { port, kinds, isInlet } of hearingsOf(role, wanted)) {
      const questions = isInlet ? undefined : QUESTIONS[port];
      const isRelayed = INLETS.some((inlet) => inlet.port === port && inlet.isRelayed);
      this.#closers.push(await Hearing.open({
        sender: place.name, address: this.#address(port), isInlet, kinds,
        questions: questions === undefined ? null : this.#address(questions), joins: seatOf(role).joins,
        link: this.#link, trouble: this.#options.trouble,
        hear: isRelayed ? (heard) => this.#relay(heard) : this.#options.hear }));
    }
  }

  #address(port: PortName): string {
    const { session } = this.#options;
    return `tcp://${session.host}:${portOf(session, port)}`;
  }

  async #respond(port: PortName, answer: (packet: Packet) => Content | Promise<Content>): Promise<Responder> {
    return openResponder({ ...this.#link, sender: this.#options.place.name, address: this.#address(port),
      answer });
  }

  /** Resolves when all hearers of its facts have subscribed, or are not waited for any longer. */
  async ready(signal: AbortSignal): Promise<void> {
    const { session, place } = this.#options, count = hearersOf(session, place.role);
    if (this.#bound === null || count === 0) return;
    const until = AbortSignal.any([signal, AbortSignal.timeout(HEARERS_MS)]);
    try { await this.#bound.ready(count, until); } catch {
      if (signal.aborted) return;
      this.#options.trouble("hearers-late",
        `${this.#bound.subscribers} of ${count} hearers of ${place.name} came in `
        + `${HEARERS_MS / 1000} s; the others will ask for what they missed`);
    }
  }

  /** Says a fact to all who hear it. `originNs`: when what caused it came into the graph; 0: nothing did. */
  say(message: Spoken, originNs = 0): void {
    if (this.#isClosed) return;
    if (message.kind === "target") this.#handOver(message, originNs);
    if (LATER.has(message.kind)) this.#defer(message, originNs); else this.#sayNow(message, originNs);
  }

  #defer(message: Spoken, originNs: number): void {
    if (this.#later.push({ message, originNs }) === 1) setImmediate(() => { this.#sayLater(); });
  }

  #sayLater(): void {
    for (const { message, originNs } of this.#later.splice(0)) this.#sayNow(message, originNs);
  }

  #sayNow(message: Spoken, originNs: number): void {
    if (this.#isClosed) return;
    const topic = topicOf(message), content = toContent(message), { says } = seatOf(this.#options.place.role);
    if (says.some((kind) => kind === message.kind) && this.#bound !== null) {
      this.#retained!.keep(topic, this.#bound.say(topic, content, originNs), message);
    }
    for (const { inlet, publisher } of this.#joined) {
      if (inlet.takes.some((kind) => kind === message.kind)) publisher.say(topic, content, originNs);
    }
  }

  #handOver(message: TargetCommand, originNs: number): void {
    this.#target = { message, originNs };
    if (!this.#isHanding) void this.#hand();
  }

  /** One at a time; what came meanwhile has replaced what waited: targets are whole, the newest says all. */
  async #hand(): Promise<void> {
    this.#isHanding = true;
    while (this.#target !== null && !this.#isClosed) {
      const { message, originNs } = this.#target;
      const answer = await this.#orders!.ask(toContent(message), { ...COMMAND, origin: originNs });
      if (answer.outcome === "answered") {
        if (this.#target?.message === message) this.#target = null;
      } else if (!this.#isClosed) {
        this.#options.trouble("target-unacknowledged",
          `execution has not acknowledged the target in ${COMMAND.deadlineMs / 1000} s; asking again`);
      }
    }
    this.#isHanding = false;
  }

  #relay(heard: Heard): void | Promise<void> {
    const taken = this.#options.hear(heard);
    this.#defer(heard.message, heard.originNs);
    return taken;
  }

  async #obey(packet: Packet): Promise<Content> {
    const message = fromContent(packet);
    if (isDamage(message)) { this.#options.trouble("damaged", `a command: ${message.damage}`); return ACK; }
    await this.#options.command({ message, sender: packet.sender, seq: packet.seq, bytes: packet.bytes,
      plainBytes: packet.plainBytes, sentNs: packet.sent, originNs: packet.origin });
    return ACK;
  }

  #answer({ meta }: Packet): Content {
    const question = meta as Question, retained = this.#retained!;
    return answerOf(question.want === "range" ? retained.range(question.topic, question.first, question.last)
      : retained.since(question.from, question.kinds, question.isAll));
  }

  close(): void {
    this.#sayLater();
    this.#isClosed = true;
    for (const one of this.#closers) one.close();
  }
}
