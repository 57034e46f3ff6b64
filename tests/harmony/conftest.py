"""OpenAI's own harmony library as the oracle, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai_harmony
import pytest


@pytest.fixture(scope="session")
def official(ranks_folder: Path) -> Any:
    """openai-harmony's own encoding of gpt-oss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(ranks_folder))
        return openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)
