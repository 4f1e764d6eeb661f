"""Embedders: what turns texts into vectors."""

import os

# The official builds of ONNX Runtime report each use to Microsoft (seen in 1.32): a lasting id of the machine, the path
# of the program and the processor. It reads this variable once, when it is imported, and every use here comes after
# this.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"
