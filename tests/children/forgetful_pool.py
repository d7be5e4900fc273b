"""A pool, with the module types of the settings, that remembers three events."""

from gevent import monkey

monkey.patch_all()

from shmooze.broker.catalog import types_from_settings
from shmooze.broker.events import EventHub
from shmooze.pool import Pool

EventHub.kept = 3

if __name__ == "__main__":
    Pool(types_from_settings("pool", "modules")).serve_forever()
