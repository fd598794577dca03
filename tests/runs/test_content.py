"""Content decides: not times, sizes or the places of files."""

import os
import shutil
import time

import pytest

from fundus_helpers.runs import content
from fundus_helpers.runs.content import ahead_of_time, content_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of two files that have not been changed for long."""
    monkeypatch.setattr(content, "SETTLED", -1)  # so that hashes of new files are kept, too
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / name).write_text(name * 9)
    return tmp_path / "data"


def whole(folder, *more):
    """Return the hash of the files of the folder."""
    return content_of(folder, ["a", "b", *more], folder.parent / "cache.json")


def test_the_same_content_has_the_same_hash_wherever_and_whenever_it_was_written(folder):
    before = whole(folder)
    os.utime(folder / "a", (0, 0))
    assert whole(folder) == before
    copied = shutil.copytree(folder, folder.parent / "copied")
    assert whole(copied) == before == content_of(copied, ["b", "a"], folder / "other.json")


def test_a_file_that_was_replaced_is_noticed_even_with_its_size_and_time(folder):
    before, old = whole(folder), os.stat(folder / "a")
    (folder / "new").write_text("z" * 9)
    os.utime(folder / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
    os.replace(folder / "new", folder / "a")
    assert whole(folder) != before
    (folder / "a").write_text("a" * 9)
    assert whole(folder) == before


def test_a_file_that_was_changed_in_place_is_noticed_even_with_its_size_and_time(folder):
    before, old = whole(folder), os.stat(folder / "a")
    (folder / "a").write_text("z" * 9)
    os.utime(folder / "a", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert whole(folder) != before


def test_names_count_and_cannot_be_mixed_up_with_content(folder):
    before = whole(folder)
    os.rename(folder / "a", folder / "c")
    os.rename(folder / "b", folder / "a")
    os.rename(folder / "c", folder / "b")
    assert whole(folder) != before


def test_files_that_have_not_changed_are_not_read_again(folder, monkeypatch):
    before = whole(folder)
    monkeypatch.setattr(content.hashlib, "file_digest", None)  # calling it would raise TypeError
    assert whole(folder) == before


def test_the_hash_of_a_file_that_was_just_changed_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 10)
    whole(folder)
    monkeypatch.setattr(content.hashlib, "file_digest", None)
    with pytest.raises(TypeError):
        whole(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 3}', '{"a": [[1], "0"]}'])
def test_a_damaged_cache_is_made_anew(folder, text):
    before = whole(folder)
    (folder.parent / "cache.json").write_text(text)
    assert whole(folder) == before


def test_files_that_cannot_be_read_are_no_error_and_count_when_they_can_be(folder):
    before = whole(folder, "gone", "loop", "pipe", "folder")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    now = whole(folder, "gone", "loop", "pipe", "folder")
    assert now != before
    (folder / "gone").write_text("here")
    assert whole(folder, "gone", "loop", "pipe", "folder") != now


def test_names_that_are_no_text_do_no_harm(folder):
    odd = os.fsdecode(b"\xff{}\n.png")
    before = whole(folder, odd)
    (folder / odd).write_text("x")
    now = whole(folder, odd)
    assert now != before and whole(folder, odd) == now


def test_files_from_the_future_are_named(folder):
    os.utime(folder / "b", (time.time() + 86400,) * 2)
    assert ahead_of_time(folder, ["a", "b", "gone"]) == ["b"]
