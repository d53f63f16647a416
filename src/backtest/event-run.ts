/** What a replay leaves behind: one row per decision time of its run, and counts. */
import type { RiskReason } from "../strategy/risk.ts";
import type { Account } from "./event-account.ts";
import type { RunPlan } from "./event-plan.ts";

export class Run {
  /** (D) each, fractions of the equity at the start of the row. */
  readonly netReturn: Float64Array;
  /** Fees, slippage, borrow and financing. */
  readonly cost: Float64Array;
  readonly turnover: Float64Array;
  readonly grossExposure: Float64Array;
  readonly netExposure: Float64Array;
  /** Instruments with a position. */
  readonly active: Float64Array;
  /** (D + 1) equity at the start of each row and, last, at the end. */
  readonly equity: Float64Array;
  readonly members: Int32Array;
  /** (D, members) what each instrument added to the row's net return, and its own turnover. */
  readonly netShare: Float64Array;
  readonly turnoverShare: Float64Array;
  /** Limits that acted, and at how many decisions. */
  readonly reasons = new Map<RiskReason, number>();
  /** Instruments closed out because their bars ended. */
  readonly ended: number[] = [];
  /** Splits and dividends that met a position. */
  actions = 0;
  /** Cash in lieu of fractions of shares. */
  lieu = 0;
  isRuined = false;
  readonly #gain: Float64Array;
  readonly #paid: Float64Array;
  readonly #traded: Float64Array;

  constructor(plan: RunPlan, capital: number) {
    const rows = plan.rowStep.length, width = plan.members.length;
    this.members = plan.members;
    [this.netReturn, this.cost, this.turnover, this.grossExposure, this.netExposure, this.active] =
      Array.from({ length: 6 }, () => new Float64Array(rows));
    this.netShare = new Float64Array(rows * width);
    this.turnoverShare = new Float64Array(rows * width);
    [this.#gain, this.#paid, this.#traded] = Array.from({ length: 3 }, () => new Float64Array(width));
    this.equity = new Float64Array(rows + 1);
    this.equity[0] = capital;
  }

  /** Row `row` ends at this equity; the next one starts. */
  end(row: number, equity: number, account: Account): void {
    const start = this.equity[row], scale = start > 0 ? 1 / start : 0;
    this.equity[row + 1] = equity;
    this.netReturn[row] = start > 0 ? equity / start - 1 : 0;
    const width = this.members.length;
    let cost = 0, turnover = 0;
    for (let m = 0, at = row * width; m < width; m++, at++) {
      const i = this.members[m];
      const gain = account.gain[i], paid = account.paid[i], traded = account.traded[i];
      this.netShare[at] = (gain - this.#gain[m] - (paid - this.#paid[m])) * scale;
      this.turnoverShare[at] = (traded - this.#traded[m]) * scale;
      cost += paid - this.#paid[m];
      turnover += this.turnoverShare[at];
      this.#gain[m] = gain;
      this.#paid[m] = paid;
      this.#traded[m] = traded;
    }
    this.cost[row] = cost * scale;
    this.turnover[row] = turnover;
  }

  /** What is held during row `row`, once its orders are filled. */
  expose(row: number, account: Account, equity: number): void {
    if (equity <= 0) return;
    let gross = 0, net = 0, active = 0;
    for (const i of this.members) {
      const value = account.quantity[i] * account.mark[i];
      if (value === 0) continue;
      gross += Math.abs(value);
      net += value;
      active++;
    }
    this.grossExposure[row] = gross / equity;
    this.netExposure[row] = net / equity;
    this.active[row] = active;
  }
}
