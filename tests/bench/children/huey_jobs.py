"""Jobs of Huey in the SQLite file that JOB_FILE names. As a program, a client of them."""

import os

import job_functions
from bench.job_figures import Figures, serve
from huey import SqliteHuey

huey = SqliteHuey("jobs", filename=os.environ["JOB_FILE"])
tasks = {
    each.__name__: huey.task()(each) for each in (job_functions.process, job_functions.nothing)
}


def add(kind):
    return tasks[kind]()


def wait(job):
    assert job.get(blocking=True, timeout=60, max_delay=0.001) == 0


if __name__ == "__main__":
    serve(Figures(add, wait))
