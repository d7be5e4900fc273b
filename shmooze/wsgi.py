"""The gateway: one port for a whole application.

    POST {wsgi_prefix}{service}         commands, for every service of `ports`
    POST {wsgi_prefix}wsgi              commands to the gateway itself: `reload`
    GET  {wsgi_prefix}{service}/events  its changes, live
    GET  {wsgi_prefix}{service}/output/{uid}  what an item prints, live
    GET  {wsgi_prefix}settings.json     the public settings
    GET  {static_prefix}{file}          files of static_path
    GET  {wsgi_prefix}console/          the console
    GET  /, {wsgi_prefix}               index.html
    GET  {wsgi_prefix}openapi.json      the application described; {wsgi_prefix}docs shows it
    GET  {wsgi_prefix}health            whether all services are well; {wsgi_prefix}version
    GET  {wsgi_prefix}metrics           what they have counted, for Prometheus
    GET  {wsgi_prefix}login             a form, if tokens are needed; POST {wsgi_prefix}logout

A page at `/` or at `{wsgi_prefix}` refers to its own files by relative URLs. So the files of
static_path are served there too, unless a service has the same name. Beside them are shmooze.js and
what belongs to it, unless static_path has files of these names. A script knows its own URL but
not the gateway's prefix, so `settings.json` beside any of those files redirects to the real one,
unless static_path has a file of that name there.

`python -m shmooze.wsgi` serves it; `shmooze.wsgi:application` is the same for other WSGI servers.
"""

from __future__ import annotations

if __name__ == "__main__":
    # Before all other imports: what is imported unpatched stays unpatched, and concurrent requests
    # would then share one request object.
    from shmooze.runtime.patch import patch_all

    patch_all()

import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from shmooze.errors import ShmoozeError
from shmooze.gateway.gateway import Gateway as Gateway
from shmooze.runtime import declared, schema
from shmooze.runtime.program import check, exit_with, reloads_at_hangup, run


@cache
def _default_gateway() -> Gateway:
    return Gateway(declared.current())


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The gateway as a WSGI application. Reads the settings at the first request."""
    answer: Iterable[bytes] = _default_gateway().app(environ, start_response)
    return answer


def _program() -> Gateway:
    """The gateway that `python -m shmooze.wsgi` runs; with `wsgi_workers`, in each worker.

    Mistakes in settings and port are found before a worker is started.
    """
    source = declared.current()
    workers = schema.read(declared.Gateway, source.values, source.error).wsgi_workers
    gateway = Gateway(source, workers)
    if workers > 1:
        import gevent

        # Others start faster without.
        from shmooze.runtime.workers import RELOAD, Supervisor

        supervisor = Supervisor(
            workers, gateway.host, source.port("wsgi"), gateway.reload, reloads_at_hangup()
        )
        gateway.announce()
        gateway.listener = supervisor.fork_workers()
        gateway.worker = supervisor.index
        gateway.when_reloaded = supervisor.ask_to_reload
        gevent.signal_handler(RELOAD, gateway.on_hangup)
    return gateway


if __name__ == "__main__":
    is_check = False
    if sys.argv[1:]:  # saves the import at most starts
        import argparse

        parser = argparse.ArgumentParser(
            prog="python -m shmooze.wsgi",
            description="The gateway. Its settings are in the file that SHMOOZE_SETTINGS names.",
        )
        parser.add_argument(
            "--check", action="store_true", help="check the settings, and start nothing"
        )
        is_check = parser.parse_args().check
    try:
        program = Gateway(declared.current()) if is_check else _program()
    except ShmoozeError as bad:
        exit_with(bad)
    if is_check:
        check(program)
    else:
        run(program)
