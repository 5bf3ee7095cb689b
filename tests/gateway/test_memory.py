"""What a gateway decoded goes back to the system once nobody needs it."""

import platform
import subprocess
import sys

import pytest

CHURN = """
import sys, threading, torch, psutil
from node.gateway.memory import give_back_freed
if sys.argv[1] == "on":
    assert give_back_freed()
def churn():
    torch.zeros(4 << 20)  # by default this raises glibc's limit to 16 MiB: what is smaller stays with the process
    for _ in range(8):
        held = [torch.zeros(1 << 18) for _ in range(24)]
        keep.append(torch.zeros(1 << 10))
keep = []
threads = [threading.Thread(target=churn) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
print(psutil.Process().memory_info().rss >> 20)
"""


def megabytes(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHURN, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing to set")
def test_what_threads_freed_does_not_stay() -> None:
    assert megabytes("on") + 50 < megabytes("off")
