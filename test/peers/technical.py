"""TA-Lib on the columns that both have.

usage: technical.py BARS ROWS ROUNDS COLUMNS      file: float64 open, high, low, close, volume, one after the other
prints {"peer", "values": values per second of each round}
"""
import json
import sys
import time

import numpy as np
import talib

source, rows, rounds, columns = sys.argv[1], *map(int, sys.argv[2:5])
o, h, l, c, v = np.fromfile(source).reshape(5, rows)


def compute():
    out = [talib.RSI(c, w) for w in (2, 7, 14, 21, 28, 50)]
    out += talib.MACD(c, 12, 26, 9)
    for w in (10, 20, 50, 100):
        out += talib.BBANDS(c, w, 2, 2)
    out += [talib.MOM(c, 10)]
    out += [talib.ROC(c, w) for w in (1, 2, 3, 5, 10, 21, 42, 63, 126, 252)]
    out += [talib.ATR(h, l, c, 14)] + [talib.NATR(h, l, c, w) for w in (7, 14, 21, 50)]
    for w in (7, 14, 28):
        out += [talib.PLUS_DI(h, l, c, w), talib.MINUS_DI(h, l, c, w), talib.ADX(h, l, c, w)]
    for w in (5, 9, 14, 21, 50):
        out += talib.STOCHF(h, l, c, w, 3)
    out += [talib.WILLR(h, l, c, 14)] + [talib.CCI(h, l, c, w) for w in (14, 20, 50)]
    out += [talib.MFI(h, l, c, v, w) for w in (7, 14, 28)]
    out += [talib.SMA(c, w) for w in (5, 10, 20, 50, 100, 200)]
    out += [talib.EMA(c, w) for w in (5, 10, 20, 50, 100, 200)]
    return out


assert len(compute()) == columns, f"{len(compute())} columns here, {columns} there"
values = []
for k in range(rounds + 1):
    start = time.perf_counter()
    made = compute()
    if k > 0:
        values.append(rows * columns / (time.perf_counter() - start))
print(json.dumps({"peer": f"TA-Lib {talib.__version__}", "values": values}))
