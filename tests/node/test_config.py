"""Settings: layers, strictness, and what a bad value is answered with."""

import os
import stat
from pathlib import Path

import pytest

from node import config, paths
from node.errors import ConfigError, DiskError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PONW_")]:
        monkeypatch.delenv(name)


def test_layers_and_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.save(tmp_path, threads=3, preset="small", listen_port=1)
    monkeypatch.setenv("PONW_THREADS", "5")
    monkeypatch.setenv("PONW_LISTEN_PORT", "2")
    settings = config.load(tmp_path, listen_port=4)
    assert (settings.preset, settings.threads, settings.listen_port, settings.chain_id) == ("small", 5, 4, 31337)
    origins = settings.origins
    assert origins["preset"] == "config.toml"
    assert origins["threads"] == "environment PONW_THREADS"
    assert origins["listen_port"] == "command line"
    assert origins["chain_id"] == "default"


def test_home_comes_from_argument_environment_or_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load().home == paths.default_home()
    monkeypatch.setenv("PONW_HOME", str(tmp_path / "env"))
    assert config.load().home == tmp_path / "env"
    assert config.load(tmp_path / "given").home == tmp_path / "given"
    assert not (tmp_path / "given").exists()


def test_paths_stand_in_the_home_unless_given(tmp_path: Path) -> None:
    settings = config.load(tmp_path, data_dir="/elsewhere", contracts="net.json")
    assert settings.data_path == Path("/elsewhere")
    assert settings.contracts_file == tmp_path / "net.json"
    assert settings.keystore_dir == tmp_path / "keystore"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threads = '3'", "'threads'"),
        ("threads = true", "'threads'"),
        ("threads = 0", "'threads'"),
        ("chain_id = 1.5", "'chain_id'"),
        ("log_json = 1", "'log_json'"),
        ("log_json = 1979-05-27", "'log_json'"),
        ("rpc_url = 'ftp://x'", "'rpc_url'"),
        ("account = '0x12'", "'account'"),
        ("preset = 'huge'", "'preset'"),
        ("listen_port = 99999", "'listen_port'"),
        ("audit_share_bps = 10001", "'audit_share_bps'"),
        ("colour = 'red'", "'colour'"),
        ("home = '/x'", "'home'"),
        ("threads = ", "not valid TOML"),
        ("\x00", "not valid TOML"),
    ],
)
def test_bad_file_is_one_sentence_with_key_and_file(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path)
    assert expected in caught.value.message
    assert "config.toml" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"preset = '\xff'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(tmp_path)


def test_bad_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONW_THREADS", "many")
    with pytest.raises(ConfigError, match="environment PONW_THREADS"):
        config.load(tmp_path)


def test_a_bad_url_does_not_show_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path, rpc_url="ws://user:hunter2@host/v3/abcdef")
    assert "hunter2" not in caught.value.message
    assert "abcdef" not in caught.value.message


def test_late_work_goes_with_mode_async_alone(tmp_path: Path) -> None:
    for mode in (None, "async"):
        assert config.load(tmp_path, late=True, mode=mode).late
    with pytest.raises(ConfigError, match="late work is done in mode async"):
        config.load(tmp_path, late=True, mode="verify")


def test_save_merges_is_private_and_leaves_no_temporary(tmp_path: Path) -> None:
    home = tmp_path / "home"
    config.save(home, rpc_url="http://a:1", data_dir=Path('/mnt/"é\\\x7f'), log_json=True)
    path = config.save(home, threads=2, rpc_url=None)
    settings = config.load(home)
    assert settings.data_dir == Path('/mnt/"é\\\x7f')
    assert (settings.threads, settings.log_json, settings.origins["rpc_url"]) == (2, True, "default")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in home.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("values", [{"threads": "x"}, {"nonsense": 1}, {"rpc_url": "nope"}])
def test_save_refuses_bad_values_and_changes_nothing(tmp_path: Path, values: dict[str, object]) -> None:
    path = config.save(tmp_path, threads=2)
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        config.save(tmp_path, **values)
    assert path.read_bytes() == before


def test_write_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    paths.write_atomic(path, b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "fsync", full)
    with pytest.raises(DiskError, match="No space left"):
        paths.write_atomic(path, b"new")
    with pytest.raises(DiskError, match="No space left"):
        paths.write_new(tmp_path / "g", b"new")
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("f", b"old")]


def test_reads_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 11)
    assert paths.read_bounded(path, 11) == b"x" * 11
    with pytest.raises(DiskError, match="larger than 10"):
        paths.read_bounded(path, 10)
