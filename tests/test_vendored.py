"""What is not ours in static/vendor: each file is in the list, and is the one that was listed."""

import hashlib
import json

from tests.servers import ROOT

VENDOR = ROOT / "static" / "vendor"
LISTED = json.loads((VENDOR / "vendored.json").read_text())


def test_each_vendored_file_is_the_listed_one() -> None:
    """To the last byte; and nothing lies there that the list does not name."""
    listed = {name: digest for library in LISTED for name, digest in library["files"].items()}
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "vendored.json"
    }
    assert found == listed


def test_each_library_names_its_version_and_licence() -> None:
    """Its licence's text is one of its files, and a file with a version in it has the listed one."""
    assert {library["name"] for library in LISTED} == {"streaming-markdown", "highlight.js"}
    for library in LISTED:
        assert set(library) == {"name", "version", "licence", "source", "files"}
        licences = [name for name in library["files"] if name.endswith("/LICENSE")]
        assert len(licences) == 1
        assert {"MIT": "Permission is hereby granted", "BSD-3-Clause": "BSD 3-Clause License"}[library["licence"]] in (
            VENDOR / licences[0]
        ).read_text()
    (highlight,) = (library for library in LISTED if library["name"] == "highlight.js")
    assert f"v{highlight['version']} " in (VENDOR / "highlight" / "core.min.js").read_text()
