"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ldr_utils.study.paths import ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real evaluation data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("LDR_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set LDR_DATA_DIR)")
    return folder
