/**
 * client_order_id = f(strategy, symbol, decision time, leg): whoever computes it again, after whatever
 * crash, gets the same, and the broker refuses the second.
 *
 *     lstm-equity-BRK.B-mi6k2x00-0       strategy - symbol - decided at (ms, base 36) - leg (base 36)
 *
 * At most 48 characters of [A-Za-z0-9._-]. A name that has others or is too long keeps its beginning and
 * gets a part of its hash, so that two names never meet.
 */
import { hashOf } from "../../base/file.ts";

const STRATEGY_MAX = 18;
const SYMBOL_MAX = 14;
/** Of the hash, hexadecimal: among 10,000 names of one beginning two meet once in 20,000 sessions. */
const DIGITS = 10;

/** `leg` counts the orders that one decision needs for one symbol, from 0. `decidedAt`: UTC ms. */
export function orderId(strategy: string, symbol: string, decidedAt: number, leg: number): string {
  return `${ownPrefix(strategy)}${shorten(symbol, SYMBOL_MAX)}-${decidedAt.toString(36)}-${leg.toString(36)}`;
}

/** With which all ids of this strategy begin. */
export const ownPrefix = (strategy: string): string => `${shorten(strategy, STRATEGY_MAX)}-`;

export interface IdParts { readonly decidedAt: number; readonly leg: number }

/** What an id says, or null when it is not one of this strategy for this symbol. */
export function readOrderId(id: string, strategy: string, symbol: string): IdParts | null {
  const start = `${ownPrefix(strategy)}${shorten(symbol, SYMBOL_MAX)}-`;
  if (!id.startsWith(start)) return null;
  const match = /^([0-9a-z]{1,10})-([0-9a-z]{1,4})$/.exec(id.slice(start.length));
  if (match === null) return null;
  const parts = { decidedAt: Number.parseInt(match[1], 36), leg: Number.parseInt(match[2], 36) };
  return orderId(strategy, symbol, parts.decidedAt, parts.leg) === id ? parts : null;
}

function shorten(name: string, most: number): string {
  const clean = name.replace(/[^A-Za-z0-9._]/g, ".");
  if (clean === name && name.length <= most) return name;
  return `${clean.slice(0, most - 1 - DIGITS)}_${hashOf(name).slice(0, DIGITS)}`;
}
