"""Peers of `dmn bench inference --device cuda`: what PyTorch and cuDNN give on this GPU, one JSON line a measurement.

    python torch_cuda.py                                        every network and batch; under 100 s
    python torch_cuda.py '{"models": ["lstm-512x2"], "batches": [1, 32], "modes": ["script", "hand", "compile"]}'

Networks (60 rows of 200 features, tanh of one linear unit on the last row, random weights): lstm-HxL, encoder-DxL
(models/encoder.ts: pre-norm, causal, 8 heads, gelu by tanh, feed-forward 4D, sinusoidal positions).

    eager     as written
    script    torch.jit.trace + freeze, replayed as a CUDA graph (optimize_for_inference: up to 1.4 times slower)
    compile   torch.compile max-autotune, replayed as a CUDA graph; slow to prepare, only where asked for
    hand      the best that was found, replayed as a CUDA graph. LSTM: cuDNN one layer at a time, time first,
              features padded to a multiple of 128 and rows to one of 8, which its persistent kernel wants.
              Encoder: torch.compile of a network whose last layer asks for its last row only
    ort       ONNX Runtime's CUDA provider on an exported file: {"onnx": {"lstm-512x2": "model.onnx"}}

deviceUs: one replay (eager: call) after another between two events, median of repeats. p50Us, p99Us: from the input in
pinned host memory to the result read by the host. A mode that cannot run gives {model, B, mode, error}.
"""
import json
import sys
import time
import warnings

import torch
from torch import nn
from torch.nn import functional

FEATURES, STEPS = 200, 60
BATCHES = {
    "lstm-512x2": (1, 8, 32, 128, 512, 4096),
    "lstm-1024x4": (1, 128, 512),
    "lstm-64x1": (1, 128, 512, 4096),
    "encoder-512x4": (1, 32, 128, 512),
}
MODES = ("eager", "script", "hand")
NAMES = {"eager": "eager", "script": "TorchScript + graph", "compile": "max-autotune + graph"}


class Lstm(nn.Module):
    def __init__(self, hidden, layers):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return torch.tanh(self.head(self.lstm(x)[0][:, -1])).squeeze(-1)


class LayerByLayer(nn.Module):
    """An Lstm's weights as one cuDNN network per layer, in the shapes that let cuDNN keep weights on chip."""

    def __init__(self, lstm, head, B):
        super().__init__()
        hidden, rows, width = lstm.hidden_size, round_up(B, 8), round_up(FEATURES, 128)
        self.B, self.head = B, head
        layers = []
        for at in range(lstm.num_layers):
            layer = nn.LSTM(width if at == 0 else hidden, hidden)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                given, place = getattr(lstm, f"{name}_l{at}").data, getattr(layer, f"{name}_l0").data
                place.zero_()
                place[(slice(None), slice(0, given.shape[1])) if given.dim() == 2 else slice(None)] = given
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        self.register_buffer("padded", torch.zeros(STEPS, rows, width))

    def forward(self, x):
        self.padded[:, :self.B, :FEATURES] = x.transpose(0, 1)
        hidden = self.padded
        for layer in self.layers:
            hidden = layer(hidden)[0]
        return torch.tanh(self.head(hidden[-1, :self.B])).squeeze(-1)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        rows, steps, width = x.shape
        split = self.qkv(self.norm1(x)).view(rows, steps, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.forward_rest(x, mixed.transpose(1, 2).reshape(rows, steps, width))

    def last_row(self, x):
        """(B, T, D) -> (B, 1, D): the last query sees every key."""
        rows, steps, width = x.shape
        normed = self.norm1(x)
        q = functional.linear(normed[:, -1:], self.qkv.weight[:width], self.qkv.bias[:width])
        kv = functional.linear(normed, self.qkv.weight[width:], self.qkv.bias[width:])
        k, v = kv.view(rows, steps, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q = q.view(rows, 1, self.heads, width // self.heads).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.forward_rest(x[:, -1:], mixed.transpose(1, 2).reshape(rows, 1, width))

    def forward_rest(self, x, mixed):
        x = x + self.out(mixed)
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Encoder(nn.Module):
    def __init__(self, width, layers, is_last_row_only=False):
        super().__init__()
        self.is_last_row_only = is_last_row_only
        self.embed = nn.Linear(FEATURES, width)
        self.layers = nn.ModuleList([Layer(width, 8) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)
        self.scale = width ** 0.5
        column = torch.arange(width)
        pair = column // 2 * 2
        frequency = torch.exp(pair * (-torch.log(torch.tensor(10_000.0)) / width))
        angle = torch.arange(STEPS).unsqueeze(1) * frequency + (column - pair) * (torch.pi / 2)
        self.register_buffer("positions", torch.sin(angle))

    def forward(self, x):
        x = self.embed(x) * self.scale + self.positions
        for layer in self.layers[:-1]:
            x = layer(x)
        last = self.layers[-1]
        x = last.last_row(x) if self.is_last_row_only else last(x)
        return torch.tanh(self.head(self.norm(x[:, -1]))).squeeze(-1)


def round_up(size, multiple):
    return -(-size // multiple) * multiple


def network_named(name):
    kind, _, shape = name.partition("-")
    width, layers = (int(part) for part in shape.split("x"))
    torch.manual_seed(0)
    return {"lstm": Lstm, "encoder": Encoder}[kind](width, layers)


def by_hand(network, B):
    if isinstance(network, Lstm):
        return LayerByLayer(network.lstm, network.head, B)
    best = Encoder(network.head.in_features, len(network.layers), is_last_row_only=True)
    best.load_state_dict(network.state_dict())
    return best


def placed(network, spec):
    """On the GPU in the precision that is asked for, cuDNN's weights in one piece."""
    network = network.to("cuda", getattr(torch, spec.get("precision", "float16"))).eval()
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()
    return network


def prepared(mode, network, x):
    """What the mode makes of a network for inputs like x."""
    if mode == "script":
        return torch.jit.freeze(torch.jit.trace(network, x))
    torch._dynamo.reset()
    if mode == "compile":
        return torch.compile(network, mode="max-autotune-no-cudagraphs")
    return torch.compile(network) if mode == "hand" and isinstance(network, Encoder) else network


def captured(call, x):
    """A CUDA graph of one call on x: how to replay it, and the tensor that it writes."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            call(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call(x)
    return lambda: (graph.replay(), result)[1]


def device_microseconds(step, repeats=21, milliseconds=4):
    """One step after another between two events; the median of repeats."""
    def once(count):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(count):
            step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1000 / count

    count = max(2, min(400, int(milliseconds * 1000 / once(5))))
    return sorted(once(count) for _ in range(repeats))[repeats // 2]


def end_to_end(host, x, step, seconds=0.25):
    """Microseconds of each run: copy the input, run, copy the result, wait, read it."""
    answer = torch.empty(host.shape[0], dtype=host.dtype, pin_memory=True)
    times = []
    stop = time.perf_counter() + seconds
    while len(times) < 50 or (time.perf_counter() < stop and len(times) < 2000):
        start = time.perf_counter()
        x.copy_(host, non_blocking=True)
        answer.copy_(step(), non_blocking=True)
        torch.cuda.current_stream().synchronize()
        answer[0].item()
        times.append((time.perf_counter() - start) * 1e6)
    return sorted(times[len(times) // 10:])


def figures(peer, step, host, x):
    device = device_microseconds(step)
    times = end_to_end(host, x, step)
    return {"peer": peer, "deviceUs": round(device, 2), "p50Us": round(times[len(times) // 2], 2),
            "p99Us": round(times[int(len(times) * 0.99)], 2)}


def measure(model, B, mode, spec):
    network = placed(network_named(model), spec)
    host = torch.randn(B, STEPS, FEATURES).to(next(network.parameters()).dtype).pin_memory()
    x = host.to("cuda")
    wanted = network(x).float()
    call = prepared(mode, placed(by_hand(network.cpu().float(), B), spec) if mode == "hand" else network, x)
    step = (lambda: call(x)) if mode == "eager" else captured(call, x)
    error = (step().float() - wanted).abs().max().item()
    if not error < 0.02:
        raise ValueError(f"answers differ by {error}")
    way = NAMES.get(mode) or ("cuDNN by layers + graph" if isinstance(network, Lstm) else "compiled last row + graph")
    return figures(f"{way} (PyTorch {torch.__version__.split('+')[0]})", step, host, x)


def measure_onnx(model, B, spec):
    """An exported file (features (B, T, F) -> position (B, T), computed in float32) where it lies on the GPU."""
    import onnxruntime
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError(f"ONNX Runtime {onnxruntime.__version__} has no CUDA provider here")
    host = torch.randn(B, STEPS, FEATURES).pin_memory()
    x, y = host.to("cuda"), torch.empty(B, STEPS, device="cuda")
    provider = {"user_compute_stream": str(torch.cuda.current_stream().cuda_stream)}
    session = onnxruntime.InferenceSession(spec["onnx"][model], providers=[("CUDAExecutionProvider", provider)])
    binding = session.io_binding()
    binding.bind_input("features", "cuda", 0, "float32", tuple(x.shape), x.data_ptr())
    binding.bind_output("position", "cuda", 0, "float32", tuple(y.shape), y.data_ptr())
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def step():
        session.run_with_iobinding(binding, options)
        return y[:, -1]

    return figures(f"ONNX Runtime CUDA {onnxruntime.__version__}, float32", step, host, x)


def main(spec):
    warnings.filterwarnings("ignore")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    modes = [*spec.get("modes", MODES), *(["ort"] if "onnx" in spec else [])]
    for model in spec.get("models", BATCHES):
        for B in spec.get("batches", BATCHES.get(model, (1, 32, 128, 512))):
            for mode in modes:
                try:
                    with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
                        found = measure_onnx(model, B, spec) if mode == "ort" else measure(model, B, mode, spec)
                except Exception as error:
                    found = {"error": (str(error) or type(error).__name__).strip().split("\n")[0][:200]}
                print(json.dumps({"model": model, "B": B, "mode": mode, **found}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
