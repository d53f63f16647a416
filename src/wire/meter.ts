/**
 * How long things take, without keeping them: log-linear histograms in the manner of HdrHistogram (G. Tene).
 * 64 buckets an octave, so a quantile is at most 0.8 % off, from 0.1 us to 7 minutes, in 15 KiB; recording
 * allocates nothing and costs some nanoseconds (`createHistogram` of node:perf_hooks costs a call into C++
 * each time).
 *
 *   0 .. 63 | 64 65 .. 127 | 128 130 .. 254 | 256 260 .. 508 | ...      tenths of a microsecond
 *
 * Coordinated omission: measure from the time at which something *should* have been sent (packet.sent is
 * taken before queueing), or give `recordPaced` the interval at which a closed loop should have asked.
 */
const PER_OCTAVE = 64, LINEAR_BITS = 6;
const BUCKETS = (32 - LINEAR_BITS + 1) * PER_OCTAVE;
const UNITS_PER_US = 10, UNITS_MAX = 0xffffffff;
/** Records that `recordPaced` adds for one long wait, at most. */
const PACED_MAX = 100_000;

/** Microseconds, how many of them. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  count = 0;
  sum = 0;
  max = 0;

  record(us: number): void {
    // Not below 0 (a clock read twice), not NaN.
    const units = us > 0 ? Math.min(us * UNITS_PER_US, UNITS_MAX) >>> 0 : 0;
    const shift = Math.max(0, 31 - Math.clz32(units) - LINEAR_BITS);
    this.#counts[shift * PER_OCTAVE + (units >>> shift)]++;
    this.count++;
    if (us > 0) this.sum += us;
    if (us > this.max) this.max = us;
  }

  /** Of a closed loop, asking each `intervalUs`: a long answer also delayed questions that were not asked. */
  recordPaced(us: number, intervalUs: number): void {
    this.record(us);
    let left = PACED_MAX;
    for (let late = us - intervalUs; late >= intervalUs && left-- > 0; late -= intervalUs) this.record(late);
  }

  /** The middle of the bucket in which the `share`-th smallest lies, us; NaN of nothing. */
  quantile(share: number): number {
    if (this.count === 0) return NaN;
    const rank = Math.max(1, Math.ceil(share * this.count));
    for (let k = 0, seen = 0; k < BUCKETS; k++) {
      seen += this.#counts[k];
      if (seen >= rank) return Math.min(middleOf(k), this.max);
    }
    return this.max;
  }

  /** Adds what another one has counted. */
  merge(other: Histogram): void {
    for (let k = 0; k < BUCKETS; k++) this.#counts[k] += other.#counts[k];
    this.count += other.count;
    this.sum += other.sum;
    this.max = Math.max(this.max, other.max);
  }

  clear(): void {
    this.#counts.fill(0);
    this.count = 0; this.sum = 0; this.max = 0;
  }
}

/** Of bucket k: units u with u >>> shift = mantissa. Below 128 units a bucket is one unit. */
function middleOf(k: number): number {
  const shift = k < 2 * PER_OCTAVE ? 0 : (k >>> LINEAR_BITS) - 1;
  const low = (k - shift * PER_OCTAVE) * 2 ** shift;
  return (low + (2 ** shift - 1) / 2) / UNITS_PER_US;
}

/** As live/message.ts says it: MeterRow. */
export interface Reading {
  readonly name: string;
  readonly count: number; readonly errors: number; readonly bytes: number;
  /** Microseconds; NaN of nothing. */
  readonly mean: number;
  readonly p50: number; readonly p95: number; readonly p99: number; readonly p999: number;
  readonly max: number;
  readonly perSecond: number;
  readonly compression: number;
}

/** One stretch of time. */
class Tally {
  readonly histogram = new Histogram();
  bytes = 0; plainBytes = 0; errors = 0;
  merge({ histogram, bytes, plainBytes, errors }: Tally): void {
    this.histogram.merge(histogram);
    this.bytes += bytes; this.plainBytes += plainBytes; this.errors += errors;
  }
  clear(): void { this.histogram.clear(); this.bytes = 0; this.plainBytes = 0; this.errors = 0; }
}

/** One thing that is measured: now and since the start. */
export class Meter {
  readonly name: string;
  readonly total = new Tally();
  /** This window's, and the one before: a reading never is of less than a window once one has passed. */
  readonly current = new Tally();
  readonly previous = new Tally();
  constructor(name: string) { this.name = name; }

  record(us: number, bytes = 0, plainBytes = bytes): void {
    this.current.histogram.record(us);
    this.current.bytes += bytes;
    this.current.plainBytes += plainBytes;
  }
  fail(): void { this.current.errors++; }
}

/** All meters of a process. */
export class Meters {
  readonly #meters = new Map<string, Meter>();
  readonly #windowNs: number;
  readonly #start: number;
  #turned: number;
  #turnedBefore: number;

  /** `now`: monotonic ns. */
  constructor(now: number, windowMs = 10_000) {
    this.#windowNs = windowMs * 1e6;
    this.#start = this.#turned = this.#turnedBefore = now;
  }

  /** The meter of that name; ask once and keep it where it is hot. */
  of(name: string): Meter {
    let meter = this.#meters.get(name);
    if (meter === undefined) this.#meters.set(name, meter = new Meter(name));
    return meter;
  }

  /** Of the last one to two windows, or since the start. `now`: monotonic ns; to be called each second. */
  rows(now: number, since: "window" | "start" = "window"): Reading[] {
    if (now - this.#turned >= this.#windowNs) this.#turn(now);
    const from = since === "window" ? this.#turnedBefore : this.#start;
    return [...this.#meters.values()].map(({ name, total, current, previous }) => {
      const tally = new Tally();
      tally.merge(current);
      tally.merge(since === "window" ? previous : total);
      return readingOf(name, tally, (now - from) / 1e9);
    });
  }

  #turn(now: number): void {
    this.#turnedBefore = this.#turned;
    this.#turned = now;
    for (const { total, current, previous } of this.#meters.values()) {
      total.merge(current);
      previous.clear();
      previous.merge(current);
      current.clear();
    }
  }
}

function readingOf(name: string, { histogram, bytes, plainBytes, errors }: Tally, seconds: number): Reading {
  const { count, sum, max } = histogram;
  return {
    name, count, errors, bytes, mean: count === 0 ? NaN : sum / count, max: count === 0 ? NaN : max,
    p50: histogram.quantile(0.5), p95: histogram.quantile(0.95), p99: histogram.quantile(0.99),
    p999: histogram.quantile(0.999),
    perSecond: seconds > 0 ? count / seconds : 0, compression: bytes === 0 ? 1 : plainBytes / bytes,
  };
}
