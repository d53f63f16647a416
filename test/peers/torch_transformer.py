"""The Momentum Transformer and the plain encoder in PyTorch, float64: the oracle of test/models.test.ts.

usage: torch_transformer.py > test/fixtures/torch-transformer.json

Written from the papers (Lim, Arik, Loeff and Pfister 2021; Wood et al. 2021; Vaswani et al. 2017), one feature and
one head at a time, on PyTorch's own LSTM, attention and layer norm. Every number fed is a formula of its name, so
that the fixture holds results only: loss, position, views and the gradient of every parameter.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
B, T, FEATURES, D, HEADS, INSTRUMENTS = 3, 7, 4, 6, 2, 3


def formula(name, shape, size=0.5):
    phase = sum((k + 1) * ord(letter) for k, letter in enumerate(name)) % 1000
    values = size * torch.sin(phase + 1.7 * torch.arange(math.prod(shape)))
    return (values + (1 if name.endswith("/scale") else 0)).reshape(shape)


class Weights(dict):
    def __call__(self, name, *shape):
        if name not in self:
            self[name] = formula(name, shape).requires_grad_()
        return self[name]


def norm(p, name, x):
    width = x.shape[-1]
    return F.layer_norm(x, (width,), p(f"{name}/scale", width), p(f"{name}/bias", width), eps=1e-5)


def dense(p, name, x, width):
    return x @ p(f"{name}/w", x.shape[-1], width) + p(f"{name}/b", width)


def glu(x, w, b):
    open_, value = (x @ w + b).chunk(2, dim=-1)
    return torch.sigmoid(open_) * value


def gated_skip(p, name, x, skip):
    width = skip.shape[-1]
    gate = f"{name}/gate"
    return norm(p, f"{name}/norm", skip + glu(x, p(f"{gate}/w", x.shape[-1], 2 * width), p(f"{gate}/b", 2 * width)))


def grn(p, name, x, context=None):
    inner = dense(p, f"{name}/inner", x, D)
    if context is not None:
        inner = inner + context @ p(f"{name}/context/w", D, D)
    return gated_skip(p, f"{name}/gated", dense(p, f"{name}/outer", F.elu(inner), D), x)


def stacked_grn(p, name, count, g, x):
    """The g-th of `count` GRNs whose parameters share tensors with an axis for g in front."""
    part = lambda suffix, *shape: p(f"{name}/{suffix}", count, *shape)[g]
    inner = x @ part("inner/w", D, D) + part("inner/b", 1, D)[0]
    outer = F.elu(inner) @ part("outer/w", D, D) + part("outer/b", 1, D)[0]
    gated = glu(outer, part("gated/gate/w", D, 2 * D), part("gated/gate/b", 1, 2 * D)[0])
    return F.layer_norm(x + gated, (D,), part("gated/norm/scale", 1, D)[0], part("gated/norm/bias", 1, D)[0], 1e-5)


def variable_selection(p, features, context):
    """Equations 6-8 with the vectors of all features written out. features (B, T, F), context (B, D)."""
    embedding = p("selection/embedding", FEATURES, 2, D)
    vectors = [features[..., j:j + 1] * embedding[j, 0] + embedding[j, 1] for j in range(FEATURES)]
    flat = torch.cat(vectors, dim=-1)
    name = "selection/weights"
    flat_product = lambda part, to: (flat @ p(f"{name}/{part}/w", FEATURES, D, to).reshape(FEATURES * D, to)
                                     + p(f"{name}/{part}/b", to))
    inner = flat_product("inner", D) + (context @ p(f"{name}/context/w", D, D))[:, None]
    outer = dense(p, f"{name}/outer", F.elu(inner), D)
    weights = torch.softmax(gated_skip(p, f"{name}/gated", outer, flat_product("skip", FEATURES)), dim=-1)
    selected = sum(weights[..., j:j + 1] * stacked_grn(p, "selection/features", FEATURES, j, vectors[j])
                   for j in range(FEATURES))
    return selected, weights


def lstm(p, x, h0, c0):
    """torch.nn.LSTM on our weights: gates i, f, o, g in ours, i, f, g, o in PyTorch's; one bias of two."""
    module = torch.nn.LSTM(D, D, batch_first=True)
    reorder = lambda w: torch.cat([w[..., :2 * D], w[..., 3 * D:], w[..., 2 * D:3 * D]], dim=-1)
    wx, wh, b = p("lstm/0/wx", D, 4 * D), p("lstm/0/wh", D, 4 * D), p("lstm/0/b", 4 * D)
    own = {"weight_ih_l0": reorder(wx).T, "weight_hh_l0": reorder(wh).T, "bias_ih_l0": reorder(b),
           "bias_hh_l0": torch.zeros(4 * D)}
    return torch.func.functional_call(module, own, (x, (h0[None].contiguous(), c0[None].contiguous())))[0]


def interpretable_attention(p, x):
    """Equations 13-16, a head at a time."""
    qk, v = x @ p("attention/qk/w", D, 2 * D), x @ p("attention/v/w", D, D // HEADS)
    width = D // HEADS
    mask = torch.full((T, T), -math.inf).triu(1)
    weights = []
    for h in range(HEADS):
        q, k = qk[..., h * width:(h + 1) * width], qk[..., D + h * width:D + (h + 1) * width]
        weights.append(torch.softmax(q @ k.transpose(1, 2) / math.sqrt(width) + mask, dim=-1))
    mean = sum(weights) / HEADS
    return mean @ v @ p("attention/out/w", width, D), mean


def transformer(p, features, instrument):
    static = grn(p, "static", F.embedding(instrument, p("embedding", INSTRUMENTS, D)))
    c_s, c_e, c_h, c_c = (stacked_grn(p, "contexts", 4, g, static) for g in range(4))
    selected, selection = variable_selection(p, features, c_s)
    temporal = gated_skip(p, "temporal", lstm(p, selected, c_h, c_c), selected)
    enriched = grn(p, "enrichment", temporal, c_e[:, None])
    attended, attention = interpretable_attention(p, enriched)
    attentive = gated_skip(p, "attentive", attended, enriched)
    trunk = gated_skip(p, "trunk", grn(p, "decoder", attentive), temporal)
    return torch.tanh(dense(p, "head/position", trunk, 1))[..., 0], {"selection": selection, "attention": attention}


def encoder(p, features, _instrument, layers=2):
    t, k = torch.arange(T).double()[:, None], torch.arange(D)
    angle = t / 10_000 ** ((k // 2 * 2) / D)
    x = dense(p, "input", features, D) * math.sqrt(D) + torch.where(k % 2 == 0, torch.sin(angle), torch.cos(angle))
    for layer in range(layers):
        name = f"layer/{layer}"
        qkv = dense(p, f"{name}/attention/qkv", norm(p, f"{name}/norm1", x), 3 * D)
        q, k_, v = (part.reshape(B, T, HEADS, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        heads = F.scaled_dot_product_attention(q, k_, v, is_causal=True).transpose(1, 2).reshape(B, T, D)
        x = x + dense(p, f"{name}/attention/out", heads, D)
        wide = F.gelu(dense(p, f"{name}/wide", norm(p, f"{name}/norm2", x), 4 * D), approximate="tanh")
        x = x + dense(p, f"{name}/narrow", wide, D)
    return torch.tanh(dense(p, "head/position", norm(p, "norm", x), 1))[..., 0], {}


def step(model):
    p = Weights()
    features, target = formula("features", (B, T, FEATURES), 2), formula("target", (B, T), 0.02)
    position, views = model(p, features, torch.tensor([0, 2, 1]))
    captured = position * target
    loss = -captured.mean() / torch.sqrt((captured ** 2).mean() - captured.mean() ** 2 + 1e-9) * math.sqrt(252)
    loss.backward()
    rounded = lambda x: [float(f"{value:.10g}") for value in x.detach().flatten().tolist()]
    return {"loss": loss.item(), "position": rounded(position),
            "views": {name: rounded(view) for name, view in views.items()},
            "gradients": {name: rounded(weight.grad) for name, weight in sorted(p.items())}}


json.dump({"made_by": f"test/peers/torch_transformer.py, torch {torch.__version__.split('+')[0]}",
           "transformer": step(transformer), "encoder": step(encoder)}, sys.stdout, separators=(",", ":"))
print()
