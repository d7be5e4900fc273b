"""A job that counts primes. It reports its progress, pauses, and ends with a result."""

from typing import Annotated

from shmooze.modules import Worker

BLOCK = 50_000  # numbers between two reports


class Primes(Worker):
    """Count the primes up to a number."""

    label = "primes up to {limit}"
    parameters = {"progress": "progress", "found": int}

    def cmd_init(
        self,
        limit: Annotated[int, "Up to which number", {"minimum": 2, "maximum": 10**7}] = 1_000_000,
        delay: Annotated[float, "Seconds between two reports", {"minimum": 0, "maximum": 60}] = 0,
    ):
        self.limit, self.delay = limit, delay

    def work(self):
        is_prime = bytearray([1]) * (self.limit + 1)
        found = largest = 0
        for number in range(2, self.limit + 1):
            if number % BLOCK == 0:
                self.sleep(self.delay)  # waits here while the job is paused, too
                self.set_parameters({"progress": number / self.limit, "found": found})
                print(f"{found} primes below {number}")
            if is_prime[number]:
                found, largest = found + 1, number
                is_prime[number * number :: number] = bytes(
                    len(range(number * number, self.limit + 1, number))
                )
        self.result({"primes": found, "largest": largest})


if __name__ == "__main__":
    Primes().run()
