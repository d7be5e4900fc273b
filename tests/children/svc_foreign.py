"""The gateway as an application under somebody else's server: `waitress`, `wsgiref`, `gevent`.

Under the first two nothing is patched, and requests are answered by threads.
"""

import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import signal
import socketserver
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import waitress
from gevent.pywsgi import WSGIServer as GeventServer

from shmooze import settings
from shmooze.wsgi import application


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 100

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # without the name service
        self.server_name, self.server_port = self.server_address
        self.setup_environ()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
address = "127.0.0.1", settings.ports["wsgi"]
if sys.argv[1] == "waitress":
    waitress.serve(application, host=address[0], port=address[1], threads=8)
elif sys.argv[1] == "gevent":
    GeventServer(address, application, log=None).serve_forever()
else:
    server = Threaded(address, WSGIRequestHandler)
    server.set_app(application)
    server.serve_forever()
