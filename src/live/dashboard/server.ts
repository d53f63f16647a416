/**
 * The dashboard: one page, live by server-sent events, on loopback.
 *
 *   GET /             the page (with ?token=... once: a cookie, then the bare address)
 *   GET /api/events   server-sent events: everything once, then the sections that changed, twice a second
 *   GET /api/state    everything as JSON; GET /api/SECTION one section
 *   POST /api/control {"action": "halt" | "resume" | ..., "value": ""}: passed on, and its outcome answered
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { messageOf, UserError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { Actor } from "../actor.ts";
import { SPOKEN_CODES, type ControlCommand, type Kind } from "../message.ts";
import type { EquityPoint } from "../recorder/database.ts";
import type { Session } from "../session.ts";
import { SECTIONS, showOn, startBoard, type Board } from "./board.ts";
import { cookieOf, hasToken, isSame, proofOf, refusalOf, type Guard } from "./guard.ts";
import { pageOf } from "./page.ts";
import { CLIENTS_MAX, eventOf, openStreams, type Streams } from "./streams.ts";
import { changedView, forgetChanges, viewOf, wholeView, type Monitors } from "./view.ts";

/** Between two looks at what changed, and between two signs of life, ms. */
const FLUSH_MS = 500, BEAT_MS = 5000;
/** Longest order, characters. */
const ORDER_MAX = 4096;

/** What the page's buttons ask for. */
export const CONTROLS = ["halt", "reduce", "resume", "flatten", "emergency-stop"] as const satisfies
  readonly ControlCommand["action"][];
export type Control = (typeof CONTROLS)[number];

export interface DashboardOptions {
  readonly session: Session;
  /** 0: a free one; `address` tells. */
  readonly port: number;
  readonly token: string;
  /** Carries out what a button asks; its sentence is shown. May reject: that is shown too. */
  readonly control: (action: Control, by: string, subject: string, value: string) =>
    Promise<{ readonly ok: boolean; readonly text: string }>;
  readonly monitors: Monitors;
  readonly log: Log;
  /** What the session has recorded before: a monitor that comes back goes on from there. */
  readonly recorded?: readonly EquityPoint[];
}
export interface Dashboard extends AsyncDisposable {
  /** With the token: open it once. */
  readonly address: string;
  /** Hears what is shown; says nothing. */
  readonly actor: Actor;
  /** Browsers that listen now, and those that were cut off because they did not read. */
  readonly clients: () => { readonly listening: number; readonly cutOff: number };
}
/** What an answer is made of. */
interface Desk {
  readonly options: DashboardOptions;
  readonly board: Board;
  readonly streams: Streams;
  readonly guard: Guard;
  readonly page: ReturnType<typeof pageOf>;
}

/** What nothing is shown of. */
const UNHEARD: readonly Kind[] = ["features", "quote", "notice", "decision", "settled", "control"];
const HEARS = (Object.keys(SPOKEN_CODES) as Kind[]).filter((kind) => !UNHEARD.includes(kind));

/** Starts to listen. UserError when the port is taken. */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { session, token, log } = options, streams = openStreams();
  const board = startBoard(session, options.recorded);
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 8192 });
  const port = await listenOn(server, options.port), guard: Guard = { port, token };
  const desk: Desk = { options, board, streams, guard, page: pageOf(proofOf(guard)) };
  server.on("request", (request, response) => {
    answer(desk, request, response).catch((error: unknown) => {
      log.warn({ reason: messageOf(error) }, "the dashboard could not answer");
      if (!response.headersSent) refuse(response, 500, "the dashboard could not answer");
    });
  });
  const timers = [setInterval(() => { tellChanges(desk); }, FLUSH_MS),
    setInterval(() => { streams.send(eventOf({}, "beat")); }, BEAT_MS)];
  return {
    address: `http://127.0.0.1:${port}/?token=${token}`,
    clients: () => ({ listening: streams.listening, cutOff: streams.cutOff }),
    actor: { name: "dashboard", hears: HEARS,
      handle(message, now) {
        if (message.kind !== "tick") showOn(board, message, now);
        return [];
      } },
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearInterval(timer);
      streams.close(eventOf({}, "closing"));
      await new Promise<void>((resolve) => {
        server.close(() => { resolve(); });
        server.closeAllConnections();
      });
    },
  };
}

function tellChanges({ board, streams, options }: Desk): void {
  // Without a listener the changes are only forgotten: who comes gets everything.
  if (streams.listening === 0) { forgetChanges(board); return; }
  const view = changedView(board, options.monitors);
  if (view !== null) streams.send(eventOf(view));
}

async function answer(desk: Desk, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { guard, board, options: { monitors } } = desk, refusal = refusalOf(guard, request);
  if (refusal !== null) { refuse(response, refusal.status, refusal.text); return; }
  const { pathname, searchParams } = new URL(request.url ?? "/", `http://127.0.0.1:${guard.port}`);
  const token = searchParams.get("token");
  if (pathname === "/" && token !== null && isSame(token, guard.token)) {
    response.writeHead(303, { ...HEADERS, location: "/", "set-cookie": cookieOf(guard) }).end();
  } else if (!hasToken(guard, request.headers)) {
    refuse(response, 401, "open the whole address that `dmn live` printed, with its token");
  } else if (request.method === "POST") await obey(desk, pathname, request, response);
  else if (pathname === "/") {
    response.writeHead(200, { ...HEADERS, "content-type": "text/html; charset=utf-8",
      "content-security-policy": desk.page.policy }).end(desk.page.text);
  } else if (pathname === "/api/events") listen(desk, response);
  else if (pathname === "/api/state") reply(response, 200, wholeView(board, monitors));
  else {
    const name = SECTIONS.find((one) => pathname === `/api/${one}`);
    if (name === undefined) refuse(response, 404, "there is nothing at this address");
    else reply(response, 200, viewOf(name, board, monitors));
  }
}

function listen(desk: Desk, response: ServerResponse): void {
  // What waits for the others is in the whole view already: told now, it is not told twice.
  tellChanges(desk);
  const { board, streams, options: { monitors } } = desk;
  if (streams.listening >= CLIENTS_MAX) {
    refuse(response, 503, "too many pages listen already: close one");
    return;
  }
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream; charset=utf-8" });
  streams.add(response, eventOf(wholeView(board, monitors)));
}

async function obey({ options }: Desk, pathname: string, request: IncomingMessage,
  response: ServerResponse): Promise<void> {
  if (pathname !== "/api/control") { refuse(response, 404, "there is nothing at this address"); return; }
  const order = orderIn(await bodyOf(request));
  if (order === null) { refuse(response, 400, `an order is one of ${CONTROLS.join(", ")}`); return; }
  options.log.warn(order, "ordered from the dashboard");
  try {
    reply(response, 200, await options.control(order.action, "dashboard", "", order.value));
  } catch (error) { reply(response, 200, { ok: false, text: messageOf(error) }); }
}

const HEADERS = {
  "cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
  "x-frame-options": "DENY", "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
} as const;

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { ...HEADERS, "content-type": "application/json; charset=utf-8" })
    .end(JSON.stringify(value));
}
const refuse = (response: ServerResponse, status: number, text: string): void => {
  reply(response, status, { ok: false, text });
};

async function listenOn(server: Server, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(port, "127.0.0.1", resolve);
  try { await promise; } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new UserError(`port ${port} of the dashboard is in use`,
      "stop what uses it (dmn live stop), or choose other ports: dmn live --port-base N", { cause: error });
  }
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += String(piece);
    if (text.length > ORDER_MAX) { request.destroy(); break; }
  }
  return text;
}

/** Null for what is no order of ours. */
function orderIn(text: string): { action: Control; value: string } | null {
  let parsed: unknown;
  try { parsed = JSON.parse(text); } catch { return null; }
  if (typeof parsed !== "object" || parsed === null) return null;
  const { action, value = "" } = parsed as { action?: unknown; value?: unknown };
  const known = CONTROLS.find((one) => one === action);
  if (known === undefined || typeof value !== "string" || value.length > 200) return null;
  return { action: known, value };
}
