"""Work in a process of its own: what it says and returns, and every way it can be lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from fakes.service_process import alive
from fakes.subprocess_work import count_to, die, fail, hang
from fakes.waiting import eventually

from bundle.system.subprocess_call import SubprocessLost, call_in_subprocess


def test_messages_and_result_arrive_from_another_process() -> None:
    messages: list[str] = []
    total, process = call_in_subprocess(partial(count_to, 3), limit=300, say=messages.append)
    assert (total, messages) == (6, ["1", "2", "3"])
    assert process != os.getpid()


def test_a_process_that_dies_or_raises(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SubprocessLost, match="its process ended with 3"):
        call_in_subprocess(die, limit=300)
    with pytest.raises(SubprocessLost, match="its process ended with 1"):
        call_in_subprocess(fail, limit=300)
    assert "ValueError: on purpose" in capfd.readouterr().err


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(SubprocessLost, match=r"took longer than 0\.5 s"):
        call_in_subprocess(hang, limit=0.5)


def test_a_cancelled_process_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(SubprocessLost, match="was cancelled"):
        call_in_subprocess(hang, limit=3600, cancelled=lambda: time.monotonic() > began + 1)


def test_several_threads_may_call_at_once() -> None:
    with ThreadPoolExecutor(3) as pool:
        results = pool.map(lambda last: call_in_subprocess(partial(count_to, last), limit=300)[0], (1, 2, 3))
        assert list(results) == [1, 3, 6]


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\n"
        "from bundle.system.subprocess_call import call_in_subprocess\n"
        "from fakes.subprocess_work import count_to\n"
        "print(call_in_subprocess(partial(count_to, 2), limit=300)[0])\n"
    )
    path = str(Path(__file__).parents[2])
    code = (
        f"import sys, runpy; sys.path.append({path!r}); runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=300)
    assert (ran.stdout, ran.stderr) == ("3\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end it when its time is over")
def test_a_process_ends_with_its_caller() -> None:
    path = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path.append({path!r})\n"
        "from bundle.system.subprocess_call import call_in_subprocess\n"
        "from fakes.subprocess_work import say_who_and_hang\n"
        "call_in_subprocess(say_who_and_hang, limit=60, say=lambda text: print(text, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        worker = int(caller.stdout.readline())
        assert alive(worker)
        caller.kill()
    eventually(lambda: not alive(worker))
