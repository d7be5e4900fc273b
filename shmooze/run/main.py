"""`shmooze run`: runs an application until a signal ends it."""

from __future__ import annotations

import logging

from shmooze.errors import ShmoozeError
from shmooze.processes.guardian import fork_guardian
from shmooze.run.lines import open_lines
from shmooze.run.page import address_of, opener
from shmooze.run.programs import GATEWAY, find_programs, host_of
from shmooze.run.supervisor import Supervisor
from shmooze.runtime import declared, schema
from shmooze.runtime.listeners import listen, reached_at
from shmooze.runtime.program import run
from shmooze.settings import Settings

log = logging.getLogger(__name__)


def run_application(opens_page: bool) -> int:
    """Run what the settings of this process name. Returns the exit status. Raises ShmoozeError.

    gevent must have patched this process, and nothing may have used its event loop.
    """
    source = declared.current()
    application = find_programs(source)
    hosts = schema.read(declared.Gateway, source.values, source.error)
    _check_ports(source, hosts, [each.name for each in application.programs])
    gateway, url = None, ""
    if GATEWAY in source.values["ports"]:
        gateway = reached_at(hosts.wsgi_host), source.port(GATEWAY)
        url = address_of(hosts.wsgi_host, source)
    open_page = opener(url) if opens_page and gateway else None
    guardian = fork_guardian()
    names = [each.name for each in application.programs]
    write = open_lines(names, as_json=source.get("log_format") == "json")

    def on_ready() -> None:
        log.info("the page is %s  (Ctrl-C ends it)", url)
        if open_page is not None:
            open_page()

    for line in application.left_out:
        log.warning("%s", line)
    services = [
        (reached_at(_host(source, hosts, name)), source.port(name))
        for name in names
        if name != GATEWAY
    ]
    supervisor = Supervisor(application.programs, write, gateway, services, on_ready, guardian)
    run(supervisor)
    return supervisor.status


def _check_ports(source: Settings, hosts: declared.Gateway, names: list[str]) -> None:
    """Raise ShmoozeError if a port is in use, before anything is started."""
    for name in names:
        try:
            listen(_host(source, hosts, name), source.port(name)).close()
        except ShmoozeError as bad:
            raise ShmoozeError(f"{bad}; see `ports.{name}` in the settings") from bad


def _host(source: Settings, hosts: declared.Gateway, name: str) -> str:
    """Where a program listens."""
    return host_of(source, name) or (hosts.wsgi_host if name == GATEWAY else hosts.service_host)
