"""Known answers for ops and blocks, by PyTorch in float64: python torch_ops.py > ../fixtures/torch-ops.json

The rows are named as the cases of test/conformance/runtime-cases.ts (there B = 3 and T = 4) and computed here by PyTorch's
own functions and plain loops. Gradients are those of sum over all outputs' elements of sin(1), sin(2), ... times them.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
B, T = 3, 4
ROWS = []


def row(name, compute, differentiable=True, **shapes):
    ROWS.append((name, compute, differentiable, shapes))


def draw(shapes):
    """Inputs that are neither whole, nor equal, nor near a kink; the rest of a name is how: x, c_bit, v_positive."""
    g = torch.Generator().manual_seed(41)
    found = {}
    for place, (name, shape) in enumerate(shapes.items()):
        if name.endswith("_bit"):
            values = (torch.arange(math.prod(shape)) % 3 > 0).double().reshape(shape)
        elif name.endswith("_positive"):
            values = 0.5 + torch.rand(shape, generator=g)
        else:
            order = torch.randperm(math.prod(shape), generator=g).double()
            values = (0.05 + 0.02 * place + 0.1 * (order - len(order) // 2)).reshape(shape)
        found[name.split("_")[0]] = values.requires_grad_()
    return found


for name in ["neg", "exp", "sin", "tanh", "sigmoid", "abs", "sign", "floor"]:
    row(f"{name}: (2, 3)", getattr(torch, name), x=(2, 3))
for name in ["log", "sqrt"]:
    row(f"{name}: (2, 3)", getattr(torch, name), x_positive=(2, 3))
for name, compute in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "max": torch.maximum,
                      "greater": lambda a, b: (a > b).double()}.items():
    row(f"{name}: both broadcast", compute, a=(4, 1, 3), b=(2, 1))
    row(f"{name}: open sizes", compute, a=(B, T, 2), b=(T, 1))
row("div: both broadcast", torch.div, a_positive=(4, 1, 3), b_positive=(2, 1))
row("input: passes through", lambda x: x, x=(2, 2))
row("constant: broadcast", lambda x: (x + 3).expand(4, 2), x=(2,))
row("iota: of open size", lambda x: x * torch.arange(T), x=(B, T))
row("stop: times itself", lambda x: x * x.detach(), x=(3,))
row("where: all three broadcast", lambda c, a, b: torch.where(c != 0, a, b), c_bit=(3, 1), a=(2, 1, 1), b=(4,))
row("where: open sizes", lambda c, a: torch.where(c != 0, a, 0.0), c_bit=(T, 1), a=(B, T, 2))
for name, compute in {"sum": torch.sum, "reduceMax": torch.amax}.items():
    row(f"{name}: the middle axis", lambda x, f=compute: f(x, dim=(1,), keepdim=True), x=(2, 3, 4))
    row(f"{name}: two axes", lambda x, f=compute: f(x, dim=(0, 2), keepdim=True), x=(2, 3, 4))
    row(f"{name}: everything", lambda x, f=compute: f(x, dim=(0, 1), keepdim=True), x=(3, 2))
descending = lambda x: torch.sort(x, descending=True).values
row("sort: rows, stopped before", lambda x: descending(x.detach()), x=(3, 5))
row("sort: one axis, stopped after", lambda x: x * descending(x).detach(), x=(7,))

for isA in [False, True]:
    for isB in [False, True]:
        def product(a, b, isA=isA, isB=isB):
            return torch.matmul(a.mT if isA else a, b.mT if isB else b)
        how = f"{'A' + chr(39) if isA else 'A'} {'B' + chr(39) if isB else 'B'}"
        a, b = ((4, 3) if isA else (3, 4)), ((2, 4) if isB else (4, 2))
        row(f"matmul: {how}", product, a=a, b=b)
        row(f"matmul: {how}, batches broadcast", product, a=(2, 1, *a), b=(3, *b))
        row(f"matmul: {how}, one B for all", product, a=(T, B, *a), b=b)

row("reshape: open sizes joined", lambda x: x.reshape(B * T, 3), x=(T, B, 3))
row("reshape: open sizes parted", lambda x, y: x.reshape(B, T, 2, 2) + y.reshape(B, T, 1, 1), x=(B * T, 4), y=(B, T))
row("transpose: four axes", lambda x: x.permute(2, 0, 3, 1), x=(B, T, 2, 3))
row("broadcast: a new axis and an old one", lambda x: x.expand(2, 3, 4), x=(3, 1))
row("slice: the middle", lambda x: x[:, 1:4], x=(2, 5))
row("slice: from the end", lambda x: x[-2:], x=(5, 2))
row("slice: the last of an open axis", lambda x: x[:, -1:], x=(B, T, 2))
row("slice: overlapping parts of one tensor", lambda x: x[:3] * x[1:4] * x[-3:], x=(5,))
row("slice: parts along two axes", lambda x: x[2:3] * x[:, :1], x=(3, 3))
row("pad: both sides", lambda x: F.pad(x, (2, 1)), x=(2, 3))
row("concat: along the last axis", lambda a, b: torch.cat([a, b, a], 1), a=(2, 1), b=(2, 3))


def leaky(h, x, d, isReverse):
    emits = {}
    for t in reversed(range(len(x))) if isReverse else range(len(x)):
        h = h * d + x[t]
        emits[t] = torch.tanh(h)
    return h, torch.stack([emits[t] for t in range(len(x))])


def swapping(h, c, x, y, w, v):
    emits = []
    for t in range(len(x)):
        following = torch.tanh(h @ w + v + x[t])
        emits.append((following * y[t], h, (c * x[t]).sum(1, keepdim=True)))
        h, c = c, following
    return h, c, *(torch.stack(emit) for emit in zip(*emits))


def backward(h, x, w):
    for t in reversed(range(len(x))):
        h = torch.sin(h @ w + x[t])
    return h


def nested(h, x):
    found = []
    for rows in x:
        emits = []
        for element in rows:
            h = torch.sigmoid(h + element)
            emits.append(h * h)
        found.append(torch.stack(emits))
    return torch.stack(found)


row("scan: one state", lambda h, x, d: leaky(h, x, d, False), h=(2, 3), x=(4, 2, 3), d=(3,))
row("scan: in reverse", lambda h, x, d: leaky(h, x, d, True), h=(2, 3), x=(4, 2, 3), d=(3,))
row("scan: two states that swap, two sequences, captured weights, several emits", swapping,
    h=(2, 3), c=(2, 3), x=(T, 2, 3), y=(T, 3), w=(3, 3), v=(3,))
row("scan: no emits, in reverse, an open batch", backward, h=(B, 2), x=(T, B, 2), w=(2, 2))
row("scan: a loop in a loop", nested, h=(2,), x=(3, 4, 2))


def lstm(x, wx, wh, bias, h0, c0):
    """torch.nn.LSTM, whose gates come i, f, g, o where ours come i, f, o, g."""
    H = wh.shape[0]
    def theirs(w):
        i, f, o, g = w.split(H, dim=-1)
        return torch.cat([i, f, g, o], -1)
    weights = {"weight_ih_l0": theirs(wx).T, "weight_hh_l0": theirs(wh).T, "bias_ih_l0": theirs(bias),
               "bias_hh_l0": torch.zeros(4 * H)}
    module = torch.nn.LSTM(x.shape[2], H)
    hidden, (h, c) = torch.func.functional_call(module, weights, (x, (h0[None], c0[None])))
    return hidden, h[0], c[0]


def attention(q, k, v, isCausal):
    mask = torch.ones(q.shape[-2], q.shape[-2]).tril() == 0
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    weights = F.softmax(scores.masked_fill(mask, -math.inf) if isCausal else scores, -1)
    return F.scaled_dot_product_attention(q, k, v, is_causal=isCausal), weights


def adamw(epsilon):
    def compute(parameter, slope, m, v, step, rate, decay):
        p = parameter.detach().clone().requires_grad_()
        p.grad = slope.detach().clone()
        adam = torch.optim.AdamW([p], lr=0.01 * rate.item(), weight_decay=0.1 * decay.item(), eps=epsilon)
        # Their count is of the steps done, ours of this one.
        adam.state[p] = {"step": step.detach() + 1, "exp_avg": m.detach().clone(), "exp_avg_sq": v.detach().clone()}
        adam.step()
        return p.detach(), adam.state[p]["exp_avg"], adam.state[p]["exp_avg_sq"]
    return compute


def lstm_shapes(T, B, F, H):
    return {"x": (T, B, F), "wx": (F, 4 * H), "wh": (H, 4 * H), "bias": (4 * H,), "h0": (B, H), "c0": (B, H)}


row("linear: open sizes", lambda x, w, bias: F.linear(x, w.T, bias), x=(B, T, 2), w=(2, 3), bias=(3,))
row("softmax: rows", lambda x: F.softmax(x, -1), x=(3, 4))
row("softmax: large values", lambda x: F.softmax(5 * x + 1000, -1), x=(2, 3))
row("layerNorm: rows", lambda x, scale, bias: F.layer_norm(x, [5], scale, bias, 1e-5), x=(3, 5), scale=(5,), bias=(5,))
row("layerNorm: open sizes", lambda x, scale, bias: F.layer_norm(x, [4], scale, bias, 1e-3),
    x=(B, T, 4), scale=(4,), bias=(4,))
row("gelu: (2, 3)", lambda x: F.gelu(x, approximate="tanh"), x=(2, 3))
row("elu: (2, 3)", F.elu, x=(2, 3))
row("elu: far from 0", lambda x: F.elu(1000 * x), x=(2, 3))
row("lstm: a window", lstm, **lstm_shapes(5, 2, 3, 4))
row("lstm: one step", lstm, **lstm_shapes(1, 3, 2, 2))
row("lstm: open sizes", lstm, **lstm_shapes(T, B, 3, 2))
row("attention: causal", lambda q, k, v: attention(q, k, v, True), q=(5, 4), k=(5, 4), v=(5, 3))
row("attention: of everything, two heads", lambda q, k, v: attention(q, k, v, False), q=(2, 3, 4), k=(2, 3, 4), v=(2, 3, 3))
row("attention: causal, open sizes", lambda q, k, v: attention(q, k, v, True), q=(B, 2, T, 4), k=(B, 2, T, 4), v=(B, 2, T, 3))
for name, count, epsilon in [("as ever", 5, 1e-8), ("a large epsilon", 3, 0.1)]:
    row(f"adamw: {name}", adamw(epsilon), differentiable=False, parameter=(count,), slope=(count,), m=(count,),
        v_positive=(count,), step_positive=(), rate_positive=(), decay_positive=())


def dense(x):
    return {"shape": list(x.shape), "values": x.detach().flatten().tolist()}


def answer(compute, differentiable, shapes):
    inputs = draw(shapes)
    outputs = compute(**inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    found = {"inputs": {name: dense(x) for name, x in inputs.items()}, "outputs": [dense(y) for y in outputs]}
    if differentiable:
        flat = torch.cat([y.flatten() for y in outputs])
        loss = (flat * torch.sin(torch.arange(1.0, len(flat) + 1))).sum()
        slopes = [torch.zeros(())] * len(inputs)
        if loss.requires_grad:
            slopes = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
        found["gradients"] = {name: dense(torch.zeros_like(x) if slope is None else slope.expand(x.shape))
                              for (name, x), slope in zip(inputs.items(), slopes)}
    return found


def by_place(compute):
    """torch's own functions call their argument `input`, ours is called x (or a and b)."""
    return lambda **inputs: compute(*inputs.values())


print(json.dumps({"torch": torch.__version__, "rows": {
    name: answer(by_place(compute), differentiable, shapes) for name, compute, differentiable, shapes in ROWS}},
    separators=(",", ":")))
