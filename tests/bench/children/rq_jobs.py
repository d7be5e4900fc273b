"""A client of RQ: rq_jobs.py URL"""

import sys

from bench.job_figures import Figures, serve
from redis import Redis
from rq import Queue
from rq.results import Result

queue = Queue(connection=Redis.from_url(sys.argv[1]))


def add(kind):
    return queue.enqueue(f"job_functions.{kind}")


def wait(job):
    assert job.latest_result(timeout=60).type is Result.Type.SUCCESSFUL


def add_many(kind, count):
    return queue.enqueue_many(count * [Queue.prepare_data(f"job_functions.{kind}")])


serve(Figures(add, wait, add_many))
