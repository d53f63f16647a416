/**
 * `dmn live`: one run from the first check to the last process's end.
 *
 *   lock ─> session ─> checks ─> session.json, access ─> supervisor ─> running ─┬─ Ctrl-C, stop, --duration
 *                                                                               ├─ the replay is over
 *                                                                               └─ a process refuses
 *   everything ends in order (supervisor.ts), whatever happened; then the summary
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../base/context.ts";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import { hopsOf, type Hop } from "../../live/actors/performance.ts";
import { checkConsent, LIVE_CONFIRMATION, type LiveConsent } from "../../live/brokers/alpaca-hosts.ts";
import { newToken, openControl, removeAccess, writeAccess, type ControlAnswer } from "../../live/control.ts";
import { snapshotFile } from "../../live/actors/portfolio-rim.ts";
import { openIntentJournal } from "../../live/execution/intent-journal.ts";
import { Hearing } from "../../live/hearing.ts";
import type { AlertFact, ControlCommand } from "../../live/message.ts";
import type { PortName, Session } from "../../live/session.ts";
import { Supervisor, type ProcessStatus } from "../../live/supervisor.ts";
import { portOf, processOf } from "../../live/topology.ts";
import { takeLock } from "../../base/writer-lock.ts";
import { closeWire } from "../../wire/socket.ts";
import { checkBroker, checkModels, checkPorts } from "./checks.ts";
export { LIVE_DEFAULTS } from "./choose-session.ts";
import { chooseSession, type LiveOptions } from "./choose-session.ts";
import { openDisplay, type Display } from "./display.ts";
import { securityOf } from "./security.ts";
import { writeSession } from "./session-file.ts";
import { spawnNode } from "./spawn-node.ts";
import { Tally, type TallyReport } from "./tally.ts";

export interface RunOptions extends LiveOptions {
  /** Ends by itself after so many seconds; null: not. */
  readonly durationSeconds: number | null;
  readonly isHeadless: boolean;
}

/** What is told of a run, at any time and at its end. */
export interface LiveReport extends TallyReport {
  readonly session: string;
  readonly pid: number;
  readonly venue: Session["venue"];
  readonly dataset: string | null;
  readonly seconds: number;
  readonly dashboard: string | null;
  readonly processes: readonly ProcessStatus[];
  readonly restarts: number;
  /** Microseconds, since the start. */
  readonly hops: readonly Hop[];
  /** Why it ended; null while it runs. */
  readonly ended: string | null;
}

const POLL_MS = 500;
/** History that takes longer than this to take in is not waited for, ms. */
const QUIET_MS = 30_000;
/** After a replay's last bar: when nothing has come of it for so long, its orders have come to rest, ms. */
const LAST_ORDERS_MS = 1_500;

/** Runs until somebody or something ends it. UserError for what kept it from starting. */
export async function runLive(options: RunOptions, context: Context): Promise<LiveReport> {
  using _lock = lockLive(context.root);
  const session = await chooseSession(options, context);
  const consent = options.isLive ? await askConsent(context) : null;
  checkModels(session, context.root);
  await checkPorts(session, options.isHeadless);
  await checkBroker(session, consent, context);
  context.progress.stop();
  context.signal.throwIfAborted();
  if (session.venue === "simulator") forgetHoldings(context.root);
  await writeSession(context.root, session);
  const run = new Run(session, options, context, consent);
  return await run.whole();
}

/** One run below a root at a time. */
function lockLive(root: string): Disposable {
  const place = path.join(places.live(root), "live.lock");
  try { return takeLock(place, "the live session"); } catch (error) {
    const pid = /process (\d+)/.exec(error instanceof UserError ? error.problem : "")?.[1];
    if (pid === undefined) throw error;
    throw new UserError(`dmn live runs here already (process ${pid})`,
      "look at it: dmn live status; end it: dmn live stop; or choose another place: --data-dir FOLDER");
  }
}

/** A simulated account begins anew with each run, the trading state stays. UserError: a damaged journal. */
function forgetHoldings(root: string): void {
  fs.rmSync(path.join(places.live(root), snapshotFile("simulator")), { force: true });
  using journal = openIntentJournal(places.live(root), "simulator");
  const state = journal.recovered.findLast(({ t }) => t === "state");
  if (journal.recovered.length > 0) journal.replace(state === undefined ? [] : [state]);
}

/** Real money needs a flag, a setting, and a sentence typed by a person. */
async function askConsent({ config }: Context): Promise<LiveConsent> {
  const isConfigured = config.live.realMoney;
  if (!isConfigured || !process.stdin.isTTY) {
    const consent = { isFlagged: true, isConfigured, typed: "" };
    checkConsent(consent);
    return consent;
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const typed = await reader.question(`This trades REAL MONEY. Type "${LIVE_CONFIRMATION}": `);
  reader.close();
  const consent = { isFlagged: true, isConfigured, typed: typed.trim() };
  checkConsent(consent);
  return consent;
}

class Run {
  readonly #session: Session;
  readonly #options: RunOptions;
  readonly #context: Context;
  readonly #supervisor: Supervisor;
  readonly #display: Display;
  readonly #tally = new Tally();
  readonly #tokens = { control: newToken(), dashboard: newToken() };
  readonly #stop = Promise.withResolvers<string>();
  readonly #startedMs = performance.now();
  #isEmergency = false;
  #isLaunched = false;
  #ended: string | null = null;

  constructor(session: Session, options: RunOptions, context: Context, consent: LiveConsent | null) {
    this.#session = session;
    this.#options = options;
    this.#context = context;
    this.#display = openDisplay(process.stderr);
    const { memoryMaxMiB, restartsMax, cores } = context.config.live;
    const memoryMaxBytes = memoryMaxMiB * 2 ** 20;
    this.#supervisor = new Supervisor({ session, clock: context.clock, restartsMax, memoryMaxBytes,
      spawn: (place) => spawnNode(place, { root: context.root, cores, consent }),
      say: (...said) => { this.#say(...said); },
      running: ({ role }) => { if (role === "feed" && this.#isLaunched) void this.#advance(); },
      asked: (command) => this.#obey(command) });
  }

  async whole(): Promise<LiveReport> {
    const { root, clock, signal } = this.#context, session = this.#session;
    const security = securityOf(root, session), at = (name: PortName): string =>
      `tcp://${session.host}:${portOf(session, name)}`;
    const control = await openControl({ address: at("control"), token: this.#tokens.control, security,
      now: () => clock.now(), obey: (command) => this.#obey(command) });
    const listen = (port: "execution" | "decisions", kinds: readonly string[]): Promise<Hearing> =>
      Hearing.open({ sender: "supervisor", address: at(port), questions: at(`${port}Questions`),
        isInlet: false, kinds, joins: "last", link: { security },
        hear: ({ message }) => { this.#tally.hear(message); },
        trouble: () => { /* Those who trade say it themselves. */ } });
    const ears = [await listen("execution", ["account", "fill", "order-state", "trading-state"]),
      await listen("decisions", ["decision"])];
    await writeAccess(root, { pid: process.pid, address: at("control"), token: this.#tokens.control,
      dashboard: this.#options.isHeadless ? "" : this.#tokens.dashboard });
    const drawing = setInterval(() => { this.#display.draw(this.report()); }, POLL_MS);
    try {
      await this.#supervisor.start(signal);
      const address = this.#address(), count = this.#supervisor.status().length;
      this.#display.line(`running: ${count} processes${address === null ? "" : `, dashboard ${address}`}`);
      await this.#supervisor.quiet(QUIET_MS, signal);
      this.#isLaunched = true;
      await this.#advance();
      this.#ended = await this.#untilEnd();
    } finally {
      clearInterval(drawing);
      this.#display.clear();
      if (!this.#isEmergency) await this.#supervisor.stop();
      for (const ear of ears) ear.close();
      control.close();
      removeAccess(root);
      closeWire();
    }
    return this.report();
  }

  /** Lets a replay begin, or go on after its feed has come back. */
  async #advance(): Promise<void> {
    await this.#supervisor.order("feed", { kind: "control", at: this.#context.clock.now(), action: "advance",
      by: "supervisor", subject: "", value: "" });
  }

  async #untilEnd(): Promise<string> {
    const { signal } = this.#context, { durationSeconds } = this.#options;
    const pressed = Promise.withResolvers<string>();
    const press = (): void => { pressed.resolve("Ctrl-C"); };
    if (signal.aborted) press();
    signal.addEventListener("abort", press);
    const over = new AbortController();
    try {
      return await Promise.race([pressed.promise, this.#stop.promise, this.#supervisor.failed,
        this.#untilReplayed(over.signal),
        ...(durationSeconds === null ? [] : [delay(durationSeconds * 1_000, "the time is up", over)])]);
    } finally {
      over.abort();
      signal.removeEventListener("abort", press);
    }
  }

  /** A replay ends when its last bar has been traded on. */
  async #untilReplayed(signal: AbortSignal): Promise<string> {
    for (;;) {
      await delay(POLL_MS, undefined, { signal });
      const state = await simulatorState(this.#session);
      if (state?.isDone !== true) continue;
      await this.#untilCalm(signal);
      return "the replay is over";
    }
  }

  /** Until nothing more comes of the last bar, on a busy machine as well; at most QUIET_MS. */
  async #untilCalm(signal: AbortSignal): Promise<void> {
    const doneOf = ({ decisions, orders, fills, openOrders }: TallyReport): string =>
      [decisions, orders, fills, openOrders].join();
    for (let waitedMs = 0, before = ""; waitedMs < QUIET_MS; waitedMs += LAST_ORDERS_MS) {
      const done = doneOf(this.#tally.report());
      if (done === before) return;
      before = done;
      await delay(LAST_ORDERS_MS, undefined, { signal });
    }
  }

  /** What people, the dashboard and processes ask of the run. */
  async #obey(command: ControlCommand): Promise<ControlAnswer> {
    if (command.action === "status") return { isDone: true, text: "", status: this.report() };
    if (command.action === "emergency-stop") return this.#emergency(command);
    void this.#supervisor.order("recorder", command);
    if (command.action === "stop") {
      this.#stop.resolve(`asked to by ${command.by}`);
      return { isDone: true, text: "stopping" };
    }
    if (command.action === "swap-model") {
      const worker = processOf(this.#session, command.subject);
      const [answer] = await Promise.all([worker, "decision"].map((name) =>
        this.#supervisor.order(name, command)));
      return answer;
    }
    return this.#supervisor.order("execution", command);
  }

  async #emergency(command: ControlCommand): Promise<ControlAnswer> {
    if (this.#isEmergency) return { isDone: true, text: "the emergency stop is under way" };
    this.#isEmergency = true;
    const begunMs = performance.now();
    const { isDone, text, cancelMs } = await this.#supervisor.emergencyStop(command);
    const allMs = Math.round(performance.now() - begunMs);
    // The answer leaves before the door is closed.
    setTimeout(() => { this.#stop.resolve(`emergency stop by ${command.by}`); }, 20);
    const cancels = isDone ? "all cancels acknowledged" : `NOT all cancels acknowledged: ${text}`;
    return { isDone,
      text: `${cancels} after ${Math.round(cancelMs)} ms, all processes down after ${allMs} ms` };
  }

  #say(severity: AlertFact["severity"], text: string, fact?: AlertFact): void {
    this.#tally.alert(severity, fact);
    if (severity !== "info") this.#display.alert(`${severity}: ${text}`);
  }

  #address(): string | null {
    const { host } = this.#session, port = portOf(this.#session, "dashboard");
    return this.#options.isHeadless ? null : `http://${host}:${port}/?token=${this.#tokens.dashboard}`;
  }

  report(): LiveReport {
    const { id, venue, history } = this.#session, processes = this.#supervisor.status();
    return { ...this.#tally.report(), session: id, pid: process.pid, venue, dataset: history?.dataset ?? null,
      seconds: (performance.now() - this.#startedMs) / 1_000, dashboard: this.#address(), processes,
      restarts: processes.reduce((sum, { restarts }) => sum + restarts, 0),
      hops: hopsOf(this.#supervisor.meters()), ended: this.#ended };
  }
}

/** Null when it does not answer, or there is none. */
async function simulatorState(session: Session): Promise<{ isDone?: boolean } | null> {
  if (session.venue !== "simulator") return null;
  try {
    const answer = await fetch(`http://${session.host}:${portOf(session, "simulator")}/simulator/state`,
      { signal: AbortSignal.timeout(1_000) });
    return await answer.json() as { isDone?: boolean };
  } catch { return null; }
}
