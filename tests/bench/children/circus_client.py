"""A client of circusd: circus_client.py ENDPOINT"""

import sys

from bench.start_stop import serve
from circus.client import CircusClient

client = CircusClient(endpoint=sys.argv[1])


def ask(command):
    answer = client.send_message(command, name="program", waiting=True)
    assert answer["status"] == "ok", answer


serve(lambda: ask("start"), lambda: ask("stop"))
