"""Jobs of Dramatiq in the redis that JOB_URL names. As a program, a client of them."""

import os

import dramatiq
import job_functions
from bench.job_figures import Figures, serve
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends.redis import RedisBackend

broker = RedisBroker(url=os.environ["JOB_URL"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["JOB_URL"])))
dramatiq.set_broker(broker)
actors = {
    each.__name__: dramatiq.actor(each, store_results=True)
    for each in (job_functions.process, job_functions.nothing)
}


def add(kind):
    return actors[kind].send()


def wait(job):
    assert job.get_result(block=True, timeout=60_000) == 0


if __name__ == "__main__":
    serve(Figures(add, wait))
