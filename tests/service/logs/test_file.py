"""The log file: whole lines of several writers, a bounded size, and no failure of what it reports."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.logs.buffer import LineBuffer
from service.logs.file import LogFile, older


def log_at(path: Path, max_bytes: int, files: int = 2) -> LineBuffer:
    return LineBuffer(LogFile(path, max_bytes, files).append)


def lines_of(*paths: Path) -> list[bytes]:
    return [line for path in paths if path.exists() for line in path.read_bytes().splitlines()]


def test_lines_are_there_after_a_flush(tmp_path: Path) -> None:
    log = log_at(tmp_path / "folder" / "log.jsonl", 2**16)
    log.write(b"one\n")
    log.write(b"two\n")
    assert not (tmp_path / "folder").exists()
    log.flush()
    assert lines_of(tmp_path / "folder" / "log.jsonl") == [b"one", b"two"]


def test_many_lines_do_not_wait_in_memory(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log.jsonl", 2**30)
    for _ in range(2000):
        log.write(b"x" * 99 + b"\n")
    assert (tmp_path / "log.jsonl").stat().st_size > 100_000


def test_a_full_file_is_set_aside_and_the_oldest_lines_go(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = log_at(path, 1000)
    for number in range(100):
        log.write(b"%098d\n" % number)
        log.flush()
    aside = tmp_path / "log.jsonl.1"
    assert path.stat().st_size <= 1000
    assert aside.stat().st_size <= 1000
    kept = [int(line) for line in lines_of(aside, path)]
    assert kept == list(range(kept[0], 100))
    assert len(kept) > 10
    assert {entry.name for entry in tmp_path.iterdir()} == {"log.jsonl", "log.jsonl.1"}


def test_it_follows_a_file_that_someone_else_has_moved_or_deleted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    one, other = log_at(path, 2**16), log_at(path, 2**16)
    for log, line in ((one, b"a\n"), (other, b"b\n")):
        log.write(line)
        log.flush()
    path.rename(tmp_path / "moved")
    for log, line in ((one, b"c\n"), (other, b"d\n")):
        log.write(line)
        log.flush()
    assert lines_of(path) == [b"c", b"d"]
    path.unlink()
    one.write(b"e\n")
    one.flush()
    assert lines_of(path) == [b"e"]


_WRITER = """
import sys
from pathlib import Path
from service.logs.buffer import LineBuffer
from service.logs.file import LogFile
log = LineBuffer(LogFile(Path(sys.argv[1]), 20_000, 100).append)
for number in range(1500):
    log.write(f"{sys.argv[2]} {number:06d} {'x' * 80}\\n".encode())
    if number % 3 == 0:
        log.flush()
log.flush()
"""


def test_several_processes_lose_and_tear_no_line_while_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    names = ("a", "b", "c")
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name], cwd=Path(__file__).parents[3])
        for name in names
    ]
    assert [writer.wait(300) for writer in writers] == [0, 0, 0]
    files = [older(path, number) for number in range(99, 0, -1) if older(path, number).exists()]
    # 4,500 lines of 90 bytes: the file is set aside up to twenty times, which loses nothing.
    assert len(files) >= 10
    kept = lines_of(*files, path)
    assert {len(line) for line in kept} == {89}
    for name in names:
        numbers = [int(line.split()[1]) for line in kept if line.startswith(name.encode())]
        assert numbers == list(range(1500))
    # One may be larger: a process that is halted while it writes lets nobody set the file aside.
    sizes = sorted(file.stat().st_size for file in files)
    assert sizes[len(sizes) // 2] <= 20_000 + 3 * 90


def test_a_file_is_not_set_aside_while_another_process_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = log_at(path, 100)
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        for _ in range(3):
            log.write(b"y" * 89 + b"\n")
            log.flush()
        assert len(lines_of(path)) == 3
        assert not older(path, 1).exists()
    log.write(b"z\n" * 20)
    log.flush()
    assert len(lines_of(older(path, 1))) == 3
    assert len(lines_of(path)) == 20


def test_as_many_files_are_kept_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = log_at(path, 1000, files=4)
    for number in range(100):
        log.write(b"%098d\n" % number)
        log.flush()
    files = [older(path, number) for number in (3, 2, 1)]
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, *(file.name for file in files)}
    kept = [int(line) for line in lines_of(*files, path)]
    assert kept == list(range(kept[0], 100))
    assert len(kept) > 30


def test_a_deleted_older_file_stops_no_change(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = log_at(path, 100, files=4)
    for number in range(4):
        log.write(b"%098d\n" % number)
        log.flush()
    older(path, 2).unlink()
    for number in range(4, 7):
        log.write(b"%098d\n" % number)
        log.flush()
    assert [int(line) for line in lines_of(older(path, 3), older(path, 2), older(path, 1), path)] == [
        3,
        4,
        5,
        6,
    ]


def test_a_link_is_followed_and_never_renamed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    log = log_at(link, 100)
    for _ in range(10):
        log.write(b"y" * 50 + b"\n")
        log.flush()
    assert link.is_symlink()
    assert len(lines_of(target)) == 10


def test_a_file_that_cannot_be_written_is_said_once_and_fails_no_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    log = log_at(tmp_path / "folder" / "log.jsonl", 2**16)
    for _ in range(3):
        log.write(b"lost\n")
        log.flush()
    said = capsys.readouterr().err
    assert said.count("cannot be written, so log lines are lost") == 1
    assert "log.jsonl" in said
    (tmp_path / "folder").unlink()
    log.write(b"kept\n")
    log.flush()
    assert lines_of(tmp_path / "folder" / "log.jsonl") == [b"kept"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_fails_no_caller(capsys: pytest.CaptureFixture[str]) -> None:
    log = log_at(Path("/dev/full"), 2**16)
    log.write(b"lost\n")
    log.flush()
    assert "no space left" in capsys.readouterr().err.lower()
