"""The page on encoders holds the catalogue as it is, and its example of a specification is one."""

from __future__ import annotations

import re
from pathlib import Path

from eocausal.encoding.catalogue import encoder_markdown
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.spec import read_spec

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"


def test_the_table_on_the_page_is_that_of_the_catalogue() -> None:
    # python -c "from eocausal.encoding.catalogue import encoder_markdown as m; print(m())" writes it anew
    assert encoder_markdown() in PAGE.read_text(encoding="utf-8")


def test_the_specification_on_the_page_is_one_that_can_be_loaded(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    spec = read_spec(path)
    assert spec.weights == str(tmp_path / "ours")
    assert Pretrained(str(path)).spec == spec
