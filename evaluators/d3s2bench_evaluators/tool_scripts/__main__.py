"""``python tool_scripts TOOL``: one job of ``TOOL_jobs``."""

import importlib
import sys
from pathlib import Path

folder = Path(__file__).resolve().parent
sys.path[0] = str(folder.parent)  # instead of this folder, whose modules are no top-level ones
importlib.import_module(folder.name)
del sys.path[0]
jobs = importlib.import_module(f"{folder.name}.jobs")
jobs.run(importlib.import_module(f"{folder.name}.{sys.argv[1]}_jobs").JOBS)
