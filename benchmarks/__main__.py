"""`python -m benchmarks`, from the template's folder."""

import sys
from pathlib import Path

# The harness starts and ends programs as the demo does, by the same modules.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from benchmarks.cli import main

sys.exit(main())
