"""Peer of `dmn bench live`: one hop by pyzmq (PUB/SUB over tcp) or by a Unix socket, two processes.

Messages are a time and doubles, sent at the times of a schedule; latency counts from the intended time. Prints
{peer, values: [p50], p99, p999}, microseconds.
"""
import array
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import time

now = time.monotonic_ns


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def drive(send, every_ms, at_once, seconds, numbers):
    values = array.array("d", [100.0] * (numbers + 1))
    start = now() + 50_000_000
    for k in range(round(seconds * 1e3 / every_ms)):
        intended = start + k * every_ms * 1e6
        while (left := intended - now()) > 0:
            time.sleep(left / 1e9)
        for _ in range(at_once):
            values[0] = intended
            send(values.tobytes())
    values[0] = -1.0
    time.sleep(0.2)
    send(values.tobytes())


def take(body, out):
    values = array.array("d")
    values.frombytes(body)
    if values[0] < 0:
        return False
    out.append((now() - values[0]) / 1e3)
    return True


def report(out):
    print(json.dumps(out))


def hear_zmq(place):
    import zmq
    hearer = zmq.Context().socket(zmq.SUB)
    hearer.connect(place)
    hearer.setsockopt(zmq.SUBSCRIBE, b"market.")
    out = []
    while take(hearer.recv_multipart()[1], out):
        pass
    report(out)


def hear_unix(place):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(place)
    out, rest = [], b""
    while True:
        rest += peer.recv(1 << 16)
        while len(rest) >= 4:
            end = 4 + struct.unpack_from("<I", rest)[0]
            if len(rest) < end:
                break
            if not take(rest[4:end], out):
                report(out)
                return
            rest = rest[end:]


def main():
    if sys.argv[1] == "hear":
        {"zmq": hear_zmq, "unix": hear_unix}[sys.argv[2]](sys.argv[3])
        return
    asked = json.loads(sys.argv[1])
    folder = tempfile.mkdtemp()
    place = os.path.join(folder, "socket")
    version = f"CPython {platform.python_version()}"
    if asked["kind"] == "zmq":
        import zmq
        publisher = zmq.Context().socket(zmq.XPUB)
        place = f"tcp://127.0.0.1:{publisher.bind_to_random_port('tcp://127.0.0.1')}"
        peer = f"pyzmq {zmq.__version__}, {version}"
    else:
        door = socket.socket(socket.AF_UNIX)
        door.bind(place)
        door.listen()
        peer = f"Unix socket, {version}"
    hearer = subprocess.Popen([sys.executable, __file__, "hear", asked["kind"], place],
                              stdout=subprocess.PIPE, text=True)
    if asked["kind"] == "zmq":
        publisher.recv()
        send = lambda body: publisher.send_multipart([b"market.0.", body], copy=True)
    else:
        stream, _ = door.accept()
        send = lambda body: stream.sendall(struct.pack("<I", len(body)) + body)
    drive(send, asked["everyMs"], asked["atOnce"], asked["seconds"], asked["numbers"])
    times = json.loads(hearer.communicate(timeout=60)[0])
    times = times[len(times) // 10:]
    print(json.dumps({"peer": peer, "values": [quantile(times, 0.5)], "p99": quantile(times, 0.99),
                      "p999": quantile(times, 0.999)}))


main()
