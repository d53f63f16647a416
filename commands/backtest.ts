import { UserError } from "../src/base/error.ts";
import { backtest, BACKTEST_DEFAULTS, formulasText, reportText, resultJson, type BacktestOptions }
  from "../src/workflow/backtest.ts";
import { command } from "./command.ts";

export default command({
  summary: "tell what a strategy would have earned, after costs and without looking ahead",
  flags: ["dataset", "strategy", "benchmark", "from", "to", "windows", "windowYears", "costBps", "borrowBps",
    "financingBps", "lag", "volatilityTarget", "portfolio", "portfolioTarget", "weightMax", "engine",
    "capital", "fractional", "slippageBps", "halfSpread", "participationMax", "inSample", "device",
    "precision", "json", "report", "formulas"],
  required: [],
  examples: [
    ["dmn backtest --dataset demo --strategy tsmom", "one window over all days"],
    ["dmn backtest --dataset demo --strategy macd --windows 2005,2010,2015 --cost-bps 2",
      "walk-forward windows, net"],
    ["dmn backtest --dataset demo --strategy tsmom --report tsmom.html", "and the report as a page"],
    ["dmn backtest --dataset demo --strategy model:demo-lstm", "a trained network, all its seeds"],
    ["dmn backtest --dataset demo --strategy model:demo-lstm --device cuda", "its networks on the GPU"],
    ["dmn backtest --dataset demo --strategy ensemble:model:demo-lstm,tsmom",
      "several as one; +adaptive at its end: more of what does better"],
    ["dmn backtest --formulas", "what each number means"],
  ],
  async run({ json, formulas, fractional, halfSpread, inSample, lag, ...flags }, context) {
    if (formulas) return formulasText();
    const { dataset, strategy, ...given } = flags;
    if (dataset === undefined || strategy === undefined) {
      throw new UserError(`which ${dataset === undefined ? "dataset" : "strategy"}?`,
        "for example: dmn backtest --dataset demo --strategy tsmom");
    }
    const options: BacktestOptions = { ...BACKTEST_DEFAULTS, ...given, dataset, strategy,
      lag: lag === "1" ? 1 : 0, isFractional: fractional === true,
      isHalfSpreadCharged: halfSpread === true, isInSample: inSample === true };
    const { result, report } = await backtest(options, context);
    if (json) return resultJson(result, report);
    return report === null ? reportText(result) : `${reportText(result)}\nreport: ${report}`;
  },
});
