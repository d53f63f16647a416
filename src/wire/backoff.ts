/** How long to wait before trying again, and how often: the founding document's numbers. */
export const BACKOFF = { firstMs: 100, factor: 1.5, maxMs: 5_000, tries: 10 } as const;

/** Milliseconds before try `attempt` (0, 1, ...); `uniform` in [0, 1) spreads those who lost one peer. */
export function backoffMs(attempt: number, uniform: number): number {
  const whole = Math.min(BACKOFF.maxMs, BACKOFF.firstMs * BACKOFF.factor ** attempt);
  return whole * (0.5 + uniform / 2);
}
