/**
 * Keys of vendors: from the environment, else from `keys.json` in the data root, which nobody but
 * its owner may read.
 *
 *   { "massive": { "apiKey": "..." }, "alpaca": { "keyId": "...", "secretKey": "..." } }  chmod 600
 *
 * A key is sent in a header and goes nowhere else: not into an address, an error, a log or a
 * manifest. What vendors answer passes through `redact` before anybody sees it.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { UserError } from "../../base/error.ts";

export const KEYS_FILE = "keys.json";
export type Environment = Readonly<Record<string, string | undefined>>;

const key = z.string().trim().min(1).optional();
const keysSchema = z.strictObject({
  massive: z.strictObject({ apiKey: key }).prefault({}),
  alpaca: z.strictObject({ keyId: key, secretKey: key }).prefault({}),
});
type Keys = z.infer<typeof keysSchema>;

/** There is none, which matters only to who wants to fetch from there. */
export class NoKeyError extends UserError {}

export interface MassiveKeys { readonly apiKey: string }
export interface AlpacaKeys { readonly keyId: string; readonly secretKey: string }

/** Throws NoKeyError when there is none, UserError when the file may be read by others. */
export function massiveKeys(root: string, environment: Environment = process.env): MassiveKeys {
  const apiKey = environment["MASSIVE_API_KEY"] || environment["POLYGON_API_KEY"]
    || readKeys(root).massive.apiKey;
  if (!apiKey) {
    throw absent("massive", 'set MASSIVE_API_KEY, or write {"massive":{"apiKey":"..."}} to', root);
  }
  return { apiKey: checked(apiKey, "the key of massive") };
}

/** Throws NoKeyError when one of the two is missing, UserError when the file may be read by others. */
export function alpacaKeys(root: string, environment: Environment = process.env): AlpacaKeys {
  const variables = [environment["APCA_API_KEY_ID"], environment["APCA_API_SECRET_KEY"]];
  const file = variables.every(Boolean) ? {} : readKeys(root).alpaca;
  const keyId = variables[0] || file.keyId, secretKey = variables[1] || file.secretKey;
  if (!keyId || !secretKey) {
    throw absent("alpaca", `set APCA_API_KEY_ID and APCA_API_SECRET_KEY, or write ` +
      `{"alpaca":{"keyId":"...","secretKey":"..."}} to`, root);
  }
  return {
    keyId: checked(keyId, "the key id of alpaca"),
    secretKey: checked(secretKey, "the secret of alpaca"),
  };
}

/** Replaces every occurrence of a secret. */
export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, "[redacted]"), text);
}

function absent(vendor: string, how: string, root: string): NoKeyError {
  return new NoKeyError(`no key for ${vendor}`, `${how} ${path.join(root, KEYS_FILE)} (chmod 600)`);
}

/**
 * A key travels in a header: anything but visible ASCII is a slip of copy and paste. Never shows
 * the key.
 */
function checked(secret: string, what: string): string {
  if (/^[\x21-\x7e]+$/.test(secret)) return secret;
  throw new UserError(`${what} holds a blank or a character that no key has`,
    "copy it again, without blanks or line ends");
}

/** What the file holds. UserError when others may read it, or it holds something else; no key is shown. */
export function readKeys(root: string): Keys {
  const place = path.join(root, KEYS_FILE);
  if (!fs.existsSync(place)) return keysSchema.parse({});
  const mode = fs.statSync(place).mode & 0o777;
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    throw new UserError(`${place} may be read by others (mode ${mode.toString(8)})`,
      `keep it to yourself: chmod 600 ${place}`);
  }
  let parsed: unknown;
  try { parsed = JSON.parse(fs.readFileSync(place, "utf8")); } catch {
    // JSON.parse quotes the text it stumbles over, which here may be a key.
    throw new UserError(`${place} is not valid JSON`,
      "mend it, or remove it and set the environment variables");
  }
  const result = keysSchema.safeParse(parsed);
  if (result.success) return result.data;
  const at = result.error.issues[0].path.join(".");
  throw new UserError(`${place} does not hold keys as expected${at === "" ? "" : ` (at "${at}")`}`,
    'expected: {"massive":{"apiKey":"..."},"alpaca":{"keyId":"...","secretKey":"..."}}');
}
