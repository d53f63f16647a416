/**
 * Who may hear and speak beyond this machine: CURVE (each side proves a key, everything is encrypted) and an
 * allow list of public keys, asked through ZAP (rfc.zeromq.org/spec/27). Loopback and ipc need neither; any
 * other interface without both is refused.
 *
 *   hearer --hello, its public key--> socket --key?--> inproc://zeromq.zap.01 --200 or 400--> socket
 */
import * as fs from "node:fs";
import * as path from "node:path";
import * as zmq from "zeromq";
import { UserError } from "../base/error.ts";
import { explainWrite, makeFolder } from "../base/file.ts";

/** Z85 text, 40 characters each. */
export interface Keys { readonly publicKey: string; readonly secretKey: string }
export interface Security {
  readonly keys: Keys;
  /** Who connects: the public key of the side that binds. */
  readonly serverKey?: string;
  /** Who binds: public keys of those that may connect. */
  readonly allowed?: readonly string[];
}

const KEY = /^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;

/** Makes a pair of keys in a file that only its owner can read; throws UserError where a file is already. */
export function makeKeys(place: string): Keys {
  const keys: Keys = zmq.curveKeyPair();
  try {
    makeFolder(path.dirname(place));
    fs.writeFileSync(place, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600, flag: "wx", flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw explainWrite(place, error);
    throw new UserError(`${place} already holds keys`, `move it away first: mv ${place} ${place}.old`);
  }
  return keys;
}

/** Throws UserError for a file that others can read, or that holds no keys. */
export function readKeys(place: string): Keys {
  let text: string;
  try { text = fs.readFileSync(place, "utf8"); } catch (error) {
    throw new UserError(`the wire's keys cannot be read from ${place}`,
      "copy the file from the other machine, or bind 127.0.0.1", { cause: error });
  }
  if (process.platform !== "win32" && (fs.statSync(place).mode & 0o077) !== 0) {
    throw new UserError(`others can read the keys in ${place}`, `chmod 600 ${place}`);
  }
  let keys: Partial<Keys> | null = null;
  try { keys = JSON.parse(text) as Partial<Keys> | null; } catch { /* said below */ }
  const { publicKey = "", secretKey = "" } = keys ?? {};
  if (!KEY.test(publicKey) || !KEY.test(secretKey)) {
    throw new UserError(`${place} holds no keys of the wire`, `restore it from a backup, or move it away`);
  }
  return { publicKey, secretKey };
}

/** Is it an address of this machine only? */
export const isLocal = (address: string): boolean =>
  /^(ipc:\/\/|inproc:\/\/|tcp:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\]):)/.test(address);

/** Options of a socket; throws UserError where an address leaves the machine unprotected. */
export function protect(
  addresses: readonly string[], isBound: boolean, security: Security | null, refused: (text: string) => void,
): { options: Readonly<Record<string, unknown>>; release: () => void } {
  const address = addresses.find((place) => !isLocal(place)) ?? addresses[0];
  if (security === null) {
    if (isLocal(address)) return { options: {}, release: () => undefined };
    throw new UserError(`${address} is open to other machines, and there are no keys to protect it`,
      "use 127.0.0.1, or give the wire keys and the list of those who may connect");
  }
  const { publicKey, secretKey } = security.keys;
  const own = { curvePublicKey: publicKey, curveSecretKey: secretKey };
  if (!isBound) {
    if (security.serverKey !== undefined) {
      return { options: { ...own, curveServerKey: security.serverKey }, release: () => undefined };
    }
    throw new UserError(`the public key of ${address} is not known`, "copy it from the machine that binds");
  }
  if (security.allowed === undefined || security.allowed.length === 0) {
    throw new UserError(`nobody may connect to ${address}: the allow list is empty`,
      "list the public keys of those who may, or use 127.0.0.1");
  }
  const domain = admit(new Set(security.allowed), refused);
  const release = (): void => { doors.delete(domain); };
  return { options: { ...own, curveServer: true, zapDomain: domain }, release };
}

interface Door { readonly allowed: ReadonlySet<string>; readonly refused: (text: string) => void }
/** Doors of this process by ZAP domain: libzmq has one ZAP socket a context. */
const doors = new Map<string, Door>();
/** How soon the guard sees that the last door is gone, ms; then it waits no more, and the process may end. */
const GUARD_MS = 250;
/** Never closed: its name would be free some time later only, and who opens next would find it taken. */
let guard: zmq.Reply | null = null;
let isGuarding = false;
let domains = 0;

function admit(allowed: ReadonlySet<string>, refused: (text: string) => void): string {
  if (guard === null) {
    guard = new zmq.Reply({ linger: 0, receiveTimeout: GUARD_MS });
    // Before any socket that asks it exists: an unanswered handshake would hang.
    guard.bindSync("inproc://zeromq.zap.01");
  }
  const domain = `dmn-${++domains}`;
  doors.set(domain, { allowed, refused });
  if (!isGuarding) void keepDoors(guard);
  return domain;
}

/** Answers libzmq's questions while there are doors. */
async function keepDoors(socket: zmq.Reply): Promise<void> {
  isGuarding = true;
  while (doors.size > 0) {
    let question: Buffer[];
    try { question = await socket.receive(); } catch { continue; }
    const [version, id, domain, address, , mechanism, credentials] = question;
    const door = doors.get(domain.toString());
    const key = credentials?.length === 32 ? encodeZ85(credentials) : "";
    const isAllowed = door !== undefined && mechanism.toString() === "CURVE" && door.allowed.has(key);
    const verdict = isAllowed ? ["200", "OK"] : ["400", "not on the allow list"];
    await socket.send([version, id, ...verdict, "", ""]);
    if (isAllowed) continue;
    door?.refused(`${address.toString()} came with the key ${key}, which is not on the allow list`);
  }
  isGuarding = false;
}

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
/** rfc.zeromq.org/spec/32: four bytes, big-endian, are five digits of base 85. */
export function encodeZ85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let text = "";
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const word = view.getUint32(at);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += Z85[Math.floor(word / power) % 85];
  }
  return text;
}
