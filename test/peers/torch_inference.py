"""Peer of `dmn bench inference`: PyTorch's LSTM with a tanh head on the CPU, one thread, inference mode.

    python torch_inference.py '{"features": 8, "hidden": 64, "layers": 1, "B": 1, "T": 1, "isCarried": true, "runs": 200}'

Prints {peer, values (ms of each run)}.
"""
import json
import sys
import time

import torch
from torch import nn

spec = json.loads(sys.argv[1])
torch.set_num_threads(1)
torch.set_flush_denormal(True)
torch.manual_seed(0)
lstm = nn.LSTM(spec["features"], spec["hidden"], spec["layers"], batch_first=True).eval()
head = nn.Linear(spec["hidden"], 1).eval()
features = torch.randn(spec["B"], spec["T"], spec["features"])
state = None
times = []
with torch.inference_mode():
    for run in range(-20, spec["runs"]):
        start = time.perf_counter()
        hidden, last = lstm(features, state)
        position = torch.tanh(head(hidden)).squeeze(-1).numpy()
        if run >= 0:
            times.append((time.perf_counter() - start) * 1000)
        if spec["isCarried"]:
            state = last
print(json.dumps({"peer": f"PyTorch {torch.__version__.split('+')[0]}", "values": times}))
