"""The probe, a plug-in that tries what WASI (the standard system interfaces of WebAssembly) lets it do, in Python.

A product's id says what to try; the product's document has the result."""

import json
import os
import random
import socket
import sys
import time

from wit_world import exports
from wit_world.exports.manifest import Description, Grouping_WholeLines
from wit_world.exports.transform import Transformed
from wit_world.imports.types import Document


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        return Description("probe", "0.1.0", "probe", Grouping_WholeLines(), "{}", ["clock"])

    def configure(self, config: str) -> None:
        pass


class Transform(exports.Transform):
    def run(self, products: list[str]) -> Transformed:
        ids = [json.loads(text)["id"] for text in products]
        documents = [Document(what, json.dumps(attempt(what))) for what in ids]
        return Transformed(documents, [1] * len(products), [], [])


def attempt(what: str) -> dict:
    match what:
        case "clocks":
            return {"clock": [time.time_ns(), time.time_ns()], "ticks": [time.monotonic_ns(), time.monotonic_ns()]}
        case "random":
            return {"random": [os.urandom(4).hex(), random.SystemRandom().random()]}
        case "environment":
            return {"variables": len(os.environ), "input": len(sys.stdin.read())}
        case "files":
            return {"open": error(lambda: open("/etc/passwd")), "create": error(lambda: open("made.txt", "w"))}
        case "sockets":
            return {"open": error(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))}
        case "output":
            print("a line to standard output")
            print("a line to standard error", file=sys.stderr)
            return {}
        case "exit":
            os._exit(0)
        case "loop":
            while True:
                pass
        case "memory":
            held = []
            while True:
                held.append(bytearray(1 << 20))
        case "recursion":
            return attempt_again(0)
        case _:
            return {"unknown": what}


def attempt_again(depth: int) -> dict:
    return attempt_again(depth + 1)


def error(attempted) -> str:
    try:
        attempted()
    except OSError as refused:
        return type(refused).__name__ + ": " + str(refused)
    return "it worked"
