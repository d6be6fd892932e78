"""The file of settings cards: nobody else reads it, nothing in it is replaced, nothing strange is touched."""

import os
import stat
from dataclasses import fields
from pathlib import Path

import pytest

from posthouse.cli.exits import Code, Stop
from posthouse.cli.migrate.cards import Card, CardFile


def card(sender: str = "scan@contoso.com", from_address: str = "192.0.2.1") -> Card:
    cells = {field.name: field.name for field in fields(Card)}
    return Card(**(cells | {"sender": sender, "from_address": from_address}))


def refused(path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(Stop) as stop, CardFile(path):
        pass
    assert stop.value.code is Code.USAGE
    assert path.read_bytes() == before
    return str(stop.value)


def test_a_second_run_goes_on_behind_what_is_there(tmp_path):
    path, umask = tmp_path / "devices.csv", os.umask(0)
    try:
        with CardFile(path) as file:
            file.add(card())
    finally:
        os.umask(umask)
    first = path.read_text()
    with CardFile(path) as file:
        assert file.find(sender="scan@contoso.com", from_address="192.0.2.1") == card()
        assert file.find(sender="scan@contoso.com", from_address="") is None
        file.add(card(sender='"odd, name"@contoso.com'))
    with CardFile(path) as file:
        assert [one.sender for one in file.cards] == ["scan@contoso.com", '"odd, name"@contoso.com']
    assert path.read_text().startswith(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_card_is_on_the_disk_before_the_next_key_is_made(tmp_path, monkeypatch):
    synced: list[str] = []
    path = tmp_path / "devices.csv"
    monkeypatch.setattr(os, "fsync", lambda _number: synced.append(path.read_text().splitlines()[-1]))
    with CardFile(path) as file:
        file.add(card())
    assert [line.partition(",")[0] for line in synced] == ["client", "client"]
    assert "192.0.2.1" in synced[1]


def test_a_file_that_is_something_else_or_that_others_may_read_is_left_alone(tmp_path):
    path = tmp_path / "devices.csv"
    path.write_text("dear diary\n")
    path.chmod(0o600)
    assert "no file of cards" in refused(path)
    path.write_bytes(b"\xff\xfe\0")
    assert "no file of cards" in refused(path)
    path.write_text("")
    path.chmod(0o640)
    assert f"chmod 600 {path}" in refused(path)
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stop, match="cannot be written"), CardFile(tmp_path / "link.csv"):
        pass
    assert not (tmp_path / "elsewhere").exists()
