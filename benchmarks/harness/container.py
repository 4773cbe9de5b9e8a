"""A container without a daemon: the files of an image as a read-only root, in namespaces of its own.

The process gets what the image says, as a runtime would give it: user, variables, folder, entry point. It is
number 1 in its process namespace, has no capability and can gain none; /data is the only place that it can
write to. The network is the machine's. Needs Linux and root, and no user namespace.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ENTER = """
set -eu
root=$1 data=$2 bundle=$3 user=$4 folder=$5
shift 5
mount --bind "$root" "$root"
mount --bind "$data" "$root/data"
mount --bind "$bundle" "$root/bundle"
mount -o remount,ro,bind "$root/bundle"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
mount -o remount,ro,bind "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" /usr/bin/env -i --chdir="$folder" "$@"
"""


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What an image says of how it is run."""

    user: str
    folder: str
    environment: Mapping[str, str]
    command: tuple[str, ...]
    labels: Mapping[str, str]
    health: tuple[str, ...]
    """Command of the health check; empty if the image has none"""

    @classmethod
    def of(cls, inspected: Mapping[str, Any]) -> ImageSettings:
        """Of the answer of `buildah inspect --type image`."""
        said = inspected["OCIv1"]["config"]
        check = inspected["Docker"]["config"].get("Healthcheck") or {}
        return cls(
            user=said["User"],
            folder=said["WorkingDir"],
            environment=dict(one.split("=", 1) for one in said["Env"]),
            command=(*said["Entrypoint"], *said["Cmd"]),
            labels=said["Labels"],
            health=tuple(check.get("Test", ())[1:]),
        )


@dataclass(frozen=True, slots=True)
class Container:
    """An image's files with the folders that are mounted into it."""

    root: Path
    data: Path
    bundle: Path
    image: ImageSettings
    log: Path

    @contextmanager
    def running(self, command: Sequence[str], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the container; at the end it is killed, with whatever it has started."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._line(command, variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end, within two minutes."""
        return subprocess.run(
            self._line(command, variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def _line(self, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        values = [f"{name}={value}" for name, value in {**self.image.environment, **variables}.items()]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "enter"]
        places = [str(self.root), str(self.data), str(self.bundle), self.image.user, self.image.folder]
        return [*enter, *places, *values, *command]


def stop(process: subprocess.Popen[bytes], within: float) -> int:
    """Send SIGTERM to the first process of the container's namespace; its exit code. `within`: seconds."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    return process.wait(within)


def inspected(text: str) -> ImageSettings:
    """Settings of the text of `buildah inspect`."""
    return ImageSettings.of(json.loads(text))
