"""From the start of a process to the first byte of its answer."""

import os
import subprocess
import time


def empty_page_cache():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def measure_start(command, environment, is_cold):
    """Seconds to the first byte on standard output, and the largest resident size."""
    if is_cold:
        empty_page_cache()
    command = [str(part) for part in command]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, env=environment)
    first = process.stdout.read(1)
    taken = time.perf_counter() - start
    while process.stdout.read(1 << 16):
        pass
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not first or process.returncode:
        raise SystemExit(f"{command[0]} ended with status {process.returncode} and wrote "
                         f"{len(first)} bytes")
    return {"first_token": taken, "peak_bytes": usage.ru_maxrss * 1024}
