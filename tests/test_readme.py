"""The README's code runs as it is written there."""

import re
from pathlib import Path

import pytest

BLOCKS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8"), re.DOTALL
)


def programs():
    """Blocks that belong together: one without imports goes on from those before it."""
    whole = []
    for block in BLOCKS:
        if block.startswith(">>>"):
            continue
        if "import" not in block and whole:
            whole[-1] += block
        else:
            whole.append(block)
    return whole


@pytest.mark.parametrize("program", programs(), ids=lambda text: re.search(r"\n\w.*", text)[0].strip()[:40])
def test_readme_code_runs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "readme.py", "exec"), {})  # noqa: S102 - our own


def test_errors_that_the_readme_shows_are_those_raised():
    import pynngraph as nn  # noqa: PLC0415 - shown code runs in this namespace

    shown = [block for block in BLOCKS if block.startswith(">>>")]
    assert len(shown) == 2
    code = "".join(line[4:] + "\n" for line in shown[1].splitlines() if line.startswith(">>> "))
    with pytest.raises(nn.errors.GraphError) as raised:
        exec(compile(code, "pair.py", "exec"), {"nn": nn})  # noqa: S102 - our own
    expected = "\n".join(line for line in shown[1].splitlines() if not line.startswith(">>> "))
    assert f"pynngraph.errors.GraphError: {raised.value}" == expected
