"""Programs that commit: connections to an SQLite file, each in a thread that inserts and commits
without pause. Reads lines `CONNECTIONS SECONDS`, and prints commits a second for each.
"""

import itertools
import sqlite3
import sys
import threading
import time

path = sys.argv[1]
numbers = itertools.count()


def work(end, counts):
    file = sqlite3.connect(path, timeout=60, isolation_level=None)
    file.execute("PRAGMA synchronous = FULL")
    count = 0
    while time.monotonic() < end:
        file.execute("BEGIN IMMEDIATE")
        row = (f"committer {next(numbers)}", '{"title":"Metropolis"}')
        file.execute("INSERT INTO own VALUES (?, ?)", row)
        file.execute("COMMIT")
        count += 1
    file.close()
    counts.append(count)


for line in sys.stdin:
    connections, seconds = int(line.split()[0]), float(line.split()[1])
    counts = []
    begin = time.monotonic()
    arguments = begin + seconds, counts
    threads = [threading.Thread(target=work, args=arguments) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts) / (time.monotonic() - begin), flush=True)
