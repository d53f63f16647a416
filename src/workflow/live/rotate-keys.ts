/**
 * New keys take the place of old ones: asked of the broker first, then written, whole or not at all.
 *
 *   1 make a new pair at the broker       2 set APCA_API_KEY_ID, APCA_API_SECRET_KEY, run this
 *   3 it is tried, then kept in keys.json (0600)     4 unset the variables, restart dmn live, revoke the old
 * pair
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { replaceFile } from "../../base/file.ts";
import { keyAges } from "../../live/alerts/key-age.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf } from "../../live/brokers/alpaca-hosts.ts";
import { BrokerTrouble, type Broker } from "../../live/brokers/broker.ts";
import { alpacaKeys, KEYS_FILE, readKeys, type AlpacaKeys } from "../../market/sources/keys.ts";

const NEXT = "restart dmn live, then revoke the old keys at the broker";

type Open = (keys: AlpacaKeys, context: Context) => Promise<Broker>;
const openPaper: Open = (keys, { clock, log }) =>
  openAlpacaBroker({ host: hostOf("alpaca-paper", null), keys, clock, log });

/**
 * Answers what was done and what is left to do. UserError when there are no new keys or they open nothing.
 */
export async function rotateKeys(context: Context, environment = process.env,
  open: Open = openPaper): Promise<string> {
  const { root } = context, keyId = environment["APCA_API_KEY_ID"],
    secretKey = environment["APCA_API_SECRET_KEY"];
  if (!keyId || !secretKey) {
    throw new UserError("there are no new keys", "make a pair at the broker, set APCA_API_KEY_ID and "
      + "APCA_API_SECRET_KEY to it, and run this again");
  }
  const fresh = alpacaKeys(root, environment), place = path.join(root, KEYS_FILE);
  const held = readKeys(root);
  if (held.alpaca.secretKey === fresh.secretKey) {
    throw new UserError("these keys are in use already", "make a new pair at the broker first");
  }
  await using broker = await open(fresh, context);
  try { await broker.account(); } catch (error) {
    if (!(error instanceof BrokerTrouble)) throw error;
    throw new UserError(`the new keys open no paper account: ${error.message}`,
      "the old ones stay in use; check the pair");
  }
  await replaceFile(place, (temporary) => {
    fs.writeFileSync(temporary, `${JSON.stringify({ ...held, alpaca: fresh }, null, 2)}\n`, { mode: 0o600 });
  });
  await keyAges(root, { alpaca: fresh.secretKey }, context.clock.now());
  return `the new keys work and are kept in ${place} (0600); unset the variables, ${NEXT}`;
}
