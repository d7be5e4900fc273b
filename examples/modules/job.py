"""A module that runs one command and shows its last lines of output and its exit status.

The operator lists the commands under `app_jobs` in the settings; a request only names one of them.
So clients cannot run programs of their own choice.
"""

import collections
import subprocess

from shmooze import settings
from shmooze.modules import Player

LAST_LINES = 20


class Job(Player):
    """A job.

    It runs a command that the operator has listed in the settings, and stays when it is done.
    """

    label = "{name}"
    parameters = {"name": "title", "status": "status", "output": "log", "exit_status": int}
    options = {"stderr": subprocess.STDOUT}

    def cmd_init(self, name: str):
        """Prepare the job.

        Args:
            name: The name of the command, one of `app_jobs` in the settings.
        """
        jobs = settings.get("app_jobs", {})
        if name not in jobs:
            raise ValueError(f"no job {name!r} in the settings; known: {', '.join(jobs)}")
        self.argv = jobs[name]
        self.lines = collections.deque(maxlen=LAST_LINES)
        self.set_parameters({"name": name, "status": "waiting"})

    def start(self):
        self.set_parameters({"status": "running"})  # first, since it may finish immediately
        super().start()

    def pause(self):
        super().pause()
        self.set_parameters({"status": "stopped"})

    def resume(self):
        self.set_parameters({"status": "running"})
        super().resume()

    def line(self, text):
        self.lines.append(text)
        self.set_parameters({"output": list(self.lines)})

    def ended(self, status):
        self.set_parameters({"status": "done", "exit_status": status})
        self.stay()  # in the pool, for people to see


if __name__ == "__main__":
    Job().run()
