"""Peer of `dmn bench training`: one training step in PyTorch on the CPU, its best settings.

    python torch_training.py '{"model": "lstm", "B": 128, "T": 63, "features": 8, "hidden": 64, ...}'

Prints {peer, values (ms: quartiles of the steps), peakMib}. The caller sets glibc's malloc so that memory is
not given back between steps. Fused Adam and scaled_dot_product_attention; torch.compile gains nothing here.
"""
import json
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional

spec = json.loads(sys.argv[1])
B, T, F = spec["B"], spec["T"], spec["features"]
torch.set_num_threads(spec["threads"])
torch.set_flush_denormal(True)
torch.manual_seed(0)


class Lstm(nn.Module):
    def __init__(self, hidden, layers):
        super().__init__()
        self.lstm = nn.LSTM(F, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return torch.tanh(self.head(self.lstm(x)[0])).squeeze(-1)


class Layer(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        rows, steps, width = x.shape
        split = self.qkv(self.norm1(x)).view(rows, steps, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, steps, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Encoder(nn.Module):
    def __init__(self, width, heads, layers, inner):
        super().__init__()
        self.embed = nn.Linear(F, width)
        self.layers = nn.Sequential(*[Layer(width, heads, inner) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x):
        return torch.tanh(self.head(self.norm(self.layers(self.embed(x))))).squeeze(-1)


if spec["model"] == "lstm":
    network = Lstm(spec["hidden"], spec["layers"])
else:
    network = Encoder(spec["width"], spec["attentionHeads"], spec["layers"], spec["width"] * spec["feedForward"])
parameters = list(network.parameters())
adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
batches = [(torch.randn(B, T, F), 0.01 * torch.randn(B, T)) for _ in range(8)]


def step(at):
    features, target = batches[at % len(batches)]
    adam.zero_grad(set_to_none=True)
    position = network(features)
    captured = position * target
    mean = captured.mean()
    deviation = torch.sqrt((captured * captured).mean() - mean * mean + 1e-9)
    loss = -mean / deviation * 252 ** 0.5 + 1e-2 * (position[:, 1:] - position[:, :-1]).abs().mean()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    adam.step()


for at in range(10):
    step(at)
times = []
start = time.perf_counter()
while len(times) < 10 or time.perf_counter() - start < spec["seconds"]:
    before = time.perf_counter()
    step(len(times))
    times.append((time.perf_counter() - before) * 1000)
times.sort()
quartiles = [times[int(len(times) * share)] for share in (0.25, 0.5, 0.75)]
print(json.dumps({"peer": f"PyTorch {torch.__version__.split('+')[0]}", "values": quartiles,
                  "peakMib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
