"""Ten training steps of the LSTM network by PyTorch: python torch_lstm_steps.py > ../fixtures/torch-lstm-steps.json

torch.nn.LSTM -> dropout by given masks -> Linear -> tanh; Sharpe loss net of costs, turnover, CVaR and volatility
deviation; clip_grad_norm_; AdamW; the last layer cut to norm 3. In float64 (gradients, moments, parameters, losses)
and once more in float32 (losses). Weights are in PyTorch's own layout; inputs and masks follow the formulas below.
"""
import json
import math

import torch

F, H, B, T, STEPS = 8, 12, 10, 20, 10
BPS, RATE, DECAY, CLIP = 2.0, 0.01, 0.02, 0.5
WEIGHTS = {"sharpe": 1.0, "turnover": 0.1, "cvar": 5.0, "volatilityDeviation": 0.5}


def grid(*sizes):
    return torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in sizes], indexing="ij")


def batch(k, dtype):
    """Batch of step k. The last sequences are padded: the one before last from step 13 on, the last from 5 on."""
    b, t, f = grid(B, T, F)
    features = torch.sin(1.3 * b + 0.7 * t + 2.1 * f + 0.9 * k) + 0.5 * torch.cos(0.31 * b * t + f)
    b, t = grid(B, T)
    target = 0.01 * torch.sin(2.7 * b + 1.9 * t + 0.4 * k) + 0.002
    scale = 1.2 + torch.cos(0.8 * b + 0.05 * t)
    weight = torch.ones(B, T)
    weight[B - 2, 13:] = 0
    weight[B - 1, 5:] = 0
    t, b, h = grid(T, B, H)
    mask = ((7 * b + 11 * t + 13 * h + 5 * k) % 10 >= 3).double() / 0.7
    return [x.to(dtype) for x in (features, target, weight, scale, mask)]


def initial():
    g = torch.Generator().manual_seed(1997)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    dense = draw(1, H)
    return {"weight_ih_l0": 0.3 * draw(4 * H, F), "weight_hh_l0": 0.25 * draw(4 * H, H),
            "bias_ih_l0": 0.1 * draw(4 * H),
            # Norm 3.005: the first projection has something to do.
            "weight": 3.005 * dense / dense.norm(), "bias": 0.1 * draw(1)}


def loss_of(position, target, weight, scale):
    held = position * scale
    joint = weight[:, 1:] * weight[:, :-1]
    change = (held[:, 1:] - held[:, :-1]).abs() * joint
    cost = torch.nn.functional.pad(change, (1, 0)) * BPS * 1e-4
    net = (position * target - cost)[weight == 1]
    deviation = torch.sqrt(((net - net.mean()) ** 2).mean() + 1e-9)
    losses = torch.sort(-net, descending=True).values
    tail = 0.05 * len(losses)
    whole = math.floor(tail)
    terms = {
        "sharpe": -net.mean() / deviation * math.sqrt(252),
        "turnover": change.sum() / joint.sum(),
        "cvar": (losses[:whole].sum() + (tail - whole) * losses[whole]) / tail,
        "volatilityDeviation": (deviation * math.sqrt(252) - 0.15).abs(),
    }
    return sum(WEIGHTS[name] * term for name, term in terms.items()), terms


def train(dtype):
    start = initial()
    lstm, dense = torch.nn.LSTM(F, H).to(dtype), torch.nn.Linear(H, 1).to(dtype)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
            getattr(lstm, name).copy_(start[name])
        dense.weight.copy_(start["weight"])
        dense.bias.copy_(start["bias"])
        # We have one bias; PyTorch's second stays zero.
        lstm.bias_hh_l0.zero_().requires_grad_(False)
    named = {"weight_ih_l0": lstm.weight_ih_l0, "weight_hh_l0": lstm.weight_hh_l0, "bias_ih_l0": lstm.bias_ih_l0,
             "weight": dense.weight, "bias": dense.bias}
    adam = torch.optim.AdamW(named.values(), lr=RATE, weight_decay=DECAY)
    flat = lambda values: {name: value.detach().flatten().tolist() for name, value in values.items()}
    out = {"losses": [], "terms": [], "norms": []}
    for k in range(STEPS):
        features, target, weight, scale, mask = batch(k, dtype)
        adam.zero_grad()
        hidden, _ = lstm(features.transpose(0, 1))
        position = torch.tanh(dense(hidden * mask)).squeeze(2).T
        loss, terms = loss_of(position, target, weight, scale)
        loss.backward()
        if k == 0:
            out["gradient"] = flat({name: p.grad for name, p in named.items()})
        out["norms"].append(torch.nn.utils.clip_grad_norm_(named.values(), CLIP).item())
        adam.step()
        with torch.no_grad():
            dense.weight.mul_(min(1.0, 3 / dense.weight.norm().item()))
        out["losses"].append(loss.item())
        out["terms"].append({name: term.item() for name, term in terms.items()})
    out["final"] = flat(named)
    return {"start": {name: value.flatten().tolist() for name, value in start.items()}, **out}


double = train(torch.float64)
single = train(torch.float32)
print(json.dumps({"F": F, "H": H, "B": B, "T": T, "costBps": BPS, "rate": RATE, "decay": DECAY, "clip": CLIP,
                  "lossWeights": WEIGHTS, "torch": torch.__version__, **double,
                  "losses32": single["losses"]}, indent=None, separators=(",", ":")))
