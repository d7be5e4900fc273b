"""A client of supervisord: supervisord_client.py SOCKET"""

import sys
from xmlrpc.client import ServerProxy

from bench.start_stop import serve
from supervisor.xmlrpc import SupervisorTransport

transport = SupervisorTransport(None, None, f"unix://{sys.argv[1]}")
supervisor = ServerProxy("http://127.0.0.1", transport=transport).supervisor
serve(lambda: supervisor.startProcess("program"), lambda: supervisor.stopProcess("program"))
