"""One service of shmooze 1.2.4, under Python 2.7: `wsgi`, or the queue or pool of the settings.

Started like 1.2.4, except that it listens on loopback only, takes its module types from the
settings, and shuts down on SIGTERM.
"""

import os
import signal
import sys

import shmooze.settings as settings


def serve_wsgi():
    from werkzeug.serving import run_simple

    import shmooze.wsgi

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    port = settings.ports["wsgi"]
    run_simple("127.0.0.1", port, shmooze.wsgi.application, use_reloader=False, use_debugger=False)


def serve(name):
    import shmooze.lib.service as service
    from shmooze.modules import Module

    def on_loopback(self, port):
        service.tornado.tcpserver.TCPServer.listen(self, port, "127.0.0.1")

    def end(*_):
        service.ioloop.add_callback_from_signal(served.shutdown)

    service.Service.listen = on_loopback
    modules = [
        type(str(kind), (Module,), {"TYPE_STRING": kind, "process": each["process"]})
        for kind, each in settings.get(name)["modules"].items()
    ]
    served = make(name, modules)
    signal.signal(signal.SIGTERM, end)
    service.ioloop.start()


def make(name, modules):
    """Make a queue or pool. Importing each one reads its port from the settings."""
    if name == "queue":
        from shmooze.queue import Queue

        return Queue(modules, [], True)
    from shmooze.pool import Pool

    return Pool(modules, True)


if sys.argv[1] == "wsgi":
    serve_wsgi()
else:
    serve(sys.argv[1])
