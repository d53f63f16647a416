"""pandas + h5py: a long CSV (timestamp,symbol,open,high,low,close,volume) to one HDF5 file per symbol.

usage: store.py CSV FOLDER ROUNDS      prints {"peer", "values": rows per second of each round}
"""
import json
import os
import sys
import time

import h5py
import pandas as pd

source, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(folder, exist_ok=True)


def convert():
    frame = pd.read_csv(source, parse_dates=["timestamp"])
    for symbol, rows in frame.groupby("symbol", sort=False):
        with h5py.File(os.path.join(folder, f"{symbol}.h5"), "w") as file:
            file["time"] = rows["timestamp"].to_numpy().astype("datetime64[ms]").astype("float64")
            for name in ("open", "high", "low", "close", "volume"):
                file[name] = rows[name].to_numpy(dtype="float64")
    return len(frame)


values = []
for k in range(rounds + 1):
    start = time.perf_counter()
    count = convert()
    if k > 0:
        values.append(count / (time.perf_counter() - start))
print(json.dumps({"peer": f"pandas {pd.__version__} + h5py {h5py.__version__}", "values": values}))
