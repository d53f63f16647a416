"""Known answers for losses and the optimizer, by PyTorch in float64: python torch_losses.py > ../fixtures/torch-losses.json

Every loss is written here once more, in the plainest form (loops, masks, a sorted sample), and differentiated by
autograd. The optimizer is torch.optim.AdamW behind torch.nn.utils.clip_grad_norm_.
"""
import json
import math

import torch

torch.set_default_dtype(torch.float64)
B, T, BPS = 6, 9, 3.0
UNIT = 0.15 / math.sqrt(252)


def batch():
    g = torch.Generator().manual_seed(20190409)
    weight = torch.ones(B, T)
    weight[1, 7:] = 0
    weight[4, 2:] = 0
    weight[5, :] = 0
    return {
        "score": 0.8 * torch.randn(B, T, generator=g), "target": UNIT * torch.randn(B, T, generator=g),
        "weight": weight, "scale": 0.3 + 2 * torch.rand(B, T, generator=g),
        "volatility": UNIT * (0.4 + torch.rand(B, T, generator=g)),
        "confidence": 0.1 + 0.8 * torch.rand(B, T, generator=g),
    }


def captured(position, x):
    """Net returns of rows that count, and the changes that are charged, one sequence and one step at a time."""
    net, changes = [], []
    for b in range(B):
        for t in range(T):
            if x["weight"][b, t] == 0:
                continue
            cost = torch.tensor(0.0)
            if t > 0 and x["weight"][b, t - 1] == 1:
                change = (position[b, t] * x["scale"][b, t] - position[b, t - 1] * x["scale"][b, t - 1]).abs()
                changes.append(change)
                cost = BPS * 1e-4 * change
            net.append(position[b, t] * x["target"][b, t] - cost)
    return torch.stack(net), torch.stack(changes)


def cvar(net):
    """The worst 5 % of the sample, the last of them in part: sum over the sorted losses."""
    losses = torch.sort(-net, descending=True).values
    tail = 0.05 * len(losses)
    whole = math.floor(tail)
    return (losses[:whole].sum() + (tail - whole) * losses[whole]) / tail


def losses(x):
    rows = x["weight"] == 1
    position = torch.tanh(x["score"])
    net, changes = captured(position, x)
    deviation = torch.sqrt((net ** 2).mean() - net.mean() ** 2 + 1e-9)
    score, target = x["score"][rows], x["target"][rows]
    right = (position.detach()[rows] * target > 0).double()
    bce = torch.nn.functional.binary_cross_entropy
    return {
        "sharpe": -net.mean() / deviation * math.sqrt(252),
        "turnover": changes.mean(),
        "cvar": cvar(net),
        "volatilityDeviation": (deviation * math.sqrt(252) - 0.15).abs(),
        "mse": torch.nn.functional.mse_loss(score, target / UNIT),
        "binary": bce(torch.sigmoid(score), (target > 0).double()),
        "volatilityHead": torch.nn.functional.gaussian_nll_loss(
            torch.zeros_like(target), target / UNIT, (x["volatility"][rows] / UNIT) ** 2),
        "confidenceHead": bce(x["confidence"][rows], right),
    }


def answers(x):
    found = {}
    for name in losses(x):
        leaves = {key: x[key].clone().requires_grad_() for key in ("score", "volatility", "confidence")}
        value = losses({**x, **leaves})[name]
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        found[name] = {"value": value.item(), "gradient": {
            key: grad.flatten().tolist() for key, grad in zip(leaves, grads) if grad is not None}}
    return found


def optimizer():
    """Ten steps on sum a (p - b)^2 of two parameters; the second is cut to norm 0.5 after each."""
    a, b = torch.tensor([3.0, 0.5, 20.0, 1.0, 0.1]), torch.tensor([1.0, -2.0, 0.3, 4.0, -1.0])
    p = [torch.tensor([0.2, -0.1, 0.7]).requires_grad_(), torch.tensor([0.4, 0.1]).requires_grad_()]
    adam = torch.optim.AdamW(p, lr=0.1, weight_decay=0.05)
    path, norms = [], []
    for step in range(10):
        # Every other gradient is small, so that it is not clipped.
        size = 1.0 if step % 2 == 0 else 0.01
        adam.zero_grad()
        (size * (a * (torch.cat(p) - b) ** 2).sum()).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(p, 1.0).item())
        for group in adam.param_groups:
            group["lr"] = 0.1 / (1 + step)
        adam.step()
        with torch.no_grad():
            p[1].mul_(min(1.0, 0.5 / p[1].norm().item()))
        path.append(torch.cat(p).tolist())
    return {"path": path, "norms": norms}


x = batch()
print(json.dumps({"B": B, "T": T, "costBps": BPS, "torch": torch.__version__,
                  "inputs": {key: value.flatten().tolist() for key, value in x.items()},
                  "losses": answers(x), "optimizer": optimizer()}, indent=1))
