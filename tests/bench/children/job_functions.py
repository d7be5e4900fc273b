"""What jobs do in the workers of others."""

import os
import subprocess


def process():
    subprocess.run([os.environ["JOB_PYTHON"], "-I", "-S", "-c", "pass"], check=True)
    return 0


def nothing():
    return 0
