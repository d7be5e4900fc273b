"""A module that runs one command and shows its last lines of output and its exit status.

The operator lists the commands under `app_jobs` in the settings; a request only names one of them.
So clients cannot run programs of their own choice.
"""

import collections
import signal
import subprocess
import threading

from shmooze import settings
from shmooze.modules import JSONParentPoller

LAST_LINES = 20


class Job(JSONParentPoller):
    process = None

    def cmd_init(self, name):
        jobs = settings.get("app_jobs", {})
        if name not in jobs:
            raise ValueError(f"no job {name!r} in the settings; known: {', '.join(jobs)}")
        self.name = name
        self.argv = jobs[name]
        self.set_parameters({"name": name, "status": "waiting"})

    def cmd_play(self):
        if self.process is None:
            self.set_parameters({"status": "running"})  # first, since it may finish immediately
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            threading.Thread(target=self.follow, daemon=True).start()
        elif self.process.poll() is None:
            self.set_parameters({"status": "running"})
            self.process.send_signal(signal.SIGCONT)

    def cmd_suspend(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            self.set_parameters({"status": "stopped"})

    def cmd_rm(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()  # the pool ends whatever is left

    def follow(self):
        """Show the output as it arrives, then the exit status. The module stays in the pool."""
        lines = collections.deque(maxlen=LAST_LINES)
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            self.set_parameters({"output": list(lines)})
        self.set_parameters({"status": "done", "exit_status": self.process.wait()})

    commands = {"init": cmd_init, "play": cmd_play, "suspend": cmd_suspend, "rm": cmd_rm}


if __name__ == "__main__":
    job = Job()
    while True:
        job.handle_one_command()
