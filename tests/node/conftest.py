"""Makes the shared modules of this folder and of `tests/support` importable: importlib mode does not."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
for _folder in (str(_HERE), str(_HERE.parent / "support")):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)
