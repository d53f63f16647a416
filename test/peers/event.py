"""backtesting.py and NautilusTrader: bars replayed through a strategy that trades on each bar.

usage: event.py backtesting|nautilus PRICES WEIGHTS DAYS INSTRUMENTS ROUNDS   files: float64, row major (D, N)
prints {"peer", "values": bars per second of each round}
"""
import json
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
which, prices = sys.argv[1:3]
days, count, rounds = map(int, sys.argv[4:7])
close = np.fromfile(prices, count=days * count).reshape(days, count)
index = pd.date_range("1990-01-01", periods=days, freq="1D", tz="UTC")


def run_backtesting():
    import backtesting
    from backtesting import Backtest, Strategy

    backtesting.set_bokeh_output = None
    backtesting.backtesting._tqdm = lambda sequence, **_: sequence

    class EveryBar(Strategy):
        def init(self):
            pass

        def next(self):
            if self.position.is_long:
                self.position.close()
            else:
                self.buy(size=0.5)

    def once():
        for k in range(count):
            column = close[:, k]
            frame = pd.DataFrame({"Open": column, "High": column, "Low": column, "Close": column, "Volume": 1e6},
                                 index=index.tz_localize(None))
            Backtest(frame, EveryBar, cash=1e6, commission=0.0001, finalize_trades=True).run()

    return f"backtesting.py {backtesting.__version__}", once


def run_nautilus():
    import nautilus_trader
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import Bar, BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    instruments = [TestInstrumentProvider.equity(symbol=f"S{k}", venue="XNAS") for k in range(count)]
    types = [BarType.from_str(f"{i.id}-1-DAY-LAST-EXTERNAL") for i in instruments]
    stamps = (index.as_unit("ns").asi8).tolist()
    size = Quantity.from_int(1_000_000)
    bars = []
    for t, stamp in enumerate(stamps):
        for k in range(count):
            price = Price(close[t, k], 2)
            bars.append(Bar(types[k], price, price, price, price, size, stamp, stamp))

    class EveryBar(Strategy):
        def on_start(self):
            self.held = {}
            for kind in types:
                self.subscribe_bars(kind)

        def on_bar(self, bar):
            instrument = bar.bar_type.instrument_id
            held = self.held.get(instrument, False)
            side = OrderSide.SELL if held else OrderSide.BUY
            self.submit_order(self.order_factory.market(instrument, side, Quantity.from_int(100)))
            self.held[instrument] = not held

    def once():
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(Venue("XNAS"), OmsType.NETTING, AccountType.MARGIN, [Money(1e9, USD)], base_currency=USD)
        for instrument in instruments:
            engine.add_instrument(instrument)
        engine.add_data(bars)
        engine.add_strategy(EveryBar())
        start = time.perf_counter()
        engine.run()
        spent = time.perf_counter() - start
        engine.dispose()
        return spent

    return f"NautilusTrader {nautilus_trader.__version__}", once


name, once = run_backtesting() if which == "backtesting" else run_nautilus()
values = []
for k in range(rounds + 1):
    start = time.perf_counter()
    # An engine that loads its data apart from the replay says how long the replay alone took.
    spent = once() or time.perf_counter() - start
    if k > 0:
        values.append(days * count / spent)
print(json.dumps({"peer": name, "values": values}))
