"""vectorbt: target weights over a panel, rebalanced every bar, one shared cash account.

usage: vectorised.py PRICES WEIGHTS DAYS INSTRUMENTS ROUNDS    files: float64, row major (D, N)
prints {"peer", "values": bar-instruments per second of each round, "total": last equity / first}
"""
import json
import sys
import time

import numpy as np
import pandas as pd
import vectorbt as vbt

prices, weights, days, count, rounds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
close = pd.DataFrame(np.fromfile(prices).reshape(days, count))
size = pd.DataFrame(np.fromfile(weights).reshape(days, count))


def backtest():
    folio = vbt.Portfolio.from_orders(
        close, size=size, size_type="targetpercent", group_by=True, cash_sharing=True, fees=0.0001, call_seq="auto",
        freq="1D", init_cash=1e6)
    returns = folio.returns()
    return float((1 + returns).prod()), float(folio.sharpe_ratio())


values = []
for k in range(rounds + 1):
    start = time.perf_counter()
    total, sharpe = backtest()
    if k > 0:
        values.append(days * count / (time.perf_counter() - start))
print(json.dumps({"peer": f"vectorbt {vbt.__version__}", "values": values, "total": total, "sharpe": sharpe}))
