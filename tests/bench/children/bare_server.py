"""A stock gevent server with an empty app: the minimal cost of HTTP. Prints its port."""

import socket

import gevent.socket
from gevent.pywsgi import WSGIServer


def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"success":true}']


listener = gevent.socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(128)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
server = WSGIServer(listener, application, log=None)
print(listener.getsockname()[1], flush=True)
server.serve_forever()
