"""The page's modules that need no page, under `node --test`: on the golden logs of `core.transcript`, and alone."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.servers import ROOT


def test_the_pure_modules(tmp_path: Path) -> None:
    """All pass. Beside a copy of them lies what tells an older node that they are modules."""
    node = shutil.which("node")
    assert node is not None, "tests need node on PATH"
    for folder in ("static/js", "tests/node", "tests/golden"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    files = sorted((tmp_path / "tests" / "node").glob("*.test.js"))
    command = [node, "--test", "--test-reporter=tap", *map(str, files)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    (passed,) = re.findall(r"^# pass (\d+)$", ran.stdout, re.MULTILINE)
    assert int(passed) > len(list((ROOT / "tests" / "golden").glob("*.json")))
