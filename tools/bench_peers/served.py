"""A process that runs one round for every line it reads, and answers with a line of JSON."""

import json
import os
import subprocess
import sys


class Served:
    """Keeps a program alive between rounds, so that its warm figures are warm."""

    def __init__(self, command, environment=None):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment)
        self.peak_bytes = None

    def round(self):
        """What the program measured: a dictionary."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            # Libraries like to talk on standard output too.
            if line.startswith("{"):
                return json.loads(line)
            sys.stderr.write(line)
        raise SystemExit(f"{self.command[0]} ended with status {self.close()}")

    def close(self):
        """Ends the program; its largest resident size is `peak_bytes` afterwards."""
        self.process.stdin.close()
        self.process.stdout.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.peak_bytes = usage.ru_maxrss * 1024
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode
