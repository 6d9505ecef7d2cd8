"""config: every knob once; a missing or wrong one is one clear line."""

import argparse
import dataclasses

import pytest

from app import config
from app.config import SettingError, Settings

GOOD = {"REDIS_URL": "redis://127.0.0.1:6379/0", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


def test_the_defaults() -> None:
    """What others rely on."""
    settings = config.read(GOOD, {})
    expected = {
        "host": "127.0.0.1", "port": 8000, "node": "node-8000", "auth": "guest", "allow_guests": False,
        "run_seconds": 600.0, "connect_seconds": 5.0, "first_token_seconds": 60.0, "next_token_seconds": 30.0,
        "lease_seconds": 6.0, "flush_ms": 40, "drain_seconds": 20.0, "history_turns": 100, "history_days": 7.0,
        "window_turns": 10,
    }  # fmt: skip
    assert expected == {name: getattr(settings, name) for name in expected}


def test_a_flag_wins_over_the_environment() -> None:
    """And every setting but the secret ones has a flag."""
    parser = argparse.ArgumentParser()
    config.flags(parser)
    options = vars(
        parser.parse_args(["--port", "9001", "--node", "b", "--allow-guests", "--nodes", "http://x:1,http://y:2"])
    )
    settings = config.read(GOOD | {"PORT": "9000"}, options)
    assert (
        settings.port, settings.node, settings.allow_guests, settings.nodes,
    ) == (9001, "b", True, ("http://x:1", "http://y:2"))  # fmt: skip
    names = {field.name for field in dataclasses.fields(Settings)}
    assert names - set(options) == config.SECRETS == {"openai_api_key", "jwt_secrets"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"REDIS_URL": "http://x"}, "REDIS_URL begins with 'http'; expected redis://"),
        ({"OPENAI_BASE_URL": "localhost:11434"}, "OPENAI_BASE_URL has 'localhost:11434'; expected http"),
        ({"PORT": "http"}, "PORT is 'http'; expected a whole number"),
        ({"PORT": "70000"}, "PORT is 70000; expected 1 to 65535"),
        ({"NODE": "a b"}, "NODE is 'a b'; expected"),
        ({"NODES": "x:1"}, "NODES has 'x:1'; expected http"),
        ({"AUTH": "none"}, "AUTH is 'none'; expected guest or jwt"),
        ({"HOST": "0.0.0.0"}, "HOST is '0.0.0.0', and AUTH is guest: without a login it serves this machine only"),
        ({"ALLOW_GUESTS": "maybe"}, "ALLOW_GUESTS is 'maybe'; expected 1 or 0"),
        ({"ALLOWED_ORIGINS": "chat.example"}, "ALLOWED_ORIGINS has 'chat.example'; expected an origin"),
        ({"LEASE_SECONDS": "0"}, "LEASE_SECONDS is 0.0; expected more than 0"),
        ({"FLUSH_MS": "-1"}, "FLUSH_MS is -1; expected 0 to 10000"),
        ({"RUN_SECONDS": "nan"}, "RUN_SECONDS is nan; expected more than 0"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'; expected debug"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_wrong_setting_is_one_line(wrong: dict[str, str], words: str) -> None:
    """It names the setting, what was seen and what was expected."""
    with pytest.raises(SettingError) as raised:
        config.read(GOOD | wrong, {})
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


def test_allow_guests_lifts_the_loopback_rule() -> None:
    """On a network that its owner trusts."""
    assert config.read(GOOD | {"HOST": "0.0.0.0", "ALLOW_GUESTS": "1"}, {}).host == "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("LOCALHOST", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil", False),
        ("", False),
        ("10.0.0.1", False),
    ],
)
def test_what_loopback_is(host: str, expected: bool) -> None:
    """Exact names and addresses; a name that begins like one is none."""
    assert expected == config.loopback(host)


def test_settings_given_as_an_environment_read_as_the_same() -> None:
    """So that a node's children are told what it was told, by flag or otherwise."""
    flags = {
        "node": "n",
        "nodes": "http://x:1,http://y:2",
        "allow_guests": "1",
        "flush_ms": "7",
        "redis_url": "redis://z",
    }
    settings = config.read(GOOD, flags)
    assert settings == config.read(config.environ(settings), {})
